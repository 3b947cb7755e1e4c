/* The desk of each site that sends: it keeps what it cannot hand over, most urgent first, and tries again under the same key. */
#include "proto/request.h"
#include "sim/play_int.h"

#include <stdio.h>
#include <stdlib.h>

static void parcel_free(struct parcel_out *x)
{
	if (x == NULL)
		return;
	buf_release(&x->body);
	free(x);
}

static void keep(struct sender *s, struct parcel_out *x, bool front)
{
	uint8_t p = x->m.precedence;

	buf_release(&x->body);
	x->chunks_sent = 0;
	x->next = front ? s->first[p] : NULL;
	if (front || s->first[p] == NULL) {
		s->first[p] = x;
		if (s->last[p] == NULL || !front)
			s->last[p] = x;
	} else {
		s->last[p]->next = x;
		s->last[p] = x;
	}
}

static struct parcel_out *take_kept(struct sender *s)
{
	for (int p = 0; p < PREC_COUNT; p++) {
		struct parcel_out *x = s->first[p];
		if (x == NULL)
			continue;
		s->first[p] = x->next;
		if (s->first[p] == NULL)
			s->last[p] = NULL;
		x->next = NULL;
		return x;
	}
	return NULL;
}

static size_t find_out(const struct sender *s, uint32_t tag)
{
	size_t i = 0;

	while (i < s->n_out && s->out[i]->tag != tag)
		i++;
	return i;
}

static struct parcel_out *drop_out(struct sender *s, size_t i)
{
	struct parcel_out *x = s->out[i];

	memmove(&s->out[i], &s->out[i + 1], (s->n_out - i - 1) * sizeof(struct parcel_out *));
	s->n_out--;
	return x;
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

static void submit_fields(struct play *p, struct request_writer *rw, const struct parcel_out *x)
{
	const struct load_message *m = &x->m;

	request_str(rw, F_TO, m->address);
	request_u8(rw, F_PRECEDENCE, m->precedence);
	request_str(rw, F_TYPE, m->body->type);
	request_str(rw, F_LANG, m->body->lang);
	request_str(rw, F_CHANNEL, m->channel);
	request_str(rw, F_SUBJECT, x->subject);
	request_str(rw, F_KEY, x->key);
	request_str(rw, F_EXERCISE, m->exercise);
	if (m->expires_us)
		request_u64(rw, F_EXPIRES, (uint64_t)(world_wall(p->w).us + m->expires_us / p->speed));
}

static void hand_over(struct play *p, size_t site, struct parcel_out *x)
{
	struct sender *s = &p->senders[site];
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	x->tag = ++s->tag;
	request_begin(&rw, &b, REQ_SUBMIT, x->tag);
	submit_fields(p, &rw, x);
	buf_clear(&x->body);
	workload_body(x->m.number, x->m.body, &x->body);
	if (x->m.body->bytes <= LIMIT_CHUNK_BYTES) {
		request_field(&rw, F_BODY, buf_view(&x->body));
		buf_release(&x->body);
	} else {
		request_u64(&rw, F_BODY_BYTES, (uint64_t)x->m.body->bytes);
	}
	request_end(&rw);
	if (x->tried) {
		p->counts.retried++;
		if (p->watch)
			watch_fault(p->watch, FAULT_CLIENT_RETRY);
	}
	x->tried = true;
	p->counts.submitted++;
	s->out[s->n_out++] = x;
	world_request(p->w, site, s->client, buf_view(&b));
	buf_release(&b);
}

/* So many more chunks of a large body may go. */
static void send_chunks(struct play *p, size_t site, struct parcel_out *x, uint32_t credit)
{
	size_t sent = (size_t)x->chunks_sent * LIMIT_CHUNK_BYTES;

	for (; credit > 0 && sent < x->body.len; credit--) {
		size_t n = x->body.len - sent < LIMIT_CHUNK_BYTES ? x->body.len - sent : LIMIT_CHUNK_BYTES;
		struct buf b = BUF_EMPTY;
		struct request_writer rw;

		request_begin(&rw, &b, REQ_CHUNK, x->tag);
		request_field(&rw, F_BODY, view_of(x->body.ptr + sent, n));
		request_end(&rw);
		world_request(p->w, site, p->senders[site].client, buf_view(&b));
		buf_release(&b);
		x->chunks_sent++;
		sent += n;
	}
}

/* ---- answers ------------------------------------------------------------------------------------------------------ */

static void remember(struct play *p, const struct load_message *m, const struct msgid *id)
{
	struct labelled *more = realloc(p->labelled, (p->n_labelled + 1) * sizeof *more);

	if (more == NULL) {
		p->nomem = true;
		return;
	}
	p->labelled = more;
	p->labelled[p->n_labelled++] = (struct labelled){m->label, m->from, *id};
	if (p->watch)
		watch_sent(p->watch, m->label, m->from, id);
}

/* Whoever gave a message a label asks what becomes of it. */
static void ask_state(struct play *p, size_t site, const struct msgid *id, enum wait_state state)
{
	struct sender *s = &p->senders[site];
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	request_begin(&rw, &b, REQ_WAIT, ++s->tag);
	request_id(&rw, id);
	request_u8(&rw, F_STATE, (uint8_t)state);
	request_end(&rw);
	world_request(p->w, site, s->client, buf_view(&b));
	buf_release(&b);
}

static void on_accepted(struct play *p, struct sender *s, size_t at, const struct request *r)
{
	struct parcel_out *x = drop_out(s, at);
	struct view v = reply_value(r, F_ID, NULL);
	struct msgid id;

	p->counts.accepted++;
	if (x->m.label[0] && v.len == sizeof id.b) {
		memcpy(id.b, v.ptr, sizeof id.b);
		remember(p, &x->m, &id);
		ask_state(p, x->m.from, &id, STATE_HELD_BY_STANDBY);
		ask_state(p, x->m.from, &id, STATE_READ);
	}
	parcel_free(x);
}

/* No room, or not now: people try again later. Anything else is final. */
static void on_error(struct play *p, size_t site, size_t at, const struct request *r)
{
	struct sender *s = &p->senders[site];
	struct parcel_out *x = drop_out(s, at);
	char code[32];

	view_to_str(reply_value(r, F_CODE, NULL), code, sizeof code);
	enum err e = err_from_code(code);
	if (e == ERR_FULL || e == ERR_BUSY) {
		s->wait_until_us = world_now(p->w).us + NO_ROOM_US;
		keep(s, x, true);
		sender_again(p, site, NO_ROOM_US);
		return;
	}
	p->counts.refused++;
	parcel_free(x);
}

static void on_reply(struct play *p, size_t site, const struct request *r)
{
	struct sender *s = &p->senders[site];
	size_t at = find_out(s, r->tag);

	if (at == s->n_out)
		return;
	if (r->type == REPLY_ACCEPTED)
		on_accepted(p, s, at, r);
	else if (r->type == REPLY_ERROR)
		on_error(p, site, at, r);
	else if (r->type == REPLY_NEXT) {
		struct request_item i = {F_COUNT, reply_value(r, F_COUNT, NULL)};
		send_chunks(p, site, s->out[at], item_u32(&i));
	}
}

/* What the node had not answered may or may not be in its journal: it is sent again under its key, oldest first. */
static void on_gone(struct play *p, size_t site)
{
	struct sender *s = &p->senders[site];

	s->client = 0;
	for (size_t i = s->n_out; i-- > 0;)
		keep(s, s->out[i], true);
	s->n_out = 0;
	sender_again(p, site, RESEND_US);
}

static void pump(struct play *p, size_t site);

static void sender_hears(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct play *p = arg;
	struct request r;

	(void)w;
	if (client != p->senders[site].client)
		return;
	if (bytes.len == 0)
		on_gone(p, site);
	while (next_reply(&bytes, &r))
		on_reply(p, site, &r);
	pump(p, site);
}

static bool sender_open(struct play *p, size_t site)
{
	static const struct client_rights rights = {.name = "sender", .may_send = true, .precedence = PREC_FLASH};
	struct sender *s = &p->senders[site];

	if (s->client == 0)
		s->client = world_client_open(p->w, site, &rights, sender_hears, p);
	return s->client != 0;
}

static bool has_kept(const struct sender *s)
{
	return s->first[0] || s->first[1] || s->first[2] || s->first[3];
}

static void pump(struct play *p, size_t site)
{
	struct sender *s = &p->senders[site];

	while (s->n_out < UNANSWERED && has_kept(s) && world_now(p->w).us >= s->wait_until_us && sender_open(p, site))
		hand_over(p, site, take_kept(s));
}

static void sender_due(void *arg, struct world *w, uint64_t cookie)
{
	struct play *p = arg;

	(void)w;
	p->senders[cookie].timer = false;
	pump(p, cookie);
}

void sender_again(struct play *p, size_t site, int64_t after_us)
{
	if (p->senders[site].timer)
		return;
	p->senders[site].timer = true;
	world_at(p->w, mono_add(world_now(p->w), after_us), sender_due, p, site);
}

/* ---- what the rest of the play asks for -------------------------------------------------------------------------------- */

void send_take(struct play *p, const struct load_message *m)
{
	struct parcel_out *x = calloc(1, sizeof *x);
	struct sender *s = &p->senders[m->from];

	if (x == NULL) {
		p->nomem = true;
		return;
	}
	x->m = *m;
	snprintf(x->subject, sizeof x->subject, "%s", m->subject);
	snprintf(x->key, sizeof x->key, "%s", m->key);
	keep(s, x, false);
	pump(p, m->from);
	if (s->client == 0)
		p->counts.kept++;
}

void send_site_up(struct play *p, size_t site)
{
	p->senders[site].wait_until_us = 0;
	if (has_kept(&p->senders[site]))
		sender_again(p, site, RESEND_US);
}

void send_cancel(struct play *p, const char *label)
{
	for (size_t i = 0; i < p->n_labelled; i++) {
		const struct labelled *l = &p->labelled[i];
		struct buf b = BUF_EMPTY;
		struct request_writer rw;

		if (strcmp(l->label, label) != 0 || !sender_open(p, l->site))
			continue;
		request_begin(&rw, &b, REQ_CANCEL, ++p->senders[l->site].tag);
		request_id(&rw, &l->id);
		request_end(&rw);
		world_request(p->w, l->site, p->senders[l->site].client, buf_view(&b));
		buf_release(&b);
		return;
	}
}

void send_release(struct play *p)
{
	for (size_t i = 0; p->senders && i < drill_site_count(p->d); i++) {
		struct sender *s = &p->senders[i];
		struct parcel_out *x;
		while ((x = take_kept(s)) != NULL)
			parcel_free(x);
		while (s->n_out > 0)
			parcel_free(drop_out(s, s->n_out - 1));
	}
	free(p->labelled);
	free(p->senders);
}
