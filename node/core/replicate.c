/* replicate.c - segments out and in, frontiers, resume. ZeroMQ counts as lossy: what was sent is kept until the peer's
 * journal has it, and everything here may be repeated, lost or cut at any point. */
#include <stdio.h>

#include "node/core/core_int.h"

static void loss_alarm(struct core *c, struct peer *p);
static void heard_absent(struct core *c, struct peer *p);

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

static void flow_list(struct flow *f)
{
	struct flow **head = &f->peer->lane[lane_of(f->stream)].behind[f->stream->row.name.precedence];

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
	bool want = f->known && (f->stream->own || f->helping) && f->sent < f->stream->row.held;

	(void)c;
	f->next_due_us = INT64_MIN;
	if (want && !f->behind)
		flow_list(f);
	else if (!want && f->behind)
		flow_unlist(f);
}

void stream_ack(struct stream *s)
{
	for (size_t i = 0; i < s->n_flows; i++) {
		s->flows[i].ack_due = true;
		s->flows[i].peer->lane[lane_of(s)].ack_due = true;
	}
}

void stream_advanced(struct core *c, struct stream *s)
{
	s->dirty = true;
	for (size_t i = 0; i < s->n_flows; i++) {
		struct flow *f = &s->flows[i];

		flow_update(c, f);
		if (!s->own && f->peer->site != s->row.name.originator) {
			f->tell = true;
			f->peer->tell_due = true;
		}
	}
}

void replicate_rewind(struct core *c, struct peer *p, uint8_t lane)
{
	struct lane_state *l = &p->lane[lane];

	for (size_t i = 0; i < l->ring_n; i++) {
		struct flow *f = l->ring[(l->ring_at + i) % LANE_RING].flow;

		if (f->sent > f->acked) {
			f->sent = f->acked;
			flow_update(c, f);
		}
	}
	l->ring_n = 0;
	l->flying = 0;
}

/* ---- what we hold, told ------------------------------------------------------------------------------------------------- */

static struct frontier frontier_of(const struct stream *s)
{
	struct frontier f = {.stream = s->row.name, .number = s->row.held, .chain = s->row.chain, .not_whole = s->n_missing};

	memcpy(f.missing, s->missing, s->n_missing * sizeof s->missing[0]);
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

		if (f)
			f->offered = c->streams[i]->row.held;
	}
	frame_digest(effect_begin(c->out), p->digest, p->n_digest);
	effect_end_frame(c->out, p->site, LANE_URGENT, SIDE_DIALLED);
	buf_release(&p->named);
	p->digest_out = true;
	p->digest_at = c->now;
}

/* Frames of frontiers. Complete lists may take several frames; the digest that follows them ends them. */
static void send_frontiers(struct core *c, struct peer *p, uint8_t lane, uint8_t side, uint16_t complete, struct stream *const *list, size_t n)
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

static void flow_learnt(struct core *c, struct flow *f, uint64_t number)
{
	bool first = !f->known;

	f->known = true;
	if (number != f->acked || first)
		f->stalled_since = MONO_NEVER;
	f->acked = number;
	if (f->sent < number || first)
		f->sent = number;
	if (f->acked >= f->stream->row.held)
		f->helping = false;
	flow_update(c, f);
}

static void digest_equal(struct core *c, struct peer *p, uint16_t originator)
{
	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];
		struct flow *f = s->row.name.originator == originator ? flow_of(s, p) : NULL;

		if (f && (!f->known || f->acked < f->offered)) {
			flow_learnt(c, f, f->offered);
			f->n_missing = s->n_missing;
			memcpy(f->missing, s->missing, sizeof f->missing);
		}
	}
}

void replicate_digest(struct core *c, struct peer *p, uint8_t side, uint16_t n, struct view lines)
{
	struct digest_line *theirs = calloc(n ? n : 1, sizeof *theirs);
	size_t got = 0;

	while (theirs && got < n && digest_line_next(&lines, &theirs[got]) == ERR_OK)
		got++;
	if (theirs && side == SIDE_ACCEPTED) {
		answer_digest(c, p, theirs, got);
	} else if (theirs) {
		for (size_t i = 0; i < got; i++) {
			const struct digest_line *mine = line_of(p->digest, p->n_digest, theirs[i].originator);

			if (mine && hash_equal(&mine->hash, &theirs[i].hash))
				digest_equal(c, p, mine->originator);
		}
		heard_absent(c, p);
		p->digest_heard = true;
		p->digest_out = false;
	}
	free(theirs);
}

void replicate_tell(struct core *c, struct peer *p)
{
	struct stream **list = calloc(c->n_streams ? c->n_streams : 1, sizeof *list);
	size_t n = 0;

	for (size_t i = 0; list && i < c->n_streams; i++) {
		struct flow *f = flow_of(c->streams[i], p);

		if (!f || !f->tell)
			continue;
		f->tell = false;
		list[n++] = c->streams[i];
	}
	p->tell_due = false;
	if (n)
		send_frontiers(c, p, LANE_URGENT, p->lane[LANE_URGENT].up ? SIDE_DIALLED : SIDE_ACCEPTED, 0, list, n);
	free(list);
}

/* ---- what they hold, heard -------------------------------------------------------------------------------------------------- */

/* Takes what an acknowledgement covers out of the air and measures the link by it. */
static void ring_acked(struct core *c, struct peer *p)
{
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
		struct lane_state *l = &p->lane[lane];

		while (l->ring_n) {
			struct in_flight *i = &l->ring[l->ring_at];

			if (i->flow->acked < i->upto)
				break;
			l->flying -= i->bytes;
			p->acked_bytes += i->bytes;
			p->rtt_us = p->rtt_us ? (7 * p->rtt_us + (c->now.us - i->at.us)) / 8 : c->now.us - i->at.us;
			l->ring_at = (l->ring_at + 1) % LANE_RING;
			l->ring_n--;
			l->timeouts = 0;
			p->last_ack = c->now;
			p->last_ack_wall = c->wall;
		}
	}
	int64_t span = c->now.us - p->rate_from.us;

	if (span > US_PER_S) {
		p->rate_bps = span < 10 * US_PER_S ? p->acked_bytes * 8 * US_PER_S / span : 0;
		p->acked_bytes = 0;
		p->rate_from = c->now;
	}
}

/* Our chain hash at a number, for comparison with what a peer says. ERR_NOT_FOUND below the floor or beyond what we hold. */
static enum err chain_at(struct core *c, const struct stream *s, uint64_t number, struct hash *out)
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

static void heard_frontier(struct core *c, struct peer *p, const struct frontier *fr, bool complete)
{
	struct stream *s = stream_by_name(c, &fr->stream);

	/* After a loss, what peers show of streams unknown here is what has to come back first. */
	if (!s && complete && c->recovering && fr->number && concerns(c, c->self, &fr->stream) && roster_site(c->roster, fr->stream.originator))
		s = stream_new(c, &fr->stream);
	struct flow *f = s ? flow_of(s, p) : NULL;
	struct hash chain;
	char name[LIMIT_NAME_BYTES + 1];

	if (!f)
		return;
	site_name(c, p->site, name);
	if (fr->number > s->row.held) {
		f->ahead = fr->number;
		/* It has more than we do. Of a stream that we write that cannot be; of others we may still get it. */
		if (s->own)
			peer_bad(c, p, "it claims entries that this node never wrote");
		else if (!f->known || f->acked < s->row.held)
			flow_learnt(c, f, s->row.held);
		return;
	}
	if (chain_at(c, s, fr->number, &chain))
		return;
	if (!hash_equal(&chain, &fr->chain)) {
		alarm_raise(c, "fork", name, "two copies of one site may have run; keep both journals for examination",
			    "%s holds other entries under numbers that this node holds too", name);
		return;
	}
	if (fr->number < f->acked && f->known) {
		if (!complete)
			return; /* an older acknowledgement that was overtaken */
		loss_alarm(c, p);
		f->sent = fr->number;
	}
	flow_learnt(c, f, fr->number);
	f->n_missing = fr->not_whole;
	memcpy(f->missing, fr->missing, fr->not_whole * sizeof fr->missing[0]);
	waits_stream(c, s);
}

static void loss_alarm(struct core *c, struct peer *p)
{
	char name[LIMIT_NAME_BYTES + 1];

	alarm_raise(c, "loss", site_name(c, p->site, name), "find out what happened to that site's journal; what is here is sent to it again",
		    "%s lost entries that it had acknowledged", name);
}

static bool was_named(const struct buf *named, uint16_t originator, const struct hash *h, bool *listed)
{
	for (size_t k = 0; k + 2 + HASH_BYTES <= named->len; k += 2 + HASH_BYTES) {
		uint16_t o = (uint16_t)(named->ptr[k] << 8 | named->ptr[k + 1]);

		*listed = *listed || o == originator;
		if (o == originator && memcmp(named->ptr + k + 2, h->b, HASH_BYTES) == 0)
			return true;
	}
	return false;
}

/* The complete lists have ended: what they do not name, the peer does not have. */
static void heard_absent(struct core *c, struct peer *p)
{
	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];
		struct flow *f = flow_of(s, p);
		bool listed = false;

		if (!f || was_named(&p->named, s->row.name.originator, &s->hash, &listed) || !listed)
			continue;
		if (f->known && f->acked)
			loss_alarm(c, p);
		f->sent = 0;
		f->n_missing = 0;
		flow_learnt(c, f, 0);
	}
	buf_release(&p->named);
}

static void note_named(struct core *c, struct peer *p, uint16_t originator, const struct stream_name *name)
{
	/* A list of no streams still says that its originator was listed: the zero hash stands for that. */
	struct hash h = {{0}};

	if (name)
		h = stream_hash(&c->roster->network_hash, name);
	buf_add_u16(&p->named, originator);
	buf_add(&p->named, view_of(h.b, HASH_BYTES));
}

void replicate_frontiers(struct core *c, struct peer *p, uint16_t complete, struct view rest)
{
	struct frontier *fr = malloc(sizeof *fr);

	if (complete)
		note_named(c, p, complete, NULL);
	while (fr && rest.len) {
		if (frontier_next(&rest, fr)) {
			peer_bad(c, p, "a malformed frontier");
			break;
		}
		if (complete)
			note_named(c, p, complete, &fr->stream);
		heard_frontier(c, p, fr, complete != 0);
	}
	ring_acked(c, p);
	free(fr);
}

/* ---- segments in ----------------------------------------------------------------------------------------------------------------- */

/* Appends one verified entry. False when it has to stop here. */
static bool take_entry(struct core *c, struct peer *p, struct stream *s, const struct entry *e, const struct hash *chain)
{
	struct entry_row row = {
		.stream = s->row.local, .number = s->row.held + 1, .chain = *chain, .stored = c->wall, .from = p->site,
		.body_class = s->row.name.exercise ? BODY_EXERCISE : BODY_OPERATIONAL, .e = *e,
	};
	bool apart = e->body_len && !e->body.len;
	struct body_row have;

	if (apart && store_body_find(c->t, row.body_class, &e->body_hash, &have) == ERR_OK && have.whole) {
		row.body_no = have.body_no;
		have.refs++;
		store_body_put_row(c->t, &have);
		apart = false;
	}
	if (apart && s->n_missing >= LIMIT_NOT_WHOLE)
		return false;
	store_entry_append(c->t, &row);
	s->row.held = row.number;
	s->row.chain = *chain;
	s->signed_to = row.number;
	if (apart) {
		s->missing[s->n_missing++] = row.number;
		store_missing_put(c->t, s->row.local, row.number, &e->body_hash);
		bodies_fetch(c, s, row.number, &e->body_hash);
	}
	/* The store wrote: the views of row still lie in the frame, so they stay good. */
	deliver_entry(c, s, &row);
	return true;
}

static void take_segment(struct core *c, struct peer *p, struct stream *s, struct segment *seg, const struct hash *before)
{
	const struct site *o = roster_site(c->roster, seg->name.originator);
	struct hash *after = calloc(seg->entries ? seg->entries : 1, sizeof *after);
	struct entry *e = calloc(seg->entries ? seg->entries : 1, sizeof *e);
	bool go = true;

	if (!after || !e) {
		txn_fail(c->t, ERR_NOMEM);
		goto out;
	}
	if (segment_verify(c->config.suite, &o->identity, &s->hash, before, seg, after, e)) {
		peer_bad(c, p, "a segment that its originator did not sign, or that does not follow what is here");
		goto out;
	}
	for (uint16_t i = 0; go && i < seg->entries; i++)
		if (seg->first + i == s->row.held + 1)
			go = take_entry(c, p, s, &e[i], &after[i]);
	if (seg->head.number > s->row.head)
		store_head_put(c->t, &s->row, &seg->head);
	stream_advanced(c, s);
out:
	free(after);
	free(e);
}

void replicate_segment(struct core *c, struct peer *p, uint8_t lane, struct segment *seg)
{
	struct lane_state *l = &p->lane[lane];
	struct hash before;

	if (!roster_site(c->roster, seg->name.originator) || !concerns(c, c->self, &seg->name)) {
		p->refused++;
		peer_bad(c, p, "a stream that is not for this site to hold");
		return;
	}
	if (seg->name.originator == c->self && incarnation_equal(&seg->name.incarnation, &c->incarnation)) {
		peer_bad(c, p, "this node's own stream back to it");
		return;
	}
	if (!space_admits(c, seg->name.precedence ? (uint8_t)(seg->name.precedence - 1) : PREC_FLASH)) {
		p->refused++;
		return; /* the peer keeps it and sends it again */
	}
	struct stream *s = stream_by_name(c, &seg->name);

	if (!s && seg->first == 1)
		s = stream_new(c, &seg->name);
	if (!s)
		return;
	l->ack_due = true;
	struct flow *f = flow_of(s, p);

	if (f)
		f->ack_due = true;
	if (seg->first > s->row.held + 1 || seg->first + seg->entries - 1 <= s->row.held)
		return; /* a gap, or nothing new: the frontier that goes back says where we are */
	if (chain_at(c, s, seg->first - 1, &before))
		return;
	take_segment(c, p, s, seg, &before);
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

/* The body of an entry that travels inside the segment; nothing when it travels apart. */
static enum err body_along(struct core *c, const struct entry_row *row, struct buf *body)
{
	struct header h;

	if (!row->e.body_len || header_decode(row->e.header, &h) || (h.flags & HEADER_CHUNKED) || !row->body_no)
		return ERR_OK;
	return store_body_get_part(c->t, row->body_class, row->body_no, PART_WHOLE, 0, body);
}

/* Fills a segment from the flow's next entry on, at most up to the entry upto that is signed next, so that what signs it is
 * never far away. The number of the last one put in, or sent when there was none. */
static uint64_t segment_fill(struct core *c, struct flow *f, struct segment_writer *w, uint64_t upto, enum err *e)
{
	struct stream *s = f->stream;
	struct buf *body = &c->scratch;
	uint64_t n = f->sent;

	*e = ERR_OK;
	while (n < s->row.held && n < upto && w->entries < LIMIT_SEGMENT_ENTRIES) {
		struct entry_row row;

		buf_clear(body);
		*e = store_entry_find(c->t, s->row.local, n + 1, &row);
		if (!*e)
			*e = body_along(c, &row, body);
		if (*e) {
			if (*e == ERR_DAMAGED)
				damage_found(c, row.arrival, "unreadable when it was to be sent");
			break;
		}
		row.e.body = buf_view(body);
		row.e.flags = (uint8_t)(row.e.flags & ~ENTRY_BODY_APART);
		if (row.e.body_len && !body->len)
			row.e.flags |= ENTRY_BODY_APART;
		if (w->entries && segment_bytes(w) + segment_entry_bytes(&row.e) > LIMIT_SEGMENT_BYTES - LIMIT_HEAD_SPACING * HASH_BYTES)
			break;
		segment_add(w, &row.e);
		n++;
	}
	return n;
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
		e = store_entry_find(c->t, s->row.local, k, &row);
		if (!e)
			tail[(*n)++] = entry_leaf(&row.e);
	}
	return e;
}

/* Cuts one segment off a flow. False when there is nothing that can be sent now. */
static bool segment_send(struct core *c, struct peer *p, uint8_t lane, struct flow *f)
{
	struct lane_state *l = &p->lane[lane];
	struct hash tail[LIMIT_HEAD_SPACING];
	struct segment_writer w;
	struct head head;
	uint16_t n_tail;
	struct buf *out = effect_begin(c->out);
	size_t start = out->len;
	uint64_t last = f->sent;
	enum err e = store_head_from(c->t, f->stream->row.local, f->sent + 1, &head);

	frame_begin(out, FRAME_SEGMENT);
	segment_begin(&w, out, &f->stream->row.name, f->sent + 1);
	if (!e)
		last = segment_fill(c, f, &w, head.number, &e);
	if (last == f->sent || tail_leaves(c, f->stream, last, &head, tail, &n_tail)) {
		out->len = start;
		flow_unlist(f); /* it comes back when something changes */
		return false;
	}
	segment_end(&w, tail, n_tail, &head);
	l->ring[(l->ring_at + l->ring_n) % LANE_RING] = (struct in_flight){.flow = f, .upto = last, .bytes = (uint32_t)(out->len - start), .at = c->now};
	l->ring_n++;
	l->flying += (int64_t)(out->len - start);
	f->sent = last;
	flow_update(c, f);
	effect_end_frame(c->out, p->site, lane, SIDE_DIALLED);
	return true;
}

static void pump_lane(struct core *c, struct peer *p, uint8_t lane)
{
	struct lane_state *l = &p->lane[lane];
	struct flow *f;

	while (l->up && l->flying < l->window && l->ring_n < LANE_RING && (f = flow_next(c, l)))
		if (!segment_send(c, p, lane, f) && f->behind)
			return;
}

static void send_acks(struct core *c, struct peer *p, uint8_t lane)
{
	struct stream **list = calloc(c->n_streams ? c->n_streams : 1, sizeof *list);
	size_t n = 0;

	for (size_t i = 0; list && i < c->n_streams; i++) {
		struct flow *f = lane_of(c->streams[i]) == lane ? flow_of(c->streams[i], p) : NULL;

		if (!f || !f->ack_due)
			continue;
		f->ack_due = f->tell = false;
		list[n++] = c->streams[i];
	}
	p->lane[lane].ack_due = false;
	if (n)
		send_frontiers(c, p, lane, SIDE_ACCEPTED, 0, list, n);
	free(list);
}

void replicate_pump(struct core *c)
{
	for (size_t i = 0; i < c->n_peers; i++)
		for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
			if (c->peers[i]->lane[lane].ack_due)
				send_acks(c, c->peers[i], lane);
			pump_lane(c, c->peers[i], lane);
		}
}

/* ---- after a loss ------------------------------------------------------------------------------------------------------------------------ */

/* Every custodian of our queues' reports has shown what it holds, and we hold as much. */
bool recovery_done(struct core *c, uint16_t *waits_for)
{
	uint16_t sites[LIMIT_CUSTODIANS];
	size_t n = roster_custodians(c->roster, c->self, sites);

	for (size_t i = 0; i < n; i++) {
		struct peer *p = sites[i] == c->self ? NULL : peer_find(c, sites[i]);

		if (!p)
			continue;
		*waits_for = p->site;
		if (!p->digest_heard)
			return false;
		for (size_t k = 0; k < c->n_streams; k++) {
			struct flow *f = flow_of(c->streams[k], p);

			if (f && f->ahead > c->streams[k]->row.held)
				return false;
		}
	}
	return true;
}
