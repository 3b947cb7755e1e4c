#include "proto/entry.h"

#include <stddef.h>

#include "proto/cursor.h"

/* ---- header ------------------------------------------------------------------------------------------- */

#define HEADER_RESERVED_BYTES 9
#define HEADER_FLAGS (HEADER_EXERCISE | HEADER_CLOCK_UNSURE | HEADER_GROUP | HEADER_CHUNKED)
#define KIND_MAX 127

static int64_t clamp_us(int64_t us, int64_t least)
{
	if (us < least)
		return least;
	return us > LIMIT_WALL_US ? LIMIT_WALL_US : us;
}

/* 0 means "none" in a deadline, so one before 1970 becomes the first instant after it, which has passed as well. */
static int64_t clamp_deadline_us(int64_t us)
{
	return us == 0 ? 0 : clamp_us(us, 1);
}

void header_encode(const struct header *h, uint8_t out[HEADER_BYTES])
{
	static const uint8_t reserved[HEADER_RESERVED_BYTES];
	struct wr w = wr_init(out, HEADER_BYTES);

	assert(h->kind <= KIND_MAX && h->precedence < PREC_COUNT && !(h->flags & ~HEADER_FLAGS));
	wr_u8(&w, HEADER_VERSION);
	wr_u8(&w, h->kind);
	wr_u8(&w, h->flags);
	wr_u8(&w, h->precedence);
	wr_u8(&w, h->bucket);
	wr_bytes(&w, view_of(h->id.b, MSGID_BYTES));
	wr_u16(&w, h->originator);
	wr_u16(&w, h->area);
	wr_u16(&w, h->group);
	wr_u32(&w, h->roster);
	wr_i64(&w, clamp_us(h->sent.us, 0));
	wr_i64(&w, clamp_deadline_us(h->handle_by.us));
	wr_i64(&w, clamp_deadline_us(h->expires.us));
	wr_bytes(&w, view_of(reserved, sizeof reserved));
	assert(!w.err && wr_len(&w) == HEADER_BYTES);
}

static struct wall rd_wall(struct rd *r)
{
	int64_t us = rd_i64(r);

	if (us < 0 || us > LIMIT_WALL_US)
		rd_fail(r, ERR_FORMAT);
	return (struct wall){us};
}

static void rd_zeros(struct rd *r, size_t n)
{
	while (n-- > 0)
		if (rd_u8(r))
			rd_fail(r, ERR_FORMAT);
}

enum err header_decode(struct view v, struct header *out)
{
	struct rd r = rd_init(v);
	uint8_t version = rd_u8(&r);

	memset(out, 0, sizeof *out);
	if (version > HEADER_VERSION)
		return ERR_VERSION;
	out->kind = rd_u8(&r);
	out->flags = rd_u8(&r);
	out->precedence = rd_u8(&r);
	if (!r.err && (version == 0 || out->kind > KIND_MAX || (out->flags & ~HEADER_FLAGS) || out->precedence >= PREC_COUNT))
		rd_fail(&r, ERR_FORMAT);
	out->bucket = rd_u8(&r);
	rd_copy(&r, out->id.b, MSGID_BYTES);
	out->originator = rd_u16(&r);
	out->area = rd_u16(&r);
	out->group = rd_u16(&r);
	out->roster = rd_u32(&r);
	out->sent = rd_wall(&r);
	out->handle_by = rd_wall(&r);
	out->expires = rd_wall(&r);
	rd_zeros(&r, HEADER_RESERVED_BYTES);
	return rd_done(&r);
}

bool header_fits(const struct header *h, const struct stream_name *stream)
{
	bool exercise = h->flags & HEADER_EXERCISE;

	return h->originator == stream->originator && h->precedence == stream->precedence && exercise == (stream->exercise != 0);
}

/* ---- envelope ----------------------------------------------------------------------------------------- */

#define ENVELOPE_PLAIN_MAX (LIMIT_ENVELOPE_BYTES - SYM_OVERHEAD_BYTES)
#define ENVELOPE_BODY_BYTES (8 + HASH_BYTES + SYM_KEY_BYTES)
#define ENVELOPE_SKIP_FROM 128 /* unknown tags from here on may be passed over */

enum envelope_form { FORM_NAME, FORM_TEXT, FORM_BYTES, FORM_RE, FORM_BODY };

/* Index + 1 is the tag. */
static const struct envelope_field {
	enum envelope_form form;
	uint16_t max;
	uint16_t offset; /* of a view in struct envelope */
} envelope_fields[] = {
	{FORM_NAME, LIMIT_NAME_BYTES, offsetof(struct envelope, queue)},
	{FORM_TEXT, LIMIT_ADDRESS_BYTES, offsetof(struct envelope, to)},
	{FORM_TEXT, LIMIT_SUBJECT_BYTES, offsetof(struct envelope, subject)},
	{FORM_TEXT, LIMIT_NAME_BYTES, offsetof(struct envelope, channel)},
	{FORM_TEXT, LIMIT_MEDIA_TYPE_BYTES, offsetof(struct envelope, type)},
	{FORM_TEXT, LIMIT_LANG_BYTES, offsetof(struct envelope, lang)},
	{FORM_TEXT, LIMIT_USER_BYTES, offsetof(struct envelope, client)},
	{FORM_TEXT, LIMIT_NAME_BYTES, offsetof(struct envelope, exercise)},
	{FORM_TEXT, LIMIT_KEY_BYTES, offsetof(struct envelope, idempotency)},
	{FORM_RE, MSGID_BYTES, 0},
	{FORM_BODY, ENVELOPE_BODY_BYTES, 0},
	{FORM_BYTES, ENVELOPE_PLAIN_MAX, offsetof(struct envelope, records)},
	{FORM_BYTES, ENVELOPE_PLAIN_MAX, offsetof(struct envelope, note)},
	{FORM_BYTES, ENVELOPE_PLAIN_MAX, offsetof(struct envelope, closing)},
};
#define ENVELOPE_TAGS (sizeof envelope_fields / sizeof envelope_fields[0])

static bool form_ok(enum envelope_form form, struct view v)
{
	switch (form) {
	case FORM_NAME:
		return view_is_name(v);
	case FORM_TEXT:
		return view_is_text(v);
	default:
		return true;
	}
}

static const struct view *envelope_view(const struct envelope *e, const struct envelope_field *f)
{
	return (const struct view *)(const void *)((const char *)e + f->offset);
}

static enum err put_view(struct wr *w, uint8_t tag, const struct envelope_field *f, struct view v)
{
	if (v.len == 0)
		return ERR_OK;
	if (v.len > f->max)
		return ERR_TOO_LARGE;
	if (!form_ok(f->form, v))
		return ERR_FORMAT;
	wr_u8(w, tag);
	wr_vec16(w, v);
	return ERR_OK;
}

static enum err put_body(struct wr *w, uint8_t tag, const struct envelope *e)
{
	if (e->body_bytes > (uint64_t)LIMIT_BODY_BYTES)
		return ERR_TOO_LARGE;
	wr_u8(w, tag);
	wr_u16(w, ENVELOPE_BODY_BYTES);
	wr_u64(w, e->body_bytes);
	wr_bytes(w, view_of(e->body_plain_hash.b, HASH_BYTES));
	wr_bytes(w, view_of(e->content_key.b, SYM_KEY_BYTES));
	return ERR_OK;
}

static enum err put_field(struct wr *w, uint8_t tag, const struct envelope_field *f, const struct envelope *e)
{
	switch (f->form) {
	case FORM_RE:
		return e->has_re ? put_view(w, tag, f, view_of(e->re.b, MSGID_BYTES)) : ERR_OK;
	case FORM_BODY:
		return e->has_body ? put_body(w, tag, e) : ERR_OK;
	default:
		return put_view(w, tag, f, *envelope_view(e, f));
	}
}

enum err envelope_encode(const struct envelope *e, uint8_t *out, size_t size, size_t *len)
{
	struct wr w = wr_init(out, size < ENVELOPE_PLAIN_MAX ? size : ENVELOPE_PLAIN_MAX);
	enum err rc = ERR_OK;

	for (size_t i = 0; i < ENVELOPE_TAGS && !rc; i++)
		rc = put_field(&w, (uint8_t)(i + 1), &envelope_fields[i], e);
	*len = wr_len(&w);
	return rc ? rc : wr_done(&w);
}

static enum err take_body(struct view v, struct envelope *out)
{
	struct rd r = rd_init(v);

	out->has_body = true;
	out->body_bytes = rd_u64(&r);
	rd_copy(&r, out->body_plain_hash.b, HASH_BYTES);
	rd_copy(&r, out->content_key.b, SYM_KEY_BYTES);
	if (!r.err && out->body_bytes > (uint64_t)LIMIT_BODY_BYTES)
		return ERR_TOO_LARGE;
	return rd_done(&r) ? ERR_FORMAT : ERR_OK;
}

static enum err take_field(const struct envelope_field *f, struct view v, struct envelope *out)
{
	if (v.len == 0)
		return ERR_FORMAT;
	if (v.len > f->max)
		return f->form == FORM_RE || f->form == FORM_BODY ? ERR_FORMAT : ERR_TOO_LARGE;
	if (f->form == FORM_BODY)
		return take_body(v, out);
	if (!form_ok(f->form, v))
		return ERR_FORMAT;
	if (f->form == FORM_RE) {
		if (v.len != MSGID_BYTES)
			return ERR_FORMAT;
		out->has_re = true;
		memcpy(out->re.b, v.ptr, MSGID_BYTES);
		return ERR_OK;
	}
	memcpy((char *)out + f->offset, &v, sizeof v);
	return ERR_OK;
}

enum err envelope_decode(struct view v, struct envelope *out)
{
	struct rd r = rd_init(v);
	unsigned last = 0;

	memset(out, 0, sizeof *out);
	if (v.len > ENVELOPE_PLAIN_MAX)
		return ERR_TOO_LARGE;
	while (!r.err && rd_left(&r) > 0) {
		unsigned tag = rd_u8(&r);
		struct view value = rd_vec16(&r, ENVELOPE_PLAIN_MAX);

		if (r.err)
			break;
		if (tag <= last)
			return ERR_FORMAT;
		last = tag;
		if (tag <= ENVELOPE_TAGS)
			rd_fail(&r, take_field(&envelope_fields[tag - 1], value, out));
		else if (tag < ENVELOPE_SKIP_FROM)
			return ERR_VERSION;
	}
	return rd_done(&r);
}

/* ---- entry -------------------------------------------------------------------------------------------- */

static const struct hash no_hash;

void entry_hash(struct entry *e)
{
	e->header_hash = crypt_hash(HASH_HEADER, e->header);
	if (!(e->flags & ENTRY_STUB))
		e->envelope_hash = e->envelope.len ? crypt_hash(HASH_ENVELOPE, e->envelope) : no_hash;
	if (e->body.len) {
		e->body_hash = crypt_hash(HASH_BODY, e->body);
		e->body_len = e->body.len;
	} else if (e->body_len == 0) {
		e->body_hash = no_hash;
	}
}

struct hash entry_leaf(const struct entry *e)
{
	uint8_t bytes[3 * HASH_BYTES + 8];
	struct wr w = wr_init(bytes, sizeof bytes);

	wr_bytes(&w, view_of(e->header_hash.b, HASH_BYTES));
	wr_bytes(&w, view_of(e->envelope_hash.b, HASH_BYTES));
	wr_bytes(&w, view_of(e->body_hash.b, HASH_BYTES));
	wr_u64(&w, e->body_len);
	assert(!w.err && wr_len(&w) == sizeof bytes);
	return crypt_hash(HASH_LEAF, view_of(bytes, sizeof bytes));
}
