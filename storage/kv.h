/* kv.h - ordered byte keys in a handful of databases: what the store needs of whatever keeps it.
 *
 * Two backends fill the table of functions: LMDB in a folder (lmdbkv.h) and memory (memkv.h). store*.c is written once,
 * over this. Keys begin with the number of their table (schema.h) and compare as bytes, a shorter one before a longer.
 * There are no cursors to keep: a walk seeks again from behind the key it saw, so rows may change under it.
 *
 * Errors of writes stick in the transaction; then its writes do nothing, its reads return the error, and its commit fails
 * with it. A view lives until the next write in, or the end of, its transaction. One thread uses a kv at a time. */
#ifndef STORAGE_KV_H
#define STORAGE_KV_H

#include "proto/err.h"
#include "proto/view.h"

/* One LMDB database each; which table lies where: schema.h. */
enum kv_db { DB_CORE, DB_ENTRIES, DB_INDEX, DB_BODIES0, DB_BODIES1, DB_PLACES, DB_MESSAGES, DB_KEYS, DB_COUNT };

/* How a record is put. KV_APPEND expects the key above all others (pages then fill up whole) and becomes KV_PUT when it
 * is not. KV_NEW sticks ERR_EXISTS when the key is there. */
enum kv_put { KV_PUT, KV_NEW, KV_APPEND };

struct kv_space {
	int64_t used_bytes, file_bytes, disk_free_bytes;
};

/* The pages that a transaction sees; all zeros in memory. */
struct kv_pages {
	uint32_t page_bytes;
	uint64_t db[DB_COUNT], own, free; /* own: the backend's; together they are up_to */
	uint64_t up_to;
	int64_t file_bytes;
};

struct kv_txn;
struct kv;
struct kv_ops {
	void (*close)(struct kv *kv);
	enum err (*begin)(struct kv *kv, bool write, struct kv_txn **out);
	enum err (*commit)(struct kv_txn *t); /* ends t always; called only when nothing stuck */
	void (*abort)(struct kv_txn *t);
	enum err (*get)(struct kv_txn *t, enum kv_db db, struct view key, struct view *value);
	uint8_t *(*reserve)(struct kv_txn *t, enum kv_db db, struct view key, size_t len, enum kv_put how);
	bool (*del)(struct kv_txn *t, enum kv_db db, struct view key);
	enum err (*seek)(struct kv_txn *t, enum kv_db db, struct view from, struct view *key, struct view *value);
	enum err (*before)(struct kv_txn *t, enum kv_db db, struct view limit, struct view *key, struct view *value);
	void (*space)(struct kv *kv, struct kv_space *out);
	uint64_t (*count)(struct kv_txn *t, enum kv_db db);
	uint64_t (*moment)(struct kv_txn *t);
	enum err (*pages)(struct kv_txn *t, struct kv_pages *out); /* ERR_BUSY: a commit came since t began */
};
/* The beginning of each backend's own structs. */
struct kv {
	const struct kv_ops *ops;
};
struct kv_txn {
	struct kv *kv;
	bool write;
	enum err err;  /* what stuck */
	int64_t grown; /* bytes put less bytes deleted, of keys and values */
	bool changed;  /* something was put or deleted */
};

static inline void kv_stick(struct kv_txn *t, enum err e)
{
	if (!t->err)
		t->err = e;
}

/* ERR_FULL, ERR_IO, ERR_NOMEM, ERR_SYNC (a commit failed before). */
MUST_USE static inline enum err kv_begin(struct kv *kv, bool write, struct kv_txn **out)
{
	return kv->ops->begin(kv, write, out);
}
static inline void kv_abort(struct kv_txn *t)
{
	t->kv->ops->abort(t);
}
/* As txn_commit of store.h. Ends t always. */
MUST_USE static inline enum err kv_commit(struct kv_txn *t)
{
	enum err e = t->err;
	if (!e)
		return t->kv->ops->commit(t);
	kv_abort(t);
	return e;
}
/* ERR_NOT_FOUND, or what stuck. */
MUST_USE static inline enum err kv_get(struct kv_txn *t, enum kv_db db, struct view key, struct view *value)
{
	return t->err ? t->err : t->kv->ops->get(t, db, key, value);
}
/* Where the value of len bytes goes, to be filled before the next call on t; NULL when something stuck. */
static inline uint8_t *kv_reserve(struct kv_txn *t, enum kv_db db, struct view key, size_t len, enum kv_put how)
{
	t->changed = true;
	return t->err ? NULL : t->kv->ops->reserve(t, db, key, len, how);
}
/* True when it was there. */
static inline bool kv_del(struct kv_txn *t, enum kv_db db, struct view key)
{
	t->changed = true;
	return !t->err && t->kv->ops->del(t, db, key);
}
/* The first record at or after from. ERR_NOT_FOUND, or what stuck. */
MUST_USE static inline enum err kv_seek(struct kv_txn *t, enum kv_db db, struct view from, struct view *key, struct view *value)
{
	return t->err ? t->err : t->kv->ops->seek(t, db, from, key, value);
}
/* As kv_get, and quick when no record of that database lies between this one and the last that was asked for. */
MUST_USE static inline enum err kv_get_next(struct kv_txn *t, enum kv_db db, struct view key, struct view *value)
{
	struct view found;
	enum err e = kv_seek(t, db, key, &found, value);
	return e ? e : view_equal(found, key) ? ERR_OK : ERR_NOT_FOUND;
}
/* The last record before limit. ERR_NOT_FOUND, or what stuck. */
MUST_USE static inline enum err kv_before(struct kv_txn *t, enum kv_db db, struct view limit, struct view *key, struct view *value)
{
	return t->err ? t->err : t->kv->ops->before(t, db, limit, key, value);
}
/* How many records a database has. */
static inline uint64_t kv_count(struct kv_txn *t, enum kv_db db)
{
	return t->kv->ops->count(t, db);
}
/* Transactions that read see the same when this is the same. */
static inline uint64_t kv_moment(struct kv_txn *t)
{
	return t->kv->ops->moment(t);
}

#endif
