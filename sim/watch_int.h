/* watch_int.h - what watch.c and watch_expect.c share. */
#ifndef SIM_WATCH_INT_H
#define SIM_WATCH_INT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/watch.h"
#include "sim/witness.h"

struct label { char name[LIMIT_NAME_BYTES + 1]; size_t site; struct msgid id; };

/* The last line of a node's log that was told. */
struct noted { bool said; int64_t at; char text[400]; };

struct asking;

struct watch {
	struct world *world;
	const struct drill *drill;   /* may be NULL */
	struct story *story;
	const struct roster *roster; /* the world's latest */
	struct oracle *oracle;
	struct witness *witness;
	struct series *series;
	int64_t tick_at;
	bool begun, slowed, live;
	bool *together;              /* n * n: connected both ways, as last told */
	char (*bearer)[LIMIT_NAME_BYTES + 1]; /* n * n: over which site a last dialled b */
	uint8_t *trouble;            /* by site: enum trouble bits */
	struct noted *noted;         /* by site */
	struct asking *asking;
	struct orders_shown *orders; /* NULL: no order was given */
	uint64_t orders_told;        /* oracle_orders_changed, as the picture has it */
	struct served *served;       /* by site: who serves its queues beside itself */
	struct beside *beside;       /* scratch, by site: sites that are elsewhere */
	bool orders_agreed, repaired, cut_short;
	char orders_why[300];
	size_t n_labels;
	struct label *labels;
};

/* Memory for n elements (realloc), never NULL: without memory the simulator ends. */
void *watch_room(void *p, size_t n, size_t size);
/* ---- watch_ask.c ---- */
void asking_begin(struct watch *w);
void asking_reply(struct watch *w, size_t site, struct view bytes); /* replies that reach any client of a site */
void asking_end(struct watch *w);
/* ---- watch_orders.c ---- */
/* All sites show the same orders in force. False, too, while they have not answered: then again after the world has run on. */
bool orders_agree(struct watch *w, char *why, size_t size);
void orders_end(struct watch *w);
/* ---- watch_tell.c ---- */
/* One event of the timetable in plain words, with its figures. */
void event_text(const struct watch *w, const struct drill_event *e, char *out, size_t size);
/* ---- watch_expect.c ---- */
/* False for a count at the end that is not reached yet. */
bool expect_holds(struct watch *w, const struct drill_expect *e);
void expect_judge(struct watch *w, const struct drill_expect *e);
/* "cic-luik, cic-namen" of a drill's sites; "every site" for none. */
void sites_text(const struct drill *d, const struct drill_sites *s, char *out, size_t size);

#endif
