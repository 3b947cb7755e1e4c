/* replicate.c - flows, and segments out: replicate.h. */
#include <stdio.h>

#include "node/core/core_int.h"

/* The head that signs a segment, and how many hashes stand before it. */
#define SEGMENT_END_BYTES 128
#define SEGMENT_MOST (LIMIT_SEGMENT_BYTES - LIMIT_HEAD_SPACING * HASH_BYTES)
/* Entries of a stream that may go before the bodies of those before them; more than LIMIT_NOT_WHOLE nobody takes. */
#define APART_AHEAD 32
/* A message that expired so long ago goes as a stub. */
#define EXPIRED_FOR_US (60 * US_PER_S)

/* ---- flows: which streams have something to send to whom -------------------------------------------------------------- */

uint8_t lane_of(const struct stream *s)
{
	return s->row.name.precedence <= PREC_IMMEDIATE ? LANE_URGENT : LANE_BULK;
}

struct flow *flow_of(struct stream *s, const struct peer *p)
{
	for (size_t i = 0; i < s->n_flows; i++)
		if (s->flows[i].peer == p)
			return &s->flows[i];
	return NULL;
}

static void flow_list(struct core *c, struct flow *f)
{
	struct flow **head = &f->peer->lane[lane_of(f->stream)].behind[f->stream->row.name.precedence];

	peer_touch(c, f->peer);
	f->behind = true;
	f->prev = NULL;
	f->next = *head;
	if (*head)
		(*head)->prev = f;
	*head = f;
}

static void flow_unlist(struct flow *f)
{
	struct flow **head = &f->peer->lane[lane_of(f->stream)].behind[f->stream->row.name.precedence];

	f->behind = false;
	if (f->prev)
		f->prev->next = f->next;
	else
		*head = f->next;
	if (f->next)
		f->next->prev = f->prev;
	f->next = f->prev = NULL;
}

/* We send what we originated in this run at once; older or foreign streams once we help. */
void flow_update(struct core *c, struct flow *f)
{
	bool ours = f->guest ? f->giving && f->sent >= f->stream->row.floor : f->stream->own || f->helping;
	bool want = f->known && (ours || f->forked) && f->sent < f->stream->row.held && !flow_is_held(c, f);

	f->next_due_us = INT64_MIN;
	stream_heat(c, f->stream);
	if (want && !f->behind)
		flow_list(c, f);
	else if (!want && f->behind)
		flow_unlist(f);
}

void stream_ack(struct core *c, struct stream *s)
{
	stream_heat(c, s);
	for (size_t i = 0; i < s->n_flows; i++) {
		s->flows[i].ack_due = true;
		s->flows[i].peer->lane[lane_of(s)].ack_due = true;
		peer_touch(c, s->flows[i].peer);
	}
}

void stream_advanced(struct core *c, struct stream *s)
{
	s->dirty = true;
	stream_touch(c, s);
	stream_heat(c, s);
	for (size_t i = 0; i < s->n_flows; i++) {
		struct flow *f = &s->flows[i];

		flow_update(c, f);
		if (!s->own && !f->guest && (f->peer->site != s->row.name.originator || f->peer->copies)) {
			f->tell = true;
			peer_tell(c, f->peer);
		}
	}
	transit_advanced(c, s);
}

void replicate_rewind(struct core *c, struct peer *p, uint8_t lane)
{
	struct lane_state *l = &p->lane[lane];

	for (size_t i = 0; i < l->ring_n; i++) {
		struct flow *f = l->ring[(l->ring_at + i) % LANE_RING].flow;

		if (f && f->sent > f->acked && !f->forked) {
			f->sent = f->guest ? transit_from(f) : f->acked;
			flow_update(c, f);
		}
	}
	l->ring_n = 0;
	window_rewind(p, lane);
}

/* ---- segments out ------------------------------------------------------------------------------------------------------------------- */

/* The handle-by time of the next entry to send; reports and grants, which unlock other things, go at once. */
static int64_t flow_due(struct core *c, struct flow *f)
{
	struct entry_row row;
	struct header h;

	if (f->next_due_us != INT64_MIN)
		return f->next_due_us;
	if (store_entry_find(c->t, f->stream->row.local, f->sent + 1, &row) == ERR_OK && header_decode(row.e.header, &h) == ERR_OK)
		f->next_due_us = h.handle_by.us ? h.handle_by.us : 1;
	else
		f->next_due_us = INT64_MAX;
	return f->next_due_us;
}

static struct flow *flow_next(struct core *c, struct lane_state *l)
{
	for (unsigned prec = 0; prec < PREC_COUNT; prec++) {
		struct flow *best = l->behind[prec];

		if (!best)
			continue;
		if (!best->next)
			return best;
		for (struct flow *f = best->next; f; f = f->next)
			if (flow_due(c, f) < flow_due(c, best))
				best = f;
		return best;
	}
	return NULL;
}

/* The body of an entry that travels inside the segment; nothing when it travels apart. A damaged one stays here, so that the
 * entry goes on without it and the receiver asks elsewhere. */
static bool body_along(struct core *c, const struct entry_row *row, struct buf *body)
{
	struct header h;

	if (!row->e.body_len || header_decode(row->e.header, &h) || (h.flags & HEADER_CHUNKED) || !row->body_no)
		return true;
	enum err e = store_body_get_part(c->t, row->body_class, row->body_no, PART_WHOLE, 0, body);

	if (!e && c->fresh_from && row->arrival >= c->fresh_from)
		return true; /* written a moment ago: it was never on the disk */
	struct hash hash = body_hash(buf_view(body));

	if (!e && hash_equal(&hash, &row->e.body_hash))
		return true;
	buf_clear(body);
	buf_add_u64(&c->late, row->arrival); /* told when the frame is written: an alarm is an effect too */
	return false;
}

static void segment_damage(struct core *c, struct stream *s, uint64_t number)
{
	char subject[LIMIT_NAME_BYTES + 32], name[LIMIT_NAME_BYTES + 1];

	snprintf(subject, sizeof subject, "%u.%llu", s->row.local, (unsigned long long)number);
	alarm_raise(c, "damage", subject, "it is asked for from sites that hold it, which go on giving it; when it stays run `estafette journal verify`",
		    "entry %llu of a stream to %s is damaged; it is set aside and not sent", (unsigned long long)number, site_name(c, s->row.name.addressee, name));
	again_note(c, s, number, 0, "it could not be sent");
	c->rebirth = c->rebirth || s->own;
}

/* A message whose time has passed is not sent on: what proves the chain goes, a minute later, so that the receiver's clock has passed it too. */
static void cut_expired(const struct core *c, struct entry *e)
{
	if ((e->flags & ENTRY_STUB) || !entry_expired(c, e, EXPIRED_FOR_US))
		return;
	e->envelope = view_of(NULL, 0);
	e->flags = ENTRY_STUB;
}

/* How long a segment is to be, and how long it may be when an entry makes it longer; link: it goes over a line, where MINIMIZE counts. */
struct cut {
	size_t most;
	int64_t room;
	bool link;
	bool slices;    /* bodies of one chunk may follow by themselves, */
	uint64_t along; /* those that are longer than this do, */
	unsigned apart; /* and so many may at most, large ones among them */
};

/* It is large, and always comes after its entry. */
static bool is_large(const struct entry_row *row)
{
	struct header h;

	return row->e.body_len && !(row->e.flags & ENTRY_STUB) && header_decode(row->e.header, &h) == ERR_OK && (h.flags & HEADER_CHUNKED);
}

/* On a narrow line the entry goes without its body, which follows in slices. */
static bool goes_apart(const struct entry_row *row, const struct cut *cut)
{
	struct header h;

	return cut->slices && row->e.body_len > cut->along && row->body_no && !(row->e.flags & ENTRY_STUB) && header_decode(row->e.header, &h) == ERR_OK &&
	       h.kind == KIND_MESSAGE && !(h.flags & HEADER_CHUNKED);
}

/* False when the segment ends before this entry. */
static bool body_put(struct core *c, const struct stream *s, struct entry_row *row, struct cut *cut, struct buf *body)
{
	bool apart = goes_apart(row, cut);

	if (apart || (cut->link && is_large(row))) {
		if (!cut->apart)
			return false; /* it goes when some of those that went have their bodies; sooner it may not be taken, nor acknowledged */
		cut->apart--;
	}
	if (apart)
		return true;
	/* One that is still to come here goes without it to who asks for bodies of one chunk. */
	row->e.body = view_of(NULL, 0);
	if (!cut->slices && s->row.name.originator != c->self && !(row->e.flags & ENTRY_STUB) && !row->body_no && entry_left_out(&row->e))
		return false;
	/* A body that does not fit stays here. Its originator's stream goes on without it; others leave it to those who have it. */
	if (!(row->e.flags & ENTRY_STUB) && !body_along(c, row, body) && s->row.name.originator != c->self)
		return false;
	row->e.body = buf_view(body);
	return true;
}

/* Fills a segment from the entry after `sent` on, with one entry at least and no more than cut.most bytes otherwise, at most up to the
 * entry upto that is signed next, so that what signs it is never far away. The number of the last one put in, or sent when there
 * was none. */
static uint64_t segment_fill(struct core *c, struct stream *s, uint64_t sent, struct segment_writer *w, uint64_t upto, struct cut cut, enum err *e)
{
	struct buf *body = &c->scratch;
	uint64_t n = sent;

	*e = ERR_OK;
	while (n < s->row.held && n < upto && w->entries < LIMIT_SEGMENT_ENTRIES) {
		struct entry_row row;

		buf_clear(body);
		*e = store_entry_find(c->t, s->row.local, n + 1, &row);
		if (*e || (cut.link && minimize_holds_entry(c, &row.e)))
			break;
		cut_expired(c, &row.e);
		if (!body_put(c, s, &row, &cut, body))
			break;
		row.e.flags = (uint8_t)(row.e.flags & ~ENTRY_BODY_APART);
		if (row.e.body_len && !body->len && !(row.e.flags & ENTRY_STUB))
			row.e.flags |= ENTRY_BODY_APART;
		if (w->entries && segment_bytes(w) + segment_entry_bytes(&row.e) > cut.most)
			break;
		segment_add(w, &row.e);
		n++;
	}
	return n;
}

static void damage_told(struct core *c)
{
	struct rd r = rd_init(buf_view(&c->late));

	while (rd_left(&r) >= 8)
		damage_found(c, rd_u64(&r), "its body does not fit its hash");
	buf_clear(&c->late);
}

/* Of an entry that is not here yet, from what came with the head. */
static enum err leaf_kept(struct core *c, const struct stream *s, uint64_t number, const struct head *head, struct hash *out)
{
	struct view leaves;
	enum err e = store_head_leaves(c->t, s->row.local, head->number, &leaves);
	uint64_t from_end = (head->number - number + 1) * HASH_BYTES;

	if (!e && leaves.len < from_end)
		e = ERR_NOT_FOUND;
	if (!e)
		memcpy(out->b, leaves.ptr + leaves.len - from_end, HASH_BYTES);
	return e;
}

/* The leaves of the entries after number up to the head that signs them. */
static enum err tail_leaves(struct core *c, const struct stream *s, uint64_t number, const struct head *head, struct hash tail[LIMIT_HEAD_SPACING], uint16_t *n)
{
	enum err e = ERR_OK;

	*n = 0;
	for (uint64_t k = number + 1; !e && k <= head->number; k++) {
		struct entry_row row;

		if (*n == LIMIT_HEAD_SPACING)
			return ERR_TOO_LARGE;
		if (k > s->row.held) {
			e = leaf_kept(c, s, k, head, &tail[(*n)++]);
			continue;
		}
		e = store_entry_find(c->t, s->row.local, k, &row);
		if (!e)
			tail[(*n)++] = entry_leaf(&row.e);
	}
	return e;
}

/* Where a segment ends between two heads its originator signs one more, so that who has no more than the segment can hand
 * it on. */
static bool head_here(struct core *c, const struct stream *s, uint64_t number, struct head *head)
{
	struct head h = {.number = number};

	/* What an identity of before signed this one does not sign again. */
	if (s->row.name.originator != c->self || (!s->own && c->me->n_former) || number >= head->number || chain_at(c, s, number, &h.chain))
		return false;
	head_sign(c->config.suite, &c->config.keys.identity, &s->hash, &h);
	*head = h;
	return true;
}

/* How many entries whose body comes later it may be given now. */
static unsigned apart_of(const struct flow *f)
{
	uint64_t from = f->guest ? transit_from(f) : f->acked, ahead = f->n_missing + (f->sent > from ? f->sent - from : 0);

	return ahead < APART_AHEAD ? APART_AHEAD - (unsigned)ahead : 0;
}

static struct cut cut_of(struct core *c, const struct peer *p, uint8_t lane, const struct flow *f)
{
	int64_t room = window_room(c, p, lane), piece = (int64_t)window_piece(p, lane), most = piece < room ? piece : room;
	struct cut cut = {.most = 0, .room = window_idle(p, lane) ? INT64_MAX : room, .link = true};

	cut.slices = p->protocol >= PROTOCOL_SLICES;
	cut.along = window_whole(p, lane);
	cut.apart = apart_of(f);

	if (most > SEGMENT_END_BYTES)
		cut.most = (size_t)most - SEGMENT_END_BYTES;
	if (cut.most > SEGMENT_MOST)
		cut.most = SEGMENT_MOST;
	return cut;
}

/* before: for who has nothing before it, what the chain was there. ERR_NOT_FOUND: nothing can be given from there now; ERR_BUSY: not in that room. Then out is as it was. */
static enum err segment_cut(struct core *c, struct stream *s, uint64_t sent, const struct hash *before, struct cut cut, struct buf *out, uint64_t *last, enum err *filled)
{
	struct hash tail[LIMIT_HEAD_SPACING];
	struct segment_writer w;
	struct head head;
	uint16_t n_tail;
	size_t start = out->len;
	enum err e = store_head_from(c->t, s->row.local, sent + 1, &head);

	*last = sent;
	*filled = ERR_OK;
	frame_begin(out, before ? FRAME_SEGMENT_AFTER : FRAME_SEGMENT);
	if (before)
		buf_add(out, view_of(before->b, HASH_BYTES));
	segment_begin(&w, out, &s->row.name, sent + 1);
	if (!e)
		*last = segment_fill(c, s, sent, &w, head.number, cut, filled);
	if (*last > sent && (int64_t)(out->len - start) + SEGMENT_END_BYTES > cut.room) {
		out->len = start;
		return ERR_BUSY;
	}
	if (*last > sent)
		head_here(c, s, *last, &head);
	if (*last == sent || tail_leaves(c, s, *last, &head, tail, &n_tail)) {
		out->len = start;
		return ERR_NOT_FOUND;
	}
	segment_end(&w, tail, n_tail, &head);
	return ERR_OK;
}

bool replicate_cut(struct core *c, struct stream *s, uint64_t sent, bool after, size_t max, struct buf *out, uint64_t *last)
{
	struct cut cut = {.most = max > SEGMENT_END_BYTES ? max - SEGMENT_END_BYTES : 0, .room = INT64_MAX};
	struct hash before;
	enum err filled, e;

	if (cut.most > SEGMENT_MOST)
		cut.most = SEGMENT_MOST;
	if (after && chain_at(c, s, sent, &before))
		return false;
	e = segment_cut(c, s, sent, after ? &before : NULL, cut, out, last, &filled);

	damage_told(c);
	return e == ERR_OK;
}

void lane_sent(struct core *c, struct peer *p, uint8_t lane, struct flow *f, uint64_t upto, size_t bytes)
{
	struct lane_state *l = &p->lane[lane];

	if (!l->ring_n && !l->timeouts)
		l->moved = c->now;
	l->ring[(l->ring_at + l->ring_n) % LANE_RING] = (struct in_flight){.flow = f, .upto = upto, .sent = window_sent(c, p, lane, bytes)};
	l->ring_n++;
	l->sent_in = c->batch;
}

/* Cuts one segment off a flow. False when there is nothing that can be sent now. */
static bool segment_send(struct core *c, struct peer *p, uint8_t lane, struct flow *f)
{
	if (f->sent < f->stream->row.floor) {
		floor_give(c, p, lane, f);
		return false;
	}
	struct buf *out = effect_begin(c->out);
	size_t start = out->len;
	uint64_t last = f->sent;
	struct hash before;
	bool begins = f->guest && f->sent == f->base && f->acked < f->base;
	enum err filled = ERR_OK, e = begins ? chain_at(c, f->stream, f->sent, &before) : ERR_OK;

	if (!e)
		e = segment_cut(c, f->stream, f->sent, begins ? &before : NULL, cut_of(c, p, lane, f), out, &last, &filled);

	if (e) {
		if (e == ERR_BUSY) {
			damage_told(c);
			return false; /* it goes when there is room for it */
		}
		flow_unlist(f); /* it comes back when something changes */
		damage_told(c);
		if (filled)
			segment_damage(c, f->stream, last + 1);
		return false;
	}
	lane_sent(c, p, lane, f, last, out->len - start);
	p->parts[lane].gave_last = false;
	f->sent = last;
	flow_update(c, f);
	room_tried(c, f);
	effect_end_frame(c->out, p->site, lane, SIDE_DIALLED);
	peer_busy(c, p);
	damage_told(c);
	return true;
}

/* Most lanes of a large network never send anything. False when out of memory: the next batch tries again. */
static bool ring_there(struct lane_state *l)
{
	if (!l->ring)
		l->ring = calloc(LANE_RING, sizeof *l->ring);
	return l->ring != NULL;
}

static void pump_lane(struct core *c, struct peer *p, uint8_t lane)
{
	struct lane_state *l = &p->lane[lane];

	while (l->up && l->ring_n < LANE_RING && window_room(c, p, lane) > 0) {
		struct flow *f = flow_next(c, l);
		bool body = p->n_giving && bodies_turn(p, lane, f);

		if ((!f && !body) || !ring_there(l))
			return;
		if (body ? !bodies_give(c, p, lane) : !segment_send(c, p, lane, f) && f->behind)
			return;
	}
}

struct mono replicate_paced(const struct core *c, const struct peer *p, uint8_t lane)
{
	const struct lane_state *l = &p->lane[lane];
	bool waits = p->n_giving > 0;

	for (unsigned k = 0; k < PREC_COUNT && !waits; k++)
		waits = l->behind[k] != NULL;
	return l->up && waits && l->ring_n < LANE_RING ? window_paced(c, p, lane) : MONO_NEVER;
}

/* What came of bodies is in the journal with this commit. */
static void send_got(struct core *c, struct peer *p, uint8_t lane)
{
	frame_got(effect_begin(c->out), p->parts[lane].got_mark);
	effect_end_frame(c->out, p->site, lane, SIDE_ACCEPTED);
	p->parts[lane].got_due = false;
}

static void acks_due(struct core *c, struct peer *p, uint8_t lane)
{
	struct stream **list = calloc(c->n_hot ? c->n_hot : 1, sizeof *list);
	size_t n = 0;

	for (size_t i = 0; list && i < c->n_hot; i++) {
		struct flow *f = lane_of(c->hot[i]) == lane ? flow_of(c->hot[i], p) : NULL;

		if (!f || !f->ack_due)
			continue;
		f->ack_due = false;
		f->tell = f->tell && p->copies; /* the other copy of it does not hear this */
		list[n++] = c->hot[i];
	}
	p->lane[lane].ack_due = false;
	if (n)
		send_acks(c, p, lane, SIDE_ACCEPTED, list, n);
	free(list);
}

void replicate_pump(struct core *c)
{
	for (size_t i = 0; i < c->n_active; i++) {
		window_measure(c, c->active[i]);
		for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
			if (c->active[i]->lane[lane].ack_due)
				acks_due(c, c->active[i], lane);
			if (c->active[i]->parts[lane].got_due)
				send_got(c, c->active[i], lane);
			pump_lane(c, c->active[i], lane);
		}
		lanes_need(c, c->active[i]);
	}
}
