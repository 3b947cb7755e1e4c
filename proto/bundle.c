#include "proto/bundle.h"

#include <string.h>

#include "proto/cursor.h"

static const char magic[16] = {'e', 's', 't', 'a', 'f', 'e', 't', 't', 'e', ' ', 'b', 'u', 'n', 'd', 'l', 'e'};
static const char bundle_domain[] = "estafette bundle 1";

#define HEAD_BYTES (HASH_BYTES + 2 + 16 + 8 + 4 + 1 + 1 + 2)
#define HEAD_ALL 1

static_assert(LIMIT_SITES * 2 + HEAD_BYTES <= LIMIT_FRAME_BYTES, "a head is no longer than a frame");

/* ---- the chain --------------------------------------------------------------------------------------------------- */

static void start_bytes(uint8_t out[BUNDLE_START_BYTES])
{
	struct wr w = wr_init(out, BUNDLE_START_BYTES);

	wr_bytes(&w, view_of((const uint8_t *)magic, sizeof magic));
	wr_u16(&w, BUNDLE_VERSION);
}

static struct hash chain_start(void)
{
	uint8_t start[BUNDLE_START_BYTES];

	start_bytes(start);
	return crypt_hash(HASH_BUNDLE, view_of(start, sizeof start));
}

static void chain_add(struct bundle_chain *c, uint8_t kind, struct view bytes)
{
	uint8_t head[BUNDLE_PIECE_HEAD_BYTES];
	struct wr w = wr_init(head, sizeof head);

	wr_u8(&w, kind);
	wr_u32(&w, (uint32_t)bytes.len);
	c->hash = crypt_hash4(HASH_BUNDLE, view_of(c->hash.b, HASH_BYTES), view_of(head, sizeof head), bytes, view_of(NULL, 0));
	c->pieces++;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void piece_add(struct buf *out, uint8_t kind, struct view bytes)
{
	buf_add_u8(out, kind);
	buf_add_u32(out, (uint32_t)bytes.len);
	buf_add(out, bytes);
}

void bundle_write_head(struct bundle_chain *c, struct buf *out, const struct bundle_head *h)
{
	uint8_t start[BUNDLE_START_BYTES];
	size_t at;

	start_bytes(start);
	buf_add(out, view_of(start, sizeof start));
	buf_add_u8(out, BUNDLE_HEAD);
	buf_add_u32(out, (uint32_t)(HEAD_BYTES + h->sites.len));
	at = out->len;
	buf_add(out, view_of(h->network.b, HASH_BYTES));
	buf_add_u16(out, h->site);
	buf_add_u64(out, (uint64_t)h->incarnation.born_us);
	buf_add(out, view_of(h->incarnation.random, sizeof h->incarnation.random));
	buf_add_u64(out, (uint64_t)h->made.us);
	buf_add_u32(out, h->roster);
	buf_add_u8(out, h->precedence);
	buf_add_u8(out, h->all ? HEAD_ALL : 0);
	buf_add_u16(out, h->n_sites);
	buf_add(out, h->sites);
	*c = (struct bundle_chain){.hash = chain_start()};
	if (buf_ok(out))
		chain_add(c, BUNDLE_HEAD, view_of(out->ptr + at, out->len - at));
}

void bundle_write_frame(struct bundle_chain *c, struct buf *out, struct view frame)
{
	piece_add(out, BUNDLE_FRAME, frame);
	chain_add(c, BUNDLE_FRAME, frame);
}

/* What is signed: the domain, the network, how many pieces, the chain over them. */
static struct view signed_bytes(uint8_t out[128], const struct hash *network, uint64_t pieces, const struct hash *chain)
{
	struct wr w = wr_init(out, 128);

	wr_bytes(&w, view_str(bundle_domain));
	wr_bytes(&w, view_of(network->b, HASH_BYTES));
	wr_u64(&w, pieces);
	wr_bytes(&w, view_of(chain->b, HASH_BYTES));
	return view_of(out, wr_len(&w));
}

void bundle_write_end(struct bundle_chain *c, struct buf *out, const struct crypt_suite *suite, const struct sign_secret *key,
		      const struct hash *network)
{
	uint8_t message[128], end[BUNDLE_END_BYTES - BUNDLE_PIECE_HEAD_BYTES];
	struct wr w = wr_init(end, sizeof end);
	struct signature signature;

	suite->sign(key, signed_bytes(message, network, c->pieces, &c->hash), &signature);
	wr_u64(&w, c->pieces);
	wr_bytes(&w, view_of(c->hash.b, HASH_BYTES));
	wr_bytes(&w, view_of(signature.b, SIGNATURE_BYTES));
	piece_add(out, BUNDLE_END, view_of(end, wr_len(&w)));
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

static bool wall_ok(int64_t us)
{
	return us >= 0 && us <= LIMIT_WALL_US;
}

uint16_t bundle_site(const struct bundle_head *h, size_t i)
{
	assert(i < h->n_sites);
	return (uint16_t)(h->sites.ptr[2 * i] << 8 | h->sites.ptr[2 * i + 1]);
}

static enum err head_check(const struct bundle_head *h)
{
	if (h->site == 0 || h->precedence >= PREC_COUNT || !wall_ok(h->made.us) || !wall_ok(h->incarnation.born_us))
		return ERR_FORMAT;
	if (h->all != (h->n_sites == 0))
		return ERR_FORMAT;
	for (size_t i = 0; i < h->n_sites; i++)
		if (bundle_site(h, i) == 0 || (i && bundle_site(h, i) <= bundle_site(h, i - 1)))
			return ERR_FORMAT;
	return ERR_OK;
}

enum err bundle_head_decode(struct view v, struct bundle_head *out)
{
	struct rd r = rd_init(v);
	uint8_t flags;

	*out = (struct bundle_head){0};
	rd_copy(&r, out->network.b, HASH_BYTES);
	out->site = rd_u16(&r);
	out->incarnation.born_us = rd_i64(&r);
	rd_copy(&r, out->incarnation.random, sizeof out->incarnation.random);
	out->made.us = rd_i64(&r);
	out->roster = rd_u32(&r);
	out->precedence = rd_u8(&r);
	flags = rd_u8(&r);
	out->n_sites = rd_u16(&r);
	if (out->n_sites > LIMIT_SITES)
		rd_fail(&r, ERR_TOO_LARGE);
	out->sites = rd_bytes(&r, (size_t)out->n_sites * 2);
	out->all = flags & HEAD_ALL;
	if (flags & ~HEAD_ALL)
		rd_fail(&r, ERR_FORMAT);
	enum err e = rd_done(&r);

	return e ? e : head_check(out);
}

enum err bundle_end_decode(struct view v, struct bundle_end *out)
{
	struct rd r = rd_init(v);

	out->pieces = rd_u64(&r);
	rd_copy(&r, out->chain.b, HASH_BYTES);
	rd_copy(&r, out->signature.b, SIGNATURE_BYTES);
	return rd_done(&r);
}

bool bundle_verify(const struct crypt_suite *suite, const struct sign_public *key, const struct hash *network, const struct bundle_end *end)
{
	uint8_t message[128];

	return suite->verify(key, signed_bytes(message, network, end->pieces, &end->chain), &end->signature);
}

/* The order of frames; 0: it does not belong into a bundle. */
static uint8_t rank_of(const struct frame *f)
{
	switch (f->type) {
	case FRAME_STATE: return f->u.state.what == STATE_GIVE || f->u.state.what == STATE_PART ? 1 : 0;
	case FRAME_VECTOR: return 2;
	case FRAME_FLOOR: case FRAME_SEGMENT: case FRAME_SEGMENT_AFTER: return 3;
	case FRAME_PART: return 4;
	default: return 0;
	}
}

static enum err read_frame(struct bundle_reader *r, struct bundle_piece *p)
{
	enum err e = frame_decode(p->bytes, &p->u.frame);
	uint8_t rank = e ? 0 : rank_of(&p->u.frame);

	if (e)
		return e == ERR_TRUNCATED ? ERR_FORMAT : e;
	if (rank == 0 || rank < r->rank)
		return ERR_FORMAT;
	r->rank = rank;
	return ERR_OK;
}

static enum err read_end(const struct bundle_reader *r, struct bundle_piece *p)
{
	if (bundle_end_decode(p->bytes, &p->u.end))
		return ERR_FORMAT;
	return p->u.end.pieces == r->chain.pieces && hash_equal(&p->u.end.chain, &r->chain.hash) ? ERR_OK : ERR_AUTH;
}

static enum err read_head(struct bundle_piece *p)
{
	enum err e = bundle_head_decode(p->bytes, &p->u.head);

	return e == ERR_TRUNCATED ? ERR_FORMAT : e;
}

static enum err read_piece(struct bundle_reader *r, struct bundle_piece *p)
{
	if ((p->kind == BUNDLE_HEAD) != (r->chain.pieces == 0))
		return ERR_FORMAT;
	switch (p->kind) {
	case BUNDLE_HEAD: return read_head(p);
	case BUNDLE_FRAME: return read_frame(r, p);
	case BUNDLE_END: return read_end(r, p);
	}
	return ERR_FORMAT;
}

/* What a file begins with says whether it is a bundle, however short it is. */
static enum err read_start(struct view v)
{
	size_t n = v.len < sizeof magic ? v.len : sizeof magic;

	if (n && memcmp(v.ptr, magic, n) != 0)
		return ERR_FORMAT;
	if (v.len < BUNDLE_START_BYTES)
		return ERR_TRUNCATED;
	unsigned version = (unsigned)(v.ptr[sizeof magic] << 8 | v.ptr[sizeof magic + 1]);

	return version == BUNDLE_VERSION ? ERR_OK : version > BUNDLE_VERSION ? ERR_VERSION : ERR_FORMAT;
}

enum err bundle_next(struct bundle_reader *r, struct view at_hand, struct bundle_piece *out, size_t *used)
{
	size_t skip = r->begun ? 0 : BUNDLE_START_BYTES;
	enum err e = r->begun ? ERR_OK : read_start(at_hand);

	*used = 0;
	if (e)
		return e;
	if (r->ended)
		return ERR_FORMAT;
	struct rd d = rd_init(view_of(at_hand.ptr + skip, at_hand.len - skip));

	out->kind = (enum bundle_kind)rd_u8(&d);
	size_t len = rd_u32(&d);

	if (d.err)
		return ERR_TRUNCATED;
	if (out->kind < BUNDLE_HEAD || out->kind > BUNDLE_END || len == 0 || len > LIMIT_FRAME_BYTES)
		return ERR_FORMAT;
	out->bytes = rd_bytes(&d, len);
	if (d.err)
		return ERR_TRUNCATED;
	if (!r->begun)
		r->chain = (struct bundle_chain){.hash = chain_start()};
	e = read_piece(r, out);
	if (e)
		return e;
	r->begun = true;
	r->ended = out->kind == BUNDLE_END;
	if (!r->ended)
		chain_add(&r->chain, (uint8_t)out->kind, out->bytes);
	*used = skip + BUNDLE_PIECE_HEAD_BYTES + len;
	r->at += *used;
	return ERR_OK;
}
