/* instant.h - two kinds of time that do not mix.
 *
 * Monotonic time drives deadlines, leases and retries; wall time only labels. Nothing in proto, storage or
 * node/core reads a clock: both arrive with each event. Microseconds everywhere. */
#ifndef PROTO_INSTANT_H
#define PROTO_INSTANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

struct mono { int64_t us; }; /* since an arbitrary start of this run; never goes back */
struct wall { int64_t us; }; /* since 1970-01-01T00:00:00Z; may jump */

#define MONO_NEVER ((struct mono){INT64_MAX})
#define US_PER_MS 1000LL
#define US_PER_S 1000000LL
#define US_PER_DAY (86400LL * US_PER_S)

static inline bool mono_before(struct mono a, struct mono b) { return a.us < b.us; }
static inline struct mono mono_min(struct mono a, struct mono b) { return a.us < b.us ? a : b; }
/* Saturates at MONO_NEVER. d_us is not negative. */
static inline struct mono mono_add(struct mono a, int64_t d_us)
{
	return (struct mono){a.us > INT64_MAX - d_us ? INT64_MAX : a.us + d_us};
}

#define WALL_TEXT_BYTES 32
/* RFC 3339 UTC, "2021-07-14T22:05:00.000000Z"; millisecond part is cut when digits is 3, none when 0. */
void wall_format(struct wall t, int digits, char out[WALL_TEXT_BYTES]);
/* Reads RFC 3339 with 'Z' or an offset. ERR_FORMAT, ERR_RANGE. */
MUST_USE enum err wall_parse(const char *text, struct wall *out);

/* "250ms", "30s", "5min", "2h", "7d" -> microseconds. A bare "0" is allowed, any other number needs a unit.
 * ERR_FORMAT (no unit, not a number), ERR_RANGE (over 100 years or negative). */
MUST_USE enum err duration_parse(const char *text, int64_t *out_us);
/* "64KiB", "1GiB", "512B" -> bytes. ERR_FORMAT, ERR_RANGE (over 2^62 or negative). */
MUST_USE enum err size_parse(const char *text, int64_t *out_bytes);

#endif
