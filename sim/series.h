/* series.h - what series.c sampled, for the pictures of report_svg.c. The calls are in report.h. */
#ifndef SIM_SERIES_H
#define SIM_SERIES_H

#include "sim/report.h"

/* A site (b 0), a link (a < b) went up or down; served: queues of a are served by those from now on. */
struct change { int64_t at_us; uint16_t a, b; bool up, served; struct served by; };

struct series {
	size_t n_sites, n;
	int64_t step_us, end_us;
	uint16_t *numbers;
	uint32_t *depth, *flash_s;  /* [site][SERIES_SAMPLES] */
	size_t n_changes, cap_changes, changes_dropped;
	struct change *changes;     /* in order of time */
};

#endif
