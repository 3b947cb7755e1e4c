/* live.h - one drill on real daemons: the same play, the same judge, and for each site an estafetted of its own.
 *
 *     estafette-sim live conf/drills/luik-2021.conf --length 1h --speed 120
 *
 * A folder gets a roster, keys, journals and a node.conf for each site, as `network init` makes them. Each daemon runs in a
 * network namespace without a name; every connection between two of them passes through proxy.h, which does what link.h says of
 * its line; the rate is the kernel's to keep where it can (shaper.h). Senders, desks and orders are clients at the daemons' sockets (play.h); the oracle gets what they were told and, beside
 * the daemons, what the journals hold (witness_look).
 *
 * It all hangs on this process: daemons die with it (PR_SET_PDEATHSIG), namespaces go with the last process in them, and a child that
 * does nothing but wait for its end removes the folder (live_folder.c).
 *
 * Time is real. What is made faster is the timetable: `speed` times; rates, bursts, schedules of links and what desks need go
 * with it, lines and nodes do not. */
#ifndef SIM_LIVE_H
#define SIM_LIVE_H

#include "sim/conduct.h"

/* Who keeps the rates of lines: the kernel's shaper (shaper.h) where there is one, it or nothing, or the proxy. */
enum live_shaper { LIVE_SHAPER_AUTO, LIVE_SHAPER_KERNEL, LIVE_SHAPER_PROXY };

struct live {
	struct conduct conduct;     /* suite, probe_us and messages are not used */
	const char *bin;            /* folder of estafetted and estafette */
	const char *folder;         /* NULL: a temporary one; else made, and left as it is at the end */
	int64_t speed;              /* 0: such that the timetable takes a minute */
	enum live_shaper shaper;
	bool sample_given;          /* else what is sent is thinned when it is much */
};

/* Runs a drill whose faults are drawn. ERR_OK also when promises were broken: the outcome says so. ERR_NOT_PERMITTED: no namespaces
 * on this machine. ERR_UNSUPPORTED: no shaper in its kernel, and LIVE_SHAPER_KERNEL. m filled. */
MUST_USE enum err live_conduct(const struct drill *d, const struct live *l, struct errmsg *m);

#endif
