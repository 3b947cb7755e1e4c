#include "node/daemon/net.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "node/daemon/clients.h"
#include "node/daemon/driver.h"
#include "node/daemon/inbox.h"
#include "node/daemon/log.h"
#include "node/daemon/poller.h"
#include "node/daemon/transport.h"
#include "proto/order.h"

/* From a signal to the end: what clients and peers are still told has to go out in this time. */
#define DRAIN_US (2 * US_PER_S)
#define LINGER_MS 200
#define TICK_US US_PER_S

struct net {
	struct config config;
	const struct site_keys *keys;
	struct roster *roster;
	struct minisign_public authority;
	uint16_t self;
	struct poller poller;
	struct watch wake_watch, signal_watch;
	struct inbox *inbox;
	struct driver *driver;
	struct clients *clients;
	struct transport *transport;
	struct mono next_tick, next_ping, drain_end;
	int64_t ping_every_us;   /* 0: systemd keeps no watch */
	uint64_t seen_progress;
	bool stopping, reload;
};

static void signals_of_the_loop(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

void net_block_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signals_of_the_loop(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* ---- effects ------------------------------------------------------------------------------------------------ */

static void roster_in_force(struct net *n, struct view blob);

static void perform(struct net *n, const struct effects *e, const struct effect *f)
{
	struct view bytes = effect_bytes(e, f);

	switch (f->type) {
	case EFFECT_FRAME:
		transport_send(n->transport, f->peer, f->lane, f->side, bytes);
		break;
	case EFFECT_LINK_RESET:
	case EFFECT_LINK_NEED:
	case EFFECT_LINK_RETRY:
		transport_said(n->transport, f);
		break;
	case EFFECT_REPLY:
		clients_reply(n->clients, f->client, bytes);
		break;
	case EFFECT_CLIENT_CLOSE:
		clients_end(n->clients, f->client);
		break;
	case EFFECT_ROSTER:
		roster_in_force(n, bytes);
		break;
	case EFFECT_LOG:
		log_line(f->level, "%.*s", (int)bytes.len, (const char *)bytes.ptr);
		break;
	}
}

static void perform_all(struct net *n)
{
	struct parcel *p, *next;

	for (p = driver_parcels(n->driver); p; p = next) {
		next = p->next;
		for (size_t i = 0; i < p->effects.n; i++)
			perform(n, &p->effects, &p->effects.list[i]);
		driver_give_back(n->driver, p);
	}
}

static void wake_ready(void *arg, uint32_t events)
{
	struct net *n = arg;
	uint64_t count;

	(void)events;
	if (read(n->wake_watch.fd, &count, sizeof count) < 0)
		return;
	perform_all(n);
	clients_resume(n->clients);
}

/* ---- a new configuration and roster -------------------------------------------------------------------------- */

/* What takes effect at the next start only is said. */
static void say_fixed(const struct config *old, const struct config *new)
{
	if (strcmp(old->journal, new->journal) != 0 || strcmp(old->socket, new->socket) != 0 || strcmp(old->keys, new->keys) != 0 ||
	    old->quota_bytes != new->quota_bytes || old->queue_bytes != new->queue_bytes || old->commit_batch != new->commit_batch ||
	    old->lease_us != new->lease_us || old->keep_bodies_us != new->keep_bodies_us || old->keep_headers_us != new->keep_headers_us ||
	    old->keep_exercise_bodies_us != new->keep_exercise_bodies_us || old->keep_exercise_headers_us != new->keep_exercise_headers_us ||
	    old->keep_unread_us != new->keep_unread_us || old->scrub_us != new->scrub_us || old->window_urgent_bytes != new->window_urgent_bytes ||
	    old->window_bulk_bytes != new->window_bulk_bytes || old->probe_us != new->probe_us)
		log_line(LEVEL_NOTICE, "reload: journal, socket, keys, sizes and times change at the next start only");
}

/* ERR_EXISTS: the roster in force stays. One that came from a peer may be newer than the file. */
static enum err check_newer(const struct net *n, const struct config *c, const struct roster *r, struct errmsg *m)
{
	if (!hash_equal(&r->network_hash, &n->roster->network_hash))
		return err_set(m, ERR_CONFLICT, "%s: it is of another network or authority", c->roster);
	if (r->serial == n->roster->serial && hash_equal(&r->hash, &n->roster->hash))
		return ERR_EXISTS;
	if (r->serial == n->roster->serial)
		return err_set(m, ERR_CONFLICT, "%s: serial %u is in use with other content (sign it with a higher serial)", c->roster, r->serial);
	if (r->serial < n->roster->serial) {
		log_line(LEVEL_WARNING, "reload: %s: serial %u is below %u, which is in force and stays so (sign it with a higher serial)", c->roster,
		         r->serial, n->roster->serial);
		return ERR_EXISTS;
	}
	return ERR_OK;
}

static enum err load_roster(const struct net *n, const struct config *c, struct roster **out, struct errmsg *m)
{
	enum err e = config_load_roster(c, out, m);

	return e ? e : check_newer(n, c, *out, m);
}

/* Dictionaries that the roster names may lie beside it; those that do not come from peers. The core checks them. */
static void offer_dictionaries(struct net *n, const struct roster *r)
{
	for (size_t i = 0; i < r->n_dictionaries; i++) {
		char path[CONFIG_PATH_BYTES + 32];
		struct buf bytes = BUF_EMPTY;
		struct event ev = {.type = EVENT_STATE, .u.state.kind = STATE_KIND_DICTIONARY};
		struct errmsg m;

		config_dictionary_path(&n->config, &r->dictionaries[i], path, sizeof path);
		if (access(path, F_OK) == 0) {
			if (config_read_whole(path, LIMIT_DICTIONARY_BYTES, &bytes, &m))
				log_line(LEVEL_WARNING, "%s", m.text);
			ev.u.state.bytes = buf_view(&bytes);
			if (bytes.len && !inbox_add(n->inbox, &ev))
				log_line(LEVEL_WARNING, "%s: out of memory", path);
		}
		buf_release(&bytes);
	}
}

/* The core takes it over, and says so when it is in the journal (EFFECT_ROSTER). */
static enum err take_roster(struct net *n, struct roster **r, struct errmsg *m)
{
	struct event ev = {.type = EVENT_ROSTER};

	ev.u.roster.roster = *r;
	if (!inbox_add(n->inbox, &ev))
		return err_set(m, ERR_NOMEM, "out of memory");
	offer_dictionaries(n, *r);
	*r = NULL; /* transferred */
	return ERR_OK;
}

/* Another roster is in force: from a file, or from a peer. */
static void roster_in_force(struct net *n, struct view blob)
{
	struct roster *r = NULL;
	struct errmsg m;

	if (roster_blob_open(blob, &n->authority, &r, &m)) {
		log_line(LEVEL_ERROR, "%s", m.text);
		return;
	}
	transport_roster(n->transport, r);
	roster_free(n->roster);
	n->roster = r; /* transferred */
	log_line(LEVEL_NOTICE, "roster: serial %u is in force, %zu sites", r->serial, r->n_sites);
	offer_dictionaries(n, r);
}

static enum err take_assist(struct net *n, const struct config *old, struct errmsg *m)
{
	const struct config *c = &n->config;
	struct event ev = {.type = EVENT_ASSIST, .u.assist = {(int)c->assist_waiting, (int)c->assist_stop, c->assist_oldest_us}};

	if (c->assist_waiting == old->assist_waiting && c->assist_oldest_us == old->assist_oldest_us && c->assist_stop == old->assist_stop)
		return ERR_OK;
	if (!inbox_add(n->inbox, &ev))
		return err_set(m, ERR_NOMEM, "out of memory");
	if (c->assist_waiting || c->assist_oldest_us)
		log_line(LEVEL_NOTICE, "reload: a part of a queue is lent when over %lld messages wait or one waits over %lld s, down to %lld (0: not for that reason)",
		         (long long)c->assist_waiting, (long long)(c->assist_oldest_us / US_PER_S), (long long)c->assist_stop);
	else
		log_line(LEVEL_NOTICE, "reload: nothing is lent by itself");
	return ERR_OK;
}

static void reload(struct net *n)
{
	struct roster *roster = NULL;
	struct config *c = malloc(sizeof *c);
	struct errmsg m;
	enum err e;

	n->reload = false;
	if (!c)
		return;
	sd_notify(0, "RELOADING=1");
	e = config_load(n->config.file, c, &m);
	if (!e && strcmp(c->site, n->config.site) != 0)
		e = err_set(&m, ERR_CONFLICT, "%s: site: this node is %s (another site is another node)", c->file, n->config.site);
	if (!e)
		e = load_roster(n, c, &roster, &m);
	if (!e || e == ERR_EXISTS) {
		struct config old = n->config;
		enum err same = e;

		say_fixed(&old, c);
		n->config = *c; /* in place: clients and links look at it through their pointer */
		log_set_level(n->config.log_level);
		e = take_assist(n, &old, &m);
		if (!e && !same)
			e = take_roster(n, &roster, &m);
		else if (!e)
			offer_dictionaries(n, n->roster); /* a file may have been put there, or mended */
	}
	if (e)
		log_line(LEVEL_ERROR, "reload: %s; nothing was changed", m.text);
	else
		log_line(LEVEL_NOTICE, "reload: done");
	sd_notify(0, "READY=1\nSTATUS=running");
	roster_free(roster);
	free(c);
}

/* ---- signals, time ------------------------------------------------------------------------------------------- */

static void stop(struct net *n, int signo)
{
	if (n->stopping)
		return;
	log_line(LEVEL_NOTICE, "%s: the node ends in good order", signo == SIGINT ? "SIGINT" : "SIGTERM");
	sd_notify(0, "STOPPING=1");
	n->stopping = true;
	n->drain_end = mono_add(driver_mono(), DRAIN_US);
	clients_stop(n->clients);
	inbox_stop(n->inbox);
}

static void signal_ready(void *arg, uint32_t events)
{
	struct net *n = arg;
	struct signalfd_siginfo info;

	(void)events;
	while (read(n->signal_watch.fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGHUP)
			n->reload = true;
		else
			stop(n, (int)info.ssi_signo);
	}
}

/* systemd is told that all is well only while the journal thread goes on as well. */
static void ping(struct net *n, struct mono now)
{
	uint64_t progress = driver_progress(n->driver);

	if (!n->ping_every_us || mono_before(now, n->next_ping) || progress == n->seen_progress)
		return;
	n->seen_progress = progress;
	n->next_ping = mono_add(now, n->ping_every_us);
	sd_notify(0, "WATCHDOG=1");
}

static void tick(struct net *n)
{
	struct mono now = driver_mono();

	if (!mono_before(now, mono_min(n->next_tick, transport_due(n->transport))))
		transport_tick(n->transport);
	if (mono_before(now, n->next_tick))
		return;
	n->next_tick = mono_add(now, TICK_US);
	clients_tick(n->clients);
	ping(n, now);
}

static int timeout_ms(const struct net *n, bool more)
{
	int64_t us = mono_min(n->next_tick, transport_due(n->transport)).us - driver_mono().us;

	if (more || us <= 0)
		return 0;
	if (n->stopping)
		return 10;
	return (int)(us / US_PER_MS) + 1;
}

/* All that was said is out, or there is no more time for it. */
static bool ended(struct net *n)
{
	if (!n->stopping)
		return false;
	if (!mono_before(driver_mono(), n->drain_end))
		return true;
	if (!driver_finished(n->driver))
		return false;
	perform_all(n);
	clients_flush(n->clients);
	transport_settle(n->transport);
	return clients_idle(n->clients);
}

static void loop(struct net *n)
{
	bool more = true;

	while (!ended(n)) {
		poller_wait(&n->poller, timeout_ms(n, more));
		if (n->reload && !n->stopping)
			reload(n);
		more = transport_settle(n->transport);
		clients_settle(n->clients);
		tick(n);
		inbox_kick(n->inbox);
	}
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static enum err watch_fd(struct net *n, struct watch *w, int fd, void (*ready)(void *arg, uint32_t events), const char *what,
                         struct errmsg *m)
{
	*w = (struct watch){fd, ready, n};
	if (fd < 0 || poller_add(&n->poller, w, EPOLLIN))
		return err_set(m, ERR_IO, "%s: %s", what, strerror(errno));
	return ERR_OK;
}

static enum err open_loop(struct net *n, struct errmsg *m)
{
	sigset_t set;
	enum err e;

	signals_of_the_loop(&set);
	if (poller_open(&n->poller))
		return err_set(m, ERR_IO, "epoll: %s", strerror(errno));
	e = watch_fd(n, &n->wake_watch, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), wake_ready, "eventfd", m);
	if (!e)
		e = watch_fd(n, &n->signal_watch, signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), signal_ready, "signalfd", m);
	if (!e && inbox_new(n->config.queue_bytes, n->wake_watch.fd, &n->inbox))
		e = err_set(m, ERR_NOMEM, "out of memory");
	return e;
}

static enum err open_all(struct net *n, const struct net_config *c, struct errmsg *m)
{
	struct transport_config t = {.config = &n->config, .keys = n->keys, .roster = n->roster, .self = n->self,
	                             .poller = &n->poller};
	struct driver_config d = {.core = c->core, .store = c->store, .commit_batch = (size_t)n->config.commit_batch};
	enum err e = open_loop(n, m);

	if (e)
		return e;
	t.inbox = d.inbox = n->inbox;
	d.wake_fd = n->wake_watch.fd;
	/* the socket first: its file says that another program is in our place before a port does */
	e = clients_open(&n->config, &n->poller, n->inbox, &n->clients, m);
	if (!e)
		e = transport_open(&t, &n->transport, m);
	if (!e && driver_start(&d, &n->driver))
		e = err_set(m, ERR_NOMEM, "cannot start a thread");
	return e;
}

static void close_all(struct net *n)
{
	clients_close(n->clients);
	transport_close(n->transport, n->driver ? LINGER_MS : 0);
	driver_join(n->driver);
	inbox_free(n->inbox);
	if (n->wake_watch.fd >= 0)
		close(n->wake_watch.fd);
	if (n->signal_watch.fd >= 0)
		close(n->signal_watch.fd);
	poller_close(&n->poller);
	roster_free(n->roster);
}

static void say_ready(struct net *n)
{
	uint64_t watchdog_us = 0;

	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		n->ping_every_us = (int64_t)watchdog_us / 3;
	n->next_ping = n->next_tick = driver_mono();
	log_line(LEVEL_NOTICE, "ready: site %s, network %s, roster serial %u, %zu sites", n->config.site, n->roster->network,
	         n->roster->serial, n->roster->n_sites);
	sd_notify(0, "READY=1\nSTATUS=running");
}

int net_run(const struct net_config *c)
{
	struct net *n = calloc(1, sizeof *n);
	const struct site *self;
	struct errmsg m;
	int status = 1;

	if (!n) {
		roster_free(c->roster);
		log_line(LEVEL_ERROR, "out of memory");
		return 1;
	}
	n->config = *c->config;
	n->keys = c->keys;
	n->roster = c->roster;
	n->authority = *c->authority;
	n->poller.fd = n->wake_watch.fd = n->signal_watch.fd = -1;
	self = roster_site_by_id(n->roster, view_str(n->config.site));
	n->self = self ? self->number : 0; /* main checked that it is there */
	if (open_all(n, c, &m) == ERR_OK) {
		offer_dictionaries(n, n->roster);
		say_ready(n);
		loop(n);
		status = 0;
	} else {
		log_line(LEVEL_ERROR, "%s", m.text);
	}
	close_all(n);
	free(n);
	return status;
}
