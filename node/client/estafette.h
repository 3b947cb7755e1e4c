/* estafette.h - the client library: a program at a site speaks to the site's own node over its local socket.
 *
 * One message through it. A desk's program makes a handle and connects it to the node's socket; it submits a message
 * (estafette_submit) and, when that returns ESTAFETTE_OK, the message is on the node's disk and has an id. At the other
 * site a program starts a take (estafette_take), gets each message with estafette_next, does its work and acknowledges
 * with estafette_ack; what it does not acknowledge goes back into the queue when its lease ends.
 *
 * Calls come in two shapes. The plain ones block until the answer is there or timeout_ms have passed. Those ending in
 * _begin only queue the request and return a tag; estafette_result delivers the answers, in whatever order they come, so
 * that many requests may be in flight. estafette_fd and estafette_events fit the handle into a poll loop, where
 * estafette_drive(h, 0) moves the bytes.
 *
 * A handle belongs to one thread at a time. Timeouts are milliseconds; ESTAFETTE_FOREVER waits without end. Strings are
 * UTF-8. Every struct handed in begins with its own size, so that later versions can add members at its end: use
 * the _INIT macros. Everything returned is borrowed; each function says until when. */
#ifndef ESTAFETTE_H
#define ESTAFETTE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ESTAFETTE_API __attribute__((visibility("default")))
#else
#define ESTAFETTE_API
#endif

#define ESTAFETTE_FOREVER (-1)
#define ESTAFETTE_ID_SIZE 27        /* the text of an id, with its NUL */
#define ESTAFETTE_CHUNK_BYTES 65408 /* a body up to this travels whole, a larger one in pieces of it */

/* What a call comes to. Only the first is success; estafette_error_code and _text say more about the others. */
enum estafette_status {
	ESTAFETTE_OK = 0,
	ESTAFETTE_TIMEOUT = 1, /* the time ran out; what was asked may still happen */
	ESTAFETTE_END = 2,     /* nothing more will come (estafette_next, estafette_result) */
	ESTAFETTE_REFUSED = 3, /* the node said no; error_code is its reason */
	ESTAFETTE_USAGE = 4,   /* the call itself was wrong */
	ESTAFETTE_NO_NODE = 5, /* nobody listens at the socket */
	ESTAFETTE_CLOSED = 6,  /* the connection is gone; free the handle */
	ESTAFETTE_NOMEM = 7,
	ESTAFETTE_STOPPED = 8  /* a callback, or estafette_interrupt, stopped the call */
};

typedef struct estafette estafette;

/* ---- a connection ------------------------------------------------------------------------------------- */

/* A handle that is not connected; NULL when out of memory. */
ESTAFETTE_API estafette *estafette_new(void);
/* Closes the connection. What was taken and not acknowledged stays leased until its lease ends. NULL is fine. */
ESTAFETTE_API void estafette_free(estafette *h);
/* Connects to the node's socket. USAGE when connected already or the path is over 107 bytes, NO_NODE, REFUSED. */
ESTAFETTE_API int estafette_connect(estafette *h, const char *socket_path);
/* The process at the other end, as the kernel vouches for it; 0 when not connected. */
ESTAFETTE_API pid_t estafette_node_pid(const estafette *h);
/* The last failure of this handle: a stable word ("timeout", "unknown_queue", ...) and a sentence. Until the next call. */
ESTAFETTE_API const char *estafette_error_code(const estafette *h);
ESTAFETTE_API const char *estafette_error_text(const estafette *h);

/* For a poll loop: the descriptor, and the poll events to wait for now (POLLIN, with POLLOUT when bytes wait). */
ESTAFETTE_API int estafette_fd(const estafette *h);
ESTAFETTE_API short estafette_events(const estafette *h);
/* Sends and receives what can be now, waiting at most timeout_ms for something to happen. OK, TIMEOUT, CLOSED. */
ESTAFETTE_API int estafette_drive(estafette *h, int timeout_ms);
/* Blocking calls also watch this flag and return STOPPED soon after a signal handler made it non-zero and interrupted
 * them. NULL for none. */
ESTAFETTE_API void estafette_interrupt(estafette *h, const volatile int *flag);

/* ---- sending -------------------------------------------------------------------------------------------- */

enum estafette_precedence { ESTAFETTE_FLASH = 0, ESTAFETTE_IMMEDIATE = 1, ESTAFETTE_PRIORITY = 2, ESTAFETTE_ROUTINE = 3 };

/* What a sender may wait for; the last three are ends that are not "read". */
enum estafette_state {
	ESTAFETTE_ACCEPTED = 1, ESTAFETTE_HELD_BY_STANDBY = 2, ESTAFETTE_HELD = 3, ESTAFETTE_DELIVERED = 4, ESTAFETTE_READ = 5,
	ESTAFETTE_MSG_REFUSED = 6, ESTAFETTE_MSG_EXPIRED = 7, ESTAFETTE_MSG_CANCELLED = 8
};
/* "accepted", "held-by-standby", ...; "unknown" for others. Lives for ever. */
ESTAFETTE_API const char *estafette_state_name(int state);

struct estafette_submission {
	size_t size;                 /* sizeof(struct estafette_submission) */
	const char *const *to;       /* addresses "cic-luik/dispatch"; n_to of them, one message with one id */
	size_t n_to;
	int precedence;              /* enum estafette_precedence */
	const char *type, *lang, *channel, *subject, *re, *key, *exercise; /* NULL for none; re: an id */
	int64_t expires_us;          /* microseconds since 1970, UTC; 0 for never */
	const void *body;            /* body_bytes of them; may be NULL when read is set */
	uint64_t body_bytes;
	/* Reads the next n bytes of the body into buf, all of them: n, or -1 to give up. Called while the submission is
	 * under way, so that a large body is never whole in memory. */
	ssize_t (*read)(void *arg, void *buf, size_t n);
	/* Told how many bytes of the body went out. May be NULL. */
	void (*progress)(void *arg, uint64_t sent, uint64_t of);
	void *arg;
};
#define ESTAFETTE_SUBMISSION_INIT { sizeof(struct estafette_submission), NULL, 0, ESTAFETTE_ROUTINE }

/* The answer to one request. Which members mean something depends on the request. */
struct estafette_result {
	size_t size;
	uint32_t tag;                /* as the _begin gave it */
	int status;                  /* enum estafette_status */
	char id[ESTAFETTE_ID_SIZE];  /* submit, wait */
	int duplicate;               /* submit: the key was known, id is the first one's */
	int state;                   /* submit, wait: enum estafette_state */
	uint32_t count;              /* ack and its like: how many were done */
	char code[32];               /* REFUSED: the reason as a stable word */
	char text[400];              /* REFUSED: and as a sentence */
	int64_t until_us;            /* REFUSED with "busy": not before that is it worth trying again, by the wall clock; 0: not said */
};
#define ESTAFETTE_RESULT_INIT { sizeof(struct estafette_result) }

/* OK: the message is on the node's disk. A timeout counts from the last piece of the body that the node took. */
ESTAFETTE_API int estafette_submit(estafette *h, const struct estafette_submission *s, struct estafette_result *out, int timeout_ms);
/* The body is copied when it travels whole; otherwise body, or read and arg, must live until the result is there. */
ESTAFETTE_API int estafette_submit_begin(estafette *h, const struct estafette_submission *s, uint32_t *tag);
/* Returns when the message reached state, or an end that makes it impossible: out->state says which. For a group: by
 * every member. */
ESTAFETTE_API int estafette_wait(estafette *h, const char *id, int state, struct estafette_result *out, int timeout_ms);
ESTAFETTE_API int estafette_wait_begin(estafette *h, const char *id, int state, uint32_t *tag);

/* The next answer to what was begun. OK: out is filled, its own status says how it went. END: nothing is in flight. */
ESTAFETTE_API int estafette_result(estafette *h, struct estafette_result *out, int timeout_ms);
/* Requests begun whose result was not fetched yet. */
ESTAFETTE_API size_t estafette_in_flight(const estafette *h);

/* ---- taking --------------------------------------------------------------------------------------------- */

struct estafette_take {
	size_t size;
	const char *queue;           /* "cic-luik/dispatch", or "dispatch" for the node's own site */
	uint64_t count;              /* how many; 0: until estafette_take_stop */
	int64_t lease_us;            /* 0: the node's default */
	const char *exercise;        /* NULL: operational traffic */
	uint32_t window;             /* how many may lie fetched and unread here; 0: 256 */
};
#define ESTAFETTE_TAKE_INIT { sizeof(struct estafette_take), NULL, 1 }

struct estafette_message {
	size_t size;
	const char *id, *from, *queue, *to;                             /* never NULL */
	const char *type, *lang, *channel, *subject, *re, *exercise, *area; /* NULL when absent */
	const char *perhaps_seen;    /* NULL, or where it was handed out before */
	int precedence, replayed;
	int64_t sent_us, expires_us, handle_by_us; /* 0: none */
	uint64_t body_bytes;
	const void *body;            /* NULL: it came apart, see estafette_read_body */
	const unsigned char *plain_hash; /* 32 bytes, or NULL: the node's hash of the plain body (proto/README.md) */
	const char *replayed_by, *replayed_why; /* NULL, or who had it handed out again, and why */
};

/* Starts a take; one at a time. Messages come leased; any connection that may take can acknowledge them. */
ESTAFETTE_API int estafette_take(estafette *h, const struct estafette_take *t);
/* The next message, borrowed until the next estafette_next, estafette_take_end or estafette_free.
 * END: all were got, or the take was stopped. */
ESTAFETTE_API int estafette_next(estafette *h, const struct estafette_message **out, int timeout_ms);
/* Asks for no more. estafette_next still gives what was under way, then END. */
ESTAFETTE_API int estafette_take_stop(estafette *h);
/* Reads a body piece by piece, in order. write returns 0, or anything else to stop. m may have its body at hand too. */
ESTAFETTE_API int estafette_read_body(estafette *h, const struct estafette_message *m,
                                      int (*write)(void *arg, const void *bytes, size_t n), void *arg, int timeout_ms);

/* ---- what became of messages ------------------------------------------------------------------------------ */

enum estafette_verdict {
	ESTAFETTE_DO_ACK = 1,    /* read, or a conflict signed off; text: by whom */
	ESTAFETTE_DO_REFUSE = 2, /* text: the reason, required */
	ESTAFETTE_DO_RETURN = 3, /* as if not taken */
	ESTAFETTE_DO_EXTEND = 4, /* lease_us from now */
	ESTAFETTE_DO_CANCEL = 5, /* withdraws what this site sent and nobody read */
	ESTAFETTE_DO_ACK_ALARM = 6 /* ids are the ids of alarms */
};
/* n ids, any number (sent in as many requests as needed); ID@QUEUE, with the queue of the taken message, says which one is meant
 * where a site may have taken one message from two queues (a group's, from its own and from one that it serves for another site). *done, which may be NULL, gets how many it applied to. */
ESTAFETTE_API int estafette_apply(estafette *h, int verdict, const char *const *ids, size_t n, const char *text,
                                  int64_t lease_us, uint32_t *done, int timeout_ms);
/* At most 1024 ids. */
ESTAFETTE_API int estafette_apply_begin(estafette *h, int verdict, const char *const *ids, size_t n, const char *text,
                                        int64_t lease_us, uint32_t *tag);
static inline int estafette_ack(estafette *h, const char *const *ids, size_t n, const char *by, int timeout_ms)
{
	return estafette_apply(h, ESTAFETTE_DO_ACK, ids, n, by, 0, NULL, timeout_ms);
}
/* Frees a queue, a peer or an id from what it waits for, by hand. */
ESTAFETTE_API int estafette_release(estafette *h, const char *what, const char *reason, int timeout_ms);
/* All bearers of a peer are worth another try at once. */
ESTAFETTE_API int estafette_retry(estafette *h, const char *peer, int timeout_ms);

/* ---- looking ----------------------------------------------------------------------------------------------- */

enum estafette_kind {
	ESTAFETTE_NULL = 0, ESTAFETTE_TEXT = 1, ESTAFETTE_NUMBER = 2, ESTAFETTE_FLAG = 3,
	ESTAFETTE_TIME = 4, /* number: microseconds since 1970, UTC */
	ESTAFETTE_LIST = 5  /* text: the items, apart by newlines; "" for none */
};
struct estafette_member {
	const char *name;
	int kind;
	const char *text; /* TEXT, LIST */
	int64_t number;   /* NUMBER, FLAG (0 or 1), TIME */
};
/* what: status, queues, links, streams, alarms, trace, browse, check, orders, conflicts. queue and id narrow it, where
 * that makes sense; NULL otherwise. row is called for each row, its members borrowed for the call; a result other than 0
 * stops (STOPPED). */
ESTAFETTE_API int estafette_show(estafette *h, const char *what, const char *queue, const char *id,
                                 int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg, int timeout_ms);

/* What a forecast starts from: of one message, of one queue (SITE/NAME, or NAME of this site), or of everything that is addressed to a
 * site (queue: its name) for those who would get it. */
struct estafette_forecast {
	size_t size;
	const char *id, *queue;       /* one of them; NULL for the other */
	const char *const *successors;/* n_successors names of sites */
	size_t n_successors;
	const char *exercise;         /* what an exercise would move; NULL: operational messages */
};
#define ESTAFETTE_FORECAST_INIT { sizeof(struct estafette_forecast), NULL, NULL, NULL, 0, NULL }
/* row as by estafette_show; its first member `part` is site, link, load, message or, as the last one, here. No row at all: there is no
 * such queue, or the node does not know the message. `estafette-sim forecast` reckons with these rows. */
ESTAFETTE_API int estafette_forecast(estafette *h, const struct estafette_forecast *f,
                                     int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg, int timeout_ms);

/* ---- orders: who serves a site's queues -------------------------------------------------------------------------- */

struct estafette_order {
	size_t size;
	const char *kind;            /* "relocate", "handback", "revoke", "minimize" or "lift" */
	const char *site;            /* the site that it is about; NULL for minimize and lift, which are about all */
	const char *const *assign;   /* n_assign of them: SITE, SITE:QUEUE,.., SITE:area=A or SITE:share=N% */
	size_t n_assign;
	const char *const *without;  /* handback: n_without successors that are gone and not waited for */
	size_t n_without;
	const char *reason, *exercise; /* NULL for none */
	int dry;                     /* nothing is signed: the rows say what it would do */
	int precedence;              /* minimize: the first that is held back, ESTAFETTE_ROUTINE or ESTAFETTE_PRIORITY */
	int64_t until_us;            /* minimize: its end, microseconds since 1970; within 24 hours */
};
#define ESTAFETTE_ORDER_INIT { sizeof(struct estafette_order) }
/* Gives an order in the name of the node's site. row, which may be NULL, is called as by estafette_show: once with the order
 * (id, state, kind, site, epoch, votes, needs, why, hash), or for each row of a dry run, whose first member `part` is queue,
 * successor, giver or summary, and of minimize and lift precedence, site or summary. REFUSED with the code "busy": not now, ask again. */
ESTAFETTE_API int estafette_order(estafette *h, const struct estafette_order *o,
                                  int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg, int timeout_ms);
/* Endorses an order, named by the beginning of its id, in the name of the node's site; row gets the order as above. dry: nothing
 * is signed, and after the order's row come rows with one member, blob: the signed order in base 64, in pieces. */
ESTAFETTE_API int estafette_endorse(estafette *h, const char *order, int dry,
                                    int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg, int timeout_ms);
/* Hands the node an endorsement that the network's authority signed (proto/README.md). */
ESTAFETTE_API int estafette_endorse_signed(estafette *h, const void *endorsement, size_t n,
                                           int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg, int timeout_ms);
/* Lends up to count messages (0: the node's choice) of one of the node's queues to a standby. *done, which may be NULL, gets how many. */
ESTAFETTE_API int estafette_assist(estafette *h, const char *queue, const char *to, uint32_t count, uint32_t *done, int timeout_ms);

/* ---- what an exercise left ---------------------------------------------------------------------------------------- */

struct estafette_purged {
	size_t size;
	uint64_t purged;   /* messages */
	uint64_t waiting;  /* of them, in a queue or at a desk */
	uint64_t sealed;   /* entries of exercises that cannot be opened here, and stay */
	uint64_t bytes;    /* of sealed bodies */
};
#define ESTAFETTE_PURGED_INIT { sizeof(struct estafette_purged), 0, 0, 0, 0 }
/* Removes the messages of an exercise from the node's journal, in as many requests as it takes, each within timeout_ms. dry: only
 * counts. *out has what was done also when it fails on the way; called again, it goes on. */
ESTAFETTE_API int estafette_purge(estafette *h, const char *exercise, int dry, struct estafette_purged *out, int timeout_ms);

/* ---- what is handed out again on purpose ------------------------------------------------------------------------------ */

struct estafette_replay {
	size_t size;
	const char *queue;          /* whose messages, those that were read or refused */
	const char *into;           /* another queue that the node serves; NULL: the same */
	int64_t from_us, to_us;     /* sent then or later, and before; 0: any time */
	int precedence;             /* -1: any */
	const char *channel, *originator, *reason; /* NULL: any, any, none */
	uint32_t count;             /* of this step, at most; 0: the node's choice */
	int dry;                    /* only count */
};
#define ESTAFETTE_REPLAY_INIT { sizeof(struct estafette_replay), NULL, NULL, 0, 0, -1 }
struct estafette_replayed {
	size_t size;
	uint64_t replayed, now;     /* in all; in this step */
	uint64_t by_precedence[4];
	uint64_t waiting;           /* not, as they still wait or are out at a desk */
	uint64_t ended;             /* not, as they expired or were cancelled */
	uint64_t sealed, quarantined, damaged; /* not, as they cannot be opened here, are kept back, cannot be read */
	uint64_t gone, elsewhere;   /* not, as the body is not here; as another site serves them */
	int64_t began_us;           /* the first step of this replay, and by whom */
	char by[72];
	uint64_t next;              /* 0: nothing is left; keep it for the next step */
};
#define ESTAFETTE_REPLAYED_INIT { sizeof(struct estafette_replayed) }
/* One step of a replay. Called again with the same struct, until out->next is 0; then estafette_replay_end ends it. A replay that broke
 * off goes on where it was when the same is asked for again. */
ESTAFETTE_API int estafette_replay(estafette *h, const struct estafette_replay *r, struct estafette_replayed *out, int timeout_ms);
ESTAFETTE_API int estafette_replay_end(estafette *h, const struct estafette_replay *r, int timeout_ms);

/* ---- bundles: what a courier carries on a stick ------------------------------------------------------------------------ */

struct estafette_pack {
	size_t size;
	const char *const *sites;    /* n_sites names; "all" for everybody, transit copies too */
	size_t n_sites;
	int precedence;              /* that and above */
	uint64_t max_bytes;          /* 0: as many as it takes */
};
#define ESTAFETTE_PACK_INIT { sizeof(struct estafette_pack), NULL, 0, ESTAFETTE_ROUTINE, 0 }
/* Packs a bundle: write gets its bytes in order, each time some KiB, and returns 0, or anything else to stop (STOPPED). At the end row
 * is called as by estafette_show, once for the whole (part: bundle) and once a precedence (part: precedence), with what is in it and
 * what was left out for want of room. timeout_ms counts for each step. */
ESTAFETTE_API int estafette_pack(estafette *h, const struct estafette_pack *p, int (*write)(void *arg, const void *bytes, size_t n),
                                 int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg, int timeout_ms);
/* Gives a bundle to the node: first its head and its end, once the whole of it was checked (proto/bundle.h), then its pieces in order. Each is
 * committed before row is called for it. Several are under way at a time; estafette_unpack_wait returns when at most so many are. A bundle
 * may be given again, from the beginning, as often as one likes. Nothing else may be in flight on the handle meanwhile. */
ESTAFETTE_API int estafette_unpack(estafette *h, const void *head, size_t head_bytes, const void *end, size_t end_bytes,
                                   int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg, int timeout_ms);
ESTAFETTE_API int estafette_unpack_piece(estafette *h, const void *piece, size_t n,
                                         int (*row)(void *arg, const struct estafette_member *members, size_t n), void *arg, int timeout_ms);
ESTAFETTE_API int estafette_unpack_wait(estafette *h, size_t most, int timeout_ms);

#ifdef __cplusplus
}
#endif
#endif
