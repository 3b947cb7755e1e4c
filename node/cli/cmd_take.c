/* cmd_take.c - `estafette take`: messages out of a queue, each safe where it goes before it is acknowledged.
 *
 * With --out messages gather in a batch while more are there already: all files are written, synced and renamed, then the
 * folder is synced, then the batch is acknowledged in one request. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "node/cli/session.h"
#include "node/cli/take.h"
#include "proto/instant.h"
#include "proto/limits.h"

#define ANSWER_MS 30000         /* for what the node does at once */
#define DRAIN_MS 3000           /* after a stop: for what was under way */
#define FAILURE_PAUSE_MS 500
#define FAILURES_MOST 6

enum { COUNT = 256, TIMEOUT, FOLLOW, ACK, LEASE, OUT, EXEC, EXERCISE };
static const struct option take_options[] = {
	{"count", required_argument, NULL, COUNT}, {"timeout", required_argument, NULL, TIMEOUT}, {"follow", no_argument, NULL, FOLLOW},
	{"ack", required_argument, NULL, ACK}, {"lease", required_argument, NULL, LEASE}, {"out", required_argument, NULL, OUT},
	{"exec", required_argument, NULL, EXEC}, {"exercise", required_argument, NULL, EXERCISE}, {NULL, 0, NULL, 0}};

/* ---- options --------------------------------------------------------------------------------------------- */

static bool set_count(struct cli *cli, struct taking *t, const char *text)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno == 0 && *end == '\0' && text[0] >= '0' && text[0] <= '9' && n > 0) {
		t->count = n;
		return true;
	}
	cli_fail(cli, ERR_USAGE, "--count %s: not a number of 1 or more", text);
	return false;
}

static bool set_ack(struct cli *cli, struct taking *t, const char *text)
{
	t->ack = strcmp(text, "read") == 0;
	if (t->ack || strcmp(text, "none") == 0)
		return true;
	cli_fail(cli, ERR_USAGE, "--ack %s: unknown (none or read)", text);
	return false;
}

static bool set_lease(struct cli *cli, struct taking *t, const char *text)
{
	if (!session_duration_us(cli, "--lease", text, &t->lease_us))
		return false;
	if (t->lease_us > 0 && t->lease_us <= LIMIT_LEASE_US)
		return true;
	cli_fail(cli, ERR_USAGE, "--lease %s: a lease is longer than nothing and at most 1d", text);
	return false;
}

static bool set_option(struct cli *cli, struct taking *t, int option)
{
	switch (option) {
	case COUNT: return set_count(cli, t, optarg);
	case TIMEOUT: return session_duration_ms(cli, "--timeout", optarg, &t->timeout_ms);
	case FOLLOW: t->follow = true; return true;
	case ACK: return set_ack(cli, t, optarg);
	case LEASE: return set_lease(cli, t, optarg);
	case OUT: t->out = optarg; return true;
	case EXEC: t->exec = optarg; return true;
	case EXERCISE: t->exercise = optarg; return true;
	default: return false;
	}
}

static bool read_options(struct cli *cli, struct taking *t, int argc, char **argv)
{
	int option;
	t->count = 1;
	t->timeout_ms = ESTAFETTE_FOREVER;
	t->lease_us = 5 * 60 * US_PER_S;
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, take_options)) != -1)
		if (!set_option(cli, t, option))
			return false;
	if (argc - optind != 1) {
		cli_fail(cli, ERR_USAGE, "take: one queue, not %d (estafette take QUEUE)", argc - optind);
		return false;
	}
	t->queue = argv[optind];
	if (t->out != NULL && t->exec != NULL) {
		cli_fail(cli, ERR_USAGE, "take: --out or --exec, not both (a command has the body on its standard input)");
		return false;
	}
	if ((t->count > 1 || t->follow) && t->out == NULL && t->exec == NULL && !cli->json) {
		cli_fail(cli, ERR_USAGE, "take: several bodies on standard output cannot be told apart (say --out DIR, --exec CMD or --json)");
		return false;
	}
	return true;
}

/* ---- acknowledging ---------------------------------------------------------------------------------------- */

static int fail_node(struct taking *t, const char *what)
{
	if (t->status == EXIT_OK)
		t->status = session_fail(t->cli, t->h, what);
	return -1;
}

/* The node stopped. What it handed out before is here, leased to us for minutes to come: with --out it is written all the
 * same, but not said, as nobody confirms it. */
static int lose_node(struct taking *t, const char *what)
{
	t->lost = true;
	return fail_node(t, what);
}

/* What the node confirmed is said. */
static void say_file(struct taking *t, struct taken_file *f, bool confirmed)
{
	if (confirmed)
		puts(f->line);
	t->taken += confirmed;
	free(f->line);
	f->line = NULL;
}

/* A message that was taken, with the queue that it was taken from: a group's may stand here in two. */
#define ID_AT_SIZE (ESTAFETTE_ID_SIZE + 100)
static const char *id_at(const struct taking *t, const char *id, char text[ID_AT_SIZE])
{
	snprintf(text, ID_AT_SIZE, "%s@%s", id, t->queue);
	return text;
}

/* The node takes all of a batch or nothing; when one of it ended meanwhile, the others are acknowledged singly. */
static void ack_singly(struct taking *t, struct taken_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		char text[ID_AT_SIZE];
		const char *id = id_at(t, b->file[i].id, text);
		int st = estafette_apply(t->h, ESTAFETTE_DO_ACK, &id, 1, NULL, 0, NULL, ANSWER_MS);
		if (st != ESTAFETTE_OK)
			fail_node(t, "take: acknowledging");
		say_file(t, &b->file[i], st == ESTAFETTE_OK);
	}
}

static void batch_answered(struct taking *t, const struct estafette_result *r)
{
	for (size_t k = 0; k < TAKE_ACKS; k++) {
		struct taken_batch *b = t->acks[k];
		if (b == NULL || b->tag != r->tag)
			continue;
		t->acks[k] = NULL;
		if (r->status == ESTAFETTE_REFUSED)
			ack_singly(t, b);
		else
			for (size_t i = 0; i < b->n; i++)
				say_file(t, &b->file[i], r->status == ESTAFETTE_OK);
		fflush(stdout);
		free(b);
		return;
	}
	if (r->status != ESTAFETTE_OK && t->status == EXIT_OK)
		t->status = cli_fail(t->cli, err_from_code(r->code), "take: acknowledging: %s", r->text);
}

/* Answers to verdicts, until at most `left` are in flight. After a signal, too: what is written is to be acknowledged. */
static int take_answers(struct taking *t, size_t left)
{
	int st = ESTAFETTE_OK;
	estafette_interrupt(t->h, NULL);
	while (st == ESTAFETTE_OK && estafette_in_flight(t->h) > left) {
		struct estafette_result r = ESTAFETTE_RESULT_INIT;
		st = estafette_result(t->h, &r, ANSWER_MS);
		if (st == ESTAFETTE_OK)
			batch_answered(t, &r);
	}
	estafette_interrupt(t->h, t->stop);
	return st == ESTAFETTE_OK ? 0 : lose_node(t, "take: acknowledging");
}

int taking_verdict(struct taking *t, int verdict, const char *const *ids, size_t n)
{
	char text[TAKE_BATCH][ID_AT_SIZE];
	const char *at[TAKE_BATCH];
	uint32_t tag;
	if (n == 0)
		return 0;
	if (t->lost)
		return -1;
	for (size_t i = 0; i < n; i++)
		at[i] = id_at(t, ids[i], text[i]);
	if (estafette_apply_begin(t->h, verdict, at, n, NULL, t->lease_us, &tag) != ESTAFETTE_OK)
		return lose_node(t, "take: acknowledging");
	return take_answers(t, TAKE_ACKS - 1);
}

void taking_ack_files(struct taking *t, const struct taken_file *files, size_t n)
{
	char text[TAKE_BATCH][ID_AT_SIZE];
	const char *ids[TAKE_BATCH];
	size_t k = 0;
	struct taken_batch *b = t->lost || take_answers(t, TAKE_ACKS - 1) != 0 ? NULL : malloc(sizeof *b);
	if (b == NULL) {
		for (size_t i = 0; i < n; i++)
			free(files[i].line);
		if (!t->lost && t->status == EXIT_OK)
			t->status = cli_fail(t->cli, ERR_NOMEM, "take: out of memory");
		return;
	}
	while (t->acks[k] != NULL)
		k++;
	b->n = n;
	memcpy(b->file, files, n * sizeof *files);
	for (size_t i = 0; i < n; i++)
		ids[i] = id_at(t, b->file[i].id, text[i]);
	t->acks[k] = b;
	if (estafette_apply_begin(t->h, ESTAFETTE_DO_ACK, ids, n, NULL, 0, &b->tag) != ESTAFETTE_OK)
		lose_node(t, "take: acknowledging");
}

static int give_back(struct taking *t, const char *id)
{
	return taking_verdict(t, ESTAFETTE_DO_RETURN, &id, 1);
}

/* ---- the loop --------------------------------------------------------------------------------------------- */

static int one_message(struct taking *t, const struct estafette_message *m)
{
	int rc;
	if (t->out != NULL && t->exec == NULL) {
		rc = take_file_add(t, m);
		return rc == 0 && t->n_batch == TAKE_BATCH ? take_file_flush(t) : rc;
	}
	if (t->lost)
		return -1;
	rc = t->exec != NULL ? take_exec(t, m) : t->cli->json ? take_json(t, m) : take_plain(t, m);
	if (rc == 0 && t->ack && t->exec == NULL)
		rc = taking_verdict(t, ESTAFETTE_DO_ACK, &m->id, 1);
	t->taken += rc == 0;
	return rc;
}

/* Waits for the next message; while none is here yet, the batch is written out, acknowledged and said. */
static int next_message(struct taking *t, const struct estafette_message **m, int timeout_ms)
{
	int st = estafette_next(t->h, m, 0);
	if (st != ESTAFETTE_TIMEOUT)
		return st;
	if (take_file_flush(t) != 0)
		return ESTAFETTE_CLOSED;
	if (!t->lost)
		(void)take_answers(t, 0);
	return estafette_next(t->h, m, t->lost ? 0 : timeout_ms);
}

/* Milliseconds to the deadline of the whole take; forever when it has none. */
static int time_left(int64_t end)
{
	struct timespec now;
	if (end == INT64_MAX)
		return ESTAFETTE_FOREVER;
	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t left = end - ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
	return left > 0 ? (int)left : 0;
}

static int64_t deadline(int timeout_ms)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return timeout_ms < 0 ? INT64_MAX : (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + timeout_ms;
}

/* A message whose command failed comes again at once: each failure in a row waits longer for the next try. */
static bool may_go_on(struct taking *t, int rc)
{
	if (rc != TAKE_COMMAND_FAILED || !t->follow)
		return false;
	t->failures += t->failures < FAILURES_MOST;
	poll(NULL, 0, FAILURE_PAUSE_MS << t->failures);
	return !*t->stop;
}

static void take_loop(struct taking *t)
{
	const struct estafette_message *m;
	int64_t end = deadline(t->timeout_ms);
	int st;
	while ((st = next_message(t, &m, time_left(end))) == ESTAFETTE_OK) {
		int rc = *t->stop ? -1 : one_message(t, m);
		if (rc == 0)
			t->failures = 0;
		else if (give_back(t, m->id) != 0 || !may_go_on(t, rc))
			break;
	}
	if (st == ESTAFETTE_CLOSED)
		lose_node(t, t->queue);
	else if (st == ESTAFETTE_REFUSED || st == ESTAFETTE_NOMEM)
		fail_node(t, t->queue);
	take_file_flush(t);
}

/* What came after the last one that was wanted goes back into the queue. */
static void end_take(struct taking *t)
{
	const struct estafette_message *m;
	estafette_interrupt(t->h, NULL);
	if (t->lost || estafette_take_stop(t->h) != ESTAFETTE_OK)
		return;
	while (estafette_next(t->h, &m, DRAIN_MS) == ESTAFETTE_OK)
		give_back(t, m->id);
	take_answers(t, 0);
}

static int begin_take(struct taking *t)
{
	struct estafette_take k = ESTAFETTE_TAKE_INIT;
	k.queue = t->queue;
	k.count = t->follow ? 0 : t->count;
	k.lease_us = t->lease_us;
	k.exercise = t->exercise;
	/* A command may run long, and a lease of what waits behind it would run out. */
	k.window = t->exec != NULL ? 1 : 0;
	return estafette_take(t->h, &k);
}

static int outcome(const struct taking *t)
{
	if (t->status != EXIT_OK || t->taken > 0)
		return t->status;
	if (*t->stop)
		return t->follow ? EXIT_OK : cli_fail(t->cli, ERR_TIMEOUT, "%s: stopped before a message came", t->queue);
	return cli_fail(t->cli, ERR_TIMEOUT, "%s: no message within the time given", t->queue);
}

int cmd_take(struct cli *cli, int argc, char **argv)
{
	struct taking t = {.cli = cli, .out_fd = -1};
	if (!read_options(cli, &t, argc, argv))
		return EXIT_USAGE;
	t.stop = session_catch_signals();
	if (t.out != NULL && take_file_open(&t) != 0)
		return t.status;
	t.h = session_open(cli, &t.status);
	if (t.h == NULL)
		goto out;
	estafette_interrupt(t.h, t.stop);
	if (begin_take(&t) != ESTAFETTE_OK) {
		fail_node(&t, t.queue);
		goto out;
	}
	take_loop(&t);
	end_take(&t);
	t.status = outcome(&t);
out:
	take_file_close(&t);
	for (size_t k = 0; k < TAKE_ACKS; k++) {
		for (size_t i = 0; t.acks[k] != NULL && i < t.acks[k]->n; i++)
			free(t.acks[k]->file[i].line);
		free(t.acks[k]);
	}
	estafette_free(t.h);
	return t.status;
}
