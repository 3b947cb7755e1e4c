/* cmd_forecast.c - `estafette forecast ID|QUEUE`: when what will arrive, and by which path. */
#include <stdio.h>

#include "node/cli/commands.h"
#include "node/cli/forecast.h"
#include "node/cli/session.h"
#include "proto/id.h"

static int show(struct cli *cli, const char *what, bool is_id, const json_t *rows)
{
	int status = EXIT_OK;
	if (rows == NULL && is_id)
		return cli_fail(cli, ERR_NOT_FOUND, "%s: nothing is known of this message here", what);
	if (rows == NULL)
		return cli_fail(cli, ERR_UNKNOWN_QUEUE, "%s: no such queue (SITE/QUEUE, or one of this site: estafette queues lists those; of a group one site after another)", what);
	size_t n = forecast_table(cli, rows, is_id ? "message" : "precedence", &status);
	if (status == EXIT_OK && n == 0 && !cli->json)
		printf("nothing that is known here is on its way to %s\n", what);
	if (status == EXIT_OK && n > 0)
		forecast_assumed(cli, rows);
	return status;
}

int cmd_forecast(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	struct estafette_forecast f = ESTAFETTE_FORECAST_INIT;
	struct msgid id;
	json_t *rows = NULL;
	int status = EXIT_OK;
	cli_options_begin();
	if (cli_option(cli, argc, argv, options) != -1)
		return EXIT_USAGE;
	if (argc - optind != 1)
		return cli_fail(cli, ERR_USAGE, "forecast: one id of a message, or one queue (estafette forecast ID|QUEUE)");
	const char *what = argv[optind];
	bool is_id = msgid_parse(view_str(what), &id) == ERR_OK;
	f.id = is_id ? what : NULL;
	f.queue = is_id ? NULL : what;
	estafette *h = session_open(cli, &status);
	if (h != NULL)
		status = forecast_reckon(cli, h, &f, !is_id, &rows);
	if (h != NULL && status == EXIT_OK)
		status = show(cli, what, is_id, rows);
	json_decref(rows);
	estafette_free(h);
	return status;
}
