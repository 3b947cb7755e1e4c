#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "proto/limits.h"
#include "proto/seal.h"
#include "tests/lib/codec.h"

static uint8_t bytes[LIMIT_CHUNK_BYTES + 1], header_bytes[HEADER_BYTES], nonce[SYM_NONCE_BYTES];
static struct packer *packer;
static struct sym_key key, other_key;
static struct view header;

static int start(void **state)
{
	struct rng r;

	(void)state;
	for (uint8_t i = 0; i < sizeof key.b; i++)
		key.b[i] = i;
	for (uint8_t i = 0; i < sizeof nonce; i++)
		nonce[i] = (uint8_t)(64 + i);
	other_key = key;
	other_key.b[0] ^= 1;
	header = view_of(header_bytes, sizeof header_bytes);
	rng_seed(&r, key.b);
	rng_bytes(&r, bytes, sizeof bytes);
	return crypt_start() || packer_new(&packer) ? -1 : 0;
}

static int stop(void **state)
{
	(void)state;
	packer_free(packer);
	return 0;
}

/* ---- buckets ---------------------------------------------------------------------------------------------------- */

static void buckets(void **state)
{
	static const uint64_t first[] = {0, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320};

	(void)state;
	for (uint8_t b = 0; b < sizeof first / sizeof first[0]; b++)
		assert_int_equal(bucket_bytes(b), first[b]);
	assert_int_equal(bucket_of(0), 1);
	assert_int_equal(bucket_bytes(97), 1 << 30);
	for (unsigned b = 1; b <= 232; b++) {
		assert_int_equal(bucket_of(bucket_bytes((uint8_t)b)), b);
		assert_int_equal(bucket_of(bucket_bytes((uint8_t)b) + 1), b + 1);
		assert_true(bucket_bytes((uint8_t)(b + 1)) > bucket_bytes((uint8_t)b));
	}
	assert_int_equal(bucket_of(UINT64_MAX), 233);
	assert_true(bucket_bytes(233) == UINT64_MAX && bucket_bytes(255) == UINT64_MAX);
}

/* ---- bodies of one chunk ------------------------------------------------------------------------------------------ */

/* Computed by another implementation, from proto/README.md. */
static const char sealed_abc[] =
	"404142434445464748494a4b4c4d4e4f5051525354555657d93986eaf2f48383c6ea61e76fa2b67496dbd1895c9f3dc7c1ff6733663cde8549425dc7"
	"dd84da46177de0654e6cf07346b1d5f4c545ae85e0ae58376a5a7dd40d2c2b640973cdd9a8221db07c7bba842c5e9387d2a9f90c1edcc7efc8033345"
	"a0ca67167ce5a83f53968980f9033a5a";

static void seal_body(struct view plain, struct buf *sealed)
{
	struct buf padded = BUF_EMPTY;
	uint8_t bucket;

	assert_int_equal(body_pack(packer, plain, &padded, &bucket), ERR_OK);
	assert_true(padded.len == bucket_bytes(bucket) || padded.len == LIMIT_SEALED_CHUNK_BYTES - SYM_OVERHEAD_BYTES);
	assert_int_equal(body_seal(&key, nonce, header, buf_view(&padded), sealed), ERR_OK);
	assert_int_equal(sealed->len, padded.len + SYM_OVERHEAD_BYTES);
	buf_release(&padded);
}

static enum err open_body(void *arg, struct view v)
{
	struct buf out = BUF_EMPTY;
	enum err e = body_open(packer, arg, header, v, &out);

	if (e)
		assert_int_equal(out.len, 0);
	buf_release(&out);
	return e;
}

static void body_known_answer(void **state)
{
	struct buf sealed = BUF_EMPTY, out = BUF_EMPTY;
	struct hash h;

	(void)state;
	seal_body(view_str("abc"), &sealed);
	assert_hex(buf_view(&sealed), sealed_abc);
	h = body_hash(buf_view(&sealed));
	assert_hex(view_of(h.b, sizeof h.b), "a601bc2b065d74a4a9cdbcc2ad43ad1078ae9fc5d05c053af8e51991a305717e");
	buf_add(&out, view_str("before "));
	assert_int_equal(body_open(packer, &key, header, buf_view(&sealed), &out), ERR_OK);
	assert_true(view_equal(buf_view(&out), view_str("before abc")));
	buf_release(&sealed);
	buf_release(&out);
}

static void body_opens_only_whole_and_unaltered(void **state)
{
	struct buf sealed = BUF_EMPTY;

	(void)state;
	seal_body(view_str("abc"), &sealed);
	assert_cuts_refused(buf_view(&sealed), open_body, &key);
	assert_trailing_refused(buf_view(&sealed), open_body, &key);
	assert_flips_refused(buf_view(&sealed), open_body, &key);
	assert_int_equal(open_body(&other_key, buf_view(&sealed)), ERR_AUTH);
	header_bytes[17] ^= 4;
	assert_int_equal(open_body(&key, buf_view(&sealed)), ERR_AUTH);
	header_bytes[17] ^= 4;
	assert_int_equal(open_body(&key, buf_view(&sealed)), ERR_OK);
	buf_release(&sealed);
}

static void bodies_of_every_size(void **state)
{
	struct buf sealed = BUF_EMPTY, out = BUF_EMPTY, padded = BUF_EMPTY;
	uint8_t bucket;

	(void)state;
	for (size_t n = 0; n <= LIMIT_CHUNK_BYTES; n += n < 200 ? 1 : 1811) {
		buf_clear(&sealed);
		buf_clear(&out);
		seal_body(view_of(bytes, n), &sealed);
		assert_true(sealed.len <= LIMIT_SEALED_CHUNK_BYTES);
		assert_int_equal(body_open(packer, &key, header, buf_view(&sealed), &out), ERR_OK);
		assert_true(view_equal(buf_view(&out), view_of(bytes, n)));
	}
	assert_int_equal(body_pack(packer, view_of(bytes, LIMIT_CHUNK_BYTES + 1), &padded, &bucket), ERR_TOO_LARGE);
	buf_release(&sealed);
	buf_release(&out);
	buf_release(&padded);
}

/* Texts of nearly one length cannot be told apart by the length of what is stored. */
static void padding_hides_the_length(void **state)
{
	struct buf a = BUF_EMPTY, b = BUF_EMPTY;

	(void)state;
	seal_body(view_of(bytes, 259), &a);
	seal_body(view_of(bytes, 314), &b);
	assert_int_equal(a.len, b.len);
	buf_release(&a);
	buf_release(&b);
}

/* What an authentic originator may have padded wrongly, sealed with the right key. */
static void bad_padded_texts_are_refused(void **state)
{
	static const struct {
		struct view padded;
		enum err want;
	} cases[] = {
		{{(const uint8_t *)"\0\0\0\3\0\3abc", 9}, ERR_OK}, /* padding of none is taken */
		{{(const uint8_t *)"\0\0\0\3\0\3abc\0\1", 11}, ERR_FORMAT},
		{{(const uint8_t *)"\0\0\0\3\0\4abc", 9}, ERR_FORMAT},
		{{(const uint8_t *)"\0\0\0\4\0\3abc", 9}, ERR_FORMAT},
		{{(const uint8_t *)"\0\1\0\3\0\3abc", 9}, ERR_FORMAT},
		{{(const uint8_t *)"\2\0\0\3\0\3abc", 9}, ERR_FORMAT},
		{{(const uint8_t *)"\1\0\0\3\0\3abc", 9}, ERR_FORMAT},
		{{(const uint8_t *)"\0\0\xff\xff\0\3abc", 9}, ERR_TOO_LARGE},
		{{(const uint8_t *)"\0\0\0\0\0", 5}, ERR_FORMAT},
		{{(const uint8_t *)"", 0}, ERR_FORMAT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf sealed = BUF_EMPTY;

		assert_int_equal(body_seal(&key, nonce, header, cases[i].padded, &sealed), ERR_OK);
		assert_int_equal(open_body(&key, buf_view(&sealed)), cases[i].want);
		buf_release(&sealed);
	}
}

/* ---- bodies of several chunks ---------------------------------------------------------------------------------- */

struct chunk_at { uint32_t index; bool last; };

static enum err open_chunk(void *arg, struct view v)
{
	const struct chunk_at *at = arg;
	struct buf out = BUF_EMPTY;
	enum err e = chunk_open(packer, &key, at->index, at->last, v, &out);

	if (e)
		assert_int_equal(out.len, 0);
	buf_release(&out);
	return e;
}

static void chunk_known_answer(void **state)
{
	struct buf sealed = BUF_EMPTY;
	struct chunk_at at = {5, true};
	struct hash h;

	(void)state;
	assert_int_equal(chunk_seal(packer, &key, 5, true, view_str("abc"), &sealed), ERR_OK);
	assert_hex(buf_view(&sealed), "000000050100000000000000000000000000000000000000f2c4b5abb6045a8530411d63ee2169414646a73b0330b0a7151c90ca37257b64241c2a4bf8a2abe20a4a0b7bb91eb07418a105bf9d8db9bb1ede378c98f9b3e3228c1aa00e89fa1acbb19a7913af089077612278dce0994e7b5ff4b16b2f981d274ee7028cb7ea3fbdc3cf45e910ea9d");
	h = chunk_hash(5, buf_view(&sealed));
	assert_hex(view_of(h.b, sizeof h.b), "cd2c2ecadee1ee17eeb7692f343487a346d6f2ebb71391735798cf8e0d1fe1c8");
	assert_cuts_refused(buf_view(&sealed), open_chunk, &at);
	assert_trailing_refused(buf_view(&sealed), open_chunk, &at);
	assert_flips_refused(buf_view(&sealed), open_chunk, &at);
	buf_release(&sealed);
}

static void chunks_open_only_in_their_place(void **state)
{
	struct buf sealed = BUF_EMPTY, out = BUF_EMPTY;
	struct chunk_at right = {1, false}, moved = {2, false}, ended = {1, true};

	(void)state;
	assert_int_equal(chunk_seal(packer, &key, 1, false, view_of(bytes, LIMIT_CHUNK_BYTES), &sealed), ERR_OK);
	assert_true(sealed.len <= LIMIT_SEALED_CHUNK_BYTES);
	assert_int_equal(open_chunk(&right, buf_view(&sealed)), ERR_OK);
	assert_int_equal(open_chunk(&moved, buf_view(&sealed)), ERR_AUTH);
	assert_int_equal(open_chunk(&ended, buf_view(&sealed)), ERR_AUTH);
	/* the stored nonce cannot be changed to another place either */
	sealed.ptr[3] = 2;
	assert_int_equal(open_chunk(&moved, buf_view(&sealed)), ERR_AUTH);
	assert_int_equal(chunk_open(packer, &other_key, 1, false, buf_view(&sealed), &out), ERR_AUTH);
	assert_int_equal(chunk_seal(packer, &key, 1, false, view_of(bytes, 100), &sealed), ERR_RANGE);
	assert_int_equal(chunk_seal(packer, &key, LIMIT_CHUNKS, true, view_of(bytes, 100), &sealed), ERR_RANGE);
	buf_release(&sealed);
}

/* A chunk before the last that is not full would shift all that follows. */
static void short_chunk_in_the_middle_is_refused(void **state)
{
	uint8_t at[SYM_NONCE_BYTES] = {0, 0, 0, 1};
	struct buf sealed = BUF_EMPTY, padded = BUF_EMPTY;
	struct chunk_at middle = {1, false};
	uint8_t bucket;

	(void)state;
	assert_int_equal(body_pack(packer, view_str("abc"), &padded, &bucket), ERR_OK);
	assert_int_equal(body_seal(&key, at, view_of(NULL, 0), buf_view(&padded), &sealed), ERR_OK);
	assert_int_equal(open_chunk(&middle, buf_view(&sealed)), ERR_FORMAT);
	buf_release(&sealed);
	buf_release(&padded);
}

static enum err decode_manifest(void *arg, struct view v)
{
	return manifest_decode(v, arg);
}

static void manifests(void **state)
{
	struct manifest m = {.sealed_len = 272, .chunks = 2, .pages = 1}, got;
	uint8_t out[MANIFEST_MAX_BYTES + 1];
	struct hash h;
	size_t n;

	(void)state;
	for (uint8_t i = 0; i < HASH_BYTES; i++)
		m.page[0].b[i] = i;
	n = manifest_encode(&m, out);
	assert_hex(view_of(out, n), "01 0000000000000110 00000002 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
	h = manifest_hash(&m);
	assert_hex(view_of(h.b, sizeof h.b), "1d4ded35ba5da466fdb156d176243142470c41d2108dc22194e7f0d2d1bd221d");
	assert_int_equal(manifest_decode(view_of(out, n), &got), ERR_OK);
	assert_memory_equal(&m, &got, sizeof m);
	assert_cuts_refused(view_of(out, n), decode_manifest, &got);
	assert_trailing_refused(view_of(out, n), decode_manifest, &got);
	out[0] = 2;
	assert_int_equal(manifest_decode(view_of(out, n), &got), ERR_VERSION);
	out[0] = 0;
	assert_int_equal(manifest_decode(view_of(out, n), &got), ERR_FORMAT);
}

static void manifest_of_the_largest_body(void **state)
{
	struct manifest m = {.sealed_len = (uint64_t)LIMIT_CHUNKS * LIMIT_SEALED_CHUNK_BYTES, .chunks = LIMIT_CHUNKS, .pages = LIMIT_MANIFEST_PAGES};
	uint8_t out[MANIFEST_MAX_BYTES];
	struct manifest got;

	(void)state;
	memset(m.page, 7, sizeof m.page);
	assert_int_equal(manifest_encode(&m, out), sizeof out);
	assert_int_equal(manifest_decode(view_of(out, sizeof out), &got), ERR_OK);
	assert_memory_equal(&m, &got, sizeof m);
	m.sealed_len++;
	manifest_encode(&m, out);
	assert_int_equal(manifest_decode(view_of(out, sizeof out), &got), ERR_RANGE);
	m.sealed_len = (uint64_t)LIMIT_CHUNKS * (SYM_OVERHEAD_BYTES + 64) - 1;
	manifest_encode(&m, out);
	assert_int_equal(manifest_decode(view_of(out, sizeof out), &got), ERR_RANGE);
	memset(out + 9, 0, 4);
	assert_int_equal(manifest_decode(view_of(out, sizeof out), &got), ERR_RANGE);
	memset(out + 9, 0xff, 4);
	assert_int_equal(manifest_decode(view_of(out, sizeof out), &got), ERR_RANGE);
}

static void pages_are_numbered(void **state)
{
	uint8_t leaves[64] = {0};
	struct hash a = page_hash(1, view_of(leaves, 64)), b = page_hash(0, view_of(leaves, 32));

	(void)state;
	assert_hex(view_of(a.b, sizeof a.b), "de123cd2aef847bf4fa91c34d6f6783f808c27da80c2e2561d921958e7e7541c");
	assert_hex(view_of(b.b, sizeof b.b), "622048919a2f930b6efaac8699ad8981b6d72b150aead2a8a45642ae8d62f3a5");
}

/* ---- envelopes -------------------------------------------------------------------------------------------------------- */

static struct hash stream;

static enum err open_envelope(void *arg, struct view v)
{
	uint8_t out[64];
	struct view plain;

	return envelope_open(arg, header, &stream, v, out, &plain);
}

static void envelopes(void **state)
{
	uint8_t counted[HEADER_BYTES], out[8];
	struct buf sealed = BUF_EMPTY;
	struct view plain, zeros = header;

	(void)state;
	for (uint8_t i = 0; i < sizeof counted; i++)
		counted[i] = i;
	memset(stream.b, 0xaa, sizeof stream.b);
	header = view_of(counted, sizeof counted);
	envelope_seal(&key, nonce, header, &stream, view_str("envelope"), &sealed);
	assert_hex(buf_view(&sealed), "404142434445464748494a4b4c4d4e4f505152535455565741f7d76b3e9372b540344fc99cebf0fab69ac9d3e423e8b9156ec814"
	                              "8e21936d2c2c2ba1b1e8cb416293bb5ae56d305f1713c48c818638eb");
	assert_int_equal(envelope_open(&key, header, &stream, buf_view(&sealed), out, &plain), ERR_OK);
	assert_true(view_equal(plain, view_str("envelope")));
	assert_cuts_refused(buf_view(&sealed), open_envelope, &key);
	assert_trailing_refused(buf_view(&sealed), open_envelope, &key);
	assert_flips_refused(buf_view(&sealed), open_envelope, &key);
	assert_int_equal(open_envelope(&other_key, buf_view(&sealed)), ERR_AUTH);
	stream.b[31] ^= 1; /* the same entry in another stream */
	assert_int_equal(open_envelope(&key, buf_view(&sealed)), ERR_AUTH);
	stream.b[31] ^= 1;
	counted[63] ^= 1;
	assert_int_equal(open_envelope(&key, buf_view(&sealed)), ERR_AUTH);
	header.len--;
	assert_int_equal(open_envelope(&key, buf_view(&sealed)), ERR_FORMAT);
	header = zeros;
	buf_release(&sealed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets),
		cmocka_unit_test(body_known_answer),
		cmocka_unit_test(body_opens_only_whole_and_unaltered),
		cmocka_unit_test(bodies_of_every_size),
		cmocka_unit_test(padding_hides_the_length),
		cmocka_unit_test(bad_padded_texts_are_refused),
		cmocka_unit_test(chunk_known_answer),
		cmocka_unit_test(chunks_open_only_in_their_place),
		cmocka_unit_test(short_chunk_in_the_middle_is_refused),
		cmocka_unit_test(manifests),
		cmocka_unit_test(manifest_of_the_largest_body),
		cmocka_unit_test(pages_are_numbered),
		cmocka_unit_test(envelopes),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
