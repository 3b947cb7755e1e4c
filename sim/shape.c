#include "sim/shape.h"

#define PIECE_US (20 * US_PER_MS)
#define PIECE_LEAST 256

size_t shape_piece(int64_t rate_bps)
{
	int64_t n = rate_bps / 8 * PIECE_US / US_PER_S;

	return rate_bps <= 0 || n > SHAPE_PIECE_MOST ? SHAPE_PIECE_MOST : n < PIECE_LEAST ? PIECE_LEAST : (size_t)n;
}

/* One piece ahead, so that the line is never idle for the want of somebody who looks in time. */
struct mono shape_reads_at(const struct shape_flow *f)
{
	return (struct mono){f->left_at.us - PIECE_US};
}

static int64_t wire_us(const struct bearer_state *b, size_t len)
{
	return b->rate_bps > 0 ? (int64_t)len * 8 * US_PER_S / b->rate_bps : 0;
}

/* After it has left. */
static struct mono comes_out(struct shape_flow *f, const struct bearer_state *b, struct prng *p, struct mono left, size_t len, bool *stalled)
{
	struct bearer_state piece = *b;

	if (len < SHAPE_PACKET)
		piece.loss_ppm = piece.loss_ppm * (int64_t)len / SHAPE_PACKET;
	struct mono at = mono_add(left, link_lag_us(p, &piece, stalled));

	if (mono_before(at, f->last_at))
		at = f->last_at;
	return f->last_at = at;
}

struct mono shape_send(struct shape *s, struct shape_flow *f, const struct bearer_state *b, struct prng *p, struct mono now, size_t len, bool *stalled)
{
	struct mono left = now;

	if (b->rate_bps > 0) {
		struct mono from = mono_before(now, s->free_at) ? s->free_at : now;

		s->free_at = left = mono_add(from, wire_us(b, len));
	}
	f->left_at = left;
	return comes_out(f, b, p, left, len, stalled);
}

struct mono shape_follow(struct shape_flow *f, const struct bearer_state *b, struct prng *p, struct mono now, size_t len, bool *stalled)
{
	f->left_at = now;
	return comes_out(f, b, p, mono_add(now, wire_us(b, len)), len, stalled);
}
