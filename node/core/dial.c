#include "node/core/dial.h"

#include <assert.h>
#include <string.h>

#define PATIENCE_UNKNOWN_US (3 * US_PER_S)
/* Beside half as much again as the last handshake took. */
#define PATIENCE_LEAST_US US_PER_S
#define SLOW_FIRST_US (4 * US_PER_S)
#define SLOW_MOST_US (120 * US_PER_S)
#define PAUSE_FIRST_US (250 * US_PER_MS)
#define PAUSE_MOST_US (10 * US_PER_S)
#define REFUSED_MOST_US (30 * US_PER_S)
#define PAUSE_DUE_US (500 * US_PER_MS)
#define REFUSED_FIRST_US US_PER_S
#define PROBE_FIRST_US (2 * US_PER_S)
#define PROBE_MOST_US (60 * US_PER_S)
#define HOLD_FIRST_US (2 * US_PER_S)
#define HOLD_MOST_US (600 * US_PER_S)
/* Of a hold, so that a gap in it is seen. */
#define PROBES_OF_A_HOLD 8
/* A connection that lived for so long was one. */
#define LIVED_US (10 * US_PER_S)
#define STAYED_US (60 * US_PER_S)
/* A spare one, opened in doubt, is kept for so long. */
#define SPARE_KEPT_US (30 * US_PER_S)

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static bool past(struct mono at, struct mono now) { return !mono_before(now, at); }

/* splitmix64: drawn between the half of us and the whole. */
static int64_t spread(struct dial *d, int64_t us)
{
	uint64_t x = d->random += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	x ^= x >> 31;
	return us / 2 + (int64_t)(x % (uint64_t)(us / 2 + 1));
}

/* ---- bearers ------------------------------------------------------------------------------------------------------ */

static struct dial_bearer unknown(int cost, struct mono now)
{
	return (struct dial_bearer){.cost = cost, .why = WHY_UNTRIED, .since = now, .slow_us = SLOW_FIRST_US, .hold_us = HOLD_FIRST_US,
	                            .pause_us = PROBE_FIRST_US, .next_at = now, .refused_us = REFUSED_FIRST_US, .refused_until = now,
	                            .answered = MONO_NEVER};
}

static bool down(const struct dial_bearer *b)
{
	return b->why != WHY_UP && b->why != WHY_UNTRIED;
}

static void mark(struct dial_bearer *b, enum dial_why why, struct mono now)
{
	bool was = down(b);

	if (b->why == why)
		return;
	b->why = why;
	b->told = false;
	if (!was || !down(b)) /* down for another reason: down since then all the same */
		b->since = now;
}

/* Is bearer a to be tried before b? */
static bool before(const struct dial *d, size_t a, size_t b)
{
	if (down(&d->bearer[a]) != down(&d->bearer[b]))
		return down(&d->bearer[b]);
	return d->bearer[a].cost < d->bearer[b].cost;
}

static bool better(const struct dial *d, size_t a, size_t b)
{
	return d->bearer[a].cost < d->bearer[b].cost;
}

static int64_t patience(const struct dial *d, size_t bearer)
{
	int64_t shaken = d->bearer[bearer].shaken_us;

	return shaken ? PATIENCE_LEAST_US + shaken * 3 / 2 : d->patience_us;
}

/* It is left `lived` after it was taken: one that is left again and again has to prove itself for longer. */
static void left(struct dial_bearer *b, int64_t lived)
{
	b->hold_us = lived < most(STAYED_US, 4 * b->hold_us) ? least(4 * b->hold_us, HOLD_MOST_US) : HOLD_FIRST_US;
	if (lived >= LIVED_US)
		b->pause_us = PROBE_FIRST_US;
	b->answered = MONO_NEVER;
}

static void probe_later(struct dial *d, struct dial_bearer *b, struct mono now)
{
	b->answered = MONO_NEVER;
	b->next_at = mono_add(now, spread(d, b->pause_us));
	b->pause_us = least(2 * b->pause_us, PROBE_MOST_US);
}

/* ---- slots --------------------------------------------------------------------------------------------------------- */

static void slot_open(struct dial *d, enum dial_slot slot, size_t bearer, int64_t patience_us, struct mono now)
{
	d->slot[slot] = (struct dial_try){DIAL_OPENING, (uint8_t)bearer, ++d->serial, now, MONO_NEVER, patience_us};
}

static void slot_close(struct dial *d, enum dial_slot slot, struct mono now)
{
	d->slot[slot] = (struct dial_try){.state = DIAL_NONE, .since = now};
}

static bool slot_on(const struct dial *d, enum dial_slot slot, size_t bearer)
{
	return d->slot[slot].state != DIAL_NONE && d->slot[slot].bearer == bearer;
}

/* The bearer to try next in a round; -1 when all were. */
static int round_next(const struct dial *d, struct mono now)
{
	int next = -1;

	for (size_t i = 0; i < d->n; i++)
		if (!(d->tried & (1u << i)) && past(d->bearer[i].refused_until, now) && (next < 0 || before(d, i, (size_t)next)))
			next = (int)i;
	return next;
}

static int64_t pause_now(const struct dial *d)
{
	return d->need == NEED_NOTHING ? d->pause_us : least(d->pause_us, PAUSE_DUE_US);
}

static void main_pause(struct dial *d, struct mono now)
{
	slot_close(d, DIAL_MAIN, mono_add(now, spread(d, pause_now(d))));
	d->tried = 0;
}

static void main_next(struct dial *d, struct mono now)
{
	int next = round_next(d, now);

	if (next >= 0) {
		slot_open(d, DIAL_MAIN, (size_t)next, patience(d, (size_t)next), now);
		return;
	}
	d->rounds++;
	main_pause(d, now);
	d->pause_us = least(2 * d->pause_us, d->most_us);
}

static void main_is_open(struct dial *d, struct mono now)
{
	struct dial_try *t = &d->slot[DIAL_MAIN], *spare = &d->slot[DIAL_SPARE];
	struct dial_bearer *b = &d->bearer[t->bearer];

	mark(b, WHY_UP, now);
	b->answered = MONO_NEVER;
	t->since = now;
	/* what the spare one still tries is worth something only if it is better */
	if (spare->state != DIAL_NONE && !better(d, spare->bearer, t->bearer))
		slot_close(d, DIAL_SPARE, now);
}

static void promote(struct dial *d, struct mono now)
{
	d->slot[DIAL_MAIN] = d->slot[DIAL_SPARE];
	slot_close(d, DIAL_SPARE, now);
	if (d->slot[DIAL_MAIN].state == DIAL_OPEN)
		main_is_open(d, now);
}

/* ---- what happened --------------------------------------------------------------------------------------------------- */

/* TCP's is one round trip, CURVE's two. How long the first had to be tried says nothing: the line may have come back meanwhile. */
static void shaken(struct dial_bearer *b, const struct dial_try *t, struct mono now)
{
	int64_t fading = b->shaken_us - b->shaken_us / 4;
	int64_t us = t->reached.us == MONO_NEVER.us ? now.us - t->since.us : (now.us - t->reached.us) * 3 / 2;

	b->shaken_us = most(us, most(fading, 1));
	b->slow_us = SLOW_FIRST_US;
	b->refused_us = REFUSED_FIRST_US;
}

/* A better bearer answered a probe: is it taken? */
static void probe_answered(struct dial *d, struct dial_bearer *b, struct mono now)
{
	if (b->answered.us == MONO_NEVER.us)
		b->answered = now;
	b->pause_us = PROBE_FIRST_US;
	if (d->need == NEED_DOUBT || past(mono_add(b->answered, b->hold_us), now)) {
		promote(d, now);
		return;
	}
	b->next_at = mono_add(now, most(b->hold_us / PROBES_OF_A_HOLD, PROBE_FIRST_US));
	slot_close(d, DIAL_SPARE, now);
}

void dial_reached(struct dial *d, enum dial_slot slot, struct mono now)
{
	assert(d->slot[slot].state == DIAL_OPENING);
	d->slot[slot].reached = now;
}

void dial_opened(struct dial *d, enum dial_slot slot, struct mono now)
{
	struct dial_try *t = &d->slot[slot];

	assert(t->state == DIAL_OPENING);
	shaken(&d->bearer[t->bearer], t, now);
	t->state = DIAL_OPEN;
	t->since = now;
	if (slot == DIAL_MAIN)
		main_is_open(d, now);
	else if (d->slot[DIAL_MAIN].state != DIAL_OPEN)
		promote(d, now);
	else if (better(d, t->bearer, d->slot[DIAL_MAIN].bearer))
		probe_answered(d, &d->bearer[t->bearer], now);
	else
		mark(&d->bearer[t->bearer], WHY_UP, now);
}

static void refused(struct dial *d, struct dial_bearer *b, struct mono now)
{
	b->refused_until = mono_add(now, spread(d, b->refused_us));
	b->refused_us = least(2 * b->refused_us, REFUSED_MOST_US);
}

static void spare_failed(struct dial *d, enum dial_why why, struct mono now)
{
	struct dial_bearer *b = &d->bearer[d->slot[DIAL_SPARE].bearer];

	slot_close(d, DIAL_SPARE, now);
	if (why == WHY_REFUSED)
		refused(d, b, now);
	mark(b, why, now);
	b->slow_us = least(2 * b->slow_us, SLOW_MOST_US);
	probe_later(d, b, now);
}

/* A connection that lived for a while ended, or was silent: a round begins, without what was learnt in vain before. */
static void main_ended(struct dial *d, struct dial_bearer *b, int64_t lived, struct mono now)
{
	left(b, lived);
	if (lived < LIVED_US)
		return;
	d->pause_us = d->first_us;
	d->tried = 0;
	d->rounds = 0;
	b->next_at = now;
}

static void main_failed(struct dial *d, enum dial_why why, struct mono now)
{
	struct dial_try t = d->slot[DIAL_MAIN], *spare = &d->slot[DIAL_SPARE];
	struct dial_bearer *b = &d->bearer[t.bearer];
	int64_t lived = t.state == DIAL_OPEN ? now.us - t.since.us : 0;

	if (t.state == DIAL_OPEN)
		main_ended(d, b, lived, now);
	d->tried |= 1u << t.bearer;
	if (why == WHY_REFUSED)
		refused(d, b, now);
	/* What lived and was lost is dialled first, a moment later: as often as not the other end began anew. */
	if (why != WHY_LOST || lived < LIVED_US) {
		mark(b, why, now);
		if (t.state == DIAL_OPEN)
			probe_later(d, b, now);
	}
	if (spare->state == DIAL_OPEN || (spare->state == DIAL_OPENING && !down(&d->bearer[spare->bearer])))
		promote(d, now);
	else if (why == WHY_LOST && lived >= LIVED_US)
		main_pause(d, now);
	else
		main_next(d, now);
}

void dial_failed(struct dial *d, enum dial_slot slot, enum dial_why why, struct mono now)
{
	assert(d->slot[slot].state != DIAL_NONE);
	if (slot == DIAL_MAIN)
		main_failed(d, why, now);
	else
		spare_failed(d, why, now);
}

void dial_silent(struct dial *d, struct mono now)
{
	if (d->slot[DIAL_MAIN].state == DIAL_OPEN)
		main_failed(d, WHY_SILENT, now);
}

void dial_need(struct dial *d, enum dial_need need, struct mono now)
{
	struct dial_try *t = &d->slot[DIAL_MAIN];
	struct mono soon;

	if (d->need == need)
		return;
	d->need = need;
	if (need == NEED_NOTHING || t->state != DIAL_NONE)
		return;
	soon = mono_add(now, spread(d, pause_now(d)));
	t->since = mono_min(t->since, soon);
}

void dial_address(struct dial *d, size_t bearer, struct mono now)
{
	struct dial_bearer *b = &d->bearer[bearer];
	struct dial_try *t = &d->slot[DIAL_MAIN];

	b->next_at = b->refused_until = now;
	b->pause_us = PROBE_FIRST_US;
	b->slow_us = SLOW_FIRST_US;
	b->shaken_us = 0;
	mark(b, WHY_UNTRIED, now);
	d->tried &= ~(1u << bearer);
	if (t->state == DIAL_NONE)
		t->since = now;
}

void dial_retry(struct dial *d, struct mono now)
{
	struct dial_try *t = &d->slot[DIAL_MAIN];

	for (size_t i = 0; i < d->n; i++) {
		d->bearer[i].next_at = d->bearer[i].refused_until = now;
		d->bearer[i].hold_us = HOLD_FIRST_US;
		d->bearer[i].pause_us = PROBE_FIRST_US;
		d->bearer[i].slow_us = SLOW_FIRST_US;
	}
	d->pause_us = d->first_us;
	d->tried = 0;
	d->rounds = 0;
	if (d->slot[DIAL_SPARE].state == DIAL_OPENING)
		slot_close(d, DIAL_SPARE, now);
	if (t->state != DIAL_OPEN)
		slot_close(d, DIAL_MAIN, now);
}

/* ---- time ------------------------------------------------------------------------------------------------------------- */

/* When the spare slot may try a bearer. */
static struct mono worth_at(const struct dial_bearer *b)
{
	return mono_before(b->next_at, b->refused_until) ? b->refused_until : b->next_at;
}

/* Of all for which it is right, the one that is due first; of those due now, the one that goes before the others. */
static int spare_next(const struct dial *d, struct mono now, struct mono *at)
{
	const struct dial_try *main = &d->slot[DIAL_MAIN];
	bool open = main->state == DIAL_OPEN, doubt = open && d->need == NEED_DOUBT;
	int next = -1;

	*at = MONO_NEVER;
	for (size_t k = 0; k < d->n; k++) {
		size_t i = open ? k : (d->slow_next + k) % d->n; /* in vain: one after another */
		const struct dial_bearer *b = &d->bearer[i];
		struct mono when = doubt && !down(b) ? b->refused_until : worth_at(b);

		if (open ? i == main->bearer || (!doubt && !better(d, i, main->bearer)) : !d->rounds || b->why == WHY_NO_ADDRESS)
			continue;
		if (next < 0 || (past(when, now) && past(*at, now) ? doubt && before(d, i, (size_t)next) : mono_before(when, *at))) {
			next = (int)i;
			*at = when;
		}
	}
	return next;
}

static void spare_look(struct dial *d, struct mono now)
{
	bool open = d->slot[DIAL_MAIN].state == DIAL_OPEN;
	struct mono at;
	int next = spare_next(d, now, &at);

	if (next < 0 || !past(at, now))
		return;
	slot_open(d, DIAL_SPARE, (size_t)next, most(patience(d, (size_t)next), open ? SLOW_FIRST_US : d->bearer[next].slow_us), now);
	if (!open)
		d->slow_next = (size_t)next + 1;
}

/* A doubt does not wait for a probe of what is down, when something else is not. */
static void doubt_first(struct dial *d, struct mono now)
{
	const struct dial_try *spare = &d->slot[DIAL_SPARE];
	struct mono at;
	int next;

	if (d->need != NEED_DOUBT || d->slot[DIAL_MAIN].state != DIAL_OPEN || spare->state != DIAL_OPENING || !down(&d->bearer[spare->bearer]))
		return;
	next = spare_next(d, now, &at);
	if (next >= 0 && past(at, now) && !down(&d->bearer[next]))
		slot_close(d, DIAL_SPARE, now);
}

static struct mono slot_due(const struct dial_try *t)
{
	if (t->state == DIAL_OPENING)
		return mono_add(t->since, t->patience_us);
	return MONO_NEVER;
}

static struct mono spare_due(const struct dial *d)
{
	const struct dial_try *spare = &d->slot[DIAL_SPARE];
	struct mono at;

	if (spare->state == DIAL_OPENING)
		return slot_due(spare);
	if (spare->state == DIAL_OPEN)
		return d->need == NEED_DOUBT ? MONO_NEVER : mono_add(spare->since, SPARE_KEPT_US);
	spare_next(d, (struct mono){INT64_MIN / 2}, &at);
	return at;
}

static struct mono main_due(const struct dial *d)
{
	const struct dial_try *t = &d->slot[DIAL_MAIN];

	return t->state == DIAL_NONE ? t->since : slot_due(t);
}

struct mono dial_due(const struct dial *d)
{
	return d->n ? mono_min(main_due(d), spare_due(d)) : MONO_NEVER;
}

void dial_tick(struct dial *d, struct mono now)
{
	struct dial_try *main = &d->slot[DIAL_MAIN], *spare = &d->slot[DIAL_SPARE];

	if (!d->n)
		return;
	if (main->state == DIAL_OPENING && past(slot_due(main), now))
		main_failed(d, WHY_NO_ANSWER, now);
	else if (main->state == DIAL_NONE && past(main->since, now))
		main_next(d, now);
	if (spare->state == DIAL_OPENING && past(slot_due(spare), now))
		spare_failed(d, WHY_NO_ANSWER, now);
	else if (spare->state == DIAL_OPEN && past(spare_due(d), now))
		slot_close(d, DIAL_SPARE, now);
	doubt_first(d, now);
	if (spare->state == DIAL_NONE)
		spare_look(d, now);
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

void dial_pauses(struct dial *d, int64_t first_us, int64_t most_us)
{
	d->first_us = d->pause_us = first_us;
	d->most_us = most_us;
}

void dial_init(struct dial *d, const int *costs, size_t n, int64_t patience_us, uint64_t seed, struct mono now)
{
	assert(n <= LIMIT_BEARERS);
	memset(d, 0, sizeof *d);
	d->n = n;
	d->random = seed;
	dial_pauses(d, PAUSE_FIRST_US, PAUSE_MOST_US);
	d->patience_us = patience_us ? patience_us : PATIENCE_UNKNOWN_US;
	for (size_t i = 0; i < n; i++)
		d->bearer[i] = unknown(costs[i], now);
	for (int s = 0; s < DIAL_SLOTS; s++)
		slot_close(d, s, now);
}

void dial_change(struct dial *d, const int *costs, const int *was, size_t n, struct mono now)
{
	struct dial old = *d;
	bool lives[DIAL_SLOTS] = {false};

	dial_init(d, costs, n, old.patience_us, old.random, now);
	dial_pauses(d, old.first_us, old.most_us);
	d->serial = old.serial;
	d->need = old.need;
	for (size_t i = 0; i < n; i++) {
		if (was[i] < 0)
			continue;
		d->bearer[i] = old.bearer[was[i]];
		d->bearer[i].cost = costs[i];
		d->bearer[i].told = false;
		for (int s = 0; s < DIAL_SLOTS; s++)
			if (slot_on(&old, s, (size_t)was[i])) {
				d->slot[s] = old.slot[s];
				d->slot[s].bearer = (uint8_t)i;
				lives[s] = true;
			}
	}
	if (!lives[DIAL_MAIN] && d->slot[DIAL_SPARE].state == DIAL_OPEN)
		promote(d, now);
}

bool dial_news(struct dial *d, size_t *bearer)
{
	for (size_t i = 0; i < d->n; i++)
		if (!d->bearer[i].told) {
			d->bearer[i].told = true;
			*bearer = i;
			return true;
		}
	return false;
}

const char *dial_why_name(unsigned why)
{
	static const char *const names[WHY_COUNT] = {"up", "not tried yet", "no answer", "refused", "lost", "silent", "no address"};

	return why < WHY_COUNT ? names[why] : "?";
}
