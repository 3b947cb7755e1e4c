/* past.c - the core as a witness: it puts in order what a journal had come by a time, and answers about it. */
#include "node/core/core_int.h"

/* ---- one entry ---------------------------------------------------------------------------------------------------------- */

void past_entry(struct core *c, struct stream *s, uint64_t number)
{
	struct wall asked = c->wall;
	struct entry_row row;

	if (store_entry_find(c->t, s->row.local, number, &row) == ERR_OK)
		c->wall = row.stored;
	deliver_whole(c, s, number);
	c->wall = asked;
}

/* ---- what desks had in hand ----------------------------------------------------------------------------------------------- */

/* The desk that had it here: it was handed out, and did not come back by then. */
static bool in_hand(const struct core *c, struct view events, struct msg_event *out)
{
	struct msg_event e;

	*out = (struct msg_event){0};
	while (events_next(&events, &e))
		if (e.source == c->self && (e.event == EVENT_HANDED_OUT || e.event == EVENT_RETURNED) &&
		    (e.when.us > out->when.us || (e.when.us == out->when.us && e.event == EVENT_RETURNED)))
			*out = e;
	return out->event == EVENT_HANDED_OUT;
}

static void lease_of_then(struct core *c, struct msg_row *row, const struct msg_event *e)
{
	struct queue *q = queue_by_local(c, row->place.queue);
	struct lease_row l = {.id = row->id, .lease_us = c->config.lease_us, .since = e->when};

	if (!q)
		return;
	view_to_str(e->by, l.by, sizeof l.by);
	store_place_del(c->t, &row->place);
	row->place.fresh = 0;
	row->state = LOC_LEASED;
	l.place = row->place;
	q->row.waiting[row->place.exercise][row->place.precedence]--;
	q->row.leased[row->place.exercise][row->place.precedence]++;
	q->dirty = true;
	store_lease_put(c->t, &l);
	store_msg_put(c->t, row);
}

/* ---- counted again --------------------------------------------------------------------------------------------------------- */

static void count_here(struct tally *t, uint8_t event)
{
	t->delivered += event == EVENT_DELIVERED;
	t->read += event == EVENT_READ;
	t->refused += event == EVENT_REFUSED;
	t->expired += event == EVENT_EXPIRED;
	t->dead += event == EVENT_DEAD;
	t->sealed += event == EVENT_SEALED;
	t->handed_out += event == EVENT_HANDED_OUT;
	t->returned += event == EVENT_RETURNED;
	t->cancelled += event == EVENT_CANCELLED;
}

static void count_elsewhere(struct core *c, const struct msg_row *row, struct tally *t, const struct msg_event *e)
{
	if (row->arrival && row->originator == c->self) {
		t->receipts_read += e->event == EVENT_READ;
		t->receipts_refused += e->event == EVENT_REFUSED;
		t->receipts_expired += e->event == EVENT_EXPIRED;
	}
}

/* accepted: its id was not counted yet; one message to several sites has a row for each. */
static void count_message(struct core *c, const struct msg_row *row, bool accepted)
{
	bool exercise = (row->flags & HEADER_EXERCISE) != 0, elsewhere = false, here = false;
	struct tally *t = &c->counters.of[exercise];
	struct msg_event e;

	t->accepted += accepted && row->arrival && row->originator == c->self;
	for (struct view rest = row->events; events_next(&rest, &e);) {
		bool ends = e.event == EVENT_READ || e.event == EVENT_REFUSED;

		if (e.source == c->self)
			count_here(t, e.event);
		else
			count_elsewhere(c, row, t, &e);
		here = here || (e.source == c->self && report_event_ends(e.event));
		elsewhere = elsewhere || (e.source != c->self && ends);
	}
	c->counters.elsewhere[exercise] += row->addressee == c->self && elsewhere && !here;
}

/* ---- all of it -------------------------------------------------------------------------------------------------------------- */

/* Every message row, once all entries are opened. */
static void settle(struct core *c)
{
	struct msg_row row = {.addressee = 0};
	struct msgid last = {{0}};
	struct msg_event e;
	bool first = true;
	enum err err;

	c->counters = (struct counters){.unknown_kinds = c->counters.unknown_kinds};
	while (!txn_error(c->t) && ((err = store_msg_from(c->t, &row.id, row.addressee, &row)) == ERR_OK || err == ERR_DAMAGED)) {
		struct msgid id = row.id;
		uint16_t addressee = row.addressee;

		if (!err) {
			struct buf events = BUF_EMPTY;

			buf_add(&events, row.events); /* the store's views end with the first write */
			row.events = buf_view(&events);
			count_message(c, &row, first || !msgid_equal(&id, &last));
			if (row.state == LOC_WAITING && in_hand(c, row.events, &e))
				lease_of_then(c, &row, &e);
			buf_release(&events);
			last = id;
			first = false;
		}
		row.id = id;
		row.addressee = (uint16_t)(addressee + 1);
		for (size_t i = MSGID_BYTES; !row.addressee && i-- > 0;)
			if (++row.id.b[i])
				break;
	}
	c->counters_dirty = true;
	c->past_settled = true;
}

void past_finish(struct core *c)
{
	minimize_look(c);
	takeover_look(c);
	redo_step(c);
	if (!c->rebuilding && !c->past_settled)
		settle(c);
	c->takeover.closings = false;
	reports_drop(c); /* they were made then, and are here */
}

bool core_past_ready(const struct core *c)
{
	return c->past_settled;
}

uint64_t core_past_left(const struct core *c)
{
	uint64_t left = 0, all = 0;

	for (size_t i = 0; i < c->takeover.n_redo; i++)
		left += c->takeover.redo[i].upto - c->takeover.redo[i].next + 1;
	for (size_t i = 0; i < c->n_streams; i++)
		all += c->streams[i]->row.held - c->streams[i]->row.floor;
	return c->rebuilding && c->rebuilding < REBUILDING_PLACES ? left + (REBUILDING_PLACES - c->rebuilding) * all : left;
}

/* ---- which run --------------------------------------------------------------------------------------------------------------- */

void past_run(struct core *c)
{
	struct hash id = {{0}};
	struct wr w = wr_init(id.b, sizeof id.b);

	wr_i64(&w, c->incarnation.born_us);
	wr_bytes(&w, view_of(c->incarnation.random, sizeof c->incarnation.random));
	if (!c->config.past)
		store_state_since_put(c->t, SINCE_RUN, &id, c->wall);
}

static enum err later_run(void *arg, const struct hash *id, const struct moment *since)
{
	struct incarnation *latest = arg, of;
	struct rd r = rd_init(view_of(id->b, sizeof id->b));

	(void)since;
	of.born_us = rd_i64(&r);
	rd_copy(&r, of.random, sizeof of.random);
	if (of.born_us > latest->born_us)
		*latest = of;
	return ERR_OK;
}

bool past_incarnation(struct core *c, struct incarnation *out)
{
	*out = (struct incarnation){.born_us = INT64_MIN};
	enum err e = store_state_since_each(c->t, SINCE_RUN, later_run, out);

	return (!e || e == ERR_DAMAGED) && out->born_us != INT64_MIN;
}
