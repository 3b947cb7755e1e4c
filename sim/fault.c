#include "sim/fault.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/frame.h"
#include "sim/prng.h"

#define MIN_US (60 * US_PER_S)
#define HOUR_US (3600 * US_PER_S)

/* Before a journal is destroyed everybody is well for so long and the site is silent, so that others hold what it holds. */
#define QUIET_US (30 * MIN_US)
#define SILENT_US (20 * MIN_US)
/* From one journal that was destroyed to the next: the first has caught up by then. */
#define APART_US (4 * HOUR_US)
#define DESTROYED_MOST 16
/* A disk that flips one bit flips others. */
#define FLIPS_MORE 7
#define TRIES 20

/* How long a fault of a kind lasts; 0 to 0: it is a moment. */
static const struct { enum drill_do what; int64_t least_us, most_us; } kinds[] = {
	{DO_CRASH, US_PER_S, 10 * MIN_US},
	{DO_POWER_CUT, 10 * US_PER_S, 30 * MIN_US},
	{DO_STOP, US_PER_S, 10 * MIN_US},
	{DO_PAUSE, 5 * US_PER_S, 10 * MIN_US},
	{DO_DISK_FULL, MIN_US, 30 * MIN_US},
	{DO_DISK_SLOW, MIN_US, HOUR_US},
	{DO_COMMIT_FAIL, 0, 0},
	{DO_CLOCK_STEP, 0, 0},
	{DO_CLOCK_DRIFT, 0, 0},
	{DO_LINK_DOWN, US_PER_S, HOUR_US},
	{DO_LINK_RESET, 0, 0},
	{DO_CUT, 10 * US_PER_S, 30 * MIN_US},
	{DO_PARTITION, MIN_US, 2 * HOUR_US},
	{DO_DEGRADE, MIN_US, 2 * HOUR_US},
	{DO_DESKS_AWAY, 10 * MIN_US, 2 * HOUR_US},
	{DO_DESK_CRASH, 0, 0},
	{DO_ROSTER, 0, 0},
	{DO_RELOCATE, 0, 0},
	{DO_PROGRAM, 0, 0},
	{DO_LOSE_DISK, US_PER_S, 20 * MIN_US},
	{DO_RESTORE, US_PER_S, 20 * MIN_US},
	{DO_FLIP_BIT, 0, 0},
};
#define KINDS (sizeof kinds / sizeof kinds[0])
/* Drawn only where a drill names them. */
static const uint64_t where_asked = UINT64_C(1) << DO_RELOCATE | UINT64_C(1) << DO_PROGRAM;

static bool destroys(enum drill_do what)
{
	return what == DO_LOSE_DISK || what == DO_RESTORE || what == DO_FLIP_BIT;
}

uint64_t fault_kinds(void)
{
	uint64_t all = 0;

	for (size_t i = 0; i < KINDS; i++)
		all |= UINT64_C(1) << kinds[i].what;
	return all;
}

struct drawing {
	struct drill *d;
	struct prng prng;
	int64_t destroyed_us[DESTROYED_MOST];
	size_t n_destroyed;
	unsigned labels;
};

/* ---- who and how bad ----------------------------------------------------------------------------------------------- */

static bool set_one(struct drill_sites *s, uint16_t site)
{
	s->v = malloc(sizeof *s->v);
	if (s->v)
		s->v[s->n++] = site;
	return s->v != NULL;
}

/* Each site with this probability; at least one. */
static bool set_some(struct drawing *w, struct drill_sites *s, uint32_t ppm)
{
	size_t n = drill_site_count(w->d);

	s->v = malloc(n * sizeof *s->v);
	for (uint16_t i = 0; s->v && i < n; i++)
		if (prng_chance(&w->prng, ppm))
			s->v[s->n++] = i;
	if (s->v && s->n == 0)
		s->v[s->n++] = (uint16_t)prng_below(&w->prng, n);
	return s->v != NULL;
}

static bool set_rest(const struct drawing *w, struct drill_sites *rest, const struct drill_sites *s)
{
	size_t n = drill_site_count(w->d);

	rest->v = malloc(n * sizeof *rest->v);
	for (uint16_t i = 0; rest->v && i < n; i++)
		if (!sites_has(s, i))
			rest->v[rest->n++] = i;
	return rest->v != NULL;
}

static bool set_link(struct drawing *w, struct drill_event *e)
{
	const struct drill_link *l = &w->d->links[prng_below(&w->prng, w->d->n_links)];
	bool turn = prng_chance(&w->prng, 500000);

	return set_one(&e->from, turn ? l->b : l->a) && set_one(&e->to, turn ? l->a : l->b);
}

static void draw_change(struct drawing *w, struct bearer_change *c)
{
	struct prng *p = &w->prng;

	c->loss_ppm = prng_between(p, 1, 20) * 10000;
	if (prng_chance(p, 500000))
		c->delay_us = prng_between(p, 50, 2000) * US_PER_MS;
	if (prng_chance(p, 300000))
		c->rate_bps = prng_between(p, 2, 64) * 8000;
}

/* A kind's own figures, and whom it strikes. */
static bool draw_what(struct drawing *w, struct drill_event *e)
{
	struct prng *p = &w->prng;

	switch (e->what) {
	case DO_POWER_CUT: return set_some(w, &e->sites, (uint32_t)prng_between(p, 50000, 1000000));
	case DO_DISK_SLOW: e->value_us = prng_between(p, 20, 2000) * US_PER_MS; break;
	case DO_COMMIT_FAIL: e->value = prng_between(p, 1, 50); break;
	case DO_CLOCK_STEP: e->value_us = prng_between(p, 1, 7200) * US_PER_S * (prng_chance(p, 500000) ? 1 : -1); break;
	case DO_CLOCK_DRIFT: e->value = prng_between(p, -500, 500); break;
	case DO_PROGRAM: e->value = prng_between(p, PROTOCOL_MIN, PROTOCOL_MAX); break;
	case DO_DEGRADE: draw_change(w, &e->degrade); return set_link(w, e);
	case DO_LINK_DOWN: case DO_LINK_RESET: case DO_CUT: return set_link(w, e);
	case DO_PARTITION: return set_some(w, &e->from, 400000) && set_rest(w, &e->to, &e->from);
	case DO_ROSTER: return true;
	default: break;
	}
	return set_one(&e->sites, (uint16_t)prng_below(p, drill_site_count(w->d)));
}

/* ---- when -------------------------------------------------------------------------------------------------------------- */

static bool in_quiet(const struct drawing *w, int64_t from_us, int64_t to_us)
{
	for (size_t i = 0; i < w->n_destroyed; i++)
		if (to_us >= w->destroyed_us[i] - QUIET_US && from_us <= w->destroyed_us[i] + MIN_US)
			return true;
	return false;
}

static bool near_destroyed(const struct drawing *w, int64_t at_us)
{
	for (size_t i = 0; i < w->n_destroyed; i++)
		if (at_us > w->destroyed_us[i] - APART_US && at_us < w->destroyed_us[i] + APART_US)
			return true;
	return false;
}

/* Milliseconds are fine enough, and read well. */
static int64_t draw_time(struct drawing *w, int64_t from_us, int64_t to_us)
{
	return prng_between(&w->prng, from_us / US_PER_MS, to_us / US_PER_MS) * US_PER_MS;
}

static bool draw_moment(struct drawing *w, struct drill_event *e, bool destructive)
{
	int64_t from = destructive ? 2 * HOUR_US + QUIET_US : w->d->length_us / 100, to = w->d->length_us * 19 / 20;

	for (int i = 0; i < TRIES && from < to; i++) {
		e->at_us = draw_time(w, from, to);
		if (destructive ? !near_destroyed(w, e->at_us) : !in_quiet(w, e->at_us, e->at_us + e->for_us))
			return true;
	}
	return false;
}

static enum err add(struct drawing *w, struct drill_event *e)
{
	enum err err = drill_add_event(w->d, e);

	if (err) {
		free(e->sites.v);
		free(e->from.v);
		free(e->to.v);
		free(e->send);
	}
	return err;
}

/* Something at the same site at another time. */
static enum err add_beside(struct drawing *w, const struct drill_event *like, enum drill_do what, int64_t at_us, int64_t for_us)
{
	struct drill_event e = {.what = what, .at_us = at_us, .for_us = for_us, .bearer = -1, .degrade = {-1, -1, -1, -1, -1}};

	return set_one(&e.sites, like->sites.v[0]) ? add(w, &e) : ERR_NOMEM;
}

/* The site sends and reads nothing for a while before its journal goes; what is restored was copied two hours ago. */
static enum err prepare(struct drawing *w, const struct drill_event *e)
{
	enum err err = add_beside(w, e, DO_RATE, e->at_us - SILENT_US, SILENT_US + MIN_US); /* factor 0 */

	if (!err)
		err = add_beside(w, e, DO_DESKS_AWAY, e->at_us - SILENT_US, SILENT_US);
	for (int64_t k = e->what == DO_FLIP_BIT ? prng_between(&w->prng, 0, FLIPS_MORE) : 0; !err && k > 0; k--)
		err = add_beside(w, e, DO_FLIP_BIT, e->at_us + k * US_PER_S, 0);
	if (!err && e->what == DO_RESTORE)
		err = add_beside(w, e, DO_BACKUP, e->at_us - 2 * HOUR_US, 0);
	return err;
}

/* ---- what makes a fault tell ------------------------------------------------------------------------------------------ */

/* Messages from a site to the queue "messages" of another, beginning at at_us. label may be "". */
static enum err add_send(struct drawing *w, uint16_t from, uint16_t to, int64_t at_us, uint32_t count, const char *label)
{
	struct drill_event e = {.what = DO_SEND, .at_us = at_us, .bearer = -1, .degrade = {-1, -1, -1, -1, -1}, .send = calloc(1, sizeof *e.send)};

	if (e.send == NULL || !set_one(&e.from, from)) {
		free(e.send);
		return ERR_NOMEM;
	}
	snprintf(e.send->address, sizeof e.send->address, "%s/messages", drill_site_name(w->d, to));
	snprintf(e.send->label, sizeof e.send->label, "%s", label);
	snprintf(e.send->body.type, sizeof e.send->body.type, "text/plain");
	e.send->body.bytes = 400;
	e.send->precedence = (uint8_t)prng_below(&w->prng, PREC_COUNT);
	e.send->count = count;
	e.send->over_us = count > 1 ? 2 * US_PER_S : 0;
	return add(w, &e);
}

static uint16_t another(struct drawing *w, uint16_t site)
{
	size_t n = drill_site_count(w->d);

	return n > 1 ? (uint16_t)((site + 1 + prng_below(&w->prng, n - 1)) % n) : site;
}

/* While nobody takes, a message comes and is cancelled. */
static enum err add_cancelled(struct drawing *w, const struct drill_event *away)
{
	struct drill_event e = {.what = DO_CANCEL, .at_us = away->at_us + 3 * MIN_US, .bearer = -1, .degrade = {-1, -1, -1, -1, -1}};
	char label[DRILL_LABEL_BYTES + 1];

	snprintf(label, sizeof label, "cancelled-%u", ++w->labels);
	snprintf(e.text, sizeof e.text, "%s", label);
	enum err err = add_send(w, another(w, away->sites.v[0]), away->sites.v[0], away->at_us + MIN_US, 1, label);
	return err ? err : add(w, &e);
}

static bool has_messages(const struct drill *d)
{
	for (size_t i = 0; i < d->roster->n_sites; i++)
		if (site_queue(&d->roster->sites[i], view_str("messages")) == NULL)
			return false;
	return d->roster->n_sites > 1;
}

/* A crash in mid-commit shows most when a desk waits for the answer. */
static enum err add_companion(struct drawing *w, const struct drill_event *e)
{
	if (!has_messages(w->d) || !prng_chance(&w->prng, 500000))
		return ERR_OK;
	if (e->what == DO_CRASH || e->what == DO_COMMIT_FAIL || e->what == DO_POWER_CUT)
		return add_send(w, e->sites.v[0], another(w, e->sites.v[0]), e->at_us - (e->what == DO_POWER_CUT ? US_PER_S : 0), 8, "");
	return e->what == DO_DESKS_AWAY ? add_cancelled(w, e) : ERR_OK;
}

/* ---- orders ----------------------------------------------------------------------------------------------------------- */

static bool set_sites(struct drill_sites *s, const uint16_t *v, size_t n)
{
	s->v = malloc((n ? n : 1) * sizeof *v);
	for (size_t i = 0; s->v && i < n; i++)
		s->v[s->n++] = v[i];
	return s->v != NULL;
}

/* Who gives it: the site itself or whoever can, a site that the drill names (a relocator or not), or a quorum of others. */
static bool draw_givers(struct drawing *w, struct drill_event *e, uint16_t site)
{
	const struct roster *r = w->d->roster;
	size_t n = drill_site_count(w->d), first = prng_below(&w->prng, n), k = 0;
	uint16_t by[8];

	switch (prng_below(&w->prng, 4)) {
	case 0: return true;
	case 1: return set_one(&e->from, site);
	case 2:
		for (size_t i = 0; i < n && r->n_relocators; i++)
			if (r->sites[i].number == r->relocators[0] && i != site)
				return set_one(&e->from, (uint16_t)i);
		return true;
	default:
		for (size_t i = 0; i < n && k < r->quorum && k < 8; i++)
			if ((first + i) % n != site)
				by[k++] = (uint16_t)((first + i) % n);
		return set_sites(&e->from, by, k);
	}
}

static uint16_t draw_standby(struct drawing *w, uint16_t site, uint16_t not)
{
	const struct site *s = &w->d->roster->sites[site];
	size_t n = drill_site_count(w->d);

	for (int tries = 0; tries < TRIES; tries++) {
		uint16_t to = (uint16_t)prng_below(&w->prng, n);

		if (s->n_standbys && prng_chance(&w->prng, 750000))
			for (uint16_t i = 0, want = s->standbys[prng_below(&w->prng, s->n_standbys)]; i < n; i++)
				to = w->d->roster->sites[i].number == want ? i : to;
		if (to != site && to != not)
			return to;
	}
	return site == 0 ? 1 : 0;
}

/* Everything to one; by queue or by share to two, the rest at home or not; one area. */
static void draw_assignments(struct drawing *w, uint16_t site, char *out, size_t size)
{
	const struct roster *r = w->d->roster;
	const struct site *s = &r->sites[site];
	uint16_t a = draw_standby(w, site, site), b = draw_standby(w, site, a);
	const char *to_a = drill_site_name(w->d, a), *to_b = drill_site_name(w->d, b);
	int share = (int)prng_between(&w->prng, 10, 90);

	switch (prng_below(&w->prng, 4)) {
	case 0: snprintf(out, size, "%s", to_a); return;
	case 1: snprintf(out, size, "%s:share=%d%% %s:share=%d%%", to_a, share, prng_chance(&w->prng, 500000) && b != a ? to_b : drill_site_name(w->d, site), 100 - share); return;
	case 2:
		for (size_t i = 0; i < r->n_areas; i++)
			if (r->areas[i].site == s->number) {
				snprintf(out, size, "%s:area=%s", to_a, r->areas[i].id);
				return;
			}
		break;
	default: break;
	}
	if (s->n_queues > 1 && prng_chance(&w->prng, 600000))
		snprintf(out, size, "%s:%s %s:%s", to_a, s->queues[0].name, to_b, s->queues[1].name);
	else
		snprintf(out, size, "%s:%s", to_a, s->queues[prng_below(&w->prng, s->n_queues)].name);
}

static enum err add_order(struct drawing *w, enum drill_do what, uint16_t site, int64_t at_us, const char *assignments)
{
	struct drill_event e = {.what = what, .at_us = at_us, .bearer = -1, .degrade = {-1, -1, -1, -1, -1}};

	snprintf(e.text, sizeof e.text, "%s", assignments);
	if (!set_one(&e.sites, site) || !draw_givers(w, &e, site)) {
		free(e.sites.v);
		free(e.from.v);
		return ERR_NOMEM;
	}
	return add(w, &e);
}

/* A relocation; now and then the site dies just before, is cut off, or another order competes with it; mostly a handback. */
static enum err draw_relocation(struct drawing *w, const struct drill_event *like)
{
	uint16_t site = (uint16_t)prng_below(&w->prng, drill_site_count(w->d));
	int64_t at = like->at_us, gone = draw_time(w, 10 * US_PER_S, 10 * MIN_US), last = w->d->length_us;
	char text[LIMIT_REASON_BYTES + 1];
	uint64_t how = prng_below(&w->prng, 4);
	enum err err = ERR_OK;

	if (how < 2) {
		struct drill_event e = {.what = how ? DO_PARTITION : DO_POWER_CUT, .at_us = at > US_PER_S ? at - US_PER_S : 0, .for_us = gone, .bearer = -1,
					.degrade = {-1, -1, -1, -1, -1}};

		if (!set_one(how ? &e.from : &e.sites, site) || (how && !set_rest(w, &e.to, &e.from))) {
			free(e.from.v);
			return ERR_NOMEM;
		}
		err = add(w, &e);
	}
	draw_assignments(w, site, text, sizeof text);
	if (!err)
		err = add_order(w, DO_RELOCATE, site, at, text);
	if (!err && prng_chance(&w->prng, 250000)) {
		draw_assignments(w, site, text, sizeof text);
		err = add_order(w, DO_RELOCATE, site, at + draw_time(w, 0, 2 * MIN_US), text);
	}
	at += gone + draw_time(w, 0, 10 * MIN_US);
	return err || at >= last || prng_chance(&w->prng, 100000) ? err : add_order(w, DO_HANDBACK, site, at, "");
}

static enum err draw_one(struct drawing *w, size_t kind)
{
	struct drill_event e = {.what = kinds[kind].what, .bearer = -1, .degrade = {-1, -1, -1, -1, -1}};
	bool destructive = destroys(e.what);

	if (kinds[kind].most_us)
		e.for_us = draw_time(w, kinds[kind].least_us, kinds[kind].most_us);
	if ((destructive && w->n_destroyed == DESTROYED_MOST) || !draw_moment(w, &e, destructive))
		return ERR_OK; /* there is no room for it in this drill */
	if (e.what == DO_RELOCATE)
		return draw_relocation(w, &e);
	if (!draw_what(w, &e)) {
		free(e.from.v);
		return ERR_NOMEM;
	}
	enum err err = destructive ? prepare(w, &e) : ERR_OK;
	if (err) {
		free(e.sites.v);
		return err;
	}
	if (destructive)
		w->destroyed_us[w->n_destroyed++] = e.at_us;
	else
		err = add_companion(w, &e);
	return err ? err : add(w, &e);
}

/* ---- a seed's own mixture ---------------------------------------------------------------------------------------------------- */

static bool possible(const struct drill *d, enum drill_do what)
{
	bool link = what == DO_LINK_DOWN || what == DO_LINK_RESET || what == DO_CUT || what == DO_DEGRADE || what == DO_PARTITION;

	if (what == DO_RELOCATE && (drill_site_count(d) < 3 || d->roster->sites[0].n_queues == 0))
		return false;
	return (!link || d->n_links > 0) && (what != DO_PARTITION || drill_site_count(d) > 1) && ((what != DO_DESKS_AWAY && what != DO_DESK_CRASH) || d->n_desks > 0);
}

/* How many of a kind: none for about half of the kinds, so that seeds differ in what they combine. */
static int64_t draw_count(struct drawing *w, size_t kind)
{
	int64_t days = (w->d->length_us + US_PER_DAY - 1) / US_PER_DAY, most = w->d->swarm.faults * days;

	if (kinds[kind].what == DO_RELOCATE)
		return prng_between(&w->prng, 2, most > 2 ? most : 2);
	if (prng_chance(&w->prng, 500000))
		return 0;
	if (destroys(kinds[kind].what))
		most = most < 2 * days ? most : 2 * days;
	return prng_between(&w->prng, 1, most);
}

/* In half of the seeds some clocks are wrong from the start. */
static void draw_clocks(struct drawing *w)
{
	if (!prng_chance(&w->prng, 500000))
		return;
	for (size_t i = 0; i < drill_site_count(w->d); i++)
		if (prng_chance(&w->prng, 200000)) {
			w->d->clocks[i].offset_us = prng_between(&w->prng, -600, 600) * US_PER_S / 4;
			w->d->clocks[i].drift_ppm = (int32_t)prng_between(&w->prng, -100, 100);
		}
}

enum err fault_draw(struct drill *d, uint64_t seed)
{
	struct drawing w = {.d = d};
	uint64_t wanted = d->swarm.kinds ? d->swarm.kinds : fault_kinds() & ~where_asked;

	if (!d->swarm.on)
		return ERR_OK;
	prng_init(&w.prng, seed, "fault", 0);
	if (wanted >> DO_CLOCK_STEP & 1)
		draw_clocks(&w);
	/* Those that destroy, the last three, are drawn first: the others keep away from them. Each of them may be the first, as a
	 * short drill has room for one. */
	size_t turn = KINDS - 1 - (size_t)prng_below(&w.prng, 3);
	for (int pass = 0; pass < 2; pass++)
		for (size_t at = 0; at < KINDS; at++) {
			size_t i = pass == 0 ? (at + turn) % KINDS : at;

			if (destroys(kinds[i].what) != (pass == 0))
				continue;
			int64_t n = where_asked & ~wanted & UINT64_C(1) << kinds[i].what ? 0 : draw_count(&w, i);
			for (int64_t k = 0; k < n && (wanted >> kinds[i].what & 1) && possible(d, kinds[i].what); k++) {
				enum err e = draw_one(&w, i);
				if (e)
					return e;
			}
		}
	return ERR_OK;
}
