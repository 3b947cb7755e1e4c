/* watch.c - what the world tells, told on to witness, oracle, story and pictures. */
#include "sim/watch_int.h"

#define TICK_US (10 * US_PER_S)

enum trouble { TROUBLE_FULL = 1, TROUBLE_SLOW = 2, TROUBLE_PAUSED = 4, TROUBLE_CLOCK = 8 };

static void rates_look(struct watch *w);

/* Everything starts in these: one line tells of it, unless something goes wrong. */
#define BEGINNING_US (20 * US_PER_S)

static void begun(struct watch *w)
{
	size_t n = world_sites(w->world), up = 0, pairs = 0;

	for (size_t i = 0; i < n; i++)
		up += world_site_state(w->world, i) == SITE_UP;
	for (size_t i = 0; i < n * n; i++)
		pairs += w->together[i];
	w->begun = true;
	story_tell(w->story, BEGINNING_US, STORY_SITE, "%zu of %zu sites are up, %zu pairs of them are connected", up, n, pairs);
}

static void now(struct watch *w)
{
	int64_t at = world_now(w->world).us;

	oracle_now(w->oracle, at);
	if (world_roster(w->world) != w->roster) {
		w->roster = world_roster(w->world);
		witness_roster(w->witness, w->roster);
	}
	series_tick(w->series, w->oracle, at);
	if (!w->begun && at >= BEGINNING_US)
		begun(w);
	if (at >= w->tick_at) {
		rates_look(w);
		oracle_tick(w->oracle);
		w->tick_at = at + TICK_US;
	}
}

static uint16_t number(const struct watch *w, size_t site)
{
	return world_site_number(w->world, site);
}

/* ---- steps and replies ------------------------------------------------------------------------------------------- */

/* Another order came into force somewhere: who serves whom, for the picture. */
static void served_changed(struct watch *w)
{
	w->orders_told = oracle_orders_changed(w->oracle);
	for (size_t i = 0; i < world_sites(w->world); i++) {
		struct served by = {0};

		by.n = oracle_served_by(w->oracle, number(w, i), by.site);
		if (memcmp(&by, &w->served[i], sizeof by) != 0)
			series_served(w->series, number(w, i), &by, world_now(w->world).us);
		w->served[i] = by;
	}
}

static void on_step(void *arg, struct world *world, size_t site, const struct event *events, size_t n, const struct effects *out)
{
	struct watch *w = arg;

	now(w);
	witness_step(w->witness, number(w, site), world_store(world, site), events, n, out);
	if (oracle_orders_changed(w->oracle) != w->orders_told)
		served_changed(w);
}

static void on_reply(void *arg, struct world *world, size_t site, uint64_t client, struct view bytes)
{
	struct watch *w = arg;

	(void)world;
	now(w);
	witness_reply(w->witness, number(w, site), client, bytes);
	asking_reply(w, site, bytes);
}

/* ---- sites that are elsewhere ------------------------------------------------------------------------------------- */

static void on_asked(void *arg, struct world *world, size_t site, uint64_t client, struct view bytes)
{
	struct watch *w = arg;

	(void)world;
	now(w);
	witness_asked(w->witness, number(w, site), client, bytes);
}

static void on_look(void *arg, struct world *world)
{
	struct watch *w = arg;
	size_t n = world_sites(world);

	now(w);
	for (size_t i = 0; i < n; i++)
		w->beside[i] = (struct beside){number(w, i), world_store(world, i)};
	witness_look(w->witness, w->beside, n);
	if (oracle_orders_changed(w->oracle) != w->orders_told)
		served_changed(w);
}

void watch_beside(struct watch *w)
{
	witness_beside(w->witness);
	w->live = true;
}

/* ---- news ---------------------------------------------------------------------------------------------------------- */

static void tell(struct watch *w, enum story_kind kind, const char *text)
{
	story_tell(w->story, world_now(w->world).us, kind, "%s", text);
}

static void trouble(struct watch *w, size_t site, enum trouble bit, bool on)
{
	bool was = w->trouble[site] != 0;

	w->trouble[site] = (uint8_t)(on ? w->trouble[site] | bit : w->trouble[site] & ~bit);
	if (was != (w->trouble[site] != 0))
		oracle_site_troubled(w->oracle, number(w, site), !was);
}

static void site_up(struct watch *w, const struct world_news *n)
{
	char text[200];

	witness_start(w->witness, number(w, n->site), world_store(w->world, n->site), NULL);
	series_site(w->series, number(w, n->site), true, world_now(w->world).us);
	snprintf(text, sizeof text, "%s is up%s", world_site_id(w->world, n->site), n->number > 1 ? " again" : "");
	if (w->begun || n->number > 1)
		tell(w, STORY_SITE, text);
}

static void site_down(struct watch *w, const struct world_news *n)
{
	char text[200];

	witness_stop(w->witness, number(w, n->site));
	series_site(w->series, number(w, n->site), false, world_now(w->world).us);
	snprintf(text, sizeof text, "%s is down: %.*s", world_site_id(w->world, n->site), (int)n->text.len, (const char *)n->text.ptr);
	tell(w, STORY_SITE, text);
}

/* The pair as the oracle judges FLASH by it, and as the story tells it. */
static void pair_changed(struct watch *w, size_t a, size_t b, struct view bearer)
{
	int64_t delay, rate, stall;
	char text[200];
	size_t n = world_sites(w->world), lo = a < b ? a : b, hi = a < b ? b : a;
	bool urgent = world_urgent_way(w->world, a, b, &delay, &rate, &stall), both = world_connected(w->world, a, b) && world_connected(w->world, b, a);

	oracle_link(w->oracle, number(w, a), number(w, b), urgent, delay, rate, stall);
	if (both == w->together[lo * n + hi])
		return;
	w->together[lo * n + hi] = both;
	series_link(w->series, number(w, a), number(w, b), both, world_now(w->world).us);
	snprintf(text, sizeof text, "%s and %s %s%s%.*s", world_site_id(w->world, lo), world_site_id(w->world, hi), both ? "are connected" : "have lost their connection",
		 both && bearer.len ? " over " : "", both ? (int)bearer.len : 0, bearer.len ? (const char *)bearer.ptr : "");
	if (w->begun || !both)
		tell(w, STORY_LINK, text);
}

/* Latency, rate and loss change without news; so they are looked at, once something was made slower. */
static void rates_look(struct watch *w)
{
	size_t n = w->slowed ? world_sites(w->world) : 0;
	int64_t delay, rate, stall;

	for (size_t a = 0; a < n; a++)
		for (size_t b = a + 1; b < n; b++)
			if (world_urgent_way(w->world, a, b, &delay, &rate, &stall))
				oracle_link_changed(w->oracle, number(w, a), number(w, b), delay, rate, stall);
}

static void connection(struct watch *w, const struct world_news *n)
{
	char *last = w->bearer[n->site * world_sites(w->world) + n->peer];

	if (n->type == NEWS_CONN_UP && n->text.len && n->number == LANE_URGENT) {
		if (last[0] && !view_equal(n->text, view_str(last)))
			oracle_fault(w->oracle, FAULT_BEARER_CHANGE);
		view_to_str(n->text, last, LIMIT_NAME_BYTES + 1);
	}
	pair_changed(w, n->site, n->peer, n->text);
}

static void commit_failed(struct watch *w, const struct world_news *n)
{
	char text[200];

	oracle_fault(w->oracle, view_equal(n->text, view_str(err_code(ERR_SYNC))) ? FAULT_SYNC_FAILED : FAULT_COMMIT_FAILED);
	snprintf(text, sizeof text, "%s: a commit failed (%.*s)", world_site_id(w->world, n->site), (int)n->text.len, (const char *)n->text.ptr);
	/* On a full disk every one does: the story was told when it filled. */
	if (!(w->trouble[n->site] & TROUBLE_FULL))
		tell(w, STORY_SITE, text);
}

static void journal_replaced(struct watch *w, const struct world_news *n)
{
	char text[200];
	const char *id = world_site_id(w->world, n->site);

	witness_journal_replaced(w->witness, number(w, n->site), n->type == NEWS_RESTORED);
	if (n->type == NEWS_RESTORED)
		snprintf(text, sizeof text, "%s: its journal is a backup now, %lld s old", id, (long long)n->number);
	else
		snprintf(text, sizeof text, "%s: its journal is lost", id);
	tell(w, STORY_SITE, text);
}

static void bit_flipped(struct watch *w, const struct world_news *n)
{
	char text[200];

	oracle_fault(w->oracle, FAULT_BIT_FLIP);
	witness_damaged(w->witness, number(w, n->site));
	snprintf(text, sizeof text, "%s: a bit of entry %lld of its journal is flipped", world_site_id(w->world, n->site), (long long)n->number);
	tell(w, STORY_SITE, text);
}

static void log_line(struct watch *w, const struct world_news *n)
{
	char text[400];

	if (n->number > 4)
		return;
	snprintf(text, sizeof text, "%s: %.*s", world_site_id(w->world, n->site), (int)n->text.len, (const char *)n->text.ptr);
	/* A node that says the same again and again is heard once an hour. */
	struct noted *last = &w->noted[n->site];

	if (last->said && strcmp(last->text, text) == 0 && world_now(w->world).us - last->at < 3600 * US_PER_S)
		return;
	*last = (struct noted){.said = true, .at = world_now(w->world).us};
	snprintf(last->text, sizeof last->text, "%s", text);
	tell(w, STORY_NOTE, text);
}

static void on_news(void *arg, struct world *world, const struct world_news *n)
{
	struct watch *w = arg;

	(void)world;
	now(w);
	switch (n->type) {
	case NEWS_SITE_UP: site_up(w, n); break;
	case NEWS_SITE_DOWN: site_down(w, n); break;
	case NEWS_SITE_PAUSED: trouble(w, n->site, TROUBLE_PAUSED, true); break;
	case NEWS_SITE_RESUMED: trouble(w, n->site, TROUBLE_PAUSED, false); break;
	case NEWS_DISK_FULL: trouble(w, n->site, TROUBLE_FULL, true); break;
	case NEWS_DISK_HAS_ROOM: trouble(w, n->site, TROUBLE_FULL, false); break;
	case NEWS_DISK_SLOW: trouble(w, n->site, TROUBLE_SLOW, true); break;
	case NEWS_DISK_FAST: trouble(w, n->site, TROUBLE_SLOW, false); break;
	case NEWS_CONN_UP:
	case NEWS_CONN_DOWN: connection(w, n); break;
	case NEWS_BEARER_CUT:
	case NEWS_BEARER_BACK: pair_changed(w, n->site, n->peer, view_of(NULL, 0)); break;
	case NEWS_DISK_LOST:
	case NEWS_RESTORED: journal_replaced(w, n); break;
	case NEWS_BIT_FLIPPED: bit_flipped(w, n); break;
	case NEWS_COMMIT_FAILED: commit_failed(w, n); break;
	case NEWS_LOG: log_line(w, n); break;
	default: break;
	}
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

void *watch_room(void *p, size_t n, size_t size)
{
	void *more = realloc(p, (n ? n : 1) * size);

	if (!more) {
		fprintf(stderr, "estafette-sim: out of memory (run a smaller drill)\n");
		exit(1);
	}
	return more;
}

static void *room(size_t n, size_t size)
{
	return memset(watch_room(NULL, n, size), 0, (n ? n : 1) * size);
}

static void expect_timer(void *arg, struct world *world, uint64_t cookie)
{
	struct watch *w = arg;

	(void)world;
	now(w);
	expect_judge(w, &w->drill->expects[cookie]);
}

struct watch *watch_new(struct world *world, const struct drill *d, struct story *story)
{
	struct watch *w = room(1, sizeof *w);
	size_t n = world_sites(world);

	*w = (struct watch){.world = world, .drill = d, .story = story, .roster = world_roster(world)};
	w->oracle = oracle_new(w->roster, story);
	w->witness = witness_new(w->oracle, w->roster);
	w->series = series_new(w->roster, d ? d->length_us + d->settle_us : 3600 * US_PER_S);
	w->together = room(n * n, sizeof *w->together);
	w->bearer = room(n * n, sizeof *w->bearer);
	w->trouble = room(n, sizeof *w->trouble);
	w->noted = room(n, sizeof *w->noted);
	w->served = room(n, sizeof *w->served);
	w->beside = room(n, sizeof *w->beside);
	struct world_hooks hooks = {.arg = w, .step = on_step, .reply = on_reply, .news = on_news, .asked = on_asked, .look = on_look};

	world_subscribe(world, &hooks);
	asking_begin(w);
	for (size_t i = 0; d && i < d->n_expects; i++)
		if (d->expects[i].at_us != MONO_NEVER.us)
			world_at(world, (struct mono){d->expects[i].at_us}, expect_timer, w, i);
	for (size_t i = 0; d && d->clocks && i < n; i++)
		if (d->clocks[i].offset_us || d->clocks[i].drift_ppm)
			oracle_fault(w->oracle, d->clocks[i].drift_ppm ? FAULT_CLOCK_DRIFT : FAULT_CLOCK_OFFSET);
	return w;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	witness_free(w->witness);
	oracle_free(w->oracle);
	series_free(w->series);
	free(w->together);
	free(w->bearer);
	free(w->trouble);
	free(w->noted);
	free(w->served);
	free(w->beside);
	asking_end(w);
	orders_end(w);
	free(w->labels);
	free(w);
}

void watch_sent(struct watch *w, const char *label, size_t site, const struct msgid *id)
{
	if (!label[0])
		return;
	w->labels = watch_room(w->labels, w->n_labels + 1, sizeof *w->labels);
	w->labels[w->n_labels] = (struct label){.site = site, .id = *id};
	snprintf(w->labels[w->n_labels++].name, sizeof w->labels->name, "%s", label);
}

void watch_fault(struct watch *w, enum fault_kind k)
{
	oracle_fault(w->oracle, k);
}

/* ---- the timetable ------------------------------------------------------------------------------------------------------ */

static int fault_of(enum drill_do what)
{
	switch (what) {
	case DO_CRASH: return FAULT_CRASH;
	case DO_POWER_CUT: return FAULT_POWER_CUT;
	case DO_STOP: case DO_PROGRAM: return FAULT_RESTART;
	case DO_PAUSE: return FAULT_PAUSE;
	case DO_DISK_FULL: return FAULT_DISK_FULL;
	case DO_DISK_SLOW: return FAULT_DISK_SLOW;
	case DO_CLOCK_STEP: return FAULT_CLOCK_STEP;
	case DO_CLOCK_DRIFT: return FAULT_CLOCK_DRIFT;
	case DO_LINK_DOWN: return FAULT_LINK_DOWN;
	case DO_LINK_RESET: return FAULT_LINK_RESET;
	case DO_CUT: return FAULT_LINK_ONE_WAY;
	case DO_PARTITION: return FAULT_PARTITION;
	case DO_DEGRADE: return FAULT_LINK_SLOW;
	case DO_ROSTER: return FAULT_ROSTER;
	default: return -1; /* counted when it strikes, or no fault */
	}
}

void watch_said(struct watch *w, const char *text)
{
	now(w);
	tell(w, STORY_PLAN, text);
}

void watch_event(struct watch *w, const struct drill_event *e)
{
	char text[600];
	int fault = fault_of(e->what);

	now(w);
	if (fault >= 0)
		oracle_fault(w->oracle, (enum fault_kind)fault);
	w->slowed = w->slowed || e->what == DO_DEGRADE;
	if (!w->drill)
		return;
	event_text(w, e, text, sizeof text);
	tell(w, e->line ? STORY_PLAN : STORY_FAULT, text);
	if (e->what == DO_CLOCK_STEP || e->what == DO_CLOCK_DRIFT)
		for (size_t i = 0; i < e->sites.n; i++)
			trouble(w, e->sites.v[i], TROUBLE_CLOCK, true);
	/* A repair sets the clocks right; what else troubled a site is told as news when it ends. */
	for (size_t i = 0; e->what == DO_REPAIR && i < world_sites(w->world); i++)
		trouble(w, i, TROUBLE_CLOCK, false);
}

/* ---- the end ---------------------------------------------------------------------------------------------------------------- */

void watch_expects(struct watch *w, bool met, bool skipped, const char *text)
{
	oracle_expect(w->oracle, met, skipped, "%s", text);
}

void watch_repaired(struct watch *w)
{
	now(w);
	for (size_t i = 0; i < world_sites(w->world); i++)
		if (w->trouble[i]) {
			w->trouble[i] = 0;
			oracle_site_troubled(w->oracle, number(w, i), false);
		}
	w->repaired = true;
	tell(w, STORY_PLAN, "everything is repaired; nothing more is sent, desks go on");
	oracle_repaired(w->oracle);
}

bool watch_converged(struct watch *w)
{
	now(w);
	if (!oracle_converged(w->oracle, NULL, 0))
		return false;
	w->orders_agreed = orders_agree(w, w->orders_why, sizeof w->orders_why);
	if (!w->orders_agreed)
		return false;
	for (size_t i = 0; w->drill && i < w->drill->n_expects; i++)
		if (w->drill->expects[i].at_us == MONO_NEVER.us && !expect_holds(w, &w->drill->expects[i]))
			return false;
	return true;
}

void watch_finish(struct watch *w, bool cut_short)
{
	int64_t in_time = w->drill ? w->drill->settle_us : 3600 * US_PER_S;
	bool keeps = true;

	now(w);
	w->cut_short = cut_short;
	if (cut_short)
		oracle_cut_short(w->oracle);
	oracle_converged(w->oracle, NULL, 0);
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < world_sites(w->world); i++) {
			struct store *s = world_store(w->world, i);

			if (s && pass)
				witness_receipts(w->witness, number(w, i), s);
			else if (s)
				witness_final(w->witness, number(w, i), s, world_wall(w->world));
		}
	oracle_struck(w->oracle, FAULT_LINK_STALL, world_counts(w->world)->stalls);
	if (world_counts(w->world)->records_damaged_read)
		oracle_rare(w->oracle, RARE_DAMAGE_FOUND);
	if (w->repaired && !cut_short && w->orders)
		oracle_looked(w->oracle, PROMISE_ORDERS);
	if (w->repaired && !cut_short && w->orders && !w->orders_agreed)
		oracle_broken(w->oracle, PROMISE_ORDERS, "after the last repair, %s", w->orders_why);
	oracle_finish(w->oracle, in_time);
	for (size_t i = 0; w->drill && i < w->drill->n_expects; i++) {
		keeps = keeps && w->drill->expects[i].what != WHAT_LOST;
		if (w->drill->expects[i].at_us == MONO_NEVER.us)
			expect_judge(w, &w->drill->expects[i]);
	}
	struct verdict v;

	oracle_verdict(w->oracle, &v);
	/* A drill that destroys the only journal that holds a message must say so; what a seed draws never does. */
	if (keeps && v.excused && w->drill)
		oracle_expect(w->oracle, false, false, "no accepted message is destroyed with the last journal that held it (%llu were)", (unsigned long long)v.excused);
	series_tick(w->series, w->oracle, world_now(w->world).us);
}

bool watch_failed(const struct watch *w)
{
	return oracle_failed(w->oracle);
}

const struct oracle *watch_oracle(const struct watch *w)
{
	return w->oracle;
}

const struct series *watch_series(const struct watch *w)
{
	return w->series;
}
