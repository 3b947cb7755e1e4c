/* bodies.c - bodies that are fetched: which, from whom, and when it is asked for. How it works: bodies.h. */
#include "node/core/bodies_int.h"

/* Bodies asked of one holder at a time, and as many of each that is more urgent. Those of one chunk are short against a long way: of so few
 * it would be empty most of the time. */
#define FETCH_AT_ONCE 4
#define SINGLES_AT_ONCE 16
/* A holder whose bulk lane is silent for so long is left; one that sends other things, for so much longer. */
#define SILENT_US (3 * US_PER_S)
#define OVERLOOKED_US (20 * US_PER_S)
#define NO_ROOM_US (5 * US_PER_S)
/* Who gave what did not fit, and alone has it, is asked again after so long. */
#define BAD_US (10 * US_PER_S)
#define HOLDERS_MAX 32

/* ---- the fetches ---------------------------------------------------------------------------------------------------- */

struct fetch *fetch_find(struct core *c, const struct hash *body)
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

bool fetch_page_here(const struct fetch *f)
{
	return f->have_page && f->page_no == f->have / LIMIT_LEAVES_PER_PAGE;
}

void fetch_page_load(struct core *c, struct fetch *f)
{
	uint32_t page = f->have / LIMIT_LEAVES_PER_PAGE;

	buf_clear(&f->page);
	f->have_page = store_body_get_part(c->t, f->class, f->body_no, PART_PAGE, page, &f->page) == ERR_OK;
	f->page_no = page;
}

uint32_t fetch_parts(const struct fetch *f)
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
		f->position = fetch_page_here(f) ? position_of(PART_CHUNK, f->have) : position_of(PART_PAGE, f->have / LIMIT_LEAVES_PER_PAGE);
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
		*f = (struct fetch){.body = *body, .single = single, .single_bytes = bytes, .rank = rank,
				    .class = s->row.name.exercise ? BODY_EXERCISE : BODY_OPERATIONAL};
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
	struct want_entry x = {.stream = s->row.name, .number = w->number, .body = f->body, .offset = (uint32_t)f->part.len, .rank = f->rank,
			       .flags = flags};

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

void fetch_want_end(struct core *c, struct peer *p, uint8_t lane, const struct hash *body)
{
	struct part w = {.body = *body, .kind = PART_MANIFEST, .count = 1, .flags = WANT_END};

	frame_want(effect_begin(c->out), &w);
	effect_end_frame(c->out, p->site, lane, SIDE_ACCEPTED);
}

void fetch_ask(struct core *c, struct fetch *f, struct peer *p, uint8_t flags)
{
	uint32_t end = f->position + FETCH_AHEAD < fetch_parts(f) ? f->position + FETCH_AHEAD : fetch_parts(f);

	want(c, p, f, end, flags);
	f->from = p->site;
	f->asked = end;
}

void fetch_leave(struct core *c, struct fetch *f)
{
	struct peer *p = f->from ? peer_find(c, f->from) : NULL;

	if (p && !p->gone)
		fetch_want_end(c, p, fetch_lane(f), &f->body);
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
	if (!f->from && p->asking >= (f->single ? SINGLES_AT_ONCE : FETCH_AT_ONCE))
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

void fetch_end(struct core *c, struct fetch *f)
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
