/* cli.h - what every command of `estafette` shares: the call, how it fails, and whole files in and out.
 *
 * A command is a function `int cmd_xxx(struct cli *cli, int argc, char **argv)` that returns the exit status.
 * argv[0] is the last word of its name, the rest its options and arguments: for `network init DIR`,
 * cmd_network_init gets {"init", "DIR"}; for `roster sign FILE`, cmd_roster gets {"roster", "sign", "FILE"}.
 * Results go to standard output; every failure goes through cli_fail, once. */
#ifndef NODE_CLI_CLI_H
#define NODE_CLI_CLI_H

#include <getopt.h>
#include <sys/types.h>

#include "proto/buf.h"
#include "proto/err.h"

enum { EXIT_OK = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2 };

struct cli {
	const char *conf_path; /* of -c; NULL when it was not given */
	bool json;             /* --json, before or after the command */
};

/* Says what failed on standard error, "estafette: what: why (what to do)", or with --json as an object with code and
 * message. Returns the exit status: EXIT_USAGE for ERR_USAGE, else EXIT_REFUSED. */
int cli_fail(const struct cli *cli, enum err code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same, with the time from which on it is worth trying again (member `until`). until_us 0: as cli_fail. */
int cli_fail_until(const struct cli *cli, enum err code, int64_t until_us, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* The next option as getopt_long gives it, -1 after the last one (then optind is the first argument), or '?' when
 * one is unknown, lacks its value, or that (or an argument) is an empty text where that says nothing: the command then returns
 * EXIT_USAGE, for it was said already. --json is
 * taken here and needs no place in options. Options and arguments may be mixed. A command begins with cli_options_begin. */
void cli_options_begin(void);
int cli_option(struct cli *cli, int argc, char **argv, const struct option *options);

/* What errno says about a path, as a code that scripts know: ERR_NOT_FOUND, ERR_NOT_PERMITTED or ERR_IO. */
enum err cli_err_of_errno(void);

/* The whole file, appended to out. ERR_IO, ERR_NOT_FOUND, ERR_TOO_LARGE (over max bytes), ERR_NOMEM, m filled. */
MUST_USE enum err cli_read_file(const char *path, size_t max, struct buf *out, struct errmsg *m);

/* Writes a file whole or not at all: under a temporary name beside it, synced, renamed. ERR_EXISTS when there is one
 * already and replace is false; ERR_IO; m filled. */
MUST_USE enum err cli_write_file(const char *path, mode_t mode, struct view bytes, bool replace, struct errmsg *m);

/* Syncs a folder, so that the names in it last. */
MUST_USE enum err cli_sync_folder(const char *path, struct errmsg *m);

/* A JSON string of any bytes (a path need not be UTF-8): what is not well-formed becomes '?'. NULL when out of memory. */
struct json_t;
struct json_t *cli_json_string(const char *bytes);

/* Prints one object on a line of its own on standard output and lets go of it. NULL is an internal error: EXIT_REFUSED. */
int cli_print_object(const struct cli *cli, struct json_t *object);

/* The Belgian template roster, compiled in (belgium.c). Lives for ever. */
struct view belgium_conf(void);

#endif
