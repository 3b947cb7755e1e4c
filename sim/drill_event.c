/* The timetable of a drill: which settings each event takes, and repetitions written out. */
#include "proto/frame.h"
#include "proto/order.h"
#include "sim/drill_read.h"

#include <stdlib.h>

/* Sites that stand for one order: its giver and who endorses it. */
#define GIVERS 8

static const struct { const char *name; bool needs; } dos[DO_COUNT] = {
#define X(name, text, needs) [DO_##name] = {text, needs},
	DRILL_DO_LIST(X)
#undef X
};

const char *drill_do_name(enum drill_do d)
{
	return (unsigned)d < DO_COUNT ? dos[d].name : "?";
}

bool drill_do_supported(enum drill_do d)
{
	return (unsigned)d < DO_COUNT && !dos[d].needs;
}

size_t drill_unsupported(const struct drill *d, const char **out, size_t cap)
{
	size_t n = 0;

	for (unsigned k = 0; k < DO_COUNT; k++)
		if (d->unsupported >> k & 1) {
			if (n < cap)
				out[n] = dos[k].name;
			n++;
		}
	return n;
}

void drill_event_release(struct drill_event *e)
{
	free(e->sites.v);
	free(e->from.v);
	free(e->to.v);
	free(e->send);
	*e = (struct drill_event){0};
}

bool drill_event_copy(struct drill_event *to, const struct drill_event *from)
{
	*to = *from;
	to->send = NULL;
	to->from = to->to = (struct drill_sites){0, NULL};
	bool ok = sites_copy(&to->sites, &from->sites) && sites_copy(&to->from, &from->from) && sites_copy(&to->to, &from->to);
	if (ok && from->send) {
		to->send = malloc(sizeof *to->send);
		ok = to->send != NULL;
		if (ok)
			*to->send = *from->send;
	}
	if (!ok)
		drill_event_release(to);
	return ok;
}

/* ---- what an event may say ------------------------------------------------------------------------------------ */

struct event_line {
	struct drill_event e;
	struct drill_send send;
	int64_t every_us, until_us;
};

/* The standbys of a roster event, in the order written. */
static bool read_standbys(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct drill_sites *set = out;
	int n = setting_list(ctx, s, 0, LIMIT_STANDBYS), one;

	(void)spec;
	set->v = n > 0 ? malloc((size_t)n * sizeof *set->v) : NULL;
	for (int i = 0; i < n && set->v; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		const char *name = setting_string(ctx, e, 1, LIMIT_NAME_BYTES);
		if (name == NULL || (one = site_ref(ctx, e, name)) < 0)
			return false;
		if (sites_has(set, (uint16_t)one))
			return settings_fail(ctx, e, ERR_EXISTS, "standbys: \"%s\" is there twice (name each once)", name);
		set->v[set->n++] = (uint16_t)one;
	}
	return n == 0 || set->v ? n >= 0 : read_nomem(ctx, s);
}

/* Who gives an order, and who endorses it after that: one site, or a list in the order written. */
static bool read_givers(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct drill_sites *set = out;
	bool one = config_setting_type(s) == CONFIG_TYPE_STRING;
	int n = one ? 1 : setting_list(ctx, s, 1, GIVERS);

	(void)spec;
	set->v = n > 0 ? malloc((size_t)n * sizeof *set->v) : NULL;
	for (int i = 0; i < n && set->v; i++) {
		const config_setting_t *e = one ? s : config_setting_get_elem(s, (unsigned)i);
		const char *name = setting_string(ctx, e, 1, LIMIT_NAME_BYTES);
		int site = name ? site_ref(ctx, e, name) : -1;
		if (site < 0)
			return false;
		if (sites_has(set, (uint16_t)site))
			return settings_fail(ctx, e, ERR_EXISTS, "by: \"%s\" is there twice (a site counts once)", name);
		set->v[set->n++] = (uint16_t)site;
	}
	return n > 0 && (set->v || read_nomem(ctx, s));
}

/* What follows SITE in an assignment: nothing, ":QUEUE,..", ":area=A" or ":share=N%". */
static bool check_assignment(struct settings *ctx, const config_setting_t *s, const struct site *site, const char *what)
{
	const struct roster *r = drill_of(ctx)->roster;
	size_t digits = strncmp(what, ":share=", 7) == 0 ? strspn(what + 7, "0123456789") : 0;

	if (what[0] == '\0')
		return true;
	if (strncmp(what, ":area=", 6) == 0)
		return roster_area_by_id(r, view_str(what + 6)) ? true
			: settings_fail(ctx, s, ERR_NOT_FOUND, "to: \"%.60s\" is not an area of the roster (write SITE:area=eupen)", what + 6);
	if (strncmp(what, ":share=", 7) == 0)
		return digits > 0 && digits <= 3 && strcmp(what + 7 + digits, "%") == 0 && atoi(what + 7) >= 1 && atoi(what + 7) <= 100 ? true
			: settings_fail(ctx, s, ERR_RANGE, "to: \"%.60s\" is not a share of 1%% to 100%% (write SITE:share=20%%)", what + 7);
	for (const char *p = what; *p; p += 1 + strcspn(p + 1, ",")) {
		struct view queue = view_of((const uint8_t *)p + 1, strcspn(p + 1, ","));
		if (site_queue(site, queue) == NULL)
			return settings_fail(ctx, s, ERR_UNKNOWN_QUEUE, "to: %s has no queue \"%.*s\" (write SITE:QUEUE,.. with queues of the roster)", site->id,
					     (int)queue.len, (const char *)queue.ptr);
	}
	return true;
}

/* "cic-namen:messages", ... kept as one text. */
static bool read_assignments(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	struct drill_event *e = out;
	int n = setting_list(ctx, s, 1, 16);
	size_t len = 0;

	(void)spec;
	for (int i = 0; i < n; i++) {
		const config_setting_t *a = config_setting_get_elem(s, (unsigned)i);
		const char *text = setting_string(ctx, a, 1, LIMIT_REASON_BYTES);
		char name[LIMIT_NAME_BYTES + 1] = "";
		if (text == NULL)
			return false;
		size_t name_len = strcspn(text, ":");
		if (name_len < sizeof name)
			memcpy(name, text, name_len);
		int site = site_ref(ctx, a, name);
		if (site < 0 || !check_assignment(ctx, a, &drill_of(ctx)->roster->sites[site], text + name_len))
			return false;
		if (len + strlen(text) + 2 > sizeof e->text)
			return settings_fail(ctx, s, ERR_TOO_LARGE, "to: more than %zu characters of assignments (use fewer)", sizeof e->text - 1);
		if (len)
			e->text[len++] = ' ';
		memcpy(e->text + len, text, strlen(text) + 1);
		len += strlen(text);
	}
	return n > 0;
}

static bool read_factor(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	double x = config_setting_type(s) == CONFIG_TYPE_FLOAT ? config_setting_get_float(s)
		   : config_setting_type(s) == CONFIG_TYPE_INT ? config_setting_get_int(s) : -1;

	(void)spec;
	if (!(x >= 0 && x <= 1000))
		return settings_fail(ctx, s, ERR_FORMAT, "factor: not a number from 0 to 1000 (as in 3.5, without quotes)");
	*(int64_t *)out = (int64_t)(x * 1000 + 0.5);
	return true;
}

static bool read_flow_name(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const struct drill *d = drill_of(ctx);

	if (!read_name(ctx, s, spec, out))
		return false;
	for (size_t i = 0; i < d->n_flows; i++)
		if (strcmp(d->flows[i].name, out) == 0)
			return !d->flows[i].exact || settings_fail(ctx, s, ERR_FORMAT, "flow: \"%s\" is exact, no factor changes it (name another, or take exact away)", (const char *)out);
	return settings_fail(ctx, s, ERR_NOT_FOUND, "flow: \"%s\" is not a flow of this drill's traffic (name one of them)", (const char *)out);
}

static bool read_send_to(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	return read_text(ctx, s, spec, out) && check_address(ctx, s, out);
}

#define B(name) (UINT64_C(1) << DO_##name)
#define SITES_FOR (B(CRASH) | B(POWER_CUT) | B(STOP) | B(PAUSE) | B(LOSE_DISK) | B(RESTORE) | B(DISK_FULL) | B(DISK_SLOW) | B(DESKS_AWAY) | B(RATE))
#define SITES (SITES_FOR | B(COMMIT_FAIL) | B(START) | B(RESUME) | B(BACKUP) | B(FLIP_BIT) | B(CLOCK_STEP) | B(CLOCK_DRIFT) | B(DESKS_BACK) | B(DESK_CRASH) | \
               B(PROGRAM))
#define ONE_SITE (B(ROSTER) | B(RELOCATE) | B(HANDBACK) | B(REVOKE))
#define LINKS (B(LINK_DOWN) | B(LINK_UP) | B(LINK_RESET) | B(DEGRADE))
#define PAIRS (LINKS | B(CUT) | B(PARTITION))
#define ANY (~UINT64_C(0))

/* must: events that need the setting; may: events that can have it. In the order of reading. */
static const struct { struct setting_spec spec; uint64_t must, may; } fields[] = {
	{{"do", read_text, offsetof(struct event_line, e.text), .max = LIMIT_NAME_BYTES}, ANY, 0}, /* read before; text is set anew below */
	{{"at", read_moment, offsetof(struct event_line, e.at_us)}, ANY, 0},
	{{"every", read_span, offsetof(struct event_line, every_us), .min = US_PER_S, .max = 366 * US_PER_DAY}, 0, ANY},
	{{"until", read_moment, offsetof(struct event_line, until_us)}, 0, ANY},
	{{"for", read_span, offsetof(struct event_line, e.for_us), .min = US_PER_S, .max = 366 * US_PER_DAY},
	 B(MINIMIZE), SITES_FOR | B(LINK_DOWN) | B(DEGRADE) | B(CUT) | B(PARTITION)},
	{{"sites", read_site_set, offsetof(struct event_line, e.sites)}, SITES, B(COURIER)},
	{{"site", read_one_site, offsetof(struct event_line, e.sites)}, ONE_SITE & ~B(ROSTER), B(ROSTER)},
	{{"from", read_one_site, offsetof(struct event_line, e.from)}, B(SEND) | B(COURIER) | B(ASSIST), 0},
	{{"from", read_site_set, offsetof(struct event_line, e.from)}, PAIRS, 0},
	{{"to", read_site_set, offsetof(struct event_line, e.to)}, PAIRS & ~B(PARTITION), B(PARTITION)},
	{{"to", read_one_site, offsetof(struct event_line, e.to)}, B(COURIER) | B(ASSIST), 0},
	{{"to", read_assignments, offsetof(struct event_line, e)}, B(RELOCATE), 0},
	{{"to", read_send_to, offsetof(struct event_line, send.address), .max = LIMIT_ADDRESS_BYTES}, B(SEND), 0},
	{{"standbys", read_standbys, offsetof(struct event_line, e.to)}, 0, B(ROSTER)},
	{{"only", read_givers, offsetof(struct event_line, e.from)}, 0, B(ROSTER)},
	{{"by", read_givers, offsetof(struct event_line, e.from)}, B(MINIMIZE), 0},
	{{"by", read_givers, offsetof(struct event_line, e.from)}, 0, B(RELOCATE) | B(HANDBACK) | B(REVOKE)},
	{{"by", read_signed_span, offsetof(struct event_line, e.value_us), .max = 366 * US_PER_DAY}, B(CLOCK_STEP), 0},
	{{"bearer", read_bearer_ref, offsetof(struct event_line, e.bearer)}, 0, LINKS & ~B(LINK_RESET)},
	{{"delay", read_span, offsetof(struct event_line, e.value_us), .min = 1, .max = 3600 * US_PER_S}, B(DISK_SLOW), 0},
	{{"delay", read_span, offsetof(struct event_line, e.degrade.delay_us), .max = 60 * US_PER_S}, 0, B(DEGRADE)},
	{{"jitter", read_span, offsetof(struct event_line, e.degrade.jitter_us), .max = 60 * US_PER_S}, 0, B(DEGRADE)},
	{{"rate", read_bit_rate, offsetof(struct event_line, e.degrade.rate_bps)}, 0, B(DEGRADE)},
	{{"queue", read_size, offsetof(struct event_line, e.degrade.queue_bytes), .min = 2048, .max = 1024LL * 1024 * 1024}, 0, B(DEGRADE)},
	{{"loss", read_ppm_value, offsetof(struct event_line, e.degrade.loss_ppm)}, 0, B(DEGRADE)},
	{{"takes", read_span, offsetof(struct event_line, e.value_us), .max = 30 * US_PER_DAY}, B(COURIER), 0},
	{{"ppm", read_whole, offsetof(struct event_line, e.value), .min = -10000, .max = 10000}, B(CLOCK_DRIFT), 0},
	{{"protocol", read_whole, offsetof(struct event_line, e.value), .min = PROTOCOL_MIN, .max = PROTOCOL_MAX}, B(PROGRAM), 0},
	{{"used", read_ppm_value, offsetof(struct event_line, e.value)}, 0, B(DISK_FULL)},
	{{"factor", read_factor, offsetof(struct event_line, e.value)}, B(RATE), 0},
	{{"flow", read_flow_name, offsetof(struct event_line, e.flow)}, 0, B(RATE)},
	{{"queue", read_name, offsetof(struct event_line, e.queue)}, B(ASSIST), B(DESKS_AWAY) | B(DESKS_BACK) | B(DESK_CRASH)},
	{{"text", read_text, offsetof(struct event_line, e.text), .max = LIMIT_REASON_BYTES}, B(NOTE), 0},
	{{"message", read_name, offsetof(struct event_line, e.text)}, B(CANCEL), 0},
	{{"count", read_whole, offsetof(struct event_line, e.value), .min = 1, .max = 100000}, B(ASSIST), B(COMMIT_FAIL)},
	{{"precedence", read_precedence_value, offsetof(struct event_line, e.value)}, 0, B(MINIMIZE) | B(COURIER)},
	{{"exercise", read_text, offsetof(struct event_line, e.flow), .max = LIMIT_NAME_BYTES}, 0, B(RELOCATE) | B(HANDBACK)},
	{{"precedence", read_precedence, offsetof(struct event_line, send.precedence)}, B(SEND), 0},
	{{"label", read_name, offsetof(struct event_line, send.label)}, 0, B(SEND)},
	{{"count", read_u32, offsetof(struct event_line, send.count), .min = 1, .max = 1000000}, 0, B(SEND)},
	{{"over", read_span, offsetof(struct event_line, send.over_us), .max = 366 * US_PER_DAY}, 0, B(SEND)},
	{{"size", read_size, offsetof(struct event_line, send.body.bytes), .min = 8, .max = LIMIT_BODY_BYTES}, 0, B(SEND)},
	{{"type", read_text, offsetof(struct event_line, send.body.type), .max = LIMIT_MEDIA_TYPE_BYTES}, 0, B(SEND)},
	{{"lang", read_text, offsetof(struct event_line, send.body.lang), .max = LIMIT_LANG_BYTES}, 0, B(SEND)},
	{{"subject", read_text, offsetof(struct event_line, send.subject), .max = LIMIT_SUBJECT_BYTES}, 0, B(SEND)},
	{{"channel", read_name, offsetof(struct event_line, send.channel)}, 0, B(SEND)},
	{{"key", read_text, offsetof(struct event_line, send.key), .max = LIMIT_KEY_BYTES}, 0, B(SEND)},
	{{"exercise", read_text, offsetof(struct event_line, send.exercise), .max = LIMIT_NAME_BYTES}, 0, B(SEND)},
	{{"expires", read_span, offsetof(struct event_line, send.expires_us), .min = US_PER_S, .max = 366 * US_PER_DAY}, 0, B(SEND)},
};
#define FIELDS (sizeof fields / sizeof fields[0])

static size_t table_for(enum drill_do what, struct setting_spec out[FIELDS])
{
	uint64_t bit = UINT64_C(1) << what;
	size_t n = 0;

	for (size_t i = 0; i < FIELDS; i++)
		if ((fields[i].must | fields[i].may) & bit) {
			out[n] = fields[i].spec;
			out[n++].required = (fields[i].must & bit) != 0;
		}
	return n;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static const char *do_name_at(const void *arg, size_t i)
{
	(void)arg;
	return dos[i].name;
}

static bool event_kind(struct settings *ctx, const config_setting_t *s, enum drill_do *out)
{
	const config_setting_t *at = config_setting_type(s) == CONFIG_TYPE_GROUP ? config_setting_get_member((config_setting_t *)s, "do") : NULL;

	if (at == NULL)
		return settings_fail(ctx, s, ERR_FORMAT, "events: an event without its kind (write { at = \"6h\"; do = \"crash\"; ... })");
	const char *text = setting_string(ctx, at, 1, LIMIT_NAME_BYTES);
	if (text == NULL)
		return false;
	for (unsigned k = 0; k < DO_COUNT; k++)
		if (strcmp(text, dos[k].name) == 0) {
			*out = (enum drill_do)k;
			return true;
		}
	const char *near = nearest(text, do_name_at, NULL, DO_COUNT);
	return settings_fail(ctx, at, ERR_FORMAT, "do: \"%s\" is not an event (did you mean \"%s\"? known are %s, %s, %s, %s, %s, ...: sim/README.md lists them)", text,
			     near ? near : "note", dos[0].name, dos[1].name, dos[DO_LINK_DOWN].name, dos[DO_PARTITION].name, dos[DO_SEND].name);
}

/* All sites that are not in `from`. */
static bool fill_others(struct settings *ctx, const config_setting_t *s, struct drill_event *e)
{
	size_t n = drill_of(ctx)->roster->n_sites;

	e->to.v = malloc(n * sizeof *e->to.v);
	if (e->to.v == NULL)
		return read_nomem(ctx, s);
	for (size_t i = 0; i < n; i++)
		if (!sites_has(&e->from, (uint16_t)i))
			e->to.v[e->to.n++] = (uint16_t)i;
	return true;
}

static bool has_bearer(const struct drill_link *l, int bearer)
{
	for (size_t i = 0; i < l->n_bearers; i++)
		if (bearer < 0 || l->bearers[i] == bearer)
			return true;
	return false;
}

bool drill_joined(const struct drill *d, const struct drill_sites *from, const struct drill_sites *to, int bearer)
{
	for (size_t i = 0; i < from->n; i++)
		for (size_t k = 0; k < to->n; k++) {
			const struct drill_link *l = drill_link_of(d, from->v[i], to->v[k]);
			if (l && has_bearer(l, bearer))
				return true;
		}
	return false;
}

bool drill_has_queue(struct settings *ctx, const config_setting_t *s, const struct drill_sites *sites, const char *queue)
{
	const struct drill *d = drill_of(ctx);

	for (size_t i = 0; queue[0] && i < sites->n; i++)
		if (site_queue(&d->roster->sites[sites->v[i]], view_str(queue)) == NULL)
			return settings_fail(ctx, s, ERR_UNKNOWN_QUEUE, "queue: %s has no queue \"%s\" (the roster lists queues)",
					     d->roster->sites[sites->v[i]].id, queue);
	return true;
}

static bool check_event(struct settings *ctx, const config_setting_t *s, const struct event_line *l)
{
	const struct drill *d = drill_of(ctx);
	const struct drill_event *e = &l->e;
	uint64_t bit = UINT64_C(1) << e->what;

	if (l->until_us && !l->every_us)
		return settings_fail(ctx, s, ERR_FORMAT, "until: the event is not repeated (add every = ...; or take until away)");
	if (l->every_us && l->until_us && l->until_us < e->at_us)
		return settings_fail(ctx, s, ERR_RANGE, "until: an impossible time, before the event's own");
	if (l->every_us && e->for_us > l->every_us)
		return settings_fail(ctx, s, ERR_RANGE, "for: an impossible time, longer than every (it would begin again before it ended)");
	if ((PAIRS & bit) && !drill_joined(d, &e->from, &e->to, e->bearer))
		return settings_fail(ctx, s, ERR_NOT_FOUND, "%s: no link joins these sites%s%s (network.links lists them)", drill_do_name(e->what),
				     e->bearer >= 0 ? " over " : "", e->bearer >= 0 ? d->bearers[e->bearer].name : "");
	if ((e->what == DO_COURIER || e->what == DO_ASSIST) && e->from.v[0] == e->to.v[0])
		return settings_fail(ctx, s, ERR_FORMAT, "to: the site that it comes from (name another)");
	if (e->what == DO_CLOCK_STEP && e->value_us == 0)
		return settings_fail(ctx, s, ERR_RANGE, "by: the clock does not move (as in \"-5min\")");
	if (e->what == DO_MINIMIZE && e->for_us > LIMIT_MINIMIZE_US)
		return settings_fail(ctx, s, ERR_RANGE, "for: over 24h (a MINIMIZE is renewed by another one)");
	if (e->what == DO_MINIMIZE && e->value != PREC_ROUTINE && e->value != PREC_PRIORITY)
		return settings_fail(ctx, s, ERR_RANGE, "precedence: routine, or priority for priority and below");
	if (e->what == DO_SEND && l->every_us && l->send.label[0])
		return settings_fail(ctx, s, ERR_EXISTS, "label: it would name several messages (take every away, or the label)");
	if (e->what == DO_SEND && l->send.over_us > d->length_us - e->at_us)
		return settings_fail(ctx, s, ERR_RANGE, "over: an impossible time, beyond the end of the timetable (begin earlier, or send faster)");
	const struct bearer_change *c = &e->degrade;
	if (e->what == DO_DEGRADE && c->delay_us < 0 && c->jitter_us < 0 && c->rate_bps < 0 && c->queue_bytes < 0 && c->loss_ppm < 0)
		return settings_fail(ctx, s, ERR_FORMAT, "degrade: nothing gets worse (add delay, jitter, rate, queue or loss)");
	if (e->what == DO_ROSTER && (e->sites.n != 0) != (e->to.n != 0))
		return settings_fail(ctx, s, ERR_FORMAT, "roster: site and standbys go together (name both, or neither)");
	if (e->what == DO_ROSTER && e->from.n > 1)
		return settings_fail(ctx, s, ERR_RANGE, "only: one site gets it, the others have it from each other (name one)");
	if (e->what == DO_ROSTER && e->sites.n && sites_has(&e->to, e->sites.v[0]))
		return settings_fail(ctx, s, ERR_FORMAT, "standbys: a site cannot be its own standby");
	return drill_has_queue(ctx, s, e->what == DO_ASSIST ? &e->from : &e->sites, e->queue);
}

static bool add_copy(struct drill *d, const struct drill_event *like, int64_t at_us)
{
	struct drill_event *e = list_grow(&d->events, &d->n_events, sizeof *e);

	if (e == NULL)
		return false;
	if (!drill_event_copy(e, like)) {
		d->n_events--;
		return false;
	}
	e->at_us = at_us;
	return true;
}

static bool add_repeated(struct settings *ctx, const config_setting_t *s, const struct event_line *l)
{
	struct drill *d = drill_of(ctx);
	int64_t last = l->every_us ? (l->until_us ? l->until_us : d->length_us) : l->e.at_us;
	int64_t times = l->every_us ? (last - l->e.at_us) / l->every_us + 1 : 1;

	if (times > DRILL_EVENTS - (int64_t)d->n_events)
		return settings_fail(ctx, s, ERR_TOO_LARGE, "events: more than %d with all repetitions (repeat less often)", DRILL_EVENTS);
	for (int64_t i = 0; i < times; i++)
		if (!add_copy(d, &l->e, l->e.at_us + i * l->every_us))
			return read_nomem(ctx, s);
	if (dos[l->e.what].needs)
		d->unsupported |= UINT64_C(1) << l->e.what;
	return true;
}

static bool read_event(struct settings *ctx, const config_setting_t *s)
{
	struct event_line l = {.e = {.bearer = -1, .degrade = {-1, -1, -1, -1, -1}, .line = config_setting_source_line(s)}};
	struct setting_spec table[FIELDS];

	if (!event_kind(ctx, s, &l.e.what))
		return false;
	l.send = (struct drill_send){.count = 1, .body = {.type = "text/plain", .bytes = 400}};
	l.e.value = l.e.what == DO_COMMIT_FAIL ? 1 : l.e.what == DO_MINIMIZE || l.e.what == DO_COURIER ? PREC_ROUTINE : 0;
	reading_of(ctx)->from = &l.e.from;
	bool ok = settings_read(ctx, s, table, table_for(l.e.what, table), &l);
	reading_of(ctx)->from = NULL;
	if (l.e.what != DO_NOTE && l.e.what != DO_CANCEL && l.e.what != DO_RELOCATE)
		l.e.text[0] = '\0'; /* it held the word after `do` */
	if (ok && l.e.what == DO_PARTITION && l.e.to.n == 0)
		ok = fill_others(ctx, s, &l.e);
	l.e.send = l.e.what == DO_SEND ? &l.send : NULL;
	ok = ok && check_event(ctx, s, &l) && add_repeated(ctx, s, &l);
	l.e.send = NULL;
	drill_event_release(&l.e);
	return ok;
}

static int by_time(const void *x, const void *y)
{
	const struct drill_event *a = *(const struct drill_event *const *)x, *b = *(const struct drill_event *const *)y;

	return a->at_us != b->at_us ? (a->at_us < b->at_us ? -1 : 1) : a < b ? -1 : a > b;
}

/* By time, and equal times in the order of the file. */
static bool sort_events(struct drill *d)
{
	struct drill_event **order = malloc((d->n_events + 1) * sizeof(struct drill_event *));
	struct drill_event *sorted = malloc((d->n_events + 1) * sizeof *sorted);
	bool ok = order && sorted;

	for (size_t i = 0; ok && i < d->n_events; i++)
		order[i] = &d->events[i];
	if (ok)
		qsort(order, d->n_events, sizeof(struct drill_event *), by_time);
	for (size_t i = 0; ok && i < d->n_events; i++)
		sorted[i] = *order[i];
	if (ok && d->n_events)
		memcpy(d->events, sorted, d->n_events * sizeof *sorted);
	free(order);
	free(sorted);
	return ok;
}

bool read_events(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	int n = setting_list(ctx, s, 0, DRILL_EVENTS);

	(void)spec, (void)out;
	for (int i = 0; i < n; i++)
		if (!read_event(ctx, config_setting_get_elem(s, (unsigned)i)))
			return false;
	return n >= 0 && (sort_events(drill_of(ctx)) || read_nomem(ctx, s));
}

enum err drill_add_event(struct drill *d, const struct drill_event *e)
{
	struct drill_event *last = list_grow(&d->events, &d->n_events, sizeof *last);

	if (last == NULL)
		return ERR_NOMEM;
	*last = *e;
	if (dos[e->what].needs)
		d->unsupported |= UINT64_C(1) << e->what;
	for (struct drill_event *p = last; p > d->events && p[-1].at_us > e->at_us; p--) {
		*p = p[-1];
		p[-1] = *e;
	}
	return ERR_OK;
}
