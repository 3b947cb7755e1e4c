/* entry.h - what travels and what is stored: a header that never changes, a sealed envelope, a sealed body.
 *
 * One message: the desk in Namen sends 900 bytes to `cic-luik/dispatch`. Its node makes a header (who, when, how
 * urgent), seals the body under a fresh content key, puts queue, subject and that key into an envelope, seals the
 * envelope under the epoch key of the stream Namen->Luik at that precedence, and appends the three as an entry: the
 * next number of the stream. Relays and standbys carry the three unchanged. See proto/README.md for the bytes. */
#ifndef PROTO_ENTRY_H
#define PROTO_ENTRY_H

#include "proto/crypt.h"
#include "proto/id.h"
#include "proto/limits.h"
#include "proto/view.h"

#define HEADER_VERSION 1
/* Kinds from 0 to 127. A node holds, relays and counts kinds it does not know. */
enum entry_kind { KIND_MESSAGE = 1, KIND_REPORT = 2, KIND_GRANT = 3 };
enum header_flag {
	HEADER_EXERCISE = 1,     /* exercise traffic; equals the stream's */
	HEADER_CLOCK_UNSURE = 2, /* the originator did not trust its clock: nobody expires this unasked */
	HEADER_GROUP = 4,        /* one of several entries with this id, expanded from `group` */
	HEADER_CHUNKED = 8,      /* the body is a manifest's: hash of body is that of the manifest */
};

/* Fixed size, canonical, 64 bytes; the associated data of every seal. */
struct header {
	uint8_t kind;         /* enum entry_kind */
	uint8_t flags;
	uint8_t precedence;
	uint8_t bucket;       /* size bucket of the padded body (seal.h); 0 for none */
	struct msgid id;
	uint16_t originator;  /* site number */
	uint16_t area;        /* service area number addressed, 0 for none */
	uint16_t group;       /* group number addressed, 0 for none */
	uint32_t roster;      /* serial of the roster under which the address was understood */
	struct wall sent;
	struct wall handle_by; /* 0: none */
	struct wall expires;   /* 0: never */
};
#define HEADER_BYTES 64 /* of which 9 reserved, zero */
/* Times outside 0..LIMIT_WALL_US are brought into it (a deadline before 1970 stays one that has passed). */
void header_encode(const struct header *h, uint8_t out[HEADER_BYTES]);
/* ERR_TRUNCATED, ERR_VERSION, ERR_FORMAT (reserved bits or bytes set, precedence, kind or a time out of range; not
 * exactly HEADER_BYTES). An unknown kind is no error. */
MUST_USE enum err header_decode(struct view v, struct header *out);
/* True when originator, precedence and exercise flag are those of the stream: no entry says otherwise. */
bool header_fits(const struct header *h, const struct stream_name *stream);

/* What only custodians need; plaintext of the sealed envelope. Fields are tagged (u8 tag, u16 length, bytes) in
 * rising order of tag, absent when empty; tags from 128 on are skipped when unknown, lower ones are ERR_VERSION. */
struct envelope {
	struct view queue;     /* name at the addressee site */
	struct view to;        /* the address as the sender wrote it: cic-luik/dispatch, eupen/dispatch, all-cic/messages */
	struct view subject, channel, type, lang, client, exercise; /* may be empty; type defaults to application/octet-stream */
	struct view idempotency; /* key of `send --id`, empty for none */
	struct view note;      /* free for later kinds */
	bool has_re;
	struct msgid re;
	bool has_body;
	uint64_t body_bytes;   /* of the plain body */
	struct hash body_plain_hash; /* BLAKE2b-256 of the plain body: shown, and checked after opening */
	struct sym_key content_key;
	struct view records;   /* kind REPORT: report records (report.h) */
	struct view closing;   /* kind REPORT: a closing (report.h) */
};
/* ERR_TOO_LARGE when over size or LIMIT_ENVELOPE_BYTES - SYM_OVERHEAD_BYTES, or a field over its limit; ERR_FORMAT when
 * queue is not a name or another of the words is not text (view_is_text). */
MUST_USE enum err envelope_encode(const struct envelope *e, uint8_t *out, size_t size, size_t *len);
/* Views are borrowed from v. ERR_FORMAT, ERR_TRUNCATED, ERR_VERSION, ERR_TOO_LARGE. */
MUST_USE enum err envelope_decode(struct view v, struct envelope *out);

/* An entry as it lies in memory between decoder and store; all views borrowed. */
struct entry {
	struct view header;      /* HEADER_BYTES */
	struct view envelope;    /* sealed; empty when the entry is a stub or has none */
	struct hash header_hash, envelope_hash, body_hash; /* zeros for an absent envelope or body */
	uint64_t body_len;       /* sealed bytes in all; 0 for none */
	struct view body;        /* sealed body when it is at hand in one piece, else empty */
	uint8_t flags;           /* enum entry_flag */
};
enum entry_flag {
	ENTRY_STUB = 1,          /* header and hashes only */
	ENTRY_BODY_APART = 2,    /* body_len > 0 and the body is not in `body`: fetched in pieces by body_hash */
};
/* Fills the hashes from the bytes that are there: header's always, envelope's unless it is a stub, body's (and body_len)
 * when body is at hand; zeros for what the entry does not have; what is elsewhere is left as it is. */
void entry_hash(struct entry *e);
/* The hash of one entry inside its chain: HASH_LEAF of header hash, envelope hash, body hash, u64 body_len
 * (so that nobody on the way can lie about the size of a body that comes later). */
struct hash entry_leaf(const struct entry *e);

#endif
