/* MINIMIZE holds back what it names and nothing else, everywhere, until its time is over; and a message whose time has passed is not
 * sent on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/asks.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };

static void begin(struct world *w, uint64_t seed)
{
	world_init(w, SITES, N, seed);
	world_run(w, 3 * US_PER_S);
}

static void minimize(struct world *w, size_t at, uint8_t precedence, int64_t for_us)
{
	ask_order_ok(w, at, "minimize", &(struct ask){.precedence = precedence, .until = {world_wall(w, at).us + for_us}});
	world_run(w, 2 * US_PER_S);
}

static void lift(struct world *w, size_t at)
{
	ask_order_ok(w, at, "lift", &(struct ask){.site = NULL});
	world_run(w, 2 * US_PER_S);
}

static const int64_t HOUR = 3600 * US_PER_S;

/* ---- what is held back ------------------------------------------------------------------------------------------- */

static void routine_waits_and_goes(void **state)
{
	struct msgid routine, priority, again;
	struct world w;

	(void)state;
	begin(&w, 1);
	minimize(&w, SPOC, PREC_ROUTINE, HOUR);
	ask_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, "routine", &routine);
	ask_send(&w, NAMEN, "cic-luik/messages", PREC_PRIORITY, "priority", &priority);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &routine), STATE_ACCEPTED);
	assert_int_equal(world_state(&w, NAMEN, &priority), STATE_DELIVERED);
	ask_take_is(&w, LUIK, "cic-luik/messages", "priority", &again);
	ask_read(&w, LUIK, &again);
	ask_take_none(&w, LUIK, "cic-luik/messages");
	assert_int_equal(world_status(&w, NAMEN, "minimize_held"), 1);
	/* Its time comes, and nobody has to do anything. */
	world_run(&w, HOUR);
	assert_int_equal(world_state(&w, NAMEN, &routine), STATE_DELIVERED);
	assert_int_equal(world_status(&w, NAMEN, "minimize_held"), 0);
	ask_take_is(&w, LUIK, "cic-luik/messages", "routine", &again);
	world_release(&w);
}

static void priority_and_below(void **state)
{
	struct msgid priority, immediate, again;
	struct world w;

	(void)state;
	begin(&w, 2);
	minimize(&w, SPOC, PREC_PRIORITY, HOUR);
	ask_send(&w, NAMEN, "cic-luik/messages", PREC_PRIORITY, "priority", &priority);
	ask_send(&w, NAMEN, "cic-luik/messages", PREC_IMMEDIATE, "immediate", &immediate);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &priority), STATE_ACCEPTED);
	assert_int_equal(world_state(&w, NAMEN, &immediate), STATE_DELIVERED);
	/* Less is held back by the next one: what it does not name goes at once. */
	minimize(&w, SPOC, PREC_ROUTINE, HOUR);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &priority), STATE_DELIVERED);
	ask_take_is(&w, LUIK, "cic-luik/messages", "immediate", &again);
	world_release(&w);
}

static void lifted_before_its_time(void **state)
{
	struct msgid routine;
	struct world w;

	(void)state;
	begin(&w, 3);
	minimize(&w, SPOC, PREC_ROUTINE, 20 * HOUR);
	ask_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, "routine", &routine);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &routine), STATE_ACCEPTED);
	lift(&w, SPOC);
	assert_int_equal(world_state(&w, NAMEN, &routine), STATE_DELIVERED);
	world_release(&w);
}

/* What was sent before stands in its queue, is handed out, and its originator hears that it was read. */
static void reports_go_on(void **state)
{
	struct msgid routine, id;
	struct world w;

	(void)state;
	begin(&w, 4);
	ask_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, "before", &routine);
	world_run(&w, 2 * US_PER_S);
	minimize(&w, SPOC, PREC_ROUTINE, HOUR);
	ask_take_is(&w, LUIK, "cic-luik/messages", "before", &id);
	ask_read(&w, LUIK, &id);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &routine), STATE_READ);
	world_release(&w);
}

static void kept_over_a_restart(void **state)
{
	struct msgid routine;
	struct world w;

	(void)state;
	begin(&w, 5);
	minimize(&w, SPOC, PREC_ROUTINE, HOUR);
	ask_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, "routine", &routine);
	world_crash(&w, NAMEN);
	world_start(&w, NAMEN);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &routine), STATE_ACCEPTED);
	world_run(&w, HOUR);
	assert_int_equal(world_state(&w, NAMEN, &routine), STATE_DELIVERED);
	world_release(&w);
}

/* An island goes on until it hears of it; what it sends after that waits. */
static void an_island_hears_later(void **state)
{
	struct msgid routine;
	struct world w;

	(void)state;
	begin(&w, 6);
	for (size_t i = 0; i < N; i++)
		if (i != NAMEN)
			world_link(&w, NAMEN, i, false);
	world_run(&w, 10 * US_PER_S);
	minimize(&w, SPOC, PREC_ROUTINE, 3 * HOUR);
	assert_int_equal(world_status(&w, NAMEN, "minimize_held"), 0);
	world_link(&w, NAMEN, LEUVEN, true);
	world_run(&w, 60 * US_PER_S);
	ask_send(&w, NAMEN, "cic-vlaams-brabant/messages", PREC_ROUTINE, "routine", &routine);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &routine), STATE_ACCEPTED);
	lift(&w, SPOC);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &routine), STATE_DELIVERED);
	world_release(&w);
}

/* A body that is coming stops, and goes on from there. */
static void a_large_body_stops(void **state)
{
	static uint8_t body[400 * 1024];
	struct send_options o = {.subject = "large"};
	struct msgid id;
	struct world w;

	(void)state;
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof body; i++) {
		x = x * 1664525u + 1013904223u;
		body[i] = (uint8_t)(x >> 24);
	}
	begin(&w, 13);
	w.rate_bps = 64000;
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, view_of(body, sizeof body), &o, &id, NULL), ERR_OK);
	world_run(&w, 5 * US_PER_S);
	minimize(&w, SPOC, PREC_ROUTINE, HOUR);
	world_run(&w, 10 * US_PER_S);
	uint64_t before = w.frame_bytes;

	world_run(&w, 300 * US_PER_S);
	assert_true(w.frame_bytes - before < sizeof body / 4);
	assert_true(world_state(&w, NAMEN, &id) < STATE_DELIVERED);
	lift(&w, SPOC);
	world_run(&w, 120 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	world_release(&w);
}

/* ---- who may, and what is refused --------------------------------------------------------------------------------- */

static void needs_who_may(void **state)
{
	struct msgid routine;
	struct world w;
	char text[512];

	(void)state;
	begin(&w, 7);
	minimize(&w, NAMEN, PREC_ROUTINE, HOUR); /* one site alone: it waits */
	ask_send(&w, ANTWERPEN, "cic-luik/messages", PREC_ROUTINE, "routine", &routine);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(world_state(&w, ANTWERPEN, &routine), STATE_DELIVERED);
	assert_int_equal(ask_order(&w, NAMEN, "lift", &(struct ask){.site = NULL}, text, sizeof text), ERR_REFUSED);
	assert_non_null(strstr(text, "none is in force"));
	world_release(&w);
}

static void endorse(struct world *w, size_t i, const char *order, char text[512])
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_ENDORSE, ++w->tag);
	request_str(&rw, F_WHAT, order);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	(void)ask_answered(w, i, text, 512);
}

/* What waited for endorsements until its time was over asks nobody for them any more, and is never said to be in force. */
static void waited_too_long(void **state)
{
	struct world w;
	char text[512], id[9];

	(void)state;
	begin(&w, 9);
	minimize(&w, NAMEN, PREC_ROUTINE, HOUR);
	assert_int_equal(w.node[LEUVEN].core->takeover.n_orders, 1);
	hex_format(w.node[LEUVEN].core->takeover.orders[0]->id.b, 4, id);
	assert_true(world_alarm(&w, LEUVEN, "order-waits"));
	world_run(&w, HOUR);
	for (size_t i = 0; i < N; i++)
		assert_false(world_alarm(&w, i, "order-waits"));
	endorse(&w, LEUVEN, id, text);
	assert_non_null(strstr(text, "its time is over"));
	world_release(&w);
}

static void refused_at_once(void **state)
{
	struct world w;
	char text[512];

	(void)state;
	begin(&w, 8);
	struct wall now = world_wall(&w, SPOC);
	const struct { struct ask a; const char *what, *says; } of[] = {
		{{.precedence = PREC_ROUTINE, .until = {now.us + 25 * HOUR}}, "minimize", "over 24 hours"},
		{{.precedence = PREC_ROUTINE, .until = {now.us - HOUR}}, "minimize", "lies in the past"},
		{{.precedence = PREC_IMMEDIATE, .until = {now.us + HOUR}}, "minimize", "routine or priority"},
		{{.site = "cic-luik", .precedence = PREC_ROUTINE, .until = {now.us + HOUR}}, "minimize", "of which site"},
		{{.precedence = PREC_ROUTINE, .until = {now.us + HOUR}, .exercise = "alpha"}, "minimize", "not about an exercise"},
		{{.site = "cic-luik", .assign = {"cic-namen"}, .precedence = PREC_ROUTINE}, "relocate", "belong to minimize"},
		{{.site = NULL}, "lift", "none is in force"},
	};

	for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
		assert_int_equal(ask_order(&w, SPOC, of[i].what, &of[i].a, text, sizeof text), ERR_REFUSED);
		if (!strstr(text, of[i].says))
			fail_msg("%zu: \"%s\" does not say \"%s\"", i, text, of[i].says);
	}
	world_release(&w);
}

/* Its bytes: an order of over a day, or about a site, is none, whoever signed it. */
static void no_such_order(void **state)
{
	struct order o = {.kind = ORDER_MINIMIZE, .issuer = 1, .epoch = 1, .roster = 1, .issued = {1000}, .precedence = PREC_ROUTINE, .until = {1000 + HOUR}}, back;
	struct sign_secret key = {{1}};
	struct hash network = {{2}}, id;
	struct buf b = BUF_EMPTY;

	(void)state;
	assert_int_equal(order_make(&crypt_suite_real, &key, &network, &o, &b), ERR_OK);
	assert_int_equal(order_decode(buf_view(&b), &back, &id), ERR_OK);
	assert_int_equal(back.until.us, o.until.us);
	assert_int_equal(back.precedence, PREC_ROUTINE);
	o.until.us += 24 * HOUR;
	assert_int_equal(order_make(&crypt_suite_real, &key, &network, &o, &b), ERR_RANGE);
	o.until.us = 1000 + HOUR;
	o.precedence = PREC_FLASH;
	assert_int_equal(order_make(&crypt_suite_real, &key, &network, &o, &b), ERR_RANGE);
	o.precedence = PREC_ROUTINE;
	o.site = 3;
	assert_int_equal(order_make(&crypt_suite_real, &key, &network, &o, &b), ERR_FORMAT);
	o.kind = ORDER_LIFT;
	o.site = 0;
	assert_int_equal(order_make(&crypt_suite_real, &key, &network, &o, &b), ERR_RANGE);
	buf_release(&b);
}

/* A clock that cannot be trusted lifts nothing. */
static void an_unsure_clock_lifts_nothing(void **state)
{
	struct msgid routine;
	struct world w;

	(void)state;
	begin(&w, 9);
	minimize(&w, SPOC, PREC_ROUTINE, 4 * HOUR);
	for (size_t i = 0; i < N; i++)
		if (i != NAMEN)
			world_link(&w, NAMEN, i, false);
	ask_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, "routine", &routine);
	w.node[NAMEN].clock_offset_us = 6 * HOUR;
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(w.node[NAMEN].core->minimize.from, PREC_ROUTINE);
	/* Its peers show it that it is wrong: it stays in force until they say that the time has come. */
	w.node[NAMEN].clock_offset_us = 0;
	for (size_t i = 0; i < N; i++)
		if (i != NAMEN)
			world_link(&w, NAMEN, i, true);
	world_run(&w, 2 * HOUR);
	assert_int_equal(world_state(&w, NAMEN, &routine), STATE_ACCEPTED);
	world_run(&w, 2 * HOUR + 60 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &routine), STATE_DELIVERED);
	world_release(&w);
}

/* ---- a message whose time has passed ------------------------------------------------------------------------------- */

static bool stub_held(struct world *w, size_t i, const struct msgid *id)
{
	struct core *c = w->node[i].core;
	struct entry_row row;
	struct msg_row msg;
	struct txn *t;
	bool stub = false;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	if (store_msg_get(t, id, c->self, &msg) == ERR_OK && store_entry_get(t, msg.arrival, &row) == ERR_OK)
		stub = (row.e.flags & ENTRY_STUB) != 0;
	txn_abort(t);
	return stub;
}

static void expired_is_not_sent_on(void **state)
{
	struct send_options o = {.subject = "late"};
	struct msgid late, after, id;
	struct world w;

	(void)state;
	begin(&w, 10);
	for (size_t i = 0; i < N; i++)
		if (i != LUIK)
			world_link(&w, LUIK, i, false);
	world_run(&w, 60 * US_PER_S);
	o.expires_us = world_wall(&w, NAMEN).us + 300 * US_PER_S;
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_PRIORITY, view_str("late"), &o, &late, NULL), ERR_OK);
	ask_send(&w, NAMEN, "cic-luik/messages", PREC_PRIORITY, "after", &after);
	world_run(&w, 600 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &late), STATE_EXPIRED);
	for (size_t i = 0; i < N; i++)
		if (i != LUIK)
			world_link(&w, LUIK, i, true);
	world_run(&w, 120 * US_PER_S);
	/* What follows it in its stream came; of itself what proves the chain. */
	ask_take_is(&w, LUIK, "cic-luik/messages", "after", &id);
	ask_take_none(&w, LUIK, "cic-luik/messages");
	assert_true(stub_held(&w, LUIK, &late));
	assert_int_equal(world_state(&w, NAMEN, &late), STATE_EXPIRED);
	world_verify(&w, LUIK);
	world_release(&w);
}

/* A standby that has it before its time is over does not pass it on after that; where it was for, it ends, and the receipt goes
 * to who sent it. */
static void a_standby_does_not_send_it_on(void **state)
{
	struct send_options o = {.subject = "late"};
	struct msgid late;
	struct world w;

	(void)state;
	begin(&w, 11);
	for (size_t i = 0; i < N; i++)
		if (i != LUIK)
			world_link(&w, LUIK, i, false);
	o.expires_us = world_wall(&w, ANTWERPEN).us + 60 * US_PER_S;
	assert_int_equal(world_send(&w, ANTWERPEN, "cic-luik/messages", PREC_PRIORITY, view_str("late"), &o, &late, NULL), ERR_OK);
	world_run(&w, 20 * US_PER_S);
	world_crash(&w, ANTWERPEN);
	world_run(&w, 240 * US_PER_S);
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 60 * US_PER_S);
	assert_true(stub_held(&w, LUIK, &late));
	assert_int_equal(world_status(&w, LUIK, "expired"), 1);
	for (size_t i = 0; i < N; i++)
		if (i != LUIK)
			world_link(&w, LUIK, i, true);
	world_start(&w, ANTWERPEN);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_state(&w, ANTWERPEN, &late), STATE_EXPIRED);
	world_release(&w);
}

/* The stream in which site i keeps that message, as one segment, the message without its content. */
static void as_a_stub(struct world *w, size_t i, const struct msgid *id, struct buf *out)
{
	struct segment_writer sw;
	struct msg_row msg;
	struct entry_row row;
	struct head head;
	struct txn *t;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	assert_int_equal(store_msg_get(t, id, w->number[LUIK], &msg), ERR_OK);
	assert_int_equal(store_entry_get(t, msg.arrival, &row), ERR_OK);
	uint32_t stream = row.stream;
	uint64_t last = row.number;

	assert_int_equal(store_head_from(t, stream, last, &head), ERR_OK);
	frame_begin(out, FRAME_SEGMENT);
	segment_begin(&sw, out, &stream_by_local(w->node[i].core, stream)->row.name, 1);
	for (uint64_t n = 1; n <= last; n++) {
		struct buf body = BUF_EMPTY;

		assert_int_equal(store_entry_find(t, stream, n, &row), ERR_OK);
		if (n == last) {
			row.e.envelope = view_of(NULL, 0);
			row.e.flags = ENTRY_STUB;
		} else if (row.body_no) {
			assert_int_equal(store_body_get_part(t, row.body_class, row.body_no, PART_WHOLE, 0, &body), ERR_OK);
			row.e.body = buf_view(&body);
			row.e.flags = 0;
		}
		segment_add(&sw, &row.e);
		buf_release(&body);
	}
	segment_end(&sw, NULL, 0, &head);
	txn_abort(t);
}

/* Whoever leaves out what has not expired is not believed, and the message comes from somebody else. */
static void a_stub_before_its_time_is_not_taken(void **state)
{
	struct send_options o = {.subject = "kept back"};
	struct effects out = EFFECTS_EMPTY;
	struct buf b = BUF_EMPTY;
	struct msgid id, got;
	struct world w;

	(void)state;
	begin(&w, 12);
	for (size_t i = 0; i < N; i++)
		if (i != LUIK)
			world_link(&w, LUIK, i, false);
	o.expires_us = world_wall(&w, NAMEN).us + HOUR;
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_PRIORITY, view_str("kept back"), &o, &id, NULL), ERR_OK);
	world_run(&w, 5 * US_PER_S);
	as_a_stub(&w, NAMEN, &id, &b);
	for (size_t from = NAMEN; from <= LEUVEN; from++) {
		struct event ev = {.type = EVENT_FRAME, .now = w.now, .wall = world_wall(&w, LUIK)};

		ev.u.frame.peer = w.number[from];
		ev.u.frame.lane = LANE_BULK;
		ev.u.frame.side = SIDE_ACCEPTED;
		ev.u.frame.bytes = buf_view(&b);
		assert_int_equal(core_apply(w.node[LUIK].core, w.node[LUIK].store, &ev, 1, &out), ERR_OK);
		effects_clear(&out);
	}
	for (size_t i = 0; i < N; i++)
		if (i != LUIK)
			world_link(&w, LUIK, i, true);
	world_run(&w, 30 * US_PER_S);
	assert_false(stub_held(&w, LUIK, &id));
	ask_take_is(&w, LUIK, "cic-luik/messages", "kept back", &got);
	effects_release(&out);
	buf_release(&b);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routine_waits_and_goes),
		cmocka_unit_test(priority_and_below),
		cmocka_unit_test(lifted_before_its_time),
		cmocka_unit_test(reports_go_on),
		cmocka_unit_test(kept_over_a_restart),
		cmocka_unit_test(an_island_hears_later),
		cmocka_unit_test(a_large_body_stops),
		cmocka_unit_test(needs_who_may),
		cmocka_unit_test(waited_too_long),
		cmocka_unit_test(refused_at_once),
		cmocka_unit_test(no_such_order),
		cmocka_unit_test(an_unsure_clock_lifts_nothing),
		cmocka_unit_test(expired_is_not_sent_on),
		cmocka_unit_test(a_standby_does_not_send_it_on),
		cmocka_unit_test(a_stub_before_its_time_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
