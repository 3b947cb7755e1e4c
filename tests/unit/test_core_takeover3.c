/* What a takeover promises when orders follow one another, and when keys come late: what was handled elsewhere is waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/asks.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };

static const struct ask AWAY = {.site = "cic-luik", .assign = {"cic-vlaams-brabant:dispatch"}};
static const struct ask BACK = {.site = "cic-luik"};
static const struct ask PART = {.site = "cic-luik", .assign = {"cic-namen:messages"}};
static const struct ask OTHER = {.site = "cic-luik", .assign = {"cic-antwerpen:messages"}};

static void cut(struct world *w, size_t site, bool up)
{
	for (size_t i = 0; i < N; i++)
		if (i != site)
			world_link(w, site, i, up);
}

/* ---- what is promised -------------------------------------------------------------------------------------------------- */

/* Leuven handled a part and is cut off. Luik takes its queues back, waits for Leuven, and gives one of them away again: that is no
 * reason to wait no longer. Once all was whole at home, what stays there is handed out whatever moves beside it. */
static void a_further_order_does_not_end_the_wait(void **state)
{
	struct world w;
	struct msgid id, got;

	(void)state;
	world_init(&w, SITES, N, 1);
	world_run(&w, 2 * US_PER_S);
	for (int i = 0; i < 3; i++) {
		char text[16];

		snprintf(text, sizeof text, "m%d", i);
		ask_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, text, &id);
	}
	world_run(&w, US_PER_S);
	ask_order_ok(&w, SPOC, "relocate", &AWAY);
	world_run(&w, 5 * US_PER_S);
	cut(&w, LEUVEN, false);
	ask_take_is(&w, LEUVEN, "cic-luik/dispatch", "m0", &got);
	ask_read(&w, LEUVEN, &got);
	world_run(&w, 90 * US_PER_S);
	ask_order_ok(&w, LUIK, "handback", &BACK);
	ask_take_none(&w, LUIK, "dispatch");
	ask_order_ok(&w, LUIK, "relocate", &PART);
	ask_take_none(&w, LUIK, "dispatch");
	cut(&w, LEUVEN, true);
	world_run(&w, 30 * US_PER_S);
	ask_take_is(&w, LUIK, "dispatch", "m1", &got);
	ask_read(&w, LUIK, &got);

	cut(&w, NAMEN, false);
	world_run(&w, 90 * US_PER_S);
	ask_order_ok(&w, LUIK, "relocate", &OTHER);
	ask_take_is(&w, LUIK, "dispatch", "m2", &got); /* Namen's closing is about another queue */
	ask_read(&w, LUIK, &got);
	ask_take_none(&w, LUIK, "dispatch");
	cut(&w, NAMEN, true);
	world_run(&w, 30 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "conflict"));
	world_release(&w);
}

/* Antwerpen, no standby of Luik, gets streams, reports and keys, each when it comes. Whatever comes first, what was read at Luik is
 * not handed out again. */
static void a_newcomer_waits_for_the_keys_of_reports(void **state)
{
	static const struct ask all = {.site = "cic-luik", .assign = {"cic-antwerpen"}};

	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct world w;
		struct msgid id, got;

		world_init(&w, SITES, N, seed);
		w.jitter_us = 400000;
		world_run(&w, 2 * US_PER_S);
		for (int i = 0; i < 6; i++)
			ask_send(&w, i % 2 ? SPOC : NAMEN, "cic-luik/dispatch", i % 3 ? PREC_ROUTINE : PREC_FLASH, "was read", &id);
		world_run(&w, 2 * US_PER_S);
		for (int i = 0; i < 6; i++) {
			ask_take_is(&w, LUIK, "dispatch", "was read", &got);
			ask_read(&w, LUIK, &got);
		}
		ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "new", &id);
		world_run(&w, 5 * US_PER_S);
		ask_order_ok(&w, SPOC, "relocate", &all);
		char text[64] = "";
		/* Refused until the order has come. */
		for (int tries = 0; !text[0] && tries < 3000 && !ask_take(&w, ANTWERPEN, "cic-luik/dispatch", 90 * US_PER_S, text, &got, NULL); tries++)
			world_run(&w, 1000);
		assert_string_equal(text, "new");
		ask_read(&w, ANTWERPEN, &got);
		ask_take_none(&w, ANTWERPEN, "cic-luik/dispatch");
		world_release(&w);
	}
}

/* Antwerpen served Luik's queues for a while, and handles what Luik had handled. It is a custodian no more when it can hear so. */
static void who_served_for_a_while_hears_of_its_conflict(void **state)
{
	static const struct ask first = {.site = "cic-luik", .assign = {"cic-antwerpen"}}, second = {.site = "cic-luik", .assign = {"cic-vlaams-brabant"}};
	struct world w;
	struct msgid id, here, there;

	(void)state;
	world_init(&w, SITES, N, 3);
	world_run(&w, 2 * US_PER_S);
	ask_send(&w, SPOC, "cic-luik/dispatch", PREC_ROUTINE, "twice", &id);
	world_run(&w, US_PER_S);
	cut(&w, LUIK, false);
	world_run(&w, 30 * US_PER_S);
	ask_order_ok(&w, SPOC, "relocate", &first);
	ask_take_is(&w, LUIK, "dispatch", "twice", &here);
	ask_read(&w, LUIK, &here);
	world_run(&w, 5 * US_PER_S);
	ask_take_is(&w, ANTWERPEN, "cic-luik/dispatch", "twice", &there);
	ask_read(&w, ANTWERPEN, &there);
	world_run(&w, 2 * US_PER_S);
	cut(&w, ANTWERPEN, false);
	for (size_t i = 0; i < N; i++)
		if (i != LUIK && i != ANTWERPEN)
			world_link(&w, LUIK, i, true);
	world_run(&w, 30 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "conflict"));
	assert_false(world_alarm(&w, ANTWERPEN, "conflict"));
	ask_order_ok(&w, SPOC, "relocate", &second);
	world_run(&w, 5 * US_PER_S);
	cut(&w, ANTWERPEN, true);
	world_run(&w, 60 * US_PER_S);
	assert_true(world_alarm(&w, ANTWERPEN, "conflict"));
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_further_order_does_not_end_the_wait),
		cmocka_unit_test(a_newcomer_waits_for_the_keys_of_reports),
		cmocka_unit_test(who_served_for_a_while_hears_of_its_conflict),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
