/* forecast_plan.c - to whom a path is known, and what goes in which order. */
#include <stdlib.h>
#include <string.h>

#include "sim/forecast_int.h"

/* A world has so many sites at most; of more only those that something goes over. */
#define SITES_KEPT 40
/* What is more is thinned, and so are the lines: a forecast takes seconds. */
#define ITEMS_MOST 4000
#define MERGED_MOST 60000 /* bytes of entries that go as one */
#define BYTES_MOST (48LL * 1024 * 1024)
/* Of links that nobody here has measured. */
#define ASSUMED_BPS 10000000
#define ASSUMED_ROUND_US (20 * US_PER_MS)

/* ---- links -------------------------------------------------------------------------------------------------------------- */

static const struct fc_link *own_link(const struct forecast *f, size_t peer, bool bulk)
{
	const struct fc_link *found = NULL;

	for (size_t i = 0; i < f->n_links; i++)
		if (f->links[i].peer == peer && (!found || f->links[i].bulk == bulk))
			found = &f->links[i];
	return found;
}

static bool says(const struct forecast *f, size_t a, size_t b) { return f->says[a * f->n_sites + b]; }

static int by_name(const void *a, const void *b)
{
	const struct fc_site *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* Lists of names become a table: where everybody reaches everybody each list is as long as the network. */
static bool make_table(struct forecast *f)
{
	const struct fc_site **sorted = calloc(f->n_sites + 1, sizeof(struct fc_site *));
	struct fc_site wanted;
	const struct fc_site *key = &wanted;

	f->says = calloc(f->n_sites * f->n_sites + 1, sizeof *f->says);
	for (size_t i = 0; sorted && i < f->n_sites; i++)
		sorted[i] = &f->sites[i];
	if (sorted)
		qsort(sorted, f->n_sites, sizeof *sorted, by_name);
	for (size_t i = 0; sorted && f->says && i < f->n_sites; i++)
		for (size_t k = 0; k < f->sites[i].n_reaches; k++) {
			memcpy(wanted.name, f->sites[i].reaches[k], sizeof wanted.name);
			const struct fc_site **found = bsearch(&key, sorted, f->n_sites, sizeof *sorted, by_name);

			if (found)
				f->says[i * f->n_sites + (size_t)(*found - f->sites)] = true;
		}
	bool made = sorted && f->says;

	free(sorted);
	return made;
}

bool fc_linked(const struct forecast *f, size_t a, size_t b)
{
	if (a == f->self || b == f->self)
		return a != b && own_link(f, a == f->self ? b : a, false) != NULL;
	return says(f, a, b) && says(f, b, a);
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Half of our own links take no longer. */
static int64_t usual_round(const struct forecast *f)
{
	int64_t *all = calloc(f->n_links + 1, sizeof *all), us = ASSUMED_ROUND_US;
	size_t n = 0;

	for (size_t i = 0; all && i < f->n_links; i++)
		if (f->links[i].round_us)
			all[n++] = f->links[i].round_us;
	if (n) {
		qsort(all, n, sizeof *all, by_size);
		us = all[n / 2];
	}
	free(all);
	return us;
}

static int64_t hint_of(const struct forecast *f, size_t a, size_t b)
{
	int64_t x = f->sites[a].hint_bps, y = f->sites[b].hint_bps;

	return x && y ? (x < y ? x : y) : x ? x : y;
}

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

struct fc_line fc_line(const struct forecast *f, size_t a, size_t b, bool bulk, bool best)
{
	int64_t hint = hint_of(f, a, b);
	struct fc_line line = {.bearer = f->sites[a].bearer[0] ? f->sites[a].bearer : "line", .round_us = f->assumed_round_us, .rate_bps = hint ? hint : ASSUMED_BPS};
	const struct fc_link *l = a == f->self || b == f->self ? own_link(f, a == f->self ? b : a, bulk) : NULL;

	if (!l)
		return line;
	if (l->bearer[0])
		line.bearer = l->bearer;
	line.round_us = l->round_us ? l->round_us : line.round_us;
	/* Never filled, the rate says what went over it and not what could. */
	if (l->measured)
		line.rate_bps = best ? most(l->rate_bps, hint) : l->rate_bps;
	else if (l->rate_bps)
		line.rate_bps = most(l->rate_bps, line.rate_bps);
	return line;
}

/* ---- paths ---------------------------------------------------------------------------------------------------------------- */

/* Breadth first, lower site numbers first, as sites do. */
static bool find_paths(struct forecast *f)
{
	size_t *queue = calloc(f->n_sites + 1, sizeof *queue), n = 0;

	if (!queue)
		return false;
	for (size_t i = 0; i < f->n_sites; i++)
		f->sites[i].parent = FORECAST_NOWHERE;
	queue[n++] = f->self;
	for (size_t at = 0; at < n; at++)
		for (size_t i = 0; i < f->n_sites; i++) {
			struct fc_site *s = &f->sites[i];

			if (i == f->self || s->hops || !fc_linked(f, queue[at], i))
				continue;
			s->hops = f->sites[queue[at]].hops + 1;
			s->parent = queue[at];
			queue[n++] = i;
		}
	free(queue);
	return true;
}

static bool reached(const struct forecast *f, size_t site)
{
	return site != FORECAST_NOWHERE && (site == f->self || f->sites[site].hops);
}

static size_t first_hop(const struct forecast *f, size_t site)
{
	while (f->sites[site].hops > 1)
		site = f->sites[site].parent;
	return site;
}

static void keep_path(struct forecast *f, size_t site)
{
	for (; site != FORECAST_NOWHERE; site = f->sites[site].parent)
		f->sites[site].kept = true;
}

/* Of a large network what goes over another first link than anything that is asked about is left out. */
static void keep_items(struct forecast *f)
{
	bool *hop = calloc(f->n_sites + 1, sizeof *hop);
	size_t n = 0;

	for (size_t i = 0; hop && i < f->n_items; i++)
		if (f->items[i].asked)
			hop[first_hop(f, f->items[i].to)] = true;
	for (size_t i = 0; hop && i < f->n_items; i++)
		if (f->items[i].asked || hop[first_hop(f, f->items[i].to)])
			f->items[n++] = f->items[i];
	f->n_items = hop ? n : f->n_items;
	free(hop);
}

static void keep_sites(struct forecast *f)
{
	size_t n = 0, places = 0;

	for (size_t i = 0; i < f->n_sites; i++)
		n += reached(f, i);
	f->paths_only = n > SITES_KEPT;
	if (f->paths_only)
		keep_items(f);
	for (size_t i = 0; i < f->n_sites; i++)
		f->sites[i].kept = !f->paths_only && reached(f, i);
	for (size_t i = 0; i < f->n_items; i++) {
		keep_path(f, f->items[i].at);
		keep_path(f, f->items[i].to);
	}
	f->sites[f->self].kept = true;
	for (size_t i = 0; i < f->n_sites; i++)
		f->sites[i].place = f->sites[i].kept ? places++ : FORECAST_NOWHERE;
}

/* ---- what goes --------------------------------------------------------------------------------------------------------------- */

static int64_t held_back(const struct forecast *f, uint8_t precedence)
{
	return precedence >= f->minimize && f->minimize_us > 0 ? f->minimize_us : 0;
}

static bool add_item(struct forecast *f, struct fc_item x)
{
	struct fc_item *i = fc_grow(&f->items, &f->n_items, sizeof *i);

	if (i)
		*i = x;
	return i != NULL;
}

/* A custodian on the way to another that lacks the same gets it for both. */
static bool on_the_way(const struct forecast *f, const struct fc_load *l)
{
	for (size_t i = 0; i < f->n_loads && !l->asked; i++) {
		const struct fc_load *x = &f->loads[i];

		if (x != l && x->stream == l->stream && x->has <= l->has && reached(f, x->to) && f->sites[x->to].hops > 1 && first_hop(f, x->to) == l->to)
			return true;
	}
	return false;
}

/* Those of it that are asked about by themselves. */
static struct fc_message *asked_in(struct forecast *f, const struct fc_load *l, uint64_t number)
{
	for (size_t i = 0; i < f->n_messages; i++)
		if (f->messages[i].stream == l->stream && f->messages[i].to == l->to && f->messages[i].number == number && !f->messages[i].has)
			return &f->messages[i];
	return NULL;
}

/* So many entries of a load go as one: as long as all of them, where there are very many. */
static uint64_t merged(const struct forecast *f, const struct fc_load *l)
{
	uint64_t all = 0, each = l->entries && l->bytes > l->entries ? l->bytes / l->entries : 1;

	for (size_t i = 0; i < f->n_loads; i++)
		all += f->loads[i].entries;
	uint64_t n = all / ITEMS_MOST + 1, most_of = MERGED_MOST / each + 1;

	return n < most_of ? n : most_of;
}

static bool add_load(struct forecast *f, struct fc_load *l)
{
	uint64_t n = l->entries, bytes = l->bytes, large = l->large, large_bytes = l->large_bytes;

	for (size_t i = 0; i < f->n_messages; i++) {
		const struct fc_message *m = &f->messages[i];

		if (m->stream != l->stream || m->to != l->to || m->has)
			continue;
		n -= m->number > l->has && n ? 1 : 0;
		bytes -= !m->large && m->bytes < bytes ? m->bytes : 0;
		large -= m->large && large ? 1 : 0;
		large_bytes -= m->large && m->bytes < large_bytes ? m->bytes : m->large ? large_bytes : 0;
	}
	struct fc_item x = {.at = f->self, .to = l->to, .precedence = l->precedence, .stream = l->stream, .stands_for = 1, .asked = l->asked,
			    .load = l->asked ? l : NULL, .after_us = held_back(f, l->precedence)};
	int64_t span = l->last_due_us - l->first_due_us;
	/* Entries with a large body go as one with its body. */
	uint64_t plain = n > large ? n - large : 0, step = merged(f, l), each = plain ? bytes / plain : 0;

	for (uint64_t i = 0, number = l->has + 1; i < plain; number++) {
		if (f->n_messages && asked_in(f, l, number))
			continue;
		x.number = number;
		x.due_us = l->first_due_us + (l->entries > 1 ? span * (int64_t)(number - l->has - 1) / (int64_t)(l->entries - 1) : 0);
		x.stands_for = plain - i < step ? plain - i : step;
		x.bytes = each * x.stands_for;
		i += x.stands_for;
		number += x.stands_for - 1;
		if (!add_item(f, x))
			return false;
	}
	x.large = true;
	x.stands_for = 1;
	for (uint64_t i = 0; i < large; i++) {
		x.number = l->has + l->entries * i / large + 1;
		x.bytes = large_bytes / large;
		x.due_us = l->first_due_us + span * (int64_t)i / (int64_t)large;
		if (!add_item(f, x))
			return false;
	}
	return true;
}

static bool add_message(struct forecast *f, struct fc_message *m)
{
	if (m->has || m->to == FORECAST_NOWHERE || !reached(f, m->to) || !reached(f, m->at) || m->at == m->to)
		return true;
	return add_item(f, (struct fc_item){.at = m->at, .to = m->to, .precedence = m->precedence, .large = m->large, .asked = true, .stream = m->stream,
					    .number = m->number, .bytes = m->bytes, .stands_for = 1, .due_us = m->due_us,
					    .after_us = m->at == f->self ? held_back(f, m->precedence) : 0, .message = m});
}

static int by_stream(const void *a, const void *b)
{
	const struct fc_item *x = a, *y = b;

	if (x->stream != y->stream)
		return x->stream < y->stream ? -1 : 1;
	if (x->to != y->to)
		return x->to < y->to ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static int by_order(const void *a, const void *b)
{
	const struct fc_item *x = a, *y = b;

	if (x->precedence != y->precedence)
		return x->precedence < y->precedence ? -1 : 1;
	if (x->due_us != y->due_us)
		return x->due_us < y->due_us ? -1 : 1;
	return by_stream(a, b);
}

/* Between streams the earliest time to handle goes first, inside of one the number: what stands behind something later is later too. */
static void put_in_order(struct forecast *f)
{
	qsort(f->items, f->n_items, sizeof *f->items, by_stream);
	for (size_t i = 1; i < f->n_items; i++)
		if (f->items[i].stream == f->items[i - 1].stream && f->items[i].to == f->items[i - 1].to)
			f->items[i].due_us = most(f->items[i].due_us, f->items[i - 1].due_us);
	qsort(f->items, f->n_items, sizeof *f->items, by_order);
}

/* Large bodies go beside what is no more urgent, and behind what is: that they all stand before is said of the same kind only. */
static void count_before(struct forecast *f)
{
	for (size_t i = 0; i < f->n_items; i++) {
		struct fc_message *m = f->items[i].message;

		for (size_t k = 0; m && k < i; k++) {
			const struct fc_item *x = &f->items[k];

			if (x->at != m->at || m->at != f->self || first_hop(f, x->to) != first_hop(f, m->to) || (x->large && !m->large) || x->after_us > f->items[i].after_us)
				continue;
			m->before += x->stands_for;
			m->before_bytes += x->bytes;
		}
	}
}

/* A world runs in seconds: of more bytes a part is really sent, over lines that are as much slower. */
static void thin_out(struct forecast *f)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < f->n_items; i++)
		bytes += f->items[i].bytes;
	f->scale = bytes / BYTES_MOST + 1;
}

enum err fc_plan(struct forecast *f)
{
	bool ok = make_table(f) && find_paths(f);

	f->assumed_round_us = usual_round(f);
	for (size_t i = 0; ok && i < f->n_loads; i++)
		if (f->loads[i].to != f->self && reached(f, f->loads[i].to) && !on_the_way(f, &f->loads[i]))
			ok = add_load(f, &f->loads[i]);
	for (size_t i = 0; ok && i < f->n_messages; i++)
		ok = add_message(f, &f->messages[i]);
	if (!ok)
		return ERR_NOMEM;
	if (f->n_items)
		put_in_order(f);
	count_before(f);
	keep_sites(f);
	thin_out(f);
	return ERR_OK;
}
