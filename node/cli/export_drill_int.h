/* export_drill_int.h - what the files of the export as a drill share; nobody else includes it.
 *
 * export_drill.c reads messages and orders and writes the file; export_drill_links.c makes the network of it, and the events of its links. */
#ifndef NODE_CLI_EXPORT_DRILL_INT_H
#define NODE_CLI_EXPORT_DRILL_INT_H

#include "node/cli/export.h"
#include "node/cli/export_links.h"
#include "proto/order.h"

/* What the language takes (sim/drill.h, sim/README.md). */
#define EVENTS_MOST 200000
#define TEXT_MOST (8 * 1024 * 1024)
#define LENGTH_MOST (366LL * 24 * 3600 * 1000000)
#define SIZE_LEAST 8
#define ENDORSERS 8
#define SECOND_US 1000000LL /* the shortest of a drill's durations */
#define MINUTE_US (60 * SECOND_US)

/* A message for one addressee. */
struct told {
	int64_t at_us;
	uint64_t size;
	int64_t expires_us;
	uint16_t from, to, area;
	uint8_t precedence;
	bool exercise;
	uint16_t queue, name, channel; /* in words; 0: none */
};
struct given { struct order order; struct hash id; size_t n_by; uint16_t by[ENDORSERS + 1]; };
struct word { char text[LIMIT_NAME_BYTES + 1]; };

struct drill_out {
	struct source *s;
	const struct drill_wanted *want;
	struct told *told;
	struct given *given;
	struct word *words;
	size_t n_told, cap_told, n_given, cap_given, n_words, cap_words;
	uint16_t named[65536];  /* by site number: 1 and more when it is named, its place; with replaced names its new number */
	uint16_t n_sites;
	struct wall start, end;
	struct links links;
	struct link_around *around;
	struct link_alone *alone;
	size_t n_around, cap_around, n_alone;
	uint64_t other_queues, retired;
	struct buf text;
	size_t n_events;
	struct errmsg *m;
};

/* Into the text. */
void drill_put(struct drill_out *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void drill_span(struct drill_out *d, int64_t us);
void drill_begin(struct drill_out *d, int64_t at_us, const char *what); /* an event, as far as its kind */
const char *drill_site(const struct drill_out *d, uint16_t number, char out[LIMIT_NAME_BYTES + 1]);

/* ---- export_drill_links.c ---- */
/* An entry of the time: was its originator reached over others? */
MUST_USE enum err drill_look_around(struct drill_out *d, const struct stream_row *stream, const struct header *h, const struct entry_row *row);
/* After messages and orders: which sites there are is known, and how many events there may be. */
MUST_USE enum err drill_read_links(struct drill_out *d);
void drill_links_free(struct drill_out *d);
void drill_put_network(struct drill_out *d);
void drill_put_links(struct drill_out *d);                         /* their events */
void drill_put_links_head(struct drill_out *d, const char *name);  /* comments: which links, and how far they can be believed */

#endif
