/* Randomness, hashes and symmetric sealing. The bytes are in proto/README.md, "Cryptography". */
#include "proto/crypt.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

enum err crypt_start(void)
{
	return sodium_init() < 0 ? ERR_INTERNAL : ERR_OK;
}

void crypt_wipe(void *p, size_t n)
{
	sodium_memzero(p, n);
}

void crypt_system_seed(uint8_t seed[32])
{
	randombytes_buf(seed, 32);
}

/* ---- randomness --------------------------------------------------------------------------------------- */

static_assert(crypto_stream_chacha20_ietf_KEYBYTES == sizeof((struct rng *)0)->key, "a generator's key is one of ChaCha20");

/* The nonce may stay zero: each key makes one block of output and is then gone. */
static void rng_refill(struct rng *r)
{
	static const uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES];

	crypto_stream_chacha20_ietf(r->pool, sizeof r->pool, nonce, r->key);
	memcpy(r->key, r->pool, sizeof r->key);
	memset(r->pool, 0, sizeof r->key);
	r->left = sizeof r->pool - sizeof r->key;
}

void rng_seed(struct rng *r, const uint8_t seed[32])
{
	memset(r, 0, sizeof *r);
	memcpy(r->key, seed, sizeof r->key);
}

void rng_bytes(struct rng *r, void *out, size_t n)
{
	uint8_t *to = out;

	while (n > 0) {
		uint8_t *from;
		size_t take;

		if (r->left == 0)
			rng_refill(r);
		take = n < r->left ? n : r->left;
		from = r->pool + sizeof r->pool - r->left;
		memcpy(to, from, take);
		memset(from, 0, take); /* what was given out cannot be read back from the generator */
		r->left -= take;
		to += take;
		n -= take;
	}
}

uint64_t rng_u64(struct rng *r)
{
	uint8_t b[8];
	uint64_t x = 0;

	rng_bytes(r, b, sizeof b);
	for (size_t i = 0; i < sizeof b; i++)
		x = x << 8 | b[i];
	return x;
}

/* ---- hashes -------------------------------------------------------------------------------------------- */

/* Each exactly one personalisation: at most 16 characters, the rest zeros. Never renamed: they are in every hash. */
static const uint8_t domains[HASH_DOMAINS][crypto_generichash_blake2b_PERSONALBYTES] = {
	[HASH_STREAM] = "estaf.stream",
	[HASH_LINK] = "estaf.link",
	[HASH_LEAF] = "estaf.leaf",
	[HASH_HEADER] = "estaf.header",
	[HASH_ENVELOPE] = "estaf.envelope",
	[HASH_BODY] = "estaf.body",
	[HASH_CHUNK] = "estaf.chunk",
	[HASH_PAGE] = "estaf.page",
	[HASH_MANIFEST] = "estaf.manifest",
	[HASH_STATE] = "estaf.state",
	[HASH_FRONTIERS] = "estaf.frontiers",
	[HASH_RECORD] = "estaf.record",
	[HASH_KEY_ID] = "estaf.keyid",
	[HASH_SHARE] = "estaf.share",
	[HASH_IDEMPOTENCY] = "estaf.idempot",
	[HASH_NETWORK] = "estaf.network",
	[HASH_BACKUP] = "estaf.backup",
	[HASH_BUNDLE] = "estaf.bundle",
};

static void blake2b_update(crypto_generichash_blake2b_state *s, struct view v)
{
	if (v.len)
		crypto_generichash_blake2b_update(s, v.ptr, v.len);
}

struct hash crypt_hash(enum hash_domain d, struct view a)
{
	struct hash h;

	assert(d < HASH_DOMAINS);
	crypto_generichash_blake2b_salt_personal(h.b, sizeof h.b, a.ptr, a.len, NULL, 0, NULL, domains[d]);
	return h;
}

struct hash crypt_hash4(enum hash_domain d, struct view a, struct view b, struct view c, struct view e)
{
	crypto_generichash_blake2b_state s;
	struct hash h;

	assert(d < HASH_DOMAINS);
	crypto_generichash_blake2b_init_salt_personal(&s, NULL, 0, sizeof h.b, NULL, domains[d]);
	blake2b_update(&s, a);
	blake2b_update(&s, b);
	blake2b_update(&s, c);
	blake2b_update(&s, e);
	crypto_generichash_blake2b_final(&s, h.b, sizeof h.b);
	return h;
}

struct hash crypt_hash2(enum hash_domain d, struct view a, struct view b)
{
	return crypt_hash4(d, a, b, view_of(NULL, 0), view_of(NULL, 0));
}

static_assert(CHECK_BYTES == crypto_shorthash_siphashx24_BYTES && CHECK_BYTES == crypto_shorthash_siphashx24_KEYBYTES, "SipHash-128 chains");

void crypt_check(struct view key, struct view row, uint8_t out[CHECK_BYTES])
{
	static const uint8_t none[CHECK_BYTES];
	uint8_t under[CHECK_BYTES];

	crypto_shorthash_siphashx24(under, key.ptr, key.len, none);
	crypto_shorthash_siphashx24(out, row.ptr, row.len, under);
}

/* libsodium wants its state at a 64-byte boundary, which malloc does not promise. */
struct hasher {
	crypto_generichash_blake2b_state state;
};

struct hasher *hasher_new(enum hash_domain d)
{
	struct hasher *h = aligned_alloc(64, (sizeof *h + 63) / 64 * 64);

	assert(d < HASH_DOMAINS);
	if (h)
		crypto_generichash_blake2b_init_salt_personal(&h->state, NULL, 0, HASH_BYTES, NULL, domains[d]);
	return h;
}

void hasher_add(struct hasher *h, struct view v)
{
	if (h)
		blake2b_update(&h->state, v);
}

struct hash hasher_end(struct hasher *h)
{
	struct hash out = {{0}};

	if (h)
		crypto_generichash_blake2b_final(&h->state, out.b, sizeof out.b);
	hasher_free(h);
	return out;
}

void hasher_free(struct hasher *h)
{
	if (h)
		sodium_memzero(h, sizeof *h);
	free(h);
}

/* ---- symmetric sealing --------------------------------------------------------------------------------- */

static_assert(SYM_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce of XChaCha20");
static_assert(SYM_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag of Poly1305");
static_assert(SYM_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key of XChaCha20");

/* Both are BLAKE2b-512(key = key, person = "estaf.sym.keys", nonce): the first half encrypts, the second commits. */
struct sym_pair {
	uint8_t encrypt[SYM_KEY_BYTES];
	uint8_t commit[SYM_KEY_BYTES];
};

static void sym_derive(const struct sym_key *key, const uint8_t nonce[SYM_NONCE_BYTES], struct sym_pair *out)
{
	static const uint8_t person[crypto_generichash_blake2b_PERSONALBYTES] = "estaf.sym.keys";

	static_assert(sizeof *out == 64, "two keys without a gap");
	crypto_generichash_blake2b_salt_personal((uint8_t *)out, sizeof *out, nonce, SYM_NONCE_BYTES, key->b, sizeof key->b, NULL, person);
}

/* Keyed with the commitment key: nonce, tag, hash of the associated data. */
static void sym_commitment(const struct sym_pair *keys, const uint8_t *nonce, const uint8_t *tag, struct view associated,
                           uint8_t out[SYM_COMMIT_BYTES])
{
	static const uint8_t person_data[crypto_generichash_blake2b_PERSONALBYTES] = "estaf.sym.data";
	static const uint8_t person[crypto_generichash_blake2b_PERSONALBYTES] = "estaf.sym.commit";
	uint8_t m[SYM_NONCE_BYTES + SYM_TAG_BYTES + HASH_BYTES];

	memcpy(m, nonce, SYM_NONCE_BYTES);
	memcpy(m + SYM_NONCE_BYTES, tag, SYM_TAG_BYTES);
	crypto_generichash_blake2b_salt_personal(m + SYM_NONCE_BYTES + SYM_TAG_BYTES, HASH_BYTES, associated.ptr, associated.len,
	                                         NULL, 0, NULL, person_data);
	crypto_generichash_blake2b_salt_personal(out, SYM_COMMIT_BYTES, m, sizeof m, keys->commit, sizeof keys->commit, NULL, person);
}

void sym_seal(const struct sym_key *key, const uint8_t nonce[SYM_NONCE_BYTES], struct view associated, struct view plain,
              uint8_t *out)
{
	uint8_t *cipher = out + SYM_NONCE_BYTES + SYM_COMMIT_BYTES, *tag = cipher + plain.len;
	struct sym_pair keys;

	sym_derive(key, nonce, &keys);
	memcpy(out, nonce, SYM_NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt_detached(cipher, tag, NULL, plain.ptr, plain.len, associated.ptr, associated.len,
	                                                    NULL, nonce, keys.encrypt);
	sym_commitment(&keys, nonce, tag, associated, out + SYM_NONCE_BYTES);
	crypt_wipe(&keys, sizeof keys);
}

enum err sym_open(const struct sym_key *key, struct view associated, struct view sealed, uint8_t *out)
{
	const uint8_t *nonce, *cipher, *tag;
	uint8_t commitment[SYM_COMMIT_BYTES];
	struct sym_pair keys;
	enum err e = ERR_OK;
	size_t n;

	if (sealed.len < SYM_OVERHEAD_BYTES)
		return ERR_TRUNCATED;
	n = sealed.len - SYM_OVERHEAD_BYTES;
	nonce = sealed.ptr;
	cipher = nonce + SYM_NONCE_BYTES + SYM_COMMIT_BYTES;
	tag = cipher + n;
	sym_derive(key, nonce, &keys);
	sym_commitment(&keys, nonce, tag, associated, commitment);
	if (sodium_memcmp(commitment, nonce + SYM_NONCE_BYTES, sizeof commitment) != 0 ||
	    crypto_aead_xchacha20poly1305_ietf_decrypt_detached(out, NULL, cipher, n, tag, associated.ptr, associated.len, nonce,
	                                                        keys.encrypt) != 0)
		e = ERR_AUTH;
	crypt_wipe(&keys, sizeof keys);
	return e;
}
