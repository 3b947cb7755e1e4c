/* Queues, the places in them, and leases. */
#include "storage/record.h"

/* ---- queues ----------------------------------------------------------------------------------------------- */

void store_queue_put(struct txn *t, const struct queue_row *row)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_queue(row->local);
	codec_queue_write(&w, row);
	record_put_wr(t, &k, &w, KV_PUT);
}

void store_queue_add(struct txn *t, struct queue_row *row)
{
	row->local = record_last_u32(t, TABLE_QUEUE) + 1;
	store_queue_put(t, row);
}

enum err store_queue_each(struct txn *t, enum err (*fn)(void *arg, const struct queue_row *row), void *arg)
{
	struct key all = key_table(TABLE_QUEUE);
	struct walk w = walk_begin(t, &all);
	while (walk_next(&w)) {
		struct queue_row row;
		enum err e = codec_queue_read(w.key, &w.row, &row);
		if (!e)
			e = fn(arg, &row);
		if (e)
			return e;
	}
	return w.err;
}

/* ---- places ----------------------------------------------------------------------------------------------- */

void store_place_put(struct txn *t, const struct place *p, const struct msgid *id)
{
	struct key k = key_place(p);
	record_put(t, &k, view_of(id->b, sizeof id->b), KV_PUT);
}

void store_place_del(struct txn *t, const struct place *p)
{
	struct key k = key_place(p);
	record_del(t, &k);
}

enum err store_place_from(struct txn *t, const struct place *from, struct place *out, struct msgid *id)
{
	struct key k = key_place(from);
	size_t prefix = 1 + sizeof from->queue + sizeof from->exercise;
	struct view key = {0};
	struct rd r;
	enum err e = record_from(t, &k, prefix, &key, &r);
	if (e && e != ERR_DAMAGED)
		return e;
	if (codec_place_read(key, out) || e)
		return ERR_DAMAGED;
	rd_copy(&r, id->b, sizeof id->b);
	return rd_done(&r) ? ERR_DAMAGED : ERR_OK;
}

/* ---- leases ----------------------------------------------------------------------------------------------- */

void store_lease_put(struct txn *t, const struct lease_row *l)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_lease(l->place.arrival);
	codec_lease_write(&w, l);
	record_put_wr(t, &k, &w, KV_PUT);
}

enum err store_lease_get(struct txn *t, uint64_t arrival, struct lease_row *out)
{
	struct key k = key_lease(arrival);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	return e ? e : codec_lease_read(&r, out);
}

void store_lease_del(struct txn *t, uint64_t arrival)
{
	struct key k = key_lease(arrival);
	record_del(t, &k);
}

enum err store_lease_each(struct txn *t, enum err (*fn)(void *arg, const struct lease_row *l), void *arg)
{
	struct key all = key_table(TABLE_LEASE);
	struct walk w = walk_begin(t, &all);
	while (walk_next(&w)) {
		struct lease_row row;
		enum err e = codec_lease_read(&w.row, &row);
		if (!e)
			e = fn(arg, &row);
		if (e)
			return e;
	}
	return w.err;
}
