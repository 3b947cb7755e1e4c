/* What may be in the air to a peer: the rules of window.h, and a peer that fills its window and never reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "proto/roster_text.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant"};
enum { LUIK, NAMEN, LEUVEN };

/* Bytes that zstd cannot make smaller. */
static struct view noise(struct world *w, size_t len)
{
	static uint8_t bytes[64 * 1024];

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)world_random(w, 256);
	return view_of(bytes, len);
}

static void take_one(struct world *w, size_t at)
{
	assert_true(world_take_one(w, at, "dispatch", US_PER_S, NULL));
}

static const struct peer *peer_at(const struct world *w, size_t at, size_t of)
{
	return peer_find(w->node[at].core, w->number[of]);
}

/* Luik takes no segment any more, and says hello and answers probes as before. What Namen keeps in the air to it is bounded, Leuven gets
 * its messages as always, it is counted and alarmed; and when Luik reads again everything arrives and the alarm ends. */
static void a_peer_that_never_reads(void **state)
{
	struct world w;
	int64_t most = 0;

	(void)state;
	world_init(&w, SITES, 3, 51);
	w.node[LUIK].deaf = true;
	for (int i = 0; i < 200; i++)
		assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", (enum precedence)(i % PREC_COUNT), noise(&w, 8000), NULL, NULL, NULL), ERR_OK);
	for (int i = 0; i < 600; i++) {
		const struct peer *p = peer_at(&w, NAMEN, LUIK);
		int64_t flying = p->lane[LANE_URGENT].flying + p->lane[LANE_BULK].flying;

		most = flying > most ? flying : most;
		world_run(&w, US_PER_S);
	}
	assert_true(most < 64 * 1024);
	/* In ten minutes no more went to it than one or two frames for each time that it was tried. */
	assert_true(w.node[LUIK].unread_bytes < 2 * 1024 * 1024);
	assert_true(world_alarm(&w, NAMEN, "silent"));
	assert_true(peer_at(&w, NAMEN, LUIK)->given_up >= 3);
	assert_false(world_alarm(&w, LUIK, "silent"));
	assert_int_equal(world_send(&w, NAMEN, "cic-vlaams-brabant/dispatch", PREC_ROUTINE, view_str("m"), NULL, NULL, NULL), ERR_OK);
	take_one(&w, LEUVEN);
	w.node[LUIK].deaf = false;
	world_run(&w, 120 * US_PER_S);
	assert_false(world_alarm(&w, NAMEN, "silent"));
	for (int i = 0; i < 200; i++)
		take_one(&w, LUIK);
	world_release(&w);
}

/* Bulk leaves room: while something urgent waits for room, none of it leaves. */
static void urgent_goes_first(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 3, 52);
	world_run(&w, 5 * US_PER_S);
	struct core *c = w.node[NAMEN].core;
	struct peer *p = peer_find(c, w.number[LUIK]);
	struct flow waits = {.peer = p};

	assert_true(window_room(c, p, LANE_BULK) >= FRAME_LEAST);
	p->lane[LANE_URGENT].behind[PREC_IMMEDIATE] = &waits;
	assert_int_equal(window_room(c, p, LANE_BULK), 0);
	assert_true(window_room(c, p, LANE_URGENT) >= FRAME_LEAST);
	p->lane[LANE_URGENT].behind[PREC_IMMEDIATE] = NULL;
	/* However much bulk is in the air an urgent frame may go; a second one may not. */
	struct in_air a = window_sent(c, p, LANE_BULK, 5000000), b;

	assert_true(window_room(c, p, LANE_BULK) <= 0);
	assert_true(window_room(c, p, LANE_URGENT) >= FRAME_LEAST && window_idle(p, LANE_URGENT));
	b = window_sent(c, p, LANE_URGENT, 2000);
	assert_true(window_room(c, p, LANE_URGENT) <= 0 && !window_idle(p, LANE_URGENT));
	/* What was given up is not acknowledged later. */
	window_rewind(p, LANE_BULK);
	window_acked(c, p, LANE_BULK, &a);
	assert_int_equal(p->lane[LANE_BULK].flying, 0);
	window_acked(c, p, LANE_URGENT, &b);
	assert_int_equal(p->lane[LANE_URGENT].flying, 0);
	world_release(&w);
}

/* A world in which Namen dials Luik anew over a line of which nothing but the round trip is known. */
static struct peer *line_begin(struct world *w, uint64_t seed, int64_t round_us)
{
	world_init(w, SITES, 3, seed);
	world_run(w, 5 * US_PER_S);
	struct core *c = w->node[NAMEN].core;
	struct peer *p = peer_find(c, w->number[LUIK]);

	for (uint8_t lane = 0; lane < LANE_COUNT; lane++)
		window_dialled(c, p, lane, "line");
	window_round_trip(c, p, LANE_URGENT, round_us);
	return p;
}

/* One after the other, `n` frames as the window lets them go, over a line of that rate and round trip; what is waited for at most. */
static void line(struct core *c, struct peer *p, int64_t rate_bps, int64_t round_us, int n, int64_t *queued_us)
{
	struct { struct in_air a; struct mono back; } air[4096];
	struct mono free_at = c->now;
	int first = 0, last = 0;

	*queued_us = 0;
	for (int sent = 0; sent < n;) {
		size_t size = window_piece(p, LANE_BULK);

		while (sent < n && last - first < 4096 && (window_room(c, p, LANE_BULK) >= (int64_t)size || window_idle(p, LANE_BULK))) {
			struct mono from = mono_before(free_at, c->now) ? c->now : free_at;

			*queued_us = from.us - c->now.us > *queued_us ? from.us - c->now.us : *queued_us;
			free_at = mono_add(from, (int64_t)size * 8 * US_PER_S / rate_bps);
			air[last++ % 4096].a = window_sent(c, p, LANE_BULK, size);
			air[(last - 1) % 4096].back = mono_add(free_at, round_us);
			sent++;
		}
		c->now = air[first % 4096].back;
		window_acked(c, p, LANE_BULK, &air[first++ % 4096].a);
		window_measure(c, p);
	}
	for (; first < last; first++) {
		c->now = air[first % 4096].back;
		window_acked(c, p, LANE_BULK, &air[first % 4096].a);
		window_measure(c, p);
	}
}

/* The window finds the rate, follows it down at once, and up again. */
static void the_window_follows_the_rate(void **state)
{
	struct world w;
	int64_t queued;

	(void)state;
	struct peer *p = line_begin(&w, 53, 101 * US_PER_MS);
	struct core *c = w.node[NAMEN].core;
	struct pace *pace = &p->pace[LANE_URGENT];

	assert_int_equal(pace->window, FRAME_LEAST);
	line(c, p, 1000000, 100 * US_PER_MS, 400, &queued);
	assert_in_range(pace->rate_bps, 900000, 1200000);
	assert_true(queued < US_PER_S);
	line(c, p, 64000, 100 * US_PER_MS, 100, &queued);
	assert_in_range(pace->rate_bps, 55000, 80000);
	assert_true(pace->window <= 64000 / 8);
	line(c, p, 1000000, 100 * US_PER_MS, 400, &queued);
	assert_in_range(pace->rate_bps, 700000, 1200000);
	assert_true(queued < US_PER_S);
	/* Nothing came back in time: one small frame at a time. */
	window_lost(c, p, LANE_BULK);
	assert_int_equal(pace->window, FRAME_LEAST);
	world_release(&w);
}

/* A line with a long round trip, stepped through in hundredths of a second, as much to send as it takes. The other end acknowledges
 * nothing from still_us on for still_for_us. What was carried, and what lay before the line at most. */
struct carried { int64_t bytes, queued_us; };

static struct carried carry(struct core *c, struct peer *p, size_t size, int64_t rate_bps, int64_t round_us, int64_t for_us, int64_t still_us, int64_t still_for_us)
{
	struct { struct in_air a; struct mono back; } air[512];
	struct mono free_at = c->now, from = c->now, still = mono_add(from, still_us), on = mono_add(still, still_for_us);
	struct carried out = {0, 0};
	size_t first = 0, last = 0;

	for (; c->now.us - from.us < for_us || first < last; c->now = mono_add(c->now, 10 * US_PER_MS)) {
		bool stands = !mono_before(c->now, still) && mono_before(c->now, on);

		for (; first < last && !stands && !mono_before(c->now, air[first % 512].back); first++) {
			out.bytes += air[first % 512].a.bytes;
			window_acked(c, p, LANE_BULK, &air[first % 512].a);
		}
		window_measure(c, p);
		while (c->now.us - from.us < for_us && last - first < 512 && (window_room(c, p, LANE_BULK) >= (int64_t)size || window_idle(p, LANE_BULK))) {
			free_at = mono_add(mono_before(free_at, c->now) ? c->now : free_at, (int64_t)size * 8 * US_PER_S / rate_bps);
			out.queued_us = free_at.us - c->now.us > out.queued_us ? free_at.us - c->now.us : out.queued_us;
			air[last % 512].a = window_sent(c, p, LANE_BULK, size);
			air[last++ % 512].back = mono_add(free_at, round_us);
		}
	}
	return out;
}

/* Over a satellite: a window of one and a half seconds' worth does not leave at once, and a peer that stood still for seconds is at its
 * rate again as soon as it goes on. */
static void a_long_way(void **state)
{
	const int64_t rate = 64000, round = 1400 * US_PER_MS, second = rate / 8;
	struct world w;

	(void)state;
	struct peer *p = line_begin(&w, 55, round);
	struct core *c = w.node[NAMEN].core;
	struct pace *pace = &p->pace[LANE_URGENT];

	struct carried found = carry(c, p, FRAME_LEAST, rate, round, 60 * US_PER_S, 0, 0);

	assert_in_range(pace->rate_bps, 55000, 80000);
	assert_true(found.bytes > 40 * second);
	assert_true(found.queued_us < US_PER_S);
	/* Idle for a while, then all at once. */
	c->now = mono_add(c->now, 30 * US_PER_S);
	struct carried burst = carry(c, p, FRAME_LEAST, rate, round, 20 * US_PER_S, 0, 0);

	assert_true(burst.queued_us < US_PER_S);
	assert_true(burst.bytes > 17 * second);
	for (int i = 1; i <= 4; i++) {
		struct carried on = carry(c, p, FRAME_LEAST, rate, round, 20 * US_PER_S, 5 * US_PER_S, i * US_PER_S);

		assert_true(on.queued_us < US_PER_S);
		assert_true(on.bytes > (20 - i) * second * 95 / 100);
	}
	/* And is not taken for more than it is when it has become slower. */
	struct carried slower = carry(c, p, FRAME_LEAST, rate / 4, round, 60 * US_PER_S, 0, 0);

	assert_in_range(pace->rate_bps, rate / 5, rate / 3);
	assert_true(slower.bytes > 40 * second / 4);
	/* A frame that is long against the line comes back late without any queue: that does not keep the window at one of them. */
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++)
		window_dialled(c, p, lane, "another");
	window_round_trip(c, p, LANE_URGENT, round);
	assert_true(carry(c, p, 1460, rate, round, 60 * US_PER_S, 0, 0).bytes > 35 * second);
	assert_int_equal(p->lane[LANE_BULK].flying, 0);
	world_release(&w);
}

/* A satellite whose connections end before anything is acknowledged is reckoned with as ever slower. What left when it was fast is not held
 * against it: bulk goes on when it is back. */
static void a_long_way_that_flaps(void **state)
{
	struct world w;

	(void)state;
	struct peer *p = line_begin(&w, 56, 1400 * US_PER_MS);
	struct core *c = w.node[NAMEN].core;

	carry(c, p, LIMIT_SEGMENT_BYTES, 20000000, 1400 * US_PER_MS, 60 * US_PER_S, 0, 0);
	assert_true(p->pace[LANE_URGENT].rate_bps > 5000000);
	while (window_room(c, p, LANE_BULK) > 0)
		window_sent(c, p, LANE_BULK, window_piece(p, LANE_BULK));
	for (int i = 0; i < 14; i++) {
		window_rewind(p, LANE_BULK);
		p->lane[LANE_URGENT].dialled = p->lane[LANE_BULK].dialled = false;
		window_dialled(c, p, LANE_URGENT, "line");
		p->lane[LANE_URGENT].dialled = true;
		window_dialled(c, p, LANE_BULK, "line");
		assert_true(window_room(c, p, LANE_BULK) >= FRAME_LEAST);
	}
	/* Nor is a frame that could not be cut, when it is as slow as anything is taken to be. */
	assert_int_equal(p->pace[LANE_URGENT].rate_bps, 2400);
	window_sent(c, p, LANE_BULK, LIMIT_ENTRY_BYTES);
	assert_true(window_room(c, p, LANE_BULK) <= 0);
	window_lost(c, p, LANE_BULK);
	window_rewind(p, LANE_BULK);
	assert_true(window_paced(c, p, LANE_BULK).us <= c->now.us + 10 * US_PER_S);
	c->now = mono_add(c->now, 10 * US_PER_S);
	assert_true(window_room(c, p, LANE_BULK) >= FRAME_LEAST);
	world_release(&w);
}

/* The fastest that a roster can name, and the longest time without anything. */
static void as_fast_as_can_be_said(void **state)
{
	struct world w;

	(void)state;
	struct peer *p = line_begin(&w, 57, 1400 * US_PER_MS);
	struct core *c = w.node[NAMEN].core;
	struct pace *pace = &p->pace[LANE_URGENT];

	for (int i = 0; i < 40; i++) {
		pace->rate_bps = RATE_MAX_BPS;
		c->now = mono_add(c->now, 10 * i * US_PER_S);
		assert_true(window_room(c, p, LANE_BULK) > 0);
		window_sent(c, p, LANE_BULK, FRAME_LEAST);
		assert_true(pace->bucket > 0);
		window_rewind(p, LANE_BULK);
	}
	world_release(&w);
}

/* The roster's hint is where a bearer begins; what was measured is remembered when it is dialled again, at half. */
static void a_bearer_begins_as_the_roster_says(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 3, 54);
	world_run(&w, 5 * US_PER_S);
	struct core *c = w.node[NAMEN].core;
	struct peer *p = peer_find(c, w.number[LUIK]);
	struct pace *pace = &p->pace[LANE_URGENT];
	struct site *luik = (struct site *)roster_site(c->roster, w.number[LUIK]);

	snprintf(luik->bearers[luik->n_bearers].name, sizeof luik->bearers[0].name, "satellite");
	luik->bearers[luik->n_bearers++].rate_bps = 512000;
	window_dialled(c, p, LANE_URGENT, "satellite");
	assert_int_equal(pace->rate_bps, 512000);
	assert_int_equal(pace->window, 512000 / 8 / 5);
	assert_int_equal(p->pace[LANE_BULK].rate_bps, 0);
	pace->rate_bps = 400000;
	p->lane[LANE_BULK].dialled = false;
	window_dialled(c, p, LANE_URGENT, "satellite");
	assert_int_equal(pace->rate_bps, 200000);
	window_dialled(c, p, LANE_URGENT, "unknown");
	assert_int_equal(pace->rate_bps, 0);
	assert_int_equal(pace->window, FRAME_LEAST);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_that_never_reads),
		cmocka_unit_test(urgent_goes_first),
		cmocka_unit_test(the_window_follows_the_rate),
		cmocka_unit_test(a_long_way),
		cmocka_unit_test(a_long_way_that_flaps),
		cmocka_unit_test(as_fast_as_can_be_said),
		cmocka_unit_test(a_bearer_begins_as_the_roster_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
