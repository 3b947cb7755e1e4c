/* vector.h - frontiers (how far a holder has a stream durably) and the signed list of them, the vector. */
#ifndef PROTO_VECTOR_H
#define PROTO_VECTOR_H

#include "proto/buf.h"
#include "proto/crypt.h"
#include "proto/id.h"
#include "proto/limits.h"

struct frontier {
	struct stream_name stream;
	uint64_t number;          /* 0: holds nothing */
	struct hash chain;        /* the chain hash there; it counts only where it is that of our own chain */
	uint16_t not_whole;       /* entries at or below number that are not whole */
	uint64_t missing[LIMIT_NOT_WHOLE]; /* their numbers, rising */
};
/* Appends: 22 name, u64 number, 32 chain, u8 not_whole, u64 each. */
void frontier_add(struct buf *out, const struct frontier *f);
MUST_USE enum err frontier_next(struct view *rest, struct frontier *out);
/* Exactly n frontiers and nothing behind them; whole: none names entries that are missing. ERR_FORMAT and those of frontier_next. */
MUST_USE enum err frontiers_check(struct view rest, uint32_t n, bool whole);

/* A vector: u8 version 1, u16 holder, 16 incarnation, u64 version, u16 peers, peers' site numbers, u16 orders,
 * (u16 site, 32 head of its order chain), u32 frontiers, frontiers, 64 signature over "estafette vector 1" | network | all before. */
struct vector {
	uint16_t holder;
	struct incarnation incarnation;
	uint64_t version;          /* rises with each vector of this incarnation; the newest counts */
	uint16_t peers;            /* sites that the holder reaches */
	struct view peer_bytes;
	uint16_t orders;
	struct view order_bytes;
	uint32_t frontiers;
	struct view frontier_bytes;
};
MUST_USE enum err vector_make(const struct crypt_suite *suite, const struct sign_secret *key, const struct hash *network,
                              const struct vector *v, struct buf *out);
/* Whose vector it says it is, so that the key can be found: nothing is checked yet. ERR_TRUNCATED, ERR_VERSION, ERR_FORMAT. */
MUST_USE enum err vector_holder(struct view in, uint16_t *holder);
/* ERR_AUTH and the decoder's errors; views borrowed from in. */
MUST_USE enum err vector_open(const struct crypt_suite *suite, const struct sign_public *key, const struct hash *network,
                              struct view in, struct vector *out);

#endif
