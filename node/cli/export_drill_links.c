/* The network of a drill, and when its links were down. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/export_drill_int.h"

/* Of a bearer: one way, when nothing was measured; and what the language takes. */
#define DELAY_UNKNOWN_US 10000
#define DELAY_MOST_US MINUTE_US
#define COST_MOST 1000

/* ---- reading ------------------------------------------------------------------------------------------------------------------ */

enum err drill_look_around(struct drill_out *d, const struct stream_row *stream, const struct header *h, const struct entry_row *row)
{
	uint16_t from = stream->name.originator, self = store_birth(d->s->store)->site;
	if (row->from == from || row->from == self || from == self)
		return ERR_OK;
	enum err e = export_room((void **)&d->around, d->n_around, &d->cap_around, sizeof *d->around);
	if (e == ERR_OK)
		d->around[d->n_around++] = (struct link_around){from, h->sent.us, row->stored.us};
	return e;
}

enum err drill_read_links(struct drill_out *d)
{
	bool *wanted = calloc(65536, sizeof *wanted);
	size_t others = d->n_told + d->n_given;
	enum err e = wanted ? ERR_OK : ERR_NOMEM;
	for (size_t i = 0; wanted && i < 65536; i++)
		wanted[i] = d->named[i];
	if (e == ERR_OK)
		e = links_read(d->s, wanted, d->start, d->end, others < EVENTS_MOST ? EVENTS_MOST - others : 0, &d->links, d->m);
	if (e == ERR_OK && !d->links.n_bearers)
		d->links.bearers[d->links.n_bearers++] = (struct link_bearer){.name = "line", .bulk = true};
	if (e == ERR_OK)
		e = links_alone(&d->links, wanted, store_birth(d->s->store)->site, d->around, d->n_around, &d->alone, &d->n_alone);
	free(wanted);
	return e;
}

void drill_links_free(struct drill_out *d)
{
	links_release(&d->links);
	free(d->around);
	free(d->alone);
}

/* ---- the network ------------------------------------------------------------------------------------------------------------------ */

static const char *bearer_name(const struct drill_out *d, size_t i, char out[LIMIT_NAME_BYTES + 1])
{
	snprintf(out, LIMIT_NAME_BYTES + 1, "bearer-%zu", i + 1);
	return d->want->replace ? out : d->links.bearers[i].name;
}

/* A drill's rates have six digits and a unit. */
static void put_rate(struct drill_out *d, int64_t bps)
{
	static const char *const units[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s"};
	size_t unit = 0;
	for (; unit < 3 && (bps >= 1000000 || bps % 1000 == 0); unit++)
		bps /= 1000;
	drill_put(d, " rate = \"%" PRId64 "%s\";", bps < 1000000 ? bps : 999999, units[unit]);
}

/* Delays as measured, rates and costs as the roster says them. */
static void put_bearers(struct drill_out *d)
{
	char name[LIMIT_NAME_BYTES + 1];
	drill_put(d, "  bearers = (");
	for (size_t i = 0; i < d->links.n_bearers; i++) {
		const struct link_bearer *b = &d->links.bearers[i];
		int64_t delay = b->rtt_us ? (b->rtt_us + 1) / 2 : DELAY_UNKNOWN_US;
		drill_put(d, "%s{ name = \"%s\"; delay = \"", i ? ",\n              " : " ", bearer_name(d, i, name));
		drill_span(d, delay < DELAY_MOST_US ? delay : DELAY_MOST_US);
		drill_put(d, "\";");
		if (b->rate_bps > 0)
			put_rate(d, b->rate_bps);
		drill_put(d, " cost = %d;%s }", b->cost < 0 ? 0 : b->cost < COST_MOST ? b->cost : COST_MOST, b->bulk ? "" : " bulk = false;");
	}
	drill_put(d, " );\n");
}

static void put_bits(struct drill_out *d, unsigned bearers)
{
	char name[LIMIT_NAME_BYTES + 1];
	const char *comma = "";
	drill_put(d, " bearers = (");
	for (size_t i = 0; i < d->links.n_bearers; i++)
		if (bearers & (1u << i)) {
			drill_put(d, "%s \"%s\"", comma, bearer_name(d, i, name));
			comma = ",";
		}
	drill_put(d, " ); }");
}

/* Two sites are joined by what leads to either of them; all by all, but for those pairs of which that is not so. */
static void put_joined(struct drill_out *d)
{
	unsigned all = (1u << d->links.n_bearers) - 1;
	char name[2][LIMIT_NAME_BYTES + 1];
	drill_put(d, "  links = ( { from = \"all\"; to = \"all\";");
	put_bits(d, all);
	for (size_t a = 1; a < 65536; a++)
		for (size_t b = a + 1; d->named[a] && d->links.sites[a] != all && b < 65536; b++) {
			unsigned both = d->links.sites[a] | d->links.sites[b];
			if (!d->named[b] || both == all || !both)
				continue;
			drill_put(d, ",\n            { from = \"%s\"; to = \"%s\";", drill_site(d, (uint16_t)a, name[0]), drill_site(d, (uint16_t)b, name[1]));
			put_bits(d, both);
		}
	drill_put(d, " );\n");
}

void drill_put_network(struct drill_out *d)
{
	char name[LIMIT_NAME_BYTES + 1];
	bool first = true;
	drill_put(d, "network = {\n");
	if (d->want->replace) {
		unsigned n = d->n_sites > 3 ? d->n_sites : 3, standbys = n > 4 ? 2 : 1;
		drill_put(d, "  generated = { sites = %u; links = %u; standbys = %u; };\n", n, 2 * standbys, standbys);
	} else {
		drill_put(d, "  sites = (");
		for (size_t i = 1; i < 65536; i++)
			if (d->named[i]) {
				drill_put(d, "%s\"%s\"", first ? " " : ", ", drill_site(d, (uint16_t)i, name));
				first = false;
			}
		drill_put(d, " );\n");
	}
	put_bearers(d);
	put_joined(d);
	drill_put(d, "};\n");
}

/* ---- events ----------------------------------------------------------------------------------------------------------------------- */

static void put_for(struct drill_out *d, int64_t from_us, int64_t to_us)
{
	if (to_us != INT64_MAX) {
		drill_put(d, " for = \"");
		drill_span(d, to_us - from_us);
		drill_put(d, "\";");
	}
	drill_put(d, " }");
}

static bool is_alone(const struct drill_out *d, size_t site)
{
	for (size_t i = 0; i < d->n_alone; i++)
		if (d->alone[i].site == site)
			return true;
	return false;
}

/* Its links to all others but those that were alone themselves some time: an end of the one would end the other. */
static void put_alone(struct drill_out *d, const struct link_alone *x)
{
	char name[LIMIT_NAME_BYTES + 1];
	uint16_t self = store_birth(d->s->store)->site;
	size_t others = d->want->replace && d->n_sites < 3 ? 3 : d->n_sites;
	for (size_t i = 1; i < 65536; i++)
		others -= d->named[i] && (i == self || is_alone(d, i));
	if (!others)
		return;
	drill_begin(d, x->from_us, "link-down");
	drill_put(d, " from = \"%s\"; to = ( \"others\"", drill_site(d, x->site, name));
	for (size_t i = 1; i < 65536; i++)
		if (d->named[i] && i != x->site && (i == self || is_alone(d, i)))
			drill_put(d, ", \"!%s\"", drill_site(d, (uint16_t)i, name));
	drill_put(d, " );");
	put_for(d, x->from_us, x->to_us);
}

/* Of two sites that were alone some time each: the link between them is down while one of them is. */
static void put_alone_pair(struct drill_out *d, uint16_t a, uint16_t b)
{
	char name[2][LIMIT_NAME_BYTES + 1];
	int64_t from_us = INT64_MIN, to_us = INT64_MIN;
	for (size_t i = 0; i <= d->n_alone; i++) {
		const struct link_alone *x = i < d->n_alone ? &d->alone[i] : NULL;
		if (x && x->site != a && x->site != b)
			continue;
		if (x && from_us != INT64_MIN && x->from_us <= to_us) {
			to_us = x->to_us > to_us ? x->to_us : to_us;
			continue;
		}
		if (from_us != INT64_MIN) {
			drill_begin(d, from_us, "link-down");
			drill_put(d, " from = \"%s\"; to = \"%s\";", drill_site(d, a, name[0]), drill_site(d, b, name[1]));
			put_for(d, from_us, to_us);
		}
		if (x) {
			from_us = x->from_us;
			to_us = x->to_us;
		}
	}
}

static int by_begin(const void *a, const void *b)
{
	const struct link_alone *x = a, *y = b;
	return x->from_us != y->from_us ? (x->from_us < y->from_us ? -1 : 1) : x->site < y->site ? -1 : x->site > y->site;
}

static void put_all_alone(struct drill_out *d)
{
	if (d->n_alone)
		qsort(d->alone, d->n_alone, sizeof *d->alone, by_begin);
	for (size_t i = 0; i < d->n_alone; i++)
		put_alone(d, &d->alone[i]);
	for (size_t a = 1; a < 65536; a++)
		for (size_t b = a + 1; is_alone(d, a) && b < 65536; b++)
			if (is_alone(d, b))
				put_alone_pair(d, (uint16_t)a, (uint16_t)b);
}

static void put_link(struct drill_out *d, const struct link_span *x)
{
	char name[2][LIMIT_NAME_BYTES + 1];
	const char *self = drill_site(d, store_birth(d->s->store)->site, name[0]);
	drill_begin(d, x->from_us, x->peer ? "link-down" : "stop");
	if (x->peer)
		drill_put(d, " from = \"%s\"; to = \"%s\"; bearer = \"%s\";", self, drill_site(d, x->peer, name[1]), bearer_name(d, x->bearer, (char[LIMIT_NAME_BYTES + 1]){0}));
	else
		drill_put(d, " sites = \"%s\";", self);
	put_for(d, x->from_us, x->to_us);
}

void drill_put_links(struct drill_out *d)
{
	for (size_t i = 0; i < d->links.n; i++)
		put_link(d, &d->links.spans[i]);
	put_all_alone(d);
}

void drill_put_links_head(struct drill_out *d, const char *name)
{
	char since[WALL_TEXT_BYTES];
	uint64_t stops = 0;
	for (size_t i = 0; i < d->links.n; i++)
		stops += !d->links.spans[i].peer;
	wall_format(d->links.since, 0, since);
	if (!d->links.since.us || d->links.since.us >= d->end.us)
		drill_put(d, "# Of its links this journal notes nothing%s%s: here they are all up.\n", d->links.since.us ? " before " : "", d->links.since.us ? since : "");
	else
		drill_put(d, "# Links: what %s noted of its own%s%s. %" PRIu64 " times a bearer to another site was down, %" PRIu64 " times its node did not run.\n", name,
		    d->links.since.us > d->start.us ? ", which begins at " : "", d->links.since.us > d->start.us ? since : "", (uint64_t)d->links.n - stops, stops);
	if (d->links.brief + d->links.others + d->links.no_room + d->links.damaged)
		drill_put(d, "# Of its links are left out: %" PRIu64 " times of less than a second, %" PRIu64 " changes to sites that are not named here, %" PRIu64
		       " over more than %d bearers,\n# %" PRIu64 " that cannot be read.\n", d->links.brief, d->links.others, d->links.no_room, LIMIT_BEARERS, d->links.damaged);
	drill_put(d, "# Links between other sites are not known to this journal. They are up, but for %zu times that a site was reached over no bearer while others were,\n"
	       "# and nothing of it came over those: then nobody reached it. A site that was dead looks like lines that were cut: write crash or power-cut for it where\n"
	       "# you know of it, and link-down for other lines. Delays are half of the shortest round trip that was measured (10ms: none was), rates the roster's.\n",
	    d->n_alone);
}
