/* A store's life, its space, transactions, and the small named values. */
#include "storage/store.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/folder.h"
#include "storage/lmdbkv.h"
#include "storage/memkv.h"
#include "storage/record.h"
#include "storage/upgrade.h"

#define MIB (1024LL * 1024)
#define QUOTA_DEFAULT (16LL * 1024 * MIB)
/* The file may grow to quota + quota / 4 + MAP_EXTRA; the last DELETE_ROOM of that only transactions that free may use. */
#define MAP_EXTRA (64 * MIB)
#define DELETE_ROOM (32 * MIB)

static int64_t quota_of(const struct store_options *o)
{
	int64_t quota = o && o->quota_bytes > 0 ? o->quota_bytes : QUOTA_DEFAULT;
	return quota < 1LL << 50 ? quota : 1LL << 50;
}

static int64_t map_of(int64_t quota)
{
	return quota + quota / 4 + MAP_EXTRA;
}

static struct store *store_new(const struct store_options *o)
{
	struct store *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->lock_fd = -1;
	s->quota_bytes = quota_of(o);
	s->hard_bytes = map_of(s->quota_bytes) - DELETE_ROOM;
	s->read_only = o && o->read_only;
	return s;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->kv)
		s->kv->ops->close(s->kv);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s);
}

/* ---- birth ------------------------------------------------------------------------------------------------ */

/* The first records: the schema's version, and where the store comes from. */
static enum err write_birth(struct store *s, const struct store_birth *birth)
{
	uint8_t row[256];
	struct key k = key_meta(META_STORE, META_STORE_BIRTH);
	struct wr w = wr_init(row, sizeof row);
	struct txn *t;
	enum err e = txn_begin(s, true, &t);
	if (e)
		return e;
	s->schema = STORE_SCHEMA;
	upgrade_note(t, STORE_SCHEMA);
	codec_birth_write(&w, birth);
	record_put_wr(t, &k, &w, KV_NEW);
	return txn_commit(t);
}

/* The schema comes first: a newer one may have changed everything else. */
static enum err read_birth(struct store *s, const char *dir, struct errmsg *m)
{
	struct key k = key_meta(META_STORE, META_STORE_BIRTH);
	struct txn *t;
	struct rd r;
	enum err e = txn_begin(s, false, &t);
	if (e)
		return err_set(m, e, "%s: the journal cannot be read: %s", dir, err_text(e));
	e = upgrade_schema_of(t, dir, &s->schema, m);
	if (!e && (record_get(t, &k, &r) || codec_birth_read(&r, &s->birth)))
		e = err_set(m, ERR_DAMAGED, "%s: the journal's record of its birth is damaged: restore it from a backup", dir);
	txn_abort(t);
	return e;
}

const struct store_birth *store_birth(const struct store *s)
{
	return &s->birth;
}

uint32_t store_upgraded_from(const struct store *s)
{
	return s->opened_schema < s->schema ? s->opened_schema : 0;
}

/* ---- life ----------------------------------------------------------------------------------------------- */

/* Makes the databases and the first records in the folder `stage`. */
static enum err fill_stage(const char *stage, const struct store_birth *birth, const struct store_options *o, struct errmsg *m)
{
	struct lmdbkv_options how = {.map_bytes = map_of(quota_of(o)), .reserve_bytes = o ? o->reserve_bytes : 0, .create = true};
	struct store *s = store_new(o);
	enum err e = s ? lmdbkv_open(stage, &how, &s->kv, m) : err_set(m, ERR_NOMEM, "%s: out of memory", stage);
	if (e)
		goto out;
	e = write_birth(s, birth);
	if (e)
		err_set(m, e, "%s: the journal's first records cannot be written: %s", stage, err_text(e));
out:
	store_close(s);
	return e;
}

enum err store_create(const char *dir, const struct store_birth *birth, const struct store_options *o, struct errmsg *m)
{
	char *stage = NULL;
	int lock_fd = -1;
	if (folder_state(dir) == FOLDER_THERE)
		return err_set(m, ERR_EXISTS, "%s: there is a journal already (it is never overwritten; move it aside first)", dir);
	enum err e = folder_stage(dir, &stage, &lock_fd, m);
	if (e)
		goto out;
	e = fill_stage(stage, birth, o, m);
	if (!e)
		e = folder_publish(stage, dir, m);
	if (e)
		folder_discard(stage);
out:
	if (lock_fd >= 0)
		close(lock_fd);
	free(stage);
	return e;
}

bool store_is_locked(const char *dir)
{
	return folder_is_locked(dir);
}

enum err store_open(const char *dir, const struct store_options *o, struct store **out, struct errmsg *m)
{
	struct lmdbkv_options how = {.map_bytes = map_of(quota_of(o)), .read_only = o && o->read_only, .check_pages = o && o->check_pages};
	struct store *s = NULL;
	enum err e;
	if (access(dir, R_OK | X_OK) != 0 && errno == EACCES)
		return err_set(m, ERR_NOT_PERMITTED, "%s: the folder may not be opened by this user (run as the user of the node)", dir);
	if (folder_state(dir) != FOLDER_THERE)
		return err_set(m, ERR_NOT_FOUND, "%s: there is no journal", dir);
	if (folder_open_here(dir))
		return err_set(m, ERR_LOCKED, "%s: this process has the journal open already", dir);
	s = store_new(o);
	if (!s)
		return err_set(m, ERR_NOMEM, "%s: out of memory", dir);
	e = s->read_only ? ERR_OK : folder_lock(dir, &s->lock_fd, m);
	if (!e)
		e = lmdbkv_open(dir, &how, &s->kv, m);
	if (!e)
		e = read_birth(s, dir, m);
	s->opened_schema = s->schema;
	if (!e && !s->read_only)
		e = upgrade_run(s, dir, m);
	if (e) {
		store_close(s);
		return e;
	}
	*out = s;
	return ERR_OK;
}

enum err store_open_memory(const struct store_birth *birth, const struct store_options *o,
                           enum err (*fail)(void *arg, uint64_t commit), void *arg, struct store **out)
{
	struct store *s = store_new(o);
	enum err e = s ? memkv_new(&s->kv) : ERR_NOMEM;
	if (!e)
		e = write_birth(s, birth);
	if (e) {
		store_close(s);
		return e;
	}
	memkv_fail_with(s->kv, fail, arg);
	s->birth = *birth;
	*out = s;
	return ERR_OK;
}

void store_restart_memory(struct store *s)
{
	memkv_restart(s->kv);
}

void store_space(struct store *s, struct store_space *out)
{
	struct kv_space space;
	s->kv->ops->space(s->kv, &space);
	*out = (struct store_space){
		.used_bytes = space.used_bytes,
		.quota_bytes = s->quota_bytes,
		.file_bytes = space.file_bytes,
		.disk_free_bytes = space.disk_free_bytes,
	};
}

struct store_changes store_changes(const struct store *s)
{
	return s->changes;
}

/* ---- transactions ------------------------------------------------------------------------------------------ */

enum err txn_begin(struct store *s, bool write, struct txn **out)
{
	struct kv_space space = {0};
	struct txn *t;
	if (write && s->read_only)
		return ERR_NOT_PERMITTED;
	t = calloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	enum err e = kv_begin(s->kv, write, &t->k);
	if (e) {
		free(t);
		return e;
	}
	t->s = s;
	if (write)
		s->kv->ops->space(s->kv, &space);
	t->over = space.used_bytes > s->hard_bytes;
	*out = t;
	return ERR_OK;
}

enum err txn_begin_pair(struct store *s, struct txn **a, struct txn **b)
{
	for (;;) {
		enum err e = txn_begin(s, false, a);
		if (e)
			return e;
		e = txn_begin(s, false, b);
		if (!e && kv_moment((*a)->k) == kv_moment((*b)->k))
			return ERR_OK;
		/* A daemon's commit came between them. */
		txn_abort(e ? NULL : *b);
		txn_abort(*a);
		*a = *b = NULL;
		if (e)
			return e;
	}
}

enum err txn_commit(struct txn *t)
{
	if (t->over && t->k->grown > 0)
		txn_stick(t, ERR_FULL);
	enum err e = kv_commit(t->k);
	free(t);
	return e;
}

void txn_abort(struct txn *t)
{
	if (!t)
		return;
	kv_abort(t->k);
	free(t);
}

enum err txn_error(const struct txn *t)
{
	return t->k->err;
}

bool txn_changed(const struct txn *t)
{
	return t->k->changed;
}

void txn_fail(struct txn *t, enum err e)
{
	txn_stick(t, e);
}

/* ---- meta -------------------------------------------------------------------------------------------------- */

void store_meta_put(struct txn *t, uint8_t key, struct view value)
{
	struct key k = key_meta(META_CORE, key);
	uint8_t row[META_BYTES_MAX]; /* a copy: the value may be a view of the record that is replaced */
	struct wr w = wr_init(row, sizeof row);
	wr_bytes(&w, value);
	record_put_wr(t, &k, &w, KV_PUT);
}

enum err store_meta_get(struct txn *t, uint8_t key, struct view *value)
{
	struct key k = key_meta(META_CORE, key);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	if (!e)
		*value = rd_bytes(&r, rd_left(&r));
	return e;
}
