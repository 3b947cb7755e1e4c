/* poller.h - epoll, with whom to call. Level-triggered; one thread. */
#ifndef NODE_DAEMON_POLLER_H
#define NODE_DAEMON_POLLER_H

#include <stdint.h>
#include <sys/epoll.h>

#include "proto/err.h"

/* One descriptor and whom to call. It lies in its owner, which must outlive the poller_wait in which it is removed. */
struct watch {
	int fd;
	void (*ready)(void *arg, uint32_t events); /* EPOLLIN, ... */
	void *arg;
};

struct poller { int fd; };

MUST_USE enum err poller_open(struct poller *p);
void poller_close(struct poller *p);
MUST_USE enum err poller_add(struct poller *p, struct watch *w, uint32_t events);
void poller_change(struct poller *p, struct watch *w, uint32_t events);
void poller_remove(struct poller *p, struct watch *w);
/* Calls whoever is ready; waits for at most timeout_ms. */
void poller_wait(struct poller *p, int timeout_ms);

#endif
