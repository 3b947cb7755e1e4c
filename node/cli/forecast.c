#include "node/cli/forecast.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/cli/output.h"
#include "node/cli/session.h"

#define ANSWER_MS 30000
#define HELPER "estafette-sim"
#define COLUMNS 16

/* ---- asking ------------------------------------------------------------------------------------------------------ */

struct writing { FILE *to; size_t rows; bool bad; };

static int write_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct writing *w = arg;
	json_t *row = json_object();
	for (size_t i = 0; row != NULL && i < n; i++)
		w->bad |= json_object_set_new(row, m[i].name, output_json(&m[i])) != 0;
	w->bad |= row == NULL || json_dumpf(row, w->to, JSON_COMPACT) != 0 || fputc('\n', w->to) == EOF;
	w->rows++;
	json_decref(row);
	return w->bad;
}

static bool helper_path(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - sizeof HELPER - 1);
	if (n <= 0)
		return false;
	out[n] = '\0';
	char *slash = strrchr(out, '/');
	if (slash == NULL)
		return false;
	strcpy(slash + 1, HELPER);
	return access(out, X_OK) == 0;
}

bool forecast_possible(void)
{
	char path[PATH_MAX];
	return helper_path(path);
}

static int run_helper(const struct cli *cli, int in, int out, bool by_precedence)
{
	char path[PATH_MAX], why[500];
	int status = 0;
	if (!helper_path(path))
		return cli_fail(cli, ERR_UNSUPPORTED, "forecast: " HELPER " is not beside this command (it reckons; `make install` puts both into one folder)");
	pid_t pid = fork();
	if (pid == 0) {
		if (dup2(in, STDIN_FILENO) == STDIN_FILENO && dup2(out, STDOUT_FILENO) == STDOUT_FILENO && dup2(out, STDERR_FILENO) == STDERR_FILENO)
			execl(path, HELPER, "forecast", by_precedence ? "--by-precedence" : (char *)NULL, (char *)NULL);
		_exit(127);
	}
	if (pid < 0)
		return cli_fail(cli, ERR_IO, "forecast: " HELPER " cannot be started: %s", strerror(errno));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return EXIT_OK;
	/* Nothing was written but why. */
	ssize_t n = pread(out, why, sizeof why - 1, 0);
	why[n > 0 ? n : 0] = '\0';
	why[strcspn(why, "\n")] = '\0';
	if (why[0] == '\0')
		snprintf(why, sizeof why, "it ended with %s %d", WIFEXITED(status) ? "status" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return cli_fail(cli, ERR_REFUSED, "forecast: %s", why);
}

static json_t *read_rows(int fd)
{
	json_t *rows = json_array(), *row;
	int mine = lseek(fd, 0, SEEK_SET) == 0 ? dup(fd) : -1;
	FILE *f = mine >= 0 ? fdopen(mine, "r") : NULL;
	while (f != NULL && rows != NULL && (row = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL)) != NULL)
		json_array_append_new(rows, row);
	if (f != NULL)
		fclose(f);
	return rows;
}

static int reckon(const struct cli *cli, estafette *h, const struct estafette_forecast *f, bool by_precedence, FILE *in, int out, json_t **rows)
{
	struct writing w = {.to = in};
	if (estafette_forecast(h, f, write_row, &w, ANSWER_MS) != ESTAFETTE_OK)
		return w.bad ? cli_fail(cli, ERR_IO, "forecast: what the node said cannot be kept: %s", strerror(errno)) : session_fail(cli, h, f->id ? f->id : f->queue);
	if (w.rows == 0)
		return EXIT_OK;
	if (fflush(in) != 0 || lseek(fileno(in), 0, SEEK_SET) != 0)
		return cli_fail(cli, ERR_IO, "forecast: what the node said cannot be kept: %s", strerror(errno));
	int status = run_helper(cli, fileno(in), out, by_precedence);
	if (status == EXIT_OK && (*rows = read_rows(out)) == NULL)
		status = cli_fail(cli, ERR_NOMEM, "forecast: out of memory");
	return status;
}

int forecast_reckon(const struct cli *cli, estafette *h, const struct estafette_forecast *f, bool by_precedence, json_t **out)
{
	int in = memfd_create("known", MFD_CLOEXEC), answer = memfd_create("forecast", MFD_CLOEXEC);
	FILE *to = in >= 0 ? fdopen(in, "w+") : NULL;
	*out = NULL;
	int status = to == NULL || answer < 0 ? cli_fail(cli, ERR_IO, "forecast: no file in memory: %s", strerror(errno)) : reckon(cli, h, f, by_precedence, to, answer, out);
	if (to != NULL)
		fclose(to);
	else if (in >= 0)
		close(in);
	if (answer >= 0)
		close(answer);
	return status;
}

/* ---- showing -------------------------------------------------------------------------------------------------------- */

/* "cic-namen -fibre- cic-antwerpen -mobile- cic-luik" */
static void path_text(const json_t *row, char *out, size_t size)
{
	const json_t *path = json_object_get(row, "path"), *bearers = json_object_get(row, "bearers");
	size_t used = 0;
	out[0] = '\0';
	for (size_t i = 0; i < json_array_size(path) && used < size; i++) {
		const char *bearer = i ? json_string_value(json_array_get(bearers, i - 1)) : NULL, *site = json_string_value(json_array_get(path, i));
		used += (size_t)snprintf(out + used, size - used, "%s%s%s%s", bearer ? " -" : "", bearer ? bearer : "", bearer ? "- " : "", site ? site : "?");
	}
}

static struct estafette_member member_of(const char *name, const json_t *x)
{
	struct wall t;
	if (json_is_integer(x))
		return MEMBER_NUMBER(name, json_integer_value(x));
	if (!json_is_string(x))
		return MEMBER_TEXT(name, NULL);
	if (strchr("efl", name[0]) != NULL && wall_parse(json_string_value(x), &t) == ERR_OK) /* earliest, first, likely */
		return MEMBER_TIME(name, t.us);
	return MEMBER_TEXT(name, json_string_value(x));
}

static void table_row(struct output *o, json_t *row)
{
	struct estafette_member m[COLUMNS];
	char path[1024];
	const char *name;
	json_t *x;
	size_t n = 0;
	path_text(row, path, sizeof path);
	json_object_foreach (row, name, x) {
		if (n == COLUMNS || strcmp(name, "part") == 0 || strcmp(name, "bearers") == 0 || (strlen(name) > 2 && strcmp(name + strlen(name) - 2, "_s") == 0))
			continue;
		m[n++] = strcmp(name, "path") == 0 ? (struct estafette_member){"path", ESTAFETTE_TEXT, path, 0} : member_of(name, x);
	}
	output_row(o, m, n);
}

static bool is_part(const json_t *row, const char *part)
{
	const char *s = json_string_value(json_object_get(row, "part"));
	return s != NULL && strcmp(s, part) == 0;
}

size_t forecast_table(const struct cli *cli, const json_t *rows, const char *part, int *status)
{
	struct output o;
	size_t n = 0;
	output_begin(&o, cli);
	for (size_t i = 0; i < json_array_size(rows) && *status == EXIT_OK; i++) {
		json_t *row = json_array_get(rows, i);
		if (!is_part(row, part))
			continue;
		n++;
		if (cli->json)
			*status = cli_print_object(cli, json_incref(row));
		else
			table_row(&o, row);
	}
	int end = output_end(&o, NULL);
	*status = *status == EXIT_OK ? end : *status;
	return n;
}

void forecast_assumed(const struct cli *cli, const json_t *rows)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);
		const char *text = json_string_value(json_object_get(row, "text"));
		if (!is_part(row, "assumed") || text == NULL)
			continue;
		if (cli->json)
			cli_print_object(cli, json_incref(row));
		else
			printf("assumed: %s\n", text);
	}
}
