#include "node/daemon/transport.h"

#include <errno.h>
#include <stdlib.h>

#include "node/daemon/accepted.h"
#include "node/daemon/dialled.h"
#include "node/daemon/driver.h"
#include "node/daemon/log.h"
#include "node/daemon/zap.h"

#define SAY_DROPS_EVERY_US (60 * US_PER_S)
/* A dialled connection takes the DEALER, its monitor and the monitor's other end; room for the roster to grow. */
#define SOCKETS_PER_SITE (2 * LANE_COUNT * DIAL_SLOTS * 3)

struct peer {
	uint16_t number;
	struct dialled lane[LANE_COUNT];
};

struct transport {
	struct transport_config c;
	struct dial_shared shared;
	struct zap zap;
	struct watch zap_watch;
	bool zap_watched;
	struct accepted accepted;
	size_t n_peers;
	struct peer **peers;         /* by rising number */
	struct mono say_at;
	uint64_t said;               /* drops when they were last said */
};

/* ---- peers ---------------------------------------------------------------------------------------------- */

static struct peer *peer_find(const struct transport *t, uint16_t number)
{
	size_t low = 0, high = t->n_peers;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->peers[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low < t->n_peers && t->peers[low]->number == number ? t->peers[low] : NULL;
}

static void peer_free(struct peer *p)
{
	for (int i = 0; i < LANE_COUNT; i++)
		dialled_release(&p->lane[i]);
	free(p);
}

static struct peer *peer_new(struct transport *t, const struct site *s)
{
	struct peer *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->number = s->number;
	for (uint8_t i = 0; i < LANE_COUNT; i++)
		dialled_init(&p->lane[i], &t->shared, s, i);
	return p;
}

/* The peer as the roster has it now: an unchanged connection stays as it is. */
static struct peer *peer_update(struct transport *t, struct peer *p, const struct site *s)
{
	if (!p)
		return peer_new(t, s);
	for (uint8_t i = 0; i < LANE_COUNT; i++)
		dialled_change(&p->lane[i], s);
	return p;
}

static enum err peers_update(struct transport *t, const struct roster *r)
{
	struct peer **peers = calloc(r->n_sites, sizeof *peers);
	size_t n = 0;

	if (!peers)
		return ERR_NOMEM;
	for (size_t i = 0; i < t->n_peers; i++) {
		if (!roster_has(r, t->peers[i]->number)) {
			peer_free(t->peers[i]);
			t->peers[i] = NULL;
		}
	}
	for (size_t i = 0, old = 0; i < r->n_sites; i++) {
		struct peer *p = NULL;

		if (r->sites[i].number == t->c.self || r->sites[i].removed)
			continue;
		while (old < t->n_peers && (!t->peers[old] || t->peers[old]->number < r->sites[i].number))
			old++;
		if (old < t->n_peers && t->peers[old]->number == r->sites[i].number)
			p = t->peers[old++];
		p = peer_update(t, p, &r->sites[i]);
		if (p)
			peers[n++] = p;
		else
			log_line(LEVEL_ERROR, "link %s: out of memory", r->sites[i].id);
	}
	free(t->peers);
	t->peers = peers;
	t->n_peers = n;
	return ERR_OK;
}

/* ---- life ----------------------------------------------------------------------------------------------- */

static void serve_zap(void *arg)
{
	struct transport *t = arg;

	zap_serve(&t->zap);
}

static void zap_ready(void *arg, uint32_t events)
{
	(void)events;
	serve_zap(arg);
}

static enum err open_context(struct transport *t, struct errmsg *m)
{
	size_t sockets = t->c.roster->n_sites * SOCKETS_PER_SITE + 256;
	size_t most;

	t->shared.wire.ctx = zmq_ctx_new();
	if (!t->shared.wire.ctx)
		return err_set(m, ERR_NOMEM, "links: %s", zmq_strerror(errno));
	most = (size_t)zmq_ctx_get(t->shared.wire.ctx, ZMQ_SOCKET_LIMIT);
	if (sockets < ZMQ_MAX_SOCKETS_DFLT)
		sockets = ZMQ_MAX_SOCKETS_DFLT;
	zmq_ctx_set(t->shared.wire.ctx, ZMQ_MAX_SOCKETS, (int)(sockets < most ? sockets : most));
	zmq_ctx_set(t->shared.wire.ctx, ZMQ_BLOCKY, 0);
	return ERR_OK;
}

static void host_changed(void *arg, const char *host)
{
	struct transport *t = arg;

	for (size_t i = 0; i < t->n_peers; i++)
		for (int j = 0; j < LANE_COUNT; j++)
			dialled_address(&t->peers[i]->lane[j], host);
}

static enum err start(struct transport *t, struct errmsg *m)
{
	enum err e = open_context(t, m);

	if (!e)
		e = zap_open(&t->zap, t->shared.wire.ctx, t->c.roster, t->c.self, m);
	if (!e && t->c.config->link_self_test) {
		t->zap.quiet = true;
		e = wire_self_test(&t->shared.wire, t->zap.socket, serve_zap, t, m);
		t->zap.quiet = false;
		t->zap.refused = 0;
	}
	if (!e)
		e = resolver_open(t->c.poller, host_changed, t, &t->shared.resolver, m);
	if (e)
		return e;
	t->zap_watch = (struct watch){wire_fd(t->zap.socket), zap_ready, t};
	if (poller_add(t->c.poller, &t->zap_watch, EPOLLIN))
		return err_set(m, ERR_IO, "epoll: %s", strerror(errno));
	t->zap_watched = true;
	e = accepted_open(&t->accepted, &t->shared.wire, t->c.poller, t->c.inbox, t->c.roster, t->c.self, m);
	if (!e && peers_update(t, t->c.roster))
		e = err_set(m, ERR_NOMEM, "links: out of memory");
	if (!e) {
		serve_zap(t);
		transport_tick(t);
	}
	return e;
}

enum err transport_open(const struct transport_config *c, struct transport **out, struct errmsg *m)
{
	struct transport *t = calloc(1, sizeof *t);
	enum err e;

	*out = NULL;
	if (!t)
		return err_set(m, ERR_NOMEM, "links: out of memory");
	t->c = *c;
	t->shared.wire.config = c->config;
	t->shared.wire.keys = c->keys;
	t->shared.poller = c->poller;
	t->shared.inbox = c->inbox;
	t->shared.random = (uint64_t)driver_mono().us * 2654435761u ^ c->self;
	t->say_at = mono_add(driver_mono(), SAY_DROPS_EVERY_US);
	e = start(t, m);
	if (e)
		transport_close(t, 0);
	else
		*out = t;
	return e;
}

static void set_linger(struct transport *t, int linger_ms)
{
	for (size_t i = 0; i < t->n_peers; i++)
		for (int j = 0; j < LANE_COUNT; j++)
			dialled_linger(&t->peers[i]->lane[j], linger_ms);
	if (t->accepted.socket)
		zmq_setsockopt(t->accepted.socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
}

void transport_close(struct transport *t, int linger_ms)
{
	if (!t)
		return;
	set_linger(t, linger_ms);
	for (size_t i = 0; i < t->n_peers; i++)
		peer_free(t->peers[i]);
	free(t->peers);
	resolver_close(t->shared.resolver);
	accepted_close(&t->accepted, t->c.poller);
	if (t->zap_watched)
		poller_remove(t->c.poller, &t->zap_watch);
	zap_close(&t->zap);
	if (t->shared.wire.ctx)
		while (zmq_ctx_term(t->shared.wire.ctx) != 0 && errno == EINTR)
			;
	free(t);
}

/* ---- use ------------------------------------------------------------------------------------------------ */

void transport_roster(struct transport *t, const struct roster *roster)
{
	t->c.roster = roster;
	t->zap.roster = roster;
	accepted_roster(&t->accepted, t->c.config, roster);
	if (peers_update(t, roster))
		log_line(LEVEL_ERROR, "links: out of memory, the new roster's links are not dialled");
	transport_tick(t);
}

void transport_send(struct transport *t, uint16_t peer, uint8_t lane, uint8_t side, struct view frame)
{
	struct peer *p = peer_find(t, peer);

	if (!p || lane >= LANE_COUNT)
		t->shared.dropped_no_link++;
	else if (side == SIDE_DIALLED)
		dialled_send(&p->lane[lane], frame);
	else
		accepted_send(&t->accepted, peer, lane, frame);
}

void transport_said(struct transport *t, const struct effect *f)
{
	struct peer *p = peer_find(t, f->peer);

	if (!p || f->lane >= LANE_COUNT)
		return;
	if (f->type == EFFECT_LINK_NEED)
		dialled_need(&p->lane[f->lane], (enum dial_need)f->side);
	else if (f->type == EFFECT_LINK_RESET && f->side == LINK_SILENT)
		dialled_silent(&p->lane[f->lane]);
	else if (f->type == EFFECT_LINK_RESET)
		dialled_anew(&p->lane[f->lane]);
	else
		for (int i = 0; i < LANE_COUNT; i++)
			dialled_retry(&p->lane[i]);
}

bool transport_settle(struct transport *t)
{
	struct dialled *d = t->shared.again, *next;

	t->shared.again = NULL;
	for (; d; d = next) {
		next = d->next;
		d->queued = false;
		dialled_drain(d);
	}
	if (t->accepted.again)
		accepted_drain(&t->accepted);
	return t->shared.again || t->accepted.again;
}

static void say_drops(struct transport *t, struct mono now)
{
	const struct accepted *a = &t->accepted;
	const struct dial_shared *s = &t->shared;
	uint64_t full = a->dropped_inbox_full + s->dropped_inbox_full, malformed = a->dropped_malformed + s->dropped_malformed;
	uint64_t no_link = a->dropped_no_link + s->dropped_no_link, blocked = a->dropped_blocked + s->dropped_blocked;
	uint64_t all = full + malformed + no_link + blocked + a->dropped_no_hello;

	if (mono_before(now, t->say_at))
		return;
	t->say_at = mono_add(now, SAY_DROPS_EVERY_US);
	if (all == t->said)
		return;
	t->said = all;
	log_line(LEVEL_INFO, "frames dropped since the start, all to be sent again: %llu journal behind, %llu link gone, %llu link full, "
	         "%llu before hello, %llu malformed", (unsigned long long)full, (unsigned long long)no_link, (unsigned long long)blocked,
	         (unsigned long long)a->dropped_no_hello, (unsigned long long)malformed);
}

void transport_tick(struct transport *t)
{
	struct mono now = driver_mono();

	t->shared.due = MONO_NEVER;
	resolver_tick(t->shared.resolver, now);
	for (size_t i = 0; i < t->n_peers; i++)
		for (int j = 0; j < LANE_COUNT; j++)
			dialled_tick(&t->peers[i]->lane[j], now);
	say_drops(t, now);
}

struct mono transport_due(const struct transport *t)
{
	return t->shared.due;
}
