#include "tests/lib/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/id.h"

void assert_hex(struct view v, const char *hex)
{
	char *digits = malloc(strlen(hex) + 1), *have = malloc(2 * v.len + 1);
	size_t n = 0;

	assert_non_null(digits);
	assert_non_null(have);
	for (const char *p = hex; *p; p++)
		if (*p != ' ')
			digits[n++] = *p;
	digits[n] = 0;
	hex_format(v.ptr, v.len, have);
	assert_string_equal(have, digits);
	free(digits);
	free(have);
}

/* Decodes a copy that ends exactly where its memory does. */
static enum err decode_copy(struct view v, codec_fn decode, void *arg)
{
	uint8_t *copy = malloc(v.len ? v.len : 1);
	enum err e;

	assert_non_null(copy);
	if (v.len)
		memcpy(copy, v.ptr, v.len);
	e = decode(arg, view_of(copy, v.len));
	free(copy);
	return e;
}

void assert_cuts_refused(struct view whole, codec_fn decode, void *arg)
{
	assert_int_equal(decode_copy(whole, decode, arg), ERR_OK);
	for (size_t n = 0; n < whole.len; n++)
		if (!decode_copy(view_of(whole.ptr, n), decode, arg))
			fail_msg("taken when cut to %zu of %zu bytes", n, whole.len);
}

void assert_trailing_refused(struct view whole, codec_fn decode, void *arg)
{
	uint8_t *longer = calloc(1, whole.len + 64);

	assert_non_null(longer);
	memcpy(longer, whole.ptr, whole.len);
	for (size_t n = 1; n <= 64; n++)
		if (!decode(arg, view_of(longer, whole.len + n)))
			fail_msg("taken with %zu bytes more", n);
	free(longer);
}

void assert_flips_refused(struct view whole, codec_fn decode, void *arg)
{
	uint8_t *copy = malloc(whole.len);

	assert_non_null(copy);
	memcpy(copy, whole.ptr, whole.len);
	assert_int_equal(decode(arg, view_of(copy, whole.len)), ERR_OK);
	for (size_t bit = 0; bit < 8 * whole.len; bit++) {
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (!decode(arg, view_of(copy, whole.len)))
			fail_msg("taken with bit %zu of byte %zu changed", bit % 8, bit / 8);
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(copy);
}
