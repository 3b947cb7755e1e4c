/* A roster with its signature as one object. */
#include "proto/roster.h"

#include <stdlib.h>

#include "proto/buf.h"
#include "proto/cursor.h"

#define BLOB_VERSION 1

void roster_blob_add(struct buf *out, struct view text, struct view minisig)
{
	buf_add_u8(out, BLOB_VERSION);
	buf_add_u16(out, (uint16_t)minisig.len);
	buf_add(out, minisig);
	buf_add(out, text);
}

enum err roster_blob_read(struct view blob, struct view *text, struct view *minisig)
{
	struct rd r = rd_init(blob);
	uint8_t version = rd_u8(&r);

	if (!r.err && version > BLOB_VERSION)
		return ERR_VERSION;
	if (!r.err && version == 0)
		return ERR_FORMAT;
	*minisig = rd_vec16(&r, LIMIT_MINISIG_BYTES);
	*text = rd_bytes(&r, rd_left(&r));
	if (r.err)
		return r.err;
	return text->len > LIMIT_ROSTER_BYTES ? ERR_TOO_LARGE : ERR_OK;
}

enum err roster_blob_open(struct view blob, const struct minisign_public *authority, struct roster **out, struct errmsg *m)
{
	struct view text, minisig;
	enum err e = roster_blob_read(blob, &text, &minisig);

	*out = NULL;
	if (e)
		return err_set(m, e, "roster: it cannot be read: %s", err_text(e));
	return roster_open("from a peer", text, minisig, authority, out, m);
}

struct hash roster_state_id(uint32_t serial, const struct hash *text)
{
	struct hash id;

	for (int i = 0; i < 4; i++)
		id.b[i] = (uint8_t)(serial >> (24 - 8 * i));
	memcpy(id.b + 4, text->b, HASH_BYTES - 4);
	return id;
}

uint32_t roster_state_serial(const struct hash *id)
{
	return (uint32_t)id->b[0] << 24 | (uint32_t)id->b[1] << 16 | (uint32_t)id->b[2] << 8 | id->b[3];
}
