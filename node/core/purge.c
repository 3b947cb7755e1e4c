/* purge.c - what an exercise left: its messages go out of this journal.
 *
 * Of a message entry the header and the hashes stay, as a stub, so that its stream's chain still verifies and who lacks the entry
 * gets the stub. Envelope and body go, with the place in a queue, lease, conflict and alarms. A request looks at a part of the
 * journal and says where the next one goes on, so a purge that broke off is simply begun again: what is a stub is passed over. */
#include <stdio.h>

#include "node/core/show_int.h"

/* Of one request, which is one commit. */
#define LOOKED_AT 8192
#define PURGED_AT_ONCE 128

struct purge {
	struct view exercise;
	bool dry;
	uint64_t next;                        /* arrival of the first entry that is not looked at yet; 0: none is left */
	uint64_t purged, waiting, sealed, bytes;
};

static void missing_gone(struct core *c, struct stream *s, const struct entry_row *row)
{
	struct body_row part;
	uint16_t n = 0;

	store_missing_del(c->t, s->row.local, row->number);
	for (uint16_t i = 0; i < s->n_missing; i++)
		if (s->missing[i] != row->number)
			s->missing[n++] = s->missing[i];
	s->n_missing = n;
	stream_advanced(c, s);
	if (store_body_find(c->t, row->body_class, &row->e.body_hash, &part) == ERR_OK && !part.refs)
		submit_trash(c, part.class, part.body_no);
	bodies_gone(c);
}

static void body_gone(struct core *c, struct stream *s, const struct entry_row *row)
{
	struct body_row apart;

	if (!row->e.body_len)
		return;
	if (!row->body_no) {
		missing_gone(c, s, row);
	} else if (store_body_row(c->t, row->body_class, row->body_no, &apart) == ERR_OK) {
		apart.refs -= apart.refs > 0;
		store_body_put_row(c->t, &apart);
		if (!apart.refs)
			submit_trash(c, apart.class, apart.body_no);
	} else {
		while (!store_body_del(c->t, row->body_class, row->body_no, 64))
			;
	}
}

static void told_no_more(struct core *c, const struct msgid *id, uint16_t addressee)
{
	char text[MSGID_TEXT_BYTES];

	msgid_format(id, text);
	store_conflict_del(c->t, id, addressee);
	alarm_clear(c, alarm_kind(true, "dead-letter"), text);
	if (!conflict_known(c, id))
		alarm_clear(c, alarm_kind(true, "conflict"), text);
}

void purge_message(struct core *c, struct stream *s, const struct entry_row *row, const struct header *h)
{
	struct buf events = BUF_EMPTY;
	struct msg_row msg;

	body_gone(c, s, row);
	store_quarantine_del(c->t, row->arrival);
	if (h->expires.us) {
		store_expiry_del(c->t, h->expires, row->arrival);
		c->expires_known = false;
	}
	if (msg_load(c, &h->id, s->row.name.addressee, &msg, &events) == ERR_OK && msg.arrival == row->arrival) {
		deliver_remove(c, &msg);
		msg.events = buf_view(&events);
		store_msg_put(c->t, &msg);
	}
	buf_release(&events);
	told_no_more(c, &h->id, s->row.name.addressee);
	store_entry_stub(c->t, row->arrival);
}

static void look_at(struct core *c, struct purge *p, uint64_t arrival)
{
	struct entry_row row;
	struct envelope env;
	struct header h;
	struct msg_row msg;

	if (store_entry_get(c->t, arrival, &row) || (row.e.flags & ENTRY_STUB))
		return;
	struct stream *s = stream_by_local(c, row.stream);

	if (!s || !s->row.name.exercise || header_decode(row.e.header, &h) || h.kind != KIND_MESSAGE)
		return;
	if (open_envelope(c, s, &row, &h, &env)) {
		p->sealed++;
		return;
	}
	if (!view_equal(env.exercise, p->exercise))
		return;
	p->purged++;
	p->bytes += row.body_no ? row.e.body_len : 0;
	if (store_msg_get(c->t, &h.id, s->row.name.addressee, &msg) == ERR_OK && msg.state != LOC_NONE)
		p->waiting++;
	if (!p->dry) {
		row.e.header = row.e.envelope = view_of(NULL, 0); /* they end with the first write */
		purge_message(c, s, &row, &h);
	}
}

static void step(struct core *c, struct purge *p)
{
	uint64_t last = store_last_arrival(c->t), from = p->next;

	while (p->next <= last && p->next - from < LOOKED_AT && (p->dry || p->purged < PURGED_AT_ONCE) && !txn_error(c->t))
		look_at(c, p, p->next++);
	if (p->next > last)
		p->next = 0;
}

static enum err purge_fields(struct view fields, struct purge *p, struct errmsg *m)
{
	struct request_item f;

	p->next = 1;
	while (request_next(&fields, &f) == ERR_OK) {
		if (item_check(&f, "purge", m))
			return m->code;
		if (f.field == F_EXERCISE)
			p->exercise = f.value;
		if (f.field == F_NUMBER)
			p->next = item_u64(&f) ? item_u64(&f) : 1;
		if (f.field == F_DRY)
			p->dry = item_u8(&f) != 0;
	}
	return p->exercise.len ? ERR_OK : err_set(m, ERR_FORMAT, "purge: the name of an exercise is needed (purge --exercise NAME)");
}

void purge_request(struct core *c, struct client *cl, const struct request *rq)
{
	struct rows r = {.c = c, .client = cl->id, .tag = rq->tag};
	struct purge p = {.exercise = view_of(NULL, 0)};
	struct errmsg m = {0};
	enum err e = cl->rights.may_operate ? purge_fields(rq->fields, &p, &m)
					    : err_set(&m, ERR_NOT_PERMITTED, "purge: %s may not operate the node (see `clients` in node.conf)", cl->rights.name);

	if (!e && (c->recovering || c->rebuilding))
		e = err_set(&m, ERR_BUSY, "purge: this node's journal was lost and is not back yet (see `estafette alarms`)");
	if (e) {
		reply_error(c, cl->id, rq->tag, e, "%s", m.text);
		return;
	}
	step(c, &p);
	if (p.purged && !p.dry)
		effect_log(c->out, 5, "purge: %llu messages of the exercise %.*s by %s", (unsigned long long)p.purged, (int)p.exercise.len,
			   (const char *)p.exercise.ptr, cl->rights.name);
	row_begin(&r);
	row_number(&r, "purged", (int64_t)p.purged);
	row_number(&r, "waiting", (int64_t)p.waiting);
	row_number(&r, "sealed", (int64_t)p.sealed);
	row_number(&r, "bytes", (int64_t)p.bytes);
	row_number(&r, "next", (int64_t)p.next);
	row_end(&r);
	reply_done(c, cl->id, rq->tag, r.n);
}
