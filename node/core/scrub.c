/* scrub.c - all of the journal read through, a little at a time: scrub.h. */
#include <stdio.h>

#include "node/core/core_int.h"

#define UNIT_BYTES 4096
/* A head's signature is verified where one lies in every so many numbers. */
#define HEAD_SAMPLE 256
/* How far a pass is, is stored so often. */
#define SAVE_US (60 * 60 * US_PER_S)
#define SAVE_BYTES (8 * 9 + 4)

/* ---- one entry ---------------------------------------------------------------------------------------------------------- */

static bool hashes_fit(const struct entry *e)
{
	static const struct hash zero;
	struct entry again = *e;

	entry_hash(&again);
	bool envelope = e->envelope.len ? hash_equal(&again.envelope_hash, &e->envelope_hash)
					: (e->flags & ENTRY_STUB) || hash_equal(&e->envelope_hash, &zero);

	return envelope && hash_equal(&again.header_hash, &e->header_hash);
}

static bool follows(struct core *c, const struct stream *s, const struct entry_row *row)
{
	struct hash leaf = entry_leaf(&row->e), before;

	if (chain_at(c, s, row->number - 1, &before))
		return true; /* the one before is damaged: nothing can be said of this one by it */
	struct hash chain = chain_next(&before, row->number, &leaf);

	return hash_equal(&chain, &row->chain);
}

static enum rot rot_of_piece(struct core *c, const struct entry_row *row, uint64_t *bytes)
{
	struct buf *b = &c->scratch;

	buf_clear(b);
	enum err e = store_body_get_part(c->t, row->body_class, row->body_no, PART_WHOLE, 0, b);
	struct hash h = body_hash(buf_view(b));

	*bytes += b->len;
	if (e == ERR_NOMEM)
		return SOUND;
	return e || b->len != row->e.body_len || !hash_equal(&h, &row->e.body_hash) ? ROT_BODY : SOUND;
}

static enum rot rot_of_body(struct core *c, const struct entry_row *row, uint64_t *bytes)
{
	struct body_row body;
	struct header h;

	if (!row->e.body_len || (row->e.flags & ENTRY_STUB) || !row->body_no)
		return SOUND; /* or it is still to come, or was removed */
	if (header_decode(row->e.header, &h) == ERR_OK && (h.flags & HEADER_CHUNKED)) {
		enum err e = store_body_row(c->t, row->body_class, row->body_no, &body);

		return e == ERR_DAMAGED || e == ERR_NOT_FOUND || (!e && !hash_equal(&body.hash, &row->e.body_hash)) ? ROT_BODY_ROW : SOUND;
	}
	return rot_of_piece(c, row, bytes);
}

/* Is it where those around it say that it can be? Numbers of a stream come in order. */
static bool arrival_fits(struct core *c, const struct stream *s, uint64_t number, uint64_t arrival)
{
	uint64_t other;

	if (number > s->row.floor + 1 && store_entry_arrival(c->t, s->row.local, number - 1, &other) == ERR_OK && other >= arrival)
		return false;
	if (number < s->row.held && store_entry_arrival(c->t, s->row.local, number + 1, &other) == ERR_OK && other <= arrival)
		return false;
	return arrival && arrival <= store_last_arrival(c->t);
}

enum rot rot_of(struct core *c, struct stream *s, uint64_t number, struct entry_row *row, uint64_t *arrival, uint64_t *bytes)
{
	*arrival = 0;
	if (store_entry_arrival(c->t, s->row.local, number, arrival)) {
		*arrival = 0;
		return ROT_INDEX;
	}
	enum err e = store_entry_get(c->t, *arrival, row);

	if (!e && (row->stream != s->row.local || row->number != number))
		return ROT_INDEX;
	if (e)
		return arrival_fits(c, s, number, *arrival) ? ROT_ENTRY : ROT_INDEX;
	if (!hashes_fit(&row->e) || !follows(c, s, row))
		return ROT_ENTRY;
	return rot_of_body(c, row, bytes);
}

/* ---- the parts of a large body -------------------------------------------------------------------------------------------- */

/* Leaves of the page that was read last. */
struct leaves { struct buf bytes; uint32_t page; bool there; };

static bool leaves_read(struct core *c, const struct entry_row *row, uint32_t page, struct leaves *l)
{
	if (l->there && l->page == page)
		return true;
	buf_clear(&l->bytes);
	l->there = store_body_get_part(c->t, row->body_class, row->body_no, PART_PAGE, page, &l->bytes) == ERR_OK;
	l->page = page;
	return l->there;
}

static bool part_fits(struct core *c, const struct entry_row *row, const struct manifest *m, uint32_t position, struct leaves *l, uint64_t *bytes)
{
	uint32_t index = position_index(position);
	size_t at = index % LIMIT_LEAVES_PER_PAGE * (size_t)HASH_BYTES;
	struct buf *b = &c->scratch;
	struct hash h;

	if (position_kind(position) == PART_PAGE) {
		l->there = false;
		h = leaves_read(c, row, index, l) ? page_hash(index, buf_view(&l->bytes)) : (struct hash){{0}};
		*bytes += l->bytes.len;
		return index >= m->pages || hash_equal(&h, &m->page[index]);
	}
	buf_clear(b);
	if (!leaves_read(c, row, index / LIMIT_LEAVES_PER_PAGE, l) || at + HASH_BYTES > l->bytes.len)
		return false;
	if (store_body_get_part(c->t, row->body_class, row->body_no, PART_CHUNK, index, b))
		return false;
	*bytes += b->len;
	h = chunk_hash(index, buf_view(b));
	return memcmp(h.b, l->bytes.ptr + at, HASH_BYTES) == 0;
}

static bool manifest_read(struct core *c, const struct entry_row *row, struct manifest *m)
{
	struct buf *b = &c->scratch;

	buf_clear(b);
	if (store_body_get_part(c->t, row->body_class, row->body_no, PART_MANIFEST, 0, b) || manifest_decode(buf_view(b), m))
		return false;
	struct hash h = manifest_hash(m);

	return hash_equal(&h, &row->e.body_hash);
}

enum rot rot_of_parts(struct core *c, const struct entry_row *row, uint32_t *part, unsigned *left, uint64_t *bytes)
{
	struct leaves l = {.bytes = BUF_EMPTY};
	struct manifest m;
	bool fits = true;

	if (!manifest_read(c, row, &m)) {
		*part = 0;
		return ROT_PART;
	}
	*part += *part == 0;
	while (*left && *part <= position_of(PART_CHUNK, m.chunks - 1) && (fits = part_fits(c, row, &m, *part, &l, bytes))) {
		++*part;
		--*left;
	}
	buf_release(&l.bytes);
	return fits ? SOUND : ROT_PART;
}

/* ---- what else says something of it ------------------------------------------------------------------------------------------ */

static void look_at_row(struct core *c, struct stream *s, const struct entry_row *entry)
{
	struct msg_row row;
	struct header h;

	if (s->transit || header_decode(entry->e.header, &h) || h.kind != KIND_MESSAGE || store_msg_get(c->t, &h.id, s->row.name.addressee, &row) != ERR_DAMAGED)
		return;
	c->scrub.found++;
	damage_show(c, entry->arrival, "what was known of the message cannot be read; `estafette rebuild` makes it anew");
}

static void look_at_head(struct core *c, struct stream *s, uint64_t number)
{
	const struct site *o = roster_site(c->roster, s->row.name.originator);
	const struct sign_public *key;
	char subject[48];
	struct head h;
	bool good = false;

	if (number % HEAD_SAMPLE != 1 % HEAD_SAMPLE || !o)
		return;
	enum err e = store_head_from(c->t, s->row.local, number, &h);

	if (e == ERR_NOT_FOUND)
		return;
	for (size_t i = 0; !e && !good && (key = site_identity(o, i)); i++)
		good = head_verify(c->config.suite, key, &s->hash, &h);
	if (good)
		return;
	c->scrub.found++;
	snprintf(subject, sizeof subject, "head.%u.%llu", s->row.local, (unsigned long long)number);
	alarm_raise(c, "damage", subject, "run `estafette journal verify`, and `--repair` on the stopped node",
		    "the signature over the entries from %llu on of stream %u is damaged", (unsigned long long)number, s->row.local);
}

/* ---- a pass -------------------------------------------------------------------------------------------------------------- */

static void save(struct core *c)
{
	struct scrub *r = &c->scrub;
	uint8_t bytes[SAVE_BYTES];
	struct wr w = wr_init(bytes, sizeof bytes);

	wr_i64(&w, r->going ? r->began.us : 0);
	wr_i64(&w, r->ended.us);
	wr_u64(&w, r->ended_entries);
	wr_u64(&w, r->ended_bytes);
	wr_u64(&w, r->entries);
	wr_u64(&w, r->bytes);
	wr_u64(&w, r->found);
	wr_u64(&w, r->mended);
	wr_u32(&w, r->next.stream);
	wr_u64(&w, r->next.number);
	store_meta_put(c->t, META_SCRUB, view_of(bytes, wr_len(&w)));
	r->saved = c->now;
}

void scrub_load(struct core *c)
{
	struct scrub *s = &c->scrub;
	struct view v;

	s->again = true;
	if (s->began.us || s->ended.us || store_meta_get(c->t, META_SCRUB, &v) || v.len != SAVE_BYTES)
		return;
	struct rd r = rd_init(v);

	s->began.us = rd_i64(&r);
	s->ended.us = rd_i64(&r);
	s->ended_entries = rd_u64(&r);
	s->ended_bytes = rd_u64(&r);
	s->entries = rd_u64(&r);
	s->bytes = rd_u64(&r);
	s->found = rd_u64(&r);
	s->mended = rd_u64(&r);
	s->next.stream = rd_u32(&r);
	s->next.number = rd_u64(&r);
	s->next_safe = s->next;
	s->going = s->began.us != 0;
}

static uint64_t units_of(struct core *c)
{
	struct store_space space;
	uint64_t n = 1;

	store_space(c->store, &space);
	for (size_t i = 0; i < c->n_streams; i++)
		n += c->streams[i]->row.held - c->streams[i]->row.floor;
	return n + (uint64_t)space.used_bytes / UNIT_BYTES;
}

static void pass_begin(struct core *c)
{
	struct scrub *r = &c->scrub;

	if (!r->going) {
		r->going = true;
		r->next = (struct scrub_at){.stream = 1};
		r->began = c->wall;
		r->entries = r->bytes = 0;
	}
	r->at = r->saved = c->now;
}

static void pass_end(struct core *c)
{
	struct scrub *r = &c->scrub;

	r->going = false;
	r->ended = c->wall;
	r->ended_entries = r->entries;
	r->ended_bytes = r->bytes;
	effect_log(c->out, 6, "scrub: the whole journal was read, %llu entries; %llu damaged things were found in it so far, %llu mended",
		   (unsigned long long)r->entries, (unsigned long long)r->found, (unsigned long long)r->mended);
	save(c);
}

static void rotten(struct core *c, struct stream *s, uint64_t number, uint64_t arrival, enum rot rot)
{
	static const char *const what[] = {
		[ROT_ENTRY] = "its record cannot be read", [ROT_BODY] = "its body does not fit its hash", [ROT_PART] = "a part of its body does not fit its hash",
		[ROT_INDEX] = "its position cannot be read", [ROT_BODY_ROW] = "the record of its body cannot be read",
	};

	again_note(c, s, number, rot == ROT_INDEX ? 0 : arrival, what[rot]);
}

/* One entry, or a few parts of its body. Returns the units that it cost. */
static uint64_t look_at(struct core *c, struct stream *s)
{
	struct scrub *r = &c->scrub;
	struct entry_row row;
	struct header h;
	uint64_t arrival, bytes = 0;
	unsigned left = SCRUB_STEP / (LIMIT_SEALED_CHUNK_BYTES / UNIT_BYTES) + 1;
	enum rot rot = rot_of(c, s, r->next.number, &row, &arrival, &bytes);
	bool parts = rot == SOUND && row.body_no && header_decode(row.e.header, &h) == ERR_OK && (h.flags & HEADER_CHUNKED) && !(row.e.flags & ENTRY_STUB);

	if (parts)
		rot = rot_of_parts(c, &row, &r->next.part, &left, &bytes);
	bool done = rot != SOUND || !parts || left;

	r->bytes += bytes;
	if (rot != SOUND)
		rotten(c, s, r->next.number, arrival, rot);
	else if (done)
		look_at_row(c, s, &row);
	if (done) {
		look_at_head(c, s, r->next.number);
		r->entries++;
		r->next.number++;
		r->next.part = 0;
	}
	return 1 + bytes / UNIT_BYTES;
}

/* To the next number that is held. False at the end of the journal. */
static bool seek(struct core *c)
{
	struct scrub_at *at = &c->scrub.next;
	uint32_t last = store_stream_last(c->t);

	for (; at->stream <= last; *at = (struct scrub_at){.stream = at->stream + 1}) {
		struct stream *s = stream_by_local(c, at->stream);

		if (!s)
			continue;
		if (at->number <= s->row.floor)
			*at = (struct scrub_at){.stream = at->stream, .number = s->row.floor + 1};
		if (at->number <= s->row.held)
			return true;
	}
	return false;
}

/* What is due after so long; in milliseconds, and a day at most, so that the product fits. */
static uint64_t units_due(const struct core *c, int64_t us)
{
	us = us > US_PER_DAY ? US_PER_DAY : us;
	return (uint64_t)(us / 1000) * c->scrub.units / (uint64_t)(c->config.scrub_us / 1000);
}

/* How long so many units may take: no more than a step's. */
static int64_t span_us(const struct core *c, uint64_t units)
{
	return (int64_t)units * c->config.scrub_us / (int64_t)c->scrub.units;
}

/* The look at all the rest comes once a minute anyway; only a large journal needs more than that. */
static struct mono next_look(const struct core *c)
{
	int64_t us = span_us(c, SCRUB_STEP / 2);

	return mono_add(c->scrub.at, us > US_PER_S ? us : US_PER_S);
}

struct mono scrub_look(struct core *c)
{
	struct scrub *r = &c->scrub;

	if (!c->started || c->rebuilding)
		return MONO_NEVER;
	if (!r->going || !r->units)
		pass_begin(c);
	r->units = units_of(c); /* it grows meanwhile */
	uint64_t due = units_due(c, c->now.us - r->at.us), spent = 0;

	if (!due)
		return next_look(c);
	/* What could not be done in its time is not made up for: the pass takes longer. */
	if (due > SCRUB_STEP) {
		due = SCRUB_STEP;
		r->at = c->now;
	} else {
		r->at = mono_add(r->at, span_us(c, due));
	}
	while (spent < due && !txn_error(c->t)) {
		if (!seek(c)) {
			pass_end(c);
			pass_begin(c);
			return next_look(c);
		}
		spent += look_at(c, stream_by_local(c, r->next.stream));
	}
	if (c->now.us - r->saved.us >= SAVE_US)
		save(c);
	return next_look(c);
}

void scrub_committed(struct core *c)
{
	c->scrub.next_safe = c->scrub.next;
}

void scrub_undo(struct core *c)
{
	c->scrub.next = c->scrub.next_safe;
	c->scrub.going = c->scrub.going || c->scrub.next.stream;
	c->scrub.again = true;
}

int scrub_percent(const struct core *c)
{
	const struct scrub *r = &c->scrub;
	uint64_t done = r->entries + r->bytes / UNIT_BYTES;

	return !r->going || !r->units ? 0 : done >= r->units ? 99 : (int)(done * 100 / r->units);
}
