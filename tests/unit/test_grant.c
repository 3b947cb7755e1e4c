#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "proto/limits.h"
#include "proto/seal.h"
#include "tests/lib/codec.h"

static struct seal_pair ours[2], theirs;
static struct hash stream;
static struct sym_key epoch;

static int start(void **state)
{
	struct seal_pair *pairs[] = {&ours[0], &ours[1], &theirs};

	(void)state;
	for (uint8_t i = 0; i < 3; i++) {
		uint8_t seed[32] = {i};

		seal_keypair(seed, &pairs[i]->pub, &pairs[i]->sec);
	}
	memset(stream.b, 0xaa, sizeof stream.b);
	memset(epoch.b, 0x55, sizeof epoch.b);
	return crypt_start() ? -1 : 0;
}

/* Reproducible: the generator begins at zeros. */
static void make(const struct crypt_suite *suite, const struct grant_to *to, size_t n, struct buf *out)
{
	uint8_t seed[32] = {0};
	struct rng r;

	rng_seed(&r, seed);
	assert_int_equal(grant_make(suite, &r, &stream, &epoch, to, n, out), ERR_OK);
	assert_int_equal(out->len, 35 + n * GRANT_BOX_BYTES);
}

struct opener { const struct crypt_suite *suite; uint16_t site; const struct seal_pair *keys; size_t n; };

static enum err open_grant(void *arg, struct view v)
{
	const struct opener *o = arg;
	struct sym_key got = {{0}};
	enum err e = grant_open(o->suite, v, o->site, o->keys, o->n, &stream, &got);

	assert_int_equal(!e, memcmp(&got, &epoch, sizeof got) == 0);
	return e;
}

static void opens_for_those_it_names(const struct crypt_suite *suite)
{
	struct grant_to to[] = {{3, theirs.pub}, {7, ours[1].pub}};
	struct opener us = {suite, 7, ours, 2}, them = {suite, 3, &theirs, 1}, older = {suite, 7, ours, 1}, elsewhere = {suite, 8, ours, 2};
	struct buf grant = BUF_EMPTY, again = BUF_EMPTY;

	make(suite, to, 2, &grant);
	make(suite, to, 2, &again);
	assert_true(view_equal(buf_view(&grant), buf_view(&again)));
	assert_int_equal(open_grant(&us, buf_view(&grant)), ERR_OK);
	assert_int_equal(open_grant(&them, buf_view(&grant)), ERR_OK);
	assert_int_equal(open_grant(&older, buf_view(&grant)), ERR_KEY);
	assert_int_equal(open_grant(&elsewhere, buf_view(&grant)), ERR_KEY);
	assert_cuts_refused(buf_view(&grant), open_grant, &us);
	assert_trailing_refused(buf_view(&grant), open_grant, &us);
	buf_release(&grant);
	buf_release(&again);
}

static void both_suites(void **state)
{
	(void)state;
	opens_for_those_it_names(&crypt_suite_real);
	opens_for_those_it_names(&crypt_suite_fast);
}

static void bytes_are_as_documented(void **state)
{
	struct grant_to to = {0x0102, ours[0].pub};
	struct buf grant = BUF_EMPTY;
	struct seal_key_id id;
	struct hash h;

	(void)state;
	make(&crypt_suite_real, &to, 1, &grant);
	assert_hex(view_of(grant.ptr, 37), "01 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0001 0102");
	id = seal_key_id_of(&ours[0].pub);
	h = crypt_hash(HASH_KEY_ID, view_of(ours[0].pub.b, 32));
	assert_memory_equal(id.b, h.b, sizeof id.b);
	assert_memory_equal(grant.ptr + 37, id.b, sizeof id.b);
	assert_int_equal(grant.len, 35 + 10 + 112);
	buf_release(&grant);
}

static void damage_is_found(void **state)
{
	struct grant_to to = {7, ours[0].pub};
	struct opener us = {&crypt_suite_fast, 7, ours, 2};
	struct buf grant = BUF_EMPTY;

	(void)state;
	make(&crypt_suite_fast, &to, 1, &grant);
	assert_flips_refused(buf_view(&grant), open_grant, &us);
	grant.ptr[60] ^= 1;
	assert_int_equal(open_grant(&us, buf_view(&grant)), ERR_AUTH);
	grant.ptr[60] ^= 1;
	grant.ptr[0] = 2;
	assert_int_equal(open_grant(&us, buf_view(&grant)), ERR_VERSION);
	grant.ptr[0] = 0;
	assert_int_equal(open_grant(&us, buf_view(&grant)), ERR_FORMAT);
	grant.ptr[0] = 1;
	grant.ptr[1] ^= 1;
	assert_int_equal(open_grant(&us, buf_view(&grant)), ERR_CONFLICT);
	buf_release(&grant);
}

/* The outside of a grant can be rewritten by anybody on the way: the stream inside the box decides. */
static void box_of_another_stream_does_not_open(void **state)
{
	struct grant_to to = {7, ours[0].pub};
	struct opener us = {&crypt_suite_real, 7, ours, 2};
	struct buf grant = BUF_EMPTY;

	(void)state;
	stream.b[0] ^= 1;
	make(&crypt_suite_real, &to, 1, &grant);
	stream.b[0] ^= 1;
	assert_int_equal(open_grant(&us, buf_view(&grant)), ERR_CONFLICT);
	grant.ptr[1] ^= 1;
	assert_int_equal(open_grant(&us, buf_view(&grant)), ERR_AUTH);
	buf_release(&grant);
}

static void one_good_box_is_enough(void **state)
{
	struct grant_to to[] = {{7, ours[0].pub}, {7, ours[1].pub}};
	struct opener us = {&crypt_suite_real, 7, ours, 2};
	struct buf grant = BUF_EMPTY;

	(void)state;
	make(&crypt_suite_real, to, 2, &grant);
	grant.ptr[60] ^= 1;
	assert_int_equal(open_grant(&us, buf_view(&grant)), ERR_OK);
	buf_release(&grant);
}

static void refuses_to_be_for_nobody(void **state)
{
	struct buf out = BUF_EMPTY;
	uint8_t seed[32] = {0};
	struct rng r;

	(void)state;
	rng_seed(&r, seed);
	assert_int_equal(grant_make(&crypt_suite_fast, &r, &stream, &epoch, NULL, 0, &out), ERR_RANGE);
	assert_int_equal(grant_make(&crypt_suite_fast, &r, &stream, &epoch, NULL, LIMIT_SITES + 1, &out), ERR_RANGE);
	assert_int_equal(out.len, 0);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_suites),
		cmocka_unit_test(bytes_are_as_documented),
		cmocka_unit_test(damage_is_found),
		cmocka_unit_test(box_of_another_stream_does_not_open),
		cmocka_unit_test(one_good_box_is_enough),
		cmocka_unit_test(refuses_to_be_for_nobody),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
