/* Rows as people and scripts see them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "node/cli/output.c"

/* What output.c needs of cli.c, kept for the test to look at. */
static char *printed[4];
static int n_printed;

int cli_fail(const struct cli *cli, enum err code, const char *fmt, ...)
{
	(void)cli, (void)code, (void)fmt;
	fail();
	return EXIT_REFUSED;
}

json_t *cli_json_string(const char *bytes) { return json_string(bytes); }

int cli_print_object(const struct cli *cli, json_t *object)
{
	(void)cli;
	assert_non_null(object);
	printed[n_printed++] = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return EXIT_OK;
}

static void text_is(struct estafette_member m, const char *expected)
{
	char *s = output_text(&m);
	assert_string_equal(s, expected);
	free(s);
}

static void people_see_plain_values(void **state)
{
	(void)state;
	text_is(MEMBER_NUMBER("n", -12), "-12");
	text_is(MEMBER_FLAG("f", 7), "yes");
	text_is(MEMBER_FLAG("f", 0), "no");
	text_is(MEMBER_TEXT("t", NULL), "-");
	text_is(MEMBER_TIME("t", 0), "-");
	text_is((struct estafette_member){"l", ESTAFETTE_LIST, "a=1\nb=2", 0}, "a=1, b=2");
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	text_is(MEMBER_TIME("t", 1626300300000000), "2021-07-15 00:05:00 CEST");
}

/* What others wrote must not steer the terminal of who looks at it. */
static void control_characters_are_disarmed(void **state)
{
	(void)state;
	text_is(MEMBER_TEXT("t", "red \033[31m\x7f and \xc2\x9b" "31m, one\nline"), "red  [31m  and   31m, one line");
	text_is(MEMBER_TEXT("t", "Lüttich – Liège"), "Lüttich – Liège");
}

static void scripts_get_one_object_a_line(void **state)
{
	(void)state;
	struct cli cli = {.json = true};
	struct output o;
	struct estafette_member row[] = {MEMBER_TEXT("site", "cic-luik"), MEMBER_NUMBER("pid", 42), MEMBER_FLAG("up", 1), MEMBER_TIME("since", 1626300300123456),
	                                 MEMBER_TEXT("note", NULL), {"frontiers", ESTAFETTE_LIST, "a\nb", 0}, {"none", ESTAFETTE_LIST, "", 0}};
	output_begin(&o, &cli);
	assert_int_equal(output_row(&o, row, 7), 0);
	assert_int_equal(output_end(&o, "nothing"), EXIT_OK);
	assert_int_equal(n_printed, 1);
	assert_string_equal(printed[0], "{\"site\":\"cic-luik\",\"pid\":42,\"up\":true,\"since\":\"2021-07-14T22:05:00.123456Z\",\"note\":null,"
	                                "\"frontiers\":[\"a\",\"b\"],\"none\":[]}");
	free(printed[0]);
}

/* Standard output in a file while f prints; what it printed. */
static char *captured(void (*f)(void))
{
	static char text[4096];
	FILE *file = tmpfile();
	fflush(stdout);
	int saved = dup(1);
	dup2(fileno(file), 1);
	f();
	fflush(stdout);
	dup2(saved, 1);
	close(saved);
	rewind(file);
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	return text;
}

static void print_two_rows(void)
{
	struct cli cli = {.json = false};
	struct output o;
	struct estafette_member a[] = {MEMBER_TEXT("peer", "cic-vlaams-brabant"), MEMBER_NUMBER("backlog", 7), MEMBER_TEXT("note", "één")};
	struct estafette_member b[] = {MEMBER_TEXT("note", "x"), MEMBER_TEXT("peer", "ü"), MEMBER_TEXT("new", "y")};
	output_begin(&o, &cli);
	output_row(&o, a, 3);
	output_row(&o, b, 3);
	output_end(&o, "nothing");
}

static void print_no_row(void)
{
	struct cli cli = {.json = false};
	struct output o;
	output_begin(&o, &cli);
	output_end(&o, "no links");
}

static void tables_line_up(void **state)
{
	(void)state;
	assert_string_equal(captured(print_two_rows), "peer                backlog  note\n"
	                                              "cic-vlaams-brabant        7  één\n"
	                                              "ü                         -  x\n");
	assert_string_equal(captured(print_no_row), "no links\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(people_see_plain_values), cmocka_unit_test(control_characters_are_disarmed),
		cmocka_unit_test(scripts_get_one_object_a_line), cmocka_unit_test(tables_line_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
