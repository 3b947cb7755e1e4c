#include "proto/report.h"

#include "proto/cursor.h"
#include "proto/limits.h"
#include "proto/vector.h"

#define CLOSING_VERSION 1

static const char *const event_names[] = {
	[EVENT_DELIVERED] = "delivered",
	[EVENT_HANDED_OUT] = "handed-out",
	[EVENT_RETURNED] = "returned",
	[EVENT_READ] = "read",
	[EVENT_REFUSED] = "refused",
	[EVENT_EXPIRED] = "expired",
	[EVENT_CANCELLED] = "cancelled",
	[EVENT_SEALED] = "sealed",
	[EVENT_DEAD] = "dead",
	[EVENT_LENT] = "lent",
	[EVENT_MOVED] = "moved",
	[EVENT_REPLAYED] = "replayed",
};

const char *report_event_name(unsigned e)
{
	return e > 0 && e < sizeof event_names / sizeof event_names[0] ? event_names[e] : "unknown";
}

bool report_event_ends(unsigned e)
{
	return e == EVENT_READ || e == EVENT_REFUSED || e == EVENT_EXPIRED || e == EVENT_CANCELLED;
}

static bool no_order(const struct hash *order)
{
	static const struct hash zero;

	return hash_equal(order, &zero);
}

/* The length of v when cut to max bytes without cutting a character of UTF-8 in two. */
static size_t cut_len(struct view v, size_t max)
{
	size_t n = v.len;

	if (n <= max)
		return n;
	for (n = max; n > 0 && (v.ptr[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

static void add_text(struct buf *out, struct view v)
{
	if (view_is_text(v)) {
		buf_add(out, v);
		return;
	}
	for (size_t i = 0; i < v.len; i++)
		buf_add_u8(out, v.ptr[i] >= 0x20 && v.ptr[i] < 0x7f ? v.ptr[i] : '?');
}

static int64_t clamp_us(int64_t us)
{
	if (us < 0)
		return 0;
	return us > LIMIT_WALL_US ? LIMIT_WALL_US : us;
}

void report_add(struct buf *out, const struct report_record *r)
{
	struct view by = view_of(r->by.ptr, cut_len(r->by, LIMIT_USER_BYTES));
	struct view why = view_of(r->why.ptr, cut_len(r->why, LIMIT_REASON_BYTES));

	assert(r->ids > 0 && r->id_bytes.len == (size_t)r->ids * MSGID_BYTES);
	buf_add_u8(out, r->event);
	buf_add_u16(out, r->addressee);
	buf_add_u64(out, (uint64_t)clamp_us(r->when.us));
	buf_add_u8(out, (uint8_t)by.len);
	add_text(out, by);
	buf_add_u16(out, (uint16_t)why.len);
	add_text(out, why);
	buf_add_u8(out, !no_order(&r->order));
	if (!no_order(&r->order))
		buf_add(out, view_of(r->order.b, HASH_BYTES));
	buf_add_u16(out, r->ids);
	buf_add(out, r->id_bytes);
}

size_t report_bytes(const struct report_record *r)
{
	return 1 + 2 + 8 + 1 + cut_len(r->by, LIMIT_USER_BYTES) + 2 + cut_len(r->why, LIMIT_REASON_BYTES) + 1 +
	       (no_order(&r->order) ? 0 : HASH_BYTES) + 2 + r->id_bytes.len;
}

static void rd_order(struct rd *r, struct hash *order)
{
	uint8_t has_order = rd_u8(r);

	if (has_order > 1)
		rd_fail(r, ERR_FORMAT);
	if (!has_order)
		return;
	rd_copy(r, order->b, HASH_BYTES);
	if (!r->err && no_order(order))
		rd_fail(r, ERR_FORMAT);
}

enum err report_next(struct view *rest, struct report_record *out)
{
	struct rd r = rd_init(*rest);

	memset(out, 0, sizeof *out);
	out->event = rd_u8(&r);
	out->addressee = rd_u16(&r);
	out->when.us = rd_i64(&r);
	if (out->when.us < 0 || out->when.us > LIMIT_WALL_US)
		rd_fail(&r, ERR_FORMAT);
	out->by = rd_vec8(&r, LIMIT_USER_BYTES);
	out->why = rd_vec16(&r, LIMIT_REASON_BYTES);
	if (!r.err && (!view_is_text(out->by) || !view_is_text(out->why)))
		rd_fail(&r, ERR_FORMAT);
	rd_order(&r, &out->order);
	out->ids = rd_u16(&r);
	if (!r.err && out->ids == 0)
		rd_fail(&r, ERR_FORMAT);
	out->id_bytes = rd_bytes(&r, (size_t)out->ids * MSGID_BYTES);
	if (r.err)
		return r.err;
	*rest = view_of(r.pos, rd_left(&r));
	return ERR_OK;
}

/* ---- closings ------------------------------------------------------------------------------------------- */

static enum err check_closing(const struct closing *c)
{
	if (no_order(&c->order))
		return ERR_FORMAT;
	if (c->part >= c->parts)
		return ERR_RANGE;
	return frontiers_check(c->head_bytes, c->heads, true);
}

void closing_add(struct buf *out, const struct closing *c)
{
	assert(c->lease_ids.len == (size_t)c->leases * MSGID_BYTES && check_closing(c) == ERR_OK);
	buf_add_u8(out, CLOSING_VERSION);
	buf_add(out, view_of(c->order.b, HASH_BYTES));
	buf_add_u16(out, c->part);
	buf_add_u16(out, c->parts);
	buf_add_u16(out, c->leases);
	buf_add(out, c->lease_ids);
	buf_add_u16(out, c->heads);
	buf_add(out, c->head_bytes);
}

enum err closing_decode(struct view v, struct closing *out)
{
	struct rd r = rd_init(v);
	uint8_t version = rd_u8(&r);

	memset(out, 0, sizeof *out);
	if (version > CLOSING_VERSION)
		return ERR_VERSION;
	if (!r.err && version == 0)
		return ERR_FORMAT;
	rd_copy(&r, out->order.b, HASH_BYTES);
	out->part = rd_u16(&r);
	out->parts = rd_u16(&r);
	out->leases = rd_u16(&r);
	out->lease_ids = rd_bytes(&r, (size_t)out->leases * MSGID_BYTES);
	out->heads = rd_u16(&r);
	out->head_bytes = rd_bytes(&r, rd_left(&r));
	return r.err ? r.err : check_closing(out);
}
