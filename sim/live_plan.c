/* live_plan.c - a drill's timetable for real time: made faster, without what real machines cannot be made to do, and without
 * expectations that would then say something else. */
#include <stdio.h>

#include "sim/live_int.h"

#define TIMETABLE_US (60 * US_PER_S)      /* when no speed is named */
#define SETTLE_LEAST_US (90 * US_PER_S)   /* real leases, retransmissions and reconnects need their time */
#define MESSAGES_MOST 2000                /* when no sample is named */
#define LEASE_LEAST_US (20 * US_PER_S)
/* What a node does about a fault takes so long: what is expected sooner after it is not judged, or judged then. */
#define REACTION_US (15 * US_PER_S)

static const uint64_t only_simulated = 1ull << DO_DISK_FULL | 1ull << DO_DISK_SLOW | 1ull << DO_COMMIT_FAIL | 1ull << DO_FLIP_BIT | 1ull << DO_CLOCK_STEP |
				       1ull << DO_CLOCK_DRIFT | 1ull << DO_PROGRAM;

static int64_t faster(int64_t us, int64_t speed)
{
	return us > 0 && us / speed < US_PER_MS ? US_PER_MS : us / speed;
}

/* ---- the traffic ---------------------------------------------------------------------------------------------------- */

static int64_t messages_of(const struct drill *d)
{
	__int128 n = 0;

	for (size_t i = 0; i < d->n_flows; i++) {
		int64_t until = d->flows[i].until_us && d->flows[i].until_us < d->length_us ? d->flows[i].until_us : d->length_us;

		for (size_t k = 0; k < d->flows[i].n_rates && until > d->flows[i].from_us; k++)
			n += (__int128)d->flows[i].rates[k].per_year * (until - d->flows[i].from_us) / (365 * US_PER_DAY);
	}
	return (int64_t)(n * d->sample_ppm / 1000000);
}

static void thin(struct drill *d, const struct live *l, int64_t speed)
{
	int64_t n = messages_of(d);

	if (!l->sample_given && n > MESSAGES_MOST)
		d->sample_ppm = (uint32_t)((int64_t)d->sample_ppm * MESSAGES_MOST / n);
	/* The lines are no faster than in the drill: a burst is so much smaller as there is less time to carry it. */
	for (size_t i = 0; i < d->n_events; i++) {
		struct drill_send *s = d->events[i].send;
		int64_t count = s ? (int64_t)s->count * d->sample_ppm / 1000000 / speed : 0;

		if (s)
			s->count = s->count > 1 && count > 1 ? (uint32_t)count : 1;
	}
}

/* ---- the timetable --------------------------------------------------------------------------------------------------- */

static void events_fit(struct drill *d, struct live_plan *p)
{
	for (size_t i = 0; i < d->n_events; i++) {
		struct drill_event *e = &d->events[i];

		e->at_us = faster(e->at_us, p->speed);
		e->for_us = faster(e->for_us, p->speed);
		if (only_simulated >> e->what & 1)
			p->left_out |= 1ull << e->what;
	}
}

static enum err take_out(struct live_plan *p)
{
	struct drill *less = NULL;
	bool *keep = calloc(p->timed->n_events + 1, sizeof *keep);

	if (!keep)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->timed->n_events; i++)
		keep[i] = !(p->left_out >> p->timed->events[i].what & 1);
	enum err e = drill_copy(p->timed, keep, &less);

	free(keep);
	if (e)
		return e;
	drill_free(p->timed);
	p->timed = less;
	return ERR_OK;
}

/* All machines of a live drill are this one: their clocks cannot differ. */
static void clocks_right(struct live_plan *p)
{
	for (size_t i = 0; i < drill_site_count(p->timed); i++) {
		struct drill_clock *c = &p->timed->clocks[i];

		p->clocks_left_out = p->clocks_left_out || c->offset_us || c->drift_ppm;
		*c = (struct drill_clock){0};
	}
}

static void links_fit(struct drill *d, int64_t speed)
{
	for (size_t i = 0; i < d->n_links; i++) {
		struct drill_schedule *s = &d->links[i].schedule;

		s->every_us = faster(s->every_us, speed);
		s->up_us = faster(s->up_us, speed);
		s->offset_us = faster(s->offset_us, speed);
	}
	for (size_t i = 0; i < d->n_desks; i++)
		if (d->desks[i].lease_us)
			d->desks[i].lease_us = d->desks[i].lease_us / speed > LEASE_LEAST_US ? d->desks[i].lease_us / speed : LEASE_LEAST_US;
}

/* ---- what is expected -------------------------------------------------------------------------------------------------- */

/* Between the last event and the expectation, in the drill's own time. */
static int64_t margin(const struct drill *d, int64_t at_us)
{
	int64_t last = 0;

	for (size_t i = 0; i < d->n_events; i++)
		if (d->events[i].what != DO_NOTE && d->events[i].at_us <= at_us && d->events[i].at_us > last)
			last = d->events[i].at_us;
	return at_us - last;
}

/* Does anything befall the network between these two times of the drill? */
static bool befalls(const struct drill *d, int64_t after_us, int64_t until_us)
{
	static const uint64_t harmless = 1ull << DO_NOTE | 1ull << DO_SEND | 1ull << DO_RATE;

	for (size_t i = 0; i < d->n_events; i++)
		if (!(harmless >> d->events[i].what & 1) && d->events[i].at_us > after_us && d->events[i].at_us <= until_us)
			return true;
	return false;
}

/* Why it cannot be judged live, after moving it to its time; NULL: it can. */
static const char *expect_fit(struct drill_expect *e, const struct drill *d, int64_t speed)
{
	bool timed = e->at_us != MONO_NEVER.us;
	int64_t before = timed ? margin(d, e->at_us) : 0, at = timed ? e->at_us / speed : e->at_us;

	if (e->what == WHAT_ACCEPTED || e->what == WHAT_WAITING || (e->what == WHAT_READ && (e->at_most >= 0 || timed)))
		return "it counts all the drill's traffic in its own time";
	bool grows = timed && e->what == WHAT_STATE; /* it may be asked later, when nothing came in between */

	if (grows)
		at = (e->at_us - before) / speed + (before < REACTION_US ? before : REACTION_US);
	if (grows && speed > 1 && befalls(d, e->at_us, at * speed))
		return "the timetable is too fast for it";
	if (timed && !grows && e->what != WHAT_NO_ALARM && before / speed < before && before / speed < REACTION_US)
		return "the timetable is too fast for it";
	e->at_us = at;
	return NULL;
}

static enum err expects_fit(struct live_plan *p, const struct drill *d)
{
	struct drill *t = p->timed;
	size_t n = 0;

	p->skips = calloc(t->n_expects + 1, sizeof *p->skips);
	if (!p->skips)
		return ERR_NOMEM;
	for (size_t i = 0; i < t->n_expects; i++) {
		struct drill_expect e = t->expects[i];
		const char *why = expect_fit(&e, d, p->speed);

		if (why) {
			snprintf(p->skips[p->n_skips++].text, sizeof p->skips->text, "%s (line %u): %s", drill_what_name(e.what), e.line, why);
			free(e.sites.v);
			free(e.from.v);
			free(e.to.v);
		} else {
			t->expects[n++] = e;
		}
	}
	t->n_expects = n;
	return ERR_OK;
}

/* ---- both ------------------------------------------------------------------------------------------------------------------ */

static enum err plan_note(struct live_plan *p)
{
	struct drill_event note = {.what = DO_NOTE, .line = 1, .bearer = -1};
	size_t used = (size_t)snprintf(note.text, sizeof note.text, "live: the timetable goes %lld times as fast, %.4g %% of its traffic",
				       (long long)p->speed, (double)p->load->sample_ppm / 10000);

	for (unsigned k = 0; k < DO_COUNT && used < sizeof note.text; k++)
		if (p->left_out >> k & 1)
			used += (size_t)snprintf(note.text + used, sizeof note.text - used, "; without %s", drill_do_name((enum drill_do)k));
	return drill_add_event(p->timed, &note);
}

enum err live_plan_make(const struct drill *d, const struct live *l, struct live_plan *p, struct errmsg *m)
{
	p->speed = l->speed > 0 ? l->speed : (d->length_us + TIMETABLE_US - 1) / TIMETABLE_US;
	enum err e = drill_copy(d, NULL, &p->load);

	if (!e) {
		thin(p->load, l, p->speed);
		e = drill_copy(p->load, NULL, &p->timed);
	}
	if (!e) {
		clocks_right(p);
		p->timed->length_us = faster(d->length_us, p->speed);
		p->timed->settle_us = d->settle_us / p->speed > SETTLE_LEAST_US ? d->settle_us / p->speed : d->settle_us < SETTLE_LEAST_US ? d->settle_us : SETTLE_LEAST_US;
		links_fit(p->timed, p->speed);
		e = expects_fit(p, d);
	}
	if (!e) {
		events_fit(p->timed, p);
		e = take_out(p);
	}
	if (!e)
		e = plan_note(p);
	return e ? err_set(m, e, "live: the drill cannot be made ready: %s", err_text(e)) : ERR_OK;
}

void live_plan_release(struct live_plan *p)
{
	drill_free(p->load);
	drill_free(p->timed);
	free(p->skips);
}
