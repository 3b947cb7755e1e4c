/* wire.h - ZeroMQ sockets as we want them: CURVE, bounded, never lingering. Used by transport, dialled, accepted and zap. */
#ifndef NODE_DAEMON_WIRE_H
#define NODE_DAEMON_WIRE_H

#include <zmq.h>

#include "node/daemon/config.h"

/* What one ZeroMQ message may be: a frame, CURVE's 33 bytes, and a margin. Over it ZeroMQ cuts the connection. */
#define WIRE_MESSAGE_BYTES (LIMIT_FRAME_BYTES + 33 + 512)

/* What the sockets of a node share. All borrowed. */
struct wire {
	void *ctx;
	const struct config *config;
	const struct site_keys *keys;
};

/* NULL with m filled. Each is closed with wire_close. */
void *wire_router(const struct wire *w, struct errmsg *m);
/* One try: it does not dial again by itself. buffer_bytes: of the kernel's socket, 0 for its own choice. patience_us: for TCP's handshake and
 * for CURVE's. ipv6: the endpoint is one. */
void *wire_dealer(const struct wire *w, const struct link_public *server, const struct site_keys *as, int64_t buffer_bytes, int64_t patience_us,
                  bool ipv6, struct errmsg *m);
/* A PAIR that tells of the socket's connections, handshakes and disconnections. serial: a number never used before in this context. */
void *wire_monitor(const struct wire *w, void *socket, uint64_t serial, struct errmsg *m);
/* The next event of a monitor, 0 when there is none now. Emptied in the loop always: a full one stops every socket. */
int wire_monitor_next(void *monitor);
#define WIRE_FAILED (ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

void wire_close(void *socket); /* NULL is fine */
/* The descriptor to poll. It says "look again", not "there is something": read until nothing is left, and look again
 * after each sending too. */
int wire_fd(void *socket);
/* Makes the socket see what its connections did meanwhile. */
void wire_refresh(void *socket);

/* Takes the rest of a message of several parts and drops it. */
void wire_drop_rest(void *socket);
/* Receives without waiting; false when there is nothing. Interruptions are tried again. */
bool wire_recv(void *socket, zmq_msg_t *msg);
/* Sends without waiting; 0, or errno. */
int wire_send(void *socket, struct view bytes, int flags);

/* Proves on the loopback that a stranger's key is refused; serve is called while waiting, to answer the handshakes. */
MUST_USE enum err wire_self_test(const struct wire *w, void *zap_socket, void (*serve)(void *arg), void *arg, struct errmsg *m);

#endif
