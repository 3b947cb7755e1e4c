/* past.h - what this site knew and held at a time that is over.
 *
 * An inquiry asks what stood in cic-luik/dispatch on 14 July at 22:10. storage/past.h makes a journal of what had come by then; a core with
 * core_config.past set is begun on it with that time as its wall clock. It opens all entries as after a remake: messages become known,
 * reports of then are applied, what had not ended is placed, and what desks had in hand is in their hands. Then it answers REQ_SHOW with the
 * code that answers for the present. It sends, hands out, expires, retires and writes nothing else.
 *
 *   core_new(config with .past, roster of then, store, &c, &m); core_apply(EVENT_START);
 *   while (!core_past_ready(c)) core_apply(EVENT_TICK);
 *   core_apply(EVENT_CLIENT_OPEN); core_apply(EVENT_REQUEST: a REQ_SHOW) -> EFFECT_REPLY
 *
 * all with the same wall time. What no journal keeps is null in its rows: links, alarms, room, who had acknowledged an order. What was counted as
 * it happened is counted from what the journal still has. */
#ifndef CORE_PAST_H
#define CORE_PAST_H

#include <stdbool.h>
#include <stdint.h>

struct core;
struct incarnation;
struct stream;

/* Is all of then in its place? */
bool core_past_ready(const struct core *c);
/* How many entries are still to be looked at; each is, three times. */
uint64_t core_past_left(const struct core *c);

/* ---- for the core itself ---- */
void past_finish(struct core *c);  /* in the place of all that core_finish does */
/* As deliver_whole, at the time when the entry came, or was whole: what followed from it followed then. */
void past_entry(struct core *c, struct stream *s, uint64_t number);
/* A run of this node begins: noted, so that it is known later which one ran when. */
void past_run(struct core *c);
/* The run of then. False: an older version did not note it. */
bool past_incarnation(struct core *c, struct incarnation *out);

#endif
