/* minisign's texts: public keys, unencrypted secret keys, and "ED" signatures (Ed25519 over the BLAKE2b-512 of the file). */
#include "proto/crypt.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>

#include "proto/cursor.h"

#define UNTRUSTED "untrusted comment: "
#define TRUSTED "trusted comment: "
#define PUBLIC_BYTES (2 + MINISIGN_KEY_ID_BYTES + 32)
#define SIGNED_BYTES (2 + MINISIGN_KEY_ID_BYTES + SIGNATURE_BYTES)
/* two algorithms, salt, two limits of the password hash (all zero without a password), key id, key, checksum (zero too) */
#define SECRET_BYTES (6 + 32 + 16 + MINISIGN_KEY_ID_BYTES + 64 + 32)
#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)
#define COMMENT_MAX 512

/* Takes one line off *rest, without its end (LF or CRLF). */
static struct view take_line(struct view *rest)
{
	const uint8_t *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
	size_t n = end ? (size_t)(end - rest->ptr) : rest->len;
	struct view line = view_of(rest->ptr, n);

	if (rest->len)
		*rest = view_of(rest->ptr + n + (end != NULL), rest->len - n - (end != NULL));
	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* Cuts prefix off *line; false when the line does not begin with it. */
static bool cut_prefix(struct view *line, const char *prefix)
{
	size_t n = strlen(prefix);

	if (line->len < n || memcmp(line->ptr, prefix, n) != 0)
		return false;
	*line = view_of(line->ptr + n, line->len - n);
	return true;
}

/* A comment line, then a line of base64 of exactly n bytes. */
static enum err take_block(struct view *rest, uint8_t *out, size_t n)
{
	struct view comment = take_line(rest), line = take_line(rest);

	return cut_prefix(&comment, UNTRUSTED) ? base64_parse(line, out, n) : ERR_FORMAT;
}

/* minisign prints the id as a little-endian number. */
static void key_id_text(const uint8_t id[MINISIGN_KEY_ID_BYTES], char out[2 * MINISIGN_KEY_ID_BYTES + 1])
{
	for (int i = 0; i < MINISIGN_KEY_ID_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02X", id[MINISIGN_KEY_ID_BYTES - 1 - i]);
}

/* ---- signatures ------------------------------------------------------------------------------------------- */

static bool is_comment(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if ((v.ptr[i] < 0x20 && v.ptr[i] != '\t') || v.ptr[i] == 0x7f)
			return false;
	return v.len <= COMMENT_MAX;
}

static void file_signature(const struct minisign_secret *sec, struct view file, uint8_t out[SIGNATURE_BYTES])
{
	uint8_t digest[64];

	crypto_generichash(digest, sizeof digest, file.ptr, file.len, NULL, 0);
	crypto_sign_detached(out, NULL, digest, sizeof digest, sec->key.b);
}

/* The second signature covers the first and the trusted comment. */
static size_t comment_message(const uint8_t signature[SIGNATURE_BYTES], struct view comment,
                              uint8_t out[SIGNATURE_BYTES + COMMENT_MAX])
{
	memcpy(out, signature, SIGNATURE_BYTES);
	if (comment.len)
		memcpy(out + SIGNATURE_BYTES, comment.ptr, comment.len);
	return SIGNATURE_BYTES + comment.len;
}

enum err minisign_sign(const struct minisign_secret *sec, struct view file, const char *trusted_comment, char *out, size_t out_size)
{
	uint8_t block[SIGNED_BYTES] = {'E', 'D'}, message[SIGNATURE_BYTES + COMMENT_MAX], second[SIGNATURE_BYTES];
	char block64[BASE64_SIZE(SIGNED_BYTES)], second64[BASE64_SIZE(SIGNATURE_BYTES)];
	uint8_t *signature = block + 2 + MINISIGN_KEY_ID_BYTES;
	struct view comment = view_str(trusted_comment);
	int n;

	if (!is_comment(comment))
		return comment.len > COMMENT_MAX ? ERR_TOO_LARGE : ERR_FORMAT;
	memcpy(block + 2, sec->key_id, MINISIGN_KEY_ID_BYTES);
	file_signature(sec, file, signature);
	crypto_sign_detached(second, NULL, message, comment_message(signature, comment, message), sec->key.b);
	base64_format(block, sizeof block, block64, sizeof block64);
	base64_format(second, sizeof second, second64, sizeof second64);
	n = snprintf(out, out_size, UNTRUSTED "signature from an estafette secret key\n%s\n" TRUSTED "%s\n%s\n", block64,
	             trusted_comment ? trusted_comment : "", second64);
	return n < 0 || (size_t)n >= out_size ? ERR_TOO_LARGE : ERR_OK;
}

/* For showing: a tab becomes a space, what does not fit is cut. */
static void comment_copy(struct view comment, char *out, size_t size)
{
	view_to_str(comment, out, size);
	for (char *p = out; size && *p; p++)
		if (*p == '\t')
			*p = ' ';
}

enum err minisign_verify(const struct minisign_public *pub, struct view file, struct view minisig, char *comment, size_t comment_size)
{
	uint8_t block[SIGNED_BYTES], message[SIGNATURE_BYTES + COMMENT_MAX], second[SIGNATURE_BYTES], digest[64];
	const uint8_t *signature = block + 2 + MINISIGN_KEY_ID_BYTES;
	struct view rest = minisig, trusted;

	if (take_block(&rest, block, sizeof block))
		return ERR_FORMAT;
	trusted = take_line(&rest);
	if (!cut_prefix(&trusted, TRUSTED) || !is_comment(trusted) || base64_parse(take_line(&rest), second, sizeof second) || rest.len ||
	    memcmp(block, "ED", 2) != 0)
		return ERR_FORMAT;
	if (memcmp(block + 2, pub->key_id, MINISIGN_KEY_ID_BYTES) != 0)
		return ERR_KEY;
	crypto_generichash(digest, sizeof digest, file.ptr, file.len, NULL, 0);
	if (crypto_sign_verify_detached(signature, digest, sizeof digest, pub->key.b) != 0 ||
	    crypto_sign_verify_detached(second, message, comment_message(signature, trusted, message), pub->key.b) != 0)
		return ERR_AUTH;
	if (comment)
		comment_copy(trusted, comment, comment_size);
	return ERR_OK;
}

/* ---- keys -------------------------------------------------------------------------------------------------- */

void minisign_public_format(const struct minisign_public *pub, char *out, size_t out_size)
{
	char id[2 * MINISIGN_KEY_ID_BYTES + 1], text[BASE64_SIZE(PUBLIC_BYTES)];
	uint8_t block[PUBLIC_BYTES] = {'E', 'd'};
	int n;

	memcpy(block + 2, pub->key_id, MINISIGN_KEY_ID_BYTES);
	memcpy(block + 2 + MINISIGN_KEY_ID_BYTES, pub->key.b, sizeof pub->key.b);
	base64_format(block, sizeof block, text, sizeof text);
	key_id_text(pub->key_id, id);
	n = snprintf(out, out_size, UNTRUSTED "minisign public key %s\n%s\n", id, text);
	assert(n > 0 && (size_t)n < out_size);
}

enum err minisign_public_parse(struct view text, struct minisign_public *out)
{
	uint8_t block[PUBLIC_BYTES];
	struct view rest = text;

	if (take_block(&rest, block, sizeof block) || rest.len || memcmp(block, "Ed", 2) != 0)
		return ERR_FORMAT;
	memcpy(out->key_id, block + 2, MINISIGN_KEY_ID_BYTES);
	memcpy(out->key.b, block + 2 + MINISIGN_KEY_ID_BYTES, sizeof out->key.b);
	return ERR_OK;
}

void minisign_secret_format(const struct minisign_secret *sec, char *out, size_t out_size)
{
	uint8_t block[SECRET_BYTES] = {'E', 'd', 0, 0, 'B', '2'};
	char text[BASE64_SIZE(SECRET_BYTES)];
	int n;

	memcpy(block + 54, sec->key_id, MINISIGN_KEY_ID_BYTES);
	memcpy(block + 54 + MINISIGN_KEY_ID_BYTES, sec->key.b, sizeof sec->key.b);
	base64_format(block, sizeof block, text, sizeof text);
	n = snprintf(out, out_size, UNTRUSTED "minisign unencrypted secret key\n%s\n", text);
	crypt_wipe(block, sizeof block);
	crypt_wipe(text, sizeof text);
	assert(n > 0 && (size_t)n < out_size);
}

static enum err secret_read(struct view block, struct minisign_secret *out)
{
	struct rd r = rd_init(block);
	struct view algorithms = rd_bytes(&r, 6);
	struct sign_public half;
	enum err e;

	rd_bytes(&r, 32 + 16);
	rd_copy(&r, out->key_id, sizeof out->key_id);
	rd_copy(&r, out->key.b, sizeof out->key.b);
	rd_bytes(&r, 32);
	e = rd_done(&r);
	if (e)
		return e;
	if (memcmp(algorithms.ptr, "EdScB2", 6) == 0)
		return ERR_UNSUPPORTED;
	sign_public_of(&out->key, &half);
	if (memcmp(algorithms.ptr, "Ed\0\0B2", 6) != 0 || memcmp(half.b, out->key.b + 32, sizeof half.b) != 0)
		return ERR_FORMAT;
	return ERR_OK;
}

enum err minisign_secret_parse(struct view text, struct minisign_secret *out)
{
	uint8_t block[SECRET_BYTES];
	struct view rest = text;
	enum err e = take_block(&rest, block, sizeof block);

	if (!e)
		e = rest.len ? ERR_FORMAT : secret_read(view_of(block, sizeof block), out);
	crypt_wipe(block, sizeof block);
	if (e)
		crypt_wipe(out, sizeof *out);
	return e;
}
