/* takeover.c - what follows from an order: queues opened and closed, closings, gates, and leases that others hold. */
#include <stdio.h>

#include "node/core/core_int.h"

/* A successor that lacks what others showed goes on without it after so long: no handling is worse than a second one. */
#define CATCH_UP_US (60 * US_PER_S)
/* A home that waits for closings says so after this. */
#define WAIT_ALARM_US (10 * US_PER_S)
/* A waiver lies beside the closings under this part number. */
#define PART_WAIVED UINT16_MAX
#define CLOSING_PARTS_MAX 4096

/* ---- chains ------------------------------------------------------------------------------------------------- */

static bool away(const struct order_known *o)
{
	return o && o->order.kind != ORDER_HANDBACK && o->order.n_assign > 0;
}

/* Does this chain give anything to do here: is it our own, or are we a successor? */
static bool is_ours(const struct core *c, const struct chain *ch)
{
	return ch->site == c->self || (ch->now && order_names(&ch->now->order, c->self));
}

static bool waits(const struct core *c, const struct chain *ch)
{
	return ch->site == c->self ? !ch->open : is_ours(c, ch) && !ch->ready;
}

/* ---- closings -------------------------------------------------------------------------------------------------- */

/* Who gives something up under o: the successors of the order before it, or the site itself where it was at home. */
static bool gives_up(const struct order_known *o, uint16_t site)
{
	return away(o->before) ? order_names(&o->before->order, site) : site == o->order.site;
}

static void leases_of(struct core *c, uint16_t site, bool exercise, struct buf *out)
{
	struct lease_row l;
	uint64_t arrival = 0;

	for (;;) {
		enum err e = store_lease_from(c->t, arrival, &l);

		if (e && e != ERR_DAMAGED)
			return;
		struct queue *q = e ? NULL : queue_by_local(c, l.place.queue);

		if (q && q->row.site == site && l.place.exercise == exercise)
			buf_add(out, view_of(l.id.b, MSGID_BYTES));
		if (l.place.arrival == UINT64_MAX)
			return;
		arrival = l.place.arrival + 1;
	}
}

/* How far our streams to that site go: with them the receiver has every report of ours on its queues. */
static void heads_of(struct core *c, uint16_t site, bool exercise, struct buf *out, size_t *at, size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < c->n_streams; i++) {
		const struct stream *s = c->streams[i];

		if (s->row.name.originator != c->self || s->row.name.addressee != site || s->row.name.exercise != exercise || !s->row.held)
			continue;
		struct frontier f = {.stream = s->row.name, .number = s->row.held, .chain = s->row.chain};

		frontier_add(out, &f);
		*at = *n ? *at : out->len; /* all are equally long */
		++*n;
	}
}

static void closing_write(struct core *c, const struct order_known *o)
{
	struct buf leases = BUF_EMPTY, heads = BUF_EMPTY, plain = BUF_EMPTY;
	size_t head_len = 1, n_heads, per_part, lease_at = 0, head_at = 0;
	bool exercise = o->order.exercise[0] != '\0';

	leases_of(c, o->order.site, exercise, &leases);
	heads_of(c, o->order.site, exercise, &heads, &head_len, &n_heads);
	per_part = (CLOSING_BYTES / 2) / head_len;
	size_t leases_a_part = (CLOSING_BYTES / 2 - 64) / MSGID_BYTES, n_leases = leases.len / MSGID_BYTES;
	size_t parts = 1 + (n_heads > n_leases * per_part / leases_a_part ? n_heads / per_part : n_leases / leases_a_part);

	if (parts > CLOSING_PARTS_MAX)
		parts = CLOSING_PARTS_MAX;
	for (size_t i = 0; i < parts; i++) {
		size_t nl = n_leases - lease_at < leases_a_part ? n_leases - lease_at : leases_a_part;
		size_t nh = n_heads - head_at < per_part ? n_heads - head_at : per_part;
		struct closing cl = {.order = o->id, .part = (uint16_t)i, .parts = (uint16_t)parts, .leases = (uint16_t)nl, .heads = (uint16_t)nh};

		if (nl)
			cl.lease_ids = view_of(leases.ptr + lease_at * MSGID_BYTES, nl * MSGID_BYTES);
		if (nh)
			cl.head_bytes = view_of(heads.ptr + head_at * head_len, nh * head_len);
		buf_clear(&plain);
		closing_add(&plain, &cl);
		store_closing_put(c->t, &o->id, c->self, (uint16_t)i, buf_view(&plain));
		report_entry(c, o->order.site, PREC_FLASH, exercise, view_of(NULL, 0), buf_view(&plain));
		lease_at += nl;
		head_at += nh;
	}
	if (!buf_ok(&leases) || !buf_ok(&heads) || !buf_ok(&plain))
		txn_fail(c->t, ERR_NOMEM);
	buf_release(&leases);
	buf_release(&heads);
	buf_release(&plain);
}

void takeover_closing(struct core *c, uint16_t giver, struct view bytes)
{
	struct closing cl;
	char name[LIMIT_NAME_BYTES + 1];

	if (closing_decode(bytes, &cl) || cl.part == PART_WAIVED) {
		alarm_raise(c, "report", "malformed", "the site that wrote it may run a newer or a broken version", "a closing of %s is malformed",
			    site_name(c, giver, name));
		return;
	}
	store_closing_put(c->t, &cl.order, giver, cl.part, bytes);
	c->takeover.at = c->now;
}

static bool heads_held(struct core *c, struct view heads)
{
	struct frontier *f = malloc(sizeof *f);
	bool held = f != NULL;

	while (held && heads.len && frontier_next(&heads, f) == ERR_OK) {
		const struct stream *s = stream_by_name(c, &f->stream);

		held = s && s->row.held >= f->number;
	}
	free(f);
	return held;
}

/* All parts of it; heads: and all that they name. */
static bool closing_there(struct core *c, const struct hash *order, uint16_t giver, bool heads)
{
	for (uint16_t part = 0, parts = 1; part < parts; part++) {
		struct closing cl;
		struct view v;

		if (store_closing_get(c->t, order, giver, part, &v) || closing_decode(v, &cl) || (heads && !heads_held(c, cl.head_bytes)))
			return false;
		parts = cl.parts;
	}
	return true;
}

static bool closing_held(struct core *c, const struct hash *order, uint16_t giver)
{
	struct view v;

	return store_closing_get(c->t, order, giver, PART_WAIVED, &v) == ERR_OK || closing_there(c, order, giver, true);
}

/* Each order of a chain is one that somebody gives queues up under; what was given up on the way is closed too, so that nobody
 * waits for it for ever. */
static void closings_of(struct core *c, const struct chain *ch)
{
	for (const struct order_known *o = ch->now; o; o = o->before)
		if (gives_up(o, c->self) && !closing_there(c, &o->id, c->self, false))
			closing_write(c, o);
}

/* Who lost its journal does not know yet what it did, nor which closings it wrote: both come back with its own streams. */
void takeover_finish(struct core *c)
{
	if (!c->takeover.closings || c->recovering)
		return;
	c->takeover.closings = false;
	c->takeover.touched = true; /* looked at again when the batch fails */
	for (size_t i = 0; i < c->takeover.n_chains; i++)
		closings_of(c, &c->takeover.chains[i]);
}

static bool left_out(const struct order_known *now, const struct order_known *upto, uint16_t site)
{
	for (const struct order_known *o = now; o; o = o == upto ? NULL : o->before)
		for (size_t i = 0; i < o->order.n_without; i++)
			if (o->order.without[i] == site)
				return true;
	return false;
}

typedef void (*missing_fn)(struct core *c, const struct order_known *o, uint16_t giver, void *arg);

/* Calls fn for each site that gave something up under o, an order of this chain, and whose closing is still missing. */
static bool missing_under(struct core *c, const struct chain *ch, const struct order_known *o, missing_fn fn, void *arg)
{
	bool missing = false;

	for (size_t i = 0; away(o->before) && i < o->before->order.n_assign; i++) {
		uint16_t giver = o->before->order.assign[i].to;
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again = again || o->before->order.assign[k].to == giver;
		if (again || giver == ch->site || site_revoked(c, giver) || left_out(ch->now, o, giver) || closing_held(c, &o->id, giver))
			continue;
		missing = true;
		if (fn)
			fn(c, o, giver, arg);
	}
	return missing;
}

/* Everything that came home with the order in force is known here: calls fn for each (order, giver) whose closing is still missing,
 * and says whether there was any. Also under the orders before a handback: one that was never whole does not end the wait when
 * another order follows it. */
static bool closings_missing(struct core *c, const struct chain *ch, missing_fn fn, void *arg)
{
	bool missing = false;

	for (const struct order_known *o = ch->now; o && o != ch->whole; o = o->before)
		missing = missing_under(c, ch, o, fn, arg) || missing;
	return missing;
}

/* Since which order of the chain is all that was away before known here? */
static void whole_look(struct core *c, struct chain *ch)
{
	const struct order_known *whole = NULL;

	for (const struct order_known *o = ch->now; o && o != ch->whole; o = o->before) {
		whole = whole || away(o) ? whole : o;
		whole = missing_under(c, ch, o, NULL, NULL) ? NULL : whole;
	}
	ch->whole = whole ? whole : ch->whole;
}

struct missing_text { char *out; size_t size, at; };

static void missing_add(struct core *c, const struct order_known *o, uint16_t giver, void *arg)
{
	struct missing_text *m = arg;
	char name[LIMIT_NAME_BYTES + 1];

	(void)o;
	if (m->at < m->size)
		m->at += (size_t)snprintf(m->out + m->at, m->size - m->at, "%s%s", m->at ? ", " : "", site_name(c, giver, name));
}

/* Has a desk of giver anything out, of what its closing of that order says? */
static bool leases_out(struct core *c, const struct chain *ch, const struct hash *order, uint16_t giver)
{
	struct buf events = BUF_EMPTY, ids = BUF_EMPTY;
	bool out = false;

	for (uint16_t part = 0, parts = 1; part < parts; part++) {
		struct closing cl;
		struct view v;

		if (store_closing_get(c->t, order, giver, part, &v) || closing_decode(v, &cl))
			break;
		buf_add(&ids, cl.lease_ids);
		parts = cl.parts;
	}
	for (size_t at = 0; !out && at + MSGID_BYTES <= ids.len; at += MSGID_BYTES) {
		struct msgid id;
		struct msg_row row;
		uint8_t which;

		memcpy(id.b, ids.ptr + at, MSGID_BYTES);
		out = msg_load(c, &id, ch->site, &row, &events) == ERR_OK && row.arrival && leased_at(c, buf_view(&events)) == giver &&
		      !events_ended(c, buf_view(&events), row.originator, ch->site, ch->exercise, &which);
	}
	buf_release(&events);
	buf_release(&ids);
	return out;
}

/* What giver would still say of all that came home since the site was last all at home, and whole, is not waited for: its closings, and
 * the end of what its desks have out, which they may still have when its closing is here. */
static bool waive_home(struct core *c, const struct chain *ch, uint16_t giver)
{
	bool any = false;
	struct view v;

	for (const struct order_known *o = ch->now; o; o = o == ch->whole ? NULL : o->before) {
		if (!away(o->before) || giver == ch->site || !order_names(&o->before->order, giver) || store_closing_get(c->t, &o->id, giver, PART_WAIVED, &v) == ERR_OK)
			continue;
		if (closing_there(c, &o->id, giver, true) && !leases_out(c, ch, &o->id, giver))
			continue; /* nothing of it is waited for */
		store_closing_put(c->t, &o->id, giver, PART_WAIVED, view_str("waived"));
		any = true;
	}
	return any;
}

/* ---- gates ------------------------------------------------------------------------------------------------------ */

static bool reports_on(const struct core *c, const struct stream *s, const struct chain *ch)
{
	const struct stream_name *n = &s->row.name;

	return n->addressee == ch->site && n->exercise == ch->exercise && (n->originator == ch->site || may_serve(c, n->originator, ch->site, ch->exercise));
}

/* A successor serves when it holds the reports that the other custodians in reach have shown, so that it hands out nothing
 * that was read already. *behind gets the one that it waits for. */
static bool caught_up(struct core *c, const struct chain *ch, uint16_t *behind)
{
	uint16_t sites[LIMIT_CUSTODIANS], before[LIMIT_CUSTODIANS];
	size_t n = custodians(c, ch->site, ch->exercise, sites), n_before = roster_custodians(c->roster, ch->site, before);
	bool standby = false;

	/* A report whose key has not come says nothing yet. */
	for (size_t k = 0; k < c->n_streams; k++) {
		*behind = c->streams[k]->row.name.originator;
		if (reports_on(c, c->streams[k], ch) && (grants_wanted(c, c->streams[k]) || redo_waits(c, c->streams[k])))
			return false;
	}
	for (size_t i = 0; i < n_before; i++)
		standby = standby || before[i] == c->self;
	for (size_t i = 0; i < n; i++) {
		struct peer *p = sites[i] == c->self ? NULL : peer_find(c, sites[i]);

		if (!p || !peer_up(c, p))
			continue;
		*behind = sites[i];
		if (standby ? !p->digest_heard : !p->digest_since_order) {
			bool same = state_complete(c, p);

			if (!standby && same && !p->digest_out && p->lane[LANE_URGENT].up)
				replicate_offer(c, p);
			return false;
		}
		for (size_t k = 0; k < c->n_streams; k++) {
			struct flow *f = reports_on(c, c->streams[k], ch) ? flow_of(c->streams[k], p) : NULL;

			if (f && f->ahead > c->streams[k]->row.held)
				return false;
		}
	}
	return true;
}

static void queues_of(struct core *c, uint16_t site)
{
	for (size_t i = 0; i < c->n_queues; i++)
		if (c->queues[i].row.site == site)
			deliver_anew(c, &c->queues[i]);
}

static void gate_alarm(struct core *c, const struct chain *ch, bool still)
{
	char site[LIMIT_NAME_BYTES + 1], what[200];

	site_name(c, ch->site, site);
	if (still && takeover_waits(c, ch, what, sizeof what))
		alarm_raise(c, alarm_kind(ch->exercise, "takeover"), site, "wait until it is reached, or waive one that is gone with `estafette release SITE`",
			    "%sthe queues of %s are not all handed out here yet: %s", ch->exercise ? "exercise: " : "", site, what);
	else
		alarm_clear(c, alarm_kind(ch->exercise, "takeover"), site);
}

/* Only a wait for that site is waived: what else is waited for says so itself. */
static bool waive_chain(struct core *c, struct chain *ch, uint16_t giver)
{
	uint16_t behind = 0;

	if (ch->site == c->self)
		return waive_home(c, ch, giver);
	if (!waits(c, ch) || caught_up(c, ch, &behind) || behind != giver)
		return false;
	ch->ready = true;
	told_begin(c, ch);
	return true;
}

bool takeover_waive(struct core *c, uint16_t giver, const char *by)
{
	bool any = false;
	char name[LIMIT_NAME_BYTES + 1], site[LIMIT_NAME_BYTES + 1];

	for (size_t i = 0; i < c->takeover.n_chains; i++)
		if (waive_chain(c, &c->takeover.chains[i], giver)) {
			any = true;
			effect_log(c->out, 4, "takeover of %s: the wait for %s was waived by %s", site_name(c, c->takeover.chains[i].site, site), site_name(c, giver, name), by);
		}
	c->takeover.at = any ? c->now : c->takeover.at;
	c->takeover.dirty = c->takeover.dirty || any;
	c->takeover.touched = c->takeover.touched || any;
	return any;
}

bool takeover_grace(struct core *c, uint16_t site, bool exercise)
{
	uint16_t sites[LIMIT_CUSTODIANS];
	size_t n = custodians(c, site, exercise, sites), others = 0;

	if (!mono_before(c->now, c->grace_until))
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct peer *p = sites[i] == c->self ? NULL : peer_find(c, sites[i]);

		others += p != NULL;
		if (p && peer_reachable(p) && state_complete(c, p))
			return false;
	}
	return others > 0;
}

static void gate_look(struct core *c, struct chain *ch)
{
	char name[LIMIT_NAME_BYTES + 1];
	bool home = ch->site == c->self, go;
	struct mono late = mono_add(ch->since, CATCH_UP_US), tell = mono_add(ch->since, WAIT_ALARM_US);
	uint16_t behind = 0;

	if (takeover_grace(c, ch->site, ch->exercise)) {
		c->takeover.at = mono_min(c->takeover.at, c->grace_until);
		return;
	}
	if (home) {
		whole_look(c, ch);
		go = !closings_missing(c, ch, NULL, NULL);
	} else {
		go = caught_up(c, ch, &behind) || !mono_before(c->now, late);
	}
	if (go) {
		ch->open = ch->ready = c->takeover.touched = true;
		told_begin(c, ch);
		queues_of(c, ch->site);
		gate_alarm(c, ch, false);
		effect_log(c->out, 5, "%s: what %s here %sis handed out", site_name(c, ch->site, name), home ? "is served" : "was given to this site",
			   ch->exercise ? "in an exercise " : "");
		return;
	}
	if (!mono_before(c->now, tell))
		gate_alarm(c, ch, true);
	else
		c->takeover.at = mono_min(c->takeover.at, tell);
	if (!home)
		c->takeover.at = mono_min(c->takeover.at, late);
}

bool takeover_waits(struct core *c, const struct chain *ch, char *out, size_t size)
{
	char name[LIMIT_NAME_BYTES + 1];
	uint16_t behind = 0;

	if (!waits(c, ch))
		return false;
	if (ch->site == c->self) {
		struct missing_text m = {.out = out, .size = size};

		m.at = (size_t)snprintf(out, size, "waits for what was done at ");
		size_t begun = m.at;

		m.at = 0;
		m.out = out + begun;
		m.size = size - begun;
		return closings_missing(c, ch, missing_add, &m);
	}
	if (caught_up(c, ch, &behind))
		return false;
	snprintf(out, size, "waits for reports that %s holds", site_name(c, behind, name));
	return true;
}

/* ---- what changes with an order ----------------------------------------------------------------------------------------- */

void takeover_changed(struct core *c, struct chain *ch, struct order_known *before)
{
	/* About no queue: minimize_look sees it. */
	if (ch->site == ORDER_NETWORK)
		return;
	uint16_t old[LIMIT_CUSTODIANS], new[LIMIT_CUSTODIANS];
	size_t n_old = custodians_under(c, ch->site, before ? &before->order : NULL, old);
	size_t n_new = custodians_under(c, ch->site, ch->now ? &ch->now->order : NULL, new);
	char site[LIMIT_NAME_BYTES + 1], hex[17] = "none";

	if (n_old != n_new || memcmp(old, new, n_new * sizeof *new) != 0)
		c->takeover.moved = true;
	if (!roster_has(c->roster, ch->site))
		deliver_orphans(c, ch->site);
	c->takeover.dirty = true;
	c->takeover.at = ch->since = c->now;
	ch->open = ch->ready = ch->tell.going = false;
	ch->whole = NULL;
	c->takeover.closings = true;
	if (ch->now)
		hex_format(ch->now->id.b, 8, hex);
	effect_log(c->out, 5, "%s: order %s is in force for its %squeues", site_name(c, ch->site, site), hex, ch->exercise ? "exercise " : "");
}

/* Flows of every stream to whom it concerns now. What is on the way is sent again; only a digest tells what newcomers hold. */
void takeover_moved(struct core *c)
{
	if (!c->takeover.moved)
		return;
	for (size_t i = 0; i < c->n_peers; i++)
		for (uint8_t lane = 0; lane < LANE_COUNT; lane++)
			replicate_rewind(c, c->peers[i], lane);
	peers_touch_all(c);
	for (size_t i = 0; i < c->n_streams; i++)
		stream_flows_build(c, c->streams[i]);
	vectors_orders(c);
	for (size_t i = 0; i < c->n_peers; i++) {
		struct peer *p = c->peers[i];

		p->digest_since_order = false;
		if (!p->gone && p->lane[LANE_URGENT].dialled)
			replicate_offer(c, p);
	}
	c->takeover.moved = false;
}

/* Entries that were held for another reason (as their originator, or before) are placed now that this site is a custodian. */
static void adopt(struct core *c, const struct chain *ch)
{
	uint16_t sites[LIMIT_CUSTODIANS];
	size_t n = roster_custodians(c->roster, ch->site, sites);

	for (size_t i = 0; i < n; i++)
		if (sites[i] == c->self)
			return; /* it was a standby all the time */
	if (ch->site == c->self || !ch->now || !order_names(&ch->now->order, c->self))
		return;
	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];

		if (s->row.name.addressee == ch->site && s->row.name.exercise == ch->exercise && s->row.held)
			redo_add(c, s, 1, s->row.held);
	}
}

static void served_look(struct core *c)
{
	for (size_t i = 0; i < c->n_queues; i++) {
		struct queue *q = &c->queues[i];
		bool home = q->row.site == c->self, served = home || queue_serving(c, q, false);

		if (q->served[0] && !served)
			alarms_unserved(c, q);
		q->served[0] = served;
		q->served[1] = home || queue_serving(c, q, true);
		bool changed = q->changed || q->served[0] || q->served[1];

		deliver_anew(c, q);
		q->changed = changed;
	}
	for (size_t i = 0; i < c->takeover.n_chains; i++)
		if (c->takeover.chains[i].since.us == c->now.us)
			adopt(c, &c->takeover.chains[i]);
	waits_held(c); /* a successor holds for its site */
	c->takeover.dirty = false;
}

void takeover_look(struct core *c)
{
	bool due = !mono_before(c->now, c->takeover.at);

	takeover_moved(c);
	if (c->takeover.dirty)
		served_look(c);
	if (!due && !c->restless)
		return;
	if (due)
		c->takeover.at = MONO_NEVER;
	for (size_t i = 0; i < c->takeover.n_chains; i++)
		if (waits(c, &c->takeover.chains[i]))
			gate_look(c, &c->takeover.chains[i]);
}

void takeover_peer(struct core *c, uint16_t site)
{
	(void)site;
	for (size_t i = 0; i < c->takeover.n_chains; i++)
		if (is_ours(c, &c->takeover.chains[i])) {
			queues_of(c, c->takeover.chains[i].site);
			c->takeover.at = c->now;
		}
}

/* ---- one message ------------------------------------------------------------------------------------------------------------ */

/* Was it at home under every order since it was last all at home, and whole? */
static bool stayed_home(const struct chain *ch, struct view queue, uint16_t area, const struct msgid *id)
{
	for (const struct order_known *o = ch->now; o && o != ch->whole; o = o->before)
		if (away(o) && order_owner(&o->order, ch->site, queue, area, id) != ch->site)
			return false;
	return true;
}

/* The site that has it out at a desk, as far as is known here; 0 for none. */
uint16_t leased_at(const struct core *c, struct view events)
{
	struct msg_event e, other;
	struct view rest = events;

	while (events_next(&rest, &e)) {
		bool back = false;

		if (e.event != EVENT_HANDED_OUT || e.source == c->self)
			continue;
		for (struct view all = events; !back && events_next(&all, &other);)
			back = other.source == e.source && (other.event == EVENT_RETURNED || report_event_ends(other.event) || other.event == EVENT_HANDED_OUT) &&
			       (other.when.us > e.when.us || (other.when.us == e.when.us && other.event == EVENT_RETURNED));
		if (!back)
			return e.source;
	}
	return 0;
}

static bool waived(struct core *c, const struct chain *ch, uint16_t giver)
{
	struct view v;

	for (const struct order_known *o = ch->now; o; o = o == ch->whole ? NULL : o->before)
		if (left_out(ch->now, o, giver) || store_closing_get(c->t, &o->id, giver, PART_WAIVED, &v) == ERR_OK)
			return true;
	return site_revoked(c, giver);
}

bool takeover_shut(const struct core *c, const struct queue *q, bool exercise)
{
	const struct chain *ch = c->takeover.n_chains ? chain_find(c, q->row.site, exercise) : NULL;

	if (!ch || queue_serving(c, q, exercise) != SERVES_ALL)
		return false;
	if (q->row.site != c->self)
		return !ch->ready;
	/* What was at home all the time is handed out; of a queue that was given away whole, that is nothing. */
	for (const struct order_known *o = ch->open ? NULL : ch->now; o && o != ch->whole; o = o->before)
		if (away(o) && !order_may_own(&o->order, ch->site, view_str(q->row.name), ch->site))
			return true;
	return false;
}

enum may takeover_may(struct core *c, const struct queue *q, bool exercise, uint16_t area, const struct msgid *id, struct view events)
{
	const struct chain *ch = c->takeover.n_chains ? chain_find(c, q->row.site, exercise) : NULL;
	struct view name = view_str(q->row.name);
	bool home = q->row.site == c->self;

	uint16_t owner = owner_of(c, q->row.site, exercise, name, area, id);

	/* What a site lent it has to give only as long as no order gives it to another; who had it by one may have it in hand yet. */
	if (owner != c->self && owner == q->row.site && lent_here(c, events, owner))
		return leased_at(c, events) ? MAY_NOT : MAY;
	if (owner != c->self)
		return NOT_MINE;
	if (!ch)
		return MAY;
	if (home ? !ch->open && !stayed_home(ch, name, area, id) : !ch->ready)
		return MAY_NOT;
	uint16_t at = leased_at(c, events);

	if (!at)
		return MAY;
	/* What a successor had out when the queues went home ends there, or a person waives that site. A giver that a relocation took
	 * the queues from is not waited for once its link is gone. */
	const struct peer *p = peer_find(c, at);
	bool wait = home ? !waived(c, ch, at) : p && peer_up(c, p);

	return wait ? MAY_NOT : MAY;
}
