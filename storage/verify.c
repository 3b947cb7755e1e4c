/* The passes of a verification: streams, entries in order of arrival, heads; then bodies and indexes. One read
 * transaction, so that all of it is of one moment. */
#include "storage/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/verify_pass.h"

#define PROGRESS_ENTRIES 100000

/* ---- findings ------------------------------------------------------------------------------------------ */

void wrong(struct pass *p, enum wrong kind, const char *fmt, ...)
{
	va_list ap;
	p->out->wrong++;
	if (p->count[kind]++)
		return;
	char *line = p->out->finding[p->out->n_findings++];
	p->line[kind] = (uint8_t)p->out->n_findings;
	va_start(ap, fmt);
	vsnprintf(line, sizeof p->out->finding[0], fmt, ap);
	va_end(ap);
}

static void tell_how_many(struct pass *p)
{
	for (size_t k = 0; k < WRONG_KINDS; k++) {
		if (p->count[k] < 2)
			continue;
		char *line = p->out->finding[p->line[k] - 1], more[48];
		size_t size = sizeof p->out->finding[0];
		size_t n = (size_t)snprintf(more, sizeof more, " (and %llu more)", (unsigned long long)p->count[k] - 1);
		size_t at = strnlen(line, size - 1 - n);
		snprintf(line + at, size - at, "%s", more);
	}
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
		[TABLE_ORPHAN] = "orphan",     [TABLE_PART_APART] = "part",     [TABLE_PART] = "part",
		[TABLE_PLACE] = "place",       [TABLE_MSG] = "message",         [TABLE_KEY] = "idempotency key",
	};
	return table < sizeof names / sizeof *names && names[table] ? names[table] : "unknown";
}

static void wrong_record(struct pass *p, struct view key)
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

bool pass_next(struct pass *p, struct walk *w)
{
	while (!p->err && !walk_next(w)) {
		if (w->err != ERR_DAMAGED) {
			p->err = w->err;
			return false;
		}
		wrong_record(p, w->key);
		walk_step_over(w);
	}
	return !p->err;
}

struct stream_state *pass_stream(struct pass *p, uint32_t local)
{
	return local < p->n_streams && p->streams[local].known ? &p->streams[local] : NULL;
}

/* ---- streams and entries ------------------------------------------------------------------------------------ */

static void load_streams(struct pass *p)
{
	struct walk w = pass_table(p, TABLE_STREAM);
	p->n_streams = record_last_u32(p->t, TABLE_STREAM) + 1;
	p->streams = calloc(p->n_streams, sizeof *p->streams);
	if (!p->streams || p->n_streams == 0)
		p->err = ERR_NOMEM;
	while (!p->err && pass_next(p, &w)) {
		struct stream_row row;
		if (codec_stream_read(w.key, &w.row, &row) || row.local >= p->n_streams) {
			wrong_record(p, w.key);
			continue;
		}
		struct stream_state *s = &p->streams[row.local];
		*s = (struct stream_state){.row = row, .known = true, .number = row.floor, .chain = row.floor_chain};
		if (!row.floor)
			s->chain = stream_hash(&p->s->birth.network, &row.name);
		p->out->streams++;
	}
}

static void check_hashes(struct pass *p, const struct entry_row *row)
{
	static const struct hash zero;
	struct entry e = row->e;
	entry_hash(&e);
	bool envelope = row->e.envelope.len ? hash_equal(&e.envelope_hash, &row->e.envelope_hash)
	                                    : (row->e.flags & ENTRY_STUB) || hash_equal(&row->e.envelope_hash, &zero);
	if (!hash_equal(&e.header_hash, &row->e.header_hash) || !envelope)
		wrong(p, WRONG_HASH, "entry %llu: its %s is not what its hash says", (unsigned long long)row->arrival,
		      envelope ? "header" : "envelope");
}

static void check_link(struct pass *p, struct stream_state *s, const struct entry_row *row)
{
	struct hash leaf = entry_leaf(&row->e), chain;
	if (row->number <= s->row.floor)
		return;
	if (row->number != s->number + 1)
		wrong(p, WRONG_NUMBER, "entry %llu: number %llu of stream %u, where %llu comes next", (unsigned long long)row->arrival,
		      (unsigned long long)row->number, row->stream, (unsigned long long)s->number + 1);
	chain = chain_next(&s->chain, row->number, &leaf);
	if (row->number == s->number + 1 && !hash_equal(&chain, &row->chain))
		wrong(p, WRONG_CHAIN, "entry %llu: number %llu of stream %u does not follow from the one before", (unsigned long long)row->arrival,
		      (unsigned long long)row->number, row->stream);
	s->number = row->number;
	s->chain = row->chain;
}

static void check_position(struct pass *p, const struct entry_row *row)
{
	struct key k = key_position(row->stream, row->number);
	struct view value;
	uint64_t arrival = 0;
	if (kv_get(p->t->k, k.db, key_view(&k), &value) == ERR_OK) {
		struct rd r = rd_init(value);
		arrival = rd_u64(&r);
	}
	if (arrival != row->arrival)
		wrong(p, WRONG_POSITION, "entry %llu: the position index has entry %llu for number %llu of stream %u",
		      (unsigned long long)row->arrival, (unsigned long long)arrival, (unsigned long long)row->number, row->stream);
}

static void verify_entries(struct pass *p)
{
	struct walk w = pass_table(p, TABLE_ENTRY);
	uint64_t of = store_last_arrival(p->t), before = 0;
	while (pass_next(p, &w)) {
		struct entry_row row;
		if (codec_entry_read(w.key, &w.row, &row)) {
			wrong_record(p, w.key);
			continue;
		}
		struct stream_state *s = pass_stream(p, row.stream);
		check_hashes(p, &row);
		check_position(p, &row);
		if (s)
			check_link(p, s, &row);
		else
			wrong(p, WRONG_STREAM, "entry %llu: there is no stream %u", (unsigned long long)row.arrival, row.stream);
		verify_entry_body(p, &row);
		before = row.arrival;
		if (++p->out->entries % PROGRESS_ENTRIES == 0 && p->o->progress && !p->o->progress(p->o->arg, p->out->entries, of)) {
			p->out->interrupted = true;
			return;
		}
	}
	if (!p->err && before != of)
		wrong(p, WRONG_NUMBER, "entry %llu is the last, where %llu was expected", (unsigned long long)before, (unsigned long long)of);
}

/* Every entry was found by its position; positions that are left over lead nowhere. */
static void verify_positions(struct pass *p)
{
	struct key k = key_table(TABLE_POSITION);
	struct view key, value;
	while (!p->err && kv_seek(p->t->k, k.db, key_view(&k), &key, &value) == ERR_OK && key.ptr[0] == TABLE_POSITION) {
		struct rd f = key_fields(key), r = rd_init(value);
		uint32_t stream = rd_u32(&f);
		uint64_t number = rd_u64(&f), arrival = rd_u64(&r);
		struct entry_row row;
		enum err e = store_entry_get(p->t, arrival, &row);
		if (e == ERR_NOT_FOUND || (!e && (row.stream != stream || row.number != number)))
			wrong(p, WRONG_POSITION, "number %llu of stream %u: its position leads to entry %llu, which is %s", (unsigned long long)number,
			      stream, (unsigned long long)arrival, e ? "not there" : "another's");
		if (!key_from(&k, k.db, key) || !key_step(&k))
			return;
	}
}

/* A stream's row, against how far its entries came. */
static void verify_stream_rows(struct pass *p)
{
	for (uint32_t i = 0; i < p->n_streams; i++) {
		const struct stream_state *s = &p->streams[i];
		if (!s->known)
			continue;
		if (s->number != s->row.held)
			wrong(p, WRONG_NUMBER, "stream %u: its row says %llu entries, its last is %llu", i, (unsigned long long)s->row.held,
			      (unsigned long long)s->number);
		else if (s->row.held && !hash_equal(&s->chain, &s->row.chain))
			wrong(p, WRONG_CHAIN, "stream %u: its row has another chain hash than its last entry", i);
		if (s->highest_head != s->row.head)
			wrong(p, WRONG_HEAD, "stream %u: its row says head %llu, the highest is %llu", i, (unsigned long long)s->row.head,
			      (unsigned long long)s->highest_head);
	}
}

/* ---- heads ---------------------------------------------------------------------------------------------------- */

static void check_head(struct pass *p, struct stream_state *s, const struct head *h)
{
	struct entry_row row;
	enum err e = store_entry_find(p->t, s->row.local, h->number, &row);
	/* A head may sign entries that are still to come. */
	bool fits = e == ERR_OK ? hash_equal(&row.chain, &h->chain) : e == ERR_DAMAGED || h->number <= s->row.floor || h->number > s->row.held;
	if (!fits)
		wrong(p, WRONG_HEAD, "stream %u: the head at %llu is not that of the chain", s->row.local, (unsigned long long)h->number);
	else if (p->o->verify_head && !p->o->verify_head(p->o->arg, &s->row.name, h))
		wrong(p, WRONG_HEAD, "stream %u: the signature of the head at %llu does not fit", s->row.local, (unsigned long long)h->number);
	p->out->heads++;
	p->out->heads_unchecked += !p->o->verify_head;
	s->highest_head = h->number;
}

static void verify_heads(struct pass *p)
{
	struct walk w = pass_table(p, TABLE_HEAD);
	while (pass_next(p, &w)) {
		struct rd k = key_fields(w.key);
		struct stream_state *s = pass_stream(p, rd_u32(&k));
		struct head h;
		if (codec_head_read(w.key, &w.row, &h))
			wrong_record(p, w.key);
		else if (!s)
			wrong(p, WRONG_HEAD, "a head at %llu of a stream that is not there", (unsigned long long)h.number);
		else
			check_head(p, s, &h);
	}
}

/* ---- the rest ----------------------------------------------------------------------------------------------------- */

/* Tables that stand for themselves: only their checks. */
static void verify_plain(struct pass *p)
{
	static const enum table plain[] = {TABLE_META, TABLE_ALARM, TABLE_DAMAGE, TABLE_STATE, TABLE_CLOSING, TABLE_ORDER_WAIT,
	                                   TABLE_KEY, TABLE_STREAM_NAME, TABLE_QUEUE_NAME};
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
		struct walk w = pass_table(p, plain[i]);
		while (pass_next(p, &w))
			;
	}
}

/* Each key's first byte names a table that lies in this database. */
static void verify_tables(struct pass *p)
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

static void run_passes(struct pass *p)
{
	verify_tables(p);
	load_streams(p);
	if (!p->err)
		verify_entries(p);
	if (p->err || p->out->interrupted)
		return;
	verify_positions(p);
	verify_heads(p);
	verify_stream_rows(p);
	verify_bodies(p);
	verify_indexes(p);
	verify_takeover(p);
	verify_plain(p);
}

enum err verify_run(struct store *s, const struct verify_options *o, struct verify_result *out)
{
	static const struct verify_options none;
	struct pass p = {.s = s, .o = o ? o : &none, .out = out};
	memset(out, 0, sizeof *out);
	p.err = txn_begin(s, false, &p.t);
	if (p.err)
		return p.err;
	run_passes(&p);
	tell_how_many(&p);
	txn_abort(p.t);
	free(p.streams);
	free(p.queues);
	free(p.refs);
	buf_release(&p.buf);
	return p.err;
}
