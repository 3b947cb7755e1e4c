#include "storage/lmdbkv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "storage/lmdbfile.h"

#define MIB (1024LL * 1024)
/* Less than this left of the map, with as little free inside: the map grows by MAP_STEP before the next write. */
#define MAP_MARGIN (16 * MIB)
#define MAP_STEP (64 * MIB)
/* LMDB writes at most 64 pages at once, so a write cut short by a full disk leaves less than this. */
#define SHORT_WRITE_BYTES (256 * 1024LL)
/* The free list is counted anew after so many bytes or commits. */
#define SPACE_STALE_BYTES MIB
#define SPACE_STALE_COMMITS 1024
/* The last pages of a file may never have been written (freed in the transaction that took them); more missing is a cut. */
#define UNWRITTEN_PAGES 256

struct lmdbtxn {
	struct kv_txn base;
	MDB_txn *txn;
	MDB_cursor *cursor[DB_COUNT]; /* opened when first used */
	int64_t touched;              /* bytes put and deleted */
};
struct lmdbkv {
	struct kv base;
	MDB_env *env;
	MDB_dbi dbi[DB_COUNT];
	int fd; /* LMDB's own, of the data file */
	bool read_only, writing, dead;
	bool map_was_full;
	unsigned readers;
	int64_t page_bytes, map_bytes;
	/* space: pages in use when last counted, the file's last page then, and what happened since */
	int64_t used_pages, counted_last;
	int64_t since_bytes;
	uint64_t since_commits;
	struct lmdbtxn writer; /* there is one at most */
};

static const char *const db_name[DB_COUNT] = {"core",    "entries", "index",    "bodies0",
                                              "bodies1", "places",  "messages", "keys"};

/* ---- errors -------------------------------------------------------------------------------------------- */

/* LMDB reports a write cut short as EIO: the disk, or the largest file allowed, was full. */
static bool nearly_full(const struct lmdbkv *l)
{
	struct statvfs v;
	struct stat st;
	struct rlimit r;
	if (fstatvfs(l->fd, &v) == 0 && (int64_t)v.f_bavail * (int64_t)v.f_frsize < SHORT_WRITE_BYTES)
		return true;
	return fstat(l->fd, &st) == 0 && getrlimit(RLIMIT_FSIZE, &r) == 0 && r.rlim_cur != RLIM_INFINITY &&
	       st.st_size + SHORT_WRITE_BYTES > (int64_t)r.rlim_cur;
}

/* At a commit, what is not known to have failed before the sync counts as an unconfirmed one. */
static enum err error_of(const struct lmdbkv *l, int rc, bool commit)
{
	switch (rc) {
	case 0:
		return ERR_OK;
	case MDB_NOTFOUND:
		return ERR_NOT_FOUND;
	case MDB_KEYEXIST:
		return ERR_EXISTS;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_FULL;
	case ENOMEM:
		return ERR_NOMEM;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
		return ERR_DAMAGED;
	case MDB_VERSION_MISMATCH:
		return ERR_VERSION;
	case MDB_PANIC:
		return ERR_SYNC;
	case EIO:
		if (nearly_full(l))
			return ERR_FULL;
		break;
	}
	return commit ? ERR_SYNC : ERR_IO;
}

/* A failed write: sticks, and what it says about the map and the store is remembered. */
static void failed(struct kv_txn *t, int rc)
{
	struct lmdbkv *l = (struct lmdbkv *)t->kv;
	l->map_was_full |= rc == MDB_MAP_FULL;
	l->dead |= rc == MDB_PANIC;
	kv_stick(t, error_of(l, rc, false));
}

/* ---- space and growth --------------------------------------------------------------------------------- */

static int64_t last_page(const struct lmdbkv *l)
{
	MDB_envinfo info;
	mdb_env_info(l->env, &info);
	return (int64_t)info.me_last_pgno;
}

/* What the free list names. Each of its records begins with a count. */
static int64_t pages_free(MDB_txn *txn)
{
	MDB_cursor *c = NULL;
	MDB_val key, value;
	int64_t n_free = 0;
	if (mdb_cursor_open(txn, 0, &c))
		return 0;
	while (mdb_cursor_get(c, &key, &value, MDB_NEXT) == 0) {
		size_t n = 0;
		if (value.mv_size >= sizeof n)
			memcpy(&n, value.mv_data, sizeof n);
		n_free += (int64_t)n;
	}
	mdb_cursor_close(c);
	return n_free;
}

/* Pages in use: all up to the last one, less the free ones. */
static void count_pages(struct lmdbkv *l)
{
	MDB_txn *txn = NULL;
	mdb_reader_check(l->env, NULL);
	if (mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn))
		return;
	l->counted_last = last_page(l);
	l->used_pages = l->counted_last + 1 - pages_free(txn);
	l->since_bytes = 0;
	l->since_commits = 0;
	mdb_txn_abort(txn);
}

static bool space_stale(const struct lmdbkv *l)
{
	return !l->used_pages || l->since_bytes >= SPACE_STALE_BYTES || l->since_commits >= SPACE_STALE_COMMITS;
}

static void lm_space(struct kv *kv, struct kv_space *out)
{
	struct lmdbkv *l = (struct lmdbkv *)kv;
	struct stat st = {0};
	struct statvfs v = {0};
	if (!l->writing && space_stale(l))
		count_pages(l);
	fstat(l->fd, &st);
	fstatvfs(l->fd, &v);
	out->used_bytes = (l->used_pages + last_page(l) - l->counted_last) * l->page_bytes;
	out->file_bytes = st.st_size;
	out->disk_free_bytes = (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

/* Never with a transaction open: LMDB moves the map then. */
static int set_map(struct lmdbkv *l, int64_t bytes)
{
	int rc = mdb_env_set_mapsize(l->env, (size_t)bytes);
	if (rc == 0)
		l->map_bytes = bytes;
	return rc;
}

static void grow_when_needed(struct lmdbkv *l)
{
	if (l->readers)
		return;
	int64_t last = last_page(l);
	int64_t free_bytes = (l->counted_last + 1 - l->used_pages) * l->page_bytes;
	bool near = (last + 1) * l->page_bytes + MAP_MARGIN > l->map_bytes && free_bytes < MAP_MARGIN;
	if ((near || l->map_was_full) && set_map(l, l->map_bytes + MAP_STEP) == 0)
		l->map_was_full = false;
}

/* ---- transactions ------------------------------------------------------------------------------------ */

static struct lmdbkv *kv_of(struct kv_txn *t)
{
	return (struct lmdbkv *)t->kv;
}

static enum err txn_new(struct lmdbkv *l, bool write, struct lmdbtxn **out)
{
	struct lmdbtxn *t = write ? &l->writer : calloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	*t = (struct lmdbtxn){.base = {.kv = &l->base, .write = write}};
	int rc = mdb_txn_begin(l->env, NULL, write ? 0 : MDB_RDONLY, &t->txn);
	if (rc == MDB_MAP_RESIZED && !l->readers && !l->writing) { /* a writer made it larger */
		mdb_env_set_mapsize(l->env, 0);
		rc = mdb_txn_begin(l->env, NULL, write ? 0 : MDB_RDONLY, &t->txn);
	}
	if (rc == 0) {
		*out = t;
		return ERR_OK;
	}
	if (!write)
		free(t);
	l->dead |= rc == MDB_PANIC;
	return error_of(l, rc, false);
}

static enum err lm_begin(struct kv *kv, bool write, struct kv_txn **out)
{
	struct lmdbkv *l = (struct lmdbkv *)kv;
	struct lmdbtxn *t = NULL;
	if (l->dead)
		return ERR_SYNC;
	if (l->writing || (write && l->readers))
		return ERR_BUSY;
	if (write) {
		if (space_stale(l))
			count_pages(l);
		grow_when_needed(l);
	}
	enum err e = txn_new(l, write, &t);
	if (e)
		return e;
	if (write)
		l->writing = true;
	else
		l->readers++;
	*out = &t->base;
	return ERR_OK;
}

/* Cursors go before their transaction does: LMDB frees those of a write transaction itself, and of a reader not. */
static void close_cursors(struct lmdbtxn *t)
{
	for (size_t db = 0; db < DB_COUNT; db++) {
		if (t->cursor[db])
			mdb_cursor_close(t->cursor[db]);
		t->cursor[db] = NULL;
	}
}

static void txn_end(struct lmdbtxn *t)
{
	struct lmdbkv *l = kv_of(&t->base);
	if (t->base.write) {
		l->writing = false;
		return;
	}
	l->readers--;
	free(t);
}

static void lm_abort(struct kv_txn *base)
{
	struct lmdbtxn *t = (struct lmdbtxn *)base;
	close_cursors(t);
	mdb_txn_abort(t->txn);
	txn_end(t);
}

/* After a failed write of a meta page LMDB refuses everything, and what is on the disk is not known. */
static bool broken(struct lmdbkv *l)
{
	MDB_txn *txn = NULL;
	int rc = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn);
	if (rc == 0)
		mdb_txn_abort(txn);
	return rc == MDB_PANIC;
}

static enum err lm_commit(struct kv_txn *base)
{
	struct lmdbtxn *t = (struct lmdbtxn *)base;
	struct lmdbkv *l = kv_of(base);
	close_cursors(t);
	int rc = mdb_txn_commit(t->txn);
	enum err e = rc && broken(l) ? ERR_SYNC : error_of(l, rc, true);
	l->map_was_full |= rc == MDB_MAP_FULL;
	l->dead |= e == ERR_SYNC;
	l->since_bytes += t->touched;
	l->since_commits += base->write;
	txn_end(t);
	return e;
}

/* ---- records ------------------------------------------------------------------------------------------ */

static MDB_val val_of(struct view v)
{
	return (MDB_val){.mv_size = v.len, .mv_data = (void *)v.ptr};
}

static struct view view_of_val(MDB_val v)
{
	return view_of(v.mv_data, v.mv_size);
}

static int cursor_of(struct lmdbtxn *t, enum kv_db db, MDB_cursor **out)
{
	int rc = t->cursor[db] ? 0 : mdb_cursor_open(t->txn, kv_of(&t->base)->dbi[db], &t->cursor[db]);
	*out = t->cursor[db];
	return rc;
}

static enum err lm_get(struct kv_txn *base, enum kv_db db, struct view key, struct view *value)
{
	MDB_cursor *c;
	MDB_val k = val_of(key), v;
	int rc = cursor_of((struct lmdbtxn *)base, db, &c);
	if (rc == 0)
		rc = mdb_cursor_get(c, &k, &v, MDB_SET);
	if (rc == 0)
		*value = view_of_val(v);
	return error_of(kv_of(base), rc, false);
}

static uint8_t *lm_reserve(struct kv_txn *base, enum kv_db db, struct view key, size_t len, enum kv_put how)
{
	static const unsigned flag[] = {[KV_PUT] = 0, [KV_NEW] = MDB_NOOVERWRITE, [KV_APPEND] = MDB_APPEND};
	struct lmdbtxn *t = (struct lmdbtxn *)base;
	MDB_cursor *c;
	MDB_val k = val_of(key), v = {.mv_size = len};
	assert(base->write);
	int rc = cursor_of(t, db, &c);
	if (rc == 0)
		rc = mdb_cursor_put(c, &k, &v, MDB_RESERVE | flag[how]);
	if (rc == MDB_KEYEXIST && how == KV_APPEND) {
		v = (MDB_val){.mv_size = len};
		rc = mdb_cursor_put(c, &k, &v, MDB_RESERVE);
	}
	if (rc) {
		failed(base, rc);
		return NULL;
	}
	base->grown += (int64_t)(key.len + len);
	t->touched += (int64_t)(key.len + len);
	return v.mv_data;
}

static bool lm_del(struct kv_txn *base, enum kv_db db, struct view key)
{
	struct lmdbtxn *t = (struct lmdbtxn *)base;
	MDB_cursor *c;
	MDB_val k = val_of(key), v = {0};
	assert(base->write);
	int rc = cursor_of(t, db, &c);
	if (rc == 0)
		rc = mdb_cursor_get(c, &k, &v, MDB_SET);
	int64_t bytes = (int64_t)(key.len + v.mv_size);
	if (rc == 0)
		rc = mdb_cursor_del(c, 0);
	if (rc == 0) {
		base->grown -= bytes;
		t->touched += bytes;
	} else if (rc != MDB_NOTFOUND) {
		failed(base, rc);
	}
	return rc == 0;
}

/* As LMDB itself compares: as bytes, a shorter one before a longer. */
static bool before(MDB_val a, MDB_val b)
{
	int c = memcmp(a.mv_data, b.mv_data, a.mv_size < b.mv_size ? a.mv_size : b.mv_size);
	return c < 0 || (c == 0 && a.mv_size < b.mv_size);
}

/* The first record at or after *k. A walk, and a get of what lies behind the last one, ask for the neighbour of the record
 * where the cursor stands: that is looked at first. Only of readers: after a delete, a cursor's next is another. */
static int at_or_after(const struct kv_txn *base, MDB_cursor *c, MDB_val *k, MDB_val *v)
{
	MDB_val here, value;
	if (!base->write && mdb_cursor_get(c, &here, &value, MDB_GET_CURRENT) == 0 && before(here, *k) &&
	    mdb_cursor_get(c, &here, v, MDB_NEXT) == 0 && !before(here, *k)) {
		*k = here;
		return 0;
	}
	return mdb_cursor_get(c, k, v, MDB_SET_RANGE);
}

static enum err lm_seek(struct kv_txn *base, enum kv_db db, struct view from, struct view *key, struct view *value)
{
	MDB_cursor *c;
	MDB_val k = val_of(from), v;
	int rc = cursor_of((struct lmdbtxn *)base, db, &c);
	if (rc == 0)
		rc = at_or_after(base, c, &k, &v);
	if (rc == 0) {
		*key = view_of_val(k);
		*value = view_of_val(v);
	}
	return error_of(kv_of(base), rc, false);
}

static enum err lm_before(struct kv_txn *base, enum kv_db db, struct view limit, struct view *key, struct view *value)
{
	MDB_cursor *c;
	MDB_val k = val_of(limit), v;
	int rc = cursor_of((struct lmdbtxn *)base, db, &c);
	if (rc == 0) {
		rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
		rc = rc == 0 ? mdb_cursor_get(c, &k, &v, MDB_PREV) : rc == MDB_NOTFOUND ? mdb_cursor_get(c, &k, &v, MDB_LAST) : rc;
	}
	if (rc == 0) {
		*key = view_of_val(k);
		*value = view_of_val(v);
	}
	return error_of(kv_of(base), rc, false);
}

static uint64_t lm_count(struct kv_txn *base, enum kv_db db)
{
	MDB_stat st = {0};
	mdb_stat(((struct lmdbtxn *)base)->txn, kv_of(base)->dbi[db], &st);
	return st.ms_entries;
}

static uint64_t lm_moment(struct kv_txn *base)
{
	return mdb_txn_id(((struct lmdbtxn *)base)->txn);
}

static uint64_t pages_of(MDB_txn *txn, MDB_dbi dbi)
{
	MDB_stat st = {0};
	mdb_stat(txn, dbi, &st);
	return st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
}

static enum err lm_pages(struct kv_txn *base, struct kv_pages *out)
{
	struct lmdbkv *l = kv_of(base);
	MDB_txn *txn = ((struct lmdbtxn *)base)->txn;
	MDB_envinfo info;
	struct stat st = {0};
	mdb_env_info(l->env, &info);
	if (info.me_last_txnid != mdb_txn_id(txn))
		return ERR_BUSY;
	fstat(l->fd, &st);
	*out = (struct kv_pages){.page_bytes = (uint32_t)l->page_bytes, .own = 2, .up_to = info.me_last_pgno + 1, .file_bytes = st.st_size};
	for (int db = 0; db < DB_COUNT; db++)
		out->db[db] = pages_of(txn, l->dbi[db]);
	for (MDB_dbi own = 0; own < 2; own++) /* the list of free pages, and that of databases */
		out->own += pages_of(txn, own);
	out->free = (uint64_t)pages_free(txn);
	return ERR_OK;
}

/* ---- life --------------------------------------------------------------------------------------------- */

static void lm_close(struct kv *kv)
{
	struct lmdbkv *l = (struct lmdbkv *)kv;
	assert(!l->writing && !l->readers);
	if (l->env)
		mdb_env_close(l->env);
	free(l);
}

static const struct kv_ops lmdb_ops = {
	.close = lm_close,
	.begin = lm_begin,
	.commit = lm_commit,
	.abort = lm_abort,
	.get = lm_get,
	.reserve = lm_reserve,
	.del = lm_del,
	.seek = lm_seek,
	.before = lm_before,
	.space = lm_space,
	.count = lm_count,
	.moment = lm_moment,
	.pages = lm_pages,
};

/* All handles are opened in one transaction of their own that is then committed: one from an aborted is invalid. */
static int open_databases(struct lmdbkv *l, bool create)
{
	MDB_txn *txn = NULL;
	int rc = mdb_txn_begin(l->env, NULL, create ? 0 : MDB_RDONLY, &txn);
	if (rc)
		return rc;
	for (size_t db = 0; db < DB_COUNT && rc == 0; db++)
		rc = mdb_dbi_open(txn, db_name[db], create ? MDB_CREATE : 0, &l->dbi[db]);
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc == MDB_NOTFOUND ? MDB_INVALID : rc;
}

/* Before anything is looked for in it. */
static enum err check_pages(struct lmdbkv *l, const char *dir, bool all, struct errmsg *m)
{
	for (;;) {
		MDB_txn *txn = NULL;
		int rc = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn);
		if (rc)
			return err_set(m, error_of(l, rc, false), "%s: the journal cannot be read: %s", dir, mdb_strerror(rc));
		enum err e = lmdbfile_check(dir, l->fd, (size_t)l->page_bytes, mdb_txn_id(txn), all, m);
		mdb_txn_abort(txn);
		if (e != ERR_BUSY)
			return e;
	}
}

static int open_env(struct lmdbkv *l, const char *dir)
{
	bool large = l->map_bytes > (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	unsigned flags = MDB_NOTLS | (large ? MDB_NORDAHEAD : 0) | (l->read_only ? MDB_RDONLY : 0);
	int rc = mdb_env_create(&l->env);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(l->env, DB_COUNT);
	if (rc == 0 && !l->read_only)
		rc = mdb_env_set_mapsize(l->env, (size_t)l->map_bytes);
	if (rc == 0)
		rc = mdb_env_open(l->env, dir, flags, 0600);
	if (rc == 0)
		rc = mdb_env_get_fd(l->env, &l->fd);
	if (rc == 0 && fcntl(l->fd, F_SETFD, FD_CLOEXEC) != 0)
		rc = errno;
	return rc;
}

/* A map over a file that ends too early kills the process at the first touch behind the end. */
static enum err check_length(struct lmdbkv *l, const char *dir, struct errmsg *m)
{
	struct stat st;
	int64_t want = (last_page(l) + 1) * l->page_bytes;
	if (fstat(l->fd, &st) != 0)
		return err_set(m, ERR_IO, "%s: the journal's file cannot be examined: %s", dir, strerror(errno));
	if (st.st_size >= want)
		return ERR_OK;
	if (st.st_size + UNWRITTEN_PAGES * l->page_bytes < want)
		return err_set(m, ERR_DAMAGED,
		               "%s: data.mdb is cut short (%lld of %lld bytes): make it anew with journal rescue node.conf, or restore a backup",
		               dir, (long long)st.st_size, (long long)want);
	if (!l->read_only && ftruncate(l->fd, want) != 0)
		return err_set(m, ERR_IO, "%s: the journal's file cannot be extended: %s", dir, strerror(errno));
	return ERR_OK;
}

/* Takes disk beforehand, so that the reserve is there when others have filled the disk. */
static enum err take_reserve(struct lmdbkv *l, int64_t bytes)
{
	if (bytes <= 0 || fallocate(l->fd, 0, 0, bytes) == 0 || errno == EOPNOTSUPP || errno == ENOSYS)
		return ERR_OK;
	return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : ERR_IO;
}

static int size_of_env(struct lmdbkv *l)
{
	MDB_stat st;
	MDB_envinfo info;
	int rc = mdb_env_stat(l->env, &st);
	if (rc == 0)
		rc = mdb_env_info(l->env, &info);
	if (rc)
		return rc;
	l->page_bytes = st.ms_psize;
	l->map_bytes = (int64_t)info.me_mapsize;
	int64_t least = ((int64_t)info.me_last_pgno + 1) * l->page_bytes + 2 * MAP_MARGIN;
	return l->read_only || l->map_bytes >= least ? 0 : set_map(l, least);
}

static enum err open_error(const struct lmdbkv *l, const char *dir, int rc, struct errmsg *m)
{
	enum err e = error_of(l, rc, false);
	switch (e) {
	case ERR_DAMAGED:
		return err_set(m, e,
		               "%s: data.mdb is damaged (%s): make it anew with journal rescue node.conf, or restore a backup",
		               dir, mdb_strerror(rc));
	case ERR_VERSION:
		return err_set(m, e, "%s: data.mdb was made by another version of LMDB (%s)", dir, mdb_strerror(rc));
	case ERR_FULL:
		return err_set(m, e, "%s: no room on the disk (%s)", dir, mdb_strerror(rc));
	default:
		return err_set(m, e, "%s: the journal cannot be opened: %s%s", dir, mdb_strerror(rc),
		               rc == EACCES ? " (it is readable for its owner only, and reading needs to write lock.mdb)" : "");
	}
}

enum err lmdbkv_open(const char *dir, const struct lmdbkv_options *o, struct kv **out, struct errmsg *m)
{
	struct lmdbkv *l = calloc(1, sizeof *l);
	enum err e = ERR_OK;
	if (!l)
		return err_set(m, ERR_NOMEM, "%s: out of memory", dir);
	l->base.ops = &lmdb_ops;
	l->fd = -1;
	l->read_only = o->read_only;
	l->map_bytes = sizeof(size_t) < 8 && o->map_bytes > 1008 * MIB ? 1008 * MIB : o->map_bytes;
	if (!o->create && (e = lmdbfile_check_metas(dir, m)))
		goto out;
	int rc = open_env(l, dir);
	if (rc == 0)
		rc = size_of_env(l);
	if (rc == 0 && (e = check_length(l, dir, m)))
		goto out;
	if (rc == 0 && !o->create && (e = check_pages(l, dir, o->check_pages, m)))
		goto out;
	if (rc == 0)
		rc = open_databases(l, o->create);
	if (rc) {
		e = open_error(l, dir, rc, m);
		goto out;
	}
	if (o->create && (e = take_reserve(l, o->reserve_bytes))) {
		err_set(m, e, "%s: cannot take %lld bytes of the disk for the journal: %s", dir, (long long)o->reserve_bytes,
		        strerror(errno));
		goto out;
	}
	*out = &l->base;
	l = NULL; /* transferred */
out:
	if (l)
		lm_close(&l->base);
	return e;
}

enum err lmdbkv_copy(struct kv *kv, const char *to, struct errmsg *m)
{
	struct lmdbkv *l = (struct lmdbkv *)kv;
	mode_t mask = umask(077);
	int rc = mdb_env_copy2(l->env, to, MDB_CP_COMPACT);
	umask(mask);
	return rc ? err_set(m, error_of(l, rc, false), "%s: the journal cannot be copied there: %s", to, mdb_strerror(rc)) : ERR_OK;
}
