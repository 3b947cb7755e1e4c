/* witness_int.h - the witness's memory; only sim/witness*.c includes it. */
#ifndef SIM_WITNESS_INT_H
#define SIM_WITNESS_INT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/cursor.h"
#include "sim/witness.h"

/* What was read of a journal so far. */
struct journal {
	uint16_t site;
	bool fresh;                  /* replaced: read anew from the first entry */
	bool retired;                /* some of it is done with and gone: seen at its last start */
	bool damaged;                /* a bit was flipped in it */
	bool retires;                /* it has floors: entries may be gone */
	struct store_changes looked; /* when it was looked at last */
	bool entries_due, floors_due; /* they are read at the next look, changed or not */
	size_t n_damaged;            /* records that its node has found damaged */
	uint64_t seen;               /* arrival number */
	uint64_t seen_own, until;    /* beside a daemon: of its own streams; how far this look goes */
	size_t n_streams, cap_streams;
	struct stream_name *streams; /* by local number */
	size_t n_coming, cap_coming;
	uint64_t *coming;            /* arrival numbers of messages for this site whose body still comes */
};

/* A request that was not answered yet. */
struct asked {
	struct asked *next;
	uint16_t site;
	uint8_t type;
	uint32_t tag;
	uint64_t client;
	struct submission sub;       /* SUBMIT */
	uint16_t *sites;             /* of sub */
	struct hasher *hasher;
	uint64_t got;
	bool submitted;
	uint32_t submission;         /* number at the oracle */
	struct msgid id;             /* READ */
	uint32_t index;
	size_t n_ids;
	struct msgid *ids;           /* ACK, REFUSE, RETURN, CANCEL */
	bool hung_up;                /* beside a daemon: it may come to be all the same */
};
/* A body that a desk reads in parts. */
struct part_read {
	struct part_read *next;
	uint16_t site;
	uint64_t client;
	struct msgid id;
	uint32_t index;
	struct hasher *hasher;
};

#define ASKED_SLOTS 4096
struct witness {
	struct oracle *oracle;
	const struct roster *roster;
	bool beside;
	uint32_t at[65536];          /* of a journal, by roster number, plus 1 */
	size_t n_journals, cap_journals;
	struct journal *journals;
	struct asked *asked[ASKED_SLOTS];
	struct part_read *reads;
	struct named *named;         /* every stream of any journal, by the first bytes of its hash: witness_named.c */
	size_t n_named, cap_named;
	struct address address;      /* scratch */
};

/* ---- witness_named.c: acknowledgements name a stream by the first bytes of its hash ---- */
void named_add(struct witness *w, const struct stream_name *name);
const struct stream_name *named_find(const struct witness *w, const uint8_t by[ACK_HASH_BYTES]); /* NULL: no journal has such a stream */

/* Does this request end messages, or cancel them? */
static inline bool asked_ends(uint8_t type) { return type == REQ_ACK || type == REQ_REFUSE || type == REQ_CANCEL; }
const char *witness_name(const struct witness *w, uint16_t site);
/* ---- witness_talk.c: requests and replies, frames ---- */
void talk_event(struct witness *w, uint16_t site, const struct event *ev);
/* wall: the site's own clock */
void talk_effect(struct witness *w, uint16_t site, struct wall wall, const struct effects *all, const struct effect *f);
void talk_forget_site(struct witness *w, uint16_t site);
/* Calls fn for each request of the site that ends messages; those that have hung up are dropped where it returns true. */
void talk_each_ending(struct witness *w, uint16_t site, bool (*fn)(void *arg, const struct asked *a), void *arg);
void talk_free(struct witness *w);

#endif
