/* Verification of entries in order of arrival, their positions, the heads, and the rows of streams. */
#include <stdlib.h>

#include "storage/verify_pass.h"

/* ---- entries ------------------------------------------------------------------------------------------------ */

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

/* The first entry of a stream in this task: the one before it came in an earlier one, where it is looked at. */
static void begin_reach(struct pass *p, const struct stream_state *s, const struct entry_row *row, struct reach *at)
{
	struct entry_row before;
	*at = (struct reach){.number = s->row.floor, .chain = s->row.floor_chain, .seen = true};
	if (row->number <= s->row.floor + 1 || p->task->from.len == 1)
		return;
	enum err e = store_entry_find(p->t, row->stream, row->number - 1, &before);
	if (e == ERR_OK && before.arrival < row->arrival)
		*at = (struct reach){.number = before.number, .chain = before.chain, .seen = true};
	else if (e == ERR_DAMAGED)
		at->number = row->number - 2; /* as if it had been stepped over here */
}

static void check_link(struct pass *p, const struct stream_state *s, const struct entry_row *row)
{
	struct reach *at = &p->task->reach[row->stream];
	struct hash leaf = entry_leaf(&row->e), chain;
	if (row->number <= s->row.floor)
		return;
	if (!at->seen)
		begin_reach(p, s, row, at);
	if (row->number != at->number + 1)
		wrong(p, WRONG_NUMBER, "entry %llu: number %llu of stream %u, where %llu comes next", (unsigned long long)row->arrival,
		      (unsigned long long)row->number, row->stream, (unsigned long long)at->number + 1);
	chain = chain_next(&at->chain, row->number, &leaf);
	if (row->number == at->number + 1 && !hash_equal(&chain, &row->chain))
		wrong(p, WRONG_CHAIN, "entry %llu: number %llu of stream %u does not follow from the one before", (unsigned long long)row->arrival,
		      (unsigned long long)row->number, row->stream);
	at->number = row->number;
	at->chain = row->chain;
}

static void check_position(struct pass *p, const struct entry_row *row)
{
	struct key k = key_position(row->stream, row->number);
	struct view value;
	uint64_t arrival = 0;
	if (kv_get_next(p->t->k, k.db, key_view(&k), &value) == ERR_OK) {
		struct rd r = rd_init(value);
		arrival = rd_u64(&r);
	}
	if (arrival == row->arrival)
		p->now->positions++;
	else
		wrong(p, WRONG_POSITION, "entry %llu: the position index has entry %llu for number %llu of stream %u",
		      (unsigned long long)row->arrival, (unsigned long long)arrival, (unsigned long long)row->number, row->stream);
}

static void check_entry(struct pass *p, const struct entry_row *row)
{
	const struct stream_state *s = pass_stream(p, row->stream);
	check_hashes(p, row);
	check_position(p, row);
	if (s)
		check_link(p, s, row);
	else
		wrong(p, WRONG_STREAM, "entry %llu: there is no stream %u", (unsigned long long)row->arrival, row->stream);
	verify_entry_body(p, row);
	p->out->entries++;
}

/* The arrival number of the last record; 0 for none. */
static uint64_t last_entry(struct pass *p)
{
	struct key limit = key_table(TABLE_ENTRY);
	struct view key, value;
	limit.b[0]++;
	if (kv_before(p->t->k, limit.db, key_view(&limit), &key, &value))
		return 0;
	struct rd r = key_fields(key);
	return rd_u64(&r);
}

void verify_entries(struct pass *p)
{
	struct walk w = pass_task(p);
	uint64_t of = last_entry(p), before = 0;
	p->task->reach = calloc(p->w->n_streams, sizeof *p->task->reach);
	if (!p->task->reach)
		p->err = ERR_NOMEM;
	while (pass_next(p, &w)) {
		struct entry_row row;
		if (codec_entry_read(w.key, &w.row, &row)) {
			wrong_record(p, w.key);
			continue;
		}
		check_entry(p, &row);
		before = row.arrival;
	}
	if (!p->err && !p->w->stop && p->task->last && before != of)
		wrong(p, WRONG_NUMBER, "entry %llu is the last, where %llu was expected", (unsigned long long)before, (unsigned long long)of);
}

/* Every entry was found by its position; positions that are left over lead nowhere. Only when
 * there are more records than that are they looked for. */
void verify_positions(struct pass *p)
{
	struct tally sum;
	sum_tallies(p, &sum);
	if (kv_count(p->t->k, DB_INDEX) == sum.positions + sum.index_records)
		return;
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

/* A stream's row, against how far its entries came: the last task that saw any tells. */
static void reached(struct pass *p, uint32_t local, struct reach *out)
{
	const struct stream_row *row = &p->w->streams[local].row;
	*out = (struct reach){.number = row->floor, .chain = row->floor_chain};
	for (size_t i = p->w->n_tasks; i-- > 0;) {
		const struct task *t = &p->w->tasks[i];
		if (!t->reach || !t->reach[local].seen)
			continue;
		*out = t->reach[local];
		return;
	}
}

/* 0 for none. */
static uint64_t highest_head(struct pass *p, uint32_t local)
{
	struct key limit = key_head(local, UINT64_MAX);
	struct view key, value;
	if (kv_before(p->t->k, limit.db, key_view(&limit), &key, &value) || key.len != limit.len || memcmp(key.ptr, limit.b, 5) != 0)
		return 0;
	struct rd r = key_fields(key);
	rd_u32(&r);
	return rd_u64(&r);
}

void verify_stream_rows(struct pass *p)
{
	for (uint32_t i = 0; i < p->w->n_streams; i++) {
		const struct stream_state *s = &p->w->streams[i];
		struct reach at;
		if (!s->known)
			continue;
		reached(p, i, &at);
		uint64_t head = highest_head(p, i);
		if (at.number != s->row.held)
			wrong(p, WRONG_NUMBER, "stream %u: its row says %llu entries, its last is %llu", i, (unsigned long long)s->row.held,
			      (unsigned long long)at.number);
		else if (s->row.held && !hash_equal(&at.chain, &s->row.chain))
			wrong(p, WRONG_CHAIN, "stream %u: its row has another chain hash than its last entry", i);
		if (head != s->row.head)
			wrong(p, WRONG_HEAD, "stream %u: its row says head %llu, the highest is %llu", i, (unsigned long long)s->row.head,
			      (unsigned long long)head);
	}
}

/* The second note of each floor, and no floor without one. */
void verify_floors(struct pass *p)
{
	struct walk w = pass_task(p);
	uint32_t noted = 0, floors = 0;
	for (uint32_t i = 0; i < p->w->n_streams; i++)
		floors += p->w->streams[i].known && p->w->streams[i].row.floor;
	while (pass_next(p, &w)) {
		struct rd k = key_fields(w.key);
		uint32_t local = rd_u32(&k);
		const struct stream_state *s = pass_stream(p, local);
		struct hash chain;
		uint64_t number = rd_u64(&w.row);
		rd_copy(&w.row, chain.b, sizeof chain.b);
		rd_u64(&w.row);
		noted += s && s->row.floor;
		if (!s || w.row.err || number != s->row.floor || !hash_equal(&chain, &s->row.floor_chain))
			wrong(p, WRONG_NUMBER, "stream %u: its floor is noted at %llu, and %s", local, (unsigned long long)number,
			      s ? "its row says otherwise" : "is not there");
	}
	if (!p->err && !p->w->stop && noted < floors)
		wrong(p, WRONG_NUMBER, "%u streams have a floor that is noted nowhere else", floors - noted);
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
}

void verify_heads(struct pass *p)
{
	struct walk w = pass_task(p);
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
