/* courier.h - bundles: packed in small steps out of the journal, and taken in piece by piece. Part of core_int.h.
 *
 * Who packs is a client that asks for one step after another and writes what it gets to a file; the core remembers how far it is, so
 * that it can sign the whole at the end, and nothing is held up by a bundle of many GiB. Who unpacks has checked the whole file
 * (bundle.h), shows its head and end, whose signature is judged here by the roster and the orders in force, and gives the pieces
 * one by one. Each is taken like a frame of a peer, with the same checks, and each answer says what became of it after the
 * commit. Numbers and chains make it exactly once, however often a bundle comes.
 *
 * A bundle for a site begins, in each stream, at what that site is known to hold, so a later one has everything since: bundles
 * overlap rather than leave a gap. */
#ifndef CORE_COURIER_H
#define CORE_COURIER_H

#include "proto/bundle.h"

struct core;
struct client;
struct request;
struct packing;

/* A bundle that a client gives; nothing of it is remembered but what its head says. */
struct unpacking {
	uint64_t client;
	uint16_t from;               /* who packed it */
	bool committed;              /* the request was: else it goes with its batch when that fails */
};

struct courier {
	struct packing **packings; size_t n_packings;
	struct unpacking *unpackings; size_t n_unpackings;
	struct buf frame, step;      /* reused */
};

void pack_request(struct core *c, struct client *cl, const struct request *rq);   /* REQ_PACK */
void unpack_request(struct core *c, struct client *cl, const struct request *rq); /* REQ_UNPACK */
void pack_committed(struct core *c);
void pack_reload(struct core *c);
void pack_forget_client(struct core *c, uint64_t client);
void pack_drop_last(struct core *c);
void courier_committed(struct core *c);
void courier_reload(struct core *c); /* after a failed commit */
void courier_forget_client(struct core *c, uint64_t client);
void courier_free(struct core *c);

#endif
