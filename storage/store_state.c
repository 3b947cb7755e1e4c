/* Alarms, signed state, and records found damaged. */
#include "storage/record.h"

/* ---- alarms ------------------------------------------------------------------------------------------------- */

void store_alarm_put(struct txn *t, const struct alarm_row *a)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_alarm(a->id);
	codec_alarm_write(&w, a);
	record_put_wr(t, &k, &w, KV_PUT);
}

enum err store_alarm_get(struct txn *t, const char *id, struct alarm_row *out)
{
	struct key k = key_alarm(id);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	return e ? e : codec_alarm_read(key_view(&k), &r, out);
}

void store_alarm_del(struct txn *t, const char *id)
{
	struct key k = key_alarm(id);
	record_del(t, &k);
}

enum err store_alarm_each(struct txn *t, enum err (*fn)(void *arg, const struct alarm_row *a), void *arg)
{
	struct key all = key_table(TABLE_ALARM);
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct alarm_row row;
		enum err e = codec_alarm_read(w.key, &w.row, &row);
		if (e == ERR_DAMAGED) {
			damage = e;
			continue;
		}
		if (!e)
			e = fn(arg, &row);
		if (e)
			return e;
	}
	return w.err ? w.err : damage;
}

/* ---- state ----------------------------------------------------------------------------------------------------- */

void store_state_put(struct txn *t, uint8_t kind, const struct hash *hash, struct view blob)
{
	struct key k = key_state(kind, hash);
	if (blob.len > LIMIT_ROSTER_BYTES)
		txn_stick(t, ERR_TOO_LARGE);
	record_put(t, &k, blob, KV_PUT);
}

enum err store_state_get(struct txn *t, uint8_t kind, const struct hash *hash, struct view *blob)
{
	struct key k = key_state(kind, hash);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	if (!e)
		*blob = rd_bytes(&r, rd_left(&r));
	return e;
}

enum err store_state_each(struct txn *t, uint8_t kind, enum err (*fn)(void *arg, const struct hash *hash, struct view blob), void *arg)
{
	static const struct hash none;
	struct key all = key_state(kind, &none);
	all.len = 2; /* the table's number and the kind */
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		struct rd k = key_fields(w.key);
		struct hash hash;
		rd_u8(&k);
		rd_copy(&k, hash.b, sizeof hash.b);
		if (rd_done(&k)) {
			damage = ERR_DAMAGED;
			continue;
		}
		enum err e = fn(arg, &hash, rd_bytes(&w.row, rd_left(&w.row)));
		if (e)
			return e;
	}
	return w.err ? w.err : damage;
}

/* ---- damage ---------------------------------------------------------------------------------------------------- */

void store_damage_put(struct txn *t, uint64_t arrival, struct wall found, const char *what)
{
	uint8_t bytes[ROW_BYTES_MAX];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_damage(arrival);
	codec_damage_write(&w, found, what);
	record_put_wr(t, &k, &w, KV_PUT);
}

void store_damage_del(struct txn *t, uint64_t arrival)
{
	struct key k = key_damage(arrival);
	record_del(t, &k);
}

enum err store_damage_each(struct txn *t, enum err (*fn)(void *arg, uint64_t arrival, struct wall found, const char *what), void *arg)
{
	struct key all = key_table(TABLE_DAMAGE);
	struct walk w = walk_begin(t, &all);
	enum err damage = ERR_OK;
	while (walk_next_good(&w, &damage)) {
		char what[DAMAGE_TEXT_BYTES];
		struct wall found;
		uint64_t arrival;
		enum err e = codec_damage_read(w.key, &w.row, &arrival, &found, what);
		if (e == ERR_DAMAGED) {
			damage = e;
			continue;
		}
		if (!e)
			e = fn(arg, arrival, found, what);
		if (e)
			return e;
	}
	return w.err ? w.err : damage;
}
