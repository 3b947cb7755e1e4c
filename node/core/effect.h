/* effect.h - everything a node wants done. Effects leave only after the commit of the step that made them. */
#ifndef CORE_EFFECT_H
#define CORE_EFFECT_H

#include "node/core/event.h"
#include "proto/buf.h"

enum effect_type {
	EFFECT_FRAME = 1,    /* send bytes to peer on (lane, side); lossy: it may be dropped */
	EFFECT_LINK_RESET,   /* drop the dialled connection (peer, lane) and dial anew; side: enum link_reset */
	EFFECT_REPLY,        /* bytes to a client */
	EFFECT_CLIENT_CLOSE, /* after what was said to it has gone out */
	EFFECT_ROSTER,       /* bytes: another roster is in force (roster_blob_open): who is dialled, and who may connect */
	EFFECT_LOG,          /* a line for the log; level as syslog: 3 error .. 7 debug */
	EFFECT_LINK_NEED,    /* what there is for the lane changed; side: enum dial_need */
	EFFECT_LINK_RETRY,   /* all bearers of the peer are worth another try at once, on both lanes */
};
/* Silent: nothing came back of what was due, so another bearer is worth more. Anew: only the conversation begins again. */
enum link_reset { LINK_SILENT, LINK_ANEW };

struct effect {
	enum effect_type type;
	uint16_t peer;
	uint8_t lane, side, level;
	uint64_t client;
	size_t at, len; /* bytes in effects.bytes */
};

struct effects {
	struct buf bytes;
	struct effect *list;
	size_t n, cap;
	bool bad; /* out of memory */
};

#define EFFECTS_EMPTY ((struct effects){BUF_EMPTY, NULL, 0, 0, false})
/* Begin appends to e->bytes; end closes the effect that covers all since begin. */
struct buf *effect_begin(struct effects *e);
void effect_end_frame(struct effects *e, uint16_t peer, uint8_t lane, uint8_t side);
void effect_end_reply(struct effects *e, uint64_t client);
void effect_link_reset(struct effects *e, uint16_t peer, uint8_t lane, enum link_reset how);
void effect_link_need(struct effects *e, uint16_t peer, uint8_t lane, enum dial_need need);
void effect_link_retry(struct effects *e, uint16_t peer);
void effect_client_close(struct effects *e, uint64_t client);
void effect_roster(struct effects *e, struct view blob);
void effect_log(struct effects *e, uint8_t level, const char *fmt, ...) PRINTF_LIKE(3, 4);
static inline struct view effect_bytes(const struct effects *e, const struct effect *f)
{
	return view_of(e->bytes.ptr + f->at, f->len); /* until the next change of e */
}
void effects_clear(struct effects *e); /* keeps the room */
void effects_release(struct effects *e);

#endif
