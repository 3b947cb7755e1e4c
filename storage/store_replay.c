/* Copies of messages that are handed out again, and how far a replay has come. */
#include "storage/record.h"

static void text_read(struct rd *r, char *out, size_t size)
{
	struct view v = rd_vec16(r, size - 1);
	if (v.len)
		memcpy(out, v.ptr, v.len);
	out[v.len] = '\0';
}

static void copy_write(struct wr *w, const struct replay_copy *c)
{
	wr_bytes(w, view_of(c->id.b, sizeof c->id.b));
	wr_vec16(w, view_str(c->by));
	wr_vec16(w, view_str(c->why));
	wr_vec16(w, view_str(c->desk));
	wr_i64(w, c->lease_us);
	wr_i64(w, c->since.us);
}

static enum err copy_read(struct rd *r, struct replay_copy *out)
{
	rd_copy(r, out->id.b, sizeof out->id.b);
	text_read(r, out->by, sizeof out->by);
	text_read(r, out->why, sizeof out->why);
	text_read(r, out->desk, sizeof out->desk);
	out->lease_us = rd_i64(r);
	out->since.us = rd_i64(r);
	return rd_done(r) ? ERR_DAMAGED : ERR_OK;
}

static void place_read(struct rd *k, struct replay_place *out)
{
	out->queue = rd_u32(k);
	out->precedence = rd_u8(k);
	out->arrival = rd_u64(k);
	out->job = rd_u64(k);
}

static void put(struct txn *t, const struct key *k, const struct replay_copy *copy)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	copy_write(&w, copy);
	record_put_wr(t, k, &w, KV_PUT);
}

void store_replay_put(struct txn *t, const struct replay_copy *copy)
{
	struct key k = key_replay(&copy->at);
	put(t, &k, copy);
}

void store_replay_del(struct txn *t, const struct replay_place *at)
{
	struct key k = key_replay(at);
	record_del(t, &k);
}

enum err store_replay_from(struct txn *t, const struct replay_place *from, struct replay_copy *out)
{
	struct key k = key_replay(from);
	struct view key = {0};
	struct rd r;
	enum err e = record_from(t, &k, 1 + sizeof from->queue, &key, &r);
	if (e && (e != ERR_DAMAGED || !key.len))
		return e == ERR_DAMAGED ? ERR_IO : e;
	struct rd fields = key_fields(key);
	*out = (struct replay_copy){.at.queue = from->queue};
	place_read(&fields, &out->at);
	return e ? e : copy_read(&r, out);
}

void store_replay_out_put(struct txn *t, const struct replay_copy *copy)
{
	struct key k = key_replay_out(&copy->id, &copy->at);
	put(t, &k, copy);
}

void store_replay_out_del(struct txn *t, const struct replay_copy *copy)
{
	struct key k = key_replay_out(&copy->id, &copy->at);
	record_del(t, &k);
}

static enum err out_read(struct view key, struct rd *r, bool good, struct replay_copy *out)
{
	struct rd fields = key_fields(key);
	struct msgid id;
	*out = (struct replay_copy){.lease_us = 0};
	rd_copy(&fields, id.b, sizeof id.b);
	place_read(&fields, &out->at);
	enum err e = good ? copy_read(r, out) : ERR_DAMAGED;
	out->id = id;
	return e;
}

enum err store_replay_out_from(struct txn *t, const struct msgid *id, const struct replay_place *from, struct replay_copy *out)
{
	struct key k = key_replay_out(id, from);
	struct view key = {0};
	struct rd r;
	enum err e = record_from(t, &k, 1 + sizeof id->b, &key, &r);
	if (e && (e != ERR_DAMAGED || !key.len))
		return e == ERR_DAMAGED ? ERR_IO : e;
	return out_read(key, &r, !e, out);
}

enum err store_replay_out_each(struct txn *t, enum err (*fn)(void *arg, const struct replay_copy *copy), void *arg)
{
	struct key all = key_table(TABLE_REPLAY_OUT);
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct replay_copy copy;
		enum err e = out_read(w.key, &w.row, true, &copy);
		if (e == ERR_DAMAGED) {
			damage = e;
			continue;
		}
		e = fn(arg, &copy);
		if (e)
			return e;
	}
	return w.err ? w.err : damage;
}

void store_replay_job_put(struct txn *t, const struct hash *what, struct view blob)
{
	struct key k = key_replay_job(what);
	uint8_t row[META_BYTES_MAX];
	struct wr w = wr_init(row, sizeof row);
	wr_bytes(&w, blob);
	record_put_wr(t, &k, &w, KV_PUT);
}

enum err store_replay_job_get(struct txn *t, const struct hash *what, struct view *blob)
{
	struct key k = key_replay_job(what);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	if (!e)
		*blob = rd_bytes(&r, rd_left(&r));
	return e;
}

void store_replay_job_del(struct txn *t, const struct hash *what)
{
	struct key k = key_replay_job(what);
	record_del(t, &k);
}
