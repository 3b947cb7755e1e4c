/* past.h - what a journal held at a moment, as a journal of its own beside it.
 *
 * Only what stands for itself is copied: entries that had come by then, state, keys that were handed on, names of queues and streams. Places,
 * leases, message rows and orders in force follow from these; the node's core makes them as after a remake (META_REBUILDING), and then
 * answers for that moment with the same code as for the present. Bodies stay behind, but for grants: no answer needs them.
 *
 * Entries are kept in order of arrival, so what had come at a moment is all up to one arrival number: that of the last entry that was
 * stored at that time or before. So a clock that was set back never shows a state that never was. */
#ifndef STORAGE_PAST_H
#define STORAGE_PAST_H

#include "storage/store.h"

struct past_result {
	uint64_t arrival;       /* the last entry of then; 0: there was none */
	uint64_t entries;       /* copied */
	struct wall first, last;/* when the first entry that the journal still has was stored, and the last one of then */
	uint64_t retired;       /* entries that have gone since, or before, below the floors of their streams; of then or later */
	uint64_t stubs;         /* messages of then whose envelopes have gone since: no queue is known of them */
	uint64_t damaged;       /* entries that cannot be read */
	uint64_t undated;       /* state objects whose coming was not noted: their own times were taken, and that of a roster is not known */
	uint64_t later;         /* entries of then that were stored later than the time asked for, as the clock said: it was set back */
};
/* Fills `to`, which is empty, with what `from` held at that time. progress may be NULL; false from it ends the work with ERR_CLOSED.
 * ERR_NOT_FOUND: the journal's first entry, or its birth, is later. Those of reading and writing; m filled. */
MUST_USE enum err store_past(struct store *from, struct wall at, struct store *to, bool (*progress)(void *arg, uint64_t done, uint64_t of), void *arg,
                             struct past_result *out, struct errmsg *m);

#endif
