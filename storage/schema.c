#include "storage/schema.h"

#include <assert.h>

static enum kv_db db_of(enum table t)
{
	if (t < TABLE_ENTRY)
		return DB_CORE;
	if (t < TABLE_POSITION)
		return DB_ENTRIES;
	if (t < TABLE_PART_APART || t == TABLE_LINK)
		return DB_INDEX;
	if (t < TABLE_PLACE)
		return DB_BODIES0;
	return t < TABLE_MSG ? DB_PLACES : t < TABLE_KEY ? DB_MESSAGES : DB_KEYS;
}

bool table_known(uint8_t table)
{
	return (table >= TABLE_META && table <= TABLE_ENTRY) || (table >= TABLE_POSITION && table <= TABLE_WHOLE_SINCE) ||
	       table == TABLE_PART_APART || table == TABLE_PART || table == TABLE_LINK || table == TABLE_PLACE || table == TABLE_MSG || table == TABLE_KEY;
}

/* ---- fields ------------------------------------------------------------------------------------------- */

static uint8_t *room(struct key *k, size_t n)
{
	uint8_t *at = k->b + k->len;
	assert(k->len + n <= sizeof k->b);
	k->len = (uint8_t)(k->len + n);
	return at;
}

static void add_u8(struct key *k, uint8_t x)
{
	*room(k, 1) = x;
}

static void add_u16(struct key *k, uint16_t x)
{
	x = __builtin_bswap16(x);
	memcpy(room(k, sizeof x), &x, sizeof x);
}

static void add_u32(struct key *k, uint32_t x)
{
	x = __builtin_bswap32(x);
	memcpy(room(k, sizeof x), &x, sizeof x);
}

static void add_u64(struct key *k, uint64_t x)
{
	x = __builtin_bswap64(x);
	memcpy(room(k, sizeof x), &x, sizeof x);
}

static void add_time(struct key *k, int64_t us)
{
	add_u64(k, (uint64_t)us ^ 1ULL << 63);
}

static void add_hash(struct key *k, const struct hash *h)
{
	memcpy(room(k, sizeof h->b), h->b, sizeof h->b);
}

static void add_msg(struct key *k, const struct msgid *id, uint16_t addressee)
{
	memcpy(room(k, sizeof id->b), id->b, sizeof id->b);
	add_u16(k, addressee);
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the byte swaps above are for little-endian machines");

/* ---- keys --------------------------------------------------------------------------------------------- */

struct key key_table(enum table t)
{
	struct key k;
	k.db = db_of(t);
	k.len = 1;
	k.b[0] = (uint8_t)t;
	return k;
}

static struct key key_u64(enum table t, uint64_t x)
{
	struct key k = key_table(t);
	add_u64(&k, x);
	return k;
}

struct key key_stream_number(enum table t, uint32_t x, uint64_t y)
{
	struct key k = key_table(t);
	add_u32(&k, x);
	add_u64(&k, y);
	return k;
}

static struct key key_u8_u64(enum table t, uint8_t x, uint64_t y)
{
	struct key k = key_table(t);
	add_u8(&k, x);
	add_u64(&k, y);
	return k;
}

static struct key key_u8_hash(enum table t, uint8_t x, const struct hash *h)
{
	struct key k = key_table(t);
	add_u8(&k, x);
	add_hash(&k, h);
	return k;
}

struct key key_meta(enum meta_group group, uint8_t number)
{
	struct key k = key_table(TABLE_META);
	add_u8(&k, (uint8_t)group);
	add_u8(&k, number);
	return k;
}

struct key key_stream(uint32_t local)
{
	struct key k = key_table(TABLE_STREAM);
	add_u32(&k, local);
	return k;
}

struct key key_queue(uint32_t local)
{
	struct key k = key_table(TABLE_QUEUE);
	add_u32(&k, local);
	return k;
}

struct key key_stream_name(uint32_t local)
{
	struct key k = key_table(TABLE_STREAM_NAME);
	add_u32(&k, local);
	return k;
}

struct key key_queue_name(uint32_t local)
{
	struct key k = key_table(TABLE_QUEUE_NAME);
	add_u32(&k, local);
	return k;
}

struct key key_floor(uint32_t local)
{
	struct key k = key_table(TABLE_FLOOR);
	add_u32(&k, local);
	return k;
}

static void add_replay(struct key *k, const struct replay_place *p)
{
	add_u32(k, p->queue);
	add_u8(k, p->precedence);
	add_u64(k, p->arrival);
	add_u64(k, p->job);
}

struct key key_replay(const struct replay_place *p)
{
	struct key k = key_table(TABLE_REPLAY);
	add_replay(&k, p);
	return k;
}

struct key key_replay_out(const struct msgid *id, const struct replay_place *p)
{
	struct key k = key_table(TABLE_REPLAY_OUT);
	memcpy(room(&k, sizeof id->b), id->b, sizeof id->b);
	add_replay(&k, p);
	return k;
}

struct key key_replay_job(const struct hash *what)
{
	struct key k = key_table(TABLE_REPLAY_JOB);
	add_hash(&k, what);
	return k;
}

struct key key_bearer(uint16_t site, uint8_t lane, uint64_t arrival)
{
	struct key k = key_table(TABLE_BEARER);
	add_u16(&k, site);
	add_u8(&k, lane);
	add_u64(&k, arrival);
	return k;
}

struct key key_alarm(const char *id)
{
	struct key k = key_table(TABLE_ALARM);
	uint8_t *to = room(&k, sizeof((struct alarm_row *)0)->id);
	memset(to, 0, sizeof((struct alarm_row *)0)->id);
	memcpy(to, id, strnlen(id, sizeof((struct alarm_row *)0)->id - 1));
	return k;
}

struct key key_damage(uint64_t arrival)
{
	return key_u64(TABLE_DAMAGE, arrival);
}

struct key key_missing(uint32_t stream, uint64_t number)
{
	return key_stream_number(TABLE_MISSING, stream, number);
}

struct key key_lease(uint64_t arrival)
{
	return key_u64(TABLE_LEASE, arrival);
}

struct key key_state(uint8_t kind, const struct hash *hash)
{
	return key_u8_hash(TABLE_STATE, kind, hash);
}

struct key key_closing(const struct hash *order, uint16_t giver, uint16_t part)
{
	struct key k = key_table(TABLE_CLOSING);
	add_hash(&k, order);
	add_u16(&k, giver);
	add_u16(&k, part);
	return k;
}

struct key key_conflict(const struct msgid *id, uint16_t addressee)
{
	struct key k = key_table(TABLE_CONFLICT);
	add_msg(&k, id, addressee);
	return k;
}

struct key key_handed(uint32_t stream, uint64_t number)
{
	return key_stream_number(TABLE_HANDED, stream, number);
}

struct key key_order_wait(const struct hash *order, const struct msgid *id, uint16_t addressee)
{
	struct key k = key_table(TABLE_ORDER_WAIT);
	add_hash(&k, order);
	add_msg(&k, id, addressee);
	return k;
}

struct key key_branch(uint32_t stream, uint64_t first, const struct hash *hash)
{
	struct key k = key_stream_number(TABLE_BRANCH, stream, first);
	add_hash(&k, hash);
	return k;
}

struct key key_quarantine(uint64_t arrival)
{
	return key_u64(TABLE_QUARANTINE, arrival);
}

struct key key_redo(uint32_t stream)
{
	struct key k = key_table(TABLE_REDO);
	add_u32(&k, stream);
	return k;
}

struct key key_entry(uint64_t arrival)
{
	return key_u64(TABLE_ENTRY, arrival);
}

struct key key_position(uint32_t stream, uint64_t number)
{
	return key_stream_number(TABLE_POSITION, stream, number);
}

struct key key_head(uint32_t stream, uint64_t number)
{
	return key_stream_number(TABLE_HEAD, stream, number);
}

struct key key_grant(uint32_t stream, uint64_t number)
{
	return key_stream_number(TABLE_GRANT, stream, number);
}

struct key key_expiry(struct wall when, uint64_t arrival)
{
	struct key k = key_table(TABLE_EXPIRY);
	add_time(&k, when.us);
	add_u64(&k, arrival);
	return k;
}

struct key key_body_row(uint8_t class, uint64_t body_no)
{
	return key_u8_u64(TABLE_BODY_ROW, class, body_no);
}

struct key key_body_hash(uint8_t class, const struct hash *hash)
{
	return key_u8_hash(TABLE_BODY_HASH, class, hash);
}

struct key key_state_since(uint8_t kind, const struct hash *hash)
{
	return key_u8_hash(TABLE_STATE_SINCE, kind, hash);
}

struct key key_whole_since(uint64_t arrival)
{
	return key_u64(TABLE_WHOLE_SINCE, arrival);
}

struct key key_link(uint64_t number)
{
	return key_u64(TABLE_LINK, number);
}

struct key key_orphan(uint8_t class, uint64_t body_no)
{
	return key_u8_u64(TABLE_ORPHAN, class, body_no);
}

struct key key_body(uint8_t class, uint64_t body_no)
{
	assert(class < BODY_CLASSES);
	struct key k = key_u64(body_no & BODY_NO_APART ? TABLE_PART_APART : TABLE_PART, body_no);
	k.db = DB_BODIES0 + class;
	return k;
}

struct key key_part(uint8_t class, uint64_t body_no, uint8_t kind, uint32_t index, uint16_t slice)
{
	struct key k = key_body(class, body_no);
	add_u8(&k, kind);
	add_u32(&k, index);
	add_u16(&k, slice);
	return k;
}

struct key key_place(const struct place *p)
{
	struct key k = key_table(TABLE_PLACE);
	add_u32(&k, p->queue);
	add_u8(&k, p->exercise);
	add_u8(&k, p->precedence);
	add_u8(&k, p->fresh);
	add_time(&k, p->handle_by_us);
	add_u64(&k, p->arrival);
	return k;
}

struct key key_msg(const struct msgid *id, uint16_t addressee)
{
	struct key k = key_table(TABLE_MSG);
	add_msg(&k, id, addressee);
	return k;
}

struct key key_idempotency(uint32_t day, const struct hash *key)
{
	struct key k = key_table(TABLE_KEY);
	add_u32(&k, day);
	add_hash(&k, key);
	return k;
}

/* ---- stored keys -------------------------------------------------------------------------------------- */

bool key_step(struct key *k)
{
	for (size_t i = k->len; i-- > 0;) {
		if (++k->b[i])
			return true;
	}
	return false;
}

bool key_from(struct key *k, enum kv_db db, struct view stored)
{
	if (stored.len > sizeof k->b)
		return false;
	k->db = db;
	k->len = (uint8_t)stored.len;
	memcpy(k->b, stored.ptr, stored.len);
	return true;
}

struct rd key_fields(struct view stored)
{
	struct rd r = rd_init(stored);
	rd_u8(&r);
	return r;
}

struct wall key_rd_time(struct rd *r)
{
	return (struct wall){(int64_t)(rd_u64(r) ^ 1ULL << 63)};
}
