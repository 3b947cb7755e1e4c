/* world.c - the run: what is due is done, in order. And timers, news, the books and the trace. */
#include "sim/world_int.h"

#define COMMIT_US (2 * US_PER_MS)
#define HEARTBEAT_US (60 * US_PER_S)
#define BATCH_ROOM 260

/* ---- small things ------------------------------------------------------------------------------------------------ */

void due_at(struct world *w, struct mono at, enum due_kind kind, uint32_t who, uint64_t what, void *ptr)
{
	if (mono_before(at, w->now))
		at = w->now;
	heap_push(&w->heap, (struct due){.at = at.us, .kind = kind, .who = who, .what = what, .ptr = ptr});
}

void news_view(struct world *w, enum world_news_type type, size_t site, size_t peer, int64_t number, struct view text)
{
	struct world_news n = {.type = type, .site = site, .peer = peer, .number = number, .text = text};

	for (size_t i = 0; i < w->n_hooks; i++)
		if (w->hooks[i].news)
			w->hooks[i].news(w->hooks[i].arg, w, &n);
}

void news(struct world *w, enum world_news_type type, size_t site, size_t peer, int64_t number, const char *text)
{
	news_view(w, type, site, peer, number, view_str(text));
}

struct parcel *parcel_new(struct world *w, size_t from, struct view bytes)
{
	struct parcel *p = must(malloc(sizeof *p + bytes.len));

	*p = (struct parcel){.from = (uint32_t)from, .run = w->node[from].run, .order = ++w->parcels, .len = (uint32_t)bytes.len};
	if (bytes.len)
		memcpy(p->bytes, bytes.ptr, bytes.len);
	return p;
}

/* ---- the trace ------------------------------------------------------------------------------------------------------- */

static void trace_flush(struct world *w)
{
	if (w->trace)
		hasher_add(w->trace, view_of(w->trace_buf, w->trace_len));
	w->trace_len = 0;
}

void trace_add(struct world *w, const void *bytes, size_t n)
{
	if (n > sizeof w->trace_buf - w->trace_len)
		trace_flush(w);
	if (n > sizeof w->trace_buf) {
		if (w->trace)
			hasher_add(w->trace, view_of(bytes, n));
		return;
	}
	if (n)
		memcpy(w->trace_buf + w->trace_len, bytes, n);
	w->trace_len += n;
}

void trace_u64(struct world *w, uint64_t x)
{
	trace_add(w, &x, sizeof x);
}

void world_trace(struct world *w, char out[65])
{
	trace_flush(w);
	struct hash h = hasher_end(w->trace);

	w->trace = NULL;
	hex_format(h.b, sizeof h.b, out);
}

/* ---- the run ------------------------------------------------------------------------------------------------------------ */

static void start_due(struct world *w, const struct due *d)
{
	struct node *n = &w->node[d->who];

	/* The service manager's restart of that run's end; another start since then makes it out of date. */
	if (n->run == d->what)
		node_start(w, n);
}

static void crash_due(struct world *w, const struct due *d)
{
	struct node *n = &w->node[d->who];
	bool stop = d->what >> 63;

	if (n->run == (uint32_t)d->what && n->state != SITE_DOWN && (stop || n->crash_next != CRASH_NOW))
		node_die(w, n, n->crash_why, n->crash_power);
}

static void timer_due(struct world *w, struct timer *t)
{
	t->fn(t->arg, w, t->cookie);
	free(t);
}

static void do_due(struct world *w, const struct due *d)
{
	switch ((enum due_kind)d->kind) {
	case DUE_WAKE:
		if (w->node[d->who].wake_order == d->order)
			node_wake(w, &w->node[d->who]);
		break;
	case DUE_START: start_due(w, d); break;
	case DUE_PARCEL: net_parcel(w, d->ptr); break;
	case DUE_REPLY: client_deliver(w, d->ptr); break;
	case DUE_GONE: client_gone(w, d->what); break;
	case DUE_DIAL:
	case DUE_SHAKEN:
	case DUE_CHECK:
	case DUE_REFUSED: net_due(w, d); break;
	case DUE_SCHEDULE: net_schedule(w, d->who, d->what); break;
	case DUE_CRASH: crash_due(w, d); break;
	case DUE_TIMER: timer_due(w, d->ptr); break;
	}
}

bool world_run(struct world *w, struct mono until)
{
	struct due d;

	w->stop = false;
	while (!w->stop && w->heap.n && w->heap.due[0].at <= until.us) {
		heap_pop(&w->heap, &d);
		w->now.us = d.at;
		do_due(w, &d);
	}
	if (!w->stop && mono_before(w->now, until))
		w->now = until;
	return !w->stop;
}

void world_stop(struct world *w) { w->stop = true; }

void world_at(struct world *w, struct mono at, world_timer *fn, void *arg, uint64_t cookie)
{
	struct timer *t = must(malloc(sizeof *t));

	*t = (struct timer){fn, arg, cookie};
	due_at(w, at, DUE_TIMER, 0, 0, t);
}

void world_subscribe(struct world *w, const struct world_hooks *hooks)
{
	assert(w->n_hooks < WORLD_HOOKS);
	w->hooks[w->n_hooks++] = *hooks;
}

/* ---- life -------------------------------------------------------------------------------------------------------------------- */

static enum err make_links(struct world *w, struct errmsg *m)
{
	w->between = must(malloc(w->n * w->n * sizeof *w->between));
	memset(w->between, 0xff, w->n * w->n * sizeof *w->between);
	w->link = must(calloc(w->n_links + 1, sizeof *w->link));
	w->stall = must(calloc(8 * w->n_links + 1, sizeof *w->stall));
	w->caller = must(calloc(4 * w->n_links + 1, sizeof *w->caller));
	for (size_t i = 0; i < w->n_links; i++) {
		const struct link_config *l = &w->config.links[i];

		if (l->a >= l->b || l->b >= w->n || l->n_bearers == 0 || l->n_bearers > LIMIT_BEARERS || w->between[l->a * w->n + l->b] != NO_LINK)
			return err_set(m, ERR_FORMAT, "link %zu: it joins no two sites, has no bearers, or is there already", i);
		link_init(&w->link[i], l, w->config.seed, i);
		w->between[l->a * w->n + l->b] = w->between[l->b * w->n + l->a] = (uint16_t)i;
		for (int end = 0; end < 2; end++) {
			struct node *n = &w->node[end ? l->b : l->a];

			n->links = must(realloc(n->links, (n->n_links + 1) * sizeof *n->links));
			n->links[n->n_links++] = (uint16_t)i;
		}
	}
	return ERR_OK;
}

static void defaults(struct world_config *c)
{
	if (!c->commit_us)
		c->commit_us = COMMIT_US;
	if (!c->heartbeat_us)
		c->heartbeat_us = HEARTBEAT_US;
	if (!c->suite)
		c->suite = &crypt_suite_fast;
}

enum err world_new(const struct world_config *config, struct world **out, struct errmsg *m)
{
	struct world *w = must(calloc(1, sizeof *w));

	*out = NULL;
	w->config = *config;
	defaults(&w->config);
	w->n = config->roster->n_sites;
	w->n_links = config->n_links;
	w->node = must(calloc(w->n ? w->n : 1, sizeof *w->node));
	w->by_number = must(calloc(65536, sizeof *w->by_number));
	w->batch = must(calloc(BATCH_ROOM, sizeof *w->batch));
	w->batch_parcels = must(calloc(BATCH_ROOM, sizeof *w->batch_parcels));
	w->trace = must(hasher_new(HASH_RECORD));
	w->dir = config->dir ? must(strdup(config->dir)) : NULL;
	prng_init(&w->prng, config->seed, "world", 0);
	for (size_t i = 0; i < w->n; i++)
		node_init(w, i);
	enum err e = make_links(w, m);

	if (!e)
		e = world_make_roster(w, config->roster, m);
	if (e) {
		world_free(w);
		return e;
	}
	for (size_t i = 0; i < w->n; i++) {
		w->by_number[w->node[i].number] = (uint16_t)(i + 1);
		if (!config->dark && !config->body)
			due_at(w, (struct mono){(int64_t)prng_below(&w->prng, US_PER_S)}, DUE_START, (uint32_t)i, 0, NULL);
	}
	for (size_t l = 0; l < w->n_links; l++)
		for (size_t b = 0; b < w->link[l].config.n_bearers; b++)
			net_schedule(w, l, b);
	w->config.links = NULL;
	w->config.roster = NULL;
	w->config.clocks = NULL;
	*out = w;
	return ERR_OK;
}

void world_free(struct world *w)
{
	struct due d;

	if (!w)
		return;
	while (heap_pop(&w->heap, &d))
		free(d.ptr);
	for (size_t i = 0; w->stall && i < 8 * w->n_links; i++)
		while (w->stall[i].first) {
			struct parcel *p = w->stall[i].first;

			w->stall[i].first = p->next;
			free(p);
		}
	for (size_t i = 0; i < w->n; i++)
		node_release(w, &w->node[i]);
	free(w->heap.due);
	free(w->node);
	free(w->by_number);
	free(w->link);
	free(w->between);
	free(w->stall);
	free(w->caller);
	free(w->session);
	free(w->batch);
	free(w->batch_parcels);
	free(w->dir);
	effects_release(&w->out);
	hasher_free(w->trace);
	roster_free(w->roster);
	roster_free(w->installed);
	free(w);
}

/* ---- looking ------------------------------------------------------------------------------------------------------------------- */

struct mono world_now(const struct world *w) { return w->now; }
struct wall world_wall_at(const struct world *w, struct mono at) { return (struct wall){w->config.start.us + at.us}; }
struct wall world_wall(const struct world *w) { return world_wall_at(w, w->now); }
const struct roster *world_roster(const struct world *w) { return w->roster; }
size_t world_sites(const struct world *w) { return w->n; }
const char *world_site_id(const struct world *w, size_t site) { return w->node[site].keys.site; }
uint16_t world_site_number(const struct world *w, size_t site) { return w->node[site].number; }

size_t world_site_by_id(const struct world *w, const char *id)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->node[i].keys.site, id) == 0)
			return i;
	return WORLD_NO_SITE;
}

size_t world_site_by_number(const struct world *w, uint16_t number)
{
	return w->by_number[number] ? w->by_number[number] - 1u : WORLD_NO_SITE;
}

enum site_state world_site_state(const struct world *w, size_t site) { return w->node[site].state; }
bool world_site_powered(const struct world *w, size_t site) { return w->node[site].powered; }
struct store *world_store(struct world *w, size_t site)
{
	return w->config.body ? w->config.body->store(w->config.body->arg, site) : w->node[site].store;
}
const struct core *world_core(const struct world *w, size_t site) { return w->node[site].core; }
uint32_t world_site_run(const struct world *w, size_t site) { return w->node[site].run; }
uint32_t world_site_journal(const struct world *w, size_t site) { return w->node[site].journal; }
struct wall world_site_wall(const struct world *w, size_t site) { return node_wall(w, &w->node[site]); }

const struct world_counts *world_counts(const struct world *w)
{
	struct world_counts *c = (struct world_counts *)&w->counts;

	c->records_damaged_read = 0;
	for (size_t i = 0; i < w->n; i++)
		c->records_damaged_read += w->node[i].disk.damaged_read;
	return c;
}
