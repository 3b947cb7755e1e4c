/* cmd_show.c - what the node knows: status, queues, links, orders, alarms, conflicts, streams, trace, check. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "node/cli/minimize.h"
#include "node/cli/output.h"
#include "node/cli/past.h"
#include "node/cli/session.h"

#define ANSWER_MS 30000
#define WATCH_MS 2000

enum { LIST = 256, WATCH, AT, JOURNAL };
struct show {
	const char *what, *queue, *id;
	bool list, watch, past;
	struct wall at;      /* when past */
	const char *journal; /* another than node.conf's */
};
/* Who answers: the node, or its journal of a time that is over. */
struct answering { estafette *h; struct past *past; };

static int ask(const struct answering *a, const char *what, const char *queue, const char *id, int (*row)(void *, const struct estafette_member *, size_t), void *arg)
{
	return a->past ? past_show(a->past, what, queue, id, row, arg) : estafette_show(a->h, what, queue, id, row, arg, ANSWER_MS);
}

/* What to say to people when there is no row. */
static const char *nothing(const char *what)
{
	static const char *const of[][2] = {{"links", "no links"}, {"alarms", "no alarms"}, {"orders", "no orders"},
	                                    {"conflicts", "no conflicts"}, {"streams", "no streams"}, {"queues", "no queues"},
	                                    {"browse", "the queue is empty"}, {"link-history", "nothing was noted of these links"}};
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
static bool is_queue(const struct answering *a, const char *name)
{
	size_t rows = 0;
	const char *dead = strstr(name, "dead-letters");
	if ((dead != NULL && (dead == name || dead[-1] == '/')) || strcmp(name, "quarantine") == 0)
		return true;
	return ask(a, "queues", name, NULL, count_row, &rows) == ESTAFETTE_OK && rows > 0;
}

/* Zero rows of something named: either it is empty or there is no such thing. Exit status, EXIT_OK when it is empty. */
static int judge_nothing(struct cli *cli, const struct answering *a, const struct show *s)
{
	if (s->id != NULL)
		return cli_fail(cli, ERR_NOT_FOUND, "%s: nothing %s known of this message here%s", s->id, s->past ? "was" : "is", s->past ? " then" : "");
	if (s->queue != NULL && strcmp(s->what, "link-history") != 0 && !is_queue(a, s->queue))
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

static int show_once(struct cli *cli, const struct answering *a, const struct show *s)
{
	struct output o;
	estafette *h = a->past ? past_handle(a->past) : a->h;
	if (!cli->json && a->past)
		past_say(a->past, stdout);
	else if (!cli->json)
		minimize_say(h, stdout);
	output_begin(&o, cli);
	o.upright = strcmp(s->what, "status") == 0;
	int st = ask(a, s->what, s->queue, s->id, strcmp(s->what, "orders") == 0 ? order_row : strcmp(s->what, "links") == 0 ? link_row : output_row, &o);
	int judged = st == ESTAFETTE_OK && o.rows == 0 ? judge_nothing(cli, a, s) : EXIT_OK;
	int status = output_end(&o, st == ESTAFETTE_OK && judged == EXIT_OK ? nothing(s->what) : NULL);
	if (judged != EXIT_OK)
		status = judged;
	if (st != ESTAFETTE_OK && status == EXIT_OK)
		status = session_fail(cli, h, s->id ? s->id : s->what);
	return status;
}

/* Again and again until a signal; on a terminal over the last one. */
static int show_watch(struct cli *cli, const struct answering *a, const struct show *s)
{
	const volatile int *stop = session_catch_signals();
	int status = EXIT_OK;
	while (status == EXIT_OK && !*stop) {
		if (!cli->json && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		status = show_once(cli, a, s);
		if (status == EXIT_OK && !*stop)
			poll(NULL, 0, WATCH_MS);
	}
	return status;
}

static int show_past(struct cli *cli, const struct show *s)
{
	char conf[CONFIG_PATH_BYTES];
	int status = EXIT_OK;
	struct answering a = {NULL, NULL};
	if (session_conf(cli, conf, &status) && (a.past = past_open(cli, conf, s->journal, s->at, &status)) != NULL)
		status = show_once(cli, &a, s);
	past_close(a.past);
	return status;
}

static int show(struct cli *cli, const struct show *s)
{
	int status = EXIT_OK;
	if (s->past)
		return show_past(cli, s);
	struct answering a = {session_open(cli, &status), NULL};
	if (a.h != NULL)
		status = s->watch ? show_watch(cli, &a, s) : show_once(cli, &a, s);
	estafette_free(a.h);
	return status;
}

/* The present is asked of the node. */
static bool read_at(struct cli *cli, struct show *s, const char *text)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (wall_parse(text, &s->at) != ERR_OK)
		cli_fail(cli, ERR_USAGE, "--at %s: no time (write 2021-07-14T22:00:00Z)", text);
	else if (s->at.us > (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000)
		cli_fail(cli, ERR_USAGE, "--at %s: that is still to come (without --at it is the present)", text);
	else
		s->past = true;
	return s->past;
}

static bool read_options(struct cli *cli, struct show *s, int argc, char **argv)
{
	static const struct option options[] = {{"list", no_argument, NULL, LIST}, {"watch", no_argument, NULL, WATCH},
	                                        {"at", required_argument, NULL, AT}, {"journal", required_argument, NULL, JOURNAL}, {NULL, 0, NULL, 0}};
	int option;
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, options)) != -1) {
		if (option == '?')
			return false;
		if (option == AT && !read_at(cli, s, optarg))
			return false;
		if (option == JOURNAL)
			s->journal = optarg;
		s->list |= option == LIST;
		s->watch |= option == WATCH;
	}
	if (s->past && s->watch)
		cli_fail(cli, ERR_USAGE, "--watch: what is over does not change (--at and --watch do not go together)");
	else if (s->journal && !s->past)
		cli_fail(cli, ERR_USAGE, "--journal: it goes with --at");
	else
		return true;
	return false;
}

/* What is heard from others, or of the machine, no journal keeps. */
static bool has_past(const char *what)
{
	return strcmp(what, "links") != 0 && strcmp(what, "alarms") != 0 && strcmp(what, "streams") != 0;
}

int cmd_show(struct cli *cli, int argc, char **argv)
{
	struct show s = {.what = argv[0]};
	bool queues = strcmp(s.what, "queues") == 0;
	if (!read_options(cli, &s, argc, argv))
		return EXIT_USAGE;
	if (s.past && !has_past(s.what))
		return cli_fail(cli, ERR_UNSUPPORTED, "%s --at: no journal keeps that (status, queues, orders, conflicts and trace know the past)", s.what);
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

int cmd_links_history(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	struct show s = {.what = "link-history"};
	cli_options_begin();
	while (cli_option(cli, argc, argv, options) != -1)
		return EXIT_USAGE;
	if (argc - optind != 1)
		return cli_fail(cli, ERR_USAGE, "links history: one peer (estafette links history PEER)");
	s.queue = argv[optind];
	return show(cli, &s);
}
