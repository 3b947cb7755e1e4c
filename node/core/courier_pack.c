/* courier_pack.c - a bundle packed: what the sites it is for are not known to hold, the most urgent first. */
#include <stdio.h>

#include "node/core/show_int.h"

/* Bundles that are packed at one time. */
#define PACKINGS_MAX 4
/* One answer has pieces until it is over this. */
#define STEP_BYTES (6 * 1024)
static_assert(STEP_BYTES + BUNDLE_PIECE_MAX_BYTES + 256 <= LIMIT_REQUEST_BYTES, "a step is one answer");
/* Of a bundle, what stands around a part of a body. */
#define PART_OVERHEAD_BYTES 64

enum phase { PACK_STATE, PACK_VECTORS, PACK_SEGMENTS, PACK_BODIES, PACK_END, PACK_OVER };

struct packed_stream {
	uint32_t local;
	uint64_t first;                /* that goes in; for who has nothing of it, with the chain before it */
	uint64_t next, next_committed; /* the entry that goes next */
	uint64_t upto;                 /* what was held when the packing began */
	bool closed, closed_committed; /* what is left of it did not fit, or could not be read */
	bool floor, floor_committed;   /* what the site lacks begins below our floor, which is to be said first */
	unsigned rank;
	int64_t due; uint64_t due_of;  /* the handle-by time of that entry */
};
struct packed_body { uint8_t class, precedence; uint64_t body_no; unsigned rank; };
/* What went in, and what was left out, by precedence. */
struct tallied { uint64_t entries, messages, bodies, left_entries, left_bodies, left_body_bytes; };

/* How far it is: what a failed commit puts back. */
struct packing_at {
	enum phase phase;
	uint32_t index;               /* of the next step */
	size_t state, offset, vector, body, n_bodies;
	uint32_t part;                /* of that body: manifest, then each page and its chunks */
	uint64_t bytes;
	struct bundle_chain chain;
	struct tallied of[PREC_COUNT];
};
struct packing {
	uint64_t client;
	struct wall made;
	uint8_t precedence;
	bool all;
	uint64_t max;                 /* bytes; 0: as many as it takes */
	uint16_t sites[LIMIT_SITES];
	size_t n_sites, n_state, n_streams, cap_bodies;
	struct state_item *state;
	struct packed_stream *streams;
	struct packed_body *bodies, *sorted; /* as they were met; the most urgent first, once all are known */
	struct buf vectors;           /* u32 length, bytes, each */
	size_t n_vectors;
	struct packing_at at, committed;
	bool begun, touched;          /* its first request is committed; something moved since the last commit */
};

static void packing_free(struct packing *p)
{
	if (!p)
		return;
	free(p->state);
	free(p->streams);
	free(p->bodies);
	free(p->sorted);
	buf_release(&p->vectors);
	free(p);
}

static struct packing *packing_of(struct core *c, uint64_t client)
{
	for (size_t i = 0; i < c->courier.n_packings; i++)
		if (c->courier.packings[i]->client == client)
			return c->courier.packings[i];
	return NULL;
}

static void packing_drop(struct core *c, size_t i)
{
	packing_free(c->courier.packings[i]);
	c->courier.packings[i] = c->courier.packings[--c->courier.n_packings];
}

void pack_drop_last(struct core *c)
{
	packing_drop(c, c->courier.n_packings - 1);
}

void pack_forget_client(struct core *c, uint64_t client)
{
	for (size_t i = c->courier.n_packings; i-- > 0;)
		if (c->courier.packings[i]->client == client)
			packing_drop(c, i);
}

void pack_committed(struct core *c)
{
	for (size_t i = 0; i < c->courier.n_packings; i++) {
		struct packing *p = c->courier.packings[i];

		p->begun = true;
		if (!p->touched)
			continue;
		p->touched = false;
		p->committed = p->at;
		for (size_t k = 0; k < p->n_streams; k++) {
			p->streams[k].next_committed = p->streams[k].next;
			p->streams[k].closed_committed = p->streams[k].closed;
			p->streams[k].floor_committed = p->streams[k].floor;
		}
	}
}

void pack_reload(struct core *c)
{
	for (size_t i = c->courier.n_packings; i-- > 0;) {
		struct packing *p = c->courier.packings[i];

		if (!p->begun) {
			packing_drop(c, i);
			continue;
		}
		p->at = p->committed;
		p->touched = false;
		for (size_t k = 0; k < p->n_streams; k++) {
			p->streams[k].next = p->streams[k].next_committed;
			p->streams[k].closed = p->streams[k].closed_committed;
			p->streams[k].floor = p->streams[k].floor_committed;
		}
	}
}

/* ---- what goes in ------------------------------------------------------------------------------------------------ */

/* How far a site is known to hold a stream: from its frontier, or its vector. False: the stream is nothing to it. What it wrote itself
 * it has, unless it showed that it lost it. */
static bool known_to_hold(struct core *c, uint16_t site, struct stream *s, uint64_t *upto, struct flow **flow)
{
	struct peer *p = peer_find(c, site);
	bool holds = site != s->row.name.originator && is_custodian(c, site, s->row.name.addressee, s->row.name.exercise);

	*flow = p ? flow_of(s, p) : NULL;
	if (site == c->self || !concerns(c, site, &s->row.name))
		return false;
	if (*flow && (*flow)->known) {
		*upto = (*flow)->acked;
		return true;
	}
	*upto = 0;
	return holds;
}

static bool body_listed(const struct packing *p, size_t n, uint8_t class, uint64_t body_no)
{
	for (size_t i = 0; i < n; i++)
		if (p->bodies[i].body_no == body_no && p->bodies[i].class == class)
			return true;
	return false;
}

static unsigned rank_of(const struct stream *s)
{
	return s->row.name.precedence + (s->row.name.exercise ? PREC_COUNT : 0u);
}

/* The large body of an entry, once each; after the segments. */
static void body_add(struct core *c, struct packing *p, const struct stream *s, const struct hash *hash)
{
	uint8_t class = s->row.name.exercise ? BODY_EXERCISE : BODY_OPERATIONAL;
	struct body_row row;

	if (store_body_find(c->t, class, hash, &row) || !row.chunks || body_listed(p, p->at.n_bodies, class, row.body_no))
		return;
	if (p->at.n_bodies == p->cap_bodies) {
		size_t cap = p->cap_bodies ? 2 * p->cap_bodies : 16;
		struct packed_body *list = realloc(p->bodies, cap * sizeof *list);

		if (!list) {
			txn_fail(c->t, ERR_NOMEM);
			return;
		}
		p->bodies = list;
		p->cap_bodies = cap;
	}
	p->bodies[p->at.n_bodies++] = (struct packed_body){class, s->row.name.precedence, row.body_no, rank_of(s)};
}

/* Bodies of entries that a site has, and said that it lacks the body of. Those of one chunk go with their entries: so much of the stream
 * the site is taken to have. */
static uint64_t missing_add(struct core *c, struct packing *p, const struct stream *s, const struct flow *f, uint64_t upto)
{
	struct entry_row row;
	struct header h;

	for (uint16_t i = 0; f && f->known && i < f->n_missing; i++) {
		if (store_entry_find(c->t, s->row.local, f->missing[i], &row) || header_decode(row.e.header, &h))
			continue;
		if (h.flags & HEADER_CHUNKED)
			body_add(c, p, s, &row.e.body_hash);
		else if (row.body_no && f->missing[i] <= upto)
			upto = f->missing[i] - 1;
	}
	return upto;
}

/* Streams from where the one of the sites that has the least stands. */
static void stream_add(struct core *c, struct packing *p, struct stream *s)
{
	uint64_t least = UINT64_MAX, upto;
	struct flow *f;

	for (size_t i = 0; i < p->n_sites; i++)
		if (known_to_hold(c, p->sites[i], s, &upto, &f)) {
			upto = missing_add(c, p, s, f, upto);
			least = upto < least ? upto : least;
		}
	bool floor = least < s->row.floor;

	if (floor)
		least = s->row.floor;
	if (least >= s->row.held)
		return;
	p->streams[p->n_streams++] = (struct packed_stream){.local = s->row.local, .first = least + 1, .next = least + 1, .next_committed = least + 1, .upto = s->row.held,
							    .rank = rank_of(s), .floor = floor, .floor_committed = floor};
}

static void vector_add(void *arg, uint16_t holder, struct view blob)
{
	struct packing *p = arg;

	(void)holder;
	if (!blob.len || blob.len > LIMIT_FRAME_BYTES - 16)
		return;
	buf_add_u32(&p->vectors, (uint32_t)blob.len);
	buf_add(&p->vectors, blob);
	p->n_vectors++;
}

/* What is known of others, and how far we are. */
static enum err vectors_choose(struct core *c, struct packing *p)
{
	struct buf ours = BUF_EMPTY;

	vector_ours(c, true, &ours);
	vectors_each(c, vector_add, p);
	vector_add(p, c->self, buf_view(&ours));
	bool good = buf_ok(&ours) && buf_ok(&p->vectors);

	buf_release(&ours);
	return good ? ERR_OK : ERR_NOMEM;
}

static enum err choose(struct core *c, struct packing *p)
{
	p->state = state_list(c, &p->n_state);
	p->streams = calloc(c->n_streams ? c->n_streams : 1, sizeof *p->streams);
	if (!p->state || !p->streams)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->n_streams; i++)
		if (c->streams[i]->row.name.precedence <= p->precedence)
			stream_add(c, p, c->streams[i]);
	return vectors_choose(c, p);
}

/* ---- the request ---------------------------------------------------------------------------------------------------- */

static enum err site_add(struct core *c, struct packing *p, struct view name, struct errmsg *m)
{
	const struct site *s = roster_site_by_id(c->roster, name);

	if (view_equal(name, view_str("all"))) {
		p->all = true;
		return ERR_OK;
	}
	if (!s)
		return err_set(m, ERR_UNKNOWN_SITE, "pack: %.*s: no such site in roster %u (name sites, or all)", (int)(name.len < 60 ? name.len : 60),
			       (const char *)name.ptr, c->roster->serial);
	if (s->number == c->self)
		return err_set(m, ERR_REFUSED, "pack: %s is this site (name those that the courier goes to)", s->id);
	if (s->removed || site_revoked(c, s->number))
		return err_set(m, ERR_REFUSED, "pack: %s is %s (nothing is given to it)", s->id, s->removed ? "no site of the network any more" : "revoked");
	size_t at = p->n_sites;

	for (size_t i = 0; i < p->n_sites; i++)
		if (p->sites[i] == s->number)
			return ERR_OK;
	for (; at > 0 && p->sites[at - 1] > s->number; at--)
		p->sites[at] = p->sites[at - 1];
	p->sites[at] = s->number;
	p->n_sites++;
	return ERR_OK;
}

static enum err read_fields(struct core *c, struct packing *p, struct view fields, struct errmsg *m)
{
	struct request_item f;
	enum err e = ERR_OK;

	p->precedence = PREC_ROUTINE;
	while (!e && request_next(&fields, &f) == ERR_OK) {
		if (item_check(&f, "pack", m))
			return m->code;
		if (f.field == F_TO && p->n_sites < LIMIT_SITES)
			e = site_add(c, p, f.value, m);
		if (f.field == F_PRECEDENCE)
			p->precedence = item_u8(&f);
		if (f.field == F_SIZE)
			p->max = item_u64(&f);
	}
	if (!e && !p->all && !p->n_sites)
		e = err_set(m, ERR_USAGE, "pack: it does not say for whom (--for SITE,.. or --for all)");
	return e;
}

/* For everybody: all others that are sites now. */
static void sites_all(struct core *c, struct packing *p)
{
	p->n_sites = 0;
	for (size_t i = 0; i < c->n_peers && p->n_sites < LIMIT_SITES; i++)
		if (!c->peers[i]->gone)
			p->sites[p->n_sites++] = c->peers[i]->site;
}

/* ---- writing ----------------------------------------------------------------------------------------------------------- */

static void write_head(struct core *c, struct packing *p, struct buf *out)
{
	uint8_t sites[2 * LIMIT_SITES];
	struct wr w = wr_init(sites, sizeof sites);
	struct bundle_head h = {.network = c->roster->network_hash, .site = c->self, .incarnation = c->incarnation, .made = p->made,
				.roster = c->roster->serial, .precedence = p->precedence, .all = p->all};

	for (size_t i = 0; !p->all && i < p->n_sites; i++, h.n_sites++)
		wr_u16(&w, p->sites[i]);
	h.sites = view_of(sites, wr_len(&w));
	bundle_write_head(&p->at.chain, out, &h);
	p->at.bytes = out->len;
}

static void write_frame(struct core *c, struct packing *p, struct buf *out)
{
	size_t start = out->len;

	bundle_write_frame(&p->at.chain, out, buf_view(&c->courier.frame));
	p->at.bytes += out->len - start;
}

/* Bytes that a frame may still have. */
static uint64_t room(const struct packing *p)
{
	uint64_t used = p->at.bytes + BUNDLE_END_BYTES + BUNDLE_PIECE_HEAD_BYTES;

	return !p->max ? UINT64_MAX : p->max > used ? p->max - used : 0;
}

static struct view vector_at(const struct packing *p, size_t *at)
{
	struct rd r = rd_init(view_of(p->vectors.ptr + *at, p->vectors.len - *at));
	struct view v = rd_vec32(&r, LIMIT_FRAME_BYTES);

	*at += 4 + v.len;
	return v;
}

/* False when there is nothing left of it. */
static bool step_state(struct core *c, struct packing *p, struct buf *out)
{
	while (p->at.state < p->n_state) {
		const struct state_name *name = &p->state[p->at.state].name;
		struct view blob = state_blob(c, name);
		struct state_frame part = {.name = *name, .total = (uint32_t)blob.len, .offset = (uint32_t)p->at.offset};

		buf_clear(&c->courier.frame);
		if (!blob.len || p->at.offset >= blob.len) {
			p->at.state++; /* it was replaced meanwhile */
			p->at.offset = 0;
			continue;
		}
		if (name->kind == STATE_KIND_ROSTER || name->kind == STATE_KIND_DICTIONARY) {
			part.bytes = part.total - part.offset < LIMIT_STATE_PART_BYTES ? part.total - part.offset : LIMIT_STATE_PART_BYTES;
			part.blob = view_of(blob.ptr + part.offset, part.bytes);
			frame_state_part(&c->courier.frame, &c->takeover.state, &part);
			p->at.offset += part.bytes;
		} else {
			frame_state_give(&c->courier.frame, &c->takeover.state, name->kind, blob);
			p->at.offset = blob.len;
		}
		write_frame(c, p, out);
		return true;
	}
	return false;
}

static bool step_vectors(struct core *c, struct packing *p, struct buf *out)
{
	if (p->at.vector >= p->vectors.len)
		return false;
	buf_clear(&c->courier.frame);
	vectors_one(&c->courier.frame, vector_at(p, &p->at.vector));
	write_frame(c, p, out);
	return true;
}

/* ---- segments ---------------------------------------------------------------------------------------------------------- */

/* Reports and grants, which unlock other things, go first. */
static int64_t due_of(struct core *c, struct packed_stream *ps)
{
	struct entry_row row;
	struct header h;

	if (ps->due_of == ps->next)
		return ps->due;
	ps->due_of = ps->next;
	ps->due = INT64_MAX;
	if (store_entry_find(c->t, ps->local, ps->next, &row) == ERR_OK && header_decode(row.e.header, &h) == ERR_OK)
		ps->due = h.handle_by.us ? h.handle_by.us : 1;
	return ps->due;
}

static struct packed_stream *stream_next(struct core *c, struct packing *p)
{
	struct packed_stream *best = NULL;

	for (size_t i = 0; i < p->n_streams; i++) {
		struct packed_stream *ps = &p->streams[i];

		if (ps->closed || ps->next > ps->upto)
			continue;
		if (!best || ps->rank < best->rank || (ps->rank == best->rank && due_of(c, ps) < due_of(c, best)))
			best = ps;
	}
	return best;
}

/* Its entries are counted, and their large bodies come later. */
static void segment_packed(struct core *c, struct packing *p, const struct stream *s)
{
	struct tallied *of = &p->at.of[s->row.name.precedence];
	struct frame f;
	struct entry e;
	struct header h;

	if (frame_decode(buf_view(&c->courier.frame), &f))
		return;
	for (struct view rest = f.type == FRAME_SEGMENT_AFTER ? f.u.after.segment.entry_bytes : f.u.segment.entry_bytes; rest.len && segment_next(&rest, &e) == ERR_OK;) {
		if (header_decode(e.header, &h))
			continue;
		of->entries++;
		of->messages += h.kind == KIND_MESSAGE;
		if (h.flags & HEADER_CHUNKED)
			body_add(c, p, s, &e.body_hash);
	}
}

/* Its floor goes before the first entry. False when it cannot. */
static bool step_floor(struct core *c, struct packing *p, struct packed_stream *ps, struct stream *s, struct buf *out)
{
	struct floor_frame say;

	ps->floor = false;
	buf_clear(&c->courier.frame);
	if (!floor_say(c, s, &say))
		return false;
	frame_floor(&c->courier.frame, &say);
	if (c->courier.frame.len > room(p))
		return false;
	write_frame(c, p, out);
	return true;
}

static bool step_segments(struct core *c, struct packing *p, struct buf *out)
{
	struct packed_stream *ps;

	while ((ps = stream_next(c, p))) {
		struct stream *s = stream_by_local(c, ps->local);
		uint64_t space = room(p), last = 0;

		if (s && ps->next <= s->row.floor) {
			ps->first = ps->next = s->row.floor + 1; /* retired meanwhile */
			ps->floor = true;
			continue;
		}
		if (s && ps->floor) {
			if (step_floor(c, p, ps, s, out))
				return true;
			ps->closed = true;
			continue;
		}
		buf_clear(&c->courier.frame);
		ps->closed = !s || !replicate_cut(c, s, ps->next - 1, p->all && ps->next == ps->first && ps->next > 1, space < LIMIT_SEGMENT_BYTES ? (size_t)space : LIMIT_SEGMENT_BYTES, &c->courier.frame, &last) ||
			     c->courier.frame.len > space;
		if (ps->closed)
			continue;
		ps->next = last + 1;
		segment_packed(c, p, s);
		write_frame(c, p, out);
		return true;
	}
	return false;
}

/* ---- large bodies ------------------------------------------------------------------------------------------------------- */

static int by_rank(const void *a, const void *b)
{
	const struct packed_body *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->body_no < y->body_no ? -1 : x->body_no > y->body_no;
}

/* The n-th part of a body: its manifest, then each page of hashes before the chunks it lists. False behind the last one that is here. */
static bool part_of(const struct body_row *row, uint32_t n, struct part *out)
{
	uint32_t page = LIMIT_LEAVES_PER_PAGE + 1, at = n - 1;

	*out = (struct part){.body = row->hash, .kind = PART_MANIFEST};
	if (n == 0)
		return true;
	out->kind = at % page == 0 ? PART_PAGE : PART_CHUNK;
	out->index = at % page == 0 ? at / page : at / page * LIMIT_LEAVES_PER_PAGE + at % page - 1;
	return out->kind == PART_PAGE ? out->index * LIMIT_LEAVES_PER_PAGE < row->have : out->index < row->have;
}

static bool body_fits(const struct packing *p, const struct body_row *row)
{
	uint64_t parts = 1 + row->chunks + (row->chunks + LIMIT_LEAVES_PER_PAGE - 1) / LIMIT_LEAVES_PER_PAGE;
	uint64_t need = row->sealed_len + parts * PART_OVERHEAD_BYTES + (uint64_t)row->chunks * HASH_BYTES + MANIFEST_MAX_BYTES;

	return need <= room(p);
}

static void body_left(struct packing *p, const struct packed_body *b, const struct body_row *row)
{
	p->at.of[b->precedence].left_bodies++;
	p->at.of[b->precedence].left_body_bytes += row->sealed_len;
}

/* One part of the body at hand; false when there is none left of it. */
static bool step_part(struct core *c, struct packing *p, const struct body_row *row, struct buf *out)
{
	struct buf *bytes = &c->scratch;
	struct part part;

	if (!part_of(row, p->at.part, &part))
		return false;
	buf_clear(bytes);
	if (store_body_get_part(c->t, row->class, row->body_no, part.kind, part.index, bytes))
		return false;
	part.bytes = buf_view(bytes);
	part.total = (uint32_t)bytes->len;
	buf_clear(&c->courier.frame);
	frame_part(&c->courier.frame, &part);
	write_frame(c, p, out);
	p->at.part++;
	return true;
}

/* A body goes in whole, or as far as it is here, or is left out. */
static bool step_bodies(struct core *c, struct packing *p, struct buf *out)
{
	while (p->at.body < p->at.n_bodies) {
		const struct packed_body *b = &p->sorted[p->at.body];
		struct body_row row;
		bool there = store_body_row(c->t, b->class, b->body_no, &row) == ERR_OK;

		if (there && p->at.part == 0 && !body_fits(p, &row))
			body_left(p, b, &row);
		else if (there && step_part(c, p, &row, out))
			return true;
		else if (p->at.part)
			p->at.of[b->precedence].bodies++;
		p->at.body++;
		p->at.part = 0;
	}
	return false;
}

/* ---- steps ------------------------------------------------------------------------------------------------------------------ */

static void segments_end(struct core *c, struct packing *p)
{
	for (size_t i = 0; i < p->n_streams; i++) {
		const struct packed_stream *ps = &p->streams[i];
		const struct stream *s = stream_by_local(c, ps->local);

		if (s && ps->next <= ps->upto)
			p->at.of[s->row.name.precedence].left_entries += ps->upto - ps->next + 1;
	}
	free(p->sorted);
	p->sorted = calloc(p->at.n_bodies + 1, sizeof *p->sorted);
	if (!p->sorted) {
		txn_fail(c->t, ERR_NOMEM);
		p->at.n_bodies = 0;
	}
	if (p->at.n_bodies) {
		memcpy(p->sorted, p->bodies, p->at.n_bodies * sizeof *p->sorted);
		qsort(p->sorted, p->at.n_bodies, sizeof *p->sorted, by_rank);
	}
}

static void write_end(struct core *c, struct packing *p, struct buf *out)
{
	size_t start = out->len;

	bundle_write_end(&p->at.chain, out, c->config.suite, &c->config.keys.identity, &c->roster->network_hash);
	p->at.bytes += out->len - start;
}

static void step(struct core *c, struct packing *p, struct buf *out)
{
	p->touched = true;
	while (out->len <= STEP_BYTES && p->at.phase != PACK_OVER) {
		bool more = false;

		switch (p->at.phase) {
		case PACK_STATE: more = step_state(c, p, out); break;
		case PACK_VECTORS: more = step_vectors(c, p, out); break;
		case PACK_SEGMENTS: more = step_segments(c, p, out); break;
		case PACK_BODIES: more = step_bodies(c, p, out); break;
		case PACK_END: write_end(c, p, out); break;
		case PACK_OVER: break;
		}
		if (!more && p->at.phase == PACK_SEGMENTS)
			segments_end(c, p);
		if (!more)
			p->at.phase = (enum phase)(p->at.phase + 1);
	}
	p->at.index++;
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

/* Without the roster and its dictionaries. */
static size_t orders_in(const struct packing *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_state; i++)
		n += p->state[i].name.kind == STATE_KIND_ORDER || p->state[i].name.kind == STATE_KIND_ENDORSEMENT;
	return n;
}

static void row_sum(struct rows *r, const struct packing *p)
{
	struct tallied sum = {0};

	for (unsigned i = 0; i < PREC_COUNT; i++) {
		sum.entries += p->at.of[i].entries;
		sum.messages += p->at.of[i].messages;
		sum.bodies += p->at.of[i].bodies;
		sum.left_entries += p->at.of[i].left_entries;
		sum.left_bodies += p->at.of[i].left_bodies;
		sum.left_body_bytes += p->at.of[i].left_body_bytes;
	}
	row_begin(r);
	row_text(r, "part", "bundle");
	row_text(r, "site", r->c->me->id);
	row_time(r, "made", p->made);
	row_number(r, "bytes", (int64_t)p->at.bytes);
	row_number(r, "pieces", (int64_t)p->at.chain.pieces);
	row_number(r, "orders", (int64_t)orders_in(p));
	row_number(r, "vectors", (int64_t)p->n_vectors);
	row_number(r, "entries", (int64_t)sum.entries);
	row_number(r, "messages", (int64_t)sum.messages);
	row_number(r, "bodies", (int64_t)sum.bodies);
	row_number(r, "left_entries", (int64_t)sum.left_entries);
	row_number(r, "left_bodies", (int64_t)sum.left_bodies);
	row_number(r, "left_body_bytes", (int64_t)sum.left_body_bytes);
	row_end(r);
}

static void row_precedence(struct rows *r, const struct tallied *of, unsigned precedence)
{
	row_begin(r);
	row_text(r, "part", "precedence");
	row_text(r, "precedence", precedence_name(precedence));
	row_number(r, "entries", (int64_t)of->entries);
	row_number(r, "messages", (int64_t)of->messages);
	row_number(r, "bodies", (int64_t)of->bodies);
	row_number(r, "left_entries", (int64_t)of->left_entries);
	row_number(r, "left_bodies", (int64_t)of->left_bodies);
	row_number(r, "left_body_bytes", (int64_t)of->left_body_bytes);
	row_end(r);
}

static void reply_step(struct core *c, const struct packing *p, uint32_t tag, struct view bytes, uint32_t index)
{
	struct rows r = {.c = c, .client = p->client, .tag = tag};
	bool last = p->at.phase == PACK_OVER;
	struct request_writer w;

	if (last) {
		row_sum(&r, p);
		for (unsigned i = 0; i < PREC_COUNT; i++)
			row_precedence(&r, &p->at.of[i], i);
	}
	reply_begin(c, &w, REPLY_PIECE, tag);
	request_field(&w, F_PIECE, bytes);
	request_u32(&w, F_INDEX, index);
	request_u8(&w, F_LAST, last);
	reply_end(c, &w, p->client);
}

/* What has to go in whatever there is room for: head, state, vectors. */
static enum err fits(struct core *c, const struct packing *p, struct errmsg *m)
{
	uint64_t need = p->at.bytes + BUNDLE_END_BYTES + p->vectors.len + 8 * p->n_vectors;

	for (size_t i = 0; i < p->n_state; i++)
		need += state_blob(c, &p->state[i].name).len + BUNDLE_PIECE_HEAD_BYTES + 64;
	if (!p->max || need <= p->max)
		return ERR_OK;
	return err_set(m, ERR_TOO_LARGE, "pack: %llu bytes are less than orders and receipts alone take (--max-size %lluKiB at least)",
		       (unsigned long long)p->max, (unsigned long long)(need / 1024 + 1));
}

static void begin(struct core *c, struct client *cl, const struct request *rq)
{
	struct packing *p = NULL, **slot;
	struct errmsg m = {0};
	enum err e = ERR_NOMEM;

	pack_forget_client(c, cl->id); /* it gave up the one before */
	if (c->courier.n_packings >= PACKINGS_MAX) {
		reply_error(c, cl->id, rq->tag, ERR_BUSY, "pack: %d bundles are being packed already (wait for one of them)", PACKINGS_MAX);
		return;
	}
	p = calloc(1, sizeof *p);
	if (p) {
		p->client = cl->id;
		p->made = c->wall;
		e = read_fields(c, p, rq->fields, &m);
	}
	if (!e && p->all)
		sites_all(c, p);
	if (!e)
		e = choose(c, p);
	buf_clear(&c->courier.step);
	if (!e) {
		write_head(c, p, &c->courier.step);
		e = fits(c, p, &m);
	}
	if (!e && !(slot = array_grow(&c->courier.packings, &c->courier.n_packings, sizeof(struct packing *))))
		e = ERR_NOMEM;
	if (e) {
		packing_free(p);
		reply_error(c, cl->id, rq->tag, e, "%s", m.text[0] ? m.text : "pack: out of memory");
		return;
	}
	*slot = p;
	p->touched = true;
	p->at.index = 1;
	p->committed = p->at;
	reply_step(c, p, rq->tag, buf_view(&c->courier.step), 0);
}

/* The index of a step that is asked for; false: a bundle is begun. */
static bool index_of(struct view fields, uint32_t *out)
{
	struct request_item f;
	bool found = false;

	while (request_next(&fields, &f) == ERR_OK)
		if (f.field == F_INDEX && item_ok(&f)) {
			*out = item_u32(&f);
			found = true;
		}
	return found;
}

void pack_request(struct core *c, struct client *cl, const struct request *rq)
{
	struct packing *p = packing_of(c, cl->id);
	uint32_t index = 0;

	if (!cl->rights.may_operate) {
		reply_error(c, cl->id, rq->tag, ERR_NOT_PERMITTED, "pack: %s may not operate the node (see `clients` in node.conf)", cl->rights.name);
		return;
	}
	if (!index_of(rq->fields, &index)) {
		begin(c, cl, rq);
		return;
	}
	if (!p || index != p->at.index || p->at.phase == PACK_OVER) {
		reply_error(c, cl->id, rq->tag, ERR_NOT_FOUND, "pack: no bundle is being packed, or not at step %u", index);
		return;
	}
	buf_clear(&c->courier.step);
	step(c, p, &c->courier.step);
	if (!buf_ok(&c->courier.step) || !buf_ok(&c->courier.frame)) {
		txn_fail(c->t, ERR_NOMEM);
		return;
	}
	reply_step(c, p, rq->tag, buf_view(&c->courier.step), index);
}
