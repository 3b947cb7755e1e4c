/* Opening an evidence package: read twice, since the key of a body in parts comes behind them. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/aside.h"
#include "node/cli/evidence.h"
#include "node/cli/export_read.h"
#include "proto/cursor.h"
#include "proto/frame.h"
#include "proto/order.h"

struct known_key { struct stream_name name; uint64_t number; struct sym_key key; };
struct large { struct hash body; struct sym_key content; char id[MSGID_TEXT_BYTES]; bool wanted; };
struct opening {
	const char *file;
	const struct site_keys *keys;
	uint16_t site;              /* whose keys */
	struct source names;        /* its roster alone, for words */
	struct hash network;
	struct aside aside;
	struct tofile index, body;
	char path[4200];            /* of body */
	struct packer *packer;
	struct known_key *key; size_t n_keys;
	struct large *large; size_t n_large; /* bodies in parts; wanted: a key of theirs is known */
	struct large *now;          /* second reading: the body that is written */
	struct manifest manifest;
	struct buf arrived, plain, opened;
	uint64_t entries;
	bool second;
	struct opened *out;
	struct errmsg *m;
};

static enum err no_memory(struct opening *o)
{
	return err_set(o->m, ERR_NOMEM, "out of memory");
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------ */

static enum err key_add(struct opening *o, const struct stream_name *name, uint64_t number, struct view grant)
{
	struct hash stream = stream_hash(&o->network, name);
	struct sym_key key;
	if (grant_open(&crypt_suite_real, grant, o->site, o->keys->sealing, o->keys->n_sealing, &stream, &key) != ERR_OK)
		return ERR_OK; /* for other sites */
	struct known_key *more = realloc(o->key, (o->n_keys + 1) * sizeof *more);
	if (more == NULL)
		return no_memory(o);
	o->key = more;
	more[o->n_keys++] = (struct known_key){*name, number, key};
	crypt_wipe(&key, sizeof key);
	return ERR_OK;
}

/* What may open an entry: the nth of its stream's keys at or below it, from the latest that came on. One stream follows the other in
 * the file, so the right one is mostly the first. */
static const struct sym_key *key_of(const struct opening *o, const struct stream_name *name, uint64_t number, size_t nth)
{
	for (size_t i = o->n_keys; i-- > 0;)
		if (o->key[i].number <= number && stream_name_equal(&o->key[i].name, name) && nth-- == 0)
			return &o->key[i].key;
	return NULL;
}

/* ---- small bodies, and the list -------------------------------------------------------------------------------------------- */

static enum err body_begin(struct opening *o, const char *id)
{
	snprintf(o->path, sizeof o->path, "%s/%s", o->aside.building, id);
	enum err e = tofile_begin(&o->body, o->path, o->m);
	o->body.one_of_many = true;
	return e;
}

static enum err body_end(struct opening *o, enum err e)
{
	if (e == ERR_OK)
		e = tofile_finish(&o->body, o->m);
	else if (!o->m->text[0])
		err_set(o->m, e, "%.300s: it cannot be written: %s, nothing was left", o->aside.place, err_text(e));
	tofile_release(&o->body);
	o->body = (struct tofile){.fd = -1};
	o->out->bodies += e == ERR_OK;
	return e;
}

/* A message to several sites has one body: the file is there already then. */
static enum err small_body(struct opening *o, const struct entry *entry, const struct envelope *env, const char *id, bool *file)
{
	buf_clear(&o->opened);
	*file = entry->body.len && body_open(o->packer, &env->content_key, entry->header, entry->body, &o->opened) == ERR_OK;
	if (!*file)
		return ERR_OK;
	enum err e = body_begin(o, id);
	if (e == ERR_EXISTS) {
		o->m->text[0] = '\0';
		tofile_release(&o->body);
		o->body = (struct tofile){.fd = -1};
		return ERR_OK;
	}
	return body_end(o, e == ERR_OK ? tofile_write(&o->body, buf_view(&o->opened)) : e);
}

static struct large *large_find(struct opening *o, const struct hash *body)
{
	for (size_t i = o->n_large; i-- > 0;)
		if (hash_equal(&o->large[i].body, body))
			return &o->large[i];
	return NULL;
}

/* Its parts came before: the second reading opens them. */
static bool large_body(struct opening *o, const struct entry *entry, const struct envelope *env, const char *id)
{
	struct large *l = large_find(o, &entry->body_hash);
	if (l == NULL)
		return false;
	if (!l->wanted) {
		l->content = env->content_key;
		snprintf(l->id, sizeof l->id, "%s", id);
		l->wanted = true;
	}
	return true;
}

static enum err index_line(struct opening *o, const struct picked *p, const char *file)
{
	json_t *j = export_describe(&o->names, p);
	if (j != NULL && (!export_describe_opened(j, p) || json_object_set_new(j, "file", file ? json_string(file) : json_null()) != 0)) {
		json_decref(j);
		j = NULL;
	}
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	enum err e = text ? tofile_write(&o->index, view_str(text)) : no_memory(o);
	if (e == ERR_OK)
		e = tofile_write(&o->index, view_str("\n"));
	free(text);
	return e;
}

/* ---- entries ------------------------------------------------------------------------------------------------------------------ */

static bool open_envelope(struct opening *o, const struct stream_name *name, uint64_t number, const struct entry *entry, struct envelope *env)
{
	struct hash stream = stream_hash(&o->network, name);
	const struct sym_key *key;
	struct view plain;
	for (size_t nth = 0; entry->envelope.len >= SYM_OVERHEAD_BYTES && (key = key_of(o, name, number, nth)) != NULL; nth++) {
		buf_clear(&o->plain);
		uint8_t *to = buf_extend(&o->plain, entry->envelope.len - SYM_OVERHEAD_BYTES);
		if (to && envelope_open(key, entry->header, &stream, entry->envelope, to, &plain) == ERR_OK && envelope_decode(plain, env) == ERR_OK)
			return true;
	}
	return false;
}

static enum err take_message(struct opening *o, const struct stream_name *name, struct entry_row *row, const struct header *h)
{
	struct stream_row stream = {.name = *name};
	struct envelope env;
	struct picked p = {.stream = &stream, .row = row, .header = *h, .envelope = &env};
	char id[MSGID_TEXT_BYTES];
	bool file = false;
	enum err e = ERR_OK;
	if (!open_envelope(o, name, row->number, &row->e, &env)) {
		o->out->unopened++;
		return ERR_OK;
	}
	msgid_format(&h->id, id);
	o->out->messages++;
	if (h->flags & HEADER_CHUNKED)
		file = large_body(o, &row->e, &env, id);
	else
		e = small_body(o, &row->e, &env, id, &file);
	if (e == ERR_OK)
		e = index_line(o, &p, file ? (h->flags & HEADER_CHUNKED) ? large_find(o, &row->e.body_hash)->id : id : NULL);
	crypt_wipe(&env.content_key, sizeof env.content_key);
	return e;
}

static enum err take_entry(struct opening *o, const struct stream_name *name, uint64_t number, const struct entry *entry, struct rd *arrived)
{
	struct entry_row row = {.number = number, .e = *entry};
	struct header h;
	row.arrival = rd_u64(arrived);
	row.stored.us = rd_i64(arrived);
	row.from = rd_u16(arrived);
	if (header_decode(entry->header, &h) != ERR_OK)
		return ERR_OK;
	if (h.kind == KIND_GRANT)
		return key_add(o, name, number, entry->body);
	return h.kind == KIND_MESSAGE ? take_message(o, name, &row, &h) : ERR_OK;
}

static enum err take_segment(void *arg, struct view bytes)
{
	struct opening *o = arg;
	struct rd arrived = rd_init(buf_view(&o->arrived));
	struct segment s;
	enum err e = segment_decode(bytes, &s);
	if (e != ERR_OK)
		return err_set(o->m, e, "%.200s: %s", o->file, err_text(e));
	struct view rest = s.entry_bytes;
	o->entries += s.entries;
	for (uint16_t i = 0; !o->second && e == ERR_OK && i < s.entries; i++) {
		struct entry entry;
		e = segment_next(&rest, &entry);
		if (e == ERR_OK)
			e = take_entry(o, &s.name, s.first + i, &entry, &arrived);
	}
	return e;
}

/* ---- bodies in parts ------------------------------------------------------------------------------------------------------------ */

static enum err note_large(struct opening *o, const struct hash *body)
{
	struct large *more = realloc(o->large, (o->n_large + 1) * sizeof *more);
	if (more == NULL)
		return no_memory(o);
	o->large = more;
	more[o->n_large++] = (struct large){.body = *body};
	return ERR_OK;
}

static enum err open_chunk(struct opening *o, uint32_t index, struct view bytes)
{
	bool last = index + 1 == o->manifest.chunks;
	buf_clear(&o->opened);
	enum err e = chunk_open(o->packer, &o->now->content, index, last, bytes, &o->opened);
	if (e == ERR_OK)
		e = tofile_write(&o->body, buf_view(&o->opened));
	if (e != ERR_OK || last) {
		e = body_end(o, e);
		o->now = NULL;
	}
	return e;
}

static enum err take_part(void *arg, uint8_t class, const struct hash *body, uint8_t kind, uint32_t index, struct view bytes)
{
	struct opening *o = arg;
	(void)class;
	if (!o->second)
		return kind == PART_MANIFEST ? note_large(o, body) : ERR_OK;
	if (kind == PART_MANIFEST) {
		o->now = large_find(o, body);
		if (o->now && (!o->now->wanted || manifest_decode(bytes, &o->manifest) != ERR_OK))
			o->now = NULL;
		return o->now ? body_begin(o, o->now->id) : ERR_OK;
	}
	return o->now && kind == PART_CHUNK ? open_chunk(o, index, bytes) : ERR_OK;
}

/* ---- the package ------------------------------------------------------------------------------------------------------------------ */

static enum err take_whose(void *arg, uint16_t site, const struct hash *network)
{
	struct opening *o = arg;
	(void)site;
	o->network = *network;
	return ERR_OK;
}

static enum err take_block(void *arg, uint8_t mark, struct view bytes)
{
	struct opening *o = arg;
	struct rd r = rd_init(bytes);
	struct stream_name name;
	if (o->second)
		return ERR_OK;
	if (mark == EXPORT_ARRIVED) {
		rd_u16(&r);
		buf_clear(&o->arrived);
		buf_add(&o->arrived, rd_bytes(&r, rd_left(&r)));
	} else if (mark == EXPORT_STATE && rd_u8(&r) == STATE_KIND_DICTIONARY) {
		rd_u64(&r);
		rd_u32(&r);
		return packer_add(o->packer, rd_bytes(&r, rd_left(&r))) == ERR_NOMEM ? no_memory(o) : ERR_OK;
	} else if (mark == EXPORT_HANDED && stream_name_decode(rd_bytes(&r, STREAM_NAME_BYTES), &name) == ERR_OK) {
		uint64_t number = rd_u64(&r);
		rd_u32(&r);
		return key_add(o, &name, number, rd_bytes(&r, rd_left(&r)));
	}
	return ERR_OK;
}

static enum err read_once(struct opening *o, bool second)
{
	struct export_reader r = {.file = o->file, .otherwise = ", nothing was left", .m = o->m, .arg = o, .whose = take_whose, .segment = take_segment, .part = take_part,
	                          .block = take_block, .entries = &o->entries};
	o->second = second;
	o->entries = 0;
	return export_read(&r);
}

static void release(struct opening *o)
{
	for (size_t i = 0; i < o->n_keys; i++)
		crypt_wipe(&o->key[i].key, sizeof o->key[i].key);
	for (size_t i = 0; i < o->n_large; i++)
		crypt_wipe(&o->large[i].content, sizeof o->large[i].content);
	free(o->key);
	free(o->large);
	if (o->plain.ptr)
		crypt_wipe(o->plain.ptr, o->plain.cap);
	if (o->opened.ptr)
		crypt_wipe(o->opened.ptr, o->opened.cap);
	buf_release(&o->plain);
	buf_release(&o->opened);
	buf_release(&o->arrived);
	packer_free(o->packer);
	tofile_release(&o->body);
	tofile_release(&o->index);
	aside_release(&o->aside);
}

enum err evidence_open(const char *file, const struct roster *roster, const struct site_keys *keys, const char *folder, struct opened *out, struct errmsg *m)
{
	const struct site *site = roster ? roster_site_by_id(roster, view_str(keys->site)) : NULL;
	if (site == NULL)
		return err_set(m, ERR_UNKNOWN_SITE, "%.200s: its rosters name no site %s, whose keys these are", file, keys->site);
	if (strcmp(keys->network, roster->network) != 0)
		return err_set(m, ERR_CONFLICT, "%.200s: a package of the network %.60s, and the keys are of %.60s", file, roster->network, keys->network);
	struct opening *o = calloc(1, sizeof *o);
	char path[4200];
	if (o == NULL)
		return err_set(m, ERR_NOMEM, "out of memory");
	*o = (struct opening){.file = file, .keys = keys, .site = site->number, .names = {.roster = (struct roster *)(uintptr_t)roster}, .out = out, .m = m, .index = {.fd = -1}, .body = {.fd = -1}};
	m->text[0] = '\0';
	enum err e = aside_begin(folder, &o->aside, m);
	snprintf(path, sizeof path, "%s/index.jsonl", e == ERR_OK ? o->aside.building : "");
	if (e == ERR_OK && packer_new(&o->packer) != ERR_OK)
		e = no_memory(o);
	if (e == ERR_OK)
		e = tofile_begin(&o->index, path, m);
	if (e == ERR_OK)
		e = read_once(o, false);
	if (e == ERR_OK)
		e = tofile_finish(&o->index, m);
	if (e == ERR_OK)
		e = read_once(o, true);
	if (e == ERR_OK)
		e = tofile_sync_all(o->aside.building, m);
	if (e == ERR_OK)
		e = aside_finish(&o->aside, m);
	if (e != ERR_OK && !m->text[0])
		err_set(m, e, "%.300s: it cannot be written: %s, nothing was left", folder, err_text(e));
	release(o);
	free(o);
	return e;
}
