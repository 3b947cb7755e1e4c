/* The slow operations on public keys, real and pretended. */
#include "proto/crypt.h"

#include <assert.h>
#include <sodium.h>

static_assert(BOX_OVERHEAD_BYTES == crypto_box_SEALBYTES, "ephemeral key and tag");
static_assert(SIGNATURE_BYTES == crypto_sign_BYTES, "signature of Ed25519");

/* ---- real: Ed25519, and the sealed boxes of libsodium with a given ephemeral key ------------------------- */

static void real_sign(const struct sign_secret *key, struct view message, struct signature *out)
{
	crypto_sign_detached(out->b, NULL, message.ptr, message.len, key->b);
}

static bool real_verify(const struct sign_public *key, struct view message, const struct signature *sig)
{
	return crypto_sign_verify_detached(sig->b, message.ptr, message.len, key->b) == 0;
}

/* BLAKE2b-192 of both public keys, as crypto_box_seal has it. */
static void box_nonce(const uint8_t ephemeral[32], const struct seal_public *to, uint8_t out[crypto_box_NONCEBYTES])
{
	uint8_t both[64];

	memcpy(both, ephemeral, 32);
	memcpy(both + 32, to->b, 32);
	crypto_generichash(out, crypto_box_NONCEBYTES, both, sizeof both, NULL, 0);
}

/* A public key that is no usable point gives a box of zeros, which nobody can open, rather than one that anybody can. */
static void real_box_seal(const struct seal_public *to, const uint8_t seed[32], struct view plain, uint8_t *out)
{
	uint8_t nonce[crypto_box_NONCEBYTES], secret[crypto_box_SECRETKEYBYTES];

	crypto_box_seed_keypair(out, secret, seed);
	box_nonce(out, to, nonce);
	if (crypto_box_easy(out + crypto_box_PUBLICKEYBYTES, plain.ptr, plain.len, nonce, to->b, secret) != 0)
		memset(out, 0, plain.len + BOX_OVERHEAD_BYTES);
	crypt_wipe(secret, sizeof secret);
}

static enum err real_box_open(const struct seal_public *pub, const struct seal_secret *sec, struct view sealed, uint8_t *out)
{
	if (sealed.len < BOX_OVERHEAD_BYTES)
		return ERR_TRUNCATED;
	return crypto_box_seal_open(out, sealed.ptr, sealed.len, pub->b, sec->b) == 0 ? ERR_OK : ERR_AUTH;
}

const struct crypt_suite crypt_suite_real = {"real", real_sign, real_verify, real_box_seal, real_box_open};

/* ---- fast: for the simulator only. Everything is keyed with PUBLIC values: anybody can forge and open ----- */

static void fast_digest(const uint8_t key[32], const char *person, struct view message, uint8_t *out, size_t n)
{
	uint8_t domain[crypto_generichash_blake2b_PERSONALBYTES] = {0};

	memcpy(domain, person, strlen(person));
	crypto_generichash_blake2b_salt_personal(out, n, message.ptr, message.len, key, 32, NULL, domain);
}

/* The second half of an Ed25519 secret key is the public key. */
static void fast_sign(const struct sign_secret *key, struct view message, struct signature *out)
{
	fast_digest(key->b + 32, "estaf.fast.sign", message, out->b, sizeof out->b);
}

static bool fast_verify(const struct sign_public *key, struct view message, const struct signature *sig)
{
	struct signature want;

	fast_digest(key->b, "estaf.fast.sign", message, want.b, sizeof want.b);
	return memcmp(want.b, sig->b, sizeof want.b) == 0;
}

/* Same shape and length as a real box: 32 bytes that vary, 16 of tag, ciphertext. The key is made of the first and of the
 * addressee's public key. */
static void fast_box_seal(const struct seal_public *to, const uint8_t seed[32], struct view plain, uint8_t *out)
{
	static const uint8_t nonce[crypto_secretbox_NONCEBYTES];
	uint8_t key[crypto_secretbox_KEYBYTES];

	fast_digest(to->b, "estaf.fast.seed", view_of(seed, 32), out, 32);
	fast_digest(to->b, "estaf.fast.box", view_of(out, 32), key, sizeof key);
	crypto_secretbox_easy(out + 32, plain.ptr, plain.len, nonce, key);
}

static enum err fast_box_open(const struct seal_public *pub, const struct seal_secret *sec, struct view sealed, uint8_t *out)
{
	static const uint8_t nonce[crypto_secretbox_NONCEBYTES];
	uint8_t key[crypto_secretbox_KEYBYTES];

	(void)sec;
	if (sealed.len < BOX_OVERHEAD_BYTES)
		return ERR_TRUNCATED;
	fast_digest(pub->b, "estaf.fast.box", view_of(sealed.ptr, 32), key, sizeof key);
	return crypto_secretbox_open_easy(out, sealed.ptr + 32, sealed.len - 32, nonce, key) == 0 ? ERR_OK : ERR_AUTH;
}

const struct crypt_suite crypt_suite_fast = {"fast", fast_sign, fast_verify, fast_box_seal, fast_box_open};
