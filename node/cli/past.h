/* past.h - what `show` answered at a time that is over: the journal's entries of then in a journal of its own, and the node's core on it
 * (storage/past.h, node/core/past.h). Nothing of the node's is changed; it may run, or be stopped. */
#ifndef NODE_CLI_PAST_H
#define NODE_CLI_PAST_H

#include <stdio.h>

#include "node/cli/cli.h"
#include "node/client/estafette.h"
#include "proto/instant.h"

struct past;

/* journal: a folder in the place of the one that node.conf names, a copy for instance, or a backup; NULL: that one. NULL when it cannot be done: said already, *status is
 * the exit status. What the answers lack is said on standard error. */
struct past *past_open(const struct cli *cli, const char *conf, const char *journal, struct wall at, int *status);
void past_close(struct past *p); /* NULL is fine */

/* As estafette_show. ESTAFETTE_OK, or another status with the reason in the handle that past_handle gives. */
int past_show(struct past *p, const char *what, const char *queue, const char *id, int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg);
/* Not connected; for session_fail. */
estafette *past_handle(struct past *p);
/* One line for people: which moment it is. */
void past_say(const struct past *p, FILE *to);

#endif
