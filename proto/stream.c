#include "proto/stream.h"

#include "proto/cursor.h"

static void wr_hash(struct wr *w, const struct hash *h)
{
	wr_bytes(w, view_of(h->b, HASH_BYTES));
}

/* Every message hashed or signed here has a fixed size: that it was filled exactly is the program's own affair. */
static struct view filled(const struct wr *w)
{
	assert(!w->err && w->pos == w->end);
	return view_of(w->start, wr_len(w));
}

/* ---- chain -------------------------------------------------------------------------------------------- */

struct hash stream_hash(const struct hash *network, const struct stream_name *name)
{
	uint8_t bytes[HASH_BYTES + STREAM_NAME_BYTES];

	memcpy(bytes, network->b, HASH_BYTES);
	stream_name_encode(name, bytes + HASH_BYTES);
	return crypt_hash(HASH_STREAM, view_of(bytes, sizeof bytes));
}

struct hash chain_next(const struct hash *chain, uint64_t number, const struct hash *leaf)
{
	uint8_t bytes[HASH_BYTES + 8 + HASH_BYTES];
	struct wr w = wr_init(bytes, sizeof bytes);

	wr_hash(&w, chain);
	wr_u64(&w, number);
	wr_hash(&w, leaf);
	return crypt_hash(HASH_LINK, filled(&w));
}

/* ---- heads -------------------------------------------------------------------------------------------- */

static const char head_domain[] = "estafette head 1";
#define HEAD_MESSAGE_BYTES (sizeof head_domain - 1 + HASH_BYTES + 8 + HASH_BYTES)

static struct view head_message(const struct hash *stream, const struct head *h, uint8_t out[HEAD_MESSAGE_BYTES])
{
	struct wr w = wr_init(out, HEAD_MESSAGE_BYTES);

	wr_bytes(&w, view_str(head_domain));
	wr_hash(&w, stream);
	wr_u64(&w, h->number);
	wr_hash(&w, &h->chain);
	return filled(&w);
}

void head_sign(const struct crypt_suite *suite, const struct sign_secret *key, const struct hash *stream, struct head *h)
{
	uint8_t bytes[HEAD_MESSAGE_BYTES];

	suite->sign(key, head_message(stream, h, bytes), &h->signature);
}

bool head_verify(const struct crypt_suite *suite, const struct sign_public *key, const struct hash *stream, const struct head *h)
{
	uint8_t bytes[HEAD_MESSAGE_BYTES];

	return suite->verify(key, head_message(stream, h, bytes), &h->signature);
}

/* ---- segments: writing -------------------------------------------------------------------------------- */

#define STUB_BYTES (2 * HASH_BYTES + 8)
#define APART_BYTES (HASH_BYTES + 8)
#define ENTRY_FLAGS (ENTRY_STUB | ENTRY_BODY_APART)

/* What is at hand decides the flags on the wire, so that they cannot disagree with the bytes. */
static uint8_t entry_wire_flags(const struct entry *e)
{
	if (e->flags & ENTRY_STUB)
		return ENTRY_STUB;
	return e->body_len > 0 && e->body.len == 0 ? ENTRY_BODY_APART : 0;
}

size_t segment_entry_bytes(const struct entry *e)
{
	uint8_t flags = entry_wire_flags(e);

	if (flags & ENTRY_STUB)
		return 1 + HEADER_BYTES + STUB_BYTES;
	return 1 + HEADER_BYTES + 2 + e->envelope.len + (flags & ENTRY_BODY_APART ? APART_BYTES : 4 + e->body.len);
}

void segment_begin(struct segment_writer *w, struct buf *out, const struct stream_name *name, uint64_t first)
{
	uint8_t bytes[STREAM_NAME_BYTES];

	assert(first > 0);
	stream_name_encode(name, bytes);
	w->out = out;
	w->start = out->len;
	w->entries = 0;
	buf_add(out, view_of(bytes, sizeof bytes));
	buf_add_u64(out, first);
	w->at_count = out->len;
	buf_add_u16(out, 0);
}

static void add_hash(struct buf *out, const struct hash *h)
{
	buf_add(out, view_of(h->b, HASH_BYTES));
}

void segment_add(struct segment_writer *w, const struct entry *e)
{
	uint8_t flags = entry_wire_flags(e);

	assert(e->header.len == HEADER_BYTES && e->envelope.len <= LIMIT_ENVELOPE_BYTES && w->entries < LIMIT_SEGMENT_ENTRIES);
	buf_add_u8(w->out, flags);
	buf_add(w->out, e->header);
	if (flags & ENTRY_STUB) {
		add_hash(w->out, &e->envelope_hash);
		add_hash(w->out, &e->body_hash);
		buf_add_u64(w->out, e->body_len);
	} else {
		buf_add_u16(w->out, (uint16_t)e->envelope.len);
		buf_add(w->out, e->envelope);
	}
	if (flags & ENTRY_BODY_APART) {
		add_hash(w->out, &e->body_hash);
		buf_add_u64(w->out, e->body_len);
	} else if (!(flags & ENTRY_STUB)) {
		buf_add_u32(w->out, (uint32_t)e->body.len);
		buf_add(w->out, e->body);
	}
	w->entries++;
}

size_t segment_bytes(const struct segment_writer *w)
{
	return w->out->len - w->start;
}

void segment_end(struct segment_writer *w, const struct hash *tail, uint16_t n, const struct head *head)
{
	assert(w->entries > 0 && n <= LIMIT_HEAD_SPACING && head->number >= (uint64_t)w->entries + n);
	buf_add_u16(w->out, n);
	for (uint16_t i = 0; i < n; i++)
		add_hash(w->out, &tail[i]);
	buf_add_u64(w->out, head->number);
	buf_add(w->out, view_of(head->signature.b, SIGNATURE_BYTES));
	if (!buf_ok(w->out))
		return;
	w->out->ptr[w->at_count] = (uint8_t)(w->entries >> 8);
	w->out->ptr[w->at_count + 1] = (uint8_t)w->entries;
}

/* ---- segments: reading -------------------------------------------------------------------------------- */

static bool hash_is_zero(const struct hash *h)
{
	static const struct hash zero;

	return hash_equal(h, &zero);
}

static void rd_hash(struct rd *r, struct hash *out)
{
	rd_copy(r, out->b, HASH_BYTES);
}

/* A body that is not here: its hash and its size, both or neither. */
static void rd_body_elsewhere(struct rd *r, struct entry *out)
{
	rd_hash(r, &out->body_hash);
	out->body_len = rd_u64(r);
	if (!r->err && (out->body_len == 0) != hash_is_zero(&out->body_hash))
		rd_fail(r, ERR_FORMAT);
}

/* One entry without its computed hashes, so that the shape can be walked cheaply. */
static void rd_entry(struct rd *r, struct entry *out)
{
	memset(out, 0, sizeof *out);
	out->flags = rd_u8(r);
	if ((out->flags & ~ENTRY_FLAGS) || out->flags == ENTRY_FLAGS)
		rd_fail(r, ERR_FORMAT);
	out->header = rd_bytes(r, HEADER_BYTES);
	if (out->flags & ENTRY_STUB) {
		rd_hash(r, &out->envelope_hash);
		rd_body_elsewhere(r, out);
		return;
	}
	out->envelope = rd_vec16(r, LIMIT_ENVELOPE_BYTES);
	if (out->flags & ENTRY_BODY_APART) {
		rd_body_elsewhere(r, out);
		if (!r->err && out->body_len == 0)
			rd_fail(r, ERR_FORMAT);
	} else {
		out->body = rd_vec32(r, LIMIT_SEALED_CHUNK_BYTES);
		out->body_len = out->body.len;
	}
}

static enum err check_header(const struct entry *e, const struct stream_name *name)
{
	struct header h;
	enum err rc = header_decode(e->header, &h);

	if (rc)
		return rc;
	if (!header_fits(&h, name))
		return ERR_FORMAT;
	return (h.flags & HEADER_CHUNKED) && e->body.len ? ERR_FORMAT : ERR_OK;
}

/* Leaves r behind the last entry, and out->entry_bytes on all of them. */
static void rd_entries(struct rd *r, struct segment *out)
{
	const uint8_t *start = r->pos;

	for (unsigned i = 0; i < out->entries && !r->err; i++) {
		struct entry e;

		rd_entry(r, &e);
		if (!r->err)
			rd_fail(r, check_header(&e, &out->name));
	}
	out->entry_bytes = view_of(start, (size_t)(r->pos - start));
	if (out->entry_bytes.len > (out->entries > 1 ? LIMIT_SEGMENT_BYTES : LIMIT_ENTRY_BYTES))
		rd_fail(r, ERR_TOO_LARGE);
}

static void check_numbers(struct rd *r, const struct segment *s)
{
	uint64_t run = (uint64_t)s->entries + s->tail;

	if (r->err)
		return;
	if (s->first > UINT64_MAX - run || s->head.number != s->first + run - 1)
		rd_fail(r, ERR_RANGE);
}

enum err segment_decode(struct view v, struct segment *out)
{
	struct rd r = rd_init(v);
	struct view name = rd_bytes(&r, STREAM_NAME_BYTES);

	memset(out, 0, sizeof *out);
	if (!r.err)
		rd_fail(&r, stream_name_decode(name, &out->name));
	out->first = rd_u64(&r);
	out->entries = rd_u16(&r);
	if (!r.err && (out->first == 0 || out->entries == 0))
		rd_fail(&r, ERR_RANGE);
	if (out->entries > LIMIT_SEGMENT_ENTRIES)
		rd_fail(&r, ERR_TOO_LARGE);
	rd_entries(&r, out);
	out->tail = rd_u16(&r);
	if (out->tail > LIMIT_HEAD_SPACING)
		rd_fail(&r, ERR_TOO_LARGE);
	out->tail_bytes = rd_bytes(&r, (size_t)out->tail * HASH_BYTES);
	out->head.number = rd_u64(&r);
	rd_copy(&r, out->head.signature.b, SIGNATURE_BYTES);
	check_numbers(&r, out);
	return rd_done(&r);
}

enum err segment_next(struct view *rest, struct entry *out)
{
	struct rd r = rd_init(*rest);

	rd_entry(&r, out);
	if (r.err)
		return r.err;
	*rest = view_of(r.pos, rd_left(&r));
	entry_hash(out);
	return ERR_OK;
}

enum err segment_verify(const struct crypt_suite *suite, const struct sign_public *key, const struct hash *stream,
                        const struct hash *chain_before, struct segment *s, struct hash *after, struct entry *entries)
{
	struct view rest = s->entry_bytes;
	struct hash chain = *chain_before, leaf;
	uint64_t number = s->first;
	struct entry e;

	for (unsigned i = 0; i < s->entries; i++) {
		enum err rc = segment_next(&rest, &e);

		if (rc)
			return rc;
		leaf = entry_leaf(&e);
		chain = chain_next(&chain, number++, &leaf);
		after[i] = chain;
		if (entries)
			entries[i] = e;
	}
	for (unsigned i = 0; i < s->tail; i++) {
		memcpy(leaf.b, s->tail_bytes.ptr + (size_t)i * HASH_BYTES, HASH_BYTES);
		chain = chain_next(&chain, number++, &leaf);
	}
	s->head.chain = chain;
	return head_verify(suite, key, stream, &s->head) ? ERR_OK : ERR_AUTH;
}

/* ---- floors ------------------------------------------------------------------------------------------- */

static const char floor_domain[] = "estafette floor 1";
#define FLOOR_MESSAGE_BYTES (sizeof floor_domain - 1 + HASH_BYTES + 8 + HASH_BYTES + 2)

static struct view floor_message(const struct hash *stream, const struct floor *f, uint8_t out[FLOOR_MESSAGE_BYTES])
{
	struct wr w = wr_init(out, FLOOR_MESSAGE_BYTES);

	wr_bytes(&w, view_str(floor_domain));
	wr_hash(&w, stream);
	wr_u64(&w, f->number);
	wr_hash(&w, &f->chain);
	wr_u16(&w, f->site);
	return filled(&w);
}

void floor_sign(const struct crypt_suite *suite, const struct sign_secret *key, const struct hash *stream, struct floor *f)
{
	uint8_t bytes[FLOOR_MESSAGE_BYTES];

	suite->sign(key, floor_message(stream, f, bytes), &f->signature);
}

bool floor_verify(const struct crypt_suite *suite, const struct sign_public *key, const struct hash *stream, const struct floor *f)
{
	uint8_t bytes[FLOOR_MESSAGE_BYTES];

	return suite->verify(key, floor_message(stream, f, bytes), &f->signature);
}

void floor_encode(const struct floor *f, uint8_t out[FLOOR_BYTES])
{
	struct wr w = wr_init(out, FLOOR_BYTES);

	wr_u64(&w, f->number);
	wr_hash(&w, &f->chain);
	wr_u16(&w, f->site);
	wr_bytes(&w, view_of(f->signature.b, SIGNATURE_BYTES));
	(void)filled(&w);
}

enum err floor_decode(struct view v, struct floor *out)
{
	struct rd r = rd_init(v);

	out->number = rd_u64(&r);
	rd_hash(&r, &out->chain);
	out->site = rd_u16(&r);
	rd_copy(&r, out->signature.b, SIGNATURE_BYTES);
	if (!r.err && out->site == 0)
		rd_fail(&r, ERR_FORMAT);
	return rd_done(&r);
}
