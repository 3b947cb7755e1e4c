/* The network of a drill as a topology file tells it: places become sites, lines become links. */
#include "sim/drill_read.h"
#include "sim/topology.h"

#include <stdio.h>
#include <stdlib.h>

#define RATE_BPS 1000000000LL /* of a line that says none */

static unsigned degree(const struct topology *t, uint16_t node)
{
	unsigned n = 0;

	for (size_t i = 0; i < t->n_edges; i++)
		n += t->edges[i].a == node || t->edges[i].b == node;
	return n;
}

/* The place with the most lines may relocate any other. */
static uint16_t middle(const struct topology *t)
{
	uint16_t best = 0;

	for (uint16_t i = 1; i < t->n_nodes; i++)
		if (degree(t, i) > degree(t, best))
			best = i;
	return best;
}

/* The two nearest along one line each. */
static void put_standbys(struct buf *b, const struct topology *t, uint16_t node)
{
	uint16_t best[2] = {0};
	int64_t far[2] = {INT64_MAX, INT64_MAX};

	for (size_t i = 0; i < t->n_edges; i++) {
		const struct topology_edge *e = &t->edges[i];
		int64_t us = topology_delay_us(t, e);
		uint16_t other = e->a == node ? e->b : e->a;

		if (e->a != node && e->b != node)
			continue;
		if (us < far[0]) {
			far[1] = far[0];
			best[1] = best[0];
			far[0] = us;
			best[0] = other;
		} else if (us < far[1]) {
			far[1] = us;
			best[1] = other;
		}
	}
	put(b, " standbys = (");
	for (int k = 0; k < 2 && far[k] != INT64_MAX; k++)
		put(b, "%s\"%s\"", k ? ", " : " ", t->nodes[best[k]].name);
	put(b, " );");
}

static enum err make_roster(const struct topology *t, struct roster **out, struct errmsg *m)
{
	struct buf b = BUF_EMPTY;

	put(&b, "network = \"topology\";\nserial = 1;\nrelocators = ( \"%s\" );\nquorum = %d;\n"
	        "deadlines = { flash = \"10min\"; immediate = \"30min\"; priority = \"3h\"; routine = \"6h\"; };\nsites = (\n", t->nodes[middle(t)].name, t->n_nodes < 4 ? 1 : 3);
	for (uint16_t i = 0; i < t->n_nodes; i++) {
		put(&b, "%s\t{ number = %u; id = \"%s\"; lang = \"nl\";", i ? ",\n" : "", i + 1u, t->nodes[i].name);
		put_standbys(&b, t, i);
		put(&b, " queues = ( { name = \"dispatch\"; }, { name = \"messages\"; } ); }");
	}
	put(&b, "\n);\ngroups = ( { number = 1; id = \"all\"; members = (");
	for (size_t i = 0; i < t->n_nodes; i++)
		put(&b, "%s\"%s\"", i ? ", " : " ", t->nodes[i].name);
	put(&b, " ); } );\n");
	enum err e = buf_ok(&b) ? roster_parse("topology", buf_view(&b), NULL, true, out, m) : err_set(m, ERR_NOMEM, "topology: out of memory");
	buf_release(&b);
	return e;
}

/* Where the drill is written anew, the file is still found. */
static bool keep_path(struct settings *ctx, const config_setting_t *s, const char *path)
{
	struct drill *d = drill_of(ctx);

	free(d->topology);
	d->topology = realpath(path, NULL);
	return d->topology ? true : read_nomem(ctx, s);
}

bool topology_open(struct settings *ctx, const config_setting_t *s, const char *name, struct topology *t)
{
	struct drill *d = drill_of(ctx);
	struct topology own = {0}, *read = t ? t : &own;
	struct buf text = BUF_EMPTY;
	struct errmsg m;
	char path[2 * PATH_BYTES];
	enum err e = ERR_IO;

	if (read_beside(ctx, s, name, &text, path, sizeof path) && keep_path(ctx, s, path)) {
		e = topology_parse(path, buf_view(&text), read, &m);
		if (!e)
			e = make_roster(read, &d->roster, &m);
		if (e)
			settings_fail(ctx, s, e, "network: %s", m.text);
	}
	buf_release(&text);
	if (e || !t)
		topology_release(read);
	return !e;
}

bool topology_network(struct settings *ctx, const config_setting_t *s, const char *name)
{
	struct drill *d = drill_of(ctx);
	struct topology t = {0};
	bool ok = true;

	if (!topology_open(ctx, s, name, &t))
		return false;
	d->bearers[0] = (struct drill_bearer){.name = "line", .delay_us = 1000, .rate_bps = RATE_BPS, .cost = 10};
	d->n_bearers = 1;
	for (size_t i = 0; ok && i < t.n_edges; i++) {
		struct drill_link *l = list_grow(&d->links, &d->n_links, sizeof *l);

		ok = l ? true : read_nomem(ctx, s);
		if (l)
			*l = (struct drill_link){.a = t.edges[i].a, .b = t.edges[i].b, .n_bearers = 1, .delay_us = topology_delay_us(&t, &t.edges[i]),
						 .rate_bps = t.edges[i].rate_bps};
	}
	topology_release(&t);
	return ok;
}
