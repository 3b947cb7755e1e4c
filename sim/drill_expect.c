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
	int n = setting_list(ctx, s, 1, DO_COUNT);

	(void)spec;
	for (int i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		const char *text = setting_string(ctx, e, 1, LIMIT_NAME_BYTES);
		unsigned k = 0;
		if (text == NULL)
			return false;
		while (k < DO_COUNT && strcmp(text, drill_do_name((enum drill_do)k)) != 0)
			k++;
		if (k == DO_COUNT)
			return settings_fail(ctx, e, ERR_FORMAT, "needs: \"%s\" is not an event (as in \"relocate\")", text);
		*(uint64_t *)out |= UINT64_C(1) << k;
	}
	return n > 0;
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
	{"within", read_span, AT(within_us), .min = 1, .max = 366 * US_PER_DAY},
	{"percentile", read_int, AT(percentile), .min = 50, .max = 100},
	{"needs", read_needs, AT(needs)},
};

/* Which settings each expectation cannot do without; one bound of at-least and at-most is enough. */
static bool missing(struct settings *ctx, const config_setting_t *s, const struct drill_expect *e, const char *name)
{
	return settings_fail(ctx, s, ERR_FORMAT, "%s: missing, \"%s\" needs it (add %s = ...;)", name, drill_what_name(e->what), name);
}

static bool check_expect(struct settings *ctx, const config_setting_t *s, const struct drill_expect *e)
{
	bool bound = config_setting_get_member((config_setting_t *)s, "at-least") || e->at_most >= 0;

	switch (e->what) {
	case WHAT_ACCEPTED: case WHAT_READ: case WHAT_WAITING: case WHAT_CONFLICTS: case WHAT_LOST:
		if (!bound)
			return missing(ctx, s, e, "at-most");
		if (e->at_most >= 0 && e->at_most < e->at_least)
			return settings_fail(ctx, s, ERR_RANGE, "at-most: less than at-least");
		if (e->what == WHAT_READ && e->at_least > 100)
			return settings_fail(ctx, s, ERR_RANGE, "at-least: of \"read\" it is a percentage, 0 to 100");
		return true;
	case WHAT_FLASH_DELAY: case WHAT_CONVERGED: return e->within_us ? true : missing(ctx, s, e, "within");
	case WHAT_READ_DELAY: return !e->within_us ? missing(ctx, s, e, "within") : e->precedence < 0 ? missing(ctx, s, e, "precedence") : true;
	case WHAT_STATE: return !e->message[0] ? missing(ctx, s, e, "message") : !e->state[0] ? missing(ctx, s, e, "state") : true;
	case WHAT_ALARM: case WHAT_NO_ALARM: return !e->sites.n ? missing(ctx, s, e, "sites") : !e->kind[0] ? missing(ctx, s, e, "kind") : true;
	case WHAT_LINK: return !e->from.n ? missing(ctx, s, e, "from") : !e->to.n ? missing(ctx, s, e, "to") : !e->state[0] ? missing(ctx, s, e, "state") : true;
	case WHAT_SERVED_BY: return !e->sites.n ? missing(ctx, s, e, "sites") : !e->to.n ? missing(ctx, s, e, "to") : true;
	default: return true;
	}
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
	return n >= 0;
}

/* ---- labels ------------------------------------------------------------------------------------------------------ */

static bool label_is_sent(const struct drill *d, const char *label)
{
	for (size_t i = 0; i < d->n_events; i++)
		if (d->events[i].send && strcmp(d->events[i].send->label, label) == 0)
			return true;
	return false;
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

bool drill_check_labels(struct settings *ctx, const config_setting_t *root)
{
	const struct drill *d = drill_of(ctx);

	for (size_t i = 0; i < d->n_events; i++)
		if (d->events[i].what == DO_CANCEL && !label_is_sent(d, d->events[i].text))
			return settings_fail(ctx, element_at(root, "events", d->events[i].line), ERR_NOT_FOUND, "message: no send event has the label \"%s\" (give one to it)", d->events[i].text);
	for (size_t i = 0; i < d->n_expects; i++)
		if (d->expects[i].message[0] && !label_is_sent(d, d->expects[i].message))
			return settings_fail(ctx, element_at(root, "expect", d->expects[i].line), ERR_NOT_FOUND, "message: no send event has the label \"%s\" (give one to it)", d->expects[i].message);
	return true;
}
