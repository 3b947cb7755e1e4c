#include "storage/memkv.h"

#include <bsd/sys/tree.h>
#include <assert.h>
#include <endian.h>
#include <stdlib.h>

/* One record; the key's bytes, then the value's. Key and value never change place: a new value is a new node. */
struct node {
	RB_ENTRY(node) link;
	uint64_t head, next;  /* the key's first 16 bytes, so that most comparisons need no others */
	uint32_t value_len;
	uint16_t key_len;
	uint8_t bytes[];
};
RB_HEAD(tree, node);

/* Node overhead as the space reckons it: about what malloc and the tree take. */
#define NODE_BYTES 72

struct undo {
	struct node *gone, *came; /* either may be NULL; gone is freed at commit, came at abort */
	uint8_t db;
};
struct memtxn {
	struct kv_txn base;
	struct undo *log;
	size_t n, room;
};
/* A tree of millions of nodes lies in no cache, and the way from its root is long. Most keys lie beside one that was used a moment ago:
 * the next of a stream, the same row again, the end of a table. So the way begins there, when that is the neighbour, else at the root. */
#define FINGERS 512
struct fingers {
	struct node *beside[FINGERS]; /* by the first eight bytes of the node's own key */
	struct node *last[256];       /* what was last of those before a limit, by its table */
};
struct memkv {
	struct kv base;
	struct tree tree[DB_COUNT];
	struct fingers fingers[DB_COUNT];
	int64_t used;
	uint64_t commits;
	unsigned readers;
	bool writing, dead; /* dead: a commit ended with ERR_SYNC */
	enum err (*fail)(void *arg, uint64_t commit);
	void *arg;
};

/* A key with its beginning as two numbers. What is shorter than they are is filled up with zeros, so that equal numbers say
 * nothing yet about keys that differ in length. */
struct probe { uint64_t head, next; struct view key; };

static uint64_t eight(struct view key, size_t at)
{
	uint64_t x = 0;
	if (key.len >= at + 8) {
		memcpy(&x, key.ptr + at, 8);
		return be64toh(x);
	}
	if (key.len > at)
		memcpy(&x, key.ptr + at, key.len - at);
	return be64toh(x);
}

static struct probe probe_of(struct view key)
{
	return (struct probe){eight(key, 0), eight(key, 8), key};
}

static int tail_cmp(struct view a, struct view b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 16 ? memcmp(a.ptr + 16, b.ptr + 16, n - 16) : 0;
	return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int probe_cmp(const struct probe *p, const struct node *n)
{
	if (p->head != n->head)
		return p->head < n->head ? -1 : 1;
	if (p->next != n->next)
		return p->next < n->next ? -1 : 1;
	return tail_cmp(p->key, view_of(n->bytes, n->key_len));
}

static int node_cmp(const struct node *a, const struct node *b)
{
	struct probe p = {a->head, a->next, view_of(a->bytes, a->key_len)};
	return probe_cmp(&p, b);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_INTERNAL(tree, node, link, node_cmp, static)
#pragma GCC diagnostic pop

static struct view node_key(const struct node *n)
{
	return view_of(n->bytes, n->key_len);
}

static struct view node_value(const struct node *n)
{
	return view_of(n->bytes + n->key_len, n->value_len);
}

static int64_t node_cost(const struct node *n)
{
	return NODE_BYTES + n->key_len + (int64_t)n->value_len;
}

static struct node **finger_of(struct memkv *m, enum kv_db db, uint64_t head)
{
	return &m->fingers[db].beside[(head * 0x9e3779b97f4a7c15u) >> 55];
}

static void finger_put(struct memkv *m, enum kv_db db, struct node *n)
{
	if (n)
		*finger_of(m, db, n->head) = n;
}

/* No finger points to it any more. */
static void fingers_lift(struct memkv *m, enum kv_db db, struct node *n)
{
	struct node **beside = finger_of(m, db, n->head), **last = &m->fingers[db].last[n->head >> 56];
	if (*beside == n)
		*beside = NULL;
	if (*last == n)
		*last = NULL;
}

/* Where a key lies: at a node, or between two neighbours (NULL: at an end of the tree). */
struct spot { struct node *at, *before, *after; };

/* At the finger, or between it and its neighbour. False: further away. */
static bool spot_beside(struct node *f, const struct probe *p, struct spot *s)
{
	int c = probe_cmp(p, f);
	struct node *other = c > 0 ? RB_NEXT(tree, NULL, f) : c < 0 ? RB_PREV(tree, NULL, f) : NULL;
	int d = other ? probe_cmp(p, other) : 0;
	if (c == 0)
		*s = (struct spot){.at = f};
	else if (other && d == 0)
		*s = (struct spot){.at = other};
	else if (other && (d > 0) == (c > 0))
		return false;
	else
		*s = c > 0 ? (struct spot){.before = f, .after = other} : (struct spot){.before = other, .after = f};
	return true;
}

static struct spot spot_of(struct memkv *m, enum kv_db db, struct view key)
{
	struct probe p = probe_of(key);
	struct node *f = *finger_of(m, db, p.head), *n = RB_ROOT(&m->tree[db]);
	struct spot s = {NULL, NULL, NULL};
	if (f && spot_beside(f, &p, &s))
		return s;
	s = (struct spot){NULL, NULL, NULL};
	while (n) {
		int c = probe_cmp(&p, n);
		if (c == 0)
			return (struct spot){.at = n};
		*(c < 0 ? &s.after : &s.before) = n;
		n = c < 0 ? RB_LEFT(n, link) : RB_RIGHT(n, link);
	}
	return s;
}

/* The first node at or after key. */
static struct node *find_from(struct memkv *m, enum kv_db db, struct view key)
{
	struct spot s = spot_of(m, db, key);
	struct node *n = s.at ? s.at : s.after;
	finger_put(m, db, n);
	finger_put(m, db, s.before);
	return n;
}

static struct node *find(struct memkv *m, enum kv_db db, struct view key)
{
	struct node *n = spot_of(m, db, key).at;
	finger_put(m, db, n);
	return n;
}

/* What was last of the limit's table, or of the one before it, and what has come after it since. */
static struct node *last_known(struct memkv *m, enum kv_db db, const struct probe *p)
{
	unsigned table = (unsigned)(p->head >> 56);
	for (unsigned t = table; t + 1 >= table && t < 256; t--) {
		struct node *n = m->fingers[db].last[t];
		if (!n || probe_cmp(p, n) <= 0)
			continue;
		for (int steps = 0; steps < 8; steps++) {
			struct node *next = RB_NEXT(tree, NULL, n);
			if (!next || probe_cmp(p, next) <= 0)
				return n;
			n = next;
		}
	}
	return NULL;
}

static struct node *find_before(struct memkv *m, enum kv_db db, struct view limit)
{
	struct probe p = probe_of(limit);
	struct node *best = last_known(m, db, &p), *n = best ? NULL : RB_ROOT(&m->tree[db]);
	while (n) {
		if (probe_cmp(&p, n) > 0) {
			best = n;
			n = RB_RIGHT(n, link);
		} else {
			n = RB_LEFT(n, link);
		}
	}
	if (best)
		m->fingers[db].last[best->head >> 56] = best;
	return best;
}

static struct memkv *kv_of(struct kv_txn *t)
{
	return (struct memkv *)t->kv;
}

/* Between its two neighbours: of these one has no child on that side. */
static void tree_insert_at(struct memkv *m, enum kv_db db, struct node *n, const struct spot *s)
{
	struct node *parent = s->before && !RB_RIGHT(s->before, link) ? s->before : s->after;
	assert(!s->at);
	RB_SET(n, parent, link);
	if (!parent)
		RB_ROOT(&m->tree[db]) = n;
	else if (parent == s->before)
		RB_RIGHT(parent, link) = n;
	else
		RB_LEFT(parent, link) = n;
	tree_RB_INSERT_COLOR(&m->tree[db], n);
	m->used += node_cost(n);
	finger_put(m, db, n);
}

static void tree_insert(struct memkv *m, enum kv_db db, struct node *n)
{
	struct spot s = spot_of(m, db, node_key(n));
	tree_insert_at(m, db, n, &s);
}

static void tree_remove(struct memkv *m, enum kv_db db, struct node *n)
{
	fingers_lift(m, db, n);
	RB_REMOVE(tree, &m->tree[db], n);
	m->used -= node_cost(n);
}

/* The same key with another value: the tree stays as it is. */
static void tree_replace(struct memkv *m, enum kv_db db, struct node *old, struct node *n)
{
	struct node *parent = RB_PARENT(old, link);
	fingers_lift(m, db, old);
	n->link = old->link;
	if (!parent)
		RB_ROOT(&m->tree[db]) = n;
	else if (RB_LEFT(parent, link) == old)
		RB_LEFT(parent, link) = n;
	else
		RB_RIGHT(parent, link) = n;
	if (RB_LEFT(n, link))
		RB_PARENT(RB_LEFT(n, link), link) = n;
	if (RB_RIGHT(n, link))
		RB_PARENT(RB_RIGHT(n, link), link) = n;
	m->used += node_cost(n) - node_cost(old);
	finger_put(m, db, n);
}

static enum err mem_begin(struct kv *kv, bool write, struct kv_txn **out)
{
	struct memkv *m = (struct memkv *)kv;
	if (m->dead)
		return ERR_SYNC;
	if (m->writing || (write && m->readers))
		return ERR_BUSY;
	struct memtxn *t = calloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	t->base = (struct kv_txn){.kv = kv, .write = write};
	if (write)
		m->writing = true;
	else
		m->readers++;
	*out = &t->base;
	return ERR_OK;
}

static void mem_end(struct memtxn *t)
{
	struct memkv *m = kv_of(&t->base);
	if (t->base.write)
		m->writing = false;
	else
		m->readers--;
	free(t->log);
	free(t);
}

static void mem_abort(struct kv_txn *base)
{
	struct memtxn *t = (struct memtxn *)base;
	struct memkv *m = kv_of(base);
	while (t->n) {
		struct undo *u = &t->log[--t->n];
		if (u->came) {
			tree_remove(m, u->db, u->came);
			free(u->came);
		}
		if (u->gone)
			tree_insert(m, u->db, u->gone);
	}
	mem_end(t);
}

static enum err mem_commit(struct kv_txn *base)
{
	struct memtxn *t = (struct memtxn *)base;
	struct memkv *m = kv_of(base);
	if (base->write && m->fail) {
		enum err e = m->fail(m->arg, ++m->commits);
		if (e) {
			m->dead = e == ERR_SYNC;
			mem_abort(base);
			return e;
		}
	}
	for (size_t i = 0; i < t->n; i++)
		free(t->log[i].gone);
	mem_end(t);
	return ERR_OK;
}

/* Room for one more line in the undo log; NULL and sticky without. */
static struct undo *undo_next(struct memtxn *t, enum kv_db db)
{
	assert(t->base.write);
	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 16;
		struct undo *log = realloc(t->log, room * sizeof *log);
		if (!log) {
			kv_stick(&t->base, ERR_NOMEM);
			return NULL;
		}
		t->log = log;
		t->room = room;
	}
	t->log[t->n] = (struct undo){NULL, NULL, db};
	return &t->log[t->n];
}

static enum err mem_get(struct kv_txn *t, enum kv_db db, struct view key, struct view *value)
{
	struct node *n = find(kv_of(t), db, key);
	if (!n)
		return ERR_NOT_FOUND;
	*value = node_value(n);
	return ERR_OK;
}

static uint8_t *mem_reserve(struct kv_txn *base, enum kv_db db, struct view key, size_t len, enum kv_put how)
{
	struct memtxn *t = (struct memtxn *)base;
	struct memkv *m = kv_of(base);
	assert(key.len <= UINT16_MAX);
	struct undo *u = undo_next(t, db);
	struct spot s = spot_of(m, db, key);
	struct node *old = s.at;
	if (old && how == KV_NEW)
		kv_stick(base, ERR_EXISTS);
	struct node *n = len <= UINT32_MAX && !base->err ? malloc(sizeof *n + key.len + len) : NULL;
	if (!u || !n) {
		kv_stick(base, ERR_NOMEM);
		free(n);
		return NULL;
	}
	n->key_len = (uint16_t)key.len;
	n->value_len = (uint32_t)len;
	memcpy(n->bytes, key.ptr, key.len);
	n->head = eight(key, 0);
	n->next = eight(key, 8);
	if (old)
		tree_replace(m, db, old, n);
	else
		tree_insert_at(m, db, n, &s);
	*u = (struct undo){old, n, db};
	t->n++;
	base->grown += (int64_t)(key.len + len);
	return n->bytes + key.len;
}

static bool mem_del(struct kv_txn *base, enum kv_db db, struct view key)
{
	struct memtxn *t = (struct memtxn *)base;
	struct undo *u = undo_next(t, db);
	struct node *n = find(kv_of(base), db, key);
	if (!u || !n)
		return false;
	base->grown -= (int64_t)n->key_len + n->value_len;
	tree_remove(kv_of(base), db, n);
	u->gone = n;
	t->n++;
	return true;
}

static enum err node_out(const struct node *n, struct view *key, struct view *value)
{
	if (!n)
		return ERR_NOT_FOUND;
	*key = node_key(n);
	*value = node_value(n);
	return ERR_OK;
}

static enum err mem_seek(struct kv_txn *t, enum kv_db db, struct view from, struct view *key, struct view *value)
{
	return node_out(find_from(kv_of(t), db, from), key, value);
}

static enum err mem_before(struct kv_txn *t, enum kv_db db, struct view limit, struct view *key, struct view *value)
{
	return node_out(find_before(kv_of(t), db, limit), key, value);
}

static void mem_space(struct kv *kv, struct kv_space *out)
{
	int64_t used = ((struct memkv *)kv)->used;
	*out = (struct kv_space){.used_bytes = used, .file_bytes = used, .disk_free_bytes = INT64_MAX};
}

static void mem_close(struct kv *kv)
{
	struct memkv *m = (struct memkv *)kv;
	assert(!m->writing && !m->readers);
	for (size_t db = 0; db < DB_COUNT; db++) {
		struct node *n;
		while ((n = RB_ROOT(&m->tree[db]))) {
			RB_REMOVE(tree, &m->tree[db], n);
			free(n);
		}
	}
	free(m);
}

static uint64_t mem_count(struct kv_txn *base, enum kv_db db)
{
	struct node *n;
	uint64_t count = 0;
	RB_FOREACH(n, tree, &((struct memkv *)base->kv)->tree[db])
		count++;
	return count;
}

static uint64_t mem_moment(struct kv_txn *base)
{
	return ((struct memkv *)base->kv)->commits;
}

static enum err mem_pages(struct kv_txn *base, struct kv_pages *out)
{
	(void)base;
	*out = (struct kv_pages){0};
	return ERR_OK;
}

static const struct kv_ops mem_ops = {
	.close = mem_close,
	.begin = mem_begin,
	.commit = mem_commit,
	.abort = mem_abort,
	.get = mem_get,
	.reserve = mem_reserve,
	.del = mem_del,
	.seek = mem_seek,
	.before = mem_before,
	.space = mem_space,
	.count = mem_count,
	.moment = mem_moment,
	.pages = mem_pages,
};

enum err memkv_new(struct kv **out)
{
	struct memkv *m = calloc(1, sizeof *m);
	if (!m)
		return ERR_NOMEM;
	m->base.ops = &mem_ops;
	for (size_t db = 0; db < DB_COUNT; db++)
		RB_INIT(&m->tree[db]);
	*out = &m->base;
	return ERR_OK;
}

void memkv_fail_with(struct kv *kv, enum err (*fail)(void *arg, uint64_t commit), void *arg)
{
	struct memkv *m = (struct memkv *)kv;
	m->fail = fail;
	m->arg = arg;
	m->commits = 0;
}

void memkv_restart(struct kv *kv)
{
	struct memkv *m = (struct memkv *)kv;
	m->dead = false;
}

size_t memkv_flip(struct kv *kv, struct view needle, unsigned bit)
{
	struct memkv *m = (struct memkv *)kv;
	size_t count = 0;
	for (size_t db = 0; db < DB_COUNT; db++) {
		struct node *n;
		RB_FOREACH(n, tree, &m->tree[db]) {
			uint8_t *at = memmem(n->bytes + n->key_len, n->value_len, needle.ptr, needle.len);
			if (!at)
				continue;
			at[0] ^= (uint8_t)(1u << bit);
			count++;
		}
	}
	return count;
}
