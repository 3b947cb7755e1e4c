/* world_site.c - one node's life: its store, its clock, its inbox, its batches. */
#include <stdio.h>
#include <unistd.h>

#include "sim/world_int.h"

#define MONO_START_US US_PER_S
#define BATCH_MOST 256
#define IDLE_BATCH_US 100
#define BATCH_BYTES (1024 * 1024)
/* The service manager starts a node that ended by itself again after so long. */

/* ---- clocks ---------------------------------------------------------------------------------------------------- */

static int64_t drifted(int64_t us, int32_t ppm)
{
	return us / 1000000 * ppm + us % 1000000 * ppm / 1000000;
}

static int64_t gained(const struct world *w, const struct clock *c)
{
	return c->drift_ppm ? c->gained_us + drifted(w->now.us - c->since.us, c->drift_ppm) : c->gained_us;
}

void clock_settle(struct world *w, struct clock *c)
{
	c->gained_us = gained(w, c);
	c->since = w->now;
}

struct wall node_wall(const struct world *w, const struct node *n)
{
	int64_t us = w->config.start.us + w->now.us + n->clock.offset_us + gained(w, &n->clock);

	return (struct wall){us > 0 ? us : 0};
}

struct mono node_mono(const struct world *w, const struct node *n)
{
	return (struct mono){MONO_START_US + w->now.us - n->run_from.us + gained(w, &n->clock) - n->run_gained};
}

/* The first virtual time, now or later, at which the node's own monotonic clock is past `own`. */
static struct mono to_virtual(const struct world *w, const struct node *n, struct mono own)
{
	struct mono here = node_mono(w, n);

	if (own.us == MONO_NEVER.us)
		return own;
	if (own.us <= here.us)
		return w->now;
	int64_t wait = own.us - here.us;

	if (!n->clock.drift_ppm)
		return mono_add(w->now, wait);
	/* A microsecond more than it should need, for the rounding. */
	__int128 us = (__int128)wait * 1000000 / (1000000 + n->clock.drift_ppm) + 2;

	return mono_add(w->now, (int64_t)us);
}

/* ---- the store ---------------------------------------------------------------------------------------------------- */

static struct store_birth birth_of(const struct world *w, const struct node *n)
{
	struct store_birth b = {.site = n->number, .how = n->lost ? BIRTH_LOST : BIRTH_FRESH, .born = node_wall(w, n), .network = w->roster->network_hash};

	snprintf(b.site_id, sizeof b.site_id, "%s", n->keys.site);
	return b;
}

enum err node_store_open(struct world *w, struct node *n)
{
	struct store_options o = {.quota_bytes = 0};
	struct store_birth b = birth_of(w, n);
	struct errmsg m;
	enum err e = ERR_OK;

	if (n->store && w->config.store == WORLD_MEMORY) {
		store_restart_memory(n->store);
		return ERR_OK;
	}
	if (w->config.store == WORLD_MEMORY) {
		e = store_open_memory(&b, &o, NULL, NULL, &n->store);
	} else {
		if (n->store) {
			/* As after the end of its process: opened anew. */
			disk_detach(&n->disk);
			store_close(n->store);
			n->store = NULL;
		} else {
			if (asprintf(&n->dir, "%s/%s-%u", w->dir, n->keys.site, n->journal) < 0)
				must(NULL);
			e = store_create(n->dir, &b, &o, &m);
		}
		if (!e)
			e = store_open(n->dir, &o, &n->store, &m);
		if (e)
			fprintf(stderr, "estafette-sim: %s\n", m.text);
	}
	if (!e)
		disk_attach(&n->disk, n->store);
	return e;
}

static void remove_folder(const char *dir)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "lock"};
	char path[4096];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

void node_store_drop(struct world *w, struct node *n)
{
	(void)w;
	if (!n->store)
		return;
	disk_detach(&n->disk);
	store_close(n->store);
	n->store = NULL;
	if (n->dir)
		remove_folder(n->dir);
	free(n->dir);
	n->dir = NULL;
}

/* ---- inbox ------------------------------------------------------------------------------------------------------------ */

/* Room for one more. A row that is never quite empty is moved to its front when half of it was taken: it needs room for what waits in it,
 * not for all that ever came. */
static void row_room(struct row *r)
{
	if (r->at == r->n) {
		r->at = r->n = 0;
	} else if (r->n == r->cap && 2 * r->at >= r->n) {
		memmove(r->items, r->items + r->at, (r->n - r->at) * sizeof *r->items);
		r->n -= r->at;
		r->at = 0;
	}
	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 16;
		r->items = must(realloc(r->items, r->cap * sizeof *r->items));
	}
}

void node_take(struct world *w, struct node *n, enum inbox_row which, const struct event *ev, struct parcel *p)
{
	struct row *r = &n->rows[which];

	if (n->state == SITE_DOWN) {
		free(p);
		return;
	}
	row_room(r);
	r->items[r->n++] = (struct arrived){*ev, p};
	node_plan(w, n);
}

static bool inbox_empty(const struct node *n)
{
	for (int i = 0; i < ROW_COUNT; i++)
		if (n->rows[i].at < n->rows[i].n)
			return false;
	return true;
}

static void inbox_clear(struct node *n)
{
	for (int i = 0; i < ROW_COUNT; i++) {
		struct row *r = &n->rows[i];

		for (; r->at < r->n; r->at++) {
			if (r->items[r->at].ev.type == EVENT_ROSTER)
				roster_free(r->items[r->at].ev.u.roster.roster);
			free(r->items[r->at].parcel);
		}
		r->at = r->n = 0;
	}
}

void node_plan(struct world *w, struct node *n)
{
	struct mono at = MONO_NEVER;

	if (n->state == SITE_UP) {
		at = inbox_empty(n) ? to_virtual(w, n, core_deadline(n->core)) : w->now;
		if (mono_before(at, n->busy_until))
			at = n->busy_until;
	}
	if (at.us == n->wake_at.us)
		return;
	n->wake_at = at;
	n->wake_order = 0;
	if (at.us != MONO_NEVER.us)
		n->wake_order = heap_push(&w->heap, (struct due){.at = at.us, .kind = DUE_WAKE, .who = (uint32_t)n->index});
}

/* ---- batches ----------------------------------------------------------------------------------------------------------- */

static size_t gather_row(struct world *w, struct node *n, enum inbox_row which, size_t have, size_t most)
{
	struct row *r = &n->rows[which];
	size_t bytes = 0;

	for (; r->at < r->n && have < most && bytes < BATCH_BYTES; r->at++, have++) {
		w->batch[have] = r->items[r->at].ev;
		w->batch_parcels[have] = r->items[r->at].parcel;
		if (r->items[r->at].parcel)
			bytes += r->items[r->at].parcel->len;
	}
	return have;
}

/* As the daemon does: submissions wait until the urgent row is empty and have a quarter of a batch; so has bulk. */
static size_t gather(struct world *w, struct node *n)
{
	size_t have = 0, quarter = BATCH_MOST / 4, kept = n->rows[ROW_BULK].at < n->rows[ROW_BULK].n ? quarter : 0;

	if (!mono_before(node_mono(w, n), core_deadline(n->core))) {
		w->batch[have] = (struct event){.type = EVENT_TICK};
		w->batch_parcels[have++] = NULL;
	}
	have = gather_row(w, n, ROW_URGENT, have, BATCH_MOST - kept);
	if (n->rows[ROW_URGENT].at == n->rows[ROW_URGENT].n)
		have = gather_row(w, n, ROW_SUBMIT, have, have + quarter < BATCH_MOST - kept ? have + quarter : BATCH_MOST - kept);
	return gather_row(w, n, ROW_BULK, have, BATCH_MOST);
}

static void trace_event(struct world *w, const struct node *n, const struct event *ev, const struct parcel *p)
{
	trace_u64(w, (uint64_t)w->now.us);
	trace_u64(w, (uint64_t)n->index << 32 | ev->type);
	trace_u64(w, (uint64_t)ev->wall.us);
	if (ev->type == EVENT_LINK_UP || ev->type == EVENT_LINK_DOWN)
		trace_u64(w, (uint64_t)ev->u.link.peer << 8 | ev->u.link.lane);
	if (ev->type == EVENT_BEARER)
		trace_u64(w, (uint64_t)ev->u.bearer.peer << 24 | (uint64_t)ev->u.bearer.lane << 16 | (uint64_t)ev->u.bearer.index << 8 | ev->u.bearer.why);
	if (p)
		trace_u64(w, p->order << 32 | p->len); /* its bytes are in the trace as somebody's effect, or follow */
	if (ev->type == EVENT_REQUEST)
		trace_add(w, p->bytes, p->len);
}

static void trace_effects(struct world *w, const struct effects *out)
{
	for (size_t i = 0; i < out->n; i++) {
		const struct effect *f = &out->list[i];

		if (f->type == EFFECT_LOG)
			continue;
		trace_u64(w, (uint64_t)f->type << 48 | (uint64_t)f->peer << 16 | (uint64_t)f->lane << 8 | f->side);
		trace_u64(w, f->client);
	}
	trace_add(w, out->bytes.ptr, out->bytes.len);
}

static void perform(struct world *w, struct node *n, const struct effects *out)
{
	w->counts.effects += out->n;
	for (size_t i = 0; i < out->n; i++) {
		const struct effect *f = &out->list[i];
		struct view bytes = effect_bytes(out, f);

		switch (f->type) {
		case EFFECT_FRAME: net_send(w, n->index, f, bytes, n->busy_until); break;
		case EFFECT_LINK_RESET:
		case EFFECT_LINK_NEED:
		case EFFECT_LINK_RETRY: net_said(w, n->index, f); break;
		case EFFECT_REPLY: client_replies(w, n->index, f->client, bytes, n->busy_until); break;
		case EFFECT_CLIENT_CLOSE: client_closed_by_node(w, f->client, n->busy_until); break;
		case EFFECT_ROSTER: roster_now(w, n); break;
		case EFFECT_LOG: news_view(w, NEWS_LOG, n->index, WORLD_NO_SITE, f->level, bytes); break;
		}
	}
}

static void arm_disk(struct node *n)
{
	if (n->crash_next == CRASH_BEFORE_COMMIT)
		n->disk.fail_next = ERR_SYNC;
}

static void self_ended(struct world *w, struct node *n, enum err e)
{
	news(w, NEWS_COMMIT_FAILED, n->index, WORLD_NO_SITE, 0, err_code(e));
	node_die(w, n, "commit failed", false);
	due_at(w, mono_add(w->now, RESTART_US), DUE_START, (uint32_t)n->index, n->run, NULL);
}

static void apply(struct world *w, struct node *n, size_t count)
{
	struct wall wall = node_wall(w, n);
	struct mono now = node_mono(w, n);
	uint64_t failed = n->disk.failed;

	for (size_t i = 0; i < count; i++) {
		w->batch[i].now = now;
		w->batch[i].wall = wall;
		trace_event(w, n, &w->batch[i], w->batch_parcels[i]);
	}
	w->counts.events += count;
	w->counts.steps++;
	effects_clear(&w->out);
	arm_disk(n);
	enum err e = core_apply(n->core, n->store, w->batch, count, &w->out);

	w->counts.failed_commits += n->disk.failed - failed;
	/* What wrote nothing has nothing to sync. */
	n->busy_until = mono_add(w->now, n->disk.wrote || e ? n->commit_us : IDLE_BATCH_US);
	trace_u64(w, e);
	if (e && n->crash_next == CRASH_BEFORE_COMMIT) {
		w->counts.crashes_in_commit++;
		node_die(w, n, n->crash_why, n->crash_power);
		return;
	}
	if (e) {
		self_ended(w, n, e);
		return;
	}
	if (n->disk.failed != failed)
		news(w, NEWS_COMMIT_FAILED, n->index, WORLD_NO_SITE, 0, err_code(n->disk.failed_with));
	trace_effects(w, &w->out);
	for (size_t i = 0; i < w->n_hooks; i++)
		if (w->hooks[i].step)
			w->hooks[i].step(w->hooks[i].arg, w, n->index, w->batch, count, &w->out);
	if (n->crash_next == CRASH_AFTER_COMMIT) {
		w->counts.crashes_in_commit++;
		node_die(w, n, n->crash_why, n->crash_power);
		return;
	}
	perform(w, n, &w->out);
}

static void run_batch(struct world *w, struct node *n, size_t count)
{
	apply(w, n, count);
	for (size_t i = 0; i < count; i++)
		free(w->batch_parcels[i]);
}

void node_wake(struct world *w, struct node *n)
{
	n->wake_at = MONO_NEVER;
	if (n->state == SITE_UP && !mono_before(w->now, n->busy_until)) {
		size_t count = gather(w, n);

		if (count)
			run_batch(w, n, count);
	}
	node_plan(w, n);
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

void node_init(struct world *w, size_t i)
{
	struct node *n = &w->node[i];

	n->index = i;
	n->powered = true;
	n->wake_at = MONO_NEVER;
	n->died_at = (struct mono){-1};
	n->journal = 1;
	n->commit_us = w->config.commit_us;
	if (w->config.clocks)
		n->clock = (struct clock){.offset_us = w->config.clocks[i].offset_us, .drift_ppm = w->config.clocks[i].drift_ppm};
	prng_init(&n->prng, w->config.seed, "site", i);
}

void node_release(struct world *w, struct node *n)
{
	core_free(n->core);
	inbox_clear(n);
	for (int i = 0; i < ROW_COUNT; i++)
		free(n->rows[i].items);
	if (n->store) {
		disk_detach(&n->disk);
		store_close(n->store);
	}
	(void)w;
	free(n->dir);
	free(n->links);
	image_free(n->image);
	site_keys_wipe(&n->keys);
}

static enum err make_core(struct world *w, struct node *n, struct errmsg *m)
{
	struct core_config k = w->config.core;

	k.suite = w->config.suite;
	k.keys = n->keys;
	k.protocol_max = n->protocol;
	prng_bytes(&n->prng, k.seed, sizeof k.seed);
	k.has_authority = true;
	k.authority = w->authority.key;
	memcpy(k.authority_id, w->authority.key_id, sizeof k.authority_id);
	return core_new(&k, roster_at_start(w, n), n->store, &n->core, m);
}

void node_start(struct world *w, struct node *n)
{
	struct errmsg m = {0};

	if (n->state != SITE_DOWN || !n->powered)
		return;
	enum err e = node_store_open(w, n);

	if (!e)
		e = make_core(w, n, &m);
	if (e) {
		news(w, NEWS_SITE_DOWN, n->index, WORLD_NO_SITE, 0, m.text[0] ? m.text : err_text(e));
		due_at(w, mono_add(w->now, RESTART_US), DUE_START, (uint32_t)n->index, n->run, NULL);
		return;
	}
	n->lost = false;
	n->state = SITE_UP;
	n->run++;
	n->run_from = w->now;
	clock_settle(w, &n->clock);
	n->run_gained = n->clock.gained_us;
	n->serial = core_roster(n->core)->serial;
	n->busy_until = w->now;
	n->crash_next = CRASH_NOW;
	news(w, NEWS_SITE_UP, n->index, WORLD_NO_SITE, n->run, "");
	w->batch[0] = (struct event){.type = EVENT_START};
	w->batch_parcels[0] = NULL;
	run_batch(w, n, 1);
	if (n->state == SITE_UP)
		net_site_up(w, n->index);
	node_plan(w, n);
}

void node_die(struct world *w, struct node *n, const char *why, bool power)
{
	if (n->state == SITE_DOWN)
		return;
	n->state = SITE_DOWN;
	n->died_at = w->now;
	n->crash_next = CRASH_NOW;
	n->disk.fail_next = ERR_OK;
	core_free(n->core);
	n->core = NULL;
	inbox_clear(n);
	net_site_down(w, n->index, power);
	clients_gone(w, n->index);
	node_plan(w, n);
	news(w, NEWS_SITE_DOWN, n->index, WORLD_NO_SITE, 0, why);
}
