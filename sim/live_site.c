/* live_site.c - the daemons of a live drill: what each needs to begin, its life, and what a drill does to it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/live_int.h"
#include "sim/netns.h"

#define TRY_US (20 * US_PER_MS)
#define START_MOST_US (60 * US_PER_S)  /* a daemon that does not answer by then is given up */
#define RESTART_US (5 * US_PER_S)      /* as the service manager */
#define STOP_MOST_US (10 * US_PER_S)
#define SUN_PATH_MOST 107
#define KEY_TEXT_BYTES 4096
#define MINISIG_BYTES 600

static const char *id_of(const struct live_run *r, size_t site)
{
	return r->roster->sites[site].id;
}

/* ---- what lies in the folder ------------------------------------------------------------------------------------- */

enum err roster_give(struct live_run *r, const struct roster *roster, struct errmsg *m)
{
	char path[PATH_MAX + 32], comment[160], signature[MINISIG_BYTES];
	struct buf text = BUF_EMPTY;

	snprintf(comment, sizeof comment, "estafette roster of %s, serial %u", roster->network, roster->serial);
	enum err e = roster_format(roster, &text);

	if (!e)
		e = minisign_sign(&r->secret, buf_view(&text), comment, signature, sizeof signature);
	if (e)
		err_set(m, e, "live: the roster cannot be signed: %s", err_text(e));
	snprintf(path, sizeof path, "%s/roster.conf", r->folder.path);
	if (!e)
		e = live_write(path, 0644, buf_view(&text), m);
	snprintf(path, sizeof path, "%s/roster.conf.minisig", r->folder.path);
	if (!e)
		e = live_write(path, 0644, view_str(signature), m);
	buf_release(&text);
	return e;
}

static enum err authority_make(struct live_run *r, struct errmsg *m)
{
	char path[PATH_MAX + 32], text[400];
	uint8_t seed[32], id[32];

	crypt_system_seed(seed);
	crypt_system_seed(id);
	sign_keypair(seed, &r->authority.key, &r->secret.key);
	memcpy(r->authority.key_id, id, sizeof r->authority.key_id);
	memcpy(r->secret.key_id, id, sizeof r->secret.key_id);
	crypt_wipe(seed, sizeof seed);
	minisign_public_format(&r->authority, text, sizeof text);
	snprintf(path, sizeof path, "%s/authority.pub", r->folder.path);
	return live_write(path, 0644, view_str(text), m);
}

static enum err keys_make(struct live_run *r, struct site *s, const struct daemon *d, struct errmsg *m)
{
	char path[PATH_MAX + 32], text[KEY_TEXT_BYTES];
	struct site_keys k;
	uint8_t seed[32];

	crypt_system_seed(seed);
	site_keys_make(seed, s->id, r->roster->network, &k);
	s->identity = k.identity_public;
	s->link = k.link_public;
	s->sealing = k.sealing[0].pub;
	sealing_key_sign(&k.identity, s->number, &s->sealing, &s->sealing_signature);
	snprintf(path, sizeof path, "%s/keys", d->folder);
	enum err e = site_keys_format(&k, text, sizeof text);

	e = e ? err_set(m, e, "live: the keys of %s do not fit a file", s->id) : live_write(path, 0600, view_str(text), m);
	site_keys_wipe(&k);
	crypt_wipe(seed, sizeof seed);
	crypt_wipe(text, sizeof text);
	return e;
}

/* Every bearer that one of its links has; to whom it does not lead nobody listens there. */
static void bearers_make(struct live_run *r, size_t i)
{
	const struct drill *d = r->plan.timed;
	struct site *s = &r->roster->sites[i];

	s->n_bearers = 0;
	for (size_t b = 0; b < d->n_bearers; b++) {
		bool used = false;
		char address[PROXY_ADDRESS_BYTES];

		for (size_t l = 0; l < d->n_links; l++)
			for (size_t k = 0; k < d->links[l].n_bearers && (d->links[l].a == i || d->links[l].b == i); k++)
				used = used || d->links[l].bearers[k] == b;
		if (!used)
			continue;
		struct bearer *to = &s->bearers[s->n_bearers++];

		*to = (struct bearer){.cost = d->bearers[b].cost, .rate_bps = d->bearers[b].rate_bps, .bulk = !d->bearers[b].no_bulk};
		memcpy(to->name, d->bearers[b].name, sizeof to->name);
		proxy_address((int)b, s->number, address);
		snprintf(to->endpoint, sizeof to->endpoint, "tcp://%s:%d", address, PROXY_PORT);
	}
	if (s->n_bearers == 0) { /* it has no link at all, and must listen somewhere */
		s->bearers[s->n_bearers++] = (struct bearer){.name = "none", .cost = 10, .bulk = true};
		snprintf(s->bearers[0].endpoint, sizeof s->bearers[0].endpoint, "tcp://127.200.0.1:%d", PROXY_PORT);
	}
}

/* What an administrator would set for such lines: the handshake takes six latencies, and what is slow is not dead. */
static int64_t patience_s(const struct drill *d)
{
	int64_t worst = 0;

	for (size_t i = 0; i < d->n_bearers; i++)
		if (d->bearers[i].delay_us + d->bearers[i].jitter_us > worst)
			worst = d->bearers[i].delay_us + d->bearers[i].jitter_us;
	return 5 + 12 * worst / US_PER_S;
}

/* Leases go with the timetable: what a desk that crashed had must come back within it. */
static enum err conf_make(const struct live_run *r, size_t i, struct errmsg *m)
{
	const struct daemon *d = &r->daemons[i];
	char path[PATH_MAX + 32], text[PATH_MAX + 400];

	snprintf(path, sizeof path, "%s/node.conf", d->folder);
	snprintf(text, sizeof text, "# A live drill's: estafette-sim live.\nsite = \"%s\";\nroster = \"../roster.conf\";\nauthority = \"../authority.pub\";\n"
		 "keys = \"keys\";\njournal = \"journal\";\nsocket = \"socket\";\nbearer_patience = \"%llds\";\nhandshake = \"%llds\";\n%s", id_of(r, i),
		 (long long)patience_s(r->plan.timed), 5 + (long long)patience_s(r->plan.timed), r->plan.speed > 1 ? "lease = \"30s\";\n" : "");
	return live_write(path, 0600, view_str(text), m);
}

static enum err journal_make(struct live_run *r, size_t i, struct errmsg *m)
{
	char path[PATH_MAX + 32];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	struct store_birth birth = {.site = r->roster->sites[i].number, .how = BIRTH_FRESH, .network = r->roster->network_hash,
				    .born = {(int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000}};
	struct store_options options = {0};

	memcpy(birth.site_id, id_of(r, i), sizeof birth.site_id);
	snprintf(path, sizeof path, "%s/journal", r->daemons[i].folder);
	return store_create(path, &birth, &options, m);
}

static enum err site_make(struct live_run *r, size_t i, struct errmsg *m)
{
	struct daemon *d = &r->daemons[i];

	if ((size_t)snprintf(d->folder, sizeof d->folder, "%.3000s/%s", r->folder.path, id_of(r, i)) + sizeof "/socket" > SUN_PATH_MOST)
		return err_set(m, ERR_TOO_LARGE, "live: %.300s: too long for the path of a socket (set TMPDIR to a shorter folder)", d->folder);
	snprintf(d->socket, sizeof d->socket, "%.3900s/socket", d->folder);
	if (mkdir(d->folder, 0700) != 0)
		return err_set(m, ERR_IO, "live: %.300s: it cannot be made: %s", d->folder, strerror(errno));
	enum err e = netns_new(r->home, &r->places[i], m);

	d->place = r->places[i];
	r->numbers[i] = r->roster->sites[i].number;
	bearers_make(r, i);
	if (!e)
		e = keys_make(r, &r->roster->sites[i], d, m);
	if (!e)
		e = journal_make(r, i, m);
	return e ? e : conf_make(r, i, m);
}

enum err sites_make(struct live_run *r, struct errmsg *m)
{
	enum err e = authority_make(r, m);

	r->roster->network_hash = roster_network_hash(r->roster->network, &r->authority);
	for (size_t i = 0; i < r->n && !e; i++)
		e = site_make(r, i, m);
	r->roster->has_keys = true;
	if (!r->roster->serial)
		r->roster->serial = 1;
	return e ? e : roster_give(r, r->roster, m);
}

/* ---- processes -------------------------------------------------------------------------------------------------------- */

/* In the child. It ends with its parent, whatever ends that. */
static void become_daemon(const struct live_run *r, const struct daemon *d, pid_t parent)
{
	char program[PATH_MAX + 32], path[PATH_MAX + 32];
	sigset_t none;

	snprintf(path, sizeof path, "%s/log", d->folder);
	int in = open("/dev/null", O_RDONLY), log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

	sigemptyset(&none);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || in < 0 || log < 0 || dup2(in, 0) != 0 || dup2(log, 1) != 1 || dup2(log, 2) != 2)
		_exit(126);
	setsid(); /* Ctrl-C is for the drill, which ends its daemons itself */
	if (!netns_enter(d->place)) {
		dprintf(2, "live: its network namespace: %s\n", strerror(errno));
		_exit(126);
	}
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(path, sizeof path, "%s/node.conf", d->folder);
	snprintf(program, sizeof program, "%.4000s/estafetted", r->how->bin);
	execl(program, "estafetted", "-c", path, (char *)NULL);
	dprintf(2, "%s: %s\n", program, strerror(errno));
	_exit(127);
}

static bool daemon_start(struct live_run *r, struct daemon *d)
{
	pid_t parent = getpid();

	if (d->is != DAEMON_DOWN)
		return true;
	d->start_at = 0;
	proxy_site_dark(r->proxy, (size_t)(d - r->daemons), false);
	fflush(NULL);
	d->pid = fork();
	if (d->pid == 0)
		become_daemon(r, d, parent);
	if (d->pid < 0) {
		d->pid = 0;
		d->start_at = live_clock_us() + RESTART_US;
		return true;
	}
	/* What it begins with is read from the disk again, not from what this process had mapped. */
	store_close(d->store);
	d->store = NULL;
	d->is = DAEMON_STARTING;
	d->stopping = d->paused = d->hup = false;
	d->try_at = live_clock_us() + TRY_US;
	d->give_up_at = live_clock_us() + START_MOST_US;
	return true;
}

static struct store *daemon_store(struct live_run *r, struct daemon *d)
{
	struct store_options options = {.read_only = true};
	char path[PATH_MAX + 32];
	struct errmsg m;

	(void)r;
	snprintf(path, sizeof path, "%s/journal", d->folder);
	if (!d->store && d->is != DAEMON_STARTING && store_open(path, &options, &d->store, &m))
		d->store = NULL; /* it is just being made: there is nothing to read yet */
	return d->store;
}

static struct store *body_store(void *arg, size_t site)
{
	struct live_run *r = arg;

	return daemon_store(r, &r->daemons[site]);
}

/* Its process is gone: the last that its journal got is seen, then everybody is told. */
static void daemon_gone(struct live_run *r, struct daemon *d, const char *why)
{
	size_t site = (size_t)(d - r->daemons);

	d->is = DAEMON_DOWN;
	d->pid = 0;
	d->paused = false;
	lines_drop(r, site);
	if (r->closing)
		return;
	world_looked(r->world);
	world_site_became(r->world, site, SITE_DOWN, why);
	for (size_t k = 0; k < r->n; k++)
		if (r->bearers[site * r->n + k] >= 0) {
			r->bearers[site * r->n + k] = -1;
			world_conn_became(r->world, site, k, -1);
		}
}

/* Killed at once. Nothing when it is down. */
static void daemon_kill(struct live_run *r, struct daemon *d, const char *why)
{
	if (!d->pid)
		return;
	kill(d->pid, SIGKILL);
	while (waitpid(d->pid, NULL, 0) < 0 && errno == EINTR)
		;
	daemon_gone(r, d, why);
}

static void daemon_stop(struct live_run *r, struct daemon *d)
{
	if (d->paused) {
		daemon_kill(r, d, "stopped while it stood still");
	} else if (d->pid) {
		d->stopping = true;
		kill(d->pid, SIGTERM);
	}
}

/* The last line of its log. */
static void log_tail(const struct daemon *d, char *out, size_t size)
{
	char path[PATH_MAX + 32], text[2048];

	snprintf(path, sizeof path, "%s/log", d->folder);
	snprintf(out, size, "its log is empty");
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

	snprintf(out, size, "%.*s", (int)size - 1, line ? line + 1 : text);
}

/* It ended without being asked: that is told, judged in the end, and mended as the service manager does. */
static void daemon_fell(struct live_run *r, struct daemon *d, int status)
{
	char why[200], tail[120];

	log_tail(d, tail, sizeof tail);
	snprintf(why, sizeof why, "it ended by itself (%s %d): %s", WIFSIGNALED(status) ? "signal" : "status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), tail);
	if (!r->fell++)
		snprintf(r->fell_text, sizeof r->fell_text, "%.40s: %.150s", id_of(r, (size_t)(d - r->daemons)), why);
	d->start_at = live_clock_us() + RESTART_US;
	daemon_gone(r, d, why);
}

static void daemon_look(struct live_run *r, struct daemon *d, int64_t now)
{
	int status;

	if (d->pid && waitpid(d->pid, &status, WNOHANG) == d->pid) {
		if (d->stopping)
			daemon_gone(r, d, "stopped");
		else
			daemon_fell(r, d, status);
	}
	if (d->is == DAEMON_DOWN && d->start_at && now >= d->start_at && !r->closing)
		daemon_start(r, d);
	if (d->is != DAEMON_STARTING || now < d->try_at)
		return;
	d->try_at = now + TRY_US;
	if (line_try(d)) {
		d->is = DAEMON_UP;
		if (d->hup)
			kill(d->pid, SIGHUP);
		world_site_became(r->world, (size_t)(d - r->daemons), SITE_UP, "");
	} else if (now > d->give_up_at) {
		daemon_kill(r, d, "it does not answer");
		d->start_at = now + RESTART_US;
	}
}

void sites_look(struct live_run *r)
{
	int64_t now = live_clock_us();

	for (size_t i = 0; i < r->n; i++)
		daemon_look(r, &r->daemons[i], now);
}

enum err sites_start(struct live_run *r, struct errmsg *m)
{
	int64_t end = live_clock_us() + START_MOST_US;
	size_t up = 0;

	for (size_t i = 0; i < r->n; i++)
		daemon_start(r, &r->daemons[i]);
	while (up < r->n) {
		up = 0;
		sites_look(r);
		for (size_t i = 0; i < r->n; i++)
			up += r->daemons[i].is == DAEMON_UP;
		if (r->fell || (up < r->n && live_clock_us() > end))
			return err_set(m, ERR_IO, "live: the daemons do not start: %s", r->fell ? r->fell_text : "no answer within a minute (is the machine overloaded?)");
		if (r->how->conduct.interrupted && *r->how->conduct.interrupted)
			return err_set(m, ERR_IO, "live: interrupted while the daemons started");
		proxy_work(r->proxy, (struct mono){live_clock_us()});
		usleep(2000);
	}
	return ERR_OK;
}

void sites_stop(struct live_run *r)
{
	int64_t end = live_clock_us() + STOP_MOST_US;
	bool any = true;

	r->closing = true;
	for (size_t i = 0; i < r->n; i++)
		daemon_stop(r, &r->daemons[i]);
	while (any) {
		any = false;
		for (size_t i = 0; i < r->n; i++) {
			struct daemon *d = &r->daemons[i];

			if (d->pid && live_clock_us() > end)
				daemon_kill(r, d, "stopped");
			else if (d->pid && waitpid(d->pid, NULL, WNOHANG) == d->pid)
				daemon_gone(r, d, "stopped");
			any = any || d->pid;
		}
		if (r->proxy)
			proxy_work(r->proxy, (struct mono){live_clock_us()});
		usleep(2000);
	}
}

void sites_release(struct live_run *r)
{
	for (size_t i = 0; r->daemons && i < r->n; i++) {
		struct daemon *d = &r->daemons[i];

		if (d->pid) {
			kill(d->pid, SIGKILL);
			waitpid(d->pid, NULL, 0);
		}
		store_close(d->store);
		if (r->places[i] >= 0)
			close(r->places[i]);
	}
	free(r->daemons);
	free(r->places);
	free(r->numbers);
	crypt_wipe(&r->secret, sizeof r->secret);
}

/* ---- what a drill does to it ------------------------------------------------------------------------------------------ */

/* Runs `estafette ARGUMENTS` to its end. The lines stand still meanwhile. */
static bool command(const struct live_run *r, const char *what, const char *first, const char *second)
{
	char program[PATH_MAX + 32];
	int status;

	snprintf(program, sizeof program, "%.4000s/estafette", r->how->bin);
	fflush(NULL);
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(null, 0);
		dup2(null, 1);
		execl(program, "estafette", what, first, second, (char *)NULL);
		_exit(127);
	}
	if (pid < 0)
		return false;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void journal_drop(struct daemon *d)
{
	char path[PATH_MAX + 32];

	store_close(d->store);
	d->store = NULL;
	snprintf(path, sizeof path, "%s/journal", d->folder);
	live_remove(path);
}

static bool back_up(struct live_run *r, struct daemon *d)
{
	char conf[PATH_MAX + 32], file[PATH_MAX + 32];

	snprintf(conf, sizeof conf, "%s/node.conf", d->folder);
	snprintf(file, sizeof file, "%s/backup", d->folder);
	live_remove(file);
	d->has_backup = command(r, "backup", conf, file);
	if (!d->has_backup)
		fprintf(stderr, "estafette-sim: live: %s could not be backed up\n", id_of(r, (size_t)(d - r->daemons)));
	return d->has_backup;
}

static bool put_back(struct live_run *r, struct daemon *d)
{
	char conf[PATH_MAX + 32], file[PATH_MAX + 32];

	if (!d->has_backup)
		return false;
	snprintf(conf, sizeof conf, "%s/node.conf", d->folder);
	snprintf(file, sizeof file, "%s/backup", d->folder);
	daemon_kill(r, d, "restored from a backup");
	journal_drop(d);
	if (!command(r, "restore", file, conf))
		fprintf(stderr, "estafette-sim: live: %s could not be restored\n", id_of(r, (size_t)(d - r->daemons)));
	return true;
}

static bool body_act(void *arg, size_t site, enum body_act act)
{
	struct live_run *r = arg;
	struct daemon *d = &r->daemons[site];

	switch (act) {
	case BODY_START: return daemon_start(r, d);
	case BODY_STOP: daemon_stop(r, d); return true;
	case BODY_KILL: daemon_kill(r, d, "crash"); return true;
	case BODY_POWER_CUT:
		proxy_site_dark(r->proxy, site, true);
		daemon_kill(r, d, "power");
		return true;
	case BODY_PAUSE:
	case BODY_RESUME:
		d->paused = act == BODY_PAUSE;
		if (d->pid)
			kill(d->pid, d->paused ? SIGSTOP : SIGCONT);
		return true;
	case BODY_LOSE_DISK:
		daemon_kill(r, d, "disk lost");
		journal_drop(d);
		return true;
	case BODY_BACKUP: return back_up(r, d);
	case BODY_RESTORE: return put_back(r, d);
	}
	return false;
}

static void body_roster(void *arg, const struct roster *roster)
{
	struct live_run *r = arg;
	struct errmsg m;

	if (roster_give(r, roster, &m)) {
		fprintf(stderr, "estafette-sim: %s\n", m.text);
		return;
	}
	for (size_t i = 0; i < r->n; i++) {
		struct daemon *d = &r->daemons[i];

		d->hup = d->is == DAEMON_STARTING; /* before it listens for signals one would end it */
		if (d->is == DAEMON_UP)
			kill(d->pid, SIGHUP);
	}
}

static void body_link_changed(void *arg, size_t link)
{
	struct live_run *r = arg;
	struct errmsg m;

	if (r->shaper && shaper_link(r->shaper, link, &m))
		r->unshaped = m;
	proxy_link_changed(r->proxy, link);
}

static void body_link_reset(void *arg, size_t link)
{
	proxy_link_reset(((struct live_run *)arg)->proxy, link);
}

static int body_bearer(void *arg, size_t a, size_t b)
{
	const struct live_run *r = arg;

	return r->bearers[a * r->n + b];
}

struct world_body sites_body(struct live_run *r)
{
	return (struct world_body){.arg = r, .act = body_act, .link_changed = body_link_changed, .link_reset = body_link_reset, .bearer = body_bearer,
				   .store = body_store, .roster = body_roster, .client_open = line_open, .client_close = line_close, .request = line_request};
}
