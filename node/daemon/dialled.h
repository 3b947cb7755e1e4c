/* dialled.h - one connection that we dialled: a peer, a lane, and the bearers that reach it, one in use.
 *
 *   CLOSED --open--> DIALLING --handshake--> UP --connection lost--> DIALLING (ZeroMQ dials again itself)
 *   any --refused or reset--> CLOSED, opened again when its pause is over
 *
 * A refused handshake closes the socket, since libzmq may never try again by itself; the pause doubles up to half a
 * minute. DIALLING for longer than the bearer's patience goes on with the peer's next bearer. While a dearer bearer is in
 * use, the best one is tried now and then with a bare TCP connection. */
#ifndef NODE_DAEMON_DIALLED_H
#define NODE_DAEMON_DIALLED_H

#include "node/daemon/inbox.h"
#include "node/daemon/poller.h"
#include "node/daemon/wire.h"
#include "proto/roster.h"

enum dial_state { DIAL_CLOSED, DIAL_DIALLING, DIAL_UP };

/* What all connections share. */
struct dial_shared {
	struct wire wire;
	struct poller *poller;
	struct inbox *inbox;
	uint64_t serial;            /* of the last monitor */
	uint64_t dropped_inbox_full, dropped_malformed, dropped_no_link, dropped_blocked;
	struct dialled *again;      /* those that must be looked at once more in this round */
};

struct dialled {
	struct dial_shared *shared;
	uint16_t peer;
	char peer_id[LIMIT_NAME_BYTES + 1];
	struct link_public key;
	uint8_t lane;
	enum dial_state state;
	size_t n_bearers, bearer;   /* by rising cost; the one in use */
	struct bearer bearers[LIMIT_BEARERS];
	void *socket, *monitor;
	struct watch socket_watch, monitor_watch;
	struct mono since;          /* of the state, or when to open again when CLOSED */
	int64_t pause_us;
	int probe;                  /* a TCP connection to the best bearer under way, or -1 */
	struct mono probe_at;
	bool queued;                /* in shared->again */
	struct dialled *next;
};

/* Closed, to be opened by the next dialled_tick. */
void dialled_init(struct dialled *d, struct dial_shared *shared, const struct site *peer, uint8_t lane);
/* Closes; says LINK_DOWN when it was up. */
void dialled_release(struct dialled *d);
/* What the roster says now: true when the connection must be dialled anew for it. */
bool dialled_differs(const struct dialled *d, const struct site *peer);
/* Drops the connection, which carries nothing any more, and dials again at once, over the next bearer. */
void dialled_reset(struct dialled *d);
/* Opens what is due, changes bearers. At least once a second. */
void dialled_tick(struct dialled *d, struct mono now);
/* Sends or drops (counted): what is lost is sent again by the protocol. */
void dialled_send(struct dialled *d, struct view frame);
/* Reads what there is, up to a budget; queues itself when there may be more. */
void dialled_drain(struct dialled *d);

#endif
