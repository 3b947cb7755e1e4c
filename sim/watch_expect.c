/* watch_expect.c - what a drill expects, judged at its moment. */
#include "sim/watch_int.h"

void sites_text(const struct drill *d, const struct drill_sites *s, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	if (!s->n || s->n == drill_site_count(d)) {
		snprintf(out, size, "every site");
		return;
	}
	for (size_t i = 0; i < s->n && at < size; i++) {
		if (i >= 4) {
			snprintf(out + at, size - at, " and %zu more", s->n - i);
			return;
		}
		int n = snprintf(out + at, size - at, "%s%s", i ? ", " : "", drill_site_name(d, s->v[i]));

		at += n > 0 ? (size_t)n : 0;
	}
}

/* Flags by roster number for a set of a drill's sites; NULL: all. */
static const bool *flags_of(const struct watch *w, const struct drill_sites *s, bool flags[65536])
{
	if (!s->n)
		return NULL;
	memset(flags, 0, 65536);
	for (size_t i = 0; i < s->n; i++)
		flags[world_site_number(w->world, s->v[i])] = true;
	return flags;
}

static void count_of(struct watch *w, const struct drill_expect *e, struct tally *t)
{
	static const struct drill_sites all = {0, NULL};
	bool *from = malloc(65536), *to = malloc(65536);
	struct tally_of of = {.precedence = e->precedence, .percentile = 99};

	*t = (struct tally){0};
	if (from && to) {
		of.from = flags_of(w, e->what == WHAT_WAITING ? &all : &e->from, from);
		of.to = flags_of(w, e->what == WHAT_WAITING ? &e->sites : &e->to, to);
		oracle_tally(w->oracle, &of, t);
	}
	free(from);
	free(to);
}

static void between(const struct drill_expect *e, char *out, size_t size)
{
	if (e->at_most >= 0 && e->at_least)
		snprintf(out, size, "%lld to %lld", (long long)e->at_least, (long long)e->at_most);
	else if (e->at_most >= 0)
		snprintf(out, size, "at most %lld", (long long)e->at_most);
	else
		snprintf(out, size, "at least %lld", (long long)e->at_least);
}

static bool within(const struct drill_expect *e, int64_t value)
{
	return value >= e->at_least && (e->at_most < 0 || value <= e->at_most);
}

/* "from A to B, flash" as far as it is said. */
static void scope(const struct watch *w, const struct drill_expect *e, char *out, size_t size)
{
	char a[120] = "", b[120] = "";

	if (e->from.n)
		sites_text(w->drill, &e->from, a, sizeof a);
	if (e->to.n || e->sites.n)
		sites_text(w->drill, e->to.n ? &e->to : &e->sites, b, sizeof b);
	snprintf(out, size, "%s%s%s%s%s%s", a[0] ? " from " : "", a, b[0] ? (e->what == WHAT_WAITING ? " at " : " to ") : "", b,
		 e->precedence >= 0 ? ", " : "", e->precedence >= 0 ? precedence_name((unsigned)e->precedence) : "");
}

static bool supported(const struct drill_expect *e)
{
	for (unsigned k = 0; k < DO_COUNT; k++)
		if (e->needs >> k & 1 && !drill_do_supported((enum drill_do)k))
			return false;
	return e->what != WHAT_SERVED_BY || drill_do_supported(DO_RELOCATE);
}

static int64_t counted(struct watch *w, const struct drill_expect *e)
{
	struct tally t;

	count_of(w, e, &t);
	if (e->what == WHAT_READ)
		return t.accepted ? (int64_t)(100 * t.read / t.accepted) : 100;
	return (int64_t)(e->what == WHAT_WAITING ? t.waiting : t.accepted);
}

/* By the journals of the sites that are to serve, and of those that are up of whose queues it is. */
static bool is_served_by(const struct watch *w, const struct drill_expect *e)
{
	for (size_t i = 0; i < e->sites.n; i++) {
		uint16_t site = world_site_number(w->world, e->sites.v[i]);
		bool home = sites_has(&e->to, e->sites.v[i]);

		for (size_t k = 0; k < e->to.n; k++)
			if (!oracle_serves(w->oracle, world_site_number(w->world, e->to.v[k]), site, e->queue, false))
				return false;
		if (!home && e->queue[0] && world_site_state(w->world, e->sites.v[i]) == SITE_UP && oracle_serves(w->oracle, site, site, e->queue, false))
			return false;
	}
	return true;
}

static void judge_served_by(struct watch *w, const struct drill_expect *e)
{
	char a[120], b[120];

	sites_text(w->drill, &e->sites, a, sizeof a);
	sites_text(w->drill, &e->to, b, sizeof b);
	oracle_expect(w->oracle, is_served_by(w, e), false, "%s of %s is served by %s", e->queue[0] ? e->queue : "a queue", a, b);
}

bool expect_holds(struct watch *w, const struct drill_expect *e)
{
	if (e->what == WHAT_SERVED_BY && supported(e))
		return is_served_by(w, e);
	return !supported(e) || (e->what != WHAT_READ && e->what != WHAT_WAITING) || within(e, counted(w, e));
}

static void judge_count(struct watch *w, const struct drill_expect *e)
{
	char range[80], where[300];
	int64_t value = counted(w, e);
	const char *noun = e->what == WHAT_READ ? "% of the messages accepted are read" : e->what == WHAT_WAITING ? " messages wait" : " messages are accepted";

	between(e, range, sizeof range);
	scope(w, e, where, sizeof where);
	oracle_expect(w->oracle, within(e, value), false, "%s%s%s (it is %lld)", range, noun, where, (long long)value);
}

static void judge_delay(struct watch *w, const struct drill_expect *e)
{
	struct verdict v;

	oracle_verdict(w->oracle, &v);
	bool flash = e->what == WHAT_FLASH_DELAY;
	unsigned p = e->precedence >= 0 && e->precedence < PREC_COUNT ? (unsigned)e->precedence : PREC_FLASH;
	int64_t value = flash ? (e->percentile <= 50 ? v.flash_p50_us : e->percentile >= 100 ? v.flash_max_us : v.flash_p99_us)
			      : (e->percentile <= 50 ? v.read_p50_us[p] : v.read_p99_us[p]);

	char is[40] = "there was none";
	/* Of few messages the 99th percentile is the slowest, and of a live drill there are few: one piece that is lost would be the verdict. */
	uint64_t n = flash ? v.flash_timed : v.read_timed[p];
	bool few = w->live && e->percentile < 100 && n * (100 - (uint64_t)e->percentile) < 100;

	if (value >= 0)
		snprintf(is, sizeof is, "it is %.1f s", (double)value / US_PER_S);
	oracle_expect(w->oracle, value >= 0 && value <= e->within_us, few && value >= 0, "%d %% of %s messages are %s within %.1f s (%s)", e->percentile,
		      precedence_name(flash ? PREC_FLASH : p), flash ? "held by their addressee" : "handed out", (double)e->within_us / US_PER_S, is);
}

static void judge_converged(struct watch *w, const struct drill_expect *e)
{
	struct verdict v;

	oracle_verdict(w->oracle, &v);
	oracle_expect(w->oracle, v.converged_us >= 0 && v.converged_us <= e->within_us, false, "all journals agree within %.0f s after the repair (it took %s%.0f s)",
		      (double)e->within_us / US_PER_S, v.converged_us < 0 ? "more than " : "",
		      (double)(v.converged_us < 0 ? w->drill->settle_us : v.converged_us) / US_PER_S);
}

/* Refused, expired and cancelled are ends of their own: a message there never got further. */
static bool got_to(enum wait_state is, enum wait_state want)
{
	return want <= STATE_READ && is <= STATE_READ ? is >= want : is == want;
}

static void judge_state(struct watch *w, const struct drill_expect *e)
{
	enum wait_state want, is = STATE_ACCEPTED;
	bool known = false;

	if (wait_state_parse(e->state, &want))
		return;
	for (size_t i = 0; i < w->n_labels && !known; i++)
		if (strcmp(w->labels[i].name, e->message) == 0) {
			is = oracle_state_of(w->oracle, &w->labels[i].id);
			known = true;
		}
	oracle_expect(w->oracle, known && got_to(is, want), false, "message %s is %s (it is %s)", e->message, e->state,
		      known ? wait_state_name(is) : "not accepted");
}

struct alarm_seek { const char *kind; bool found; };

static enum err alarm_seen(void *arg, const struct alarm_row *a)
{
	struct alarm_seek *s = arg;

	s->found = s->found || (a->active && strcmp(a->kind, s->kind) == 0);
	return ERR_OK;
}

static bool has_alarm(struct watch *w, size_t site, const char *kind)
{
	struct alarm_seek s = {kind, false};
	struct store *store = world_store(w->world, site);
	struct txn *t = NULL;

	if (!store || txn_begin(store, false, &t))
		return false;
	enum err e = store_alarm_each(t, alarm_seen, &s);

	(void)e; /* a damaged alarm is none that can be shown */
	txn_abort(t);
	return s.found;
}

static void judge_alarm(struct watch *w, const struct drill_expect *e)
{
	bool want = e->what == WHAT_ALARM, ok = true;
	size_t n = e->sites.n ? e->sites.n : world_sites(w->world);
	char where[200];

	sites_text(w->drill, &e->sites, where, sizeof where);
	for (size_t i = 0; i < n && ok; i++)
		ok = has_alarm(w, e->sites.n ? e->sites.v[i] : i, e->kind) == want;
	oracle_expect(w->oracle, ok, false, "%s the alarm \"%s\" at %s", want ? "there is" : "there is not", e->kind, where);
}

static void judge_link(struct watch *w, const struct drill_expect *e)
{
	bool up = strcmp(e->state, "up") == 0, ok = true;
	char a[120], b[120];

	sites_text(w->drill, &e->from, a, sizeof a);
	sites_text(w->drill, &e->to, b, sizeof b);
	for (size_t i = 0; i < e->from.n; i++)
		for (size_t k = 0; k < e->to.n; k++)
			if (e->from.v[i] != e->to.v[k])
				ok = ok && world_connected(w->world, e->from.v[i], e->to.v[k]) == up;
	oracle_expect(w->oracle, ok, false, "links from %s to %s are %s", a, b, e->state);
}

static void judge_total(struct watch *w, const struct drill_expect *e)
{
	struct verdict v;
	char range[80];

	oracle_verdict(w->oracle, &v);
	between(e, range, sizeof range);
	int64_t value = (int64_t)(e->what == WHAT_CONFLICTS ? v.twice_reported : v.excused);

	oracle_expect(w->oracle, within(e, value), false, "%s messages are %s (it is %lld)", range,
		      e->what == WHAT_CONFLICTS ? "handled twice, and reported so" : "destroyed with every journal that held them", (long long)value);
}

void expect_judge(struct watch *w, const struct drill_expect *e)
{
	if (!supported(e)) {
		oracle_expect(w->oracle, false, true, "%s (line %u): it needs what the node cannot do yet", drill_what_name(e->what), e->line);
		return;
	}
	if (w->cut_short && e->at_us == MONO_NEVER.us) {
		oracle_expect(w->oracle, false, true, "%s (line %u): the run ended before its moment", drill_what_name(e->what), e->line);
		return;
	}
	switch (e->what) {
	case WHAT_ACCEPTED:
	case WHAT_READ:
	case WHAT_WAITING: judge_count(w, e); break;
	case WHAT_FLASH_DELAY:
	case WHAT_READ_DELAY: judge_delay(w, e); break;
	case WHAT_CONVERGED: judge_converged(w, e); break;
	case WHAT_STATE: judge_state(w, e); break;
	case WHAT_ALARM:
	case WHAT_NO_ALARM: judge_alarm(w, e); break;
	case WHAT_LINK: judge_link(w, e); break;
	case WHAT_SERVED_BY: judge_served_by(w, e); break;
	case WHAT_CONFLICTS:
	case WHAT_LOST: judge_total(w, e); break;
	default: break;
	}
}
