/* cmd_order.c - orders: relocate, handback, revoke; endorse; and assist. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "node/cli/order.h"
#include "node/cli/output.h"
#include "node/cli/session.h"

#define BACK_MS 300000

enum { TO = 256, REASON, EXERCISE, DRY, YES, WITHOUT, TIMEOUT, AUTHORITY, COUNT };
#define WITH_VALUE(name, value) {name, required_argument, NULL, value}
#define WITHOUT_VALUE(name, value) {name, no_argument, NULL, value}
static const struct option relocate_options[] = {WITH_VALUE("to", TO), WITH_VALUE("reason", REASON), WITH_VALUE("exercise", EXERCISE),
                                                 WITHOUT_VALUE("dry-run", DRY), WITHOUT_VALUE("yes", YES), {NULL, 0, NULL, 0}};
static const struct option handback_options[] = {WITH_VALUE("without", WITHOUT), WITH_VALUE("reason", REASON), WITH_VALUE("exercise", EXERCISE),
                                                 WITH_VALUE("timeout", TIMEOUT), WITHOUT_VALUE("dry-run", DRY), WITHOUT_VALUE("yes", YES), {NULL, 0, NULL, 0}};
static const struct option revoke_options[] = {WITH_VALUE("to", TO), WITH_VALUE("reason", REASON), WITH_VALUE("authority", AUTHORITY),
                                               WITHOUT_VALUE("dry-run", DRY), WITHOUT_VALUE("yes", YES), {NULL, 0, NULL, 0}};

/* ---- options ------------------------------------------------------------------------------------------------------- */

static bool set_option(struct ordering *g, int option)
{
	switch (option) {
	case TO: g->assign[g->o.n_assign++] = optarg; return true;
	case WITHOUT: g->without[g->o.n_without++] = optarg; return true;
	case REASON: g->o.reason = optarg; return true;
	case EXERCISE: g->o.exercise = optarg; return true;
	case AUTHORITY: g->authority = optarg; return true;
	case DRY: g->dry = true; return true;
	case YES: g->yes = true; return true;
	case TIMEOUT: return session_duration_ms(g->cli, "--timeout", optarg, &g->timeout_ms);
	default: return false;
	}
}

static int read_options(struct ordering *g, const struct option *options, int argc, char **argv)
{
	int option;
	g->assign = calloc((size_t)argc + 1, sizeof *g->assign);
	g->without = calloc((size_t)argc + 1, sizeof *g->without);
	if (g->assign == NULL || g->without == NULL)
		return cli_fail(g->cli, ERR_NOMEM, "%s: out of memory", argv[0]);
	cli_options_begin();
	while ((option = cli_option(g->cli, argc, argv, options)) != -1)
		if (option == '?' || !set_option(g, option))
			return EXIT_USAGE;
	if (argc - optind != 1)
		return cli_fail(g->cli, ERR_USAGE, "%s: one site, not %d (%sestafette %s --help)", argv[0], argc - optind,
		                g->o.n_assign > 0 ? "each successor has a --to of its own; " : "", argv[0]);
	g->o.kind = argv[0];
	g->o.site = argv[optind];
	g->o.assign = g->assign;
	g->o.without = g->without;
	return EXIT_OK;
}

/* ---- giving one ------------------------------------------------------------------------------------------------------ */

static int own_site(void *arg, const struct estafette_member *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(m[i].name, "site") == 0 && m[i].kind == ESTAFETTE_TEXT)
			snprintf(arg, LIMIT_NAME_BYTES + 1, "%s", m[i].text);
	return 0;
}

/* Shows what the order would do and asks for the site's name; of an order about all for that of this site, which gives it. */
static int confirm(struct ordering *g)
{
	char line[256], name[LIMIT_NAME_BYTES + 1] = "";
	int status = order_dry_run(g);
	if (status != EXIT_OK)
		return status;
	if (g->o.site != NULL)
		snprintf(name, sizeof name, "%s", g->o.site);
	else if (estafette_show(g->h, "status", NULL, NULL, own_site, name, ORDER_ANSWER_MS) != ESTAFETTE_OK)
		return session_fail(g->cli, g->h, "");
	fprintf(stderr, "To give this order, type the name of the site (%s): ", name);
	if (fgets(line, sizeof line, stdin) == NULL)
		line[0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	if (name[0] != '\0' && strcmp(line, name) == 0)
		return EXIT_OK;
	return cli_fail(g->cli, ERR_REFUSED, "%s: not confirmed, so nothing was ordered", g->o.kind);
}

static int give(struct ordering *g)
{
	bool back = strcmp(g->o.kind, "handback") == 0;
	int left_ms = g->timeout_ms, status = EXIT_OK;
	if (back)
		status = order_give_back(g, &left_ms);
	else if (estafette_order(g->h, &g->o, order_answer_row, &g->answer, ORDER_ANSWER_MS) != ESTAFETTE_OK)
		status = session_fail(g->cli, g->h, "");
	if (status == EXIT_OK && g->authority != NULL)
		status = order_authority(g->cli, g->h, g->authority, g->answer.hash, &g->o, &g->answer);
	if (status == EXIT_OK)
		status = order_say(g->cli, &g->answer);
	return status == EXIT_OK && back ? order_wait_back(g, left_ms) : status;
}

int order_run(struct ordering *g)
{
	/* A key that does not fit shall be known before anything is ordered. */
	int status = g->authority != NULL ? order_authority_check(g->cli, g->authority) : EXIT_OK;
	if (status == EXIT_OK)
		g->h = session_open(g->cli, &status);
	if (g->h == NULL)
		return status;
	if (g->dry)
		status = order_dry_run(g);
	else if (!g->yes)
		status = confirm(g);
	if (!g->dry && status == EXIT_OK)
		status = give(g);
	estafette_free(g->h);
	return status;
}

static int order_command(struct cli *cli, const struct option *options, int argc, char **argv)
{
	struct ordering g = {.cli = cli, .o = ESTAFETTE_ORDER_INIT, .timeout_ms = BACK_MS};
	int status = read_options(&g, options, argc, argv);
	bool revoke = strcmp(argv[0], "revoke") == 0;
	if (status == EXIT_OK && strcmp(argv[0], "relocate") == 0 && g.o.n_assign == 0)
		status = cli_fail(cli, ERR_USAGE, "relocate %s: to whom? (--to SITE, SITE:QUEUE,.., SITE:area=A or SITE:share=N%%)", g.o.site);
	if (status == EXIT_OK && revoke && (g.o.reason == NULL || g.o.reason[0] == '\0'))
		status = cli_fail(cli, ERR_USAGE, "revoke: no reason (say --reason TEXT; it is kept and shown)");
	if (status == EXIT_OK && !g.dry && !g.yes && !isatty(STDIN_FILENO))
		status = cli_fail(cli, ERR_USAGE, "%s %s: it asks for the site's name, and there is no terminal (look with --dry-run, then say --yes)", argv[0], g.o.site);
	if (status == EXIT_OK)
		status = order_run(&g);
	free(g.assign);
	free(g.without);
	return status;
}

int cmd_relocate(struct cli *cli, int argc, char **argv) { return order_command(cli, relocate_options, argc, argv); }
int cmd_handback(struct cli *cli, int argc, char **argv) { return order_command(cli, handback_options, argc, argv); }
int cmd_revoke(struct cli *cli, int argc, char **argv) { return order_command(cli, revoke_options, argc, argv); }

/* ---- endorsing one ----------------------------------------------------------------------------------------------------- */

int cmd_endorse(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {WITH_VALUE("authority", AUTHORITY), {NULL, 0, NULL, 0}};
	struct order_answer a = {.id = ""};
	const char *authority = NULL;
	int option, status = EXIT_OK;
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, options)) != -1) {
		if (option == '?')
			return EXIT_USAGE;
		authority = optarg;
	}
	if (argc - optind != 1)
		return cli_fail(cli, ERR_USAGE, "endorse: one order, not %d (estafette orders lists their ids; the first digits do)", argc - optind);
	estafette *h = session_open(cli, &status);
	if (h == NULL)
		return status;
	if (authority != NULL)
		status = order_authority(cli, h, authority, argv[optind], NULL, &a);
	else if (estafette_endorse(h, argv[optind], 0, order_answer_row, &a, ORDER_ANSWER_MS) != ESTAFETTE_OK)
		status = session_fail(cli, h, "");
	if (status == EXIT_OK)
		status = order_say(cli, &a);
	estafette_free(h);
	return status;
}

/* ---- lending ---------------------------------------------------------------------------------------------------------------- */

static int lend(struct cli *cli, const char *queue, const char *to, uint32_t count)
{
	int status = EXIT_OK;
	uint32_t done = 0;
	estafette *h = session_open(cli, &status);
	if (h == NULL)
		return status;
	struct estafette_member row[] = {MEMBER_TEXT("queue", queue), MEMBER_TEXT("to", to), MEMBER_NUMBER("lent", 0)};
	if (estafette_assist(h, queue, to, count, &done, ORDER_ANSWER_MS) != ESTAFETTE_OK)
		status = session_fail(cli, h, "");
	else if (cli->json) {
		struct output o;
		row[2].number = done;
		output_begin(&o, cli);
		output_row(&o, row, 3);
		status = output_end(&o, NULL);
	} else {
		printf("%u of %s lent to %s\n", done, queue, to);
	}
	estafette_free(h);
	return status;
}

int cmd_assist(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {WITH_VALUE("to", TO), WITH_VALUE("count", COUNT), {NULL, 0, NULL, 0}};
	const char *to = NULL;
	unsigned long count = 0;
	int option;
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, options)) != -1) {
		char *end = NULL;
		if (option == '?')
			return EXIT_USAGE;
		if (option == TO)
			to = optarg;
		else if ((count = strtoul(optarg, &end, 10)) == 0 || *end != '\0' || optarg[0] == '-' || count > UINT32_MAX)
			return cli_fail(cli, ERR_USAGE, "--count %s: not a number of messages (1 at least)", optarg);
	}
	if (argc - optind != 1 || to == NULL)
		return cli_fail(cli, ERR_USAGE, "assist: one queue and whom to lend of it (estafette assist QUEUE --to SITE)");
	return lend(cli, argv[optind], to, (uint32_t)count);
}
