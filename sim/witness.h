/* witness.h - watches nodes at work and tells the oracle the facts.
 *
 * It sees what goes into a core (events), what comes out of it (effects), and what its journal holds after each commit; it
 * reads requests, replies, frames and entries itself and believes nothing else. The world calls it at four places:
 *
 *     witness_start(w, site, store, &incarnation)        after the first step of a run (EVENT_START was applied)
 *     witness_event(w, site, &ev)                        for each event of a batch, before core_apply
 *     witness_step(w, site, store, &effects)             after core_apply returned ERR_OK, before effects are performed
 *     witness_stop(w, site)                              when a node ends in whatever way; replies not yet seen are void
 *
 * and, at the end, witness_final(w, site, store) for each site whose journal exists. Events and effects of a core that then
 * failed (core_apply other than ERR_OK) are not told with witness_step; witness_stop clears what was begun.
 * It only reads the store, in read transactions of its own. */
#ifndef SIM_WITNESS_H
#define SIM_WITNESS_H

#include "node/core/core.h"
#include "sim/oracle.h"

struct witness;

struct witness *witness_new(struct oracle *o, const struct roster *roster); /* roster borrowed; both outlive it */
void witness_free(struct witness *w);
void witness_roster(struct witness *w, const struct roster *roster);

/* A node began a run. Compares what its journal holds with what it held before. */
void witness_start(struct witness *w, uint16_t site, struct store *store, const struct incarnation *incarnation);
void witness_event(struct witness *w, uint16_t site, const struct event *ev);
void witness_step(struct witness *w, uint16_t site, struct store *store, const struct effects *out);
void witness_stop(struct witness *w, uint16_t site);
/* The journal was lost, or an old one restored, while the node was down. */
void witness_journal_replaced(struct witness *w, uint16_t site, bool restored);
void witness_final(struct witness *w, uint16_t site, struct store *store);

#endif
