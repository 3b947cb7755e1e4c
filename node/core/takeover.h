/* takeover.h - who serves whose queues: orders, what follows from them, and what is handed over. Part of core_int.h.
 *
 * In July 2021 the CIC of Luik moves to Leuven and Namen. spoc-brussel signs a relocation; its node stores it (state.c), settles
 * the chain of cic-luik (orders.c), and gives it to its peers, which do the same. At Leuven `dispatch` of cic-luik is now served:
 * takeover.c marks the queue, and the desk that waits there is handed what stands in it, since Leuven as a standby holds streams and
 * reports. At Luik, if it lives, the queue is served no more: leases out end by their own rules, and a closing is written, a report
 * that names the order, what is still leased, and how far Luik's report streams go. The handback is one more order: Leuven
 * closes, and Luik opens its queue when it holds every closing and what they name.
 *
 *   orders.c    the orders known here, which is in force, who owns a message, who is a custodian
 *   state.c     state kept and exchanged: offers, what is given, who has it
 *   takeover.c  what changes with an order: queues opened and closed, closings, gates, leases of others
 *   told.c      what waits at a successor is told to those who sent it
 *   redo.c      long work in small steps: entries opened again when a key or an order has come
 *   grants.c    keys asked for, given, and taken
 *   quarantine.c  what a revoked site signed beyond its revocation
 *   conflict.c  messages handled at two sites
 *   give.c      orders given here: requests, checks, what an order would do
 *   assist.c    a part of a queue lent to a standby
 */
#ifndef CORE_TAKEOVER_H
#define CORE_TAKEOVER_H

#include "proto/order.h"

struct core;
struct peer;
struct queue;
struct stream;
struct request;
struct client;
struct state_frame;
struct state_name;
struct keys_frame;
struct state_item;
struct state_name;

/* ---- orders.c ------------------------------------------------------------------------------------------------ */

struct order_known {
	struct hash id;
	struct buf blob;
	struct order order;           /* points into blob */
	enum order_state state;       /* as order_settle says, for its whole chain */
	uint8_t rank;
	unsigned votes;
	bool on_chain, revoked;       /* revoked: under it the site's keys do not count */
	bool fresh;                   /* it counts since this batch: reports may have waited for it */
	bool refused_now;             /* since this batch */
	bool waiting_told;            /* the alarm of a pending one is out */
	char why[160];
	struct order_known *before;   /* its predecessor when on_chain */
	uint32_t former_under;        /* by_former was looked at under the roster of that serial */
	bool by_former;               /* signed with an identity that its issuer had before */
	struct order_known *bucket;   /* the next one of its bucket */
};
struct endorsement_known { struct hash id; struct buf blob; struct endorsement e; uint32_t former_under; bool by_former; };
/* How far a successor has told senders of what stands in a queue. */
struct tell { bool going; size_t queue; struct place from; };
/* The orders of one site, operational or of exercises. */
struct chain {
	uint16_t site;
	bool exercise;
	struct order_known *now;      /* in force; NULL: the site itself */
	const struct order_known *whole; /* here at home: the last order that left it all here and whose closings, and all before, are held */
	bool open;                    /* what came home with `now` may be handed out there: all closings are held */
	bool ready;                   /* a successor that was no standby has caught up with who was one */
	struct mono since;            /* when `now` came into force here, in this run */
	struct tell tell;
};
#define ORDER_BUCKETS 256
struct takeover {
	struct order_known **orders; size_t n_orders;
	struct order_known *by_id[ORDER_BUCKETS];
	struct endorsement_known **endorsements; size_t n_endorsements;
	struct chain *chains; size_t n_chains;
	bool *revoked; size_t n_revoked;     /* by site number: a revocation of it is in force */
	bool *ever_revoked;                  /* as many: one is on its chain, in force or before a handback */
	unsigned limits;                     /* rises whenever the limits of streams may be others: quarantine.c */
	bool dirty;                          /* orders or who serves changed: queues are looked at again before the commit */
	bool moved;                          /* who is a custodian changed: flows are built anew before the commit */
	bool touched;                        /* state was stored in this batch: read anew when it fails */
	struct wall minimize_ends;           /* the first end of a MINIMIZE that still waits for endorsements; INT64_MAX: none waits */
	struct mono at;                      /* when gates are looked at again at the latest; MONO_NEVER: when something happens */
	bool closings;                       /* chains changed, or a recovery ended: closings may be due */
	struct hash state;                   /* over all state objects held: in hello and probes */
	struct redo { uint32_t stream; uint64_t next, upto; } *redo; size_t n_redo;
};

/* Reads state and settles it; part of mirror_load. Drop frees everything. */
MUST_USE enum err orders_load(struct core *c);
void orders_drop(struct core *c);
/* A state object that came from a client (from 0) or a peer, checked and stored when new; what follows from it has happened when this
 * returns. *is_new: it was not here before. ERR_AUTH, ERR_KEY, ERR_REFUSED, ERR_UNKNOWN_SITE, ... with m filled: refused, not stored,
 * and alarmed when it came from a peer. An order that waits for its predecessor, roster or endorsements is stored. */
/* Alarms of orders that wait, as their states are now: one whose time is over waits for nothing any more. */
void orders_look_waiting(struct core *c);
MUST_USE enum err orders_take(struct core *c, enum state_kind kind, struct view blob, uint16_t from, struct hash *id, bool *is_new, struct errmsg *m);
/* Settles everything again, under the roster in force: after a new roster. */
void orders_settle_all(struct core *c);
struct order_known *order_find(const struct core *c, const struct hash *id);
/* By the beginning of its id in hexadecimal digits, 4 at least: NULL when unknown or when several begin so. */
struct order_known *order_find_text(const struct core *c, struct view text);
struct chain *chain_find(const struct core *c, uint16_t site, bool exercise); /* NULL: no order about that site is known */
/* The site whose desks may have a message, by the orders in force here. */
uint16_t owner_of(const struct core *c, uint16_t site, bool exercise, struct view queue, uint16_t area, const struct msgid *id);
/* By the chain as it is, gates not considered: does self own all, some or none of what comes into that queue? */
enum serving { SERVES_NONE = 0, SERVES_SOME = 1, SERVES_ALL = 2 };
enum serving queue_serving(const struct core *c, const struct queue *q, bool exercise);
/* The queue's owners by the order in force, as text for people: "cic-namen", "cic-namen, cic-vlaams-brabant". */
void owners_text(const struct core *c, const struct queue *q, bool exercise, char *out, size_t size);
/* Addressee (unless revoked or removed), its standbys, its successors by the order in force. Returns how many. */
size_t custodians(const struct core *c, uint16_t addressee, bool exercise, uint16_t out[LIMIT_CUSTODIANS]);
/* The same if that order were in force (NULL: none). */
size_t custodians_under(const struct core *c, uint16_t addressee, const struct order *o, uint16_t out[LIMIT_CUSTODIANS]);
/* May site's reports about messages of addressee count: by any valid order known here, in force or superseded? */
bool may_serve(const struct core *c, uint16_t site, uint16_t addressee, bool exercise);
/* The order under which self serves addressee's queues: in force and naming self, else the latest that named it. NULL: none. */
const struct order_known *order_served_by(const struct core *c, uint16_t addressee, bool exercise);
bool site_revoked(const struct core *c, uint16_t site);
bool site_ever_revoked(const struct core *c, uint16_t site);
const struct order_known *revocation_of(const struct order_known *o); /* the last one at or before o on its chain; NULL: none */

/* ---- quarantine.c ---------------------------------------------------------------------------------------------- */

/* A revocation names how far its signers held the streams of the revoked site. What lies beyond the highest point that fits the
 * chain here is kept in quarantine until a person releases or refuses it. After a handback that goes on for what a former
 * identity signed: whoever has the old key can still use it. */
void limits_changed(struct core *c, bool quiet); /* orders, endorsements or the roster changed */
void limits_load(struct core *c);                /* once the streams are read */
void limit_again(struct core *c, struct stream *s); /* its row was read anew */
uint64_t stream_limit(struct core *c, struct stream *s); /* UINT64_MAX: none */
/* Is it to be kept back: beyond its stream's limit, and not released? */
struct entry_row;
bool quarantine_holds(struct core *c, struct stream *s, const struct entry_row *row);
void quarantine_keep(struct core *c, struct stream *s, const struct entry_row *row, bool applied);
void quarantine_free(struct core *c, struct stream *s, const struct entry_row *row); /* the limit has passed it */
struct msg_row;
void quarantine_ended(struct core *c, const struct msg_row *row); /* it has ended: there is nothing left to decide */
/* By a person, by the id of a message or of a report entry. ERR_NOT_FOUND: nothing of that id is kept back. */
bool quarantine_known(struct core *c, const struct msgid *id);
MUST_USE enum err quarantine_release(struct core *c, const struct msgid *id, const char *by);
MUST_USE enum err quarantine_refuse(struct core *c, const struct msgid *id, const char *by, const char *why);

/* ---- state.c ---------------------------------------------------------------------------------------------------- */

/* HELLO, WELCOME and probes carry the hash of the sender's state: where it differs, one offers what it has, the other gives what
 * the first lacks and offers back. What is new is given to all peers at once (orders_take). */
void state_changed(struct core *c);                                    /* computes takeover.state anew */
void state_hello(struct core *c, struct peer *p, const struct hash *state); /* the peer's, from a hello */
void state_heard(struct core *c, struct peer *p, const struct hash *state); /* and from a probe */
/* Is all of the peer's state here, but for what was refused? */
bool state_complete(const struct core *c, const struct peer *p);
void state_frame(struct core *c, struct peer *p, const struct state_frame *f);
/* What a peer gave and was refused is not asked for from it again, under this roster. */
bool state_refused(const struct core *c, uint16_t site, const struct state_name *name);
void state_refuse(struct core *c, struct peer *p, const struct state_name *name);
void state_show(struct core *c, struct peer *p); /* our hashes, so that it offers where they differ from its own */
void state_give_all(struct core *c, enum state_kind kind, const struct hash *id, uint16_t but); /* to every reachable peer but one */
/* Has that site shown that it has this order (its state equals ours, or it offered or gave it)? */
bool state_acknowledged(const struct core *c, const struct hash *id, uint16_t site);
void exchange_free(struct core *c);
/* All that is held, by name; the caller's. NULL when out of memory. What one of them says; empty when it is not held any more. */
struct state_item *state_list(const struct core *c, size_t *n);
struct view state_blob(const struct core *c, const struct state_name *name);

/* What was heard of state and keys, and asked: never stored, and true also when the batch fails. */
struct exchange {
	/* state.c */
	struct state_holders *holders; size_t n_holders; /* who has which order, by id */
	struct state_refused *refused; size_t n_refused; /* what came and was refused, and from whom: not asked for again */
	uint32_t refused_under;                          /* the roster's serial */
	/* grants.c */
	struct key_wanted *wanted; size_t n_wanted, cap_wanted; /* by stream and grant */
	bool look_all, clear;                            /* grants are looked at; alarms may be over */
	size_t look_stream; uint64_t look_number;        /* how far */
};

/* ---- takeover.c ---------------------------------------------------------------------------------------------------- */

/* The order in force of a chain changed from before to ch->now (either may be NULL). */
void takeover_changed(struct core *c, struct chain *ch, struct order_known *before);
/* After an event that brought an order, before the next one: what came to concern this site, or does not any more, counts as that from here
 * on. A copy on its way that is to be held begins anew, and nobody may be told in between, as a custodian tells it, how far it was. */
void takeover_moved(struct core *c);
/* Once a batch, before messages are handed out: who serves what, gates that may open, flows to new custodians. */
void takeover_look(struct core *c);
/* Once a batch, after the reports: closings that are due, which the journal says: of each order on a chain that self gives something
 * up under, one is kept there once it is written. Not while recovering. */
void takeover_finish(struct core *c);
/* May this message of queue q be handed out here now? row's events say whether another site has it leased. */
enum may {
	NOT_MINE,  /* another site has it, until an order says otherwise */
	MAY_NOT,   /* not now: a gate is closed, or another site has it out at a desk */
	MAY,
};
enum may takeover_may(struct core *c, const struct queue *q, bool exercise, uint16_t area, const struct msgid *id, struct view events);
/* Is all of that queue waiting for a gate, so that nobody needs to look at its messages? */
bool takeover_shut(const struct core *c, const struct queue *q, bool exercise);
/* The other site that has the message out at a desk, as far as its events say; 0 for none. */
uint16_t leased_at(const struct core *c, struct view events);
/* A closing came in with a report entry of giver. */
void takeover_closing(struct core *c, uint16_t giver, struct view closing);
/* Just started, and no custodian of that site's streams was heard yet who would know of orders given meanwhile. */
bool takeover_grace(struct core *c, uint16_t site, bool exercise);
/* A peer's link came or went: leases of others and gates are looked at again. */
void takeover_peer(struct core *c, uint16_t site);
/* Has addressee lent this message to us, and not taken it back? Was it ever lent to that site? */
bool lent_here(const struct core *c, struct view events, uint16_t addressee);
bool lent_to(const struct core *c, struct view events, uint16_t addressee, uint16_t site);
/* A person waives a successor that is gone (`release SITE`): true when something waited for it. */
bool takeover_waive(struct core *c, uint16_t giver, const char *by);
/* What a chain waits for, as text for people; false when it waits for nothing. */
bool takeover_waits(struct core *c, const struct chain *ch, char *out, size_t size);

/* ---- told.c -------------------------------------------------------------------------------------------------------------- */

void told_begin(struct core *c, struct chain *ch); /* its queues are served here from now on */
void told_again(struct core *c);
void told_step(struct core *c);                    /* once a batch */

/* ---- redo.c -------------------------------------------------------------------------------------------------------------- */

/* Entries first..upto of a stream are to be opened and placed again (those that stand nowhere and have not ended), a few hundred a
 * batch. Kept in the journal until it is done. */
void redo_add(struct core *c, struct stream *s, uint64_t first, uint64_t upto);
void redo_step(struct core *c);   /* once a batch */
void redo_load(struct core *c);
bool redo_waits(const struct core *c, const struct stream *s); /* some of its entries are still to be opened */

/* ---- grants.c ------------------------------------------------------------------------------------------------------------- */

/* An entry of s cannot be opened here (no grant names us): its key is asked for, and an alarm says from whom it can come. */
void grants_want(struct core *c, struct stream *s, uint64_t number);
void grants_frame(struct core *c, struct peer *p, const struct keys_frame *f);
bool grants_wanted(const struct core *c, const struct stream *s); /* some of its entries wait for a key */
struct mono grants_ask(struct core *c);  /* asks for what is due; when to look again */
void grants_again(struct core *c);       /* all grants are looked at again, in small steps: keys may be wanted or there */
/* The handed key for the entries of s after the grant `from`. ERR_KEY. */
MUST_USE enum err grants_key(struct core *c, struct stream *s, uint64_t from, struct sym_key *out);

/* ---- conflict.c -------------------------------------------------------------------------------------------------------------- */

/* Looks at a message's events after a read or refusal came: two sites that handled it are a conflict, recorded and alarmed. */
void conflict_look(struct core *c, const struct msgid *id, uint16_t addressee, bool exercise, struct view events);
void conflicts_open(struct core *c, uint64_t open[2]); /* [exercise] those that nobody signed off yet */
bool conflict_known(struct core *c, const struct msgid *id); /* one that nobody signed off yet */
/* A person signs it off. ERR_NOT_FOUND. */
MUST_USE enum err conflict_sign_off(struct core *c, const struct msgid *id, const char *by);

/* ---- give.c, show ---------------------------------------------------------------------------------------------------------------- */

void order_request(struct core *c, struct client *cl, const struct request *rq);   /* REQ_ORDER */
void endorse_request(struct core *c, struct client *cl, const struct request *rq); /* REQ_ENDORSE */

/* ---- assist.c ----------------------------------------------------------------------------------------------------------------------- */

void assist_request(struct core *c, struct client *cl, const struct request *rq);  /* REQ_ASSIST */
struct mono assist_look(struct core *c); /* the policy; when to look again */
void assist_policy(struct core *c, int waiting, int64_t oldest_us, int stop); /* another one, as in struct core_config */
/* A lease that ends: true when it is of something lent that a desk there still has; it was made longer then. */
struct lease_row;
bool assist_goes_on(struct core *c, struct lease_row *l);

#endif
