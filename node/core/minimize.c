/* minimize.c - what MINIMIZE holds back, and when it ends. */
#include "node/core/give.h"

static const struct order_known *in_force(const struct core *c)
{
	const struct chain *ch = c->takeover.n_chains ? chain_find(c, ORDER_NETWORK, false) : NULL;

	return ch && ch->now && ch->now->order.kind == ORDER_MINIMIZE ? ch->now : NULL;
}

/* A clock that is not to be trusted lifts nothing. */
bool minimize_over(const struct core *c, const struct order_known *o)
{
	return o->order.kind == ORDER_MINIMIZE && !c->clock_unsure && c->wall.us >= o->order.until.us;
}

/* What stood still may be sent again. */
static void release(struct core *c, uint8_t before)
{
	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];

		for (size_t k = 0; s->row.name.precedence >= before && k < s->n_flows; k++)
			flow_update(c, &s->flows[k]);
	}
	peers_touch_all(c);
}

void minimize_look(struct core *c)
{
	const struct order_known *o = in_force(c);
	struct minimize before = c->minimize, now = {.from = PREC_COUNT};
	char name[LIMIT_NAME_BYTES + 1];

	if (!c->clock_unsure && c->wall.us >= c->takeover.minimize_ends.us)
		orders_look_waiting(c);
	if (o && !minimize_over(c, o))
		now = (struct minimize){.from = o->order.precedence, .until = o->order.until, .issuer = o->order.issuer};
	c->minimize = now;
	if (now.from > before.from)
		release(c, before.from);
	if (now.from == before.from)
		return;
	c->restless = true;
	if (now.from == PREC_COUNT)
		effect_log(c->out, 5, "MINIMIZE is over: what was held back is sent");
	else
		effect_log(c->out, 5, "MINIMIZE by %s: %s messages%s stay where they are", site_name(c, now.issuer, name), precedence_name(now.from),
			   now.from < PREC_ROUTINE ? " and below" : "");
}

struct mono minimize_due(const struct core *c)
{
	int64_t us = c->takeover.minimize_ends.us;

	if (c->minimize.from != PREC_COUNT && c->minimize.until.us < us)
		us = c->minimize.until.us;
	return us == INT64_MAX || c->clock_unsure ? MONO_NEVER : mono_of_wall(c, us);
}

bool minimize_holds(const struct core *c, uint8_t precedence)
{
	return precedence >= c->minimize.from;
}

bool minimize_holds_entry(const struct core *c, const struct entry *e)
{
	struct header h;

	/* The most common case costs nothing. */
	if (c->minimize.from == PREC_COUNT)
		return false;
	return header_decode(e->header, &h) == ERR_OK && h.kind == KIND_MESSAGE && minimize_holds(c, h.precedence);
}

uint64_t minimize_waiting(const struct core *c, uint8_t precedence)
{
	uint64_t n = 0;

	for (size_t i = 0; i < c->n_streams; i++) {
		const struct stream *s = c->streams[i];
		uint64_t least = s->row.held;

		if (s->row.name.precedence != precedence || s->row.name.addressee == s->row.name.originator)
			continue;
		for (size_t k = 0; k < s->n_flows; k++)
			if (s->flows[k].known && (s->own || s->flows[k].helping) && s->flows[k].acked < least)
				least = s->flows[k].acked;
		n += s->row.held - least;
	}
	return n;
}

void minimize_members(struct rows *r)
{
	struct core *c = r->c;
	char name[LIMIT_NAME_BYTES + 1];
	bool on = c->minimize.from != PREC_COUNT;
	uint64_t n = 0;

	for (uint8_t p = c->minimize.from; p < PREC_COUNT; p++)
		n += minimize_waiting(c, p);
	if (!on) {
		row_null(r, "minimize");
		row_null(r, "minimize_until");
		row_null(r, "minimize_by");
		row_number(r, "minimize_held", 0);
		return;
	}
	row_text(r, "minimize", precedence_name(c->minimize.from));
	row_time(r, "minimize_until", c->minimize.until);
	row_text(r, "minimize_by", site_name(c, c->minimize.issuer, name));
	row_number(r, "minimize_held", (int64_t)n);
}

void minimize_dry(struct rows *r, const struct order *o)
{
	for (uint8_t p = 0; p < PREC_COUNT; p++) {
		row_begin(r);
		row_text(r, "part", "precedence");
		row_text(r, "precedence", precedence_name(p));
		row_flag(r, "now", minimize_holds(r->c, p));
		row_flag(r, "then", o->kind == ORDER_MINIMIZE && p >= o->precedence);
		row_number(r, "unsent", (int64_t)minimize_waiting(r->c, p));
		row_end(r);
	}
}
