/* shrink.h - makes a failing drill small: takes away events, then traffic and time, while it still fails. */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include "sim/drill.h"

/* Runs d (its faults are already in its timetable: swarm is off) and says whether it fails in the same way. */
typedef bool shrink_fails(void *arg, const struct drill *d);

/* The smallest drill found within max_runs calls. d itself must fail. *out is freed by the caller. ERR_NOMEM. */
MUST_USE enum err shrink(const struct drill *d, shrink_fails *fails, void *arg, unsigned max_runs, struct drill **out);

#endif
