/* forecast.h - what a node knows, handed to the simulator beside this command, and what that makes of it.
 *
 * A node does not reckon in virtual time, and this command does not either: it asks the node (estafette_forecast), writes the rows to
 * `estafette-sim forecast`, which is installed with it, and reads its rows. */
#ifndef NODE_CLI_FORECAST_H
#define NODE_CLI_FORECAST_H

#include <jansson.h>

#include "node/cli/cli.h"
#include "node/client/estafette.h"

/* Is the simulator there to be asked? */
bool forecast_possible(void);
/* *out: an array of the simulator's rows, NULL when the node had none (no such queue, no such message). Freed with json_decref. Exit
 * status; a failure is said already. */
int forecast_reckon(const struct cli *cli, estafette *h, const struct estafette_forecast *f, bool by_precedence, json_t **out);
/* Prints the rows of a part ("message", "precedence", "forecast") with --json as they are, else as a table: how many there were. */
size_t forecast_table(const struct cli *cli, const json_t *rows, const char *part, int *status);
/* What was assumed, in lines for people or as rows. */
void forecast_assumed(const struct cli *cli, const json_t *rows);

#endif
