/* remake.h - a journal made anew beside an old one, from what of it can be read, and put in its place in one step.
 *
 * What stands for itself is copied: entries, bodies, heads, names of streams and queues, state, idempotency keys, alarms. What follows
 * from that is left behind and made anew: positions, grants, what is missing, references to bodies, the rows of streams here; places,
 * leases, message rows and what expires by the node's core at its next start, which opens the entries again (they need its keys) and
 * hands nothing out before that is done. Nothing is changed in the old journal; it stays beside the new one. */
#ifndef STORAGE_REMAKE_H
#define STORAGE_REMAKE_H

#include "storage/store.h"

struct remake_options {
	struct wall now;       /* when damage was found */
	int64_t quota_bytes;   /* as in store_options */
	/* Reads the pages of the file one by one and trusts no tree: for a file that is torn, cut short or has no meta page. Each record
	 * counts by its own check. What was deleted not long ago may come back; so the node takes the journal for one that lost something. */
	bool scan;
	const struct store_birth *of; /* whose journal it must be, and is when a scan does not find that; NULL: anybody's */
};
struct remake_result {
	uint64_t records;      /* copied */
	uint64_t entries;      /* of them */
	uint64_t damaged;      /* records whose check does not fit */
	/* Entries that are damaged or not there. Streams of other sites end before the first, so that who holds them gives the rest again; in
	 * those of this site their numbers are marked as damaged. */
	uint64_t lost;
	uint64_t bodies_lost;  /* bodies that are not there, or damaged, and have to come again */
	uint64_t streams_lost; /* streams whose name nothing tells: their entries stay and are not served */
	int64_t before_bytes, after_bytes;
	char kept[4096];       /* where the old journal is now */
};
/* ERR_CONFLICT (another site's, or of another network), ERR_LOCKED (a node runs), ERR_NOT_FOUND, ERR_VERSION, ERR_DAMAGED (m says what else can be done), ERR_FULL, ERR_IO, ERR_NOMEM. The
 * journal is then as it was. */
MUST_USE enum err store_remake(const char *dir, const struct remake_options *o, struct remake_result *out, struct errmsg *m);

/* Its live pages copied into a new file, which takes its place; the old one is removed. The same errors. */
MUST_USE enum err store_compact(const char *dir, const char *site_id, int64_t *before_bytes, int64_t *after_bytes, struct errmsg *m);

/* Removes what one of these left beside dir when its process was ended in the middle. Not while one may still be at work there. */
void store_remake_clear(const char *dir);

#endif
