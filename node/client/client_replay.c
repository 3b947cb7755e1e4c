/* client_replay.c - messages handed out again, a step after the other. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "node/client/client.h"

static int replay_row(void *arg, const struct estafette_member *m, size_t n)
{
	static const struct { const char *name; size_t at; } members[] = {
#define MEMBER(name, of) {name, offsetof(struct estafette_replayed, of)}
		MEMBER("replayed", replayed), MEMBER("now", now), MEMBER("flash", by_precedence[0]), MEMBER("immediate", by_precedence[1]),
		MEMBER("priority", by_precedence[2]), MEMBER("routine", by_precedence[3]), MEMBER("waiting", waiting), MEMBER("ended", ended),
		MEMBER("sealed", sealed), MEMBER("quarantined", quarantined), MEMBER("damaged", damaged), MEMBER("gone", gone),
		MEMBER("elsewhere", elsewhere), MEMBER("next", next),
#undef MEMBER
	};
	struct estafette_replayed *r = arg;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < sizeof members / sizeof members[0]; k++)
			if (m[i].kind == ESTAFETTE_NUMBER && m[i].number >= 0 && strcmp(m[i].name, members[k].name) == 0)
				*(uint64_t *)((char *)r + members[k].at) = (uint64_t)m[i].number;
		if (m[i].kind == ESTAFETTE_TIME && strcmp(m[i].name, "began") == 0)
			r->began_us = m[i].number;
		if (m[i].kind == ESTAFETTE_TEXT && strcmp(m[i].name, "by") == 0 && m[i].text)
			snprintf(r->by, sizeof r->by, "%s", m[i].text);
	}
	return 0;
}

static int replay_call(struct estafette *h, const struct estafette_replay *r, int last, struct estafette_replayed *out, int timeout_ms)
{
	struct estafette_replayed got = *out;
	struct request_writer w;
	if (h->fd < 0)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "the handle is not connected");
	struct call *c = call_new(h, REQ_REPLAY);
	if (c == NULL)
		return client_nomem(h);
	c->row = replay_row;
	c->row_arg = &got;
	request_begin(&w, &h->out, REQ_REPLAY, c->r.tag);
	request_str(&w, F_QUEUE, r->queue);
	request_str(&w, F_TO, r->into);
	if (r->from_us > 0)
		request_u64(&w, F_SINCE, (uint64_t)r->from_us);
	if (r->to_us > 0)
		request_u64(&w, F_UNTIL, (uint64_t)r->to_us);
	if (r->precedence >= 0)
		request_u8(&w, F_PRECEDENCE, (uint8_t)r->precedence);
	request_str(&w, F_CHANNEL, r->channel);
	request_str(&w, F_FROM, r->originator);
	request_str(&w, F_REASON, r->reason);
	if (r->count > 0)
		request_u32(&w, F_COUNT, r->count);
	if (r->dry)
		request_u8(&w, F_DRY, 1);
	if (r->dry && out->next > 0)
		request_u64(&w, F_NUMBER, out->next);
	if (last)
		request_u8(&w, F_LAST, 1);
	int st = call_begin(h, c, &w);
	if (st == ESTAFETTE_OK)
		st = call_finish(h, c, NULL, timeout_ms);
	if (st == ESTAFETTE_OK)
		*out = got;
	return st;
}

/* A dry run keeps nothing at the node: its steps are added up here. */
static void add_up(struct estafette_replayed *sum, const struct estafette_replayed *before)
{
	sum->replayed += before->replayed;
	for (int i = 0; i < 4; i++)
		sum->by_precedence[i] += before->by_precedence[i];
	sum->waiting += before->waiting;
	sum->ended += before->ended;
	sum->sealed += before->sealed;
	sum->quarantined += before->quarantined;
	sum->damaged += before->damaged;
	sum->gone += before->gone;
	sum->elsewhere += before->elsewhere;
}

int estafette_replay(estafette *h, const struct estafette_replay *r, struct estafette_replayed *out, int timeout_ms)
{
	if (r == NULL || r->size < sizeof *r || r->queue == NULL || r->precedence > ESTAFETTE_ROUTINE || out == NULL || out->size < sizeof *out)
		return client_fail(h, ESTAFETTE_USAGE, "usage", "a replay needs its size, a queue, and where to count");
	struct estafette_replayed before = *out;
	int st = replay_call(h, r, 0, out, timeout_ms);
	if (st == ESTAFETTE_OK && r->dry)
		add_up(out, &before);
	return st;
}

int estafette_replay_end(estafette *h, const struct estafette_replay *r, int timeout_ms)
{
	struct estafette_replayed none = ESTAFETTE_REPLAYED_INIT;
	return replay_call(h, r, 1, &none, timeout_ms);
}
