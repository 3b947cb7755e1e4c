/* memkv.h - the kv in memory, for the simulator: a red-black tree a database, and an undo log a transaction.
 *
 * A commit that fails, or an abort, plays the log backwards, so that nothing of the transaction stays. While a write
 * transaction is open no other may be begun (ERR_BUSY), since a reader would see what is not committed. */
#ifndef STORAGE_MEMKV_H
#define STORAGE_MEMKV_H

#include "storage/kv.h"

MUST_USE enum err memkv_new(struct kv **out); /* ERR_NOMEM */
/* From now on fail is called before each commit, as store_open_memory says, counting from 1. */
void memkv_fail_with(struct kv *kv, enum err (*fail)(void *arg, uint64_t commit), void *arg);
/* The process that used it has ended and another begins: what a failed sync left is what was committed before it. */
void memkv_restart(struct kv *kv);
/* For tests of damage: inverts bit of the first byte of each value that contains needle. How many there were. */
size_t memkv_flip(struct kv *kv, struct view needle, unsigned bit);

#endif
