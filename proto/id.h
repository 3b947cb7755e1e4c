/* id.h - the names of things: messages, incarnations, streams, hashes.
 *
 * A message id is 8 bytes of time (the later of now and the last id plus one, microseconds, big-endian) and
 * 8 random bytes, so that ids of one node only rise and indexes by id grow at their right edge. As text it
 * is 26 letters and digits (Crockford's base 32, lower case), which sort as the bytes do. */
#ifndef PROTO_ID_H
#define PROTO_ID_H

#include "proto/instant.h"
#include "proto/view.h"

#define MSGID_BYTES 16
#define MSGID_TEXT_BYTES 27 /* with the NUL */
#define HASH_BYTES 32

struct msgid { uint8_t b[MSGID_BYTES]; };
struct hash { uint8_t b[HASH_BYTES]; };

static inline bool msgid_equal(const struct msgid *a, const struct msgid *b) { return memcmp(a->b, b->b, MSGID_BYTES) == 0; }
static inline bool hash_equal(const struct hash *a, const struct hash *b) { return memcmp(a->b, b->b, HASH_BYTES) == 0; }

/* Makes the next id after *last (all zeros for none) and stores it in *last too. random: 8 fresh bytes. */
struct msgid msgid_next(struct msgid *last, struct wall now, const uint8_t random[8]);
struct wall msgid_time(const struct msgid *id);
void msgid_format(const struct msgid *id, char out[MSGID_TEXT_BYTES]);
/* ERR_FORMAT unless exactly 26 characters of the alphabet (upper case is taken too) within range. */
MUST_USE enum err msgid_parse(struct view text, struct msgid *out);

/* The first 2n hexadecimal digits of bytes, with a NUL; out holds 2n+1. */
void hex_format(const uint8_t *bytes, size_t n, char *out);
MUST_USE enum err hex_parse(struct view text, uint8_t *out, size_t n);

/* One run of a node: born at a time, with 8 random bytes, new at each start. */
struct incarnation { int64_t born_us; uint8_t random[8]; };
#define INCARNATION_BYTES 16
static inline bool incarnation_equal(const struct incarnation *a, const struct incarnation *b)
{
	return a->born_us == b->born_us && memcmp(a->random, b->random, 8) == 0;
}

/* Precedence, ACP 121: a lower number goes first. */
enum precedence { PREC_FLASH = 0, PREC_IMMEDIATE = 1, PREC_PRIORITY = 2, PREC_ROUTINE = 3, PREC_COUNT = 4 };
/* "flash".."routine"; "?" out of range. */
const char *precedence_name(unsigned p);
MUST_USE enum err precedence_parse(const char *text, enum precedence *out);

/* The log of one originator's incarnation to one addressee site at one precedence, operational or exercise. */
struct stream_name {
	uint16_t originator;
	struct incarnation incarnation;
	uint16_t addressee;
	uint8_t precedence; /* enum precedence */
	uint8_t exercise;   /* 0 or 1 */
};
#define STREAM_NAME_BYTES 22
void stream_name_encode(const struct stream_name *n, uint8_t out[STREAM_NAME_BYTES]); /* order of the members */
/* ERR_TRUNCATED, ERR_FORMAT (a site number 0, a birth outside 0..LIMIT_WALL_US, precedence or exercise out of range). */
MUST_USE enum err stream_name_decode(struct view v, struct stream_name *out);
static inline bool stream_name_equal(const struct stream_name *a, const struct stream_name *b)
{
	return a->originator == b->originator && incarnation_equal(&a->incarnation, &b->incarnation) &&
	       a->addressee == b->addressee && a->precedence == b->precedence && a->exercise == b->exercise;
}

#endif
