/* client_order.c - orders, endorsements, a part of a queue lent, and what an exercise left. */
#include <stddef.h>
#include <string.h>

#include "node/client/client.h"

static int order_call(struct estafette *h, uint8_t type, show_row row, void *arg, struct call **out)
{
	if (h->fd < 0)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "the handle is not connected");
	*out = call_new(h, type);
	if (*out == NULL)
		return client_nomem(h);
	(*out)->row = row;
	(*out)->row_arg = arg;
	return ESTAFETTE_OK;
}

static int finish(struct estafette *h, struct call *c, struct request_writer *w, struct estafette_result *r, int timeout_ms)
{
	int st = call_begin(h, c, w);
	return st == ESTAFETTE_OK ? call_finish(h, c, r, timeout_ms) : st;
}

int estafette_order(estafette *h, const struct estafette_order *o, show_row row, void *arg, int timeout_ms)
{
	struct request_writer w;
	struct call *c = NULL;
	bool known = o->size >= offsetof(struct estafette_order, precedence) && o->kind != NULL;
	bool about_all = known && (strcmp(o->kind, "minimize") == 0 || strcmp(o->kind, "lift") == 0);
	if (!known || (about_all ? o->size < sizeof *o : o->site == NULL))
		return client_fail(h, ESTAFETTE_USAGE, "usage", "an order needs its size, a kind and a site");
	int st = order_call(h, REQ_ORDER, row, arg, &c);
	if (st != ESTAFETTE_OK)
		return st;
	request_begin(&w, &h->out, REQ_ORDER, c->r.tag);
	request_str(&w, F_WHAT, o->kind);
	if (!about_all)
		request_str(&w, F_TO, o->site);
	if (strcmp(o->kind, "minimize") == 0) {
		request_u8(&w, F_PRECEDENCE, (uint8_t)o->precedence);
		request_u64(&w, F_EXPIRES, (uint64_t)o->until_us);
	}
	for (size_t i = 0; i < o->n_assign; i++)
		request_str(&w, F_ASSIGN, o->assign[i]);
	for (size_t i = 0; i < o->n_without; i++)
		request_str(&w, F_WITHOUT, o->without[i]);
	request_str(&w, F_REASON, o->reason);
	request_str(&w, F_EXERCISE, o->exercise);
	if (o->dry)
		request_u8(&w, F_DRY, 1);
	return finish(h, c, &w, NULL, timeout_ms);
}

int estafette_endorse(estafette *h, const char *order, int dry, show_row row, void *arg, int timeout_ms)
{
	struct request_writer w;
	struct call *c = NULL;
	int st = order_call(h, REQ_ENDORSE, row, arg, &c);
	if (st != ESTAFETTE_OK)
		return st;
	request_begin(&w, &h->out, REQ_ENDORSE, c->r.tag);
	request_str(&w, F_WHAT, order);
	if (dry)
		request_u8(&w, F_DRY, 1);
	return finish(h, c, &w, NULL, timeout_ms);
}

int estafette_endorse_signed(estafette *h, const void *endorsement, size_t n, show_row row, void *arg, int timeout_ms)
{
	struct request_writer w;
	struct call *c = NULL;
	int st = order_call(h, REQ_ENDORSE, row, arg, &c);
	if (st != ESTAFETTE_OK)
		return st;
	request_begin(&w, &h->out, REQ_ENDORSE, c->r.tag);
	request_field(&w, F_BLOB, view_of(endorsement, n));
	return finish(h, c, &w, NULL, timeout_ms);
}

int estafette_assist(estafette *h, const char *queue, const char *to, uint32_t count, uint32_t *done, int timeout_ms)
{
	struct estafette_result r = ESTAFETTE_RESULT_INIT;
	struct request_writer w;
	struct call *c = NULL;
	int st = order_call(h, REQ_ASSIST, NULL, NULL, &c);
	if (st != ESTAFETTE_OK)
		return st;
	request_begin(&w, &h->out, REQ_ASSIST, c->r.tag);
	request_str(&w, F_QUEUE, queue);
	request_str(&w, F_TO, to);
	if (count > 0)
		request_u32(&w, F_COUNT, count);
	st = finish(h, c, &w, &r, timeout_ms);
	if (done != NULL)
		*done = r.count;
	return st;
}

struct purge_step { struct estafette_purged *total; uint64_t next; };

static int purge_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct purge_step *s = arg;
	for (size_t i = 0; i < n; i++) {
		uint64_t x = m[i].kind == ESTAFETTE_NUMBER && m[i].number > 0 ? (uint64_t)m[i].number : 0;
		if (strcmp(m[i].name, "purged") == 0)
			s->total->purged += x;
		else if (strcmp(m[i].name, "waiting") == 0)
			s->total->waiting += x;
		else if (strcmp(m[i].name, "sealed") == 0)
			s->total->sealed += x;
		else if (strcmp(m[i].name, "bytes") == 0)
			s->total->bytes += x;
		else if (strcmp(m[i].name, "next") == 0)
			s->next = x;
	}
	return 0;
}

int estafette_purge(estafette *h, const char *exercise, int dry, struct estafette_purged *out, int timeout_ms)
{
	struct purge_step s = {.total = out, .next = 1};
	int st = ESTAFETTE_OK;
	if (exercise == NULL || out == NULL || out->size < sizeof *out)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "a purge needs the name of an exercise, and where to count");
	while (st == ESTAFETTE_OK && s.next != 0) {
		struct request_writer w;
		struct call *c = NULL;
		uint64_t from = s.next;
		st = order_call(h, REQ_PURGE, purge_row, &s, &c);
		if (st != ESTAFETTE_OK)
			return st;
		s.next = 0;
		request_begin(&w, &h->out, REQ_PURGE, c->r.tag);
		request_str(&w, F_EXERCISE, exercise);
		request_u64(&w, F_NUMBER, from);
		if (dry)
			request_u8(&w, F_DRY, 1);
		st = finish(h, c, &w, NULL, timeout_ms);
	}
	return st;
}
