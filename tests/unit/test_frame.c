/* Frames between nodes: each type there and back, and nothing of a malformed one taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/frame.h"
#include "proto/order.h"
#include "tests/lib/codec.h"

static enum err decode(void *arg, struct view v)
{
	(void)arg;
	struct frame f;

	return frame_decode(v, &f);
}

static void refuses_cuts_and_tails(struct buf *b)
{
	assert_cuts_refused(buf_view(b), decode, NULL);
	assert_trailing_refused(buf_view(b), decode, NULL);
}

/* Decodes a frame with one byte changed. */
static enum err with(const struct buf *b, size_t at, uint8_t value)
{
	uint8_t old = b->ptr[at];
	enum err e;

	b->ptr[at] = value;
	e = decode(NULL, buf_view(b));
	b->ptr[at] = old;
	return e;
}

static struct hello sample_hello(void)
{
	struct hello h = {.site = 13, .protocol_min = PROTOCOL_MIN, .protocol_max = PROTOCOL_MAX, .lane = LANE_BULK, .recovering = 1,
			  .incarnation = {1626300000000000, {1, 2, 3, 4, 5, 6, 7, 8}}, .now = {1626300300000000}, .roster_serial = 7,
			  .bearer = view_str("satellite")};

	memset(h.roster.b, 0x33, HASH_BYTES);
	memset(h.state.b, 0x44, HASH_BYTES);
	return h;
}

static void hello(void **state)
{
	(void)state;
	struct hello h = sample_hello();
	struct buf b = BUF_EMPTY;
	struct frame f;

	frame_hello(&b, FRAME_WELCOME, &h);
	assert_hex(buf_view(&b), "01 02 000d 01 03 01 01 0005c71c79cc5800 0102030405060708 0005c71c8badfb00 00000007"
				 " 3333333333333333333333333333333333333333333333333333333333333333"
				 " 4444444444444444444444444444444444444444444444444444444444444444 09 736174656c6c697465");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_WELCOME);
	assert_int_equal(f.u.hello.site, 13);
	assert_int_equal(f.u.hello.lane, LANE_BULK);
	assert_int_equal(f.u.hello.recovering, 1);
	assert_true(incarnation_equal(&f.u.hello.incarnation, &h.incarnation));
	assert_int_equal(f.u.hello.now.us, h.now.us);
	assert_int_equal(f.u.hello.roster_serial, 7);
	assert_true(hash_equal(&f.u.hello.roster, &h.roster));
	assert_true(hash_equal(&f.u.hello.state, &h.state));
	assert_true(view_equal(f.u.hello.bearer, h.bearer));
	refuses_cuts_and_tails(&b);
	assert_int_equal(with(&b, 3, 0), ERR_FORMAT);     /* no site has number 0 */
	assert_int_equal(with(&b, 4, 4), ERR_FORMAT);     /* min over max */
	assert_int_equal(with(&b, 6, LANE_COUNT), ERR_FORMAT);
	assert_int_equal(with(&b, 7, 2), ERR_FORMAT);
	assert_int_equal(with(&b, 8, 0x80), ERR_FORMAT);  /* times that would overflow */
	assert_int_equal(with(&b, 24, 0x7f), ERR_FORMAT);
	assert_int_equal(with(&b, b.len - 1, 'E'), ERR_FORMAT);
	buf_clear(&b);
	h.bearer = view_of(NULL, 0); /* an acceptor does not know what carries the connection */
	frame_hello(&b, FRAME_WELCOME, &h);
	assert_int_equal(decode(NULL, buf_view(&b)), ERR_OK);
	buf_release(&b);
}

static void digest(void **state)
{
	(void)state;
	struct digest_line lines[2] = {{13, {{1}}}, {14, {{2}}}}, back;
	struct buf b = BUF_EMPTY;
	struct frame f;
	struct view rest;

	frame_digest(&b, lines, 2);
	assert_hex(buf_view(&b), "01 03 0002 000d 0100000000000000000000000000000000000000000000000000000000000000"
				 " 000e 0200000000000000000000000000000000000000000000000000000000000000");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_DIGEST);
	assert_int_equal(f.u.digest.n, 2);
	rest = f.u.digest.lines;
	assert_int_equal(digest_line_next(&rest, &back), ERR_OK);
	assert_int_equal(back.originator, 13);
	assert_int_equal(digest_line_next(&rest, &back), ERR_OK);
	assert_int_equal(back.originator, 14);
	assert_int_equal(back.hash.b[0], 2);
	assert_int_equal(rest.len, 0);
	refuses_cuts_and_tails(&b);
	assert_int_equal(with(&b, 5, 0), ERR_FORMAT);
	assert_int_equal(with(&b, 2, (LIMIT_SITES >> 8) + 1), ERR_TOO_LARGE);
	buf_clear(&b);
	frame_digest(&b, NULL, 0);
	assert_int_equal(decode(NULL, buf_view(&b)), ERR_OK);
	buf_release(&b);
}

static void frontiers(void **state)
{
	(void)state;
	struct frontier f = {.stream = {.originator = 13, .addressee = 15}, .number = 4, .not_whole = 1, .missing = {2}}, back;
	struct buf b = BUF_EMPTY;
	struct frame frame;
	struct view rest;
	size_t one;

	frame_frontiers_begin(&b, 13);
	frontier_add(&b, &f);
	one = b.len;
	frontier_add(&b, &f);
	assert_int_equal(frame_decode(buf_view(&b), &frame), ERR_OK);
	assert_int_equal(frame.type, FRAME_FRONTIERS);
	assert_int_equal(frame.u.frontiers.complete, 13);
	rest = frame.u.frontiers.rest;
	assert_int_equal(frontier_next(&rest, &back), ERR_OK);
	assert_int_equal(frontier_next(&rest, &back), ERR_OK);
	assert_int_equal(back.missing[0], 2);
	assert_int_equal(rest.len, 0);
	for (size_t n = 0; n < b.len; n++) /* only a cut between two frontiers is a frame */
		assert_int_equal(decode(NULL, view_of(b.ptr, n)) == ERR_OK, n == one || n == 4);
	assert_trailing_refused(buf_view(&b), decode, NULL);
	buf_release(&b);
}

static void segment(void **state)
{
	(void)state;
	struct stream_name name = {.originator = 13, .addressee = 15, .precedence = PREC_FLASH};
	struct header h = {.kind = KIND_MESSAGE, .originator = 13, .precedence = PREC_FLASH};
	uint8_t header[HEADER_BYTES];
	struct entry e = {.header = view_of(header, sizeof header), .envelope = view_str("sealed")};
	struct head head = {.number = 5};
	struct segment_writer w;
	struct buf b = BUF_EMPTY;
	struct frame f;

	header_encode(&h, header);
	frame_begin(&b, FRAME_SEGMENT);
	segment_begin(&w, &b, &name, 5);
	segment_add(&w, &e);
	segment_end(&w, NULL, 0, &head);
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_SEGMENT);
	assert_int_equal(f.u.segment.first, 5);
	assert_int_equal(f.u.segment.head.number, 5);
	refuses_cuts_and_tails(&b);
	buf_release(&b);
}

/* ---- body parts --------------------------------------------------------------------------------------- */

static void want(void **state)
{
	(void)state;
	struct part p = {.kind = PART_CHUNK, .index = 3, .offset = 1024, .count = 8, .rank = PREC_COUNT + 1, .flags = WANT_LOST};
	struct buf b = BUF_EMPTY;
	struct frame f;

	memset(p.body.b, 0x99, HASH_BYTES);
	frame_want(&b, &p);
	assert_hex(buf_view(&b), "01 06 9999999999999999999999999999999999999999999999999999999999999999 03 00000003 00000400 00000008 05 01");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_WANT);
	assert_int_equal(f.u.part.kind, PART_CHUNK);
	assert_int_equal(f.u.part.index, 3);
	assert_int_equal(f.u.part.offset, 1024);
	assert_int_equal(f.u.part.count, 8);
	assert_int_equal(f.u.part.rank, PREC_COUNT + 1);
	assert_int_equal(f.u.part.flags, WANT_LOST);
	assert_int_equal(f.u.part.bytes.len, 0);
	refuses_cuts_and_tails(&b);
	assert_int_equal(with(&b, 34, PART_CHUNK + 1), ERR_FORMAT);
	assert_int_equal(with(&b, 34, PART_WHOLE), ERR_RANGE);  /* has no index 3 */
	assert_int_equal(with(&b, 36, 1), ERR_RANGE);           /* a chunk that no body has */
	assert_int_equal(with(&b, 40, 1), ERR_RANGE);           /* an offset that no chunk has */
	assert_int_equal(with(&b, b.len - 3, 0), ERR_RANGE);    /* no part at all */
	assert_int_equal(with(&b, b.len - 6, 0xff), ERR_RANGE); /* more than any body has */
	assert_int_equal(with(&b, b.len - 2, 2 * PREC_COUNT), ERR_RANGE);
	assert_int_equal(with(&b, b.len - 1, 4), ERR_FORMAT);
	buf_release(&b);
}

static void want_entry(void **state)
{
	(void)state;
	struct want_entry w = {.stream = {.originator = 13, .addressee = 15, .precedence = PREC_ROUTINE}, .number = 9, .offset = 1024, .rank = 3, .flags = WANT_LOST};
	struct buf b = BUF_EMPTY;
	struct frame f;

	memset(w.body.b, 0x99, HASH_BYTES);
	frame_want_entry(&b, &w);
	assert_int_equal(b.len, 2 + STREAM_NAME_BYTES + 8 + HASH_BYTES + 4 + 2);
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_WANT_ENTRY);
	assert_int_equal(f.u.want_entry.stream.addressee, 15);
	assert_int_equal(f.u.want_entry.number, 9);
	assert_true(hash_equal(&f.u.want_entry.body, &w.body));
	assert_int_equal(f.u.want_entry.offset, 1024);
	assert_int_equal(f.u.want_entry.rank, 3);
	assert_int_equal(f.u.want_entry.flags, WANT_LOST);
	refuses_cuts_and_tails(&b);
	assert_int_equal(with(&b, 2 + STREAM_NAME_BYTES + 7, 0), ERR_RANGE); /* no entry has number 0 */
	assert_int_equal(with(&b, b.len - 5, 0xff), ERR_RANGE);              /* an offset that no chunk has */
	assert_int_equal(with(&b, b.len - 2, 2 * PREC_COUNT), ERR_RANGE);
	assert_int_equal(with(&b, b.len - 1, WANT_END), ERR_FORMAT);
	buf_release(&b);
}

static void part(void **state)
{
	(void)state;
	struct part p = {.kind = PART_WHOLE, .offset = 2, .total = 7, .mark = 258, .bytes = view_str("piece")};
	struct buf b = BUF_EMPTY;
	struct frame f;

	memset(p.body.b, 0x99, HASH_BYTES);
	frame_part(&b, &p);
	assert_hex(buf_view(&b), "01 07 9999999999999999999999999999999999999999999999999999999999999999"
				 " 00 00000000 00000002 00000007 0000000000000102 00000005 7069656365");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_PART);
	assert_int_equal(f.u.part.offset, 2);
	assert_int_equal(f.u.part.total, 7);
	assert_int_equal(f.u.part.mark, 258);
	assert_true(view_equal(f.u.part.bytes, p.bytes));
	refuses_cuts_and_tails(&b);
	assert_int_equal(with(&b, 42, 3), ERR_RANGE);    /* runs over its total */
	assert_int_equal(with(&b, 46, 2), ERR_RANGE);    /* total ends before it begins */
	assert_int_equal(with(&b, 44, 0xff), ERR_RANGE); /* longer than any part */
	buf_clear(&b);
	p.offset = 0;
	p.total = 1;
	p.bytes.len = 1;
	frame_part(&b, &p);
	assert_int_equal(decode(NULL, buf_view(&b)), ERR_OK);
	b.ptr[58] = 0;
	assert_int_equal(decode(NULL, view_of(b.ptr, b.len - 1)), ERR_RANGE); /* a part of nothing */
	buf_release(&b);
}

static void got_and_not_here(void **state)
{
	(void)state;
	struct hash body;
	struct buf b = BUF_EMPTY;
	struct frame f;

	frame_got(&b, 0x1234);
	assert_hex(buf_view(&b), "01 14 0000000000001234");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_GOT);
	assert_int_equal(f.u.got, 0x1234);
	refuses_cuts_and_tails(&b);
	buf_clear(&b);
	memset(body.b, 0x99, HASH_BYTES);
	frame_not_here(&b, &body);
	assert_hex(buf_view(&b), "01 15 9999999999999999999999999999999999999999999999999999999999999999");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_NOT_HERE);
	assert_true(hash_equal(&f.u.not_here, &body));
	refuses_cuts_and_tails(&b);
	buf_clear(&b);
	frame_again(&b, &(struct again_frame){.stream = body, .number = 7});
	assert_hex(buf_view(&b), "01 16 9999999999999999999999999999999999999999999999999999999999999999 0000000000000007");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_AGAIN);
	assert_int_equal(f.u.again.number, 7);
	assert_true(hash_equal(&f.u.again.stream, &body));
	refuses_cuts_and_tails(&b);
	b.ptr[b.len - 1] = 0;
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_RANGE);
	buf_release(&b);
}

static void largest_part_travels_in_one_frame(void **state)
{
	(void)state;
	static uint8_t bytes[LIMIT_SEALED_CHUNK_BYTES];
	struct part p = {.kind = PART_CHUNK, .index = (uint32_t)LIMIT_CHUNKS - 1, .total = sizeof bytes, .bytes = view_of(bytes, sizeof bytes)};
	struct buf b = BUF_EMPTY;

	frame_part(&b, &p);
	assert_int_equal(decode(NULL, buf_view(&b)), ERR_OK);
	buf_release(&b);
	assert_int_equal(part_max_bytes(PART_CHUNK), LIMIT_SEALED_CHUNK_BYTES);
	assert_int_equal(part_max_count(PART_PAGE), LIMIT_MANIFEST_PAGES);
	assert_int_equal(part_max_bytes(PART_CHUNK + 1), 0);
	assert_int_equal(part_max_count(PART_CHUNK + 1), 0);
}

/* ---- the others --------------------------------------------------------------------------------------- */

static void probe(void **state)
{
	(void)state;
	struct probe p = {0x0102030405060708, sample_hello().state};
	struct buf b = BUF_EMPTY;
	struct frame f;

	frame_probe(&b, FRAME_PROBE_REPLY, &p);
	assert_hex(buf_view(&b), "01 09 0102030405060708 4444444444444444444444444444444444444444444444444444444444444444");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_PROBE_REPLY);
	assert_int_equal(f.u.probe.token, 0x0102030405060708);
	assert_true(hash_equal(&f.u.probe.state, &p.state));
	refuses_cuts_and_tails(&b);
	buf_release(&b);
}

static void state_offer(void **state)
{
	(void)state;
	struct hash hash = sample_hello().state;
	struct state_name first = {0}, until = STATE_NAME_LAST;
	struct state_item items[2] = {{{1, {{0x51}}}, false}, {{2, {{0x41}}}, true}}, back;
	struct buf b = BUF_EMPTY;
	struct frame f;
	struct view rest;

	frame_state_offer(&b, &hash, true, &first, &until, items, 2);
	assert_hex(buf_view(&b), "01 0a 01 4444444444444444444444444444444444444444444444444444444444444444"
				 " 01 000000000000000000000000000000000000000000000000000000000000000000"
				 " ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff 0002"
				 " 01 5100000000000000000000000000000000000000000000000000000000000000 00"
				 " 02 4100000000000000000000000000000000000000000000000000000000000000 01");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.u.state.what, STATE_OFFER);
	assert_true(hash_equal(&f.u.state.state, &hash));
	assert_true(f.u.state.answer);
	assert_int_equal(f.u.state.n, 2);
	assert_int_equal(state_name_compare(&f.u.state.after, &first), 0);
	assert_int_equal(state_name_compare(&f.u.state.until, &until), 0);
	rest = f.u.state.items;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(state_item_next(&rest, &back), ERR_OK);
		assert_int_equal(state_name_compare(&back.name, &items[i].name), 0);
		assert_int_equal(back.declined, items[i].declined);
	}
	assert_int_equal(rest.len, 0);
	refuses_cuts_and_tails(&b);
	assert_int_equal(with(&b, 2, 4), ERR_FORMAT);   /* none of the three */
	assert_int_equal(with(&b, 35, 2), ERR_FORMAT);  /* a flag that is none */
	assert_int_equal(with(&b, 36, 2), ERR_FORMAT);  /* a name before the range */
	assert_int_equal(with(&b, 69, 1), ERR_FORMAT);  /* and one behind it */
	assert_int_equal(with(&b, 102, 5), ERR_TOO_LARGE);
	assert_int_equal(with(&b, 104, 0), ERR_FORMAT); /* no kind */
	assert_int_equal(with(&b, 104, 3), ERR_FORMAT); /* names that fall */
	assert_int_equal(with(&b, 137, 2), ERR_FORMAT); /* declined, perhaps */
	buf_clear(&b);
	frame_state_offer(&b, &hash, false, &first, &until, NULL, 0);
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_false(f.u.state.answer);
	b.ptr[36] = 255; /* a range that ends before it begins */
	memset(b.ptr + 37, 255, HASH_BYTES);
	b.ptr[69] = 1;
	assert_int_equal(decode(NULL, buf_view(&b)), ERR_FORMAT);
	buf_release(&b);
}

static void state_give(void **state)
{
	(void)state;
	static uint8_t blob[LIMIT_STATE_BYTES];
	struct hash hash = sample_hello().state;
	struct buf b = BUF_EMPTY;
	struct frame f;

	frame_state_give(&b, &hash, STATE_KIND_ORDER, view_str("signed"));
	assert_hex(buf_view(&b), "01 0a 02 4444444444444444444444444444444444444444444444444444444444444444 01 00000006 7369676e6564");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.u.state.what, STATE_GIVE);
	assert_true(hash_equal(&f.u.state.state, &hash));
	assert_int_equal(f.u.state.kind, STATE_KIND_ORDER);
	assert_true(view_equal(f.u.state.blob, view_str("signed")));
	refuses_cuts_and_tails(&b);
	assert_int_equal(with(&b, 35, 0), ERR_FORMAT);
	b.ptr[39] = 0;
	assert_int_equal(decode(NULL, view_of(b.ptr, 40)), ERR_FORMAT); /* nothing given */
	buf_clear(&b);
	frame_state_give(&b, &hash, 255, view_of(blob, sizeof blob)); /* the largest, of a kind from a newer version */
	assert_int_equal(decode(NULL, buf_view(&b)), ERR_OK);
	assert_int_equal(with(&b, 37, 1), ERR_TOO_LARGE);
	buf_clear(&b);
	frame_state_tell(&b, &hash);
	assert_hex(buf_view(&b), "01 0a 03 4444444444444444444444444444444444444444444444444444444444444444");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.u.state.what, STATE_TELL);
	assert_true(hash_equal(&f.u.state.state, &hash));
	refuses_cuts_and_tails(&b);
	buf_release(&b);
}

static void state_show(void **state)
{
	(void)state;
	struct hash hash, roster = {{9}};
	struct buf b = BUF_EMPTY;
	struct frame f;

	memset(hash.b, 0x44, HASH_BYTES);
	frame_state_show(&b, &hash, 7, &roster);
	assert_hex(buf_view(&b), "01 0a 04 4444444444444444444444444444444444444444444444444444444444444444 00000007"
				 " 0900000000000000000000000000000000000000000000000000000000000000");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.u.state.what, STATE_SHOW);
	assert_int_equal(f.u.state.serial, 7);
	assert_true(hash_equal(&f.u.state.roster, &roster) && hash_equal(&f.u.state.state, &hash));
	refuses_cuts_and_tails(&b);
	buf_release(&b);
}

static void state_parts(void **state)
{
	(void)state;
	struct state_name name = {3, {{0, 0, 0, 7, 9}}};
	struct state_frame part = {.name = name, .offset = 2, .bytes = 6, .total = 9, .blob = view_str("a part")};
	struct hash hash = {{0x44}};
	struct buf b = BUF_EMPTY;
	struct frame f;

	frame_state_want(&b, &hash, &name, 4096, 2048);
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_true(f.u.state.what == STATE_WANT && f.u.state.offset == 4096 && f.u.state.bytes == 2048);
	assert_int_equal(state_name_compare(&f.u.state.name, &name), 0);
	refuses_cuts_and_tails(&b);
	assert_int_equal(with(&b, 35, 0), ERR_FORMAT);
	assert_int_equal(with(&b, b.len - 4, 1), ERR_RANGE); /* more than a part may be */
	buf_clear(&b);
	frame_state_part(&b, &hash, &part);
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_true(f.u.state.what == STATE_PART && f.u.state.offset == 2 && f.u.state.bytes == 6 && f.u.state.total == 9);
	assert_true(view_equal(f.u.state.blob, part.blob));
	refuses_cuts_and_tails(&b);
	assert_int_equal(with(&b, 71, 7), ERR_RANGE);  /* it ends behind the whole */
	assert_int_equal(with(&b, 75, 9), ERR_RANGE);
	assert_int_equal(with(&b, 79, 0), ERR_RANGE);  /* nothing of something */
	buf_clear(&b);
	part = (struct state_frame){.name = name};
	frame_state_part(&b, &hash, &part);
	assert_int_equal(decode(NULL, buf_view(&b)), ERR_OK);
	assert_int_equal(with(&b, 75, 1), ERR_FORMAT); /* something of nothing */
	buf_release(&b);
}

static void nudge(void **state)
{
	(void)state;
	struct nudge n = {.token = 0x0123456789abcdef, .hint = {1, 2, 3, 4, 5, 6, 7, 8}};
	struct buf b = BUF_EMPTY;
	struct frame f;

	frame_nudge(&b, FRAME_NUDGE_REPLY, &n);
	assert_hex(buf_view(&b), "01 12 0123456789abcdef 0102030405060708");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_NUDGE_REPLY);
	assert_true(f.u.nudge.token == n.token);
	assert_memory_equal(f.u.nudge.hint, n.hint, sizeof n.hint);
	refuses_cuts_and_tails(&b);
	buf_release(&b);
}

static void acks(void **state)
{
	(void)state;
	struct ack a = {.stream = {1, 2, 3, 4, 5, 6, 7, 8}, .chain = {9, 9, 9, 9, 9, 9, 9, 9}, .number = 300, .not_whole = 2, .missing = {7, 300}}, back;
	struct buf b = BUF_EMPTY;
	struct frame f;
	struct view rest;

	frame_begin(&b, FRAME_ACKS);
	ack_add(&b, &a);
	assert_hex(buf_view(&b), "01 10 0102030405060708 0909090909090909 ac02 02 07 a502");
	size_t one = b.len;

	assert_int_equal(with(&b, 20, 65), ERR_TOO_LARGE);  /* more that are not whole than there may be */
	assert_int_equal(with(&b, 21, 0), ERR_FORMAT);      /* twice the same */
	assert_int_equal(with(&b, 22, 0xa6), ERR_FORMAT);   /* beyond the frontier */
	assert_int_equal(with(&b, 23, 0), ERR_FORMAT);      /* not the shortest number */
	a.not_whole = 0;
	ack_add(&b, &a);
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_ACKS);
	rest = f.u.acks.rest;
	assert_int_equal(ack_next(&rest, &back), ERR_OK);
	assert_true(back.number == 300 && back.not_whole == 2 && back.missing[0] == 7 && back.missing[1] == 300);
	assert_memory_equal(back.stream, a.stream, sizeof a.stream);
	assert_memory_equal(back.chain, a.chain, sizeof a.chain);
	assert_int_equal(ack_next(&rest, &back), ERR_OK);
	assert_true(back.not_whole == 0 && rest.len == 0);
	for (size_t n = 0; n < b.len; n++) /* only a cut between two is a frame */
		assert_int_equal(decode(NULL, view_of(b.ptr, n)) == ERR_OK, n == one);
	buf_release(&b);
}

static void keys(void **state)
{
	(void)state;
	struct key_name names[2] = {{{.originator = 13, .incarnation = {1626300000000000, {1}}, .addressee = 15, .precedence = PREC_ROUTINE}, 7},
				    {{.originator = 12, .incarnation = {1626300000000000, {2}}, .addressee = 15, .exercise = 1}, 8}}, back;
	uint8_t grant[GRANT_BYTES_FOR_ONE] = {1};
	struct buf b = BUF_EMPTY;
	struct frame f;
	struct view rest;

	frame_keys_want(&b, names, 2);
	assert_hex(buf_view(&b), "01 0d 01 0002 000d 0005c71c79cc5800 0100000000000000 000f 03 00 0000000000000007"
				 " 000c 0005c71c79cc5800 0200000000000000 000f 00 01 0000000000000008");
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.u.keys.what, KEYS_WANT);
	assert_int_equal(f.u.keys.n, 2);
	rest = f.u.keys.names;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(key_name_next(&rest, &back), ERR_OK);
		assert_true(stream_name_equal(&back.stream, &names[i].stream));
		assert_int_equal(back.number, names[i].number);
	}
	assert_int_equal(rest.len, 0);
	refuses_cuts_and_tails(&b);
	assert_int_equal(with(&b, 2, 3), ERR_FORMAT);
	assert_int_equal(with(&b, 3, 1), ERR_TOO_LARGE);
	assert_int_equal(with(&b, 6, 0), ERR_FORMAT);          /* no site has number 0 */
	assert_int_equal(with(&b, b.len - 1, 0), ERR_FORMAT);  /* nor an entry */
	b.ptr[4] = 0;
	assert_int_equal(decode(NULL, view_of(b.ptr, 5)), ERR_FORMAT); /* nothing asked for */
	buf_clear(&b);
	frame_keys_give(&b, &names[0], view_of(grant, sizeof grant));
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.u.keys.what, KEYS_GIVE);
	assert_true(stream_name_equal(&f.u.keys.name.stream, &names[0].stream));
	assert_int_equal(f.u.keys.name.number, 7);
	assert_true(view_equal(f.u.keys.grant, view_of(grant, sizeof grant)));
	refuses_cuts_and_tails(&b);
	buf_release(&b);
}

static void raw(void **state)
{
	(void)state;
	static const enum frame_type types[] = {FRAME_VECTOR, FRAME_HEADS};
	struct buf b = BUF_EMPTY;
	struct frame f;

	for (size_t i = 0; i < 2; i++) {
		buf_clear(&b);
		frame_begin(&b, types[i]);
		buf_add(&b, view_str("signed apart"));
		assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
		assert_int_equal(f.type, types[i]);
		assert_true(view_equal(f.u.raw, view_str("signed apart")));
	}
	buf_release(&b);
}

static void versions_types_and_size(void **state)
{
	(void)state;
	static uint8_t bytes[LIMIT_FRAME_BYTES + 1] = {FRAME_VERSION, FRAME_VECTOR};

	assert_int_equal(decode(NULL, view_of(bytes, LIMIT_FRAME_BYTES)), ERR_OK);
	assert_int_equal(decode(NULL, view_of(bytes, LIMIT_FRAME_BYTES + 1)), ERR_TOO_LARGE);
	assert_int_equal(decode(NULL, view_of(NULL, 0)), ERR_TRUNCATED);
	assert_int_equal(decode(NULL, view_of("\0\1", 2)), ERR_FORMAT);
	assert_int_equal(decode(NULL, view_of("\2\1", 2)), ERR_VERSION);
	assert_int_equal(decode(NULL, view_of("\1\0", 2)), ERR_UNSUPPORTED);
	assert_int_equal(decode(NULL, view_of("\1\100", 2)), ERR_UNSUPPORTED);
	assert_string_equal(lane_name(LANE_URGENT), "urgent");
	assert_string_equal(lane_name(LANE_BULK), "bulk");
	assert_string_equal(lane_name(LANE_COUNT), "?");
}

static void floors_and_refusals(void **state)
{
	struct floor_frame floor = {.stream = {.incarnation = {.born_us = 5}, .originator = 3, .addressee = 4, .precedence = PREC_FLASH}, .grant = 6};
	struct busy_frame busy = {.stream = floor.stream, .held = 17, .wait_ms = 10000, .why = BUSY_ROOM};
	struct buf b = BUF_EMPTY;
	struct frame f;

	(void)state;
	floor.floor = (struct floor){.number = 9, .site = 4, .chain = {{1}}, .signature = {{2}}};
	frame_floor(&b, &floor);
	assert_int_equal(b.len, 2 + FLOOR_FRAME_BYTES);
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_FLOOR);
	assert_true(stream_name_equal(&f.u.floor.stream, &floor.stream));
	assert_int_equal(f.u.floor.floor.number, 9);
	assert_int_equal(f.u.floor.floor.site, 4);
	assert_int_equal(f.u.floor.grant, 6);
	for (size_t n = 0; n < b.len; n++)
		assert_int_not_equal(frame_decode(view_of(b.ptr, n), &f), ERR_OK);
	floor.grant = 10;
	buf_clear(&b);
	frame_floor(&b, &floor);
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_RANGE);
	buf_clear(&b);
	frame_busy(&b, &busy);
	assert_int_equal(frame_decode(buf_view(&b), &f), ERR_OK);
	assert_int_equal(f.type, FRAME_BUSY);
	assert_true(stream_name_equal(&f.u.busy.stream, &busy.stream));
	assert_int_equal(f.u.busy.held, 17);
	assert_int_equal(f.u.busy.wait_ms, 10000);
	assert_int_equal(f.u.busy.why, BUSY_ROOM);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello),
		cmocka_unit_test(digest),
		cmocka_unit_test(frontiers),
		cmocka_unit_test(segment),
		cmocka_unit_test(want),
		cmocka_unit_test(want_entry),
		cmocka_unit_test(part),
		cmocka_unit_test(got_and_not_here),
		cmocka_unit_test(largest_part_travels_in_one_frame),
		cmocka_unit_test(probe),
		cmocka_unit_test(state_offer),
		cmocka_unit_test(state_give),
		cmocka_unit_test(state_show),
		cmocka_unit_test(state_parts),
		cmocka_unit_test(nudge),
		cmocka_unit_test(acks),
		cmocka_unit_test(keys),
		cmocka_unit_test(floors_and_refusals),
		cmocka_unit_test(raw),
		cmocka_unit_test(versions_types_and_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
