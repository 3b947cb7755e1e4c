/* bodies_int.h - what bodies.c (who is asked for what) and bodies_take.c (what comes) share of a fetch. */
#ifndef CORE_BODIES_INT_H
#define CORE_BODIES_INT_H

#include "node/core/core_int.h"

/* Parts that a holder may give before it hears from us again; its window bounds what is in the air. */
#define FETCH_AHEAD 512

struct fetch *fetch_find(struct core *c, const struct hash *body); /* NULL: it is not being fetched */
uint32_t fetch_parts(const struct fetch *f); /* how many it has, as far as is known */
/* The page of hashes that the next chunk lies in, read from the journal; is it the right one? */
void fetch_page_load(struct core *c, struct fetch *f);
bool fetch_page_here(const struct fetch *f);
void fetch_ask(struct core *c, struct fetch *f, struct peer *p, uint8_t flags); /* for what comes next */
void fetch_want_end(struct core *c, struct peer *p, uint8_t lane, const struct hash *body); /* no more of it is wanted of p */
void fetch_leave(struct core *c, struct fetch *f); /* nobody is asked now */
void fetch_end(struct core *c, struct fetch *f); /* takes f out of the list: those behind it move */

#endif
