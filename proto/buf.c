#include "proto/buf.h"

#include <stdlib.h>

static bool buf_grow(struct buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : 64;
	uint8_t *p;

	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	p = realloc(b->ptr, cap);
	if (!p)
		return false;
	b->ptr = p;
	b->cap = cap;
	return true;
}

uint8_t *buf_extend(struct buf *b, size_t n)
{
	if (b->bad || n > PTRDIFF_MAX - b->len || ((b->len + n > b->cap || !b->ptr) && !buf_grow(b, b->len + n))) {
		b->bad = true;
		return NULL;
	}
	b->len += n;
	return b->ptr + b->len - n;
}

void buf_add(struct buf *b, struct view v)
{
	uint8_t *p = buf_extend(b, v.len);

	if (p && v.len)
		memcpy(p, v.ptr, v.len);
}

static void buf_add_big_endian(struct buf *b, uint64_t x, size_t n)
{
	uint8_t *p = buf_extend(b, n);

	for (size_t i = 0; p && i < n; i++)
		p[i] = (uint8_t)(x >> (8 * (n - 1 - i)));
}

void buf_add_u8(struct buf *b, uint8_t x)
{
	buf_add_big_endian(b, x, 1);
}

void buf_add_u16(struct buf *b, uint16_t x)
{
	buf_add_big_endian(b, x, 2);
}

void buf_add_u32(struct buf *b, uint32_t x)
{
	buf_add_big_endian(b, x, 4);
}

void buf_add_u64(struct buf *b, uint64_t x)
{
	buf_add_big_endian(b, x, 8);
}

void buf_add_varint(struct buf *b, uint64_t x)
{
	for (; x >= 0x80; x >>= 7)
		buf_add_u8(b, (uint8_t)(x | 0x80));
	buf_add_u8(b, (uint8_t)x);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->bad = false;
}

void buf_release(struct buf *b)
{
	free(b->ptr);
	*b = BUF_EMPTY;
}
