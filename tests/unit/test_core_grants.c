/* Keys for custodians whom no grant names: asked for, given to those alone who may have them, and believed only when they fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "proto/frame.h"
#include "tests/lib/world.h"

/* Antwerpen is no standby of Luik. */
static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };

static struct effects out;

/* A frame that `from` sent, in a batch of its own; what is done about it stays in out. */
static void hear(struct world *w, size_t at, size_t from, const struct buf *frame)
{
	struct event ev = {.type = EVENT_FRAME, .now = w->now, .wall = world_wall(w, at)};

	ev.u.frame.peer = w->number[from];
	ev.u.frame.lane = LANE_URGENT;
	ev.u.frame.side = SIDE_ACCEPTED;
	ev.u.frame.bytes = buf_view(frame);
	effects_clear(&out);
	assert_int_equal(core_apply(w->node[at].core, w->node[at].store, &ev, 1, &out), ERR_OK);
}

/* Luik moves to Antwerpen, by an order that Antwerpen alone gets first. */
static void relocate(struct world *w, size_t at)
{
	struct order o = {.kind = ORDER_RELOCATE, .site = w->number[LUIK], .issuer = w->number[SPOC], .epoch = 1, .roster = 1, .issued = {1626271200000000},
			  .reason = "flood", .n_assign = 1, .assign = {{.to = w->number[ANTWERPEN]}}};
	struct hash net = roster_network_hash(w->keys[0].network, &w->authority_public);
	struct buf blob = BUF_EMPTY, b = BUF_EMPTY;

	assert_int_equal(order_make(w->suite, &w->keys[SPOC].identity, &net, &o, &blob), ERR_OK);
	frame_state_give(&b, &(struct hash){{9}}, STATE_KIND_ORDER, buf_view(&blob));
	hear(w, at, SPOC, &b);
	buf_release(&blob);
	buf_release(&b);
}

static struct stream *stream_at(struct world *w, size_t at)
{
	struct core *c = w->node[at].core;

	for (size_t i = 0; i < c->n_streams; i++) {
		const struct stream_name *n = &c->streams[i]->row.name;

		if (n->originator == w->number[SPOC] && n->addressee == w->number[LUIK] && n->precedence == PREC_IMMEDIATE && c->streams[i]->row.held)
			return c->streams[i];
	}
	return NULL;
}

/* Three messages of the SPOC for Luik, which is gone before Antwerpen is to take them over. Antwerpen has an own message to
 * Luik too, which it can open. */
static void begin(struct world *w, uint64_t seed)
{
	world_init(w, SITES, N, seed);
	for (int i = 0; i < 3; i++)
		assert_int_equal(world_send(w, SPOC, "cic-luik/dispatch", PREC_IMMEDIATE, view_str("m"), NULL, NULL, NULL), ERR_OK);
	world_run(w, US_PER_S);
	world_crash(w, LUIK);
	world_run(w, US_PER_S);
}

/* As far as that Antwerpen holds the entries and asks; its links are cut before an answer comes. */
static void holds_sealed(struct world *w, uint64_t seed)
{
	begin(w, seed);
	for (size_t i = 0; i < N; i++)
		if (i != ANTWERPEN && i != LUIK)
			relocate(w, i);
	relocate(w, ANTWERPEN);
	/* The grant comes first, and it may come alone. */
	for (int i = 0; !stream_at(w, ANTWERPEN) || stream_at(w, ANTWERPEN)->row.held < 2; i++) {
		assert_true(i < 60000);
		world_run(w, 1000);
	}
	for (size_t i = 0; i < N; i++)
		if (i != ANTWERPEN)
			world_link(w, ANTWERPEN, i, false);
	world_run(w, US_PER_S);
	assert_true(world_alarm(w, ANTWERPEN, "sealed"));
}

static void link_all(struct world *w)
{
	for (size_t i = 0; i < N; i++)
		if (i != ANTWERPEN)
			world_link(w, ANTWERPEN, i, true);
}

static size_t taken(struct world *w)
{
	size_t n = 0;
	struct taken t = {.body = BUF_EMPTY};

	while (world_take_one(w, ANTWERPEN, "cic-luik/dispatch", US_PER_S, &t)) {
		assert_true(view_equal(buf_view(&t.body), view_str("m")));
		assert_int_equal(world_handle(w, ANTWERPEN, REQ_ACK, &t.id), ERR_OK);
		n++;
	}
	buf_release(&t.body);
	return n;
}

static bool has_key(struct world *w, size_t at)
{
	struct core *c = w->node[at].core;
	struct sym_key key;

	assert_int_equal(txn_begin(w->node[at].store, false, &c->t), ERR_OK);
	bool has = grants_key(c, stream_at(w, at), 1, &key) == ERR_OK;

	txn_abort(c->t);
	c->t = NULL;
	return has;
}

/* A key for the SPOC's stream, sealed for a site. */
static void make_key(struct world *w, const struct stream_name *name, size_t to, uint8_t key, uint64_t number, struct buf *b)
{
	struct hash net = roster_network_hash(w->keys[0].network, &w->authority_public), stream = stream_hash(&net, name);
	struct grant_to box = {w->number[to], w->keys[to].sealing[0].pub};
	struct key_name n = {*name, number};
	struct sym_key epoch = {{key}};
	struct buf grant = BUF_EMPTY;
	struct rng rng;

	rng_seed(&rng, (const uint8_t[32]){key});
	assert_int_equal(grant_make(w->suite, &rng, &stream, &epoch, &box, 1, &grant), ERR_OK);
	buf_clear(b);
	frame_keys_give(b, &n, buf_view(&grant));
	buf_release(&grant);
}

static size_t keys_said(const struct world *w, size_t to, enum keys_what what)
{
	static struct frame f;
	size_t n = 0;

	for (size_t i = 0; i < out.n; i++) {
		if (out.list[i].type != EFFECT_FRAME || (to < N && out.list[i].peer != w->number[to]))
			continue;
		assert_int_equal(frame_decode(effect_bytes(&out, &out.list[i]), &f), ERR_OK);
		n += f.type == FRAME_KEYS && f.u.keys.what == what;
	}
	return n;
}

static void finish(struct world *w)
{
	effects_release(&out);
	out = EFFECTS_EMPTY;
	world_release(w);
}

/* ---- what is promised -------------------------------------------------------------------------------------------------- */

static void a_newcomer_is_given_the_keys(void **state)
{
	struct world w;

	(void)state;
	holds_sealed(&w, 1);
	assert_false(has_key(&w, ANTWERPEN));
	assert_int_equal(taken(&w), 0);
	link_all(&w);
	world_run(&w, 40 * US_PER_S);
	assert_true(has_key(&w, ANTWERPEN));
	assert_int_equal(taken(&w), 3);
	assert_false(world_alarm(&w, ANTWERPEN, "sealed"));
	world_crash(&w, ANTWERPEN);
	world_start(&w, ANTWERPEN);
	world_run(&w, 3 * US_PER_S);
	assert_true(has_key(&w, ANTWERPEN));
	assert_false(world_alarm(&w, ANTWERPEN, "sealed"));
	finish(&w);
}

static void what_is_wanted_is_found_again_after_a_restart(void **state)
{
	struct world w;

	(void)state;
	holds_sealed(&w, 2);
	world_crash(&w, ANTWERPEN);
	world_start(&w, ANTWERPEN);
	world_run(&w, 3 * US_PER_S);
	assert_true(world_alarm(&w, ANTWERPEN, "sealed"));
	link_all(&w);
	world_run(&w, 40 * US_PER_S);
	assert_int_equal(taken(&w), 3);
	assert_false(world_alarm(&w, ANTWERPEN, "sealed"));
	finish(&w);
}

static void lost_frames_only_delay(void **state)
{
	(void)state;
	for (uint64_t seed = 10; seed < 16; seed++) {
		struct world w;

		holds_sealed(&w, seed);
		w.loss_percent = 40;
		link_all(&w);
		world_run(&w, 120 * US_PER_S);
		w.loss_percent = 0;
		world_run(&w, 70 * US_PER_S);
		assert_true(has_key(&w, ANTWERPEN));
		assert_int_equal(taken(&w), 3);
		finish(&w);
	}
}

/* Neither stored nor tried on anything; and the right one is still taken. */
static void a_wrong_key_is_not_believed(void **state)
{
	struct world w;
	struct buf b = BUF_EMPTY;

	(void)state;
	holds_sealed(&w, 3);
	struct stream_name name = stream_at(&w, ANTWERPEN)->row.name;

	make_key(&w, &name, ANTWERPEN, 77, 1, &b);
	hear(&w, ANTWERPEN, LEUVEN, &b);
	assert_false(has_key(&w, ANTWERPEN));
	assert_true(world_alarm(&w, ANTWERPEN, "peer"));
	assert_true(world_alarm(&w, ANTWERPEN, "sealed"));
	make_key(&w, &name, NAMEN, 77, 1, &b); /* not even for us */
	hear(&w, ANTWERPEN, LEUVEN, &b);
	assert_false(has_key(&w, ANTWERPEN));
	link_all(&w);
	world_run(&w, 40 * US_PER_S);
	assert_false(world_alarm(&w, ANTWERPEN, "dead-letter"));
	assert_int_equal(taken(&w), 3);
	buf_release(&b);
	finish(&w);
}

static void what_was_not_asked_for_is_not_taken(void **state)
{
	struct world w;
	struct buf b = BUF_EMPTY;

	(void)state;
	begin(&w, 4);
	make_key(&w, &stream_at(&w, NAMEN)->row.name, NAMEN, 77, 1, &b); /* Namen opens that stream as it is */
	hear(&w, NAMEN, LEUVEN, &b);
	assert_false(has_key(&w, NAMEN));
	buf_release(&b);
	finish(&w);
}

/* By the orders that the asked site knows. */
static void only_custodians_are_given_keys(void **state)
{
	struct world w;
	struct buf b = BUF_EMPTY;

	(void)state;
	begin(&w, 5);
	struct key_name name = {stream_at(&w, NAMEN)->row.name, 2};

	frame_keys_want(&b, &name, 1);
	hear(&w, NAMEN, ANTWERPEN, &b);
	assert_int_equal(keys_said(&w, N, KEYS_GIVE), 0);
	hear(&w, NAMEN, LEUVEN, &b); /* a standby of Luik */
	assert_int_equal(keys_said(&w, LEUVEN, KEYS_GIVE), 1);
	hear(&w, NAMEN, SPOC, &b); /* who wrote it */
	assert_int_equal(keys_said(&w, SPOC, KEYS_GIVE), 1);
	relocate(&w, NAMEN);
	hear(&w, NAMEN, ANTWERPEN, &b);
	assert_int_equal(keys_said(&w, ANTWERPEN, KEYS_GIVE), 1);
	buf_clear(&b);
	name.number = 99; /* nothing is there to be opened */
	frame_keys_want(&b, &name, 1);
	hear(&w, NAMEN, ANTWERPEN, &b);
	assert_int_equal(keys_said(&w, N, KEYS_GIVE), 0);
	buf_release(&b);
	finish(&w);
}

/* The key comes in a batch that fails: it is asked for again. */
static void a_failed_commit_only_delays(void **state)
{
	struct world w;

	(void)state;
	holds_sealed(&w, 6);
	w.node[ANTWERPEN].fail_with = ERR_FULL;
	link_all(&w);
	for (int i = 0; i < 400; i++) {
		w.node[ANTWERPEN].fail_at = i % 3 ? w.node[ANTWERPEN].commits + 1 : 0;
		world_run(&w, 50000);
	}
	w.node[ANTWERPEN].fail_at = 0;
	world_run(&w, 70 * US_PER_S);
	assert_true(has_key(&w, ANTWERPEN));
	assert_int_equal(taken(&w), 3);
	assert_false(world_alarm(&w, ANTWERPEN, "sealed"));
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_newcomer_is_given_the_keys),
		cmocka_unit_test(what_is_wanted_is_found_again_after_a_restart),
		cmocka_unit_test(lost_frames_only_delay),
		cmocka_unit_test(a_wrong_key_is_not_believed),
		cmocka_unit_test(what_was_not_asked_for_is_not_taken),
		cmocka_unit_test(only_custodians_are_given_keys),
		cmocka_unit_test(a_failed_commit_only_delays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
