/* client.h - the inside of libestafette: the handle, what is in flight, and what came in.
 *
 * Every request has a tag and a struct call that waits under it. A reply finds its call by the tag: it fills the
 * result, starts the next piece of a body, hands a row to the caller or puts a message on the list. Nothing here blocks
 * but client_wait, which drives the socket until a condition holds. */
#ifndef NODE_CLIENT_CLIENT_H
#define NODE_CLIENT_CLIENT_H

#include <stdbool.h>

#include "node/client/estafette.h"
#include "proto/buf.h"
#include "proto/request.h"

#define SHOW_MEMBERS 96     /* members of one row; a node sends far fewer */
#define READ_PIECES 8       /* pieces of a body asked for ahead */
#define TAKE_WINDOW 256     /* messages that may lie here unread */
#define OUT_SOFT (256 * 1024) /* a streamed body waits while so much is queued */

struct call;
struct bundle_job;
typedef int (*show_row)(void *arg, const struct estafette_member *members, size_t n);

/* A request that is not answered yet, or whose answer nobody fetched. */
struct call {
	uint8_t type;               /* enum request_type */
	bool done;                  /* r is final */
	bool async;                 /* estafette_result delivers it */
	bool orphan;                /* its caller gave up: the answer is dropped */
	struct call *next;          /* in the list of finished ones, or of spare ones */
	struct estafette_result r;
	struct estafette_submission s; /* SUBMIT with a body in pieces */
	uint64_t sent;              /* bytes of it that went out */
	uint32_t credit;            /* SUBMIT: pieces that may be sent unasked; TAKE: messages still to come */
	show_row row;               /* SHOW, ORDER, ENDORSE */
	void *row_arg;
	bool stopped;               /* the row function said so */
	struct piece *piece;        /* READ */
};

/* One piece of a body that was asked for. */
struct piece {
	uint32_t tag;               /* of its READ; 0: none under way */
	bool last;
	uint8_t *bytes;
	size_t len;
};

struct message {
	struct message *next;
	bool whole;                 /* it came with its body */
	struct estafette_message m;
	uint8_t hash[HASH_BYTES];
	size_t used;
	char room[];
};

/* A take is several counted requests, so that what lies unread here is bounded by the window. */
struct take {
	bool active, stopping, refused;
	char code[32], text[400];   /* why it was refused */
	char queue[LIMIT_ADDRESS_BYTES + 1];
	char exercise[LIMIT_NAME_BYTES + 1];
	bool has_exercise, endless;
	int64_t lease_us;
	uint64_t left;              /* not asked for yet; unless endless */
	uint32_t window;
	uint32_t asked;             /* asked for and not come yet */
	uint32_t calls;             /* TAKE and TAKE_STOP requests under way */
};

struct estafette {
	int fd;
	bool broken;                /* no more bytes will pass */
	bool unheard;               /* none of ours will; what the node said before is still read */
	const volatile int *interrupted;
	uint32_t last_tag;
	struct call **slot;         /* by tag & (slots - 1) */
	uint32_t slots, calls;
	struct call *finished, **finished_end;
	struct call *spare;
	uint32_t streams;           /* submissions whose body goes out in pieces */
	size_t async;               /* begun and not fetched */
	struct buf out, in;
	size_t out_at, in_at;       /* bytes of them that are done with */
	struct bundle_job *job;     /* a bundle that is being packed */
	uint32_t given;             /* pieces of a bundle given to the node */
	struct take take;
	struct message *messages, **messages_end, *current;
	uint32_t unread;
	struct estafette_member members[SHOW_MEMBERS];
	struct errmsg why;
	char code[32];
};

/* Remembers why a call fails; returns status. code: a stable word. */
int client_fail(struct estafette *h, int status, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
int client_nomem(struct estafette *h);
int client_closed(struct estafette *h, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A call with a free tag (in r.tag), in its slot; NULL when out of memory. */
struct call *call_new(struct estafette *h, uint8_t type);
struct call *call_find(const struct estafette *h, uint32_t tag);
/* Out of its slot, to be used again. */
void call_free(struct estafette *h, struct call *c);
/* The result is there: on the list of finished ones when it is async. */
void call_done(struct estafette *h, struct call *c, int status);
/* Closes a written request. NOMEM (the call is freed) or TOO_LARGE, else OK. */
int call_begin(struct estafette *h, struct call *c, struct request_writer *w);
/* Waits for a call that is not async, copies its result and frees it. */
int call_finish(struct estafette *h, struct call *c, struct estafette_result *out, int timeout_ms);

/* Drives the socket until ready(arg) or the time is over. OK, TIMEOUT, CLOSED, STOPPED. */
int client_wait(struct estafette *h, bool (*ready)(struct estafette *h, void *arg), void *arg, int timeout_ms);
/* Sends what can be sent without waiting. */
int client_flush(struct estafette *h);
int64_t client_now_ms(void);

/* What a reply does, by the part that asked. Each returns OK, or a status that ends the connection. */
int client_dispatch(struct estafette *h, struct view message);
int submit_next(struct estafette *h, struct call *c, uint32_t more); /* REPLY_NEXT */
int submit_pump(struct estafette *h);                                /* puts the next pieces of bodies in the way */
int take_taken(struct estafette *h, struct call *c, struct view fields, size_t len);
int take_ended(struct estafette *h, struct call *c);
int take_ask(struct estafette *h);                                   /* asks for as many as the window allows */
int read_body_piece(struct estafette *h, struct call *c, struct view fields);
int show_a_row(struct estafette *h, struct call *c, struct view fields);
int pack_piece(struct estafette *h, struct call *c, struct view fields);

#endif
