/* vectors_known.c - the vectors that are known here: by holder, found by the streams that they name, kept in the journal. */
#include "node/core/core_int.h"
#include "node/core/vectors_int.h"

#define HOLDER_BYTES (256 * 1024)
#define STATE_VECTORS 64                /* the kind under which the table of state has them */

/* ---- to whom it goes -------------------------------------------------------------------------------------------------- */

bool known_todo_take(struct vector_known *k, uint16_t site)
{
	for (size_t i = 0; i < k->n_todo; i++)
		if (k->todo[i] == site) {
			k->todo[i] = k->todo[--k->n_todo];
			return true;
		}
	return false;
}

void known_todo_add(struct core *c, struct vector_known *k, struct peer *p)
{
	for (size_t i = 0; i < k->n_todo; i++)
		if (k->todo[i] == p->site)
			return;
	uint16_t *more = realloc(k->todo, (k->n_todo + 1) * sizeof *more);

	if (!more)
		return; /* the next summary shows that it lacks it */
	k->todo = more;
	k->todo[k->n_todo++] = p->site;
	p->vectors_wait = true;
	peer_touch(c, p);
}

/* ---- the list: by holder, of each the oldest first ------------------------------------------------------------------- */

size_t known_first(const struct core *c, uint16_t holder)
{
	size_t lo = 0, hi = c->vectors.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c->vectors.list[mid]->holder < holder)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool known_is_of(const struct core *c, size_t i, uint16_t holder)
{
	return i < c->vectors.n && c->vectors.list[i]->holder == holder;
}

static void known_free(struct vector_known *k)
{
	if (!k)
		return;
	buf_release(&k->blob);
	free(k->slots);
	free(k->todo);
	free(k);
}

static struct hash slot_key(uint16_t holder, uint8_t slot)
{
	return (struct hash){{(uint8_t)(holder >> 8), (uint8_t)holder, slot}};
}

struct vector_known *known_newest(const struct core *c, uint16_t holder)
{
	struct vector_known *newest = NULL;

	if (holder != c->self) {
		struct peer *p = peer_find((struct core *)c, holder);

		return p ? p->vector : NULL;
	}
	for (size_t i = known_first(c, holder); known_is_of(c, i, holder); i++)
		newest = c->vectors.list[i];
	return newest;
}

static void newest_set(struct core *c, uint16_t holder)
{
	struct peer *p = holder == c->self ? NULL : peer_find(c, holder);

	if (!p)
		return;
	p->vector = NULL;
	for (size_t i = known_first(c, holder); known_is_of(c, i, holder); i++)
		p->vector = c->vectors.list[i];
}

void known_drop(struct core *c, size_t i)
{
	struct vectors *x = &c->vectors;
	struct vector_known *k = x->list[i];
	struct hash key = slot_key(k->holder, k->slot);

	if (k->stored && c->t)
		store_state_put(c->t, STATE_VECTORS, &key, view_str("-"));
	for (size_t g = 0; g < x->n_given; g++)
		if (x->given[g].k == k)
			x->given[g].k = NULL;
	for (size_t g = 0; g < x->n_kept; g++)
		if (x->kept[g] == k)
			x->kept[g] = NULL;
	memmove(&x->list[i], &x->list[i + 1], (x->n - i - 1) * sizeof *x->list);
	x->n--;
	uint16_t holder = k->holder;

	known_free(k);
	newest_set(c, holder);
}

int known_age(const struct vector *a, const struct vector *b)
{
	if (a->incarnation.born_us != b->incarnation.born_us)
		return a->incarnation.born_us < b->incarnation.born_us ? -1 : 1;
	int r = memcmp(a->incarnation.random, b->incarnation.random, sizeof a->incarnation.random);

	return r ? r : a->version < b->version ? -1 : a->version > b->version;
}

/* FNV-1a: names are signed by their holder, and who fills one bucket slows down its own vectors alone. */
static uint32_t name_hash(const uint8_t name[STREAM_NAME_BYTES])
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < STREAM_NAME_BYTES; i++)
		h = (h ^ name[i]) * 16777619u;
	return h;
}

/* Without memory nothing is found, and what the vector says waits for the next one. */
static void index_make(struct vector_known *k)
{
	struct view all = k->v.frontier_bytes;
	size_t at = 0;

	for (k->cap = 8; k->cap < 2 * k->v.frontiers;)
		k->cap *= 2;
	k->slots = calloc(k->cap, sizeof *k->slots);
	while (k->slots && all.len - at > STREAM_NAME_BYTES + 8 + HASH_BYTES) {
		uint32_t i = name_hash(all.ptr + at) & (k->cap - 1);

		while (k->slots[i])
			i = (i + 1) & (k->cap - 1);
		k->slots[i] = (uint32_t)at + 1;
		at += STREAM_NAME_BYTES + 8 + HASH_BYTES + 1 + 8u * all.ptr[at + STREAM_NAME_BYTES + 8 + HASH_BYTES];
	}
}

struct wanted known_wanted(const struct stream_name *name)
{
	struct wanted w;

	stream_name_encode(name, w.name);
	w.hash = name_hash(w.name);
	return w;
}

bool known_names(const struct vector_known *k, const struct wanted *w, struct frontier *out)
{
	struct view all = k->v.frontier_bytes;

	if (!k->slots || !k->v.frontiers)
		return false;
	for (uint32_t i = w->hash & (k->cap - 1); k->slots[i]; i = (i + 1) & (k->cap - 1)) {
		struct view at = view_of(all.ptr + k->slots[i] - 1, all.len - (k->slots[i] - 1));

		if (memcmp(at.ptr, w->name, STREAM_NAME_BYTES) == 0)
			return !out || frontier_next(&at, out) == ERR_OK;
	}
	return false;
}

bool known_outdone(const struct core *c, const struct vector_known *k)
{
	struct vector_known *newest = known_newest(c, k->holder);
	struct view rest = k->v.frontier_bytes;
	struct frontier f;

	if (!newest || newest == k || known_age(&newest->v, &k->v) <= 0)
		return false;
	if (!incarnation_equal(&newest->v.incarnation, &k->v.incarnation))
		return true;
	while (rest.len && frontier_next(&rest, &f) == ERR_OK) {
		struct wanted w = known_wanted(&f.stream);
		bool found = false;

		for (size_t i = known_first(c, k->holder); !found && known_is_of(c, i, k->holder); i++) {
			const struct vector_known *other = c->vectors.list[i];

			found = known_age(&other->v, &k->v) > 0 && known_names(other, &w, NULL);
		}
		if (!found)
			return false;
	}
	return true;
}

void known_clear_old(struct core *c, uint16_t holder)
{
	size_t n = 0, bytes = 0, first = known_first(c, holder), end = first;

	while (known_is_of(c, end, holder))
		end++;
	for (size_t i = end; i-- > first;) {
		struct vector_known *k = c->vectors.list[i];
		bool too_much = n >= VECTOR_SLOTS || bytes + k->blob.len > HOLDER_BYTES;

		if (k != known_newest(c, holder) && (too_much || known_outdone(c, k))) {
			known_drop(c, i);
			continue;
		}
		n++;
		bytes += k->blob.len;
	}
}

/* A slot of the journal that none of its holder's has. */
static uint8_t free_slot(const struct core *c, uint16_t holder)
{
	uint32_t used = 0;

	for (size_t i = known_first(c, holder); known_is_of(c, i, holder); i++)
		used |= 1u << c->vectors.list[i]->slot;
	for (uint8_t s = 0; s < VECTOR_SLOTS + 1; s++)
		if (!(used & 1u << s))
			return s;
	return VECTOR_SLOTS + 1;
}

void known_keep(struct core *c, struct vector_known *k)
{
	struct hash key = slot_key(k->holder, k->slot);
	struct vector_known **slot;

	if (!k->v.frontiers || k->stored || !space_admits(c, PREC_ROUTINE) || !(slot = array_grow(&c->vectors.kept, &c->vectors.n_kept, sizeof *slot)))
		return;
	store_state_put(c->t, STATE_VECTORS, &key, buf_view(&k->blob));
	k->stored = true;
	*slot = k;
}

static bool is_behind(const struct vector_known *a, const struct vector_known *k)
{
	return a->holder != k->holder ? a->holder > k->holder : known_age(&a->v, &k->v) > 0;
}

struct vector_known *known_add(struct core *c, struct view blob, const struct sign_public *key)
{
	struct vector_known *k = calloc(1, sizeof *k), **slot;

	if (!k)
		return NULL;
	buf_add(&k->blob, blob);
	if (!buf_ok(&k->blob) || vector_open(c->config.suite, key, &c->roster->network_hash, buf_view(&k->blob), &k->v)) {
		known_free(k);
		return NULL;
	}
	index_make(k);
	k->holder = k->v.holder;
	k->slot = free_slot(c, k->holder);
	if (!(slot = array_grow(&c->vectors.list, &c->vectors.n, sizeof *slot))) {
		known_free(k);
		return NULL;
	}
	size_t i = c->vectors.n - 1;

	for (; i > 0 && is_behind(c->vectors.list[i - 1], k); i--)
		c->vectors.list[i] = c->vectors.list[i - 1];
	c->vectors.list[i] = k;
	const struct vector_known *before = known_newest(c, k->holder);
	struct view were = before ? before->v.peer_bytes : view_of(NULL, 0);

	newest_set(c, k->holder);
	const struct vector_known *now = known_newest(c, k->holder);

	if (!before || !now || !view_equal(were, now->v.peer_bytes))
		c->vectors.links++;
	return k;
}

void vectors_each(struct core *c, void (*fn)(void *arg, uint16_t holder, struct view blob), void *arg)
{
	for (size_t i = 0; i < c->vectors.n; i++)
		fn(arg, c->vectors.list[i]->holder, buf_view(&c->vectors.list[i]->blob));
}

/* ---- kept -------------------------------------------------------------------------------------------------------------------- */

struct loading { struct core *c; };

static enum err load_one(void *arg, const struct hash *key, struct view blob)
{
	struct core *c = ((struct loading *)arg)->c;
	uint16_t number;
	struct vector v;

	if (vector_holder(blob, &number))
		return ERR_OK; /* a slot that is free again */
	const struct site *o = roster_site(c->roster, number);
	const struct peer *p = number == c->self ? NULL : peer_find(c, number);

	if (!o || (p && p->gone) || vector_open(c->config.suite, &o->identity, &c->roster->network_hash, blob, &v))
		return ERR_OK;
	for (size_t i = 0; i < c->vectors.n; i++)
		if (c->vectors.list[i]->holder == number && known_age(&c->vectors.list[i]->v, &v) == 0)
			return ERR_OK;
	struct vector_known *k = known_add(c, blob, &o->identity);

	if (!k)
		return ERR_NOMEM;
	k->slot = key->b[2];
	k->stored = true;
	return ERR_OK;
}

void vectors_load(struct core *c)
{
	struct loading l = {c};

	if (c->vectors.loaded)
		return;
	c->vectors.loaded = true;

	if (store_state_each(c->t, STATE_VECTORS, load_one, &l) && c->vectors.n)
		c->mend = true;
}

void vectors_drop(struct core *c)
{
	struct vectors *x = &c->vectors;

	for (size_t i = 0; i < x->n; i++)
		known_free(x->list[i]);
	free(x->list);
	free(x->live);
	free(x->said);
	free(x->given);
	free(x->kept);
	free(x->routes);
	*x = (struct vectors){0};
}
