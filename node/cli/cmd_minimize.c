/* cmd_minimize.c - MINIMIZE: ordered, lifted, and said. */
#include "node/cli/minimize.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "node/cli/order.h"
#include "node/cli/output.h"
#include "node/cli/session.h"
#include "proto/id.h"
#include "proto/order.h"

#define ANSWER_MS 30000

/* ---- what is in force --------------------------------------------------------------------------------------------- */

struct in_force { char precedence[16], by[LIMIT_NAME_BYTES + 1], until[64]; long long held; };

static int read_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct in_force *f = arg;
	for (size_t i = 0; i < n; i++) {
		char *text = m[i].kind == ESTAFETTE_NULL ? NULL : output_text(&m[i]);
		if (text != NULL && strcmp(m[i].name, "minimize") == 0)
			snprintf(f->precedence, sizeof f->precedence, "%s", text);
		else if (text != NULL && strcmp(m[i].name, "minimize_by") == 0)
			snprintf(f->by, sizeof f->by, "%s", text);
		else if (text != NULL && strcmp(m[i].name, "minimize_until") == 0)
			snprintf(f->until, sizeof f->until, "%s", text);
		else if (m[i].kind == ESTAFETTE_NUMBER && strcmp(m[i].name, "minimize_held") == 0)
			f->held = m[i].number;
		free(text);
	}
	return 0;
}

static bool ask(estafette *h, struct in_force *f)
{
	memset(f, 0, sizeof *f);
	return estafette_show(h, "status", NULL, NULL, read_row, f, ANSWER_MS) == ESTAFETTE_OK && f->precedence[0] != '\0';
}

void minimize_say(estafette *h, FILE *to)
{
	struct in_force f;
	if (ask(h, &f))
		fprintf(to, "MINIMIZE by %s until %s: %s messages%s stay where they are, %lld of them here\n\n", f.by, f.until, f.precedence,
		        strcmp(f.precedence, "priority") == 0 ? " and below" : "", f.held);
}

void minimize_say_of(estafette *h, int precedence, FILE *to)
{
	enum precedence from;
	struct in_force f;
	if (ask(h, &f) && precedence_parse(f.precedence, &from) == ERR_OK && precedence >= (int)from)
		fprintf(to, "estafette: MINIMIZE by %s is in force: what was sent is kept here and goes on at %s\n", f.by, f.until);
}

/* ---- the command ---------------------------------------------------------------------------------------------------- */

enum { PRECEDENCE = 256, UNTIL, LIFT, REASON, DRY, YES };

static bool read_until(struct cli *cli, const char *text, int64_t *us)
{
	struct wall at;
	if (wall_parse(text, &at) == ERR_OK) {
		*us = at.us;
		return true;
	}
	int64_t span;
	if (duration_parse(text, &span) == ERR_OK) {
		struct timespec now;
		clock_gettime(CLOCK_REALTIME, &now);
		*us = (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000 + span;
		return true;
	}
	cli_fail(cli, ERR_USAGE, "--until %s: not a time (2021-07-14T22:05:00Z, or a duration from now as 4h)", text);
	return false;
}

static bool read_precedence(struct cli *cli, const char *text, int *out)
{
	enum precedence p;
	if (precedence_parse(text, &p) == ERR_OK && (p == PREC_ROUTINE || p == PREC_PRIORITY)) {
		*out = p;
		return true;
	}
	cli_fail(cli, ERR_USAGE, "--precedence %s: routine, or priority for priority and below", text);
	return false;
}

static int read_options(struct ordering *g, bool *named, int argc, char **argv)
{
	static const struct option options[] = {{"precedence", required_argument, NULL, PRECEDENCE}, {"until", required_argument, NULL, UNTIL},
	                                        {"lift", no_argument, NULL, LIFT}, {"reason", required_argument, NULL, REASON},
	                                        {"dry-run", no_argument, NULL, DRY}, {"yes", no_argument, NULL, YES}, {NULL, 0, NULL, 0}};
	int option;
	cli_options_begin();
	while ((option = cli_option(g->cli, argc, argv, options)) != -1) {
		switch (option) {
		case PRECEDENCE: *named = true; if (!read_precedence(g->cli, optarg, &g->o.precedence)) return EXIT_USAGE; break;
		case UNTIL: *named = true; if (!read_until(g->cli, optarg, &g->o.until_us)) return EXIT_USAGE; break;
		case LIFT: g->o.kind = "lift"; break;
		case REASON: g->o.reason = optarg; break;
		case DRY: g->dry = true; break;
		case YES: g->yes = true; break;
		default: return EXIT_USAGE;
		}
	}
	if (argc != optind)
		return cli_fail(g->cli, ERR_USAGE, "minimize: \"%s\" is one argument too many (it is about all sites)", argv[optind]);
	return EXIT_OK;
}

int cmd_minimize(struct cli *cli, int argc, char **argv)
{
	struct ordering g = {.cli = cli, .o = ESTAFETTE_ORDER_INIT};
	bool named = false;
	g.o.kind = "minimize";
	g.o.precedence = PREC_ROUTINE;
	int status = read_options(&g, &named, argc, argv);
	bool lift = strcmp(g.o.kind, "lift") == 0;
	if (status == EXIT_OK && lift && named)
		return cli_fail(cli, ERR_USAGE, "minimize --lift: it ends what is in force, and takes no --precedence and no --until");
	if (status == EXIT_OK && !lift && g.o.until_us == 0) {
		char text[] = "4h"; /* long enough to act, short enough not to be forgotten */
		read_until(cli, text, &g.o.until_us);
	}
	if (status == EXIT_OK && !g.dry && !g.yes && !isatty(STDIN_FILENO))
		return cli_fail(cli, ERR_USAGE, "minimize: it asks for this site's name, and there is no terminal (look with --dry-run, then say --yes)");
	return status == EXIT_OK ? order_run(&g) : status;
}
