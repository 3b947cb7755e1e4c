/* cmd_proof.c - `journal verify FILE` of an export or an evidence package, and `evidence`: making one, and opening one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/commands.h"
#include "node/cli/evidence.h"
#include "node/cli/keys.h"
#include "node/cli/output.h"
#include "node/cli/proof.h"
#include "node/cli/session.h"
#include "storage/store.h"

/* ---- verify ------------------------------------------------------------------------------------------------------------- */

/* The second line of the authority's public key file: what minisign calls the key. */
static const char *authority_text(const struct proof *p, char out[128])
{
	char text[400];
	if (!p->has_authority)
		return NULL;
	minisign_public_format(&p->authority, text, sizeof text);
	char *line = strchr(text, '\n');
	snprintf(out, 128, "%.*s", line ? (int)strcspn(line + 1, "\r\n") : 0, line ? line + 1 : "");
	return out;
}

static int print_proof(struct cli *cli, const struct proof *p, double seconds, const char *what)
{
	char findings[PROOF_FINDINGS * 401] = "", site[LIMIT_NAME_BYTES + 1], authority[128], text[64] = "", *serials = text;
	struct output o;
	for (size_t i = 0; i < p->n_findings; i++) {
		strcat(findings, i ? "\n" : "");
		strcat(findings, p->finding[i]);
	}
	if (p->n_rosters)
		snprintf(text, sizeof text, "%u to %u", p->rosters[p->n_rosters - 1]->serial, p->rosters[0]->serial);
	struct estafette_member m[] = {
		MEMBER_FLAG("ok", p->wrong == 0), MEMBER_TEXT("file", p->file), MEMBER_TEXT("what", what), MEMBER_TEXT("site", proof_site(p, p->site, site)),
		MEMBER_TEXT("authority", authority_text(p, authority)), MEMBER_FLAG("signed", p->is_signed), MEMBER_TIME("from", p->evidence ? p->from.us : 0),
		MEMBER_TIME("to", p->evidence ? p->to.us : 0), MEMBER_TIME("first_arrived", p->first_arrived.us), MEMBER_TIME("last_arrived", p->last_arrived.us),
		MEMBER_NUMBER("entries", (int64_t)p->entries), MEMBER_NUMBER("messages", (int64_t)p->messages), MEMBER_NUMBER("reports", (int64_t)p->reports),
		MEMBER_NUMBER("grants", (int64_t)p->grants), MEMBER_NUMBER("streams", (int64_t)p->streams), MEMBER_NUMBER("heads", (int64_t)p->heads),
		MEMBER_NUMBER("heads_unchecked", (int64_t)p->heads_unchecked), MEMBER_NUMBER("bodies", (int64_t)p->bodies), MEMBER_NUMBER("bodies_missing", (int64_t)p->bodies_missing),
		MEMBER_TEXT("rosters", p->n_rosters ? serials : NULL), MEMBER_NUMBER("orders", (int64_t)p->orders), MEMBER_NUMBER("endorsements", (int64_t)p->endorsements),
		MEMBER_NUMBER("seconds_ms", (int64_t)(seconds * 1000)), MEMBER_NUMBER("wrong", (int64_t)p->wrong), {"findings", ESTAFETTE_LIST, findings, 0}};
	output_begin(&o, cli);
	o.upright = true;
	output_row(&o, m, sizeof m / sizeof m[0]);
	return output_end(&o, NULL);
}

/* Of an export the signatures are checked with the roster that -c names. */
static enum err given_roster(struct cli *cli, struct roster **out, struct errmsg *m)
{
	struct config *c = cli->conf_path ? calloc(1, sizeof *c) : NULL;
	enum err e = c ? config_load(cli->conf_path, c, m) : cli->conf_path ? err_set(m, ERR_NOMEM, "out of memory") : ERR_OK;
	if (c && e == ERR_OK)
		e = config_load_roster(c, out, m);
	free(c);
	return e;
}

static enum err look(struct cli *cli, struct proof *p, double *seconds, struct errmsg *m)
{
	struct roster *roster = NULL;
	struct progress progress;
	enum err e = given_roster(cli, &roster, m);
	progress_begin(&progress, "verify");
	if (e == ERR_OK)
		e = proof_read(p, roster, progress_show, &progress, m);
	progress_end(&progress);
	*seconds = progress_seconds(&progress);
	return e;
}

static int say_wrong(struct cli *cli, const struct proof *p)
{
	if (p->wrong == 1)
		return cli_fail(cli, ERR_DAMAGED, "%s: %s", p->file, p->finding[0]);
	return cli_fail(cli, ERR_DAMAGED, "%s: %llu things are wrong, the first: %s", p->file, (unsigned long long)p->wrong, p->finding[0]);
}

int proof_verify(struct cli *cli, const char *file, const char *authority)
{
	struct proof p = {.file = file};
	struct minisign_public expected;
	struct errmsg m = {0};
	double seconds = 0;
	enum err e = authority ? authority_read_public(authority, &expected, &m) : ERR_OK;
	p.expected = authority ? &expected : NULL;
	longwork_begin();
	if (e == ERR_OK)
		e = look(cli, &p, &seconds, &m);
	if (e == ERR_OK && authority && !p.has_authority && !p.wrong)
		e = err_set(&m, ERR_NOT_FOUND, "%.200s: an export says nothing of an authority (verify it with -c node.conf)", file);
	int status = e == ERR_OK ? print_proof(cli, &p, seconds, p.evidence ? "evidence" : "export") : cli_fail(cli, e, "%s", m.text);
	if (e == ERR_OK && p.wrong)
		status = say_wrong(cli, &p);
	proof_release(&p);
	return status;
}

/* ---- evidence: making one -------------------------------------------------------------------------------------------------- */

struct asked {
	struct cli *cli;
	struct wall from, to;
	const char *file, *open, *into, *conf;
};

static int print_made(const struct asked *a, const struct source *s, const struct evidence *ev, const struct counts *n)
{
	struct output o;
	struct estafette_member m[] = {MEMBER_TEXT("file", a->file), MEMBER_TEXT("site", store_birth(s->store)->site_id), MEMBER_TIME("from", a->from.us), MEMBER_TIME("to", a->to.us),
	                               MEMBER_NUMBER("messages", (int64_t)ev->messages), MEMBER_NUMBER("reports", (int64_t)ev->reports), MEMBER_NUMBER("entries", (int64_t)n->entries),
	                               MEMBER_NUMBER("bodies", (int64_t)n->bodies), MEMBER_NUMBER("unopened", (int64_t)ev->unopened), MEMBER_NUMBER("unsigned", (int64_t)s->unsigned_entries)};
	output_begin(&o, a->cli);
	o.upright = true;
	output_row(&o, m, sizeof m / sizeof m[0]);
	return output_end(&o, NULL);
}

static enum err make_of(const struct asked *a, struct source *s, struct evidence *ev, struct counts *n, struct errmsg *m)
{
	struct pick pick = {.precedence = -1, .from = {INT64_MIN}, .to = {INT64_MAX}, .wanted = evidence_wants, .arg = ev};
	struct progress p;
	enum err e = config_load_authority(s->config, &ev->authority, m);
	if (e == ERR_OK)
		e = site_keys_check(s->keys, s->roster, m);
	if (e != ERR_OK)
		return e;
	progress_begin(&p, "evidence");
	e = evidence_choose(s, ev, &p, m);
	progress_end(&p);
	return e == ERR_OK ? export_binary(s, &pick, ev, a->file, n, m) : e;
}

static int make(const struct asked *a)
{
	struct evidence ev = {.from = a->from, .to = a->to};
	struct source s = {0};
	struct counts n = {0};
	struct errmsg m = {0};
	int status = source_open(&s, a->cli, a->conf, KEYS_NEEDED);
	if (status == EXIT_OK) {
		enum err e = make_of(a, &s, &ev, &n, &m);
		status = e == ERR_OK ? print_made(a, &s, &ev, &n) : cli_fail(a->cli, e, "%s", m.text);
	}
	evidence_release(&ev);
	source_close(&s);
	return status;
}

/* ---- evidence: opening one --------------------------------------------------------------------------------------------------- */

static int print_opened(const struct asked *a, const struct opened *n)
{
	struct output o;
	struct estafette_member m[] = {MEMBER_TEXT("file", a->file), MEMBER_TEXT("folder", a->into), MEMBER_NUMBER("messages", (int64_t)n->messages),
	                               MEMBER_NUMBER("bodies", (int64_t)n->bodies), MEMBER_NUMBER("unopened", (int64_t)n->unopened)};
	output_begin(&o, a->cli);
	o.upright = true;
	output_row(&o, m, sizeof m / sizeof m[0]);
	return output_end(&o, NULL);
}

/* Nothing is opened of what does not verify. */
static int open_one(const struct asked *a)
{
	struct proof p = {.file = a->file};
	struct site_keys *keys = calloc(1, sizeof *keys);
	struct opened n = {0};
	struct errmsg m = {0};
	double seconds;
	enum err e = keys ? site_keys_read(a->open, keys, &m) : err_set(&m, ERR_NOMEM, "out of memory");
	if (e == ERR_OK)
		e = look(a->cli, &p, &seconds, &m);
	int status = e != ERR_OK ? cli_fail(a->cli, e, "%s", m.text) : p.wrong ? say_wrong(a->cli, &p) : EXIT_OK;
	if (status == EXIT_OK) {
		e = evidence_open(a->file, proof_roster(&p), keys, a->into, &n, &m);
		status = e == ERR_OK ? print_opened(a, &n) : cli_fail(a->cli, e, "%s", m.text);
		if (e == ERR_OK)
			fprintf(stderr, "estafette: %s: the messages in it are opened and readable for whoever gets the folder (keep it as it must be kept)\n", a->into);
	}
	if (keys)
		site_keys_wipe(keys);
	free(keys);
	proof_release(&p);
	return status;
}

/* ---- the command ---------------------------------------------------------------------------------------------------------------- */

static bool read_time(struct cli *cli, const char *option, const char *text, struct wall *out)
{
	if (wall_parse(text, out) == ERR_OK)
		return true;
	cli_fail(cli, ERR_USAGE, "evidence: --%s %s: no time (write 2021-07-14T22:00:00Z)", option, text);
	return false;
}

static int read_arguments(struct asked *a, int argc, char **argv)
{
	static const struct option options[] = {{"from", required_argument, NULL, 'f'}, {"to", required_argument, NULL, 't'}, {"open", required_argument, NULL, 'o'}, {NULL, 0, NULL, 0}};
	bool from = false, to = false;
	int c;
	cli_options_begin();
	while ((c = cli_option(a->cli, argc, argv, options)) != -1) {
		if (c == '?' || (c == 'f' && !read_time(a->cli, "from", optarg, &a->from)) || (c == 't' && !read_time(a->cli, "to", optarg, &a->to)))
			return EXIT_USAGE;
		from |= c == 'f';
		to |= c == 't';
		if (c == 'o')
			a->open = optarg;
	}
	if (a->open ? from || to || argc - optind != 2 : argc - optind != 1)
		return cli_fail(a->cli, ERR_USAGE, a->open ? "evidence --open KEYFILE: a package, and a folder to make" : "evidence: a file to write, --from and --to");
	if (!a->open && (!from || !to || a->from.us >= a->to.us))
		return cli_fail(a->cli, ERR_USAGE, from && to ? "evidence: --from is not before --to: that time is empty" : "evidence: --from and --to say which time it is about");
	a->file = argv[optind];
	a->into = a->open ? argv[optind + 1] : NULL;
	return EXIT_OK;
}

int cmd_evidence(struct cli *cli, int argc, char **argv)
{
	struct asked a = {.cli = cli};
	char conf[CONFIG_PATH_BYTES];
	int status = read_arguments(&a, argc, argv);
	if (status != EXIT_OK)
		return status;
	longwork_begin();
	if (a.open)
		return open_one(&a);
	a.conf = conf;
	return session_conf(cli, conf, &status) ? make(&a) : status;
}
