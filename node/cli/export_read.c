/* Both forms of an export become segments, parts and what is said about them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "node/cli/export.h"
#include "node/cli/export_read.h"
#include "proto/cursor.h"
#include "proto/frame.h"

/* No line or block of an export is longer: a segment as base64, a part, or a roster. */
#define LINE_MAX_BYTES (2 * 1024 * 1024)

static enum err fail(struct export_reader *im, enum err e, const char *what)
{
	return err_set(im->m, e, "%.200s: %s%s", im->file, what, im->otherwise);
}

static enum err interrupted(struct export_reader *im)
{
	return fail(im, ERR_CLOSED, "interrupted");
}

/* ---- the binary form -------------------------------------------------------------------------------------------------------- */

struct binary {
	struct export_reader *im;
	FILE *f;
	struct hasher *all;
	struct buf b;
};

/* Appends n bytes to b, which go into the hash. */
static enum err take(struct binary *r, size_t n)
{
	uint8_t *to = n <= LINE_MAX_BYTES ? buf_extend(&r->b, n) : NULL;
	if (n > LINE_MAX_BYTES)
		return fail(r->im, ERR_FORMAT, "the export is damaged");
	if (to == NULL)
		return fail(r->im, ERR_NOMEM, "out of memory");
	if (n && fread(to, 1, n, r->f) != n)
		return fail(r->im, ferror(r->f) ? ERR_IO : ERR_FORMAT, ferror(r->f) ? "it cannot be read" : "the export is cut short");
	hasher_add(r->all, view_of(to, n));
	r->im->bytes += n;
	return ERR_OK;
}

static enum err take_new(struct binary *r, size_t n)
{
	buf_clear(&r->b);
	return take(r, n);
}

static enum err binary_head(struct binary *r)
{
	struct hash network;
	enum err e = take(r, EXPORT_MAGIC_BYTES);
	if (e == ERR_OK)
		e = take_new(r, 1);
	if (e == ERR_OK && r->b.ptr[0] > EXPORT_BINARY_VERSION)
		e = fail(r->im, ERR_VERSION, "an export of a newer version than this program knows");
	if (e == ERR_OK)
		e = take_new(r, 2 + HASH_BYTES + 8 + 1);
	if (e != ERR_OK)
		return e;
	struct rd rd = rd_init(buf_view(&r->b));
	uint16_t site = rd_u16(&rd);
	rd_copy(&rd, network.b, HASH_BYTES);
	rd_u64(&rd);
	e = take_new(r, rd_u8(&rd));
	return e == ERR_OK ? r->im->whose(r->im->arg, site, &network) : e;
}

static enum err binary_segment(struct binary *r)
{
	enum err e = take_new(r, 4);
	if (e != ERR_OK)
		return e;
	struct rd rd = rd_init(buf_view(&r->b));
	e = take_new(r, rd_u32(&rd));
	return e == ERR_OK ? r->im->segment(r->im->arg, buf_view(&r->b)) : e;
}

static enum err binary_part(struct binary *r)
{
	struct hash body;
	enum err e = take_new(r, 1 + HASH_BYTES + 1 + 4 + 4);
	if (e != ERR_OK)
		return e;
	struct rd rd = rd_init(buf_view(&r->b));
	uint8_t class = rd_u8(&rd);
	rd_copy(&rd, body.b, HASH_BYTES);
	uint8_t kind = rd_u8(&rd);
	uint32_t index = rd_u32(&rd);
	e = take_new(r, rd_u32(&rd));
	return e == ERR_OK ? r->im->part(r->im->arg, class, &body, kind, index, buf_view(&r->b)) : e;
}

/* What is of one length, or says its own: how much more follows the first n bytes. */
static enum err binary_block(struct binary *r, uint8_t mark)
{
	size_t n = mark == EXPORT_CHAIN ? STREAM_NAME_BYTES + 8 + HASH_BYTES : mark == EXPORT_ARRIVED ? 2 : mark == EXPORT_STATE ? 13 : mark == EXPORT_AUTHORITY ? MINISIGN_KEY_ID_BYTES + 32 :
	           mark == EXPORT_HANDED ? STREAM_NAME_BYTES + 12 : mark == EXPORT_PERIOD ? 16 : 0;
	if (!n)
		return fail(r->im, ERR_FORMAT, "the export is damaged");
	enum err e = take_new(r, n);
	if (e == ERR_OK && mark == EXPORT_ARRIVED)
		e = take(r, (size_t)(r->b.ptr[0] << 8 | r->b.ptr[1]) * 18);
	else if (e == ERR_OK && (mark == EXPORT_STATE || mark == EXPORT_HANDED)) {
		struct rd rd = rd_init(view_of(r->b.ptr + n - 4, 4));
		e = take(r, rd_u32(&rd));
	}
	return e == ERR_OK && r->im->block ? r->im->block(r->im->arg, mark, buf_view(&r->b)) : e;
}

static enum err binary_end(struct binary *r, bool is_signed)
{
	struct hash want;
	enum err e = take_new(r, 8);
	if (e != ERR_OK)
		return e;
	struct rd rd = rd_init(buf_view(&r->b));
	uint64_t entries = rd_u64(&rd);
	want = hasher_end(r->all);
	r->all = hasher_new(HASH_BACKUP); /* of nothing any more */
	e = take_new(r, HASH_BYTES);
	if (e == ERR_OK && memcmp(r->b.ptr, want.b, HASH_BYTES) != 0)
		e = fail(r->im, ERR_FORMAT, "the export is damaged: its bytes are not what the hash at its end says");
	if (e == ERR_OK && entries != *r->im->entries)
		e = fail(r->im, ERR_FORMAT, "the export is damaged: it holds other entries than it says");
	if (e == ERR_OK && is_signed)
		e = take(r, 2 + SIGNATURE_BYTES);
	if (e == ERR_OK && getc(r->f) != EOF)
		e = fail(r->im, ERR_FORMAT, "the export is damaged: there is something behind its end");
	return e == ERR_OK && is_signed && r->im->block ? r->im->block(r->im->arg, EXPORT_SIGNED, buf_view(&r->b)) : e;
}

static bool goes_on(struct export_reader *im)
{
	return !longwork_stopped() && (!im->progress || im->progress(im->progress_arg, im->bytes, im->of));
}

static enum err read_binary(struct export_reader *im, FILE *f)
{
	struct binary r = {.im = im, .f = f, .all = hasher_new(HASH_BACKUP)};
	enum err e = r.all ? binary_head(&r) : fail(im, ERR_NOMEM, "out of memory");
	for (bool end = false; e == ERR_OK && !end;) {
		e = goes_on(im) ? take_new(&r, 1) : interrupted(im);
		uint8_t mark = e == ERR_OK ? r.b.ptr[0] : EXPORT_END;
		end = mark == EXPORT_END || mark == EXPORT_SIGNED;
		if (e == ERR_OK)
			e = mark == EXPORT_SEGMENT ? binary_segment(&r) : mark == EXPORT_PART ? binary_part(&r) : end ? binary_end(&r, mark == EXPORT_SIGNED) : binary_block(&r, mark);
	}
	hasher_free(r.all);
	buf_release(&r.b);
	return e;
}

/* ---- JSON lines --------------------------------------------------------------------------------------------------------------- */

struct lines {
	struct export_reader *im;
	uint64_t line;
	struct buf segment, bytes[3]; /* header, envelope, body of the entry under way */
	struct segment_writer w;
	struct stream_name name;
	uint64_t first, next; /* of the run under way */
	bool end;
};

static enum err bad_line(struct lines *l, const char *what)
{
	return err_set(l->im->m, ERR_FORMAT, "%.200s:%" PRIu64 ": %s%s", l->im->file, l->line, what, l->im->otherwise);
}

static bool take_hex(const json_t *o, const char *name, uint8_t *out, size_t n)
{
	const char *s = json_string_value(json_object_get(o, name));
	return s != NULL && hex_parse(view_str(s), out, n) == ERR_OK;
}

/* Empty when there is no such member. */
static bool take_base64(const json_t *o, const char *name, struct buf *out)
{
	const json_t *j = json_object_get(o, name);
	const char *s = json_string_value(j);
	size_t len = s ? json_string_length(j) : 0, n = len / 4 * 3;
	buf_clear(out);
	if (j == NULL)
		return true;
	if (s == NULL || len % 4)
		return false;
	n -= len ? (s[len - 1] == '=') + (s[len - 2] == '=') : 0;
	uint8_t *to = buf_extend(out, n);
	return n == 0 || (to != NULL && base64_parse(view_of((const uint8_t *)s, len), to, n) == ERR_OK);
}

static bool take_name(const json_t *o, struct stream_name *out)
{
	uint8_t name[STREAM_NAME_BYTES];
	return take_hex(o, "stream", name, sizeof name) && stream_name_decode(view_of(name, sizeof name), out) == ERR_OK;
}

static enum err json_entry(struct lines *l, const json_t *o)
{
	struct entry e = {0};
	struct stream_name name;
	uint64_t number = (uint64_t)json_integer_value(json_object_get(o, "number"));
	if (!take_name(o, &name) || !take_hex(o, "envelope_hash", e.envelope_hash.b, HASH_BYTES) || !take_hex(o, "body_hash", e.body_hash.b, HASH_BYTES) ||
	    !take_base64(o, "header", &l->bytes[0]) || !take_base64(o, "envelope", &l->bytes[1]) || !take_base64(o, "body", &l->bytes[2]) ||
	    l->bytes[0].len != HEADER_BYTES || l->bytes[1].len > LIMIT_ENVELOPE_BYTES || l->bytes[2].len > LIMIT_SEALED_CHUNK_BYTES)
		return bad_line(l, "an entry that cannot be read");
	if (l->segment.len && (number != l->next || !stream_name_equal(&name, &l->name)))
		return bad_line(l, "the entries before this one lack the line that signs them");
	e.header = buf_view(&l->bytes[0]);
	e.envelope = buf_view(&l->bytes[1]);
	e.body = buf_view(&l->bytes[2]);
	e.flags = (uint8_t)(json_integer_value(json_object_get(o, "flags")) & (ENTRY_STUB | ENTRY_BODY_APART));
	e.body_len = (uint64_t)json_integer_value(json_object_get(o, "size"));
	if (!(e.flags & (ENTRY_BODY_APART | ENTRY_STUB)) && e.body_len != e.body.len)
		return bad_line(l, "an entry whose body is shorter than it says");
	entry_hash(&e);
	if (!l->segment.len) {
		l->name = name;
		l->first = number;
		segment_begin(&l->w, &l->segment, &name, number);
	}
	segment_add(&l->w, &e);
	l->next = number + 1;
	return l->segment.len <= 2 * LIMIT_FRAME_BYTES ? ERR_OK : bad_line(l, "too many entries without a line that signs them");
}

/* A chain hash that the head's line says, of before the run (older exports do not) or at the head. */
static enum err json_chain(struct lines *l, const json_t *o, const char *member, uint8_t mark, uint64_t number)
{
	uint8_t name[STREAM_NAME_BYTES];
	struct buf b = BUF_EMPTY;
	struct hash chain;
	if (!l->im->block || !take_hex(o, member, chain.b, HASH_BYTES))
		return ERR_OK;
	stream_name_encode(&l->name, name);
	buf_add(&b, view_of(name, sizeof name));
	buf_add_u64(&b, number);
	buf_add(&b, view_of(chain.b, HASH_BYTES));
	enum err e = buf_ok(&b) ? l->im->block(l->im->arg, mark, buf_view(&b)) : ERR_NOMEM;
	buf_release(&b);
	return e;
}

static enum err json_head(struct lines *l, const json_t *o)
{
	struct hash tail[LIMIT_HEAD_SPACING];
	struct head head = {.number = (uint64_t)json_integer_value(json_object_get(o, "head"))};
	const json_t *leaves = json_object_get(o, "leaves");
	struct stream_name name;
	size_t n = json_array_size(leaves);
	bool ok = l->segment.len && take_name(o, &name) && stream_name_equal(&name, &l->name) && n <= LIMIT_HEAD_SPACING && take_hex(o, "signature", head.signature.b, SIGNATURE_BYTES) &&
	          json_integer_value(json_object_get(o, "first")) == (json_int_t)l->first;
	for (size_t i = 0; ok && i < n; i++) {
		const char *s = json_string_value(json_array_get(leaves, i));
		ok = s && hex_parse(view_str(s), tail[i].b, HASH_BYTES) == ERR_OK;
	}
	if (!ok)
		return bad_line(l, "a head that does not fit the entries before it");
	segment_end(&l->w, tail, (uint16_t)n, &head);
	enum err e = json_chain(l, o, "before", EXPORT_CHAIN, l->first - 1);
	if (e == ERR_OK)
		e = json_chain(l, o, "chain", EXPORT_HEAD, head.number);
	if (e != ERR_OK)
		return e;
	e = buf_ok(&l->segment) ? l->im->segment(l->im->arg, buf_view(&l->segment)) : fail(l->im, ERR_NOMEM, "out of memory");
	buf_clear(&l->segment);
	return e;
}

static enum err json_part(struct lines *l, const json_t *o)
{
	const char *kind = json_string_value(json_object_get(o, "part"));
	json_int_t index = json_integer_value(json_object_get(o, "index"));
	uint8_t k = kind == NULL ? 0 : strcmp(kind, "manifest") == 0 ? PART_MANIFEST : strcmp(kind, "page") == 0 ? PART_PAGE : strcmp(kind, "chunk") == 0 ? PART_CHUNK : 0;
	struct hash body;
	if (!k || index < 0 || index > UINT32_MAX || !take_hex(o, "body_hash", body.b, HASH_BYTES) || !take_base64(o, "bytes", &l->bytes[0]))
		return bad_line(l, "a part of a body that cannot be read");
	return l->im->part(l->im->arg, json_is_true(json_object_get(o, "exercise")) ? BODY_EXERCISE : BODY_OPERATIONAL, &body, k, (uint32_t)index, buf_view(&l->bytes[0]));
}

static enum err json_first(struct lines *l, const json_t *o)
{
	const char *what = json_string_value(json_object_get(o, "estafette"));
	struct hash network;
	if (what == NULL || strcmp(what, EXPORT_NAME) != 0)
		return fail(l->im, ERR_FORMAT, "it is no export of a journal");
	if (json_integer_value(json_object_get(o, "version")) > EXPORT_VERSION)
		return fail(l->im, ERR_VERSION, "an export of a newer version than this program knows");
	if (json_is_true(json_object_get(o, "opened")))
		return fail(l->im, ERR_FORMAT, "its messages are opened, which is for reading (take a sealed export)");
	if (!take_hex(o, "network", network.b, HASH_BYTES))
		return bad_line(l, "it does not say of which network it is");
	return l->im->whose(l->im->arg, (uint16_t)json_integer_value(json_object_get(o, "site_number")), &network);
}

static enum err json_line(struct lines *l, const char *text, size_t n)
{
	json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	enum err e;
	l->line++;
	l->im->bytes += n;
	if (!json_is_object(o))
		e = l->line == 1 ? fail(l->im, ERR_FORMAT, "it is no export of a journal") : bad_line(l, "no JSON object, or cut short");
	else if (l->end)
		e = bad_line(l, "there is something behind the end");
	else if (l->line == 1)
		e = json_first(l, o);
	else if (json_object_get(o, "part"))
		e = json_part(l, o);
	else if (json_object_get(o, "head"))
		e = json_head(l, o);
	else if (json_object_get(o, "end")) {
		l->end = true;
		e = !l->segment.len && (uint64_t)json_integer_value(json_object_get(o, "entries")) == *l->im->entries ? ERR_OK : bad_line(l, "there are other entries than it says");
	} else
		e = json_entry(l, o);
	json_decref(o);
	return e;
}

/* The next line into text, of LINE_MAX_BYTES + 1: how long it is, 0 at the end, -1 when there is no room for it. A file of any size may be one line. */
static ssize_t next_line(FILE *f, char *text)
{
	size_t n = 0;
	int c = 0;
	while (c != '\n' && (c = getc_unlocked(f)) != EOF) {
		if (n == LINE_MAX_BYTES)
			return -1;
		text[n++] = (char)c;
	}
	text[n] = '\0';
	return (ssize_t)n;
}

static enum err read_lines(struct export_reader *im, FILE *f)
{
	struct lines l = {.im = im};
	char *text = malloc(LINE_MAX_BYTES + 1);
	ssize_t n = 0;
	enum err e = text ? ERR_OK : fail(im, ERR_NOMEM, "out of memory");
	while (e == ERR_OK && (n = next_line(f, text)) > 0)
		e = goes_on(im) ? json_line(&l, text, (size_t)n) : interrupted(im);
	if (e == ERR_OK && ferror(f))
		e = fail(im, ERR_IO, "it cannot be read");
	if (e == ERR_OK && n < 0)
		e = fail(im, ERR_FORMAT, "it has a line that is longer than any of an export");
	if (e == ERR_OK && !l.end)
		e = fail(im, ERR_FORMAT, l.line ? "the export is cut short: its last line is not there" : "it is no export of a journal");
	free(text);
	buf_release(&l.segment);
	for (size_t i = 0; i < 3; i++)
		buf_release(&l.bytes[i]);
	return e;
}

/* ---- either --------------------------------------------------------------------------------------------------------------------- */

enum err export_read(struct export_reader *im)
{
	/* A pipe is no file, and not waited for. */
	int fd = open(im->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	char begin[EXPORT_MAGIC_BYTES] = {0};
	struct stat st;
	if (f == NULL)
		return err_set(im->m, cli_err_of_errno(), "%.200s: it cannot be opened: %s", im->file, strerror(errno));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		fclose(f);
		return fail(im, ERR_FORMAT, "it is no file");
	}
	size_t n = fread(begin, 1, sizeof begin, f);
	enum err e = ferror(f) ? fail(im, ERR_IO, "it cannot be read") : ERR_OK;
	rewind(f);
	im->of = (uint64_t)st.st_size;
	if (e == ERR_OK && n == sizeof begin && memcmp(begin, EXPORT_MAGIC, sizeof begin) == 0)
		e = read_binary(im, f);
	else if (e == ERR_OK && n > 0 && begin[0] == '{')
		e = read_lines(im, f);
	else if (e == ERR_OK)
		e = fail(im, ERR_FORMAT, "it is no export of a journal");
	fclose(f);
	return e;
}
