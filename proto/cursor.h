/* cursor.h - bounded reading and writing of big-endian formats (the shape of wire_ctx in Knot DNS).
 *
 * The first error sticks; after it reads give zeros and empty views, writes do nothing. A decoder reads
 * everything, then checks once with rd_done, which also demands that all bytes were consumed. */
#ifndef PROTO_CURSOR_H
#define PROTO_CURSOR_H

#include "proto/err.h"
#include "proto/view.h"

struct rd {
	const uint8_t *pos, *end;
	enum err err;
};

struct rd rd_init(struct view v);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
int64_t rd_i64(struct rd *r);
uint64_t rd_varint(struct rd *r);                  /* 7 bits a byte, the lowest first; ERR_FORMAT when it is not the shortest */
struct view rd_bytes(struct rd *r, size_t n);      /* borrowed from the input */
struct view rd_vec8(struct rd *r, size_t max);     /* u8 length, bytes; ERR_TOO_LARGE over max */
struct view rd_vec16(struct rd *r, size_t max);    /* u16 length, bytes */
struct view rd_vec32(struct rd *r, size_t max);    /* u32 length, bytes */
void rd_copy(struct rd *r, void *out, size_t n);   /* zeros after an error */
size_t rd_left(const struct rd *r);
void rd_fail(struct rd *r, enum err e);            /* sticks e when nothing stuck before */
MUST_USE enum err rd_done(const struct rd *r);     /* the sticky error, or ERR_FORMAT when bytes are left */

struct wr {
	uint8_t *start, *pos, *end;
	enum err err; /* ERR_TOO_LARGE once something did not fit */
};

struct wr wr_init(void *out, size_t size);
void wr_u8(struct wr *w, uint8_t x);
void wr_u16(struct wr *w, uint16_t x);
void wr_u32(struct wr *w, uint32_t x);
void wr_u64(struct wr *w, uint64_t x);
void wr_i64(struct wr *w, int64_t x);
void wr_bytes(struct wr *w, struct view v);
void wr_vec8(struct wr *w, struct view v);
void wr_vec16(struct wr *w, struct view v);
size_t wr_len(const struct wr *w);
MUST_USE enum err wr_done(const struct wr *w);

#endif
