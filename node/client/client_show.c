/* client_show.c - verdicts on messages, and rows that show what the node knows. */
#include "node/client/client.h"

#include <stdio.h>
#include <string.h>

/* ---- verdicts ------------------------------------------------------------------------------------------------ */

static uint8_t type_of(int verdict)
{
	switch (verdict) {
	case ESTAFETTE_DO_ACK:
	case ESTAFETTE_DO_ACK_ALARM: return REQ_ACK;
	case ESTAFETTE_DO_REFUSE: return REQ_REFUSE;
	case ESTAFETTE_DO_RETURN: return REQ_RETURN;
	case ESTAFETTE_DO_EXTEND: return REQ_EXTEND;
	case ESTAFETTE_DO_CANCEL: return REQ_CANCEL;
	default: return 0;
	}
}

/* Of ID or ID@QUEUE. */
static struct view id_part(const char *text)
{
	return view_of(text, strcspn(text, "@"));
}

static int check_ids(struct estafette *h, int verdict, const char *const *ids, size_t n)
{
	struct msgid id;
	if (h->fd < 0 || type_of(verdict) == 0 || n == 0 || n > LIMIT_REQUEST_IDS)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "a verdict needs a connection and 1 to %d ids", LIMIT_REQUEST_IDS);
	for (size_t i = 0; i < n && verdict != ESTAFETTE_DO_ACK_ALARM; i++)
		if (msgid_parse(id_part(ids[i]), &id) != ERR_OK)
			return client_fail(h, ESTAFETTE_USAGE, "usage", "%s: not the id of a message", ids[i]);
	return ESTAFETTE_OK;
}

static void put_ids(struct request_writer *w, int verdict, const char *const *ids, size_t n)
{
	struct msgid id;
	for (size_t i = 0; i < n; i++) {
		if (verdict == ESTAFETTE_DO_ACK_ALARM)
			request_str(w, F_ALARM, ids[i]);
		else if (msgid_parse(id_part(ids[i]), &id) == ERR_OK) {
			const char *at = strchr(ids[i], '@');
			if (at && verdict != ESTAFETTE_DO_CANCEL)
				request_str(w, F_QUEUE, at + 1);
			request_id(w, &id);
		}
	}
}

static int apply_call(struct estafette *h, int verdict, const char *const *ids, size_t n, const char *text, int64_t lease_us, struct call **out)
{
	struct request_writer w;
	int st = check_ids(h, verdict, ids, n);
	if (st != ESTAFETTE_OK)
		return st;
	struct call *c = call_new(h, type_of(verdict));
	if (c == NULL)
		return client_nomem(h);
	request_begin(&w, &h->out, c->type, c->r.tag);
	request_str(&w, c->type == REQ_REFUSE ? F_REASON : F_BY, text); /* before what it is about */
	put_ids(&w, verdict, ids, n);
	if (verdict == ESTAFETTE_DO_EXTEND)
		request_u64(&w, F_LEASE_US, (uint64_t)lease_us);
	*out = c;
	return call_begin(h, c, &w);
}

int estafette_apply_begin(estafette *h, int verdict, const char *const *ids, size_t n, const char *text, int64_t lease_us, uint32_t *tag)
{
	struct call *c = NULL;
	int st = apply_call(h, verdict, ids, n, text, lease_us, &c);
	if (st != ESTAFETTE_OK)
		return st;
	c->async = true;
	h->async++;
	*tag = c->r.tag;
	return client_flush(h);
}

int estafette_apply(estafette *h, int verdict, const char *const *ids, size_t n, const char *text, int64_t lease_us, uint32_t *done, int timeout_ms)
{
	uint32_t sum = 0;
	int st = ESTAFETTE_OK;
	for (size_t at = 0; at < n && st == ESTAFETTE_OK; at += LIMIT_REQUEST_IDS) {
		struct estafette_result r = ESTAFETTE_RESULT_INIT;
		struct call *c = NULL;
		size_t some = n - at < LIMIT_REQUEST_IDS ? n - at : LIMIT_REQUEST_IDS;
		st = apply_call(h, verdict, ids + at, some, text, lease_us, &c);
		if (st == ESTAFETTE_OK)
			st = call_finish(h, c, &r, timeout_ms);
		sum += r.count;
	}
	if (done != NULL)
		*done = sum;
	return st;
}

int estafette_release(estafette *h, const char *what, const char *reason, int timeout_ms)
{
	struct request_writer w;
	if (h->fd < 0)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "the handle is not connected");
	struct call *c = call_new(h, REQ_RELEASE);
	if (c == NULL)
		return client_nomem(h);
	request_begin(&w, &h->out, REQ_RELEASE, c->r.tag);
	request_str(&w, F_WHAT, what);
	request_str(&w, F_REASON, reason);
	int st = call_begin(h, c, &w);
	return st == ESTAFETTE_OK ? call_finish(h, c, NULL, timeout_ms) : st;
}

int estafette_retry(estafette *h, const char *peer, int timeout_ms)
{
	struct request_writer w;
	if (h->fd < 0)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "the handle is not connected");
	struct call *c = call_new(h, REQ_RETRY);
	if (c == NULL)
		return client_nomem(h);
	request_begin(&w, &h->out, REQ_RETRY, c->r.tag);
	request_str(&w, F_WHAT, peer);
	int st = call_begin(h, c, &w);
	return st == ESTAFETTE_OK ? call_finish(h, c, NULL, timeout_ms) : st;
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

int estafette_show(estafette *h, const char *what, const char *queue, const char *id,
                   int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg, int timeout_ms)
{
	struct request_writer w;
	struct msgid m;
	if (h->fd < 0)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "the handle is not connected");
	if (id != NULL && msgid_parse(view_str(id), &m) != ERR_OK)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "not the id of a message (26 letters and digits)");
	struct call *c = call_new(h, REQ_SHOW);
	if (c == NULL)
		return client_nomem(h);
	c->row = row;
	c->row_arg = arg;
	request_begin(&w, &h->out, REQ_SHOW, c->r.tag);
	request_str(&w, F_WHAT, what);
	request_str(&w, F_QUEUE, queue);
	if (id != NULL)
		request_id(&w, &m);
	int st = call_begin(h, c, &w);
	return st == ESTAFETTE_OK ? call_finish(h, c, NULL, timeout_ms) : st;
}

int estafette_forecast(estafette *h, const struct estafette_forecast *f, int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg,
                       int timeout_ms)
{
	struct request_writer w;
	struct msgid m;
	if (h->fd < 0)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "the handle is not connected");
	if (f->id != NULL && msgid_parse(view_str(f->id), &m) != ERR_OK)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "not the id of a message (26 letters and digits)");
	struct call *c = call_new(h, REQ_SHOW);
	if (c == NULL)
		return client_nomem(h);
	c->row = row;
	c->row_arg = arg;
	request_begin(&w, &h->out, REQ_SHOW, c->r.tag);
	request_str(&w, F_WHAT, "forecast");
	request_str(&w, F_QUEUE, f->queue);
	if (f->id != NULL)
		request_id(&w, &m);
	for (size_t i = 0; i < f->n_successors; i++)
		request_str(&w, F_TO, f->successors[i]);
	request_str(&w, F_EXERCISE, f->exercise);
	int st = call_begin(h, c, &w);
	return st == ESTAFETTE_OK ? call_finish(h, c, NULL, timeout_ms) : st;
}

/* Text of a row, made a string by writing a NUL over what follows it: everything is read before anything is written. */
struct texts { struct view v[2 * SHOW_MEMBERS]; const char **at[2 * SHOW_MEMBERS]; size_t n; };

static void text_later(struct texts *t, struct view v, const char **at)
{
	if (t->n == 2 * SHOW_MEMBERS)
		return;
	t->v[t->n] = v;
	t->at[t->n++] = at;
}

static void row_value(struct estafette_member *m, const struct request_item *i, struct texts *t)
{
	switch (i->field) {
	case F_TEXT:
	case F_LIST:
		m->kind = i->field == F_TEXT ? ESTAFETTE_TEXT : ESTAFETTE_LIST;
		text_later(t, i->value, &m->text);
		break;
	case F_NUMBER: m->kind = ESTAFETTE_NUMBER; m->number = (int64_t)item_u64(i); break;
	case F_TIME: m->kind = ESTAFETTE_TIME; m->number = (int64_t)item_u64(i); break;
	case F_FLAG: m->kind = ESTAFETTE_FLAG; m->number = item_u8(i) != 0; break;
	default: m->kind = ESTAFETTE_NULL; break;
	}
}

/* Copies the row's texts, each with a NUL, into one block. */
static bool settle_texts(struct texts *t, struct buf *room)
{
	size_t need = 0;
	for (size_t k = 0; k < t->n; k++)
		need += t->v[k].len + 1;
	char *p = (char *)buf_extend(room, need + 1);
	if (p == NULL)
		return false;
	for (size_t k = 0; k < t->n; k++) {
		if (t->v[k].len > 0)
			memcpy(p, t->v[k].ptr, t->v[k].len);
		p[t->v[k].len] = '\0';
		*t->at[k] = p;
		p += t->v[k].len + 1;
	}
	return true;
}

int show_a_row(struct estafette *h, struct call *c, struct view fields)
{
	struct request_item i;
	struct texts t = {.n = 0};
	struct buf room = BUF_EMPTY;
	size_t n = 0;
	bool named = false;
	enum err e;
	if (c->row == NULL || c->stopped)
		return ESTAFETTE_OK;
	memset(h->members, 0, sizeof h->members);
	while ((e = request_next(&fields, &i)) == ERR_OK && n < SHOW_MEMBERS) {
		if (i.field == F_NAME)
			text_later(&t, i.value, &h->members[n].name);
		else if (named)
			row_value(&h->members[n++], &i, &t);
		named = i.field == F_NAME;
	}
	if ((e != ERR_NOT_FOUND && n < SHOW_MEMBERS) || !settle_texts(&t, &room)) {
		buf_release(&room);
		return client_closed(h, "the node sent a row that this version cannot read (is the node newer?)");
	}
	c->stopped = c->row(c->row_arg, h->members, n) != 0;
	buf_release(&room);
	return ESTAFETTE_OK;
}
