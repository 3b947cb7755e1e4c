/* cmd_network.c - `network up|down|status`: the daemons of a practice network on this machine.
 *
 * Whether a node runs is what the lock of its journal says; its pid is what the kernel says of the other end of its socket. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "node/cli/output.h"
#include "node/cli/session.h"
#include "storage/store.h"

#define UP_MS 60000    /* a daemon that reads a large journal first answers late */
#define DOWN_MS 60000
#define LOOK_MS 20
#define ANSWER_MS 5000
#define TAIL_BYTES 300

struct member {
	char id[LIMIT_NAME_BYTES + 1];
	char folder[PATH_MAX]; /* absolute */
	char journal[CONFIG_PATH_BYTES], socket[CONFIG_PATH_BYTES];
	pid_t child;           /* started by this call; 0 when not */
	pid_t pid;
	bool up;
};
struct network {
	struct cli *cli;
	char folder[PATH_MAX];
	struct member *members;
	size_t n;
};

/* ---- which sites ------------------------------------------------------------------------------------------- */

static int load_member(struct network *w, struct member *m)
{
	struct errmsg why;
	char path[PATH_MAX + 16];
	struct config *config = calloc(1, sizeof *config);
	if (config == NULL)
		return cli_fail(w->cli, ERR_NOMEM, "network: out of memory");
	snprintf(path, sizeof path, "%s/node.conf", m->folder);
	enum err e = config_load(path, config, &why);
	snprintf(m->journal, sizeof m->journal, "%s", config->journal);
	snprintf(m->socket, sizeof m->socket, "%s", config->socket);
	free(config);
	return e == ERR_OK ? EXIT_OK : cli_fail(w->cli, e, "%s", why.text);
}

static int add_member(struct network *w, const char *id)
{
	struct member *more = realloc(w->members, (w->n + 1) * sizeof *more);
	if (more == NULL)
		return cli_fail(w->cli, ERR_NOMEM, "network: out of memory");
	w->members = more;
	struct member *m = &w->members[w->n];
	memset(m, 0, sizeof *m);
	if (strlen(id) >= sizeof m->id || (size_t)snprintf(m->folder, sizeof m->folder, "%s/%s", w->folder, id) >= sizeof m->folder)
		return cli_fail(w->cli, ERR_UNKNOWN_SITE, "%s: not the name of a site", id);
	snprintf(m->id, sizeof m->id, "%s", id);
	w->n++;
	return load_member(w, m);
}

static bool has_conf(const char *folder, const char *id)
{
	char path[PATH_MAX + NAME_MAX + 16];
	snprintf(path, sizeof path, "%s/%s/node.conf", folder, id);
	/* One that may not be looked at is a site all the same; reading its node.conf says what is wrong. */
	return id[0] != '.' && (access(path, F_OK) == 0 || errno == EACCES);
}

static int add_named(struct network *w, const char *sites)
{
	char *copy = strdup(sites), *rest = copy, *id;
	int status = copy ? EXIT_OK : cli_fail(w->cli, ERR_NOMEM, "network: out of memory");
	while (status == EXIT_OK && (id = strsep(&rest, ",")) != NULL) {
		if (!view_is_name(view_str(id)) || !has_conf(w->folder, id))
			status = cli_fail(w->cli, ERR_UNKNOWN_SITE, "--sites %s: no %s/%s/node.conf (the network in that folder lacks this site)", id, w->folder, id);
		else
			status = add_member(w, id);
	}
	free(copy);
	return status;
}

static int add_all(struct network *w)
{
	struct dirent **names = NULL;
	int n = scandir(w->folder, &names, NULL, alphasort);
	int status = n >= 0 ? EXIT_OK : cli_fail(w->cli, cli_err_of_errno(), "%s: %s", w->folder, strerror(errno));
	for (int i = 0; i < n; i++) {
		if (status == EXIT_OK && has_conf(w->folder, names[i]->d_name))
			status = add_member(w, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	if (status == EXIT_OK && w->n == 0)
		status = cli_fail(w->cli, ERR_NOT_FOUND, "%s: no site in it (estafette network init %s makes a network)", w->folder, w->folder);
	return status;
}

static int network_open(struct network *w, struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"sites", required_argument, NULL, 256}, {NULL, 0, NULL, 0}};
	const char *sites = NULL;
	int option;
	w->cli = cli;
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, options)) != -1) {
		if (option == '?')
			return EXIT_USAGE;
		sites = optarg;
	}
	if (argc - optind != 1)
		return cli_fail(cli, ERR_USAGE, "network %s: one folder, not %d", argv[0], argc - optind);
	if (realpath(argv[optind], w->folder) == NULL)
		return cli_fail(cli, cli_err_of_errno(), "%s: %s (estafette network init makes a network)", argv[optind], strerror(errno));
	return sites ? add_named(w, sites) : add_all(w);
}

/* ---- is it there? ------------------------------------------------------------------------------------------ */

static int any_row(void *arg, const struct estafette_member *members, size_t n)
{
	(void)members;
	*(bool *)arg = n > 0;
	return 0;
}

/* Is this process the daemon of that site: "estafetted -c FOLDER/node.conf"? */
static bool runs(const char *pid, const struct member *m)
{
	char path[64], line[2 * PATH_MAX] = "", conf[PATH_MAX + 16];
	snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
	snprintf(conf, sizeof conf, "%s/node.conf", m->folder);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return false;
	size_t n = fread(line, 1, sizeof line - 1, f);
	fclose(f);
	const char *name = strrchr(line, '/');
	bool daemon = strcmp(name ? name + 1 : line, "estafetted") == 0, ours = false;
	for (size_t at = 0; at < n; at += strlen(line + at) + 1)
		ours = ours || strcmp(line + at, conf) == 0;
	return daemon && ours;
}

/* The daemon whose socket is gone or was replaced: nobody reaches it, but it holds its journal and can be ended. */
static pid_t pid_without_socket(const struct member *m)
{
	DIR *proc = opendir("/proc");
	pid_t pid = 0;
	for (const struct dirent *d; proc != NULL && pid == 0 && (d = readdir(proc)) != NULL;)
		if (d->d_name[0] >= '0' && d->d_name[0] <= '9' && runs(d->d_name, m))
			pid = (pid_t)strtol(d->d_name, NULL, 10);
	if (proc != NULL)
		closedir(proc);
	return pid;
}

/* Does it answer? Fills pid and up. */
static void look(struct member *m)
{
	bool answered = false;
	estafette *h = estafette_new();
	m->pid = 0;
	m->up = false;
	if (h != NULL && estafette_connect(h, m->socket) == ESTAFETTE_OK) {
		m->pid = estafette_node_pid(h);
		m->up = estafette_show(h, "status", NULL, NULL, any_row, &answered, ANSWER_MS) == ESTAFETTE_OK && answered;
	}
	estafette_free(h);
	if (!m->up)
		m->pid = pid_without_socket(m);
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int print(struct network *w, bool quiet)
{
	struct output o;
	output_begin(&o, w->cli);
	for (size_t i = 0; i < w->n && !(quiet && !w->cli->json); i++) {
		const struct member *m = &w->members[i];
		struct estafette_member row[] = {MEMBER_TEXT("site", m->id), MEMBER_NUMBER("pid", m->pid), MEMBER_FLAG("up", m->up)};
		if (m->pid == 0)
			row[1].kind = ESTAFETTE_NULL;
		output_row(&o, row, 3);
	}
	return output_end(&o, NULL);
}

int cmd_network_status(struct cli *cli, int argc, char **argv)
{
	struct network w = {0};
	int status = network_open(&w, cli, argc, argv);
	for (size_t i = 0; i < w.n && status == EXIT_OK; i++)
		if (store_is_locked(w.members[i].journal))
			look(&w.members[i]);
	if (status == EXIT_OK)
		status = print(&w, false);
	free(w.members);
	return status;
}

/* ---- up ------------------------------------------------------------------------------------------------------ */

/* The daemon that was built or installed with this command; else the one in PATH. */
static void find_daemon(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 16);
	char *slash;
	out[n > 0 ? n : 0] = '\0';
	if ((slash = strrchr(out, '/')) != NULL) {
		strcpy(slash + 1, "estafetted");
		if (access(out, X_OK) == 0)
			return;
	}
	strcpy(out, "estafetted");
}

static void run_daemon(const char *program, const struct member *m)
{
	char path[PATH_MAX + 16];
	sigset_t none;
	sigemptyset(&none);
	setsid();
	snprintf(path, sizeof path, "%s/log", m->folder);
	int in = open("/dev/null", O_RDONLY), log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (in < 0 || log < 0 || dup2(in, 0) != 0 || dup2(log, 1) != 1 || dup2(log, 2) != 2)
		_exit(126);
	if (in > 2)
		close(in);
	if (log > 2)
		close(log);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(path, sizeof path, "%s/node.conf", m->folder);
	execlp(program, "estafetted", "-c", path, (char *)NULL);
	dprintf(2, "%s: %s\n", program, strerror(errno));
	_exit(127);
}

/* The last line of a site's log that says something. */
static void log_tail(const struct member *m, char out[TAIL_BYTES])
{
	char path[PATH_MAX + 16], text[4096];
	snprintf(path, sizeof path, "%s/log", m->folder);
	snprintf(out, TAIL_BYTES, "its log is empty");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	off_t end = lseek(fd, 0, SEEK_END), from = end > (off_t)sizeof text - 1 ? end - ((off_t)sizeof text - 1) : 0;
	ssize_t n = pread(fd, text, sizeof text - 1, from);
	close(fd);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	if (n <= 0)
		return;
	text[n] = '\0';
	char *line = strrchr(text, '\n');
	snprintf(out, TAIL_BYTES, "%.*s", TAIL_BYTES - 1, line ? line + 1 : text);
}

static int fail_up(struct network *w, const struct member *m, const char *what)
{
	char tail[TAIL_BYTES];
	log_tail(m, tail);
	return cli_fail(w->cli, ERR_REFUSED, "%s: %s: %s (see %s/log)", m->id, what, tail, m->folder);
}

static int start_member(struct network *w, struct member *m, const char *program)
{
	if (store_is_locked(m->journal))
		return EXIT_OK;
	fflush(NULL);
	m->child = fork();
	if (m->child == 0)
		run_daemon(program, m);
	return m->child > 0 ? EXIT_OK : cli_fail(w->cli, ERR_IO, "%s: fork: %s", m->id, strerror(errno));
}

/* One that ran when it was looked at may have been ending. */
static int await_up(struct network *w, struct member *m, const char *program, int64_t end)
{
	for (;;) {
		int status;
		look(m);
		if (m->up)
			return EXIT_OK;
		if (m->child > 0 && waitpid(m->child, &status, WNOHANG) == m->child)
			return fail_up(w, m, "the daemon ended");
		if (m->child == 0 && start_member(w, m, program) != EXIT_OK)
			return EXIT_REFUSED;
		if (now_ms() > end)
			return fail_up(w, m, "the daemon does not answer yet");
		poll(NULL, 0, LOOK_MS);
	}
}

int cmd_network_up(struct cli *cli, int argc, char **argv)
{
	struct network w = {0};
	char program[PATH_MAX];
	int status = network_open(&w, cli, argc, argv);
	find_daemon(program);
	for (size_t i = 0; i < w.n && status == EXIT_OK; i++)
		status = start_member(&w, &w.members[i], program);
	int64_t end = now_ms() + UP_MS;
	for (size_t i = 0; i < w.n && status == EXIT_OK; i++)
		status = await_up(&w, &w.members[i], program, end);
	if (status == EXIT_OK)
		status = print(&w, true);
	free(w.members);
	return status;
}

/* ---- down ---------------------------------------------------------------------------------------------------- */

/* A daemon that has its journal but not yet, or no more, its socket is asked again until it is gone or answers. */
static int stop_member(struct network *w, struct member *m, int64_t end)
{
	while (store_is_locked(m->journal)) {
		if (m->pid == 0) {
			look(m);
			if (m->pid > 0 && kill(m->pid, SIGTERM) != 0 && errno != ESRCH)
				return cli_fail(w->cli, ERR_NOT_PERMITTED, "%s: process %d: %s", m->id, (int)m->pid, strerror(errno));
		}
		if (now_ms() > end)
			return fail_up(w, m, "the daemon has not ended yet");
		poll(NULL, 0, LOOK_MS);
	}
	m->up = false;
	m->pid = 0;
	return EXIT_OK;
}

int cmd_network_down(struct cli *cli, int argc, char **argv)
{
	struct network w = {0};
	int status = network_open(&w, cli, argc, argv);
	for (size_t i = 0; i < w.n && status == EXIT_OK; i++) { /* all are asked before any is waited for */
		struct member *m = &w.members[i];
		if (store_is_locked(m->journal))
			look(m);
		if (m->pid > 0)
			kill(m->pid, SIGTERM);
	}
	int64_t end = now_ms() + DOWN_MS;
	for (size_t i = 0; i < w.n && status == EXIT_OK; i++)
		status = stop_member(&w, &w.members[i], end);
	if (status == EXIT_OK)
		status = print(&w, true);
	free(w.members);
	return status;
}
