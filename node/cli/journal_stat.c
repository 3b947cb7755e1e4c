#include "node/cli/journal_stat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/cli/output.h"
#include "storage/usage.h"

#define PART_NAME_BYTES (2 * LIMIT_NAME_BYTES + 24)

struct part { char name[PART_NAME_BYTES]; uint64_t key; struct usage_sum sum; };
struct parts { struct part *of; size_t n; };

struct stat_work {
	struct cli *cli;
	const struct roster *roster;
	struct usage usage;
	struct usage_sum entries;    /* with their bodies */
	struct queue_row *queues;
	size_t n_queues;
	uint64_t waiting, leased, last_arrival, streams;
	struct parts month, queue, originator;
};

static enum err part_add(struct parts *p, uint64_t key, uint64_t bytes, struct part **added)
{
	struct part *at = NULL;
	*added = NULL;
	for (size_t i = p->n; i-- > 0 && !at;)
		if (p->of[i].key == key)
			at = &p->of[i];
	if (!at) {
		struct part *more = realloc(p->of, (p->n + 1) * sizeof *more);
		if (!more)
			return ERR_NOMEM;
		p->of = more;
		*added = at = &p->of[p->n++];
		*at = (struct part){.key = key};
	}
	at->sum.records++;
	at->sum.bytes += bytes;
	return ERR_OK;
}

static const char *name_of(const struct stat_work *w, uint16_t site, char out[LIMIT_NAME_BYTES + 1])
{
	if (w->roster)
		return roster_site_name(w->roster, site, out);
	snprintf(out, LIMIT_NAME_BYTES + 1, "site-%u", site);
	return out;
}

static void queue_text(const struct stat_work *w, const struct usage_entry *e, char out[PART_NAME_BYTES])
{
	char site[LIMIT_NAME_BYTES + 1];
	for (size_t i = 0; e->queue && i < w->n_queues; i++)
		if (w->queues[i].local == e->queue) {
			snprintf(out, PART_NAME_BYTES, "%s/%s", name_of(w, w->queues[i].site, site), w->queues[i].name);
			return;
		}
	snprintf(out, PART_NAME_BYTES, "%s (in no queue)", name_of(w, e->addressee, site));
}

static enum err count_entry(void *arg, const struct usage_entry *e)
{
	struct stat_work *w = arg;
	struct part *added;
	struct tm tm = {0};
	char site[LIMIT_NAME_BYTES + 1];
	uint64_t bytes = e->bytes + e->body_bytes;
	time_t stored = (time_t)(e->row->stored.us / US_PER_S);
	gmtime_r(&stored, &tm);
	enum err err = part_add(&w->month, (uint64_t)(tm.tm_year + 1900) * 12 + (uint64_t)tm.tm_mon, bytes, &added);
	if (added)
		snprintf(added->name, sizeof added->name, "%04d-%02d", tm.tm_year + 1900, tm.tm_mon + 1);
	if (!err)
		err = part_add(&w->queue, e->queue ? e->queue : 1ULL << 32 | e->addressee, bytes, &added);
	if (!err && added)
		queue_text(w, e, added->name);
	struct header h;
	uint16_t originator = header_decode(e->row->e.header, &h) ? 0 : h.originator;
	if (!err)
		err = part_add(&w->originator, originator, bytes, &added);
	if (!err && added)
		snprintf(added->name, sizeof added->name, "%s", name_of(w, originator, site));
	w->entries.records++;
	w->entries.bytes += bytes;
	return err;
}

static enum err note_queue(void *arg, const struct queue_row *q)
{
	struct stat_work *w = arg;
	struct queue_row *more = realloc(w->queues, (w->n_queues + 1) * sizeof *more);
	if (!more)
		return ERR_NOMEM;
	w->queues = more;
	w->queues[w->n_queues++] = *q;
	for (int x = 0; x < 2; x++)
		for (int p = 0; p < PREC_COUNT; p++) {
			w->waiting += q->waiting[x][p];
			w->leased += q->leased[x][p];
		}
	return ERR_OK;
}

static enum err read_rows(struct stat_work *w, struct store *s)
{
	struct txn *t = NULL;
	enum err e = txn_begin(s, false, &t);
	if (e == ERR_OK)
		e = store_queue_each(t, note_queue, w);
	if (e == ERR_OK) {
		w->last_arrival = store_last_arrival(t);
		w->streams = store_stream_last(t);
	}
	txn_abort(t);
	return e;
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

static void row(struct output *o, const char *by, const char *name, const struct usage_sum *sum, bool counted)
{
	struct estafette_member m[] = {MEMBER_TEXT("by", by), MEMBER_TEXT("name", name), MEMBER_NUMBER("records", (int64_t)sum->records), MEMBER_NUMBER("bytes", (int64_t)sum->bytes)};
	if (!counted)
		m[2] = (struct estafette_member){"records", ESTAFETTE_NULL, NULL, 0};
	output_row(o, m, sizeof m / sizeof m[0]);
}

static void space_row(struct output *o, const char *name, uint64_t bytes)
{
	row(o, "space", name, &(struct usage_sum){0, bytes}, false);
}

static void rows_space(struct output *o, const struct usage *u)
{
	for (unsigned db = 0; db < USAGE_DATABASES; db++)
		space_row(o, usage_database_name(db), u->pages[db] * u->page_bytes);
	space_row(o, "(of the database itself)", u->own_pages * u->page_bytes);
	space_row(o, "(free pages)", u->free_pages * u->page_bytes);
	space_row(o, "(allocated, never used)", u->tail_bytes);
}

static void rows_tables(struct output *o, const struct usage *u)
{
	static const char *const class[] = {"operational", "exercise", "of both"}, *const kind[] = {"headers", "bodies", "indexes"};
	char name[64];
	for (unsigned t = 0; t < USAGE_TABLES; t++)
		if (u->table[t].records) {
			snprintf(name, sizeof name, "%s", usage_table_name(t) ? usage_table_name(t) : "(unknown)");
			row(o, "table", name, &u->table[t], true);
		}
	for (unsigned c = 0; c < USAGE_CLASSES; c++)
		for (unsigned k = 0; k < USAGE_KINDS; k++)
			if (u->of[c][k].records) {
				snprintf(name, sizeof name, "%s, %s", class[c], kind[k]);
				row(o, "class", name, &u->of[c][k], true);
			}
}

static int by_key(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	return (x->key > y->key) - (x->key < y->key);
}

static int by_bytes(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	return x->sum.bytes != y->sum.bytes ? (x->sum.bytes < y->sum.bytes) - (x->sum.bytes > y->sum.bytes) : strcmp(x->name, y->name);
}

static void rows_parts(struct output *o, const char *by, struct parts *p, int (*order)(const void *, const void *), uint64_t rest)
{
	if (p->n)
		qsort(p->of, p->n, sizeof *p->of, order);
	for (size_t i = 0; i < p->n; i++)
		row(o, by, p->of[i].name, &p->of[i].sum, true);
	row(o, by, "(of no entry)", &(struct usage_sum){0, rest}, false);
}

static uint64_t all_bytes(const struct usage *u)
{
	uint64_t n = 0;
	for (unsigned t = 0; t < USAGE_TABLES; t++)
		n += u->table[t].bytes;
	return n;
}

static int show(struct stat_work *w, const char *dir, struct store *s)
{
	const struct store_birth *b = store_birth(s);
	const struct usage *u = &w->usage;
	struct store_space space;
	struct output o;
	store_space(s, &space);
	struct estafette_member m[] = {
		MEMBER_TEXT("site", b->site_id), MEMBER_TIME("born", b->born.us), MEMBER_TEXT("how", b->how == BIRTH_LOST ? "lost" : "fresh"),
		MEMBER_FLAG("in_use", store_is_locked(dir)), MEMBER_NUMBER("last_arrival", (int64_t)w->last_arrival), MEMBER_NUMBER("streams", (int64_t)w->streams),
		MEMBER_NUMBER("queues", (int64_t)w->n_queues), MEMBER_NUMBER("waiting", (int64_t)w->waiting), MEMBER_NUMBER("leased", (int64_t)w->leased),
		MEMBER_NUMBER("used_bytes", space.used_bytes), MEMBER_NUMBER("quota_bytes", space.quota_bytes), MEMBER_NUMBER("file_bytes", (int64_t)u->file_bytes),
		MEMBER_NUMBER("entries", (int64_t)u->table[16].records), MEMBER_NUMBER("record_bytes", (int64_t)all_bytes(u)),
		MEMBER_NUMBER("page_bytes", u->page_bytes), MEMBER_NUMBER("free_pages", (int64_t)u->free_pages), MEMBER_NUMBER("damaged", (int64_t)u->damaged)};
	output_begin(&o, w->cli);
	o.upright = true;
	output_row(&o, m, sizeof m / sizeof m[0]);
	int status = output_end(&o, NULL);
	if (!w->cli->json)
		puts("");
	output_begin(&o, w->cli);
	rows_space(&o, u);
	rows_tables(&o, u);
	uint64_t rest = all_bytes(u) - w->entries.bytes;
	rows_parts(&o, "month", &w->month, by_key, rest);
	rows_parts(&o, "queue", &w->queue, by_bytes, rest);
	rows_parts(&o, "originator", &w->originator, by_bytes, rest);
	int rows = output_end(&o, NULL);
	return status != EXIT_OK ? status : rows;
}

int journal_stat(struct cli *cli, const char *dir, struct store *s, const struct roster *roster)
{
	struct stat_work w = {.cli = cli, .roster = roster};
	enum err e = read_rows(&w, s);
	if (e == ERR_OK)
		e = store_usage(s, count_entry, &w, &w.usage);
	int status = e == ERR_OK ? show(&w, dir, s) : cli_fail(cli, e, "%s: %s (journal verify says more)", dir, err_text(e));
	free(w.queues);
	free(w.month.of);
	free(w.queue.of);
	free(w.originator.of);
	return status;
}
