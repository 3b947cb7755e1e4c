/* age.h - writing age files (age-encryption.org/v1) for one X25519 recipient, so that a person opens them with the standard tool.
 *
 * Only for what leaves the network on purpose, for a person: between sites everything is sealed by seal.h. Who wrote a file is not
 * authenticated by it. Format: https://age-encryption.org/v1 (C2SP age.md); implemented in crypt_age.c. */
#ifndef PROTO_AGE_H
#define PROTO_AGE_H

#include "proto/buf.h"
#include "proto/crypt.h"

#define AGE_CHUNK_BYTES (64 * 1024)

struct age_recipient { uint8_t key[32]; };
/* "age1..." as `age-keygen` prints it (Bech32). ERR_FORMAT: it is no X25519 recipient, or mistyped. */
MUST_USE enum err age_recipient_parse(const char *text, struct age_recipient *out);

/* A file under way: bytes go in in any pieces, and come out appended to `out`, which the caller may empty between calls. */
struct age_writer {
	uint8_t key[32];
	uint64_t chunk;
	struct buf pending;
};
/* Fresh keys from seed (32 random bytes, wiped by the caller). Writes the header. ERR_KEY: the recipient is no usable point. */
MUST_USE enum err age_begin(struct age_writer *w, const struct age_recipient *to, const uint8_t seed[32], struct buf *out);
/* Check buf_ok(out) at the end. */
void age_add(struct age_writer *w, struct view plain, struct buf *out);
/* Writes the last chunk and wipes w, which must not be used again. */
void age_end(struct age_writer *w, struct buf *out);
/* Wipes a writer that is given up. */
void age_release(struct age_writer *w);

#endif
