#include "sim/topology.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 8
#define EDGES 32768
#define EARTH_KM 6371.0
#define FIBRE_KM_PER_MS 200.0 /* two thirds of the speed of light */
#define DETOUR 1.5
#define UNKNOWN_US 5000

/* ---- words ---------------------------------------------------------------------------------------------------------- */

enum token { END, KEY, NUMBER, TEXT, OPEN, CLOSE, BAD };
struct scan {
	const char *file;
	const char *at, *end;
	unsigned line;
	struct view word;
	struct errmsg *m;
};

static void skip(struct scan *s)
{
	for (; s->at < s->end && (isspace((unsigned char)*s->at) || *s->at == '#'); s->at++) {
		if (*s->at == '#')
			while (s->at + 1 < s->end && s->at[1] != '\n')
				s->at++;
		s->line += *s->at == '\n';
	}
}

static enum token quoted(struct scan *s)
{
	const char *from = ++s->at;

	for (; s->at < s->end && *s->at != '"'; s->at++)
		s->line += *s->at == '\n';
	if (s->at == s->end)
		return BAD;
	s->word = view_of((const uint8_t *)from, (size_t)(s->at++ - from));
	return TEXT;
}

static enum token next(struct scan *s)
{
	skip(s);
	if (s->at == s->end)
		return END;
	if (*s->at == '[' || *s->at == ']')
		return *s->at++ == '[' ? OPEN : CLOSE;
	if (*s->at == '"')
		return quoted(s);
	const char *from = s->at;

	while (s->at < s->end && !isspace((unsigned char)*s->at) && *s->at != '[' && *s->at != ']' && *s->at != '"')
		s->at++;
	s->word = view_of((const uint8_t *)from, (size_t)(s->at - from));
	return isalpha((unsigned char)*from) ? KEY : isdigit((unsigned char)*from) || *from == '-' || *from == '+' || *from == '.' ? NUMBER : BAD;
}

static enum err fail(const struct scan *s, enum err e, const char *why)
{
	return err_set(s->m, e, "%.200s:%u: %s", s->file, s->line, why);
}

static bool is(struct view word, const char *key)
{
	return view_equal(word, view_str(key));
}

/* A number, or a text that is one. */
static bool number(struct view word, double *out)
{
	char text[64], *end;

	if (!view_to_str(word, text, sizeof text) || !text[0])
		return false;
	*out = strtod(text, &end);
	return *end == '\0' && isfinite(*out);
}

/* ---- what is read ------------------------------------------------------------------------------------------------------ */

struct edge { int64_t source, target; double rate; bool has_source, has_target; };

/* Of text that is for people a name as the roster takes it. */
static void name_of(struct view label, char out[LIMIT_NAME_BYTES + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < label.len && n < LIMIT_NAME_BYTES - 6; i++) {
		int c = tolower(label.ptr[i]);
		bool plain = (c >= 'a' && c <= 'z') || (n && c >= '0' && c <= '9');

		if (plain)
			out[n++] = (char)c;
		else if (n && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n && out[n - 1] == '-')
		n--;
	out[n] = '\0';
	if (!n)
		memcpy(out, "node", 5);
}

/* A value of a key; of a list only its end is looked for. */
static enum err pass(struct scan *s, enum token t, unsigned depth)
{
	if (t == NUMBER || t == TEXT)
		return ERR_OK;
	if (t != OPEN)
		return fail(s, ERR_FORMAT, "a key without a value (write a number, a \"text\" or a list in brackets)");
	if (depth > DEPTH)
		return fail(s, ERR_TOO_LARGE, "lists in lists, too many deep");
	while ((t = next(s)) == KEY) {
		enum err e = pass(s, next(s), depth + 1);

		if (e)
			return e;
	}
	return t == CLOSE ? ERR_OK : fail(s, ERR_FORMAT, "a list that does not end (] is missing)");
}

/* One key of a node or edge with its value, whatever that is. */
struct member { struct view key; enum token kind; double x; bool number; };

/* The next one; m->kind is CLOSE at the end. what: a node, an edge. */
static enum err read_member(struct scan *s, const char *what, struct member *m)
{
	enum token t = next(s);

	*m = (struct member){.key = s->word, .kind = t};
	if (t == CLOSE)
		return ERR_OK;
	if (t != KEY)
		return fail(s, ERR_FORMAT, what);
	m->kind = next(s);
	enum err e = pass(s, m->kind, 1);

	m->number = !e && m->kind != OPEN && number(s->word, &m->x);
	return e;
}

static enum err read_node(struct scan *s, struct topology_node *n)
{
	bool has_id = false, lon = false, lat = false;
	struct member m;
	enum err e;

	*n = (struct topology_node){.name = "node"};
	while (!(e = read_member(s, "a node that does not end (] is missing)", &m)) && m.kind != CLOSE) {
		if (is(m.key, "id") && m.number) {
			n->id = (int64_t)m.x;
			has_id = true;
		} else if (is(m.key, "label") && m.kind == TEXT) {
			name_of(s->word, n->name);
		} else if (is(m.key, "Longitude") && m.number && m.x >= -180 && m.x <= 180) {
			n->longitude = m.x;
			lon = true;
		} else if (is(m.key, "Latitude") && m.number && m.x >= -90 && m.x <= 90) {
			n->latitude = m.x;
			lat = true;
		}
	}
	n->placed = lon && lat;
	if (e)
		return e;
	return has_id ? ERR_OK : fail(s, ERR_FORMAT, "a node without an id (add id and a number)");
}

static enum err read_edge(struct scan *s, struct edge *out)
{
	struct member m;
	enum err e;

	*out = (struct edge){0};
	while (!(e = read_member(s, "an edge that does not end (] is missing)", &m)) && m.kind != CLOSE) {
		if (is(m.key, "source") && m.number) {
			out->source = (int64_t)m.x;
			out->has_source = true;
		} else if (is(m.key, "target") && m.number) {
			out->target = (int64_t)m.x;
			out->has_target = true;
		} else if (is(m.key, "LinkSpeedRaw") && m.number && m.x >= 1 && m.x <= 1e12) {
			out->rate = m.x;
		}
	}
	if (e)
		return e;
	return out->has_source && out->has_target ? ERR_OK : fail(s, ERR_FORMAT, "an edge without source or target (add both, the ids of two nodes)");
}

static void *grow(void *list, size_t n, size_t size)
{
	return n & (n - 1) ? list : realloc(list, (n ? 2 * n : 1) * size);
}

struct reading { struct topology_node *nodes; size_t n_nodes; struct edge *edges; size_t n_edges; };

static enum err add_node(struct scan *s, struct reading *r)
{
	struct topology_node *more = r->n_nodes < TOPOLOGY_NODES ? grow(r->nodes, r->n_nodes, sizeof *more) : NULL;

	if (r->n_nodes == TOPOLOGY_NODES)
		return fail(s, ERR_TOO_LARGE, "over 999 nodes (take a smaller network)");
	if (!more)
		return err_set(s->m, ERR_NOMEM, "%.200s: out of memory", s->file);
	r->nodes = more;
	enum err e = read_node(s, &r->nodes[r->n_nodes]);

	for (size_t i = 0; !e && i < r->n_nodes; i++)
		if (r->nodes[i].id == r->nodes[r->n_nodes].id)
			e = fail(s, ERR_EXISTS, "two nodes with one id (give each its own)");
	r->n_nodes += !e;
	return e;
}

static enum err add_edge(struct scan *s, struct reading *r)
{
	struct edge *more = r->n_edges < EDGES ? grow(r->edges, r->n_edges, sizeof *more) : NULL;

	if (r->n_edges == EDGES)
		return fail(s, ERR_TOO_LARGE, "over 32768 edges (take a smaller network)");
	if (!more)
		return err_set(s->m, ERR_NOMEM, "%.200s: out of memory", s->file);
	r->edges = more;
	enum err e = read_edge(s, &r->edges[r->n_edges]);

	r->n_edges += !e;
	return e;
}

static enum err read_graph(struct scan *s, struct reading *r)
{
	enum err e = ERR_OK;
	enum token t = next(s);

	if (t != OPEN)
		return fail(s, ERR_FORMAT, "graph: its list is missing (graph [ ... ])");
	while (!e && (t = next(s)) == KEY) {
		struct view key = s->word;

		t = next(s);
		if (t == OPEN && is(key, "node"))
			e = add_node(s, r);
		else if (t == OPEN && is(key, "edge"))
			e = add_edge(s, r);
		else
			e = pass(s, t, 1);
	}
	if (!e && t != CLOSE)
		e = fail(s, ERR_FORMAT, "the graph does not end (] is missing)");
	return e;
}

/* ---- what is made of it --------------------------------------------------------------------------------------------------- */

static size_t index_of(const struct reading *r, int64_t id)
{
	size_t i = 0;

	while (i < r->n_nodes && r->nodes[i].id != id)
		i++;
	return i;
}

/* Those with a line, each with a name of its own; where[old] is its new index. */
static void keep_joined(struct reading *r, const bool *joined, uint16_t *where, struct topology *out)
{
	for (size_t i = 0; i < r->n_nodes; i++) {
		struct topology_node *n = &out->nodes[out->n_nodes];
		unsigned same = 0;

		if (!joined[i])
			continue;
		*n = r->nodes[i];
		for (size_t k = 0; k < i; k++)
			same += joined[k] && strcmp(r->nodes[k].name, r->nodes[i].name) == 0;
		size_t len = strlen(n->name);

		if (same)
			snprintf(n->name + len, sizeof n->name - len, "-%u", (same + 1) % 10000);
		where[i] = (uint16_t)out->n_nodes++;
	}
}

static int by_pair(const void *x, const void *y)
{
	const struct topology_edge *a = x, *b = y;

	return a->a != b->a ? (a->a < b->a ? -1 : 1) : a->b < b->b ? -1 : a->b > b->b;
}

static void merge(struct topology *t)
{
	size_t n = 0;

	if (t->n_edges)
		qsort(t->edges, t->n_edges, sizeof *t->edges, by_pair);
	for (size_t i = 0; i < t->n_edges; i++) {
		if (n && by_pair(&t->edges[n - 1], &t->edges[i]) == 0) {
			if (t->edges[i].rate_bps > t->edges[n - 1].rate_bps)
				t->edges[n - 1].rate_bps = t->edges[i].rate_bps;
			continue;
		}
		t->edges[n++] = t->edges[i];
	}
	t->n_edges = n;
}

static bool names_differ(const struct topology *t)
{
	for (size_t i = 0; i < t->n_nodes; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(t->nodes[i].name, t->nodes[k].name) == 0)
				return false;
	return true;
}

static enum err make(const struct scan *s, struct reading *r, struct topology *out)
{
	bool *joined = calloc(r->n_nodes + 1, sizeof *joined);
	uint16_t *where = calloc(r->n_nodes + 1, sizeof *where);
	enum err e = ERR_OK;

	out->nodes = calloc(r->n_nodes + 1, sizeof *out->nodes);
	out->edges = calloc(r->n_edges + 1, sizeof *out->edges);
	if (!joined || !where || !out->nodes || !out->edges)
		e = err_set(s->m, ERR_NOMEM, "%.200s: out of memory", s->file);
	for (size_t i = 0; !e && i < r->n_edges; i++) {
		size_t a = index_of(r, r->edges[i].source), b = index_of(r, r->edges[i].target);

		if (a == r->n_nodes || b == r->n_nodes)
			e = err_set(s->m, ERR_FORMAT, "%.200s: an edge to %lld, which is no node (source and target are ids of nodes)", s->file,
				    (long long)(a == r->n_nodes ? r->edges[i].source : r->edges[i].target));
		else if (a != b)
			joined[a] = joined[b] = true;
	}
	if (!e)
		keep_joined(r, joined, where, out);
	for (size_t i = 0; !e && i < r->n_edges; i++) {
		uint16_t a = where[index_of(r, r->edges[i].source)], b = where[index_of(r, r->edges[i].target)];

		if (r->edges[i].source != r->edges[i].target)
			out->edges[out->n_edges++] = (struct topology_edge){a < b ? a : b, a < b ? b : a, (int64_t)r->edges[i].rate};
	}
	if (!e) {
		merge(out);
		if (!out->n_edges)
			e = err_set(s->m, ERR_FORMAT, "%.200s: no two nodes are joined (a network needs edges)", s->file);
		else if (!names_differ(out))
			e = err_set(s->m, ERR_FORMAT, "%.200s: labels that are too much alike (give each node its own)", s->file);
	}
	free(joined);
	free(where);
	return e;
}

enum err topology_parse(const char *file, struct view text, struct topology *out, struct errmsg *m)
{
	struct scan s = {.file = file, .at = (const char *)text.ptr, .end = (const char *)text.ptr + text.len, .line = 1, .m = m};
	struct reading r = {0};
	bool graph = false;
	enum err e = ERR_OK;
	enum token t;

	*out = (struct topology){0};
	while (!e && (t = next(&s)) == KEY && !graph) {
		graph = is(s.word, "graph");
		e = graph ? read_graph(&s, &r) : pass(&s, next(&s), 1);
	}
	if (!e && !graph)
		e = fail(&s, ERR_FORMAT, "no GML (it begins with graph [ ... ])");
	else if (!e && t != END)
		e = fail(&s, ERR_FORMAT, "something stands behind the graph (one graph a file)");
	if (!e)
		e = make(&s, &r, out);
	free(r.nodes);
	free(r.edges);
	if (e)
		topology_release(out);
	return e;
}

void topology_release(struct topology *t)
{
	free(t->nodes);
	free(t->edges);
	*t = (struct topology){0};
}

int64_t topology_delay_us(const struct topology *t, const struct topology_edge *e)
{
	const struct topology_node *a = &t->nodes[e->a], *b = &t->nodes[e->b];
	double rad = acos(-1.0) / 180.0;

	if (!a->placed || !b->placed)
		return UNKNOWN_US;
	/* Haversine. */
	double dlat = sin((b->latitude - a->latitude) * rad / 2), dlon = sin((b->longitude - a->longitude) * rad / 2);
	double h = dlat * dlat + cos(a->latitude * rad) * cos(b->latitude * rad) * dlon * dlon;
	double km = 2 * EARTH_KM * asin(sqrt(h < 1 ? h : 1)) * DETOUR;
	/* Whole tenths of a millisecond: the last bits of a cosine are not the same everywhere. */
	int64_t us = (int64_t)(km / FIBRE_KM_PER_MS * 10 + 0.5) * 100;

	return us > 1000 ? us : 1000;
}
