/* oracle_journal.c - what journals hold: order, sameness, frontiers, and what is left when a journal is gone. */
#include "sim/oracle_int.h"

static uint64_t first_bytes(const struct hash *h)
{
	uint64_t x;

	memcpy(&x, h->b, sizeof x);
	return x;
}

static const char *stream_text(const struct oracle *o, const struct stream_name *n, char *out, size_t size)
{
	snprintf(out, size, "%s to %s, %s%s", osite_name(o, n->originator), osite_name(o, n->addressee), precedence_name(n->precedence), n->exercise ? " (exercise)" : "");
	return out;
}
#define STREAM_TEXT (2 * LIMIT_NAME_BYTES + 48)

/* ---- entries -------------------------------------------------------------------------------------------------------- */

static void item_apart(struct oracle *o, uint32_t i)
{
	if (!(o->items[i].flags & ITEM_APART))
		line_push(&o->apart, i);
	o->items[i].flags |= ITEM_APART;
}

static uint32_t item_of_entry(struct oracle *o, const struct seen_entry *e, uint32_t stream)
{
	uint32_t i = item_find(o, &e->header->id, e->stream->addressee), first = item_first(o, &e->header->id);

	if (i != NONE && o->items[i].stream == stream && o->items[i].number == e->number)
		return i;
	if (i == NONE) {
		i = item_new(o, &e->header->id, e->stream->addressee);
	} else {
		char text[MSGID_TEXT_BYTES];

		oracle_broken(o, PROMISE_TWICE, "%s stands in two places of the streams of %s", item_text(&o->items[i], text), osite_name(o, e->stream->originator));
		return i;
	}
	struct item *m = &o->items[i];

	m->stream = stream;
	m->number = (uint32_t)e->number;
	m->precedence = e->header->precedence;
	m->area = e->header->area;
	m->exercise = (e->header->flags & HEADER_EXERCISE) != 0;
	m->bytes = e->body_len > UINT32_MAX ? UINT32_MAX : (uint32_t)e->body_len;
	m->handle_by_us = e->header->handle_by.us;
	if (first != NONE && o->items[first].flags & ITEM_BOUND) {
		m->flags |= ITEM_BOUND;
		m->submission = o->items[first].submission;
	}
	if (e->header->flags & HEADER_CHUNKED) {
		m->flags |= ITEM_CHUNKED;
		item_apart(o, i);
	}
	item_counts(o, i);
	if (e->header->expires.us) {
		m->expires_us = o->now + (e->header->expires.us - e->header->sent.us); /* by its originator's clock, which labels only */
		expiring_add(o, i);
	}
	if (m->precedence == PREC_FLASH && !m->exercise && e->stream->originator != e->stream->addressee && !(m->flags & ITEM_CHUNKED))
		flash_begin(o, i);
	return i;
}

static void incarnation_seen(struct oracle *o, const struct stream_name *name)
{
	struct osite *s = osite_get(o, name->originator);

	if (s->named && name->incarnation.born_us > s->incarnation.born_us)
		oracle_rare(o, RARE_REBIRTH);
	if (!s->named || name->incarnation.born_us > s->incarnation.born_us)
		s->incarnation = name->incarnation;
	s->named = true;
}

/* The first journal to hold an entry is its originator's: nothing leaves a node before it is on its disk. */
static void entry_new(struct oracle *o, const struct seen_entry *e, struct ostream *s)
{
	char text[STREAM_TEXT];

	o->v.checks[PROMISE_FRONTIER]++;
	if (e->site != e->stream->originator)
		oracle_broken(o, PROMISE_FRONTIER, "%s holds number %llu of the stream %s, which its originator never had on its disk", osite_name(o, e->site),
			      (unsigned long long)e->number, stream_text(o, e->stream, text, sizeof text));
	else
		incarnation_seen(o, e->stream);
	s->chain = oracle_room(s->chain, e->number, &s->cap, sizeof *s->chain);
	s->item = oracle_room(s->item, e->number, &s->cap_item, sizeof *s->item);
	for (uint64_t n = s->top; n < e->number; n++) {
		s->chain[n] = 0;
		s->item[n] = NONE;
	}
	s->top = e->number;
	s->chain[e->number - 1] = first_bytes(e->chain);
	if (e->header->kind == KIND_MESSAGE) {
		uint32_t stream = (uint32_t)(s - o->streams), i = item_of_entry(o, e, stream);

		o->streams[stream].item[e->number - 1] = i;
	}
}

/* A site that a stream does not concern, by the roster and an order, may hold a copy on its way, and begin anywhere. */
static bool passes_by(const struct oracle *o, uint16_t site, const struct stream_name *name, const struct order *order)
{
	uint16_t list[LIMIT_CUSTODIANS];
	size_t n = roster_custodians(o->roster, name->addressee, list);
	bool concerned = site == name->originator || site == name->addressee || (order && order_names(order, site));

	for (size_t i = 0; i < n; i++)
		concerned = concerned || list[i] == site;
	return !concerned;
}

static bool passes_on(const struct oracle *o, uint16_t site, const struct stream_name *name)
{
	return passes_by(o, site, name, order_seen(o, site, name->addressee, name->exercise));
}

/* An entry may have come before the order in its commit. */
static bool passed_on(const struct oracle *o, uint16_t site, const struct stream_name *name)
{
	return passes_on(o, site, name) || passes_by(o, site, name, order_before(o, site, name->addressee, name->exercise));
}

/* The custodians by the roster and the order that a site's journal has in force. */
static size_t custodians_seen(const struct oracle *o, const struct stream_name *name, const struct order *order, uint16_t out[LIMIT_CUSTODIANS + LIMIT_ASSIGNMENTS])
{
	size_t n = roster_custodians(o->roster, name->addressee, out);

	for (size_t i = 0; order && i < order->n_assign; i++) {
		bool there = false;

		for (size_t k = 0; k < n; k++)
			there = there || out[k] == order->assign[i].to;
		if (!there)
			out[n++] = order->assign[i].to;
	}
	return n;
}

/* A copy goes when all custodians have it, or all who serve the addressee's queues and two of them. */
static bool has_arrived(const struct oracle *o, const struct ostream *s, uint16_t site, uint64_t number)
{
	const struct order *order = order_seen(o, site, s->name.addressee, s->name.exercise);
	uint16_t list[LIMIT_CUSTODIANS + LIMIT_ASSIGNMENTS];
	size_t n = custodians_seen(o, &s->name, order, list), have = 0;
	bool served = true;

	for (size_t i = 0; i < n; i++) {
		bool home = list[i] == s->name.addressee, has = ostream_held(s, list[i]) >= number || list[i] == s->name.originator;

		have += has;
		if (order ? order_names(order, list[i]) || (home && order_leaves_home(order)) : home)
			served = served && has;
	}
	return have == n || (served && have >= 2);
}

/* A copy on its way begins anew once the site is to hold the stream itself: somebody else holds what it had. */
static void anew(struct oracle *o, const struct ostream *s, struct holder *h, uint64_t held)
{
	uint64_t had = h->held;
	char text[STREAM_TEXT];

	*h = (struct holder){.site = h->site, .held = held, .said = held};
	if (had > h->held && had > ostream_most(s) && !o->replaced_any)
		oracle_broken(o, PROMISE_LOST, "%s threw away number %llu of the stream %s, which no other journal holds", osite_name(o, h->site),
			      (unsigned long long)had, stream_text(o, &s->name, text, sizeof text));
}

void oracle_entry(struct oracle *o, const struct seen_entry *e)
{
	struct ostream *s = ostream_get(o, e->stream);
	struct holder *h = holder_get(o, s, e->site);
	char text[STREAM_TEXT];

	o->v.checks[PROMISE_ORDER]++;
	o->v.checks[PROMISE_ALTERED]++;
	bool passes = passes_on(o, e->site, e->stream);

	/* Once it is to hold the stream itself it may begin anew. A grant may also be had behind a floor that stays. */
	if (h->passed && e->number <= h->held && e->number > e->floor && (!passes || order_changes(o, e->site, e->stream->addressee, e->stream->exercise)))
		anew(o, s, h, e->number - 1);
	h->passed = h->passed || passes;
	osite_get(o, e->site)->passed |= passes;
	if (e->number != h->held + 1 && e->number > h->floor && !(e->number > h->held && passed_on(o, e->site, e->stream)))
		oracle_broken(o, PROMISE_ORDER, "%s stored number %llu of the stream %s after number %llu", osite_name(o, e->site), (unsigned long long)e->number,
			      stream_text(o, e->stream, text, sizeof text), (unsigned long long)h->held);
	if (e->number > s->top) {
		entry_new(o, e, s);
	} else if (s->chain[e->number - 1] && s->chain[e->number - 1] != first_bytes(e->chain)) {
		o->v.altered++;
		oracle_broken(o, PROMISE_ALTERED, "number %llu of the stream %s at %s is not what its originator wrote", (unsigned long long)e->number,
			      stream_text(o, e->stream, text, sizeof text), osite_name(o, e->site));
	}
	s = ostream_find(o, e->stream);
	if (e->number > h->held)
		h->held = e->number;
	if (e->from != e->stream->originator && e->from != e->site && e->site != e->stream->originator)
		oracle_rare(o, RARE_VIA_STANDBY);
	if (s->item[e->number - 1] != NONE)
		item_counts(o, s->item[e->number - 1]);
	if (e->site == e->stream->addressee && s->item[e->number - 1] != NONE) {
		if (e->whole)
			item_arrived(o, s->item[e->number - 1]);
		else
			item_apart(o, s->item[e->number - 1]);
	}
}

/* A message goes only when it has ended. */
static void look_retired(struct oracle *o, const struct ostream *s, uint16_t site, uint64_t number)
{
	uint32_t i = s->item[number - 1];
	char text[STREAM_TEXT], id[MSGID_TEXT_BYTES];

	if (passes_on(o, site, &s->name)) {
		/* A copy begins where who gave it knew that all before had arrived. */
		if (number <= ostream_held(s, site) && !o->replaced_any && !has_arrived(o, s, site, number))
			oracle_broken(o, PROMISE_LOST, "%s let go of number %llu of the stream %s, which has not arrived", osite_name(o, site), (unsigned long long)number,
				      stream_text(o, &s->name, text, sizeof text));
		return;
	}
	if (i == NONE || (o->items[i].flags & (ITEM_ENDED | ITEM_FORGIVEN | ITEM_ASIDE)) || (o->items[i].expires_us && o->items[i].expires_us <= o->now))
		return;
	oracle_broken(o, PROMISE_LOST, "%s retired number %llu of the stream %s: %s has not ended", osite_name(o, site), (unsigned long long)number,
		      stream_text(o, &s->name, text, sizeof text), item_text(&o->items[i], id));
}

void oracle_floor(struct oracle *o, uint16_t site, const struct stream_name *name, uint64_t number, const struct hash *chain)
{
	struct ostream *s = ostream_get(o, name);
	struct holder *h = holder_get(o, s, site);
	char text[STREAM_TEXT];

	/* It began anew, since it is to hold it itself, and further back. */
	if (h->passed && number < h->floor && !passes_on(o, site, name)) {
		anew(o, s, h, number);
		h->floor = number;
	}
	if (number <= h->floor)
		return;
	o->v.checks[PROMISE_LOST]++;
	if (number > s->top || (s->chain[number - 1] && s->chain[number - 1] != first_bytes(chain)))
		oracle_broken(o, PROMISE_ALTERED, "%s: the stream %s begins at %llu, which its originator never wrote so", osite_name(o, site),
			      stream_text(o, name, text, sizeof text), (unsigned long long)number);
	h->passed = h->passed || passes_on(o, site, name);
	for (uint64_t n = h->floor + 1; n <= number && n <= s->top; n++)
		look_retired(o, s, site, n);
	h->floor = number;
	if (h->held < number)
		h->held = number;
}

void oracle_whole(struct oracle *o, uint16_t site, const struct stream_name *name, uint64_t number)
{
	struct ostream *s = ostream_find(o, name);

	if (s && site == name->addressee && number && number <= s->top && s->item[number - 1] != NONE)
		item_arrived(o, s->item[number - 1]);
}

void oracle_stream_now(struct oracle *o, uint16_t site, const struct stream_name *name, uint64_t floor, uint64_t held)
{
	struct ostream *s = ostream_find(o, name);
	struct holder *h = s ? holder_get(o, s, site) : NULL;
	char text[STREAM_TEXT];

	if (!h || held >= h->held)
		return;
	o->v.checks[PROMISE_LOST]++;
	if (!h->passed)
		oracle_broken(o, PROMISE_LOST, "%s held the stream %s up to %llu, and after an order only up to %llu", osite_name(o, site),
			      stream_text(o, name, text, sizeof text), (unsigned long long)h->held, (unsigned long long)held);
	anew(o, s, h, floor);
	h->floor = floor;
}

bool oracle_passed(struct oracle *o, uint16_t site)
{
	return osite_get(o, site)->passed;
}

void oracle_stream_at_start(struct oracle *o, uint16_t site, const struct stream_name *name, uint64_t held, const struct hash *chain)
{
	struct ostream *s = ostream_get(o, name);
	const struct holder *h = holder_find(s, site);
	char text[STREAM_TEXT];

	o->v.checks[PROMISE_LOST]++;
	if (h && held < h->held && !h->passed) {
		o->v.lost += h->held - held;
		oracle_broken(o, PROMISE_LOST, "%s held the stream %s up to %llu, and after its restart only up to %llu", osite_name(o, site),
			      stream_text(o, name, text, sizeof text), (unsigned long long)h->held, (unsigned long long)held);
	}
	if (held && held <= s->top && s->chain[held - 1] && s->chain[held - 1] != first_bytes(chain)) {
		o->v.altered++;
		oracle_broken(o, PROMISE_ALTERED, "%s: the stream %s at %llu is another one after the restart", osite_name(o, site),
			      stream_text(o, name, text, sizeof text), (unsigned long long)held);
	}
}

/* ---- frontiers ------------------------------------------------------------------------------------------------------------ */

void oracle_frontier(struct oracle *o, uint16_t holder, const struct stream_name *name, uint64_t number, const struct hash *chain)
{
	struct ostream *s = ostream_find(o, name);
	char text[STREAM_TEXT];

	if (!number)
		return;
	o->v.checks[PROMISE_FRONTIER]++;
	if (!s) {
		oracle_broken(o, PROMISE_FRONTIER, "%s says that it holds the stream %s up to %llu: no journal holds such a stream", osite_name(o, holder),
			      stream_text(o, name, text, sizeof text), (unsigned long long)number);
		return;
	}
	struct holder *h = holder_get(o, s, holder);

	/* It began anew, since it is to hold it itself; its first entries may be grants, which it had kept. */
	if (h->passed && number < h->said && !passes_on(o, holder, name))
		anew(o, s, h, number);
	if (number > h->held)
		oracle_broken(o, PROMISE_FRONTIER, "%s says that it holds the stream %s up to %llu, and its journal holds %llu", osite_name(o, holder),
			      stream_text(o, name, text, sizeof text), (unsigned long long)number, (unsigned long long)h->held);
	else if (number < h->said)
		oracle_broken(o, PROMISE_FRONTIER, "%s said %llu of the stream %s, and now says %llu", osite_name(o, holder), (unsigned long long)h->said,
			      stream_text(o, name, text, sizeof text), (unsigned long long)number);
	else if (number <= s->top && s->chain[number - 1] && s->chain[number - 1] != first_bytes(chain))
		oracle_broken(o, PROMISE_FRONTIER, "%s tells another chain hash of the stream %s at %llu than its originator", osite_name(o, holder),
			      stream_text(o, name, text, sizeof text), (unsigned long long)number);
	if (number > h->said)
		h->said = number;
}

void oracle_sent(struct oracle *o, uint16_t to, const struct stream_name *name, uint64_t first)
{
	const struct ostream *s = ostream_find(o, name);

	if (s && ostream_held(s, to) >= first)
		oracle_rare(o, RARE_RESENT_ENTRY);
}

/* ---- a journal is another one ------------------------------------------------------------------------------------------------- */

/* Whether the report of an item's end, or of its handing out, is in a journal that still exists. */
static bool end_known(const struct oracle *o, const struct item *m)
{
	return m->end_stream != NONE && ostream_most(&o->streams[m->end_stream]) >= m->end_number;
}

static void forgive(struct oracle *o, uint16_t site)
{
	for (size_t i = 0; i < o->n_items; i++) {
		struct item *m = &o->items[i];

		if (ostream_most(&o->streams[m->stream]) < m->number)
			item_uncounts(o, (uint32_t)i); /* destroyed */
		bool served = m->addressee == site || m->handed_by == site || m->ended_by == site;

		if (served && m->flags & (ITEM_READ | ITEM_REFUSED | ITEM_SERVED) && !end_known(o, m))
			m->flags |= ITEM_FORGIVEN; /* nobody else knows of it */
		if (m->addressee == site)
			m->flags &= ~(uint32_t)ITEM_HELD;
	}
}

void oracle_journal_replaced(struct oracle *o, uint16_t site, bool restored)
{
	struct osite *at = osite_get(o, site);

	oracle_fault(o, restored ? FAULT_JOURNAL_RESTORED : FAULT_JOURNAL_LOST);
	at->replaced = true;
	o->replaced_any = true;
	at->recovered = false;
	at->flipped = false;
	for (size_t k = 0; k < at->n_kept; k++) {
		struct ostream *s = &o->streams[at->kept[k]];
		struct holder *h = holder_get(o, s, site);

		h->held = h->said = h->floor = 0;
		h->passed = false;
	}
	forgive(o, site);
	orders_forget(o, site);
}
