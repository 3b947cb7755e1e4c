/* Manifests, bodies, chunks, envelopes and grants. The first byte of an input says what the rest is.
 *
 * A mutated seal never opens, so the padded text inside is an input of its own: sealed here, then opened. */
#include "proto/seal.h"
#include "tests/lib/fuzz_driver.h"

enum what { MANIFEST, PADDED, SEALED_BODY, PADDED_CHUNK, SEALED_CHUNK, SEALED_ENVELOPE, GRANT, PACKED, WHATS };

#define TEXT "Verkeersongeval met gewonden op de E40 ter hoogte van Luik; drie voertuigen betrokken, twee rijstroken versperd. "

static const struct sym_key key = {{1}};
static const uint8_t nonce[SYM_NONCE_BYTES] = {0};
static const uint8_t header[HEADER_BYTES] = {1};
static const struct hash stream = {{2}};

/* One for all inputs, as in a core; freed by nobody, for it lives as long as the process. */
static struct packer *packer(void)
{
	static struct packer *p;

	if (!p)
		fuzz_assert(crypt_start() == ERR_OK && packer_new(&p) == ERR_OK);
	return p;
}

static struct seal_pair site_key(void)
{
	static struct seal_pair pair;
	static bool made;
	uint8_t seed[32] = {3};

	if (!made)
		seal_keypair(seed, &pair.pub, &pair.sec);
	made = true;
	return pair;
}

/* ---- seeds ---------------------------------------------------------------------------------------------------- */

static void seed_manifest(struct buf *out)
{
	struct manifest m = {.sealed_len = 1025ULL * 65536, .chunks = 1025, .pages = 2};
	uint8_t bytes[MANIFEST_MAX_BYTES];

	buf_add(out, view_of(bytes, manifest_encode(&m, bytes)));
}

static void seed_padded(struct buf *out)
{
	uint8_t bucket;

	fuzz_assert(body_pack(packer(), view_str(TEXT TEXT), out, &bucket) == ERR_OK);
}

static void seed_sealed(struct buf *out)
{
	struct buf padded = BUF_EMPTY;

	seed_padded(&padded);
	fuzz_assert(body_seal(&key, nonce, view_of(header, sizeof header), buf_view(&padded), out) == ERR_OK);
	buf_release(&padded);
}

static void seed_grant(struct buf *out)
{
	struct seal_pair pair = site_key();
	struct grant_to to[2] = {{.site = 14, .key = pair.pub}, {.site = 15, .key = pair.pub}};
	uint8_t seed[32] = {4};
	struct rng rng;

	rng_seed(&rng, seed);
	fuzz_assert(grant_make(&crypt_suite_fast, &rng, &stream, &key, to, 2, out) == ERR_OK);
}

static void seed_packed(struct buf *out)
{
	uint8_t method, dictionary;
	struct view packed;

	fuzz_assert(pack(packer(), view_str(TEXT TEXT), &method, &dictionary, &packed) == ERR_OK);
	buf_add_u8(out, method);
	buf_add_u8(out, dictionary);
	buf_add_u16(out, (uint16_t)strlen(TEXT TEXT));
	buf_add(out, packed);
}

bool fuzz_seed(unsigned n, struct buf *out)
{
	buf_add_u8(out, (uint8_t)n);
	switch (n) {
	case MANIFEST: seed_manifest(out); break;
	case PADDED: seed_padded(out); break;
	case SEALED_BODY: seed_sealed(out); break;
	case PADDED_CHUNK: seed_padded(out); break;
	case SEALED_CHUNK: fuzz_assert(chunk_seal(packer(), &key, 3, true, view_str(TEXT), out) == ERR_OK); break;
	case SEALED_ENVELOPE: envelope_seal(&key, nonce, view_of(header, sizeof header), &stream, view_str(TEXT), out); break;
	case GRANT: seed_grant(out); break;
	case PACKED: seed_packed(out); break;
	default: return false;
	}
	return true;
}

/* ---- targets --------------------------------------------------------------------------------------------------- */

static enum err try_manifest(struct view v)
{
	uint8_t bytes[MANIFEST_MAX_BYTES];
	struct manifest m;
	enum err e = manifest_decode(v, &m);

	if (!e)
		fuzz_assert(view_equal(v, view_of(bytes, manifest_encode(&m, bytes))));
	return e;
}

/* What opens has at most a chunk's length; what does not leaves out as it was. */
static enum err opened(enum err e, struct buf *out)
{
	fuzz_assert(out->len <= LIMIT_CHUNK_BYTES && (!e || out->len == 0));
	buf_release(out);
	return e;
}

static enum err try_body(struct view sealed)
{
	struct buf out = BUF_EMPTY;

	return opened(body_open(packer(), &key, view_of(header, sizeof header), sealed, &out), &out);
}

static enum err try_chunk(struct view sealed)
{
	struct buf out = BUF_EMPTY;

	return opened(chunk_open(packer(), &key, 3, true, sealed, &out), &out);
}

static enum err try_padded(struct view padded, bool chunk)
{
	uint8_t counter[SYM_NONCE_BYTES] = {0, 0, 0, 3, 1};
	struct view data = chunk ? view_of(NULL, 0) : view_of(header, sizeof header);
	struct buf sealed = BUF_EMPTY;
	enum err e = body_seal(&key, chunk ? counter : nonce, data, padded, &sealed);

	if (!e)
		e = chunk ? try_chunk(buf_view(&sealed)) : try_body(buf_view(&sealed));
	buf_release(&sealed);
	return e;
}

static enum err try_envelope(struct view sealed)
{
	struct buf room = BUF_EMPTY;
	struct view plain;
	enum err e;

	if (sealed.len >= SYM_OVERHEAD_BYTES)
		buf_extend(&room, sealed.len - SYM_OVERHEAD_BYTES);
	e = envelope_open(&key, view_of(header, sizeof header), &stream, sealed, room.ptr, &plain);
	buf_release(&room);
	return e;
}

static enum err try_grant(struct view v)
{
	struct seal_pair pair = site_key();
	struct sym_key epoch = {{0}};
	enum err e = grant_open(&crypt_suite_fast, v, 15, &pair, 1, &stream, &epoch);

	fuzz_assert(e || memcmp(epoch.b, key.b, sizeof key.b) == 0);
	return e;
}

static enum err try_packed(struct view v)
{
	size_t plain_len;
	struct buf out = BUF_EMPTY;
	enum err e;

	if (v.len < 4)
		return ERR_TRUNCATED;
	plain_len = (size_t)v.ptr[2] << 8 | v.ptr[3];
	fuzz_assert(buf_extend(&out, plain_len ? plain_len : 1) != NULL);
	e = unpack(packer(), v.ptr[0], v.ptr[1], view_of(v.ptr + 4, v.len - 4), out.ptr, plain_len);
	buf_release(&out);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum err e = ERR_TRUNCATED;
	struct view v;

	if (len == 0)
		return -1;
	v = view_of(data + 1, len - 1);
	switch (data[0]) {
	case MANIFEST: e = try_manifest(v); break;
	case PADDED: e = try_padded(v, false); break;
	case SEALED_BODY: e = try_body(v); break;
	case PADDED_CHUNK: e = try_padded(v, true); break;
	case SEALED_CHUNK: e = try_chunk(v); break;
	case SEALED_ENVELOPE: e = try_envelope(v); break;
	case GRANT: e = try_grant(v); break;
	case PACKED: e = try_packed(v); break;
	default: break;
	}
	return e ? -1 : 0;
}
