/* order_show.c - an order for people: what it would do, and what became of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/forecast.h"
#include "node/cli/order.h"
#include "node/cli/output.h"
#include "node/cli/session.h"

static const struct estafette_member *member(const struct estafette_member *m, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(m[i].name, name) == 0)
			return &m[i];
	return NULL;
}

/* A member as text that a terminal can be shown; "" when there is none. */
static void copy(const struct estafette_member *m, size_t n, const char *name, char *out, size_t size)
{
	const struct estafette_member *x = member(m, n, name);
	char *text = x && x->kind != ESTAFETTE_NULL ? output_text(x) : NULL;
	snprintf(out, size, "%s", text ? text : "");
	free(text);
}

static int64_t number(const struct estafette_member *m, size_t n, const char *name)
{
	const struct estafette_member *x = member(m, n, name);
	return x && x->kind == ESTAFETTE_NUMBER ? x->number : 0;
}

int order_answer_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct order_answer *a = arg;
	if (member(m, n, "hash") == NULL)
		return 0;
	copy(m, n, "id", a->id, sizeof a->id);
	copy(m, n, "state", a->state, sizeof a->state);
	copy(m, n, "kind", a->kind, sizeof a->kind);
	copy(m, n, "site", a->site, sizeof a->site);
	copy(m, n, "why", a->why, sizeof a->why);
	copy(m, n, "hash", a->hash, sizeof a->hash);
	a->votes = number(m, n, "votes");
	a->needs = number(m, n, "needs");
	a->epoch = number(m, n, "epoch");
	return 0;
}

/* ---- what became of it ----------------------------------------------------------------------------------------- */

static int say_row(const struct cli *cli, const struct order_answer *a)
{
	struct estafette_member row[] = {MEMBER_TEXT("id", a->id), MEMBER_TEXT("state", a->state), MEMBER_TEXT("kind", a->kind), MEMBER_TEXT("site", a->site),
	                                 MEMBER_NUMBER("epoch", a->epoch), MEMBER_NUMBER("votes", a->votes), MEMBER_NUMBER("needs", a->needs),
	                                 MEMBER_TEXT("why", a->why), MEMBER_TEXT("hash", a->hash)};
	struct output o;
	output_begin(&o, cli);
	output_row(&o, row, sizeof row / sizeof row[0]);
	return output_end(&o, NULL);
}

static void say_text(const struct order_answer *a)
{
	bool pending = strcmp(a->state, "pending") == 0;
	if (strcmp(a->state, "in_force") == 0)
		printf("order %s is in force: %s of %s, epoch %lld\n", a->id, a->kind, a->site, (long long)a->epoch);
	else
		printf("order %s, %s of %s, %s%s%s%s\n", a->id, a->kind, a->site, pending ? "waits" : "is ", pending ? "" : a->state, a->why[0] ? ": " : "", a->why);
	if (pending && a->votes < a->needs)
		printf("it has %lld of the %lld sites that it needs: run `estafette endorse %.8s` at %lld other%s\n", (long long)a->votes, (long long)a->needs, a->id,
		       (long long)(a->needs - a->votes), a->needs - a->votes == 1 ? "" : "s");
	fflush(stdout);
}

int order_say(const struct cli *cli, const struct order_answer *a)
{
	int status = EXIT_OK;
	if (cli->json)
		status = say_row(cli, a);
	else
		say_text(a);
	if (status == EXIT_OK && (strcmp(a->state, "refused") == 0 || strcmp(a->state, "superseded") == 0))
		status = cli_fail(cli, ERR_CONFLICT, "order %.8s: it is %s%s%s (see estafette orders)", a->id, a->state, a->why[0] ? ": " : "", a->why);
	return status;
}

/* ---- what it would do -------------------------------------------------------------------------------------------- */

enum { QUEUES, SUCCESSORS, GIVERS, PRECEDENCES, SITES, TABLES };
struct preview {
	struct output table[TABLES];
	char kind[16], site[64], state[16], assignments[2048], note[400];
	int64_t votes, needs, epoch;
};

static void take_summary(struct preview *p, const struct estafette_member *m, size_t n)
{
	copy(m, n, "kind", p->kind, sizeof p->kind);
	copy(m, n, "site", p->site, sizeof p->site);
	copy(m, n, "state", p->state, sizeof p->state);
	copy(m, n, "assignments", p->assignments, sizeof p->assignments);
	copy(m, n, "note", p->note, sizeof p->note);
	p->votes = number(m, n, "votes");
	p->needs = number(m, n, "needs");
	p->epoch = number(m, n, "epoch");
}

static int preview_row(void *arg, const struct estafette_member *m, size_t n)
{
	static const char *const parts[TABLES] = {"queue", "successor", "giver", "precedence", "site"};
	struct preview *p = arg;
	char part[16];
	copy(m, n, "part", part, sizeof part);
	if (p->table[QUEUES].cli->json)
		return output_row(&p->table[QUEUES], m, n);
	for (int i = 0; i < TABLES; i++)
		if (strcmp(part, parts[i]) == 0) /* the first member says which table, and is no column of it */
			return output_row(&p->table[i], m + 1, n - 1);
	take_summary(p, m, n);
	return 0;
}

static void say_preview(const struct preview *p)
{
	printf("%s of %s, epoch %lld: %s\n", p->kind, p->site, (long long)p->epoch, p->assignments);
	if (strcmp(p->state, "pending") == 0)
		printf("it would wait for endorsements: %lld of %lld sites stand for it\n", (long long)p->votes, (long long)p->needs);
	else
		puts("it would be in force at once");
	if (p->note[0] != '\0')
		printf("note: %s\n", p->note);
}

/* By when those who would get the queues would have what they lack. Only where somebody asked to look: it takes a moment. */
static int say_forecast(struct ordering *g)
{
	struct estafette_forecast f = ESTAFETTE_FORECAST_INIT;
	if (!forecast_possible()) {
		if (!g->cli->json)
			puts("no forecast: estafette-sim is not beside this command\n");
		return EXIT_OK;
	}
	char (*names)[64] = calloc(g->o.n_assign + 1, sizeof *names);
	const char **list = calloc(g->o.n_assign + 1, sizeof *list);
	json_t *rows = NULL;
	int status = names && list ? EXIT_OK : cli_fail(g->cli, ERR_NOMEM, "%s: out of memory", g->o.kind);
	for (size_t i = 0; status == EXIT_OK && i < g->o.n_assign; i++) {
		snprintf(names[i], sizeof names[i], "%.*s", (int)strcspn(g->o.assign[i], ":"), g->o.assign[i]);
		list[i] = names[i];
	}
	f.queue = g->o.site;
	f.successors = list;
	f.n_successors = g->o.n_assign;
	f.exercise = g->o.exercise;
	if (status == EXIT_OK)
		status = forecast_reckon(g->cli, g->h, &f, false, &rows);
	if (status == EXIT_OK && forecast_table(g->cli, rows, "forecast", &status) > 0) {
		forecast_assumed(g->cli, rows);
		if (!g->cli->json)
			putchar('\n');
	}
	json_decref(rows);
	free(names);
	free(list);
	return status;
}

int order_dry_run(struct ordering *g)
{
	struct estafette_order o = g->o;
	struct preview *p = calloc(1, sizeof *p);
	int status = EXIT_OK;
	if (p == NULL)
		return cli_fail(g->cli, ERR_NOMEM, "%s: out of memory", o.kind);
	for (int i = 0; i < TABLES; i++)
		output_begin(&p->table[i], g->cli);
	o.dry = 1;
	int st = estafette_order(g->h, &o, preview_row, p, ORDER_ANSWER_MS);
	for (int i = 0; i < TABLES; i++) {
		bool some = p->table[i].rows > 0 && !g->cli->json;
		int s = output_end(&p->table[i], NULL);
		status = status == EXIT_OK ? s : status;
		if (some)
			putchar('\n');
	}
	if (st != ESTAFETTE_OK && status == EXIT_OK)
		status = session_fail(g->cli, g->h, "");
	else if (status == EXIT_OK && g->dry && g->o.n_assign > 0)
		status = say_forecast(g);
	if (st == ESTAFETTE_OK && status == EXIT_OK && !g->cli->json)
		say_preview(p);
	fflush(stdout);
	free(p);
	return status;
}
