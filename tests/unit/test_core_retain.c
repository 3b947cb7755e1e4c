/* What a journal keeps and for how long; floors, and who begins at one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "storage/record.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant"};
enum { LUIK, NAMEN, LEUVEN, N };

#define BODY_US (60 * US_PER_S)
#define HEADER_US (180 * US_PER_S)
#define UNREAD_US (900 * US_PER_S)
static const struct retention SHORT = {{BODY_US, BODY_US}, {HEADER_US, HEADER_US}, UNREAD_US};
static const struct retention LONG = {{10 * UNREAD_US, BODY_US}, {20 * UNREAD_US, HEADER_US}, 40 * UNREAD_US};

static void begin(struct world *w, uint64_t seed, const struct retention *keep)
{
	world_init(w, SITES, N, seed);
	for (size_t i = 0; i < N; i++) {
		w->node[i].keep = *keep;
		world_crash(w, i);
	}
	for (size_t i = 0; i < N; i++)
		world_start(w, i);
	world_run(w, 3 * US_PER_S);
}

static void send(struct world *w, const char *text, struct msgid *id)
{
	struct send_options o = {.key = text};

	assert_int_equal(world_send(w, NAMEN, "cic-luik/dispatch", PREC_PRIORITY, view_str(text), &o, id, NULL), ERR_OK);
}

static void read_one(struct world *w, const struct msgid *id)
{
	struct taken t = {.body = BUF_EMPTY};

	assert_true(world_take_one(w, LUIK, "cic-luik/dispatch", 5 * US_PER_S, &t));
	assert_true(msgid_equal(&t.id, id));
	assert_int_equal(world_handle(w, LUIK, REQ_ACK, id), ERR_OK);
	buf_release(&t.body);
}

/* Of what kind is what site i has of the message: none, stub or whole. */
enum left { LEFT_NONE, LEFT_STUB, LEFT_WHOLE };
static enum left left_of(struct world *w, size_t i, const struct msgid *id)
{
	struct entry_row row;
	struct header h;
	struct txn *t;
	enum left left = LEFT_NONE;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	for (uint64_t at = 1; store_entry_from(t, at, &row) == ERR_OK; at = row.arrival + 1)
		if (header_decode(row.e.header, &h) == ERR_OK && msgid_equal(&h.id, id))
			left = row.e.flags & ENTRY_STUB ? LEFT_STUB : LEFT_WHOLE;
	txn_abort(t);
	return left;
}

static bool row_of(struct world *w, size_t i, const struct msgid *id)
{
	struct msg_row row;
	struct txn *t;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	enum err e = store_msg_get(t, id, w->number[LUIK], &row);
	txn_abort(t);
	return e == ERR_OK;
}

static struct stream *stream_of(struct world *w, size_t at, size_t from, size_t to, uint8_t precedence)
{
	struct core *c = w->node[at].core;
	struct stream *found = NULL;

	for (size_t i = 0; i < c->n_streams; i++) {
		const struct stream_name *n = &c->streams[i]->row.name;

		if (n->originator == w->number[from] && n->addressee == w->number[to] && n->precedence == precedence && c->streams[i]->row.held &&
		    (!found || n->incarnation.born_us > found->row.name.incarnation.born_us))
			found = c->streams[i];
	}
	return found;
}

static void verify_all(struct world *w)
{
	for (size_t i = 0; i < N; i++)
		world_verify(w, i);
}

static void bodies_go_first_then_headers_at_all_who_hold_them(void **state)
{
	struct world w;
	struct msgid id, unread;
	bool duplicate = false;
	struct send_options o = {.key = "a"};

	(void)state;
	begin(&w, 201, &SHORT);
	send(&w, "a", &id);
	send(&w, "b", &unread);
	read_one(&w, &id);
	world_run(&w, BODY_US - 10 * US_PER_S);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(left_of(&w, i, &id), LEFT_WHOLE);
	world_run(&w, 20 * US_PER_S);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(left_of(&w, i, &id), LEFT_STUB);
		assert_int_equal(left_of(&w, i, &unread), LEFT_WHOLE);
		assert_true(row_of(&w, i, &id));
	}
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_READ);
	verify_all(&w);
	world_run(&w, HEADER_US);
	for (size_t i = 0; i < N; i++) {
		struct stream *s = stream_of(&w, i, NAMEN, LUIK, PREC_PRIORITY);

		assert_int_equal(left_of(&w, i, &id), LEFT_NONE);
		assert_false(row_of(&w, i, &id));
		assert_int_equal(left_of(&w, i, &unread), LEFT_WHOLE); /* nobody read it: it stays, and all behind it */
		assert_int_equal(s->row.floor, s->row.held - 1);
	}
	/* A key as old as that may name another message; one of today may not. */
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_PRIORITY, view_str("a"), &o, &id, &duplicate), ERR_OK);
	assert_true(duplicate);
	read_one(&w, &unread);
	verify_all(&w);
	world_release(&w);
}

static void reports_go_after_the_messages_that_they_name(void **state)
{
	struct world w;
	struct msgid id[8];

	(void)state;
	begin(&w, 202, &SHORT);
	for (int i = 0; i < 8; i++) {
		char text[8];

		snprintf(text, sizeof text, "m%d", i);
		send(&w, text, &id[i]);
		read_one(&w, &id[i]);
	}
	world_run(&w, HEADER_US + 30 * US_PER_S);
	for (size_t i = 0; i < N; i++) {
		struct stream *s = stream_of(&w, i, NAMEN, LUIK, PREC_PRIORITY), *r = stream_of(&w, i, LUIK, LUIK, PREC_PRIORITY);

		assert_int_equal(s->row.floor, s->row.held);
		assert_non_null(r);
		assert_int_equal(r->row.floor, r->row.held);
	}
	verify_all(&w);
	world_release(&w);
}

/* The report is old enough, the message that it names is not: it was taken in later. */
static void a_report_stays_while_its_message_does(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 203, &SHORT);
	w.node[LEUVEN].keep = LONG;
	world_crash(&w, LEUVEN);
	world_start(&w, LEUVEN);
	world_run(&w, 2 * US_PER_S);
	w.node[LEUVEN].core->config.keep.header_us[0] = HEADER_US; /* reports are old at once, bodies are kept long */
	w.node[LEUVEN].core->config.keep.body_us[0] = 4 * HEADER_US;
	send(&w, "a", &id);
	read_one(&w, &id);
	world_run(&w, HEADER_US + 60 * US_PER_S);
	struct stream *here = stream_of(&w, LUIK, LUIK, LUIK, PREC_PRIORITY), *there = stream_of(&w, LEUVEN, LUIK, LUIK, PREC_PRIORITY);

	assert_int_equal(here->row.floor, here->row.held);
	assert_int_equal(left_of(&w, LEUVEN, &id), LEFT_WHOLE);
	assert_true(there->row.floor < there->row.held);
	assert_true(row_of(&w, LEUVEN, &id));
	verify_all(&w);
	world_release(&w);
}

static void what_nobody_read_is_ended_first_and_alarmed(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 204, &SHORT);
	send(&w, "nobody", &id);
	world_run(&w, UNREAD_US - 30 * US_PER_S);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(left_of(&w, i, &id), LEFT_WHOLE);
	assert_false(world_alarm(&w, LUIK, "unread"));
	world_run(&w, 60 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "unread") || world_alarm(&w, NAMEN, "unread"));
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_EXPIRED);
	for (size_t i = 0; i < N; i++)
		assert_int_not_equal(left_of(&w, i, &id), LEFT_NONE);
	world_run(&w, HEADER_US);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(left_of(&w, i, &id), LEFT_NONE);
	verify_all(&w);
	world_release(&w);
}

static void nothing_goes_while_the_clock_is_unsure(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 205, &SHORT);
	send(&w, "a", &id);
	read_one(&w, &id);
	world_run(&w, 5 * US_PER_S);
	w.node[LUIK].clock_offset_us += 30 * US_PER_DAY;
	world_run(&w, 2 * US_PER_S);
	assert_true(w.node[LUIK].core->clock_unsure);
	world_run(&w, 20 * US_PER_S);
	assert_int_equal(left_of(&w, LUIK, &id), LEFT_WHOLE);
	world_release(&w);
}

/* A standby whose journal was lost begins where the others have something, and opens what comes then. */
static void a_newcomer_begins_at_the_floor(void **state)
{
	struct world w;
	struct msgid id, next, last;

	(void)state;
	begin(&w, 206, &SHORT);
	for (int i = 0; i < 5; i++) {
		char text[8];

		snprintf(text, sizeof text, "m%d", i);
		send(&w, text, &id);
		read_one(&w, &id);
	}
	world_run(&w, HEADER_US + 30 * US_PER_S);
	send(&w, "next", &next);
	world_run(&w, US_PER_S);
	world_crash(&w, LEUVEN);
	world_lose_journal(&w, LEUVEN);
	world_start(&w, LEUVEN);
	world_run(&w, 40 * US_PER_S);
	struct stream *s = stream_of(&w, LEUVEN, NAMEN, LUIK, PREC_PRIORITY), *there = stream_of(&w, NAMEN, NAMEN, LUIK, PREC_PRIORITY);

	assert_non_null(s);
	assert_true(s->row.floor > 0);
	assert_int_equal(s->row.held, there->row.held);
	assert_int_equal(left_of(&w, LEUVEN, &id), LEFT_NONE);
	assert_int_equal(left_of(&w, LEUVEN, &next), LEFT_WHOLE);
	assert_false(w.node[LEUVEN].core->recovering);
	send(&w, "last", &last);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(left_of(&w, LEUVEN, &last), LEFT_WHOLE);
	/* It opened both: they stand in its copy of the queue, and nothing is sealed. */
	assert_true(row_of(&w, LEUVEN, &next) && row_of(&w, LEUVEN, &last));
	assert_false(world_alarm(&w, LEUVEN, "sealed"));
	assert_false(world_alarm(&w, LEUVEN, "floor"));
	for (size_t i = 0; i < N; i++)
		assert_false(world_alarm(&w, i, "peer"));
	verify_all(&w);
	/* And it hands the floor on: the addressee loses its journal too. */
	world_crash(&w, LUIK);
	world_lose_journal(&w, LUIK);
	world_link(&w, LUIK, NAMEN, false);
	world_start(&w, LUIK);
	world_run(&w, 40 * US_PER_S);
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 20 * US_PER_S);
	assert_false(w.node[LUIK].core->recovering);
	read_one(&w, &next);
	verify_all(&w);
	world_release(&w);
}

static void what_somebody_still_has_comes_first(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 207, &LONG);
	w.node[LUIK].core->config.keep = SHORT;
	w.node[LUIK].core->retain.at = w.now;
	for (int i = 0; i < 5; i++) {
		char text[8];

		snprintf(text, sizeof text, "m%d", i);
		send(&w, text, &id);
		read_one(&w, &id);
	}
	world_run(&w, HEADER_US + 90 * US_PER_S);
	assert_int_equal(left_of(&w, LUIK, &id), LEFT_NONE);
	assert_int_equal(left_of(&w, NAMEN, &id), LEFT_WHOLE);
	world_crash(&w, LEUVEN);
	world_lose_journal(&w, LEUVEN);
	world_start(&w, LEUVEN);
	world_run(&w, 60 * US_PER_S);
	struct stream *s = stream_of(&w, LEUVEN, NAMEN, LUIK, PREC_PRIORITY);

	assert_non_null(s);
	assert_int_equal(s->row.floor, 0);
	assert_int_equal(left_of(&w, LEUVEN, &id), LEFT_WHOLE);
	verify_all(&w);
	world_release(&w);
}

/* A stub from others than the originator counts once a report, or the header, shows that the message has ended. */
static void stubs_come_with_their_proof(void **state)
{
	struct world w;
	struct msgid id, open;

	(void)state;
	begin(&w, 208, &SHORT);
	send(&w, "a", &id);
	send(&w, "b", &open);
	read_one(&w, &id);
	world_run(&w, BODY_US + 20 * US_PER_S);
	assert_int_equal(left_of(&w, LUIK, &id), LEFT_STUB);
	world_crash(&w, LEUVEN);
	world_lose_journal(&w, LEUVEN);
	world_link(&w, LEUVEN, NAMEN, false);
	world_start(&w, LEUVEN);
	world_run(&w, 40 * US_PER_S);
	assert_int_equal(left_of(&w, LEUVEN, &id), LEFT_STUB);
	assert_int_equal(left_of(&w, LEUVEN, &open), LEFT_WHOLE);
	assert_false(world_alarm(&w, LEUVEN, "peer"));
	verify_all(&w);
	world_release(&w);
}

static void hear(struct world *w, size_t at, size_t from, const struct floor_frame *f)
{
	struct event ev = {.type = EVENT_FRAME, .now = w->now, .wall = world_wall(w, at)};
	struct effects out = EFFECTS_EMPTY;
	struct buf b = BUF_EMPTY;

	frame_floor(&b, f);
	ev.u.frame.peer = w->number[from];
	ev.u.frame.lane = LANE_BULK;
	ev.u.frame.side = SIDE_ACCEPTED;
	ev.u.frame.bytes = buf_view(&b);
	assert_int_equal(core_apply(w->node[at].core, w->node[at].store, &ev, 1, &out), ERR_OK);
	effects_release(&out);
	buf_release(&b);
}

static void a_floor_that_nobody_signed_is_refused(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 209, &LONG);
	send(&w, "a", &id);
	world_run(&w, 2 * US_PER_S);
	struct stream *s = stream_of(&w, LEUVEN, NAMEN, LUIK, PREC_PRIORITY);
	struct floor_frame f = {.stream = s->row.name, .floor = {.number = s->row.held + 50, .site = w.number[LUIK]}};
	uint64_t held = s->row.held;

	hear(&w, LEUVEN, LUIK, &f); /* unsigned */
	world_run(&w, 70 * US_PER_S);
	assert_int_equal(stream_of(&w, LEUVEN, NAMEN, LUIK, PREC_PRIORITY)->row.held, held);
	assert_true(world_alarm(&w, LEUVEN, "peer"));
	world_release(&w);
}

/* A custodian signs that nobody needs what was never read: nothing here goes, and there is an alarm. */
static void a_false_floor_is_alarmed(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 210, &SHORT);
	send(&w, "a", &id);
	world_run(&w, 2 * US_PER_S);
	struct stream *s = stream_of(&w, LEUVEN, NAMEN, LUIK, PREC_PRIORITY);
	struct floor_frame f = {.stream = s->row.name, .floor = {.number = s->row.held, .chain = s->row.chain, .site = w.number[LUIK]}};

	floor_sign(w.suite, &w.keys[LUIK].identity, &s->hash, &f.floor);
	hear(&w, LEUVEN, LUIK, &f);
	world_run(&w, BODY_US + 30 * US_PER_S);
	assert_int_equal(left_of(&w, LEUVEN, &id), LEFT_WHOLE);
	assert_true(world_alarm(&w, LEUVEN, "floor"));
	world_release(&w);
}

/* Every step is a commit that may fail: then it is done again, and nothing is half gone. */
static void a_step_that_fails_is_done_again(void **state)
{
	struct world w;
	struct msgid id[20];

	(void)state;
	begin(&w, 211, &SHORT);
	for (int i = 0; i < 20; i++) {
		char text[8];

		snprintf(text, sizeof text, "m%d", i);
		send(&w, text, &id[i]);
		read_one(&w, &id[i]);
	}
	world_run(&w, BODY_US - 25 * US_PER_S);
	for (int i = 0; i < 300; i++) {
		w.node[LUIK].fail_with = ERR_FULL;
		w.node[LUIK].fail_at = w.node[LUIK].commits + 1 + (uint64_t)(i % 3);
		world_run(&w, US_PER_S);
	}
	w.node[LUIK].fail_at = 0;
	world_run(&w, 60 * US_PER_S);
	for (int i = 0; i < 20; i++)
		assert_int_equal(left_of(&w, LUIK, &id[i]), LEFT_NONE);
	verify_all(&w);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_go_first_then_headers_at_all_who_hold_them),
		cmocka_unit_test(reports_go_after_the_messages_that_they_name),
		cmocka_unit_test(a_report_stays_while_its_message_does),
		cmocka_unit_test(what_nobody_read_is_ended_first_and_alarmed),
		cmocka_unit_test(nothing_goes_while_the_clock_is_unsure),
		cmocka_unit_test(a_newcomer_begins_at_the_floor),
		cmocka_unit_test(what_somebody_still_has_comes_first),
		cmocka_unit_test(stubs_come_with_their_proof),
		cmocka_unit_test(a_floor_that_nobody_signed_is_refused),
		cmocka_unit_test(a_false_floor_is_alarmed),
		cmocka_unit_test(a_step_that_fails_is_done_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
