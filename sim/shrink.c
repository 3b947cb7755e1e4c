#include "sim/shrink.h"

#include <stdlib.h>


struct shrinking {
	struct drill *best;
	shrink_fails *fails;
	void *arg;
	unsigned runs, max_runs;
};

/* Takes the smaller one when it still fails. try_it is given away. */
static bool better(struct shrinking *s, struct drill *try_it)
{
	if (s->runs >= s->max_runs) {
		drill_free(try_it);
		return false;
	}
	s->runs++;
	if (!s->fails(s->arg, try_it)) {
		drill_free(try_it);
		return false;
	}
	drill_free(s->best);
	s->best = try_it; /* transferred */
	return true;
}

/* ---- events --------------------------------------------------------------------------------------------------------- */

/* A label that an expectation or a cancel speaks of keeps its message. */
static bool is_needed(const struct drill *d, const struct drill_event *e)
{
	if (e->send == NULL || e->send->label[0] == '\0')
		return false;
	for (size_t i = 0; i < d->n_expects; i++)
		if (strcmp(d->expects[i].message, e->send->label) == 0)
			return true;
	return false;
}

/* A cancel goes with its message, so that what is left can be read as a drill. */
static void drop_orphans(const struct drill *d, bool *keep)
{
	for (size_t i = 0; i < d->n_events; i++) {
		bool sent = d->events[i].what != DO_CANCEL;
		for (size_t k = 0; k < d->n_events && !sent; k++)
			sent = keep[k] && d->events[k].send && strcmp(d->events[k].send->label, d->events[i].text) == 0;
		keep[i] = keep[i] && sent;
	}
}

static enum err without_range(struct shrinking *s, size_t at, size_t n, bool *smaller)
{
	size_t all = s->best->n_events, gone = 0;
	bool *keep = malloc((all + 1) * sizeof *keep);
	struct drill *d = NULL;

	*smaller = false;
	if (keep == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < all; i++) {
		keep[i] = i < at || i >= at + n || is_needed(s->best, &s->best->events[i]);
		gone += !keep[i];
	}
	drop_orphans(s->best, keep);
	enum err e = gone ? drill_copy(s->best, keep, &d) : ERR_OK;
	free(keep);
	if (!e && d)
		*smaller = better(s, d);
	return e;
}

/* Halves, quarters, ... single events: each is left out if it fails without it too. */
static enum err fewer_events(struct shrinking *s)
{
	for (size_t n = (s->best->n_events + 1) / 2; n > 0; n = n > 1 ? (n + 1) / 2 : 0)
		for (size_t at = 0; at < s->best->n_events && s->runs < s->max_runs;) {
			bool smaller;
			enum err e = without_range(s, at, n, &smaller);
			if (e)
				return e;
			if (!smaller)
				at += n;
		}
	return ERR_OK;
}

/* ---- time -------------------------------------------------------------------------------------------------------------- */

static enum err with_length(struct shrinking *s, int64_t length_us, bool *smaller)
{
	struct drill *d = NULL;
	bool *keep = malloc((s->best->n_events + 1) * sizeof *keep);

	*smaller = false;
	if (keep == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < s->best->n_events; i++)
		keep[i] = s->best->events[i].at_us <= length_us || is_needed(s->best, &s->best->events[i]);
	drop_orphans(s->best, keep);
	enum err e = drill_copy(s->best, keep, &d);
	free(keep);
	if (e)
		return e;
	bool cuts_message = false;
	for (size_t i = 0; i < d->n_events; i++)
		cuts_message |= d->events[i].at_us > length_us;
	for (size_t i = 0; i < d->n_expects; i++)
		cuts_message |= d->expects[i].at_us != MONO_NEVER.us && d->expects[i].at_us > length_us + d->settle_us;
	d->length_us = length_us;
	if (cuts_message)
		drill_free(d);
	else
		*smaller = better(s, d);
	return ERR_OK;
}

/* Bisects for the shortest timetable, to a minute. */
static enum err less_time(struct shrinking *s)
{
	int64_t fails = s->best->length_us, passes = 0;

	while (fails - passes > 60 * US_PER_S && s->runs < s->max_runs) {
		bool smaller;
		int64_t mid = passes + (fails - passes) / 2;
		enum err e = with_length(s, mid / US_PER_S * US_PER_S, &smaller);
		if (e)
			return e;
		if (smaller)
			fails = mid;
		else
			passes = mid;
	}
	return ERR_OK;
}

/* ---- traffic and desks --------------------------------------------------------------------------------------------------- */

static bool flow_is_named(const struct drill *d, const char *name)
{
	for (size_t i = 0; i < d->n_events; i++)
		if (strcmp(d->events[i].flow, name) == 0)
			return true;
	return false;
}

static enum err fewer_flows(struct shrinking *s)
{
	for (size_t i = 0; i < s->best->n_flows && s->runs < s->max_runs;) {
		struct drill *d = NULL;
		enum err e = flow_is_named(s->best, s->best->flows[i].name) ? ERR_OK : drill_copy(s->best, NULL, &d);
		if (e)
			return e;
		if (d) {
			free(d->flows[i].rates);
			free(d->flows[i].bodies);
			memmove(&d->flows[i], &d->flows[i + 1], (--d->n_flows - i) * sizeof *d->flows);
		}
		if (d == NULL || !better(s, d))
			i++;
	}
	return ERR_OK;
}

/* Half of the senders of each flow, again and again. */
static enum err fewer_senders(struct shrinking *s)
{
	for (size_t f = 0; f < s->best->n_flows; f++)
		for (int half = 0; half < 2 && s->best->flows[f].n_rates > 1 && s->runs < s->max_runs;) {
			struct drill *d = NULL;
			enum err e = drill_copy(s->best, NULL, &d);
			if (e)
				return e;
			struct drill_flow *flow = &d->flows[f];
			size_t n = flow->n_rates / 2;
			if (half)
				memmove(flow->rates, flow->rates + n, (flow->n_rates - n) * sizeof *flow->rates);
			flow->n_rates = half ? flow->n_rates - n : n;
			half = better(s, d) ? 0 : half + 1;
		}
	return ERR_OK;
}

enum err shrink(const struct drill *d, shrink_fails *fails, void *arg, unsigned max_runs, struct drill **out)
{
	struct shrinking s = {.fails = fails, .arg = arg, .max_runs = max_runs};
	enum err e = drill_copy(d, NULL, &s.best);

	if (!e)
		e = fewer_events(&s);
	if (!e)
		e = less_time(&s);
	if (!e)
		e = fewer_flows(&s);
	if (!e)
		e = fewer_senders(&s);
	if (!e)
		e = fewer_events(&s);
	if (e) {
		drill_free(s.best);
		return e;
	}
	*out = s.best;
	return ERR_OK;
}
