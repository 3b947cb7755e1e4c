/* take_file.c - `take --out`: each message a file named by its id, whole and synced before it counts. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/cli/take.h"

#define TEMPORARY_BYTES (ESTAFETTE_ID_SIZE + 8)

static int fail_file(struct taking *t, const char *name, const char *what)
{
	if (t->status == EXIT_OK)
		t->status = cli_fail(t->cli, errno == ENOSPC ? ERR_FULL : ERR_IO, "%s/%s: %s: %s (the message goes back into its queue)", t->out, name, what, strerror(errno));
	return -1;
}

int take_file_open(struct taking *t)
{
	t->out_fd = open(t->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->out_fd >= 0)
		return 0;
	t->status = cli_fail(t->cli, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "--out %s: %s (it must be a folder that is there)", t->out, strerror(errno));
	return -1;
}

/* A name that begins with a dot: whoever watches the folder shall see whole files only. */
static void temporary(char out[TEMPORARY_BYTES], const char *id) { snprintf(out, TEMPORARY_BYTES, ".%s.part", id); }

static void drop(struct taking *t, size_t i)
{
	char name[TEMPORARY_BYTES];
	temporary(name, t->batch[i].id);
	if (t->batch[i].fd >= 0) {
		close(t->batch[i].fd);
		unlinkat(t->out_fd, name, 0);
	} else if (!t->batch[i].was_there) { /* renamed already, but nobody knows whether the name lasts */
		unlinkat(t->out_fd, t->batch[i].id, 0);
	}
	free(t->batch[i].line);
	t->batch[i].line = NULL;
}

/* What is printed once the file is there: the object with --json, else the id. */
static char *line_of(struct taking *t, const struct estafette_message *m)
{
	if (!t->cli->json)
		return strdup(m->id);
	size_t n = strlen(t->out) + 1 + strlen(m->id) + 1;
	char *path = malloc(n), *text = NULL;
	json_t *o = take_object(m);
	if (path != NULL && o != NULL) {
		snprintf(path, n, "%s/%s", t->out, m->id);
		if (json_object_set_new(o, "file", cli_json_string(path)) == 0)
			text = json_dumps(o, JSON_COMPACT);
	}
	json_decref(o);
	free(path);
	return text;
}

static bool in_batch(const struct taking *t, const char *id)
{
	for (size_t i = 0; i < t->n_batch; i++)
		if (strcmp(t->batch[i].id, id) == 0)
			return true;
	return false;
}

int take_file_add(struct taking *t, const struct estafette_message *m)
{
	char name[TEMPORARY_BYTES];
	size_t i = t->n_batch;
	/* Its lease ran out while others were written, and we were given it again: the file that is there already is acknowledged. */
	if (in_batch(t, m->id))
		return 0;
	temporary(name, m->id);
	snprintf(t->batch[i].id, sizeof t->batch[i].id, "%s", m->id);
	t->batch[i].line = NULL;
	t->batch[i].fd = openat(t->out_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (t->batch[i].fd < 0)
		return fail_file(t, name, "open");
	if (take_body(t, m, take_write_fd, &t->batch[i].fd) != 0) {
		drop(t, i);
		return -1;
	}
	t->batch[i].line = line_of(t, m);
	if (t->batch[i].line == NULL) {
		t->status = cli_fail(t->cli, ERR_NOMEM, "%s: out of memory", m->id);
		drop(t, i);
		return -1;
	}
	/* Started now, so that the sync at the end of the batch finds little left to do. */
	sync_file_range(t->batch[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	t->n_batch++;
	return 0;
}

static int settle(struct taking *t, size_t i)
{
	char name[TEMPORARY_BYTES];
	temporary(name, t->batch[i].id);
	if (fsync(t->batch[i].fd) != 0)
		return fail_file(t, name, "sync");
	t->batch[i].was_there = faccessat(t->out_fd, t->batch[i].id, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	if (renameat(t->out_fd, name, t->out_fd, t->batch[i].id) != 0)
		return fail_file(t, name, "rename");
	close(t->batch[i].fd);
	t->batch[i].fd = -1;
	return 0;
}

/* Those before n are files now. What is to be acknowledged is said only when it was. */
static void batch_done(struct taking *t, size_t n)
{
	if (t->ack) {
		taking_ack_files(t, t->batch, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		puts(t->batch[i].line);
		free(t->batch[i].line);
	}
	fflush(stdout);
	t->taken += n;
}

int take_file_flush(struct taking *t)
{
	size_t n = t->n_batch, settled = 0;
	const char *rest[TAKE_BATCH];
	int rc = 0;
	if (n == 0)
		return 0;
	t->n_batch = 0;
	while (settled < n && rc == 0) {
		rc = settle(t, settled);
		settled += rc == 0;
	}
	if (settled > 0 && fsync(t->out_fd) != 0) {
		rc = fail_file(t, ".", "sync");
		settled = 0;
	}
	for (size_t i = settled; i < n; i++) {
		rest[i - settled] = t->batch[i].id;
		drop(t, i);
	}
	if (settled > 0)
		batch_done(t, settled);
	if (settled < n && taking_verdict(t, ESTAFETTE_DO_RETURN, rest, n - settled) != 0)
		return -1;
	return rc;
}

void take_file_close(struct taking *t)
{
	for (size_t i = 0; i < t->n_batch; i++)
		drop(t, i);
	t->n_batch = 0;
	if (t->out_fd >= 0)
		close(t->out_fd);
	t->out_fd = -1;
}
