/* play_int.h - the parts of a play. Private to play*.c.
 *
 *   play.c       life, timetable          play_send.c  the desk of each site that sends
 *   play_fault.c events as faults         play_desk.c  the desks that take
 *   play_order.c orders, and what is lent  play_courier.c bundles that are driven */
#ifndef SIM_PLAY_INT_H
#define SIM_PLAY_INT_H

#include "sim/play.h"
#include "sim/prng.h"
#include "sim/workload.h"

/* After a node is up, or a connection broke, people try again so soon; after "no room" they wait longer. */
#define AGAIN_US (1 * US_PER_S)
/* People see first what has become of what was not answered. */
#define RESEND_US (8 * US_PER_S)
#define NO_ROOM_US (60 * US_PER_S)
/* A site hands over so many messages before it waits for an answer. */
#define UNANSWERED 32

/* A message that a site wants to send, until it is answered for good. */
struct parcel_out {
	struct parcel_out *next;  /* in its line; NULL while it is with the node */
	struct load_message m;    /* the texts point into the members below, and into the drill */
	char subject[LIMIT_SUBJECT_BYTES + 1], key[LIMIT_KEY_BYTES + 1];
	uint32_t tag;
	uint32_t chunks_sent;     /* of a body of several chunks */
	struct buf body;          /* only while chunks are sent */
	bool tried;
};

/* All that one site sends. */
struct sender {
	uint64_t client;          /* 0: no session */
	struct parcel_out *first[PREC_COUNT], *last[PREC_COUNT]; /* kept, not with the node */
	struct parcel_out *out[UNANSWERED];
	size_t n_out;
	uint32_t tag;
	int64_t wait_until_us;    /* the node had no room */
	bool timer;               /* a try is due */
};

/* What a person at a desk has been given and not yet dealt with. */
struct task {
	struct task *prev, *next; /* all of a play */
	struct play *p;
	size_t seat;
	uint32_t sitting;         /* of its seat: an older one is void */
	struct msgid id;
	enum desk_act act;
	uint32_t read_tag, index; /* of a body of several chunks that is being read */
};

/* One person at a desk. */
struct seat {
	struct play *p;
	size_t desk;              /* index of drill.desks */
	uint16_t site;            /* where it works */
	bool guest, came;         /* not at home: it takes from the queue of its home at another site, since an order sent it there */
	uint64_t client;
	uint32_t sitting;         /* rises with each session */
	uint32_t tag, take_tag;
	int in_hand;              /* messages of this take not yet dealt with */
	bool done;                /* the take was answered in full */
	bool away, timer;
	int64_t busy_until_us;
};

/* A label and what became of it. */
struct labelled { const char *label; uint16_t site; struct msgid id; };

struct play {
	const struct drill *d;
	struct world *w;
	struct watch *watch;      /* may be NULL */
	struct workload *load;
	int64_t speed;            /* of the traffic's time against the world's; 1 but in live drills */
	struct play_counts counts;
	bool repaired;
	size_t next_event;
	struct sender *senders;   /* one a site */
	size_t n_seats;
	struct seat *seats;       /* by desk */
	struct task *tasks;
	struct giving *givings;   /* orders given, or still to be taken */
	struct trip *trips;       /* couriers, on their way or there */
	size_t n_labelled;
	struct labelled *labelled;
	bool nomem;
};

/* play_send.c */
void send_take(struct play *p, const struct load_message *m);  /* a message is due */
void send_site_up(struct play *p, size_t site);
void send_cancel(struct play *p, const char *label);
void send_release(struct play *p);
/* play_desk.c */
void desk_site_up(struct play *p, size_t site);
void desks_return(struct play *p); /* all of them */
void desks_away(struct play *p, const struct drill_event *e, bool away);
void desks_crash(struct play *p, const struct drill_event *e);
void desk_release(struct play *p);
/* The sites to which an order of the drill may send a desk: how many; out (may be NULL) gets a flag a site. */
size_t desk_goes_to(const struct play *p, size_t desk, bool *out);
void desks_follow(struct play *p, const struct drill_event *e); /* people go where an order sends their queues */
/* play_order.c */
void order_give(struct play *p, const struct drill_event *e);   /* relocate, handback, assist, minimize */
void order_release(struct play *p);
/* play_courier.c */
void courier_goes(struct play *p, const struct drill_event *e);
void courier_release(struct play *p);
/* play_fault.c */
void fault_begin(struct play *p, const struct drill_event *e);
void fault_end(struct play *p, const struct drill_event *e);

/* Asks for a try of the sender or seat after some time; once. */
void sender_again(struct play *p, size_t site, int64_t after_us);
void seat_again(struct play *p, size_t seat, int64_t after_us);

/* Iterates over whole replies in bytes; false at the end. */
struct request;
bool next_reply(struct view *bytes, struct request *r);
struct view reply_value(const struct request *r, uint8_t field, bool *there);

#endif
