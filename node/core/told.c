/* told.c - a successor tells senders that it has what their addressee never got.
 *
 * What a site gets while it serves a queue is reported delivered as it comes. What came before the order stands in the successor's copy of
 * the queue already, and who sent it after the site was lost waits for a word about it. That is told in small steps, and only of what
 * the site itself, as far as is known here, did not hold: the rest it told of itself. */
#include "node/core/core_int.h"

/* Looked at in one commit. */
#define TELL_PLACES 256

void told_begin(struct core *c, struct chain *ch)
{
	if (ch->site == c->self)
		return;
	ch->tell = (struct tell){.going = true};
	c->serve_more = true;
}

/* Dead letters are told by who is their addressee. */
static bool is_told_of(const struct core *c, const struct queue *q, const struct chain *ch)
{
	const struct site *site = q->row.site == ch->site ? roster_site(c->roster, ch->site) : NULL;

	return site && site_queue(site, view_str(q->row.name)) && queue_serving(c, q, ch->exercise) != SERVES_NONE;
}

/* After a failed commit: what it told is told again, what was told before is not. */
void told_again(struct core *c)
{
	for (size_t i = 0; i < c->takeover.n_chains; i++)
		if (c->takeover.chains[i].ready)
			told_begin(c, &c->takeover.chains[i]);
}

/* After a restart here nobody knows that until the site is heard again: then all is told, once. */
static bool home_has(struct core *c, const struct stream *s, uint64_t number, uint16_t home)
{
	struct peer *p = peer_find(c, home);

	for (size_t i = 0; p && i < s->n_flows; i++)
		if (s->flows[i].peer == p)
			return s->flows[i].known && s->flows[i].acked >= number;
	return false;
}

static void tell_one(struct core *c, const struct queue *q, const struct place *p, const struct msgid *id)
{
	struct buf events = BUF_EMPTY;
	struct entry_row entry;
	struct msg_row row;
	struct msg_event before;
	struct header h;

	if (msg_load(c, id, q->row.site, &row, &events) || row.state != LOC_WAITING || events_find(buf_view(&events), EVENT_DELIVERED, &before) ||
	    store_entry_get(c->t, p->arrival, &entry) || header_decode(entry.e.header, &h))
		goto out;
	const struct stream *s = stream_by_local(c, entry.stream);

	if (!s || owner_of(c, q->row.site, p->exercise, view_str(q->row.name), h.area, id) != c->self || home_has(c, s, entry.number, q->row.site))
		goto out;
	tally_of(c, row.flags)->delivered++;
	c->counters_dirty = true;
	report_here(c, &row, &events, EVENT_DELIVERED, "", "");
out:
	buf_release(&events);
}

/* Places of one queue. True when there are no more. */
static bool tell_queue(struct core *c, struct tell *t, struct queue *q, bool exercise, size_t *left)
{
	struct place p;
	struct msgid id;

	if (t->from.queue != q->row.local || t->from.exercise != exercise)
		t->from = (struct place){.queue = q->row.local, .exercise = exercise, .handle_by_us = INT64_MIN};
	for (; *left; --*left) {
		enum err e = store_place_from(c->t, &t->from, &p, &id);

		if (e && (e != ERR_DAMAGED || p.queue != q->row.local))
			return true;
		if (!e)
			tell_one(c, q, &p, &id);
		t->from = p;
		t->from.arrival++;
	}
	return false;
}

void told_step(struct core *c)
{
	size_t left = TELL_PLACES;

	/* Telling takes room that what comes in needs more. */
	if (c->recovering || !c->takeover.n_chains || !space_admits(c, PREC_ROUTINE))
		return;
	for (size_t i = 0; i < c->takeover.n_chains; i++) {
		struct chain *ch = &c->takeover.chains[i];
		struct tell *t = &ch->tell;

		for (; t->going && left && t->queue < c->n_queues; t->queue++) {
			struct queue *q = &c->queues[t->queue];

			if (is_told_of(c, q, ch) && !tell_queue(c, t, q, ch->exercise, &left))
				break;
		}
		t->going = t->going && ch->ready && t->queue < c->n_queues;
		c->serve_more = c->serve_more || t->going;
	}
}
