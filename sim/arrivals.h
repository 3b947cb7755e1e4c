/* arrivals.h - which site had a message when, whole and in its journal, and over which sites and bearers it came.
 *
 * Ears on a world: after each commit the new entries of that journal are looked at, and the way of each message that is watched is kept
 * site by site. So a forecast and what then happens are told by the same measure. */
#ifndef SIM_ARRIVALS_H
#define SIM_ARRIVALS_H

#include "sim/world.h"

struct arrivals;

/* Listens to w, which outlives it or ends with it: nothing of w is touched by arrivals_free. Ends the process when out of memory. */
struct arrivals *arrivals_new(struct world *w);
void arrivals_free(struct arrivals *a);
/* From now on; what is in journals already counts as there since now. stop: the world is stopped when nothing that is watched is open
 * any more. */
void arrivals_watch(struct arrivals *a, const struct msgid *id, size_t site);
void arrivals_stop_when_done(struct arrivals *a, bool stop);
/* Watched, and not there yet. */
size_t arrivals_open(const struct arrivals *a);
/* When it was whole at the site; MONO_NEVER: it is not. */
struct mono arrivals_at(const struct arrivals *a, const struct msgid *id, size_t site);

/* The way it came there, from where it was first to the site: sites, and the bearer of each link between two of them. */
#define ARRIVAL_HOPS 32
struct arrival_way { size_t n; size_t site[ARRIVAL_HOPS]; char bearer[ARRIVAL_HOPS][LIMIT_NAME_BYTES + 1]; /* bearer[i]: into site[i] */ };
void arrivals_way(const struct arrivals *a, const struct msgid *id, size_t site, struct arrival_way *out);

#endif
