/* dialled.h - one connection that we dial: a peer, a lane, and the bearers that reach it.
 *
 * Which bearer, and when, says the machine in node/core/dial.h; this file does it with ZeroMQ. A *call* is one try: a DEALER and its
 * monitor, made anew for each, since libzmq's own reconnection would neither change bearers nor spread out. Two calls may live
 * at once: that of the main slot, which carries frames, and that of the spare slot, over which none go until it becomes the main one.
 * A call whose host is a name without an address yet fails at once; the resolver says when there is one. */
#ifndef NODE_DAEMON_DIALLED_H
#define NODE_DAEMON_DIALLED_H

#include "node/core/dial.h"
#include "node/daemon/inbox.h"
#include "node/daemon/poller.h"
#include "node/daemon/resolver.h"
#include "node/daemon/wire.h"
#include "proto/roster.h"

/* What all connections share. */
struct dial_shared {
	struct wire wire;
	struct poller *poller;
	struct inbox *inbox;
	struct resolver *resolver;
	struct mono due;            /* when the first of them has something to do */
	uint64_t serial;            /* of the last monitor */
	uint64_t random;            /* of the seeds of the machines */
	uint64_t dropped_inbox_full, dropped_malformed, dropped_no_link, dropped_blocked;
	struct dialled *again;      /* those that must be looked at once more in this round */
};

struct dialled;
struct call {
	struct dialled *of;
	uint32_t serial;            /* of the try, as the machine counts them; 0: none */
	void *socket, *monitor;
	struct watch socket_watch, monitor_watch;
};

struct dialled {
	struct dial_shared *shared;
	uint16_t peer;
	char peer_id[LIMIT_NAME_BYTES + 1];
	struct link_public key;
	uint8_t lane;
	struct dial dial;
	struct bearer bearers[LIMIT_BEARERS]; /* by rising cost, as many as the machine has */
	char address[LIMIT_BEARERS][LIMIT_ENDPOINT_BYTES + 1]; /* as dialled last */
	struct call call[DIAL_SLOTS];
	uint8_t at[DIAL_SLOTS];     /* slot -> call */
	bool up;                    /* the core was told so */
	uint8_t up_bearer;
	bool settling;
	bool refusal_said;
	bool queued;                /* in shared->again */
	struct dialled *next;
};

/* Nothing is opened before the next dialled_tick. */
void dialled_init(struct dialled *d, struct dial_shared *shared, const struct site *peer, uint8_t lane);
/* Closes; says LINK_DOWN when it was up. */
void dialled_release(struct dialled *d);
/* What the roster says now: bearers that are as they were keep what is known of them, and their connections. A peer with another key is
 * dialled anew. */
void dialled_change(struct dialled *d, const struct site *peer);
/* Nothing came over it: another bearer, or the same one anew. */
void dialled_silent(struct dialled *d);
/* The conversation begins anew. */
void dialled_anew(struct dialled *d);
void dialled_need(struct dialled *d, enum dial_need need);
void dialled_retry(struct dialled *d);
/* The host has an address now, or another one. */
void dialled_address(struct dialled *d, const char *host);
/* Does what is due; shared->due is then no later than the next thing. */
void dialled_tick(struct dialled *d, struct mono now);
/* Sends or drops (counted): what is lost is sent again by the protocol. */
void dialled_send(struct dialled *d, struct view frame);
/* Reads what there is, up to a budget; queues itself when there may be more. */
void dialled_drain(struct dialled *d);
void dialled_linger(struct dialled *d, int linger_ms);

#endif
