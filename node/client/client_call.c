/* client_call.c - what is in flight: calls by their tags, replies to them, results. */
#include "node/client/client.h"

#include <stdio.h>
#include <stdlib.h>

#define SLOTS_MIN 64

/* ---- calls -------------------------------------------------------------------------------------------------- */

static bool slots_grow(struct estafette *h)
{
	uint32_t n = h->slots ? h->slots * 2 : SLOTS_MIN;
	struct call **slot = calloc(n, sizeof *slot);
	if (slot == NULL)
		return false;
	for (uint32_t i = 0; i < h->slots; i++)
		if (h->slot[i] != NULL) /* tags that differed modulo slots differ modulo its double */
			slot[h->slot[i]->r.tag & (n - 1)] = h->slot[i];
	free(h->slot);
	h->slot = slot;
	h->slots = n;
	return true;
}

struct call *call_new(struct estafette *h, uint8_t type)
{
	if (h->calls * 2 >= h->slots && !slots_grow(h))
		return NULL;
	struct call *c = h->spare;
	if (c != NULL)
		h->spare = c->next;
	else if ((c = malloc(sizeof *c)) == NULL)
		return NULL;
	memset(c, 0, sizeof *c);
	c->type = type;
	do /* an old take may still sit where the next tag would go */
		h->last_tag++;
	while (h->last_tag == 0 || h->slot[h->last_tag & (h->slots - 1)] != NULL);
	c->r.tag = h->last_tag;
	c->r.size = sizeof c->r;
	h->slot[c->r.tag & (h->slots - 1)] = c;
	h->calls++;
	return c;
}

struct call *call_find(const struct estafette *h, uint32_t tag)
{
	struct call *c = h->slots ? h->slot[tag & (h->slots - 1)] : NULL;
	return c != NULL && c->r.tag == tag ? c : NULL;
}

static void call_unslot(struct estafette *h, struct call *c)
{
	struct call **slot = &h->slot[c->r.tag & (h->slots - 1)];
	if (*slot == c) {
		*slot = NULL;
		h->calls--;
	}
}

static void call_end_stream(struct estafette *h, struct call *c)
{
	if (c->s.size != 0)
		h->streams--;
	c->s.size = 0;
}

void call_free(struct estafette *h, struct call *c)
{
	call_end_stream(h, c);
	call_unslot(h, c);
	c->next = h->spare;
	h->spare = c;
}

void call_done(struct estafette *h, struct call *c, int status)
{
	c->r.status = status;
	c->done = true;
	call_end_stream(h, c);
	if (c->orphan) {
		call_free(h, c);
	} else if (c->async) {
		call_unslot(h, c);
		c->next = NULL;
		*h->finished_end = c;
		h->finished_end = &c->next;
	}
}

int call_begin(struct estafette *h, struct call *c, struct request_writer *w)
{
	size_t start = w->at;
	request_end(w);
	if (buf_ok(&h->out))
		return ESTAFETTE_OK;
	bool large = h->out.len - start > LIMIT_REQUEST_BYTES;
	h->out.bad = false;
	h->out.len = start;
	call_free(h, c);
	if (large)
		return client_fail(h, ESTAFETTE_REFUSED, err_code(ERR_TOO_LARGE), "the request is over %d bytes", LIMIT_REQUEST_BYTES);
	return client_fail(h, ESTAFETTE_NOMEM, err_code(ERR_NOMEM), "out of memory");
}

static bool is_done(struct estafette *h, void *arg)
{
	(void)h;
	return ((struct call *)arg)->done;
}

int call_finish(struct estafette *h, struct call *c, struct estafette_result *out, int timeout_ms)
{
	int st = client_wait(h, is_done, c, timeout_ms);
	if (st != ESTAFETTE_OK) {
		c->orphan = true;
		c->row = NULL;
		c->piece = NULL;
		return st;
	}
	st = c->r.status;
	if (st != ESTAFETTE_OK)
		client_fail(h, st, c->r.code, "%s", c->r.text);
	if (out != NULL) {
		size_t size = out->size < sizeof *out ? out->size : sizeof *out;
		memcpy(out, &c->r, size);
		out->size = size;
	}
	call_free(h, c);
	return st;
}

/* ---- results ---------------------------------------------------------------------------------------------- */

static bool has_finished(struct estafette *h, void *arg)
{
	(void)arg;
	return h->finished != NULL;
}

int estafette_result(estafette *h, struct estafette_result *out, int timeout_ms)
{
	if (h->async == 0)
		return ESTAFETTE_END;
	int st = client_wait(h, has_finished, NULL, timeout_ms);
	if (st != ESTAFETTE_OK)
		return st;
	struct call *c = h->finished;
	h->finished = c->next;
	if (h->finished == NULL)
		h->finished_end = &h->finished;
	size_t size = out->size < sizeof *out ? out->size : sizeof *out;
	memcpy(out, &c->r, size);
	out->size = size;
	h->async--;
	c->next = h->spare;
	h->spare = c;
	return ESTAFETTE_OK;
}

size_t estafette_in_flight(const estafette *h) { return h->async; }

const char *estafette_state_name(int state)
{
	return state < STATE_ACCEPTED || state > STATE_CANCELLED ? "unknown" : wait_state_name((unsigned)state);
}

/* ---- replies ---------------------------------------------------------------------------------------------- */

/* The members of an answer that go into the result. False when the fields cannot be read. */
static bool fill_result(struct call *c, struct view fields)
{
	struct request_item i;
	enum err e;
	while ((e = request_next(&fields, &i)) == ERR_OK) {
		switch (i.field) {
		case F_ID:
			if (i.value.len == MSGID_BYTES) {
				struct msgid id;
				memcpy(id.b, i.value.ptr, MSGID_BYTES);
				msgid_format(&id, c->r.id);
			}
			break;
		case F_STATE: c->r.state = item_u8(&i); break;
		case F_DUPLICATE: c->r.duplicate = item_u8(&i) != 0; break;
		case F_COUNT: c->r.count = item_u32(&i); break;
		case F_CODE: (void)view_to_str(i.value, c->r.code, sizeof c->r.code); break;
		case F_TEXT: (void)view_to_str(i.value, c->r.text, sizeof c->r.text); break;
		case F_TIME: c->r.until_us = (int64_t)item_u64(&i); break;
		default: break;
		}
	}
	return e == ERR_NOT_FOUND;
}

static int on_error(struct estafette *h, struct call *c)
{
	if (c->r.code[0] == '\0')
		snprintf(c->r.code, sizeof c->r.code, "%s", err_code(ERR_REFUSED));
	if (c->r.text[0] == '\0')
		snprintf(c->r.text, sizeof c->r.text, "%s", err_text(err_from_code(c->r.code)));
	if (c->type == REQ_TAKE || c->type == REQ_TAKE_STOP)
		return take_ended(h, c);
	call_done(h, c, strcmp(c->r.code, err_code(ERR_TIMEOUT)) == 0 ? ESTAFETTE_TIMEOUT : ESTAFETTE_REFUSED);
	return ESTAFETTE_OK;
}

static int on_done(struct estafette *h, struct call *c)
{
	if (c->type == REQ_TAKE || c->type == REQ_TAKE_STOP)
		return take_ended(h, c);
	call_done(h, c, c->stopped ? ESTAFETTE_STOPPED : ESTAFETTE_OK);
	return ESTAFETTE_OK;
}

static int garbled(struct estafette *h, uint8_t type)
{
	return client_closed(h, "the node sent an answer of type %u that this version cannot read (is the node newer?)", type);
}

/* Whether a reply of this type can answer that request. */
static bool fits(uint8_t request, uint8_t reply)
{
	switch (reply) {
	case REPLY_ERROR: return true;
	case REPLY_ACCEPTED:
	case REPLY_NEXT: return request == REQ_SUBMIT;
	case REPLY_STATE: return request == REQ_WAIT;
	case REPLY_TAKEN: return request == REQ_TAKE;
	case REPLY_BODY: return request == REQ_READ;
	case REPLY_PIECE: return request == REQ_PACK;
	case REPLY_ROW:
		return request == REQ_SHOW || request == REQ_ORDER || request == REQ_ENDORSE || request == REQ_PURGE || request == REQ_PACK || request == REQ_UNPACK ||
		       request == REQ_REPLAY;
	case REPLY_DONE: return request != REQ_SUBMIT && request != REQ_WAIT && request != REQ_READ && request != REQ_PACK;
	default: return false;
	}
}

int client_dispatch(struct estafette *h, struct view message)
{
	struct request r;
	if (request_decode(message, &r) != ERR_OK)
		return client_closed(h, "the node sent a message that cannot be read (is the node newer?)");
	struct call *c = call_find(h, r.tag);
	if (c == NULL) { /* an answer nobody waits for: an error without a tag is about the connection */
		struct call lost = {0};
		if (r.tag == 0 && r.type == REPLY_ERROR && fill_result(&lost, r.fields))
			return client_closed(h, "the node refused the connection: %s", lost.r.text);
		return ESTAFETTE_OK;
	}
	if (!fits(c->type, r.type))
		return garbled(h, r.type);
	switch (r.type) {
	case REPLY_TAKEN: return take_taken(h, c, r.fields, message.len);
	case REPLY_BODY: return c->orphan ? (call_done(h, c, ESTAFETTE_OK), ESTAFETTE_OK) : read_body_piece(h, c, r.fields);
	case REPLY_ROW: return show_a_row(h, c, r.fields);
	case REPLY_PIECE: return pack_piece(h, c, r.fields);
	default: break;
	}
	c->r.count = r.type == REPLY_NEXT ? 1 : 0;
	if (!fill_result(c, r.fields))
		return garbled(h, r.type);
	switch (r.type) {
	case REPLY_ACCEPTED:
	case REPLY_STATE: call_done(h, c, ESTAFETTE_OK); return ESTAFETTE_OK;
	case REPLY_NEXT: return submit_next(h, c, c->r.count);
	case REPLY_DONE: return on_done(h, c);
	default: return on_error(h, c);
	}
}
