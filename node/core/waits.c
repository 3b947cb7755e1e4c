/* waits.c - what is known of a message's fate, and the clients that wait for it. */
#include "node/core/core_int.h"

static bool flow_has(const struct flow *f, uint64_t number)
{
	if (f->acked < number)
		return false;
	for (uint16_t i = 0; i < f->n_missing; i++)
		if (f->missing[i] == number)
			return false;
	return true;
}

/* A successor by the order in force. With several the one that has this message is meant, but any holds it for all. */
static bool serves_now(const struct core *c, const struct msg_row *row, uint16_t site)
{
	const struct chain *ch = chain_find(c, row->addressee, (row->flags & HEADER_EXERCISE) != 0);

	return ch && ch->now && order_names(&ch->now->order, site);
}

/* Held: by the addressee's site. Held by a standby alone is said apart. */
static enum wait_state held_state(struct core *c, const struct msg_row *row)
{
	struct entry_row entry;
	enum wait_state state = STATE_ACCEPTED;

	if (row->addressee == c->self || serves_now(c, row, c->self))
		return STATE_HELD;
	if (!row->arrival || store_entry_get(c->t, row->arrival, &entry))
		return STATE_ACCEPTED;
	struct stream *s = stream_by_local(c, entry.stream);

	for (size_t i = 0; s && i < s->n_flows; i++) {
		const struct flow *f = &s->flows[i];

		if (!f->known || f->guest || f->peer->site == s->row.name.originator || !flow_has(f, entry.number))
			continue;
		if (f->peer->site == row->addressee || serves_now(c, row, f->peer->site))
			return STATE_HELD;
		state = STATE_HELD_BY_STANDBY;
	}
	return state;
}

enum wait_state message_state(struct core *c, const struct msgid *id, uint16_t addressee)
{
	struct msg_row row;
	struct msg_event e;
	uint8_t which;

	if (store_msg_get(c->t, id, addressee, &row))
		return STATE_ACCEPTED;
	if (events_ended(c, row.events, c->self, addressee, (row.flags & HEADER_EXERCISE) != 0, &which))
		return which == EVENT_READ ? STATE_READ : which == EVENT_REFUSED ? STATE_REFUSED : which == EVENT_CANCELLED ? STATE_CANCELLED : STATE_EXPIRED;
	if (events_find(row.events, EVENT_DELIVERED, &e))
		return STATE_DELIVERED;
	return held_state(c, &row);
}

enum err message_state_all(struct core *c, const struct msgid *id, enum wait_state *out)
{
	struct msg_row row;
	uint16_t from = 0;
	bool any = false;

	for (;;) {
		if (store_msg_from(c->t, id, from, &row) || !msgid_equal(&row.id, id))
			break;
		uint16_t addressee = row.addressee;

		if (row.arrival) {
			enum wait_state s = message_state(c, id, addressee);

			*out = any && *out < s ? *out : s;
			any = true;
		}
		if (addressee == UINT16_MAX)
			break;
		from = (uint16_t)(addressee + 1);
	}
	return any ? ERR_OK : ERR_NOT_FOUND;
}

static bool wait_answer(struct core *c, struct wait *w)
{
	enum wait_state state;
	struct request_writer rw;

	if (message_state_all(c, &w->id, &state) || state < w->want)
		return false;
	reply_begin(c, &rw, REPLY_STATE, w->tag);
	request_id(&rw, &w->id);
	request_u8(&rw, F_STATE, (uint8_t)state);
	reply_end(c, &rw, w->client);
	return true;
}

static size_t waits_of(const struct core *c, uint64_t client)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_waits; i++)
		n += c->waits[i].client == client && !c->waits[i].done;
	return n;
}

void wait_request(struct core *c, struct client *cl, const struct request *rq)
{
	struct view fields = rq->fields;
	struct request_item f;
	struct wait w = {.client = cl->id, .tag = rq->tag, .want = STATE_ACCEPTED};
	enum wait_state state;
	bool has_id = false;

	while (request_next(&fields, &f) == ERR_OK) {
		if (f.field == F_ID && item_ok(&f)) {
			memcpy(w.id.b, f.value.ptr, MSGID_BYTES);
			has_id = true;
		} else if (f.field == F_STATE) {
			w.want = item_u8(&f);
		}
	}
	if (!has_id || w.want < STATE_ACCEPTED || w.want > STATE_READ) {
		reply_error(c, cl->id, rq->tag, ERR_FORMAT, "wait: it needs an id and a state from accepted to read");
		return;
	}
	if (message_state_all(c, &w.id, &state)) {
		char text[MSGID_TEXT_BYTES];

		msgid_format(&w.id, text);
		reply_error(c, cl->id, rq->tag, ERR_NOT_FOUND, "wait %s: no such message here", text);
		return;
	}
	if (wait_answer(c, &w))
		return;
	if (waits_of(c, cl->id) >= LIMIT_CLIENT_WAITS) {
		reply_error(c, cl->id, rq->tag, ERR_BUSY, "wait: %d are open on this connection already (the message stays accepted)", LIMIT_CLIENT_WAITS);
		return;
	}
	struct wait *slot = array_grow(&c->waits, &c->n_waits, sizeof *slot);

	if (slot)
		*slot = w;
}

void waits_check(struct core *c, const struct msgid *id)
{
	for (size_t i = 0; i < c->n_waits; i++) {
		struct wait *w = &c->waits[i];

		if (!w->done && msgid_equal(&w->id, id))
			w->done = wait_answer(c, w);
	}
}

void waits_held(struct core *c)
{
	for (size_t i = 0; i < c->n_waits; i++) {
		struct wait *w = &c->waits[i];

		if (!w->done && (w->want == STATE_HELD || w->want == STATE_HELD_BY_STANDBY))
			w->done = wait_answer(c, w);
	}
}

void waits_stream(struct core *c, const struct stream *s)
{
	if (s->row.name.originator == c->self)
		waits_held(c);
}

void waits_forget_client(struct core *c, uint64_t client)
{
	for (size_t i = 0; i < c->n_waits; i++)
		if (c->waits[i].client == client)
			c->waits[i].done = true;
}
