/* Key pairs and the texts of keys: base64 and ZeroMQ's Z85. */
#include "proto/crypt.h"

#include <assert.h>
#include <sodium.h>

void sign_keypair(const uint8_t seed[32], struct sign_public *pub, struct sign_secret *sec)
{
	crypto_sign_seed_keypair(pub->b, sec->b, seed);
}

void seal_keypair(const uint8_t seed[32], struct seal_public *pub, struct seal_secret *sec)
{
	crypto_box_seed_keypair(pub->b, sec->b, seed);
}

/* From the seed, not from the 32 bytes behind it: those are what the holder of a copied key file could have altered. */
void sign_public_of(const struct sign_secret *sec, struct sign_public *pub)
{
	uint8_t seed[crypto_sign_SEEDBYTES];
	struct sign_secret again;

	crypto_sign_ed25519_sk_to_seed(seed, sec->b);
	crypto_sign_seed_keypair(pub->b, again.b, seed);
	crypt_wipe(seed, sizeof seed);
	crypt_wipe(&again, sizeof again);
}

void seal_public_of(const struct seal_secret *sec, struct seal_public *pub)
{
	crypto_scalarmult_base(pub->b, sec->b);
}

/* ---- Z85 (ZeroMQ RFC 32): four bytes, big-endian, are five digits of base 85 ------------------------------ */

static const char z85_digits[86] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

static void z85_format(const uint8_t bytes[32], char out[41])
{
	for (int i = 0; i < 8; i++) {
		const uint8_t *p = bytes + 4 * i;
		uint32_t x = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

		for (int k = 4; k >= 0; k--, x /= 85)
			out[5 * i + k] = z85_digits[x % 85];
	}
	out[40] = 0;
}

static enum err z85_parse(const char text[41], uint8_t out[32])
{
	if (strnlen(text, 41) != 40)
		return ERR_FORMAT;
	for (int i = 0; i < 8; i++) {
		uint64_t x = 0;

		for (int k = 0; k < 5; k++) {
			const char *p = strchr(z85_digits, text[5 * i + k]);

			if (!p)
				return ERR_FORMAT;
			x = x * 85 + (uint64_t)(p - z85_digits);
		}
		if (x > UINT32_MAX)
			return ERR_FORMAT;
		for (int k = 0; k < 4; k++)
			out[4 * i + k] = (uint8_t)(x >> (24 - 8 * k));
	}
	return ERR_OK;
}

void link_keypair(const uint8_t seed[32], struct link_public *pub, struct link_secret *sec)
{
	uint8_t p[crypto_box_PUBLICKEYBYTES], s[crypto_box_SECRETKEYBYTES];

	crypto_box_seed_keypair(p, s, seed);
	z85_format(p, pub->z85);
	z85_format(s, sec->z85);
	crypt_wipe(s, sizeof s);
}

enum err link_public_of(const struct link_secret *sec, struct link_public *pub)
{
	uint8_t p[crypto_box_PUBLICKEYBYTES], s[crypto_box_SECRETKEYBYTES];
	enum err e = z85_parse(sec->z85, s);

	if (!e) {
		crypto_scalarmult_base(p, s);
		z85_format(p, pub->z85);
	}
	crypt_wipe(s, sizeof s);
	return e;
}

/* ---- base64 ------------------------------------------------------------------------------------------------ */

void base64_format(const uint8_t *bytes, size_t n, char *out, size_t out_size)
{
	assert(out_size >= sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL));
	sodium_bin2base64(out, out_size, bytes, n, sodium_base64_VARIANT_ORIGINAL);
}

enum err base64_parse(struct view text, uint8_t *out, size_t n)
{
	const char *p = (const char *)text.ptr, *end;
	size_t got;

	if (text.len != sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL) - 1)
		return ERR_FORMAT;
	if (text.len == 0)
		return ERR_OK;
	if (sodium_base642bin(out, n, p, text.len, NULL, &got, &end, sodium_base64_VARIANT_ORIGINAL) != 0)
		return ERR_FORMAT;
	return got == n && end == p + text.len ? ERR_OK : ERR_FORMAT;
}
