/* When bearers of peers were up, and when not. */
#include "storage/record.h"

#define LINK_ROW_BYTES (2 + 1 + LIMIT_NAME_BYTES + 1 + 8 + 8 + 4 + 1 + 8 + 8 + 8)

static enum err read_row(struct view key, struct rd *r, struct link_row *out)
{
	struct rd k = key_fields(key);
	*out = (struct link_row){.number = rd_u64(&k), .peer = rd_u16(r)};
	struct view name = rd_vec8(r, LIMIT_NAME_BYTES);
	if (name.len)
		memcpy(out->bearer, name.ptr, name.len);
	out->is = rd_u8(r);
	out->at.us = rd_i64(r);
	out->noted.us = rd_i64(r);
	out->more = rd_u32(r);
	out->now_is = rd_u8(r);
	out->last.us = rd_i64(r);
	out->rtt_us = rd_i64(r);
	out->rate_bps = rd_i64(r);
	return rd_done(&k) || rd_done(r) || out->is > LINK_IS_DOWN || out->now_is > LINK_IS_DOWN ? ERR_DAMAGED : ERR_OK;
}

uint64_t store_link_last(struct txn *t)
{
	struct key limit = key_table(TABLE_LINK);
	struct view key, value;
	limit.b[0]++;
	if (kv_before(t->k, limit.db, key_view(&limit), &key, &value) != ERR_OK || !key.len || key.ptr[0] != TABLE_LINK)
		return 0;
	struct rd k = key_fields(key);
	return rd_u64(&k);
}

void store_link_put(struct txn *t, struct link_row *row)
{
	uint8_t bytes[LINK_ROW_BYTES];
	struct wr w = wr_init(bytes, sizeof bytes);
	if (!row->number)
		row->number = store_link_last(t) + 1;
	struct key k = key_link(row->number);
	wr_u16(&w, row->peer);
	wr_vec8(&w, view_str(row->bearer));
	wr_u8(&w, row->is);
	wr_i64(&w, row->at.us);
	wr_i64(&w, row->noted.us);
	wr_u32(&w, row->more);
	wr_u8(&w, row->now_is);
	wr_i64(&w, row->last.us);
	wr_i64(&w, row->rtt_us);
	wr_i64(&w, row->rate_bps);
	record_put_wr(t, &k, &w, KV_PUT);
}

void store_link_del(struct txn *t, uint64_t number)
{
	struct key k = key_link(number);
	record_del(t, &k);
}

enum err store_link_from(struct txn *t, uint64_t number, struct link_row *out)
{
	struct key from = key_link(number);
	struct view key = {NULL, 0};
	struct rd r;
	enum err e = record_from(t, &from, 1, &key, &r);
	if (!e)
		return read_row(key, &r, out);
	struct rd k = key_fields(key);
	*out = (struct link_row){.number = key.len ? rd_u64(&k) : 0};
	return e == ERR_DAMAGED && !key.len ? ERR_IO : e;
}
