/* remake_int.h - what the parts of a remake share. Inside of storage only. */
#ifndef STORAGE_REMAKE_INT_H
#define STORAGE_REMAKE_INT_H

#include "storage/record.h"
#include "storage/remake.h"

#define REMAKE_COMMIT 20000 /* records a commit */

struct remake {
	const struct remake_options *o;
	struct remake_result *out;
	struct store *to;
	struct txn *t;         /* of the new journal; commits now and then */
	unsigned in_commit;
	uint64_t *damaged;     /* arrival numbers of entries whose record is copied as it is */
	size_t n_damaged, next_damaged;
	uint32_t *refs;        /* by number of the body apart */
	uint64_t n_refs;
	enum err err;
};
/* The new store `to`, which is empty or has the first records of one, from the old one: open, or NULL and scanned in dir. */
MUST_USE enum err remake_fill(struct remake *r, const char *dir, struct store *from, struct errmsg *m);
void remake_release(struct remake *r);
/* A record of the old journal, in any order. parts: bodies are taken, and only they. */
void remake_take(struct remake *r, enum kv_db db, struct view key, struct view value, bool parts);
/* One more write; commits when it is time. False when something is wrong. */
bool remake_step(struct remake *r);
void remake_derive(struct remake *r); /* remake_derive.c */
/* Gives every record of the file to remake_take (remake_scan.c). ERR_IO, ERR_DAMAGED when it is no journal. */
enum err remake_scan(struct remake *r, const char *dir, struct errmsg *m);

#endif
