/* oracle.c - the oracle's memory: sites, items, streams by their names; a broken promise is told here. */
#include <stdarg.h>

#include "sim/oracle_int.h"

void *oracle_room(void *array, size_t want, size_t *cap, size_t size)
{
	if (want <= *cap)
		return array;
	size_t n = *cap ? *cap : 8;

	while (n < want)
		n *= 2;
	void *more = realloc(array, n * size);

	if (!more) {
		fprintf(stderr, "estafette-sim: out of memory (run a smaller drill, or fewer messages with --set sample=...)\n");
		exit(1);
	}
	memset((char *)more + *cap * size, 0, (n - *cap) * size);
	*cap = n;
	return more;
}

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

struct oracle *oracle_new(const struct roster *roster, struct story *story)
{
	size_t one = 0;
	struct oracle *o = oracle_room(NULL, 1, &one, sizeof *o);

	*o = (struct oracle){.story = story, .converged_at = -1};
	oracle_roster(o, roster);
	return o;
}

void oracle_roster(struct oracle *o, const struct roster *roster)
{
	o->roster = roster;
	for (size_t i = 0; i < roster->n_sites; i++)
		osite_get(o, roster->sites[i].number);
	orders_resettle(o);
}

static void osite_release(struct osite *s)
{
	for (size_t q = 0; q < s->n_queues; q++)
		for (size_t k = 0; k < 2 * PREC_COUNT; k++)
			free(s->queues[q].line[k / PREC_COUNT][k % PREC_COUNT].items);
	free(s->queues);
	free(s->flash.items);
	free(s->unanswered);
	free(s->own);
	free(s->kept);
}

void oracle_free(struct oracle *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n_sites; i++)
		osite_release(&o->sites[i]);
	for (size_t i = 0; i < o->n_streams; i++) {
		free(o->streams[i].chain);
		free(o->streams[i].item);
		free(o->streams[i].holders);
		free(o->streams[i].tops);
	}
	free(o->sites);
	free(o->ways);
	free(o->items);
	free(o->item_hash);
	free(o->subs);
	free(o->sub_sites);
	free(o->streams);
	free(o->stream_hash);
	free(o->names);
	free(o->key_hash);
	free(o->flash);
	free(o->apart.items);
	free(o->expiring);
	free(o->flash_times.v);
	for (size_t p = 0; p < PREC_COUNT; p++)
		free(o->read_times[p].v);
	orders_free(o);
	free(o->seconds);
	free(o->conflicts);
	free(o->expectations);
	free(o);
}

void oracle_now(struct oracle *o, int64_t at_us)
{
	if (at_us > o->now)
		o->now = at_us;
}

/* ---- broken promises ------------------------------------------------------------------------------------------- */

/* After this many of one kind only the count goes on: the first ones say what is wrong. */
#define TELL_AT_MOST 20

void oracle_broken(struct oracle *o, enum promise p, const char *fmt, ...)
{
	char text[360];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (!o->v.first_broken[0])
		snprintf(o->v.first_broken, sizeof o->v.first_broken, "%s: %s", promise_name(p), text);
	if (o->v.broken[p]++ < TELL_AT_MOST)
		story_tell(o->story, o->now, STORY_BROKEN, "%s: %s", promise_name(p), text);
}

bool oracle_failed(const struct oracle *o)
{
	return o->v.first_broken[0] || o->v.expectations_missed;
}

void oracle_expect(struct oracle *o, bool met, bool skipped, const char *fmt, ...)
{
	struct expectation e = {.at_us = o->now, .met = met, .skipped = skipped};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.text, sizeof e.text, fmt, ap);
	va_end(ap);
	*(skipped ? &o->v.expectations_skipped : met ? &o->v.expectations_met : &o->v.expectations_missed) += 1;
	if (!skipped && !met && !o->v.first_broken[0])
		snprintf(o->v.first_broken, sizeof o->v.first_broken, "expected: %s", e.text);
	story_tell(o->story, o->now, STORY_EXPECT, "%s: %s", skipped ? "skipped" : met ? "met" : "NOT met", e.text);
	o->expectations = oracle_room(o->expectations, o->n_expectations + 1, &o->cap_expectations, sizeof e);
	o->expectations[o->n_expectations++] = e;
}

const struct expectation *oracle_expectations(const struct oracle *o, size_t *n)
{
	*n = o->n_expectations;
	return o->expectations;
}

/* ---- sites ------------------------------------------------------------------------------------------------------- */

static void ways_grow(struct oracle *o)
{
	size_t from = o->cap_ways, to = o->cap_sites, cap = 0;

	if (to <= from)
		return;
	struct way *w = oracle_room(NULL, to * to, &cap, sizeof *w);

	for (size_t a = 0; a < from; a++)
		memcpy(&w[a * to], &o->ways[a * from], from * sizeof *w);
	free(o->ways);
	o->ways = w;
	o->cap_ways = to;
}

struct osite *osite_get(struct oracle *o, uint16_t number)
{
	if (!o->index[number]) {
		o->sites = oracle_room(o->sites, o->n_sites + 1, &o->cap_sites, sizeof *o->sites);
		o->sites[o->n_sites] = (struct osite){.number = number};
		o->index[number] = (uint16_t)++o->n_sites;
		ways_grow(o);
	}
	return &o->sites[o->index[number] - 1];
}

const char *osite_name(const struct oracle *o, uint16_t number)
{
	const struct site *s = roster_site(o->roster, number);

	return s ? s->id : "an unknown site";
}

uint32_t name_of(struct oracle *o, const char *name)
{
	for (size_t i = 0; i < o->n_names; i++)
		if (strcmp(o->names[i], name) == 0)
			return (uint32_t)i;
	o->names = oracle_room(o->names, o->n_names + 1, &o->cap_names, sizeof *o->names);
	snprintf(o->names[o->n_names], sizeof *o->names, "%s", name);
	return (uint32_t)o->n_names++;
}

uint64_t oracle_words(struct view subject, struct view type, struct view lang, struct view channel)
{
	const struct view v[] = {subject, type, lang, channel};
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		for (size_t k = 0; k < v[i].len; k++)
			h = (h ^ v[i].ptr[k]) * 0x100000001b3u;
		h = (h ^ 0x100) * 0x100000001b3u;
	}
	return h;
}

/* ---- items ----------------------------------------------------------------------------------------------------------- */

static uint64_t id_hash(const struct msgid *id)
{
	return mix(load64(id->b) ^ mix(load64(id->b + 8)));
}

static void items_rehash(struct oracle *o)
{
	if (2 * o->n_items < o->cap_item_hash)
		return;
	free(o->item_hash);
	o->item_hash = NULL;
	size_t want = o->cap_item_hash ? 4 * o->cap_item_hash : 1024;

	o->cap_item_hash = 0;
	o->item_hash = oracle_room(NULL, want, &o->cap_item_hash, sizeof *o->item_hash);
	memset(o->item_hash, 0xff, o->cap_item_hash * sizeof *o->item_hash);
	for (size_t i = o->n_items; i-- > 0;) {
		uint32_t *slot = &o->item_hash[id_hash(&o->items[i].id) & (o->cap_item_hash - 1)];

		o->items[i].next = *slot;
		*slot = (uint32_t)i;
	}
}

static uint32_t same_id(const struct oracle *o, uint32_t i, const struct msgid *id)
{
	while (i != NONE && !msgid_equal(&o->items[i].id, id))
		i = o->items[i].next;
	return i;
}

uint32_t item_first(const struct oracle *o, const struct msgid *id)
{
	return o->cap_item_hash ? same_id(o, o->item_hash[id_hash(id) & (o->cap_item_hash - 1)], id) : NONE;
}

uint32_t item_next(const struct oracle *o, uint32_t i)
{
	return same_id(o, o->items[i].next, &o->items[i].id);
}

uint32_t item_find(const struct oracle *o, const struct msgid *id, uint16_t addressee)
{
	uint32_t i = item_first(o, id);

	while (i != NONE && o->items[i].addressee != addressee)
		i = item_next(o, i);
	return i;
}

uint32_t item_new(struct oracle *o, const struct msgid *id, uint16_t addressee)
{
	o->items = oracle_room(o->items, o->n_items + 1, &o->cap_items, sizeof *o->items);
	items_rehash(o);
	uint32_t *slot = &o->item_hash[id_hash(id) & (o->cap_item_hash - 1)];

	uint32_t same = item_first(o, id);

	o->items[o->n_items] = (struct item){.named = same == NONE ? ++o->n_named : o->items[same].named, .id = *id, .next = *slot, .submission = NONE, .stream = NONE, .addressee = addressee, .end_stream = NONE,
					     .entered_at = o->now, .held_at = -1, .handed_at = -1};
	*slot = (uint32_t)o->n_items;
	return (uint32_t)o->n_items++;
}

const char *item_name(const struct oracle *o, uint32_t i, char out[ITEM_NAME])
{
	/* In order of the id's first entry: the same in every run, and short. */
	snprintf(out, ITEM_NAME, "message %u", o->items[i].named);
	return out;
}

const char *item_text(const struct item *m, char out[MSGID_TEXT_BYTES])
{
	msgid_format(&m->id, out);
	return out;
}

/* ---- streams ------------------------------------------------------------------------------------------------------------ */

static uint64_t stream_slot(const struct stream_name *n)
{
	return mix((uint64_t)n->incarnation.born_us ^ mix(load64(n->incarnation.random) ^
		   ((uint64_t)n->originator << 32 | (uint64_t)n->addressee << 16 | (uint64_t)n->precedence << 8 | n->exercise)));
}

static void streams_rehash(struct oracle *o)
{
	if (2 * o->n_streams < o->cap_stream_hash)
		return;
	free(o->stream_hash);
	size_t want = o->cap_stream_hash ? 4 * o->cap_stream_hash : 256;

	o->cap_stream_hash = 0;
	o->stream_hash = oracle_room(NULL, want, &o->cap_stream_hash, sizeof *o->stream_hash);
	memset(o->stream_hash, 0xff, o->cap_stream_hash * sizeof *o->stream_hash);
	for (size_t i = 0; i < o->n_streams; i++) {
		uint32_t *slot = &o->stream_hash[stream_slot(&o->streams[i].name) & (o->cap_stream_hash - 1)];

		o->streams[i].next = *slot;
		*slot = (uint32_t)i;
	}
}

struct ostream *ostream_find(const struct oracle *o, const struct stream_name *name)
{
	uint32_t i = o->cap_stream_hash ? o->stream_hash[stream_slot(name) & (o->cap_stream_hash - 1)] : NONE;

	while (i != NONE && !stream_name_equal(&o->streams[i].name, name))
		i = o->streams[i].next;
	return i == NONE ? NULL : &o->streams[i];
}

struct ostream *ostream_get(struct oracle *o, const struct stream_name *name)
{
	struct ostream *s = ostream_find(o, name);

	if (s)
		return s;
	o->streams = oracle_room(o->streams, o->n_streams + 1, &o->cap_streams, sizeof *o->streams);
	streams_rehash(o);
	uint32_t *slot = &o->stream_hash[stream_slot(name) & (o->cap_stream_hash - 1)];
	struct osite *own = osite_get(o, name->originator);

	o->streams[o->n_streams] = (struct ostream){.name = *name, .next = *slot};
	*slot = (uint32_t)o->n_streams;
	own->own = oracle_room(own->own, own->n_own + 1, &own->cap_own, sizeof *own->own);
	own->own[own->n_own++] = *slot;
	return &o->streams[o->n_streams++];
}

const struct holder *holder_find(const struct ostream *s, uint16_t site)
{
	for (size_t i = 0; i < s->n_holders; i++)
		if (s->holders[i].site == site)
			return &s->holders[i];
	return NULL;
}

struct holder *holder_get(struct oracle *o, struct ostream *s, uint16_t site)
{
	const struct holder *have = holder_find(s, site);

	if (have)
		return &s->holders[have - s->holders];
	struct osite *at = osite_get(o, site);

	s->holders = oracle_room(s->holders, s->n_holders + 1, &s->cap_holders, sizeof *s->holders);
	at->kept = oracle_room(at->kept, at->n_kept + 1, &at->cap_kept, sizeof *at->kept);
	at->kept[at->n_kept++] = (uint32_t)(s - o->streams);
	s->holders[s->n_holders] = (struct holder){.site = site};
	return &s->holders[s->n_holders++];
}

uint64_t ostream_held(const struct ostream *s, uint16_t site)
{
	const struct holder *h = holder_find(s, site);

	return h ? h->held : 0;
}

uint64_t ostream_most(const struct ostream *s)
{
	uint64_t most = 0;

	for (size_t i = 0; i < s->n_holders; i++)
		most = s->holders[i].held > most ? s->holders[i].held : most;
	return most;
}

/* ---- times ------------------------------------------------------------------------------------------------------------------ */

void times_add(struct times *t, int64_t us)
{
	t->v = oracle_room(t->v, t->n + 1, &t->cap, sizeof *t->v);
	t->v[t->n++] = us;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int64_t times_percentile(const struct times *t, unsigned percent)
{
	if (!t->n)
		return -1;
	size_t cap = 0;
	int64_t *v = oracle_room(NULL, t->n, &cap, sizeof *v), result;

	memcpy(v, t->v, t->n * sizeof *v);
	qsort(v, t->n, sizeof *v, by_value);
	size_t at = (t->n * percent + 99) / 100;

	result = v[at ? at - 1 : 0];
	free(v);
	return result;
}
