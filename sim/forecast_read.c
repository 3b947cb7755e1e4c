/* forecast_read.c - the rows of `show forecast` become what is known. */
#include <stdlib.h>
#include <string.h>

#include "sim/forecast_int.h"

#define SITES_MOST LIMIT_SITES
#define ROWS_MOST 1000000

void *fc_grow(void *array_ptr, size_t *n, size_t size)
{
	void **array = array_ptr;

	if (!(*n & (*n - 1))) {
		void *p = realloc(*array, (*n ? 2 * *n : 1) * size);

		if (!p)
			return NULL;
		*array = p;
	}
	void *at = (char *)*array + *n * size;

	memset(at, 0, size);
	++*n;
	return at;
}

size_t fc_site_by_name(const struct forecast *f, const char *name)
{
	for (size_t i = 0; i < f->n_sites; i++)
		if (strcmp(f->sites[i].name, name) == 0)
			return i;
	return FORECAST_NOWHERE;
}

/* ---- members ------------------------------------------------------------------------------------------------------ */

struct reading { const json_t *row; const char *wrong; };

static const char *text_of(struct reading *r, const char *name, size_t most)
{
	const char *s = json_string_value(json_object_get(r->row, name));

	if (s && strlen(s) <= most)
		return s;
	r->wrong = name;
	return "";
}

static void copy_of(struct reading *r, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s", text_of(r, name, size - 1));
}

static int64_t number_of(struct reading *r, const char *name)
{
	const json_t *x = json_object_get(r->row, name);

	if (!json_is_integer(x) || json_integer_value(x) < 0)
		r->wrong = name;
	return json_integer_value(x) > 0 ? json_integer_value(x) : 0;
}

static bool flag_of(struct reading *r, const char *name)
{
	const json_t *x = json_object_get(r->row, name);

	if (!json_is_boolean(x))
		r->wrong = name;
	return json_is_true(x);
}

/* 0: none. */
static int64_t time_of(struct reading *r, const char *name)
{
	const json_t *x = json_object_get(r->row, name);
	struct wall t = {0};

	if (!json_is_null(x) && (!json_is_string(x) || wall_parse(json_string_value(x), &t)))
		r->wrong = name;
	return t.us;
}

static size_t site_of(struct reading *r, const struct forecast *f, const char *name)
{
	size_t i = fc_site_by_name(f, text_of(r, name, LIMIT_NAME_BYTES));

	if (i == FORECAST_NOWHERE)
		r->wrong = name;
	return i;
}

static uint8_t precedence_of(struct reading *r, const char *name)
{
	enum precedence p = PREC_ROUTINE;

	if (precedence_parse(text_of(r, name, LIMIT_NAME_BYTES), &p))
		r->wrong = name;
	return (uint8_t)p;
}

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

static bool read_here(struct forecast *f, struct reading *r)
{
	f->now = (struct wall){time_of(r, "time")};
	f->self = site_of(r, f, "site");
	f->untold = (uint64_t)number_of(r, "untold");
	f->begun = true;
	if (text_of(r, "minimize", LIMIT_NAME_BYTES)[0]) {
		f->minimize = precedence_of(r, "minimize");
		f->minimize_us = time_of(r, "minimize_until") - f->now.us;
	}
	return true;
}

static bool read_site(struct forecast *f, struct reading *r)
{
	const json_t *list = json_object_get(r->row, "reaches");
	struct fc_site *s = f->n_sites < SITES_MOST ? fc_grow(&f->sites, &f->n_sites, sizeof *s) : NULL;

	if (!s)
		return false;
	copy_of(r, "site", s->name, sizeof s->name);
	copy_of(r, "bearer", s->bearer, sizeof s->bearer);
	s->reached = flag_of(r, "reached");
	s->said = flag_of(r, "said");
	s->hint_bps = number_of(r, "hint_bps");
	if (!view_is_name(view_str(s->name)))
		r->wrong = "site";
	if (!json_is_array(list) || json_array_size(list) > SITES_MOST)
		r->wrong = "reaches";
	s->reaches = calloc(json_array_size(list) + 1, sizeof *s->reaches);
	for (size_t i = 0; s->reaches && !r->wrong && i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		snprintf(s->reaches[s->n_reaches++], sizeof *s->reaches, "%s", name ? name : "");
	}
	return s->reaches != NULL;
}

static bool read_link(struct forecast *f, struct reading *r)
{
	struct fc_link *l = fc_grow(&f->links, &f->n_links, sizeof *l);

	if (!l)
		return false;
	l->peer = site_of(r, f, "peer");
	l->bulk = strcmp(text_of(r, "lane", LIMIT_NAME_BYTES), "bulk") == 0;
	copy_of(r, "bearer", l->bearer, sizeof l->bearer);
	l->round_us = number_of(r, "round_us");
	l->rate_bps = number_of(r, "rate_bps");
	l->measured = flag_of(r, "measured");
	return true;
}

static bool read_load(struct forecast *f, struct reading *r)
{
	struct fc_load *l = fc_grow(&f->loads, &f->n_loads, sizeof *l);

	if (!l)
		return false;
	*l = (struct fc_load){
		.stream = (uint64_t)number_of(r, "stream"), .has = (uint64_t)number_of(r, "has"), .entries = (uint64_t)number_of(r, "entries"),
		.bytes = (uint64_t)number_of(r, "bytes"), .large = (uint64_t)number_of(r, "large"), .large_bytes = (uint64_t)number_of(r, "large_bytes"),
		.to = site_of(r, f, "to"), .precedence = precedence_of(r, "precedence"), .asked = flag_of(r, "asked"),
		.first_due_us = time_of(r, "first_due"), .last_due_us = time_of(r, "last_due"), .retry_s = number_of(r, "retry_s"),
		.likely.us = -1, .earliest.us = -1,
	};
	return true;
}

static bool read_message(struct forecast *f, struct reading *r)
{
	struct fc_message *m = fc_grow(&f->messages, &f->n_messages, sizeof *m);

	if (!m)
		return false;
	*m = (struct fc_message){
		.stream = (uint64_t)number_of(r, "stream"), .number = (uint64_t)number_of(r, "number"), .bytes = (uint64_t)number_of(r, "bytes"),
		.at = FORECAST_NOWHERE, .to = FORECAST_NOWHERE, .precedence = precedence_of(r, "precedence"), .large = flag_of(r, "large"),
		.has = flag_of(r, "has"), .due_us = time_of(r, "due"), .retry_s = number_of(r, "retry_s"), .likely.us = -1, .earliest.us = -1,
	};
	copy_of(r, "id", m->id, sizeof m->id);
	copy_of(r, "state", m->state, sizeof m->state);
	snprintf(m->queue, sizeof m->queue, "%s/%s", text_of(r, "addressee", LIMIT_NAME_BYTES), text_of(r, "queue", LIMIT_NAME_BYTES));
	if (m->queue[strlen(m->queue) - 1] == '/')
		m->queue[strlen(m->queue) - 1] = '\0'; /* nobody here can open it */
	/* Sites that are gone have no row. */
	m->at = fc_site_by_name(f, text_of(r, "at", LIMIT_NAME_BYTES));
	m->to = fc_site_by_name(f, text_of(r, "to", LIMIT_NAME_BYTES));
	return true;
}

enum err forecast_row(struct forecast *f, const json_t *row, struct errmsg *m)
{
	static const struct { const char *part; bool (*read)(struct forecast *f, struct reading *r); } parts[] = {
		{"here", read_here}, {"site", read_site}, {"link", read_link}, {"load", read_load}, {"message", read_message}};
	struct reading r = {.row = row};
	const char *part = json_string_value(json_object_get(row, "part"));

	if (!part)
		return err_set(m, ERR_FORMAT, "forecast: a row without \"part\" (give it the rows of `show forecast`)");
	if (f->n_sites + f->n_links + f->n_loads + f->n_messages >= ROWS_MOST)
		return err_set(m, ERR_TOO_LARGE, "forecast: more than %d rows (ask about less)", ROWS_MOST);
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		if (strcmp(part, parts[i].part) != 0)
			continue;
		if (!parts[i].read(f, &r))
			return err_set(m, ERR_NOMEM, "forecast: out of memory, or more than %d sites", SITES_MOST);
		if (r.wrong)
			return err_set(m, ERR_FORMAT, "forecast: row \"%s\": member \"%s\" is missing or not what it should be (is the node of another version?)", part, r.wrong);
	}
	return ERR_OK;
}

enum err forecast_new(struct forecast **out)
{
	*out = calloc(1, sizeof **out);
	if (!*out)
		return ERR_NOMEM;
	(*out)->minimize = PREC_COUNT;
	(*out)->scale = 1;
	return ERR_OK;
}

void forecast_free(struct forecast *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n_sites; i++)
		free(f->sites[i].reaches);
	free(f->sites);
	free(f->links);
	free(f->loads);
	free(f->messages);
	free(f->items);
	free(f->says);
	free(f);
}
