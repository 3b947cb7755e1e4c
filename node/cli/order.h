/* order.h - one run of a command that gives orders, shared by the files that ask, show, sign and wait. */
#ifndef NODE_CLI_ORDER_H
#define NODE_CLI_ORDER_H

#include "node/cli/cli.h"
#include "node/client/estafette.h"
#include "proto/crypt.h"

#define ORDER_ANSWER_MS 30000

/* The node's answer about one order. */
struct order_answer {
	char id[17], state[16], kind[16], site[64], why[400], hash[65];
	int64_t votes, needs, epoch;
};

struct ordering {
	struct cli *cli;
	estafette *h;
	struct estafette_order o;
	const char **assign, **without; /* of o */
	bool dry, yes;
	int timeout_ms;             /* handback */
	const char *authority;      /* path of its secret key; NULL for none */
	struct order_answer answer;
};

/* From options to answer: shows what it would do, asks (unless yes), gives it, says what became of it. g->h is opened and freed. Exit status. */
int order_run(struct ordering *g);
/* Takes the row of an order into a struct order_answer (arg). */
int order_answer_row(void *arg, const struct estafette_member *m, size_t n);
/* Says what became of the order: the row with --json, else sentences. Exit status: refused or superseded is a failure. */
int order_say(const struct cli *cli, const struct order_answer *a);
/* What it would do, as tables or rows. Exit status. */
int order_dry_run(struct ordering *g);

/* Endorses the order that begins with `order` with the authority's secret key; *answer is what it is then. want: what the
 * order must be about (kind and site), NULL for any. Exit status: said already. */
int order_authority(struct cli *cli, estafette *h, const char *key_path, const char *order, const struct estafette_order *want,
                    struct order_answer *answer);
/* Is that the secret key of the authority of this node's network? Exit status: said already. */
int order_authority_check(struct cli *cli, const char *key_path);

/* Gives the handback, again and again while the site is behind, until *left_ms is used up. Exit status. */
int order_give_back(struct ordering *g, int *left_ms);
/* Waits until the queues are back. Exit status. */
int order_wait_back(struct ordering *g, int left_ms);

#endif
