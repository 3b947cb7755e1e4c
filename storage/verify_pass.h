/* verify_pass.h - what the passes of a verification share. Inside of storage only.
 *
 * The work is cut into tasks, each a range of one table, which one or two workers take in turn. A task tells what it finds into a
 * tally of its own; these are added up in the order of the tasks, so that the result is the same however they were shared out. */
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

/* What one task found and counted; added up in the order of the tasks. */
struct tally {
	struct verify_result r;
	uint64_t count[WRONG_KINDS];
	uint8_t line[WRONG_KINDS]; /* finding + 1 */
	uint64_t positions;        /* entries that their position leads to */
	uint64_t inline_bodies;    /* found with their entries */
	uint64_t slices[BODY_CLASSES]; /* records of bodies: as many as the entries' own take, and those that lie apart */
	uint64_t index_records;    /* of the index database, all but positions */
};
/* How far a stream's entries came, within one task. */
struct reach {
	uint64_t number; /* 0 with !seen */
	struct hash chain;
	bool seen;
};
struct stream_state {
	struct stream_row row;
	bool known;
};
struct queue_state {
	struct queue_row row;
	bool known;
};
struct queue_counts {
	uint64_t waiting[2][PREC_COUNT], leased[2][PREC_COUNT];
};

struct pass;
/* A part of the work: all records of a table from `from` on, before `to`. */
struct task {
	void (*run)(struct pass *p);
	struct key from, to; /* to.len 0: to the end of the table */
	bool last;           /* of its table */
	struct reach *reach; /* of the entries: by local number of the stream */
	struct tally tally;
};

/* What the workers share. Rows of streams and queues stand still while they work. */
struct whole {
	struct store *s;
	const struct verify_options *o;
	struct stream_state *streams; /* by local number */
	uint32_t n_streams;
	struct queue_state *queues;
	uint32_t n_queues;
	struct task *tasks;
	size_t n_tasks, cap_tasks;
	size_t begin, taken; /* of the tasks from `begin` on so many were taken by the workers */
	uint64_t seen, of;               /* records */
	bool stop;
};
/* One worker: its transaction, and what it counts over all its tasks. */
struct pass {
	struct whole *w;
	struct store *s;
	struct txn *t;
	const struct verify_options *o;
	struct task *task;
	struct tally *now;         /* of the task */
	struct verify_result *out; /* of the tally */
	enum err err;              /* what ended it before its time */
	bool first;                /* it runs in the caller's thread */
	uint64_t unseen, told;     /* records not told to `whole` yet; what the caller was told last */
	struct queue_counts *counts; /* by local number of the queue */
	uint32_t *refs; /* entries that use a body apart, by the low bits of its number */
	uint64_t n_refs;
	struct buf buf;
};

void wrong(struct pass *p, enum wrong kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
void wrong_record(struct pass *p, struct view key);
/* As walk_next, but a damaged record is told and stepped over; false at the end of the task, when it was stopped, and with
 * p->err set when something else happened. */
bool pass_next(struct pass *p, struct walk *w);
/* One more record was looked at; false when the work was stopped. */
bool pass_see(struct pass *p);
/* Whether a key lies behind the task at hand. */
bool pass_behind(const struct pass *p, struct view key);
struct walk pass_table(struct pass *p, enum table table);
struct walk pass_task(struct pass *p); /* the records of the task at hand */
struct stream_state *pass_stream(struct pass *p, uint32_t local); /* NULL: unknown */
/* An entry without its check, which its own task looks at; for comparisons that are made again with the check when they fail. */
MUST_USE enum err pass_entry(struct pass *p, uint64_t arrival, struct entry_row *out);

/* Tasks of `run` over a table: it is cut where the keys between its first and last would lie evenly. */
void add_task(struct pass *p, void (*run)(struct pass *), enum table table, unsigned parts);
/* The same for tables keyed by stream and number, cut where the entries of all streams would be evenly. */
void add_task_by_number(struct pass *p, void (*run)(struct pass *), enum table table, unsigned parts);

/* Of all tasks so far. */
void sum_tallies(const struct pass *p, struct tally *sum);

void verify_entries(struct pass *p); /* verify_entry.c */
void verify_heads(struct pass *p);
void verify_stream_rows(struct pass *p);
void verify_positions(struct pass *p);
void verify_floors(struct pass *p);
void verify_entry_body(struct pass *p, const struct entry_row *row); /* verify_body.c */
void verify_body_rows(struct pass *p);
void verify_body_hashes(struct pass *p);
bool refs_room(struct pass *p, uint64_t n);
void verify_parts(struct pass *p);
void verify_orphans(struct pass *p);
void verify_places(struct pass *p); /* verify_index.c */
void verify_leases(struct pass *p);
void verify_messages(struct pass *p);
void verify_missing(struct pass *p);
void verify_grants(struct pass *p);
void verify_expiry(struct pass *p);
void verify_counts(struct pass *p);
void verify_takeover(struct pass *p); /* verify_takeover.c */

#endif
