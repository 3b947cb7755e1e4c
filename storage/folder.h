/* folder.h - the folder of a store on disk: the writer's lock, and making one aside so that it appears whole. */
#ifndef STORAGE_FOLDER_H
#define STORAGE_FOLDER_H

#include "proto/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Takes the writer's lock, the file `lock` in dir, for this open file: it goes when *fd is closed or the process ends.
 * ERR_LOCKED, ERR_IO, ERR_NOMEM. */
MUST_USE enum err folder_lock(const char *dir, int *fd, struct errmsg *m);
/* Whether somebody has the writer's lock. False also when there is no such folder or this user may not look. */
bool folder_is_locked(const char *dir);

enum folder_state { FOLDER_NONE, FOLDER_CUT, FOLDER_THERE }; /* CUT: a folder without a data file */
enum folder_state folder_state(const char *dir);
/* Whether this process has the data file open, which it must not open again: closing it would drop LMDB's locks. */
bool folder_open_here(const char *dir);

/* An empty folder beside dir (dir.new), locked; what an interrupted creation left there is removed. *stage is malloc'ed. */
MUST_USE enum err folder_stage(const char *dir, char **stage, int *lock_fd, struct errmsg *m);
/* Syncs the stage, gives it the name dir, syncs the folder around it. ERR_EXISTS when dir is not empty. */
MUST_USE enum err folder_publish(const char *stage, const char *dir, struct errmsg *m);
/* Puts the stage in the place of dir, which is a journal, in one step, and syncs the folder around them. The old one is removed, or with
 * kept (room for its name) stays as dir.old, or dir.old.2 and so on. */
MUST_USE enum err folder_replace(const char *stage, const char *dir, char *kept, size_t room, struct errmsg *m);
/* Removes the stage and what is in it. */
void folder_discard(const char *stage);

#endif
