/* story.h - what happened in a run, in the order in which it happened, in words that a duty officer reads.
 *
 * The world, the faults, the workload and the oracle all tell their part; the text on the terminal, the page and the golden
 * traces are renderings of the same lines. A line depends on the drill and the seed alone: no wall clock, no address of
 * memory, nothing of the store. So the same seed tells the same story. */
#ifndef SIM_STORY_H
#define SIM_STORY_H

#include <stdio.h>

#include "proto/err.h"
#include "proto/instant.h"

enum story_kind {
	STORY_PLAN = 1,   /* an event of the timetable: "cic-luik: power fails" */
	STORY_FAULT,      /* what the swarm, or nature, did */
	STORY_SITE,       /* a site's life: up, down, recovered, journal lost */
	STORY_LINK,       /* a link or a bearer went up or down */
	STORY_MESSAGE,    /* one message's life: kept only when story_verbose; golden traces want it */
	STORY_NOTE,       /* what a duty officer would notice: an alarm raised, a FLASH waiting for long */
	STORY_EXPECT,     /* an expectation of the drill was met, or not */
	STORY_BROKEN,     /* a promise was broken: the run fails */
	STORY_KINDS
};
const char *story_kind_name(unsigned kind); /* "plan", "fault", ... */

struct story_line {
	int64_t at_us;      /* virtual time since the start of the drill */
	uint8_t kind;
	char *text;         /* one line, no newline; owned by the story */
};
struct story {
	struct story_line *lines;
	size_t n, cap;
	size_t dropped;     /* beyond STORY_MAX_LINES; BROKEN and EXPECT are never dropped */
	bool verbose;       /* keep STORY_MESSAGE too */
	FILE *follow;       /* each line is also printed here as it happens; NULL for none */
	size_t count[STORY_KINDS]; /* told, kept or not */
};
#define STORY_MAX_LINES 20000
#define STORY_EMPTY ((struct story){0})

/* Tells one line. Text is cut at 400 bytes. Lines come in rising time. */
void story_tell(struct story *s, int64_t at_us, enum story_kind kind, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* "d0 14:02:03.250" as "14:02:03.250", with "1d " before it from the second day on; ms only when they are not 0. */
void story_time(int64_t at_us, char *out, size_t size);
/* All lines as text: time, two spaces, kind padded, text. */
void story_print(const struct story *s, FILE *out);
void story_release(struct story *s);

#endif
