/* The choice of a bearer: left when silent, taken again when it proved itself, tried again soon, never thrashing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/core/dial.h"

#define SECOND US_PER_S

/* ---- a world of bearers, each with its own mind --------------------------------------------------------------------- */

enum mood {
	LIVES,
	DEAD,      /* nothing comes back */
	MUTE,      /* accepts TCP, and passes nothing; what is open stays open */
	REFUSES,
	RESETS,    /* the handshake passes, and a moment later it ends */
};
struct way { enum mood mood; int64_t shake_us; };
struct lane {
	struct dial d;
	struct mono now;
	struct way way[LIMIT_BEARERS];
	uint32_t serial[DIAL_SLOTS];      /* as the host did it last */
	struct mono shaken_at[DIAL_SLOTS], reset_at[DIAL_SLOTS], asked_at; /* asked_at: since when the main one shows nothing of what is due */
	uint32_t open_serial;             /* of the main one as the core heard of it */
	unsigned opened, tries;           /* main ones that carried; slots opened */
	bool due, acks;                   /* the core asks for silence to be noticed */
	int64_t doubt_us, silent_us;
};

static void lane_init(struct lane *l, const int *costs, size_t n)
{
	memset(l, 0, sizeof *l);
	l->now.us = 1000 * SECOND;
	for (size_t i = 0; i < n; i++)
		l->way[i] = (struct way){LIVES, 30 * US_PER_MS};
	l->asked_at = MONO_NEVER;
	l->doubt_us = SECOND;
	l->silent_us = 3 * SECOND;
	dial_init(&l->d, costs, n, 0, 7, l->now);
}

static void slot_look(struct lane *l, enum dial_slot s)
{
	const struct dial_try *t = &l->d.slot[s];

	if (t->serial == l->serial[s] || t->state == DIAL_NONE)
		return;
	if (s == DIAL_MAIN && t->serial == l->serial[DIAL_SPARE]) { /* it was the spare one */
		l->shaken_at[s] = l->shaken_at[DIAL_SPARE];
		l->reset_at[s] = l->reset_at[DIAL_SPARE];
		l->serial[DIAL_SPARE] = 0;
	} else {
		l->shaken_at[s] = mono_add(t->since, l->way[t->bearer].shake_us);
		l->reset_at[s] = MONO_NEVER;
		l->tries++;
	}
	l->serial[s] = t->serial;
}

static bool carries(const struct lane *l)
{
	const struct dial_try *t = &l->d.slot[DIAL_MAIN];

	return t->state == DIAL_OPEN && (l->way[t->bearer].mood == LIVES || l->way[t->bearer].mood == RESETS);
}

static void settle(struct lane *l)
{
	const struct dial_try *main = &l->d.slot[DIAL_MAIN];

	dial_tick(&l->d, l->now);
	slot_look(l, DIAL_MAIN);
	slot_look(l, DIAL_SPARE);
	if (main->state == DIAL_OPEN && main->serial != l->open_serial) {
		l->open_serial = main->serial;
		l->opened++;
		l->asked_at = MONO_NEVER;
	}
	if (!l->due || main->state != DIAL_OPEN || carries(l))
		l->asked_at = MONO_NEVER;
	else if (l->asked_at.us == MONO_NEVER.us)
		l->asked_at = l->now;
	dial_need(&l->d, !l->due ? NEED_NOTHING : l->now.us - l->doubt_us >= l->asked_at.us ? NEED_DOUBT : NEED_DUE, l->now);
	dial_tick(&l->d, l->now);
	slot_look(l, DIAL_MAIN);
	slot_look(l, DIAL_SPARE);
	assert_true(mono_before(l->now, dial_due(&l->d))); /* or it would spin */
}

static void slot_happens(struct lane *l, enum dial_slot s)
{
	struct dial_try *t = &l->d.slot[s];
	enum mood mood = l->way[t->bearer].mood;

	/* TCP repeats what got no answer after one second, three, seven, ... */
	if (t->state == DIAL_OPENING && !mono_before(l->now, l->shaken_at[s]) && (mood == DEAD || mood == MUTE))
		l->shaken_at[s] = mono_add(l->shaken_at[s], l->shaken_at[s].us - t->since.us - l->way[t->bearer].shake_us + SECOND);
	if (t->state == DIAL_OPENING && mood == REFUSES) {
		dial_failed(&l->d, s, WHY_REFUSED, l->now);
	} else if (t->state == DIAL_OPENING && !mono_before(l->now, l->shaken_at[s]) && (mood == LIVES || mood == RESETS)) {
		dial_reached(&l->d, s, (struct mono){l->now.us - l->way[t->bearer].shake_us * 2 / 3});
		l->reset_at[s] = mood == RESETS ? mono_add(l->now, 10 * US_PER_MS) : MONO_NEVER;
		dial_opened(&l->d, s, l->now);
	} else if (t->state == DIAL_OPEN && !mono_before(l->now, l->reset_at[s])) {
		dial_failed(&l->d, s, WHY_LOST, l->now);
	} else {
		return;
	}
	settle(l);
}

/* A step of 10 ms. */
static void step(struct lane *l)
{
	l->now.us += 10 * US_PER_MS;
	settle(l);
	slot_happens(l, DIAL_MAIN);
	slot_happens(l, DIAL_SPARE);
	if (l->due && l->d.slot[DIAL_MAIN].state == DIAL_OPEN && !carries(l) && l->now.us - l->silent_us >= l->asked_at.us) {
		dial_silent(&l->d, l->now);
		settle(l);
	}
}

static void pass(struct lane *l, int64_t us)
{
	for (struct mono end = mono_add(l->now, us); mono_before(l->now, end);)
		step(l);
}

/* How long until the main one is open over a bearer that carries (over that one, when it is not -1). */
static int64_t until_carries(struct lane *l, int bearer, int64_t at_most_us)
{
	struct mono from = l->now;

	while (!(carries(l) && (bearer < 0 || l->d.slot[DIAL_MAIN].bearer == bearer))) {
		if (l->now.us - from.us >= at_most_us)
			fail_msg("not carried over %d within %lld ms", bearer, (long long)(at_most_us / US_PER_MS));
		step(l);
	}
	return l->now.us - from.us;
}

static const int three[] = {10, 30, 50};

/* ---- rules --------------------------------------------------------------------------------------------------------------- */

static void the_cheapest_carries(void **state)
{
	static const int mixed[] = {10, 10, 50};
	struct lane l;

	(void)state;
	lane_init(&l, mixed, 3);
	assert_true(until_carries(&l, 0, SECOND) <= 50 * US_PER_MS);
	pass(&l, 3600 * SECOND);
	assert_int_equal(l.tries, 1); /* idle: it dials once and probes nothing */
}

static void the_next_one_when_dead_at_the_start(void **state)
{
	struct lane l;

	(void)state;
	lane_init(&l, three, 3);
	l.way[0].mood = DEAD;
	l.way[1].mood = REFUSES;
	until_carries(&l, 2, 4 * SECOND);
	assert_int_equal(l.d.bearer[0].why, WHY_NO_ANSWER);
	assert_int_equal(l.d.bearer[1].why, WHY_REFUSED);
	assert_int_equal(l.d.bearer[2].why, WHY_UP);
}

/* Silence while something is due: three seconds, and the next one, dialled in doubt, is there already. */
static void a_silent_one_is_left(void **state)
{
	struct lane l;

	(void)state;
	lane_init(&l, three, 3);
	l.way[1].mood = DEAD;
	l.way[2].shake_us = 1500 * US_PER_MS;
	until_carries(&l, 0, SECOND);
	pass(&l, 120 * SECOND);
	l.way[0].mood = MUTE;
	pass(&l, 60 * SECOND);
	assert_int_equal(l.d.slot[DIAL_MAIN].bearer, 0); /* nobody knows, and nothing was due */
	l.due = true;
	l.way[1].mood = LIVES;
	assert_true(until_carries(&l, 1, 4 * SECOND) <= 3 * SECOND + 50 * US_PER_MS);
	assert_int_equal(l.d.bearer[0].why, WHY_SILENT);
}

static void back_when_it_proved_itself(void **state)
{
	struct lane l;

	(void)state;
	lane_init(&l, three, 2);
	until_carries(&l, 0, SECOND);
	pass(&l, 300 * SECOND);
	l.due = true;
	l.way[0].mood = MUTE;
	until_carries(&l, 1, 4 * SECOND);
	unsigned opened = l.opened;

	pass(&l, 600 * SECOND);
	assert_int_equal(l.d.slot[DIAL_MAIN].bearer, 1); /* it accepts, and that proves nothing */
	assert_int_equal(l.opened, opened);
	l.way[0].mood = LIVES;
	until_carries(&l, 0, 70 * SECOND);
	assert_int_equal(l.opened, opened + 1);
	assert_int_equal(l.d.bearer[0].why, WHY_UP);
	assert_int_equal(l.d.slot[DIAL_SPARE].state, DIAL_NONE);
}

/* One answered probe is not enough: it has to go on answering. */
static void one_answer_is_no_proof(void **state)
{
	struct lane l;

	(void)state;
	lane_init(&l, three, 2);
	until_carries(&l, 0, SECOND);
	l.due = true;
	l.way[0].mood = DEAD;
	until_carries(&l, 1, 4 * SECOND);
	for (int i = 0; i < 40; i++) {
		l.way[0].mood = LIVES;
		pass(&l, SECOND);
		l.way[0].mood = DEAD;
		pass(&l, 20 * SECOND);
	}
	assert_int_equal(l.d.slot[DIAL_MAIN].bearer, 1);
	assert_int_equal(l.opened, 2);
}

/* A bearer that comes and goes each half minute for a day moves the lane a few times only; when it stays, it is taken. */
static void a_flapping_one_does_not_thrash(void **state)
{
	struct lane l;

	(void)state;
	lane_init(&l, three, 2);
	l.due = true;
	until_carries(&l, 0, SECOND);
	for (int i = 0; i < 1440; i++) {
		l.way[0].mood = i % 2 ? DEAD : LIVES;
		pass(&l, 30 * SECOND);
	}
	assert_in_range(l.opened, 3, 16);
	l.way[0].mood = LIVES;
	until_carries(&l, 0, 700 * SECOND);
	pass(&l, 3000 * SECOND);
	l.way[0].mood = DEAD; /* it stayed for long: one that goes now comes back soon */
	until_carries(&l, 1, 4 * SECOND);
	l.way[0].mood = LIVES;
	until_carries(&l, 0, 15 * SECOND);
}

/* However long it was gone: with something due the lane is back within two seconds of the line. */
static void soon_after_the_line(void **state)
{
	static const int64_t outages_s[] = {1, 5, 60, 600, 7200};
	struct lane l;

	(void)state;
	for (size_t n = 1; n <= 3; n++) {
		lane_init(&l, three, n);
		until_carries(&l, 0, SECOND);
		for (size_t i = 0; i < 5; i++) {
			pass(&l, 20 * SECOND);
			l.due = true;
			for (size_t b = 0; b < n; b++)
				l.way[b].mood = DEAD;
			pass(&l, outages_s[i] * SECOND);
			for (size_t b = 0; b < n; b++)
				l.way[b].mood = LIVES;
			until_carries(&l, -1, (n == 1 ? 2 : 3) * SECOND + (n > 1 ? 3 * SECOND : 0)); /* a mixed round: those never shaken take longer */
			l.due = false;
		}
	}
}

/* With nothing due a dead link is dialled rarely; something that comes up is tried for at once. */
static void rarely_when_nothing_is_due(void **state)
{
	struct lane l;

	(void)state;
	lane_init(&l, three, 1);
	l.way[0].mood = DEAD;
	pass(&l, 600 * SECOND);
	unsigned tries = l.tries;

	pass(&l, 3600 * SECOND);
	assert_in_range(l.tries - tries, 60, 800); /* each ten seconds, and one that may only be slow */
	l.way[0].mood = LIVES;
	l.due = true;
	assert_true(until_carries(&l, 0, 4 * SECOND) <= 4 * SECOND);
}

/* A line of which the handshake alone takes a minute comes up all the same. */
static void very_slow_lines_come_up(void **state)
{
	struct lane l;

	(void)state;
	lane_init(&l, three, 2);
	l.way[0].mood = DEAD;
	l.way[1].shake_us = 60 * SECOND;
	until_carries(&l, 1, 900 * SECOND);
}

static void a_refusal_is_not_hammered(void **state)
{
	struct lane l;

	(void)state;
	lane_init(&l, three, 1);
	l.due = true;
	l.way[0].mood = REFUSES;
	pass(&l, 120 * SECOND);
	unsigned tries = l.tries;

	assert_true(tries < 24);
	pass(&l, 3600 * SECOND);
	assert_true(l.tries - tries < 3600 / 7);
	l.way[0].mood = LIVES;
	dial_retry(&l.d, l.now);
	until_carries(&l, 0, 100 * US_PER_MS);
}

/* Handshakes that pass and connections that end at once: of two such bearers neither is dialled without pause. */
static void resets_are_not_hammered(void **state)
{
	struct lane l;

	(void)state;
	lane_init(&l, three, 2);
	l.due = true;
	l.way[0].mood = l.way[1].mood = RESETS;
	pass(&l, 600 * SECOND);
	assert_true(l.tries < 600 * 12);
	l.due = false;
	pass(&l, 600 * SECOND);
	unsigned tries = l.tries;

	pass(&l, 3600 * SECOND);
	assert_true(l.tries - tries < 1200);
}

/* The other end began anew: the same bearer, not a dearer one. */
static void lost_is_dialled_again(void **state)
{
	struct lane l;

	(void)state;
	lane_init(&l, three, 3);
	until_carries(&l, 0, SECOND);
	pass(&l, 60 * SECOND);
	dial_failed(&l.d, DIAL_MAIN, WHY_LOST, l.now);
	settle(&l);
	until_carries(&l, 0, SECOND);
	assert_int_equal(l.opened, 2);
}

static void names_without_an_address(void **state)
{
	struct lane l;

	(void)state;
	lane_init(&l, three, 2);
	settle(&l);
	dial_failed(&l.d, DIAL_MAIN, WHY_NO_ADDRESS, l.now);
	settle(&l);
	until_carries(&l, 1, SECOND);
	assert_int_equal(l.d.bearer[0].why, WHY_NO_ADDRESS);
	dial_address(&l.d, 0, l.now);
	settle(&l);
	until_carries(&l, 0, 4 * SECOND);
}

static void another_roster(void **state)
{
	static const int costs[] = {5, 10, 30};
	static const int was[] = {-1, 0, 1}, moved[] = {0, -1, -1};
	struct lane l;

	(void)state;
	lane_init(&l, three, 2);
	until_carries(&l, 0, SECOND);
	pass(&l, 60 * SECOND);
	uint32_t serial = l.d.slot[DIAL_MAIN].serial;

	l.way[0].mood = DEAD;
	l.way[1].mood = LIVES;
	dial_change(&l.d, costs, was, 3, l.now);
	assert_int_equal(l.d.slot[DIAL_MAIN].serial, serial); /* what carries goes on, under another number */
	assert_int_equal(l.d.slot[DIAL_MAIN].bearer, 1);
	settle(&l);
	l.way[0].mood = LIVES;
	until_carries(&l, 0, 70 * SECOND); /* and the new, better one is taken when it answers */
	pass(&l, 60 * SECOND);
	dial_change(&l.d, costs, moved, 2, l.now);
	assert_int_equal(l.d.slot[DIAL_MAIN].bearer, 0);
	dial_change(&l.d, costs, was, 0, l.now);
	assert_int_equal(l.d.slot[DIAL_MAIN].state, DIAL_NONE);
	assert_int_equal(dial_due(&l.d).us, MONO_NEVER.us);
}

static void news_once(void **state)
{
	struct lane l;
	size_t b, n = 0;

	(void)state;
	lane_init(&l, three, 3);
	while (dial_news(&l.d, &b))
		n++;
	assert_int_equal(n, 3);
	until_carries(&l, 0, SECOND);
	assert_true(dial_news(&l.d, &b));
	assert_int_equal(b, 0);
	assert_false(dial_news(&l.d, &b));
	pass(&l, 600 * SECOND);
	assert_false(dial_news(&l.d, &b));
	for (unsigned w = 0; w <= WHY_COUNT; w++)
		assert_true(strlen(dial_why_name(w)) > 0);
}

/* ---- at random --------------------------------------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *x, uint64_t below)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return (*x >> 33) % below;
}

/* Moods change at random for half an hour; whenever all is quiet again, what is promised holds: something carries while something
 * lives, the cheapest one in the end, and nothing is dialled without pause. */
static void at_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		uint64_t x = seed;
		struct lane l;
		size_t n = 1 + draw(&x, 4);
		int costs[4];

		for (size_t i = 0; i < n; i++)
			costs[i] = (int)(10 * (i + 1));
		lane_init(&l, costs, n);
		for (size_t i = 0; i < n; i++)
			l.way[i].shake_us = (int64_t)draw(&x, 900) * US_PER_MS + 1000;
		for (int k = 0; k < 60; k++) {
			unsigned tries = l.tries;
			int64_t us = (int64_t)(1 + draw(&x, 60)) * SECOND;

			l.way[draw(&x, n)].mood = (enum mood)draw(&x, 5);
			l.due = draw(&x, 2);
			if (draw(&x, 20) == 0)
				dial_retry(&l.d, l.now);
			if (draw(&x, 20) == 0)
				dial_address(&l.d, draw(&x, n), l.now);
			settle(&l);
			pass(&l, us);
			/* each slot a few times a second at most */
			assert_true(l.tries - tries <= 20 + (unsigned)(us / SECOND) * 12);
		}
		for (size_t i = 0; i < n; i++)
			l.way[i].mood = DEAD;
		l.way[draw(&x, n)].mood = LIVES;
		l.due = true;
		until_carries(&l, -1, 45 * SECOND); /* a refusal's pause at most */
		for (size_t i = 0; i < n; i++)
			l.way[i].mood = LIVES;
		until_carries(&l, 0, 1300 * SECOND); /* a long hold at most */
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cheapest_carries),
		cmocka_unit_test(the_next_one_when_dead_at_the_start),
		cmocka_unit_test(a_silent_one_is_left),
		cmocka_unit_test(back_when_it_proved_itself),
		cmocka_unit_test(one_answer_is_no_proof),
		cmocka_unit_test(a_flapping_one_does_not_thrash),
		cmocka_unit_test(soon_after_the_line),
		cmocka_unit_test(rarely_when_nothing_is_due),
		cmocka_unit_test(very_slow_lines_come_up),
		cmocka_unit_test(a_refusal_is_not_hammered),
		cmocka_unit_test(resets_are_not_hammered),
		cmocka_unit_test(lost_is_dialled_again),
		cmocka_unit_test(names_without_an_address),
		cmocka_unit_test(another_roster),
		cmocka_unit_test(news_once),
		cmocka_unit_test(at_random),
	};

	return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
