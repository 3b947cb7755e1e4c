/* output.h - rows, for people as a table and with --json as one object a line.
 *
 * A row is a list of named members, as estafette_show gives it; commands that know things by themselves fill the same
 * struct. For people times are local with their zone, in JSON RFC 3339 UTC. */
#ifndef NODE_CLI_OUTPUT_H
#define NODE_CLI_OUTPUT_H

#include "node/cli/cli.h"
#include "node/client/estafette.h"

struct output {
	const struct cli *cli;
	bool upright;      /* one member a line: for a single row that is broader than a screen */
	size_t rows, columns;
	char **cell;       /* (rows + 1) * columns; the first row is the names */
	size_t cap;
	bool *right;       /* numbers stand to the right */
	int status;        /* exit status so far */
};

void output_begin(struct output *o, const struct cli *cli);
/* Takes one row (copied); the shape of estafette_show's function, arg is the struct output. */
int output_row(void *arg, const struct estafette_member *members, size_t n);
/* Prints the table and lets go of it. none: what to say to people when there was no row; NULL for nothing. */
int output_end(struct output *o, const char *none);

/* Control characters become blanks, in place: a terminal obeys them, and what others wrote shall not command ours. */
void output_disarm(char *s);

/* One member as a JSON value; NULL when out of memory. */
struct json_t *output_json(const struct estafette_member *m);
/* One member for people: on one line, control characters replaced. Freed with free; NULL when out of memory. */
char *output_text(const struct estafette_member *m);

#define MEMBER_TEXT(n, t) ((struct estafette_member){n, (t) ? ESTAFETTE_TEXT : ESTAFETTE_NULL, t, 0})
#define MEMBER_NUMBER(n, x) ((struct estafette_member){n, ESTAFETTE_NUMBER, NULL, x})
#define MEMBER_FLAG(n, x) ((struct estafette_member){n, ESTAFETTE_FLAG, NULL, (x) ? 1 : 0})
#define MEMBER_TIME(n, us) ((struct estafette_member){n, (us) ? ESTAFETTE_TIME : ESTAFETTE_NULL, NULL, us})

#endif
