/* codec.h - what every decoder's test asserts, so that each test says only what is its own.
 *
 * Inputs are handed to the decoder in memory of exactly their length, so that a sanitizer sees one byte read too far. */
#ifndef TESTS_CODEC_H
#define TESTS_CODEC_H

#include "proto/err.h"
#include "proto/view.h"

/* One attempt at decoding; arg is the test's own. */
typedef enum err (*codec_fn)(void *arg, struct view v);

/* Fails the running test unless v is what the hexadecimal digits say (blanks between them are skipped). */
void assert_hex(struct view v, const char *hex);
/* Fails the running test unless the whole is taken, and each shorter beginning of it refused. */
void assert_cuts_refused(struct view whole, codec_fn decode, void *arg);
/* The same for one zero byte or several more at the end. */
void assert_trailing_refused(struct view whole, codec_fn decode, void *arg);
/* The same for each byte changed in each of its bits. */
void assert_flips_refused(struct view whole, codec_fn decode, void *arg);

#endif
