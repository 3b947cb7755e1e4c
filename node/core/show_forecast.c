/* show_forecast.c - what a forecast starts from: whom this site reaches and how, whom others say they reach, what waits to be given to
 * whom, and the messages that are asked about. What becomes of it is reckoned elsewhere, by the same core in virtual time. */
#include <stdio.h>

#include "node/core/show_int.h"

#define ENTRY_OVERHEAD 160
#define SAMPLES 64          /* entries of a stream whose size is looked at */
#define MESSAGES_MOST 2000  /* told one by one */
#define LOOKED_MOST 20000   /* entries looked at for them */

/* Who would get what is addressed to a site, as an order would have it. */
struct successors { size_t n; uint16_t sites[LIMIT_SUCCESSORS]; bool exercise; };
struct ask {
	struct rows *r;
	struct view queue;              /* its name; empty with `all`: every queue of the site */
	uint16_t site;                  /* whose queue; 0: no queue was asked for */
	bool has_id; struct msgid id;
	struct successors to;
	uint64_t told, more, looked;
};

static void names(struct rows *r, const char *name, struct view numbers)
{
	struct buf list = BUF_EMPTY;
	char site[LIMIT_NAME_BYTES + 1];

	for (size_t i = 0; i + 1 < numbers.len; i += 2) {
		buf_add(&list, view_str(i ? "\n" : ""));
		buf_add(&list, view_str(site_name(r->c, (uint16_t)(numbers.ptr[i] << 8 | numbers.ptr[i + 1]), site)));
	}
	row_list(r, name, &list);
	buf_release(&list);
}

/* ---- sites and links ------------------------------------------------------------------------------------------------------ */

static void here_row(struct rows *r, const struct ask *a)
{
	struct core *c = r->c;

	row_begin(r);
	row_text(r, "part", "here");
	row_text(r, "site", c->me->id);
	row_time(r, "time", c->wall);
	row_text(r, "minimize", c->minimize.from < PREC_COUNT ? precedence_name(c->minimize.from) : "");
	row_time(r, "minimize_until", c->minimize.from < PREC_COUNT ? c->minimize.until : (struct wall){0});
	row_number(r, "untold", (int64_t)a->more);
	row_end(r);
}

/* The best bearer that the roster gives a site. */
static const struct bearer *first_bearer(const struct site *s)
{
	const struct bearer *best = NULL;

	for (size_t i = 0; i < s->n_bearers; i++)
		if (!best || s->bearers[i].cost < best->cost)
			best = &s->bearers[i];
	return best;
}

/* said: it told in a vector whom it reaches. Of ourselves that is what we see. */
static void site_row(struct rows *r, const struct site *s)
{
	struct core *c = r->c;
	const struct peer *p = peer_find(c, s->number);
	const struct bearer *b = first_bearer(s);

	row_begin(r);
	row_text(r, "part", "site");
	row_text(r, "site", s->id);
	row_flag(r, "reached", s->number == c->self || (p && p->live));
	row_flag(r, "said", p && p->vector);
	row_text(r, "bearer", b ? b->name : "");
	row_number(r, "hint_bps", b ? b->rate_bps : 0);
	names(r, "reaches", p && p->vector ? p->vector->v.peer_bytes : view_of(NULL, 0));
	row_end(r);
}

static void lane_row(struct rows *r, const struct peer *p, uint8_t lane)
{
	const struct pace *w = &p->pace[lane];
	char name[LIMIT_NAME_BYTES + 1];

	row_begin(r);
	row_text(r, "part", "link");
	row_text(r, "peer", site_name(r->c, p->site, name));
	row_text(r, "lane", lane == LANE_URGENT ? "urgent" : "bulk");
	row_text(r, "bearer", p->lane[lane].bearer);
	row_number(r, "round_us", w->base_us ? w->base_us : p->rtt_us);
	row_number(r, "rate_bps", w->rate_bps);
	row_flag(r, "measured", w->filled);
	row_end(r);
}

/* Both lanes, where they lie on different bearers. */
static void link_rows(struct rows *r)
{
	for (size_t i = 0; i < r->c->n_peers; i++) {
		const struct peer *p = r->c->peers[i];

		if (p->gone || !p->live)
			continue;
		lane_row(r, p, LANE_URGENT);
		if (p->lane[LANE_BULK].up && strcmp(p->lane[LANE_URGENT].bearer, p->lane[LANE_BULK].bearer) != 0)
			lane_row(r, p, LANE_BULK);
	}
}

/* ---- what is due ------------------------------------------------------------------------------------------------------------ */

/* bytes: of entries with what travels in them; large: bodies that follow by themselves, with the bytes that are left of them. */
struct due { uint64_t entries, bytes, large, large_bytes; int64_t first_us, last_us; };

/* What is left to give of a large body. */
static uint64_t body_left(struct core *c, struct peer *p, const struct entry_row *row)
{
	struct body_row body;
	uint32_t sent;

	if (!p || !row->body_no || !bodies_given(p, &row->e.body_hash, &sent) || store_body_row(c->t, row->body_class, row->body_no, &body) || !body.chunks)
		return row->e.body_len;
	return row->e.body_len * (body.chunks - (sent < body.chunks ? sent : body.chunks)) / body.chunks;
}

static bool due_entry(struct core *c, struct stream *s, struct peer *p, uint64_t number, bool entry_too, struct due *d)
{
	struct entry_row row;
	struct header h;

	if (store_entry_find(c->t, s->row.local, number, &row) || header_decode(row.e.header, &h))
		return false;
	bool large = (h.flags & HEADER_CHUNKED) != 0;

	if (entry_too)
		d->bytes += row.e.envelope.len + ENTRY_OVERHEAD + (large ? 0 : row.e.body_len);
	d->large += large;
	d->large_bytes += large ? body_left(c, p, &row) : 0;
	d->first_us = d->first_us ? d->first_us : h.handle_by.us;
	d->last_us = h.handle_by.us ? h.handle_by.us : d->last_us;
	return true;
}

/* Behind number, by a look at some of them; and those before whose bodies are not whole there. */
static struct due due_after(struct core *c, struct stream *s, const struct flow *f, struct peer *p, uint64_t number)
{
	struct due d = {.entries = s->row.held > number ? s->row.held - number : 0};
	uint64_t step = d.entries / SAMPLES + 1, seen = 0;

	for (uint64_t n = number + 1; n <= s->row.held; n += step)
		seen += due_entry(c, s, p, n, true, &d);
	if (seen) {
		d.bytes = d.bytes * d.entries / seen;
		d.large_bytes = d.large_bytes * d.entries / seen;
		d.large = d.large * d.entries / seen;
	}
	for (uint16_t i = 0; f && i < f->n_missing; i++)
		due_entry(c, s, p, f->missing[i], false, &d);
	return d;
}

/* Is it ours to give? What others wrote is given by them where they reach each other. */
static bool ours_to_give(const struct core *c, const struct stream *s, const struct flow *f)
{
	uint16_t from = s->row.name.originator, to = f->peer->site;

	if (f->peer->gone || f->passer || to == from)
		return false;
	return from == c->self || f->helping || (f->giving && f->guest) || !vectors_linked(c, from, to);
}

static uint64_t peer_has(const struct stream *s, const struct flow *f)
{
	uint64_t has = f ? f->acked : 0;

	return has > s->row.floor ? has : s->row.floor;
}

/* How much of it lies at the next site on the way to one that is not reached: that goes on from there. */
static uint64_t passed_on(struct core *c, struct stream *s, uint16_t to, uint16_t *at)
{
	const struct peer *p = peer_find(c, to), *via = p && !p->live ? vectors_via(c, to, NULL) : NULL;
	const struct flow *f = via && via->site != to ? flow_of(s, via) : NULL;

	*at = f ? via->site : c->self;
	return f ? f->acked : 0;
}

static void load_row(struct rows *r, struct stream *s, const struct flow *f, uint16_t to, bool asked)
{
	struct core *c = r->c;
	uint16_t at;
	uint64_t passed = passed_on(c, s, to, &at), has = peer_has(s, f) > passed ? peer_has(s, f) : passed;
	struct due d = {0};
	char name[LIMIT_NAME_BYTES + 1];

	/* A copy that lacks its beginning is begun anew when it is to be held. */
	if (asked && f && f->passer && f->base > s->row.floor)
		has = s->row.floor;
	if (to != c->self && to != s->row.name.originator)
		d = due_after(c, s, f, peer_find(c, to), has);
	if (!d.entries && !d.large && !asked)
		return;
	row_begin(r);
	row_text(r, "part", "load");
	row_number(r, "stream", s->row.local);
	row_text(r, "originator", site_name(c, s->row.name.originator, name));
	row_text(r, "addressee", site_name(c, s->row.name.addressee, name));
	row_text(r, "to", site_name(c, to, name));
	row_text(r, "precedence", precedence_name(s->row.name.precedence));
	row_flag(r, "asked", asked);
	row_number(r, "has", (int64_t)has);
	row_number(r, "entries", (int64_t)d.entries);
	row_number(r, "bytes", (int64_t)d.bytes);
	row_number(r, "large", (int64_t)d.large);
	row_number(r, "large_bytes", (int64_t)d.large_bytes);
	row_time(r, "first_due", (struct wall){d.first_us});
	row_time(r, "last_due", (struct wall){d.last_us});
	row_number(r, "retry_s", f && f->retry_us ? f->retry_us / US_PER_S : 0);
	row_end(r);
}

static void load_rows(struct rows *r, const struct ask *a)
{
	struct core *c = r->c;

	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];
		bool moves = a->to.n && s->row.name.addressee == a->site && s->row.name.exercise == a->to.exercise && is_custodian(c, c->self, a->site, a->to.exercise);

		for (size_t k = 0; moves && k < a->to.n; k++)
			load_row(r, s, flow_of(s, peer_find(c, a->to.sites[k])), a->to.sites[k], true);
		for (size_t k = 0; k < s->n_flows; k++) {
			const struct flow *f = &s->flows[k];
			bool told = false;

			for (size_t j = 0; moves && j < a->to.n; j++)
				told = told || a->to.sites[j] == f->peer->site;
			if (!told && ours_to_give(c, s, f))
				load_row(r, s, f, f->peer->site, false);
		}
	}
}

/* ---- messages ----------------------------------------------------------------------------------------------------------------- */

static bool flow_has_it(const struct flow *f, uint64_t number)
{
	bool has = f && f->acked >= number;

	for (uint16_t i = 0; has && i < f->n_missing; i++)
		has = f->missing[i] != number;
	return has;
}

/* at: who gives it to whom, as things stand; what is still coming here comes from whoever is asked. */
static void message_row(struct rows *r, struct stream *s, const struct entry_row *row, const struct header *h, struct view queue, uint16_t target, bool has)
{
	struct core *c = r->c;
	struct body_progress part = {0};
	char id[MSGID_TEXT_BYTES], name[LIMIT_NAME_BYTES + 1];
	uint16_t at = c->self;
	uint64_t left = row->e.body_len;

	if (target == c->self && !has) {
		if (bodies_progress(c, &row->e.body_hash, &part))
			left = part.of_bytes > part.bytes ? part.of_bytes - part.bytes : left;
		at = part.from ? part.from : s->row.name.originator;
	} else if (h->flags & HEADER_CHUNKED) {
		left = body_left(c, peer_find(c, target), row);
	}
	const struct flow *f = target == c->self ? NULL : flow_of(s, peer_find(c, target));
	uint16_t via;

	if (at == c->self && passed_on(c, s, target, &via) >= row->number)
		at = via;
	msgid_format(&h->id, id);
	row_begin(r);
	row_text(r, "part", "message");
	row_text(r, "id", id);
	row_number(r, "stream", s->row.local);
	row_number(r, "number", (int64_t)row->number);
	row_text(r, "at", site_name(c, at, name));
	row_text(r, "to", site_name(c, target, name));
	row_text(r, "addressee", site_name(c, s->row.name.addressee, name));
	row_view(r, "queue", queue);
	row_text(r, "precedence", precedence_name(h->precedence));
	row_time(r, "sent", h->sent);
	row_time(r, "due", h->handle_by);
	row_flag(r, "large", (h->flags & HEADER_CHUNKED) != 0);
	row_number(r, "bytes", (int64_t)(row->e.envelope.len + ENTRY_OVERHEAD + left));
	row_number(r, "retry_s", f && f->retry_us ? f->retry_us / US_PER_S : 0);
	row_flag(r, "has", has);
	row_text(r, "state", h->originator == c->self ? wait_state_name(message_state(c, &h->id, s->row.name.addressee)) : has ? "held" : "accepted");
	row_end(r);
}

static void message_of(struct ask *a, struct stream *s, const struct entry_row *row)
{
	struct core *c = a->r->c;
	struct envelope env = {0};
	struct header h;
	bool opened = !s->transit && !open_envelope(c, s, row, &h, &env);
	bool all = a->has_id || !a->queue.len, here = s->row.name.addressee == c->self;

	if (!opened && header_decode(row->e.header, &h))
		return;
	if (h.kind != KIND_MESSAGE || (row->e.flags & ENTRY_STUB) || (opened && !all && !view_equal(env.queue, a->queue)))
		return;
	uint16_t target = owner_of(c, s->row.name.addressee, s->row.name.exercise, env.queue, h.area, &h.id);
	bool has = target == c->self ? row->body_no || !row->e.body_len : flow_has_it(flow_of(s, peer_find(c, target)), row->number);

	if (here && target != c->self)
		has = has || row->body_no || !row->e.body_len;
	if (has && !a->has_id)
		return;
	if (a->told++ < MESSAGES_MOST)
		message_row(a->r, s, row, &h, env.queue, target, has);
	else
		a->more++;
}

static bool target_site(const struct core *c, uint16_t site, const struct stream_name *n)
{
	const struct chain *ch = chain_find(c, n->addressee, n->exercise);

	return site == n->addressee || (ch && ch->now && order_names(&ch->now->order, site));
}

/* What its addressee's site, or who serves its queue, does not have yet. */
static void messages_of(struct ask *a, struct stream *s)
{
	struct core *c = a->r->c;
	struct entry_row row;
	uint64_t from = s->row.held;

	for (size_t i = 0; i < s->n_flows; i++) {
		const struct flow *f = &s->flows[i];

		if (f->passer || f->peer->site == s->row.name.originator)
			continue;
		for (uint16_t k = 0; k < f->n_missing; k++)
			if (f->missing[k] <= peer_has(s, f) && !store_entry_find(c->t, s->row.local, f->missing[k], &row))
				message_of(a, s, &row);
		if (target_site(c, f->peer->site, &s->row.name) && peer_has(s, f) < from)
			from = peer_has(s, f);
	}
	for (uint16_t k = 0; k < s->n_missing && s->row.name.addressee == c->self; k++)
		if (!store_entry_find(c->t, s->row.local, s->missing[k], &row))
			message_of(a, s, &row);
	for (uint64_t n = from + 1; n <= s->row.held && s->row.name.addressee != c->self; n++) {
		if (a->looked++ >= LOOKED_MOST)
			a->more++;
		else if (!store_entry_find(c->t, s->row.local, n, &row))
			message_of(a, s, &row);
	}
}

static void message_rows(struct ask *a)
{
	struct core *c = a->r->c;

	for (size_t i = 0; i < c->n_streams && a->site; i++)
		if (c->streams[i]->row.name.addressee == a->site && c->streams[i]->row.name.originator != a->site)
			messages_of(a, c->streams[i]);
	for (uint32_t from = 0; a->has_id && from <= UINT16_MAX;) {
		struct msg_row row;
		struct entry_row entry;

		if (store_msg_from(c->t, &a->id, (uint16_t)from, &row) || !msgid_equal(&row.id, &a->id))
			return;
		from = row.addressee + 1u;
		if (!row.arrival || store_entry_get(c->t, row.arrival, &entry))
			continue;
		struct stream *s = stream_by_local(c, entry.stream);

		if (s)
			message_of(a, s, &entry);
	}
}

/* ---- the answer ------------------------------------------------------------------------------------------------------------------ */

static void read_ask(struct ask *a, struct view fields)
{
	struct request_item f;

	while (request_next(&fields, &f) == ERR_OK) {
		const struct site *s = f.field == F_TO ? roster_site_by_id(a->r->c->roster, f.value) : NULL;

		if (s && a->to.n < LIMIT_SUCCESSORS)
			a->to.sites[a->to.n++] = s->number;
		a->to.exercise |= f.field == F_EXERCISE;
		if (f.field == F_ID && item_ok(&f)) {
			memcpy(a->id.b, f.value.ptr, MSGID_BYTES);
			a->has_id = true;
		}
	}
}

/* Whose queue is meant, and which. False: there is no such queue. */
static bool read_queue(struct ask *a, struct view queue)
{
	struct core *c = a->r->c;
	const uint8_t *slash = queue.len ? memchr(queue.ptr, '/', queue.len) : NULL;
	const struct site *s = roster_site_by_id(c->roster, slash ? view_of(queue.ptr, (size_t)(slash - queue.ptr)) : queue);

	if (slash)
		a->queue = view_of(slash + 1, queue.len - (size_t)(slash - queue.ptr) - 1);
	else if (!a->to.n) {
		s = c->me;
		a->queue = queue;
	}
	a->site = s ? s->number : 0;
	return s && (a->to.n || site_queue(s, a->queue));
}

/* Is its entry here, of one addressee at least? */
static bool known(struct core *c, const struct msgid *id)
{
	struct msg_row row;

	for (uint32_t from = 0; from <= UINT16_MAX; from = row.addressee + 1u) {
		if (store_msg_from(c->t, id, (uint16_t)from, &row) || !msgid_equal(&row.id, id))
			return false;
		if (row.arrival)
			return true;
	}
	return false;
}

void show_forecast(struct rows *r, struct view queue, struct view fields)
{
	struct core *c = r->c;
	struct ask a = {.r = r};

	read_ask(&a, fields);
	if (!a.has_id && !read_queue(&a, queue))
		return;
	if (a.has_id && !known(c, &a.id))
		return;
	for (size_t i = 0; i < c->roster->n_sites; i++)
		if (!c->roster->sites[i].removed && !site_revoked(c, c->roster->sites[i].number))
			site_row(r, &c->roster->sites[i]);
	link_rows(r);
	load_rows(r, &a);
	if (!a.to.n)
		message_rows(&a);
	here_row(r, &a);
}
