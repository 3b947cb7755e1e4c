/* routes.c - breadth first from here, over links that both ends list. */
#include <stdlib.h>

#include "node/core/routes.h"

static size_t listed(struct view peers) { return peers.len / 2; }

static uint16_t listed_at(struct view peers, size_t i)
{
	return (uint16_t)(peers.ptr[2 * i] << 8 | peers.ptr[2 * i + 1]);
}

bool routes_lists(struct view peers, uint16_t site)
{
	for (size_t i = 0; i < listed(peers); i++)
		if (listed_at(peers, i) == site)
			return true;
	return false;
}

/* By number: at 250 sites each list is as long as the network, so nothing is searched for. NULL when out of memory. */
static struct route_site **by_number(struct route_site *sites, size_t n)
{
	struct route_site **table = calloc(n ? sites[n - 1].site + 1u : 1, sizeof(struct route_site *));

	for (size_t i = 0; table && i < n; i++)
		table[sites[i].site] = &sites[i];
	return table;
}

static int by_cost(const void *a, const void *b)
{
	const struct route_site *const *x = a, *const *y = b;

	if ((*x)->cost != (*y)->cost)
		return (*x)->cost < (*y)->cost ? -1 : 1;
	return (*x)->site < (*y)->site ? -1 : (*x)->site > (*y)->site;
}

bool routes_find(struct route_site *sites, size_t n)
{
	struct route_site **queue = calloc(n ? n : 1, sizeof(struct route_site *)), **table = by_number(sites, n);
	uint16_t last = n ? sites[n - 1].site : 0;
	size_t n_queue = 0;

	for (size_t i = 0; i < n; i++)
		sites[i].via = sites[i].hops = 0;
	for (size_t i = 0; queue && i < n; i++)
		if (sites[i].near) {
			sites[i].via = sites[i].site;
			sites[i].hops = 1;
			queue[n_queue++] = &sites[i];
		}
	if (n_queue)
		qsort(queue, n_queue, sizeof *queue, by_cost);
	/* Until all are reached: where everybody is a neighbour nothing is looked at. */
	for (size_t at = 0; table && at < n_queue && n_queue < n; at++)
		for (size_t i = 0; i < listed(queue[at]->peers); i++) {
			uint16_t site = listed_at(queue[at]->peers, i);
			struct route_site *next = site <= last ? table[site] : NULL;

			if (!next || next->hops || !routes_lists(next->peers, queue[at]->site))
				continue;
			next->via = queue[at]->via;
			next->hops = (uint16_t)(queue[at]->hops + 1);
			queue[n_queue++] = next;
		}
	bool found = queue && table;

	free(queue);
	free(table);
	return found;
}
