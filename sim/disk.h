/* disk.h - the disk below one site's store: it fails, fills up, flips bits, and can be copied and put back.
 *
 * It stands between the store and whatever keeps it (memory or LMDB) by taking the place of the kv's table of functions, so
 * that both fail in the same way at the same commit, and say the same of the room there is: a run does not depend on which
 * of them is below. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "sim/prng.h"
#include "storage/kv.h"
#include "storage/store.h"

struct flipped;
struct disk {
	struct kv_ops ops;          /* what the store calls */
	const struct kv_ops *real;
	struct store *store;        /* NULL: nothing attached */
	enum err fail_next;         /* the next commit fails with it */
	int fail_in;                /* so many commits from now one fails with fail_with; 0: none */
	enum err fail_with;
	bool full;
	int64_t quota;              /* 0: no bound, and nothing is counted */
	int64_t used, growing;      /* bytes of keys and values; what the open transaction adds */
	struct flipped *flipped;    /* records with a wrong bit */
	size_t n_flipped;
	bool wrote;                 /* the open, or the last, transaction wrote anything; one that did not never fails */
	uint64_t commits, failed, damaged_read;
	enum err failed_with;       /* of the last commit that failed */
};

/* A copy of all records. */
struct image;
void image_free(struct image *i);

void disk_attach(struct disk *d, struct store *s);
/* Before the store is closed. What the disk is set to do (full, quota) stays; flipped bits go. */
void disk_detach(struct disk *d);
/* Bounds what the store may use; 0: no bound. */
void disk_quota(struct disk *d, int64_t bytes);
/* One bit of an entry's record or of its inline body, drawn; until the record is written anew. 0: there is none; else the
 * entry's arrival number. */
uint64_t disk_flip(struct disk *d, struct prng *p);
/* Copies what was committed; NULL when out of memory. */
struct image *disk_copy(struct disk *d);
/* Makes the store hold what the image holds. */
MUST_USE enum err disk_put_back(struct disk *d, const struct image *i);

#endif
