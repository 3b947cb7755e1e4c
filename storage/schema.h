/* schema.h - the tables: their numbers, the database each lies in, and the bytes of their keys.
 *
 * A key is the table's number in one byte, then its fields, big-endian and of fixed width, so that the order of the bytes
 * is the order meant. Signed times have their top bit inverted for that. The rows are in codec.h, all of it as a byte
 * table in README.md. Numbers of tables never change their meaning. */
#ifndef STORAGE_SCHEMA_H
#define STORAGE_SCHEMA_H

#include "proto/cursor.h"
#include "storage/kv.h"
#include "storage/store.h"

enum table {
	TABLE_META = 1, /* DB_CORE: small rows, rewritten often */
	TABLE_STREAM = 2,
	TABLE_QUEUE = 3,
	TABLE_ALARM = 4,
	TABLE_DAMAGE = 5,
	TABLE_MISSING = 6,
	TABLE_LEASE = 7,
	TABLE_STATE = 8,
	TABLE_CLOSING = 9,
	TABLE_CONFLICT = 10,
	TABLE_HANDED = 11,
	TABLE_ORDER_WAIT = 12,
	TABLE_BRANCH = 13,
	TABLE_QUARANTINE = 14,
	TABLE_REDO = 15,
	TABLE_ENTRY = 16,    /* DB_ENTRIES: only ever appended to */
	TABLE_POSITION = 32, /* DB_INDEX */
	TABLE_HEAD = 33,
	TABLE_GRANT = 34,
	TABLE_EXPIRY = 35,
	TABLE_BODY_ROW = 36,
	TABLE_BODY_HASH = 37,
	TABLE_ORPHAN = 38,
	TABLE_STREAM_NAME = 39, /* copies of what of a row cannot be found out again from other records */
	TABLE_QUEUE_NAME = 40,
	TABLE_FLOOR = 41,
	TABLE_REPLAY = 42, /* copies that are handed out again on purpose: they stand apart from the places of messages */
	TABLE_REPLAY_OUT = 43,
	TABLE_REPLAY_JOB = 44,
	TABLE_BEARER = 45, /* over which bearer entries came */
	TABLE_STATE_SINCE = 46, /* when it came, of what does not say so itself: for questions about the past */
	TABLE_WHOLE_SINCE = 47,
	TABLE_PART_APART = 48, /* DB_BODIES*: bodies with a row of their own lie below the inline ones, which are appended */
	TABLE_PART = 49,
	TABLE_LINK = 50, /* DB_INDEX again: when bearers of peers were up and down */
	TABLE_PLACE = 64, /* DB_PLACES */
	TABLE_MSG = 80,   /* DB_MESSAGES */
	TABLE_KEY = 96,   /* DB_KEYS */
};

/* Body numbers with this bit have a row (store_body_add); those without are arrival numbers. */
#define BODY_NO_APART (1ULL << 63)

#define KEY_BYTES_MAX 88
struct key {
	enum kv_db db;
	uint8_t len;
	uint8_t b[KEY_BYTES_MAX];
};

static inline struct view key_view(const struct key *k)
{
	return view_of(k->b, k->len);
}

/* Whether a table of that number is among those above. */
bool table_known(uint8_t table);
/* A whole table, as the beginning of its keys. The database of TABLE_PART* is that of class 0. */
struct key key_table(enum table t);

enum meta_group { META_STORE = 0, META_CORE = 1 };
enum meta_store { META_STORE_SCHEMA = 1, META_STORE_BIRTH = 2, META_STORE_BODY_NO = 3, META_STORE_ARRIVAL = 4 };
struct key key_meta(enum meta_group group, uint8_t number);
struct key key_stream(uint32_t local);
struct key key_queue(uint32_t local);
struct key key_alarm(const char *id); /* id: shorter than 80 bytes */
struct key key_damage(uint64_t arrival);
struct key key_missing(uint32_t stream, uint64_t number);
struct key key_lease(uint64_t arrival);
struct key key_state(uint8_t kind, const struct hash *hash);
struct key key_closing(const struct hash *order, uint16_t giver, uint16_t part);
struct key key_conflict(const struct msgid *id, uint16_t addressee);
struct key key_handed(uint32_t stream, uint64_t number);
struct key key_order_wait(const struct hash *order, const struct msgid *id, uint16_t addressee);
struct key key_branch(uint32_t stream, uint64_t first, const struct hash *hash);
struct key key_quarantine(uint64_t arrival);
struct key key_redo(uint32_t stream);
struct key key_entry(uint64_t arrival);
struct key key_stream_number(enum table t, uint32_t stream, uint64_t number); /* for tables keyed by both */
struct key key_position(uint32_t stream, uint64_t number);
struct key key_head(uint32_t stream, uint64_t number);
struct key key_grant(uint32_t stream, uint64_t number);
struct key key_expiry(struct wall when, uint64_t arrival);
struct key key_body_row(uint8_t class, uint64_t body_no);
struct key key_body_hash(uint8_t class, const struct hash *hash);
struct key key_stream_name(uint32_t local);
struct key key_queue_name(uint32_t local);
struct key key_floor(uint32_t local);
struct key key_replay(const struct replay_place *p);
struct key key_replay_out(const struct msgid *id, const struct replay_place *p);
struct key key_replay_job(const struct hash *what);
struct key key_bearer(uint16_t site, uint8_t lane, uint64_t arrival);
struct key key_state_since(uint8_t kind, const struct hash *hash);
struct key key_whole_since(uint64_t arrival);
struct key key_link(uint64_t number);
struct key key_orphan(uint8_t class, uint64_t body_no);
struct key key_body(uint8_t class, uint64_t body_no); /* the beginning of the keys of all its parts */
struct key key_part(uint8_t class, uint64_t body_no, uint8_t kind, uint32_t index, uint16_t slice);
struct key key_place(const struct place *p);
struct key key_msg(const struct msgid *id, uint16_t addressee);
struct key key_idempotency(uint32_t day, const struct hash *key);

/* The key of equal length that follows k; false when there is none. */
bool key_step(struct key *k);
/* A stored key as ours; false when it is longer than any of ours. */
bool key_from(struct key *k, enum kv_db db, struct view stored);

/* The fields of a stored key, after the table's number; check with rd_done. */
struct rd key_fields(struct view stored);
struct wall key_rd_time(struct rd *r);

#endif
