/* deliver.c - entries that arrived: opened, put in their queues, taken out of them when they have ended. */
#include <stdio.h>

#include "node/core/core_int.h"

/* Where messages go that have no queue here or cannot be opened: shown, alarmed, never dropped. */
static const char DEAD_LETTERS[] = "dead-letters";

void damage_found(struct core *c, uint64_t arrival, const char *what)
{
	damage_show(c, arrival, what);
	again_arrival(c, arrival, what);
}

void damage_show(struct core *c, uint64_t arrival, const char *what)
{
	char subject[24];

	snprintf(subject, sizeof subject, "%llu", (unsigned long long)arrival);
	store_damage_put(c->t, arrival, c->wall, what);
	c->damaged++;
	alarm_raise(c, "damage", subject, "it is asked for from sites that hold it; when it stays run `estafette journal verify`, and `--repair` on the stopped node",
		    "entry %s of the journal is damaged (%s); it is set aside and not handed out", subject, what);
}

/* ---- places ------------------------------------------------------------------------------------------------------- */

bool enough_out(const struct core *c, const struct queue *q, const struct place *p, uint32_t share)
{
	return p->exercise < 2 && p->precedence < PREC_COUNT && q->row.leased[p->exercise][p->precedence] >= c->config.leases_most / share;
}

void deliver_count(struct core *c, const struct place *p, int waiting, int leased)
{
	struct queue *q = queue_by_local(c, p->queue);

	if (!q || p->precedence >= PREC_COUNT || p->exercise > 1)
		return;
	/* What comes is looked at, and what waited because too much was out. */
	if (waiting > 0 || (leased < 0 && enough_out(c, q, p, 1))) {
		q->changed = true;
		q->arrivals++;
	}
	q->row.waiting[p->exercise][p->precedence] += (uint64_t)(int64_t)waiting;
	/* Never below none: a count that damage made too low would read as more than may be out. */
	if (leased >= 0 || q->row.leased[p->exercise][p->precedence])
		q->row.leased[p->exercise][p->precedence] += (uint64_t)(int64_t)leased;
	q->dirty = true;
}

void deliver_again(struct core *c, const struct msg_row *row)
{
	struct queue *q = queue_by_local(c, row->place.queue);

	if (!q)
		return;
	q->changed = true;
	q->arrivals++;
	deliver_before(c, &row->place);
}

bool place_before(const struct place *a, const struct place *b)
{
	if (a->precedence != b->precedence)
		return a->precedence < b->precedence;
	if (a->fresh != b->fresh)
		return a->fresh < b->fresh;
	if (a->handle_by_us != b->handle_by_us)
		return a->handle_by_us < b->handle_by_us;
	return a->arrival < b->arrival;
}

struct passed *passed_of(struct queue *q, const struct place *p)
{
	return p->exercise > 1 || p->precedence >= PREC_COUNT || p->fresh > 1 ? NULL : &q->passed[p->exercise][p->precedence][p->fresh];
}

/* What nobody here may have was passed over from the front of the queue; this one stands before that. */
void deliver_before(struct core *c, const struct place *p)
{
	struct queue *q = queue_by_local(c, p->queue);
	struct passed *passed = q ? passed_of(q, p) : NULL;

	if (passed && passed->known && place_before(p, &passed->from))
		passed->from = *p;
}

void deliver_anew(struct core *c, struct queue *q)
{
	q->changed = true;
	memset(q->passed, 0, sizeof q->passed);
	for (size_t i = 0; i < c->n_takes; i++)
		if (c->takes[i].queue == q->row.local)
			c->takes[i].going = false;
}

static void place_put(struct core *c, struct msg_row *row, const struct place *p)
{
	store_place_put(c->t, p, &row->id);
	row->place = *p;
	row->place_arrival = p->arrival;
	row->state = LOC_WAITING;
	deliver_count(c, p, 1, 0);
	deliver_before(c, p);
}

void deliver_remove(struct core *c, struct msg_row *row)
{
	if (row->state == LOC_WAITING) {
		store_place_del(c->t, &row->place);
		deliver_count(c, &row->place, -1, 0);
	} else if (row->state == LOC_LEASED) {
		store_lease_del(c->t, row->place_arrival);
		deliver_count(c, &row->place, 0, -1);
	}
	row->state = LOC_NONE;
	row->place_arrival = 0;
}

/* ---- arrival ---------------------------------------------------------------------------------------------------------- */

static void place_message(struct core *c, struct msg_row *row, struct buf *events, const struct header *h, struct view queue_name)
{
	struct queue *q = queue_get(c, row->addressee, queue_name);
	struct msg_event seen;

	if (!q) {
		txn_fail(c->t, ERR_NOMEM);
		return;
	}
	struct place p = {
		.queue = q->row.local, .exercise = (h->flags & HEADER_EXERCISE) != 0, .precedence = h->precedence,
		.fresh = !events_find(buf_view(events), EVENT_HANDED_OUT, &seen), .handle_by_us = h->handle_by.us ? h->handle_by.us : INT64_MAX, .arrival = row->arrival,
	};
	place_put(c, row, &p);
}

/* mine: this site serves it, as its addressee or as its successor. */
static void delivered(struct core *c, struct msg_row *row, struct buf *events, const struct header *h, bool mine)
{
	struct msg_event before;

	/* Of a time that is over the reports of then say so; only what a site sends to itself has none. */
	if (!mine || (c->config.past && (row->addressee != c->self || row->originator != c->self))) {
		row->events = buf_view(events);
		store_msg_put(c->t, row);
		return;
	}
	tally_of(c, h->flags)->delivered++;
	if (events_find(buf_view(events), EVENT_DELIVERED, &before)) {
		row->events = buf_view(events);
		store_msg_put(c->t, row);
	} else {
		report_here(c, row, events, EVENT_DELIVERED, "", "");
	}
}

/* Neither a queue of ours nor something to drop: kept apart for a person. */
static void dead_letter(struct core *c, struct msg_row *row, struct buf *events, const struct header *h, const char *why)
{
	char id[MSGID_TEXT_BYTES], from[LIMIT_NAME_BYTES + 1];

	msgid_format(&row->id, id);
	place_message(c, row, events, h, view_str(DEAD_LETTERS));
	/* Who serves the site's queues looks after these too. */
	if (owner_of(c, row->addressee, (h->flags & HEADER_EXERCISE) != 0, view_str(DEAD_LETTERS), h->area, &row->id) != c->self) {
		row->events = buf_view(events);
		store_msg_put(c->t, row);
		return;
	}
	tally_of(c, h->flags)->dead++;
	bool exercise = (h->flags & HEADER_EXERCISE) != 0;

	alarm_raise(c, alarm_kind(exercise, "dead-letter"), id, "look at it with `estafette trace ID`, tell its sender, or correct the roster",
		    "%smessage %s from %s: %s", exercise ? "exercise " : "", id, site_name(c, h->originator, from), why);
	report_here(c, row, events, EVENT_DEAD, "", why);
}

/* The key is not here: held, said so, asked for later. */
static void sealed(struct core *c, struct stream *s, uint64_t number, struct msg_row *row, struct buf *events, const struct header *h)
{
	struct msg_event before;

	grants_want(c, s, number);
	tally_of(c, h->flags)->sealed++;
	if (row->addressee == c->self && !events_find(buf_view(events), EVENT_SEALED, &before)) {
		report_here(c, row, events, EVENT_SEALED, "", "");
		return;
	}
	row->events = buf_view(events);
	store_msg_put(c->t, row);
}

/* Was it sent to a site that is no more? Its own desks serve nothing. */
static bool is_orphan(const struct core *c, uint16_t addressee, bool exercise)
{
	const struct chain *ch = roster_has(c->roster, addressee) ? NULL : chain_find(c, addressee, exercise);

	return !roster_has(c->roster, addressee) && (!ch || !ch->now || order_leaves_home(&ch->now->order));
}

/* Nobody serves it, until an order says who does: kept apart by who sent it and who holds it. */
static void orphaned(struct core *c, struct msg_row *row, struct buf *events, const struct header *h)
{
	char name[LIMIT_NAME_BYTES + 1];

	place_message(c, row, events, h, view_str(DEAD_LETTERS));
	row->events = buf_view(events);
	store_msg_put(c->t, row);
	if (h->flags & HEADER_EXERCISE)
		return; /* shown with the queues; nobody is to be woken */
	alarm_raise(c, "dead-letter", site_name(c, row->addressee, name), "give an order: `estafette relocate SITE --to ...`, or cancel them and send them elsewhere",
		    "messages to %s, which the roster removed, are served by nobody", name);
}

void deliver_orphans(struct core *c, uint16_t site)
{
	char name[LIMIT_NAME_BYTES + 1];

	for (size_t i = 0; i < c->n_streams; i++)
		if (c->streams[i]->row.name.addressee == site && c->streams[i]->row.held)
			redo_add(c, c->streams[i], c->streams[i]->row.floor + 1, c->streams[i]->row.held);
	if (!is_orphan(c, site, false))
		alarm_clear(c, "dead-letter", site_name(c, site, name));
}

static bool in_dead_letters(struct core *c, const struct msg_row *row)
{
	const struct queue *q = row->state == LOC_WAITING ? queue_by_local(c, row->place.queue) : NULL;

	return q && q->row.site != c->self && strcmp(q->row.name, DEAD_LETTERS) == 0;
}

static bool queue_known(const struct core *c, uint16_t site, struct view name)
{
	const struct site *s = roster_site(c->roster, site);

	return s && site_queue(s, name);
}

/* A whole message at one of its custodians: opened and placed, unless it has ended. */
static void message_open(struct core *c, struct stream *s, const struct entry_row *entry, struct msg_row *row, struct buf *events, const struct header *h)
{
	struct envelope env;
	struct header again;
	char why[160];
	enum err e = open_envelope(c, s, entry, &again, &env);

	if (e == ERR_KEY || e == ERR_DAMAGED) { /* not here, or the record that holds it cannot be read: others have it */
		sealed(c, s, entry->number, row, events, h);
		return;
	}
	if (e) {
		snprintf(why, sizeof why, "its envelope cannot be opened (%s)", err_text(e));
		dead_letter(c, row, events, h, why);
		return;
	}
	if ((env.exercise.len > 0) != ((h->flags & HEADER_EXERCISE) != 0)) {
		dead_letter(c, row, events, h, env.exercise.len ? "its envelope names an exercise, its header does not" : "it is marked as an exercise and names none");
		return;
	}
	if (!queue_known(c, row->addressee, env.queue)) {
		snprintf(why, sizeof why, "the roster knows no queue %.*s there", (int)env.queue.len, (const char *)env.queue.ptr);
		dead_letter(c, row, events, h, why);
		return;
	}
	uint16_t owner = owner_of(c, row->addressee, (h->flags & HEADER_EXERCISE) != 0, env.queue, h->area, &row->id);

	if (owner == row->addressee && !roster_has(c->roster, owner)) {
		orphaned(c, row, events, h);
		return;
	}
	if (is_custodian(c, c->self, row->addressee, s->row.name.exercise))
		place_message(c, row, events, h, env.queue);
	delivered(c, row, events, h, owner == c->self);
}

static bool is_whole(const struct entry_row *row)
{
	return row->e.body_len == 0 || row->body_no != 0;
}

/* What we sent before our journal was lost comes back from who holds it. */
static void own_again(struct core *c, struct stream *s, const struct entry_row *entry)
{
	struct envelope env;
	struct header h;

	if (open_envelope(c, s, entry, &h, &env) == ERR_OK)
		submit_known_again(c, &h, &env);
}

/* An id names one message; a site that uses another's, or its own again, cannot put its message in the place of the first. */
static void second_entry(struct core *c, const struct header *h, const struct msg_row *row)
{
	char id[MSGID_TEXT_BYTES], from[LIMIT_NAME_BYTES + 1], first[LIMIT_NAME_BYTES + 1];

	msgid_format(&h->id, id);
	alarm_raise(c, "id", id, "ask the site that wrote the second one; it is held, and not handed out",
		    "%s sent message %s, which %s had sent already", site_name(c, h->originator, from), id, site_name(c, row->originator, first));
}

/* Its entry was in a stream that is set aside, or cannot be read: the one that comes now, from the same site, takes its place. */
static bool first_is_lost(struct core *c, const struct header *h, const struct msg_row *row)
{
	struct entry_row first;
	enum err e = store_entry_get(c->t, row->arrival, &first);

	return h->originator == row->originator && (e == ERR_DAMAGED || e == ERR_NOT_FOUND || (!e && !stream_by_local(c, first.stream)));
}

static void message_arrived(struct core *c, struct stream *s, struct entry_row *entry, const struct header *h)
{
	struct buf events = BUF_EMPTY;
	struct msg_row row;
	uint16_t addressee = s->row.name.addressee;
	uint8_t which;
	uint64_t arrival = entry->arrival;

	enum err e = msg_load(c, &h->id, addressee, &row, &events);

	if (e == ERR_DAMAGED) {
		/* What was reported of it before is lost; the message is not, and its stream goes on. */
		damage_found(c, arrival, "what was known of the message cannot be read");
		row = (struct msg_row){.id = h->id, .addressee = addressee};
	} else if (e) {
		txn_fail(c->t, e);
		goto out;
	}
	if (row.arrival && row.arrival != arrival && first_is_lost(c, h, &row)) {
		deliver_remove(c, &row);
	} else if (row.arrival && row.arrival != arrival) {
		second_entry(c, h, &row);
		goto out;
	}
	/* What was reported of it as of another kind was not about it. */
	if (!row.arrival && ((row.flags ^ h->flags) & HEADER_EXERCISE))
		buf_clear(&events);
	bool again = row.arrival == arrival && row.state != LOC_NONE, orphan = is_orphan(c, addressee, s->row.name.exercise);

	/* What an order or a roster says of it now may be something else than when it came. */
	if (again && row.state == LOC_WAITING && orphan != in_dead_letters(c, &row) && !roster_has(c->roster, addressee)) {
		deliver_remove(c, &row);
		again = false;
	}
	row.arrival = arrival;
	row.originator = h->originator;
	row.precedence = h->precedence;
	row.flags = h->flags;
	events_believed(c, &events, h->originator, addressee, (h->flags & HEADER_EXERCISE) != 0);
	if (h->expires.us && (addressee == c->self || h->originator == c->self) && !(h->flags & HEADER_CLOCK_UNSURE)) {
		store_expiry_put(c->t, h->expires, arrival);
		c->expires_known = false;
	}
	if (h->originator == c->self && !s->own)
		own_again(c, s, entry);
	bool ended = events_ended(c, buf_view(&events), h->originator, addressee, (h->flags & HEADER_EXERCISE) != 0, &which);

	bool mine = is_custodian(c, c->self, addressee, s->row.name.exercise);

	if (mine && !ended && quarantine_holds(c, s, entry)) {
		/* What a desk has in hand is kept back when it comes back. */
		if (row.state == LOC_WAITING)
			deliver_remove(c, &row);
		if (row.state == LOC_NONE)
			quarantine_keep(c, s, entry, false);
		again = true;
	} else {
		quarantine_free(c, s, entry);
	}
	if (again || ended || c->rebuilding == REBUILDING_KNOWN || (!mine && !orphan) || !is_whole(entry)) {
		row.events = buf_view(&events);
		store_msg_put(c->t, &row);
	} else {
		message_open(c, s, entry, &row, &events, h);
	}
out:
	buf_release(&events);
}

static void report_arrived(struct core *c, struct stream *s, const struct entry_row *entry)
{
	struct header h;
	struct envelope env;
	enum err e = open_envelope(c, s, entry, &h, &env);
	char from[LIMIT_NAME_BYTES + 1];

	if (quarantine_holds(c, s, entry)) {
		/* One that came before this batch was applied as it came, if it could be opened. */
		quarantine_keep(c, s, entry, !e && !(c->fresh_from && entry->arrival >= c->fresh_from));
		return;
	}
	quarantine_free(c, s, entry);
	if (!e) {
		report_apply(c, s, &env);
		return;
	}
	if (e == ERR_KEY || e == ERR_DAMAGED) {
		grants_want(c, s, entry->number);
		return;
	}
	site_name(c, s->row.name.originator, from);
	alarm_raise(c, "report", from, "see `estafette streams`; ask that site what its node runs",
		    "a report from %s cannot be opened: %s", from, err_text(e));
}

static void expire(struct core *c, struct msg_row *row, struct buf *events)
{
	tally_of(c, row->flags)->expired++;
	report_here(c, row, events, EVENT_EXPIRED, "", "");
}

/* A message came after its time, without its content. Where it was for, that is its end, and its originator is told. */
static void stub_arrived(struct core *c, struct stream *s, const struct entry_row *entry, const struct header *h)
{
	struct buf events = BUF_EMPTY;
	struct msg_row row;
	uint8_t which;

	if (!h->expires.us || msg_load(c, &h->id, s->row.name.addressee, &row, &events) || row.arrival)
		goto out;
	row.arrival = entry->arrival;
	row.originator = h->originator;
	row.precedence = h->precedence;
	row.flags = h->flags;
	events_believed(c, &events, h->originator, row.addressee, s->row.name.exercise);
	if (row.addressee == c->self && !events_ended(c, buf_view(&events), h->originator, row.addressee, s->row.name.exercise, &which)) {
		expire(c, &row, &events);
	} else {
		row.events = buf_view(&events);
		store_msg_put(c->t, &row);
	}
out:
	buf_release(&events);
}

void deliver_entry(struct core *c, struct stream *s, struct entry_row *row)
{
	struct header h;

	if (header_decode(row->e.header, &h)) {
		damage_found(c, row->arrival, "its header cannot be read");
		return;
	}
	if (s->transit) {
		transit_entry(c, s, row, &h);
		return;
	}
	if (row->e.flags & ENTRY_STUB) {
		if (h.kind == KIND_MESSAGE)
			stub_arrived(c, s, row, &h);
		return;
	}
	switch (h.kind) {
	case KIND_MESSAGE: message_arrived(c, s, row, &h); break;
	case KIND_REPORT:
		/* Also what we reported ourselves before our journal was lost. */
		if (!s->own && concerns(c, c->self, &s->row.name))
			report_arrived(c, s, row);
		break;
	case KIND_GRANT:
		if (!s->own)
			keys_grant(c, s, row);
		break;
	default:
		c->counters.unknown_kinds++;
		c->counters_dirty = true;
	}
}

void deliver_whole(struct core *c, struct stream *s, uint64_t number)
{
	struct entry_row row;
	struct buf copy = BUF_EMPTY;

	if (store_entry_find(c->t, s->row.local, number, &row))
		return;
	/* The store's views end with the first write. */
	buf_add(&copy, row.e.header);
	buf_add(&copy, row.e.envelope);
	row.e.header = view_of(copy.ptr, row.e.header.len);
	row.e.envelope = view_of(copy.ptr + row.e.header.len, row.e.envelope.len);
	if (buf_ok(&copy))
		deliver_entry(c, s, &row);
	else
		txn_fail(c->t, ERR_NOMEM);
	buf_release(&copy);
}

/* ---- expiry ------------------------------------------------------------------------------------------------------------- */

static void expire_one(struct core *c, uint64_t arrival)
{
	struct buf events = BUF_EMPTY;
	struct entry_row entry;
	struct msg_row row;
	struct header h;
	uint8_t which;

	if (store_entry_get(c->t, arrival, &entry) || header_decode(entry.e.header, &h))
		goto out;
	struct stream *s = stream_by_local(c, entry.stream);

	if (!s || !h.expires.us || h.expires.us > c->wall.us || msg_load(c, &h.id, s->row.name.addressee, &row, &events) || events_ended(c, buf_view(&events), h.originator, row.addressee, s->row.name.exercise, &which))
		goto out;
	expire(c, &row, &events);
out:
	buf_release(&events);
}

/* A damaged row still says by its key when it was due, and the entry's own header decides. */
static bool expiry_first(struct core *c, struct wall *when, uint64_t *arrival)
{
	enum err e = store_expiry_first(c->t, when, arrival);
	bool there = !e || e == ERR_DAMAGED;

	c->expires_us = there ? when->us : INT64_MAX;
	c->expires_known = there || e == ERR_NOT_FOUND;
	return there;
}

int64_t deliver_next_expiry(struct core *c)
{
	struct wall when;
	uint64_t arrival;

	if (!c->expires_known)
		(void)expiry_first(c, &when, &arrival);
	return c->expires_us;
}

void deliver_expire(struct core *c)
{
	struct wall when;
	uint64_t arrival;

	/* A clock that is not to be trusted expires nothing. */
	for (int i = 0; i < 256 && !c->clock_unsure && !c->rebuilding && deliver_next_expiry(c) <= c->wall.us; i++) {
		if (!expiry_first(c, &when, &arrival))
			return;
		store_expiry_del(c->t, when, arrival);
		c->expires_known = false;
		expire_one(c, arrival);
		c->restless = true;
	}
}
