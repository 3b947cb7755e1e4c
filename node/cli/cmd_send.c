/* cmd_send.c - `estafette send`: one message a file and queue, ids in their order. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "node/cli/longwork.h"
#include "node/cli/minimize.h"
#include "node/cli/output.h"
#include "node/cli/session.h"
#include "proto/id.h"
#include "proto/instant.h"
#include "proto/limits.h"

#define IN_FLIGHT 64            /* submissions at once, each with its file open */
#define WAITS_IN_FLIGHT 256
#define PROBE_MS 300            /* after a time-out: how long to ask what is true now */
#define PROGRESS_BYTES (1024 * 1024) /* a larger body is shown on its way */

struct options {
	const char **to;
	size_t n_to;
	struct estafette_submission s;
	int64_t expires_after_us;
	int wait;
	int timeout_ms;
};

/* One message to be: a file and an address. */
struct job {
	const char *name, *to;
	int fd;
	uint64_t size, read, start; /* start: where in the file the body begins */
	struct progress progress;   /* of a large body, on the terminal */
	uint32_t tag;
	bool sent, over;            /* over: its outcome is known */
	bool again;                 /* the node had no room: sent once more, not before r.until_us */
	struct estafette_result r;
};

struct send {
	struct cli *cli;
	struct options o;
	estafette *h;
	struct job *jobs;
	size_t n, printed;
	int status;                 /* of what failed first */
	int spool_fd;               /* what the last pipe held, for each address that it goes to; -1: no pipe was read yet */
	const char *spool_of;       /* its place among the arguments */
	int64_t end_ms;             /* of --timeout, on the monotonic clock: so long a busy node is asked again */
	bool told_busy;
};

/* ---- options --------------------------------------------------------------------------------------------- */

enum { TO = 256, PRECEDENCE, TYPE, LANG, CHANNEL, SUBJECT, RE, EXPIRES, KEY, EXERCISE, WAIT, TIMEOUT };
static const struct option send_options[] = {
	{"to", required_argument, NULL, TO}, {"precedence", required_argument, NULL, PRECEDENCE}, {"type", required_argument, NULL, TYPE},
	{"lang", required_argument, NULL, LANG}, {"channel", required_argument, NULL, CHANNEL}, {"subject", required_argument, NULL, SUBJECT},
	{"re", required_argument, NULL, RE}, {"expires", required_argument, NULL, EXPIRES}, {"id", required_argument, NULL, KEY},
	{"exercise", required_argument, NULL, EXERCISE}, {"wait", required_argument, NULL, WAIT}, {"timeout", required_argument, NULL, TIMEOUT},
	{NULL, 0, NULL, 0}};

static bool set_precedence(struct cli *cli, struct options *o, const char *text)
{
	enum precedence p;
	if (precedence_parse(text, &p) != ERR_OK) {
		cli_fail(cli, ERR_USAGE, "--precedence %s: unknown (flash, immediate, priority or routine)", text);
		return false;
	}
	o->s.precedence = (int)p;
	return true;
}

static bool set_lang(struct cli *cli, struct options *o, const char *text)
{
	o->s.lang = text;
	if (strcmp(text, "nl") == 0 || strcmp(text, "fr") == 0 || strcmp(text, "de") == 0 || strcmp(text, "en") == 0)
		return true;
	cli_fail(cli, ERR_USAGE, "--lang %s: unknown (nl, fr, de or en)", text);
	return false;
}

static bool set_re(struct cli *cli, struct options *o, const char *text)
{
	struct msgid id;
	o->s.re = text;
	if (msgid_parse(view_str(text), &id) == ERR_OK)
		return true;
	cli_fail(cli, ERR_USAGE, "--re %s: not the id of a message (26 letters and digits)", text);
	return false;
}

static bool set_wait(struct cli *cli, struct options *o, const char *text)
{
	static const int states[] = {ESTAFETTE_ACCEPTED, ESTAFETTE_HELD, ESTAFETTE_DELIVERED, ESTAFETTE_READ};
	for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
		if (strcmp(text, estafette_state_name(states[i])) == 0) {
			o->wait = states[i];
			return true;
		}
	cli_fail(cli, ERR_USAGE, "--wait %s: unknown (accepted, held, delivered or read)", text);
	return false;
}

static bool set_expires(struct cli *cli, struct options *o, const char *text)
{
	if (!session_duration_us(cli, "--expires", text, &o->expires_after_us))
		return false;
	if (o->expires_after_us > 0)
		return true;
	cli_fail(cli, ERR_USAGE, "--expires %s: it would expire at once (give a longer time)", text);
	return false;
}

static bool set_option(struct cli *cli, struct options *o, int option)
{
	switch (option) {
	case TO: o->to[o->n_to++] = optarg; return true;
	case PRECEDENCE: return set_precedence(cli, o, optarg);
	case TYPE: o->s.type = optarg; return true;
	case LANG: return set_lang(cli, o, optarg);
	case CHANNEL: o->s.channel = optarg; return true;
	case SUBJECT: o->s.subject = optarg; return true;
	case RE: return set_re(cli, o, optarg);
	case EXPIRES: return set_expires(cli, o, optarg);
	case KEY: o->s.key = optarg; return true;
	case EXERCISE: o->s.exercise = optarg; return true;
	case WAIT: return set_wait(cli, o, optarg);
	case TIMEOUT: return session_duration_ms(cli, "--timeout", optarg, &o->timeout_ms);
	default: return false;
	}
}

static bool read_options(struct cli *cli, struct options *o, int argc, char **argv)
{
	int option;
	o->s = (struct estafette_submission)ESTAFETTE_SUBMISSION_INIT;
	o->wait = ESTAFETTE_ACCEPTED;
	o->timeout_ms = 30000;
	o->to = calloc((size_t)argc + 1, sizeof *o->to);
	if (o->to == NULL) {
		cli_fail(cli, ERR_NOMEM, "send: out of memory");
		return false;
	}
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, send_options)) != -1)
		if (!set_option(cli, o, option))
			return false;
	if (o->n_to == 0) {
		cli_fail(cli, ERR_USAGE, "send: nobody to send to (say --to SITE/QUEUE)");
		return false;
	}
	if (o->s.key != NULL && (argc - optind > 1 || o->n_to > 1)) {
		cli_fail(cli, ERR_USAGE, "--id %s: it names one message, and this would be several (send them one by one, each with its own)", o->s.key);
		return false;
	}
	if (o->s.key != NULL && (o->s.key[0] == '\0' || strlen(o->s.key) > LIMIT_KEY_BYTES)) {
		cli_fail(cli, ERR_USAGE, "--id: a key has 1 to %d bytes", LIMIT_KEY_BYTES);
		return false;
	}
	return true;
}

/* ---- bodies ---------------------------------------------------------------------------------------------- */

static bool write_all(int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, bytes, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		bytes += w;
		n -= (size_t)w;
	}
	return true;
}

static bool is_input(const char *name) { return strcmp(name, "-") == 0; }
static const char *name_of(const struct job *j) { return is_input(j->name) ? "standard input" : j->name; }

/* A pipe does not say how long it is, and the node wants to know first: it goes through a file without a name. */
static int spool(struct cli *cli, int in, const char *name)
{
	char piece[65536];
	ssize_t n;
	uint64_t sum = 0;
	const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp";
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		cli_fail(cli, ERR_IO, "%s: %s (%s waits there; choose another folder with TMPDIR)", dir, strerror(errno), name);
		return -1;
	}
	while ((n = read(in, piece, sizeof piece)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		sum += n > 0 ? (uint64_t)n : 0;
		if (n < 0 || sum > LIMIT_BODY_BYTES || !write_all(fd, piece, (size_t)n)) {
			if (sum > LIMIT_BODY_BYTES)
				cli_fail(cli, ERR_TOO_LARGE, "%s: over 1GiB (the largest body)", name);
			else if (n < 0)
				cli_fail(cli, ERR_IO, "%s: %s", name, strerror(errno));
			else
				cli_fail(cli, ERR_IO, "%s: %s (%s waits there; choose another folder with TMPDIR)", dir, strerror(errno), name);
			close(fd);
			return -1;
		}
	}
	return fd;
}

/* Files of /proc, /sys and some mounts say that they hold nothing and do not mean it. */
static bool size_is_true(int fd, const struct stat *st)
{
	char byte;
	return S_ISREG(st->st_mode) && (st->st_size > 0 || pread(fd, &byte, 1, 0) == 0);
}

/* A pipe is empty once it was read, and each further address wants the same body: what it held stands in its place. */
static int open_file(const struct send *x, const struct job *j)
{
	if (x->spool_of == j->name)
		return fcntl(x->spool_fd, F_DUPFD_CLOEXEC, 3);
	return is_input(j->name) ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(j->name, O_RDONLY | O_CLOEXEC);
}

static int spool_for(struct send *x, struct job *j)
{
	int file = spool(x->cli, j->fd, name_of(j));
	close(j->fd);
	j->fd = file;
	if (file < 0)
		return -1;
	if (x->spool_fd >= 0)
		close(x->spool_fd);
	x->spool_of = j->name;
	x->spool_fd = fcntl(file, F_DUPFD_CLOEXEC, 3);
	if (x->spool_fd < 0)
		cli_fail(x->cli, ERR_IO, "%s: %s", name_of(j), strerror(errno));
	return x->spool_fd;
}

/* Opens the body of a job. False when that fails: said already. */
static bool open_body(struct send *x, struct job *j)
{
	struct stat st;
	struct cli *cli = x->cli;
	bool spooled = x->spool_of == j->name, in = is_input(j->name) && !spooled;
	j->fd = open_file(x, j);
	if (j->fd < 0 || fstat(j->fd, &st) != 0) {
		cli_fail(cli, cli_err_of_errno(), "%s: %s (name files that you can read, or - for standard input)", name_of(j), strerror(errno));
		return false;
	}
	if (S_ISDIR(st.st_mode)) {
		cli_fail(cli, ERR_USAGE, "%s: a folder (name its files)", j->name);
		return false;
	}
	if (!spooled && !size_is_true(j->fd, &st)) {
		if (spool_for(x, j) < 0 || fstat(j->fd, &st) != 0)
			return false;
	} else if (in) {
		j->read = (uint64_t)lseek(j->fd, 0, SEEK_CUR);
		j->read = j->read > (uint64_t)st.st_size ? (uint64_t)st.st_size : j->read;
	}
	j->start = j->read;
	j->size = (uint64_t)st.st_size - j->read;
	if (j->size > LIMIT_BODY_BYTES) {
		cli_fail(cli, ERR_TOO_LARGE, "%s: %llu bytes (the largest body is 1GiB)", j->name, (unsigned long long)j->size);
		return false;
	}
	progress_begin(&j->progress, name_of(j));
	return true;
}

static ssize_t read_body(void *arg, void *buf, size_t n)
{
	struct job *j = arg;
	size_t got = 0;
	while (got < n) {
		ssize_t r = pread(j->fd, (char *)buf + got, n - got, (off_t)(j->read + got));
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return -1; /* it became shorter, or the disk failed */
		got += (size_t)r;
	}
	j->read += n;
	return (ssize_t)n;
}

static void show_progress(void *arg, uint64_t sent, uint64_t of)
{
	struct job *j = arg;
	if (of <= PROGRESS_BYTES)
		return;
	progress_show(&j->progress, sent, of);
	if (sent == of)
		progress_end(&j->progress);
}

/* ---- submitting ------------------------------------------------------------------------------------------ */

static void fail_job(struct send *x, const struct job *j, const struct estafette_result *r)
{
	if (x->status == EXIT_OK)
		x->status = cli_fail_until(x->cli, err_from_code(r->code), r->until_us, "%s to %s: %s", j->name, j->to, r->text);
}

static struct job *job_of(struct send *x, uint32_t tag)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->jobs[i].sent && !x->jobs[i].over && x->jobs[i].tag == tag)
			return &x->jobs[i];
	return NULL;
}

static bool accepted(const struct job *j) { return j->r.id[0] != '\0'; }

/* People get each id as soon as it and those before it are known; JSON objects wait for their state. */
static void print_ready(struct send *x)
{
	while (!x->cli->json && x->printed < x->n && x->jobs[x->printed].over && !x->jobs[x->printed].again) {
		struct job *j = &x->jobs[x->printed++];
		if (accepted(j))
			puts(j->r.id);
	}
	fflush(stdout);
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* From now until a time of the wall clock; 0 when that has passed. */
static int64_t ms_until(int64_t wall_us)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	int64_t us = wall_us - ((int64_t)t.tv_sec * US_PER_S + t.tv_nsec / 1000);
	return us > 0 ? us / 1000 + 1 : 0;
}

/* The node has no room for it now, and said when to try again: within --timeout it is. */
static bool is_worth_again(struct send *x, struct job *j, const struct estafette_result *r)
{
	if (r->status != ESTAFETTE_REFUSED || strcmp(r->code, err_code(ERR_BUSY)) != 0 || r->until_us == 0 || now_ms() + ms_until(r->until_us) >= x->end_ms)
		return false;
	if (!x->told_busy && !x->cli->json)
		fprintf(stderr, "estafette: %s to %s: %s; trying again\n", j->name, j->to, r->text);
	x->told_busy = true;
	j->r = *r;
	j->read = j->start;
	return true;
}

static void take_result(struct send *x, const struct estafette_result *r)
{
	struct job *j = job_of(x, r->tag);
	if (j == NULL)
		return;
	j->over = true;
	j->again = is_worth_again(x, j, r);
	if (j->again)
		return;
	j->r = *r;
	progress_end(&j->progress);
	close(j->fd);
	j->fd = -1;
	if (r->status != ESTAFETTE_OK) {
		j->r.id[0] = '\0';
		fail_job(x, j, r);
	}
	print_ready(x);
}

/* One answer. A time-out counts from the last piece of j's body that the node took. False when none will come. */
static bool one_result(struct send *x, const struct job *j)
{
	struct estafette_result r = ESTAFETTE_RESULT_INIT;
	uint64_t before;
	int st;
	do {
		before = j->read;
		st = estafette_result(x->h, &r, x->o.timeout_ms);
	} while (st == ESTAFETTE_TIMEOUT && j->read != before);
	if (st != ESTAFETTE_OK) {
		if (x->status == EXIT_OK)
			x->status = session_fail(x->cli, x->h, "send: not known to be accepted");
		return false;
	}
	take_result(x, &r);
	return true;
}

static bool submit_job(struct send *x, struct job *j)
{
	struct estafette_submission s = x->o.s;
	if (j->fd < 0 && !open_body(x, j)) {
		x->status = EXIT_REFUSED;
		return false;
	}
	s.to = &j->to;
	s.n_to = 1;
	s.body_bytes = j->size;
	s.read = read_body;
	s.progress = show_progress;
	s.arg = j;
	if (x->o.expires_after_us > 0) {
		struct timespec now;
		clock_gettime(CLOCK_REALTIME, &now);
		s.expires_us = (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000 + x->o.expires_after_us;
	}
	if (estafette_submit_begin(x->h, &s, &j->tag) != ESTAFETTE_OK) {
		x->status = session_fail(x->cli, x->h, j->name);
		return false;
	}
	j->sent = true;
	j->over = j->again = false;
	return true;
}

/* The first that a busy node is to be asked for once more, in their order. */
static const struct job *next_again(const struct send *x)
{
	for (size_t i = 0; i < x->n && x->status == EXIT_OK; i++)
		if (x->jobs[i].again)
			return &x->jobs[i];
	return NULL;
}

static bool send_again(struct send *x, struct job *j)
{
	int64_t ms = ms_until(j->r.until_us);
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	if (ms > 0)
		nanosleep(&t, NULL);
	if (!submit_job(x, j))
		return false;
	while (!j->over && one_result(x, j))
		continue;
	return true;
}

static void submit_all(struct send *x)
{
	const struct job *j = NULL;
	for (size_t i = 0; i < x->n && x->status == EXIT_OK && submit_job(x, &x->jobs[i]); i++) {
		j = &x->jobs[i];
		/* one large body at a time */
		while (j->size > ESTAFETTE_CHUNK_BYTES && !j->over && one_result(x, j))
			continue;
		while (estafette_in_flight(x->h) >= IN_FLIGHT && one_result(x, j))
			continue;
	}
	while (j != NULL && estafette_in_flight(x->h) > 0 && one_result(x, j))
		continue;
	while ((j = next_again(x)) != NULL && send_again(x, &x->jobs[j - x->jobs]))
		continue;
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

/* Begins a wait for state for each job that has not reached it, and takes the answers until end. True: all came. */
static bool wait_round(struct send *x, int state, int64_t end)
{
	size_t next = 0;
	for (;;) {
		while (next < x->n && estafette_in_flight(x->h) < WAITS_IN_FLIGHT) {
			struct job *j = &x->jobs[next++];
			if (!accepted(j) || j->r.state >= state)
				continue;
			j->over = false;
			if (estafette_wait_begin(x->h, j->r.id, state, &j->tag) != ESTAFETTE_OK)
				return false;
		}
		if (estafette_in_flight(x->h) == 0)
			return true;
		struct estafette_result r = ESTAFETTE_RESULT_INIT;
		int64_t left = end - now_ms();
		if (estafette_result(x->h, &r, left > 0 ? (int)left : 0) != ESTAFETTE_OK)
			return false;
		struct job *j = job_of(x, r.tag);
		if (j == NULL)
			continue;
		j->over = true;
		if (r.status == ESTAFETTE_OK)
			j->r.state = r.state;
		else
			fail_job(x, j, &r);
	}
}

static const char *code_of_end(int state)
{
	return state == ESTAFETTE_MSG_EXPIRED ? err_code(ERR_EXPIRED) : err_code(ERR_REFUSED);
}

static void wait_all(struct send *x)
{
	int64_t end = now_ms() + x->o.timeout_ms;
	if (x->o.wait > ESTAFETTE_ACCEPTED && !wait_round(x, x->o.wait, end)) {
		bool alive = strcmp(estafette_error_code(x->h), err_code(ERR_TIMEOUT)) == 0;
		if (x->status == EXIT_OK && alive)
			x->status = cli_fail(x->cli, ERR_TIMEOUT, "--wait %s: not all within %d ms (accepted stays accepted; see estafette trace ID)",
			                     estafette_state_name(x->o.wait), x->o.timeout_ms);
		else if (x->status == EXIT_OK)
			x->status = session_fail(x->cli, x->h, "wait");
		if (alive && x->cli->json) /* what is true now: accepted, or held by a standby */
			(void)wait_round(x, ESTAFETTE_HELD_BY_STANDBY, now_ms() + PROBE_MS);
	}
	for (size_t i = 0; i < x->n && x->status == EXIT_OK; i++)
		if (accepted(&x->jobs[i]) && x->jobs[i].r.state >= ESTAFETTE_MSG_REFUSED)
			x->status = cli_fail(x->cli, err_from_code(code_of_end(x->jobs[i].r.state)), "%s: the message was %s (see estafette trace %s)",
			                     x->jobs[i].r.id, estafette_state_name(x->jobs[i].r.state), x->jobs[i].r.id);
}

static void print_objects(struct send *x)
{
	for (size_t i = 0; i < x->n && x->cli->json; i++) {
		const struct job *j = &x->jobs[i];
		if (!accepted(j))
			continue;
		json_t *o = json_pack("{s:s,s:o,s:b,s:s}", "id", j->r.id, "to", cli_json_string(j->to), "duplicate", j->r.duplicate,
		                      "state", estafette_state_name(j->r.state ? j->r.state : ESTAFETTE_ACCEPTED));
		int status = cli_print_object(x->cli, o);
		if (x->status == EXIT_OK)
			x->status = status;
	}
}

/* Of several addresses none is sent to when one is wrong: so they are looked up first, where this user may read the roster.
 * The node judges in any case. */
static int check_addresses(struct send *x)
{
	char path[CONFIG_PATH_BYTES];
	struct errmsg m;
	struct roster *roster = NULL;
	int status = EXIT_OK;
	struct config *c = x->o.n_to > 1 ? calloc(1, sizeof *c) : NULL;
	struct address *a = calloc(1, sizeof *a);
	if (c != NULL && a != NULL && session_conf(x->cli, path, &status) && config_load(path, c, &m) == ERR_OK &&
	    config_load_roster(c, &roster, &m) == ERR_OK)
		for (size_t i = 0; i < x->o.n_to && status == EXIT_OK; i++) {
			enum err e = roster_resolve(roster, view_str(x->o.to[i]), a, &m);
			if (e != ERR_OK)
				status = cli_fail(x->cli, e, "%s", m.text);
		}
	roster_free(roster);
	free(a);
	free(c);
	return status;
}

/* ---- the command ----------------------------------------------------------------------------------------- */

static bool input_is_named_once(struct cli *cli, int files, char **file)
{
	int named = 0;
	for (int i = 0; i < files; i++)
		named += is_input(file[i]);
	if (named > 1)
		cli_fail(cli, ERR_USAGE, "send: - is named %d times, and standard input is one body (name it once)", named);
	return named <= 1;
}

static bool make_jobs(struct send *x, int files, char **file)
{
	static char *dash[] = {(char *)"-"};
	if (files == 0) {
		files = 1;
		file = dash;
	}
	x->n = (size_t)files * x->o.n_to;
	x->jobs = calloc(x->n, sizeof *x->jobs);
	for (size_t i = 0; x->jobs != NULL && i < x->n; i++) {
		x->jobs[i].name = file[i / x->o.n_to];
		x->jobs[i].to = x->o.to[i % x->o.n_to];
		x->jobs[i].fd = -1;
	}
	return x->jobs != NULL;
}

int cmd_send(struct cli *cli, int argc, char **argv)
{
	struct send x = {.cli = cli, .spool_fd = -1};
	if (!read_options(cli, &x.o, argc, argv) || !input_is_named_once(cli, argc - optind, argv + optind)) {
		x.status = EXIT_USAGE;
		goto out;
	}
	if (!make_jobs(&x, argc - optind, argv + optind)) {
		x.status = cli_fail(cli, ERR_NOMEM, "send: out of memory");
		goto out;
	}
	x.h = session_open(cli, &x.status);
	if (x.h == NULL || (x.status = check_addresses(&x)) != EXIT_OK)
		goto out;
	x.end_ms = now_ms() + x.o.timeout_ms;
	submit_all(&x);
	print_ready(&x);
	if (!cli->json && x.status == EXIT_OK)
		minimize_say_of(x.h, x.o.s.precedence, stderr);
	wait_all(&x);
	print_objects(&x);
out:
	for (size_t i = 0; x.jobs != NULL && i < x.n; i++)
		if (x.jobs[i].fd >= 0)
			close(x.jobs[i].fd);
	if (x.spool_fd >= 0)
		close(x.spool_fd);
	free(x.jobs);
	free(x.o.to);
	estafette_free(x.h);
	return x.status;
}
