#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/cursor.h"

/* One of each, as it lies in memory. */
static const uint8_t golden[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0xff, 0xff, 0xff,
                                 0xff, 0xff, 0xff, 0xff, 0xfe, 'r',  'a',  'w',  0x02, 'v',  '8',  0x00, 0x03, 'v',  '1',  '6'};

static enum err read_golden(struct view v)
{
	struct rd r = rd_init(v);
	struct view v8, v16;
	char raw[3];

	rd_u8(&r);
	rd_u16(&r);
	rd_u32(&r);
	rd_u64(&r);
	rd_i64(&r);
	rd_copy(&r, raw, 3);
	v8 = rd_vec8(&r, 2);
	v16 = rd_vec16(&r, 3);
	if (r.err) /* whatever came after the error is empty */
		assert_int_equal(v16.len, 0);
	else
		assert_true(view_equal(v8, view_str("v8")) && view_equal(v16, view_str("v16")));
	return rd_done(&r);
}

static void writes_the_golden_bytes(void **state)
{
	uint8_t out[sizeof golden];
	struct wr w = wr_init(out, sizeof out);

	(void)state;
	wr_u8(&w, 0x01);
	wr_u16(&w, 0x0203);
	wr_u32(&w, 0x04050607);
	wr_u64(&w, 0x08090a0b0c0d0e0f);
	wr_i64(&w, -2);
	wr_bytes(&w, view_str("raw"));
	wr_vec8(&w, view_str("v8"));
	wr_vec16(&w, view_str("v16"));
	assert_int_equal(wr_done(&w), ERR_OK);
	assert_int_equal(wr_len(&w), sizeof golden);
	assert_memory_equal(out, golden, sizeof golden);
}

static void reads_the_golden_bytes(void **state)
{
	struct rd r = rd_init(view_of(golden, sizeof golden));
	uint8_t raw[3];

	(void)state;
	assert_int_equal(rd_u8(&r), 1);
	assert_int_equal(rd_u16(&r), 0x0203);
	assert_int_equal(rd_u32(&r), 0x04050607);
	assert_int_equal(rd_u64(&r), 0x08090a0b0c0d0e0f);
	assert_int_equal(rd_i64(&r), -2);
	rd_copy(&r, raw, 3);
	assert_memory_equal(raw, "raw", 3);
	assert_int_equal(rd_left(&r), 8);
	assert_int_equal(rd_done(&r), ERR_FORMAT);
	assert_int_equal(read_golden(view_of(golden, sizeof golden)), ERR_OK);
}

static void truncation_at_every_byte(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof golden; n++)
		assert_int_equal(read_golden(view_of(golden, n)), ERR_TRUNCATED);
}

static void bytes_left_over_are_refused(void **state)
{
	uint8_t longer[sizeof golden + 1] = {0};

	(void)state;
	memcpy(longer, golden, sizeof golden);
	assert_int_equal(read_golden(view_of(longer, sizeof longer)), ERR_FORMAT);
}

static void first_error_sticks_and_the_rest_is_zero(void **state)
{
	struct rd r = rd_init(view_str("abc"));
	uint8_t copy[2] = {9, 9};

	(void)state;
	assert_int_equal(rd_u32(&r), 0);
	rd_fail(&r, ERR_RANGE);
	assert_int_equal(rd_u8(&r), 0);
	rd_copy(&r, copy, sizeof copy);
	assert_int_equal(copy[0] | copy[1], 0);
	assert_null(rd_bytes(&r, 1).ptr);
	assert_int_equal(rd_left(&r), 0);
	assert_int_equal(rd_done(&r), ERR_TRUNCATED);
}

static void vectors_over_their_maximum_are_too_large(void **state)
{
	struct rd r = rd_init(view_of("\x03" "abc", 4));

	(void)state;
	assert_int_equal(rd_vec8(&r, 2).len, 0);
	assert_int_equal(rd_done(&r), ERR_TOO_LARGE);
	r = rd_init(view_of("\x00\x00\x00\x03" "abc", 7));
	assert_true(view_equal(rd_vec32(&r, 3), view_str("abc")));
	assert_int_equal(rd_done(&r), ERR_OK);
	r = rd_init(view_of("\xff\xff\xff\xff", 4));
	assert_int_equal(rd_vec32(&r, SIZE_MAX).len, 0);
	assert_int_equal(rd_done(&r), ERR_TRUNCATED);
}

static void empty_input_is_complete(void **state)
{
	struct rd r = rd_init(view_of(NULL, 0));

	(void)state;
	assert_int_equal(rd_bytes(&r, 0).len, 0);
	assert_int_equal(rd_done(&r), ERR_OK);
}

static void writing_past_the_end_sticks(void **state)
{
	static uint8_t many[70000];
	uint8_t out[3] = {9, 9, 9};
	struct wr w = wr_init(out, 2);

	(void)state;
	wr_u8(&w, 1);
	wr_u16(&w, 0x0203);
	wr_u8(&w, 4);
	assert_int_equal(wr_done(&w), ERR_TOO_LARGE);
	assert_int_equal(wr_len(&w), 1);
	assert_int_equal(out[1], 9);
	assert_int_equal(out[2], 9);
	w = wr_init(many, sizeof many);
	wr_vec8(&w, view_of(many, 256));
	assert_int_equal(wr_done(&w), ERR_TOO_LARGE);
	assert_int_equal(wr_len(&w), 0);
	w = wr_init(many, sizeof many);
	wr_vec16(&w, view_of(many, 65536));
	assert_int_equal(wr_done(&w), ERR_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_golden_bytes),
		cmocka_unit_test(reads_the_golden_bytes),
		cmocka_unit_test(truncation_at_every_byte),
		cmocka_unit_test(bytes_left_over_are_refused),
		cmocka_unit_test(first_error_sticks_and_the_rest_is_zero),
		cmocka_unit_test(vectors_over_their_maximum_are_too_large),
		cmocka_unit_test(empty_input_is_complete),
		cmocka_unit_test(writing_past_the_end_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
