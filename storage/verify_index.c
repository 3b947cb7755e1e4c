/* Verification of what leads to entries: messages, places, leases and the counts of queues, missing, grants, expiry. */
#include <stdlib.h>

#include "storage/verify_pass.h"

static void id_text(const struct msgid *id, char out[MSGID_TEXT_BYTES])
{
	msgid_format(id, out);
}

/* Whether the entry is there and its header has this id. A damaged entry is told elsewhere. */
static bool entry_has_id(struct pass *p, uint64_t arrival, const struct msgid *id)
{
	struct entry_row row;
	struct header h;
	if (pass_entry(p, arrival, &row) == ERR_OK && header_decode(row.e.header, &h) == ERR_OK && msgid_equal(&h.id, id))
		return true;
	enum err e = store_entry_get(p->t, arrival, &row);
	if (e)
		return e == ERR_DAMAGED;
	return header_decode(row.e.header, &h) == ERR_OK && msgid_equal(&h.id, id);
}

/* ---- queues ----------------------------------------------------------------------------------------------- */

static struct queue_counts *counts_of(struct pass *p, const struct place *place)
{
	bool in_range = place->queue < p->w->n_queues && place->exercise < 2 && place->precedence < PREC_COUNT;
	return in_range && p->w->queues[place->queue].known ? &p->counts[place->queue] : NULL;
}

void verify_counts(struct pass *p)
{
	for (uint32_t i = 0; i < p->w->n_queues; i++) {
		const struct queue_state *q = &p->w->queues[i];
		const struct queue_counts *n = &p->counts[i];
		if (q->known && (memcmp(n->waiting, q->row.waiting, sizeof n->waiting) != 0 ||
		                 memcmp(n->leased, q->row.leased, sizeof n->leased) != 0))
			wrong(p, WRONG_COUNT, "queue %s: it counts otherwise than its places and leases", q->row.name);
	}
}

/* ---- places and leases -------------------------------------------------------------------------------------- */

static bool place_equal(const struct place *a, const struct place *b)
{
	return a->queue == b->queue && a->exercise == b->exercise && a->precedence == b->precedence && a->fresh == b->fresh &&
	       a->handle_by_us == b->handle_by_us && a->arrival == b->arrival;
}

/* Whether some row of the message says that this is its place. */
static bool message_knows(struct pass *p, const struct place *place, const struct msgid *id)
{
	struct msg_row row = {.addressee = 0};
	struct msgid at = *id;
	enum err e;
	for (uint32_t to = 0; to <= UINT16_MAX; to = row.addressee + 1U) {
		e = store_msg_from(p->t, &at, (uint16_t)to, &row);
		if ((e && e != ERR_DAMAGED) || !msgid_equal(&row.id, id))
			return false;
		if (e == ERR_DAMAGED || (row.place_arrival == place->arrival && place_equal(&row.place, place)))
			return true;
	}
	return false;
}

static void check_place(struct pass *p, const struct place *place, const struct msgid *id, const char *kind)
{
	char text[MSGID_TEXT_BYTES];
	const char *what = NULL;
	if (!entry_has_id(p, place->arrival, id))
		what = "leads to no entry of that message";
	else if (!message_knows(p, place, id))
		what = "is unknown to its message";
	if (!what)
		return;
	id_text(id, text);
	wrong(p, WRONG_PLACE, "%s of %s in queue %u: it %s", kind, text, place->queue, what);
}

void verify_places(struct pass *p)
{
	struct walk w = pass_task(p);
	while (pass_next(p, &w)) {
		struct place place;
		struct msgid id;
		enum err e = codec_place_read(w.key, &place);
		rd_copy(&w.row, id.b, sizeof id.b);
		struct queue_counts *q = e ? NULL : counts_of(p, &place);
		p->out->places++;
		if (e || rd_done(&w.row) || !q) {
			wrong(p, WRONG_PLACE, "a place in a queue that is not there");
			continue;
		}
		q->waiting[place.exercise][place.precedence]++;
		check_place(p, &place, &id, "place");
	}
}

void verify_leases(struct pass *p)
{
	struct walk w = pass_task(p);
	while (pass_next(p, &w)) {
		struct lease_row lease;
		struct queue_counts *q = codec_lease_read(&w.row, &lease) ? NULL : counts_of(p, &lease.place);
		if (!q) {
			wrong(p, WRONG_PLACE, "a lease in a queue that is not there");
			continue;
		}
		q->leased[lease.place.exercise][lease.place.precedence]++;
		check_place(p, &lease.place, &lease.id, "lease");
	}
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

static bool has_place(struct pass *p, const struct msg_row *row)
{
	struct key k = key_place(&row->place);
	struct view value; /* its check is looked at with its table */
	enum err e = kv_get(p->t->k, k.db, key_view(&k), &value);
	if (e == ERR_NOT_FOUND) {
		k = key_lease(row->place_arrival);
		e = kv_get(p->t->k, k.db, key_view(&k), &value);
	}
	return e != ERR_NOT_FOUND;
}

void verify_messages(struct pass *p)
{
	struct walk w = pass_task(p);
	while (pass_next(p, &w)) {
		char text[MSGID_TEXT_BYTES];
		struct msg_row row;
		const char *what = NULL;
		p->out->messages++;
		if (codec_msg_read(w.key, &w.row, &row)) {
			wrong(p, WRONG_MSG, "a message's row cannot be read");
			continue;
		}
		if (row.arrival && !entry_has_id(p, row.arrival, &row.id))
			what = "its entry is not there";
		else if (row.place_arrival && !has_place(p, &row))
			what = "its place in the queue is not there";
		if (!what)
			continue;
		id_text(&row.id, text);
		wrong(p, WRONG_MSG, "message %s to site %u: %s", text, row.addressee, what);
	}
}

/* ---- the small ones ---------------------------------------------------------------------------------------------- */

void verify_missing(struct pass *p)
{
	static const struct hash again; /* of an entry that is to be given again whole */
	struct walk w = pass_task(p);
	while (pass_next(p, &w)) {
		struct rd k = key_fields(w.key);
		uint32_t stream = rd_u32(&k);
		uint64_t number = rd_u64(&k);
		struct entry_row row;
		struct hash h;
		rd_copy(&w.row, h.b, sizeof h.b);
		enum err e = store_entry_find(p->t, stream, number, &row);
		if (hash_equal(&h, &again))
			continue; /* told with the entry */
		if (e == ERR_NOT_FOUND || (!e && !hash_equal(&h, &row.e.body_hash)))
			wrong(p, WRONG_MISSING, "number %llu of stream %u waits for a body, and %s", (unsigned long long)number, stream,
			      e ? "is not there" : "names another");
	}
}

void verify_grants(struct pass *p)
{
	struct walk w = pass_task(p);
	while (pass_next(p, &w)) {
		struct rd k = key_fields(w.key);
		uint32_t stream = rd_u32(&k);
		uint64_t number = rd_u64(&k), arrival = rd_u64(&w.row);
		struct entry_row row;
		struct header h;
		enum err e = store_entry_get(p->t, arrival, &row);
		const struct stream_state *s = pass_stream(p, stream);
		if (!arrival && s && number <= s->row.floor)
			continue; /* of a stream that began at a floor */
		bool fits = e == ERR_DAMAGED || (!e && row.stream == stream && header_decode(row.e.header, &h) == ERR_OK && h.kind == KIND_GRANT);
		if (!fits)
			wrong(p, WRONG_GRANT, "the grant at %llu of stream %u: entry %llu is not its grant", (unsigned long long)number, stream,
			      (unsigned long long)arrival);
	}
}

void verify_expiry(struct pass *p)
{
	struct walk w = pass_task(p);
	while (pass_next(p, &w)) {
		struct rd k = key_fields(w.key);
		struct entry_row row;
		key_rd_time(&k);
		uint64_t arrival = rd_u64(&k);
		if (store_entry_get(p->t, arrival, &row) == ERR_NOT_FOUND)
			wrong(p, WRONG_EXPIRY, "entry %llu is to expire and is not there", (unsigned long long)arrival);
	}
}
