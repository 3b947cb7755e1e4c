#include "node/daemon/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "node/daemon/driver.h"

/* Handed to every context since 4.3.0 but not shown in the header of a release. Without it a socket whose ZAP domain is
 * set asks nobody when no handler answers. */
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif
#define DOMAIN "estafette"
/* Frames; the core's window in bytes is what bounds the queue. */
#define HIGH_WATER 1000
/* Tenths of a second in 16 bits. */
#define HEARTBEAT_TTL_MAX_MS 6553500
#define SELF_TEST_US (5 * US_PER_S)

/* Collects the first failure of many options. */
struct options {
	void *socket;
	int failed; /* errno, 0 for none */
	int option;
};

static void set(struct options *o, int option, const void *value, size_t size)
{
	if (o->failed || zmq_setsockopt(o->socket, option, value, size) == 0)
		return;
	o->failed = errno;
	o->option = option;
}

static void set_int(struct options *o, int option, int64_t value)
{
	int x = (int)value;

	set(o, option, &x, sizeof x);
}

static void set_common(struct options *o, const struct site_keys *keys)
{
	int64_t most = WIRE_MESSAGE_BYTES;

	set_int(o, ZMQ_LINGER, 0);
	set_int(o, ZMQ_SNDHWM, HIGH_WATER);
	set_int(o, ZMQ_RCVHWM, HIGH_WATER);
	set(o, ZMQ_MAXMSGSIZE, &most, sizeof most);
	set_int(o, ZMQ_TCP_KEEPALIVE, 1);
	set(o, ZMQ_CURVE_PUBLICKEY, keys->link_public.z85, sizeof keys->link_public.z85);
	set(o, ZMQ_CURVE_SECRETKEY, keys->link.z85, sizeof keys->link.z85);
}

static void set_buffer(struct options *o, int64_t bytes)
{
	if (bytes <= 0)
		return;
	set_int(o, ZMQ_SNDBUF, bytes);
	set_int(o, ZMQ_RCVBUF, bytes);
}

static void *finish(struct options *o, const char *what, struct errmsg *m)
{
	if (!o->failed)
		return o->socket;
	err_set(m, ERR_INTERNAL, "%s: option %d: %s (is libzmq built with curve?)", what, o->option, zmq_strerror(o->failed));
	wire_close(o->socket);
	return NULL;
}

static void *open_socket(const struct wire *w, int type, const char *what, struct errmsg *m)
{
	void *socket = zmq_socket(w->ctx, type);

	if (!socket)
		err_set(m, ERR_INTERNAL, "%s: %s (raise the limit of open files)", what, zmq_strerror(errno));
	return socket;
}

void *wire_router(const struct wire *w, struct errmsg *m)
{
	struct options o = {.socket = open_socket(w, ZMQ_ROUTER, "listening socket", m)};

	if (!o.socket)
		return NULL;
	set_common(&o, w->keys);
	set_buffer(&o, w->config->socket_buffer_bytes);
	set_int(&o, ZMQ_IPV6, 1);
	set_int(&o, ZMQ_ROUTER_MANDATORY, 1);
	set_int(&o, ZMQ_ROUTER_HANDOVER, 0);
	set_int(&o, ZMQ_HANDSHAKE_IVL, w->config->handshake_us / US_PER_MS);
	set_int(&o, ZMQ_CURVE_SERVER, 1);
	set(&o, ZMQ_ZAP_DOMAIN, DOMAIN, strlen(DOMAIN));
	set_int(&o, ZMQ_ZAP_ENFORCE_DOMAIN, 1);
	return finish(&o, "listening socket", m);
}

static int64_t heartbeat_ttl_ms(const struct config *c)
{
	int64_t ms = (c->heartbeat_us + c->heartbeat_timeout_us) / US_PER_MS;

	return ms < HEARTBEAT_TTL_MAX_MS ? ms : HEARTBEAT_TTL_MAX_MS;
}

void *wire_dealer(const struct wire *w, const struct link_public *server, const struct site_keys *as, int64_t buffer_bytes, int64_t patience_us,
                  bool ipv6, struct errmsg *m)
{
	const struct config *c = w->config;
	struct options o = {.socket = open_socket(w, ZMQ_DEALER, "dialling socket", m)};

	if (!o.socket)
		return NULL;
	set_common(&o, as);
	set_buffer(&o, buffer_bytes);
	set_int(&o, ZMQ_IPV6, ipv6);
	/* Only who dialled pings, and says how long its silence means that it is gone: half of the bytes of two that ping. */
	set_int(&o, ZMQ_HEARTBEAT_IVL, c->heartbeat_us / US_PER_MS);
	set_int(&o, ZMQ_HEARTBEAT_TIMEOUT, c->heartbeat_timeout_us / US_PER_MS);
	set_int(&o, ZMQ_HEARTBEAT_TTL, heartbeat_ttl_ms(c));
	set_int(&o, ZMQ_IMMEDIATE, 1);
	/* who dials gives up by itself; these are for what it forgot */
	set_int(&o, ZMQ_CONNECT_TIMEOUT, (patience_us + US_PER_S) / US_PER_MS);
	set_int(&o, ZMQ_HANDSHAKE_IVL, (patience_us + US_PER_S) / US_PER_MS);
	set_int(&o, ZMQ_TCP_MAXRT, 60000);
	set_int(&o, ZMQ_RECONNECT_IVL, -1);
	set(&o, ZMQ_CURVE_SERVERKEY, server->z85, sizeof server->z85);
	return finish(&o, "dialling socket", m);
}

void wire_close(void *socket)
{
	if (socket)
		zmq_close(socket);
}

int wire_fd(void *socket)
{
	int fd = -1;
	size_t size = sizeof fd;

	if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size) != 0)
		return -1;
	return fd;
}

void wire_refresh(void *socket)
{
	int events;
	size_t size = sizeof events;

	while (zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) != 0 && errno == EINTR)
		;
}

/* ---- messages ----------------------------------------------------------------------------------------- */

bool wire_recv(void *socket, zmq_msg_t *msg)
{
	int rc;

	do
		rc = zmq_msg_recv(msg, socket, ZMQ_DONTWAIT);
	while (rc < 0 && errno == EINTR);
	return rc >= 0;
}

void wire_drop_rest(void *socket)
{
	bool more = true;

	while (more) {
		zmq_msg_t msg;

		zmq_msg_init(&msg);
		more = wire_recv(socket, &msg) && zmq_msg_more(&msg);
		zmq_msg_close(&msg);
	}
}

int wire_send(void *socket, struct view bytes, int flags)
{
	int rc;

	do
		rc = zmq_send(socket, bytes.ptr, bytes.len, ZMQ_DONTWAIT | flags);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? errno : 0;
}

/* ---- monitors ----------------------------------------------------------------------------------------- */

void *wire_monitor(const struct wire *w, void *socket, uint64_t serial, struct errmsg *m)
{
	char name[64];
	int none = 0;
	void *monitor;

	snprintf(name, sizeof name, "inproc://monitor-%llu", (unsigned long long)serial);
	monitor = open_socket(w, ZMQ_PAIR, "monitor", m);
	if (!monitor)
		return NULL;
	if (zmq_setsockopt(monitor, ZMQ_RCVHWM, &none, sizeof none) == 0 && zmq_setsockopt(monitor, ZMQ_LINGER, &none, sizeof none) == 0 &&
	    zmq_socket_monitor(socket, name, ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | WIRE_FAILED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED) == 0 &&
	    zmq_connect(monitor, name) == 0)
		return monitor;
	err_set(m, ERR_INTERNAL, "monitor: %s", zmq_strerror(errno));
	wire_close(monitor);
	return NULL;
}

int wire_monitor_next(void *monitor)
{
	uint16_t event = 0;
	zmq_msg_t msg;
	bool more;

	zmq_msg_init(&msg);
	if (wire_recv(monitor, &msg)) {
		if (zmq_msg_size(&msg) >= sizeof event)
			memcpy(&event, zmq_msg_data(&msg), sizeof event);
		more = zmq_msg_more(&msg);
		if (more)
			wire_drop_rest(monitor);
	}
	zmq_msg_close(&msg);
	return event;
}

/* ---- the self-test -------------------------------------------------------------------------------------- */

static enum err await_refusal(void *monitor, void *zap_socket, void (*serve)(void *arg), void *arg, struct errmsg *m)
{
	struct mono end = mono_add(driver_mono(), SELF_TEST_US);

	while (mono_before(driver_mono(), end)) {
		zmq_pollitem_t items[2] = {{.socket = monitor, .events = ZMQ_POLLIN}, {.socket = zap_socket, .events = ZMQ_POLLIN}};
		int event;

		zmq_poll(items, 2, 100);
		serve(arg);
		event = wire_monitor_next(monitor);
		if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
			return ERR_OK;
		if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
			return err_set(m, ERR_AUTH, "self-test of the links: a stranger's key was admitted (do not run this build of libzmq)");
	}
	return err_set(m, ERR_TIMEOUT, "self-test of the links: no answer on the loopback within 5 s (is 127.0.0.1 up and open?)");
}

static enum err stranger_dials(const struct wire *w, void *router, void **stranger, struct errmsg *m)
{
	struct site_keys someone = {.n_sealing = 0};
	char endpoint[LIMIT_ENDPOINT_BYTES + 1];
	size_t size = sizeof endpoint;
	uint8_t seed[32];

	if (zmq_bind(router, "tcp://127.0.0.1:*") != 0 || zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0)
		return err_set(m, ERR_IO, "self-test of the links: 127.0.0.1: %s", zmq_strerror(errno));
	crypt_system_seed(seed);
	link_keypair(seed, &someone.link_public, &someone.link);
	*stranger = wire_dealer(w, &w->keys->link_public, &someone, 0, SELF_TEST_US, false, m);
	site_keys_wipe(&someone);
	if (!*stranger)
		return ERR_INTERNAL;
	if (zmq_connect(*stranger, endpoint) != 0)
		return err_set(m, ERR_IO, "self-test of the links: %s: %s", endpoint, zmq_strerror(errno));
	return ERR_OK;
}

enum err wire_self_test(const struct wire *w, void *zap_socket, void (*serve)(void *arg), void *arg, struct errmsg *m)
{
	void *router = wire_router(w, m), *monitor = NULL, *stranger = NULL;
	enum err e = ERR_INTERNAL;

	if (router)
		monitor = wire_monitor(w, router, 0, m);
	if (monitor)
		e = stranger_dials(w, router, &stranger, m);
	if (!e)
		e = await_refusal(monitor, zap_socket, serve, arg, m);
	wire_close(stranger);
	if (router)
		zmq_socket_monitor(router, NULL, 0);
	wire_close(monitor);
	wire_close(router);
	return e;
}
