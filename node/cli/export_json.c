/* The forms of an export: JSON lines, and the segments of the wire. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/cli/export.h"
#include "proto/frame.h"
#include "proto/seal.h"

static struct wall now_wall(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (struct wall){t.tv_sec * 1000000LL + t.tv_nsec / 1000};
}

/* ---- values ------------------------------------------------------------------------------------------------------------------- */

json_t *json_base64(struct view v)
{
	size_t n = (v.len + 2) / 3 * 4;
	char *text = malloc(n + 1);
	json_t *j = NULL;
	if (text != NULL) {
		base64_format(v.ptr, v.len, text, n + 1);
		j = json_stringn_nocheck(text, n);
	}
	free(text);
	return j;
}

json_t *json_hex(const uint8_t *b, size_t n)
{
	char text[2 * 64 + 1];
	if (n > 64)
		return NULL;
	hex_format(b, n, text);
	return json_string(text);
}

json_t *json_time(struct wall t)
{
	char text[WALL_TEXT_BYTES];
	if (!t.us)
		return json_null();
	wall_format(t, 6, text);
	return json_string(text);
}

static const char *kind_name(uint8_t kind)
{
	switch (kind) {
	case KIND_MESSAGE: return "message";
	case KIND_REPORT: return "report";
	case KIND_GRANT: return "grant";
	default: return "unknown";
	}
}

json_t *export_describe(const struct source *s, const struct picked *p)
{
	const struct stream_name *n = &p->stream->name;
	char id[MSGID_TEXT_BYTES], site[3][LIMIT_NAME_BYTES + 1];
	uint8_t name[STREAM_NAME_BYTES];
	stream_name_encode(n, name);
	msgid_format(&p->header.id, id);
	return json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:b, s:I, s:o, s:o, s:o, s:o, s:s, s:I}", "id", id, "kind", kind_name(p->header.kind),
	                 "originator", source_site(s, n->originator, site[0]), "incarnation", json_hex(name + 2, INCARNATION_BYTES), "addressee",
	                 source_site(s, n->addressee, site[1]), "precedence", precedence_name(n->precedence), "exercise", n->exercise, "number",
	                 (json_int_t)p->row->number, "sent", json_time(p->header.sent), "handle_by", json_time(p->header.handle_by), "expires",
	                 json_time(p->header.expires), "stored", json_time(p->row->stored), "from", source_site(s, p->row->from, site[2]), "size",
	                 (json_int_t)p->row->e.body_len);
}

static bool add_text(json_t *o, const char *name, struct view v)
{
	return !v.len || json_object_set_new(o, name, json_stringn((const char *)v.ptr, v.len)) == 0;
}

bool export_describe_opened(json_t *o, const struct picked *p)
{
	const struct envelope *e = p->envelope;
	char re[MSGID_TEXT_BYTES];
	bool ok = add_text(o, "queue", e->queue) && add_text(o, "to", e->to) && add_text(o, "subject", e->subject) && add_text(o, "channel", e->channel) &&
	          add_text(o, "type", e->type) && add_text(o, "lang", e->lang) && add_text(o, "client", e->client) && add_text(o, "exercise_name", e->exercise) &&
	          json_object_set_new(o, "body_bytes", json_integer((json_int_t)e->body_bytes)) == 0;
	if (!ok || !e->has_re)
		return ok;
	msgid_format(&e->re, re);
	return json_object_set_new(o, "re", json_string(re)) == 0;
}

/* ---- a file under way ------------------------------------------------------------------------------------------------------- */

struct form {
	struct source *s;
	struct tofile f;
	struct counts *n;
	char id_text[MSGID_TEXT_BYTES]; /* opened: of the message whose body comes */
	struct errmsg *m;
};

static enum err put_line(struct form *f, json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	enum err e = text ? tofile_write(&f->f, view_str(text)) : ERR_NOMEM;
	if (e == ERR_OK)
		e = tofile_write(&f->f, view_str("\n"));
	free(text);
	return e;
}

static enum err put_first(struct form *f, bool open)
{
	const struct store_birth *b = store_birth(f->s->store);
	return put_line(f, json_pack("{s:s, s:i, s:s, s:i, s:o, s:o, s:b}", "estafette", EXPORT_NAME, "version", EXPORT_VERSION, "site", b->site_id, "site_number", b->site,
	                             "network", json_hex(b->network.b, HASH_BYTES), "made", json_time(now_wall()), "opened", open));
}

static enum err finish(struct form *f, enum err e)
{
	return tofile_end(&f->f, e, f->m);
}

/* ---- JSON lines ------------------------------------------------------------------------------------------------------------- */

static enum err json_sealed(void *arg, struct txn *t, const struct picked *p)
{
	struct form *f = arg;
	const struct entry *e = &p->row->e;
	uint8_t name[STREAM_NAME_BYTES];
	json_t *o = export_describe(f->s, p);
	(void)t;
	stream_name_encode(&p->stream->name, name);
	f->n->entries++;
	f->n->bodies += e->body.len > 0;
	if (o == NULL)
		return ERR_NOMEM;
	bool ok = json_object_set_new(o, "stream", json_hex(name, sizeof name)) == 0 && json_object_set_new(o, "flags", json_integer(e->flags)) == 0 &&
	          json_object_set_new(o, "header_hash", json_hex(e->header_hash.b, HASH_BYTES)) == 0 &&
	          json_object_set_new(o, "envelope_hash", json_hex(e->envelope_hash.b, HASH_BYTES)) == 0 &&
	          json_object_set_new(o, "body_hash", json_hex(e->body_hash.b, HASH_BYTES)) == 0 &&
	          json_object_set_new(o, "chain", json_hex(p->row->chain.b, HASH_BYTES)) == 0 && json_object_set_new(o, "header", json_base64(e->header)) == 0 &&
	          (!e->envelope.len || json_object_set_new(o, "envelope", json_base64(e->envelope)) == 0) &&
	          (!e->body.len || json_object_set_new(o, "body", json_base64(e->body)) == 0);
	if (ok)
		return put_line(f, o);
	json_decref(o);
	return ERR_NOMEM;
}

static enum err json_head(void *arg, const struct export_run *r)
{
	struct form *f = arg;
	uint8_t name[STREAM_NAME_BYTES];
	json_t *leaves = json_array();
	stream_name_encode(&r->stream->name, name);
	for (uint16_t i = 0; leaves && i < r->n_tail; i++)
		json_array_append_new(leaves, json_hex(r->tail[i].b, HASH_BYTES));
	return put_line(f, json_pack("{s:I, s:o, s:I, s:i, s:o, s:o, s:o, s:o}", "head", (json_int_t)r->head.number, "stream", json_hex(name, sizeof name), "first",
	                             (json_int_t)r->first, "entries", r->entries, "before", json_hex(r->before.b, HASH_BYTES), "leaves", leaves, "chain",
	                             json_hex(r->head.chain.b, HASH_BYTES), "signature", json_hex(r->head.signature.b, SIGNATURE_BYTES)));
}

static const char *const part_names[] = {"whole", "manifest", "page", "chunk"};

static enum err json_part(void *arg, uint8_t class, const struct hash *body, uint8_t kind, uint32_t index, struct view bytes)
{
	struct form *f = arg;
	f->n->bodies += kind == PART_MANIFEST;
	return put_line(f, json_pack("{s:s, s:I, s:o, s:b, s:o}", "part", part_names[kind], "index", (json_int_t)index, "body_hash", json_hex(body->b, HASH_BYTES),
	                             "exercise", class == BODY_EXERCISE, "bytes", json_base64(bytes)));
}

/* ---- opened, for reading ------------------------------------------------------------------------------------------------------ */

static enum err json_body(void *arg, uint32_t index, struct view plain)
{
	struct form *f = arg;
	f->n->bodies += index == 0;
	return put_line(f, json_pack("{s:s, s:I, s:o}", "body_of", f->id_text, "index", (json_int_t)index, "bytes", json_base64(plain)));
}

static enum err json_opened(void *arg, struct txn *t, const struct picked *p)
{
	struct form *f = arg;
	json_t *o = export_describe(f->s, p);
	f->n->entries++;
	if (o == NULL)
		return ERR_NOMEM;
	if (!export_describe_opened(o, p)) {
		json_decref(o);
		return ERR_NOMEM;
	}
	msgid_format(&p->header.id, f->id_text);
	enum err e = put_line(f, o);
	if (e == ERR_OK)
		e = export_body(f->s, t, p, json_body, f);
	if (e != ERR_NOT_FOUND && e != ERR_AUTH)
		return e;
	return put_line(f, json_pack("{s:s, s:s}", "body_of", f->id_text, "error", err_code(e)));
}

static enum err no_head(void *arg, const struct export_run *r)
{
	(void)arg, (void)r;
	return ERR_OK;
}

enum err export_json(struct source *s, const struct pick *pick, bool open, const char *file, struct counts *n, struct errmsg *m)
{
	struct form f = {.s = s, .n = n, .m = m};
	struct sink sink = {.arg = &f, .entry = open ? json_opened : json_sealed, .head = open ? no_head : json_head, .open = open, .parts = !open, .part = json_part};
	struct progress p;
	enum err e = tofile_begin(&f.f, file, m);
	progress_begin(&p, "export");
	if (e == ERR_OK)
		e = put_first(&f, open);
	if (e == ERR_OK)
		e = export_walk(s, pick, &sink, &p, m);
	if (e == ERR_OK)
		e = put_line(&f, json_pack("{s:b, s:I}", "end", 1, "entries", (json_int_t)n->entries));
	return finish(&f, e);
}
