/* roster_text.h - what reading and writing the text of a roster share. Private to roster_*.c. */
#ifndef PROTO_ROSTER_TEXT_H
#define PROTO_ROSTER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BEARER_DEFAULT_COST 10

#define RATE_TEXT_BYTES 32
#define RATE_MAX_BPS (1000LL * 1000 * 1000 * 1000)
/* "9600bit/s", "256kbit/s", "10Mbit/s", "1Gbit/s" (thousands, as lines are sold) to bits a second; 1 to RATE_MAX_BPS. */
bool rate_parse(const char *text, int64_t *out_bps);
/* The reverse, in the largest unit that fits without a remainder. */
void rate_format(int64_t bps, char out[RATE_TEXT_BYTES]);

#endif
