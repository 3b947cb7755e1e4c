/* How a verification runs: the work is cut into tasks, one or two workers take them, and what they found is added up. Each worker
 * has a read transaction of its own, both of one snapshot, so that all of it is of one moment. */
#include "storage/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/verify_pass.h"

#define PROGRESS_RECORDS 100000
#define UNSEEN_RECORDS 4096
/* Enough that two workers end at about the same time, though tasks differ in what they cost. */
#define PARTS 16

/* ---- findings ------------------------------------------------------------------------------------------ */

void wrong(struct pass *p, enum wrong kind, const char *fmt, ...)
{
	va_list ap;
	p->out->wrong++;
	if (p->now->count[kind]++)
		return;
	char *line = p->out->finding[p->out->n_findings++];
	p->now->line[kind] = (uint8_t)p->out->n_findings;
	va_start(ap, fmt);
	vsnprintf(line, sizeof p->out->finding[0], fmt, ap);
	va_end(ap);
}

static void tell_how_many(struct tally *a)
{
	for (size_t k = 0; k < WRONG_KINDS; k++) {
		if (a->count[k] < 2)
			continue;
		char *line = a->r.finding[a->line[k] - 1], more[48];
		size_t size = sizeof a->r.finding[0];
		size_t n = (size_t)snprintf(more, sizeof more, " (and %llu more)", (unsigned long long)a->count[k] - 1);
		size_t at = strnlen(line, size - 1 - n);
		snprintf(line + at, size - at, "%s", more);
	}
}

static void add_findings(struct tally *sum, const struct tally *a)
{
	for (size_t i = 0; i < a->r.n_findings; i++) {
		size_t k = 0;
		while (a->line[k] != i + 1)
			k++;
		if (!sum->line[k]) {
			memcpy(sum->r.finding[sum->r.n_findings++], a->r.finding[i], sizeof a->r.finding[i]);
			sum->line[k] = (uint8_t)sum->r.n_findings;
		}
		sum->count[k] += a->count[k];
	}
	sum->r.wrong += a->r.wrong;
}

static void add_tally(struct tally *sum, const struct tally *a)
{
	add_findings(sum, a);
	sum->r.entries += a->r.entries;
	sum->r.streams += a->r.streams;
	sum->r.heads += a->r.heads;
	sum->r.heads_unchecked += a->r.heads_unchecked;
	sum->r.bodies += a->r.bodies;
	sum->r.body_bytes += a->r.body_bytes;
	sum->r.places += a->r.places;
	sum->r.messages += a->r.messages;
	sum->positions += a->positions;
	sum->inline_bodies += a->inline_bodies;
	sum->index_records += a->index_records;
	for (int class = 0; class < BODY_CLASSES; class++)
		sum->slices[class] += a->slices[class];
}

static const char *table_name(uint8_t table)
{
	static const char *const names[] = {
		[TABLE_META] = "meta",         [TABLE_STREAM] = "stream",       [TABLE_QUEUE] = "queue",
		[TABLE_ALARM] = "alarm",       [TABLE_DAMAGE] = "damage",       [TABLE_MISSING] = "missing",
		[TABLE_LEASE] = "lease",       [TABLE_STATE] = "state",         [TABLE_ENTRY] = "entry",
		[TABLE_CLOSING] = "closing",   [TABLE_CONFLICT] = "conflict",   [TABLE_HANDED] = "handed key",
		[TABLE_ORDER_WAIT] = "report that waits", [TABLE_BRANCH] = "branch",
		[TABLE_QUARANTINE] = "quarantine", [TABLE_REDO] = "work under way",
		[TABLE_POSITION] = "position", [TABLE_HEAD] = "head",           [TABLE_GRANT] = "grant",
		[TABLE_EXPIRY] = "expiry",     [TABLE_BODY_ROW] = "body row",   [TABLE_BODY_HASH] = "body hash",
		[TABLE_STREAM_NAME] = "stream name", [TABLE_QUEUE_NAME] = "queue name",
		[TABLE_FLOOR] = "floor",         [TABLE_REPLAY] = "copy to be replayed", [TABLE_REPLAY_OUT] = "replayed copy at a desk",
		[TABLE_REPLAY_JOB] = "replay",  [TABLE_BEARER] = "bearer of arrival",
		[TABLE_STATE_SINCE] = "time that state came", [TABLE_WHOLE_SINCE] = "time that a body came", [TABLE_LINK] = "state of a link",
		[TABLE_ORPHAN] = "orphan",     [TABLE_PART_APART] = "part",     [TABLE_PART] = "part",
		[TABLE_PLACE] = "place",       [TABLE_MSG] = "message",         [TABLE_KEY] = "idempotency key",
	};
	return table < sizeof names / sizeof *names && names[table] ? names[table] : "unknown";
}

void wrong_record(struct pass *p, struct view key)
{
	char hex[2 * KEY_BYTES_MAX + 1];
	size_t n = key.len < 40 ? key.len : 40;
	hex_format(key.ptr + 1, n ? n - 1 : 0, hex);
	wrong(p, WRONG_RECORD, "%s record %s: its check does not fit", table_name(key.len ? key.ptr[0] : 0), hex);
}

/* ---- walks that go on behind damage --------------------------------------------------------------------- */

struct walk pass_table(struct pass *p, enum table table)
{
	struct key all = key_table(table);
	return walk_begin(p->t, &all);
}

struct walk pass_task(struct pass *p)
{
	struct walk w = pass_table(p, p->task->from.b[0]);
	w.at = p->task->from;
	return w;
}

/* Now and then the others are told how far this worker came, and it hears whether to stop. */
static bool look_up(struct pass *p)
{
	struct whole *w = p->w;
	uint64_t seen = __atomic_add_fetch(&w->seen, p->unseen, __ATOMIC_RELAXED);
	p->unseen = 0;
	if (p->first && w->o->progress && seen - p->told >= PROGRESS_RECORDS) {
		p->told = seen;
		if (!w->o->progress(w->o->arg, seen < w->of ? seen : w->of, w->of))
			__atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
	}
	return !__atomic_load_n(&w->stop, __ATOMIC_RELAXED);
}

bool pass_see(struct pass *p)
{
	return ++p->unseen < UNSEEN_RECORDS || look_up(p);
}

bool pass_next(struct pass *p, struct walk *w)
{
	while (!p->err && !walk_next(w)) {
		if (w->err != ERR_DAMAGED) {
			p->err = w->err;
			return false;
		}
		if (pass_behind(p, w->key))
			return false;
		p->now->index_records += w->at.db == DB_INDEX;
		wrong_record(p, w->key);
		walk_step_over(w);
	}
	if (p->err || pass_behind(p, w->key) || !pass_see(p))
		return false;
	p->now->index_records += w->at.db == DB_INDEX;
	return true;
}

bool pass_behind(const struct pass *p, struct view key)
{
	struct view to = key_view(&p->task->to);
	size_t n = key.len < to.len ? key.len : to.len;
	if (!to.len || to.ptr[0] != p->task->from.b[0] || !key.len || key.ptr[0] != to.ptr[0])
		return false;
	int c = memcmp(key.ptr, to.ptr, n);
	return c > 0 || (c == 0 && key.len >= to.len);
}

struct stream_state *pass_stream(struct pass *p, uint32_t local)
{
	return local < p->w->n_streams && p->w->streams[local].known ? &p->w->streams[local] : NULL;
}

enum err pass_entry(struct pass *p, uint64_t arrival, struct entry_row *out)
{
	struct key k = key_entry(arrival);
	struct view value;
	enum err e = kv_get_next(p->t->k, k.db, key_view(&k), &value);
	if (e)
		return e;
	if (value.len < CHECK_BYTES)
		return ERR_DAMAGED;
	struct rd r = rd_init(view_of(value.ptr, value.len - CHECK_BYTES));
	return codec_entry_read(key_view(&k), &r, out);
}

/* ---- what stands still meanwhile ----------------------------------------------------------------------------- */

static void load_streams(struct pass *p)
{
	struct walk w = pass_table(p, TABLE_STREAM);
	p->w->n_streams = record_last_u32(p->t, TABLE_STREAM) + 1;
	p->w->streams = calloc(p->w->n_streams ? p->w->n_streams : 1, sizeof *p->w->streams);
	if (!p->w->streams || p->w->n_streams == 0)
		p->err = ERR_NOMEM;
	while (!p->err && pass_next(p, &w)) {
		struct stream_row row;
		if (codec_stream_read(w.key, &w.row, &row) || row.local >= p->w->n_streams) {
			wrong_record(p, w.key);
			continue;
		}
		if (!row.floor)
			row.floor_chain = stream_hash(&p->s->birth.network, &row.name);
		p->w->streams[row.local] = (struct stream_state){.row = row, .known = true};
		p->out->streams++;
	}
}

static void load_queues(struct pass *p)
{
	struct walk w = pass_table(p, TABLE_QUEUE);
	p->w->n_queues = record_last_u32(p->t, TABLE_QUEUE) + 1;
	p->w->queues = calloc(p->w->n_queues ? p->w->n_queues : 1, sizeof *p->w->queues);
	if (!p->w->queues || p->w->n_queues == 0)
		p->err = ERR_NOMEM;
	while (!p->err && pass_next(p, &w)) {
		struct queue_row row;
		if (codec_queue_read(w.key, &w.row, &row) || row.local >= p->w->n_queues)
			wrong(p, WRONG_COUNT, "a queue's row cannot be read");
		else
			p->w->queues[row.local] = (struct queue_state){.row = row, .known = true};
	}
}

/* Each key's first byte names a table that lies in this database. */
static void check_tables(struct pass *p)
{
	for (int db = 0; db < DB_COUNT; db++) {
		struct key k = {.db = db, .len = 1};
		struct view key, value;
		while (!p->err && kv_seek(p->t->k, db, key_view(&k), &key, &value) == ERR_OK) {
			uint8_t table = key.len ? key.ptr[0] : 0;
			enum kv_db home = key_table(table).db;
			if (strcmp(table_name(table), "unknown") == 0 || (home != (enum kv_db)db && !(home == DB_BODIES0 && db == DB_BODIES1)))
				wrong(p, WRONG_UNKNOWN, "database %d: a record of table %u, which does not lie there", db, table);
			if (table == UINT8_MAX)
				break;
			k.b[0] = (uint8_t)(table + 1);
		}
	}
}

static void verify_rows(struct pass *p)
{
	check_tables(p);
	load_streams(p);
	load_queues(p);
}

/* Tables that stand for themselves: only their checks. */
static void verify_plain(struct pass *p)
{
	struct walk w = pass_task(p);
	while (pass_next(p, &w))
		;
}

/* ---- tasks ----------------------------------------------------------------------------------------------------- */

static void push_task(struct pass *p, void (*run)(struct pass *), const struct key *from, const struct key *to)
{
	struct whole *w = p->w;
	if (w->n_tasks == w->cap_tasks) {
		size_t cap = w->cap_tasks ? 2 * w->cap_tasks : 128;
		struct task *more = realloc(w->tasks, cap * sizeof *more);
		if (!more) {
			p->err = ERR_NOMEM;
			return;
		}
		w->tasks = more;
		w->cap_tasks = cap;
		p->task = NULL; /* it may have moved */
	}
	struct task *t = &w->tasks[w->n_tasks++];
	memset(t, 0, sizeof *t);
	t->run = run;
	t->from = *from;
	if (to)
		t->to = *to;
	t->last = !to;
}

/* Tasks between the cuts, which ascend; those that are equal fall together. */
static void push_between(struct pass *p, void (*run)(struct pass *), enum table table, const struct key *cut, unsigned n)
{
	struct key from = key_table(table);
	for (unsigned i = 0; i < n; i++) {
		if (cut[i].len == from.len && memcmp(cut[i].b, from.b, from.len) == 0)
			continue;
		push_task(p, run, &from, &cut[i]);
		from = cut[i];
	}
	push_task(p, run, &from, NULL);
}

/* Eight bytes of a key as a number, those that it lacks as zeros. */
static uint64_t eight_of(const struct key *k, size_t at)
{
	uint64_t x = 0;
	for (size_t i = 0; i < 8; i++)
		x = x << 8 | (at + i < k->len ? k->b[at + i] : 0);
	return x;
}

static bool table_ends(struct pass *p, enum table table, struct key *first, struct key *last)
{
	struct key all = key_table(table), limit = key_table(table);
	struct view key, value;
	limit.b[0]++;
	return kv_seek(p->t->k, all.db, key_view(&all), &key, &value) == ERR_OK && key.ptr[0] == all.b[0] && key_from(first, all.db, key) &&
	       kv_before(p->t->k, all.db, key_view(&limit), &key, &value) == ERR_OK && key_from(last, all.db, key);
}

void add_task(struct pass *p, void (*run)(struct pass *), enum table table, unsigned parts)
{
	struct key first, last, cut[PARTS];
	size_t same = 0;
	unsigned n = 0;
	if (!table_ends(p, table, &first, &last)) {
		push_between(p, run, table, NULL, 0);
		return;
	}
	while (same < first.len && same < last.len && first.b[same] == last.b[same])
		same++;
	uint64_t from = eight_of(&first, same), span = eight_of(&last, same) - from;
	for (unsigned i = 1; i < parts && span >= parts; i++) {
		uint64_t x = __builtin_bswap64(from + span / parts * i);
		struct key *k = &cut[n++];
		*k = key_table(table);
		memcpy(k->b, first.b, same);
		memcpy(k->b + same, &x, sizeof x);
		k->len = (uint8_t)(same + sizeof x);
	}
	push_between(p, run, table, cut, n);
}

void add_task_by_number(struct pass *p, void (*run)(struct pass *), enum table table, unsigned parts)
{
	struct key cut[PARTS];
	uint64_t all = 0, before = 0;
	unsigned n = 0;
	for (uint32_t i = 0; i < p->w->n_streams; i++)
		all += p->w->streams[i].known ? p->w->streams[i].row.held : 0;
	for (uint32_t i = 0; i < p->w->n_streams && n + 1 < parts; i++) {
		uint64_t held = p->w->streams[i].known ? p->w->streams[i].row.held : 0;
		for (uint64_t at; n + 1 < parts && all >= parts && (at = all / parts * (n + 1)) < before + held;)
			cut[n++] = key_stream_number(table, i, at - before);
		before += held;
	}
	push_between(p, run, table, cut, n);
}

/* ---- workers ----------------------------------------------------------------------------------------------------- */

static void take_up(struct pass *p, struct task *t)
{
	p->task = t;
	p->now = &t->tally;
	p->out = &t->tally.r;
}

/* The first worker takes tasks from the beginning, the other from the end, until they meet. */
static void work(void *arg)
{
	struct pass *p = arg;
	struct whole *w = p->w;
	size_t mine = 0, of = w->n_tasks - w->begin;
	while (!p->err && !__atomic_load_n(&w->stop, __ATOMIC_RELAXED) && __atomic_fetch_add(&w->taken, 1, __ATOMIC_RELAXED) < of) {
		take_up(p, &w->tasks[p->first ? w->begin + mine : w->n_tasks - 1 - mine]);
		mine++;
		p->task->run(p);
	}
	if (p->err)
		__atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
}

static void work_off(struct whole *w, struct pass *p)
{
	w->taken = 0;
	if (!p[1].t || !w->o->both(w->o->arg, work, &p[0], &p[1]))
		work(&p[0]);
	if (!p[0].err)
		p[0].err = p[1].err;
}

/* One task, at once and by the first worker. */
static void do_now(struct pass *p, void (*run)(struct pass *))
{
	struct key none = key_table(TABLE_META);
	if (p->err || p->w->stop)
		return;
	push_task(p, run, &none, NULL);
	if (p->err)
		return;
	take_up(p, &p->w->tasks[p->w->n_tasks - 1]);
	p->w->begin = p->w->n_tasks;
	run(p);
}

/* What does not need what another task found. */
static void plan(struct pass *p)
{
	static const enum table plain[] = {TABLE_META, TABLE_ALARM, TABLE_DAMAGE, TABLE_STATE, TABLE_CLOSING, TABLE_ORDER_WAIT,
	                                   TABLE_STREAM_NAME, TABLE_QUEUE_NAME, TABLE_REPLAY, TABLE_REPLAY_OUT, TABLE_REPLAY_JOB, TABLE_BEARER,
	                                   TABLE_STATE_SINCE, TABLE_WHOLE_SINCE, TABLE_LINK};
	add_task(p, verify_entries, TABLE_ENTRY, PARTS);
	add_task(p, verify_places, TABLE_PLACE, PARTS);
	add_task(p, verify_leases, TABLE_LEASE, 1);
	add_task(p, verify_messages, TABLE_MSG, PARTS);
	add_task(p, verify_missing, TABLE_MISSING, 1);
	add_task(p, verify_grants, TABLE_GRANT, 1);
	add_task(p, verify_floors, TABLE_FLOOR, 1);
	add_task(p, verify_expiry, TABLE_EXPIRY, PARTS);
	add_task(p, verify_takeover, TABLE_CONFLICT, 1);
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		add_task(p, verify_plain, plain[i], 1);
	add_task(p, verify_plain, TABLE_KEY, PARTS);
	/* At the end, from where the second worker comes: signatures are arithmetic, all else waits for memory, and where the two share a core
	 * one at each is faster than both at the same. */
	add_task_by_number(p, verify_heads, TABLE_HEAD, PARTS);
}

/* Both counted for themselves over the same rows; from here on they share what was counted. */
static enum err add_worker(struct pass *p, struct pass *other)
{
	for (uint32_t i = 0; i < p->w->n_queues; i++)
		for (int x = 0; x < 2; x++)
			for (int k = 0; k < PREC_COUNT; k++) {
				p->counts[i].waiting[x][k] += other->counts[i].waiting[x][k];
				p->counts[i].leased[x][k] += other->counts[i].leased[x][k];
			}
	if (!refs_room(p, other->n_refs))
		return ERR_NOMEM;
	for (uint64_t i = 0; i < other->n_refs; i++)
		p->refs[i] += other->refs[i];
	free(other->refs);
	other->refs = p->refs;
	other->n_refs = p->n_refs;
	return ERR_OK;
}

static bool counts_room(struct pass *p)
{
	p->counts = calloc(p->w->n_queues ? p->w->n_queues : 1, sizeof *p->counts);
	return p->counts != NULL;
}

/* What is known only when all entries were read. */
static void plan_rest(struct pass *p)
{
	do_now(p, verify_stream_rows);
	do_now(p, verify_counts);
	if (p->err)
		return;
	add_task(p, verify_body_rows, TABLE_BODY_ROW, PARTS);
	add_task(p, verify_orphans, TABLE_ORPHAN, 1);
	add_task(p, verify_body_hashes, TABLE_BODY_HASH, 1);
}

static void run_passes(struct whole *w, struct pass *p)
{
	do_now(&p[0], verify_rows);
	if (!p[0].err && (!counts_room(&p[0]) || !counts_room(&p[1])))
		p[0].err = ERR_NOMEM;
	if (!p[0].err)
		plan(&p[0]);
	if (p[0].err)
		return;
	work_off(w, p);
	if (!p[0].err && !w->stop)
		p[0].err = add_worker(&p[0], &p[1]);
	if (!p[0].err && !w->stop)
		plan_rest(&p[0]);
	if (p[0].err || w->stop)
		return;
	work_off(w, p);
	do_now(&p[0], verify_parts);
	do_now(&p[0], verify_positions);
}

static void release(struct whole *w, struct pass *p)
{
	if (p[1].refs != p[0].refs)
		free(p[1].refs);
	free(p[0].refs);
	for (int i = 0; i < 2; i++) {
		txn_abort(p[i].t);
		free(p[i].counts);
		buf_release(&p[i].buf);
	}
	for (size_t i = 0; i < w->n_tasks; i++)
		free(w->tasks[i].reach);
	free(w->tasks);
	free(w->streams);
	free(w->queues);
}

enum err verify_run(struct store *s, const struct verify_options *o, struct verify_result *out)
{
	static const struct verify_options none;
	struct whole w = {.s = s, .o = o ? o : &none};
	struct pass p[2] = {{.w = &w, .s = s, .o = w.o, .first = true}, {.w = &w, .s = s, .o = w.o}};
	struct tally *sum = calloc(1, sizeof *sum);
	memset(out, 0, sizeof *out);
	enum err e = !sum ? ERR_NOMEM : w.o->both ? txn_begin_pair(s, &p[0].t, &p[1].t) : txn_begin(s, false, &p[0].t);
	if (e) {
		free(sum);
		return e;
	}
	for (int db = 0; db < DB_COUNT; db++)
		w.of += kv_count(p[0].t->k, db);
	run_passes(&w, p);
	for (size_t i = 0; i < w.n_tasks; i++)
		add_tally(sum, &w.tasks[i].tally);
	tell_how_many(sum);
	*out = sum->r;
	out->interrupted = w.stop && !p[0].err;
	e = p[0].err;
	release(&w, p);
	free(sum);
	return e;
}

void sum_tallies(const struct pass *p, struct tally *sum)
{
	memset(sum, 0, sizeof *sum);
	for (size_t i = 0; i < p->w->n_tasks; i++)
		add_tally(sum, &p->w->tasks[i].tally);
}
