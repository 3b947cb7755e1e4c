/* What a takeover promises where a reviewer found that it did not hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };

/* ---- asking ------------------------------------------------------------------------------------------------------- */

/* ERR_OK when it ends with DONE, else ERR_REFUSED. */
static enum err answered(struct world *w, size_t i)
{
	struct request r;

	for (int tries = 0; tries < 200; tries++) {
		while (world_reply(w, i, &r))
			if (r.tag == w->tag && (r.type == REPLY_DONE || r.type == REPLY_ERROR))
				return r.type == REPLY_DONE ? ERR_OK : ERR_REFUSED;
		world_run(w, 10000);
	}
	fail_msg("no answer");
	return ERR_INTERNAL;
}

static void order_both(struct world *w, size_t i, const char *what, const char *assign, const char *other)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_ORDER, ++w->tag);
	request_str(&rw, F_WHAT, what);
	request_str(&rw, F_TO, "cic-luik");
	if (assign)
		request_str(&rw, F_ASSIGN, assign);
	if (other)
		request_str(&rw, F_ASSIGN, other);
	request_str(&rw, F_REASON, "flood");
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	assert_int_equal(answered(w, i), ERR_OK);
}

static void order_ok(struct world *w, size_t i, const char *what, const char *assign)
{
	order_both(w, i, what, assign, NULL);
}

static enum err waive(struct world *w, size_t i, const char *site)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_RELEASE, ++w->tag);
	request_str(&rw, F_WHAT, site);
	request_str(&rw, F_REASON, "it burnt down");
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	return answered(w, i);
}

static void send_ok(struct world *w, size_t i, const char *to, const char *body, struct msgid *id)
{
	struct send_options o = {.subject = body};

	assert_int_equal(world_send(w, i, to, PREC_PRIORITY, view_str(body), &o, id, NULL), ERR_OK);
}

static bool take(struct world *w, size_t i, const char *queue, char body[64], struct msgid *id)
{
	struct taken t = {.body = BUF_EMPTY};
	bool got = world_take_one(w, i, queue, 3 * US_PER_S, &t);

	if (got) {
		view_to_str(buf_view(&t.body), body, 64);
		*id = t.id;
	}
	buf_release(&t.body);
	return got;
}

static void take_is(struct world *w, size_t i, const char *queue, const char *body, struct msgid *id)
{
	char got[64] = "";

	if (!take(w, i, queue, got, id))
		fail_msg("nothing in %s, expected \"%s\"", queue, body);
	assert_string_equal(got, body);
}

static void take_none(struct world *w, size_t i, const char *queue)
{
	char got[64] = "";
	struct msgid id;

	if (take(w, i, queue, got, &id))
		fail_msg("%s: \"%s\" was handed out", queue, got);
}

static void begin(struct world *w, uint64_t seed)
{
	world_init(w, SITES, N, seed);
	world_run(w, 2 * US_PER_S);
}

/* True when that wait was answered. */
static bool wait_over(struct world *w, size_t i, uint32_t tag)
{
	struct request r;

	while (world_reply(w, i, &r))
		if (r.type == REPLY_STATE && r.tag == tag)
			return true;
	return false;
}

static uint32_t wait_for(struct world *w, size_t i, const struct msgid *id, enum wait_state want)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_WAIT, ++w->tag);
	request_id(&rw, id);
	request_u8(&rw, F_STATE, (uint8_t)want);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	return w->tag;
}

/* ---- what senders hear ---------------------------------------------------------------------------------------------- */

/* Sent after Luik was lost and before the order: with the order it is held, though no frontier moves. */
static void held_with_the_order(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 1);
	world_crash(&w, LUIK);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "early", &id);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, ANTWERPEN, &id), STATE_HELD_BY_STANDBY);
	uint32_t tag = wait_for(&w, ANTWERPEN, &id, STATE_HELD);

	world_run(&w, US_PER_S);
	assert_false(wait_over(&w, ANTWERPEN, tag));
	world_link(&w, LEUVEN, ANTWERPEN, false); /* nothing that Leuven says helps */
	order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant");
	world_run(&w, US_PER_S);
	assert_true(wait_over(&w, ANTWERPEN, tag));
	world_release(&w);
}

/* It stands in the successor's queue since before the order, and the site never got it: that it is there now is told. What the site
 * had got and told itself is told by nobody else. */
static void delivered_after_the_order(void **state)
{
	struct world w;
	struct msgid id, before;

	(void)state;
	begin(&w, 2);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "before", &before);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, ANTWERPEN, &before), STATE_DELIVERED);
	world_crash(&w, LUIK);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "early", &id);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, ANTWERPEN, &id), STATE_HELD_BY_STANDBY);
	order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant");
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, ANTWERPEN, &id), STATE_DELIVERED);
	assert_int_equal(world_status(&w, LEUVEN, "delivered"), 1);
	/* After a restart it is not known any more what Luik had; nothing is told twice all the same. */
	for (int i = 0; i < 2; i++) {
		world_crash(&w, LEUVEN);
		world_start(&w, LEUVEN);
		world_run(&w, 10 * US_PER_S);
		assert_int_equal(world_status(&w, LEUVEN, "delivered"), 2);
	}
	world_release(&w);
}

/* A commit that fails in the midst of it. */
static void delivered_after_a_failed_commit(void **state)
{
	(void)state;
	for (uint64_t nth = 1; nth <= 6; nth++) {
		struct world w;
		struct msgid id;

		begin(&w, 3);
		world_crash(&w, LUIK);
		send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "early", &id);
		world_run(&w, 2 * US_PER_S);
		w.node[LEUVEN].fail_at = w.node[LEUVEN].commits + nth;
		w.node[LEUVEN].fail_with = ERR_FULL;
		order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant");
		world_run(&w, 10 * US_PER_S);
		assert_int_equal(world_state(&w, ANTWERPEN, &id), STATE_DELIVERED);
		world_release(&w);
	}
}

/* What `trace` says of that event: the site. False when it says nothing of it. */
static bool traced(struct world *w, size_t i, const struct msgid *id, const char *event, char site[64])
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;
	bool found = false;

	request_begin(&rw, &b, REQ_SHOW, ++w->tag);
	request_str(&rw, F_WHAT, "trace");
	request_id(&rw, id);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	world_run(w, 100000);
	while (world_reply(w, i, &r)) {
		char last[64] = "";
		struct request_item f;

		if (r.type != REPLY_ROW || r.tag != w->tag)
			continue;
		for (struct view rest = r.fields; request_next(&rest, &f) == ERR_OK;) {
			if (f.field == F_TEXT && view_equal(f.value, view_str(event)) && last[0])
				found = view_to_str(view_str(last), site, 64);
			if (f.field == F_TEXT)
				view_to_str(f.value, last, sizeof last);
		}
	}
	return found;
}

/* A person who asks hears who holds, who serves and who has it, at the successor, at another one and at home. */
static void trace_says_who_has_it(void **state)
{
	struct world w;
	struct msgid id, got;
	char site[64];

	(void)state;
	begin(&w, 8);
	order_both(&w, SPOC, "relocate", "cic-vlaams-brabant:dispatch", "cic-namen:messages");
	world_run(&w, US_PER_S);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "where is it", &id);
	world_run(&w, US_PER_S);
	assert_false(traced(&w, ANTWERPEN, &id, "held-by-standby", site));
	assert_false(traced(&w, LEUVEN, &id, "held-by-standby", site));
	for (size_t i = LUIK; i <= LEUVEN; i++) {
		assert_true(traced(&w, i, &id, "waiting", site));
		assert_string_equal(site, "cic-vlaams-brabant");
	}
	take_is(&w, LEUVEN, "cic-luik/dispatch", "where is it", &got);
	world_run(&w, US_PER_S);
	for (size_t i = LUIK; i <= LEUVEN; i++) {
		assert_true(traced(&w, i, &id, "leased", site));
		assert_string_equal(site, "cic-vlaams-brabant");
		assert_false(traced(&w, i, &id, "waiting", site));
	}
	world_release(&w);
}

/* ---- what is out at a desk of a successor --------------------------------------------------------------------------- */

/* Leuven closed, and burnt down with a message at a desk: a person waives it, and Luik hands it out. Whoever nothing came from
 * cannot be waived. */
static void a_successor_is_lost_after_its_closing(void **state)
{
	struct world w;
	struct msgid id, got;

	(void)state;
	begin(&w, 4);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "out", &id);
	world_run(&w, US_PER_S);
	order_both(&w, SPOC, "relocate", "cic-vlaams-brabant:dispatch", "cic-namen:messages");
	take_is(&w, LEUVEN, "cic-luik/dispatch", "out", &got);
	order_ok(&w, LUIK, "handback", NULL);
	world_run(&w, 5 * US_PER_S);
	world_crash(&w, LEUVEN);
	take_none(&w, LUIK, "dispatch");
	assert_int_equal(waive(&w, LUIK, "cic-antwerpen"), ERR_REFUSED);
	assert_int_equal(waive(&w, LUIK, "cic-namen"), ERR_REFUSED); /* it gave up its half, and has nothing out */
	take_none(&w, LUIK, "dispatch");
	assert_int_equal(waive(&w, LUIK, "cic-vlaams-brabant"), ERR_OK);
	take_is(&w, LUIK, "dispatch", "out", &got);
	assert_int_equal(waive(&w, LUIK, "cic-vlaams-brabant"), ERR_REFUSED); /* nothing more of it is waited for */
	world_release(&w);
}

/* To Leuven, which burns down, then to Namen, then home: Luik waits for what Leuven did, until a person says that nothing comes. */
static void a_chain_of_successors_of_which_one_is_gone(void **state)
{
	struct world w;
	struct msgid id[2], got;

	(void)state;
	begin(&w, 9);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "one", &id[0]);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "two", &id[1]);
	world_run(&w, US_PER_S);
	order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant");
	take_is(&w, LEUVEN, "cic-luik/dispatch", "one", &got);
	world_run(&w, US_PER_S);
	world_crash(&w, LEUVEN);
	world_run(&w, 60 * US_PER_S);
	order_ok(&w, SPOC, "relocate", "cic-namen");
	take_is(&w, NAMEN, "cic-luik/dispatch", "one", &got);
	assert_int_equal(world_handle(&w, NAMEN, REQ_ACK, &got), ERR_OK);
	order_ok(&w, SPOC, "handback", NULL);
	world_run(&w, 30 * US_PER_S);
	take_none(&w, LUIK, "dispatch");
	assert_true(world_alarm(&w, LUIK, "takeover"));
	assert_int_equal(waive(&w, LUIK, "cic-namen"), ERR_REFUSED);
	assert_int_equal(waive(&w, LUIK, "cic-vlaams-brabant"), ERR_OK);
	take_is(&w, LUIK, "dispatch", "two", &got);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &got), ERR_OK);
	assert_false(world_alarm(&w, LUIK, "takeover"));
	/* It was not gone after all, and learns what happened. */
	world_start(&w, LEUVEN);
	world_run(&w, 30 * US_PER_S);
	take_none(&w, LEUVEN, "cic-luik/dispatch");
	take_none(&w, LUIK, "dispatch");
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(world_state(&w, ANTWERPEN, &id[i]), STATE_READ);
	for (size_t i = 0; i < N; i++)
		assert_false(world_alarm(&w, i, "conflict"));
	world_release(&w);
}

/* The clock of Leuven is set back between handing out and giving back: Luik still hears that nobody there has it. */
static void a_clock_set_back_holds_nothing(void **state)
{
	struct world w;
	struct msgid id, got;

	(void)state;
	begin(&w, 5);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "to and fro", &id);
	world_run(&w, US_PER_S);
	order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant");
	take_is(&w, LEUVEN, "cic-luik/dispatch", "to and fro", &got);
	world_run(&w, US_PER_S);
	w.node[LEUVEN].clock_offset_us -= 3600 * US_PER_S;
	order_ok(&w, LUIK, "handback", NULL);
	take_none(&w, LUIK, "dispatch");
	assert_int_equal(world_handle(&w, LEUVEN, REQ_RETURN, &got), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	take_is(&w, LUIK, "dispatch", "to and fro", &got);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &got), ERR_OK);
	world_release(&w);
}

/* Nothing is lent to a standby that is not reached: it would lie there. */
static void nothing_is_lent_into_the_dark(void **state)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct world w;
	struct msgid id, got;

	(void)state;
	begin(&w, 6);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "for somebody", &id);
	world_crash(&w, NAMEN);
	world_run(&w, 60 * US_PER_S);
	request_begin(&rw, &b, REQ_ASSIST, ++w.tag);
	request_str(&rw, F_QUEUE, "dispatch");
	request_str(&rw, F_TO, "cic-namen");
	request_u32(&rw, F_COUNT, 1);
	request_end(&rw);
	world_request(&w, LUIK, &b);
	buf_release(&b);
	assert_int_equal(answered(&w, LUIK), ERR_REFUSED);
	take_is(&w, LUIK, "dispatch", "for somebody", &got);
	world_release(&w);
}

/* ---- dead letters -------------------------------------------------------------------------------------------------- */

/* A queue is gone from the roster while a message to it is on its way, and its site is relocated: who serves it is told, and can look. */
static void dead_letters_go_with_the_queues(void **state)
{
	struct world w;
	struct msgid id, got;

	(void)state;
	begin(&w, 7);
	world_crash(&w, LUIK);
	for (size_t i = 0; i < N; i++)
		if (i != ANTWERPEN)
			world_link(&w, ANTWERPEN, i, false);
	send_ok(&w, ANTWERPEN, "cic-luik/messages", "to nowhere", &id);
	struct roster *r = world_roster_copy(&w);
	struct site *luik = (struct site *)roster_site(r, w.number[LUIK]);

	for (size_t i = luik->n_queues; i-- > 0;)
		if (strcmp(luik->queues[i].name, "messages") == 0)
			luik->queues[i] = luik->queues[--luik->n_queues];
	world_roster(&w, r);
	roster_free(r);
	order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant");
	for (size_t i = 0; i < N; i++)
		if (i != ANTWERPEN)
			world_link(&w, ANTWERPEN, i, true);
	world_run(&w, 30 * US_PER_S);
	assert_true(world_alarm(&w, LEUVEN, "dead-letter"));
	assert_false(world_alarm(&w, NAMEN, "dead-letter"));
	take_none(&w, NAMEN, "cic-luik/dead-letters");
	take_is(&w, LEUVEN, "cic-luik/dead-letters", "to nowhere", &got);
	assert_int_equal(world_handle(&w, LEUVEN, REQ_ACK, &got), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, ANTWERPEN, &id), STATE_READ);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_with_the_order),
		cmocka_unit_test(delivered_after_the_order),
		cmocka_unit_test(delivered_after_a_failed_commit),
		cmocka_unit_test(trace_says_who_has_it),
		cmocka_unit_test(a_successor_is_lost_after_its_closing),
		cmocka_unit_test(a_chain_of_successors_of_which_one_is_gone),
		cmocka_unit_test(a_clock_set_back_holds_nothing),
		cmocka_unit_test(nothing_is_lent_into_the_dark),
		cmocka_unit_test(dead_letters_go_with_the_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
