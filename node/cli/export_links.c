#include "node/cli/export_links.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000LL
#define NO_BEARER UINT8_MAX
/* Rows in one transaction. */
#define READ_ROWS 4096

struct reader {
	struct links *l;
	const bool *wanted;
	int64_t from_us, to_us;
	size_t most;
	/* The last span of each (peer, bearer), which may not be over. */
	struct last { uint16_t peer; uint8_t bearer; bool down; int64_t from_us, to_us; } *last;
	size_t n_last, cap_last;
};

/* ---- bearers ------------------------------------------------------------------------------------------------------------- */

/* Its place; NO_BEARER: there are as many as a drill takes already. */
static uint8_t bearer_of(struct links *l, const char *name)
{
	for (size_t i = 0; i < l->n_bearers; i++)
		if (strcmp(l->bearers[i].name, name) == 0)
			return (uint8_t)i;
	if (l->n_bearers == LIMIT_BEARERS)
		return NO_BEARER;
	struct link_bearer *b = &l->bearers[l->n_bearers];
	*b = (struct link_bearer){.bulk = true};
	snprintf(b->name, sizeof b->name, "%s", name);
	return (uint8_t)l->n_bearers++;
}

static void add_site(struct links *l, const struct site *site)
{
	for (size_t i = 0; site && i < site->n_bearers; i++) {
		const struct bearer *b = &site->bearers[i];
		size_t had = l->n_bearers;
		uint8_t at = bearer_of(l, b->name);
		if (at == NO_BEARER)
			continue;
		l->sites[site->number] |= (uint8_t)(1u << at);
		if (at < had)
			continue;
		l->bearers[at].rate_bps = b->rate_bps;
		l->bearers[at].cost = b->cost;
		l->bearers[at].bulk = b->bulk;
	}
}

/* ---- spans ----------------------------------------------------------------------------------------------------------------- */

static enum err put_span(struct reader *r, const struct last *x)
{
	struct links *l = r->l;
	int64_t from_us = x->from_us > r->from_us ? x->from_us : r->from_us, to_us = x->to_us < r->to_us ? x->to_us : INT64_MAX;
	if (to_us <= from_us || from_us >= r->to_us)
		return ERR_OK;
	if (to_us - from_us < SECOND_US) {
		l->brief++;
		return ERR_OK;
	}
	if (l->n == r->most)
		return ERR_TOO_LARGE;
	enum err e = export_room((void **)&l->spans, l->n, &l->cap, sizeof *l->spans);
	if (e == ERR_OK)
		l->spans[l->n++] = (struct link_span){x->peer, x->bearer, from_us, to_us};
	return e;
}

static enum err last_of(struct reader *r, uint16_t peer, uint8_t bearer, struct last **out)
{
	for (size_t i = 0; i < r->n_last; i++)
		if (r->last[i].peer == peer && r->last[i].bearer == bearer) {
			*out = &r->last[i];
			return ERR_OK;
		}
	enum err e = export_room((void **)&r->last, r->n_last, &r->cap_last, sizeof *r->last);
	if (e == ERR_OK) {
		*out = &r->last[r->n_last++];
		**out = (struct last){.peer = peer, .bearer = bearer, .from_us = INT64_MIN, .to_us = INT64_MIN};
	}
	return e;
}

/* A change at a time. Times do not overlap, whatever the clock did. */
static enum err change(struct reader *r, uint16_t peer, uint8_t bearer, bool down, int64_t at_us)
{
	struct last *x;
	enum err e = last_of(r, peer, bearer, &x);
	if (e != ERR_OK || x->down == down)
		return e;
	x->down = down;
	if (!down) {
		x->to_us = at_us > x->from_us ? at_us : x->from_us;
		return ERR_OK;
	}
	if (x->to_us != INT64_MIN)
		e = put_span(r, x);
	x->from_us = at_us > x->to_us ? at_us : x->to_us;
	x->to_us = INT64_MAX;
	return e;
}

/* The node stops: what its links were says nothing any more. */
static enum err all_over(struct reader *r, int64_t at_us)
{
	enum err e = ERR_OK;
	for (size_t i = 0; e == ERR_OK && i < r->n_last; i++)
		if (r->last[i].peer)
			e = change(r, r->last[i].peer, r->last[i].bearer, false, at_us);
	return e;
}

/* Changes that were only counted are spread evenly over their time. */
static enum err apply_changes(struct reader *r, const struct link_row *row, uint8_t bearer)
{
	bool down = row->is == LINK_IS_DOWN;
	enum err e = change(r, row->peer, bearer, down, row->at.us);
	for (uint32_t i = 1; e == ERR_OK && i < row->more; i++) {
		down = !down;
		e = change(r, row->peer, bearer, down, row->at.us + (row->last.us - row->at.us) / row->more * i);
	}
	return e == ERR_OK && row->more ? change(r, row->peer, bearer, row->now_is == LINK_IS_DOWN, row->last.us) : e;
}

static enum err apply(struct reader *r, const struct link_row *row)
{
	struct links *l = r->l;
	uint8_t bearer = NO_BEARER;
	if (!l->since.us)
		l->since = row->noted;
	if (row->at.us >= r->to_us)
		return ERR_OK;
	if (row->peer && !r->wanted[row->peer]) {
		l->others += row->last.us >= r->from_us;
		return ERR_OK;
	}
	if (row->peer && (bearer = bearer_of(l, row->bearer)) == NO_BEARER) {
		l->no_room += row->last.us >= r->from_us;
		return ERR_OK;
	}
	if (row->peer) {
		struct link_bearer *b = &l->bearers[bearer];
		l->sites[row->peer] |= (uint8_t)(1u << bearer);
		l->tried[row->peer] |= (uint8_t)(1u << bearer);
		if (row->now_is == LINK_IS_UNKNOWN && row->last.us < r->from_us)
			l->tried[row->peer] &= (uint8_t)~(1u << bearer);
		if (row->is == LINK_IS_UP && row->rtt_us > 0 && (!b->rtt_us || row->rtt_us < b->rtt_us))
			b->rtt_us = row->rtt_us;
	} else if (row->is == LINK_IS_DOWN) {
		enum err e = all_over(r, row->at.us);
		if (e != ERR_OK)
			return e;
	}
	return apply_changes(r, row, bearer);
}

static enum err read_rows(struct reader *r, const struct source *s)
{
	uint64_t next = 0;
	enum err e = ERR_OK;
	while (e == ERR_OK) {
		struct link_row row;
		struct txn *t = NULL;
		e = txn_begin(s->store, false, &t);
		for (unsigned n = 0; e == ERR_OK && n < READ_ROWS; n++) {
			e = store_link_from(t, next, &row);
			next = row.number + 1;
			if (e == ERR_OK)
				e = apply(r, &row);
			else if (e == ERR_DAMAGED) {
				r->l->damaged++;
				e = ERR_OK;
			}
		}
		txn_abort(t);
		if (e == ERR_OK && longwork_stopped())
			e = ERR_CLOSED;
	}
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static int by_time(const void *a, const void *b)
{
	const struct link_span *x = a, *y = b;
	if (x->from_us != y->from_us)
		return x->from_us < y->from_us ? -1 : 1;
	return x->peer != y->peer ? (x->peer < y->peer ? -1 : 1) : x->bearer < y->bearer ? -1 : x->bearer > y->bearer;
}

enum err links_read(const struct source *s, const bool *wanted, struct wall from, struct wall to, size_t most, struct links *out, struct errmsg *m)
{
	struct reader r = {.l = out, .wanted = wanted, .from_us = from.us, .to_us = to.us, .most = most};
	*out = (struct links){.sites = calloc(65536, 1), .tried = calloc(65536, 1)};
	enum err e = out->sites && out->tried ? ERR_OK : ERR_NOMEM;
	if (e == ERR_OK) {
		add_site(out, roster_site(s->roster, store_birth(s->store)->site));
		for (size_t i = 0; i < s->roster->n_sites; i++)
			if (wanted[s->roster->sites[i].number])
				add_site(out, &s->roster->sites[i]);
		e = read_rows(&r, s);
	}
	for (size_t i = 0; e == ERR_OK && i < r.n_last; i++)
		if (r.last[i].to_us != INT64_MIN)
			e = put_span(&r, &r.last[i]);
	if (e == ERR_OK && out->n)
		qsort(out->spans, out->n, sizeof *out->spans, by_time);
	free(r.last);
	if (e == ERR_TOO_LARGE)
		return err_set(m, e, "%.200s: over %zu changes of links in this time, more than a drill takes (choose a shorter one)", s->dir, most);
	if (e == ERR_CLOSED)
		return err_set(m, e, "interrupted, nothing was left");
	return e == ERR_OK ? e : err_set(m, e, "%.200s: reading the states of links: %s (journal verify says more)", s->dir, err_text(e));
}

void links_release(struct links *l)
{
	free(l->sites);
	free(l->tried);
	free(l->spans);
	*l = (struct links){.n = 0};
}

/* ---- who was reached by nobody --------------------------------------------------------------------------------------------- */

struct edge { int64_t at_us; uint16_t peer; uint8_t bearer; bool down; };
struct sweep {
	const struct links *l;
	uint16_t *peers; size_t n_peers;    /* that are wanted and were tried */
	uint8_t *down;                      /* bits of bearers, by site number */
	int64_t *since;                     /* alone since then, by site number; INT64_MIN: it is not */
	const struct link_around *around; size_t n_around;
	struct link_alone *out; size_t n, cap;
};

/* Ups before downs, so that what follows closely does not overlap. */
static int by_edge(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;
	if (x->at_us != y->at_us)
		return x->at_us < y->at_us ? -1 : 1;
	return x->down != y->down ? (x->down ? 1 : -1) : x->peer < y->peer ? -1 : x->peer > y->peer;
}

static bool came_around(const struct sweep *s, uint16_t site, int64_t from_us, int64_t to_us)
{
	for (size_t i = 0; i < s->n_around; i++)
		if (s->around[i].site == site && s->around[i].sent_us >= from_us && s->around[i].came_us <= to_us)
			return true;
	return false;
}

static enum err alone_over(struct sweep *s, uint16_t site, int64_t at_us)
{
	int64_t from_us = s->since[site];
	s->since[site] = INT64_MIN;
	if (from_us == INT64_MIN || at_us - from_us < SECOND_US || came_around(s, site, from_us, at_us))
		return ERR_OK;
	enum err e = export_room((void **)&s->out, s->n, &s->cap, sizeof *s->out);
	if (e == ERR_OK)
		s->out[s->n++] = (struct link_alone){site, from_us, at_us};
	return e;
}

static bool all_down(const struct sweep *s, uint16_t site)
{
	return (s->down[site] & s->l->tried[site]) == s->l->tried[site];
}

/* Who is alone from now on, and who no more. Where nobody is reached it is this site that is. */
static enum err look(struct sweep *s, int64_t at_us)
{
	size_t n_down = 0;
	enum err e = ERR_OK;
	for (size_t i = 0; i < s->n_peers; i++)
		n_down += all_down(s, s->peers[i]);
	for (size_t i = 0; e == ERR_OK && i < s->n_peers; i++) {
		uint16_t site = s->peers[i];
		bool alone = n_down < s->n_peers && all_down(s, site);
		if (alone && s->since[site] == INT64_MIN)
			s->since[site] = at_us;
		else if (!alone && s->since[site] != INT64_MIN)
			e = alone_over(s, site, at_us);
	}
	return e;
}

static enum err sweep(struct sweep *s, struct edge *edges, size_t n)
{
	enum err e = ERR_OK;
	qsort(edges, n, sizeof *edges, by_edge);
	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		uint8_t bit = (uint8_t)(1u << edges[i].bearer);
		s->down[edges[i].peer] = edges[i].down ? s->down[edges[i].peer] | bit : s->down[edges[i].peer] & (uint8_t)~bit;
		if (i + 1 == n || edges[i + 1].at_us != edges[i].at_us)
			e = look(s, edges[i].at_us);
	}
	for (size_t i = 0; e == ERR_OK && i < s->n_peers; i++)
		e = alone_over(s, s->peers[i], INT64_MAX);
	return e;
}

enum err links_alone(const struct links *l, const bool *wanted, uint16_t self, const struct link_around *around, size_t n_around,
                     struct link_alone **out, size_t *n)
{
	struct sweep s = {.l = l, .around = around, .n_around = n_around, .peers = calloc(65536, sizeof *s.peers), .down = calloc(65536, 1),
	                  .since = calloc(65536, sizeof *s.since)};
	struct edge *edges = calloc(2 * l->n + 1, sizeof *edges);
	size_t n_edges = 0;
	enum err e = s.peers && s.down && s.since && edges ? ERR_OK : ERR_NOMEM;
	for (size_t i = 1; e == ERR_OK && i < 65536; i++) {
		s.since[i] = INT64_MIN;
		if (wanted[i] && i != self && l->tried[i])
			s.peers[s.n_peers++] = (uint16_t)i;
	}
	for (size_t i = 0; e == ERR_OK && i < l->n; i++) {
		const struct link_span *x = &l->spans[i];
		if (x->peer)
			edges[n_edges++] = (struct edge){x->from_us, x->peer, x->bearer, true};
		if (x->peer && x->to_us != INT64_MAX)
			edges[n_edges++] = (struct edge){x->to_us, x->peer, x->bearer, false};
	}
	if (e == ERR_OK)
		e = sweep(&s, edges, n_edges);
	free(s.peers);
	free(s.down);
	free(s.since);
	free(edges);
	*out = s.out;
	*n = s.n;
	return e;
}
