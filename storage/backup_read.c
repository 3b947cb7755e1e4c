/* Reading a backup: its header and index, the ranges of a chain one after the other, and all of it put back as a journal. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/pack.h"
#include "storage/backup_int.h"
#include "storage/folder.h"
#include "storage/lmdbkv.h"

/* A header of BACKUP_CHAIN_MAX names; an index of a journal of a hundred TiB would be longer, and so is refused. */
#define HEADER_MAX (1024 * 1024)
#define INDEX_MAX (1024LL * 1024 * 1024)
#define RANGE_LEAST (1 + 1 + 1 + HASH_BYTES + 2 + 8 + 4 + 4)
#define HASH_STEP (1024 * 1024)
/* What one commit of a restore takes. */
#define RESTORE_BATCH (32LL * 1024 * 1024)
#define MIB (1024LL * 1024)

/* ---- opening ---------------------------------------------------------------------------------------------------------------- */

const struct backup_about *backup_about(const struct backup *b)
{
	return &b->about;
}

void backup_close(struct backup *b)
{
	if (!b)
		return;
	free(b->earlier);
	free(b->range);
	free(b->path);
	free(b);
}

static enum err damaged(const struct backup *b, struct errmsg *m, const char *what)
{
	return err_set(m, ERR_DAMAGED, "%s: the backup is damaged: %s (use another copy of it)", b->path, what);
}

static enum err read_at(const struct backup *b, uint64_t at, size_t n, struct buf *out, struct errmsg *m)
{
	if (at > b->in.size || n > b->in.size - at)
		return damaged(b, m, "it is cut short");
	uint8_t *to = buf_extend(out, n);
	enum err e = to ? n ? b->in.read(b->in.arg, at, to, n) : ERR_OK : ERR_NOMEM;
	return e ? err_set(m, e, "%s: it cannot be read: %s", b->path, err_text(e)) : ERR_OK;
}

/* The bytes before the length: whose file it is, and which version. */
static enum err read_header(const struct backup *b, struct buf *out, struct errmsg *m)
{
	struct buf fixed = BUF_EMPTY;
	uint32_t len = 0;
	enum err e = ERR_OK;
	size_t n = BACKUP_MAGIC_BYTES + 5;
	if (b->in.size >= n)
		e = read_at(b, 0, n, &fixed, m);
	if (!e && (b->in.size < n || memcmp(fixed.ptr, BACKUP_MAGIC, BACKUP_MAGIC_BYTES) != 0))
		e = err_set(m, ERR_FORMAT, "%s: it is no backup of a journal", b->path);
	if (!e) {
		struct rd r = rd_init(view_of(fixed.ptr + BACKUP_MAGIC_BYTES, 5));
		uint8_t version = rd_u8(&r);
		len = rd_u32(&r);
		if (version > BACKUP_VERSION)
			e = err_set(m, ERR_VERSION, "%s: a backup of version %u, and this program knows versions up to %u (use the version that wrote it, or a later one)",
			            b->path, version, BACKUP_VERSION);
		else if (version == 0 || len > HEADER_MAX)
			e = damaged(b, m, "its header");
	}
	buf_release(&fixed);
	return e ? e : read_at(b, 0, n + len, out, m);
}

static bool name_is_plain(const char *name)
{
	return name[0] && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

static enum err take_earlier(struct backup *b, struct rd *r)
{
	uint16_t n = rd_u16(r);
	if (n >= BACKUP_CHAIN_MAX)
		return ERR_FORMAT;
	b->earlier = calloc(n ? n : 1, sizeof *b->earlier);
	if (!b->earlier)
		return ERR_NOMEM;
	for (uint16_t i = 0; i < n; i++) {
		struct view name;
		rd_copy(r, b->earlier[i].id.b, HASH_BYTES);
		name = rd_vec8(r, BACKUP_NAME_BYTES);
		if (r->err || memchr(name.ptr, 0, name.len))
			return ERR_FORMAT;
		memcpy(b->earlier[i].name, name.ptr, name.len);
		if (!name_is_plain(b->earlier[i].name))
			return ERR_FORMAT;
	}
	b->about.n_earlier = n;
	b->about.earlier = b->earlier;
	return ERR_OK;
}

static enum err take_header(struct backup *b, struct view header, struct errmsg *m)
{
	struct rd r = rd_init(header);
	rd_bytes(&r, BACKUP_MAGIC_BYTES + 5);
	b->about.schema = rd_u32(&r);
	b->about.site = rd_u16(&r);
	struct view site = rd_vec8(&r, LIMIT_NAME_BYTES);
	memcpy(b->about.site_id, site.ptr ? site.ptr : (const uint8_t *)"", site.len);
	rd_copy(&r, b->about.network.b, HASH_BYTES);
	b->about.born.us = rd_i64(&r);
	b->about.made.us = rd_i64(&r);
	enum err e = take_earlier(b, &r);
	return e == ERR_NOMEM ? e : e || rd_done(&r) ? damaged(b, m, "its header") : ERR_OK;
}

static bool take_range(struct backup *b, struct rd *r, struct backup_range *out)
{
	out->db = rd_u8(r);
	struct view first = rd_vec8(r, KEY_BYTES_MAX);
	rd_copy(r, out->hash.b, HASH_BYTES);
	out->file = rd_u16(r);
	out->at = rd_u64(r);
	out->plain = rd_u32(r);
	out->records = rd_u32(r);
	if (r->err || out->db >= DB_COUNT || !key_from(&out->first, out->db, first) || out->file > b->about.n_earlier || out->plain > BACKUP_CHUNK_MAX)
		return false;
	b->about.plain_bytes += out->plain;
	b->about.own_bytes += out->file == b->about.n_earlier ? out->plain : 0;
	return true;
}

static enum err take_index(struct backup *b, struct view index, struct errmsg *m)
{
	struct rd r = rd_init(index);
	uint32_t n = rd_u32(&r);
	if (n > index.len / RANGE_LEAST + 1)
		return damaged(b, m, "its index");
	b->range = calloc(n ? n : 1, sizeof *b->range);
	if (!b->range)
		return err_set(m, ERR_NOMEM, "%s: out of memory", b->path);
	for (; b->n_ranges < n; b->n_ranges++)
		if (!take_range(b, &r, &b->range[b->n_ranges]))
			return damaged(b, m, "its index");
	b->about.records = rd_u64(&r);
	b->about.entries = rd_u64(&r);
	b->about.wrong = rd_u64(&r);
	return rd_done(&r) ? damaged(b, m, "its index") : ERR_OK;
}

/* The last bytes say where the index is; header and index lie under one hash. */
static enum err open_parts(struct backup *b, struct buf *header, struct buf *index, struct buf *end, struct errmsg *m)
{
	struct hash want, have;
	enum err e = read_header(b, header, m);
	if (!e && b->in.size < header->len + BACKUP_END_BYTES)
		e = damaged(b, m, "it is cut short");
	if (!e)
		e = read_at(b, b->in.size - BACKUP_END_BYTES, BACKUP_END_BYTES, end, m);
	if (e)
		return e;
	struct rd r = rd_init(buf_view(end));
	uint64_t at = rd_u64(&r), len = rd_u64(&r), last = b->in.size - BACKUP_END_BYTES;
	rd_copy(&r, want.b, HASH_BYTES);
	rd_copy(&r, b->end.b, HASH_BYTES);
	b->index_at = at;
	b->about.id = b->end;
	if (at < header->len || at > last || len != last - at || len > INDEX_MAX)
		return damaged(b, m, "it is cut short, or its end is");
	e = read_at(b, at, (size_t)len, index, m);
	if (e)
		return e;
	have = crypt_hash2(HASH_BACKUP, buf_view(header), buf_view(index));
	return hash_equal(&have, &want) ? ERR_OK : damaged(b, m, "its header or its index is not what the hash says");
}

/* NULL: out of memory. */
static struct backup *backup_new(const struct backup_in *in, const char *path)
{
	struct backup *b = calloc(1, sizeof *b);
	if (b)
		b->path = strdup(path);
	if (!b || !b->path) {
		free(b);
		return NULL;
	}
	b->in = *in;
	const char *slash = strrchr(b->path, '/');
	b->name = slash ? slash + 1 : b->path;
	return b;
}

enum err backup_open(const struct backup_in *in, const char *path, struct backup **out, struct errmsg *m)
{
	struct buf header = BUF_EMPTY, index = BUF_EMPTY, end = BUF_EMPTY;
	struct backup *b = backup_new(in, path);
	enum err e = b ? ERR_OK : err_set(m, ERR_NOMEM, "%s: out of memory", path);
	if (e)
		return e;
	e = open_parts(b, &header, &index, &end, m);
	if (!e)
		e = take_header(b, buf_view(&header), m);
	if (!e)
		e = take_index(b, buf_view(&index), m);
	if (!e) {
		*out = b;
		b = NULL; /* transferred */
	}
	buf_release(&header);
	buf_release(&index);
	buf_release(&end);
	backup_close(b);
	return e;
}

/* ---- a chain ---------------------------------------------------------------------------------------------------------------- */

enum err backup_chain(struct backup *const *chain, size_t n, struct errmsg *m)
{
	const struct backup *last = chain[n - 1];
	if (n != (size_t)last->about.n_earlier + 1)
		return err_set(m, ERR_CONFLICT, "%s: it builds on %u earlier backups, and %zu are at hand", last->path, last->about.n_earlier, n - 1);
	for (size_t i = 0; i < n; i++) {
		const struct backup_about *a = &chain[i]->about;
		if (a->n_earlier != i || (i + 1 < n && !hash_equal(&a->id, &last->earlier[i].id)))
			return err_set(m, ERR_CONFLICT, "%s: it is not the backup that %s builds on", chain[i]->path, last->path);
	}
	return ERR_OK;
}

/* ---- ranges ----------------------------------------------------------------------------------------------------------------- */

typedef enum err record_fn(void *arg, enum kv_db db, struct view key, struct view value);

struct reader {
	struct backup *const *chain;
	const struct backup *b; /* the last one */
	struct backup_pace pace;
	struct packer *packer;
	struct buf packed, plain;
	struct key last; /* of the record before, in the same database */
	bool has_last;
	struct errmsg *m;
};

/* One piece of a chunk from *at on, which moves behind it. */
static enum err read_piece(struct reader *rd, const struct backup *from, uint64_t *at, size_t want)
{
	buf_clear(&rd->packed);
	enum err e = read_at(from, *at, BACKUP_PIECE_HEAD, &rd->packed, rd->m);
	if (e)
		return e;
	struct rd r = rd_init(buf_view(&rd->packed));
	uint8_t method = rd_u8(&r), dictionary = rd_u8(&r);
	uint32_t len = rd_u32(&r);
	if (len > LIMIT_CHUNK_BYTES)
		return damaged(from, rd->m, "a chunk");
	buf_clear(&rd->packed);
	e = read_at(from, *at + BACKUP_PIECE_HEAD, len, &rd->packed, rd->m);
	uint8_t *to = e ? NULL : buf_extend(&rd->plain, want);
	if (e)
		return e;
	if (!to)
		return err_set(rd->m, ERR_NOMEM, "%s: out of memory", from->path);
	*at += BACKUP_PIECE_HEAD + len;
	return unpack(rd->packer, method, dictionary, buf_view(&rd->packed), to, want) ? damaged(from, rd->m, "a chunk cannot be unpacked") : ERR_OK;
}

static enum err read_range(struct reader *rd, const struct backup_range *range)
{
	const struct backup *from = rd->chain[range->file];
	uint64_t at = range->at;
	buf_clear(&rd->packed);
	buf_clear(&rd->plain);
	enum err e = read_at(from, at, 6, &rd->packed, rd->m);
	if (e)
		return e;
	struct rd r = rd_init(buf_view(&rd->packed));
	if (rd_u8(&r) != BACKUP_CHUNK_MARK || rd_u8(&r) != range->db || rd_u32(&r) != range->plain)
		return damaged(from, rd->m, "a chunk is not where the index says");
	at += 6;
	while (!e && rd->plain.len < range->plain) {
		size_t left = range->plain - rd->plain.len;
		e = read_piece(rd, from, &at, left < LIMIT_CHUNK_BYTES ? left : LIMIT_CHUNK_BYTES);
	}
	if (e)
		return e;
	struct hash h = backup_range_hash(range->db, buf_view(&rd->plain));
	return hash_equal(&h, &range->hash) ? ERR_OK : damaged(from, rd->m, "a chunk is not what its hash says");
}

static bool rises(struct reader *rd, enum kv_db db, struct view key)
{
	const struct key *k = &rd->last;
	size_t n = key.len < k->len ? key.len : k->len;
	int c = rd->has_last && k->db == db ? memcmp(k->b, key.ptr, n) : -1;
	rd->has_last = key_from(&rd->last, db, key);
	return rd->has_last && key.len && (c < 0 || (c == 0 && n < key.len));
}

static enum err each_in_range(struct reader *rd, const struct backup_range *range, record_fn *fn, void *arg)
{
	struct rd r = rd_init(buf_view(&rd->plain));
	for (uint32_t i = 0; i < range->records; i++) {
		uint8_t key_len = rd_u8(&r);
		uint32_t value_len = rd_u32(&r);
		struct view key = rd_bytes(&r, key_len), value = rd_bytes(&r, value_len);
		if (r.err || !rises(rd, range->db, key))
			return damaged(rd->b, rd->m, "a record is not where it should be");
		enum err e = fn(arg, range->db, key, value);
		if (e)
			return e;
	}
	return rd_done(&r) ? damaged(rd->b, rd->m, "a range is longer than its records") : ERR_OK;
}

static enum err each_record(struct reader *rd, record_fn *fn, void *arg)
{
	enum err e = packer_new(&rd->packer);
	if (e)
		err_set(rd->m, e, "%s: out of memory", rd->b->path);
	for (size_t i = 0; !e && i < rd->b->n_ranges; i++) {
		e = read_range(rd, &rd->b->range[i]);
		if (!e)
			e = each_in_range(rd, &rd->b->range[i], fn, arg);
		if (!e && !backup_pace(&rd->pace, rd->b->range[i].plain))
			e = err_set(rd->m, ERR_CLOSED, "interrupted");
	}
	packer_free(rd->packer);
	buf_release(&rd->packed);
	buf_release(&rd->plain);
	return e;
}

static struct reader reader_of(struct backup *const *chain, size_t n, const struct backup_watch *w, struct errmsg *m)
{
	const struct backup *b = chain[n - 1];
	return (struct reader){.chain = chain, .b = b, .pace = {.w = w, .of = b->about.plain_bytes}, .m = m};
}

/* ---- checking --------------------------------------------------------------------------------------------------------------- */

/* All bytes of one file but the last hash, against it. */
static enum err check_bytes(const struct backup *b, struct backup_pace *pace, struct errmsg *m)
{
	struct hasher *all = hasher_new(HASH_BACKUP);
	struct buf step = BUF_EMPTY;
	enum err e = all ? ERR_OK : err_set(m, ERR_NOMEM, "%s: out of memory", b->path);
	for (uint64_t at = 0, end = b->in.size - HASH_BYTES; !e && at < end; at += step.len) {
		buf_clear(&step);
		e = read_at(b, at, end - at < HASH_STEP ? (size_t)(end - at) : HASH_STEP, &step, m);
		if (!e)
			hasher_add(all, buf_view(&step));
		if (!e && !backup_pace(pace, step.len))
			e = err_set(m, ERR_CLOSED, "interrupted");
	}
	struct hash h = hasher_end(all);
	if (!e && !hash_equal(&h, &b->end))
		e = damaged(b, m, "its bytes are not what the hash at its end says");
	buf_release(&step);
	return e;
}

static enum err check_record(void *arg, enum kv_db db, struct view key, struct view value)
{
	struct backup_result *result = arg;
	struct view row;
	(void)db;
	result->records++;
	result->plain_bytes += BACKUP_RECORD_HEAD + key.len + value.len;
	result->entries += key.ptr[0] == TABLE_ENTRY;
	if (backup_has_check(key.ptr[0]) && record_open(key, value, &row) && !result->wrong++)
		snprintf(result->finding, sizeof result->finding, "a record of table %u: its check does not fit", key.ptr[0]);
	return ERR_OK;
}

static enum err check_counts(const struct backup *b, const struct backup_result *result, struct errmsg *m)
{
	if (result->records != b->about.records || result->entries != b->about.entries)
		return damaged(b, m, "it holds other records than it says");
	if (result->wrong && !b->about.wrong)
		return err_set(m, ERR_DAMAGED, "%s: %s (use another copy of it)", b->path, result->finding);
	return ERR_OK;
}

enum err backup_check(struct backup *const *chain, size_t n, const struct backup_watch *w, struct backup_result *result, struct errmsg *m)
{
	struct reader rd = reader_of(chain, n, w, m);
	enum err e = backup_chain(chain, n, m);
	memset(result, 0, sizeof *result);
	for (size_t i = 0; !e && i < n; i++)
		rd.pace.of += chain[i]->in.size;
	for (size_t i = 0; !e && i < n; i++)
		e = check_bytes(chain[i], &rd.pace, m);
	if (!e)
		e = each_record(&rd, check_record, result);
	return e ? e : check_counts(rd.b, result, m);
}

/* ---- restoring -------------------------------------------------------------------------------------------------------------- */

struct restore {
	struct kv *kv;
	struct kv_txn *t;
	int64_t batch;
	struct backup_result *result;
};

static enum err put_raw(struct kv_txn *t, enum kv_db db, struct view key, struct view value)
{
	uint8_t *to = kv_reserve(t, db, key, value.len, KV_APPEND);
	if (to && value.len)
		memcpy(to, value.ptr, value.len);
	return t->err;
}

static enum err restore_record(void *arg, enum kv_db db, struct view key, struct view value)
{
	struct restore *r = arg;
	enum err e = check_record(r->result, db, key, value);
	if (!e && !r->t)
		e = kv_begin(r->kv, true, &r->t);
	if (!e)
		e = put_raw(r->t, db, key, value);
	r->batch += (int64_t)(key.len + value.len);
	if (!e && r->batch >= RESTORE_BATCH) {
		struct kv_txn *t = r->t;
		r->t = NULL;
		r->batch = 0;
		e = kv_commit(t);
	}
	return e;
}

/* What happened since the backup must come from others first. */
static enum err mark_restored(struct restore *r)
{
	static const uint8_t recovering = 1;
	struct key k = key_meta(META_CORE, META_RECOVERING);
	struct kv_txn *t = r->t;
	enum err e = t ? ERR_OK : kv_begin(r->kv, true, &t);
	r->t = NULL;
	if (e)
		return e;
	uint8_t *to = kv_reserve(t, k.db, key_view(&k), 1 + CHECK_BYTES, KV_PUT);
	if (to) {
		*to = recovering;
		record_seal(&k, to, 1);
	}
	return kv_commit(t);
}

static enum err fill_stage(const char *stage, struct reader *rd, const struct lmdbkv_options *how, struct backup_result *result, struct errmsg *m)
{
	struct restore r = {.result = result};
	enum err e = lmdbkv_open(stage, how, &r.kv, m);
	if (e)
		return e;
	m->text[0] = 0;
	e = each_record(rd, restore_record, &r);
	if (!e)
		e = check_counts(rd->b, result, m);
	if (!e)
		e = mark_restored(&r);
	if (e && !m->text[0])
		err_set(m, e, "%s: the journal cannot be written: %s", stage, err_text(e));
	if (r.t)
		kv_abort(r.t);
	r.kv->ops->close(r.kv);
	return e;
}

enum err backup_restore(struct backup *const *chain, size_t n, const char *dir, const struct store_options *o, const struct backup_watch *w,
                        struct backup_result *result, struct errmsg *m)
{
	struct reader rd = reader_of(chain, n, w, m);
	int64_t plain = (int64_t)rd.b->about.plain_bytes, quota = o->quota_bytes > 0 ? o->quota_bytes : 0;
	/* Address space: room for the quota, and for what is put back whatever the quota says. */
	struct lmdbkv_options how = {.map_bytes = (quota > plain ? quota : plain) * 5 / 4 + 256 * MIB, .reserve_bytes = o->reserve_bytes, .create = true};
	char *stage = NULL;
	int lock_fd = -1;
	enum err e = backup_chain(chain, n, m);
	memset(result, 0, sizeof *result);
	if (e)
		return e;
	if (rd.b->about.schema > STORE_SCHEMA)
		return err_set(m, ERR_VERSION, "%s: of a journal with schema %u, and this program knows schemas up to %u (use the version that wrote it, or a later one)",
		               rd.b->path, rd.b->about.schema, STORE_SCHEMA);
	if (folder_state(dir) == FOLDER_THERE)
		return err_set(m, ERR_EXISTS, "%s: there is a journal already (it is never overwritten; move it aside first)", dir);
	e = folder_stage(dir, &stage, &lock_fd, m);
	if (e)
		return e;
	e = fill_stage(stage, &rd, &how, result, m);
	if (!e)
		e = folder_publish(stage, dir, m);
	if (e)
		folder_discard(stage);
	close(lock_fd);
	free(stage);
	return e;
}
