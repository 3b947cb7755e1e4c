/* Links and chance: what a frame meets on its way, and that it does not depend on anything but the seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "sim/link.h"

static struct link_config two_bearers(void)
{
	return (struct link_config){.a = 0, .b = 1, .n_bearers = 2, .bearers = {
		{.name = "satellite", .cost = 50, .delay_us = 300000, .rate_bps = 64000, .no_bulk = true},
		{.name = "fibre", .cost = 10, .delay_us = 5000, .jitter_us = 3000}}};
}

static struct mono at(int64_t us) { return (struct mono){us}; }

static void up(struct link *l, uint8_t bearer)
{
	for (int d = 0; d < 2; d++)
		for (int lane = 0; lane < LANE_COUNT; lane++) {
			l->conn[d][lane].state = CONN_UP;
			l->conn[d][lane].bearer = bearer;
		}
}

static void test_the_cheapest_that_passes(void **state)
{
	struct link_config c = two_bearers();
	struct link l;

	(void)state;
	link_init(&l, &c, 1, 0);
	assert_int_equal(link_bearer(&l, "fibre"), 1);
	assert_int_equal(link_bearer(&l, "mobile"), -1);
	assert_int_equal(link_best(&l, LANE_BULK, -1), 1);
	assert_int_equal(link_best(&l, LANE_URGENT, 1), 0); /* another than fibre */
	assert_int_equal(link_best(&l, LANE_BULK, 1), 1);   /* bulk has no other */
	l.bearer[1].cut = WAY_BA;
	assert_true(link_passes(&l, 1, 0));
	assert_false(link_passes(&l, 1, 1));
	assert_int_equal(link_best(&l, LANE_URGENT, -1), 0);
	assert_int_equal(link_best(&l, LANE_BULK, -1), -1);
}

static void test_order_is_kept(void **state)
{
	struct link_config c = two_bearers();
	struct link l;
	struct mono last = at(0);
	bool reset, stalled;

	(void)state;
	link_init(&l, &c, 2, 0);
	up(&l, 1);
	l.bearer[1].loss_ppm = 200000;
	unsigned late = 0;

	for (int i = 0; i < 2000; i++) {
		struct mono got = link_send(&l, 0, LANE_URGENT, 0, at(i * 1000), 500, &reset, &stalled);

		assert_false(reset);
		assert_true(got.us >= last.us && got.us >= i * 1000 + 5000);
		late += stalled;
		last = got;
	}
	assert_in_range(late, 300, 500);
}

/* 64 kbit/s: a second for 8000 bytes, two when another connection has bytes waiting as well. */
static void test_rate_is_shared(void **state)
{
	struct link_config c = two_bearers();
	struct link l;
	bool reset, stalled;

	(void)state;
	link_init(&l, &c, 3, 0);
	up(&l, 0);
	assert_int_equal(link_send(&l, 0, LANE_BULK, 0, at(0), 8000, &reset, &stalled).us, 1300000);
	assert_int_equal(link_send(&l, 0, LANE_BULK, 0, at(0), 8000, &reset, &stalled).us, 2300000);
	assert_int_equal(link_send(&l, 0, LANE_URGENT, 0, at(0), 1000, &reset, &stalled).us, 550000);
	/* The other direction is another wire. */
	assert_int_equal(link_send(&l, 1, LANE_BULK, 0, at(0), 8000, &reset, &stalled).us, 1300000);
	/* What an acceptor says back to its dialler goes the same way as what it sends itself. */
	assert_int_equal(link_send(&l, 0, LANE_URGENT, 1, at(0), 1000, &reset, &stalled).us, 550000);
}

static void test_a_full_queue_drops(void **state)
{
	struct link_config c = two_bearers();
	struct link l;
	bool reset, stalled;
	int dropped = 0;

	(void)state;
	c.bearers[0].queue_bytes = 64000;
	link_init(&l, &c, 4, 0);
	up(&l, 0);
	for (int i = 0; i < 20; i++)
		dropped += link_send(&l, 0, LANE_URGENT, 0, at(0), 8000, &reset, &stalled).us == MONO_NEVER.us;
	assert_in_range(dropped, 10, 12);
	assert_false(reset);
	assert_true(link_send(&l, 0, LANE_URGENT, 0, at(10 * US_PER_S), 8000, &reset, &stalled).us != MONO_NEVER.us);
}

static void test_changes_and_back(void **state)
{
	struct link_config c = two_bearers();
	struct link l;
	struct bearer_change x = {.delay_us = 900000, .jitter_us = -1, .rate_bps = -1, .queue_bytes = -1, .loss_ppm = 5};

	(void)state;
	link_init(&l, &c, 5, 0);
	link_change(&l, 0, &x);
	assert_int_equal(l.bearer[0].delay_us, 900000);
	assert_int_equal(l.bearer[0].rate_bps, 64000);
	assert_int_equal(l.bearer[0].loss_ppm, 5);
	link_change(&l, 0, NULL);
	assert_int_equal(l.bearer[0].delay_us, 300000);
	assert_int_equal(l.bearer[0].loss_ppm, 0);
}

static void test_schedule(void **state)
{
	struct link_config c = two_bearers();
	struct link l;

	(void)state;
	c.bearers[1].period_us = 60 * US_PER_S;
	c.bearers[1].up_us = 50 * US_PER_S;
	c.bearers[1].phase_us = 5 * US_PER_S;
	link_init(&l, &c, 6, 0);
	assert_int_equal(link_schedule(&l, 1, at(0)).us, 5 * US_PER_S);
	assert_true(l.bearer[1].off_schedule);
	assert_int_equal(link_schedule(&l, 1, at(5 * US_PER_S)).us, 55 * US_PER_S);
	assert_false(l.bearer[1].off_schedule);
	assert_int_equal(link_schedule(&l, 1, at(55 * US_PER_S)).us, 65 * US_PER_S);
	assert_true(l.bearer[1].off_schedule);
	assert_int_equal(link_schedule(&l, 0, at(0)).us, MONO_NEVER.us);
}

static void test_chance(void **state)
{
	static const uint32_t weights[] = {1, 0, 3};
	struct prng p, q, other;
	int64_t sum = 0;
	unsigned hits[3] = {0};

	(void)state;
	prng_init(&p, 7, "test", 0);
	prng_init(&q, 7, "test", 0);
	prng_init(&other, 7, "test", 1);
	for (int i = 0; i < 100; i++) {
		uint64_t x = prng_u64(&p);

		assert_true(x == prng_u64(&q));
		assert_true(x != prng_u64(&other));
	}
	for (int i = 0; i < 100000; i++) {
		int64_t t = prng_exponential(&p, 1000000), b = prng_between(&p, -3, 3);

		assert_true(t > 0 && b >= -3 && b <= 3);
		sum += t;
		hits[prng_weighted(&p, weights, 3)]++;
	}
	assert_in_range(sum / 100000, 985000, 1015000);
	assert_int_equal(hits[1], 0);
	assert_in_range(hits[2], 74000, 76000);
	assert_int_equal(prng_weighted(&p, weights + 1, 1), 1);
	assert_int_equal(prng_below(&p, 0), 0);
	assert_true(prng_exponential(&p, 0) == INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_cheapest_that_passes), cmocka_unit_test(test_order_is_kept), cmocka_unit_test(test_rate_is_shared),
		cmocka_unit_test(test_a_full_queue_drops),       cmocka_unit_test(test_changes_and_back), cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
