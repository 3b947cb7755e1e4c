/* bodies_give.c - parts of large bodies for those who want them: bodies.h. */
#include "node/core/core_int.h"

/* Bodies that a peer may want at one time; beyond it the least urgent is forgotten, and asked for again. */
#define GIVING_MAX 96
/* Given to all peers in one batch; the rest goes with the next, at once. */
#define GIVE_BYTES (4 * 1024 * 1024)

static struct giving *giving_find(struct peer *p, const struct hash *body)
{
	for (size_t i = 0; i < p->n_giving; i++)
		if (hash_equal(&p->giving[i].body, body))
			return &p->giving[i];
	return NULL;
}

static void giving_end(struct peer *p, struct giving *g)
{
	size_t i = (size_t)(g - p->giving);

	memmove(g, g + 1, (p->n_giving - i - 1) * sizeof *g);
	p->n_giving--;
}

void bodies_give_forget(struct peer *p, uint8_t lane)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_giving; i++)
		if (p->giving[i].lane != lane)
			p->giving[n++] = p->giving[i];
	p->n_giving = n;
}

/* How many of its parts are here. */
static uint32_t parts_here(const struct body_row *row)
{
	if (!row->have)
		return 1; /* a manifest alone, or not even that: the store knows */
	return position_of(PART_CHUNK, row->have - 1) + 1;
}

static bool body_here(struct core *c, const struct hash *body, struct body_row *row)
{
	return !store_body_find(c->t, BODY_OPERATIONAL, body, row) || !store_body_find(c->t, BODY_EXERCISE, body, row);
}

static void not_here(struct core *c, struct peer *p, uint8_t lane, const struct hash *body)
{
	frame_not_here(effect_begin(c->out), body);
	effect_end_frame(c->out, p->site, lane, p->lane[lane].up ? SIDE_DIALLED : SIDE_ACCEPTED);
}

/* One more, behind those that are as urgent. */
static struct giving *giving_add(struct peer *p, uint8_t lane, const struct part *w)
{
	if (!p->giving)
		p->giving = calloc(GIVING_MAX, sizeof *p->giving);
	if (!p->giving || (p->n_giving == GIVING_MAX && p->giving[GIVING_MAX - 1].rank <= w->rank))
		return NULL;
	size_t i = p->n_giving < GIVING_MAX ? p->n_giving++ : GIVING_MAX - 1;

	for (; i > 0 && p->giving[i - 1].rank > w->rank; i--)
		p->giving[i] = p->giving[i - 1];
	p->giving[i] = (struct giving){.body = w->body, .lane = lane, .rank = w->rank};
	return &p->giving[i];
}

static bool in_the_air(const struct lane_state *l)
{
	for (size_t i = 0; i < l->ring_n; i++)
		if (!l->ring[(l->ring_at + i) % LANE_RING].flow)
			return true;
	return false;
}

/* What lies before it the asker has; what lies between it and where we are is in the air, unless it says that it was lost, or
 * nothing is. */
static void giving_goes_on(struct giving *g, const struct part *w, uint32_t position, bool rewind)
{
	uint64_t end = (uint64_t)position + w->count;
	bool ahead = position > g->position || (position == g->position && w->offset > g->offset);

	if (rewind || ahead) {
		g->position = g->position_safe = position;
		g->offset = g->offset_safe = w->offset;
		g->end = (uint32_t)end;
	} else if (end > g->end) {
		g->end = (uint32_t)end;
	}
}

/* What is here of it as the row says. arrival: of the entry that a body of one chunk belongs to, else 0. */
static struct giving *want_heard(struct peer *p, uint8_t lane, struct giving *g, const struct part *w, const struct body_row *row, uint64_t arrival)
{
	uint32_t position = position_of(w->kind, w->index);
	if (g && g->lane != lane) {
		giving_end(p, g);
		g = NULL;
	}
	bool new = !g;

	if (g && g->rank != w->rank) {
		struct giving was = *g;

		giving_end(p, g);
		g = giving_add(p, lane, w);
		if (g)
			*g = was;
		if (g)
			g->rank = w->rank;
	} else if (!g) {
		g = giving_add(p, lane, w);
	}
	if (!g)
		return NULL;
	g->body_no = row->body_no;
	g->class = row->class;
	g->parts = parts_here(row);
	g->whole = row->whole;
	g->single = arrival != 0;
	g->arrival = arrival;
	giving_goes_on(g, w, position, new || (w->flags & WANT_LOST) || !in_the_air(&p->lane[lane]));
	g->dry = false; /* looked at when its turn comes */
	return g;
}

void bodies_want(struct core *c, struct peer *p, const struct part *w)
{
	struct giving *g = giving_find(p, &w->body);
	struct body_row row;

	if (w->kind == PART_WHOLE)
		return; /* it would have to say of which entry */
	if (g && (w->flags & WANT_END))
		giving_end(p, g);
	if (w->flags & WANT_END)
		return;
	if (body_here(c, &w->body, &row))
		(void)want_heard(p, LANE_BULK, g, w, &row, 0);
	else
		not_here(c, p, LANE_BULK, &w->body);
}

void bodies_want_entry(struct core *c, struct peer *p, const struct want_entry *want)
{
	struct part w = {.body = want->body, .kind = PART_WHOLE, .offset = want->offset, .count = 1, .rank = want->rank, .flags = want->flags};
	struct stream *s = stream_by_name(c, &want->stream);
	uint8_t lane = want->stream.precedence <= PREC_IMMEDIATE ? LANE_URGENT : LANE_BULK;
	struct entry_row row;
	struct header h;

	if (!s || store_entry_find(c->t, s->row.local, want->number, &row) || !hash_equal(&row.e.body_hash, &want->body) ||
	    header_decode(row.e.header, &h) || (h.flags & HEADER_CHUNKED)) {
		not_here(c, p, lane, &want->body);
		return;
	}
	struct body_row body = {.body_no = row.body_no, .class = row.body_class, .whole = true};
	struct giving *g = want_heard(p, lane, giving_find(p, &want->body), &w, &body, row.arrival);

	if (row.body_no)
		return;
	if (g)
		g->dry = true; /* until it comes */
	not_here(c, p, lane, &want->body);
}

void bodies_more(struct core *c, const struct hash *body)
{
	for (size_t i = 0; i < c->n_peers; i++) {
		struct giving *g = c->peers[i]->n_giving ? giving_find(c->peers[i], body) : NULL;

		if (!g || !g->dry)
			continue;
		g->dry = false;
		peer_touch(c, c->peers[i]);
	}
}

static struct giving *giving_next(const struct peer *p, uint8_t lane)
{
	for (size_t i = 0; i < p->n_giving; i++)
		if (p->giving[i].lane == lane && !p->giving[i].dry && p->giving[i].position < p->giving[i].end)
			return &p->giving[i];
	return NULL;
}

bool bodies_turn(const struct peer *p, uint8_t lane, const struct flow *f)
{
	const struct giving *g = giving_next(p, lane);

	if (!g || !f)
		return g != NULL;
	if (g->rank != f->stream->row.name.precedence)
		return g->rank < f->stream->row.name.precedence;
	return !p->parts[lane].gave_last;
}

/* Another look at how much is here. ERR_NOT_FOUND: the next part is not; ERR_CLOSED: there is none. */
static enum err giving_look(struct core *c, struct giving *g)
{
	struct body_row row;
	struct entry_row entry;

	if (g->single && !g->body_no) {
		if (store_entry_get(c->t, g->arrival, &entry) || !entry.body_no || !hash_equal(&entry.e.body_hash, &g->body))
			return ERR_NOT_FOUND;
		g->body_no = entry.body_no;
		g->class = entry.body_class;
	}
	if (g->position < g->parts)
		return ERR_OK;
	if (store_body_row(c->t, g->class, g->body_no, &row) || !hash_equal(&row.hash, &g->body))
		return ERR_NOT_FOUND;
	g->parts = parts_here(&row);
	g->whole = row.whole;
	if (g->position < g->parts)
		return ERR_OK;
	return g->whole ? ERR_CLOSED : ERR_NOT_FOUND;
}

static uint32_t slice_bytes(const struct core *c, const struct peer *p, uint8_t lane, size_t left)
{
	int64_t room = window_room_slices(c, p, lane), piece = (int64_t)window_piece(p, lane);

	if (piece > room)
		piece = room;
	if (piece < FRAME_LEAST)
		piece = FRAME_LEAST;
	/* The last slice is not left to be a few bytes long. */
	return left <= (size_t)piece + (size_t)piece / 8 ? (uint32_t)left : (uint32_t)piece;
}

static uint8_t part_kind(const struct giving *g)
{
	return g->single ? PART_WHOLE : position_kind(g->position);
}

static void slice_send(struct core *c, struct peer *p, struct giving *g, struct view whole)
{
	uint32_t len = slice_bytes(c, p, g->lane, whole.len - g->offset);
	struct part part = {.body = g->body, .kind = part_kind(g), .index = position_index(g->position), .offset = g->offset,
			    .total = (uint32_t)whole.len, .mark = ++p->parts[g->lane].mark, .bytes = view_of(whole.ptr + g->offset, len)};
	struct buf *out = effect_begin(c->out);
	size_t start = out->len;

	frame_part(out, &part);
	lane_sent(c, p, g->lane, NULL, part.mark, out->len - start);
	effect_end_frame(c->out, p->site, g->lane, SIDE_DIALLED);
	p->parts[g->lane].gave_last = true;
	c->given += len;
	g->offset += len;
	if (g->offset == whole.len) {
		g->offset = 0;
		g->position++;
	}
}

/* Of parts in many chunks the receiver finds out which one is damaged. */
static bool single_fits(struct core *c, const struct giving *g)
{
	struct hash hash = body_hash(buf_view(&c->scratch));

	if (hash_equal(&hash, &g->body))
		return true;
	damage_found(c, g->arrival, "its body does not fit its hash");
	return false;
}

bool bodies_give(struct core *c, struct peer *p, uint8_t lane)
{
	struct giving *g = giving_next(p, lane);

	if (!g)
		return false;
	if (window_room_slices(c, p, lane) <= 0)
		return false;
	if (c->given >= GIVE_BYTES) {
		c->serve_more = true;
		return false;
	}
	enum err e = giving_look(c, g);

	buf_clear(&c->scratch);
	if (!e)
		e = store_body_get_part(c->t, g->class, g->body_no, part_kind(g), position_index(g->position), &c->scratch);
	if (!e && g->single && !single_fits(c, g))
		e = ERR_DAMAGED;
	if (!e && g->offset < c->scratch.len) {
		slice_send(c, p, g, buf_view(&c->scratch));
		e = g->whole && g->position >= g->parts ? ERR_CLOSED : ERR_OK;
	} else if (e != ERR_CLOSED) {
		g->dry = true;
		not_here(c, p, lane, &g->body);
	}
	if (e == ERR_CLOSED)
		giving_end(p, g);
	return true;
}

bool bodies_given(struct peer *p, const struct hash *body, uint32_t *chunks)
{
	const struct giving *g = giving_find(p, body);

	/* Before the next part there are the manifest and a page for every so many chunks. */
	*chunks = g && g->position > 1 ? g->position - 1 - (g->position - 1 + PARTS_PER_PAGE - 1) / PARTS_PER_PAGE : 0;
	return g != NULL;
}

bool bodies_given_slices(struct peer *p, const struct hash *body, uint32_t *bytes)
{
	const struct giving *g = giving_find(p, body);

	*bytes = g ? g->offset : 0;
	return g && g->single && g->body_no;
}

void bodies_got(struct core *c, struct peer *p, uint8_t lane, uint64_t mark)
{
	struct parts_lane *l = &p->parts[lane];

	if (mark > l->got && mark <= l->mark)
		l->got = mark;
	else if (mark > l->mark)
		peer_bad(c, p, "an acknowledgement of what it was not given");
	ring_acked(c, p);
}

void bodies_give_committed(struct core *c)
{
	for (size_t i = 0; c->given && i < c->n_peers; i++)
		for (size_t k = 0; k < c->peers[i]->n_giving; k++) {
			struct giving *g = &c->peers[i]->giving[k];

			g->position_safe = g->position;
			g->offset_safe = g->offset;
		}
	c->given = 0;
}

void bodies_give_undo(struct core *c)
{
	for (size_t i = 0; i < c->n_peers; i++)
		for (size_t k = 0; k < c->peers[i]->n_giving; k++) {
			struct giving *g = &c->peers[i]->giving[k];

			g->position = g->position_safe;
			g->offset = g->offset_safe;
			g->dry = false;
		}
	c->given = 0;
}
