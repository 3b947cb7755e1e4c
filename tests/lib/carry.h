/* carry.h - a courier between sites of the small world: a bundle packed at one, and given to another. */
#ifndef TESTS_CARRY_H
#define TESTS_CARRY_H

#include "tests/lib/world.h"

struct carry { const char *to[WORLD_SITES]; enum precedence precedence; uint64_t max; }; /* to: sites or "all"; none: all */
struct packed { uint64_t bytes, entries, messages, bodies, left_entries, left_bodies; };
/* Packs until it is whole, through whatever commits fail on the way. ERR_OK, or ERR_REFUSED and what was said in text (may be NULL). */
enum err carry_pack(struct world *w, size_t i, const struct carry *how, struct buf *out, struct packed *in, char *text, size_t size);

struct unpacked { uint64_t pieces, entries, new_entries, messages, new_messages, refused; char why[256], note[256]; };
/* Checks it whole first, as the command does, then gives it piece by piece; at most `pieces` frames (0: all). ERR_TRUNCATED, ERR_FORMAT, ERR_VERSION,
 * ERR_AUTH: the file itself is wrong and nothing was given; ERR_REFUSED: the node did not take it. */
enum err carry_unpack(struct world *w, size_t i, struct view bundle, uint64_t pieces, struct unpacked *out);
/* From one to the other in one call: all of it, which has to go well. */
void carry_all(struct world *w, size_t from, size_t to, struct unpacked *out);

#endif
