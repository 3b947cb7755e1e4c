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

struct outcome { size_t expected, met; bool ok, cut_short; uint64_t accepted, waiting; int64_t virtual_us; };

static void ended(void *arg, const struct run *r)
{
	struct outcome *o = arg;
	struct verdict v;
	size_t n;
	const struct expectation *e = oracle_expectations(r->oracle, &n);

	oracle_verdict(r->oracle, &v);
	o->expected = n;
	for (size_t i = 0; i < n; i++)
		o->met += e[i].met;
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
		cmocka_unit_test(test_interrupted), cmocka_unit_test(test_journals),
	};

	return crypt_start() != 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
