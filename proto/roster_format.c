#include "proto/roster.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/buf.h"
#include "proto/roster_text.h"

static void put(struct buf *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(struct buf *out, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof line)
		out->bad = true;
	else
		buf_add(out, view_of(line, (size_t)n));
}

/* ---- rates and durations -------------------------------------------------------------------------------- */

static const struct { const char *name; int64_t bps; } rate_units[] = {
	{"Gbit/s", 1000000000}, {"Mbit/s", 1000000}, {"kbit/s", 1000}, {"bit/s", 1}};

bool rate_parse(const char *text, int64_t *out_bps)
{
	int64_t value = 0;
	const char *p = text;
	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (*p - '0');
		if (value > RATE_MAX_BPS)
			return false;
	}
	if (p == text || value == 0)
		return false;
	for (size_t i = 0; i < sizeof rate_units / sizeof *rate_units; i++) {
		if (strcmp(p, rate_units[i].name) != 0)
			continue;
		if (value > RATE_MAX_BPS / rate_units[i].bps)
			return false;
		*out_bps = value * rate_units[i].bps;
		return true;
	}
	return false;
}

void rate_format(int64_t bps, char out[RATE_TEXT_BYTES])
{
	size_t i = 0;
	while (rate_units[i].bps > 1 && bps % rate_units[i].bps != 0)
		i++;
	snprintf(out, RATE_TEXT_BYTES, "%lld%s", (long long)(bps / rate_units[i].bps), rate_units[i].name);
}

/* In the largest unit without a remainder. Durations of a roster come from whole milliseconds. */
static const char *duration_text(int64_t us, char out[32])
{
	static const struct { const char *name; int64_t us; } units[] = {
		{"d", US_PER_DAY}, {"h", 3600 * US_PER_S}, {"min", 60 * US_PER_S}, {"s", US_PER_S}, {"ms", US_PER_MS}};
	size_t i = 0;
	while (i + 1 < sizeof units / sizeof *units && us % units[i].us != 0)
		i++;
	snprintf(out, 32, "%lld%s", (long long)(us / units[i].us), units[i].name);
	return out;
}

/* ---- the text ------------------------------------------------------------------------------------------- */

static void put_site_list(struct buf *out, const struct roster *r, const uint16_t *numbers, size_t n)
{
	char name[LIMIT_NAME_BYTES + 1];
	put(out, "(");
	for (size_t i = 0; i < n; i++)
		put(out, "%s\"%s\"", i ? ", " : " ", roster_site_name(r, numbers[i], name));
	put(out, n ? " );\n" : ");\n");
}

/* Those that differ from base (NULL: all of them), as " name = value;". */
static void put_deadlines(struct buf *out, const int64_t us[PREC_COUNT], const int64_t *base)
{
	char text[32];
	put(out, "deadlines = {");
	for (unsigned p = 0; p < PREC_COUNT; p++)
		if (base == NULL || base[p] != us[p])
			put(out, " %s = \"%s\";", precedence_name(p), duration_text(us[p], text));
	put(out, " };");
}

static void put_queues(struct buf *out, const struct roster *r, const struct site *s)
{
	put(out, "\t\tqueues = (\n");
	for (size_t i = 0; i < s->n_queues; i++) {
		const struct queue_def *q = &s->queues[i];
		put(out, "\t\t\t{ name = \"%s\"; ", q->name);
		if (memcmp(q->deadline_us, r->deadline_us, sizeof q->deadline_us) != 0) {
			put_deadlines(out, q->deadline_us, r->deadline_us);
			put(out, " ");
		}
		put(out, "}%s\n", i + 1 < s->n_queues ? "," : "");
	}
	put(out, "\t\t);\n");
}

static void put_former(struct buf *out, const struct site *s)
{
	char text[96];
	put(out, "\t\tformer = (");
	for (size_t i = 0; i < s->n_former; i++) {
		base64_format(s->former[i].b, sizeof s->former[i].b, text, sizeof text);
		put(out, "%s\"%s\"", i ? ", " : " ", text);
	}
	put(out, " );\n");
}

/* Of a removed site only its identities are sure to be there. */
static void put_keys(struct buf *out, const struct site *s)
{
	static const struct seal_public none;
	char text[96];
	base64_format(s->identity.b, sizeof s->identity.b, text, sizeof text);
	put(out, "\t\tidentity = \"%s\";\n", text);
	if (s->n_former)
		put_former(out, s);
	if (memcmp(&s->sealing, &none, sizeof none) == 0)
		return;
	base64_format(s->sealing.b, sizeof s->sealing.b, text, sizeof text);
	put(out, "\t\tsealing = \"%s\";\n", text);
	base64_format(s->sealing_signature.b, sizeof s->sealing_signature.b, text, sizeof text);
	put(out, "\t\tsealing-signature = \"%s\";\n", text);
}

static void put_bearers(struct buf *out, const struct site *s)
{
	char rate[RATE_TEXT_BYTES];
	put(out, "\t\tbearers = (\n");
	for (size_t i = 0; i < s->n_bearers; i++) {
		const struct bearer *b = &s->bearers[i];
		put(out, "\t\t\t{ name = \"%s\"; endpoint = \"%s\"; cost = %d;", b->name, b->endpoint, b->cost);
		if (b->rate_bps > 0) {
			rate_format(b->rate_bps, rate);
			put(out, " rate = \"%s\";", rate);
		}
		put(out, "%s }%s\n", b->bulk ? "" : " bulk = false;", i + 1 < s->n_bearers ? "," : "");
	}
	put(out, "\t\t);\n");
}

static void put_site(struct buf *out, const struct roster *r, const struct site *s, bool last)
{
	put(out, "\t{\n\t\tnumber = %u;\n\t\tid = \"%s\";\n\t\tlang = \"%s\";\n\t\tstandbys = ", s->number, s->id, s->lang);
	put_site_list(out, r, s->standbys, s->n_standbys);
	put_queues(out, r, s);
	if (s->removed)
		put(out, "\t\tremoved = true;\n");
	if (r->has_keys)
		put_keys(out, s);
	if (r->has_keys && s->link.z85[0])
		put(out, "\t\tlink = \"%s\";\n", s->link.z85);
	if (r->has_keys && s->n_bearers)
		put_bearers(out, s);
	put(out, "\t}%s\n", last ? "" : ",");
}

static void put_areas(struct buf *out, const struct roster *r)
{
	char name[LIMIT_NAME_BYTES + 1];
	put(out, "\nareas = (\n");
	for (size_t i = 0; i < r->n_areas; i++) {
		const struct area *a = &r->areas[i];
		put(out, "\t{ number = %u; id = \"%s\"; site = \"%s\"; }%s\n", a->number, a->id, roster_site_name(r, a->site, name),
		    i + 1 < r->n_areas ? "," : "");
	}
	put(out, ");\n");
}

static void put_groups(struct buf *out, const struct roster *r)
{
	put(out, "\ngroups = (\n");
	for (size_t i = 0; i < r->n_groups; i++) {
		const struct group *g = &r->groups[i];
		put(out, "\t{\n\t\tnumber = %u;\n\t\tid = \"%s\";\n\t\tmembers = ", g->number, g->id);
		put_site_list(out, r, g->members, g->n_members);
		put(out, "\t}%s\n", i + 1 < r->n_groups ? "," : "");
	}
	put(out, ");\n");
}

static void put_dictionaries(struct buf *out, const struct roster *r)
{
	char hex[2 * HASH_BYTES + 1];
	if (r->n_dictionaries == 0)
		return;
	put(out, "dictionaries = (");
	for (size_t i = 0; i < r->n_dictionaries; i++) {
		hex_format(r->dictionaries[i].b, HASH_BYTES, hex);
		put(out, "%s \"%s\"", i ? "," : "", hex);
	}
	put(out, " );\n");
	if (r->dictionary < 0)
		return;
	hex_format(r->dictionaries[r->dictionary].b, HASH_BYTES, hex);
	put(out, "dictionary = \"%s\";\n", hex);
}

enum err roster_format(const struct roster *r, struct buf *out)
{
	put(out, "# Roster %u of the network %s. Its signature, in the .minisig file beside it, covers every byte.\n\n", r->serial, r->network);
	put(out, "network = \"%s\";\nserial = %u;\nquorum = %u;\n", r->network, r->serial, r->quorum);
	put_dictionaries(out, r);
	put(out, "relocators = ");
	put_site_list(out, r, r->relocators, r->n_relocators);
	put_deadlines(out, r->deadline_us, NULL);
	put(out, "\n\nsites = (\n");
	for (size_t i = 0; i < r->n_sites; i++)
		put_site(out, r, &r->sites[i], i + 1 == r->n_sites);
	put(out, ");\n");
	put_areas(out, r);
	put_groups(out, r);
	return buf_ok(out) ? ERR_OK : ERR_NOMEM;
}

/* ---- what differs --------------------------------------------------------------------------------------- */

/* One comparison under way: lines about one site or group begin with its name. */
struct diff {
	const struct roster *a, *b;
	struct buf *out;
};

static void put_names(struct buf *out, const struct roster *r, const uint16_t *numbers, size_t n)
{
	char name[LIMIT_NAME_BYTES + 1];
	if (n == 0)
		put(out, "none");
	for (size_t i = 0; i < n; i++)
		put(out, "%s%s", i ? ", " : "", roster_site_name(r, numbers[i], name));
}

static bool same_numbers(const uint16_t *a, size_t na, const uint16_t *b, size_t nb)
{
	return na == nb && (na == 0 || memcmp(a, b, na * sizeof *a) == 0);
}

static void diff_names(struct diff *d, const char *what, const char *part, const uint16_t *a, size_t na, const uint16_t *b, size_t nb)
{
	if (same_numbers(a, na, b, nb))
		return;
	put(d->out, "~ %s%s: ", what, part);
	put_names(d->out, d->a, a, na);
	put(d->out, " -> ");
	put_names(d->out, d->b, b, nb);
	put(d->out, "\n");
}

static void diff_deadlines(struct diff *d, const char *what, const int64_t a[PREC_COUNT], const int64_t b[PREC_COUNT])
{
	char before[32], after[32];
	for (unsigned p = 0; p < PREC_COUNT; p++)
		if (a[p] != b[p])
			put(d->out, "~ %sdeadline of %s: %s -> %s\n", what, precedence_name(p), duration_text(a[p], before),
			    duration_text(b[p], after));
}

static void diff_queues(struct diff *d, const struct site *a, const struct site *b)
{
	for (size_t i = 0; i < a->n_queues; i++)
		if (site_queue(b, view_str(a->queues[i].name)) == NULL)
			put(d->out, "- queue %s/%s\n", b->id, a->queues[i].name);
	for (size_t i = 0; i < b->n_queues; i++) {
		const struct queue_def *q = &b->queues[i], *was = site_queue(a, view_str(q->name));
		char what[2 * LIMIT_NAME_BYTES + 8];
		snprintf(what, sizeof what, "%s/%s: ", b->id, q->name);
		/* A queue that only follows the network's deadline did not change itself. */
		int64_t mine[PREC_COUNT], now[PREC_COUNT];
		for (unsigned p = 0; was && p < PREC_COUNT; p++) {
			bool follows = was->deadline_us[p] == d->a->deadline_us[p] && q->deadline_us[p] == d->b->deadline_us[p];
			mine[p] = follows ? 0 : was->deadline_us[p];
			now[p] = follows ? 0 : q->deadline_us[p];
		}
		if (was)
			diff_deadlines(d, what, mine, now);
		else
			put(d->out, "+ queue %s/%s\n", b->id, q->name);
	}
}

static const struct bearer *find_bearer(const struct site *s, const char *name)
{
	for (size_t i = 0; i < s->n_bearers; i++)
		if (strcmp(s->bearers[i].name, name) == 0)
			return &s->bearers[i];
	return NULL;
}

static void put_bearer(struct buf *out, const struct bearer *b)
{
	char rate[RATE_TEXT_BYTES] = "unknown";
	if (b->rate_bps > 0)
		rate_format(b->rate_bps, rate);
	put(out, "%s, cost %d, rate %s%s", b->endpoint, b->cost, rate, b->bulk ? "" : ", no bulk");
}

static void diff_bearers(struct diff *d, const struct site *a, const struct site *b)
{
	for (size_t i = 0; i < a->n_bearers; i++)
		if (find_bearer(b, a->bearers[i].name) == NULL)
			put(d->out, "~ %s: - bearer %s\n", b->id, a->bearers[i].name);
	for (size_t i = 0; i < b->n_bearers; i++) {
		const struct bearer *is = &b->bearers[i], *was = find_bearer(a, is->name);
		if (was && strcmp(was->endpoint, is->endpoint) == 0 && was->cost == is->cost && was->rate_bps == is->rate_bps &&
		    was->bulk == is->bulk)
			continue;
		put(d->out, "~ %s: %s bearer %s: ", b->id, was ? "~" : "+", is->name);
		if (was) {
			put_bearer(d->out, was);
			put(d->out, " -> ");
		}
		put_bearer(d->out, is);
		put(d->out, "\n");
	}
}

static bool has_former(const struct site *s, const struct sign_public *key)
{
	for (size_t i = 0; i < s->n_former; i++)
		if (memcmp(&s->former[i], key, sizeof *key) == 0)
			return true;
	return false;
}

static void diff_keys(struct diff *d, const struct site *a, const struct site *b)
{
	if (memcmp(&a->identity, &b->identity, sizeof a->identity) != 0)
		put(d->out, "~ %s: identity key changed\n", b->id);
	for (size_t i = 0; i < a->n_former; i++)
		if (!has_former(b, &a->former[i]))
			put(d->out, "~ %s: - former identity key\n", b->id);
	for (size_t i = 0; i < b->n_former; i++)
		if (!has_former(a, &b->former[i]))
			put(d->out, "~ %s: + former identity key%s\n", b->id,
			    memcmp(&b->former[i], &a->identity, sizeof a->identity) == 0 ? ", its own until now" : "");
	if (memcmp(&a->sealing, &b->sealing, sizeof a->sealing) != 0)
		put(d->out, "~ %s: sealing key changed\n", b->id);
	if (memcmp(&a->link, &b->link, sizeof a->link) != 0)
		put(d->out, "~ %s: link key changed\n", b->id);
}

static void diff_site(struct diff *d, const struct site *a, const struct site *b)
{
	char what[LIMIT_NAME_BYTES + 4];
	snprintf(what, sizeof what, "%s: ", b->id);
	if (strcmp(a->id, b->id) != 0)
		put(d->out, "~ site %u: name %s -> %s\n", a->number, a->id, b->id);
	if (strcmp(a->lang, b->lang) != 0)
		put(d->out, "~ %slang %s -> %s\n", what, a->lang, b->lang);
	if (a->removed != b->removed)
		put(d->out, "~ site %s: %s\n", b->id, b->removed ? "removed" : "back in the network");
	diff_names(d, what, "standbys", a->standbys, a->n_standbys, b->standbys, b->n_standbys);
	diff_keys(d, a, b);
	diff_queues(d, a, b);
	diff_bearers(d, a, b);
}

static void diff_sites(struct diff *d)
{
	for (size_t i = 0; i < d->a->n_sites; i++)
		if (roster_site(d->b, d->a->sites[i].number) == NULL)
			put(d->out, "- site %s\n", d->a->sites[i].id);
	for (size_t i = 0; i < d->b->n_sites; i++) {
		const struct site *is = &d->b->sites[i], *was = roster_site(d->a, is->number);
		if (was)
			diff_site(d, was, is);
		else
			put(d->out, "+ site %s\n", is->id);
	}
}

static void diff_areas(struct diff *d)
{
	char before[LIMIT_NAME_BYTES + 1], after[LIMIT_NAME_BYTES + 1];
	for (size_t i = 0; i < d->a->n_areas; i++)
		if (roster_area(d->b, d->a->areas[i].number) == NULL)
			put(d->out, "- area %s\n", d->a->areas[i].id);
	for (size_t i = 0; i < d->b->n_areas; i++) {
		const struct area *is = &d->b->areas[i], *was = roster_area(d->a, is->number);
		if (was == NULL)
			put(d->out, "+ area %s -> %s\n", is->id, roster_site_name(d->b, is->site, after));
		else if (strcmp(was->id, is->id) != 0)
			put(d->out, "~ area %u: name %s -> %s\n", is->number, was->id, is->id);
		if (was && was->site != is->site)
			put(d->out, "~ area %s: site %s -> %s\n", is->id, roster_site_name(d->a, was->site, before),
			    roster_site_name(d->b, is->site, after));
	}
}

static void diff_groups(struct diff *d)
{
	for (size_t i = 0; i < d->a->n_groups; i++)
		if (roster_group(d->b, d->a->groups[i].number) == NULL)
			put(d->out, "- group %s\n", d->a->groups[i].id);
	for (size_t i = 0; i < d->b->n_groups; i++) {
		const struct group *is = &d->b->groups[i], *was = roster_group(d->a, is->number);
		char what[LIMIT_NAME_BYTES + 16];
		snprintf(what, sizeof what, "group %s: ", is->id);
		if (was == NULL)
			put(d->out, "+ group %s\n", is->id);
		else if (strcmp(was->id, is->id) != 0)
			put(d->out, "~ group %u: name %s -> %s\n", is->number, was->id, is->id);
		if (was)
			diff_names(d, what, "members", was->members, was->n_members, is->members, is->n_members);
	}
}

static bool names_dictionary(const struct roster *r, const struct hash *h)
{
	for (size_t i = 0; i < r->n_dictionaries; i++)
		if (hash_equal(&r->dictionaries[i], h))
			return true;
	return false;
}

/* In use: the first digits, as people say it. */
static const char *dictionary_text(const struct roster *r, char out[17])
{
	if (r->dictionary < 0 || (size_t)r->dictionary >= r->n_dictionaries)
		return "the built-in one";
	hex_format(r->dictionaries[r->dictionary].b, 8, out);
	return out;
}

static void diff_dictionaries(struct diff *d)
{
	char hex[17], before[17], after[17];
	for (size_t i = 0; i < d->a->n_dictionaries; i++) {
		hex_format(d->a->dictionaries[i].b, 8, hex);
		if (!names_dictionary(d->b, &d->a->dictionaries[i]))
			put(d->out, "- dictionary %s\n", hex);
	}
	for (size_t i = 0; i < d->b->n_dictionaries; i++) {
		hex_format(d->b->dictionaries[i].b, 8, hex);
		if (!names_dictionary(d->a, &d->b->dictionaries[i]))
			put(d->out, "+ dictionary %s\n", hex);
	}
	const char *was = dictionary_text(d->a, before), *is = dictionary_text(d->b, after);
	if (strcmp(was, is) != 0)
		put(d->out, "~ dictionary in use: %s -> %s\n", was, is);
}

void roster_diff(const struct roster *a, const struct roster *b, struct buf *out)
{
	struct diff d = {a, b, out};
	if (strcmp(a->network, b->network) != 0)
		put(out, "~ network: %s -> %s\n", a->network, b->network);
	if (a->serial != b->serial)
		put(out, "~ serial: %u -> %u\n", a->serial, b->serial);
	if (a->quorum != b->quorum)
		put(out, "~ quorum: %u -> %u\n", a->quorum, b->quorum);
	if (a->has_keys != b->has_keys)
		put(out, "~ keys: %s -> %s\n", a->has_keys ? "present" : "none, a template", b->has_keys ? "present" : "none, a template");
	diff_names(&d, "", "relocators", a->relocators, a->n_relocators, b->relocators, b->n_relocators);
	diff_deadlines(&d, "", a->deadline_us, b->deadline_us);
	diff_dictionaries(&d);
	diff_sites(&d);
	diff_areas(&d);
	diff_groups(&d);
}
