/* forecast.h - when what waits at a site will arrive, and by which path: the node's own core, in virtual time, on what a node knows.
 *
 * A node answers `show forecast` with rows (proto/README.md, "Forecasts"): whom it reaches and how, whom others say they reach, what waits
 * to be given to whom, and the messages that are asked about. Of these a world is made: this site, the sites to which a path is known,
 * links as they were measured. What waits is handed over all at once, most urgent first, as random bytes of the same sizes; then
 * the cores do what they do, and arrivals.h tells when what is asked about was whole where it is to go. Twice: with everything that waits
 * ("likely"), and with what is asked about alone, on lines as good as the roster says ("earliest"). Nobody's bodies or keys are needed.
 *
 * What is not known is assumed, and forecast_assumed says so: that links stay as they are, that other sites have nothing of their own
 * to send, and the rate and round trip of links that this site does not see. The same rows give the same forecast. */
#ifndef SIM_FORECAST_H
#define SIM_FORECAST_H

#include <jansson.h>
#include <signal.h>
#include <stdio.h>

#include "proto/err.h"
#include "proto/instant.h"

struct forecast;

MUST_USE enum err forecast_new(struct forecast **out);
void forecast_free(struct forecast *f);
/* Takes one row, a JSON object with `part`; parts that are not known are passed over. ERR_FORMAT, ERR_TOO_LARGE, ERR_NOMEM; m filled. */
MUST_USE enum err forecast_row(struct forecast *f, const json_t *row, struct errmsg *m);
/* All rows are there: reckons. interrupted may be NULL. ERR_FORMAT (a row is missing), ERR_NOMEM, ERR_CLOSED (interrupted); m filled. */
MUST_USE enum err forecast_run(struct forecast *f, const volatile sig_atomic_t *interrupted, struct errmsg *m);

/* What came out, in microseconds from the time of the rows; -1: there is no path, or it takes longer than FORECAST_MOST_US. */
#define FORECAST_MOST_US (30 * US_PER_DAY)
int64_t forecast_likely_us(const struct forecast *f, const char *id);
int64_t forecast_earliest_us(const struct forecast *f, const char *id);
/* One object a line: each message (by_precedence: of one queue, together), each successor, then what was assumed. */
void forecast_print(const struct forecast *f, bool by_precedence, FILE *out);

#endif
