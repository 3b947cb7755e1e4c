#include "sim/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/netns.h"
#include "sim/shape.h"

#define EVENTS 256
/* Pieces read of one connection in one round, so that none keeps the others waiting. */
#define ROUND_PIECES 8
/* What the kernel keeps for us on a slow line; what lies there cannot be overtaken. */
#define SLOW_BPS 20000000
#define SLOW_BUFFER_BYTES 4096
#define SHAPED_BUFFER_LEAST 8192
#define SHAPED_BUFFER_US (200 * US_PER_MS)
/* What is on its way at most, beyond what the bearer holds by its rate and latency. */
#define SHAPED_AHEAD_BYTES 65536

/* What an event of epoll is about: a listener, or one end of a connection. */
struct handle { struct passage *conn; struct listener *listener; int side; };

struct listener { struct handle handle; int fd; size_t link; uint8_t bearer; int dialler; };

struct piece { struct piece *next; struct mono at; size_t len, sent; uint8_t bytes[]; };

/* One direction of a connection: 0 from who dialled, 1 back to it. */
struct half {
	struct piece *first, **last;
	size_t queued;
	struct shape_flow flow;
	bool blocked;       /* the other end's socket is full */
	bool dry;           /* nothing to read until epoll says so */
};

enum conn_is { CONN_HELD, CONN_DIALLED, CONN_OPEN };
struct passage {
	struct passage *next, *prev;
	struct handle handle[2];
	int epoll;
	enum conn_is is;
	size_t link;
	uint8_t bearer;
	int dialler;        /* 0: the link's a */
	int fd[2];          /* [0] to who dialled; -1: that end is gone, or not there yet */
	uint32_t polled[2];
	bool failed, dead;  /* it ended with an error; to be freed */
	bool hung_up[2];    /* nothing more comes from there than what can be read now */
	struct half half[2];
};

struct proxy {
	struct proxy_config c;
	int epoll;
	size_t n_listeners;
	struct listener *listeners;
	struct shape *shapes; /* of link, bearer, way */
	struct passage *conns;
	bool *dark;
	struct prng prng;
	struct mono now;
	struct proxy_counts counts;
};

/* ---- where, and whether it passes ------------------------------------------------------------------------------- */

void proxy_address(int bearer, uint16_t site, char out[PROXY_ADDRESS_BYTES])
{
	snprintf(out, PROXY_ADDRESS_BYTES, "127.%d.%u.%u", bearer + 1, site >> 8, site & 255u);
}

struct in_addr proxy_in_addr(int bearer, uint16_t site)
{
	return (struct in_addr){htonl(127u << 24 | (uint32_t)(bearer + 1) << 16 | site)};
}

static struct sockaddr_in address_of(const struct proxy *p, size_t link, size_t bearer, size_t site, uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port),
				    .sin_addr = proxy_in_addr(p->c.bearer_number(p->c.arg, link, bearer), p->c.numbers[site])};
}

static const struct link *link_of(const struct proxy *p, const struct passage *c)
{
	return p->c.link(p->c.arg, c->link);
}

/* The site at a side: 0 who dialled, 1 who was dialled. */
static size_t site_at(const struct proxy *p, const struct passage *c, int side)
{
	const struct link *l = link_of(p, c);

	return (c->dialler == 0) == (side == 0) ? l->config.a : l->config.b;
}

static bool passes(const struct proxy *p, const struct passage *c, int dir)
{
	return link_passes(link_of(p, c), c->bearer, dir == 0 ? c->dialler : !c->dialler) && !p->dark[site_at(p, c, 0)] && !p->dark[site_at(p, c, 1)];
}

static const struct bearer_state *bearer_of(const struct proxy *p, const struct passage *c)
{
	return &link_of(p, c)->bearer[c->bearer];
}

static struct shape *shape_of(struct proxy *p, const struct passage *c, int dir)
{
	return &p->shapes[(c->link * LIMIT_BEARERS + c->bearer) * 2 + (size_t)(dir == 0 ? c->dialler : !c->dialler)];
}

/* ---- life of a connection ------------------------------------------------------------------------------------------ */

static void poll_for(struct proxy *p, struct passage *c, int side, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = &c->handle[side]};

	if (c->fd[side] < 0 || c->polled[side] == events || c->hung_up[side])
		return;
	epoll_ctl(p->epoll, c->polled[side] == UINT32_MAX ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd[side], &e);
	c->polled[side] = events;
}

/* An end: gone with a reset, or in good order. */
static void end_close(struct passage *c, int side, bool reset)
{
	struct linger now = {.l_onoff = 1};

	if (c->fd[side] < 0)
		return;
	if (reset)
		setsockopt(c->fd[side], SOL_SOCKET, SO_LINGER, &now, sizeof now);
	/* A child that is just being started still has it, and with it the poller would. */
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->fd[side], NULL);
	close(c->fd[side]);
	c->fd[side] = -1;
}

static void conn_drop(struct passage *c, bool reset)
{
	end_close(c, 0, reset);
	end_close(c, 1, reset);
	c->dead = true;
}

static void half_clear(struct half *h)
{
	while (h->first) {
		struct piece *x = h->first;

		h->first = x->next;
		free(x);
	}
	h->queued = 0;
}

static void conn_free(struct proxy *p, struct passage *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		p->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	half_clear(&c->half[0]);
	half_clear(&c->half[1]);
	free(c);
}

static struct passage *conn_new(struct proxy *p, const struct listener *l, int fd)
{
	struct passage *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	*c = (struct passage){.next = p->conns, .epoll = p->epoll, .link = l->link, .bearer = l->bearer, .dialler = l->dialler, .fd = {fd, -1}, .polled = {UINT32_MAX, UINT32_MAX}};
	for (int side = 0; side < 2; side++) {
		c->handle[side] = (struct handle){.conn = c, .side = side};
		c->half[side].last = &c->half[side].first;
	}
	if (p->conns)
		p->conns->prev = c;
	p->conns = c;
	p->counts.connections++;
	return c;
}

/* The kernel's queue is the narrow one: ours takes what comes in a few rounds of ours, and little more when the line is cut. */
static int shaped_buffer(int64_t rate_bps)
{
	int64_t bytes = rate_bps / 8 * SHAPED_BUFFER_US / US_PER_S;

	return (int)(bytes < SHAPED_BUFFER_LEAST ? SHAPED_BUFFER_LEAST : bytes);
}

static void small_buffers(const struct proxy *p, int fd, int64_t rate_bps)
{
	int bytes = p->c.shaped ? shaped_buffer(rate_bps) : SLOW_BUFFER_BYTES;

	if (rate_bps <= 0 || rate_bps > SLOW_BPS)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

/* Dials on in the other place, once the line passes both ways. */
static void conn_dial(struct proxy *p, struct passage *c)
{
	size_t to = site_at(p, c, 1);
	int one = 1;

	if (c->is != CONN_HELD || !passes(p, c, 0) || !passes(p, c, 1))
		return;
	struct sockaddr_in at = address_of(p, c->link, c->bearer, to, PROXY_PORT), from = address_of(p, c->link, c->bearer, site_at(p, c, 0), 0);

	c->fd[1] = netns_socket(p->c.home, p->c.places[to]);
	if (c->fd[1] < 0) {
		conn_drop(c, true);
		return;
	}
	small_buffers(p, c->fd[1], link_of(p, c)->config.bearers[c->bearer].rate_bps);
	setsockopt(c->fd[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (bind(c->fd[1], (struct sockaddr *)&from, sizeof from) != 0 || (connect(c->fd[1], (struct sockaddr *)&at, sizeof at) != 0 && errno != EINPROGRESS)) {
		conn_drop(c, true); /* nobody is there: refused */
		return;
	}
	c->is = CONN_DIALLED;
	poll_for(p, c, 1, EPOLLOUT);
}

/* What one end's going means to the other: told when all that came before it is out, and the way passes. */
static void conn_tell_end(struct proxy *p, struct passage *c)
{
	if (c->fd[0] < 0 && c->fd[1] < 0)
		c->dead = true;
	for (int side = 0; side < 2 && !c->dead; side++)
		if (c->fd[side] < 0 && (side == 0 || c->is == CONN_OPEN) && passes(p, c, side) && (!c->half[side].first || c->fd[!side] < 0))
			conn_drop(c, c->failed);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------- */

/* A piece of a direction is read. False: there is none now. */
static bool piece_read(struct proxy *p, struct passage *c, int dir)
{
	const struct bearer_state *b = bearer_of(p, c);
	struct half *h = &c->half[dir];
	size_t most = p->c.shaped && shape_piece(b->rate_bps) < SHAPE_PACKET ? SHAPE_PACKET : shape_piece(b->rate_bps);
	uint8_t bytes[SHAPE_PIECE_MOST];
	ssize_t n = recv(c->fd[dir], bytes, most, 0);
	bool stalled;

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		h->dry = true;
		return false;
	}
	struct piece *x = n > 0 ? malloc(sizeof *x + (size_t)n) : NULL;

	if (n > 0 && prng_chance(&p->prng, link_of(p, c)->config.bearers[c->bearer].reset_ppm)) {
		p->counts.resets++;
		free(x);
		conn_drop(c, true);
		return false;
	}
	if (!x) {
		c->failed = c->failed || n != 0;
		end_close(c, dir, false);
		return false;
	}
	*x = (struct piece){.len = (size_t)n};
	x->at = p->c.shaped ? shape_follow(&h->flow, b, &p->prng, p->now, x->len, &stalled) : shape_send(shape_of(p, c, dir), &h->flow, b, &p->prng, p->now, x->len, &stalled);
	memcpy(x->bytes, bytes, (size_t)n);
	*h->last = x;
	h->last = &x->next;
	h->queued += x->len;
	p->counts.pieces++;
	p->counts.bytes += x->len;
	p->counts.stalls += stalled;
	return true;
}

/* How much a connection may have under way. */
static size_t holds(const struct proxy *p, const struct bearer_state *b)
{
	int64_t on_its_way = p->c.shaped ? SHAPED_AHEAD_BYTES + b->rate_bps / 8 * 2 * (b->delay_us + b->jitter_us) / US_PER_S : 0;

	return (size_t)(on_its_way > b->queue_bytes ? on_its_way : b->queue_bytes);
}

static bool may_read(const struct proxy *p, const struct passage *c, int dir)
{
	return c->is == CONN_OPEN && !c->dead && c->fd[dir] >= 0 && c->fd[!dir] >= 0 && passes(p, c, dir) &&
	       c->half[dir].queued < holds(p, bearer_of(p, c));
}

static void half_write(struct proxy *p, struct passage *c, int dir)
{
	struct half *h = &c->half[dir];
	int to = !dir;

	while (h->first && !h->blocked && !c->dead && !mono_before(p->now, h->first->at) && passes(p, c, dir)) {
		struct piece *x = h->first;
		ssize_t n = c->fd[to] < 0 ? (ssize_t)(x->len - x->sent) : send(c->fd[to], x->bytes + x->sent, x->len - x->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			h->blocked = true;
			return;
		}
		if (n < 0) {
			c->failed = true;
			end_close(c, to, false);
			continue;
		}
		x->sent += (size_t)n;
		if (x->sent < x->len)
			continue;
		h->first = x->next;
		if (!h->first)
			h->last = &h->first;
		h->queued -= x->len;
		free(x);
	}
}

/* All that can be done for a connection now. */
static void conn_pump(struct proxy *p, struct passage *c)
{
	if (c->dead || c->is != CONN_OPEN) {
		conn_tell_end(p, c);
		return;
	}
	for (int dir = 0; dir < 2; dir++) {
		half_write(p, c, dir);
		for (int n = 0; n < ROUND_PIECES && may_read(p, c, dir) && !c->half[dir].dry && !mono_before(p->now, shape_reads_at(&c->half[dir].flow)); n++)
			piece_read(p, c, dir);
		half_write(p, c, dir);
	}
	conn_tell_end(p, c);
	for (int side = 0; side < 2 && !c->dead; side++)
		poll_for(p, c, side, (c->half[side].dry && may_read(p, c, side) ? EPOLLIN : 0u) | (c->half[!side].blocked ? EPOLLOUT : 0u));
}

/* When something is to be done for it; NEVER: when epoll says so, or the line changes. */
static struct mono conn_next(const struct proxy *p, const struct passage *c)
{
	struct mono next = MONO_NEVER;

	for (int dir = 0; dir < 2 && c->is == CONN_OPEN; dir++) {
		const struct half *h = &c->half[dir];

		if (h->first && !h->blocked && passes(p, c, dir))
			next = mono_min(next, h->first->at);
		if (!h->dry && may_read(p, c, dir))
			next = mono_min(next, shape_reads_at(&h->flow));
	}
	return next;
}

/* ---- events ---------------------------------------------------------------------------------------------------------------- */

static void listener_ready(struct proxy *p, struct listener *l)
{
	int one = 1;

	for (int fd; (fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
		struct passage *c = conn_new(p, l, fd);

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (!c) {
			close(fd);
			return;
		}
		poll_for(p, c, 0, 0);
		conn_dial(p, c);
	}
}

static void end_ready(struct proxy *p, struct passage *c, int side, uint32_t events)
{
	int error = 0;
	socklen_t size = sizeof error;

	if (c->dead)
		return;
	if (c->is == CONN_DIALLED && side == 1) {
		if (getsockopt(c->fd[1], SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error) {
			conn_drop(c, true);
			return;
		}
		c->is = CONN_OPEN;
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		epoll_ctl(p->epoll, EPOLL_CTL_DEL, c->fd[side], NULL); /* it would be told again and again */
		c->hung_up[side] = true;
	}
	if (c->hung_up[0] && c->is != CONN_OPEN) {
		conn_drop(c, true); /* who dialled has given up */
		return;
	}
	if (events & EPOLLOUT || c->hung_up[side])
		c->half[!side].blocked = false;
	if (events & EPOLLIN || c->hung_up[side])
		c->half[side].dry = false;
	conn_pump(p, c);
}

void proxy_work(struct proxy *p, struct mono now)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(p->epoll, events, EVENTS, 0);

	p->now = now;
	for (int i = 0; i < n; i++) {
		const struct handle *h = events[i].data.ptr;

		if (h->listener)
			listener_ready(p, h->listener);
		else
			end_ready(p, h->conn, h->side, events[i].events);
	}
	for (struct passage *c = p->conns, *next; c; c = next) {
		next = c->next;
		if (!c->dead && !mono_before(now, conn_next(p, c)))
			conn_pump(p, c);
		if (c->dead)
			conn_free(p, c);
	}
}

int proxy_fd(const struct proxy *p) { return p->epoll; }
const struct proxy_counts *proxy_counts(const struct proxy *p) { return &p->counts; }

struct mono proxy_next(const struct proxy *p)
{
	struct mono next = MONO_NEVER;

	for (const struct passage *c = p->conns; c; c = c->next)
		next = mono_min(next, conn_next(p, c));
	return next;
}

/* ---- what changes --------------------------------------------------------------------------------------------------------- */

void proxy_link_changed(struct proxy *p, size_t link)
{
	for (struct passage *c = p->conns; c; c = c->next)
		if (c->link == link && !c->dead) {
			conn_dial(p, c);
			conn_pump(p, c);
		}
}

void proxy_link_reset(struct proxy *p, size_t link)
{
	for (struct passage *c = p->conns; c; c = c->next)
		if (c->link == link && !c->dead) {
			p->counts.resets++;
			conn_drop(c, true);
		}
}

void proxy_site_dark(struct proxy *p, size_t site, bool dark)
{
	if (p->dark[site] == dark)
		return;
	p->dark[site] = dark;
	for (struct passage *c = p->conns; c; c = c->next)
		if (!c->dead && (site_at(p, c, 0) == site || site_at(p, c, 1) == site)) {
			conn_dial(p, c);
			conn_pump(p, c);
		}
}

/* ---- life ------------------------------------------------------------------------------------------------------------------- */

static enum err listen_one(struct proxy *p, struct listener *l, struct errmsg *m)
{
	const struct link *k = p->c.link(p->c.arg, l->link);
	size_t from = l->dialler == 0 ? k->config.a : k->config.b, to = l->dialler == 0 ? k->config.b : k->config.a;
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = &l->handle};
	struct sockaddr_in at = address_of(p, l->link, l->bearer, to, PROXY_PORT);
	int one = 1;

	l->handle.listener = l;
	l->fd = netns_socket(p->c.home, p->c.places[from]);
	if (l->fd >= 0) {
		small_buffers(p, l->fd, k->config.bearers[l->bearer].rate_bps);
		setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	}
	if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(l->fd, 64) != 0 || epoll_ctl(p->epoll, EPOLL_CTL_ADD, l->fd, &e) != 0)
		return err_set(m, ERR_IO, "live: the proxy cannot listen: %s (each link and bearer needs two descriptors: ulimit -n)", strerror(errno));
	return ERR_OK;
}

enum err proxy_new(const struct proxy_config *config, struct proxy **out, struct errmsg *m)
{
	struct proxy *p = calloc(1, sizeof *p);
	size_t most = 0;

	*out = NULL;
	for (size_t i = 0; i < config->n_links; i++)
		most += 2 * config->link(config->arg, i)->config.n_bearers;
	if (p) {
		p->c = *config;
		p->epoll = epoll_create1(EPOLL_CLOEXEC);
		p->listeners = calloc(most + 1, sizeof *p->listeners);
		p->shapes = calloc(config->n_links * LIMIT_BEARERS * 2 + 1, sizeof *p->shapes);
		p->dark = calloc(config->n_sites + 1, sizeof *p->dark);
		prng_init(&p->prng, config->seed, "proxy", 0);
	}
	if (!p || p->epoll < 0 || !p->listeners || !p->shapes || !p->dark) {
		proxy_free(p);
		return err_set(m, ERR_NOMEM, "live: the proxy cannot start (no memory or no descriptors left)");
	}
	enum err e = ERR_OK;

	for (size_t i = 0; i < config->n_links && !e; i++)
		for (size_t b = 0; b < config->link(config->arg, i)->config.n_bearers && !e; b++)
			for (int d = 0; d < 2 && !e; d++) {
				p->listeners[p->n_listeners] = (struct listener){.fd = -1, .link = i, .bearer = (uint8_t)b, .dialler = d};
				e = listen_one(p, &p->listeners[p->n_listeners++], m);
			}
	if (e)
		proxy_free(p);
	else
		*out = p;
	return e;
}

void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	while (p->conns) {
		conn_drop(p->conns, true);
		conn_free(p, p->conns);
	}
	for (size_t i = 0; i < p->n_listeners; i++)
		if (p->listeners[i].fd >= 0)
			close(p->listeners[i].fd);
	if (p->epoll >= 0)
		close(p->epoll);
	free(p->listeners);
	free(p->shapes);
	free(p->dark);
	free(p);
}
