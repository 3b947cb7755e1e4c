#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "proto/id.h"

static const uint8_t random8[8] = {0xa0, 1, 2, 3, 4, 5, 6, 7};

static void ids_only_rise(void **state)
{
	struct msgid last = {{0}}, a, b, c;

	(void)state;
	a = msgid_next(&last, (struct wall){1000}, random8);
	b = msgid_next(&last, (struct wall){500}, random8); /* the clock went back */
	c = msgid_next(&last, (struct wall){2000}, random8);
	assert_int_equal(msgid_time(&a).us, 1000);
	assert_int_equal(msgid_time(&b).us, 1001);
	assert_int_equal(msgid_time(&c).us, 2000);
	assert_true(memcmp(a.b, b.b, 16) < 0 && memcmp(b.b, c.b, 16) < 0);
	assert_true(msgid_equal(&c, &last));
	assert_memory_equal(c.b + 8, random8, 8);
	a = msgid_next(&(struct msgid){{0}}, (struct wall){-5}, random8);
	assert_int_equal(msgid_time(&a).us, 1);
}

static void id_as_text(void **state)
{
	static const struct msgid golden = {{0x00, 0x05, 0xc7, 0x1d, 0x0c, 0x7b, 0xa9, 0x00, 0xa0, 1, 2, 3, 4, 5, 6, 7}};
	char text[MSGID_TEXT_BYTES];
	struct msgid id;

	(void)state;
	msgid_format(&golden, text);
	assert_string_equal(text, "000q3ht33vn40a00820c20a1g7");
	assert_int_equal(msgid_parse(view_str(text), &id), ERR_OK);
	assert_true(msgid_equal(&id, &golden));
}

static void text_of_the_largest_id(void **state)
{
	struct msgid id, got;
	char text[MSGID_TEXT_BYTES];

	(void)state;
	memset(id.b, 0xff, sizeof id.b);
	msgid_format(&id, text);
	assert_string_equal(text, "7zzzzzzzzzzzzzzzzzzzzzzzzz");
	assert_int_equal(msgid_parse(view_str("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), &got), ERR_OK);
	assert_true(msgid_equal(&id, &got));
}

static void texts_sort_as_the_bytes_do(void **state)
{
	struct msgid a, b;
	char ta[MSGID_TEXT_BYTES], tb[MSGID_TEXT_BYTES];

	(void)state;
	srandom(7);
	for (int i = 0; i < 20000; i++) {
		for (size_t k = 0; k < MSGID_BYTES; k++)
			b.b[k] = a.b[k] = (uint8_t)random();
		b.b[random() % MSGID_BYTES] ^= (uint8_t)(1 << random() % 8);
		msgid_format(&a, ta);
		msgid_format(&b, tb);
		assert_int_equal(memcmp(a.b, b.b, 16) < 0, strcmp(ta, tb) < 0);
		assert_int_equal(msgid_parse(view_str(tb), &a), ERR_OK);
		assert_true(msgid_equal(&a, &b));
	}
}

static void refuses_bad_ids(void **state)
{
	static const char good[] = "7zzzzzzzzzzzzzzzzzzzzzzzzz";
	char bad[40];
	struct msgid id;

	(void)state;
	for (size_t n = 0; n < 26; n++)
		assert_int_equal(msgid_parse(view_of(good, n), &id), ERR_FORMAT);
	assert_int_equal(msgid_parse(view_str("7zzzzzzzzzzzzzzzzzzzzzzzzzz"), &id), ERR_FORMAT);
	assert_int_equal(msgid_parse(view_str("8zzzzzzzzzzzzzzzzzzzzzzzzz"), &id), ERR_FORMAT);
	for (const char *c = "iloU-u @`[{\x80"; *c; c++) {
		memcpy(bad, good, sizeof good);
		bad[13] = *c;
		assert_int_equal(msgid_parse(view_str(bad), &id), ERR_FORMAT);
	}
	memcpy(bad, good, sizeof good);
	bad[13] = 0;
	assert_int_equal(msgid_parse(view_of(bad, 26), &id), ERR_FORMAT);
}

static void hexadecimal(void **state)
{
	uint8_t b[3] = {0x00, 0xfa, 0x9e}, got[3];
	char text[7];

	(void)state;
	hex_format(b, 3, text);
	assert_string_equal(text, "00fa9e");
	assert_int_equal(hex_parse(view_str("00FA9e"), got, 3), ERR_OK);
	assert_memory_equal(b, got, 3);
	assert_int_equal(hex_parse(view_str("00fa9"), got, 3), ERR_FORMAT);
	assert_int_equal(hex_parse(view_str("00fa9e0"), got, 3), ERR_FORMAT);
	assert_int_equal(hex_parse(view_str("00fa9g"), got, 3), ERR_FORMAT);
	assert_int_equal(hex_parse(view_str("00fa9e00"), got, 3), ERR_FORMAT);
}

static void precedences(void **state)
{
	enum precedence p;

	(void)state;
	for (unsigned i = 0; i < PREC_COUNT; i++) {
		assert_int_equal(precedence_parse(precedence_name(i), &p), ERR_OK);
		assert_int_equal(p, i);
	}
	assert_string_equal(precedence_name(0), "flash");
	assert_string_equal(precedence_name(3), "routine");
	assert_string_equal(precedence_name(4), "?");
	assert_int_equal(precedence_parse("FLASH", &p), ERR_FORMAT);
	assert_int_equal(precedence_parse("?", &p), ERR_FORMAT);
}

static void stream_names(void **state)
{
	static const uint8_t golden[STREAM_NAME_BYTES] = {0x01, 0x02, 0, 5, 6, 7, 8, 9, 10, 11, 0xa0, 1, 2, 3, 4, 5, 6, 7, 0x03, 0x04, 2, 1};
	struct stream_name n = {.originator = 0x0102, .incarnation = {.born_us = 0x0005060708090a0bLL},
	                        .addressee = 0x0304, .precedence = PREC_PRIORITY, .exercise = 1}, got;
	uint8_t b[STREAM_NAME_BYTES + 1] = {0};

	(void)state;
	memcpy(n.incarnation.random, random8, 8);
	stream_name_encode(&n, b);
	assert_memory_equal(b, golden, sizeof golden);
	assert_int_equal(stream_name_decode(view_of(golden, sizeof golden), &got), ERR_OK);
	assert_true(stream_name_equal(&n, &got));
	for (size_t i = 0; i < sizeof golden; i++)
		assert_int_equal(stream_name_decode(view_of(golden, i), &got), ERR_TRUNCATED);
	assert_int_equal(stream_name_decode(view_of(b, sizeof b), &got), ERR_FORMAT);
	b[20] = PREC_COUNT;
	assert_int_equal(stream_name_decode(view_of(b, STREAM_NAME_BYTES), &got), ERR_FORMAT);
	b[20] = 0;
	b[21] = 2;
	assert_int_equal(stream_name_decode(view_of(b, STREAM_NAME_BYTES), &got), ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_only_rise),
		cmocka_unit_test(id_as_text),
		cmocka_unit_test(text_of_the_largest_id),
		cmocka_unit_test(texts_sort_as_the_bytes_do),
		cmocka_unit_test(refuses_bad_ids),
		cmocka_unit_test(hexadecimal),
		cmocka_unit_test(precedences),
		cmocka_unit_test(stream_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
