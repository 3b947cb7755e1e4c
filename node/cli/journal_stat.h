/* journal_stat.h - `journal stat`: what fills a journal. */
#ifndef NODE_CLI_JOURNAL_STAT_H
#define NODE_CLI_JOURNAL_STAT_H

#include "node/cli/cli.h"
#include "proto/roster.h"
#include "storage/store.h"

/* The journal as a whole in one object, then an object for each part of the file, of each way in which it is cut: by space (pages: their
 * sum is the file), by table and class (all records), by month, queue and originator (entries with their bodies, and what is of no
 * entry). roster NULL: sites are numbers. Returns the exit status. */
int journal_stat(struct cli *cli, const char *dir, struct store *s, const struct roster *roster);

#endif
