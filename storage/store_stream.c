/* Streams and their signed heads. */
#include "proto/stream.h"
#include "storage/record.h"

void store_stream_put(struct txn *t, const struct stream_row *row)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_stream(row->local);
	codec_stream_write(&w, row);
	record_put_wr(t, &k, &w, KV_PUT);
}

void store_stream_add(struct txn *t, struct stream_row *row)
{
	uint8_t name[STREAM_NAME_BYTES];
	row->local = record_last_u32(t, TABLE_STREAM) + 1;
	store_stream_put(t, row);
	struct key k = key_stream_name(row->local);
	stream_name_encode(&row->name, name);
	record_put(t, &k, view_of(name, sizeof name), KV_PUT);
}

uint32_t store_stream_last(struct txn *t)
{
	return record_last_u32(t, TABLE_STREAM);
}

enum err store_stream_each(struct txn *t, enum err (*fn)(void *arg, const struct stream_row *row), void *arg)
{
	return store_stream_each_from(t, 0, fn, arg);
}

enum err store_stream_each_from(struct txn *t, uint32_t local, enum err (*fn)(void *arg, const struct stream_row *row), void *arg)
{
	struct key all = key_table(TABLE_STREAM);
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	w.at = key_stream(local);
	while (walk_next_good(&w, &damage)) {
		struct stream_row row;
		enum err e = codec_stream_read(w.key, &w.row, &row);
		if (e == ERR_DAMAGED) {
			damage = e;
			continue;
		}
		if (!e)
			e = fn(arg, &row);
		if (e)
			return e;
	}
	return w.err ? w.err : damage;
}

/* Moves row->head and row->head_before on to a new highest head, dropping the one before when the spacing allows it. */
static void head_on_top(struct txn *t, struct stream_row *row, uint64_t number)
{
	if (row->head && number - row->head_before <= LIMIT_HEAD_SPACING) {
		struct key k = key_head(row->local, row->head);
		record_del(t, &k);
	} else {
		row->head_before = row->head;
	}
	row->head = number;
}

void store_head_put_leaves(struct txn *t, struct stream_row *row, const struct head *h, struct view leaves)
{
	uint8_t bytes[HASH_BYTES + SIGNATURE_BYTES + LIMIT_HEAD_SPACING * HASH_BYTES];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_head(row->local, h->number);
	codec_head_write(&w, h);
	wr_bytes(&w, leaves);
	record_put_wr(t, &k, &w, KV_PUT);
	if (h->number > row->head)
		head_on_top(t, row, h->number);
	else if (h->number < row->head && h->number > row->head_before)
		row->head_before = h->number;
}

void store_head_put(struct txn *t, struct stream_row *row, const struct head *h)
{
	store_head_put_leaves(t, row, h, view_of(NULL, 0));
}

enum err store_head_from(struct txn *t, uint32_t stream, uint64_t number, struct head *out)
{
	struct key k = key_head(stream, number);
	struct view key;
	struct rd r;
	enum err e = record_from(t, &k, k.len - sizeof number, &key, &r);
	return e ? e : codec_head_read(key, &r, out);
}

enum err store_head_leaves(struct txn *t, uint32_t stream, uint64_t number, struct view *leaves)
{
	struct key k = key_head(stream, number);
	struct rd r;
	enum err e = record_get(t, &k, &r);

	*leaves = view_of(NULL, 0);
	if (e)
		return e;
	rd_bytes(&r, HASH_BYTES + SIGNATURE_BYTES);
	*leaves = rd_bytes(&r, rd_left(&r));
	return r.err ? ERR_DAMAGED : ERR_OK;
}

/* ---- a row that cannot be read any more --------------------------------------------------------------------- */

/* The highest number of a table keyed by (stream, number) below limit; 0 for none. */
static uint64_t number_below(struct txn *t, struct key limit)
{
	size_t prefix = limit.len - sizeof(uint64_t);
	struct view key, value;
	if (kv_before(t->k, limit.db, key_view(&limit), &key, &value) || key.len != limit.len || memcmp(key.ptr, limit.b, prefix) != 0)
		return 0;
	struct rd r = key_fields(key);
	rd_u32(&r);
	return rd_u64(&r);
}

enum err store_stream_rebuild(struct txn *t, uint32_t local, struct stream_row *out)
{
	struct key k = key_stream_name(local);
	struct entry_row last;
	struct floor_note floor;
	struct head head;
	struct rd r;
	enum err e = record_get(t, &k, &r);
	*out = (struct stream_row){.local = local};
	if (!e && (stream_name_decode(rd_bytes(&r, STREAM_NAME_BYTES), &out->name) || rd_done(&r)))
		e = ERR_DAMAGED;
	if (e)
		return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
	out->chain = out->floor_chain = stream_hash(&t->s->birth.network, &out->name);
	e = store_floor_get(t, local, &floor);
	if (e && e != ERR_NOT_FOUND)
		return e;
	if (!e) {
		out->floor = floor.number;
		out->chain = out->floor_chain = floor.chain;
	}
	out->head = number_below(t, key_head(local, UINT64_MAX));
	out->head_before = out->head ? number_below(t, key_head(local, out->head)) : 0;
	out->held = number_below(t, key_position(local, UINT64_MAX));
	if (out->held <= out->floor) {
		out->held = out->floor; /* below it there may be grants */
		return ERR_OK;
	}
	e = store_entry_find(t, local, out->held, &last);
	if (!e) {
		out->chain = last.chain;
	} else if (e == ERR_DAMAGED && store_head_from(t, local, out->held, &head) == ERR_OK && head.number == out->held) {
		out->chain = head.chain; /* the entry is damaged too; what its originator signed is as good */
		e = ERR_OK;
	}
	return e;
}
