/* frontiers.c - how far everybody has each stream: digests at connect, frontiers after it, which are the acknowledgements. */
#include <stdio.h>

#include "node/core/core_int.h"

static void loss_alarm(struct core *c, struct peer *p);

/* ---- what we hold, told ------------------------------------------------------------------------------------------------- */

/* What is below the floor of a copy is not here either: all that there is room for of one that is kept. Of one on its way the first number
 * says it, for who comes to know of an order while that is under way: when the site has to hold the stream itself it begins anew. */
static uint16_t not_whole(const struct stream *s, uint64_t out[LIMIT_NOT_WHOLE])
{
	uint64_t lacks = s->kept ? s->row.floor : s->transit && s->row.floor ? 1 : 0;
	uint16_t n = 0;

	for (uint64_t number = 1; number <= lacks && n < LIMIT_NOT_WHOLE; number++)
		out[n++] = number;
	for (uint16_t i = 0; i < s->n_missing && n < LIMIT_NOT_WHOLE; i++)
		out[n++] = s->missing[i];
	return n;
}

struct frontier frontier_of(const struct stream *s)
{
	struct frontier f = {.stream = s->row.name, .number = s->row.held, .chain = s->row.chain};

	f.not_whole = not_whole(s, f.missing);
	return f;
}

static int by_name(const void *a, const void *b)
{
	const struct stream *const *x = a, *const *y = b;

	return memcmp((*x)->hash.b, (*y)->hash.b, HASH_BYTES);
}

/* Streams of one originator that we hold something of and that concern the peer, sorted by hash. */
static size_t shared_streams(struct core *c, const struct peer *p, uint16_t originator, struct stream **out)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];

		if (s->row.name.originator == originator && s->row.held && concerns(c, c->self, &s->row.name) && concerns(c, p->site, &s->row.name))
			out[n++] = s;
	}
	qsort(out, n, sizeof *out, by_name);
	return n;
}

static struct hash digest_of(struct stream *const *list, size_t n)
{
	struct buf b = BUF_EMPTY;

	for (size_t i = 0; i < n; i++) {
		struct frontier f = frontier_of(list[i]);

		frontier_add(&b, &f);
	}
	struct hash h = crypt_hash(HASH_FRONTIERS, buf_view(&b));

	buf_release(&b);
	return h;
}

/* One line an originator of whom we share something. Returned array is the caller's. */
static struct digest_line *digest_make(struct core *c, struct peer *p, size_t *n)
{
	struct stream **list = calloc(c->n_streams ? c->n_streams : 1, sizeof *list);
	struct digest_line *lines = calloc(c->roster->n_sites ? c->roster->n_sites : 1, sizeof *lines);

	*n = 0;
	for (size_t i = 0; list && lines && i < c->roster->n_sites; i++) {
		uint16_t originator = c->roster->sites[i].number;
		size_t k = shared_streams(c, p, originator, list);

		if (k)
			lines[(*n)++] = (struct digest_line){.originator = originator, .hash = digest_of(list, k)};
	}
	free(list);
	return lines;
}

void replicate_offer(struct core *c, struct peer *p)
{
	free(p->digest);
	p->digest = digest_make(c, p, &p->n_digest);
	for (size_t i = 0; i < c->n_streams; i++) {
		struct flow *f = flow_of(c->streams[i], p);

		if (f && !f->guest) {
			f->offered = c->streams[i]->row.held;
			f->asked = f->acked;
			if (f->forked && f->agreed < f->sent)
				flow_fork(c, f, f->agreed); /* some of it may have been lost */
		}
	}
	frame_digest(effect_begin(c->out), p->digest, p->n_digest);
	effect_end_frame(c->out, p->site, LANE_URGENT, SIDE_DIALLED);
	lists_drop(c, p);
	p->digest_out = true;
	p->digest_at = c->now;
}

void send_frontiers(struct core *c, struct peer *p, uint8_t lane, uint8_t side, uint16_t complete, struct stream *const *list, size_t n)
{
	size_t at = 0;

	do {
		struct buf *out = effect_begin(c->out);
		size_t start = out->len;

		frame_frontiers_begin(out, complete);
		for (; at < n && out->len - start < LIMIT_SEGMENT_BYTES - 1024; at++) {
			struct frontier f = frontier_of(list[at]);

			frontier_add(out, &f);
		}
		effect_end_frame(c->out, p->site, lane, side);
	} while (at < n);
}

/* Does the peer have the stream, so that a few bytes of its hash name it? Another copy of that site may not. */
static bool knows_stream(const struct peer *p, const struct stream *s, const struct flow *f)
{
	return p->protocol >= PROTOCOL_SHORT && !p->copies && !s->forked && f && !f->forked &&
	       (f->acked > 0 || (s->row.name.originator == p->site && p->met && incarnation_equal(&s->row.name.incarnation, &p->incarnation)));
}

static void ack_write(struct buf *out, const struct stream *s)
{
	struct ack a = {.number = s->row.held};

	a.not_whole = not_whole(s, a.missing);
	memcpy(a.stream, s->hash.b, sizeof a.stream);
	memcpy(a.chain, s->row.chain.b, sizeof a.chain);
	ack_add(out, &a);
}

void send_acks(struct core *c, struct peer *p, uint8_t lane, uint8_t side, struct stream *const *list, size_t n)
{
	struct stream **rest = calloc(n ? n : 1, sizeof *rest);
	struct buf *out = NULL;
	size_t n_rest = 0, start = 0;

	for (size_t i = 0; rest && i < n; i++) {
		if (!knows_stream(p, list[i], flow_of(list[i], p))) {
			rest[n_rest++] = list[i];
			continue;
		}
		if (!out) {
			out = effect_begin(c->out);
			start = out->len;
			frame_begin(out, FRAME_ACKS);
		}
		ack_write(out, list[i]);
		if (out->len - start >= LIMIT_SEGMENT_BYTES - 1024) {
			effect_end_frame(c->out, p->site, lane, side);
			out = NULL;
		}
	}
	if (out)
		effect_end_frame(c->out, p->site, lane, side);
	if (n_rest)
		send_frontiers(c, p, lane, side, 0, rest, n_rest);
	free(rest);
}

static const struct digest_line *line_of(const struct digest_line *lines, size_t n, uint16_t originator)
{
	for (size_t i = 0; i < n; i++)
		if (lines[i].originator == originator)
			return &lines[i];
	return NULL;
}

/* The dialler's digest came in: all frontiers of each originator where ours differ, then our own digest, which says
 * that the other lines were equal. */
static void answer_digest(struct core *c, struct peer *p, const struct digest_line *theirs, size_t n_theirs)
{
	struct stream **list = calloc(c->n_streams ? c->n_streams : 1, sizeof *list);
	size_t n;
	struct digest_line *ours = digest_make(c, p, &n);

	for (size_t i = 0; list && ours && i < c->roster->n_sites; i++) {
		uint16_t o = c->roster->sites[i].number;
		const struct digest_line *a = line_of(ours, n, o), *b = line_of(theirs, n_theirs, o);

		if (a && b && hash_equal(&a->hash, &b->hash))
			continue;
		if (a || b)
			send_frontiers(c, p, LANE_URGENT, SIDE_ACCEPTED, o, list, shared_streams(c, p, o, list));
	}
	frame_digest(effect_begin(c->out), ours, n);
	effect_end_frame(c->out, p->site, LANE_URGENT, SIDE_ACCEPTED);
	free(ours);
	free(list);
}

void flow_learnt(struct core *c, struct flow *f, uint64_t number)
{
	bool first = !f->known;

	if (number < f->acked)
		f->stream->settled = 0;

	f->known = true;
	if (number != f->acked || first)
		f->stalled_since = MONO_NEVER;
	if (number > f->acked)
		f->retry_us = 0;
	f->acked = number;
	if (f->sent < number || first)
		f->sent = number;
	if (f->acked >= f->stream->row.held)
		f->helping = false;
	if (f->guest || transit_has_guests(c, f->stream) || f->stream->transit)
		transit_due(c, f->stream);
	flow_update(c, f);
}

static void missing_upto(struct core *c, struct flow *f, const struct frontier *fr, uint64_t upto)
{
	uint16_t n = 0;

	while (n < fr->not_whole && fr->missing[n] <= upto)
		n++;
	flow_missing(c, f, fr->missing, n);
}

/* How far it has it, and what of that is not whole. */
static void flow_heard(struct core *c, struct flow *f, const struct frontier *fr)
{
	flow_learnt(c, f, fr->number);
	flow_missing(c, f, fr->missing, fr->not_whole);
	if (transit_cramped(f->stream, f->peer))
		transit_due(c, f->stream); /* what it lacks comes from others */
	waits_stream(c, f->stream);
}

void flow_vouched(struct core *c, struct flow *f, const struct frontier *fr)
{
	flow_heard(c, f, fr);
	f->vouched = true;
}

static void digest_equal(struct core *c, struct peer *p, uint16_t originator)
{
	uint64_t missing[LIMIT_NOT_WHOLE];

	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];
		struct flow *f = s->row.name.originator == originator ? flow_of(s, p) : NULL;

		if (!f || f->guest)
			continue;
		f->ahead = 0;
		if (!f->known || f->acked < f->offered) {
			flow_learnt(c, f, f->offered);
			flow_missing(c, f, missing, not_whole(s, missing));
			waits_stream(c, s);
		}
	}
}

void replicate_tell(struct core *c, struct peer *p)
{
	struct stream **list = calloc(c->n_hot ? c->n_hot : 1, sizeof *list);
	size_t n = 0;

	for (size_t i = 0; list && i < c->n_hot; i++) {
		struct flow *f = flow_of(c->hot[i], p);

		if (!f || !f->tell)
			continue;
		f->tell = false;
		list[n++] = c->hot[i];
	}
	p->tell_due = false;
	if (n)
		send_acks(c, p, LANE_URGENT, p->lane[LANE_URGENT].up ? SIDE_DIALLED : SIDE_ACCEPTED, list, n);
	if (n && p->copies && p->lane[LANE_URGENT].up)
		send_frontiers(c, p, LANE_URGENT, SIDE_ACCEPTED, 0, list, n);
	free(list);
}

/* ---- what they hold, heard -------------------------------------------------------------------------------------------------- */

/* Takes what an acknowledgement covers out of the air and measures the link by it. */
void ring_acked(struct core *c, struct peer *p)
{
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
		struct lane_state *l = &p->lane[lane];
		bool again = l->timeouts > 0; /* sent more than once: nobody knows which of them was answered, and how soon */
		bool moved = false;

		while (l->ring_n) {
			struct in_flight *i = &l->ring[l->ring_at];

			if (i->flow ? i->flow->acked < i->upto && !i->flow->forked : p->parts[lane].got < i->upto)
				break;
			moved = true;
			window_acked(c, p, lane, &i->sent);
			p->acked_bytes += i->sent.bytes;
			if (!again)
				p->rtt_us = p->rtt_us ? (7 * p->rtt_us + (c->now.us - i->sent.at.us)) / 8 : c->now.us - i->sent.at.us;
			l->ring_at = (l->ring_at + 1) % LANE_RING;
			l->ring_n--;
			l->timeouts = 0;
			l->silences = 0;
			p->last_ack = c->now;
			p->last_ack_wall = c->wall;
		}
		if (moved) {
			l->moved = c->now;
			window_answers(c, p, lane);
		}
	}
	int64_t span = c->now.us - p->rate_from.us;

	if (span > US_PER_S) {
		p->rate_bps = span < 10 * US_PER_S ? p->acked_bytes * 8 * US_PER_S / span : 0;
		p->acked_bytes = 0;
		p->rate_from = c->now;
	}
}

enum err chain_at(struct core *c, const struct stream *s, uint64_t number, struct hash *out)
{
	struct entry_row row;

	if (number == 0)
		*out = s->hash;
	else if (number == s->row.held)
		*out = s->row.chain;
	else if (number == s->row.floor)
		*out = s->row.floor_chain;
	else {
		enum err e = number < s->row.held ? store_entry_find(c->t, s->row.local, number, &row) : ERR_NOT_FOUND;

		if (e)
			return e;
		*out = row.chain;
	}
	return ERR_OK;
}

/* A successor that does not serve yet wants to know of every stream to the site whose queues it was given. */
static bool catching_up(const struct core *c, const struct stream_name *n)
{
	const struct chain *ch = c->takeover.n_chains ? chain_find(c, n->addressee, n->exercise) : NULL;

	return ch && !ch->ready && ch->now && order_names(&ch->now->order, c->self);
}

/* Of what is only passed on: one that has more than we has all that is here, and one that stands before our floor has what it says.
 * Who was to begin at a base and says less has something older that it has to keep: it gets what follows that. */
static bool guest_heard(struct core *c, struct flow *f, const struct frontier *fr)
{
	struct stream *s = f->stream;

	if (f->giving && f->sent > f->acked && f->base > f->acked && fr->number < f->base && !f->no_base) {
		f->no_base = true;
		f->sent = f->acked; /* at once: waiting for what it does not take would look like a dead line */
		flow_update(c, f);
	}
	if (s->own && fr->number > s->row.held) {
		peer_bad(c, f->peer, "it claims entries that this node never wrote");
		return true;
	}
	bool more = fr->number > s->row.held, below = fr->number < s->row.floor;

	if (more || (below && fr->number >= f->acked)) {
		flow_learnt(c, f, more ? s->row.held : fr->number);
		missing_upto(c, f, fr, f->acked);
	}
	return more || below;
}

/* What the peer had was a copy that it kept; it has begun anew since: kept.h. */
static bool lacks_its_beginning(const struct flow *f)
{
	return f->n_missing && f->missing[0] == 1;
}

/* hash_bytes: of the chain hash so many were told. s: NULL when the stream is not known here. */
static void heard_of(struct core *c, struct peer *p, struct stream *s, const struct frontier *fr, bool complete, size_t hash_bytes)
{
	if (fr->stream.originator == c->self && fr->number > (s ? s->row.held : 0))
		copies_own(c, p, &fr->stream);
	/* After a loss, what peers show of streams unknown here is what has to come back first. */
	if (!s && complete && (c->recovering || catching_up(c, &fr->stream)) && fr->number && concerns(c, c->self, &fr->stream) && roster_site(c->roster, fr->stream.originator))
		s = stream_new(c, &fr->stream);
	struct flow *f = s ? flow_of(s, p) : NULL;
	struct hash chain;

	if (!f)
		return;
	f->vouched = false;
	f->asks = 0;
	f->named = f->named || complete;
	if (f->guest && guest_heard(c, f, fr))
		return;
	if (complete)
		f->ahead = 0; /* what it showed before it may have lost since */
	if (fr->number > s->row.held) {
		f->ahead = fr->number;
		/* It has more than we do. Of a stream that we write that cannot be; of others we may still get it. */
		if (s->own)
			peer_bad(c, p, "it claims entries that this node never wrote");
		else if (!f->known || f->acked < s->row.held)
			flow_learnt(c, f, s->row.held);
		missing_upto(c, f, fr, s->row.held);
		return;
	}
	/* What it has of it is not here any more: it cannot be compared, and gets the floor. */
	bool below = fr->number && fr->number < s->row.floor;

	if (!below && chain_at(c, s, fr->number, &chain))
		return;
	if (!below && memcmp(chain.b, fr->chain.b, hash_bytes) != 0) {
		copies_fork(c, s);
		/* Once a connection: each shows the other its own history, and acknowledges with it what it gets. */
		if (!f->forked)
			flow_fork(c, f, f->agreed);
		return;
	}
	f->agreed = !below && fr->number > f->agreed ? fr->number : f->agreed;
	if (fr->number < f->acked && f->known) {
		if (!complete || fr->number >= f->asked)
			return; /* an older acknowledgement that was overtaken */
		if (!lacks_its_beginning(f))
			loss_alarm(c, p);
		f->sent = fr->number;
	}
	flow_heard(c, f, fr);
}

static void heard_frontier(struct core *c, struct peer *p, const struct frontier *fr, bool complete)
{
	heard_of(c, p, stream_by_name(c, &fr->stream), fr, complete, HASH_BYTES);
}

/* In short: of a stream that is not known here it says nothing that the next digest does not. */
static void heard_ack(struct core *c, struct peer *p, const struct ack *a)
{
	struct stream *s = stream_by_handle(c, a->stream);
	struct frontier fr = {.number = a->number, .not_whole = a->not_whole};

	if (!s)
		return;
	fr.stream = s->row.name;
	memcpy(fr.chain.b, a->chain, sizeof a->chain);
	memcpy(fr.missing, a->missing, a->not_whole * sizeof a->missing[0]);
	heard_of(c, p, s, &fr, false, ACK_HASH_BYTES);
}

void frontier_heard(struct core *c, struct peer *p, const struct frontier *fr)
{
	heard_frontier(c, p, fr, false);
}

static void loss_alarm(struct core *c, struct peer *p)
{
	char name[LIMIT_NAME_BYTES + 1];

	alarm_raise(c, "loss", site_name(c, p->site, name), "find out what happened to that site's journal; what is here is sent to it again",
		    "%s lost entries that it had acknowledged", name);
}

/* The complete lists have ended: what they do not name, the peer does not have. */
static void heard_absent(struct core *c, struct peer *p)
{
	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];
		struct flow *f = flow_of(s, p);

		if (!f || f->guest || f->named || !line_of(p->listed, p->n_listed, s->row.name.originator))
			continue;
		f->ahead = 0;
		if (f->known && f->acked && !f->asked)
			continue; /* acknowledged since it was asked */
		if (f->known && f->acked && !lacks_its_beginning(f))
			loss_alarm(c, p);
		f->sent = 0;
		flow_missing(c, f, NULL, 0);
		flow_learnt(c, f, 0);
	}
}

/* ---- complete lists: one an originator, in any number of frames, of which some may be lost -------------------------------- */

void lists_drop(struct core *c, struct peer *p)
{
	for (size_t i = 0; p->n_listed && i < c->n_streams; i++) {
		struct flow *f = flow_of(c->streams[i], p);

		if (f)
			f->named = false;
	}
	free(p->listed);
	p->listed = NULL;
	p->n_listed = 0;
	hasher_free(p->list_hasher);
	p->list_hasher = NULL;
}

static void list_end(struct peer *p)
{
	if (p->list_hasher)
		p->listed[p->n_listed - 1].hash = hasher_end(p->list_hasher);
	p->list_hasher = NULL;
}

/* A list begins, or goes on with another frame. */
static void list_frame(struct core *c, struct peer *p, uint16_t originator, struct view frontiers)
{
	if (!roster_site(c->roster, originator))
		return;
	if (!p->n_listed || p->listed[p->n_listed - 1].originator != originator) {
		if (line_of(p->listed, p->n_listed, originator))
			lists_drop(c, p); /* a second answer, whose first one lost its end */
		list_end(p);
		struct digest_line *line = array_grow(&p->listed, &p->n_listed, sizeof *line);

		if (!line)
			return;
		line->originator = originator;
		p->list_hasher = hasher_new(HASH_FRONTIERS);
	}
	if (p->list_hasher)
		hasher_add(p->list_hasher, frontiers);
}

static bool list_is(const struct peer *p, uint16_t originator, const struct hash *h)
{
	const struct digest_line *l = line_of(p->listed, p->n_listed, originator);

	return l && hash_equal(&l->hash, h);
}

/* Everything that differs from our digest was listed, and nothing of it was lost on the way: the digest proves it. */
static bool lists_whole(const struct core *c, struct peer *p, const struct digest_line *theirs, size_t n)
{
	struct hash none = digest_of(NULL, 0);

	list_end(p);
	for (size_t i = 0; i < n; i++) {
		const struct digest_line *mine = line_of(p->digest, p->n_digest, theirs[i].originator);

		if (mine && hash_equal(&mine->hash, &theirs[i].hash))
			continue;
		if (roster_site(c->roster, theirs[i].originator) && !list_is(p, theirs[i].originator, &theirs[i].hash))
			return false;
	}
	for (size_t i = 0; i < p->n_digest; i++)
		if (!line_of(theirs, n, p->digest[i].originator) && !list_is(p, p->digest[i].originator, &none))
			return false;
	return true;
}

static void answer_heard(struct core *c, struct peer *p, const struct digest_line *theirs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct digest_line *mine = line_of(p->digest, p->n_digest, theirs[i].originator);

		if (mine && hash_equal(&mine->hash, &theirs[i].hash))
			digest_equal(c, p, mine->originator);
	}
	/* Where something was lost on the way it is asked again, in a few seconds. */
	if (lists_whole(c, p, theirs, n)) {
		heard_absent(c, p);
		p->digest_heard = true;
		p->digest_since_order = state_complete(c, p);
		c->takeover.at = c->takeover.n_chains ? c->now : c->takeover.at;
		p->digest_out = false;
	}
	lists_drop(c, p);
}

void replicate_digest(struct core *c, struct peer *p, uint8_t side, uint16_t n, struct view lines)
{
	struct digest_line *theirs = calloc(n ? n : 1, sizeof *theirs);
	size_t got = 0;

	while (theirs && got < n && digest_line_next(&lines, &theirs[got]) == ERR_OK)
		got++;
	if (theirs && side == SIDE_ACCEPTED)
		answer_digest(c, p, theirs, got);
	else if (theirs)
		answer_heard(c, p, theirs, got);
	free(theirs);
}

void replicate_frontiers(struct core *c, struct peer *p, uint16_t complete, struct view rest)
{
	if (complete == FRONTIERS_ASK) {
		transit_asked(c, p, rest);
		return;
	}
	struct frontier *fr = malloc(sizeof *fr);

	if (complete)
		list_frame(c, p, complete, rest);
	while (fr && rest.len) {
		if (frontier_next(&rest, fr)) {
			peer_bad(c, p, "a malformed frontier");
			break;
		}
		heard_frontier(c, p, fr, complete != 0);
	}
	ring_acked(c, p);
	free(fr);
}

void replicate_acks(struct core *c, struct peer *p, struct view rest)
{
	struct ack a;

	while (rest.len && ack_next(&rest, &a) == ERR_OK)
		heard_ack(c, p, &a);
	ring_acked(c, p);
}

/* ---- after a loss ------------------------------------------------------------------------------------------------------------------------ */

/* Every custodian of our queues' reports has shown what it holds, and so has every other site that is reached, since an
 * originator may know what was read when the standbys were cut off; and we hold as much. Of a site without standbys somebody is
 * heard at least. */
bool recovery_done(struct core *c, uint16_t *waits_for)
{
	uint16_t other = 0;
	bool heard = false;

	for (size_t i = 0; i < c->n_peers; i++) {
		struct peer *p = c->peers[i];

		if (p->gone)
			continue;
		other = other ? other : p->site;
		if (!peer_reachable(p) && !is_custodian(c, p->site, c->self, false))
			continue;
		*waits_for = p->site;
		if (!p->digest_heard)
			return false;
		/* Orders given while the journal was lost say whose the queues are now. */
		if (!state_complete(c, p))
			return false;
		for (size_t k = 0; k < c->n_streams; k++) {
			struct flow *f = flow_of(c->streams[k], p);

			/* Of two histories one is here, and no other will be. */
			if (f && f->ahead > c->streams[k]->row.held && !c->streams[k]->forked)
				return false;
		}
		heard = true;
	}
	if (!heard)
		*waits_for = other;
	return heard || !other;
}
