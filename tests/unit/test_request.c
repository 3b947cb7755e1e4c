/* Requests between a client and its node: message, fields, values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/order.h"
#include "proto/request.h"
#include "tests/lib/codec.h"

static void write_sample(struct buf *b)
{
	struct request_writer w;
	struct msgid id;

	memset(id.b, 0xa5, sizeof id.b);
	request_begin(&w, b, REQ_TAKE, 0x01020304);
	request_str(&w, F_QUEUE, "cic-luik/dispatch");
	request_str(&w, F_BY, "");
	request_str(&w, F_REASON, NULL);
	request_u8(&w, F_PRECEDENCE, PREC_PRIORITY);
	request_u32(&w, F_COUNT, 5);
	request_u64(&w, F_BODY_BYTES, 900);
	request_id(&w, &id);
	request_end(&w);
}

/* Everything about a message: head and all fields with their values. */
static enum err read_all(void *arg, struct view v)
{
	(void)arg;
	struct request q;
	struct request_item item;
	enum err e = request_decode(v, &q);

	while (!e) {
		e = request_next(&q.fields, &item);
		if (!e && !item_ok(&item))
			e = ERR_RANGE;
	}
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static void golden(void **state)
{
	(void)state;
	struct buf b = BUF_EMPTY;

	write_sample(&b);
	assert_hex(buf_view(&b), "0000004d 01 03 01020304"
				 " 0d 00000011 6369632d6c75696b2f6469737061746368"
				 " 02 00000001 02 0e 00000004 00000005 0c 00000008 0000000000000384"
				 " 10 00000010 a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5");
	buf_release(&b);
}

static void round_trip(void **state)
{
	(void)state;
	struct buf b = BUF_EMPTY;
	struct request q;
	struct request_item i;
	size_t len;

	write_sample(&b);
	assert_int_equal(request_length(buf_view(&b), &len), ERR_OK);
	assert_int_equal(len, b.len);
	assert_int_equal(request_decode(buf_view(&b), &q), ERR_OK);
	assert_int_equal(q.type, REQ_TAKE);
	assert_int_equal(q.tag, 0x01020304);
	assert_int_equal(request_next(&q.fields, &i), ERR_OK);
	assert_int_equal(i.field, F_QUEUE);
	assert_true(view_equal(i.value, view_str("cic-luik/dispatch")) && item_ok(&i));
	assert_int_equal(request_next(&q.fields, &i), ERR_OK);
	assert_int_equal(i.field, F_PRECEDENCE);
	assert_int_equal(item_u8(&i), PREC_PRIORITY);
	assert_int_equal(item_u32(&i), 0); /* of another length */
	assert_int_equal(request_next(&q.fields, &i), ERR_OK);
	assert_int_equal(item_u32(&i), 5);
	assert_int_equal(request_next(&q.fields, &i), ERR_OK);
	assert_int_equal(item_u64(&i), 900);
	assert_int_equal(request_next(&q.fields, &i), ERR_OK);
	assert_int_equal(i.field, F_ID);
	assert_int_equal(i.value.len, MSGID_BYTES);
	assert_int_equal(request_next(&q.fields, &i), ERR_NOT_FOUND);
	buf_release(&b);
}

static void cut_or_longer(void **state)
{
	(void)state;
	struct buf b = BUF_EMPTY;

	write_sample(&b);
	assert_cuts_refused(buf_view(&b), read_all, NULL);
	assert_trailing_refused(buf_view(&b), read_all, NULL);
	b.ptr[3]--; /* a shorter length, so that the last field is cut */
	assert_int_equal(read_all(NULL, view_of(b.ptr, b.len - 1)), ERR_TRUNCATED);
	buf_release(&b);
}

/* A stream of bytes says how long the message at its start is as soon as four are there. */
static void length(void **state)
{
	(void)state;
	size_t len = 1;

	assert_int_equal(request_length(view_of("\0\0\0", 3), &len), ERR_OK);
	assert_int_equal(len, 0);
	assert_int_equal(request_length(view_of("\0\0\0\6", 4), &len), ERR_OK);
	assert_int_equal(len, REQUEST_HEAD_BYTES);
	assert_int_equal(request_length(view_of("\0\0\0\5", 4), &len), ERR_FORMAT);
	assert_int_equal(request_length(view_of("\0\1\x3f\xfc", 4), &len), ERR_OK);
	assert_int_equal(len, LIMIT_REQUEST_BYTES);
	assert_int_equal(request_length(view_of("\0\1\x3f\xfd", 4), &len), ERR_TOO_LARGE);
	assert_int_equal(request_length(view_of("\xff\xff\xff\xff", 4), &len), ERR_TOO_LARGE);
	assert_int_equal(len, 0);
}

static void refusals_carry_the_tag(void **state)
{
	(void)state;
	struct buf b = BUF_EMPTY;
	struct request q;
	struct request_item i;

	write_sample(&b);
	b.ptr[4] = REQUEST_VERSION + 1;
	assert_int_equal(request_decode(buf_view(&b), &q), ERR_VERSION);
	assert_int_equal(q.tag, 0x01020304);
	b.ptr[4] = 0;
	assert_int_equal(request_decode(buf_view(&b), &q), ERR_FORMAT);
	b.ptr[4] = REQUEST_VERSION;
	b.ptr[REQUEST_HEAD_BYTES] = F_COUNT_OF_FIELDS;
	assert_int_equal(request_decode(buf_view(&b), &q), ERR_OK);
	assert_int_equal(request_next(&q.fields, &i), ERR_FORMAT);
	b.ptr[REQUEST_HEAD_BYTES] = 0;
	assert_int_equal(request_decode(buf_view(&b), &q), ERR_OK);
	assert_int_equal(request_next(&q.fields, &i), ERR_FORMAT);
	buf_release(&b);
}

static void too_long_a_message_is_never_written(void **state)
{
	(void)state;
	static uint8_t bytes[LIMIT_REQUEST_BYTES];
	struct request_writer w;
	struct buf b = BUF_EMPTY;

	request_begin(&w, &b, REPLY_ROW, 1);
	request_field(&w, F_TEXT, view_of(bytes, LIMIT_REQUEST_BYTES - REQUEST_HEAD_BYTES - 5));
	request_end(&w);
	assert_true(buf_ok(&b));
	assert_int_equal(read_all(NULL, buf_view(&b)), ERR_OK);
	request_begin(&w, &b, REPLY_ROW, 1);
	request_field(&w, F_TEXT, view_of(bytes, LIMIT_REQUEST_BYTES - REQUEST_HEAD_BYTES - 4));
	request_end(&w);
	assert_false(buf_ok(&b));
	buf_release(&b);
}

/* ---- values ------------------------------------------------------------------------------------------- */

static bool ok(uint8_t field, const void *bytes, size_t n)
{
	struct request_item i = {field, view_of(bytes, n)};

	return item_ok(&i);
}

static void texts(void **state)
{
	(void)state;
	static const struct { uint8_t field; size_t max; bool may_be_empty; } rules[] = {
		{F_TO, LIMIT_ADDRESS_BYTES, false}, {F_TYPE, LIMIT_MEDIA_TYPE_BYTES, true}, {F_LANG, LIMIT_LANG_BYTES, true},
		{F_CHANNEL, LIMIT_NAME_BYTES, true}, {F_SUBJECT, LIMIT_SUBJECT_BYTES, true}, {F_KEY, LIMIT_KEY_BYTES, true},
		{F_EXERCISE, LIMIT_NAME_BYTES, true}, {F_QUEUE, LIMIT_ADDRESS_BYTES, false}, {F_BY, LIMIT_USER_BYTES, true},
		{F_REASON, LIMIT_REASON_BYTES, true}, {F_ALARM, LIMIT_REASON_BYTES, false},
		{F_ASSIGN, 4 * LIMIT_ADDRESS_BYTES, false}, {F_WITHOUT, LIMIT_NAME_BYTES, false},
	};
	static char blob[LIMIT_STATE_BYTES + 1];
	char text[512];

	memset(text, 'x', sizeof text);
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
		assert_true(ok(rules[i].field, text, rules[i].max));
		assert_false(ok(rules[i].field, text, rules[i].max + 1));
		assert_int_equal(ok(rules[i].field, text, 0), rules[i].may_be_empty);
		assert_false(ok(rules[i].field, "a\nb", 3));
		assert_false(ok(rules[i].field, "\xff", 1));
	}
	assert_true(ok(F_LIST, "a\nb", 3));
	assert_true(ok(F_TEXT, "", 0));
	assert_true(ok(F_BLOB, blob, LIMIT_STATE_BYTES));
	assert_false(ok(F_BLOB, blob, LIMIT_STATE_BYTES + 1));
}

static void numbers(void **state)
{
	(void)state;
	static const uint8_t bytes[40] = {0}, low[8] = {0, 0, 0, 0, 0, 0, 0, 9}, high[8] = {0x80};
	static const struct { uint8_t field; size_t len; } fixed[] = {
		{F_RE, 16}, {F_ID, 16}, {F_BODY_BYTES, 8}, {F_COUNT, 4}, {F_INDEX, 4}, {F_SIZE, 8}, {F_NUMBER, 8}, {F_TIME, 8},
		{F_PLAIN_HASH, 32}, {F_NULL, 0}, {F_EXPIRES, 8}, {F_SENT, 8}, {F_HANDLE_BY, 8}, {F_LEASE_US, 8}, {F_LAST, 1},
		{F_FLAG, 1}, {F_DUPLICATE, 1}, {F_REPLAYED, 1}, {F_PRECEDENCE, 1}, {F_DRY, 1}, {F_SINCE, 8}, {F_UNTIL, 8},
	};

	for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
		for (size_t n = 0; n < sizeof bytes; n++)
			assert_int_equal(ok(fixed[i].field, bytes, n), n == fixed[i].len);
	assert_true(ok(F_EXPIRES, low, 8) && ok(F_LEASE_US, low, 8));
	assert_false(ok(F_EXPIRES, high, 8) || ok(F_LEASE_US, high, 8)); /* before 1970; a negative lease */
	assert_false(ok(F_LAST, "\2", 1) || ok(F_PRECEDENCE, "\4", 1) || ok(F_DRY, "\2", 1));
	assert_true(ok(F_STATE, "\1", 1) && ok(F_STATE, "\10", 1));
	assert_false(ok(F_STATE, "\0", 1) || ok(F_STATE, "\11", 1) || ok(F_STATE, "", 0));
	assert_false(ok(0, "", 0) || ok(F_COUNT_OF_FIELDS, "", 0) || ok(255, "", 0));
}

/* No field is forgotten in the table: each takes some run of ones, with the sign and the high bytes zero. */
static void every_field_has_a_rule(void **state)
{
	(void)state;
	static const uint8_t one[HASH_BYTES] = {[7] = 1};

	for (unsigned field = 1; field < F_COUNT_OF_FIELDS; field++) {
		bool any = ok((uint8_t)field, "text", 4) || ok((uint8_t)field, "\1", 1);

		for (size_t n = 0; n <= sizeof one; n++)
			any = any || ok((uint8_t)field, one, n);
		assert_true(any);
	}
}

static void states(void **state)
{
	(void)state;
	enum wait_state s;

	for (unsigned i = STATE_ACCEPTED; i <= STATE_CANCELLED; i++) {
		assert_int_equal(wait_state_parse(wait_state_name(i), &s), ERR_OK);
		assert_int_equal(s, i);
	}
	assert_string_equal(wait_state_name(STATE_HELD_BY_STANDBY), "held-by-standby");
	assert_string_equal(wait_state_name(0), "unknown");
	assert_string_equal(wait_state_name(STATE_CANCELLED + 1), "unknown");
	assert_int_equal(wait_state_parse("Held", &s), ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(cut_or_longer),
		cmocka_unit_test(length),
		cmocka_unit_test(refusals_carry_the_tag),
		cmocka_unit_test(too_long_a_message_is_never_written),
		cmocka_unit_test(texts),
		cmocka_unit_test(numbers),
		cmocka_unit_test(every_field_has_a_rule),
		cmocka_unit_test(states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
