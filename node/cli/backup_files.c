#include "node/cli/backup_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/cli/cli.h"

static enum err read_at(void *arg, uint64_t at, uint8_t *out, size_t n)
{
	const struct backup_file *o = arg;
	while (n > 0) {
		ssize_t got = pread(o->fd, out, n, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return ERR_IO;
		out += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return ERR_OK;
}

/* o must stay where it is until it is closed. */
enum err backup_file_open(const char *path, struct backup_file *o, struct errmsg *m)
{
	struct stat st;
	o->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is no file, and not waited for */
	if (o->fd < 0 || fstat(o->fd, &st) != 0)
		return err_set(m, cli_err_of_errno(), "%.300s: it cannot be opened: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(m, ERR_FORMAT, "%.300s: it is no file", path);
	struct backup_in in = {.read = read_at, .arg = o, .size = (uint64_t)st.st_size};
	return backup_open(&in, path, &o->b, m);
}

void backup_file_close(struct backup_file *o)
{
	backup_close(o->b);
	if (o->fd >= 0)
		close(o->fd);
	*o = BACKUP_FILE_NONE;
}

/* Is the backup in that file the one that is looked for? */
static bool open_if(const char *path, const struct hash *id, struct backup_file *o)
{
	struct errmsg m;
	if (backup_file_open(path, o, &m) == ERR_OK && hash_equal(&backup_about(o->b)->id, id))
		return true;
	backup_file_close(o);
	return false;
}

/* An earlier backup: among those that were named, else beside the last one. */
static enum err open_earlier(const struct backup_files *f, const struct backup_earlier *e, struct backup_file *o, struct errmsg *m)
{
	const char *slash = strrchr(f->file, '/');
	char *path;
	bool found = false;
	for (size_t i = 0; !found && i < f->n_since; i++)
		found = open_if(f->since[i], &e->id, o);
	if (found)
		return ERR_OK;
	if (asprintf(&path, "%.*s%s", slash ? (int)(slash - f->file + 1) : 0, f->file, e->name) < 0)
		return err_set(m, ERR_NOMEM, "%.300s: out of memory", f->file);
	found = open_if(path, &e->id, o);
	free(path);
	return found ? ERR_OK : err_set(m, ERR_NOT_FOUND, "%.300s: it builds on the backup %.120s, which is not beside it (name it with --since)", f->file, e->name);
}

enum err backup_files_open(struct backup_files *f, struct errmsg *m)
{
	struct backup_file last = BACKUP_FILE_NONE;
	enum err e = backup_file_open(f->file, &last, m);
	size_t n = e == ERR_OK ? backup_about(last.b)->n_earlier + 1u : 0;
	backup_file_close(&last);
	if (e != ERR_OK)
		return e;
	f->open = calloc(n, sizeof *f->open);
	f->chain = calloc(n, sizeof *f->chain);
	f->n = f->open && f->chain ? n : 0;
	if (!f->n)
		return err_set(m, ERR_NOMEM, "%.300s: out of memory", f->file);
	for (size_t i = 0; i < n; i++)
		f->open[i].fd = -1;
	e = backup_file_open(f->file, &f->open[n - 1], m);
	if (e == ERR_OK && backup_about(f->open[n - 1].b)->n_earlier + 1u != n)
		e = err_set(m, ERR_BUSY, "%.300s: it changed while it was read", f->file);
	for (size_t i = 0; e == ERR_OK && i + 1 < n; i++)
		e = open_earlier(f, &backup_about(f->open[n - 1].b)->earlier[i], &f->open[i], m);
	for (size_t i = 0; i < n; i++)
		f->chain[i] = f->open[i].b;
	return e;
}

void backup_files_close(struct backup_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		backup_file_close(&f->open[i]);
	free(f->open);
	free(f->chain);
	*f = (struct backup_files){.file = f->file};
}
