#include "sim/arrivals.h"

#include <stdlib.h>
#include <string.h>

#include "proto/entry.h"
#include "sim/body.h"
#include "storage/store.h"

/* A message at a site; next: at another one, plus 1. */
struct seen { size_t site, from, next; struct mono at; char bearer[LIMIT_NAME_BYTES + 1]; };
/* Its entry is there, its body is not. */
struct partly { uint64_t arrival; uint32_t message; size_t seen, site; };
struct watched { struct msgid id; size_t site, seen; bool done; };

struct arrivals {
	struct world *w;
	uint64_t *upto;             /* a site's entries looked at, by arrival number */
	uint32_t *journal;          /* of which of its journals */
	struct watched *watched; size_t n_watched;
	uint32_t *slots; size_t cap; /* by id: index + 1 */
	struct seen *seen; size_t n_seen;
	struct partly *partly; size_t n_partly;
	size_t open;
	bool stop;
};

static void *more(void *list, size_t n, size_t size)
{
	if (n & (n - 1))
		return list;
	void *p = realloc(list, (n ? 2 * n : 1) * size);

	if (!p)
		abort();
	return p;
}

static size_t slot_of(const struct arrivals *a, const struct msgid *id)
{
	uint64_t h;

	memcpy(&h, id->b + MSGID_BYTES - sizeof h, sizeof h);
	size_t i = (size_t)(h * 0x9e3779b97f4a7c15u) & (a->cap - 1);

	while (a->slots[i] && !msgid_equal(&a->watched[a->slots[i] - 1].id, id))
		i = (i + 1) & (a->cap - 1);
	return i;
}

static struct watched *watched_by_id(const struct arrivals *a, const struct msgid *id)
{
	uint32_t at = a->cap ? a->slots[slot_of(a, id)] : 0;

	return at ? &a->watched[at - 1] : NULL;
}

/* The bearer of the connection on which entries of that precedence came: what the giver dialled. */
static void bearer_between(struct world *w, size_t from, size_t to, uint8_t precedence, char out[LIMIT_NAME_BYTES + 1])
{
	uint8_t lane = precedence <= PREC_IMMEDIATE ? LANE_URGENT : LANE_BULK;

	out[0] = '\0';
	for (size_t i = 0; i < world_links(w); i++) {
		const struct link *l = world_link(w, i);

		if (l->config.a != (from < to ? from : to) || l->config.b != (from < to ? to : from))
			continue;
		memcpy(out, l->config.bearers[l->conn[from == l->config.b][lane].bearer].name, LIMIT_NAME_BYTES + 1);
		return;
	}
}

static void whole(struct arrivals *a, uint32_t message, size_t seen)
{
	struct watched *m = &a->watched[message];

	a->seen[seen].at = world_now(a->w);
	if (m->site != a->seen[seen].site || m->done)
		return;
	m->done = true;
	if (!--a->open && a->stop)
		world_stop(a->w);
}

static void entry_came(struct arrivals *a, size_t site, const struct entry_row *row)
{
	struct header h;
	struct watched *m = header_decode(row->e.header, &h) || h.kind != KIND_MESSAGE ? NULL : watched_by_id(a, &h.id);

	if (!m)
		return;
	struct seen s = {.site = site, .from = world_site_by_number(a->w, row->from), .next = m->seen, .at = MONO_NEVER};

	if (s.from != site && s.from != WORLD_NO_SITE)
		bearer_between(a->w, s.from, site, h.precedence, s.bearer);
	a->seen = more(a->seen, a->n_seen, sizeof *a->seen);
	a->seen[a->n_seen++] = s;
	m->seen = a->n_seen;
	if (row->body_no || !row->e.body_len) {
		whole(a, (uint32_t)(m - a->watched), a->n_seen - 1);
	} else {
		a->partly = more(a->partly, a->n_partly, sizeof *a->partly);
		a->partly[a->n_partly++] = (struct partly){row->arrival, (uint32_t)(m - a->watched), a->n_seen - 1, site};
	}
}

static void look(struct arrivals *a, size_t site)
{
	struct store *store = world_store(a->w, site);
	struct entry_row row;
	struct txn *t = NULL;

	if (!store || txn_begin(store, false, &t))
		return;
	if (a->journal[site] != world_site_journal(a->w, site)) {
		a->journal[site] = world_site_journal(a->w, site);
		a->upto[site] = 0;
	}
	while (!store_entry_from(t, a->upto[site] + 1, &row)) {
		a->upto[site] = row.arrival;
		entry_came(a, site, &row);
	}
	for (size_t i = 0; i < a->n_partly; i++) {
		struct partly p = a->partly[i];

		if (p.site != site || store_entry_get(t, p.arrival, &row) || !row.body_no)
			continue;
		a->partly[i--] = a->partly[--a->n_partly];
		whole(a, p.message, p.seen);
	}
	txn_abort(t);
}

static void on_step(void *arg, struct world *w, size_t site, const struct event *events, size_t n, const struct effects *out)
{
	struct arrivals *a = arg;

	(void)w, (void)events, (void)n, (void)out;
	if (a->n_watched)
		look(a, site);
}

struct arrivals *arrivals_new(struct world *w)
{
	struct arrivals *a = calloc(1, sizeof *a);
	struct world_hooks hooks = {.arg = a, .step = on_step};

	if (!a || !(a->upto = calloc(world_sites(w), sizeof *a->upto)) || !(a->journal = calloc(world_sites(w), sizeof *a->journal)))
		abort();
	a->w = w;
	world_subscribe(w, &hooks);
	return a;
}

void arrivals_free(struct arrivals *a)
{
	if (!a)
		return;
	free(a->upto);
	free(a->journal);
	free(a->watched);
	free(a->slots);
	free(a->seen);
	free(a->partly);
	free(a);
}

static void slots_grow(struct arrivals *a)
{
	free(a->slots);
	a->cap = a->cap ? 2 * a->cap : 64;
	a->slots = calloc(a->cap, sizeof *a->slots);
	if (!a->slots)
		abort();
	for (size_t i = 0; i < a->n_watched; i++)
		a->slots[slot_of(a, &a->watched[i].id)] = (uint32_t)i + 1;
}

void arrivals_watch(struct arrivals *a, const struct msgid *id, size_t site)
{
	if (2 * (a->n_watched + 1) > a->cap)
		slots_grow(a);
	a->watched = more(a->watched, a->n_watched, sizeof *a->watched);
	a->watched[a->n_watched++] = (struct watched){.id = *id, .site = site};
	a->slots[slot_of(a, id)] = (uint32_t)a->n_watched;
	a->open++;
}

void arrivals_stop_when_done(struct arrivals *a, bool stop) { a->stop = stop; }

size_t arrivals_open(const struct arrivals *a) { return a->open; }

static const struct seen *seen_at(const struct arrivals *a, const struct msgid *id, size_t site)
{
	const struct watched *m = watched_by_id(a, id);

	for (size_t i = m ? m->seen : 0; i; i = a->seen[i - 1].next)
		if (a->seen[i - 1].site == site)
			return &a->seen[i - 1];
	return NULL;
}

struct mono arrivals_at(const struct arrivals *a, const struct msgid *id, size_t site)
{
	const struct seen *s = seen_at(a, id, site);

	return s ? s->at : MONO_NEVER;
}

static void prepend(struct arrival_way *way, size_t site, const char *bearer)
{
	memmove(&way->site[1], &way->site[0], way->n * sizeof way->site[0]);
	memmove(&way->bearer[1], &way->bearer[0], way->n * sizeof way->bearer[0]);
	way->site[0] = site;
	memcpy(way->bearer[0], bearer, sizeof way->bearer[0]);
	way->n++;
}

void arrivals_way(const struct arrivals *a, const struct msgid *id, size_t site, struct arrival_way *out)
{
	static const char none[LIMIT_NAME_BYTES + 1] = "";

	out->n = 0;
	for (const struct seen *s = seen_at(a, id, site); s && out->n < ARRIVAL_HOPS - 1;) {
		size_t from = s->from == s->site ? WORLD_NO_SITE : s->from;

		prepend(out, s->site, s->bearer);
		s = from == WORLD_NO_SITE ? NULL : seen_at(a, id, from);
		/* It was there before it was watched. */
		if (!s && from != WORLD_NO_SITE)
			prepend(out, from, none);
	}
}
