/* mend.c - damaged rows that a node cannot do without: made anew from what other records say, or set aside; shown in any case. */
#include <stdio.h>

#include "node/core/core_int.h"

static const char TODO_MENDED[] = "run `estafette journal verify`, and look after this machine's disk and memory";

static void mended(struct core *c, const char *noun, uint64_t number, const char *what)
{
	char subject[48];

	snprintf(subject, sizeof subject, "%s.%llu", noun, (unsigned long long)number);
	c->damaged++;
	alarm_raise(c, "damage", subject, TODO_MENDED, "the journal's record of %s %llu was damaged; %s", noun, (unsigned long long)number, what);
}

/* ---- streams ------------------------------------------------------------------------------------------------------- */

/* False when it has to be set aside. Then its entries are served no more; who holds the stream brings it again, under
 * another local number. */
static bool stream_mend(struct core *c, uint32_t local)
{
	struct stream_row row;

	if (store_stream_rebuild(c->t, local, &row) || stream_by_name(c, &row.name))
		return false;
	store_stream_put(c->t, &row);
	struct stream *s = stream_load(c, &row);

	if (!s) {
		txn_fail(c->t, ERR_NOMEM);
		return true;
	}
	stream_flows_build(c, s);
	return true;
}

/* True when more were set aside than the last time. */
static bool streams_mend(struct core *c)
{
	uint32_t last = store_stream_last(c->t), before = c->set_aside;

	c->set_aside = 0;
	for (uint32_t local = 1; local <= last; local++) {
		if (stream_by_local(c, local))
			continue;
		bool whole = stream_mend(c, local);

		c->set_aside += !whole;
		mended(c, "stream", local, whole ? "it was made anew from its entries"
						 : "it is set aside with its entries, until sites that hold it bring it again");
	}
	return c->set_aside > before;
}

/* ---- queues --------------------------------------------------------------------------------------------------------- */

static void queues_mend(struct core *c)
{
	uint32_t last = store_queue_last(c->t);

	for (uint32_t local = 1; local <= last; local++) {
		struct queue_row row;

		if (queue_by_local(c, local))
			continue;
		if (store_queue_rebuild(c->t, local, &row) || queue_find(c, row.site, view_str(row.name))) {
			mended(c, "queue", local, "what waits in it is set aside, since nothing tells its name");
			continue;
		}
		store_queue_put(c->t, &row);
		if (!queue_load(c, &row))
			txn_fail(c->t, ERR_NOMEM);
		mended(c, "queue", local, "it was made anew from what stands in it");
	}
}

static void queues_recount(struct core *c)
{
	for (size_t i = 0; i < c->n_queues; i++)
		if (store_queue_count(c->t, &c->queues[i].row) == ERR_OK)
			c->queues[i].dirty = true;
}

/* ---- messages and leases -------------------------------------------------------------------------------------------- */

enum err msg_mend(struct core *c, const struct place *p, enum msg_location state, struct msg_row *row)
{
	struct entry_row entry;
	struct header h;

	if (store_entry_get(c->t, p->arrival, &entry) || header_decode(entry.e.header, &h))
		return ERR_DAMAGED;
	*row = (struct msg_row){.id = h.id, .addressee = c->self, .arrival = p->arrival, .originator = h.originator, .precedence = h.precedence,
				.flags = h.flags, .place_arrival = p->arrival, .place = *p, .state = state};
	store_msg_put(c->t, row);
	mended(c, "message", p->arrival, "what was reported of it before is lost; it stands in its queue");
	return ERR_OK;
}

/* Nothing says any more where it stood: it is placed as if it had just come. */
static void leased_again(struct core *c, const struct entry_row *entry)
{
	struct stream *s = stream_by_local(c, entry->stream);
	uint64_t number = entry->number;

	if (s)
		deliver_whole(c, s, number);
}

void lease_mend(struct core *c, uint64_t arrival)
{
	struct entry_row entry;
	struct msg_row row;
	struct header h;

	if (store_entry_get(c->t, arrival, &entry) || header_decode(entry.e.header, &h)) {
		store_lease_del(c->t, arrival);
		queues_recount(c);
		damage_found(c, arrival, "neither its lease nor the message can be read");
		return;
	}
	enum err e = store_msg_get(c->t, &h.id, c->self, &row);

	if (!e && row.state == LOC_LEASED && row.place_arrival == arrival) {
		struct lease_row l = {.place = row.place, .id = h.id, .lease_us = c->config.lease_us, .since = c->wall};

		l.place.fresh = 0;
		store_lease_put(c->t, &l);
		lease_due_add(c, &l, mono_add(c->now, l.lease_us));
		queues_recount(c); /* its queue may have been made anew without it */
		mended(c, "lease", arrival, "it begins anew");
		return;
	}
	mended(c, "lease", arrival, e ? "its message goes back to its queue" : "its message was not leased any more");
	if (e)
		leased_again(c, &entry);
	store_lease_del(c->t, arrival);
	queues_recount(c);
}

static void leases_mend(struct core *c)
{
	struct lease_row l;
	uint64_t arrival = 0;
	enum err e;

	while ((e = store_lease_from(c->t, arrival, &l)) == ERR_OK || e == ERR_DAMAGED) {
		arrival = l.place.arrival;
		if (e == ERR_DAMAGED)
			lease_mend(c, arrival);
		if (++arrival == 0)
			return;
	}
}

/* ---- entries that are not whole --------------------------------------------------------------------------------------- */

/* The entry says itself whether its body is still to come, and which. */
static bool missing_again(struct core *c, uint32_t stream, uint64_t number)
{
	struct entry_row row;

	if (store_entry_find(c->t, stream, number, &row) || !row.e.body_len || row.body_no) {
		store_missing_del(c->t, stream, number);
		return false;
	}
	struct hash body = row.e.body_hash;

	store_missing_put(c->t, stream, number, &body);
	mended(c, "missing-body", row.arrival, "it was made anew from the entry");
	return true;
}

void missing_mend(struct core *c)
{
	uint32_t stream = 0;
	uint64_t number = 0;
	struct hash body;
	enum err e;

	c->mended = true;
	while ((e = store_missing_from(c->t, &stream, &number, &body)) == ERR_OK || e == ERR_DAMAGED) {
		struct stream *s = stream_by_local(c, stream);

		if ((!e || missing_again(c, stream, number)) && s)
			stream_missing(s, number);
		if (++number == 0)
			return;
	}
}

/* ---- all ---------------------------------------------------------------------------------------------------------------- */

bool mirror_mend(struct core *c)
{
	c->mend = false;
	c->mended = true;
	bool lost = streams_mend(c);

	queues_mend(c);
	leases_mend(c);
	missing_mend(c);
	bodies_load(c);
	/* Who has how much of a stream that was away only a digest tells. */
	for (size_t i = 0; i < c->n_peers; i++)
		if (!c->peers[i]->gone && c->peers[i]->lane[LANE_URGENT].up)
			replicate_offer(c, c->peers[i]);
	return lost && c->started;
}
