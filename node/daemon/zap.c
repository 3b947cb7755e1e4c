#include "node/daemon/zap.h"

#include <errno.h>

#include "node/daemon/log.h"
#include "node/daemon/wire.h"

#define ENDPOINT "inproc://zeromq.zap.01"
/* The parts of a CURVE request: version, request id, domain, address, routing id, mechanism, key. */
enum { PART_VERSION, PART_REQUEST, PART_DOMAIN, PART_ADDRESS, PART_ROUTING, PART_MECHANISM, PART_KEY, PARTS };

enum err zap_open(struct zap *z, void *ctx, const struct roster *roster, uint16_t self, struct errmsg *m)
{
	int none = 0;

	*z = (struct zap){.roster = roster, .self = self};
	z->socket = zmq_socket(ctx, ZMQ_REP);
	if (z->socket && zmq_setsockopt(z->socket, ZMQ_LINGER, &none, sizeof none) == 0 && zmq_bind(z->socket, ENDPOINT) == 0)
		return ERR_OK;
	return err_set(m, ERR_INTERNAL, "authentication of links: %s", zmq_strerror(errno));
}

void zap_close(struct zap *z)
{
	wire_close(z->socket);
	z->socket = NULL;
}

/* Reads one request whole, whatever its number of parts; returns that number, 0 when none waits. */
static size_t read_request(void *socket, zmq_msg_t parts[PARTS])
{
	size_t n = 0;
	bool more = true;

	while (more && n < PARTS) {
		if (!wire_recv(socket, &parts[n]))
			return n;
		more = zmq_msg_more(&parts[n++]);
	}
	if (more)
		wire_drop_rest(socket);
	return more ? PARTS + 1 : n;
}

static struct view part_view(zmq_msg_t *part)
{
	return view_of(zmq_msg_data(part), zmq_msg_size(part));
}

/* The site whose link key asks, NULL when it may not. */
static const struct site *admitted(const struct zap *z, zmq_msg_t parts[PARTS], size_t n)
{
	const struct site *s;
	char z85[41];

	if (n != PARTS || !view_equal(part_view(&parts[PART_MECHANISM]), view_str("CURVE")) || zmq_msg_size(&parts[PART_KEY]) != 32)
		return NULL;
	if (!zmq_z85_encode(z85, zmq_msg_data(&parts[PART_KEY]), 32))
		return NULL;
	s = roster_site_by_link(z->roster, z85);
	return s && s->number != z->self ? s : NULL;
}

static void answer(struct zap *z, zmq_msg_t *request, const struct site *s)
{
	wire_send(z->socket, view_str("1.0"), ZMQ_SNDMORE);
	wire_send(z->socket, part_view(request), ZMQ_SNDMORE);
	wire_send(z->socket, view_str(s ? "200" : "300"), ZMQ_SNDMORE);
	wire_send(z->socket, view_str(s ? "known" : "this key is not in the roster"), ZMQ_SNDMORE);
	wire_send(z->socket, view_str(s ? s->link.z85 : ""), ZMQ_SNDMORE);
	wire_send(z->socket, view_str(""), 0);
}

static bool serve_one(struct zap *z)
{
	zmq_msg_t parts[PARTS];
	const struct site *s;
	size_t n;

	for (size_t i = 0; i < PARTS; i++)
		zmq_msg_init(&parts[i]);
	n = read_request(z->socket, parts);
	if (n) {
		s = admitted(z, parts, n);
		answer(z, &parts[PART_REQUEST], s);
		if (!s && z->refused++ % 1000 == 0 && !z->quiet)
			log_line(LEVEL_WARNING, "link: a key that is not in the roster was refused, from %.*s (%llu so far)",
			         n > PART_ADDRESS ? (int)zmq_msg_size(&parts[PART_ADDRESS]) : 0,
			         n > PART_ADDRESS ? (const char *)zmq_msg_data(&parts[PART_ADDRESS]) : "", (unsigned long long)z->refused);
	}
	for (size_t i = 0; i < PARTS; i++)
		zmq_msg_close(&parts[i]);
	return n > 0;
}

void zap_serve(struct zap *z)
{
	while (serve_one(z))
		;
}
