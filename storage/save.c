#include "storage/save.h"

#include "storage/record.h"

/* Records of one commit. */
#define SAVE_RECORDS 100000

/* Those of one database, from *next on. ERR_NOT_FOUND: they are all there. */
static enum err save_some(struct kv_txn *from, struct kv_txn *to, enum kv_db db, struct buf *next)
{
	struct view key, value;
	enum err e = ERR_OK;

	for (size_t n = 0; !e && n < SAVE_RECORDS && !(e = kv_seek(from, db, buf_view(next), &key, &value)); n++) {
		uint8_t *p = kv_reserve(to, db, key, value.len, KV_APPEND);

		if (p && value.len)
			memcpy(p, value.ptr, value.len);
		buf_clear(next);
		buf_add(next, key);
		buf_add_u8(next, 0); /* the next key there can be */
		e = to->err ? to->err : buf_ok(next) ? ERR_OK : ERR_NOMEM;
	}
	return e;
}

static enum err save_db(struct kv_txn *from, struct kv *to, enum kv_db db)
{
	struct buf next = BUF_EMPTY;
	enum err e = ERR_OK;

	buf_add_u8(&next, 0); /* before every table */
	while (!e) {
		struct kv_txn *t;

		if ((e = kv_begin(to, true, &t)))
			break;
		e = save_some(from, t, db, &next);
		enum err done = kv_commit(t);

		e = done ? done : e;
	}
	buf_release(&next);
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err store_save(struct store *s, const char *dir, struct errmsg *m)
{
	/* Room is no question: it was asked when the records were written. */
	struct store_options o = {.quota_bytes = 1LL << 40};
	struct store *to = NULL;
	struct kv_txn *from = NULL;
	enum err e = store_create(dir, &s->birth, &o, m);

	if (!e)
		e = store_open(dir, &o, &to, m);
	if (e)
		return e;
	e = kv_begin(s->kv, false, &from);
	for (unsigned db = 0; !e && db < DB_COUNT; db++)
		e = save_db(from, to->kv, (enum kv_db)db);
	if (from)
		kv_abort(from);
	store_close(to);
	return e ? err_set(m, e, "%s: the journal cannot be written there: %s", dir, err_text(e)) : ERR_OK;
}
