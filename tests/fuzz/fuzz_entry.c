/* Headers and envelopes: what is taken is, written again, the same bytes. */
#include "proto/entry.h"
#include "tests/lib/fuzz_driver.h"

static void seed_header(struct buf *out)
{
	struct header h = {.kind = KIND_MESSAGE, .flags = HEADER_EXERCISE, .precedence = PREC_FLASH, .bucket = 17, .originator = 13,
			   .area = 2, .roster = 7, .sent = {1626300300000000}, .handle_by = {1626311100000000}};
	uint8_t bytes[HEADER_BYTES];

	header_encode(&h, bytes);
	buf_add(out, view_of(bytes, sizeof bytes));
}

static void seed_envelope(struct buf *out)
{
	struct envelope e = {.queue = view_str("dispatch"), .to = view_str("eupen/dispatch"), .subject = view_str("Überschwemmung"),
			     .channel = view_str("siena"), .type = view_str("text/plain"), .lang = view_str("de"), .client = view_str("desk1"),
			     .exercise = view_str("drill"), .idempotency = view_str("K-1"), .has_re = true, .has_body = true,
			     .body_bytes = 900, .records = view_str("RR"), .note = view_str("N"), .closing = view_str("C")};
	uint8_t bytes[LIMIT_ENVELOPE_BYTES];
	size_t len;

	fuzz_assert(envelope_encode(&e, bytes, sizeof bytes, &len) == ERR_OK);
	buf_add(out, view_of(bytes, len));
}

bool fuzz_seed(unsigned n, struct buf *out)
{
	if (n == 0)
		seed_header(out);
	else if (n == 1)
		seed_envelope(out);
	return n < 2;
}

static bool try_header(struct view v)
{
	uint8_t bytes[HEADER_BYTES];
	struct header h;

	if (header_decode(v, &h))
		return false;
	header_encode(&h, bytes);
	fuzz_assert(view_equal(v, view_of(bytes, sizeof bytes)));
	return true;
}

/* Fields that this version does not know (their tag has its high bit set) are not written again. */
static bool has_only_known_fields(struct view v)
{
	size_t at = 0;

	for (; at < v.len; at += 3 + ((size_t)v.ptr[at + 1] << 8 | v.ptr[at + 2]))
		if (v.ptr[at] & 0x80)
			return false;
	return at == v.len;
}

static bool try_envelope(struct view v)
{
	uint8_t bytes[LIMIT_ENVELOPE_BYTES];
	struct envelope e;
	size_t len;

	if (envelope_decode(v, &e))
		return false;
	fuzz_assert(envelope_encode(&e, bytes, sizeof bytes, &len) == ERR_OK && len <= v.len);
	fuzz_assert(!has_only_known_fields(v) || view_equal(v, view_of(bytes, len)));
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct view v = view_of(data, len);
	bool header = try_header(v), envelope = try_envelope(v);

	return header || envelope ? 0 : -1;
}
