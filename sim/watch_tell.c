/* watch_tell.c - an event of the timetable in plain words, for the story. */
#include <stdarg.h>

#include "sim/watch_int.h"

static void span_text(int64_t us, char *out, size_t size)
{
	if (us % (3600 * US_PER_S) == 0)
		snprintf(out, size, "%lld h", (long long)(us / (3600 * US_PER_S)));
	else if (us % (60 * US_PER_S) == 0)
		snprintf(out, size, "%lld min", (long long)(us / (60 * US_PER_S)));
	else
		snprintf(out, size, "%.4g s", (double)us / US_PER_S);
}

static void event_where(const struct watch *w, const struct drill_event *e, char *out, size_t size)
{
	char a[120], b[120];

	if (e->what == DO_SEND) {
		sites_text(w->drill, &e->from, out, size);
	} else if (e->what == DO_ROSTER) {
		sites_text(w->drill, &e->sites, out, size);
	} else if (e->from.n && e->sites.n) {
		sites_text(w->drill, &e->sites, a, sizeof a);
		sites_text(w->drill, &e->from, b, sizeof b);
		snprintf(out, size, "%s, by order of %s", a, b);
	} else if (e->from.n || e->to.n) {
		sites_text(w->drill, &e->from, a, sizeof a);
		sites_text(w->drill, &e->to, b, sizeof b);
		snprintf(out, size, "%s %s %s", a, e->what == DO_CUT ? "->" : "-", b);
	} else {
		sites_text(w->drill, &e->sites, out, size);
	}
}

/* "dispatch to cic-vlaams-brabant, area eupen to cic-namen" of "cic-vlaams-brabant:dispatch cic-namen:area=eupen". */
static void moves_text(const char *assignments, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (const char *at = assignments; *at && used < size;) {
		size_t all = strcspn(at, " "), name = strcspn(at, ": ");
		const char *what = at + name + (at[name] == ':');
		int n = (int)(at + all - what);
		bool area = n > 5 && strncmp(what, "area=", 5) == 0, share = n > 6 && strncmp(what, "share=", 6) == 0;
		int skip = area ? 5 : share ? 6 : 0;

		used += (size_t)snprintf(out + used, size - used, "%s%s%.*s%s to %.*s", used ? ", " : "", area ? "area " : "", n ? n - skip : 10,
					 n ? what + skip : "everything", share ? " of it" : "", (int)name, at);
		at += all + (at[all] == ' ');
	}
}

/* Orders, and what is lent, in plain words. False for other events. */
static bool order_text_of(const struct watch *w, const struct drill_event *e, char *out, size_t size)
{
	char moves[400], by[160] = "", first[60] = "";
	const char *site = e->sites.n ? drill_site_name(w->drill, e->sites.v[0]) : "";
	struct drill_sites rest = {e->from.n ? e->from.n - 1 : 0, e->from.v + 1};

	if (e->from.n)
		snprintf(first, sizeof first, ", by order of %s", drill_site_name(w->drill, e->from.v[0]));
	if (rest.n)
		sites_text(w->drill, &rest, by, sizeof by);
	if (e->what == DO_RELOCATE) {
		moves_text(e->text, moves, sizeof moves);
		snprintf(out, size, "%s moves: %s%s%s%s%s%s", site, moves, first, by[0] ? " with " : "", by, e->flow[0] ? "; an exercise: " : "", e->flow);
	} else if (e->what == DO_HANDBACK) {
		snprintf(out, size, "%s takes its queues back%s%s%s%s%s", site, first, by[0] ? " with " : "", by, e->flow[0] ? "; an exercise: " : "", e->flow);
	} else if (e->what == DO_MINIMIZE) {
		char span[40];

		span_text(e->for_us, span, sizeof span);
		snprintf(out, size, "MINIMIZE%s%s%s: %s%s held back for %s", first, by[0] ? " with " : "", by, precedence_name((unsigned)e->value),
			 e->value < PREC_ROUTINE ? " and below" : "", span);
	} else if (e->what == DO_ASSIST) {
		snprintf(out, size, "%s lends %lld of %s to %s", drill_site_name(w->drill, e->from.v[0]), (long long)e->value, e->queue,
			 drill_site_name(w->drill, e->to.v[0]));
	}
	return e->what == DO_RELOCATE || e->what == DO_HANDBACK || e->what == DO_ASSIST || e->what == DO_MINIMIZE;
}

/* ---- figures ---------------------------------------------------------------------------------------------------------- */

static PRINTF_LIKE(3, 4) void more(char *out, size_t size, const char *fmt, ...)
{
	size_t used = strlen(out);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out + used, size - used, fmt, ap);
	va_end(ap);
}

static void more_span(char *out, size_t size, const char *what, int64_t us)
{
	char span[40];

	if (us < 0)
		return;
	span_text(us, span, sizeof span);
	if (us < US_PER_S)
		snprintf(span, sizeof span, "%.6g ms", (double)us / US_PER_MS);
	more(out, size, ", %s %s", what, span);
}

/* What a bearer is from now on: ", delay 700 ms, 64 kbit/s". */
static void change_text(const struct bearer_change *c, char *out, size_t size)
{
	more_span(out, size, "delay", c->delay_us);
	more_span(out, size, "jitter", c->jitter_us);
	if (c->rate_bps >= 0)
		more(out, size, c->rate_bps ? ", %.6g kbit/s" : ", any rate", (double)c->rate_bps / 1000);
	if (c->queue_bytes >= 0)
		more(out, size, ", a queue of %lld B", (long long)c->queue_bytes);
	if (c->loss_ppm >= 0)
		more(out, size, ", loss %.4g %%", (double)c->loss_ppm / 10000);
}

/* Of what, and how much: after the event's name. */
static void figures_text(const struct watch *w, const struct drill_event *e, char *out, size_t size)
{
	bool bearers = e->what == DO_LINK_DOWN || e->what == DO_LINK_UP || e->what == DO_DEGRADE;
	const char *of = e->queue[0] ? e->queue : e->what == DO_RATE ? e->flow : bearers && e->bearer >= 0 ? w->drill->bearers[e->bearer].name : "";
	char standbys[160];

	snprintf(out, size, "%s%s", of[0] ? " of " : "", of);
	switch (e->what) {
	case DO_RATE: more(out, size, " times %.6g", (double)e->value / 1000); break;
	case DO_DEGRADE: change_text(&e->degrade, out, size); break;
	case DO_DISK_FULL:
		if (e->value)
			more(out, size, ", %.6g %% of its room used", (double)e->value / 10000);
		break;
	case DO_DISK_SLOW: more_span(out, size, "each commit", e->value_us); break;
	case DO_PROGRAM: more(out, size, " of protocol %lld at most", (long long)e->value); break;
	case DO_COMMIT_FAIL: more(out, size, ", commit %lld from now", (long long)e->value); break;
	case DO_CLOCK_STEP: more(out, size, " by %+.6g s", (double)e->value_us / US_PER_S); break;
	case DO_CLOCK_DRIFT: more(out, size, " of %+lld ppm", (long long)e->value); break;
	case DO_ROSTER:
		sites_text(w->drill, &e->to, standbys, sizeof standbys);
		if (e->to.n)
			more(out, size, " with standbys %s", standbys);
		break;
	default: break;
	}
}

void event_text(const struct watch *w, const struct drill_event *e, char *out, size_t size)
{
	char where[260], figures[260], span[40] = "";

	event_where(w, e, where, sizeof where);
	figures_text(w, e, figures, sizeof figures);
	if (e->for_us)
		span_text(e->for_us, span, sizeof span);
	if (order_text_of(w, e, out, size))
		return;
	if (e->what == DO_NOTE)
		snprintf(out, size, "%s", e->text);
	else if (e->what == DO_CANCEL)
		snprintf(out, size, "the sender cancels %s", e->text);
	else if (e->what == DO_SEND && e->send)
		snprintf(out, size, "%s: send %u x %s to %s%s%s", where, e->send->count, precedence_name(e->send->precedence), e->send->address,
			 e->send->label[0] ? " as " : "", e->send->label);
	else
		snprintf(out, size, "%s: %s%s%s%s%s", where, drill_do_name(e->what), figures, !span[0] ? "" : strchr(figures, ',') ? ", for " : " for ", span,
			 drill_do_supported(e->what) ? "" : " (not supported yet: nothing happens)");
}
