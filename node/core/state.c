/* state.c - orders and endorsements exchanged: each site ends with what any site it reaches has.
 *
 * Hello and probes carry the hash of all state held. Where two sites' differ, one offers the names of what it has; the other gives
 * what the first lacks, and offers back when it lacks something itself. What is new here is given to all peers at once. Nothing
 * is remembered that could be lost on the way: the next probe shows what still differs. */
#include "node/core/core_int.h"

/* An offer that changed nothing is made again after so long, and later and later; the first of a site with the higher number a little later
 * than the other's, so that one of the two usually does for both. */
#define OFFER_AGAIN_MIN_US (2 * US_PER_S)
#define OFFER_AGAIN_MAX_US (60 * US_PER_S)
#define OFFER_SECOND_US (2 * US_PER_S)
/* What one frame of an offer is answered with; the next probe does the rest. */
#define GIVE_OBJECTS 64
#define GIVE_BYTES (256 * 1024)
#define REFUSED_MAX 1024 /* of one peer */

struct state_holders { struct hash id; uint8_t sites[(LIMIT_SITES + 7) / 8]; };
struct state_refused { uint16_t from; struct state_name name; };

/* ---- what is here ------------------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
	return state_name_compare(&((const struct state_item *)a)->name, &((const struct state_item *)b)->name);
}

/* All that is held, and what this peer gave and was refused, sorted; the caller's. NULL when out of memory. */
static struct state_item *items_make(const struct core *c, const struct peer *p, size_t *n)
{
	const struct takeover *t = &c->takeover;
	const struct exchange *x = &c->exchange;
	struct state_item *items = calloc(t->n_orders + t->n_endorsements + x->n_refused + 1, sizeof *items);

	*n = 0;
	for (size_t i = 0; items && i < t->n_orders; i++)
		items[(*n)++].name = (struct state_name){STATE_KIND_ORDER, t->orders[i]->id};
	for (size_t i = 0; items && i < t->n_endorsements; i++)
		items[(*n)++].name = (struct state_name){STATE_KIND_ENDORSEMENT, t->endorsements[i]->id};
	size_t held = *n;

	if (items)
		qsort(items, held, sizeof *items, by_name);
	for (size_t i = 0; items && p && i < x->n_refused; i++) {
		struct state_item declined = {x->refused[i].name, true};

		if (x->refused[i].from == p->site && x->refused[i].name.kind != STATE_KIND_ROSTER && x->refused[i].name.kind != STATE_KIND_DICTIONARY && !bsearch(&declined, items, held, sizeof *items, by_name))
			items[(*n)++] = declined;
	}
	if (items && *n > held)
		qsort(items, *n, sizeof *items, by_name);
	return items;
}

void state_changed(struct core *c)
{
	size_t n;
	struct state_item *items = items_make(c, NULL, &n);
	struct hasher *h = items ? hasher_new(HASH_STATE) : NULL;

	for (size_t i = 0; h && i < n; i++) {
		hasher_add(h, view_of(&items[i].name.kind, 1));
		hasher_add(h, view_of(items[i].name.id.b, HASH_BYTES));
	}
	if (h)
		c->takeover.state = hasher_end(h);
	else if (c->t)
		txn_fail(c->t, ERR_NOMEM);
	free(items);
}

static struct view blob_of(const struct core *c, const struct state_name *name)
{
	const struct takeover *t = &c->takeover;

	for (size_t i = 0; name->kind == STATE_KIND_ORDER && i < t->n_orders; i++)
		if (hash_equal(&t->orders[i]->id, &name->id))
			return buf_view(&t->orders[i]->blob);
	for (size_t i = 0; name->kind == STATE_KIND_ENDORSEMENT && i < t->n_endorsements; i++)
		if (hash_equal(&t->endorsements[i]->id, &name->id))
			return buf_view(&t->endorsements[i]->blob);
	return view_of(NULL, 0);
}

struct state_item *state_list(const struct core *c, size_t *n)
{
	struct state_item *items = items_make(c, NULL, n), *all = items ? realloc(items, (*n + TRAVEL_NAMES(c)) * sizeof *all) : NULL;

	if (!all) {
		free(items);
		return NULL;
	}
	*n += travel_names(c, all + *n);
	return all;
}

struct view state_blob(const struct core *c, const struct state_name *name)
{
	if (name->kind == STATE_KIND_ROSTER || name->kind == STATE_KIND_DICTIONARY)
		return travel_blob(c, name);
	return blob_of(c, name);
}

/* ---- who has which order ------------------------------------------------------------------------------------------- */

static struct state_holders *holders_find(const struct core *c, const struct hash *id)
{
	for (size_t i = 0; i < c->exchange.n_holders; i++)
		if (hash_equal(&c->exchange.holders[i].id, id))
			return &c->exchange.holders[i];
	return NULL;
}

static bool holds(const struct state_holders *h, uint16_t site)
{
	return h && site < LIMIT_SITES && (h->sites[site / 8] >> site % 8 & 1);
}

/* What a site showed to have, or not to have any more. Only of orders is it asked. */
static void holder_set(struct core *c, const struct state_name *name, uint16_t site, bool has)
{
	struct state_holders *h = holders_find(c, &name->id);

	if (name->kind != STATE_KIND_ORDER || site >= LIMIT_SITES || (!h && (!has || !order_find(c, &name->id))))
		return;
	if (!h) {
		h = array_grow(&c->exchange.holders, &c->exchange.n_holders, sizeof *h);
		if (!h)
			return; /* it will show it again */
		h->id = name->id;
	}
	uint8_t bit = (uint8_t)(1u << site % 8);

	h->sites[site / 8] = (uint8_t)(has ? h->sites[site / 8] | bit : h->sites[site / 8] & ~bit);
}

bool state_acknowledged(const struct core *c, const struct hash *id, uint16_t site)
{
	const struct peer *p = NULL;

	if (site == c->self)
		return order_find(c, id) != NULL;
	for (size_t i = 0; i < c->n_peers && !p; i++)
		p = c->peers[i]->site == site ? c->peers[i] : NULL;
	if (p && p->state_met && hash_equal(&p->state, &c->takeover.state))
		return order_find(c, id) != NULL;
	return holds(holders_find(c, id), site);
}

/* ---- refused ----------------------------------------------------------------------------------------------------------- */

/* Under another roster what was refused may be taken. */
static void refused_look(struct core *c)
{
	struct exchange *x = &c->exchange;

	if (x->refused_under == c->roster->serial)
		return;
	x->refused_under = c->roster->serial;
	free(x->refused);
	x->refused = NULL;
	x->n_refused = 0;
}

/* An object is named by what is signed; a signature that does not fit says nothing of the same object from another site. */
static struct state_name name_of(uint8_t kind, struct view blob)
{
	size_t signature = sizeof(struct signature);

	return (struct state_name){kind, crypt_hash(HASH_STATE, view_of(blob.ptr, blob.len > signature ? blob.len - signature : 0))};
}

/* Of too many of one peer's the oldest go. */
static void refused_add(struct core *c, struct peer *p, const struct state_name *name)
{
	struct exchange *x = &c->exchange;
	struct state_refused *r = NULL;
	size_t n = 0, next = p->refused_at % REFUSED_MAX;

	for (size_t i = 0; i < x->n_refused; i++) {
		if (x->refused[i].from != p->site)
			continue;
		if (state_name_compare(&x->refused[i].name, name) == 0)
			return;
		r = n++ == next ? &x->refused[i] : r;
	}
	if (n < REFUSED_MAX)
		r = array_grow(&x->refused, &x->n_refused, sizeof *r);
	else
		p->refused_at++;
	if (r)
		*r = (struct state_refused){p->site, *name};
}

bool state_refused(const struct core *c, uint16_t site, const struct state_name *name)
{
	const struct exchange *x = &c->exchange;

	for (size_t i = 0; x->refused_under == c->roster->serial && i < x->n_refused; i++)
		if (x->refused[i].from == site && state_name_compare(&x->refused[i].name, name) == 0)
			return true;
	return false;
}

void state_refuse(struct core *c, struct peer *p, const struct state_name *name)
{
	refused_look(c);
	refused_add(c, p, name);
}

/* ---- offers ------------------------------------------------------------------------------------------------------------- */

/* What is here of a range, in as many frames as it takes; each says of which part of the range it speaks. */
static void offer(struct core *c, struct peer *p, bool answer, struct state_name after, const struct state_name *until)
{
	size_t n, at = 0;
	struct state_item *items = items_make(c, p, &n);

	while (items && at < n && state_name_compare(&items[at].name, &after) <= 0)
		at++;
	while (items && n > at && state_name_compare(&items[n - 1].name, until) > 0)
		n--;
	do {
		size_t some = n - at > LIMIT_STATE_ITEMS ? LIMIT_STATE_ITEMS : n - at;
		struct state_name last = at + some < n ? items[at + some - 1].name : *until;

		if (!items)
			break;
		frame_state_offer(effect_begin(c->out), &c->takeover.state, answer, &after, &last, items + at, some);
		effect_end_control(c, p);
		after = last;
		at += some;
	} while (at < n);
	free(items);
}

/* An offer of what is here. Not before what it would say has changed, or some time has passed. */
static void offer_due(struct core *c, struct peer *p)
{
	bool same = hash_equal(&p->offer.ours, &c->takeover.state) && hash_equal(&p->offer.theirs, &p->state) && p->offer.wait_us;

	if (!same) {
		p->offer.ours = c->takeover.state;
		p->offer.theirs = p->state;
		p->offer.wait_us = OFFER_AGAIN_MIN_US;
		p->offer.at = c->self < p->site ? c->now : mono_add(c->now, OFFER_SECOND_US);
	}
	if (mono_before(c->now, p->offer.at))
		return;
	p->offer.made = c->now;
	p->offer.at = mono_add(c->now, p->offer.wait_us);
	p->offer.wait_us = 2 * p->offer.wait_us < OFFER_AGAIN_MAX_US ? 2 * p->offer.wait_us : OFFER_AGAIN_MAX_US;
	offer(c, p, true, (struct state_name){0}, &STATE_NAME_LAST);
}

/* Their state hash: where it equals ours they have all that is here. */
static bool state_met(struct core *c, struct peer *p, const struct hash *state)
{
	bool same = hash_equal(state, &c->takeover.state), known = p->state_met && hash_equal(&p->state, state);

	p->state = *state;
	p->state_met = true;
	for (size_t i = 0; same && !known && i < c->takeover.n_orders; i++)
		holder_set(c, &(struct state_name){STATE_KIND_ORDER, c->takeover.orders[i]->id}, p->site, true);
	c->restless = c->restless || !known; /* gates, and a recovery, wait for it */
	if (!known && c->takeover.n_chains)
		c->takeover.at = c->now;
	return same;
}

bool state_complete(const struct core *c, const struct peer *p)
{
	if (!p->state_met)
		return false;
	return hash_equal(&p->state, &c->takeover.state) ||
	       (p->offered.all && hash_equal(&p->offered.theirs, &p->state) && hash_equal(&p->offered.ours, &c->takeover.state));
}

void state_hello(struct core *c, struct peer *p, const struct hash *state)
{
	/* What was said on the connection before may be lost. */
	if (c->now.us - p->offer.made.us >= OFFER_AGAIN_MIN_US)
		p->offer.wait_us = 0;
	state_heard(c, p, state);
}

void state_heard(struct core *c, struct peer *p, const struct hash *state)
{
	refused_look(c);
	if (state_met(c, p, state))
		p->offer.wait_us = 0;
	else if (c->started && peer_reachable(p))
		offer_due(c, p);
}

/* ---- given ---------------------------------------------------------------------------------------------------------------- */

static void give(struct core *c, struct peer *p, const struct state_name *name, struct view blob)
{
	frame_state_give(effect_begin(c->out), &c->takeover.state, name->kind, blob);
	effect_end_control(c, p);
}

void state_give_all(struct core *c, enum state_kind kind, const struct hash *id, uint16_t but)
{
	struct state_name name = {(uint8_t)kind, *id};
	struct view blob = blob_of(c, &name);

	const struct state_holders *h = holders_find(c, id);

	for (size_t i = 0; blob.len && i < c->n_peers; i++)
		if (c->peers[i]->site != but && peer_reachable(c->peers[i]) && !holds(h, c->peers[i]->site))
			give(c, c->peers[i], &name, blob);
}

/* What was listed next, while it is not behind `name`. */
static bool listed(struct view *rest, struct state_item *at, bool *any, const struct state_name *name)
{
	while (!*any || state_name_compare(&at->name, name) < 0) {
		if (!rest->len || state_item_next(rest, at))
			return false;
		*any = true;
	}
	return state_name_compare(&at->name, name) == 0;
}

/* What lies in the range, is here and not there. */
static void give_range(struct core *c, struct peer *p, const struct state_frame *f, const struct state_item *items, size_t n)
{
	struct state_item at;
	struct view rest = f->items;
	size_t objects = 0, bytes = 0;
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		const struct state_name *name = &items[i].name;
		struct view blob;

		if (items[i].declined || state_name_compare(name, &f->after) <= 0 || state_name_compare(name, &f->until) > 0)
			continue;
		bool there = listed(&rest, &at, &any, name);

		holder_set(c, name, p->site, there && !at.declined);
		if (there || objects == GIVE_OBJECTS || bytes > GIVE_BYTES)
			continue;
		blob = blob_of(c, name);
		give(c, p, name, blob);
		objects++;
		bytes += blob.len;
	}
}

/* Does the offer list something that is not here, and was not refused? */
static bool lacks(const struct state_frame *f, const struct state_item *items, size_t n)
{
	struct state_item theirs;

	for (struct view rest = f->items; rest.len && state_item_next(&rest, &theirs) == ERR_OK;)
		if (!theirs.declined && !bsearch(&theirs, items, n, sizeof *items, by_name))
			return true;
	return false;
}

static bool declines(const struct state_frame *f)
{
	struct state_item theirs;

	for (struct view rest = f->items; rest.len && state_item_next(&rest, &theirs) == ERR_OK;)
		if (theirs.declined)
			return true;
	return false;
}

/* Remembers when all that the peer has was listed, frame by frame, and nothing of it is to be had here any more. */
static void offered_look(const struct core *c, struct peer *p, const struct state_frame *f, bool lacking)
{
	static const struct state_name first = {0};
	bool begins = state_name_compare(&f->after, &first) == 0;
	bool goes_on = p->offered.clean && hash_equal(&p->offered.theirs, &f->state) && hash_equal(&p->offered.ours, &c->takeover.state) &&
		       state_name_compare(&p->offered.upto, &f->after) == 0;

	if (begins) {
		p->offered.theirs = f->state;
		p->offered.ours = c->takeover.state;
		p->offered.all = false;
	}
	p->offered.clean = (begins || goes_on) && !lacking;
	p->offered.upto = f->until;
	if (p->offered.clean && state_name_compare(&f->until, &STATE_NAME_LAST) == 0)
		p->offered.all = true;
}

static void heard_offer(struct core *c, struct peer *p, const struct state_frame *f)
{
	size_t n;
	struct state_item *items = items_make(c, p, &n);

	if (!items)
		return; /* it is offered again */
	bool lacking = lacks(f, items, n);

	offered_look(c, p, f, lacking);
	(void)state_met(c, p, &f->state);
	give_range(c, p, f, items, n);
	if (f->answer && (lacking || declines(f)))
		offer(c, p, false, f->after, &f->until);
	free(items);
}

/* What is wrong with the object, and not with this node. */
static bool is_refusal(enum err e)
{
	return e != ERR_NOMEM && e != ERR_FULL && e != ERR_IO && e != ERR_SYNC;
}

static void heard_object(struct core *c, struct peer *p, const struct state_frame *f)
{
	struct state_name name = name_of(f->kind, f->blob);
	struct errmsg m = {0};
	struct hash id;
	bool is_new = false;

	if (!blob_of(c, &name).len) {
		enum err e = orders_take(c, (enum state_kind)f->kind, f->blob, p->site, &id, &is_new, &m);

		if (e && is_refusal(e)) {
			p->refused++;
			refused_add(c, p, &name);
		}
	}
	holder_set(c, &name, p->site, true);
	(void)state_met(c, p, &f->state);
	if (is_new) {
		frame_state_tell(effect_begin(c->out), &c->takeover.state);
		effect_end_control(c, p);
	}
}

void state_show(struct core *c, struct peer *p)
{
	if (p->protocol < PROTOCOL_SHORT)
		return;
	frame_state_show(effect_begin(c->out), &c->takeover.state, c->roster->serial, &c->roster->hash);
	effect_end_control(c, p);
}

static void heard_show(struct core *c, struct peer *p, const struct state_frame *f)
{
	peer_roster(c, p, f->serial, &f->roster);
	state_heard(c, p, &f->state);
}

void state_frame(struct core *c, struct peer *p, const struct state_frame *f)
{
	refused_look(c);
	switch ((enum state_what)f->what) {
	case STATE_OFFER: heard_offer(c, p, f); break;
	case STATE_GIVE: heard_object(c, p, f); break;
	case STATE_TELL: (void)state_met(c, p, &f->state); break;
	case STATE_SHOW: heard_show(c, p, f); break;
	case STATE_WANT: travel_want(c, p, f); break;
	case STATE_PART: travel_part(c, p, f); break;
	}
}

void exchange_free(struct core *c)
{
	free(c->exchange.holders);
	free(c->exchange.refused);
	free(c->exchange.wanted);
	c->exchange = (struct exchange){0};
}
