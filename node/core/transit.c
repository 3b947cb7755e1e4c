/* transit.c - what passes through: whom a stream is given to, who gives it to us, and when a copy is done with. */
#include <stdio.h>

#include "node/core/core_int.h"
#include "node/core/transit_int.h"

/* Without progress for so long, the path that should do it is not relied on: every neighbour gets a copy. */
#define PATH_FAILS_US (120 * US_PER_S)
/* ... and who seems to be served by somebody else is not, who may have lost it, or think the same of us. */
#define SERVED_FAILS_US (20 * US_PER_S)
#define UNREACHED_US (2 * US_PER_S)
/* The bulk lane of who is linked may be away for so long, as while it is dialled anew. */
#define CRAMPED_US (10 * US_PER_S)
/* Who holds a copy asks custodians that it reaches, and that others serve, whether it is done with. */
#define LAZILY_US (10 * US_PER_S)
#define LOOK_ALL_US (250 * US_PER_MS)
/* For so long after somebody gave us, or asked us for, what he passes on, all hear how far we are; who still has a copy then asks again. */
#define GUESTS_US (600 * US_PER_S)
#define RETIRE_MAX 512 /* entries a batch */

/* ---- what is to be looked at --------------------------------------------------------------------------------------- */

void transit_due(struct core *c, struct stream *s)
{
	if (s->due)
		return;
	uint32_t *slot = array_grow(&c->passing.due, &c->passing.n_due, sizeof *slot);

	if (!slot) {
		c->passing.all = true;
		return;
	}
	*slot = s->row.local;
	s->due = true;
}

/* It is looked at again then, if nothing happens before. */
void transit_later(struct core *c, struct stream *s, struct mono at)
{
	s->look_at = mono_min(s->look_at, at);
	c->passing.at = mono_min(c->passing.at, at);
}

void transit_all(struct core *c)
{
	c->passing.all = true;
	c->passing.at = mono_min(c->passing.at, c->passing.all_at);
}

void transit_live(struct core *c, struct peer *p)
{
	for (size_t i = 0; i < c->n_streams; i++) {
		struct flow *f = flow_of(c->streams[i], p);

		if (!f || !f->guest)
			continue;
		f->asks = 0;
		f->ask_at = c->now;
		f->no_base = false;
	}
	transit_all(c);
}

/* Goes something of it in the bulk lane: all of a stream of that, and of another large bodies that the peer lacks? */
static bool wants_bulk(const struct stream *s, const struct flow *f)
{
	return lane_of(s) == LANE_BULK || (f && f->n_missing);
}

bool transit_cramped(const struct stream *s, const struct peer *p)
{
	return p->live && !p->bulk && wants_bulk(s, flow_of((struct stream *)s, p));
}

/* Is what we hold of it what its originator calls held? A standby is heard of by who serves. */
static bool serves(const struct core *c, const struct stream *s)
{
	const struct chain *ch = c->takeover.n_chains ? chain_find(c, s->row.name.addressee, s->row.name.exercise) : NULL;

	return s->row.name.addressee == c->self || (ch && ch->now && order_names(&ch->now->order, c->self));
}

void transit_advanced(struct core *c, struct stream *s)
{
	bool look = s->transit;

	for (size_t i = 0; i < s->n_flows; i++)
		look = look || s->flows[i].guest || !s->flows[i].peer->live || s->flows[i].retry_us || transit_cramped(s, s->flows[i].peer);
	if (look)
		transit_due(c, s);
	if (s->transit || !s->row.held || s->row.name.originator == c->self)
		return;
	const struct peer *o = peer_find(c, s->row.name.originator);

	if (transit_has_guests(c, s) || (o && !o->live && serves(c, s)))
		vector_vouch(c, s);
}

bool transit_has_guests(const struct core *c, const struct stream *s)
{
	return mono_before(c->now, s->guests_until);
}

void transit_guests(struct core *c, struct stream *s)
{
	s->guests_until = mono_add(c->now, GUESTS_US);
	if (s->row.name.originator != c->self && s->row.held)
		vector_vouch(c, s);
}

void transit_forget(struct core *c, struct peer *p)
{
	for (size_t i = 0; i < c->n_streams; i++) {
		struct flow *f = flow_of(c->streams[i], p);

		if (!f || !f->guest)
			continue;
		f->known = f->giving = false;
		f->acked = f->sent = 0;
		f->asks = 0;
		flow_update(c, f);
	}
	transit_all(c);
}

struct mono transit_next(const struct core *c)
{
	return c->passing.at;
}

void transit_undo(struct core *c)
{
	c->passing.n_asks = c->passing.n_answers = 0;
	c->passing.n_due = 0;
	for (size_t i = 0; i < c->n_streams; i++) {
		c->streams[i]->due = false;
		for (size_t k = 0; k < c->streams[i]->n_flows; k++)
			c->streams[i]->flows[k].ask_at = c->now;
	}
	transit_all(c);
}

void transit_drop(struct core *c)
{
	free(c->passing.due);
	free(c->passing.asks);
	free(c->passing.answers);
	free(c->passing.pulls);
}

/* ---- where it is ------------------------------------------------------------------------------------------------------ */

static uint64_t lowest(const uint64_t *missing, size_t n, uint64_t upto)
{
	for (size_t i = 0; i < n; i++)
		if (missing[i] <= upto)
			upto = missing[i] - 1;
	return upto;
}

/* A custodian, and how far it has the stream whole; hoped: who will get it without our help counts as having it. */
struct at { uint16_t site; struct peer *peer; bool serves; uint64_t has, hoped; };
/* What a look at a stream rests on. at: of the custodians those that there are. */
struct look {
	struct stream *s;
	uint16_t custodians[LIMIT_CUSTODIANS]; size_t n_custodians;
	struct at at[LIMIT_CUSTODIANS]; size_t n;
};

static uint64_t has_of(const struct stream *s, const struct at *at)
{
	const struct flow *f = at->peer ? flow_of((struct stream *)s, at->peer) : NULL;

	if (!at->peer)
		return lowest(s->missing, s->n_missing, s->row.held);
	if (at->site == s->row.name.originator)
		return s->row.held; /* after a loss it is given it directly */
	return f && f->known ? lowest(f->missing, f->n_missing, f->acked) : 0;
}

static void custodians_look(struct core *c, struct stream *s, struct look *l)
{
	const struct stream_name *name = &s->row.name;
	const struct chain *ch = c->takeover.n_chains ? chain_find(c, name->addressee, name->exercise) : NULL;
	const struct order *o = ch && ch->now ? &ch->now->order : NULL;

	l->s = s;
	l->n = 0;
	l->n_custodians = custodians(c, name->addressee, name->exercise, l->custodians);
	for (size_t i = 0; i < l->n_custodians; i++) {
		uint16_t site = l->custodians[i];
		struct at at = {.site = site, .peer = site == c->self ? NULL : peer_find(c, site)};
		bool home = site == name->addressee;

		if (site != c->self && (!at.peer || at.peer->gone))
			continue;
		at.serves = o ? order_names(o, site) || (home && order_leaves_home(o)) : home;
		at.has = has_of(s, &at);
		at.hoped = at.peer && at.peer->live && !s->transit && !transit_cramped(s, at.peer) ? s->row.held : at.has;
		l->at[l->n++] = at;
	}
}

static bool is_concerned(const struct look *l, uint16_t site)
{
	bool found = site == l->s->row.name.originator;

	for (size_t i = 0; i < l->n_custodians; i++)
		found = found || l->custodians[i] == site;
	return found;
}

/* Up to where all custodians have it, or all who serve and two at least. */
static uint64_t settled_of(const struct look *l, bool hoped)
{
	uint64_t all = UINT64_MAX, serving = UINT64_MAX, most = 0, second = 0;

	for (size_t i = 0; i < l->n; i++) {
		uint64_t has = hoped ? l->at[i].hoped : l->at[i].has;

		all = has < all ? has : all;
		if (l->at[i].serves)
			serving = has < serving ? has : serving;
		if (has >= most) {
			second = most;
			most = has;
		} else if (has > second) {
			second = has;
		}
	}
	if (serving == UINT64_MAX)
		serving = 0;
	serving = serving < second ? serving : second;
	return l->n == 0 ? 0 : all > serving ? all : serving;
}

/* ---- a copy that is done with -------------------------------------------------------------------------------------------- */

void transit_unused(void *arg, const struct body_row *body)
{
	submit_trash(arg, body->class, body->body_no);
}

/* The last entry that may go: one that stands in a queue stays, and all after it. What came in this batch goes in a later one, so that
 * what is acknowledged was in the journal. */
static uint64_t retire_upto(struct core *c, struct stream *s, uint64_t upto)
{
	uint64_t n = s->row.floor;

	while (n < upto && n - s->row.floor < RETIRE_MAX) {
		struct entry_row row;
		struct header h;
		struct msg_row msg;

		if (store_entry_find(c->t, s->row.local, n + 1, &row) || header_decode(row.e.header, &h))
			break;
		if (c->fresh_from && row.arrival >= c->fresh_from) {
			transit_later(c, s, mono_add(c->now, US_PER_S));
			break;
		}
		enum err e = h.kind == KIND_MESSAGE ? store_msg_get(c->t, &h.id, s->row.name.addressee, &msg) : ERR_NOT_FOUND;

		if (!e && msg.arrival == row.arrival && msg.state != LOC_NONE)
			break;
		if (!e && msg.arrival == row.arrival && msg.events.len)
			kept_forget(c, s, n + 1);
		else if (!e && msg.arrival == row.arrival)
			store_msg_del(c->t, &h.id, s->row.name.addressee);
		n++;
	}
	return n;
}

static void missing_above(struct core *c, struct stream *s, uint64_t floor)
{
	uint16_t n = 0, all = s->n_missing;

	for (uint16_t i = 0; i < all; i++)
		if (s->missing[i] > floor)
			s->missing[n++] = s->missing[i];
	s->n_missing = n;
	if (n < all)
		bodies_gone(c);
}

static void retire(struct core *c, struct stream *s, uint64_t upto)
{
	uint64_t to = retire_upto(c, s, upto), floor = s->row.floor;

	if (to <= floor)
		return;
	stream_touch(c, s);
	stream_heat(c, s);
	s->dirty = true;
	if (store_stream_retire(c->t, &s->row, to, RETIRE_MAX, transit_unused, c))
		return; /* what cannot be read stays, and is found by verify */
	missing_above(c, s, s->row.floor);
	if (s->row.floor < upto && s->row.floor > floor)
		transit_later(c, s, mono_add(c->now, US_PER_S));
}

bool transit_begin(struct core *c, struct stream *s, uint64_t number, const struct hash *chain)
{
	if (!s->transit || s->row.held != s->row.floor)
		return false;
	s->row.held = s->row.floor = number;
	s->row.chain = s->row.floor_chain = *chain;
	s->signed_to = number;
	s->dirty = true;
	stream_touch(c, s);
	return true;
}

void transit_entry(struct core *c, struct stream *s, const struct entry_row *row, const struct header *h)
{
	struct msg_row msg = {.id = h->id, .addressee = s->row.name.addressee};
	struct buf events = BUF_EMPTY;

	if (h->kind == KIND_GRANT)
		keys_grant(c, s, row); /* by an order it may concern us later */
	if (h->kind == KIND_MESSAGE && msg_load(c, &h->id, s->row.name.addressee, &msg, &events) == ERR_OK && !msg.arrival) {
		msg.arrival = row->arrival;
		msg.originator = h->originator;
		msg.precedence = h->precedence;
		msg.flags = h->flags;
		msg.events = buf_view(&events);
		store_msg_put(c->t, &msg);
	}
	buf_release(&events);
}

bool transit_accepts(struct core *c, const struct stream_name *n)
{
	return n->originator != c->self && roster_has(c->roster, n->originator) && roster_site(c->roster, n->addressee) && !site_revoked(c, n->originator) &&
	       space_admits(c, ROOM_TRANSIT);
}

/* ---- to whom --------------------------------------------------------------------------------------------------------------- */

uint64_t transit_from(const struct flow *f)
{
	return f->no_base || f->base < f->acked ? f->acked : f->base;
}

/* The peer is to have what we hold of it: asked first what it has, then given the rest. */
static void target(struct core *c, struct stream *s, struct peer *p)
{
	struct flow *f = flow_of(s, p);

	if (!f && !(f = flow_add(c, s, p)))
		return;
	f->wanted = true;
	if (!f->guest)
		return; /* it gets it without this */
	if (!f->known) {
		transit_ask(c, s, f);
		return;
	}
	if (f->giving || f->acked >= s->row.held)
		return;
	f->giving = true;
	f->base = concerns(c, p->site, &s->row.name) ? 0 : s->settled > s->row.floor ? s->settled : s->row.floor;
	if (f->sent < transit_from(f))
		f->sent = transit_from(f);
	flow_update(c, f);
}

/* Who wrote it runs anew since, and may have lost it. */
static bool writer_anew(const struct core *c, const struct stream *s)
{
	const struct peer *o = s->row.name.originator == c->self ? NULL : peer_find((struct core *)c, s->row.name.originator);

	return o && o->met && !incarnation_equal(&o->incarnation, &s->row.name.incarnation);
}

/* It gets it from who gave it to us, or from who wrote it: they are linked. When it did not within a while it is looked at again. */
static bool served(struct core *c, struct stream *s, const struct peer *p)
{
	uint16_t o = s->row.name.originator;
	struct mono until = mono_add(s->needed_since, SERVED_FAILS_US);

	if (!mono_before(c->now, until))
		return false;
	transit_later(c, s, until);
	return (s->giver && s->giver != p->site && vectors_linked(c, s->giver, p->site)) || (o != c->self && p->site != o && vectors_linked(c, o, p->site));
}

/* Its writer lives here and gives it to whom it reaches itself; beyond that it is for us to do. */
static bool by_writer(const struct core *c, const struct peer *o, const struct peer *p)
{
	return o && vectors_linked(c, o->site, p->site);
}

static void flood(struct core *c, const struct look *l, const struct peer *o)
{
	for (size_t i = 0; i < c->vectors.n_live; i++) {
		struct peer *p = c->vectors.live[i];

		if (p->site != l->s->giver && !is_concerned(l, p->site) && !transit_cramped(l->s, p) && !served(c, l->s, p) && !by_writer(c, o, p))
			target(c, l->s, p);
	}
}

/* Custodians that live here and that we pass it on to; whether others serve those that lack it. */
static bool to_live(struct core *c, const struct look *l)
{
	struct stream *s = l->s;
	bool lazily = false;

	for (size_t i = 0; s->transit && i < l->n; i++) {
		struct peer *p = l->at[i].peer;

		if (!p || !p->live || l->at[i].has >= s->row.held)
			continue;
		if (served(c, s, p))
			lazily = true;
		else
			target(c, s, p);
	}
	return lazily;
}

/* It has what we hold, or is given it: its journal has room, and a lane leads there. */
static bool takes(const struct stream *s, const struct peer *p, uint64_t has)
{
	const struct flow *f = flow_of((struct stream *)s, p);

	return p->live && (has >= s->row.held || (!(f && f->retry_us) && !transit_cramped(s, p)));
}

/* Another custodian that lives here is linked to it, and helps it. */
static bool helped(struct core *c, const struct peer *p, const struct look *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct peer *other = l->at[i].peer;

		if (other && other != p && takes(l->s, other, l->at[i].has) && vectors_linked(c, other->site, p->site))
			return true;
	}
	return false;
}

/* The next on the way to it; to who is linked itself, but not for this, a neighbour of both. */
static struct peer *way_to(struct core *c, const struct stream *s, const struct peer *p)
{
	if (!p->live)
		return vectors_via(c, p->site, NULL);
	for (size_t i = 0; i < c->vectors.n_live; i++) {
		struct peer *n = c->vectors.live[i];

		if (n != p && n->site != s->row.name.originator && n->site != s->giver && takes(s, n, 0) && vectors_linked(c, n->site, p->site))
			return n;
	}
	return NULL;
}

/* Is it reached, so that nobody has to pass on to it what it lacks? */
static bool is_reached(struct core *c, struct stream *s, const struct peer *p)
{
	struct mono at = mono_add(mono_before(p->live_at, p->bulk_at) ? p->bulk_at : p->live_at, CRAMPED_US);

	if (p->live && !transit_cramped(s, p))
		return true;
	if (!p->live && !peer_unreached(c, p))
		at = mono_add(p->live_at, UNREACHED_US);
	else if (!p->live || !mono_before(c->now, at))
		return false;
	transit_later(c, s, at);
	return true;
}

/* The rest: over the shortest path each, or over everybody. */
static void to_unreached(struct core *c, const struct look *l)
{
	struct stream *s = l->s;
	bool stale = c->now.us - s->needed_since.us > PATH_FAILS_US, all = false;
	const struct peer *o = s->transit ? NULL : transit_writer(c, &s->row.name);

	for (size_t i = 0; i < l->n; i++) {
		struct peer *p = l->at[i].peer, *via;

		if (!p || l->at[i].has >= s->row.held || is_reached(c, s, p) || helped(c, p, l) || by_writer(c, o, p))
			continue;
		via = stale ? NULL : way_to(c, s, p);
		if (via)
			transit_later(c, s, mono_add(s->needed_since, PATH_FAILS_US + 1));
		all = all || !via;
		if (via && via->site != s->row.name.originator && via->site != s->giver && !by_writer(c, o, via))
			target(c, s, via);
	}
	if (all)
		flood(c, l, o);
}

/* Custodians give a site what it wrote and lost; of what they do not have, who passes it on does. */
static void to_writer(struct core *c, struct stream *s)
{
	struct peer *o = writer_anew(c, s) ? peer_find(c, s->row.name.originator) : NULL;

	if (s->transit && o && o->live)
		target(c, s, o);
}

/* To a site, or to who is next on the way to it. NULL: there is no way. */
static struct flow *flow_towards(struct core *c, struct stream *s, struct peer *p)
{
	if (p && !p->live)
		p = vectors_via(c, p->site, NULL);
	struct flow *f = p && p->live ? flow_of(s, p) : NULL;

	return f || !p || !p->live ? f : flow_add(c, s, p);
}

/* Who has a copy and may reach nobody but us asked how far it is: custodians that live here are asked to say so to all, of others who is
 * next on the way to them. */
static void ask_for_others(struct core *c, const struct look *l)
{
	struct stream *s = l->s;

	s->asked_for = false;
	s->asked_at = c->now;
	s->asked_held = s->row.held;
	for (size_t i = 0; i < l->n; i++) {
		struct peer *p = l->at[i].peer;
		bool known = p && !p->live && l->at[i].has >= s->row.held;
		struct flow *f = known || l->at[i].site == s->row.name.originator ? NULL : flow_towards(c, s, p);

		if (f && !f->giving && !mono_before(c->now, f->ask_at))
			transit_ask(c, s, f);
	}
}

/* Whether a copy is done with custodians do not say to us by themselves while others serve them, or when we do not reach them. */
static void ask_lazily(struct core *c, const struct look *l)
{
	struct stream *s = l->s;
	int64_t wait = LAZILY_US;

	if (s->lazily_at.us == 0 || s->lazily_at.us == MONO_NEVER.us)
		s->lazily_at = mono_add(c->now, LAZILY_US + c->self % 16 * US_PER_S);
	if (mono_before(c->now, s->lazily_at)) {
		transit_later(c, s, s->lazily_at);
		return;
	}
	for (size_t i = 0; i < l->n; i++) {
		struct flow *f = l->at[i].has < s->row.held ? flow_towards(c, s, l->at[i].peer) : NULL;

		if (f && !f->giving)
			transit_ask(c, s, f);
	}
	for (unsigned i = 0; i < s->lazily && wait < TRANSIT_LAZILY_MOST_US; i++)
		wait *= 4;
	s->lazily++;
	s->lazily_at = mono_add(c->now, wait);
	transit_later(c, s, s->lazily_at);
}

/* Who is not to have it any more is given no more of it. */
static void unwanted(struct core *c, struct stream *s)
{
	for (size_t i = 0; i < s->n_flows; i++) {
		struct flow *f = &s->flows[i];

		if (f->giving && !f->wanted) {
			f->giving = false;
			flow_update(c, f);
		}
		f->wanted = false;
	}
}

static void progress(struct core *c, struct stream *s, uint64_t settled)
{
	if (settled >= s->row.held)
		s->needed_since = MONO_NEVER;
	else if (settled > s->settled || s->needed_since.us == MONO_NEVER.us)
		s->needed_since = c->now;
	s->settled = settled;
}

static void stream_look(struct core *c, struct stream *s)
{
	struct look l;

	if (!s->row.held || s->forked)
		return;
	if (s->kept && !s->transit)
		kept_look(c, s);
	if (s->transit)
		vectors_stream(c, s);
	custodians_look(c, s, &l);
	progress(c, s, settled_of(&l, false));
	if (s->transit && s->row.floor < s->settled)
		retire(c, s, s->settled < s->row.held ? s->settled : s->row.held);
	if (s->settled < s->row.held && s->row.floor < s->row.held) {
		bool lazily = to_live(c, &l);

		if (s->transit || settled_of(&l, true) < s->row.held)
			to_unreached(c, &l);
		to_writer(c, s);
		if (s->transit && (lazily || c->now.us - s->needed_since.us >= LAZILY_US))
			ask_lazily(c, &l);
		else if (s->transit)
			transit_later(c, s, mono_add(s->needed_since, LAZILY_US));
	}
	if (s->asked_for)
		ask_for_others(c, &l);
	unwanted(c, s);
}

/* ---- once a batch ----------------------------------------------------------------------------------------------------------- */

static bool open_ended(const struct stream *s)
{
	return s->row.held > s->settled && s->row.held > s->row.floor;
}

static void timers_look(struct core *c)
{
	if (mono_before(c->now, c->passing.at))
		return;
	c->passing.at = MONO_NEVER;
	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];

		if (mono_before(c->now, s->look_at))
			c->passing.at = mono_min(c->passing.at, s->look_at);
		else
			transit_due(c, s);
	}
}

void transit_look(struct core *c)
{
	struct transit *x = &c->passing;

	timers_look(c);
	if (x->all && !mono_before(c->now, x->all_at)) {
		x->all = false;
		x->all_at = mono_add(c->now, LOOK_ALL_US);
		for (size_t i = 0; i < c->n_streams; i++)
			if (open_ended(c->streams[i]) || c->streams[i]->kept || (c->streams[i]->transit && c->streams[i]->row.floor < c->streams[i]->row.held))
				transit_due(c, c->streams[i]);
	} else if (x->all) {
		x->at = mono_min(x->at, x->all_at);
	}
	for (size_t i = 0; i < x->n_due; i++) {
		struct stream *s = stream_by_local(c, x->due[i]);

		if (!s || !s->due)
			continue;
		s->due = false;
		s->look_at = MONO_NEVER;
		stream_look(c, s);
	}
	x->n_due = 0;
	transit_asks_send(c);
	transit_answers_send(c);
}
