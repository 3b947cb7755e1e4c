/* Golden scenarios: short drills whose story, line by line, is the test.
 *
 * tests/golden/NAME.golden holds a drill, a line "==== the story", and the story that is expected, without parts of seconds
 * (what a few milliseconds do is not the point) and
 * with (id) for ids. After a change that is meant, GOLDEN_UPDATE=1 writes the stories anew: read the diff. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glob.h>

#include "sim/conduct.h"

static const char mark[] = "==== the story\n";

struct told { FILE *out; char *text; size_t len; bool ok; };

/* Ids hold random bits, and are written as (id). */
static void hide_ids(char *text)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

	for (char *at = text; *at;) {
		size_t n = strspn(at, digits);

		if (n == MSGID_TEXT_BYTES - 1) {
			memcpy(at, "(id)", 4);
			memmove(at + 4, at + n, strlen(at + n) + 1);
			n = 4;
		}
		at += n ? n : 1;
	}
}

static void add_line(FILE *out, const struct story_line *l)
{
	char when[40], text[500];

	/* Of a node's log only its alarms: what else it says there is its own affair. */
	if (l->kind == STORY_NOTE && !strstr(l->text, ": alarm "))
		return;
	story_time(l->at_us - l->at_us % US_PER_S, when, sizeof when);
	snprintf(text, sizeof text, "%s", l->text);
	hide_ids(text);
	fprintf(out, "%-12s %-8s %s\n", when, story_kind_name(l->kind), text);
}

static void ended(void *arg, const struct run *r)
{
	struct told *t = arg;
	struct verdict v;

	for (size_t i = 0; i < r->story->n; i++)
		add_line(t->out, &r->story->lines[i]);
	oracle_verdict(r->oracle, &v);
	fprintf(t->out, "in the end: %llu accepted, %llu read, %llu refused, %llu expired, %llu cancelled, %llu waiting, %llu destroyed: %s\n",
		 (unsigned long long)v.accepted, (unsigned long long)v.read, (unsigned long long)v.refused, (unsigned long long)v.expired,
		 (unsigned long long)v.cancelled, (unsigned long long)v.waiting, (unsigned long long)v.excused, run_ok(r) ? "all promises kept" : "NOT as promised");
	t->ok = run_ok(r);
}

static char *read_file(const char *path)
{
	enum { MOST = 256 * 1024 };
	FILE *f = fopen(path, "r");
	char *file = malloc(MOST);

	assert_non_null(f);
	assert_non_null(file);
	size_t len = fread(file, 1, MOST - 1, f);

	file[len] = '\0';
	fclose(f);
	return file;
}

static void write_file(const char *path, struct view drill, struct view story)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fwrite(drill.ptr, 1, drill.len, f);
	fputs(mark, f);
	fwrite(story.ptr, 1, story.len, f);
	assert_int_equal(fclose(f), 0);
}

/* The first line in which they differ. */
static void show_difference(const char *path, const char *want, const char *got)
{
	size_t line = 1;

	while (*want && *want == *got) {
		const char *w = strchr(want, '\n'), *g = strchr(got, '\n');

		if (!w || !g || w - want != g - got || strncmp(want, got, (size_t)(w - want)) != 0)
			break;
		want = w + 1;
		got = g + 1;
		line++;
	}
	fail_msg("%s: line %zu of the story is\n  %.*s\nand should be\n  %.*s", path, line, (int)strcspn(got, "\n"), got, (int)strcspn(want, "\n"), want);
}

static void golden(void **state)
{
	const char *path = *state;
	char *file = read_file(path), *story = strstr(file, mark);
	struct view text = story ? view_of(file, (size_t)(story - file)) : view_str(file);
	struct told t = {0};
	struct conduct how = {.messages = true, .suite = &crypt_suite_fast, .outcome = ended, .arg = &t};
	struct drill *d = NULL;
	struct errmsg m = {0};

	t.out = open_memstream(&t.text, &t.len);
	assert_non_null(t.out);
	if (drill_parse(path, text, &d, &m))
		fail_msg("%s", m.text);
	how.seed = d->seed;
	if (conduct(d, &how, &m))
		fail_msg("%s: %s", path, m.text);
	assert_int_equal(fclose(t.out), 0);
	if (getenv("GOLDEN_UPDATE"))
		write_file(path, text, view_of(t.text, t.len));
	else if (!story)
		fail_msg("%s: no line \"==== the story\" (GOLDEN_UPDATE=1 writes it)", path);
	else if (strcmp(story + strlen(mark), t.text) != 0)
		show_difference(path, story + strlen(mark), t.text);
	assert_true(t.ok);
	drill_free(d);
	free(t.text);
	free(file);
}

int main(void)
{
	glob_t found;

	if (crypt_start() || glob("tests/golden/*.golden", 0, NULL, &found) || found.gl_pathc < 12) {
		fprintf(stderr, "tests/golden: a dozen scenarios should be there (run it from the top folder)\n");
		return 1;
	}
	struct CMUnitTest *tests = calloc(found.gl_pathc, sizeof *tests);

	if (!tests)
		return 1;
	for (size_t i = 0; i < found.gl_pathc; i++)
		tests[i] = (struct CMUnitTest){.name = found.gl_pathv[i], .test_func = golden, .initial_state = found.gl_pathv[i]};
	int failed = _cmocka_run_group_tests("golden", tests, found.gl_pathc, NULL, NULL);

	free(tests);
	globfree(&found);
	return failed;
}
