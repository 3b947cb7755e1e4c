/* cmd_backup.c - `backup` and `restore`: a journal into one file beside its running node, and back into a new folder. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/cli/backup_files.h"
#include "node/cli/commands.h"
#include "node/cli/longwork.h"
#include "node/cli/output.h"
#include "node/daemon/config.h"
#include "storage/backup.h"

#define SINCE_MAX 64

struct job {
	struct cli *cli;
	const char *conf, *file; /* conf: NULL when only a backup is looked at */
	const char *since[SINCE_MAX];
	size_t n_since;
	bool check, damaged, dry_run;
	struct config *config;
	struct backup_files files;
};

/* ---- what is printed --------------------------------------------------------------------------------------------------------- */

static int print_result(struct job *j, const struct backup_about *a, const struct backup_result *r, double seconds, int64_t file_bytes, const char *journal)
{
	struct output o;
	struct estafette_member m[] = {
		MEMBER_TEXT("file", j->file), MEMBER_TEXT("journal", journal), MEMBER_TEXT("site", a->site_id), MEMBER_TIME("made", a->made.us),
		MEMBER_NUMBER("builds_on", a->n_earlier), MEMBER_NUMBER("entries", (int64_t)r->entries), MEMBER_NUMBER("records", (int64_t)r->records),
		MEMBER_NUMBER("bytes", (int64_t)r->plain_bytes), MEMBER_NUMBER("file_bytes", file_bytes), MEMBER_NUMBER("damaged", (int64_t)r->wrong),
		MEMBER_NUMBER("ms", (int64_t)(seconds * 1000))};
	output_begin(&o, j->cli);
	o.upright = true;
	output_row(&o, m, sizeof m / sizeof m[0]);
	return output_end(&o, NULL);
}

static int64_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

/* ---- backup ------------------------------------------------------------------------------------------------------------------ */

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/* A journal with something wrong in it is backed up only when that is asked for: who has a file thinks that he has a backup. */
static enum err accept_wrong(const struct job *j, const struct backup_result *r, struct errmsg *m)
{
	if (!r->wrong || j->damaged)
		return ERR_OK;
	return err_set(m, ERR_DAMAGED, "%.120s: %" PRIu64 " things are wrong in the journal, the first: %.160s (run journal verify; --damaged backs it up as it is)",
	               j->config->journal, r->wrong, r->finding);
}

static enum err write_file(struct job *j, struct store *s, struct wall made, const struct backup *since, struct progress *p, struct backup_result *r, struct errmsg *m)
{
	struct tofile f;
	struct backup_watch watch = {progress_show, p};
	enum err e = tofile_begin(&f, j->file, m);
	struct backup_out out = {tofile_write, &f};
	if (e == ERR_OK) {
		e = backup_write(s, made, since, &out, &watch, r, m);
		if (e == ERR_CLOSED)
			err_set(m, e, "%.300s: interrupted, nothing was left", j->file);
		else if (e != ERR_OK && f.err)
			err_set(m, e, "%.300s: it cannot be written: %s, nothing was left", j->file, err_text(e));
	}
	progress_end(p);
	if (e == ERR_OK)
		e = accept_wrong(j, r, m);
	if (e == ERR_OK)
		e = tofile_finish(&f, m);
	tofile_release(&f);
	return e;
}

static int backup(struct job *j)
{
	struct errmsg m = {0};
	struct backup_file since = BACKUP_FILE_NONE;
	struct store *s = NULL;
	struct progress p;
	struct backup_result r = {0};
	struct backup_about a = {.made = {now_us()}};
	int status = EXIT_OK;
	enum err e = j->n_since ? backup_file_open(j->since[0], &since, &m) : ERR_OK;
	progress_begin(&p, "backup");
	if (e == ERR_OK)
		e = store_open(j->config->journal, &(struct store_options){.read_only = true, .check_pages = true}, &s, &m);
	if (e == ERR_OK)
		e = write_file(j, s, a.made, since.b, &p, &r, &m);
	if (e == ERR_OK) {
		a.n_earlier = since.b ? (uint16_t)(backup_about(since.b)->n_earlier + 1) : 0;
		strcpy(a.site_id, store_birth(s)->site_id);
		status = print_result(j, &a, &r, progress_seconds(&p), size_of(j->file), j->config->journal);
	}
	store_close(s);
	backup_file_close(&since);
	return e == ERR_OK ? status : cli_fail(j->cli, e, "%s", m.text);
}

/* ---- check and restore --------------------------------------------------------------------------------------------------- */

/* The backup must be this site's, of this network: the roster that node.conf names says which that is. */
static enum err fits_node(const struct job *j, struct errmsg *m)
{
	const struct backup_about *a = backup_about(j->files.chain[j->files.n - 1]);
	struct roster *roster = NULL;
	enum err e = config_load_roster(j->config, &roster, m);
	if (e == ERR_OK && strcmp(a->site_id, j->config->site) != 0)
		e = err_set(m, ERR_CONFLICT, "%.200s: a backup of %s, and %.100s is %s's", j->file, a->site_id, j->conf, j->config->site);
	else if (e == ERR_OK && !hash_equal(&a->network, &roster->network_hash))
		e = err_set(m, ERR_CONFLICT, "%.200s: a backup of %s in another network than that of the roster %.100s", j->file, a->site_id, j->config->roster);
	roster_free(roster);
	return e;
}

static enum err read_back(struct job *j, struct progress *p, struct backup_result *r, struct errmsg *m)
{
	struct backup_watch watch = {progress_show, p};
	struct store_options o = {0};
	j->files = (struct backup_files){.file = j->file, .since = j->since, .n_since = j->n_since};
	enum err e = backup_files_open(&j->files, m);
	if (e == ERR_OK && j->config != NULL)
		e = fits_node(j, m);
	if (e != ERR_OK)
		return e;
	if (j->check || j->dry_run) {
		e = backup_check(j->files.chain, j->files.n, &watch, r, m);
	} else {
		o = (struct store_options){.quota_bytes = j->config->quota_bytes, .reserve_bytes = j->config->reserve_bytes};
		e = backup_restore(j->files.chain, j->files.n, j->config->journal, &o, &watch, r, m);
	}
	if (e == ERR_CLOSED)
		err_set(m, e, "%.300s: interrupted, nothing was left", j->file);
	return e;
}

static int look(struct job *j)
{
	struct errmsg m = {0};
	struct progress p;
	struct backup_result r = {0};
	progress_begin(&p, j->check || j->dry_run ? "check" : "restore");
	enum err e = read_back(j, &p, &r, &m);
	progress_end(&p);
	if (e != ERR_OK)
		return cli_fail(j->cli, e, "%s", m.text);
	return print_result(j, backup_about(j->files.chain[j->files.n - 1]), &r, progress_seconds(&p), size_of(j->file),
	                    j->check || j->dry_run ? NULL : j->config->journal);
}

/* ---- the commands --------------------------------------------------------------------------------------------------------- */

static int load_config(struct job *j)
{
	struct errmsg m;
	if (j->conf == NULL)
		return EXIT_OK;
	j->config = calloc(1, sizeof *j->config);
	enum err e = j->config ? config_load(j->conf, j->config, &m) : err_set(&m, ERR_NOMEM, "out of memory");
	return e == ERR_OK ? EXIT_OK : cli_fail(j->cli, e, "%s", m.text);
}

static void release(struct job *j)
{
	backup_files_close(&j->files);
	free(j->config);
}

/* Options and two files, or with --check one. */
static int read_arguments(struct job *j, int argc, char **argv, bool restores, const char *files[2])
{
	static const struct option backup_options[] = {{"since", required_argument, NULL, 's'}, {"check", no_argument, NULL, 'k'}, {"damaged", no_argument, NULL, 'd'}, {NULL, 0, NULL, 0}};
	static const struct option restore_options[] = {{"since", required_argument, NULL, 's'}, {"dry-run", no_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
	int c;
	cli_options_begin();
	while ((c = cli_option(j->cli, argc, argv, restores ? restore_options : backup_options)) != -1) {
		if (c == '?')
			return EXIT_USAGE;
		if (c == 's' && j->n_since == SINCE_MAX)
			return cli_fail(j->cli, ERR_USAGE, "%s: --since at most %d times", argv[0], SINCE_MAX);
		if (c == 's')
			j->since[j->n_since++] = optarg;
		j->check |= c == 'k';
		j->damaged |= c == 'd';
		j->dry_run |= c == 'n';
	}
	int n = argc - optind;
	for (int i = 0; i < n && i < 2; i++)
		files[i] = argv[optind + i];
	if (n != (j->check ? 1 : 2))
		return cli_fail(j->cli, ERR_USAGE, "%s: %s", argv[0], restores ? "the file of a backup, and node.conf" : j->check ? "--check and the file of a backup" : "node.conf, and a file to write");
	return EXIT_OK;
}

int cmd_backup(struct cli *cli, int argc, char **argv)
{
	struct job j = {.cli = cli};
	const char *files[2] = {NULL, NULL};
	int status = read_arguments(&j, argc, argv, false, files);
	if (status != EXIT_OK)
		return status;
	j.file = files[j.check ? 0 : 1];
	j.conf = j.check ? NULL : files[0];
	if (!j.check && j.n_since > 1)
		return cli_fail(cli, ERR_USAGE, "backup: --since once, with the last backup");
	longwork_begin();
	status = load_config(&j);
	if (status == EXIT_OK)
		status = j.check ? look(&j) : backup(&j);
	release(&j);
	return status;
}

int cmd_restore(struct cli *cli, int argc, char **argv)
{
	struct job j = {.cli = cli};
	const char *files[2] = {NULL, NULL};
	int status = read_arguments(&j, argc, argv, true, files);
	if (status != EXIT_OK)
		return status;
	j.file = files[0];
	j.conf = files[1];
	longwork_begin();
	status = load_config(&j);
	if (status == EXIT_OK)
		status = look(&j);
	release(&j);
	return status;
}
