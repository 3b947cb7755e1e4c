#include "proto/cursor.h"

/* Where an empty view without a pointer is taken to point, so that no arithmetic is done on NULL. */
static const uint8_t nothing[1];

struct rd rd_init(struct view v)
{
	const uint8_t *p = v.ptr ? v.ptr : nothing;

	return (struct rd){p, p + (v.ptr ? v.len : 0), ERR_OK};
}

void rd_fail(struct rd *r, enum err e)
{
	if (!r->err)
		r->err = e;
}

/* The next n bytes, or NULL after an error or when there are fewer. */
static const uint8_t *rd_take(struct rd *r, size_t n)
{
	const uint8_t *p = r->pos;

	if (rd_left(r) < n)
		rd_fail(r, ERR_TRUNCATED);
	if (r->err)
		return NULL;
	r->pos += n;
	return p;
}

uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_take(r, 1);

	return p ? p[0] : 0;
}

uint16_t rd_u16(struct rd *r)
{
	const uint8_t *p = rd_take(r, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static uint32_t big_endian_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint32_t rd_u32(struct rd *r)
{
	const uint8_t *p = rd_take(r, 4);

	return p ? big_endian_u32(p) : 0;
}

uint64_t rd_u64(struct rd *r)
{
	const uint8_t *p = rd_take(r, 8);

	return p ? (uint64_t)big_endian_u32(p) << 32 | big_endian_u32(p + 4) : 0;
}

int64_t rd_i64(struct rd *r)
{
	return (int64_t)rd_u64(r);
}

uint64_t rd_varint(struct rd *r)
{
	uint64_t x = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b = rd_u8(r);

		if (r->err)
			return 0;
		if ((shift == 63 && b > 1) || (shift && b == 0)) {
			rd_fail(r, ERR_FORMAT); /* more than 64 bits, or a shorter one says the same */
			return 0;
		}
		x |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return x;
	}
	rd_fail(r, ERR_FORMAT);
	return 0;
}

struct view rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p = rd_take(r, n);

	return p ? view_of(p, n) : view_of(NULL, 0);
}

static struct view rd_vec(struct rd *r, size_t n, size_t max)
{
	if (n > max)
		rd_fail(r, ERR_TOO_LARGE);
	return rd_bytes(r, n);
}

struct view rd_vec8(struct rd *r, size_t max)
{
	return rd_vec(r, rd_u8(r), max);
}

struct view rd_vec16(struct rd *r, size_t max)
{
	return rd_vec(r, rd_u16(r), max);
}

struct view rd_vec32(struct rd *r, size_t max)
{
	return rd_vec(r, rd_u32(r), max);
}

void rd_copy(struct rd *r, void *out, size_t n)
{
	const uint8_t *p = rd_take(r, n);

	if (p)
		memcpy(out, p, n);
	else
		memset(out, 0, n);
}

size_t rd_left(const struct rd *r)
{
	return r->err ? 0 : (size_t)(r->end - r->pos);
}

enum err rd_done(const struct rd *r)
{
	if (r->err)
		return r->err;
	return r->pos == r->end ? ERR_OK : ERR_FORMAT;
}

struct wr wr_init(void *out, size_t size)
{
	uint8_t *p = out;

	return (struct wr){p, p, size ? p + size : p, ERR_OK};
}

static void wr_put(struct wr *w, const void *bytes, size_t n)
{
	if ((size_t)(w->end - w->pos) < n && !w->err)
		w->err = ERR_TOO_LARGE;
	if (w->err || n == 0)
		return;
	memcpy(w->pos, bytes, n);
	w->pos += n;
}

void wr_u8(struct wr *w, uint8_t x)
{
	wr_put(w, &x, 1);
}

void wr_u16(struct wr *w, uint16_t x)
{
	uint8_t b[2] = {(uint8_t)(x >> 8), (uint8_t)x};

	wr_put(w, b, sizeof b);
}

void wr_u32(struct wr *w, uint32_t x)
{
	uint8_t b[4] = {(uint8_t)(x >> 24), (uint8_t)(x >> 16), (uint8_t)(x >> 8), (uint8_t)x};

	wr_put(w, b, sizeof b);
}

void wr_u64(struct wr *w, uint64_t x)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(x >> (56 - 8 * i));
	wr_put(w, b, sizeof b);
}

void wr_i64(struct wr *w, int64_t x)
{
	wr_u64(w, (uint64_t)x);
}

void wr_bytes(struct wr *w, struct view v)
{
	wr_put(w, v.ptr, v.len);
}

/* Length and bytes go together or not at all: a vector too long for its length field fails as a whole. */
void wr_vec8(struct wr *w, struct view v)
{
	if (v.len > UINT8_MAX && !w->err)
		w->err = ERR_TOO_LARGE;
	wr_u8(w, (uint8_t)v.len);
	wr_bytes(w, v);
}

void wr_vec16(struct wr *w, struct view v)
{
	if (v.len > UINT16_MAX && !w->err)
		w->err = ERR_TOO_LARGE;
	wr_u16(w, (uint16_t)v.len);
	wr_bytes(w, v);
}

size_t wr_len(const struct wr *w)
{
	return (size_t)(w->pos - w->start);
}

enum err wr_done(const struct wr *w)
{
	return w->err;
}
