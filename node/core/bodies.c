/* bodies.c - large bodies fetched from those who hold them: verified piece by piece, resumed where they stopped, never whole in
 * memory. How it works: bodies.h. */
#include "node/core/core_int.h"

/* Parts that a holder may give before it hears from us again; its window bounds what is in the air. */
#define FETCH_AHEAD 512
/* Bodies asked of one holder at a time, and as many of each that is more urgent. */
#define FETCH_AT_ONCE 4
/* A holder whose bulk lane is silent for so long is left; one that sends other things, for so much longer. */
#define SILENT_US (3 * US_PER_S)
#define OVERLOOKED_US (20 * US_PER_S)
/* What was lost is not asked for again before it can have come. */
#define LOST_AGAIN_US US_PER_S
#define NO_ROOM_US (5 * US_PER_S)
/* Who gave what did not fit, and alone has it, is asked again after so long. */
#define BAD_US (10 * US_PER_S)
/* Beginnings of parts kept in memory. */
#define PARTIALS_MAX 32
#define HOLDERS_MAX 32

/* ---- the fetches ---------------------------------------------------------------------------------------------------- */

static struct fetch *fetch_find(struct core *c, const struct hash *body)
{
	for (size_t i = 0; i < c->n_fetches; i++)
		if (hash_equal(&c->fetches[i].body, body))
			return &c->fetches[i];
	return NULL;
}

static void fetch_release(struct fetch *f)
{
	buf_release(&f->page);
	buf_release(&f->part);
	f->have_page = false;
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

/* How many parts it has, as far as is known. */
static uint32_t parts_of(const struct fetch *f)
{
	if (f->mend)
		return f->position + 1;
	if (f->single)
		return 1;
	return f->have_manifest ? position_of(PART_CHUNK, f->manifest.chunks - 1) + 1 : UINT32_MAX;
}

/* What an earlier attempt stored is taken up again. */
static void fetch_resume(struct core *c, struct fetch *f)
{
	struct buf b = BUF_EMPTY;
	struct body_row row;

	if (f->single || store_body_find(c->t, f->class, &f->body, &row) || !row.refs)
		return; /* or it is on its way out */
	if (store_body_get_part(c->t, f->class, row.body_no, PART_MANIFEST, 0, &b) == ERR_OK && manifest_decode(buf_view(&b), &f->manifest) == ERR_OK &&
	    row.have < f->manifest.chunks) {
		f->body_no = row.body_no;
		f->have_manifest = true;
		f->have = row.have;
		fetch_page_load(c, f);
		f->position = page_here(f) ? position_of(PART_CHUNK, f->have) : position_of(PART_PAGE, f->have / LIMIT_LEAVES_PER_PAGE);
	}
	buf_release(&b);
}

/* Its place among the others: the most urgent first, then in order of arrival. */
static void fetch_sort(struct core *c, struct fetch *f)
{
	struct fetch it = *f;

	for (; f > c->fetches && f[-1].rank > it.rank; f--)
		*f = f[-1];
	*f = it;
}

/* Large ones come in the bulk lane, others in that of their entries. */
static uint8_t fetch_lane(const struct fetch *f)
{
	return f->single && f->rank <= PREC_IMMEDIATE ? LANE_URGENT : LANE_BULK;
}

static void waiter_add(struct fetch *f, uint32_t stream, uint64_t number)
{
	for (size_t i = 0; i < f->n_waiters; i++)
		if (f->waiter[i].stream == stream && f->waiter[i].number == number)
			return;
	if (f->n_waiters < FETCH_WAITERS)
		f->waiter[f->n_waiters++] = (struct waiter){stream, number};
}

/* Is it a body of one chunk, which its entry leads to? */
static bool is_single(struct core *c, uint32_t stream, uint64_t number, uint64_t *bytes)
{
	struct entry_row row;
	struct header h;

	if (store_entry_find(c->t, stream, number, &row) || header_decode(row.e.header, &h))
		return false;
	*bytes = row.e.body_len;
	return !(h.flags & HEADER_CHUNKED);
}

static void fetch_add(struct core *c, uint32_t stream, uint64_t number, const struct hash *body)
{
	struct stream *s = stream_by_local(c, stream);
	struct fetch *f = fetch_find(c, body);

	if (!s)
		return;
	uint64_t bytes = 0;
	bool single = is_single(c, stream, number, &bytes);
	/* Short ones go as their messages do, between the entries. */
	uint8_t rank = (uint8_t)(s->row.name.precedence + (s->row.name.exercise && !single ? PREC_COUNT : 0));

	c->fetches_touched = true;
	if (!f) {
		f = array_grow(&c->fetches, &c->n_fetches, sizeof *f);
		if (!f)
			return;
		*f = (struct fetch){.body = *body, .single = single, .single_bytes = bytes, .rank = rank, .class = s->row.name.exercise ? BODY_EXERCISE : BODY_OPERATIONAL};
		f->asked_at = f->lost_at = f->bad_at = (struct mono){INT64_MIN / 2};
		fetch_resume(c, f);
	}
	waiter_add(f, stream, number);
	f->again = f->again || rank < f->rank; /* the holder hears that it is more urgent now */
	f->rank = rank < f->rank ? rank : f->rank;
	fetch_sort(c, f);
}

void bodies_fetch(struct core *c, struct stream *s, uint64_t number, const struct hash *body)
{
	fetch_add(c, s->row.local, number, body);
	(void)bodies_ask(c);
}

void bodies_mend(struct core *c, struct stream *s, uint64_t number, const struct body_row *row, uint32_t position)
{
	struct buf manifest = BUF_EMPTY;

	if (fetch_find(c, &row->hash))
		return;
	struct fetch *f = array_grow(&c->fetches, &c->n_fetches, sizeof *f);

	if (!f)
		return;
	c->fetches_touched = true;
	*f = (struct fetch){.body = row->hash, .mend = true, .class = row->class, .body_no = row->body_no, .position = position,
			    .rank = (uint8_t)(s->row.name.precedence + (s->row.name.exercise ? PREC_COUNT : 0))};
	f->asked_at = f->lost_at = f->bad_at = (struct mono){INT64_MIN / 2};
	f->have_manifest = store_body_get_part(c->t, f->class, f->body_no, PART_MANIFEST, 0, &manifest) == ERR_OK &&
			   manifest_decode(buf_view(&manifest), &f->manifest) == ERR_OK;
	f->have = position_kind(position) == PART_CHUNK ? position_index(position) : 0;
	buf_release(&manifest);
	waiter_add(f, s->row.local, number);
	fetch_sort(c, f);
	(void)bodies_ask(c);
}

static enum err load_one(void *arg, uint32_t stream, uint64_t number, const struct hash *body)
{
	static const struct hash again; /* its entry comes again whole */

	if (!hash_equal(body, &again))
		fetch_add(arg, stream, number, body);
	return ERR_OK;
}

void bodies_drop(struct core *c)
{
	for (size_t i = 0; i < c->n_fetches; i++)
		fetch_release(&c->fetches[i]);
	free(c->fetches);
	c->fetches = NULL;
	c->n_fetches = 0;
}

void bodies_load(struct core *c)
{
	enum err e = store_missing_each(c->t, load_one, c);

	(void)e; /* what cannot be read is found by verify; the bodies that can be are fetched */
}

void fetch_progress(const struct fetch *f, struct body_progress *out)
{
	*out = (struct body_progress){.chunks = f->have, .from = f->from};
	if (f->single) {
		out->of = 1;
		out->of_bytes = f->single_bytes;
		out->bytes = f->part.len;
	}
	if (!f->have_manifest)
		return;
	out->of = f->manifest.chunks;
	out->of_bytes = f->manifest.sealed_len;
	out->bytes = f->manifest.sealed_len / f->manifest.chunks * f->have + f->part.len;
}

bool bodies_progress(struct core *c, const struct hash *body, struct body_progress *out)
{
	const struct fetch *f = fetch_find(c, body);

	if (f)
		fetch_progress(f, out);
	return f != NULL;
}

/* ---- holders ------------------------------------------------------------------------------------------------------------ */

struct holders { struct peer *list[HOLDERS_MAX]; size_t n; };

/* It has the entry: its body whole, or perhaps a part of it. */
static bool peer_has(const struct flow *f, uint64_t number, bool whole)
{
	if (!f->known || f->acked < number)
		return false;
	for (uint16_t i = 0; whole && i < f->n_missing; i++)
		if (f->missing[i] == number)
			return false;
	return true;
}

/* One more who can be reached: parts come on the connection that it dialled. */
static void holder_add(const struct fetch *f, struct holders *h, struct peer *p)
{
	if (!p || p->gone || !p->lane[fetch_lane(f)].accepted || h->n == HOLDERS_MAX || (f->single && p->protocol < PROTOCOL_SLICES))
		return;
	for (size_t i = 0; i < h->n; i++)
		if (h->list[i] == p)
			return;
	h->list[h->n++] = p;
}

static void holders_of(struct core *c, const struct fetch *f, const struct waiter *w, bool whole, struct holders *h)
{
	struct stream *s = stream_by_local(c, w->stream);
	struct entry_row row;

	if (!s)
		return;
	if (whole && s->row.name.originator != c->self)
		holder_add(f, h, peer_find(c, s->row.name.originator));
	for (size_t i = 0; i < s->n_flows; i++)
		if (peer_has(&s->flows[i], w->number, whole))
			holder_add(f, h, s->flows[i].peer);
	if (!whole && store_entry_find(c->t, w->stream, w->number, &row) == ERR_OK && row.from != c->self)
		holder_add(f, h, peer_find(c, row.from));
}

static bool is_live(const struct peer *p)
{
	return p->lane[LANE_BULK].up || p->lane[LANE_URGENT].up;
}

/* In the order in which they are tried: who seems to be linked before the others, and who gave what did not fit last. */
static void holders_sort(const struct fetch *f, struct holders *h)
{
	struct holders old = *h;

	h->n = 0;
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < old.n; i++)
			if (round == (old.list[i]->site == f->bad ? 2 : !is_live(old.list[i])))
				h->list[h->n++] = old.list[i];
}

static void fetch_holders(struct core *c, const struct fetch *f, struct holders *h)
{
	h->n = 0;
	for (int whole = 1; whole >= 0; whole--)
		for (size_t i = 0; i < f->n_waiters; i++)
			holders_of(c, f, &f->waiter[i], whole != 0, h);
	holders_sort(f, h);
}

/* ---- asking ------------------------------------------------------------------------------------------------------------ */

/* The entry that the peer finds it by: one of those of which it is a holder. */
static const struct waiter *waiter_at(struct core *c, const struct peer *p, const struct fetch *f)
{
	for (int whole = 1; whole >= 0; whole--)
		for (size_t i = 0; i < f->n_waiters; i++) {
			struct holders h = {.n = 0};

			holders_of(c, f, &f->waiter[i], whole != 0, &h);
			for (size_t k = 0; k < h.n; k++)
				if (h.list[k] == p)
					return &f->waiter[i];
		}
	return &f->waiter[0];
}

static void want_single(struct core *c, struct peer *p, const struct fetch *f, uint8_t flags)
{
	const struct waiter *w = waiter_at(c, p, f);
	const struct stream *s = stream_by_local(c, w->stream);

	if (!s)
		return;
	struct want_entry x = {.stream = s->row.name, .number = w->number, .body = f->body, .offset = (uint32_t)f->part.len, .rank = f->rank, .flags = flags};

	frame_want_entry(effect_begin(c->out), &x);
	effect_end_frame(c->out, p->site, fetch_lane(f), SIDE_ACCEPTED);
}

static void want(struct core *c, struct peer *p, const struct fetch *f, uint32_t end, uint8_t flags)
{
	if (f->single) {
		want_single(c, p, f, flags);
		return;
	}
	struct part w = {.body = f->body, .kind = position_kind(f->position), .index = position_index(f->position), .offset = (uint32_t)f->part.len,
			 .count = end - f->position, .rank = f->rank, .flags = flags};

	frame_want(effect_begin(c->out), &w);
	effect_end_frame(c->out, p->site, LANE_BULK, SIDE_ACCEPTED);
}

static void want_end(struct core *c, struct peer *p, uint8_t lane, const struct hash *body)
{
	struct part w = {.body = *body, .kind = PART_MANIFEST, .count = 1, .flags = WANT_END};

	frame_want(effect_begin(c->out), &w);
	effect_end_frame(c->out, p->site, lane, SIDE_ACCEPTED);
}

static void fetch_ask(struct core *c, struct fetch *f, struct peer *p, uint8_t flags)
{
	uint32_t end = f->position + FETCH_AHEAD < parts_of(f) ? f->position + FETCH_AHEAD : parts_of(f);

	want(c, p, f, end, flags);
	f->from = p->site;
	f->asked = end;
}

/* Nobody is asked now. */
static void fetch_leave(struct core *c, struct fetch *f)
{
	struct peer *p = f->from ? peer_find(c, f->from) : NULL;

	if (p && !p->gone)
		want_end(c, p, fetch_lane(f), &f->body);
	f->from = 0;
	buf_release(&f->page);
	f->have_page = false;
}

/* Longer with each that did not answer; who answered since is asked again soon, so that after a cut what is most urgent goes on first. */
static int64_t patience_us(const struct fetch *f, const struct peer *p, bool answered)
{
	int64_t us = 4 * p->rtt_us > SILENT_US ? 4 * p->rtt_us : SILENT_US;

	return answered ? us : us * (1 + (f->tries < 80 ? f->tries : 80) / 4);
}

/* When it has waited for its holder too long. */
static struct mono fetch_due(const struct fetch *f, const struct peer *p)
{
	struct mono on_lane = p->parts[fetch_lane(f)].heard;
	bool answered = mono_before(f->asked_at, on_lane);
	struct mono silent = mono_add(answered ? on_lane : f->asked_at, patience_us(f, p, answered));

	/* Another one that it was asked for comes first. */
	if (p->asking)
		return silent;
	return mono_min(silent, mono_add(f->asked_at, patience_us(f, p, false) + OVERLOOKED_US));
}

static bool fetch_admitted(struct core *c, const struct fetch *f)
{
	return space_admits(c, f->rank % PREC_COUNT);
}

/* Chooses whom to ask, and asks. When to look again. */
static struct mono fetch_begin(struct core *c, struct fetch *f)
{
	struct holders h;

	f->again = false;
	fetch_holders(c, f, &h);
	struct peer *p = h.n ? h.list[f->tries % h.n] : NULL;

	if (f->from && (!p || p->site != f->from))
		fetch_leave(c, f);
	if (!p)
		return MONO_NEVER; /* until a link is up */
	if (!f->from && p->asking >= FETCH_AT_ONCE)
		return MONO_NEVER; /* until another one is whole */
	if (p->site == f->bad && c->now.us - f->bad_at.us < BAD_US) {
		f->again = true; /* nobody else has it */
		return mono_add(f->bad_at, BAD_US);
	}
	if (!fetch_admitted(c, f)) {
		fetch_leave(c, f);
		f->again = true;
		return mono_add(c->now, NO_ROOM_US);
	}
	fetch_ask(c, f, p, 0);
	f->asked_at = c->now;
	struct mono due = fetch_due(f, p);

	p->asking += !f->denied;
	return due;
}

static struct mono fetch_look(struct core *c, struct fetch *f)
{
	struct peer *p = f->from ? peer_find(c, f->from) : NULL;

	/* The entry is here, its body waits: minimize_look has it looked at again. */
	if (minimize_holds(c, f->rank % PREC_COUNT)) {
		if (f->from)
			fetch_leave(c, f);
		f->again = true;
		return MONO_NEVER;
	}
	if (p && !f->again) {
		struct mono due = fetch_due(f, p);

		if (mono_before(c->now, due)) {
			p->asking += !f->denied; /* those that nobody has now keep no others back */
			return due;
		}
		f->tries++;
	}
	return fetch_begin(c, f);
}

/* Does an entry still wait for it? It may have been purged or retired meanwhile. */
static bool fetch_wanted(struct core *c, const struct fetch *f)
{
	for (size_t i = 0; i < f->n_waiters; i++) {
		uint32_t stream = f->waiter[i].stream;
		uint64_t number = f->waiter[i].number;
		struct hash body;

		if (store_missing_from(c->t, &stream, &number, &body) != ERR_NOT_FOUND && stream == f->waiter[i].stream && number == f->waiter[i].number)
			return true;
	}
	return f->n_waiters == FETCH_WAITERS; /* others may */
}

static void fetch_end(struct core *c, struct fetch *f)
{
	size_t i = (size_t)(f - c->fetches);

	fetch_release(f);
	memmove(f, f + 1, (c->n_fetches - i - 1) * sizeof *f);
	c->n_fetches--;
	c->fetches_touched = true;
}

/* What came of it goes, in steps. */
static void fetch_discard(struct core *c, const struct fetch *f)
{
	struct body_row row;

	if (f->mend || !f->have_manifest || store_body_row(c->t, f->class, f->body_no, &row) || row.whole)
		return;
	row.refs = 0;
	store_body_put_row(c->t, &row);
	submit_trash(c, row.class, row.body_no);
}

struct mono bodies_ask(struct core *c)
{
	struct mono next = MONO_NEVER;

	for (size_t i = 0; c->n_fetches && i < c->n_peers; i++)
		c->peers[i]->asking = 0;
	for (size_t i = 0; i < c->n_fetches;) {
		struct fetch *f = &c->fetches[i];

		if ((!f->from || f->again) && !fetch_wanted(c, f)) {
			fetch_leave(c, f);
			fetch_discard(c, f);
			fetch_end(c, f);
			continue;
		}
		next = mono_min(next, fetch_look(c, f));
		i++;
	}
	return next;
}

void bodies_gone(struct core *c)
{
	for (size_t i = 0; i < c->n_fetches; i++)
		c->fetches[i].again = true;
	(void)bodies_ask(c);
}

void bodies_linked(struct core *c, struct peer *p, uint8_t lane)
{
	bool any = false;

	for (size_t i = 0; i < c->n_fetches; i++) {
		struct fetch *f = &c->fetches[i];

		if (fetch_lane(f) != lane)
			continue;
		any = true;
		/* A short one goes on from who wrote it, or from who now stands first. */
		if (f->from != p->site && !f->tries && !f->denied && !f->single)
			continue;
		f->again = true;
		f->tries = f->denied = 0;
	}
	if (any)
		(void)bodies_ask(c);
}

void bodies_answered(struct core *c, struct peer *p, uint8_t lane)
{
	bool any = false;

	for (size_t i = 0; i < c->n_fetches; i++)
		if (c->fetches[i].single && fetch_lane(&c->fetches[i]) == lane && c->fetches[i].from && c->fetches[i].from != p->site)
			any = c->fetches[i].again = true;
	if (any)
		(void)bodies_ask(c);
}

void bodies_unlinked(struct core *c, struct peer *p, uint8_t lane)
{
	bool any = false;

	for (size_t i = 0; i < c->n_fetches; i++)
		if (c->fetches[i].from == p->site && fetch_lane(&c->fetches[i]) == lane)
			any = c->fetches[i].again = true;
	if (any)
		(void)bodies_ask(c);
}

void bodies_not_here(struct core *c, struct peer *p, const struct hash *body)
{
	struct fetch *f = fetch_find(c, body);
	struct holders h;

	if (!f || f->from != p->site)
		return;
	fetch_holders(c, f, &h);
	/* When all said so we wait: who gets more of it goes on by itself. */
	if (++f->denied >= h.n)
		return;
	f->tries++;
	f->again = true;
	(void)bodies_ask(c);
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

	if (!page_here(f))
		fetch_page_load(c, f);
	size_t at = (index % LIMIT_LEAVES_PER_PAGE) * (size_t)HASH_BYTES;
	struct hash h = chunk_hash(index, bytes);

	if (!page_here(f) || at + HASH_BYTES > f->page.len || memcmp(f->page.ptr + at, h.b, HASH_BYTES) != 0)
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
		if (!page_here(f) || at + HASH_BYTES > f->page.len || memcmp(f->page.ptr + at, h.b, HASH_BYTES) != 0)
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
	if (f->from == p->site && f->asked - f->position < FETCH_AHEAD / 2 && f->asked < parts_of(f))
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
		want_end(c, p, lane, &part->body);
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
