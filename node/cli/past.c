#include "node/cli/past.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node/cli/backup_files.h"
#include "node/cli/longwork.h"
#include "node/cli/output.h"
#include "node/client/client.h"
#include "node/core/apply.h"
#include "node/core/past.h"
#include "node/daemon/config.h"
#include "storage/past.h"
#include "storage/store.h"

/* A journal up to this size is looked at in memory, a larger one in a temporary folder. */
#define IN_MEMORY_BYTES (256LL * 1024 * 1024)
#define QUOTA_BYTES (1LL << 42)
#define CLIENT 1
/* The core's own clock: past everything that it waits for after a start. */
#define SINCE_START_US (60 * US_PER_S)
#define SHOW_MS 250

struct past {
	const struct cli *cli;
	struct wall at;
	struct config *config;
	struct site_keys keys;
	struct minisign_public authority;
	struct roster *roster;
	struct store *store;       /* of then */
	char folder[CONFIG_PATH_BYTES]; /* temporary, removed at the end; empty: in memory */
	struct core *core;
	struct effects out;
	estafette *h;
	struct past_result result;
	bool roster_of_file;
	struct timespec begun;
	int64_t shown_ms;
};

/* ---- how far ------------------------------------------------------------------------------------------------------------ */

static bool shown(struct past *p, const char *what, uint64_t done, uint64_t of, const char *things)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t ms = (now.tv_sec - p->begun.tv_sec) * 1000LL + (now.tv_nsec - p->begun.tv_nsec) / 1000000;
	if (ms - p->shown_ms >= SHOW_MS && isatty(STDERR_FILENO)) {
		p->shown_ms = ms;
		fprintf(stderr, "\r%s %" PRIu64 " of %" PRIu64 " %s  ", what, done, of, things);
	}
	return !longwork_stopped();
}

static bool reading(void *arg, uint64_t done, uint64_t of)
{
	return shown(arg, "reading", done, of, "entries");
}

static bool unpacking(void *arg, uint64_t done, uint64_t of)
{
	return shown(arg, "unpacking", done / 1048576, of / 1048576, "MiB");
}

static void shown_end(const struct past *p)
{
	if (p->shown_ms)
		fprintf(stderr, "\r%60s\r", "");
}

/* ---- a journal of then ---------------------------------------------------------------------------------------------------- */

static enum err temporary_folder(struct past *p, struct errmsg *m)
{
	const char *under = getenv("TMPDIR");
	if (p->folder[0])
		return ERR_OK;
	snprintf(p->folder, sizeof p->folder, "%s/estafette-at-XXXXXX", under && under[0] ? under : "/tmp");
	if (mkdtemp(p->folder) == NULL) {
		p->folder[0] = '\0';
		return err_set(m, cli_err_of_errno(), "%s: no temporary folder can be made there: %s (name another in TMPDIR)", under && under[0] ? under : "/tmp", strerror(errno));
	}
	return ERR_OK;
}

static enum err temporary(struct past *p, const struct store_birth *birth, struct errmsg *m)
{
	char dir[CONFIG_PATH_BYTES + 16];
	enum err e = temporary_folder(p, m);
	if (e != ERR_OK)
		return e;
	snprintf(dir, sizeof dir, "%s/journal", p->folder);
	struct store_options o = {.quota_bytes = QUOTA_BYTES};
	e = store_create(dir, birth, &o, m);
	return e == ERR_OK ? store_open(dir, &o, &p->store, m) : e;
}

/* A backup, with those that it builds on, as a journal. */
static enum err put_back(struct past *p, const char *file, char *dir, size_t size, struct errmsg *m)
{
	struct backup_files f = {.file = file};
	struct backup_watch watch = {unpacking, p};
	struct backup_result *r = calloc(1, sizeof *r);
	enum err e = r ? temporary_folder(p, m) : err_set(m, ERR_NOMEM, "out of memory");
	snprintf(dir, size, "%s/backup", p->folder);
	if (e == ERR_OK)
		e = backup_files_open(&f, m);
	if (e == ERR_OK)
		e = backup_restore(f.chain, f.n, dir, &(struct store_options){.quota_bytes = QUOTA_BYTES}, &watch, r, m);
	if (e == ERR_CLOSED)
		err_set(m, e, "%.300s: it was interrupted", file);
	backup_files_close(&f);
	free(r);
	return e;
}

static void temporary_remove(const struct past *p)
{
	static const char *const of[] = {"journal", "backup"}, *const files[] = {"data.mdb", "lock.mdb", "lock"};
	char path[CONFIG_PATH_BYTES + 32];
	for (size_t k = 0; p->folder[0] && k < sizeof of / sizeof of[0]; k++) {
		for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
			snprintf(path, sizeof path, "%s/%s/%s", p->folder, of[k], files[i]);
			unlink(path);
		}
		snprintf(path, sizeof path, "%s/%s", p->folder, of[k]);
		rmdir(path);
	}
	if (p->folder[0])
		rmdir(p->folder);
}

static enum err check_whose(const struct past *p, const struct store *s, const char *dir, struct errmsg *m)
{
	const struct store_birth *b = store_birth(s);
	bool network = hash_equal(&b->network, &p->roster->network_hash);
	if (network && strcmp(b->site_id, p->config->site) == 0)
		return ERR_OK;
	return err_set(m, ERR_CONFLICT, "%.200s: it is the journal of %s%s, and node.conf and its keys are of %s (name those of that site)", dir, b->site_id,
	               network ? "" : " in another network", p->config->site);
}

/* named: a folder, or a backup. */
static enum err fill(struct past *p, const char *named, struct errmsg *m)
{
	char unpacked[CONFIG_PATH_BYTES + 16];
	struct store *from = NULL;
	struct store_space space;
	struct stat st;
	bool is_file = stat(named, &st) == 0 && S_ISREG(st.st_mode);
	const char *dir = is_file ? unpacked : named;
	enum err e = is_file ? put_back(p, named, unpacked, sizeof unpacked, m) : ERR_OK;
	if (e == ERR_OK)
		e = store_open(dir, &(struct store_options){.read_only = true, .check_pages = true}, &from, m);
	if (e != ERR_OK)
		return e;
	e = check_whose(p, from, named, m);
	store_space(from, &space);
	if (e == ERR_OK && space.used_bytes > IN_MEMORY_BYTES)
		e = temporary(p, store_birth(from), m);
	else if (e == ERR_OK && (e = store_open_memory(store_birth(from), &(struct store_options){.quota_bytes = QUOTA_BYTES}, NULL, NULL, &p->store)) != ERR_OK)
		err_set(m, e, "out of memory");
	if (e == ERR_OK) {
		struct errmsg why = {0};
		char at[WALL_TEXT_BYTES];
		wall_format(p->at, 0, at);
		e = store_past(from, p->at, p->store, reading, p, &p->result, &why);
		if (e != ERR_OK)
			err_set(m, e, "%.300s at %s: %s", named, at, why.text);
	}
	store_close(from);
	return e;
}

/* ---- the core ------------------------------------------------------------------------------------------------------------- */

static enum err apply(struct past *p, struct event ev, struct errmsg *m)
{
	ev.now = (struct mono){SINCE_START_US};
	ev.wall = p->at;
	effects_clear(&p->out);
	enum err e = core_apply(p->core, p->store, &ev, 1, &p->out);
	return e == ERR_OK ? e : err_set(m, e, "what was held then cannot be put in order: %s", err_text(e));
}

/* The roster of then is in the journal, unless an old version never put it there. */
static enum err roster_of_then(struct past *p, struct roster **out, struct errmsg *m)
{
	enum err e = core_kept_roster(p->store, &p->authority, out);
	if (e != ERR_OK)
		return err_set(m, e, "the rosters in the journal cannot be read: %s", err_text(e));
	if (*out != NULL)
		return ERR_OK;
	*out = p->roster; /* transferred */
	p->roster = NULL;
	p->roster_of_file = true;
	return ERR_OK;
}

static enum err begin(struct past *p, struct errmsg *m)
{
	struct core_config k = {.suite = &crypt_suite_real, .keys = p->keys, .lease_us = p->config->lease_us, .past = true, .has_authority = true,
	                        .authority = p->authority.key};
	struct event open = {.type = EVENT_CLIENT_OPEN};
	struct roster *roster = NULL;
	uint64_t all = 3 * p->result.entries;
	memcpy(k.authority_id, p->authority.key_id, sizeof k.authority_id);
	crypt_system_seed(k.seed);
	enum err e = roster_of_then(p, &roster, m);
	if (e == ERR_OK)
		e = core_new(&k, roster, p->store, &p->core, m);
	site_keys_wipe(&k.keys);
	if (e == ERR_OK)
		e = apply(p, (struct event){.type = EVENT_START}, m);
	while (e == ERR_OK && !core_past_ready(p->core)) {
		uint64_t left = core_past_left(p->core);
		if (!shown(p, "putting in order", left < all ? (all - left) / 3 : 0, p->result.entries, "entries"))
			e = err_set(m, ERR_CLOSED, "it was interrupted");
		else
			e = apply(p, (struct event){.type = EVENT_TICK}, m);
	}
	open.u.client.client = CLIENT;
	return e == ERR_OK ? apply(p, open, m) : e;
}

/* ---- opening ---------------------------------------------------------------------------------------------------------------- */

static enum err load(struct past *p, const char *conf, const char *journal, struct errmsg *m)
{
	p->config = calloc(1, sizeof *p->config);
	p->h = estafette_new();
	if (p->config == NULL || p->h == NULL)
		return err_set(m, ERR_NOMEM, "out of memory");
	enum err e = config_load(conf, p->config, m);
	if (e == ERR_OK)
		e = config_load_authority(p->config, &p->authority, m);
	if (e == ERR_OK)
		e = config_load_roster(p->config, &p->roster, m);
	if (e == ERR_OK)
		e = config_load_keys(p->config, &p->keys, m);
	/* Keys of another enrolment open nothing, and what is sealed to them would silently not be in the answer. A site that was removed has a past. */
	const struct site *self = e == ERR_OK ? roster_site_by_id(p->roster, view_str(p->config->site)) : NULL;
	if (self && !self->removed)
		e = site_keys_check(&p->keys, p->roster, m);
	if (e == ERR_OK)
		e = fill(p, journal ? journal : p->config->journal, m);
	return e == ERR_OK ? begin(p, m) : e;
}

static void note(const struct past *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void note(const struct past *p, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	json_t *object = p->cli->json ? json_pack("{s:s}", "note", text) : NULL;
	char *line = object ? json_dumps(object, JSON_COMPACT) : NULL;
	if (line)
		fprintf(stderr, "%s\n", line);
	else
		fprintf(stderr, "estafette: note: %s\n", text);
	free(line);
	json_decref(object);
}

/* What the answers lack. */
static void notes(const struct past *p)
{
	const struct past_result *r = &p->result;
	char first[WALL_TEXT_BYTES];
	wall_format(r->first, 0, first);
	if (r->retired > 0)
		note(p, "%" PRIu64 " entries have been retired from this journal: what only they said is not known any more (the first that is left came at %s)", r->retired, first);
	if (r->stubs > 0)
		note(p, "of %" PRIu64 " messages of then only the headers are left: they stand in no queue here", r->stubs);
	if (r->damaged > 0)
		note(p, "%" PRIu64 " entries of then are damaged and left out (`estafette journal verify` says which)", r->damaged);
	if (r->undated > 0)
		note(p, "since when %" PRIu64 " of its orders, endorsements, rosters and dictionaries are here was not noted by the version that wrote them: the times in them were taken", r->undated);
	if (r->later > 0)
		note(p, "this node's clock was set back: of %" PRIu64 " entries that had come by then it said a later time", r->later);
	if (p->roster_of_file)
		note(p, "no roster of then is in this journal: the one in %s was taken", p->config->roster);
}

struct past *past_open(const struct cli *cli, const char *conf, const char *journal, struct wall at, int *status)
{
	struct errmsg m = {0};
	struct past *p = calloc(1, sizeof *p);
	if (p == NULL) {
		*status = cli_fail(cli, ERR_NOMEM, "--at: out of memory");
		return NULL;
	}
	*p = (struct past){.cli = cli, .at = at, .out = EFFECTS_EMPTY};
	clock_gettime(CLOCK_MONOTONIC, &p->begun);
	longwork_begin();
	enum err e = load(p, conf, journal, &m);
	shown_end(p);
	if (e == ERR_OK) {
		notes(p);
		return p;
	}
	*status = cli_fail(cli, e, "%s", m.text);
	past_close(p);
	return NULL;
}

void past_close(struct past *p)
{
	if (p == NULL)
		return;
	core_free(p->core);
	store_close(p->store);
	temporary_remove(p);
	roster_free(p->roster);
	site_keys_wipe(&p->keys);
	effects_release(&p->out);
	estafette_free(p->h);
	free(p->config);
	free(p);
}

/* ---- asking ------------------------------------------------------------------------------------------------------------------- */

estafette *past_handle(struct past *p)
{
	return p->h;
}

void past_say(const struct past *p, FILE *to)
{
	struct estafette_member at = MEMBER_TIME("at", p->at.us), last = MEMBER_TIME("last", p->result.last.us);
	char *a = output_text(&at), *b = output_text(&last);
	fprintf(to, "at %s (the last entry of then: %s)\n\n", a ? a : "", p->result.arrival && b ? b : "none");
	free(a);
	free(b);
}

static void reply_error_text(struct past *p, struct view fields)
{
	struct request_item f;
	char code[32] = "internal", text[400] = "";
	while (request_next(&fields, &f) == ERR_OK) {
		if (f.field == F_CODE)
			view_to_str(f.value, code, sizeof code);
		if (f.field == F_TEXT)
			view_to_str(f.value, text, sizeof text);
	}
	client_fail(p->h, ESTAFETTE_REFUSED, code, "%s", text);
}

int past_show(struct past *p, const char *what, const char *queue, const char *id, int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg)
{
	struct call c = {.row = row, .row_arg = arg};
	struct event ev = {.type = EVENT_REQUEST};
	struct buf b = BUF_EMPTY;
	struct request_writer w;
	struct errmsg m;
	struct msgid of;
	int st = ESTAFETTE_OK;
	if (id != NULL && msgid_parse(view_str(id), &of) != ERR_OK)
		return client_fail(p->h, ESTAFETTE_USAGE, "usage", "not the id of a message (26 letters and digits)");
	request_begin(&w, &b, REQ_SHOW, 1);
	request_str(&w, F_WHAT, what);
	request_str(&w, F_QUEUE, queue);
	if (id != NULL)
		request_id(&w, &of);
	request_end(&w);
	ev.u.request.client = CLIENT;
	ev.u.request.bytes = buf_view(&b);
	enum err e = apply(p, ev, &m);
	if (e != ERR_OK)
		st = client_fail(p->h, ESTAFETTE_REFUSED, err_code(e), "%s", m.text);
	for (size_t i = 0; st == ESTAFETTE_OK && i < p->out.n; i++) {
		struct request r;
		if (p->out.list[i].type != EFFECT_REPLY || request_decode(effect_bytes(&p->out, &p->out.list[i]), &r) != ERR_OK)
			continue;
		if (r.type == REPLY_ROW)
			st = show_a_row(p->h, &c, r.fields);
		else if (r.type == REPLY_ERROR) {
			reply_error_text(p, r.fields);
			st = ESTAFETTE_REFUSED;
		}
	}
	buf_release(&b);
	return st;
}
