/* LMDB 0.9 on a machine of 64 bits. A page: u64 number, u16, u16 flags, u16 lower, u16 upper (an overflow page: u32 pages), then u16 offsets of
 * nodes. A node: u32 length of its value, u16 flags, u16 length of its key, key, value, which is a page's number when the value lies apart.
 * In a branch the first six bytes are a page's number, and the first key counts for nothing. */
#include "storage/lmdbfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define META_PAGES 2
#define MAGIC 0xbeefc0deu
#define PAGE_HEAD 16
#define PAGE_BRANCH 0x01
#define PAGE_LEAF 0x02
#define PAGE_OVERFLOW 0x04
#define PAGE_META 0x08
#define PAGE_KINDS 0x6f /* all but dirty and kept, which are of memory */
#define NODE_HEAD 8
#define NODE_BIG 0x01
#define NODE_TREE 0x02
#define DB_BYTES 48
#define DEPTH_MAX 32
#define NO_PAGE UINT64_MAX
/* Of a meta page. */
#define AT_FREE_DB 40
#define AT_MAIN_DB 88
#define AT_LAST_PAGE 136
#define AT_TXN 144

struct tree {
	const char *name;
	bool is_free, is_main; /* keys of the free pages are u64, and compare as such */
	unsigned flags;
	unsigned depth;
	uint64_t branches, leaves, overflow, entries, root;
};
struct file {
	const char *dir;
	const uint8_t *bytes;
	uint64_t pages, last; /* of the file; the last that the transaction knows */
	size_t page;
	uint8_t *used; /* a bit for each page */
	bool all;
	struct errmsg *m;
};
struct key_range {
	const uint8_t *key; /* NULL: none */
	size_t len;
};
struct node {
	const uint8_t *key, *value;
	size_t key_len;
	uint64_t value_len, child; /* child: of a branch */
	uint16_t flags;
};

static uint16_t u16_at(const uint8_t *p)
{
	uint16_t x;
	memcpy(&x, p, sizeof x);
	return x;
}

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t x;
	memcpy(&x, p, sizeof x);
	return x;
}

static uint64_t u64_at(const uint8_t *p)
{
	uint64_t x;
	memcpy(&x, p, sizeof x);
	return x;
}

static enum err damaged(const struct file *f, const struct tree *t, uint64_t page, const char *what)
{
	return err_set(f->m, ERR_DAMAGED, "%s: data.mdb: page %llu of %s is damaged: %s (stop the node, and make the journal anew with journal rescue node.conf, or restore a backup)",
	               f->dir, (unsigned long long)page, t->name, what);
}

/* n pages from `page` on are of this tree and of nothing else. */
static enum err use(struct file *f, const struct tree *t, uint64_t page, uint64_t n)
{
	if (page < META_PAGES || page > f->last || n > f->last + 1 - page)
		return damaged(f, t, page, "there is no such page");
	for (uint64_t i = page; i < page + n; i++) {
		if (f->used[i / 8] & 1 << i % 8)
			return damaged(f, t, i, "it is used twice");
		f->used[i / 8] = (uint8_t)(f->used[i / 8] | 1 << i % 8);
	}
	return ERR_OK;
}

static int compare(const struct tree *t, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	if (t->is_free && a_len == 8 && b_len == 8)
		return u64_at(a) < u64_at(b) ? -1 : u64_at(a) > u64_at(b);
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return c ? c : a_len < b_len ? -1 : a_len > b_len;
}

/* ---- pages ---------------------------------------------------------------------------------------------------------------- */

/* The page, and how many nodes it has, when it is one of this kind. */
static const uint8_t *page_of(const struct file *f, uint64_t number, uint16_t kind, size_t *nodes)
{
	if (number >= f->pages) /* the file was cut */
		return NULL;
	const uint8_t *p = f->bytes + number * f->page;
	size_t lower = u16_at(p + 12), upper = u16_at(p + 14);
	if (u64_at(p) != number || (u16_at(p + 10) & PAGE_KINDS) != kind)
		return NULL;
	*nodes = (lower - PAGE_HEAD) / 2;
	return lower >= PAGE_HEAD && lower % 2 == 0 && lower <= upper && upper <= f->page ? p : NULL;
}

static bool node_of(const struct file *f, const uint8_t *p, size_t i, bool branch, struct node *out)
{
	size_t at = u16_at(p + PAGE_HEAD + 2 * i);
	if (at < u16_at(p + 14) || at + NODE_HEAD > f->page)
		return false;
	const uint8_t *n = p + at;
	size_t left = f->page - at - NODE_HEAD;
	uint64_t low = u16_at(n), high = u16_at(n + 2);
	*out = (struct node){.key = n + NODE_HEAD, .key_len = u16_at(n + 6), .flags = u16_at(n + 4)};
	if (out->key_len > left)
		return false;
	if (branch) {
		out->child = low | high << 16 | (uint64_t)out->flags << 32;
		return true;
	}
	out->value = out->key + out->key_len;
	out->value_len = low | high << 16;
	left -= out->key_len;
	return (out->flags & NODE_BIG) ? left >= 8 : out->value_len <= left;
}

/* The pages that a long value lies in. */
static enum err big_value(struct file *f, const struct tree *t, struct tree *seen, struct node *n)
{
	uint64_t page = u64_at(n->value), pages = (PAGE_HEAD - 1 + n->value_len) / f->page + 1;
	enum err e = use(f, t, page, pages);
	if (e)
		return e;
	n->value = f->bytes + page * f->page + PAGE_HEAD;
	seen->overflow += pages;
	if (page + pages > f->pages || u64_at(n->value - PAGE_HEAD) != page || (u16_at(n->value - 6) & PAGE_KINDS) != PAGE_OVERFLOW ||
	    u32_at(n->value - 4) != pages)
		return damaged(f, t, page, "it is not the value that lies there");
	return ERR_OK;
}

/* Each of these pages is nobody's. The free list is read after all trees. */
static enum err free_pages(struct file *f, const struct tree *t, uint64_t page, const struct node *n)
{
	uint64_t count = n->value_len >= 8 ? u64_at(n->value) : UINT64_MAX;
	if (count > n->value_len / 8 - 1)
		return damaged(f, t, page, "it does not hold as many as it says");
	for (uint64_t i = 1; i <= count; i++) {
		enum err e = use(f, t, u64_at(n->value + 8 * i), 1);
		if (e)
			return e;
	}
	return ERR_OK;
}

static enum err check_tree(struct file *f, const struct tree *t);

static enum err tree_at(struct file *f, const char *name, const uint8_t *row, bool is_free, bool is_main)
{
	struct tree t = {.name = name, .is_free = is_free, .is_main = is_main, .flags = u16_at(row + 4), .depth = u16_at(row + 6), .branches = u64_at(row + 8),
	                 .leaves = u64_at(row + 16), .overflow = u64_at(row + 24), .entries = u64_at(row + 32), .root = u64_at(row + 40)};
	return check_tree(f, &t);
}

static enum err leaf_value(struct file *f, const struct tree *t, struct tree *seen, uint64_t page, struct node *n)
{
	bool tree = n->flags == NODE_TREE;
	if (n->flags & ~(t->is_main ? NODE_TREE : NODE_BIG))
		return damaged(f, t, page, "a value of a kind that is not used here");
	if (n->flags == NODE_BIG) {
		enum err e = big_value(f, t, seen, n);
		if (e)
			return e;
	}
	if (t->is_free && f->all)
		return free_pages(f, t, page, n);
	if (!t->is_main || !f->all)
		return ERR_OK;
	char name[16] = "";
	if (!tree || n->value_len != DB_BYTES || n->key_len >= sizeof name)
		return damaged(f, t, page, "it does not name a database");
	memcpy(name, n->key, n->key_len);
	return tree_at(f, name, n->value, false, false);
}

/* ---- trees ---------------------------------------------------------------------------------------------------------------- */

static enum err walk(struct file *f, const struct tree *t, struct tree *seen, uint64_t number, unsigned level, struct key_range from, struct key_range to);

/* A page is read all over, and memory is slow: the next one is fetched while this one is looked at. */
static void ahead(const struct file *f, uint64_t page)
{
	if (page < f->pages)
		for (size_t at = 0; at < f->page; at += 64)
			__builtin_prefetch(f->bytes + page * f->page + at);
}

static enum err children(struct file *f, const struct tree *t, struct tree *seen, uint64_t number, const uint8_t *p, size_t nodes, unsigned level,
                         struct key_range from, struct key_range to)
{
	for (size_t i = 0; i < nodes; i++) {
		struct node n, next = {0};
		if (!node_of(f, p, i, true, &n) || (i + 1 < nodes && !node_of(f, p, i + 1, true, &next)))
			return damaged(f, t, number, "a key is not inside of it");
		struct key_range low = i ? (struct key_range){n.key, n.key_len} : from;
		struct key_range high = i + 1 < nodes ? (struct key_range){next.key, next.key_len} : to;
		if (low.key && high.key && compare(t, low.key, low.len, high.key, high.len) >= 0)
			return damaged(f, t, number, "its keys are not in their order");
		ahead(f, i + 1 < nodes ? next.child : 0);
		enum err e = walk(f, t, seen, n.child, level + 1, low, high);
		if (e)
			return e;
	}
	return ERR_OK;
}

static enum err leaves(struct file *f, const struct tree *t, struct tree *seen, uint64_t number, const uint8_t *p, size_t nodes, struct key_range from,
                       struct key_range to)
{
	struct key_range last = {0};
	for (size_t i = 0; i < nodes; i++) {
		struct node n;
		if (!node_of(f, p, i, false, &n))
			return damaged(f, t, number, "a record is not inside of it");
		if ((i ? compare(t, last.key, last.len, n.key, n.key_len) >= 0 : from.key && compare(t, from.key, from.len, n.key, n.key_len) > 0) ||
		    (i + 1 == nodes && to.key && compare(t, n.key, n.key_len, to.key, to.len) >= 0))
			return damaged(f, t, number, "its keys are not in their order");
		last = (struct key_range){n.key, n.key_len};
		enum err e = leaf_value(f, t, seen, number, &n);
		if (e)
			return e;
	}
	seen->entries += nodes;
	return ERR_OK;
}

static enum err walk(struct file *f, const struct tree *t, struct tree *seen, uint64_t number, unsigned level, struct key_range from, struct key_range to)
{
	bool branch = level < t->depth;
	size_t nodes = 0;
	enum err e = use(f, t, number, 1);
	if (e)
		return e;
	const uint8_t *p = page_of(f, number, branch ? PAGE_BRANCH : PAGE_LEAF, &nodes);
	if (!p || nodes < (branch && !t->is_free ? 2 : 1) || PAGE_HEAD + 2 * nodes > f->page)
		return damaged(f, t, number, branch ? "it is not one that leads to others" : "it is not one with records");
	if (branch)
		seen->branches++;
	else
		seen->leaves++;
	return branch ? children(f, t, seen, number, p, nodes, level, from, to) : leaves(f, t, seen, number, p, nodes, from, to);
}

static enum err check_tree(struct file *f, const struct tree *t)
{
	struct tree seen = {0};
	enum err e = ERR_OK;
	if (!t->is_free && t->flags)
		return damaged(f, t, t->root, "its tree is of a kind that is not used here");
	if (t->root == NO_PAGE ? t->depth != 0 : t->depth < 1 || t->depth > DEPTH_MAX)
		return damaged(f, t, t->root, "its tree has no such depth");
	if (t->root != NO_PAGE)
		e = walk(f, t, &seen, t->root, 1, (struct key_range){0}, (struct key_range){0});
	if (!e && (seen.branches != t->branches || seen.leaves != t->leaves || seen.overflow != t->overflow || seen.entries != t->entries))
		e = damaged(f, t, t->root, "its tree has not as many pages and records as it says");
	return e;
}

/* ---- the file -------------------------------------------------------------------------------------------------------------- */

/* What the transaction sees begins on the one of the two meta pages with its number. */
static const uint8_t *meta_of(const struct file *f, size_t txnid)
{
	for (uint64_t i = 0; i < META_PAGES && i < f->pages; i++)
		if (u64_at(f->bytes + i * f->page + AT_TXN) == txnid)
			return f->bytes + i * f->page;
	return NULL;
}

static enum err check(struct file *f, size_t txnid)
{
	uint8_t copy[AT_TXN + 8];
	const uint8_t *meta = meta_of(f, txnid);
	if (!meta)
		return ERR_BUSY;
	memcpy(copy, meta, sizeof copy);
	if (meta_of(f, txnid) != meta || u64_at(copy + AT_TXN) != txnid)
		return ERR_BUSY;
	f->last = u64_at(copy + AT_LAST_PAGE);
	if (f->last > UINT64_MAX / 2 / f->page)
		return err_set(f->m, ERR_DAMAGED, "%s: data.mdb: a meta page is damaged (journal rescue node.conf makes the journal anew)", f->dir);
	f->used = calloc(f->last / 8 + 1, 1);
	if (!f->used)
		return err_set(f->m, ERR_NOMEM, "%s: out of memory", f->dir);
	enum err e = tree_at(f, "the list of databases", copy + AT_MAIN_DB, false, true);
	if (!e)
		e = tree_at(f, "the list of free pages", copy + AT_FREE_DB, true, false);
	free(f->used);
	return e;
}

/* One meta page at `at`: how large the file says its pages are, 0 when that cannot be. */
static uint32_t page_said(int fd, off_t at)
{
	uint8_t p[AT_TXN + 8];
	if (pread(fd, p, sizeof p, at) != (ssize_t)sizeof p || (u16_at(p + 10) & PAGE_KINDS) != PAGE_META || u32_at(p + PAGE_HEAD) != MAGIC)
		return 0;
	uint32_t size = u32_at(p + AT_FREE_DB);
	return size >= 256 && size <= 65536 && (size & (size - 1)) == 0 ? size : 0;
}

enum err lmdbfile_check_metas(const char *dir, struct errmsg *m)
{
	char *path;
	enum err e = ERR_OK;
	if (sizeof(size_t) != 8)
		return ERR_OK;
	if (asprintf(&path, "%s/data.mdb", dir) < 0)
		return err_set(m, ERR_NOMEM, "%s: out of memory", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint32_t size = fd >= 0 ? page_said(fd, 0) : 0;
	if (fd < 0)
		e = err_set(m, errno == ENOENT ? ERR_NOT_FOUND : errno == EACCES ? ERR_NOT_PERMITTED : ERR_IO, "%s: data.mdb cannot be opened: %s", dir, strerror(errno));
	else if (!size || page_said(fd, (off_t)size) != size)
		e = err_set(m, ERR_DAMAGED, "%s: data.mdb is damaged: a page that it begins with is not one (make it anew with journal rescue node.conf, or restore a backup)", dir);
	if (fd >= 0)
		close(fd);
	free(path);
	return e;
}

enum err lmdbfile_check(const char *dir, int fd, size_t page_bytes, size_t txnid, bool all, struct errmsg *m)
{
	struct file f = {.dir = dir, .page = page_bytes, .all = all, .m = m};
	struct stat st;
	if (sizeof(size_t) != 8) /* LMDB's pages are others there */
		return ERR_OK;
	if (fstat(fd, &st) != 0 || st.st_size < (off_t)page_bytes)
		return err_set(m, ERR_IO, "%s: data.mdb cannot be examined: %s", dir, strerror(errno));
	void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		return err_set(m, ERR_IO, "%s: data.mdb cannot be read: %s", dir, strerror(errno));
	f.bytes = bytes;
	f.pages = (uint64_t)st.st_size / page_bytes;
	enum err e = check(&f, txnid);
	munmap(bytes, (size_t)st.st_size);
	return e;
}
