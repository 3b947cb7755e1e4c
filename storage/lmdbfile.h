/* lmdbfile.h - is the file of an LMDB environment whole below its records? LMDB follows what its pages say without a doubt: a damaged one
 * ends the process, sends a walk round for ever, or hands out a page as free that is in use. So who reads a whole journal asks here first. */
#ifndef STORAGE_LMDBFILE_H
#define STORAGE_LMDBFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/err.h"

/* Looks at the pages that the transaction `txnid`, which must be open, sees: the databases, each page's place in its tree, its bounds, the
 * order of its keys, the counts, and that none is used twice or is free and used. Without `all` only the list of the databases
 * and that of the free pages. Values are not looked at. ERR_DAMAGED: m (which begins with dir) says the first thing
 * wrong. ERR_BUSY: two commits came meanwhile; begin another transaction. ERR_IO, ERR_NOMEM. */
MUST_USE enum err lmdbfile_check(const char *dir, int fd, size_t page_bytes, size_t txnid, bool all, struct errmsg *m);

/* Before LMDB opens the file: it lays out its map by what the two meta pages say. ERR_DAMAGED, ERR_IO, ERR_NOT_FOUND. */
MUST_USE enum err lmdbfile_check_metas(const char *dir, struct errmsg *m);

#endif
