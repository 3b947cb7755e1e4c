#include "node/cli/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/export_read.h"
#include "proto/frame.h"

/* Records a step, when a body that nobody used goes again. */
#define DELETE_STEP 1000

static enum err no_memory(struct importer *im)
{
	return err_set(im->m, ERR_NOMEM, "%.200s: out of memory", im->file);
}

/* ---- what is here ----------------------------------------------------------------------------------------------------------- */

static enum err keep_stream(void *arg, const struct stream_row *row)
{
	struct importer *im = arg;
	struct import_stream *more = realloc(im->streams, (im->n_streams + 1) * sizeof *more);
	if (more == NULL)
		return ERR_NOMEM;
	im->streams = more;
	im->streams[im->n_streams++] = (struct import_stream){.row = *row, .hash = stream_hash(&im->roster->network_hash, &row->name)};
	return ERR_OK;
}

static enum err count_missing(void *arg, uint32_t stream, uint64_t number, const struct hash *body)
{
	struct importer *im = arg;
	(void)number, (void)body;
	for (size_t i = 0; i < im->n_streams; i++)
		im->streams[i].missing += im->streams[i].row.local == stream;
	return ERR_OK;
}

enum err importer_begin(struct importer *im)
{
	enum err e = store_stream_each(im->t, keep_stream, im);
	if (e == ERR_OK)
		e = store_missing_each(im->t, count_missing, im);
	return e == ERR_OK ? e : err_set(im->m, e, "%.200s: reading the streams: %s (journal verify says more)", im->config->journal, err_text(e));
}

void importer_release(struct importer *im)
{
	buf_release(&im->leaves);
	free(im->streams);
	free(im->bodies);
}

enum err import_whose(struct importer *im, uint16_t site, const struct hash *network)
{
	im->from = site;
	if (hash_equal(network, &im->roster->network_hash))
		return ERR_OK;
	return err_set(im->m, ERR_CONFLICT, "%.200s: an export from another network than that of the roster %.100s", im->file, im->config->roster);
}

static struct import_stream *stream_find(struct importer *im, const struct stream_name *n)
{
	for (size_t k = 0; k < im->n_streams; k++) {
		size_t i = (im->at + k) % im->n_streams;
		if (stream_name_equal(&im->streams[i].row.name, n)) {
			im->at = i;
			return &im->streams[i];
		}
	}
	return NULL;
}

static struct import_stream *stream_add(struct importer *im, const struct stream_name *n, const struct hash *hash)
{
	struct stream_row row = {.name = *n, .chain = *hash};
	store_stream_add(im->t, &row);
	if (keep_stream(im, &row) != ERR_OK)
		return NULL;
	im->at = im->n_streams - 1;
	return &im->streams[im->at];
}

/* Its own, its addressee's or a standby's; or one that is held already, by an order. */
static bool concerns(const struct importer *im, const struct stream_name *n)
{
	uint16_t list[LIMIT_CUSTODIANS];
	size_t k = roster_custodians(im->roster, n->addressee, list);
	bool here = n->originator == im->self->number;
	for (size_t i = 0; i < k; i++)
		here = here || list[i] == im->self->number;
	return here;
}

static enum err chain_at(struct importer *im, const struct import_stream *s, uint64_t number, struct hash *out)
{
	struct entry_row row;
	enum err e = ERR_OK;
	if (number == s->row.held)
		*out = s->row.chain;
	else if (number == 0)
		*out = s->hash;
	else if (number == s->row.floor)
		*out = s->row.floor_chain;
	else if ((e = store_entry_find(im->t, s->row.local, number, &row)) == ERR_OK)
		*out = row.chain;
	return e;
}

/* ---- segments --------------------------------------------------------------------------------------------------------------- */

struct run {
	struct segment seg;
	struct hash hash, before;
	struct hash after[LIMIT_SEGMENT_ENTRIES];
	struct entry entry[LIMIT_SEGMENT_ENTRIES];
};

static enum err verify(struct importer *im, struct run *r)
{
	const struct site *o = roster_site(im->roster, r->seg.name.originator);
	char name[LIMIT_NAME_BYTES + 1];
	const struct sign_public *key;
	for (size_t i = 0; o && (key = site_identity(o, i)) != NULL; i++)
		if (segment_verify(&crypt_suite_real, key, &r->hash, &r->before, &r->seg, r->after, r->entry) == ERR_OK)
			return ERR_OK;
	return err_set(im->m, ERR_AUTH, "%.200s: entry %llu of a stream of %s: not what that site signed, or it does not follow what is held here (nothing was imported)",
	               im->file, (unsigned long long)r->seg.first, roster_site_name(im->roster, r->seg.name.originator, name));
}

/* Its originator alone may leave out what does not come by itself; of a purged exercise nothing more is left anywhere. */
static bool is_left_out(const struct entry *e)
{
	struct header h;
	if (header_decode(e->header, &h) != ERR_OK)
		return true;
	if (e->flags & ENTRY_STUB)
		return h.kind != KIND_MESSAGE || !(h.flags & HEADER_EXERCISE);
	return e->body_len && !e->body.len && !(h.flags & HEADER_CHUNKED);
}

/* False: it has to stop here. */
static bool add_entry(struct importer *im, struct import_stream *s, const struct entry *e, const struct hash *chain)
{
	struct entry_row row = {.stream = s->row.local, .number = s->row.held + 1, .chain = *chain, .stored = im->now, .from = im->from,
	                        .body_class = s->row.name.exercise ? BODY_EXERCISE : BODY_OPERATIONAL, .e = *e};
	bool apart = e->body_len && !e->body.len && !(e->flags & ENTRY_STUB);
	struct body_row have;
	if (is_left_out(e))
		return false;
	if (apart && store_body_find(im->t, row.body_class, &e->body_hash, &have) == ERR_OK && have.whole) {
		row.body_no = have.body_no;
		have.refs++;
		store_body_put_row(im->t, &have);
		apart = false;
	}
	if (apart && s->missing >= LIMIT_NOT_WHOLE)
		return false;
	store_entry_append(im->t, &row);
	s->row.held = row.number;
	s->row.chain = *chain;
	s->first_new = s->first_new ? s->first_new : row.number;
	s->changed = true;
	im->n.added++;
	if (apart) {
		s->missing++;
		store_missing_put(im->t, s->row.local, row.number, &e->body_hash);
	}
	return true;
}

/* Something else was signed under a number that is held here. */
static enum err another_history(struct importer *im, const struct import_stream *s, const struct run *r)
{
	uint64_t last = r->seg.first + r->seg.entries - 1, at = last < s->row.held ? last : s->row.held;
	struct hash ours;
	char name[LIMIT_NAME_BYTES + 1];
	if (r->seg.first > at || chain_at(im, s, at, &ours) != ERR_OK || hash_equal(&ours, &r->after[at - r->seg.first]))
		return ERR_OK;
	return err_set(im->m, ERR_CONFLICT, "%.200s: entry %llu of a stream of %s is another than the one held here, and both are signed (keep both files for examination)",
	               im->file, (unsigned long long)at, roster_site_name(im->roster, r->seg.name.originator, name));
}

static enum err take_run(struct importer *im, struct run *r)
{
	struct import_stream *s = stream_find(im, &r->seg.name);
	enum err e = ERR_OK;
	if (s ? r->seg.first > s->row.held + 1 : r->seg.first != 1) {
		im->n.gap += r->seg.entries;
		return ERR_OK;
	}
	r->hash = stream_hash(&im->roster->network_hash, &r->seg.name);
	r->before = r->hash;
	if (s && (r->seg.first <= s->row.floor || chain_at(im, s, r->seg.first - 1, &r->before) != ERR_OK)) {
		im->n.held += r->seg.entries;
		return ERR_OK;
	}
	e = verify(im, r);
	if (e == ERR_OK && s)
		e = another_history(im, s, r);
	if (e != ERR_OK)
		return e;
	if (!s && !(s = stream_add(im, &r->seg.name, &r->hash)))
		return no_memory(im);
	bool go = true;
	for (uint16_t i = 0; i < r->seg.entries; i++) {
		uint64_t number = r->seg.first + i;
		if (number <= s->row.held)
			im->n.held++;
		else if (!(go = go && number == s->row.held + 1 && add_entry(im, s, &r->entry[i], &r->after[i])))
			im->n.gap++;
	}
	/* The head may lie behind what was taken: it still signs it. */
	if (s->changed && r->seg.head.number > s->row.head)
		store_head_put(im->t, &s->row, &r->seg.head);
	e = txn_error(im->t);
	return e == ERR_OK ? e : err_set(im->m, e, "%.200s: the journal cannot be written: %s", im->config->journal, err_text(e));
}

enum err import_segment(struct importer *im, struct view bytes)
{
	struct run *r = calloc(1, sizeof *r);
	enum err e = r ? segment_decode(bytes, &r->seg) : ERR_NOMEM;
	if (r == NULL)
		return no_memory(im);
	if (e == ERR_OK && r->seg.entries > LIMIT_SEGMENT_ENTRIES)
		e = ERR_TOO_LARGE;
	if (e != ERR_OK) {
		err_set(im->m, ERR_FORMAT, "%.200s: a segment in it cannot be read: %s (nothing was imported)", im->file, err_text(e));
		e = ERR_FORMAT;
		goto out;
	}
	im->n.read += r->seg.entries;
	if (!concerns(im, &r->seg.name) && !stream_find(im, &r->seg.name))
		im->n.strange += r->seg.entries;
	else
		e = take_run(im, r);
out:
	free(r);
	return e;
}

/* ---- parts ------------------------------------------------------------------------------------------------------------------ */

static enum err bad_part(struct importer *im)
{
	return err_set(im->m, ERR_AUTH, "%.200s: a part of a body is not what its hash says (nothing was imported)", im->file);
}

static enum err body_begin(struct importer *im, uint8_t class, const struct hash *hash, uint8_t kind, struct view bytes)
{
	struct hash h;
	im->any_body = true;
	im->taking = store_body_find(im->t, class, hash, &im->body) != ERR_OK;
	im->pages = 0;
	buf_clear(&im->leaves);
	im->body = (struct body_row){.class = class, .hash = *hash};
	if (!im->taking)
		return ERR_OK;
	if (kind != PART_MANIFEST || manifest_decode(bytes, &im->manifest) != ERR_OK)
		return bad_part(im);
	h = manifest_hash(&im->manifest);
	if (!hash_equal(&h, hash))
		return bad_part(im);
	void *more = realloc(im->bodies, (im->n_bodies + 1) * sizeof *im->bodies);
	if (more == NULL)
		return no_memory(im);
	im->bodies = more;
	im->body.sealed_len = im->manifest.sealed_len;
	im->body.chunks = im->manifest.chunks;
	store_body_add(im->t, &im->body);
	im->bodies[im->n_bodies].class = class;
	im->bodies[im->n_bodies++].body_no = im->body.body_no;
	return ERR_OK;
}

static bool page_fits(struct importer *im, uint32_t index, struct view bytes)
{
	struct hash h = page_hash(index, bytes);
	if (index != im->pages || index >= im->manifest.pages || !hash_equal(&h, &im->manifest.page[index]))
		return false;
	im->pages++;
	buf_add(&im->leaves, bytes);
	return true;
}

static bool chunk_fits(struct importer *im, uint32_t index, struct view bytes)
{
	struct hash h = chunk_hash(index, bytes);
	size_t at = (size_t)index * HASH_BYTES;
	if (index != im->body.have || index >= im->body.chunks || at + HASH_BYTES > im->leaves.len || memcmp(im->leaves.ptr + at, h.b, HASH_BYTES) != 0)
		return false;
	im->body.have++;
	if (im->body.have == im->body.chunks) {
		im->body.whole = true;
		im->n.bodies++;
	}
	return true;
}

enum err import_part(struct importer *im, uint8_t class, const struct hash *body, uint8_t kind, uint32_t index, struct view bytes)
{
	bool next = !im->any_body || im->body.class != class || !hash_equal(&im->body.hash, body);
	enum err e = class >= BODY_CLASSES ? bad_part(im) : next ? body_begin(im, class, body, kind, bytes) : ERR_OK;
	if (e != ERR_OK || !im->taking)
		return e;
	bool ok = kind == PART_MANIFEST ? next && index == 0 : kind == PART_PAGE ? page_fits(im, index, bytes) : kind == PART_CHUNK && chunk_fits(im, index, bytes);
	if (!ok)
		return bad_part(im);
	store_body_put_part(im->t, class, im->body.body_no, kind, index, bytes);
	if (im->body.whole)
		store_body_put_row(im->t, &im->body);
	e = txn_error(im->t);
	return e == ERR_OK ? e : err_set(im->m, e, "%.200s: the journal cannot be written: %s", im->config->journal, err_text(e));
}

/* ---- the end ---------------------------------------------------------------------------------------------------------------- */

/* What is new is opened and placed when the node starts. */
static void put_work(struct importer *im, const struct import_stream *s)
{
	struct redo_row row, redo = {.stream = s->row.local, .next = s->first_new, .upto = s->row.held};
	enum err e = store_redo_from(im->t, s->row.local, &row);
	if (e == ERR_OK && row.stream == s->row.local && row.next < redo.next)
		redo.next = row.next;
	if (e == ERR_DAMAGED && row.stream == s->row.local)
		redo.next = s->row.floor + 1;
	store_redo_put(im->t, &redo);
}

enum err importer_finish(struct importer *im)
{
	for (size_t i = 0; i < im->n_streams; i++) {
		if (!im->streams[i].changed)
			continue;
		store_stream_put(im->t, &im->streams[i].row);
		put_work(im, &im->streams[i]);
	}
	for (size_t i = 0; i < im->n_bodies; i++) {
		struct body_row row;
		if (store_body_row(im->t, im->bodies[i].class, im->bodies[i].body_no, &row) != ERR_OK || row.refs)
			continue;
		im->n.bodies -= row.whole;
		while (!store_body_del(im->t, row.class, row.body_no, DELETE_STEP))
			;
	}
	enum err e = txn_error(im->t);
	return e == ERR_OK ? e : err_set(im->m, e, "%.200s: the journal cannot be written: %s", im->config->journal, err_text(e));
}

/* ---- the file --------------------------------------------------------------------------------------------------------------- */

static enum err read_whose(void *arg, uint16_t site, const struct hash *network)
{
	return import_whose(arg, site, network);
}

static enum err read_segment(void *arg, struct view bytes)
{
	return import_segment(arg, bytes);
}

static enum err read_part(void *arg, uint8_t class, const struct hash *body, uint8_t kind, uint32_t index, struct view bytes)
{
	return import_part(arg, class, body, kind, index, bytes);
}

enum err import_file(struct importer *im)
{
	struct export_reader r = {.file = im->file, .otherwise = " (nothing was imported)", .m = im->m, .arg = im, .whose = read_whose, .segment = read_segment, .part = read_part,
	                          .entries = &im->n.read};
	return export_read(&r);
}
