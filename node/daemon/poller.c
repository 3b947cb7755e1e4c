#include "node/daemon/poller.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#define READY_AT_ONCE 64

enum err poller_open(struct poller *p)
{
	p->fd = epoll_create1(EPOLL_CLOEXEC);
	return p->fd < 0 ? ERR_IO : ERR_OK;
}

void poller_close(struct poller *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

enum err poller_add(struct poller *p, struct watch *w, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = w};

	return epoll_ctl(p->fd, EPOLL_CTL_ADD, w->fd, &e) == 0 ? ERR_OK : ERR_IO;
}

void poller_change(struct poller *p, struct watch *w, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = w};
	int rc = epoll_ctl(p->fd, EPOLL_CTL_MOD, w->fd, &e);

	assert(rc == 0); /* it was added */
}

void poller_remove(struct poller *p, struct watch *w)
{
	int rc = epoll_ctl(p->fd, EPOLL_CTL_DEL, w->fd, NULL);

	assert(rc == 0);
}

void poller_wait(struct poller *p, int timeout_ms)
{
	struct epoll_event ready[READY_AT_ONCE];
	int n = epoll_wait(p->fd, ready, READY_AT_ONCE, timeout_ms);

	assert(n >= 0 || errno == EINTR);
	for (int i = 0; i < n; i++) {
		struct watch *w = ready[i].data.ptr;

		w->ready(w->arg, ready[i].events);
	}
}
