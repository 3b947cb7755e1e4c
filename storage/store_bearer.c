/* Over which bearer the entries of a site came: a note where it changes, which holds for all of them up to the next one. */
#include "storage/record.h"

/* The last note before limit, of that site and lane. out: NULL when only its arrival is asked for. */
static enum err note_before(struct txn *t, const struct key *limit, uint64_t *since, char *out)
{
	struct view key, value, row;
	enum err e = kv_before(t->k, limit->db, key_view(limit), &key, &value);
	if (!e && (key.len != limit->len || memcmp(key.ptr, limit->b, limit->len - sizeof *since) != 0))
		e = ERR_NOT_FOUND;
	if (e)
		return e;
	struct rd k = key_fields(key);
	rd_u16(&k);
	rd_u8(&k);
	*since = rd_u64(&k);
	if (!out)
		return ERR_OK;
	e = record_open(key, value, &row);
	struct rd r = rd_init(e ? view_of(NULL, 0) : row);
	struct view name = rd_vec8(&r, LIMIT_NAME_BYTES);
	if (e || rd_done(&r))
		return ERR_DAMAGED;
	if (name.len)
		memcpy(out, name.ptr, name.len);
	out[name.len] = '\0';
	return ERR_OK;
}

enum err store_bearer_get(struct txn *t, uint16_t site, uint8_t lane, uint64_t arrival, char out[LIMIT_NAME_BYTES + 1])
{
	struct key limit = key_bearer(site, lane, arrival + 1);
	uint64_t since;
	out[0] = '\0';
	return note_before(t, &limit, &since, out);
}

/* The first of that site and lane whose successor is at or before the oldest entry here tells of nothing any more. */
static void retire_first(struct txn *t, uint16_t site, uint8_t lane)
{
	struct key at = key_bearer(site, lane, 0);
	struct entry_row oldest;
	struct view key;
	struct rd r;
	uint64_t first, next;
	enum err e = store_entry_from(t, 1, &oldest);
	if (e && e != ERR_DAMAGED)
		return;
	for (int i = 0; i < 2; i++) {
		enum err found = record_from(t, &at, at.len - sizeof first, &key, &r);
		if (found && (found != ERR_DAMAGED || !key.len))
			return;
		struct rd k = key_fields(key);
		rd_u16(&k);
		rd_u8(&k);
		first = rd_u64(&k);
		struct key after = key_bearer(site, lane, first + 1), gone = key_bearer(site, lane, first), none = key_bearer(site, lane, oldest.arrival + 1);
		if (note_before(t, &none, &next, NULL) || next <= first)
			return;
		record_del(t, &gone);
		at = after;
	}
}

static void note(struct txn *t, uint16_t site, uint8_t lane, uint64_t arrival, const char *bearer)
{
	uint8_t bytes[1 + LIMIT_NAME_BYTES];
	struct wr w = wr_init(bytes, sizeof bytes);
	struct key k = key_bearer(site, lane, arrival);
	wr_vec8(&w, view_str(bearer));
	record_put_wr(t, &k, &w, KV_PUT);
}

void store_bearer_put(struct txn *t, uint16_t site, uint8_t lane, uint64_t arrival, const char *bearer)
{
	char was[LIMIT_NAME_BYTES + 1];
	enum err e = store_bearer_get(t, site, lane, arrival, was);
	if (strcmp(was, bearer) == 0 && e != ERR_DAMAGED)
		return;
	note(t, site, lane, arrival, bearer);
	retire_first(t, site, lane);
}

void store_bearer_put_one(struct txn *t, uint16_t site, uint8_t lane, uint64_t arrival, const char *bearer)
{
	struct key after = key_bearer(site, lane, arrival + 2);
	char was[LIMIT_NAME_BYTES + 1];
	uint64_t since;
	enum err e = store_bearer_get(t, site, lane, arrival, was);
	if (strcmp(was, bearer) == 0 && e != ERR_DAMAGED)
		return;
	if (note_before(t, &after, &since, NULL) || since <= arrival)
		note(t, site, lane, arrival + 1, was);
	note(t, site, lane, arrival, bearer);
}
