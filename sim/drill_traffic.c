/* The traffic of a drill: flows with their rates, bodies, desks, and the tables that they are read from. */
#include "sim/drill_read.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- tables -------------------------------------------------------------------------------------------------- */

/* A table is lines of fields apart by tabs; the first line names the columns; '#' begins a comment line. */
struct table { struct buf text; char path[4096]; char *next; unsigned line; char *field[16]; size_t n; };

static bool table_line(struct table *t)
{
	while (t->next && *t->next) {
		char *line = t->next, *end = strchr(line, '\n');
		if (end)
			*end = '\0';
		t->next = end ? end + 1 : NULL;
		t->line++;
		if (line[0] == '#' || line[0] == '\0')
			continue;
		t->n = 0;
		for (char *p = line; p && t->n < sizeof t->field / sizeof t->field[0];) {
			t->field[t->n++] = p;
			p = strchr(p, '\t');
			if (p)
				*p++ = '\0';
		}
		return true;
	}
	return false;
}

static bool table_open(struct settings *ctx, const config_setting_t *s, const char *name, struct table *t)
{
	*t = (struct table){.text = BUF_EMPTY};
	if (!read_beside(ctx, s, name, &t->text, t->path, sizeof t->path))
		return false;
	buf_add_u8(&t->text, 0);
	if (!buf_ok(&t->text))
		return read_nomem(ctx, s);
	t->next = (char *)t->text.ptr;
	if (!table_line(t))
		return settings_fail(ctx, s, ERR_FORMAT, "%.60s: %.200s is empty (its first line names the columns)", setting_name(s), t->path);
	return true;
}

static int table_column(struct settings *ctx, const config_setting_t *s, const struct table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->field[i], name) == 0)
			return (int)i;
	settings_fail(ctx, s, ERR_FORMAT, "%.60s: %.200s has no column \"%s\" (its first line names the columns)", setting_name(s), t->path, name);
	return -1;
}

static bool table_number(struct settings *ctx, const config_setting_t *s, const struct table *t, int column, double *out)
{
	char *end = NULL;
	double x = (size_t)column < t->n ? strtod(t->field[column], &end) : -1;

	if (end == NULL || *end != '\0' || end == t->field[column] || !(x >= 0 && x < 1e10))
		return settings_fail(ctx, s, ERR_FORMAT, "%.60s: %.200s:%u: no number in column %d (digits)", setting_name(s), t->path, t->line, column + 1);
	*out = x;
	return true;
}

/* ---- bodies -------------------------------------------------------------------------------------------------------- */

struct bodies { size_t n; struct drill_body *v; int64_t largest; };

static const struct setting_spec body_settings[] = {
	{"type", read_text, offsetof(struct drill_body, type), .required = true, .max = LIMIT_MEDIA_TYPE_BYTES},
	{"lang", read_text, offsetof(struct drill_body, lang), .max = LIMIT_LANG_BYTES},
	{"size", read_size, offsetof(struct drill_body, bytes), .required = true, .min = 8, .max = LIMIT_BODY_BYTES},
	{"weight", read_u32, offsetof(struct drill_body, weight), .min = 1, .max = 1000000},
};

static struct drill_body *body_add(struct bodies *b)
{
	struct drill_body *body = list_grow(&b->v, &b->n, sizeof *body);

	if (body)
		body->weight = 1;
	return body;
}

static bool body_row(struct settings *ctx, const config_setting_t *s, const struct table *t, const int column[4], struct bodies *b)
{
	double bytes, weight;

	if (!table_number(ctx, s, t, column[2], &bytes) || !table_number(ctx, s, t, column[3], &weight))
		return false;
	if ((int64_t)bytes > b->largest)
		return true;
	if (strlen(t->field[column[0]]) > LIMIT_MEDIA_TYPE_BYTES || strlen(t->field[column[1]]) > LIMIT_LANG_BYTES || bytes < 8)
		return settings_fail(ctx, s, ERR_FORMAT, "%.60s: %.200s:%u: a body is a media type, a language and at least 8 bytes", setting_name(s), t->path, t->line);
	struct drill_body *body = body_add(b);
	if (body == NULL)
		return read_nomem(ctx, s);
	snprintf(body->type, sizeof body->type, "%s", t->field[column[0]]);
	snprintf(body->lang, sizeof body->lang, "%s", t->field[column[1]]);
	body->bytes = (int64_t)bytes;
	body->weight = (uint32_t)weight;
	return true;
}

static bool body_table(struct settings *ctx, const config_setting_t *s, const char *name, struct bodies *b)
{
	static const char *const names[4] = {"type", "lang", "bytes", "weight"};
	struct table t;
	int column[4];
	bool ok = table_open(ctx, s, name, &t);

	for (size_t i = 0; i < 4 && ok; i++)
		ok = (column[i] = table_column(ctx, s, &t, names[i])) >= 0;
	while (ok && table_line(&t))
		ok = t.n >= 4 ? body_row(ctx, s, &t, column, b)
			      : settings_fail(ctx, s, ERR_FORMAT, "%.60s: %.200s:%u: fewer than four columns", setting_name(s), t.path, t.line);
	if (ok && b->n == 0)
		ok = settings_fail(ctx, s, ERR_RANGE, "%.60s: %.200s: no body is small enough (raise largest)", setting_name(s), t.path);
	buf_release(&t.text);
	return ok;
}

/* "facts/bodies.tsv", or a list of { type; lang; size; weight }. */
static bool read_body_list(struct settings *ctx, const config_setting_t *s, struct bodies *b)
{
	if (config_setting_type(s) == CONFIG_TYPE_STRING) {
		const char *name = setting_string(ctx, s, 1, 255);
		return name && body_table(ctx, s, name, b);
	}
	int n = setting_list(ctx, s, 1, DRILL_LINES);
	for (int i = 0; i < n; i++) {
		struct drill_body *body = body_add(b);
		if (body == NULL)
			return read_nomem(ctx, s);
		if (!READ_TABLE(ctx, config_setting_get_elem(s, (unsigned)i), body_settings, body))
			return false;
	}
	return n > 0;
}

/* Of the drill: out is its `largest`, which the table of the drill reads first. */
bool read_bodies(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct drill *d = drill_of(ctx);
	struct bodies b = {.largest = d->largest_bytes};

	(void)spec, (void)out;
	bool ok = read_body_list(ctx, s, &b);
	d->bodies = b.v;
	d->n_bodies = b.n;
	return ok;
}

/* ---- flows ---------------------------------------------------------------------------------------------------------- */

struct flow_line {
	struct drill_flow flow;
	struct drill_sites from;
	char table[256], column[LIMIT_NAME_BYTES + 1];
	uint32_t share_ppm, per_year, per_day;
	const config_setting_t *table_at;
};

static bool has_rate(const struct drill_flow *f, uint16_t site)
{
	for (size_t i = 0; i < f->n_rates; i++)
		if (f->rates[i].site == site)
			return true;
	return false;
}

static bool rate_add(struct drill_flow *f, uint16_t site, int64_t per_year)
{
	struct drill_rate *r = list_grow(&f->rates, &f->n_rates, sizeof *r);

	if (r)
		*r = (struct drill_rate){site, per_year};
	return r != NULL;
}

static bool read_mix(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	static const struct setting_spec table[] = {
		{"flash", read_u32, 0, .max = 1000000},
		{"immediate", read_u32, 4, .max = 1000000},
		{"priority", read_u32, 8, .max = 1000000},
		{"routine", read_u32, 12, .max = 1000000},
	};
	uint32_t *mix = out;

	(void)spec;
	memset(mix, 0, PREC_COUNT * sizeof *mix);
	if (!READ_TABLE(ctx, s, table, mix))
		return false;
	if (mix[0] + mix[1] + mix[2] + mix[3] == 0)
		return settings_fail(ctx, s, ERR_RANGE, "mix: every weight is 0 (give at least one precedence a weight)");
	return true;
}

static bool read_flow_to(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	static const struct { const char *word; enum flow_to where; } words[] = {{"own/", TO_OWN}, {"any/", TO_ANY}, {"neighbour/", TO_NEIGHBOUR}};
	const char *text = setting_string(ctx, s, 3, LIMIT_ADDRESS_BYTES);
	struct drill_flow *f = out;

	(void)spec;
	if (text == NULL)
		return false;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strncmp(text, words[i].word, strlen(words[i].word)) == 0) {
			const char *queue = text + strlen(words[i].word);
			if (strlen(queue) > LIMIT_NAME_BYTES || !view_is_name(view_str(queue)))
				return settings_fail(ctx, s, ERR_FORMAT, "to: \"%s\" is no queue (as in \"%sdispatch\")", queue, words[i].word);
			f->where = words[i].where;
			snprintf(f->to, sizeof f->to, "%s", queue);
			return true;
		}
	f->where = TO_ADDRESS;
	snprintf(f->to, sizeof f->to, "%s", text);
	return check_address(ctx, s, text);
}

struct rate_line { struct drill_sites site; uint32_t per_year; };

static bool read_rates(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	static const struct setting_spec table[] = {
		{"site", read_one_site, offsetof(struct rate_line, site), .required = true},
		{"per-year", read_u32, offsetof(struct rate_line, per_year), .required = true, .max = INT32_MAX},
	};
	struct drill_flow *f = out;
	int n = setting_list(ctx, s, 1, DRILL_LINKS);

	(void)spec;
	for (int i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		struct rate_line r = {0};
		bool ok = READ_TABLE(ctx, e, table, &r);
		if (ok && has_rate(f, r.site.v[0]))
			ok = settings_fail(ctx, e, ERR_EXISTS, "rates: \"%s\" is there twice (name each site once)", drill_site_name(drill_of(ctx), r.site.v[0]));
		ok = ok && (rate_add(f, r.site.v[0], r.per_year) || read_nomem(ctx, s));
		free(r.site.v);
		if (!ok)
			return false;
	}
	return n > 0;
}

static bool read_table_name(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct flow_line *l = out;

	l->table_at = s;
	return read_text(ctx, s, spec, l->table);
}

static bool read_flow_bodies(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct drill_flow *f = out;
	struct bodies b = {.largest = drill_of(ctx)->largest_bytes};

	(void)spec;
	bool ok = read_body_list(ctx, s, &b);
	f->bodies = b.v;
	f->n_bodies = b.n;
	return ok;
}

#define IN_FLOW(member) offsetof(struct flow_line, flow.member)
static const struct setting_spec flow_settings[] = {
	{"name", read_name, IN_FLOW(name), .required = true},
	{"from", read_site_set, offsetof(struct flow_line, from)},
	{"per-year", read_u32, offsetof(struct flow_line, per_year), .max = INT32_MAX},
	{"per-day", read_u32, offsetof(struct flow_line, per_day), .max = 5000000},
	{"table", read_table_name, 0, .max = 255},
	{"column", read_text, offsetof(struct flow_line, column), .max = LIMIT_NAME_BYTES},
	{"share", read_ppm, offsetof(struct flow_line, share_ppm)},
	{"rates", read_rates, offsetof(struct flow_line, flow)},
	{"to", read_flow_to, offsetof(struct flow_line, flow), .required = true},
	{"mix", read_mix, IN_FLOW(mix)},
	{"night", read_int, IN_FLOW(night_percent), .min = 0, .max = 1000},
	{"channel", read_name, IN_FLOW(channel)},
	{"exercise", read_text, IN_FLOW(exercise), .max = LIMIT_NAME_BYTES},
	{"expires", read_span, IN_FLOW(expires_us), .min = US_PER_S, .max = 366 * US_PER_DAY},
	{"begin", read_moment, IN_FLOW(from_us)},
	{"until", read_moment, IN_FLOW(until_us)},
	{"exact", read_bool, IN_FLOW(exact)},
	{"bodies", read_flow_bodies, offsetof(struct flow_line, flow)},
};

static int64_t share_of(int64_t x, uint32_t ppm)
{
	return (x * ppm + 500000) / 1000000;
}

static bool known_site(struct settings *ctx, const char *name)
{
	const struct roster *all = reading_of(ctx)->all;

	return all && roster_site_by_id(all, view_str(name)) != NULL;
}

/* Rows of sites that the drill leaves out of the network are passed over; unknown names are not. */
static bool table_rates(struct settings *ctx, struct flow_line *l)
{
	const struct roster *r = drill_of(ctx)->roster;
	const config_setting_t *s = l->table_at;
	struct table t;
	bool ok = table_open(ctx, s, l->table, &t);
	int site_at = ok ? table_column(ctx, s, &t, "site") : -1;
	int column = site_at >= 0 ? table_column(ctx, s, &t, l->column) : -1;
	double x;

	ok = column >= 0;
	while (ok && table_line(&t)) {
		const char *name = (size_t)site_at < t.n ? t.field[site_at] : "";
		const struct site *site = roster_site_by_id(r, view_str(name));
		if (site && has_rate(&l->flow, (uint16_t)(site - r->sites)))
			ok = settings_fail(ctx, s, ERR_EXISTS, "table: %.200s:%u: \"%.60s\" is there twice (one line a site)", t.path, t.line, name);
		else if (site)
			ok = table_number(ctx, s, &t, column, &x) &&
			     (rate_add(&l->flow, (uint16_t)(site - r->sites), share_of((int64_t)(x + 0.5), l->share_ppm)) || read_nomem(ctx, s));
		else if (!known_site(ctx, name))
			ok = settings_fail(ctx, s, ERR_UNKNOWN_SITE, "table: %.200s:%u: \"%.60s\" is not a site", t.path, t.line, name);
	}
	if (ok && l->flow.n_rates == 0)
		ok = settings_fail(ctx, s, ERR_NOT_FOUND, "table: %.200s has no site of this drill (network.sites lists them)", t.path);
	buf_release(&t.text);
	return ok;
}

/* What would be without effect is refused. */
static bool flow_given(struct settings *ctx, const config_setting_t *s, const struct flow_line *l)
{
	const char *name = l->flow.name;

	if (l->per_year && l->per_day)
		return settings_fail(ctx, s, ERR_FORMAT, "traffic: \"%s\" has per-year and per-day (take one away)", name);
	if (l->from.n == 0 && (l->per_year || l->per_day))
		return settings_fail(ctx, s, ERR_FORMAT, "traffic: \"%s\" has %s without from (add from = ...;)", name, l->per_year ? "per-year" : "per-day");
	if (l->table[0] == '\0' && l->column[0])
		return settings_fail(ctx, s, ERR_FORMAT, "traffic: \"%s\" has a column without its table (add table = ...;)", name);
	for (size_t i = 0; i < drill_of(ctx)->n_flows; i++)
		if (strcmp(drill_of(ctx)->flows[i].name, name) == 0)
			return settings_fail(ctx, s, ERR_EXISTS, "traffic: \"%s\" is there twice (give each flow its own name)", name);
	return true;
}

static bool flow_rates(struct settings *ctx, const config_setting_t *s, struct flow_line *l)
{
	int64_t per_year = l->per_year ? l->per_year : INT64_C(365) * l->per_day;
	bool table = l->table[0] != '\0', each = l->from.n > 0, listed = l->flow.n_rates > 0;

	if (table + each + listed != 1)
		return settings_fail(ctx, s, ERR_FORMAT, "traffic: \"%s\" needs one of: from with per-year or per-day, table with column, rates", l->flow.name);
	if (table && l->column[0] == '\0')
		return settings_fail(ctx, s, ERR_FORMAT, "traffic: \"%s\" names a table without its column (add column = ...;)", l->flow.name);
	if (table)
		return table_rates(ctx, l);
	if (each && per_year <= 0)
		return settings_fail(ctx, s, ERR_FORMAT, "traffic: \"%s\" has senders but no rate (add per-year or per-day = ...;)", l->flow.name);
	for (size_t i = 0; i < l->from.n; i++)
		if (!rate_add(&l->flow, l->from.v[i], share_of(per_year, l->share_ppm)))
			return read_nomem(ctx, s);
	return true;
}

/* Every site that this flow may write to must have the queue. */
static bool flow_queue(struct settings *ctx, const config_setting_t *s, const struct drill_flow *f)
{
	const struct roster *r = drill_of(ctx)->roster;
	size_t with = 0;

	for (size_t i = 0; i < r->n_sites; i++)
		with += site_queue(&r->sites[i], view_str(f->to)) != NULL;
	if (f->where == TO_ANY && with < 2)
		return settings_fail(ctx, s, ERR_UNKNOWN_QUEUE, "to: fewer than two sites have a queue \"%s\" (the roster lists queues)", f->to);
	for (size_t i = 0; f->where == TO_OWN && i < f->n_rates; i++)
		if (site_queue(&r->sites[f->rates[i].site], view_str(f->to)) == NULL)
			return settings_fail(ctx, s, ERR_UNKNOWN_QUEUE, "to: %s has no queue \"%s\" (the roster lists queues)", r->sites[f->rates[i].site].id, f->to);
	if (f->where == TO_NEIGHBOUR && with < r->n_sites)
		return settings_fail(ctx, s, ERR_UNKNOWN_QUEUE, "to: not every site has a queue \"%s\" (the roster lists queues)", f->to);
	return true;
}

static bool read_flow(struct settings *ctx, const config_setting_t *s)
{
	struct drill *d = drill_of(ctx);
	struct flow_line l = {.flow = {.mix = {1, 9, 40, 50}, .night_percent = 100}, .share_ppm = 1000000};
	bool ok = READ_TABLE(ctx, s, flow_settings, &l) && flow_given(ctx, s, &l) && flow_rates(ctx, s, &l) && flow_queue(ctx, s, &l.flow);
	struct drill_flow *f = ok ? list_grow(&d->flows, &d->n_flows, sizeof *f) : NULL;

	if (ok && l.flow.until_us && l.flow.until_us <= l.flow.from_us)
		ok = settings_fail(ctx, s, ERR_RANGE, "until: an impossible time, not after begin");
	if (f && ok)
		*f = l.flow; /* transferred */
	else {
		if (f)
			d->n_flows--;
		free(l.flow.rates);
		free(l.flow.bodies);
	}
	free(l.from.v);
	return ok && (f || read_nomem(ctx, s));
}

bool read_traffic(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	int n = setting_list(ctx, s, 0, DRILL_LINES);

	(void)spec, (void)out;
	for (int i = 0; i < n; i++)
		if (!read_flow(ctx, config_setting_get_elem(s, (unsigned)i)))
			return false;
	return n >= 0;
}

/* ---- desks -------------------------------------------------------------------------------------------------------------- */

struct desk_line { struct drill_sites sites; struct drill_desk desk; };

#define IN_DESK(member) offsetof(struct desk_line, desk.member)
static const struct setting_spec desk_settings[] = {
	{"sites", read_site_set, offsetof(struct desk_line, sites), .required = true},
	{"queue", read_name, IN_DESK(queue), .required = true},
	{"staff", read_int, IN_DESK(staff), .min = 1, .max = 64},
	{"batch", read_int, IN_DESK(batch), .min = 1, .max = 1000},
	{"handling", read_span, IN_DESK(handling_us), .max = US_PER_DAY},
	{"lease", read_span, IN_DESK(lease_us), .min = US_PER_S, .max = LIMIT_LEASE_US},
	{"refuse", read_ppm, IN_DESK(refuse_ppm)},
	{"return", read_ppm, IN_DESK(return_ppm)},
	{"crash", read_ppm, IN_DESK(crash_ppm)},
	{"exercise", read_text, IN_DESK(exercise), .max = LIMIT_NAME_BYTES},
};

static bool desk_put(struct settings *ctx, const config_setting_t *s, uint16_t site, const struct drill_desk *like)
{
	struct drill *d = drill_of(ctx);
	struct drill_desk *at = NULL;

	if (site_queue(&d->roster->sites[site], view_str(like->queue)) == NULL)
		return settings_fail(ctx, s, ERR_UNKNOWN_QUEUE, "queue: %s has no queue \"%s\" (the roster lists queues)", d->roster->sites[site].id, like->queue);
	for (size_t i = 0; i < d->n_desks; i++)
		if (d->desks[i].site == site && strcmp(d->desks[i].queue, like->queue) == 0 && strcmp(d->desks[i].exercise, like->exercise) == 0)
			at = &d->desks[i];
	if (at == NULL)
		at = list_grow(&d->desks, &d->n_desks, sizeof *at);
	if (at == NULL)
		return read_nomem(ctx, s);
	*at = *like;
	at->site = site;
	return true;
}

bool read_desks(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	int n = setting_list(ctx, s, 0, DRILL_LINES);
	bool ok = n >= 0;

	(void)spec, (void)out;
	for (int i = 0; i < n && ok; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		struct desk_line l = {.desk = {.staff = 1, .batch = 1, .handling_us = 30 * US_PER_S}};
		ok = READ_TABLE(ctx, e, desk_settings, &l);
		for (size_t k = 0; ok && k < l.sites.n; k++)
			ok = desk_put(ctx, e, l.sites.v[k], &l.desk);
		free(l.sites.v);
	}
	return ok;
}
