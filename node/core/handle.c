/* handle.c - what desks say of what they took: read, refused, given back, kept longer; and bodies read piece by piece. */
#include <stdio.h>

#include "node/core/core_int.h"

/* How much a message is ours to handle: out at a desk here; served here; or handled here once, at its addressee or for it. */
static int here(struct core *c, const struct msg_row *row)
{
	const struct queue *q = row->place_arrival ? queue_by_local(c, row->place.queue) : NULL;
	struct view events = row->events;
	struct msg_event e;

	if (row->state == LOC_LEASED)
		return row->addressee == c->self ? 5 : 4;
	if (row->addressee == c->self)
		return 3;
	if (q && q->served[(row->flags & HEADER_EXERCISE) != 0])
		return 2;
	while (events_next(&events, &e))
		if (e.source == c->self && e.event == EVENT_HANDED_OUT)
			return 1;
	return 0;
}

/* A group's message may stand here twice, in a queue of this site's own and in one that it serves: addressee says which is
 * meant; 0: what is out at a desk here, before what is not. */
static enum err msg_of(struct core *c, const struct msgid *id, uint16_t addressee, struct msg_row *out)
{
	struct msg_row row;
	uint16_t from = addressee;
	int best = 0;
	enum err e, found = ERR_NOT_FOUND;

	for (; (e = store_msg_from(c->t, id, from, &row)) == ERR_OK && msgid_equal(&row.id, id); from = (uint16_t)(row.addressee + 1)) {
		int rank = row.arrival && (!addressee || row.addressee == addressee) ? here(c, &row) : 0;

		if (rank > best) {
			*out = row;
			best = rank;
			found = ERR_OK;
		}
		if (addressee || row.addressee == UINT16_MAX)
			break;
	}
	return e == ERR_DAMAGED && found ? e : found;
}

enum err msg_served(struct core *c, const struct msgid *id, struct msg_row *out)
{
	return msg_of(c, id, 0, out);
}

bool handled_too(const struct core *c, const struct msg_row *row, uint8_t which)
{
	struct view events = row->events;
	struct msg_event e;
	bool had = false;

	if (which != EVENT_READ && which != EVENT_REFUSED)
		return false;
	while (events_next(&events, &e)) {
		if (e.source == c->self && (e.event == EVENT_READ || e.event == EVENT_REFUSED))
			return false;
		had = had || (e.source == c->self && e.event == EVENT_HANDED_OUT);
	}
	return had;
}

/* What became of the message when it cannot be handled; ERR_EXISTS: it was read here already, which is as good. */
static enum err handle_check(struct core *c, const struct msgid *id, const struct handling *how, struct errmsg *m)
{
	struct msg_row row;
	char text[MSGID_TEXT_BYTES];
	uint8_t which = 0, type = how->type;
	enum err e = msg_of(c, id, how->addressee, &row);

	msgid_format(id, text);
	if (e) {
		err_set(m, e, "%s: %s", text, e == ERR_NOT_FOUND ? "no such message in a queue of this site" : err_text(e));
	} else if (events_ended(c, row.events, row.originator, row.addressee, (row.flags & HEADER_EXERCISE) != 0, &which)) {
		if ((type == REQ_ACK || type == REQ_REFUSE) && handled_too(c, &row, which))
			return ERR_OK;
		e = which == EVENT_READ && (type == REQ_ACK || type == REQ_RETURN) ? ERR_EXISTS
			: err_set(m, ERR_CONFLICT, "%s: it has ended already: %s (see `estafette trace %s`)", text, report_event_name(which), text);
	} else if ((type == REQ_RETURN || type == REQ_EXTEND) && row.state != LOC_LEASED) {
		e = type == REQ_RETURN && row.state == LOC_WAITING ? ERR_EXISTS : err_set(m, ERR_NOT_FOUND, "%s: it is not leased (take it first)", text);
	} else if (row.state == LOC_NONE) {
		e = err_set(m, ERR_BUSY, "%s: it stands in no queue yet (see `estafette trace %s`)", text, text);
	}
	return e;
}

static void handle_lease(struct core *c, struct msg_row *row, const struct handling *how)
{
	struct lease_row l;

	enum err e = store_lease_get(c->t, row->place_arrival, &l);

	if (e == ERR_DAMAGED) {
		lease_mend(c, row->place_arrival);
		e = store_lease_get(c->t, row->place_arrival, &l);
	}
	if (e)
		return;
	if (how->type == REQ_RETURN) {
		lease_give_back(c, &l, false);
		return;
	}
	l.since = c->wall;
	l.lease_us = how->lease_us;
	store_lease_put(c->t, &l);
	lease_due_add(c, &l, mono_add(c->now, l.lease_us));
}

static void handle_one(struct core *c, const struct msgid *id, const struct handling *how)
{
	struct buf events = BUF_EMPTY;
	struct msg_row row;
	uint8_t which = 0;

	if (msg_of(c, id, how->addressee, &row))
		return;
	bool ended = events_ended(c, row.events, row.originator, row.addressee, (row.flags & HEADER_EXERCISE) != 0, &which);
	bool too = ended && handled_too(c, &row, which);

	/* Where it stands nowhere it has ended, before or by an earlier id of this request: nothing is left to do. */
	if (msg_load(c, id, row.addressee, &row, &events) || (row.state == LOC_NONE && !too))
		goto out;
	switch (how->type) {
	case REQ_ACK:
		tally_of(c, row.flags)->read += !too;
		report_here(c, &row, &events, EVENT_READ, how->by, "");
		break;
	case REQ_REFUSE:
		tally_of(c, row.flags)->refused += !too;
		report_here(c, &row, &events, EVENT_REFUSED, how->by, how->why);
		break;
	default: handle_lease(c, &row, how);
	}
	c->counters_dirty = true;
out:
	buf_release(&events);
}

static enum err handling_field(const struct request_item *f, struct handling *how, char by[LIMIT_USER_BYTES + 1], char why[LIMIT_REASON_BYTES + 1], struct errmsg *m)
{
	if (item_check(f, "request", m))
		return m->code;
	if (f->field == F_BY && (!view_is_text(f->value) || !view_to_str(f->value, by, LIMIT_USER_BYTES + 1)))
		return err_set(m, ERR_TOO_LARGE, "by: plain text of at most %d bytes", LIMIT_USER_BYTES);
	if (f->field == F_REASON && (!view_is_text(f->value) || !view_to_str(f->value, why, LIMIT_REASON_BYTES + 1)))
		return err_set(m, ERR_TOO_LARGE, "reason: plain text of at most %d bytes", LIMIT_REASON_BYTES);
	if (f->field == F_LEASE_US)
		how->lease_us = (int64_t)item_u64(f);
	return ERR_OK;
}

static enum err handling_fields(struct core *c, struct client *cl, const struct request *rq, struct handling *how, char by[LIMIT_USER_BYTES + 1],
				char why[LIMIT_REASON_BYTES + 1], struct errmsg *m)
{
	struct view fields = rq->fields;
	struct request_item f;
	enum err e = ERR_OK, wrong = ERR_OK;

	*how = (struct handling){.type = rq->type, .by = by, .why = why, .lease_us = c->config.lease_us};
	memcpy(by, cl->rights.name, LIMIT_USER_BYTES + 1);
	while (!wrong && (e = request_next(&fields, &f)) == ERR_OK)
		wrong = handling_field(&f, how, by, why, m);
	if (wrong)
		return wrong;
	if (e != ERR_NOT_FOUND)
		return err_set(m, e, "request: %s", err_text(e));
	if (rq->type == REQ_REFUSE && !why[0])
		return err_set(m, ERR_USAGE, "refuse: a reason is needed (--reason TEXT)");
	if (how->lease_us <= 0 || how->lease_us > LIMIT_LEASE_US)
		return err_set(m, ERR_RANGE, "lease: up to a day");
	return ERR_OK;
}

/* The queue that the next id was taken from. */
static enum err handling_queue(struct core *c, struct view text, struct handling *how, struct errmsg *m)
{
	const uint8_t *slash = memchr(text.ptr, '/', text.len);
	struct view name = view_of(text.ptr, slash ? (size_t)(slash - text.ptr) : 0);
	const struct site *s = slash ? roster_site_by_id(c->roster, name) : c->me;
	const struct area *area = s ? NULL : roster_area_by_id(c->roster, name);

	if (!s && !area)
		return err_set(m, ERR_UNKNOWN_SITE, "%.*s: not a queue of a site of this network", (int)text.len, (const char *)text.ptr);
	how->addressee = s ? s->number : area->site;
	return ERR_OK;
}

/* One field of the request, in the round that checks (0) or the one that does (1). n counts what was done. */
static enum err ack_field(struct core *c, const struct request *rq, const struct request_item *f, struct handling *how, int round, uint32_t *n, struct errmsg *m)
{
	struct replay_copy copy;
	struct msgid id;
	char alarm[80];

	if (f->field == F_ALARM && rq->type == REQ_ACK) {
		bool known = view_to_str(f->value, alarm, sizeof alarm) && alarm_known(c, alarm);

		if (!known)
			return err_set(m, ERR_NOT_FOUND, "%.*s: no such alarm or message (see `estafette alarms`)", (int)f->value.len, (const char *)f->value.ptr);
		*n += round;
		return round ? alarm_acknowledge(c, alarm, how->by) : ERR_OK;
	}
	if (f->field == F_QUEUE)
		return handling_queue(c, f->value, how, m);
	if (f->field != F_ID)
		return ERR_OK;
	memcpy(id.b, f->value.ptr, MSGID_BYTES);
	if (replay_out(c, &id, how->addressee, &copy)) {
		*n += round;
		if (round)
			replay_handle(c, &copy, how);
		how->addressee = 0;
		return ERR_OK;
	}
	if (rq->type == REQ_REFUSE && quarantine_known(c, &id)) {
		*n += round;
		return round ? quarantine_refuse(c, &id, how->by, how->why) : ERR_OK;
	}
	enum err e = round == 0 || rq->type == REQ_ACK ? handle_check(c, &id, how, m) : ERR_OK;

	if (round == 0)
		e = e == ERR_EXISTS || (rq->type == REQ_ACK && conflict_known(c, &id)) ? ERR_OK : e;
	else if (e == ERR_OK || conflict_sign_off(c, &id, how->by))
		handle_one(c, &id, how);
	how->addressee = 0;
	*n += round;
	return round ? ERR_OK : e;
}

/* Two rounds over the fields: first all are checked, then all are done, so that a wrong one changes nothing. */
void ack_request(struct core *c, struct client *cl, const struct request *rq)
{
	char by[LIMIT_USER_BYTES + 1] = "", why[LIMIT_REASON_BYTES + 1] = "";
	struct handling how = {0};
	struct errmsg m = {0};
	enum err e = cl->rights.may_take ? handling_fields(c, cl, rq, &how, by, why, &m)
					 : err_set(&m, ERR_NOT_PERMITTED, "%s may not take, so not acknowledge (see `clients` in node.conf)", cl->rights.name);
	uint32_t n = 0;

	for (int round = 0; !e && round < 2; round++) {
		struct view fields = rq->fields;
		struct request_item f;

		while (!e && request_next(&fields, &f) == ERR_OK)
			e = ack_field(c, rq, &f, &how, round, &n, &m);
	}
	if (e)
		reply_error(c, cl->id, rq->tag, e, "%s", m.text[0] ? m.text : err_text(e));
	else
		reply_done(c, cl->id, rq->tag, n);
}

/* ---- reading a body of many chunks ----------------------------------------------------------------------------------------- */

static enum err read_chunk(struct core *c, const struct msgid *id, uint32_t index, bool *last, struct buf *out)
{
	struct buf sealed = BUF_EMPTY;
	struct entry_row entry;
	struct envelope env;
	struct msg_row row;
	struct body_row body;
	struct header h;
	struct replay_copy copy;
	enum err e = msg_served(c, id, &row);

	if (e == ERR_NOT_FOUND && replay_out(c, id, 0, &copy)) {
		row.arrival = copy.at.arrival; /* of another site, and never out at a desk here before */
		e = ERR_OK;
	}
	if (!e)
		e = store_entry_get(c->t, row.arrival, &entry);
	struct stream *s = e ? NULL : stream_by_local(c, entry.stream);

	if (!e)
		e = s ? open_envelope(c, s, &entry, &h, &env) : ERR_DAMAGED;
	if (!e && !entry.body_no)
		e = ERR_BUSY;
	if (!e && !(h.flags & HEADER_CHUNKED)) {
		*last = true;
		return index ? ERR_NOT_FOUND : open_body(c, &entry, &env, out);
	}
	if (!e)
		e = store_body_row(c->t, entry.body_class, entry.body_no, &body);
	if (!e && index >= body.chunks)
		e = ERR_NOT_FOUND;
	if (!e)
		e = store_body_get_part(c->t, entry.body_class, entry.body_no, PART_CHUNK, index, &sealed);
	if (!e) {
		*last = index + 1 == body.chunks;
		e = chunk_open(c->packer, &env.content_key, index, *last, buf_view(&sealed), out);
		if (e == ERR_AUTH)
			e = ERR_DAMAGED;
	}
	buf_release(&sealed);
	return e;
}

void read_request(struct core *c, struct client *cl, const struct request *rq)
{
	struct view fields = rq->fields;
	struct request_item f;
	struct request_writer w;
	struct msgid id = {{0}};
	uint32_t index = 0;
	bool last = false;

	while (request_next(&fields, &f) == ERR_OK) {
		if (f.field == F_ID && item_ok(&f))
			memcpy(id.b, f.value.ptr, MSGID_BYTES);
		if (f.field == F_INDEX)
			index = item_u32(&f);
	}
	buf_clear(&c->scratch);
	enum err e = cl->rights.may_take ? read_chunk(c, &id, index, &last, &c->scratch) : ERR_NOT_PERMITTED;

	if (e) {
		char text[MSGID_TEXT_BYTES];

		msgid_format(&id, text);
		reply_error(c, cl->id, rq->tag, e, "read %s: part %u: %s", text, index, err_text(e));
		return;
	}
	reply_begin(c, &w, REPLY_BODY, rq->tag);
	request_u32(&w, F_INDEX, index);
	request_u8(&w, F_LAST, last);
	request_field(&w, F_BODY, buf_view(&c->scratch));
	reply_end(c, &w, cl->id);
}
