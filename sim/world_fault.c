/* world_fault.c - what befalls sites, and how it is repaired. Each does nothing when it does not apply. */
#include "sim/world_int.h"

/* A crash that waits for a commit which does not come strikes after so long all the same. */
#define CRASH_WAIT_US US_PER_S

static void crash(struct world *w, struct node *n, enum crash_how how, const char *why, bool power)
{
	if (n->state == SITE_DOWN)
		return;
	if (how == CRASH_DRAWN)
		how = (enum crash_how)prng_below(&n->prng, 3);
	if (n->state == SITE_PAUSED)
		how = CRASH_NOW;
	if (how == CRASH_NOW) {
		node_die(w, n, why, power);
		return;
	}
	n->crash_next = how;
	n->crash_why = why;
	n->crash_power = power;
	due_at(w, mono_add(w->now, CRASH_WAIT_US), DUE_CRASH, (uint32_t)n->index, n->run, NULL);
}

void world_crash(struct world *w, size_t site, enum crash_how how)
{
	w->counts.crashes += w->node[site].state != SITE_DOWN;
	if (body_acts(w, site, BODY_KILL))
		return;
	crash(w, &w->node[site], how, "crash", false);
}

void world_stop_site(struct world *w, size_t site)
{
	struct node *n = &w->node[site];
	struct event ev = {.type = EVENT_STOP};

	if (body_acts(w, site, BODY_STOP))
		return;
	if (n->state == SITE_PAUSED) /* it does not hear of it: the service manager kills what does not end */
		node_die(w, n, "stopped while it stood still", false);
	if (n->state != SITE_UP)
		return;
	node_take(w, n, ROW_URGENT, &ev, NULL);
	n->crash_next = CRASH_NOW;
	n->crash_why = "stopped";
	n->crash_power = false;
	/* It says its last words, then ends. */
	due_at(w, mono_add(n->busy_until, 2 * n->commit_us + US_PER_MS), DUE_CRASH, (uint32_t)site, n->run | 1ull << 63, NULL);
}

void world_program(struct world *w, size_t site, uint8_t protocol)
{
	struct node *n = &w->node[site];

	n->protocol = protocol;
	if (n->state == SITE_DOWN)
		return;
	world_stop_site(w, site);
	due_at(w, mono_add(w->now, RESTART_US), DUE_START, (uint32_t)site, n->run, NULL);
}

void world_start_site(struct world *w, size_t site)
{
	if (!body_acts(w, site, BODY_START))
		node_start(w, &w->node[site]);
}

void world_power(struct world *w, size_t site, bool on)
{
	struct node *n = &w->node[site];

	if (n->powered == on)
		return;
	n->powered = on;
	if (on) {
		world_start_site(w, site);
		return;
	}
	w->counts.power_cuts++;
	if (body_acts(w, site, BODY_POWER_CUT))
		return;
	/* Power fails at one instant for all: nobody gets to the end of a commit that is not yet begun. A commit under way is
	 * on the disk or not; what was to be said after it is not said. */
	crash(w, n, CRASH_NOW, "power", true);
}

void world_pause(struct world *w, size_t site, bool paused)
{
	struct node *n = &w->node[site];

	if (n->state != (paused ? SITE_UP : SITE_PAUSED))
		return;
	w->counts.pauses += paused;
	if (body_acts(w, site, paused ? BODY_PAUSE : BODY_RESUME)) {
		world_site_became(w, site, paused ? SITE_PAUSED : SITE_UP, "");
		return;
	}
	n->state = paused ? SITE_PAUSED : SITE_UP;
	news(w, paused ? NEWS_SITE_PAUSED : NEWS_SITE_RESUMED, site, WORLD_NO_SITE, 0, "");
	net_site_look(w, site);
	node_plan(w, n);
}

void world_disk_full(struct world *w, size_t site, bool full)
{
	struct node *n = &w->node[site];

	if (n->disk.full == full)
		return;
	w->counts.disk_full += full;
	n->disk.full = full;
	news(w, full ? NEWS_DISK_FULL : NEWS_DISK_HAS_ROOM, site, WORLD_NO_SITE, 0, "");
}

void world_disk_quota(struct world *w, size_t site, int64_t bytes)
{
	disk_quota(&w->node[site].disk, bytes);
}

void world_disk_used(struct world *w, size_t site, int64_t ppm)
{
	struct disk *d = &w->node[site].disk;

	if (!d->store || ppm <= 0)
		return;
	disk_quota(d, 1); /* counts what it has */
	disk_quota(d, d->used / ppm * 1000000 + d->used % ppm * 1000000 / ppm);
}

void world_disk_slow(struct world *w, size_t site, int64_t commit_us)
{
	struct node *n = &w->node[site];
	int64_t us = commit_us ? commit_us : w->config.commit_us;

	if (n->commit_us == us)
		return;
	n->commit_us = us;
	news(w, commit_us ? NEWS_DISK_SLOW : NEWS_DISK_FAST, site, WORLD_NO_SITE, us, "");
}

void world_commit_fails(struct world *w, size_t site, int count, enum err e)
{
	w->node[site].disk.fail_in = count > 0 ? count : 1;
	w->node[site].disk.fail_with = e;
}

bool world_flip_bit(struct world *w, size_t site)
{
	struct node *n = &w->node[site];
	uint64_t arrival = disk_flip(&n->disk, &n->prng);

	if (!arrival)
		return false;
	w->counts.flips++;
	news(w, NEWS_BIT_FLIPPED, site, WORLD_NO_SITE, (int64_t)arrival, "");
	return true;
}

void world_lose_disk(struct world *w, size_t site)
{
	struct node *n = &w->node[site];

	if (!body_acts(w, site, BODY_LOSE_DISK)) {
		node_die(w, n, "disk lost", false);
		if (!n->store)
			return;
		node_store_drop(w, n);
		n->lost = true;
	}
	n->journal++;
	w->counts.lost_disks++;
	news(w, NEWS_DISK_LOST, site, WORLD_NO_SITE, 0, "");
}

void world_backup(struct world *w, size_t site)
{
	struct node *n = &w->node[site];

	if (body_acts(w, site, BODY_BACKUP))
		n->image_at = w->now;
	if (!n->store)
		return;
	image_free(n->image);
	n->image = must(disk_copy(&n->disk));
	n->image_at = w->now;
}

/* The mark that `estafette restore` leaves in what it puts back: what happened since must come from others first. */
static bool mark_restored(struct store *s)
{
	static const uint8_t yes = 1;
	struct txn *t = NULL;

	if (txn_begin(s, true, &t))
		return false;
	store_meta_put(t, META_RECOVERING, view_of(&yes, 1));
	return txn_commit(t) == ERR_OK;
}

bool world_restore(struct world *w, size_t site)
{
	struct node *n = &w->node[site];

	if (body_acts(w, site, BODY_RESTORE)) {
		n->journal++;
		w->counts.restores++;
		news(w, NEWS_RESTORED, site, WORLD_NO_SITE, (w->now.us - n->image_at.us) / US_PER_S, "");
		return true;
	}
	if (!n->image)
		return false;
	node_die(w, n, "restored from a backup", false);
	/* A new folder for what is put back: nothing of the old one may shine through. */
	node_store_drop(w, n);
	n->journal++;
	n->disk.full = false;
	n->disk.fail_next = ERR_OK;
	if (node_store_open(w, n) || disk_put_back(&n->disk, n->image) || !mark_restored(n->store))
		must(NULL);
	n->lost = false;
	w->counts.restores++;
	news(w, NEWS_RESTORED, site, WORLD_NO_SITE, (w->now.us - n->image_at.us) / US_PER_S, "");
	return true;
}

/* ---- clocks ------------------------------------------------------------------------------------------------------ */

void world_clock_offset(struct world *w, size_t site, int64_t offset_us)
{
	struct node *n = &w->node[site];
	int64_t now = n->clock.offset_us;

	clock_settle(w, &n->clock);
	now += n->clock.gained_us;
	world_clock_step(w, site, offset_us - now);
}

void world_clock_step(struct world *w, size_t site, int64_t by_us)
{
	struct node *n = &w->node[site];

	if (!by_us)
		return;
	n->clock.offset_us += by_us;
	w->counts.clock_steps++;
	news(w, NEWS_CLOCK, site, WORLD_NO_SITE, node_wall(w, n).us - world_wall(w).us, "");
}

void world_clock_drift(struct world *w, size_t site, int32_t ppm)
{
	struct node *n = &w->node[site];

	clock_settle(w, &n->clock);
	n->clock.drift_ppm = ppm;
	node_plan(w, n);
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static void heal_links(struct world *w)
{
	for (size_t l = 0; l < w->n_links; l++) {
		struct link *x = &w->link[l];

		for (size_t b = 0; b < x->config.n_bearers; b++) {
			link_change(x, b, NULL);
			if (x->bearer[b].off_schedule)
				net_schedule(w, l, b);
		}
		world_mend(w, x->config.a, x->config.b, NULL, WAY_BOTH);
	}
}

static void heal_site(struct world *w, struct node *n)
{
	if (w->config.body) {
		body_heals(w, n);
		return;
	}
	world_disk_full(w, n->index, false);
	world_disk_quota(w, n->index, 0);
	world_disk_slow(w, n->index, 0);
	n->disk.fail_in = 0;
	n->disk.fail_next = ERR_OK;
	world_clock_drift(w, n->index, 0);
	world_clock_offset(w, n->index, 0);
	n->crash_next = CRASH_NOW;
	if (n->roster_held)
		world_roster_hold(w, n->index, false);
	world_pause(w, n->index, false);
	world_power(w, n->index, true);
	node_start(w, n);
}

void world_heal(struct world *w)
{
	w->healed = true;
	heal_links(w);
	for (size_t i = 0; i < w->n; i++)
		heal_site(w, &w->node[i]);
}
