/* play.h - plays a drill in a world: its timetable as calls of world.h, its traffic and desks as clients.
 *
 *     drill_links(d, seed, &links, &n);                  what world_config.links wants; free()
 *     world_new(...); watch_new(...); play_new(d, seed, w, watch, &p);   everything is put on the world's timers now
 *     world_run(w, (struct mono){d->length_us});         the timetable
 *     world_heal(w); watch_repaired(watch); play_repaired(p);
 *     world_run(w, ...) up to play_end_us(d);            the settling; watch_finish judges
 *
 * The play tells the watch each event of the timetable as it does it, the ids of labelled messages, and what desks do.
 * Expectations are the watch's. A desk that cannot send because its node is down or gone keeps the message, under the same
 * idempotency key, and sends it when the node is up, as people do. */
#ifndef SIM_PLAY_H
#define SIM_PLAY_H

#include "sim/drill.h"
#include "sim/watch.h"
#include "sim/world.h"

struct play;

/* The links of a drill as the world takes them. *out is freed with free(). ERR_NOMEM. */
MUST_USE enum err drill_links(const struct drill *d, uint64_t seed, struct link_config **out, size_t *n);
/* Length and settling. */
int64_t play_end_us(const struct drill *d);

/* d, w and watch are borrowed until play_free, which comes after world_free; watch may be NULL. ERR_NOMEM. */
MUST_USE enum err play_new(const struct drill *d, uint64_t seed, struct world *w, struct watch *watch, struct play **out);
/* The same where a timetable is played faster than it was written: d's times are the world's; the traffic is that of
 * `load` (borrowed likewise), whose time passes `speed` times as fast as the world's. */
MUST_USE enum err play_new_paced(const struct drill *d, const struct drill *load, int64_t speed, uint64_t seed, struct world *w, struct watch *watch,
				 struct play **out);
void play_free(struct play *p);
/* The timetable is over: no more is sent but what desks still keep, desks that were away come back. */
void play_repaired(struct play *p);

struct play_counts {
	uint64_t submitted;   /* handed to a node; again after a lost answer counts again */
	uint64_t accepted, refused;
	uint64_t retried;     /* handed to the node again: it ended before it answered */
	uint64_t kept;        /* could not be handed over at their time: the node was down */
	uint64_t taken, read, turned_down, returned, desk_crashes;
};
const struct play_counts *play_counts(const struct play *p);

#endif
