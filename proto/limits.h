/* limits.h - every limit of estafette, in one place.
 *
 * A name carries its unit; a comment says why the number is what it is and what happens at the limit
 * (refuse, defer, evict). Relations between limits are held by static_assert, so that a change which
 * breaks one does not compile. */
#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H

#include <assert.h>

/* Sites a roster may name. A roster over it is refused. 250 is the size to grow to (DESIGN 9). */
#define LIMIT_SITES 1024
/* Standbys of one site. More would multiply every message; a roster over it is refused. */
#define LIMIT_STANDBYS 6
/* Queues of one site; areas and groups of one network. A roster over it is refused. */
#define LIMIT_QUEUES_PER_SITE 64
#define LIMIT_AREAS 1024
#define LIMIT_GROUPS 256
/* Bearers of one site. */
#define LIMIT_BEARERS 8
/* Identity keys that a site had before. A roster over it is refused; a site is not enrolled anew so often. */
#define LIMIT_FORMER_KEYS 8
/* Dictionaries that a roster names: those that bodies in any journal may still need. A roster over it is refused. */
#define LIMIT_DICTIONARIES 32
/* One of them. 16 KiB help as much as they can; it is sent to every site. */
#define LIMIT_DICTIONARY_BYTES (32 * 1024)
/* The whole roster as text. */
#define LIMIT_ROSTER_BYTES (1024 * 1024)

/* Names: sites, areas, groups, queues, bearers, channels, clients. Lower case letters, digits and '-'. */
#define LIMIT_NAME_BYTES 48
/* An address as typed: name '/' name. */
#define LIMIT_ADDRESS_BYTES (2 * LIMIT_NAME_BYTES + 1)
#define LIMIT_SUBJECT_BYTES 256
#define LIMIT_MEDIA_TYPE_BYTES 128
#define LIMIT_LANG_BYTES 16
#define LIMIT_KEY_BYTES 128      /* idempotency key of `send --id` */
#define LIMIT_REASON_BYTES 256   /* why of refuse, release, ... */
#define LIMIT_USER_BYTES 64      /* by whom */
#define LIMIT_ENDPOINT_BYTES 128 /* tcp://address:port */

/* An entry's header is fixed; envelope sealed. An entry record with both must fit one LMDB page (4080). */
#define LIMIT_HEADER_BYTES 64
#define LIMIT_ENVELOPE_BYTES 3072
static_assert(LIMIT_HEADER_BYTES + LIMIT_ENVELOPE_BYTES + 512 <= 4080, "an entry record fits one page");

/* Wall times in headers and records: 1970 to the end of the year 9999, so that adding a duration never overflows.
 * A decoder refuses what lies outside; an encoder brings its own into it. */
#define LIMIT_WALL_US 253402300799999999LL

/* A body: 1 GiB of plain text at most; over it the submission is refused. */
#define LIMIT_BODY_BYTES (1024LL * 1024 * 1024)
/* A chunk: plain bytes of a body sealed together. The sealed chunk must fit a frame. */
#define LIMIT_CHUNK_BYTES 65408
#define LIMIT_SEALED_CHUNK_BYTES (LIMIT_CHUNK_BYTES + 128)
#define LIMIT_CHUNKS ((LIMIT_BODY_BYTES + LIMIT_CHUNK_BYTES - 1) / LIMIT_CHUNK_BYTES)
/* Hashes of chunks are listed in pages of so many; the manifest lists the pages' hashes. */
#define LIMIT_LEAVES_PER_PAGE 1024
#define LIMIT_MANIFEST_PAGES 17
static_assert(LIMIT_CHUNKS <= (long long)LIMIT_LEAVES_PER_PAGE * LIMIT_MANIFEST_PAGES, "a manifest lists a largest body");

/* One frame between nodes: the plaintext of one ZeroMQ message. Larger ones cut the link of the peer that sent them. */
#define LIMIT_FRAME_BYTES (72 * 1024)
static_assert(LIMIT_SEALED_CHUNK_BYTES + 512 <= LIMIT_FRAME_BYTES, "a sealed chunk travels in one frame");
/* Entries, headers, envelopes and bodies of one segment. */
#define LIMIT_SEGMENT_BYTES (64 * 1024)
/* An entry with the largest body of one chunk: over LIMIT_SEGMENT_BYTES, so it is a segment by itself. */
#define LIMIT_ENTRY_BYTES (LIMIT_HEADER_BYTES + LIMIT_ENVELOPE_BYTES + LIMIT_SEALED_CHUNK_BYTES + 64)
#define LIMIT_SEGMENT_ENTRIES 256
/* A signed head at least every so many entries, so that a segment's tail of hashes is bounded. */
#define LIMIT_HEAD_SPACING 32
static_assert(LIMIT_ENTRY_BYTES + LIMIT_HEAD_SPACING * 32 + 512 <= LIMIT_FRAME_BYTES, "a largest entry travels in one frame");
/* Entries below a frontier that may be not whole; at the limit a stream takes no more until one is whole. */
#define LIMIT_NOT_WHOLE 64
/* Streams of one originator that a node takes: its incarnations times addressees times precedences. Beyond it new ones are
 * refused and alarmed. A stream costs a node about 3 KiB of memory. */
#define LIMIT_STREAMS_PER_ORIGINATOR 16384
/* Custodians of one stream: addressee, standbys, successors, originator. */
#define LIMIT_CUSTODIANS 16

/* One request or reply on the client socket. A longer one closes the connection. */
#define LIMIT_REQUEST_BYTES (80 * 1024)
static_assert(LIMIT_CHUNK_BYTES + 8 * 1024 <= LIMIT_REQUEST_BYTES, "a chunk travels in one request");
/* Addressees of one submission, ids of one ack: more are refused. */
#define LIMIT_REQUEST_ADDRESSES 64
#define LIMIT_REQUEST_IDS 1024
/* What one client may have open at a time: takes, waits, bodies on their way in. More are refused until one ends. */
#define LIMIT_CLIENT_TAKES 64
#define LIMIT_CLIENT_WAITS 4096
#define LIMIT_CLIENT_UPLOADS 16
/* A lease: at most a day. */
#define LIMIT_LEASE_US (24LL * 3600 * 1000000)
/* Messages of one queue and precedence that are out at desks or lent at one time: what follows, and what is less urgent, waits in the queue
 * until some were read or came back. So a desk that takes a backlog and acknowledges late, or never, costs a node its leases (about 100 bytes of memory each) and not
 * the backlog. Lent are at most half as many, so that what was lent never keeps the site's own desks waiting. */
#define LIMIT_QUEUE_LEASES 65536

#endif
