#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/forecast_int.h"

enum err forecast_run(struct forecast *f, const volatile sig_atomic_t *interrupted, struct errmsg *m)
{
	if (!f->begun || f->self == FORECAST_NOWHERE)
		return err_set(m, ERR_FORMAT, "forecast: no row says whose it is (give it all rows of `show forecast`)");
	enum err e = fc_plan(f);
	bool any = false;

	for (size_t i = 0; i < f->n_items; i++)
		any = any || f->items[i].asked;
	for (size_t i = 0; i < f->n_loads; i++)
		if (f->loads[i].asked && !f->loads[i].entries && !f->loads[i].large)
			f->loads[i].likely.us = f->loads[i].earliest.us = 0;
	if (!e && any)
		e = fc_world(f, false, interrupted, m);
	if (!e && any)
		e = fc_world(f, true, interrupted, m);
	return e == ERR_NOMEM ? err_set(m, e, "forecast: out of memory") : e;
}

static const struct fc_message *message_by_id(const struct forecast *f, const char *id)
{
	for (size_t i = 0; i < f->n_messages; i++)
		if (strcmp(f->messages[i].id, id) == 0)
			return &f->messages[i];
	return NULL;
}

int64_t forecast_likely_us(const struct forecast *f, const char *id)
{
	const struct fc_message *m = message_by_id(f, id);

	return m ? m->likely.us : -1;
}

int64_t forecast_earliest_us(const struct forecast *f, const char *id)
{
	const struct fc_message *m = message_by_id(f, id);

	return m ? m->earliest.us : -1;
}

/* ---- what it waits for ------------------------------------------------------------------------------------------------------ */

static void add(char *out, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void add(char *out, size_t size, const char *fmt, ...)
{
	size_t n = strlen(out);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out + n, size - n, fmt, ap);
	va_end(ap);
}

static const char *name_of(const struct forecast *f, size_t site) { return site == FORECAST_NOWHERE ? "a site that is gone" : f->sites[site].name; }

/* Sites that said they reach it, whoever they are themselves reached by. */
static void say_no_path(const struct forecast *f, size_t to, char *out, size_t size)
{
	unsigned n = 0;

	add(out, size, "no known path: waits for contact with %s", name_of(f, to));
	for (size_t i = 0; to != FORECAST_NOWHERE && i < f->n_sites && n < 4; i++)
		if (i != to && i != f->self && fc_linked(f, i, to))
			add(out, size, "%s%s", n++ ? ", " : ", or with who reaches it: ", f->sites[i].name);
}

static void say_size(uint64_t bytes, char *out, size_t size)
{
	if (bytes < 10 * 1024)
		add(out, size, "%" PRIu64 " B", bytes);
	else if (bytes < 10 * 1024 * 1024)
		add(out, size, "%" PRIu64 " KiB", bytes / 1024);
	else
		add(out, size, "%" PRIu64 " MiB", bytes / 1024 / 1024);
}

static void say_wait(const struct forecast *f, const struct fc_message *m, char *out, size_t size)
{
	char until[WALL_TEXT_BYTES];

	out[0] = '\0';
	if (m->has)
		return;
	if (m->likely.us < 0 && !(m->to != FORECAST_NOWHERE && (m->to == f->self || f->sites[m->to].hops))) {
		say_no_path(f, m->to, out, size);
		return;
	}
	if (m->precedence >= f->minimize && f->minimize_us > 0) {
		wall_format((struct wall){f->now.us + f->minimize_us}, 0, until);
		add(out, size, "MINIMIZE until %s", until);
	}
	if (m->retry_s)
		add(out, size, "%s%s has no room for it in its journal now", out[0] ? "; " : "", name_of(f, m->to));
	if (m->before) {
		add(out, size, "%s%" PRIu64 " before it (", out[0] ? "; " : "", m->before);
		say_size(m->before_bytes, out, size);
		add(out, size, ")");
	}
	if (m->likely.us < 0)
		add(out, size, "%slonger than %lld days", out[0] ? "; " : "", (long long)(FORECAST_MOST_US / US_PER_DAY));
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------------- */

static void set(json_t *row, const char *name, json_t *value)
{
	if (json_object_set_new(row, name, value))
		abort();
}

/* Rounded up, so that nothing is promised too soon. */
static void set_time(const struct forecast *f, json_t *row, const char *name, int64_t us)
{
	char text[WALL_TEXT_BYTES], seconds[32];

	snprintf(seconds, sizeof seconds, "%s_s", name);
	if (us < 0) {
		set(row, name, json_null());
		set(row, seconds, json_null());
		return;
	}
	int64_t s = (us + US_PER_S - 1) / US_PER_S;

	wall_format((struct wall){f->now.us + s * US_PER_S}, 0, text);
	set(row, name, json_string(text));
	set(row, seconds, json_integer(s));
}

static void set_way(const struct forecast *f, json_t *row, const struct fc_outcome *o)
{
	json_t *path = json_array(), *bearers = json_array();

	for (size_t i = 0; o->us >= 0 && i < o->way.n; i++) {
		json_array_append_new(path, json_string(f->sites[o->way.site[i]].name));
		if (i)
			json_array_append_new(bearers, json_string(o->way.bearer[i]));
	}
	set(row, "path", path);
	set(row, "bearers", bearers);
}

static void print(json_t *row, FILE *out)
{
	if (json_dumpf(row, out, JSON_PRESERVE_ORDER | JSON_COMPACT))
		abort();
	fputc('\n', out);
	json_decref(row);
}

static json_t *row_of(const char *part)
{
	json_t *row = json_object();

	if (!row)
		abort();
	set(row, "part", json_string(part));
	return row;
}

static void print_message(const struct forecast *f, const struct fc_message *m, FILE *out)
{
	json_t *row = row_of("message");
	char wait[400];

	say_wait(f, m, wait, sizeof wait);
	set(row, "id", json_string(m->id));
	set(row, "queue", json_string(m->queue));
	set(row, "precedence", json_string(precedence_name(m->precedence)));
	set(row, "state", json_string(m->state));
	set(row, "site", json_string(name_of(f, m->to)));
	set_time(f, row, "earliest", m->has ? -1 : m->earliest.us);
	set_time(f, row, "likely", m->has ? -1 : m->likely.us);
	set_way(f, row, &m->likely);
	set(row, "waits_for", json_string(wait));
	print(row, out);
}

/* All of one precedence: the first of them that may be there, the last that likely is. */
static void print_precedence(const struct forecast *f, uint8_t precedence, FILE *out)
{
	const struct fc_message *last = NULL, *lost = NULL;
	uint64_t n = 0, bytes = 0, without = 0;
	int64_t earliest = -1, first = -1;
	char wait[400] = "";

	for (size_t i = 0; i < f->n_messages; i++) {
		const struct fc_message *m = &f->messages[i];

		if (m->precedence != precedence)
			continue;
		n++;
		bytes += m->bytes;
		if (m->likely.us < 0) {
			without++;
			lost = m;
			continue;
		}
		earliest = m->earliest.us >= 0 && (earliest < 0 || m->earliest.us < earliest) ? m->earliest.us : earliest;
		first = first < 0 || m->likely.us < first ? m->likely.us : first;
		last = !last || m->likely.us > last->likely.us ? m : last;
	}
	if (!n)
		return;
	json_t *row = row_of("precedence");

	if (lost || last)
		say_wait(f, lost ? lost : last, wait, sizeof wait);
	set(row, "queue", json_string(lost ? lost->queue : last->queue));
	set(row, "precedence", json_string(precedence_name(precedence)));
	set(row, "messages", json_integer((json_int_t)n));
	set(row, "bytes", json_integer((json_int_t)bytes));
	set(row, "without_path", json_integer((json_int_t)without));
	set_time(f, row, "earliest", earliest);
	set_time(f, row, "first", first);
	set_time(f, row, "likely", last ? last->likely.us : -1);
	set_way(f, row, last ? &last->likely : &(struct fc_outcome){.us = -1});
	set(row, "waits_for", json_string(wait));
	print(row, out);
}

/* Everything that one site would still have to get. */
static void print_successor(const struct forecast *f, size_t site, FILE *out)
{
	uint64_t entries = 0, bytes = 0;
	int64_t likely = 0, earliest = 0;
	const struct fc_outcome *last = NULL;
	bool never = false;
	char wait[400] = "";

	for (size_t i = 0; i < f->n_loads; i++) {
		const struct fc_load *l = &f->loads[i];

		if (!l->asked || l->to != site)
			continue;
		entries += l->entries + (l->entries ? 0 : l->large);
		bytes += l->bytes + l->large_bytes;
		never = never || l->likely.us < 0;
		last = !last || l->likely.us > last->us ? &l->likely : last;
		likely = l->likely.us > likely ? l->likely.us : likely;
		earliest = l->earliest.us > earliest ? l->earliest.us : earliest;
	}
	if (!last)
		return;
	if (never && !f->sites[site].hops)
		say_no_path(f, site, wait, sizeof wait);
	json_t *row = row_of("forecast");

	set(row, "site", json_string(f->sites[site].name));
	set(row, "entries", json_integer((json_int_t)entries));
	set(row, "bytes", json_integer((json_int_t)bytes));
	set_time(f, row, "earliest", never ? -1 : earliest);
	set_time(f, row, "likely", never ? -1 : likely);
	set_way(f, row, never ? &(struct fc_outcome){.us = -1} : last);
	set(row, "waits_for", json_string(wait));
	print(row, out);
}

/* ---- what was assumed -------------------------------------------------------------------------------------------------------- */

static void assume(FILE *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void assume(FILE *out, const char *fmt, ...)
{
	char text[500];
	json_t *row = row_of("assumed");
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	set(row, "text", json_string(text));
	print(row, out);
}

static void print_assumed(const struct forecast *f, FILE *out)
{
	unsigned relayed = 0, unmeasured = 0, silent = 0;

	for (size_t i = 0; i < f->n_sites; i++) {
		relayed += f->sites[i].hops > 1;
		silent += i != f->self && !f->sites[i].said;
	}
	for (size_t i = 0; i < f->n_links; i++)
		unmeasured += !f->links[i].measured;
	assume(out, "links stay as they are now, and nothing new is sent");
	assume(out, "other sites have nothing of their own to send over the same lines");
	if (unmeasured)
		assume(out, "%u of this site's %zu links were never full: the roster's rate, or 10 Mbit/s, or what went over them when that was more", unmeasured, f->n_links);
	if (relayed)
		assume(out, "links of others are up where both ends last said so; the roster's rate or 10 Mbit/s, round trips of %.1f ms as here", (double)f->assumed_round_us / US_PER_MS);
	if (silent)
		assume(out, "%u site%s not said whom they reach: no path leads over them, but to those that are linked here", silent, silent == 1 ? " has" : "s have");
	if (f->paths_only)
		assume(out, "the network is large: reckoned over shortest paths, with what goes the same way only");
	if (f->scale > 1)
		assume(out, "so much waits that it was reckoned with one byte in %" PRIu64 ", over lines as much slower", f->scale);
	if (f->untold)
		assume(out, "%" PRIu64 " more messages wait and are not listed", f->untold);
}

void forecast_print(const struct forecast *f, bool by_precedence, FILE *out)
{
	for (size_t i = 0; !by_precedence && i < f->n_messages; i++)
		print_message(f, &f->messages[i], out);
	for (uint8_t p = 0; by_precedence && p < PREC_COUNT; p++)
		print_precedence(f, p, out);
	for (size_t i = 0; i < f->n_sites; i++)
		print_successor(f, i, out);
	print_assumed(f, out);
}
