/* report_svg.c - one row a site, one row a link, all over the same time axis. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/report_svg.h"
#include "sim/series.h"

#define LEFT 250
#define WIDTH 840
#define RIGHT 120
#define ROW 46
#define LINK_ROW 18
#define MOST_SITES 40
/* A handful of messages is no mountain. */
#define DEPTH_LEAST 20
#define MOST_LINKS 60

void html_text(FILE *out, const char *s)
{
	for (; s && *s; s++)
		switch (*s) {
		case '<': fputs("&lt;", out); break;
		case '>': fputs("&gt;", out); break;
		case '&': fputs("&amp;", out); break;
		case '"': fputs("&quot;", out); break;
		default: fputc(*s, out);
		}
}

static double x_of(const struct run *r, int64_t at_us)
{
	return LEFT + (double)WIDTH * (double)at_us / (double)(r->virtual_us > 0 ? r->virtual_us : 1);
}

static const char *name_of(const struct run *r, uint16_t number)
{
	const struct site *s = roster_site(r->roster, number);

	return s ? s->id : "?";
}

/* ---- the axis ---------------------------------------------------------------------------------------------------- */

static int64_t axis_step(int64_t span_us)
{
	static const int64_t minutes[] = {1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 14400, 43200};

	for (size_t i = 0; i < sizeof minutes / sizeof *minutes; i++)
		if (span_us / (minutes[i] * 60 * US_PER_S) <= 12)
			return minutes[i] * 60 * US_PER_S;
	return span_us / 6 + 1;
}

static void axis(const struct run *r, FILE *out, int height)
{
	int64_t step = axis_step(r->virtual_us);
	char when[40];

	for (int64_t at = 0; at <= r->virtual_us; at += step) {
		story_time(at, when, sizeof when);
		size_t n = strlen(when);

		if (n > 3 && strcmp(when + n - 3, ":00") == 0)
			when[n - 3] = '\0';
		fprintf(out, "<line class=grid x1=%.1f x2=%.1f y1=16 y2=%d /><text class=axis x=%.1f y=11>%s</text>", x_of(r, at), x_of(r, at), height, x_of(r, at), when);
	}
	fputc('\n', out);
}

/* ---- sites ---------------------------------------------------------------------------------------------------------- */

static uint32_t peak(const uint32_t *v, size_t n)
{
	uint32_t most = 0;

	for (size_t k = 0; k < n; k++)
		most = v[k] > most ? v[k] : most;
	return most;
}

struct rank { size_t site; uint64_t weight; };

static int by_weight(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	return x->weight != y->weight ? (x->weight < y->weight ? 1 : -1) : (x->site > y->site) - (x->site < y->site);
}

static int by_site(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	return (x->site > y->site) - (x->site < y->site);
}

/* The sites of whom there is most to see, in the order of the roster. */
static size_t rank_sites(const struct series *s, struct rank **out)
{
	struct rank *v = calloc(s->n_sites ? s->n_sites : 1, sizeof *v);
	size_t n = s->n_sites;

	*out = v;
	if (!v)
		return 0;
	for (size_t i = 0; i < n; i++)
		v[i] = (struct rank){i, peak(s->depth + i * SERIES_SAMPLES, s->n)};
	for (size_t k = 0; k < s->n_changes; k++)
		for (size_t i = 0; i < n && !s->changes[k].b && !s->changes[k].up; i++)
			v[i].weight += s->numbers[i] == s->changes[k].a ? 1000000 : 0;
	qsort(v, n, sizeof *v, by_weight);
	n = n < MOST_SITES ? n : MOST_SITES;
	qsort(v, n, sizeof *v, by_site);
	return n;
}

/* Red bands where the site was down. */
static void bands_down(const struct run *r, FILE *out, uint16_t a, uint16_t b, double y, int height)
{
	const struct series *s = r->series;
	int64_t from = 0;
	bool up = false, any = false;

	for (size_t k = 0; k <= s->n_changes; k++) {
		bool last = k == s->n_changes;
		const struct change *c = &s->changes[k];

		if (!last && (c->served || c->a != a || c->b != b))
			continue;
		int64_t at = last ? r->virtual_us : c->at_us;

		if (!up && at > from && any)
			fprintf(out, "<rect class=down x=%.1f y=%.1f width=%.1f height=%d />", x_of(r, from), y, x_of(r, at) - x_of(r, from) < 1.5 ? 1.5 : x_of(r, at) - x_of(r, from), height);
		if (last)
			break;
		up = c->up;
		any = true;
		from = at;
	}
}

static void curve(const struct run *r, FILE *out, const uint32_t *v, double y, uint32_t most, const char *class, bool area)
{
	const struct series *s = r->series;

	fprintf(out, "<path class=%s d=\"M%.1f %.1f", class, x_of(r, 0), y);
	for (size_t k = 0; k < s->n; k++)
		fprintf(out, "L%.1f %.1f", x_of(r, (int64_t)k * s->step_us), y - (ROW - 10) * (double)v[k] / (double)(most ? most : 1));
	if (area)
		fprintf(out, "L%.1f %.1fZ", x_of(r, s->n ? (int64_t)(s->n - 1) * s->step_us : 0), y);
	fputs("\" />", out);
}

static void age_text(uint32_t s, char *out, size_t size)
{
	if (s >= 7200)
		snprintf(out, size, "%.1f h", s / 3600.0);
	else if (s >= 120)
		snprintf(out, size, "%u min", s / 60);
	else
		snprintf(out, size, "%u s", s);
}

void svg_sites(const struct run *r, FILE *out)
{
	const struct series *s = r->series;
	struct rank *order = NULL;
	size_t n = rank_sites(s, &order);
	int height = 18 + (int)n * ROW;
	uint32_t flash_most = 60;

	for (size_t i = 0; i < n; i++) {
		uint32_t f = peak(s->flash_s + order[i].site * SERIES_SAMPLES, s->n);

		flash_most = f > flash_most ? f : flash_most;
	}
	fprintf(out, "<div class=wide><svg viewBox=\"0 0 %d %d\" role=img aria-label=\"queues and oldest FLASH of each site\">", LEFT + WIDTH + RIGHT, height);
	for (size_t i = 0; i < n; i++) {
		size_t site = order[i].site;
		const uint32_t *depth = s->depth + site * SERIES_SAMPLES, *flash = s->flash_s + site * SERIES_SAMPLES;
		double y = 18 + (double)(i + 1) * ROW - 4;
		char age[40];

		fprintf(out, "<rect class=lane x=%d y=%.1f width=%d height=%d />", LEFT, y - ROW + 10, WIDTH, ROW - 10);
		bands_down(r, out, s->numbers[site], 0, y - ROW + 10, ROW - 10);
		curve(r, out, depth, y, peak(depth, s->n) > DEPTH_LEAST ? peak(depth, s->n) : DEPTH_LEAST, "depth", true);
		if (peak(flash, s->n))
			curve(r, out, flash, y, flash_most, "flash", false);
		age_text(peak(flash, s->n), age, sizeof age);
		fprintf(out, "<text class=name x=%d y=%.1f>", LEFT - 8, y - 12);
		html_text(out, name_of(r, s->numbers[site]));
		fprintf(out, "</text><text class=peak x=%d y=%.1f>%u waiting</text><text class=peakf x=%d y=%.1f>FLASH %s</text>\n", LEFT + WIDTH + 8, y - 20,
			peak(depth, s->n), LEFT + WIDTH + 8, y - 5, age);
	}
	axis(r, out, height);
	fputs("</svg></div>\n", out);
	if (n < s->n_sites)
		fprintf(out, "<p class=small>%zu of %zu sites are shown: those that were down, and those with the longest queues.</p>\n", n, s->n_sites);
	free(order);
}

/* ---- links ---------------------------------------------------------------------------------------------------------------- */

struct pair { uint16_t a, b; uint32_t downs; int64_t down_us, since; bool down, seen; };

static struct pair *pair_of(struct pair *v, size_t *n, uint16_t a, uint16_t b)
{
	for (size_t i = 0; i < *n; i++)
		if (v[i].a == a && v[i].b == b)
			return &v[i];
	v[*n] = (struct pair){.a = a, .b = b};
	return &v[(*n)++];
}

static int by_down(const void *x, const void *y)
{
	const struct pair *a = x, *b = y;

	if (a->down_us != b->down_us)
		return a->down_us < b->down_us ? 1 : -1;
	return a->a != b->a ? (int)a->a - b->a : (int)a->b - b->b;
}

static size_t down_pairs(const struct run *r, struct pair **out)
{
	const struct series *s = r->series;
	struct pair *v = calloc(s->n_changes + 1, sizeof *v);
	size_t n = 0, kept = 0;

	*out = v;
	for (size_t k = 0; v && k < s->n_changes; k++) {
		const struct change *c = &s->changes[k];

		if (!c->b || c->served)
			continue;
		struct pair *p = pair_of(v, &n, c->a, c->b);

		if (c->up && p->down)
			p->down_us += c->at_us - p->since;
		if (!c->up && p->seen)
			p->downs++;
		p->down = !c->up;
		p->seen = true;
		p->since = c->at_us;
	}
	for (size_t i = 0; i < n; i++) {
		if (v[i].down)
			v[i].down_us += r->virtual_us - v[i].since;
		if (v[i].downs)
			v[kept++] = v[i];
	}
	if (kept)
		qsort(v, kept, sizeof *v, by_down);
	return kept;
}

void svg_links(const struct run *r, FILE *out)
{
	struct pair *v = NULL;
	char down[40];
	size_t all = down_pairs(r, &v), n = all < MOST_LINKS ? all : MOST_LINKS;
	int height = 20 + (int)n * LINK_ROW;

	if (n) {
		fprintf(out, "<div class=wide><svg viewBox=\"0 0 %d %d\" role=img aria-label=\"when links were down\">", LEFT + WIDTH + RIGHT, height);
		for (size_t i = 0; i < n; i++) {
			double y = 20 + (double)i * LINK_ROW;

			fprintf(out, "<rect class=up x=%d y=%.1f width=%d height=%d />", LEFT, y, WIDTH, LINK_ROW - 5);
			bands_down(r, out, v[i].a, v[i].b, y, LINK_ROW - 5);
			age_text((uint32_t)(v[i].down_us / US_PER_S), down, sizeof down);
			fprintf(out, "<text class=link x=%d y=%.1f>%s &#8211; %s</text><text class=peak x=%d y=%.1f>%u x, %s down</text>\n", LEFT - 8, y + 10,
				name_of(r, v[i].a), name_of(r, v[i].b), LEFT + WIDTH + 8, y + 10, v[i].downs, down);
		}
		axis(r, out, height);
		fputs("</svg></div>\n", out);
	}
	fprintf(out, "<p class=small>%zu of %" PRIu64 " links were down at some time%s.%s</p>\n", all, r->links, n < all ? "; those that were down the longest are shown" : "",
		r->series->changes_dropped ? " So much changed that the last part is not in the picture." : "");
	free(v);
}

/* ---- who served whom -------------------------------------------------------------------------------------------------------- */

static void copies_at(const struct run *r, FILE *out, const struct site *s)
{
	for (size_t i = 0; i < s->n_standbys; i++) {
		fputs(i ? ", " : "", out);
		html_text(out, name_of(r, s->standbys[i]));
	}
}

static void span(FILE *out, int64_t from, int64_t to, const char *class, const char *who)
{
	char a[40], b[40];

	story_time(from - from % US_PER_S, a, sizeof a);
	story_time(to - to % US_PER_S, b, sizeof b);
	fprintf(out, "<span class=%s>%s</span> %s &#8211; %s; ", class, who, a, b);
}

#define MOST_SPANS 12
#define WHO_BYTES (LIMIT_SUCCESSORS * (LIMIT_NAME_BYTES + 8))

/* Its successors, else itself while it is up. Names of sites are letters, digits and hyphens. */
static const char *who_serves(const struct run *r, bool up, const struct served *by, char out[WHO_BYTES])
{
	size_t at = 0;

	if (!by->n)
		return up ? "itself" : "nobody";
	for (size_t i = 0; i < by->n; i++)
		at += (size_t)snprintf(out + at, WHO_BYTES - at, "%s%s", i + 1 < by->n && i ? ", " : i ? " and " : "", name_of(r, by->site[i]));
	return out;
}

static void served_row(const struct run *r, FILE *out, const struct site *site)
{
	const struct series *s = r->series;
	struct served by = {0};
	int64_t from = 0;
	bool up = false;
	int spans = 0;
	char when[40], who[WHO_BYTES];

	fputs("<tr><td>", out);
	html_text(out, site->id);
	fputs("</td><td>", out);
	for (size_t k = 0; k < s->n_changes; k++) {
		const struct change *c = &s->changes[k];

		if (c->b && !c->served)
			continue;
		if (c->a != site->number)
			continue;
		if (!c->served && by.n) {
			up = c->up; /* who serves it goes on */
			continue;
		}
		if (c->at_us > from + US_PER_S && spans++ < MOST_SPANS)
			span(out, from, c->at_us, up || by.n ? "ok" : "bad", who_serves(r, up, &by, who));
		from = c->at_us;
		if (c->served)
			by = c->by;
		else
			up = c->up;
	}
	if (spans > MOST_SPANS)
		fprintf(out, "... (%d changes more) ... ", spans - MOST_SPANS);
	story_time(from - from % US_PER_S, when, sizeof when);
	fprintf(out, "<span class=%s>%s</span> from %s</td><td>", up || by.n ? "ok" : "bad", who_serves(r, up, &by, who), when);
	copies_at(r, out, site);
	fputs("</td></tr>\n", out);
}

void table_served(const struct run *r, FILE *out)
{
	const struct series *s = r->series;
	size_t whole = 0;

	fputs("<div class=wide><table><tr><th>queues of</th><th>served by</th><th>copies held by</th></tr>\n", out);
	for (size_t i = 0; i < r->roster->n_sites; i++) {
		size_t downs = 0;

		for (size_t k = 0; k < s->n_changes; k++)
			downs += s->changes[k].a == r->roster->sites[i].number && (s->changes[k].served || (!s->changes[k].b && !s->changes[k].up));
		if (downs)
			served_row(r, out, &r->roster->sites[i]);
		else
			whole++;
	}
	fprintf(out, "</table></div>\n<p class=small>%zu sites served their own queues the whole time.</p>\n", whole);
}
