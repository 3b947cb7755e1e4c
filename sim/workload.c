#include "sim/workload.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/prng.h"

/* Messages of one flow from one site, or those of one send event. */
struct source {
	int64_t next_us;
	size_t order;            /* among equal times: flows as in the drill, then send events as in the drill */
	int flow;                /* -1: a send event */
	uint16_t site;
	struct prng prng;
	int64_t per_year;
	int64_t end_us;
	const struct drill_send *send;
	int64_t at_us;
	uint64_t sent, total;    /* total: of an exact flow */
};

struct workload {
	const struct drill *d;
	struct source *heap;     /* see before() */
	size_t n;
	struct prng *desks;
	uint64_t number;
	uint16_t *reach;         /* scratch: sites that a message could go to */
	const struct drill_event **rates; /* the drill's rate events, by time */
	size_t n_rates;
	int64_t most;            /* see find_rates */
	char key[LIMIT_KEY_BYTES + 1], label[DRILL_LABEL_BYTES + 1], subject[LIMIT_SUBJECT_BYTES + 1]; /* of the message popped last */
};

/* ---- rates ---------------------------------------------------------------------------------------------------- */

/* All in integers, so that the same seed sends the same messages on every machine. Factors are in millionths. */
#define MILLION INT64_C(1000000)
#define MEAN_MOST_US (INT64_MAX / 64)

/* Night is 22 to 7 h, local. The mean of a day is 1, so that a year's sum is the table's. */
static int64_t day_factor(int night_percent)
{
	return 24 * 100 * MILLION / (9 * night_percent + 15 * 100);
}

static int64_t day_curve(const struct drill *d, int64_t at_us, int night_percent)
{
	int64_t hour = (d->start.us + d->utc_offset_us + at_us) % US_PER_DAY / (3600 * US_PER_S);
	int64_t day = day_factor(night_percent);

	return hour >= 22 || hour < 7 ? day * night_percent / 100 : day;
}

static int64_t day_peak(int night_percent)
{
	return day_factor(night_percent) * (night_percent > 100 ? night_percent : 100) / 100;
}

static bool rate_counts(const struct drill *d, const struct drill_event *e, const struct source *s)
{
	return (e->flow[0] == '\0' || strcmp(e->flow, d->flows[s->flow].name) == 0) && sites_has(&e->sites, s->site);
}

/* Crisis factors in force multiply. */
static int64_t crisis(const struct workload *w, const struct source *s, int64_t at_us)
{
	int64_t x = MILLION;

	for (size_t i = 0; i < w->n_rates && w->rates[i]->at_us <= at_us; i++) {
		const struct drill_event *e = w->rates[i];
		if ((e->for_us == 0 || at_us < e->at_us + e->for_us) && rate_counts(w->d, e, s))
			x = (int64_t)((__int128)x * e->value / 1000);
		if (x > w->most)
			x = w->most;
	}
	return x;
}

/* The highest product of factors that any instant can have, up to what makes sense. */
static void find_rates(struct workload *w)
{
	w->most = MILLION;
	for (size_t i = 0; i < w->d->n_events; i++) {
		const struct drill_event *e = &w->d->events[i];
		if (e->what != DO_RATE)
			continue;
		w->rates[w->n_rates++] = e;
		if (e->value > 1000 && w->most < 1000 * MILLION)
			w->most = (int64_t)((__int128)w->most * e->value / 1000);
	}
}

/* Mean time between candidates at the highest rate there can be; 0 when none come. */
static int64_t mean_us(const struct workload *w, const struct source *s, int64_t peak)
{
	unsigned __int128 rate = (unsigned __int128)s->per_year * w->d->sample_ppm * (unsigned __int128)peak; /* a year, times 10^12 */
	unsigned __int128 year = (unsigned __int128)(365 * US_PER_DAY) * MILLION * MILLION;

	if (rate == 0)
		return 0;
	unsigned __int128 mean = year / rate;
	return mean > MEAN_MOST_US ? MEAN_MOST_US : mean > 0 ? (int64_t)mean : 1;
}

/* ---- exact flows ------------------------------------------------------------------------------------------------- */

#define HOUR_US (3600 * US_PER_S)

/* A day in three pieces, as day_curve has it; an hour of the day weighs 100. */
struct piece { int64_t from_us, until_us, weight; };

static void day_pieces(int night_percent, struct piece out[3])
{
	out[0] = (struct piece){0, 7 * HOUR_US, night_percent};
	out[1] = (struct piece){7 * HOUR_US, 22 * HOUR_US, 100};
	out[2] = (struct piece){22 * HOUR_US, 24 * HOUR_US, night_percent};
}

static int64_t day_weight(int night_percent)
{
	return HOUR_US * (9 * (int64_t)night_percent + 15 * 100);
}

/* What the time from a midnight on weighs; at_us counts from there. */
static int64_t weight_until(int64_t at_us, int night_percent)
{
	struct piece p[3];
	int64_t sum = at_us / US_PER_DAY * day_weight(night_percent), rest = at_us % US_PER_DAY;

	day_pieces(night_percent, p);
	for (size_t i = 0; i < 3 && rest > p[i].from_us; i++)
		sum += ((rest < p[i].until_us ? rest : p[i].until_us) - p[i].from_us) * p[i].weight;
	return sum;
}

/* The other way round: the moment behind so much weight. Never one that weighs nothing. */
static int64_t moment_of(int64_t weight, int night_percent)
{
	struct piece p[3];
	int64_t day = day_weight(night_percent), at_us = weight / day * US_PER_DAY, rest = weight % day;
	size_t i = 0;

	day_pieces(night_percent, p);
	while (i < 2 && rest >= (p[i].until_us - p[i].from_us) * p[i].weight) {
		rest -= (p[i].until_us - p[i].from_us) * p[i].weight;
		i++;
	}
	return at_us + p[i].from_us + (p[i].weight ? rest / p[i].weight : 0);
}

/* One at random in each of `total` parts of equal weight. */
static void draw_exact(const struct workload *w, struct source *s)
{
	const struct drill_flow *f = &w->d->flows[s->flow];
	int64_t shift = (w->d->start.us + w->d->utc_offset_us) % US_PER_DAY; /* from midnight to the drill's start */
	int64_t begin = weight_until(shift + f->from_us, f->night_percent), all = weight_until(shift + s->end_us, f->night_percent) - begin;

	if (s->sent == s->total || all <= 0) {
		s->next_us = MONO_NEVER.us;
		return;
	}
	int64_t low = (int64_t)((__int128)all * s->sent / s->total), high = (int64_t)((__int128)all * (s->sent + 1) / s->total);
	s->sent++;
	s->next_us = moment_of(begin + low + (high > low ? (int64_t)prng_below(&s->prng, (uint64_t)(high - low)) : 0), f->night_percent) - shift;
}

/* What the rate has until then, rounded: so the parts of a time have together what the whole has. */
static int64_t exact_until(const struct workload *w, const struct source *s, int64_t at_us)
{
	const __int128 year = (__int128)365 * US_PER_DAY * MILLION;

	return (int64_t)(((__int128)s->per_year * w->d->sample_ppm * (w->d->begun_us + at_us) + year / 2) / year);
}

static uint64_t exact_total(const struct workload *w, const struct source *s)
{
	int64_t from = w->d->flows[s->flow].from_us;

	return s->end_us <= from ? 0 : (uint64_t)(exact_until(w, s, s->end_us) - exact_until(w, s, from));
}

/* ---- flows at random ----------------------------------------------------------------------------------------------- */

/* By thinning: candidates come at the highest rate, and each is taken with the probability that its hour has. */
static void draw_next(const struct workload *w, struct source *s)
{
	const struct drill_flow *f = &w->d->flows[s->flow];
	int64_t peak = (int64_t)((__int128)day_peak(f->night_percent) * w->most / MILLION), mean = mean_us(w, s, peak);

	if (f->exact) {
		draw_exact(w, s);
		return;
	}
	for (;;) {
		int64_t after = prng_exponential(&s->prng, mean);
		if (mean <= 0 || after > s->end_us - s->next_us) {
			s->next_us = MONO_NEVER.us;
			return;
		}
		s->next_us += after;
		int64_t now = (int64_t)((__int128)day_curve(w->d, s->next_us, f->night_percent) * crisis(w, s, s->next_us) / MILLION);
		if (prng_chance(&s->prng, (uint32_t)(now >= peak ? MILLION : now * MILLION / peak)))
			return;
	}
}

/* ---- the heap ------------------------------------------------------------------------------------------------------ */

static bool before(const struct source *a, const struct source *b)
{
	return a->next_us != b->next_us ? a->next_us < b->next_us : a->order < b->order;
}

static void sink(struct workload *w, size_t i)
{
	for (;;) {
		size_t least = i;
		for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < w->n; c++)
			if (before(&w->heap[c], &w->heap[least]))
				least = c;
		if (least == i)
			return;
		struct source x = w->heap[i];
		w->heap[i] = w->heap[least];
		w->heap[least] = x;
		i = least;
	}
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

static size_t count_sources(const struct drill *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_flows; i++)
		n += d->flows[i].n_rates;
	for (size_t i = 0; i < d->n_events; i++)
		n += d->events[i].what == DO_SEND;
	return n;
}

static void add_flows(struct workload *w, uint64_t seed)
{
	const struct drill *d = w->d;

	for (size_t i = 0; i < d->n_flows; i++)
		for (size_t k = 0; k < d->flows[i].n_rates; k++) {
			const struct drill_flow *f = &d->flows[i];
			struct source *s = &w->heap[w->n++];
			*s = (struct source){.order = w->n, .flow = (int)i, .site = f->rates[k].site, .per_year = f->rates[k].per_year, .next_us = f->from_us};
			s->end_us = f->until_us && f->until_us < d->length_us ? f->until_us : d->length_us;
			prng_init(&s->prng, seed, f->name, s->site);
			s->total = exact_total(w, s);
			draw_next(w, s);
		}
}

static void add_sends(struct workload *w, uint64_t seed)
{
	const struct drill *d = w->d;

	for (size_t i = 0; i < d->n_events; i++) {
		const struct drill_event *e = &d->events[i];
		if (e->what != DO_SEND)
			continue;
		struct source *s = &w->heap[w->n++];
		*s = (struct source){.order = w->n, .flow = -1, .site = e->from.v[0], .send = e->send, .at_us = e->at_us, .next_us = e->at_us};
		prng_init(&s->prng, seed, "send", i);
	}
}

enum err workload_new(const struct drill *d, uint64_t seed, struct workload **out)
{
	struct workload *w = calloc(1, sizeof *w);

	if (w == NULL)
		return ERR_NOMEM;
	w->d = d;
	w->heap = calloc(count_sources(d) + 1, sizeof *w->heap);
	w->desks = calloc(d->n_desks + 1, sizeof *w->desks);
	w->reach = calloc(drill_site_count(d) + 1, sizeof *w->reach);
	w->rates = calloc(d->n_events + 1, sizeof(struct drill_event *));
	if (!w->heap || !w->desks || !w->reach || !w->rates) {
		workload_free(w);
		return ERR_NOMEM;
	}
	find_rates(w);
	add_flows(w, seed);
	add_sends(w, seed);
	for (size_t i = w->n / 2 + 1; i-- > 0;)
		sink(w, i);
	for (size_t i = 0; i < d->n_desks; i++)
		prng_init(&w->desks[i], seed, "desk", i);
	*out = w;
	return ERR_OK;
}

void workload_free(struct workload *w)
{
	if (w == NULL)
		return;
	free(w->heap);
	free(w->desks);
	free(w->reach);
	free(w->rates);
	free(w);
}

struct mono workload_next(const struct workload *w)
{
	return w->n ? (struct mono){w->heap[0].next_us} : MONO_NEVER;
}

/* ---- messages ----------------------------------------------------------------------------------------------------------- */

static const struct drill_body *draw_body(const struct drill_body *list, size_t n, struct prng *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += list[i].weight;
	uint64_t x = prng_below(p, sum);
	for (size_t i = 0; i < n; i++) {
		if (x < list[i].weight)
			return &list[i];
		x -= list[i].weight;
	}
	return &list[0];
}

static bool may_go(const struct workload *w, const struct drill_flow *f, uint16_t from, uint16_t to)
{
	return to != from && site_queue(&w->d->roster->sites[to], view_str(f->to)) && (f->where == TO_ANY || drill_link_of(w->d, from, to));
}

/* False when there is nobody to write to. */
static bool draw_address(struct workload *w, const struct drill_flow *f, struct source *s, char out[LIMIT_ADDRESS_BYTES + 1])
{
	size_t n = 0;
	uint16_t to = s->site;

	if (f->where == TO_ADDRESS) {
		memcpy(out, f->to, sizeof f->to);
		return true;
	}
	for (uint16_t i = 0; f->where != TO_OWN && i < drill_site_count(w->d); i++)
		if (may_go(w, f, s->site, i))
			w->reach[n++] = i;
	if (f->where != TO_OWN && n == 0)
		return false;
	if (f->where != TO_OWN)
		to = w->reach[prng_below(&s->prng, n)];
	snprintf(out, LIMIT_ADDRESS_BYTES + 1, "%.*s/%.*s", LIMIT_NAME_BYTES, drill_site_name(w->d, to), LIMIT_NAME_BYTES, f->to);
	return true;
}

static bool pop_flow(struct workload *w, struct source *s, struct load_message *m)
{
	const struct drill *d = w->d;
	const struct drill_flow *f = &d->flows[s->flow];
	bool any = draw_address(w, f, s, m->address);

	m->precedence = (uint8_t)prng_weighted(&s->prng, f->mix, PREC_COUNT);
	m->body = f->n_bodies ? draw_body(f->bodies, f->n_bodies, &s->prng) : draw_body(d->bodies, d->n_bodies, &s->prng);
	m->channel = f->channel;
	m->exercise = f->exercise;
	m->expires_us = f->expires_us;
	snprintf(w->subject, sizeof w->subject, "%s %llu", f->name, (unsigned long long)w->number);
	snprintf(w->key, sizeof w->key, "%s-%llu", f->name, (unsigned long long)w->number);
	draw_next(w, s);
	return any;
}

static void pop_send(struct workload *w, struct source *s, struct load_message *m)
{
	const struct drill_send *e = s->send;

	memcpy(m->address, e->address, sizeof m->address);
	m->precedence = e->precedence;
	m->body = &e->body;
	m->channel = e->channel;
	m->exercise = e->exercise;
	m->expires_us = e->expires_us;
	m->label = s->sent == 0 ? e->label : "";
	snprintf(w->subject, sizeof w->subject, "%s", e->subject);
	if (e->key[0] && e->count > 1)
		snprintf(w->key, sizeof w->key, "%.100s-%llu", e->key, (unsigned long long)s->sent + 1);
	else if (e->key[0])
		snprintf(w->key, sizeof w->key, "%s", e->key);
	else
		snprintf(w->key, sizeof w->key, "send-%llu", (unsigned long long)w->number);
	s->sent++;
	s->next_us = s->sent < e->count ? s->at_us + (int64_t)((__int128)e->over_us * (__int128)s->sent / e->count) : MONO_NEVER.us;
	if (s->next_us > w->d->length_us)
		s->next_us = MONO_NEVER.us; /* a timetable that was made shorter */
}

/* A source's turn. False when the message has nobody to go to and was left out. */
static bool pop_one(struct workload *w, struct load_message *m)
{
	struct source *s = &w->heap[0];
	bool there = true;

	*m = (struct load_message){.at_us = s->next_us, .number = ++w->number, .from = s->site, .flow = s->flow, .subject = w->subject, .key = w->key, .label = ""};
	if (s->flow >= 0)
		there = pop_flow(w, s, m);
	else
		pop_send(w, s, m);
	sink(w, 0);
	return there;
}

bool workload_pop(struct workload *w, struct mono now, struct load_message *out)
{
	while (w->n && w->heap[0].next_us <= now.us && w->heap[0].next_us != MONO_NEVER.us)
		if (pop_one(w, out))
			return true;
	return false;
}

/* ---- bodies ----------------------------------------------------------------------------------------------------------------- */

static const char *const words[] = {"melding ", "patrouille ", "voertuig ", "appel ", "intervention ", "route ", "Brücke ", "Hochwasser ",
				    "rue ", "straat ", "persoon ", "personne ", "gewond ", "blessé ", "om ", "vers ", "nach ", "\n"};

void workload_body(uint64_t number, const struct drill_body *body, struct buf *out)
{
	size_t at = out->len, len = (size_t)body->bytes;
	uint8_t *p = buf_extend(out, len);
	struct prng prng;

	if (p == NULL)
		return;
	prng_init(&prng, number, "body", 0);
	for (int i = 0; i < 8 && (size_t)i < len; i++)
		p[i] = (uint8_t)(number >> (56 - 8 * i));
	bool text = strncmp(body->type, "image/", 6) != 0 && strcmp(body->type, "application/pdf") != 0;
	if (!text && len > 8)
		prng_bytes(&prng, p + 8, len - 8);
	for (size_t k = 8; text && k < len;) {
		uint64_t x = prng_u64(&prng);
		const char *word = words[x % (sizeof words / sizeof words[0])];
		char figure[24];
		if ((x >> 32) % 4 == 0) {
			snprintf(figure, sizeof figure, "%u ", (unsigned)(x >> 40) & 0xffff);
			word = figure;
		}
		size_t n = strlen(word) < len - k ? strlen(word) : len - k;
		memcpy(p + k, word, n);
		k += n;
	}
	assert(out->len == at + len);
}

/* ---- desks --------------------------------------------------------------------------------------------------------------------- */

struct desk_choice workload_desk(struct workload *w, size_t desk)
{
	const struct drill_desk *k = &w->d->desks[desk];
	struct prng *p = &w->desks[desk];
	int64_t after = k->handling_us ? prng_exponential(p, k->handling_us) : 0;

	if (after > 20 * k->handling_us)
		after = 20 * k->handling_us;
	if (prng_chance(p, k->crash_ppm))
		return (struct desk_choice){DESK_CRASH, after + 60 * US_PER_S};
	if (prng_chance(p, k->refuse_ppm))
		return (struct desk_choice){DESK_REFUSE, after};
	if (prng_chance(p, k->return_ppm))
		return (struct desk_choice){DESK_RETURN, after};
	return (struct desk_choice){DESK_READ, after};
}
