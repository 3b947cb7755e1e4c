/* verify_pass.h - what the passes of a verification share. Inside of storage only. */
#ifndef STORAGE_VERIFY_PASS_H
#define STORAGE_VERIFY_PASS_H

#include "storage/record.h"
#include "storage/verify.h"

/* What can be wrong: the first of each is told, the others are counted. */
enum wrong {
	WRONG_RECORD,   /* a record's check does not fit */
	WRONG_CHAIN,    /* an entry does not follow from the one before */
	WRONG_HASH,     /* an entry's own hashes do not fit its header or envelope */
	WRONG_NUMBER,   /* a stream's numbers are not contiguous, or its row says otherwise */
	WRONG_POSITION, /* entry and position index disagree */
	WRONG_STREAM,   /* an entry of no stream */
	WRONG_HEAD,     /* a head that contradicts the chain, or whose signature does not fit */
	WRONG_BODY,     /* a body that is gone, or not what its hash says */
	WRONG_BODY_ROW, /* a body's row, hash index, references or orphan mark disagree */
	WRONG_MISSING,
	WRONG_PLACE, /* a place or lease without its message, or the reverse */
	WRONG_MSG,
	WRONG_COUNT, /* a queue's counts */
	WRONG_GRANT,
	WRONG_EXPIRY,
	WRONG_TAKEOVER, /* conflicts, branches, quarantine, work under way */
	WRONG_UNKNOWN, /* a record of no table */
	WRONG_KINDS
};
static_assert((int)WRONG_KINDS <= VERIFY_FINDINGS, "each kind of finding has its line");

struct stream_state {
	struct stream_row row;
	bool known;
	uint64_t number; /* as far as the entries read came */
	struct hash chain;
	uint64_t highest_head;
};
struct queue_state {
	struct queue_row row;
	bool known;
	uint64_t waiting[2][PREC_COUNT], leased[2][PREC_COUNT];
};
struct pass {
	struct store *s;
	struct txn *t;
	const struct verify_options *o;
	struct verify_result *out;
	enum err err; /* what ended it before its time */
	uint64_t count[WRONG_KINDS];
	uint8_t line[WRONG_KINDS]; /* finding + 1 */
	struct stream_state *streams; /* by local number */
	uint32_t n_streams;
	struct queue_state *queues;
	uint32_t n_queues;
	uint32_t *refs; /* entries that use a body apart, by the low bits of its number */
	uint64_t n_refs;
	uint64_t inline_bodies; /* found with their entries */
	struct buf buf;
};

void wrong(struct pass *p, enum wrong kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* As walk_next, but a damaged record is told and stepped over; false with p->err set when something else happened. */
bool pass_next(struct pass *p, struct walk *w);
struct walk pass_table(struct pass *p, enum table table);
struct stream_state *pass_stream(struct pass *p, uint32_t local); /* NULL: unknown */

void verify_entry_body(struct pass *p, const struct entry_row *row); /* verify_body.c */
void verify_bodies(struct pass *p);
void verify_indexes(struct pass *p); /* verify_index.c */
void verify_takeover(struct pass *p); /* verify_takeover.c */

#endif
