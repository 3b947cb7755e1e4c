/* world_dial.c - the dialling end of each connection: the node's own machine (node/core/dial.h) over the links of the world.
 *
 * A handshake takes its round trips; where nothing passes a try stays silent, and when the bearer comes back meanwhile TCP's next
 * retransmission finds it. A machine that runs without a node refuses at once; one that is paused, or without power, is silent. */
#include "sim/world_int.h"

/* TCP repeats its first packet after a second. */
#define RETRANSMIT_US US_PER_S

static struct caller *caller_of(struct world *w, uint32_t id) { return &w->caller[id]; }

static bool runs(const struct world *w, uint32_t id)
{
	return w->node[conn_from(w, id)].state == SITE_UP && caller_of((struct world *)w, id)->on;
}

/* ---- tries ------------------------------------------------------------------------------------------------------- */

static void try_begin(struct world *w, uint32_t id, enum dial_slot slot, int64_t after_us)
{
	struct caller *k = caller_of(w, id);
	const struct dial_try *t = &k->dial.slot[slot];
	struct link *l = conn_link(w, id);
	size_t bearer = k->bearer[t->bearer];
	const struct node *to = &w->node[conn_to(w, id)];

	if (t->state != DIAL_OPENING || k->under_way[slot] || !link_passes_both(l, bearer))
		return;
	k->shake_us[slot] = link_handshake_us(l, bearer);
	if (to->state == SITE_UP)
		due_at(w, mono_add(w->now, after_us + k->shake_us[slot]), DUE_SHAKEN, id, t->serial, NULL);
	else if (to->state == SITE_DOWN && to->powered)
		due_at(w, mono_add(w->now, after_us + k->shake_us[slot] / 3 + 1), DUE_REFUSED, id, t->serial, NULL);
	else
		return;
	k->under_way[slot] = true;
}

/* The slot of a try that is still being made; -1. */
static int slot_of(const struct caller *k, uint64_t serial)
{
	for (int s = 0; s < DIAL_SLOTS; s++)
		if (k->dial.slot[s].state == DIAL_OPENING && k->dial.slot[s].serial == serial)
			return s;
	return -1;
}

/* ---- doing what the machine says ----------------------------------------------------------------------------------- */

static void plan(struct world *w, uint32_t id)
{
	struct caller *k = caller_of(w, id);
	struct mono at = dial_due(&k->dial);

	if (at.us == MONO_NEVER.us || !mono_before(at, k->tick_at))
		return;
	k->tick_at = at;
	due_at(w, mono_before(at, w->now) ? w->now : at, DUE_DIAL, id, ++k->ticks, NULL);
}

static void slot_moved(struct caller *k, enum dial_slot to, enum dial_slot from)
{
	k->serial[to] = k->serial[from];
	k->under_way[to] = k->under_way[from];
	k->shake_us[to] = k->shake_us[from];
	k->run[to] = k->run[from];
	k->serial[from] = 0;
}

static void slot_sync(struct world *w, uint32_t id, enum dial_slot slot)
{
	struct caller *k = caller_of(w, id);
	const struct dial_try *t = &k->dial.slot[slot];

	if (t->serial == k->serial[slot])
		return;
	if (slot == DIAL_MAIN && conn_of(w, id)->state == CONN_UP)
		conn_end(w, id);
	if (slot == DIAL_MAIN && t->serial && t->serial == k->serial[DIAL_SPARE]) {
		slot_moved(k, DIAL_MAIN, DIAL_SPARE);
		return;
	}
	k->serial[slot] = t->serial;
	k->under_way[slot] = false;
	try_begin(w, id, slot, 0);
}

static void tell_news(struct world *w, uint32_t id)
{
	struct caller *k = caller_of(w, id);
	const struct link *l = conn_link(w, id);
	struct event ev = {.type = EVENT_BEARER};
	size_t i;

	while (dial_news(&k->dial, &i)) {
		const struct bearer_config *b = &l->config.bearers[k->bearer[i]];

		ev.u.bearer = (struct bearer_news){.peer = w->node[conn_to(w, id)].number, .lane = conn_lane(id), .index = (uint8_t)i,
		                                   .count = (uint8_t)k->dial.n, .cost = b->cost, .rate_bps = b->rate_bps, .why = k->dial.bearer[i].why};
		strcpy(ev.u.bearer.name, b->name);
		node_take(w, &w->node[conn_from(w, id)], conn_lane(id) == LANE_BULK ? ROW_BULK : ROW_URGENT, &ev, NULL);
	}
}

static void settle(struct world *w, uint32_t id)
{
	struct caller *k = caller_of(w, id);
	struct dial_try *main = &k->dial.slot[DIAL_MAIN];

	dial_tick(&k->dial, w->now);
	slot_sync(w, id, DIAL_MAIN);
	slot_sync(w, id, DIAL_SPARE);
	tell_news(w, id);
	if (main->state == DIAL_OPEN && conn_of(w, id)->state != CONN_UP)
		conn_up(w, id, k->bearer[main->bearer], k->shake_us[DIAL_MAIN] / 3);
	plan(w, id);
	/* What it opened long ago, in doubt, may have ended with the other end's run. */
	if (main->state == DIAL_OPEN && k->run[DIAL_MAIN] != w->node[conn_to(w, id)].run)
		call_lost(w, id);
}

/* ---- what happens --------------------------------------------------------------------------------------------------- */

void call_begin(struct world *w, uint32_t id)
{
	struct caller *k = caller_of(w, id);
	struct link *l = conn_link(w, id);
	int costs[LIMIT_BEARERS];
	uint32_t serial = k->dial.serial;
	size_t n = 0;

	for (size_t i = 0; i < l->config.n_bearers; i++) {
		size_t at = n;

		if (conn_lane(id) == LANE_BULK && l->config.bearers[i].no_bulk)
			continue;
		for (; at > 0 && costs[at - 1] > l->config.bearers[i].cost; at--) {
			costs[at] = costs[at - 1];
			k->bearer[at] = k->bearer[at - 1];
		}
		costs[at] = l->config.bearers[i].cost;
		k->bearer[at] = (uint8_t)i;
		n++;
	}
	/* a node begins to dial a moment after its start */
	dial_init(&k->dial, costs, n, 0, prng_u64(&l->prng), mono_add(w->now, (int64_t)prng_below(&l->prng, US_PER_S)));
	k->dial.serial = serial;
	k->serial[DIAL_MAIN] = k->serial[DIAL_SPARE] = 0;
	k->tick_at = MONO_NEVER;
	k->on = true;
	settle(w, id);
}

void call_end(struct world *w, uint32_t id)
{
	conn_end(w, id);
	caller_of(w, id)->on = false;
}

void call_look(struct world *w, uint32_t id)
{
	struct caller *k = caller_of(w, id);
	struct link *l = conn_link(w, id);

	if (!runs(w, id))
		return;
	for (int s = 0; s < DIAL_SLOTS; s++)
		if (k->dial.slot[s].state == DIAL_OPENING && !k->under_way[s])
			try_begin(w, id, s, (int64_t)prng_below(&l->prng, RETRANSMIT_US));
	settle(w, id);
}

void call_lost(struct world *w, uint32_t id)
{
	struct caller *k = caller_of(w, id);

	if (!k->on || k->dial.slot[DIAL_MAIN].state != DIAL_OPEN)
		return;
	dial_failed(&k->dial, DIAL_MAIN, WHY_LOST, w->now);
	settle(w, id);
}

void call_silent(struct world *w, uint32_t id)
{
	dial_silent(&caller_of(w, id)->dial, w->now);
	settle(w, id);
}

void call_need(struct world *w, uint32_t id, enum dial_need need)
{
	if (!caller_of(w, id)->on)
		return;
	dial_need(&caller_of(w, id)->dial, need, w->now);
	settle(w, id);
}

void call_retry(struct world *w, uint32_t id)
{
	if (!caller_of(w, id)->on)
		return;
	dial_retry(&caller_of(w, id)->dial, w->now);
	settle(w, id);
}

static void shaken(struct world *w, uint32_t id, uint64_t serial)
{
	struct caller *k = caller_of(w, id);
	int s = slot_of(k, serial);

	if (s < 0)
		return;
	k->under_way[s] = false;
	if (!link_passes_both(conn_link(w, id), k->bearer[k->dial.slot[s].bearer]) || w->node[conn_to(w, id)].state != SITE_UP)
		return; /* it stays silent, until something changes */
	k->run[s] = w->node[conn_to(w, id)].run;
	dial_reached(&k->dial, s, (struct mono){w->now.us - k->shake_us[s] * 2 / 3});
	dial_opened(&k->dial, s, w->now);
	settle(w, id);
}

static void refused(struct world *w, uint32_t id, uint64_t serial)
{
	struct caller *k = caller_of(w, id);
	int s = slot_of(k, serial);

	if (s < 0)
		return;
	dial_failed(&k->dial, s, WHY_NO_ANSWER, w->now);
	settle(w, id);
}

void call_due(struct world *w, const struct due *d)
{
	struct caller *k = caller_of(w, d->who);

	if (!runs(w, d->who)) {
		if (d->kind == DUE_DIAL && d->what == k->ticks)
			k->tick_at = MONO_NEVER; /* one that is paused looks when it goes on */
		else if (d->kind != DUE_DIAL && slot_of(k, d->what) >= 0)
			k->under_way[slot_of(k, d->what)] = false;
		return;
	}
	switch (d->kind) {
	case DUE_SHAKEN: shaken(w, d->who, d->what); break;
	case DUE_REFUSED: refused(w, d->who, d->what); break;
	default:
		if (d->what != k->ticks)
			return;
		k->tick_at = MONO_NEVER;
		settle(w, d->who);
	}
}
