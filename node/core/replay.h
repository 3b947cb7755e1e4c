/* replay.h - messages that were read or refused, handed out again on purpose.
 *
 * A replay puts copies of a queue's messages beside a queue (storage: "replays"): marked, with who had it done and why. A copy is no
 * place and no lease of its message. It is handed out behind all that waits in the queue, has a lease of its own, and is gone when a desk
 * acknowledges or refuses it, which nobody is told: the message was read before. What is told, as of anything that happens to a message,
 * is that it was replayed. Copies count in no queue, raise no alarm, and are not perhaps seen. Exercise traffic is not replayed. As many are
 * out at a time as of one queue and precedence (LIMIT_QUEUE_LEASES): what is remembered of a replay does not grow with it.
 *
 * Who replays asks for one step after the other, at his pace; how far it came is stored with each step, under a hash of what was asked
 * for, so that the same request goes on after the asker or the node had ended, and places nothing twice. */
#ifndef CORE_REPLAY_H
#define CORE_REPLAY_H

#include "proto/entry.h"
#include "proto/instant.h"
#include "storage/store.h"

struct client;
struct core;
struct msg_event;
struct request;
struct request_writer;
struct take;

/* Handed out in one commit at most, so that a long backlog does not hold up what is urgent. */
#define SERVE_MESSAGES 512
#define SERVE_BYTES (8 * 1024 * 1024)

/* Copies out at desks, and when they come back; one that does not fit the journal any more is passed over. */
struct replay {
	struct replay_due { struct mono at; struct msgid id; struct replay_place place; struct wall since; bool done; } *due;
	size_t n_due, n_done;
	struct mono at;              /* the earliest; MONO_NEVER: none */
};

void replay_request(struct core *c, struct client *cl, const struct request *rq); /* REQ_REPLAY */
/* ---- replay_desk.c ---- */
void replay_load(struct core *c);      /* at the start: leases begin anew */
void replay_leases(struct core *c);    /* ends those that are due */
void replay_committed(struct core *c);
void replay_reload(struct core *c);    /* after a failed commit */
/* Hands out copies to a take that has all else of its queue. False when the batch is large enough. */
bool replay_serve(struct core *c, struct take *t, size_t *served, size_t bytes_from);
/* A copy of that message that is out at a desk, when the message itself is not. addressee: whose queue it was taken from; 0: any. */
bool replay_out(struct core *c, const struct msgid *id, uint16_t addressee, struct replay_copy *out);

/* What a desk says of what it took. */
struct handling {
	uint8_t type;
	const char *by, *why;
	int64_t lease_us;
	uint16_t addressee;          /* of the id that comes next; 0 when the request does not say */
};
void replay_handle(struct core *c, struct replay_copy *copy, const struct handling *how);

/* ---- handle.c, desk.c ---- */
/* Another site's desk ended it while ours had it: ours says so too, and both are told that it was handled twice. */
struct msg_row;
bool handled_too(const struct core *c, const struct msg_row *row, uint8_t which);
/* All of a taken message but REPLAYED and the body. seen: where it was handed out before; NULL: nowhere that one would have to say. */
void taken_fields(struct core *c, struct request_writer *w, const struct take *t, const struct msgid *id, const struct header *h, const struct envelope *env,
		  const struct msg_event *seen);

#endif
