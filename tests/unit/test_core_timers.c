/* What a node does by itself, without being asked: little, and at the right time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-brussel"};
enum { LUIK, NAMEN, LEUVEN, BRUSSEL };

/* Found by the simulator: when Luik had heard in a digest how far Brussel has its own stream, and then got more of it, Luik
 * gave Brussel its own entries "back", again and again, and reset the link over it. */
static void a_streams_author_needs_no_help(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, 4, 21);
	assert_int_equal(world_send(&w, BRUSSEL, "cic-luik/dispatch", PREC_FLASH, view_str("one"), NULL, &id, NULL), ERR_OK);
	world_run(&w, 5 * US_PER_S);
	world_link(&w, BRUSSEL, LUIK, false);
	world_run(&w, 5 * US_PER_S);
	world_link(&w, BRUSSEL, LUIK, true);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(world_send(&w, BRUSSEL, "cic-luik/dispatch", PREC_FLASH, view_str("two"), NULL, &id, NULL), ERR_OK);
	world_run(&w, 60 * US_PER_S);
	assert_false(world_alarm(&w, BRUSSEL, "peer"));
	assert_int_equal(world_state(&w, BRUSSEL, &id), STATE_DELIVERED);
	world_release(&w);
}

/* An idle network: probes and their answers, and hardly anything else. */
static void idle_nodes_sleep(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 4, 22);
	world_run(&w, 60 * US_PER_S);
	uint64_t frames = w.frames, commits = 0, wakes = 0;

	for (size_t i = 0; i < 4; i++)
		commits += w.node[i].commits;
	world_run(&w, 600 * US_PER_S);
	for (size_t i = 0; i < 4; i++)
		wakes += w.node[i].commits;
	/* 4 nodes, 3 links each, a probe and an answer each 30 s: nothing else was said for as long. */
	assert_in_range(w.frames - frames, 4 * 3 * 2 * 18, 4 * 3 * 2 * 21);
	/* A wake for each frame that comes, two for the probes of all links, one a minute for clock and room. */
	assert_true(wakes - commits <= (w.frames - frames) + 4 * 50 + 4 * 20);
	world_release(&w);
}

/* A link that dies while it is idle is seen to be down after at most three probes, of which the first may be 30 s away; and it is up again as
 * soon as one is answered. */
static void an_idle_link_that_dies_is_seen(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 2, 28);
	world_run(&w, 300 * US_PER_S);
	assert_int_equal(world_status(&w, LUIK, "links_up"), 1);
	w.loss_percent = 100;
	world_run(&w, 46 * US_PER_S);
	assert_int_equal(world_status(&w, LUIK, "links_up"), 0);
	w.loss_percent = 0;
	world_run(&w, 11 * US_PER_S);
	assert_int_equal(world_status(&w, LUIK, "links_up"), 1);
	world_release(&w);
}

/* FLASH that nobody takes is an alarm when its time has come, though nothing happens at the node meanwhile. */
static void alarms_come_by_themselves(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, 1, 23);
	assert_int_equal(world_send(&w, LUIK, "cic-luik/dispatch", PREC_FLASH, view_str("one"), NULL, &id, NULL), ERR_OK);
	world_run(&w, 27 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "unattended"));
	world_run(&w, 5 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "unattended"));
	world_run(&w, 440 * US_PER_S); /* eight of its ten minutes */
	assert_false(world_alarm(&w, LUIK, "deadline"));
	world_run(&w, 12 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "deadline"));
	world_release(&w);
}

/* A message expires at its time, on a node where nothing else happens. */
static void expiry_comes_by_itself(void **state)
{
	struct world w;
	struct msgid id;
	struct send_options o = {0};

	(void)state;
	world_init(&w, SITES, 2, 24);
	o.expires_us = world_wall(&w, LUIK).us + 1800 * US_PER_S;
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, view_str("one"), &o, &id, NULL), ERR_OK);
	world_run(&w, 1790 * US_PER_S);
	assert_int_equal(world_status(&w, LUIK, "expired"), 0);
	world_run(&w, 11 * US_PER_S);
	assert_int_equal(world_status(&w, LUIK, "expired"), 1);
	world_release(&w);
}

/* Delay is no skew: a slow link raises no alarm, whichever way the delay lies; real skew on a slow link does, at both ends. */
static void a_slow_link_is_no_wrong_clock(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 2, 25);
	for (int64_t delay = 1; delay <= 13; delay += 3) {
		w.delay_us = delay * US_PER_S;
		for (int i = 0; i < 30; i++) {
			world_run(&w, 2 * US_PER_S);
			assert_false(world_alarm(&w, LUIK, "clock-skew"));
			assert_false(world_alarm(&w, NAMEN, "clock-skew"));
		}
	}
	w.delay_us = 1 * US_PER_S; /* and fast again */
	w.jitter_us = 9 * US_PER_S;
	world_run(&w, 300 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "clock-skew"));
	assert_false(world_alarm(&w, NAMEN, "clock-skew"));
	w.jitter_us = 0;
	w.node[LUIK].clock_offset_us = 20 * US_PER_S;
	world_run(&w, 300 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "clock-skew"));
	assert_true(world_alarm(&w, NAMEN, "clock-skew"));
	w.node[LUIK].clock_offset_us = 0;
	world_run(&w, 60 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "clock-skew"));
	assert_false(world_alarm(&w, NAMEN, "clock-skew"));
	world_release(&w);
}

/* Found by the simulator: on a narrow line each segment takes longer than the least time-out. What is only slow is not sent
 * again, nor is its link reset; what is lost is. */
static void a_narrow_line_is_not_a_dead_one(void **state)
{
	enum { MESSAGES = 8, BYTES = 40000 };
	static uint8_t body[BYTES];
	struct world w;
	struct msgid id[MESSAGES];

	(void)state;
	world_init(&w, SITES, 2, 27);
	for (int64_t rate = 256000; rate >= 16000; rate /= 2) {
		w.rate_bps = rate;
		world_run(&w, 30 * US_PER_S);
		uint64_t before = w.frame_bytes, resets = w.resets;

		for (int i = 0; i < MESSAGES; i++) {
			for (size_t k = 0; k < BYTES; k++)
				body[k] = (uint8_t)world_random(&w, 256);
			assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_of(body, BYTES), NULL, &id[i], NULL), ERR_OK);
		}
		world_run(&w, (int64_t)MESSAGES * BYTES * 8 * US_PER_S / rate * 6 / 5);
		assert_int_equal(world_state(&w, NAMEN, &id[MESSAGES - 1]), STATE_DELIVERED);
		assert_int_equal(w.resets, resets);
		assert_true(w.frame_bytes - before < (uint64_t)MESSAGES * BYTES * 6 / 5);
	}
	w.loss_percent = 100;
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_of(body, 1000), NULL, &id[0], NULL), ERR_OK);
	w.loss_percent = 0;
	w.rate_bps = 0;
	world_run(&w, 30 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id[0]), STATE_DELIVERED);
	world_release(&w);
}

/* A clock that jumped is right again when most peers that are linked say so, not when one does. */
static void most_peers_settle_a_clock(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 4, 26);
	world_run(&w, 10 * US_PER_S);
	/* Luik and Namen jump together: of Luik's three peers one agrees. */
	w.node[LUIK].clock_offset_us = w.node[NAMEN].clock_offset_us = 3600 * US_PER_S;
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_status(&w, LUIK, "clock_unsure"), 1);
	assert_int_equal(world_status(&w, NAMEN, "clock_unsure"), 1);
	assert_int_equal(world_status(&w, LEUVEN, "clock_unsure"), 0);
	world_link(&w, LUIK, LEUVEN, false);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_status(&w, LUIK, "clock_unsure"), 1); /* one against one */
	world_link(&w, LUIK, BRUSSEL, false);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_status(&w, LUIK, "clock_unsure"), 0); /* the only one there is */
	w.node[NAMEN].clock_offset_us = 0;
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_status(&w, NAMEN, "clock_unsure"), 0); /* two of three */
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_streams_author_needs_no_help),
		cmocka_unit_test(idle_nodes_sleep),
		cmocka_unit_test(an_idle_link_that_dies_is_seen),
		cmocka_unit_test(alarms_come_by_themselves),
		cmocka_unit_test(expiry_comes_by_itself),
		cmocka_unit_test(a_slow_link_is_no_wrong_clock),
		cmocka_unit_test(a_narrow_line_is_not_a_dead_one),
		cmocka_unit_test(most_peers_settle_a_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
