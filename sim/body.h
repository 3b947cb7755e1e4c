/* body.h - sites that are elsewhere: what a world asks of who runs them, and what it is told.
 *
 * A world keeps clock, timers, clients' numbers, links' state, rosters and books. Its sites are simulated (world_*.c), or, with
 * world_config.body, something else that acts on them: real daemons (live.h). Drill, play, watch, oracle and report
 * then stay the same. Such a world runs no core and no store; who runs the body
 *
 *     world_run(w, now)                    whenever real time has moved, then waits until world_next(w) at most
 *     world_site_became(w, site, ...)      as a run begins and ends
 *     world_conn_became(w, a, b, ...)      as a's connection to b comes and goes
 *     world_heard(w, client, bytes)        what a client was told, after world_looked(w)
 *
 * Links are kept as ever (link.h): cut, degraded, off schedule; what passes over them is the body's business. */
#ifndef SIM_BODY_H
#define SIM_BODY_H

#include "sim/world.h"

enum body_act { BODY_START, BODY_STOP, BODY_KILL, BODY_POWER_CUT, BODY_PAUSE, BODY_RESUME, BODY_LOSE_DISK, BODY_BACKUP, BODY_RESTORE };

struct world_body {
	void *arg;
	/* False: it cannot, and nothing happened. POWER_CUT: peers see silence until it is started again. */
	bool (*act)(void *arg, size_t site, enum body_act act);
	void (*link_changed)(void *arg, size_t link);
	void (*link_reset)(void *arg, size_t link);
	/* The bearer over which a's urgent connection to b lies, as a says; -1: it is not up. */
	int (*bearer)(void *arg, size_t a, size_t b);
	/* For reading, between two calls of the body. NULL: there is none now. */
	struct store *(*store)(void *arg, size_t site);
	void (*roster)(void *arg, const struct roster *r);
	/* Client numbers are the world's. */
	bool (*client_open)(void *arg, size_t site, uint64_t client);
	void (*client_close)(void *arg, size_t site, uint64_t client);
	void (*request)(void *arg, size_t site, uint64_t client, struct view bytes);
};

/* When the next timer is due; MONO_NEVER. */
struct mono world_next(const struct world *w);
size_t world_links(const struct world *w);
const struct link *world_link(const struct world *w, size_t i);
/* why: of SITE_DOWN, for the story. */
void world_site_became(struct world *w, size_t site, enum site_state state, const char *why);
/* bearer: its index in the link, -1: down. */
void world_conn_became(struct world *w, size_t a, size_t b, int bearer);
/* Empty bytes: the connection is gone. Unknown and closed clients hear nothing. */
void world_heard(struct world *w, uint64_t client, struct view bytes);
void world_looked(struct world *w);
/* The books, to be kept on: stalls, resets, frames. */
struct world_counts *world_books(struct world *w);

#endif
