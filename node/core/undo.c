/* undo.c - after a failed commit: what the batch did to what the core remembers of its journal is undone.
 *
 * With a full disk every batch that writes something fails, thousands of times over, so this costs as much as the batch was
 * large: streams that it touched are read anew one by one, those and the queues that it made go, leases that it ended come
 * back. (Those that it began lie dead in the heap until their time: the journal does not have them.) Of what was sent only the
 * lanes that sent go back to what is acknowledged. What was heard of peers stays true. Only where a batch had mended damaged
 * rows, or one is met here, is everything read again. */
#include "node/core/core_int.h"

/* ---- everything --------------------------------------------------------------------------------------------------- */

/* What was heard of a flow. */
struct heard {
	struct hash stream;
	uint16_t site;
	struct flow flow;
};

static struct heard *heard_keep(const struct core *c, size_t *n)
{
	struct heard *heard;

	*n = 0;
	for (size_t i = 0; i < c->n_streams; i++)
		*n += c->streams[i]->n_flows;
	heard = calloc(*n ? *n : 1, sizeof *heard);
	*n = 0;
	for (size_t i = 0; heard && i < c->n_streams; i++)
		for (size_t k = 0; k < c->streams[i]->n_flows; k++) {
			struct flow *f = &c->streams[i]->flows[k];

			heard[(*n)++] = (struct heard){c->streams[i]->hash, f->peer->site, *f};
			f->missing = NULL; /* transferred */
			f->n_missing = 0;
		}
	return heard;
}

static void heard_again(struct core *c, struct heard *h)
{
	struct stream *s = stream_by_hash(c, &h->stream);
	struct peer *p = peer_find(c, h->site);
	struct flow *f = s && p ? flow_of(s, p) : NULL;

	if (!f)
		return;
	f->ahead = h->flow.ahead;
	if (h->flow.acked > s->row.held)
		return;
	f->acked = f->sent = h->flow.acked;
	f->known = h->flow.known;
	f->offered = h->flow.offered;
	f->asked = h->flow.asked;
	f->n_missing = h->flow.n_missing;
	f->missing = h->flow.missing;
	h->flow.missing = NULL; /* transferred */
	flow_update(c, f);
}

/* Of their lists and rings nothing is left. */
static void lanes_clear(struct core *c)
{
	for (size_t i = 0; i < c->n_peers; i++)
		for (unsigned l = 0; l < LANE_COUNT; l++) {
			struct lane_state *ls = &c->peers[i]->lane[l];

			window_rewind(c->peers[i], (uint8_t)l);
			ls->ring_n = 0;
			ls->ack_due = false;
			memset(ls->behind, 0, sizeof ls->behind);
			lane_need_unsaid(c, c->peers[i], (uint8_t)l);
		}
}

static enum err everything_again(struct core *c)
{
	/* What peers had acknowledged stays true; only what was sent and dropped must be sent again. */
	size_t n, n_leases = c->n_leases;
	struct heard *heard = heard_keep(c, &n);
	struct lease_due *leases = c->leases;

	vectors_undo(c);
	transit_undo(c);

	if (!heard)
		return ERR_NOMEM;
	c->leases = NULL;
	c->n_leases = 0;
	mirror_drop(c);
	lanes_clear(c);
	enum err e = mirror_load(c);

	for (size_t i = 0; !e && i < n; i++)
		heard_again(c, &heard[i]);
	leases_keep(c, leases, n_leases);
	for (size_t i = 0; i < n; i++)
		free(heard[i].flow.missing);
	free(heard);
	free(leases);
	return e;
}

/* ---- only what was touched --------------------------------------------------------------------------------------- */

static enum err row_read(void *arg, const struct stream_row *row)
{
	*(struct stream_row *)arg = *row;
	return ERR_EXISTS; /* one is enough */
}

static enum err missing_read(struct core *c, struct stream *s)
{
	uint32_t stream = s->row.local;
	uint64_t number = 0;
	struct hash body;
	enum err e;

	s->n_missing = 0;
	while ((e = store_missing_from(c->t, &stream, &number, &body)) == ERR_OK && stream == s->row.local) {
		stream_missing(s, number);
		number++;
	}
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* What the peer was heard to have beyond what is here was heard of entries that went with the batch: it will be heard again. */
static void flow_again(struct core *c, struct flow *f)
{
	uint64_t held = f->stream->row.held;

	if (f->acked > held) {
		f->acked = 0;
		f->known = f->stream->own && !f->guest;
		f->vouched = false;
		flow_missing(c, f, NULL, 0);
	}
	f->offered = f->offered < held ? f->offered : held;
	f->asked = f->asked < held ? f->asked : held;
	f->sent = f->sent > held || f->sent < f->acked ? f->acked : f->sent;
	flow_update(c, f);
}

static enum err stream_again(struct core *c, struct stream *s)
{
	struct stream_row row = {0};
	enum err e = store_stream_each_from(c->t, s->row.local, row_read, &row);

	if (e != ERR_EXISTS)
		return e ? e : ERR_DAMAGED;
	if (row.local != s->row.local)
		return ERR_DAMAGED;
	s->row = row;
	s->signed_to = row.held;
	s->dirty = false;
	if (s->epoch_known && s->epoch_from > row.held) {
		s->epoch_known = false;
		crypt_wipe(&s->epoch, sizeof s->epoch);
	}
	kept_load(c, s);
	e = missing_read(c, s);
	limit_again(c, s);
	for (size_t i = 0; i < s->n_flows; i++)
		flow_again(c, &s->flows[i]);
	return e;
}

static enum err streams_again(struct core *c)
{
	uint32_t last = store_stream_last(c->t);
	enum err e = ERR_OK;
	size_t n = 0;

	for (size_t i = 0; i < c->n_touched; i++) {
		c->touched[i]->touched = false;
		if (c->touched[i]->row.local <= last)
			c->touched[n++] = c->touched[i];
	}
	c->n_touched = 0;
	streams_cut(c, last);
	for (size_t i = 0; !e && i < n; i++)
		e = stream_again(c, c->touched[i]);
	return e;
}

static void queues_again(struct core *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_queues; i++) {
		struct queue *q = &c->queues[i];

		if (!q->committed.local)
			continue;
		q->row = q->committed;
		q->dirty = q->touched = false;
		q->changed = true; /* what was handed out was not */
		memset(q->passed, 0, sizeof q->passed);
		c->queues[n++] = *q;
	}
	c->n_queues = n;
}

static void lanes_again(struct core *c)
{
	for (size_t i = 0; i < c->n_peers; i++)
		for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
			if (c->peers[i]->lane[lane].sent_in == c->batch)
				replicate_rewind(c, c->peers[i], lane);
			lane_need_unsaid(c, c->peers[i], lane);
		}
	bodies_give_undo(c);
}

static enum err touched_again(struct core *c)
{
	struct txn *t = NULL;
	enum err e = txn_begin(c->store, false, &t);

	if (e)
		return e;
	c->t = t;
	meta_load(c, t);
	lanes_again(c);
	vectors_undo(c);
	transit_undo(c);
	e = streams_again(c);
	queues_again(c);
	for (size_t i = 0; i < c->n_popped; i++)
		lease_due_put(c, &c->popped[i]);
	c->n_popped = 0;
	if (c->fetches_touched) {
		bodies_drop(c);
		bodies_load(c);
	}
	redo_load(c);
	told_again(c);
	memcpy(c->alarms, c->alarms_committed, sizeof c->alarms);
	reports_drop(c);
	txn_abort(t);
	c->t = NULL;
	return e;
}

/* ---- what peers and clients had asked ------------------------------------------------------------------------------ */

/* Streams that a peer had named may have gone with the batch: it is asked again. */
static void digests_again(struct core *c)
{
	for (size_t i = 0; c->recovering && i < c->n_peers; i++)
		if (c->peers[i]->digest_heard) {
			c->peers[i]->digest_heard = false;
			c->peers[i]->digest_out = true;
		}
}

/* What the failed batch was asked goes with it; what it did to earlier requests is undone. */
static void asked_reload(struct core *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_takes; i++)
		if (c->takes[i].committed && client_find(c, c->takes[i].client)) {
			c->takes[n] = c->takes[i];
			c->takes[n].left = c->takes[n].left_committed;
			c->takes[n].going = false;
			c->takes[n++].done = false;
		}
	c->n_takes = n;
	n = 0;
	for (size_t i = 0; i < c->n_waits; i++)
		if (c->waits[i].committed && client_find(c, c->waits[i].client)) {
			c->waits[n] = c->waits[i];
			c->waits[n++].done = false;
		}
	c->n_waits = n;
	submit_reload(c);
	courier_reload(c);
}

void undo_forget(struct core *c)
{
	for (size_t i = 0; i < c->n_touched; i++)
		c->touched[i]->touched = false;
	c->n_touched = c->n_popped = 0;
	for (size_t i = 0; i < c->n_queues; i++)
		if (c->queues[i].touched) {
			c->queues[i].committed = c->queues[i].row;
			c->queues[i].touched = false;
		}
	vectors_forget(c);
	c->fetches_touched = c->mended = c->takeover.touched = false;
	memcpy(c->alarms_committed, c->alarms, sizeof c->alarms);
	c->batch++;
}

enum err core_reload(struct core *c)
{
	enum err e = c->mended || c->takeover.touched ? ERR_DAMAGED : touched_again(c);

	if (e == ERR_DAMAGED)
		e = everything_again(c);
	peers_touch_all(c);
	digests_again(c);
	retain_reload(c);
	scrub_undo(c);
	replay_reload(c);
	linklog_undo(c);
	asked_reload(c);
	c->restless = true;
	c->expires_known = c->counters_dirty = c->last_id_dirty = false;
	c->fresh_from = 0;
	undo_forget(c);
	return e;
}
