#include "node/cli/aside.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/cli/cli.h"

static enum err fail_errno(struct errmsg *m, const char *path, const char *what)
{
	enum err e = errno == EACCES || errno == EPERM ? ERR_NOT_PERMITTED : ERR_IO;
	return err_set(m, e, "%.250s: it cannot be %s: %s", path, what, strerror(errno));
}

static enum err fail_exists(struct errmsg *m, const char *path)
{
	return err_set(m, ERR_EXISTS, "%.300s: it is there already and is not overwritten (name a new or empty folder)", path);
}

/* The absolute path of what does not exist yet; NULL when the folder it lies in does not either. */
static char *absolute(const char *path)
{
	char *copy = strdup(path), *result = NULL;
	if (copy == NULL)
		return NULL;
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	char *slash = strrchr(copy, '/');
	const char *name = slash ? slash + 1 : copy;
	if (slash)
		*slash = '\0';
	char *folder = realpath(slash == NULL ? "." : slash == copy ? "/" : copy, NULL);
	if (folder && asprintf(&result, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name) < 0)
		result = NULL;
	free(folder);
	free(copy);
	return result;
}

static bool is_empty_folder(const char *path)
{
	DIR *d = opendir(path);
	if (d == NULL)
		return false;
	bool empty = true;
	for (struct dirent *e; empty && (e = readdir(d)) != NULL;)
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	closedir(d);
	return empty;
}

static enum err find_place(const char *dir, struct aside *a, struct errmsg *m)
{
	struct stat st;
	if (lstat(dir, &st) == 0) {
		a->place = realpath(dir, NULL);
		return a->place && is_empty_folder(a->place) ? ERR_OK : fail_exists(m, dir);
	}
	a->place = absolute(dir);
	return a->place ? ERR_OK : fail_errno(m, dir, "made (make the folder that it lies in first)");
}

enum err aside_begin(const char *dir, struct aside *a, struct errmsg *m)
{
	*a = (struct aside){0};
	enum err e = find_place(dir, a, m);
	if (e != ERR_OK)
		return e;
	char *name = NULL;
	const char *base = strrchr(a->place, '/') + 1;
	int folder = (int)(base - a->place);
	/* A name holds 255 bytes. */
	if (asprintf(&name, "%.*s%.240s.tmp-XXXXXX", folder, a->place, base) < 0)
		return err_set(m, ERR_NOMEM, "%.300s: out of memory (free some and try again)", dir);
	if (mkdtemp(name) == NULL) {
		e = fail_errno(m, a->place, "made");
		free(name);
		return e;
	}
	a->building = name; /* transferred */
	return ERR_OK;
}

/* The folder that an absolute path lies in. */
static enum err sync_around(const char *path, struct errmsg *m)
{
	char *folder = strdup(path);
	if (folder == NULL)
		return err_set(m, ERR_NOMEM, "%.300s: out of memory (free some and try again)", path);
	char *slash = strrchr(folder, '/');
	slash[slash == folder] = '\0';
	enum err e = cli_sync_folder(folder, m);
	free(folder);
	return e;
}

enum err aside_finish(struct aside *a, struct errmsg *m)
{
	enum err e = cli_sync_folder(a->building, m);
	if (e != ERR_OK)
		return e;
	/* Only an empty folder is replaced by a rename. */
	if (rename(a->building, a->place) != 0)
		return errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR ? fail_exists(m, a->place)
										 : fail_errno(m, a->place, "put in its place");
	free(a->building);
	a->building = NULL;
	return sync_around(a->place, m);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

void aside_release(struct aside *a)
{
	if (a->building)
		nftw(a->building, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(a->building);
	free(a->place);
	*a = (struct aside){0};
}
