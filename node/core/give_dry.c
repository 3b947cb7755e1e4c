/* give_dry.c - what an order would do, before anybody signs it: what waits, who would have it, and when they could hand it out. */
#include <stdio.h>

#include "node/core/give.h"

#define SAMPLE 16 /* entries of a stream whose size is looked at */
#define ENTRY_OVERHEAD 160

static bool is_exercise(const struct order *o) { return o->exercise[0] != '\0'; }

static void add_line(struct buf *out, const char *text)
{
	if (out->len)
		buf_add_u8(out, '\n');
	buf_add(out, view_str(text));
}

/* Does this node hold that site's queues, so that it knows what waits there? */
static bool holds(const struct core *c, uint16_t site, uint16_t of, bool exercise)
{
	uint16_t list[LIMIT_CUSTODIANS];
	size_t n = custodians(c, of, exercise, list);

	for (size_t i = 0; i < n; i++)
		if (list[i] == site)
			return true;
	return false;
}

/* ---- queues ------------------------------------------------------------------------------------------------------ */

static void oldest(struct rows *r, uint32_t queue, bool exercise, uint8_t precedence)
{
	struct core *c = r->c;
	int64_t sent = INT64_MAX;

	for (uint8_t fresh = 0; fresh < 2; fresh++) {
		struct place from = {.queue = queue, .exercise = exercise, .precedence = precedence, .fresh = fresh, .handle_by_us = INT64_MIN}, p;
		struct msgid id;

		if (store_place_from(c->t, &from, &p, &id) || p.precedence != precedence || p.fresh != fresh)
			continue;
		sent = msgid_time(&id).us < sent ? msgid_time(&id).us : sent;
	}
	if (sent == INT64_MAX)
		row_null(r, "oldest_s");
	else
		row_number(r, "oldest_s", (c->wall.us - sent) / US_PER_S);
}

/* Who would have messages of the queue, all or some. */
static void queue_successors(struct rows *r, const struct order *o, const char *queue)
{
	struct core *c = r->c;
	uint16_t sites[LIMIT_ASSIGNMENTS];
	size_t n = successors(o, sites);
	char name[LIMIT_NAME_BYTES + 1];
	struct buf list = BUF_EMPTY;

	for (size_t i = 0; i < n; i++)
		if (order_may_own(o, o->site, view_str(queue), sites[i]))
			add_line(&list, site_name(c, sites[i], name));
	if (order_may_own(o, o->site, view_str(queue), o->site))
		add_line(&list, site_name(c, o->site, name));
	row_list(r, "successors", &list);
	buf_release(&list);
}

static void queue_row(struct rows *r, const struct order *o, const char *queue, const struct queue *q, uint8_t precedence, bool known)
{
	char text[LIMIT_ADDRESS_BYTES + 2], name[LIMIT_NAME_BYTES + 1];
	uint8_t x = is_exercise(o);

	snprintf(text, sizeof text, "%s/%s", site_name(r->c, o->site, name), queue);
	row_begin(r);
	row_text(r, "part", "queue");
	row_text(r, "queue", text);
	queue_successors(r, o, queue);
	row_text(r, "precedence", precedence_name(precedence));
	if (known) {
		row_number(r, "waiting", q ? (int64_t)q->row.waiting[x][precedence] : 0);
		row_number(r, "leased", q ? (int64_t)q->row.leased[x][precedence] : 0);
	} else {
		row_null(r, "waiting");
		row_null(r, "leased");
	}
	if (known && q)
		oldest(r, q->row.local, x, precedence);
	else
		row_null(r, "oldest_s");
	row_end(r);
}

struct sums { uint64_t waiting, leased; };

static void queue_rows(struct rows *r, const struct order *o, bool known, struct sums *sums)
{
	const struct site *s = roster_site(r->c->roster, o->site);
	uint8_t x = is_exercise(o);

	for (size_t i = 0; s && i < s->n_queues; i++) {
		const char *name = s->queues[i].name;
		const struct queue *q = queue_find(r->c, o->site, view_str(name));

		for (uint8_t p = 0; p < PREC_COUNT; p++) {
			uint64_t waiting = q ? q->row.waiting[x][p] : 0, leased = q ? q->row.leased[x][p] : 0;

			sums->waiting += waiting;
			sums->leased += leased;
			if (p == PREC_FLASH || (known && (waiting || leased)))
				queue_row(r, o, name, q, p, known);
		}
	}
}

/* ---- successors -------------------------------------------------------------------------------------------------------- */

/* Bytes of so many entries after number, by the size of the first of them. */
static uint64_t bytes_after(struct core *c, const struct stream *s, uint64_t number, uint64_t entries)
{
	uint64_t bytes = 0, seen = 0;

	for (uint64_t i = 1; i <= entries && i <= SAMPLE; i++) {
		struct entry_row row;

		if (store_entry_find(c->t, s->row.local, number + i, &row) != ERR_OK)
			continue;
		bytes += row.e.envelope.len + row.e.body_len + ENTRY_OVERHEAD;
		seen++;
	}
	return seen ? bytes * entries / seen : 0;
}

struct backlog { uint64_t entries, bytes; bool known; };

/* What this node has of the site's streams and the successor has not acknowledged. */
static struct backlog backlog_of(struct core *c, const struct peer *p, const struct order *o)
{
	struct backlog b = {.known = p->digest_heard};

	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];
		const struct flow *f = flow_of(s, p);

		if (s->row.name.addressee != o->site || s->row.name.exercise != is_exercise(o))
			continue;
		uint64_t has = f && f->known ? f->acked : s->row.floor, lacks = s->row.held > has ? s->row.held - has : 0;

		b.entries += lacks;
		b.bytes += lacks ? bytes_after(c, s, has, lacks) : 0;
	}
	return b;
}

static void estimate(struct rows *r, const struct peer *p, const struct backlog *b)
{
	if (!p || !peer_up(r->c, p) || !b->known || (b->entries && p->rate_bps <= 0))
		row_null(r, "estimate_s");
	else
		row_number(r, "estimate_s", b->entries ? (int64_t)(b->bytes * 8 / (uint64_t)p->rate_bps) + 1 : 0);
}

/* Whom a site that was no custodian would get streams and keys from. */
static void sources_text(const struct core *c, const struct order *o, char *out, size_t size)
{
	const struct site *s = roster_site(c->roster, o->site);
	size_t used = (size_t)snprintf(out, size, "needs the streams and keys from ");
	char name[LIMIT_NAME_BYTES + 1];

	for (size_t i = 0; s && i < s->n_standbys && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", site_name(c, s->standbys[i], name));
	if ((!s || !s->n_standbys) && used < size)
		snprintf(out + used, size - used, "%s, which has no standby", site_name(c, o->site, name));
}

static void site_row(struct rows *r, const struct order *o, uint16_t site, const char *part)
{
	struct core *c = r->c;
	const struct peer *p = site == c->self ? NULL : peer_find(c, site);
	bool now = holds(c, site, o->site, is_exercise(o));
	char name[LIMIT_NAME_BYTES + 1], text[400];
	struct backlog b = {.known = false};

	sources_text(c, o, text, sizeof text);
	row_begin(r);
	row_text(r, "part", part);
	row_text(r, "site", site_name(c, site, name));
	row_flag(r, "reachable", site == c->self || (p && peer_up(c, p)));
	row_text(r, "holds", now ? "now" : text);
	row_flag(r, "can_open", now);
	if (p && holds(c, c->self, o->site, is_exercise(o)))
		b = backlog_of(c, p, o);
	if (site == c->self && now && !entries_to_come(c, o))
		row_number(r, "estimate_s", 0);
	else
		estimate(r, p, &b);
	row_end(r);
}

/* A handback: who closes first, and whether anybody waits for it. */
static void giver_row(struct rows *r, const struct order *o, uint16_t site)
{
	struct core *c = r->c;
	const struct peer *p = site == c->self ? NULL : peer_find(c, site);
	char name[LIMIT_NAME_BYTES + 1];
	bool waived = false;

	for (size_t i = 0; i < o->n_without; i++)
		waived |= o->without[i] == site;
	row_begin(r);
	row_text(r, "part", "giver");
	row_text(r, "site", site_name(c, site, name));
	row_flag(r, "reachable", site == c->self || (p && peer_up(c, p)));
	row_flag(r, "waited_for", !waived);
	row_end(r);
}

static void site_rows(struct rows *r, const struct order *o)
{
	const struct chain *ch = chain_find(r->c, o->site, is_exercise(o));
	uint16_t sites[LIMIT_ASSIGNMENTS];
	size_t n = successors(o, sites);

	for (size_t i = 0; i < n; i++)
		site_row(r, o, sites[i], "successor");
	if (o->kind != ORDER_HANDBACK)
		return;
	site_row(r, o, o->site, "successor");
	n = ch && ch->now ? successors(&ch->now->order, sites) : 0;
	for (size_t i = 0; i < n; i++)
		giver_row(r, o, sites[i]);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------ */

static void notes(struct rows *r, const struct order *o, bool known, char *out, size_t size)
{
	struct core *c = r->c;
	char behind[200], name[LIMIT_NAME_BYTES + 1];
	size_t used = 0;

	out[0] = '\0';
	if (!known && o->site != ORDER_NETWORK)
		used += (size_t)snprintf(out, size, "this node does not hold the queues of %s, so what waits there is not known here", site_name(c, o->site, name));
	if (used < size && give_behind(c, o, behind, sizeof behind))
		used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "; " : "", behind);
	if (used < size && o->kind == ORDER_HANDBACK && site_revoked(c, o->site))
		snprintf(out + used, size - used, "%sthe keys of %s were revoked: hand back only what was enrolled anew", used ? "; " : "", site_name(c, o->site, name));
}

static void summary_row(struct rows *r, const struct order *o, bool known, const struct sums *sums)
{
	struct core *c = r->c;
	unsigned needs = order_needs(c, o), votes = o->issuer != o->site;
	struct buf lines = BUF_EMPTY;
	char name[LIMIT_NAME_BYTES + 1], text[400];

	order_text(c->roster, o, &lines);
	while (lines.len && lines.ptr[lines.len - 1] == '\n')
		lines.len--;
	notes(r, o, known, text, sizeof text);
	row_begin(r);
	row_text(r, "part", "summary");
	row_text(r, "kind", order_kind_name(o->kind));
	row_text(r, "site", site_name(c, o->site, name));
	row_number(r, "epoch", o->epoch);
	row_text(r, "state", order_state_name(votes >= needs ? ORDER_IN_FORCE : ORDER_PENDING));
	row_number(r, "votes", votes);
	row_number(r, "needs", needs);
	row_list(r, "assignments", &lines);
	if (known) {
		row_number(r, "waiting", (int64_t)sums->waiting);
		row_number(r, "leased", (int64_t)sums->leased);
	} else {
		row_null(r, "waiting");
		row_null(r, "leased");
	}
	row_text(r, "note", text);
	row_end(r);
	buf_release(&lines);
}

static void network_rows(struct rows *r, const struct order *o)
{
	struct sums none = {0};

	minimize_dry(r, o);
	for (size_t i = 0; i < r->c->roster->n_sites; i++) {
		uint16_t site = r->c->roster->sites[i].number;
		const struct peer *p = peer_find(r->c, site);
		char name[LIMIT_NAME_BYTES + 1];

		if (!p || p->gone)
			continue;
		row_begin(r);
		row_text(r, "part", "site");
		row_text(r, "site", site_name(r->c, site, name));
		row_flag(r, "reachable", peer_up(r->c, p));
		row_end(r);
	}
	summary_row(r, o, false, &none);
}

void give_dry(struct rows *r, const struct order *o)
{
	if (order_of_network(o->kind)) {
		network_rows(r, o);
		return;
	}
	struct sums sums = {0};
	bool known = holds(r->c, r->c->self, o->site, is_exercise(o));

	queue_rows(r, o, known, &sums);
	site_rows(r, o);
	summary_row(r, o, known, &sums);
}
