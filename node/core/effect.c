#include "node/core/effect.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct effect *effect_add(struct effects *e, enum effect_type type)
{
	if (e->n == e->cap) {
		size_t cap = e->cap ? 2 * e->cap : 64;
		struct effect *list = realloc(e->list, cap * sizeof *list);

		if (!list) {
			e->bad = true;
			return NULL;
		}
		e->list = list;
		e->cap = cap;
	}
	struct effect *f = &e->list[e->n++];

	*f = (struct effect){.type = type, .at = e->bytes.len};
	return f;
}

/* Where the bytes of the effect that is being written begin: the end of the last one. */
static size_t effects_end(const struct effects *e)
{
	return e->n ? e->list[e->n - 1].at + e->list[e->n - 1].len : 0;
}

struct buf *effect_begin(struct effects *e)
{
	assert(e->bytes.len == effects_end(e) || e->bytes.bad);
	return &e->bytes;
}

static struct effect *effect_end(struct effects *e, enum effect_type type)
{
	size_t at = effects_end(e);
	struct effect *f = effect_add(e, type);

	if (!f || !buf_ok(&e->bytes)) {
		e->bad = true;
		return NULL;
	}
	f->at = at;
	f->len = e->bytes.len - at;
	return f;
}

void effect_end_frame(struct effects *e, uint16_t peer, uint8_t lane, uint8_t side)
{
	struct effect *f = effect_end(e, EFFECT_FRAME);

	if (!f)
		return;
	f->peer = peer;
	f->lane = lane;
	f->side = side;
}

void effect_end_reply(struct effects *e, uint64_t client)
{
	struct effect *f = effect_end(e, EFFECT_REPLY);

	if (f)
		f->client = client;
}

static void end_link(struct effects *e, enum effect_type type, uint16_t peer, uint8_t lane, uint8_t side)
{
	struct effect *f = effect_end(e, type);

	if (!f)
		return;
	f->peer = peer;
	f->lane = lane;
	f->side = side;
}

void effect_link_reset(struct effects *e, uint16_t peer, uint8_t lane, enum link_reset how)
{
	end_link(e, EFFECT_LINK_RESET, peer, lane, (uint8_t)how);
}

void effect_link_need(struct effects *e, uint16_t peer, uint8_t lane, enum dial_need need)
{
	end_link(e, EFFECT_LINK_NEED, peer, lane, (uint8_t)need);
}

void effect_link_retry(struct effects *e, uint16_t peer)
{
	end_link(e, EFFECT_LINK_RETRY, peer, 0, 0);
}

void effect_client_close(struct effects *e, uint64_t client)
{
	struct effect *f = effect_end(e, EFFECT_CLIENT_CLOSE);

	if (f)
		f->client = client;
}

void effect_roster(struct effects *e, struct view blob)
{
	buf_add(effect_begin(e), blob);
	(void)effect_end(e, EFFECT_ROSTER);
}

void effect_log(struct effects *e, uint8_t level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	buf_add(effect_begin(e), view_of(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1));
	struct effect *f = effect_end(e, EFFECT_LOG);

	if (f)
		f->level = level;
}

void effects_clear(struct effects *e)
{
	buf_clear(&e->bytes);
	e->n = 0;
	e->bad = false;
}

void effects_release(struct effects *e)
{
	buf_release(&e->bytes);
	free(e->list);
	*e = EFFECTS_EMPTY;
}
