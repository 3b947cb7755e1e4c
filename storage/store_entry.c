/* Entries in order of arrival, and where each lies by its stream and number. */
#include <assert.h>

#include "proto/frame.h"
#include "storage/record.h"

uint64_t store_last_arrival(struct txn *t)
{
	struct key limit = key_table(TABLE_ENTRY);
	struct view key, value;
	if (t->last_arrival)
		return t->last_arrival;
	limit.b[0]++;
	if (kv_before(t->k, limit.db, key_view(&limit), &key, &value) == ERR_OK) {
		struct rd r = key_fields(key);
		t->last_arrival = rd_u64(&r);
	}
	uint64_t retired = entry_last_retired(t);
	if (retired > t->last_arrival)
		t->last_arrival = retired;
	return t->last_arrival;
}

uint64_t entry_last_retired(struct txn *t)
{
	struct key k = key_meta(META_STORE, META_STORE_ARRIVAL);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	if (e && e != ERR_NOT_FOUND)
		txn_stick(t, e);
	return e ? 0 : rd_u64(&r);
}

/* In place: the page is written once. */
static void put_entry(struct txn *t, const struct entry_row *row, enum kv_put how)
{
	struct key k = key_entry(row->arrival);
	size_t len = ENTRY_ROW_BYTES + row->e.envelope.len;
	uint8_t *to = NULL;
	if (row->e.header.len != HEADER_BYTES)
		txn_stick(t, ERR_FORMAT);
	else if (row->e.envelope.len > LIMIT_ENVELOPE_BYTES || row->body_class >= BODY_CLASSES)
		txn_stick(t, ERR_TOO_LARGE);
	else
		to = record_reserve(t, &k, len, how);
	if (!to)
		return;
	struct wr w = wr_init(to, len);
	codec_entry_write(&w, row);
	assert(!w.err && wr_len(&w) == len);
	record_seal(&k, to, len);
}

/* A position has no check of its own: the entry it leads to says its stream and number under its own check. */
static void put_position(struct txn *t, const struct entry_row *row, enum kv_put how)
{
	struct key k = key_position(row->stream, row->number);
	uint64_t arrival = __builtin_bswap64(row->arrival);
	uint8_t *to = kv_reserve(t->k, k.db, key_view(&k), sizeof arrival, how);
	if (to)
		memcpy(to, &arrival, sizeof arrival);
}

void store_entry_append(struct txn *t, struct entry_row *row)
{
	bool inline_body = row->e.body.len && !row->body_no;
	row->arrival = store_last_arrival(t) + 1;
	if (inline_body)
		row->body_no = row->arrival;
	put_entry(t, row, KV_APPEND);
	put_position(t, row, KV_NEW);
	if (inline_body && !txn_error(t))
		body_put_slices(t, row->body_class, row->body_no, PART_WHOLE, 0, row->e.body);
	t->last_arrival = row->arrival;
	t->s->changes.entries++;
}

enum err store_entry_get(struct txn *t, uint64_t arrival, struct entry_row *out)
{
	struct key k = key_entry(arrival);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	return e ? e : codec_entry_read(key_view(&k), &r, out);
}

enum err store_entry_from(struct txn *t, uint64_t arrival, struct entry_row *out)
{
	struct key at = key_entry(arrival);
	struct view key = {0};
	struct rd r;
	enum err e = record_from(t, &at, 1, &key, &r);
	if (e && (e != ERR_DAMAGED || !key.len))
		return e == ERR_DAMAGED ? ERR_IO : e;
	struct rd k = key_fields(key);
	uint64_t number = rd_u64(&k);
	if (!e)
		e = codec_entry_read(key, &r, out);
	out->arrival = number;
	return e;
}

enum err store_entry_arrival(struct txn *t, uint32_t stream, uint64_t number, uint64_t *arrival)
{
	struct key k = key_position(stream, number);
	struct view value;
	enum err e = kv_get(t->k, k.db, key_view(&k), &value);
	if (e)
		return e;
	struct rd r = rd_init(value);
	*arrival = rd_u64(&r);
	return rd_done(&r) ? ERR_DAMAGED : ERR_OK;
}

enum err store_entry_find(struct txn *t, uint32_t stream, uint64_t number, struct entry_row *out)
{
	uint64_t arrival;
	enum err e = store_entry_arrival(t, stream, number, &arrival);
	if (e)
		return e;
	e = store_entry_get(t, arrival, out);
	if (e)
		return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
	return out->stream == stream && out->number == number ? ERR_OK : ERR_DAMAGED;
}

void store_entry_point(struct txn *t, uint32_t stream, uint64_t number, uint64_t arrival)
{
	struct entry_row row = {.stream = stream, .number = number, .arrival = arrival};
	put_position(t, &row, KV_PUT);
}

void store_entry_replace(struct txn *t, const struct entry_row *row)
{
	put_entry(t, row, KV_PUT);
	if (row->e.body.len && row->body_no && !txn_error(t))
		store_body_put_part(t, row->body_class, row->body_no, PART_WHOLE, 0, row->e.body);
}

void store_entry_set_body(struct txn *t, uint64_t arrival, uint64_t body_no, uint8_t body_class)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_entry(arrival);
	struct entry_row row;
	enum err e = store_entry_get(t, arrival, &row);
	if (!e && body_class >= BODY_CLASSES)
		e = ERR_RANGE;
	if (e) {
		txn_stick(t, e);
		return;
	}
	row.body_no = body_no;
	row.body_class = body_class;
	codec_entry_write(&w, &row); /* apart first: header and envelope are views of the record that is replaced */
	record_put_wr(t, &k, &w, KV_PUT);
}

void store_entry_stub(struct txn *t, uint64_t arrival)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_entry(arrival);
	struct entry_row row;
	enum err e = store_entry_get(t, arrival, &row);
	if (e) {
		txn_stick(t, e);
		return;
	}
	row.body_no = 0;
	row.e.flags = ENTRY_STUB;
	row.e.envelope = view_of(NULL, 0);
	codec_entry_write(&w, &row); /* apart first: the header is a view of the record that is replaced */
	record_put_wr(t, &k, &w, KV_PUT);
}
