/* order_back.c - a handback to its end: given once the site has caught up, over when its queues are back. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/cli/order.h"
#include "node/cli/output.h"
#include "node/cli/session.h"

#define AGAIN_MS 1000 /* to a site that is behind */
#define LOOK_MS 300

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A pause of at most ms, ended by a signal. False when the time is over or a signal came. */
static bool pause_until(int64_t end, int ms)
{
	const volatile int *stop = session_catch_signals();
	int64_t left = end - now_ms();
	if (left <= 0 || *stop)
		return false;
	poll(NULL, 0, left < ms ? (int)left : ms);
	return !*stop;
}

int order_give_back(struct ordering *g, int *left_ms)
{
	int64_t end = now_ms() + *left_ms;
	int st;
	bool again;
	do {
		st = estafette_order(g->h, &g->o, order_answer_row, &g->answer, ORDER_ANSWER_MS);
		again = st == ESTAFETTE_REFUSED && strcmp(estafette_error_code(g->h), err_code(ERR_BUSY)) == 0;
	} while (again && pause_until(end, AGAIN_MS));
	*left_ms = (int)(end - now_ms());
	if (again)
		return cli_fail(g->cli, ERR_TIMEOUT, "handback: %s", estafette_error_text(g->h));
	return st == ESTAFETTE_OK ? EXIT_OK : session_fail(g->cli, g->h, "");
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* What the node shows of the order. */
struct look {
	const char *id, *site;
	bool acknowledged;      /* by the site itself */
	bool waits;
	char state[16], why[400];
};

static bool list_has(const char *list, const char *item)
{
	size_t n = strlen(item);
	for (const char *p = list; (p = strstr(p, item)) != NULL; p += n)
		if ((p == list || p[-1] == '\n') && (p[n] == '\0' || p[n] == '\n'))
			return true;
	return false;
}

static int look_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct look *l = arg;
	if (n == 0 || m[0].kind != ESTAFETTE_TEXT || strcmp(m[0].name, "id") != 0 || strcmp(m[0].text, l->id) != 0)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (strcmp(m[i].name, "acknowledged_by") == 0 && m[i].kind == ESTAFETTE_LIST)
			l->acknowledged = list_has(m[i].text, l->site);
		if (m[i].kind != ESTAFETTE_TEXT)
			continue;
		if (strcmp(m[i].name, "state") == 0)
			snprintf(l->state, sizeof l->state, "%s", m[i].text);
		l->waits |= strcmp(m[i].name, "waits") == 0;
		if (strcmp(m[i].name, "waits") == 0 || (strcmp(m[i].name, "why") == 0 && m[i].text[0] != '\0')) {
			char *text = output_text(&m[i]);
			snprintf(l->why, sizeof l->why, "%s", text ? text : "");
			free(text);
		}
	}
	return 0;
}

/* Is this the node of the site that is handed back? Only there can be seen when its queues are. */
static bool at_the_site(struct ordering *g)
{
	char path[CONFIG_PATH_BYTES];
	struct errmsg m;
	int status;
	struct config *config = calloc(1, sizeof *config);
	bool here = config != NULL && session_conf(g->cli, path, &status) && config_load(path, config, &m) == ERR_OK && strcmp(config->site, g->o.site) == 0;
	free(config);
	return here;
}

static void say_back(const struct ordering *g, bool here)
{
	if (g->cli->json)
		return;
	if (here)
		printf("%s has its queues back\n", g->o.site);
	else
		printf("%s has the order (`estafette queues` and `estafette orders` there say when its queues are open)\n", g->o.site);
}

int order_wait_back(struct ordering *g, int left_ms)
{
	int64_t end = now_ms() + left_ms;
	bool here = at_the_site(g);
	struct look l;
	do {
		l = (struct look){.id = g->answer.id, .site = g->o.site};
		if (estafette_show(g->h, "orders", NULL, NULL, look_row, &l, ORDER_ANSWER_MS) != ESTAFETTE_OK)
			return session_fail(g->cli, g->h, "handback");
		if (strcmp(l.state, "superseded") == 0 || strcmp(l.state, "refused") == 0)
			return cli_fail(g->cli, ERR_CONFLICT, "handback %.8s: it is %s now%s%s (see estafette orders)", l.id, l.state, l.why[0] ? ": " : "", l.why);
		if (strcmp(l.state, "in_force") == 0 && (here ? !l.waits : l.acknowledged)) {
			say_back(g, here);
			return EXIT_OK;
		}
	} while (pause_until(end, LOOK_MS));
	if (strcmp(l.state, "in_force") == 0 && !here && l.why[0] == '\0')
		snprintf(l.why, sizeof l.why, "%s has not confirmed the order", l.site);
	return cli_fail(g->cli, ERR_TIMEOUT, "handback %.8s of %s: not done yet: %s (it goes on by itself; see estafette orders)", l.id, l.site,
	                l.why[0] ? l.why : "the node does not say why");
}
