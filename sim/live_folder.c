/* live_folder.c - the folder of a live drill, and who removes it whatever becomes of the run. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/live_int.h"

/* Daemons that are just being killed may still write: it is tried again. */
#define REMOVE_TRIES 200
#define REMOVE_PAUSE_US 50000

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

void live_remove(const char *path)
{
	struct stat st;

	for (int i = 0; i < REMOVE_TRIES && lstat(path, &st) == 0; i++)
		if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
			usleep(REMOVE_PAUSE_US);
}

/* In a session of its own, so that what ends a terminal's processes does not end it; it holds nothing but the pipe. */
static void keep(const char *path, int pipe)
{
	char byte;
	int null = open("/dev/null", O_RDWR);

	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "live-keeper");
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	dup2(pipe, 3);
	close_range(4, ~0u, 0);
	if (chdir("/") != 0)
		_exit(1);
	while (read(3, &byte, 1) < 0 && errno == EINTR)
		;
	live_remove(path);
	_exit(0);
}

static enum err keeper_start(struct live_folder *f, struct errmsg *m)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return err_set(m, ERR_IO, "live: pipe: %s", strerror(errno));
	fflush(NULL);
	f->keeper = fork();
	if (f->keeper == 0) {
		close(ends[1]);
		keep(f->path, ends[0]);
	}
	close(ends[0]);
	f->pipe = ends[1];
	return f->keeper > 0 ? ERR_OK : err_set(m, ERR_IO, "live: fork: %s", strerror(errno));
}

enum err live_folder_make(struct live_folder *f, const char *wanted, struct errmsg *m)
{
	const char *tmp = getenv("TMPDIR");
	char absolute[PATH_MAX] = "";

	f->kept = wanted != NULL;
	f->pipe = -1;
	if (wanted && mkdir(wanted, 0700) == 0 && realpath(wanted, absolute)) {
		snprintf(f->path, sizeof f->path, "%s", absolute);
		return ERR_OK;
	}
	if (wanted)
		return err_set(m, ERR_IO, "live: %.300s: it cannot be made: %s (name a folder that is not there yet)", wanted, strerror(errno));
	snprintf(f->path, sizeof f->path, "%.3000s/estafette-live-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
	if (!mkdtemp(f->path)) {
		enum err e = err_set(m, ERR_IO, "live: %.300s: it cannot be made: %s (set TMPDIR to a folder)", f->path, strerror(errno));
		f->path[0] = '\0';
		return e;
	}
	return keeper_start(f, m);
}

void live_folder_end(struct live_folder *f)
{
	if (f->pipe >= 0)
		close(f->pipe);
	if (f->keeper > 0)
		while (waitpid(f->keeper, NULL, 0) < 0 && errno == EINTR)
			;
	else if (f->path[0] && !f->kept)
		live_remove(f->path);
}

enum err live_write(const char *path, mode_t mode, struct view text, struct errmsg *m)
{
	char aside[PATH_MAX + 8];
	size_t done = 0;

	snprintf(aside, sizeof aside, "%s.new", path);
	int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	while (fd >= 0 && done < text.len) {
		ssize_t n = write(fd, text.ptr + done, text.len - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (fd < 0 || done < text.len || close(fd) != 0 || rename(aside, path) != 0)
		return err_set(m, ERR_IO, "live: %.300s: it cannot be written: %s", path, strerror(errno));
	return ERR_OK;
}
