/* transport.h - the links of a node: one ROUTER for who dials us, and for each peer and lane one DEALER that we dial.
 *
 * ZeroMQ counts as lossy: every frame may be dropped, and the core sends again what a peer's journal does not have.
 * Nothing here waits. All of it belongs to the network thread. */
#ifndef NODE_DAEMON_TRANSPORT_H
#define NODE_DAEMON_TRANSPORT_H

#include "node/core/effect.h"
#include "node/daemon/config.h"
#include "node/daemon/inbox.h"
#include "node/daemon/poller.h"

struct transport;

struct transport_config {
	const struct config *config;     /* all borrowed while the transport lives */
	const struct site_keys *keys;
	const struct roster *roster;     /* exchanged by transport_roster */
	uint16_t self;
	struct poller *poller;
	struct inbox *inbox;
};

/* Tests that strangers are refused, listens, and begins to dial. m names what failed. */
MUST_USE enum err transport_open(const struct transport_config *c, struct transport **out, struct errmsg *m);
/* linger_ms: how long frames that were sent last may still take. NULL is fine. */
void transport_close(struct transport *t, int linger_ms);

/* A newer roster: admits its keys only, dials anew what changed, drops who is gone. */
void transport_roster(struct transport *t, const struct roster *roster);
void transport_send(struct transport *t, uint16_t peer, uint8_t lane, uint8_t side, struct view frame);
/* LINK_RESET, LINK_NEED, LINK_RETRY. */
void transport_said(struct transport *t, const struct effect *f);
/* After a round of sendings and readings: what must be looked at once more. True when there may still be more. */
bool transport_settle(struct transport *t);
/* At least once a second, and when it is due. Also says once a minute what was dropped. */
void transport_tick(struct transport *t);
struct mono transport_due(const struct transport *t);

#endif
