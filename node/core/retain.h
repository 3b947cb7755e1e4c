/* retain.h - what a journal keeps, and for how long: bodies, then headers, by class and age.
 *
 * An operational message is read on Monday. For `body_us` after that its body stays, for who is asked about it; then a stub stands for
 * its entry: header and hashes, which still prove the chain. `header_us` after its end the stub goes too, when everything before it in its
 * stream has gone: the stream's floor rises, signed by this site. Reports go when every message that they name has gone, grants when
 * nothing is left that they open. So a stream shrinks from its lower end, and pages become free as fast as they are needed.
 *
 * Nothing goes that has not ended: what nobody read stays, whatever its age, until `unread_us` have passed; then its end is written first
 * as a report (expired, with the reason), which is the receipt to its originator, and there is an alarm. Nor does anything go that
 * is in quarantine, in an open conflict, at a desk, or waited for, nor anything of a stream with two histories, nor while this node's
 * clock is unsure, or its journal was lost and is not back.
 *
 * It is done in small steps, a few hundred entries in one commit, with a pause between; a pass over all streams begins once an hour. */
#ifndef CORE_RETAIN_H
#define CORE_RETAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/instant.h"

struct core;
struct entry_row;
struct flow;
struct header;
struct peer;
struct stream;

/* core_config: of operational traffic and of exercises. 0: the default. */
struct retention {
	int64_t body_us[2], header_us[2];
	int64_t unread_us;
};

struct retain {
	struct mono at;            /* the next step; of a pass, or the first of the next pass */
	bool going;                /* a pass is under way: */
	size_t stream;             /*   at this one of core.streams */
	bool stubbing;             /*   which is looked at for bodies, its floor was seen to */
	uint64_t next;             /*   from this number on */
	int64_t oldest_own_us;     /*   when the oldest message of this site was sent of which anything is left; INT64_MAX: none */
	uint64_t in;               /* the batch of the last step, by core.batch */
	uint64_t bodies, entries, unread; /* in this run: made stubs, retired, ended unread */
};

void retention_defaults(struct retention *r);
void retain_step(struct core *c);
void retain_reload(struct core *c); /* a batch has failed: if it held a step, that is done again */
struct mono retain_due(const struct core *c);

/* ---- floor.c: the lower end of streams, told to who lacks what was there -------------------------------------------------
 *
 * Who has the entries from 101 on gives to a custodian that has none of them a floor of 100 instead of a segment. The custodian waits some
 * seconds for what others offer, takes the lowest floor, and goes on from there; entries that somebody still has come first. */

/* The lowest floor that peers offered beyond what is held here. */
struct floor_offer {
	struct floor_frame low;
	struct mono at;            /* when the first came */
};
/* The floor of a stream has risen: signed, and noted with that. */
void floor_sign_own(struct core *c, struct stream *s);
/* What is said of it to who has less. False: it cannot be read. */
bool floor_say(struct core *c, struct stream *s, struct floor_frame *say);
/* To a peer that has less than the floor. */
void floor_give(struct core *c, struct peer *p, uint8_t lane, struct flow *f);
/* p: NULL when it came in a bundle. ERR_AUTH, ERR_UNKNOWN_SITE, ERR_NOT_PERMITTED, ERR_TOO_LARGE. */
MUST_USE enum err floor_heard(struct core *c, struct peer *p, const struct floor_frame *f);
void floor_frame(struct core *c, struct peer *p, const struct floor_frame *f);
struct mono floor_look(struct core *c); /* offers that are to be taken; when to look again */
/* This entry has not ended, as far as is known here: does a floor of another site lie above it? Then that is an alarm. */
void floor_doubted(struct core *c, const struct stream *s, uint64_t number, const struct header *h);
void floor_forget(struct stream *s);

#endif
