/* save.h - a store, of whatever kind, as a journal in a folder: what a run in memory leaves for the tools that read journals. */
#ifndef STORAGE_SAVE_H
#define STORAGE_SAVE_H

#include "storage/store.h"

/* All of its records as one reader sees them, under their own keys, in a new folder. Synced. Interrupted, or failed, the folder holds a part
 * of it. ERR_EXISTS (there is one), ERR_FULL, ERR_IO, ERR_NOMEM, and what reading returned; m filled. */
MUST_USE enum err store_save(struct store *s, const char *dir, struct errmsg *m);

#endif
