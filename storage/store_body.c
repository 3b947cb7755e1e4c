/* Bodies: parts cut into one-page records, rows of those that lie apart, and entries whose body is still coming. */
#include "storage/record.h"

/* ---- parts ---------------------------------------------------------------------------------------------- */

/* Slices that a longer part of the same name left behind. */
static void del_slices_from(struct txn *t, struct key k, uint32_t slice)
{
	for (; slice <= UINT16_MAX; slice++) {
		k.b[k.len - 2] = (uint8_t)(slice >> 8);
		k.b[k.len - 1] = (uint8_t)slice;
		if (!kv_del(t->k, k.db, key_view(&k)))
			return;
	}
}

/* No check of our own: the caller has the hash in entry, leaf page or manifest. */
uint32_t body_put_slices(struct txn *t, uint8_t class, uint64_t body_no, uint8_t kind, uint32_t index, struct view bytes)
{
	uint32_t slice = 0;
	if (class >= BODY_CLASSES || bytes.len > (size_t)SLICE_BYTES * UINT16_MAX) {
		txn_stick(t, ERR_TOO_LARGE);
		return 0;
	}
	do {
		struct key k = key_part(class, body_no, kind, index, (uint16_t)slice++);
		size_t n = bytes.len < SLICE_BYTES ? bytes.len : SLICE_BYTES;
		uint8_t *to = kv_reserve(t->k, k.db, key_view(&k), n, KV_APPEND);
		if (!to)
			return 0;
		if (n)
			memcpy(to, bytes.ptr, n);
		bytes = view_of(bytes.ptr + n, bytes.len - n);
	} while (bytes.len);
	return slice;
}

void store_body_put_part(struct txn *t, uint8_t class, uint64_t body_no, uint8_t kind, uint32_t index, struct view bytes)
{
	uint32_t slices = body_put_slices(t, class, body_no, kind, index, bytes);
	if (slices)
		del_slices_from(t, key_part(class, body_no, kind, index, 0), slices);
}

enum err store_body_get_part(struct txn *t, uint8_t class, uint64_t body_no, uint8_t kind, uint32_t index, struct buf *out)
{
	if (class >= BODY_CLASSES)
		return ERR_NOT_FOUND;
	for (uint32_t slice = 0; slice <= UINT16_MAX; slice++) {
		struct key k = key_part(class, body_no, kind, index, (uint16_t)slice);
		struct view value;
		enum err e = kv_get_next(t->k, k.db, key_view(&k), &value);
		if (e == ERR_NOT_FOUND && slice)
			break;
		if (e)
			return e;
		buf_add(out, value);
		if (value.len < SLICE_BYTES)
			break;
	}
	return buf_ok(out) ? ERR_OK : ERR_NOMEM;
}

/* At most max records; true when there are no more, or when something stuck: a caller that loops must come to an end. */
static bool del_parts(struct txn *t, uint8_t class, uint64_t body_no, size_t max)
{
	struct key all = key_body(class, body_no);
	for (;; max--) {
		struct view key, value;
		struct key k;
		enum err e = kv_seek(t->k, all.db, key_view(&all), &key, &value);
		if (e == ERR_NOT_FOUND || (!e && (key.len < all.len || memcmp(key.ptr, all.b, all.len) != 0)))
			return true;
		if (e || !key_from(&k, all.db, key)) {
			txn_stick(t, e ? e : ERR_DAMAGED);
			return true;
		}
		if (!max)
			return false;
		kv_del(t->k, k.db, key_view(&k));
	}
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

static bool hash_is_zero(const struct hash *h)
{
	static const struct hash zero;
	return hash_equal(h, &zero);
}

/* A number is never given twice, so that an entry can never lead to another's body: the last one is kept. */
static uint64_t next_body_no(struct txn *t)
{
	struct key k = key_meta(META_STORE, META_STORE_BODY_NO);
	uint8_t bytes[8];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	uint64_t last = e ? 0 : rd_u64(&r);
	if (e && e != ERR_NOT_FOUND)
		txn_stick(t, e);
	wr_u64(&w, last + 1);
	record_put_wr(t, &k, &w, KV_PUT);
	return BODY_NO_APART | (last + 1);
}

static void put_row(struct txn *t, const struct body_row *row)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_body_row(row->class, row->body_no);
	codec_body_write(&w, row);
	record_put_wr(t, &k, &w, KV_PUT);
}

/* The row checks the number it is found by, so the index record needs no check. */
static void put_hash(struct txn *t, const struct body_row *row)
{
	struct key k = key_body_hash(row->class, &row->hash);
	uint64_t no = __builtin_bswap64(row->body_no);
	uint8_t *to = hash_is_zero(&row->hash) ? NULL : kv_reserve(t->k, k.db, key_view(&k), sizeof no, KV_PUT);
	if (to)
		memcpy(to, &no, sizeof no);
}

/* The number that the index has for a hash; 0 for none. */
static enum err get_hash(struct txn *t, uint8_t class, const struct hash *hash, uint64_t *body_no)
{
	struct key k = key_body_hash(class, hash);
	struct view value;
	enum err e = kv_get(t->k, k.db, key_view(&k), &value);
	if (e)
		return e;
	struct rd r = rd_init(value);
	*body_no = rd_u64(&r);
	return rd_done(&r) ? ERR_DAMAGED : ERR_OK;
}

static void del_hash(struct txn *t, const struct body_row *row)
{
	struct key k = key_body_hash(row->class, &row->hash);
	uint64_t no;
	enum err e = get_hash(t, row->class, &row->hash, &no);
	if (!e && no == row->body_no) /* another body of the same content may have come later */
		kv_del(t->k, k.db, key_view(&k));
}

static void set_orphan(struct txn *t, const struct body_row *row, bool orphan)
{
	struct key k = key_orphan(row->class, row->body_no);
	if (orphan)
		record_put(t, &k, view_of(NULL, 0), KV_PUT);
	else
		record_del(t, &k);
}

void store_body_add(struct txn *t, struct body_row *row)
{
	if (row->class >= BODY_CLASSES) {
		txn_stick(t, ERR_RANGE);
		return;
	}
	row->body_no = next_body_no(t);
	put_row(t, row);
	put_hash(t, row);
	if (!row->refs)
		set_orphan(t, row, true);
}

void store_body_put_row(struct txn *t, const struct body_row *row)
{
	struct body_row old;
	enum err e = store_body_row(t, row->class, row->body_no, &old);
	if (e) {
		txn_stick(t, e);
		return;
	}
	put_row(t, row);
	if (!hash_equal(&old.hash, &row->hash)) {
		del_hash(t, &old);
		put_hash(t, row);
	}
	if (!old.refs != !row->refs)
		set_orphan(t, row, !row->refs);
}

enum err store_body_row(struct txn *t, uint8_t class, uint64_t body_no, struct body_row *out)
{
	struct key k = key_body_row(class, body_no);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	return e ? e : codec_body_read(key_view(&k), &r, out);
}

enum err store_body_find(struct txn *t, uint8_t class, const struct hash *hash, struct body_row *out)
{
	uint64_t body_no;
	enum err e = hash_is_zero(hash) ? ERR_NOT_FOUND : get_hash(t, class, hash, &body_no);
	if (e)
		return e;
	e = store_body_row(t, class, body_no, out);
	if (e)
		return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
	return hash_equal(&out->hash, hash) ? ERR_OK : ERR_DAMAGED;
}

/* The row goes last, so that what a limit or a crash left can still be found and removed. */
bool store_body_del(struct txn *t, uint8_t class, uint64_t body_no, size_t max)
{
	struct key k = key_body_row(class, body_no);
	struct body_row row;
	if (class >= BODY_CLASSES)
		return true;
	if (!del_parts(t, class, body_no, max))
		return false;
	if (!(body_no & BODY_NO_APART))
		return true;
	if (store_body_row(t, class, body_no, &row) == ERR_OK)
		del_hash(t, &row);
	record_del(t, &k);
	k = key_orphan(class, body_no);
	record_del(t, &k);
	return true;
}

enum err store_body_each_orphan(struct txn *t, enum err (*fn)(void *arg, const struct body_row *row), void *arg)
{
	struct key all = key_table(TABLE_ORPHAN);
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct rd k = key_fields(w.key);
		uint8_t class = rd_u8(&k);
		struct body_row row;
		enum err e = store_body_row(t, class, rd_u64(&k), &row);
		if (e == ERR_DAMAGED || e == ERR_NOT_FOUND) {
			damage = ERR_DAMAGED;
			continue;
		}
		if (!e)
			e = fn(arg, &row);
		if (e)
			return e;
	}
	return w.err ? w.err : damage;
}

/* ---- entries that are not whole ----------------------------------------------------------------------------- */

void store_missing_put(struct txn *t, uint32_t stream, uint64_t number, const struct hash *body)
{
	struct key k = key_missing(stream, number);
	record_put(t, &k, view_of(body->b, sizeof body->b), KV_PUT);
}

void store_missing_del(struct txn *t, uint32_t stream, uint64_t number)
{
	struct key k = key_missing(stream, number);
	record_del(t, &k);
}

enum err store_missing_from(struct txn *t, uint32_t *stream, uint64_t *number, struct hash *body)
{
	struct key at = key_missing(*stream, *number);
	struct view key = {0};
	struct rd r;
	enum err e = record_from(t, &at, 1, &key, &r);
	if (e && (e != ERR_DAMAGED || !key.len))
		return e == ERR_DAMAGED ? ERR_IO : e;
	struct rd k = key_fields(key);
	*stream = rd_u32(&k);
	*number = rd_u64(&k);
	if (e || rd_done(&k))
		return ERR_DAMAGED;
	rd_copy(&r, body->b, sizeof body->b);
	return rd_done(&r) ? ERR_DAMAGED : ERR_OK;
}

enum err store_missing_each(struct txn *t, enum err (*fn)(void *arg, uint32_t stream, uint64_t number, const struct hash *body),
                            void *arg)
{
	struct key all = key_table(TABLE_MISSING);
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct rd k = key_fields(w.key);
		uint32_t stream = rd_u32(&k);
		uint64_t number = rd_u64(&k);
		struct hash body;
		rd_copy(&w.row, body.b, sizeof body.b);
		if (rd_done(&k) || rd_done(&w.row)) {
			damage = ERR_DAMAGED;
			continue;
		}
		enum err e = fn(arg, stream, number, &body);
		if (e)
			return e;
	}
	return w.err ? w.err : damage;
}
