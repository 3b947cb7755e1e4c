#include "sim/link.h"

#include <stdlib.h>
#include <string.h>

/* TCP's first retransmission timeout on a fast path; on a slow one it is a few round trips. */
#define RETRANSMIT_US (200 * US_PER_MS)
/* A frame is lost at most so often, each time for twice as long. */
#define RETRANSMITS 6
#define QUEUE_BYTES (4 * 1024 * 1024)
/* What CURVE's handshake takes, both ways. */
#define HANDSHAKE_BYTES 1024

void link_init(struct link *l, const struct link_config *config, uint64_t seed, uint64_t index)
{
	memset(l, 0, sizeof *l);
	l->config = *config;
	prng_init(&l->prng, seed, "link", index);
	for (size_t b = 0; b < config->n_bearers; b++)
		link_change(l, b, NULL);
	for (int d = 0; d < 2; d++)
		for (int lane = 0; lane < LANE_COUNT; lane++)
			l->conn[d][lane].stalled_since = MONO_NEVER;
}

int link_bearer(const struct link *l, const char *name)
{
	for (size_t b = 0; b < l->config.n_bearers; b++)
		if (strcmp(l->config.bearers[b].name, name) == 0)
			return (int)b;
	return -1;
}

bool link_passes(const struct link *l, size_t bearer, int way)
{
	const struct bearer_state *s = &l->bearer[bearer];

	return !s->off_schedule && !(s->cut & (1 << way));
}

bool link_passes_both(const struct link *l, size_t bearer)
{
	return link_passes(l, bearer, 0) && link_passes(l, bearer, 1);
}

int link_best(const struct link *l, uint8_t lane, int except)
{
	int best = -1;

	for (int b = 0; b < (int)l->config.n_bearers; b++) {
		const struct bearer_config *c = &l->config.bearers[b];

		if (b == except || !link_passes_both(l, (size_t)b) || (lane == LANE_BULK && c->no_bulk))
			continue;
		if (best < 0 || c->cost < l->config.bearers[best].cost)
			best = b;
	}
	if (best < 0 && except >= 0 && link_passes_both(l, (size_t)except) && !(lane == LANE_BULK && l->config.bearers[except].no_bulk))
		best = except;
	return best;
}

void link_change(struct link *l, size_t bearer, const struct bearer_change *change)
{
	static const struct bearer_change none = {-1, -1, -1, -1, -1};
	const struct bearer_config *c = &l->config.bearers[bearer];
	const struct bearer_change *x = change ? change : &none;
	struct bearer_state *s = &l->bearer[bearer];

	s->delay_us = x->delay_us >= 0 ? x->delay_us : c->delay_us;
	s->jitter_us = x->jitter_us >= 0 ? x->jitter_us : c->jitter_us;
	s->rate_bps = x->rate_bps >= 0 ? x->rate_bps : c->rate_bps;
	s->queue_bytes = x->queue_bytes >= 0 ? x->queue_bytes : c->queue_bytes;
	if (s->queue_bytes == 0)
		s->queue_bytes = QUEUE_BYTES;
	s->loss_ppm = x->loss_ppm >= 0 ? x->loss_ppm : c->loss_ppm;
}

static int64_t draw_jitter(struct prng *p, const struct bearer_state *s)
{
	return s->jitter_us ? (int64_t)prng_below(p, (uint64_t)s->jitter_us + 1) : 0;
}

/* How many connections have bytes waiting the same way on the same bearer: they share its rate. */
static int sharers(const struct link *l, uint8_t bearer, int way, struct mono now)
{
	int n = 1;

	for (int d = 0; d < 2; d++)
		for (int lane = 0; lane < LANE_COUNT; lane++) {
			const struct conn *c = &l->conn[d][lane];

			n += c->state == CONN_UP && c->bearer == bearer && mono_before(now, c->free_at[d == way ? 0 : 1]);
		}
	return n;
}

static void queued_note(struct queued *q, int64_t rate_bps, struct mono now, size_t len)
{
	struct mono from = mono_before(now, q->free_at) ? q->free_at : now;
	int64_t us = from.us - now.us;

	if (us > q->before_us) {
		q->before_us = us;
		q->before_bytes = us * rate_bps / 8 / US_PER_S;
	}
	q->free_at = mono_add(from, (int64_t)len * 8 * US_PER_S / rate_bps);
}

/* When the frame has left, at the share of the rate that its connection has. NEVER: no room. */
static struct mono put_on_wire(struct link *l, struct conn *c, int dialler, int dir, struct mono now, size_t len)
{
	const struct bearer_state *s = &l->bearer[c->bearer];
	struct mono from = mono_before(now, c->free_at[dir]) ? c->free_at[dir] : now;

	if (s->rate_bps <= 0)
		return from;
	int way = dir == 0 ? dialler : !dialler, n = sharers(l, c->bearer, way, now) - mono_before(now, c->free_at[dir]);
	int64_t share = s->rate_bps / n > 0 ? s->rate_bps / n : 1;

	if ((from.us - now.us) / 8 > s->queue_bytes * US_PER_S / share)
		return MONO_NEVER;
	queued_note(&l->queued[way], s->rate_bps, now, len);
	return c->free_at[dir] = mono_add(from, (int64_t)len * 8 * US_PER_S / share);
}

static int64_t retransmit_us(const struct bearer_state *s)
{
	return RETRANSMIT_US > 3 * s->delay_us ? RETRANSMIT_US : 3 * s->delay_us;
}

int64_t link_stall_us(const struct link *l, size_t bearer)
{
	const struct bearer_state *s = &l->bearer[bearer];
	int64_t stall = 0, wait = retransmit_us(s), ppm = s->loss_ppm;

	for (int i = 0; i < RETRANSMITS && ppm > 0; i++, wait *= 2) {
		stall += wait;
		ppm = ppm * s->loss_ppm / 1000000;
	}
	return stall;
}

int64_t link_lag_us(struct prng *p, const struct bearer_state *s, bool *stalled)
{
	int64_t lag = s->delay_us + draw_jitter(p, s), wait = retransmit_us(s);

	*stalled = false;
	for (int i = 0; s->loss_ppm && i < RETRANSMITS && prng_chance(p, (uint32_t)s->loss_ppm); i++, wait *= 2) {
		lag += wait;
		*stalled = true;
	}
	return lag;
}

struct mono link_send(struct link *l, int dialler, uint8_t lane, int dir, struct mono now, size_t len, bool *reset, bool *stalled)
{
	struct conn *c = &l->conn[dialler][lane];
	const struct bearer_state *s = &l->bearer[c->bearer];
	struct mono at = put_on_wire(l, c, dialler, dir, now, len);

	*reset = *stalled = false;
	if (at.us == MONO_NEVER.us)
		return at;
	if (prng_chance(&l->prng, l->config.bearers[c->bearer].reset_ppm)) {
		*reset = true;
		return MONO_NEVER;
	}
	at = mono_add(at, link_lag_us(&l->prng, s, stalled));
	if (mono_before(at, c->last_at[dir]))
		at = c->last_at[dir];
	return c->last_at[dir] = at;
}

int64_t link_handshake_us(struct link *l, size_t bearer)
{
	const struct bearer_state *s = &l->bearer[bearer];
	int64_t us = 6 * s->delay_us;

	for (int i = 0; i < 6; i++)
		us += draw_jitter(&l->prng, s);
	if (s->rate_bps)
		us += HANDSHAKE_BYTES * 8 * US_PER_S / s->rate_bps;
	return us;
}

struct mono link_schedule(struct link *l, size_t bearer, struct mono now)
{
	const struct bearer_config *c = &l->config.bearers[bearer];

	l->bearer[bearer].off_schedule = false;
	if (c->period_us <= 0 || c->up_us >= c->period_us)
		return MONO_NEVER;
	int64_t in = (now.us - c->phase_us) % c->period_us;

	if (in < 0)
		in += c->period_us;
	l->bearer[bearer].off_schedule = in >= c->up_us;
	return mono_add(now, in < c->up_us ? c->up_us - in : c->period_us - in);
}
