/* proxy.h - every connection between the daemons of a live drill passes through here, and meets here what befalls its line.
 *
 * Each site is in a place of its own (netns.h). A bearer of a site is an address, 127.BEARER.SITE, the same for all. Where a
 * link has that bearer the proxy listens, in the place of each end, at the other end's address; what is dialled there it dials on in
 * the other place, from the dialler's address. So a daemon sees addresses and connections as ever, and who is not joined to it refuses.
 *
 *   bytes      come out later by the rate, latency, jitter and loss of link.h (shape.h). Where the kernel keeps the rates (shaper.h) they
 *              are read as they come, unless the way is cut
 *   a cut      one way or both, or a bearer off its schedule: nothing is read and nothing comes out; what was under way waits.
 *              A connection dialled meanwhile is taken, and stays silent
 *   a reset    RST at both ends
 *   a crash    the kernel ends the connections of a process that died; so does the proxy at the other end, when the way passes
 *   no power   neither comes through: the other end sees silence, until it is back
 *
 * One thread; nothing blocks. */
#ifndef SIM_PROXY_H
#define SIM_PROXY_H

#include <netinet/in.h>

#include "proto/err.h"
#include "sim/link.h"

struct proxy;

#define PROXY_PORT 4711

struct proxy_config {
	size_t n_sites, n_links;
	int home;
	const int *places;          /* a site's; borrowed */
	const uint16_t *numbers;    /* a site's in its address; borrowed */
	const struct link *(*link)(void *arg, size_t i); /* as it is now */
	int (*bearer_number)(void *arg, size_t link, size_t bearer); /* of a link's bearer in the whole network, from 0 */
	void *arg;
	uint64_t seed;
	bool shaped;                /* the kernel keeps the rates */
};

struct in_addr proxy_in_addr(int bearer, uint16_t site);
/* "127.B.H.L" of a site's bearer (from 0). */
#define PROXY_ADDRESS_BYTES 32
void proxy_address(int bearer, uint16_t site, char out[PROXY_ADDRESS_BYTES]);

/* Listens everywhere. ERR_IO, ERR_NOMEM; m filled. */
MUST_USE enum err proxy_new(const struct proxy_config *c, struct proxy **out, struct errmsg *m);
void proxy_free(struct proxy *p); /* everything is reset */

int proxy_fd(const struct proxy *p);             /* readable: there is work */
struct mono proxy_next(const struct proxy *p);   /* when something comes out next; MONO_NEVER */
void proxy_work(struct proxy *p, struct mono now);

void proxy_link_changed(struct proxy *p, size_t link);
void proxy_link_reset(struct proxy *p, size_t link);
void proxy_site_dark(struct proxy *p, size_t site, bool dark); /* it has no power */

struct proxy_counts { uint64_t connections, pieces, bytes, stalls, resets; };
const struct proxy_counts *proxy_counts(const struct proxy *p);

#endif
