/* What a takeover needs kept: closings, conflicts, keys handed on, reports that wait for their order, second branches of
 * streams, entries in quarantine, and long work under way. */
#include "storage/record.h"

/* A record whose row is one run of bytes; too long sticks. */
static void put_bytes(struct txn *t, const struct key *k, struct view bytes, size_t max)
{
	if (bytes.len > max)
		txn_stick(t, ERR_TOO_LARGE);
	record_put(t, k, bytes, KV_PUT);
}

static enum err get_bytes(struct txn *t, const struct key *k, struct view *bytes)
{
	struct rd r;
	enum err e = record_get(t, k, &r);
	if (!e)
		*bytes = rd_bytes(&r, rd_left(&r));
	return e;
}

/* ---- closings ----------------------------------------------------------------------------------------------- */

void store_closing_put(struct txn *t, const struct hash *order, uint16_t giver, uint16_t part, struct view blob)
{
	struct key k = key_closing(order, giver, part);
	put_bytes(t, &k, blob, CLOSING_BYTES_MAX);
}

enum err store_closing_get(struct txn *t, const struct hash *order, uint16_t giver, uint16_t part, struct view *blob)
{
	struct key k = key_closing(order, giver, part);
	return get_bytes(t, &k, blob);
}

/* ---- conflicts ---------------------------------------------------------------------------------------------- */

void store_conflict_put(struct txn *t, const struct conflict_row *row)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_conflict(&row->id, row->addressee);
	if (row->n > CONFLICT_HANDLERS) {
		txn_stick(t, ERR_TOO_LARGE);
		return;
	}
	codec_conflict_write(&w, row);
	record_put_wr(t, &k, &w, KV_PUT);
}

void store_conflict_del(struct txn *t, const struct msgid *id, uint16_t addressee)
{
	struct key k = key_conflict(id, addressee);
	record_del(t, &k);
}

enum err store_conflict_get(struct txn *t, const struct msgid *id, uint16_t addressee, struct conflict_row *out)
{
	struct key k = key_conflict(id, addressee);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	return e ? e : codec_conflict_read(key_view(&k), &r, out);
}

enum err store_conflict_from(struct txn *t, const struct msgid *id, uint16_t addressee, struct conflict_row *out)
{
	struct key k = key_conflict(id, addressee);
	struct view key = {0};
	struct rd r;
	enum err e = record_from(t, &k, 1, &key, &r);
	if (!e)
		return codec_conflict_read(key, &r, out);
	if (e != ERR_DAMAGED)
		return e;
	*out = (struct conflict_row){0};
	return !key.len || codec_conflict_key(key, out) ? ERR_IO : ERR_DAMAGED;
}

/* ---- keys handed on ------------------------------------------------------------------------------------------ */

void store_handed_put(struct txn *t, uint32_t stream, uint64_t number, struct view grant)
{
	struct key k = key_handed(stream, number);
	put_bytes(t, &k, grant, LIMIT_ENVELOPE_BYTES);
}

enum err store_handed_get(struct txn *t, uint32_t stream, uint64_t number, struct view *grant)
{
	struct key k = key_handed(stream, number);
	return get_bytes(t, &k, grant);
}

/* ---- reports that wait for their order ------------------------------------------------------------------------ */

void store_order_wait_put(struct txn *t, const struct hash *order, const struct msgid *id, uint16_t addressee)
{
	struct key k = key_order_wait(order, id, addressee);
	record_put(t, &k, view_of(NULL, 0), KV_PUT);
}

void store_order_wait_del(struct txn *t, const struct hash *order, const struct msgid *id, uint16_t addressee)
{
	struct key k = key_order_wait(order, id, addressee);
	record_del(t, &k);
}

enum err store_order_wait_from(struct txn *t, const struct hash *order, struct msgid *id, uint16_t *addressee)
{
	struct key k = key_order_wait(order, id, *addressee);
	struct view key = {0};
	struct rd r;
	enum err e = record_from(t, &k, 1 + sizeof order->b, &key, &r);
	if (e && (e != ERR_DAMAGED || !key.len))
		return e == ERR_DAMAGED ? ERR_IO : e;
	return codec_order_wait_key(key, id, addressee) ? ERR_IO : ERR_OK;
}

/* ---- branches -------------------------------------------------------------------------------------------------- */

/* Damaged ones count: they take room too. */
static unsigned count_branches(struct txn *t, uint32_t stream, unsigned max)
{
	static const struct hash none;
	struct key all = key_branch(stream, 0, &none);
	unsigned n = 0;
	all.len = 1 + sizeof stream;
	struct walk w = walk_begin(t, &all);
	while (n < max && (walk_next(&w) || (w.err == ERR_DAMAGED && walk_step_over(&w))))
		n++;
	return n;
}

bool store_branch_put(struct txn *t, uint32_t stream, uint64_t first, const struct hash *hash, struct view segment, unsigned max)
{
	struct key k = key_branch(stream, first, hash);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	if (!e)
		return true;
	if (e == ERR_NOT_FOUND && count_branches(t, stream, max) >= max)
		return false;
	put_bytes(t, &k, segment, LIMIT_FRAME_BYTES);
	return !txn_error(t);
}

enum err store_branch_each(struct txn *t, enum err (*fn)(void *arg, uint32_t stream, uint64_t first, const struct hash *hash), void *arg)
{
	struct key all = key_table(TABLE_BRANCH);
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct hash hash;
		uint32_t stream;
		uint64_t first;
		enum err e = codec_branch_key(w.key, &stream, &first, &hash);
		if (e == ERR_DAMAGED) {
			damage = e;
			continue;
		}
		if (!e)
			e = fn(arg, stream, first, &hash);
		if (e)
			return e;
	}
	return w.err ? w.err : damage;
}

/* ---- quarantine -------------------------------------------------------------------------------------------------- */

void store_quarantine_put(struct txn *t, uint64_t arrival, const char *why)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_quarantine(arrival);
	codec_quarantine_write(&w, why);
	record_put_wr(t, &k, &w, KV_PUT);
}

void store_quarantine_del(struct txn *t, uint64_t arrival)
{
	struct key k = key_quarantine(arrival);
	record_del(t, &k);
}

enum err store_quarantine_get(struct txn *t, uint64_t arrival, char why[QUARANTINE_TEXT_BYTES])
{
	struct key k = key_quarantine(arrival);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	return e ? e : codec_quarantine_read(key_view(&k), &r, &arrival, why);
}

enum err store_quarantine_each(struct txn *t, enum err (*fn)(void *arg, uint64_t arrival, const char *why), void *arg)
{
	struct key all = key_table(TABLE_QUARANTINE);
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		char why[QUARANTINE_TEXT_BYTES];
		uint64_t arrival;
		enum err e = codec_quarantine_read(w.key, &w.row, &arrival, why);
		if (e == ERR_DAMAGED) {
			damage = e;
			continue;
		}
		if (!e)
			e = fn(arg, arrival, why);
		if (e)
			return e;
	}
	return w.err ? w.err : damage;
}

/* ---- long work under way -------------------------------------------------------------------------------------------- */

void store_redo_put(struct txn *t, const struct redo_row *row)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_redo(row->stream);
	codec_redo_write(&w, row);
	record_put_wr(t, &k, &w, KV_PUT);
}

void store_redo_del(struct txn *t, uint32_t stream)
{
	struct key k = key_redo(stream);
	record_del(t, &k);
}

enum err store_redo_from(struct txn *t, uint32_t stream, struct redo_row *out)
{
	struct key at = key_redo(stream);
	struct view key = {0};
	struct rd r;
	enum err e = record_from(t, &at, 1, &key, &r);
	if (e && (e != ERR_DAMAGED || !key.len))
		return e == ERR_DAMAGED ? ERR_IO : e;
	struct rd k = key_fields(key);
	stream = rd_u32(&k);
	if (!e)
		e = codec_redo_read(key, &r, out);
	if (e)
		*out = (struct redo_row){.stream = stream};
	return e;
}
