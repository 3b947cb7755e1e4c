/* desk.c - what desks do with a queue: take, hold a lease, acknowledge, refuse, give back. */
#include <stdio.h>

#include "node/core/core_int.h"

/* Messages of other exercises that one take passes over in one commit. */
#define SERVE_LOOKED_AT 512

/* ---- leases: a heap by time; the journal says which ones are still real ------------------------------------------- */

static void heap_sift_up(struct lease_due *h, size_t i)
{
	for (; i > 0 && h[i].at.us < h[(i - 1) / 2].at.us; i = (i - 1) / 2) {
		struct lease_due x = h[i];

		h[i] = h[(i - 1) / 2];
		h[(i - 1) / 2] = x;
	}
}

static void heap_sift_down(struct lease_due *h, size_t n, size_t i)
{
	for (;;) {
		size_t least = i, l = 2 * i + 1, r = l + 1;

		if (l < n && h[l].at.us < h[least].at.us)
			least = l;
		if (r < n && h[r].at.us < h[least].at.us)
			least = r;
		if (least == i)
			return;
		struct lease_due x = h[i];

		h[i] = h[least];
		h[least] = x;
		i = least;
	}
}

/* A heap entry is real while the journal has that lease, begun at that moment; of a damaged one nobody can say. */
static bool lease_real(struct core *c, const struct lease_due *d)
{
	struct lease_row l;
	enum err e = store_lease_get(c->t, d->arrival, &l);

	return e == ERR_DAMAGED || (!e && l.since.us == d->since.us);
}

static size_t leases_live(const struct core *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_queues; i++)
		for (unsigned x = 0; x < 2; x++)
			for (unsigned p = 0; p < PREC_COUNT; p++)
				n += c->queues[i].row.leased[x][p];
	return n;
}

/* Comes back when the batch fails. */
static void lease_popped(struct core *c, const struct lease_due *d)
{
	struct lease_due *slot = array_grow(&c->popped, &c->n_popped, sizeof *slot);

	if (slot)
		*slot = *d;
	else
		txn_fail(c->t, ERR_NOMEM);
}

/* Acknowledged leases stay in the heap until their time; when they are most of it, they are taken out. */
static void leases_compact(struct core *c)
{
	size_t n = 0;

	if (c->n_leases < 2 * leases_live(c) + 1024)
		return;
	for (size_t i = 0; i < c->n_leases; i++)
		if (lease_real(c, &c->leases[i]))
			c->leases[n++] = c->leases[i];
		else
			lease_popped(c, &c->leases[i]);
	c->n_leases = n;
	for (size_t i = n / 2; i-- > 0;)
		heap_sift_down(c->leases, n, i);
}

void lease_due_put(struct core *c, const struct lease_due *due)
{
	struct lease_due *d = array_grow(&c->leases, &c->n_leases, sizeof *d);

	if (!d) {
		if (c->t)
			txn_fail(c->t, ERR_NOMEM);
		return;
	}
	*d = *due;
	heap_sift_up(c->leases, c->n_leases - 1);
}

void lease_due_add(struct core *c, const struct lease_row *l, struct mono at)
{
	lease_due_put(c, &(struct lease_due){.at = at, .arrival = l->place.arrival, .since = l->since});
}

static enum err lease_load(void *arg, const struct lease_row *l)
{
	struct core *c = arg;

	/* The lease begins anew: monotonic time did not survive the restart. */
	lease_due_add(c, l, mono_add(c->now, l->lease_us));
	return ERR_OK;
}

void leases_load(struct core *c)
{
	if (store_lease_each(c->t, lease_load, c) == ERR_DAMAGED)
		c->mend = true;
}

static int by_lease(const void *a, const void *b)
{
	const struct lease_due *x = a, *y = b;

	if (x->arrival != y->arrival)
		return x->arrival < y->arrival ? -1 : 1;
	return (x->since.us > y->since.us) - (x->since.us < y->since.us);
}

void leases_keep(struct core *c, struct lease_due *old, size_t n)
{
	if (n)
		qsort(old, n, sizeof *old, by_lease);
	for (size_t i = 0; n && i < c->n_leases; i++) {
		const struct lease_due *d = bsearch(&c->leases[i], old, n, sizeof *old, by_lease);

		if (d)
			c->leases[i].at = d->at;
	}
	for (size_t i = c->n_leases / 2; i-- > 0;)
		heap_sift_down(c->leases, c->n_leases, i);
}

/* Back into its queue. seen: a desk may have seen it, so it goes first in its precedence and is marked. */
void lease_give_back(struct core *c, const struct lease_row *l, bool seen)
{
	struct buf events = BUF_EMPTY;
	struct msg_row row;
	enum err e = msg_load(c, &l->id, queue_site(c, l->place.queue), &row, &events);

	store_lease_del(c->t, l->place.arrival);
	if (e == ERR_DAMAGED)
		e = msg_mend(c, &l->place, LOC_LEASED, &row);
	if (e == ERR_DAMAGED) {
		deliver_count(c, &l->place, 0, -1);
		damage_found(c, l->place.arrival, "neither the message nor what was known of it can be read");
		goto out;
	}
	if (e)
		txn_fail(c->t, e);
	if (e || row.state != LOC_LEASED)
		goto out;
	deliver_count(c, &l->place, 1, -1);
	row.place = l->place;
	if (seen)
		row.place.fresh = 0;
	row.state = LOC_WAITING;
	store_place_put(c->t, &row.place, &row.id);
	deliver_before(c, &row.place);
	tally_of(c, row.flags)->returned++;
	report_here(c, &row, &events, EVENT_RETURNED, l->by, "");
out:
	buf_release(&events);
}

void deliver_leases(struct core *c)
{
	struct lease_row l;

	while (c->n_leases && !mono_before(c->now, c->leases[0].at)) {
		struct lease_due d = c->leases[0];

		c->leases[0] = c->leases[--c->n_leases];
		heap_sift_down(c->leases, c->n_leases, 0);
		lease_popped(c, &d);
		enum err e = store_lease_get(c->t, d.arrival, &l);

		if (e == ERR_DAMAGED)
			lease_mend(c, d.arrival);
		else if (!e && l.since.us == d.since.us && !assist_goes_on(c, &l))
			lease_give_back(c, &l, true);
	}
	leases_compact(c);
}

/* ---- handing out ------------------------------------------------------------------------------------------------------ */

enum err open_body(struct core *c, const struct entry_row *row, const struct envelope *env, struct buf *out)
{
	struct buf sealed = BUF_EMPTY;
	enum err e = store_body_get_part(c->t, row->body_class, row->body_no, PART_WHOLE, 0, &sealed);

	/* The seal covers every bit, header included: what opens is what was sealed. */
	if (!e)
		e = body_open(c->packer, &env->content_key, row->e.header, buf_view(&sealed), out);
	buf_release(&sealed);
	if (e == ERR_NOT_FOUND && packer_missing(c->packer)) {
		travel_missing(c, packer_missing(c->packer));
		return ERR_BUSY;
	}
	return e == ERR_AUTH ? ERR_DAMAGED : e;
}

void taken_fields(struct core *c, struct request_writer *w, const struct take *t, const struct msgid *id, const struct header *h, const struct envelope *env,
		  const struct msg_event *seen)
{
	char name[LIMIT_NAME_BYTES + 1], text[LIMIT_ADDRESS_BYTES + LIMIT_USER_BYTES + 8];
	struct queue *q = queue_by_local(c, t->queue);

	request_id(w, id);
	request_str(w, F_FROM, site_name(c, h->originator, name));
	snprintf(text, sizeof text, "%s/%s", site_name(c, q ? q->row.site : c->self, name), q ? q->row.name : "");
	request_str(w, F_QUEUE, text);
	request_field(w, F_TO, env->to);
	request_u8(w, F_PRECEDENCE, h->precedence);
	request_field(w, F_TYPE, env->type);
	request_field(w, F_LANG, env->lang);
	request_field(w, F_CHANNEL, env->channel);
	request_field(w, F_SUBJECT, env->subject);
	if (env->has_re)
		request_field(w, F_RE, view_of(env->re.b, MSGID_BYTES));
	request_u64(w, F_SENT, (uint64_t)h->sent.us);
	if (h->expires.us)
		request_u64(w, F_EXPIRES, (uint64_t)h->expires.us);
	request_u64(w, F_HANDLE_BY, (uint64_t)h->handle_by.us);
	request_u64(w, F_SIZE, env->body_bytes);
	request_field(w, F_EXERCISE, env->exercise);
	if (seen) {
		snprintf(text, sizeof text, "%s%s%.*s", site_name(c, seen->source, name), seen->by.len ? " by " : "", (int)seen->by.len, (const char *)seen->by.ptr);
		request_str(w, F_PERHAPS_SEEN, text);
	}
	request_field(w, F_PLAIN_HASH, view_of(env->body_plain_hash.b, HASH_BYTES));
}

static void lease(struct core *c, const struct take *t, struct msg_row *row, struct buf *events)
{
	struct lease_row l = {.place = row->place, .id = row->id, .lease_us = t->lease_us, .since = c->wall};

	memcpy(l.by, t->by, sizeof l.by);
	store_place_del(c->t, &row->place);
	store_lease_put(c->t, &l);
	lease_due_add(c, &l, mono_add(c->now, t->lease_us));
	deliver_count(c, &row->place, -1, 1);
	row->state = LOC_LEASED;
	tally_of(c, row->flags)->handed_out++;
	report_here(c, row, events, EVENT_HANDED_OUT, t->by, "");
}

/* What cannot be read is set aside; the queue goes on. */
static void set_aside(struct core *c, const struct place *p, const struct msgid *id, const char *why)
{
	struct buf events = BUF_EMPTY;
	struct msg_row row;

	store_place_del(c->t, p);
	deliver_count(c, p, -1, 0);
	if (msg_load(c, id, queue_site(c, p->queue), &row, &events) == ERR_OK) {
		row.state = LOC_NONE;
		row.place_arrival = 0;
		row.events = buf_view(&events);
		store_msg_put(c->t, &row);
	}
	damage_found(c, p->arrival, why);
	buf_release(&events);
}

enum handed { HANDED, SKIPPED, ANOTHERS, REMOVED };

/* Hands one message to a desk. The reply is written only when all of it could be read. */
static enum handed hand_out(struct core *c, struct take *t, const struct queue *q, const struct place *p, const struct msgid *id)
{
	struct buf events = BUF_EMPTY, body = BUF_EMPTY;
	struct entry_row entry;
	struct envelope env;
	struct msg_row row;
	struct header h;
	struct request_writer w;
	struct msg_event seen;
	enum handed result = REMOVED;
	enum err e = msg_load(c, id, q->row.site, &row, &events);

	if (e == ERR_DAMAGED)
		e = msg_mend(c, p, LOC_WAITING, &row);
	if (!e)
		e = store_entry_get(c->t, p->arrival, &entry);
	if (!e)
		e = header_decode(entry.e.header, &h);
	enum may may = e ? MAY : takeover_may(c, q, t->exercise, h.area, id, buf_view(&events));

	if (may != MAY) {
		result = may == NOT_MINE ? ANOTHERS : SKIPPED;
		goto out;
	}
	struct stream *s = e ? NULL : stream_by_local(c, entry.stream);

	/* It came back from a desk, or the work that takes it out has not come so far. */
	if (s && quarantine_holds(c, s, &entry)) {
		redo_add(c, s, entry.number, entry.number);
		result = SKIPPED;
		goto out;
	}
	if (!e)
		e = s ? open_envelope(c, s, &entry, &h, &env) : ERR_DAMAGED;
	if (!e && row.state != LOC_WAITING)
		e = ERR_DAMAGED;
	if (!e && t->exercise && !view_equal(env.exercise, view_str(t->exercise_name))) {
		result = SKIPPED;
		goto out;
	}
	if (!e && h.expires.us && h.expires.us <= c->wall.us && !c->clock_unsure && !(h.flags & HEADER_CLOCK_UNSURE)) {
		tally_of(c, h.flags)->expired++;
		report_here(c, &row, &events, EVENT_EXPIRED, "", "");
		goto out;
	}
	if (!e && !(h.flags & HEADER_CHUNKED) && entry.e.body_len)
		e = open_body(c, &entry, &env, &body);
	if (e == ERR_BUSY) {
		result = SKIPPED; /* until its dictionary is here */
		goto out;
	}
	if (e) {
		set_aside(c, p, id, err_text(e));
		goto out;
	}
	reply_begin(c, &w, REPLY_TAKEN, t->tag);
	taken_fields(c, &w, t, id, &h, &env, !p->fresh && events_find(buf_view(&events), EVENT_HANDED_OUT, &seen) ? &seen : NULL);
	request_u8(&w, F_REPLAYED, 0);
	if (h.flags & HEADER_CHUNKED)
		request_u64(&w, F_BODY_BYTES, env.body_bytes);
	else
		request_field(&w, F_BODY, buf_view(&body));
	reply_end(c, &w, t->client);
	lease(c, t, &row, &events);
	result = HANDED;
out:
	buf_release(&events);
	buf_release(&body);
	return result;
}

/* A place that cannot be read: its key says which entry stood there, and the entry says which message it is. */
static void place_mend(struct core *c, const struct place *p)
{
	struct entry_row entry;
	struct header h;

	store_place_del(c->t, p);
	if (store_entry_get(c->t, p->arrival, &entry) == ERR_OK && header_decode(entry.e.header, &h) == ERR_OK) {
		store_place_put(c->t, p, &h.id);
		return;
	}
	deliver_count(c, p, -1, 0);
	damage_found(c, p->arrival, "its place in a queue and the entry cannot be read");
}

static struct place queue_begin(struct take *t)
{
	t->part = -1;
	t->front = false;
	return (struct place){.queue = t->queue, .exercise = t->exercise, .handle_by_us = INT64_MIN};
}

/* The walk is at p. True when that begins a part of the queue, of which so much is known to be others' that it goes on behind. */
static bool pass_over(struct take *t, struct queue *q, const struct place *p)
{
	const struct passed *passed = passed_of(q, p);
	int part = 2 * p->precedence + p->fresh;

	if (t->part == part)
		return false;
	t->part = part;
	t->front = true;
	if (!passed || !passed->known || !place_before(p, &passed->from))
		return false;
	t->from = passed->from;
	return true;
}

/* At the end of a queue. True when the pass began in an earlier batch and something has come since, perhaps before it. */
static bool serve_again(struct take *t, const struct queue *q, bool resumed)
{
	t->going = false;
	if (!resumed || t->arrivals == q->arrivals)
		return false;
	t->from = queue_begin(t);
	t->arrivals = q->arrivals;
	return true;
}

/* Serves one take as far as it goes. False when the batch is large enough. */
static bool serve(struct core *c, struct take *t, struct queue *q, size_t *served, size_t bytes_from)
{
	bool resumed = t->going;
	struct place p;
	struct msgid id;

	if (!resumed) {
		t->from = queue_begin(t);
		t->arrivals = q->arrivals;
	}
	if (takeover_shut(c, q, t->exercise)) {
		t->going = false;
		return true;
	}
	for (size_t looked = 0; t->left; looked++) {
		t->going = looked >= SERVE_LOOKED_AT;
		if (t->going)
			return true;
		if (*served >= SERVE_MESSAGES || c->out->bytes.len - bytes_from > SERVE_BYTES)
			return false;
		enum err e = store_place_from(c->t, &t->from, &p, &id);

		if (e == ERR_DAMAGED && p.queue == t->queue) {
			place_mend(c, &p);
			t->from = p;
			continue;
		}
		if (e == ERR_NOT_FOUND && !serve_again(t, q, resumed))
			return t->exercise || replay_serve(c, t, served, bytes_from); /* behind all that is operational */
		if (e == ERR_NOT_FOUND)
			continue;
		if (e) {
			alarm_raise(c, "damage", "queue", "run `estafette journal verify`", "a queue of this node cannot be read: %s", err_text(e));
			return true;
		}
		if (enough_out(c, q, &p, 1))
			return true; /* and what is less urgent, or replayed, stays behind it */
		if (pass_over(t, q, &p))
			continue;
		enum handed h = hand_out(c, t, q, &p, &id);

		*served += h == HANDED || h == REMOVED;
		if (h == HANDED) {
			t->left--;
			looked = 0;
		} else {
			t->from = p;
			t->from.arrival++;
			t->front = t->front && h != SKIPPED;
			struct passed *passed = t->front && h == ANOTHERS ? passed_of(q, &p) : NULL;

			if (passed)
				*passed = (struct passed){.from = t->from, .known = true};
		}
	}
	return true;
}

void deliver_serve(struct core *c)
{
	size_t served = 0, bytes_from = c->out->bytes.len;
	bool all = true;

	if (c->recovering || c->rebuilding || c->stopping || takeover_grace(c, c->self, false))
		return;
	for (size_t i = 0; i < c->n_takes && all; i++) {
		struct take *t = &c->takes[i];
		struct queue *q = queue_by_local(c, t->queue);

		if (t->done || !q || !q->changed)
			continue;
		all = serve(c, t, q, &served, bytes_from);
		if (t->left == 0) {
			reply_done(c, t->client, t->tag, 0);
			t->done = true;
		}
	}
	c->restless = c->restless || served;
	if (!all) {
		c->serve_more = true; /* another commit, at once */
		return;
	}
	for (size_t i = 0; i < c->n_queues; i++)
		c->queues[i].changed = false;
	for (size_t i = 0; i < c->n_takes; i++) {
		struct queue *q = c->takes[i].going && !c->takes[i].done ? queue_by_local(c, c->takes[i].queue) : NULL;

		if (q)
			q->changed = c->serve_more = true;
	}
}

/* ---- requests --------------------------------------------------------------------------------------------------------------- */

/* Whose dead letters are meant by "cic-luik/dead-letters": of this site, or of one that it holds for; 0 when it is another queue. */
static uint16_t dead_letters_of(const struct core *c, const char *full)
{
	const char *slash = strchr(full, '/');
	const struct site *s = slash && strcmp(slash, "/dead-letters") == 0 ? roster_site_by_id(c->roster, view_of(full, (size_t)(slash - full))) : NULL;

	return s && (is_custodian(c, c->self, s->number, false) || is_custodian(c, c->self, s->number, true)) ? s->number : 0;
}

/* "cic-luik/dispatch", "eupen/dispatch" or, at home, "dispatch". */
struct queue *queue_of_request(struct core *c, struct view text, struct errmsg *m)
{
	struct address *a = malloc(sizeof *a);
	struct queue *q = NULL;
	char full[2 * LIMIT_ADDRESS_BYTES + 2];
	bool bare = !memchr(text.ptr ? (const void *)text.ptr : "", '/', text.len);

	snprintf(full, sizeof full, "%s%s%.*s", bare ? c->me->id : "", bare ? "/" : "", text.len > LIMIT_ADDRESS_BYTES ? LIMIT_ADDRESS_BYTES : (int)text.len,
		 text.ptr ? (const char *)text.ptr : "");
	uint16_t dead = dead_letters_of(c, full);

	if (!a) {
		err_set(m, ERR_NOMEM, "queue: out of memory");
	} else if (dead) {
		q = queue_get(c, dead, view_str("dead-letters"));
	} else if (roster_resolve(c->roster, view_str(full), a, m) == ERR_OK) {
		char other[LIMIT_NAME_BYTES + 1];

		if (a->n_sites != 1 || a->group)
			err_set(m, ERR_REFUSED, "queue %s: a group has no queue (take from a queue of this site)", full);
		else if (!is_custodian(c, c->self, a->sites[0], false) && !is_custodian(c, c->self, a->sites[0], true))
			err_set(m, ERR_REFUSED, "queue %s: it is served by %s, not here (take it there)", full, site_name(c, a->sites[0], other));
		else
			q = queue_get(c, a->sites[0], view_str(a->queue)); /* a standby's desk waits for the order */
	}
	free(a);
	return q;
}

static enum err take_fields(struct core *c, const struct request *rq, struct take *t, struct errmsg *m)
{
	struct view fields = rq->fields;
	struct request_item f;
	struct queue *q = NULL;
	enum err e;

	while ((e = request_next(&fields, &f)) == ERR_OK) {
		if (item_check(&f, "take", m))
			return m->code;
		if (f.field == F_QUEUE && !(q = queue_of_request(c, f.value, m)))
			return m->code;
		if (f.field == F_COUNT)
			t->left = item_u32(&f);
		if (f.field == F_LEASE_US)
			t->lease_us = (int64_t)item_u64(&f);
		if (f.field == F_EXERCISE) {
			t->exercise = f.value.len > 0;
			if (!view_to_str(f.value, t->exercise_name, sizeof t->exercise_name))
				return err_set(m, ERR_TOO_LARGE, "exercise: at most %d bytes", LIMIT_NAME_BYTES);
		}
	}
	if (e != ERR_NOT_FOUND || !q)
		return err_set(m, ERR_FORMAT, "take: a queue is needed");
	const struct queue *of = queue_by_local(c, q->row.local);
	char at[LIMIT_NAME_BYTES + 1];

	/* A successor in an exercise has nothing to do with what else stands in that queue, and the other way round. */
	if (!is_custodian(c, c->self, of->row.site, t->exercise))
		return err_set(m, ERR_REFUSED, "queue %s/%s: %s is not served here (take it there)", site_name(c, of->row.site, at), of->row.name,
			       t->exercise ? "its exercise traffic" : "what is no exercise");
	if (t->lease_us <= 0 || t->lease_us > LIMIT_LEASE_US)
		return err_set(m, ERR_RANGE, "lease: up to a day");
	t->queue = q->row.local;
	q->changed = true;
	return ERR_OK;
}

static size_t takes_of(const struct core *c, uint64_t client)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_takes; i++)
		n += c->takes[i].client == client && !c->takes[i].done;
	return n;
}

void take_request(struct core *c, struct client *cl, const struct request *rq)
{
	struct take t = {.client = cl->id, .tag = rq->tag, .left = 1, .lease_us = c->config.lease_us};
	struct errmsg m = {0};
	enum err e = cl->rights.may_take ? take_fields(c, rq, &t, &m)
					 : err_set(&m, ERR_NOT_PERMITTED, "take: %s may not take (see `clients` in node.conf)", cl->rights.name);

	if (!e && takes_of(c, cl->id) >= LIMIT_CLIENT_TAKES)
		e = err_set(&m, ERR_BUSY, "take: %d are open on this connection already (stop one first)", LIMIT_CLIENT_TAKES);
	if (e) {
		reply_error(c, cl->id, rq->tag, e, "%s", m.text);
		return;
	}
	memcpy(t.by, cl->rights.name, sizeof t.by);
	t.left_committed = t.left;
	struct take *slot = array_grow(&c->takes, &c->n_takes, sizeof *slot);

	if (slot)
		*slot = t;
	else
		txn_fail(c->t, ERR_NOMEM);
}

void take_stop(struct core *c, struct client *cl, const struct request *rq)
{
	for (size_t i = 0; i < c->n_takes; i++)
		if (c->takes[i].client == cl->id && c->takes[i].tag == rq->tag)
			c->takes[i].done = true;
	reply_done(c, cl->id, rq->tag, 0);
}

void deliver_forget_client(struct core *c, uint64_t client)
{
	for (size_t i = 0; i < c->n_takes; i++)
		if (c->takes[i].client == client)
			c->takes[i].done = true;
}
