/* Vectors and copies on their way that are not what they say: refused, counted, alarmed, and nobody else hears of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "proto/stream.h"
#include "tests/lib/asks.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-henegouwen"};
enum { LUIK, NAMEN, LEUVEN, HENEGOUWEN, N };

/* ---- saying it ---------------------------------------------------------------------------------------------------------- */

static struct peer *peer_at(struct world *w, size_t at, size_t i)
{
	return peer_find(w->node[at].core, w->number[i]);
}

static struct hash network(const struct world *w)
{
	return roster_network_hash(w->keys[0].network, &w->authority_public);
}

/* What `holder` would say in that run: that it reaches Henegouwen alone, and how far it is with one stream (NULL: none). */
static struct buf vector_of(struct world *w, size_t holder, size_t signer, struct incarnation run, uint64_t version, const struct frontier *f)
{
	uint8_t peers[2] = {0, (uint8_t)w->number[HENEGOUWEN]};
	struct vector v = {.holder = w->number[holder], .incarnation = run, .version = version, .peers = 1, .peer_bytes = view_of(peers, sizeof peers)};
	struct buf out = BUF_EMPTY, frontiers = BUF_EMPTY;
	struct hash net = network(w);

	if (f)
		frontier_add(&frontiers, f);
	v.frontiers = f != NULL;
	v.frontier_bytes = buf_view(&frontiers);
	assert_int_equal(vector_make(w->suite, &w->keys[signer].identity, &net, &v, &out), ERR_OK);
	buf_release(&frontiers);
	return out;
}

static void say(struct world *w, size_t at, size_t from, struct buf blob)
{
	struct buf frame = BUF_EMPTY;

	vectors_one(&frame, buf_view(&blob));
	ask_frame(w, at, from, &frame);
	buf_release(&frame);
	buf_release(&blob);
}

/* Does `at` believe that Leuven reaches Henegouwen alone? */
static bool believed(struct world *w, size_t at)
{
	const struct vector_known *k = peer_at(w, at, LEUVEN)->vector;

	return k && k->v.peers == 1;
}

static struct incarnation run_of(struct world *w, size_t i)
{
	return w->node[i].core->incarnation;
}

static void begin(struct world *w, uint64_t seed)
{
	world_init(w, SITES, N, seed);
	world_run(w, 20 * US_PER_S);
	assert_non_null(peer_at(w, NAMEN, LEUVEN)->vector);
}

/* The rest of the node goes on: a FLASH from Namen is read at Luik, and the journal is sound. */
static void unaffected(struct world *w)
{
	struct msgid id, got;

	ask_send(w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "het gaat door", &id);
	world_run(w, US_PER_S);
	ask_take_is(w, LUIK, "dispatch", "het gaat door", &got);
	ask_read(w, LUIK, &got);
	world_run(w, 2 * US_PER_S);
	assert_int_equal(world_state(w, NAMEN, &id), STATE_READ);
	world_verify(w, NAMEN);
}

/* ---- vectors --------------------------------------------------------------------------------------------------------------- */

/* Luik passes on a vector of Leuven's that Leuven never signed: it counts against Luik, and nothing of it is believed. What Leuven signed
 * is, from the same hands. */
static void one_that_its_holder_did_not_sign(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 61);
	say(&w, NAMEN, LUIK, vector_of(&w, LEUVEN, LUIK, run_of(&w, LEUVEN), 1000, NULL));
	assert_int_equal(peer_at(&w, NAMEN, LUIK)->bad_frames, 1);
	assert_int_equal(peer_at(&w, NAMEN, LEUVEN)->bad_frames, 0);
	assert_true(world_alarm(&w, NAMEN, "peer"));
	assert_false(believed(&w, NAMEN));
	unaffected(&w);
	say(&w, NAMEN, LUIK, vector_of(&w, LEUVEN, LEUVEN, run_of(&w, LEUVEN), 1001, NULL));
	assert_true(believed(&w, NAMEN));
	assert_int_equal(peer_at(&w, NAMEN, LUIK)->bad_frames, 1);
	world_release(&w);
}

/* One of an earlier version, or of an earlier run, shown again: passed over. Lines repeat, so that is nobody's fault. */
static void an_older_one_shown_again(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 62);
	struct incarnation before = run_of(&w, LEUVEN);
	uint64_t version = peer_at(&w, NAMEN, LEUVEN)->vector->v.version;

	assert_true(version > 0);
	say(&w, NAMEN, LUIK, vector_of(&w, LEUVEN, LEUVEN, before, version - 1, NULL));
	assert_false(believed(&w, NAMEN));
	before.born_us -= US_PER_S;
	say(&w, NAMEN, LUIK, vector_of(&w, LEUVEN, LEUVEN, before, 1000, NULL));
	assert_false(believed(&w, NAMEN));
	assert_int_equal(peer_at(&w, NAMEN, LUIK)->bad_frames, 0);
	assert_false(world_alarm(&w, NAMEN, "peer"));
	unaffected(&w);
	world_release(&w);
}

/* Of a site that was removed nothing counts, what it said before included, and nobody is blamed for handing it on. */
static void one_of_a_site_that_is_gone(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 63);
	struct incarnation run = run_of(&w, HENEGOUWEN);
	struct roster *r = world_roster_copy(&w);

	roster_without(r, w.number[HENEGOUWEN], w.number[NAMEN]);
	world_roster(&w, r);
	roster_free(r);
	world_run(&w, 30 * US_PER_S);
	assert_null(peer_at(&w, NAMEN, HENEGOUWEN)->vector);
	say(&w, NAMEN, LUIK, vector_of(&w, HENEGOUWEN, HENEGOUWEN, run, 1000, NULL));
	assert_null(peer_at(&w, NAMEN, HENEGOUWEN)->vector);
	assert_int_equal(peer_at(&w, NAMEN, LUIK)->bad_frames, 0);
	unaffected(&w);
	world_release(&w);
}

/* A site that was enrolled anew: what its former identity signs counts no more, but who still hands it on did nothing wrong. */
static void one_of_a_former_identity(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 64);
	struct site_keys old = w.keys[LEUVEN];
	struct roster *r = world_roster_copy(&w);

	world_crash(&w, LEUVEN);
	world_enrol(&w, LEUVEN, r);
	world_roster(&w, r);
	roster_free(r);
	world_lose_journal(&w, LEUVEN);
	world_start(&w, LEUVEN);
	world_run(&w, 30 * US_PER_S);
	struct site_keys now = w.keys[LEUVEN];
	struct incarnation run = run_of(&w, LEUVEN);

	run.born_us += US_PER_S; /* one that would outdo all */
	w.keys[LEUVEN] = old;
	struct buf blob = vector_of(&w, LEUVEN, LEUVEN, run, 1000, NULL);

	w.keys[LEUVEN] = now;
	say(&w, NAMEN, LUIK, blob);
	assert_false(believed(&w, NAMEN));
	assert_int_equal(peer_at(&w, NAMEN, LUIK)->bad_frames, 0);
	unaffected(&w);
	world_release(&w);
}

/* It claims entries of Namen's own stream that Namen never wrote: alarmed against who signed it. Another chain where there are entries
 * says nothing: the message is not held because of it. */
static void one_ahead_of_what_exists(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 65);
	for (size_t i = 0; i < N; i++)
		if (i != NAMEN)
			world_link(&w, i, NAMEN, false);
	world_run(&w, 10 * US_PER_S);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "weg van alles", &id);
	struct core *c = w.node[NAMEN].core;
	struct stream *s = NULL;

	for (size_t i = 0; i < c->n_streams; i++)
		if (c->streams[i]->own && c->streams[i]->row.name.addressee == w.number[LUIK])
			s = c->streams[i];
	assert_non_null(s);
	struct frontier f = {.stream = s->row.name, .number = s->row.held, .chain = {{7}}};

	say(&w, NAMEN, HENEGOUWEN, vector_of(&w, LUIK, LUIK, run_of(&w, LUIK), 1000, &f));
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_ACCEPTED);
	assert_int_equal(peer_at(&w, NAMEN, LUIK)->bad_frames, 0);
	f.number = s->row.held + 1;
	say(&w, NAMEN, HENEGOUWEN, vector_of(&w, LUIK, LUIK, run_of(&w, LUIK), 1001, &f));
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_ACCEPTED);
	assert_int_equal(peer_at(&w, NAMEN, LUIK)->bad_frames, 1);
	assert_int_equal(peer_at(&w, NAMEN, HENEGOUWEN)->bad_frames, 0);
	assert_true(world_alarm(&w, NAMEN, "peer"));
	f.number = s->row.held;
	f.chain = s->row.chain;
	say(&w, NAMEN, HENEGOUWEN, vector_of(&w, LUIK, LUIK, run_of(&w, LUIK), 1002, &f));
	assert_true(world_state(&w, NAMEN, &id) >= STATE_HELD);
	world_release(&w);
}

/* Cut at every byte, of an unknown kind, with something behind it: each is counted, none is believed. */
static void malformed_frames(void **state)
{
	struct world w;
	struct buf whole = BUF_EMPTY, frame = BUF_EMPTY;
	uint64_t bad = 0;

	(void)state;
	begin(&w, 66);
	struct buf blob = vector_of(&w, LEUVEN, LEUVEN, run_of(&w, LEUVEN), 1000, NULL);

	vectors_one(&whole, buf_view(&blob));
	for (size_t len = 2; len < whole.len; len++) {
		buf_clear(&frame);
		buf_add(&frame, view_of(whole.ptr, len));
		ask_frame(&w, NAMEN, LUIK, &frame);
		bad += len != 3; /* none at all is a list too */
	}
	for (uint8_t what = 0; what < 5; what++) {
		buf_clear(&frame);
		frame_begin(&frame, FRAME_VECTOR);
		buf_add_u8(&frame, what);
		buf_add(&frame, view_str("x"));
		ask_frame(&w, NAMEN, LUIK, &frame);
		bad++;
	}
	assert_false(believed(&w, NAMEN));
	assert_int_equal(peer_at(&w, NAMEN, LUIK)->bad_frames, bad);
	assert_true(world_alarm(&w, NAMEN, "peer"));
	unaffected(&w);
	buf_release(&blob);
	buf_release(&whole);
	buf_release(&frame);
	world_release(&w);
}

/* ---- copies on their way ------------------------------------------------------------------------------------------------------- */

/* A stream of Luik's, of reports that nobody here opens, in a frame that begins behind `before` entries; signed by `signer`. said: the
 * chain that the frame says was there. */
static struct stream_name copy_frame(struct world *w, size_t to, size_t signer, uint64_t before, uint64_t upto, const struct hash *said, struct buf *out)
{
	struct stream_name name = {.originator = w->number[LUIK], .addressee = w->number[to], .precedence = PREC_FLASH, .incarnation = {1626000000000000, {9}}};
	struct hash net = network(w), stream = stream_hash(&net, &name), chain = stream;
	struct head head = {.number = upto};
	struct segment_writer sw;
	struct hash there = stream;
	uint8_t bytes[16][HEADER_BYTES];
	struct entry e[16] = {0};

	for (uint64_t n = 1; n <= upto; n++) {
		struct header h = {.kind = KIND_REPORT, .precedence = PREC_FLASH, .originator = name.originator, .id = {{(uint8_t)n}}, .sent = {1626000000000000LL}};

		header_encode(&h, bytes[n]);
		e[n].header = view_of(bytes[n], HEADER_BYTES);
		e[n].envelope = view_str("verzegeld");
		entry_hash(&e[n]);
		struct hash leaf = entry_leaf(&e[n]);

		chain = chain_next(&chain, n, &leaf);
		if (n == before)
			there = chain;
	}
	head.chain = chain;
	head_sign(w->suite, &w->keys[signer].identity, &stream, &head);
	frame_begin(out, FRAME_SEGMENT_AFTER);
	buf_add(out, view_of(said ? said->b : there.b, HASH_BYTES));
	segment_begin(&sw, out, &name, before + 1);
	for (uint64_t n = before + 1; n <= upto; n++)
		segment_add(&sw, &e[n]);
	segment_end(&sw, NULL, 0, &head);
	return name;
}

static const struct stream *copy_at(struct world *w, size_t at, const struct stream_name *name)
{
	return stream_by_name(w->node[at].core, name);
}

/* A copy for Leuven begins behind the fifth entry. Another chain, another signer, a number too many or too few: refused, and the giver
 * is named. */
static void beginnings_that_do_not_count(void **state)
{
	struct hash wrong = {{5}};
	struct buf b = BUF_EMPTY;
	struct stream_name name;
	struct world w;

	(void)state;
	begin(&w, 67);
	name = copy_frame(&w, LEUVEN, LUIK, 5, 8, &wrong, &b);
	ask_frame(&w, NAMEN, HENEGOUWEN, &b);
	assert_null(copy_at(&w, NAMEN, &name));
	assert_int_equal(peer_at(&w, NAMEN, HENEGOUWEN)->bad_frames, 1);
	buf_clear(&b);
	copy_frame(&w, LEUVEN, HENEGOUWEN, 5, 8, NULL, &b);
	ask_frame(&w, NAMEN, HENEGOUWEN, &b);
	assert_int_equal(peer_at(&w, NAMEN, HENEGOUWEN)->bad_frames, 2);
	for (int off = -1; off <= 1; off += 2) {
		const size_t first = 2 + HASH_BYTES + STREAM_NAME_BYTES + 7; /* the last byte of the number of its first entry */

		buf_clear(&b);
		copy_frame(&w, LEUVEN, LUIK, 5, 8, NULL, &b);
		assert_int_equal(b.ptr[first], 6);
		b.ptr[first] = (uint8_t)(6 + off);
		ask_frame(&w, NAMEN, HENEGOUWEN, &b);
	}
	assert_null(copy_at(&w, NAMEN, &name));
	assert_int_equal(peer_at(&w, NAMEN, HENEGOUWEN)->bad_frames, 4);
	assert_true(world_alarm(&w, NAMEN, "peer"));
	unaffected(&w);
	buf_clear(&b);
	copy_frame(&w, LEUVEN, LUIK, 5, 8, NULL, &b);
	ask_frame(&w, NAMEN, HENEGOUWEN, &b);
	assert_non_null(copy_at(&w, NAMEN, &name));
	assert_int_equal(copy_at(&w, NAMEN, &name)->row.held, 8);
	assert_int_equal(copy_at(&w, NAMEN, &name)->row.floor, 5);
	assert_int_equal(peer_at(&w, NAMEN, HENEGOUWEN)->bad_frames, 4);
	world_verify(&w, NAMEN);
	buf_release(&b);
	world_release(&w);
}

/* Whom a stream concerns begins nowhere but at its first entry, or at a floor that somebody signed: what is missing before it is asked for. */
static void a_custodian_does_not_begin_there(void **state)
{
	struct buf b = BUF_EMPTY;
	struct world w;

	(void)state;
	begin(&w, 68);
	struct stream_name name = copy_frame(&w, NAMEN, LUIK, 5, 8, NULL, &b);

	ask_frame(&w, NAMEN, LEUVEN, &b);
	const struct stream *s = copy_at(&w, NAMEN, &name);

	assert_true(!s || s->row.held == 0);
	buf_clear(&b);
	copy_frame(&w, NAMEN, LUIK, 0, 3, NULL, &b);
	ask_frame(&w, NAMEN, LEUVEN, &b);
	assert_int_equal(copy_at(&w, NAMEN, &name)->row.held, 3);
	assert_int_equal(copy_at(&w, NAMEN, &name)->row.floor, 0);
	buf_clear(&b);
	copy_frame(&w, NAMEN, LUIK, 5, 8, NULL, &b);
	ask_frame(&w, NAMEN, LEUVEN, &b);
	assert_int_equal(copy_at(&w, NAMEN, &name)->row.held, 3);
	assert_int_equal(peer_at(&w, NAMEN, LEUVEN)->bad_frames, 0);
	world_verify(&w, NAMEN);
	buf_release(&b);
	world_release(&w);
}

/* The floor of a copy says only where others were when it began: it is not handed on as one below which all has ended. */
static void the_floor_of_a_copy_is_nobodys(void **state)
{
	struct floor_frame floor;
	struct buf b = BUF_EMPTY;
	struct world w;

	(void)state;
	begin(&w, 69);
	struct stream_name name = copy_frame(&w, LEUVEN, LUIK, 5, 8, NULL, &b);

	ask_frame(&w, NAMEN, HENEGOUWEN, &b);
	struct core *c = w.node[NAMEN].core;
	struct stream *s = stream_by_name(c, &name);

	assert_int_equal(s->row.floor, 5);
	assert_null(c->t);
	assert_int_equal(txn_begin(w.node[NAMEN].store, true, &c->t), ERR_OK);
	assert_false(floor_say(c, s, &floor));
	floor_sign_own(c, s); /* as one who removed what had ended */
	assert_true(floor_say(c, s, &floor));
	assert_int_equal(floor.floor.number, 5);
	txn_abort(c->t);
	c->t = NULL;
	buf_release(&b);
	world_release(&w);
}

/* What was in the air to Luik was given up, and nothing is due any more: that its probes are answered says that the line lives. */
static void a_line_given_up_lives_again(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 70);
	struct peer *p = peer_at(&w, NAMEN, LUIK);

	assert_true(p->live);
	p->lane[LANE_URGENT].timeouts = 1;
	p->live = false;
	world_run(&w, 60 * US_PER_S);
	assert_true(p->live);
	assert_int_equal(p->lane[LANE_URGENT].timeouts, 0);
	world_release(&w);
}

/* ---- how long all are told ------------------------------------------------------------------------------------------------- */

static void asks_of(struct world *w, size_t at, size_t from, const struct stream_name *name)
{
	struct hash net = network(w);
	struct frontier f = {.stream = *name, .chain = stream_hash(&net, name)};
	struct buf frame = BUF_EMPTY;

	frame_frontiers_begin(&frame, FRONTIERS_ASK);
	frontier_add(&frame, &f);
	ask_frame(w, at, from, &frame);
	buf_release(&frame);
}

/* A message from Namen; how many vectors Luik made on it. */
static uint64_t vectors_on_one(struct world *w)
{
	uint64_t before = w->node[LUIK].core->vectors.version;
	struct msgid id;

	ask_send(w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "nog een", &id);
	world_run(w, 15 * US_PER_S);
	return w->node[LUIK].core->vectors.version - before;
}

/* Luik tells all how far it is while somebody passes on what is for it, and for a while after; not for ever: each vector goes over every
 * link of the network. */
static void who_passes_on_is_told_for_a_while(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 70);
	assert_int_equal(vectors_on_one(&w), 0);
	struct stream_name name = {.originator = w.number[NAMEN], .incarnation = run_of(&w, NAMEN), .addressee = w.number[LUIK], .precedence = PREC_ROUTINE};

	asks_of(&w, LUIK, HENEGOUWEN, &name);
	world_run(&w, 15 * US_PER_S);
	assert_true(vectors_on_one(&w) > 0);
	world_run(&w, 600 * US_PER_S);
	assert_int_equal(vectors_on_one(&w), 0);
	asks_of(&w, LUIK, HENEGOUWEN, &name);
	assert_true(vectors_on_one(&w) > 0);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_its_holder_did_not_sign), cmocka_unit_test(an_older_one_shown_again), cmocka_unit_test(one_of_a_site_that_is_gone),
		cmocka_unit_test(one_of_a_former_identity),         cmocka_unit_test(one_ahead_of_what_exists), cmocka_unit_test(malformed_frames),
		cmocka_unit_test(beginnings_that_do_not_count),     cmocka_unit_test(a_custodian_does_not_begin_there),
		cmocka_unit_test(the_floor_of_a_copy_is_nobodys),   cmocka_unit_test(a_line_given_up_lives_again),
		cmocka_unit_test(who_passes_on_is_told_for_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
