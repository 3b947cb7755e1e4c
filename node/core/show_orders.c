/* show_orders.c - the orders known here, site by site in the order of their chains. */
#include <stdio.h>

#include "node/core/give.h"

static int by_chain(const void *a, const void *b)
{
	const struct order_known *const *x = a, *const *y = b;
	const struct order *p = &(*x)->order, *q = &(*y)->order;

	if (p->site != q->site)
		return p->site < q->site ? -1 : 1;
	if (!p->exercise[0] != !q->exercise[0])
		return p->exercise[0] ? 1 : -1;
	if (p->epoch != q->epoch)
		return p->epoch < q->epoch ? -1 : 1;
	return memcmp((*x)->id.b, (*y)->id.b, HASH_BYTES);
}

static void acknowledged_by(struct rows *r, const struct order_known *k)
{
	struct core *c = r->c;
	struct buf list = BUF_EMPTY;

	/* Who showed to have it is heard, and not kept. */
	if (c->config.past) {
		row_null(r, "acknowledged_by");
		return;
	}
	for (size_t i = 0; i < c->roster->n_sites; i++) {
		const struct site *s = &c->roster->sites[i];

		if (s->number != c->self && !state_acknowledged(c, &k->id, s->number))
			continue;
		if (list.len)
			buf_add_u8(&list, '\n');
		buf_add(&list, view_str(s->id));
	}
	row_list(r, "acknowledged_by", &list);
	buf_release(&list);
}

/* What the order in force still waits for here; null for all others, and when it waits for nothing. */
static void waits_for(struct rows *r, const struct order_known *k)
{
	const struct chain *ch = chain_find(r->c, k->order.site, k->order.exercise[0] != '\0');
	char text[400];

	if (!r->c->config.past && ch && ch->now == k && takeover_waits(r->c, ch, text, sizeof text))
		row_text(r, "waits", text);
	else
		row_null(r, "waits");
}

static void order_line(struct rows *r, const struct order_known *k)
{
	struct core *c = r->c;
	const struct order *o = &k->order;
	char id[17], name[LIMIT_NAME_BYTES + 1];
	struct buf lines = BUF_EMPTY;

	hex_format(k->id.b, 8, id);
	order_text(c->roster, o, &lines);
	while (lines.len && lines.ptr[lines.len - 1] == '\n')
		lines.len--;
	row_begin(r);
	row_text(r, "id", id);
	row_text(r, "kind", order_kind_name(o->kind));
	row_text(r, "site", site_name(c, o->site, name));
	row_number(r, "epoch", o->epoch);
	bool over = (k->state == ORDER_IN_FORCE || k->state == ORDER_PENDING) && minimize_over(c, k);

	row_text(r, "state", order_state_name(over ? ORDER_SUPERSEDED : k->state));
	row_list(r, "assignments", &lines);
	row_text(r, "issuer", site_name(c, o->issuer, name));
	row_text(r, "reason", o->reason);
	if (o->exercise[0])
		row_text(r, "exercise", o->exercise);
	else
		row_null(r, "exercise");
	acknowledged_by(r, k);
	row_number(r, "votes", k->votes);
	row_number(r, "needs", order_needs(c, o));
	row_text(r, "why", over ? "its time is over" : k->why);
	row_time(r, "issued", o->issued);
	waits_for(r, k);
	row_end(r);
	buf_release(&lines);
}

void show_orders(struct rows *r)
{
	const struct takeover *t = &r->c->takeover;
	struct order_known **list = malloc((t->n_orders + 1) * sizeof *list);

	if (!list) {
		effect_log(r->c->out, 3, "orders: out of memory");
		return;
	}
	for (size_t i = 0; i < t->n_orders; i++)
		list[i] = t->orders[i];
	qsort(list, t->n_orders, sizeof *list, by_chain);
	for (size_t i = 0; i < t->n_orders; i++)
		order_line(r, list[i]);
	free(list);
}
