/* routes.h - the shortest live path to a site, from what sites say whom they reach. Pure: no core, no time.
 *
 * A link between two other sites counts when both list it; one of ours when it lives here. Of two paths with as many links the one
 * over the cheaper first link is taken, then the one over the lower site number, so that every run finds the same. */
#ifndef CORE_ROUTES_H
#define CORE_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/view.h"

struct route_site {
	uint16_t site;
	struct view peers;   /* u16 each, big-endian: whom it says it reaches; empty when nothing was heard of it */
	bool near;           /* our own link to it lives */
	int cost;            /* of that link: lower is better */
	uint16_t via;        /* out: the neighbour behind which it lies, itself for a neighbour; 0 when no path is known */
	uint16_t hops;       /* out: links on the way, 0 when no path is known */
};

/* sites: all others, rising by number. Fills via and hops. False when out of memory: no path is known then. */
bool routes_find(struct route_site *sites, size_t n);
/* Does a list of peers name that site? */
bool routes_lists(struct view peers, uint16_t site);

#endif
