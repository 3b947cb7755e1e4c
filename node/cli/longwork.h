/* longwork.h - what commands share that read or write a whole journal, or a large body: they can be interrupted, show how far they
 * are, and leave a whole file or none. */
#ifndef NODE_CLI_LONGWORK_H
#define NODE_CLI_LONGWORK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "proto/err.h"
#include "proto/view.h"

/* From here on SIGINT, SIGTERM and SIGHUP end the work, not the process, and a file that may not grow is an error. */
void longwork_begin(void);
bool longwork_stopped(void);

struct progress {
	const char *what;       /* "backup" */
	struct timespec begun;
	int64_t shown_ms;
	bool shown;
};
void progress_begin(struct progress *p, const char *what);
/* Bytes, percent and rate, when standard error is a terminal, at most a few times a second and at the end. of: 0 when it is not
 * known. arg is the struct progress; false: the work was stopped. */
bool progress_show(void *arg, uint64_t bytes, uint64_t of);
void progress_end(struct progress *p);
double progress_seconds(const struct progress *p); /* since it began */

/* A file that appears whole or not at all, mode 0600. */
struct tofile {
	int fd;
	const char *path;
	char *folder;
	char *temporary; /* NULL: it has no name until it is whole */
	uint8_t *pending;
	size_t n_pending;
	enum err err;    /* the first write that failed */
	bool one_of_many;/* set after tofile_begin: tofile_finish leaves the syncing to tofile_sync_all, for the whole folder at once */
};
/* path must not be there. ERR_EXISTS, ERR_NOT_FOUND (the folder), ERR_NOT_PERMITTED, ERR_IO, ERR_NOMEM; m filled. */
MUST_USE enum err tofile_begin(struct tofile *f, const char *path, struct errmsg *m);
/* The shape of backup_out.write; arg is the struct tofile. ERR_FULL, ERR_IO. */
MUST_USE enum err tofile_write(void *arg, struct view bytes);
/* Synced and in its place. ERR_EXISTS when something came there meanwhile; ERR_FULL, ERR_IO; m filled. */
MUST_USE enum err tofile_finish(struct tofile *f, struct errmsg *m);
/* After the work of filling it ended with e: finished when that is ERR_OK, else m says why unless it does already; released either
 * way. e, or what tofile_finish says. */
MUST_USE enum err tofile_end(struct tofile *f, enum err e, struct errmsg *m);
/* What was written in that folder, and all else on its disk, is synced. ERR_IO, ERR_FULL; m filled. */
MUST_USE enum err tofile_sync_all(const char *folder, struct errmsg *m);
/* Frees, and removes what was not finished. */
void tofile_release(struct tofile *f);

#endif
