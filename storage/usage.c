#include "storage/usage.h"

#include <stdlib.h>

#include "storage/record.h"

static_assert(USAGE_DATABASES == (int)DB_COUNT, "a number of pages for each database");

static const char *const database_name[DB_COUNT] = {"core", "entries", "index", "bodies0", "bodies1", "places", "messages", "keys"};
static const char *const table_name[USAGE_TABLES] = {
	[TABLE_META] = "meta", [TABLE_STREAM] = "stream", [TABLE_QUEUE] = "queue", [TABLE_ALARM] = "alarm", [TABLE_DAMAGE] = "damage",
	[TABLE_MISSING] = "missing", [TABLE_LEASE] = "lease", [TABLE_STATE] = "state", [TABLE_CLOSING] = "closing", [TABLE_CONFLICT] = "conflict",
	[TABLE_HANDED] = "handed", [TABLE_ORDER_WAIT] = "order wait", [TABLE_BRANCH] = "branch", [TABLE_QUARANTINE] = "quarantine",
	[TABLE_REDO] = "redo", [TABLE_ENTRY] = "entry", [TABLE_POSITION] = "position", [TABLE_HEAD] = "head", [TABLE_GRANT] = "grant",
	[TABLE_EXPIRY] = "expiry", [TABLE_BODY_ROW] = "body row", [TABLE_BODY_HASH] = "body hash", [TABLE_ORPHAN] = "orphan",
	[TABLE_STREAM_NAME] = "stream name", [TABLE_QUEUE_NAME] = "queue name", [TABLE_FLOOR] = "floor", [TABLE_REPLAY] = "replay", [TABLE_REPLAY_OUT] = "replay out", [TABLE_REPLAY_JOB] = "replay job", [TABLE_BEARER] = "bearer",
	[TABLE_STATE_SINCE] = "state since", [TABLE_WHOLE_SINCE] = "whole since", [TABLE_LINK] = "link",
	[TABLE_PART_APART] = "part apart",
	[TABLE_PART] = "part", [TABLE_PLACE] = "place", [TABLE_MSG] = "message", [TABLE_KEY] = "key",
};

const char *usage_table_name(unsigned table)
{
	return table < USAGE_TABLES ? table_name[table] : NULL;
}

const char *usage_database_name(unsigned database)
{
	return database < DB_COUNT ? database_name[database] : NULL;
}

const char *usage_database_of(unsigned table)
{
	return table_known((uint8_t)table) ? table == TABLE_PART || table == TABLE_PART_APART ? "bodies" : database_name[key_table((enum table)table).db] : NULL;
}

struct usage_work {
	struct txn *t;
	struct usage *u;
	struct { uint16_t addressee; bool known, exercise; } *stream; /* by local number */
	uint32_t n_streams;
	uint8_t *seen[BODY_CLASSES]; /* bodies apart that an entry was counted with, a bit each */
	uint64_t n_apart;
	enum err (*fn)(void *arg, const struct usage_entry *e);
	void *arg;
};

static enum err note_stream(void *arg, const struct stream_row *row)
{
	struct usage_work *w = arg;
	if (row->local <= w->n_streams) {
		w->stream[row->local].addressee = row->name.addressee;
		w->stream[row->local].exercise = row->name.exercise;
		w->stream[row->local].known = true;
	}
	return ERR_OK;
}

static enum usage_class class_of_flag(bool exercise)
{
	return exercise ? USAGE_EXERCISE : USAGE_OPERATIONAL;
}

static enum usage_class class_of_stream(const struct usage_work *w, uint32_t local)
{
	return local <= w->n_streams && w->stream[local].known ? class_of_flag(w->stream[local].exercise) : USAGE_OF_BOTH;
}

static enum usage_class class_of(const struct usage_work *w, enum kv_db db, struct view key, struct view value)
{
	struct rd k = key_fields(key);
	struct entry_row entry;
	struct lease_row lease;
	struct msg_row msg;
	struct place place;
	struct view row;
	bool good = record_open(key, value, &row) == ERR_OK;
	struct rd r = rd_init(good ? row : view_of(NULL, 0));
	switch (key.ptr[0]) {
	case TABLE_STREAM: case TABLE_POSITION: case TABLE_HEAD: case TABLE_GRANT: case TABLE_MISSING: case TABLE_HANDED: case TABLE_BRANCH:
	case TABLE_REDO: case TABLE_STREAM_NAME: case TABLE_FLOOR: return class_of_stream(w, rd_u32(&k));
	case TABLE_BODY_ROW: case TABLE_BODY_HASH: case TABLE_ORPHAN: return class_of_flag(rd_u8(&k) == BODY_EXERCISE);
	case TABLE_PART: case TABLE_PART_APART: return class_of_flag(db == DB_BODIES0 + BODY_EXERCISE);
	case TABLE_PLACE: return codec_place_read(key, &place) ? USAGE_OF_BOTH : class_of_flag(place.exercise);
	case TABLE_LEASE: return !good || codec_lease_read(&r, &lease) ? USAGE_OF_BOTH : class_of_flag(lease.place.exercise);
	case TABLE_MSG: return !good || codec_msg_key(key, &msg) || codec_msg_read(key, &r, &msg) ? USAGE_OF_BOTH : class_of_flag(msg.flags & HEADER_EXERCISE);
	case TABLE_ENTRY: return !good || codec_entry_read(key, &r, &entry) ? USAGE_OF_BOTH : class_of_stream(w, entry.stream);
	default: return USAGE_OF_BOTH;
	}
}

static void add(struct usage_sum *s, uint64_t bytes)
{
	s->records++;
	s->bytes += bytes;
}

static uint64_t body_bytes(struct usage_work *w, const struct entry_row *row)
{
	uint64_t bytes = 0, apart = row->body_no & ~BODY_NO_APART;
	struct view key, value;
	if (!row->body_no || row->body_class >= BODY_CLASSES)
		return 0;
	if (row->body_no & BODY_NO_APART) {
		uint8_t bit = (uint8_t)(1u << (apart & 7));
		if (apart > w->n_apart || (w->seen[row->body_class][apart / 8] & bit))
			return 0;
		w->seen[row->body_class][apart / 8] |= bit;
	}
	struct key k = key_body(row->body_class, row->body_no);
	const size_t prefix = k.len;
	const struct key first = k;
	while (kv_seek(w->t->k, k.db, key_view(&k), &key, &value) == ERR_OK && key.len >= prefix && memcmp(key.ptr, first.b, prefix) == 0) {
		bytes += key.len + value.len;
		if (!key_from(&k, first.db, key) || !key_step(&k))
			break;
	}
	return bytes;
}

static enum err one_entry(struct usage_work *w, struct view key, struct view value)
{
	struct entry_row row;
	struct header h;
	struct msg_row msg;
	struct view bytes;
	enum err e = record_open(key, value, &bytes);
	struct rd r = rd_init(e ? view_of(NULL, 0) : bytes);
	if (!e)
		e = codec_entry_read(key, &r, &row);
	if (!e)
		e = header_decode(row.e.header, &h);
	if (e || row.stream > w->n_streams || !w->stream[row.stream].known) {
		w->u->damaged++;
		return ERR_OK;
	}
	struct usage_entry entry = {
		.row = &row, .addressee = w->stream[row.stream].addressee, .exercise = w->stream[row.stream].exercise,
		.bytes = key.len + value.len, .body_bytes = body_bytes(w, &row),
	};
	if (h.kind == KIND_MESSAGE && store_msg_get(w->t, &h.id, entry.addressee, &msg) == ERR_OK && msg.arrival == row.arrival && msg.place_arrival)
		entry.queue = msg.place.queue;
	return w->fn ? w->fn(w->arg, &entry) : ERR_OK;
}

static enum err one_database(struct usage_work *w, enum kv_db db)
{
	struct key k = {.db = db, .len = 1};
	struct view key, value;
	enum err e = ERR_OK;
	while (!e && (e = kv_seek(w->t->k, db, key_view(&k), &key, &value)) == ERR_OK) {
		uint8_t table = key.len ? key.ptr[0] : 0;
		if (table < USAGE_TABLES) {
			bool part = table == TABLE_PART || table == TABLE_PART_APART;
			enum usage_kind kind = table == TABLE_ENTRY ? USAGE_HEADERS : part ? USAGE_BODIES : USAGE_INDEXES;
			add(&w->u->table[table], key.len + value.len);
			add(&w->u->of[part ? class_of_flag(db != DB_BODIES0) : class_of(w, db, key, value)][kind], key.len + value.len);
		}
		bool more = key_from(&k, db, key) && key_step(&k);
		if (table == TABLE_ENTRY)
			e = one_entry(w, key, value);
		if (!more)
			return e;
	}
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* The snapshot, and the pages of the file as that one has them: a daemon's commit between the two begins both again. */
static enum err begin(struct store *s, struct txn **t, struct usage *u)
{
	struct kv_pages p;
	for (;;) {
		enum err e = txn_begin(s, false, t);
		if (!e)
			e = s->kv->ops->pages((*t)->k, &p);
		if (!e)
			break;
		txn_abort(*t);
		*t = NULL;
		if (e != ERR_BUSY)
			return e;
	}
	*u = (struct usage){.page_bytes = p.page_bytes, .own_pages = p.own, .free_pages = p.free, .file_bytes = (uint64_t)p.file_bytes};
	memcpy(u->pages, p.db, sizeof u->pages);
	uint64_t used = p.up_to * p.page_bytes;
	u->tail_bytes = u->file_bytes > used ? u->file_bytes - used : 0;
	/* Pages at the end that became free before they were ever written. */
	if (used > u->file_bytes && p.page_bytes)
		u->free_pages -= (used - u->file_bytes) / p.page_bytes;
	return ERR_OK;
}

static enum err work_new(struct usage_work *w)
{
	struct key k = key_meta(META_STORE, META_STORE_BODY_NO);
	struct rd r;
	if (record_get(w->t, &k, &r) == ERR_OK)
		w->n_apart = rd_u64(&r) & ~BODY_NO_APART;
	w->n_streams = store_stream_last(w->t);
	w->stream = calloc((size_t)w->n_streams + 1, sizeof *w->stream);
	for (int c = 0; c < BODY_CLASSES; c++)
		w->seen[c] = calloc(w->n_apart / 8 + 1, 1);
	if (!w->stream || !w->seen[0] || !w->seen[1])
		return ERR_NOMEM;
	enum err e = store_stream_each(w->t, note_stream, w);
	return e == ERR_DAMAGED ? ERR_OK : e;
}

enum err store_usage(struct store *s, enum err (*fn)(void *arg, const struct usage_entry *e), void *arg, struct usage *out)
{
	struct usage_work w = {.u = out, .fn = fn, .arg = arg};
	enum err e = begin(s, &w.t, out);
	if (!e)
		e = work_new(&w);
	for (int db = 0; !e && db < DB_COUNT; db++)
		e = one_database(&w, (enum kv_db)db);
	free(w.stream);
	for (int c = 0; c < BODY_CLASSES; c++)
		free(w.seen[c]);
	txn_abort(w.t);
	return e;
}
