/* link.h - the way between two sites: its bearers, and the connections that sites dial over them.
 *
 * Each site dials each neighbour twice (urgent and bulk lane); data goes out on what was dialled, acknowledgements come back
 * on it. A connection lies on the best bearer that is up, as TCP does: it keeps its order, never loses a byte in the
 * middle, and shows loss as a stall (a retransmission after 200 ms and more) or as a reset. Connections on one bearer share
 * its rate. A bearer that is cut, in one or both directions, stalls what lies on it; when it stays cut for the world's
 * heartbeat timeout, or the other end's process dies, the connection is reset and all that was in it is gone. Then the next
 * bearer is tried. An idle connection makes no events.
 *
 * What it does is a function of its prng and of the calls; it knows no world. */
#ifndef SIM_LINK_H
#define SIM_LINK_H

#include "proto/frame.h"
#include "proto/instant.h"
#include "proto/limits.h"
#include "sim/prng.h"

struct bearer_config {
	char name[LIMIT_NAME_BYTES + 1]; /* "fibre", "mobile", "satellite" */
	int cost;                        /* lower first; equal: in the order of the list */
	int64_t delay_us;                /* one way */
	int64_t jitter_us;               /* added, 0 .. jitter */
	int64_t rate_bps;                /* 0: no limit */
	int64_t queue_bytes;             /* below the node, each connection and direction; more is dropped. 0: 4 MiB */
	uint32_t loss_ppm;               /* of frames: each is late by a retransmission */
	uint32_t reset_ppm;              /* of frames: each ends its connection */
	bool no_bulk;                    /* the bulk lane may not use it */
	/* A schedule, until the world is healed: up for up_us of each period_us, beginning at phase_us; period 0: always. */
	int64_t period_us, up_us, phase_us;
};

struct link_config {
	uint16_t a, b; /* indexes of sites, a < b */
	size_t n_bearers;
	struct bearer_config bearers[LIMIT_BEARERS];
};

/* Of a link or of a bearer: which way. */
enum link_way { WAY_AB = 1, WAY_BA = 2, WAY_BOTH = 3 };

/* What a drill changes of a bearer; -1: as configured. */
struct bearer_change { int64_t delay_us, jitter_us, rate_bps, queue_bytes, loss_ppm; };

struct bearer_state {
	uint8_t cut;         /* enum link_way bits that a drill or fault has cut */
	bool off_schedule;
	int64_t delay_us, jitter_us, rate_bps, queue_bytes, loss_ppm; /* in force */
};

/* One dialled connection. Of each pair, [0] is from the dialler and [1] back to it. */
enum conn_state { CONN_DOWN, CONN_DIALLING, CONN_UP };
struct conn {
	enum conn_state state;
	uint8_t bearer;              /* in use, or being dialled */
	uint32_t generation;         /* rises when it ends; what is under way under an older one is gone */
	struct mono free_at[2];      /* when the last byte has left */
	struct mono last_at[2];      /* arrival of the last frame, for the order */
	struct mono stalled_since;   /* nothing passes, in one way at least; MONO_NEVER */
};

/* What was queued below a node when it sent a frame, as if all went one after the other at the bearer's rate: what stood before
 * that frame, at most. */
struct queued {
	struct mono free_at;  /* when all of it has left */
	int64_t before_us;
	int64_t before_bytes;
};

struct link {
	struct link_config config;
	struct bearer_state bearer[LIMIT_BEARERS];
	struct conn conn[2][LANE_COUNT]; /* [0]: dialled by a, [1]: by b */
	struct queued queued[2];         /* from a to b, from b to a, on bearers with a rate */
	struct prng prng;
};

void link_init(struct link *l, const struct link_config *config, uint64_t seed, uint64_t index);
/* The index of a bearer by its name; -1 for none. */
int link_bearer(const struct link *l, const char *name);
/* Whether bytes pass on a bearer that way (0: from a to b, 1: from b to a). */
bool link_passes(const struct link *l, size_t bearer, int way);
bool link_passes_both(const struct link *l, size_t bearer);
/* The cheapest bearer for a lane that passes both ways, other than `except` (-1: none excepted) unless there is no other; -1
 * when there is none. */
int link_best(const struct link *l, uint8_t lane, int except);
void link_change(struct link *l, size_t bearer, const struct bearer_change *change); /* NULL: as configured */

/* When a frame of len bytes, sent at `now` on connection (dialler, lane) in direction dir (0: from its dialler), arrives when
 * nothing is cut; keeps the order. MONO_NEVER: it is dropped, since the queue below the node was full, or (*reset) since it
 * ends its connection. *stalled: a retransmission made it late. */
struct mono link_send(struct link *l, int dialler, uint8_t lane, int dir, struct mono now, size_t len, bool *reset, bool *stalled);
/* Latency, jitter and retransmissions of one frame on the bearer as it is now. */
int64_t link_lag_us(struct prng *p, const struct bearer_state *s, bool *stalled);
/* How long retransmissions keep a frame on the bearer as it is now: all but one in a million are sooner. */
int64_t link_stall_us(const struct link *l, size_t bearer);
/* How long it takes from dialling to a connection in use: TCP's round trip, CURVE's two, and its bytes at the bearer's rate. */
int64_t link_handshake_us(struct link *l, size_t bearer);
/* Sets off_schedule of a bearer for now; when it changes next, MONO_NEVER without a schedule. */
struct mono link_schedule(struct link *l, size_t bearer, struct mono now);

#endif
