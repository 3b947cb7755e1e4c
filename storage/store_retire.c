/* The lower end of a stream: entries that nobody needs any more go, and its floor says up to where. */
#include "proto/frame.h"
#include "storage/record.h"

/* ---- floors --------------------------------------------------------------------------------------------------- */

void store_floor_put(struct txn *t, const struct stream_row *row, uint64_t grant, struct view proof)
{
	uint8_t bytes[16 + HASH_BYTES + FLOOR_PROOF_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_floor(row->local);
	wr_u64(&w, row->floor);
	wr_bytes(&w, view_of(row->floor_chain.b, HASH_BYTES));
	wr_u64(&w, grant);
	wr_bytes(&w, proof);
	record_put_wr(t, &k, &w, KV_PUT);
	t->s->changes.floors++;
}

static enum err read_note(struct rd *r, struct floor_note *out)
{
	out->number = rd_u64(r);
	rd_copy(r, out->chain.b, sizeof out->chain.b);
	out->grant = rd_u64(r);
	out->proof = rd_bytes(r, rd_left(r));
	return r->err ? ERR_DAMAGED : ERR_OK;
}

enum err store_floor_get(struct txn *t, uint32_t stream, struct floor_note *out)
{
	struct key k = key_floor(stream);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	if (e)
		return e;
	return read_note(&r, out);
}

enum err store_floor_each(struct txn *t, enum err (*fn)(void *arg, uint32_t stream, const struct floor_note *note), void *arg)
{
	struct key all = key_table(TABLE_FLOOR);
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct rd k = key_fields(w.key);
		struct floor_note note;
		uint32_t stream = rd_u32(&k);
		enum err e = read_note(&w.row, &note);
		if (e == ERR_DAMAGED) {
			damage = e;
			continue;
		}
		e = fn(arg, stream, &note);
		if (e)
			return e;
	}
	return w.err ? w.err : damage;
}

/* ---- what leads to an entry -------------------------------------------------------------------------------------- */

static bool is_grant(const struct entry_row *row)
{
	struct header h;
	return header_decode(row->e.header, &h) == ERR_OK && h.kind == KIND_GRANT;
}

/* The body's bytes go now when they lie with the entry, else it loses a reference. */
static void drop_body(struct txn *t, const struct entry_row *row, store_unused_fn *unused, void *arg)
{
	struct body_row body;
	enum err e;
	if (!row->e.body_len || (row->e.flags & ENTRY_STUB))
		return;
	if (!row->body_no) {
		store_missing_del(t, row->stream, row->number);
		e = store_body_find(t, row->body_class, &row->e.body_hash, &body);
		if (!e && !body.refs && unused)
			unused(arg, &body);
		return;
	}
	if (!(row->body_no & BODY_NO_APART)) {
		store_body_del(t, row->body_class, row->body_no, SIZE_MAX);
		return;
	}
	if (store_body_row(t, row->body_class, row->body_no, &body))
		return; /* damaged or gone: verify tells */
	body.refs -= body.refs > 0;
	store_body_put_row(t, &body);
	if (!body.refs && unused)
		unused(arg, &body);
}

/* Its number stays known, so that it is not given again when it was the journal's last. */
static void drop_record(struct txn *t, uint64_t arrival)
{
	struct key k = key_entry(arrival), last = key_meta(META_STORE, META_STORE_ARRIVAL);
	uint8_t bytes[8];
	struct wr w = wr_init(bytes, sizeof bytes);
	if (arrival == store_last_arrival(t)) {
		wr_u64(&w, arrival);
		record_put_wr(t, &last, &w, KV_PUT);
	}
	record_del(t, &k);
}

static void drop_entry(struct txn *t, const struct entry_row *row)
{
	struct key position = key_position(row->stream, row->number), damage = key_damage(row->arrival), whole = key_whole_since(row->arrival);
	struct header h;
	if (header_decode(row->e.header, &h) == ERR_OK && h.expires.us)
		store_expiry_del(t, h.expires, row->arrival);
	kv_del(t->k, position.db, key_view(&position));
	record_del(t, &damage);
	record_del(t, &whole);
	drop_record(t, row->arrival);
}

static enum err drop_grants_before(struct txn *t, const struct stream_row *row, uint64_t keep, size_t max)
{
	uint64_t arrival;
	enum err e = ERR_OK;
	struct key first = key_grant(row->local, 0);
	while (!e && max--) {
		struct key handed;
		struct entry_row entry;
		struct view key;
		struct rd r;
		e = record_from(t, &first, first.len - sizeof keep, &key, &r);
		if (e)
			break;
		struct rd k = key_fields(key);
		rd_u32(&k);
		uint64_t number = rd_u64(&k);
		if (number >= keep)
			break;
		arrival = rd_u64(&r);
		struct key grant = key_grant(row->local, number);
		record_del(t, &grant);
		handed = key_handed(row->local, number);
		record_del(t, &handed);
		e = store_entry_get(t, arrival, &entry);
		if (!e && entry.stream == row->local && entry.number == number) {
			drop_body(t, &entry, NULL, NULL);
			e = store_entry_get(t, arrival, &entry);
			if (!e)
				drop_entry(t, &entry);
		}
		else if (e == ERR_NOT_FOUND)
			e = ERR_OK; /* its index alone: the stream began at a floor */
	}
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Grants whose last entry is below the floor: all of them but the one in force for floor + 1. */
static enum err drop_grants(struct txn *t, const struct stream_row *row, size_t max)
{
	uint64_t keep, arrival;
	enum err e = store_grant_find(t, row->local, row->floor + 1, &keep, &arrival);
	if (!e)
		e = drop_grants_before(t, row, keep, max);
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Heads below the floor; the highest stays, since the row names it. */
static void drop_heads(struct txn *t, const struct stream_row *row, size_t max)
{
	struct head h;
	while (max-- && store_head_from(t, row->local, 0, &h) == ERR_OK && h.number <= row->floor && h.number != row->head) {
		struct key k = key_head(row->local, h.number);
		record_del(t, &k);
	}
}

enum err store_stream_retire(struct txn *t, struct stream_row *row, uint64_t upto, size_t max, store_unused_fn *unused, void *arg)
{
	uint64_t from = row->floor, arrival;
	enum err e = ERR_OK;
	if (upto > row->held)
		upto = row->held;
	for (; row->floor < upto && max-- && !txn_error(t);) {
		struct entry_row entry;
		e = store_entry_find(t, row->local, row->floor + 1, &entry);
		if (e)
			break;
		row->floor = entry.number;
		row->floor_chain = entry.chain;
		if (is_grant(&entry))
			continue; /* it stays until all that it opens is below */
		drop_body(t, &entry, unused, arg);
		e = store_entry_find(t, row->local, row->floor, &entry); /* its views ended */
		if (e)
			break;
		drop_entry(t, &entry);
	}
	if (row->floor == from)
		return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
	drop_heads(t, row, (size_t)(row->floor - from) + 64);
	enum err grants = drop_grants(t, row, (size_t)(row->floor - from) + 64);
	struct floor_note old;
	bool begun = store_floor_get(t, row->local, &old) == ERR_OK && old.grant && store_grant_find(t, row->local, old.grant, &from, &arrival) == ERR_OK && from == old.grant;
	store_floor_put(t, row, begun ? old.grant : 0, view_of(NULL, 0));
	return e ? e == ERR_NOT_FOUND ? ERR_DAMAGED : e : grants;
}

enum err store_stream_empty(struct txn *t, struct stream_row *row, const struct hash *chain, store_unused_fn *unused, void *arg)
{
	struct key note = key_floor(row->local);
	struct head h;
	enum err e = row->floor < row->held ? store_stream_retire(t, row, row->held, SIZE_MAX, unused, arg) : ERR_OK;
	if (!e)
		e = drop_grants_before(t, row, UINT64_MAX, SIZE_MAX);
	while (!e && store_head_from(t, row->local, 0, &h) == ERR_OK && !txn_error(t)) {
		struct key k = key_head(row->local, h.number);
		record_del(t, &k);
	}
	if (e)
		return e;
	record_del(t, &note);
	t->s->changes.floors++;
	row->held = row->floor = row->head = row->head_before = 0;
	row->chain = row->floor_chain = *chain;
	return ERR_OK;
}
