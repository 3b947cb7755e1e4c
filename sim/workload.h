/* workload.h - who sends what when, and what desks do with it. It decides; the world's client sessions act.
 *
 * Everything is drawn from generators of its own, one a flow and site and one a desk, so that a change in one place does not
 * change what another one draws. The same drill and seed give the same messages at the same times, whatever the network
 * does. `rate` events of the drill are read from the drill itself.
 *
 * The world asks workload_next, and at that time takes messages with workload_pop until it returns false. A message that a
 * node cannot take because it is down is still popped: the world says so to the story, as a desk would telephone. */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include "sim/drill.h"

struct workload;

struct load_message {
	int64_t at_us;
	uint64_t number;                      /* 1, 2, ... in order of time; names the body, see workload_body */
	uint16_t from;                        /* site index */
	char address[LIMIT_ADDRESS_BYTES + 1];
	uint8_t precedence;
	const struct drill_body *body;        /* lives as long as the drill */
	const char *subject, *channel, *exercise, *key, *label; /* "" when none; likewise */
	int64_t expires_us;                   /* after sending; 0 never */
	int flow;                             /* index of drill.flows, -1: a send event */
};

/* The drill must outlive it. */
MUST_USE enum err workload_new(const struct drill *d, uint64_t seed, struct workload **out);
void workload_free(struct workload *w);
/* When the next message is due; MONO_NEVER after the last. */
struct mono workload_next(const struct workload *w);
/* The next message due at or before now. */
bool workload_pop(struct workload *w, struct mono now, struct load_message *out);

/* The plain body of a message: body->bytes bytes that begin with the number and are text of about the compressibility of
 * the real ones. The same for the same number. */
void workload_body(uint64_t number, const struct drill_body *body, struct buf *out);

/* What desk `desk` (index of drill.desks) does with a message it was just given. */
enum desk_act { DESK_READ, DESK_REFUSE, DESK_RETURN, DESK_CRASH /* its session ends, it comes back after after_us */ };
struct desk_choice { enum desk_act act; int64_t after_us; };
struct desk_choice workload_desk(struct workload *w, size_t desk);

#endif
