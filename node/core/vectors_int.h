/* vectors_int.h - the list of vectors that are known here, for vectors.c alone: by holder, of each holder the oldest first.
 *
 * Of one holder there are as many as still say something: the newest, for whom it reaches, and older ones as long as they name a stream
 * that nothing newer names. Those that name streams are in the journal too, each in a slot of its holder's. */
#ifndef CORE_VECTORS_INT_H
#define CORE_VECTORS_INT_H

#include "node/core/vectors.h"

/* To whom it is still to be given. */
void known_todo_add(struct core *c, struct vector_known *k, struct peer *p);
bool known_todo_take(struct vector_known *k, uint16_t site); /* false: it was not to be given to that site */

/* Where those of a holder begin, or would; is the one at i one of its? */
size_t known_first(const struct core *c, uint16_t holder);
bool known_is_of(const struct core *c, size_t i, uint16_t holder);
struct vector_known *known_newest(const struct core *c, uint16_t holder); /* NULL: none */
/* In the order of runs and versions: below 0 when a is older. */
int known_age(const struct vector *a, const struct vector *b);

/* A stream as it is looked for in many vectors. */
struct wanted { uint8_t name[STREAM_NAME_BYTES]; uint32_t hash; };
struct wanted known_wanted(const struct stream_name *name);
/* *out (may be NULL) is what it says of the stream. */
bool known_names(const struct vector_known *k, const struct wanted *w, struct frontier *out);
/* Does something newer of its holder name every stream that it names? Of another run than the newest nothing counts any more. */
bool known_outdone(const struct core *c, const struct vector_known *k);

/* Puts one that was verified into the list, behind all older ones of its holder. NULL when out of memory. */
struct vector_known *known_add(struct core *c, struct view blob, const struct sign_public *key);
void known_keep(struct core *c, struct vector_known *k); /* in the journal, when it names streams and is not there yet */
void known_drop(struct core *c, size_t i);
void known_clear_old(struct core *c, uint16_t holder);   /* those that say nothing any more go, and the oldest of too many */

#endif
