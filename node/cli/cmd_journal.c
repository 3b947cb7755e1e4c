/* cmd_journal.c - `journal verify|ls|show` (stat: journal_stat.c): a journal on disk, read only, whether its node runs or not.
 *
 * Given a folder, sites are numbers and signatures are not checked; given node.conf, the roster it names tells both. Nothing
 * here opens a seal. A read transaction lasts for a batch of rows only, as one that is kept open makes the file grow. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "node/cli/journal_stat.h"
#include "node/cli/mend.h"
#include "node/cli/output.h"
#include "node/cli/proof.h"
#include "node/daemon/config.h"
#include "proto/crypt.h"
#include "storage/store.h"
#include "storage/verify.h"

#define BATCH 256

struct journal {
	struct cli *cli;
	struct roster *roster;     /* NULL: only the folder is known */
	struct store *store;
	char dir[CONFIG_PATH_BYTES];
	struct stream_row *streams; /* by local number - 1 */
	size_t n_streams;
	struct timespec began;      /* of a verification */
};

/* ---- opening --------------------------------------------------------------------------------------------------- */

static int open_conf(struct journal *j, const char *path)
{
	struct errmsg m;
	struct config *c = calloc(1, sizeof *c);
	enum err e = c ? config_load(path, c, &m) : err_set(&m, ERR_NOMEM, "journal: out of memory");
	if (e == ERR_OK) {
		snprintf(j->dir, sizeof j->dir, "%s", c->journal);
		e = config_load_roster(c, &j->roster, &m);
	}
	free(c);
	return e == ERR_OK ? EXIT_OK : cli_fail(j->cli, e, "%s", m.text);
}

static enum err keep_stream(void *arg, const struct stream_row *row)
{
	struct journal *j = arg;
	struct stream_row *more = realloc(j->streams, (j->n_streams + 1) * sizeof *more);
	if (more == NULL)
		return ERR_NOMEM;
	j->streams = more;
	j->streams[j->n_streams++] = *row;
	return ERR_OK;
}

static const struct stream_row *stream_of(const struct journal *j, uint32_t local)
{
	for (size_t i = local > 0 && local <= j->n_streams ? local - 1 : 0; i < j->n_streams; i++)
		if (j->streams[i].local == local)
			return &j->streams[i];
	return NULL;
}

/* A file of entries, or a backup, is no journal, and can be verified all the same. */
enum file_kind { FILE_JOURNAL, FILE_ENTRIES, FILE_BACKUP };
static enum file_kind kind_of(const char *path)
{
	char begin[8] = "";
	struct stat st;
	FILE *f = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? fopen(path, "re") : NULL;
	size_t n = f ? fread(begin, 1, sizeof begin, f) : 0;
	if (f)
		fclose(f);
	if (n == sizeof begin && memcmp(begin, "estaback", n) == 0)
		return FILE_BACKUP;
	return n > 0 && (begin[0] == '{' || (n == sizeof begin && memcmp(begin, "estaexpo", n) == 0)) ? FILE_ENTRIES : FILE_JOURNAL;
}

static int journal_open(struct journal *j, const char *path)
{
	struct stat st;
	struct errmsg m;
	struct txn *t = NULL;
	int status = EXIT_OK;
	if (stat(path, &st) != 0)
		return cli_fail(j->cli, cli_err_of_errno(), "%s: %s (the folder of a journal, or a node.conf)", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		snprintf(j->dir, sizeof j->dir, "%s", path);
	else
		status = open_conf(j, path);
	if (status != EXIT_OK)
		return status;
	enum err e = store_open(j->dir, &(struct store_options){.read_only = true, .check_pages = true}, &j->store, &m);
	if (e != ERR_OK)
		return cli_fail(j->cli, e, "%s", m.text);
	e = txn_begin(j->store, false, &t);
	if (e == ERR_OK)
		e = store_stream_each(t, keep_stream, j);
	if (e == ERR_DAMAGED)
		e = ERR_OK; /* verify says which; the others can be looked at */
	txn_abort(t);
	return e == ERR_OK ? EXIT_OK : cli_fail(j->cli, e, "%s: reading the streams: %s (journal verify says more)", j->dir, err_text(e));
}

static void journal_close(struct journal *j)
{
	store_close(j->store);
	roster_free(j->roster);
	free(j->streams);
}

static const char *site_name(const struct journal *j, uint16_t number, char out[LIMIT_NAME_BYTES + 1])
{
	if (j->roster != NULL)
		return roster_site_name(j->roster, number, out);
	snprintf(out, LIMIT_NAME_BYTES + 1, "site-%u", number);
	return out;
}

/* ---- entries ------------------------------------------------------------------------------------------------- */

struct line {
	uint64_t arrival, number, body_bytes;
	enum err bad;
	struct header header;
	uint16_t addressee, from;
	struct wall stored;
	bool stub;
	struct hash chain, body, envelope;
	size_t envelope_bytes;
};

static void fill_line(const struct journal *j, uint64_t arrival, enum err e, const struct entry_row *row, struct line *l)
{
	memset(l, 0, sizeof *l);
	l->arrival = arrival;
	l->bad = e;
	if (e != ERR_OK || (l->bad = header_decode(row->e.header, &l->header)) != ERR_OK)
		return;
	const struct stream_row *s = stream_of(j, row->stream);
	l->number = row->number;
	l->addressee = s ? s->name.addressee : 0;
	l->from = row->from;
	l->stored = row->stored;
	l->body_bytes = row->e.body_len;
	l->stub = (row->e.flags & ENTRY_STUB) != 0;
	l->chain = row->chain;
	l->body = row->e.body_hash;
	l->envelope = row->e.envelope_hash;
	l->envelope_bytes = row->e.envelope.len;
}

/* Reads up to BATCH entries from *next on, in order of arrival, and moves *next behind them; 0 at the end. */
static size_t read_batch(struct journal *j, uint64_t *next, struct line *out, enum err *why)
{
	struct txn *t = NULL;
	size_t n = 0;
	*why = txn_begin(j->store, false, &t);
	while (*why == ERR_OK && n < BATCH) {
		struct entry_row row;
		enum err e = store_entry_from(t, *next, &row);
		if (e != ERR_OK && e != ERR_DAMAGED)
			break;
		fill_line(j, row.arrival, e, &row, &out[n++]);
		*next = row.arrival + 1;
	}
	txn_abort(t);
	return n;
}

static const char *kind_name(uint8_t kind)
{
	switch (kind) {
	case KIND_MESSAGE: return "message";
	case KIND_REPORT: return "report";
	case KIND_GRANT: return "grant";
	default: return "unknown";
	}
}

struct names { char id[MSGID_TEXT_BYTES], originator[LIMIT_NAME_BYTES + 1], addressee[LIMIT_NAME_BYTES + 1], from[LIMIT_NAME_BYTES + 1]; };

/* The members of one entry; returns how many. */
#define LINE_MEMBERS 20
static size_t line_members(const struct journal *j, const struct line *l, bool all, struct names *n, char hex[3][65], struct estafette_member *out)
{
	size_t k = 0;
	msgid_format(&l->header.id, n->id);
	out[k++] = MEMBER_NUMBER("arrival", (int64_t)l->arrival);
	if (l->bad != ERR_OK) {
		out[k++] = MEMBER_TEXT("damaged", err_text(l->bad));
		return k;
	}
	out[k++] = MEMBER_TEXT("id", n->id);
	out[k++] = MEMBER_TEXT("kind", kind_name(l->header.kind));
	out[k++] = MEMBER_TEXT("precedence", precedence_name(l->header.precedence));
	out[k++] = MEMBER_TEXT("originator", site_name(j, l->header.originator, n->originator));
	out[k++] = MEMBER_TEXT("addressee", site_name(j, l->addressee, n->addressee));
	out[k++] = MEMBER_NUMBER("number", (int64_t)l->number);
	out[k++] = MEMBER_NUMBER("size", (int64_t)l->body_bytes);
	out[k++] = MEMBER_FLAG("exercise", l->header.flags & HEADER_EXERCISE);
	out[k++] = MEMBER_TIME("sent", l->header.sent.us);
	if (!all)
		return k;
	out[k++] = MEMBER_TIME("stored", l->stored.us);
	out[k++] = MEMBER_TIME("handle_by", l->header.handle_by.us);
	out[k++] = MEMBER_TIME("expires", l->header.expires.us);
	out[k++] = MEMBER_TEXT("from", site_name(j, l->from, n->from));
	out[k++] = MEMBER_NUMBER("roster", l->header.roster);
	out[k++] = MEMBER_NUMBER("envelope", (int64_t)l->envelope_bytes);
	out[k++] = MEMBER_FLAG("stub", l->stub);
	hex_format(l->chain.b, HASH_BYTES, hex[0]);
	hex_format(l->envelope.b, HASH_BYTES, hex[1]);
	hex_format(l->body.b, HASH_BYTES, hex[2]);
	out[k++] = MEMBER_TEXT("chain", hex[0]);
	out[k++] = MEMBER_TEXT("envelope_hash", hex[1]);
	out[k++] = MEMBER_TEXT("body_hash", hex[2]);
	return k;
}

static void print_line(const struct journal *j, const struct line *l)
{
	struct names n;
	char hex[3][65];
	struct estafette_member m[LINE_MEMBERS];
	if (l->bad != ERR_OK) {
		printf("%10" PRIu64 "  %s\n", l->arrival, err_text(l->bad));
		return;
	}
	size_t k = line_members(j, l, false, &n, hex, m);
	char *sent = output_text(&m[k - 1]);
	printf("%10" PRIu64 "  %s  %-8s %-10s %-20s %-20s %8" PRIu64 " %10" PRIu64 "  %s\n", l->arrival, n.id, m[2].text, m[3].text, m[4].text, m[5].text,
	       l->number, l->body_bytes, sent ? sent : "");
	free(sent);
}

/* Every entry, or those of one id with all that is known of them. */
static int list(struct journal *j, const struct msgid *only)
{
	struct line *l = calloc(BATCH, sizeof *l);
	struct output o;
	uint64_t next = 1;
	size_t n, shown = 0;
	enum err e = l ? ERR_OK : ERR_NOMEM;
	output_begin(&o, j->cli);
	o.upright = true;
	while (e == ERR_OK && (n = read_batch(j, &next, l, &e)) > 0)
		for (size_t i = 0; i < n; i++) {
			struct names names;
			char hex[3][65];
			struct estafette_member m[LINE_MEMBERS];
			if (only != NULL && (l[i].bad != ERR_OK || !msgid_equal(only, &l[i].header.id)))
				continue;
			shown++;
			if (only == NULL && !j->cli->json)
				print_line(j, &l[i]);
			else
				output_row(&o, m, line_members(j, &l[i], only != NULL, &names, hex, m));
		}
	free(l);
	int status = output_end(&o, NULL);
	if (e != ERR_OK)
		return cli_fail(j->cli, e, "%s: %s", j->dir, err_text(e));
	if (only != NULL && shown == 0)
		return cli_fail(j->cli, ERR_NOT_FOUND, "%s: no entry with this id", j->dir);
	return status;
}

/* ---- verify ------------------------------------------------------------------------------------------------------ */

static bool check_head(void *arg, const struct stream_name *name, const struct head *h)
{
	const struct journal *j = arg;
	const struct site *s = roster_site(j->roster, name->originator);
	struct hash stream = stream_hash(&j->roster->network_hash, name);
	return s != NULL && head_verify(&crypt_suite_real, &s->identity, &stream, h);
}

struct half { void (*work)(void *); void *arg; };

static void *run_half(void *arg)
{
	struct half *h = arg;
	h->work(h->arg);
	return NULL;
}

static bool both(void *arg, void (*work)(void *), void *a, void *b)
{
	struct half other = {work, b};
	pthread_t thread;
	(void)arg;
	if (pthread_create(&thread, NULL, run_half, &other) != 0)
		return false;
	work(a);
	pthread_join(thread, NULL);
	return true;
}

static bool show_progress(void *arg, uint64_t records, uint64_t of)
{
	const struct journal *j = arg;
	struct timespec now;
	if (!isatty(STDERR_FILENO))
		return true;
	clock_gettime(CLOCK_MONOTONIC, &now);
	double s = (double)(now.tv_sec - j->began.tv_sec) + (double)(now.tv_nsec - j->began.tv_nsec) / 1e9;
	fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " records, %.0f a second  ", records, of, s > 0 ? (double)records / s : 0);
	return true;
}

static int verify(struct journal *j)
{
	char findings[VERIFY_FINDINGS * 201] = "";
	struct verify_options options = {.verify_head = j->roster ? check_head : NULL, .progress = show_progress, .both = both, .arg = j};
	struct verify_result *r = calloc(1, sizeof *r);
	struct output o;
	if (r == NULL)
		return cli_fail(j->cli, ERR_NOMEM, "journal verify: out of memory");
	clock_gettime(CLOCK_MONOTONIC, &j->began);
	enum err e = verify_run(j->store, &options, r);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%60s\r", "");
	for (size_t i = 0; i < r->n_findings; i++) {
		strcat(findings, i ? "\n" : "");
		strcat(findings, r->finding[i]);
	}
	struct estafette_member m[] = {
		MEMBER_FLAG("ok", e == ERR_OK && r->wrong == 0), MEMBER_NUMBER("entries", (int64_t)r->entries), MEMBER_NUMBER("streams", (int64_t)r->streams),
		MEMBER_NUMBER("heads", (int64_t)r->heads), MEMBER_NUMBER("heads_unchecked", (int64_t)r->heads_unchecked), MEMBER_NUMBER("bodies", (int64_t)r->bodies),
		MEMBER_NUMBER("body_bytes", (int64_t)r->body_bytes), MEMBER_NUMBER("places", (int64_t)r->places), MEMBER_NUMBER("messages", (int64_t)r->messages),
		MEMBER_NUMBER("wrong", (int64_t)r->wrong), {"findings", ESTAFETTE_LIST, findings, 0}};
	output_begin(&o, j->cli);
	o.upright = true;
	output_row(&o, m, sizeof m / sizeof m[0]);
	int status = output_end(&o, NULL);
	if (e != ERR_OK)
		status = cli_fail(j->cli, e, "%s: %s", j->dir, err_text(e));
	else if (r->wrong > 0)
		status = cli_fail(j->cli, ERR_DAMAGED, "%s: %" PRIu64 " things are wrong, the first: %s (keep a copy of the journal before anything else)", j->dir, r->wrong, r->finding[0]);
	free(r);
	return status;
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

static int run(struct journal *j, const char *what, const struct msgid *id)
{
	if (strcmp(what, "verify") == 0)
		return verify(j);
	if (strcmp(what, "stat") == 0)
		return journal_stat(j->cli, j->dir, j->store, j->roster);
	return list(j, strcmp(what, "show") == 0 ? id : NULL);
}

static int verify_file(struct cli *cli, const char *path, const char *authority, bool repair)
{
	char *backup[] = {(char *)(uintptr_t)"backup", (char *)(uintptr_t)"--check", (char *)(uintptr_t)path, NULL};
	bool is_backup = kind_of(path) == FILE_BACKUP;
	if (repair)
		return cli_fail(cli, ERR_USAGE, "journal verify: %s: --repair is for the journal of a stopped node", path);
	if (is_backup && authority)
		return cli_fail(cli, ERR_USAGE, "journal verify: %s: a backup says nothing of an authority", path);
	return is_backup ? cmd_backup(cli, 3, backup) : proof_verify(cli, path, authority);
}

int cmd_journal(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"repair", no_argument, NULL, 'r'}, {"authority", required_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
	const char *authority = NULL;
	static const char *const known[] = {"verify", "ls", "show", "stat"};
	struct journal j = {.cli = cli};
	struct msgid id = {{0}};
	bool ok = false, repair = false;
	int c;
	cli_options_begin();
	while ((c = cli_option(cli, argc, argv, options)) != -1) {
		if (c == '?')
			return EXIT_USAGE;
		repair |= c == 'r';
		authority = c == 'a' ? optarg : authority;
	}
	const char *what = optind < argc ? argv[optind] : "";
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		ok |= strcmp(what, known[i]) == 0;
	if (!ok)
		return cli_fail(cli, ERR_USAGE, "journal %s: unknown (verify, ls, show or stat)", what);
	bool shows = strcmp(what, "show") == 0;
	if (repair && strcmp(what, "verify") != 0)
		return cli_fail(cli, ERR_USAGE, "journal %s: --repair belongs to verify", what);
	if (argc - optind != (shows ? 3 : 2))
		return cli_fail(cli, ERR_USAGE, "journal %s: %s", what, shows ? "a folder or node.conf, and one id" : "one folder or node.conf");
	const char *path = argv[optind + 1];
	if (strcmp(what, "verify") == 0 && kind_of(path) != FILE_JOURNAL)
		return verify_file(cli, path, authority, repair);
	if (authority)
		return cli_fail(cli, ERR_USAGE, "journal %s: --authority belongs to verify of an evidence package", what);
	if (shows && msgid_parse(view_str(argv[optind + 2]), &id) != ERR_OK) {
		if (msgid_parse(view_str(path), &id) != ERR_OK)
			return cli_fail(cli, ERR_USAGE, "journal show %s: not the id of a message (26 letters and digits)", argv[optind + 2]);
		path = argv[optind + 2];
	}
	int status = repair ? mend_repair(cli, path) : EXIT_OK;
	if (status == EXIT_OK)
		status = journal_open(&j, path);
	if (status == EXIT_OK)
		status = run(&j, what, &id);
	journal_close(&j);
	return status;
}
