#include "sim/disk.h"

#include <stdlib.h>
#include <string.h>

#include "storage/record.h"

#define PUT_BACK_BATCH 5000

struct flipped {
	enum kv_db db;
	struct key key;
	uint32_t bit;       /* of the value, modulo its length */
	struct buf shown;   /* the value as it is read */
	bool rewritten;     /* by the open transaction */
};

struct image_row { enum kv_db db; size_t at, key_len, value_len; };
struct image {
	struct image_row *rows;
	size_t n, cap;
	struct buf bytes;
};

static struct disk *disk_of(const struct kv *kv)
{
	return (struct disk *)((char *)(uintptr_t)kv->ops - offsetof(struct disk, ops));
}

/* ---- flipped bits ------------------------------------------------------------------------------------------- */

static void flipped_forget(struct disk *d, size_t i)
{
	buf_release(&d->flipped[i].shown);
	d->flipped[i] = d->flipped[--d->n_flipped];
}

static struct flipped *flipped_find(struct disk *d, enum kv_db db, struct view key)
{
	for (size_t i = 0; i < d->n_flipped; i++)
		if (d->flipped[i].db == db && !d->flipped[i].rewritten && view_equal(key_view(&d->flipped[i].key), key))
			return &d->flipped[i];
	return NULL;
}

/* What the disk gives back for a value. */
static void flipped_show(struct disk *d, enum kv_db db, struct view key, struct view *value)
{
	struct flipped *f = d->n_flipped ? flipped_find(d, db, key) : NULL;

	if (!f || !value->len)
		return;
	buf_clear(&f->shown);
	buf_add(&f->shown, *value);
	if (!buf_ok(&f->shown))
		return;
	f->shown.ptr[f->bit / 8 % value->len] ^= (uint8_t)(1u << f->bit % 8);
	d->damaged_read++;
	*value = buf_view(&f->shown);
}

static void flipped_write(struct disk *d, enum kv_db db, struct view key)
{
	struct flipped *f = d->n_flipped ? flipped_find(d, db, key) : NULL;

	if (f)
		f->rewritten = true;
}

static void flipped_end(struct disk *d, bool committed)
{
	for (size_t i = d->n_flipped; i-- > 0;) {
		if (d->flipped[i].rewritten && committed)
			flipped_forget(d, i);
		else
			d->flipped[i].rewritten = false;
	}
}

/* ---- between the store and its kv ------------------------------------------------------------------------------ */

static void counted(struct disk *d, struct kv_txn *t, enum kv_db db, struct view key, int64_t add)
{
	struct view old;

	if (!d->quota)
		return;
	if (d->real->get(t, db, key, &old) == ERR_OK)
		d->growing -= (int64_t)(key.len + old.len);
	d->growing += add;
}

static enum err dk_get(struct kv_txn *t, enum kv_db db, struct view key, struct view *value)
{
	struct disk *d = disk_of(t->kv);
	enum err e = d->real->get(t, db, key, value);

	if (!e)
		flipped_show(d, db, key, value);
	return e;
}

static enum err dk_seek(struct kv_txn *t, enum kv_db db, struct view from, struct view *key, struct view *value)
{
	struct disk *d = disk_of(t->kv);
	enum err e = d->real->seek(t, db, from, key, value);

	if (!e)
		flipped_show(d, db, *key, value);
	return e;
}

static enum err dk_before(struct kv_txn *t, enum kv_db db, struct view limit, struct view *key, struct view *value)
{
	struct disk *d = disk_of(t->kv);
	enum err e = d->real->before(t, db, limit, key, value);

	if (!e)
		flipped_show(d, db, *key, value);
	return e;
}

static uint8_t *dk_reserve(struct kv_txn *t, enum kv_db db, struct view key, size_t len, enum kv_put how)
{
	struct disk *d = disk_of(t->kv);

	d->wrote = true;
	counted(d, t, db, key, (int64_t)(key.len + len));
	flipped_write(d, db, key);
	return d->real->reserve(t, db, key, len, how);
}

static bool dk_del(struct kv_txn *t, enum kv_db db, struct view key)
{
	struct disk *d = disk_of(t->kv);

	d->wrote = true;
	counted(d, t, db, key, 0);
	flipped_write(d, db, key);
	return d->real->del(t, db, key);
}

static enum err verdict(struct disk *d)
{
	enum err e = d->fail_next;

	d->fail_next = ERR_OK;
	d->commits++;
	if (!e && d->fail_in && --d->fail_in == 0)
		e = d->fail_with;
	if (!e && d->full)
		e = ERR_FULL;
	if (e) {
		d->failed++;
		d->failed_with = e;
	}
	return e;
}

static void dk_abort(struct kv_txn *t)
{
	struct disk *d = disk_of(t->kv);

	if (t->write) {
		d->growing = 0;
		flipped_end(d, false);
	}
	d->real->abort(t);
}

static enum err dk_commit(struct kv_txn *t)
{
	struct disk *d = disk_of(t->kv);
	bool write = t->write;
	enum err e = write && d->wrote ? verdict(d) : ERR_OK;

	if (e) {
		dk_abort(t);
		return e;
	}
	e = d->real->commit(t);
	if (write) {
		d->used += e ? 0 : d->growing;
		d->growing = 0;
		flipped_end(d, !e);
	}
	return e;
}

static void dk_space(struct kv *kv, struct kv_space *out)
{
	struct disk *d = disk_of(kv);

	*out = (struct kv_space){.used_bytes = d->used, .file_bytes = d->used, .disk_free_bytes = INT64_MAX};
}

static enum err dk_begin(struct kv *kv, bool write, struct kv_txn **out)
{
	struct disk *d = disk_of(kv);

	if (write)
		d->wrote = false;
	return d->real->begin(kv, write, out);
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

void disk_attach(struct disk *d, struct store *s)
{
	d->store = s;
	d->real = s->kv->ops;
	d->ops = (struct kv_ops){
		.close = d->real->close, .begin = dk_begin, .commit = dk_commit, .abort = dk_abort, .get = dk_get, .reserve = dk_reserve,
		.del = dk_del, .seek = dk_seek, .before = dk_before, .space = dk_space,
	};
	s->kv->ops = &d->ops;
	if (d->quota)
		disk_quota(d, d->quota);
}

void disk_detach(struct disk *d)
{
	while (d->n_flipped)
		flipped_forget(d, d->n_flipped - 1);
	free(d->flipped);
	d->flipped = NULL;
	if (d->store)
		d->store->kv->ops = d->real;
	d->store = NULL;
}

/* ---- walks over all records ------------------------------------------------------------------------------------- */

typedef bool row_fn(void *arg, enum kv_db db, struct view key, struct view value);

static bool each_row(struct disk *d, row_fn *fn, void *arg)
{
	struct kv *kv = d->store->kv;
	struct kv_txn *t = NULL;
	bool ok = d->real->begin(kv, false, &t) == ERR_OK;

	if (!ok)
		return false;
	for (enum kv_db db = 0; ok && db < DB_COUNT; db++) {
		uint8_t from[KEY_BYTES_MAX + 1] = {0};
		size_t len = 1;
		struct view key, value;

		while (ok && d->real->seek(t, db, view_of(from, len), &key, &value) == ERR_OK) {
			ok = fn(arg, db, key, value);
			memcpy(from, key.ptr, key.len);
			from[key.len] = 0; /* the next key that there can be */
			len = key.len + 1;
		}
	}
	d->real->abort(t);
	return ok;
}

static bool add_size(void *arg, enum kv_db db, struct view key, struct view value)
{
	(void)db;
	*(int64_t *)arg += (int64_t)(key.len + value.len);
	return true;
}

void disk_quota(struct disk *d, int64_t bytes)
{
	d->quota = bytes;
	d->used = 0;
	if (!d->store)
		return;
	d->store->quota_bytes = bytes ? bytes : INT64_MAX / 4;
	d->store->hard_bytes = bytes ? bytes + bytes / 4 + 32 * 1024 * 1024 : INT64_MAX / 2;
	if (bytes)
		each_row(d, add_size, &d->used);
}

static bool copy_row(void *arg, enum kv_db db, struct view key, struct view value)
{
	struct image *i = arg;

	if (i->n == i->cap) {
		size_t cap = i->cap ? 2 * i->cap : 1024;
		struct image_row *rows = realloc(i->rows, cap * sizeof *rows);

		if (!rows)
			return false;
		i->rows = rows;
		i->cap = cap;
	}
	i->rows[i->n++] = (struct image_row){db, i->bytes.len, key.len, value.len};
	buf_add(&i->bytes, key);
	buf_add(&i->bytes, value);
	return buf_ok(&i->bytes);
}

struct image *disk_copy(struct disk *d)
{
	struct image *i = calloc(1, sizeof *i);

	if (i && (!d->store || !each_row(d, copy_row, i))) {
		image_free(i);
		return NULL;
	}
	return i;
}

void image_free(struct image *i)
{
	if (!i)
		return;
	free(i->rows);
	buf_release(&i->bytes);
	free(i);
}

/* Deletes all rows; they are copied first, since a walk and a write do not go together here. */
static enum err wipe(struct disk *d, struct kv_txn *t, const struct image *old)
{
	for (size_t k = 0; k < old->n; k++)
		d->real->del(t, old->rows[k].db, view_of(old->bytes.ptr + old->rows[k].at, old->rows[k].key_len));
	return t->err;
}

enum err disk_put_back(struct disk *d, const struct image *i)
{
	struct kv *kv = d->store->kv;
	struct image *old = disk_copy(d);
	struct kv_txn *t = NULL;
	enum err e = old ? d->real->begin(kv, true, &t) : ERR_NOMEM;

	if (!e)
		e = wipe(d, t, old);
	for (size_t k = 0; !e && k < i->n; k++) {
		const struct image_row *r = &i->rows[k];
		const uint8_t *at = i->bytes.ptr + r->at;
		uint8_t *to = d->real->reserve(t, r->db, view_of(at, r->key_len), r->value_len, KV_PUT);

		e = t->err;
		if (to)
			memcpy(to, at + r->key_len, r->value_len);
		if (!e && k % PUT_BACK_BATCH == PUT_BACK_BATCH - 1) {
			e = d->real->commit(t);
			t = NULL;
			if (!e)
				e = d->real->begin(kv, true, &t);
		}
	}
	if (t && e)
		d->real->abort(t);
	else if (t)
		e = d->real->commit(t);
	image_free(old);
	while (d->n_flipped)
		flipped_forget(d, d->n_flipped - 1);
	disk_quota(d, d->quota);
	return e;
}

/* ---- flipping ------------------------------------------------------------------------------------------------------ */

/* Old entries are hardly ever read again; so every other flip strikes one of so many latest. */
#define LATEST 16

static bool draw_record(struct disk *d, struct prng *p, uint64_t *arrival, struct key *key)
{
	struct txn *t;
	struct entry_row row;
	bool found = false;

	if (txn_begin(d->store, false, &t))
		return false;
	uint64_t last = store_last_arrival(t);

	uint64_t among = last > LATEST && prng_chance(p, 500000) ? LATEST : last;

	*arrival = last - prng_below(p, among);
	if (last && store_entry_get(t, *arrival, &row) == ERR_OK) {
		bool body = row.body_no == *arrival && row.body_class < BODY_CLASSES && prng_chance(p, 500000);

		*key = body ? key_body(row.body_class, row.body_no) : key_entry(*arrival);
		found = true;
	}
	txn_abort(t);
	return found;
}

uint64_t disk_flip(struct disk *d, struct prng *p)
{
	struct kv_txn *t;
	struct view k, value;
	struct key key;
	uint64_t arrival;
	struct flipped *grown;

	if (!d->store || !draw_record(d, p, &arrival, &key))
		return 0;
	if (d->real->begin(d->store->kv, false, &t))
		return 0;
	/* The first record at or behind: a body lies there in slices. */
	bool found = d->real->seek(t, key.db, key_view(&key), &k, &value) == ERR_OK && k.len >= key.len && memcmp(k.ptr, key.b, key.len) == 0 &&
		     key_from(&key, key.db, k) && !flipped_find(d, key.db, k);

	d->real->abort(t);
	if (!found || !(grown = realloc(d->flipped, (d->n_flipped + 1) * sizeof *grown)))
		return 0;
	d->flipped = grown;
	d->flipped[d->n_flipped++] = (struct flipped){.db = key.db, .key = key, .bit = (uint32_t)prng_u64(p), .shown = BUF_EMPTY};
	return arrival;
}
