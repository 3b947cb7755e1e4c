/* cmd_purge.c - what an exercise left goes out of this site's journal. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "node/cli/output.h"
#include "node/cli/session.h"

#define STEP_MS 30000

enum { EXERCISE = 256, YES };

/* Says what would go, and asks for the exercise's name. */
static int confirm(struct cli *cli, estafette *h, const char *exercise)
{
	struct estafette_purged p = ESTAFETTE_PURGED_INIT;
	char line[256];
	if (estafette_purge(h, exercise, 1, &p, STEP_MS) != ESTAFETTE_OK)
		return session_fail(cli, h, "");
	fprintf(stderr, "%llu messages of the exercise %s would go, %llu of them not read yet. To purge them here, type its name: ",
	        (unsigned long long)p.purged, exercise, (unsigned long long)p.waiting);
	if (fgets(line, sizeof line, stdin) == NULL)
		line[0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	return strcmp(line, exercise) == 0 ? EXIT_OK : cli_fail(cli, ERR_REFUSED, "purge: not confirmed, so nothing was removed");
}

static int say(struct cli *cli, const char *exercise, const struct estafette_purged *p)
{
	struct output o;
	struct estafette_member row[] = {MEMBER_TEXT("exercise", exercise), MEMBER_NUMBER("purged", (int64_t)p->purged), MEMBER_NUMBER("waiting", (int64_t)p->waiting),
	                                 MEMBER_NUMBER("sealed", (int64_t)p->sealed), MEMBER_NUMBER("bytes", (int64_t)p->bytes)};
	if (cli->json) {
		output_begin(&o, cli);
		output_row(&o, row, 5);
		return output_end(&o, NULL);
	}
	printf("%llu messages of the exercise %s purged here, %llu of them not read\n", (unsigned long long)p->purged, exercise, (unsigned long long)p->waiting);
	if (p->sealed)
		printf("%llu entries of exercises cannot be opened here and stay\n", (unsigned long long)p->sealed);
	return EXIT_OK;
}

static int purge(struct cli *cli, const char *exercise, bool yes)
{
	struct estafette_purged p = ESTAFETTE_PURGED_INIT;
	int status = EXIT_OK;
	estafette *h = session_open(cli, &status);
	if (h == NULL)
		return status;
	if (!yes)
		status = confirm(cli, h, exercise);
	if (status == EXIT_OK && estafette_purge(h, exercise, 0, &p, STEP_MS) != ESTAFETTE_OK)
		status = session_fail(cli, h, "");
	else if (status == EXIT_OK)
		status = say(cli, exercise, &p);
	estafette_free(h);
	return status;
}

int cmd_purge(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"exercise", required_argument, NULL, EXERCISE}, {"yes", no_argument, NULL, YES}, {NULL, 0, NULL, 0}};
	const char *exercise = NULL;
	bool yes = false;
	int option;
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, options)) != -1) {
		if (option == '?')
			return EXIT_USAGE;
		if (option == EXERCISE)
			exercise = optarg;
		else
			yes = true;
	}
	if (argc != optind || exercise == NULL || exercise[0] == '\0')
		return cli_fail(cli, ERR_USAGE, "purge: say which exercise (estafette purge --exercise NAME)");
	if (!yes && !isatty(STDIN_FILENO))
		return cli_fail(cli, ERR_USAGE, "purge: it removes messages; without a terminal to confirm it say --yes");
	return purge(cli, exercise, yes);
}
