/* The pages of a damaged file, one by one: each leaf's records, without any tree, free list or meta page. Nothing in it is believed:
 * every offset is looked at before it is used, and a record counts only when its own check fits. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/remake_int.h"

/* LMDB 0.9, 64 bits, little-endian. A page: u64 number, u16, u16 flags, u16 lower, u16 upper, then u16 offsets of nodes. A node:
 * u32 length of its value, u16 flags, u16 length of its key, the key, the value - or the number of the page behind whose header it lies. */
#define PAGE_HEAD 16
#define PAGE_LEAF 0x02
#define PAGE_OVERFLOW 0x04
#define NODE_HEAD 8
#define NODE_BIG 0x01
#define NODE_TREE 0x02

struct file {
	const uint8_t *bytes;
	size_t len, page;
};

static uint16_t u16_at(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint64_t u64_at(const uint8_t *p)
{
	uint64_t x;
	memcpy(&x, p, sizeof x);
	return x;
}

static bool big_value(const struct file *f, const uint8_t *at, size_t len, struct view *out)
{
	uint64_t page = u64_at(at), pages = f->len / f->page;
	if (page >= pages || len > f->len - page * f->page - PAGE_HEAD)
		return false;
	const uint8_t *head = f->bytes + page * f->page;
	*out = view_of(head + PAGE_HEAD, len);
	return u64_at(head) == page && (u16_at(head + 10) & PAGE_OVERFLOW);
}

static bool node_at(const struct file *f, const uint8_t *page, size_t at, struct view *key, struct view *value)
{
	if (at < PAGE_HEAD || at + NODE_HEAD > f->page)
		return false;
	const uint8_t *n = page + at;
	size_t len = u16_at(n) | (size_t)u16_at(n + 2) << 16, key_len = u16_at(n + 6), left = f->page - at - NODE_HEAD;
	uint16_t flags = u16_at(n + 4);
	if (!key_len || key_len > left || (flags & NODE_TREE))
		return false;
	*key = view_of(n + NODE_HEAD, key_len);
	left -= key_len;
	if (flags & NODE_BIG)
		return left >= 8 && big_value(f, n + NODE_HEAD + key_len, len, value);
	*value = view_of(n + NODE_HEAD + key_len, len);
	return len <= left;
}

/* The class of a body is in the entry or the row that it belongs to; a part without one is nobody's. */
static bool part_db(struct remake *r, struct view key, enum kv_db *db)
{
	struct rd f = key_fields(key);
	uint64_t body_no = rd_u64(&f);
	struct body_row body;
	struct entry_row row;
	if (key.ptr[0] == TABLE_PART) {
		if (store_entry_get(r->t, body_no, &row) || row.body_no != body_no)
			return false;
		*db = DB_BODIES0 + row.body_class;
		return true;
	}
	for (uint8_t class = 0; class < BODY_CLASSES; class++)
		if (store_body_row(r->t, class, body_no, &body) == ERR_OK) {
			*db = DB_BODIES0 + class;
			return true;
		}
	return false;
}

static void take_node(struct remake *r, struct view key, struct view value, bool parts)
{
	enum kv_db db;
	if (key.ptr[0] == TABLE_PART || key.ptr[0] == TABLE_PART_APART) {
		if (parts && part_db(r, key, &db))
			remake_take(r, db, key, value, true);
	} else if (!parts && table_known(key.ptr[0])) {
		remake_take(r, key_table(key.ptr[0]).db, key, value, false);
	}
}

static void scan(struct remake *r, const struct file *f, bool parts)
{
	for (size_t i = 0; i < f->len / f->page && !r->err; i++) {
		const uint8_t *page = f->bytes + i * f->page;
		uint16_t flags = u16_at(page + 10), lower = u16_at(page + 12);
		if (u64_at(page) != i || !(flags & PAGE_LEAF) || (flags & PAGE_OVERFLOW) || lower < PAGE_HEAD || lower > f->page)
			continue;
		for (size_t at = PAGE_HEAD; at + 2 <= lower && !r->err; at += 2) {
			struct view key, value;
			if (node_at(f, page, u16_at(page + at), &key, &value))
				take_node(r, key, value, parts);
		}
	}
}

enum err remake_scan(struct remake *r, const char *dir, struct errmsg *m)
{
	struct file f = {.page = (size_t)sysconf(_SC_PAGESIZE)};
	struct stat st;
	char *path;
	enum err e = ERR_OK;
	if (asprintf(&path, "%s/data.mdb", dir) < 0)
		return err_set(m, ERR_NOMEM, "%s: out of memory", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *bytes = MAP_FAILED;
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= (off_t)f.page)
		bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED) {
		e = err_set(m, fd < 0 ? ERR_IO : ERR_DAMAGED, "%s: it cannot be read: %s", path, fd < 0 ? strerror(errno) : "it has no whole page");
		goto out;
	}
	f.bytes = bytes;
	f.len = (size_t)st.st_size;
	scan(r, &f, false);
	scan(r, &f, true);
	munmap(bytes, f.len);
	e = r->err ? err_set(m, r->err, "%s: the new journal beside it cannot be written: %s", dir, err_text(r->err)) : ERR_OK;
out:
	if (fd >= 0)
		close(fd);
	free(path);
	return e;
}
