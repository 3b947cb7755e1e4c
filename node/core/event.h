/* event.h - everything that happens to a node is one of these values. Time comes with it. */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include "node/core/dial.h"
#include "proto/frame.h"
#include "proto/id.h"
#include "proto/instant.h"
#include "proto/limits.h"
#include "proto/view.h"

struct roster;

/* Which end of a connection we are: data goes out on what we dialled, acknowledgements come back on it. */
enum link_side { SIDE_DIALLED = 0, SIDE_ACCEPTED = 1, SIDE_COUNT = 2 };

enum event_type {
	EVENT_START = 1,     /* first event of a run: a new incarnation begins */
	EVENT_TICK,          /* core_deadline was reached (or any time later) */
	EVENT_ROSTER,        /* a newer roster was read and checked; the core takes it over */
	EVENT_LINK_UP,       /* a dialled connection finished its handshake */
	EVENT_LINK_DOWN,     /* a dialled connection is gone */
	EVENT_FRAME,         /* a frame came from an authenticated peer */
	EVENT_CLIENT_OPEN,   /* a client connected to the local socket */
	EVENT_REQUEST,       /* one whole request message of a client */
	EVENT_CLIENT_CLOSED, /* it is gone */
	EVENT_STOP,          /* the node is about to stop in good order: clients are told, nothing new is taken */
	EVENT_ASSIST,        /* another policy of lending was configured */
	EVENT_BEARER,        /* what is known of one of the bearers of a lane that we dial; all of them after EVENT_START and a new roster */
	EVENT_STATE,         /* a dictionary was read from a file; checked by the core */
};

/* What the peer credentials of a client's socket allow it, by the daemon's configuration. */
struct client_rights {
	char name[LIMIT_USER_BYTES + 1];
	bool may_send, may_take, may_operate;
	uint8_t precedence;      /* the most urgent it may send */
	uint32_t flash_per_hour; /* quota on FLASH, 0: none */
};

/* Of `count` bearers that may carry the lane, by cost, the one at `index`. */
struct bearer_news {
	uint16_t peer;
	uint8_t lane, index, count;
	char name[LIMIT_NAME_BYTES + 1];
	int cost;
	int64_t rate_bps;        /* the roster's hint; 0: none */
	enum dial_why why;       /* WHY_UP: nothing speaks against it */
};

struct event {
	enum event_type type;
	struct mono now;
	struct wall wall;
	union {
		struct bearer_news bearer;
		struct { struct roster *roster; } roster; /* owned by the core once the event was applied */
		/* LINK_UP, LINK_DOWN; round_us: a round trip, as the handshake showed, 0: not known */
		struct { uint16_t peer; uint8_t lane; char bearer[LIMIT_NAME_BYTES + 1]; int64_t round_us; } link;
		struct { uint16_t peer; uint8_t lane; uint8_t side; struct view bytes; } frame;
		struct { uint64_t client; struct client_rights rights; } client; /* OPEN, CLOSED (rights unused) */
		struct { uint64_t client; struct view bytes; } request;
		struct { uint8_t kind; struct view bytes; } state; /* enum state_kind */
		struct { int waiting, stop; int64_t oldest_us; } assist; /* as in struct core_config */
	} u;
};

#endif
