/* replicate.c - segments out and in, frontiers, resume. ZeroMQ counts as lossy: what was sent is kept until the peer's
 * journal has it, and everything here may be repeated, lost or cut at any point. */
#include <stdio.h>

#include "node/core/core_int.h"

/* The head that signs a segment, and how many hashes stand before it. */
#define SEGMENT_END_BYTES 128
#define SEGMENT_MOST (LIMIT_SEGMENT_BYTES - LIMIT_HEAD_SPACING * HASH_BYTES)
/* A sealed body of 1 KiB and less always goes with its entry. */
#define BODY_ALONG (FRAME_LEAST + 128)
/* Entries of a stream that may go before the bodies of those before them; more than LIMIT_NOT_WHOLE nobody takes. */
#define APART_AHEAD 32
/* A message that expired so long ago goes as a stub. */
#define EXPIRED_FOR_US (60 * US_PER_S)

/* ---- flows: which streams have something to send to whom -------------------------------------------------------------- */

static uint8_t lane_of(const struct stream *s)
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

/* ---- segments in ----------------------------------------------------------------------------------------------------------------- */

/* An exercise message may be purged anywhere; who lacks it gets what is left of it, and has all there is. */
static bool is_purged(const struct entry *e)
{
	struct header h;

	return (e->flags & ENTRY_STUB) && header_decode(e->header, &h) == ERR_OK && h.kind == KIND_MESSAGE && (h.flags & HEADER_EXERCISE);
}

/* What is left of a message whose time has passed is all there is: it is never handed out. */
static bool is_expired(const struct core *c, const struct entry *e, int64_t since_us)
{
	struct header h;

	return !c->clock_unsure && header_decode(e->header, &h) == ERR_OK && h.kind == KIND_MESSAGE && h.expires.us && !(h.flags & HEADER_CLOCK_UNSURE) &&
	       h.expires.us + since_us <= c->wall.us;
}

/* A report says that the message has ended. */
static bool has_ended(struct core *c, const struct stream *s, const struct entry *e)
{
	struct buf events = BUF_EMPTY;
	struct msg_row row;
	struct header h;
	uint8_t which;
	bool ended = header_decode(e->header, &h) == ERR_OK && h.kind == KIND_MESSAGE && msg_load(c, &h.id, s->row.name.addressee, &row, &events) == ERR_OK &&
		     events_ended(c, buf_view(&events), h.originator, s->row.name.addressee, s->row.name.exercise, &which);

	buf_release(&events);
	return ended;
}

/* Its header, or a report, proves of a stub that nothing is missing; one of which that is not known yet is not taken, not even from who
 * wrote it: somebody else may have it whole. */
bool stub_proved(struct core *c, const struct stream *s, const struct entry *e)
{
	if (!(e->flags & ENTRY_STUB))
		return false;
	if (is_purged(e) || is_expired(c, e, 0) || has_ended(c, s, e))
		return true;
	c->room.refused_why = BUSY_UNPROVED;
	return false;
}

/* A body that lies with its entry did not come with it. */
static bool left_out(const struct entry *e)
{
	struct header h;

	return e->body_len && !e->body.len && header_decode(e->header, &h) == ERR_OK && !(h.flags & HEADER_CHUNKED);
}

static bool is_message(const struct entry *e)
{
	struct header h;

	return header_decode(e->header, &h) || h.kind == KIND_MESSAGE;
}

/* It comes by itself: asked of who gave the entry, or of others who have it. What is urgent is whole, or waits for who has it whole. */
static bool comes_later(const struct peer *p, const struct stream *s, const struct entry *e)
{
	return p && p->protocol >= PROTOCOL_SLICES && lane_of(s) == LANE_BULK && is_message(e);
}

static void heard_sent(struct core *c, const struct stream *s, const struct entry *e)
{
	struct header h;

	if (header_decode(e->header, &h) == ERR_OK)
		copies_entry(c, &s->row.name, h.sent);
}

/* The body comes by itself, in parts or slices. One of one piece that does not was damaged where it was written, and comes with its entry from
 * who has it. */
static void entry_apart(struct core *c, const struct peer *p, struct stream *s, const struct entry_row *row)
{
	static const struct hash again;
	bool damaged = left_out(&row->e) && !comes_later(p, s, &row->e);

	store_missing_put(c->t, s->row.local, row->number, damaged ? &again : &row->e.body_hash);
	if (damaged)
		c->scrub.again = true;
	else
		bodies_fetch(c, s, row->number, &row->e.body_hash);
}

/* Appends one verified entry. False when it has to stop here. p: who gave it on a line, NULL for a bundle. */
static bool take_entry(struct core *c, const struct peer *p, uint16_t from, struct stream *s, const struct entry *e, const struct hash *chain)
{
	struct entry_row row = {
		.stream = s->row.local, .number = s->row.held + 1, .chain = *chain, .stored = c->wall, .from = from,
		.body_class = s->row.name.exercise ? BODY_EXERCISE : BODY_OPERATIONAL, .e = *e,
	};
	bool stub = stub_proved(c, s, e), apart = e->body_len && !e->body.len && !stub;
	struct body_row have;

	/* Only who wrote an entry may leave its body out where that would not come by itself. */
	if (!stub && ((e->flags & ENTRY_STUB) || (from != s->row.name.originator && left_out(e) && !comes_later(p, s, e))))
		return false;

	if (apart && store_body_find(c->t, row.body_class, &e->body_hash, &have) == ERR_OK && have.whole && have.refs) {
		row.body_no = have.body_no;
		have.refs++;
		store_body_put_row(c->t, &have);
		apart = false;
	}
	if (apart && s->n_missing >= LIMIT_NOT_WHOLE)
		return false;
	store_entry_append(c->t, &row);
	if (!c->fresh_from)
		c->fresh_from = row.arrival;
	s->row.held = row.number;
	s->row.chain = *chain;
	s->signed_to = row.number;
	if (apart) {
		s->missing[s->n_missing++] = row.number;
		entry_apart(c, p, s, &row);
	}
	heard_sent(c, s, e);
	room_took(c, s->row.name.precedence, s->row.name.originator, e->body.len + e->envelope.len);
	/* The store wrote: the views of row still lie in the frame, so they stay good. */
	deliver_entry(c, s, &row);
	return true;
}

static void flow_ack(struct core *c, struct stream *s, const struct peer *p)
{
	struct flow *f = flow_of(s, p);

	stream_heat(c, s);
	if (!f && (s->row.held || concerns(c, p->site, &s->row.name)))
		f = flow_add(c, s, (struct peer *)p);
	if (f)
		f->ack_due = true;
}

/* Does it say something else under a number that is held here? */
static bool another_branch(struct core *c, const struct stream *s, const struct segment *seg, const struct hash *after)
{
	uint64_t last = seg->first + seg->entries - 1, at = last < s->row.held ? last : s->row.held;
	struct hash ours;

	return seg->first <= at && chain_at(c, s, at, &ours) == ERR_OK && !hash_equal(&ours, &after[at - seg->first]);
}

void flow_fork(struct core *c, struct flow *f, uint64_t agreed)
{
	f->forked = true;
	f->agreed = agreed;
	f->sent = agreed > f->stream->row.floor ? agreed : f->stream->row.floor;
	f->known = true;
	flow_update(c, f);
}

/* What the peer gave is another history of s from somewhere in the segment on: it is kept, and the peer gets ours. */
static void branch_found(struct core *c, struct peer *p, struct stream *s, const struct segment *seg, const struct hash *after, struct view raw)
{
	struct flow *f = p ? flow_of(s, p) : NULL;

	branch_keep(c, s, seg->first, &after[seg->entries - 1], raw);
	if (f)
		flow_ack(c, s, p);
	if (f && !f->forked)
		flow_fork(c, f, seg->first - 1);
}

/* A peer's doing is counted and alarmed; what a bundle holds is refused alone. */
static enum err segment_bad(struct core *c, struct peer *p, enum err e, const char *what)
{
	if (p)
		peer_bad(c, p, what);
	return e;
}

/* By the identity of its originator, or one of before. What the present one signs no former one goes on with. */
enum err segment_signed(struct core *c, const struct site *o, struct stream *s, const struct hash *stream, const struct hash *before,
			struct segment *seg, struct hash *after, struct entry *e, enum signer *signer)
{
	bool now = s && o->n_former && stream_signer(c, s) == SIGNER_NOW;
	const struct sign_public *key;
	enum err rc = ERR_AUTH;

	for (size_t i = 0; rc && (i == 0 || !now) && (key = site_identity(o, i)); i++) {
		rc = segment_verify(c->config.suite, key, stream, before, seg, after, e);
		*signer = i ? SIGNER_FORMER : SIGNER_NOW;
	}
	return rc;
}

/* Does it go on where something kept apart ends? Then it is kept with it. */
static bool on_a_branch(struct core *c, struct stream *s, struct segment *seg, struct hash *after, struct view raw)
{
	const struct site *o = roster_site(c->roster, seg->name.originator);
	enum signer signer;
	struct hash *ends = calloc(BRANCHES_MAX, sizeof *ends);
	size_t n = ends ? branches_before(c, s, seg->first, ends) : 0;
	bool found = false;

	for (size_t i = 0; !found && i < n; i++)
		found = segment_signed(c, o, s, &s->hash, &ends[i], seg, after, NULL, &signer) == ERR_OK;
	if (found)
		branch_keep(c, s, seg->first, &after[seg->entries - 1], raw);
	free(ends);
	return found;
}

/* What ends before the head that signs it can be handed on only with the leaves of what is between. */
static void head_keep(struct core *c, struct stream *s, const struct segment *seg, const struct entry *e)
{
	struct hash leaves[LIMIT_HEAD_SPACING];
	uint64_t first = s->row.held >= seg->first ? s->row.held + 1 : seg->first;
	uint64_t n = first > seg->head.number ? 0 : seg->head.number - first + 1, at = 0;

	for (uint64_t k = first; n <= LIMIT_HEAD_SPACING && k < seg->first + seg->entries; k++)
		leaves[at++] = entry_leaf(&e[k - seg->first]);
	if (n <= LIMIT_HEAD_SPACING && n > at)
		memcpy(leaves + at, seg->tail_bytes.ptr + seg->tail_bytes.len - (n - at) * HASH_BYTES, (n - at) * HASH_BYTES);
	store_head_put_leaves(c->t, &s->row, &seg->head, view_of((const uint8_t *)leaves, n <= LIMIT_HEAD_SPACING ? n * HASH_BYTES : 0));
}

/* Who gives entries has them: so bodies are asked of it, and it is given none of them. */
static void given_by(struct core *c, struct stream *s, struct peer *p, uint64_t upto)
{
	struct flow *f = flow_of(s, p);

	if (!f && !(f = flow_add(c, s, p)))
		return;
	s->giver = p->site;
	if (!f->guest)
		return;
	if (!s->transit)
		transit_guests(c, s);
	f->known = true;
	f->acked = f->acked > upto ? f->acked : upto;
	f->sent = f->sent > f->acked ? f->sent : f->acked;
}

/* When room is short the giver keeps its messages and gives them again; reports and grants are taken while there is any. */
static enum err take_entries(struct core *c, const struct peer *p, uint16_t from, struct stream *s, const struct segment *seg, const struct entry *e, const struct hash *after)
{
	bool admits = s->transit || room_admits(c, seg->name.precedence, seg->name.originator, true), go = true;

	c->room.refused_why = 0;

	for (uint16_t i = 0; go && i < seg->entries; i++)
		if (seg->first + i == s->row.held + 1) {
			if (!admits && is_message(&e[i]))
				c->room.refused_why = BUSY_ROOM;
			go = !c->room.refused_why && take_entry(c, p, from, s, &e[i], &after[i]);
		} else if (seg->first + i <= s->row.held && e[i].body.len) {
			bodies_came(c, s, seg->first + i, &e[i]);
		}
	if (seg->head.number > s->row.head)
		head_keep(c, s, seg, e);
	stream_advanced(c, s);
	return go ? ERR_OK : ERR_BUSY;
}

/* s: NULL for a stream that begins here; it is made when its first segment is seen to be signed. p: NULL for what came in a
 * bundle. ERR_AUTH, ERR_CONFLICT (another history, or our own stream), ERR_TOO_LARGE (streams), ERR_BUSY (not all of it now). */
static enum err take_segment(struct core *c, struct peer *p, uint16_t from, struct stream *s, const struct hash *stream, struct segment *seg,
			     const struct hash *before, struct view raw)
{
	bool foreign = !concerns(c, c->self, &seg->name);
	const struct site *o = roster_site(c->roster, seg->name.originator);
	struct hash *after = calloc(seg->entries ? seg->entries : 1, sizeof *after);
	struct entry *e = calloc(seg->entries ? seg->entries : 1, sizeof *e);
	enum signer signer = SIGNER_UNKNOWN;
	enum err rc = ERR_OK;

	if (!after || !e) {
		txn_fail(c->t, rc = ERR_NOMEM);
		goto out;
	}
	if (segment_signed(c, o, s, stream, before, seg, after, e, &signer)) {
		rc = s && on_a_branch(c, s, seg, after, raw) ? ERR_CONFLICT : ERR_AUTH;
		if (rc == ERR_AUTH && (!s || !s->forked))
			segment_bad(c, p, rc, "a segment that its originator did not sign, or that does not follow what is here");
		goto out;
	}
	if (foreign && !transit_accepts(c, &seg->name)) {
		if (p)
			p->refused++;
		rc = ERR_BUSY;
		goto out;
	}
	if (s && another_branch(c, s, seg, after)) {
		branch_found(c, p, s, seg, after, raw);
		rc = ERR_CONFLICT;
		goto out;
	}
	if (s && s->own) {
		rc = segment_bad(c, p, ERR_CONFLICT, "this node's own stream back to it");
		goto out;
	}
	if (!s && !(s = stream_new(c, &seg->name))) {
		rc = segment_bad(c, p, ERR_TOO_LARGE, "more streams than a site may have");
		goto out;
	}
	struct stream_row was = s->row;
	bool begins = foreign && seg->first > s->row.held + 1;

	if (begins && !transit_begin(c, s, seg->first - 1, before)) {
		if (p)
			flow_ack(c, s, p);
		rc = ERR_GAP;
		goto out;
	}
	s->signer = signer;
	s->signer_under = c->roster->serial;
	if (p)
		given_by(c, s, p, seg->first + seg->entries - 1);
	if (p)
		flow_ack(c, s, p);
	else
		stream_ack(c, s);
	rc = take_entries(c, p, from, s, seg, e, after);
	if (begins && s->row.held < seg->first)
		s->row = was; /* none of it could be taken */
	else if (begins)
		store_floor_put(c->t, &s->row, 0, view_of(NULL, 0));
	if (p)
		p->refused += rc == ERR_BUSY;
out:
	free(after);
	free(e);
	return rc;
}

/* Ours as it is says nothing; another history of it says that another copy of this site lives. */
static bool is_ours_beyond(const struct core *c, const struct stream *s, const struct segment *seg)
{
	return seg->name.originator == c->self && incarnation_equal(&seg->name.incarnation, &c->incarnation) && (!s || seg->first > s->row.held);
}

/* Entries at or below the floor are taken off, since what they follow is not here any more. False when nothing is left. */
static bool above_floor(const struct stream *s, struct segment *seg)
{
	struct entry e;

	while (seg->entries && seg->first <= s->row.floor && segment_next(&seg->entry_bytes, &e) == ERR_OK) {
		seg->first++;
		seg->entries--;
	}
	return seg->entries > 0;
}

/* after: what the giver says that the chain was before the segment; for what only passes through here, which may begin there.
 * ERR_GAP: something before it is missing here; those of take_segment. */
static enum err segment_in(struct core *c, struct peer *p, uint16_t from, struct stream *s, struct segment *seg, const struct hash *after, struct view raw)
{
	struct hash hash, before;

	hash = s ? s->hash : stream_hash(&c->roster->network_hash, &seg->name);
	if (!s && seg->first == 1)
		return take_segment(c, p, from, NULL, &hash, seg, &hash, raw);
	if (after && seg->first > (s ? s->row.held : 0) + 1 && !concerns(c, c->self, &seg->name))
		return take_segment(c, p, from, s, &hash, seg, after, raw);
	if (!s)
		return ERR_GAP;
	if (p)
		flow_ack(c, s, p);
	if (seg->first > s->row.held + 1 && !s->forked)
		return ERR_GAP; /* the frontier that goes back says where we are */
	if (seg->first > s->row.held + 1)
		before = (struct hash){{0}}; /* it may go on where something kept apart ends */
	else if (!above_floor(s, seg) || chain_at(c, s, seg->first - 1, &before))
		return ERR_OK; /* all of it was here once, or what is before it cannot be read */
	return take_segment(c, p, from, s, &hash, seg, &before, raw);
}

void replicate_segment(struct core *c, struct peer *p, uint8_t lane, struct segment *seg, const struct hash *after, struct view raw)
{
	if (lane == LANE_BULK)
		p->bulk_heard = c->now;
	if (!roster_site(c->roster, seg->name.originator)) {
		p->refused++;
		return;
	}
	struct stream *s = stream_by_name(c, &seg->name);

	if (is_ours_beyond(c, s, seg)) {
		peer_bad(c, p, "this node's own stream back to it");
		return;
	}
	if (!s && seg->first != 1 && !after)
		return;
	p->lane[lane].ack_due = true;
	/* Told to the peer by the frontier that goes back, or counted against it. */
	if (segment_in(c, p, p->site, s, seg, after, raw) == ERR_BUSY && c->room.refused_why && (s = stream_by_name(c, &seg->name)))
		room_refused(c, p, lane, seg, s->row.held);
}

enum err replicate_apply(struct core *c, uint16_t from, struct segment *seg, const struct hash *after, struct view raw)
{
	if (!roster_site(c->roster, seg->name.originator))
		return ERR_UNKNOWN_SITE;
	if (!concerns(c, c->self, &seg->name) && !transit_accepts(c, &seg->name))
		return space_admits(c, ROOM_TRANSIT) ? ERR_NOT_PERMITTED : ERR_BUSY;
	struct stream *s = stream_by_name(c, &seg->name);

	/* Much of a bundle for everybody is what this site wrote itself. */
	if (s && s->own && seg->first + seg->entries - 1 <= s->row.held)
		return ERR_OK;
	if (is_ours_beyond(c, s, seg))
		return ERR_CONFLICT;
	return segment_in(c, NULL, from, s, seg, after, raw);
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
	if ((e->flags & ENTRY_STUB) || !is_expired(c, e, EXPIRED_FOR_US))
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
	unsigned apart; /* and so many may at most */
};

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
	if (goes_apart(row, cut)) {
		if (!cut->apart)
			return false; /* it goes when some of those that went have their bodies */
		cut->apart--;
		return true;
	}
	/* One that is still to come here goes without it to who asks for bodies of one chunk. */
	row->e.body = view_of(NULL, 0);
	if (!cut->slices && s->row.name.originator != c->self && !(row->e.flags & ENTRY_STUB) && !row->body_no && left_out(&row->e))
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

	cut.slices = p->protocol >= PROTOCOL_SLICES && lane == LANE_BULK;
	cut.along = piece > BODY_ALONG ? (uint64_t)piece : BODY_ALONG;
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
	p->gave_last = p->gave_last && lane != LANE_BULK;
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
		bool body = lane == LANE_BULK && p->n_giving && bodies_turn(p, f);

		if ((!f && !body) || !ring_there(l))
			return;
		if (body ? !bodies_give(c, p) : !segment_send(c, p, lane, f) && f->behind)
			return;
	}
}

/* What came of bodies is in the journal with this commit. */
static void send_got(struct core *c, struct peer *p)
{
	frame_got(effect_begin(c->out), p->got_mark);
	effect_end_frame(c->out, p->site, LANE_BULK, SIDE_ACCEPTED);
	p->got_due = false;
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
			if (lane == LANE_BULK && c->active[i]->got_due)
				send_got(c, c->active[i]);
			pump_lane(c, c->active[i], lane);
		}
		lanes_need(c, c->active[i]);
	}
}
