/* world_body.c - a world whose sites are elsewhere: what it passes on, and what it is told. */
#include "sim/world_int.h"

bool body_acts(struct world *w, size_t site, enum body_act act)
{
	const struct world_body *b = w->config.body;

	return b && b->act(b->arg, site, act);
}

struct mono world_next(const struct world *w)
{
	return w->heap.n ? (struct mono){w->heap.due[0].at} : MONO_NEVER;
}

size_t world_links(const struct world *w) { return w->n_links; }
const struct link *world_link(const struct world *w, size_t i) { return &w->link[i]; }
struct world_counts *world_books(struct world *w) { return &w->counts; }

void world_site_became(struct world *w, size_t site, enum site_state state, const char *why)
{
	struct node *n = &w->node[site];
	enum site_state was = n->state;

	if (was == state)
		return;
	n->state = state;
	if (was == SITE_DOWN) {
		n->run++;
		n->powered = true;
		news(w, NEWS_SITE_UP, site, WORLD_NO_SITE, n->run, "");
	} else if (state == SITE_DOWN) {
		clients_gone(w, site);
		news(w, NEWS_SITE_DOWN, site, WORLD_NO_SITE, 0, why);
	} else {
		news(w, state == SITE_PAUSED ? NEWS_SITE_PAUSED : NEWS_SITE_RESUMED, site, WORLD_NO_SITE, 0, "");
	}
}

void world_conn_became(struct world *w, size_t a, size_t b, int bearer)
{
	const struct link *l = net_between(w, a, b);

	if (l)
		news(w, bearer >= 0 ? NEWS_CONN_UP : NEWS_CONN_DOWN, a, b, LANE_URGENT, bearer >= 0 ? l->config.bearers[bearer].name : "");
}

void world_heard(struct world *w, uint64_t client, struct view bytes)
{
	if (!bytes.len)
		client_gone(w, client);
	else
		client_hears(w, client, bytes);
}

void world_looked(struct world *w)
{
	for (size_t i = 0; i < w->n_hooks; i++)
		if (w->hooks[i].look)
			w->hooks[i].look(w->hooks[i].arg, w);
}

void body_heals(struct world *w, struct node *n)
{
	n->powered = true;
	world_pause(w, n->index, false);
	if (n->state == SITE_DOWN)
		body_acts(w, n->index, BODY_START);
}
