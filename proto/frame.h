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
#define PROTOCOL_MAX 3
/* From this protocol on a peer reads short acknowledgements and probes, and rosters and dictionaries travel. */
#define PROTOCOL_SHORT 2
/* From this one on it takes entries whose body of one chunk follows by itself, and gives such bodies in slices. */
#define PROTOCOL_SLICES 3

enum frame_type {
	FRAME_HELLO = 1,      /* dialler -> acceptor, first on each connection */
	FRAME_WELCOME = 2,    /* acceptor -> dialler: the same content */
	FRAME_DIGEST = 3,     /* either: a hash an originator over my frontiers that concern us both */
	FRAME_FRONTIERS = 4,  /* either: frontiers; with `complete` all of one originator's; they are the acknowledgements;
	                       * with FRONTIERS_ASK: what the sender holds for others, to be answered with the reader's */
	FRAME_SEGMENT = 5,    /* dialler -> acceptor: entries */
	FRAME_WANT = 6,       /* receiver -> holder: body parts wanted */
	FRAME_PART = 7,       /* holder -> receiver: a part of a body */
	FRAME_PROBE = 8,      /* dialler -> acceptor */
	FRAME_PROBE_REPLY = 9,
	FRAME_STATE = 10,     /* either: orders and endorsements, which are there and what they say */
	FRAME_VECTOR = 11,    /* either: signed vectors, own or passed on, or which are there: node/core/vectors.h */
	FRAME_HEADS = 12,     /* room: provisional heads of early forwarding */
	FRAME_KEYS = 13,      /* either: stream epoch keys asked for, and given to who became a custodian */
	FRAME_FLOOR = 14,     /* holder -> who lacks what is retired: the floor of a stream, instead of a segment */
	FRAME_BUSY = 15,      /* receiver -> giver: entries of a stream are not taken now */
	FRAME_ACKS = 16,      /* acceptor -> dialler: frontiers of streams that the reader has too, in short (protocol 2) */
	FRAME_NUDGE = 17,     /* a probe in short (protocol 2) */
	FRAME_NUDGE_REPLY = 18,
	FRAME_SEGMENT_AFTER = 19, /* dialler -> acceptor: the chain hash before its first entry, then a segment: for who has nothing before it */
	FRAME_GOT = 20,       /* receiver -> holder: parts up to that mark have come; their acknowledgement */
	FRAME_NOT_HERE = 21,  /* holder -> receiver: of a body that was wanted no more is here */
	FRAME_AGAIN = 22,     /* receiver -> holder: one entry is wanted again, since it is damaged here */
	FRAME_SEGMENT_AGAIN = 23, /* holder -> receiver: a segment of that entry alone */
	FRAME_WANT_ENTRY = 24, /* receiver -> holder: the body of one chunk of an entry wanted (protocol 3) */
};
/* The protocol from which on that frame is spoken. */
uint8_t frame_protocol(enum frame_type t);
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
	struct hash roster;           /* of its text */
	struct hash state;            /* over the state objects held: orders and endorsements */
	struct view bearer;           /* name of the bearer dialled; empty when the sender does not know it */
};
struct digest_line { uint16_t originator; struct hash hash; };

/* Encoders append one whole frame to out (version and type included). */
void frame_hello(struct buf *out, enum frame_type hello_or_welcome, const struct hello *h);
void frame_digest(struct buf *out, const struct digest_line *lines, size_t n);
/* complete: originator whose frontiers are all here, 0 for a delta, or FRONTIERS_ASK. */
#define FRONTIERS_ASK 65535
void frame_frontiers_begin(struct buf *out, uint16_t complete);     /* then frontier_add each */
/* FRAME_SEGMENT: frame_begin, then the segment writer. */
void frame_begin(struct buf *out, enum frame_type t);
/* A body or a part of it: kind MANIFEST (index 0), PAGE (leaf page index), CHUNK (chunk index), WHOLE (a body of one
 * chunk, at offset of total). The parts of a body follow one another in this order: manifest, page 0, the chunks that it lists,
 * page 1, ... */
enum part_kind { PART_WHOLE = 0, PART_MANIFEST = 1, PART_PAGE = 2, PART_CHUNK = 3 };
enum want_flag {
	WANT_LOST = 1,        /* what was sent of it from there on did not come and cannot come any more */
	WANT_END = 2,         /* nothing more is wanted of it */
};
#define LIMIT_BODY_PARTS (1 + LIMIT_MANIFEST_PAGES + LIMIT_CHUNKS)
struct part {
	struct hash body;     /* body hash, as in the entry */
	uint8_t kind;         /* enum part_kind */
	uint32_t index;
	uint32_t offset, total; /* slice of this part: bytes [offset, offset+len) of total; WANT: from offset on, no total */
	/* FRAME_PART */
	uint64_t mark;        /* of this part on its lane; rises; GOT names the last one that came */
	struct view bytes;    /* never empty; empty in FRAME_WANT */
	/* FRAME_WANT */
	uint32_t count;       /* so many parts from there on in the order of the body, 1 at least */
	uint8_t rank;         /* what is wanted first: precedence, and PREC_COUNT more for an exercise */
	uint8_t flags;        /* enum want_flag */
};
/* The longest part of a kind (0 for an unknown kind) and how many parts of it a body can have. */
uint32_t part_max_bytes(unsigned kind);
uint32_t part_max_count(unsigned kind);
void frame_want(struct buf *out, const struct part *p);
void frame_part(struct buf *out, const struct part *p);
/* FRAME_WANT_ENTRY: a body of one chunk lies with its entry, so that is named. It comes in slices, in parts of kind WHOLE. */
struct want_entry {
	struct stream_name stream;
	uint64_t number;
	struct hash body;
	uint32_t offset;      /* from there on */
	uint8_t rank, flags;  /* as of a part; WANT_LOST or nothing */
};
void frame_want_entry(struct buf *out, const struct want_entry *w);
void frame_got(struct buf *out, uint64_t mark);
void frame_not_here(struct buf *out, const struct hash *body);
struct probe {
	uint64_t token;               /* the reply repeats it */
	struct hash state;            /* as in the hello */
};
void frame_probe(struct buf *out, enum frame_type probe_or_reply, const struct probe *p);
/* FRAME_NUDGE: a probe whose state is a hint, the first bytes of a hash over all state and the roster. Where it is not what the
 * reader would say, or knows of the sender, the reader shows its state in full. */
#define NUDGE_HINT_BYTES 8
struct nudge {
	uint64_t token;               /* the reply repeats it */
	uint8_t hint[NUDGE_HINT_BYTES];
};
void frame_nudge(struct buf *out, enum frame_type nudge_or_reply, const struct nudge *n);

/* FRAME_ACKS: one frontier in short. Stream and chain are named by the first bytes of their hashes: the reader holds both, and the
 * link's key vouches for the sender. Then varints: the number, how many at or below it are not whole, and each of those less the
 * one before. */
#define ACK_HASH_BYTES 8
struct ack {
	uint8_t stream[ACK_HASH_BYTES], chain[ACK_HASH_BYTES];
	uint64_t number;
	uint16_t not_whole;
	uint64_t missing[LIMIT_NOT_WHOLE];
};
/* frame_begin, then ack_add each. */
void ack_add(struct buf *out, const struct ack *a);
MUST_USE enum err ack_next(struct view *rest, struct ack *out);

/* FRAME_STATE. An offer says what its sender has of a range of names: all after `after`, up to and with `until`, in order of kind
 * and id. So each frame can be answered by itself, whichever others are lost. A given object is one frame; who took it tells its
 * state hash back. */
struct state_name { uint8_t kind; struct hash id; };     /* enum state_kind of order.h, also one of a newer version */
#define STATE_NAME_LAST ((struct state_name){255, {{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, \
                                                    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}}})
int state_name_compare(const struct state_name *a, const struct state_name *b);
struct state_item { struct state_name name; bool declined; }; /* declined: not held and not wanted from the reader, which gave it once */
#define STATE_ITEM_BYTES (1 + 1 + HASH_BYTES)
#define LIMIT_STATE_ITEMS 1024 /* of one frame */
enum state_what {
	STATE_OFFER = 1, STATE_GIVE = 2, STATE_TELL = 3,
	STATE_SHOW = 4,                  /* all that the sender has, by two hashes; protocol 2, as what follows */
	STATE_WANT = 5,                  /* a part of an object that is larger than a frame: a roster, a dictionary */
	STATE_PART = 6,
};
struct state_frame {
	uint8_t what;                    /* enum state_what */
	struct hash state;               /* the sender's state hash */
	bool answer;                     /* offer: the reader offers back when the two can still learn something */
	struct state_name after, until;
	uint16_t n;
	struct view items;               /* offer: state_item_next, rising */
	uint8_t kind;                    /* give */
	struct view blob;                /* give: 1 to LIMIT_STATE_BYTES bytes */
	uint32_t serial;                 /* show: of the roster in force there, and the hash of its text */
	struct hash roster;
	struct state_name name;          /* want, part */
	uint32_t offset;                 /* want, part */
	uint32_t bytes;                  /* want: so many at most, 1 to LIMIT_STATE_PART_BYTES; part: so many, when they are unpacked */
	uint32_t total;                  /* part: of the whole object; 0: the sender does not have it */
	uint8_t method, dictionary;      /* part: as pack made blob */
};
#define LIMIT_STATE_PART_BYTES (32 * 1024)
void frame_state_want(struct buf *out, const struct hash *state, const struct state_name *name, uint32_t offset, uint32_t bytes);
/* f: name, offset, bytes, total, method, dictionary, blob. */
void frame_state_part(struct buf *out, const struct hash *state, const struct state_frame *f);
void frame_state_offer(struct buf *out, const struct hash *state, bool answer, const struct state_name *after,
                       const struct state_name *until, const struct state_item *items, size_t n);
void frame_state_give(struct buf *out, const struct hash *state, uint8_t kind, struct view blob);
void frame_state_tell(struct buf *out, const struct hash *state);
void frame_state_show(struct buf *out, const struct hash *state, uint32_t serial, const struct hash *roster);

/* FRAME_KEYS: keys of entries that the sender cannot open, asked for; and one given: a grant (seal.h) for the reader alone. */
struct key_name { struct stream_name stream; uint64_t number; };
#define KEY_NAME_BYTES (STREAM_NAME_BYTES + 8)
#define LIMIT_KEYS_WANTED 64 /* of one frame */
enum keys_what { KEYS_WANT = 1, KEYS_GIVE = 2 };
struct keys_frame {
	uint8_t what;                    /* enum keys_what */
	uint16_t n;
	struct view names;               /* want: key_name_next; number: of an entry that cannot be opened */
	struct key_name name;            /* give; number: of the stream's grant entry that the key belongs to */
	struct view grant;               /* give: GRANT_BYTES_FOR_ONE */
};
void frame_keys_want(struct buf *out, const struct key_name *names, size_t n);
void frame_keys_give(struct buf *out, const struct key_name *name, struct view grant);

/* FRAME_FLOOR: what the reader lacks of a stream up to the floor is not kept any more. */
struct floor_frame {
	struct stream_name stream;
	struct floor floor;
	uint64_t grant;                  /* number of the grant under which the entries behind the floor lie; 0: they begin with one */
};
#define FLOOR_FRAME_BYTES (STREAM_NAME_BYTES + FLOOR_BYTES + 8)
void frame_floor(struct buf *out, const struct floor_frame *f);

/* FRAME_BUSY: the reader gave entries of a stream that its peer does not take now. */
enum busy_why { BUSY_ROOM = 1, BUSY_UNPROVED = 2 };
struct busy_frame {
	struct stream_name stream;
	uint64_t held;                   /* as in a frontier: what came before is here */
	uint32_t wait_ms;                /* nothing of the stream is to be sent for so long */
	uint8_t why;                     /* room: the journal is nearly full; unproved: a stub whose end is not known yet */
};
void frame_busy(struct buf *out, const struct busy_frame *f);

/* FRAME_AGAIN: an entry that its sender holds damaged, or without its body of one piece. Who has it whole answers with FRAME_SEGMENT_AGAIN; who
 * has not says nothing. */
struct again_frame {
	struct hash stream;              /* hash of the stream's name */
	uint64_t number;                 /* from 1 */
};
void frame_again(struct buf *out, const struct again_frame *f);

/* Decoder: type in out->type, the member of that name filled, views borrowed. Everything inside is checked for its shape,
 * so that nothing of a malformed frame is applied. ERR_VERSION (newer frame version), ERR_UNSUPPORTED (unknown type),
 * ERR_FORMAT, ERR_TRUNCATED, ERR_TOO_LARGE, ERR_RANGE (a part, count or slice that no body has). */
struct frame {
	enum frame_type type;
	union {
		struct hello hello;                              /* HELLO, WELCOME */
		struct { uint16_t n; struct view lines; } digest; /* n * (2 + 32) bytes: digest_line_next */
		struct { uint16_t complete; struct view rest; } frontiers; /* frontier_next */
		struct { struct hash before; struct segment segment; } after; /* SEGMENT_AFTER */
		struct segment segment;                          /* SEGMENT, SEGMENT_AGAIN */
		struct part part;                                /* WANT, PART */
		uint64_t got;                                    /* GOT */
		struct hash not_here;                            /* NOT_HERE */
		struct want_entry want_entry;
		struct probe probe;                              /* PROBE, PROBE_REPLY */
		struct nudge nudge;                              /* NUDGE, NUDGE_REPLY */
		struct { struct view rest; } acks;               /* one at least: ack_next */
		struct state_frame state;
		struct keys_frame keys;
		struct floor_frame floor;
		struct busy_frame busy;
		struct again_frame again;
		struct view raw;                                 /* VECTOR, HEADS */
	} u;
};
MUST_USE enum err frame_decode(struct view v, struct frame *out);
MUST_USE enum err digest_line_next(struct view *rest, struct digest_line *out);
MUST_USE enum err state_item_next(struct view *rest, struct state_item *out);
MUST_USE enum err key_name_next(struct view *rest, struct key_name *out);

#endif
