/* pack.h - the only user of zstd: one text in, one text out, with a shared dictionary trained on synthetic text.
 *
 * A packed text says which dictionary it needs: none, the built-in one, or another by its id, which the zstd frame carries. The
 * built-in one is shipped for ever; the others come with the roster, are named there by the hash of their bytes, and are kept in
 * the journal. An id is made from the hash, so that no two that a roster names have one. */
#ifndef PROTO_PACK_H
#define PROTO_PACK_H

#include "proto/buf.h"
#include "proto/crypt.h"
#include "proto/err.h"
#include "proto/view.h"

struct packer; /* reusable contexts; one per core (thread); never shared between threads */
MUST_USE enum err packer_new(struct packer **out);
void packer_free(struct packer *p);

enum pack_method { PACK_STORED = 0, PACK_ZSTD = 1 };
/* What the byte beside a packed text says: 0 none, 1 the built-in one, else the frame names it. */
enum pack_dictionary { PACK_DICTIONARY_NONE = 0, PACK_DICTIONARY_BUILT_IN = 1, PACK_DICTIONARY_NAMED = 255 };

/* Compresses plain (level 1, with a dictionary when plain is at most 16 KiB: the built-in one, or what packer_use chose). When
 * that saves less than 5 %, the method is PACK_STORED and *out is plain itself. *out lives until the next call on p.
 * plain.len <= LIMIT_CHUNK_BYTES. */
MUST_USE enum err pack(struct packer *p, struct view plain, uint8_t *method, uint8_t *dictionary, struct view *out);

/* The reverse. plain_len is what the sealed frame declares; out holds it. ERR_FORMAT when the frame says otherwise,
 * is not exactly one frame, or method or dictionary is unknown; ERR_NOT_FOUND when it needs a dictionary that p does not have
 * (packer_missing). One-shot, never allocates by what the input says. */
MUST_USE enum err unpack(struct packer *p, uint8_t method, uint8_t dictionary, struct view packed, uint8_t *out, size_t plain_len);

/* ---- dictionaries -------------------------------------------------------------------------------------------- */

/* The bytes of a dictionary are a zstd dictionary whose own id is pack_dictionary_id of their hash, which is made with that id as
 * zero. So they name themselves. */
struct hash pack_dictionary_hash(struct view bytes);
uint32_t pack_dictionary_id(const struct hash *h); /* 32768 .. 2^31-1, as zstd keeps for private use */
/* Are these bytes such a dictionary? ERR_FORMAT, ERR_TOO_LARGE over LIMIT_DICTIONARY_BYTES. */
MUST_USE enum err pack_dictionary_check(struct view bytes);
/* p can read what was packed with it from now on; copies it. One that is there already is ERR_OK. ERR_NOMEM and those of the check. */
MUST_USE enum err packer_add(struct packer *p, struct view bytes);
bool packer_has(const struct packer *p, uint32_t id);
/* Which one pack takes from now on: 0 the built-in one. ERR_NOT_FOUND: p does not have it, and the built-in one is taken. */
MUST_USE enum err packer_use(struct packer *p, uint32_t id);
/* The dictionary that the last unpack did not find; 0 when it found its own. */
uint32_t packer_missing(const struct packer *p);
/* Makes a dictionary of about `bytes` from n samples that stand one behind the other, and appends it to out. ERR_RANGE when there
 * are too few samples, or they are too short, to learn anything from. */
MUST_USE enum err pack_train(struct view samples, const size_t *sizes, size_t n, size_t bytes, struct buf *out);

#endif
