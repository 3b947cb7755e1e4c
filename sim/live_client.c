/* live_client.c - clients at the daemons' sockets: those of the play and of the watch, and one a site that asks for its links. */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/request.h"
#include "sim/live_int.h"

#define READ_BYTES (64 * 1024)
#define ASK_EVERY_US US_PER_S
/* Clients that ask for links have numbers of their own, which the world does not know. */
#define OWN_FROM (UINT64_C(1) << 63)

struct line {
	struct line *next;
	uint64_t client;
	size_t site;
	int fd;
	bool closed, ended;  /* by us; by the daemon */
	bool waits;          /* for room to write */
	struct buf in, out;
	size_t sent;
};

static int dial(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

bool line_try(const struct daemon *d)
{
	int fd = dial(d->socket);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void watch_line(const struct live_run *r, struct line *l, int op)
{
	struct epoll_event e = {.events = EPOLLIN | (l->waits ? EPOLLOUT : 0u), .data.ptr = l};

	epoll_ctl(r->epoll, op, l->fd, &e);
}

bool line_open(void *arg, size_t site, uint64_t client)
{
	struct live_run *r = arg;
	int fd = r->daemons[site].is == DAEMON_UP ? dial(r->daemons[site].socket) : -1;
	struct line *l = fd < 0 ? NULL : calloc(1, sizeof *l);

	if (!l) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	*l = (struct line){.next = r->lines, .client = client, .site = site, .fd = fd};
	r->lines = l;
	watch_line(r, l, EPOLL_CTL_ADD);
	return true;
}

static struct line *find(const struct live_run *r, uint64_t client)
{
	struct line *l = r->lines;

	while (l && (l->client != client || l->closed))
		l = l->next;
	return l;
}

void line_close(void *arg, size_t site, uint64_t client)
{
	struct line *l = find(arg, client);

	(void)site;
	if (l)
		l->closed = true; /* what it still has to send goes first; lines_tell removes it */
}

static void line_write(const struct live_run *r, struct line *l)
{
	while (l->sent < l->out.len && !l->ended) {
		ssize_t n = send(l->fd, l->out.ptr + l->sent, l->out.len - l->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			l->ended = true;
		if (n < 0)
			break;
		l->sent += (size_t)n;
	}
	if (l->sent == l->out.len) {
		buf_clear(&l->out);
		l->sent = 0;
	}
	if (l->waits != (l->out.len > 0)) {
		l->waits = l->out.len > 0;
		watch_line(r, l, EPOLL_CTL_MOD);
	}
}

void line_request(void *arg, size_t site, uint64_t client, struct view bytes)
{
	struct line *l = find(arg, client);

	(void)site;
	if (!l)
		return;
	buf_add(&l->out, bytes);
	line_write(arg, l);
}

/* ---- what they hear ------------------------------------------------------------------------------------------------ */

static bool has_whole(const struct line *l)
{
	size_t len = 0;

	return request_length(buf_view(&l->in), &len) != ERR_OK || (len && len <= l->in.len);
}

static void line_read(struct line *l)
{
	uint8_t bytes[READ_BYTES];
	ssize_t n = recv(l->fd, bytes, sizeof bytes, 0);

	if (n > 0)
		buf_add(&l->in, view_of(bytes, (size_t)n));
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		l->ended = true;
}

bool lines_ready(struct live_run *r, void *const *ready, const uint32_t *events, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		struct line *l = ready[i];

		if (events[i] & (EPOLLIN | EPOLLHUP | EPOLLERR) && !l->ended)
			line_read(l);
		if (events[i] & EPOLLOUT)
			line_write(r, l);
		any = any || l->ended || has_whole(l);
	}
	return any;
}

static void links_hear(struct live_run *r, struct line *l, struct view bytes);

/* The whole messages of a line, all at once. They are taken off first: who hears them may ask again. */
static void line_tell(struct live_run *r, struct line *l)
{
	struct view rest = buf_view(&l->in);
	struct buf whole = BUF_EMPTY;
	size_t len = 0, n = 0;

	while (request_length(view_of(rest.ptr + n, rest.len - n), &len) == ERR_OK && len && len <= rest.len - n)
		n += len;
	if (n) {
		buf_add(&whole, view_of(rest.ptr, n));
		memmove(l->in.ptr, l->in.ptr + n, l->in.len - n);
		l->in.len -= n;
	}
	if (n && l->client >= OWN_FROM)
		links_hear(r, l, buf_view(&whole));
	else if (n && !l->closed)
		world_heard(r->world, l->client, buf_view(&whole));
	if (l->ended && !l->closed && l->client < OWN_FROM) {
		l->closed = true;
		world_heard(r->world, l->client, view_of(NULL, 0));
	}
	buf_release(&whole);
}

static void line_free(struct live_run *r, struct line **at)
{
	struct line *l = *at;

	*at = l->next;
	if (l->client >= OWN_FROM && r->daemons[l->site].asking == l->client)
		r->daemons[l->site].asking = 0;
	epoll_ctl(r->epoll, EPOLL_CTL_DEL, l->fd, NULL); /* a child that is just being started still has it */
	close(l->fd);
	buf_release(&l->in);
	buf_release(&l->out);
	free(l);
}

static bool is_accepted(const struct line *l)
{
	return l->in.len >= REQUEST_HEAD_BYTES && l->in.ptr[5] == REPLY_ACCEPTED;
}

void lines_tell(struct live_run *r)
{
	/* New lines come in front, and are told in the next round. Senders first: their desk may have the message already. */
	for (struct line *l = r->lines; l; l = l->next)
		if (is_accepted(l) && has_whole(l))
			line_tell(r, l);
	for (struct line *l = r->lines; l; l = l->next)
		if (has_whole(l) || l->ended)
			line_tell(r, l);
	for (struct line **at = &r->lines; *at;) {
		if ((*at)->ended || ((*at)->closed && (*at)->out.len == 0))
			line_free(r, at);
		else
			at = &(*at)->next;
	}
}

/* The world tells its clients by itself that a site is down; what lay in the sockets is lost with the process. */
void lines_drop(struct live_run *r, size_t site)
{
	for (struct line *l = r->lines; l; l = l->next)
		if (l->site == site) {
			l->closed = l->ended = true;
			buf_clear(&l->in);
			l->in.len = 0;
		}
	r->daemons[site].asking = 0;
}

void lines_release(struct live_run *r)
{
	while (r->lines)
		line_free(r, &r->lines);
}

/* ---- links, as the nodes see them --------------------------------------------------------------------------------------- */

void links_ask(struct live_run *r)
{
	int64_t now = live_clock_us();

	for (size_t i = 0; i < r->n; i++) {
		struct daemon *d = &r->daemons[i];
		struct request_writer rw;
		struct buf b = BUF_EMPTY;

		if (d->is != DAEMON_UP || d->paused || now < d->asked_at + ASK_EVERY_US)
			continue;
		d->asked_at = now;
		if (!d->asking && line_open(r, i, OWN_FROM + ++r->own_clients))
			d->asking = OWN_FROM + r->own_clients;
		request_begin(&rw, &b, REQ_SHOW, 1);
		request_str(&rw, F_WHAT, "links");
		request_end(&rw);
		line_request(r, i, d->asking, buf_view(&b));
		buf_release(&b);
	}
}

static void link_row(struct live_run *r, size_t site, const struct request *row)
{
	struct view fields = row->fields, name = {NULL, 0}, peer = {NULL, 0}, bearer = {NULL, 0};
	struct request_item f;
	bool up = false;

	while (request_next(&fields, &f) == ERR_OK) {
		if (f.field == F_NAME)
			name = f.value;
		else if (view_equal(name, view_str("peer")))
			peer = f.value;
		else if (view_equal(name, view_str("bearer")))
			bearer = f.value;
		else if (view_equal(name, view_str("up")))
			up = item_u8(&f) != 0;
	}
	for (size_t k = 0; k < r->n; k++) {
		int *was = &r->bearers[site * r->n + k], now = -1;

		if (!view_equal(peer, view_str(r->roster->sites[k].id)))
			continue;
		for (size_t l = 0; up && l < r->n_links; l++)
			for (size_t b = 0; b < r->links[l].n_bearers && ((r->links[l].a == site && r->links[l].b == k) || (r->links[l].a == k && r->links[l].b == site)); b++)
				if (view_equal(bearer, view_str(r->links[l].bearers[b].name)))
					now = (int)b;
		if (now == *was)
			return;
		*was = now;
		world_conn_became(r->world, site, k, now);
	}
}

static void links_hear(struct live_run *r, struct line *l, struct view bytes)
{
	struct request q;
	size_t len = 0;

	for (; bytes.len && request_length(bytes, &len) == ERR_OK && len && len <= bytes.len; bytes = view_of(bytes.ptr + len, bytes.len - len))
		if (request_decode(view_of(bytes.ptr, len), &q) == ERR_OK && q.type == REPLY_ROW)
			link_row(r, l->site, &q);
}
