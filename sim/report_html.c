/* report_html.c - the page: what happened, what was promised, what was kept. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/report_svg.h"

#ifndef BUILD_VERSION
#define BUILD_VERSION "?"
#endif

/* Colours by name, once for light and once for dark screens. */
static const char colours[] =
	":root{color-scheme:light dark;--ink:#1b2733;--soft:#5a6b7b;--paper:#f4f6f8;--card:#fff;--rule:#dde4ea;--head:#eef2f5;--good:#1f7a4d;--bad:#b3261e;"
	"--lane:#f2f5f8;--down:#e7a9a4;--up:#a9d3bd;--depth:#5b8fc4;--peak:#34618e;--plan:#fff8e6;--fault:#fff3ec;--broken:#fbe3e1;--expect:#eef6f1}"
	"@media(prefers-color-scheme:dark){:root{--ink:#dbe4ec;--soft:#93a4b3;--paper:#11181f;--card:#1a232c;--rule:#2d3a46;--head:#222d38;--good:#58c08c;--bad:#ff8a80;"
	"--lane:#222c36;--down:#8a413c;--up:#2c5c46;--depth:#5b8fc4;--peak:#8fb8e0;--plan:#2c2818;--fault:#33231a;--broken:#4a2020;--expect:#1a2c24}}";

static const char style[] =
	"body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0}"
	"main{max-width:1180px;margin:0 auto;padding:24px}"
	"h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:28px 0 8px;border-bottom:1px solid var(--rule);padding-bottom:4px}"
	".badge{display:inline-block;padding:3px 12px;border-radius:4px;color:#fff;font-weight:600;margin-left:12px;font-size:16px;vertical-align:3px}"
	".good{background:#1f7a4d}.wrong{background:#b3261e}.cut{background:#9a6700}"
	".figures{display:flex;flex-wrap:wrap;gap:10px;margin:16px 0}.figures div{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:8px 14px;min-width:96px}"
	".figures b{display:block;font-size:20px}.figures span{color:var(--soft);font-size:13px}"
	"table{border-collapse:collapse;width:100%;background:var(--card);border:1px solid var(--rule)}"
	"th,td{text-align:left;padding:5px 10px;border-bottom:1px solid var(--rule);vertical-align:top}"
	"th{background:var(--head);font-weight:600}td.n{text-align:right;white-space:nowrap}.ok{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}.none{color:var(--soft)}"
	".small{color:var(--soft);font-size:13px}code{background:var(--head);padding:1px 5px;border-radius:3px;font-size:13px;overflow-wrap:anywhere}"
	/* A picture that is wider than the screen is moved under it, not made unreadable. */
	".wide{overflow-x:auto;background:var(--card);border:1px solid var(--rule)}svg{width:100%;min-width:900px;display:block}svg text{font:12px system-ui,sans-serif;fill:var(--ink)}"
	"svg .name{text-anchor:end;font-weight:600}svg .link{text-anchor:end;font-size:10px}svg .axis{text-anchor:middle;fill:var(--soft);font-size:10px}"
	"svg .peak{fill:var(--peak);font-size:11px}svg .peakf{fill:var(--bad);font-size:11px}.grid{stroke:var(--soft);stroke-opacity:.25}"
	".lane{fill:var(--lane)}.down{fill:var(--down)}.up{fill:var(--up)}.depth{fill:var(--depth);fill-opacity:.75;stroke:none}.flash{fill:none;stroke:var(--bad);stroke-width:1.4}"
	"td.time{white-space:nowrap;font-variant-numeric:tabular-nums;color:var(--soft)}tr.plan td{background:var(--plan)}tr.fault td{background:var(--fault)}"
	"tr.broken td{background:var(--broken);font-weight:600}tr.expect td{background:var(--expect)}tr.link td,tr.note td{color:var(--soft);font-size:13px}"
	"details{background:var(--card);border:1px solid var(--rule);padding:4px 10px}"
	".key i{display:inline-block;width:14px;height:10px;margin-right:5px}.key span{display:inline-block;margin-right:16px}.key i.k1{background:var(--depth)}.key i.k2{background:var(--bad)}.key i.k3{background:var(--down)}.key i.k4{background:var(--up)}"
	"@media(max-width:640px){main{padding:12px}.badge{display:table;margin:6px 0}th,td{padding:4px 5px}table{font-size:14px}td.time{white-space:normal}}";

static void figure(FILE *out, const char *value, const char *what)
{
	fprintf(out, "<div><b>%s</b><span>%s</span></div>", value, what);
}

static void figure_count(FILE *out, uint64_t n, const char *what)
{
	char text[32];

	snprintf(text, sizeof text, "%" PRIu64, n);
	figure(out, text, what);
}

static void figure_time(FILE *out, int64_t us, const char *what)
{
	char text[32];

	if (us < 0)
		snprintf(text, sizeof text, "&#8211;");
	else if (us >= 7200 * US_PER_S)
		snprintf(text, sizeof text, "%.1f h", (double)us / 3600e6);
	else if (us >= 120 * US_PER_S)
		snprintf(text, sizeof text, "%.0f min", (double)us / 60e6);
	else if (us >= US_PER_S)
		snprintf(text, sizeof text, "%.1f s", (double)us / US_PER_S);
	else
		snprintf(text, sizeof text, "%.0f ms", (double)us / US_PER_MS);
	figure(out, text, what);
}

static const char *badge_class(const struct run *r, const struct verdict *v)
{
	return !v->ok ? "wrong" : r->cut_short ? "cut" : "good";
}

static const char *badge_text(const struct run *r, const struct verdict *v)
{
	if (v->ok)
		return r->cut_short ? "cut short" : "all promises kept";
	return strncmp(v->first_broken, "expected", 8) == 0 ? "not as expected" : "a promise was broken";
}

/* When all that began, by the clock on the wall, and which run it was. */
static void which_run(const struct run *r, FILE *out)
{
	char began[RUN_BEGAN_BYTES];

	fputs("<p class=small>", out);
	if (run_began(r, began))
		fprintf(out, "begins %s; all times count from there<br>", began);
	fprintf(out, "seed %" PRIu64 " &#183; estafette %s &#183; %" PRIu64 " sites, %" PRIu64 " links &#183; ", r->seed, BUILD_VERSION, r->sites, r->links);
	if (r->speed)
		fprintf(out, "on real daemons for %.1f s, the timetable %" PRId64 " times as fast &#183; %" PRIu64 " pieces on the wire, rates kept by the %s",
			r->wall_s, r->speed, r->frames, r->shaper);
	else
		fprintf(out, "%.1f h of virtual time &#183; %" PRIu64 " events &#183; trace <code>%.16s</code>", (double)r->virtual_us / 3600e6, r->events, r->trace);
	for (size_t i = 0; i < r->n_unjudged; i++) {
		fputs(i ? ", " : "<br>not judged live: ", out);
		html_text(out, r->unjudged[i]);
	}
	if (r->repeat) {
		fputs("<br>again: <code>", out);
		html_text(out, r->repeat);
		fputs("</code>", out);
	}
	fputs("</p>", out);
}

/* What must not be missed by who reads no further. */
static void warnings(const struct run *r, const struct verdict *v, FILE *out)
{
	size_t n, skipped = 0;
	const struct expectation *e = oracle_expectations(r->oracle, &n);

	for (size_t i = 0; i < n; i++)
		skipped += e[i].skipped;
	if (r->cut_short)
		fputs("<p class=bad>The run was cut short: all that follows holds for what was seen.</p>", out);
	if (!v->ok) {
		fputs("<p class=bad>", out);
		html_text(out, v->first_broken);
		fputs("</p>", out);
	}
	if (!r->n_unsupported)
		return;
	fputs("<p><b>This version cannot do: ", out);
	for (size_t i = 0; i < r->n_unsupported; i++)
		fprintf(out, "%s%s", i ? ", " : "", r->unsupported[i]);
	fprintf(out, ".</b> These events did nothing, and %zu expectation%s that need%s them %s not judged.</p>", skipped, skipped == 1 ? "" : "s",
		skipped == 1 ? "s" : "", skipped == 1 ? "was" : "were");
}

static void figures(const struct verdict *v, FILE *out)
{
	fputs("<div class=figures>", out);
	figure_count(out, v->accepted, "accepted");
	figure_count(out, v->read, "read");
	figure_count(out, v->waiting, "waiting");
	figure_count(out, v->refused, "refused by desks");
	figure_count(out, v->expired, "expired");
	figure_count(out, v->lost, "lost");
	figure_count(out, v->twice_silent, "twice, silently");
	figure_time(out, v->flash_p50_us, "FLASH, half within");
	figure_time(out, v->flash_p99_us, "FLASH, 99 % within");
	figure_time(out, v->converged_us, "until all agreed");
	fputs("</div>\n", out);
}

void html_begin(FILE *out, const char *title)
{
	fputs("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\"><title>", out);
	html_text(out, title);
	fprintf(out, "</title><style>%s%s</style><main>", colours, style);
}

static void head(const struct run *r, const struct verdict *v, FILE *out)
{
	html_begin(out, r->drill);
	fputs("<h1>", out);
	html_text(out, r->drill);
	fprintf(out, "<span class=\"badge %s\">%s</span></h1><p>", badge_class(r, v), badge_text(r, v));
	html_text(out, r->title);
	fputs("</p>", out);
	which_run(r, out);
	warnings(r, v, out);
	figures(v, out);
}

static void promises(const struct run *r, const struct verdict *v, FILE *out)
{
	size_t n;
	const struct expectation *e = oracle_expectations(r->oracle, &n);
	char when[40];

	fputs("<h2>Promises</h2><table><tr><th>promise</th><th></th><th>looked at</th></tr>\n", out);
	for (unsigned p = 0; p < PROMISES; p++) {
		fprintf(out, "<tr><td>%s</td><td class=%s>", promise_text(p), v->broken[p] ? "bad" : v->checks[p] ? "ok" : "none");
		if (v->broken[p])
			fprintf(out, "broken, %" PRIu64 " times", v->broken[p]);
		else
			fputs(v->checks[p] ? "kept" : "nothing to look at", out);
		fprintf(out, "</td><td class=n>%" PRIu64 "</td></tr>\n", v->checks[p]);
	}
	fputs("</table>\n", out);
	if (!n && !r->n_unsupported)
		return;
	fputs("<h2>Expected of this drill</h2><table><tr><th>at</th><th>expectation</th><th></th></tr>\n", out);
	for (size_t i = 0; i < n; i++) {
		story_time(e[i].at_us, when, sizeof when);
		fprintf(out, "<tr><td class=time>%s</td><td>", when);
		html_text(out, e[i].text);
		fprintf(out, "</td><td class=%s>%s</td></tr>\n", e[i].skipped ? "none" : e[i].met ? "ok" : "bad", e[i].skipped ? "skipped" : e[i].met ? "met" : "not met");
	}
	for (size_t i = 0; i < r->n_unsupported; i++)
		fprintf(out, "<tr><td></td><td>this version cannot do: %s</td><td class=none>left out</td></tr>\n", r->unsupported[i]);
	fputs("</table>\n", out);
}

static void counts(FILE *out, const char *title, const uint64_t *c, unsigned n, const char *(*name)(unsigned))
{
	fprintf(out, "<p><b>%s:</b> ", title);
	bool any = false;

	for (unsigned i = 0; i < n; i++)
		if (c[i]) {
			fprintf(out, "%s%s %" PRIu64, any ? ", " : "", name(i), c[i]);
			any = true;
		}
	fputs(any ? "</p>\n" : "none</p>\n", out);
}

/* ---- the story ------------------------------------------------------------------------------------------------- */

#define STORY_ROWS 4000

static bool small(const struct story_line *l)
{
	return l->kind == STORY_LINK || l->kind == STORY_NOTE || l->kind == STORY_MESSAGE;
}

static void row(const struct story_line *l, FILE *out)
{
	char when[40];

	story_time(l->at_us, when, sizeof when);
	fprintf(out, "<tr class=%s><td class=time>%s</td><td>", l->kind == STORY_BROKEN ? "broken" : story_kind_name(l->kind), when);
	html_text(out, l->text);
	fputs("</td></tr>\n", out);
}

/* Many small lines in a row are folded, so that the large ones can be read one after another. */
static void story(const struct run *r, FILE *out)
{
	const struct story *s = r->story;
	size_t rows = 0;

	fputs("<h2>What happened</h2><table>\n", out);
	for (size_t i = 0; i < s->n && rows < STORY_ROWS;) {
		size_t k = i;

		while (k < s->n && small(&s->lines[k]))
			k++;
		if (k - i > 3) {
			fprintf(out, "<tr class=link><td></td><td><details><summary>%zu changes of links and notes of nodes</summary><table>\n", k - i);
			for (size_t m = i; m < k && m < i + 200; m++, rows++)
				row(&s->lines[m], out);
			fprintf(out, "</table>%s</details></td></tr>\n", k - i > 200 ? "<p class=small>... and more of the same</p>" : "");
			i = k;
			continue;
		}
		row(&s->lines[i++], out);
		rows++;
	}
	fputs("</table>\n", out);
	if (rows >= STORY_ROWS || s->dropped)
		fputs("<p class=small>The story is longer than what is shown here; the text on the terminal has more.</p>\n", out);
}

static void page(const void *arg, FILE *out)
{
	const struct run *r = arg;
	struct verdict v;

	oracle_verdict(r->oracle, &v);
	head(r, &v, out);
	promises(r, &v, out);
	if (r->series) {
		fputs("<h2>Queues</h2><p class=\"small key\"><span><i class=k1></i>messages waiting for the desks of a site, wherever they are held; each row to its own peak (at least 20)</span>"
		      "<span><i class=k2></i>age of the oldest FLASH not yet read, one scale for all</span><span><i class=k3></i>the site is down</span></p>\n", out);
		svg_sites(r, out);
		fputs("<h2>Links</h2><p class=\"small key\"><span><i class=k4></i>the two sites are connected, over whatever bearer</span><span><i class=k3></i>they are not</span></p>\n", out);
		svg_links(r, out);
		fputs("<h2>Who served which queues</h2>\n", out);
		table_served(r, out);
	}
	story(r, out);
	fputs("<h2>What struck, and what seldom happens</h2>\n", out);
	counts(out, "Faults", v.faults, FAULT_KINDS, fault_kind_name);
	counts(out, "Seldom", v.rares, RARES, rare_name);
	fputs("</main></html>\n", out);
}

enum err html_write(const char *path, void (*page_of)(const void *arg, FILE *out), const void *arg, struct errmsg *m)
{
	char *temporary = NULL;
	enum err e = ERR_OK;
	FILE *out = NULL;

	if (asprintf(&temporary, "%s.part", path) < 0)
		return err_set(m, ERR_NOMEM, "report: out of memory");
	out = fopen(temporary, "w");
	if (!out) {
		e = err_set(m, ERR_IO, "%s: cannot be written: %m (give --report another path)", temporary);
		goto out;
	}
	page_of(arg, out);
	bool bad = ferror(out) != 0;

	if (fclose(out) || bad || rename(temporary, path)) {
		e = err_set(m, ERR_IO, "%s: cannot be written: %m (give --report another path)", path);
		unlink(temporary);
	}
out:
	free(temporary);
	return e;
}

enum err report_html(const struct run *r, const char *path, struct errmsg *m)
{
	return html_write(path, page, r, m);
}
