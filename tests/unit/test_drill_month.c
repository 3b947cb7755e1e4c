/* The months of a drill together are the drill: what exact flows send, to the last message, and what happens in each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/workload.h"

#define YEAR "conf/drills/year-2021.conf"
#define SITES 15
#define FLOWS 3

static struct drill *load(const char *month, const char *sample)
{
	struct drill *d = NULL;
	struct errmsg m = {.text = ""};

	if (drill_load(YEAR, &d, &m) || drill_set(d, "sample", sample, &m) || (month && drill_set(d, "month", month, &m)))
		fail_msg("%s", m.text);
	return d;
}

static void count(const struct drill *d, uint64_t n[FLOWS][SITES])
{
	struct workload *w = NULL;
	struct load_message m;

	assert_int_equal(workload_new(d, 7, &w), ERR_OK);
	for (struct mono next = workload_next(w); next.us < MONO_NEVER.us; next = workload_next(w))
		while (workload_pop(w, next, &m)) {
			assert_true(m.at_us >= 0 && m.at_us < d->length_us);
			n[m.flow][m.from]++;
		}
	workload_free(w);
}

static void test_months_are_the_year(void **state)
{
	static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	uint64_t year[FLOWS][SITES] = {{0}}, months[FLOWS][SITES] = {{0}}, all = 0;
	size_t events = 0;
	struct drill *d = load(NULL, "10%");
	size_t of_year = d->n_events;
	int64_t start = d->start.us;

	(void)state;
	count(d, year);
	drill_free(d);
	for (int i = 1; i <= 12; i++) {
		char month[8];

		snprintf(month, sizeof month, "%d", i);
		d = load(month, "10%");
		assert_int_equal(d->length_us, days[i - 1] * US_PER_DAY);
		assert_int_equal(d->start.us, start);
		start += d->length_us;
		events += d->n_events;
		if (i == 7) {
			drill_free(d);
			for (int k = 1; k <= 6; k++) {
				struct errmsg m;
				char part[8];

				snprintf(part, sizeof part, "%d/6", k);
				d = load(month, "10%");
				assert_int_equal(drill_set(d, "part", part, &m), ERR_OK);
				count(d, months); /* its sixths together are the month */
				drill_free(d);
			}
			continue;
		}
		for (size_t k = 0; k < d->n_events; k++)
			assert_true(d->events[k].at_us >= 0 && d->events[k].at_us < d->length_us);
		for (size_t k = 0; k < d->n_expects; k++)
			assert_int_equal(d->expects[k].figure, 0);
		count(d, months);
		drill_free(d);
	}
	assert_int_equal(events, of_year);
	assert_memory_equal(year, months, sizeof year);
	for (size_t f = 0; f < FLOWS; f++)
		for (size_t s = 0; s < SITES; s++)
			all += year[f][s];
	assert_in_range(all, 296190, 296210); /* a tenth of 2 961 995, each figure rounded */
}

/* Written down and read again it is the same month. */
static void test_written(void **state)
{
	struct drill *d = load("7", "1%"), *again = NULL;
	struct buf text = BUF_EMPTY;
	struct errmsg m = {.text = ""};
	uint64_t a[FLOWS][SITES] = {{0}}, b[FLOWS][SITES] = {{0}};

	(void)state;
	assert_int_equal(drill_format(d, &text), ERR_OK);
	if (drill_parse("july.conf", buf_view(&text), &again, &m))
		fail_msg("%s", m.text);
	count(d, a);
	count(again, b);
	assert_memory_equal(a, b, sizeof a);
	assert_int_equal(d->n_events, 4); /* the floods, and three upgrades */
	buf_release(&text);
	drill_free(d);
	drill_free(again);
}

static void test_no_month(void **state)
{
	static const char *const bad[] = {"0", "13", "", "x", "1x", "-1", "july"};
	struct drill *d = load(NULL, "1%");
	struct errmsg m;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(drill_set(d, "month", bad[i], &m), ERR_USAGE);
	assert_int_equal(drill_set(d, "part", "7/6", &m), ERR_USAGE);
	assert_int_equal(drill_set(d, "part", "1", &m), ERR_USAGE);
	assert_int_equal(drill_set(d, "part", "0/6", &m), ERR_USAGE);
	assert_int_equal(drill_set(d, "part", "1/0", &m), ERR_USAGE);
	assert_int_equal(drill_set(d, "length", "40d", &m), ERR_OK);
	assert_int_equal(drill_set(d, "month", "2", &m), ERR_USAGE); /* not all of it is there */
	assert_int_equal(drill_set(d, "month", "1", &m), ERR_OK);
	drill_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_months_are_the_year), cmocka_unit_test(test_written), cmocka_unit_test(test_no_month)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
