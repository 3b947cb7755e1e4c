/* report.h - what happened to messages: records that merge in any order.
 *
 * A record says one event, for many messages. Records travel in entries of kind REPORT, inside the sealed envelope. */
#ifndef PROTO_REPORT_H
#define PROTO_REPORT_H

#include "proto/buf.h"
#include "proto/err.h"
#include "proto/id.h"

enum report_event {
	EVENT_DELIVERED = 1,  /* opened and put in its queue, by the addressee's site */
	EVENT_HANDED_OUT = 2, /* leased to a desk */
	EVENT_RETURNED = 3,   /* the lease ended unread */
	EVENT_READ = 4,       /* ends a message */
	EVENT_REFUSED = 5,    /* ends a message */
	EVENT_EXPIRED = 6,    /* ends a message */
	EVENT_CANCELLED = 7,  /* ends a message that is not read */
	EVENT_SEALED = 8,     /* held, but not to be opened here yet */
	EVENT_DEAD = 9,       /* put in the dead-letter queue */
	EVENT_LENT = 10, EVENT_MOVED = 11, EVENT_REPLAYED = 12,
};
const char *report_event_name(unsigned e); /* "delivered", ...; "unknown" for others */
/* True for read, refused, expired, cancelled. */
bool report_event_ends(unsigned e);

/* In the place of an order: the queue's site had lent the message. */
#define REPORT_LENT ((struct hash){{1}})

/* One record. Messages are named by (id, addressee site), as a group's message has one fate a member. */
struct report_record {
	uint8_t event;
	uint16_t addressee;     /* the site whose queue it is about */
	struct wall when;
	struct view by;         /* user or desk; may be empty */
	struct view why;        /* reason; may be empty */
	struct hash order;      /* under which it was served; zeros: as the queue's own site, or what an originator says; REPORT_LENT: lent by it */
	uint16_t ids;
	struct view id_bytes;   /* ids * MSGID_BYTES */
};
/* Appends one record: u8 event, u16 addressee, i64 when, vec8 by, vec16 why, u8 has_order, [32 order], u16 ids, ids.
 * What it writes, report_next takes: by and why are cut to their limits, and bytes that are not text become '?'. */
void report_add(struct buf *out, const struct report_record *r);
size_t report_bytes(const struct report_record *r);
/* Takes the next record off *rest. ERR_FORMAT, ERR_TRUNCATED, ERR_TOO_LARGE. Unknown events are returned as they are. */
MUST_USE enum err report_next(struct view *rest, struct report_record *out);

/* A closing: what a site writes, in a report entry to the queue's site, when an order takes a site's queues from it: the order, what it
 * has still leased, and how far its report streams go. u8 version 1, 32 order, u16 part, u16 parts, u16 leases, ids, u16 heads,
 * a frontier (vector.h, without missing) each. Long ones come in parts, in entries of their own. */
struct closing {
	struct hash order;
	uint16_t part, parts;      /* part from 0; the same leases and heads are in one part only */
	uint16_t leases;
	struct view lease_ids;     /* leases * MSGID_BYTES */
	uint16_t heads;
	struct view head_bytes;    /* frontier_next reads them */
};
/* What an envelope has room for beside nothing else. */
#define CLOSING_BYTES 2900
void closing_add(struct buf *out, const struct closing *c);
MUST_USE enum err closing_decode(struct view v, struct closing *out);

#endif
