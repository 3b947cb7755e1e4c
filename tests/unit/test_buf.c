#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/buf.h"

static void grows_and_keeps_what_it_has(void **state)
{
	struct buf b = BUF_EMPTY;

	(void)state;
	for (uint32_t i = 0; i < 100000; i++)
		buf_add_u32(&b, i);
	assert_true(buf_ok(&b));
	assert_int_equal(b.len, 400000);
	assert_memory_equal(b.ptr + 4 * 0x12345, "\x00\x01\x23\x45", 4);
	buf_release(&b);
	assert_null(b.ptr);
	assert_int_equal(b.cap, 0);
}

static void integers_are_big_endian(void **state)
{
	static const uint8_t want[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 'x'};
	struct buf b = BUF_EMPTY;

	(void)state;
	buf_add_u8(&b, 0x01);
	buf_add_u16(&b, 0x0203);
	buf_add_u32(&b, 0x04050607);
	buf_add_u64(&b, 0x08090a0b0c0d0e0f);
	buf_add(&b, view_str("x"));
	buf_add(&b, view_of(NULL, 0));
	assert_true(view_equal(buf_view(&b), view_of(want, sizeof want)));
	buf_release(&b);
}

static void empty_extension_is_no_failure(void **state)
{
	struct buf b = BUF_EMPTY;

	(void)state;
	assert_non_null(buf_extend(&b, 0));
	assert_true(buf_ok(&b));
	assert_int_equal(b.len, 0);
	buf_release(&b);
}

static void failure_sticks_until_cleared(void **state)
{
	struct buf b = BUF_EMPTY;

	(void)state;
	buf_add_u8(&b, 7);
	assert_null(buf_extend(&b, SIZE_MAX / 2 + 1));
	assert_null(buf_extend(&b, SIZE_MAX));
	buf_add_u8(&b, 8);
	assert_false(buf_ok(&b));
	assert_int_equal(b.len, 1);
	buf_clear(&b);
	buf_add_u8(&b, 9);
	assert_true(buf_ok(&b));
	assert_int_equal(b.len, 1);
	assert_int_equal(b.ptr[0], 9);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_keeps_what_it_has),
		cmocka_unit_test(integers_are_big_endian),
		cmocka_unit_test(empty_extension_is_no_failure),
		cmocka_unit_test(failure_sticks_until_cleared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
