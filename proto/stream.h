/* stream.h - the hash chain of a stream, its signed heads, and segments.
 *
 * c(0) = H(network, name); c(n) = H(c(n-1), n, leaf(n)). The originator signs (stream, n, c(n)) at the end of each
 * commit and at least every LIMIT_HEAD_SPACING entries. A segment carries consecutive entries, the leaves of those up
 * to the next signed head, and that head, so that each entry is verified, stored and acknowledged singly. */
#ifndef PROTO_STREAM_H
#define PROTO_STREAM_H

#include "proto/buf.h"
#include "proto/crypt.h"
#include "proto/entry.h"
#include "proto/id.h"

/* The hash of a stream's name in a network: start of its chain and associated data of its envelopes. */
struct hash stream_hash(const struct hash *network, const struct stream_name *name);
struct hash chain_next(const struct hash *chain, uint64_t number, const struct hash *leaf);

struct head {
	uint64_t number;
	struct hash chain;
	struct signature signature;
};
/* signature over "estafette head 1" | stream hash | u64 number | chain */
void head_sign(const struct crypt_suite *suite, const struct sign_secret *key, const struct hash *stream, struct head *h);
bool head_verify(const struct crypt_suite *suite, const struct sign_public *key, const struct hash *stream, const struct head *h);

/* ---- segments ----------------------------------------------------------------------------------------- */

/* Writer: begin, add entries while segment_room says so, then tail leaves, then the head. */
struct segment_writer { struct buf *out; size_t at_count, start; uint16_t entries; };
void segment_begin(struct segment_writer *w, struct buf *out, const struct stream_name *name, uint64_t first);
void segment_add(struct segment_writer *w, const struct entry *e);
size_t segment_entry_bytes(const struct entry *e); /* what segment_add would add */
size_t segment_bytes(const struct segment_writer *w); /* so far */
/* tail: leaves of the entries after the last added one up to head->number (none when that is the last). */
void segment_end(struct segment_writer *w, const struct hash *tail, uint16_t n, const struct head *head);

/* Reader: decodes the frame of the segment; entries are read one by one. All views borrowed from the input. */
struct segment {
	struct stream_name name;
	uint64_t first;
	uint16_t entries;
	uint16_t tail;
	struct head head;        /* head.chain is NOT transmitted: it is computed, then the signature checked */
	struct view entry_bytes; /* encoded entries */
	struct view tail_bytes;  /* tail * HASH_BYTES */
};
/* Walks all entries: headers are decoded and must fit the name, so that segment_next of what it took does not fail.
 * ERR_FORMAT, ERR_TRUNCATED, ERR_VERSION, ERR_TOO_LARGE, ERR_RANGE (first or entries 0, or head.number is not
 * first + entries + tail - 1). */
MUST_USE enum err segment_decode(struct view v, struct segment *out);
/* Takes the next entry off *rest (begin with s->entry_bytes) and fills its hashes. ERR_*. */
MUST_USE enum err segment_next(struct view *rest, struct entry *out);
/* From the chain before `first`: computes the chain over all entries and the tail and verifies the head.
 * after[i] (room for s->entries) gets the chain after entry i, entries[i] (may be NULL) the entry, so that nothing is
 * hashed twice. ERR_AUTH. */
MUST_USE enum err segment_verify(const struct crypt_suite *suite, const struct sign_public *key, const struct hash *stream,
                                 const struct hash *chain_before, struct segment *s, struct hash *after, struct entry *entries);

/* ---- floors ------------------------------------------------------------------------------------------- */

/* Below its oldest entry a stream has a floor, signed by who retired what was there. */
struct floor { uint64_t number; struct hash chain; uint16_t site; struct signature signature; };
#define FLOOR_BYTES (8 + 32 + 2 + 64)
void floor_sign(const struct crypt_suite *suite, const struct sign_secret *key, const struct hash *stream, struct floor *f);
bool floor_verify(const struct crypt_suite *suite, const struct sign_public *key, const struct hash *stream, const struct floor *f);
void floor_encode(const struct floor *f, uint8_t out[FLOOR_BYTES]);
MUST_USE enum err floor_decode(struct view v, struct floor *out);

#endif
