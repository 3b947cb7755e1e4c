/* replay_desk.c - copies at desks: handed out, leased, acknowledged; nothing of it is said of the message. */
#include <stdio.h>

#include "node/core/core_int.h"

/* ---- leases --------------------------------------------------------------------------------------------------------- */

static void due_add(struct core *c, const struct replay_copy *copy)
{
	struct replay_due *d = array_grow(&c->replay.due, &c->replay.n_due, sizeof *d);

	if (!d) {
		txn_fail(c->t, ERR_NOMEM);
		return;
	}
	*d = (struct replay_due){.at = mono_add(c->now, copy->lease_us), .id = copy->id, .place = copy->at, .since = copy->since};
	c->replay.at = mono_min(c->replay.at, d->at);
}

static void due_done(struct core *c, struct replay_due *d)
{
	d->done = true;
	c->replay.n_done++;
}

/* Desks have as many as they may. */
static bool are_out(const struct core *c)
{
	return c->replay.n_due - c->replay.n_done >= c->config.leases_most;
}

static void due_first(struct core *c)
{
	c->replay.at = MONO_NEVER;
	for (size_t i = 0; i < c->replay.n_due; i++)
		if (!c->replay.due[i].done)
			c->replay.at = mono_min(c->replay.at, c->replay.due[i].at);
}

static enum err load_one(void *arg, const struct replay_copy *copy)
{
	due_add(arg, copy);
	return ERR_OK;
}

void replay_load(struct core *c)
{
	c->replay.n_due = c->replay.n_done = 0;
	due_first(c);
	enum err e = store_replay_out_each(c->t, load_one, c);

	(void)e; /* a damaged one stays away from desks; its message is as it was */
}

static bool place_same(const struct replay_place *a, const struct replay_place *b)
{
	return a->queue == b->queue && a->precedence == b->precedence && a->arrival == b->arrival && a->job == b->job;
}

/* Its lease is over before its time. They are mostly acknowledged in the order in which they were handed out. */
static void lease_ends(struct core *c, const struct replay_copy *copy)
{
	struct queue *q = queue_by_local(c, copy->at.queue);

	if (q && are_out(c))
		q->changed = true;
	for (size_t i = 0; i < c->replay.n_due; i++) {
		struct replay_due *d = &c->replay.due[i];

		if (!d->done && msgid_equal(&d->id, &copy->id) && place_same(&d->place, &copy->at) && d->since.us == copy->since.us) {
			due_done(c, d);
			return;
		}
	}
}

static void give_back(struct core *c, struct replay_copy *copy)
{
	struct queue *q = queue_by_local(c, copy->at.queue);

	store_replay_out_del(c->t, copy);
	copy->desk[0] = '\0';
	copy->lease_us = copy->since.us = 0;
	store_replay_put(c->t, copy);
	if (q)
		q->changed = true;
}

void replay_leases(struct core *c)
{
	struct replay_copy copy;

	if (mono_before(c->now, c->replay.at))
		return;
	for (size_t i = 0; i < c->replay.n_due; i++) {
		struct replay_due *d = &c->replay.due[i];

		if (d->done || mono_before(c->now, d->at))
			continue;
		due_done(c, d);
		if (store_replay_out_from(c->t, &d->id, &d->place, &copy) == ERR_OK && place_same(&copy.at, &d->place) && copy.since.us == d->since.us)
			give_back(c, &copy);
	}
	due_first(c);
}

void replay_committed(struct core *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->replay.n_due; i++)
		if (!c->replay.due[i].done)
			c->replay.due[n++] = c->replay.due[i];
	c->replay.n_due = n;
	c->replay.n_done = 0;
}

void replay_reload(struct core *c)
{
	for (size_t i = 0; i < c->replay.n_due; i++)
		c->replay.due[i].done = false;
	c->replay.n_done = 0;
	due_first(c);
}

/* ---- handing out ---------------------------------------------------------------------------------------------------- */

static void drop(struct core *c, const struct replay_copy *copy, enum err why)
{
	char id[MSGID_TEXT_BYTES];

	msgid_format(&copy->id, id);
	store_replay_del(c->t, &copy->at);
	effect_log(c->out, 4, "replay: message %s is not handed out again: %s", id, why == ERR_NOT_FOUND ? "its body is not here any more" : err_text(why));
}

/* ERR_BUSY: not now. */
static enum err hand_out(struct core *c, struct take *t, struct replay_copy *copy)
{
	struct buf body = BUF_EMPTY;
	struct request_writer w;
	struct entry_row entry;
	struct envelope env;
	struct header h;
	enum err e = store_entry_get(c->t, copy->at.arrival, &entry);
	struct stream *s = e ? NULL : stream_by_local(c, entry.stream);

	if (!e && ((entry.e.flags & ENTRY_STUB) || (entry.e.body_len && !entry.body_no)))
		e = ERR_NOT_FOUND;
	if (!e)
		e = s ? open_envelope(c, s, &entry, &h, &env) : ERR_NOT_FOUND;
	if (!e && !msgid_equal(&h.id, &copy->id))
		e = ERR_DAMAGED;
	if (!e && quarantine_holds(c, s, &entry))
		e = ERR_BUSY;
	if (!e && !(h.flags & HEADER_CHUNKED) && entry.e.body_len)
		e = open_body(c, &entry, &env, &body);
	if (e)
		goto out;
	reply_begin(c, &w, REPLY_TAKEN, t->tag);
	taken_fields(c, &w, t, &h.id, &h, &env, NULL);
	request_u8(&w, F_REPLAYED, 1);
	request_str(&w, F_BY, copy->by);
	request_str(&w, F_REASON, copy->why);
	if (h.flags & HEADER_CHUNKED)
		request_u64(&w, F_BODY_BYTES, env.body_bytes);
	else
		request_field(&w, F_BODY, buf_view(&body));
	reply_end(c, &w, t->client);
	store_replay_del(c->t, &copy->at);
	memcpy(copy->desk, t->by, sizeof copy->desk);
	copy->lease_us = t->lease_us;
	copy->since = c->wall;
	store_replay_out_put(c->t, copy);
	due_add(c, copy);
out:
	buf_release(&body);
	return e;
}

bool replay_serve(struct core *c, struct take *t, size_t *served, size_t bytes_from)
{
	struct replay_place from = {.queue = t->queue};
	struct replay_copy copy;
	size_t passed = 0;

	while (t->left && passed < SERVE_MESSAGES && !are_out(c) && !txn_error(c->t)) {
		if (*served >= SERVE_MESSAGES || c->out->bytes.len - bytes_from > SERVE_BYTES)
			return false;
		enum err e = store_replay_from(c->t, &from, &copy);

		if (e && e != ERR_DAMAGED)
			return true;
		if (!e)
			e = hand_out(c, t, &copy);
		from = copy.at;
		from.job++;
		t->left -= e == ERR_OK;
		*served += e == ERR_OK;
		passed += e == ERR_BUSY;
		if (e && e != ERR_BUSY)
			drop(c, &copy, e);
	}
	return true;
}

/* ---- what desks say --------------------------------------------------------------------------------------------------- */

bool replay_out(struct core *c, const struct msgid *id, uint16_t addressee, struct replay_copy *out)
{
	struct replay_place from = {.queue = 0};
	struct msg_row row;
	enum err e;

	while ((e = store_replay_out_from(c->t, id, &from, out)) == ERR_OK || e == ERR_DAMAGED) {
		if (!e && (!addressee || queue_site(c, out->at.queue) == addressee))
			return msg_served(c, id, &row) != ERR_OK || row.state != LOC_LEASED;
		from = out->at;
		from.job++;
	}
	return false;
}

void replay_handle(struct core *c, struct replay_copy *copy, const struct handling *how)
{
	lease_ends(c, copy);
	if (how->type == REQ_RETURN) {
		give_back(c, copy);
		return;
	}
	if (how->type != REQ_EXTEND) {
		store_replay_out_del(c->t, copy);
		return;
	}
	copy->lease_us = how->lease_us;
	copy->since = c->wall;
	store_replay_out_put(c->t, copy);
	due_add(c, copy);
}
