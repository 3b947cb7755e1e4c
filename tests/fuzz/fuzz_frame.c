/* Frames between nodes, with everything inside: what is taken is walked to its end and, written again, is the same bytes. */
#include "proto/frame.h"
#include "tests/lib/fuzz_driver.h"

/* ---- seeds ---------------------------------------------------------------------------------------------------- */

static void seed_hello(struct buf *out, enum frame_type t)
{
	struct hello h = {.site = 13, .protocol_min = 1, .protocol_max = 1, .lane = LANE_BULK, .incarnation = {1626300000000000, {1}},
			  .now = {1626300300000000}, .roster_serial = 7, .bearer = view_str("satellite")};

	frame_hello(out, t, &h);
}

static void seed_frontiers(struct buf *out)
{
	struct frontier f = {.stream = {.originator = 13, .incarnation = {1626300000000000, {1}}, .addressee = 15}, .number = 90,
			     .not_whole = 3, .missing = {3, 50, 90}};

	frame_frontiers_begin(out, 13);
	frontier_add(out, &f);
	f.not_whole = 0;
	frontier_add(out, &f);
}

static void seed_acks(struct buf *out)
{
	struct ack a = {.stream = {1, 2}, .chain = {3, 4}, .number = 90, .not_whole = 3, .missing = {3, 50, 90}};

	frame_begin(out, FRAME_ACKS);
	ack_add(out, &a);
	a.not_whole = 0;
	ack_add(out, &a);
}

/* One whole entry, one whose body comes later, one stub; then two leaves of the tail. */
static void seed_segment(struct buf *out, enum frame_type t)
{
	struct stream_name name = {.originator = 13, .incarnation = {1626300000000000, {1}}, .addressee = 15, .precedence = PREC_FLASH};
	struct header h = {.kind = KIND_MESSAGE, .precedence = PREC_FLASH, .originator = 13, .sent = {1626300300000000}};
	uint8_t header[HEADER_BYTES];
	struct entry e = {.header = view_of(header, sizeof header), .envelope = view_str("a sealed envelope"), .body = view_str("a sealed body")};
	struct hash tail[2] = {{{1}}, {{2}}};
	struct head head = {.number = 9};
	struct segment_writer w;

	header_encode(&h, header);
	entry_hash(&e);
	frame_begin(out, t);
	if (t == FRAME_SEGMENT_AFTER)
		buf_add(out, view_of(tail[0].b, HASH_BYTES));
	segment_begin(&w, out, &name, 5);
	segment_add(&w, &e);
	e.body = view_of(NULL, 0);
	segment_add(&w, &e);
	e.flags = ENTRY_STUB;
	segment_add(&w, &e);
	segment_end(&w, tail, 2, &head);
}

bool fuzz_seed(unsigned n, struct buf *out)
{
	struct digest_line lines[2] = {{13, {{1}}}, {14, {{2}}}};
	struct part want = {.kind = PART_CHUNK, .index = 3, .count = 8, .rank = 1, .flags = WANT_LOST};
	struct part part = {.kind = PART_WHOLE, .offset = 2, .total = 9, .mark = 7, .bytes = view_str("a part")};
	struct want_entry want_entry = {.stream = {.originator = 13, .addressee = 15}, .number = 7, .offset = 2, .flags = WANT_LOST};
	struct probe probe = {42, {1}};
	struct nudge nudge = {42, {1}};
	struct state_frame state_part = {.name = {3, {{5}}}, .offset = 2, .bytes = 6, .total = 9, .blob = view_str("a part")};
	struct state_name first = {0}, last = STATE_NAME_LAST;
	struct state_item items[2] = {{{1, {{5}}}, false}, {{2, {{4}}}, true}};
	struct key_name names[2] = {{{.originator = 13, .addressee = 15}, 7}, {{.originator = 12, .addressee = 15, .exercise = 1}, 8}};
	uint8_t grant[GRANT_BYTES_FOR_ONE] = {1};

	switch (n) {
	case 0: seed_hello(out, FRAME_HELLO); break;
	case 1: seed_hello(out, FRAME_WELCOME); break;
	case 2: frame_digest(out, lines, 2); break;
	case 3: seed_frontiers(out); break;
	case 4: seed_segment(out, FRAME_SEGMENT); break;
	case 5: frame_want(out, &want); break;
	case 6: frame_part(out, &part); break;
	case 7: frame_probe(out, FRAME_PROBE, &probe); break;
	case 8: frame_begin(out, FRAME_VECTOR); break;
	case 9: frame_state_offer(out, &last.id, true, &first, &last, items, 2); break;
	case 10: frame_state_give(out, &first.id, 1, view_str("an order")); break;
	case 11: frame_state_tell(out, &first.id); break;
	case 12: frame_keys_want(out, names, 2); break;
	case 13: frame_keys_give(out, names, view_of(grant, sizeof grant)); break;
	case 14: frame_nudge(out, FRAME_NUDGE, &nudge); break;
	case 15: seed_acks(out); break;
	case 16: frame_state_show(out, &first.id, 7, &last.id); break;
	case 17: frame_state_want(out, &first.id, &items[0].name, 4096, 2048); break;
	case 18: frame_state_part(out, &first.id, &state_part); break;
	case 19: frame_got(out, 9); break;
	case 20: frame_not_here(out, &last.id); break;
	case 21: frame_want_entry(out, &want_entry); break;
	case 22: seed_segment(out, FRAME_SEGMENT_AFTER); break;
	case 23: seed_segment(out, FRAME_SEGMENT_AGAIN); break;
	default: return false;
	}
	return true;
}

/* ---- target ---------------------------------------------------------------------------------------------------- */

static void write_digest(const struct frame *f, struct buf *out)
{
	static struct digest_line lines[LIMIT_SITES];
	struct view rest = f->u.digest.lines;
	size_t n = 0;

	for (; rest.len > 0; n++)
		fuzz_assert(digest_line_next(&rest, &lines[n]) == ERR_OK);
	fuzz_assert(n == f->u.digest.n);
	frame_digest(out, lines, n);
}

static void write_frontiers(const struct frame *f, struct buf *out)
{
	struct view rest = f->u.frontiers.rest;
	struct frontier one;

	frame_frontiers_begin(out, f->u.frontiers.complete);
	while (rest.len > 0) {
		fuzz_assert(frontier_next(&rest, &one) == ERR_OK);
		frontier_add(out, &one);
	}
}

static void write_acks(struct view rest, struct buf *out)
{
	struct ack one;

	frame_begin(out, FRAME_ACKS);
	while (rest.len > 0) {
		fuzz_assert(ack_next(&rest, &one) == ERR_OK);
		ack_add(out, &one);
	}
}

/* A forged signature over whatever came must be the only thing that makes it fit. */
static void verify_segment(struct segment *s)
{
	static struct hash after[LIMIT_SEGMENT_ENTRIES];
	struct hash stream = stream_hash(&(struct hash){{7}}, &s->name);
	uint8_t seed[32] = {1};
	struct sign_public pub;
	struct sign_secret sec;

	sign_keypair(seed, &pub, &sec);
	fuzz_assert(segment_verify(&crypt_suite_fast, &pub, &stream, &stream, s, after, NULL) == ERR_AUTH);
	head_sign(&crypt_suite_fast, &sec, &stream, &s->head);
	fuzz_assert(segment_verify(&crypt_suite_fast, &pub, &stream, &stream, s, after, NULL) == ERR_OK);
}

static void write_segment(struct segment *s, enum frame_type t, const struct hash *before, struct buf *out)
{
	struct hash tail[LIMIT_HEAD_SPACING];
	struct view rest = s->entry_bytes;
	struct segment_writer w;
	struct entry e;
	struct header h;
	struct envelope env;

	frame_begin(out, t);
	if (before)
		buf_add(out, view_of(before->b, HASH_BYTES));
	segment_begin(&w, out, &s->name, s->first);
	for (unsigned i = 0; i < s->entries; i++) {
		fuzz_assert(segment_next(&rest, &e) == ERR_OK);
		fuzz_assert(header_decode(e.header, &h) == ERR_OK && header_fits(&h, &s->name));
		(void)!envelope_decode(e.envelope, &env);
		segment_add(&w, &e);
	}
	fuzz_assert(rest.len == 0);
	if (s->tail)
		memcpy(tail, s->tail_bytes.ptr, s->tail_bytes.len);
	segment_end(&w, tail, s->tail, &s->head);
}

static void write_state(const struct state_frame *f, struct buf *out)
{
	static struct state_item items[LIMIT_STATE_ITEMS];
	struct view rest = f->items;
	size_t n = 0;

	if (f->what == STATE_GIVE) {
		frame_state_give(out, &f->state, f->kind, f->blob);
		return;
	}
	if (f->what == STATE_TELL) {
		frame_state_tell(out, &f->state);
		return;
	}
	if (f->what == STATE_WANT) {
		frame_state_want(out, &f->state, &f->name, f->offset, f->bytes);
		return;
	}
	if (f->what == STATE_PART) {
		frame_state_part(out, &f->state, f);
		return;
	}
	if (f->what == STATE_SHOW) {
		frame_state_show(out, &f->state, f->serial, &f->roster);
		return;
	}
	for (; rest.len > 0; n++)
		fuzz_assert(state_item_next(&rest, &items[n]) == ERR_OK);
	fuzz_assert(n == f->n);
	frame_state_offer(out, &f->state, f->answer, &f->after, &f->until, items, n);
}

static void write_keys(const struct keys_frame *f, struct buf *out)
{
	struct key_name names[LIMIT_KEYS_WANTED];
	struct view rest = f->names;
	size_t n = 0;

	if (f->what == KEYS_GIVE) {
		frame_keys_give(out, &f->name, f->grant);
		return;
	}
	for (; rest.len > 0; n++)
		fuzz_assert(key_name_next(&rest, &names[n]) == ERR_OK);
	fuzz_assert(n == f->n);
	frame_keys_want(out, names, n);
}

static void write_again(struct frame *f, struct buf *out)
{
	switch (f->type) {
	case FRAME_HELLO:
	case FRAME_WELCOME:
		frame_hello(out, f->type, &f->u.hello);
		break;
	case FRAME_DIGEST:
		write_digest(f, out);
		break;
	case FRAME_FRONTIERS:
		write_frontiers(f, out);
		break;
	case FRAME_SEGMENT:
	case FRAME_SEGMENT_AGAIN:
		write_segment(&f->u.segment, f->type, NULL, out);
		break;
	case FRAME_SEGMENT_AFTER:
		write_segment(&f->u.after.segment, f->type, &f->u.after.before, out);
		break;
	case FRAME_AGAIN:
		frame_again(out, &f->u.again);
		break;
	case FRAME_WANT:
		frame_want(out, &f->u.part);
		break;
	case FRAME_PART:
		frame_part(out, &f->u.part);
		break;
	case FRAME_PROBE:
	case FRAME_PROBE_REPLY:
		frame_probe(out, f->type, &f->u.probe);
		break;
	case FRAME_NUDGE:
	case FRAME_NUDGE_REPLY:
		frame_nudge(out, f->type, &f->u.nudge);
		break;
	case FRAME_ACKS:
		write_acks(f->u.acks.rest, out);
		break;
	case FRAME_STATE:
		write_state(&f->u.state, out);
		break;
	case FRAME_KEYS:
		write_keys(&f->u.keys, out);
		break;
	case FRAME_FLOOR:
		frame_floor(out, &f->u.floor);
		break;
	case FRAME_BUSY:
		frame_busy(out, &f->u.busy);
		break;
	case FRAME_GOT:
		frame_got(out, f->u.got);
		break;
	case FRAME_NOT_HERE:
		frame_not_here(out, &f->u.not_here);
		break;
	case FRAME_WANT_ENTRY:
		frame_want_entry(out, &f->u.want_entry);
		break;
	default:
		frame_begin(out, f->type);
		buf_add(out, f->u.raw);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf again = BUF_EMPTY;
	struct frame f;

	if (frame_decode(view_of(data, len), &f))
		return -1;
	write_again(&f, &again);
	fuzz_assert(buf_ok(&again) && view_equal(buf_view(&again), view_of(data, len)));
	buf_release(&again);
	if (f.type == FRAME_SEGMENT || f.type == FRAME_SEGMENT_AGAIN)
		verify_segment(&f.u.segment);
	if (f.type == FRAME_SEGMENT_AFTER)
		verify_segment(&f.u.after.segment);
	return 0;
}
