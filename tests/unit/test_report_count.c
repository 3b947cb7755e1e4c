/* What `estafette report` makes of messages: rows, shares, medians, words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/report_count.c"

static struct count_message message(uint8_t precedence, int64_t took_us)
{
	struct count_message m = {.sent_us = 1000000, .handle_by_us = 1000000 + 500, .ended = EVENT_READ, .read_us = 1000000 + took_us};
	m.key = (struct count_key){.year = 2021, .month = 7, .direction = COUNT_IN, .originator = 3, .addressee = 7, .precedence = precedence};
	strcpy(m.key.channel, "siena");
	strcpy(m.key.queue, "dispatch");
	return m;
}

static void must_add(struct count *c, struct count_message m)
{
	assert_int_equal(count_add(c, &m), ERR_OK);
}

static void words_name_columns(void **state)
{
	unsigned by;
	struct view bad;
	(void)state;
	assert_int_equal(count_by_parse("site,channel,precedence", &by, &bad), ERR_OK);
	assert_int_equal(by, BY_SITE | BY_CHANNEL | BY_PRECEDENCE);
	assert_int_equal(count_by_parse("month", &by, &bad), ERR_OK);
	assert_int_equal(by, BY_YEAR | BY_MONTH);
	assert_int_equal(count_by_parse("none", &by, &bad), ERR_OK);
	assert_int_equal(by, 0);
	assert_int_equal(count_by_parse("site,week,year", &by, &bad), ERR_FORMAT);
	assert_true(view_equal(bad, view_str("week")));
	assert_int_equal(count_by_parse("site,", &by, &bad), ERR_FORMAT);
	assert_int_equal(count_by_parse("", &by, &bad), ERR_FORMAT);
}

static void each_message_is_counted_once(void **state)
{
	struct count c = {.by = 0};
	struct count_message m = message(PREC_FLASH, 500);
	(void)state;
	must_add(&c, m);                          /* the very moment is in time */
	must_add(&c, message(PREC_FLASH, 501));   /* late */
	must_add(&c, message(PREC_IMMEDIATE, 10));
	m = message(PREC_ROUTINE, 900);
	m.handle_by_us = 0;                       /* neither in time nor late */
	m.elsewhere = true;
	must_add(&c, m);
	static const uint8_t ends[] = {EVENT_REFUSED, EVENT_CANCELLED, EVENT_EXPIRED, 0, 0};
	for (size_t i = 0; i < sizeof ends; i++) {
		m = message(PREC_PRIORITY, 1 << 30);
		m.ended = ends[i];
		must_add(&c, m);
	}
	assert_int_equal(c.n, 1);
	const struct count_row *r = c.rows[0];
	assert_int_equal(r->messages, 9);
	assert_int_equal(r->urgent, 3);
	assert_int_equal(r->flash, 2);
	assert_int_equal(r->read, 4);
	assert_int_equal(r->in_time, 2);
	assert_int_equal(r->late, 1);
	assert_int_equal(r->flash_read, 2);
	assert_int_equal(r->flash_in_time, 1);
	assert_int_equal(r->refused, 1);
	assert_int_equal(r->cancelled, 1);
	assert_int_equal(r->expired, 1);
	assert_int_equal(r->open, 2);
	assert_int_equal(r->elsewhere, 1);
	assert_int_equal(r->fastest_us, 10);
	assert_int_equal(r->slowest_us, 900);     /* what was not read has no time */
	assert_int_equal(r->messages, r->read + r->refused + r->cancelled + r->expired + r->open);
	count_release(&c);
}

static void rows_are_what_was_asked_for(void **state)
{
	struct count c = {.by = BY_PRECEDENCE | BY_YEAR | BY_MONTH};
	struct count_message m = message(PREC_ROUTINE, 1);
	(void)state;
	m.key.exercise = true;
	must_add(&c, m);
	must_add(&c, message(PREC_ROUTINE, 1));
	must_add(&c, message(PREC_FLASH, 1));
	m = message(PREC_ROUTINE, 1);
	strcpy(m.key.channel, "interpol");        /* not asked for */
	m.key.originator = 9;
	must_add(&c, m);
	m.key.month = 6;
	must_add(&c, m);
	assert_int_equal(c.n, 4);
	assert_int_equal(c.rows[0]->key.month, 6);
	assert_int_equal(c.rows[1]->key.precedence, PREC_FLASH);
	assert_int_equal(c.rows[2]->messages, 2);
	assert_int_equal(c.rows[2]->key.originator, 0);
	assert_string_equal(c.rows[2]->key.channel, "");
	assert_true(c.rows[3]->key.exercise);     /* exercises stand apart, whatever was asked for */
	assert_int_equal(c.rows[3]->messages, 1);
	count_release(&c);
}

static void clocks_that_disagree_take_no_time(void **state)
{
	struct count c = {.by = 0};
	(void)state;
	must_add(&c, message(PREC_FLASH, -70));
	assert_int_equal(c.rows[0]->slowest_us, 0);
	assert_int_equal(count_median_us(c.rows[0]), 0);
	assert_int_equal(c.rows[0]->in_time, 1);
	count_release(&c);
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* Against the times sorted: never further than a thirty-second, whatever their size. */
static void medians_are_near(void **state)
{
	static int64_t took[999];
	uint64_t x = 88172645463325252ULL;
	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct count c = {.by = 0};
		size_t n = 1 + round * 5 % 999;
		for (size_t i = 0; i < n; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			took[i] = (int64_t)(x >> (14 + (x & 31) + round % 8));
			must_add(&c, message(PREC_ROUTINE, took[i]));
		}
		qsort(took, n, sizeof took[0], by_size);
		int64_t exact = took[(n - 1) / 2], got = count_median_us(c.rows[0]);
		assert_true(llabs(got - exact) * 32 <= exact);
		assert_int_equal(c.rows[0]->slowest_us, took[n - 1]);
		count_release(&c);
	}
}

static void every_time_has_a_step(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 63; bit++) {
		size_t before = 0;
		for (int64_t us = (int64_t)1 << bit, i = -1; i <= 1; i++) {
			size_t step = step_of(us + i);
			assert_true(step < COUNT_STEPS && step >= before);
			before = step;
		}
	}
	assert_int_equal(step_of(-5), 0);
	assert_int_equal(step_of(INT64_MAX), COUNT_STEPS - 1);
	for (size_t s = 0; s < COUNT_STEPS; s++)
		assert_int_equal(step_of(step_middle(s)), s);
}

static void shares_are_rounded(void **state)
{
	(void)state;
	assert_int_equal(count_permille(0, 0), 0);
	assert_int_equal(count_permille(1, 3), 333);
	assert_int_equal(count_permille(2, 3), 667);
	assert_int_equal(count_permille(4395, 10591), 415); /* translations of 2021 */
	assert_int_equal(count_permille(7, 7), 1000);
}

/* Senders name channels as they like: the rows stay bounded, and nothing goes uncounted. */
static void channels_without_end(void **state)
{
	struct count c = {.by = BY_CHANNEL | BY_PRECEDENCE};
	uint64_t sum = 0, others = 0;
	(void)state;
	for (unsigned i = 0; i < 3 * COUNT_ROWS; i++) {
		struct count_message m = message(PREC_ROUTINE, 1);
		snprintf(m.key.channel, sizeof m.key.channel, "channel-%u", i % (2 * COUNT_ROWS));
		must_add(&c, m);
	}
	assert_int_equal(c.n, COUNT_ROWS / 2 + 1);
	for (size_t i = 0; i < c.n; i++) {
		sum += c.rows[i]->messages;
		if (strcmp(c.rows[i]->key.channel, COUNT_OTHERS) == 0)
			others += c.rows[i]->messages;
	}
	assert_int_equal(sum, 3 * COUNT_ROWS);
	assert_int_equal(others, 3 * COUNT_ROWS - COUNT_ROWS); /* the first half of the rows was met twice */
	count_release(&c);
}

static void too_many_rows_are_refused(void **state)
{
	struct count c = {.by = BY_ORIGINATOR};
	struct count_message m = message(PREC_ROUTINE, 1);
	(void)state;
	for (unsigned i = 0; i < COUNT_ROWS; i++) {
		m.key.originator = (uint16_t)i;
		must_add(&c, m);
	}
	m.key.originator = COUNT_ROWS;
	assert_int_equal(count_add(&c, &m), ERR_TOO_LARGE);
	m.key.originator = 5;
	must_add(&c, m);
	count_release(&c);
}

static void csv_is(const char *text, const char *expected)
{
	struct buf b = BUF_EMPTY;
	count_csv(&b, text);
	assert_true(view_equal(buf_view(&b), view_str(expected)));
	buf_release(&b);
}

static void fields_of_csv(void **state)
{
	(void)state;
	csv_is("siena", "siena");
	csv_is("", "");
	csv_is("a,b", "\"a,b\"");
	csv_is("say \"no\"", "\"say \"\"no\"\"\"");
	csv_is("=1+1", "'=1+1");
	csv_is("@x,y", "\"'@x,y\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_name_columns), cmocka_unit_test(each_message_is_counted_once), cmocka_unit_test(rows_are_what_was_asked_for),
		cmocka_unit_test(clocks_that_disagree_take_no_time), cmocka_unit_test(medians_are_near), cmocka_unit_test(every_time_has_a_step),
		cmocka_unit_test(shares_are_rounded), cmocka_unit_test(channels_without_end), cmocka_unit_test(too_many_rows_are_refused),
		cmocka_unit_test(fields_of_csv),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
