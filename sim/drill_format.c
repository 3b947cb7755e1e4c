/* A drill as text that reads back to the same drill: tables are written in, repetitions written out. */
#include "sim/drill_read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void put(struct buf *out, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n >= 0)
		buf_add(out, view_of(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

void put_quoted(struct buf *out, const char *name, const char *text)
{
	if (text[0] == '\0')
		return;
	put(out, " %s = \"", name);
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_add_u8(out, '\\');
		buf_add_u8(out, (uint8_t)*p);
	}
	put(out, "\";");
}

void put_span(struct buf *out, int64_t us)
{
	static const struct { const char *unit; int64_t us; } units[] = {{"d", US_PER_DAY}, {"h", 3600 * US_PER_S}, {"min", 60 * US_PER_S}, {"s", US_PER_S}, {"ms", US_PER_MS}, {"us", 1}};
	bool any = false;

	if (us < 0) {
		put(out, "-");
		us = -us;
	}
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		int64_t n = us / units[i].us;
		if (n == 0)
			continue;
		put(out, "%s%" PRId64 "%s", any ? " " : "", n, units[i].unit);
		us -= n * units[i].us;
		any = true;
	}
	if (!any)
		put(out, "0s");
}

static void put_span_setting(struct buf *out, const char *name, int64_t us)
{
	if (us == 0)
		return;
	put(out, " %s = \"", name);
	put_span(out, us);
	put(out, "\";");
}

void put_ppm(struct buf *out, int64_t ppm)
{
	put(out, ppm % 10000 ? "%" PRId64 ".%04" PRId64 "%%" : "%" PRId64 "%%", ppm / 10000, ppm % 10000);
}

static void put_ppm_setting(struct buf *out, const char *name, int64_t ppm)
{
	if (ppm == 0)
		return;
	put(out, " %s = \"", name);
	put_ppm(out, ppm);
	put(out, "\";");
}

void put_rate(struct buf *out, int64_t bps)
{
	if (bps % 1000000000 == 0)
		put(out, "%" PRId64 "Gbit/s", bps / 1000000000);
	else if (bps % 1000000 == 0)
		put(out, "%" PRId64 "Mbit/s", bps / 1000000);
	else
		put(out, bps % 1000 ? "%" PRId64 "bit/s" : "%" PRId64 "kbit/s", bps % 1000 ? bps : bps / 1000);
}

static void put_rate_setting(struct buf *out, int64_t bps)
{
	if (bps == 0)
		return;
	put(out, " rate = \"");
	put_rate(out, bps);
	put(out, "\";");
}

static void put_list(struct buf *out, const struct drill *d, const char *name, const struct drill_sites *s)
{
	put(out, " %s = (", name);
	for (size_t i = 0; i < s->n; i++)
		put(out, "%s\"%s\"", i ? ", " : " ", drill_site_name(d, s->v[i]));
	put(out, " );");
}

void put_sites(struct buf *out, const struct drill *d, const char *name, const struct drill_sites *s)
{
	if (s->n == d->roster->n_sites)
		put(out, " %s = \"all\";", name);
	else if (s->n == 1)
		put(out, " %s = \"%s\";", name, drill_site_name(d, s->v[0]));
	else if (s->n)
		put_list(out, d, name, s);
}

/* ---- the network ------------------------------------------------------------------------------------------------- */

static void put_bearer(struct buf *out, const struct drill_bearer *b, bool last)
{
	put(out, "\t\t{ name = \"%s\"; delay = \"", b->name);
	put_span(out, b->delay_us);
	put(out, "\"; cost = %d;", b->cost);
	put_span_setting(out, "jitter", b->jitter_us);
	put_rate_setting(out, b->rate_bps);
	if (b->queue_bytes)
		put(out, " queue = \"%" PRId64 "B\";", b->queue_bytes);
	put_ppm_setting(out, "loss", b->loss_ppm);
	put_ppm_setting(out, "resets", b->reset_ppm);
	if (b->no_bulk)
		put(out, " bulk = false;");
	put(out, " }%s\n", last ? "" : ",");
}

static bool same_kind(const struct drill_link *x, const struct drill_link *y)
{
	return x->n_bearers == y->n_bearers && memcmp(x->bearers, y->bearers, x->n_bearers) == 0 && x->schedule.every_us == y->schedule.every_us &&
	       x->delay_us == y->delay_us && x->rate_bps == y->rate_bps && x->schedule.up_us == y->schedule.up_us && x->schedule.offset_us == y->schedule.offset_us && x->schedule.stagger == y->schedule.stagger;
}

static void put_link_kind(struct buf *out, const struct drill *d, const struct drill_link *l)
{
	put(out, " bearers = (");
	for (size_t i = 0; i < l->n_bearers; i++)
		put(out, "%s\"%s\"", i ? ", " : " ", d->bearers[l->bearers[i]].name);
	put(out, " );");
	put_span_setting(out, "delay", l->delay_us);
	put_rate_setting(out, l->rate_bps);
	put_span_setting(out, "every", l->schedule.every_us);
	put_span_setting(out, "up", l->schedule.up_us);
	put_span_setting(out, "offset", l->schedule.offset_us);
	if (l->schedule.stagger)
		put(out, " stagger = true;");
	put(out, " }");
}

/* Links are by (a, b): one line for those of one site that are alike and follow one another. */
static void put_links(struct buf *out, const struct drill *d)
{
	put(out, "\tlinks = (\n");
	for (size_t i = 0; i < d->n_links;) {
		const struct drill_link *l = &d->links[i];
		put(out, "\t\t{ from = \"%s\"; to = (", drill_site_name(d, l->a));
		bool first = true;
		for (; i < d->n_links && d->links[i].a == l->a && same_kind(&d->links[i], l); i++, first = false)
			put(out, "%s\"%s\"", first ? " " : ", ", drill_site_name(d, d->links[i].b));
		put(out, " );");
		put_link_kind(out, d, l);
		put(out, "%s\n", i < d->n_links ? "," : "");
	}
	put(out, "\t);\n");
}

static void put_clocks(struct buf *out, const struct drill *d)
{
	bool any = false;

	for (size_t i = 0; i < d->roster->n_sites; i++) {
		if (d->clocks[i].offset_us == 0 && d->clocks[i].drift_ppm == 0)
			continue;
		put(out, "%s\t\t{ sites = \"%s\"; offset = \"", any ? ",\n" : "\tclocks = (\n", drill_site_name(d, (uint16_t)i));
		put_span(out, d->clocks[i].offset_us);
		put(out, "\"; drift = %d; }", d->clocks[i].drift_ppm);
		any = true;
	}
	if (any)
		put(out, "\n\t);\n");
}

static void put_network(struct buf *out, const struct drill *d)
{
	put(out, "network = {\n");
	if (d->generated)
		put(out, "\tgenerated = { sites = %u; links = %u; standbys = %u; };\n", d->generated, d->generated_links, d->generated_standbys);
	else if (d->topology)
		put(out, "\ttopology = \"%s\";\n", d->topology);
	else
		put(out, "\troster = \"belgium\";\n");
	put(out, "\tsites = (");
	for (size_t i = 0; i < d->roster->n_sites; i++)
		put(out, "%s\"%s\"", i ? ", " : " ", d->roster->sites[i].id);
	put(out, " );\n\tbearers = (\n");
	for (size_t i = 0; i < d->n_bearers; i++)
		put_bearer(out, &d->bearers[i], i + 1 == d->n_bearers);
	put(out, "\t);\n");
	put_links(out, d);
	put_clocks(out, d);
	put(out, "};\n");
}

/* ---- the traffic ------------------------------------------------------------------------------------------------------- */

static void put_bodies(struct buf *out, const char *indent, const struct drill_body *b, size_t n)
{
	put(out, "%sbodies = (\n", indent);
	for (size_t i = 0; i < n; i++) {
		put(out, "%s\t{", indent);
		put_quoted(out, "type", b[i].type);
		put_quoted(out, "lang", b[i].lang);
		put(out, " size = \"%" PRId64 "B\"; weight = %u; }%s\n", b[i].bytes, b[i].weight, i + 1 < n ? "," : "");
	}
	put(out, "%s);\n", indent);
}

static void put_flow(struct buf *out, const struct drill *d, const struct drill_flow *f, bool last)
{
	static const char *const where[] = {[TO_ADDRESS] = "", [TO_OWN] = "own/", [TO_ANY] = "any/", [TO_NEIGHBOUR] = "neighbour/"};

	put(out, "\t{ name = \"%s\"; to = \"%s%s\"; night = %d;", f->name, where[f->where], f->to, f->night_percent);
	put(out, " mix = { flash = %u; immediate = %u; priority = %u; routine = %u; };", f->mix[0], f->mix[1], f->mix[2], f->mix[3]);
	put_quoted(out, "channel", f->channel);
	put_quoted(out, "exercise", f->exercise);
	put_span_setting(out, "expires", f->expires_us);
	put_span_setting(out, "begin", f->from_us);
	put_span_setting(out, "until", f->until_us);
	if (f->exact)
		put(out, " exact = true;");
	if (f->n_bodies) {
		put(out, "\n");
		put_bodies(out, "\t  ", f->bodies, f->n_bodies);
		put(out, "\t ");
	}
	put(out, " rates = (");
	for (size_t i = 0; i < f->n_rates; i++)
		put(out, "%s{ site = \"%s\"; per-year = %" PRId64 "; }", i ? ", " : " ", drill_site_name(d, f->rates[i].site), f->rates[i].per_year);
	put(out, " ); }%s\n", last ? "" : ",");
}

static void put_desk(struct buf *out, const struct drill *d, const struct drill_desk *k, bool last)
{
	put(out, "\t{ sites = \"%s\"; queue = \"%s\"; staff = %d; batch = %d; handling = \"", drill_site_name(d, k->site), k->queue, k->staff, k->batch);
	put_span(out, k->handling_us);
	put(out, "\";");
	put_span_setting(out, "lease", k->lease_us);
	put_ppm_setting(out, "refuse", k->refuse_ppm);
	put_ppm_setting(out, "return", k->return_ppm);
	put_ppm_setting(out, "crash", k->crash_ppm);
	put_quoted(out, "exercise", k->exercise);
	put(out, " }%s\n", last ? "" : ",");
}

static void put_traffic(struct buf *out, const struct drill *d)
{
	put_bodies(out, "", d->bodies, d->n_bodies);
	put(out, "traffic = (\n");
	for (size_t i = 0; i < d->n_flows; i++)
		put_flow(out, d, &d->flows[i], i + 1 == d->n_flows);
	put(out, ");\ndesks = (\n");
	for (size_t i = 0; i < d->n_desks; i++)
		put_desk(out, d, &d->desks[i], i + 1 == d->n_desks);
	put(out, ");\n");
}

/* ---- the timetable --------------------------------------------------------------------------------------------------------- */

/* A timetable that was made shorter ends before the last ones: only those that are sent are written. */
static void put_count(struct buf *out, const struct drill *d, const struct drill_event *e)
{
	const struct drill_send *s = e->send;
	int64_t left = d->length_us - e->at_us, n = s->count;

	if (s->over_us > left && left >= 0)
		n = (int64_t)((__int128)left * s->count / s->over_us) + 1;
	n = n < (int64_t)s->count ? n : (int64_t)s->count;
	int64_t over = n < (int64_t)s->count ? (int64_t)((__int128)s->over_us * n / s->count) : s->over_us;
	put_span_setting(out, "over", over < left ? over : left);
	if (n > 1)
		put(out, " count = %" PRId64 ";", n);
}

static void put_send(struct buf *out, const struct drill *d, const struct drill_event *e)
{
	const struct drill_send *s = e->send;

	put(out, " to = \"%s\"; precedence = \"%s\"; size = \"%" PRId64 "B\";", s->address, precedence_name(s->precedence), s->body.bytes);
	put_quoted(out, "type", s->body.type);
	put_quoted(out, "lang", s->body.lang);
	put_quoted(out, "label", s->label);
	put_quoted(out, "subject", s->subject);
	put_quoted(out, "channel", s->channel);
	put_quoted(out, "key", s->key);
	put_quoted(out, "exercise", s->exercise);
	put_span_setting(out, "expires", s->expires_us);
	put_count(out, d, e);
}

static void put_assignments(struct buf *out, const char *text)
{
	put(out, " to = (");
	for (const char *p = text; *p;) {
		int n = (int)strcspn(p, " ");
		put(out, "%s\"%.*s\"", p == text ? " " : ", ", n, p);
		p += n + (p[n] == ' ');
	}
	put(out, " );");
}

static void put_change(struct buf *out, const struct bearer_change *c)
{
	const struct { const char *name; int64_t us; } spans[] = {{"delay", c->delay_us}, {"jitter", c->jitter_us}};

	for (size_t i = 0; i < 2; i++)
		if (spans[i].us >= 0) {
			put(out, " %s = \"", spans[i].name);
			put_span(out, spans[i].us);
			put(out, "\";");
		}
	if (c->rate_bps >= 0)
		put_rate_setting(out, c->rate_bps);
	if (c->queue_bytes >= 0)
		put(out, " queue = \"%" PRId64 "B\";", c->queue_bytes);
	if (c->loss_ppm >= 0) {
		put(out, " loss = \"");
		put_ppm(out, c->loss_ppm);
		put(out, "\";");
	}
}

/* What is said by value, value_us, text, queue and flow depends on the event. */
static void put_values(struct buf *out, const struct drill *d, const struct drill_event *e)
{
	switch (e->what) {
	case DO_DISK_FULL:
		if (e->value)
			put(out, " used = \""), put_ppm(out, e->value), put(out, "\";");
		break;
	case DO_DISK_SLOW: put(out, " delay = \""), put_span(out, e->value_us), put(out, "\";"); break;
	case DO_CLOCK_STEP: put(out, " by = \""), put_span(out, e->value_us), put(out, "\";"); break;
	case DO_CLOCK_DRIFT: put(out, " ppm = %" PRId64 ";", e->value); break;
	case DO_PROGRAM: put(out, " protocol = %" PRId64 ";", e->value); break;
	case DO_COMMIT_FAIL: case DO_ASSIST: put(out, " count = %" PRId64 ";", e->value); break;
	case DO_DEGRADE:
		put_change(out, &e->degrade);
		break;
	case DO_RATE:
		put(out, " factor = %" PRId64 ".%03" PRId64 ";", e->value / 1000, e->value % 1000);
		put_quoted(out, "flow", e->flow);
		break;
	case DO_NOTE: put_quoted(out, "text", e->text); break;
	case DO_CANCEL: put_quoted(out, "message", e->text); break;
	case DO_ROSTER:
		if (e->sites.n)
			put_list(out, d, "standbys", &e->to);
		if (e->from.n)
			put_list(out, d, "only", &e->from);
		break;
	case DO_RELOCATE: put_assignments(out, e->text), put_quoted(out, "exercise", e->flow); break;
	case DO_HANDBACK: put_quoted(out, "exercise", e->flow); break;
	case DO_COURIER: put(out, " takes = \""), put_span(out, e->value_us), put(out, "\";"); /* fall through */
	case DO_MINIMIZE: put(out, " precedence = \"%s\";", precedence_name((unsigned)e->value)); break;
	default: break;
	}
}

void drill_event_format(const struct drill *d, const struct drill_event *e, struct buf *out)
{
	bool one = e->what == DO_ROSTER || e->what == DO_RELOCATE || e->what == DO_HANDBACK || e->what == DO_REVOKE;
	bool order = one || e->what == DO_MINIMIZE;

	put(out, "{ at = \"");
	put_span(out, e->at_us);
	put(out, "\"; do = \"%s\";", drill_do_name(e->what));
	put_sites(out, d, one ? "site" : "sites", &e->sites);
	if (!order)
		put_sites(out, d, "from", &e->from);
	else if (e->from.n > 1)
		put_list(out, d, "by", &e->from);
	else
		put_sites(out, d, "by", &e->from);
	if (!one)
		put_sites(out, d, "to", &e->to);
	put_span_setting(out, "for", e->for_us);
	if (e->bearer >= 0)
		put(out, " bearer = \"%s\";", d->bearers[e->bearer].name);
	put_quoted(out, "queue", e->queue);
	put_values(out, d, e);
	if (e->send)
		put_send(out, d, e);
	put(out, " }");
}

static void put_expect(struct buf *out, const struct drill *d, const struct drill_expect *e)
{
	put(out, "\t{ what = \"%s\"; at = \"", drill_what_name(e->what));
	if (e->at_us == MONO_NEVER.us)
		put(out, "end");
	else
		put_span(out, e->at_us);
	put(out, "\";");
	put_sites(out, d, "sites", &e->sites);
	put_sites(out, d, "from", &e->from);
	put_sites(out, d, "to", &e->to);
	put_quoted(out, "queue", e->queue);
	put_quoted(out, "message", e->message);
	put_quoted(out, "state", e->state);
	put_quoted(out, "kind", e->kind);
	if (e->precedence >= 0)
		put_quoted(out, "precedence", precedence_name((unsigned)e->precedence));
	if (e->figure)
		put(out, " figure = %" PRId64 ";", e->figure);
	else if (drill_expect_takes(e->what, "at-least"))
		put(out, " at-least = %" PRId64 ";", e->at_least);
	if (e->at_most >= 0 && !e->figure)
		put(out, " at-most = %" PRId64 ";", e->at_most);
	put_span_setting(out, "within", e->within_us);
	if (drill_expect_takes(e->what, "percentile"))
		put(out, " percentile = %d;", e->percentile);
	if (e->needs) {
		bool any = false;
		put(out, " needs = (");
		for (unsigned k = 0; k < DO_COUNT; k++)
			if (e->needs >> k & 1) {
				put(out, "%s\"%s\"", any ? ", " : " ", drill_do_name((enum drill_do)k));
				any = true;
			}
		put(out, " );");
	}
	put(out, " }");
}

static void put_swarm(struct buf *out, const struct drill_swarm *w)
{
	bool any = false;

	put(out, "swarm = { on = %s; faults = %d;", w->on ? "true" : "false", w->faults);
	for (unsigned k = 0; k < DO_COUNT; k++)
		if (w->kinds >> k & 1) {
			put(out, "%s\"%s\"", any ? ", " : " kinds = ( ", drill_do_name((enum drill_do)k));
			any = true;
		}
	put(out, "%s };\n", any ? " );" : "");
}

static void put_keep(struct buf *out, const char *name, int64_t us)
{
	if (!us)
		return;
	put(out, "%s = \"", name);
	put_span(out, us);
	put(out, "\";\n");
}

static void put_head(struct buf *out, const struct drill *d)
{
	char start[WALL_TEXT_BYTES];

	wall_format(d->start, 6, start);
	put(out, "drill = \"%s\";\n", d->name);
	if (d->about[0]) {
		put_quoted(out, "about", d->about);
		put(out, "\n");
	}
	put(out, "start = \"%s\";\nlength = \"", start);
	put_span(out, d->length_us);
	put(out, "\";\nsettle = \"");
	put_span(out, d->settle_us);
	put(out, "\";\nutc-offset = \"");
	put_span(out, d->utc_offset_us);
	put(out, "\";\nseed = %" PRIu64 ";\nsuite = \"%s\";\nstore = \"%s\";\nsample = \"", d->seed & INT32_MAX, d->real_crypto ? "real" : "fast",
	    d->lmdb ? "lmdb" : "memory");
	put_ppm(out, d->sample_ppm);
	put(out, "\";\n");
	put_keep(out, "keep-bodies", d->keep_bodies_us);
	put_keep(out, "keep-headers", d->keep_headers_us);
	put_keep(out, "keep-unread", d->keep_unread_us);
	put_keep(out, "scrub", d->scrub_us);
	put_keep(out, "begun", d->begun_us);
	if (d->probe_us) {
		put(out, "probe = \"");
		put_span(out, d->probe_us);
		put(out, "\";\n");
	}
	put(out, "largest = \"%" PRId64 "B\";\n", d->largest_bytes);
}

enum err drill_format(const struct drill *d, struct buf *out)
{
	put_head(out, d);
	put_network(out, d);
	put_traffic(out, d);
	put(out, "events = (\n");
	for (size_t i = 0; i < d->n_events; i++) {
		put(out, "\t");
		drill_event_format(d, &d->events[i], out);
		put(out, "%s\n", i + 1 < d->n_events ? "," : "");
	}
	put(out, ");\nexpect = (\n");
	for (size_t i = 0; i < d->n_expects; i++) {
		put_expect(out, d, &d->expects[i]);
		put(out, "%s\n", i + 1 < d->n_expects ? "," : "");
	}
	put(out, ");\n");
	put_swarm(out, &d->swarm);
	return buf_ok(out) ? ERR_OK : ERR_NOMEM;
}
