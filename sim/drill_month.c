/* drill_month.c - one month of a drill's timetable, or a part of it, as a drill of its own, so that a year can be run in parts, side by side. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/drill_read.h"

/* The beginning of month n (0 to 12) of the year in which the drill begins, local time, from its start on. */
static int64_t month_begins(const struct drill *d, int n)
{
	time_t s = (time_t)((d->start.us + d->utc_offset_us) / US_PER_S);
	struct tm tm;

	gmtime_r(&s, &tm);
	tm = (struct tm){.tm_year = tm.tm_year + n / 12, .tm_mon = n % 12, .tm_mday = 1};
	return (int64_t)timegm(&tm) * US_PER_S - d->utc_offset_us - d->start.us;
}

static void cut_events(struct drill *d, int64_t from, int64_t until)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_events; i++) {
		struct drill_event *e = &d->events[i];

		if (e->at_us < from || e->at_us >= until) {
			drill_event_release(e);
			continue;
		}
		e->at_us -= from;
		d->events[n++] = *e; /* transferred */
	}
	d->n_events = n;
}

/* What is expected at its end, of every part; and of this one what lies in it. Figures are of the whole. */
static void cut_expects(struct drill *d, int64_t from, int64_t until)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_expects; i++) {
		struct drill_expect *e = &d->expects[i];
		bool at_end = e->at_us == MONO_NEVER.us;

		if (e->figure || (!at_end && (e->at_us < from || e->at_us >= until))) {
			free(e->sites.v);
			free(e->from.v);
			free(e->to.v);
			continue;
		}
		e->at_us -= at_end ? 0 : from;
		d->expects[n++] = *e; /* transferred */
	}
	d->n_expects = n;
}

static void cut_flows(struct drill *d, int64_t from, int64_t until)
{
	for (size_t i = 0; i < d->n_flows; i++) {
		struct drill_flow *f = &d->flows[i];
		int64_t ends = f->until_us && f->until_us < until ? f->until_us : until;

		/* One that is not of this month is one that sends nothing. */
		if (ends <= from || f->from_us >= until)
			f->n_rates = 0;
		f->from_us = f->from_us > from ? f->from_us - from : 0;
		f->until_us = ends - from > 0 ? ends - from : 0;
	}
}

static void cut(struct drill *d, int64_t from, int64_t until)
{
	cut_events(d, from, until);
	cut_expects(d, from, until);
	cut_flows(d, from, until);
	d->start.us += from;
	d->begun_us += from;
	d->length_us = until - from;
}

enum err drill_part(struct drill *d, const char *value, struct errmsg *m)
{
	char *end;
	long k = strtol(value, &end, 10), n = *end == '/' ? strtol(end + 1, &end, 10) : 0;

	if (*value < '0' || *value > '9' || *end || k < 1 || n > 1000 || k > n)
		return err_set(m, ERR_USAGE, "--set part: \"%.40s\" is no part (write 2/6, the second of six)", value);
	int64_t each = d->length_us / n / US_PER_S * US_PER_S;

	if (each < US_PER_S)
		return err_set(m, ERR_USAGE, "--set part: the timetable is too short for %ld parts", n);
	cut(d, (k - 1) * each, k == n ? d->length_us : k * each);
	return ERR_OK;
}

enum err drill_month(struct drill *d, const char *value, struct errmsg *m)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || n < 1 || n > 12)
		return err_set(m, ERR_USAGE, "--set month: \"%.40s\" is no month (1 to 12)", value);
	int64_t from = month_begins(d, (int)n - 1), until = month_begins(d, (int)n);

	if (from < 0 || until > d->length_us)
		return err_set(m, ERR_USAGE, "--set month: month %ld is not in the timetable as a whole (it begins with the drill, or later, and ends before it)", n);
	cut(d, from, until);
	return ERR_OK;
}
