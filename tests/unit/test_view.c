#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/limits.h"
#include "proto/view.h"

static void names(void **state)
{
	char longest[LIMIT_NAME_BYTES + 2];

	(void)state;
	assert_true(view_is_name(view_str("cic-luik")));
	assert_true(view_is_name(view_str("a")));
	assert_true(view_is_name(view_str("q1-")));
	assert_false(view_is_name(view_str("")));
	assert_false(view_is_name(view_of(NULL, 0)));
	assert_false(view_is_name(view_str("1st")));
	assert_false(view_is_name(view_str("-a")));
	assert_false(view_is_name(view_str("Cic")));
	assert_false(view_is_name(view_str("cic_luik")));
	assert_false(view_is_name(view_str("cic/luik")));
	assert_false(view_is_name(view_of("a\0b", 3)));
	memset(longest, 'a', sizeof longest);
	assert_true(view_is_name(view_of(longest, LIMIT_NAME_BYTES)));
	assert_false(view_is_name(view_of(longest, LIMIT_NAME_BYTES + 1)));
}

static void text_is_well_formed(void **state)
{
	static const char *const good[] = {"", "plain", "\xc3\xa9t\xc3\xa9", "\xe2\x82\xac", "\xed\x9f\xbf", "\xee\x80\x80",
	                                   "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {"a\nb", "\x1b[31m", "\x7f", "\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
	                                  "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe2\x82", "\xc3(",
	                                  "\xe2\x82(", "\xff"};

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		assert_true(view_is_text(view_str(good[i])));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(view_is_text(view_str(bad[i])));
	assert_false(view_is_text(view_of("a\0b", 3)));
}

static void copies_as_string(void **state)
{
	char out[4];

	(void)state;
	assert_true(view_to_str(view_str("abc"), out, sizeof out));
	assert_string_equal(out, "abc");
	assert_false(view_to_str(view_str("abcd"), out, sizeof out));
	assert_string_equal(out, "abc");
	assert_false(view_to_str(view_of("a\0b", 3), out, sizeof out));
	assert_string_equal(out, "a");
	assert_true(view_to_str(view_of(NULL, 0), out, sizeof out));
	assert_string_equal(out, "");
	assert_false(view_to_str(view_str("a"), out, 0));
}

static void compares(void **state)
{
	(void)state;
	assert_true(view_equal(view_str("ab"), view_of("abc", 2)));
	assert_false(view_equal(view_str("ab"), view_str("abc")));
	assert_false(view_equal(view_str("ab"), view_str("ac")));
	assert_true(view_equal(view_of(NULL, 0), view_str("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(text_is_well_formed),
		cmocka_unit_test(copies_as_string),
		cmocka_unit_test(compares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
