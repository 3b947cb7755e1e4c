/* assist.c - a centre that is overrun but alive lends a part of a queue to a standby, by hand or by policy.
 *
 * What is lent stays out of the queue like something that a desk has: the standby, which holds entry, key and reports already, hands it
 * to desks that take from this site's queue there. It ends when it is read there, or comes back when the time is over. */
#include <stdio.h>

#include "node/core/core_int.h"

/* So long a standby has what was lent; while a desk there has it in hand it is not taken back. */
#define LENT_US (30 * 60 * US_PER_S)
#define LENT_AGAIN_US (5 * 60 * US_PER_S)
/* Looked at in one request, and lent in one look of the policy. */
#define LEND_LOOKED_AT 4096
#define LEND_AT_ONCE 64
#define POLICY_US (5 * US_PER_S)

static bool may_lend(const struct core *c, const struct site *to, struct view lang)
{
	return lang.len ? view_equal(lang, view_str(to->lang)) : strcmp(to->lang, c->me->lang) == 0;
}

static void lend(struct core *c, const struct place *p, struct msg_row *row, struct buf *events, const struct site *to)
{
	struct lease_row l = {.place = *p, .id = row->id, .lease_us = LENT_US, .since = c->wall};
	struct queue *q = queue_by_local(c, p->queue);

	snprintf(l.by, sizeof l.by, "lent to %s", to->id);
	store_place_del(c->t, p);
	store_lease_put(c->t, &l);
	lease_due_add(c, &l, mono_add(c->now, l.lease_us));
	if (q) {
		q->row.waiting[p->exercise][p->precedence]--;
		q->row.leased[p->exercise][p->precedence]++;
		q->dirty = true;
	}
	row->state = LOC_LEASED;
	c->restless = true;
	report_here(c, row, events, EVENT_LENT, to->id, "");
}

/* Lends what stands at p when it may be. by_policy: only once. */
static bool lend_one(struct core *c, const struct place *p, const struct msgid *id, const struct site *to, bool by_policy)
{
	struct buf events = BUF_EMPTY;
	struct entry_row entry;
	struct envelope env;
	struct msg_row row;
	struct msg_event before;
	struct header h;
	bool lent = false;

	if (msg_load(c, id, c->self, &row, &events) || row.state != LOC_WAITING || store_entry_get(c->t, p->arrival, &entry))
		goto out;
	struct stream *s = stream_by_local(c, entry.stream);

	if (!s || open_envelope(c, s, &entry, &h, &env) || !may_lend(c, to, env.lang))
		goto out;
	if (by_policy && events_find(buf_view(&events), EVENT_LENT, &before))
		goto out;
	const struct queue *q = queue_by_local(c, p->queue);

	if (!q || enough_out(c, q, p, 2) || takeover_may(c, q, p->exercise, h.area, id, buf_view(&events)) != MAY)
		goto out;
	lend(c, p, &row, &events, to);
	lent = true;
out:
	buf_release(&events);
	return lent;
}

/* In the order in which the queue is handed out. Returns how many. */
static uint32_t lend_some(struct core *c, struct queue *q, const struct site *to, uint32_t count, bool by_policy)
{
	struct place from = {.queue = q->row.local, .handle_by_us = INT64_MIN}, p;
	struct msgid id;
	uint32_t n = 0;

	for (size_t looked = 0; n < count && looked < LEND_LOOKED_AT; looked++) {
		if (store_place_from(c->t, &from, &p, &id))
			break;
		n += lend_one(c, &p, &id, to, by_policy);
		from = p;
		from.arrival++;
	}
	return n;
}

bool assist_goes_on(struct core *c, struct lease_row *l)
{
	struct buf events = BUF_EMPTY;
	struct msg_row row;
	bool on = false;

	if (strncmp(l->by, "lent to ", 8) != 0 || queue_site(c, l->place.queue) != c->self)
		return false;
	const struct site *to = roster_site_by_id(c->roster, view_str(l->by + 8));
	const struct peer *p = to ? peer_find(c, to->number) : NULL;

	if (p && peer_up(c, p) && msg_load(c, &l->id, c->self, &row, &events) == ERR_OK)
		on = leased_at(c, buf_view(&events)) == to->number;
	buf_release(&events);
	if (!on)
		return false;
	l->lease_us = LENT_AGAIN_US;
	l->since = c->wall;
	store_lease_put(c->t, l);
	lease_due_add(c, l, mono_add(c->now, l->lease_us));
	return true;
}

/* ---- by hand --------------------------------------------------------------------------------------------------- */

static enum err assist_fields(struct core *c, const struct request *rq, struct queue **q, const struct site **to, uint32_t *count, struct errmsg *m)
{
	struct view fields = rq->fields;
	struct request_item f;
	struct errmsg why = {0};

	*count = LEND_AT_ONCE;
	while (request_next(&fields, &f) == ERR_OK) {
		if (item_check(&f, "assist", m))
			return m->code;
		if (f.field == F_QUEUE && !(*q = queue_of_request(c, f.value, &why)))
			return err_set(m, why.code, "%s", why.text);
		if (f.field == F_TO && !(*to = roster_site_by_id(c->roster, f.value)))
			return err_set(m, ERR_UNKNOWN_SITE, "assist: \"%.*s\" is not a site of this network (see `estafette links`)", (int)f.value.len, (const char *)f.value.ptr);
		if (f.field == F_COUNT)
			*count = item_u32(&f);
	}
	if (!*q || !*to)
		return err_set(m, ERR_USAGE, "assist: a queue and a site are needed (assist QUEUE --to SITE)");
	if ((*q)->row.site != c->self)
		return err_set(m, ERR_REFUSED, "assist: only a site's own queues can be lent, and there");
	if (!site_is_standby_of(*to, c->me))
		return err_set(m, ERR_REFUSED, "assist: %s is no standby of %s: it holds neither messages nor keys (its standbys are in `estafette roster show`)",
			       (*to)->id, c->me->id);
	const struct peer *p = peer_find(c, (*to)->number);

	if (!p || !peer_up(c, p))
		return err_set(m, ERR_REFUSED, "assist: %s is not reached now, and what is lent to it would lie there (see `estafette links`; or relocate)", (*to)->id);
	return ERR_OK;
}

void assist_request(struct core *c, struct client *cl, const struct request *rq)
{
	struct queue *q = NULL;
	const struct site *to = NULL;
	struct errmsg m = {0};
	uint32_t count = 0;
	enum err e = cl->rights.may_operate ? assist_fields(c, rq, &q, &to, &count, &m)
					    : err_set(&m, ERR_NOT_PERMITTED, "assist: this user may not operate the node (see `clients` in node.conf)");

	if (!e && (c->recovering || c->rebuilding))
		e = err_set(&m, ERR_BUSY, "assist: this node's journal was lost and is not back yet (see `estafette alarms`)");
	if (e) {
		reply_error(c, cl->id, rq->tag, e, "%s", m.text);
		return;
	}
	uint32_t n = lend_some(c, q, to, count, false);

	effect_log(c->out, 5, "assist: %u messages of %s lent to %s by %s", n, q->row.name, to->id, cl->rights.name);
	reply_done(c, cl->id, rq->tag, n);
}

/* ---- by policy -------------------------------------------------------------------------------------------------- */

static uint64_t waiting(const struct queue *q)
{
	uint64_t n = 0;

	for (unsigned p = 0; p < PREC_COUNT; p++)
		n += q->row.waiting[0][p];
	return n;
}

/* How long the oldest waits; the first of each precedence is the oldest of it, near enough for a policy. */
static int64_t oldest(struct core *c, const struct queue *q)
{
	int64_t age = 0;

	for (uint8_t prec = 0; prec < PREC_COUNT; prec++) {
		struct place from = {.queue = q->row.local, .precedence = prec, .handle_by_us = INT64_MIN}, p;
		struct msgid id;

		if (store_place_from(c->t, &from, &p, &id) == ERR_OK && p.precedence == prec && c->wall.us - msgid_time(&id).us > age)
			age = c->wall.us - msgid_time(&id).us;
	}
	return age;
}

/* The standby of our language that is reached and has the least of ours to do. */
static const struct site *standby_free(struct core *c)
{
	const struct site *best = NULL;
	int64_t least = INT64_MAX;

	for (size_t i = 0; i < c->me->n_standbys; i++) {
		const struct site *s = roster_site(c->roster, c->me->standbys[i]);
		const struct peer *p = s ? peer_find(c, s->number) : NULL;

		if (!p || !peer_up(c, p) || strcmp(s->lang, c->me->lang) != 0 || site_revoked(c, s->number) || p->lent >= least)
			continue;
		best = s;
		least = p->lent;
	}
	return best;
}

void assist_policy(struct core *c, int waiting, int64_t oldest_us, int stop)
{
	c->config.assist_waiting = waiting;
	c->config.assist_oldest_us = oldest_us;
	c->config.assist_stop = stop;
	c->look_at = c->now;
}

struct mono assist_look(struct core *c)
{
	const struct core_config *k = &c->config;

	if ((!k->assist_waiting && !k->assist_oldest_us) || c->recovering || c->rebuilding || c->stopping)
		return MONO_NEVER;
	for (size_t i = 0; i < c->n_queues; i++) {
		struct queue *q = &c->queues[i];
		uint64_t n = waiting(q);

		if (q->row.site != c->self || !q->served[0] || !n || n <= (uint64_t)k->assist_stop)
			continue;
		if (!(k->assist_waiting && n > (uint64_t)k->assist_waiting) && !(k->assist_oldest_us && oldest(c, q) > k->assist_oldest_us))
			continue;
		const struct site *to = standby_free(c);
		uint64_t want = n - (uint64_t)k->assist_stop;
		uint32_t lent = to ? lend_some(c, q, to, want < LEND_AT_ONCE ? (uint32_t)want : LEND_AT_ONCE, true) : 0;

		if (lent) {
			peer_find(c, to->number)->lent += lent;
			effect_log(c->out, 5, "assist: %llu wait in %s: %u lent to %s", (unsigned long long)n, q->row.name, lent, to->id);
		}
	}
	return mono_add(c->now, POLICY_US);
}
