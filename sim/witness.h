/* witness.h - reads what nodes hear, say and store, and tells the oracle the facts.
 *
 * It reads requests, replies, frames and entries itself and believes nothing else; it knows no world (watch.h connects the
 * two), so a unit test can call it too:
 *
 *     witness_start(w, site, store, &incarnation)           a run began
 *     witness_step(w, site, store, events, n, &effects)     a batch was applied and committed; its effects may yet not leave
 *     witness_reply(w, site, client, bytes)                 whole replies reached a client
 *     witness_stop(w, site)                                 the run ended, in whatever way
 *     witness_journal_replaced(w, site, restored)           while it was down
 *     witness_final(w, site, store, now)                    at the end, for each journal there is
 *
 * Sites are roster numbers. It reads the store in read transactions of its own.
 *
 * Real daemons show no steps (witness_beside): their clients' requests are told as they are sent (witness_asked), and all
 * journals are read beside them (witness_look) after replies have come and before they are told. So an entry is seen in
 * its originator's journal first, and an answer after what it rests on. What cannot be seen so is not judged: the order in which
 * a queue is handed out, and frontiers on the wire. */
#ifndef SIM_WITNESS_H
#define SIM_WITNESS_H

#include "node/core/core.h"
#include "sim/oracle.h"

struct witness;

struct witness *witness_new(struct oracle *o, const struct roster *roster); /* roster borrowed; both outlive it */
void witness_free(struct witness *w);
void witness_roster(struct witness *w, const struct roster *roster);

/* Compares what the journal holds with what it held before. */
void witness_start(struct witness *w, uint16_t site, struct store *store, const struct incarnation *incarnation);
void witness_step(struct witness *w, uint16_t site, struct store *store, const struct event *events, size_t n, const struct effects *out);
void witness_reply(struct witness *w, uint16_t site, uint64_t client, struct view bytes);
void witness_stop(struct witness *w, uint16_t site);
void witness_journal_replaced(struct witness *w, uint16_t site, bool restored);
/* From now on. */
void witness_beside(struct witness *w);
void witness_asked(struct witness *w, uint16_t site, uint64_t client, struct view bytes); /* no bytes: it hangs up */
struct beside { uint16_t site; struct store *store; }; /* store NULL: not to be read now */
void witness_look(struct witness *w, const struct beside *all, size_t n);
/* A bit of the journal was flipped. */
void witness_damaged(struct witness *w, uint16_t site);
/* At the end, at the true time now: first witness_final for every site, then witness_receipts. */
void witness_final(struct witness *w, uint16_t site, struct store *store, struct wall now);
void witness_receipts(struct witness *w, uint16_t site, struct store *store);

#endif
