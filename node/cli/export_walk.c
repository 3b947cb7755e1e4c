/* Walking a journal for an export: picking, opening, cutting into runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "node/cli/export.h"
#include "proto/order.h"
#include "proto/frame.h"
#include "proto/seal.h"

/* Entries that are looked at and not picked, in one transaction: one that is kept open makes the journal grow. */
#define LOOK_ENTRIES 4096

/* ---- the journal ------------------------------------------------------------------------------------------------------------ */

static enum err keep_stream(void *arg, const struct stream_row *row)
{
	struct source *s = arg;
	struct stream_row *more = realloc(s->streams, (s->n_streams + 1) * sizeof *more);
	if (more == NULL)
		return ERR_NOMEM;
	s->streams = more;
	s->streams[s->n_streams++] = *row;
	return ERR_OK;
}

static enum err load_conf(struct source *s, const char *path, enum source_keys keys, struct errmsg *m)
{
	s->config = calloc(1, sizeof *s->config);
	enum err e = s->config ? config_load(path, s->config, m) : err_set(m, ERR_NOMEM, "out of memory");
	if (e == ERR_OK) {
		snprintf(s->dir, sizeof s->dir, "%s", s->config->journal);
		e = config_load_roster(s->config, &s->roster, m);
	}
	if (e != ERR_OK || keys == KEYS_NONE)
		return e;
	s->keys = calloc(1, sizeof *s->keys);
	if (s->keys == NULL)
		return err_set(m, ERR_NOMEM, "out of memory");
	e = config_load_keys(s->config, s->keys, m);
	if (e != ERR_NOT_FOUND || keys == KEYS_NEEDED)
		return e;
	free(s->keys);
	s->keys = NULL;
	return ERR_OK;
}

static enum err load_streams(struct source *s, struct errmsg *m)
{
	struct txn *t = NULL;
	enum err e = txn_begin(s->store, false, &t);
	if (e == ERR_OK)
		e = store_stream_each(t, keep_stream, s);
	txn_abort(t);
	return e == ERR_OK ? e : err_set(m, e, "%.300s: reading the streams: %s (journal verify says more)", s->dir, err_text(e));
}

/* Keys and roster of one network must not be used on the journal of another. */
static enum err check_whose(const struct source *s, struct errmsg *m)
{
	const struct store_birth *b = store_birth(s->store);
	if (s->roster == NULL || (strcmp(b->site_id, s->config->site) == 0 && hash_equal(&b->network, &s->roster->network_hash)))
		return ERR_OK;
	return err_set(m, ERR_CONFLICT, "%.200s: the journal of %s in %s, and %.100s is %s's", s->dir, b->site_id,
	               hash_equal(&b->network, &s->roster->network_hash) ? "this network" : "another network", s->path, s->config->site);
}

static enum err add_dictionary(void *arg, const struct hash *id, struct view blob)
{
	struct source *s = arg;

	(void)id;
	/* A body that needs a damaged one is shown as one that cannot be opened. */
	return packer_add(s->packer, blob) == ERR_NOMEM ? ERR_NOMEM : ERR_OK;
}

/* Bodies may be packed with any dictionary that a roster ever named: the journal keeps them. */
static enum err load_dictionaries(struct source *s, struct errmsg *m)
{
	struct txn *t;
	enum err e = txn_begin(s->store, false, &t);

	if (e == ERR_OK) {
		e = store_state_each(t, STATE_KIND_DICTIONARY, add_dictionary, s);
		txn_abort(t);
	}
	return e == ERR_OK || e == ERR_DAMAGED ? ERR_OK : err_set(m, e, "%s: its dictionaries cannot be read: %s", s->dir, err_text(e));
}

int source_open(struct source *s, struct cli *cli, const char *path, enum source_keys keys)
{
	struct stat st;
	struct errmsg m = {0};
	enum err e = ERR_OK;
	*s = (struct source){.cli = cli, .path = path};
	if (stat(path, &st) != 0)
		return cli_fail(cli, cli_err_of_errno(), "%s: %s (the folder of a journal, or a node.conf)", path, strerror(errno));
	if (S_ISDIR(st.st_mode) && keys == KEYS_NEEDED)
		return cli_fail(cli, ERR_USAGE, "%s: opening messages takes the site's keys (name its node.conf)", path);
	if (S_ISDIR(st.st_mode))
		snprintf(s->dir, sizeof s->dir, "%s", path);
	else
		e = load_conf(s, path, keys, &m);
	if (e == ERR_OK)
		e = store_open(s->dir, &(struct store_options){.read_only = true, .check_pages = true}, &s->store, &m);
	if (e == ERR_OK)
		e = check_whose(s, &m);
	if (e == ERR_OK)
		e = load_streams(s, &m);
	if (e == ERR_OK && (e = packer_new(&s->packer)) != ERR_OK)
		err_set(&m, e, "out of memory");
	if (e == ERR_OK)
		e = load_dictionaries(s, &m);
	return e == ERR_OK ? EXIT_OK : cli_fail(cli, e, "%s", m.text);
}

void source_close(struct source *s)
{
	store_close(s->store);
	roster_free(s->roster);
	if (s->keys != NULL)
		site_keys_wipe(s->keys);
	crypt_wipe(&s->key, sizeof s->key);
	packer_free(s->packer);
	free(s->keys);
	free(s->config);
	free(s->streams);
}

const char *source_site(const struct source *s, uint16_t number, char out[LIMIT_NAME_BYTES + 1])
{
	if (s->roster != NULL)
		return roster_site_name(s->roster, number, out);
	snprintf(out, LIMIT_NAME_BYTES + 1, "site-%u", number);
	return out;
}

/* ---- opening ---------------------------------------------------------------------------------------------------------------- */

static enum err open_grant(const struct source *s, struct view grant, struct sym_key *key)
{
	return grant_open(&crypt_suite_real, grant, store_birth(s->store)->site, s->keys->sealing, s->keys->n_sealing, &s->stream_hash, key);
}

/* The key of the entries from the stream's grant `from` on: by the grant itself, or by one that another site handed on. */
static enum err find_key(const struct source *s, struct txn *t, uint32_t stream, uint64_t from, uint64_t arrival, struct sym_key *key)
{
	struct buf grant = BUF_EMPTY;
	struct entry_row row;
	struct view handed;
	enum err e = store_entry_get(t, arrival, &row);
	if (e == ERR_OK)
		e = store_body_get_part(t, row.body_class, row.body_no, PART_WHOLE, 0, &grant);
	if (e == ERR_OK)
		e = open_grant(s, buf_view(&grant), key);
	buf_release(&grant);
	if (e != ERR_OK && store_handed_get(t, stream, from, &handed) == ERR_OK)
		e = open_grant(s, handed, key);
	return e;
}

static enum err key_for(struct source *s, struct txn *t, const struct stream_row *stream, uint64_t number)
{
	struct hash h = stream_hash(&store_birth(s->store)->network, &stream->name);
	uint64_t from, arrival;
	enum err e = store_grant_find(t, stream->local, number, &from, &arrival);
	if (e != ERR_OK)
		return ERR_KEY;
	if (s->key_known && s->key_from == from && hash_equal(&s->stream_hash, &h))
		return ERR_OK;
	s->stream_hash = h;
	s->key_from = from;
	s->key_known = find_key(s, t, stream->local, from, arrival, &s->key) == ERR_OK;
	return s->key_known ? ERR_OK : ERR_KEY;
}

bool source_envelope(struct source *s, struct txn *t, const struct stream_row *stream, const struct entry_row *row, struct buf *room, struct envelope *out)
{
	struct view sealed = row->e.envelope, plain;
	buf_clear(room);
	if (sealed.len < SYM_OVERHEAD_BYTES || key_for(s, t, stream, row->number) != ERR_OK)
		return false;
	uint8_t *to = buf_extend(room, sealed.len - SYM_OVERHEAD_BYTES);
	return to && envelope_open(&s->key, row->e.header, &s->stream_hash, sealed, to, &plain) == ERR_OK && envelope_decode(plain, out) == ERR_OK;
}

struct pieces {
	struct source *s;
	struct txn *t;
	const struct picked *p;
	struct buf sealed, plain;
};

static enum err open_chunks(struct pieces *k, plain_fn *fn, void *arg)
{
	const struct entry_row *row = k->p->row;
	struct body_row body;
	enum err e = store_body_row(k->t, row->body_class, row->body_no, &body);
	if (e == ERR_OK && !body.whole)
		e = ERR_NOT_FOUND;
	for (uint32_t i = 0; e == ERR_OK && i < body.chunks; i++) {
		buf_clear(&k->sealed);
		buf_clear(&k->plain);
		e = store_body_get_part(k->t, row->body_class, row->body_no, PART_CHUNK, i, &k->sealed);
		if (e == ERR_OK)
			e = chunk_open(k->s->packer, &k->p->envelope->content_key, i, i + 1 == body.chunks, buf_view(&k->sealed), &k->plain);
		if (e == ERR_OK)
			e = fn(arg, i, buf_view(&k->plain));
	}
	return e;
}

enum err export_body(struct source *s, struct txn *t, const struct picked *p, plain_fn *fn, void *arg)
{
	struct pieces k = {.s = s, .t = t, .p = p};
	enum err e = ERR_OK;
	if (!p->row->e.body_len)
		return ERR_OK;
	if (p->header.flags & HEADER_CHUNKED)
		e = p->row->body_no ? open_chunks(&k, fn, arg) : ERR_NOT_FOUND;
	else if (!p->row->e.body.len)
		e = ERR_NOT_FOUND;
	else
		e = body_open(s->packer, &p->envelope->content_key, p->row->e.header, p->row->e.body, &k.plain);
	if (e == ERR_OK && !(p->header.flags & HEADER_CHUNKED))
		e = fn(arg, 0, buf_view(&k.plain));
	if (k.plain.ptr)
		crypt_wipe(k.plain.ptr, k.plain.cap);
	buf_release(&k.plain);
	buf_release(&k.sealed);
	return e;
}

/* ---- picking ---------------------------------------------------------------------------------------------------------------- */

struct walk {
	struct source *s;
	const struct pick *pick;
	const struct sink *sink;
	struct progress *progress;
	uint64_t bytes, of;
	struct buf plain, body, part; /* of the envelope; of the body of the entry under way */
	struct envelope envelope;
	uint8_t *seen;                /* bodies apart that were handed on, by number: a bit each */
	size_t n_seen;
	struct errmsg *m;
};

static bool stream_is_picked(const struct pick *p, const struct stream_name *n)
{
	return p->stream == NULL || (n->originator == p->originator && n->addressee == p->addressee && (p->precedence < 0 || n->precedence == p->precedence));
}

static bool queue_is(const struct pick *p, const struct stream_row *s, struct view queue)
{
	return (!p->queue_site || p->queue_site == s->name.addressee) && view_equal(queue, view_str(p->queue));
}

/* False: it stays out. */
static bool is_picked(struct walk *w, struct txn *t, const struct stream_row *s, const struct entry_row *row, struct picked *out)
{
	*out = (struct picked){.stream = s, .row = row};
	if (w->pick->wanted && !w->pick->wanted(w->pick->arg, row))
		return false;
	if (header_decode(row->e.header, &out->header) != ERR_OK || out->header.sent.us < w->pick->from.us || out->header.sent.us >= w->pick->to.us)
		return false;
	if (w->pick->queue == NULL && !w->sink->open)
		return true;
	if (out->header.kind != KIND_MESSAGE)
		return false;
	if (!source_envelope(w->s, t, s, row, &w->plain, &w->envelope)) {
		w->s->unopened++;
		return false;
	}
	out->envelope = &w->envelope;
	return w->pick->queue == NULL || queue_is(w->pick, s, w->envelope.queue);
}

/* ---- bodies ----------------------------------------------------------------------------------------------------------------- */

/* A body of one piece goes with its entry. What does not fit its hash is left out: who imports the entry asks other sites for it. */
static void load_body(struct walk *w, struct txn *t, struct entry_row *row, const struct header *h)
{
	buf_clear(&w->body);
	row->e.body = view_of(NULL, 0);
	if (row->e.flags & ENTRY_STUB)
		return;
	row->e.flags &= (uint8_t)~ENTRY_BODY_APART;
	if (row->e.body_len && !(h->flags & HEADER_CHUNKED) && row->body_no && store_body_get_part(t, row->body_class, row->body_no, PART_WHOLE, 0, &w->body) == ERR_OK) {
		struct hash hash = body_hash(buf_view(&w->body));
		if (hash_equal(&hash, &row->e.body_hash))
			row->e.body = buf_view(&w->body);
	}
	if (row->e.body_len && !row->e.body.len)
		row->e.flags |= ENTRY_BODY_APART;
}

static enum err seen_before(struct walk *w, uint64_t body_no, bool *before)
{
	uint64_t i = body_no & ~(1ULL << 63);
	if (i / 8 >= w->n_seen) {
		size_t n = (size_t)i / 8 + 1024;
		uint8_t *more = realloc(w->seen, n);
		if (more == NULL)
			return ERR_NOMEM;
		memset(more + w->n_seen, 0, n - w->n_seen);
		w->seen = more;
		w->n_seen = n;
	}
	*before = w->seen[i / 8] >> i % 8 & 1;
	w->seen[i / 8] |= (uint8_t)(1u << i % 8);
	return ERR_OK;
}

static enum err one_part(struct walk *w, struct txn *t, const struct entry_row *row, uint8_t kind, uint32_t index)
{
	buf_clear(&w->part);
	enum err e = store_body_get_part(t, row->body_class, row->body_no, kind, index, &w->part);
	if (e != ERR_OK)
		return err_set(w->m, e, "%.200s: entry %llu: a part of its body: %s (journal verify says more)", w->s->dir, (unsigned long long)row->arrival, err_text(e));
	w->bytes += w->part.len;
	if (!progress_show(w->progress, w->bytes, w->of))
		return ERR_CLOSED;
	return w->sink->part(w->sink->arg, row->body_class, &row->e.body_hash, kind, index, buf_view(&w->part));
}

/* Manifest, pages, chunks; nothing of a body that is not whole here. */
static enum err hand_parts(struct walk *w, struct txn *t, const struct entry_row *row, const struct header *h)
{
	struct body_row body;
	bool before = false;
	if (!w->sink->parts || !(h->flags & HEADER_CHUNKED) || !row->body_no || store_body_row(t, row->body_class, row->body_no, &body) != ERR_OK || !body.whole)
		return ERR_OK;
	enum err e = seen_before(w, row->body_no, &before);
	if (e != ERR_OK || before)
		return e;
	e = one_part(w, t, row, PART_MANIFEST, 0);
	for (uint32_t i = 0; e == ERR_OK && i < (body.chunks + LIMIT_LEAVES_PER_PAGE - 1) / LIMIT_LEAVES_PER_PAGE; i++)
		e = one_part(w, t, row, PART_PAGE, i);
	for (uint32_t i = 0; e == ERR_OK && i < body.chunks; i++)
		e = one_part(w, t, row, PART_CHUNK, i);
	return e;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------- */

static enum err read_failed(struct walk *w, enum err e, uint32_t stream, uint64_t number)
{
	return err_set(w->m, e, "%.200s: entry %llu of stream %u: %s (journal verify says more)", w->s->dir, (unsigned long long)number, stream, err_text(e));
}

static enum err chain_before(struct walk *w, struct txn *t, const struct stream_row *s, uint64_t first, struct hash *out)
{
	struct entry_row row;
	*out = first - 1 == s->floor && s->floor ? s->floor_chain : stream_hash(&store_birth(w->s->store)->network, &s->name);
	if (first == 1 || first - 1 == s->floor)
		return ERR_OK;
	enum err e = store_entry_find(t, s->local, first - 1, &row);
	if (e != ERR_OK)
		return read_failed(w, e, s->local, first - 1);
	*out = row.chain;
	return ERR_OK;
}

/* The leaves behind the run up to the head that signs it. */
static enum err close_run(struct walk *w, struct txn *t, const struct stream_row *s, uint64_t first, uint64_t last, const struct head *head)
{
	struct export_run *r = malloc(sizeof *r);
	if (r == NULL)
		return ERR_NOMEM;
	*r = (struct export_run){.stream = s, .first = first, .entries = (uint16_t)(last - first + 1), .head = *head};
	enum err e = chain_before(w, t, s, first, &r->before);
	for (uint64_t k = last + 1; e == ERR_OK && k <= head->number; k++) {
		struct entry_row row;
		e = store_entry_find(t, s->local, k, &row);
		if (e != ERR_OK)
			e = read_failed(w, e, s->local, k);
		else
			r->tail[r->n_tail++] = entry_leaf(&row.e);
	}
	if (e == ERR_OK)
		e = w->sink->head(w->sink->arg, r);
	free(r);
	return e;
}

/* How far a run may go that begins at first: so that what signs it is never far away. 0: nothing signs it. */
static uint64_t run_end(struct txn *t, const struct stream_row *s, uint64_t first, struct head *head)
{
	if (store_head_from(t, s->local, first, head) != ERR_OK || head->number > s->held)
		return 0;
	return head->number - first < LIMIT_HEAD_SPACING ? head->number : 0;
}

static enum err hand_on(struct walk *w, struct txn *t, struct entry_row *row, struct picked *p)
{
	w->bytes += HEADER_BYTES + row->e.envelope.len + row->e.body.len;
	if (!progress_show(w->progress, w->bytes, w->of))
		return ERR_CLOSED;
	return w->sink->entry(w->sink->arg, t, p);
}

/* One run from *next on, which moves behind it, or behind what is not picked. */
static enum err one_run(struct walk *w, struct txn *t, const struct stream_row *s, uint64_t *next)
{
	struct head head = {0};
	uint64_t first = 0, last = 0, end = s->held;
	size_t bytes = 0;
	enum err e = ERR_OK;
	for (unsigned looked = 0; *next <= end && looked < LOOK_ENTRIES; looked++) {
		struct entry_row row;
		struct picked p;
		e = store_entry_find(t, s->local, *next, &row);
		if (e != ERR_OK)
			return read_failed(w, e, s->local, *next);
		bool picked = is_picked(w, t, s, &row, &p);
		if (!picked && first)
			break;
		if (picked && !first && !(end = run_end(t, s, *next, &head))) {
			w->s->unsigned_entries++;
			end = s->held;
			picked = false;
		}
		if (picked)
			load_body(w, t, &row, &p.header);
		if (picked && first && bytes + segment_entry_bytes(&row.e) > LIMIT_SEGMENT_BYTES - LIMIT_HEAD_SPACING * HASH_BYTES)
			break;
		if (picked) {
			bytes += segment_entry_bytes(&row.e);
			first = first ? first : *next;
			last = *next;
			e = hand_parts(w, t, &row, &p.header);
			if (e == ERR_OK)
				e = hand_on(w, t, &row, &p);
		}
		if (e != ERR_OK)
			return e;
		++*next;
	}
	return first ? close_run(w, t, s, first, last, &head) : ERR_OK;
}

static enum err one_stream(struct walk *w, const struct stream_row *s)
{
	enum err e = ERR_OK;
	for (uint64_t next = s->floor + 1; e == ERR_OK && next <= s->held;) {
		struct txn *t = NULL;
		e = txn_begin(w->s->store, false, &t);
		if (e == ERR_OK)
			e = one_run(w, t, s, &next);
		txn_abort(t);
		if (e == ERR_OK && longwork_stopped())
			e = ERR_CLOSED;
	}
	return e;
}

enum err export_walk(struct source *s, const struct pick *pick, const struct sink *sink, struct progress *p, struct errmsg *m)
{
	struct walk w = {.s = s, .pick = pick, .sink = sink, .progress = p, .m = m};
	struct store_space space;
	enum err e = ERR_OK;
	store_space(s->store, &space);
	w.of = (uint64_t)space.used_bytes;
	m->text[0] = '\0';
	for (size_t i = 0; e == ERR_OK && i < s->n_streams; i++)
		if (stream_is_picked(pick, &s->streams[i].name))
			e = one_stream(&w, &s->streams[i]);
	progress_end(p);
	if (e == ERR_CLOSED)
		err_set(m, e, "interrupted, nothing was left");
	if (w.plain.ptr)
		crypt_wipe(w.plain.ptr, w.plain.cap);
	crypt_wipe(&w.envelope, sizeof w.envelope);
	buf_release(&w.plain);
	buf_release(&w.body);
	buf_release(&w.part);
	free(w.seen);
	return e;
}

enum err export_room(void **array, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return ERR_OK;
	size_t more = *cap ? 2 * *cap : 64;
	void *p = realloc(*array, more * size);
	if (p == NULL)
		return ERR_NOMEM;
	*array = p;
	*cap = more;
	return ERR_OK;
}
