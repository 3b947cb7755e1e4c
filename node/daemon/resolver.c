#include "node/daemon/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "node/daemon/driver.h"
#include "node/daemon/log.h"

#define REFRESH_US (300 * US_PER_S)
/* A name that was not found, or whose addresses do not answer. */
#define AGAIN_US (10 * US_PER_S)
#define AT_ONCE 8
#define ADDRESSES 8
#define ADDRESS_BYTES (INET6_ADDRSTRLEN + 2)

struct found { size_t n; char address[ADDRESSES][ADDRESS_BYTES]; };

/* One lookup, its thread's until it is on the board. */
struct lookup {
	struct board *board;
	char host[LIMIT_ENDPOINT_BYTES + 1];
	struct found found;
	char why[96];
	struct lookup *next;
};

/* What threads share with the resolver; it goes with the last of them, which may hang long after the resolver is gone. */
struct board {
	pthread_mutex_t lock;
	int fd, users;
	struct lookup *done;
};

struct name {
	char host[LIMIT_ENDPOINT_BYTES + 1];
	struct found found;
	size_t at;                /* the address in use */
	bool looking, failing;
	struct mono due;
	struct name *next;
};

struct resolver {
	struct poller *poller;
	struct watch watch;
	void (*changed)(void *arg, const char *host);
	void *arg;
	struct board *board;
	struct name *names;
	int looking;
};

/* ---- endpoints -------------------------------------------------------------------------------------------------- */

bool endpoint_name(const char *endpoint, char host[LIMIT_ENDPOINT_BYTES + 1])
{
	struct in_addr address;
	char *colon;

	if (strncmp(endpoint, "tcp://", 6) != 0)
		return false;
	snprintf(host, LIMIT_ENDPOINT_BYTES + 1, "%s", endpoint + 6);
	colon = strrchr(host, ':');
	if (!colon || host[0] == '[' || host[0] == '*')
		return false;
	*colon = 0;
	return inet_pton(AF_INET, host, &address) != 1;
}

/* ---- lookups ----------------------------------------------------------------------------------------------------- */

static void board_leave(struct board *b)
{
	struct lookup *l, *next;
	bool last;

	pthread_mutex_lock(&b->lock);
	last = --b->users == 0;
	pthread_mutex_unlock(&b->lock);
	if (!last)
		return;
	for (l = b->done; l; l = next) {
		next = l->next;
		free(l);
	}
	pthread_mutex_destroy(&b->lock);
	close(b->fd);
	free(b);
}

static void take_address(struct found *f, const struct addrinfo *a)
{
	char text[INET6_ADDRSTRLEN];

	if (f->n == ADDRESSES)
		return;
	if (a->ai_family == AF_INET && inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)a->ai_addr)->sin_addr, text, sizeof text))
		snprintf(f->address[f->n++], ADDRESS_BYTES, "%s", text);
	else if (a->ai_family == AF_INET6 && inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_addr, text, sizeof text))
		snprintf(f->address[f->n++], ADDRESS_BYTES, "[%s]", text);
}

static void *look_up(void *arg)
{
	struct lookup *l = arg;
	struct board *b = l->board;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	uint64_t one = 1;
	int failed = getaddrinfo(l->host, NULL, &hints, &list);

	if (failed)
		snprintf(l->why, sizeof l->why, "%s", failed == EAI_SYSTEM ? "the system failed" : gai_strerror(failed));
	for (const struct addrinfo *a = list; !failed && a; a = a->ai_next)
		take_address(&l->found, a);
	if (list)
		freeaddrinfo(list);
	pthread_mutex_lock(&b->lock);
	l->next = b->done;
	b->done = l;
	pthread_mutex_unlock(&b->lock);
	if (write(b->fd, &one, sizeof one) < 0) /* a full counter wakes as well */
		one = 0;
	board_leave(b);
	return NULL;
}

static void lookup_begin(struct resolver *r, struct name *n)
{
	struct lookup *l = calloc(1, sizeof *l);
	pthread_attr_t attr;
	pthread_t thread;
	int failed = ENOMEM;

	n->due = mono_add(driver_mono(), AGAIN_US);
	if (!l || pthread_attr_init(&attr)) {
		free(l);
		return;
	}
	l->board = r->board;
	strcpy(l->host, n->host);
	pthread_mutex_lock(&r->board->lock);
	r->board->users++;
	pthread_mutex_unlock(&r->board->lock);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	failed = pthread_create(&thread, &attr, look_up, l);
	pthread_attr_destroy(&attr);
	if (failed) {
		log_line(LEVEL_ERROR, "name %s: no thread to look it up: %s", n->host, strerror(failed));
		board_leave(r->board);
		free(l);
		return;
	}
	n->looking = true;
	r->looking++;
}

static struct name *name_find(struct resolver *r, const char *host)
{
	struct name *n = r->names;

	while (n && strcmp(n->host, host) != 0)
		n = n->next;
	return n;
}

static void lookup_done(struct resolver *r, struct name *n, const struct lookup *l)
{
	bool same = n->found.n && l->found.n && strcmp(n->found.address[n->at], l->found.address[0]) == 0;

	n->looking = false;
	if (!l->found.n) {
		n->due = mono_add(driver_mono(), AGAIN_US);
		if (!n->failing)
			log_line(LEVEL_WARNING, "name %s: not found: %s%s", n->host, l->why[0] ? l->why : "it has no address",
			         n->found.n ? " (the address that was known stays in use)" : " (it is tried again)");
		n->failing = true;
		return;
	}
	if (n->failing || !n->found.n)
		log_line(LEVEL_INFO, "name %s: found at %s", n->host, l->found.address[0]);
	n->failing = false;
	n->due = mono_add(driver_mono(), REFRESH_US);
	if (same && n->found.n == l->found.n)
		return;
	n->found = l->found;
	n->at = 0;
	if (!same)
		r->changed(r->arg, n->host);
}

static void done_ready(void *arg, uint32_t events)
{
	struct resolver *r = arg;
	struct lookup *l, *next;
	uint64_t count;

	(void)events;
	if (read(r->board->fd, &count, sizeof count) < 0)
		return;
	pthread_mutex_lock(&r->board->lock);
	l = r->board->done;
	r->board->done = NULL;
	pthread_mutex_unlock(&r->board->lock);
	for (; l; l = next) {
		struct name *n = name_find(r, l->host);

		next = l->next;
		r->looking--;
		if (n)
			lookup_done(r, n, l);
		free(l);
	}
}

/* ---- use ----------------------------------------------------------------------------------------------------------- */

static struct name *name_get(struct resolver *r, const char *host)
{
	struct name *n = name_find(r, host);

	if (n)
		return n;
	n = calloc(1, sizeof *n);
	if (!n)
		return NULL;
	strcpy(n->host, host);
	n->next = r->names;
	r->names = n;
	if (r->looking < AT_ONCE)
		lookup_begin(r, n);
	return n;
}

bool resolver_endpoint(struct resolver *r, const char *endpoint, char out[LIMIT_ENDPOINT_BYTES + 1])
{
	char host[LIMIT_ENDPOINT_BYTES + 1];
	struct name *n;

	if (!endpoint_name(endpoint, host)) {
		strcpy(out, endpoint);
		return true;
	}
	n = name_get(r, host);
	if (!n || !n->found.n)
		return false;
	snprintf(out, LIMIT_ENDPOINT_BYTES + 1, "tcp://%s%s", n->found.address[n->at], strrchr(endpoint, ':'));
	return true;
}

void resolver_failed(struct resolver *r, const char *endpoint)
{
	char host[LIMIT_ENDPOINT_BYTES + 1];
	struct name *n = endpoint_name(endpoint, host) ? name_find(r, host) : NULL;

	if (!n || !n->found.n)
		return;
	n->at = (n->at + 1) % n->found.n;
	if (!n->looking)
		n->due = mono_min(n->due, mono_add(driver_mono(), AGAIN_US));
}

void resolver_tick(struct resolver *r, struct mono now)
{
	for (struct name *n = r->names; n && r->looking < AT_ONCE; n = n->next)
		if (!n->looking && !mono_before(now, n->due))
			lookup_begin(r, n);
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

enum err resolver_open(struct poller *poller, void (*changed)(void *arg, const char *host), void *arg, struct resolver **out, struct errmsg *m)
{
	struct resolver *r = calloc(1, sizeof *r);
	struct board *b = calloc(1, sizeof *b);

	*out = NULL;
	if (!r || !b || pthread_mutex_init(&b->lock, NULL)) {
		free(r);
		free(b);
		return err_set(m, ERR_NOMEM, "names: out of memory");
	}
	b->users = 1;
	b->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	*r = (struct resolver){.poller = poller, .changed = changed, .arg = arg, .board = b, .watch = {b->fd, done_ready, r}};
	if (b->fd < 0 || poller_add(poller, &r->watch, EPOLLIN)) {
		board_leave(b);
		free(r);
		return err_set(m, ERR_IO, "names: %s", strerror(errno));
	}
	*out = r;
	return ERR_OK;
}

void resolver_close(struct resolver *r)
{
	struct name *n, *next;

	if (!r)
		return;
	poller_remove(r->poller, &r->watch);
	for (n = r->names; n; n = next) {
		next = n->next;
		free(n);
	}
	board_leave(r->board);
	free(r);
}
