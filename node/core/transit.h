/* transit.h - entries on their way over sites that they do not concern. Part of core_int.h.
 *
 * Namen has a message for Luik, and their link is cut. For two seconds Namen waits. Then it looks for a path (vectors.h): Leuven
 * reaches Luik, so Leuven is asked what it has of the stream (FRAME_FRONTIERS with `complete` FRONTIERS_ASK), says "nothing", and is
 * given the entries, though the stream does not concern it: a transit copy, verified like any entry, opened by nobody, in no queue.
 * Leuven asks Luik in the same way, and gives. Luik says in a vector how far it is, which comes back to Namen over Leuven: held. Where
 * no path is known every live neighbour is asked, and they ask theirs, so that whoever meets Luik first has it.
 *
 * Who is asked by several answers one at a time, so nothing is given twice. Who has nothing of a stream begins where every custodian
 * is that has to be (the base), not at number 1: FRAME_SEGMENT_AFTER carries the chain hash before its first entry, which the
 * originator's signature over the segment proves.
 *
 * A copy is done with when all custodians have it, or all who serve the addressee's queues and two custodians at least. The row of the
 * stream stays, so that nobody gives it again. */
#ifndef CORE_TRANSIT_H
#define CORE_TRANSIT_H

#include "proto/vector.h"

struct core;
struct flow;
struct peer;
struct stream;

struct transit {
	uint32_t *due; size_t n_due;      /* streams to be looked at, by local number */
	bool all; struct mono all_at;     /* all of them, not before */
	bool anew;                        /* a kept copy begins anew with the next batch: kept.h */
	struct mono at;                   /* when something has to be looked at again */
	struct transit_frontier { uint32_t stream; uint16_t site; } *asks; size_t n_asks; /* of this batch */
	struct transit_answer { uint16_t site; struct stream_name name; } *answers; size_t n_answers;
	struct transit_pull { struct hash stream; uint16_t from; struct mono at; uint64_t held; } *pulls; size_t n_pulls; /* who gives us what */
};

/* Something about it changed: it is looked at before the commit. */
void transit_due(struct core *c, struct stream *s);
void transit_advanced(struct core *c, struct stream *s); /* held or what is whole of it changed */
void transit_guests(struct core *c, struct stream *s);   /* somebody passes it on: how far we are is to be known, for a while */
/* It is linked by a bearer for urgent traffic alone: what it lacks of the stream does not go there. */
bool transit_cramped(const struct stream *s, const struct peer *p);
bool transit_has_guests(const struct core *c, const struct stream *s);
void transit_all(struct core *c);                       /* paths, links or custodians changed */
void transit_live(struct core *c, struct peer *p);      /* p->live changed */
void transit_look(struct core *c);                      /* once a batch */
struct mono transit_next(const struct core *c);
void transit_drop(struct core *c);
void transit_undo(struct core *c);
/* A new run of the peer: what it held of what passes through is asked anew. */
void transit_forget(struct core *c, struct peer *p);
/* The peer holds these, gives them where we lack them, and wants to hear how far we are. */
void transit_asked(struct core *c, struct peer *p, struct view frontiers);
/* May a stream that does not concern us be held for others? */
bool transit_accepts(struct core *c, const struct stream_name *n);
/* A stream that we pass on begins behind `number`, of which nothing is held. False when something is. */
bool transit_begin(struct core *c, struct stream *s, uint64_t number, const struct hash *chain);
/* One came that does not concern us: a trace finds it, nobody opens it. */
struct entry_row;
struct header;
void transit_entry(struct core *c, struct stream *s, const struct entry_row *row, const struct header *h);
/* A body that no entry refers to any more: for store_stream_retire and store_stream_empty; arg: the core. */
struct body_row;
void transit_unused(void *arg, const struct body_row *body);
/* Where what is sent to that flow begins again after a loss. */
uint64_t transit_from(const struct flow *f);

#endif
