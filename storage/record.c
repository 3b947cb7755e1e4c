#include "storage/record.h"

#include <assert.h>

#include "proto/crypt.h"

static void check_of(struct view key, struct view row, uint8_t out[CHECK_BYTES])
{
	crypt_check(key, row, out);
}

uint8_t *record_reserve(struct txn *t, const struct key *k, size_t len, enum kv_put how)
{
	assert(t->k->write);
	return kv_reserve(t->k, k->db, key_view(k), len + CHECK_BYTES, how);
}

void record_seal(const struct key *k, uint8_t *row, size_t len)
{
	check_of(key_view(k), view_of(row, len), row + len);
}

void record_put(struct txn *t, const struct key *k, struct view row, enum kv_put how)
{
	uint8_t *to = record_reserve(t, k, row.len, how);
	if (!to)
		return;
	if (row.len)
		memcpy(to, row.ptr, row.len);
	record_seal(k, to, row.len);
}

void record_put_wr(struct txn *t, const struct key *k, const struct wr *w, enum kv_put how)
{
	enum err e = wr_done(w);
	if (e)
		txn_stick(t, e);
	else
		record_put(t, k, view_of(w->start, wr_len(w)), how);
}

void record_del(struct txn *t, const struct key *k)
{
	assert(t->k->write);
	kv_del(t->k, k->db, key_view(k));
}

enum err record_open(struct view key, struct view value, struct view *row)
{
	uint8_t check[CHECK_BYTES];
	if (value.len < CHECK_BYTES)
		return ERR_DAMAGED;
	*row = view_of(value.ptr, value.len - CHECK_BYTES);
	check_of(key, *row, check);
	return memcmp(check, value.ptr + row->len, CHECK_BYTES) ? ERR_DAMAGED : ERR_OK;
}

static enum err open_rd(struct view key, struct view value, struct rd *r)
{
	struct view row;
	enum err e = record_open(key, value, &row);
	if (!e)
		*r = rd_init(row);
	return e;
}

enum err record_get(struct txn *t, const struct key *k, struct rd *r)
{
	struct view value;
	enum err e = kv_get(t->k, k->db, key_view(k), &value);
	return e ? e : open_rd(key_view(k), value, r);
}

enum err record_from(struct txn *t, const struct key *from, size_t prefix, struct view *key, struct rd *r)
{
	struct view value;
	enum err e = kv_seek(t->k, from->db, key_view(from), key, &value);
	if (e)
		return e;
	if (key->len < prefix || memcmp(key->ptr, from->b, prefix) != 0)
		return ERR_NOT_FOUND;
	return open_rd(*key, value, r);
}

/* ---- walks ---------------------------------------------------------------------------------------------- */

struct walk walk_begin(struct txn *t, const struct key *beginning)
{
	return (struct walk){.t = t, .at = *beginning, .prefix = beginning->len};
}

bool walk_next(struct walk *w)
{
	if (w->end)
		return false;
	w->key = view_of(NULL, 0);
	w->err = record_from(w->t, &w->at, w->prefix, &w->key, &w->row);
	if (w->err) {
		w->end = true;
		if (w->err == ERR_NOT_FOUND)
			w->err = ERR_OK;
		return false;
	}
	w->end = !key_from(&w->at, w->at.db, w->key) || !key_step(&w->at);
	return true;
}

bool walk_step_over(struct walk *w)
{
	w->end = w->err != ERR_DAMAGED || w->key.len == 0 || !key_from(&w->at, w->at.db, w->key) || !key_step(&w->at);
	return !w->end;
}

bool walk_next_good(struct walk *w, enum err *damage)
{
	while (!walk_next(w)) {
		if (w->err != ERR_DAMAGED)
			return false;
		*damage = ERR_DAMAGED;
		if (!walk_step_over(w)) {
			w->err = ERR_OK; /* told by *damage */
			return false;
		}
	}
	return true;
}

uint32_t record_last_u32(struct txn *t, enum table table)
{
	struct key limit = key_table(table);
	struct view key, value;
	limit.b[0]++;
	enum err e = kv_before(t->k, limit.db, key_view(&limit), &key, &value);
	if (e || !key.len || key.ptr[0] != (uint8_t)table)
		return 0;
	struct rd r = key_fields(key);
	return rd_u32(&r);
}
