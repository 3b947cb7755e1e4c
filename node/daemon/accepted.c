#include "node/daemon/accepted.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/daemon/log.h"
#include "node/daemon/resolver.h"
#include "proto/frame.h"

#define DRAIN_MESSAGES 512
/* What ZeroMQ makes for a peer that names itself nothing: a zero byte and a number of its own. */
#define ROUTING_BYTES 5

/* ---- where we listen ------------------------------------------------------------------------------------ */

struct endpoints {
	size_t n;
	char at[LIMIT_BEARERS][LIMIT_ENDPOINT_BYTES + 1];
};

/* A name leads where others find us, which need not be an address of this machine: we listen on its port on all of them, and then
 * on no single one with that port. */
static bool covered(const struct endpoints *e, const char *endpoint)
{
	char all[LIMIT_ENDPOINT_BYTES + 1];

	snprintf(all, sizeof all, "tcp://*%s", strrchr(endpoint, ':'));
	for (size_t i = 0; i < e->n; i++)
		if (strcmp(e->at[i], endpoint) == 0 || strcmp(e->at[i], all) == 0)
			return true;
	return false;
}

static void add_endpoint(struct endpoints *e, const char *endpoint)
{
	if (!covered(e, endpoint))
		snprintf(e->at[e->n++], sizeof e->at[0], "%s", endpoint);
}

static struct endpoints wanted(const struct config *c, const struct roster *roster, uint16_t self)
{
	const struct site *s = roster_site(roster, self);
	char host[LIMIT_ENDPOINT_BYTES + 1], all[LIMIT_ENDPOINT_BYTES + 1];
	struct endpoints e = {0};

	for (size_t i = 0; i < c->n_bind; i++)
		snprintf(e.at[e.n++], sizeof e.at[0], "%s", c->bind[i]);
	for (size_t i = 0; !c->n_bind && s && i < s->n_bearers; i++) {
		if (!endpoint_name(s->bearers[i].endpoint, host))
			continue;
		snprintf(all, sizeof all, "tcp://*%s", strrchr(s->bearers[i].endpoint, ':'));
		add_endpoint(&e, all);
	}
	for (size_t i = 0; !c->n_bind && s && i < s->n_bearers; i++)
		if (!endpoint_name(s->bearers[i].endpoint, host))
			add_endpoint(&e, s->bearers[i].endpoint);
	return e;
}

static enum err bind_to(struct accepted *a, const char *endpoint, struct errmsg *m)
{
	if (zmq_bind(a->socket, endpoint) != 0)
		return err_set(m, ERR_IO, "cannot listen on %s: %s (is another program there, or is it no address of this machine?)",
		               endpoint, zmq_strerror(errno));
	strcpy(a->bound[a->n_bound++], endpoint);
	log_line(LEVEL_INFO, "listening on %s", endpoint);
	return ERR_OK;
}

static bool is_bound(const struct accepted *a, const char *endpoint)
{
	for (size_t i = 0; i < a->n_bound; i++)
		if (strcmp(a->bound[i], endpoint) == 0)
			return true;
	return false;
}

static void unbind_others(struct accepted *a, const struct endpoints *e)
{
	for (size_t i = a->n_bound; i-- > 0;) {
		size_t j = 0;

		while (j < e->n && strcmp(e->at[j], a->bound[i]) != 0)
			j++;
		if (j < e->n)
			continue;
		zmq_unbind(a->socket, a->bound[i]);
		log_line(LEVEL_INFO, "no longer listening on %s", a->bound[i]);
		memmove(a->bound[i], a->bound[i + 1], (a->n_bound - i - 1) * sizeof a->bound[0]);
		a->n_bound--;
	}
}

/* ---- routes --------------------------------------------------------------------------------------------- */

/* The first route whose id is not below id. */
static size_t route_at(const struct accepted *a, uint32_t id)
{
	size_t low = 0, high = a->n_routes;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (a->routes[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct route *route_find(struct accepted *a, uint32_t id)
{
	size_t i = route_at(a, id);

	return i < a->n_routes && a->routes[i].id == id ? &a->routes[i] : NULL;
}

/* Few are added in a day, and read at each frame that goes out: a walk is enough for a site's peers. */
static struct route *route_of(struct accepted *a, uint16_t peer, uint8_t lane)
{
	for (size_t i = 0; i < a->n_routes; i++)
		if (a->routes[i].peer == peer && a->routes[i].lane == lane)
			return &a->routes[i];
	return NULL;
}

static void route_remove(struct accepted *a, struct route *r)
{
	size_t i = (size_t)(r - a->routes);

	memmove(r, r + 1, (a->n_routes - i - 1) * sizeof *r);
	a->n_routes--;
}

static struct route *route_add(struct accepted *a, uint32_t id, const struct site *peer, uint8_t lane)
{
	struct route *old = route_of(a, peer->number, lane), *grown;
	size_t i;

	if (old)
		route_remove(a, old);
	if (a->n_routes == a->cap_routes) {
		grown = realloc(a->routes, (a->cap_routes * 2 + 16) * sizeof *grown);
		if (!grown)
			return NULL;
		a->routes = grown;
		a->cap_routes = a->cap_routes * 2 + 16;
	}
	i = route_at(a, id);
	memmove(a->routes + i + 1, a->routes + i, (a->n_routes - i) * sizeof *a->routes);
	a->n_routes++;
	a->routes[i] = (struct route){.id = id, .peer = peer->number, .lane = lane};
	strcpy(a->routes[i].key, peer->link.z85);
	return &a->routes[i];
}

/* ---- frames in ------------------------------------------------------------------------------------------ */

static bool parse_routing(zmq_msg_t *msg, uint32_t *id)
{
	const uint8_t *p = zmq_msg_data(msg);

	if (zmq_msg_size(msg) != ROUTING_BYTES || p[0] != 0)
		return false;
	memcpy(id, p + 1, sizeof *id);
	return true;
}

/* A HELLO makes the connection its peer's; *r is NULL when it does not hold. */
static void greet(struct accepted *a, uint32_t id, const char *key, struct view bytes, struct route **r)
{
	const struct site *peer = roster_site_by_link(a->roster, key);
	struct route *before = *r;
	struct frame f;

	*r = NULL;
	if (!peer || peer->number == a->self || frame_decode(bytes, &f) || f.type != FRAME_HELLO)
		return;
	if (f.u.hello.site != peer->number || f.u.hello.lane >= LANE_COUNT)
		return;
	if (before && before->peer == peer->number && before->lane == f.u.hello.lane)
		*r = before;
	else if (!before) /* a connection does not change its lane */
		*r = route_add(a, id, peer, f.u.hello.lane);
}

static void take_frame(struct accepted *a, uint32_t id, zmq_msg_t *msg)
{
	struct view bytes = view_of(zmq_msg_data(msg), zmq_msg_size(msg));
	const char *key = zmq_msg_gets(msg, "User-Id");
	struct route *r = route_find(a, id);
	struct event ev = {.type = EVENT_FRAME};

	if (!key || bytes.len < 2 || bytes.len > LIMIT_FRAME_BYTES) {
		a->dropped_malformed++;
		return;
	}
	if (r && strcmp(r->key, key) != 0)
		r = NULL;
	if (bytes.ptr[1] == FRAME_HELLO)
		greet(a, id, key, bytes, &r);
	if (!r) {
		a->dropped_no_hello++;
		return;
	}
	ev.u.frame.peer = r->peer;
	ev.u.frame.lane = r->lane;
	ev.u.frame.side = SIDE_ACCEPTED;
	ev.u.frame.bytes = bytes;
	if (!inbox_add(a->inbox, &ev))
		a->dropped_inbox_full++;
}

/* One message: the routing id and one frame. Anything else is dropped whole. */
static bool receive(struct accepted *a)
{
	zmq_msg_t route, frame;
	uint32_t id;
	bool any;

	zmq_msg_init(&route);
	zmq_msg_init(&frame);
	any = wire_recv(a->socket, &route);
	if (any && zmq_msg_more(&route) && wire_recv(a->socket, &frame)) {
		if (zmq_msg_more(&frame)) {
			wire_drop_rest(a->socket);
			a->dropped_malformed++;
		} else if (parse_routing(&route, &id)) {
			take_frame(a, id, &frame);
		} else {
			a->dropped_malformed++;
		}
	}
	zmq_msg_close(&frame);
	zmq_msg_close(&route);
	return any;
}

void accepted_drain(struct accepted *a)
{
	int n = 0;

	while (n < DRAIN_MESSAGES && receive(a))
		n++;
	a->again = n == DRAIN_MESSAGES;
}

/* ---- frames out ----------------------------------------------------------------------------------------- */

void accepted_send(struct accepted *a, uint16_t peer, uint8_t lane, struct view frame)
{
	struct route *r = route_of(a, peer, lane);
	uint8_t id[ROUTING_BYTES] = {0};
	int failed;

	if (!r) {
		a->dropped_no_link++;
		return;
	}
	memcpy(id + 1, &r->id, sizeof r->id);
	failed = wire_send(a->socket, view_of(id, sizeof id), ZMQ_SNDMORE);
	if (!failed)
		failed = wire_send(a->socket, frame, 0);
	if (failed == EHOSTUNREACH) {
		route_remove(a, r);
		a->dropped_no_link++;
	} else if (failed) {
		a->dropped_blocked++;
	}
	a->again = true; /* a sending may have swallowed the descriptor's news of what came in */
}

/* ---- life ----------------------------------------------------------------------------------------------- */

static void socket_ready(void *arg, uint32_t events)
{
	(void)events;
	accepted_drain(arg);
}

enum err accepted_open(struct accepted *a, const struct wire *w, struct poller *poller, struct inbox *inbox,
                       const struct roster *roster, uint16_t self, struct errmsg *m)
{
	struct endpoints e = wanted(w->config, roster, self);
	enum err failed = ERR_OK;

	memset(a, 0, sizeof *a);
	a->inbox = inbox;
	a->roster = roster;
	a->self = self;
	a->socket = wire_router(w, m);
	if (!a->socket)
		return ERR_INTERNAL;
	for (size_t i = 0; !failed && i < e.n; i++)
		failed = bind_to(a, e.at[i], m);
	a->watch = (struct watch){wire_fd(a->socket), socket_ready, a};
	if (!failed && poller_add(poller, &a->watch, EPOLLIN))
		failed = err_set(m, ERR_IO, "epoll: %s", strerror(errno));
	if (failed) {
		wire_close(a->socket);
		a->socket = NULL;
	}
	a->again = true;
	return failed;
}

void accepted_close(struct accepted *a, struct poller *poller)
{
	if (!a->socket)
		return;
	poller_remove(poller, &a->watch);
	wire_close(a->socket);
	free(a->routes);
	memset(a, 0, sizeof *a);
}

void accepted_roster(struct accepted *a, const struct config *c, const struct roster *roster)
{
	struct endpoints e = wanted(c, roster, a->self);
	struct errmsg m;

	a->roster = roster;
	for (size_t i = a->n_routes; i-- > 0;) {
		const struct site *s = roster_site(roster, a->routes[i].peer);

		if (!s || strcmp(s->link.z85, a->routes[i].key) != 0)
			route_remove(a, &a->routes[i]);
	}
	unbind_others(a, &e);
	for (size_t i = 0; i < e.n; i++)
		if (!is_bound(a, e.at[i]) && bind_to(a, e.at[i], &m))
			log_line(LEVEL_ERROR, "%s", m.text);
}
