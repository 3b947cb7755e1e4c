#include "node/core/linklog.h"

#include <stdio.h>
#include <string.h>

#include "node/core/core_int.h"

#define HOUR_US (3600 * US_PER_S)
/* Bearers of one peer, those that the roster took away since among them. */
#define TRACKS_MOST (2 * LIMIT_BEARERS)
/* While nothing can be stored. */
#define PENDING_MOST 4096

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */

static struct link_pending *add(struct core *c, struct link_track *t)
{
	struct linklog *l = &c->linklog;

	struct link_pending *p = array_grow(&l->list, &l->n, sizeof *p);

	if (!p) {
		txn_fail(c->t, ERR_NOMEM);
		return NULL;
	}
	if (l->n == 1)
		l->at = mono_add(c->now, LINKLOG_WAIT_US);
	*p = (struct link_pending){.track = t};
	return p;
}

static struct wall wall_of(const struct core *c, struct mono at)
{
	return (struct wall){c->wall.us - (c->now.us - at.us)};
}

static struct link_pending *pending_of(struct linklog *l, const struct link_track *t)
{
	for (size_t i = l->n; i-- > 0;)
		if (l->list[i].track == t)
			return &l->list[i];
	return NULL;
}

/* Its row of this hour that came last counts one more. False: there is none. */
static bool count_more(struct core *c, struct link_track *t, enum link_is is, struct wall at)
{
	struct link_pending *p = pending_of(&c->linklog, t);

	if (!p && t->number && (p = add(c, t)) != NULL) {
		p->adds = true;
		p->row.number = t->number;
	}
	if (!p)
		return false;
	p->row.more++;
	p->row.now_is = (uint8_t)is;
	p->row.last = at;
	return true;
}

static bool note_row(struct core *c, struct peer *of, struct link_track *t, enum link_is is, struct wall at)
{
	struct link_pending *p = c->linklog.n < PENDING_MOST ? add(c, t) : NULL;

	if (!p)
		return false;
	p->row = (struct link_row){.peer = of ? of->site : 0, .is = (uint8_t)is, .now_is = (uint8_t)is, .at = at, .last = at, .noted = c->wall};
	if (of) {
		snprintf(p->row.bearer, sizeof p->row.bearer, "%s", t->bearer);
		if (strcmp(of->lane[LANE_URGENT].bearer, t->bearer) == 0) { /* what was measured was measured over it */
			p->row.rtt_us = of->rtt_us;
			p->row.rate_bps = of->pace[LANE_URGENT].rate_bps;
		}
		t->rows++;
	}
	return true;
}

/* What is not noted now, since there is no room, is seen again at the next look. */
static void note(struct core *c, struct peer *p, struct link_track *t, enum link_is is, struct mono at)
{
	if (!t->rows || !mono_before(c->now, mono_add(t->hour, HOUR_US))) {
		t->hour = c->now;
		t->rows = 0;
	}
	if (t->rows < LINKLOG_ROWS_HOUR ? note_row(c, p, t, is, wall_of(c, at)) : count_more(c, t, is, wall_of(c, at)))
		t->is = is;
}

/* ---- what there is to note ----------------------------------------------------------------------------------------------------- */

static struct link_track *track_of(struct core *c, struct peer *p, const char *bearer)
{
	struct link_track **at = &p->tracks;
	size_t n = 0;

	for (; *at; at = &(*at)->next, n++)
		if (strcmp((*at)->bearer, bearer) == 0)
			return *at;
	if (n == TRACKS_MOST)
		return NULL;
	struct link_track *t = calloc(1, sizeof *t);

	if (!t) {
		txn_fail(c->t, ERR_NOMEM);
		return NULL;
	}
	snprintf(t->bearer, sizeof t->bearer, "%s", bearer);
	t->heard = (struct mono){INT64_MIN / 2};
	*at = t;
	return t;
}

static struct mono later(struct mono a, struct mono b)
{
	return mono_before(a, b) ? b : a;
}

void linklog_heard(struct core *c, struct peer *p, uint8_t lane)
{
	const struct lane_state *l = &p->lane[lane];
	struct link_track *t = l->dialled && l->bearer[0] && !c->config.past ? track_of(c, p, l->bearer) : NULL;

	if (t)
		t->heard = later(t->heard, l->heard);
}

/* When a bearer went down that is down now. */
static struct mono down_since(const struct core *c, const struct peer *p, const struct link_track *t)
{
	struct mono at = t->heard;

	if (t->is == LINK_IS_UP)
		return at;
	for (const struct link_track *x = p->tracks; x; x = x->next)
		at = later(at, x->heard);
	return later(at, c->linklog.from);
}

void linklog_look(struct core *c, struct peer *p)
{
	char name[LIMIT_NAME_BYTES + 1];

	if (c->config.past || c->stopping || !c->started)
		return;
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++)
		linklog_heard(c, p, lane);
	for (size_t i = 0; bearer_known_down(p, i, name); i++)
		if (name[0])
			track_of(c, p, name);
	for (struct link_track *t = p->tracks; t; t = t->next) {
		enum link_is is = bearer_is(p, t->bearer, t->is);

		if (is != t->is)
			note(c, p, t, is, is == LINK_IS_DOWN ? down_since(c, p, t) : c->now);
	}
}

/* ---- the node itself -------------------------------------------------------------------------------------------------------------- */

static void note_self(struct core *c, enum link_is is, struct wall at)
{
	if (note_row(c, NULL, NULL, is, at))
		c->linklog.now = true;
}

/* The latest time that the journal shows. */
static struct wall last_sign(struct core *c, const struct link_row *last)
{
	struct wall at = last->noted;
	struct entry_row entry;

	if (c->last_wall.us > at.us)
		at = c->last_wall;
	if (last->last.us > at.us)
		at = last->last;
	if (store_entry_get(c->t, store_last_arrival(c->t), &entry) == ERR_OK && entry.stored.us > at.us)
		at = entry.stored;
	return at.us < c->wall.us ? at : c->wall;
}

void linklog_start(struct core *c)
{
	struct link_row last;
	uint64_t number = store_link_last(c->t);

	c->linklog.n = 0;
	c->linklog.from = c->now;
	if (c->config.past)
		return;
	if (number && store_link_from(c->t, number, &last) == ERR_OK && (last.peer || last.is != LINK_IS_DOWN))
		note_self(c, LINK_IS_DOWN, last_sign(c, &last));
	note_self(c, LINK_IS_UP, c->wall);
}

void linklog_stop(struct core *c)
{
	if (!c->config.past)
		note_self(c, LINK_IS_DOWN, c->wall);
}

/* ---- storing --------------------------------------------------------------------------------------------------------------------- */

static void store_one(struct core *c, struct link_pending *p)
{
	struct link_row row;

	if (!p->adds) {
		p->row.number = 0;
		store_link_put(c->t, &p->row);
		return;
	}
	if (store_link_from(c->t, p->row.number, &row) != ERR_OK || row.number != p->row.number)
		return; /* damaged: journal verify says so */
	row.more += p->row.more;
	row.now_is = p->row.now_is;
	row.last = p->row.last;
	store_link_put(c->t, &row);
}

/* The oldest go, as many as came. */
static void make_room(struct core *c, size_t n)
{
	struct link_row first;
	uint64_t last = store_link_last(c->t);

	while (n-- && (store_link_from(c->t, 0, &first) == ERR_OK || first.number) && last - first.number >= LINKLOG_ROWS_MOST)
		store_link_del(c->t, first.number);
}

void linklog_finish(struct core *c)
{
	struct linklog *l = &c->linklog;
	bool due = l->now || !mono_before(c->now, l->at);

	if (!l->n || c->config.past || mono_before(c->now, l->not_before) || core_held(c, c->now) || (!due && !txn_changed(c->t)))
		return;
	for (size_t i = 0; i < l->n; i++)
		store_one(c, &l->list[i]);
	make_room(c, 2 * l->n);
	l->written = true;
}

void linklog_committed(struct core *c)
{
	struct linklog *l = &c->linklog;

	if (!l->written)
		return;
	for (size_t i = 0; i < l->n; i++)
		if (l->list[i].track)
			l->list[i].track->number = l->list[i].row.number;
	l->n = 0;
	l->written = l->now = false;
}

void linklog_undo(struct core *c)
{
	struct linklog *l = &c->linklog;

	if (l->written)
		l->not_before = mono_add(c->now, LINKLOG_WAIT_US);
	l->written = l->now = false;
}

struct mono linklog_due(const struct core *c)
{
	const struct linklog *l = &c->linklog;

	return l->n ? later(later(l->at, l->not_before), c->held_until) : MONO_NEVER;
}

bool linklog_retire(struct core *c, size_t *left)
{
	struct link_row row;
	uint64_t last = store_link_last(c->t), number = 0;

	/* The last one stays, so that numbers rise. */
	for (; *left; --*left) {
		enum err e = store_link_from(c->t, number, &row);

		if ((e && e != ERR_DAMAGED) || row.number >= last || (!e && row.noted.us + c->config.keep.header_us[0] > c->wall.us))
			return true;
		store_link_del(c->t, row.number);
		number = row.number;
	}
	return false;
}

void linklog_drop(struct peer *p)
{
	while (p->tracks) {
		struct link_track *t = p->tracks;

		p->tracks = t->next;
		free(t);
	}
}
