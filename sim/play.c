#include "proto/request.h"
#include "sim/play_int.h"

#include <stdlib.h>

/* ---- replies ------------------------------------------------------------------------------------------------------ */

bool next_reply(struct view *bytes, struct request *r)
{
	size_t len = 0;

	if (bytes->len == 0 || request_length(*bytes, &len) != ERR_OK || len == 0 || len > bytes->len)
		return false;
	enum err e = request_decode(view_of(bytes->ptr, len), r);
	*bytes = view_of(bytes->ptr + len, bytes->len - len);
	return e == ERR_OK;
}

struct view reply_value(const struct request *r, uint8_t field, bool *there)
{
	struct request_item f;

	for (struct view rest = r->fields; request_next(&rest, &f) == ERR_OK;)
		if (f.field == field) {
			if (there)
				*there = true;
			return f.value;
		}
	return view_of(NULL, 0);
}

/* ---- links ------------------------------------------------------------------------------------------------------------ */

static struct bearer_config bearer_config(const struct drill_bearer *b, const struct drill_schedule *s, int64_t phase_us)
{
	struct bearer_config c = {
		.cost = b->cost, .delay_us = b->delay_us, .jitter_us = b->jitter_us, .rate_bps = b->rate_bps, .queue_bytes = b->queue_bytes,
		.loss_ppm = b->loss_ppm, .reset_ppm = b->reset_ppm, .no_bulk = b->no_bulk, .period_us = s->every_us, .up_us = s->up_us, .phase_us = phase_us,
	};

	memcpy(c.name, b->name, sizeof c.name);
	return c;
}

enum err drill_links(const struct drill *d, uint64_t seed, struct link_config **out, size_t *n)
{
	struct link_config *links = calloc(d->n_links + 1, sizeof *links);
	struct prng prng;

	if (links == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < d->n_links; i++) {
		const struct drill_link *l = &d->links[i];
		int64_t phase = l->schedule.offset_us;
		if (l->schedule.stagger) {
			prng_init(&prng, seed, "schedule", i);
			phase += prng_between(&prng, 0, l->schedule.every_us - 1);
		}
		if (l->schedule.every_us)
			phase %= l->schedule.every_us;
		links[i].a = l->a;
		links[i].b = l->b;
		links[i].n_bearers = l->n_bearers;
		for (size_t k = 0; k < l->n_bearers; k++) {
			links[i].bearers[k] = bearer_config(&d->bearers[l->bearers[k]], &l->schedule, phase);
			if (l->delay_us)
				links[i].bearers[k].delay_us = l->delay_us;
			if (l->rate_bps)
				links[i].bearers[k].rate_bps = l->rate_bps;
		}
	}
	*out = links;
	*n = d->n_links;
	return ERR_OK;
}

int64_t play_end_us(const struct drill *d)
{
	return d->length_us + d->settle_us;
}

/* ---- the timetable --------------------------------------------------------------------------------------------------------- */

static void event_ends(void *arg, struct world *w, uint64_t cookie)
{
	struct play *p = arg;

	(void)w;
	if (!p->repaired)
		fault_end(p, &p->d->events[cookie]);
}

static void run_event(struct play *p, size_t i)
{
	const struct drill_event *e = &p->d->events[i];

	if (p->watch)
		watch_event(p->watch, e);
	fault_begin(p, e);
	/* A crash that waits for a commit strikes within a second. */
	if (e->for_us)
		world_at(p->w, (struct mono){e->at_us + e->for_us + (e->what == DO_CRASH ? US_PER_MS : 0)}, event_ends, p, i);
}

static void timetable_due(void *arg, struct world *w, uint64_t cookie)
{
	struct play *p = arg;
	int64_t now = world_now(w).us;

	(void)cookie;
	for (; p->next_event < p->d->n_events && p->d->events[p->next_event].at_us <= now; p->next_event++)
		run_event(p, p->next_event);
	if (p->next_event < p->d->n_events)
		world_at(w, (struct mono){p->d->events[p->next_event].at_us}, timetable_due, p, 0);
}

static void load_next(struct play *p);

static void load_due(void *arg, struct world *w, uint64_t cookie)
{
	struct play *p = arg;
	struct load_message m;

	(void)cookie;
	while (workload_pop(p->load, (struct mono){world_now(w).us * p->speed}, &m))
		send_take(p, &m);
	load_next(p);
}

static void load_next(struct play *p)
{
	struct mono next = workload_next(p->load);

	if (next.us < MONO_NEVER.us)
		world_at(p->w, (struct mono){(next.us + p->speed - 1) / p->speed}, load_due, p, 0);
}

static void on_news(void *arg, struct world *w, const struct world_news *n)
{
	struct play *p = arg;

	(void)w;
	if (n->type != NEWS_SITE_UP)
		return;
	send_site_up(p, n->site);
	desk_site_up(p, n->site);
}

void play_repaired(struct play *p)
{
	p->repaired = true;
	desks_return(p);
	for (size_t i = 0; i < drill_site_count(p->d); i++)
		send_site_up(p, i);
}

/* ---- life ---------------------------------------------------------------------------------------------------------------------- */

static bool make_seats(struct play *p)
{
	size_t n = 0;
	uint16_t sites = (uint16_t)drill_site_count(p->d);

	for (size_t i = 0; i < p->d->n_desks; i++)
		n += (size_t)p->d->desks[i].staff * (1 + desk_goes_to(p, i, NULL));
	p->seats = calloc(n + 1, sizeof *p->seats);
	bool *goes = calloc(sites + 1u, sizeof *goes);
	for (size_t i = 0; p->seats && goes && i < p->d->n_desks; i++) {
		const struct drill_desk *k = &p->d->desks[i];

		desk_goes_to(p, i, goes);
		for (uint16_t at = 0; at <= sites; at++)
			for (int s = 0; s < k->staff && (at == 0 || goes[at - 1]); s++)
				p->seats[p->n_seats++] = (struct seat){.p = p, .desk = i, .site = at ? (uint16_t)(at - 1) : k->site, .guest = at != 0, .away = at != 0};
	}
	free(goes);
	return p->seats != NULL && goes != NULL;
}

enum err play_new(const struct drill *d, uint64_t seed, struct world *w, struct watch *watch, struct play **out)
{
	return play_new_paced(d, d, 1, seed, w, watch, out);
}

enum err play_new_paced(const struct drill *d, const struct drill *load, int64_t speed, uint64_t seed, struct world *w, struct watch *watch, struct play **out)
{
	struct play *p = calloc(1, sizeof *p);
	struct world_hooks hooks = {.arg = p, .news = on_news};

	if (p == NULL)
		return ERR_NOMEM;
	p->d = d;
	p->speed = speed;
	p->w = w;
	p->watch = watch;
	p->senders = calloc(drill_site_count(d) + 1, sizeof *p->senders);
	if (!p->senders || !make_seats(p) || workload_new(load, seed, &p->load) != ERR_OK) {
		play_free(p);
		return ERR_NOMEM;
	}
	world_subscribe(w, &hooks);
	for (size_t i = 0; i < drill_site_count(d); i++)
		if (world_site_state(w, i) != SITE_DOWN)
			desk_site_up(p, i);
	if (d->n_events)
		world_at(w, (struct mono){d->events[0].at_us}, timetable_due, p, 0);
	load_next(p);
	*out = p;
	return ERR_OK;
}

void play_free(struct play *p)
{
	if (p == NULL)
		return;
	send_release(p);
	desk_release(p);
	order_release(p);
	courier_release(p);
	workload_free(p->load);
	free(p);
}

const struct play_counts *play_counts(const struct play *p)
{
	return &p->counts;
}
