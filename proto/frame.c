#include "proto/frame.h"

#include "proto/cursor.h"
#include "proto/order.h"

#define DIGEST_LINE_BYTES (2 + HASH_BYTES)
#define OFFER_ANSWER 1
#define WANT_FLAGS (WANT_LOST | WANT_END)

static_assert(STATE_ITEM_BYTES * LIMIT_STATE_ITEMS + 128 <= LIMIT_FRAME_BYTES, "a full offer travels in one frame");
static_assert(KEY_NAME_BYTES * LIMIT_KEYS_WANTED + 128 <= LIMIT_FRAME_BYTES, "as many keys as may be asked for travel in one frame");
static_assert(LIMIT_STATE_BYTES + 128 <= LIMIT_FRAME_BYTES, "a state object travels in one frame");

const char *lane_name(unsigned lane)
{
	static const char *const names[LANE_COUNT] = {"urgent", "bulk"};

	return lane < LANE_COUNT ? names[lane] : "?";
}

uint8_t frame_protocol(enum frame_type t)
{
	switch (t) {
	case FRAME_ACKS: case FRAME_NUDGE: case FRAME_NUDGE_REPLY: return PROTOCOL_SHORT;
	case FRAME_WANT_ENTRY: return PROTOCOL_SLICES;
	default: return PROTOCOL_MIN;
	}
}

static const struct part_limit {
	uint32_t count, bytes;
} part_limits[] = {
	[PART_WHOLE] = {1, LIMIT_SEALED_CHUNK_BYTES},
	[PART_MANIFEST] = {1, MANIFEST_MAX_BYTES},
	[PART_PAGE] = {LIMIT_MANIFEST_PAGES, LIMIT_LEAVES_PER_PAGE * HASH_BYTES},
	[PART_CHUNK] = {(uint32_t)LIMIT_CHUNKS, LIMIT_SEALED_CHUNK_BYTES},
};
#define PART_KINDS (sizeof part_limits / sizeof part_limits[0])

uint32_t part_max_bytes(unsigned kind)
{
	return kind < PART_KINDS ? part_limits[kind].bytes : 0;
}

uint32_t part_max_count(unsigned kind)
{
	return kind < PART_KINDS ? part_limits[kind].count : 0;
}

/* ---- encoding ----------------------------------------------------------------------------------------- */

void frame_begin(struct buf *out, enum frame_type t)
{
	buf_add_u8(out, FRAME_VERSION);
	buf_add_u8(out, (uint8_t)t);
}

/* Who accepts a connection need not know what carries it. */
static bool bearer_ok(struct view bearer)
{
	return bearer.len == 0 || view_is_name(bearer);
}

void frame_hello(struct buf *out, enum frame_type hello_or_welcome, const struct hello *h)
{
	assert(hello_or_welcome == FRAME_HELLO || hello_or_welcome == FRAME_WELCOME);
	assert(h->lane < LANE_COUNT && bearer_ok(h->bearer));
	frame_begin(out, hello_or_welcome);
	buf_add_u16(out, h->site);
	buf_add_u8(out, h->protocol_min);
	buf_add_u8(out, h->protocol_max);
	buf_add_u8(out, h->lane);
	buf_add_u8(out, h->recovering != 0);
	buf_add_u64(out, (uint64_t)h->incarnation.born_us);
	buf_add(out, view_of(h->incarnation.random, sizeof h->incarnation.random));
	buf_add_u64(out, (uint64_t)(h->now.us < 0 ? 0 : h->now.us > LIMIT_WALL_US ? LIMIT_WALL_US : h->now.us));
	buf_add_u32(out, h->roster_serial);
	buf_add(out, view_of(h->roster.b, HASH_BYTES));
	buf_add(out, view_of(h->state.b, HASH_BYTES));
	buf_add_u8(out, (uint8_t)h->bearer.len);
	buf_add(out, h->bearer);
}

void frame_digest(struct buf *out, const struct digest_line *lines, size_t n)
{
	assert(n <= LIMIT_SITES);
	frame_begin(out, FRAME_DIGEST);
	buf_add_u16(out, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		buf_add_u16(out, lines[i].originator);
		buf_add(out, view_of(lines[i].hash.b, HASH_BYTES));
	}
}

void frame_frontiers_begin(struct buf *out, uint16_t complete)
{
	frame_begin(out, FRAME_FRONTIERS);
	buf_add_u16(out, complete);
}

static void add_part_name(struct buf *out, enum frame_type t, const struct part *p)
{
	assert(p->kind < PART_KINDS);
	frame_begin(out, t);
	buf_add(out, view_of(p->body.b, HASH_BYTES));
	buf_add_u8(out, p->kind);
	buf_add_u32(out, p->index);
	buf_add_u32(out, p->offset);
}

void frame_want(struct buf *out, const struct part *p)
{
	assert(p->count > 0);
	assert(p->rank < 2 * PREC_COUNT && !(p->flags & ~WANT_FLAGS));
	add_part_name(out, FRAME_WANT, p);
	buf_add_u32(out, p->count);
	buf_add_u8(out, p->rank);
	buf_add_u8(out, p->flags);
}

void frame_part(struct buf *out, const struct part *p)
{
	assert(p->bytes.len > 0 && p->total <= part_max_bytes(p->kind) && p->offset <= p->total &&
	       p->bytes.len <= p->total - p->offset);
	add_part_name(out, FRAME_PART, p);
	buf_add_u32(out, p->total);
	buf_add_u64(out, p->mark);
	buf_add_u32(out, (uint32_t)p->bytes.len);
	buf_add(out, p->bytes);
}

void frame_again(struct buf *out, const struct again_frame *f)
{
	assert(f->number > 0);
	frame_begin(out, FRAME_AGAIN);
	buf_add(out, view_of(f->stream.b, HASH_BYTES));
	buf_add_u64(out, f->number);
}

void frame_got(struct buf *out, uint64_t mark)
{
	frame_begin(out, FRAME_GOT);
	buf_add_u64(out, mark);
}

void frame_not_here(struct buf *out, const struct hash *body)
{
	frame_begin(out, FRAME_NOT_HERE);
	buf_add(out, view_of(body->b, HASH_BYTES));
}

void frame_probe(struct buf *out, enum frame_type probe_or_reply, const struct probe *p)
{
	assert(probe_or_reply == FRAME_PROBE || probe_or_reply == FRAME_PROBE_REPLY);
	frame_begin(out, probe_or_reply);
	buf_add_u64(out, p->token);
	buf_add(out, view_of(p->state.b, HASH_BYTES));
}

void frame_nudge(struct buf *out, enum frame_type nudge_or_reply, const struct nudge *n)
{
	assert(nudge_or_reply == FRAME_NUDGE || nudge_or_reply == FRAME_NUDGE_REPLY);
	frame_begin(out, nudge_or_reply);
	buf_add_u64(out, n->token);
	buf_add(out, view_of(n->hint, sizeof n->hint));
}

void ack_add(struct buf *out, const struct ack *a)
{
	uint64_t last = 0;

	assert(a->not_whole <= LIMIT_NOT_WHOLE);
	buf_add(out, view_of(a->stream, sizeof a->stream));
	buf_add(out, view_of(a->chain, sizeof a->chain));
	buf_add_varint(out, a->number);
	buf_add_varint(out, a->not_whole);
	for (unsigned i = 0; i < a->not_whole; i++) {
		buf_add_varint(out, a->missing[i] - last);
		last = a->missing[i];
	}
}

int state_name_compare(const struct state_name *a, const struct state_name *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return memcmp(a->id.b, b->id.b, HASH_BYTES);
}

static void add_state_name(struct buf *out, const struct state_name *n)
{
	buf_add_u8(out, n->kind);
	buf_add(out, view_of(n->id.b, HASH_BYTES));
}

static void begin_state(struct buf *out, enum state_what what, const struct hash *state)
{
	frame_begin(out, FRAME_STATE);
	buf_add_u8(out, (uint8_t)what);
	buf_add(out, view_of(state->b, HASH_BYTES));
}

void frame_state_offer(struct buf *out, const struct hash *state, bool answer, const struct state_name *after, const struct state_name *until,
		       const struct state_item *items, size_t n)
{
	assert(n <= LIMIT_STATE_ITEMS);
	begin_state(out, STATE_OFFER, state);
	buf_add_u8(out, answer ? OFFER_ANSWER : 0);
	add_state_name(out, after);
	add_state_name(out, until);
	buf_add_u16(out, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		add_state_name(out, &items[i].name);
		buf_add_u8(out, items[i].declined);
	}
}

void frame_state_tell(struct buf *out, const struct hash *state)
{
	begin_state(out, STATE_TELL, state);
}

void frame_state_want(struct buf *out, const struct hash *state, const struct state_name *name, uint32_t offset, uint32_t bytes)
{
	assert(bytes && bytes <= LIMIT_STATE_PART_BYTES);
	begin_state(out, STATE_WANT, state);
	add_state_name(out, name);
	buf_add_u32(out, offset);
	buf_add_u32(out, bytes);
}

void frame_state_part(struct buf *out, const struct hash *state, const struct state_frame *f)
{
	assert(f->bytes <= LIMIT_STATE_PART_BYTES);
	begin_state(out, STATE_PART, state);
	add_state_name(out, &f->name);
	buf_add_u32(out, f->total);
	buf_add_u32(out, f->offset);
	buf_add_u32(out, f->bytes);
	buf_add_u8(out, f->method);
	buf_add_u8(out, f->dictionary);
	buf_add_u32(out, (uint32_t)f->blob.len);
	buf_add(out, f->blob);
}

void frame_state_show(struct buf *out, const struct hash *state, uint32_t serial, const struct hash *roster)
{
	begin_state(out, STATE_SHOW, state);
	buf_add_u32(out, serial);
	buf_add(out, view_of(roster->b, HASH_BYTES));
}

void frame_state_give(struct buf *out, const struct hash *state, uint8_t kind, struct view blob)
{
	assert(kind && blob.len && blob.len <= LIMIT_STATE_BYTES);
	begin_state(out, STATE_GIVE, state);
	buf_add_u8(out, kind);
	buf_add_u32(out, (uint32_t)blob.len);
	buf_add(out, blob);
}

static void add_key_name(struct buf *out, const struct key_name *n)
{
	uint8_t name[STREAM_NAME_BYTES];

	stream_name_encode(&n->stream, name);
	buf_add(out, view_of(name, sizeof name));
	buf_add_u64(out, n->number);
}

void frame_keys_want(struct buf *out, const struct key_name *names, size_t n)
{
	assert(n && n <= LIMIT_KEYS_WANTED);
	frame_begin(out, FRAME_KEYS);
	buf_add_u8(out, KEYS_WANT);
	buf_add_u16(out, (uint16_t)n);
	for (size_t i = 0; i < n; i++)
		add_key_name(out, &names[i]);
}

void frame_keys_give(struct buf *out, const struct key_name *name, struct view grant)
{
	assert(grant.len == GRANT_BYTES_FOR_ONE);
	frame_begin(out, FRAME_KEYS);
	buf_add_u8(out, KEYS_GIVE);
	add_key_name(out, name);
	buf_add(out, grant);
}

static void add_stream_name(struct buf *out, const struct stream_name *n)
{
	uint8_t name[STREAM_NAME_BYTES];

	stream_name_encode(n, name);
	buf_add(out, view_of(name, sizeof name));
}

void frame_floor(struct buf *out, const struct floor_frame *f)
{
	uint8_t floor[FLOOR_BYTES];

	floor_encode(&f->floor, floor);
	frame_begin(out, FRAME_FLOOR);
	add_stream_name(out, &f->stream);
	buf_add(out, view_of(floor, sizeof floor));
	buf_add_u64(out, f->grant);
}

void frame_want_entry(struct buf *out, const struct want_entry *w)
{
	assert(w->number && w->offset < part_max_bytes(PART_WHOLE) && w->rank < 2 * PREC_COUNT && !(w->flags & ~WANT_LOST));
	frame_begin(out, FRAME_WANT_ENTRY);
	add_stream_name(out, &w->stream);
	buf_add_u64(out, w->number);
	buf_add(out, view_of(w->body.b, HASH_BYTES));
	buf_add_u32(out, w->offset);
	buf_add_u8(out, w->rank);
	buf_add_u8(out, w->flags);
}

void frame_busy(struct buf *out, const struct busy_frame *f)
{
	frame_begin(out, FRAME_BUSY);
	add_stream_name(out, &f->stream);
	buf_add_u64(out, f->held);
	buf_add_u32(out, f->wait_ms);
	buf_add_u8(out, f->why);
}

/* ---- decoding ----------------------------------------------------------------------------------------- */

static void check(struct rd *r, bool good, enum err e)
{
	if (!r->err && !good)
		rd_fail(r, e);
}

/* So that no later sum or difference of times can overflow. */
static bool wall_ok(int64_t us)
{
	return us >= 0 && us <= LIMIT_WALL_US;
}

static void rd_hello(struct rd *r, struct hello *h)
{
	h->site = rd_u16(r);
	h->protocol_min = rd_u8(r);
	h->protocol_max = rd_u8(r);
	h->lane = rd_u8(r);
	h->recovering = rd_u8(r);
	h->incarnation.born_us = rd_i64(r);
	rd_copy(r, h->incarnation.random, sizeof h->incarnation.random);
	h->now.us = rd_i64(r);
	h->roster_serial = rd_u32(r);
	rd_copy(r, h->roster.b, HASH_BYTES);
	rd_copy(r, h->state.b, HASH_BYTES);
	h->bearer = rd_vec8(r, LIMIT_NAME_BYTES);
	check(r, wall_ok(h->incarnation.born_us) && wall_ok(h->now.us), ERR_FORMAT);
	check(r, h->site != 0 && h->protocol_min <= h->protocol_max, ERR_FORMAT);
	check(r, h->lane < LANE_COUNT && h->recovering <= 1 && bearer_ok(h->bearer), ERR_FORMAT);
}

static void rd_digest(struct rd *r, struct frame *out)
{
	struct digest_line line;
	struct view rest;

	out->u.digest.n = rd_u16(r);
	if (out->u.digest.n > LIMIT_SITES)
		rd_fail(r, ERR_TOO_LARGE);
	out->u.digest.lines = rd_bytes(r, (size_t)out->u.digest.n * DIGEST_LINE_BYTES);
	rest = out->u.digest.lines;
	while (!r->err && rest.len > 0)
		rd_fail(r, digest_line_next(&rest, &line));
}

static void rd_frontiers(struct rd *r, struct frame *out)
{
	struct frontier f;
	struct view rest;

	out->u.frontiers.complete = rd_u16(r);
	out->u.frontiers.rest = rd_bytes(r, rd_left(r));
	rest = out->u.frontiers.rest;
	while (!r->err && rest.len > 0)
		rd_fail(r, frontier_next(&rest, &f));
}

static void rd_part_name(struct rd *r, struct part *p)
{
	rd_copy(r, p->body.b, HASH_BYTES);
	p->kind = rd_u8(r);
	check(r, p->kind < PART_KINDS, ERR_FORMAT);
	p->index = rd_u32(r);
	check(r, p->index < part_max_count(p->kind), ERR_RANGE);
	p->offset = rd_u32(r);
	check(r, p->offset < part_max_bytes(p->kind), ERR_RANGE);
}

static void rd_want(struct rd *r, struct part *p)
{
	rd_part_name(r, p);
	p->count = rd_u32(r);
	check(r, p->count > 0 && p->count <= LIMIT_BODY_PARTS, ERR_RANGE);
	p->rank = rd_u8(r);
	check(r, p->rank < 2 * PREC_COUNT, ERR_RANGE);
	p->flags = rd_u8(r);
	check(r, !(p->flags & ~WANT_FLAGS), ERR_FORMAT);
}

static void rd_part(struct rd *r, struct part *p)
{
	rd_part_name(r, p);
	p->total = rd_u32(r);
	check(r, p->total > p->offset && p->total <= part_max_bytes(p->kind), ERR_RANGE);
	p->mark = rd_u64(r);
	p->bytes = rd_vec32(r, LIMIT_SEALED_CHUNK_BYTES);
	check(r, p->bytes.len > 0 && p->bytes.len <= p->total - p->offset, ERR_RANGE);
}

static void rd_segment(struct rd *r, struct segment *s)
{
	struct view bytes = rd_bytes(r, rd_left(r));

	rd_fail(r, segment_decode(bytes, s));
}

static void rd_probe(struct rd *r, struct probe *p)
{
	p->token = rd_u64(r);
	rd_copy(r, p->state.b, HASH_BYTES);
}

static void rd_nudge(struct rd *r, struct nudge *n)
{
	n->token = rd_u64(r);
	rd_copy(r, n->hint, sizeof n->hint);
}

static void rd_acks(struct rd *r, struct frame *out)
{
	struct ack a;
	struct view rest;

	out->u.acks.rest = rd_bytes(r, rd_left(r));
	rest = out->u.acks.rest;
	check(r, rest.len > 0, ERR_TRUNCATED);
	while (!r->err && rest.len > 0)
		rd_fail(r, ack_next(&rest, &a));
}

static void rd_state_name(struct rd *r, struct state_name *n)
{
	n->kind = rd_u8(r);
	rd_copy(r, n->id.b, HASH_BYTES);
}

/* Within (after, until], each greater than the one before. */
static void check_items(struct rd *r, const struct state_frame *f)
{
	struct state_name last = f->after;
	struct state_item item;
	struct view rest = f->items;

	while (!r->err && rest.len > 0) {
		rd_fail(r, state_item_next(&rest, &item));
		check(r, state_name_compare(&last, &item.name) < 0, ERR_FORMAT);
		last = item.name;
	}
	check(r, state_name_compare(&last, &f->until) <= 0, ERR_FORMAT);
}

static void rd_offer(struct rd *r, struct state_frame *f)
{
	uint8_t flags = rd_u8(r);

	check(r, flags <= OFFER_ANSWER, ERR_FORMAT);
	f->answer = flags & OFFER_ANSWER;
	rd_state_name(r, &f->after);
	rd_state_name(r, &f->until);
	f->n = rd_u16(r);
	check(r, f->n <= LIMIT_STATE_ITEMS, ERR_TOO_LARGE);
	f->items = rd_bytes(r, (size_t)f->n * STATE_ITEM_BYTES);
	check_items(r, f);
}

static void rd_given(struct rd *r, struct state_frame *f)
{
	f->kind = rd_u8(r);
	f->blob = rd_vec32(r, LIMIT_STATE_BYTES);
	check(r, f->kind != 0 && f->blob.len > 0, ERR_FORMAT);
}

static void rd_state_want(struct rd *r, struct state_frame *f)
{
	rd_state_name(r, &f->name);
	f->offset = rd_u32(r);
	f->bytes = rd_u32(r);
	check(r, f->name.kind != 0, ERR_FORMAT);
	check(r, f->bytes > 0 && f->bytes <= LIMIT_STATE_PART_BYTES, ERR_RANGE);
}

static void rd_state_part(struct rd *r, struct state_frame *f)
{
	rd_state_name(r, &f->name);
	f->total = rd_u32(r);
	f->offset = rd_u32(r);
	f->bytes = rd_u32(r);
	f->method = rd_u8(r);
	f->dictionary = rd_u8(r);
	f->blob = rd_vec32(r, LIMIT_STATE_PART_BYTES);
	check(r, f->name.kind != 0, ERR_FORMAT);
	if (f->total == 0)
		check(r, !f->offset && !f->bytes && !f->blob.len && !f->method && !f->dictionary, ERR_FORMAT);
	else
		check(r, f->bytes > 0 && f->bytes <= LIMIT_STATE_PART_BYTES && f->offset < f->total && f->bytes <= f->total - f->offset, ERR_RANGE);
}

static void rd_state(struct rd *r, struct state_frame *f)
{
	f->what = rd_u8(r);
	rd_copy(r, f->state.b, HASH_BYTES);
	switch (f->what) {
	case STATE_OFFER: rd_offer(r, f); break;
	case STATE_GIVE: rd_given(r, f); break;
	case STATE_TELL: break;
	case STATE_SHOW:
		f->serial = rd_u32(r);
		rd_copy(r, f->roster.b, HASH_BYTES);
		break;
	case STATE_WANT: rd_state_want(r, f); break;
	case STATE_PART: rd_state_part(r, f); break;
	default: check(r, false, ERR_FORMAT);
	}
}

static void rd_key_name(struct rd *r, struct key_name *n)
{
	struct view name = rd_bytes(r, STREAM_NAME_BYTES);

	if (!r->err)
		rd_fail(r, stream_name_decode(name, &n->stream));
	n->number = rd_u64(r);
	check(r, n->number != 0, ERR_FORMAT);
}

static void rd_wanted(struct rd *r, struct keys_frame *f)
{
	struct key_name one;

	f->n = rd_u16(r);
	check(r, f->n != 0, ERR_FORMAT);
	check(r, f->n <= LIMIT_KEYS_WANTED, ERR_TOO_LARGE);
	f->names = rd_bytes(r, (size_t)f->n * KEY_NAME_BYTES);
	for (struct view rest = f->names; !r->err && rest.len > 0;)
		rd_fail(r, key_name_next(&rest, &one));
}

static void rd_keys(struct rd *r, struct keys_frame *f)
{
	f->what = rd_u8(r);
	if (f->what == KEYS_WANT) {
		rd_wanted(r, f);
		return;
	}
	check(r, f->what == KEYS_GIVE, ERR_FORMAT);
	rd_key_name(r, &f->name);
	f->grant = rd_bytes(r, GRANT_BYTES_FOR_ONE);
}

static void rd_stream_name(struct rd *r, struct stream_name *n)
{
	struct view name = rd_bytes(r, STREAM_NAME_BYTES);

	if (!r->err)
		rd_fail(r, stream_name_decode(name, n));
}

static void rd_floor(struct rd *r, struct floor_frame *f)
{
	rd_stream_name(r, &f->stream);
	struct view floor = rd_bytes(r, FLOOR_BYTES);

	if (!r->err)
		rd_fail(r, floor_decode(floor, &f->floor));
	f->grant = rd_u64(r);
	check(r, f->floor.number != 0 && f->grant <= f->floor.number, ERR_RANGE);
}

static void rd_want_entry(struct rd *r, struct want_entry *w)
{
	rd_stream_name(r, &w->stream);
	w->number = rd_u64(r);
	check(r, w->number > 0, ERR_RANGE);
	rd_copy(r, w->body.b, HASH_BYTES);
	w->offset = rd_u32(r);
	check(r, w->offset < part_max_bytes(PART_WHOLE), ERR_RANGE);
	w->rank = rd_u8(r);
	check(r, w->rank < 2 * PREC_COUNT, ERR_RANGE);
	w->flags = rd_u8(r);
	check(r, !(w->flags & ~WANT_LOST), ERR_FORMAT);
}

static void rd_busy(struct rd *r, struct busy_frame *f)
{
	rd_stream_name(r, &f->stream);
	f->held = rd_u64(r);
	f->wait_ms = rd_u32(r);
	f->why = rd_u8(r);
	check(r, f->why != 0, ERR_FORMAT);
}

static void rd_again(struct rd *r, struct again_frame *f)
{
	rd_copy(r, f->stream.b, HASH_BYTES);
	f->number = rd_u64(r);
	check(r, f->number > 0, ERR_RANGE);
}

static void rd_fields(struct rd *r, struct frame *out)
{
	switch (out->type) {
	case FRAME_HELLO:
	case FRAME_WELCOME:
		rd_hello(r, &out->u.hello);
		break;
	case FRAME_DIGEST:
		rd_digest(r, out);
		break;
	case FRAME_FRONTIERS:
		rd_frontiers(r, out);
		break;
	case FRAME_AGAIN:
		rd_again(r, &out->u.again);
		break;
	case FRAME_SEGMENT:
	case FRAME_SEGMENT_AGAIN:
		rd_segment(r, &out->u.segment);
		break;
	case FRAME_SEGMENT_AFTER:
		rd_copy(r, out->u.after.before.b, HASH_BYTES);
		rd_segment(r, &out->u.after.segment);
		break;
	case FRAME_WANT:
		rd_want(r, &out->u.part);
		break;
	case FRAME_PART:
		rd_part(r, &out->u.part);
		break;
	case FRAME_PROBE:
	case FRAME_PROBE_REPLY:
		rd_probe(r, &out->u.probe);
		break;
	case FRAME_NUDGE:
	case FRAME_NUDGE_REPLY:
		rd_nudge(r, &out->u.nudge);
		break;
	case FRAME_ACKS:
		rd_acks(r, out);
		break;
	case FRAME_STATE:
		rd_state(r, &out->u.state);
		break;
	case FRAME_KEYS:
		rd_keys(r, &out->u.keys);
		break;
	case FRAME_FLOOR:
		rd_floor(r, &out->u.floor);
		break;
	case FRAME_BUSY:
		rd_busy(r, &out->u.busy);
		break;
	case FRAME_GOT:
		out->u.got = rd_u64(r);
		break;
	case FRAME_WANT_ENTRY:
		rd_want_entry(r, &out->u.want_entry);
		break;
	case FRAME_NOT_HERE:
		rd_copy(r, out->u.not_here.b, HASH_BYTES);
		break;
	case FRAME_VECTOR:
	case FRAME_HEADS:
		out->u.raw = rd_bytes(r, rd_left(r));
		break;
	default:
		rd_fail(r, ERR_UNSUPPORTED);
	}
}

enum err frame_decode(struct view v, struct frame *out)
{
	struct rd r = rd_init(v);
	uint8_t version = rd_u8(&r);

	memset(out, 0, sizeof *out);
	if (v.len > LIMIT_FRAME_BYTES)
		return ERR_TOO_LARGE;
	if (version > FRAME_VERSION)
		return ERR_VERSION;
	check(&r, version > 0, ERR_FORMAT);
	out->type = (enum frame_type)rd_u8(&r);
	if (!r.err)
		rd_fields(&r, out);
	return r.err ? r.err : rd_done(&r);
}

enum err digest_line_next(struct view *rest, struct digest_line *out)
{
	struct rd r = rd_init(*rest);

	out->originator = rd_u16(&r);
	rd_copy(&r, out->hash.b, HASH_BYTES);
	check(&r, out->originator != 0, ERR_FORMAT);
	if (r.err)
		return r.err;
	*rest = view_of(r.pos, rd_left(&r));
	return ERR_OK;
}

enum err ack_next(struct view *rest, struct ack *out)
{
	struct rd r = rd_init(*rest);
	uint64_t n, last = 0, step;

	memset(out, 0, sizeof *out);
	rd_copy(&r, out->stream, sizeof out->stream);
	rd_copy(&r, out->chain, sizeof out->chain);
	out->number = rd_varint(&r);
	n = rd_varint(&r);
	check(&r, n <= LIMIT_NOT_WHOLE, ERR_TOO_LARGE);
	for (uint64_t i = 0; !r.err && i < n; i++) {
		step = rd_varint(&r);
		check(&r, step > 0 && step <= out->number - last, ERR_FORMAT);
		last += step;
		out->missing[i] = last;
	}
	if (r.err)
		return r.err;
	out->not_whole = (uint16_t)n;
	*rest = view_of(r.pos, rd_left(&r));
	return ERR_OK;
}

enum err state_item_next(struct view *rest, struct state_item *out)
{
	struct rd r = rd_init(*rest);
	uint8_t declined;

	rd_state_name(&r, &out->name);
	declined = rd_u8(&r);
	out->declined = declined != 0;
	check(&r, out->name.kind != 0 && declined <= 1, ERR_FORMAT);
	if (r.err)
		return r.err;
	*rest = view_of(r.pos, rd_left(&r));
	return ERR_OK;
}

enum err key_name_next(struct view *rest, struct key_name *out)
{
	struct rd r = rd_init(*rest);

	rd_key_name(&r, out);
	if (r.err)
		return r.err;
	*rest = view_of(r.pos, rd_left(&r));
	return ERR_OK;
}
