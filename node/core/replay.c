/* replay.c - the steps of a replay: which messages of a queue are put beside a queue once more.
 *
 * Of the entries of the time range those count that a desk read or refused, that can be opened, and whose body is here whole. What still
 * waits or is out at a desk will be handed out anyhow, what expired or was cancelled was not to be, and of the rest it is said why. */
#include <stdio.h>

#include "node/core/show_int.h"

/* Of one request, which is one commit. */
#define LOOKED_AT 8192
#define OPENED 512
#define STEP_DEFAULT 64
#define STEP_MOST 256

/* Stored as they stand here: new ones go to the end. */
enum count_of { SKIP_WAITING, SKIP_ENDED, SKIP_SEALED, SKIP_QUARANTINED, SKIP_DAMAGED, SKIP_GONE, SKIP_ELSEWHERE, SKIPS };
static const char *const skip_name[SKIPS] = {"waiting", "ended", "sealed", "quarantined", "damaged", "gone", "elsewhere"};

/* How far it has come; kept in the journal under the hash of what was asked for. */
struct job {
	uint64_t number, next, upto;  /* next: the first entry not looked at yet */
	struct wall began;
	char by[LIMIT_USER_BYTES + 1];
	uint64_t replayed[PREC_COUNT], skipped[SKIPS];
};

struct asked {
	uint32_t from, into;          /* local numbers of the queues: a pointer would move when another is made */
	int64_t since_us, until_us;   /* 0: any */
	int precedence;               /* -1: any */
	uint16_t originator;          /* 0: any */
	struct view channel;
	char why[LIMIT_REASON_BYTES + 1], by[LIMIT_USER_BYTES + 1];
	uint32_t count;
	uint64_t next;                /* of a dry run */
	bool dry, last;
};

/* ---- the job ---------------------------------------------------------------------------------------------------------- */

static struct hash what_of(const struct asked *a)
{
	uint8_t bytes[64 + LIMIT_NAME_BYTES];
	struct wr w = wr_init(bytes, sizeof bytes);

	wr_u32(&w, a->from);
	wr_u32(&w, a->into);
	wr_i64(&w, a->since_us);
	wr_i64(&w, a->until_us);
	wr_u8(&w, (uint8_t)(a->precedence + 1));
	wr_u16(&w, a->originator);
	wr_bytes(&w, a->channel);
	return crypt_hash(HASH_RECORD, view_of(bytes, wr_len(&w)));
}

static void job_store(struct core *c, const struct hash *what, const struct job *j)
{
	uint8_t bytes[256 + 8 * (PREC_COUNT + SKIPS)];
	struct wr w = wr_init(bytes, sizeof bytes);

	wr_u8(&w, 1); /* version */
	wr_u64(&w, j->number);
	wr_u64(&w, j->next);
	wr_u64(&w, j->upto);
	wr_i64(&w, j->began.us);
	wr_vec8(&w, view_str(j->by));
	for (int i = 0; i < PREC_COUNT; i++)
		wr_u64(&w, j->replayed[i]);
	for (int i = 0; i < SKIPS; i++)
		wr_u64(&w, j->skipped[i]);
	store_replay_job_put(c->t, what, view_of(bytes, wr_len(&w)));
}

/* ERR_NOT_FOUND: it is to begin. */
static enum err job_load(struct core *c, const struct hash *what, struct job *j)
{
	struct view blob;
	enum err e = store_replay_job_get(c->t, what, &blob);

	if (e)
		return e;
	struct rd r = rd_init(blob);

	if (rd_u8(&r) != 1)
		return ERR_VERSION;
	j->number = rd_u64(&r);
	j->next = rd_u64(&r);
	j->upto = rd_u64(&r);
	j->began.us = rd_i64(&r);
	view_to_str(rd_vec8(&r, LIMIT_USER_BYTES), j->by, sizeof j->by);
	for (int i = 0; i < PREC_COUNT; i++)
		j->replayed[i] = rd_u64(&r);
	for (int i = 0; i < SKIPS; i++)
		j->skipped[i] = rd_u64(&r);
	return rd_done(&r) ? ERR_DAMAGED : ERR_OK;
}

static void job_begin(struct core *c, const struct asked *a, struct job *j)
{
	*j = (struct job){.number = (uint64_t)c->wall.us, .next = a->dry ? a->next : 1, .upto = store_last_arrival(c->t), .began = c->wall};
	memcpy(j->by, a->by, sizeof j->by);
}

/* ---- one entry ---------------------------------------------------------------------------------------------------------- */

static bool selected(const struct asked *a, const struct header *h)
{
	return h->kind == KIND_MESSAGE && (!a->since_us || h->sent.us >= a->since_us) && (!a->until_us || h->sent.us < a->until_us) &&
	       (a->precedence < 0 || h->precedence == a->precedence) && (!a->originator || h->originator == a->originator);
}

/* Whether what is there can be handed out again; SKIPS: it can. */
static enum count_of openable(struct core *c, struct stream *s, const struct entry_row *row, const struct header *h, const struct envelope *env)
{
	struct buf body = BUF_EMPTY;
	enum err e = ERR_OK;

	if (quarantine_holds(c, s, row))
		return SKIP_QUARANTINED;
	if (row->e.body_len && !row->body_no)
		return SKIP_GONE;
	if (row->e.body_len && !(h->flags & HEADER_CHUNKED))
		e = open_body(c, row, env, &body);
	buf_release(&body);
	return e == ERR_BUSY ? SKIP_SEALED : e ? SKIP_DAMAGED : SKIPS;
}

/* Whether it was handed out and is over; SKIPS: it is. */
static enum count_of over(struct core *c, const struct msg_row *m, struct view events)
{
	struct msg_row row = *m;
	uint8_t which;

	row.events = events;
	if (m->state != LOC_NONE || !events_ended(c, events, m->originator, m->addressee, false, &which))
		return SKIP_WAITING;
	if (which != EVENT_READ && which != EVENT_REFUSED)
		return SKIP_ENDED;
	return handled_too(c, &row, which) ? SKIP_WAITING : SKIPS; /* one that a desk here may still have in hand */
}

static void copy_put(struct core *c, const struct asked *a, const struct job *j, struct msg_row *m, struct buf *events)
{
	struct queue *q = queue_by_local(c, a->into);
	struct replay_copy copy = {.at = {.queue = a->into, .precedence = m->precedence, .arrival = m->arrival, .job = j->number}, .id = m->id};

	memcpy(copy.by, a->by, sizeof copy.by);
	memcpy(copy.why, a->why, sizeof copy.why);
	store_replay_put(c->t, &copy);
	if (q)
		q->changed = true;
	report_here(c, m, events, EVENT_REPLAYED, a->by, a->why);
}

/* A message of that queue that is fit: SKIPS, and it is placed unless this is a dry run. */
static enum count_of message(struct core *c, const struct asked *a, const struct job *j, const struct queue *from, struct stream *s, struct entry_row *row,
			     const struct header *h, const struct envelope *env)
{
	struct buf events = BUF_EMPTY;
	struct msg_row m;
	enum count_of skip = SKIP_DAMAGED;

	if (owner_of(c, from->row.site, false, env->queue, h->area, &h->id) != c->self)
		return SKIP_ELSEWHERE;
	if (msg_load(c, &h->id, from->row.site, &m, &events) == ERR_OK && m.arrival == row->arrival) {
		skip = over(c, &m, buf_view(&events));
		if (skip == SKIPS)
			skip = openable(c, s, row, h, env);
		if (skip == SKIPS && !a->dry)
			copy_put(c, a, j, &m, &events);
	}
	buf_release(&events);
	return skip;
}

/* True when it was opened. *placed: one more of this step. */
static bool look_at(struct core *c, const struct asked *a, struct job *j, uint64_t arrival, uint32_t *placed)
{
	const struct queue *from = queue_by_local(c, a->from);
	struct entry_row row;
	struct envelope env;
	struct header h;
	enum err e = store_entry_get(c->t, arrival, &row);

	if (e == ERR_DAMAGED)
		j->skipped[SKIP_DAMAGED]++; /* of which queue it was nobody can say */
	struct stream *s = e ? NULL : stream_by_local(c, row.stream);

	if (!s || !from || s->row.name.exercise || s->row.name.addressee != from->row.site || header_decode(row.e.header, &h) || !selected(a, &h))
		return false;
	if (row.e.flags & ENTRY_STUB) {
		j->skipped[SKIP_GONE]++;
		return false;
	}
	e = open_envelope(c, s, &row, &h, &env);
	if (e) {
		j->skipped[e == ERR_KEY ? SKIP_SEALED : SKIP_DAMAGED]++;
		return true;
	}
	if (!view_equal(env.queue, view_str(from->row.name)) || (a->channel.len && !view_equal(a->channel, env.channel)))
		return true;
	enum count_of skip = message(c, a, j, from, s, &row, &h, &env);

	if (skip == SKIPS) {
		j->replayed[h.precedence]++;
		++*placed;
	} else {
		j->skipped[skip]++;
	}
	return true;
}

static uint32_t step(struct core *c, const struct asked *a, struct job *j)
{
	uint32_t placed = 0, opened = 0;

	for (uint64_t looked = 0; j->next <= j->upto && looked < LOOKED_AT && opened < OPENED && placed < a->count && !txn_error(c->t); looked++)
		opened += look_at(c, a, j, j->next++, &placed);
	return placed;
}

/* ---- the request ---------------------------------------------------------------------------------------------------------- */

static enum err queue_named(struct core *c, struct view text, uint32_t *local, struct errmsg *m)
{
	struct queue *q = queue_of_request(c, text, m);
	char site[LIMIT_NAME_BYTES + 1];

	if (!q)
		return m->code;
	*local = q->row.local;
	if (!q->served[0])
		return err_set(m, ERR_REFUSED, "replay: %s/%s is not served here now (replay it where it is)", site_name(c, q->row.site, site), q->row.name);
	return ERR_OK;
}

static enum err one_field(struct core *c, const struct request_item *f, struct asked *a, struct errmsg *m)
{
	const struct site *s;

	if (item_check(f, "replay", m))
		return m->code;
	switch (f->field) {
	case F_QUEUE: return queue_named(c, f->value, &a->from, m);
	case F_TO: return queue_named(c, f->value, &a->into, m);
	case F_SINCE: a->since_us = (int64_t)item_u64(f); break;
	case F_UNTIL: a->until_us = (int64_t)item_u64(f); break;
	case F_PRECEDENCE: a->precedence = item_u8(f); break;
	case F_CHANNEL: a->channel = f->value; break;
	case F_COUNT: a->count = item_u32(f); break;
	case F_NUMBER: a->next = item_u64(f) ? item_u64(f) : 1; break;
	case F_DRY: a->dry = item_u8(f) != 0; break;
	case F_LAST: a->last = item_u8(f) != 0; break;
	case F_REASON: view_to_str(f->value, a->why, sizeof a->why); break;
	case F_FROM:
		s = roster_site_by_id(c->roster, f->value);
		if (!s)
			return err_set(m, ERR_UNKNOWN_SITE, "replay: %.*s: no such site in the roster", (int)f->value.len, (const char *)f->value.ptr);
		a->originator = s->number;
		break;
	default: break;
	}
	return ERR_OK;
}

static enum err fields(struct core *c, const struct client *cl, const struct request *rq, struct asked *a, struct errmsg *m)
{
	struct view rest = rq->fields;
	struct request_item f;
	enum err e;

	*a = (struct asked){.precedence = -1, .count = STEP_DEFAULT, .next = 1};
	memcpy(a->by, cl->rights.name, sizeof a->by);
	while ((e = request_next(&rest, &f)) == ERR_OK)
		if ((e = one_field(c, &f, a, m)) != ERR_OK)
			return e;
	if (e != ERR_NOT_FOUND)
		return err_set(m, e, "replay: %s", err_text(e));
	if (!a->from)
		return err_set(m, ERR_FORMAT, "replay: a queue is needed");
	if (a->since_us && a->until_us && a->since_us >= a->until_us)
		return err_set(m, ERR_RANGE, "replay: the range ends before it begins");
	a->into = a->into ? a->into : a->from;
	a->count = a->count < 1 ? 1 : a->count > STEP_MOST ? STEP_MOST : a->count;
	return ERR_OK;
}

static enum err may_replay(struct core *c, const struct client *cl, struct errmsg *m)
{
	if (!cl->rights.may_operate)
		return err_set(m, ERR_NOT_PERMITTED, "replay: %s may not operate the node (see `clients` in node.conf)", cl->rights.name);
	if (c->recovering || c->rebuilding)
		return err_set(m, ERR_BUSY, "replay: this node's journal was lost and is not back yet (see `estafette alarms`)");
	return ERR_OK;
}

static void answer(struct core *c, struct client *cl, const struct request *rq, const struct job *j, uint32_t now)
{
	struct rows r = {.c = c, .client = cl->id, .tag = rq->tag};
	uint64_t all = 0;

	for (int i = 0; i < PREC_COUNT; i++)
		all += j->replayed[i];
	row_begin(&r);
	row_number(&r, "replayed", (int64_t)all);
	row_number(&r, "now", now);
	for (unsigned i = 0; i < PREC_COUNT; i++)
		row_number(&r, precedence_name(i), (int64_t)j->replayed[i]);
	for (int i = 0; i < SKIPS; i++)
		row_number(&r, skip_name[i], (int64_t)j->skipped[i]);
	row_time(&r, "began", j->began);
	row_text(&r, "by", j->by);
	row_number(&r, "next", j->next > j->upto ? 0 : (int64_t)j->next);
	row_end(&r);
	reply_done(c, cl->id, rq->tag, r.n);
}

void replay_request(struct core *c, struct client *cl, const struct request *rq)
{
	struct errmsg m = {0};
	struct asked a;
	struct job j;
	uint32_t now = 0;
	enum err e = may_replay(c, cl, &m);

	if (!e)
		e = fields(c, cl, rq, &a, &m);
	if (e) {
		reply_error(c, cl->id, rq->tag, e, "%s", m.text[0] ? m.text : err_text(e));
		return;
	}
	if (!a.dry && !a.last && !space_admits(c, PREC_ROUTINE)) {
		reply_busy(c, cl->id, rq->tag, "a replay");
		return;
	}
	struct hash what = what_of(&a);

	/* One that cannot be read is begun anew. */
	if (a.dry || job_load(c, &what, &j))
		job_begin(c, &a, &j);
	if (!a.last)
		now = step(c, &a, &j);
	if (a.last)
		store_replay_job_del(c->t, &what);
	else if (!a.dry)
		job_store(c, &what, &j);
	if (now && !a.dry)
		effect_log(c->out, 5, "replay: %u messages by %s%s%s", now, a.by, a.why[0] ? ": " : "", a.why);
	answer(c, cl, rq, &j, now);
}
