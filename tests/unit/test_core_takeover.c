/* What a takeover promises: Luik moves to Leuven and Namen, and comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/asks.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };

static const struct ask MOVE = {.site = "cic-luik", .assign = {"cic-vlaams-brabant:dispatch", "cic-namen:messages"}};
static const struct ask BACK = {.site = "cic-luik"};

static void begin(struct world *w, uint64_t seed)
{
	world_init(w, SITES, N, seed);
	world_run(w, 2 * US_PER_S);
}

/* ---- what is promised -------------------------------------------------------------------------------------------------- */

static void successors_serve_what_waits(void **state)
{
	struct world w;
	struct msgid id[4], got, read;

	(void)state;
	begin(&w, 1);
	ask_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, "routine", &id[0]);
	ask_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, "was read in Luik", &id[1]);
	ask_send(&w, ANTWERPEN, "cic-luik/messages", PREC_PRIORITY, "for Namen", &id[2]);
	world_run(&w, US_PER_S);
	ask_take_is(&w, LUIK, "dispatch", "routine", &got);
	assert_int_equal(world_handle(&w, LUIK, REQ_RETURN, &got), ERR_OK);
	ask_take_is(&w, LUIK, "dispatch", "routine", &got);
	ask_take_is(&w, LUIK, "dispatch", "was read in Luik", &read);
	ask_read(&w, LUIK, &read);
	world_run(&w, US_PER_S);
	world_crash(&w, LUIK);
	ask_send(&w, ANTWERPEN, "eupen/dispatch", PREC_FLASH, "flash", &id[3]);
	world_run(&w, US_PER_S);
	ask_take_none(&w, LEUVEN, "cic-luik/dispatch");
	ask_order_ok(&w, SPOC, "relocate", &MOVE);
	ask_take_is(&w, LEUVEN, "cic-luik/dispatch", "flash", &got);
	ask_read(&w, LEUVEN, &got);
	/* What Luik had out at a desk comes first of its precedence, and marked. */
	char body[64], seen[80];
	assert_true(ask_take(&w, LEUVEN, "cic-luik/dispatch", 3 * US_PER_S, body, &got, seen));
	assert_string_equal(body, "routine");
	assert_non_null(strstr(seen, "cic-luik"));
	ask_read(&w, LEUVEN, &got);
	ask_take_none(&w, LEUVEN, "cic-luik/dispatch");
	ask_take_is(&w, NAMEN, "cic-luik/messages", "for Namen", &got);
	ask_read(&w, NAMEN, &got);
	world_run(&w, 2 * US_PER_S);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(world_state(&w, ANTWERPEN, &id[i]), STATE_READ);
	world_release(&w);
}

static void handback_gives_what_is_left(void **state)
{
	struct world w;
	struct msgid id, got;

	(void)state;
	begin(&w, 2);
	world_crash(&w, LUIK);
	for (int i = 0; i < 4; i++) {
		char body[16];

		snprintf(body, sizeof body, "m%d", i);
		ask_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, body, &id);
	}
	world_run(&w, US_PER_S);
	ask_order_ok(&w, SPOC, "relocate", &MOVE);
	ask_take_is(&w, LEUVEN, "cic-luik/dispatch", "m0", &got);
	ask_read(&w, LEUVEN, &got);
	ask_take_is(&w, LEUVEN, "cic-luik/dispatch", "m1", &got); /* stays out at a desk of Leuven */
	world_start(&w, LUIK);
	world_run(&w, 15 * US_PER_S);
	ask_take_none(&w, LUIK, "dispatch");
	ask_order_ok(&w, LUIK, "handback", &BACK);
	struct msgid next;

	ask_take_is(&w, LUIK, "dispatch", "m2", &next);
	ask_read(&w, LUIK, &next);
	ask_take_none(&w, LEUVEN, "cic-luik/dispatch");
	ask_read(&w, LEUVEN, &got); /* the lease that was out ends by its own rules */
	ask_take_is(&w, LUIK, "dispatch", "m3", &next);
	ask_read(&w, LUIK, &next);
	ask_take_none(&w, LUIK, "dispatch");
	world_run(&w, 2 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "conflict"));
	assert_false(world_alarm(&w, LEUVEN, "conflict"));
	world_release(&w);
}

static void both_sides_of_a_cut_find_their_conflicts(void **state)
{
	struct world w;
	struct msgid id, here, there;

	(void)state;
	begin(&w, 3);
	ask_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_IMMEDIATE, "twice", &id);
	world_run(&w, US_PER_S);
	for (size_t i = 1; i < N; i++)
		world_link(&w, LUIK, i, false);
	world_run(&w, 30 * US_PER_S);
	ask_order_ok(&w, SPOC, "relocate", &MOVE);
	ask_take_is(&w, LUIK, "dispatch", "twice", &here);
	ask_take_is(&w, LEUVEN, "cic-luik/dispatch", "twice", &there);
	ask_read(&w, LUIK, &here);
	ask_read(&w, LEUVEN, &there);
	for (size_t i = 1; i < N; i++)
		world_link(&w, LUIK, i, true);
	world_run(&w, 30 * US_PER_S);
	for (size_t i = 0; i < N; i++)
		if (i != SPOC)
			assert_true(world_alarm(&w, i, "conflict"));
	ask_read(&w, LUIK, &id); /* a person signs it off there */
	assert_false(world_alarm(&w, LUIK, "conflict"));
	assert_true(world_alarm(&w, LEUVEN, "conflict"));
	world_release(&w);
}

static void shares_are_disjoint(void **state)
{
	static const struct ask split = {.site = "cic-luik", .assign = {"cic-vlaams-brabant:share=50%", "cic-namen:share=50%"}};
	struct world w;
	struct msgid id, got;
	char body[64];
	int at[2] = {0, 0};

	(void)state;
	begin(&w, 4);
	world_crash(&w, LUIK);
	for (int i = 0; i < 40; i++)
		ask_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, "shared", &id);
	world_run(&w, US_PER_S);
	ask_order_ok(&w, SPOC, "relocate", &split);
	for (int i = 0; i < 2; i++)
		while (ask_take(&w, i ? NAMEN : LEUVEN, "cic-luik/dispatch", 2 * US_PER_S, body, &got, NULL)) {
			at[i]++;
			ask_read(&w, i ? NAMEN : LEUVEN, &got);
		}
	assert_int_equal(at[0] + at[1], 40);
	assert_true(at[0] > 5 && at[1] > 5);
	world_release(&w);
}

static void a_newcomer_gets_streams_and_keys(void **state)
{
	static const struct ask to_antwerp = {.site = "cic-luik", .assign = {"cic-antwerpen"}};
	struct world w;
	struct msgid id, got;

	(void)state;
	begin(&w, 5);
	ask_send(&w, SPOC, "cic-luik/dispatch", PREC_IMMEDIATE, "read before", &id);
	ask_send(&w, SPOC, "cic-luik/dispatch", PREC_IMMEDIATE, "old", &id);
	ask_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_IMMEDIATE, "its own", &id);
	world_run(&w, US_PER_S);
	ask_take_is(&w, LUIK, "dispatch", "read before", &got);
	ask_read(&w, LUIK, &got);
	world_run(&w, US_PER_S);
	world_crash(&w, LUIK);
	ask_order_ok(&w, SPOC, "relocate", &to_antwerp);
	world_run(&w, 30 * US_PER_S);
	ask_take_is(&w, ANTWERPEN, "cic-luik/dispatch", "old", &got);
	ask_read(&w, ANTWERPEN, &got);
	ask_take_is(&w, ANTWERPEN, "cic-luik/dispatch", "its own", &got);
	ask_read(&w, ANTWERPEN, &got);
	ask_send(&w, SPOC, "cic-luik/dispatch", PREC_IMMEDIATE, "new", &id);
	ask_take_is(&w, ANTWERPEN, "cic-luik/dispatch", "new", &got);
	ask_read(&w, ANTWERPEN, &got);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, SPOC, &id), STATE_READ);
	world_release(&w);
}

static void an_empty_disk_learns_who_serves(void **state)
{
	struct world w;
	struct msgid id[3], got;

	(void)state;
	begin(&w, 6);
	for (int i = 0; i < 3; i++) {
		char body[16];

		snprintf(body, sizeof body, "m%d", i);
		ask_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, body, &id[i]);
	}
	world_run(&w, US_PER_S);
	ask_take_is(&w, LUIK, "dispatch", "m0", &got);
	ask_read(&w, LUIK, &got);
	world_run(&w, US_PER_S);
	world_crash(&w, LUIK);
	world_lose_journal(&w, LUIK);
	ask_order_ok(&w, SPOC, "relocate", &MOVE);
	ask_take_is(&w, LEUVEN, "cic-luik/dispatch", "m1", &got);
	ask_read(&w, LEUVEN, &got);
	world_start(&w, LUIK);
	world_run(&w, 30 * US_PER_S);
	ask_take_none(&w, LUIK, "dispatch");
	ask_order_ok(&w, LUIK, "handback", &BACK);
	ask_take_is(&w, LUIK, "dispatch", "m2", &got);
	ask_read(&w, LUIK, &got);
	ask_take_none(&w, LUIK, "dispatch");
	world_run(&w, 2 * US_PER_S);
	for (int i = 0; i < 3; i++)
		assert_int_equal(world_state(&w, ANTWERPEN, &id[i]), STATE_READ);
	world_release(&w);
}

static void a_queue_is_lent(void **state)
{
	struct world w;
	struct msgid id[2], got;
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	char text[256];

	(void)state;
	begin(&w, 7);
	ask_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, "lent", &id[0]);
	ask_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, "kept", &id[1]);
	world_run(&w, US_PER_S);
	request_begin(&rw, &b, REQ_ASSIST, ++w.tag);
	request_str(&rw, F_QUEUE, "dispatch");
	request_str(&rw, F_TO, "cic-namen");
	request_u32(&rw, F_COUNT, 1);
	request_end(&rw);
	world_request(&w, LUIK, &b);
	assert_int_equal(ask_answered(&w, LUIK, text, sizeof text), ERR_OK);
	buf_release(&b);
	ask_take_is(&w, NAMEN, "cic-luik/dispatch", "lent", &got);
	ask_take_none(&w, NAMEN, "cic-luik/dispatch");
	ask_read(&w, NAMEN, &got);
	ask_take_is(&w, LUIK, "dispatch", "kept", &got);
	ask_read(&w, LUIK, &got);
	ask_take_none(&w, LUIK, "dispatch");
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, ANTWERPEN, &id[0]), STATE_READ);
	assert_int_equal(world_status(&w, LUIK, "handled_elsewhere"), 1);
	assert_false(world_alarm(&w, ANTWERPEN, "report"));
	assert_false(world_alarm(&w, LEUVEN, "report"));
	world_release(&w);
}

static void a_quorum_is_enough(void **state)
{
	struct world w;
	struct msgid id, got;
	struct request r;
	char text[256], order_id[17] = "";

	(void)state;
	begin(&w, 8);
	world_crash(&w, LUIK);
	ask_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "help", &id);
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_ORDER, ++w.tag);
	request_str(&rw, F_WHAT, "relocate");
	request_str(&rw, F_TO, "cic-luik");
	request_str(&rw, F_ASSIGN, "cic-vlaams-brabant");
	request_end(&rw);
	world_request(&w, ANTWERPEN, &b);
	world_run(&w, US_PER_S);
	while (world_reply(&w, ANTWERPEN, &r))
		if (r.type == REPLY_ROW)
			view_to_str(reply_field(&r, F_TEXT), order_id, sizeof order_id);
	assert_int_equal(strlen(order_id), 16);
	ask_take_none(&w, LEUVEN, "cic-luik/dispatch");
	assert_true(world_alarm(&w, NAMEN, "order-waits")); /* somebody there is to endorse it */
	static const size_t endorsers[] = {NAMEN, LEUVEN};

	for (size_t i = 0; i < 2; i++) {
		buf_clear(&b);
		request_begin(&rw, &b, REQ_ENDORSE, ++w.tag);
		request_str(&rw, F_WHAT, order_id);
		request_end(&rw);
		world_request(&w, endorsers[i], &b);
		if (ask_answered(&w, endorsers[i], text, sizeof text))
			fail_msg("%s", text);
		if (i == 0)
			ask_take_none(&w, LEUVEN, "cic-luik/dispatch");
	}
	ask_take_is(&w, LEUVEN, "cic-luik/dispatch", "help", &got);
	world_run(&w, US_PER_S);
	assert_false(world_alarm(&w, NAMEN, "order-waits"));
	buf_release(&b);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(successors_serve_what_waits),
		cmocka_unit_test(handback_gives_what_is_left),
		cmocka_unit_test(both_sides_of_a_cut_find_their_conflicts),
		cmocka_unit_test(shares_are_disjoint),
		cmocka_unit_test(a_newcomer_gets_streams_and_keys),
		cmocka_unit_test(an_empty_disk_learns_who_serves),
		cmocka_unit_test(a_queue_is_lent),
		cmocka_unit_test(a_quorum_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
