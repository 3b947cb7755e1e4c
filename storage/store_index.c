/* Messages by id, idempotency keys by day, grants by stream, and what expires when. */
#include "storage/record.h"

/* ---- messages ------------------------------------------------------------------------------------------------ */

void store_msg_put(struct txn *t, const struct msg_row *row)
{
	uint8_t bytes[ROW_BYTES_MAX]; /* apart first: events may be a view of the record that is replaced */
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_msg(&row->id, row->addressee);
	if (row->events.len > EVENTS_BYTES_MAX)
		txn_stick(t, ERR_TOO_LARGE);
	codec_msg_write(&w, row);
	record_put_wr(t, &k, &w, KV_PUT);
}

void store_msg_del(struct txn *t, const struct msgid *id, uint16_t addressee)
{
	struct key k = key_msg(id, addressee);
	record_del(t, &k);
}

enum err store_msg_get(struct txn *t, const struct msgid *id, uint16_t addressee, struct msg_row *out)
{
	struct key k = key_msg(id, addressee);
	struct view value, row;
	enum err e = kv_get(t->k, k.db, key_view(&k), &value);
	if (!e)
		e = record_open(key_view(&k), value, &row);
	if (e)
		return e;
	struct rd r = rd_init(row);
	return codec_msg_read(key_view(&k), &r, out);
}

enum err store_msg_from(struct txn *t, const struct msgid *id, uint16_t addressee, struct msg_row *out)
{
	struct key k = key_msg(id, addressee);
	struct view key = {0};
	struct rd r;
	enum err e = record_from(t, &k, 1, &key, &r);
	if (!e)
		return codec_msg_read(key, &r, out);
	return e == ERR_DAMAGED && codec_msg_key(key, out) ? ERR_DAMAGED : e;
}

/* ---- idempotency keys ------------------------------------------------------------------------------------------- */

void store_key_put(struct txn *t, uint32_t day, const struct hash *key, const struct key_row *row)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_idempotency(day, key);
	codec_idempotency_write(&w, row);
	record_put_wr(t, &k, &w, KV_PUT);
}

/* The last day that has keys, of those before `limit` (a beginning of keys). */
static enum err day_before(struct txn *t, const struct key *limit, uint32_t *day)
{
	struct view key, value;
	enum err e = kv_before(t->k, limit->db, key_view(limit), &key, &value);
	if (e)
		return e;
	struct rd r = key_fields(key);
	*day = rd_u32(&r);
	return ERR_OK;
}

/* Newest day first: a repeated submission is most often a fresh one. */
enum err store_key_find(struct txn *t, const struct hash *key, struct key_row *out)
{
	struct key limit = key_table(TABLE_KEY);
	uint32_t day;
	enum err e;
	limit.b[0]++;
	while ((e = day_before(t, &limit, &day)) == ERR_OK) {
		struct rd r;
		limit = key_idempotency(day, key);
		e = record_get(t, &limit, &r);
		if (!e)
			return codec_idempotency_read(&r, out);
		if (e != ERR_NOT_FOUND)
			return e;
		limit.len = 1 + sizeof day; /* sorts before all keys of that day */
	}
	return e;
}

bool store_key_retire(struct txn *t, uint32_t day, size_t *left)
{
	struct key all = key_table(TABLE_KEY);
	for (;; --*left) {
		struct view key, value;
		struct key k;
		if (kv_seek(t->k, all.db, key_view(&all), &key, &value) || key.ptr[0] != TABLE_KEY || !key_from(&k, all.db, key))
			return true;
		struct rd r = key_fields(key);
		if (rd_u32(&r) >= day)
			return true;
		if (!*left)
			return false;
		record_del(t, &k);
	}
}

/* ---- grants ------------------------------------------------------------------------------------------------------- */

void store_grant_put(struct txn *t, uint32_t stream, uint64_t number, uint64_t arrival)
{
	uint8_t bytes[sizeof arrival];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_grant(stream, number);
	wr_u64(&w, arrival);
	record_put_wr(t, &k, &w, KV_PUT);
}

enum err store_grant_find(struct txn *t, uint32_t stream, uint64_t number, uint64_t *grant_number, uint64_t *arrival)
{
	struct key limit = key_grant(stream, number);
	size_t prefix = limit.len - sizeof number;
	struct view key, value, row;
	key_step(&limit);
	enum err e = kv_before(t->k, limit.db, key_view(&limit), &key, &value);
	if (e)
		return e;
	struct key want = key_grant(stream, number);
	if (key.len != want.len || memcmp(key.ptr, want.b, prefix) != 0)
		return ERR_NOT_FOUND;
	if (record_open(key, value, &row))
		return ERR_DAMAGED;
	struct rd k = key_fields(key), r = rd_init(row);
	rd_u32(&k);
	*grant_number = rd_u64(&k);
	*arrival = rd_u64(&r);
	return rd_done(&k) || rd_done(&r) ? ERR_DAMAGED : ERR_OK;
}

/* ---- expiry --------------------------------------------------------------------------------------------------------- */

void store_expiry_put(struct txn *t, struct wall when, uint64_t arrival)
{
	struct key k = key_expiry(when, arrival);
	record_put(t, &k, view_of(NULL, 0), KV_PUT);
}

void store_expiry_del(struct txn *t, struct wall when, uint64_t arrival)
{
	struct key k = key_expiry(when, arrival);
	record_del(t, &k);
}

enum err store_expiry_first(struct txn *t, struct wall *when, uint64_t *arrival)
{
	struct key all = key_table(TABLE_EXPIRY);
	struct view key = {0};
	struct rd r;
	enum err e = record_from(t, &all, all.len, &key, &r);
	if (e && e != ERR_DAMAGED)
		return e;
	struct rd k = key_fields(key);
	*when = key_rd_time(&k);
	*arrival = rd_u64(&k);
	return e || rd_done(&k) || rd_done(&r) ? ERR_DAMAGED : ERR_OK;
}
