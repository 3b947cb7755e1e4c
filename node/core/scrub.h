/* scrub.h - the journal is read through slowly, over and over, and what is damaged is fetched again from who holds it.
 *
 * LMDB has no checksums, and a record that nobody reads rots unseen. So the *scrub* (scrub.c) goes through all streams by number,
 * a little at a time: each entry by its position, its check, its own hashes and its place in the chain, its body against its hash, the
 * chunks of a large one against their leaves, the row of its message, every few signed heads. A whole *pass* takes about a day
 * (core_config.scrub_us); what is due of it is done with the other looks, SCRUB_STEP units at most, so that nothing waits for it.
 *
 * What is damaged, whoever met it, is shown (the damage table, an alarm), and its number is *noted*: it stands in the table of what is
 * missing, with zeros for a body's hash, so it counts as not whole, here and in what peers hear, also after a restart. Noted numbers are
 * asked for again (again.c): one entry from one holder at a time with FRAME_AGAIN, the originator first, then who else has it whole, also
 * a standby when the damaged one is the originator's own. The answer is a segment of that entry alone. It is put in the place of the
 * damaged record only when it is signed, follows from the entry before and leads to the one behind; a good record is never touched. A
 * chunk of a large body comes as other parts do (bodies.c), and takes the place of the damaged one alone. Then the alarm is over, and
 * the entry is delivered as if it had just come: its row says what happened to it before. Where nobody has it the alarm stays. */
#ifndef CORE_SCRUB_H
#define CORE_SCRUB_H

#include <stdbool.h>

#include "proto/frame.h"
#include "proto/instant.h"
#include "storage/store.h"

struct core;
struct peer;
struct stream;

/* One unit is an entry, or 4 KiB of its body. At most so many at a time, and a look follows another after a second: about ten million in a
 * day, of which none makes live traffic wait longer than a few reads of the disk take. */
#define SCRUB_STEP 128

struct scrub {
	bool going;
	uint64_t units;              /* in the whole journal; 0: not looked at in this run */
	struct mono at;              /* paid for up to here */
	struct wall began;
	struct scrub_at { uint32_t stream; uint64_t number; uint32_t part; } next, next_safe; /* looked at next; as of the last commit */
	uint64_t entries, bytes;     /* looked at in this pass */
	uint64_t found, mended;      /* damaged things, since the journal was made */
	struct wall ended;           /* the last whole pass; 0: there was none */
	uint64_t ended_entries, ended_bytes;
	struct mono saved;           /* stored last */
	bool again;                  /* something may be noted */
	uint64_t given_in; unsigned given; /* entries given again, in that batch */
	struct rotten { uint32_t stream; uint64_t number; unsigned tries; uint32_t part; struct mono at; } asked[32];
};

void scrub_load(struct core *c);
struct mono scrub_look(struct core *c); /* what is due of it; when to look again */
void scrub_undo(struct core *c);
void scrub_committed(struct core *c);
int scrub_percent(const struct core *c); /* of the present pass */

/* What is wrong with one entry. */
enum rot {
	SOUND,
	ROT_ENTRY, /* its record */
	ROT_BODY,  /* its body of one piece */
	ROT_PART,  /* a part of its large body */
	ROT_INDEX, /* its position leads elsewhere */
	ROT_BODY_ROW, /* the row of a body that lies apart */
};
/* Looks at an entry, but not at the parts of a large body. row is filled when it is sound, or its body is not; *arrival is 0 when its
 * position tells none; *bytes gets what was read of its body. */
enum rot rot_of(struct core *c, struct stream *s, uint64_t number, struct entry_row *row, uint64_t *arrival, uint64_t *bytes);
/* Looks at the parts of a large body from *part on, *left of them at most (counted down): ROT_PART with *part the damaged one, else SOUND:
 * the end was reached when *left is not 0. */
enum rot rot_of_parts(struct core *c, const struct entry_row *row, uint32_t *part, unsigned *left, uint64_t *bytes);

/* Something of that number is damaged: shown, noted, asked for. arrival: 0 when it is not known. */
void again_note(struct core *c, struct stream *s, uint64_t number, uint64_t arrival, const char *what);
/* The same of whatever entry has that arrival number, if it is damaged indeed. */
void again_arrival(struct core *c, uint64_t arrival, const char *what);
struct mono again_look(struct core *c); /* asks for what is noted; when to look again */
void again_frame(struct core *c, struct peer *p, const struct again_frame *f);
void again_segment(struct core *c, struct peer *p, struct segment *seg);
void again_part(struct core *c, uint32_t stream, uint64_t number); /* a part of its body was mended */

#endif
