/* fault.h - swarm: each seed draws its own kinds of faults and their rates, and writes them into the drill's timetable.
 *
 * What is drawn becomes ordinary events, so that a failing seed can be told, formatted, and shrunk like a drill written by
 * hand. Beside a crash messages may be sent, and beside absent desks one be sent and cancelled, so that the fault strikes
 * something; clocks may be wrong from the start. Nothing is drawn that the invariants do not let a node survive: at no time have two custodians of one stream (its
 * originator counts) both lost, rolled back or damaged their journal, without time between for the first to catch up, so
 * that one whole journal always holds every accepted message. */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include "sim/drill.h"

/* The kinds that may be drawn: 1 << enum drill_do. */
uint64_t fault_kinds(void);
/* Adds the faults of seed to d (drill.swarm says how many and which). Does nothing when swarm is off. */
MUST_USE enum err fault_draw(struct drill *d, uint64_t seed);

#endif
