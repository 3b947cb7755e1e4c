/* room.c - what is still admitted to a journal that fills up, and flows that are held back because a peer's is full. */
#include "node/core/room.h"

#include "node/core/core_int.h"

/* Used share of the room, in percent, from which on it is refused. Behind the last one only reports, grants and state go on. */
static const int LIMIT[PREC_COUNT + 1] = {97, 94, 90, 85, 78};
/* Below this share everybody has had room enough, and counting begins anew. */
#define SHARED_FROM 80
/* Of the last part before a limit one originator may take a quarter. */
#define SHARE 4
/* When a desk is to try again: a quarter of the time that it lasts already. */
#define RETRY_LEAST_US (5 * US_PER_S)
#define RETRY_MOST_US (300 * US_PER_S)
/* How long a peer is to hold a stream back at first, and what it makes of that at most. */
#define HOLD_ROOM_MS 10000
#define HOLD_UNPROVED_MS 2000
#define HOLD_MOST_US (60 * US_PER_S)

/* ---- room ---------------------------------------------------------------------------------------------------------- */

/* The room is the quota, or what the file has and its disk still gives, whichever is less. */
static int64_t room_bytes(const struct store_space *s)
{
	int64_t has = s->file_bytes > s->used_bytes ? s->file_bytes : s->used_bytes;
	int64_t room = s->disk_free_bytes > INT64_MAX - has ? INT64_MAX : has + s->disk_free_bytes;

	return s->quota_bytes > 0 && s->quota_bytes < room ? s->quota_bytes : room;
}

int space_percent(struct core *c)
{
	struct store_space s;

	store_space(c->store, &s);
	return (int)(s.used_bytes / (room_bytes(&s) / 100 + 1));
}

bool space_admits(struct core *c, uint8_t precedence)
{
	return space_percent(c) < LIMIT[precedence <= ROOM_TRANSIT ? precedence : ROOM_TRANSIT];
}

/* Where the part begins that is shared out. */
static int shared_from(uint8_t precedence)
{
	return precedence + 1 < PREC_COUNT ? LIMIT[precedence + 1] : SHARED_FROM;
}

static bool has_share(struct core *c, uint8_t precedence, uint16_t originator)
{
	struct store_space s;

	store_space(c->store, &s);
	int64_t part = room_bytes(&s) / 100 * (LIMIT[precedence] - shared_from(precedence));

	return originator >= c->room.n_share || (int64_t)c->room.share[originator].bytes[precedence] < part / SHARE;
}

bool room_admits(struct core *c, uint8_t precedence, uint16_t originator, bool given)
{
	uint8_t as = given && precedence ? (uint8_t)(precedence - 1) : precedence;
	int percent = space_percent(c);

	return percent < LIMIT[as] && (percent < shared_from(as) || has_share(c, as, originator));
}

void room_took(struct core *c, uint8_t precedence, uint16_t originator, uint64_t bytes)
{
	struct room *r = &c->room;
	int percent = space_percent(c);

	if (percent < SHARED_FROM) {
		if (r->n_share)
			memset(r->share, 0, r->n_share * sizeof *r->share);
		return;
	}
	if (originator >= r->n_share) {
		size_t n = (size_t)originator + 1;
		struct room_share *more = realloc(r->share, n * sizeof *more);

		if (!more)
			return; /* it has no limit of its own then */
		memset(more + r->n_share, 0, (n - r->n_share) * sizeof *more);
		r->share = more;
		r->n_share = n;
	}
	/* It counts in the part that the journal is in, and in those of less urgent traffic, where it would be refused now anyhow. */
	for (uint8_t p = 0; p < PREC_COUNT; p++)
		if (percent >= shared_from(p) && (p <= precedence || percent < LIMIT[p]))
			r->share[originator].bytes[p] += bytes;
}

const char *room_refuses(struct core *c)
{
	static const char *const text[PREC_COUNT] = {"everything", "immediate and below", "priority and below", "routine"};

	for (uint8_t p = 0; p < PREC_COUNT; p++)
		if (!space_admits(c, p))
			return text[p];
	return "";
}

struct wall room_until(struct core *c)
{
	if (c->room.full_since.us == MONO_NEVER.us)
		c->room.full_since = c->now;
	int64_t us = (c->now.us - c->room.full_since.us) / 4;

	us = us < RETRY_LEAST_US ? RETRY_LEAST_US : us > RETRY_MOST_US ? RETRY_MOST_US : us;
	return (struct wall){c->wall.us + us};
}

/* ---- flows held back -------------------------------------------------------------------------------------------------- */

bool flow_is_held(const struct core *c, const struct flow *f)
{
	return f->retry_us && mono_before(c->now, f->retry_at);
}

void room_hold(struct core *c, struct flow *f, int64_t us)
{
	f->retry_us = us;
	f->retry_at = mono_add(c->now, us);
	c->room.holds_at = mono_min(c->room.holds_at, f->retry_at);
	c->look_at = mono_min(c->look_at, f->retry_at);
	flow_update(c, f);
}

void room_tried(struct core *c, struct flow *f)
{
	if (!f->retry_us)
		return;
	f->tried = true;
	room_hold(c, f, f->retry_us);
}

struct mono room_look(struct core *c)
{
	struct mono next = MONO_NEVER;

	if (c->room.full_since.us != MONO_NEVER.us && space_admits(c, PREC_ROUTINE))
		c->room.full_since = MONO_NEVER;
	if (mono_before(c->now, c->room.holds_at))
		return c->room.holds_at;
	for (size_t i = 0; i < c->n_streams; i++)
		for (size_t k = 0; k < c->streams[i]->n_flows; k++) {
			struct flow *f = &c->streams[i]->flows[k];

			if (flow_is_held(c, f))
				next = mono_min(next, f->retry_at);
			else if (f->retry_us && !f->behind)
				flow_update(c, f);
		}
	return c->room.holds_at = next;
}

void room_refused(struct core *c, struct peer *p, uint8_t lane, const struct segment *seg, uint64_t held)
{
	struct busy_frame say = {.stream = seg->name, .held = held, .why = c->room.refused_why};

	say.wait_ms = say.why == BUSY_ROOM ? HOLD_ROOM_MS : HOLD_UNPROVED_MS;
	c->room.held_back++;
	frame_busy(effect_begin(c->out), &say);
	effect_end_frame(c->out, p->site, lane, SIDE_ACCEPTED);
}

/* What is in the air of that flow has arrived, and will not be acknowledged. */
static void not_in_the_air(struct peer *p, const struct flow *f)
{
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
		struct lane_state *l = &p->lane[lane];

		for (size_t i = 0; i < l->ring_n; i++) {
			struct in_flight *x = &l->ring[(l->ring_at + i) % LANE_RING];

			if (x->flow == f && x->upto > f->acked)
				x->upto = f->acked;
		}
	}
}

void room_heard(struct core *c, struct peer *p, const struct busy_frame *b)
{
	struct stream *s = stream_by_name(c, &b->stream);
	struct flow *f = s ? flow_of(s, p) : NULL;
	int64_t us = (int64_t)b->wait_ms * US_PER_MS;

	/* One that was overtaken says nothing: it took more since. */
	if (!f || f->forked || b->held < f->acked || b->held > s->row.held)
		return;
	not_in_the_air(p, f);
	f->sent = f->acked;
	/* What was sent at one time is refused piece by piece, and counts once. */
	us = us > 2 * f->retry_us ? us : 2 * f->retry_us;
	if (!flow_is_held(c, f) || f->tried)
		room_hold(c, f, us < HOLD_MOST_US ? us : HOLD_MOST_US);
	f->tried = false;
	transit_due(c, s); /* others may reach those that it would have given it to */
	ring_acked(c, p);
}

void room_free(struct core *c)
{
	free(c->room.share);
}
