#include "proto/vector.h"

#include "proto/cursor.h"

#define VECTOR_VERSION 1
#define ORDER_HEAD_BYTES (2 + HASH_BYTES)

static const char vector_domain[] = "estafette vector 1";

/* ---- frontiers ---------------------------------------------------------------------------------------- */

void frontier_add(struct buf *out, const struct frontier *f)
{
	uint8_t name[STREAM_NAME_BYTES];

	assert(f->not_whole <= LIMIT_NOT_WHOLE);
	stream_name_encode(&f->stream, name);
	buf_add(out, view_of(name, sizeof name));
	buf_add_u64(out, f->number);
	buf_add(out, view_of(f->chain.b, HASH_BYTES));
	buf_add_u8(out, (uint8_t)f->not_whole);
	for (unsigned i = 0; i < f->not_whole; i++)
		buf_add_u64(out, f->missing[i]);
}

static void rd_missing(struct rd *r, struct frontier *out)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < out->not_whole && !r->err; i++) {
		out->missing[i] = rd_u64(r);
		if (!r->err && (out->missing[i] <= last || out->missing[i] > out->number))
			rd_fail(r, ERR_FORMAT);
		last = out->missing[i];
	}
}

enum err frontier_next(struct view *rest, struct frontier *out)
{
	struct rd r = rd_init(*rest);
	struct view name = rd_bytes(&r, STREAM_NAME_BYTES);

	memset(out, 0, sizeof *out);
	if (!r.err)
		rd_fail(&r, stream_name_decode(name, &out->stream));
	out->number = rd_u64(&r);
	rd_copy(&r, out->chain.b, HASH_BYTES);
	out->not_whole = rd_u8(&r);
	if (out->not_whole > LIMIT_NOT_WHOLE) {
		out->not_whole = 0;
		rd_fail(&r, ERR_TOO_LARGE);
	}
	rd_missing(&r, out);
	if (r.err)
		return r.err;
	*rest = view_of(r.pos, rd_left(&r));
	return ERR_OK;
}

enum err frontiers_check(struct view rest, uint32_t n, bool whole)
{
	struct frontier f;
	enum err rc;

	for (uint32_t i = 0; i < n; i++) {
		rc = frontier_next(&rest, &f);
		if (rc)
			return rc;
		if (whole && f.not_whole)
			return ERR_FORMAT;
	}
	return rest.len ? ERR_FORMAT : ERR_OK;
}

/* ---- vectors ------------------------------------------------------------------------------------------ */

static enum err check_vector(const struct vector *v)
{
	if (v->peers > LIMIT_SITES || v->orders > LIMIT_SITES)
		return ERR_TOO_LARGE;
	if (v->incarnation.born_us < 0 || v->incarnation.born_us > LIMIT_WALL_US)
		return ERR_FORMAT;
	if (v->holder == 0 || v->peer_bytes.len != (size_t)v->peers * 2 ||
	    v->order_bytes.len != (size_t)v->orders * ORDER_HEAD_BYTES)
		return ERR_FORMAT;
	return frontiers_check(v->frontier_bytes, v->frontiers, false);
}

/* What is signed; the caller releases out. */
static void signed_message(struct buf *out, const struct hash *network, struct view content)
{
	buf_add(out, view_str(vector_domain));
	buf_add(out, view_of(network->b, HASH_BYTES));
	buf_add(out, content);
}

static void add_content(struct buf *out, const struct vector *v)
{
	buf_add_u8(out, VECTOR_VERSION);
	buf_add_u16(out, v->holder);
	buf_add_u64(out, (uint64_t)v->incarnation.born_us);
	buf_add(out, view_of(v->incarnation.random, sizeof v->incarnation.random));
	buf_add_u64(out, v->version);
	buf_add_u16(out, v->peers);
	buf_add(out, v->peer_bytes);
	buf_add_u16(out, v->orders);
	buf_add(out, v->order_bytes);
	buf_add_u32(out, v->frontiers);
	buf_add(out, v->frontier_bytes);
}

enum err vector_make(const struct crypt_suite *suite, const struct sign_secret *key, const struct hash *network,
                     const struct vector *v, struct buf *out)
{
	struct buf content = BUF_EMPTY, message = BUF_EMPTY;
	struct signature sig;
	enum err rc = check_vector(v);

	if (rc)
		goto out;
	add_content(&content, v);
	signed_message(&message, network, buf_view(&content));
	rc = ERR_NOMEM;
	if (!buf_ok(&content) || !buf_ok(&message))
		goto out;
	suite->sign(key, buf_view(&message), &sig);
	buf_add(out, buf_view(&content));
	buf_add(out, view_of(sig.b, SIGNATURE_BYTES));
	rc = buf_ok(out) ? ERR_OK : ERR_NOMEM;
out:
	buf_release(&content);
	buf_release(&message);
	return rc;
}

static uint16_t rd_version_and_holder(struct rd *r)
{
	uint8_t version = rd_u8(r);

	if (version > VECTOR_VERSION)
		rd_fail(r, ERR_VERSION);
	if (!r->err && version == 0)
		rd_fail(r, ERR_FORMAT);
	return rd_u16(r);
}

enum err vector_holder(struct view in, uint16_t *holder)
{
	struct rd r = rd_init(in);

	*holder = rd_version_and_holder(&r);
	if (!r.err && *holder == 0)
		return ERR_FORMAT;
	return r.err;
}

static enum err decode_content(struct view content, struct vector *out)
{
	struct rd r = rd_init(content);

	memset(out, 0, sizeof *out);
	out->holder = rd_version_and_holder(&r);
	out->incarnation.born_us = rd_i64(&r);
	rd_copy(&r, out->incarnation.random, sizeof out->incarnation.random);
	out->version = rd_u64(&r);
	out->peers = rd_u16(&r);
	out->peer_bytes = rd_bytes(&r, (size_t)out->peers * 2);
	out->orders = rd_u16(&r);
	out->order_bytes = rd_bytes(&r, (size_t)out->orders * ORDER_HEAD_BYTES);
	out->frontiers = rd_u32(&r);
	out->frontier_bytes = rd_bytes(&r, rd_left(&r));
	return r.err ? r.err : check_vector(out);
}

static enum err verify_content(const struct crypt_suite *suite, const struct sign_public *key, const struct hash *network,
                               struct view content, const struct signature *sig)
{
	struct buf message = BUF_EMPTY;
	enum err rc = ERR_NOMEM;

	signed_message(&message, network, content);
	if (buf_ok(&message))
		rc = suite->verify(key, buf_view(&message), sig) ? ERR_OK : ERR_AUTH;
	buf_release(&message);
	return rc;
}

enum err vector_open(const struct crypt_suite *suite, const struct sign_public *key, const struct hash *network,
                     struct view in, struct vector *out)
{
	struct view content;
	struct signature sig;
	enum err rc;

	memset(out, 0, sizeof *out);
	if (in.len < SIGNATURE_BYTES)
		return ERR_TRUNCATED;
	content = view_of(in.ptr, in.len - SIGNATURE_BYTES);
	memcpy(sig.b, in.ptr + content.len, SIGNATURE_BYTES);
	rc = decode_content(content, out);
	return rc ? rc : verify_content(suite, key, network, content, &sig);
}
