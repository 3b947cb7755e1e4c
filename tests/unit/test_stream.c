/* Streams: the chain and the segments that carry it. What a relay changed, in any bit, is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/stream.h"
#include "tests/lib/codec.h"

#define RUN 12 /* entries of the signed run that the tests cut pieces from */

/* A stream of the site 13 to site 15 with RUN entries, some with a body, one with its body apart, one a stub. */
struct run {
	const struct crypt_suite *suite;
	struct sign_public pub;
	struct sign_secret sec;
	struct hash network, stream, leaf[RUN + 1], chain[RUN + 1];
	struct stream_name name;
	uint8_t header[RUN + 1][HEADER_BYTES], body[RUN + 1][40];
	struct entry entry[RUN + 1]; /* by number, from 1 */
};

static struct stream_name sample_name(void)
{
	return (struct stream_name){.originator = 13, .incarnation = {1626300000000000, {1, 2, 3, 4, 5, 6, 7, 8}}, .addressee = 15,
				    .precedence = PREC_FLASH, .exercise = 0};
}

static void make_entry(struct run *r, unsigned n)
{
	struct header h = {.kind = n % 5 ? KIND_MESSAGE : KIND_REPORT, .originator = 13, .roster = 1, .sent = {1626300000000000 + n}};
	struct entry *e = &r->entry[n];

	memset(h.id.b, (int)n, sizeof h.id.b);
	header_encode(&h, r->header[n]);
	memset(r->body[n], (int)(0x40 + n), sizeof r->body[n]);
	e->header = view_of(r->header[n], HEADER_BYTES);
	if (n % 3)
		e->envelope = view_of(r->body[n], 20);
	if (n % 4)
		e->body = view_of(r->body[n], sizeof r->body[n]);
	entry_hash(e);
	if (n == 2) /* comes in pieces later */
		e->body = view_of(NULL, 0);
	if (n == 5) /* nobody needs it any more */
		e->flags = ENTRY_STUB;
}

static void make_run(struct run *r, const struct crypt_suite *suite)
{
	uint8_t seed[32] = {42};

	memset(r, 0, sizeof *r);
	r->suite = suite;
	r->name = sample_name();
	memset(r->network.b, 0x77, HASH_BYTES);
	sign_keypair(seed, &r->pub, &r->sec);
	r->stream = stream_hash(&r->network, &r->name);
	r->chain[0] = r->stream;
	for (unsigned n = 1; n <= RUN; n++) {
		make_entry(r, n);
		r->leaf[n] = entry_leaf(&r->entry[n]);
		r->chain[n] = chain_next(&r->chain[n - 1], n, &r->leaf[n]);
	}
}

/* Writes entries first..last and the leaves up to the head at RUN. */
static void write_segment(const struct run *r, unsigned first, unsigned last, struct buf *out)
{
	struct head head = {.number = RUN, .chain = r->chain[RUN]};
	struct segment_writer w;
	size_t expect;

	head_sign(r->suite, &r->sec, &r->stream, &head);
	segment_begin(&w, out, &r->name, first);
	for (unsigned n = first; n <= last; n++) {
		expect = segment_bytes(&w) + segment_entry_bytes(&r->entry[n]);
		segment_add(&w, &r->entry[n]);
		assert_int_equal(segment_bytes(&w), expect);
	}
	segment_end(&w, &r->leaf[last + 1], (uint16_t)(RUN - last), &head);
	assert_true(buf_ok(out));
}

/* What a receiver does that holds everything before the segment. */
struct receiver {
	const struct run *run;
	struct hash stream, before;
	struct hash after[RUN];
};

static enum err receive(void *arg, struct view v)
{
	struct receiver *rx = arg;
	struct segment s;
	enum err e = segment_decode(v, &s);

	if (e)
		return e;
	if (s.entries > RUN || !stream_name_equal(&s.name, &rx->run->name))
		return ERR_CONFLICT; /* another stream, which this receiver would look up by its name */
	return segment_verify(rx->run->suite, &rx->run->pub, &rx->stream, &rx->before, &s, rx->after, NULL);
}

static struct receiver receiver_at(const struct run *r, unsigned holds)
{
	return (struct receiver){.run = r, .stream = r->stream, .before = r->chain[holds]};
}

static void each_piece_of_a_run_verifies(void **state)
{
	(void)state;
	struct run r;

	make_run(&r, &crypt_suite_real);
	for (unsigned first = 1; first <= RUN; first++)
		for (unsigned last = first; last <= RUN; last++) {
			struct buf b = BUF_EMPTY;
			struct receiver rx = receiver_at(&r, first - 1);

			write_segment(&r, first, last, &b);
			assert_int_equal(receive(&rx, buf_view(&b)), ERR_OK);
			for (unsigned n = first; n <= last; n++)
				assert_true(hash_equal(&rx.after[n - first], &r.chain[n]));
			buf_release(&b);
		}
}

static void entries_come_out_as_they_went_in(void **state)
{
	(void)state;
	struct run r;
	struct buf b = BUF_EMPTY;
	struct segment s;
	struct view rest;

	make_run(&r, &crypt_suite_fast);
	write_segment(&r, 1, 8, &b);
	assert_int_equal(segment_decode(buf_view(&b), &s), ERR_OK);
	assert_true(stream_name_equal(&s.name, &r.name));
	assert_int_equal(s.first, 1);
	assert_int_equal(s.entries, 8);
	assert_int_equal(s.tail, RUN - 8);
	assert_int_equal(s.head.number, RUN);
	rest = s.entry_bytes;
	for (unsigned n = 1; n <= 8; n++) {
		struct entry e;

		assert_int_equal(segment_next(&rest, &e), ERR_OK);
		assert_true(view_equal(e.header, r.entry[n].header));
		if (n != 5)
			assert_true(view_equal(e.envelope, r.entry[n].envelope) && view_equal(e.body, r.entry[n].body));
		assert_int_equal(e.body_len, r.entry[n].body_len);
		assert_true(hash_equal(&e.body_hash, &r.entry[n].body_hash));
		assert_true(hash_equal(&e.envelope_hash, &r.entry[n].envelope_hash));
		assert_int_equal(e.flags, n == 2 ? ENTRY_BODY_APART : n == 5 ? ENTRY_STUB : 0);
	}
	assert_int_equal(rest.len, 0);
	assert_int_equal(segment_next(&rest, &(struct entry){0}), ERR_TRUNCATED);
	buf_release(&b);
}

static void any_bit_changed_is_refused(void **state)
{
	(void)state;
	struct run r;
	struct buf b = BUF_EMPTY;
	struct receiver rx;

	make_run(&r, &crypt_suite_fast);
	write_segment(&r, 1, 6, &b);
	rx = receiver_at(&r, 0);
	assert_flips_refused(buf_view(&b), receive, &rx);
	buf_release(&b);
}

static void any_cut_and_any_tail_is_refused(void **state)
{
	(void)state;
	struct run r;
	struct buf b = BUF_EMPTY;
	struct receiver rx;

	make_run(&r, &crypt_suite_fast);
	write_segment(&r, 3, 7, &b);
	rx = receiver_at(&r, 2);
	assert_cuts_refused(buf_view(&b), receive, &rx);
	assert_trailing_refused(buf_view(&b), receive, &rx);
	buf_release(&b);
}

/* The same bytes for a receiver that stands elsewhere, in another stream or network, or knows another key. */
static void wrong_chain_stream_or_key_is_refused(void **state)
{
	(void)state;
	struct run r, other;
	struct buf b = BUF_EMPTY;
	struct receiver rx;
	struct stream_name name = sample_name();

	make_run(&r, &crypt_suite_real);
	write_segment(&r, 3, 7, &b);
	rx = receiver_at(&r, 1);
	assert_int_equal(receive(&rx, buf_view(&b)), ERR_AUTH);
	rx = receiver_at(&r, 2);
	name.addressee = 16;
	rx.stream = stream_hash(&r.network, &name);
	assert_int_equal(receive(&rx, buf_view(&b)), ERR_AUTH);
	rx = receiver_at(&r, 2);
	other = r;
	other.pub.b[5] ^= 1;
	rx.run = &other;
	assert_int_equal(receive(&rx, buf_view(&b)), ERR_AUTH);
	buf_release(&b);
}

static void streams_and_networks_have_hashes_of_their_own(void **state)
{
	(void)state;
	struct hash network = {{1}}, network2 = {{2}}, base, other;
	struct stream_name name = sample_name(), changed;

	base = stream_hash(&network, &name);
	other = stream_hash(&network2, &name);
	assert_false(hash_equal(&base, &other));
	for (int member = 0; member < 5; member++) {
		changed = name;
		changed.originator ^= member == 0;
		changed.incarnation.random[7] ^= member == 1;
		changed.addressee ^= member == 2;
		changed.precedence ^= member == 3;
		changed.exercise ^= member == 4;
		other = stream_hash(&network, &changed);
		assert_false(hash_equal(&base, &other));
	}
}

/* A stub of an entry, instead of the entry, is taken: it carries what the chain needs and says that it is one. */
static void stub_stands_for_its_entry(void **state)
{
	(void)state;
	struct run r;
	struct buf b = BUF_EMPTY;
	struct receiver rx;

	make_run(&r, &crypt_suite_fast);
	for (unsigned n = 1; n <= RUN; n++)
		r.entry[n].flags = ENTRY_STUB;
	write_segment(&r, 1, RUN, &b);
	rx = receiver_at(&r, 0);
	assert_int_equal(receive(&rx, buf_view(&b)), ERR_OK);
	buf_release(&b);
}

/* ---- limits and rules of the decoder ------------------------------------------------------------------ */

#define AT_FIRST STREAM_NAME_BYTES
#define AT_COUNT (AT_FIRST + 8)
#define AT_ENTRY (AT_COUNT + 2)

static void one_entry_segment(struct run *r, struct buf *b)
{
	make_run(r, &crypt_suite_fast);
	write_segment(r, RUN, RUN, b);
}

static enum err decode(struct buf *b)
{
	struct segment s;

	return segment_decode(buf_view(b), &s);
}

static void numbers_must_fit(void **state)
{
	(void)state;
	struct run r;
	struct buf b = BUF_EMPTY;

	one_entry_segment(&r, &b);
	assert_int_equal(decode(&b), ERR_OK);
	memset(b.ptr + AT_FIRST, 0, 8);
	assert_int_equal(decode(&b), ERR_RANGE);
	memset(b.ptr + AT_FIRST, 0xff, 8); /* first + entries would overflow */
	assert_int_equal(decode(&b), ERR_RANGE);
	b.ptr[AT_FIRST + 7] = RUN - 1;
	memset(b.ptr + AT_FIRST, 0, 7);
	assert_int_equal(decode(&b), ERR_RANGE);
	memset(b.ptr + AT_COUNT, 0, 2);
	assert_int_equal(decode(&b), ERR_RANGE);
	b.ptr[AT_COUNT] = (LIMIT_SEGMENT_ENTRIES + 1) >> 8;
	b.ptr[AT_COUNT + 1] = (LIMIT_SEGMENT_ENTRIES + 1) & 0xff;
	assert_int_equal(decode(&b), ERR_TOO_LARGE);
	buf_release(&b);
}

static void header_must_be_of_the_stream(void **state)
{
	(void)state;
	struct run r;
	struct buf b = BUF_EMPTY;

	one_entry_segment(&r, &b);
	b.ptr[AT_ENTRY + 1 + 3] = PREC_ROUTINE;
	assert_int_equal(decode(&b), ERR_FORMAT);
	b.ptr[AT_ENTRY + 1 + 3] = PREC_FLASH;
	b.ptr[AT_ENTRY + 1 + 22] = 14;
	assert_int_equal(decode(&b), ERR_FORMAT);
	b.ptr[AT_ENTRY + 1 + 22] = 13;
	b.ptr[AT_ENTRY + 1] = HEADER_VERSION + 1;
	assert_int_equal(decode(&b), ERR_VERSION);
	b.ptr[AT_ENTRY + 1] = HEADER_VERSION;
	b.ptr[AT_ENTRY] = ENTRY_STUB | ENTRY_BODY_APART;
	assert_int_equal(decode(&b), ERR_FORMAT);
	b.ptr[AT_ENTRY] = 4;
	assert_int_equal(decode(&b), ERR_FORMAT);
	buf_release(&b);
}

/* A body elsewhere has a hash and a size, or neither; a chunked one is never inline. */
static void body_elsewhere_must_be_whole(void **state)
{
	(void)state;
	struct run r;
	struct buf b = BUF_EMPTY;
	struct segment_writer w;
	struct head head = {.number = 1};

	make_run(&r, &crypt_suite_fast);
	r.entry[2].body_hash = (struct hash){{0}};
	segment_begin(&w, &b, &r.name, 1);
	segment_add(&w, &r.entry[2]);
	segment_end(&w, NULL, 0, &head);
	assert_int_equal(decode(&b), ERR_FORMAT);
	buf_clear(&b);
	r.header[1][2] = HEADER_CHUNKED;
	segment_begin(&w, &b, &r.name, 1);
	segment_add(&w, &r.entry[1]);
	segment_end(&w, NULL, 0, &head);
	assert_int_equal(decode(&b), ERR_FORMAT);
	buf_release(&b);
}

/* Entries of one segment: as large as the limit says, and not one byte more; one alone is only bound by its parts. */
static void segment_size_limit(void **state)
{
	(void)state;
	static uint8_t body[LIMIT_SEGMENT_BYTES];
	struct run r;

	make_run(&r, &crypt_suite_fast);
	for (unsigned entries = 1; entries <= 2; entries++)
		for (size_t more = 0; more <= 1; more++) {
			struct entry e = {.header = r.entry[1].header};
			struct head head = {.number = entries};
			struct buf b = BUF_EMPTY;
			struct segment_writer w;

			segment_begin(&w, &b, &r.name, 1);
			if (entries == 2)
				segment_add(&w, &r.entry[1]);
			e.body = view_of(body, LIMIT_SEGMENT_BYTES - segment_entry_bytes(&e) -
			                       (entries == 2 ? segment_entry_bytes(&r.entry[1]) : 0) + more);
			segment_add(&w, &e);
			segment_end(&w, NULL, 0, &head);
			assert_int_equal(decode(&b), more && entries == 2 ? ERR_TOO_LARGE : ERR_OK);
			buf_release(&b);
		}
}

static void tail_limit(void **state)
{
	(void)state;
	struct run r;
	struct hash tail[LIMIT_HEAD_SPACING] = {{{0}}};
	struct head head = {.number = LIMIT_HEAD_SPACING + 1};
	struct buf b = BUF_EMPTY;
	struct segment_writer w;
	size_t at_tail;

	make_run(&r, &crypt_suite_fast);
	segment_begin(&w, &b, &r.name, 1);
	segment_add(&w, &r.entry[1]);
	at_tail = b.len;
	segment_end(&w, tail, LIMIT_HEAD_SPACING, &head);
	assert_int_equal(decode(&b), ERR_OK);
	b.ptr[at_tail + 1]++;
	assert_int_equal(decode(&b), ERR_TOO_LARGE);
	buf_release(&b);
}

/* ---- golden vectors ----------------------------------------------------------------------------------- */

static void golden_chain_and_segment(void **state)
{
	(void)state;
	struct run r;
	struct buf b = BUF_EMPTY;

	make_run(&r, &crypt_suite_real);
	assert_hex(view_of(r.stream.b, HASH_BYTES), "8d7e43ac001ee7cc503f1ee52b6566964a5f644e06c4292b114159cdac4b4faa");
	assert_hex(view_of(r.chain[RUN].b, HASH_BYTES), "4f17644a8d2892712578088aba0232128f043c30eca0e4f6ebc7ffe9bb42f532");
	write_segment(&r, 11, 11, &b);
	assert_hex(buf_view(&b), 
		   "000d0005c71c79cc58000102030405060708000f0000000000000000000b00010001010000000b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b000d00000000"
		   "000000010005c71c79cc580b0000000000000000000000000000000000000000000000000000144b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b00"
		   "0000284b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b0001dbbc045d77b4bb4b25979332d7e1f1"
		   "5f0caa2b48a2f36c825916f63b8e7f7e54000000000000000c82ed6732ea7223218394b3985e5e721561ee30b8888143d482f265e757e17a89ff94bc"
		   "a7b933651c90c1676da5ed271ab453b89a77166866d6489458adc30d03");
	buf_release(&b);
}

/* ---- floors ------------------------------------------------------------------------------------------- */

static enum err decode_floor(void *arg, struct view v)
{
	struct run *r = arg;
	struct floor f;
	enum err e = floor_decode(v, &f);

	if (e)
		return e;
	return floor_verify(r->suite, &r->pub, &r->stream, &f) ? ERR_OK : ERR_AUTH;
}

static void floor_round_trip_and_refusals(void **state)
{
	(void)state;
	struct run r;
	struct floor f = {.number = 7, .site = 13}, back;
	uint8_t bytes[FLOOR_BYTES];

	make_run(&r, &crypt_suite_real);
	f.chain = r.chain[7];
	floor_sign(r.suite, &r.sec, &r.stream, &f);
	floor_encode(&f, bytes);
	assert_int_equal(floor_decode(view_of(bytes, sizeof bytes), &back), ERR_OK);
	assert_int_equal(back.number, 7);
	assert_int_equal(back.site, 13);
	assert_true(hash_equal(&back.chain, &f.chain));
	assert_cuts_refused(view_of(bytes, sizeof bytes), decode_floor, &r);
	assert_trailing_refused(view_of(bytes, sizeof bytes), decode_floor, &r);
	assert_flips_refused(view_of(bytes, sizeof bytes), decode_floor, &r);
	assert_hex(view_of(bytes, sizeof bytes), 
		   "0000000000000007aabe05095bd8abe5f83f98a8ac2600fd859f2fa99764e8049eb5ac63eddc9e82000d8be0f4ec56fe067b5c801cfa1d206b620da5"
		   "f4496b9e731d45aeb388bb31941950c48cfc0b072e162d60ab6873dafd69a2f63113da1842f02ae88d37ec52780b");
	memset(bytes + 40, 0, 2);
	assert_int_equal(decode_floor(&r, view_of(bytes, sizeof bytes)), ERR_FORMAT);
}

/* A signature of one kind is none of another: a head's bytes signed as a floor are worth nothing. */
static void head_and_floor_do_not_stand_for_each_other(void **state)
{
	(void)state;
	struct run r;
	struct floor f = {.number = 7, .site = 13};
	struct head h = {.number = 7};

	make_run(&r, &crypt_suite_real);
	f.chain = h.chain = r.chain[7];
	floor_sign(r.suite, &r.sec, &r.stream, &f);
	h.signature = f.signature;
	assert_false(head_verify(r.suite, &r.pub, &r.stream, &h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_piece_of_a_run_verifies),
		cmocka_unit_test(entries_come_out_as_they_went_in),
		cmocka_unit_test(any_bit_changed_is_refused),
		cmocka_unit_test(any_cut_and_any_tail_is_refused),
		cmocka_unit_test(wrong_chain_stream_or_key_is_refused),
		cmocka_unit_test(streams_and_networks_have_hashes_of_their_own),
		cmocka_unit_test(stub_stands_for_its_entry),
		cmocka_unit_test(numbers_must_fit),
		cmocka_unit_test(header_must_be_of_the_stream),
		cmocka_unit_test(body_elsewhere_must_be_whole),
		cmocka_unit_test(segment_size_limit),
		cmocka_unit_test(tail_limit),
		cmocka_unit_test(golden_chain_and_segment),
		cmocka_unit_test(floor_round_trip_and_refusals),
		cmocka_unit_test(head_and_floor_do_not_stand_for_each_other),
	};

	if (crypt_start())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
