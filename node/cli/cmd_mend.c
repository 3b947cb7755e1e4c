/* cmd_mend.c - `journal compact`, `journal rescue`, `journal verify --repair`, `rebuild`: a journal made anew beside the old one, which
 * it replaces in one step. The node must be down. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "node/cli/longwork.h"
#include "node/cli/mend.h"
#include "node/cli/output.h"
#include "node/daemon/config.h"
#include "storage/remake.h"

struct target {
	char dir[CONFIG_PATH_BYTES];
	struct store_birth of; /* site_id is empty when only a folder was named */
	int64_t quota_bytes;
};

static int target_conf(struct cli *cli, const char *path, struct target *t)
{
	struct errmsg m;
	struct roster *roster = NULL;
	struct config *c = calloc(1, sizeof *c);
	enum err e = c ? config_load(path, c, &m) : err_set(&m, ERR_NOMEM, "%s: out of memory", path);
	if (e == ERR_OK)
		e = config_load_roster(c, &roster, &m);
	if (e == ERR_OK) {
		snprintf(t->dir, sizeof t->dir, "%s", c->journal);
		const struct site *s = roster_site_by_id(roster, view_str(c->site));
		t->of = (struct store_birth){.site = s ? s->number : 0, .how = BIRTH_LOST, .network = roster->network_hash};
		snprintf(t->of.site_id, sizeof t->of.site_id, "%s", c->site);
		t->quota_bytes = c->quota_bytes;
	}
	roster_free(roster);
	free(c);
	return e == ERR_OK ? EXIT_OK : cli_fail(cli, e, "%s", m.text);
}

static int target_of(struct cli *cli, const char *path, struct target *t)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return cli_fail(cli, cli_err_of_errno(), "%s: %s (the folder of a journal, or a node.conf)", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return target_conf(cli, path, t);
	snprintf(t->dir, sizeof t->dir, "%s", path);
	return EXIT_OK;
}

static int remake(struct cli *cli, const struct target *t, bool scan)
{
	struct timespec now;
	struct errmsg m;
	struct output o;
	struct remake_result r;
	clock_gettime(CLOCK_REALTIME, &now);
	struct remake_options how = {.now = {now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000}, .quota_bytes = t->quota_bytes, .scan = scan,
	                             .of = t->of.site_id[0] ? &t->of : NULL};
	enum err e = store_remake(t->dir, &how, &r, &m);
	if (e != ERR_OK)
		return cli_fail(cli, e, "%s", m.text);
	struct estafette_member row[] = {
		MEMBER_TEXT("journal", t->dir), MEMBER_TEXT("kept", r.kept), MEMBER_NUMBER("records", (int64_t)r.records), MEMBER_NUMBER("entries", (int64_t)r.entries),
		MEMBER_NUMBER("damaged", (int64_t)r.damaged), MEMBER_NUMBER("lost", (int64_t)r.lost), MEMBER_NUMBER("bodies_lost", (int64_t)r.bodies_lost),
		MEMBER_NUMBER("streams_lost", (int64_t)r.streams_lost), MEMBER_NUMBER("before_bytes", r.before_bytes), MEMBER_NUMBER("after_bytes", r.after_bytes)};
	output_begin(&o, cli);
	o.upright = true;
	output_row(&o, row, sizeof row / sizeof row[0]);
	int status = output_end(&o, NULL);
	if (status == EXIT_OK && !cli->json && r.lost + r.bodies_lost > 0)
		fprintf(stderr, "What only other sites can mend is noted: %" PRIu64 " entries and %" PRIu64 " bodies. The node asks them for it at its next start.\n", r.lost,
			r.bodies_lost);
	if (status == EXIT_OK && !cli->json)
		fprintf(stderr, "The node opens its entries again at its next start, and hands nothing out before that is done; the old journal is in %s.\n", r.kept);
	return status;
}

static int compact(struct cli *cli, const struct target *t)
{
	struct errmsg m;
	struct output o;
	int64_t before = 0, after = 0;
	enum err e = store_compact(t->dir, t->of.site_id[0] ? t->of.site_id : NULL, &before, &after, &m);
	if (e != ERR_OK)
		return cli_fail(cli, e, "%s", m.text);
	struct estafette_member row[] = {MEMBER_TEXT("journal", t->dir), MEMBER_NUMBER("before_bytes", before), MEMBER_NUMBER("after_bytes", after)};
	output_begin(&o, cli);
	o.upright = true;
	output_row(&o, row, sizeof row / sizeof row[0]);
	return output_end(&o, NULL);
}

/* ---- interruption ------------------------------------------------------------------------------------------------------------- */

enum work { REMAKE, SCAN, COMPACT };

static ino_t which(const char *dir)
{
	struct stat st;
	return stat(dir, &st) == 0 ? st.st_ino : 0;
}

/* The work, in a process of its own: LMDB copies a whole journal in one call, which nothing interrupts but the end of its process. Then this one takes
 * away what was made by half. */
static int apart(struct cli *cli, const struct target *t, enum work what)
{
	int status = 0;
	ino_t before = which(t->dir);
	fflush(stdout);
	longwork_begin();
	pid_t child = fork();
	if (child < 0)
		return cli_fail(cli, ERR_IO, "%s: no process for it: %s (nothing was changed)", t->dir, strerror(errno));
	if (child == 0) {
		static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
		for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
			signal(ends[i], SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		status = what == COMPACT ? compact(cli, t) : remake(cli, t, what == SCAN);
		if (fflush(stdout) != 0 && status == EXIT_OK)
			status = cli_fail(cli, ERR_IO, "standard output: the result could not be written (is the disk full?)");
		_exit(status);
	}
	bool ended = false;
	while (waitpid(child, &status, ended ? 0 : WNOHANG) == 0) {
		ended = longwork_stopped();
		if (ended)
			kill(child, SIGKILL);
		else
			poll(NULL, 0, 5);
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (which(t->dir) != before) /* it was just done; the old one is still beside it */
		return cli_fail(cli, ERR_CLOSED, "%s: interrupted when the new journal was in its place already; the old one is %s.new", t->dir, t->dir);
	store_remake_clear(t->dir);
	if (longwork_stopped())
		return cli_fail(cli, ERR_CLOSED, "%s: interrupted, the journal is as it was", t->dir);
	return cli_fail(cli, ERR_INTERNAL, "%s: it was ended by signal %d; the journal is as it was", t->dir, WTERMSIG(status));
}

/* ---- commands ----------------------------------------------------------------------------------------------------------------- */

/* The one argument; NULL when there is another number of them. */
static const char *only_argument(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	cli_options_begin();
	if (cli_option(cli, argc, argv, options) != -1)
		return NULL;
	if (argc - optind == 1)
		return argv[optind];
	(void)cli_fail(cli, ERR_USAGE, "%s: one folder or node.conf", argv[0]);
	return NULL;
}

int mend_repair(struct cli *cli, const char *path)
{
	struct target t = {.quota_bytes = 0};
	int status = target_of(cli, path, &t);
	return status == EXIT_OK ? apart(cli, &t, REMAKE) : status;
}

int cmd_journal_rescue(struct cli *cli, int argc, char **argv)
{
	struct target t = {.quota_bytes = 0};
	const char *path = only_argument(cli, argc, argv);
	int status = path ? target_of(cli, path, &t) : EXIT_USAGE;
	return status == EXIT_OK ? apart(cli, &t, SCAN) : status;
}

/* Only for a node: the rest is done by it, with its keys. */
int cmd_rebuild(struct cli *cli, int argc, char **argv)
{
	struct target t = {.quota_bytes = 0};
	const char *path = only_argument(cli, argc, argv);
	int status = path ? target_of(cli, path, &t) : EXIT_USAGE;
	if (status == EXIT_OK && !t.of.site_id[0])
		return cli_fail(cli, ERR_USAGE, "rebuild: %s is a folder: name the node.conf (or use journal verify --repair)", path);
	return status == EXIT_OK ? apart(cli, &t, REMAKE) : status;
}

int cmd_journal_compact(struct cli *cli, int argc, char **argv)
{
	struct target t = {.quota_bytes = 0};
	const char *path = only_argument(cli, argc, argv);
	int status = path ? target_of(cli, path, &t) : EXIT_USAGE;
	return status == EXIT_OK ? apart(cli, &t, COMPACT) : status;
}
