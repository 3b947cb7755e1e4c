/* accepted.h - the connections that peers dialled: one ROUTER for all of them.
 *
 * A connection is known by its routing id, and belongs to (peer, lane) from its HELLO on: the peer by the link key that
 * CURVE proved (User-Id), the lane by the HELLO, whose site must be that peer's. Before it, frames are dropped and
 * counted. The last HELLO of (peer, lane) wins, since a peer that dials anew has lost its older connection. The key is
 * checked against the roster at each message, as connections survive the roster that admitted them. */
#ifndef NODE_DAEMON_ACCEPTED_H
#define NODE_DAEMON_ACCEPTED_H

#include "node/daemon/inbox.h"
#include "node/daemon/poller.h"
#include "node/daemon/wire.h"
#include "proto/roster.h"

struct route {
	uint32_t id;      /* of the ROUTER's connection */
	uint16_t peer;
	uint8_t lane;
	char key[41];     /* the User-Id that its HELLO came with */
};

struct accepted {
	void *socket;
	struct watch watch;
	struct inbox *inbox;
	const struct roster *roster;    /* borrowed; exchanged by accepted_roster */
	uint16_t self;
	size_t n_routes, cap_routes;
	struct route *routes;           /* by rising id */
	size_t n_bound;
	char bound[LIMIT_BEARERS][LIMIT_ENDPOINT_BYTES + 1];
	bool again;                     /* there may be more to read in this round */
	uint64_t dropped_inbox_full, dropped_malformed, dropped_no_hello, dropped_no_link, dropped_blocked;
};

/* Binds what the configuration says, or else the roster. ERR_IO names the endpoint. */
MUST_USE enum err accepted_open(struct accepted *a, const struct wire *w, struct poller *poller, struct inbox *inbox,
                                const struct roster *roster, uint16_t self, struct errmsg *m);
void accepted_close(struct accepted *a, struct poller *poller);
/* Takes over a new roster: forgets who is no longer in it, binds anew where our own endpoints changed. */
void accepted_roster(struct accepted *a, const struct config *c, const struct roster *roster);
/* Sends on the current connection of (peer, lane) or drops, counted. */
void accepted_send(struct accepted *a, uint16_t peer, uint8_t lane, struct view frame);
void accepted_drain(struct accepted *a);

#endif
