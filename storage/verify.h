/* verify.h - is a journal whole and untampered? Reads every record once, in one snapshot.
 *
 * Checks the hash of every record, each stream's chain from floor to frontier, every signed head (with the caller's
 * function, as storage knows no roster), bodies against their hashes, indexes against entries (positions, places, leases,
 * message rows, grants), counts of queues against places. Names the first thing wrong of each kind, and how many. */
#ifndef STORAGE_VERIFY_H
#define STORAGE_VERIFY_H

#include "storage/store.h"

struct verify_options {
	/* May be NULL (signatures are then not checked and counted as unchecked). With `both` it is called from two threads at once. */
	bool (*verify_head)(void *arg, const struct stream_name *name, const struct head *h);
	/* Called about every 100 000 records; false stops (result.interrupted). Always from the thread that called verify_run. May be NULL. */
	bool (*progress)(void *arg, uint64_t records, uint64_t of);
	/* Calls work(a) in this thread and work(b) in another, and returns when both have ended. False: there is no other thread, and
	 * nothing was called. NULL: one thread does all. */
	bool (*both)(void *arg, void (*work)(void *), void *a, void *b);
	void *arg;
};
#define VERIFY_FINDINGS 17
struct verify_result {
	uint64_t entries, streams, heads, heads_unchecked, bodies, body_bytes, places, messages;
	uint64_t wrong;                       /* how many things are wrong */
	size_t n_findings;                    /* the first of them */
	char finding[VERIFY_FINDINGS][200];
	bool interrupted;
};
/* What is found does not depend on the number of threads. ERR_NOMEM, ERR_IO, ERR_BUSY (a write transaction is open here). */
MUST_USE enum err verify_run(struct store *s, const struct verify_options *o, struct verify_result *out);

#endif
