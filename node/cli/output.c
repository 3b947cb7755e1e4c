#include "node/cli/output.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/instant.h"

/* ---- one member ---------------------------------------------------------------------------------------------- */

static json_t *json_list(const char *text)
{
	json_t *list = json_array();
	while (list != NULL && *text != '\0') {
		size_t n = strcspn(text, "\n");
		char *item = strndup(text, n);
		json_t *v = item ? cli_json_string(item) : NULL;
		free(item);
		if (v == NULL || json_array_append_new(list, v) != 0) {
			json_decref(list);
			return NULL;
		}
		text += n + (text[n] == '\n');
	}
	return list;
}

json_t *output_json(const struct estafette_member *m)
{
	char time[WALL_TEXT_BYTES];
	switch (m->kind) {
	case ESTAFETTE_TEXT: return cli_json_string(m->text);
	case ESTAFETTE_LIST: return json_list(m->text);
	case ESTAFETTE_NUMBER: return json_integer(m->number);
	case ESTAFETTE_FLAG: return json_boolean(m->number);
	case ESTAFETTE_TIME:
		wall_format((struct wall){m->number}, 6, time);
		return json_string(time);
	default: return json_null();
	}
}

void output_disarm(char *s)
{
	for (unsigned char *p = (unsigned char *)s; *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = ' ';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			*p = p[1] = ' ';
	}
}

static char *text_list(const char *text)
{
	size_t n = strlen(text);
	char *out = malloc(2 * n + 1), *p = out;
	if (out == NULL)
		return NULL;
	for (; *text != '\0'; text++) {
		*p++ = *text == '\n' ? ',' : *text;
		if (*text == '\n')
			*p++ = ' ';
	}
	*p = '\0';
	return out;
}

static char *text_time(int64_t us)
{
	char out[64];
	struct tm tm;
	time_t s = (time_t)(us / US_PER_S);
	if (localtime_r(&s, &tm) == NULL || strftime(out, sizeof out, "%F %T %Z", &tm) == 0)
		return strdup("?");
	return strdup(out);
}

char *output_text(const struct estafette_member *m)
{
	char number[32];
	char *out;
	switch (m->kind) {
	case ESTAFETTE_TEXT: out = strdup(m->text); break;
	case ESTAFETTE_LIST: out = text_list(m->text); break;
	case ESTAFETTE_NUMBER:
		snprintf(number, sizeof number, "%lld", (long long)m->number);
		out = strdup(number);
		break;
	case ESTAFETTE_FLAG: out = strdup(m->number ? "yes" : "no"); break;
	case ESTAFETTE_TIME: out = text_time(m->number); break;
	default: out = strdup("-"); break;
	}
	if (out != NULL)
		output_disarm(out);
	return out;
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

void output_begin(struct output *o, const struct cli *cli)
{
	memset(o, 0, sizeof *o);
	o->cli = cli;
}

static int no_memory(struct output *o)
{
	if (o->status == EXIT_OK)
		o->status = cli_fail(o->cli, ERR_NOMEM, "output: out of memory");
	return 1;
}

static int row_json(struct output *o, const struct estafette_member *m, size_t n)
{
	json_t *row = json_object();
	for (size_t i = 0; row != NULL && i < n; i++)
		if (json_object_set_new(row, m[i].name, output_json(&m[i])) != 0) {
			json_decref(row);
			row = NULL;
		}
	int status = cli_print_object(o->cli, row);
	if (status != EXIT_OK)
		o->status = status;
	return status != EXIT_OK;
}

/* The first row says which columns there are. */
static bool begin_columns(struct output *o, const struct estafette_member *m, size_t n)
{
	o->columns = n;
	o->cap = 16 * n;
	o->cell = calloc(o->cap, sizeof *o->cell);
	o->right = calloc(n, sizeof *o->right);
	for (size_t i = 0; o->cell != NULL && i < n; i++)
		if ((o->cell[i] = strdup(m[i].name)) == NULL)
			return false;
	return o->cell != NULL && o->right != NULL;
}

static const struct estafette_member *named(const struct estafette_member *m, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(m[i].name, name) == 0)
			return &m[i];
	return NULL;
}

int output_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct output *o = arg;
	if (n == 0)
		return 0;
	if (o->cli->json) {
		o->rows++;
		return row_json(o, m, n);
	}
	if (o->columns == 0 && !begin_columns(o, m, n))
		return no_memory(o);
	size_t at = (o->rows + 1) * o->columns;
	if (at + o->columns > o->cap) {
		char **cell = realloc(o->cell, 2 * o->cap * sizeof *cell);
		if (cell == NULL)
			return no_memory(o);
		memset(cell + o->cap, 0, o->cap * sizeof *cell);
		o->cell = cell;
		o->cap *= 2;
	}
	o->rows++;
	for (size_t i = 0; i < o->columns; i++) {
		static const struct estafette_member none = {"", ESTAFETTE_NULL, NULL, 0};
		const struct estafette_member *x = named(m, n, o->cell[i]);
		if ((o->cell[at + i] = output_text(x ? x : &none)) == NULL)
			return no_memory(o);
		o->right[i] |= x != NULL && x->kind == ESTAFETTE_NUMBER;
	}
	return 0;
}

/* ---- tables ------------------------------------------------------------------------------------------------ */

/* Columns a text takes, one a character of UTF-8. */
static int width(const char *s)
{
	int n = 0;
	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void print_cell(const char *s, int columns, bool right, bool last)
{
	int pad = columns - width(s);
	if (right)
		printf("%*s%s", pad, "", s);
	else
		printf("%s%*s", s, last ? 0 : pad, "");
	fputs(last ? "\n" : "  ", stdout);
}

static void print_table(const struct output *o)
{
	int *w = calloc(o->columns, sizeof *w);
	for (size_t i = 0; w != NULL && i < (o->rows + 1) * o->columns; i++) {
		int n = o->cell[i] ? width(o->cell[i]) : 0;
		if (n > w[i % o->columns])
			w[i % o->columns] = n;
	}
	for (size_t i = 0; w != NULL && i < (o->rows + 1) * o->columns; i++) {
		size_t c = i % o->columns;
		print_cell(o->cell[i] ? o->cell[i] : "", w[c], o->right[c], c + 1 == o->columns);
	}
	free(w);
}

static void print_upright(const struct output *o)
{
	int w = 0;
	for (size_t c = 0; c < o->columns; c++)
		if (width(o->cell[c]) > w)
			w = width(o->cell[c]);
	for (size_t r = 1; r <= o->rows; r++)
		for (size_t c = 0; c < o->columns; c++) {
			print_cell(o->cell[c], w, false, false);
			puts(o->cell[r * o->columns + c] ? o->cell[r * o->columns + c] : "");
		}
}

int output_end(struct output *o, const char *none)
{
	if (!o->cli->json && o->rows == 0 && none != NULL && o->status == EXIT_OK)
		puts(none);
	if (!o->cli->json && o->rows > 0 && o->status == EXIT_OK)
		(o->upright ? print_upright : print_table)(o);
	for (size_t i = 0; i < o->cap && o->cell != NULL; i++)
		free(o->cell[i]);
	free(o->cell);
	free(o->right);
	int status = o->status;
	if (fflush(stdout) != 0 && status == EXIT_OK)
		status = cli_fail(o->cli, ERR_IO, "standard output: the result could not be written (is the disk full?)");
	memset(o, 0, sizeof *o);
	return status;
}
