/* client.c - a handle's life, its socket, and waiting. */
#include "node/client/client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (128 * 1024) /* asked of the socket at once */
#define LOOK_MS 500             /* how late the interrupt flag may be seen when the signal came just before poll */

int64_t client_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int client_fail(struct estafette *h, int status, const char *code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(h->why.text, sizeof h->why.text, fmt, ap);
	va_end(ap);
	snprintf(h->code, sizeof h->code, "%s", code);
	return status;
}

int client_nomem(struct estafette *h)
{
	return client_fail(h, ESTAFETTE_NOMEM, err_code(ERR_NOMEM), "out of memory");
}

int client_closed(struct estafette *h, const char *fmt, ...)
{
	va_list ap;
	if (!h->broken) { /* the first reason is the true one */
		va_start(ap, fmt);
		vsnprintf(h->why.text, sizeof h->why.text, fmt, ap);
		va_end(ap);
		snprintf(h->code, sizeof h->code, "%s", err_code(ERR_CLOSED));
	}
	h->broken = true;
	return ESTAFETTE_CLOSED;
}

const char *estafette_error_code(const estafette *h) { return h->code; }
const char *estafette_error_text(const estafette *h) { return h->why.text; }

/* ---- life ----------------------------------------------------------------------------------------------- */

estafette *estafette_new(void)
{
	struct estafette *h = calloc(1, sizeof *h);
	if (h == NULL)
		return NULL;
	h->fd = -1;
	h->finished_end = &h->finished;
	h->messages_end = &h->messages;
	return h;
}

void estafette_free(estafette *h)
{
	if (h == NULL)
		return;
	if (h->fd >= 0)
		close(h->fd);
	for (uint32_t i = 0; i < h->slots; i++)
		free(h->slot[i]);
	free(h->slot);
	for (struct call *c = h->finished, *n; c != NULL; c = n) {
		n = c->next;
		free(c);
	}
	for (struct call *c = h->spare, *n; c != NULL; c = n) {
		n = c->next;
		free(c);
	}
	for (struct message *m = h->messages, *n; m != NULL; m = n) {
		n = m->next;
		free(m);
	}
	free(h->current);
	buf_release(&h->out);
	buf_release(&h->in);
	free(h);
}

int estafette_connect(estafette *h, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (h->fd >= 0)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "the handle is connected already");
	if (strlen(path) >= sizeof a.sun_path)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "%s: a socket's path holds %zu bytes", path, sizeof a.sun_path - 1);
	strcpy(a.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return client_fail(h, ESTAFETTE_NO_NODE, err_code(ERR_IO), "socket: %s", strerror(errno));
	int bytes = 1024 * 1024;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
		int e = errno;
		close(fd);
		if (e == EACCES || e == EPERM)
			return client_fail(h, ESTAFETTE_REFUSED, err_code(ERR_NOT_PERMITTED), "%s: %s (your user needs access to the node's socket)", path, strerror(e));
		return client_fail(h, ESTAFETTE_NO_NODE, err_code(ERR_NO_NODE), "%s: %s (is the daemon running?)", path, strerror(e));
	}
	h->fd = fd;
	return ESTAFETTE_OK;
}

pid_t estafette_node_pid(const estafette *h)
{
	struct ucred c;
	socklen_t n = sizeof c;
	if (h->fd < 0 || getsockopt(h->fd, SOL_SOCKET, SO_PEERCRED, &c, &n) != 0)
		return 0;
	return c.pid;
}

void estafette_interrupt(estafette *h, const volatile int *flag) { h->interrupted = flag; }
int estafette_fd(const estafette *h) { return h->fd; }

short estafette_events(const estafette *h)
{
	return h->out_at < h->out.len ? POLLIN | POLLOUT : POLLIN;
}

/* ---- bytes ------------------------------------------------------------------------------------------------ */

int client_flush(struct estafette *h)
{
	while (h->out_at < h->out.len && !h->broken && !h->unheard) {
		ssize_t n = send(h->fd, h->out.ptr + h->out_at, h->out.len - h->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			h->out_at += (size_t)n;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		else if (errno != EINTR)
			h->unheard = true; /* it is gone; what it said before may still lie in the socket, and reading finds the end */
	}
	if (h->unheard)
		h->out_at = h->out.len;
	if (h->out_at == h->out.len) {
		buf_clear(&h->out);
		h->out_at = 0;
	} else if (h->out_at > OUT_SOFT) {
		memmove(h->out.ptr, h->out.ptr + h->out_at, h->out.len - h->out_at);
		h->out.len -= h->out_at;
		h->out_at = 0;
	}
	return h->broken ? ESTAFETTE_CLOSED : ESTAFETTE_OK;
}

/* Every whole message that lies in h->in. */
static int dispatch_all(struct estafette *h)
{
	for (;;) {
		struct view v = view_of(h->in.ptr + h->in_at, h->in.len - h->in_at);
		size_t len = 0;
		if (v.len < 4)
			break;
		enum err e = request_length(v, &len);
		if (e != ERR_OK)
			return client_closed(h, "the node sent a message that cannot be read: %s", err_text(e));
		if (len == 0 || len > v.len)
			break;
		int st = client_dispatch(h, view_of(v.ptr, len));
		h->in_at += len;
		if (st != ESTAFETTE_OK)
			return st;
	}
	if (h->in_at > 0) {
		memmove(h->in.ptr, h->in.ptr + h->in_at, h->in.len - h->in_at);
		h->in.len -= h->in_at;
		h->in_at = 0;
	}
	return ESTAFETTE_OK;
}

/* Takes what lies in the socket. *any: something came. */
static int receive(struct estafette *h, bool *any)
{
	for (int round = 0; round < 8; round++) {
		size_t before = h->in.len;
		uint8_t *p = buf_extend(&h->in, READ_BYTES);
		if (p == NULL)
			return client_closed(h, "out of memory for the node's answers");
		ssize_t n = recv(h->fd, p, READ_BYTES, MSG_DONTWAIT);
		h->in.len = before + (n > 0 ? (size_t)n : 0);
		if (n == 0)
			return client_closed(h, "the node closed the connection (it stopped, or it refused what was sent)");
		if (n < 0) {
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return ESTAFETTE_OK;
			if (errno == EINTR)
				continue;
			return client_closed(h, "the node ended the connection: %s", strerror(errno));
		}
		*any = true;
		int st = dispatch_all(h);
		if (st != ESTAFETTE_OK)
			return st;
		if (n < READ_BYTES)
			return ESTAFETTE_OK;
	}
	return ESTAFETTE_OK;
}

int estafette_drive(estafette *h, int timeout_ms)
{
	bool any = false;
	if (h->fd < 0)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "the handle is not connected");
	int st = submit_pump(h);
	if (st == ESTAFETTE_OK)
		st = client_flush(h);
	if (st != ESTAFETTE_OK)
		return st;
	if (timeout_ms != 0) {
		struct pollfd p = {.fd = h->fd, .events = estafette_events(h)};
		int n = poll(&p, 1, timeout_ms);
		if (n < 0 && errno != EINTR)
			return client_closed(h, "poll: %s", strerror(errno));
		if (n <= 0)
			return ESTAFETTE_TIMEOUT;
		any = (p.revents & POLLOUT) != 0;
	}
	st = receive(h, &any);
	if (st == ESTAFETTE_OK)
		st = submit_pump(h);
	if (st == ESTAFETTE_OK)
		st = client_flush(h);
	return st != ESTAFETTE_OK ? st : any ? ESTAFETTE_OK : ESTAFETTE_TIMEOUT;
}

int client_wait(struct estafette *h, bool (*ready)(struct estafette *h, void *arg), void *arg, int timeout_ms)
{
	int64_t end = timeout_ms < 0 ? INT64_MAX : client_now_ms() + timeout_ms;
	for (bool first = true;; first = false) {
		if (ready(h, arg))
			return ESTAFETTE_OK;
		if (h->broken)
			return ESTAFETTE_CLOSED;
		if (h->interrupted != NULL && *h->interrupted)
			return client_fail(h, ESTAFETTE_STOPPED, "stopped", "interrupted");
		int64_t left = end == INT64_MAX ? INT64_MAX : end - client_now_ms();
		if (left <= 0 && !first)
			return client_fail(h, ESTAFETTE_TIMEOUT, err_code(ERR_TIMEOUT), "no answer within the time given");
		int64_t most = h->interrupted != NULL ? LOOK_MS : 60000;
		int st = estafette_drive(h, left <= 0 ? 0 : (int)(left < most ? left : most));
		if (st != ESTAFETTE_OK && st != ESTAFETTE_TIMEOUT && !ready(h, arg))
			return st;
	}
}
