/* bodies.c - large bodies travel apart from their entries: asked for by hash, verified piece by piece, resumed where they
 * stopped, never whole in memory. */
#include "node/core/core_int.h"

/* Chunks asked for and not yet here, a fetch; bodies fetched at one time; chunks given for one WANT. */
#define FETCH_WINDOW 16
#define FETCH_AT_ONCE 4
#define GIVE_MAX 64
/* Given to one peer in one batch, however often it asks; an honest one asks again for the rest. */
#define GIVE_BYTES (4 * 1024 * 1024)
#define ASK_AGAIN_US (3 * US_PER_S)

/* ---- the fetches ---------------------------------------------------------------------------------------------------- */

static struct fetch *fetch_find(struct core *c, const struct hash *body)
{
	for (size_t i = 0; i < c->n_fetches; i++)
		if (hash_equal(&c->fetches[i].body, body))
			return &c->fetches[i];
	return NULL;
}

/* What an earlier attempt stored is taken up again. */
static void fetch_resume(struct core *c, struct fetch *f)
{
	struct buf b = BUF_EMPTY;
	struct body_row row;

	if (store_body_find(c->t, f->class, &f->body, &row))
		return;
	f->body_no = row.body_no;
	f->have = f->asked = row.have;
	if (store_body_get_part(c->t, f->class, row.body_no, PART_MANIFEST, 0, &b) == ERR_OK && manifest_decode(buf_view(&b), &f->manifest) == ERR_OK)
		f->have_manifest = true;
	buf_release(&b);
}

static unsigned stream_rank(const struct stream *s)
{
	return s->row.name.precedence + (s->row.name.exercise ? PREC_COUNT : 0u);
}

static unsigned fetch_rank(struct core *c, const struct fetch *f)
{
	const struct stream *s = stream_by_local(c, f->stream);

	return s ? stream_rank(s) : 2 * PREC_COUNT;
}

static void fetch_add(struct core *c, uint32_t stream, uint64_t number, const struct hash *body)
{
	struct stream *s = stream_by_local(c, stream);
	struct fetch *f = fetch_find(c, body);

	if (f || !s)
		return;
	f = array_grow(&c->fetches, &c->n_fetches, sizeof *f);
	if (!f)
		return;
	/* The most urgent first, then in order of arrival. */
	for (; f > c->fetches && fetch_rank(c, &f[-1]) > stream_rank(s); f--)
		*f = f[-1];
	*f = (struct fetch){.stream = stream, .number = number, .body = *body, .asked_at = {INT64_MIN / 2},
			    .class = s->row.name.exercise ? BODY_EXERCISE : BODY_OPERATIONAL};
	fetch_resume(c, f);
	c->fetches_touched = true;
}

void bodies_fetch(struct core *c, struct stream *s, uint64_t number, const struct hash *body)
{
	fetch_add(c, s->row.local, number, body);
	struct fetch *f = fetch_find(c, body);

	if (f)
		(void)bodies_ask(c);
}

static enum err load_one(void *arg, uint32_t stream, uint64_t number, const struct hash *body)
{
	fetch_add(arg, stream, number, body);
	return ERR_OK;
}

void bodies_drop(struct core *c)
{
	for (size_t i = 0; i < c->n_fetches; i++)
		buf_release(&c->fetches[i].page);
	free(c->fetches);
	c->fetches = NULL;
	c->n_fetches = 0;
}

void bodies_load(struct core *c)
{
	enum err e = store_missing_each(c->t, load_one, c);

	(void)e; /* what cannot be read is found by verify; the bodies that can be are fetched */
}

/* ---- asking ------------------------------------------------------------------------------------------------------------ */

static bool peer_has(const struct flow *f, uint64_t number)
{
	if (f->peer->site == f->stream->row.name.originator)
		return true;
	if (!f->known || f->acked < number)
		return false;
	for (uint16_t i = 0; i < f->n_missing; i++)
		if (f->missing[i] == number)
			return false;
	return true;
}

/* The originator first, then any custodian that has it; another one after each try that brought nothing. */
static struct peer *fetch_from(struct core *c, const struct fetch *f)
{
	struct stream *s = stream_by_local(c, f->stream);
	struct peer *list[LIMIT_CUSTODIANS + 1];
	size_t n = 0;

	for (int round = 0; s && round < 2; round++)
		for (size_t i = 0; i < s->n_flows; i++) {
			struct flow *fl = &s->flows[i];
			bool origin = fl->peer->site == s->row.name.originator;

			if (origin == (round == 0) && peer_reachable(fl->peer) && peer_has(fl, f->number))
				list[n++] = fl->peer;
		}
	return n ? list[(size_t)(f->tries / 2) % n] : NULL;
}

static void want(struct core *c, struct peer *p, const struct fetch *f, uint8_t kind, uint32_t index, uint32_t count)
{
	struct part w = {.body = f->body, .kind = kind, .index = index, .count = count};

	frame_want(effect_begin(c->out), &w);
	effect_end_frame(c->out, p->site, LANE_BULK, p->lane[LANE_BULK].accepted ? SIDE_ACCEPTED : SIDE_DIALLED);
}

static bool page_here(const struct fetch *f)
{
	return f->have_page && f->page_no == f->have / LIMIT_LEAVES_PER_PAGE;
}

static void fetch_page_load(struct core *c, struct fetch *f)
{
	uint32_t page = f->have / LIMIT_LEAVES_PER_PAGE;

	buf_clear(&f->page);
	f->have_page = store_body_get_part(c->t, f->class, f->body_no, PART_PAGE, page, &f->page) == ERR_OK;
	f->page_no = page;
}

/* Asks for the next thing that is missing: the manifest, the page of leaves, chunks. */
static void fetch_ask(struct core *c, struct fetch *f, bool again)
{
	struct peer *p = fetch_from(c, f);

	if (!p)
		return;
	if (again || f->asked < f->have)
		f->asked = f->have;
	if (f->have_manifest && !page_here(f))
		fetch_page_load(c, f);
	if (!f->have_manifest) {
		want(c, p, f, PART_MANIFEST, 0, 1);
	} else if (!page_here(f)) {
		want(c, p, f, PART_PAGE, f->have / LIMIT_LEAVES_PER_PAGE, 1);
	} else {
		uint32_t page_end = (f->page_no + 1) * LIMIT_LEAVES_PER_PAGE;
		uint32_t end = page_end < f->manifest.chunks ? page_end : f->manifest.chunks;
		uint32_t n = f->have + FETCH_WINDOW < end ? f->have + FETCH_WINDOW - f->asked : end - f->asked;

		if (f->asked >= end || (n < FETCH_WINDOW / 2 && f->asked + n < end))
			return;
		want(c, p, f, PART_CHUNK, f->asked, n);
		f->asked += n;
	}
	f->from = p->site;
	f->asked_at = c->now;
}

struct mono bodies_ask(struct core *c)
{
	struct mono next = MONO_NEVER;
	size_t busy = 0;

	/* One that nobody can give is asked for less and less often, and does not keep the others waiting. */
	for (size_t i = 0; i < c->n_fetches && busy < FETCH_AT_ONCE; i++) {
		struct fetch *f = &c->fetches[i];
		struct peer *p = peer_find(c, f->from);
		int64_t patience = (p && 4 * p->rtt_us > ASK_AGAIN_US ? 4 * p->rtt_us : ASK_AGAIN_US) * (1 + (f->tries < 80 ? f->tries : 80) / 4);

		busy += f->tries < 8;
		if (c->now.us - f->asked_at.us >= patience) {
			f->tries++;
			fetch_ask(c, f, true);
		}
		next = mono_min(next, mono_add(f->asked_at, patience));
	}
	return next;
}

/* ---- what comes -------------------------------------------------------------------------------------------------------------- */

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
	store_missing_del(c->t, s->row.local, number);
	for (uint16_t i = 0; i < s->n_missing; i++)
		if (s->missing[i] == number) {
			memmove(&s->missing[i], &s->missing[i + 1], (s->n_missing - i - 1u) * sizeof s->missing[0]);
			s->n_missing--;
			break;
		}
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
	}
	struct rd r = rd_init(buf_view(&d.found));

	row->whole = true;
	row->refs = (uint32_t)(d.found.len / 12);
	store_body_put_row(c->t, row);
	struct body_row copy = *row;

	buf_release(&f->page);
	size_t i = (size_t)(f - c->fetches);
	memmove(f, f + 1, (c->n_fetches - i - 1) * sizeof *f);
	c->n_fetches--;
	while (!e && rd_left(&r) >= 12) {
		struct stream *s = stream_by_local(c, rd_u32(&r));
		uint64_t number = rd_u64(&r);

		if (s)
			entry_whole(c, s, number, &copy);
	}
	buf_release(&d.found);
	for (size_t k = 0; k < c->n_fetches && k < FETCH_AT_ONCE; k++)
		if (c->fetches[k].asked_at.us < 0)
			fetch_ask(c, &c->fetches[k], true);
}

static bool take_manifest(struct core *c, struct fetch *f, const struct part *p)
{
	struct body_row row = {.class = f->class, .hash = f->body};

	if (f->have_manifest || manifest_decode(p->bytes, &f->manifest))
		return f->have_manifest;
	struct hash h = manifest_hash(&f->manifest);

	if (!hash_equal(&h, &f->body))
		return false;
	row.sealed_len = f->manifest.sealed_len;
	row.chunks = f->manifest.chunks;
	/* One reference from the start, so that it is no orphan of a broken-off submission. */
	row.refs = 1;
	store_body_add(c->t, &row);
	store_body_put_part(c->t, row.class, row.body_no, PART_MANIFEST, 0, p->bytes);
	f->body_no = row.body_no;
	f->have_manifest = true;
	return true;
}

static bool take_page(struct core *c, struct fetch *f, const struct part *p)
{
	struct hash h = page_hash(p->index, p->bytes);

	if (!f->have_manifest || p->index >= f->manifest.pages || !hash_equal(&h, &f->manifest.page[p->index]))
		return false;
	store_body_put_part(c->t, f->class, f->body_no, PART_PAGE, p->index, p->bytes);
	f->have_page = false;
	return true;
}

/* True when the chunk fits; *done when it was the last one. */
static bool take_chunk(struct core *c, struct fetch *f, const struct part *p, bool *done)
{
	struct body_row row;

	if (!f->have_manifest || p->index != f->have)
		return true; /* one that was overtaken or asked twice */
	if (!page_here(f))
		fetch_page_load(c, f);
	size_t at = (p->index % LIMIT_LEAVES_PER_PAGE) * (size_t)HASH_BYTES;
	struct hash h = chunk_hash(p->index, p->bytes);

	if (!page_here(f) || at + HASH_BYTES > f->page.len || memcmp(f->page.ptr + at, h.b, HASH_BYTES) != 0)
		return false;
	if (store_body_row(c->t, f->class, f->body_no, &row))
		return false;
	store_body_put_part(c->t, f->class, f->body_no, PART_CHUNK, p->index, p->bytes);
	row.have = ++f->have;
	f->tries = 0;
	f->asked_at = c->now;
	if (f->have == f->manifest.chunks) {
		*done = true;
		fetch_done(c, f, &row);
		return true;
	}
	store_body_put_row(c->t, &row);
	return true;
}

void bodies_part(struct core *c, struct peer *p, const struct part *part)
{
	struct fetch *f = fetch_find(c, &part->body);
	bool done = false, good;

	c->fetches_touched = true;
	if (!f || part->offset != 0 || part->total != part->bytes.len)
		return; /* not asked for, or no longer */
	switch (part->kind) {
	case PART_MANIFEST: good = take_manifest(c, f, part); break;
	case PART_PAGE: good = take_page(c, f, part); break;
	case PART_CHUNK: good = take_chunk(c, f, part, &done); break;
	default: good = false;
	}
	if (!good) {
		peer_bad(c, p, "a part of a body that does not fit its hash");
		if (p->site == f->from)
			f->tries += 2; /* asked elsewhere next */
		return;
	}
	if (!done)
		fetch_ask(c, f, false);
}

enum err bodies_apply(struct core *c, const struct part *part)
{
	struct fetch *f = fetch_find(c, &part->body);
	bool done = false, good = false;

	if (!f || part->offset != 0 || part->total != part->bytes.len)
		return ERR_EXISTS;
	uint32_t have = f->have;

	c->fetches_touched = true;
	switch (part->kind) {
	case PART_MANIFEST:
		if (f->have_manifest)
			return ERR_EXISTS;
		good = take_manifest(c, f, part);
		break;
	case PART_PAGE: good = take_page(c, f, part); break;
	case PART_CHUNK:
		if (part->index != have)
			return part->index < have ? ERR_EXISTS : ERR_GAP;
		good = take_chunk(c, f, part, &done);
		break;
	default: break;
	}
	return good ? ERR_OK : ERR_AUTH;
}

/* ---- what we give ------------------------------------------------------------------------------------------------------------- */

void bodies_want(struct core *c, struct peer *p, const struct part *w)
{
	struct body_row row;
	uint32_t n = w->count < GIVE_MAX ? w->count : GIVE_MAX;

	if (store_body_find(c->t, BODY_OPERATIONAL, &w->body, &row) && store_body_find(c->t, BODY_EXERCISE, &w->body, &row))
		return; /* the asker asks elsewhere */
	for (uint32_t i = w->index; i - w->index < n && p->given < GIVE_BYTES; i++) {
		struct part part = {.body = w->body, .kind = w->kind, .index = i};

		buf_clear(&c->scratch);
		if (store_body_get_part(c->t, row.class, row.body_no, w->kind, i, &c->scratch))
			return;
		part.bytes = buf_view(&c->scratch);
		part.total = (uint32_t)part.bytes.len;
		p->given += part.bytes.len;
		frame_part(effect_begin(c->out), &part);
		effect_end_frame(c->out, p->site, LANE_BULK, p->lane[LANE_BULK].up ? SIDE_DIALLED : SIDE_ACCEPTED);
	}
}
