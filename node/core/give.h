/* give.h - orders given here, shared by the files that read a request, judge it, and show what it would do. Inside of node/core only. */
#ifndef CORE_GIVE_H
#define CORE_GIVE_H

#include "node/core/show_int.h"

/* What a REQ_ORDER asks for. */
struct asked {
	struct order order;
	bool dry;
};
/* Reads names and shares; predecessor, epoch and what else follows from the orders known here is filled too. m filled. */
MUST_USE enum err give_read(struct core *c, struct view fields, struct asked *out, struct errmsg *m);
/* Does that order leave anything of its site to another site? */
bool order_moves(const struct order *o);
/* Different votes that make it valid: 0 when its issuer's word is enough, else the roster's quorum. */
unsigned order_needs(const struct core *c, const struct order *o);
/* Its successors (without the site itself, each once), as "cic-namen, cic-vlaams-brabant". */
void successors_text(const struct core *c, const struct order *o, char *out, size_t size);
size_t successors(const struct order *o, uint16_t out[LIMIT_ASSIGNMENTS]);
/* How many entries of the streams to the order's site are shown by others, whom it does not waive, and are not here yet. */
uint64_t entries_to_come(const struct core *c, const struct order *o);
/* Is this site, which is handed back, still behind? note says what it waits for. */
bool give_behind(struct core *c, const struct order *o, char *note, size_t size);
/* The rows of a dry run. */
void give_dry(struct rows *r, const struct order *o);

#endif
