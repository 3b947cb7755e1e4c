/* Bodies, envelopes and grants. The bytes are in proto/README.md under the same names. */
#include "proto/seal.h"

#include <assert.h>

#include "proto/cursor.h"
#include "proto/limits.h"

/* ---- buckets ------------------------------------------------------------------------------------------- */

/* Code c: octave (c-1)/4 begins at 64 bytes and has four steps of a quarter. 58 octaves are all that 64 bits hold. */
#define BUCKETS (58 * 4)

uint64_t bucket_bytes(uint8_t bucket)
{
	unsigned octave = (bucket - 1u) / 4, step = (bucket - 1u) % 4;

	if (bucket == 0)
		return 0;
	if (bucket > BUCKETS)
		return UINT64_MAX;
	return (uint64_t)(64 + 16 * step) << octave;
}

uint8_t bucket_of(uint64_t bytes)
{
	unsigned octave, step;

	if (bytes <= 64)
		return 1;
	/* in the octave of bytes - 1, the step above it */
	octave = 63u - (unsigned)__builtin_clzll(bytes - 1) - 6;
	step = (unsigned)((bytes - 1) >> (octave + 4)) & 3;
	return (uint8_t)(octave * 4 + step + 2);
}

/* ---- packed and padded plaintext --------------------------------------------------------------------------- */

/* u8 method, u8 dictionary, u16 plain length, u16 packed length. */
#define PACKED_HEAD_BYTES 6
/* The highest bucket is cut, so that a sealed chunk keeps to its limit. */
#define PADDED_MAX_BYTES (LIMIT_SEALED_CHUNK_BYTES - SYM_OVERHEAD_BYTES)
static_assert(LIMIT_CHUNK_BYTES <= UINT16_MAX, "lengths of 16 bits");
static_assert(PACKED_HEAD_BYTES + LIMIT_CHUNK_BYTES <= PADDED_MAX_BYTES, "an incompressible chunk fits");

enum err body_pack(struct packer *p, struct view plain, struct buf *padded, uint8_t *bucket)
{
	uint8_t method, dictionary;
	struct view packed;
	size_t used, pad;
	uint8_t *zeros;
	enum err e = pack(p, plain, &method, &dictionary, &packed);

	if (e)
		return e;
	used = PACKED_HEAD_BYTES + packed.len;
	*bucket = bucket_of(used);
	pad = (size_t)bucket_bytes(*bucket);
	pad = (pad > PADDED_MAX_BYTES ? PADDED_MAX_BYTES : pad) - used;
	buf_add_u8(padded, method);
	buf_add_u8(padded, dictionary);
	buf_add_u16(padded, (uint16_t)plain.len);
	buf_add_u16(padded, (uint16_t)packed.len);
	buf_add(padded, packed);
	zeros = buf_extend(padded, pad);
	if (zeros)
		memset(zeros, 0, pad);
	return buf_ok(padded) ? ERR_OK : ERR_NOMEM;
}

static bool all_zero(struct view v)
{
	uint8_t any = 0;

	for (size_t i = 0; i < v.len; i++)
		any |= v.ptr[i];
	return any == 0;
}

/* The reverse of body_pack; appends the plain bytes to out. */
static enum err padded_read(struct packer *p, struct view padded, struct buf *out)
{
	struct rd r = rd_init(padded);
	uint8_t method = rd_u8(&r), dictionary = rd_u8(&r);
	size_t plain_len = rd_u16(&r);
	struct view packed = rd_vec16(&r, LIMIT_CHUNK_BYTES);
	struct view padding = rd_bytes(&r, rd_left(&r));
	uint8_t *to;
	enum err e;

	if (rd_done(&r) || !all_zero(padding))
		return ERR_FORMAT;
	if (plain_len > LIMIT_CHUNK_BYTES)
		return ERR_TOO_LARGE;
	to = buf_extend(out, plain_len);
	if (!to)
		return ERR_NOMEM;
	e = unpack(p, method, dictionary, packed, to, plain_len);
	if (e)
		out->len -= plain_len;
	return e;
}

/* Opens what sym_seal made of a padded text, and unpacks it. */
static enum err sealed_read(struct packer *p, const struct sym_key *key, struct view associated, struct view sealed, struct buf *out)
{
	struct buf padded = BUF_EMPTY;
	enum err e;

	if (sealed.len > LIMIT_SEALED_CHUNK_BYTES)
		return ERR_TOO_LARGE;
	if (sealed.len < SYM_OVERHEAD_BYTES)
		return ERR_TRUNCATED;
	if (!buf_extend(&padded, sealed.len - SYM_OVERHEAD_BYTES))
		return ERR_NOMEM;
	e = sym_open(key, associated, sealed, padded.ptr);
	if (!e)
		e = padded_read(p, buf_view(&padded), out);
	crypt_wipe(padded.ptr, padded.len);
	buf_release(&padded);
	return e;
}

static enum err seal_append(const struct sym_key *key, const uint8_t nonce[SYM_NONCE_BYTES], struct view associated, struct view plain,
                            struct buf *out)
{
	uint8_t *to = buf_extend(out, plain.len + SYM_OVERHEAD_BYTES);

	if (!to)
		return ERR_NOMEM;
	sym_seal(key, nonce, associated, plain, to);
	return ERR_OK;
}

/* ---- bodies of one chunk ----------------------------------------------------------------------------------- */

enum err body_seal(const struct sym_key *content, const uint8_t nonce[SYM_NONCE_BYTES], struct view header, struct view padded,
                   struct buf *out)
{
	if (padded.len > PADDED_MAX_BYTES)
		return ERR_TOO_LARGE;
	return seal_append(content, nonce, header, padded, out);
}

enum err body_open(struct packer *p, const struct sym_key *content, struct view header, struct view sealed, struct buf *out)
{
	return sealed_read(p, content, header, sealed, out);
}

struct hash body_hash(struct view sealed)
{
	return crypt_hash(HASH_BODY, sealed);
}

/* ---- bodies of several chunks ------------------------------------------------------------------------------ */

/* u32 index, u8 last, zeros: a chunk opens only in its place, and only the last one as the last. */
static void chunk_nonce(uint32_t index, bool last, uint8_t out[SYM_NONCE_BYTES])
{
	struct wr w = wr_init(out, SYM_NONCE_BYTES);

	memset(out, 0, SYM_NONCE_BYTES);
	wr_u32(&w, index);
	wr_u8(&w, last);
}

enum err chunk_seal(struct packer *p, const struct sym_key *content, uint32_t index, bool last, struct view plain, struct buf *out)
{
	uint8_t nonce[SYM_NONCE_BYTES], bucket;
	struct buf padded = BUF_EMPTY;
	enum err e;

	if (index >= LIMIT_CHUNKS || (!last && plain.len != LIMIT_CHUNK_BYTES))
		return ERR_RANGE;
	chunk_nonce(index, last, nonce);
	e = body_pack(p, plain, &padded, &bucket);
	if (!e)
		e = seal_append(content, nonce, view_of(NULL, 0), buf_view(&padded), out);
	if (padded.ptr)
		crypt_wipe(padded.ptr, padded.len);
	buf_release(&padded);
	return e;
}

enum err chunk_open(struct packer *p, const struct sym_key *content, uint32_t index, bool last, struct view sealed, struct buf *out)
{
	uint8_t nonce[SYM_NONCE_BYTES];
	size_t before = out->len;
	enum err e;

	if (sealed.len < SYM_OVERHEAD_BYTES)
		return ERR_TRUNCATED;
	chunk_nonce(index, last, nonce);
	if (memcmp(sealed.ptr, nonce, sizeof nonce) != 0)
		return ERR_AUTH;
	e = sealed_read(p, content, view_of(NULL, 0), sealed, out);
	if (e || last || out->len - before == LIMIT_CHUNK_BYTES)
		return e;
	out->len = before;
	return ERR_FORMAT;
}

struct hash chunk_hash(uint32_t index, struct view sealed)
{
	uint8_t number[4];
	struct wr w = wr_init(number, sizeof number);

	wr_u32(&w, index);
	return crypt_hash2(HASH_CHUNK, view_of(number, sizeof number), sealed);
}

/* ---- manifests ----------------------------------------------------------------------------------------------- */

#define MANIFEST_VERSION 1
#define SEALED_CHUNK_MIN_BYTES (SYM_OVERHEAD_BYTES + 64)

static uint32_t pages_of(uint32_t chunks)
{
	return (chunks + LIMIT_LEAVES_PER_PAGE - 1) / LIMIT_LEAVES_PER_PAGE;
}

size_t manifest_encode(const struct manifest *m, uint8_t out[MANIFEST_MAX_BYTES])
{
	struct wr w = wr_init(out, MANIFEST_MAX_BYTES);

	assert(m->chunks >= 1 && m->chunks <= LIMIT_CHUNKS && m->pages == pages_of(m->chunks));
	wr_u8(&w, MANIFEST_VERSION);
	wr_u64(&w, m->sealed_len);
	wr_u32(&w, m->chunks);
	for (uint32_t i = 0; i < m->pages; i++)
		wr_bytes(&w, view_of(m->page[i].b, HASH_BYTES));
	return wr_len(&w);
}

enum err manifest_decode(struct view v, struct manifest *out)
{
	struct rd r = rd_init(v);
	uint8_t version = rd_u8(&r);

	if (!r.err && version > MANIFEST_VERSION)
		return ERR_VERSION;
	memset(out, 0, sizeof *out);
	out->sealed_len = rd_u64(&r);
	out->chunks = rd_u32(&r);
	if (r.err)
		return r.err;
	if (version != MANIFEST_VERSION)
		return ERR_FORMAT;
	if (out->chunks < 1 || out->chunks > LIMIT_CHUNKS || out->sealed_len > (uint64_t)out->chunks * LIMIT_SEALED_CHUNK_BYTES ||
	    out->sealed_len < (uint64_t)out->chunks * SEALED_CHUNK_MIN_BYTES)
		return ERR_RANGE;
	out->pages = pages_of(out->chunks);
	for (uint32_t i = 0; i < out->pages; i++)
		rd_copy(&r, out->page[i].b, HASH_BYTES);
	return rd_done(&r);
}

struct hash manifest_hash(const struct manifest *m)
{
	uint8_t bytes[MANIFEST_MAX_BYTES];

	return crypt_hash(HASH_MANIFEST, view_of(bytes, manifest_encode(m, bytes)));
}

struct hash page_hash(uint32_t page, struct view leaves)
{
	uint8_t number[4];
	struct wr w = wr_init(number, sizeof number);

	wr_u32(&w, page);
	return crypt_hash2(HASH_PAGE, view_of(number, sizeof number), leaves);
}

/* ---- envelopes ----------------------------------------------------------------------------------------------- */

#define ENVELOPE_DATA_BYTES (HEADER_BYTES + HASH_BYTES)

/* Associated data: the header and the stream's name, so that an envelope opens in its own stream only. */
static struct view envelope_data(struct view header, const struct hash *stream, uint8_t out[ENVELOPE_DATA_BYTES])
{
	memcpy(out, header.ptr, HEADER_BYTES);
	memcpy(out + HEADER_BYTES, stream->b, HASH_BYTES);
	return view_of(out, ENVELOPE_DATA_BYTES);
}

void envelope_seal(const struct sym_key *epoch, const uint8_t nonce[SYM_NONCE_BYTES], struct view header, const struct hash *stream,
                   struct view plain, struct buf *out)
{
	uint8_t data[ENVELOPE_DATA_BYTES], *to;

	assert(header.len == HEADER_BYTES);
	to = buf_extend(out, plain.len + SYM_OVERHEAD_BYTES);
	if (to)
		sym_seal(epoch, nonce, envelope_data(header, stream, data), plain, to);
}

enum err envelope_open(const struct sym_key *epoch, struct view header, const struct hash *stream, struct view sealed, uint8_t *out,
                       struct view *plain)
{
	uint8_t data[ENVELOPE_DATA_BYTES];
	enum err e;

	if (header.len != HEADER_BYTES)
		return ERR_FORMAT;
	e = sym_open(epoch, envelope_data(header, stream, data), sealed, out);
	if (!e)
		*plain = view_of(out, sealed.len - SYM_OVERHEAD_BYTES);
	return e;
}

/* ---- grants ---------------------------------------------------------------------------------------------------- */

#define GRANT_VERSION 1
#define GRANT_PLAIN_BYTES (SYM_KEY_BYTES + HASH_BYTES)

struct seal_key_id seal_key_id_of(const struct seal_public *pub)
{
	struct hash h = crypt_hash(HASH_KEY_ID, view_of(pub->b, sizeof pub->b));
	struct seal_key_id id;

	memcpy(id.b, h.b, sizeof id.b);
	return id;
}

enum err grant_make(const struct crypt_suite *suite, struct rng *rng, const struct hash *stream, const struct sym_key *epoch,
                    const struct grant_to *to, size_t n, struct buf *out)
{
	uint8_t plain[GRANT_PLAIN_BYTES], seed[32];

	if (n < 1 || n > LIMIT_SITES)
		return ERR_RANGE;
	memcpy(plain, epoch->b, SYM_KEY_BYTES);
	memcpy(plain + SYM_KEY_BYTES, stream->b, HASH_BYTES);
	buf_add_u8(out, GRANT_VERSION);
	buf_add(out, view_of(stream->b, HASH_BYTES));
	buf_add_u16(out, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		struct seal_key_id id = seal_key_id_of(&to[i].key);
		uint8_t *box;

		buf_add_u16(out, to[i].site);
		buf_add(out, view_of(id.b, sizeof id.b));
		box = buf_extend(out, GRANT_PLAIN_BYTES + BOX_OVERHEAD_BYTES);
		rng_bytes(rng, seed, sizeof seed);
		if (box)
			suite->box_seal(&to[i].key, seed, view_of(plain, sizeof plain), box);
	}
	crypt_wipe(plain, sizeof plain);
	crypt_wipe(seed, sizeof seed);
	return buf_ok(out) ? ERR_OK : ERR_NOMEM;
}

/* Opens one box with the key of that id. ERR_KEY when we have none. */
static enum err box_open(const struct crypt_suite *suite, struct view id, struct view box, const struct seal_pair *keys, size_t n,
                         const struct hash *stream, struct sym_key *epoch)
{
	uint8_t plain[GRANT_PLAIN_BYTES] = {0};
	enum err e = ERR_KEY;

	for (size_t i = 0; i < n && e; i++) {
		struct seal_key_id ours = seal_key_id_of(&keys[i].pub);

		if (!view_equal(id, view_of(ours.b, sizeof ours.b)))
			continue;
		e = suite->box_open(&keys[i].pub, &keys[i].sec, box, plain);
		if (!e && memcmp(plain + SYM_KEY_BYTES, stream->b, HASH_BYTES) != 0)
			e = ERR_AUTH;
	}
	if (!e)
		memcpy(epoch->b, plain, SYM_KEY_BYTES);
	crypt_wipe(plain, sizeof plain);
	return e;
}

enum err grant_open(const struct crypt_suite *suite, struct view grant, uint16_t site, const struct seal_pair *keys, size_t n,
                    const struct hash *stream, struct sym_key *epoch)
{
	struct rd r = rd_init(grant);
	uint8_t version = rd_u8(&r);
	struct hash of;
	size_t boxes;
	enum err e = ERR_KEY;

	if (!r.err && version > GRANT_VERSION)
		return ERR_VERSION;
	rd_copy(&r, of.b, sizeof of.b);
	boxes = rd_u16(&r);
	if (r.err)
		return ERR_TRUNCATED;
	if (version != GRANT_VERSION || rd_left(&r) != boxes * GRANT_BOX_BYTES)
		return rd_left(&r) < boxes * GRANT_BOX_BYTES ? ERR_TRUNCATED : ERR_FORMAT;
	if (!hash_equal(&of, stream))
		return ERR_CONFLICT;
	for (size_t i = 0; i < boxes && e; i++) {
		uint16_t to = rd_u16(&r);
		struct view id = rd_bytes(&r, sizeof(struct seal_key_id)), box = rd_bytes(&r, GRANT_PLAIN_BYTES + BOX_OVERHEAD_BYTES);
		enum err tried = to == site ? box_open(suite, id, box, keys, n, stream, epoch) : ERR_KEY;

		/* a box that fails says more than that there is none */
		if (tried != ERR_KEY)
			e = tried;
	}
	return e;
}
