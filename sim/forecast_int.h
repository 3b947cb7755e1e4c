/* forecast_int.h - what the files of the forecast share; nobody else includes it.
 *
 *   forecast_read.c    rows become what is known        forecast_plan.c  who is reached, what goes in which order
 *   forecast_world.c   one world, from it               forecast.c       both of them, and what came out */
#ifndef SIM_FORECAST_INT_H
#define SIM_FORECAST_INT_H

#include "sim/arrivals.h"
#include "sim/forecast.h"

#define FORECAST_NOWHERE SIZE_MAX

struct fc_site {
	char name[LIMIT_NAME_BYTES + 1], bearer[LIMIT_NAME_BYTES + 1];
	bool reached, said;
	int64_t hint_bps;
	size_t n_reaches;
	char (*reaches)[LIMIT_NAME_BYTES + 1];
	/* forecast_plan.c */
	size_t hops, parent; /* from this site; hops 0: no path is known, but of this site itself */
	bool kept;           /* it is in the world */
	size_t place;        /* as which of its sites */
};
/* Of this site to a peer; bulk: of that lane, where it lies on another bearer. */
struct fc_link { size_t peer; bool bulk, measured; char bearer[LIMIT_NAME_BYTES + 1]; int64_t round_us, rate_bps; };
/* What came out: microseconds since the rows, -1 for never. */
struct fc_outcome { int64_t us; struct arrival_way way; };
struct fc_load {
	uint64_t stream, has, entries, bytes, large, large_bytes;
	size_t to;
	uint8_t precedence;
	bool asked;          /* `to` would serve the addressee's queues */
	int64_t first_due_us, last_due_us, retry_s;
	struct fc_outcome likely, earliest;
};
struct fc_message {
	char id[MSGID_TEXT_BYTES], queue[LIMIT_ADDRESS_BYTES + 2], state[LIMIT_NAME_BYTES + 1];
	uint64_t stream, number, bytes;
	size_t at, to;
	uint8_t precedence;
	bool large, has;
	int64_t due_us, retry_s;
	struct fc_outcome likely, earliest;
	uint64_t before, before_bytes; /* what goes the same way before it */
};
/* One thing to be sent in the world. */
struct fc_item {
	size_t at, to;
	uint8_t precedence;
	bool large, asked;
	uint64_t stream, number, bytes, stands_for; /* so many like it */
	int64_t due_us, after_us;                   /* it is held back for so long */
	struct fc_message *message;                 /* NULL: something else */
	struct fc_load *load;                       /* asked: of which it is a part */
};
struct forecast {
	struct wall now;
	size_t self;
	bool begun;
	uint8_t minimize;    /* PREC_COUNT: none */
	int64_t minimize_us; /* for so long */
	uint64_t untold;
	struct fc_site *sites; size_t n_sites;
	struct fc_link *links; size_t n_links;
	struct fc_load *loads; size_t n_loads;
	struct fc_message *messages; size_t n_messages;
	struct fc_item *items; size_t n_items;
	bool *says;          /* forecast_plan.c: n_sites * n_sites, whether the first says that it reaches the second */
	uint64_t scale;      /* the world sends a part of it over lines that are as much slower; 1: all of it */
	int64_t assumed_round_us;
	bool paths_only;     /* of a large network only what shares a line with what is asked about, over shortest paths */
};

/* A growing array: room for one more. NULL when out of memory. */
void *fc_grow(void *array_ptr, size_t *n, size_t size);
size_t fc_site_by_name(const struct forecast *f, const char *name); /* FORECAST_NOWHERE */
bool fc_linked(const struct forecast *f, size_t a, size_t b);

/* Paths, and the items. ERR_NOMEM. */
MUST_USE enum err fc_plan(struct forecast *f);
/* Rate and round trip of the link between two sites, for one lane; best: as good as the roster says. */
struct fc_line { const char *bearer; int64_t round_us, rate_bps; };
struct fc_line fc_line(const struct forecast *f, size_t a, size_t b, bool bulk, bool best);
/* alone: only what is asked about, on lines as good as the roster says. ERR_NOMEM, ERR_CLOSED; m filled. */
MUST_USE enum err fc_world(struct forecast *f, bool alone, const volatile sig_atomic_t *interrupted, struct errmsg *m);

#endif
