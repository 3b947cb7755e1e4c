/* Events of the timetable as calls of the world, and what ends with their `for`. */
#include "sim/play_int.h"

static const char *bearer_of(const struct play *p, const struct drill_event *e)
{
	return e->bearer < 0 ? NULL : p->d->bearers[e->bearer].name;
}

/* ---- sites ------------------------------------------------------------------------------------------------------ */

static void disk_full(struct play *p, size_t site, int64_t used_ppm)
{
	if (used_ppm)
		world_disk_used(p->w, site, used_ppm);
	else
		world_disk_full(p->w, site, true);
}

static void site_begin(struct play *p, const struct drill_event *e, size_t s)
{
	struct world *w = p->w;

	switch (e->what) {
	case DO_CRASH: world_crash(w, s, CRASH_DRAWN); break;
	case DO_POWER_CUT: world_power(w, s, false); break;
	case DO_STOP: world_stop_site(w, s); break;
	case DO_PROGRAM: world_program(w, s, (uint8_t)e->value); break;
	case DO_START: world_power(w, s, true), world_start_site(w, s); break;
	case DO_PAUSE: world_pause(w, s, true); break;
	case DO_RESUME: world_pause(w, s, false); break;
	case DO_LOSE_DISK: world_lose_disk(w, s); break;
	case DO_BACKUP: world_backup(w, s); break;
	case DO_RESTORE: world_restore(w, s); break;
	case DO_DISK_FULL: disk_full(p, s, e->value); break;
	case DO_DISK_SLOW: world_disk_slow(w, s, e->value_us); break;
	case DO_COMMIT_FAIL: world_commit_fails(w, s, (int)e->value, ERR_SYNC); break;
	case DO_FLIP_BIT: world_flip_bit(w, s); break;
	case DO_CLOCK_STEP: world_clock_step(w, s, e->value_us); break;
	case DO_CLOCK_DRIFT: world_clock_drift(w, s, (int32_t)e->value); break;
	default: break;
	}
}

static void site_end(struct play *p, const struct drill_event *e, size_t s)
{
	struct world *w = p->w;

	switch (e->what) {
	case DO_CRASH: case DO_STOP: case DO_LOSE_DISK: case DO_RESTORE: world_start_site(w, s); break;
	case DO_POWER_CUT: world_power(w, s, true); break;
	case DO_PAUSE: world_pause(w, s, false); break;
	case DO_DISK_FULL: world_disk_full(w, s, false), world_disk_quota(w, s, 0); break;
	case DO_DISK_SLOW: world_disk_slow(w, s, 0); break;
	default: break;
	}
}

/* ---- links ------------------------------------------------------------------------------------------------------------ */

static void pair_begin(struct play *p, const struct drill_event *e, size_t a, size_t b)
{
	switch (e->what) {
	case DO_LINK_DOWN: case DO_PARTITION: world_cut(p->w, a, b, bearer_of(p, e), WAY_BOTH); break;
	case DO_LINK_UP: world_mend(p->w, a, b, bearer_of(p, e), WAY_BOTH); break;
	case DO_CUT: world_cut(p->w, a, b, NULL, WAY_AB); break;
	case DO_LINK_RESET: world_reset(p->w, a, b); break;
	case DO_DEGRADE: world_degrade(p->w, a, b, bearer_of(p, e), &e->degrade); break;
	default: break;
	}
}

static void pair_end(struct play *p, const struct drill_event *e, size_t a, size_t b)
{
	switch (e->what) {
	case DO_LINK_DOWN: case DO_PARTITION: world_mend(p->w, a, b, bearer_of(p, e), WAY_BOTH); break;
	case DO_CUT: world_mend(p->w, a, b, NULL, WAY_AB); break;
	case DO_DEGRADE: world_degrade(p->w, a, b, bearer_of(p, e), NULL); break;
	default: break;
	}
}

static void each_pair(struct play *p, const struct drill_event *e, void (*act)(struct play *, const struct drill_event *, size_t, size_t))
{
	for (size_t i = 0; i < e->from.n; i++)
		for (size_t k = 0; k < e->to.n; k++)
			if (drill_link_of(p->d, e->from.v[i], e->to.v[k]))
				act(p, e, e->from.v[i], e->to.v[k]);
}

static void heal_links(struct play *p)
{
	for (size_t i = 0; i < p->d->n_links; i++) {
		world_mend(p->w, p->d->links[i].a, p->d->links[i].b, NULL, WAY_BOTH);
		world_degrade(p->w, p->d->links[i].a, p->d->links[i].b, NULL, NULL);
	}
}

/* ---- the rest ------------------------------------------------------------------------------------------------------------ */

struct new_roster { const struct play *p; const struct drill_event *e; };

static void edit_roster(void *arg, struct roster *r)
{
	const struct new_roster *n = arg;

	if (n->e->sites.n == 0)
		return;
	struct site *s = &r->sites[n->e->sites.v[0]];
	s->n_standbys = n->e->to.n;
	for (size_t i = 0; i < s->n_standbys; i++)
		s->standbys[i] = r->sites[n->e->to.v[i]].number;
}

static bool is_of_pairs(const struct drill_event *e)
{
	return e->what == DO_LINK_DOWN || e->what == DO_LINK_UP || e->what == DO_LINK_RESET || e->what == DO_CUT || e->what == DO_PARTITION || e->what == DO_DEGRADE;
}

void fault_begin(struct play *p, const struct drill_event *e)
{
	struct new_roster n = {p, e};

	if (!drill_do_supported(e->what))
		return;
	if (is_of_pairs(e)) {
		each_pair(p, e, pair_begin);
		return;
	}
	switch (e->what) {
	case DO_HEAL: heal_links(p); break;
	case DO_REPAIR: world_heal(p->w), desks_return(p); break;
	case DO_ROSTER:
		if (e->from.n)
			world_new_roster_at(p->w, e->from.v[0], edit_roster, &n);
		else
			world_new_roster(p->w, edit_roster, &n);
		break;
	case DO_CANCEL: send_cancel(p, e->text); break;
	case DO_DESKS_AWAY: desks_away(p, e, true); break;
	case DO_DESKS_BACK: desks_away(p, e, false); break;
	case DO_DESK_CRASH: desks_crash(p, e); break;
	case DO_RELOCATE: case DO_HANDBACK: case DO_ASSIST: case DO_MINIMIZE: order_give(p, e); break;
	case DO_COURIER: courier_goes(p, e); break;
	default:
		for (size_t i = 0; i < e->sites.n; i++)
			site_begin(p, e, e->sites.v[i]);
	}
}

void fault_end(struct play *p, const struct drill_event *e)
{
	if (!drill_do_supported(e->what))
		return;
	if (is_of_pairs(e))
		each_pair(p, e, pair_end);
	else if (e->what == DO_DESKS_AWAY)
		desks_away(p, e, false);
	else
		for (size_t i = 0; i < e->sites.n; i++)
			site_end(p, e, e->sites.v[i]);
}
