/* The whole of a roster: what stands at its top, and relocators, areas and groups, which name sites. */
#include "proto/roster.h"

#include <stdlib.h>

#include "proto/id.h"
#include "proto/pack.h"
#include "proto/roster_reader.h"

/* Handling times after ACP 121, by precedence. */
static const int64_t default_deadline_us[PREC_COUNT] = {600 * US_PER_S, 1800 * US_PER_S, 3 * 3600 * US_PER_S, 6 * 3600 * US_PER_S};

/* ---- relocators, areas, groups -------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* A list of sites as a fresh array, rising. */
static bool read_site_set(struct settings *ctx, const config_setting_t *list, uint16_t **out, size_t *n_out)
{
	int n = config_setting_length(list);
	*out = calloc((size_t)n + 1, sizeof **out);
	if (*out == NULL)
		return fail_nomem(ctx, list);
	if (!read_site_refs(ctx, list, *out, n_out))
		return false;
	qsort(*out, *n_out, sizeof **out, by_value);
	return true;
}

static bool read_relocators(struct settings *ctx, const config_setting_t *list, const struct setting_spec *spec, void *out)
{
	struct roster *r = out;
	return setting_list(ctx, list, spec->min, spec->max) >= 0 && read_site_set(ctx, list, &r->relocators, &r->n_relocators);
}

/* Sites, areas and groups share one name space, so that an address means one thing. */
static bool check_name_free(struct settings *ctx, const config_setting_t *elem, const char *id)
{
	const struct roster *r = roster_of(ctx);
	struct view v = view_str(id);
	const char *kind = roster_site_by_id(r, v) ? "a site" : roster_area_by_id(r, v) ? "an area" : roster_group_by_id(r, v) ? "a group" : NULL;
	if (kind)
		return settings_fail(ctx, member_or(elem, "id"), ERR_FORMAT, "id: %s is the name of %s already (rename one)", id, kind);
	return true;
}

static bool read_area_site(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	(void)spec;
	return read_site_ref(ctx, s, out);
}

static const struct setting_spec area_settings[] = {
	{"number", read_u16, offsetof(struct area, number), .required = true, .min = 1, .max = UINT16_MAX},
	{"id", read_name, offsetof(struct area, id), .required = true},
	{"site", read_area_site, offsetof(struct area, site), .required = true},
};

static int area_by_number(const void *a, const void *b)
{
	return (int)((const struct area *)a)->number - (int)((const struct area *)b)->number;
}

static bool read_areas(struct settings *ctx, const config_setting_t *list, const struct setting_spec *spec, void *out)
{
	struct roster *r = out;
	int n = setting_list(ctx, list, spec->min, spec->max);
	if (n < 0)
		return false;
	r->areas = calloc((size_t)n + 1, sizeof *r->areas);
	if (r->areas == NULL)
		return fail_nomem(ctx, list);
	for (int i = 0; i < n; i++) {
		const config_setting_t *elem = config_setting_get_elem(list, (unsigned)i);
		struct area *a = &r->areas[i];
		if (!settings_read(ctx, elem, area_settings, sizeof area_settings / sizeof *area_settings, a) ||
		    !check_name_free(ctx, elem, a->id))
			return false;
		if (roster_area(r, a->number))
			return settings_fail(ctx, member_or(elem, "number"), ERR_FORMAT, "number: %u is area %s's (a number is never given twice)",
					     a->number, roster_area(r, a->number)->id);
		r->n_areas++;
	}
	qsort(r->areas, r->n_areas, sizeof *r->areas, area_by_number);
	return true;
}

static bool read_members(struct settings *ctx, const config_setting_t *list, const struct setting_spec *spec, void *out)
{
	struct group *g = out;
	return setting_list(ctx, list, spec->min, spec->max) >= 0 && read_site_set(ctx, list, &g->members, &g->n_members);
}

static const struct setting_spec group_settings[] = {
	{"number", read_u16, offsetof(struct group, number), .required = true, .min = 1, .max = UINT16_MAX},
	{"id", read_name, offsetof(struct group, id), .required = true},
	{"members", read_members, 0, .required = true, .min = 1, .max = LIMIT_SITES},
};

static int group_by_number(const void *a, const void *b)
{
	return (int)((const struct group *)a)->number - (int)((const struct group *)b)->number;
}

static bool read_group(struct settings *ctx, const config_setting_t *elem, struct group *g)
{
	const struct roster *r = roster_of(ctx);
	if (!settings_read(ctx, elem, group_settings, sizeof group_settings / sizeof *group_settings, g) || !check_name_free(ctx, elem, g->id))
		return false;
	if (roster_group(r, g->number))
		return settings_fail(ctx, member_or(elem, "number"), ERR_FORMAT, "number: %u is group %s's (a number is never given twice)", g->number,
				     roster_group(r, g->number)->id);
	return true;
}

static bool read_groups(struct settings *ctx, const config_setting_t *list, const struct setting_spec *spec, void *out)
{
	struct roster *r = out;
	int n = setting_list(ctx, list, spec->min, spec->max);
	if (n < 0)
		return false;
	r->groups = calloc((size_t)n + 1, sizeof *r->groups);
	if (r->groups == NULL)
		return fail_nomem(ctx, list);
	for (int i = 0; i < n; i++) {
		bool ok = read_group(ctx, config_setting_get_elem(list, (unsigned)i), &r->groups[i]);
		r->n_groups++; /* also a bad one: roster_free releases its members */
		if (!ok)
			return false;
	}
	qsort(r->groups, r->n_groups, sizeof *r->groups, group_by_number);
	return true;
}

/* ---- the whole ------------------------------------------------------------------------------------------ */

static bool read_quorum(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct roster *r = out;
	int x;
	if (!read_int(ctx, s, spec, &x))
		return false;
	size_t live = roster_live(r);
	if ((size_t)x > live)
		return settings_fail(ctx, s, ERR_RANGE, "quorum: %d is more than the %zu sites there are (1 to %zu are allowed)", x, live, live);
	r->quorum = (unsigned)x;
	return true;
}

static bool read_dictionaries(struct settings *ctx, const config_setting_t *list, const struct setting_spec *spec, void *out)
{
	struct roster *r = out;
	int n = setting_list(ctx, list, spec->min, spec->max);
	for (int i = 0; i < n; i++) {
		const config_setting_t *elem = config_setting_get_elem(list, (unsigned)i);
		const char *text = setting_string(ctx, elem, 2 * HASH_BYTES, 2 * HASH_BYTES);
		struct hash *h = &r->dictionaries[i];
		if (text == NULL)
			return false;
		if (hex_parse(view_str(text), h->b, HASH_BYTES) != ERR_OK)
			return settings_fail(ctx, elem, ERR_FORMAT, "dictionaries: \"%s\" is no hash of 64 hexadecimal digits (`estafette dictionary train` says it)", text);
		for (int k = 0; k < i; k++)
			if (pack_dictionary_id(&r->dictionaries[k]) == pack_dictionary_id(h))
				return settings_fail(ctx, elem, ERR_FORMAT, "dictionaries: %.8s is there twice (name each once)", text);
		r->n_dictionaries++;
	}
	return n >= 0;
}

static bool read_dictionary(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct roster *r = out;
	const char *text = setting_string(ctx, s, spec->min, spec->max);
	char hex[2 * HASH_BYTES + 1];
	if (text == NULL)
		return false;
	for (size_t i = 0; i < r->n_dictionaries; i++) {
		hex_format(r->dictionaries[i].b, HASH_BYTES, hex);
		if (strncmp(hex, text, strlen(text)) == 0 && r->dictionary >= 0)
			return settings_fail(ctx, s, ERR_FORMAT, "dictionary: two begin with \"%s\" (write more of it)", text);
		if (strncmp(hex, text, strlen(text)) == 0)
			r->dictionary = (int)i;
	}
	return r->dictionary >= 0 || settings_fail(ctx, s, ERR_NOT_FOUND, "dictionary: \"%s\" is not in the list dictionaries (add its whole hash there)", text);
}

/* In the order of need: queues take the network's deadlines, everything below sites names them. */
static const struct setting_spec roster_settings[] = {
	{"network", read_name, offsetof(struct roster, network), .required = true},
	{"serial", read_u32, offsetof(struct roster, serial), .required = true, .min = 1, .max = INT32_MAX},
	{"deadlines", read_deadlines, offsetof(struct roster, deadline_us)},
	{"sites", read_sites, 0, .required = true, .min = 1, .max = LIMIT_SITES},
	{"quorum", read_quorum, 0, .required = true, .min = 1, .max = LIMIT_SITES},
	{"relocators", read_relocators, 0, .required = true, .min = 0, .max = LIMIT_SITES},
	{"areas", read_areas, 0, .min = 0, .max = LIMIT_AREAS},
	{"groups", read_groups, 0, .min = 0, .max = LIMIT_GROUPS},
	{"dictionaries", read_dictionaries, 0, .min = 0, .max = LIMIT_DICTIONARIES},
	{"dictionary", read_dictionary, 0, .min = 8, .max = 2 * HASH_BYTES},
};

struct hash roster_network_hash(const char *name, const struct minisign_public *authority)
{
	struct view key = authority ? view_of(authority->key.b, sizeof authority->key.b) : view_of(NULL, 0);
	return crypt_hash2(HASH_NETWORK, view_str(name), key);
}

enum err roster_parse(const char *file, struct view text, const struct minisign_public *authority, bool allow_template,
		      struct roster **out, struct errmsg *m)
{
	*out = NULL;
	config_t cfg;
	config_init(&cfg);
	struct roster *r = calloc(1, sizeof *r);
	struct roster_reading reading = {r, allow_template};
	struct settings ctx = {.file = file, .m = m, .user = &reading};
	enum err e = ERR_OK;
	if (r == NULL) {
		e = err_set(m, ERR_NOMEM, "roster %s: out of memory (free some and try again)", file);
		goto out;
	}
	r->dictionary = -1;
	memcpy(r->deadline_us, default_deadline_us, sizeof r->deadline_us);
	e = settings_parse(&ctx, text, LIMIT_ROSTER_BYTES, &cfg);
	if (e != ERR_OK)
		goto out;
	if (!settings_read(&ctx, config_root_setting(&cfg), roster_settings, sizeof roster_settings / sizeof *roster_settings, r)) {
		e = ctx.err;
		goto out;
	}
	r->hash = crypt_hash(HASH_STATE, text);
	r->network_hash = roster_network_hash(r->network, authority);
	*out = r;
	r = NULL; /* transferred */
out:
	config_destroy(&cfg);
	roster_free(r);
	return e;
}

enum err roster_open(const char *file, struct view text, struct view minisig, const struct minisign_public *authority,
		     struct roster **out, struct errmsg *m)
{
	*out = NULL;
	enum err e = minisign_verify(authority, text, minisig, NULL, 0);
	if (e == ERR_KEY)
		return err_set(m, e, "roster %.160s: signed by another key than the authority's (get the roster of this network, or check authority)",
			       file);
	if (e == ERR_FORMAT)
		return err_set(m, e, "roster %.160s: its signature is not a minisign signature (get roster and .minisig again)", file);
	if (e != ERR_OK)
		return err_set(m, e, "roster %.160s: the signature does not fit the text (get roster and .minisig again)", file);
	e = minisig.len > LIMIT_MINISIG_BYTES ? err_set(m, ERR_TOO_LARGE, "roster %.160s: its signature is too long (get roster and .minisig again)", file)
					      : roster_parse(file, text, authority, false, out, m);
	if (e != ERR_OK)
		return e;
	struct buf blob = BUF_EMPTY;
	roster_blob_add(&blob, text, minisig);
	if (!buf_ok(&blob)) {
		roster_free(*out);
		*out = NULL;
		return err_set(m, ERR_NOMEM, "roster %.160s: out of memory (free some and try again)", file);
	}
	(*out)->blob.ptr = blob.ptr; /* transferred */
	(*out)->blob.len = blob.len;
	return ERR_OK;
}
