/* asks.c - see asks.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/asks.h"

enum err ask_answered(struct world *w, size_t i, char *text, size_t size)
{
	struct request r;

	if (size)
		text[0] = '\0';
	for (int tries = 0; tries < 200; tries++) {
		while (world_reply(w, i, &r)) {
			if (r.type == REPLY_DONE)
				return ERR_OK;
			if (r.type == REPLY_ERROR) {
				view_to_str(reply_field(&r, F_TEXT), text, size);
				return ERR_REFUSED;
			}
		}
		world_run(w, 10000);
	}
	fail_msg("no answer");
	return ERR_INTERNAL;
}

enum err ask_order(struct world *w, size_t i, const char *what, const struct ask *a, char *text, size_t size)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_ORDER, ++w->tag);
	request_str(&rw, F_WHAT, what);
	if (a->site)
		request_str(&rw, F_TO, a->site);
	if (a->precedence)
		request_u8(&rw, F_PRECEDENCE, a->precedence);
	if (a->until.us)
		request_u64(&rw, F_EXPIRES, (uint64_t)a->until.us);
	for (size_t k = 0; k < 4 && a->assign[k]; k++)
		request_str(&rw, F_ASSIGN, a->assign[k]);
	request_str(&rw, F_WITHOUT, a->without);
	request_str(&rw, F_EXERCISE, a->exercise);
	request_str(&rw, F_REASON, "flood");
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	return ask_answered(w, i, text, size);
}

void ask_order_ok(struct world *w, size_t i, const char *what, const struct ask *a)
{
	char text[512];

	if (ask_order(w, i, what, a, text, sizeof text))
		fail_msg("%s of %s: %s", what, a->site ? a->site : "all", text);
}

void ask_send(struct world *w, size_t i, const char *to, enum precedence p, const char *body, struct msgid *id)
{
	struct send_options o = {.subject = body};

	assert_int_equal(world_send(w, i, to, p, view_str(body), &o, id, NULL), ERR_OK);
}

bool ask_take(struct world *w, size_t i, const char *queue, int64_t us, char body[64], struct msgid *id, char *seen)
{
	struct taken t = {.body = BUF_EMPTY};
	bool got = world_take_one(w, i, queue, us, &t);

	if (got) {
		view_to_str(buf_view(&t.body), body, 64);
		*id = t.id;
		if (seen)
			memcpy(seen, t.perhaps_seen, sizeof t.perhaps_seen);
	}
	buf_release(&t.body);
	return got;
}

void ask_take_in(struct world *w, size_t i, const char *queue, int64_t us, const char *body, struct msgid *id)
{
	struct taken t = {.body = BUF_EMPTY};

	if (!world_take_one(w, i, queue, us, &t))
		fail_msg("nothing in %s, expected \"%s\"", queue, body);
	if (!view_equal(buf_view(&t.body), view_str(body)))
		fail_msg("%s: got \"%.*s\", expected \"%s\"", queue, (int)t.body.len, (const char *)t.body.ptr, body);
	if (id)
		*id = t.id;
	buf_release(&t.body);
}

void ask_take_is(struct world *w, size_t i, const char *queue, const char *body, struct msgid *id)
{
	ask_take_in(w, i, queue, 3 * US_PER_S, body, id);
}

void ask_take_none(struct world *w, size_t i, const char *queue)
{
	char got[64] = "";
	struct msgid id;

	if (ask_take(w, i, queue, 3 * US_PER_S, got, &id, NULL))
		fail_msg("%s: \"%s\" was handed out", queue, got);
}

void ask_read(struct world *w, size_t i, const struct msgid *id)
{
	assert_int_equal(world_handle(w, i, REQ_ACK, id), ERR_OK);
}

static size_t without(uint16_t *list, size_t n, uint16_t number)
{
	for (size_t k = n; k-- > 0;)
		if (list[k] == number)
			list[k] = list[--n];
	return n;
}

void roster_without(struct roster *r, uint16_t number, uint16_t heir)
{
	for (size_t i = 0; i < r->n_sites; i++) {
		struct site *s = &r->sites[i];

		s->n_standbys = without(s->standbys, s->n_standbys, number);
		if (s->number != number)
			continue;
		s->removed = true;
		s->n_bearers = 0;
		s->link = (struct link_public){{0}};
	}
	for (size_t i = 0; i < r->n_groups; i++)
		r->groups[i].n_members = without(r->groups[i].members, r->groups[i].n_members, number);
	for (size_t i = 0; i < r->n_areas; i++)
		if (r->areas[i].site == number)
			r->areas[i].site = heir;
}

enum err ask_apply(struct world *w, size_t i, struct event *ev, size_t n, struct effects *out)
{
	for (size_t k = 0; k < n; k++) {
		ev[k].now = w->now;
		ev[k].wall = world_wall(w, i);
	}
	return core_apply(w->node[i].core, w->node[i].store, ev, n, out);
}

void ask_frame(struct world *w, size_t at, size_t from, const struct buf *frame)
{
	struct effects out = EFFECTS_EMPTY;
	struct event ev = {.type = EVENT_FRAME};

	ev.u.frame.peer = w->number[from];
	ev.u.frame.lane = LANE_URGENT;
	ev.u.frame.side = SIDE_ACCEPTED;
	ev.u.frame.bytes = buf_view(frame);
	assert_int_equal(ask_apply(w, at, &ev, 1, &out), ERR_OK);
	effects_release(&out);
}

void ask_fail_next(struct world *w, size_t i, enum err e)
{
	w->node[i].fail_at = w->node[i].commits + 1;
	w->node[i].fail_with = e;
}

void ask_take_bytes(struct buf *b, const char *queue, uint32_t tag, uint32_t count, const char *exercise)
{
	struct request_writer rw;

	request_begin(&rw, b, REQ_TAKE, tag);
	request_str(&rw, F_QUEUE, queue);
	request_u32(&rw, F_COUNT, count);
	request_str(&rw, F_EXERCISE, exercise);
	request_end(&rw);
}

unsigned ask_replies_of(struct world *w, size_t i, uint8_t type)
{
	struct request r;
	unsigned n = 0;

	while (world_reply(w, i, &r))
		n += r.type == type;
	return n;
}
