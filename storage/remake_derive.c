/* What follows from the records that were copied: positions, grants, what is missing, references, rows of streams, queues and bodies;
 * and the marks by which the node's core does the rest at its next start. */
#include <stdlib.h>
#include <string.h>

#include "proto/entry.h"
#include "proto/frame.h"
#include "proto/seal.h"
#include "storage/remake_int.h"

static void put_u64(struct remake *r, const struct key *k, uint64_t x)
{
	uint8_t *to;
	x = __builtin_bswap64(x);
	to = kv_reserve(r->t->k, k->db, key_view(k), sizeof x, KV_PUT);
	if (to)
		memcpy(to, &x, sizeof x);
}

/* ---- entries --------------------------------------------------------------------------------------------------------- */

static void count_ref(struct remake *r, uint64_t body_no)
{
	uint64_t i = body_no & ~BODY_NO_APART;
	if (i >= r->n_refs) {
		uint64_t n = i + i / 2 + 64;
		uint32_t *refs = n < SIZE_MAX / sizeof *refs ? realloc(r->refs, n * sizeof *refs) : NULL;
		if (!refs) {
			r->err = ERR_NOMEM;
			return;
		}
		memset(refs + r->n_refs, 0, (n - r->n_refs) * sizeof *refs);
		r->refs = refs;
		r->n_refs = n;
	}
	r->refs[i]++;
}

/* Of an entry that is damaged, or whose body of one piece is: it is to be given again whole. */
static const struct hash again;

/* Parts have no check of their own: what was found must be what the entry says. Bodies in chunks are left to the node's scrub. */
static bool is_body(struct remake *r, const struct entry_row *row)
{
	struct buf b = BUF_EMPTY;
	bool fits = store_body_get_part(r->t, row->body_class, row->body_no, PART_WHOLE, 0, &b) == ERR_OK;
	struct hash h = body_hash(buf_view(&b));
	fits = fits && hash_equal(&h, &row->e.body_hash);
	buf_release(&b);
	return fits;
}

/* It stays where it is until it comes again with its entry. */
static void body_again(struct remake *r, const struct entry_row *row)
{
	r->out->bodies_lost++;
	store_missing_put(r->t, row->stream, row->number, &again);
}

/* A body is there, or it is to come again. */
static void derive_body(struct remake *r, const struct entry_row *row)
{
	struct key part = key_part(row->body_class, row->body_no, 0, 0, 0);
	struct body_row body;
	struct view value;
	struct header h;
	bool pieces = header_decode(row->e.header, &h) == ERR_OK && (h.flags & HEADER_CHUNKED);
	struct hash hash = pieces ? row->e.body_hash : again;
	if (!row->e.body_len || (row->e.flags & ENTRY_STUB))
		return;
	if (row->body_no & BODY_NO_APART) {
		if (store_body_row(r->t, row->body_class, row->body_no, &body) == ERR_OK && body.whole) {
			count_ref(r, row->body_no);
			if (!body.chunks && !is_body(r, row))
				body_again(r, row);
			return;
		}
	} else if (row->body_no && kv_get(r->t->k, part.db, key_view(&part), &value) == ERR_OK) {
		if (!is_body(r, row))
			body_again(r, row);
		return;
	}
	uint64_t number = row->number;
	uint32_t stream = row->stream;
	if (row->body_no) {
		r->out->bodies_lost++;
		if (!(row->body_no & BODY_NO_APART))
			store_body_del(r->t, row->body_class, row->body_no, SIZE_MAX);
		store_entry_set_body(r->t, row->arrival, 0, row->body_class);
	}
	store_missing_put(r->t, stream, number, &hash);
}

static void derive_entry(struct remake *r, const struct entry_row *row)
{
	struct key k = key_position(row->stream, row->number);
	struct view value;
	struct header h;
	if (kv_get(r->t->k, k.db, key_view(&k), &value) == ERR_OK)
		return; /* a second one of that number is found by nobody */
	put_u64(r, &k, row->arrival);
	r->out->entries++;
	if (header_decode(row->e.header, &h) == ERR_OK && h.kind == KIND_GRANT)
		store_grant_put(r->t, row->stream, row->number, row->arrival);
	derive_body(r, row);
}

static void derive_entries(struct remake *r)
{
	struct entry_row row;
	enum err e;
	for (uint64_t arrival = 1; !r->err && ((e = store_entry_from(r->t, arrival, &row)) == ERR_OK || e == ERR_DAMAGED); arrival++) {
		arrival = row.arrival;
		if (e)
			continue;
		derive_entry(r, &row);
		(void)remake_step(r);
	}
}

/* ---- numbers without an entry ---------------------------------------------------------------------------------------- */

/* The next record of an entry that nobody can read; one is made when there is none. Its number stays known as damaged. */
static uint64_t unreadable(struct remake *r)
{
	if (r->next_damaged < r->n_damaged)
		return r->damaged[r->next_damaged++];
	uint64_t arrival = store_last_arrival(r->t) + 1;
	struct key k = key_entry(arrival);
	uint8_t *to = kv_reserve(r->t->k, k.db, key_view(&k), CHECK_BYTES, KV_APPEND);
	if (to)
		memset(to, 0, CHECK_BYTES);
	r->t->last_arrival = arrival;
	return arrival;
}

static void mark_hole(struct remake *r, uint32_t stream, uint64_t number)
{
	struct key k = key_position(stream, number);
	uint64_t arrival = unreadable(r);
	put_u64(r, &k, arrival);
	store_damage_put(r->t, arrival, r->o->now, "found when the journal was made anew");
	store_missing_put(r->t, stream, number, &again);
	r->out->lost++;
	(void)remake_step(r);
}

/* Up to a number that is there, or was by the old row. */
static void mark_holes(struct remake *r, uint32_t stream, uint64_t from, uint64_t upto)
{
	for (uint64_t n = from; n <= upto && !r->err; n++) {
		struct key k = key_position(stream, n);
		struct view value;
		if (kv_get(r->t->k, k.db, key_view(&k), &value) == ERR_NOT_FOUND)
			mark_hole(r, stream, n);
	}
}

/* The first number of a stream that nothing is at; upto + 1 when there is none. */
static uint64_t first_hole(struct remake *r, uint32_t stream, uint64_t from, uint64_t upto)
{
	for (; from <= upto; from++) {
		struct key k = key_position(stream, from);
		struct view value;
		if (kv_get(r->t->k, k.db, key_view(&k), &value) == ERR_NOT_FOUND)
			break;
	}
	return from;
}

/* One entry out of the new journal, with all that leads to it. */
static void drop_entry(struct remake *r, uint32_t stream, uint64_t number)
{
	struct key k = key_position(stream, number), grant = key_grant(stream, number), head = key_head(stream, number), entry;
	struct entry_row row;
	if (store_entry_find(r->t, stream, number, &row) == ERR_OK) {
		uint64_t i = row.body_no & ~BODY_NO_APART, arrival = row.arrival;
		if ((row.body_no & BODY_NO_APART) && i < r->n_refs && r->refs[i])
			r->refs[i]--;
		else if (row.body_no && !(row.body_no & BODY_NO_APART))
			store_body_del(r->t, row.body_class, row.body_no, SIZE_MAX);
		entry = key_entry(arrival);
		record_del(r->t, &entry);
		r->t->last_arrival = 0;
	}
	record_del(r->t, &k);
	record_del(r->t, &grant);
	record_del(r->t, &head);
	store_missing_del(r->t, stream, number);
	(void)remake_step(r);
}

/* Another site's stream ends before its first hole: who holds it gives the rest again, as it was signed. */
static uint64_t cut_stream(struct remake *r, uint32_t stream, uint64_t floor, uint64_t held)
{
	uint64_t hole = first_hole(r, stream, floor + 1, held);
	for (uint64_t n = held; n >= hole && !r->err; n--) {
		drop_entry(r, stream, n);
		r->out->lost++;
	}
	return hole - 1;
}

/* The grant behind the floor that the stream began at is known by its number alone. */
static void derive_begun(struct remake *r, uint32_t stream)
{
	struct floor_note floor;
	if (store_floor_get(r->t, stream, &floor) == ERR_OK && floor.grant)
		store_grant_put(r->t, stream, floor.grant, 0);
}

/* What a scan found of the entries that are retired; the grants there are needed. */
static void drop_retired(struct remake *r, uint32_t stream, uint64_t floor)
{
	struct key at = key_position(stream, 0);
	struct view key, value;
	while (!r->err && kv_seek(r->t->k, at.db, key_view(&at), &key, &value) == ERR_OK && key.len == at.len && memcmp(key.ptr, at.b, 5) == 0) {
		struct rd f = key_fields(key);
		struct entry_row row;
		struct header h;
		rd_u32(&f);
		uint64_t number = rd_u64(&f);
		if (number > floor)
			return;
		at = key_position(stream, number + 1);
		if (store_entry_find(r->t, stream, number, &row) == ERR_OK && header_decode(row.e.header, &h) == ERR_OK && h.kind != KIND_GRANT)
			drop_entry(r, stream, number);
	}
}

/* ---- streams -------------------------------------------------------------------------------------------------------- */

static uint64_t last_number(struct remake *r, enum table table, uint32_t stream, uint64_t below)
{
	struct key limit = key_stream_number(table, stream, below);
	struct view key, value;
	if (kv_before(r->t->k, limit.db, key_view(&limit), &key, &value) || key.len != limit.len || memcmp(key.ptr, limit.b, 5) != 0)
		return 0;
	struct rd f = key_fields(key);
	rd_u32(&f);
	return rd_u64(&f);
}

/* The row as it was, or what the copy of its name tells. */
static bool old_row(struct remake *r, uint32_t local, struct stream_row *row)
{
	struct key k = key_stream(local), name = key_stream_name(local);
	struct floor_note floor;
	struct rd v;
	if (record_get(r->t, &k, &v) == ERR_OK && codec_stream_read(key_view(&k), &v, row) == ERR_OK)
		return true;
	*row = (struct stream_row){.local = local};
	if (record_get(r->t, &name, &v) || stream_name_decode(rd_bytes(&v, STREAM_NAME_BYTES), &row->name) || rd_done(&v))
		return false;
	row->chain = row->floor_chain = stream_hash(&r->to->birth.network, &row->name);
	if (store_floor_get(r->t, local, &floor) == ERR_OK) {
		row->floor = floor.number;
		row->floor_chain = floor.chain;
	}
	return true;
}

/* Far more numbers than arrivals there are: not to be believed. */
static bool plausible(struct remake *r, const struct stream_row *row, uint64_t last)
{
	uint64_t from = last > row->floor ? last : row->floor;
	return row->held >= row->floor && (row->held <= from || row->held - from <= store_last_arrival(r->t) + r->n_damaged);
}

static void derive_stream(struct remake *r, uint32_t local)
{
	uint8_t name[STREAM_NAME_BYTES];
	struct stream_row row;
	struct entry_row end;
	if (!old_row(r, local, &row)) {
		r->out->streams_lost++;
		return;
	}
	struct hash was = row.chain;
	uint64_t held = row.held, last = last_number(r, TABLE_POSITION, local, UINT64_MAX);
	if (!plausible(r, &row, last))
		held = last;
	row.held = held > last ? held : last;
	if (row.held < row.floor)
		row.held = row.floor;
	drop_retired(r, local, row.floor);
	derive_begun(r, local);
	if (row.name.originator == r->to->birth.site)
		mark_holes(r, local, row.floor + 1, row.held);
	else
		row.held = cut_stream(r, local, row.floor, row.held);
	if (row.held > row.floor && store_entry_find(r->t, local, row.held, &end) == ERR_OK)
		row.chain = end.chain;
	else
		row.chain = row.held > row.floor ? was : row.floor ? row.floor_chain : stream_hash(&r->to->birth.network, &row.name);
	row.head = last_number(r, TABLE_HEAD, local, UINT64_MAX);
	row.head_before = row.head ? last_number(r, TABLE_HEAD, local, row.head) : 0;
	store_stream_put(r->t, &row);
	struct key k = key_stream_name(local);
	stream_name_encode(&row.name, name);
	record_put(r->t, &k, view_of(name, sizeof name), KV_PUT);
	if (row.held > row.floor)
		store_redo_put(r->t, &(struct redo_row){.stream = local, .next = row.floor + 1, .upto = row.held});
	(void)remake_step(r);
}

/* ---- queues and bodies ------------------------------------------------------------------------------------------------ */

static uint32_t last_of(struct remake *r, enum table a, enum table b)
{
	uint32_t x = record_last_u32(r->t, a), y = record_last_u32(r->t, b);
	return x > y ? x : y;
}

static void derive_queue(struct remake *r, uint32_t local)
{
	struct key k = key_queue_name(local), full = key_queue(local);
	struct queue_row row = {.local = local}, whole;
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct rd v;
	if (record_get(r->t, &full, &v) == ERR_OK && codec_queue_read(key_view(&full), &v, &whole) == ERR_OK) {
		row.site = whole.site;
		memcpy(row.name, whole.name, sizeof row.name);
	} else if (record_get(r->t, &k, &v) || codec_queue_name_read(&v, &row)) {
		return;
	}
	store_queue_put(r->t, &row);
	codec_queue_name_write(&w, &row);
	record_put_wr(r->t, &k, &w, KV_PUT);
}

static void derive_body_row(struct remake *r, const struct body_row *old)
{
	struct body_row row = *old;
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_body_row(row.class, row.body_no), hash = key_body_hash(row.class, &row.hash), orphan = key_orphan(row.class, row.body_no);
	static const struct hash none;
	uint64_t i = row.body_no & ~BODY_NO_APART;
	row.refs = i < r->n_refs ? r->refs[i] : 0;
	codec_body_write(&w, &row);
	record_put_wr(r->t, &k, &w, KV_PUT);
	if (!hash_equal(&row.hash, &none))
		put_u64(r, &hash, row.body_no);
	if (!row.refs)
		record_put(r->t, &orphan, view_of(NULL, 0), KV_PUT);
	(void)remake_step(r);
}

static void derive_bodies(struct remake *r)
{
	struct key at = key_table(TABLE_BODY_ROW);
	struct view key;
	struct rd v;
	while (!r->err && record_from(r->t, &at, 1, &key, &v) == ERR_OK) {
		struct body_row row;
		bool fits = codec_body_read(key, &v, &row) == ERR_OK && row.class < BODY_CLASSES;
		if (!key_from(&at, at.db, key) || !key_step(&at))
			return;
		if (fits)
			derive_body_row(r, &row);
	}
}

/* ---- all ----------------------------------------------------------------------------------------------------------------- */

void remake_derive(struct remake *r)
{
	static const uint8_t one = 1;
	uint32_t streams = last_of(r, TABLE_STREAM, TABLE_STREAM_NAME), queues = last_of(r, TABLE_QUEUE, TABLE_QUEUE_NAME);
	derive_entries(r);
	for (uint32_t i = 1; i <= streams && !r->err; i++)
		derive_stream(r, i);
	for (uint32_t i = 1; i <= queues && !r->err; i++)
		derive_queue(r, i);
	derive_bodies(r);
	if (r->err)
		return;
	store_meta_put(r->t, META_REBUILDING, view_of(&one, 1));
	if (r->o->scan || r->out->lost)
		store_meta_put(r->t, META_RECOVERING, view_of(&one, 1));
}
