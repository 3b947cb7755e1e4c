/* pack.h - the only user of zstd: one text in, one text out, with a shared dictionary trained on synthetic text.
 *
 * A packed text says which dictionary it needs (one byte, 0 for none), so old ones are shipped for ever. */
#ifndef PROTO_PACK_H
#define PROTO_PACK_H

#include "proto/buf.h"
#include "proto/err.h"
#include "proto/view.h"

struct packer; /* reusable contexts; one per core (thread); never shared between threads */
MUST_USE enum err packer_new(struct packer **out);
void packer_free(struct packer *p);

enum pack_method { PACK_STORED = 0, PACK_ZSTD = 1 };

/* Compresses plain (level 1, with the built-in dictionary when plain is at most 16 KiB). When that saves less than 5 %,
 * the method is PACK_STORED and *out is plain itself. *out lives until the next call on p.
 * plain.len <= LIMIT_CHUNK_BYTES. */
MUST_USE enum err pack(struct packer *p, struct view plain, uint8_t *method, uint8_t *dictionary, struct view *out);

/* The reverse. plain_len is what the sealed frame declares; out holds it. ERR_FORMAT when the frame says otherwise,
 * is not exactly one frame, or method or dictionary is unknown. One-shot, never allocates by what the input says. */
MUST_USE enum err unpack(struct packer *p, uint8_t method, uint8_t dictionary, struct view packed, uint8_t *out, size_t plain_len);

#endif
