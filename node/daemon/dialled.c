#include "node/daemon/dialled.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/daemon/driver.h"
#include "node/daemon/log.h"

#define FIRST_PAUSE_US US_PER_S
#define LONGEST_PAUSE_US (30 * US_PER_S)
/* Messages of one connection in one round, so that one peer cannot keep the others waiting. */
#define DRAIN_MESSAGES 256
#define PROBE_EVERY_US (30 * US_PER_S)
#define PROBE_PATIENCE_US (5 * US_PER_S)
/* A bearer below this rate gets small kernel buffers: what lies there cannot be overtaken. */
#define SLOW_BPS 2000000
#define SLOW_BUFFER_BYTES (16 * 1024)

/* ---- bearers ------------------------------------------------------------------------------------------ */

static void take_bearers(struct dialled *d, const struct site *peer)
{
	d->n_bearers = 0;
	for (size_t i = 0; i < peer->n_bearers; i++) {
		size_t at = d->n_bearers;

		if (d->lane == LANE_BULK && !peer->bearers[i].bulk)
			continue;
		for (; at > 0 && d->bearers[at - 1].cost > peer->bearers[i].cost; at--)
			d->bearers[at] = d->bearers[at - 1];
		d->bearers[at] = peer->bearers[i];
		d->n_bearers++;
	}
}

static bool bearer_equal(const struct bearer *a, const struct bearer *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->endpoint, b->endpoint) == 0 && a->cost == b->cost &&
	       a->rate_bps == b->rate_bps && a->bulk == b->bulk;
}

bool dialled_differs(const struct dialled *d, const struct site *peer)
{
	struct dialled other = {.lane = d->lane};

	take_bearers(&other, peer);
	if (strcmp(d->key.z85, peer->link.z85) != 0 || other.n_bearers != d->n_bearers)
		return true;
	for (size_t i = 0; i < d->n_bearers; i++)
		if (!bearer_equal(&d->bearers[i], &other.bearers[i]))
			return true;
	return false;
}

static int64_t buffer_for(const struct dialled *d)
{
	int64_t rate = d->bearers[d->bearer].rate_bps;

	return rate > 0 && rate < SLOW_BPS ? SLOW_BUFFER_BYTES : d->shared->wire.config->socket_buffer_bytes;
}

/* ---- life --------------------------------------------------------------------------------------------- */

static void tell(struct dialled *d, enum event_type type)
{
	struct event ev = {.type = type};

	ev.u.link.peer = d->peer;
	ev.u.link.lane = d->lane;
	strcpy(ev.u.link.bearer, d->bearers[d->bearer].name);
	if (!inbox_add(d->shared->inbox, &ev))
		log_line(LEVEL_ERROR, "link %s %s: out of memory", d->peer_id, lane_name(d->lane));
}

static void move(struct dialled *d, enum dial_state to)
{
	enum dial_state from = d->state;

	d->state = to;
	d->since = driver_mono();
	if (to == DIAL_UP)
		d->pause_us = FIRST_PAUSE_US;
	if (to == DIAL_UP && from != DIAL_UP) {
		log_line(LEVEL_DEBUG, "link %s %s: connected over %s", d->peer_id, lane_name(d->lane), d->bearers[d->bearer].name);
		tell(d, EVENT_LINK_UP);
	} else if (from == DIAL_UP && to != DIAL_UP) {
		log_line(LEVEL_DEBUG, "link %s %s: disconnected", d->peer_id, lane_name(d->lane));
		tell(d, EVENT_LINK_DOWN);
	}
}

static void probe_end(struct dialled *d)
{
	if (d->probe >= 0)
		close(d->probe);
	d->probe = -1;
	d->probe_at = mono_add(driver_mono(), PROBE_EVERY_US);
}

static void close_sockets(struct dialled *d)
{
	if (!d->socket)
		return;
	poller_remove(d->shared->poller, &d->socket_watch);
	poller_remove(d->shared->poller, &d->monitor_watch);
	zmq_socket_monitor(d->socket, NULL, 0);
	wire_close(d->monitor);
	wire_close(d->socket);
	d->socket = d->monitor = NULL;
	probe_end(d);
}

/* Down for now; dialled_tick opens it after the pause. */
static void pause_for(struct dialled *d, int64_t pause_us)
{
	close_sockets(d);
	move(d, DIAL_CLOSED);
	d->since = mono_add(driver_mono(), pause_us);
}

static void socket_ready(void *arg, uint32_t events)
{
	(void)events;
	dialled_drain(arg);
}

/* A socket may have been exchanged by an event that came in the same round, so all is looked at anew. */
static void monitor_ready(void *arg, uint32_t events)
{
	struct dialled *d = arg;
	int event;

	(void)events;
	while (d->monitor && (event = wire_monitor_next(d->monitor)) != 0) {
		if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED && d->state != DIAL_UP) {
			wire_refresh(d->socket);
			move(d, DIAL_UP);
			dialled_drain(d);
		} else if (event == ZMQ_EVENT_DISCONNECTED && d->state == DIAL_UP) {
			move(d, DIAL_DIALLING);
		} else if (event & WIRE_FAILED) {
			if (d->pause_us == FIRST_PAUSE_US)
				log_line(LEVEL_WARNING, "link %s %s: the handshake failed (do both sides have the same roster?)", d->peer_id,
				         lane_name(d->lane));
			pause_for(d, d->pause_us);
			d->pause_us = d->pause_us * 2 < LONGEST_PAUSE_US ? d->pause_us * 2 : LONGEST_PAUSE_US;
		}
	}
}

static enum err open_sockets(struct dialled *d, struct errmsg *m)
{
	struct dial_shared *s = d->shared;
	const char *endpoint = d->bearers[d->bearer].endpoint;

	d->socket = wire_dealer(&s->wire, &d->key, s->wire.keys, buffer_for(d), strchr(endpoint, '[') != NULL, m);
	if (!d->socket)
		return ERR_INTERNAL;
	d->monitor = wire_monitor(&s->wire, d->socket, ++s->serial, m);
	if (!d->monitor)
		return ERR_INTERNAL;
	d->socket_watch = (struct watch){wire_fd(d->socket), socket_ready, d};
	d->monitor_watch = (struct watch){wire_fd(d->monitor), monitor_ready, d};
	if (zmq_connect(d->socket, endpoint) != 0)
		return err_set(m, ERR_IO, "%s: %s", endpoint, zmq_strerror(errno));
	if (poller_add(s->poller, &d->socket_watch, EPOLLIN))
		return err_set(m, ERR_IO, "epoll: %s", strerror(errno));
	if (poller_add(s->poller, &d->monitor_watch, EPOLLIN)) {
		poller_remove(s->poller, &d->socket_watch);
		return err_set(m, ERR_IO, "epoll: %s", strerror(errno));
	}
	return ERR_OK;
}

static void open_now(struct dialled *d)
{
	struct errmsg m;

	if (open_sockets(d, &m) == ERR_OK) {
		move(d, DIAL_DIALLING);
		/* a descriptor tells of changes only; what happened before it was watched is asked for once */
		wire_refresh(d->socket);
		monitor_ready(d, 0);
		return;
	}
	log_line(LEVEL_ERROR, "link %s %s: %s", d->peer_id, lane_name(d->lane), m.text);
	if (d->socket)
		zmq_socket_monitor(d->socket, NULL, 0);
	wire_close(d->monitor);
	wire_close(d->socket);
	d->socket = d->monitor = NULL;
	d->since = mono_add(driver_mono(), LONGEST_PAUSE_US);
}

void dialled_init(struct dialled *d, struct dial_shared *shared, const struct site *peer, uint8_t lane)
{
	memset(d, 0, sizeof *d);
	d->shared = shared;
	d->peer = peer->number;
	strcpy(d->peer_id, peer->id);
	d->key = peer->link;
	d->lane = lane;
	d->pause_us = FIRST_PAUSE_US;
	d->probe = -1;
	take_bearers(d, peer);
}

static void unqueue(struct dialled *d)
{
	struct dialled **at = &d->shared->again;

	while (*at && *at != d)
		at = &(*at)->next;
	if (*at)
		*at = d->next;
	d->queued = false;
}

void dialled_release(struct dialled *d)
{
	close_sockets(d);
	if (d->state != DIAL_CLOSED)
		move(d, DIAL_CLOSED);
	unqueue(d);
}

void dialled_reset(struct dialled *d)
{
	if (!d->socket)
		return; /* closed: it is pausing, and is opened anyway */
	pause_for(d, 0);
	d->bearer = (d->bearer + 1) % d->n_bearers; /* nothing came over this one */
	open_now(d);
}

/* ---- the way back to the best bearer -------------------------------------------------------------------- */

/* tcp://address:port as the roster checked it. */
static socklen_t address_of(const char *endpoint, struct sockaddr_storage *out)
{
	char host[LIMIT_ENDPOINT_BYTES + 1];
	struct sockaddr_in6 *six = (void *)out;
	struct sockaddr_in *four = (void *)out;
	char *colon;

	memset(out, 0, sizeof *out);
	snprintf(host, sizeof host, "%s", endpoint + strlen("tcp://"));
	colon = strrchr(host, ':');
	if (!colon)
		return 0;
	*colon = 0;
	four->sin_port = htons((uint16_t)atoi(colon + 1)); /* at the same place in both */
	if (host[0] != '[') {
		four->sin_family = AF_INET;
		return inet_pton(AF_INET, host, &four->sin_addr) == 1 ? sizeof *four : 0;
	}
	if (colon > host)
		colon[-1] = 0;
	six->sin6_family = AF_INET6;
	return inet_pton(AF_INET6, host + 1, &six->sin6_addr) == 1 ? sizeof *six : 0;
}

static void probe_begin(struct dialled *d)
{
	struct sockaddr_storage address;
	socklen_t size = address_of(d->bearers[0].endpoint, &address);

	probe_end(d);
	if (!size)
		return;
	d->probe = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->probe >= 0 && connect(d->probe, (struct sockaddr *)&address, size) != 0 && errno != EINPROGRESS)
		probe_end(d);
	else
		d->probe_at = mono_add(driver_mono(), PROBE_PATIENCE_US);
}

/* Connected: there is somebody at the other end's address. */
static bool probe_connected(const struct dialled *d)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof peer;

	return getpeername(d->probe, (struct sockaddr *)&peer, &size) == 0;
}

static void look_for_better(struct dialled *d, struct mono now)
{
	if (d->probe >= 0 && probe_connected(d)) {
		log_line(LEVEL_NOTICE, "link %s %s: %s answers again", d->peer_id, lane_name(d->lane), d->bearers[0].name);
		pause_for(d, 0);
		d->bearer = 0;
		open_now(d);
	} else if (!mono_before(now, d->probe_at)) {
		if (d->probe >= 0)
			probe_end(d);
		else
			probe_begin(d);
	}
}

void dialled_tick(struct dialled *d, struct mono now)
{
	int64_t patience = d->shared->wire.config->bearer_patience_us;

	if (!d->n_bearers)
		return;
	if (d->state == DIAL_CLOSED) {
		if (!mono_before(now, d->since))
			open_now(d);
	} else if (d->state == DIAL_DIALLING && d->n_bearers > 1 && !mono_before(now, mono_add(d->since, patience))) {
		pause_for(d, 0);
		d->bearer = (d->bearer + 1) % d->n_bearers;
		log_line(LEVEL_NOTICE, "link %s %s: going on over %s", d->peer_id, lane_name(d->lane), d->bearers[d->bearer].name);
		open_now(d);
	} else if (d->state == DIAL_UP && d->bearer > 0) {
		look_for_better(d, now);
	}
}

/* ---- frames ------------------------------------------------------------------------------------------- */

static void queue_again(struct dialled *d)
{
	if (d->queued)
		return;
	d->queued = true;
	d->next = d->shared->again;
	d->shared->again = d;
}

void dialled_send(struct dialled *d, struct view frame)
{
	int failed = EAGAIN;

	if (d->state == DIAL_UP && d->socket)
		failed = wire_send(d->socket, frame, 0);
	if (failed == EAGAIN && d->state == DIAL_UP && d->socket) {
		/* room that was made meanwhile is seen only after a look */
		wire_refresh(d->socket);
		failed = wire_send(d->socket, frame, 0);
	}
	if (d->state != DIAL_UP)
		d->shared->dropped_no_link++;
	else if (failed)
		d->shared->dropped_blocked++;
	if (d->socket)
		queue_again(d); /* a sending may have swallowed the descriptor's news of what came in */
}

static void receive(struct dialled *d, zmq_msg_t *msg)
{
	struct event ev = {.type = EVENT_FRAME};

	if (zmq_msg_more(msg)) {
		wire_drop_rest(d->socket);
		d->shared->dropped_malformed++;
		return;
	}
	if (zmq_msg_size(msg) > LIMIT_FRAME_BYTES) {
		d->shared->dropped_malformed++;
		return;
	}
	ev.u.frame.peer = d->peer;
	ev.u.frame.lane = d->lane;
	ev.u.frame.side = SIDE_DIALLED;
	ev.u.frame.bytes = view_of(zmq_msg_data(msg), zmq_msg_size(msg));
	if (!inbox_add(d->shared->inbox, &ev))
		d->shared->dropped_inbox_full++;
}

void dialled_drain(struct dialled *d)
{
	zmq_msg_t msg;
	int n = 0;

	if (!d->socket)
		return;
	zmq_msg_init(&msg);
	for (; n < DRAIN_MESSAGES && wire_recv(d->socket, &msg); n++)
		receive(d, &msg);
	zmq_msg_close(&msg);
	if (n == DRAIN_MESSAGES)
		queue_again(d);
}
