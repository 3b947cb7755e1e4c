/* Orders and endorsements reach every site, whatever is lost on the way, and who has them is told truly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "proto/frame.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, SPOC, N };

/* ---- orders made by hand ----------------------------------------------------------------------------------------------- */

static struct hash network(const struct world *w)
{
	return roster_network_hash(w->keys[0].network, &w->authority_public);
}

/* A relocation of Luik to Namen, signed by the SPOC; epoch 2 and up wait for a predecessor that never comes. */
static struct hash order_blob(const struct world *w, uint32_t epoch, uint8_t salt, struct buf *blob)
{
	struct order o = {.kind = ORDER_RELOCATE, .site = w->number[LUIK], .issuer = w->number[SPOC], .epoch = epoch, .roster = 1,
			  .issued = world_wall(w, SPOC), .reason = "flood", .n_assign = 1, .assign = {{.to = w->number[NAMEN]}}};
	struct hash net = network(w), id;
	struct order back;

	if (epoch > 1)
		o.before = (struct hash){{salt, 1}};
	assert_int_equal(order_make(w->suite, &w->keys[SPOC].identity, &net, &o, blob), ERR_OK);
	assert_int_equal(order_decode(buf_view(blob), &back, &id), ERR_OK);
	return id;
}

/* ---- frames by hand ------------------------------------------------------------------------------------------------------ */

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

static void given(struct world *w, size_t at, size_t from, uint8_t kind, const struct buf *blob)
{
	struct buf b = BUF_EMPTY;

	frame_state_give(&b, &(struct hash){{9}}, kind, buf_view(blob));
	hear(w, at, from, &b);
	buf_release(&b);
}

static void offered(struct world *w, size_t at, size_t from, const struct state_item *items, size_t n)
{
	struct buf b = BUF_EMPTY;

	frame_state_offer(&b, &(struct hash){{9}}, true, &(struct state_name){0}, &STATE_NAME_LAST, items, n);
	hear(w, at, from, &b);
	buf_release(&b);
}

/* The state frames of a kind that went to a peer; the last of them in *last. */
static size_t said(const struct world *w, size_t to, enum state_what what, struct state_frame *last)
{
	static struct frame f;
	size_t n = 0;

	for (size_t i = 0; i < out.n; i++) {
		if (out.list[i].type != EFFECT_FRAME || out.list[i].peer != w->number[to])
			continue;
		assert_int_equal(frame_decode(effect_bytes(&out, &out.list[i]), &f), ERR_OK);
		if (f.type != FRAME_STATE || f.u.state.what != what)
			continue;
		n++;
		if (last)
			*last = f.u.state;
	}
	return n;
}

static size_t orders_at(const struct world *w, size_t i)
{
	return w->node[i].core->takeover.n_orders;
}

static bool all_same(const struct world *w)
{
	for (size_t i = 1; i < w->n; i++)
		if (!hash_equal(&w->node[i].core->takeover.state, &w->node[0].core->takeover.state))
			return false;
	return true;
}

static void cut_off(struct world *w, size_t i, bool up)
{
	for (size_t k = 0; k < w->n; k++)
		if (k != i)
			world_link(w, i, k, up);
}

static void finish(struct world *w, struct buf *blob)
{
	effects_release(&out);
	out = EFFECTS_EMPTY;
	buf_release(blob);
	world_release(w);
}

/* ---- what is promised ------------------------------------------------------------------------------------------------------- */

static void what_is_new_goes_to_all_at_once(void **state)
{
	struct world w;
	struct buf blob = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, N, 1);
	struct hash id = order_blob(&w, 1, 0, &blob);

	given(&w, LUIK, SPOC, STATE_KIND_ORDER, &blob);
	assert_int_equal(said(&w, NAMEN, STATE_GIVE, NULL), 1);
	assert_int_equal(said(&w, LEUVEN, STATE_GIVE, NULL), 1);
	assert_int_equal(said(&w, SPOC, STATE_GIVE, NULL), 0); /* it has it */
	assert_int_equal(said(&w, SPOC, STATE_TELL, NULL), 1);
	assert_true(state_acknowledged(w.node[LUIK].core, &id, w.number[LUIK]));
	assert_true(state_acknowledged(w.node[LUIK].core, &id, w.number[SPOC]));
	assert_false(state_acknowledged(w.node[LUIK].core, &id, w.number[NAMEN]));
	given(&w, LUIK, NAMEN, STATE_KIND_ORDER, &blob); /* once more: nothing new */
	assert_int_equal(said(&w, LEUVEN, STATE_GIVE, NULL), 0);
	assert_true(state_acknowledged(w.node[LUIK].core, &id, w.number[NAMEN]));
	finish(&w, &blob);
}

/* Given at one site while another is cut off, with every third frame lost, and two restarts. */
static void it_reaches_all_in_the_end(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct world w;
		struct buf blob = BUF_EMPTY;
		struct hash id[3];

		world_init(&w, SITES, N, seed);
		cut_off(&w, LUIK, false);
		w.loss_percent = 33;
		for (uint8_t i = 0; i < 3; i++) {
			size_t at = i == 0 ? LUIK : i == 1 ? NAMEN : SPOC;

			buf_clear(&blob);
			id[i] = order_blob(&w, 1 + i, i, &blob);
			given(&w, at, LEUVEN, STATE_KIND_ORDER, &blob); /* the answer is lost too */
		}
		world_run(&w, 10 * US_PER_S);
		world_crash(&w, NAMEN);
		cut_off(&w, LUIK, true);
		world_start(&w, NAMEN);
		world_run(&w, 200 * US_PER_S);
		w.loss_percent = 0;
		world_run(&w, 70 * US_PER_S);
		assert_true(all_same(&w));
		assert_int_equal(orders_at(&w, LEUVEN), 3);
		for (size_t at = 0; at < N; at++)
			for (size_t i = 0; i < 3; i++)
				for (size_t k = 0; k < N; k++)
					assert_true(state_acknowledged(w.node[at].core, &id[i], w.number[k]));
		finish(&w, &blob);
	}
}

/* A batch that fails takes the order with it; it comes with the next probe. */
static void a_failed_commit_delays_it(void **state)
{
	struct world w;
	struct buf blob = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, N, 3);
	order_blob(&w, 1, 0, &blob);
	w.node[NAMEN].fail_with = ERR_FULL;
	given(&w, SPOC, LUIK, STATE_KIND_ORDER, &blob);
	for (uint64_t k = 1; k <= 3; k++) {
		struct buf b = BUF_EMPTY;

		w.node[NAMEN].fail_at = w.node[NAMEN].commits + 1;
		frame_state_give(&b, &w.node[SPOC].core->takeover.state, STATE_KIND_ORDER, buf_view(&blob));
		hear(&w, NAMEN, SPOC, &b);
		assert_int_equal(orders_at(&w, NAMEN), 0);
		buf_release(&b);
	}
	assert_false(all_same(&w));
	w.node[NAMEN].fail_at = 0;
	world_run(&w, 20 * US_PER_S);
	assert_int_equal(orders_at(&w, NAMEN), 1);
	assert_true(all_same(&w));
	finish(&w, &blob);
}

/* Who offers less than it had, as after a loss, has not got it any more, and is given it. */
static void who_lost_it_is_given_it(void **state)
{
	struct world w;
	struct buf blob = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, N, 4);
	struct hash id = order_blob(&w, 1, 0, &blob);
	struct state_item has = {{STATE_KIND_ORDER, id}, false};

	given(&w, LUIK, SPOC, STATE_KIND_ORDER, &blob);
	offered(&w, LUIK, NAMEN, &has, 1);
	assert_int_equal(said(&w, NAMEN, STATE_GIVE, NULL), 0);
	assert_true(state_acknowledged(w.node[LUIK].core, &id, w.number[NAMEN]));
	offered(&w, LUIK, NAMEN, NULL, 0);
	assert_int_equal(said(&w, NAMEN, STATE_GIVE, NULL), 1);
	assert_false(state_acknowledged(w.node[LUIK].core, &id, w.number[NAMEN]));
	has.declined = true; /* it does not want it */
	offered(&w, LUIK, NAMEN, &has, 1);
	assert_int_equal(said(&w, NAMEN, STATE_GIVE, NULL), 0);
	assert_false(state_acknowledged(w.node[LUIK].core, &id, w.number[NAMEN]));
	finish(&w, &blob);
}

/* One answer is bounded; what is left follows. */
static void much_of_it_goes_in_parts(void **state)
{
	struct world w;
	struct buf blob = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, N, 5);
	cut_off(&w, NAMEN, false);
	for (uint8_t i = 0; i < 150; i++) {
		buf_clear(&blob);
		order_blob(&w, 2, i, &blob);
		given(&w, LUIK, SPOC, STATE_KIND_ORDER, &blob);
	}
	offered(&w, LUIK, NAMEN, NULL, 0);
	assert_int_equal(said(&w, NAMEN, STATE_GIVE, NULL), 64);
	cut_off(&w, NAMEN, true);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(orders_at(&w, NAMEN), 150);
	assert_true(all_same(&w));
	finish(&w, &blob);
}

/* What was refused is not asked for again from who gave it, and does not stand in the way of the same object, well signed, from another. */
static void what_is_refused_is_declined(void **state)
{
	struct world w;
	struct buf blob = BUF_EMPTY, bad = BUF_EMPTY;
	struct state_frame f;
	struct state_item item;

	(void)state;
	world_init(&w, SITES, N, 6);
	struct state_name name = {STATE_KIND_ORDER, order_blob(&w, 1, 0, &blob)};
	struct state_item theirs = {name, false};

	buf_add(&bad, buf_view(&blob));
	bad.ptr[bad.len - 1] ^= 1;
	given(&w, LUIK, NAMEN, STATE_KIND_ORDER, &bad);
	assert_int_equal(orders_at(&w, LUIK), 0);
	offered(&w, LUIK, NAMEN, &theirs, 1);
	assert_int_equal(said(&w, NAMEN, STATE_OFFER, &f), 0); /* there is nothing to be had */
	assert_true(state_complete(w.node[LUIK].core, peer_find(w.node[LUIK].core, w.number[NAMEN])));
	offered(&w, LUIK, LEUVEN, &theirs, 1);
	assert_int_equal(said(&w, LEUVEN, STATE_OFFER, &f), 1); /* Leuven may have a good one */
	assert_int_equal(f.n, 0);
	assert_false(state_complete(w.node[LUIK].core, peer_find(w.node[LUIK].core, w.number[LEUVEN])));
	theirs.name.id.b[0] ^= 1; /* something else of Namen's is asked for, and the refused one is declined */
	offered(&w, LUIK, NAMEN, &theirs, 1);
	assert_int_equal(said(&w, NAMEN, STATE_OFFER, &f), 1);
	assert_int_equal(f.n, 1);
	assert_int_equal(state_item_next(&f.items, &item), ERR_OK);
	assert_true(item.declined && state_name_compare(&item.name, &name) == 0);
	given(&w, LUIK, LEUVEN, STATE_KIND_ORDER, &blob);
	assert_int_equal(orders_at(&w, LUIK), 1);
	buf_release(&bad);
	finish(&w, &blob);
}

static void offers_are_not_repeated_for_nothing(void **state)
{
	struct world w;
	struct buf blob = BUF_EMPTY, probe = BUF_EMPTY;
	size_t n = 0;

	(void)state;
	world_init(&w, SITES, N, 7);
	order_blob(&w, 1, 0, &blob);
	given(&w, LUIK, SPOC, STATE_KIND_ORDER, &blob);
	cut_off(&w, LUIK, false); /* what Luik says is heard by nobody */
	frame_probe(&probe, FRAME_PROBE, &(struct probe){.token = (uint64_t)world_wall(&w, NAMEN).us, .state = {{7}}});
	for (int second = 0; second < 300; second += 5) {
		hear(&w, LUIK, NAMEN, &probe);
		n += said(&w, NAMEN, STATE_OFFER, NULL);
		world_run(&w, 5 * US_PER_S);
	}
	assert_in_range(n, 6, 12);
	buf_release(&probe);
	finish(&w, &blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_new_goes_to_all_at_once),
		cmocka_unit_test(it_reaches_all_in_the_end),
		cmocka_unit_test(a_failed_commit_delays_it),
		cmocka_unit_test(who_lost_it_is_given_it),
		cmocka_unit_test(much_of_it_goes_in_parts),
		cmocka_unit_test(what_is_refused_is_declined),
		cmocka_unit_test(offers_are_not_repeated_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
