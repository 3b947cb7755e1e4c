/* Verification of bodies: every byte against the hash that the entries name. */
#include <stdlib.h>

#include "proto/frame.h"
#include "proto/seal.h"
#include "storage/verify_pass.h"

/* Into p->buf; false and told when it is not there. */
static bool read_part(struct pass *p, uint8_t class, uint64_t body_no, uint8_t kind, uint32_t index)
{
	buf_clear(&p->buf);
	enum err e = store_body_get_part(p->t, class, body_no, kind, index, &p->buf);
	if (e == ERR_NOMEM)
		p->err = e;
	p->out->body_bytes += p->buf.len;
	return e == ERR_OK;
}

/* Records that a body of that length takes. */
static uint64_t slices_of(size_t len)
{
	return len <= SLICE_BYTES ? 1 : (len + SLICE_BYTES - 1) / SLICE_BYTES;
}

bool refs_room(struct pass *p, uint64_t n)
{
	if (n <= p->n_refs)
		return true;
	uint32_t *refs = n < SIZE_MAX / sizeof *refs ? realloc(p->refs, n * sizeof *refs) : NULL;
	if (!refs)
		return false;
	memset(refs + p->n_refs, 0, (n - p->n_refs) * sizeof *refs);
	p->refs = refs;
	p->n_refs = n;
	return true;
}

/* ---- with their entries --------------------------------------------------------------------------------- */

static void check_inline(struct pass *p, const struct entry_row *row)
{
	p->now->inline_bodies++;
	if (!read_part(p, row->body_class, row->body_no, PART_WHOLE, 0)) {
		p->now->inline_bodies--;
		wrong(p, WRONG_BODY, "entry %llu: its body is not there", (unsigned long long)row->arrival);
		return;
	}
	struct hash h = body_hash(buf_view(&p->buf));
	p->out->bodies++;
	p->now->slices[row->body_class] += slices_of(p->buf.len);
	if (p->buf.len != row->e.body_len || !hash_equal(&h, &row->e.body_hash))
		wrong(p, WRONG_BODY, "entry %llu: its body is not what its hash says", (unsigned long long)row->arrival);
}

/* One more entry uses the body with a row of its own. */
static void count_ref(struct pass *p, const struct entry_row *row)
{
	uint64_t i = row->body_no & ~BODY_NO_APART;
	struct body_row body;
	enum err e = store_body_row(p->t, row->body_class, row->body_no, &body);
	if (e == ERR_NOT_FOUND || (!e && !hash_equal(&body.hash, &row->e.body_hash))) {
		wrong(p, WRONG_BODY, "entry %llu: its body %s", (unsigned long long)row->arrival, e ? "is not there" : "is another");
		return;
	}
	if (e)
		return; /* damaged: told when the rows are read */
	if (i >= p->n_refs && !refs_room(p, i + i / 2 + 64)) {
		p->err = ERR_NOMEM;
		return;
	}
	p->refs[i]++;
}

void verify_entry_body(struct pass *p, const struct entry_row *row)
{
	if (!row->body_no)
		return;
	if (row->body_no & BODY_NO_APART)
		count_ref(p, row);
	else
		check_inline(p, row);
}

/* ---- with their rows -------------------------------------------------------------------------------------- */

static bool check_one_piece(struct pass *p, const struct body_row *row)
{
	if (!read_part(p, row->class, row->body_no, PART_WHOLE, 0))
		return false;
	struct hash h = body_hash(buf_view(&p->buf));
	return hash_equal(&h, &row->hash);
}

static bool check_chunk(struct pass *p, const struct body_row *row, uint32_t index, const uint8_t *leaf)
{
	if (!read_part(p, row->class, row->body_no, PART_CHUNK, index))
		return false;
	struct hash h = chunk_hash(index, buf_view(&p->buf));
	return memcmp(h.b, leaf, sizeof h.b) == 0;
}

static bool check_page(struct pass *p, const struct body_row *row, const struct manifest *m, uint32_t page)
{
	uint8_t leaves[LIMIT_LEAVES_PER_PAGE * HASH_BYTES];
	uint32_t first = page * LIMIT_LEAVES_PER_PAGE;
	if (!read_part(p, row->class, row->body_no, PART_PAGE, page) || p->buf.len > sizeof leaves)
		return false;
	struct hash h = page_hash(page, buf_view(&p->buf));
	size_t n = p->buf.len / HASH_BYTES;
	if (p->buf.len)
		memcpy(leaves, p->buf.ptr, p->buf.len);
	if (!hash_equal(&h, &m->page[page]))
		return false;
	for (uint32_t i = 0; i < n && first + i < m->chunks; i++) {
		if (!check_chunk(p, row, first + i, leaves + i * HASH_BYTES))
			return false;
	}
	return true;
}

static bool check_chunks(struct pass *p, const struct body_row *row)
{
	struct manifest m;
	if (!read_part(p, row->class, row->body_no, PART_MANIFEST, 0) || manifest_decode(buf_view(&p->buf), &m))
		return false;
	struct hash h = manifest_hash(&m);
	if (!hash_equal(&h, &row->hash) || m.chunks != row->chunks)
		return false;
	for (uint32_t page = 0; page < m.pages; page++) {
		if (!check_page(p, row, &m, page))
			return false;
	}
	return true;
}

static bool hash_is_zero(const struct hash *h)
{
	static const struct hash zero;
	return hash_equal(h, &zero);
}

static bool is_orphan(struct pass *p, const struct body_row *row)
{
	struct key k = key_orphan(row->class, row->body_no);
	struct rd r;
	return record_get(p->t, &k, &r) == ERR_OK;
}

static void check_row(struct pass *p, const struct body_row *row)
{
	uint64_t i = row->body_no & ~BODY_NO_APART;
	uint32_t refs = i < p->n_refs ? p->refs[i] : 0;
	struct body_row found;
	const char *what = NULL;
	if (row->whole && refs != row->refs) /* while it comes, nobody uses it yet */
		what = "entries that use it are not as many as it says";
	else if (!hash_is_zero(&row->hash) && store_body_find(p->t, row->class, &row->hash, &found) != ERR_OK)
		what = "it is not found by its hash";
	else if (is_orphan(p, row) != !row->refs)
		what = "it is wrongly marked as used or unused";
	if (what)
		wrong(p, WRONG_BODY_ROW, "body %llu: %s", (unsigned long long)i, what);
	if (!row->whole)
		return;
	p->out->bodies++;
	if (!(row->chunks ? check_chunks(p, row) : check_one_piece(p, row)))
		wrong(p, WRONG_BODY, "body %llu: it is not what its hash says", (unsigned long long)i);
}

/* ---- without an owner --------------------------------------------------------------------------------------- */

/* Parts of bodies apart, which must have a row. */
static void check_apart(struct pass *p, uint8_t class)
{
	struct key all = key_body(class, BODY_NO_APART), k = all;
	struct view key, value;
	struct body_row row;
	uint64_t at = 0;
	all.len = 1;
	while (kv_seek(p->t->k, k.db, key_view(&k), &key, &value) == ERR_OK && key.ptr[0] == all.b[0] && pass_see(p)) {
		struct rd f = key_fields(key);
		uint64_t body_no = rd_u64(&f);
		if (body_no != at && store_body_row(p->t, class, body_no, &row) == ERR_NOT_FOUND)
			wrong(p, WRONG_BODY_ROW, "body %llu: parts of it without its row", (unsigned long long)(body_no & ~BODY_NO_APART));
		at = body_no;
		p->now->slices[class]++;
		if (!key_from(&k, k.db, key) || !key_step(&k))
			break;
	}
}

static uint64_t count_inline(struct pass *p, uint8_t class)
{
	struct key k = key_body(class, 0);
	struct view key, value;
	uint64_t n = 0;
	while (kv_seek(p->t->k, k.db, key_view(&k), &key, &value) == ERR_OK && key.ptr[0] == TABLE_PART && key.len > k.len) {
		struct rd f = key_fields(key);
		n++;
		k = key_body(class, rd_u64(&f));
		if (!key_step(&k))
			break;
	}
	return n;
}

/* Only when there are more records than the bodies that were found take are those without an owner counted. */
void verify_parts(struct pass *p)
{
	struct tally sum;
	uint64_t bodies = 0;
	bool more = false;
	for (uint8_t class = 0; class < BODY_CLASSES; class++)
		check_apart(p, class);
	sum_tallies(p, &sum);
	for (uint8_t class = 0; class < BODY_CLASSES; class++)
		more |= kv_count(p->t->k, DB_BODIES0 + class) != sum.slices[class];
	for (uint8_t class = 0; more && class < BODY_CLASSES; class++)
		bodies += count_inline(p, class);
	if (bodies > sum.inline_bodies)
		wrong(p, WRONG_BODY, "%llu bodies belong to no entry", (unsigned long long)(bodies - sum.inline_bodies));
}

void verify_orphans(struct pass *p)
{
	struct walk w = pass_task(p);
	while (pass_next(p, &w)) {
		struct rd k = key_fields(w.key);
		uint8_t class = rd_u8(&k);
		uint64_t body_no = rd_u64(&k);
		struct body_row row;
		if (store_body_row(p->t, class, body_no, &row) == ERR_NOT_FOUND)
			wrong(p, WRONG_BODY_ROW, "body %llu: marked as unused and not there", (unsigned long long)(body_no & ~BODY_NO_APART));
	}
}

/* They have no check: that each row is found by its hash is looked at with the row. */
void verify_body_hashes(struct pass *p)
{
	struct key k = p->task->from;
	struct view key, value;
	while (kv_seek(p->t->k, k.db, key_view(&k), &key, &value) == ERR_OK && key.ptr[0] == TABLE_BODY_HASH && pass_see(p)) {
		p->now->index_records++;
		if (!key_from(&k, k.db, key) || !key_step(&k))
			break;
	}
}

void verify_body_rows(struct pass *p)
{
	struct walk w = pass_task(p);
	while (pass_next(p, &w)) {
		struct body_row row;
		if (codec_body_read(w.key, &w.row, &row) || row.class >= BODY_CLASSES)
			wrong(p, WRONG_BODY_ROW, "a body's row cannot be read");
		else
			check_row(p, &row);
	}
}
