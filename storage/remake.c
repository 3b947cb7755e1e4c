#include "storage/remake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/folder.h"
#include "storage/lmdbkv.h"
#include "storage/remake_int.h"
#include "storage/upgrade.h"

#define MIB (1024LL * 1024)

/* ---- records ------------------------------------------------------------------------------------------------------ */

bool remake_step(struct remake *r)
{
	if (r->err || ++r->in_commit < REMAKE_COMMIT)
		return !r->err;
	r->in_commit = 0;
	r->err = txn_commit(r->t);
	r->t = NULL;
	if (!r->err)
		r->err = txn_begin(r->to, true, &r->t);
	return !r->err;
}

/* What follows from other records, and is made anew. */
static bool derived(uint8_t table)
{
	switch (table) {
	case TABLE_MISSING:
	case TABLE_LEASE:
	case TABLE_ORDER_WAIT:
	case TABLE_REDO:
	case TABLE_POSITION:
	case TABLE_GRANT:
	case TABLE_EXPIRY:
	case TABLE_BODY_HASH:
	case TABLE_ORPHAN:
	case TABLE_PLACE:
	case TABLE_MSG:
		return true;
	default:
		return false;
	}
}

static bool is_part(uint8_t table)
{
	return table == TABLE_PART || table == TABLE_PART_APART;
}

/* A record of an entry that cannot be read keeps its number, so that the journal says that it was there. */
static void keep_damaged(struct remake *r, struct view key, struct view value)
{
	struct rd f = key_fields(key);
	uint64_t *more = realloc(r->damaged, (r->n_damaged + 1) * sizeof *more);
	if (!more) {
		r->err = ERR_NOMEM;
		return;
	}
	r->damaged = more;
	r->damaged[r->n_damaged++] = rd_u64(&f);
	uint8_t *to = kv_reserve(r->t->k, DB_ENTRIES, key, value.len, KV_PUT);
	if (to && value.len)
		memcpy(to, value.ptr, value.len);
}

/* Old copies of a record lie in pages that are not in use any more. An entry later becomes a stub, or gets its body; what counts
 * grows, and so do most rows. */
static bool is_newer(struct view key, struct view value, struct view there)
{
	struct rd a = rd_init(view_of(value.ptr, value.len - CHECK_BYTES)), b = rd_init(view_of(there.ptr, there.len - CHECK_BYTES));
	struct entry_row mine, other;
	if (key.ptr[0] == TABLE_ENTRY && codec_entry_read(key, &a, &mine) == ERR_OK && codec_entry_read(key, &b, &other) == ERR_OK) {
		bool stub = mine.e.flags & ENTRY_STUB, was = other.e.flags & ENTRY_STUB;
		return stub != was ? stub : mine.body_no && !other.body_no;
	}
	size_t n = value.len < there.len ? value.len : there.len;
	int c = memcmp(value.ptr, there.ptr, n - CHECK_BYTES);
	return c > 0 || (c == 0 && value.len > there.len);
}

static void copy(struct remake *r, enum kv_db db, struct view key, struct view value)
{
	struct view there;
	if (r->o->scan && kv_get(r->t->k, db, key, &there) == ERR_OK && (is_part(key.ptr[0]) || !is_newer(key, value, there)))
		return;
	uint8_t *to = kv_reserve(r->t->k, db, key, value.len, KV_APPEND);
	if (to && value.len)
		memcpy(to, value.ptr, value.len);
	r->out->records++;
	(void)remake_step(r);
}

void remake_take(struct remake *r, enum kv_db db, struct view key, struct view value, bool parts)
{
	struct view row;
	if (r->err || !key.len || key.len > KEY_BYTES_MAX || derived(key.ptr[0]) || is_part(key.ptr[0]) != parts)
		return;
	if (parts || record_open(key, value, &row) == ERR_OK) {
		copy(r, db, key, value);
		return;
	}
	if (r->o->scan)
		return; /* it may well be whole in another page */
	r->out->damaged++;
	if (key.ptr[0] == TABLE_ENTRY)
		keep_damaged(r, key, value);
}

/* ---- from a journal that opens ------------------------------------------------------------------------------------- */

static enum err copy_all(struct remake *r, struct store *from, const char *dir, struct errmsg *m)
{
	struct txn *t;
	enum err e = txn_begin(from, false, &t);
	for (int db = 0; !e && !r->err && db < DB_COUNT; db++) {
		struct key k = {.db = db, .len = 1};
		struct view key, value;
		while (!r->err && (e = kv_seek(t->k, db, key_view(&k), &key, &value)) == ERR_OK) {
			remake_take(r, db, key, value, key.len && is_part(key.ptr[0]));
			if (!key_from(&k, db, key) || !key_step(&k))
				break;
		}
		e = e == ERR_NOT_FOUND ? ERR_OK : e;
	}
	if (e)
		err_set(m, e, "%s: the tree of its file is damaged (journal rescue reads the pages one by one)", dir);
	txn_abort(t);
	return e ? e : r->err;
}

/* ---- the new one ----------------------------------------------------------------------------------------------------- */

static enum err open_new(const char *stage, int64_t quota, struct store **out, struct errmsg *m)
{
	struct lmdbkv_options how = {.map_bytes = quota + quota / 4 + 64 * MIB, .create = true};
	struct store *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(m, ERR_NOMEM, "%s: out of memory", stage);
	s->lock_fd = -1;
	s->quota_bytes = quota;
	s->hard_bytes = INT64_MAX;
	enum err e = lmdbkv_open(stage, &how, &s->kv, m);
	if (e)
		store_close(s);
	else
		*out = s;
	return e;
}

/* The first records were not found: what the caller knows of them. */
static void write_birth(struct remake *r)
{
	uint8_t bytes[256];
	struct key k = key_meta(META_STORE, META_STORE_BIRTH);
	struct wr w = wr_init(bytes, sizeof bytes);
	codec_birth_write(&w, r->o->of);
	record_put_wr(r->t, &k, &w, KV_PUT);
	r->to->birth = *r->o->of;
}

/* Who it is of: without that nothing can be derived. */
static enum err read_birth(struct remake *r, const char *dir, struct errmsg *m)
{
	struct key k = key_meta(META_STORE, META_STORE_SCHEMA);
	struct rd row;
	enum err e = record_get(r->t, &k, &row);
	if (!e && rd_u32(&row) > STORE_SCHEMA)
		return err_set(m, ERR_VERSION, "%s: the journal is of a newer version of the program (use that one)", dir);
	k = key_meta(META_STORE, META_STORE_BIRTH);
	if (e || record_get(r->t, &k, &row) || codec_birth_read(&row, &r->to->birth)) {
		if (r->o->scan && r->o->of && !r->out->records)
			return err_set(m, ERR_DAMAGED, "%s: no page of it has a record of a journal (restore a backup, or move the folder aside and let the node fetch its past)", dir);
		if (!r->o->scan || !r->o->of)
			return err_set(m, ERR_DAMAGED, "%s: nothing in it tells whose journal it is (name the node.conf, or restore a backup)", dir);
		write_birth(r);
	}
	upgrade_note(r->t, STORE_SCHEMA); /* what is derived is derived as this program does it */
	const struct store_birth *of = r->o->of;
	if (of && strcmp(of->site_id, r->to->birth.site_id) != 0)
		return err_set(m, ERR_CONFLICT, "%s: it is the journal of %s, not of %s (name the node.conf of that site)", dir, r->to->birth.site_id, of->site_id);
	if (of && !hash_equal(&of->network, &r->to->birth.network))
		return err_set(m, ERR_CONFLICT, "%s: it is a journal of another network than the roster's", dir);
	return ERR_OK;
}

enum err remake_fill(struct remake *r, const char *dir, struct store *from, struct errmsg *m)
{
	enum err e = txn_begin(r->to, true, &r->t);
	if (!e)
		e = from ? copy_all(r, from, dir, m) : remake_scan(r, dir, m);
	if (!e)
		e = read_birth(r, dir, m);
	if (e)
		return e;
	remake_derive(r);
	e = r->err;
	if (!e) {
		e = txn_commit(r->t);
		r->t = NULL;
	}
	return e ? err_set(m, e, "%s: the new journal beside it cannot be written: %s (the old one is as it was)", dir, err_text(e)) : ERR_OK;
}

void remake_release(struct remake *r)
{
	txn_abort(r->t);
	free(r->damaged);
	free(r->refs);
	r->t = NULL;
}

static int64_t size_of(const char *dir)
{
	char *path;
	struct stat st = {0};
	if (asprintf(&path, "%s/data.mdb", dir) < 0)
		return 0;
	if (stat(path, &st) != 0)
		st.st_size = 0;
	free(path);
	return st.st_size;
}

/* Both locks are held; the old journal's goes with it to the name aside. */
static enum err make(const char *dir, const char *stage, struct store *from, const struct remake_options *o, struct remake_result *out, struct errmsg *m)
{
	struct remake r = {.o = o, .out = out};
	int64_t quota = o->quota_bytes > 2 * out->before_bytes ? o->quota_bytes : 2 * out->before_bytes + 64 * MIB;
	enum err e = open_new(stage, quota, &r.to, m);
	if (!e)
		e = remake_fill(&r, dir, from, m);
	remake_release(&r);
	store_close(r.to);
	out->after_bytes = size_of(stage);
	return e;
}

enum err store_remake(const char *dir, const struct remake_options *o, struct remake_result *out, struct errmsg *m)
{
	struct store_options how = {.quota_bytes = o->quota_bytes, .check_pages = true};
	struct store *from = NULL;
	char *stage = NULL;
	int stage_fd = -1, lock_fd = -1;
	enum err e = ERR_OK;
	memset(out, 0, sizeof *out);
	if (folder_state(dir) != FOLDER_THERE)
		return err_set(m, ERR_NOT_FOUND, "%s: there is no journal", dir);
	out->before_bytes = size_of(dir);
	e = o->scan ? folder_lock(dir, &lock_fd, m) : store_open(dir, &how, &from, m);
	if (!e)
		e = folder_stage(dir, &stage, &stage_fd, m);
	if (!e)
		e = make(dir, stage, from, o, out, m);
	store_close(from);
	if (!e)
		e = folder_replace(stage, dir, out->kept, sizeof out->kept, m);
	else if (stage && stage_fd >= 0)
		folder_discard(stage);
	if (stage_fd >= 0)
		close(stage_fd);
	if (lock_fd >= 0)
		close(lock_fd);
	free(stage);
	return e;
}

/* ---- compaction -------------------------------------------------------------------------------------------------------- */

enum err store_compact(const char *dir, const char *site_id, int64_t *before_bytes, int64_t *after_bytes, struct errmsg *m)
{
	struct store *from = NULL;
	char *stage = NULL;
	int stage_fd = -1;
	*before_bytes = size_of(dir);
	enum err e = store_open(dir, &(struct store_options){.check_pages = true}, &from, m);
	if (!e && site_id && strcmp(site_id, from->birth.site_id) != 0)
		e = err_set(m, ERR_CONFLICT, "%s: it is the journal of %s, not of %s", dir, from->birth.site_id, site_id);
	if (!e)
		e = folder_stage(dir, &stage, &stage_fd, m);
	if (!e)
		e = lmdbkv_copy(from->kv, stage, m);
	if (!e)
		*after_bytes = size_of(stage);
	/* The lock of the old folder stays held until the new one is in its place. */
	if (!e)
		e = folder_replace(stage, dir, NULL, 0, m);
	else if (stage && stage_fd >= 0)
		folder_discard(stage);
	store_close(from);
	if (stage_fd >= 0)
		close(stage_fd);
	free(stage);
	return e;
}

void store_remake_clear(const char *dir)
{
	struct errmsg m;
	char *stage = NULL;
	int fd = -1;
	if (folder_stage(dir, &stage, &fd, &m) == ERR_OK)
		folder_discard(stage);
	if (fd >= 0)
		close(fd);
	free(stage);
}
