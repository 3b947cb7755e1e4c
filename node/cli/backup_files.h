/* backup_files.h - the files of a backup: one, or an incremental one and those that it builds on. */
#ifndef NODE_CLI_BACKUP_FILES_H
#define NODE_CLI_BACKUP_FILES_H

#include <stddef.h>

#include "storage/backup.h"

/* One file; stays where it is in memory until it is closed. */
struct backup_file {
	int fd;
	struct backup *b;
};
#define BACKUP_FILE_NONE ((struct backup_file){.fd = -1})
MUST_USE enum err backup_file_open(const char *path, struct backup_file *f, struct errmsg *m);
void backup_file_close(struct backup_file *f);

struct backup_files {
	const char *file;         /* the one that is meant */
	const char *const *since; /* where earlier ones are looked for first; then beside it, by their names */
	size_t n_since;
	struct backup_file *open;
	struct backup **chain;    /* n of them, the whole one first, the one that is meant last */
	size_t n;
};
/* Opens file and all that it builds on. ERR_NOT_FOUND (one of them), ERR_BUSY (it changed meanwhile) and those of backup_open; m filled.
 * Followed by backup_files_close in any case. */
MUST_USE enum err backup_files_open(struct backup_files *f, struct errmsg *m);
void backup_files_close(struct backup_files *f);

#endif
