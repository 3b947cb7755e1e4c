/* vectors.h - what sites say of themselves to all: whom they reach, and how far they have streams. Part of core_int.h.
 *
 * A vector (proto/vector.h) is signed by its holder, so it may come by way of any site, or in a courier's bundle. Each site makes one
 * when the set of sites that it reaches has changed for a second, or when it holds entries whose originator it does not reach, or of
 * which others have transit copies. It is given to all neighbours, who pass it on where it tells something new: of one holder the
 * newest vector counts for whom it reaches, and for each stream the newest that names it. While nothing changes none is sent.
 *
 * When a link comes up both ends say which vectors they have, in ten bytes a holder, and give what the other lacks. Those that name
 * streams are kept in the journal, so that an island or a ferry has them after a restart.
 *
 * FRAME_VECTOR: u8 what, then
 *   1 vectors:  (u32 length, vector) each
 *   2 summary:  (u16 holder, 8 bytes of a hash over the runs and versions of its vectors) each */
#ifndef CORE_VECTORS_H
#define CORE_VECTORS_H

#include "node/core/routes.h"
#include "proto/vector.h"

struct core;
struct peer;
struct stream;

#define VECTOR_SLOTS 16 /* of one holder: at so many it says all of it again in one */
struct vector_known {
	uint16_t holder;
	uint8_t slot;              /* where the journal keeps it */
	bool stored;
	struct buf blob;
	struct vector v;           /* points into blob */
	uint32_t *slots, cap;      /* where in v.frontier_bytes a stream stands, by a hash of its name: plus 1, 0 for none; cap: a power of two */
	uint16_t *todo; size_t n_todo; /* neighbours that it is still to be given to */
};
struct vectors {
	bool loaded;               /* from the journal, once */
	struct vector_known **list; size_t n; /* of one holder the newest comes last */
	uint64_t version;          /* of our own latest in this run */
	unsigned links;            /* rises whenever who reaches whom may have changed */
	struct peer **live; size_t n_live; /* whom we reach, rising by site */
	uint16_t *said; size_t n_said; /* whom our latest said that we reach */
	struct mono links_at, vouch_at; /* our own is due: whom we reach changed, streams are to be vouched for */
	struct mono allowed_at;    /* so that they are not made too often */
	struct vector_given { struct vector_known *k; uint16_t site; } *given; size_t n_given; /* in this batch */
	struct vector_known **kept; size_t n_kept; /* stored in this batch */
	bool unkept;               /* what a failed batch had stored is to be stored again */
	struct route_site *routes; unsigned routes_links; bool routes_known; /* by peer, as of links */
};

/* One vector that came from a peer, or (from NULL) out of a bundle. What is not signed by its holder is refused, and counted against
 * the peer; what tells nothing new is passed over. */
void vector_heard(struct core *c, struct peer *from, struct view blob);
/* Appends one of our own, signed, with a version that rises. all: as many streams that we hold something of and that concern us as it
 * has room for, those begun last first; else those that are to be vouched for. */
void vector_ours(struct core *c, bool all, struct buf *out);
/* All that are known here, our own latest ones included: for a bundle. */
void vectors_each(struct core *c, void (*fn)(void *arg, uint16_t holder, struct view blob), void *arg);

void vectors_load(struct core *c);   /* part of mirror_load */
void vectors_drop(struct core *c);
void vectors_roster(struct core *c); /* another roster, or a revocation: what does not count any more goes */
void vectors_undo(struct core *c);   /* the batch failed: what it gave was not sent, what it stored is not there */
void vectors_forget(struct core *c); /* the batch is committed */
void vectors_frame(struct core *c, struct peer *p, struct view raw);
/* Appends a FRAME_VECTOR with one vector; takes those of one that came in a bundle, false when it is malformed or holds none. */
void vectors_one(struct buf *out, struct view blob);
bool vectors_given(struct core *c, struct view raw);
/* Once a batch: own ones made, others passed on. When to look again is in vectors_due. */
void vectors_look(struct core *c);
struct mono vectors_due(const struct core *c);
void vectors_link(struct core *c, struct peer *p); /* the link to it is up: the summary goes */
/* Orders changed: how far we have what others pass on is said again, under those in force now. */
void vectors_orders(struct core *c);
/* We are to say to all how far we have it. */
void vector_vouch(struct core *c, struct stream *s);
/* What was said of a stream is taken up again: it is new here, or grew. */
void vectors_stream(struct core *c, struct stream *s);

/* ---- whom we reach ---- */

/* The link carries data now: the peer welcomed what we dialled, and nothing waits too long for its acknowledgement. */
bool peer_live(const struct peer *p);
/* For two seconds at least it has not. */
bool peer_unreached(const struct core *c, const struct peer *p);
/* Do both say that they reach each other? */
bool vectors_linked(const struct core *c, uint16_t a, uint16_t b);
/* Do both say that they do not? False while one of them has said nothing. */
bool vectors_apart(const struct core *c, uint16_t a, uint16_t b);
/* The neighbour behind which a site lies; NULL when no path is known. *hops may be NULL. */
struct peer *vectors_via(struct core *c, uint16_t site, unsigned *hops);

#endif
