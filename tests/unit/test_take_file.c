/* Files of `take --out`: what is acknowledged is there, whatever happened beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/cli/take_file.c"

static struct taking t;
static char folder[128];
/* What the node was told. */
static char acked[8][ESTAFETTE_ID_SIZE], returned[8][ESTAFETTE_ID_SIZE];
static size_t n_acked, n_returned;
static const char *body;

int cli_fail(const struct cli *cli, enum err code, const char *fmt, ...)
{
	(void)cli, (void)code, (void)fmt;
	return EXIT_REFUSED;
}

json_t *cli_json_string(const char *bytes) { return json_string(bytes); }
json_t *take_object(const struct estafette_message *m) { return json_pack("{s:s}", "id", m->id); }
int take_write_fd(void *arg, const void *bytes, size_t n) { return write(*(int *)arg, bytes, n) == (ssize_t)n ? 0 : -1; }

int take_body(struct taking *taking, const struct estafette_message *m, int (*put)(void *arg, const void *bytes, size_t n), void *arg)
{
	(void)taking, (void)m;
	return put(arg, body, strlen(body));
}

void taking_ack_files(struct taking *taking, const struct taken_file *files, size_t n)
{
	(void)taking;
	for (size_t i = 0; i < n; i++) {
		strcpy(acked[n_acked++], files[i].id);
		free(files[i].line);
	}
}

int taking_verdict(struct taking *taking, int verdict, const char *const *ids, size_t n)
{
	(void)taking;
	assert_int_equal(verdict, ESTAFETTE_DO_RETURN);
	for (size_t i = 0; i < n; i++)
		strcpy(returned[n_returned++], ids[i]);
	return 0;
}

static int begin(void **state)
{
	static struct cli cli;
	const char *tmp = getenv("TMPDIR");

	(void)state;
	n_acked = n_returned = 0;
	body = "the dam holds";
	snprintf(folder, sizeof folder, "%s/estafette-take-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(folder));
	t = (struct taking){.cli = &cli, .out = folder, .ack = true, .out_fd = -1};
	return take_file_open(&t);
}

static int end(void **state)
{
	char path[200];

	(void)state;
	take_file_close(&t);
	snprintf(path, sizeof path, "%s/a", folder);
	unlink(path);
	snprintf(path, sizeof path, "%s/b", folder);
	unlink(path);
	return rmdir(folder);
}

static int add(const char *id)
{
	struct estafette_message m = {.id = id};

	return take_file_add(&t, &m);
}

static bool file_says(const char *name, const char *text)
{
	char path[200], got[64] = "";
	FILE *f = snprintf(path, sizeof path, "%s/%s", folder, name) > 0 ? fopen(path, "re") : NULL;
	bool same = f && fread(got, 1, sizeof got - 1, f) == strlen(text) && strcmp(got, text) == 0;

	if (f)
		fclose(f);
	return same;
}

static void a_batch_is_there_and_acknowledged(void **state)
{
	(void)state;
	assert_int_equal(add("a"), 0);
	assert_int_equal(add("b"), 0);
	assert_false(file_says("a", body)); /* not before it is whole */
	assert_int_equal(take_file_flush(&t), 0);
	assert_true(file_says("a", body) && file_says("b", body));
	assert_int_equal(n_acked, 2);
	assert_int_equal(n_returned, 0);
}

/* Its lease ran out while others were written, so the node handed it out again, to the same desk. Once the file went, and what was
 * acknowledged was nowhere. */
static void handed_out_twice_in_a_batch(void **state)
{
	(void)state;
	assert_int_equal(add("a"), 0);
	assert_int_equal(add("b"), 0);
	assert_int_equal(add("a"), 0);
	assert_int_equal(take_file_flush(&t), 0);
	assert_true(file_says("a", body) && file_says("b", body));
	assert_int_equal(n_acked, 2);
	assert_string_equal(acked[0], "a");
	assert_string_equal(acked[1], "b");
	assert_int_equal(n_returned, 0);
}

/* One that was taken before, and is handed out again: whatever fails, the file of the first time stays. */
static void the_file_of_an_earlier_take_stays(void **state)
{
	char path[200];

	(void)state;
	assert_int_equal(add("a"), 0);
	assert_int_equal(take_file_flush(&t), 0);
	body = "again";
	assert_int_equal(add("a"), 0);
	snprintf(path, sizeof path, "%s/.a.part", folder);
	assert_int_equal(unlink(path), 0); /* so that it cannot be renamed */
	assert_int_equal(take_file_flush(&t), -1);
	assert_true(file_says("a", "the dam holds"));
	assert_int_equal(n_acked, 1);
	assert_int_equal(n_returned, 1);
	assert_string_equal(returned[0], "a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_batch_is_there_and_acknowledged, begin, end),
		cmocka_unit_test_setup_teardown(handed_out_twice_in_a_batch, begin, end),
		cmocka_unit_test_setup_teardown(the_file_of_an_earlier_take_stays, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
