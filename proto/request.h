/* request.h - what a client and its node say to each other over the local Unix stream socket.
 *
 * Each message is u32 length (of what follows), u8 version (1), u8 type, u32 tag, then fields: u8 field, u32 length,
 * bytes; integers big-endian. The client picks the tag; every reply carries the tag of its request. Requests may be
 * pipelined; replies to different requests come in any order. Unknown fields are ERR_FORMAT, so that a client learns
 * that its node is older. The document is proto/README.md; a client in Python in tests/ proves it. */
#ifndef PROTO_REQUEST_H
#define PROTO_REQUEST_H

#include "proto/buf.h"
#include "proto/err.h"
#include "proto/id.h"
#include "proto/limits.h"

#define REQUEST_VERSION 1
#define REQUEST_HEAD_BYTES 10 /* length, version, type, tag */

enum request_type {
	/* requests */
	REQ_SUBMIT = 1,        /* TO.., PRECEDENCE, [...], BODY (whole) or BODY_BYTES (then REQ_CHUNK until all came) */
	REQ_CHUNK = 2,         /* same tag as its SUBMIT; BODY: next bytes; LIMIT_CHUNK_BYTES each but the last */
	REQ_TAKE = 3,          /* QUEUE, COUNT, LEASE_US, [EXERCISE]: up to COUNT replies TAKEN, as messages come, until cancelled */
	REQ_TAKE_STOP = 4,     /* tag of the TAKE; answered by REPLY_DONE when no more TAKEN will follow */
	REQ_READ = 5,          /* ID, [TO site/queue], INDEX: chunk INDEX of the plain body -> REPLY_BODY */
	REQ_ACK = 6,           /* ([QUEUE], ID).., [BY]: read. QUEUE: where the next ID was taken. Also signs off alarms (ALARM) */
	REQ_REFUSE = 7,        /* ([QUEUE], ID).., REASON */
	REQ_RETURN = 8,        /* ([QUEUE], ID)..: give leases back, as if not taken */
	REQ_EXTEND = 9,        /* ([QUEUE], ID).., LEASE_US */
	REQ_CANCEL = 10,       /* ID.. */
	REQ_WAIT = 11,         /* ID, STATE: REPLY_STATE when that is reached */
	REQ_SHOW = 12,         /* WHAT: status queues links streams alarms trace browse check orders conflicts; [QUEUE] [ID] -> rows */
	REQ_RELEASE = 13,      /* WHAT (queue, peer or id), REASON: waive a wait */
	REQ_ORDER = 14,        /* WHAT relocate|handback|revoke, TO (the site), ASSIGN.., [WITHOUT..], [REASON], [EXERCISE], [DRY] -> rows, DONE */
	REQ_ENDORSE = 15,      /* WHAT (the beginning of an order's id), or BLOB (an endorsement by the authority) -> a row, DONE */
	REQ_ASSIST = 16,       /* QUEUE, TO (a site), COUNT -> DONE */
	REQ_PURGE = 17,        /* EXERCISE, [NUMBER: the entry to go on at], [DRY]: a step of removing its messages here -> a row, DONE */
	REQ_PACK = 18,         /* TO.. (sites, or all), [PRECEDENCE], [SIZE]: a bundle begins -> PIECE; then INDEX 1, 2, ... each -> PIECE, until LAST */
	REQ_UNPACK = 19,       /* PIECE (a bundle's head), BLOB (its end) -> a row, DONE; then INDEX, PIECE (a frame of it) each -> a row, DONE */
	REQ_RETRY = 20,        /* WHAT (a peer).. : its links are dialled anew at once, over any bearer -> DONE */
	REQ_REPLAY = 21,       /* QUEUE, [TO: into that queue], [SINCE], [UNTIL], [PRECEDENCE], [CHANNEL], [FROM], [REASON], [COUNT], [DRY, NUMBER], [LAST]: a step -> a row, DONE */
	/* replies */
	REPLY_ERROR = 128,     /* CODE, TEXT, [TIME: when to try again]; ends the request */
	REPLY_ACCEPTED = 129,  /* ID, DUPLICATE, STATE; one a submission */
	REPLY_STATE = 130,     /* ID, STATE, [TO] : a wait was met; ends a WAIT */
	REPLY_TAKEN = 131,     /* the message's fields, BODY when it is one chunk; else BODY_BYTES and REQ_READ */
	REPLY_BODY = 132,      /* BODY, INDEX, LAST */
	REPLY_ROW = 133,       /* one row: NAME, then one of TEXT, NUMBER, FLAG, TIME, LIST for each member, in order */
	REPLY_DONE = 134,      /* ends ACK, RETURN, SHOW, TAKE_STOP, a counted TAKE; COUNT: how many were done */
	REPLY_PIECE = 136,     /* PIECE, INDEX, LAST: bytes of a bundle; with LAST after rows that say what is in it */
	REPLY_NEXT = 135,      /* SUBMIT with BODY_BYTES, READ: ready for more; COUNT chunks may be sent unasked */
};

enum request_field {
	F_TO = 1, F_PRECEDENCE = 2 /* u8 */, F_TYPE = 3, F_LANG = 4, F_CHANNEL = 5, F_SUBJECT = 6, F_RE = 7 /* 16 bytes */, F_EXPIRES = 8 /* i64 wall us */,
	F_KEY = 9 /* idempotency */, F_EXERCISE = 10 /* text: its name */, F_BODY = 11, F_BODY_BYTES = 12 /* u64 */, F_QUEUE = 13, F_COUNT = 14 /* u32 */,
	F_LEASE_US = 15 /* i64 */, F_ID = 16 /* 16 bytes */, F_BY = 17, F_REASON = 18, F_STATE = 19 /* u8 enum wait_state */, F_WHAT = 20,
	F_INDEX = 21 /* u32 */, F_LAST = 22 /* u8 */, F_ALARM = 23 /* text */, F_CODE = 24 /* text: err_code */, F_TEXT = 25, F_DUPLICATE = 26 /* u8 */,
	F_FROM = 27, F_SENT = 28 /* i64 */, F_PERHAPS_SEEN = 29 /* text: where */, F_REPLAYED = 30 /* u8 */, F_SIZE = 31 /* u64 */,
	F_NAME = 32, F_NUMBER = 33 /* i64 */, F_FLAG = 34 /* u8 */, F_TIME = 35 /* i64 wall us */, F_LIST = 36 /* text, items apart by \n */,
	F_PLAIN_HASH = 37 /* 32 bytes */, F_NULL = 38 /* empty */, F_HANDLE_BY = 39 /* i64 */, F_AREA = 40 /* text */,
	F_ASSIGN = 41 /* text: SITE[:QUEUE,..|:area=A|:share=N%] */, F_WITHOUT = 42 /* text: a site */, F_DRY = 43 /* u8 */, F_BLOB = 44 /* signed state */, F_PIECE = 45 /* of a bundle */,
	F_SINCE = 46 /* i64 wall us */, F_UNTIL = 47 /* i64 wall us */,
	F_COUNT_OF_FIELDS
};

/* What a sender may wait for, in order. */
enum wait_state { STATE_ACCEPTED = 1, STATE_HELD_BY_STANDBY = 2, STATE_HELD = 3, STATE_DELIVERED = 4, STATE_READ = 5,
                  STATE_REFUSED = 6, STATE_EXPIRED = 7, STATE_CANCELLED = 8 };
const char *wait_state_name(unsigned s); /* "accepted", "held-by-standby", ... */
MUST_USE enum err wait_state_parse(const char *text, enum wait_state *out);

/* Writer of one message: begin, fields, end (which patches the length). */
struct request_writer { struct buf *out; size_t at; };
void request_begin(struct request_writer *w, struct buf *out, uint8_t type, uint32_t tag);
void request_field(struct request_writer *w, uint8_t field, struct view v);
void request_str(struct request_writer *w, uint8_t field, const char *s); /* nothing when s is NULL or "" */
void request_u8(struct request_writer *w, uint8_t field, uint8_t x);
void request_u32(struct request_writer *w, uint8_t field, uint32_t x);
void request_u64(struct request_writer *w, uint8_t field, uint64_t x);
void request_id(struct request_writer *w, const struct msgid *id);
/* A message over LIMIT_REQUEST_BYTES leaves out bad. */
void request_end(struct request_writer *w);

/* Reader. request_length: how long the message at the start of v is, once 4 bytes are there: 0 when more bytes are needed,
 * else the full length with the length field; ERR_TOO_LARGE over LIMIT_REQUEST_BYTES, ERR_FORMAT under the head. */
MUST_USE enum err request_length(struct view v, size_t *len);
struct request { uint8_t type; uint32_t tag; struct view fields; };
/* ERR_TRUNCATED, ERR_FORMAT (length, version 0), ERR_TOO_LARGE, ERR_VERSION. type and tag are filled whenever the head is
 * there, so that the refusal can carry the tag. Fields are read, and judged, by request_next. */
MUST_USE enum err request_decode(struct view message, struct request *out); /* message: exactly one, with its length */
struct request_item { uint8_t field; struct view value; };
/* Takes the next field off *rest; ERR_NOT_FOUND at the end, ERR_TRUNCATED, ERR_FORMAT (unknown field). */
MUST_USE enum err request_next(struct view *rest, struct request_item *out);
/* Values: zeros when the length is wrong; item_ok says whether the value is one for its field: length, limit, range, and
 * text where it is text (a queue, subject, reason and the like; not TEXT and LIST of replies). */
uint8_t item_u8(const struct request_item *i);
uint32_t item_u32(const struct request_item *i);
uint64_t item_u64(const struct request_item *i);
bool item_ok(const struct request_item *i);
/* The same, said for people: m names the field as they know it. ERR_TOO_LARGE, ERR_FORMAT. what: of which request. */
MUST_USE enum err item_check(const struct request_item *i, const char *what, struct errmsg *m);

#endif
