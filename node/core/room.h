/* room.h - who may still put something into the journal when it fills up, and what a full site says to those whom it refuses.
 *
 * Room is kept back for each precedence: transit copies are refused first, then ROUTINE, PRIORITY, IMMEDIATE and at last FLASH; reports,
 * grants, orders and acknowledgements go on while there is any room at all. In the last part before its limit a precedence is shared out:
 * one originator gets a quarter of it, so that who floods this site does not take it from all others. What a peer gave is taken one
 * step longer than what desks here hand in, since it was accepted somewhere already.
 *
 * A desk is told `busy` and when to try again. A peer is told with a frame (FRAME_BUSY) which of its streams is not taken and for how
 * long; it holds that flow back, longer each time, then tries one segment, and goes on when the frontier moves. Nothing is dropped. */
#ifndef CORE_ROOM_H
#define CORE_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/id.h"
#include "proto/instant.h"

struct core;
struct flow;
struct peer;
struct segment;

/* In place of a precedence: a copy for somebody else, kept until it is handed on. */
#define ROOM_TRANSIT PREC_COUNT

struct room {
	struct room_share { uint64_t bytes[PREC_COUNT]; } *share; /* by site number: what came since the journal was as full as that */
	size_t n_share;
	struct mono full_since;      /* desks are refused; MONO_NEVER: they are not */
	struct mono holds_at;        /* the next end of a flow's hold; MONO_NEVER: none is held */
	uint8_t refused_why;         /* of the segment at hand: enum busy_why, 0: it was taken, or waits for something else */
	uint64_t refused[PREC_COUNT];/* in this run, by precedence: what desks handed in */
	uint64_t held_back;          /* in this run: segments that were not taken */
};

int space_percent(struct core *c); /* used share of the room there is */
/* May something of that precedence (or ROOM_TRANSIT) still be admitted? */
bool space_admits(struct core *c, uint8_t precedence);
/* And of that originator? given: by a peer. */
bool room_admits(struct core *c, uint8_t precedence, uint16_t originator, bool given);
void room_took(struct core *c, uint8_t precedence, uint16_t originator, uint64_t bytes);
/* What is not taken from desks now: "", or "routine", "priority and below", ... */
const char *room_refuses(struct core *c);
/* When a desk that is refused now had best try again. */
struct wall room_until(struct core *c);

/* A peer's segment was not taken: it is told. */
void room_refused(struct core *c, struct peer *p, uint8_t lane, const struct segment *seg, uint64_t held);
void room_heard(struct core *c, struct peer *p, const struct busy_frame *f);
/* Nothing of the flow is sent for so long. */
void room_hold(struct core *c, struct flow *f, int64_t us);
bool flow_is_held(const struct core *c, const struct flow *f);
/* Something was sent of a flow that is tried again: then it waits for the frontier to move. */
void room_tried(struct core *c, struct flow *f);
struct mono room_look(struct core *c); /* holds that are over; when to look again */
void room_free(struct core *c);

#endif
