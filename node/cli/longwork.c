#include "node/cli/longwork.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/cli/cli.h"
#include "proto/crypt.h"

#define SHOW_MS 250
#define MIB (1024.0 * 1024)
#define PENDING_BYTES (256 * 1024)

/* ---- signals ----------------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

void longwork_begin(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction a = {.sa_handler = stop};
	sigemptyset(&a.sa_mask);
	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
		sigaction(ends[i], &a, NULL);
	a.sa_handler = SIG_IGN;
	sigaction(SIGXFSZ, &a, NULL);
}

bool longwork_stopped(void)
{
	return stopped;
}

/* ---- how far --------------------------------------------------------------------------------------------------------------- */

static int64_t since_ms(const struct timespec *begun)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - begun->tv_sec) * 1000LL + (now.tv_nsec - begun->tv_nsec) / 1000000;
}

void progress_begin(struct progress *p, const char *what)
{
	*p = (struct progress){.what = what, .shown_ms = -SHOW_MS};
	clock_gettime(CLOCK_MONOTONIC, &p->begun);
}

bool progress_show(void *arg, uint64_t bytes, uint64_t of)
{
	struct progress *p = arg;
	int64_t ms = since_ms(&p->begun);
	if ((ms - p->shown_ms < SHOW_MS && (bytes < of || of == 0 || !p->shown)) || !isatty(STDERR_FILENO))
		return !stopped;
	p->shown_ms = ms;
	p->shown = true;
	double rate = ms > 0 ? (double)bytes / ((double)ms / 1000) : 0.0;
	fprintf(stderr, "\r%s: %.0f ", p->what, (double)bytes / MIB);
	if (of)
		fprintf(stderr, "of %.0f MiB (%.0f%%)", (double)of / MIB, 100.0 * (double)bytes / (double)of);
	else
		fputs("MiB", stderr);
	fprintf(stderr, ", %.*f %s ", rate < 10 * MIB ? 1 : 0, rate < MIB ? rate / 1024 : rate / MIB, rate < MIB ? "KiB/s" : "MiB/s");
	return !stopped;
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputc('\n', stderr);
	p->shown = false;
}

double progress_seconds(const struct progress *p)
{
	return (double)since_ms(&p->begun) / 1000;
}

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

static enum err fail_errno(struct errmsg *m, const char *path, const char *what)
{
	enum err e = errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : cli_err_of_errno();
	return err_set(m, e, "%.300s: it cannot be %s: %s", path, what, strerror(errno));
}

/* The folder that path lies in. NULL: out of memory. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* Not every file system knows files without a name. */
static enum err open_named(struct tofile *f, struct errmsg *m)
{
	uint8_t random[32];
	crypt_system_seed(random);
	if (asprintf(&f->temporary, "%s/.tmp-%02x%02x%02x%02x", f->folder, random[0], random[1], random[2], random[3]) < 0) {
		f->temporary = NULL;
		return err_set(m, ERR_NOMEM, "%.300s: out of memory", f->path);
	}
	f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (f->fd >= 0)
		return ERR_OK;
	free(f->temporary);
	f->temporary = NULL;
	return fail_errno(m, f->path, "made");
}

enum err tofile_begin(struct tofile *f, const char *path, struct errmsg *m)
{
	*f = (struct tofile){.fd = -1, .path = path, .folder = folder_of(path), .pending = malloc(PENDING_BYTES)};
	if (f->folder == NULL || f->pending == NULL)
		return err_set(m, ERR_NOMEM, "%.300s: out of memory", path);
	if (access(path, F_OK) == 0)
		return err_set(m, ERR_EXISTS, "%.300s: it is there already and is not overwritten (name another file)", path);
	f->fd = open(f->folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (f->fd >= 0)
		return ERR_OK;
	if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOSYS)
		return open_named(f, m);
	return fail_errno(m, path, "made");
}

static enum err write_out(struct tofile *f, struct view bytes)
{
	while (!f->err && bytes.len > 0) {
		ssize_t n = write(f->fd, bytes.ptr, bytes.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			f->err = fail_errno(NULL, f->path, "written");
		else
			bytes = view_of(bytes.ptr + n, bytes.len - (size_t)n);
	}
	return f->err;
}

static enum err write_pending(struct tofile *f)
{
	size_t n = f->n_pending;
	f->n_pending = 0;
	return write_out(f, view_of(f->pending, n));
}

enum err tofile_write(void *arg, struct view bytes)
{
	struct tofile *f = arg;
	if (f->n_pending + bytes.len > PENDING_BYTES && write_pending(f))
		return f->err;
	if (bytes.len > PENDING_BYTES)
		return write_out(f, bytes);
	if (bytes.len)
		memcpy(f->pending + f->n_pending, bytes.ptr, bytes.len);
	f->n_pending += bytes.len;
	return f->err;
}

/* The name is claimed by an empty file, which the whole one then replaces. */
static int claim_and_rename(const char *from, const char *to)
{
	int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	close(fd);
	if (rename(from, to) == 0)
		return 0;
	int why = errno;
	unlink(to);
	errno = why;
	return -1;
}

/* The name must not be there: none of the ways replaces what somebody else put there. What file systems of sticks know differs:
 * some have no files without a name, some of those no RENAME_NOREPLACE, and some of those no links. */
static int put_in_place(const struct tofile *f)
{
	char self[64];
	if (f->temporary == NULL) {
		snprintf(self, sizeof self, "/proc/self/fd/%d", f->fd);
		return linkat(AT_FDCWD, self, AT_FDCWD, f->path, AT_SYMLINK_FOLLOW);
	}
	if (renameat2(AT_FDCWD, f->temporary, AT_FDCWD, f->path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EEXIST || (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP))
		return -1;
	if (link(f->temporary, f->path) == 0) {
		unlink(f->temporary); /* where that fails the file is there all the same */
		return 0;
	}
	return errno == EEXIST ? -1 : claim_and_rename(f->temporary, f->path);
}

enum err tofile_finish(struct tofile *f, struct errmsg *m)
{
	if (write_pending(f))
		return err_set(m, f->err, "%.300s: it cannot be written: %s", f->path, err_text(f->err));
	if (!f->one_of_many && fsync(f->fd) != 0)
		return fail_errno(m, f->path, "synced");
	if (put_in_place(f) != 0)
		return errno == EEXIST ? err_set(m, ERR_EXISTS, "%.300s: something else came there meanwhile (name another file)", f->path)
				       : fail_errno(m, f->path, "put in its place");
	free(f->temporary);
	f->temporary = NULL;
	return f->one_of_many ? ERR_OK : cli_sync_folder(f->folder, m);
}

enum err tofile_end(struct tofile *f, enum err e, struct errmsg *m)
{
	if (e != ERR_OK && f->err)
		err_set(m, e, "%.300s: it cannot be written: %s, nothing was left", f->path, err_text(e));
	else if (e != ERR_OK && !m->text[0])
		err_set(m, e, "%.300s: %s", f->path, err_text(e));
	if (e == ERR_OK)
		e = tofile_finish(f, m);
	tofile_release(f);
	return e;
}

enum err tofile_sync_all(const char *folder, struct errmsg *m)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = fd < 0 || syncfs(fd) != 0 ? fail_errno(m, folder, "synced") : ERR_OK;
	if (fd >= 0)
		close(fd);
	return e;
}

void tofile_release(struct tofile *f)
{
	if (f->temporary != NULL)
		unlink(f->temporary);
	if (f->fd >= 0)
		close(f->fd);
	free(f->temporary);
	free(f->folder);
	free(f->pending);
}
