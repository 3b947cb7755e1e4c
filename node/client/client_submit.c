/* client_submit.c - sending: whole bodies in one request, large ones piece by piece; and waiting for what becomes of them. */
#include "node/client/client.h"

#include <stdio.h>

#define AT_LEAST(s, type, member) ((s)->size >= offsetof(type, member) + sizeof((s)->member))

/* What is wrong with a submission before any byte of it goes out. */
static int check(struct estafette *h, const struct estafette_submission *s)
{
	if (h->fd < 0)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "the handle is not connected");
	if (!AT_LEAST(s, struct estafette_submission, arg) || s->n_to == 0 || s->to == NULL)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "a submission needs its size and an address");
	if (s->n_to > LIMIT_REQUEST_ADDRESSES)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "%zu addresses (at most %d in one submission)", s->n_to, LIMIT_REQUEST_ADDRESSES);
	if (s->precedence < PREC_FLASH || s->precedence > PREC_ROUTINE)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "precedence %d (0 is flash, 3 routine)", s->precedence);
	if (s->body_bytes > 0 && s->body == NULL && s->read == NULL)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "a body without bytes");
	if (s->body_bytes > LIMIT_BODY_BYTES)
		return client_fail(h, ESTAFETTE_REFUSED, err_code(ERR_TOO_LARGE), "a body of %llu bytes (the largest is 1GiB)", (unsigned long long)s->body_bytes);
	struct msgid re;
	if (s->re != NULL && msgid_parse(view_str(s->re), &re) != ERR_OK)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "%s: not the id of a message", s->re);
	return ESTAFETTE_OK;
}

static void put_fields(struct request_writer *w, const struct estafette_submission *s)
{
	struct msgid re;
	for (size_t i = 0; i < s->n_to; i++)
		request_str(w, F_TO, s->to[i]);
	request_u8(w, F_PRECEDENCE, (uint8_t)s->precedence);
	request_str(w, F_TYPE, s->type);
	request_str(w, F_LANG, s->lang);
	request_str(w, F_CHANNEL, s->channel);
	request_str(w, F_SUBJECT, s->subject);
	if (s->re != NULL && msgid_parse(view_str(s->re), &re) == ERR_OK)
		request_field(w, F_RE, view_of(re.b, sizeof re.b));
	if (s->expires_us != 0)
		request_u64(w, F_EXPIRES, (uint64_t)s->expires_us);
	request_str(w, F_KEY, s->key);
	request_str(w, F_EXERCISE, s->exercise);
}

/* A body of one piece goes with the request. False: read gave up. */
static bool put_body(struct request_writer *w, const struct estafette_submission *s)
{
	uint8_t piece[LIMIT_CHUNK_BYTES];
	if (s->body != NULL || s->body_bytes == 0) {
		request_field(w, F_BODY, view_of(s->body, (size_t)s->body_bytes));
		return true;
	}
	if (s->read(s->arg, piece, (size_t)s->body_bytes) != (ssize_t)s->body_bytes)
		return false;
	request_field(w, F_BODY, view_of(piece, (size_t)s->body_bytes));
	return true;
}

static int submit_call(struct estafette *h, const struct estafette_submission *s, struct call **out)
{
	struct request_writer w;
	int st = check(h, s);
	if (st != ESTAFETTE_OK)
		return st;
	struct call *c = call_new(h, REQ_SUBMIT);
	if (c == NULL)
		return client_nomem(h);
	size_t before = h->out.len;
	bool whole = s->body_bytes <= LIMIT_CHUNK_BYTES;
	request_begin(&w, &h->out, REQ_SUBMIT, c->r.tag);
	put_fields(&w, s);
	if (!whole) {
		request_u64(&w, F_BODY_BYTES, s->body_bytes);
		memcpy(&c->s, s, s->size < sizeof c->s ? s->size : sizeof c->s);
		h->streams++;
	} else if (!put_body(&w, s)) {
		h->out.len = before;
		call_free(h, c);
		return client_fail(h, ESTAFETTE_STOPPED, err_code(ERR_IO), "the body could not be read");
	}
	st = call_begin(h, c, &w);
	if (st == ESTAFETTE_OK && whole && s->progress != NULL)
		s->progress(s->arg, s->body_bytes, s->body_bytes);
	*out = c;
	return st;
}

int estafette_submit_begin(estafette *h, const struct estafette_submission *s, uint32_t *tag)
{
	struct call *c = NULL;
	int st = submit_call(h, s, &c);
	if (st != ESTAFETTE_OK)
		return st;
	c->async = true;
	h->async++;
	*tag = c->r.tag;
	return h->out.len - h->out_at >= OUT_SOFT / 4 ? client_flush(h) : ESTAFETTE_OK;
}

/* The time is over only when nothing moved for so long. */
struct moving { struct call *call; uint64_t seen; };

static bool moved_or_done(struct estafette *h, void *arg)
{
	struct moving *m = arg;
	(void)h;
	return m->call->done || m->call->sent != m->seen;
}

int estafette_submit(estafette *h, const struct estafette_submission *s, struct estafette_result *out, int timeout_ms)
{
	struct call *c = NULL;
	int st = submit_call(h, s, &c);
	if (st != ESTAFETTE_OK)
		return st;
	struct moving m = {c, 0};
	while (!c->done && (st = client_wait(h, moved_or_done, &m, timeout_ms)) == ESTAFETTE_OK)
		m.seen = c->sent;
	if (st == ESTAFETTE_OK)
		return call_finish(h, c, out, timeout_ms);
	if (c->s.size != 0) /* half a body: the node drops it with the connection */
		h->broken = true;
	c->orphan = true;
	return st;
}

/* ---- bodies in pieces ------------------------------------------------------------------------------------- */

int submit_next(struct estafette *h, struct call *c, uint32_t more)
{
	if (c->type != REQ_SUBMIT || c->s.size == 0)
		return ESTAFETTE_OK;
	c->credit += more;
	return submit_pump(h);
}

/* One more piece of c. */
static int send_piece(struct estafette *h, struct call *c)
{
	struct request_writer w;
	uint8_t piece[LIMIT_CHUNK_BYTES];
	const uint8_t *from = piece;
	uint64_t left = c->s.body_bytes - c->sent;
	size_t n = left < LIMIT_CHUNK_BYTES ? (size_t)left : LIMIT_CHUNK_BYTES;
	if (c->s.body != NULL)
		from = (const uint8_t *)c->s.body + c->sent;
	else if (c->s.read(c->s.arg, piece, n) != (ssize_t)n)
		return client_closed(h, "the body could not be read to its end, so the submission was broken off");
	request_begin(&w, &h->out, REQ_CHUNK, c->r.tag);
	request_field(&w, F_BODY, view_of(from, n));
	request_end(&w);
	if (!buf_ok(&h->out))
		return client_closed(h, "out of memory in the middle of a body");
	c->sent += n;
	c->credit--;
	if (c->s.progress != NULL)
		c->s.progress(c->s.arg, c->sent, c->s.body_bytes);
	return ESTAFETTE_OK;
}

/* The oldest submission that may send and has something left. */
static struct call *next_streaming(const struct estafette *h)
{
	struct call *best = NULL;
	for (uint32_t i = 0; i < h->slots; i++) {
		struct call *c = h->slot[i];
		if (c != NULL && c->s.size != 0 && c->credit > 0 && !c->done && !c->orphan && c->sent < c->s.body_bytes &&
		    (best == NULL || c->r.tag < best->r.tag))
			best = c;
	}
	return best;
}

int submit_pump(struct estafette *h)
{
	struct call *c;
	int st = ESTAFETTE_OK;
	while (st == ESTAFETTE_OK && h->streams > 0 && !h->broken && h->out.len - h->out_at < OUT_SOFT &&
	       (c = next_streaming(h)) != NULL)
		st = send_piece(h, c);
	return st;
}

/* ---- waits ---------------------------------------------------------------------------------------------------- */

static int wait_call(struct estafette *h, const char *id, int state, struct call **out)
{
	struct request_writer w;
	struct msgid m;
	if (h->fd < 0 || msgid_parse(view_str(id), &m) != ERR_OK)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "%s: not the id of a message, or not connected", id);
	if (state < STATE_ACCEPTED || state > STATE_READ)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "%d: not a state to wait for", state);
	struct call *c = call_new(h, REQ_WAIT);
	if (c == NULL)
		return client_nomem(h);
	request_begin(&w, &h->out, REQ_WAIT, c->r.tag);
	request_id(&w, &m);
	request_u8(&w, F_STATE, (uint8_t)state);
	*out = c;
	return call_begin(h, c, &w);
}

int estafette_wait(estafette *h, const char *id, int state, struct estafette_result *out, int timeout_ms)
{
	struct call *c = NULL;
	int st = wait_call(h, id, state, &c);
	return st == ESTAFETTE_OK ? call_finish(h, c, out, timeout_ms) : st;
}

int estafette_wait_begin(estafette *h, const char *id, int state, uint32_t *tag)
{
	struct call *c = NULL;
	int st = wait_call(h, id, state, &c);
	if (st != ESTAFETTE_OK)
		return st;
	c->async = true;
	h->async++;
	*tag = c->r.tag;
	return ESTAFETTE_OK;
}
