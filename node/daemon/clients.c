#include "node/daemon/clients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/daemon/log.h"
#include "proto/request.h"

/* Replies kept for one client: over the first it is not read from, over the second it is closed. */
#define SLOW_BYTES (8u * 1024 * 1024)
#define HOPELESS_BYTES (64u * 1024 * 1024)
#define READ_BYTES (256u * 1024)
#define BACKLOG 64
#define GROUPS 256
static_assert(READ_BYTES >= 2 * LIMIT_REQUEST_BYTES, "what is left of a request and the next bytes fit");

struct client {
	uint64_t id;
	int fd;
	struct watch watch;
	struct clients *all;
	uint32_t polled;         /* what the poller was asked for */
	bool known;              /* the core was told of it */
	bool ending;             /* close when out is empty; no more requests */
	bool closed;             /* waits for clients_settle */
	bool stalled;            /* a request found no room in the inbox; it and what follows wait in `in` */
	bool dirty;              /* in the list to flush */
	struct buf in;           /* the begin of a request */
	struct buf out;
	size_t sent;             /* of out */
	struct client *next_dirty, *next_closed;
};

struct clients {
	const struct config *config;
	struct poller *poller;
	struct inbox *inbox;
	struct watch watch;      /* the listening socket */
	char path[CONFIG_SOCKET_PATH_BYTES + 1];
	bool listening, stopped;
	size_t turn;             /* whose stalled requests go first when there is room */
	size_t n, cap;
	struct client **at;
	uint64_t last_id;
	struct client *dirty, *closed;
	uint8_t scratch[READ_BYTES];
};

/* ---- rights ----------------------------------------------------------------------------------------------- */

static void rights_of(const struct config_client *from, struct client_rights *out)
{
	memset(out, 0, sizeof *out);
	strcpy(out->name, from->name);
	out->may_send = from->may_send;
	out->may_take = from->may_take;
	out->may_operate = from->may_operate;
	out->precedence = from->precedence;
	out->flash_per_hour = from->flash_per_hour;
}

static bool in_groups(uint32_t gid, const struct ucred *who, const gid_t *groups, size_t n)
{
	if (who->gid == gid)
		return true;
	for (size_t i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static bool find_rights(const struct config *c, const struct ucred *who, const gid_t *groups, size_t n, struct client_rights *out)
{
	static const struct config_client owner = {.name = "operator", .may_send = true, .may_take = true, .may_operate = true,
	                                           .precedence = PREC_FLASH};

	if (!c->clients_given) {
		rights_of(&owner, out);
		return who->uid == geteuid();
	}
	for (size_t i = 0; i < c->n_clients; i++) {
		if (!c->clients[i].by_group && c->clients[i].id == who->uid) {
			rights_of(&c->clients[i], out);
			return true;
		}
	}
	for (size_t i = 0; i < c->n_clients; i++) {
		if (c->clients[i].by_group && in_groups(c->clients[i].id, who, groups, n)) {
			rights_of(&c->clients[i], out);
			return true;
		}
	}
	return false;
}

/* The groups are those of the connecting process, from the kernel: a look-up by name could wait for a server. */
static bool rights_of_peer(const struct config *c, int fd, struct ucred *who, struct client_rights *out)
{
	gid_t groups[GROUPS];
	socklen_t size = sizeof *who;

	*who = (struct ucred){.uid = (uid_t)-1, .gid = (gid_t)-1};
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &size) != 0)
		return false;
	size = sizeof groups;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
		size = 0;
	return find_rights(c, who, groups, size / sizeof groups[0], out);
}

/* ---- one client's life -------------------------------------------------------------------------------------- */

static void mark_dirty(struct client *k)
{
	if (k->dirty || k->closed)
		return;
	k->dirty = true;
	k->next_dirty = k->all->dirty;
	k->all->dirty = k;
}

static void tell(struct client *k, enum event_type type, const struct client_rights *rights)
{
	struct event ev = {.type = type};

	ev.u.client.client = k->id;
	if (rights)
		ev.u.client.rights = *rights;
	if (!inbox_add(k->all->inbox, &ev))
		log_line(LEVEL_ERROR, "client %llu: out of memory", (unsigned long long)k->id);
}

static struct client *client_find(const struct clients *c, uint64_t id)
{
	size_t low = 0, high = c->n; /* ids only rise, so the list is sorted */

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->at[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->n && c->at[low]->id == id ? c->at[low] : NULL;
}

static void client_close(struct client *k)
{
	struct clients *c = k->all;

	if (k->closed)
		return;
	k->closed = true;
	poller_remove(c->poller, &k->watch);
	close(k->fd);
	if (k->known)
		tell(k, EVENT_CLIENT_CLOSED, NULL);
	for (size_t i = 0; i < c->n; i++) {
		if (c->at[i] != k)
			continue;
		memmove(c->at + i, c->at + i + 1, (c->n - i - 1) * sizeof *c->at);
		c->n--;
		break;
	}
	k->next_closed = c->closed;
	c->closed = k;
}

static size_t unsent(const struct client *k)
{
	return k->out.len - k->sent;
}

/* Asks the poller for what this client can be given now. */
static void repoll(struct client *k)
{
	bool read = !k->ending && !k->all->stopped && !k->stalled && unsent(k) < SLOW_BYTES;
	uint32_t want = (read ? EPOLLIN : 0u) | (unsent(k) ? EPOLLOUT : 0u);

	if (k->closed || want == k->polled)
		return;
	k->polled = want;
	poller_change(k->all->poller, &k->watch, want);
}

static void say_error(struct client *k, enum err e, const char *text)
{
	struct request_writer w;

	request_begin(&w, &k->out, REPLY_ERROR, 0);
	request_str(&w, F_CODE, err_code(e));
	request_str(&w, F_TEXT, text);
	request_end(&w);
	k->ending = true;
	mark_dirty(k);
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

/* Passes on one whole request; false when there was no room, and it is to be tried again. */
static bool pass_on(struct client *k, struct view message)
{
	struct event ev = {.type = EVENT_REQUEST};

	ev.u.request.client = k->id;
	ev.u.request.bytes = message;
	return inbox_add(k->all->inbox, &ev);
}

/* Cuts v into requests and passes them on; returns what is left, which is kept. */
static struct view pass_on_all(struct client *k, struct view v)
{
	while (!k->ending) {
		size_t len;
		enum err e = request_length(v, &len);

		if (e) {
			say_error(k, e, e == ERR_TOO_LARGE ? "the request is larger than any may be (send bodies in chunks)"
			                                   : "these bytes are no request (see the document of the request protocol)");
			break;
		}
		if (len == 0 || len > v.len)
			break;
		if (!pass_on(k, view_of(v.ptr, len))) {
			k->stalled = true;
			break;
		}
		v = view_of(v.ptr + len, v.len - len);
	}
	return v;
}

static void client_read(struct client *k)
{
	struct clients *c = k->all;
	size_t have = k->in.len;
	struct view rest;
	ssize_t n;

	if (have == READ_BYTES)
		return; /* whole requests wait for room */
	if (have)
		memcpy(c->scratch, k->in.ptr, have);
	n = read(k->fd, c->scratch + have, READ_BYTES - have);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(k);
		return;
	}
	rest = pass_on_all(k, view_of(c->scratch, have + (size_t)n));
	buf_clear(&k->in);
	buf_add(&k->in, rest);
	if (!buf_ok(&k->in)) {
		log_line(LEVEL_ERROR, "client %llu: out of memory", (unsigned long long)k->id);
		client_close(k);
	}
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

static void out_compact(struct client *k)
{
	if (k->sent == k->out.len) {
		if (k->out.cap > 1024 * 1024)
			buf_release(&k->out);
		buf_clear(&k->out);
		k->sent = 0;
	} else if (k->sent > k->out.len / 2) {
		memmove(k->out.ptr, k->out.ptr + k->sent, k->out.len - k->sent);
		k->out.len -= k->sent;
		k->sent = 0;
	}
}

static void client_write(struct client *k)
{
	ssize_t n = 0;

	if (k->closed)
		return;
	if (unsent(k))
		n = send(k->fd, k->out.ptr + k->sent, unsent(k), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		client_close(k);
		return;
	}
	if (n > 0) {
		k->sent += (size_t)n;
		out_compact(k);
	}
	if (k->ending && !unsent(k))
		client_close(k);
	else
		repoll(k);
}

static void client_ready(void *arg, uint32_t events)
{
	struct client *k = arg;

	if (k->closed)
		return;
	if ((events & (EPOLLHUP | EPOLLERR)) && !(k->polled & EPOLLIN)) {
		client_close(k); /* gone, and nobody would read it: it would be told for ever */
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		client_read(k);
	if (events & EPOLLOUT)
		client_write(k);
	repoll(k);
}

/* ---- accepting ------------------------------------------------------------------------------------------------ */

static bool room_for_one(struct clients *c)
{
	size_t cap = c->cap ? c->cap * 2 : 16;
	struct client **at;

	if (c->n < c->cap)
		return true;
	at = realloc(c->at, cap * sizeof *at);
	if (!at)
		return false;
	c->at = at;
	c->cap = cap;
	return true;
}

static struct client *client_new(struct clients *c, int fd)
{
	struct client *k = room_for_one(c) ? calloc(1, sizeof *k) : NULL;

	if (!k)
		return NULL;
	k->id = ++c->last_id;
	k->fd = fd;
	k->all = c;
	k->watch = (struct watch){fd, client_ready, k};
	k->polled = EPOLLIN;
	if (poller_add(c->poller, &k->watch, EPOLLIN)) {
		free(k);
		return NULL;
	}
	c->at[c->n++] = k;
	return k;
}

static void welcome(struct clients *c, int fd)
{
	struct client *k = client_new(c, fd);
	struct client_rights rights;
	struct ucred who;

	if (!k) {
		log_line(LEVEL_ERROR, "client: out of memory");
		close(fd);
		return;
	}
	if (!rights_of_peer(c->config, fd, &who, &rights)) {
		log_line(LEVEL_WARNING, "client: user %u (process %d) may not connect: no line of `clients` names it", (unsigned)who.uid, (int)who.pid);
		say_error(k, ERR_NOT_PERMITTED, "this user may not use the node (the administrator lists users and groups in `clients`)");
	} else if (c->n > (size_t)c->config->max_clients) {
		log_line(LEVEL_WARNING, "client: over %lld clients, user %u is refused", (long long)c->config->max_clients, (unsigned)who.uid);
		say_error(k, ERR_BUSY, "the node has as many clients as it may (close some, or raise max_clients)");
	} else {
		log_line(LEVEL_DEBUG, "client %llu: user %u (process %d) as %s", (unsigned long long)k->id, (unsigned)who.uid, (int)who.pid,
		         rights.name);
		k->known = true;
		tell(k, EVENT_CLIENT_OPEN, &rights);
	}
	repoll(k);
}

static void listen_ready(void *arg, uint32_t events)
{
	struct clients *c = arg;

	(void)events;
	for (int i = 0; i < BACKLOG; i++) {
		int fd = accept4(c->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			welcome(c, fd);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			/* without descriptors it would be ready for ever; clients_tick listens again */
			log_line(LEVEL_ERROR, "client: %s", strerror(errno));
			poller_remove(c->poller, &c->watch);
			c->listening = false;
		}
		return;
	}
}

/* ---- the socket ------------------------------------------------------------------------------------------------ */

static enum err listen_on(struct clients *c, struct errmsg *m)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t before;
	int fd, rc;

	strcpy(address.sun_path, c->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(m, ERR_IO, "socket: %s", strerror(errno));
	c->watch.fd = fd;
	before = umask(0117); /* 0660 from the first moment on */
	rc = bind(fd, (struct sockaddr *)&address, sizeof address);
	umask(before);
	if (rc != 0 || listen(fd, BACKLOG) != 0)
		return err_set(m, ERR_IO, "%s: %s (does its folder exist and may we write there?)", c->path, strerror(errno));
	if (poller_add(c->poller, &c->watch, EPOLLIN))
		return err_set(m, ERR_IO, "epoll: %s", strerror(errno));
	c->listening = true;
	return ERR_OK;
}

/* A node that died left it; anything else in its place is not ours to remove. */
static enum err remove_stale(const char *path, struct errmsg *m)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return ERR_OK;
	if (!S_ISSOCK(st.st_mode))
		return err_set(m, ERR_EXISTS, "%s: it is there and is no socket (remove it, or set another path)", path);
	if (unlink(path) != 0)
		return err_set(m, ERR_IO, "%s: %s", path, strerror(errno));
	return ERR_OK;
}

enum err clients_open(const struct config *config, struct poller *poller, struct inbox *inbox, struct clients **out, struct errmsg *m)
{
	struct clients *c = calloc(1, sizeof *c);
	enum err e;

	*out = NULL;
	if (!c)
		return err_set(m, ERR_NOMEM, "clients: out of memory");
	c->config = config;
	c->poller = poller;
	c->inbox = inbox;
	c->watch = (struct watch){-1, listen_ready, c};
	strcpy(c->path, config->socket); /* config_load checked its length */
	e = remove_stale(c->path, m);
	if (!e)
		e = listen_on(c, m);
	if (!e) {
		*out = c;
		return ERR_OK;
	}
	if (c->watch.fd >= 0)
		close(c->watch.fd);
	free(c);
	return e;
}

void clients_stop(struct clients *c)
{
	if (c->listening)
		poller_remove(c->poller, &c->watch);
	c->listening = false;
	c->stopped = true;
	for (size_t i = 0; i < c->n; i++)
		repoll(c->at[i]);
}

void clients_close(struct clients *c)
{
	if (!c)
		return;
	clients_stop(c);
	while (c->n) {
		c->at[0]->known = false; /* nobody listens any more */
		client_close(c->at[0]);
	}
	clients_settle(c);
	close(c->watch.fd);
	unlink(c->path);
	free(c->at);
	free(c);
}

void clients_config(struct clients *c, const struct config *config)
{
	c->config = config;
}

/* ---- for the loop ---------------------------------------------------------------------------------------------- */

void clients_reply(struct clients *c, uint64_t client, struct view bytes)
{
	struct client *k = client_find(c, client);

	if (!k)
		return;
	buf_add(&k->out, bytes);
	if (!buf_ok(&k->out) || unsent(k) > HOPELESS_BYTES) {
		log_line(LEVEL_WARNING, "client %llu: it does not read what it asked for, and is closed", (unsigned long long)client);
		client_close(k);
		return;
	}
	mark_dirty(k);
}

void clients_end(struct clients *c, uint64_t client)
{
	struct client *k = client_find(c, client);

	if (!k)
		return;
	k->ending = true;
	mark_dirty(k);
}

void clients_flush(struct clients *c)
{
	struct client *k = c->dirty, *next;

	c->dirty = NULL;
	for (; k; k = next) {
		next = k->next_dirty;
		k->dirty = false;
		client_write(k);
	}
}

/* Whole requests that found no room lie before anything that can still be read. */
static void resume(struct client *k)
{
	struct buf kept = k->in;

	k->stalled = false;
	k->in = BUF_EMPTY;
	buf_add(&k->in, pass_on_all(k, buf_view(&kept)));
	buf_release(&kept);
	repoll(k);
}

void clients_resume(struct clients *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct client *k = c->at[(c->turn + i) % c->n];

		if (k->stalled)
			resume(k);
	}
	c->turn++;
}

bool clients_idle(const struct clients *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (unsent(c->at[i]))
			return false;
	return true;
}

void clients_settle(struct clients *c)
{
	clients_flush(c); /* nothing that is freed below stays in the list */
	while (c->closed) {
		struct client *k = c->closed;

		c->closed = k->next_closed;
		buf_release(&k->in);
		buf_release(&k->out);
		free(k);
	}
}

void clients_tick(struct clients *c)
{
	if (c->listening || c->stopped || poller_add(c->poller, &c->watch, EPOLLIN))
		return;
	c->listening = true;
}
