#include "sim/conduct.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sim/fault.h"
#include "sim/play.h"
#include "sim/watch.h"
#include "sim/world.h"
#include "storage/save.h"

#define PROBE_US (30 * US_PER_S)
/* The run is looked at from outside (interrupts, progress, failures) so often, in virtual time. */
#define SLICE_US (60 * US_PER_S)
#define SETTLE_SLICE_US (5 * US_PER_S)
#define UNSUPPORTED_MOST 32
/* A terminal is written to so often, in real time. */
#define PROGRESS_S 0.1

/* Everything of one run, made and freed together. */
struct run_parts {
	const struct drill *drill;
	const struct conduct *how;
	struct link_config *links;
	size_t n_links;
	struct world_clock *clocks;
	char *dir; /* of the journals; NULL: none was made */
	struct world *world;
	struct story story;
	struct watch *watch;
	struct play *play;
	struct timespec began;
	double shown_s; /* when the progress line was written last */
	bool cut_short;
};

enum err conduct_draw(const struct drill *d, uint64_t seed, struct drill **out, struct errmsg *m)
{
	enum err e = drill_copy(d, NULL, out);

	if (!e)
		e = fault_draw(*out, seed);
	if (e)
		return err_set(m, e, "drill: the faults of seed %llu cannot be drawn: %s", (unsigned long long)seed, err_text(e));
	(*out)->swarm.on = false;
	return ERR_OK;
}

static double seconds_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) / 1e9;
}

/* ---- making it ------------------------------------------------------------------------------------------------ */

static enum err make_dir(struct run_parts *p, struct errmsg *m)
{
	const char *tmp = getenv("TMPDIR");

	if (asprintf(&p->dir, "%s/estafette-sim-XXXXXX", tmp && tmp[0] ? tmp : "/tmp") < 0) {
		p->dir = NULL;
		return err_set(m, ERR_NOMEM, "store: out of memory (free some and try again)");
	}
	if (mkdtemp(p->dir))
		return ERR_OK;
	enum err e = err_set(m, ERR_IO, "store: %.200s cannot be made for the journals: %s (set TMPDIR to a folder)", p->dir, strerror(errno));
	free(p->dir);
	p->dir = NULL;
	return e;
}

static enum err make_world(struct run_parts *p, struct errmsg *m)
{
	const struct drill *d = p->drill;
	struct world_config c = {
		.seed = p->how->seed, .start = d->start, .suite = p->how->suite, .store = d->lmdb ? WORLD_LMDB : WORLD_MEMORY,
		.roster = d->roster, .core = {.probe_us = p->how->probe_us ? p->how->probe_us : PROBE_US,
				  .keep = {{d->keep_bodies_us, d->keep_bodies_us}, {d->keep_headers_us, d->keep_headers_us}, d->keep_unread_us},
				  .scrub_us = d->scrub_us},
	};
	size_t n = drill_site_count(d);
	enum err e = d->lmdb ? make_dir(p, m) : ERR_OK;

	if (e)
		return e;
	c.dir = p->dir;
	p->clocks = calloc(n ? n : 1, sizeof *p->clocks);
	e = p->clocks ? drill_links(d, p->how->seed, &p->links, &p->n_links) : ERR_NOMEM;
	if (e)
		return err_set(m, e, "drill: its links cannot be made: %s", err_text(e));
	for (size_t i = 0; d->clocks && i < n; i++)
		p->clocks[i] = (struct world_clock){d->clocks[i].offset_us, d->clocks[i].drift_ppm};
	c.links = p->links;
	c.n_links = p->n_links;
	c.clocks = p->clocks;
	return world_new(&c, &p->world, m);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void remove_journals(struct run_parts *p)
{
	if (p->dir && nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
		fprintf(stderr, "estafette-sim: %s: cannot be removed: %s (remove it)\n", p->dir, strerror(errno));
	free(p->dir);
}

static void release(struct run_parts *p)
{
	watch_free(p->watch);
	world_free(p->world);
	play_free(p->play);
	story_release(&p->story);
	free(p->links);
	free(p->clocks);
	remove_journals(p);
}

/* ---- running it ------------------------------------------------------------------------------------------------- */

static void progress(struct run_parts *p, bool last)
{
	FILE *f = p->how->progress;
	double at = f ? seconds_since(&p->began) : 0;

	if (!f || (!last && at - p->shown_s < PROGRESS_S))
		return;
	p->shown_s = at;
	if (last) {
		fputs("\r\033[K", f);
	} else {
		char now[32], end[32];

		story_time(world_now(p->world).us, now, sizeof now);
		story_time(play_end_us(p->drill), end, sizeof end);
		fprintf(f, "\r\033[K%s of at most %s, %llu events", now, end, (unsigned long long)world_counts(p->world)->events);
	}
	fflush(f);
}

/* Runs to `until`, in slices. False when it was interrupted, or failed and need not go on. */
static bool run_until(struct run_parts *p, int64_t until, int64_t slice)
{
	for (;;) {
		int64_t now = world_now(p->world).us;

		if (p->how->interrupted && *p->how->interrupted) {
			p->cut_short = true;
			return false;
		}
		if (p->how->stop_at_failure && watch_failed(p->watch))
			return false;
		if (now >= until)
			return true;
		world_run(p->world, (struct mono){now + slice < until ? now + slice : until});
		progress(p, false);
	}
}

/* The last moment at which something is expected: all that comes together before it is still looked at then. */
static int64_t last_moment(const struct drill *d)
{
	int64_t last = 0;

	for (size_t i = 0; i < d->n_expects; i++)
		if (d->expects[i].at_us != MONO_NEVER.us && d->expects[i].at_us > last)
			last = d->expects[i].at_us;
	return last;
}

/* False when it ended before its time. */
static bool both_phases(struct run_parts *p)
{
	int64_t end = play_end_us(p->drill), last = last_moment(p->drill);

	if (!run_until(p, p->drill->length_us, SLICE_US))
		return false;
	world_heal(p->world);
	watch_repaired(p->watch);
	play_repaired(p->play);
	while (world_now(p->world).us < end && (!watch_converged(p->watch) || world_now(p->world).us < last))
		if (!run_until(p, world_now(p->world).us + SETTLE_SLICE_US < end ? world_now(p->world).us + SETTLE_SLICE_US : end, SETTLE_SLICE_US))
			return false;
	return true;
}

/* The journals as they are when all is over, for the tools that read journals. */
static enum err leave_journals(struct run_parts *p, struct errmsg *m)
{
	enum err e = ERR_OK;

	for (size_t i = 0; !e && i < world_sites(p->world); i++) {
		struct store *s = world_store(p->world, i);
		char *path = NULL;

		if (!s)
			continue;
		if (asprintf(&path, "%s/%s", p->how->folder, world_site_id(p->world, i)) < 0)
			return err_set(m, ERR_NOMEM, "store: out of memory");
		e = store_save(s, path, m);
		free(path);
	}
	return e;
}

static void report(struct run_parts *p)
{
	const char *unsupported[UNSUPPORTED_MOST];
	struct run r = {
		.drill = p->drill->name, .title = p->drill->about, .repeat = p->how->repeat, .seed = p->how->seed,
		.start = p->drill->start, .utc_offset_us = p->drill->utc_offset_us,
		.virtual_us = world_now(p->world).us, .events = world_counts(p->world)->events, .sites = world_sites(p->world), .links = p->n_links,
		.frames = world_counts(p->world)->frames, .unsupported = unsupported, .cut_short = p->cut_short, .roster = world_roster(p->world),
		.story = &p->story, .oracle = watch_oracle(p->watch), .series = watch_series(p->watch),
	};

	r.n_unsupported = drill_unsupported(p->drill, unsupported, UNSUPPORTED_MOST);
	world_trace(p->world, r.trace);
	r.wall_s = seconds_since(&p->began);
	p->how->outcome(p->how->arg, &r);
}

enum err conduct(const struct drill *d, const struct conduct *c, struct errmsg *m)
{
	struct run_parts p = {.drill = d, .how = c, .story = {.follow = c->follow, .verbose = c->messages}};
	enum err e;

	clock_gettime(CLOCK_MONOTONIC, &p.began);
	e = make_world(&p, m);
	if (e)
		goto out;
	p.watch = watch_new(p.world, d, &p.story);
	e = p.watch ? play_new(d, c->seed, p.world, p.watch, &p.play) : ERR_NOMEM;
	if (e) {
		err_set(m, e, "drill: it cannot be played: %s", err_text(e));
		goto out;
	}
	bool whole = both_phases(&p);

	watch_finish(p.watch, !whole);
	progress(&p, true);
	report(&p);
	if (c->folder && whole)
		e = leave_journals(&p, m);
out:
	release(&p);
	return e;
}
