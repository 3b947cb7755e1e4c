/* bundle.h - what a courier carries on a stick: frames that no link took, as one signed file.
 *
 * A bundle names its network and who packed it for whom, then holds frames as they go over a link (frame.h), in this order:
 * state, vectors, segments, parts of large bodies. Entries are sealed for their addressees and signed by their originators, state
 * and vectors by who made them; the bundle adds a chain of hashes over all of it, signed by the packing site, so that what is
 * torn or altered is noticed before anything of it is applied.
 *
 * Written piece by piece, and read so: the whole of it is never in memory. A reader goes over the file twice: the first time
 * nothing is done but checked (bundle_next up to the end, bundle_verify), the second time the pieces are applied, and each group of
 * them only when the chain behind it is what it was the first time. Bytes: README.md, "Bundles". */
#ifndef PROTO_BUNDLE_H
#define PROTO_BUNDLE_H

#include "proto/buf.h"
#include "proto/crypt.h"
#include "proto/frame.h"

#define BUNDLE_VERSION 1

enum bundle_kind { BUNDLE_HEAD = 1, BUNDLE_FRAME = 2, BUNDLE_END = 3 };

struct bundle_head {
	struct hash network;
	uint16_t site;                  /* that packed it */
	struct incarnation incarnation; /* its run then */
	struct wall made;
	uint32_t roster;                /* serial of the roster in force there */
	uint8_t precedence;             /* that and above are in it */
	bool all;                       /* for everybody, transit copies too: then no site is listed */
	uint16_t n_sites;
	struct view sites;              /* u16 each, rising: bundle_site */
};
uint16_t bundle_site(const struct bundle_head *h, size_t i);

struct bundle_end {
	uint64_t pieces;                /* before it, the head included */
	struct hash chain;              /* over them */
	struct signature signature;     /* of the packing site's identity */
};
#define BUNDLE_PIECE_HEAD_BYTES 5  /* kind, length */
#define BUNDLE_START_BYTES 18      /* magic, version */
#define BUNDLE_END_BYTES (BUNDLE_PIECE_HEAD_BYTES + 8 + HASH_BYTES + SIGNATURE_BYTES)
/* The longest piece with its kind and length: what a reader has to have at hand. */
#define BUNDLE_PIECE_MAX_BYTES (BUNDLE_PIECE_HEAD_BYTES + LIMIT_FRAME_BYTES)

/* The chain over what was written or read so far. Plain data: a copy of it is where one can go back to. */
struct bundle_chain { struct hash hash; uint64_t pieces; };

/* ---- writing: head, frames in their order, end. Each appends its bytes to out ---------------------------------- */

void bundle_write_head(struct bundle_chain *c, struct buf *out, const struct bundle_head *h);
/* frame: whole, version and type included. */
void bundle_write_frame(struct bundle_chain *c, struct buf *out, struct view frame);
void bundle_write_end(struct bundle_chain *c, struct buf *out, const struct crypt_suite *suite, const struct sign_secret *key,
                      const struct hash *network);

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct bundle_reader {
	struct bundle_chain chain;
	uint64_t at;                    /* bytes read of the bundle */
	uint8_t rank;                   /* of the last frame: they never go back */
	bool begun, ended;
};
#define BUNDLE_READER_NEW ((struct bundle_reader){0})
struct bundle_piece {
	enum bundle_kind kind;
	struct view bytes;              /* after kind and length; borrowed from what was given */
	union {
		struct bundle_head head;
		struct frame frame;
		struct bundle_end end;
	} u;
};
/* The next piece of what is at hand, which begins where the last one ended; *used bytes are done with. Shape, order and chain are
 * checked. ERR_TRUNCATED: more bytes are needed (at the end of the file: it is torn); nothing was used. ERR_FORMAT (no bundle,
 * malformed, out of order, bytes behind the end), ERR_VERSION (of a newer version), ERR_AUTH (the chain is not what the end says),
 * ERR_TOO_LARGE. */
MUST_USE enum err bundle_next(struct bundle_reader *r, struct view at_hand, struct bundle_piece *out, size_t *used);
/* Head and end as they stand in a bundle, apart from it (BUNDLE_HEAD, BUNDLE_END: the bytes of their pieces). ERR_FORMAT, ERR_TRUNCATED,
 * ERR_TOO_LARGE, ERR_RANGE. */
MUST_USE enum err bundle_head_decode(struct view v, struct bundle_head *out);
MUST_USE enum err bundle_end_decode(struct view v, struct bundle_end *out);
/* Did the owner of key sign that end, in that network? The chain of the end covers the head. */
bool bundle_verify(const struct crypt_suite *suite, const struct sign_public *key, const struct hash *network, const struct bundle_end *end);

#endif
