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

static struct route_site *find(struct route_site *sites, size_t n, uint16_t site)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (sites[mid].site < site)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && sites[lo].site == site ? &sites[lo] : NULL;
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
	struct route_site **queue = calloc(n ? n : 1, sizeof *queue);
	size_t n_queue = 0;

	for (size_t i = 0; i < n; i++)
		sites[i].via = sites[i].hops = 0;
	if (!queue)
		return false;
	for (size_t i = 0; i < n; i++)
		if (sites[i].near) {
			sites[i].via = sites[i].site;
			sites[i].hops = 1;
			queue[n_queue++] = &sites[i];
		}
	qsort(queue, n_queue, sizeof *queue, by_cost);
	for (size_t at = 0; at < n_queue; at++)
		for (size_t i = 0; i < listed(queue[at]->peers); i++) {
			struct route_site *next = find(sites, n, listed_at(queue[at]->peers, i));

			if (!next || next->hops || !routes_lists(next->peers, queue[at]->site))
				continue;
			next->via = queue[at]->via;
			next->hops = (uint16_t)(queue[at]->hops + 1);
			queue[n_queue++] = next;
		}
	free(queue);
	return true;
}
