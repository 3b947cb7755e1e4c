/* crypt.h - the only user of libsodium (crypt.c, crypt_suite.c, crypt_keys.c and minisign.c). Written like its
 * specification; see proto/README.md, "Cryptography".
 *
 * Keys are typed, so that a sealing key cannot be passed for an identity key. Whoever holds a secret wipes it
 * with crypt_wipe at its `out:`. Nothing here asks the system for randomness except crypt_system_seed. */
#ifndef PROTO_CRYPT_H
#define PROTO_CRYPT_H

#include "proto/err.h"
#include "proto/id.h"
#include "proto/view.h"

/* ---- randomness: a generator that is passed in, like time ------------------------------------------- */

/* ChaCha20 with fast key erasure: the first 32 bytes of each block of output replace the key.
 * One per core, seeded from the system at each start; the simulator seeds it from the drill. */
struct rng { uint8_t key[32]; uint8_t pool[512]; size_t left; };
void rng_seed(struct rng *r, const uint8_t seed[32]);
void rng_bytes(struct rng *r, void *out, size_t n);
uint64_t rng_u64(struct rng *r);
/* From the system; aborts the process when the system cannot. Never called by proto, storage or core. */
void crypt_system_seed(uint8_t seed[32]);
/* Once at program start, before anything else here. ERR_INTERNAL when libsodium cannot start. */
MUST_USE enum err crypt_start(void);
void crypt_wipe(void *p, size_t n);

/* ---- hashes ------------------------------------------------------------------------------------------ */

/* BLAKE2b-256 with a domain, so that no hash can be taken for one of another kind (the domain is the
 * 16-byte personalisation, the text padded with zeros). hash2 and hash4 hash the bytes one after the other, without lengths:
 * at most one of them may vary in length in a domain. */
enum hash_domain { HASH_STREAM, HASH_LINK, HASH_LEAF, HASH_HEADER, HASH_ENVELOPE, HASH_BODY, HASH_CHUNK, HASH_PAGE,
                   HASH_MANIFEST, HASH_STATE, HASH_FRONTIERS, HASH_RECORD, HASH_KEY_ID, HASH_SHARE, HASH_IDEMPOTENCY,
                   HASH_NETWORK, HASH_BACKUP, HASH_BUNDLE, HASH_DOMAINS };
struct hash crypt_hash(enum hash_domain d, struct view a);
struct hash crypt_hash2(enum hash_domain d, struct view a, struct view b);
struct hash crypt_hash4(enum hash_domain d, struct view a, struct view b, struct view c, struct view e);

/* A check against damage, not against people: SipHash-2-4 with 128 bits of `row` under a key that is the SipHash of `key`
 * (under a key of zeros). A third of the cost of a hash. */
#define CHECK_BYTES 16
void crypt_check(struct view key, struct view row, uint8_t out[CHECK_BYTES]);

/* The same hash over bytes that come in pieces. hasher_end frees it; NULL is never dereferenced. */
struct hasher;
struct hasher *hasher_new(enum hash_domain d); /* NULL: out of memory */
void hasher_add(struct hasher *h, struct view v);
struct hash hasher_end(struct hasher *h);
void hasher_free(struct hasher *h);

/* ---- symmetric sealing: XChaCha20-Poly1305 that commits to its key ------------------------------------ */

#define SYM_KEY_BYTES 32
#define SYM_NONCE_BYTES 24
#define SYM_COMMIT_BYTES 32
#define SYM_TAG_BYTES 16
#define SYM_OVERHEAD_BYTES (SYM_NONCE_BYTES + SYM_COMMIT_BYTES + SYM_TAG_BYTES)
struct sym_key { uint8_t b[SYM_KEY_BYTES]; };

/* out (plain.len + SYM_OVERHEAD_BYTES) = nonce | commitment | ciphertext | tag.
 * Encryption key and commitment key are derived from key and nonce; the commitment is a keyed hash of
 * nonce, tag and the hash of the associated data, checked before anything is decrypted. nonce: fresh random
 * bytes, or for chunks the counter of seal.h under a key used for one body only. out may not overlap plain. */
void sym_seal(const struct sym_key *key, const uint8_t nonce[SYM_NONCE_BYTES], struct view associated,
              struct view plain, uint8_t *out);
/* out holds sealed.len - SYM_OVERHEAD_BYTES. ERR_TRUNCATED, ERR_AUTH (then out
 * is untouched or zeroed, never plaintext). */
MUST_USE enum err sym_open(const struct sym_key *key, struct view associated, struct view sealed, uint8_t *out);

/* ---- public keys -------------------------------------------------------------------------------------- */

#define SIGNATURE_BYTES 64
#define BOX_OVERHEAD_BYTES 48
struct sign_public { uint8_t b[32]; };  /* Ed25519: a site's identity, the authority */
struct sign_secret { uint8_t b[64]; };
struct seal_public { uint8_t b[32]; };  /* X25519: a site's sealing key */
struct seal_secret { uint8_t b[32]; };
struct link_public { char z85[41]; };   /* CurveZMQ, as ZeroMQ's text */
struct link_secret { char z85[41]; };
struct signature { uint8_t b[SIGNATURE_BYTES]; };

/* The four slow operations as functions that are handed in: the daemon passes crypt_suite_real; the simulator
 * may pass keyed hashes (crypt_suite_fast: NOT secure, anybody can forge) while every Nth seed runs the real one. */
struct crypt_suite {
	const char *name;
	void (*sign)(const struct sign_secret *key, struct view message, struct signature *out);
	bool (*verify)(const struct sign_public *key, struct view message, const struct signature *sig);
	/* out: plain.len + BOX_OVERHEAD_BYTES. seed: 32 fresh random bytes (the ephemeral key). */
	void (*box_seal)(const struct seal_public *to, const uint8_t seed[32], struct view plain, uint8_t *out);
	/* ERR_TRUNCATED, ERR_AUTH. out: sealed.len - BOX_OVERHEAD_BYTES. */
	enum err (*box_open)(const struct seal_public *pub, const struct seal_secret *sec, struct view sealed, uint8_t *out);
};
extern const struct crypt_suite crypt_suite_real;
extern const struct crypt_suite crypt_suite_fast;

/* Key pairs from a 32-byte seed (taken from crypt_system_seed by whoever makes keys). */
void sign_keypair(const uint8_t seed[32], struct sign_public *pub, struct sign_secret *sec);
void seal_keypair(const uint8_t seed[32], struct seal_public *pub, struct seal_secret *sec);
void link_keypair(const uint8_t seed[32], struct link_public *pub, struct link_secret *sec);
/* The public half that belongs to a secret one, to check a key file. */
void sign_public_of(const struct sign_secret *sec, struct sign_public *pub);
void seal_public_of(const struct seal_secret *sec, struct seal_public *pub);
MUST_USE enum err link_public_of(const struct link_secret *sec, struct link_public *pub); /* ERR_FORMAT */

/* Base64 with padding, one line. out: as long as base64 needs, with NUL (44 characters for 32 bytes). */
void base64_format(const uint8_t *bytes, size_t n, char *out, size_t out_size);
/* ERR_FORMAT unless it is exactly n bytes. */
MUST_USE enum err base64_parse(struct view text, uint8_t *out, size_t n);

/* minisign "ED" signatures: Ed25519 over the BLAKE2b-512 of the file, with a trusted comment.
 * Format: https://jedisct1.github.io/minisign/ ; the real tool verifies what we make and the reverse (tests). */
#define MINISIGN_KEY_ID_BYTES 8
struct minisign_public { uint8_t key_id[MINISIGN_KEY_ID_BYTES]; struct sign_public key; };
struct minisign_secret { uint8_t key_id[MINISIGN_KEY_ID_BYTES]; struct sign_secret key; };
/* Makes the text of a .minisig file for the file's content. ERR_TOO_LARGE when out is too small (600
 * bytes do for a comment of 300), ERR_FORMAT when the comment has control characters other than tabs. */
MUST_USE enum err minisign_sign(const struct minisign_secret *sec, struct view file, const char *trusted_comment,
                                char *out, size_t out_size);
/* comment (size comment_size, may be NULL) gets the trusted comment. ERR_FORMAT, ERR_KEY (another key id), ERR_AUTH. */
MUST_USE enum err minisign_verify(const struct minisign_public *pub, struct view file, struct view minisig,
                                  char *comment, size_t comment_size);
/* The .pub file (two lines) and our secret key's text (minisign's own unencrypted format, "Ed" with kdf 0,0). Lines may
 * end in CR LF. 400 bytes hold either. */
void minisign_public_format(const struct minisign_public *pub, char *out, size_t out_size);
MUST_USE enum err minisign_public_parse(struct view text, struct minisign_public *out);
void minisign_secret_format(const struct minisign_secret *sec, char *out, size_t out_size);
/* ERR_FORMAT (also when its halves do not fit), ERR_UNSUPPORTED when it is protected by a password. */
MUST_USE enum err minisign_secret_parse(struct view text, struct minisign_secret *out);

#endif
