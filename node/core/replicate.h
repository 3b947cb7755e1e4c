/* replicate.h - entries between sites: which streams have something to send to whom, segments out, segments in. Part of core_int.h.
 *
 * A *flow* is a stream on its way to one peer: how far it was sent, how far the peer acknowledged. A flow that has something to send is
 * listed in its lane, FLASH and IMMEDIATE in the urgent one, the others in bulk. At the end of a batch the pump cuts segments off the
 * flows, most urgent precedence first, in it the earliest handling deadline first, as long as the window of the lane has room (window.h). What went
 * stands in the ring of the lane until the peer's frontier shows it. ZeroMQ counts as lossy: what was sent is kept until the
 * peer's journal has it, and everything here may be repeated, lost or cut at any point; a lane that begins anew is rewound to what
 * was acknowledged.
 *
 * A segment that comes is verified (chain, and its originator's signature) before anything of it is kept; then each entry that follows
 * what is held is appended by itself. What goes another way than what is held is kept apart as a branch (copies.c).
 *
 * An entry goes without its body where that is large, and, on a narrow line, where it is longer than a slice (bodies.h).
 *
 *   replicate.c     flows; segments out, the pump
 *   replicate_in.c  segments in
 *   frontiers.c     how far everybody is: digests, frontiers, acknowledgements
 */
#ifndef CORE_REPLICATE_H
#define CORE_REPLICATE_H

#include <stdbool.h>

#include "proto/buf.h"
#include "proto/crypt.h"
#include "proto/entry.h"
#include "proto/stream.h"

struct core;
struct flow;
struct peer;
struct site;
struct stream;

/* By which identity of its originator a stream is signed. */
enum signer { SIGNER_UNKNOWN, SIGNER_NOW, SIGNER_FORMER };

/* ---- replicate.c ------------------------------------------------------------------------------------------------------------- */
uint8_t lane_of(const struct stream *s);
struct flow *flow_of(struct stream *s, const struct peer *p);
void flow_update(struct core *c, struct flow *f);       /* (un)lists it after held, sent, known or helping changed */
void stream_ack(struct core *c, struct stream *s);      /* our frontier goes to all whom it concerns with this commit */
void stream_advanced(struct core *c, struct stream *s); /* held or missing changed: flows, tells */
void replicate_rewind(struct core *c, struct peer *p, uint8_t lane);
/* Appends one frame of at most max bytes, or of one entry, with entries of s after number sent; *last: the last of them. False: none
 * can be given now, out is as it was. after: with the chain before them, for who has nothing of s. Damage met on the way is alarmed, so out may not be one of c->out. */
bool replicate_cut(struct core *c, struct stream *s, uint64_t sent, bool after, size_t max, struct buf *out, uint64_t *last);
/* What went to the peer stands in the ring of its lane until it is acknowledged; flow NULL: a part of a body of that mark. */
void lane_sent(struct core *c, struct peer *p, uint8_t lane, struct flow *f, uint64_t upto, size_t bytes);
/* When the lane has room again for what waits on it, if only time brings that (window_paced). */
struct mono replicate_paced(const struct core *c, const struct peer *p, uint8_t lane);
void replicate_pump(struct core *c);                    /* cut segments for open windows; send acknowledgements */

/* ---- replicate_in.c ---------------------------------------------------------------------------------------------------------- */
/* The time of a message passed so long ago: what is left of it is all there is, since it is never handed out. */
bool entry_expired(const struct core *c, const struct entry *e, int64_t since_us);
/* A body that lies with its entry did not come with it. */
bool entry_left_out(const struct entry *e);
/* Of an entry without its content: is it known that nothing is missing? False for one that has it. */
bool stub_proved(struct core *c, const struct stream *s, const struct entry *e);
void flow_fork(struct core *c, struct flow *f, uint64_t agreed); /* ours is given to the peer, from there on */
/* Is it signed by its originator's identity, or by one of before? As segment_verify; s may be NULL. */
MUST_USE enum err segment_signed(struct core *c, const struct site *o, struct stream *s, const struct hash *stream, const struct hash *before,
				 struct segment *seg, struct hash *after, struct entry *e, enum signer *signer);
/* raw: the frame's bytes after its type, which s was decoded from. after: of a FRAME_SEGMENT_AFTER, else NULL. */
void replicate_segment(struct core *c, struct peer *p, uint8_t lane, struct segment *s, const struct hash *after, struct view raw);
/* A segment out of a courier's bundle that was packed at site from; the same checks, and nobody to count it against. ERR_OK (all of it
 * is here now), ERR_GAP (what comes before it is not), ERR_BUSY (not all of it was taken now: too little room, or too many large
 * bodies still to come), ERR_AUTH, ERR_CONFLICT (another history, kept apart), ERR_NOT_PERMITTED (not for this site to hold),
 * ERR_UNKNOWN_SITE, ERR_TOO_LARGE. */
MUST_USE enum err replicate_apply(struct core *c, uint16_t from, struct segment *s, const struct hash *after, struct view raw);

#endif
