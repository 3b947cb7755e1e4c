/* Writing a backup: one walk over all records, cut into ranges; ranges that an earlier backup holds already are referred to. */
#include "storage/backup.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "storage/backup_int.h"

struct writer {
	struct txn *t;
	const struct backup_out *out;
	const struct backup *since;
	struct backup_proof *proof;
	struct backup_result *result;
	struct backup_pace pace;
	struct packer *packer;
	struct hasher *all;
	uint64_t at;
	uint16_t self;     /* this file's number in the chain */
	enum kv_db db;
	size_t old;        /* the range of since that the keys are in, or n_ranges */
	bool whole_range;  /* the chunk under way began where that range begins */
	struct key first;
	struct buf plain, packed, head, index;
	uint32_t records, ranges;
};

struct hash backup_range_hash(uint8_t db, struct view plain)
{
	return crypt_hash2(HASH_BACKUP, view_of(&db, 1), plain);
}

bool backup_pace(struct backup_pace *p, uint64_t bytes)
{
	p->done += bytes;
	if (!p->w || !p->w->progress || p->done - p->told < BACKUP_WATCH_BYTES)
		return true;
	p->told = p->done;
	return p->w->progress(p->w->arg, p->done, p->of > p->done ? p->of : p->done);
}

static enum err put(struct writer *w, struct view bytes)
{
	hasher_add(w->all, bytes);
	w->at += bytes.len;
	w->result->written_bytes += bytes.len;
	return w->out->write(w->out->arg, bytes);
}

static enum err put_buf(struct writer *w, struct buf *b)
{
	return buf_ok(b) ? put(w, buf_view(b)) : ERR_NOMEM;
}

static void add_vec8(struct buf *b, struct view v)
{
	buf_add_u8(b, (uint8_t)v.len);
	buf_add(b, v);
}

/* ---- the header ------------------------------------------------------------------------------------------------------------- */

static void header_fill(struct writer *w, struct buf *b, struct wall made)
{
	const struct store_birth *birth = &w->t->s->birth;
	const struct backup_about *a = w->since ? &w->since->about : NULL;
	buf_add_u32(b, w->t->s->schema);
	buf_add_u16(b, birth->site);
	add_vec8(b, view_str(birth->site_id));
	buf_add(b, view_of(birth->network.b, HASH_BYTES));
	buf_add_u64(b, (uint64_t)birth->born.us);
	buf_add_u64(b, (uint64_t)made.us);
	buf_add_u16(b, w->self);
	for (uint16_t i = 0; a && i < a->n_earlier; i++) {
		buf_add(b, view_of(a->earlier[i].id.b, HASH_BYTES));
		add_vec8(b, view_str(a->earlier[i].name));
	}
	if (a) {
		buf_add(b, view_of(a->id.b, HASH_BYTES));
		add_vec8(b, view_str(w->since->name));
	}
}

static enum err put_header(struct writer *w, struct wall made)
{
	struct buf rest = BUF_EMPTY;
	header_fill(w, &rest, made);
	buf_add(&w->head, view_of((const uint8_t *)BACKUP_MAGIC, BACKUP_MAGIC_BYTES));
	buf_add_u8(&w->head, BACKUP_VERSION);
	buf_add_u32(&w->head, (uint32_t)rest.len);
	buf_add(&w->head, buf_view(&rest));
	enum err e = buf_ok(&rest) ? put_buf(w, &w->head) : ERR_NOMEM;
	buf_release(&rest);
	return e;
}

/* ---- chunks ----------------------------------------------------------------------------------------------------------------- */

static enum err put_chunk(struct writer *w)
{
	enum err e = ERR_OK;
	buf_clear(&w->packed);
	buf_add_u8(&w->packed, BACKUP_CHUNK_MARK);
	buf_add_u8(&w->packed, (uint8_t)w->db);
	buf_add_u32(&w->packed, (uint32_t)w->plain.len);
	for (size_t at = 0; !e && at < w->plain.len;) {
		size_t n = w->plain.len - at < LIMIT_CHUNK_BYTES ? w->plain.len - at : LIMIT_CHUNK_BYTES;
		uint8_t method, dictionary;
		struct view packed;
		e = pack(w->packer, view_of(w->plain.ptr + at, n), &method, &dictionary, &packed);
		if (e)
			break;
		buf_add_u8(&w->packed, method);
		buf_add_u8(&w->packed, dictionary);
		buf_add_u32(&w->packed, (uint32_t)packed.len);
		buf_add(&w->packed, packed);
		at += n;
	}
	return e ? e : put_buf(w, &w->packed);
}

static void index_add(struct writer *w, const struct backup_range *r)
{
	buf_add_u8(&w->index, (uint8_t)w->db);
	add_vec8(&w->index, key_view(&w->first));
	buf_add(&w->index, view_of(r->hash.b, HASH_BYTES));
	buf_add_u16(&w->index, r->file);
	buf_add_u64(&w->index, r->at);
	buf_add_u32(&w->index, (uint32_t)w->plain.len);
	buf_add_u32(&w->index, w->records);
	w->ranges++;
}

/* The records so far become a range: the old one when they are the same, else a chunk. */
static enum err flush(struct writer *w)
{
	struct backup_range r = {.file = w->self, .at = w->at};
	const struct backup_range *old = w->whole_range ? &w->since->range[w->old] : NULL;
	enum err e = ERR_OK;
	if (!w->plain.len)
		return ERR_OK;
	if (!buf_ok(&w->plain))
		return ERR_NOMEM;
	r.hash = backup_range_hash((uint8_t)w->db, buf_view(&w->plain));
	w->result->plain_bytes += w->plain.len;
	if (old && old->plain == w->plain.len && hash_equal(&old->hash, &r.hash))
		r = *old;
	else
		e = put_chunk(w);
	index_add(w, &r);
	if (!e && !backup_pace(&w->pace, w->plain.len))
		e = ERR_CLOSED;
	buf_clear(&w->plain);
	w->records = 0;
	w->whole_range = false;
	return e;
}

static bool before(struct view key, const struct key *k)
{
	int c = memcmp(key.ptr, k->b, key.len < k->len ? key.len : k->len);
	return c ? c < 0 : key.len < k->len;
}

/* Steps into the range of since that the key lies in, closing what is under way where it begins. */
static enum err follow(struct writer *w, struct view key)
{
	const struct backup *b = w->since;
	enum err e = ERR_OK;
	while (b && w->old + 1 < b->n_ranges && b->range[w->old + 1].db == w->db && !before(key, &b->range[w->old + 1].first)) {
		e = flush(w);
		if (e)
			return e;
		w->old++;
		w->whole_range = true;
	}
	return e;
}

static size_t chunk_room(const struct writer *w)
{
	size_t old = w->whole_range ? w->since->range[w->old].plain : 0;
	return old > BACKUP_CHUNK_BYTES ? old : BACKUP_CHUNK_BYTES;
}

static enum err add_record(struct writer *w, struct view key, struct view value)
{
	enum err e = follow(w, key);
	if (!e)
		e = backup_proof_record(w->proof, w->db, key, value);
	if (!e && w->plain.len && w->plain.len + BACKUP_RECORD_HEAD + key.len + value.len > chunk_room(w))
		e = flush(w);
	if (e)
		return e;
	if (!w->plain.len && !key_from(&w->first, w->db, key))
		return ERR_DAMAGED;
	buf_add_u8(&w->plain, (uint8_t)key.len);
	buf_add_u32(&w->plain, (uint32_t)value.len);
	buf_add(&w->plain, key);
	buf_add(&w->plain, value);
	w->records++;
	return ERR_OK;
}

/* The first range of since in this database. */
static void begin_database(struct writer *w, enum kv_db db)
{
	w->db = db;
	w->old = 0;
	while (w->since && w->old < w->since->n_ranges && w->since->range[w->old].db != db)
		w->old++;
	w->whole_range = w->since && w->old < w->since->n_ranges;
}

static enum err put_databases(struct writer *w)
{
	for (enum kv_db db = 0; db < DB_COUNT; db++) {
		uint8_t from[KEY_BYTES_MAX + 1] = {0};
		struct view key, value, at = view_of(from, 1);
		enum err e;
		begin_database(w, db);
		while ((e = kv_seek(w->t->k, db, at, &key, &value)) == ERR_OK) {
			e = key.len <= KEY_BYTES_MAX && value.len < BACKUP_CHUNK_MAX - 2 * KEY_BYTES_MAX ? add_record(w, key, value) : ERR_DAMAGED;
			if (e)
				return e;
			memcpy(from, key.ptr, key.len);
			from[key.len] = 0; /* the next key that there can be */
			at = view_of(from, key.len + 1);
		}
		if (e == ERR_NOT_FOUND)
			e = flush(w);
		if (e)
			return e;
	}
	return backup_proof_end(w->proof);
}

/* ---- the end ---------------------------------------------------------------------------------------------------------------- */

static enum err put_end(struct writer *w)
{
	struct buf index = BUF_EMPTY, end = BUF_EMPTY;
	uint64_t at = w->at;
	enum err e = ERR_OK;
	buf_add_u32(&index, w->ranges);
	buf_add(&index, buf_view(&w->index));
	buf_add_u64(&index, w->result->records);
	buf_add_u64(&index, w->result->entries);
	buf_add_u64(&index, w->result->wrong);
	struct hash h = crypt_hash2(HASH_BACKUP, buf_view(&w->head), buf_view(&index));
	if (!buf_ok(&w->index))
		e = ERR_NOMEM;
	if (!e)
		e = put_buf(w, &index);
	buf_add_u64(&end, at);
	buf_add_u64(&end, index.len);
	buf_add(&end, view_of(h.b, HASH_BYTES));
	if (!e)
		e = put_buf(w, &end);
	h = hasher_end(w->all);
	w->all = NULL;
	if (!e)
		e = put(w, view_of(h.b, HASH_BYTES));
	buf_release(&index);
	buf_release(&end);
	return e;
}

static enum err check_since(const struct store *s, const struct backup *since, struct errmsg *m)
{
	const struct backup_about *a = since ? &since->about : NULL;
	if (!a)
		return ERR_OK;
	if (a->site != s->birth.site || strcmp(a->site_id, s->birth.site_id) != 0 || !hash_equal(&a->network, &s->birth.network))
		return err_set(m, ERR_CONFLICT, "%s: a backup of %s%s, and this journal is %s's (name a backup of this journal, or make a whole one)",
		               since->path, a->site_id, strcmp(a->site_id, s->birth.site_id) ? "" : " in another network", s->birth.site_id);
	if (a->n_earlier + 1 >= BACKUP_CHAIN_MAX)
		return err_set(m, ERR_TOO_LARGE, "%s: it is the last of %u backups that build on each other (make a whole one)", since->path, BACKUP_CHAIN_MAX);
	if (a->schema != s->schema)
		return err_set(m, ERR_CONFLICT, "%s: of schema %u, and the journal has %u now (make a whole one)", since->path, a->schema, s->schema);
	return ERR_OK;
}

static enum err write_all(struct writer *w, struct wall made)
{
	enum err e = backup_proof_new(w->t, w->result, &w->proof);
	if (!e)
		e = packer_new(&w->packer);
	if (!e)
		e = put_header(w, made);
	if (!e)
		e = put_databases(w);
	return e ? e : put_end(w);
}

enum err backup_write(struct store *s, struct wall made, const struct backup *since, const struct backup_out *out, const struct backup_watch *watch,
                      struct backup_result *result, struct errmsg *m)
{
	struct store_space space;
	struct writer w = {.out = out, .since = since, .result = result, .self = since ? (uint16_t)(since->about.n_earlier + 1) : 0};
	enum err e = check_since(s, since, m);
	if (e)
		return e;
	memset(result, 0, sizeof *result);
	store_space(s, &space);
	w.pace = (struct backup_pace){.w = watch, .of = (uint64_t)space.used_bytes};
	w.all = hasher_new(HASH_BACKUP);
	e = w.all ? txn_begin(s, false, &w.t) : ERR_NOMEM;
	if (!e)
		e = write_all(&w, made);
	if (e)
		err_set(m, e, "%s%s", err_text(e), e == ERR_DAMAGED ? " (journal verify says which)" : "");
	txn_abort(w.t);
	hasher_free(w.all);
	packer_free(w.packer);
	backup_proof_free(w.proof);
	buf_release(&w.plain);
	buf_release(&w.packed);
	buf_release(&w.head);
	buf_release(&w.index);
	return e;
}
