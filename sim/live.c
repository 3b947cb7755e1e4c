#include "sim/live.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "sim/live_int.h"
#include "sim/netns.h"

#define EVENTS 256
/* Journals are looked at so often when nobody says anything. */
#define LOOK_US (100 * US_PER_MS)
#define SITES_US (50 * US_PER_MS)
#define CONVERGED_US (500 * US_PER_MS)
#define LINES_US (30 * US_PER_S)
#define LINES_WAIT_MS 5
#define PROGRESS_S 0.2
#define UNSUPPORTED_MOST 64

static const char *const unjudged[] = {"the order in which queues are handed out", "frontiers on the wire"};

int64_t live_clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

int64_t live_now(const struct live_run *r)
{
	return live_clock_us() - r->zero_us;
}

static double seconds_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) / 1e9;
}

/* ---- making it ---------------------------------------------------------------------------------------------------- */

static const struct link *link_at(void *arg, size_t i)
{
	return world_link(((struct live_run *)arg)->world, i);
}

static int bearer_number(void *arg, size_t link, size_t bearer)
{
	const struct live_run *r = arg;

	return r->plan.timed->links[link].bearers[bearer];
}

static enum err make_roster(struct live_run *r, struct errmsg *m)
{
	struct buf text = BUF_EMPTY;
	enum err e = roster_format(r->plan.timed->roster, &text);

	if (!e)
		e = roster_parse("the drill's roster", buf_view(&text), NULL, true, &r->roster, m);
	else
		err_set(m, e, "live: the drill's roster: %s", err_text(e));
	buf_release(&text);
	return e;
}

static enum err make_room(struct live_run *r, struct errmsg *m)
{
	struct rlimit files;

	r->n = r->roster->n_sites;
	r->daemons = calloc(r->n, sizeof *r->daemons);
	r->places = malloc(r->n * sizeof *r->places);
	r->numbers = calloc(r->n, sizeof *r->numbers);
	r->bearers = malloc(r->n * r->n * sizeof *r->bearers);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!r->daemons || !r->places || !r->numbers || !r->bearers || r->epoll < 0)
		return err_set(m, ERR_NOMEM, "live: out of memory or descriptors");
	for (size_t i = 0; i < r->n * r->n; i++)
		r->bearers[i] = -1;
	for (size_t i = 0; i < r->n; i++)
		r->places[i] = -1;
	/* Each connection takes two, and each link and bearer two to listen. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	return ERR_OK;
}

static enum err make_world(struct live_run *r, struct errmsg *m)
{
	struct timespec now;
	struct world_config c = {.seed = r->how->conduct.seed, .suite = &crypt_suite_real, .roster = r->roster, .body = &r->body};
	enum err e = drill_links(r->plan.timed, r->how->conduct.seed, &r->links, &r->n_links);

	if (e)
		return err_set(m, e, "drill: its links cannot be made: %s", err_text(e));
	clock_gettime(CLOCK_REALTIME, &now);
	c.start = (struct wall){(int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000};
	c.links = r->links;
	c.n_links = r->n_links;
	r->body = sites_body(r);
	return world_new(&c, &r->world, m);
}

/* Whether the kernel is to keep the rates. */
static enum err choose_shaper(const struct live_run *r, bool *kernel, struct errmsg *m)
{
	enum err e = r->how->shaper == LIVE_SHAPER_PROXY ? ERR_UNSUPPORTED : shaper_probe(r->home, m);

	*kernel = e == ERR_OK;
	return r->how->shaper == LIVE_SHAPER_KERNEL ? e : ERR_OK;
}

static enum err make_proxy(struct live_run *r, struct errmsg *m)
{
	struct epoll_event on = {.events = EPOLLIN};
	struct proxy_config c = {.n_sites = r->n, .n_links = r->n_links, .home = r->home, .places = r->places, .numbers = r->numbers, .link = link_at,
				 .bearer_number = bearer_number, .arg = r, .seed = r->how->conduct.seed};
	enum err e = choose_shaper(r, &c.shaped, m);

	if (!e)
		e = proxy_new(&c, &r->proxy, m);
	if (!e && c.shaped)
		e = shaper_new(&c, &r->shaper, m);
	if (!e && epoll_ctl(r->epoll, EPOLL_CTL_ADD, proxy_fd(r->proxy), &on) != 0)
		e = err_set(m, ERR_IO, "live: epoll: %s", strerror(errno));
	return e;
}

/* Everything but the daemons. The keeper is started first, with nothing of ours in its hands. */
static enum err make_all(struct live_run *r, const struct drill *d, struct errmsg *m)
{
	enum err e = live_plan_make(d, r->how, &r->plan, m);

	if (!e)
		e = make_roster(r, m);
	if (!e)
		e = live_folder_make(&r->folder, r->how->folder, m);
	if (!e)
		e = netns_begin(&r->home, m);
	if (!e)
		e = make_room(r, m);
	if (!e)
		e = sites_make(r, m);
	if (!e)
		e = make_world(r, m);
	return e ? e : make_proxy(r, m);
}

static void release(struct live_run *r)
{
	lines_release(r);
	sites_release(r);
	watch_free(r->watch);
	world_free(r->world);
	play_free(r->play);
	proxy_free(r->proxy);
	shaper_free(r->shaper);
	story_release(&r->story);
	roster_free(r->roster);
	live_plan_release(&r->plan);
	if (r->epoll >= 0)
		close(r->epoll);
	if (r->home >= 0)
		close(r->home);
	free(r->bearers);
	free(r->links);
	live_folder_end(&r->folder);
}

/* ---- running it ------------------------------------------------------------------------------------------------------ */

static void progress(struct live_run *r, bool last)
{
	FILE *f = r->how->conduct.progress;
	double at = f ? seconds_since(&r->began) : 0;
	struct verdict v;
	char now[32], end[32];

	if (!f || (!last && at - r->shown_s < PROGRESS_S))
		return;
	r->shown_s = at;
	oracle_verdict(watch_oracle(r->watch), &v);
	story_time(world_now(r->world).us, now, sizeof now);
	story_time(play_end_us(r->plan.timed), end, sizeof end);
	if (last)
		fputs("\r\033[K", f);
	else
		fprintf(f, "\r\033[K%s of at most %s, live: %llu accepted, %llu read", now, end, (unsigned long long)v.accepted, (unsigned long long)v.read);
	fflush(f);
}

/* How long nothing need be done, in milliseconds. */
static int rest_ms(const struct live_run *r)
{
	int64_t now = live_now(r), wait = LOOK_US;
	struct mono timers = world_next(r->world), wire = proxy_next(r->proxy); /* whose time is the machine's own */

	if (timers.us < now + wait)
		wait = timers.us - now;
	if (wire.us < r->zero_us + now + wait)
		wait = wire.us - r->zero_us - now;
	return wait <= 0 ? 0 : (int)((wait + US_PER_MS - 1) / US_PER_MS);
}

/* The lines of which something is ready, EVENTS at most. */
static size_t wait_ready(struct live_run *r, int ms, void **lines, uint32_t *what)
{
	struct epoll_event events[EVENTS];
	size_t n_lines = 0;
	int n = epoll_wait(r->epoll, events, EVENTS, ms);

	for (int i = 0; i < n; i++)
		if (events[i].data.ptr) {
			lines[n_lines] = events[i].data.ptr;
			what[n_lines++] = events[i].events;
		}
	return n_lines;
}

/* One round: waits for something, and does all there is to do. Answers are read before journals, and told after. */
static void round_once(struct live_run *r, int64_t *sites_at)
{
	void *lines[EVENTS];
	uint32_t what[EVENTS];
	size_t n = wait_ready(r, rest_ms(r), lines, what);
	bool heard = lines_ready(r, lines, what, n);
	int64_t now = live_now(r);

	world_run(r->world, (struct mono){now});
	proxy_work(r->proxy, (struct mono){live_clock_us()});
	if (now >= *sites_at) {
		sites_look(r);
		links_ask(r);
		*sites_at = now + SITES_US;
	}
	if (heard || now >= r->looked_at + LOOK_US) {
		world_looked(r->world);
		r->looked_at = now;
	}
	lines_tell(r);
	progress(r, false);
}

/* Every line without a schedule carries both ways, as its two ends say. */
static bool lines_up(const struct live_run *r)
{
	for (size_t l = 0; l < r->n_links; l++) {
		const struct link_config *x = &r->links[l];
		bool always = false;

		for (size_t b = 0; b < x->n_bearers; b++)
			always = always || !x->bearers[b].period_us;
		if (always && (r->bearers[x->a * r->n + x->b] < 0 || r->bearers[x->b * r->n + x->a] < 0))
			return false;
	}
	return true;
}

/* The timetable begins when the lines have come up, which takes seconds over a satellite and is no part of the drill, or else without
 * those that do not. The world stands still meanwhile. */
static void lines_wait(struct live_run *r)
{
	int64_t end = live_clock_us() + LINES_US, ask_at = 0;

	while (!lines_up(r) && live_clock_us() < end && !(r->how->conduct.interrupted && *r->how->conduct.interrupted)) {
		void *lines[EVENTS];
		uint32_t what[EVENTS];
		size_t n = wait_ready(r, LINES_WAIT_MS, lines, what);

		lines_ready(r, lines, what, n);
		proxy_work(r->proxy, (struct mono){live_clock_us()});
		if (live_clock_us() >= ask_at) {
			sites_look(r);
			links_ask(r);
			ask_at = live_clock_us() + SITES_US;
		}
		lines_tell(r);
	}
}

/* Until the world's time, or until done (may be NULL) says so, which is asked now and then. False when it was interrupted. */
static bool run_until(struct live_run *r, int64_t until, bool (*done)(struct live_run *r))
{
	int64_t sites_at = 0, ask_at = 0;

	while (live_now(r) < until) {
		if (r->how->conduct.interrupted && *r->how->conduct.interrupted) {
			r->cut_short = true;
			return false;
		}
		round_once(r, &sites_at);
		if (done && live_now(r) >= ask_at) {
			if (done(r))
				return true;
			ask_at = live_now(r) + CONVERGED_US;
		}
	}
	world_run(r->world, (struct mono){until});
	return true;
}

static int64_t last_moment(const struct drill *d)
{
	int64_t last = 0;

	for (size_t i = 0; i < d->n_expects; i++)
		if (d->expects[i].at_us != MONO_NEVER.us && d->expects[i].at_us > last)
			last = d->expects[i].at_us;
	return last;
}

static bool all_up(const struct live_run *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->daemons[i].is != DAEMON_UP)
			return false;
	return true;
}

static bool come_together(struct live_run *r)
{
	return all_up(r) && live_now(r) >= last_moment(r->plan.timed) && watch_converged(r->watch);
}

static bool both_phases(struct live_run *r)
{
	if (!run_until(r, r->plan.timed->length_us, NULL))
		return false;
	world_heal(r->world);
	watch_repaired(r->watch);
	play_repaired(r->play);
	return run_until(r, play_end_us(r->plan.timed), come_together);
}

/* What only a live drill sees, beside the promises. */
static void judge_live(struct live_run *r)
{
	watch_expects(r->watch, r->fell == 0, false, r->fell ? r->fell_text : "the daemons run until they are told to end");
	if (r->shaper)
		watch_expects(r->watch, !r->unshaped.text[0], false, r->unshaped.text[0] ? r->unshaped.text : "the kernel keeps the rates of lines");
	for (size_t i = 0; i < r->plan.n_skips; i++)
		watch_expects(r->watch, false, true, r->plan.skips[i].text);
}

static void report(struct live_run *r, const struct drill *d)
{
	const char *names[UNSUPPORTED_MOST];
	const struct conduct *c = &r->how->conduct;
	struct run run = {
		.drill = d->name, .title = d->about, .repeat = c->repeat, .seed = c->seed, .start = world_wall_at(r->world, (struct mono){0}),
		.utc_offset_us = d->utc_offset_us, .virtual_us = world_now(r->world).us, .events = 0, .sites = r->n, .links = r->n_links,
		.frames = proxy_counts(r->proxy)->pieces, .unsupported = names, .cut_short = r->cut_short, .roster = world_roster(r->world),
		.story = &r->story, .oracle = watch_oracle(r->watch), .series = watch_series(r->watch),
		.speed = r->plan.speed, .shaper = r->shaper ? "kernel" : "proxy", .unjudged = unjudged, .n_unjudged = sizeof unjudged / sizeof *unjudged,
	};

	run.n_unsupported = drill_unsupported(d, names, UNSUPPORTED_MOST - DO_COUNT - 1);
	for (unsigned k = 0; k < DO_COUNT; k++)
		if (r->plan.left_out >> k & 1)
			names[run.n_unsupported++] = drill_do_name((enum drill_do)k);
	if (r->plan.clocks_left_out)
		names[run.n_unsupported++] = "clocks";
	run.wall_s = seconds_since(&r->began);
	c->outcome(c->arg, &run);
}

static enum err play_it(struct live_run *r, struct errmsg *m)
{
	const struct drill *d = r->plan.timed;

	r->zero_us = live_clock_us();
	r->watch = watch_new(r->world, d, &r->story);
	if (r->watch)
		watch_beside(r->watch);
	enum err e = r->watch ? sites_start(r, m) : ERR_NOMEM;

	if (e)
		return e;
	lines_wait(r);
	r->zero_us = live_clock_us();
	e = play_new_paced(d, r->plan.load, r->plan.speed, r->how->conduct.seed, r->world, r->watch, &r->play);
	if (e)
		return err_set(m, e, "drill: it cannot be played: %s", err_text(e));
	bool whole = both_phases(r);

	world_looked(r->world);
	sites_stop(r);
	world_looked(r->world);
	judge_live(r);
	world_books(r->world)->stalls += proxy_counts(r->proxy)->stalls;
	watch_finish(r->watch, !whole);
	progress(r, true);
	return ERR_OK;
}

enum err live_conduct(const struct drill *d, const struct live *l, struct errmsg *m)
{
	struct live_run r = {.how = l, .home = -1, .epoll = -1, .folder = {.pipe = -1}, .story = {.follow = l->conduct.follow, .verbose = l->conduct.messages}};

	clock_gettime(CLOCK_MONOTONIC, &r.began);
	enum err e = make_all(&r, d, m);

	if (!e)
		e = play_it(&r, m);
	if (!e)
		report(&r, d);
	release(&r);
	return e;
}
