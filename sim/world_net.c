/* world_net.c - connections over links: dialled, stalled, reset, and dialled again; frames on them. */
#include "sim/world_int.h"

size_t conn_from(const struct world *w, uint32_t id)
{
	const struct link *l = &w->link[id / 4];

	return conn_dialler(id) == 0 ? l->config.a : l->config.b;
}

size_t conn_to(const struct world *w, uint32_t id)
{
	const struct link *l = &w->link[id / 4];

	return conn_dialler(id) == 0 ? l->config.b : l->config.a;
}

struct link *net_between(const struct world *w, size_t a, size_t b)
{
	uint16_t l = a < w->n && b < w->n ? w->between[a * w->n + b] : NO_LINK;

	return l == NO_LINK ? NULL : &w->link[l];
}

/* ---- stalls ------------------------------------------------------------------------------------------------- */

static void stall_add(struct world *w, uint32_t id, struct parcel *p)
{
	struct stall *s = &w->stall[2 * id + p->dir];
	struct link *l = conn_link(w, id);

	if (s->bytes > l->bearer[conn_of(w, id)->bearer].queue_bytes) {
		w->counts.frames_dropped++;
		free(p);
		return;
	}
	if (!s->first)
		s->last = &s->first;
	p->next = NULL;
	*s->last = p;
	s->last = &p->next;
	s->bytes += p->len;
}

static void stall_drop(struct world *w, uint32_t id)
{
	for (int dir = 0; dir < 2; dir++) {
		struct stall *s = &w->stall[2 * id + dir];

		while (s->first) {
			struct parcel *p = s->first;

			s->first = p->next;
			w->counts.frames_reset++;
			free(p);
		}
		s->bytes = 0;
	}
}

/* Does what was sent in that direction come out at the other end? */
static bool conn_passes(struct world *w, uint32_t id, int dir)
{
	const struct conn *c = conn_of(w, id);
	size_t to = dir == 0 ? conn_to(w, id) : conn_from(w, id);

	return link_passes(conn_link(w, id), c->bearer, dir == 0 ? conn_dialler(id) : !conn_dialler(id)) && w->node[to].state == SITE_UP;
}

/* A frame has come out at the other end. */
static void hand_over(struct world *w, struct parcel *p)
{
	uint32_t id = p->conn;
	size_t to = p->dir == 0 ? conn_to(w, id) : conn_from(w, id);
	struct event ev = {.type = EVENT_FRAME};
	uint8_t lane = conn_lane(id);

	ev.u.frame.peer = w->node[p->from].number;
	ev.u.frame.lane = lane;
	ev.u.frame.side = p->dir == 0 ? SIDE_ACCEPTED : SIDE_DIALLED;
	ev.u.frame.bytes = view_of(p->bytes, p->len);
	node_take(w, &w->node[to], lane == LANE_BULK ? ROW_BULK : ROW_URGENT, &ev, p);
}

static void stall_flush(struct world *w, uint32_t id)
{
	for (int dir = 0; dir < 2; dir++) {
		struct stall *s = &w->stall[2 * id + dir];

		while (s->first && conn_passes(w, id, dir)) {
			struct parcel *p = s->first;

			s->first = p->next;
			s->bytes -= p->len;
			hand_over(w, p);
		}
	}
}

/* ---- a connection's life ------------------------------------------------------------------------------------------ */

static void tell(struct world *w, uint32_t id, enum event_type type, int64_t round_us)
{
	const struct conn *c = conn_of(w, id);
	size_t from = conn_from(w, id), to = conn_to(w, id);
	struct event ev = {.type = type};
	uint8_t lane = conn_lane(id);
	const char *bearer = conn_link(w, id)->config.bearers[c->bearer].name;

	news(w, type == EVENT_LINK_UP ? NEWS_CONN_UP : NEWS_CONN_DOWN, from, to, lane, bearer);
	if (w->node[from].state == SITE_DOWN)
		return;
	ev.u.link.peer = w->node[to].number;
	ev.u.link.lane = lane;
	ev.u.link.round_us = round_us;
	strcpy(ev.u.link.bearer, bearer);
	node_take(w, &w->node[from], lane == LANE_BULK ? ROW_BULK : ROW_URGENT, &ev, NULL);
}

void conn_end(struct world *w, uint32_t id)
{
	struct conn *c = conn_of(w, id);
	bool was_up = c->state == CONN_UP;

	c->generation++;
	c->state = CONN_DOWN;
	c->stalled_since = MONO_NEVER;
	for (int dir = 0; dir < 2; dir++)
		c->free_at[dir] = c->last_at[dir] = w->now;
	if (!was_up)
		return;
	stall_drop(w, id);
	tell(w, id, EVENT_LINK_DOWN, 0);
}

static void conn_look(struct world *w, uint32_t id);

void conn_up(struct world *w, uint32_t id, uint8_t bearer, int64_t round_us)
{
	struct conn *c = conn_of(w, id);

	c->state = CONN_UP;
	c->bearer = bearer;
	c->stalled_since = MONO_NEVER;
	for (int dir = 0; dir < 2; dir++)
		c->free_at[dir] = c->last_at[dir] = w->now;
	tell(w, id, EVENT_LINK_UP, round_us);
	conn_look(w, id); /* it may have gone silent meanwhile */
}

/* The heartbeat's time is over: was it silent all the while? */
static void check(struct world *w, uint32_t id)
{
	struct conn *c = conn_of(w, id);

	if (c->state != CONN_UP || c->stalled_since.us == MONO_NEVER.us)
		return;
	struct mono end = mono_add(c->stalled_since, w->config.heartbeat_us);

	if (mono_before(w->now, end)) {
		due_at(w, end, DUE_CHECK, id, c->generation, NULL);
		return;
	}
	w->counts.resets++;
	call_lost(w, id);
}

/* Something under the connection changed. */
static void conn_look(struct world *w, uint32_t id)
{
	struct conn *c = conn_of(w, id);

	if (c->state != CONN_UP)
		return;
	bool passes = conn_passes(w, id, 0) && conn_passes(w, id, 1);

	stall_flush(w, id);
	if (passes) {
		c->stalled_since = MONO_NEVER;
	} else if (c->stalled_since.us == MONO_NEVER.us) {
		c->stalled_since = w->now;
		w->counts.stalls++;
		due_at(w, mono_add(w->now, w->config.heartbeat_us), DUE_CHECK, id, c->generation, NULL);
	}
}

static void net_look(struct world *w, uint32_t id)
{
	conn_look(w, id);
	call_look(w, id);
}

void net_due(struct world *w, const struct due *d)
{
	if (d->kind != DUE_CHECK)
		call_due(w, d);
	else if (conn_of(w, d->who)->generation == d->what)
		check(w, d->who);
}

/* ---- what sites do --------------------------------------------------------------------------------------------------- */

void net_send(struct world *w, size_t from, const struct effect *f, struct view bytes, struct mono at)
{
	size_t to = world_site_by_number(w, f->peer);
	struct link *l = net_between(w, from, to);
	bool reset = false, stalled = false;

	w->counts.frames++;
	w->counts.frame_bytes += bytes.len;
	if (!l) {
		w->counts.frames_dropped++;
		return;
	}
	int mine = from == l->config.a ? 0 : 1, dialler = f->side == SIDE_DIALLED ? mine : !mine, dir = dialler == mine ? 0 : 1;
	struct conn *c = &l->conn[dialler][f->lane];
	uint32_t id = conn_id((size_t)(l - w->link), dialler, f->lane);
	struct mono arrives = c->state == CONN_UP ? link_send(l, dialler, f->lane, dir, at, bytes.len, &reset, &stalled) : MONO_NEVER;

	w->counts.stalls += stalled;
	if (reset) {
		w->counts.resets++;
		call_lost(w, id);
	}
	if (arrives.us == MONO_NEVER.us) {
		w->counts.frames_dropped++;
		return;
	}
	struct parcel *p = parcel_new(w, from, bytes);

	p->conn = id;
	p->generation = c->generation;
	p->dir = (uint8_t)dir;
	p->sent_at = at;
	due_at(w, arrives, DUE_PARCEL, (uint32_t)from, 0, p);
}

void net_parcel(struct world *w, struct parcel *p)
{
	const struct node *n = &w->node[p->from];

	/* Its connection is gone, or its sender died before the commit was done after which it would have left. */
	if (conn_of(w, p->conn)->generation != p->generation || (p->sent_at.us > n->died_at.us && p->run != n->run) ||
	    (n->state == SITE_DOWN && p->sent_at.us > n->died_at.us)) {
		w->counts.frames_reset++;
		free(p);
		return;
	}
	if (!conn_passes(w, p->conn, p->dir) || w->stall[2 * p->conn + p->dir].first)
		stall_add(w, p->conn, p);
	else
		hand_over(w, p);
}

/* What a site's core says of a connection that it dials. */
void net_said(struct world *w, size_t from, const struct effect *f)
{
	struct link *l = net_between(w, from, world_site_by_number(w, f->peer));

	if (!l)
		return;
	uint32_t id = conn_id((size_t)(l - w->link), from == l->config.a ? 0 : 1, f->lane);

	if (f->type == EFFECT_LINK_RESET && conn_of(w, id)->state == CONN_UP) {
		w->counts.resets++;
		if (f->side == LINK_SILENT)
			call_silent(w, id);
		else
			call_lost(w, id);
	} else if (f->type == EFFECT_LINK_NEED) {
		call_need(w, id, (enum dial_need)f->side);
	} else if (f->type == EFFECT_LINK_RETRY) {
		call_retry(w, id);
		call_retry(w, id + 1);
	}
}

void net_site_up(struct world *w, size_t site)
{
	struct node *n = &w->node[site];

	for (size_t i = 0; i < n->n_links; i++)
		for (uint32_t k = 0; k < 4; k++) {
			uint32_t id = 4u * n->links[i] + k;

			/* What peers still believe in is refused by the new process. */
			if (conn_from(w, id) == site)
				call_begin(w, id);
			else if (conn_of(w, id)->state == CONN_UP)
				call_lost(w, id);
			else
				call_look(w, id);
		}
}

void net_site_down(struct world *w, size_t site, bool power)
{
	struct node *n = &w->node[site];

	for (size_t i = 0; i < n->n_links; i++)
		for (uint32_t k = 0; k < 4; k++) {
			uint32_t id = 4u * n->links[i] + k;

			if (conn_from(w, id) == site)
				call_end(w, id);
			else if (!power && conn_of(w, id)->state == CONN_UP)
				call_lost(w, id);
			else
				net_look(w, id); /* without power nobody told the other end */
		}
}

void net_site_look(struct world *w, size_t site)
{
	struct node *n = &w->node[site];

	for (size_t i = 0; i < n->n_links; i++)
		net_link_changed(w, n->links[i]);
}

/* ---- links changed ----------------------------------------------------------------------------------------------------- */

void net_link_changed(struct world *w, size_t link)
{
	if (w->config.body) {
		w->config.body->link_changed(w->config.body->arg, link);
		return;
	}
	for (uint32_t k = 0; k < 4; k++)
		net_look(w, 4u * (uint32_t)link + k);
}

void net_schedule(struct world *w, size_t link, size_t bearer)
{
	struct link *l = &w->link[link];
	bool was = l->bearer[bearer].off_schedule;

	if (w->healed) {
		l->bearer[bearer].off_schedule = false;
	} else {
		struct mono next = link_schedule(l, bearer, w->now);

		if (next.us != MONO_NEVER.us)
			due_at(w, next, DUE_SCHEDULE, (uint32_t)link, bearer, NULL);
	}
	if (was == l->bearer[bearer].off_schedule)
		return;
	news(w, was ? NEWS_BEARER_BACK : NEWS_BEARER_CUT, l->config.a, l->config.b, was ? 0 : WAY_BOTH, l->config.bearers[bearer].name);
	net_link_changed(w, link);
}

/* Bits of a way from a to b, as the link orders its ends. */
static uint8_t way_bits(const struct link *l, size_t a, enum link_way way)
{
	if (way == WAY_BOTH || a == l->config.a)
		return (uint8_t)way;
	return way == WAY_AB ? WAY_BA : WAY_AB;
}

static void set_cut(struct world *w, size_t a, size_t b, const char *bearer, enum link_way way, bool cut)
{
	struct link *l = net_between(w, a, b);
	bool changed = false;

	for (size_t k = 0; l && k < l->config.n_bearers; k++) {
		uint8_t bits = way_bits(l, a, way), *now = &l->bearer[k].cut, old = *now;

		if (bearer && strcmp(bearer, l->config.bearers[k].name) != 0)
			continue;
		*now = (uint8_t)(cut ? old | bits : old & ~bits);
		if (*now == old)
			continue;
		changed = true;
		if (cut && way != WAY_BOTH)
			w->counts.asymmetric_cuts++;
		else if (cut)
			w->counts.cuts++;
		news(w, cut ? NEWS_BEARER_CUT : NEWS_BEARER_BACK, l->config.a, l->config.b, *now, l->config.bearers[k].name);
	}
	if (changed)
		net_link_changed(w, (size_t)(l - w->link));
}

void world_cut(struct world *w, size_t a, size_t b, const char *bearer, enum link_way way)
{
	set_cut(w, a, b, bearer, way, true);
}

void world_mend(struct world *w, size_t a, size_t b, const char *bearer, enum link_way way)
{
	set_cut(w, a, b, bearer, way, false);
}

void world_reset(struct world *w, size_t a, size_t b)
{
	struct link *l = net_between(w, a, b);

	if (l && w->config.body)
		w->config.body->link_reset(w->config.body->arg, (size_t)(l - w->link));
	for (uint32_t k = 0; l && k < 4; k++) {
		uint32_t id = 4u * (uint32_t)(l - w->link) + k;

		if (conn_of(w, id)->state != CONN_UP)
			continue;
		w->counts.resets++;
		call_lost(w, id);
	}
}

void world_degrade(struct world *w, size_t a, size_t b, const char *bearer, const struct bearer_change *change)
{
	struct link *l = net_between(w, a, b);

	for (size_t k = 0; l && k < l->config.n_bearers; k++)
		if (!bearer || strcmp(bearer, l->config.bearers[k].name) == 0)
			link_change(l, k, change);
	if (l && w->config.body)
		net_link_changed(w, (size_t)(l - w->link));
}

/* ---- looking --------------------------------------------------------------------------------------------------------------- */

bool world_connected(const struct world *w, size_t a, size_t b)
{
	const struct link *l = net_between(w, a, b);
	int dialler = l && a == l->config.a ? 0 : 1;

	if (l && w->config.body)
		return w->config.body->bearer(w->config.body->arg, a, b) >= 0;
	return l && l->conn[dialler][LANE_URGENT].state == CONN_UP && l->conn[dialler][LANE_BULK].state == CONN_UP;
}

/* Over which bearer the urgent connection of that dialler lies; -1: it is not up. */
static int urgent_bearer(const struct world *w, const struct link *l, int dialler)
{
	const struct conn *c = &l->conn[dialler][LANE_URGENT];
	size_t from = dialler == 0 ? l->config.a : l->config.b, to = dialler == 0 ? l->config.b : l->config.a;

	if (w->config.body)
		return w->config.body->bearer(w->config.body->arg, from, to);
	return c->state == CONN_UP ? c->bearer : -1;
}

bool world_urgent_way(const struct world *w, size_t a, size_t b, int64_t *delay_us, int64_t *rate_bps, int64_t *stall_us)
{
	const struct link *l = net_between(w, a, b);

	*delay_us = *rate_bps = *stall_us = 0;
	for (int d = 0; l && d < 2; d++) {
		int bearer = urgent_bearer(w, l, d);
		const struct bearer_state *b_now = &l->bearer[bearer < 0 ? 0 : bearer];

		if (bearer < 0 || !link_passes_both(l, (size_t)bearer))
			return false;
		if (b_now->delay_us + b_now->jitter_us > *delay_us)
			*delay_us = b_now->delay_us + b_now->jitter_us;
		if (b_now->rate_bps && (!*rate_bps || b_now->rate_bps < *rate_bps))
			*rate_bps = b_now->rate_bps;
		if (link_stall_us(l, (size_t)bearer) > *stall_us)
			*stall_us = link_stall_us(l, (size_t)bearer);
	}
	return l != NULL;
}

struct queued world_queued(struct world *w, size_t a, size_t b)
{
	struct link *l = net_between(w, a, b);
	struct queued was = {0};

	if (!l)
		return was;
	was = l->queued[a == l->config.a ? 0 : 1];
	l->queued[a == l->config.a ? 0 : 1] = (struct queued){.free_at = was.free_at};
	return was;
}

bool world_link_open(const struct world *w, size_t a, size_t b)
{
	const struct link *l = net_between(w, a, b);

	return l && link_best(l, LANE_URGENT, -1) >= 0;
}

size_t world_neighbours(const struct world *w, size_t site, size_t *list)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		if (w->between[site * w->n + i] != NO_LINK) {
			if (list)
				list[n] = i;
			n++;
		}
	return n;
}
