/* Bundles: what is written is read, and nothing that was torn, altered, reordered or made by another passes for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/bundle.h"
#include "tests/lib/codec.h"

static const struct hash network = {{1, 2, 3}};
static struct sign_public pub;
static struct sign_secret sec;

static struct bundle_head sample_head(void)
{
	static const uint8_t sites[] = {0, 4, 0, 15};

	return (struct bundle_head){.network = network, .site = 13, .incarnation = {1626300000000000, {9}}, .made = {1626300001000000}, .roster = 7,
				    .precedence = PREC_FLASH, .n_sites = 2, .sites = view_of(sites, sizeof sites)};
}

static void state_frame_of(struct buf *out, uint8_t kind)
{
	static const uint8_t blob[] = {1, 2, 3, 4, 5};

	frame_state_give(out, &(struct hash){{5}}, kind, view_of(blob, sizeof blob));
}

static void part_frame_of(struct buf *out)
{
	static const uint8_t bytes[] = "a piece of a large body";
	struct part p = {.body = {{7}}, .kind = PART_CHUNK, .total = sizeof bytes, .bytes = view_of(bytes, sizeof bytes)};

	frame_part(out, &p);
}

/* Two objects of state and a part, in the order given by `turned`. */
static void sample(struct buf *out, bool turned)
{
	struct bundle_head h = sample_head();
	struct bundle_chain c;
	struct buf first = BUF_EMPTY, second = BUF_EMPTY, part = BUF_EMPTY;

	state_frame_of(&first, 1);
	state_frame_of(&second, 2);
	part_frame_of(&part);
	bundle_write_head(&c, out, &h);
	bundle_write_frame(&c, out, buf_view(&first));
	bundle_write_frame(&c, out, turned ? buf_view(&part) : buf_view(&second));
	bundle_write_frame(&c, out, turned ? buf_view(&second) : buf_view(&part));
	bundle_write_end(&c, out, &crypt_suite_real, &sec, &network);
	buf_release(&first);
	buf_release(&second);
	buf_release(&part);
}

/* The whole of it, given `some` bytes more at a time. */
static enum err read_all(struct view v, size_t some, struct bundle_head *head, struct bundle_end *end, unsigned *frames)
{
	struct bundle_reader r = BUNDLE_READER_NEW;
	size_t at = 0, have = 0;

	*frames = 0;
	for (;;) {
		struct bundle_piece p;
		size_t used;
		enum err e = r.ended && have == v.len && at == have ? ERR_EXISTS : bundle_next(&r, view_of(v.ptr + at, have - at), &p, &used);

		if (e == ERR_EXISTS)
			return ERR_OK;
		if (e == ERR_TRUNCATED && have < v.len) {
			have = have + some < v.len ? have + some : v.len;
			continue;
		}
		if (e)
			return e;
		at += used;
		assert_int_equal(r.at, at);
		if (p.kind == BUNDLE_HEAD && head)
			*head = p.u.head;
		if (p.kind == BUNDLE_END && end)
			*end = p.u.end;
		*frames += p.kind == BUNDLE_FRAME;
		if (r.ended && at == have && have < v.len)
			have = v.len; /* something stands behind the end */
	}
}

static void what_is_written_is_read(void **state)
{
	struct bundle_head h = {0};
	struct bundle_end end = {0};
	struct buf b = BUF_EMPTY;
	unsigned frames;

	(void)state;
	sample(&b, false);
	for (size_t some = 1; some < b.len + 10; some += 13) {
		assert_int_equal(read_all(buf_view(&b), some, &h, &end, &frames), ERR_OK);
		assert_int_equal(frames, 3);
	}
	assert_int_equal(h.site, 13);
	assert_int_equal(h.roster, 7);
	assert_int_equal(h.made.us, 1626300001000000);
	assert_int_equal(h.precedence, PREC_FLASH);
	assert_false(h.all);
	assert_int_equal(h.n_sites, 2);
	assert_int_equal(bundle_site(&h, 1), 15);
	assert_int_equal(end.pieces, 4);
	assert_true(bundle_verify(&crypt_suite_real, &pub, &network, &end));
	buf_release(&b);
}

static void the_bytes_are_those_of_the_readme(void **state)
{
	struct bundle_head h = sample_head();
	struct bundle_chain c;
	struct buf b = BUF_EMPTY;

	(void)state;
	bundle_write_head(&c, &b, &h);
	assert_hex(buf_view(&b), "65737461666574746520 62756e646c65 0001 01 00000046 0102030000000000 0000000000000000 0000000000000000 0000000000000000"
				 " 000d 0005c71c79cc5800 0900000000000000 0005c71c79db9a40 00000007 00 00 0002 0004 000f");
	assert_int_equal(c.pieces, 1);
	buf_release(&b);
}

static void torn_at_any_byte_it_is_refused(void **state)
{
	struct buf b = BUF_EMPTY;
	unsigned frames;

	(void)state;
	sample(&b, false);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(read_all(view_of(b.ptr, n), 4096, NULL, NULL, &frames), ERR_TRUNCATED);
	buf_add_u8(&b, 0);
	assert_int_equal(read_all(buf_view(&b), 4096, NULL, NULL, &frames), ERR_FORMAT);
	buf_release(&b);
}

/* Every bit counts: what it changes is seen by the reader, or the signature does not fit any more. */
static void altered_in_any_bit_it_is_refused(void **state)
{
	struct buf b = BUF_EMPTY;
	struct bundle_end end = {0};
	unsigned frames;

	(void)state;
	sample(&b, false);
	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		b.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
		enum err e = read_all(buf_view(&b), 4096, NULL, &end, &frames);

		assert_true(e || !bundle_verify(&crypt_suite_real, &pub, &network, &end));
		if (bit / 8 == BUNDLE_START_BYTES - 1)
			assert_true(e == ERR_VERSION || e == ERR_FORMAT);
		b.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	b.ptr[BUNDLE_START_BYTES - 1] = 2;
	assert_int_equal(read_all(buf_view(&b), 4096, NULL, NULL, &frames), ERR_VERSION);
	buf_release(&b);
}

static void state_comes_first(void **state)
{
	struct buf b = BUF_EMPTY;
	unsigned frames;

	(void)state;
	sample(&b, true);
	assert_int_equal(read_all(buf_view(&b), 4096, NULL, NULL, &frames), ERR_FORMAT);
	buf_release(&b);
}

static void a_piece_that_is_left_out_is_missed(void **state)
{
	struct bundle_head h = sample_head();
	struct buf b = BUF_EMPTY, frame = BUF_EMPTY, only = BUF_EMPTY;
	struct bundle_chain c;
	unsigned frames;

	(void)state;
	state_frame_of(&frame, 1);
	bundle_write_head(&c, &b, &h);
	buf_add(&only, buf_view(&b));
	size_t at = b.len;

	bundle_write_frame(&c, &b, buf_view(&frame));
	size_t end = b.len;

	bundle_write_end(&c, &b, &crypt_suite_real, &sec, &network);
	assert_int_equal(read_all(buf_view(&b), 4096, NULL, NULL, &frames), ERR_OK);
	buf_add(&only, view_of(b.ptr + end, b.len - end));
	assert_int_equal(read_all(buf_view(&only), 4096, NULL, NULL, &frames), ERR_AUTH);
	/* And one that is there twice is one too many. */
	buf_clear(&only);
	buf_add(&only, view_of(b.ptr, end));
	buf_add(&only, view_of(b.ptr + at, b.len - at));
	assert_int_equal(read_all(buf_view(&only), 4096, NULL, NULL, &frames), ERR_AUTH);
	buf_release(&b);
	buf_release(&only);
	buf_release(&frame);
}

static void the_signature_is_of_that_site_and_network(void **state)
{
	struct sign_public other;
	struct sign_secret other_sec;
	struct hash net = {{9}};
	struct bundle_end end = {0};
	struct buf b = BUF_EMPTY;
	unsigned frames;
	uint8_t seed[32] = {2};

	(void)state;
	sign_keypair(seed, &other, &other_sec);
	sample(&b, false);
	assert_int_equal(read_all(buf_view(&b), 4096, NULL, &end, &frames), ERR_OK);
	assert_false(bundle_verify(&crypt_suite_real, &other, &network, &end));
	assert_false(bundle_verify(&crypt_suite_real, &pub, &net, &end));
	end.pieces++;
	assert_false(bundle_verify(&crypt_suite_real, &pub, &network, &end));
	buf_release(&b);
}

static enum err decode_head(void *arg, struct view v)
{
	struct bundle_head h;

	(void)arg;
	return bundle_head_decode(v, &h);
}

static void heads_are_judged(void **state)
{
	struct bundle_head h = sample_head();
	struct bundle_chain c;
	struct buf b = BUF_EMPTY;

	(void)state;
	bundle_write_head(&c, &b, &h);
	struct view bytes = view_of(b.ptr + BUNDLE_START_BYTES + BUNDLE_PIECE_HEAD_BYTES, b.len - BUNDLE_START_BYTES - BUNDLE_PIECE_HEAD_BYTES);

	assert_cuts_refused(bytes, decode_head, NULL);
	assert_trailing_refused(bytes, decode_head, NULL);
	static const struct { size_t at; uint8_t x; } bad[] = {{33, 0} /* no site */, {70 - 8, 4} /* precedence */, {70 - 7, 2} /* flags */, {70 - 7, 1} /* all, and sites */,
							       {70 - 1, 3} /* not rising */};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		uint8_t *at = b.ptr + BUNDLE_START_BYTES + BUNDLE_PIECE_HEAD_BYTES + bad[i].at, was = *at;

		*at = bad[i].x;
		assert_int_equal(bundle_head_decode(bytes, &h), ERR_FORMAT);
		*at = was;
	}
	assert_int_equal(bundle_head_decode(bytes, &h), ERR_OK);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(the_bytes_are_those_of_the_readme),
		cmocka_unit_test(torn_at_any_byte_it_is_refused),
		cmocka_unit_test(altered_in_any_bit_it_is_refused),
		cmocka_unit_test(state_comes_first),
		cmocka_unit_test(a_piece_that_is_left_out_is_missed),
		cmocka_unit_test(the_signature_is_of_that_site_and_network),
		cmocka_unit_test(heads_are_judged),
	};
	uint8_t seed[32] = {1};

	sign_keypair(seed, &pub, &sec);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
