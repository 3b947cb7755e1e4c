/* Reports: what one site writes about a message, every other reads the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/limits.h"
#include "proto/report.h"
#include "proto/vector.h"
#include "tests/lib/codec.h"

static uint8_t ids[3 * MSGID_BYTES];

static struct report_record sample(void)
{
	struct report_record r = {.event = EVENT_REFUSED, .addressee = 15, .when = {1626300300000000}, .by = view_str("desk1"),
				  .why = view_str("niet voor ons"), .ids = 2, .id_bytes = view_of(ids, 2 * MSGID_BYTES)};

	memset(ids, 0xab, sizeof ids);
	memset(ids + MSGID_BYTES, 0xcd, MSGID_BYTES);
	return r;
}

/* Exactly one record. */
static enum err decode_one(void *arg, struct view v)
{
	struct report_record r;
	enum err e = report_next(&v, arg ? arg : &r);

	if (e)
		return e;
	return v.len ? ERR_FORMAT : ERR_OK;
}

static void round_trip(void **state)
{
	(void)state;
	struct report_record r = sample(), back;
	struct buf b = BUF_EMPTY;
	struct view rest;

	report_add(&b, &r);
	assert_int_equal(b.len, report_bytes(&r));
	r.event = EVENT_READ;
	r.by = r.why = view_of(NULL, 0);
	memset(r.order.b, 0x55, HASH_BYTES);
	report_add(&b, &r);
	rest = buf_view(&b);
	assert_int_equal(report_next(&rest, &back), ERR_OK);
	assert_int_equal(back.event, EVENT_REFUSED);
	assert_int_equal(back.addressee, 15);
	assert_int_equal(back.when.us, 1626300300000000);
	assert_true(view_equal(back.by, view_str("desk1")) && view_equal(back.why, view_str("niet voor ons")));
	assert_int_equal(back.order.b[0], 0);
	assert_int_equal(back.ids, 2);
	assert_true(view_equal(back.id_bytes, view_of(ids, 2 * MSGID_BYTES)));
	assert_int_equal(rest.len, report_bytes(&r));
	assert_int_equal(report_next(&rest, &back), ERR_OK);
	assert_int_equal(back.event, EVENT_READ);
	assert_int_equal(back.by.len + back.why.len, 0);
	assert_true(hash_equal(&back.order, &r.order));
	assert_int_equal(rest.len, 0);
	assert_int_equal(report_next(&rest, &back), ERR_TRUNCATED);
	buf_release(&b);
}

static void golden(void **state)
{
	(void)state;
	struct report_record r = sample();
	struct buf b = BUF_EMPTY;

	r.ids = 1;
	r.id_bytes.len = MSGID_BYTES;
	memset(r.order.b, 0x55, HASH_BYTES);
	report_add(&b, &r);
	assert_hex(buf_view(&b), "05 000f 0005c71c8badfb00 05 6465736b31 000d 6e69657420766f6f72206f6e73"
				 " 01 5555555555555555555555555555555555555555555555555555555555555555"
				 " 0001 abababababababababababababababab");
	buf_release(&b);
}

static void cut_or_longer(void **state)
{
	(void)state;
	struct report_record r = sample();
	struct buf b = BUF_EMPTY;

	report_add(&b, &r);
	assert_cuts_refused(buf_view(&b), decode_one, NULL);
	assert_trailing_refused(buf_view(&b), decode_one, NULL);
	buf_release(&b);
}

/* Offsets in the sample: event 0, addressee 1, when 3, by 11, why 17, has_order 32, ids 33. */
static enum err decode_with(size_t at, uint8_t value)
{
	struct report_record r = sample();
	struct buf b = BUF_EMPTY;
	enum err e;

	report_add(&b, &r);
	b.ptr[at] = value;
	e = decode_one(NULL, buf_view(&b));
	buf_release(&b);
	return e;
}

static void refuses_what_is_not_canonical(void **state)
{
	(void)state;
	assert_int_equal(decode_with(0, 200), ERR_OK); /* an event from a newer version is passed on */
	assert_int_equal(decode_with(3, 0x80), ERR_FORMAT);
	assert_int_equal(decode_with(11, LIMIT_USER_BYTES + 1), ERR_TOO_LARGE);
	assert_int_equal(decode_with(12, 0x1b), ERR_FORMAT);
	assert_int_equal(decode_with(17, 2), ERR_TOO_LARGE);
	assert_int_equal(decode_with(19, 0xff), ERR_FORMAT);
	assert_int_equal(decode_with(32, 2), ERR_FORMAT);
	assert_int_equal(decode_with(34, 0), ERR_FORMAT); /* about no message */
}

static void order_of_zeros_is_written_as_none(void **state)
{
	(void)state;
	struct report_record r = sample();
	struct buf b = BUF_EMPTY;

	r.by = r.why = view_of(NULL, 0);
	memset(r.order.b, 0x55, HASH_BYTES);
	report_add(&b, &r);
	memset(b.ptr + 15, 0, HASH_BYTES);
	assert_int_equal(decode_one(NULL, buf_view(&b)), ERR_FORMAT);
	buf_release(&b);
}

/* A long reason, or bytes that are no text, must not make a record that nobody takes. */
static void what_is_written_can_be_read(void **state)
{
	(void)state;
	char why[LIMIT_REASON_BYTES + 40], by[LIMIT_USER_BYTES + 10];
	struct report_record r = sample(), back;
	struct buf b = BUF_EMPTY;

	memset(why, 'x', sizeof why);
	memcpy(why + LIMIT_REASON_BYTES - 1, "\xc3\xa9", 2); /* the limit falls inside a character */
	memset(by, 0x07, sizeof by);
	r.why = view_of(why, sizeof why);
	r.by = view_of(by, sizeof by);
	r.when.us = -1;
	report_add(&b, &r);
	assert_int_equal(b.len, report_bytes(&r));
	assert_int_equal(decode_one(&back, buf_view(&b)), ERR_OK);
	assert_true(view_equal(back.why, view_of(why, LIMIT_REASON_BYTES - 1)));
	assert_int_equal(back.by.len, LIMIT_USER_BYTES);
	assert_int_equal(back.by.ptr[0], '?');
	assert_int_equal(back.when.us, 0);
	buf_release(&b);
}

static void names_and_ends(void **state)
{
	(void)state;
	assert_string_equal(report_event_name(EVENT_DELIVERED), "delivered");
	assert_string_equal(report_event_name(EVENT_HANDED_OUT), "handed-out");
	assert_string_equal(report_event_name(EVENT_REPLAYED), "replayed");
	assert_string_equal(report_event_name(0), "unknown");
	assert_string_equal(report_event_name(EVENT_REPLAYED + 1), "unknown");
	for (unsigned e = 0; e < 256; e++)
		assert_int_equal(report_event_ends(e), e == EVENT_READ || e == EVENT_REFUSED || e == EVENT_EXPIRED || e == EVENT_CANCELLED);
}

/* ---- closings ------------------------------------------------------------------------------------------- */

static enum err decode_closing(void *arg, struct view v)
{
	(void)arg;
	struct closing c;

	return closing_decode(v, &c);
}

/* Two leases and a head; heads gets the bytes that the closing borrows. */
static struct closing sample_closing(struct buf *heads)
{
	struct frontier f = {.stream = {.originator = 15, .incarnation = {1626300000000000, {1}}, .addressee = 13}, .number = 9};
	struct closing c = {.part = 1, .parts = 3, .leases = 2, .lease_ids = view_of(ids, 2 * MSGID_BYTES), .heads = 1};

	memset(f.chain.b, 0x66, HASH_BYTES);
	memset(c.order.b, 0x55, HASH_BYTES);
	memset(ids, 0xab, sizeof ids);
	frontier_add(heads, &f);
	c.head_bytes = buf_view(heads);
	return c;
}

static void closing_round_trip(void **state)
{
	(void)state;
	struct buf heads = BUF_EMPTY, b = BUF_EMPTY;
	struct closing c = sample_closing(&heads), back;

	closing_add(&b, &c);
	assert_hex(buf_view(&b), "01 5555555555555555555555555555555555555555555555555555555555555555 0001 0003 0002"
				 " abababababababababababababababab abababababababababababababababab"
				 " 0001 000f 0005c71c79cc5800 0100000000000000 000d 00 00 0000000000000009"
				 " 6666666666666666666666666666666666666666666666666666666666666666 00");
	assert_int_equal(closing_decode(buf_view(&b), &back), ERR_OK);
	assert_true(hash_equal(&back.order, &c.order));
	assert_int_equal(back.part, 1);
	assert_int_equal(back.parts, 3);
	assert_int_equal(back.leases, 2);
	assert_true(view_equal(back.lease_ids, c.lease_ids));
	assert_int_equal(back.heads, 1);
	assert_true(view_equal(back.head_bytes, c.head_bytes));
	assert_cuts_refused(buf_view(&b), decode_closing, NULL);
	assert_trailing_refused(buf_view(&b), decode_closing, NULL);
	buf_release(&heads);
	buf_release(&b);
}

static enum err closing_with(size_t at, uint8_t value)
{
	struct buf heads = BUF_EMPTY, b = BUF_EMPTY;
	struct closing c = sample_closing(&heads);
	enum err e;

	closing_add(&b, &c);
	b.ptr[at] = value;
	e = decode_closing(NULL, buf_view(&b));
	buf_release(&heads);
	buf_release(&b);
	return e;
}

static void closing_refuses_nonsense(void **state)
{
	(void)state;
	struct closing c = {.parts = 1, .order = {{1}}};
	struct buf b = BUF_EMPTY;

	assert_int_equal(closing_with(0, 0), ERR_FORMAT);
	assert_int_equal(closing_with(0, 2), ERR_VERSION);
	assert_int_equal(closing_with(34, 3), ERR_RANGE);      /* part 3 of 0 to 2 */
	assert_int_equal(closing_with(36, 0), ERR_RANGE);      /* of no parts */
	assert_int_equal(closing_with(38, 1), ERR_FORMAT);     /* an id too many reads as heads that are none */
	assert_int_equal(closing_with(72, 0), ERR_FORMAT);     /* a head that none announced */
	assert_int_equal(closing_with(135, 1), ERR_TRUNCATED); /* a head names no missing entries */
	closing_add(&b, &c); /* nothing leased, no stream */
	assert_int_equal(decode_closing(NULL, buf_view(&b)), ERR_OK);
	memset(b.ptr + 1, 0, HASH_BYTES);
	assert_int_equal(decode_closing(NULL, buf_view(&b)), ERR_FORMAT); /* under no order */
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(golden),
		cmocka_unit_test(cut_or_longer),
		cmocka_unit_test(refuses_what_is_not_canonical),
		cmocka_unit_test(order_of_zeros_is_written_as_none),
		cmocka_unit_test(what_is_written_can_be_read),
		cmocka_unit_test(names_and_ends),
		cmocka_unit_test(closing_round_trip),
		cmocka_unit_test(closing_refuses_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
