/* world_heap.c - a heap with four children a node: what is due, the earliest first, equal times in the order of making. */
#include <stdio.h>

#include "sim/world_int.h"

void *must(void *p)
{
	if (!p) {
		fputs("estafette-sim: out of memory (run fewer sites or messages)\n", stderr);
		exit(1);
	}
	return p;
}

static bool before(const struct due *a, const struct due *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

uint64_t heap_push(struct heap *h, struct due d)
{
	if (h->n == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 1024;
		h->due = must(realloc(h->due, h->cap * sizeof *h->due));
	}
	d.order = ++h->order;
	size_t i = h->n++;

	while (i > 0) {
		size_t up = (i - 1) / 4;

		if (!before(&d, &h->due[up]))
			break;
		h->due[i] = h->due[up];
		i = up;
	}
	h->due[i] = d;
	return d.order;
}

bool heap_pop(struct heap *h, struct due *out)
{
	if (!h->n)
		return false;
	*out = h->due[0];
	struct due last = h->due[--h->n];
	size_t i = 0;

	for (;;) {
		size_t first = 4 * i + 1, best = first;

		if (first >= h->n)
			break;
		for (size_t k = first + 1; k < first + 4 && k < h->n; k++)
			if (before(&h->due[k], &h->due[best]))
				best = k;
		if (!before(&h->due[best], &last))
			break;
		h->due[i] = h->due[best];
		i = best;
	}
	if (h->n)
		h->due[i] = last;
	return true;
}
