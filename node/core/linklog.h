/* linklog.h - when each bearer of each peer carried something, and when not: noted in the journal, for who learns from an outage later.
 *
 * A bearer is *up* from the welcome that came over it, and *down* when its lanes left it and it is known not to answer. It went down when it was
 * last heard of, and not when that was noticed: between the two nothing passed, so a message of that time was held up. Of one that is found down
 * when it is needed, and over which nothing lay before, that is when the peer was last heard of over any. A dearer one is not tried while
 * a better one carries: what was known of it then ends (*unknown*). A peer that is dead and a line that is cut look the same from here.
 *
 * Each change is a row (store_link_put). It goes with the next commit that is due anyway, and after a minute with one of its own; so a line that
 * flaps on an idle node costs a sync a minute. A power cut loses the changes of the last minute at most. They are bounded: twelve rows an hour of one
 * bearer, further changes are counted in the last of these; LINKLOG_ROWS_MOST in all, the oldest go; and they are kept as long as headers of
 * operational messages. A commit that failed with such rows in it is done again without them, and so are those of the next minute.
 *
 * The node itself is peer 0: up at each start, down when it stops. After a crash the next start writes when it was down first: the last thing that its
 * journal shows, a message, a change of a link. Down it has no links; what they were before says nothing about the time after. */
#ifndef CORE_LINKLOG_H
#define CORE_LINKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/instant.h"
#include "storage/store.h"

struct core;
struct peer;

#define LINKLOG_ROWS_HOUR 12
#define LINKLOG_ROWS_MOST 100000
#define LINKLOG_WAIT_US (60 * US_PER_S)

/* What was noted last of a bearer of a peer. */
struct link_track {
	struct link_track *next;
	char bearer[LIMIT_NAME_BYTES + 1];
	enum link_is is;
	uint64_t number;           /* of its last row; 0: it has none that is stored */
	struct mono heard;         /* over it, on what we dialled */
	struct mono hour;          /* when the hour began that rows are counted in */
	unsigned rows;             /* noted in it */
};
/* A row to be stored. track: NULL for the node itself. */
struct link_pending { struct link_row row; struct link_track *track; bool adds; /* only counts in the row of that number */ };
struct linklog {
	struct link_pending *list; size_t n;
	bool written;              /* they are in the transaction under way */
	bool now;                  /* it does not wait: the node stops */
	struct mono from;          /* the node's start */
	struct mono at, not_before;/* when it waits no longer; when it may be tried again */
};

void linklog_start(struct core *c);                       /* EVENT_START */
void linklog_stop(struct core *c);                        /* EVENT_STOP */
void linklog_heard(struct core *c, struct peer *p, uint8_t lane); /* before a lane goes over another connection, or none */
void linklog_look(struct core *c, struct peer *p);        /* something of its links changed */
void linklog_finish(struct core *c);                      /* the last thing in a transaction */
void linklog_committed(struct core *c);
void linklog_undo(struct core *c);                        /* the commit failed */
struct mono linklog_due(const struct core *c);            /* MONO_NEVER: nothing waits */
/* Removes rows that are older than what is kept, *left at most, which counts down; true when there are no more. */
bool linklog_retire(struct core *c, size_t *left);
void linklog_drop(struct peer *p);                        /* what a peer has of it is freed */

#endif
