#include "proto/id.h"

#include "proto/cursor.h"
#include "proto/limits.h"

/* ---- message ids ------------------------------------------------------------------------------------ */

static uint64_t msgid_time_us(const struct msgid *id)
{
	struct rd r = rd_init(view_of(id->b, 8));

	return rd_u64(&r);
}

struct msgid msgid_next(struct msgid *last, struct wall now, const uint8_t random[8])
{
	/* a clock before 1970 counts as 1970: the time of an id is unsigned so that bytes sort */
	uint64_t t = now.us > 0 ? (uint64_t)now.us : 0, after = msgid_time_us(last) + 1;
	struct wr w = wr_init(last->b, MSGID_BYTES);

	wr_u64(&w, t > after ? t : after);
	wr_bytes(&w, view_of(random, 8));
	return *last;
}

struct wall msgid_time(const struct msgid *id)
{
	uint64_t t = msgid_time_us(id);

	return (struct wall){t > INT64_MAX ? INT64_MAX : (int64_t)t};
}

static const char base32[33] = "0123456789abcdefghjkmnpqrstvwxyz";

/* 26 digits of 5 bits are 130: the first digit carries only the top 3 bits. */
void msgid_format(const struct msgid *id, char out[MSGID_TEXT_BYTES])
{
	unsigned bits = 0, n_bits = 2;
	size_t at = 0;

	for (size_t i = 0; i < MSGID_BYTES; i++) {
		bits = bits << 8 | id->b[i];
		for (n_bits += 8; n_bits >= 5; n_bits -= 5)
			out[at++] = base32[bits >> (n_bits - 5) & 31];
		bits &= 31;
	}
	out[at] = 0;
}

static int base32_value(uint8_t c)
{
	const char *p;

	if (c >= 'A' && c <= 'Z')
		c = (uint8_t)(c + 'a' - 'A');
	p = c ? strchr(base32, c) : NULL;
	return p ? (int)(p - base32) : -1;
}

enum err msgid_parse(struct view text, struct msgid *out)
{
	unsigned bits = 0, n_bits = 0;
	size_t at = 0;

	if (text.len != MSGID_TEXT_BYTES - 1)
		return ERR_FORMAT;
	for (size_t i = 0; i < text.len; i++) {
		int x = base32_value(text.ptr[i]);

		if (x < 0 || (i == 0 && x > 7))
			return ERR_FORMAT;
		bits = (bits << 5 | (unsigned)x) & 0xfff;
		n_bits += i == 0 ? 3 : 5;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		out->b[at++] = (uint8_t)(bits >> n_bits);
	}
	return ERR_OK;
}

/* ---- hexadecimal ------------------------------------------------------------------------------------- */

void hex_format(const uint8_t *bytes, size_t n, char *out)
{
	static const char digits[17] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = 0;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum err hex_parse(struct view text, uint8_t *out, size_t n)
{
	if (text.len % 2 || text.len / 2 != n)
		return ERR_FORMAT;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_value(text.ptr[2 * i]), lo = hex_value(text.ptr[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return ERR_FORMAT;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return ERR_OK;
}

/* ---- precedence and streams ------------------------------------------------------------------------- */

static const char *const precedence_names[PREC_COUNT] = {"flash", "immediate", "priority", "routine"};

const char *precedence_name(unsigned p)
{
	return p < PREC_COUNT ? precedence_names[p] : "?";
}

enum err precedence_parse(const char *text, enum precedence *out)
{
	for (unsigned p = 0; p < PREC_COUNT; p++) {
		if (strcmp(text, precedence_names[p]) == 0) {
			*out = (enum precedence)p;
			return ERR_OK;
		}
	}
	return ERR_FORMAT;
}

void stream_name_encode(const struct stream_name *n, uint8_t out[STREAM_NAME_BYTES])
{
	struct wr w = wr_init(out, STREAM_NAME_BYTES);

	wr_u16(&w, n->originator);
	wr_i64(&w, n->incarnation.born_us);
	wr_bytes(&w, view_of(n->incarnation.random, 8));
	wr_u16(&w, n->addressee);
	wr_u8(&w, n->precedence);
	wr_u8(&w, n->exercise);
}

enum err stream_name_decode(struct view v, struct stream_name *out)
{
	struct rd r = rd_init(v);
	enum err e;

	out->originator = rd_u16(&r);
	out->incarnation.born_us = rd_i64(&r);
	rd_copy(&r, out->incarnation.random, 8);
	out->addressee = rd_u16(&r);
	out->precedence = rd_u8(&r);
	out->exercise = rd_u8(&r);
	e = rd_done(&r);
	if (e)
		return e;
	if (out->originator == 0 || out->addressee == 0 || out->incarnation.born_us < 0 || out->incarnation.born_us > LIMIT_WALL_US)
		return ERR_FORMAT;
	return out->precedence < PREC_COUNT && out->exercise <= 1 ? ERR_OK : ERR_FORMAT;
}
