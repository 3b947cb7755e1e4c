/* keyfile.h - the secret keys of one site, as the text of its key file. Never in the journal, never on a command line.
 *
 *   estafette-keys 1
 *   site cic-luik
 *   network be-police
 *   identity <base64 of the Ed25519 secret key>
 *   link <z85 secret> <z85 public>
 *   sealing <base64 secret> <base64 public>      (one line a key; the first is the newest)
 */
#ifndef PROTO_KEYFILE_H
#define PROTO_KEYFILE_H

#include "proto/crypt.h"
#include "proto/seal.h"

#define KEYFILE_SEALING_MAX 16
struct site_keys {
	char site[LIMIT_NAME_BYTES + 1];
	char network[LIMIT_NAME_BYTES + 1];
	struct sign_public identity_public;
	struct sign_secret identity;
	struct link_public link_public;
	struct link_secret link;
	size_t n_sealing;
	struct seal_pair sealing[KEYFILE_SEALING_MAX];
};
/* Fresh keys from seed (wiped by the caller). */
void site_keys_make(const uint8_t seed[32], const char *site, const char *network, struct site_keys *out);
/* A fresh sealing key from seed (wiped by the caller) becomes the newest; the others still open what was sealed to them.
 * ERR_TOO_LARGE: there are KEYFILE_SEALING_MAX already. */
MUST_USE enum err site_keys_rotate(const uint8_t seed[32], struct site_keys *k);
/* `file` is only named in messages; public halves are checked against the secret ones. m filled. */
MUST_USE enum err site_keys_parse(const char *file, struct view text, struct site_keys *out, struct errmsg *m);
MUST_USE enum err site_keys_format(const struct site_keys *k, char *out, size_t size);
void site_keys_wipe(struct site_keys *k);

struct roster;
struct site;
/* Our keys against our line in the roster: ERR_UNKNOWN_SITE, ERR_CONFLICT (which key, and what to do), m filled. */
MUST_USE enum err site_keys_check(const struct site_keys *k, const struct roster *r, struct errmsg *m);
/* The signature over a sealing key that the roster carries. */
void sealing_key_sign(const struct sign_secret *identity, uint16_t site, const struct seal_public *key, struct signature *out);
bool sealing_key_verify(const struct sign_public *identity, uint16_t site, const struct seal_public *key, const struct signature *sig);

#endif
