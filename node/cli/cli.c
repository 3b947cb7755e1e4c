#include "node/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/cli/output.h"
#include "proto/crypt.h"

/* ---- failing and printing ------------------------------------------------------------------------------- */

json_t *cli_json_string(const char *bytes)
{
	json_t *s = json_string(bytes);
	if (s)
		return s;
	char *copy = strdup(bytes);
	for (char *p = copy; p && *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	s = copy ? json_string(copy) : NULL;
	free(copy);
	return s;
}

int cli_print_object(const struct cli *cli, json_t *object)
{
	bool ok = object && json_dumpf(object, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF;
	json_decref(object);
	return ok ? EXIT_OK : cli_fail(cli, ERR_IO, "standard output: the result could not be written (is the disk full?)");
}

static void print_error_object(enum err code, const char *message, int64_t until_us)
{
	json_t *o = json_pack("{s:s, s:o}", "code", err_code(code), "message", cli_json_string(message));
	char until[WALL_TEXT_BYTES];
	if (o && until_us) {
		wall_format((struct wall){until_us}, 6, until);
		json_object_set_new(o, "until", json_string(until));
	}
	if (o)
		json_dumpf(o, stderr, JSON_COMPACT);
	else
		fprintf(stderr, "{\"code\":\"%s\",\"message\":\"\"}", err_code(code));
	fputc('\n', stderr);
	json_decref(o);
}

static int fail(const struct cli *cli, enum err code, int64_t until_us, const char *fmt, va_list ap)
{
	char message[8192]; /* a path has up to 4095 bytes */
	vsnprintf(message, sizeof message, fmt, ap);
	fflush(stdout);
	if (cli->json) {
		print_error_object(code, message, until_us);
	} else {
		output_disarm(message); /* a file's name, or what another site wrote, shall not make two lines of it */
		fprintf(stderr, "estafette: %s\n", message);
	}
	return code == ERR_USAGE ? EXIT_USAGE : EXIT_REFUSED;
}

int cli_fail(const struct cli *cli, enum err code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int status = fail(cli, code, 0, fmt, ap);
	va_end(ap);
	return status;
}

int cli_fail_until(const struct cli *cli, enum err code, int64_t until_us, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int status = fail(cli, code, until_us, fmt, ap);
	va_end(ap);
	return status;
}

/* ---- options -------------------------------------------------------------------------------------------- */

#define OPTIONS_MAX 40
enum { OPTION_JSON = 0x4a53 };

void cli_options_begin(void)
{
	optind = 0; /* glibc: begin anew, as each command has its own options */
	opterr = 0;
}

static void fail_option(const struct cli *cli, char **argv, bool lacks_value)
{
	const char *name = optind > 0 && argv[optind - 1] ? argv[optind - 1] : "?";
	if (lacks_value)
		cli_fail(cli, ERR_USAGE, "%s: option %s lacks its value (write %s VALUE)", argv[0], name, name);
	else
		cli_fail(cli, ERR_USAGE, "%s: unknown option %s (the man page lists those there are)", argv[0], name);
}

/* Of these an empty text is what somebody has to say. Of the others it is a variable of a script that is not set, and without
 * its value an exercise would be the real thing, and what is asked for would be everything. */
static bool may_be_empty(const char *name)
{
	static const char *const names[] = {"subject", "type", "channel", "by", "reason"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int check_arguments(const struct cli *cli, int argc, char **argv)
{
	for (int i = optind; i < argc; i++)
		if (argv[i][0] == '\0') {
			cli_fail(cli, ERR_USAGE, "%s: an empty argument (is it a variable that is not set?)", argv[0]);
			return '?';
		}
	return -1;
}

int cli_option(struct cli *cli, int argc, char **argv, const struct option *options)
{
	struct option all[OPTIONS_MAX + 2];
	size_t n = 0;
	for (; n < OPTIONS_MAX && options[n].name; n++)
		all[n] = options[n];
	all[n] = (struct option){"json", no_argument, NULL, OPTION_JSON};
	all[n + 1] = (struct option){0};
	for (;;) {
		int which = -1, c = getopt_long(argc, argv, ":", all, &which);
		if (c == OPTION_JSON) {
			cli->json = true;
			continue;
		}
		if (c == '?' || c == ':') {
			fail_option(cli, argv, c == ':');
			return '?';
		}
		if (c == -1)
			return check_arguments(cli, argc, argv);
		if (which >= 0 && all[which].has_arg && optarg[0] == '\0' && !may_be_empty(all[which].name)) {
			cli_fail(cli, ERR_USAGE, "%s: --%s is empty (is it a variable that is not set?)", argv[0], all[which].name);
			return '?';
		}
		return c;
	}
}

/* ---- files ---------------------------------------------------------------------------------------------- */

enum err cli_err_of_errno(void)
{
	return errno == ENOENT ? ERR_NOT_FOUND : errno == EACCES || errno == EPERM ? ERR_NOT_PERMITTED : ERR_IO;
}

static enum err fail_io(struct errmsg *m, const char *path, const char *what)
{
	return err_set(m, cli_err_of_errno(), "%.300s: it cannot be %s: %s", path, what, strerror(errno));
}

static enum err read_all(int fd, const char *path, size_t max, struct buf *out, struct errmsg *m)
{
	size_t before = out->len;
	for (;;) {
		/* A byte more than the limit is asked for, so that a file over it is noticed. */
		size_t room = max + 1 - (out->len - before);
		if (room > 65536)
			room = 65536;
		uint8_t *to = buf_extend(out, room);
		if (to == NULL)
			return err_set(m, ERR_NOMEM, "%.300s: out of memory (free some and try again)", path);
		ssize_t n = read(fd, to, room);
		out->len -= room - (n > 0 ? (size_t)n : 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_io(m, path, "read");
		if (n == 0)
			return ERR_OK;
		if (out->len - before > max)
			return err_set(m, ERR_TOO_LARGE, "%.300s: larger than the %zu bytes that are read (is it the right file?)", path, max);
	}
}

enum err cli_read_file(const char *path, size_t max, struct buf *out, struct errmsg *m)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_io(m, path, "opened");
	enum err e = read_all(fd, path, max, out, m);
	close(fd);
	return e;
}

/* The folder that a path lies in, "." when it names none. Freed by the caller. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

enum err cli_sync_folder(const char *path, struct errmsg *m)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail_io(m, path, "opened");
	enum err e = fsync(fd) == 0 ? ERR_OK : fail_io(m, path, "synced");
	close(fd);
	return e;
}

static bool write_all(int fd, struct view bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.ptr, bytes.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		bytes = view_of(bytes.ptr + n, bytes.len - (size_t)n);
	}
	return true;
}

/* link() rather than rename() where nothing may be replaced: it refuses when the name was taken meanwhile. */
static enum err put_in_place(const char *temporary, const char *path, bool replace, struct errmsg *m)
{
	if (replace)
		return rename(temporary, path) == 0 ? ERR_OK : fail_io(m, path, "put in its place");
	if (link(temporary, path) == 0) {
		unlink(temporary);
		return ERR_OK;
	}
	if (errno == EEXIST)
		return err_set(m, ERR_EXISTS, "%.300s: it is there already and is not overwritten (name another file)", path);
	return fail_io(m, path, "put in its place");
}

enum err cli_write_file(const char *path, mode_t mode, struct view bytes, bool replace, struct errmsg *m)
{
	enum err e = ERR_OK;
	char *temporary = NULL, *folder = folder_of(path);
	int fd = -1;
	uint8_t random[32];
	crypt_system_seed(random);
	if (folder == NULL || asprintf(&temporary, "%s/.tmp-%02x%02x%02x%02x", folder, random[0], random[1], random[2], random[3]) < 0) {
		temporary = NULL;
		e = err_set(m, ERR_NOMEM, "%.300s: out of memory (free some and try again)", path);
		goto out;
	}
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0) {
		e = fail_io(m, path, "made");
		goto out;
	}
	if (fchmod(fd, mode) != 0 || !write_all(fd, bytes) || fsync(fd) != 0)
		e = fail_io(m, path, "written");
	if (e == ERR_OK)
		e = put_in_place(temporary, path, replace, m);
	if (e == ERR_OK)
		e = cli_sync_folder(folder, m);
	else
		unlink(temporary);
out:
	if (fd >= 0)
		close(fd);
	free(temporary);
	free(folder);
	return e;
}
