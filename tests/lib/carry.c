/* carry.c - see carry.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/bundle.h"
#include "tests/lib/asks.h"
#include "tests/lib/carry.h"

/* The number under that name in a row; `was` when it has none. */
static uint64_t number(const struct request *r, const char *name, uint64_t was)
{
	struct request_item f;
	struct view at = {NULL, 0};

	for (struct view rest = r->fields; request_next(&rest, &f) == ERR_OK;) {
		if (f.field == F_NAME)
			at = f.value;
		else if (f.field == F_NUMBER && view_equal(at, view_str(name)))
			return item_u64(&f);
	}
	return was;
}

static void text_of(const struct request *r, const char *name, char *out, size_t size)
{
	struct request_item f;
	struct view at = {NULL, 0};

	for (struct view rest = r->fields; request_next(&rest, &f) == ERR_OK;) {
		if (f.field == F_NAME)
			at = f.value;
		else if (f.field == F_TEXT && view_equal(at, view_str(name)) && f.value.len)
			view_to_str(f.value, out, size);
	}
}

/* ---- packing -------------------------------------------------------------------------------------------------- */

static void ask_step(struct world *w, size_t i, const struct carry *how, uint32_t index)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_PACK, ++w->tag);
	if (index) {
		request_u32(&rw, F_INDEX, index);
	} else {
		for (size_t k = 0; k < WORLD_SITES && how->to[k]; k++)
			request_str(&rw, F_TO, how->to[k]);
		if (!how->to[0])
			request_str(&rw, F_TO, "all");
		request_u8(&rw, F_PRECEDENCE, (uint8_t)how->precedence);
		if (how->max)
			request_u64(&rw, F_SIZE, how->max);
	}
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
}

static void row_packed(const struct request *r, struct packed *in)
{
	char part[32] = "";

	text_of(r, "part", part, sizeof part);
	if (strcmp(part, "bundle") != 0)
		return;
	*in = (struct packed){number(r, "bytes", 0), number(r, "entries", 0), number(r, "messages", 0), number(r, "bodies", 0), number(r, "left_entries", 0),
			      number(r, "left_bodies", 0)};
}

/* ERR_EXISTS: it is whole. */
static enum err step_heard(struct world *w, size_t i, struct buf *out, struct packed *in, char *text, size_t size)
{
	struct request r;

	for (int tries = 0; tries < 200; tries++) {
		while (world_reply(w, i, &r)) {
			if (r.tag != w->tag)
				continue;
			if (r.type == REPLY_ERROR) {
				if (text)
					view_to_str(reply_field(&r, F_TEXT), text, size);
				return ERR_REFUSED;
			}
			if (r.type == REPLY_ROW)
				row_packed(&r, in);
			if (r.type == REPLY_PIECE) {
				struct view last = reply_field(&r, F_LAST);

				buf_add(out, reply_field(&r, F_PIECE));
				return last.len == 1 && last.ptr[0] ? ERR_EXISTS : ERR_OK;
			}
		}
		world_run(w, 10000);
	}
	fail_msg("no answer");
	return ERR_INTERNAL;
}

enum err carry_pack(struct world *w, size_t i, const struct carry *how, struct buf *out, struct packed *in, char *text, size_t size)
{
	struct packed none;
	enum err e = ERR_OK;

	in = in ? in : &none;
	for (uint32_t index = 0; !e; index++) {
		ask_step(w, i, how, index);
		e = step_heard(w, i, out, in, text, size);
	}
	return e == ERR_EXISTS ? ERR_OK : e;
}

/* ---- unpacking -------------------------------------------------------------------------------------------------- */

static enum err check(struct view bundle, struct bundle_piece *head, struct bundle_piece *end)
{
	struct bundle_reader r = BUNDLE_READER_NEW;
	enum err e = ERR_OK;

	while (!e && !r.ended) {
		struct bundle_piece p;
		size_t used;

		e = bundle_next(&r, bundle, &p, &used);
		if (e)
			return e;
		if (p.kind == BUNDLE_HEAD)
			*head = p;
		*end = p;
		bundle = view_of(bundle.ptr + used, bundle.len - used);
	}
	return bundle.len ? ERR_FORMAT : ERR_OK;
}

static void row_unpacked(const struct request *r, struct unpacked *u)
{
	char code[32] = "";

	text_of(r, "note", u->note, sizeof u->note);
	u->entries += number(r, "entries", 0);
	u->new_entries += number(r, "new", 0);
	u->messages += number(r, "messages", 0);
	u->new_messages += number(r, "new_messages", 0);
	text_of(r, "code", code, sizeof code);
	if (!code[0])
		return;
	u->refused++;
	text_of(r, "why", u->why, sizeof u->why);
}

static enum err heard(struct world *w, size_t i, struct unpacked *u)
{
	struct request r;

	for (int tries = 0; tries < 200; tries++) {
		while (world_reply(w, i, &r)) {
			if (r.tag != w->tag)
				continue;
			if (r.type == REPLY_ERROR) {
				view_to_str(reply_field(&r, F_TEXT), u->why, sizeof u->why);
				return ERR_REFUSED;
			}
			if (r.type == REPLY_ROW)
				row_unpacked(&r, u);
			if (r.type == REPLY_DONE)
				return ERR_OK;
		}
		world_run(w, 10000);
	}
	fail_msg("no answer");
	return ERR_INTERNAL;
}

static enum err give(struct world *w, size_t i, struct view piece, const struct view *end, uint32_t index, struct unpacked *u)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_UNPACK, ++w->tag);
	request_field(&rw, F_PIECE, piece);
	if (end)
		request_field(&rw, F_BLOB, *end);
	else
		request_u32(&rw, F_INDEX, index);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	return heard(w, i, u);
}

enum err carry_unpack(struct world *w, size_t i, struct view bundle, uint64_t pieces, struct unpacked *out)
{
	struct bundle_reader r = BUNDLE_READER_NEW;
	struct bundle_piece p, head = {0}, end = {0};
	struct unpacked none;
	size_t used;
	enum err e = check(bundle, &head, &end);

	out = out ? out : &none;
	*out = (struct unpacked){0};
	if (!e)
		e = give(w, i, head.bytes, &end.bytes, 0, out);
	while (!e && bundle_next(&r, bundle, &p, &used) == ERR_OK && !r.ended && (!pieces || out->pieces < pieces)) {
		bundle = view_of(bundle.ptr + used, bundle.len - used);
		if (p.kind == BUNDLE_FRAME)
			e = give(w, i, p.bytes, NULL, (uint32_t)++out->pieces, out);
	}
	return e;
}

void carry_all(struct world *w, size_t from, size_t to, struct unpacked *out)
{
	struct buf b = BUF_EMPTY;
	struct carry how = {.precedence = PREC_ROUTINE};
	char text[400] = "";
	struct unpacked none;

	out = out ? out : &none;
	if (carry_pack(w, from, &how, &b, NULL, text, sizeof text))
		fail_msg("pack: %s", text);
	enum err e = carry_unpack(w, to, buf_view(&b), 0, out);

	if (e)
		fail_msg("unpack: %s: %s", err_code(e), out->why);
	buf_release(&b);
}
