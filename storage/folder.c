#include "storage/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 3
static const char *const store_files[FILES] = {"data.mdb", "lock.mdb", "lock"};

/* dir/name, or NULL without memory. */
static char *path_in(const char *dir, const char *name)
{
	char *path;
	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static enum err io_error(struct errmsg *m, const char *path, const char *what)
{
	enum err e = errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
	return err_set(m, e, "%s: %s: %s", path, what, strerror(errno));
}

/* ---- the lock ------------------------------------------------------------------------------------------ */

enum err folder_lock(const char *dir, int *fd, struct errmsg *m)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char *path = path_in(dir, "lock");
	enum err e = ERR_OK;
	int f = -1;
	if (!path)
		return err_set(m, ERR_NOMEM, "%s: out of memory", dir);
	f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (f < 0) {
		e = io_error(m, path, "the lock cannot be opened");
		goto out;
	}
	if (fcntl(f, F_OFD_SETLK, &all) != 0) {
		if (errno == EAGAIN || errno == EACCES)
			e = err_set(m, ERR_LOCKED, "%s: another process has the journal open (stop its node first)", dir);
		else
			e = io_error(m, path, "cannot be locked");
		goto out;
	}
	*fd = f;
	f = -1; /* transferred */
out:
	if (f >= 0)
		close(f);
	free(path);
	return e;
}

bool folder_is_locked(const char *dir)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char *path = path_in(dir, "lock");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	bool locked = fd >= 0 && fcntl(fd, F_OFD_GETLK, &all) == 0 && all.l_type != F_UNLCK;
	if (fd >= 0)
		close(fd);
	free(path);
	return locked;
}

/* ---- what is there --------------------------------------------------------------------------------------- */

enum folder_state folder_state(const char *dir)
{
	struct stat st;
	char *path = path_in(dir, "data.mdb");
	enum folder_state s = stat(dir, &st) != 0 ? FOLDER_NONE : path && stat(path, &st) == 0 ? FOLDER_THERE : FOLDER_CUT;
	free(path);
	return s;
}

bool folder_open_here(const char *dir)
{
	struct stat want, st;
	char *path = path_in(dir, "data.mdb");
	DIR *fds = path && stat(path, &want) == 0 ? opendir("/proc/self/fd") : NULL;
	bool found = false;
	for (struct dirent *d; fds && !found && (d = readdir(fds));)
		found = fstat(atoi(d->d_name), &st) == 0 && d->d_name[0] != '.' && st.st_dev == want.st_dev &&
		        st.st_ino == want.st_ino;
	if (fds)
		closedir(fds);
	free(path);
	return found;
}

/* ---- making one aside --------------------------------------------------------------------------------------- */

/* The first n of the files. */
static void remove_files(const char *dir, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *path = path_in(dir, store_files[i]);
		if (path)
			unlink(path);
		free(path);
	}
}

static char *name_aside(const char *dir)
{
	size_t n = strlen(dir);
	char *name;
	while (n > 1 && dir[n - 1] == '/')
		n--;
	return asprintf(&name, "%.*s.new", (int)n, dir) < 0 ? NULL : name;
}

/* The lock comes first, so that two creations do not tread on each other; only then is what lies there taken away. */
enum err folder_stage(const char *dir, char **stage, int *lock_fd, struct errmsg *m)
{
	char *name = name_aside(dir);
	enum err e = ERR_OK;
	if (!name)
		return err_set(m, ERR_NOMEM, "%s: out of memory", dir);
	if (mkdir(name, 0700) != 0 && errno != EEXIST) {
		e = io_error(m, name, "the folder cannot be made");
		goto out;
	}
	e = folder_lock(name, lock_fd, m);
	if (e)
		goto out;
	remove_files(name, FILES - 1); /* all but the lock */
	*stage = name;
	name = NULL; /* transferred */
out:
	free(name);
	return e;
}

static enum err sync_folder(const char *dir, struct errmsg *m)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = ERR_OK;
	if (fd < 0 || fsync(fd) != 0)
		e = io_error(m, dir, "the folder cannot be synced");
	if (fd >= 0)
		close(fd);
	return e;
}

/* The folder around dir. */
static char *parent_of(const char *dir)
{
	size_t n = strlen(dir);
	char *parent;
	while (n > 1 && dir[n - 1] == '/')
		n--;
	while (n > 0 && dir[n - 1] != '/')
		n--;
	return asprintf(&parent, "%.*s", n ? (int)n : 1, n ? dir : ".") < 0 ? NULL : parent;
}

enum err folder_publish(const char *stage, const char *dir, struct errmsg *m)
{
	char *parent = parent_of(dir);
	enum err e = parent ? sync_folder(stage, m) : err_set(m, ERR_NOMEM, "%s: out of memory", dir);
	if (e)
		goto out;
	if (rename(stage, dir) != 0) {
		if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR)
			e = err_set(m, ERR_EXISTS, "%s: there is something else already (name another folder)", dir);
		else
			e = io_error(m, dir, "the new journal cannot be put there");
		goto out;
	}
	e = sync_folder(parent, m);
out:
	free(parent);
	return e;
}

/* The first free one of dir.old, dir.old.2, ... */
static void name_old(const char *dir, char *out, size_t room)
{
	struct stat st;
	size_t n = strlen(dir);
	while (n > 1 && dir[n - 1] == '/')
		n--;
	snprintf(out, room, "%.*s.old", (int)n, dir);
	for (unsigned i = 2; stat(out, &st) == 0 && i < 1000; i++)
		snprintf(out, room, "%.*s.old.%u", (int)n, dir, i);
}

/* A file that is not synced could be empty after a power cut, though its name is there. */
static enum err sync_data(const char *dir, struct errmsg *m)
{
	char *path = path_in(dir, "data.mdb");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	enum err e = fd < 0 || fsync(fd) != 0 ? io_error(m, dir, "data.mdb cannot be synced") : ERR_OK;
	if (fd >= 0)
		close(fd);
	free(path);
	return e;
}

enum err folder_replace(const char *stage, const char *dir, char *kept, size_t room, struct errmsg *m)
{
	char *parent = parent_of(dir);
	enum err e = parent ? sync_data(stage, m) : err_set(m, ERR_NOMEM, "%s: out of memory", dir);
	if (!e)
		e = sync_folder(stage, m);
	if (!e && renameat2(AT_FDCWD, stage, AT_FDCWD, dir, RENAME_EXCHANGE) != 0)
		e = io_error(m, dir, "the new journal cannot take its place");
	if (e) {
		folder_discard(stage);
		goto out;
	}
	e = sync_folder(parent, m);
	if (kept) {
		name_old(dir, kept, room);
		if (rename(stage, kept) != 0)
			e = io_error(m, stage, "the old journal cannot be renamed");
	} else {
		folder_discard(stage); /* the old one's files have the same names */
	}
out:
	free(parent);
	return e;
}

void folder_discard(const char *stage)
{
	remove_files(stage, FILES);
	rmdir(stage);
}
