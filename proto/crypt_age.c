/* age v1 files for one X25519 recipient, written like the specification (C2SP age.md). */
#include "proto/age.h"

#include <assert.h>
#include <sodium.h>

#define FILE_KEY_BYTES 16
#define STREAM_NONCE_BYTES 16
#define TAG_BYTES crypto_aead_chacha20poly1305_ietf_ABYTES
#define AGE_KEY_BYTES 32
#define SHARE_TEXT_BYTES 44 /* 32 bytes as base64 without padding, and a NUL */

static_assert(AGE_KEY_BYTES == crypto_aead_chacha20poly1305_ietf_KEYBYTES && AGE_KEY_BYTES == crypto_auth_hmacsha256_BYTES, "keys of 32 bytes");

/* ---- recipients: Bech32 (BIP 173) without its limit of 90 characters ------------------------------------------------------- */

static uint32_t bech32_step(uint32_t c, uint8_t v)
{
	static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
	uint32_t top = c >> 25;
	c = (c & 0x1ffffff) << 5 ^ v;
	for (int i = 0; i < 5; i++)
		c ^= top >> i & 1 ? generator[i] : 0;
	return c;
}

#define HRP "age"
#define DATA_WORDS 52 /* 256 bits in words of 5 */
#define CHECK_WORDS 6

enum err age_recipient_parse(const char *text, struct age_recipient *out)
{
	static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
	uint32_t check = 1, bits = 0, n_bits = 0;
	size_t at = 0;
	if (strlen(text) != strlen(HRP) + 1 + DATA_WORDS + CHECK_WORDS || memcmp(text, HRP "1", strlen(HRP) + 1) != 0)
		return ERR_FORMAT;
	for (size_t i = 0; i < strlen(HRP); i++)
		check = bech32_step(check, (uint8_t)HRP[i] >> 5);
	check = bech32_step(check, 0);
	for (size_t i = 0; i < strlen(HRP); i++)
		check = bech32_step(check, HRP[i] & 31);
	for (size_t i = 0; i < DATA_WORDS + CHECK_WORDS; i++) {
		const char *found = memchr(alphabet, text[strlen(HRP) + 1 + i], sizeof alphabet - 1);
		if (!found)
			return ERR_FORMAT;
		uint8_t word = (uint8_t)(found - alphabet);
		check = bech32_step(check, word);
		bits = bits << 5 | word;
		n_bits += 5;
		if (i < DATA_WORDS && n_bits >= 8) {
			n_bits -= 8;
			out->key[at++] = (uint8_t)(bits >> n_bits);
		}
		if (i == DATA_WORDS - 1 && (bits & ((1u << n_bits) - 1)))
			return ERR_FORMAT; /* the bits behind the key are zeros */
	}
	return check == 1 && at == sizeof out->key ? ERR_OK : ERR_FORMAT;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------- */

static void hmac(struct view key, struct view a, struct view b, uint8_t out[AGE_KEY_BYTES])
{
	crypto_auth_hmacsha256_state s;
	crypto_auth_hmacsha256_init(&s, key.ptr, key.len);
	if (a.len)
		crypto_auth_hmacsha256_update(&s, a.ptr, a.len);
	if (b.len)
		crypto_auth_hmacsha256_update(&s, b.ptr, b.len);
	crypto_auth_hmacsha256_final(&s, out);
	sodium_memzero(&s, sizeof s);
}

/* HKDF-SHA256 (RFC 5869) with an output of one block. */
static void hkdf(struct view ikm, struct view salt, const char *info, uint8_t out[AGE_KEY_BYTES])
{
	static const uint8_t no_salt[AGE_KEY_BYTES], one = 1;
	uint8_t prk[AGE_KEY_BYTES];
	hmac(salt.len ? salt : view_of(no_salt, sizeof no_salt), ikm, view_of(NULL, 0), prk);
	hmac(view_of(prk, sizeof prk), view_str(info), view_of(&one, 1), out);
	sodium_memzero(prk, sizeof prk);
}

static void add_base64(struct buf *out, const uint8_t *b, size_t n)
{
	char text[SHARE_TEXT_BYTES];
	sodium_bin2base64(text, sizeof text, b, n, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	buf_add(out, view_str(text));
}

/* The file key wrapped for the recipient, as a stanza. */
static enum err add_stanza(const struct age_recipient *to, const uint8_t secret[32], const uint8_t file_key[FILE_KEY_BYTES], struct buf *out)
{
	static const uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
	uint8_t share[32], shared[32], salt[64], key[AGE_KEY_BYTES], wrapped[FILE_KEY_BYTES + TAG_BYTES];
	if (crypto_scalarmult_base(share, secret) != 0 || crypto_scalarmult(shared, secret, to->key) != 0)
		return ERR_KEY;
	memcpy(salt, share, 32);
	memcpy(salt + 32, to->key, 32);
	hkdf(view_of(shared, sizeof shared), view_of(salt, sizeof salt), "age-encryption.org/v1/X25519", key);
	crypto_aead_chacha20poly1305_ietf_encrypt(wrapped, NULL, file_key, FILE_KEY_BYTES, NULL, 0, NULL, nonce, key);
	buf_add(out, view_str("-> X25519 "));
	add_base64(out, share, sizeof share);
	buf_add(out, view_str("\n"));
	add_base64(out, wrapped, sizeof wrapped);
	buf_add(out, view_str("\n"));
	sodium_memzero(shared, sizeof shared);
	sodium_memzero(key, sizeof key);
	return ERR_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

enum err age_begin(struct age_writer *w, const struct age_recipient *to, const uint8_t seed[32], struct buf *out)
{
	struct { uint8_t secret[32], file_key[FILE_KEY_BYTES], nonce[STREAM_NONCE_BYTES]; } fresh;
	struct rng r;
	uint8_t key[AGE_KEY_BYTES], mac[AGE_KEY_BYTES];
	size_t start = out->len;
	*w = (struct age_writer){.pending = BUF_EMPTY};
	rng_seed(&r, seed);
	rng_bytes(&r, &fresh, sizeof fresh);
	buf_add(out, view_str("age-encryption.org/v1\n"));
	enum err e = add_stanza(to, fresh.secret, fresh.file_key, out);
	buf_add(out, view_str("---"));
	if (!e && buf_ok(out)) {
		hkdf(view_of(fresh.file_key, FILE_KEY_BYTES), view_of(NULL, 0), "header", key);
		hmac(view_of(key, sizeof key), view_of(out->ptr + start, out->len - start), view_of(NULL, 0), mac);
		buf_add(out, view_str(" "));
		add_base64(out, mac, sizeof mac);
		buf_add(out, view_str("\n"));
		buf_add(out, view_of(fresh.nonce, sizeof fresh.nonce));
		hkdf(view_of(fresh.file_key, FILE_KEY_BYTES), view_of(fresh.nonce, sizeof fresh.nonce), "payload", w->key);
	}
	crypt_wipe(&r, sizeof r);
	crypt_wipe(&fresh, sizeof fresh);
	crypt_wipe(key, sizeof key);
	return e;
}

/* STREAM: the nonce is an 11-byte big-endian counter and a last byte that is 1 for the last chunk. */
static void put_chunk(struct age_writer *w, bool last, struct buf *out)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES] = {0};
	uint8_t *to = buf_extend(out, w->pending.len + TAG_BYTES);
	for (int i = 0; i < 8; i++)
		nonce[3 + i] = (uint8_t)(w->chunk >> (56 - 8 * i));
	nonce[11] = last;
	w->chunk++;
	if (to)
		crypto_aead_chacha20poly1305_ietf_encrypt(to, NULL, w->pending.ptr, w->pending.len, NULL, 0, NULL, nonce, w->key);
	if (w->pending.ptr)
		crypt_wipe(w->pending.ptr, w->pending.len);
	buf_clear(&w->pending);
}

/* A full chunk waits until it is known whether it is the last. */
void age_add(struct age_writer *w, struct view plain, struct buf *out)
{
	while (plain.len) {
		size_t n = AGE_CHUNK_BYTES - w->pending.len;
		if (!n)
			put_chunk(w, false, out);
		n = AGE_CHUNK_BYTES - w->pending.len;
		n = plain.len < n ? plain.len : n;
		buf_add(&w->pending, view_of(plain.ptr, n));
		out->bad = out->bad || !buf_ok(&w->pending);
		if (out->bad)
			return;
		plain = view_of(plain.ptr + n, plain.len - n);
	}
}

void age_end(struct age_writer *w, struct buf *out)
{
	put_chunk(w, true, out);
	age_release(w);
}

void age_release(struct age_writer *w)
{
	if (w->pending.ptr)
		crypt_wipe(w->pending.ptr, w->pending.cap);
	buf_release(&w->pending);
	crypt_wipe(w, sizeof *w);
}
