#include "node/cli/courier.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/cli/cli.h"

#define READ_BYTES (256 * 1024)

enum err stick_open(struct stick *s, const char *path, struct errmsg *m)
{
	struct stat st;
	*s = (struct stick){.path = path, .fd = -1};
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* of a pipe nobody may ever write the other end */
	if (s->fd < 0 || fstat(s->fd, &st) != 0)
		return err_set(m, cli_err_of_errno(), "%.300s: it cannot be opened: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(m, ERR_FORMAT, "%.300s: it is no file", path);
	s->size = (uint64_t)st.st_size;
	return ERR_OK;
}

void stick_close(struct stick *s)
{
	if (s->fd >= 0)
		close(s->fd);
	buf_release(&s->in);
	buf_release(&s->head);
	buf_release(&s->end);
	free(s->marks);
	*s = (struct stick){.fd = -1};
}

/* Reads on. ERR_TRUNCATED at the end of the file. */
static enum err read_more(struct stick *s, struct errmsg *m)
{
	if (s->at > 0) {
		memmove(s->in.ptr, s->in.ptr + s->at, s->in.len - s->at);
		s->in.len -= s->at;
		s->at = 0;
	}
	uint8_t *to = buf_extend(&s->in, READ_BYTES);
	if (to == NULL)
		return err_set(m, ERR_NOMEM, "%.300s: out of memory", s->path);
	ssize_t n;
	do
		n = read(s->fd, to, READ_BYTES);
	while (n < 0 && errno == EINTR);
	s->in.len -= READ_BYTES - (n > 0 ? (size_t)n : 0);
	if (n < 0)
		return err_set(m, ERR_IO, "%.300s: it cannot be read: %s (try another copy)", s->path, strerror(errno));
	return n == 0 ? ERR_TRUNCATED : ERR_OK;
}

/* *over: the end was read, and there is nothing behind it. */
static enum err next_piece(struct stick *s, struct bundle_piece *p, bool *over, struct errmsg *m)
{
	size_t used;
	enum err e = ERR_TRUNCATED;
	*over = false;
	for (;;) {
		e = s->r.ended && s->at == s->in.len ? ERR_TRUNCATED : bundle_next(&s->r, view_of(s->in.ptr + s->at, s->in.len - s->at), p, &used);
		if (e != ERR_TRUNCATED)
			break;
		e = read_more(s, m);
		if (e == ERR_TRUNCATED && s->r.ended) {
			*over = true;
			return ERR_OK;
		}
		if (e != ERR_OK)
			return e;
	}
	if (e == ERR_OK)
		s->at += used;
	return e;
}

static enum err say_wrong(const struct stick *s, enum err e, struct errmsg *m)
{
	switch (e) {
	case ERR_TRUNCATED:
		return err_set(m, e, "%.200s: the bundle is torn, it ends at byte %" PRIu64 " (copy it again from where it was packed; nothing of it was taken)", s->path, s->size);
	case ERR_VERSION:
		return err_set(m, e, "%.200s: a bundle of a newer version than this program knows (upgrade this node; nothing of it was taken)", s->path);
	case ERR_IO: case ERR_NOMEM: case ERR_CLOSED: return e;
	default: break;
	}
	if (!s->r.begun)
		return err_set(m, ERR_FORMAT, "%.200s: it is no bundle (nothing of it was taken)", s->path);
	return err_set(m, ERR_AUTH, "%.200s: the bundle was altered or damaged, seen at byte %" PRIu64 " (copy it again from where it was packed; nothing of it was taken)", s->path, s->r.at);
}

static enum err mark(struct stick *s, struct errmsg *m)
{
	if (s->n_marks == s->cap_marks) {
		size_t cap = s->cap_marks ? 2 * s->cap_marks : 64;
		struct hash *marks = realloc(s->marks, cap * sizeof *marks);
		if (marks == NULL)
			return err_set(m, ERR_NOMEM, "%.300s: out of memory", s->path);
		s->marks = marks;
		s->cap_marks = cap;
	}
	s->marks[s->n_marks++] = s->r.chain.hash;
	return ERR_OK;
}

enum err stick_check(struct stick *s, struct progress *p, struct errmsg *m)
{
	struct bundle_piece piece;
	bool over = false;
	enum err e = ERR_OK;
	while (e == ERR_OK && !over) {
		e = next_piece(s, &piece, &over, m);
		if (e != ERR_OK || over)
			break;
		if (piece.kind == BUNDLE_HEAD)
			buf_add(&s->head, piece.bytes);
		if (piece.kind == BUNDLE_END)
			buf_add(&s->end, piece.bytes);
		if (piece.kind == BUNDLE_END || s->r.chain.pieces % COURIER_GROUP == 0)
			e = mark(s, m);
		if (e == ERR_OK && !progress_show(p, s->r.at, s->size))
			e = err_set(m, ERR_CLOSED, "%.200s: interrupted, nothing of it was taken", s->path);
	}
	return e == ERR_OK ? e : say_wrong(s, e, m);
}

enum err stick_again(struct stick *s, struct errmsg *m)
{
	if (lseek(s->fd, 0, SEEK_SET) != 0)
		return err_set(m, ERR_IO, "%.300s: it cannot be read again: %s", s->path, strerror(errno));
	buf_clear(&s->in);
	s->at = 0;
	s->r = (struct bundle_reader){.at = 0};
	return ERR_OK;
}

/* Is the chain where it was when the file was checked? */
static bool as_checked(const struct stick *s)
{
	size_t group = s->r.ended ? s->n_marks - 1 : (size_t)(s->r.chain.pieces / COURIER_GROUP) - 1;
	return group < s->n_marks && hash_equal(&s->marks[group], &s->r.chain.hash);
}

enum err stick_group(struct stick *s, struct buf *out, struct errmsg *m)
{
	struct bundle_piece p;
	bool over = s->r.ended;
	enum err e = ERR_OK;
	buf_clear(out);
	while (e == ERR_OK && !over) {
		e = next_piece(s, &p, &over, m);
		if (e != ERR_OK || over)
			break;
		if (p.kind == BUNDLE_FRAME) {
			buf_add_u32(out, (uint32_t)p.bytes.len);
			buf_add(out, p.bytes);
		}
		over = p.kind == BUNDLE_END || s->r.chain.pieces % COURIER_GROUP == 0;
	}
	if (e == ERR_IO || e == ERR_NOMEM)
		return e;
	if (!buf_ok(out))
		return err_set(m, ERR_NOMEM, "%.300s: out of memory", s->path);
	if (e != ERR_OK || (out->len && !as_checked(s)))
		return err_set(m, ERR_CONFLICT, "%.200s: it changed since it was checked (what was taken stays; copy it again and unpack that)", s->path);
	return ERR_OK;
}
