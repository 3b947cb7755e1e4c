/* Frontiers and vectors: a holder's word about what it has, signed, and nobody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/vector.h"
#include "tests/lib/codec.h"

static struct frontier sample_frontier(uint16_t originator)
{
	struct frontier f = {.stream = {.originator = originator, .incarnation = {1626300000000000, {1, 2, 3, 4, 5, 6, 7, 8}}, .addressee = 15,
					.precedence = PREC_IMMEDIATE, .exercise = 0},
			     .number = 9, .not_whole = 2, .missing = {3, 9}};

	memset(f.chain.b, 0x66, HASH_BYTES);
	return f;
}

static enum err decode_frontier(void *arg, struct view v)
{
	(void)arg;
	struct frontier f;
	enum err e = frontier_next(&v, &f);

	if (e)
		return e;
	return v.len ? ERR_FORMAT : ERR_OK;
}

static void frontier_round_trip(void **state)
{
	(void)state;
	struct frontier f = sample_frontier(13), back;
	struct buf b = BUF_EMPTY;
	struct view rest;

	frontier_add(&b, &f);
	assert_hex(buf_view(&b), "000d 0005c71c79cc5800 0102030405060708 000f 01 00 0000000000000009"
				 " 6666666666666666666666666666666666666666666666666666666666666666"
				 " 02 0000000000000003 0000000000000009");
	rest = buf_view(&b);
	assert_int_equal(frontier_next(&rest, &back), ERR_OK);
	assert_int_equal(rest.len, 0);
	assert_true(stream_name_equal(&back.stream, &f.stream));
	assert_int_equal(back.number, 9);
	assert_true(hash_equal(&back.chain, &f.chain));
	assert_int_equal(back.not_whole, 2);
	assert_int_equal(back.missing[0], 3);
	assert_int_equal(back.missing[1], 9);
	assert_cuts_refused(buf_view(&b), decode_frontier, NULL);
	assert_trailing_refused(buf_view(&b), decode_frontier, NULL);
	buf_release(&b);
}

#define AT_NOT_WHOLE (STREAM_NAME_BYTES + 8 + HASH_BYTES)

static enum err frontier_with(size_t at, uint8_t value)
{
	struct frontier f = sample_frontier(13);
	struct buf b = BUF_EMPTY;
	enum err e;

	frontier_add(&b, &f);
	b.ptr[at] = value;
	e = decode_frontier(NULL, buf_view(&b));
	buf_release(&b);
	return e;
}

static void frontier_refuses_nonsense(void **state)
{
	(void)state;
	assert_int_equal(frontier_with(1, 0), ERR_FORMAT);    /* no site has number 0 */
	assert_int_equal(frontier_with(2, 0x80), ERR_FORMAT); /* born before 1970 */
	assert_int_equal(frontier_with(STREAM_NAME_BYTES - 2, PREC_COUNT), ERR_FORMAT);
	assert_int_equal(frontier_with(AT_NOT_WHOLE, LIMIT_NOT_WHOLE + 1), ERR_TOO_LARGE);
	assert_int_equal(frontier_with(AT_NOT_WHOLE + 8, 9), ERR_FORMAT);   /* not rising */
	assert_int_equal(frontier_with(AT_NOT_WHOLE + 8, 0), ERR_FORMAT);   /* there is no entry 0 */
	assert_int_equal(frontier_with(AT_NOT_WHOLE + 16, 10), ERR_FORMAT); /* beyond the frontier */
}

static void frontier_full_list(void **state)
{
	(void)state;
	struct frontier f = sample_frontier(13);
	struct buf b = BUF_EMPTY;

	f.number = 100;
	f.not_whole = LIMIT_NOT_WHOLE;
	for (unsigned i = 0; i < LIMIT_NOT_WHOLE; i++)
		f.missing[i] = i + 1;
	frontier_add(&b, &f);
	assert_int_equal(decode_frontier(NULL, buf_view(&b)), ERR_OK);
	buf_release(&b);
}

/* ---- vectors ------------------------------------------------------------------------------------------ */

struct signer {
	const struct crypt_suite *suite;
	struct sign_public pub;
	struct sign_secret sec;
	struct hash network;
};

static struct signer make_signer(const struct crypt_suite *suite)
{
	struct signer s = {.suite = suite};
	uint8_t seed[32] = {42};

	sign_keypair(seed, &s.pub, &s.sec);
	memset(s.network.b, 0x77, HASH_BYTES);
	return s;
}

static enum err open_vector(void *arg, struct view v)
{
	struct signer *s = arg;
	struct vector out;

	return vector_open(s->suite, &s->pub, &s->network, v, &out);
}

static uint8_t peer_bytes[] = {0, 2, 0, 5};
static uint8_t order_bytes[2 + HASH_BYTES] = {0, 9, 0xee};

/* frontiers gets the encoded frontiers that the vector borrows. */
static struct vector sample_vector(struct buf *frontiers)
{
	struct frontier f = sample_frontier(13), g = sample_frontier(14);

	g.number = g.not_whole = 0;
	frontier_add(frontiers, &f);
	frontier_add(frontiers, &g);
	return (struct vector){.holder = 13, .incarnation = {1626300000000000, {8, 7, 6, 5, 4, 3, 2, 1}}, .version = 3, .peers = 2,
			       .peer_bytes = view_of(peer_bytes, sizeof peer_bytes), .orders = 1,
			       .order_bytes = view_of(order_bytes, sizeof order_bytes), .frontiers = 2, .frontier_bytes = buf_view(frontiers)};
}

static void make_sample(const struct signer *s, struct buf *out)
{
	struct buf frontiers = BUF_EMPTY;
	struct vector v = sample_vector(&frontiers);

	assert_int_equal(vector_make(s->suite, &s->sec, &s->network, &v, out), ERR_OK);
	buf_release(&frontiers);
}

static void vector_round_trip(void **state)
{
	(void)state;
	struct signer s = make_signer(&crypt_suite_real);
	struct buf b = BUF_EMPTY;
	struct vector back;
	struct frontier f;
	struct view rest;
	uint16_t holder;

	make_sample(&s, &b);
	assert_int_equal(vector_holder(buf_view(&b), &holder), ERR_OK);
	assert_int_equal(holder, 13);
	assert_int_equal(vector_open(s.suite, &s.pub, &s.network, buf_view(&b), &back), ERR_OK);
	assert_int_equal(back.holder, 13);
	assert_int_equal(back.incarnation.random[0], 8);
	assert_int_equal(back.version, 3);
	assert_int_equal(back.peers, 2);
	assert_true(view_equal(back.peer_bytes, view_of(peer_bytes, sizeof peer_bytes)));
	assert_int_equal(back.orders, 1);
	assert_true(view_equal(back.order_bytes, view_of(order_bytes, sizeof order_bytes)));
	assert_int_equal(back.frontiers, 2);
	rest = back.frontier_bytes;
	assert_int_equal(frontier_next(&rest, &f), ERR_OK);
	assert_int_equal(f.stream.originator, 13);
	assert_int_equal(frontier_next(&rest, &f), ERR_OK);
	assert_int_equal(f.stream.originator, 14);
	assert_int_equal(rest.len, 0);
	buf_release(&b);
}

static void vector_golden(void **state)
{
	(void)state;
	struct signer s = make_signer(&crypt_suite_real);
	struct buf b = BUF_EMPTY;

	make_sample(&s, &b);
	assert_hex(buf_view(&b), 
		   "01000d0005c71c79cc58000807060504030201000000000000000300020002000500010009ee00000000000000000000000000000000000000000000"
		   "00000000000000000000000002000d0005c71c79cc58000102030405060708000f010000000000000000096666666666666666666666666666666666"
		   "6666666666666666666666666666660200000000000000030000000000000009000e0005c71c79cc58000102030405060708000f0100000000000000"
		   "0000666666666666666666666666666666666666666666666666666666666666666600e714ce6c205f7a84ca0bbd41fa79f1e462946738223e26f4d8"
		   "27c7cf4812320cc3ac982fff39a9e397f575d861582267207d5f78b85422cdf9972db333fabf0d");
	buf_release(&b);
}

static void vector_altered_is_refused(void **state)
{
	(void)state;
	struct signer s = make_signer(&crypt_suite_fast);
	struct buf b = BUF_EMPTY;

	make_sample(&s, &b);
	assert_flips_refused(buf_view(&b), open_vector, &s);
	assert_cuts_refused(buf_view(&b), open_vector, &s);
	assert_trailing_refused(buf_view(&b), open_vector, &s);
	buf_release(&b);
}

static void vector_of_another_network_or_key_is_refused(void **state)
{
	(void)state;
	struct signer s = make_signer(&crypt_suite_real), other = s;
	struct buf b = BUF_EMPTY;

	make_sample(&s, &b);
	other.network.b[0] ^= 1;
	assert_int_equal(open_vector(&other, buf_view(&b)), ERR_AUTH);
	other = s;
	other.pub.b[0] ^= 1;
	assert_int_equal(open_vector(&other, buf_view(&b)), ERR_AUTH);
	b.ptr[0] = 2;
	assert_int_equal(open_vector(&s, buf_view(&b)), ERR_VERSION);
	b.ptr[0] = 0;
	assert_int_equal(open_vector(&s, buf_view(&b)), ERR_FORMAT);
	buf_release(&b);
}

/* Counts that do not fit the bytes are refused before anything is signed. */
static void vector_make_refuses_nonsense(void **state)
{
	(void)state;
	struct signer s = make_signer(&crypt_suite_fast);
	struct buf frontiers = BUF_EMPTY, out = BUF_EMPTY;
	struct vector good = sample_vector(&frontiers), v;

	v = good;
	v.frontiers = 1;
	assert_int_equal(vector_make(s.suite, &s.sec, &s.network, &v, &out), ERR_FORMAT);
	v.frontiers = 3;
	assert_int_equal(vector_make(s.suite, &s.sec, &s.network, &v, &out), ERR_TRUNCATED);
	v = good;
	v.peers = 3;
	assert_int_equal(vector_make(s.suite, &s.sec, &s.network, &v, &out), ERR_FORMAT);
	v.peers = LIMIT_SITES + 1;
	assert_int_equal(vector_make(s.suite, &s.sec, &s.network, &v, &out), ERR_TOO_LARGE);
	v = good;
	v.orders = 0;
	assert_int_equal(vector_make(s.suite, &s.sec, &s.network, &v, &out), ERR_FORMAT);
	v = good;
	v.incarnation.born_us = INT64_MAX; /* one more than that, and the time overflows */
	assert_int_equal(vector_make(s.suite, &s.sec, &s.network, &v, &out), ERR_FORMAT);
	v = good;
	v.holder = 0;
	assert_int_equal(vector_make(s.suite, &s.sec, &s.network, &v, &out), ERR_FORMAT);
	assert_int_equal(out.len, 0);
	buf_release(&frontiers);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frontier_round_trip),
		cmocka_unit_test(frontier_refuses_nonsense),
		cmocka_unit_test(frontier_full_list),
		cmocka_unit_test(vector_round_trip),
		cmocka_unit_test(vector_golden),
		cmocka_unit_test(vector_altered_is_refused),
		cmocka_unit_test(vector_of_another_network_or_key_is_refused),
		cmocka_unit_test(vector_make_refuses_nonsense),
	};

	if (crypt_start())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
