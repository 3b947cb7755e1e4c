/* orders.c - the orders known here, which of them is in force, and what that says of sites and messages. */
#include <stdio.h>

#include "node/core/core_int.h"

/* A site may invent orders; it may not fill this node with them. */
#define ORDERS_MAX 20000
#define ENDORSEMENTS_MAX 100000
/* Of one issuer's orders so many may be known that are on no chain; and of one site's endorsements so many of orders that are
 * not known here, and of one order. Not more than a peer may give that are refused (state.c), so that what two sites kept of a
 * site that floods them is at most declined by the other. */
#define OFF_CHAIN_MAX 256
#define STRAY_MAX 256
#define AGAIN_MAX 16
/* So many orders that are refused are alarms of their own: of a site that signs, of one that gives them on. */
#define ALARMS_EACH 16

/* ---- known -------------------------------------------------------------------------------------------------- */

static struct order_known **order_bucket(const struct takeover *t, const struct hash *id)
{
	return (struct order_known **)&t->by_id[(id->b[0] << 8 | id->b[1]) % ORDER_BUCKETS];
}

struct order_known *order_find(const struct core *c, const struct hash *id)
{
	struct order_known *o = *order_bucket(&c->takeover, id);

	while (o && !hash_equal(&o->id, id))
		o = o->bucket;
	return o;
}

struct order_known *order_find_text(const struct core *c, struct view text)
{
	struct order_known *found = NULL;
	char hex[2 * HASH_BYTES + 1];

	if (text.len < 4 || text.len > 2 * HASH_BYTES)
		return NULL;
	for (size_t i = 0; i < c->takeover.n_orders; i++) {
		hex_format(c->takeover.orders[i]->id.b, HASH_BYTES, hex);
		if (memcmp(hex, text.ptr, text.len) != 0)
			continue;
		if (found)
			return NULL;
		found = c->takeover.orders[i];
	}
	return found;
}

static struct endorsement_known *endorsement_find(const struct core *c, const struct hash *id)
{
	for (size_t i = 0; i < c->takeover.n_endorsements; i++)
		if (hash_equal(&c->takeover.endorsements[i]->id, id))
			return c->takeover.endorsements[i];
	return NULL;
}

struct chain *chain_find(const struct core *c, uint16_t site, bool exercise)
{
	for (size_t i = 0; i < c->takeover.n_chains; i++)
		if (c->takeover.chains[i].site == site && c->takeover.chains[i].exercise == exercise)
			return &c->takeover.chains[i];
	return NULL;
}

static void order_free(struct order_known *o)
{
	if (!o)
		return;
	buf_release(&o->blob);
	free(o);
}

static void endorsement_free(struct endorsement_known *e)
{
	if (!e)
		return;
	buf_release(&e->blob);
	free(e);
}

/* Copies the blob, so that what points into it lives as long as the mirror. NULL when out of memory or not an order. */
static struct order_known *order_add(struct core *c, struct view blob)
{
	struct order_known *o = calloc(1, sizeof *o), **slot;

	if (!o)
		return NULL;
	buf_add(&o->blob, blob);
	if (!buf_ok(&o->blob) || order_decode(buf_view(&o->blob), &o->order, &o->id) ||
	    !(slot = array_grow(&c->takeover.orders, &c->takeover.n_orders, sizeof *slot))) {
		order_free(o);
		return NULL;
	}
	*slot = o;
	slot = order_bucket(&c->takeover, &o->id);
	o->bucket = *slot;
	*slot = o;
	return o;
}

static struct endorsement_known *endorsement_add(struct core *c, struct view blob)
{
	struct endorsement_known *e = calloc(1, sizeof *e), **slot;

	if (!e)
		return NULL;
	buf_add(&e->blob, blob);
	if (!buf_ok(&e->blob) || endorsement_decode(buf_view(&e->blob), &e->e, &e->id) ||
	    !(slot = array_grow(&c->takeover.endorsements, &c->takeover.n_endorsements, sizeof *slot))) {
		endorsement_free(e);
		return NULL;
	}
	*slot = e;
	return e;
}

/* ---- settling ------------------------------------------------------------------------------------------------- */

/* Whose signature counts no more: made with an identity of before, and revoked at some time. Before it is known who was, nobody is. */
static bool captured(const struct core *c, uint16_t site, bool by_former)
{
	return by_former && site_ever_revoked(c, site);
}

/* Looked at once a roster. */
static bool by_former(struct core *c, struct order_known *o)
{
	if (o->former_under != c->roster->serial) {
		o->former_under = c->roster->serial;
		o->by_former = order_by_former(c->config.suite, c->roster, buf_view(&o->blob), &o->order);
	}
	return o->by_former;
}

static bool endorsed_by_captured(struct core *c, struct endorsement_known *e)
{
	if (e->former_under != c->roster->serial) {
		e->former_under = c->roster->serial;
		e->by_former = endorsement_by_former(c->config.suite, c->roster, buf_view(&e->blob), &e->e);
	}
	return captured(c, e->e.site, e->by_former);
}

static const struct order *find_order(const void *core, const struct hash *id)
{
	const struct order_known *o = order_find(core, id);

	return o ? &o->order : NULL;
}

static void at_look(const struct core *c, struct order_case *oc, struct errmsg *m)
{
	enum err e = order_check_at(c->roster, oc->order, find_order, c, &oc->at, m);

	oc->check = e ? e : oc->check;
}

static size_t cases_of(struct core *c, const struct chain *ch, const struct endorsement *const *all, size_t n_all, struct order_case *cases)
{
	size_t n = 0;

	for (size_t i = 0; i < c->takeover.n_orders; i++) {
		struct order_known *o = c->takeover.orders[i];

		if (o->order.site != ch->site || (o->order.exercise[0] != '\0') != ch->exercise)
			continue;
		struct errmsg m = {0};

		cases[n] = (struct order_case){.order = &o->order, .id = o->id, .n_endorsements = n_all, .endorsements = all,
					       .newer_roster = o->order.roster > c->roster->serial, .by_former = by_former(c, o)};
		cases[n].captured = captured(c, o->order.issuer, cases[n].by_former);
		cases[n].check = cases[n].newer_roster ? ERR_OK : order_check(c->roster, &o->order, &m);
		if (!cases[n].newer_roster && cases[n].check != ERR_REFUSED)
			at_look(c, &cases[n], &m);
		if (cases[n].check)
			snprintf(cases[n].check_why, sizeof cases[n].check_why, "%.*s", (int)sizeof cases[n].check_why - 1, m.text);
		n++;
	}
	return n;
}

static bool order_counts(const struct order_known *o)
{
	return o->state == ORDER_IN_FORCE || o->state == ORDER_SUPERSEDED;
}

/* What was settled, back into the mirror; the order in force. */
static struct order_known *settled(struct core *c, const struct order_case *cases, size_t n, const struct order_case *in_force)
{
	for (size_t i = 0; i < n; i++) {
		struct order_known *o = order_find(c, &cases[i].id);

		bool counted = order_counts(o), refused = o->state == ORDER_REFUSED;

		o->state = cases[i].state;
		o->refused_now = !refused && o->state == ORDER_REFUSED;
		o->fresh = o->fresh || (!counted && order_counts(o));
		o->rank = cases[i].rank;
		o->votes = cases[i].votes;
		o->on_chain = cases[i].on_chain;
		o->revoked = cases[i].revoked;
		memcpy(o->why, cases[i].why, sizeof o->why);
		o->before = o->on_chain ? order_find(c, &o->order.before) : NULL;
	}
	return in_force ? order_find(c, &in_force->id) : NULL;
}

static size_t sites_room(const struct core *c)
{
	size_t n = c->roster->n_sites;

	return n ? (size_t)c->roster->sites[n - 1].number + 1 : 1;
}

/* The last revocation at or before o. */
const struct order_known *revocation_of(const struct order_known *o)
{
	while (o && o->order.kind != ORDER_REVOKE)
		o = o->before;
	return o;
}

static void revoked_find(struct core *c)
{
	size_t n = sites_room(c);

	c->takeover.revoked = calloc(n, sizeof *c->takeover.revoked);
	c->takeover.ever_revoked = calloc(n, sizeof *c->takeover.ever_revoked);
	c->takeover.n_revoked = c->takeover.revoked && c->takeover.ever_revoked ? n : 0;
	for (size_t i = 0; i < c->takeover.n_chains; i++) {
		const struct chain *ch = &c->takeover.chains[i];

		if (ch->exercise || ch->site >= c->takeover.n_revoked)
			continue;
		c->takeover.revoked[ch->site] = ch->now && ch->now->revoked;
		c->takeover.ever_revoked[ch->site] = revocation_of(ch->now) != NULL;
	}
}

/* Settles one chain into *now. Only memory can fail. */
static bool chain_settle(struct core *c, struct chain *ch, const bool *revoked, struct order_known **now)
{
	size_t n_e = c->takeover.n_endorsements, n_o = c->takeover.n_orders;
	const struct endorsement **all = calloc(n_e ? n_e : 1, sizeof *all);
	struct order_case *cases = calloc(n_o ? n_o : 1, sizeof *cases);
	bool ok = all && cases;

	size_t n_all = 0;

	for (size_t i = 0; ok && i < n_e; i++)
		if (!endorsed_by_captured(c, c->takeover.endorsements[i]))
			all[n_all++] = &c->takeover.endorsements[i]->e;
	if (ok) {
		size_t n = cases_of(c, ch, all, n_all, cases);

		*now = settled(c, cases, n, order_settle(c->roster, revoked, cases, n));
	}
	free(all);
	free(cases);
	return ok;
}

static struct chain *chain_get(struct core *c, uint16_t site, bool exercise)
{
	struct chain *ch = chain_find(c, site, exercise);

	if (ch || !(ch = array_grow(&c->takeover.chains, &c->takeover.n_chains, sizeof *ch)))
		return ch;
	*ch = (struct chain){.site = site, .exercise = exercise, .open = true, .ready = true, .since = c->now};
	return ch;
}

/* All chains anew: first as if nobody was revoked, which says who is; then without their signatures. quiet: at the start, when
 * nothing changes. The set of orders alone decides, so every site that knows the same orders does the same. */
static void settle_all(struct core *c, bool quiet)
{
	struct takeover *t = &c->takeover;
	struct order_known **before = calloc(t->n_orders + 1, sizeof *before);
	bool ok = before != NULL;

	/* Until it is known who was revoked. */
	free(t->ever_revoked);
	t->ever_revoked = NULL;
	for (size_t i = 0; ok && i < t->n_orders; i++)
		ok = chain_get(c, t->orders[i]->order.site, t->orders[i]->order.exercise[0] != '\0') != NULL;
	for (size_t i = 0; ok && i < t->n_chains; i++) {
		before[i] = t->chains[i].now;
		ok = chain_settle(c, &t->chains[i], NULL, &t->chains[i].now);
	}
	bool *revoked = t->revoked;
	size_t n_revoked = t->n_revoked;

	t->revoked = NULL;
	revoked_find(c);
	ok = ok && t->n_revoked;
	/* Who is revoked is no custodian of anything any more. */
	bool changed = ok && (n_revoked != t->n_revoked || memcmp(revoked, t->revoked, n_revoked) != 0);

	t->moved = t->moved || changed;
	free(revoked);
	for (size_t i = 0; ok && i < t->n_revoked; i++)
		if (t->ever_revoked[i]) {
			for (size_t k = 0; ok && k < t->n_chains; k++)
				ok = chain_settle(c, &t->chains[k], t->revoked, &t->chains[k].now);
			break;
		}
	if (changed)
		peers_build(c); /* nothing is sent to, or taken from, who is revoked */
	if (ok)
		limits_changed(c, quiet);
	for (size_t i = 0; ok && !quiet && i < t->n_chains; i++)
		if (t->chains[i].now != before[i])
			takeover_changed(c, &t->chains[i], before[i]);
	if (!ok && c->t)
		txn_fail(c->t, ERR_NOMEM);
	free(before);
}

void orders_settle_all(struct core *c)
{
	settle_all(c, false);
}

/* ---- taken --------------------------------------------------------------------------------------------------------- */

static void refused_alarm(struct core *c, const struct hash *id, uint16_t from, const char *what, const struct errmsg *m)
{
	char hex[17], name[LIMIT_NAME_BYTES + 1];
	struct peer *p = peer_find(c, from);

	hex_format(id->b, 8, hex);
	if (p && p->orders_refused++ >= ALARMS_EACH) {
		alarm_raise(c, "order", site_name(c, from, name), "find out what runs at that site; nothing of it is obeyed here",
			    "%s gives on more and more orders and endorsements that are refused", name);
		return;
	}
	alarm_raise(c, "order", hex, "ask the site that signed it; it is not obeyed here", "%s %s, given on by %s, was refused: %s", what, hex,
		    site_name(c, from, name), m->text);
}

/* Known orders of that issuer that are no part of a chain. */
static size_t off_chain(const struct core *c, uint16_t issuer)
{
	size_t n = 0;

	for (size_t i = 0; i < c->takeover.n_orders; i++)
		n += c->takeover.orders[i]->order.issuer == issuer && !c->takeover.orders[i]->on_chain;
	return n;
}

/* Does it follow the order in force by the word of its issuer alone? However many were given before, that one is taken. */
static bool goes_on(const struct core *c, const struct order *o)
{
	const struct chain *ch = chain_find(c, o->site, o->exercise[0] != '\0');
	bool alone = o->kind != ORDER_REVOKE && o->issuer == o->site;

	for (size_t i = 0; o->kind != ORDER_REVOKE && i < c->roster->n_relocators; i++)
		alone = alone || c->roster->relocators[i] == o->issuer;
	return alone && (ch && ch->now ? hash_equal(&o->before, &ch->now->id) : o->epoch == 1);
}

static enum err order_accept(struct core *c, struct view blob, const struct order *o, const struct hash *id, struct errmsg *m)
{
	char name[LIMIT_NAME_BYTES + 1];
	enum err e = order_verify(c->config.suite, c->roster, blob, o);

	if (e && o->roster > c->roster->serial)
		return err_set(m, ERR_BUSY, "order: it was given under roster %u, this node has %u (install the newer roster)", o->roster, c->roster->serial);
	if (e)
		return err_set(m, e, "order: it is not signed by %s: %s", site_name(c, o->issuer, name), err_text(e));
	/* What an older roster knew may be gone since; the order stays what it was. */
	e = o->roster <= c->roster->serial ? order_check(c->roster, o, m) : ERR_OK;
	if (e == ERR_REFUSED || (e && o->roster == c->roster->serial))
		return e;
	if (o->issuer != o->site && site_revoked(c, o->issuer))
		return err_set(m, ERR_REFUSED, "order: the keys of %s, which signed it, are revoked", site_name(c, o->issuer, name));
	if (!goes_on(c, o) && off_chain(c, o->issuer) >= OFF_CHAIN_MAX)
		return err_set(m, ERR_REFUSED, "order: %d of %s are known that are not in force and never were, no more are kept", OFF_CHAIN_MAX,
			       site_name(c, o->issuer, name));
	if (c->takeover.n_orders >= ORDERS_MAX)
		return err_set(m, ERR_FULL, "order: %d are known already", ORDERS_MAX);
	(void)id;
	store_state_put(c->t, STATE_KIND_ORDER, id, blob);
	store_state_since_put(c->t, STATE_KIND_ORDER, id, c->wall);
	return order_add(c, blob) ? ERR_OK : err_set(m, ERR_NOMEM, "order: out of memory");
}

static enum err endorsement_accept(struct core *c, struct view blob, const struct endorsement *d, const struct hash *id, struct errmsg *m)
{
	char name[LIMIT_NAME_BYTES + 1], hex[17];
	enum err e = endorsement_verify(c->config.suite, c->roster, c->config.has_authority ? &c->config.authority : NULL, blob, d);
	const struct order_known *o = order_find(c, &d->order);

	hex_format(d->order.b, 8, hex);
	if (e)
		return err_set(m, e, "endorsement of %s: it is not signed by %s: %s", hex, d->site ? site_name(c, d->site, name) : "the authority", err_text(e));
	if (o && o->order.site == d->site)
		return err_set(m, ERR_REFUSED, "endorsement of %s: %s is the site that it is about", hex, site_name(c, d->site, name));
	if (d->site && site_revoked(c, d->site))
		return err_set(m, ERR_REFUSED, "endorsement of %s: the keys of %s are revoked", hex, site_name(c, d->site, name));
	size_t again = 0, stray = 0;

	for (size_t i = 0; i < c->takeover.n_endorsements; i++) {
		const struct endorsement *have = &c->takeover.endorsements[i]->e;

		if (have->site != d->site)
			continue;
		again += hash_equal(&have->order, &d->order);
		stray += !o && !order_find(c, &have->order);
		/* Once more by the same site counts once, and needs to say something later to be kept at all. */
		if (hash_equal(&have->order, &d->order) && have->last.us >= d->last.us)
			return err_set(m, ERR_EXISTS, "endorsement of %s: %s has endorsed it already", hex, d->site ? site_name(c, d->site, name) : "the authority");
	}
	if (again >= AGAIN_MAX || stray >= STRAY_MAX)
		return err_set(m, ERR_REFUSED, "endorsement of %s: %zu of %s %s are known, no more are kept", hex, again >= AGAIN_MAX ? again : stray,
			       d->site ? site_name(c, d->site, name) : "the authority", again >= AGAIN_MAX ? "of that order" : "of orders that are not known here");
	if (c->takeover.n_endorsements >= ENDORSEMENTS_MAX)
		return err_set(m, ERR_FULL, "endorsement: %d are known already", ENDORSEMENTS_MAX);
	store_state_put(c->t, STATE_KIND_ENDORSEMENT, id, blob);
	store_state_since_put(c->t, STATE_KIND_ENDORSEMENT, id, c->wall);
	return endorsement_add(c, blob) ? ERR_OK : err_set(m, ERR_NOMEM, "endorsement: out of memory");
}

static bool not_obeyed(const struct order_known *o)
{
	return o->state == ORDER_REFUSED || (o->state == ORDER_SUPERSEDED && !o->on_chain);
}

static void not_obeyed_alarm(struct core *c, const struct order_known *o, const char *hex)
{
	const char *kind = alarm_kind(o->order.exercise[0], "order");
	char site[LIMIT_NAME_BYTES + 1], by[LIMIT_NAME_BYTES + 1];
	size_t n = 0;

	site_name(c, o->order.issuer, by);
	for (size_t i = 0; i < c->takeover.n_orders; i++)
		n += c->takeover.orders[i]->order.issuer == o->order.issuer && not_obeyed(c->takeover.orders[i]);
	if (n > ALARMS_EACH)
		alarm_raise(c, kind, by, "see `estafette orders`; find out what runs at that site", "more than %d orders of %s are not in force", ALARMS_EACH, by);
	else
		alarm_raise(c, kind, hex, "see `estafette orders`; ask who gave it", "the %sorder of %s about %s is not in force: %s",
			    o->order.exercise[0] ? "exercise " : "", by, site_name(c, o->order.site, site), o->why);
}

/* An order that waits for endorsements or for its predecessor wants a person: to endorse it, or to ask who gave it. */
static void waiting_alarm(struct core *c, struct order_known *o)
{
	const char *kind = alarm_kind(o->order.exercise[0], "order-waits");
	char hex[17], site[LIMIT_NAME_BYTES + 1], by[LIMIT_NAME_BYTES + 1];
	bool waits = o->state == ORDER_PENDING && !minimize_over(c, o);

	if (waits && o->order.kind == ORDER_MINIMIZE && o->order.until.us < c->takeover.minimize_ends.us)
		c->takeover.minimize_ends = o->order.until;
	if (waits == o->waiting_told)
		return;
	o->waiting_told = waits;
	hex_format(o->id.b, 8, hex);
	if (!waits) {
		alarm_clear(c, kind, hex);
		return;
	}
	if (off_chain(c, o->order.issuer) <= ALARMS_EACH)
		alarm_raise(c, kind, hex, "look at it with `estafette orders`; when it is right, `estafette endorse` it",
			    "the %sorder of %s about %s is not in force: %s", o->order.exercise[0] ? "exercise " : "", site_name(c, o->order.issuer, by),
			    site_name(c, o->order.site, site), o->why);
}

static void order_told(struct core *c, const struct hash *id)
{
	const struct order_known *o = order_find(c, id);
	char hex[17], site[LIMIT_NAME_BYTES + 1], by[LIMIT_NAME_BYTES + 1];

	if (!o)
		return;
	hex_format(id->b, 8, hex);
	effect_log(c->out, 5, "order %s: %s of %s by %s, epoch %u: %s%s%s", hex, order_kind_name(o->order.kind), site_name(c, o->order.site, site),
		   site_name(c, o->order.issuer, by), o->order.epoch, order_state_name(o->state), o->why[0] ? ": " : "", o->why);
	if (not_obeyed(o))
		not_obeyed_alarm(c, o, hex);
}

void orders_look_waiting(struct core *c)
{
	c->takeover.minimize_ends.us = INT64_MAX;
	for (size_t i = 0; i < c->takeover.n_orders; i++)
		waiting_alarm(c, c->takeover.orders[i]);
}

/* One order may be what several others waited for. */
static void fresh_look(struct core *c, const struct hash *new)
{
	orders_look_waiting(c);
	for (size_t i = 0; i < c->takeover.n_orders; i++) {
		struct order_known *o = c->takeover.orders[i];

		if (o->fresh)
			reports_order(c, &o->id);
		if (o->refused_now && !hash_equal(&o->id, new))
			order_told(c, &o->id);
		o->fresh = o->refused_now = false;
	}
}

enum err orders_take(struct core *c, enum state_kind kind, struct view blob, uint16_t from, struct hash *id, bool *is_new, struct errmsg *m)
{
	struct order *o = calloc(1, sizeof *o);
	struct endorsement d;
	enum err e = ERR_NOMEM;

	*is_new = false;
	*id = (struct hash){{0}};
	if (kind == STATE_KIND_ROSTER || kind == STATE_KIND_DICTIONARY) {
		free(o);
		return travel_take(c, kind, blob, from, id, is_new, m);
	}
	if (!o)
		return err_set(m, e, "order: out of memory");
	switch (kind) {
	case STATE_KIND_ORDER:
		e = order_decode(blob, o, id);
		if (e)
			err_set(m, e, "order: malformed: %s", err_text(e));
		else if (!order_find(c, id))
			*is_new = !(e = order_accept(c, blob, o, id, m));
		break;
	case STATE_KIND_ENDORSEMENT:
		e = endorsement_decode(blob, &d, id);
		if (e)
			err_set(m, e, "endorsement: malformed: %s", err_text(e));
		else if (!endorsement_find(c, id))
			*is_new = !(e = endorsement_accept(c, blob, &d, id, m));
		break;
	default: e = err_set(m, ERR_UNSUPPORTED, "state of kind %d is not known to this node", (int)kind);
	}
	if (*is_new) {
		c->takeover.touched = true;
		settle_all(c, false);
		state_changed(c);
		state_give_all(c, kind, id, from);
		fresh_look(c, kind == STATE_KIND_ORDER ? id : &d.order);
		order_told(c, kind == STATE_KIND_ORDER ? id : &d.order);
	} else if (e && from && e != ERR_BUSY && e != ERR_EXISTS && e != ERR_UNSUPPORTED) {
		refused_alarm(c, id, from, kind == STATE_KIND_ORDER ? "order" : "endorsement", m);
	}
	free(o);
	return e;
}

/* ---- read from the journal --------------------------------------------------------------------------------------------- */

static enum err load_order(void *arg, const struct hash *id, struct view blob)
{
	(void)id;
	return order_add(arg, blob) ? ERR_OK : ERR_DAMAGED;
}

static enum err load_endorsement(void *arg, const struct hash *id, struct view blob)
{
	(void)id;
	return endorsement_add(arg, blob) ? ERR_OK : ERR_DAMAGED;
}

enum err orders_load(struct core *c)
{
	enum err e = store_state_each(c->t, STATE_KIND_ORDER, load_order, c);

	/* A damaged one comes back from any peer. */
	if (!e || e == ERR_DAMAGED)
		e = store_state_each(c->t, STATE_KIND_ENDORSEMENT, load_endorsement, c);
	if (e == ERR_DAMAGED)
		e = ERR_OK;
	if (!e)
		settle_all(c, true);
	c->takeover.minimize_ends.us = INT64_MAX;
	for (size_t i = 0; i < c->takeover.n_orders; i++) {
		struct order_known *o = c->takeover.orders[i];

		o->fresh = o->refused_now = false;
		o->waiting_told = o->state == ORDER_PENDING; /* alarms outlive a restart */
		if (o->waiting_told && o->order.kind == ORDER_MINIMIZE && o->order.until.us < c->takeover.minimize_ends.us)
			c->takeover.minimize_ends = o->order.until;
	}
	for (size_t i = 0; i < c->takeover.n_chains; i++)
		c->takeover.chains[i].open = c->takeover.chains[i].ready = false;
	c->takeover.dirty = c->takeover.closings = c->takeover.n_chains > 0;
	c->takeover.at = c->takeover.dirty ? c->now : MONO_NEVER;
	state_changed(c);
	return e;
}

void orders_drop(struct core *c)
{
	struct takeover *t = &c->takeover;

	for (size_t i = 0; i < t->n_orders; i++)
		order_free(t->orders[i]);
	for (size_t i = 0; i < t->n_endorsements; i++)
		endorsement_free(t->endorsements[i]);
	free(t->orders);
	free(t->endorsements);
	free(t->chains);
	free(t->revoked);
	free(t->ever_revoked);
	free(t->redo);
	*t = (struct takeover){.at = MONO_NEVER};
}

/* ---- what they say ------------------------------------------------------------------------------------------------------ */

bool site_revoked(const struct core *c, uint16_t site)
{
	return site < c->takeover.n_revoked && c->takeover.revoked[site];
}

bool site_ever_revoked(const struct core *c, uint16_t site)
{
	return c->takeover.ever_revoked && site < c->takeover.n_revoked && c->takeover.ever_revoked[site];
}

static const struct order *order_now(const struct core *c, uint16_t site, bool exercise)
{
	const struct chain *ch = c->takeover.n_chains ? chain_find(c, site, exercise) : NULL;

	return ch && ch->now ? &ch->now->order : NULL;
}

uint16_t owner_of(const struct core *c, uint16_t site, bool exercise, struct view queue, uint16_t area, const struct msgid *id)
{
	return order_owner(order_now(c, site, exercise), site, queue, area, id);
}

enum serving queue_serving(const struct core *c, const struct queue *q, bool exercise)
{
	const struct order *o = order_now(c, q->row.site, exercise);
	struct view name = view_str(q->row.name);

	if (!o)
		return q->row.site == c->self ? SERVES_ALL : SERVES_NONE;
	if (!order_may_own(o, q->row.site, name, c->self))
		return SERVES_NONE;
	return order_owns_all(o, q->row.site, name, c->self) ? SERVES_ALL : SERVES_SOME;
}

void owners_text(const struct core *c, const struct queue *q, bool exercise, char *out, size_t size)
{
	const struct order *o = order_now(c, q->row.site, exercise);
	char name[LIMIT_NAME_BYTES + 1];
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < c->roster->n_sites; i++) {
		uint16_t site = c->roster->sites[i].number;
		bool owns = o ? order_may_own(o, q->row.site, view_str(q->row.name), site) : site == q->row.site;

		if (owns && at < size)
			at += (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "", site_name(c, site, name));
	}
}

size_t custodians(const struct core *c, uint16_t addressee, bool exercise, uint16_t out[LIMIT_CUSTODIANS])
{
	return custodians_under(c, addressee, order_now(c, addressee, exercise), out);
}

size_t custodians_under(const struct core *c, uint16_t addressee, const struct order *o, uint16_t out[LIMIT_CUSTODIANS])
{
	uint16_t all[LIMIT_CUSTODIANS];
	size_t n_all = roster_custodians(c->roster, addressee, all), n = 0;

	for (size_t i = 0; i < n_all; i++)
		if (!site_revoked(c, all[i]))
			out[n++] = all[i];
	for (size_t i = 0; o && i < o->n_assign && n < LIMIT_CUSTODIANS; i++) {
		uint16_t to = o->assign[i].to;
		bool there = to == addressee || site_revoked(c, to) || !roster_has(c->roster, to);

		for (size_t k = 0; k < n; k++)
			there = there || out[k] == to;
		if (!there)
			out[n++] = to;
	}
	return n;
}

bool may_serve(const struct core *c, uint16_t site, uint16_t addressee, bool exercise)
{
	for (size_t i = 0; i < c->takeover.n_orders; i++) {
		const struct order_known *o = c->takeover.orders[i];

		if (o->order.site == addressee && (o->order.exercise[0] != '\0') == exercise && order_counts(o) && order_names(&o->order, site))
			return true;
	}
	return false;
}

const struct order_known *order_served_by(const struct core *c, uint16_t addressee, bool exercise)
{
	const struct chain *ch = chain_find(c, addressee, exercise);
	const struct order_known *best = NULL;

	if (!ch)
		return NULL;
	if (ch->now && order_names(&ch->now->order, c->self))
		return ch->now;
	for (size_t i = 0; i < c->takeover.n_orders; i++) {
		const struct order_known *o = c->takeover.orders[i];

		if (o->order.site == addressee && (o->order.exercise[0] != '\0') == exercise && order_counts(o) && order_names(&o->order, c->self) &&
		    (!best || o->order.epoch > best->order.epoch))
			best = o;
	}
	return best;
}
