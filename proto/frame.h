/* frame.h - what nodes say to each other: one ZeroMQ message part is one frame.
 *
 * u8 frame version (1), u8 type, then the type's fields. A frame of an unknown type from a newer version is counted and
 * dropped; a malformed one counts against the peer. A sends its data on the connections it dialled (one a lane); B
 * answers on the same connection. */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include "proto/buf.h"
#include "proto/entry.h"
#include "proto/id.h"
#include "proto/seal.h"
#include "proto/stream.h"
#include "proto/vector.h"

#define FRAME_VERSION 1
#define PROTOCOL_MIN 1
#define PROTOCOL_MAX 1

enum frame_type {
	FRAME_HELLO = 1,      /* dialler -> acceptor, first on each connection */
	FRAME_WELCOME = 2,    /* acceptor -> dialler: the same content */
	FRAME_DIGEST = 3,     /* either: a hash an originator over my frontiers that concern us both */
	FRAME_FRONTIERS = 4,  /* either: frontiers; with `complete` all of one originator's; they are the acknowledgements */
	FRAME_SEGMENT = 5,    /* dialler -> acceptor: entries */
	FRAME_WANT = 6,       /* receiver -> holder: body parts wanted */
	FRAME_PART = 7,       /* holder -> receiver: a part of a body */
	FRAME_PROBE = 8,      /* dialler -> acceptor */
	FRAME_PROBE_REPLY = 9,
	FRAME_STATE = 10,     /* rosters, orders, keys: signed, before any segment */
	FRAME_VECTOR = 11,    /* a signed vector, own or passed on */
	FRAME_HEADS = 12,     /* room: provisional heads of early forwarding */
	FRAME_KEYS = 13,      /* either: stream epoch keys asked for, and given to who became a custodian */
};
enum lane { LANE_URGENT = 0, LANE_BULK = 1, LANE_COUNT = 2 };
const char *lane_name(unsigned lane); /* "urgent", "bulk" */

struct hello {
	uint16_t site;
	uint8_t protocol_min, protocol_max;
	uint8_t lane;
	uint8_t recovering;           /* 1: has lost something, wants its own streams back */
	struct incarnation incarnation;
	struct wall now;
	uint32_t roster_serial;
	struct hash state;            /* hash of roster and orders */
	struct view bearer;           /* name of the bearer dialled; empty when the sender does not know it */
};
struct digest_line { uint16_t originator; struct hash hash; };

/* Encoders append one whole frame to out (version and type included). */
void frame_hello(struct buf *out, enum frame_type hello_or_welcome, const struct hello *h);
void frame_digest(struct buf *out, const struct digest_line *lines, size_t n);
/* complete: originator whose frontiers are all here, 0 for a delta. */
void frame_frontiers_begin(struct buf *out, uint16_t complete);     /* then frontier_add each */
/* FRAME_SEGMENT: frame_begin, then the segment writer. */
void frame_begin(struct buf *out, enum frame_type t);
/* A body or a part of it: kind MANIFEST (index 0), PAGE (leaf page index), CHUNK (chunk index), WHOLE (a body of one
 * chunk, at offset of total). */
enum part_kind { PART_WHOLE = 0, PART_MANIFEST = 1, PART_PAGE = 2, PART_CHUNK = 3 };
struct part {
	struct hash body;     /* body hash, as in the entry */
	uint8_t kind;         /* enum part_kind */
	uint32_t index;
	uint32_t offset, total; /* slice of this part: bytes [offset, offset+len) of total; WANT: from offset on, no total */
	struct view bytes;    /* empty in FRAME_WANT, never in FRAME_PART */
	uint32_t count;       /* FRAME_WANT: so many parts from index on, 1 at least (0 in FRAME_PART) */
};
/* The longest part of a kind (0 for an unknown kind) and how many parts of it a body can have. */
uint32_t part_max_bytes(unsigned kind);
uint32_t part_max_count(unsigned kind);
void frame_want(struct buf *out, const struct part *p);
void frame_part(struct buf *out, const struct part *p);
void frame_probe(struct buf *out, enum frame_type probe_or_reply, uint64_t token);

/* Decoder: type in out->type, the member of that name filled, views borrowed. Everything inside is checked for its shape,
 * so that nothing of a malformed frame is applied. ERR_VERSION (newer frame version), ERR_UNSUPPORTED (unknown type),
 * ERR_FORMAT, ERR_TRUNCATED, ERR_TOO_LARGE, ERR_RANGE (a part, count or slice that no body has). */
struct frame {
	enum frame_type type;
	union {
		struct hello hello;                              /* HELLO, WELCOME */
		struct { uint16_t n; struct view lines; } digest; /* n * (2 + 32) bytes: digest_line_next */
		struct { uint16_t complete; struct view rest; } frontiers; /* frontier_next */
		struct segment segment;
		struct part part;                                /* WANT, PART */
		uint64_t token;                                  /* PROBE, PROBE_REPLY */
		struct view raw;                                 /* STATE, VECTOR, HEADS */
	} u;
};
MUST_USE enum err frame_decode(struct view v, struct frame *out);
MUST_USE enum err digest_line_next(struct view *rest, struct digest_line *out);

#endif
