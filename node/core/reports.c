/* reports.c - what happened to messages: recorded here, told to whom it concerns, heard from others, merged in any order. */
#include "node/core/core_int.h"

/* Events of one message are kept in its row. What ends it must always fit: hand-outs beyond the soft limit are counted as
 * read long ago by any person, of an end one record a site is kept, and what others than the queue's site claim before
 * the message is here takes no text and little room. */
#define EVENT_FIXED_BYTES 14
#define EVENT_BYTES (EVENT_FIXED_BYTES + LIMIT_USER_BYTES + LIMIT_REASON_BYTES)
#define EVENTS_SOFT_BYTES 1000
#define EVENTS_CLAIMED 24
#define EVENTS_BYTES 3072 /* storage/store.h */
/* Read, refused, cancelled, and expired twice; or, before the message came, those of the queue's site and the claims. */
static_assert(EVENTS_SOFT_BYTES + EVENT_BYTES + 5 * EVENT_BYTES <= EVENTS_BYTES, "every end fits");
static_assert(EVENTS_SOFT_BYTES + EVENT_BYTES + 3 * EVENT_BYTES + EVENTS_CLAIMED * EVENT_FIXED_BYTES <= EVENTS_BYTES, "claims leave room for every end");

/* ---- the events of a message -------------------------------------------------------------------------------------- */

bool events_next(struct view *rest, struct msg_event *out)
{
	struct rd r = rd_init(*rest);

	if (rest->len == 0)
		return false;
	out->event = rd_u8(&r);
	out->source = rd_u16(&r);
	out->when.us = rd_i64(&r);
	out->by = rd_vec8(&r, LIMIT_USER_BYTES);
	out->why = rd_vec16(&r, LIMIT_REASON_BYTES);
	if (r.err)
		return false;
	*rest = view_of(r.pos, rd_left(&r));
	return true;
}

bool events_find(struct view events, uint8_t event, struct msg_event *out)
{
	struct msg_event e;
	bool found = false;

	while (events_next(&events, &e))
		if (e.event == event) {
			*out = e;
			found = true;
		}
	return found;
}

/* May that site say what a desk did with the message: the queue's site, one that serves or served it by an order, one that it was lent to? */
static bool is_served_by(const struct core *c, uint16_t site, uint16_t addressee, bool exercise, struct view events)
{
	return site == addressee || may_serve(c, site, addressee, exercise) || lent_to(c, events, addressee, site);
}

/* Who may say so: who serves the queue; for expired also the originator; for cancelled only the originator. */
static bool event_counts(const struct core *c, const struct msg_event *e, uint16_t originator, uint16_t addressee, bool exercise, struct view events)
{
	switch (e->event) {
	case EVENT_CANCELLED: return e->source == originator;
	case EVENT_EXPIRED: return e->source == originator || is_served_by(c, e->source, addressee, exercise, events);
	case EVENT_LENT: return e->source == addressee;
	default: return is_served_by(c, e->source, addressee, exercise, events);
	}
}

/* Lent is an event of the addressee, by: the borrower's name; it ends with what the addressee says next. */
bool lent_to(const struct core *c, struct view events, uint16_t addressee, uint16_t site)
{
	char name[LIMIT_NAME_BYTES + 1];
	struct view who = view_str(site_name(c, site, name));
	struct msg_event e;

	while (events_next(&events, &e))
		if (e.event == EVENT_LENT && e.source == addressee && view_equal(e.by, who))
			return true;
	return false;
}

bool lent_here(const struct core *c, struct view events, uint16_t addressee)
{
	struct msg_event e, last = {0};

	while (events_next(&events, &e))
		if (e.source == addressee && (e.event == EVENT_LENT || e.event == EVENT_RETURNED || e.event == EVENT_HANDED_OUT) &&
		    (e.when.us > last.when.us || (e.when.us == last.when.us && e.event == EVENT_LENT)))
			last = e;
	return last.event == EVENT_LENT && view_equal(last.by, view_str(c->me->id));
}

bool events_ended(const struct core *c, struct view events, uint16_t originator, uint16_t addressee, bool exercise, uint8_t *which)
{
	struct view all = events;

	static const uint8_t order[] = {EVENT_READ, EVENT_REFUSED, EVENT_CANCELLED, EVENT_EXPIRED};
	size_t best = sizeof order;
	struct msg_event e;

	while (events_next(&events, &e))
		for (size_t i = 0; i < best; i++)
			if (e.event == order[i] && event_counts(c, &e, originator, addressee, exercise, all))
				best = i;
	if (best == sizeof order)
		return false;
	*which = order[best];
	return true;
}

static void event_write(struct buf *events, const struct msg_event *e)
{
	buf_add_u8(events, e->event);
	buf_add_u16(events, e->source);
	buf_add_u64(events, (uint64_t)e->when.us);
	buf_add_u8(events, (uint8_t)e->by.len);
	buf_add(events, e->by);
	buf_add_u16(events, (uint16_t)e->why.len);
	buf_add(events, e->why);
}

/* Takes the event at `from`, with `rest` behind it, out again. */
static void event_cut(struct buf *events, struct view from, struct view rest)
{
	size_t at = events->len - from.len;

	if (rest.len)
		memmove(events->ptr + at, events->ptr + events->len - rest.len, rest.len);
	events->len = at + rest.len;
}

/* Of a message that goes to and fro for long the latest times count: they say who has it now. */
static void oldest_cut(struct buf *events, uint16_t source)
{
	struct view rest = buf_view(events), from = rest;
	struct msg_event e;

	for (; events_next(&rest, &e); from = rest)
		if (e.source == source && (e.event == EVENT_HANDED_OUT || e.event == EVENT_RETURNED)) {
			event_cut(events, from, rest);
			return;
		}
}

/* What was handed out again takes no room from what happened to the message: of many times the latest count. */
static void replayed_cut(struct buf *events, uint16_t source)
{
	struct view rest = buf_view(events), from = rest;
	struct msg_event e;

	for (; events_next(&rest, &e); from = rest)
		if (e.source == source && e.event == EVENT_REPLAYED) {
			event_cut(events, from, rest);
			return;
		}
}

void events_add(struct buf *events, const struct msg_event *e)
{
	struct view rest = buf_view(events), from = rest;
	struct msg_event have;

	for (; events_next(&rest, &have); from = rest) {
		if (have.event != e->event || have.source != e->source)
			continue;
		if (have.when.us == e->when.us || (report_event_ends(e->event) && have.when.us < e->when.us))
			return;
		if (report_event_ends(e->event)) {
			event_cut(events, from, rest);
			break;
		}
	}
	if (e->event == EVENT_REPLAYED && events->len > EVENTS_SOFT_BYTES / 2)
		replayed_cut(events, e->source);
	else if (events->len > EVENTS_SOFT_BYTES && e->event != EVENT_DELIVERED && !report_event_ends(e->event))
		oldest_cut(events, e->source);
	if (events->len > EVENTS_BYTES - EVENT_BYTES || (events->len > EVENTS_SOFT_BYTES && !report_event_ends(e->event)))
		return;
	event_write(events, e);
}

/* What somebody says of a message that is not here yet; only when it came can be told whether it was his to say. */
static void events_claim(struct buf *events, const struct msg_event *e, uint16_t addressee)
{
	struct msg_event bare = {.event = e->event, .source = e->source, .when = e->when}, have;
	struct view rest = buf_view(events);
	unsigned n = 0;

	while (events_next(&rest, &have))
		n += have.source != addressee;
	if (n < EVENTS_CLAIMED)
		events_add(events, &bare);
}

void events_believed(const struct core *c, struct buf *events, uint16_t originator, uint16_t addressee, bool exercise)
{
	struct view rest = buf_view(events), from = rest;
	struct msg_event e;

	while (events_next(&rest, &e)) {
		size_t left = rest.len;

		/* What a site says under an order that is not here yet, or of what was lent to it, may still turn out to be its to say. */
		if (!event_counts(c, &e, originator, addressee, exercise, buf_view(events)) && (e.event == EVENT_CANCELLED || e.event == EVENT_EXPIRED))
			event_cut(events, from, rest);
		from = rest = view_of(events->ptr + events->len - left, left);
	}
}

enum err msg_load(struct core *c, const struct msgid *id, uint16_t addressee, struct msg_row *row, struct buf *events)
{
	enum err e = store_msg_get(c->t, id, addressee, row);

	buf_clear(events);
	if (e == ERR_NOT_FOUND) {
		*row = (struct msg_row){.id = *id, .addressee = addressee};
		return ERR_OK;
	}
	if (e)
		return e;
	buf_add(events, row->events);
	row->events = view_of(NULL, 0);
	return buf_ok(events) ? ERR_OK : ERR_NOMEM;
}

/* ---- reports of ours -------------------------------------------------------------------------------------------------- */

static struct pending_report *pending_find(struct core *c, const struct pending_report *want)
{
	for (size_t i = c->n_pending; i-- > 0;) {
		struct pending_report *p = &c->pending[i];

		if (p->target == want->target && p->precedence == want->precedence && p->exercise == want->exercise && p->event == want->event &&
		    p->addressee == want->addressee && p->when.us == want->when.us && hash_equal(&p->order, &want->order) && strcmp(p->by, want->by) == 0 && strcmp(p->why, want->why) == 0)
			return p;
	}
	return NULL;
}

static void pend_at(struct core *c, uint16_t target, const struct msg_row *row, uint8_t event, const char *by, const char *why, struct wall when)
{
	bool exercise = (row->flags & HEADER_EXERCISE) != 0;
	bool own = row->addressee == c->self || event == EVENT_CANCELLED || (event == EVENT_EXPIRED && row->originator == c->self);
	const struct order_known *o = own ? NULL : order_served_by(c, row->addressee, exercise);
	struct pending_report want = {.target = target, .precedence = row->precedence, .exercise = exercise, .event = event, .addressee = row->addressee,
				      .order = own ? (struct hash){{0}} : o ? o->id : REPORT_LENT, .when = when};

	view_to_str(view_str(by), want.by, sizeof want.by);
	view_to_str(view_str(why), want.why, sizeof want.why);
	struct pending_report *p = pending_find(c, &want);

	if (!p) {
		p = array_grow(&c->pending, &c->n_pending, sizeof *p);
		if (!p) {
			txn_fail(c->t, ERR_NOMEM);
			return;
		}
		*p = want;
	}
	buf_add(&p->ids, view_of(row->id.b, MSGID_BYTES));
}

static void pend_all(struct core *c, const struct msg_row *row, uint8_t event, const char *by, const char *why, struct wall when)
{
	bool by_desk = event != EVENT_CANCELLED && (event != EVENT_EXPIRED || row->originator != c->self);

	/* Who serves the queue tells the queue's site (itself, at home), so that all who hold its messages know; and the originator what
	 * it waits for. */
	if (row->addressee == c->self || by_desk) {
		if (event != EVENT_DELIVERED)
			pend_at(c, row->addressee, row, event, by, why, when);
		if (row->originator != c->self && (row->originator != row->addressee || event == EVENT_DELIVERED) && event != EVENT_HANDED_OUT &&
		    event != EVENT_RETURNED)
			pend_at(c, row->originator, row, event, by, why, when);
	} else if (row->originator == c->self) {
		pend_at(c, row->addressee, row, event, by, why, when);
	}
}

/* Others handled what was handled here: who held this queue's reports for a while only, and may have got no key for this one,
 * hears it so. */
static void handlers_told(struct core *c, const struct msg_row *row, struct view events)
{
	struct msg_event e, mine = {0};
	char by[LIMIT_USER_BYTES + 1];

	for (struct view rest = events; events_next(&rest, &e);)
		if (e.source == c->self && (e.event == EVENT_READ || e.event == EVENT_REFUSED))
			mine = e;
	view_to_str(mine.by, by, sizeof by);
	for (struct view rest = events; mine.source && events_next(&rest, &e);)
		if (e.source != c->self && (e.event == EVENT_READ || e.event == EVENT_REFUSED) && e.source != row->addressee && e.source != row->originator &&
		    roster_site(c->roster, e.source))
			pend_at(c, e.source, row, mine.event, by, "", mine.when);
}

static bool goes_to_and_fro(uint8_t event)
{
	return event == EVENT_HANDED_OUT || event == EVENT_RETURNED || event == EVENT_LENT;
}

/* Which of them was last says who has it now, at other sites too: a clock that was set back does not turn them round. */
static struct wall event_time(const struct core *c, uint8_t event, struct view events)
{
	struct wall when = c->wall;
	struct msg_event e;

	while (goes_to_and_fro(event) && events_next(&events, &e))
		if (e.source == c->self && goes_to_and_fro(e.event) && e.when.us >= when.us && e.when.us < INT64_MAX)
			when.us = e.when.us + 1;
	return when;
}

void report_here(struct core *c, struct msg_row *row, struct buf *events, uint8_t event, const char *by, const char *why)
{
	struct msg_event e = {.event = event, .source = c->self, .when = event_time(c, event, buf_view(events)), .by = view_str(by), .why = view_str(why)};

	events_add(events, &e);
	if (report_event_ends(event))
		deliver_remove(c, row);
	row->events = buf_view(events);
	store_msg_put(c->t, row);
	pend_all(c, row, event, by, why, e.when);
	if (event == EVENT_READ || event == EVENT_REFUSED)
		handlers_told(c, row, buf_view(events));
	if (row->originator == c->self)
		waits_check(c, &row->id);
	if (event == EVENT_READ || event == EVENT_REFUSED)
		conflict_look(c, &row->id, row->addressee, (row->flags & HEADER_EXERCISE) != 0, buf_view(events));
}

void report_entry(struct core *c, uint16_t target, uint8_t precedence, bool exercise, struct view records, struct view closing)
{
	uint8_t plain[LIMIT_ENVELOPE_BYTES];
	size_t len;
	struct envelope env = {.records = records, .closing = closing};
	struct stream *s = own_stream(c, target, precedence, exercise);
	enum err e = s ? own_epoch(c, s) : ERR_NOMEM;

	if (!e)
		e = envelope_encode(&env, plain, sizeof plain, &len);
	if (!e) {
		struct header h = own_header(c, KIND_REPORT, precedence, exercise);

		e = own_append(c, s, &h, view_of(plain, len), view_of(NULL, 0), NULL, NULL);
	}
	if (e)
		txn_fail(c->t, e);
}

/* Room for records in one envelope: what is left after its tags and the seal. */
#define RECORDS_MAX (LIMIT_ENVELOPE_BYTES - SYM_OVERHEAD_BYTES - 64)

/* Appends the records of one pending report; entries that are full are written on the way. */
static void report_collect(struct core *c, struct pending_report *p, struct buf *records)
{
	struct report_record r = {.event = p->event, .addressee = p->addressee, .when = p->when, .by = view_str(p->by), .why = view_str(p->why), .order = p->order};
	size_t at = 0;

	while (at < p->ids.len) {
		size_t head = report_bytes(&r), room = RECORDS_MAX - records->len;

		if (records->len && room < head + MSGID_BYTES) {
			report_entry(c, p->target, p->precedence, p->exercise, buf_view(records), view_of(NULL, 0));
			buf_clear(records);
			continue;
		}
		size_t n = (room - head) / MSGID_BYTES, left = (p->ids.len - at) / MSGID_BYTES;
		struct report_record part = r;

		part.ids = (uint16_t)(n < left ? n : left);
		part.id_bytes = view_of(p->ids.ptr + at, part.ids * (size_t)MSGID_BYTES);
		report_add(records, &part);
		at += part.id_bytes.len;
	}
}

void reports_finish(struct core *c)
{
	struct buf records = BUF_EMPTY;

	for (size_t i = 0; i < c->n_pending; i++) {
		struct pending_report *first = &c->pending[i];

		if (!first->ids.len)
			continue;
		buf_clear(&records);
		for (size_t k = i; k < c->n_pending; k++) {
			struct pending_report *p = &c->pending[k];

			if (p->target != first->target || p->precedence != first->precedence || p->exercise != first->exercise)
				continue; /* the order travels with each record */
			if (!buf_ok(&p->ids))
				txn_fail(c->t, ERR_NOMEM);
			report_collect(c, p, &records);
			if (k != i)
				buf_clear(&p->ids);
		}
		if (records.len)
			report_entry(c, first->target, first->precedence, first->exercise, buf_view(&records), view_of(NULL, 0));
	}
	buf_release(&records);
	reports_drop(c);
}

void reports_drop(struct core *c)
{
	for (size_t i = 0; i < c->n_pending; i++)
		buf_release(&c->pending[i].ids);
	c->n_pending = 0;
}

/* ---- reports of others ------------------------------------------------------------------------------------------------------ */

static void receipt_count(struct tally *t, uint8_t event)
{
	t->receipts_read += event == EVENT_READ;
	t->receipts_refused += event == EVENT_REFUSED;
	t->receipts_expired += event == EVENT_EXPIRED;
}

/* It waits here, and now we hear that a desk had it in hand: it goes first in its precedence, and marked. */
static void seen_by_a_desk(struct core *c, struct msg_row *row)
{
	if (row->state != LOC_WAITING || !row->place.fresh)
		return;
	store_place_del(c->t, &row->place);
	row->place.fresh = 0;
	store_place_put(c->t, &row->place, &row->id);
	deliver_before(c, &row->place);
}

/* What is made of a record. */
enum belief { BELIEVED, WAITS, NOT_ITS };

static enum belief record_belief(const struct core *c, const struct msg_event *e, const struct report_record *r, const struct msg_row *row, bool exercise, struct view events)
{
	static const struct hash none;
	const struct order_known *o;

	if (!row->arrival && (r->event == EVENT_CANCELLED || r->event == EVENT_EXPIRED))
		return e->source == r->addressee ? BELIEVED : WAITS; /* only the message says who its originator is */
	if (event_counts(c, e, row->arrival ? row->originator : 0, r->addressee, exercise, events))
		return BELIEVED;
	if (r->event == EVENT_CANCELLED || r->event == EVENT_LENT)
		return NOT_ITS;
	if (hash_equal(&r->order, &none))
		return NOT_ITS;
	if (hash_equal(&r->order, &REPORT_LENT)) /* the record of the lending may still be on its way */
		return is_custodian(c, e->source, r->addressee, exercise) ? WAITS : NOT_ITS;
	o = order_find(c, &r->order);
	return !o || (o->state == ORDER_PENDING && order_names(&o->order, e->source) && o->order.site == r->addressee) ? WAITS : NOT_ITS;
}

/* Reports of exercises are about exercises, all others are not. Of a message that is not here yet what was said first decides, but
 * that an exercise never stands in the way of the rest. */
static bool kind_fits(struct msg_row *row, struct buf *events, bool exercise)
{
	bool was = (row->flags & HEADER_EXERCISE) != 0;

	if (was == exercise)
		return true;
	if (row->arrival || (events->len && exercise))
		return false;
	buf_clear(events);
	row->flags = exercise ? HEADER_EXERCISE : 0;
	return true;
}

static void kind_refused(struct core *c, bool exercise, uint16_t source)
{
	char a[LIMIT_NAME_BYTES + 1];

	alarm_raise(c, "report", site_name(c, source, a), "ask that site what its node runs; its report was not believed",
		    exercise ? "%s reported on a message as of an exercise, which it is not" : "%s reported on an exercise message as if it were none", a);
}

static void report_refused(struct core *c, const struct report_record *r, uint16_t source)
{
	char a[LIMIT_NAME_BYTES + 1], b[LIMIT_NAME_BYTES + 1];

	alarm_raise(c, "report", site_name(c, source, a), "ask that site; its report was not believed",
		    "%s reported \"%s\" about a message for %s, which is not its to say", a, report_event_name(r->event), site_name(c, r->addressee, b));
}

/* What follows from the events of a message that have just changed. */
static void events_changed(struct core *c, struct msg_row *row, struct buf *events, uint8_t event, bool exercise)
{
	uint8_t which;

	if (row->arrival && events_ended(c, buf_view(events), row->originator, row->addressee, exercise, &which)) {
		deliver_remove(c, row);
		quarantine_ended(c, row);
	} else if (event == EVENT_HANDED_OUT)
		seen_by_a_desk(c, row);
	if (row->state == LOC_WAITING && (event == EVENT_RETURNED || event == EVENT_LENT))
		deliver_again(c, row);
	row->events = buf_view(events);
	store_msg_put(c->t, row);
	if (event == EVENT_READ || event == EVENT_REFUSED)
		conflict_look(c, &row->id, row->addressee, exercise, buf_view(events));
}

/* What a desk here had in hand when this journal was lost, or put back, nobody has in hand any more: others may wait for it. */
static void lease_lost(struct core *c, const struct stream *s, struct msg_row *row, struct buf *events)
{
	struct msg_event e, last = {0};

	if (c->rebuilding && c->rebuilding != REBUILDING_LEASES)
		return; /* what came after it is not read yet */
	for (struct view rest = buf_view(events); events_next(&rest, &e);) {
		if (e.source != c->self)
			continue;
		if (report_event_ends(e.event))
			return;
		if ((e.event == EVENT_HANDED_OUT || e.event == EVENT_RETURNED) && e.when.us >= last.when.us)
			last = e;
	}
	if (last.event != EVENT_HANDED_OUT || row->state == LOC_LEASED)
		return;
	if (!row->arrival) {
		row->precedence = s->row.name.precedence;
		row->flags = s->row.name.exercise ? HEADER_EXERCISE : 0;
	}
	report_here(c, row, events, EVENT_RETURNED, "", "");
}

/* Did the same site say already that it ended there, at another time? No site handles a message twice that knows what it did. */
static bool ended_elsewhen(struct view events, const struct msg_event *e)
{
	struct msg_event have;

	if (e->event != EVENT_READ && e->event != EVENT_REFUSED)
		return false;
	while (events_next(&events, &have))
		if (have.source == e->source && (have.event == EVENT_READ || have.event == EVENT_REFUSED) && have.when.us != e->when.us)
			return true;
	return false;
}

static void apply_one(struct core *c, const struct stream *s, const struct report_record *r, const struct msgid *id)
{
	struct buf events = BUF_EMPTY, before = BUF_EMPTY;
	bool exercise = s->row.name.exercise;
	struct msg_row row;
	struct msg_event e = {.event = r->event, .source = s->row.name.originator, .when = r->when, .by = r->by, .why = r->why};
	static const struct hash none;
	uint8_t which;

	if (msg_load(c, id, r->addressee, &row, &events))
		goto out;
	if (!kind_fits(&row, &events, exercise)) {
		kind_refused(c, exercise, e.source);
		goto out;
	}
	enum belief belief = record_belief(c, &e, r, &row, exercise, buf_view(&events));

	if (belief == NOT_ITS) {
		report_refused(c, r, e.source);
		goto out;
	}
	bool had_ended = row.arrival && events_ended(c, buf_view(&events), row.originator, r->addressee, exercise, &which);

	buf_add(&before, buf_view(&events));
	if (belief == BELIEVED && ended_elsewhen(buf_view(&events), &e))
		copies_twice(c, e.source, id);
	if (belief == WAITS)
		events_claim(&events, &e, r->addressee);
	else
		events_add(&events, &e);
	if (belief == WAITS && !hash_equal(&r->order, &none) && !hash_equal(&r->order, &REPORT_LENT))
		store_order_wait_put(c->t, &r->order, id, r->addressee);
	if (buf_ok(&before) && view_equal(buf_view(&before), buf_view(&events)))
		goto out;
	events_changed(c, &row, &events, r->event, exercise);
	if (r->event == EVENT_READ || r->event == EVENT_REFUSED)
		handlers_told(c, &row, buf_view(&events));
	if (e.source == c->self && r->event == EVENT_HANDED_OUT)
		lease_lost(c, s, &row, &events);
	if (row.addressee == c->self && e.source != c->self && !had_ended && (r->event == EVENT_READ || r->event == EVENT_REFUSED)) {
		c->counters.elsewhere[exercise]++;
		c->counters_dirty = true;
	}
	if (row.arrival && row.originator == c->self) {
		if (e.source != c->self)
			receipt_count(tally_of(c, row.flags), r->event);
		waits_check(c, id);
	}
out:
	buf_release(&events);
	buf_release(&before);
}

/* An order has come that reports waited for: what they say counts now, or never. */
void reports_order(struct core *c, const struct hash *order)
{
	struct msgid id = {{0}};
	uint16_t addressee = 0;

	while (store_order_wait_from(c->t, order, &id, &addressee) == ERR_OK) {
		struct buf events = BUF_EMPTY;
		struct msg_row row;

		store_order_wait_del(c->t, order, &id, addressee);
		if (msg_load(c, &id, addressee, &row, &events) == ERR_OK) {
			events_changed(c, &row, &events, EVENT_READ, (row.flags & HEADER_EXERCISE) != 0);
			if (row.arrival && row.originator == c->self)
				waits_check(c, &id);
		}
		buf_release(&events);
	}
}

void report_apply(struct core *c, struct stream *s, const struct envelope *env)
{
	/* apply_one opens other envelopes into c->plain, where env lies. */
	struct buf copy = BUF_EMPTY;
	struct report_record r;
	size_t closing_len = env->closing.len;

	buf_add(&copy, env->closing);
	buf_add(&copy, env->records);
	struct view rest = view_of(copy.ptr + closing_len, copy.len - closing_len);

	if (!buf_ok(&copy))
		txn_fail(c->t, ERR_NOMEM);
	else if (closing_len)
		takeover_closing(c, s->row.name.originator, view_of(copy.ptr, closing_len));

	while (rest.len) {
		if (report_next(&rest, &r)) {
			alarm_raise(c, "report", "malformed", "the site that wrote it may run a newer or a broken version", "a report entry is malformed");
			break;
		}
		for (size_t i = 0; i < r.ids; i++) {
			struct msgid id;

			memcpy(id.b, r.id_bytes.ptr + i * MSGID_BYTES, MSGID_BYTES);
			apply_one(c, s, &r, &id);
		}
	}
	buf_release(&copy);
}
