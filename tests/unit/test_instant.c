#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "proto/instant.h"

static void wall_is(const char *text, int64_t us)
{
	struct wall t = {-1};

	assert_int_equal(wall_parse(text, &t), ERR_OK);
	assert_int_equal(t.us, us);
}

static void reads_rfc_3339(void **state)
{
	(void)state;
	wall_is("1970-01-01T00:00:00Z", 0);
	wall_is("2021-07-14T22:05:00Z", 1626300300LL * US_PER_S);
	wall_is("2021-07-15T00:05:00+02:00", 1626300300LL * US_PER_S);
	wall_is("2021-07-14t20:35:00.25-01:30", 1626300300LL * US_PER_S + 250000);
	wall_is("2024-02-29T12:00:00.1234567Z", 1709208000LL * US_PER_S + 123456);
	wall_is("2016-12-31T23:59:60Z", 1483228800LL * US_PER_S);
	wall_is("1969-12-31T23:59:59.999999Z", -1);
	wall_is("0000-01-01T00:00:00Z", -62167219200LL * US_PER_S);
	wall_is("9999-12-31T23:59:59Z", 253402300799LL * US_PER_S);
}

static void refuses_what_is_not_rfc_3339(void **state)
{
	static const char *const format[] = {"", "2021", "2021-07-14", "2021-07-14T22:05:00", "2021-07-14 22:05:00Z", "2021-7-14T22:05:00Z",
	                                     "2021-07-14T22:05Z", "2021-07-14T22:05:00.Z", "2021-07-14T22:05:00Zz", "2021-07-14T22:05:00+0200",
	                                     "2021-07-14T22:05:00+02:00 ", "+021-07-14T22:05:00Z", " 2021-07-14T22:05:00Z"};
	static const char *const range[] = {"2021-13-01T00:00:00Z", "2021-00-01T00:00:00Z", "2021-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
	                                    "2021-04-31T00:00:00Z", "2021-04-00T00:00:00Z", "2021-04-01T24:00:00Z", "2021-04-01T00:60:00Z",
	                                    "2021-04-01T00:00:61Z", "2021-04-01T00:00:00+24:00", "0000-01-01T00:00:00+01:00",
	                                    "9999-12-31T23:59:59-00:01"};
	struct wall t;

	(void)state;
	for (size_t i = 0; i < sizeof format / sizeof format[0]; i++)
		assert_int_equal(wall_parse(format[i], &t), ERR_FORMAT);
	for (size_t i = 0; i < sizeof range / sizeof range[0]; i++)
		assert_int_equal(wall_parse(range[i], &t), ERR_RANGE);
}

static void writes_rfc_3339(void **state)
{
	char out[WALL_TEXT_BYTES];

	(void)state;
	wall_format((struct wall){1626300300LL * US_PER_S + 1009}, 6, out);
	assert_string_equal(out, "2021-07-14T22:05:00.001009Z");
	wall_format((struct wall){1626300300LL * US_PER_S + 1009}, 3, out);
	assert_string_equal(out, "2021-07-14T22:05:00.001Z");
	wall_format((struct wall){1626300300LL * US_PER_S + 999999}, 0, out);
	assert_string_equal(out, "2021-07-14T22:05:00Z");
	wall_format((struct wall){-1}, 6, out);
	assert_string_equal(out, "1969-12-31T23:59:59.999999Z");
	wall_format((struct wall){INT64_MIN}, 6, out);
	assert_string_equal(out, "0000-01-01T00:00:00.000000Z");
	wall_format((struct wall){INT64_MAX}, 6, out);
	assert_string_equal(out, "9999-12-31T23:59:59.999999Z");
}

/* Every day of 800 years, so that each leap rule is met; and what is written is read back. */
static void days_follow_each_other(void **state)
{
	char out[WALL_TEXT_BYTES], before[WALL_TEXT_BYTES] = "";
	struct wall t;

	(void)state;
	for (int64_t day = -146097; day < 146097; day++) {
		wall_format((struct wall){day * US_PER_DAY + 7}, 6, out);
		if (strcmp(before, out) >= 0)
			fail_msg("%s is not after %s", out, before);
		assert_int_equal(wall_parse(out, &t), ERR_OK);
		assert_int_equal(t.us, day * US_PER_DAY + 7);
		memcpy(before, out, sizeof before);
	}
}

static void durations(void **state)
{
	int64_t us;

	(void)state;
	assert_int_equal(duration_parse("250ms", &us), ERR_OK);
	assert_int_equal(us, 250000);
	assert_int_equal(duration_parse("30s", &us), ERR_OK);
	assert_int_equal(us, 30 * US_PER_S);
	assert_int_equal(duration_parse("5min", &us), ERR_OK);
	assert_int_equal(us, 300 * US_PER_S);
	assert_int_equal(duration_parse("2h", &us), ERR_OK);
	assert_int_equal(us, 7200 * US_PER_S);
	assert_int_equal(duration_parse("7d", &us), ERR_OK);
	assert_int_equal(us, 7 * US_PER_DAY);
	assert_int_equal(duration_parse("0", &us), ERR_OK);
	assert_int_equal(us, 0);
	assert_int_equal(duration_parse("36525d", &us), ERR_OK);
	assert_int_equal(duration_parse("36526d", &us), ERR_RANGE);
	assert_int_equal(duration_parse("-5s", &us), ERR_RANGE);
	assert_int_equal(duration_parse("99999999999999999999999s", &us), ERR_RANGE);
	assert_int_equal(duration_parse("9223372036854775807d", &us), ERR_RANGE);
	assert_int_equal(duration_parse("5", &us), ERR_FORMAT);
	assert_int_equal(duration_parse("", &us), ERR_FORMAT);
	assert_int_equal(duration_parse("s", &us), ERR_FORMAT);
	assert_int_equal(duration_parse("5 s", &us), ERR_FORMAT);
	assert_int_equal(duration_parse("5m", &us), ERR_FORMAT);
	assert_int_equal(duration_parse("1.5h", &us), ERR_FORMAT);
	assert_int_equal(duration_parse("5s ", &us), ERR_FORMAT);
	assert_int_equal(duration_parse("-5", &us), ERR_FORMAT);
}

static void sizes(void **state)
{
	int64_t n;

	(void)state;
	assert_int_equal(size_parse("512B", &n), ERR_OK);
	assert_int_equal(n, 512);
	assert_int_equal(size_parse("64KiB", &n), ERR_OK);
	assert_int_equal(n, 65536);
	assert_int_equal(size_parse("3MiB", &n), ERR_OK);
	assert_int_equal(n, 3 << 20);
	assert_int_equal(size_parse("1GiB", &n), ERR_OK);
	assert_int_equal(n, 1 << 30);
	assert_int_equal(size_parse("4294967296GiB", &n), ERR_OK);
	assert_int_equal(n, 1LL << 62);
	assert_int_equal(size_parse("4294967297GiB", &n), ERR_RANGE);
	assert_int_equal(size_parse("-1B", &n), ERR_RANGE);
	assert_int_equal(size_parse("64kB", &n), ERR_FORMAT);
	assert_int_equal(size_parse("64", &n), ERR_FORMAT);
	assert_int_equal(size_parse("0x10B", &n), ERR_FORMAT);
}

static void monotonic_time_saturates(void **state)
{
	(void)state;
	assert_int_equal(mono_add((struct mono){5}, 7).us, 12);
	assert_int_equal(mono_add(MONO_NEVER, 1).us, INT64_MAX);
	assert_int_equal(mono_add((struct mono){INT64_MAX - 1}, 2).us, INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_rfc_3339),
		cmocka_unit_test(refuses_what_is_not_rfc_3339),
		cmocka_unit_test(writes_rfc_3339),
		cmocka_unit_test(days_follow_each_other),
		cmocka_unit_test(durations),
		cmocka_unit_test(sizes),
		cmocka_unit_test(monotonic_time_saturates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
