#include "node/daemon/dialled.h"

#include <errno.h>
#include <stdlib.h>

#include "node/daemon/driver.h"
#include "node/daemon/log.h"

/* Messages of one connection in one round, so that one peer cannot keep the others waiting. */
#define DRAIN_MESSAGES 256
/* A bearer below this rate gets small kernel buffers: what lies there cannot be overtaken. */
#define SLOW_BPS 2000000
#define SLOW_BUFFER_BYTES (16 * 1024)

static void settle(struct dialled *d);

/* ---- bearers ------------------------------------------------------------------------------------------ */

static size_t take_bearers(const struct site *peer, uint8_t lane, struct bearer out[LIMIT_BEARERS], int costs[LIMIT_BEARERS])
{
	size_t n = 0;

	for (size_t i = 0; i < peer->n_bearers; i++) {
		size_t at = n;

		if (lane == LANE_BULK && !peer->bearers[i].bulk)
			continue;
		for (; at > 0 && out[at - 1].cost > peer->bearers[i].cost; at--)
			out[at] = out[at - 1];
		out[at] = peer->bearers[i];
		n++;
	}
	for (size_t i = 0; i < n; i++)
		costs[i] = out[i].cost;
	return n;
}

static int64_t buffer_for(const struct dialled *d, size_t bearer)
{
	int64_t rate = d->bearers[bearer].rate_bps;

	return rate > 0 && rate < SLOW_BPS ? SLOW_BUFFER_BYTES : d->shared->wire.config->socket_buffer_bytes;
}

/* ---- what the core hears ------------------------------------------------------------------------------- */

static void tell(struct dialled *d, const struct event *ev)
{
	if (!inbox_add(d->shared->inbox, ev))
		log_line(LEVEL_ERROR, "link %s %s: out of memory", d->peer_id, lane_name(d->lane));
}

static void tell_link(struct dialled *d, enum event_type type)
{
	struct event ev = {.type = type};

	ev.u.link.peer = d->peer;
	ev.u.link.lane = d->lane;
	ev.u.link.round_us = d->dial.bearer[d->up_bearer].shaken_us / 3;
	strcpy(ev.u.link.bearer, d->bearers[d->up_bearer].name);
	tell(d, &ev);
}

static void say_down(struct dialled *d)
{
	if (!d->up)
		return;
	d->up = false;
	log_line(LEVEL_DEBUG, "link %s %s: disconnected", d->peer_id, lane_name(d->lane));
	tell_link(d, EVENT_LINK_DOWN);
}

static void say_up(struct dialled *d)
{
	d->up = true;
	d->refusal_said = false;
	d->up_bearer = d->dial.slot[DIAL_MAIN].bearer;
	log_line(LEVEL_DEBUG, "link %s %s: connected over %s", d->peer_id, lane_name(d->lane), d->bearers[d->up_bearer].name);
	tell_link(d, EVENT_LINK_UP);
}

static void say_bearers(struct dialled *d)
{
	struct event ev = {.type = EVENT_BEARER};
	size_t i;

	while (dial_news(&d->dial, &i)) {
		ev.u.bearer = (struct bearer_news){.peer = d->peer, .lane = d->lane, .index = (uint8_t)i, .count = (uint8_t)d->dial.n,
		                                   .cost = d->bearers[i].cost, .rate_bps = d->bearers[i].rate_bps, .why = d->dial.bearer[i].why};
		strcpy(ev.u.bearer.name, d->bearers[i].name);
		if (d->dial.n > 1)
			log_line(LEVEL_DEBUG, "link %s %s: %s is %s", d->peer_id, lane_name(d->lane), d->bearers[i].name,
			         dial_why_name(d->dial.bearer[i].why));
		tell(d, &ev);
	}
}

/* ---- calls --------------------------------------------------------------------------------------------- */

static struct call *call_of(struct dialled *d, enum dial_slot slot)
{
	return &d->call[d->at[slot]];
}

static void call_close(struct call *c)
{
	if (c->socket) {
		poller_remove(c->of->shared->poller, &c->socket_watch);
		poller_remove(c->of->shared->poller, &c->monitor_watch);
		zmq_socket_monitor(c->socket, NULL, 0);
		wire_close(c->monitor);
		wire_close(c->socket);
	}
	c->socket = c->monitor = NULL;
	c->serial = 0;
}

static void socket_ready(void *arg, uint32_t events)
{
	struct call *c = arg;

	(void)events;
	if (c == call_of(c->of, DIAL_MAIN))
		dialled_drain(c->of);
	else
		wire_refresh(c->socket); /* what comes before the core knows of the connection is nobody's */
}

static void refused(struct dialled *d, size_t bearer)
{
	if (!d->refusal_said)
		log_line(LEVEL_WARNING, "link %s %s: the handshake over %s failed (do both sides have the same roster?)", d->peer_id,
		         lane_name(d->lane), d->bearers[bearer].name);
	d->refusal_said = true;
}

/* A call that is not open any more, or never was. */
static void ended(struct dialled *d, enum dial_slot slot, int event)
{
	const struct dial_try *t = &d->dial.slot[slot];
	enum dial_why why = t->state == DIAL_OPEN ? WHY_LOST : event & WIRE_FAILED ? WHY_REFUSED : WHY_NO_ANSWER;

	if (why == WHY_REFUSED)
		refused(d, t->bearer);
	else if (why == WHY_NO_ANSWER)
		resolver_failed(d->shared->resolver, d->bearers[t->bearer].endpoint);
	dial_failed(&d->dial, slot, why, driver_mono());
}

/* The slot whose call this is and whose try it still makes; -1 when the machine has gone on. */
static int slot_of(const struct call *c)
{
	for (int s = 0; s < DIAL_SLOTS; s++)
		if (&c->of->call[c->of->at[s]] == c && c->serial && c->of->dial.slot[s].serial == c->serial)
			return s;
	return -1;
}

static void monitor_event(struct call *c, int slot, int event)
{
	struct dialled *d = c->of;
	enum dial_state state = d->dial.slot[slot].state;

	if (event == ZMQ_EVENT_CONNECTED && state == DIAL_OPENING) {
		dial_reached(&d->dial, slot, driver_mono());
	} else if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED && state == DIAL_OPENING) {
		wire_refresh(c->socket);
		dial_opened(&d->dial, slot, driver_mono());
	} else if (event == ZMQ_EVENT_DISCONNECTED || event == ZMQ_EVENT_CLOSED || (event & WIRE_FAILED)) {
		ended(d, slot, event);
	}
}

/* What an event does may close this call, or open others. */
static void monitor_ready(void *arg, uint32_t events)
{
	struct call *c = arg;
	int event, slot;

	(void)events;
	while (c->monitor && (slot = slot_of(c)) >= 0 && (event = wire_monitor_next(c->monitor)) != 0) {
		monitor_event(c, slot, event);
		settle(c->of);
	}
	if (c == call_of(c->of, DIAL_MAIN) && c->of->up)
		dialled_drain(c->of);
}

static enum err open_sockets(struct call *c, size_t bearer, const char *endpoint, int64_t patience_us, struct errmsg *m)
{
	struct dialled *d = c->of;
	struct dial_shared *s = d->shared;

	c->socket = wire_dealer(&s->wire, &d->key, s->wire.keys, buffer_for(d, bearer), patience_us, strchr(endpoint, '[') != NULL, m);
	if (!c->socket)
		return ERR_INTERNAL;
	c->monitor = wire_monitor(&s->wire, c->socket, ++s->serial, m);
	if (!c->monitor)
		return ERR_INTERNAL;
	c->socket_watch = (struct watch){wire_fd(c->socket), socket_ready, c};
	c->monitor_watch = (struct watch){wire_fd(c->monitor), monitor_ready, c};
	if (zmq_connect(c->socket, endpoint) != 0)
		return err_set(m, ERR_IO, "%s: %s", endpoint, zmq_strerror(errno));
	if (poller_add(s->poller, &c->socket_watch, EPOLLIN))
		return err_set(m, ERR_IO, "epoll: %s", strerror(errno));
	if (poller_add(s->poller, &c->monitor_watch, EPOLLIN)) {
		poller_remove(s->poller, &c->socket_watch);
		return err_set(m, ERR_IO, "epoll: %s", strerror(errno));
	}
	return ERR_OK;
}

static void call_open(struct dialled *d, enum dial_slot slot)
{
	const struct dial_try *t = &d->dial.slot[slot];
	struct call *c = call_of(d, slot);
	char endpoint[LIMIT_ENDPOINT_BYTES + 1];
	struct errmsg m;

	c->serial = t->serial;
	if (!resolver_endpoint(d->shared->resolver, d->bearers[t->bearer].endpoint, endpoint)) {
		dial_failed(&d->dial, slot, WHY_NO_ADDRESS, driver_mono());
		return;
	}
	strcpy(d->address[t->bearer], endpoint);
	if (open_sockets(c, t->bearer, endpoint, t->patience_us, &m) == ERR_OK) {
		/* a descriptor tells of changes only; what happened before it was watched is asked for once */
		wire_refresh(c->socket);
		wire_refresh(c->monitor);
		monitor_ready(c, 0);
		return;
	}
	log_line(LEVEL_ERROR, "link %s %s: %s", d->peer_id, lane_name(d->lane), m.text);
	if (c->socket)
		zmq_socket_monitor(c->socket, NULL, 0);
	wire_close(c->monitor);
	wire_close(c->socket);
	c->socket = c->monitor = NULL;
	dial_failed(&d->dial, slot, WHY_NO_ANSWER, driver_mono());
}

/* ---- doing what the machine says ------------------------------------------------------------------------ */

/* False when a call was opened: the machine may have gone on at once. */
static bool slot_sync(struct dialled *d, enum dial_slot slot)
{
	uint32_t serial = d->dial.slot[slot].serial;
	uint8_t other = d->at[!slot];

	if (call_of(d, slot)->serial == serial)
		return true;
	if (slot == DIAL_MAIN)
		say_down(d);
	call_close(call_of(d, slot));
	if (slot == DIAL_MAIN && serial && d->call[other].serial == serial) {
		d->at[DIAL_SPARE] = d->at[DIAL_MAIN];
		d->at[DIAL_MAIN] = other;
		return false;
	}
	if (!serial)
		return true;
	call_open(d, slot);
	return false;
}

/* A try that fails at once leads to the next one, and after a round there is a pause; so this ends. */
static void settle(struct dialled *d)
{
	if (d->settling)
		return;
	d->settling = true;
	do
		dial_tick(&d->dial, driver_mono());
	while (!slot_sync(d, DIAL_MAIN) || !slot_sync(d, DIAL_SPARE));
	say_bearers(d);
	if (d->dial.slot[DIAL_MAIN].state == DIAL_OPEN && !d->up) {
		say_up(d);
		dialled_drain(d);
	}
	d->shared->due = mono_min(d->shared->due, dial_due(&d->dial));
	d->settling = false;
}

void dialled_tick(struct dialled *d, struct mono now)
{
	if (!mono_before(now, dial_due(&d->dial)))
		settle(d);
	d->shared->due = mono_min(d->shared->due, dial_due(&d->dial));
}

void dialled_silent(struct dialled *d)
{
	if (d->up && d->dial.n > 1)
		log_line(LEVEL_NOTICE, "link %s %s: nothing comes back over %s", d->peer_id, lane_name(d->lane), d->bearers[d->up_bearer].name);
	dial_silent(&d->dial, driver_mono());
	settle(d);
}

void dialled_anew(struct dialled *d)
{
	if (d->dial.slot[DIAL_MAIN].state == DIAL_OPEN)
		dial_failed(&d->dial, DIAL_MAIN, WHY_LOST, driver_mono());
	settle(d);
}

void dialled_need(struct dialled *d, enum dial_need need)
{
	dial_need(&d->dial, need, driver_mono());
	settle(d);
}

void dialled_retry(struct dialled *d)
{
	dial_retry(&d->dial, driver_mono());
	settle(d);
}

void dialled_address(struct dialled *d, const char *host)
{
	char name[LIMIT_ENDPOINT_BYTES + 1], endpoint[LIMIT_ENDPOINT_BYTES + 1];

	for (size_t i = 0; i < d->dial.n; i++) {
		bool open = d->dial.slot[DIAL_MAIN].state == DIAL_OPEN && d->dial.slot[DIAL_MAIN].bearer == i;

		/* a connection that works is left alone, wherever the name leads now */
		if (!open && endpoint_name(d->bearers[i].endpoint, name) && strcmp(name, host) == 0 &&
		    resolver_endpoint(d->shared->resolver, d->bearers[i].endpoint, endpoint) && strcmp(endpoint, d->address[i]) != 0)
			dial_address(&d->dial, i, driver_mono());
	}
	settle(d);
}

/* ---- life ----------------------------------------------------------------------------------------------- */

void dialled_init(struct dialled *d, struct dial_shared *shared, const struct site *peer, uint8_t lane)
{
	int costs[LIMIT_BEARERS];
	size_t n;

	memset(d, 0, sizeof *d);
	d->shared = shared;
	d->peer = peer->number;
	strcpy(d->peer_id, peer->id);
	d->key = peer->link;
	d->lane = lane;
	for (uint8_t i = 0; i < DIAL_SLOTS; i++) {
		d->call[i].of = d;
		d->at[i] = i;
	}
	n = take_bearers(peer, lane, d->bearers, costs);
	shared->random = shared->random * 6364136223846793005u + 1442695040888963407u;
	dial_init(&d->dial, costs, n, shared->wire.config->bearer_patience_us, shared->random, driver_mono());
	dial_pauses(&d->dial, shared->wire.config->reconnect_us, shared->wire.config->reconnect_max_us);
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
	say_down(d);
	for (int i = 0; i < DIAL_SLOTS; i++)
		call_close(&d->call[i]);
	unqueue(d);
}

static bool same_way(const struct bearer *a, const struct bearer *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->endpoint, b->endpoint) == 0 && a->rate_bps == b->rate_bps;
}

void dialled_change(struct dialled *d, const struct site *peer)
{
	struct bearer list[LIMIT_BEARERS];
	char address[LIMIT_BEARERS][LIMIT_ENDPOINT_BYTES + 1];
	int costs[LIMIT_BEARERS], was[LIMIT_BEARERS];
	size_t n = take_bearers(peer, d->lane, list, costs), in_use = SIZE_MAX;
	bool same = n == d->dial.n;

	if (strcmp(d->key.z85, peer->link.z85) != 0) {
		struct dial_shared *shared = d->shared;

		dialled_release(d);
		dialled_init(d, shared, peer, d->lane);
		return;
	}
	memcpy(address, d->address, sizeof address);
	for (size_t i = 0; i < n; i++) {
		was[i] = -1;
		d->address[i][0] = 0;
		for (size_t k = 0; k < d->dial.n; k++)
			if (same_way(&list[i], &d->bearers[k])) {
				was[i] = (int)k;
				memcpy(d->address[i], address[k], sizeof d->address[i]);
				if (d->up && d->up_bearer == k)
					in_use = i;
			}
		same = same && was[i] == (int)i && list[i].cost == d->bearers[i].cost;
	}
	if (same)
		return;
	if (in_use == SIZE_MAX)
		say_down(d); /* under its old name */
	else
		d->up_bearer = (uint8_t)in_use;
	memcpy(d->bearers, list, n * sizeof *list);
	dial_change(&d->dial, costs, was, n, driver_mono());
	settle(d);
}

void dialled_linger(struct dialled *d, int linger_ms)
{
	struct call *c = call_of(d, DIAL_MAIN);

	if (c->socket)
		zmq_setsockopt(c->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
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
	void *socket = d->up ? call_of(d, DIAL_MAIN)->socket : NULL;
	int failed = EAGAIN;

	if (socket)
		failed = wire_send(socket, frame, 0);
	if (failed == EAGAIN && socket) {
		/* room that was made meanwhile is seen only after a look */
		wire_refresh(socket);
		failed = wire_send(socket, frame, 0);
	}
	if (!socket)
		d->shared->dropped_no_link++;
	else if (failed)
		d->shared->dropped_blocked++;
	if (socket)
		queue_again(d); /* a sending may have swallowed the descriptor's news of what came in */
}

static void receive(struct dialled *d, void *socket, zmq_msg_t *msg)
{
	struct event ev = {.type = EVENT_FRAME};

	if (zmq_msg_more(msg)) {
		wire_drop_rest(socket);
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
	void *socket = d->up ? call_of(d, DIAL_MAIN)->socket : NULL;
	zmq_msg_t msg;
	int n = 0;

	if (!socket)
		return;
	zmq_msg_init(&msg);
	for (; n < DRAIN_MESSAGES && wire_recv(socket, &msg); n++)
		receive(d, socket, &msg);
	zmq_msg_close(&msg);
	if (n == DRAIN_MESSAGES)
		queue_again(d);
}
