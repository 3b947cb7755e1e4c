/* oracle_order.c - whose a message is: the orders that each journal holds, and what was lent.
 *
 * Which order is in force for a site follows from the orders and endorsements that its own journal holds (proto/order.h); what its
 * node makes of them is not asked. */
#include "sim/oracle_int.h"

/* The network was whole for so long: whoever wants to know something knows it. */
#define WELL_US (10 * US_PER_S)
#define WELL_LONG_US (600 * US_PER_S)
/* Of real daemons a journal may be seen before what was answered under the order before. */
#define FRESH_US (3 * US_PER_S)

static struct oorder *oorder_find(const struct oracle *o, const struct hash *id)
{
	for (size_t i = 0; i < o->n_orders; i++)
		if (hash_equal(&o->orders[i]->id, id))
			return o->orders[i];
	return NULL;
}

static struct oorder *oorder_get(struct oracle *o, uint8_t kind, struct view blob)
{
	size_t one = 0;
	struct oorder *k = oracle_room(NULL, 1, &one, sizeof *k), *have;

	k->endorses = kind == STATE_KIND_ENDORSEMENT;
	buf_add(&k->blob, blob);
	if (!buf_ok(&k->blob) || (k->endorses ? endorsement_decode(buf_view(&k->blob), &k->endorsement, &k->id) : order_decode(buf_view(&k->blob), &k->order, &k->id))) {
		buf_release(&k->blob);
		free(k);
		return NULL;
	}
	have = oorder_find(o, &k->id);
	if (have) {
		buf_release(&k->blob);
		free(k);
		return have;
	}
	o->orders = oracle_room(o->orders, o->n_orders + 1, &o->cap_orders, sizeof(struct oorder *));
	o->orders[o->n_orders++] = k;
	return k;
}

void orders_free(struct oracle *o)
{
	for (size_t i = 0; i < o->n_orders; i++) {
		buf_release(&o->orders[i]->blob);
		free(o->orders[i]);
	}
	free(o->orders);
	free(o->views);
}

/* ---- in force, as one journal has it --------------------------------------------------------------------------- */

static struct oview *view_find(const struct oracle *o, uint16_t viewer, uint16_t site, bool exercise)
{
	for (size_t i = 0; i < o->n_views; i++)
		if (o->views[i].viewer == viewer && o->views[i].site == site && o->views[i].exercise == exercise)
			return &o->views[i];
	return NULL;
}

static struct oview *view_get(struct oracle *o, uint16_t viewer, uint16_t site, bool exercise)
{
	struct oview *v = view_find(o, viewer, site, exercise);

	if (v)
		return v;
	o->views = oracle_room(o->views, o->n_views + 1, &o->cap_views, sizeof *o->views);
	o->views[o->n_views] = (struct oview){.viewer = viewer, .site = site, .exercise = exercise};
	return &o->views[o->n_views++];
}

struct known_at { const struct oracle *o; uint16_t viewer; };

static const struct order *find_known(const void *arg, const struct hash *id)
{
	const struct known_at *k = arg;
	const struct oorder *found = oorder_find(k->o, id);

	return found && !found->endorses && found->has[k->viewer] ? &found->order : NULL;
}

static enum err oracle_check(const struct oracle *o, uint16_t viewer, const struct order *order, struct hash *at)
{
	struct known_at known = {o, viewer};
	struct errmsg m;
	enum err check = order_check(o->roster, order, &m), e = check == ERR_REFUSED ? ERR_OK : order_check_at(o->roster, order, find_known, &known, at, &m);

	return e ? e : check;
}

static void view_settle(struct oracle *o, struct oview *v)
{
	size_t cap = 0, cap_e = 0, n = 0, n_e = 0;
	struct order_case *cases = oracle_room(NULL, o->n_orders + 1, &cap, sizeof *cases), *now;
	const struct endorsement **all = oracle_room(NULL, o->n_orders + 1, &cap_e, sizeof *all);

	for (size_t i = 0; i < o->n_orders; i++)
		if (o->orders[i]->endorses && o->orders[i]->has[v->viewer])
			all[n_e++] = &o->orders[i]->endorsement;
	for (size_t i = 0; i < o->n_orders; i++) {
		const struct oorder *k = o->orders[i];

		if (k->endorses || !k->has[v->viewer] || k->order.site != v->site || (k->order.exercise[0] != '\0') != v->exercise)
			continue;
		cases[n++] = (struct order_case){.order = &k->order, .id = k->id, .n_endorsements = n_e, .endorsements = all};
		cases[n - 1].check = oracle_check(o, v->viewer, &k->order, &cases[n - 1].at);
	}
	for (size_t i = 0; i < n; i++)
		cases[i].n_endorsements = n_e;
	now = order_settle(o->roster, NULL, cases, n);
	const struct oorder *k = now ? oorder_find(o, &now->id) : NULL;

	for (size_t i = 0; i < n; i++)
		oorder_find(o, &cases[i].id)->counts[v->viewer] = cases[i].state == ORDER_IN_FORCE || cases[i].state == ORDER_SUPERSEDED;
	if (k != v->now) {
		if (v->since != o->now)
			v->before = v->now;
		v->now = k;
		v->since = o->now;
		o->orders_changed++;
	}
	free(cases);
	free(all);
}

static void settle_viewer(struct oracle *o, uint16_t viewer)
{
	for (size_t i = 0; i < o->n_views; i++)
		if (o->views[i].viewer == viewer)
			view_settle(o, &o->views[i]);
}

void oracle_order(struct oracle *o, uint16_t site, uint8_t kind, struct view blob)
{
	struct oorder *k = oorder_get(o, kind, blob);

	if (!k || k->has[site])
		return;
	k->has[site] = true;
	if (!k->endorses) {
		if (!k->told && !order_of_network(k->order.kind)) {
			k->told = true;
			oracle_fault(o, k->order.kind == ORDER_HANDBACK ? FAULT_HANDBACK : FAULT_RELOCATE);
		}
		view_get(o, site, k->order.site, k->order.exercise[0] != '\0');
	}
	settle_viewer(o, site);
}

void orders_resettle(struct oracle *o)
{
	for (size_t i = 0; i < o->n_views; i++)
		view_settle(o, &o->views[i]);
}

void orders_forget(struct oracle *o, uint16_t site)
{
	for (size_t i = 0; i < o->n_orders; i++)
		o->orders[i]->has[site] = false;
	settle_viewer(o, site);
}

const struct order *order_seen(const struct oracle *o, uint16_t viewer, uint16_t site, bool exercise)
{
	const struct oview *v = o->n_views ? view_find(o, viewer, site, exercise) : NULL;

	return v && v->now ? &v->now->order : NULL;
}

bool order_changes(const struct oracle *o, uint16_t viewer, uint16_t site, bool exercise)
{
	const struct oview *v = o->n_views ? view_find(o, viewer, site, exercise) : NULL;

	return v && v->since == o->now;
}

const struct order *order_before(const struct oracle *o, uint16_t viewer, uint16_t site, bool exercise)
{
	const struct oview *v = o->n_views ? view_find(o, viewer, site, exercise) : NULL;
	const struct oorder *k = v && v->since == o->now ? v->before : v ? v->now : NULL;

	return k ? &k->order : NULL;
}

bool oracle_serves(const struct oracle *o, uint16_t viewer, uint16_t site, const char *queue, bool exercise)
{
	const struct order *k = order_seen(o, viewer, site, exercise);

	if (!k)
		return viewer == site;
	if (queue[0])
		return order_may_own(k, site, view_str(queue), viewer);
	return viewer == site ? order_leaves_home(k) : order_names(k, viewer);
}

bool oracle_minimized(struct oracle *o, uint16_t site, struct wall wall, uint8_t precedence)
{
	const struct order *k = o->n_views ? order_seen(o, site, ORDER_NETWORK, false) : NULL;

	if (!k || k->kind != ORDER_MINIMIZE || wall.us >= k->until.us)
		return false;
	o->v.checks[PROMISE_MINIMIZE]++;
	return precedence >= k->precedence;
}

void oracle_sent_on(struct oracle *o, uint16_t site, uint16_t to, const struct msgid *id)
{
	char text[MSGID_TEXT_BYTES];

	msgid_format(id, text);
	oracle_broken(o, PROMISE_MINIMIZE, "%s sent %s on to %s, which MINIMIZE holds back", osite_name(o, site), text, osite_name(o, to));
}

void oracle_looked(struct oracle *o, enum promise p)
{
	o->v.checks[p]++;
}

uint64_t oracle_orders_changed(const struct oracle *o)
{
	return o->orders_changed;
}

size_t oracle_served_by(const struct oracle *o, uint16_t site, uint16_t out[LIMIT_SUCCESSORS])
{
	size_t n = 0;

	const struct order *k = order_seen(o, site, site, false);

	for (size_t i = 0; !k && i < o->n_views; i++)
		if (o->views[i].site == site && !o->views[i].exercise && o->views[i].now && !oracle_up(o, site))
			k = &o->views[i].now->order;
	for (size_t i = 0; k && i < k->n_assign; i++) {
		bool there = k->assign[i].to == site;

		for (size_t j = 0; j < n; j++)
			there = there || out[j] == k->assign[i].to;
		if (!there && n < LIMIT_SUCCESSORS)
			out[n++] = k->assign[i].to;
	}
	return n;
}

/* ---- whose a message is ------------------------------------------------------------------------------------------ */

bool order_moved(const struct oracle *o, const struct item *m)
{
	for (size_t i = 0; i < o->n_views; i++)
		if (o->views[i].site == m->addressee && o->views[i].exercise == (m->exercise != 0))
			return true;
	return m->lent_to != 0;
}

bool order_gives(const struct oracle *o, const struct item *m, const char *queue, uint16_t site)
{
	const struct order *k = order_seen(o, site, m->addressee, m->exercise != 0);

	return m->lent_to == site || order_owner(k, m->addressee, view_str(queue), m->area, &m->id) == site;
}

bool held_by_successor(const struct oracle *o, const struct item *m)
{
	for (size_t i = 0; m->stream != NONE && i < o->n_orders; i++) {
		const struct order *k = &o->orders[i]->order;

		if (o->orders[i]->endorses || k->site != m->addressee || (k->exercise[0] != '\0') != (m->exercise != 0))
			continue;
		for (size_t a = 0; a < k->n_assign; a++)
			if (ostream_held(&o->streams[m->stream], k->assign[a].to) >= m->number)
				return true;
	}
	return false;
}

size_t successors_of(const struct oracle *o, uint16_t site, bool exercise, uint16_t out[LIMIT_ASSIGNMENTS])
{
	const struct order *k = order_seen(o, site, site, exercise);
	size_t n = 0;

	for (size_t i = 0; k && i < k->n_assign; i++)
		if (order_seen(o, k->assign[i].to, site, exercise) == k)
			out[n++] = k->assign[i].to;
	return n;
}

void oracle_lent(struct oracle *o, uint16_t site, const struct msgid *id, uint16_t to)
{
	uint32_t i = item_find(o, id, site);

	if (i == NONE || o->items[i].lent_to == to)
		return;
	o->items[i].lent_to = to;
	oracle_rare(o, RARE_LENT);
}

/* ---- what one site did, and another should know ---------------------------------------------------------------------- */

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* Since when every site is up and well, and every link that there is; INT64_MAX: it is not so. */
static int64_t well_since(const struct oracle *o)
{
	int64_t since = 0;

	for (size_t i = 0; i < o->n_sites; i++) {
		const struct osite *s = &o->sites[i];

		if (!s->up || s->troubled || s->flipped || s->replaced)
			return INT64_MAX;
		since = later(since, later(s->up_since, s->clear_since));
		for (size_t k = i + 1; k < o->n_sites; k++) {
			const struct way *w = &o->ways[i * o->cap_ways + k];

			if (!w->up)
				return INT64_MAX;
			since = later(since, w->since);
		}
	}
	return since;
}

bool order_settled(const struct oracle *o, const struct item *m, uint16_t site)
{
	const struct oview *v = view_find(o, site, m->addressee, m->exercise != 0);
	int64_t since = well_since(o);

	return since != INT64_MAX && o->now - later(since, v ? v->since : 0) > WELL_LONG_US;
}

bool order_fresh(const struct oracle *o, const struct item *m, uint16_t site)
{
	const struct oview *v = view_find(o, site, m->addressee, m->exercise != 0);

	return v && o->now - v->since < FRESH_US;
}

static bool is_standby(const struct oracle *o, uint16_t site, uint16_t addressee)
{
	uint16_t list[LIMIT_CUSTODIANS];
	size_t n = roster_custodians(o->roster, addressee, list);

	for (size_t i = 0; i < n; i++)
		if (list[i] == site)
			return true;
	return false;
}

void oracle_came_back(struct oracle *o, uint16_t site, uint16_t addressee, const struct msgid *id)
{
	uint32_t i = item_find(o, id, addressee);

	if (i != NONE)
		o->items[i].back_at = site;
}

/* Home again: it waited for every site that served its queues under an order of its chain, and for all that these reported. */
static bool came_home_after(struct oracle *o, const struct item *m, uint16_t site)
{
	const struct oview *v = view_find(o, site, m->addressee, m->exercise != 0);
	const struct oorder *k = v ? v->now : NULL;

	if (site != m->addressee || osite_get(o, site)->replaced || osite_get(o, m->ended_by)->replaced || !m->ended_order)
		return false;
	if (m->back_at == m->ended_by)
		return false; /* a lease that was over is waited for no more, and a desk may still say that it was read */
	for (size_t i = 0; k && i < o->n_orders; i++, k = oorder_find(o, &k->order.before)) {
		if (k == m->ended_order)
			return true;
		for (size_t w = 0; w < k->order.n_without; w++)
			if (k->order.without[w] == m->ended_by)
				return false;
	}
	return false;
}

/* Another site had it last, or ended it, and this site did not. */
bool had_elsewhere(const struct oracle *o, uint32_t i, uint16_t site)
{
	const struct item *m = &o->items[i];

	return (m->handed_by && m->handed_by != site) ||
	       (m->flags & (ITEM_READ | ITEM_REFUSED) && m->ended_by && m->ended_by != site && !ended_too(o, i, site));
}

/* Another site had it. Is this one right to hand it out too? Where it knows of it, it is not; where it cannot, both handle it, which
 * is found and told later. */
void judge_elsewhere(struct oracle *o, uint32_t i, uint16_t site, bool perhaps_seen)
{
	const struct item *m = &o->items[i];
	bool has_ended = m->flags & (ITEM_READ | ITEM_REFUSED);
	char text[MSGID_TEXT_BYTES];
	int64_t well = well_since(o);

	o->v.checks[PROMISE_TWICE]++;
	if (m->flags & ITEM_FORGIVEN || osite_get(o, site)->flipped || (!has_ended && (perhaps_seen || m->flags & ITEM_RETURNED)))
		return;
	/* A report under an order that is not there yet, or waits for endorsements, waits for it. */
	const struct oorder *under = has_ended ? m->ended_order : m->handed_order;
	bool knows = m->end_stream != NONE && ostream_held(&o->streams[m->end_stream], site) >= m->end_number && (!under || (under->has[site] && under->counts[site]));

	item_text(m, text);
	if (!has_ended) {
		if (knows && is_standby(o, site, m->addressee)) {
			o->v.twice_silent++;
			oracle_broken(o, PROMISE_TWICE, "%s was handed out at %s without the mark that a desk at %s had it, as its journal says", text, osite_name(o, site),
				      osite_name(o, m->handed_by));
		}
		return;
	}
	const char *why = knows && is_standby(o, site, m->addressee) ? "as its journal says"
			  : came_home_after(o, m, site) ? "whose closing it waited for"
			  : well != INT64_MAX && o->now - later(well, m->ended_at) > (is_standby(o, site, m->addressee) ? WELL_US : WELL_LONG_US) ? "to which it was connected all the time"
			  : NULL;

	if (!why) {
		oracle_rare(o, RARE_HANDLED_ELSEWHERE);
		return;
	}
	o->v.twice_silent++;
	oracle_broken(o, PROMISE_TWICE, "%s was handed out at %s after its end at %s, %s", text, osite_name(o, site), osite_name(o, m->ended_by), why);
}

/* Which entry of a site's own streams to the addressee carries its report of the end, or of the last handing out. */
void remember_report(struct oracle *o, struct item *m, uint16_t site)
{
	const struct osite *at = osite_get(o, site);

	m->end_stream = NONE;
	for (size_t k = at->n_own; k-- > 0;) {
		const struct ostream *s = &o->streams[at->own[k]];

		if (s->name.addressee == m->addressee && s->name.precedence == m->precedence && s->name.exercise == m->exercise) {
			m->end_stream = at->own[k];
			m->end_number = (uint32_t)ostream_held(s, site);
			return;
		}
	}
}

void item_served_by(struct oracle *o, uint32_t i, uint16_t site)
{
	struct item *m = &o->items[i];
	const struct oview *v = site != m->addressee ? view_find(o, site, m->addressee, m->exercise != 0) : NULL;

	if (site != m->addressee)
		oracle_rare(o, RARE_SERVED_ELSEWHERE);
	m->handed_by = site;
	m->handed_order = v ? v->now : NULL;
	if (!(m->flags & (ITEM_READ | ITEM_REFUSED)))
		remember_report(o, m, site);
}

/* ---- handled twice ------------------------------------------------------------------------------------------------------ */

void second_end(struct oracle *o, uint32_t i, uint16_t site)
{
	struct item *m = &o->items[i], after = *m;

	for (size_t k = 0; k < o->n_seconds; k++)
		if (o->seconds[k].item == i && o->seconds[k].b == site)
			return;
	remember_report(o, &after, site);
	m->flags |= ITEM_TWICE;
	o->seconds = oracle_room(o->seconds, o->n_seconds + 1, &o->cap_seconds, sizeof *o->seconds);
	o->seconds[o->n_seconds++] = (struct second){.item = i, .a = m->ended_by, .b = site, .stream = {m->end_stream, after.end_stream},
						     .number = {m->end_number, after.end_number}};
}

void oracle_conflict(struct oracle *o, uint16_t site, const struct msgid *id, uint16_t addressee)
{
	uint32_t i = item_find(o, id, addressee);

	if (i == NONE)
		return;
	o->conflicts = oracle_room(o->conflicts, o->n_conflicts + 1, &o->cap_conflicts, sizeof *o->conflicts);
	o->conflicts[o->n_conflicts++] = (struct conflict_seen){i, site};
	o->v.checks[PROMISE_TWICE]++;
	if (!(o->items[i].flags & (ITEM_TWICE | ITEM_FORGIVEN))) {
		char text[MSGID_TEXT_BYTES];

		oracle_broken(o, PROMISE_ANSWER, "%s says that %s was handled at two sites, which is not so", osite_name(o, site), item_text(&o->items[i], text));
	}
}

static bool conflict_shown(const struct oracle *o, uint32_t item, uint16_t site)
{
	for (size_t k = 0; k < o->n_conflicts; k++)
		if (o->conflicts[k].item == item && o->conflicts[k].site == site)
			return true;
	return false;
}

static bool report_left(const struct oracle *o, uint32_t stream, uint32_t number)
{
	return stream != NONE && ostream_most(&o->streams[stream]) >= number;
}

void judge_seconds(struct oracle *o)
{
	for (size_t k = 0; k < o->n_seconds; k++) {
		const struct second *s = &o->seconds[k];
		const struct item *m = &o->items[s->item];
		uint16_t who[] = {s->a, s->b, m->addressee, o->streams[m->stream].name.originator};
		bool lost = osite_get(o, s->a)->replaced || osite_get(o, s->b)->replaced;
		char text[MSGID_TEXT_BYTES];
		size_t silent = 0;

		if (!report_left(o, s->stream[0], s->number[0]) || !report_left(o, s->stream[1], s->number[1]) || o->converged_at < 0)
			continue;
		for (size_t i = 0; i < 4; i++) {
			const struct osite *at = osite_get(o, who[i]);

			if (!at->up || !at->finalled || at->flipped || (i == 3 && lost) || conflict_shown(o, s->item, who[i]))
				continue;
			silent++;
			oracle_broken(o, PROMISE_TWICE, "%s was handled at %s and at %s, and %s does not say so", item_text(m, text), osite_name(o, s->a),
				      osite_name(o, s->b), osite_name(o, who[i]));
		}
		*(silent ? &o->v.twice_silent : &o->v.twice_reported) += 1;
	}
}
