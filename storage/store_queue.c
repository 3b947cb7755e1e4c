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
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	row->local = record_last_u32(t, TABLE_QUEUE) + 1;
	store_queue_put(t, row);
	struct key k = key_queue_name(row->local);
	codec_queue_name_write(&w, row);
	record_put_wr(t, &k, &w, KV_PUT);
}

uint32_t store_queue_last(struct txn *t)
{
	return record_last_u32(t, TABLE_QUEUE);
}

enum err store_queue_each(struct txn *t, enum err (*fn)(void *arg, const struct queue_row *row), void *arg)
{
	struct key all = key_table(TABLE_QUEUE);
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct queue_row row;
		enum err e = codec_queue_read(w.key, &w.row, &row);
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

enum err store_lease_from(struct txn *t, uint64_t arrival, struct lease_row *out)
{
	struct key at = key_lease(arrival);
	struct view key = {0};
	struct rd r;
	enum err e = record_from(t, &at, 1, &key, &r);
	if (e && (e != ERR_DAMAGED || !key.len))
		return e == ERR_DAMAGED ? ERR_IO : e;
	struct rd k = key_fields(key);
	arrival = rd_u64(&k);
	if (!e)
		e = codec_lease_read(&r, out);
	if (e)
		*out = (struct lease_row){.place.arrival = arrival};
	return e;
}

enum err store_lease_each(struct txn *t, enum err (*fn)(void *arg, const struct lease_row *l), void *arg)
{
	struct key all = key_table(TABLE_LEASE);
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct lease_row row;
		enum err e = codec_lease_read(&w.row, &row);
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

/* ---- a queue's row that cannot be read any more --------------------------------------------------------------- */

static enum err count_lease(void *arg, const struct lease_row *l)
{
	struct queue_row *row = arg;
	if (l->place.queue == row->local && l->place.exercise < 2 && l->place.precedence < PREC_COUNT)
		row->leased[l->place.exercise][l->place.precedence]++;
	return ERR_OK;
}

enum err store_queue_count(struct txn *t, struct queue_row *row)
{
	struct place first = {.queue = row->local};
	struct key all = key_place(&first);
	all.len = 1 + sizeof row->local;
	memset(row->waiting, 0, sizeof row->waiting);
	memset(row->leased, 0, sizeof row->leased);
	struct walk w = walk_begin(t, &all);
	/* A place is all key: a damaged one stands in the queue too. */
	for (bool more = true; more;) {
		struct place p;
		if (!walk_next(&w) && (w.err != ERR_DAMAGED || w.key.len == 0))
			break;
		if (!codec_place_read(w.key, &p) && p.exercise < 2 && p.precedence < PREC_COUNT)
			row->waiting[p.exercise][p.precedence]++;
		more = w.err != ERR_DAMAGED || walk_step_over(&w);
	}
	if (w.err && w.err != ERR_DAMAGED)
		return w.err;
	enum err e = store_lease_each(t, count_lease, row);
	return e == ERR_DAMAGED ? ERR_OK : e;
}

enum err store_queue_rebuild(struct txn *t, uint32_t local, struct queue_row *out)
{
	struct key k = key_queue_name(local);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	*out = (struct queue_row){.local = local};
	if (!e)
		e = codec_queue_name_read(&r, out);
	if (e)
		return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
	return store_queue_count(t, out);
}
