#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "proto/crypt.h"
#include "proto/dictionary_1.h"
#include "proto/limits.h"
#include "proto/pack.h"
#include "tests/lib/codec.h"

static const char text[] = "Graag ploeg ter plaatse sturen, dringend. Graag ploeg ter plaatse sturen, dringend. Einde.";
static uint8_t large[LIMIT_CHUNK_BYTES + 1], plain[LIMIT_CHUNK_BYTES];

static int start(void **state)
{
	return packer_new((struct packer **)state);
}

static int stop(void **state)
{
	packer_free(*state);
	packer_free(NULL);
	return 0;
}

static enum err unpack_hex(struct packer *p, uint8_t dictionary, const char *hex, size_t len)
{
	uint8_t frame[200];

	assert_int_equal(hex_parse(view_str(hex), frame, strlen(hex) / 2), ERR_OK);
	return unpack(p, PACK_ZSTD, dictionary, view_of(frame, strlen(hex) / 2), plain, len);
}

/* Sealed bodies need exactly these bytes; a change here loses every one of them. */
static void dictionary_1_never_changes(void **state)
{
	struct hash h = crypt_hash(HASH_BODY, view_of(dictionary_1, sizeof dictionary_1));

	(void)state;
	assert_int_equal(sizeof dictionary_1, 8192);
	assert_hex(view_of(h.b, sizeof h.b), "147f73d21d684c7848fa3e294b048d20872b92474f1d95f07c94e15f71cfd7b6");
}

static void short_text_gains_by_the_dictionary(void **state)
{
	struct packer *p = *state;
	uint8_t method, dictionary;
	struct view out;

	assert_int_equal(pack(p, view_of(text, 42), &method, &dictionary, &out), ERR_OK);
	assert_int_equal(method, PACK_ZSTD);
	assert_int_equal(dictionary, 1);
	assert_true(out.len < 30);
	assert_int_equal(unpack(p, method, dictionary, out, plain, 42), ERR_OK);
	assert_memory_equal(plain, text, 42);
	assert_int_equal(unpack(p, method, 0, out, plain, 42), ERR_FORMAT);
}

static void sizes_come_back_as_they_were(void **state)
{
	struct packer *p = *state;
	uint8_t method, dictionary;
	struct view out;

	for (size_t i = 0; i < sizeof large; i++)
		large[i] = (uint8_t)text[(i * i / 97 + i) % (sizeof text - 1)];
	for (size_t n = 0; n <= LIMIT_CHUNK_BYTES; n += n < 300 ? 1 : 3101) {
		assert_int_equal(pack(p, view_of(large, n), &method, &dictionary, &out), ERR_OK);
		assert_int_equal(dictionary, method == PACK_ZSTD && n <= 16384);
		assert_true(method == PACK_ZSTD || (out.ptr == large && out.len == n));
		assert_true(out.len <= n);
		assert_int_equal(unpack(p, method, dictionary, out, plain, n), ERR_OK);
		assert_memory_equal(plain, large, n);
	}
	assert_int_equal(pack(p, view_of(large, LIMIT_CHUNK_BYTES + 1), &method, &dictionary, &out), ERR_TOO_LARGE);
}

static void what_does_not_shrink_is_stored(void **state)
{
	struct packer *p = *state;
	uint8_t method, dictionary, random[1000];
	struct rng r;
	struct view out;

	rng_seed(&r, (const uint8_t *)text);
	rng_bytes(&r, random, sizeof random);
	assert_int_equal(pack(p, view_of(random, sizeof random), &method, &dictionary, &out), ERR_OK);
	assert_int_equal(method, PACK_STORED);
	assert_int_equal(dictionary, 0);
	assert_true(view_equal(out, view_of(random, sizeof random)));
	/* 40 bytes that repeat save less than a twentieth of the thousand; a hundred save more */
	memset(random, 'a', 40);
	assert_int_equal(pack(p, view_of(random, sizeof random), &method, &dictionary, &out), ERR_OK);
	assert_int_equal(method, PACK_STORED);
	memset(random, 'a', 100);
	assert_int_equal(pack(p, view_of(random, sizeof random), &method, &dictionary, &out), ERR_OK);
	assert_int_equal(method, PACK_ZSTD);
}

/* Frames that the zstd command made, with dictionary 1 and without one. */
static void golden_frames(void **state)
{
	struct packer *p = *state;

	assert_int_equal(unpack_hex(p, 1, "28b52ffd21015a950000382045696e64652e020063ee40e0e0a00304", sizeof text - 1), ERR_OK);
	assert_memory_equal(plain, text, sizeof text - 1);
	assert_int_equal(unpack_hex(p, 0, "28b52ffd206445000010616101003f012c", 100), ERR_OK);
	assert_int_equal(plain[0], 'a');
	assert_int_equal(plain[99], 'a');
}

static void refuses_what_is_not_one_frame_of_that_size(void **state)
{
	struct packer *p = *state;
	const char *good = "28b52ffd206445000010616101003f012c";
	uint8_t method = PACK_ZSTD, frame[64];
	size_t n = strlen(good) / 2;

	assert_int_equal(unpack_hex(p, 0, good, 99), ERR_FORMAT);
	assert_int_equal(unpack_hex(p, 0, good, 101), ERR_FORMAT);
	assert_int_equal(unpack_hex(p, 2, good, 100), ERR_FORMAT);
	assert_int_equal(unpack_hex(p, 0, good, LIMIT_CHUNK_BYTES + 1), ERR_TOO_LARGE);
	/* two frames, a skippable frame (also of no content), one that does not say its size */
	assert_int_equal(unpack_hex(p, 0, "28b52ffd206445000010616101003f012c" "28b52ffd206445000010616101003f012c", 200), ERR_FORMAT);
	assert_int_equal(unpack_hex(p, 0, "28b52ffd206445000010616101003f012c" "502a4d1800000000", 100), ERR_FORMAT);
	assert_int_equal(unpack_hex(p, 0, "502a4d1800000000", 0), ERR_FORMAT);
	assert_int_equal(unpack_hex(p, 0, "28b52ffd004845000010616101003f012c", 100), ERR_FORMAT);
	assert_int_equal(hex_parse(view_str(good), frame, n), ERR_OK);
	assert_int_equal(unpack(p, 2, 0, view_of(frame, n), plain, 100), ERR_FORMAT);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(unpack(p, method, 0, view_of(frame, i), plain, 100), ERR_FORMAT);
	assert_int_equal(unpack(p, method, 0, view_of(NULL, 0), plain, 0), ERR_FORMAT);
}

static void refuses_bad_stored_texts(void **state)
{
	struct packer *p = *state;

	assert_int_equal(unpack(p, PACK_STORED, 0, view_str("abc"), plain, 3), ERR_OK);
	assert_int_equal(unpack(p, PACK_STORED, 0, view_str("abc"), plain, 2), ERR_FORMAT);
	assert_int_equal(unpack(p, PACK_STORED, 0, view_str("abc"), plain, 4), ERR_FORMAT);
	assert_int_equal(unpack(p, PACK_STORED, 1, view_str("abc"), plain, 3), ERR_FORMAT);
	assert_int_equal(unpack(p, PACK_STORED, 0, view_of(NULL, 0), plain, 0), ERR_OK);
}

/* A damaged frame may come out wrong (it has no checksum; the seal finds that), but never longer than it said. */
static void damaged_frames_keep_to_their_room(void **state)
{
	struct packer *p = *state;
	uint8_t method, dictionary, frame[2000], *room = malloc(1500);
	struct view out;
	size_t n;

	for (size_t i = 0; i < 1500; i++)
		large[i] = (uint8_t)text[(i * i / 97 + i) % (sizeof text - 1)];
	assert_int_equal(pack(p, view_of(large, 1500), &method, &dictionary, &out), ERR_OK);
	assert_true(out.len <= sizeof frame);
	n = out.len;
	memcpy(frame, out.ptr, n);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		enum err e;

		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		e = unpack(p, method, dictionary, view_of(frame, n), room, 1500);
		assert_true(e == ERR_OK || e == ERR_FORMAT);
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	free(room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dictionary_1_never_changes),
		cmocka_unit_test(short_text_gains_by_the_dictionary),
		cmocka_unit_test(sizes_come_back_as_they_were),
		cmocka_unit_test(what_does_not_shrink_is_stored),
		cmocka_unit_test(golden_frames),
		cmocka_unit_test(refuses_what_is_not_one_frame_of_that_size),
		cmocka_unit_test(refuses_bad_stored_texts),
		cmocka_unit_test(damaged_frames_keep_to_their_room),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
