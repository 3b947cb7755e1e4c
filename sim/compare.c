/* compare.c - the outcomes of two runs: taken, matched, and told as text and as JSON. */
#include "sim/compare.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/series.h"

static const struct { const char *json, *text; bool time; } figures[FIGURES] = {
#define X(name, json, text, time) {json, text, time},
	COMPARE_LIST(X)
#undef X
};

const char *figure_name(unsigned f)
{
	return figures[f].json;
}

const char *figure_text(unsigned f)
{
	return figures[f].text;
}

bool figure_is_time(unsigned f)
{
	return figures[f].time;
}

static void *room(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		exit(1);
	return p;
}

static char *copied(const char *s)
{
	char *c = strdup(s ? s : "");

	if (!c)
		exit(1);
	return c;
}

/* ---- taking -------------------------------------------------------------------------------------------------------- */

static void take_figures(struct side *s, const struct verdict *v)
{
	int64_t broken = 0;

	for (unsigned p = 0; p < PROMISES; p++)
		broken += v->broken[p] != 0;
	const int64_t value[FIGURES] = {
		[FIGURE_ACCEPTED] = (int64_t)v->accepted, [FIGURE_READ] = (int64_t)v->read, [FIGURE_REFUSED] = (int64_t)v->refused,
		[FIGURE_EXPIRED] = (int64_t)v->expired, [FIGURE_CANCELLED] = (int64_t)v->cancelled, [FIGURE_WAITING] = (int64_t)v->waiting,
		[FIGURE_CONFLICTS] = (int64_t)v->twice_reported, [FIGURE_LOST] = (int64_t)v->lost, [FIGURE_DESTROYED] = (int64_t)v->excused,
		[FIGURE_FLASH_P50] = v->flash_p50_us, [FIGURE_FLASH_P99] = v->flash_p99_us, [FIGURE_FLASH_MAX] = v->flash_max_us,
		[FIGURE_READ_F50] = v->read_p50_us[PREC_FLASH], [FIGURE_READ_F99] = v->read_p99_us[PREC_FLASH],
		[FIGURE_READ_I50] = v->read_p50_us[PREC_IMMEDIATE], [FIGURE_READ_I99] = v->read_p99_us[PREC_IMMEDIATE],
		[FIGURE_READ_P50] = v->read_p50_us[PREC_PRIORITY], [FIGURE_READ_P99] = v->read_p99_us[PREC_PRIORITY],
		[FIGURE_READ_R50] = v->read_p50_us[PREC_ROUTINE], [FIGURE_READ_R99] = v->read_p99_us[PREC_ROUTINE],
		[FIGURE_CONVERGED] = v->converged_us, [FIGURE_MET] = (int64_t)v->expectations_met, [FIGURE_MISSED] = (int64_t)v->expectations_missed,
		[FIGURE_BROKEN] = broken,
	};

	memcpy(s->value, value, sizeof value);
}

static void take_site(struct side_site *t, const struct series *s, size_t i)
{
	const uint32_t *depth = s->depth + i * SERIES_SAMPLES, *flash = s->flash_s + i * SERIES_SAMPLES;

	t->depth = room(SERIES_SAMPLES, sizeof *t->depth);
	t->flash_s = room(SERIES_SAMPLES, sizeof *t->flash_s);
	memcpy(t->depth, depth, s->n * sizeof *depth);
	memcpy(t->flash_s, flash, s->n * sizeof *flash);
	for (size_t k = 0; k < s->n; k++) {
		if (depth[k] > t->most)
			t->most = depth[k];
		if (flash[k] > t->oldest) {
			t->oldest = flash[k];
			t->oldest_at_us = (int64_t)k * s->step_us;
		}
	}
}

static void take_sites(struct side *s, const struct run *r)
{
	const struct series *x = r->series;

	if (!x)
		return;
	s->n_sites = x->n_sites;
	s->n_samples = x->n;
	s->step_us = x->step_us;
	s->end_us = x->end_us;
	s->sites = room(x->n_sites, sizeof *s->sites);
	for (size_t i = 0; i < x->n_sites; i++) {
		const struct site *site = roster_site(r->roster, x->numbers[i]);

		snprintf(s->sites[i].name, sizeof s->sites[i].name, "%s", site ? site->id : "?");
		take_site(&s->sites[i], x, i);
	}
}

void compare_take(void *arg, const struct run *r)
{
	struct side *s = arg;
	struct verdict v;
	const struct expectation *e = oracle_expectations(r->oracle, &s->n_expected);

	oracle_verdict(r->oracle, &v);
	s->taken = true;
	s->ok = run_ok(r);
	s->cut_short = r->cut_short;
	s->drill = copied(r->drill);
	s->title = copied(r->title);
	s->virtual_us = r->virtual_us;
	memcpy(s->trace, r->trace, sizeof s->trace);
	take_figures(s, &v);
	take_sites(s, r);
	s->expected = room(s->n_expected, sizeof *s->expected);
	if (s->n_expected)
		memcpy(s->expected, e, s->n_expected * sizeof *e);
}

void side_release(struct side *s)
{
	for (size_t i = 0; i < s->n_sites; i++) {
		free(s->sites[i].depth);
		free(s->sites[i].flash_s);
	}
	free(s->sites);
	free(s->expected);
	free(s->drill);
	free(s->title);
}

bool compare_ok(const struct comparison *c)
{
	for (int i = 0; i < 2; i++)
		if (!c->side[i].taken || c->side[i].cut_short || c->side[i].value[FIGURE_BROKEN])
			return false;
	return true;
}

/* ---- matching ------------------------------------------------------------------------------------------------------- */

struct pair_site *compare_sites(const struct comparison *c, size_t *n)
{
	const struct side *a = &c->side[0], *b = &c->side[1];
	struct pair_site *p = room(a->n_sites + b->n_sites, sizeof *p);

	*n = a->n_sites;
	for (size_t i = 0; i < a->n_sites; i++)
		p[i].of[0] = &a->sites[i];
	for (size_t k = 0; k < b->n_sites; k++) {
		size_t i = 0;

		while (i < a->n_sites && strcmp(a->sites[i].name, b->sites[k].name) != 0)
			i++;
		p[i < a->n_sites ? i : (*n)++].of[1] = &b->sites[k];
	}
	return p;
}

/* "100% of ... are read (it is 98)": what it turned out to be is not what is expected. */
static size_t expected_bytes(const struct expectation *e)
{
	size_t n = strlen(e->text);
	const char *last = NULL;

	for (const char *p = e->text; (p = strstr(p, " (")); p++)
		last = p;
	return last && n && e->text[n - 1] == ')' ? (size_t)(last - e->text) : n;
}

static bool same_expected(const struct expectation *a, const struct expectation *b)
{
	size_t n = expected_bytes(a);

	return a->at_us == b->at_us && n == expected_bytes(b) && memcmp(a->text, b->text, n) == 0;
}

struct pair_expected *compare_expected(const struct comparison *c, size_t *n)
{
	const struct side *a = &c->side[0], *b = &c->side[1];
	struct pair_expected *p = room(a->n_expected + b->n_expected, sizeof *p);

	*n = a->n_expected;
	for (size_t i = 0; i < a->n_expected; i++)
		p[i] = (struct pair_expected){{&a->expected[i], NULL}, expected_bytes(&a->expected[i])};
	for (size_t k = 0; k < b->n_expected; k++) {
		size_t i = 0;

		while (i < a->n_expected && (p[i].of[1] || !same_expected(&a->expected[i], &b->expected[k])))
			i++;
		if (i == a->n_expected)
			p[i = (*n)++].text = expected_bytes(&b->expected[k]);
		p[i].of[1] = &b->expected[k];
	}
	return p;
}

const char *expected_state(const struct expectation *e)
{
	return !e ? "-" : e->skipped ? "skipped" : e->met ? "met" : "missed";
}

/* ---- figures as text ---------------------------------------------------------------------------------------------------- */

static void span_format(int64_t us, char out[FIGURE_BYTES])
{
	if (us >= 7200 * US_PER_S)
		snprintf(out, FIGURE_BYTES, "%.1f h", (double)us / 3600e6);
	else if (us >= 120 * US_PER_S)
		snprintf(out, FIGURE_BYTES, "%.1f min", (double)us / 60e6);
	else if (us >= US_PER_S)
		snprintf(out, FIGURE_BYTES, "%.1f s", (double)us / US_PER_S);
	else
		snprintf(out, FIGURE_BYTES, "%.0f ms", (double)us / US_PER_MS);
}

void figure_format(unsigned f, int64_t value, char out[FIGURE_BYTES])
{
	if (value < 0)
		snprintf(out, FIGURE_BYTES, "-");
	else if (figures[f].time)
		span_format(value, out);
	else
		snprintf(out, FIGURE_BYTES, "%" PRId64, value);
}

void figure_difference(unsigned f, int64_t a, int64_t b, char out[FIGURE_BYTES])
{
	int64_t d = b - a;
	char text[FIGURE_BYTES];

	out[0] = '\0';
	if (a == b || a < 0 || b < 0)
		return;
	figure_format(f, d < 0 ? -d : d, text);
	if (strcmp(text, "0 ms") != 0)
		snprintf(out, FIGURE_BYTES, "%c%.*s", d < 0 ? '-' : '+', FIGURE_BYTES - 2, text);
}

static void seconds_format(const struct side_site *s, char out[FIGURE_BYTES])
{
	if (!s)
		snprintf(out, FIGURE_BYTES, "no such site");
	else if (!s->oldest)
		snprintf(out, FIGURE_BYTES, "none waited");
	else
		span_format(s->oldest * US_PER_S, out);
}

/* ---- text ------------------------------------------------------------------------------------------------------------------- */

static void print_row(FILE *out, const char *name, const char *a, const char *b, const char *difference)
{
	fprintf(out, "  %-36.36s %14s %14s", name, a, b);
	fprintf(out, difference[0] ? " %14s\n" : "\n", difference);
}

static void print_sites(const struct comparison *c, FILE *out)
{
	size_t n;
	struct pair_site *p = compare_sites(c, &n);
	char a[FIGURE_BYTES], b[FIGURE_BYTES];

	fprintf(out, "\n  oldest FLASH not read, at its worst\n");
	for (size_t i = 0; i < n; i++) {
		if (p[i].of[0] && p[i].of[1] && !p[i].of[0]->oldest && !p[i].of[1]->oldest)
			continue;
		seconds_format(p[i].of[0], a);
		seconds_format(p[i].of[1], b);
		print_row(out, (p[i].of[0] ? p[i].of[0] : p[i].of[1])->name, a, b, "");
	}
	free(p);
}

static void print_expected(const struct comparison *c, FILE *out)
{
	size_t n;
	struct pair_expected *p = compare_expected(c, &n);

	fputs(n ? "\n" : "", out);
	if (n)
		print_row(out, "expected", "A", "B", "");
	for (size_t i = 0; i < n; i++) {
		const struct expectation *e = p[i].of[0] ? p[i].of[0] : p[i].of[1];
		char when[40];

		story_time(e->at_us, when, sizeof when);
		fprintf(out, "  %-36s %14s %14s   %.*s\n", when, expected_state(p[i].of[0]), expected_state(p[i].of[1]), (int)p[i].text, e->text);
	}
	free(p);
}

static void print_side(const struct side *s, char letter, FILE *out)
{
	fprintf(out, "  %c  %s%s%s: %s%s%s%s\n", letter, s->file, s->set ? " with " : "", s->set ? s->set : "", s->drill, s->title[0] ? ", " : "", s->title,
		s->cut_short ? " (CUT SHORT: what follows holds for what was seen)" : "");
}

void compare_text(const struct comparison *c, FILE *out)
{
	const struct side *a = &c->side[0], *b = &c->side[1];
	char x[FIGURE_BYTES], y[FIGURE_BYTES], d[FIGURE_BYTES];

	fprintf(out, "seed %" PRIu64 "\n", c->seed);
	print_side(a, 'A', out);
	print_side(b, 'B', out);
	if (strcmp(a->trace, b->trace) == 0)
		fprintf(out, "  the two runs are the same, event for event\n");
	fputc('\n', out);
	print_row(out, "", "A", "B", "B less A");
	for (unsigned f = 0; f < FIGURES; f++) {
		if (a->value[f] < 0 && b->value[f] < 0)
			continue;
		figure_format(f, a->value[f], x);
		figure_format(f, b->value[f], y);
		figure_difference(f, a->value[f], b->value[f], d);
		print_row(out, figures[f].text, x, y, d);
	}
	print_sites(c, out);
	print_expected(c, out);
}

/* ---- JSON --------------------------------------------------------------------------------------------------------------------- */

static void json_side(const struct side *s, const char *name, FILE *out)
{
	fprintf(out, ", \"%s\": {\"file\": ", name);
	report_json_text(out, s->file);
	fputs(", \"set\": ", out);
	if (s->set)
		report_json_text(out, s->set);
	else
		fputs("null", out);
	fputs(", \"drill\": ", out);
	report_json_text(out, s->drill);
	fprintf(out, ", \"trace\": \"%s\", \"ok\": %s, \"cut_short\": %s, \"virtual_s\": %.3f", s->trace, s->ok ? "true" : "false", s->cut_short ? "true" : "false",
		(double)s->virtual_us / US_PER_S);
	for (unsigned f = 0; f < FIGURES; f++) {
		fprintf(out, ", \"%s\": ", figures[f].json);
		if (s->value[f] < 0)
			fputs("null", out);
		else if (figures[f].time)
			fprintf(out, "%.6f", (double)s->value[f] / US_PER_S);
		else
			fprintf(out, "%" PRId64, s->value[f]);
	}
	fputc('}', out);
}

static void json_site(const struct side_site *s, const char *name, FILE *out)
{
	fprintf(out, ", \"%s\": ", name);
	if (s)
		fprintf(out, "{\"oldest_flash_s\": %" PRIu32 ", \"oldest_flash_at_s\": %.3f, \"most_waiting\": %" PRIu32 "}", s->oldest,
			(double)s->oldest_at_us / US_PER_S, s->most);
	else
		fputs("null", out);
}

static void json_expected(const struct expectation *e, const char *name, FILE *out)
{
	fprintf(out, ", \"%s\": ", name);
	if (e)
		fprintf(out, "\"%s\"", expected_state(e));
	else
		fputs("null", out);
}

static void json_lists(const struct comparison *c, FILE *out)
{
	size_t n_sites, n_expected;
	struct pair_site *site = compare_sites(c, &n_sites);
	struct pair_expected *expected = compare_expected(c, &n_expected);

	fputs(", \"sites\": [", out);
	for (size_t i = 0; i < n_sites; i++) {
		fprintf(out, "%s{\"site\": ", i ? ", " : "");
		report_json_text(out, (site[i].of[0] ? site[i].of[0] : site[i].of[1])->name);
		json_site(site[i].of[0], "a", out);
		json_site(site[i].of[1], "b", out);
		fputc('}', out);
	}
	fputs("], \"expectations\": [", out);
	for (size_t i = 0; i < n_expected; i++) {
		const struct expectation *e = expected[i].of[0] ? expected[i].of[0] : expected[i].of[1];
		char text[sizeof e->text];

		snprintf(text, sizeof text, "%.*s", (int)expected[i].text, e->text);
		fprintf(out, "%s{\"at_s\": %.3f, \"text\": ", i ? ", " : "", (double)e->at_us / US_PER_S);
		report_json_text(out, text);
		json_expected(expected[i].of[0], "a", out);
		json_expected(expected[i].of[1], "b", out);
		fputc('}', out);
	}
	fputc(']', out);
	free(site);
	free(expected);
}

void compare_json(const struct comparison *c, FILE *out)
{
	const char *comma = "";

	fprintf(out, "{\"seed\": %" PRIu64 ", \"same\": %s, \"ok\": %s, \"differ\": [", c->seed,
		strcmp(c->side[0].trace, c->side[1].trace) == 0 ? "true" : "false", compare_ok(c) ? "true" : "false");
	for (unsigned f = 0; f < FIGURES; f++)
		if (c->side[0].value[f] != c->side[1].value[f]) {
			fprintf(out, "%s\"%s\"", comma, figures[f].json);
			comma = ", ";
		}
	fputc(']', out);
	json_side(&c->side[0], "a", out);
	json_side(&c->side[1], "b", out);
	json_lists(c, out);
	fputs(", \"repeat\": ", out);
	report_json_text(out, c->repeat);
	fputs("}\n", out);
}
