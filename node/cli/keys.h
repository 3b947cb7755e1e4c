/* keys.h - keys on disk: an authority's pair in minisign's formats, a site's key file. Secrets are files of mode 0600. */
#ifndef NODE_CLI_KEYS_H
#define NODE_CLI_KEYS_H

#include "proto/crypt.h"
#include "proto/keyfile.h"

/* A fresh pair from the system's randomness; the caller wipes sec. */
void authority_make(struct minisign_public *pub, struct minisign_secret *sec);

/* Never overwrite, but for replace. ERR_EXISTS and those of cli_write_file, m filled. */
MUST_USE enum err authority_write_secret(const char *path, const struct minisign_secret *sec, struct errmsg *m);
MUST_USE enum err authority_write_public(const char *path, const struct minisign_public *pub, struct errmsg *m);
MUST_USE enum err site_keys_write(const char *path, const struct site_keys *k, bool replace, struct errmsg *m);
/* The caller wipes out. Those of cli_read_file and site_keys_parse, m filled. */
MUST_USE enum err site_keys_read(const char *path, struct site_keys *out, struct errmsg *m);

/* ERR_FORMAT and those of cli_read_file, m filled. The public half of a secret key comes with it; the caller wipes sec. */
MUST_USE enum err authority_read_secret(const char *path, struct minisign_secret *sec, struct minisign_public *pub, struct errmsg *m);
MUST_USE enum err authority_read_public(const char *path, struct minisign_public *pub, struct errmsg *m);

/* Writes the signature of text, by sec, to PATH.minisig (replacing one that no longer fits). */
struct roster;
MUST_USE enum err roster_write_signature(const char *path, struct view text, const struct roster *r, const struct minisign_secret *sec,
                                         struct errmsg *m);

#endif
