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
struct memkv {
	struct kv base;
	struct tree tree[DB_COUNT];
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

/* The first node at or after key. */
static struct node *find_from(struct tree *tree, struct view key)
{
	struct node *n = RB_ROOT(tree), *best = NULL;
	struct probe p = probe_of(key);
	while (n) {
		int c = probe_cmp(&p, n);
		if (c == 0)
			return n;
		if (c < 0)
			best = n;
		n = c < 0 ? RB_LEFT(n, link) : RB_RIGHT(n, link);
	}
	return best;
}

static struct node *find(struct tree *tree, struct view key)
{
	struct node *n = find_from(tree, key);
	return n && view_equal(node_key(n), key) ? n : NULL;
}

static struct node *find_before(struct tree *tree, struct view limit)
{
	struct node *n = RB_ROOT(tree), *best = NULL;
	struct probe p = probe_of(limit);
	while (n) {
		if (probe_cmp(&p, n) > 0) {
			best = n;
			n = RB_RIGHT(n, link);
		} else {
			n = RB_LEFT(n, link);
		}
	}
	return best;
}

static struct memkv *kv_of(struct kv_txn *t)
{
	return (struct memkv *)t->kv;
}

static void tree_insert(struct memkv *m, enum kv_db db, struct node *n)
{
	struct node *clash = RB_INSERT(tree, &m->tree[db], n);
	assert(!clash);
	m->used += node_cost(n);
}

static void tree_remove(struct memkv *m, enum kv_db db, struct node *n)
{
	RB_REMOVE(tree, &m->tree[db], n);
	m->used -= node_cost(n);
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
	struct node *n = find(&kv_of(t)->tree[db], key);
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
	struct node *old = find(&m->tree[db], key);
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
		tree_remove(m, db, old);
	tree_insert(m, db, n);
	*u = (struct undo){old, n, db};
	t->n++;
	base->grown += (int64_t)(key.len + len);
	return n->bytes + key.len;
}

static bool mem_del(struct kv_txn *base, enum kv_db db, struct view key)
{
	struct memtxn *t = (struct memtxn *)base;
	struct undo *u = undo_next(t, db);
	struct node *n = find(&kv_of(base)->tree[db], key);
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
	return node_out(find_from(&kv_of(t)->tree[db], from), key, value);
}

static enum err mem_before(struct kv_txn *t, enum kv_db db, struct view limit, struct view *key, struct view *value)
{
	return node_out(find_before(&kv_of(t)->tree[db], limit), key, value);
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
