/* Signature and key files of the authority. What is taken as a key is, written and read again, the same key; a signature
 * is never one of another file. */
#include "tests/lib/fuzz_driver.h"

#include "proto/crypt.h"

#define TEXT_BYTES 1024

static void keys(struct minisign_public *pub, struct minisign_secret *sec)
{
	uint8_t seed[32] = {1};

	fuzz_assert(crypt_start() == ERR_OK);
	sign_keypair(seed, &pub->key, &sec->key);
	memcpy(pub->key_id, "12345678", MINISIGN_KEY_ID_BYTES);
	memcpy(sec->key_id, "12345678", MINISIGN_KEY_ID_BYTES);
}

bool fuzz_seed(unsigned n, struct buf *out)
{
	struct minisign_public pub;
	struct minisign_secret sec;
	char text[TEXT_BYTES];

	keys(&pub, &sec);
	if (n == 0)
		fuzz_assert(minisign_sign(&sec, view_str("roster"), "roster 7 of be-police", text, sizeof text) == ERR_OK);
	else if (n == 1)
		minisign_public_format(&pub, text, sizeof text);
	else if (n == 2)
		minisign_secret_format(&sec, text, sizeof text);
	else
		return false;
	buf_add(out, view_str(text));
	return true;
}

static bool try_signature(struct view v)
{
	struct minisign_public pub;
	struct minisign_secret sec;
	char comment[256];

	keys(&pub, &sec);
	fuzz_assert(minisign_verify(&pub, view_str("another"), v, comment, sizeof comment) != ERR_OK);
	return minisign_verify(&pub, view_str("roster"), v, comment, sizeof comment) == ERR_OK;
}

static bool try_public(struct view v)
{
	struct minisign_public key, again;
	char text[TEXT_BYTES];

	if (minisign_public_parse(v, &key))
		return false;
	minisign_public_format(&key, text, sizeof text);
	fuzz_assert(minisign_public_parse(view_str(text), &again) == ERR_OK && memcmp(&key, &again, sizeof key) == 0);
	return true;
}

static bool try_secret(struct view v)
{
	struct minisign_secret key, again;
	char text[TEXT_BYTES];

	if (minisign_secret_parse(v, &key))
		return false;
	minisign_secret_format(&key, text, sizeof text);
	fuzz_assert(minisign_secret_parse(view_str(text), &again) == ERR_OK && memcmp(&key, &again, sizeof key) == 0);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct view v = view_of(data, len);
	bool signature = try_signature(v), public = try_public(v), secret = try_secret(v);

	return signature || public || secret ? 0 : -1;
}
