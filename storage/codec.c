#include "storage/codec.h"

static enum err rd_end(const struct rd *r)
{
	return rd_done(r) ? ERR_DAMAGED : ERR_OK;
}

static void wr_hash(struct wr *w, const struct hash *h)
{
	wr_bytes(w, view_of(h->b, sizeof h->b));
}

static void rd_hash(struct rd *r, struct hash *h)
{
	rd_copy(r, h->b, sizeof h->b);
}

static void wr_id(struct wr *w, const struct msgid *id)
{
	wr_bytes(w, view_of(id->b, sizeof id->b));
}

static void rd_id(struct rd *r, struct msgid *id)
{
	rd_copy(r, id->b, sizeof id->b);
}

/* Text that the struct holds with its NUL. */
static void wr_text(struct wr *w, const char *s, size_t size)
{
	wr_vec8(w, view_of(s, strnlen(s, size - 1)));
}

static void rd_text(struct rd *r, char *out, size_t size)
{
	struct view v = rd_vec8(r, size - 1);
	if (!view_to_str(v, out, size))
		rd_fail(r, ERR_FORMAT);
}

/* ---- birth, streams, heads ------------------------------------------------------------------------------ */

void codec_birth_write(struct wr *w, const struct store_birth *b)
{
	wr_u16(w, b->site);
	wr_u8(w, (uint8_t)b->how);
	wr_i64(w, b->born.us);
	wr_hash(w, &b->network);
	wr_text(w, b->site_id, sizeof b->site_id);
}

enum err codec_birth_read(struct rd *r, struct store_birth *out)
{
	out->site = rd_u16(r);
	out->how = rd_u8(r);
	out->born.us = rd_i64(r);
	rd_hash(r, &out->network);
	rd_text(r, out->site_id, sizeof out->site_id);
	return rd_end(r);
}

void codec_stream_write(struct wr *w, const struct stream_row *row)
{
	uint8_t name[STREAM_NAME_BYTES];
	stream_name_encode(&row->name, name);
	wr_bytes(w, view_of(name, sizeof name));
	wr_u64(w, row->held);
	wr_hash(w, &row->chain);
	wr_u64(w, row->head);
	wr_u64(w, row->head_before);
	wr_u64(w, row->floor);
	wr_hash(w, &row->floor_chain);
}

enum err codec_stream_read(struct view key, struct rd *r, struct stream_row *out)
{
	struct rd k = key_fields(key);
	out->local = rd_u32(&k);
	if (stream_name_decode(rd_bytes(r, STREAM_NAME_BYTES), &out->name))
		rd_fail(r, ERR_FORMAT);
	out->held = rd_u64(r);
	rd_hash(r, &out->chain);
	out->head = rd_u64(r);
	out->head_before = rd_u64(r);
	out->floor = rd_u64(r);
	rd_hash(r, &out->floor_chain);
	return rd_end(&k) ? ERR_DAMAGED : rd_end(r);
}

void codec_head_write(struct wr *w, const struct head *h)
{
	wr_hash(w, &h->chain);
	wr_bytes(w, view_of(h->signature.b, sizeof h->signature.b));
}

enum err codec_head_read(struct view key, struct rd *r, struct head *out)
{
	struct rd k = key_fields(key);
	rd_u32(&k);
	out->number = rd_u64(&k);
	rd_hash(r, &out->chain);
	rd_copy(r, out->signature.b, sizeof out->signature.b);
	if (rd_left(r) % HASH_BYTES == 0 && rd_left(r) <= LIMIT_HEAD_SPACING * HASH_BYTES)
		rd_bytes(r, rd_left(r)); /* leaves: store_head_leaves */
	return rd_end(&k) ? ERR_DAMAGED : rd_end(r);
}

/* ---- entries and bodies ----------------------------------------------------------------------------------- */

void codec_entry_write(struct wr *w, const struct entry_row *row)
{
	wr_u32(w, row->stream);
	wr_u64(w, row->number);
	wr_hash(w, &row->chain);
	wr_i64(w, row->stored.us);
	wr_u16(w, row->from);
	wr_u64(w, row->body_no);
	wr_u8(w, row->body_class);
	wr_u8(w, row->e.flags);
	wr_u64(w, row->e.body_len);
	wr_hash(w, &row->e.header_hash);
	wr_hash(w, &row->e.envelope_hash);
	wr_hash(w, &row->e.body_hash);
	wr_bytes(w, row->e.header);
	wr_vec16(w, row->e.envelope);
}

enum err codec_entry_read(struct view key, struct rd *r, struct entry_row *out)
{
	struct rd k = key_fields(key);
	out->arrival = rd_u64(&k);
	out->stream = rd_u32(r);
	out->number = rd_u64(r);
	rd_hash(r, &out->chain);
	out->stored.us = rd_i64(r);
	out->from = rd_u16(r);
	out->body_no = rd_u64(r);
	out->body_class = rd_u8(r);
	out->e.flags = rd_u8(r);
	out->e.body_len = rd_u64(r);
	rd_hash(r, &out->e.header_hash);
	rd_hash(r, &out->e.envelope_hash);
	rd_hash(r, &out->e.body_hash);
	out->e.header = rd_bytes(r, HEADER_BYTES);
	out->e.envelope = rd_vec16(r, LIMIT_ENVELOPE_BYTES);
	out->e.body = view_of(NULL, 0);
	if (out->body_class >= BODY_CLASSES)
		rd_fail(r, ERR_FORMAT);
	return rd_end(&k) ? ERR_DAMAGED : rd_end(r);
}

void codec_body_write(struct wr *w, const struct body_row *row)
{
	wr_u8(w, row->whole);
	wr_hash(w, &row->hash);
	wr_u64(w, row->sealed_len);
	wr_u32(w, row->chunks);
	wr_u32(w, row->have);
	wr_u32(w, row->refs);
}

enum err codec_body_read(struct view key, struct rd *r, struct body_row *out)
{
	struct rd k = key_fields(key);
	out->class = rd_u8(&k);
	out->body_no = rd_u64(&k);
	out->whole = rd_u8(r) != 0;
	rd_hash(r, &out->hash);
	out->sealed_len = rd_u64(r);
	out->chunks = rd_u32(r);
	out->have = rd_u32(r);
	out->refs = rd_u32(r);
	return rd_end(&k) ? ERR_DAMAGED : rd_end(r);
}

/* ---- queues, places, leases, messages ----------------------------------------------------------------------- */

void codec_queue_name_write(struct wr *w, const struct queue_row *row)
{
	wr_u16(w, row->site);
	wr_text(w, row->name, sizeof row->name);
}

enum err codec_queue_name_read(struct rd *r, struct queue_row *out)
{
	out->site = rd_u16(r);
	rd_text(r, out->name, sizeof out->name);
	return rd_end(r);
}

void codec_queue_write(struct wr *w, const struct queue_row *row)
{
	codec_queue_name_write(w, row);
	for (size_t x = 0; x < 2; x++) {
		for (size_t p = 0; p < PREC_COUNT; p++) {
			wr_u64(w, row->waiting[x][p]);
			wr_u64(w, row->leased[x][p]);
		}
	}
}

enum err codec_queue_read(struct view key, struct rd *r, struct queue_row *out)
{
	struct rd k = key_fields(key);
	out->local = rd_u32(&k);
	out->site = rd_u16(r);
	rd_text(r, out->name, sizeof out->name);
	for (size_t x = 0; x < 2; x++) {
		for (size_t p = 0; p < PREC_COUNT; p++) {
			out->waiting[x][p] = rd_u64(r);
			out->leased[x][p] = rd_u64(r);
		}
	}
	return rd_end(&k) ? ERR_DAMAGED : rd_end(r);
}

enum err codec_place_read(struct view key, struct place *out)
{
	struct rd k = key_fields(key);
	out->queue = rd_u32(&k);
	out->exercise = rd_u8(&k);
	out->precedence = rd_u8(&k);
	out->fresh = rd_u8(&k);
	out->handle_by_us = key_rd_time(&k).us;
	out->arrival = rd_u64(&k);
	return rd_end(&k);
}

/* A place inside a row: the fields of its key. */
static void place_write(struct wr *w, const struct place *p)
{
	wr_u32(w, p->queue);
	wr_u8(w, p->exercise);
	wr_u8(w, p->precedence);
	wr_u8(w, p->fresh);
	wr_i64(w, p->handle_by_us);
	wr_u64(w, p->arrival);
}

static void place_read(struct rd *r, struct place *out)
{
	out->queue = rd_u32(r);
	out->exercise = rd_u8(r);
	out->precedence = rd_u8(r);
	out->fresh = rd_u8(r);
	out->handle_by_us = rd_i64(r);
	out->arrival = rd_u64(r);
}

void codec_lease_write(struct wr *w, const struct lease_row *l)
{
	place_write(w, &l->place);
	wr_id(w, &l->id);
	wr_i64(w, l->lease_us);
	wr_i64(w, l->since.us);
	wr_text(w, l->by, sizeof l->by);
}

enum err codec_lease_read(struct rd *r, struct lease_row *out)
{
	place_read(r, &out->place);
	rd_id(r, &out->id);
	out->lease_us = rd_i64(r);
	out->since.us = rd_i64(r);
	rd_text(r, out->by, sizeof out->by);
	return rd_end(r);
}

void codec_msg_write(struct wr *w, const struct msg_row *row)
{
	wr_u64(w, row->arrival);
	wr_u16(w, row->originator);
	wr_u8(w, row->precedence);
	wr_u8(w, row->flags);
	wr_u8(w, row->state);
	wr_u64(w, row->place_arrival);
	if (row->place_arrival)
		place_write(w, &row->place);
	wr_vec16(w, row->events);
}

enum err codec_msg_key(struct view key, struct msg_row *out)
{
	struct rd k = key_fields(key);
	rd_id(&k, &out->id);
	out->addressee = rd_u16(&k);
	return rd_end(&k);
}

enum err codec_msg_read(struct view key, struct rd *r, struct msg_row *out)
{
	enum err e = codec_msg_key(key, out);
	out->arrival = rd_u64(r);
	out->originator = rd_u16(r);
	out->precedence = rd_u8(r);
	out->flags = rd_u8(r);
	out->state = rd_u8(r);
	out->place_arrival = rd_u64(r);
	out->place = (struct place){0};
	if (out->place_arrival)
		place_read(r, &out->place);
	out->events = rd_vec16(r, EVENTS_BYTES_MAX);
	return e ? e : rd_end(r);
}

/* ---- keys, alarms, damage --------------------------------------------------------------------------------------- */

void codec_idempotency_write(struct wr *w, const struct key_row *row)
{
	wr_id(w, &row->id);
	wr_hash(w, &row->content);
}

enum err codec_idempotency_read(struct rd *r, struct key_row *out)
{
	rd_id(r, &out->id);
	rd_hash(r, &out->content);
	return rd_end(r);
}

void codec_alarm_write(struct wr *w, const struct alarm_row *a)
{
	wr_u8(w, a->active);
	wr_i64(w, a->since.us);
	wr_text(w, a->kind, sizeof a->kind);
	wr_text(w, a->what, sizeof a->what);
	wr_text(w, a->todo, sizeof a->todo);
	wr_text(w, a->acknowledged, sizeof a->acknowledged);
}

enum err codec_alarm_read(struct view key, struct rd *r, struct alarm_row *out)
{
	struct rd k = key_fields(key);
	rd_copy(&k, out->id, sizeof out->id);
	out->active = rd_u8(r) != 0;
	out->since.us = rd_i64(r);
	rd_text(r, out->kind, sizeof out->kind);
	rd_text(r, out->what, sizeof out->what);
	rd_text(r, out->todo, sizeof out->todo);
	rd_text(r, out->acknowledged, sizeof out->acknowledged);
	if (out->id[sizeof out->id - 1])
		return ERR_DAMAGED;
	return rd_end(&k) ? ERR_DAMAGED : rd_end(r);
}

void codec_damage_write(struct wr *w, struct wall found, const char *what)
{
	wr_i64(w, found.us);
	wr_text(w, what, DAMAGE_TEXT_BYTES);
}

enum err codec_damage_read(struct view key, struct rd *r, uint64_t *arrival, struct wall *found, char what[DAMAGE_TEXT_BYTES])
{
	struct rd k = key_fields(key);
	*arrival = rd_u64(&k);
	found->us = rd_i64(r);
	rd_text(r, what, DAMAGE_TEXT_BYTES);
	return rd_end(&k) ? ERR_DAMAGED : rd_end(r);
}

/* ---- takeover ------------------------------------------------------------------------------------------------------ */

void codec_conflict_write(struct wr *w, const struct conflict_row *row)
{
	wr_u8(w, row->exercise);
	wr_text(w, row->queue, sizeof row->queue);
	wr_u8(w, row->n);
	for (size_t i = 0; i < row->n; i++) {
		wr_u16(w, row->handler[i].site);
		wr_u8(w, row->handler[i].event);
		wr_i64(w, row->handler[i].when.us);
		wr_text(w, row->handler[i].by, sizeof row->handler[i].by);
	}
	wr_text(w, row->signed_off, sizeof row->signed_off);
	wr_i64(w, row->signed_at.us);
}

enum err codec_conflict_key(struct view key, struct conflict_row *out)
{
	struct rd k = key_fields(key);
	rd_id(&k, &out->id);
	out->addressee = rd_u16(&k);
	return rd_end(&k);
}

enum err codec_conflict_read(struct view key, struct rd *r, struct conflict_row *out)
{
	*out = (struct conflict_row){0};
	enum err e = codec_conflict_key(key, out);
	out->exercise = rd_u8(r) != 0;
	rd_text(r, out->queue, sizeof out->queue);
	uint8_t n = rd_u8(r);
	if (n > CONFLICT_HANDLERS)
		return ERR_DAMAGED;
	for (; out->n < n; out->n++) {
		out->handler[out->n].site = rd_u16(r);
		out->handler[out->n].event = rd_u8(r);
		out->handler[out->n].when.us = rd_i64(r);
		rd_text(r, out->handler[out->n].by, sizeof out->handler[out->n].by);
	}
	rd_text(r, out->signed_off, sizeof out->signed_off);
	out->signed_at.us = rd_i64(r);
	return e ? e : rd_end(r);
}

enum err codec_order_wait_key(struct view key, struct msgid *id, uint16_t *addressee)
{
	struct rd k = key_fields(key);
	struct hash order;
	rd_hash(&k, &order);
	rd_id(&k, id);
	*addressee = rd_u16(&k);
	return rd_end(&k);
}

enum err codec_branch_key(struct view key, uint32_t *stream, uint64_t *first, struct hash *hash)
{
	struct rd k = key_fields(key);
	*stream = rd_u32(&k);
	*first = rd_u64(&k);
	rd_hash(&k, hash);
	return rd_end(&k);
}

void codec_quarantine_write(struct wr *w, const char *why)
{
	wr_text(w, why, QUARANTINE_TEXT_BYTES);
}

enum err codec_quarantine_read(struct view key, struct rd *r, uint64_t *arrival, char why[QUARANTINE_TEXT_BYTES])
{
	struct rd k = key_fields(key);
	*arrival = rd_u64(&k);
	rd_text(r, why, QUARANTINE_TEXT_BYTES);
	return rd_end(&k) ? ERR_DAMAGED : rd_end(r);
}

void codec_redo_write(struct wr *w, const struct redo_row *row)
{
	wr_u64(w, row->next);
	wr_u64(w, row->upto);
}

enum err codec_redo_read(struct view key, struct rd *r, struct redo_row *out)
{
	struct rd k = key_fields(key);
	out->stream = rd_u32(&k);
	out->next = rd_u64(r);
	out->upto = rd_u64(r);
	return rd_end(&k) ? ERR_DAMAGED : rd_end(r);
}
