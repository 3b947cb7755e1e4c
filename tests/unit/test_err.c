#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "proto/err.h"

static void every_error_has_its_own_code_and_a_text(void **state)
{
	(void)state;
	for (int e = 0; e < ERR_COUNT; e++) {
		assert_int_equal(err_from_code(err_code((enum err)e)), e);
		assert_true(strlen(err_text((enum err)e)) > 1);
		assert_null(strpbrk(err_code((enum err)e), " -ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
	}
}

/* Codes are a promise to scripts: these spellings are in their programs. */
static void codes_are_stable(void **state)
{
	(void)state;
	assert_string_equal(err_code(ERR_UNKNOWN_SITE), "unknown_site");
	assert_string_equal(err_code(ERR_TIMEOUT), "timeout");
	assert_string_equal(err_code(ERR_NO_NODE), "no_node");
	assert_string_equal(err_code(ERR_OK), "ok");
}

static void unknown_values_are_internal_errors(void **state)
{
	(void)state;
	assert_string_equal(err_code((enum err)ERR_COUNT), "internal");
	assert_string_equal(err_text((enum err)-1), err_text(ERR_INTERNAL));
	assert_int_equal(err_from_code("no such code"), ERR_INTERNAL);
	assert_int_equal(err_from_code(NULL), ERR_INTERNAL);
}

static void messages_are_filled_and_cut(void **state)
{
	struct errmsg m;
	char longer[600];

	(void)state;
	assert_int_equal(err_set(&m, ERR_RANGE, "line %d: too much", 7), ERR_RANGE);
	assert_int_equal(m.code, ERR_RANGE);
	assert_string_equal(m.text, "line 7: too much");
	assert_int_equal(err_set(NULL, ERR_IO, "nobody reads this"), ERR_IO);
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = 0;
	assert_int_equal(err_set(&m, ERR_IO, "%s", longer), ERR_IO);
	assert_int_equal(strlen(m.text), sizeof m.text - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_its_own_code_and_a_text),
		cmocka_unit_test(codes_are_stable),
		cmocka_unit_test(unknown_values_are_internal_errors),
		cmocka_unit_test(messages_are_filled_and_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
