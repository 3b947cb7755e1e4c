/* Large bodies between cores: in slices on narrow lines, resumed in mid-chunk, the most urgent first, from whoever holds chunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant"};
enum { LUIK, NAMEN, LEUVEN, N_SITES };
#define QUEUE "cic-luik/messages"

static uint8_t *random_body(struct world *w, size_t len)
{
	uint8_t *body = malloc(len);

	assert_non_null(body);
	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t)world_random(w, 256);
	return body;
}

static struct msgid send_body(struct world *w, size_t from, const char *to, enum precedence p, size_t len)
{
	uint8_t *body = random_body(w, len);
	struct msgid id;

	assert_int_equal(world_send(w, from, to, p, view_of(body, len), NULL, &id, NULL), ERR_OK);
	free(body);
	return id;
}

static bool delivered(struct world *w, size_t at, const struct msgid *id)
{
	return world_state(w, at, id) >= STATE_DELIVERED;
}

/* Runs until it is delivered, in steps; how long that took at most. */
static int64_t run_until(struct world *w, size_t at, const struct msgid *id, int64_t most_us, int64_t step_us)
{
	for (int64_t us = 0; us < most_us; us += step_us) {
		world_run(w, step_us);
		if (delivered(w, at, id))
			return us + step_us;
	}
	return INT64_MAX;
}

static size_t fetches(struct world *w, size_t i)
{
	return w->node[i].core->n_fetches;
}

static uint32_t chunks_here(struct world *w, size_t i)
{
	return fetches(w, i) ? w->node[i].core->fetches[0].have : UINT32_MAX;
}

/* A chunk needs 55 s at 9 600 bit/s, and the line lives 20 s at a time: it comes all the same, and hardly anything twice. */
static void slices_outlive_cuts(void **state)
{
	const size_t len = 150000;
	struct world w;
	int rounds = 0;

	(void)state;
	world_init(&w, SITES, 2, 201);
	w.rate_bps = 9600;
	w.delay_us = 50 * US_PER_MS;
	struct msgid id = send_body(&w, NAMEN, QUEUE, PREC_ROUTINE, len);
	uint64_t before = w.frame_bytes;

	while (!delivered(&w, NAMEN, &id) && rounds++ < 15) {
		world_run(&w, 20 * US_PER_S);
		world_link(&w, NAMEN, LUIK, false);
		world_run(&w, 2 * US_PER_S);
		world_link(&w, NAMEN, LUIK, true);
	}
	assert_true(delivered(&w, NAMEN, &id));
	/* What a slice of 1 KiB needs around it, and acknowledgements, are a tenth. */
	print_message("%d cuts, %.1f %% more than the body\n", rounds, 100.0 * (double)(w.frame_bytes - before - len) / (double)len);
	assert_true(w.frame_bytes - before < len * 118 / 100);
	world_release(&w);
}

/* Does a row of that answer say so? */
static bool shows(struct world *w, size_t i, const char *what, const char *queue, const struct msgid *id, const char *said)
{
	struct buf b = BUF_EMPTY;
	struct request_writer rw;
	struct request r;
	bool found = false;

	request_begin(&rw, &b, REQ_SHOW, 7777);
	request_str(&rw, F_WHAT, what);
	if (id)
		request_id(&rw, id);
	else
		request_str(&rw, F_QUEUE, queue);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	world_run(w, 10000);
	while (world_reply(w, i, &r))
		for (struct request_item f; r.tag == 7777 && request_next(&r.fields, &f) == ERR_OK;)
			found = found || (f.value.len && memmem(f.value.ptr, f.value.len, said, strlen(said)));
	return found;
}

/* At 64 kbit/s a FLASH of 100 KB needs 13 s, whatever stands before it; what it overtook then goes on where it was. */
static void flash_overtakes(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 2, 202);
	w.rate_bps = 64000;
	struct msgid routine = send_body(&w, NAMEN, QUEUE, PREC_ROUTINE, 500000);
	uint64_t before = w.frame_bytes;

	world_run(&w, 20 * US_PER_S);
	uint32_t had = chunks_here(&w, LUIK);

	assert_int_equal(world_status(&w, LUIK, "bodies_coming"), 1);
	assert_in_range(world_status(&w, LUIK, "bodies_coming_here"), 60000, 200000);
	assert_in_range(world_status(&w, LUIK, "bodies_coming_bytes"), 500000, 510000);
	assert_true(shows(&w, LUIK, "trace", NULL, &routine, "from cic-namen: 2 of 8 chunks are here (2"));
	assert_true(shows(&w, NAMEN, "trace", NULL, &routine, "its body goes there: 2 of 8 chunks are sent (25%)"));
	assert_true(shows(&w, LUIK, "browse", QUEUE, NULL, "coming"));
	struct msgid flash = send_body(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, 100000);
	int64_t took = run_until(&w, NAMEN, &flash, 60 * US_PER_S, US_PER_S);

	print_message("FLASH took %lld s\n", (long long)(took / US_PER_S));
	assert_true(took <= 18 * US_PER_S);
	assert_false(delivered(&w, NAMEN, &routine));
	assert_in_range(chunks_here(&w, LUIK), had, had + 1);
	assert_true(run_until(&w, NAMEN, &routine, 90 * US_PER_S, US_PER_S) < INT64_MAX);
	print_message("%.1f %% more than the bodies\n", 100.0 * (double)(w.frame_bytes - before - 600000) / 600000);
	assert_true(w.frame_bytes - before < 600000 * 112 / 100);
	world_release(&w);
}

/* 60 KB on a narrow line come in slices, out of an entry, and go on from another holder where the first one was cut off. */
static void short_body_from_another_holder(enum precedence precedence)
{
	const size_t len = 60000;
	struct world w;

	world_init(&w, SITES, 3, 212);
	w.rate_bps = 9600;
	w.delay_us = 50 * US_PER_MS;
	struct msgid id = send_body(&w, NAMEN, QUEUE, precedence, len);
	uint64_t before = w.frame_bytes;

	world_run(&w, 30 * US_PER_S);
	assert_int_equal(fetches(&w, LUIK), 1);
	struct fetch *f = &w.node[LUIK].core->fetches[0];

	assert_true(f->single && f->part.len > 15000);
	assert_true(world_state(&w, NAMEN, &id) < STATE_HELD); /* what is not whole is not held */
	world_link(&w, NAMEN, LUIK, false);
	world_run(&w, 120 * US_PER_S);
	assert_int_equal(fetches(&w, LUIK), 0);
	assert_int_equal(fetches(&w, LEUVEN), 0);
	print_message("%.1f %% more than the bodies\n", 100.0 * (double)(w.frame_bytes - before - 2 * len) / (double)(2 * len));
	assert_true(w.frame_bytes - before < 2 * len * 130 / 100);
	world_verify(&w, LUIK);
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 10 * US_PER_S);
	assert_true(delivered(&w, NAMEN, &id));
	world_release(&w);
}

static void a_short_body_from_another_holder(void **state)
{
	(void)state;
	short_body_from_another_holder(PREC_ROUTINE);
	short_body_from_another_holder(PREC_FLASH);
}

/* Slices go as their messages do: a FLASH of 20 KB passes an IMMEDIATE of 60 KB, and one of 1 KiB passes both; that of 60 KB goes on where it
 * was, and what is bulk waits for all of them. */
static void slices_go_by_precedence(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 2, 213);
	w.rate_bps = 9600;
	w.delay_us = 50 * US_PER_MS;
	struct msgid routine = send_body(&w, NAMEN, QUEUE, PREC_ROUTINE, 30000);

	world_run(&w, 10 * US_PER_S);
	struct msgid immediate = send_body(&w, NAMEN, QUEUE, PREC_IMMEDIATE, 60000);
	uint64_t before = w.frame_bytes;

	world_run(&w, 20 * US_PER_S);
	assert_int_equal(fetches(&w, LUIK), 2);
	assert_int_equal(w.node[LUIK].core->fetches[0].rank, PREC_IMMEDIATE);
	assert_in_range(w.node[LUIK].core->fetches[0].part.len, 14000, 24000);
	assert_true(shows(&w, LUIK, "trace", NULL, &immediate, "from cic-namen: 0 of 1 chunks are here ("));
	assert_true(shows(&w, NAMEN, "trace", NULL, &immediate, "its body goes there in slices: "));
	struct msgid flash = send_body(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, 20000);

	world_run(&w, 5 * US_PER_S);
	struct msgid brief = send_body(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, 1024);

	assert_true(run_until(&w, NAMEN, &brief, 30 * US_PER_S, US_PER_S) <= 8 * US_PER_S);
	assert_false(delivered(&w, NAMEN, &flash));
	assert_true(run_until(&w, NAMEN, &flash, 30 * US_PER_S, US_PER_S) <= 20 * US_PER_S);
	assert_false(delivered(&w, NAMEN, &immediate));
	assert_true(run_until(&w, NAMEN, &immediate, 90 * US_PER_S, US_PER_S) <= 50 * US_PER_S);
	assert_false(delivered(&w, NAMEN, &routine));
	print_message("%.1f %% more than the urgent bodies\n", 100.0 * (double)(w.frame_bytes - before - 81000) / 81000);
	assert_true(w.frame_bytes - before < 81000 * 125 / 100);
	assert_true(run_until(&w, NAMEN, &routine, 90 * US_PER_S, US_PER_S) <= 40 * US_PER_S);
	world_verify(&w, LUIK);
	world_release(&w);
}

/* More large bodies than a site may have on their way of one stream: their entries wait at who wrote them, since who does not take them does not
 * acknowledge them either, and would be given up for it. */
static void more_than_may_be_on_their_way(void **state)
{
	const int count = LIMIT_NOT_WHOLE + 16;
	struct msgid last = {{0}};
	size_t most = 0;
	struct world w;

	(void)state;
	world_init(&w, SITES, 2, 215);
	w.rate_bps = 256000;
	for (int i = 0; i < count; i++)
		last = send_body(&w, NAMEN, QUEUE, PREC_ROUTINE, 70000);
	for (int s = 0; s < 300 && !delivered(&w, NAMEN, &last); s++) {
		world_run(&w, US_PER_S);
		most = fetches(&w, LUIK) > most ? fetches(&w, LUIK) : most;
	}
	assert_true(delivered(&w, NAMEN, &last));
	assert_in_range(most, 8, LIMIT_NOT_WHOLE - 1);
	assert_int_equal(peer_find(w.node[NAMEN].core, w.number[LUIK])->given_up, 0);
	assert_int_equal(fetches(&w, LUIK), 0);
	world_release(&w);
}

/* At 64 kbit/s a FLASH of 60 KB needs 8 s, and its slices do not share them with bulk. */
static void bulk_waits_for_urgent_slices(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 2, 214);
	w.rate_bps = 64000;
	w.delay_us = 20 * US_PER_MS;
	struct msgid routine = send_body(&w, NAMEN, QUEUE, PREC_ROUTINE, 500000);

	world_run(&w, 20 * US_PER_S);
	struct msgid flash = send_body(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, 60000);
	int64_t took = run_until(&w, NAMEN, &flash, 60 * US_PER_S, US_PER_S / 4);

	print_message("FLASH took %.2f s\n", (double)took / US_PER_S);
	assert_true(took <= 11 * US_PER_S);
	assert_false(delivered(&w, NAMEN, &routine));
	world_release(&w);
}

/* The originator is cut off from the addressee in the middle; a standby that has no more of it than the addressee takes over, chunk by
 * chunk as it gets them. */
static void another_holder_goes_on(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 3, 203);
	w.rate_bps = 1000000;
	struct msgid id = send_body(&w, NAMEN, QUEUE, PREC_PRIORITY, 3000000);
	uint64_t before = w.frame_bytes;

	world_run(&w, 12 * US_PER_S);
	uint32_t had = chunks_here(&w, LUIK);

	assert_in_range(had, 5, 30);
	world_link(&w, NAMEN, LUIK, false);
	world_run(&w, 8 * US_PER_S);
	assert_true(fetches(&w, LEUVEN)); /* it is not whole itself */
	assert_true(chunks_here(&w, LUIK) > had + 3);
	world_run(&w, 30 * US_PER_S);
	assert_int_equal(fetches(&w, LUIK), 0);
	assert_true(w.frame_bytes - before < 2 * 3000000 * 106 / 100);
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 10 * US_PER_S);
	assert_true(delivered(&w, NAMEN, &id));
	world_release(&w);
}

/* Flips a byte of a chunk of the only large body at site i. */
static void spoil(struct world *w, size_t i, uint32_t chunk)
{
	struct buf b = BUF_EMPTY;
	struct body_row row = {0};
	struct txn *t;

	assert_int_equal(txn_begin(w->node[i].store, true, &t), ERR_OK);
	for (uint64_t a = store_last_arrival(t); a && !row.body_no; a--) {
		struct entry_row e;

		if (store_entry_get(t, a, &e) == ERR_OK && e.e.body_len > LIMIT_CHUNK_BYTES)
			assert_int_equal(store_body_row(t, e.body_class, e.body_no, &row), ERR_OK);
	}
	assert_int_equal(store_body_get_part(t, row.class, row.body_no, PART_CHUNK, chunk, &b), ERR_OK);
	b.ptr[77] ^= 1;
	store_body_put_part(t, row.class, row.body_no, PART_CHUNK, chunk, buf_view(&b));
	assert_int_equal(txn_commit(t), ERR_OK);
	buf_release(&b);
}

static void a_chunk_that_does_not_fit(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 3, 204);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, LEUVEN, LUIK, false);
	struct msgid id = send_body(&w, NAMEN, QUEUE, PREC_PRIORITY, 400000);

	world_run(&w, 20 * US_PER_S);
	assert_int_equal(fetches(&w, LEUVEN), 0);
	spoil(&w, NAMEN, 2);
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(chunks_here(&w, LUIK), 2);
	assert_true(world_alarm(&w, LUIK, "peer"));
	assert_false(delivered(&w, NAMEN, &id));
	/* It is not asked for again and again at the rate of the line. */
	assert_in_range(peer_find(w.node[LUIK].core, w.number[NAMEN])->bad_parts, 2, 8);
	world_link(&w, LEUVEN, LUIK, true);
	world_run(&w, 30 * US_PER_S);
	assert_int_equal(fetches(&w, LUIK), 0);
	assert_true(delivered(&w, NAMEN, &id));
	world_release(&w);
}

/* Slices of two holders that do not fit together say nothing of either: the part is fetched again from one. */
static void slices_of_two_that_do_not_fit(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 3, 205);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, LEUVEN, LUIK, false);
	struct msgid id = send_body(&w, NAMEN, QUEUE, PREC_PRIORITY, 70000);

	world_run(&w, 20 * US_PER_S);
	spoil(&w, NAMEN, 0); /* at its beginning */
	w.rate_bps = 9600;
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 25 * US_PER_S);
	assert_true(fetches(&w, LUIK) && w.node[LUIK].core->fetches[0].part.len > 1000);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, LEUVEN, LUIK, true);
	world_run(&w, 180 * US_PER_S);
	assert_int_equal(fetches(&w, LUIK), 0);
	assert_false(world_alarm(&w, LUIK, "peer"));
	w.rate_bps = 0;
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 10 * US_PER_S);
	assert_true(delivered(&w, NAMEN, &id));
	world_release(&w);
}

/* To a group: a standby holds two entries that name the same body, fetches it once, and has it once. */
static void one_body_for_two_entries(void **state)
{
	struct world w;
	struct txn *t;
	struct entry_row e;
	uint64_t body_no = 0;
	unsigned n = 0;

	(void)state;
	world_init(&w, SITES, 3, 206);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, LEUVEN, LUIK, false);
	w.rate_bps = 2000000;
	uint64_t before = w.frame_bytes;

	(void)send_body(&w, NAMEN, "all-cic/messages", PREC_PRIORITY, 800000);
	world_run(&w, 30 * US_PER_S);
	assert_int_equal(fetches(&w, LEUVEN), 0);
	assert_true(w.frame_bytes - before < 800000 * 108 / 100);
	assert_int_equal(txn_begin(w.node[LEUVEN].store, false, &t), ERR_OK);
	for (uint64_t a = store_last_arrival(t); a; a--) {
		if (store_entry_get(t, a, &e) || e.e.body_len < LIMIT_CHUNK_BYTES)
			continue;
		assert_true(!n++ || e.body_no == body_no);
		body_no = e.body_no;
	}
	txn_abort(t);
	assert_true(n >= 2);
	world_verify(&w, LEUVEN);
	world_release(&w);
}

static void frame_in(struct world *w, size_t to, size_t from, uint8_t side, const struct buf *b)
{
	struct event ev = {.type = EVENT_FRAME, .now = w->now, .wall = world_wall(w, to)};
	struct effects out = EFFECTS_EMPTY;

	ev.u.frame.peer = w->number[from];
	ev.u.frame.lane = LANE_BULK;
	ev.u.frame.side = side;
	ev.u.frame.bytes = buf_view(b);
	assert_int_equal(core_apply(w->node[to].core, w->node[to].store, &ev, 1, &out), ERR_OK);
	effects_release(&out);
}

/* Who asks for very many bodies, acknowledges what it was not given, and gives what nobody wanted, is refused and costs little. */
static void a_peer_that_lies(void **state)
{
	struct world w;
	struct buf b = BUF_EMPTY;
	static uint8_t bytes[2000];

	(void)state;
	world_init(&w, SITES, 2, 207);
	world_run(&w, 2 * US_PER_S);
	const struct peer *p = peer_find(w.node[NAMEN].core, w.number[LUIK]);

	for (uint32_t i = 0; i < 200; i++) {
		struct part want = {.kind = PART_CHUNK, .count = 500, .body.b = {(uint8_t)i, 1}};
		struct part part = {.kind = PART_CHUNK, .index = i, .total = 60000, .mark = i, .bytes = view_of(bytes, sizeof bytes), .body.b = {(uint8_t)i, 2}};

		buf_clear(&b);
		frame_want(&b, &want);
		frame_in(&w, NAMEN, LUIK, SIDE_DIALLED, &b);
		buf_clear(&b);
		frame_part(&b, &part);
		frame_in(&w, NAMEN, LUIK, SIDE_ACCEPTED, &b);
	}
	assert_int_equal(p->n_giving, 0);
	assert_int_equal(fetches(&w, NAMEN), 0);
	assert_false(world_alarm(&w, NAMEN, "peer"));
	buf_clear(&b);
	frame_got(&b, 1ull << 40);
	frame_in(&w, NAMEN, LUIK, SIDE_DIALLED, &b);
	assert_true(world_alarm(&w, NAMEN, "peer"));
	/* And the real thing goes on. */
	struct msgid id = send_body(&w, NAMEN, QUEUE, PREC_ROUTINE, 200000);

	assert_true(run_until(&w, NAMEN, &id, 20 * US_PER_S, US_PER_S) < INT64_MAX);
	buf_release(&b);
	world_release(&w);
}

/* Commits fail at both ends now and then: nothing is lost, and it comes. */
static void commits_that_fail(void **state)
{
	(void)state;
	for (unsigned end = 0; end < 2; end++) {
		struct world w;

		world_init(&w, SITES, 2, 208 + end);
		w.rate_bps = 1000000;
		struct msgid id = send_body(&w, NAMEN, QUEUE, PREC_ROUTINE, 900000);

		for (int i = 0; i < 12; i++) {
			world_run(&w, 700 * US_PER_MS);
			w.node[end].fail_at = w.node[end].commits + 1;
			w.node[end].fail_with = ERR_FULL;
		}
		assert_true(run_until(&w, NAMEN, &id, 60 * US_PER_S, US_PER_S) < INT64_MAX);
		world_verify(&w, LUIK);
		world_release(&w);
	}
}

/* The entry is purged in the middle: the body is asked for no more, and what came of it goes. */
static void nobody_waits_any_more(void **state)
{
	struct world w;
	struct txn *t;
	struct stream *s;
	struct body_row row;

	(void)state;
	world_init(&w, SITES, 2, 210);
	w.rate_bps = 1000000;
	(void)send_body(&w, NAMEN, QUEUE, PREC_ROUTINE, 2000000);
	world_run(&w, 6 * US_PER_S);
	struct core *c = w.node[LUIK].core;
	struct hash body = c->fetches[0].body;
	struct waiter at = c->fetches[0].waiter[0];

	assert_in_range(c->fetches[0].have, 3, 20);
	assert_int_equal(txn_begin(w.node[LUIK].store, true, &t), ERR_OK);
	store_missing_del(t, at.stream, at.number);
	assert_int_equal(txn_commit(t), ERR_OK);
	s = stream_by_local(c, at.stream);
	s->n_missing = 0;
	world_link(&w, NAMEN, LUIK, false);
	world_run(&w, 2 * US_PER_S);
	world_link(&w, NAMEN, LUIK, true);
	uint64_t before = w.frame_bytes;

	world_run(&w, 10 * US_PER_S);
	assert_int_equal(fetches(&w, LUIK), 0);
	assert_true(w.frame_bytes - before < 100000);
	assert_int_equal(txn_begin(w.node[LUIK].store, false, &t), ERR_OK);
	assert_int_equal(store_body_find(t, BODY_OPERATIONAL, &body, &row), ERR_NOT_FOUND);
	txn_abort(t);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_outlive_cuts),
		cmocka_unit_test(flash_overtakes),
		cmocka_unit_test(a_short_body_from_another_holder),
		cmocka_unit_test(slices_go_by_precedence),
		cmocka_unit_test(bulk_waits_for_urgent_slices),
		cmocka_unit_test(more_than_may_be_on_their_way),
		cmocka_unit_test(another_holder_goes_on),
		cmocka_unit_test(a_chunk_that_does_not_fit),
		cmocka_unit_test(slices_of_two_that_do_not_fit),
		cmocka_unit_test(one_body_for_two_entries),
		cmocka_unit_test(a_peer_that_lies),
		cmocka_unit_test(commits_that_fail),
		cmocka_unit_test(nobody_waits_any_more),
	};

	return cmocka_run_group_tests_name("core bodies", tests, NULL, NULL);
}
