#include "node/cli/keys.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/cli/cli.h"
#include "proto/roster.h"

#define KEY_TEXT_BYTES 4096
#define MINISIG_BYTES 600

void authority_make(struct minisign_public *pub, struct minisign_secret *sec)
{
	uint8_t seed[32], id[32];
	crypt_system_seed(seed);
	crypt_system_seed(id);
	sign_keypair(seed, &pub->key, &sec->key);
	memcpy(pub->key_id, id, sizeof pub->key_id);
	memcpy(sec->key_id, id, sizeof sec->key_id);
	crypt_wipe(seed, sizeof seed);
}

enum err authority_write_secret(const char *path, const struct minisign_secret *sec, struct errmsg *m)
{
	char text[KEY_TEXT_BYTES];
	minisign_secret_format(sec, text, sizeof text);
	enum err e = cli_write_file(path, 0600, view_str(text), false, m);
	crypt_wipe(text, sizeof text);
	return e;
}

enum err authority_write_public(const char *path, const struct minisign_public *pub, struct errmsg *m)
{
	char text[KEY_TEXT_BYTES];
	minisign_public_format(pub, text, sizeof text);
	return cli_write_file(path, 0644, view_str(text), false, m);
}

enum err site_keys_read(const char *path, struct site_keys *out, struct errmsg *m)
{
	struct buf text = BUF_EMPTY;
	enum err e = cli_read_file(path, KEY_TEXT_BYTES, &text, m);
	if (e == ERR_OK)
		e = site_keys_parse(path, buf_view(&text), out, m);
	if (text.ptr)
		crypt_wipe(text.ptr, text.cap);
	buf_release(&text);
	return e;
}

enum err site_keys_write(const char *path, const struct site_keys *k, bool replace, struct errmsg *m)
{
	char text[KEY_TEXT_BYTES];
	enum err e = site_keys_format(k, text, sizeof text);
	e = e == ERR_OK ? cli_write_file(path, 0600, view_str(text), replace, m) : err_set(m, e, "%.300s: the keys do not fit a key file", path);
	crypt_wipe(text, sizeof text);
	return e;
}

enum err authority_read_secret(const char *path, struct minisign_secret *sec, struct minisign_public *pub, struct errmsg *m)
{
	struct buf text = BUF_EMPTY;
	enum err e = cli_read_file(path, KEY_TEXT_BYTES, &text, m);
	if (e == ERR_OK && minisign_secret_parse(buf_view(&text), sec) != ERR_OK)
		e = err_set(m, ERR_FORMAT, "%.300s: not an authority's secret key without a password (make one with keygen --authority)", path);
	if (e == ERR_OK) {
		memcpy(pub->key_id, sec->key_id, sizeof pub->key_id);
		sign_public_of(&sec->key, &pub->key);
	}
	if (text.ptr)
		crypt_wipe(text.ptr, text.cap);
	buf_release(&text);
	return e;
}

enum err authority_read_public(const char *path, struct minisign_public *pub, struct errmsg *m)
{
	struct buf text = BUF_EMPTY;
	enum err e = cli_read_file(path, KEY_TEXT_BYTES, &text, m);
	if (e == ERR_OK && minisign_public_parse(buf_view(&text), pub) != ERR_OK)
		e = err_set(m, ERR_FORMAT, "%.300s: not a minisign public key (give the authority's .pub file)", path);
	buf_release(&text);
	return e;
}

enum err roster_write_signature(const char *path, struct view text, const struct roster *r, const struct minisign_secret *sec,
                                struct errmsg *m)
{
	char comment[160], signature[MINISIG_BYTES], *to = NULL;
	snprintf(comment, sizeof comment, "estafette roster of %s, serial %u", r->network, r->serial);
	enum err e = minisign_sign(sec, text, comment, signature, sizeof signature);
	if (e == ERR_OK && asprintf(&to, "%s.minisig", path) < 0) {
		to = NULL;
		e = ERR_NOMEM;
	}
	e = e == ERR_OK ? cli_write_file(to, 0644, view_str(signature), true, m) : err_set(m, e, "%.300s: it cannot be signed: %s", path, err_text(e));
	free(to);
	return e;
}
