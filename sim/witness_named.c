/* witness_named.c - the streams of all journals by the first bytes of their hashes. */
#include "sim/witness_int.h"

struct named { bool used; uint8_t by[ACK_HASH_BYTES]; struct stream_name name; };

static struct named *slot_of(const struct witness *w, const uint8_t by[ACK_HASH_BYTES])
{
	uint64_t x;

	memcpy(&x, by, sizeof x);
	for (size_t i = (size_t)x & (w->cap_named - 1);; i = (i + 1) & (w->cap_named - 1))
		if (!w->named[i].used || memcmp(w->named[i].by, by, ACK_HASH_BYTES) == 0)
			return &w->named[i];
}

static void grow(struct witness *w)
{
	struct named *old = w->named;
	size_t cap = w->cap_named;

	w->cap_named = cap ? 2 * cap : 256;
	w->named = calloc(w->cap_named, sizeof *w->named);
	if (!w->named) {
		fprintf(stderr, "estafette-sim: out of memory (run a smaller drill)\n");
		exit(1);
	}
	for (size_t i = 0; i < cap; i++)
		if (old[i].used)
			*slot_of(w, old[i].by) = old[i];
	free(old);
}

void named_add(struct witness *w, const struct stream_name *name)
{
	struct hash h = stream_hash(&w->roster->network_hash, name);

	if (2 * (w->n_named + 1) > w->cap_named)
		grow(w);
	struct named *n = slot_of(w, h.b);

	if (n->used)
		return;
	n->used = true;
	memcpy(n->by, h.b, ACK_HASH_BYTES);
	n->name = *name;
	w->n_named++;
}

const struct stream_name *named_find(const struct witness *w, const uint8_t by[ACK_HASH_BYTES])
{
	struct named *n = w->cap_named ? slot_of(w, by) : NULL;

	return n && n->used ? &n->name : NULL;
}
