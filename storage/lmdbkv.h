/* lmdbkv.h - the kv in a folder, over LMDB. The only user of LMDB.
 *
 * Every commit is synced (no NOSYNC, no WRITEMAP). The map is address space only; it is made larger by itself, with no
 * transaction open, when the file comes near its end, so that deletions always find room. The caller holds the folder's
 * lock when it writes, and sees to it that a process never opens a folder twice (folder.h). */
#ifndef STORAGE_LMDBKV_H
#define STORAGE_LMDBKV_H

#include "storage/kv.h"

struct lmdbkv_options {
	int64_t map_bytes;     /* how large the file may become; a reader ignores it */
	int64_t reserve_bytes; /* only with create: so much of the disk is taken at once */
	bool create;           /* makes the databases in an empty folder */
	bool read_only;
	bool check_pages;      /* of all the file first (lmdbfile.h), as who reads all of it does; else only of what is needed to open it */
};
/* dir exists. ERR_FULL, ERR_IO, ERR_NOMEM, ERR_DAMAGED (m says what), ERR_VERSION (another LMDB format). */
MUST_USE enum err lmdbkv_open(const char *dir, const struct lmdbkv_options *o, struct kv **out, struct errmsg *m);
/* The live pages of a kv of this kind, as one commit left them, as data.mdb in the folder `to`, which has none. Not synced. */
MUST_USE enum err lmdbkv_copy(struct kv *kv, const char *to, struct errmsg *m);

#endif
