/* Streams and their signed heads. */
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
	row->local = record_last_u32(t, TABLE_STREAM) + 1;
	store_stream_put(t, row);
}

enum err store_stream_each(struct txn *t, enum err (*fn)(void *arg, const struct stream_row *row), void *arg)
{
	struct key all = key_table(TABLE_STREAM);
	struct walk w = walk_begin(t, &all);
	while (walk_next(&w)) {
		struct stream_row row;
		enum err e = codec_stream_read(w.key, &w.row, &row);
		if (!e)
			e = fn(arg, &row);
		if (e)
			return e;
	}
	return w.err;
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

void store_head_put(struct txn *t, struct stream_row *row, const struct head *h)
{
	uint8_t bytes[HASH_BYTES + SIGNATURE_BYTES];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_head(row->local, h->number);
	codec_head_write(&w, h);
	record_put_wr(t, &k, &w, KV_PUT);
	if (h->number > row->head)
		head_on_top(t, row, h->number);
	else if (h->number < row->head && h->number > row->head_before)
		row->head_before = h->number;
}

enum err store_head_from(struct txn *t, uint32_t stream, uint64_t number, struct head *out)
{
	struct key k = key_head(stream, number);
	struct view key;
	struct rd r;
	enum err e = record_from(t, &k, k.len - sizeof number, &key, &r);
	return e ? e : codec_head_read(key, &r, out);
}
