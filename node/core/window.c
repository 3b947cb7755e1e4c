#include "node/core/window.h"

#include <stdio.h>
#include <string.h>

#include "node/core/core_int.h"

/* What may be queued below the node beyond what travels; what growth adds to it at most in a round trip; and what urgent entries
 * may add. Together less than a second. */
#define QUEUE_US (200 * US_PER_MS)
#define GROW_US (600 * US_PER_MS)
#define URGENT_US (100 * US_PER_MS)
/* The rate was overrated when a full window queued so long. */
#define LATE_US (600 * US_PER_MS)
#define PIECE_US (100 * US_PER_MS)
/* A way is long when its round trip is; what may leave at once there; a span of its train at least, and by its round trip. */
#define LONG_US (600 * US_PER_MS)
#define PACED_US (400 * US_PER_MS)
#define PACED_LEAST (FRAME_LEAST + FRAME_LEAST / 2)
/* What left so long ago keeps nothing from leaving, however slow the bearer is taken to be since. */
#define PACED_PAST_US (5 * US_PER_S)
#define TRAIN_US (100 * US_PER_MS)
#define TRAIN_PART 16
/* An urgent body goes with its entry when it is worth no more than this, and always when it is of 1 KiB, which is padded to the next bucket
 * and sealed. In bulk what has 1 KiB when it is sealed always does. */
#define WHOLE_URGENT_US (500 * US_PER_MS)
#define WHOLE_URGENT_LEAST (FRAME_LEAST + FRAME_LEAST / 4 + SYM_OVERHEAD_BYTES)
#define WHOLE_LEAST (FRAME_LEAST + 128)
/* A small frame alone on its way tells the rate by itself when it took so much longer than the shortest round trip. */
#define ALONE_US (50 * US_PER_MS)
#define ALONE_BYTES 512
/* So small a part of the shortest round trip is no queue, and no measure. */
#define EMPTY_PART 8
/* How long a best rate, and a shortest round trip, hold. */
#define SPAN_US (2 * US_PER_S)
#define BASE_SPAN_US (10 * US_PER_S)
/* Nothing slower than this is reckoned with, */
#define SLOWEST_BPS 2400
/* and nothing faster. */
#define FASTEST_BPS (1000LL * 1000 * 1000 * 1000)
#define PACE_UNKNOWN_BPS 9600
#define TIME_MAX_US (120 * US_PER_S)
/* Connections in a row to a peer that acknowledged nothing on them. */
#define SILENT_ALARM 3

static bool shared(const struct peer *p)
{
	return strcmp(p->lane[LANE_URGENT].bearer, p->lane[LANE_BULK].bearer) == 0;
}

static uint8_t pace_index(const struct peer *p, uint8_t lane)
{
	return lane == LANE_BULK && shared(p) ? LANE_URGENT : lane;
}

static struct pace *pace_of(struct peer *p, uint8_t lane)
{
	return &p->pace[pace_index(p, lane)];
}

static const struct pace *pace_seen(const struct peer *p, uint8_t lane)
{
	return &p->pace[pace_index(p, lane)];
}

static int64_t flight_of(const struct peer *p, uint8_t lane)
{
	return shared(p) ? p->lane[LANE_URGENT].flying + p->lane[LANE_BULK].flying : p->lane[lane].flying;
}

static int64_t worth(int64_t rate_bps, int64_t us)
{
	return rate_bps / 8 * us / US_PER_S;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t cap_of(const struct core *c, uint8_t lane)
{
	return lane == LANE_URGENT ? c->config.window_urgent_bytes : c->config.window_bulk_bytes;
}

static bool is_long(const struct pace *w)
{
	return w->base_us > LONG_US && w->rate_bps > 0;
}

/* The bucket fills faster than the bearer is known to carry, by more than the window grows: it never keeps the rate from being found. */
static int64_t fill_bps(const struct pace *w)
{
	return w->rate_bps + w->rate_bps / 2;
}

static int64_t bucket_most(const struct pace *w)
{
	return most(worth(w->rate_bps, PACED_US), PACED_LEAST);
}

static int64_t bucket_now(const struct core *c, const struct pace *w)
{
	int64_t us = c->now.us - w->bucket_at.us;

	return us >= PACED_PAST_US ? bucket_most(w) : least(w->bucket + worth(fill_bps(w), us), bucket_most(w));
}

/* What is missing in it before something may leave on the lane. */
static int64_t bucket_lacks(const struct core *c, const struct pace *w, uint8_t lane)
{
	return is_long(w) ? FRAME_LEAST - bucket_now(c, w) - (lane == LANE_URGENT ? worth(w->rate_bps, URGENT_US) : 0) : 0;
}

/* Something urgent is held back by nothing but room. */
static bool urgent_waits(const struct peer *p)
{
	const struct lane_state *l = &p->lane[LANE_URGENT];

	return l->up && shared(p) && (l->behind[PREC_FLASH] || l->behind[PREC_IMMEDIATE]);
}

int64_t window_room(const struct core *c, const struct peer *p, uint8_t lane)
{
	const struct lane_state *l = &p->lane[lane];
	const struct pace *w = pace_seen(p, lane);
	int64_t flight = flight_of(p, lane), room = most(w->window, FRAME_LEAST) - flight;

	if (lane == LANE_BULK && urgent_waits(p))
		return 0;
	if (lane == LANE_URGENT)
		room += worth(w->rate_bps, URGENT_US);
	if (bucket_lacks(c, w, lane) > 0)
		room = least(room, 0);
	/* However full of bulk the bearer is. */
	if (lane == LANE_URGENT && !l->flying)
		room = most(room, FRAME_LEAST);
	return least(room, cap_of(c, lane) - l->flying);
}

int64_t window_room_slices(const struct core *c, const struct peer *p, uint8_t lane)
{
	int64_t room = window_room(c, p, lane);

	return lane == LANE_URGENT && p->lane[lane].flying ? room - worth(pace_seen(p, lane)->rate_bps, URGENT_US) : room;
}

struct mono window_paced(const struct core *c, const struct peer *p, uint8_t lane)
{
	const struct pace *w = pace_seen(p, lane);
	int64_t lacks = bucket_lacks(c, w, lane), urgent = lane == LANE_URGENT ? worth(w->rate_bps, URGENT_US) : 0;

	if (lacks <= 0 || flight_of(p, lane) >= w->window + urgent)
		return MONO_NEVER;
	return mono_min(mono_add(c->now, lacks * 8 * US_PER_S / fill_bps(w) + 1), mono_add(w->bucket_at, PACED_PAST_US));
}

bool window_idle(const struct peer *p, uint8_t lane)
{
	return lane == LANE_URGENT ? !p->lane[lane].flying : !flight_of(p, lane);
}

int64_t window_bytes(const struct peer *p)
{
	return p->pace[LANE_URGENT].window;
}

size_t window_piece(const struct peer *p, uint8_t lane)
{
	int64_t bytes = worth(pace_seen(p, lane)->rate_bps, PIECE_US);

	return (size_t)least(most(bytes, FRAME_LEAST), LIMIT_SEGMENT_BYTES);
}

size_t window_whole(const struct peer *p, uint8_t lane)
{
	int64_t bytes = lane == LANE_URGENT ? most(worth(pace_seen(p, lane)->rate_bps, WHOLE_URGENT_US), WHOLE_URGENT_LEAST)
					    : most((int64_t)window_piece(p, lane), WHOLE_LEAST);

	return (size_t)least(bytes, LIMIT_SEGMENT_BYTES);
}

struct in_air window_sent(struct core *c, struct peer *p, uint8_t lane, size_t bytes)
{
	struct lane_state *l = &p->lane[lane];
	struct pace *w = pace_of(p, lane);

	if (!flight_of(p, lane))
		w->acked_at = c->now;
	w->bucket = bucket_now(c, w) - (int64_t)bytes;
	w->bucket_at = c->now;
	l->flying += (int64_t)bytes;
	int64_t flight = flight_of(p, lane), reach = least(w->window, cap_of(c, lane));

	return (struct in_air){.at = c->now, .bytes = (uint32_t)bytes, .flight = (uint32_t)flight, .rewound = l->rewound, .full = flight + (int64_t)bytes > reach,
			     .acked = w->acked, .acked_at = w->acked_at};
}

void window_acked(struct core *c, struct peer *p, uint8_t lane, const struct in_air *s)
{
	struct lane_state *l = &p->lane[lane];
	struct pace *w = pace_of(p, lane);

	if (s->rewound != l->rewound)
		return;
	l->flying -= s->bytes;
	w->acked += s->bytes;
	w->acked_at = c->now;
	if (!w->newly || mono_before(w->newest.at, s->at))
		w->newest = *s;
	else
		w->newest.full |= s->full;
	w->newly += s->bytes;
}

void window_rewind(struct peer *p, uint8_t lane)
{
	p->lane[lane].flying = 0;
	p->lane[lane].rewound++;
}

/* ---- measuring -------------------------------------------------------------------------------------------------------- */

/* The shortest round trip of late, of something small that went alone. Of anything else it can only show that it is shorter. */
static void base_heard(struct core *c, struct pace *w, int64_t us, bool alone)
{
	us = most(us, 1);
	if (alone) {
		if (c->now.us - w->base_from.us > BASE_SPAN_US) {
			w->least_us[1] = w->least_us[0];
			w->least_us[0] = 0;
			w->base_from = c->now;
		}
		w->least_us[0] = w->least_us[0] ? least(w->least_us[0], us) : us;
		w->base_us = w->least_us[1] ? least(w->least_us[0], w->least_us[1]) : w->least_us[0];
	} else if (!w->base_us || us < w->base_us) {
		w->base_us = w->least_us[0] = us;
	}
}

static int64_t pace_bps(const struct core *c, const struct pace *w)
{
	int64_t us = most(c->now.us - w->newest.acked_at.us, 100);

	return (w->acked - w->newest.acked) * 8 * US_PER_S / us;
}

/* Acknowledgements of this batch, as they follow each other. */
static void train_heard(const struct core *c, struct pace *w)
{
	int64_t us = c->now.us - w->train_from.us;

	w->train_bytes += w->newly;
	if (us < most(TRAIN_US, w->base_us / TRAIN_PART))
		return;
	w->train_bps = w->train_bytes * 8 * US_PER_S / us;
	w->train_from = c->now;
	w->train_bytes = 0;
}

/* How long it was on its way beyond the shortest round trip. */
static int64_t beyond(const struct core *c, const struct pace *w)
{
	return most(c->now.us - w->newest.at.us - w->base_us, 0);
}

/* The rate that one frame shows which nothing stood before. */
static int64_t alone_bps(const struct core *c, const struct pace *w)
{
	int64_t us = beyond(c, w);

	if (!w->base_us || w->newest.flight >= 2 * w->newest.bytes || w->newest.bytes < ALONE_BYTES || us < ALONE_US || us < w->base_us / EMPTY_PART)
		return 0;
	return (int64_t)w->newest.bytes * 8 * US_PER_S / us;
}

static void rate_heard(struct core *c, struct pace *w, int64_t bps)
{
	const struct in_air *s = &w->newest;

	/* What was not held back by the window shows only what was there to send. */
	if (!s->full && bps <= w->rate_bps)
		return;
	bps = least(bps, FASTEST_BPS);
	w->filled |= s->full;
	if (c->now.us - w->span_from.us > most(SPAN_US, 4 * (c->now.us - s->at.us))) {
		w->best_bps[1] = w->best_bps[0];
		w->best_bps[0] = 0;
		w->span_from = c->now;
	}
	w->best_bps[0] = most(w->best_bps[0], bps);
	if (s->full && beyond(c, w) - (int64_t)s->bytes * 8 * US_PER_S / most(bps, 1) > LATE_US)
		w->best_bps[0] = w->best_bps[1] = bps;
	w->rate_bps = most(most(w->best_bps[0], w->best_bps[1]), SLOWEST_BPS);
}

/* Acknowledgements that follow each other so much faster than they come in a round trip say that the way was empty in between: what they
 * are later than the shortest round trip is then their own length, and no queue. */
static bool has_gaps(const struct core *c, const struct pace *w)
{
	return is_long(w) && w->train_bps > pace_bps(c, w) * 3 / 2;
}

static void window_set(struct core *c, struct pace *w)
{
	int64_t set = worth(w->rate_bps, w->base_us + QUEUE_US), grown = w->newly / 2;

	/* On a long way half of the window more would be too much at once. */
	if (w->base_us > 2 * GROW_US)
		grown = w->newly * GROW_US / w->base_us;
	if (w->newest.full && beyond(c, w) < most(QUEUE_US / 2, w->base_us / EMPTY_PART))
		set = most(set, w->window + grown);
	else if (has_gaps(c, w))
		set = most(set, least(w->window + grown, worth(w->train_bps, w->base_us + QUEUE_US)));
	else if (is_long(w) && !w->newest.full)
		set = most(set, w->window); /* the first of a round trip says nothing against what the last of the one before found */
	w->window = most(least(set, c->config.window_bulk_bytes + c->config.window_urgent_bytes), FRAME_LEAST);
}

void window_measure(struct core *c, struct peer *p)
{
	for (uint8_t i = 0; i < LANE_COUNT; i++) {
		struct pace *w = &p->pace[i];

		if (!w->newly)
			continue;
		base_heard(c, w, c->now.us - w->newest.at.us, false);
		rate_heard(c, w, most(pace_bps(c, w), alone_bps(c, w)));
		train_heard(c, w);
		if (w->rate_bps)
			window_set(c, w);
		w->newly = 0;
	}
}

void window_round_trip(struct core *c, struct peer *p, uint8_t lane, int64_t us)
{
	base_heard(c, pace_of(p, lane), us, !flight_of(p, lane));
}

/* ---- a bearer begins, and fails ------------------------------------------------------------------------------------------ */

/* What the roster says of a site's bearer of that name; 0: nothing. */
static int64_t hint_of(const struct site *s, const char *bearer)
{
	for (size_t i = 0; s && i < s->n_bearers; i++)
		if (strcmp(s->bearers[i].name, bearer) == 0)
			return s->bearers[i].rate_bps;
	return 0;
}

static void pace_begin(struct core *c, const struct peer *p, struct pace *w, const char *bearer)
{
	int64_t theirs = hint_of(roster_site(c->roster, p->site), bearer), ours = hint_of(c->me, bearer);
	int64_t rate = theirs && ours ? least(theirs, ours) : most(theirs, ours);

	*w = (struct pace){.rate_bps = rate, .best_bps = {rate}, .span_from = c->now, .base_from = c->now, .acked = w->acked, .acked_at = c->now};
	w->window = most(worth(rate, QUEUE_US), FRAME_LEAST);
}

void window_dialled(struct core *c, struct peer *p, uint8_t lane, const char *bearer)
{
	struct lane_state *l = &p->lane[lane], *other = &p->lane[lane == LANE_URGENT ? LANE_BULK : LANE_URGENT];
	bool same = strcmp(l->bearer, bearer) == 0, used = other->dialled && strcmp(other->bearer, bearer) == 0;
	struct pace had = *pace_of(p, used ? (uint8_t)(other - p->lane) : lane);

	/* What the bulk lane measured apart goes on apart when the urgent lane leaves its bearer. */
	if (lane == LANE_URGENT && !same && shared(p))
		p->pace[LANE_BULK] = p->pace[LANE_URGENT];
	snprintf(l->bearer, sizeof l->bearer, "%s", bearer);
	struct pace *w = pace_of(p, lane);

	if (used) {
		*w = had;
	} else if (same && had.rate_bps) {
		/* It may not be what it was. */
		*w = had;
		w->rate_bps = w->best_bps[0] = most(w->rate_bps / 2, SLOWEST_BPS);
		w->best_bps[1] = 0;
		w->window = most(least(worth(w->rate_bps, w->base_us + QUEUE_US), w->window), FRAME_LEAST);
		w->bucket = bucket_most(w); /* what left on the connection before is not in the way any more */
		w->bucket_at = c->now;
	} else {
		pace_begin(c, p, w, bearer);
	}
}

void window_lost(struct core *c, struct peer *p, uint8_t lane)
{
	struct pace *w = pace_of(p, lane);

	w->rate_bps = w->best_bps[0] = w->rate_bps ? most(w->rate_bps / 2, SLOWEST_BPS) : 0;
	w->best_bps[1] = 0;
	w->span_from = c->now;
	w->window = FRAME_LEAST;
}

/* ---- a peer that takes nothing ----------------------------------------------------------------------------------------------- */

void window_given_up(struct core *c, struct peer *p, uint8_t lane)
{
	struct lane_state *l = &p->lane[lane];
	char name[LIMIT_NAME_BYTES + 1];

	p->given_up++;
	l->silent++;
	if (l->silent >= SILENT_ALARM)
		alarm_raise(c, "silent", site_name(c, p->site, name), "ask that site whether its node still runs and what its disk does",
			    "%s is connected and acknowledges nothing on the %s lane; what is due to it is kept", name, lane_name(lane));
}

void window_answers(struct core *c, struct peer *p, uint8_t lane)
{
	char name[LIMIT_NAME_BYTES + 1];
	bool was = p->lane[LANE_URGENT].silent >= SILENT_ALARM || p->lane[LANE_BULK].silent >= SILENT_ALARM;

	p->lane[lane].silent = 0;
	if (was && p->lane[LANE_URGENT].silent < SILENT_ALARM && p->lane[LANE_BULK].silent < SILENT_ALARM)
		alarm_clear(c, "silent", site_name(c, p->site, name));
}

int64_t window_time_us(const struct peer *p, uint8_t lane)
{
	int64_t rate = pace_seen(p, lane)->rate_bps;

	return least(flight_of(p, lane) * 16 * US_PER_S / (rate ? rate : PACE_UNKNOWN_BPS), TIME_MAX_US);
}
