/* driver.h - the journal thread: wait, gather, apply and commit, hand out the effects. The only reader of clocks.
 *
 * Effects leave this thread after the commit of the step that made them, and the network thread performs them. A disk
 * that does not confirm ends the process at once: what is true is then on the disk, and the next start reads it. */
#ifndef NODE_DAEMON_DRIVER_H
#define NODE_DAEMON_DRIVER_H

#include "node/core/core.h"
#include "node/daemon/inbox.h"

/* The exit status when the journal cannot go on. */
#define DRIVER_EXIT 3

struct driver;

struct driver_config {
	struct core *core;    /* borrowed; nobody else touches core and store while the thread runs */
	struct store *store;
	struct inbox *inbox;
	size_t commit_batch;  /* events in one commit at most */
	int wake_fd;          /* an eventfd, written when there are effects or the thread has ended */
};

/* The effects of one commit. */
struct parcel {
	struct effects effects;
	struct parcel *next;
};

struct mono driver_mono(void);
struct wall driver_wall(void);

/* Starts the thread; its first commit is EVENT_START, its last one EVENT_STOP after inbox_stop. */
MUST_USE enum err driver_start(const struct driver_config *config, struct driver **out);
/* Waits for the thread, then frees. NULL is fine. */
void driver_join(struct driver *d);

/* ---- for the network thread -------------------------------------------------------------------------------- */

/* All parcels that are ready, in order; NULL when none is. Give each back. */
struct parcel *driver_parcels(struct driver *d);
void driver_give_back(struct driver *d, struct parcel *p);
/* Rises at least once a second while the thread is well. */
uint64_t driver_progress(const struct driver *d);
/* True after the last effects were handed out. */
bool driver_finished(const struct driver *d);

#endif
