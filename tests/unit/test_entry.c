/* Headers and envelopes: the bytes are those of proto/README.md, and nothing else is taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/entry.h"
#include "tests/lib/codec.h"

static struct header sample_header(void)
{
	struct header h = {.kind = KIND_MESSAGE, .flags = HEADER_EXERCISE | HEADER_GROUP, .precedence = PREC_PRIORITY, .bucket = 17,
			   .originator = 0x0d, .area = 0x0102, .group = 0x0304, .roster = 7,
			   .sent = {1626300300000000}, .handle_by = {1626311100000000}, .expires = {0}};

	memset(h.id.b, 0xa5, sizeof h.id.b);
	return h;
}

static enum err decode_header(void *arg, struct view v)
{
	(void)arg;
	struct header h;

	return header_decode(v, &h);
}

static void header_round_trip(void **state)
{
	(void)state;
	struct header h = sample_header(), back;
	uint8_t bytes[HEADER_BYTES];

	header_encode(&h, bytes);
	assert_int_equal(header_decode(view_of(bytes, sizeof bytes), &back), ERR_OK);
	assert_int_equal(back.kind, h.kind);
	assert_int_equal(back.flags, h.flags);
	assert_int_equal(back.precedence, h.precedence);
	assert_int_equal(back.bucket, h.bucket);
	assert_true(msgid_equal(&back.id, &h.id));
	assert_int_equal(back.originator, h.originator);
	assert_int_equal(back.area, h.area);
	assert_int_equal(back.group, h.group);
	assert_int_equal(back.roster, h.roster);
	assert_int_equal(back.sent.us, h.sent.us);
	assert_int_equal(back.handle_by.us, h.handle_by.us);
	assert_int_equal(back.expires.us, h.expires.us);
}

static void header_golden(void **state)
{
	(void)state;
	struct header h = sample_header();
	uint8_t bytes[HEADER_BYTES];

	header_encode(&h, bytes);
	assert_hex(view_of(bytes, sizeof bytes),
		   "01 01 05 02 11 a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5 000d 0102 0304 00000007"
		   " 0005c71c8badfb00 0005c71f0f68e700 0000000000000000 000000000000000000");
}

static void header_cut_or_longer(void **state)
{
	(void)state;
	struct header h = sample_header();
	uint8_t bytes[HEADER_BYTES];

	header_encode(&h, bytes);
	assert_cuts_refused(view_of(bytes, sizeof bytes), decode_header, NULL);
	assert_trailing_refused(view_of(bytes, sizeof bytes), decode_header, NULL);
}

/* Sets one byte and says what the decoder thinks of it. */
static enum err header_with(size_t at, uint8_t value)
{
	struct header h = sample_header();
	uint8_t bytes[HEADER_BYTES];

	header_encode(&h, bytes);
	bytes[at] = value;
	return header_decode(view_of(bytes, sizeof bytes), &h);
}

static void header_refuses_what_is_not_canonical(void **state)
{
	(void)state;
	assert_int_equal(header_with(0, 0), ERR_FORMAT);
	assert_int_equal(header_with(0, HEADER_VERSION + 1), ERR_VERSION);
	assert_int_equal(header_with(1, 127), ERR_OK); /* a kind from a newer version is carried */
	assert_int_equal(header_with(1, 128), ERR_FORMAT);
	assert_int_equal(header_with(2, 0x10), ERR_FORMAT);
	assert_int_equal(header_with(3, PREC_COUNT), ERR_FORMAT);
	assert_int_equal(header_with(31, 0x80), ERR_FORMAT); /* sent before 1970 */
	assert_int_equal(header_with(39, 0x7f), ERR_FORMAT); /* handle by, beyond the year 9999 */
	assert_int_equal(header_with(47, 0x7f), ERR_FORMAT);
	for (size_t i = 55; i < HEADER_BYTES; i++)
		assert_int_equal(header_with(i, 1), ERR_FORMAT);
}

/* A node with a broken clock must not write what no other node takes. */
static void header_times_are_brought_into_range(void **state)
{
	(void)state;
	struct header h = sample_header(), back;
	uint8_t bytes[HEADER_BYTES];

	h.sent.us = -5;
	h.handle_by.us = INT64_MIN;
	h.expires.us = INT64_MAX;
	header_encode(&h, bytes);
	assert_int_equal(header_decode(view_of(bytes, sizeof bytes), &back), ERR_OK);
	assert_int_equal(back.sent.us, 0);
	assert_int_equal(back.handle_by.us, 1); /* still a deadline, and past */
	assert_int_equal(back.expires.us, LIMIT_WALL_US);
}

static void header_fits_its_stream_only(void **state)
{
	(void)state;
	struct header h = sample_header();
	struct stream_name s = {.originator = 0x0d, .addressee = 2, .precedence = PREC_PRIORITY, .exercise = 1}, other = s;

	assert_true(header_fits(&h, &s));
	other.originator = 0x0e;
	assert_false(header_fits(&h, &other));
	other = s;
	other.precedence = PREC_FLASH;
	assert_false(header_fits(&h, &other));
	other = s;
	other.exercise = 0;
	assert_false(header_fits(&h, &other));
}

/* ---- envelope ----------------------------------------------------------------------------------------- */

static struct envelope sample_envelope(void)
{
	struct envelope e = {.queue = view_str("dispatch"), .to = view_str("eupen/dispatch"), .subject = view_str("Hochwasser an der Weser"),
			     .channel = view_str("siena"), .type = view_str("text/plain"), .lang = view_str("de"), .client = view_str("desk1"),
			     .exercise = view_str("drill"), .idempotency = view_str("K-1"), .has_re = true, .has_body = true,
			     .body_bytes = 900, .records = view_str("RR"), .note = view_str("N"), .closing = view_str("CC")};

	memset(e.re.b, 0x11, sizeof e.re.b);
	memset(e.body_plain_hash.b, 0x22, sizeof e.body_plain_hash.b);
	memset(e.content_key.b, 0x33, sizeof e.content_key.b);
	return e;
}

static enum err decode_envelope(void *arg, struct view v)
{
	(void)arg;
	struct envelope e;

	return envelope_decode(v, &e);
}

static struct view encoded(const struct envelope *e, uint8_t *out, size_t size)
{
	size_t len;

	assert_int_equal(envelope_encode(e, out, size, &len), ERR_OK);
	return view_of(out, len);
}

static void envelope_round_trip(void **state)
{
	(void)state;
	struct envelope e = sample_envelope(), back;
	uint8_t bytes[LIMIT_ENVELOPE_BYTES];

	assert_int_equal(envelope_decode(encoded(&e, bytes, sizeof bytes), &back), ERR_OK);
	assert_true(view_equal(back.queue, e.queue) && view_equal(back.to, e.to) && view_equal(back.subject, e.subject));
	assert_true(view_equal(back.channel, e.channel) && view_equal(back.type, e.type) && view_equal(back.lang, e.lang));
	assert_true(view_equal(back.client, e.client) && view_equal(back.exercise, e.exercise));
	assert_true(view_equal(back.idempotency, e.idempotency));
	assert_true(view_equal(back.records, e.records) && view_equal(back.note, e.note) && view_equal(back.closing, e.closing));
	assert_true(back.has_re && msgid_equal(&back.re, &e.re));
	assert_true(back.has_body && back.body_bytes == 900 && hash_equal(&back.body_plain_hash, &e.body_plain_hash));
	assert_memory_equal(back.content_key.b, e.content_key.b, SYM_KEY_BYTES);
}

static void envelope_golden(void **state)
{
	(void)state;
	struct envelope e = {.queue = view_str("dispatch"), .to = view_str("cic-luik/dispatch"), .has_body = true, .body_bytes = 900};
	uint8_t bytes[LIMIT_ENVELOPE_BYTES];

	memset(e.body_plain_hash.b, 0x22, sizeof e.body_plain_hash.b);
	memset(e.content_key.b, 0x33, sizeof e.content_key.b);
	assert_hex(encoded(&e, bytes, sizeof bytes),
		   "01 0008 6469737061746368"
		   " 02 0011 6369632d6c75696b2f6469737061746368"
		   " 0b 0048 0000000000000384"
		   " 2222222222222222222222222222222222222222222222222222222222222222"
		   " 3333333333333333333333333333333333333333333333333333333333333333");
}

/* An envelope cut between two fields is a shorter envelope: its seal, not its decoder, tells. */
static void envelope_cut(void **state)
{
	(void)state;
	struct envelope e = {.subject = view_str("one field only, so that no cut falls between two")};
	uint8_t bytes[LIMIT_ENVELOPE_BYTES], one[1] = {0};
	struct view v = encoded(&e, bytes, sizeof bytes);

	for (size_t n = 1; n < v.len; n++)
		assert_int_equal(decode_envelope(NULL, view_of(bytes, n)), ERR_TRUNCATED);
	e = sample_envelope();
	v = encoded(&e, bytes, sizeof bytes);
	assert_trailing_refused(v, decode_envelope, NULL);
	assert_int_equal(envelope_encode(&e, one, sizeof one, &(size_t){0}), ERR_TOO_LARGE);
}

static enum err decode_hex(const char *hex)
{
	uint8_t bytes[256];
	size_t n = strlen(hex) / 2;
	struct envelope e;

	assert_int_equal(hex_parse(view_str(hex), bytes, n), ERR_OK);
	return envelope_decode(view_of(bytes, n), &e);
}

static void envelope_refuses_what_is_not_canonical(void **state)
{
	(void)state;
	assert_int_equal(decode_hex("01000161"), ERR_OK);
	assert_int_equal(decode_hex("0300016103000162"), ERR_FORMAT); /* twice */
	assert_int_equal(decode_hex("0300016102000161"), ERR_FORMAT); /* falling */
	assert_int_equal(decode_hex("030000"), ERR_FORMAT);           /* empty */
	assert_int_equal(decode_hex("00000161"), ERR_FORMAT);         /* tag 0 */
	assert_int_equal(decode_hex("01000141"), ERR_FORMAT);         /* "A" is no queue name */
	assert_int_equal(decode_hex("0300011b"), ERR_FORMAT);         /* an escape is no text */
	assert_int_equal(decode_hex("030001ff"), ERR_FORMAT);         /* nor is what is not UTF-8 */
	assert_int_equal(decode_hex("0a00021111"), ERR_FORMAT);       /* an id has 16 bytes */
	assert_int_equal(decode_hex("0b00021111"), ERR_FORMAT);
	assert_int_equal(decode_hex("7f000161"), ERR_VERSION);
	assert_int_equal(decode_hex("8000016181000162"), ERR_OK); /* may be passed over */
	assert_int_equal(decode_hex("8100016180000162"), ERR_FORMAT);
}

static void envelope_limits(void **state)
{
	(void)state;
	char text[LIMIT_ENVELOPE_BYTES + 1];
	uint8_t bytes[2 * LIMIT_ENVELOPE_BYTES];
	struct envelope e = {.subject = view_of(text, LIMIT_SUBJECT_BYTES)};
	size_t len;

	memset(text, 'x', sizeof text);
	assert_int_equal(envelope_encode(&e, bytes, sizeof bytes, &len), ERR_OK);
	bytes[2] = 1; /* claims 257 bytes */
	bytes[1] = 1;
	bytes[len] = 'x';
	assert_int_equal(envelope_decode(view_of(bytes, len + 1), &e), ERR_TOO_LARGE);
	e = (struct envelope){.subject = view_of(text, LIMIT_SUBJECT_BYTES + 1)};
	assert_int_equal(envelope_encode(&e, bytes, sizeof bytes, &len), ERR_TOO_LARGE);
	e = (struct envelope){.subject = view_str("two\nlines")};
	assert_int_equal(envelope_encode(&e, bytes, sizeof bytes, &len), ERR_FORMAT);
	e = (struct envelope){.has_body = true, .body_bytes = (uint64_t)LIMIT_BODY_BYTES + 1};
	assert_int_equal(envelope_encode(&e, bytes, sizeof bytes, &len), ERR_TOO_LARGE);
	e = (struct envelope){.records = view_of(text, LIMIT_ENVELOPE_BYTES - SYM_OVERHEAD_BYTES - 3)};
	assert_int_equal(envelope_encode(&e, bytes, sizeof bytes, &len), ERR_OK);
	assert_int_equal(envelope_decode(view_of(bytes, len), &e), ERR_OK);
	e = (struct envelope){.records = view_of(text, LIMIT_ENVELOPE_BYTES - SYM_OVERHEAD_BYTES - 2)};
	assert_int_equal(envelope_encode(&e, bytes, sizeof bytes, &len), ERR_TOO_LARGE);
}

/* ---- hashes ------------------------------------------------------------------------------------------- */

static void leaf_depends_on_every_part(void **state)
{
	(void)state;
	struct header h = sample_header();
	uint8_t header[HEADER_BYTES];
	struct entry e = {.header = view_of(header, sizeof header), .envelope = view_str("envelope"), .body = view_str("body")}, o;
	struct hash leaf, other;

	header_encode(&h, header);
	entry_hash(&e);
	assert_int_equal(e.body_len, 4);
	leaf = entry_leaf(&e);
	assert_hex(view_of(leaf.b, HASH_BYTES), "de80228e676532ad79fa1b826d20fab4e3f1091539ce980017487cabbba7cd2e");
	for (int part = 0; part < 4; part++) {
		o = e;
		o.header_hash.b[0] ^= part == 0;
		o.envelope_hash.b[0] ^= part == 1;
		o.body_hash.b[0] ^= part == 2;
		o.body_len ^= part == 3;
		other = entry_leaf(&o);
		assert_false(hash_equal(&leaf, &other));
	}
}

static void stub_and_body_apart_keep_their_hashes(void **state)
{
	(void)state;
	struct header h = sample_header();
	uint8_t header[HEADER_BYTES];
	struct entry whole = {.header = view_of(header, sizeof header), .envelope = view_str("envelope"), .body = view_str("body")};
	struct entry part;
	struct hash leaf, other;

	header_encode(&h, header);
	entry_hash(&whole);
	leaf = entry_leaf(&whole);
	part = whole;
	part.body = view_of(NULL, 0);
	part.flags = ENTRY_BODY_APART;
	entry_hash(&part);
	other = entry_leaf(&part);
	assert_true(hash_equal(&leaf, &other));
	part.envelope = view_of(NULL, 0);
	part.flags = ENTRY_STUB;
	entry_hash(&part);
	other = entry_leaf(&part);
	assert_true(hash_equal(&leaf, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_round_trip),
		cmocka_unit_test(header_golden),
		cmocka_unit_test(header_cut_or_longer),
		cmocka_unit_test(header_refuses_what_is_not_canonical),
		cmocka_unit_test(header_times_are_brought_into_range),
		cmocka_unit_test(header_fits_its_stream_only),
		cmocka_unit_test(envelope_round_trip),
		cmocka_unit_test(envelope_golden),
		cmocka_unit_test(envelope_cut),
		cmocka_unit_test(envelope_refuses_what_is_not_canonical),
		cmocka_unit_test(envelope_limits),
		cmocka_unit_test(leaf_depends_on_every_part),
		cmocka_unit_test(stub_and_body_apart_keep_their_hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
