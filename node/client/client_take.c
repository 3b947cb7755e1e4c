/* client_take.c - taking: messages as they come, bodies piece by piece. */
#include "node/client/client.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- asking ------------------------------------------------------------------------------------------------ */

static int ask(struct estafette *h, uint32_t n)
{
	struct take *t = &h->take;
	struct request_writer w;
	struct call *c = call_new(h, REQ_TAKE);
	if (c == NULL)
		return client_nomem(h);
	request_begin(&w, &h->out, REQ_TAKE, c->r.tag);
	request_str(&w, F_QUEUE, t->queue);
	request_u32(&w, F_COUNT, n);
	if (t->lease_us > 0)
		request_u64(&w, F_LEASE_US, (uint64_t)t->lease_us);
	if (t->has_exercise)
		request_str(&w, F_EXERCISE, t->exercise);
	int st = call_begin(h, c, &w);
	if (st != ESTAFETTE_OK)
		return st;
	c->credit = n;
	t->asked += n;
	t->calls++;
	if (!t->endless)
		t->left -= n;
	return ESTAFETTE_OK;
}

/* Two requests of half a window each, so that one is always at the node while the other is worked on. */
int take_ask(struct estafette *h)
{
	struct take *t = &h->take;
	while (t->active && !t->stopping && (t->endless || t->left > 0)) {
		uint32_t half = t->window / 2 > 0 ? t->window / 2 : 1;
		uint32_t n = t->endless || t->left > half ? half : (uint32_t)t->left;
		if (t->asked + h->unread + n > t->window && t->asked + h->unread > 0)
			break;
		int st = ask(h, n);
		if (st != ESTAFETTE_OK)
			return st;
	}
	return ESTAFETTE_OK;
}

int estafette_take(estafette *h, const struct estafette_take *in)
{
	struct take *t = &h->take;
	if (h->fd < 0 || t->active)
		return client_fail(h, ESTAFETTE_USAGE, "usage", h->fd < 0 ? "the handle is not connected" : "a take is under way already");
	if (in->size < sizeof *in || in->queue == NULL || strlen(in->queue) > LIMIT_ADDRESS_BYTES)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "a take needs its size and a queue");
	if (in->exercise != NULL && strlen(in->exercise) > LIMIT_NAME_BYTES)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "%s: the name of an exercise has at most %d bytes", in->exercise, LIMIT_NAME_BYTES);
	memset(t, 0, sizeof *t);
	snprintf(t->queue, sizeof t->queue, "%s", in->queue);
	t->has_exercise = in->exercise != NULL;
	snprintf(t->exercise, sizeof t->exercise, "%s", in->exercise ? in->exercise : "");
	t->endless = in->count == 0;
	t->left = in->count;
	t->lease_us = in->lease_us;
	t->window = in->window > 0 ? in->window : TAKE_WINDOW;
	t->active = true;
	return take_ask(h);
}

int estafette_take_stop(estafette *h)
{
	struct take *t = &h->take;
	if (!t->active || t->stopping)
		return ESTAFETTE_OK;
	t->stopping = true;
	for (uint32_t i = 0; i < h->slots; i++) {
		struct request_writer w;
		struct call *c = h->slot[i];
		if (c == NULL || c->type != REQ_TAKE || c->done)
			continue;
		/* The stop carries the tag of its take and ends it. */
		request_begin(&w, &h->out, REQ_TAKE_STOP, c->r.tag);
		request_end(&w);
	}
	return buf_ok(&h->out) ? client_flush(h) : client_nomem(h);
}

/* A TAKE ended: all of it came, it was stopped, or it was refused. */
int take_ended(struct estafette *h, struct call *c)
{
	struct take *t = &h->take;
	if (c->r.code[0] != '\0') {
		t->refused = t->stopping = true;
		memcpy(t->code, c->r.code, sizeof t->code);
		memcpy(t->text, c->r.text, sizeof t->text);
	}
	t->asked -= c->credit < t->asked ? c->credit : t->asked;
	t->calls--;
	call_free(h, c);
	return ESTAFETTE_OK;
}

/* ---- messages that came ----------------------------------------------------------------------------------- */

/* Copies a field's text into the message's room, with a NUL. */
static const char *keep(struct message *m, struct view v)
{
	char *at = m->room + m->used;
	memcpy(at, v.ptr, v.len);
	at[v.len] = '\0';
	m->used += v.len + 1;
	return at;
}

/* What may be absent is, for the caller, when it is empty. */
static const char *keep_some(struct message *m, struct view v) { return v.len > 0 ? keep(m, v) : NULL; }

static const char *keep_id(struct message *m, struct view v, const char *had)
{
	struct msgid id;
	if (v.len != MSGID_BYTES || (had != NULL && had[0] != '\0')) /* there is room for one of each */
		return had;
	memcpy(id.b, v.ptr, MSGID_BYTES);
	char *at = m->room + m->used;
	msgid_format(&id, at);
	m->used += MSGID_TEXT_BYTES;
	return at;
}

static void keep_body(struct message *m, struct view v)
{
	m->whole = true;
	m->m.body = memcpy(m->room + m->used, v.ptr ? v.ptr : (const uint8_t *)"", v.len);
	m->m.body_bytes = v.len;
	m->used += v.len;
}

static void keep_field(struct message *m, const struct request_item *i)
{
	switch (i->field) {
	case F_ID: m->m.id = keep_id(m, i->value, m->m.id); break;
	case F_RE: m->m.re = keep_id(m, i->value, m->m.re); break;
	case F_FROM: m->m.from = keep(m, i->value); break;
	case F_QUEUE: m->m.queue = keep(m, i->value); break;
	case F_TO: m->m.to = keep(m, i->value); break;
	case F_TYPE: m->m.type = keep_some(m, i->value); break;
	case F_LANG: m->m.lang = keep_some(m, i->value); break;
	case F_CHANNEL: m->m.channel = keep_some(m, i->value); break;
	case F_SUBJECT: m->m.subject = keep_some(m, i->value); break;
	case F_EXERCISE: m->m.exercise = keep_some(m, i->value); break;
	case F_AREA: m->m.area = keep_some(m, i->value); break;
	case F_PERHAPS_SEEN: m->m.perhaps_seen = keep_some(m, i->value); break;
	case F_BY: m->m.replayed_by = keep_some(m, i->value); break;
	case F_REASON: m->m.replayed_why = keep_some(m, i->value); break;
	case F_PRECEDENCE: m->m.precedence = item_u8(i); break;
	case F_REPLAYED: m->m.replayed = item_u8(i) != 0; break;
	case F_SENT: m->m.sent_us = (int64_t)item_u64(i); break;
	case F_EXPIRES: m->m.expires_us = (int64_t)item_u64(i); break;
	case F_HANDLE_BY: m->m.handle_by_us = (int64_t)item_u64(i); break;
	case F_SIZE:
	case F_BODY_BYTES:
		if (!m->whole)
			m->m.body_bytes = item_u64(i);
		break;
	case F_BODY: keep_body(m, i->value); break;
	case F_PLAIN_HASH:
		if (i->value.len == HASH_BYTES)
			m->m.plain_hash = memcpy(m->hash, i->value.ptr, HASH_BYTES);
		break;
	default: break;
	}
}

int take_taken(struct estafette *h, struct call *c, struct view fields, size_t len)
{
	struct request_item i;
	enum err e;
	/* An id grows from 16 bytes to 27 as text; the 5 bytes before each field pay for its NUL. */
	struct message *m = calloc(1, sizeof *m + len + 2 * MSGID_TEXT_BYTES);
	if (m == NULL)
		return client_closed(h, "out of memory for a message");
	m->m.size = sizeof m->m;
	m->m.id = m->m.from = m->m.queue = m->m.to = "";
	while ((e = request_next(&fields, &i)) == ERR_OK)
		keep_field(m, &i);
	if (e != ERR_NOT_FOUND || m->m.id[0] == '\0' || c->type != REQ_TAKE) {
		free(m);
		return client_closed(h, "the node sent a message that this version cannot read (is the node newer?)");
	}
	if (!m->whole && m->m.body_bytes == 0)
		m->m.body = "";
	*h->messages_end = m;
	h->messages_end = &m->next;
	h->unread++;
	if (h->take.asked > 0)
		h->take.asked--;
	if (c->credit > 0)
		c->credit--;
	return ESTAFETTE_OK;
}

static bool message_or_end(struct estafette *h, void *arg)
{
	(void)arg;
	return h->messages != NULL || h->take.calls == 0;
}

int estafette_next(estafette *h, const struct estafette_message **out, int timeout_ms)
{
	free(h->current);
	h->current = NULL;
	if (!h->take.active)
		return ESTAFETTE_END;
	int st = take_ask(h);
	if (st == ESTAFETTE_OK)
		st = client_wait(h, message_or_end, NULL, timeout_ms);
	if (st != ESTAFETTE_OK)
		return st;
	struct message *m = h->messages;
	if (m == NULL) {
		h->take.active = false;
		return h->take.refused ? client_fail(h, ESTAFETTE_REFUSED, h->take.code, "%s", h->take.text) : ESTAFETTE_END;
	}
	h->messages = m->next;
	if (h->messages == NULL)
		h->messages_end = &h->messages;
	h->unread--;
	h->current = m;
	*out = &m->m;
	return ESTAFETTE_OK;
}

/* ---- bodies in pieces ------------------------------------------------------------------------------------- */

static int ask_piece(struct estafette *h, const struct estafette_message *m, uint32_t index, struct piece *p)
{
	struct request_writer w;
	struct msgid id;
	if (msgid_parse(view_str(m->id), &id) != ERR_OK)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "%s: not the id of a message", m->id);
	struct call *c = call_new(h, REQ_READ);
	if (c == NULL)
		return client_nomem(h);
	c->piece = p;
	p->tag = c->r.tag;
	request_begin(&w, &h->out, REQ_READ, c->r.tag);
	request_id(&w, &id);
	request_str(&w, F_TO, m->queue);
	request_u32(&w, F_INDEX, index);
	return call_begin(h, c, &w);
}

int read_body_piece(struct estafette *h, struct call *c, struct view fields)
{
	struct request_item i;
	struct piece *p = c->piece;
	while (request_next(&fields, &i) == ERR_OK) {
		if (i.field == F_LAST)
			p->last = item_u8(&i) != 0;
		if (i.field != F_BODY || p->bytes != NULL)
			continue;
		p->len = i.value.len;
		p->bytes = malloc(p->len + 1);
		if (p->bytes == NULL)
			return client_closed(h, "out of memory for a piece of a body");
		memcpy(p->bytes, i.value.ptr, p->len);
	}
	call_done(h, c, ESTAFETTE_OK);
	return ESTAFETTE_OK;
}

/* Waits for the piece and hands it on. */
static int give_piece(struct estafette *h, struct piece *p, int (*write)(void *, const void *, size_t), void *arg, int timeout_ms)
{
	struct call *c = call_find(h, p->tag);
	p->tag = 0;
	int st = call_finish(h, c, NULL, timeout_ms);
	if (st == ESTAFETTE_OK && write(arg, p->bytes ? p->bytes : (const uint8_t *)"", p->len) != 0)
		st = client_fail(h, ESTAFETTE_STOPPED, "stopped", "the body was not taken to its end");
	free(p->bytes);
	p->bytes = NULL;
	return st;
}

int estafette_read_body(estafette *h, const struct estafette_message *m,
                        int (*write)(void *arg, const void *bytes, size_t n), void *arg, int timeout_ms)
{
	struct piece pieces[READ_PIECES] = {{0}};
	uint64_t of = (m->body_bytes + LIMIT_CHUNK_BYTES - 1) / LIMIT_CHUNK_BYTES, asked = 0;
	uint64_t got = 0;
	int st = ESTAFETTE_OK;
	if (m->body != NULL)
		return write(arg, m->body, (size_t)m->body_bytes) == 0 ? ESTAFETTE_OK : client_fail(h, ESTAFETTE_STOPPED, "stopped", "the body was not taken");
	for (uint64_t index = 0; index < of && st == ESTAFETTE_OK; index++) {
		while (st == ESTAFETTE_OK && asked < of && asked < index + READ_PIECES) {
			st = ask_piece(h, m, (uint32_t)asked, &pieces[asked % READ_PIECES]);
			asked += st == ESTAFETTE_OK;
		}
		struct piece *p = &pieces[index % READ_PIECES];
		if (st == ESTAFETTE_OK)
			st = give_piece(h, p, write, arg, timeout_ms);
		got += p->len;
	}
	for (size_t k = 0; k < READ_PIECES; k++) { /* asked ahead and not wanted any more */
		struct call *c = pieces[k].tag ? call_find(h, pieces[k].tag) : NULL;
		if (c != NULL && c->done) {
			call_free(h, c);
		} else if (c != NULL) {
			c->orphan = true;
			c->piece = NULL;
		}
		free(pieces[k].bytes);
	}
	if (st == ESTAFETTE_OK && got != m->body_bytes)
		st = client_fail(h, ESTAFETTE_REFUSED, err_code(ERR_DAMAGED), "the body has %llu bytes instead of %llu", (unsigned long long)got, (unsigned long long)m->body_bytes);
	return st;
}
