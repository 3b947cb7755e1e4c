/* vectors.c - signed vectors: made, heard, passed on. */
#include <stdio.h>

#include "node/core/core_int.h"
#include "node/core/vectors_int.h"

#define GATHER_LINKS_US US_PER_S        /* changes that come together go in one vector */
#define GATHER_VOUCH_US (300 * US_PER_MS)
/* So many of our own may follow each other at once, and one in this time after that. */
#define BURST 6
#define EVERY_US (10 * US_PER_S)
/* A neighbour is given vectors so often, and so many bytes at a time while nothing is known of its pace. */
#define GIVE_EVERY_US US_PER_S
#define GIVE_BYTES 4096
#define SUMMARY_WAIT_US (5 * US_PER_S)
#define UNREACHED_US (2 * US_PER_S)
#define VECTOR_STREAMS 900

enum { WHAT_VECTORS = 1, WHAT_SUMMARY = 2 };
#define SUMMARY_BYTES 10

/* ---- what it says --------------------------------------------------------------------------------------------------- */

/* Its holder runs anew since: what it held then it may have lost. */
static bool of_an_older_run(const struct peer *p, const struct vector *v)
{
	return p->met && p->incarnation.born_us > v->incarnation.born_us;
}

/* Who is a custodian by an order alone said it under that order: under an earlier one it may have been one too, let go of it with the
 * handback, and begun anew since. */
static bool said_as_custodian(const struct core *c, const struct peer *holder, const struct stream_name *n, const struct vector *v)
{
	uint16_t sites[LIMIT_CUSTODIANS];
	size_t n_sites = roster_custodians(c->roster, n->addressee, sites);
	const struct chain *ch = c->takeover.n_chains ? chain_find(c, n->addressee, n->exercise) : NULL;

	if (holder->site == n->originator || !ch || !ch->now)
		return true;
	for (size_t i = 0; i < n_sites; i++)
		if (sites[i] == holder->site)
			return true;
	for (size_t at = 2; at + HASH_BYTES <= v->order_bytes.len; at += 2 + HASH_BYTES)
		if (memcmp(v->order_bytes.ptr + at, ch->now->id.b, HASH_BYTES) == 0)
			return true;
	return false;
}

/* Of what only passes here: a custodian that has more than we has what is here, as when it says so itself (guest_heard). */
static void copy_covered(struct core *c, struct stream *s, struct peer *holder, const struct frontier *fr)
{
	struct frontier upto = *fr;
	struct flow *f = flow_of(s, holder);

	upto.number = s->row.held;
	upto.not_whole = 0;
	for (uint16_t i = 0; i < fr->not_whole; i++)
		if (fr->missing[i] <= upto.number)
			upto.missing[upto.not_whole++] = fr->missing[i];
	if ((f || (f = flow_add(c, s, holder))) && (!f->known || f->acked < upto.number)) {
		flow_vouched(c, f, &upto);
		transit_due(c, s);
	}
}

static void frontier_said(struct core *c, struct peer *holder, const struct frontier *fr, const struct vector *v)
{
	struct stream *s = stream_by_name(c, &fr->stream);
	struct hash chain;

	if (!concerns(c, holder->site, &fr->stream))
		return;
	if (fr->stream.originator == c->self && fr->number > (s ? s->row.held : 0)) {
		copies_own(c, holder, &fr->stream);
		if (s && s->own)
			peer_bad(c, holder, "a vector that claims entries which this node never wrote");
		return;
	}
	if (s && fr->number > s->row.held) {
		s->said_ahead = true;
		s->said_held = s->row.held;
		if (s->transit && s->row.held && said_as_custodian(c, holder, &fr->stream, v))
			copy_covered(c, s, holder, fr);
	}
	if (!s || fr->number > s->row.held || chain_at(c, s, fr->number, &chain) || !hash_equal(&chain, &fr->chain))
		return; /* it counts only where it is our own chain; else it waits */
	if (!said_as_custodian(c, holder, &fr->stream, v))
		return;
	struct flow *f = flow_of(s, holder);

	if (!f && s->transit)
		f = flow_add(c, s, holder);
	if (f && (!f->known || f->acked < fr->number)) {
		flow_vouched(c, f, fr);
		transit_due(c, s);
	}
}

/* By vectors alone it was known to have this: a new run of it may have less. */
static void forget_said(struct core *c, struct peer *p)
{
	for (size_t i = 0; i < c->n_streams; i++) {
		struct flow *f = flow_of(c->streams[i], p);

		if (!f || !f->vouched)
			continue;
		f->vouched = f->known = false;
		f->acked = f->sent = 0;
		flow_missing(c, f, NULL, 0);
		flow_update(c, f);
		transit_due(c, c->streams[i]);
	}
}

static void apply(struct core *c, struct peer *holder, const struct vector_known *k, const struct vector *before)
{
	struct frontier *f = malloc(sizeof *f);
	struct view rest = k->v.frontier_bytes;

	if (before && !incarnation_equal(&before->incarnation, &k->v.incarnation) && !holder->live)
		forget_said(c, holder);
	while (f && !of_an_older_run(holder, &k->v) && rest.len && frontier_next(&rest, f) == ERR_OK)
		frontier_said(c, holder, f, &k->v);
	free(f);
}

void vectors_stream(struct core *c, struct stream *s)
{
	if (!s->said_due && !(s->said_ahead && s->row.held > s->said_held))
		return;
	struct frontier *f = malloc(sizeof *f);
	struct wanted w = known_wanted(&s->row.name);

	s->said_due = s->said_ahead = false;
	for (size_t i = 0; f && i < c->vectors.n; i++) {
		struct vector_known *k = c->vectors.list[i];
		struct peer *p = k->v.frontiers && k->holder != c->self && known_names(k, &w, f) ? peer_find(c, k->holder) : NULL;

		if (p && !of_an_older_run(p, &k->v) && incarnation_equal(&p->vector->v.incarnation, &k->v.incarnation))
			frontier_said(c, p, f, &k->v);
	}
	free(f);
}

/* ---- one that came --------------------------------------------------------------------------------------------------- */

static bool by_former(struct core *c, const struct site *o, struct view blob)
{
	const struct sign_public *key;
	struct vector v;

	for (size_t i = 1; (key = site_identity(o, i)); i++)
		if (vector_open(c->config.suite, key, &c->roster->network_hash, blob, &v) == ERR_OK)
			return true;
	return false;
}

/* Had already: who gave it needs it no more. */
static bool had(struct core *c, const struct peer *from, uint16_t holder, struct view blob)
{
	for (size_t i = known_first(c, holder); known_is_of(c, i, holder); i++) {
		struct vector_known *k = c->vectors.list[i];

		if (!view_equal(buf_view(&k->blob), blob))
			continue;
		if (from)
			known_todo_take(k, from->site);
		return true;
	}
	return false;
}

/* What was told to all under an identity that counts no more, or by a site that is gone, is as if never said: whoever has the old
 * key could sign a run that outdoes every later one. */
void vectors_roster(struct core *c)
{
	for (size_t i = c->vectors.n; i-- > 0;) {
		struct vector_known *k = c->vectors.list[i];
		const struct site *o = roster_site(c->roster, k->holder);
		struct peer *p = k->holder == c->self ? NULL : peer_find(c, k->holder);
		struct vector v;

		if (o && (k->holder == c->self || (p && !p->gone)) &&
		    vector_open(c->config.suite, &o->identity, &c->roster->network_hash, buf_view(&k->blob), &v) == ERR_OK)
			continue;
		k->stored = false; /* what the journal has of it is passed over when it is read, and written over */
		known_drop(c, i);
		if (p)
			forget_said(c, p);
	}
	c->vectors.links++;
	transit_all(c);
}

/* Its holder gives it to whom it reaches itself. */
static void todo_all(struct core *c, struct vector_known *k, const struct peer *from)
{
	for (size_t i = 0; i < c->vectors.n_live; i++) {
		struct peer *p = c->vectors.live[i];

		if (p != from && p->site != k->holder && !vectors_linked(c, k->holder, p->site))
			known_todo_add(c, k, p);
	}
}

static void vector_taken(struct core *c, struct peer *from, struct peer *holder, struct view blob, const struct vector *v)
{
	struct vector_known *newest = holder->vector;
	struct vector before = newest ? newest->v : (struct vector){0};

	if (newest && known_age(&newest->v, v) > 0) {
		struct vector_known probe = {.holder = holder->site, .v = *v};

		if (known_outdone(c, &probe))
			return; /* an old one, come late or shown again */
	}
	struct vector_known *k = known_add(c, blob, &roster_site(c->roster, holder->site)->identity);

	if (!k)
		return;
	apply(c, holder, k, newest ? &before : NULL);
	todo_all(c, k, from);
	known_keep(c, k);
	if (!newest || k->v.peers != before.peers || known_age(&before, &k->v) < 0)
		transit_all(c);
	known_clear_old(c, holder->site);
}

void vector_heard(struct core *c, struct peer *from, struct view blob)
{
	struct vector v;
	uint16_t number;

	if (vector_holder(blob, &number)) {
		if (from)
			peer_bad(c, from, "a malformed vector");
		return;
	}
	const struct site *o = roster_site(c->roster, number);
	struct peer *holder = number == c->self ? NULL : peer_find(c, number);

	if (had(c, from, number, blob) || !o || !holder || holder->gone)
		return;
	if (vector_open(c->config.suite, &o->identity, &c->roster->network_hash, blob, &v)) {
		/* Signed before its holder was enrolled anew it counts no more; another roster may know other keys. */
		if (from && from->roster_serial == c->roster->serial && !by_former(c, o, blob))
			peer_bad(c, from, "a vector that its holder did not sign");
		return;
	}
	vector_taken(c, from, holder, blob, &v);
}

/* ---- our own ---------------------------------------------------------------------------------------------------------- */

bool peer_live(const struct peer *p)
{
	return !p->gone && p->lane[LANE_URGENT].up && !p->lane[LANE_URGENT].timeouts;
}

bool peer_unreached(const struct core *c, const struct peer *p)
{
	return !p->live && c->now.us - p->live_at.us >= UNREACHED_US;
}

static void live_list(struct core *c, struct peer *p)
{
	struct vectors *x = &c->vectors;
	size_t i = 0;

	while (i < x->n_live && x->live[i]->site < p->site)
		i++;
	if (!p->live) {
		x->n_live--;
		memmove(&x->live[i], &x->live[i + 1], (x->n_live - i) * sizeof *x->live);
	} else if (array_grow(&x->live, &x->n_live, sizeof *x->live)) {
		memmove(&x->live[i + 1], &x->live[i], (x->n_live - 1 - i) * sizeof *x->live);
		x->live[i] = p;
	} else {
		p->live = false;
		txn_fail(c->t, ERR_NOMEM);
	}
}

static void live_look(struct core *c, struct peer *p)
{
	bool live = peer_live(p), bulk = p->lane[LANE_BULK].up;

	if (bulk != p->bulk) {
		p->bulk = bulk;
		p->bulk_at = c->now;
		transit_all(c);
	}
	if (live == p->live)
		return;
	p->live = live;
	live_list(c, p);
	p->live_at = c->now;
	c->vectors.links++;
	if (c->vectors.links_at.us == MONO_NEVER.us)
		c->vectors.links_at = mono_add(c->now, GATHER_LINKS_US);
	transit_live(c, p);
}

static bool same_as_said(const struct core *c)
{
	const struct vectors *x = &c->vectors;

	for (size_t i = 0; i < x->n_live; i++)
		if (i >= x->n_said || x->said[i] != x->live[i]->site)
			return false;
	return x->version && x->n_live == x->n_said;
}

static void said_now(struct core *c)
{
	struct vectors *x = &c->vectors;
	uint16_t *said = calloc(x->n_live ? x->n_live : 1, sizeof *said);

	for (size_t i = 0; said && i < x->n_live; i++)
		said[i] = x->live[i]->site;
	free(x->said);
	x->said = said;
	x->n_said = said ? x->n_live : 0;
}

static void add_streams(struct core *c, bool all, struct vector *v, struct buf *out)
{
	for (size_t i = c->n_streams; i-- > 0 && v->frontiers < VECTOR_STREAMS && out->len < LIMIT_SEGMENT_BYTES - 8192;) {
		struct stream *s = c->streams[i];

		if (!(all || s->vouch) || !s->row.held || !concerns(c, c->self, &s->row.name))
			continue;
		struct frontier f = frontier_of(s);

		frontier_add(out, &f);
		v->frontiers++;
		if (!all) {
			s->vouch = false;
			s->vouched = s->row.held;
		}
	}
}

/* What our own older ones say and this one does not, said once more, when they have become many. */
static void own_again(struct core *c)
{
	struct view rest;
	struct frontier f;
	size_t n = 0, first = known_first(c, c->self);

	while (known_is_of(c, first + n, c->self))
		n++;
	for (size_t i = first; n + 2 >= VECTOR_SLOTS && i < first + n; i++)
		for (rest = c->vectors.list[i]->v.frontier_bytes; rest.len && frontier_next(&rest, &f) == ERR_OK;) {
			struct stream *s = stream_by_name(c, &f.stream);

			if (s)
				s->vouch = true;
		}
}

static void add_orders(const struct core *c, struct vector *v, struct buf *out)
{
	for (size_t i = 0; i < c->takeover.n_chains && v->orders < LIMIT_SITES; i++) {
		const struct chain *ch = &c->takeover.chains[i];

		if (!ch->now)
			continue;
		buf_add_u16(out, ch->site);
		buf_add(out, view_of(ch->now->id.b, HASH_BYTES));
		v->orders++;
	}
}

void vector_ours(struct core *c, bool all, struct buf *out)
{
	struct buf peers = BUF_EMPTY, orders = BUF_EMPTY, frontiers = BUF_EMPTY;
	struct vector v = {.holder = c->self, .incarnation = c->incarnation, .version = ++c->vectors.version};

	for (; v.peers < c->vectors.n_live; v.peers++)
		buf_add_u16(&peers, c->vectors.live[v.peers]->site);
	add_orders(c, &v, &orders);
	add_streams(c, all, &v, &frontiers);
	v.peer_bytes = buf_view(&peers);
	v.order_bytes = buf_view(&orders);
	v.frontier_bytes = buf_view(&frontiers);
	if (!buf_ok(&peers) || !buf_ok(&orders) || !buf_ok(&frontiers) || vector_make(c->config.suite, &c->config.keys.identity, &c->roster->network_hash, &v, out))
		txn_fail(c->t, ERR_NOMEM);
	buf_release(&peers);
	buf_release(&orders);
	buf_release(&frontiers);
}

void vectors_orders(struct core *c)
{
	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];

		if (s->guests_until.us && !s->transit && s->row.held && s->row.name.originator != c->self)
			vector_vouch(c, s);
	}
}

void vector_vouch(struct core *c, struct stream *s)
{
	if (!s->vouch && s->row.held > s->vouched && c->vectors.vouch_at.us == MONO_NEVER.us)
		c->vectors.vouch_at = mono_add(c->now, GATHER_VOUCH_US);
	s->vouch = s->vouch || s->row.held > s->vouched;
}

static struct mono own_at(const struct vectors *x)
{
	struct mono at = mono_min(x->links_at, x->vouch_at);

	return at.us != MONO_NEVER.us && mono_before(at, x->allowed_at) ? x->allowed_at : at;
}

static void own_make(struct core *c)
{
	struct vectors *x = &c->vectors;
	struct buf blob = BUF_EMPTY;
	struct mono from = mono_add(x->allowed_at, EVERY_US), least = {c->now.us - (BURST - 1) * EVERY_US};
	bool vouch = x->vouch_at.us != MONO_NEVER.us;

	x->links_at = x->vouch_at = MONO_NEVER;
	/* Between two sites there is nobody else to tell. */
	if ((!vouch && same_as_said(c)) || c->n_peers < 2)
		return;
	x->allowed_at = mono_before(from, least) ? least : from;
	said_now(c);
	own_again(c);
	vector_ours(c, false, &blob);
	struct vector_known *k = buf_ok(&blob) && blob.len ? known_add(c, buf_view(&blob), &c->me->identity) : NULL;

	if (k) {
		for (size_t i = 0; i < x->n_live; i++)
			known_todo_add(c, k, x->live[i]);
		known_keep(c, k);
		known_clear_old(c, c->self);
	}
	buf_release(&blob);
}

/* ---- given ------------------------------------------------------------------------------------------------------------- */

static void given(struct core *c, struct vector_known *k, uint16_t site)
{
	struct vector_given *g = array_grow(&c->vectors.given, &c->vectors.n_given, sizeof *g);

	if (g)
		*g = (struct vector_given){k, site};
}

static size_t give_bytes(const struct peer *p)
{
	int64_t half_a_second = p->pace[LANE_URGENT].rate_bps / 16;

	return half_a_second <= 0 ? GIVE_BYTES : half_a_second < 512 ? 512 : half_a_second > 32768 ? 32768 : (size_t)half_a_second;
}

/* What waits for a neighbour, at most half a second's worth of it. */
static void give(struct core *c, struct peer *p)
{
	struct buf *out = effect_begin(c->out);
	size_t start = out->len, most = give_bytes(p), n = 0;

	p->vectors_wait = false;
	frame_begin(out, FRAME_VECTOR);
	buf_add_u8(out, WHAT_VECTORS);
	for (size_t i = 0; i < c->vectors.n; i++) {
		struct vector_known *k = c->vectors.list[i];

		if (!k->n_todo || (n && out->len - start + k->blob.len > most)) {
			for (size_t t = 0; t < k->n_todo; t++)
				p->vectors_wait = p->vectors_wait || k->todo[t] == p->site;
			continue;
		}
		if (!known_todo_take(k, p->site))
			continue;
		buf_add_u32(out, (uint32_t)k->blob.len);
		buf_add(out, buf_view(&k->blob));
		given(c, k, p->site);
		n++;
	}
	if (!n) {
		out->len = start;
		return;
	}
	p->vectors_at = mono_add(c->now, GIVE_EVERY_US);
	effect_end_control(c, p);
}

/* ---- summaries ---------------------------------------------------------------------------------------------------------- */

static void summary_of(const struct core *c, uint16_t holder, uint8_t out[8])
{
	struct buf b = BUF_EMPTY;

	for (size_t i = known_first(c, holder); known_is_of(c, i, holder); i++) {
		const struct vector_known *k = c->vectors.list[i];

		buf_add_u64(&b, (uint64_t)k->v.incarnation.born_us);
		buf_add(&b, view_of(k->v.incarnation.random, sizeof k->v.incarnation.random));
		buf_add_u64(&b, k->v.version);
	}
	struct hash h = crypt_hash(HASH_STATE, buf_view(&b));

	memcpy(out, h.b, 8);
	buf_release(&b);
}

void vectors_link(struct core *c, struct peer *p)
{
	struct buf *out = effect_begin(c->out);

	frame_begin(out, FRAME_VECTOR);
	buf_add_u8(out, WHAT_SUMMARY);
	for (size_t i = 0; i < c->n_peers + 1; i++) {
		uint16_t holder = i < c->n_peers ? c->peers[i]->site : c->self;
		uint8_t sum[8];

		if (holder == p->site || !known_newest(c, holder))
			continue;
		summary_of(c, holder, sum);
		buf_add_u16(out, holder);
		buf_add(out, view_of(sum, sizeof sum));
	}
	effect_end_control(c, p);
	for (size_t i = 0; i < c->vectors.n; i++)
		if (c->vectors.list[i]->holder != p->site)
			known_todo_add(c, c->vectors.list[i], p);
	p->vectors_at = mono_add(c->now, SUMMARY_WAIT_US);
}

static void summary_heard(struct core *c, struct peer *p, struct view rest)
{
	for (; rest.len >= SUMMARY_BYTES; rest = view_of(rest.ptr + SUMMARY_BYTES, rest.len - SUMMARY_BYTES)) {
		uint16_t holder = (uint16_t)(rest.ptr[0] << 8 | rest.ptr[1]);
		uint8_t sum[8];

		summary_of(c, holder, sum);
		for (size_t i = known_first(c, holder); memcmp(sum, rest.ptr + 2, sizeof sum) == 0 && known_is_of(c, i, holder); i++)
			known_todo_take(c->vectors.list[i], p->site);
	}
	p->vectors_at = c->now;
	if (rest.len)
		peer_bad(c, p, "a malformed summary of vectors");
}

void vectors_frame(struct core *c, struct peer *p, struct view raw)
{
	struct rd r = rd_init(raw);
	uint8_t what = rd_u8(&r);

	if (what == WHAT_SUMMARY)
		summary_heard(c, p, view_of(r.pos, rd_left(&r)));
	while (what == WHAT_VECTORS && !r.err && rd_left(&r)) {
		uint32_t len = rd_u32(&r);
		struct view blob = rd_bytes(&r, len);

		if (!r.err)
			vector_heard(c, p, blob);
	}
	if (r.err || what < WHAT_VECTORS || what > WHAT_SUMMARY)
		peer_bad(c, p, "a malformed frame of vectors");
}

/* ---- once a batch --------------------------------------------------------------------------------------------------------- */

void vectors_one(struct buf *out, struct view blob)
{
	frame_begin(out, FRAME_VECTOR);
	buf_add_u8(out, WHAT_VECTORS);
	buf_add_u32(out, (uint32_t)blob.len);
	buf_add(out, blob);
}

bool vectors_given(struct core *c, struct view raw)
{
	struct rd r = rd_init(raw);
	bool any = false;

	if (rd_u8(&r) != WHAT_VECTORS)
		return false;
	while (!r.err && rd_left(&r)) {
		uint32_t len = rd_u32(&r);
		struct view blob = rd_bytes(&r, len);

		if (!r.err)
			vector_heard(c, NULL, blob);
		any = !r.err;
	}
	return any;
}

void vectors_look(struct core *c)
{
	for (size_t i = 0; i < c->n_active; i++)
		live_look(c, c->active[i]);
	for (size_t i = 0; c->vectors.unkept && i < c->vectors.n; i++)
		known_keep(c, c->vectors.list[i]);
	c->vectors.unkept = false;
	if (!mono_before(c->now, own_at(&c->vectors)))
		own_make(c);
	for (size_t i = 0; i < c->n_active; i++) {
		struct peer *p = c->active[i];

		if (p->vectors_wait && p->live && !mono_before(c->now, p->vectors_at))
			give(c, p);
	}
}

struct mono vectors_due(const struct core *c)
{
	return own_at(&c->vectors);
}

void vectors_forget(struct core *c)
{
	c->vectors.n_given = c->vectors.n_kept = 0;
	free(c->vectors.given);
	free(c->vectors.kept);
	c->vectors.given = NULL;
	c->vectors.kept = NULL;
}

void vectors_undo(struct core *c)
{
	struct vectors *x = &c->vectors;

	for (size_t i = 0; i < x->n_given; i++) {
		struct peer *p = x->given[i].k ? peer_find(c, x->given[i].site) : NULL;

		if (p)
			known_todo_add(c, x->given[i].k, p);
	}
	for (size_t i = 0; i < x->n_kept; i++)
		if (x->kept[i]) {
			x->kept[i]->stored = false;
			x->unkept = true;
		}
	vectors_forget(c);
}

/* ---- paths ------------------------------------------------------------------------------------------------------------------- */

bool vectors_linked(const struct core *c, uint16_t a, uint16_t b)
{
	const struct vector_known *x = known_newest(c, a), *y = known_newest(c, b);

	return x && y && routes_lists(x->v.peer_bytes, b) && routes_lists(y->v.peer_bytes, a);
}

bool vectors_apart(const struct core *c, uint16_t a, uint16_t b)
{
	const struct vector_known *x = known_newest(c, a), *y = known_newest(c, b);

	return x && y && !routes_lists(x->v.peer_bytes, b) && !routes_lists(y->v.peer_bytes, a);
}

static int link_cost(const struct core *c, const struct peer *p)
{
	const struct site *s = roster_site(c->roster, p->site);

	for (size_t i = 0; s && i < s->n_bearers; i++)
		if (strcmp(s->bearers[i].name, p->lane[LANE_URGENT].bearer) == 0)
			return s->bearers[i].cost;
	return 10;
}

static int by_site(const void *site, const void *route)
{
	return *(const uint16_t *)site - ((const struct route_site *)route)->site;
}

struct peer *vectors_via(struct core *c, uint16_t site, unsigned *hops)
{
	struct vectors *x = &c->vectors;

	if (!x->routes_known || x->routes_links != x->links) {
		struct route_site *r = realloc(x->routes, (c->n_peers ? c->n_peers : 1) * sizeof *r);

		if (!r)
			return NULL;
		x->routes = r;
		for (size_t i = 0; i < c->n_peers; i++) {
			const struct peer *p = c->peers[i];

			r[i] = (struct route_site){.site = p->site, .near = p->live, .cost = p->live ? link_cost(c, p) : 0,
						   .peers = p->vector && !p->gone ? p->vector->v.peer_bytes : view_of(NULL, 0)};
		}
		x->routes_known = routes_find(r, c->n_peers);
		x->routes_links = x->links;
	}
	const struct route_site *to = x->routes_known ? bsearch(&site, x->routes, c->n_peers, sizeof *x->routes, by_site) : NULL;

	if (!to || !to->via)
		return NULL;
	if (hops)
		*hops = to->hops;
	return peer_find(c, to->via);
}
