/* conduct.h - one drill, one seed: world, play and watch put together, run through both phases, and handed to who reports. */
#ifndef SIM_CONDUCT_H
#define SIM_CONDUCT_H

#include <signal.h>
#include <stdio.h>

#include "sim/drill.h"
#include "sim/report.h"
#include "sim/story.h"

struct conduct {
	uint64_t seed;
	const char *repeat;                      /* the command that repeats it */
	const struct crypt_suite *suite;
	int64_t probe_us;                        /* how often a node probes an idle link; 0: 30 s */
	bool messages;                           /* the story tells each message's life too */
	FILE *follow;                            /* the story as it happens; NULL */
	FILE *progress;                          /* a line that says how far it is; NULL */
	const char *folder;                      /* each site's journal is left there when it is over, as DIR/SITE; NULL: nowhere */
	bool stop_at_failure;                    /* a sweep need not go on with a seed that failed */
	const volatile sig_atomic_t *interrupted;/* may be NULL: 1 ends the run, with what was seen so far */
	/* The outcome; everything r points to lives for the call. */
	void (*outcome)(void *arg, const struct run *r);
	void *arg;
};

/* What the seed draws, written into a copy of the drill's timetable; swarm is off in it. */
MUST_USE enum err conduct_draw(const struct drill *d, uint64_t seed, struct drill **out, struct errmsg *m);
/* Runs a drill whose faults are drawn. ERR_OK also when promises were broken: the outcome says so. Otherwise m says why it
 * could not be run. */
MUST_USE enum err conduct(const struct drill *d, const struct conduct *c, struct errmsg *m);

#endif
