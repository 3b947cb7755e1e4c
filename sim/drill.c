#include "sim/drill.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim/drill_read.h"
#include "sim/fault.h"

/* ---- the top level ------------------------------------------------------------------------------------------- */

static bool read_start(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	const char *text = setting_string(ctx, s, 1, 64);
	struct wall *start = out;

	(void)spec;
	if (text == NULL)
		return false;
	if (wall_parse(text, start) != ERR_OK || start->us < 0)
		return settings_fail(ctx, s, ERR_FORMAT, "start: \"%s\" is not a time (write it as \"2021-07-14T00:00:00Z\")", text);
	return true;
}

/* One of two words, as a bool: the second is true. */
static bool read_choice(struct settings *ctx, const config_setting_t *s, const char *no, const char *yes, bool *out)
{
	const char *text = setting_string(ctx, s, 1, 32);

	if (text == NULL)
		return false;
	if (strcmp(text, no) != 0 && strcmp(text, yes) != 0)
		return settings_fail(ctx, s, ERR_FORMAT, "%s: \"%s\" is not known (\"%s\" or \"%s\")", setting_name(s), text, no, yes);
	*out = strcmp(text, yes) == 0;
	return true;
}

static bool read_suite(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	(void)spec;
	return read_choice(ctx, s, "fast", "real", out);
}

static bool read_store(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	(void)spec;
	return read_choice(ctx, s, "memory", "lmdb", out);
}

static bool read_seed(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	uint32_t x;

	if (!read_u32(ctx, s, spec, &x))
		return false;
	*(uint64_t *)out = x;
	return true;
}

static bool read_swarm_kinds(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	(void)spec;
	return read_dos(ctx, s, fault_kinds(), "kinds", "a fault that a seed draws (sim/README.md lists them)", out);
}

bool read_swarm(struct settings *ctx, const config_setting_t *s, const struct setting_spec *spec, void *out)
{
	static const struct setting_spec table[] = {
		{"on", read_bool, offsetof(struct drill_swarm, on)},
		{"faults", read_int, offsetof(struct drill_swarm, faults), .min = 1, .max = 1000},
		{"kinds", read_swarm_kinds, offsetof(struct drill_swarm, kinds)},
	};
	struct drill_swarm *w = &((struct drill *)out)->swarm;

	(void)spec;
	w->on = true;
	return READ_TABLE(ctx, s, table, w);
}

#define AT(member) offsetof(struct drill, member)
#define YEAR_US (366 * US_PER_DAY)
/* In the order of reading: what others refer to comes first. */
static const struct setting_spec drill_settings[] = {
	{"drill", read_name, AT(name), .required = true},
	{"about", read_text, AT(about), .max = LIMIT_SUBJECT_BYTES},
	{"start", read_start, AT(start), .required = true},
	{"length", read_span, AT(length_us), .required = true, .min = US_PER_S, .max = YEAR_US},
	{"settle", read_span, AT(settle_us), .min = US_PER_S, .max = 30 * US_PER_DAY},
	{"utc-offset", read_signed_span, AT(utc_offset_us), .max = 14 * 3600 * US_PER_S},
	{"seed", read_seed, AT(seed), .max = INT32_MAX},
	{"suite", read_suite, AT(real_crypto)},
	{"store", read_store, AT(lmdb)},
	{"sample", read_ppm, AT(sample_ppm)},
	{"keep-bodies", read_span, AT(keep_bodies_us), .min = US_PER_S, .max = YEAR_US},
	{"keep-headers", read_span, AT(keep_headers_us), .min = US_PER_S, .max = YEAR_US},
	{"scrub", read_span, AT(scrub_us), .min = US_PER_S, .max = YEAR_US},
	{"keep-unread", read_span, AT(keep_unread_us), .min = US_PER_S, .max = YEAR_US},
	{"begun", read_span, AT(begun_us), .max = YEAR_US},
	{"probe", read_span, AT(probe_us), .min = US_PER_S, .max = US_PER_DAY},
	{"network", read_network, 0, .required = true},
	{"largest", read_size, AT(largest_bytes), .min = 8, .max = LIMIT_BODY_BYTES},
	{"bodies", read_bodies, 0},
	{"traffic", read_traffic, 0},
	{"desks", read_desks, 0},
	{"events", read_events, 0},
	{"expect", read_expects, 0},
	{"swarm", read_swarm, 0},
};

static struct drill *drill_new(const char *file)
{
	struct drill *d = calloc(1, sizeof *d);

	if (d == NULL)
		return NULL;
	d->file = strdup(file);
	d->settle_us = 3600 * US_PER_S;
	d->seed = 1;
	d->sample_ppm = 1000000;
	d->largest_bytes = 64 * 1024;
	d->swarm.faults = 4;
	if (d->file == NULL) {
		free(d);
		return NULL;
	}
	return d;
}

static bool finish(struct settings *ctx, const config_setting_t *root, struct drill *d)
{
	static const struct drill_body note = {.type = "text/plain", .bytes = 400, .weight = 1};

	if (d->n_bodies == 0) {
		d->bodies = malloc(sizeof *d->bodies);
		if (d->bodies == NULL)
			return read_nomem(ctx, root);
		d->bodies[0] = note;
		d->n_bodies = 1;
	}
	return drill_check_labels(ctx, root);
}

enum err drill_parse(const char *file, struct view text, struct drill **out, struct errmsg *m)
{
	struct drill_reading r = {.drill = drill_new(file)};
	struct settings ctx = {.file = file, .m = m, .user = &r};
	config_t cfg;

	if (r.drill == NULL)
		return err_set(m, ERR_NOMEM, "%.200s: out of memory (free some and try again)", file);
	config_init(&cfg);
	if (settings_parse(&ctx, text, DRILL_TEXT_BYTES, &cfg) == ERR_OK && READ_TABLE(&ctx, config_root_setting(&cfg), drill_settings, r.drill) &&
	    finish(&ctx, config_root_setting(&cfg), r.drill)) {
		*out = r.drill; /* transferred */
		r.drill = NULL;
	}
	config_destroy(&cfg);
	roster_free(r.all);
	drill_free(r.drill);
	return ctx.err;
}

enum err drill_load(const char *file, struct drill **out, struct errmsg *m)
{
	struct buf text = BUF_EMPTY;
	char piece[4096];
	size_t n;
	FILE *f = fopen(file, "r");

	if (f == NULL)
		return err_set(m, ERR_IO, "%.200s: cannot read it: %m (name a drill file)", file);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0 && text.len <= DRILL_TEXT_BYTES)
		buf_add(&text, view_of(piece, n));
	bool bad = ferror(f) != 0 || !buf_ok(&text);
	fclose(f);
	enum err e = bad ? err_set(m, ERR_IO, "%.200s: cannot read it as a whole (is it a drill file?)", file) : drill_parse(file, buf_view(&text), out, m);
	buf_release(&text);
	return e;
}

static void drill_expect_release(struct drill_expect *e)
{
	free(e->sites.v);
	free(e->from.v);
	free(e->to.v);
}

void drill_free(struct drill *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n_flows; i++) {
		free(d->flows[i].rates);
		free(d->flows[i].bodies);
	}
	for (size_t i = 0; i < d->n_events; i++)
		drill_event_release(&d->events[i]);
	for (size_t i = 0; i < d->n_expects; i++)
		drill_expect_release(&d->expects[i]);
	free(d->expects);
	roster_free(d->roster);
	free(d->links);
	free(d->clocks);
	free(d->flows);
	free(d->desks);
	free(d->bodies);
	free(d->events);
	free(d->topology);
	free(d->file);
	free(d);
}

/* ---- --set ----------------------------------------------------------------------------------------------------------- */

/* The first event of this label is still there. */
static bool is_sent(const struct drill *d, const char *label)
{
	for (size_t i = 0; i < d->n_events; i++)
		if (d->events[i].send && strcmp(d->events[i].send->label, label) == 0)
			return true;
	return false;
}

static size_t drop_late_events(struct drill *d)
{
	size_t n = 0, all = d->n_events;

	d->unsupported = 0;
	for (size_t i = 0; i < all; i++) {
		if (d->events[i].at_us > d->length_us) {
			drill_event_release(&d->events[i]);
			continue;
		}
		if (!drill_do_supported(d->events[i].what))
			d->unsupported |= UINT64_C(1) << d->events[i].what;
		d->events[n++] = d->events[i]; /* transferred */
	}
	d->n_events = n;
	return all - n;
}

static size_t drop_late_expects(struct drill *d)
{
	size_t n = 0, all = d->n_expects;

	for (size_t i = 0; i < all; i++) {
		struct drill_expect *e = &d->expects[i];
		bool late = e->at_us != MONO_NEVER.us && e->at_us > d->length_us + d->settle_us;
		if (late || (e->message[0] && !is_sent(d, e->message)))
			drill_expect_release(e);
		else
			d->expects[n++] = *e; /* transferred */
	}
	d->n_expects = n;
	return all - n;
}

/* What no longer lies in a timetable that was made shorter is left out, and the story says so. */
static enum err fit(struct drill *d)
{
	struct drill_event note = {.what = DO_NOTE, .line = 1, .bearer = -1}; /* of the plan, not drawn */
	size_t room = 1, events = drop_late_events(d), expects = drop_late_expects(d);

	if (events + expects == 0)
		return ERR_OK;
	/* list_grow takes the room to be a power of two. */
	while (room < d->n_events)
		room *= 2;
	struct drill_event *less = realloc(d->events, room * sizeof *less);
	if (less == NULL)
		return ERR_NOMEM;
	d->events = less;
	snprintf(note.text, sizeof note.text, "the timetable was made shorter: %zu events and %zu expectations are left out", events, expects);
	return drill_add_event(d, &note);
}

/* The value goes through the same readers: the setting alone, as a text of its own, replaces what the drill said. */
enum err drill_set(struct drill *d, const char *key, const char *value, struct errmsg *m)
{
	static const char *const keys[] = {"store", "suite", "length", "settle", "sample", "start"};
	static const char *const swarm[] = {"off", "on"};
	struct drill_reading r = {.drill = d};
	struct settings ctx = {.file = "--set", .m = m, .user = &r};
	config_t cfg;

	if (strcmp(key, "swarm") == 0 && (strcmp(value, swarm[0]) == 0 || strcmp(value, swarm[1]) == 0)) {
		d->swarm.on = strcmp(value, swarm[1]) == 0;
		return ERR_OK;
	}
	if (strcmp(key, "month") == 0)
		return drill_month(d, value, m);
	if (strcmp(key, "part") == 0)
		return drill_part(d, value, m);
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		if (strcmp(key, keys[i]) != 0)
			continue;
		config_init(&cfg);
		config_setting_t *s = config_setting_add(config_root_setting(&cfg), key, CONFIG_TYPE_STRING);
		if (s == NULL || !config_setting_set_string(s, value))
			settings_fail(&ctx, config_root_setting(&cfg), ERR_NOMEM, "%s: out of memory", key);
		for (size_t k = 0; ctx.err == ERR_OK && k < sizeof drill_settings / sizeof drill_settings[0]; k++)
			if (strcmp(drill_settings[k].name, key) == 0)
				drill_settings[k].read(&ctx, s, &drill_settings[k], (char *)d + drill_settings[k].offset);
		if (ctx.err == ERR_OK && (d->events || d->expects) && fit(d) != ERR_OK)
			read_nomem(&ctx, s);
		drill_bound_figures(d);
		config_destroy(&cfg);
		return ctx.err;
	}
	return err_set(m, ERR_USAGE, "--set %.60s: unknown (known: store, suite, length, settle, sample, start, month, part, swarm=on|off)", key);
}

/* ---- looking up -------------------------------------------------------------------------------------------------------- */

size_t drill_site_count(const struct drill *d)
{
	return d->roster->n_sites;
}

const char *drill_site_name(const struct drill *d, uint16_t i)
{
	return i < d->roster->n_sites ? d->roster->sites[i].id : "?";
}

const struct drill_link *drill_link_of(const struct drill *d, uint16_t x, uint16_t y)
{
	uint16_t a = x < y ? x : y, b = x < y ? y : x;
	size_t lo = 0, hi = d->n_links;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct drill_link *l = &d->links[mid];
		if (l->a < a || (l->a == a && l->b < b))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < d->n_links && d->links[lo].a == a && d->links[lo].b == b ? &d->links[lo] : NULL;
}

/* ---- copies ---------------------------------------------------------------------------------------------------------------- */

static void *dup_array(const void *from, size_t n, size_t size)
{
	void *to = malloc(n ? n * size : 1);

	if (to && n)
		memcpy(to, from, n * size);
	return to;
}

static bool copy_flows(struct drill *to, const struct drill *from)
{
	to->flows = calloc(from->n_flows + 1, sizeof *to->flows);
	for (size_t i = 0; to->flows && i < from->n_flows; i++) {
		struct drill_flow *f = &to->flows[to->n_flows++];
		*f = from->flows[i];
		f->rates = dup_array(from->flows[i].rates, f->n_rates, sizeof *f->rates);
		f->bodies = dup_array(from->flows[i].bodies, f->n_bodies, sizeof *f->bodies);
		if (f->rates == NULL || f->bodies == NULL)
			return false;
	}
	return to->flows != NULL;
}

/* A restore goes with its backup, so that what is left reads as a drill. */
static bool has_backup(const struct drill *d, const struct drill_event *restore)
{
	size_t found = 0;

	for (size_t k = 0; k < restore->sites.n; k++)
		for (size_t i = 0; i < d->n_events; i++)
			if (d->events[i].what == DO_BACKUP && sites_has(&d->events[i].sites, restore->sites.v[k])) {
				found++;
				break;
			}
	return found == restore->sites.n;
}

static bool copy_events(struct drill *to, const struct drill *from, const bool *keep)
{
	to->events = calloc(from->n_events + 1, sizeof *to->events);
	to->unsupported = 0;
	for (size_t i = 0; to->events && i < from->n_events; i++) {
		if (keep && (!keep[i] || (from->events[i].what == DO_RESTORE && !has_backup(to, &from->events[i]))))
			continue;
		if (!drill_event_copy(&to->events[to->n_events], &from->events[i]))
			return false;
		to->n_events++;
		if (!drill_do_supported(from->events[i].what))
			to->unsupported |= UINT64_C(1) << from->events[i].what;
	}
	/* list_grow takes the room to be a power of two. */
	size_t room = 1;
	while (room < to->n_events)
		room *= 2;
	struct drill_event *fit = to->events ? realloc(to->events, room * sizeof *fit) : NULL;
	if (fit)
		to->events = fit;
	return fit != NULL;
}

static bool copy_expects(struct drill *to, const struct drill *from)
{
	to->expects = calloc(from->n_expects + 1, sizeof *to->expects);
	for (size_t i = 0; to->expects && i < from->n_expects; i++) {
		struct drill_expect *e = &to->expects[to->n_expects++];
		const struct drill_expect *x = &from->expects[i];
		*e = *x;
		e->sites = e->from = e->to = (struct drill_sites){0, NULL};
		if (!sites_copy(&e->sites, &x->sites) || !sites_copy(&e->from, &x->from) || !sites_copy(&e->to, &x->to))
			return false;
	}
	return to->expects != NULL;
}

/* A template is copied by its text. */
static bool copy_roster(struct drill *to, const struct drill *from)
{
	struct buf text = BUF_EMPTY;
	bool ok = roster_format(from->roster, &text) == ERR_OK && roster_parse("copy", buf_view(&text), NULL, true, &to->roster, NULL) == ERR_OK;

	buf_release(&text);
	return ok;
}

enum err drill_copy(const struct drill *from, const bool *keep, struct drill **out)
{
	struct drill *d = malloc(sizeof *d);

	if (d == NULL)
		return ERR_NOMEM;
	*d = *from;
	d->roster = NULL;
	d->flows = NULL, d->events = NULL, d->expects = NULL;
	d->n_flows = d->n_events = d->n_expects = 0;
	d->file = strdup(from->file);
	d->topology = from->topology ? strdup(from->topology) : NULL;
	d->links = dup_array(from->links, from->n_links, sizeof *d->links);
	d->clocks = dup_array(from->clocks, from->roster->n_sites, sizeof *d->clocks);
	d->desks = dup_array(from->desks, from->n_desks, sizeof *d->desks);
	d->bodies = dup_array(from->bodies, from->n_bodies, sizeof *d->bodies);
	if (!d->file || (from->topology && !d->topology) || !d->links || !d->clocks || !d->desks || !d->bodies || !copy_roster(d, from) || !copy_flows(d, from) || !copy_events(d, from, keep) ||
	    !copy_expects(d, from)) {
		drill_free(d);
		return ERR_NOMEM;
	}
	*out = d;
	return ERR_OK;
}
