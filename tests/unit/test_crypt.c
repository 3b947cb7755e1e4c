#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>

#include "proto/crypt.h"

static uint8_t key_bytes[32], nonce[SYM_NONCE_BYTES];

/* Known answers below were computed by another implementation, from proto/README.md. */
static void is_hex(const void *bytes, size_t n, const char *want)
{
	char text[2 * 512 + 1];

	assert_true(n <= 512);
	hex_format(bytes, n, text);
	assert_string_equal(text, want);
}

static int start(void **state)
{
	(void)state;
	for (uint8_t i = 0; i < sizeof key_bytes; i++)
		key_bytes[i] = i;
	for (uint8_t i = 0; i < sizeof nonce; i++)
		nonce[i] = (uint8_t)(64 + i);
	return crypt_start() ? -1 : 0;
}

/* ---- randomness --------------------------------------------------------------------------------------------- */

static void generator_known_answer(void **state)
{
	uint8_t out[420];
	struct rng r;

	(void)state;
	rng_seed(&r, key_bytes);
	rng_bytes(&r, out, 40);
	is_hex(out, 40, "2b23cce7a26023ab3f0eef693ac87f64258235eab1f7a32dc22762a0485b410c18b84231ade6a6d1");
	rng_bytes(&r, out, 420);
	rng_bytes(&r, out, 40); /* across two keys */
	is_hex(out, 40, "f1e6dfb201def102acf0175b4fe41f026a6d9cf22d41a59c90e41a8e7a4dccaa1c46069983b1a333");
}

static void generator_does_not_depend_on_portions(void **state)
{
	uint8_t at_once[2000], in_parts[2000];
	struct rng a, b;
	size_t at = 0;

	(void)state;
	rng_seed(&a, key_bytes);
	rng_seed(&b, key_bytes);
	rng_bytes(&a, at_once, sizeof at_once);
	for (size_t n = 1; at < sizeof in_parts; at += n, n = n % 97 + 1) {
		if (n > sizeof in_parts - at)
			n = sizeof in_parts - at;
		rng_bytes(&b, in_parts + at, n);
	}
	assert_memory_equal(at_once, in_parts, sizeof at_once);
	assert_int_equal(rng_u64(&a), rng_u64(&b));
	key_bytes[0] ^= 1;
	rng_seed(&b, key_bytes);
	key_bytes[0] ^= 1;
	rng_bytes(&b, in_parts, sizeof in_parts);
	assert_memory_not_equal(at_once, in_parts, 32);
}

/* Fast key erasure: whoever takes the state later does not learn what it gave out. */
static void generator_forgets(void **state)
{
	uint8_t out[16];
	struct rng r;

	(void)state;
	rng_seed(&r, key_bytes);
	rng_bytes(&r, out, sizeof out);
	assert_memory_not_equal(r.key, key_bytes, 32);
	for (size_t i = 0; i + sizeof out <= sizeof r.pool; i++)
		assert_memory_not_equal(r.pool + i, out, sizeof out);
}

static void system_seeds_differ(void **state)
{
	uint8_t a[32], b[32];

	(void)state;
	crypt_system_seed(a);
	crypt_system_seed(b);
	assert_memory_not_equal(a, b, 32);
}

/* ---- hashes --------------------------------------------------------------------------------------------------- */

static void hash_known_answers(void **state)
{
	static const char *const want[HASH_DOMAINS] = {
		[HASH_STREAM] = "6a3ee44574b4ac009f5fd5e81d81c5996d44736f50ae2f52982b48d4bfd66756",
		[HASH_LINK] = "3515587728dae7a355d794d3c7f56d6c2eeea4f9759dc4cb091f5b8626dfaa04",
		[HASH_LEAF] = "2c72084c91aa93bf0c9a64a9662e12a727be5cdcee8888f44a56159547243fc8",
		[HASH_HEADER] = "062acb92e48e6c9f34af419fb14c1a5439b43d30231e93eca3507f836b0267fc",
		[HASH_ENVELOPE] = "88d844dd07e23f9e9f21ad9bf5bb67072a5de0024feefa4970594401569a9e35",
		[HASH_BODY] = "606629f3755821664abd64e5f6934e5ee2521997327fafb35d044cf0eff6e9f3",
		[HASH_CHUNK] = "2f893c5c39005541e0a37d8d290ee9501126baa00845538b09129bb23efb88bf",
		[HASH_PAGE] = "5e24558a32ba31c4e4a2883210dfc9f99f04adef57db8e0a3ca2484ef3f8366f",
		[HASH_MANIFEST] = "9ee68a6a4cd4c2fcfe0807b7c128aebf004cbb36480402189536ec7cdd871d89",
		[HASH_STATE] = "047781f31e7f4b8b7754cfcf6bb604889ffe9582d534a55a157e4c2e96186009",
		[HASH_FRONTIERS] = "62c8763495eabbe9aa7013c95345441fd3e8158424883386e062000c3b091eee",
		[HASH_RECORD] = "d00bd0170b870fdb68c3447d3e2fc0fdbc37a0c28dc806eb0eaa552857d7111b",
		[HASH_KEY_ID] = "b26177b308114fe1e7c98f3c655f867b4ae896ebf153ff6f03a1b9625d94275f",
		[HASH_SHARE] = "63bfabe2671f0bb536c1e7226b7b80e4507a7dd4405733e9be2d442f8f90ee93",
		[HASH_IDEMPOTENCY] = "dd04b426e79ddaf3448229c9108fb66c6c3c925d7be152a96ba4bd95224613b0",
		[HASH_NETWORK] = "fac08a8424354bc9e8906f201c7e3932a09bbd3bc348d9c70e5e4fff5445347c",
		[HASH_BACKUP] = "41b46ea16cf8614cd622ae2bdaa01fad50aa8fa2e2b5e9e086627d438f9cb020",
		[HASH_BUNDLE] = "fe6db3e4657432191931c3e1472b53e4faa3598724078da0790364b916aeec60",
	};

	(void)state;
	for (int d = 0; d < HASH_DOMAINS; d++) {
		struct hash h = crypt_hash((enum hash_domain)d, view_str("abc"));

		is_hex(h.b, sizeof h.b, want[d]);
	}
}

static void parts_hash_as_their_concatenation(void **state)
{
	struct view none = view_of(NULL, 0);
	struct hash whole = crypt_hash(HASH_LEAF, view_str("abcdefg")), h;

	(void)state;
	h = crypt_hash2(HASH_LEAF, view_str("abc"), view_str("defg"));
	assert_true(hash_equal(&whole, &h));
	h = crypt_hash4(HASH_LEAF, view_str("a"), view_str("bcd"), none, view_str("efg"));
	assert_true(hash_equal(&whole, &h));
	whole = crypt_hash(HASH_LEAF, none);
	h = crypt_hash2(HASH_LEAF, none, none);
	assert_true(hash_equal(&whole, &h));
}

/* ---- symmetric sealing ------------------------------------------------------------------------------------------ */

static void seal_known_answers(void **state)
{
	uint8_t out[31 + SYM_OVERHEAD_BYTES];
	struct sym_key key;

	(void)state;
	memcpy(key.b, key_bytes, sizeof key.b);
	sym_seal(&key, nonce, view_str("header"), view_str("Graag ploeg ter plaatse sturen"), out);
	is_hex(out, 30 + SYM_OVERHEAD_BYTES,
	       "404142434445464748494a4b4c4d4e4f5051525354555657c9c13388b6cbcd6852d141452fde10ba632150c4fab5398d2ddcff799190244f"
	       "0e303ca5baa7cb481b1887453a09825336ddb495b136cba593da2d450f34e485a46afde34af67d1a26abf6a8488f");
	sym_seal(&key, nonce, view_of(NULL, 0), view_of(NULL, 0), out);
	is_hex(out, SYM_OVERHEAD_BYTES,
	       "404142434445464748494a4b4c4d4e4f50515253545556577aa34c08ffb2e7db7e2e96ebebb5712848a223bc4e9b9490208813c479c2fdc5"
	       "7900577729bb8f839651068c2e3f5f07");
}

static void opens_only_whole_and_unaltered(void **state)
{
	struct view data = view_str("associated"), plain = view_str("Graag ploeg ter plaatse sturen");
	uint8_t sealed[30 + SYM_OVERHEAD_BYTES], out[31];
	struct sym_key key, other;

	(void)state;
	memcpy(key.b, key_bytes, sizeof key.b);
	other = key;
	other.b[31] ^= 1;
	sym_seal(&key, nonce, data, plain, sealed);
	assert_int_equal(sym_open(&key, data, view_of(sealed, sizeof sealed), out), ERR_OK);
	assert_memory_equal(out, plain.ptr, plain.len);
	assert_int_equal(sym_open(&other, data, view_of(sealed, sizeof sealed), out), ERR_AUTH);
	assert_int_equal(sym_open(&key, view_str("associateD"), view_of(sealed, sizeof sealed), out), ERR_AUTH);
	for (size_t n = 0; n < sizeof sealed; n++)
		assert_int_equal(sym_open(&key, data, view_of(sealed, n), out), n < SYM_OVERHEAD_BYTES ? ERR_TRUNCATED : ERR_AUTH);
	for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		memset(out, 0, sizeof out);
		assert_int_equal(sym_open(&key, data, view_of(sealed, sizeof sealed), out), ERR_AUTH);
		assert_true(sodium_is_zero(out, sizeof out));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(sym_open(&key, data, view_of(sealed, sizeof sealed), out), ERR_OK);
}

/* ---- public keys -------------------------------------------------------------------------------------------------- */

/* RFC 8032, 7.1, test 2. */
static void signature_known_answer(void **state)
{
	struct sign_public pub, again;
	struct sign_secret sec;
	struct signature sig;
	uint8_t seed[32];

	(void)state;
	assert_int_equal(hex_parse(view_str("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"), seed, 32), ERR_OK);
	sign_keypair(seed, &pub, &sec);
	is_hex(pub.b, 32, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
	sign_public_of(&sec, &again);
	assert_memory_equal(&pub, &again, sizeof pub);
	crypt_suite_real.sign(&sec, view_str("r"), &sig);
	is_hex(sig.b, 64,
	       "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
	       "b00d291612bb0c00");
}

static void suite_signs(const struct crypt_suite *suite)
{
	struct sign_public pub, other;
	struct sign_secret sec, other_sec;
	struct signature sig;
	uint8_t seed[32] = {7};

	sign_keypair(key_bytes, &pub, &sec);
	sign_keypair(seed, &other, &other_sec);
	suite->sign(&sec, view_str("a head"), &sig);
	assert_true(suite->verify(&pub, view_str("a head"), &sig));
	assert_false(suite->verify(&pub, view_str("a hEad"), &sig));
	assert_false(suite->verify(&other, view_str("a head"), &sig));
	for (size_t i = 0; i < sizeof sig.b; i++) {
		sig.b[i] ^= 0x10;
		assert_false(suite->verify(&pub, view_str("a head"), &sig));
		sig.b[i] ^= 0x10;
	}
	suite->sign(&sec, view_of(NULL, 0), &sig);
	assert_true(suite->verify(&pub, view_of(NULL, 0), &sig));
}

static void suite_boxes(const struct crypt_suite *suite)
{
	uint8_t box[5 + BOX_OVERHEAD_BYTES], again[sizeof box], out[5], seed[32] = {9};
	struct seal_public pub, other;
	struct seal_secret sec, other_sec;

	seal_keypair(key_bytes, &pub, &sec);
	seal_keypair(seed, &other, &other_sec);
	suite->box_seal(&pub, seed, view_str("epoch"), box);
	suite->box_seal(&pub, seed, view_str("epoch"), again);
	assert_memory_equal(box, again, sizeof box); /* reproducible from the seed */
	assert_int_equal(suite->box_open(&pub, &sec, view_of(box, sizeof box), out), ERR_OK);
	assert_memory_equal(out, "epoch", 5);
	assert_int_equal(suite->box_open(&other, &other_sec, view_of(box, sizeof box), out), ERR_AUTH);
	for (size_t n = 0; n < sizeof box; n++)
		assert_int_equal(suite->box_open(&pub, &sec, view_of(box, n), out), n < BOX_OVERHEAD_BYTES ? ERR_TRUNCATED : ERR_AUTH);
	for (size_t i = 0; i < sizeof box; i++) {
		box[i] ^= 2;
		assert_int_equal(suite->box_open(&pub, &sec, view_of(box, sizeof box), out), ERR_AUTH);
		box[i] ^= 2;
	}
	seed[0]++;
	suite->box_seal(&pub, seed, view_str("epoch"), again);
	assert_memory_not_equal(box, again, 32);
}

static void both_suites(void **state)
{
	(void)state;
	suite_signs(&crypt_suite_real);
	suite_boxes(&crypt_suite_real);
	suite_signs(&crypt_suite_fast);
	suite_boxes(&crypt_suite_fast);
}

static void boxes_are_those_of_libsodium(void **state)
{
	uint8_t box[5 + BOX_OVERHEAD_BYTES], out[5];
	struct seal_public pub, half;
	struct seal_secret sec;

	(void)state;
	seal_keypair(key_bytes, &pub, &sec);
	seal_public_of(&sec, &half);
	assert_memory_equal(&pub, &half, sizeof pub);
	crypt_suite_real.box_seal(&pub, key_bytes, view_str("epoch"), box);
	assert_int_equal(crypto_box_seal_open(out, box, sizeof box, pub.b, sec.b), 0);
	assert_memory_equal(out, "epoch", 5);
	crypto_box_seal(box, (const uint8_t *)"Epoch", 5, pub.b);
	assert_int_equal(crypt_suite_real.box_open(&pub, &sec, view_of(box, sizeof box), out), ERR_OK);
	assert_memory_equal(out, "Epoch", 5);
}

/* With a public key of zeros anybody would know the shared secret: such a box must not hold the text at all. */
static void box_for_an_unusable_key_is_empty(void **state)
{
	uint8_t box[5 + BOX_OVERHEAD_BYTES];
	struct seal_public zero = {{0}};

	(void)state;
	memset(box, 1, sizeof box);
	crypt_suite_real.box_seal(&zero, key_bytes, view_str("epoch"), box);
	assert_true(sodium_is_zero(box, sizeof box));
}

/* The key pair of the CURVE examples in ZeroMQ's manual pages. */
static void link_keys(void **state)
{
	struct link_secret sec = {"D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"}, bad;
	struct link_public pub, again;

	(void)state;
	assert_int_equal(link_public_of(&sec, &pub), ERR_OK);
	assert_string_equal(pub.z85, "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID");
	bad = sec;
	bad.z85[39] = 0;
	assert_int_equal(link_public_of(&bad, &pub), ERR_FORMAT);
	bad = sec;
	bad.z85[3] = ' ';
	assert_int_equal(link_public_of(&bad, &pub), ERR_FORMAT);
	memset(bad.z85, '#', 40); /* over 32 bits */
	assert_int_equal(link_public_of(&bad, &pub), ERR_FORMAT);
	memset(bad.z85, '0', 41); /* without an end */
	assert_int_equal(link_public_of(&bad, &pub), ERR_FORMAT);
	link_keypair(key_bytes, &pub, &sec);
	assert_int_equal(strlen(pub.z85), 40);
	assert_int_equal(link_public_of(&sec, &again), ERR_OK);
	assert_string_equal(pub.z85, again.z85);
}

/* ---- base64 --------------------------------------------------------------------------------------------------------- */

static void base64(void **state)
{
	static const char *const bad[] = {"Zm9vYg=", "Zm9vYg", "Zm9vYh==", "Zm9v!g==", "Zm9vYg===", "Zm9vYmE=", " m9vYg==", "Zm9vYg= ", "Zm9v\ng=="};
	uint8_t out[4];
	char text[9];

	(void)state;
	base64_format((const uint8_t *)"foob", 4, text, sizeof text);
	assert_string_equal(text, "Zm9vYg==");
	assert_int_equal(base64_parse(view_str(text), out, 4), ERR_OK);
	assert_memory_equal(out, "foob", 4);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(base64_parse(view_str(bad[i]), out, 4), ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generator_known_answer),
		cmocka_unit_test(generator_does_not_depend_on_portions),
		cmocka_unit_test(generator_forgets),
		cmocka_unit_test(system_seeds_differ),
		cmocka_unit_test(hash_known_answers),
		cmocka_unit_test(parts_hash_as_their_concatenation),
		cmocka_unit_test(seal_known_answers),
		cmocka_unit_test(opens_only_whole_and_unaltered),
		cmocka_unit_test(signature_known_answer),
		cmocka_unit_test(both_suites),
		cmocka_unit_test(boxes_are_those_of_libsodium),
		cmocka_unit_test(box_for_an_unusable_key_is_empty),
		cmocka_unit_test(link_keys),
		cmocka_unit_test(base64),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
