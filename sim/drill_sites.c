/* Sets of sites as a drill names them. */
#include "sim/drill_read.h"

#include <stdio.h>
#include <stdlib.h>

bool sites_has(const struct drill_sites *s, uint16_t site)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i] == site)
			return true;
	return false;
}

bool sites_copy(struct drill_sites *to, const struct drill_sites *from)
{
	*to = (struct drill_sites){0, NULL};
	if (from->n == 0)
		return true;
	to->v = malloc(from->n * sizeof *to->v);
	if (to->v == NULL)
		return false;
	memcpy(to->v, from->v, from->n * sizeof *to->v);
	to->n = from->n;
	return true;
}

static const char *site_name_at(const void *arg, size_t i)
{
	return ((const struct roster *)arg)->sites[i].id;
}

static size_t index_of(const struct roster *r, uint16_t number)
{
	for (size_t i = 0; i < r->n_sites; i++)
		if (r->sites[i].number == number)
			return i;
	return r->n_sites;
}

static int fail_site(struct settings *ctx, const config_setting_t *s, const char *name)
{
	const struct roster *r = drill_of(ctx)->roster;
	const char *near = nearest(name, site_name_at, r, r->n_sites);

	if (near)
		settings_fail(ctx, s, ERR_UNKNOWN_SITE, "%.60s: \"%.60s\" is not a site of this drill (did you mean \"%s\"?)", setting_name(s), name, near);
	else
		settings_fail(ctx, s, ERR_UNKNOWN_SITE, "%.60s: \"%.60s\" is not a site of this drill (name one of its roster, such as \"%s\")",
			      setting_name(s), name, r->sites[0].id);
	return -1;
}

int site_ref(struct settings *ctx, const config_setting_t *s, const char *name)
{
	const struct roster *r = drill_of(ctx)->roster;
	const struct site *site = roster_site_by_id(r, view_str(name));

	return site ? (int)(site - r->sites) : fail_site(ctx, s, name);
}

/* Marks what a word means: a site, group, area, "all" or "others". */
static bool mark(struct settings *ctx, const config_setting_t *s, const char *name, bool *in, bool value)
{
	const struct drill_reading *read = reading_of(ctx);
	const struct roster *r = read->drill->roster;
	const struct group *g = roster_group_by_id(r, view_str(name));
	const struct area *a = roster_area_by_id(r, view_str(name));

	if (strcmp(name, "all") == 0 || (read->from && read->from->n && strcmp(name, "others") == 0)) {
		for (size_t i = 0; i < r->n_sites; i++)
			if (name[0] == 'a' || !sites_has(read->from, (uint16_t)i))
				in[i] = value;
		return true;
	}
	for (size_t i = 0; g && i < g->n_members; i++)
		in[index_of(r, g->members[i])] = value;
	if (a)
		in[index_of(r, a->site)] = value;
	if (g || a)
		return true;
	int one = site_ref(ctx, s, name);
	if (one >= 0)
		in[one] = value;
	return one >= 0;
}

static bool mark_all(struct settings *ctx, const config_setting_t *s, bool *in)
{
	int n = config_setting_type(s) == CONFIG_TYPE_STRING ? 1 : setting_list(ctx, s, 1, DRILL_LINES);

	for (int i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_type(s) == CONFIG_TYPE_STRING ? s : config_setting_get_elem(s, (unsigned)i);
		const char *name = setting_string(ctx, e, 1, LIMIT_NAME_BYTES + 1);
		if (name == NULL || !mark(ctx, e, name + (name[0] == '!'), in, name[0] != '!'))
			return false;
	}
	return n > 0;
}

bool read_site_set(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const struct roster *r = drill_of(ctx)->roster;
	struct drill_sites *set = out;
	bool *in = calloc(r->n_sites, sizeof *in);
	bool ok = in && mark_all(ctx, s, in);

	(void)spec;
	free(set->v);
	*set = (struct drill_sites){0, NULL};
	if (ok)
		set->v = malloc(r->n_sites * sizeof *set->v);
	for (size_t i = 0; ok && set->v && i < r->n_sites; i++)
		if (in[i])
			set->v[set->n++] = (uint16_t)i;
	free(in);
	if (ctx->err == ERR_OK && set->v == NULL)
		return read_nomem(ctx, s);
	if (ok && set->n == 0)
		return settings_fail(ctx, s, ERR_RANGE, "%.60s: no site is left (name at least one)", setting_name(s));
	return ok;
}

bool read_one_site(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct drill_sites *set = out;
	const char *name = setting_string(ctx, s, 1, LIMIT_NAME_BYTES);
	int one = name ? site_ref(ctx, s, name) : -1;

	(void)spec;
	if (one < 0)
		return false;
	set->v = malloc(sizeof *set->v);
	if (set->v == NULL)
		return read_nomem(ctx, s);
	set->v[0] = (uint16_t)one;
	set->n = 1;
	return true;
}

bool check_address(struct settings *ctx, const config_setting_t *s, const char *text)
{
	struct address a;
	struct errmsg m;
	enum err e = roster_resolve(drill_of(ctx)->roster, view_str(text), &a, &m);
	const char *slash = strchr(text, '/');

	if (e == ERR_OK)
		return true;
	if (e == ERR_UNKNOWN_SITE && slash) {
		char name[LIMIT_NAME_BYTES + 1];
		snprintf(name, sizeof name, "%.*s", (int)(slash - text), text);
		return fail_site(ctx, s, name) == 0;
	}
	return settings_fail(ctx, s, e, "%.60s: %s", setting_name(s), m.text);
}
