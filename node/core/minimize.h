/* minimize.h - MINIMIZE: while it is in force, messages of its precedence and below stay where they are. Part of core_int.h.
 *
 * A relocator or a quorum orders MINIMIZE ROUTINE until 14:00. The order is state, so every site that is reached has it within
 * seconds, and islands get it with a courier's bundle. From then on no site sends a ROUTINE message on: it is accepted, held, shown, and
 * sent when the time is over or the order is lifted. In a stream what follows a message that is held back waits with it; a stream of
 * reports alone goes on, so that everybody knows what was read. What is at its addressee is handed out as always. */
#ifndef CORE_MINIMIZE_H
#define CORE_MINIMIZE_H

#include "proto/entry.h"
#include "proto/instant.h"

struct core;
struct rows;

struct minimize {
	uint8_t from;          /* the most urgent precedence that is held back; PREC_COUNT: nothing is */
	struct wall until;
	uint16_t issuer;
};

/* Once a batch, before anything is sent: what is in force now? Ends by the wall clock, unless that is unsure. */
void minimize_look(struct core *c);
/* When to look again; MONO_NEVER. */
struct mono minimize_due(const struct core *c);
/* Does a message of that precedence stay where it is? */
bool minimize_holds(const struct core *c, uint8_t precedence);
/* Does this entry? Reports and keys go on. */
bool minimize_holds_entry(const struct core *c, const struct entry *e);
/* Messages of a precedence that this site would send on now, to one site at least. */
uint64_t minimize_waiting(const struct core *c, uint8_t precedence);
/* Is the time of a MINIMIZE in force over, or was nothing left to lift? */
struct order_known;
bool minimize_over(const struct core *c, const struct order_known *o);
/* The members of `status`, and the rows of a dry run: per precedence what waits here. */
void minimize_members(struct rows *r);
struct order;
void minimize_dry(struct rows *r, const struct order *o);

#endif
