/* cmd_show.c - what the node knows: status, queues, links, orders, alarms, conflicts, streams, trace, check. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "node/cli/minimize.h"
#include "node/cli/output.h"
#include "node/cli/session.h"

#define ANSWER_MS 30000
#define WATCH_MS 2000

enum { LIST = 256, WATCH, AT };
struct show {
	const char *what, *queue, *id;
	bool list, watch;
};

/* What to say to people when there is no row. */
static const char *nothing(const char *what)
{
	static const char *const of[][2] = {{"links", "no links"}, {"alarms", "no alarms"}, {"orders", "no orders"},
	                                    {"conflicts", "no conflicts"}, {"streams", "no streams"}, {"queues", "no queues"},
	                                    {"browse", "the queue is empty"}};
	for (size_t i = 0; i < sizeof of / sizeof of[0]; i++)
		if (strcmp(of[i][0], what) == 0)
			return of[i][1];
	return NULL;
}

static int count_row(void *arg, const struct estafette_member *members, size_t n)
{
	(void)members;
	*(size_t *)arg += n > 0;
	return 0;
}

/* An empty queue has no messages to list but is a queue all the same; the dead letters are one even when there are none,
 * and so is what is kept back of a revoked site. */
static bool is_queue(estafette *h, const char *name)
{
	size_t rows = 0;
	const char *dead = strstr(name, "dead-letters");
	if ((dead != NULL && (dead == name || dead[-1] == '/')) || strcmp(name, "quarantine") == 0)
		return true;
	return estafette_show(h, "queues", name, NULL, count_row, &rows, ANSWER_MS) == ESTAFETTE_OK && rows > 0;
}

/* Zero rows of something named: either it is empty or there is no such thing. Exit status, EXIT_OK when it is empty. */
static int judge_nothing(struct cli *cli, estafette *h, const struct show *s)
{
	if (s->id != NULL)
		return cli_fail(cli, ERR_NOT_FOUND, "%s: nothing is known of this message here", s->id);
	if (s->queue != NULL && !is_queue(h, s->queue))
		return cli_fail(cli, ERR_UNKNOWN_QUEUE, "%s: no such queue here (estafette queues lists them)", s->queue);
	return EXIT_OK;
}

static int64_t items(const char *list)
{
	int64_t n = list[0] != '\0';
	for (; *list != '\0'; list++)
		n += *list == '\n';
	return n;
}

/* Orders have more members than a screen has columns: people get those that they act on, and how many sites have it. */
static int order_row(void *arg, const struct estafette_member *m, size_t n)
{
	static const char *const columns[] = {"id", "kind", "site", "epoch", "state", "assignments", "issuer", "exercise", "acknowledged_by", "reason", "why", "waits"};
	struct estafette_member some[sizeof columns / sizeof columns[0]];
	struct output *o = arg;
	size_t k = 0;
	if (o->cli->json)
		return output_row(o, m, n);
	for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++)
		for (size_t i = 0; i < n; i++) {
			if (strcmp(m[i].name, columns[c]) != 0)
				continue;
			some[k++] = m[i].kind == ESTAFETTE_LIST && strcmp(m[i].name, "acknowledged_by") == 0 ? MEMBER_NUMBER("sites", items(m[i].text)) : m[i];
			break;
		}
	return output_row(o, some, k);
}

/* Both lanes have a list of bearers, which are the same for most peers: people get that of the urgent lane. */
static int link_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct estafette_member some[32];
	struct output *o = arg;
	size_t k = 0;
	if (o->cli->json)
		return output_row(o, m, n);
	for (size_t i = 0; i < n && k < sizeof some / sizeof some[0]; i++)
		if (strcmp(m[i].name, "bulk_bearers") != 0 && strcmp(m[i].name, "clock_ms") != 0 && strcmp(m[i].name, "refused_frames") != 0)
			some[k++] = m[i];
	return output_row(o, some, k);
}

static int show_once(struct cli *cli, estafette *h, const struct show *s)
{
	struct output o;
	if (!cli->json)
		minimize_say(h, stdout);
	output_begin(&o, cli);
	o.upright = strcmp(s->what, "status") == 0;
	int st = estafette_show(h, s->what, s->queue, s->id, strcmp(s->what, "orders") == 0 ? order_row : strcmp(s->what, "links") == 0 ? link_row : output_row, &o, ANSWER_MS);
	int judged = st == ESTAFETTE_OK && o.rows == 0 ? judge_nothing(cli, h, s) : EXIT_OK;
	int status = output_end(&o, st == ESTAFETTE_OK && judged == EXIT_OK ? nothing(s->what) : NULL);
	if (judged != EXIT_OK)
		status = judged;
	if (st != ESTAFETTE_OK && status == EXIT_OK)
		status = session_fail(cli, h, s->id ? s->id : s->what);
	return status;
}

/* Again and again until a signal; on a terminal over the last one. */
static int show_watch(struct cli *cli, estafette *h, const struct show *s)
{
	const volatile int *stop = session_catch_signals();
	int status = EXIT_OK;
	while (status == EXIT_OK && !*stop) {
		if (!cli->json && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		status = show_once(cli, h, s);
		if (status == EXIT_OK && !*stop)
			poll(NULL, 0, WATCH_MS);
	}
	return status;
}

static int show(struct cli *cli, const struct show *s)
{
	int status = EXIT_OK;
	estafette *h = session_open(cli, &status);
	if (h != NULL)
		status = s->watch ? show_watch(cli, h, s) : show_once(cli, h, s);
	estafette_free(h);
	return status;
}

static bool read_options(struct cli *cli, struct show *s, int argc, char **argv)
{
	static const struct option options[] = {{"list", no_argument, NULL, LIST}, {"watch", no_argument, NULL, WATCH},
	                                        {"at", required_argument, NULL, AT}, {NULL, 0, NULL, 0}};
	int option;
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, options)) != -1) {
		if (option == '?')
			return false;
		if (option == AT) {
			cli_fail(cli, ERR_UNSUPPORTED, "--at %s: this version shows the present only", optarg);
			return false;
		}
		s->list |= option == LIST;
		s->watch |= option == WATCH;
	}
	return true;
}

int cmd_show(struct cli *cli, int argc, char **argv)
{
	struct show s = {.what = argv[0]};
	bool queues = strcmp(s.what, "queues") == 0;
	if (!read_options(cli, &s, argc, argv))
		return EXIT_USAGE;
	int n = argc - optind;
	if (n > (queues ? 1 : 0))
		return cli_fail(cli, ERR_USAGE, "%s: %s: one argument too many", s.what, argv[argc - 1]);
	if (n == 1)
		s.queue = argv[optind];
	if (s.list && (!queues || s.queue == NULL))
		return cli_fail(cli, ERR_USAGE, "--list: it lists one queue (estafette queues QUEUE --list)");
	if (s.list)
		s.what = "browse";
	return show(cli, &s);
}

int cmd_trace(struct cli *cli, int argc, char **argv)
{
	struct show s = {.what = "trace"};
	if (!read_options(cli, &s, argc, argv))
		return EXIT_USAGE;
	if (argc - optind != 1 || s.list)
		return cli_fail(cli, ERR_USAGE, "trace: one id of a message (estafette trace ID)");
	s.id = argv[optind];
	return show(cli, &s);
}

/* ---- check: one line and an exit status, as monitoring systems expect ---------------------------------------- */

enum { CHECK_OK = 0, CHECK_WARNING = 1, CHECK_CRITICAL = 2, CHECK_UNKNOWN = 3 };
static const char *const levels[] = {"ok", "warning", "critical", "unknown"};

struct checks {
	struct cli *cli;
	struct output o;
	const char *only;
	size_t seen;
	int worst;
	char text[512]; /* of what is not ok, or of the last one */
};

static int level_of(const char *state)
{
	for (int i = 0; i <= CHECK_UNKNOWN; i++)
		if (state != NULL && strcmp(state, levels[i]) == 0)
			return i;
	return CHECK_UNKNOWN;
}

/* Unknown counts less than critical, although its number is higher. */
static bool worse(int a, int b)
{
	static const int rank[] = {0, 2, 3, 1};
	return rank[a] > rank[b];
}

static int check_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct checks *c = arg;
	const char *name = "?", *state = NULL, *text = "";
	for (size_t i = 0; i < n; i++) {
		if (m[i].kind != ESTAFETTE_TEXT)
			continue;
		if (strcmp(m[i].name, "check") == 0)
			name = m[i].text;
		else if (strcmp(m[i].name, "state") == 0)
			state = m[i].text;
		else if (strcmp(m[i].name, "text") == 0)
			text = m[i].text;
	}
	if (c->only != NULL && strcmp(name, c->only) != 0)
		return 0;
	int level = level_of(state);
	size_t used = strlen(c->text);
	if (level != CHECK_OK || c->only != NULL)
		snprintf(c->text + used, sizeof c->text - used, "%s%s: %s", used ? "; " : "", name, text);
	if (worse(level, c->worst))
		c->worst = level;
	c->seen++;
	return c->cli->json ? output_row(&c->o, m, n) : 0;
}

/* The verdict when the node could not be asked. */
static int check_failed(struct checks *c, const char *name, int level, const char *why)
{
	struct estafette_member row[] = {MEMBER_TEXT("check", name), MEMBER_TEXT("state", levels[level]), MEMBER_TEXT("text", why)};
	c->only = NULL;
	c->text[0] = '\0';
	check_row(c, row, 3);
	return level;
}

static int ask_node(struct checks *c)
{
	char path[CONFIG_PATH_BYTES];
	struct errmsg m;
	struct config config;
	int status;
	int level = CHECK_OK;
	if (!session_conf(c->cli, path, &status))
		return -1;
	if (config_load(path, &config, &m) != ERR_OK)
		return check_failed(c, "alive", CHECK_UNKNOWN, m.text);
	estafette *h = estafette_new();
	if (h == NULL || estafette_connect(h, config.socket) != ESTAFETTE_OK ||
	    estafette_show(h, "check", NULL, NULL, check_row, c, ANSWER_MS) != ESTAFETTE_OK)
		level = check_failed(c, "alive", CHECK_CRITICAL, h ? estafette_error_text(h) : "out of memory");
	else if (c->seen == 0)
		level = check_failed(c, c->only ? c->only : "check", CHECK_UNKNOWN, "there is no such check");
	estafette_free(h);
	return level > c->worst ? level : c->worst;
}

int cmd_check(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	struct checks c = {.cli = cli};
	cli_options_begin();
	if (cli_option(cli, argc, argv, options) != -1)
		return CHECK_UNKNOWN;
	if (argc - optind > 1) {
		cli_fail(cli, ERR_USAGE, "check: one at a time, or none for all");
		return CHECK_UNKNOWN;
	}
	if (argc - optind == 1)
		c.only = argv[optind];
	output_begin(&c.o, cli);
	int level = ask_node(&c);
	if (level < 0)
		return CHECK_UNKNOWN;
	if (!cli->json)
		printf("estafette %s: %s\n", levels[level], c.text[0] ? c.text : "all is well");
	/* A verdict that nobody could read is none. */
	return output_end(&c.o, NULL) == EXIT_OK ? level : CHECK_UNKNOWN;
}

int cmd_links_retry(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	int status = EXIT_OK;
	cli_options_begin();
	while (cli_option(cli, argc, argv, options) != -1)
		return EXIT_USAGE;
	if (optind == argc)
		return cli_fail(cli, ERR_USAGE, "links retry: no peer (estafette links retry PEER...)");
	estafette *h = session_open(cli, &status);
	for (int i = optind; h != NULL && status == EXIT_OK && i < argc; i++)
		if (estafette_retry(h, argv[i], ANSWER_MS) != ESTAFETTE_OK)
			status = session_fail(cli, h, argv[i]);
	estafette_free(h);
	return status;
}
