/* record.h - records of the store: rows with a check behind them, and the transaction around the kv's.
 *
 * Inside of storage only. The check is crypt_check of the whole key and the row, so that a record
 * that turns up under another key does not pass either. */
#ifndef STORAGE_RECORD_H
#define STORAGE_RECORD_H

#include "storage/codec.h"
#include "storage/kv.h"
#include "storage/schema.h"
#include "storage/store.h"


struct store {
	struct kv *kv;
	struct store_birth birth;
	uint32_t schema;        /* of the journal: below STORE_SCHEMA only when it is read, not written */
	uint32_t opened_schema; /* as it was found */
	int64_t quota_bytes;
	int64_t hard_bytes; /* used beyond this, only transactions that free are committed */
	int lock_fd;        /* -1: none held */
	struct store_changes changes;
	bool read_only;
};
struct txn {
	struct store *s;
	struct kv_txn *k;
	bool over;          /* began beyond hard_bytes */
	uint64_t last_arrival, last_body_no; /* valid when not 0 */
};

/* Two that read the same, each for a thread of its own. As txn_begin. */
MUST_USE enum err txn_begin_pair(struct store *s, struct txn **a, struct txn **b);

static inline void txn_stick(struct txn *t, enum err e)
{
	kv_stick(t->k, e);
}

/* Puts row and check under key. */
void record_put(struct txn *t, const struct key *k, struct view row, enum kv_put how);
/* The same of what w holds; a w that overflowed sticks ERR_TOO_LARGE. */
void record_put_wr(struct txn *t, const struct key *k, const struct wr *w, enum kv_put how);
/* In place: where to write len bytes; then seal. NULL when something stuck. */
uint8_t *record_reserve(struct txn *t, const struct key *k, size_t len, enum kv_put how);
void record_seal(const struct key *k, uint8_t *row, size_t len);
void record_del(struct txn *t, const struct key *k);

/* Takes the check off a stored value: ERR_DAMAGED when it does not fit. */
MUST_USE enum err record_open(struct view key, struct view value, struct view *row);
/* ERR_NOT_FOUND, ERR_DAMAGED, or what stuck. r reads the row. */
MUST_USE enum err record_get(struct txn *t, const struct key *k, struct rd *r);
/* The first record at or after from whose key begins with the first `prefix` bytes of from. *key is set also when the
 * record is damaged, so that a walk can step over it. */
MUST_USE enum err record_from(struct txn *t, const struct key *from, size_t prefix, struct view *key, struct rd *r);

/* A walk over all records whose keys begin as a given one does. The callback may write. */
struct walk {
	struct txn *t;
	struct key at;
	size_t prefix;
	bool end;
	enum err err;    /* why walk_next was false: ERR_OK at the end, ERR_DAMAGED, or what stuck */
	struct view key; /* of the record at hand */
	struct rd row;
};
struct walk walk_begin(struct txn *t, const struct key *beginning);
bool walk_next(struct walk *w);
/* After walk_next was false with ERR_DAMAGED: goes on behind that record. False when there is no way on: the database itself
 * cannot be read there. */
bool walk_step_over(struct walk *w);
/* As walk_next, over damaged records; *damage becomes ERR_DAMAGED when there was one. */
bool walk_next_good(struct walk *w, enum err *damage);

/* Highest number in a u32-keyed table, 0 for none. */
uint32_t record_last_u32(struct txn *t, enum table table);

/* A value of this length takes exactly one overflow page of LMDB; a byte more takes two. */
#define SLICE_BYTES 4080

/* The highest arrival number of an entry that was the journal's last when it was retired; 0 for none. */
uint64_t entry_last_retired(struct txn *t);

/* The slices of a part that is new, so that none of a longer one can lie behind it. How many; 0 when something stuck. */
uint32_t body_put_slices(struct txn *t, uint8_t class, uint64_t body_no, uint8_t kind, uint32_t index, struct view bytes);

#endif
