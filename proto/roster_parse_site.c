/* Sites: their keys, bearers, queues, standbys. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "proto/keyfile.h"
#include "proto/roster_reader.h"
#include "proto/roster_text.h"

#define DEADLINE_MIN_US US_PER_S
#define DEADLINE_MAX_US (30 * US_PER_DAY)
#define COST_MAX 1000000

static const char *member_text(const config_setting_t *group, const char *name)
{
	const config_setting_t *s = config_setting_get_member((config_setting_t *)group, name);
	return s ? config_setting_get_string(s) : NULL;
}

/* ---- keys ----------------------------------------------------------------------------------------------- */

static bool read_base64(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, 200);
	if (text == NULL)
		return false;
	if (base64_parse(view_str(text), out, (size_t)spec->max) != ERR_OK)
		return settings_fail(ctx, s, ERR_FORMAT, "%s: not the base64 of %d bytes (copy the line that keygen printed)", spec->name,
				     (int)spec->max);
	return true;
}

static bool read_former(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	static const struct setting_spec key = {.name = "former", .max = sizeof(struct sign_public)};
	struct site *site = out;
	int n = setting_list(ctx, s, spec->min, spec->max);
	for (int i = 0; i < n; i++) {
		const config_setting_t *elem = config_setting_get_elem(s, (unsigned)i);
		if (!read_base64(ctx, elem, &key, &site->former[i]))
			return false;
		for (int j = 0; j < i; j++)
			if (memcmp(&site->former[j], &site->former[i], sizeof site->former[i]) == 0)
				return settings_fail(ctx, elem, ERR_FORMAT, "former: this key is named twice (once is enough)");
		site->n_former++;
	}
	return n >= 0;
}

/* Five characters of Z85 are four bytes, so not every five are a value. */
static bool z85_is_key(const char *text)
{
	static const char alphabet[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
	if (strlen(text) != 40)
		return false;
	for (size_t i = 0; i < 40; i += 5) {
		uint64_t value = 0;
		for (size_t j = i; j < i + 5; j++) {
			const char *digit = strchr(alphabet, text[j]);
			if (digit == NULL)
				return false;
			value = value * 85 + (uint64_t)(digit - alphabet);
		}
		if (value > UINT32_MAX)
			return false;
	}
	return true;
}

static bool read_z85(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, 200);
	if (text == NULL)
		return false;
	if (!z85_is_key(text))
		return settings_fail(ctx, s, ERR_FORMAT, "%s: not a link key of 40 characters of Z85 (copy the line that keygen printed)",
				     spec->name);
	memcpy(out, text, 41);
	return true;
}

/* ---- bearers -------------------------------------------------------------------------------------------- */

static bool is_port(const char *text)
{
	unsigned value = 0;
	size_t n = strlen(text);
	if (n == 0 || n > 5 || text[0] == '0')
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (unsigned)(*text - '0');
	}
	return value <= 65535;
}

/* "Any address" reaches nobody. */
static bool is_address(const char *text, size_t n)
{
	char copy[64];
	uint8_t bytes[16], zeros[16] = {0};
	bool v6 = n > 2 && text[0] == '[' && text[n - 1] == ']';
	if (v6) {
		text++;
		n -= 2;
	}
	if (n >= sizeof copy)
		return false;
	memcpy(copy, text, n);
	copy[n] = '\0';
	return inet_pton(v6 ? AF_INET6 : AF_INET, copy, bytes) == 1 && memcmp(bytes, zeros, v6 ? 16 : 4) != 0;
}

/* A host name as DNS has them: labels of letters, digits and inner hyphens; the last one begins with a letter, so that no mistaken
 * address is taken for a name. Names are for the daemon's resolver. */
static bool is_host(const char *text, size_t n)
{
	size_t label = 0;
	bool letter = false;
	for (size_t i = 0; i <= n; i++) {
		char c = i < n ? text[i] : '.';
		if (c == '.') {
			if (label == 0 || label > 63 || text[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!is_letter && !(c >= '0' && c <= '9') && !(c == '-' && label > 0))
			return false;
		if (label++ == 0)
			letter = is_letter;
	}
	return letter;
}

static bool read_endpoint(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, LIMIT_ENDPOINT_BYTES);
	if (text == NULL)
		return false;
	const char *address = strncmp(text, "tcp://", 6) == 0 ? text + 6 : NULL;
	const char *colon = address ? strrchr(address, ':') : NULL;
	if (colon == NULL || !is_port(colon + 1) || !(is_address(address, (size_t)(colon - address)) || is_host(address, (size_t)(colon - address))))
		return settings_fail(ctx, s, ERR_FORMAT,
				     "%s: \"%s\" is not tcp://ADDRESS:PORT (write the address as in tcp://10.1.2.3:7410 or tcp://[fd00::1]:7410, or "
				     "a host's name)",
				     spec->name, text);
	memcpy(out, text, strlen(text) + 1);
	return true;
}

static bool read_rate(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, 32);
	if (text == NULL)
		return false;
	if (!rate_parse(text, out))
		return settings_fail(ctx, s, ERR_FORMAT, "%s: \"%s\" is not a rate (write a number with bit/s, kbit/s, Mbit/s or Gbit/s)",
				     spec->name, text);
	return true;
}

static const struct setting_spec bearer_settings[] = {
	{"name", read_name, offsetof(struct bearer, name), .required = true},
	{"endpoint", read_endpoint, offsetof(struct bearer, endpoint), .required = true},
	{"cost", read_int, offsetof(struct bearer, cost), .min = 0, .max = COST_MAX},
	{"rate", read_rate, offsetof(struct bearer, rate_bps)},
	{"bulk", read_bool, offsetof(struct bearer, bulk)},
};

static bool read_bearers(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct site *site = out;
	int n = setting_list(ctx, s, spec->min, spec->max);
	for (int i = 0; i < n; i++) {
		const config_setting_t *elem = config_setting_get_elem(s, (unsigned)i);
		struct bearer *b = &site->bearers[i];
		*b = (struct bearer){.cost = BEARER_DEFAULT_COST, .bulk = true};
		if (!settings_read(ctx, elem, bearer_settings, sizeof bearer_settings / sizeof *bearer_settings, b))
			return false;
		for (int j = 0; j < i; j++)
			if (strcmp(site->bearers[j].name, b->name) == 0)
				return settings_fail(ctx, elem, ERR_FORMAT, "bearer %s: this site has one of that name already (rename one)",
						     b->name);
		site->n_bearers++;
	}
	return n >= 0;
}

/* ---- queues --------------------------------------------------------------------------------------------- */

static const struct setting_spec deadline_settings[] = {
	{"flash", read_duration, PREC_FLASH * sizeof(int64_t), .min = DEADLINE_MIN_US, .max = DEADLINE_MAX_US},
	{"immediate", read_duration, PREC_IMMEDIATE * sizeof(int64_t), .min = DEADLINE_MIN_US, .max = DEADLINE_MAX_US},
	{"priority", read_duration, PREC_PRIORITY * sizeof(int64_t), .min = DEADLINE_MIN_US, .max = DEADLINE_MAX_US},
	{"routine", read_duration, PREC_ROUTINE * sizeof(int64_t), .min = DEADLINE_MIN_US, .max = DEADLINE_MAX_US},
};

bool read_deadlines(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	(void)spec;
	return settings_read(ctx, s, deadline_settings, sizeof deadline_settings / sizeof *deadline_settings, out);
}

static const struct setting_spec queue_settings[] = {
	{"name", read_name, offsetof(struct queue_def, name), .required = true},
	{"deadlines", read_deadlines, offsetof(struct queue_def, deadline_us)},
};

static bool read_queues(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct site *site = out;
	int n = setting_list(ctx, s, spec->min, spec->max);
	if (n < 0)
		return false;
	site->queues = calloc((size_t)n, sizeof *site->queues);
	if (site->queues == NULL)
		return fail_nomem(ctx, s);
	for (int i = 0; i < n; i++) {
		const config_setting_t *elem = config_setting_get_elem(s, (unsigned)i);
		struct queue_def *q = &site->queues[i];
		memcpy(q->deadline_us, roster_of(ctx)->deadline_us, sizeof q->deadline_us);
		if (!settings_read(ctx, elem, queue_settings, sizeof queue_settings / sizeof *queue_settings, q))
			return false;
		if (site_queue(site, view_str(q->name)))
			return settings_fail(ctx, elem, ERR_FORMAT, "queue %s: this site has one of that name already (rename one)", q->name);
		site->n_queues++;
	}
	return true;
}

/* ---- sites ---------------------------------------------------------------------------------------------- */

static bool read_lang(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 2, LIMIT_LANG_BYTES);
	if (text == NULL)
		return false;
	if (!view_is_name(view_str(text)))
		return settings_fail(ctx, s, ERR_FORMAT, "%s: \"%s\" is not a language (write nl, fr or de)", spec->name, text);
	memcpy(out, text, strlen(text) + 1);
	return true;
}

/* Standbys may name sites that come later, so they are read when all sites are known. */
static bool read_later(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	(void)out;
	return setting_list(ctx, s, spec->min, spec->max) >= 0;
}

static const struct setting_spec site_settings[] = {
	{"number", read_u16, offsetof(struct site, number), .required = true, .min = 1, .max = UINT16_MAX},
	{"id", read_name, offsetof(struct site, id), .required = true},
	{"lang", read_lang, offsetof(struct site, lang), .required = true},
	{"standbys", read_later, 0, .min = 0, .max = LIMIT_STANDBYS},
	{"queues", read_queues, 0, .required = true, .min = 1, .max = LIMIT_QUEUES_PER_SITE},
	{"removed", read_bool, offsetof(struct site, removed)},
	{"former", read_former, 0, .min = 0, .max = LIMIT_FORMER_KEYS},
	{"identity", read_base64, offsetof(struct site, identity), .max = sizeof(struct sign_public)},
	{"sealing", read_base64, offsetof(struct site, sealing), .max = sizeof(struct seal_public)},
	{"sealing-signature", read_base64, offsetof(struct site, sealing_signature), .max = sizeof(struct signature)},
	{"link", read_z85, offsetof(struct site, link)},
	{"bearers", read_bearers, 0, .min = 0, .max = LIMIT_BEARERS},
};

static const char *const key_settings[] = {"identity", "sealing", "sealing-signature", "link"};
enum { KEY_IDENTITY, KEY_SEALING, KEY_SEALING_SIGNATURE, KEY_LINK };
#define N_KEY_SETTINGS (sizeof key_settings / sizeof *key_settings)

static bool check_has_keys(struct settings *ctx, const config_setting_t *s, const struct site *site, bool first)
{
	struct roster *r = roster_of(ctx);
	size_t have = site->n_bearers > 0 || site->n_former > 0;
	const char *missing = site->n_bearers > 0 || site->removed ? NULL : "bearers";
	for (size_t i = 0; i < N_KEY_SETTINGS; i++) {
		if (member_text(s, key_settings[i]))
			have++;
		else if (missing == NULL && (i == KEY_IDENTITY || !site->removed))
			missing = key_settings[i];
	}
	if (first)
		r->has_keys = have > 0 || !((struct roster_reading *)ctx->user)->allow_template;
	if (r->has_keys && missing)
		return settings_fail(ctx, s, ERR_FORMAT, "%s: missing for site %s (add what keygen printed for it, and its bearers)", missing,
				     site->id);
	if (!r->has_keys && have > 0)
		return settings_fail(ctx, s, ERR_FORMAT, "site %s: it has keys or bearers, but the sites before it have none (give them to all or none)",
				     site->id);
	return true;
}

static bool same_endpoint(const struct site *a, const struct site *b, const char **which)
{
	for (size_t i = 0; i < a->n_bearers; i++) {
		*which = a->bearers[i].endpoint;
		for (size_t j = 0; j < b->n_bearers; j++)
			if (strcmp(*which, b->bearers[j].endpoint) == 0)
				return true;
	}
	return false;
}

/* What one site signs may never count as another's, whichever of its identities it signed with. */
static const char *same_identity(const struct site *a, const struct site *b)
{
	const struct sign_public *x, *y;
	for (size_t i = 0; (x = site_identity(a, i)); i++)
		for (size_t j = 0; (y = site_identity(b, j)); j++)
			if (memcmp(x, y, sizeof *x) == 0)
				return i == 0 ? "identity" : "former";
	return NULL;
}

static bool check_keys_differ(struct settings *ctx, const config_setting_t *s, const struct site *site, const struct site *other)
{
	static const struct seal_public none;
	const char *same = same_identity(site, other), *endpoint;
	if (same == NULL && memcmp(&site->sealing, &none, sizeof none) != 0 && memcmp(&site->sealing, &other->sealing, sizeof site->sealing) == 0)
		same = "sealing";
	if (same == NULL && site->link.z85[0] && strcmp(site->link.z85, other->link.z85) == 0)
		same = "link";
	if (same)
		return settings_fail(ctx, member_or(s, same), ERR_FORMAT, "%s: site %s has the same key (make keys of its own for each)", same,
				     other->id);
	if (same_endpoint(site, other, &endpoint))
		return settings_fail(ctx, member_or(s, "bearers"), ERR_FORMAT, "endpoint: %s is site %s's (give each its own)", endpoint, other->id);
	return true;
}

/* The new site against all before it. */
static bool check_site(struct settings *ctx, const config_setting_t *s, const struct site *site, const struct roster *r)
{
	for (size_t i = 0; i < r->n_sites; i++) {
		const struct site *other = &r->sites[i];
		if (other->number == site->number)
			return settings_fail(ctx, member_or(s, "number"), ERR_FORMAT, "number: %u is site %s's (a number is never given twice)",
					     site->number, other->id);
		if (strcmp(other->id, site->id) == 0)
			return settings_fail(ctx, member_or(s, "id"), ERR_FORMAT, "id: %s is the name of site %u already (rename one)", site->id,
					     other->number);
		if (r->has_keys && !check_keys_differ(ctx, s, site, other))
			return false;
	}
	for (size_t i = 0; i < site->n_former; i++)
		if (memcmp(&site->former[i], &site->identity, sizeof site->identity) == 0)
			return settings_fail(ctx, member_or(s, "former"), ERR_FORMAT,
					     "former: it names site %s's present identity (name those it had before)", site->id);
	/* Of a removed site both may be left out, one without the other makes no sense. */
	if (site->removed && !member_text(s, key_settings[KEY_SEALING]) && !member_text(s, key_settings[KEY_SEALING_SIGNATURE]))
		return true;
	if (r->has_keys && !sealing_key_verify(&site->identity, site->number, &site->sealing, &site->sealing_signature))
		return settings_fail(ctx, member_or(s, "sealing-signature"), ERR_AUTH,
				     "sealing-signature: it is not site %s's for this number and sealing key (copy again what keygen printed)",
				     site->id);
	return true;
}

static int by_number(const void *a, const void *b)
{
	return (int)((const struct site *)a)->number - (int)((const struct site *)b)->number;
}

bool read_site_ref(struct settings *ctx, const config_setting_t *elem, uint16_t *out)
{
	const char *id = setting_string(ctx, elem, 1, LIMIT_NAME_BYTES);
	if (id == NULL)
		return false;
	const struct site *site = roster_site_by_id(roster_of(ctx), view_str(id));
	if (site == NULL)
		return settings_fail(ctx, elem, ERR_FORMAT, "%s: there is no site %s (add it to sites, or correct the name)", setting_name(elem), id);
	if (site->removed)
		return settings_fail(ctx, elem, ERR_FORMAT, "%s: site %s is removed (leave it out, or name another)", setting_name(elem), id);
	*out = site->number;
	return true;
}

bool read_site_refs(struct settings *ctx, const config_setting_t *list, uint16_t *out, size_t *n_out)
{
	int n = config_setting_length(list);
	for (int i = 0; i < n; i++) {
		const config_setting_t *elem = config_setting_get_elem(list, (unsigned)i);
		if (!read_site_ref(ctx, elem, &out[i]))
			return false;
		for (int j = 0; j < i; j++)
			if (out[j] == out[i])
				return settings_fail(ctx, elem, ERR_FORMAT, "%s: %s is named twice (once is enough)", setting_name(elem),
						     config_setting_get_string(elem));
	}
	*n_out = (size_t)n;
	return true;
}

static bool read_standbys(struct settings *ctx, const config_setting_t *elem, struct site *site)
{
	const config_setting_t *list = config_setting_get_member((config_setting_t *)elem, "standbys");
	if (list == NULL)
		return true;
	if (!read_site_refs(ctx, list, site->standbys, &site->n_standbys))
		return false;
	if (site_is_standby_of(site, site))
		return settings_fail(ctx, list, ERR_FORMAT, "standbys: %s cannot stand by for itself (name another)", site->id);
	return true;
}

bool read_sites(struct settings *ctx, const config_setting_t *list, const struct setting_spec *spec, void *out)
{
	struct roster *r = out;
	int n = setting_list(ctx, list, spec->min, spec->max);
	if (n < 0)
		return false;
	r->sites = calloc((size_t)n, sizeof *r->sites);
	if (r->sites == NULL)
		return fail_nomem(ctx, list);
	for (int i = 0; i < n; i++) {
		const config_setting_t *elem = config_setting_get_elem(list, (unsigned)i);
		struct site *site = &r->sites[i];
		bool ok = settings_read(ctx, elem, site_settings, sizeof site_settings / sizeof *site_settings, site) &&
			  check_has_keys(ctx, elem, site, i == 0) && check_site(ctx, elem, site, r);
		r->n_sites++; /* also a bad one: roster_free releases it */
		if (!ok)
			return false;
	}
	if (roster_live(r) == 0)
		return settings_fail(ctx, list, ERR_FORMAT, "sites: every one is removed (leave one that is not)");
	for (int i = 0; i < n; i++)
		if (!read_standbys(ctx, config_setting_get_elem(list, (unsigned)i), &r->sites[i]))
			return false;
	qsort(r->sites, r->n_sites, sizeof *r->sites, by_number);
	return true;
}
