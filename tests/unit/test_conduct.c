/* One run from outside: what is expected late is looked at, a repair repairs all, journals go where they are told to and away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/conduct.h"

static const char *const two_sites =
	"drill = \"two\"; start = \"2021-07-14T00:00:00Z\"; length = \"1h\"; settle = \"30min\";\n"
	"network = { sites = ( \"cic-luik\", \"cic-namen\" ); bearers = ( { name = \"fibre\"; delay = \"5ms\"; } );\n"
	"links = ( { from = \"all\"; to = \"all\"; bearers = ( \"fibre\" ); } ); };\n"
	"traffic = ( { name = \"calls\"; from = \"all\"; per-day = 480; to = \"own/dispatch\"; } );\n"
	"desks = ( { sites = \"all\"; queue = \"dispatch\"; handling = \"1s\"; } );\n"
	"events = (\n%s\n); expect = (\n%s\n);\n";

struct outcome { size_t expected, met, skipped; uint64_t broken, flash_looks; bool ok, cut_short; uint64_t accepted, waiting; int64_t virtual_us; };

static void ended(void *arg, const struct run *r)
{
	struct outcome *o = arg;
	struct verdict v;
	size_t n;
	const struct expectation *e = oracle_expectations(r->oracle, &n);

	oracle_verdict(r->oracle, &v);
	o->expected = n;
	for (size_t i = 0; i < n; i++)
		o->met += e[i].met, o->skipped += e[i].skipped;
	for (size_t i = 0; i < PROMISES; i++)
		o->broken += v.broken[i];
	o->flash_looks = v.checks[PROMISE_FLASH];
	o->ok = run_ok(r);
	o->cut_short = r->cut_short;
	o->accepted = v.accepted;
	o->waiting = v.waiting;
	o->virtual_us = r->virtual_us;
}

static struct drill *drill_of_text(const char *events, const char *expects)
{
	char text[8192];
	struct drill *d = NULL;
	struct errmsg m;

	snprintf(text, sizeof text, two_sites, events, expects);
	if (drill_parse("two.conf", view_str(text), &d, &m) != ERR_OK)
		fail_msg("%s", m.text);
	return d;
}

static struct outcome run_drill(const struct drill *d, const volatile sig_atomic_t *interrupted)
{
	struct outcome o = {0};
	struct errmsg m;
	struct conduct c = {.seed = 1, .repeat = "again", .suite = &crypt_suite_fast, .interrupted = interrupted, .outcome = ended, .arg = &o};

	if (conduct(d, &c, &m) != ERR_OK)
		fail_msg("%s", m.text);
	return o;
}

static struct outcome run_text(const char *events, const char *expects)
{
	struct drill *d = drill_of_text(events, expects);
	struct outcome o = run_drill(d, NULL);

	drill_free(d);
	return o;
}

/* All has come together long before: what is expected in the settling is looked at all the same. */
static void test_late_expectation(void **state)
{
	struct outcome o = run_text("", "{ what = \"accepted\"; at = \"1h 20min\"; at-least = 1; }, { what = \"accepted\"; at = \"1h 20min\"; at-least = 1000000; }");

	(void)state;
	assert_int_equal(o.expected, 2);
	assert_int_equal(o.met, 1);
	assert_false(o.ok);
}

static void test_repair_brings_desks_back(void **state)
{
	struct outcome o = run_text("{ at = \"10min\"; do = \"desks-away\"; sites = \"all\"; }, { at = \"20min\"; do = \"repair\"; }",
				    "{ what = \"waiting\"; at = \"19min\"; at-least = 2; }, { what = \"waiting\"; at = \"50min\"; at-most = 1; }");

	(void)state;
	assert_int_equal(o.expected, 2);
	assert_int_equal(o.met, 2);
}

/* A wrong clock keeps FLASH from being judged, until a repair sets it right. */
static void test_repair_ends_a_clocks_trouble(void **state)
{
	for (int repaired = 0; repaired < 2; repaired++) {
		struct drill *d = drill_of_text(repaired ? "{ at = \"5min\"; do = \"clock-step\"; sites = \"cic-luik\"; by = \"1h\"; }, { at = \"10min\"; do = \"repair\"; },"
							   "{ at = \"20min\"; do = \"send\"; from = \"cic-namen\"; to = \"cic-luik/dispatch\"; precedence = \"flash\"; }"
							 : "{ at = \"5min\"; do = \"clock-step\"; sites = \"cic-luik\"; by = \"1h\"; },"
							   "{ at = \"20min\"; do = \"send\"; from = \"cic-namen\"; to = \"cic-luik/dispatch\"; precedence = \"flash\"; }",
						"");
		(void)state;
		d->n_flows = 0;
		struct outcome o = run_drill(d, NULL);

		d->n_flows = 1;
		drill_free(d);
		assert_int_equal(o.flash_looks > 0, repaired);
	}
}

/* What was cancelled was not read, though it went further than "held"; and where no FLASH was, none was in time. */
static void test_not_met_by_another_end(void **state)
{
	struct drill *d = drill_of_text("{ at = \"5min\"; do = \"desks-away\"; sites = \"all\"; for = \"20min\"; },"
					"{ at = \"10min\"; do = \"send\"; from = \"cic-luik\"; to = \"cic-namen/dispatch\"; precedence = \"routine\"; label = \"gone\"; },"
					"{ at = \"12min\"; do = \"cancel\"; message = \"gone\"; }",
					"{ what = \"state\"; message = \"gone\"; state = \"held\"; at = \"11min\"; },"
					"{ what = \"state\"; message = \"gone\"; state = \"held\"; at = \"15min\"; }, { what = \"state\"; message = \"gone\"; state = \"read\"; },"
					"{ what = \"state\"; message = \"gone\"; state = \"cancelled\"; }, { what = \"flash-delay\"; within = \"1min\"; },"
					"{ what = \"read-delay\"; precedence = \"routine\"; within = \"1h\"; }, { what = \"read-delay\"; precedence = \"priority\"; within = \"1h\"; }");
	(void)state;
	d->n_flows = 0;
	struct outcome o = run_drill(d, NULL);

	d->n_flows = 1;
	drill_free(d);
	assert_int_equal(o.expected, 7);
	assert_int_equal(o.met, 2);
}

/* A timetable that was made shorter: nothing of what came later happens or is asked for, and nothing is sent after it. */
static void test_made_shorter(void **state)
{
	struct drill *d = drill_of_text("{ at = \"10min\"; do = \"send\"; from = \"cic-luik\"; to = \"cic-namen/dispatch\"; precedence = \"routine\"; count = 100; over = \"50min\"; },"
					"{ at = \"40min\"; do = \"crash\"; sites = \"all\"; for = \"30min\"; },"
					"{ at = \"40min\"; do = \"send\"; from = \"cic-luik\"; to = \"cic-namen/dispatch\"; precedence = \"flash\"; label = \"late\"; }",
					"{ what = \"accepted\"; at = \"30min\"; at-least = 1; }, { what = \"accepted\"; at = \"1h 10min\"; at-least = 1; },"
					"{ what = \"state\"; message = \"late\"; state = \"read\"; }, { what = \"read\"; at-least = 50; }");
	struct errmsg m;
	struct outcome o;

	(void)state;
	d->n_flows = 0;
	assert_int_equal(drill_set(d, "length", "20min", &m), ERR_OK);
	assert_int_equal(d->n_events, 2);
	assert_string_equal(d->events[0].text, "the timetable was made shorter: 2 events and 2 expectations are left out");
	o = run_drill(d, NULL);
	d->n_flows = 1;
	drill_free(d);
	assert_int_equal(o.expected, 2);
	assert_int_equal(o.met, 2);
	assert_int_equal(o.accepted, 21);
	assert_true(o.ok);
}

static void test_interrupted(void **state)
{
	volatile sig_atomic_t interrupted = 1;
	struct drill *d = drill_of_text("", "");
	struct outcome o = run_drill(d, &interrupted);

	(void)state;
	drill_free(d);
	assert_true(o.cut_short);
	assert_false(o.ok);
	assert_int_equal(o.virtual_us, 0);
}

/* Interrupts the run once its story says so. */
struct interrupting { const char *at; volatile sig_atomic_t now; char all[65536]; size_t n; };

static ssize_t follow(void *arg, const char *text, size_t n)
{
	struct interrupting *i = arg;

	assert_true(i->n + n < sizeof i->all);
	memcpy(i->all + i->n, text, n);
	i->n += n;
	i->now = i->now || strstr(i->all, i->at) != NULL;
	return (ssize_t)n;
}

static struct outcome run_until_told(const struct drill *d, struct interrupting *i)
{
	struct outcome o = {0};
	struct errmsg m;
	FILE *f = fopencookie(i, "w", (cookie_io_functions_t){.write = follow});

	assert_non_null(f);
	setvbuf(f, NULL, _IONBF, 0);
	struct conduct c = {.seed = 1, .repeat = "again", .suite = &crypt_suite_fast, .interrupted = &i->now, .follow = f, .outcome = ended, .arg = &o};

	assert_int_equal(conduct(d, &c, &m), ERR_OK);
	fclose(f);
	return o;
}

/* Cut short before the repair, or while all comes together: what needs the end is skipped, and no promise is broken by it. */
static void test_cut_short_is_not_judged(void **state)
{
	static const char *const at[] = {"cic-luik: crash", "everything is repaired"};

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct drill *d = drill_of_text("{ at = \"50min\"; do = \"send\"; from = \"cic-namen\"; to = \"cic-luik/dispatch\"; precedence = \"routine\"; },"
						"{ at = \"30min\"; do = \"crash\"; sites = \"cic-luik\"; }",
						"{ what = \"converged\"; within = \"30min\"; }, { what = \"accepted\"; at-least = 1000; }");
		struct interrupting i = {.at = at[k]};
		struct outcome o = run_until_told(d, &i);

		drill_free(d);
		assert_true(o.cut_short);
		assert_int_equal(o.expected, 2);
		assert_int_equal(o.met, 0);
		assert_int_equal(o.skipped, 2);
		assert_int_equal(o.broken, 0);
	}
}

static size_t entries(const char *path)
{
	DIR *dir = opendir(path);
	size_t n = 0;

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(dir);
	return n;
}

/* Journals lie in $TMPDIR, however it is called, in a folder of their own, which is gone afterwards; nothing else is touched. */
static void test_journals(void **state)
{
	char base[] = "/tmp/test-conduct-XXXXXX", dir[200], kept[256];
	struct drill *d = drill_of_text("", "{ what = \"accepted\"; at-least = 1; }");
	const char *before = getenv("TMPDIR");
	char *old = before ? strdup(before) : NULL;

	(void)state;
	assert_non_null(mkdtemp(base));
	snprintf(dir, sizeof dir, "%s/it's a folder with a long name; longer than the forty characters that once were room enough", base);
	snprintf(kept, sizeof kept, "%s/estafette-sim-kept", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mkdir(kept, 0700), 0);
	setenv("TMPDIR", dir, 1);
	d->lmdb = true;
	d->length_us = 60 * US_PER_S;
	struct outcome o = run_drill(d, NULL);
	if (old)
		setenv("TMPDIR", old, 1);
	else
		unsetenv("TMPDIR");
	free(old);
	drill_free(d);
	assert_int_equal(o.expected, 1);
	assert_int_equal(entries(dir), 1);
	assert_int_equal(rmdir(kept), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(rmdir(base), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_expectation), cmocka_unit_test(test_repair_brings_desks_back), cmocka_unit_test(test_made_shorter),
		cmocka_unit_test(test_interrupted), cmocka_unit_test(test_cut_short_is_not_judged), cmocka_unit_test(test_not_met_by_another_end), cmocka_unit_test(test_repair_ends_a_clocks_trouble),
		cmocka_unit_test(test_journals),
	};

	return crypt_start() != 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
