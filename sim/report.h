/* report.h - the outcome of a run: text for people, a line of JSON for scripts, a page for the duty officer.
 *
 * The page is one file without anything from outside: the story in time order, a picture of queue depth and oldest FLASH a
 * site over time, links up and down, who served which queues, promises kept and broken, seed and version. */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include "sim/oracle.h"

/* ---- what is sampled while the world runs, for the picture ---------------------------------------------------- */

#define SERIES_SAMPLES 600
struct series;
/* Samples are taken every duration / SERIES_SAMPLES; when the run is longer than announced, two are merged into one. */
struct series *series_new(const struct roster *roster, int64_t duration_us);
void series_free(struct series *s);
/* Call it whenever virtual time has moved (cheap when no sample is due). */
void series_tick(struct series *s, struct oracle *o, int64_t now_us);
/* Changes of state, told by the world as they happen. */
void series_site(struct series *s, uint16_t site, bool up, int64_t now_us);
void series_link(struct series *s, uint16_t a, uint16_t b, bool up, int64_t now_us);
/* The other sites that serve queues of a site from now on; n 0: it is at home. */
struct served { size_t n; uint16_t site[LIMIT_SUCCESSORS]; };
void series_served(struct series *s, uint16_t site, const struct served *by, int64_t now_us);

/* ---- the outcome --------------------------------------------------------------------------------------------------- */

struct run {
	const char *drill;            /* name of the drill */
	const char *title;            /* one line on what it is about; may be empty */
	const char *repeat;           /* the command that repeats it: "estafette-sim run conf/drills/x.conf --seed 7" */
	struct wall start;            /* the true time at virtual time 0; 0: not said */
	int64_t utc_offset_us;        /* of local time */
	uint64_t seed;
	char trace[65];               /* trace hash, hexadecimal */
	int64_t virtual_us;
	double wall_s;
	uint64_t events;              /* events applied */
	uint64_t sites, links, frames;
	const char *const *unsupported;
	size_t n_unsupported;
	int64_t speed;                /* a live drill: its timetable went so many times as fast; 0: simulated */
	const char *shaper;           /* who kept the rates there: "kernel" or "proxy" */
	const char *const *unjudged;  /* what could not be seen there */
	size_t n_unjudged;
	bool cut_short;               /* interrupted: what is said holds for what was seen */
	const struct roster *roster;
	const struct story *story;
	const struct oracle *oracle;
	const struct series *series;  /* may be NULL: no pictures */
};
/* True when no promise was broken and no expectation missed; a run that was cut short is not ok. */
bool run_ok(const struct run *r);
#define RUN_BEGAN_BYTES 64
/* When it began, in local time: "2021-07-14 00:00 (UTC+02:00)". False when that is not said. */
bool run_began(const struct run *r, char out[RUN_BEGAN_BYTES]);
void report_text(const struct run *r, FILE *out);
/* One object on one line; members of COMMANDS.md and, added, broken, promises, expectations, coverage, cut_short, repeat. */
void report_json(const struct run *r, FILE *out);
/* A text in quotes, as JSON has it. */
void report_json_text(FILE *out, const char *s);
/* Written beside and renamed into place. ERR_IO with m filled. */
MUST_USE enum err report_html(const struct run *r, const char *path, struct errmsg *m);

#endif
