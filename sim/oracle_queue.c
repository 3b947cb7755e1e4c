/* oracle_queue.c - the queues as they should be: what waits at a site, what has ended, and the order of handing out. */
#include "sim/oracle_int.h"

void line_push(struct line *l, uint32_t item)
{
	l->items = oracle_room(l->items, l->n + 1, &l->cap, sizeof *l->items);
	l->items[l->n++] = item;
}

uint32_t line_first(struct oracle *o, struct line *l, uint32_t skip_flags)
{
	while (l->at < l->n && (o->items[l->items[l->at]].flags & skip_flags))
		l->at++;
	if (l->at == l->n) {
		l->at = l->n = 0;
		return NONE;
	}
	return l->items[l->at];
}

static struct oqueue *oqueue_get(struct oracle *o, uint16_t site, uint32_t name)
{
	struct osite *s = osite_get(o, site);

	for (size_t i = 0; i < s->n_queues; i++)
		if (s->queues[i].name == name)
			return &s->queues[i];
	s->queues = oracle_room(s->queues, s->n_queues + 1, &s->cap_queues, sizeof *s->queues);
	s->queues[s->n_queues] = (struct oqueue){.site = site, .name = name};
	return &s->queues[s->n_queues++];
}

/* ---- what has passed its time ------------------------------------------------------------------------------------- */

static void swap(uint32_t *a, uint32_t *b)
{
	uint32_t x = *a;

	*a = *b;
	*b = x;
}

static int64_t expires(const struct oracle *o, size_t at)
{
	return o->items[o->expiring[at]].expires_us;
}

void expiring_add(struct oracle *o, uint32_t i)
{
	o->expiring = oracle_room(o->expiring, o->n_expiring + 1, &o->cap_expiring, sizeof *o->expiring);
	size_t at = o->n_expiring++;

	o->expiring[at] = i;
	for (; at && expires(o, at) < expires(o, (at - 1) / 2); at = (at - 1) / 2)
		swap(&o->expiring[at], &o->expiring[(at - 1) / 2]);
}

static void expiring_pop(struct oracle *o)
{
	o->expiring[0] = o->expiring[--o->n_expiring];
	for (size_t at = 0;;) {
		size_t least = at;

		for (size_t c = 2 * at + 1; c <= 2 * at + 2; c++)
			if (c < o->n_expiring && expires(o, c) < expires(o, least))
				least = c;
		if (least == at)
			return;
		swap(&o->expiring[at], &o->expiring[least]);
		at = least;
	}
}

/* By the true clock. A node's own may be off; what it makes of it is seen at the end. */
void expiring_pass(struct oracle *o)
{
	while (o->n_expiring && expires(o, 0) <= o->now) {
		uint32_t i = o->expiring[0];

		expiring_pop(o);
		if (!(o->items[i].flags & ITEM_ENDED))
			item_ended(o, i, ITEM_EXPIRED);
	}
}

/* A message's queue is known from its submission; what no client submitted for sure is not waited for. */
void item_queue(struct oracle *o, uint32_t i)
{
	struct item *m = &o->items[i];

	if ((m->flags & (ITEM_BOUND | ITEM_HELD | ITEM_QUEUED)) != (ITEM_BOUND | ITEM_HELD))
		return;
	m->flags |= ITEM_QUEUED;
	struct oqueue *q = oqueue_get(o, m->addressee, o->subs[m->submission].queue);

	line_push(&q->line[m->exercise][m->precedence], i);
}

/* ---- arrival and end ---------------------------------------------------------------------------------------------------- */

void item_arrived(struct oracle *o, uint32_t i)
{
	struct item *m = &o->items[i];
	char text[ITEM_NAME];

	if (m->flags & ITEM_HELD)
		return;
	m->flags |= ITEM_HELD;
	bool first = m->held_at < 0;

	m->held_at = o->now;
	if (first)
		flash_arrived(o, i);
	if (first && m->flags & ITEM_CHUNKED)
		oracle_rare(o, RARE_CHUNKED);
	if (first)
		story_tell(o->story, o->now, STORY_MESSAGE, "%s reached %s", item_name(o, i, text), osite_name(o, m->addressee));
	if (m->flags & ITEM_ENDED)
		return;
	item_queue(o, i);
}

void item_counts(struct oracle *o, uint32_t i)
{
	struct item *m = &o->items[i];
	struct osite *at = osite_get(o, m->addressee);

	if (m->flags & (ITEM_COUNTED | ITEM_ENDED))
		return;
	m->flags |= ITEM_COUNTED;
	at->depth++;
	if (m->precedence == PREC_FLASH)
		line_push(&at->flash, i);
}

void item_uncounts(struct oracle *o, uint32_t i)
{
	struct item *m = &o->items[i];

	if (m->flags & ITEM_COUNTED) {
		m->flags &= ~(uint32_t)ITEM_COUNTED;
		osite_get(o, m->addressee)->depth--;
	}
}

void item_ended(struct oracle *o, uint32_t i, uint32_t flag)
{
	struct item *m = &o->items[i];

	m->flags |= flag;
	if (flag == ITEM_EXPIRED)
		o->v.expired++;
	item_uncounts(o, i);
}

/* ---- handing out ------------------------------------------------------------------------------------------------------------ */

/* What waited there, undoubtedly and for longer than this commit, goes before what is less urgent. */
static void check_precedence(struct oracle *o, struct oqueue *q, const struct item *m, uint16_t site)
{
	char text[MSGID_TEXT_BYTES], other[MSGID_TEXT_BYTES];

	for (unsigned p = 0; p < m->precedence; p++) {
		uint32_t i = line_first(o, &q->line[m->exercise][p], ITEM_ENDED | ITEM_SERVED);

		if (i == NONE || !(o->items[i].flags & ITEM_HELD) || o->items[i].held_at >= o->now || o->items[i].expires_us)
			continue;
		if ((site != m->addressee || order_moved(o, m)) && (!order_gives(o, &o->items[i], o->names[q->name], site) ||
		    ostream_held(&o->streams[o->items[i].stream], site) < o->items[i].number || o->now - o->items[i].held_at < 60 * US_PER_S))
			continue;
		oracle_broken(o, PROMISE_ORDER, "%s hands out of %s/%s %s (%s) while %s (%s) waits there", osite_name(o, site), osite_name(o, m->addressee), o->names[q->name],
			      item_text(m, text), precedence_name(m->precedence), item_text(&o->items[i], other), precedence_name(p));
	}
	for (unsigned p = m->precedence + 1u; m->precedence == PREC_FLASH && p < PREC_COUNT; p++) {
		uint32_t i = line_first(o, &q->line[m->exercise][p], ITEM_ENDED | ITEM_SERVED);

		if (i != NONE && o->items[i].held_at < m->held_at) {
			oracle_rare(o, RARE_FLASH_OVERTOOK);
			break;
		}
	}
}

static struct handed_top *top_get(struct ostream *s, uint32_t queue)
{
	for (size_t i = 0; i < s->n_tops; i++)
		if (s->tops[i].queue == queue)
			return &s->tops[i];
	s->tops = oracle_room(s->tops, s->n_tops + 1, &s->cap_tops, sizeof *s->tops);
	s->tops[s->n_tops] = (struct handed_top){.queue = queue, .handle_by_us = INT64_MIN};
	return &s->tops[s->n_tops++];
}

static void check_stream_order(struct oracle *o, const struct oqueue *q, const struct item *m)
{
	struct handed_top *top = top_get(&o->streams[m->stream], q->name);
	char text[MSGID_TEXT_BYTES];

	if (m->number < top->number && m->handle_by_us <= top->handle_by_us && m->held_at < top->at && !(m->flags & ITEM_CHUNKED))
		oracle_broken(o, PROMISE_ORDER, "%s/%s hands out %s (number %u of its stream) after number %llu of the same stream",
			      osite_name(o, m->addressee), o->names[q->name], item_text(m, text), m->number, (unsigned long long)top->number);
	if (m->number > top->number)
		*top = (struct handed_top){.queue = q->name, .number = m->number, .handle_by_us = m->handle_by_us, .at = o->now};
}

/* To whom is it given, by what the site's own journal says? Unbound: its queue is the one that the node names. */
static void check_right(struct oracle *o, const struct serving *s, const struct item *m)
{
	char text[MSGID_TEXT_BYTES];

	o->v.checks[PROMISE_MISDELIVERED]++;
	if (order_gives(o, m, s->queue, s->site))
		return;
	o->v.misdelivered++;
	oracle_broken(o, PROMISE_MISDELIVERED, "%s for %s/%s was handed out at %s, to which %s", item_text(m, text), osite_name(o, s->addressee), s->queue,
		      osite_name(o, s->site), s->site == s->addressee ? "the order that it knows leaves nothing of it" : "no order that it knows gives it");
}

void oracle_served(struct oracle *o, uint16_t site, const char *queue, bool exercise, const struct msgid *id)
{
	oracle_served_at(o, &(struct serving){.site = site, .addressee = site, .queue = queue, .exercise = exercise, .id = *id});
}

void oracle_served_at(struct oracle *o, const struct serving *s)
{
	uint32_t i = item_find(o, &s->id, s->addressee);

	if (i == NONE || o->items[i].stream == NONE || o->items[i].exercise != s->exercise)
		return; /* oracle_handed_out says so, if it reaches a desk */
	struct item *m = &o->items[i];
	bool first = !(m->flags & ITEM_SERVED), moved = s->site != s->addressee || order_moved(o, m);

	if (moved && !(s->any_order && order_fresh(o, m, s->site)))
		check_right(o, s, m);
	m->flags &= ~(uint32_t)ITEM_JUDGED;
	if (had_elsewhere(o, i, s->site)) {
		judge_elsewhere(o, i, s->site, s->perhaps_seen);
		m->flags |= ITEM_JUDGED;
	}
	item_served_by(o, i, s->site);
	m->flags |= ITEM_SERVED;
	o->v.checks[PROMISE_ORDER] += !s->any_order;
	struct osite *at = osite_get(o, s->site);

	if (at->replaced && !at->recovered)
		oracle_rare(o, RARE_RECOVERED);
	at->recovered = at->replaced;
	if (!first || at->flipped || s->any_order)
		return; /* what came back goes first; what is damaged is passed over */
	if (moved && !order_settled(o, m, s->site))
		return; /* gates open one after another */
	struct oqueue *q = oqueue_get(o, s->addressee, name_of(o, s->queue));

	check_precedence(o, q, m, s->site);
	if (!moved)
		check_stream_order(o, q, m);
}
