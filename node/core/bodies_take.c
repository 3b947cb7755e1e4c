/* bodies_take.c - parts of bodies that come: put together, verified piece by piece, stored, never whole in memory: bodies.h. */
#include "node/core/bodies_int.h"

/* What was lost is not asked for again before it can have come. */
#define LOST_AGAIN_US US_PER_S
/* Beginnings of parts kept in memory. */
#define PARTIALS_MAX 32

/* ---- whole ---------------------------------------------------------------------------------------------------------------- */

struct done_list { const struct hash *body; struct buf found; };

static enum err done_one(void *arg, uint32_t stream, uint64_t number, const struct hash *body)
{
	struct done_list *d = arg;

	if (hash_equal(body, d->body)) {
		buf_add_u32(&d->found, stream);
		buf_add_u64(&d->found, number);
	}
	return ERR_OK;
}

static void entry_whole(struct core *c, struct stream *s, uint64_t number, const struct body_row *body)
{
	struct entry_row row;

	if (store_entry_find(c->t, s->row.local, number, &row))
		return;
	store_entry_set_body(c->t, row.arrival, body->body_no, body->class);
	store_whole_since_put(c->t, row.arrival, c->wall);
	store_missing_del(c->t, s->row.local, number);
	stream_not_missing(s, number);
	deliver_whole(c, s, number);
	stream_advanced(c, s);
	stream_ack(c, s);
}

/* All entries that waited for this body are whole now. */
static void fetch_done(struct core *c, struct fetch *f, struct body_row *row)
{
	struct hash body = f->body;
	struct done_list d = {.body = &body, .found = BUF_EMPTY};
	enum err e = store_missing_each(c->t, done_one, &d);

	if (e == ERR_DAMAGED) {
		missing_mend(c);
		buf_clear(&d.found);
		e = store_missing_each(c->t, done_one, &d);
		f = fetch_find(c, &body);
	}
	struct rd r = rd_init(buf_view(&d.found));

	row->whole = true;
	row->refs = (uint32_t)(d.found.len / 12);
	store_body_put_row(c->t, row);
	struct body_row copy = *row;

	if (!row->refs)
		submit_trash(c, row->class, row->body_no); /* what waited for it is gone, or comes again whole */
	if (f)
		fetch_end(c, f);
	while (!e && rd_left(&r) >= 12) {
		struct stream *s = stream_by_local(c, rd_u32(&r));
		uint64_t number = rd_u64(&r);

		if (s)
			entry_whole(c, s, number, &copy);
	}
	buf_release(&d.found);
	(void)bodies_ask(c);
}

/* ---- a part ---------------------------------------------------------------------------------------------------------------- */

static bool take_manifest(struct core *c, struct fetch *f, struct view bytes)
{
	struct body_row row = {.class = f->class, .hash = f->body};
	struct manifest m;

	if (manifest_decode(bytes, &m))
		return false;
	struct hash h = manifest_hash(&m);

	if (!hash_equal(&h, &f->body))
		return false;
	row.sealed_len = m.sealed_len;
	row.chunks = m.chunks;
	/* One reference from the start, so that it is no orphan of a broken-off submission. */
	row.refs = 1;
	store_body_add(c->t, &row);
	store_body_put_part(c->t, row.class, row.body_no, PART_MANIFEST, 0, bytes);
	f->manifest = m;
	f->body_no = row.body_no;
	f->have_manifest = true;
	return true;
}

static bool take_page(struct core *c, struct fetch *f, uint32_t index, struct view bytes)
{
	struct hash h = page_hash(index, bytes);

	if (index >= f->manifest.pages || !hash_equal(&h, &f->manifest.page[index]))
		return false;
	store_body_put_part(c->t, f->class, f->body_no, PART_PAGE, index, bytes);
	f->have_page = false;
	return true;
}

/* True when the chunk fits; *done when it was the last one: then f is gone. */
static bool take_chunk(struct core *c, struct fetch *f, uint32_t index, struct view bytes, bool *done)
{
	struct hash body = f->body;
	struct body_row row;

	if (!fetch_page_here(f))
		fetch_page_load(c, f);
	size_t at = (index % LIMIT_LEAVES_PER_PAGE) * (size_t)HASH_BYTES;
	struct hash h = chunk_hash(index, bytes);

	if (!fetch_page_here(f) || at + HASH_BYTES > f->page.len || memcmp(f->page.ptr + at, h.b, HASH_BYTES) != 0)
		return false;
	if (store_body_row(c->t, f->class, f->body_no, &row))
		return false;
	store_body_put_part(c->t, f->class, f->body_no, PART_CHUNK, index, bytes);
	row.have = ++f->have;
	if (f->have == f->manifest.chunks) {
		*done = true;
		fetch_done(c, f, &row);
	} else {
		store_body_put_row(c->t, &row);
	}
	bodies_more(c, &body);
	return true;
}

/* The part that was damaged. When it fits f is gone. */
static bool mend_part(struct core *c, struct fetch *f, uint8_t kind, uint32_t index, struct view bytes)
{
	struct waiter w = f->waiter[0];
	struct hash h = kind == PART_PAGE ? page_hash(index, bytes) : chunk_hash(index, bytes);
	struct manifest m;

	if (kind == PART_MANIFEST) {
		if (manifest_decode(bytes, &m))
			return false;
		h = manifest_hash(&m);
		if (!hash_equal(&h, &f->body))
			return false;
	} else if (kind == PART_PAGE) {
		if (!f->have_manifest || index >= f->manifest.pages || !hash_equal(&h, &f->manifest.page[index]))
			return false;
	} else {
		size_t at = (index % LIMIT_LEAVES_PER_PAGE) * (size_t)HASH_BYTES;

		fetch_page_load(c, f);
		if (!fetch_page_here(f) || at + HASH_BYTES > f->page.len || memcmp(f->page.ptr + at, h.b, HASH_BYTES) != 0)
			return false;
	}
	store_body_put_part(c->t, f->class, f->body_no, kind, index, bytes);
	fetch_leave(c, f);
	fetch_end(c, f);
	again_part(c, w.stream, w.number);
	return true;
}

/* Then f is gone. */
static bool take_single(struct core *c, struct fetch *f, struct view bytes)
{
	struct body_row row = {.class = f->class, .hash = f->body, .sealed_len = bytes.len, .refs = 1, .whole = true};
	struct hash h = body_hash(bytes);

	if (bytes.len != f->single_bytes || !hash_equal(&h, &f->body))
		return false;
	store_body_add(c->t, &row);
	store_body_put_part(c->t, row.class, row.body_no, PART_WHOLE, 0, bytes);
	fetch_done(c, f, &row);
	bodies_more(c, &row.hash);
	return true;
}

/* A part is all here. */
static bool take_part(struct core *c, struct fetch *f, struct view bytes, bool *done)
{
	if (f->single) {
		c->fetches_touched = true;
		*done = take_single(c, f, bytes);
		return *done;
	}
	uint8_t kind = position_kind(f->position);
	uint32_t index = position_index(f->position);

	c->fetches_touched = true;
	if (f->mend)
		return *done = mend_part(c, f, kind, index, bytes);
	if (kind == PART_MANIFEST)
		return take_manifest(c, f, bytes);
	if (kind == PART_PAGE)
		return take_page(c, f, index, bytes);
	return take_chunk(c, f, index, bytes, done);
}

/* ---- slices ---------------------------------------------------------------------------------------------------------------- */

/* Of too many that have begun the least urgent begins its part again. */
static void partials_bound(struct core *c, const struct fetch *but)
{
	struct fetch *last = NULL;
	size_t n = 0;

	for (size_t i = 0; i < c->n_fetches; i++)
		if (c->fetches[i].part.ptr) {
			n++;
			last = &c->fetches[i] != but ? &c->fetches[i] : last;
		}
	if (n >= PARTIALS_MAX && last) {
		buf_release(&last->part);
		last->again = true;
	}
}

/* False when it cannot belong to what is here of its part. */
static bool slice_add(struct core *c, struct fetch *f, const struct peer *p, const struct part *part)
{
	if (!part->offset) {
		partials_bound(c, f);
		f->part_total = part->total;
		f->part_from = p->site;
	}
	if (f->part_total != part->total || (f->single && part->total != f->single_bytes))
		return false;
	if (f->part_from != p->site)
		f->part_from = PART_FROM_SEVERAL;
	buf_add(&f->part, part->bytes);
	if (buf_ok(&f->part))
		return true;
	buf_release(&f->part);
	txn_fail(c->t, ERR_NOMEM);
	return true;
}

/* Something did not fit: another holder is asked. Where slices came from several, nobody knows whose was wrong. */
static void fetch_refuse(struct core *c, struct fetch *f, struct peer *p)
{
	bool only = !f->part.len || f->part_from == p->site;

	if (only) {
		p->bad_parts++;
		f->bad = p->site;
		f->bad_at = c->now;
		peer_bad(c, p, "a part of a body that does not fit its hash");
	}
	buf_release(&f->part);
	if (f->from == p->site)
		fetch_leave(c, f);
	f->again = true;
	(void)bodies_ask(c);
}

/* What is before it will not come any more. */
static void fetch_lost(struct core *c, struct fetch *f, struct peer *p)
{
	int64_t wait = 2 * p->rtt_us > LOST_AGAIN_US ? 2 * p->rtt_us : LOST_AGAIN_US;

	if (c->now.us - f->lost_at.us < wait)
		return;
	f->lost_at = c->now;
	fetch_ask(c, f, p, WANT_LOST);
}

/* The next part is the one that is missing now. */
static void fetch_moved(struct fetch *f)
{
	buf_release(&f->part);
	f->position++;
	f->tries = f->denied = 0;
}

static void fetch_part(struct core *c, struct fetch *f, struct peer *p, const struct part *part)
{
	bool done = false, whole = !part->offset && part->bytes.len == part->total;

	if (!whole && !slice_add(c, f, p, part)) {
		fetch_refuse(c, f, p);
		return;
	}
	f->asked_at = c->now;
	if (!whole && f->part.len < part->total) {
		f->tries = f->denied = 0;
		return;
	}
	if (!take_part(c, f, whole ? part->bytes : buf_view(&f->part), &done)) {
		fetch_refuse(c, f, p);
		return;
	}
	if (done)
		return;
	fetch_moved(f);
	if (f->from == p->site && f->asked - f->position < FETCH_AHEAD / 2 && f->asked < fetch_parts(f))
		fetch_ask(c, f, p, 0);
}

void bodies_part(struct core *c, struct peer *p, uint8_t lane, const struct part *part)
{
	struct fetch *f = fetch_find(c, &part->body);
	uint32_t position = position_of(part->kind, part->index);

	if ((lane != LANE_BULK && part->kind != PART_WHOLE) || (f && f->single != (part->kind == PART_WHOLE))) {
		peer_bad(c, p, "a part of a body where none belongs");
		return;
	}
	p->parts[lane].got_mark = part->mark;
	p->parts[lane].got_due = true;
	p->parts[lane].heard = c->now;
	if (!f)
		fetch_want_end(c, p, lane, &part->body);
	else if (position == f->position && part->offset == f->part.len)
		fetch_part(c, f, p, part);
	else if (p->site == f->from && (position > f->position || (position == f->position && part->offset > f->part.len)))
		fetch_lost(c, f, p);
}

void bodies_came(struct core *c, struct stream *s, uint64_t number, const struct entry *e)
{
	struct fetch *f = NULL;

	for (uint16_t i = 0; !f && i < s->n_missing; i++)
		f = s->missing[i] == number ? fetch_find(c, &e->body_hash) : NULL;
	if (!f || !f->single)
		return;
	c->fetches_touched = true;
	fetch_leave(c, f);
	(void)take_single(c, f, e->body);
}

enum err bodies_apply(struct core *c, const struct part *part)
{
	struct fetch *f = fetch_find(c, &part->body);
	uint32_t position = position_of(part->kind, part->index);
	bool done = false;

	if (!f || part->kind == PART_WHOLE || part->offset != 0 || part->total != part->bytes.len || position < f->position)
		return ERR_EXISTS;
	if (position > f->position)
		return ERR_GAP;
	if (!take_part(c, f, part->bytes, &done))
		return ERR_AUTH;
	if (!done)
		fetch_moved(f);
	return ERR_OK;
}
