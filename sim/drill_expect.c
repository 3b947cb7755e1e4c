/* What a drill expects, and what must hold between its parts. */
#include "sim/drill_read.h"

#include <stdlib.h>

static const char *const whats[WHAT_COUNT] = {
#define X(name, text) [WHAT_##name] = text,
	DRILL_WHAT_LIST(X)
#undef X
};

const char *drill_what_name(enum drill_what w)
{
	return (unsigned)w < WHAT_COUNT ? whats[w] : "?";
}

static const char *what_name_at(const void *arg, size_t i)
{
	(void)arg;
	return whats[i];
}

static bool read_what(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, LIMIT_NAME_BYTES);

	(void)spec;
	if (text == NULL)
		return false;
	for (unsigned k = 0; k < WHAT_COUNT; k++)
		if (strcmp(text, whats[k]) == 0) {
			*(enum drill_what *)out = (enum drill_what)k;
			return true;
		}
	const char *near = nearest(text, what_name_at, NULL, WHAT_COUNT);
	return settings_fail(ctx, s, ERR_FORMAT, "what: \"%s\" cannot be expected (did you mean \"%s\"? sim/README.md lists what can)", text, near ? near : "read");
}

static bool read_state(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	enum wait_state w;

	if (!read_name(ctx, s, spec, out))
		return false;
	if (strcmp(out, "up") == 0 || strcmp(out, "down") == 0 || wait_state_parse(out, &w) == ERR_OK)
		return true;
	return settings_fail(ctx, s, ERR_FORMAT, "state: \"%s\" is not a state (accepted, held-by-standby, held, delivered, read, refused, expired, cancelled; "
						 "of a link: up, down)", (const char *)out);
}

static bool read_precedence_or_all(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	uint8_t p;

	if (!read_precedence(ctx, s, spec, &p))
		return false;
	*(int *)out = p;
	return true;
}

static bool read_needs(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	(void)spec;
	return read_dos(ctx, s, UINT64_MAX, "needs", "an event (as in \"relocate\")", out);
}

#define AT(member) offsetof(struct drill_expect, member)
static const struct setting_spec expect_settings[] = {
	{"what", read_what, AT(what), .required = true},
	{"at", read_moment, AT(at_us)},
	{"sites", read_site_set, AT(sites)},
	{"from", read_site_set, AT(from)},
	{"to", read_site_set, AT(to)},
	{"queue", read_name, AT(queue)},
	{"message", read_name, AT(message)},
	{"state", read_state, AT(state)},
	{"kind", read_name, AT(kind)},
	{"precedence", read_precedence_or_all, AT(precedence)},
	{"at-least", read_whole, AT(at_least), .max = INT32_MAX},
	{"at-most", read_whole, AT(at_most), .max = INT32_MAX},
	{"figure", read_whole, AT(figure), .min = 1, .max = INT32_MAX},
	{"within", read_span, AT(within_us), .min = 1, .max = 366 * US_PER_DAY},
	{"percentile", read_int, AT(percentile), .min = 50, .max = 100},
	{"needs", read_needs, AT(needs)},
};

#define B(name) (UINT64_C(1) << WHAT_##name)
#define COUNTS (B(ACCEPTED) | B(READ) | B(WAITING) | B(CONFLICTS) | B(LOST))
#define DELAYS (B(FLASH_DELAY) | B(READ_DELAY))
#define ALARMS (B(ALARM) | B(NO_ALARM))
#define SCOPED (B(ACCEPTED) | B(READ))

/* must: expectations that cannot do without the setting; may: those that can have it. What says nothing about an expectation
 * is refused, since it would be without effect. what, at and needs are for all. */
static const struct { const char *name; uint64_t must, may; } takes[] = {
	{"sites", ALARMS | B(SERVED_BY), B(WAITING)},
	{"from", B(LINK), SCOPED},
	{"to", B(LINK) | B(SERVED_BY), SCOPED},
	{"queue", 0, B(SERVED_BY)},
	{"message", B(STATE), 0},
	{"state", B(STATE) | B(LINK), 0},
	{"kind", ALARMS, 0},
	{"precedence", B(READ_DELAY), SCOPED | B(WAITING)},
	{"at-least", 0, COUNTS},
	{"at-most", 0, COUNTS},
	{"figure", 0, B(ACCEPTED)},
	{"within", DELAYS | B(CONVERGED), 0},
	{"percentile", 0, DELAYS},
};

bool drill_expect_takes(enum drill_what what, const char *name)
{
	for (size_t i = 0; i < sizeof takes / sizeof takes[0]; i++)
		if (strcmp(takes[i].name, name) == 0)
			return (takes[i].must | takes[i].may) >> what & 1;
	return true;
}

static bool check_settings(struct settings *ctx, const config_setting_t *s, const struct drill_expect *e)
{
	for (size_t i = 0; i < sizeof takes / sizeof takes[0]; i++) {
		const config_setting_t *at = config_setting_get_member((config_setting_t *)s, takes[i].name);
		if (at && !drill_expect_takes(e->what, takes[i].name))
			return settings_fail(ctx, at, ERR_FORMAT, "%s: \"%s\" knows no such setting (sim/README.md lists what each takes)", takes[i].name,
					     drill_what_name(e->what));
		if (!at && takes[i].must >> e->what & 1)
			return settings_fail(ctx, s, ERR_FORMAT, "%s: missing, \"%s\" needs it (add %s = ...;)", takes[i].name, drill_what_name(e->what),
					     takes[i].name);
	}
	return true;
}

static bool check_count(struct settings *ctx, const config_setting_t *s, const struct drill_expect *e)
{
	bool least = config_setting_get_member((config_setting_t *)s, "at-least") != NULL;

	if (e->figure && (least || e->at_most >= 0))
		return settings_fail(ctx, s, ERR_FORMAT, "figure: the bounds follow from it (take at-least and at-most away)");
	if (e->figure)
		return true;
	if (e->at_most < 0 && !least)
		return settings_fail(ctx, s, ERR_FORMAT, "at-most: missing, \"%s\" needs it or at-least (add at-most = ...;)", drill_what_name(e->what));
	if (e->at_most >= 0 && e->at_most < e->at_least)
		return settings_fail(ctx, s, ERR_RANGE, "at-most: less than at-least");
	if (e->what == WHAT_READ && (e->at_least > 100 || e->at_most > 100))
		return settings_fail(ctx, s, ERR_RANGE, "%s: of \"read\" it is a percentage, 0 to 100", e->at_least > 100 ? "at-least" : "at-most");
	return true;
}

static bool check_delay(struct settings *ctx, const config_setting_t *s, const struct drill_expect *e)
{
	bool flash = e->what == WHAT_FLASH_DELAY;

	if (e->percentile == 50 || e->percentile == 99 || (flash && e->percentile == 100))
		return true;
	return settings_fail(ctx, s, ERR_RANGE, "percentile: %d is not kept of \"%s\" (write %s)", e->percentile, drill_what_name(e->what),
			     flash ? "50, 99 or 100" : "50 or 99");
}

static bool check_states(struct settings *ctx, const config_setting_t *s, const struct drill_expect *e)
{
	bool of_link = strcmp(e->state, "up") == 0 || strcmp(e->state, "down") == 0;

	if (of_link != (e->what == WHAT_LINK))
		return settings_fail(ctx, s, ERR_FORMAT, "state: \"%s\" is not a state of a %s (%s)", e->state, e->what == WHAT_LINK ? "link" : "message",
				     e->what == WHAT_LINK ? "up, down" : "accepted, held-by-standby, held, delivered, read, refused, expired, cancelled");
	if (of_link && !drill_joined(drill_of(ctx), &e->from, &e->to, -1))
		return settings_fail(ctx, s, ERR_NOT_FOUND, "link: no link joins these sites (network.links lists them)");
	return true;
}

static bool check_expect(struct settings *ctx, const config_setting_t *s, const struct drill_expect *e)
{
	if (!check_settings(ctx, s, e))
		return false;
	if (COUNTS >> e->what & 1)
		return check_count(ctx, s, e);
	if (DELAYS >> e->what & 1)
		return check_delay(ctx, s, e);
	if (e->what == WHAT_STATE || e->what == WHAT_LINK)
		return check_states(ctx, s, e);
	if (e->what == WHAT_CONVERGED && e->at_us != MONO_NEVER.us)
		return settings_fail(ctx, s, ERR_RANGE, "at: an impossible time, \"converged\" is known at the end only (take at away)");
	return e->what != WHAT_SERVED_BY || drill_has_queue(ctx, s, &e->sites, e->queue);
}

static bool read_expect(struct settings *ctx, const config_setting_t *s)
{
	struct drill *d = drill_of(ctx);
	struct drill_expect *e = list_grow(&d->expects, &d->n_expects, sizeof *e);

	if (e == NULL)
		return read_nomem(ctx, s);
	*e = (struct drill_expect){.line = config_setting_source_line(s), .at_us = MONO_NEVER.us, .precedence = -1, .at_most = -1, .percentile = 99};
	struct drill_reading *r = reading_of(ctx);
	r->ends = true;
	r->from = &e->from;
	bool ok = READ_TABLE(ctx, s, expect_settings, e) && check_expect(ctx, s, e);
	r->ends = false;
	r->from = NULL;
	if (e->what == WHAT_SERVED_BY)
		e->needs |= UINT64_C(1) << DO_RELOCATE;
	return ok;
}

/* Few: put in their places one after another, equal times in the order of the file. */
static void sort_expects(struct drill *d)
{
	for (size_t i = 1; i < d->n_expects; i++)
		for (size_t k = i; k > 0 && d->expects[k - 1].at_us > d->expects[k].at_us; k--) {
			struct drill_expect x = d->expects[k];
			d->expects[k] = d->expects[k - 1];
			d->expects[k - 1] = x;
		}
}

bool read_expects(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	int n = setting_list(ctx, s, 0, DRILL_LINES);

	(void)spec, (void)out;
	for (int i = 0; i < n; i++)
		if (!read_expect(ctx, config_setting_get_elem(s, (unsigned)i)))
			return false;
	sort_expects(drill_of(ctx));
	drill_bound_figures(drill_of(ctx));
	return n >= 0;
}

static int64_t root_of(int64_t x)
{
	int64_t r = 0;

	for (int64_t bit = INT64_C(1) << 30; bit; bit >>= 1)
		if ((r + bit) * (r + bit) <= x)
			r += bit;
	return r;
}

/* What comes at random has a variance like its mean. */
void drill_bound_figures(struct drill *d)
{
	for (size_t i = 0; i < d->n_expects; i++) {
		struct drill_expect *e = &d->expects[i];
		int64_t mean = e->figure * d->sample_ppm / 1000000, most = 5 * (root_of(mean) + 1);
		if (e->figure == 0)
			continue;
		e->at_least = mean > most ? mean - most : 0;
		e->at_most = mean + most;
	}
}

/* ---- labels, and backups ------------------------------------------------------------------------------------------ */

/* The event that sends the message of this label; the first, when several do. */
static const struct drill_event *sent_as(const struct drill *d, const char *label)
{
	for (size_t i = 0; i < d->n_events; i++)
		if (d->events[i].send && strcmp(d->events[i].send->label, label) == 0)
			return &d->events[i];
	return NULL;
}

/* The element of a list of the root that began at this line: where a message points. */
static const config_setting_t *element_at(const config_setting_t *root, const char *list, unsigned line)
{
	const config_setting_t *s = config_setting_get_member((config_setting_t *)root, list);

	for (int i = 0; s && i < config_setting_length(s); i++)
		if (config_setting_source_line(config_setting_get_elem(s, (unsigned)i)) == line)
			return config_setting_get_elem(s, (unsigned)i);
	return root;
}

static int by_label(const void *x, const void *y)
{
	const struct drill_event *a = *(const struct drill_event *const *)x, *b = *(const struct drill_event *const *)y;
	int order = strcmp(a->send->label, b->send->label);

	return order ? order : a < b ? -1 : a > b;
}

static bool check_unique(struct settings *ctx, const config_setting_t *root)
{
	const struct drill *d = drill_of(ctx);
	const struct drill_event **v = malloc((d->n_events + 1) * sizeof *v);
	size_t n = 0;

	if (v == NULL)
		return read_nomem(ctx, root);
	for (size_t i = 0; i < d->n_events; i++)
		if (d->events[i].send && d->events[i].send->label[0])
			v[n++] = &d->events[i];
	if (n)
		qsort(v, n, sizeof *v, by_label);
	bool ok = true;
	for (size_t i = 1; i < n && ok; i++)
		if (strcmp(v[i]->send->label, v[i - 1]->send->label) == 0)
			ok = settings_fail(ctx, element_at(root, "events", v[i]->line), ERR_EXISTS, "label: \"%s\" is there twice (give each message its own)",
					   v[i]->send->label);
	free(v);
	return ok;
}

/* Without a backup before it a restore would do nothing. Events are in the order of time. */
static bool check_restores(struct settings *ctx, const config_setting_t *root)
{
	const struct drill *d = drill_of(ctx);
	bool *kept = calloc(d->roster->n_sites, sizeof *kept);
	bool ok = kept != NULL || read_nomem(ctx, root);

	for (size_t i = 0; i < d->n_events && ok; i++) {
		const struct drill_event *e = &d->events[i];
		for (size_t k = 0; k < e->sites.n && ok; k++) {
			if (e->what == DO_BACKUP)
				kept[e->sites.v[k]] = true;
			else if (e->what == DO_RESTORE && !kept[e->sites.v[k]])
				ok = settings_fail(ctx, element_at(root, "events", e->line), ERR_NOT_FOUND, "restore: %s has no backup yet (add a backup event before it)",
						   drill_site_name(d, e->sites.v[k]));
		}
	}
	free(kept);
	return ok;
}

static bool check_cancel(struct settings *ctx, const config_setting_t *root, const struct drill_event *e)
{
	const struct drill_event *sent = sent_as(drill_of(ctx), e->text);

	if (sent == NULL)
		return settings_fail(ctx, element_at(root, "events", e->line), ERR_NOT_FOUND, "message: no send event has the label \"%s\" (give one to it)", e->text);
	if (sent->at_us > e->at_us)
		return settings_fail(ctx, element_at(root, "events", e->line), ERR_RANGE, "at: an impossible time, \"%s\" is sent only later", e->text);
	return true;
}

bool drill_check_labels(struct settings *ctx, const config_setting_t *root)
{
	const struct drill *d = drill_of(ctx);

	for (size_t i = 0; i < d->n_events; i++)
		if (d->events[i].what == DO_CANCEL && !check_cancel(ctx, root, &d->events[i]))
			return false;
	for (size_t i = 0; i < d->n_expects; i++) {
		const struct drill_expect *x = &d->expects[i];
		const struct drill_event *sent = x->message[0] ? sent_as(d, x->message) : NULL;
		if (x->message[0] && sent == NULL)
			return settings_fail(ctx, element_at(root, "expect", x->line), ERR_NOT_FOUND, "message: no send event has the label \"%s\" (give one to it)", x->message);
		if (sent && sent->at_us > x->at_us)
			return settings_fail(ctx, element_at(root, "expect", x->line), ERR_RANGE, "at: an impossible time, \"%s\" is sent only later", x->message);
	}
	return check_unique(ctx, root) && check_restores(ctx, root);
}
