/* store.h - the journal of one site, in our own nouns. No LMDB type appears here.
 *
 * One message through it: the core begins a write transaction, appends an entry (arrival number 4711) to the stream
 * Namen->Luik FLASH, puts its queue place, its message row and the stream's new frontier, and commits: all or nothing,
 * synced to the disk before txn_commit returns 0. Only then does the node say "accepted" to anybody.
 *
 * Two stores keep this contract, and tests/contract runs the same tests on both: LMDB in a folder, and memory for the
 * simulator. Errors of writes stick in the transaction (one check, at commit). Every record carries a hash or lies under
 * one that is checked when it is read: a flipped bit comes back as ERR_DAMAGED, never as data.
 * Views that reads return live until the next write in, or the end of, their transaction.
 * Tables and keys: storage/README.md. */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include "proto/buf.h"
#include "proto/entry.h"
#include "proto/err.h"
#include "proto/id.h"
#include "proto/limits.h"
#include "proto/stream.h"

struct store;
struct txn;

/* ---- a store's life ---------------------------------------------------------------------------------- */

#define STORE_SCHEMA 2 /* what changed: README.md, "Schema" */

enum store_birth_how {
	BIRTH_FRESH = 1, /* enrolled: made together with the keys; nothing existed before */
	BIRTH_LOST = 2,  /* the daemon found no journal: something existed, and it is gone */
};
struct store_birth {
	uint16_t site;                       /* site number */
	char site_id[LIMIT_NAME_BYTES + 1];
	struct hash network;                 /* roster.network_hash */
	enum store_birth_how how;
	struct wall born;
};
struct store_options {
	int64_t quota_bytes;    /* what the journal may use at most; 0: 16 GiB */
	int64_t reserve_bytes;  /* preallocated on disk at creation; 0: none */
	bool read_only;         /* for tools: never writes, does not take the writer's lock */
	bool check_pages;       /* for who reads all of it: looks at all pages first, so that damage of LMDB's own is an error and not a crash */
};

/* Makes a store in a temporary folder beside dir, syncs it, and renames it into place. ERR_EXISTS, ERR_IO, ERR_FULL. */
MUST_USE enum err store_create(const char *dir, const struct store_birth *birth, const struct store_options *o, struct errmsg *m);
/* Opened for writing, a journal of an older schema becomes one of this (upgrade.h); to read, it stays as it is.
 * ERR_NOT_FOUND (no journal there), ERR_LOCKED (a daemon has it; only when writing), ERR_VERSION (newer schema),
 * ERR_DAMAGED, ERR_IO. A reader of a store that a daemon has open sees each commit as a whole. */
MUST_USE enum err store_open(const char *dir, const struct store_options *o, struct store **out, struct errmsg *m);
/* A store in memory with the same behaviour. `fail` may be NULL: called before each commit with its number from 1;
 * a result other than 0 makes that commit fail with it (ERR_FULL, ERR_IO, ERR_SYNC), leaving nothing of it. */
MUST_USE enum err store_open_memory(const struct store_birth *birth, const struct store_options *o,
                                    enum err (*fail)(void *arg, uint64_t commit), void *arg, struct store **out);
/* For a store in memory: as if the process had ended and another had opened it. */
void store_restart_memory(struct store *s);
void store_close(struct store *s); /* no transaction may be open; NULL is fine */
const struct store_birth *store_birth(const struct store *s);
/* The schema it had before it was opened, when that was older than STORE_SCHEMA and is that now; else 0. */
uint32_t store_upgraded_from(const struct store *s);
/* Whether a process has the store in dir open for writing: its lock says so, never a pid file. False also when there is
 * no such folder or this user may not look into it. */
bool store_is_locked(const char *dir);

struct store_space {
	int64_t used_bytes;  /* pages in use */
	int64_t quota_bytes;
	int64_t file_bytes;
	int64_t disk_free_bytes; /* INT64_MAX for memory */
};
/* Cheap enough for each commit (cached, refreshed as commits go by). */
void store_space(struct store *s, struct store_space *out);

/* How often entries were appended, and notes of floors put or taken away, since the store was opened; a transaction that was aborted counts
 * too. Who reads a journal after every commit need not where these are the same. */
struct store_changes { uint64_t entries, floors; };
struct store_changes store_changes(const struct store *s);

/* ---- transactions -------------------------------------------------------------------------------------- */

/* One write transaction at a time, and no other beside it in this process; any number that read. Grows the map when needed
 * before it begins. ERR_BUSY (one is open), ERR_NOT_PERMITTED (opened read-only), ERR_FULL, ERR_IO, ERR_NOMEM, ERR_SYNC (an
 * earlier commit was not confirmed). One thread uses a store at a time, and a transaction ends in the one that began it. */
MUST_USE enum err txn_begin(struct store *s, bool write, struct txn **out);
/* Synced when it returns 0. ERR_FULL also when the journal is beyond quota and headroom (README.md, "Growth") and the
 * transaction puts more bytes than it deletes. Otherwise nothing of it happened, except ERR_SYNC: the disk did not confirm, the state is
 * unknown, and the process must end without another word (the next start recovers). Ends the transaction always. */
MUST_USE enum err txn_commit(struct txn *t);
void txn_abort(struct txn *t); /* NULL is fine */
enum err txn_error(const struct txn *t); /* what stuck, ERR_OK if nothing */
/* Whether something was put or deleted in it: what else is to be stored then costs no sync of its own. */
bool txn_changed(const struct txn *t);
/* Makes e stick, so that the commit fails with it: for a caller that cannot finish what it began. */
void txn_fail(struct txn *t, enum err e);

/* ---- meta: small named values ---------------------------------------------------------------------------- */

enum meta_key { META_COUNTERS = 1, META_LAST_ID = 2, META_LAST_WALL = 3, META_RECOVERING = 4, META_INCARNATIONS = 5,
                META_VECTOR_VERSION = 6, META_ROSTER_SERIAL = 7, META_REBUILDING = 8, META_SCRUB = 80, META_OTHER = 64 /* core's own from here */ };
void store_meta_put(struct txn *t, uint8_t key, struct view value); /* up to 1 KiB */
MUST_USE enum err store_meta_get(struct txn *t, uint8_t key, struct view *value); /* ERR_NOT_FOUND, ERR_DAMAGED */

/* ---- streams ---------------------------------------------------------------------------------------------- */

struct stream_row {
	uint32_t local;             /* this journal's short number for the stream, from 1 */
	struct stream_name name;
	uint64_t held;              /* highest number held, with none below it absent */
	struct hash chain;          /* chain hash at held */
	uint64_t head, head_before; /* the highest signed heads stored, 0 for none */
	uint64_t floor;             /* entries at or below it are retired */
	struct hash floor_chain;
};
/* Assigns row->local. */
void store_stream_add(struct txn *t, struct stream_row *row);
void store_stream_put(struct txn *t, const struct stream_row *row);
/* In order of local number; stops at the first result of fn other than ERR_OK and returns it. This walk and all others here
 * step over damaged rows: the good ones are all visited, and ERR_DAMAGED at the end says that there were others. */
MUST_USE enum err store_stream_each(struct txn *t, enum err (*fn)(void *arg, const struct stream_row *row), void *arg);
/* Those with this local number or a higher one. */
MUST_USE enum err store_stream_each_from(struct txn *t, uint32_t local, enum err (*fn)(void *arg, const struct stream_row *row), void *arg);
/* The highest local number given, damaged rows included; 0 for none. Numbers have no gaps. */
uint32_t store_stream_last(struct txn *t);
/* What a damaged row must have said, by the copy of its name, its floor, the stream's entries and heads. Stores nothing. ERR_DAMAGED
 * when too little is left. */
MUST_USE enum err store_stream_rebuild(struct txn *t, uint32_t local, struct stream_row *out);

/* Signed heads. Keeps heads so that neighbours are at most LIMIT_HEAD_SPACING apart where possible: storing one drops the
 * one before it when that is not needed for the spacing. Updates row->head and row->head_before, not the stored row. */
void store_head_put(struct txn *t, struct stream_row *row, const struct head *h);
/* With the leaves of the last entries up to it that are not here yet, LIMIT_HEAD_SPACING at most, so that what is here can be handed on. */
void store_head_put_leaves(struct txn *t, struct stream_row *row, const struct head *h, struct view leaves);
/* Those of that head; empty when there are none. The view lives as long as the transaction, or until it writes. ERR_NOT_FOUND. */
MUST_USE enum err store_head_leaves(struct txn *t, uint32_t stream, uint64_t number, struct view *leaves);
/* The first head at or after number. ERR_NOT_FOUND. */
MUST_USE enum err store_head_from(struct txn *t, uint32_t stream, uint64_t number, struct head *out);

struct body_row;
/* A body that no entry refers to any more, or that was still coming for an entry that is gone: the caller removes it in steps. */
typedef void store_unused_fn(void *arg, const struct body_row *body);
/* Takes the entries row->floor + 1 .. upto off the lower end of a stream (none beyond row->held, `max` at most), and raises row->floor
 * and row->floor_chain as far as it came; the caller stores the row. With an entry go its position, its body (one apart loses a reference:
 * unused, may be NULL), its marks of expiry, damage and a missing body, and heads below the floor. A grant stays, with its entry, until
 * everything that it opens is below. What else leads to an entry is the caller's to remove first: message row, place, lease, quarantine.
 * The floor is noted a second time, unsigned (store_floor_put). ERR_DAMAGED: it came to an entry that cannot be read, and stopped there. */
MUST_USE enum err store_stream_retire(struct txn *t, struct stream_row *row, uint64_t upto, size_t max, store_unused_fn *unused, void *arg);
/* Takes all entries, grants and heads off a stream that begins anew, at its first number: chain is what its chain begins with. Else as
 * store_stream_retire. */
MUST_USE enum err store_stream_empty(struct txn *t, struct stream_row *row, const struct hash *chain, store_unused_fn *unused, void *arg);
/* The note of a stream's floor, by which a row that is damaged is made anew, and what proves it: core's encoding, the floor as somebody
 * signed it. Also for a stream that begins at a floor, as its row says; then grant is the number of the grant in force behind the floor
 * when its entry is not here (0: none), and the grant's index leads to arrival 0. */
#define FLOOR_PROOF_BYTES_MAX 512
struct floor_note { uint64_t number; struct hash chain; uint64_t grant; struct view proof; };
void store_floor_put(struct txn *t, const struct stream_row *row, uint64_t grant, struct view proof);
MUST_USE enum err store_floor_each(struct txn *t, enum err (*fn)(void *arg, uint32_t stream, const struct floor_note *note), void *arg);
/* ERR_NOT_FOUND: nothing of it was retired. */
MUST_USE enum err store_floor_get(struct txn *t, uint32_t stream, struct floor_note *out);

/* ---- entries ------------------------------------------------------------------------------------------------ */

struct entry_row {
	uint64_t arrival;       /* order of arrival in this journal, from 1; gaps where entries were retired */
	uint32_t stream;        /* local stream number */
	uint64_t number;        /* in its stream */
	struct hash chain;      /* chain hash after it */
	struct wall stored;     /* when it came */
	uint16_t from;          /* site it came from; our own for what was submitted here */
	uint64_t body_no;       /* where the body lies; 0 for none */
	uint8_t body_class;     /* enum body_class */
	struct entry e;         /* header, envelope, hashes, body_len, flags. e.body: only for append */
};
/* Appends; ERR_EXISTS sticks when the stream has that number. When row->e.body is not empty and row->body_no is 0, the body is stored too and body_no becomes the arrival
 * number. Sets row->arrival, row->body_no. Does not touch the stream row. */
void store_entry_append(struct txn *t, struct entry_row *row);
/* ERR_NOT_FOUND, ERR_DAMAGED (the record's own hash does not fit). */
MUST_USE enum err store_entry_get(struct txn *t, uint64_t arrival, struct entry_row *out);
MUST_USE enum err store_entry_find(struct txn *t, uint32_t stream, uint64_t number, struct entry_row *out);
uint64_t store_last_arrival(struct txn *t); /* the last number given, also when its entry is retired */
/* The first entry with this arrival number or a higher one. ERR_NOT_FOUND; ERR_DAMAGED, with out->arrival filled from the key. */
MUST_USE enum err store_entry_from(struct txn *t, uint64_t arrival, struct entry_row *out);
/* Where a number of a stream lies by its position, whether the entry there can be read or not. ERR_NOT_FOUND, ERR_DAMAGED. */
MUST_USE enum err store_entry_arrival(struct txn *t, uint32_t stream, uint64_t number, uint64_t *arrival);
/* Leads there again: for a position that is damaged, or gone. */
void store_entry_point(struct txn *t, uint32_t stream, uint64_t number, uint64_t arrival);
/* Puts the row in the place of the record at row->arrival, its body (row->e.body, when not empty) in the place of the one with
 * row->body_no. row's views are not the store's. For records that are damaged. */
void store_entry_replace(struct txn *t, const struct entry_row *row);
/* Marks a body that came later as present in the entry (its record is rewritten). */
void store_entry_set_body(struct txn *t, uint64_t arrival, uint64_t body_no, uint8_t body_class);
/* Makes a stub of it: header and hashes stay, the envelope goes, and it has no body here. (The body is removed apart.) */
void store_entry_stub(struct txn *t, uint64_t arrival);

/* ---- bodies --------------------------------------------------------------------------------------------------- */

enum body_class { BODY_OPERATIONAL = 0, BODY_EXERCISE = 1, BODY_CLASSES };
/* Bodies that lie apart: shared by a group's entries, or larger than one chunk, or still coming. */
struct body_row {
	uint64_t body_no;
	uint8_t class;
	bool whole;            /* all of it is here and its hash was checked */
	struct hash hash;      /* body hash of the entries; zeros while a submission still comes in */
	uint64_t sealed_len;
	uint32_t chunks;       /* 0: one piece, sealed with the header */
	uint32_t have;         /* chunks present, always the first `have` ones */
	uint32_t refs;         /* entries that use it */
};
/* A new row; assigns body_no (never one that an arrival number could become). */
void store_body_add(struct txn *t, struct body_row *row);
void store_body_put_row(struct txn *t, const struct body_row *row);
MUST_USE enum err store_body_row(struct txn *t, uint8_t class, uint64_t body_no, struct body_row *out);
MUST_USE enum err store_body_find(struct txn *t, uint8_t class, const struct hash *hash, struct body_row *out);
/* Parts: kind as enum part_kind of proto/frame.h. Bytes are cut into one-page records inside. */
void store_body_put_part(struct txn *t, uint8_t class, uint64_t body_no, uint8_t kind, uint32_t index, struct view bytes);
/* Appends the part to out. ERR_NOT_FOUND. The caller checks the bytes against the hash of entry or manifest. */
MUST_USE enum err store_body_get_part(struct txn *t, uint8_t class, uint64_t body_no, uint8_t kind, uint32_t index, struct buf *out);
/* Removes row, hash index and all parts, at most `max` records a call (a part is one for each 4080 bytes); true when nothing
 * is left, and when an error stuck. */
bool store_body_del(struct txn *t, uint8_t class, uint64_t body_no, size_t max);
/* Rows of bodies that no entry refers to (left by a submission that broke off). */
MUST_USE enum err store_body_each_orphan(struct txn *t, enum err (*fn)(void *arg, const struct body_row *row), void *arg);

/* Entries that are not whole: their body is still coming; zeros for its hash: the entry is damaged, or its body of one piece is, and who
 * holds it gives it again. */
void store_missing_put(struct txn *t, uint32_t stream, uint64_t number, const struct hash *body);
void store_missing_del(struct txn *t, uint32_t stream, uint64_t number);
/* The first at or after (*stream, *number), which become its own. ERR_NOT_FOUND at the end; ERR_DAMAGED, with both filled
 * from the key, so that the caller can go on behind it; ERR_IO where there is no way on. */
MUST_USE enum err store_missing_from(struct txn *t, uint32_t *stream, uint64_t *number, struct hash *body);
MUST_USE enum err store_missing_each(struct txn *t, enum err (*fn)(void *arg, uint32_t stream, uint64_t number, const struct hash *body), void *arg);

/* ---- queues -------------------------------------------------------------------------------------------------- */

struct queue_row {
	uint32_t local;
	uint16_t site;
	char name[LIMIT_NAME_BYTES + 1];
	uint64_t waiting[2][PREC_COUNT]; /* [exercise][precedence] */
	uint64_t leased[2][PREC_COUNT];
};
void store_queue_add(struct txn *t, struct queue_row *row); /* assigns local */
void store_queue_put(struct txn *t, const struct queue_row *row);
MUST_USE enum err store_queue_each(struct txn *t, enum err (*fn)(void *arg, const struct queue_row *row), void *arg);
uint32_t store_queue_last(struct txn *t); /* as store_stream_last */
/* Counts anew what stands in the queue row->local: its places, and the leases that can be read. */
MUST_USE enum err store_queue_count(struct txn *t, struct queue_row *row);
/* What a damaged row must have said, by the copy of its name, places and leases. Stores nothing. ERR_DAMAGED. */
MUST_USE enum err store_queue_rebuild(struct txn *t, uint32_t local, struct queue_row *out);

/* A place in a queue. Sorted by all members in this order: what was handed out before and came back (fresh 0) goes first
 * within its precedence, then the earliest handle-by time, then the order of arrival. */
struct place {
	uint32_t queue;
	uint8_t exercise;
	uint8_t precedence;
	uint8_t fresh;
	int64_t handle_by_us;
	uint64_t arrival;
};
void store_place_put(struct txn *t, const struct place *p, const struct msgid *id);
void store_place_del(struct txn *t, const struct place *p);
/* The first place at or after *from with the same queue and exercise. ERR_NOT_FOUND; ERR_DAMAGED, with *out filled from the
 * key, so that the caller can go on behind it. */
MUST_USE enum err store_place_from(struct txn *t, const struct place *from, struct place *out, struct msgid *id);

struct lease_row {
	struct place place;      /* where it stood (fresh already 0) */
	struct msgid id;
	int64_t lease_us;
	struct wall since;
	char by[LIMIT_USER_BYTES + 1];
};
void store_lease_put(struct txn *t, const struct lease_row *l); /* key: place.arrival */
MUST_USE enum err store_lease_get(struct txn *t, uint64_t arrival, struct lease_row *out);
/* The first lease at or after arrival. ERR_NOT_FOUND at the end; ERR_DAMAGED, with only out->place.arrival filled, from the
 * key, so that the caller can go on behind it; ERR_IO where there is no way on. */
MUST_USE enum err store_lease_from(struct txn *t, uint64_t arrival, struct lease_row *out);
void store_lease_del(struct txn *t, uint64_t arrival);
MUST_USE enum err store_lease_each(struct txn *t, enum err (*fn)(void *arg, const struct lease_row *l), void *arg);

/* ---- messages: what is known of each (id, addressee site) --------------------------------------------------------- */

struct msg_row {
	struct msgid id;
	uint16_t addressee;
	uint64_t arrival;      /* of its entry here; 0 while only reports about it are here */
	uint16_t originator;   /* with precedence and flags a copy of its header's, valid when arrival is not 0 */
	uint8_t precedence, flags;
	uint64_t place_arrival;/* key of its place or lease; 0 when it has none */
	struct place place;    /* valid when place_arrival is not 0 */
	uint8_t state;         /* enum msg_state of node/core; opaque here */
	struct view events;    /* core's encoding; at most 3 KiB */
};
void store_msg_put(struct txn *t, const struct msg_row *row);
void store_msg_del(struct txn *t, const struct msgid *id, uint16_t addressee); /* it has no place any more */
MUST_USE enum err store_msg_get(struct txn *t, const struct msgid *id, uint16_t addressee, struct msg_row *out);
/* The first row at or after (id, addressee) - for all addressees of one id, or a walk. ERR_NOT_FOUND at the end;
 * ERR_DAMAGED, with id and addressee filled from the key, so that the caller can go on behind it. */
MUST_USE enum err store_msg_from(struct txn *t, const struct msgid *id, uint16_t addressee, struct msg_row *out);

/* ---- replays: what is handed out again on purpose ------------------------------------------------------------------ */

/* A copy of a message that was handed out before, for desks to take once more. It is no place and no lease of the message, whose row
 * knows nothing of it, and counts in no queue. */
struct replay_place {
	uint32_t queue;     /* where it waits */
	uint8_t precedence;
	uint64_t arrival;   /* of the message's entry */
	uint64_t job;       /* of which replay */
};
struct replay_copy {
	struct replay_place at;
	struct msgid id;
	char by[LIMIT_USER_BYTES + 1], why[LIMIT_REASON_BYTES + 1]; /* who had it handed out again, and why */
	char desk[LIMIT_USER_BYTES + 1];                            /* with the next two of one that is out at a desk */
	int64_t lease_us;
	struct wall since;
};
void store_replay_put(struct txn *t, const struct replay_copy *copy);
void store_replay_del(struct txn *t, const struct replay_place *at);
/* The first that waits at or after *from in the same queue: in order of precedence, then arrival. ERR_NOT_FOUND; ERR_DAMAGED, with out->at
 * filled from the key. */
MUST_USE enum err store_replay_from(struct txn *t, const struct replay_place *from, struct replay_copy *out);
/* Those that are out at desks. _from: the first of that message at or after *from; errors as above, with out->id filled too. */
void store_replay_out_put(struct txn *t, const struct replay_copy *copy);
void store_replay_out_del(struct txn *t, const struct replay_copy *copy);
MUST_USE enum err store_replay_out_from(struct txn *t, const struct msgid *id, const struct replay_place *from, struct replay_copy *out);
MUST_USE enum err store_replay_out_each(struct txn *t, enum err (*fn)(void *arg, const struct replay_copy *copy), void *arg);
/* How far a replay has come that is not over: core's encoding, up to 1 KiB. */
void store_replay_job_put(struct txn *t, const struct hash *what, struct view blob);
MUST_USE enum err store_replay_job_get(struct txn *t, const struct hash *what, struct view *blob);
void store_replay_job_del(struct txn *t, const struct hash *what);

/* ---- indexes ---------------------------------------------------------------------------------------------------------- */

/* Idempotency keys, in day tables probed newest first; kept until they are retired. */
struct key_row { struct msgid id; struct hash content; };
void store_key_put(struct txn *t, uint32_t day, const struct hash *key, const struct key_row *row);
MUST_USE enum err store_key_find(struct txn *t, const struct hash *key, struct key_row *out);
/* Removes those of days before `day`, *left at most, which counts down; true when there are no more, or when something stuck. */
bool store_key_retire(struct txn *t, uint32_t day, size_t *left);

/* Grants: which entry of a stream opens the entries from `number` on. */
void store_grant_put(struct txn *t, uint32_t stream, uint64_t number, uint64_t arrival);
/* The grant in force for number: the last one at or below it. */
MUST_USE enum err store_grant_find(struct txn *t, uint32_t stream, uint64_t number, uint64_t *grant_number, uint64_t *arrival);

/* What expires when. */
void store_expiry_put(struct txn *t, struct wall when, uint64_t arrival);
void store_expiry_del(struct txn *t, struct wall when, uint64_t arrival);
MUST_USE enum err store_expiry_first(struct txn *t, struct wall *when, uint64_t *arrival); /* ERR_NOT_FOUND */

/* Over which bearer the entries of a site came, by lane: noted where it changes, so a journal that never says has none.
 * _put: those from this arrival on, which are the latest. _put_one: that one alone, those after it stay as they were. With each change up
 * to two notes of entries go that are not here any more. bearer: empty when it is not known. */
void store_bearer_put(struct txn *t, uint16_t site, uint8_t lane, uint64_t arrival, const char *bearer);
void store_bearer_put_one(struct txn *t, uint16_t site, uint8_t lane, uint64_t arrival, const char *bearer);
/* ERR_NOT_FOUND (nothing was noted), ERR_DAMAGED. out: empty then. */
MUST_USE enum err store_bearer_get(struct txn *t, uint16_t site, uint8_t lane, uint64_t arrival, char out[LIMIT_NAME_BYTES + 1]);

/* ---- alarms, state, damage ----------------------------------------------------------------------------------------- */

struct alarm_row {
	char id[80];            /* kind, or kind:subject */
	char kind[32];
	struct wall since;
	char what[256];
	char todo[256];
	char acknowledged[LIMIT_USER_BYTES + 1]; /* by whom; empty when not */
	bool active;
};
void store_alarm_put(struct txn *t, const struct alarm_row *a);
MUST_USE enum err store_alarm_get(struct txn *t, const char *id, struct alarm_row *out);
void store_alarm_del(struct txn *t, const char *id);
MUST_USE enum err store_alarm_each(struct txn *t, enum err (*fn)(void *arg, const struct alarm_row *a), void *arg);

/* Signed state: rosters, orders, sealing keys, ... kind and hash name it. */
void store_state_put(struct txn *t, uint8_t kind, const struct hash *hash, struct view blob);
MUST_USE enum err store_state_get(struct txn *t, uint8_t kind, const struct hash *hash, struct view *blob);
MUST_USE enum err store_state_each(struct txn *t, uint8_t kind, enum err (*fn)(void *arg, const struct hash *hash, struct view blob), void *arg);

/* ---- since when --------------------------------------------------------------------------------------------------------- */

/* A moment of this journal: its last entry then, and the clock. Entries say by themselves when they came; these do not. */
struct moment { uint64_t arrival; struct wall when; };
/* Since when a state object is here; an earlier note of it stays. ERR_NOT_FOUND: a version wrote it that did not note it. Of kind
 * SINCE_RUN: since when a run of the node wrote here, hash names it (core's encoding). */
#define SINCE_RUN 0
void store_state_since_put(struct txn *t, uint8_t kind, const struct hash *hash, struct wall now);
MUST_USE enum err store_state_since_get(struct txn *t, uint8_t kind, const struct hash *hash, struct moment *out);
MUST_USE enum err store_state_since_each(struct txn *t, uint8_t kind, enum err (*fn)(void *arg, const struct hash *hash, const struct moment *since), void *arg);
/* Since when an entry has its body that came later than it. Goes with the entry. */
void store_whole_since_put(struct txn *t, uint64_t arrival, struct wall now);
MUST_USE enum err store_whole_since_get(struct txn *t, uint64_t arrival, struct moment *out);

/* ---- links: when a bearer of a peer was up, and when not --------------------------------------------------------------- */

enum link_is { LINK_IS_UNKNOWN, LINK_IS_UP, LINK_IS_DOWN };
/* A change, numbered from 1 in the order in which changes were noted. `more` changes after it got no row of their own: they came between `at`
 * and `last`, and after them it is `now_is`. With more 0 these are the same as at and is. */
struct link_row {
	uint64_t number;
	uint16_t peer;                       /* 0: this node itself, of which UP is its start and DOWN its stop; bearer is empty then */
	char bearer[LIMIT_NAME_BYTES + 1];
	uint8_t is;                          /* enum link_is, from `at` on */
	struct wall at, noted;               /* at: as far as is known; DOWN: when it was last heard of */
	uint32_t more;
	uint8_t now_is;
	struct wall last;
	int64_t rtt_us, rate_bps;            /* as measured by then; 0: not known */
};
/* Of number 0 it gets the next one, else it replaces that row. */
void store_link_put(struct txn *t, struct link_row *row);
void store_link_del(struct txn *t, uint64_t number);
/* The first at or after number. ERR_NOT_FOUND at the end; ERR_DAMAGED, with only out->number filled, from the key, so that the caller can go on
 * behind it; ERR_IO where there is no way on. */
MUST_USE enum err store_link_from(struct txn *t, uint64_t number, struct link_row *out);
/* The highest number; 0: none. */
uint64_t store_link_last(struct txn *t);

/* ---- takeover -------------------------------------------------------------------------------------------------------- */

/* What a site wrote when it gave queues up under an order: core's encoding, up to 3 KiB a part. A second one of the same name
 * replaces the first. */
void store_closing_put(struct txn *t, const struct hash *order, uint16_t giver, uint16_t part, struct view blob);
MUST_USE enum err store_closing_get(struct txn *t, const struct hash *order, uint16_t giver, uint16_t part, struct view *blob);

/* A message that two sites handled. */
#define CONFLICT_HANDLERS 4
struct conflict_row {
	struct msgid id;
	uint16_t addressee;
	bool exercise;
	char queue[LIMIT_NAME_BYTES + 1];     /* at the addressee; empty when it is not known here */
	uint8_t n;                            /* handlers, by time; the first CONFLICT_HANDLERS of them */
	struct { uint16_t site; uint8_t event; struct wall when; char by[LIMIT_USER_BYTES + 1]; } handler[CONFLICT_HANDLERS];
	char signed_off[LIMIT_USER_BYTES + 1]; /* by whom; empty when it is open */
	struct wall signed_at;
};
void store_conflict_put(struct txn *t, const struct conflict_row *row);
void store_conflict_del(struct txn *t, const struct msgid *id, uint16_t addressee);
MUST_USE enum err store_conflict_get(struct txn *t, const struct msgid *id, uint16_t addressee, struct conflict_row *out);
/* The first at or after (id, addressee). ERR_NOT_FOUND at the end; ERR_DAMAGED, with both filled from the key; ERR_IO where
 * there is no way on. */
MUST_USE enum err store_conflict_from(struct txn *t, const struct msgid *id, uint16_t addressee, struct conflict_row *out);

/* Stream epoch keys that others gave to us after the fact, as grants of up to LIMIT_ENVELOPE_BYTES: for the entries after the stream's grant `number`. */
void store_handed_put(struct txn *t, uint32_t stream, uint64_t number, struct view grant);
MUST_USE enum err store_handed_get(struct txn *t, uint32_t stream, uint64_t number, struct view *grant);

/* Messages of which something was reported under an order that is not known here yet. */
void store_order_wait_put(struct txn *t, const struct hash *order, const struct msgid *id, uint16_t addressee);
void store_order_wait_del(struct txn *t, const struct hash *order, const struct msgid *id, uint16_t addressee);
/* The first of that order at or after (id, addressee), which become its own. ERR_NOT_FOUND; ERR_IO where there is no way on. A
 * record whose check does not fit is found as well: it only says where to look. */
MUST_USE enum err store_order_wait_from(struct txn *t, const struct hash *order, struct msgid *id, uint16_t *addressee);

/* Signed segments that say something else than what is held under the same numbers: kept for a person. Not more than `max` a stream
 * are kept; false when this one was not, true also when it was kept before. */
bool store_branch_put(struct txn *t, uint32_t stream, uint64_t first, const struct hash *hash, struct view segment, unsigned max);
MUST_USE enum err store_branch_each(struct txn *t, enum err (*fn)(void *arg, uint32_t stream, uint64_t first, const struct hash *hash), void *arg);

/* Entries kept back from their queue until a person decides: beyond the point of a revocation. by: why, as text. */
void store_quarantine_put(struct txn *t, uint64_t arrival, const char *why);
void store_quarantine_del(struct txn *t, uint64_t arrival);
MUST_USE enum err store_quarantine_get(struct txn *t, uint64_t arrival, char why[160]);
MUST_USE enum err store_quarantine_each(struct txn *t, enum err (*fn)(void *arg, uint64_t arrival, const char *why), void *arg);

/* Long work that goes on after a restart. */
struct redo_row { uint32_t stream; uint64_t next, upto; };
void store_redo_put(struct txn *t, const struct redo_row *row); /* one a stream: a second replaces the first */
void store_redo_del(struct txn *t, uint32_t stream);
/* The first at or after stream. ERR_NOT_FOUND at the end; ERR_DAMAGED, with out->stream filled from the key; ERR_IO where there is
 * no way on. */
MUST_USE enum err store_redo_from(struct txn *t, uint32_t stream, struct redo_row *out);

/* Records found damaged when read: shown, not served, until they are mended. */
void store_damage_put(struct txn *t, uint64_t arrival, struct wall found, const char *what);
void store_damage_del(struct txn *t, uint64_t arrival);
MUST_USE enum err store_damage_each(struct txn *t, enum err (*fn)(void *arg, uint64_t arrival, struct wall found, const char *what), void *arg);

#endif
