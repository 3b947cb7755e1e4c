/* buf.h - bytes that grow. The only heap-backed byte container of proto, storage and core.
 * A failed allocation is sticky (bad); check once with buf_ok at the end, as with the cursors. */
#ifndef PROTO_BUF_H
#define PROTO_BUF_H

#include "proto/view.h"

struct buf {
	uint8_t *ptr;
	size_t len, cap;
	bool bad;
};

#define BUF_EMPTY ((struct buf){NULL, 0, 0, false})

/* Makes room for n more bytes and returns where they go (len grows by n); NULL and sticky on failure. */
uint8_t *buf_extend(struct buf *b, size_t n);
void buf_add(struct buf *b, struct view v);
void buf_add_u8(struct buf *b, uint8_t x);
void buf_add_u16(struct buf *b, uint16_t x); /* all integers big-endian */
void buf_add_u32(struct buf *b, uint32_t x);
void buf_add_u64(struct buf *b, uint64_t x);
void buf_add_varint(struct buf *b, uint64_t x); /* what rd_varint reads */
static inline struct view buf_view(const struct buf *b) { return view_of(b->ptr, b->len); } /* until the next change */
static inline bool buf_ok(const struct buf *b) { return !b->bad; }
void buf_clear(struct buf *b);   /* len 0, keeps the room, forgets bad */
void buf_release(struct buf *b); /* frees; leaves BUF_EMPTY */

#endif
