/* cmd_import.c - `journal import`: what an export holds and this site's journal lacks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/cli/commands.h"
#include "node/cli/import.h"
#include "node/cli/longwork.h"
#include "node/cli/output.h"

static int print_result(struct cli *cli, const struct importer *im, bool dry_run)
{
	const struct import_counts *n = &im->n;
	struct output o;
	struct estafette_member m[] = {MEMBER_TEXT("file", im->file), MEMBER_NUMBER("entries", (int64_t)n->read), MEMBER_NUMBER("added", (int64_t)n->added),
	                               MEMBER_NUMBER("bodies", (int64_t)n->bodies), MEMBER_NUMBER("held", (int64_t)n->held), MEMBER_NUMBER("gaps", (int64_t)n->gap),
	                               MEMBER_NUMBER("other_streams", (int64_t)n->strange), MEMBER_FLAG("dry_run", dry_run)};
	output_begin(&o, cli);
	o.upright = true;
	output_row(&o, m, sizeof m / sizeof m[0]);
	return output_end(&o, NULL);
}

/* One transaction: all that fits, or nothing. */
static enum err import_all(struct importer *im, struct store *s, bool dry_run)
{
	enum err e = txn_begin(s, true, &im->t);
	if (e != ERR_OK)
		return err_set(im->m, e, "%.200s: the journal cannot be written: %s", im->config->journal, err_text(e));
	e = importer_begin(im);
	if (e == ERR_OK)
		e = import_file(im);
	if (e == ERR_OK)
		e = importer_finish(im);
	if (e != ERR_OK || dry_run) {
		txn_abort(im->t);
		return e;
	}
	e = txn_commit(im->t);
	return e == ERR_OK ? e : err_set(im->m, e, "%.200s: the journal cannot be written: %s (nothing was imported)", im->config->journal, err_text(e));
}

static enum err run(struct importer *im, struct config *c, const char *conf, bool dry_run)
{
	struct roster *roster = NULL;
	struct store *s = NULL;
	struct store_options o = {0};
	enum err e = config_load(conf, c, im->m);
	if (e == ERR_OK)
		e = config_load_roster(c, &roster, im->m);
	im->config = c;
	im->roster = roster;
	im->self = e == ERR_OK ? roster_site_by_id(roster, view_str(c->site)) : NULL;
	if (e == ERR_OK && im->self == NULL)
		e = err_set(im->m, ERR_UNKNOWN_SITE, "%.200s: site %s is not in the roster", conf, c->site);
	o.quota_bytes = c->quota_bytes;
	if (e == ERR_OK)
		e = store_open(c->journal, &o, &s, im->m);
	if (e == ERR_OK && !hash_equal(&store_birth(s)->network, &roster->network_hash))
		e = err_set(im->m, ERR_CONFLICT, "%.200s: the journal of another network than that of the roster", c->journal);
	if (e == ERR_OK)
		e = import_all(im, s, dry_run);
	store_close(s);
	im->roster = NULL;
	roster_free(roster);
	return e;
}

int cmd_journal_import(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"dry-run", no_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
	struct errmsg m = {0};
	struct importer im = {.m = &m};
	struct timespec now;
	bool dry_run = false;
	int c;
	cli_options_begin();
	while ((c = cli_option(cli, argc, argv, options)) != -1) {
		if (c != 'n')
			return EXIT_USAGE;
		dry_run = true;
	}
	if (argc - optind != 2)
		return cli_fail(cli, ERR_USAGE, "journal import: node.conf of a stopped node, and the file of an export");
	clock_gettime(CLOCK_REALTIME, &now);
	im.now = (struct wall){now.tv_sec * 1000000LL + now.tv_nsec / 1000};
	im.file = argv[optind + 1];
	longwork_begin();
	struct config *config = calloc(1, sizeof *config);
	enum err e = config ? run(&im, config, argv[optind], dry_run) : err_set(&m, ERR_NOMEM, "out of memory");
	int status = e == ERR_OK ? print_result(cli, &im, dry_run) : cli_fail(cli, e, "%s", m.text);
	importer_release(&im);
	free(config);
	return status;
}
