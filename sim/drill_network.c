/* The network of a drill: its roster (the Belgian one or a made one), bearers, links and clocks. */
#include "sim/belgium.h"
#include "sim/drill_read.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the roster --------------------------------------------------------------------------------------------- */

struct network_reading {
	char roster[LIMIT_NAME_BYTES + 1], topology[PATH_BYTES];
	struct { uint32_t sites, links, standbys; } made;
};

static void make_site(struct buf *b, unsigned i, unsigned n, unsigned standbys)
{
	put(b, "%s\t{ number = %u; id = \"site-%03u\"; lang = \"%s\"; standbys = (", i ? ",\n" : "", i + 1, i + 1, i % 5 < 3 ? "nl" : "fr");
	for (unsigned k = 1; k <= standbys; k++)
		put(b, "%s\"site-%03u\"", k > 1 ? ", " : " ", (i + k) % n + 1);
	put(b, " ); queues = ( { name = \"dispatch\"; }, { name = \"messages\"; } ); }");
}

/* A network of n sites, each with the next ones as its standbys, and one group "all". */
static enum err make_roster(unsigned n, unsigned standbys, struct roster **out, struct errmsg *m)
{
	struct buf b = BUF_EMPTY;

	put(&b, "network = \"made-%u\";\nserial = 1;\nrelocators = ( \"site-001\" );\nquorum = %u;\n"
	        "deadlines = { flash = \"10min\"; immediate = \"30min\"; priority = \"3h\"; routine = \"6h\"; };\nsites = (\n", n, n < 3 ? 1 : 3);
	for (unsigned i = 0; i < n; i++)
		make_site(&b, i, n, standbys);
	put(&b, "\n);\ngroups = ( { number = 1; id = \"all\"; members = (");
	for (unsigned i = 0; i < n; i++)
		put(&b, "%s\"site-%03u\"", i ? ", " : " ", i + 1);
	put(&b, " ); } );\n");
	enum err e = buf_ok(&b) ? roster_parse("made network", buf_view(&b), NULL, true, out, m) : err_set(m, ERR_NOMEM, "made network: out of memory");
	buf_release(&b);
	return e;
}

static const char *known_name(const void *arg, size_t i)
{
	return ((const struct roster *)arg)->sites[i].id;
}

static bool keep_sites(struct settings *ctx, const config_setting_t *s, struct roster *r)
{
	uint16_t keep[LIMIT_SITES];
	int n = setting_list(ctx, s, 2, LIMIT_SITES);

	for (int i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		const char *name = setting_string(ctx, e, 1, LIMIT_NAME_BYTES);
		const struct site *site = name ? roster_site_by_id(r, view_str(name)) : NULL;
		if (name == NULL)
			return false;
		if (site == NULL) {
			const char *near = nearest(name, known_name, r, r->n_sites);
			return settings_fail(ctx, e, ERR_UNKNOWN_SITE, "sites: \"%s\" is not a site of the roster (did you mean \"%s\"?)", name,
					     near ? near : r->sites[0].id);
		}
		for (int k = 0; k < i; k++)
			if (keep[k] == site->number)
				return settings_fail(ctx, e, ERR_EXISTS, "sites: \"%s\" is there twice (name each once)", name);
		keep[i] = site->number;
	}
	if (n < 0)
		return false;
	if (roster_cut(r, keep, (size_t)n) != ERR_OK)
		return settings_fail(ctx, s, ERR_FORMAT, "sites: these do not make a network (name others)");
	return true;
}

static bool clocks_make(struct settings *ctx, const config_setting_t *s)
{
	struct drill *d = drill_of(ctx);

	d->clocks = calloc(d->roster->n_sites, sizeof *d->clocks);
	return d->clocks ? true : read_nomem(ctx, s);
}

/* The roster is there before anything that names a site is read. */
static bool open_roster(struct settings *ctx, const config_setting_t *group, const struct network_reading *n)
{
	struct drill_reading *r = reading_of(ctx);
	struct drill *d = r->drill;
	const config_setting_t *sites = config_setting_get_member((config_setting_t *)group, "sites");
	struct errmsg m;
	enum err e;

	if (n->made.sites && (n->topology[0] || config_setting_get_member((config_setting_t *)group, "roster")))
		return settings_fail(ctx, group, ERR_FORMAT, "network: it names a roster or topology and generates one (take either away)");
	if (n->topology[0] && config_setting_get_member((config_setting_t *)group, "roster"))
		return settings_fail(ctx, group, ERR_FORMAT, "network: it names a roster and a topology (take roster or topology away)");
	d->generated = n->made.sites;
	d->generated_links = n->made.links;
	d->generated_standbys = n->made.standbys;
	if (n->topology[0])
		return topology_open(ctx, group, n->topology, NULL) && (!sites || keep_sites(ctx, sites, d->roster)) && clocks_make(ctx, group);
	if (n->made.sites)
		e = make_roster(n->made.sites, n->made.standbys, &d->roster, &m);
	else
		e = roster_parse("conf/belgium.conf", sim_belgium(), NULL, true, &d->roster, &m);
	if (e == ERR_OK && !n->made.sites)
		e = roster_parse("conf/belgium.conf", sim_belgium(), NULL, true, &r->all, &m);
	if (e != ERR_OK)
		return settings_fail(ctx, group, e, "network: %s", m.text);
	if (sites && !keep_sites(ctx, sites, d->roster))
		return false;
	return clocks_make(ctx, group);
}

static bool read_roster_name(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, LIMIT_NAME_BYTES);

	(void)spec, (void)out;
	if (text && strcmp(text, "belgium") != 0)
		return settings_fail(ctx, s, ERR_FORMAT, "roster: \"%s\" is not known (write \"belgium\", or generated = { sites = 250; ... } instead)", text);
	return text != NULL;
}

static const struct setting_spec made_settings[] = {
	{"sites", read_u32, 0, .required = true, .min = 2, .max = 999},
	{"links", read_u32, 4, .min = 2, .max = 998},
	{"standbys", read_u32, 8, .min = 0, .max = LIMIT_STANDBYS},
};

static bool read_made(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	uint32_t *made = out;

	(void)spec;
	made[1] = 2;
	made[2] = 1;
	if (!READ_TABLE(ctx, s, made_settings, out))
		return false;
	if (made[1] >= made[0] || made[1] % 2)
		return settings_fail(ctx, s, ERR_RANGE, "generated: %u links a site of %u sites (an even number less than the sites)", made[1], made[0]);
	if (made[2] > made[1] / 2)
		return settings_fail(ctx, s, ERR_RANGE, "generated: %u standbys with %u links (at most half as many, so that each has a link)", made[2], made[1]);
	return true;
}

static bool read_nothing(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	(void)ctx, (void)s, (void)spec, (void)out;
	return true; /* open_roster has read it */
}

/* ---- bearers ------------------------------------------------------------------------------------------------------ */

static bool read_bulk(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	bool bulk;

	if (!read_bool(ctx, s, spec, &bulk))
		return false;
	*(bool *)out = !bulk;
	return true;
}

static const struct setting_spec bearer_settings[] = {
	{"name", read_name, offsetof(struct drill_bearer, name), .required = true},
	{"delay", read_span, offsetof(struct drill_bearer, delay_us), .required = true, .max = 60 * US_PER_S},
	{"jitter", read_span, offsetof(struct drill_bearer, jitter_us), .max = 60 * US_PER_S},
	{"rate", read_bit_rate, offsetof(struct drill_bearer, rate_bps)},
	{"queue", read_size, offsetof(struct drill_bearer, queue_bytes), .min = 2048, .max = 1024LL * 1024 * 1024},
	{"loss", read_ppm, offsetof(struct drill_bearer, loss_ppm)},
	{"resets", read_ppm, offsetof(struct drill_bearer, reset_ppm)},
	{"cost", read_int, offsetof(struct drill_bearer, cost), .max = 1000},
	{"bulk", read_bulk, offsetof(struct drill_bearer, no_bulk)},
};

static bool read_bearers(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct drill *d = drill_of(ctx);
	int n = setting_list(ctx, s, 1, LIMIT_BEARERS);

	(void)spec, (void)out;
	for (int i = 0; i < n; i++) {
		struct drill_bearer *b = &d->bearers[i];
		b->cost = 10 * (i + 1);
		if (!READ_TABLE(ctx, config_setting_get_elem(s, (unsigned)i), bearer_settings, b))
			return false;
		for (int k = 0; k < i; k++)
			if (strcmp(b->name, d->bearers[k].name) == 0)
				return settings_fail(ctx, config_setting_get_elem(s, (unsigned)i), ERR_EXISTS, "bearers: \"%s\" is there twice (give each its own name)", b->name);
		d->n_bearers = (size_t)i + 1;
	}
	return n > 0;
}

/* ---- links ------------------------------------------------------------------------------------------------------------ */

struct link_line {
	struct drill_sites from, to;
	bool neighbours;
	struct drill_link link; /* bearers and schedule */
};

static bool read_link_to(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct link_line *l = out;
	const char *text = config_setting_type(s) == CONFIG_TYPE_STRING ? config_setting_get_string(s) : NULL;

	l->neighbours = text && strcmp(text, "neighbours") == 0;
	if (!l->neighbours)
		return read_site_set(ctx, s, spec, &l->to);
	if (drill_of(ctx)->generated == 0)
		return settings_fail(ctx, s, ERR_FORMAT, "to: \"neighbours\" has a meaning only in a generated network (name sites, \"all\" or \"others\")");
	return true;
}

static bool read_link_bearers(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct drill_link *l = out;
	int n = setting_list(ctx, s, 0, LIMIT_BEARERS), one;

	for (int i = 0; i < n; i++) {
		if (!read_bearer_ref(ctx, config_setting_get_elem(s, (unsigned)i), spec, &one))
			return false;
		for (int k = 0; k < i; k++)
			if (l->bearers[k] == one)
				return settings_fail(ctx, config_setting_get_elem(s, (unsigned)i), ERR_EXISTS, "bearers: \"%s\" is there twice (name each once)",
						     drill_of(ctx)->bearers[one].name);
		l->bearers[i] = (uint8_t)one;
		l->n_bearers = (uint8_t)(i + 1);
	}
	return n >= 0;
}

static const struct setting_spec link_settings[] = {
	{"from", read_site_set, offsetof(struct link_line, from), .required = true},
	{"to", read_link_to, 0, .required = true},
	{"bearers", read_link_bearers, offsetof(struct link_line, link), .required = true},
	{"delay", read_span, offsetof(struct link_line, link.delay_us), .min = 1, .max = 60 * US_PER_S},
	{"rate", read_bit_rate, offsetof(struct link_line, link.rate_bps)},
	{"every", read_span, offsetof(struct link_line, link.schedule.every_us), .min = US_PER_S, .max = 366 * US_PER_DAY},
	{"up", read_span, offsetof(struct link_line, link.schedule.up_us), .min = 1, .max = 366 * US_PER_DAY},
	{"offset", read_span, offsetof(struct link_line, link.schedule.offset_us), .max = 366 * US_PER_DAY},
	{"stagger", read_bool, offsetof(struct link_line, link.schedule.stagger)},
};

/* Of the circle of n sites: near ones first, the rest spread evenly over what is left. */
static bool are_neighbours(unsigned n, unsigned links, unsigned a, unsigned b)
{
	unsigned far = a > b ? a - b : b - a, half = links / 2, near = (half + 1) / 2, chords = half - near;

	if (far > n / 2)
		far = n - far;
	if (far <= near)
		return true;
	for (unsigned k = 1; k <= chords; k++) {
		unsigned chord = near + k * ((n - 1) / 2 - near) / (chords ? chords : 1);
		if (far == chord)
			return true;
	}
	return false;
}

static bool put_link(struct drill *d, int32_t *at, uint16_t a, uint16_t b, const struct drill_link *like)
{
	size_t n = d->roster->n_sites, cell = a < b ? a * n + b : b * n + a;

	if (at[cell] < 0) {
		struct drill_link *l = list_grow(&d->links, &d->n_links, sizeof *l);
		if (l == NULL)
			return false;
		at[cell] = (int32_t)(d->n_links - 1);
	}
	struct drill_link *l = &d->links[at[cell]];
	*l = *like;
	l->a = a < b ? a : b;
	l->b = a < b ? b : a;
	return true;
}

static bool apply_line(struct settings *ctx, const config_setting_t *s, const struct link_line *l, int32_t *at)
{
	struct drill *d = drill_of(ctx);
	size_t n = d->roster->n_sites;

	if (!l->neighbours && l->from.n == 1 && l->to.n == 1 && l->from.v[0] == l->to.v[0])
		return settings_fail(ctx, s, ERR_FORMAT, "links: %s is joined with itself (name another site in to)", drill_site_name(d, l->from.v[0]));

	for (size_t i = 0; i < l->from.n; i++)
		for (size_t k = 0; k < (l->neighbours ? n : l->to.n); k++) {
			uint16_t a = l->from.v[i], b = l->neighbours ? (uint16_t)k : l->to.v[k];
			if (a == b || (l->neighbours && !are_neighbours(d->generated, d->generated_links, a, b)))
				continue;
			if (!put_link(d, at, a, b, &l->link))
				return read_nomem(ctx, s);
		}
	return true;
}

static bool check_schedule(struct settings *ctx, const config_setting_t *s, const struct drill_schedule *c)
{
	if (c->every_us == 0 && (c->up_us || c->offset_us || c->stagger))
		return settings_fail(ctx, s, ERR_FORMAT, "links: a schedule without its period (add every = ...;)");
	if (c->every_us && (c->up_us == 0 || c->up_us > c->every_us))
		return settings_fail(ctx, s, ERR_RANGE, "links: up for an impossible time (more than 0 and at most every)");
	return true;
}

static bool read_one_link(struct settings *ctx, const config_setting_t *s, int32_t *at)
{
	struct link_line l = {0};

	reading_of(ctx)->from = &l.from;
	bool ok = READ_TABLE(ctx, s, link_settings, &l) && check_schedule(ctx, s, &l.link.schedule) &&
		  apply_line(ctx, s, &l, at);
	reading_of(ctx)->from = NULL;
	free(l.from.v);
	free(l.to.v);
	return ok;
}

static int by_pair(const void *x, const void *y)
{
	const struct drill_link *a = x, *b = y;

	return a->a != b->a ? (a->a < b->a ? -1 : 1) : a->b < b->b ? -1 : a->b > b->b;
}

/* A later line replaced an earlier one; one without bearers takes the link away. */
static void drop_empty(struct drill *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_links; i++)
		if (d->links[i].n_bearers)
			d->links[n++] = d->links[i];
	d->n_links = n;
	if (n)
		qsort(d->links, n, sizeof *d->links, by_pair);
}

static bool read_links(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct drill *d = drill_of(ctx);
	size_t cells = d->roster->n_sites * d->roster->n_sites;
	int n = setting_list(ctx, s, 0, DRILL_LINKS);
	int32_t *at = n < 0 ? NULL : malloc(cells * sizeof *at);

	(void)spec, (void)out;
	if (at == NULL)
		return n < 0 ? false : read_nomem(ctx, s);
	memset(at, 0xff, cells * sizeof *at);
	bool ok = true;
	for (int i = 0; i < n && ok; i++)
		ok = read_one_link(ctx, config_setting_get_elem(s, (unsigned)i), at);
	free(at);
	if (ok)
		drop_empty(d);
	if (ok && d->n_links == 0)
		return settings_fail(ctx, s, ERR_FORMAT, "links: no two sites are joined (write { from = \"all\"; to = \"all\"; bearers = ( \"%s\" ); })", d->bearers[0].name);
	return ok;
}

/* ---- clocks ----------------------------------------------------------------------------------------------------------- */

struct clock_line { struct drill_sites sites; int64_t offset_us; int drift; };

static const struct setting_spec clock_settings[] = {
	{"sites", read_site_set, offsetof(struct clock_line, sites), .required = true},
	{"offset", read_signed_span, offsetof(struct clock_line, offset_us), .max = 366 * US_PER_DAY},
	{"drift", read_int, offsetof(struct clock_line, drift), .min = -10000, .max = 10000},
};

static bool read_clocks(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct drill *d = drill_of(ctx);
	int n = setting_list(ctx, s, 0, DRILL_LINES);
	bool ok = n >= 0;

	(void)spec, (void)out;
	for (int i = 0; i < n && ok; i++) {
		struct clock_line l = {0};
		ok = READ_TABLE(ctx, config_setting_get_elem(s, (unsigned)i), clock_settings, &l);
		for (size_t k = 0; ok && k < l.sites.n; k++)
			d->clocks[l.sites.v[k]] = (struct drill_clock){l.offset_us, l.drift};
		free(l.sites.v);
	}
	return ok;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------- */

static bool read_bearers_first(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	return open_roster(ctx, config_setting_parent(s), out) && read_bearers(ctx, s, spec, out);
}

static const struct setting_spec network_settings[] = {
	{"roster", read_roster_name, 0},
	{"generated", read_made, offsetof(struct network_reading, made)},
	{"topology", read_text, offsetof(struct network_reading, topology), .max = PATH_BYTES - 1},
	{"sites", read_nothing, 0},
	{"bearers", read_bearers_first, 0, .required = true},
	{"links", read_links, 0, .required = true},
	{"clocks", read_clocks, 0},
};

bool read_network(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct network_reading n = {0};

	(void)spec, (void)out;
	if (config_setting_type(s) == CONFIG_TYPE_STRING)
		return read_text(ctx, s, &(struct setting_spec){.max = PATH_BYTES - 1}, n.topology) && topology_network(ctx, s, n.topology) && clocks_make(ctx, s);
	return READ_TABLE(ctx, s, network_settings, &n);
}
