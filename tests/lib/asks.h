/* asks.h - what operators and desks ask of a site of the small world, in one call each; a test fails where it is not answered. */
#ifndef TESTS_ASKS_H
#define TESTS_ASKS_H

#include "tests/lib/world.h"

/* The answer to the last request that ends with DONE or an error: ERR_OK, or ERR_REFUSED and in text what was said. */
enum err ask_answered(struct world *w, size_t i, char *text, size_t size);

/* An order: what is "relocate", "handback", "revoke", "minimize" or "lift". The last two name no site; 0: no precedence, no end. */
struct ask { const char *site, *assign[4], *without, *exercise; uint8_t precedence; struct wall until; };
enum err ask_order(struct world *w, size_t i, const char *what, const struct ask *a, char *text, size_t size);
void ask_order_ok(struct world *w, size_t i, const char *what, const struct ask *a);

/* The body is the subject too. */
void ask_send(struct world *w, size_t i, const char *to, enum precedence p, const char *body, struct msgid *id);
/* One message within us; seen (80 bytes) may be NULL. The others wait 3 s, for this body or for none. */
bool ask_take(struct world *w, size_t i, const char *queue, int64_t us, char body[64], struct msgid *id, char *seen);
void ask_take_is(struct world *w, size_t i, const char *queue, const char *body, struct msgid *id);
void ask_take_none(struct world *w, size_t i, const char *queue);
/* Within us; of any length. id may be NULL. */
void ask_take_in(struct world *w, size_t i, const char *queue, int64_t us, const char *body, struct msgid *id);
void ask_read(struct world *w, size_t i, const struct msgid *id);

/* The bytes of a TAKE, appended; how many replies of that type are unread. exercise may be NULL. */
void ask_take_bytes(struct buf *b, const char *queue, uint32_t tag, uint32_t count, const char *exercise);
unsigned ask_replies_of(struct world *w, size_t i, uint8_t type);
/* Events straight into a core, beside what the world does; what it answers is left in out. */
enum err ask_apply(struct world *w, size_t i, struct event *ev, size_t n, struct effects *out);
/* A frame that a peer sends on the urgent connection that it dialled, taken by itself. */
void ask_frame(struct world *w, size_t at, size_t from, const struct buf *frame);
void ask_fail_next(struct world *w, size_t i, enum err e); /* its next commit */

/* In r that site is removed: it is nobody's standby and in no group, its areas are those of heir. Its own standbys stay. */
void roster_without(struct roster *r, uint16_t number, uint16_t heir);

#endif
