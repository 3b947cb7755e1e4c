#include "storage/past.h"

#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/order.h"
#include "storage/record.h"

#define READ_ENTRIES 2048  /* in one transaction: one that is kept open makes the journal grow */
#define WRITE_RECORDS 20000 /* a commit */

/* How far a stream had come. */
struct reach { uint64_t held, n; struct hash chain; };
struct past {
	struct store *from, *to;
	struct wall at;
	struct txn *r, *w;
	unsigned in_commit;
	struct reach *reach;   /* by local number */
	uint32_t n_reach;
	struct past_result *out;
	enum err err;
};

static void step(struct past *p)
{
	if (p->err || ++p->in_commit < WRITE_RECORDS)
		return;
	p->in_commit = 0;
	p->err = txn_commit(p->w);
	p->w = NULL;
	if (!p->err)
		p->err = txn_begin(p->to, true, &p->w);
}

/* ---- up to where ---------------------------------------------------------------------------------------------------- */

/* The last entry that was stored by then. From the end: what came since is looked at, what came before is copied. */
static enum err find_last(struct past *p)
{
	struct key limit = key_table(TABLE_ENTRY);
	struct view key, value, row;
	enum err e;
	limit.b[0]++;
	while ((e = kv_before(p->r->k, limit.db, key_view(&limit), &key, &value)) == ERR_OK && key.ptr[0] == TABLE_ENTRY) {
		struct entry_row entry;
		if (record_open(key, value, &row) == ERR_OK) {
			struct rd r = rd_init(row);
			if (codec_entry_read(key, &r, &entry) == ERR_OK && entry.stored.us <= p->at.us) {
				p->out->arrival = entry.arrival;
				p->out->last = entry.stored;
				return ERR_OK;
			}
		}
		if (!key_from(&limit, limit.db, key))
			return ERR_DAMAGED;
	}
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Had it come by then? After the last entry of then the clock decides. */
static bool was_here(const struct past *p, const struct moment *since)
{
	return since->arrival < p->out->arrival || (since->arrival == p->out->arrival && since->when.us <= p->at.us);
}

/* ---- entries ----------------------------------------------------------------------------------------------------------- */

static struct reach *reach_of(struct past *p, uint32_t local)
{
	if (local >= p->n_reach) {
		uint32_t n = local + local / 2 + 64;
		struct reach *more = realloc(p->reach, n * sizeof *more);
		if (!more) {
			p->err = ERR_NOMEM;
			return NULL;
		}
		memset(more + p->n_reach, 0, (n - p->n_reach) * sizeof *more);
		p->reach = more;
		p->n_reach = n;
	}
	return &p->reach[local];
}

/* A grant is its entry's body, and opens what follows it. */
static void copy_grant(struct past *p, const struct entry_row *row, uint8_t class, uint64_t body_no)
{
	struct buf grant = BUF_EMPTY;
	store_grant_put(p->w, row->stream, row->number, row->arrival);
	if (body_no && store_body_get_part(p->r, class, body_no, PART_WHOLE, 0, &grant) == ERR_OK)
		store_body_put_part(p->w, class, body_no, PART_WHOLE, 0, buf_view(&grant));
	buf_release(&grant);
}

/* Its body, when it came later than the entry, may not have been here. What is missing still was missing then. */
static void body_of_then(struct past *p, struct entry_row *row)
{
	struct key k = key_missing(row->stream, row->number);
	struct hash body = row->e.body_hash;
	struct moment since;
	struct rd r;
	if (!row->e.body_len || (row->e.flags & ENTRY_STUB))
		return;
	if (store_whole_since_get(p->r, row->arrival, &since) == ERR_OK && !was_here(p, &since))
		row->body_no = 0;
	else if (!row->body_no && record_get(p->r, &k, &r) == ERR_OK)
		rd_copy(&r, body.b, sizeof body.b);
	if (!row->body_no)
		store_missing_put(p->w, row->stream, row->number, &body);
}

static void copy_entry(struct past *p, struct entry_row *row)
{
	struct reach *reach = reach_of(p, row->stream);
	struct header h;
	if (!reach || header_decode(row->e.header, &h) != ERR_OK) {
		p->out->damaged++;
		return;
	}
	uint64_t arrival = row->arrival, body_no = row->body_no;
	p->out->later += row->stored.us > p->at.us;
	p->out->stubs += h.kind == KIND_MESSAGE && (row->e.flags & ENTRY_STUB);
	body_of_then(p, row);
	row->e.body = view_of(NULL, 0);
	store_entry_replace(p->w, row);
	store_entry_point(p->w, row->stream, row->number, arrival);
	if (h.kind == KIND_GRANT)
		copy_grant(p, row, row->body_class, body_no);
	if (row->number > reach->held) {
		reach->held = row->number;
		reach->chain = row->chain;
	}
	reach->n++;
	p->out->entries++;
	step(p);
}

static void copy_entries(struct past *p, bool (*progress)(void *arg, uint64_t done, uint64_t of), void *arg)
{
	struct entry_row row;
	uint64_t next = 1;
	enum err e = ERR_OK;
	while (!p->err && next <= p->out->arrival) {
		for (unsigned n = 0; n < READ_ENTRIES && !p->err; n++, next = row.arrival + 1) {
			e = store_entry_from(p->r, next, &row);
			if ((e && e != ERR_DAMAGED) || row.arrival > p->out->arrival)
				return;
			if (e)
				p->out->damaged++;
			else if (!p->out->first.us)
				p->out->first = row.stored;
			if (!e)
				copy_entry(p, &row);
		}
		if (!p->err && progress && !progress(arg, next - 1, p->out->arrival))
			p->err = ERR_CLOSED;
		txn_abort(p->r);
		p->r = NULL;
		if (!p->err)
			p->err = txn_begin(p->from, false, &p->r);
	}
}

/* ---- streams and queues ------------------------------------------------------------------------------------------------- */

/* Numbers that nothing is at: their entries cannot be read. */
static void mark_holes(struct past *p, const struct stream_row *row)
{
	static const struct hash again;
	for (uint64_t n = row->floor + 1; n <= row->held; n++) {
		struct key k = key_position(row->local, n);
		struct view value;
		if (kv_get(p->w->k, k.db, key_view(&k), &value) != ERR_NOT_FOUND)
			continue;
		store_missing_put(p->w, row->local, n, &again);
		step(p);
	}
}

static enum err copy_stream(void *arg, const struct stream_row *of)
{
	struct past *p = arg;
	struct reach *reach = reach_of(p, of->local);
	struct stream_row row = *of;
	if (!reach)
		return p->err;
	row.head = row.head_before = 0;
	row.held = reach->held > row.floor ? reach->held : row.floor;
	row.chain = row.held > row.floor ? reach->chain : row.floor ? row.floor_chain : stream_hash(&p->to->birth.network, &row.name);
	p->out->retired += row.floor;
	store_stream_put(p->w, &row);
	if (row.held > row.floor) {
		if (reach->n < row.held - row.floor)
			mark_holes(p, &row);
		store_redo_put(p->w, &(struct redo_row){.stream = row.local, .next = row.floor + 1, .upto = row.held});
	}
	step(p);
	return p->err;
}

static enum err copy_floor(void *arg, uint32_t stream, const struct floor_note *note)
{
	struct past *p = arg;
	if (note->grant)
		store_grant_put(p->w, stream, note->grant, 0);
	return ERR_OK;
}

static enum err copy_queue(void *arg, const struct queue_row *of)
{
	struct past *p = arg;
	struct queue_row row = {.local = of->local, .site = of->site};
	memcpy(row.name, of->name, sizeof row.name);
	store_queue_put(p->w, &row);
	return ERR_OK;
}

/* ---- state ------------------------------------------------------------------------------------------------------------------ */

/* What it says itself, of one whose coming was not noted. */
static bool was_made(const struct past *p, uint8_t kind, struct view blob)
{
	struct endorsement d;
	struct order *o = kind == STATE_KIND_ORDER ? malloc(sizeof *o) : NULL;
	struct hash id;
	bool made = true;
	if (o && order_decode(blob, o, &id) == ERR_OK)
		made = o->issued.us <= p->at.us;
	if (kind == STATE_KIND_ENDORSEMENT && endorsement_decode(blob, &d, &id) == ERR_OK)
		made = d.signed_at.us <= p->at.us;
	free(o);
	return made;
}

struct state_of { struct past *p; uint8_t kind; };

static enum err copy_state(void *arg, const struct hash *id, struct view blob)
{
	struct state_of *s = arg;
	struct moment since;
	bool noted = store_state_since_get(s->p->r, s->kind, id, &since) == ERR_OK;
	s->p->out->undated += !noted;
	if (noted ? was_here(s->p, &since) : was_made(s->p, s->kind, blob))
		store_state_put(s->p->w, s->kind, id, blob);
	step(s->p);
	return s->p->err;
}

static enum err copy_run(void *arg, const struct hash *id, const struct moment *since)
{
	struct past *p = arg;
	if (was_here(p, since))
		store_state_since_put(p->w, SINCE_RUN, id, since->when);
	return ERR_OK;
}

/* ---- the rest --------------------------------------------------------------------------------------------------------------- */

/* Conflicts are found anew; that a person had signed one off by then is found nowhere else. */
static void copy_conflicts(struct past *p)
{
	struct key all = key_table(TABLE_CONFLICT);
	struct walk w = walk_begin(p->r, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct conflict_row row;
		if (codec_conflict_read(w.key, &w.row, &row) == ERR_OK && row.signed_off[0] && row.signed_at.us <= p->at.us)
			store_conflict_put(p->w, &row);
	}
}

/* By which bearers entries came. */
static void copy_bearers(struct past *p)
{
	struct key all = key_table(TABLE_BEARER);
	struct walk w = walk_begin(p->r, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct rd k = key_fields(w.key);
		uint16_t site = rd_u16(&k);
		uint8_t lane = rd_u8(&k);
		uint64_t arrival = rd_u64(&k);
		struct key to = key_bearer(site, lane, arrival);
		if (arrival <= p->out->arrival)
			record_put(p->w, &to, rd_bytes(&w.row, rd_left(&w.row)), KV_PUT);
	}
}

/* Keys that other sites handed on: since when is not kept. */
static void copy_handed(struct past *p)
{
	struct key all = key_table(TABLE_HANDED);
	struct walk w = walk_begin(p->r, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct rd k = key_fields(w.key);
		uint32_t stream = rd_u32(&k);
		uint64_t number = rd_u64(&k);
		store_handed_put(p->w, stream, number, rd_bytes(&w.row, rd_left(&w.row)));
	}
}

static enum err but_damage(enum err e)
{
	return e == ERR_DAMAGED ? ERR_OK : e; /* verify says which */
}

static void copy_rest(struct past *p)
{
	static const uint8_t one = 1;
	struct key last = key_meta(META_STORE, META_STORE_ARRIVAL);
	uint8_t bytes[8];
	struct wr w = wr_init(bytes, sizeof bytes);
	p->err = but_damage(store_stream_each(p->r, copy_stream, p));
	if (!p->err)
		p->err = but_damage(store_floor_each(p->r, copy_floor, p));
	if (!p->err)
		p->err = but_damage(store_queue_each(p->r, copy_queue, p));
	for (uint8_t kind = STATE_KIND_ORDER; !p->err && kind <= STATE_KIND_DICTIONARY; kind++)
		p->err = but_damage(store_state_each(p->r, kind, copy_state, &(struct state_of){p, kind}));
	if (!p->err)
		p->err = but_damage(store_state_since_each(p->r, SINCE_RUN, copy_run, p));
	copy_conflicts(p);
	copy_bearers(p);
	copy_handed(p);
	/* What the core writes here stands behind all entries of then. */
	wr_u64(&w, p->out->arrival);
	record_put_wr(p->w, &last, &w, KV_PUT);
	store_meta_put(p->w, META_REBUILDING, view_of(&one, 1));
	store_meta_put(p->w, META_RECOVERING, view_of(&(const uint8_t){0}, 1));
}

static enum err begin(struct past *p, struct errmsg *m)
{
	char text[WALL_TEXT_BYTES];
	enum err e = txn_begin(p->from, false, &p->r);
	if (!e)
		e = find_last(p);
	if (e)
		return err_set(m, e, "the journal cannot be read: %s (journal verify says more)", err_text(e));
	if (!p->out->arrival && p->from->birth.born.us > p->at.us) {
		wall_format(p->from->birth.born, 0, text);
		return err_set(m, ERR_NOT_FOUND, "this journal begins later, at %s", text);
	}
	return txn_begin(p->to, true, &p->w);
}

enum err store_past(struct store *from, struct wall at, struct store *to, bool (*progress)(void *arg, uint64_t done, uint64_t of), void *arg,
                    struct past_result *out, struct errmsg *m)
{
	struct past p = {.from = from, .to = to, .at = at, .out = out};
	memset(out, 0, sizeof *out);
	enum err e = begin(&p, m);
	if (e)
		goto out;
	copy_entries(&p, progress, arg);
	if (!p.err)
		copy_rest(&p);
	e = p.err;
	if (!e && p.w) {
		e = txn_commit(p.w);
		p.w = NULL;
	}
	if (e)
		err_set(m, e, e == ERR_CLOSED ? "it was interrupted" : "what was held then cannot be put together: %s", err_text(e));
out:
	txn_abort(p.r);
	txn_abort(p.w);
	free(p.reach);
	return e;
}
