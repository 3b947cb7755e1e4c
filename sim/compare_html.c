/* compare_html.c - two runs on one page: the figures, a picture of each site, and what was expected. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/compare.h"
#include "sim/report_svg.h"

#define NAME_PX 150
#define GRAPH_PX 500
#define GAP_PX 20
#define ROW_PX 34
#define WIDTH_PX (NAME_PX + 2 * GRAPH_PX + GAP_PX)

/* A is the colour of queues in the page of one run, B another that is told from it in any light. */
static const char extra[] = "<style>.a{fill:none;stroke:var(--depth);stroke-width:1.6}.b{fill:none;stroke:#d9822b;stroke-width:1.6}"
			    ".key i.ka{background:var(--depth)}.key i.kb{background:#d9822b}th.n{text-align:right}tr.differs td{font-weight:600}</style>";

static void one_side(const struct side *s, char letter, FILE *out)
{
	fprintf(out, "<p><b>%c</b> <code>", letter);
	html_text(out, s->file);
	fputs("</code>", out);
	if (s->set) {
		fputs(" with <code>", out);
		html_text(out, s->set);
		fputs("</code>", out);
	}
	fputs(": ", out);
	html_text(out, s->drill);
	fputs(s->title[0] ? ", " : "", out);
	html_text(out, s->title);
	fprintf(out, " <span class=small>trace <code>%.16s</code></span>%s</p>", s->trace,
		s->cut_short ? " <span class=bad>cut short: all that follows holds for what was seen</span>" : "");
}

static void table(const struct comparison *c, FILE *out)
{
	const int64_t *a = c->side[0].value, *b = c->side[1].value;
	char x[FIGURE_BYTES], y[FIGURE_BYTES], d[FIGURE_BYTES];

	fputs("<h2>Figures</h2><table><tr><th></th><th class=n>A</th><th class=n>B</th><th class=n>B less A</th></tr>\n", out);
	for (unsigned f = 0; f < FIGURES; f++) {
		if (a[f] < 0 && b[f] < 0)
			continue;
		figure_format(f, a[f], x);
		figure_format(f, b[f], y);
		figure_difference(f, a[f], b[f], d);
		fprintf(out, "<tr%s><td>%s</td><td class=n>%s</td><td class=n>%s</td><td class=n>%s</td></tr>\n", a[f] != b[f] ? " class=differs" : "",
			figure_text(f), x, y, d);
	}
	fputs("</table>\n", out);
}

/* ---- the picture ------------------------------------------------------------------------------------------------------ */

struct graph { int x, y; int64_t end_us; uint32_t top; };

static void curve(const struct side *s, const uint32_t *v, const char *style, const struct graph *g, FILE *out)
{
	fprintf(out, "<polyline class=%s points=\"", style);
	for (size_t k = 0; k < s->n_samples; k++)
		fprintf(out, "%.1f,%.1f ", g->x + (double)k * (double)s->step_us * GRAPH_PX / (double)g->end_us,
			g->y + ROW_PX - 5 - (double)v[k] * (ROW_PX - 8) / g->top);
	fputs("\"/>", out);
}

static void row(const struct comparison *c, const struct pair_site *p, int y, int64_t end_us, uint32_t top_flash, FILE *out)
{
	uint32_t most = 20;

	for (int i = 0; i < 2; i++)
		if (p->of[i] && p->of[i]->most > most)
			most = p->of[i]->most;
	const struct graph left = {NAME_PX, y, end_us, most}, right = {NAME_PX + GRAPH_PX + GAP_PX, y, end_us, top_flash};

	fprintf(out, "<text class=name x=%d y=%d>", NAME_PX - 8, y + ROW_PX / 2 + 4);
	html_text(out, (p->of[0] ? p->of[0] : p->of[1])->name);
	fprintf(out, "</text><rect class=lane x=%d y=%d width=%d height=%d /><rect class=lane x=%d y=%d width=%d height=%d />", left.x, y + 2, GRAPH_PX, ROW_PX - 4,
		right.x, y + 2, GRAPH_PX, ROW_PX - 4);
	for (int i = 0; i < 2; i++) {
		if (!p->of[i])
			continue;
		curve(&c->side[i], p->of[i]->depth, i ? "b" : "a", &left, out);
		curve(&c->side[i], p->of[i]->flash_s, i ? "b" : "a", &right, out);
	}
	fputc('\n', out);
}

static void hours(int x, int y, int64_t end_us, FILE *out)
{
	for (int k = 0; k <= 4; k++)
		fprintf(out, "<text class=axis x=%d y=%d>%.1f h</text>", x + k * GRAPH_PX / 4 - (k == 4 ? 14 : k ? 0 : -14), y, (double)end_us * k / 4 / 3600e6);
}

static void picture(const struct comparison *c, FILE *out)
{
	size_t n;
	struct pair_site *p = compare_sites(c, &n);
	int64_t end_us = c->side[0].end_us > c->side[1].end_us ? c->side[0].end_us : c->side[1].end_us;
	uint32_t top = 60;

	for (size_t i = 0; i < 2 * n; i++) {
		const struct side_site *s = p[i / 2].of[i % 2];

		if (s && s->oldest > top)
			top = s->oldest;
	}
	fprintf(out, "<h2>Sites</h2><p class=\"small key\"><span><i class=ka></i>A</span><span><i class=kb></i>B</span>"
		     "<span>left: messages waiting for the desks of a site, wherever they are held, each row to its own peak (at least 20)</span>"
		     "<span>right: age of the oldest FLASH not yet read, one scale for all (up to %.1f min)</span></p>\n", top / 60.0);
	fprintf(out, "<div class=wide><svg viewBox=\"0 0 %d %d\">", WIDTH_PX, (int)n * ROW_PX + 24);
	for (size_t i = 0; i < n; i++)
		row(c, &p[i], (int)i * ROW_PX, end_us ? end_us : 1, top, out);
	hours(NAME_PX, (int)n * ROW_PX + 16, end_us, out);
	hours(NAME_PX + GRAPH_PX + GAP_PX, (int)n * ROW_PX + 16, end_us, out);
	fputs("</svg></div>\n", out);
	free(p);
}

static void worst(FILE *out, const struct side_site *s)
{
	char text[FIGURE_BYTES] = "none waited", when[40] = "";

	if (s && s->oldest) {
		figure_format(FIGURE_READ_F99, s->oldest * US_PER_S, text);
		story_time(s->oldest_at_us, when, sizeof when);
	}
	fprintf(out, "<td class=n>%s%s%s</td>", s ? text : "no such site", when[0] ? ", at " : "", when);
}

static void table_sites(const struct comparison *c, FILE *out)
{
	size_t n;
	struct pair_site *p = compare_sites(c, &n);

	fputs("<h2>Oldest FLASH not read, at its worst</h2><table><tr><th>site</th><th class=n>A</th><th class=n>B</th></tr>\n", out);
	for (size_t i = 0; i < n; i++) {
		fputs("<tr><td>", out);
		html_text(out, (p[i].of[0] ? p[i].of[0] : p[i].of[1])->name);
		fputs("</td>", out);
		worst(out, p[i].of[0]);
		worst(out, p[i].of[1]);
		fputs("</tr>\n", out);
	}
	fputs("</table>\n", out);
	free(p);
}

static void table_expected(const struct comparison *c, FILE *out)
{
	size_t n;
	struct pair_expected *p = compare_expected(c, &n);
	char when[40];

	if (n)
		fputs("<h2>Expected</h2><table><tr><th>at</th><th>expectation</th><th>A</th><th>B</th></tr>\n", out);
	for (size_t i = 0; i < n; i++) {
		const struct expectation *e = p[i].of[0] ? p[i].of[0] : p[i].of[1];
		char text[sizeof e->text];

		snprintf(text, sizeof text, "%.*s", (int)p[i].text, e->text);
		story_time(e->at_us, when, sizeof when);
		fprintf(out, "<tr><td class=time>%s</td><td>", when);
		html_text(out, text);
		fputs("</td>", out);
		for (int k = 0; k < 2; k++)
			fprintf(out, "<td class=%s>%s</td>", !p[i].of[k] || p[i].of[k]->skipped ? "none" : p[i].of[k]->met ? "ok" : "bad", expected_state(p[i].of[k]));
		fputs("</tr>\n", out);
	}
	fputs(n ? "</table>\n" : "", out);
	free(p);
}

static void page(const void *arg, FILE *out)
{
	const struct comparison *c = arg;
	char title[300];

	snprintf(title, sizeof title, "%s against %s", c->side[0].drill, c->side[1].drill);
	html_begin(out, strcmp(c->side[0].drill, c->side[1].drill) == 0 ? c->side[0].drill : title);
	fprintf(out, "%s<h1>What would have been different</h1>", extra);
	one_side(&c->side[0], 'A', out);
	one_side(&c->side[1], 'B', out);
	if (strcmp(c->side[0].trace, c->side[1].trace) == 0)
		fputs("<p><b>The two runs are the same, event for event.</b></p>", out);
	fprintf(out, "<p class=small>seed %" PRIu64 " &#183; again: <code>", c->seed);
	html_text(out, c->repeat);
	fputs("</code></p>\n", out);
	table(c, out);
	picture(c, out);
	table_sites(c, out);
	table_expected(c, out);
	fputs("</main></html>\n", out);
}

enum err compare_html(const struct comparison *c, const char *path, struct errmsg *m)
{
	return html_write(path, page, c, m);
}
