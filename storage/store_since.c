/* Since when something is here that does not say so itself. */
#include "storage/record.h"

static void put(struct txn *t, const struct key *k, struct wall now)
{
	uint8_t bytes[16];
	struct wr w = wr_init(bytes, sizeof bytes);
	wr_i64(&w, now.us);
	wr_u64(&w, store_last_arrival(t));
	record_put_wr(t, k, &w, KV_PUT);
}

static enum err read_moment(struct rd *r, struct moment *out)
{
	out->when.us = rd_i64(r);
	out->arrival = rd_u64(r);
	return rd_done(r) ? ERR_DAMAGED : ERR_OK;
}

static enum err get(struct txn *t, const struct key *k, struct moment *out)
{
	struct rd r;
	enum err e = record_get(t, k, &r);
	return e ? e : read_moment(&r, out);
}

void store_state_since_put(struct txn *t, uint8_t kind, const struct hash *hash, struct wall now)
{
	struct key k = key_state_since(kind, hash);
	struct moment before;
	if (get(t, &k, &before) != ERR_OK)
		put(t, &k, now);
}

enum err store_state_since_get(struct txn *t, uint8_t kind, const struct hash *hash, struct moment *out)
{
	struct key k = key_state_since(kind, hash);
	return get(t, &k, out);
}

enum err store_state_since_each(struct txn *t, uint8_t kind, enum err (*fn)(void *arg, const struct hash *hash, const struct moment *since), void *arg)
{
	static const struct hash none;
	struct key all = key_state_since(kind, &none);
	all.len = 2; /* the table's number and the kind */
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct rd k = key_fields(w.key);
		struct moment since;
		struct hash hash;
		rd_u8(&k);
		rd_copy(&k, hash.b, sizeof hash.b);
		enum err e = rd_done(&k) ? ERR_DAMAGED : read_moment(&w.row, &since);
		if (e == ERR_DAMAGED) {
			damage = e;
			continue;
		}
		e = fn(arg, &hash, &since);
		if (e)
			return e;
	}
	return w.err ? w.err : damage;
}

void store_whole_since_put(struct txn *t, uint64_t arrival, struct wall now)
{
	struct key k = key_whole_since(arrival);
	put(t, &k, now);
}

enum err store_whole_since_get(struct txn *t, uint64_t arrival, struct moment *out)
{
	struct key k = key_whole_since(arrival);
	return get(t, &k, out);
}
