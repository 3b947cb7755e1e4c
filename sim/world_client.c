/* world_client.c - the desks' sessions with their nodes. A session is known by its number and ends with the node's run. */
#include "sim/world_int.h"

static struct session *session_find(struct world *w, uint64_t client)
{
	return client && client <= w->n_sessions ? &w->session[client - 1] : NULL;
}

uint64_t world_client_open(struct world *w, size_t site, const struct client_rights *rights, world_client_fn *fn, void *arg)
{
	struct node *n = &w->node[site];
	struct event ev = {.type = EVENT_CLIENT_OPEN};

	if (n->state == SITE_DOWN || (w->config.body && !w->config.body->client_open(w->config.body->arg, site, w->n_sessions + 1)))
		return 0;
	if (w->n_sessions == w->cap_sessions) {
		w->cap_sessions = w->cap_sessions ? 2 * w->cap_sessions : 64;
		w->session = must(realloc(w->session, w->cap_sessions * sizeof *w->session));
	}
	w->session[w->n_sessions++] = (struct session){.site = site, .run = n->run, .open = true, .fn = fn, .arg = arg};
	if (w->config.body)
		return w->n_sessions;
	ev.u.client.client = w->n_sessions;
	ev.u.client.rights = *rights;
	node_take(w, n, ROW_URGENT, &ev, NULL);
	return w->n_sessions;
}

static bool session_lives(const struct world *w, const struct session *s)
{
	return s->open && w->node[s->site].state != SITE_DOWN && w->node[s->site].run == s->run;
}

/* To a site that is elsewhere; no bytes: it hangs up. */
static void body_client(struct world *w, size_t site, uint64_t client, struct view bytes)
{
	const struct world_body *b = w->config.body;

	for (size_t i = 0; i < w->n_hooks; i++)
		if (w->hooks[i].asked)
			w->hooks[i].asked(w->hooks[i].arg, w, site, client, bytes);
	if (bytes.len)
		b->request(b->arg, site, client, bytes);
	else
		b->client_close(b->arg, site, client);
}

void world_client_close(struct world *w, size_t site, uint64_t client)
{
	struct session *s = session_find(w, client);
	struct event ev = {.type = EVENT_CLIENT_CLOSED};

	if (!s || !s->open)
		return;
	ev.u.client.client = client;
	if (w->config.body)
		body_client(w, site, client, view_of(NULL, 0));
	else if (session_lives(w, s))
		node_take(w, &w->node[site], ROW_SUBMIT, &ev, NULL);
	s->open = false;
}

/* As the daemon sorts them: what is not FLASH or IMMEDIATE waits behind what is. */
static enum inbox_row row_of_request(struct view bytes)
{
	struct request r;
	struct request_item f;

	if (request_decode(bytes, &r))
		return ROW_URGENT;
	if (r.type == REQ_CHUNK)
		return ROW_SUBMIT;
	if (r.type != REQ_SUBMIT)
		return ROW_URGENT;
	for (struct view rest = r.fields; request_next(&rest, &f) == ERR_OK;)
		if (f.field == F_PRECEDENCE && item_u8(&f) <= PREC_IMMEDIATE)
			return ROW_URGENT;
	return ROW_SUBMIT;
}

void world_request(struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct session *s = session_find(w, client);
	struct event ev = {.type = EVENT_REQUEST};

	if (!s || !session_lives(w, s))
		return;
	if (w->config.body) {
		body_client(w, site, client, bytes);
		return;
	}
	struct parcel *p = parcel_new(w, site, bytes);

	ev.u.request.client = client;
	ev.u.request.bytes = view_of(p->bytes, p->len);
	node_take(w, &w->node[site], row_of_request(bytes), &ev, p);
}

void client_replies(struct world *w, size_t site, uint64_t client, struct view bytes, struct mono at)
{
	struct parcel *p = parcel_new(w, site, bytes);

	p->client = client;
	due_at(w, at, DUE_REPLY, (uint32_t)site, 0, p);
}

void client_hears(struct world *w, uint64_t client, struct view bytes)
{
	struct session *s = session_find(w, client);

	if (!s || !session_lives(w, s))
		return;
	size_t site = s->site;

	for (size_t i = 0; i < w->n_hooks; i++)
		if (w->hooks[i].reply)
			w->hooks[i].reply(w->hooks[i].arg, w, site, client, bytes);
	s = session_find(w, client);
	s->fn(s->arg, w, site, client, bytes);
}

void client_deliver(struct world *w, struct parcel *p)
{
	client_hears(w, p->client, view_of(p->bytes, p->len));
	free(p);
}

void client_closed_by_node(struct world *w, uint64_t client, struct mono at)
{
	due_at(w, at, DUE_GONE, 0, client, NULL);
}

void client_gone(struct world *w, uint64_t client)
{
	struct session *s = session_find(w, client);

	if (!s || !s->open)
		return;
	s->open = false;
	s->fn(s->arg, w, s->site, client, view_of(NULL, 0));
}

void clients_gone(struct world *w, size_t site)
{
	/* Sessions of a site are among the latest; older ones of it were closed with the run before. */
	for (size_t i = 0; i < w->n_sessions; i++)
		if (w->session[i].open && w->session[i].site == site)
			due_at(w, w->now, DUE_GONE, 0, i + 1, NULL);
}
