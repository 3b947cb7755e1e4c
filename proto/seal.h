/* seal.h - bodies, envelopes and grants: who can read what.
 *
 * Body: compress -> pad to a bucket -> seal under a fresh content key, header as associated data. Over one chunk, each
 * chunk is packed, padded and sealed alone, nonce = counter and last mark, and a manifest lists the sealed chunks' hashes.
 * Envelope: sealed under the stream epoch key, associated data = header and stream hash.
 * Grant: seals one stream epoch key for several sites (one box each). */
#ifndef PROTO_SEAL_H
#define PROTO_SEAL_H

#include "proto/buf.h"
#include "proto/crypt.h"
#include "proto/entry.h"
#include "proto/pack.h"

/* Size buckets: four steps an octave from 64 bytes: 64, 80, 96, 112, 128, 160, ... Code 0 is "no body". Padding ends at
 * what a sealed chunk may hold (LIMIT_SEALED_CHUNK_BYTES), also where its bucket is larger. */
uint8_t bucket_of(uint64_t bytes);      /* the smallest bucket that holds bytes; 1..233 */
uint64_t bucket_bytes(uint8_t bucket);  /* 0 for 0; UINT64_MAX from 233 on */

/* Seals a body of one chunk (plain.len <= LIMIT_CHUNK_BYTES) and appends it to out.
 * pack_body first makes the padded plaintext, so that the header can name its bucket before it is sealed. */
MUST_USE enum err body_pack(struct packer *p, struct view plain, struct buf *padded, uint8_t *bucket);
MUST_USE enum err body_seal(const struct sym_key *content, const uint8_t nonce[SYM_NONCE_BYTES], struct view header,
                            struct view padded, struct buf *out);
/* Opens and unpacks; appends the plain body to out. ERR_AUTH, ERR_FORMAT, ERR_TOO_LARGE. */
MUST_USE enum err body_open(struct packer *p, const struct sym_key *content, struct view header, struct view sealed, struct buf *out);

/* Chunk number index (from 0) of a body of several; ERR_RANGE unless plain.len == LIMIT_CHUNK_BYTES or last. Associated data is
 * empty: the content key is used for this body alone, and envelope and manifest bind it to the header. */
MUST_USE enum err chunk_seal(struct packer *p, const struct sym_key *content, uint32_t index, bool last, struct view plain, struct buf *out);
MUST_USE enum err chunk_open(struct packer *p, const struct sym_key *content, uint32_t index, bool last, struct view sealed, struct buf *out);

/* Hash of the sealed bytes of a body of one chunk (HASH_BODY), of one sealed chunk (HASH_CHUNK over u32 index and bytes). */
struct hash body_hash(struct view sealed);
struct hash chunk_hash(uint32_t index, struct view sealed);

/* Manifest of a body of several chunks: u8 version 1, u64 sealed length, u32 chunks, then per page of
 * LIMIT_LEAVES_PER_PAGE chunk hashes the HASH_PAGE of (u32 page number, hashes). Its HASH_MANIFEST is the body's hash. */
struct manifest {
	uint64_t sealed_len;
	uint32_t chunks;
	uint32_t pages;
	struct hash page[LIMIT_MANIFEST_PAGES];
};
#define MANIFEST_MAX_BYTES (13 + LIMIT_MANIFEST_PAGES * HASH_BYTES)
size_t manifest_encode(const struct manifest *m, uint8_t out[MANIFEST_MAX_BYTES]);
MUST_USE enum err manifest_decode(struct view v, struct manifest *out);
struct hash manifest_hash(const struct manifest *m);
struct hash page_hash(uint32_t page, struct view leaves);

/* Envelope: appends the sealed form to out (check buf_ok). header is HEADER_BYTES long. */
void envelope_seal(const struct sym_key *epoch, const uint8_t nonce[SYM_NONCE_BYTES], struct view header,
                   const struct hash *stream, struct view plain, struct buf *out);
/* out holds sealed.len - SYM_OVERHEAD_BYTES; *plain points into it. ERR_AUTH, ERR_TRUNCATED. */
MUST_USE enum err envelope_open(const struct sym_key *epoch, struct view header, const struct hash *stream,
                                struct view sealed, uint8_t *out, struct view *plain);

/* Grant: u8 version 1, 32 stream hash, u16 boxes, then per box: u16 site, 8 id of its sealing key, box of
 * (epoch key, stream hash). It is the body of an entry of kind GRANT (not sealed again). */
struct seal_key_id { uint8_t b[8]; };
struct seal_key_id seal_key_id_of(const struct seal_public *pub);
struct grant_to { uint16_t site; struct seal_public key; };
#define GRANT_BOX_BYTES (2 + 8 + SYM_KEY_BYTES + HASH_BYTES + BOX_OVERHEAD_BYTES)
#define GRANT_BYTES_FOR_ONE (1 + HASH_BYTES + 2 + GRANT_BOX_BYTES)
MUST_USE enum err grant_make(const struct crypt_suite *suite, struct rng *rng, const struct hash *stream, const struct sym_key *epoch,
                             const struct grant_to *to, size_t n, struct buf *out);
/* Opens the box for site with whichever of the keys fits. ERR_KEY when none is for us, ERR_AUTH, ERR_FORMAT,
 * ERR_CONFLICT when the grant is for another stream. */
struct seal_pair { struct seal_public pub; struct seal_secret sec; };
MUST_USE enum err grant_open(const struct crypt_suite *suite, struct view grant, uint16_t site, const struct seal_pair *keys, size_t n,
                             const struct hash *stream, struct sym_key *epoch);

#endif
