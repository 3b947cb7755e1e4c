/* report.c - the outcome as text for people and as one line of JSON for scripts. */
#include <inttypes.h>

#include "sim/report.h"

bool run_ok(const struct run *r)
{
	struct verdict v;

	oracle_verdict(r->oracle, &v);
	return v.ok && !r->cut_short;
}

bool run_began(const struct run *r, char out[RUN_BEGAN_BYTES])
{
	struct wall local = {r->start.us + r->utc_offset_us};
	int64_t minutes = (r->utc_offset_us < 0 ? -r->utc_offset_us : r->utc_offset_us) / (60 * US_PER_S);
	char text[WALL_TEXT_BYTES];

	if (r->start.us == 0)
		return false;
	wall_format(local, 0, text);
	snprintf(out, RUN_BEGAN_BYTES, "%.10s %.5s (UTC%c%02d:%02d)", text, text + 11, r->utc_offset_us < 0 ? '-' : '+', (int)(minutes / 60), (int)(minutes % 60));
	return true;
}

/* ---- text ---------------------------------------------------------------------------------------------------- */

static void print_seconds(FILE *out, const char *what, int64_t us)
{
	if (us < 0)
		fprintf(out, "%s -", what);
	else
		fprintf(out, us < US_PER_S ? "%s %.0f ms" : "%s %.1f s", what, us < US_PER_S ? (double)us / US_PER_MS : (double)us / US_PER_S);
}

static void print_promises(const struct verdict *v, FILE *out)
{
	fprintf(out, "\n  promises\n");
	for (unsigned p = 0; p < PROMISES; p++) {
		if (v->broken[p])
			fprintf(out, "    BROKEN %" PRIu64 " x  %s\n", v->broken[p], promise_text(p));
		else if (v->checks[p])
			fprintf(out, "    kept         %s (looked at %" PRIu64 " times)\n", promise_text(p), v->checks[p]);
		else
			fprintf(out, "    -            %s (there was nothing to look at)\n", promise_text(p));
	}
}

static void print_expectations(const struct oracle *o, FILE *out)
{
	size_t n;
	const struct expectation *e = oracle_expectations(o, &n);

	if (n)
		fprintf(out, "\n  expected\n");
	for (size_t i = 0; i < n; i++) {
		char when[40];

		story_time(e[i].at_us, when, sizeof when);
		fprintf(out, "    %-12s %s, at %s\n", e[i].skipped ? "skipped" : e[i].met ? "met" : "NOT MET", e[i].text, when);
	}
}

static void print_counts(const char *title, const uint64_t *counts, unsigned n, const char *(*name)(unsigned), FILE *out)
{
	bool any = false;

	for (unsigned i = 0; i < n; i++)
		if (counts[i]) {
			fprintf(out, "%s%s %" PRIu64, any ? ", " : title, name(i), counts[i]);
			any = true;
		}
	if (any)
		fputc('\n', out);
}

void report_text(const struct run *r, FILE *out)
{
	struct verdict v;
	char began[RUN_BEGAN_BYTES];

	oracle_verdict(r->oracle, &v);
	if (!r->story->follow)
		story_print(r->story, out);
	fprintf(out, "\n%s%s%s\n", r->drill, r->title && r->title[0] ? ": " : "", r->title ? r->title : "");
	if (r->speed)
		fprintf(out, "  seed %" PRIu64 ", %.1f h of the drill and what followed live in %.1f s, %" PRIu64 " sites, %" PRIu64 " pieces on the wire\n"
			"  rates of lines are kept by the %s\n", r->seed, (double)r->virtual_us * (double)r->speed / 3600e6, r->wall_s, r->sites, r->frames, r->shaper);
	else
		fprintf(out, "  seed %" PRIu64 ", %.1f h of virtual time in %.1f s, %" PRIu64 " sites, %" PRIu64 " events\n  trace %s\n", r->seed,
			(double)r->virtual_us / 3600e6, r->wall_s, r->sites, r->events, r->trace);
	if (run_began(r, began))
		fprintf(out, "  begins %s; all times count from there\n", began);
	if (r->cut_short)
		fprintf(out, "  CUT SHORT: what follows holds for what was seen\n");
	fprintf(out, "  messages (one for each addressee): %" PRIu64 " accepted, %" PRIu64 " read, %" PRIu64 " refused, %" PRIu64 " expired, %" PRIu64
		" cancelled, %" PRIu64 " waiting\n", v.accepted, v.read, v.refused, v.expired, v.cancelled, v.waiting);
	print_seconds(out, "  FLASH to its addressee: half within", v.flash_p50_us);
	print_seconds(out, ", 99 % within", v.flash_p99_us);
	print_seconds(out, ", all within", v.flash_max_us);
	print_seconds(out, "\n  after the last repair all journals agreed within", v.converged_us);
	fputc('\n', out);
	print_counts("  faults: ", v.faults, FAULT_KINDS, fault_kind_name, out);
	print_counts("  seldom: ", v.rares, RARES, rare_name, out);
	for (size_t i = 0; i < r->n_unsupported; i++)
		fprintf(out, "%s%s%s", i ? ", " : "  not supported yet: ", r->unsupported[i], i + 1 == r->n_unsupported ? "\n" : "");
	for (size_t i = 0; i < r->n_unjudged; i++)
		fprintf(out, "%s%s%s", i ? ", " : "  not judged live: ", r->unjudged[i], i + 1 == r->n_unjudged ? "\n" : "");
	print_promises(&v, out);
	print_expectations(r->oracle, out);
	fprintf(out, "\n  %s\n", v.ok ? r->cut_short ? "cut short, nothing broken so far" : "all promises kept" : v.first_broken);
	if (!run_ok(r) && r->repeat)
		fprintf(out, "  again: %s\n", r->repeat);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

void report_json_text(FILE *out, const char *s)
{
	fputc('"', out);
	for (; s && *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void json_counts(FILE *out, const char *name, const uint64_t *counts, unsigned n, const char *(*label)(unsigned))
{
	fprintf(out, ", \"%s\": {", name);
	for (unsigned i = 0; i < n; i++) {
		fprintf(out, "%s", i ? ", " : "");
		report_json_text(out, label(i));
		fprintf(out, ": %" PRIu64, counts[i]);
	}
	fputc('}', out);
}

/* Milliseconds, or null for none. */
static void json_ms(FILE *out, const char *name, int64_t us)
{
	if (us < 0)
		fprintf(out, ", \"%s\": null", name);
	else
		fprintf(out, ", \"%s\": %.3f", name, (double)us / US_PER_MS);
}

static void json_expectations(FILE *out, const struct oracle *o)
{
	size_t n;
	const struct expectation *e = oracle_expectations(o, &n);

	fprintf(out, ", \"expectations\": [");
	for (size_t i = 0; i < n; i++) {
		fprintf(out, "%s{\"at_s\": %.3f, \"text\": ", i ? ", " : "", (double)e[i].at_us / US_PER_S);
		report_json_text(out, e[i].text);
		fprintf(out, ", \"state\": \"%s\"}", e[i].skipped ? "skipped" : e[i].met ? "met" : "missed");
	}
	fputc(']', out);
}

void report_json(const struct run *r, FILE *out)
{
	struct verdict v;

	oracle_verdict(r->oracle, &v);
	fprintf(out, "{\"drill\": ");
	report_json_text(out, r->drill);
	fprintf(out, ", \"seed\": %" PRIu64 ", \"trace\": \"%s\", \"virtual_s\": %.3f, \"wall_s\": %.3f, \"events\": %" PRIu64, r->seed, r->trace,
		(double)r->virtual_us / US_PER_S, r->wall_s, r->events);
	fprintf(out, ", \"accepted\": %" PRIu64 ", \"read\": %" PRIu64 ", \"expired\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"altered\": %" PRIu64
		", \"twice_silent\": %" PRIu64 ", \"twice_reported\": %" PRIu64, v.accepted, v.read, v.expired, v.lost, v.altered, v.twice_silent, v.twice_reported);
	json_ms(out, "flash_p50_ms", v.flash_p50_us);
	json_ms(out, "flash_p99_ms", v.flash_p99_us);
	if (v.converged_us < 0)
		fprintf(out, ", \"converged_s\": null");
	else
		fprintf(out, ", \"converged_s\": %.3f", (double)v.converged_us / US_PER_S);
	fprintf(out, ", \"unsupported\": [");
	for (size_t i = 0; i < r->n_unsupported; i++) {
		fprintf(out, "%s", i ? ", " : "");
		report_json_text(out, r->unsupported[i]);
	}
	fprintf(out, "], \"ok\": %s, \"cut_short\": %s", run_ok(r) ? "true" : "false", r->cut_short ? "true" : "false");
	fprintf(out, ", \"refused\": %" PRIu64 ", \"cancelled\": %" PRIu64 ", \"waiting\": %" PRIu64 ", \"misdelivered\": %" PRIu64 ", \"destroyed\": %" PRIu64
		", \"sites\": %" PRIu64 ", \"links\": %" PRIu64 ", \"frames\": %" PRIu64, v.refused, v.cancelled, v.waiting, v.misdelivered, v.excused,
		r->sites, r->links, r->frames);
	if (r->speed) {
		fprintf(out, ", \"live\": true, \"speed\": %" PRId64 ", \"shaper\": \"%s\", \"unjudged\": [", r->speed, r->shaper);
		for (size_t i = 0; i < r->n_unjudged; i++) {
			fprintf(out, "%s", i ? ", " : "");
			report_json_text(out, r->unjudged[i]);
		}
		fputc(']', out);
	}
	fprintf(out, ", \"broken\": ");
	report_json_text(out, v.first_broken);
	json_counts(out, "promises", v.broken, PROMISES, promise_name);
	json_expectations(out, r->oracle);
	json_counts(out, "faults", v.faults, FAULT_KINDS, fault_kind_name);
	json_counts(out, "coverage", v.rares, RARES, rare_name);
	fprintf(out, ", \"repeat\": ");
	report_json_text(out, r->repeat);
	fprintf(out, "}\n");
}
