/* replicate_in.c - segments in, from a line or out of a bundle: verified, and appended entry by entry: replicate.h. */
#include "node/core/core_int.h"

/* ---- one entry ---------------------------------------------------------------------------------------------------------- */

/* An exercise message may be purged anywhere; who lacks it gets what is left of it, and has all there is. */
static bool is_purged(const struct entry *e)
{
	struct header h;

	return (e->flags & ENTRY_STUB) && header_decode(e->header, &h) == ERR_OK && h.kind == KIND_MESSAGE && (h.flags & HEADER_EXERCISE);
}

bool entry_expired(const struct core *c, const struct entry *e, int64_t since_us)
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
	if (is_purged(e) || entry_expired(c, e, 0) || has_ended(c, s, e))
		return true;
	c->room.refused_why = BUSY_UNPROVED;
	return false;
}

bool entry_left_out(const struct entry *e)
{
	struct header h;

	return e->body_len && !e->body.len && header_decode(e->header, &h) == ERR_OK && !(h.flags & HEADER_CHUNKED);
}

static bool is_message(const struct entry *e)
{
	struct header h;

	return header_decode(e->header, &h) || h.kind == KIND_MESSAGE;
}

/* It comes by itself: asked of who gave the entry, or of others who have it. */
static bool comes_later(const struct peer *p, const struct entry *e)
{
	return p && p->protocol >= PROTOCOL_SLICES && is_message(e);
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
	bool damaged = entry_left_out(&row->e) && !comes_later(p, &row->e);

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
	if (!stub && ((e->flags & ENTRY_STUB) || (from != s->row.name.originator && entry_left_out(e) && !comes_later(p, e))))
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

/* ---- a segment ----------------------------------------------------------------------------------------------------------- */

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

/* Who gives entries has them: so bodies are asked of it, and it is given none of them. Whether it has what is before them too only itself
 * can say: it may have been a copy on its way, which begins anew when an order makes the giver a custodian. */
static void given_by(struct core *c, struct stream *s, struct peer *p, uint64_t upto)
{
	static const uint64_t first = 1;
	struct flow *f = flow_of(s, p);

	if (!f && !(f = flow_add(c, s, p)))
		return;
	s->giver = p->site;
	if (!f->guest)
		return;
	if (!s->transit)
		transit_guests(c, s);
	if (!f->known)
		flow_missing(c, f, &first, 1);
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
	uint64_t last = store_last_arrival(c->t);
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
	if (store_last_arrival(c->t) > last)
		store_bearer_put(c->t, from, lane_of(s), last + 1, p ? p->lane[lane_of(s)].over : "courier");
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
	p->parts[lane].heard = c->now;
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
