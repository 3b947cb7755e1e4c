/* export_links.h - what a journal says of its site's links in a time: when which bearer to whom was down, and when the node itself did not run.
 * For a drill (export_drill.c). */
#ifndef NODE_CLI_EXPORT_LINKS_H
#define NODE_CLI_EXPORT_LINKS_H

#include "node/cli/export.h"

/* A bearer of the drill: of the site itself, of the others that the drill names, and those over which a change was noted. */
struct link_bearer {
	char name[LIMIT_NAME_BYTES + 1];
	int64_t rtt_us, rate_bps; /* the shortest round trip that was measured, the roster's hint; 0: not known */
	int cost;
	bool bulk;
};
/* Down from one time to the other, clipped to the time that was asked for. */
struct link_span {
	uint16_t peer;            /* 0: the node itself did not run */
	uint8_t bearer;           /* in links.bearers */
	int64_t from_us, to_us;   /* INT64_MAX: beyond the end */
};
struct links {
	struct link_bearer bearers[LIMIT_BEARERS];
	size_t n_bearers;
	uint8_t *sites;           /* of each site number the bearers that lead to it, bits of bearers */
	uint8_t *tried;           /* those of them that were tried from here, as far as was noted in the time, or is known of its beginning */
	struct link_span *spans; size_t n, cap; /* by time, of at least a second each */
	struct wall since;        /* when the first change was noted that the journal still has; 0: none was */
	/* What is left out: times of less than a second; changes of sites that are not wanted, and over a ninth bearer; rows that cannot be read. */
	uint64_t brief, others, no_room, damaged;
};
/* A site of which no bearer was up while others were reached, and of which nothing came over those: nobody reached it, as far as can be known here. */
struct link_alone { uint16_t site; int64_t from_us, to_us; /* INT64_MAX: beyond the end */ };
/* What a site sent at a time and came here at a time, from another site than itself. */
struct link_around { uint16_t site; int64_t sent_us, came_us; };
/* Of the spans of l; they are in the order of their ends. *out is freed by the caller. */
MUST_USE enum err links_alone(const struct links *l, const bool *wanted, uint16_t self, const struct link_around *around, size_t n_around,
                              struct link_alone **out, size_t *n);

/* wanted: by site number. most: so many spans at most (ERR_TOO_LARGE). m filled. */
MUST_USE enum err links_read(const struct source *s, const bool *wanted, struct wall from, struct wall to, size_t most, struct links *out, struct errmsg *m);
void links_release(struct links *l);

#endif
