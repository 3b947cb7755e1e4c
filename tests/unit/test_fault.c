#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/fault.h"
#include "sim/shrink.h"

#define SEEDS 300
#define MIN_US (60 * US_PER_S)
#define HOUR_US (60 * MIN_US)

static struct drill *sweep(void)
{
	struct drill *d = NULL;
	struct errmsg m;

	if (drill_load("conf/drills/sweep.conf", &d, &m) != ERR_OK)
		fail_msg("%s", m.text);
	return d;
}

static struct drill *drawn(uint64_t seed)
{
	struct drill *d = sweep();

	assert_int_equal(fault_draw(d, seed), ERR_OK);
	return d;
}

static bool destroys(const struct drill_event *e)
{
	return e->what == DO_LOSE_DISK || e->what == DO_RESTORE || e->what == DO_FLIP_BIT;
}

static void check_event(const struct drill *d, const struct drill_event *e, int64_t last_us)
{
	assert_true(e->at_us >= last_us);
	assert_true(e->at_us >= 0 && e->at_us <= d->length_us);
	assert_true(drill_do_supported(e->what));
	assert_int_equal(e->line, 0);
	if (e->from.n && e->what != DO_SEND)
		assert_true(e->to.n > 0 || e->from.n == drill_site_count(d));
}

static void test_in_bounds(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct drill *d = drawn(seed);
		int64_t last = 0;
		for (size_t i = 0; i < d->n_events; i++) {
			check_event(d, &d->events[i], last);
			last = d->events[i].at_us;
		}
		drill_free(d);
	}
}

/* Every kind is drawn by some seed and left out by others; no two seeds are alike. */
static void test_swarm(void **state)
{
	size_t with[DO_COUNT] = {0};
	struct buf before = BUF_EMPTY, text = BUF_EMPTY;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct drill *d = drawn(seed);
		uint64_t kinds = 0;
		for (size_t i = 0; i < d->n_events; i++)
			kinds |= UINT64_C(1) << d->events[i].what;
		for (unsigned k = 0; k < DO_COUNT; k++)
			with[k] += kinds >> k & 1;
		buf_clear(&text);
		assert_int_equal(drill_format(d, &text), ERR_OK);
		assert_false(view_equal(buf_view(&text), buf_view(&before)));
		buf_clear(&before);
		buf_add(&before, buf_view(&text));
		drill_free(d);
	}
	for (unsigned k = 0; k < DO_COUNT; k++)
		if (fault_kinds() >> k & 1 && k != DO_RELOCATE && k != DO_PROGRAM) /* only where a drill names them */
			assert_in_range(with[k], SEEDS / 5, SEEDS * 19 / 20);
	buf_release(&before);
	buf_release(&text);
}

static void test_same_seed(void **state)
{
	struct drill *a = drawn(42), *b = drawn(42);
	struct buf x = BUF_EMPTY, y = BUF_EMPTY;

	(void)state;
	assert_int_equal(drill_format(a, &x), ERR_OK);
	assert_int_equal(drill_format(b, &y), ERR_OK);
	assert_true(view_equal(buf_view(&x), buf_view(&y)));
	/* What was drawn is a drill that can be written down and read. */
	struct drill *again = NULL;
	struct errmsg m;
	if (drill_parse("drawn.conf", buf_view(&x), &again, &m) != ERR_OK)
		fail_msg("%s", m.text);
	assert_int_equal(again->n_events, a->n_events);
	drill_free(again);
	buf_release(&x);
	buf_release(&y);
	drill_free(a);
	drill_free(b);
}

/* A disk that flips one bit flips others. */
static bool beside_flip(const struct drill_event *flip, const struct drill_event *o)
{
	return flip->what == DO_FLIP_BIT && o->what == DO_FLIP_BIT && sites_has(&o->sites, flip->sites.v[0]) && llabs(o->at_us - flip->at_us) < 10 * US_PER_S;
}

/* What the invariants cannot bear is not drawn: two journals destroyed close to each other, or one while others are in
 * trouble, or one of a site that is still sending. */
static void test_survivable(void **state)
{
	size_t destroyed = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct drill *d = drawn(seed);
		for (size_t i = 0; i < d->n_events; i++) {
			const struct drill_event *e = &d->events[i];
			bool silent = false, saved = e->what != DO_RESTORE;
			if (!destroys(e))
				continue;
			destroyed++;
			for (size_t k = 0; k < d->n_events; k++) {
				const struct drill_event *o = &d->events[k];
				bool mine = o->what == DO_RATE || o->what == DO_DESKS_AWAY || o->what == DO_BACKUP || o->what == DO_CANCEL;
				if (k == i || beside_flip(e, o))
					continue;
				if (destroys(o))
					assert_true(o->at_us <= e->at_us - 4 * HOUR_US || o->at_us >= e->at_us + 4 * HOUR_US);
				else if (!mine)
					assert_false(o->at_us <= e->at_us && o->at_us + o->for_us >= e->at_us - 30 * MIN_US);
				silent |= o->what == DO_RATE && o->value == 0 && sites_has(&o->sites, e->sites.v[0]) && o->at_us <= e->at_us - 20 * MIN_US && o->at_us + o->for_us > e->at_us;
				saved |= o->what == DO_BACKUP && sites_has(&o->sites, e->sites.v[0]) && o->at_us < e->at_us;
			}
			assert_true(silent);
			assert_true(saved);
		}
		drill_free(d);
	}
	assert_true(destroyed > SEEDS / 2);
}

static void test_off_and_kinds(void **state)
{
	struct drill *d = sweep();

	(void)state;
	d->swarm.on = false;
	assert_int_equal(fault_draw(d, 1), ERR_OK);
	assert_int_equal(d->n_events, 0);
	d->swarm.on = true;
	d->swarm.kinds = UINT64_C(1) << DO_CRASH | UINT64_C(1) << DO_CUT;
	for (uint64_t seed = 1; seed < 20; seed++)
		assert_int_equal(fault_draw(d, seed), ERR_OK);
	assert_true(d->n_events > 0);
	for (size_t i = 0; i < d->n_events; i++)
		assert_true(d->events[i].what == DO_CRASH || d->events[i].what == DO_CUT || d->events[i].what == DO_SEND);
	drill_free(d);
}

/* What is left can be written down and read, however it is cut: a cancel does not outlive its message. */
static bool has_cancel(void *arg, const struct drill *d)
{
	(void)arg;
	for (size_t i = 0; i < d->n_events; i++)
		if (d->events[i].what == DO_CANCEL)
			return true;
	return false;
}

static void test_shrink_keeps_labels(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 200; seed++) {
		struct drill *d = drawn(seed), *small = NULL, *again = NULL;
		struct buf text = BUF_EMPTY;
		struct errmsg m;
		if (has_cancel(NULL, d)) {
			assert_int_equal(shrink(d, has_cancel, NULL, 300, &small), ERR_OK);
			assert_int_equal(small->n_events, 2);
			assert_int_equal(drill_format(small, &text), ERR_OK);
			if (drill_parse("small.conf", buf_view(&text), &again, &m) != ERR_OK)
				fail_msg("%s", m.text);
			drill_free(again);
			drill_free(small);
			buf_release(&text);
			drill_free(d);
			return;
		}
		drill_free(d);
	}
	fail_msg("no seed of 200 drew a cancel");
}

/* ---- making small ------------------------------------------------------------------------------------------------- */

struct needs { unsigned runs; };

/* Fails when a crash of cic-luik comes before a cut. */
static bool fails(void *arg, const struct drill *d)
{
	struct needs *n = arg;
	bool crashed = false;

	n->runs++;
	for (size_t i = 0; i < d->n_events; i++) {
		const struct drill_event *e = &d->events[i];
		if (e->at_us > d->length_us)
			continue;
		crashed |= e->what == DO_CRASH && sites_has(&e->sites, 13);
		if (crashed && e->what == DO_CUT)
			return true;
	}
	return false;
}

static void test_shrink(void **state)
{
	struct needs n = {0};

	(void)state;
	for (uint64_t seed = 1; seed < 200; seed++) {
		struct drill *d = drawn(seed), *small = NULL;
		if (fails(&n, d) && d->n_events > 10) {
			n.runs = 0;
			assert_int_equal(shrink(d, fails, &n, 500, &small), ERR_OK);
			assert_true(n.runs <= 500);
			assert_true(fails(&n, small));
			assert_int_equal(small->n_events, 2);
			assert_int_equal(small->n_flows, 0);
			assert_true(small->length_us <= small->events[1].at_us + 2 * MIN_US);
			drill_free(small);
			drill_free(d);
			return;
		}
		drill_free(d);
	}
	fail_msg("no seed of 200 drew a crash and a cut");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_bounds), cmocka_unit_test(test_swarm), cmocka_unit_test(test_same_seed),
		cmocka_unit_test(test_survivable), cmocka_unit_test(test_off_and_kinds), cmocka_unit_test(test_shrink), cmocka_unit_test(test_shrink_keeps_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
