/* One way of one bearer in live drills: rate, its sharing, latency, order, loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/shape.h"

#define RATE 64000

static const struct bearer_state line = {.delay_us = 700 * US_PER_MS, .rate_bps = RATE};

/* Sends so many bytes as early as it may; when the last of them comes out. */
static struct mono send_all(struct shape *s, struct shape_flow *f, const struct bearer_state *b, struct prng *p, struct mono from, size_t bytes)
{
	struct mono now = from, out = from;
	bool stalled;

	while (bytes) {
		size_t n = shape_piece(b->rate_bps) < bytes ? shape_piece(b->rate_bps) : bytes;

		if (mono_before(now, shape_reads_at(f)))
			now = shape_reads_at(f);
		out = shape_send(s, f, b, p, now, n, &stalled);
		assert_false(stalled);
		bytes -= n;
	}
	return out;
}

static void test_rate_and_latency(void **state)
{
	struct shape s = {{0}};
	struct shape_flow f = {{0}, {0}};
	struct prng p;

	(void)state;
	prng_init(&p, 1, "test", 0);
	struct mono out = send_all(&s, &f, &line, &p, (struct mono){US_PER_S}, 80000);

	/* Ten seconds on the wire, and the latency: the line is never idle between two pieces. */
	assert_int_equal(out.us, US_PER_S + 10 * US_PER_S + 700 * US_PER_MS);
	assert_int_equal(shape_piece(0), SHAPE_PIECE_MOST);
	assert_in_range(shape_piece(9600), 1, 256);
	assert_int_equal(shape_piece(64000), 256);
	assert_int_equal(shape_piece(INT64_C(1000000000)), SHAPE_PIECE_MOST);
}

/* Where the kernel has kept the rate a piece has its own time on the wire and waits for no other; the next may be read at once. */
static void test_follow(void **state)
{
	struct shape_flow f = {{0}, {0}};
	struct mono now = {US_PER_S};
	struct prng p;
	bool stalled;

	(void)state;
	prng_init(&p, 1, "test", 0);
	assert_int_equal(shape_follow(&f, &line, &p, now, 800, &stalled).us, US_PER_S + 100 * US_PER_MS + 700 * US_PER_MS);
	assert_false(mono_before(now, shape_reads_at(&f)));
	assert_int_equal(shape_follow(&f, &line, &p, now, 1600, &stalled).us, US_PER_S + 200 * US_PER_MS + 700 * US_PER_MS);
	assert_int_equal(shape_follow(&f, &line, &p, now, 8, &stalled).us, US_PER_S + 200 * US_PER_MS + 700 * US_PER_MS); /* in order */
	assert_false(stalled);
}

static void test_no_rate(void **state)
{
	struct bearer_state b = {.delay_us = 4 * US_PER_MS};
	struct shape s = {{0}};
	struct shape_flow f = {{0}, {0}};
	struct prng p;

	(void)state;
	prng_init(&p, 1, "test", 0);
	assert_int_equal(send_all(&s, &f, &b, &p, (struct mono){US_PER_S}, 10000000).us, US_PER_S + 4 * US_PER_MS);
}

/* Two connections with bytes waiting: each gets half, and a short one is not behind all of a long one. */
static void test_sharing(void **state)
{
	struct shape s = {{0}};
	struct shape_flow bulk = {{0}, {0}}, urgent = {{0}, {0}};
	struct mono now = {US_PER_S}, out = {0};
	struct prng p;
	bool stalled;
	size_t sent = 0;

	(void)state;
	prng_init(&p, 1, "test", 0);
	for (; now.us < 4 * US_PER_S; now.us += US_PER_MS) {
		while (!mono_before(now, shape_reads_at(&bulk)))
			shape_send(&s, &bulk, &line, &p, now, shape_piece(RATE), &stalled);
		while (now.us >= 2 * US_PER_S && sent < 1024 && !mono_before(now, shape_reads_at(&urgent))) {
			out = shape_send(&s, &urgent, &line, &p, now, shape_piece(RATE), &stalled);
			sent += shape_piece(RATE);
		}
	}
	/* 1 KiB alone takes 128 ms; beside bulk twice that, and one piece of bulk. */
	assert_in_range(out.us - 2 * US_PER_S - line.delay_us, 128 * US_PER_MS, 330 * US_PER_MS);
}

static unsigned stalls(size_t len)
{
	struct bearer_state b = {.delay_us = 100 * US_PER_MS, .jitter_us = 30 * US_PER_MS, .loss_ppm = 300000};
	struct shape s = {{0}};
	struct shape_flow f = {{0}, {0}};
	struct mono last = {0};
	struct prng p;
	unsigned late = 0;

	prng_init(&p, 7, "test", 0);
	for (int i = 0; i < 1000; i++) {
		struct mono now = {US_PER_S + i * 100 * US_PER_MS};
		bool stalled;
		struct mono out = shape_send(&s, &f, &b, &p, now, len, &stalled);

		assert_false(mono_before(out, last));
		assert_true(out.us >= now.us + b.delay_us);
		assert_true(!stalled || out.us >= now.us + b.delay_us + 200 * US_PER_MS);
		late += stalled;
		last = out;
	}
	return late;
}

/* What is sent in smaller pieces is lost no more often for that. */
static void test_loss_is_late_and_in_order(void **state)
{
	(void)state;
	assert_in_range(stalls(SHAPE_PACKET), 250, 350);
	assert_in_range(stalls(SHAPE_PIECE_MOST), 250, 350);
	assert_in_range(stalls(SHAPE_PACKET / 5), 40, 80);
}

/* What is changed in mid-flight holds for what is read from then on. */
static void test_change(void **state)
{
	struct bearer_state b = {.delay_us = 600 * US_PER_MS};
	struct shape s = {{0}};
	struct shape_flow f = {{0}, {0}};
	struct prng p;
	bool stalled;

	(void)state;
	prng_init(&p, 1, "test", 0);
	assert_int_equal(shape_send(&s, &f, &b, &p, (struct mono){0}, 10, &stalled).us, 600 * US_PER_MS);
	b.delay_us = 10 * US_PER_MS;
	assert_int_equal(shape_send(&s, &f, &b, &p, (struct mono){US_PER_MS}, 10, &stalled).us, 600 * US_PER_MS); /* not before what left earlier */
	assert_int_equal(shape_send(&s, &f, &b, &p, (struct mono){US_PER_S}, 10, &stalled).us, 1010 * US_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate_and_latency), cmocka_unit_test(test_follow), cmocka_unit_test(test_no_rate), cmocka_unit_test(test_sharing),
		cmocka_unit_test(test_loss_is_late_and_in_order), cmocka_unit_test(test_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
