/* window.h - how much may be in the air to a peer: as much as its bearer carries in a round trip and a moment more.
 *
 * What lies below the node (kernel, modem, air) cannot be overtaken, so it is kept short: less than a second's worth at any
 * rate, or one frame of FRAME_LEAST bytes. What is in the air is measured: everything that is acknowledged carries an `in_air`,
 * made when it left, which says when that was and how much had been acknowledged then; the difference is the rate, and what the
 * round trip is longer than the shortest one is what was queued. Both lanes of a peer share the measure while they lie on the
 * same bearer. Each acknowledgement sets the window to
 *
 *      rate x (shortest round trip + QUEUE)
 *
 * or lets it grow by at most half, while nothing queues: a bearer of which nothing is known begins with one small frame (or the
 * rate that the roster hints at) and is filled within a few round trips. Slower counts at once, faster by and by.
 *
 * On a long way (a satellite) a round trip is long against what may be queued, and that would be too blunt. There the *train* counts too,
 * the rate at which acknowledgements follow each other over a tenth of a second or so. Where that is much higher than what came in a
 * whole round trip the way was empty in between: a frame that came back late was only long, and the window may grow to what the train
 * shows. So a line is soon filled, and again after a peer's disk or the line itself stood still for seconds. And a window of more
 * than a second's worth is not sent at once: what leaves is bounded by a *bucket* of PACED, filled at half as much again as the rate, and for
 * urgent entries by a tenth of a second more; window_paced says when it has something again. It is full when a bearer is dialled again, and
 * when nothing left for some seconds: what left when the bearer was taken to be faster never keeps it from going on.
 *
 * Bulk leaves room: it sends only while no urgent entry waits for room on the same bearer, and never into the part of the window
 * that is kept for urgent. Whoever sends on a lane what is acknowledged (segments: replicate.c, parts of bodies: bodies.c)
 *
 *      asks     window_room: so many bytes may go now (0 or less: wait; room comes with an acknowledgement, and everything
 *               that sends is asked again in replicate_pump at the end of that batch),
 *      cuts     no frame longer than window_piece, as far as what it sends can be cut,
 *      tells    window_sent when it went, and keeps what that returns,
 *      tells    window_acked when the peer showed that it has it.
 *
 * What was sent before a lane was rewound (a time-out, a connection that ended) is not in the air any more: window_acked knows
 * that by itself. Acknowledged or not, nothing has to be told of it again. */
#ifndef CORE_WINDOW_H
#define CORE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/instant.h"
#include "proto/limits.h"

struct core;
struct peer;

/* A frame of that size may always go when nothing else is in the air. */
#define FRAME_LEAST 1024

/* One thing in the air. */
struct in_air {
	struct mono at;
	uint32_t bytes;
	uint32_t flight;         /* of the bearer, with this */
	uint32_t rewound;        /* of its lane when it left */
	bool full;               /* no other like it had room: only then the pace says something of the bearer */
	int64_t acked;           /* bytes acknowledged on the bearer before it left */
	struct mono acked_at;    /* and when the last of them were, or when it began to be used again */
};

/* A bearer to a peer, as far as it is known. */
struct pace {
	int64_t rate_bps;        /* 0: not known */
	bool filled;             /* the rate was measured with the window full: the bearer carries no more */
	int64_t best_bps[2];     /* of the present span and of the one before */
	struct mono span_from;
	int64_t base_us;         /* round trip with nothing queued; 0: not known */
	int64_t least_us[2];     /* of the present span of those that can say it, and of the one before */
	struct mono base_from;
	int64_t window;          /* bytes, of both lanes */
	int64_t acked;           /* bytes, ever */
	struct mono acked_at;
	int64_t newly;           /* acknowledged in this batch */
	struct mono train_from;  /* of the span under way */
	int64_t train_bytes;
	int64_t train_bps;       /* of the last whole one */
	int64_t bucket;          /* bytes that may leave now; on a long way only */
	struct mono bucket_at;
	struct in_air newest;      /* of what was acknowledged in this batch */
};

/* Bytes that may go on the lane now. */
int64_t window_room(const struct core *c, const struct peer *p, uint8_t lane);
/* Of these, what slices of bodies may take: in the urgent lane the rest is for short frames. */
int64_t window_room_slices(const struct core *c, const struct peer *p, uint8_t lane);
/* When there is room that is not there for what left just now; MONO_NEVER: an acknowledgement brings it. */
struct mono window_paced(const struct core *c, const struct peer *p, uint8_t lane);
/* A frame that cannot be cut to the room there is may go all the same when nothing is in the air (an urgent one: nothing urgent). */
bool window_idle(const struct peer *p, uint8_t lane);
/* How long a frame should be at most: a tenth of a second's worth, FRAME_LEAST .. LIMIT_SEGMENT_BYTES. */
size_t window_piece(const struct peer *p, uint8_t lane);
/* A sealed body up to so long goes with its entry in one frame, a longer one follows it in slices, which costs a round trip more. In the
 * urgent lane that is half a second's worth, or a body of 1 KiB at any rate; in bulk a piece, or 1 KiB with its seal. */
size_t window_whole(const struct peer *p, uint8_t lane);
int64_t window_bytes(const struct peer *p); /* of the bearer of the urgent lane, to be shown */
struct in_air window_sent(struct core *c, struct peer *p, uint8_t lane, size_t bytes);
void window_acked(struct core *c, struct peer *p, uint8_t lane, const struct in_air *s);
/* Nothing of the lane is in the air any more. */
void window_rewind(struct peer *p, uint8_t lane);
/* What was in the air did not come back in time. */
void window_lost(struct core *c, struct peer *p, uint8_t lane);
/* ... so often that its connection is given up. A peer that goes on like that is alarmed: what is in the air to it is bounded, and
 * nobody else waits for it. */
void window_given_up(struct core *c, struct peer *p, uint8_t lane);
void window_answers(struct core *c, struct peer *p, uint8_t lane); /* it acknowledged something, or nothing is due and it answers */
/* The lane is dialled over that bearer: what the other lane or the last connection over it measured holds, else it begins anew. */
void window_dialled(struct core *c, struct peer *p, uint8_t lane, const char *bearer);
/* A round trip of something small (a hello, a probe) on the urgent lane. */
void window_round_trip(struct core *c, struct peer *p, uint8_t lane, int64_t us);
/* Once a batch, before more is sent: the acknowledgements of the batch set the windows of the peer. */
void window_measure(struct core *c, struct peer *p);
/* How long what is in the air needs at half the measured pace (of a bearer of which nothing is known: at 9 600 bit/s). */
int64_t window_time_us(const struct peer *p, uint8_t lane);

#endif
