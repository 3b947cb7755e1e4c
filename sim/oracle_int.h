/* oracle_int.h - the oracle's memory; only sim/oracle*.c includes it.
 *
 * An item is one message for one addressee site. A stream's entries are remembered by a few bytes of their chain hash and
 * their item; what a journal holds of a stream is one number, since streams are held from 1 on without gaps. So whether any
 * journal still has an item is a comparison, and the loss of a whole journal is one assignment a stream. */
#ifndef SIM_ORACLE_INT_H
#define SIM_ORACLE_INT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/order.h"
#include "sim/oracle.h"

#define NONE UINT32_MAX

enum item_flag {
	ITEM_ACCEPTED = 1,     /* a client was told so */
	ITEM_HELD = 2,         /* whole in its addressee's journal, as it is now */
	ITEM_SERVED = 4,       /* the node decided to hand it out */
	ITEM_HANDED = 8,       /* a desk has it */
	ITEM_RETURNED = 16,    /* and gave it back */
	ITEM_READ = 32,        /* committed in its addressee's journal, as refused and cancelled */
	ITEM_REFUSED = 64,
	ITEM_CANCELLED = 128,
	ITEM_EXPIRED = 256,    /* its time has passed */
	ITEM_CHUNKED = 512,
	ITEM_STOOD = 1024,     /* oracle_standing told */
	ITEM_FORGIVEN = 2048,  /* its end was known to a destroyed journal only */
	ITEM_BOUND = 4096,     /* to a submission */
	ITEM_COUNTED = 8192,   /* in the depth of its site */
	ITEM_LOST = 16384,
	ITEM_QUEUED = 32768,   /* in the line of its queue */
	ITEM_TOLD = 65536,     /* a desk knows of its end */
	ITEM_ASIDE = 131072,   /* damaged, and set aside */
	ITEM_JUDGED = 262144,  /* handed out again, at another site than before: judge_elsewhere has looked at it */
	ITEM_TWICE = 524288,   /* read or refused at two sites */
	ITEM_TIMED = 1048576,  /* its time to its addressee, or to a desk of a successor, is counted */
	ITEM_APART = 2097152,  /* its body came to its addressee, or is to come, after the entry */
};
#define ITEM_ENDED (ITEM_READ | ITEM_REFUSED | ITEM_CANCELLED | ITEM_EXPIRED)

struct item {
	struct msgid id;
	uint32_t next;         /* by hash of id */
	uint32_t named;        /* number in the story */
	uint32_t submission;   /* valid with ITEM_BOUND */
	uint32_t stream;
	uint32_t number;
	uint32_t flags;
	uint16_t addressee;    /* roster number */
	uint16_t area;         /* number of the service area addressed; 0 for none */
	uint16_t handed_by, ended_by, lent_to; /* sites; 0 for none */
	uint16_t back_at;      /* whose lease was over when it ended there */
	const struct oorder *handed_order, *ended_order; /* under which a successor had it, and ended it; NULL at home */
	uint8_t precedence, exercise, stands; /* stands: report event at the end */
	uint32_t end_stream;   /* the stream and number, of who served it, that carry the report of its end or handing out; NONE */
	uint32_t end_number;
	uint32_t bytes;
	int64_t entered_at;    /* in its originator's journal */
	int64_t held_at;       /* in its addressee's journal; -1 */
	int64_t handed_at;     /* first; -1 */
	int64_t ended_at;      /* read or refused, first */
	int64_t handle_by_us, expires_us;
};

/* What a client submitted. */
struct sub {
	uint16_t site;
	uint8_t precedence;
	bool exercise, group, answered, refused;
	uint32_t n_sites, first_site; /* in oracle.sub_sites */
	uint32_t queue;               /* in oracle.names */
	uint32_t next;                /* unanswered of the same site, or by key */
	uint64_t body_bytes, words, key;
	struct hash body;
	struct msgid id;              /* valid when bound */
	bool bound;
	int64_t expires_us, accepted_at;
};

struct holder {
	uint16_t site;
	uint64_t held;         /* from 1, or its floor, on, but for a copy on its way */
	uint64_t floor;        /* what it has begins behind it */
	bool passed;           /* it is, or was, such a copy, and lacks its beginning */
	uint64_t said;         /* the highest frontier it told, in this life of its journal */
};
struct handed_top { uint32_t queue; uint64_t number; int64_t handle_by_us, at; };
struct ostream {
	struct stream_name name;
	uint32_t next;         /* by hash */
	uint64_t top;          /* entries known */
	size_t cap, cap_item, n_holders, cap_holders, n_tops, cap_tops;
	uint64_t *chain;       /* first bytes of the chain hash after each */
	uint32_t *item;        /* NONE: no message */
	struct holder *holders;
	struct handed_top *tops;
};

/* Items waiting in a queue of their addressee, never handed out, in order of arrival: ended ones are skipped lazily. */
struct line { uint32_t *items; size_t at, n, cap; };
struct oqueue { uint16_t site; uint32_t name; struct line line[2][PREC_COUNT]; };

struct osite {
	uint16_t number;
	bool passed;           /* copies on their way, through it */
	bool up, troubled, replaced, recovered, finalled, flipped, named; /* named: incarnation is this run's */
	struct incarnation incarnation;
	int64_t up_since, clear_since;
	uint64_t depth;
	uint64_t open_bytes;   /* FLASH on its way, from or to here */
	struct line flash;     /* for here and not ended, for the oldest */
	size_t n_queues, cap_queues;
	struct oqueue *queues;
	size_t n_unanswered, cap_unanswered;
	uint32_t *unanswered;  /* submissions */
	size_t n_own, cap_own;
	uint32_t *own;         /* streams it is the originator of */
	size_t n_kept, cap_kept;
	uint32_t *kept;        /* streams that it holds anything of */
};

struct way { bool up; int64_t since, delay_us, rate_bps, stall_us; };
struct flash { uint32_t item; uint64_t ahead; };

/* An order or an endorsement, and the journals that hold it, by site number. */
struct oorder { struct hash id; bool endorses, told; struct buf blob; struct order order; struct endorsement endorsement;
	bool has[65536], counts[65536]; }; /* by site: its journal holds it; with what it holds beside it, it counts */
/* Which order is in force for a site, as the viewer's journal has it; NULL: none. */
/* before: in force until `since`, the instant of the viewer's latest commit that changed it. */
struct oview { uint16_t viewer, site; bool exercise; const struct oorder *now, *before; int64_t since; };
/* A message that a and then b ended, and which entries say so. */
struct second { uint32_t item; uint16_t a, b; uint32_t stream[2], number[2]; };
struct conflict_seen { uint32_t item; uint16_t site; };

struct times { int64_t *v; size_t n, cap; };

struct oracle {
	const struct roster *roster;
	struct story *story;
	int64_t now;
	uint16_t index[65536];         /* of a roster number, plus 1 */
	size_t n_sites, cap_sites;
	struct osite *sites;
	struct way *ways;              /* cap_ways squared */
	size_t cap_ways;

	uint32_t n_named;
	size_t n_items, cap_items, cap_item_hash;
	struct item *items;
	uint32_t *item_hash;
	size_t n_subs, cap_subs, n_sub_sites, cap_sub_sites;
	struct sub *subs;
	uint16_t *sub_sites;
	size_t n_streams, cap_streams, cap_stream_hash;
	struct ostream *streams;
	uint32_t *stream_hash;
	size_t n_names, cap_names;
	char (*names)[LIMIT_NAME_BYTES + 1];
	size_t n_keys, cap_key_hash;
	uint32_t *key_hash;            /* submissions with a key */
	size_t n_flash, cap_flash;
	struct flash *flash;           /* on their way */
	struct line apart;
	size_t n_expiring, cap_expiring;
	uint32_t *expiring;            /* heap of items by expires_us */

	size_t n_orders, cap_orders, n_views, cap_views;
	struct oorder **orders;
	struct oview *views;
	uint64_t orders_changed;
	bool replaced_any;             /* some journal was */
	size_t n_seconds, cap_seconds, n_conflicts, cap_conflicts;
	struct second *seconds;
	struct conflict_seen *conflicts;

	bool was_repaired;
	int64_t repaired_at, converged_at, together_at;
	struct verdict v;
	struct times flash_times, read_times[PREC_COUNT];
	size_t n_expectations, cap_expectations;
	struct expectation *expectations;
};

/* Room for `want` elements; the simulator ends when there is none. */
void *oracle_room(void *array, size_t want, size_t *cap, size_t size);
struct osite *osite_get(struct oracle *o, uint16_t number);
const char *osite_name(const struct oracle *o, uint16_t number);
struct ostream *ostream_get(struct oracle *o, const struct stream_name *name);
struct ostream *ostream_find(const struct oracle *o, const struct stream_name *name);
struct holder *holder_get(struct oracle *o, struct ostream *s, uint16_t site);
const struct holder *holder_find(const struct ostream *s, uint16_t site);
uint64_t ostream_held(const struct ostream *s, uint16_t site);
/* The most that any journal holds. */
uint64_t ostream_most(const struct ostream *s);
/* The first item of that id (then items_next); NONE. */
uint32_t item_first(const struct oracle *o, const struct msgid *id);
uint32_t item_next(const struct oracle *o, uint32_t i);
uint32_t item_find(const struct oracle *o, const struct msgid *id, uint16_t addressee);
uint32_t item_new(struct oracle *o, const struct msgid *id, uint16_t addressee);
uint32_t name_of(struct oracle *o, const char *name);
void line_push(struct line *l, uint32_t item);
/* The first that is not yet ended (and, when fresh, not yet served); NONE. */
uint32_t line_first(struct oracle *o, struct line *l, uint32_t skip_flags);
void times_add(struct times *t, int64_t us);
int64_t times_percentile(const struct times *t, unsigned percent);
/* A message's name in the story of a good run ("message 12"), and where something is broken: its id, which a trace can find. */
#define ITEM_NAME 24
const char *item_name(const struct oracle *o, uint32_t i, char out[ITEM_NAME]);
const char *item_text(const struct item *m, char out[MSGID_TEXT_BYTES]);

/* ---- oracle_queue.c ---- */
void item_arrived(struct oracle *o, uint32_t i);         /* whole in its addressee's journal */
void item_ended(struct oracle *o, uint32_t i, uint32_t flag);
void item_counts(struct oracle *o, uint32_t i);          /* it waits for its addressee's desks, wherever it is held */
void item_uncounts(struct oracle *o, uint32_t i);
void item_queue(struct oracle *o, uint32_t i);          /* bound and held: it waits in its queue */
void expiring_add(struct oracle *o, uint32_t i);
void expiring_pass(struct oracle *o);
/* ---- oracle_order.c ---- */
void orders_free(struct oracle *o);
void orders_resettle(struct oracle *o);                          /* the roster is another one */
void orders_forget(struct oracle *o, uint16_t site);             /* its journal is another one */
const struct order *order_seen(const struct oracle *o, uint16_t viewer, uint16_t site, bool exercise);
bool order_changes(const struct oracle *o, uint16_t viewer, uint16_t site, bool exercise); /* with the commit of this instant */
/* Before it. */
const struct order *order_before(const struct oracle *o, uint16_t viewer, uint16_t site, bool exercise);
bool order_moved(const struct oracle *o, const struct item *m);  /* orders about its addressee are known to somebody, or it was lent */
bool order_gives(const struct oracle *o, const struct item *m, const char *queue, uint16_t site);
/* The order in force at site is old, and nothing was wrong anywhere since. */
bool order_settled(const struct oracle *o, const struct item *m, uint16_t site);
bool order_fresh(const struct oracle *o, const struct item *m, uint16_t site); /* another one came into force there just now */
bool held_by_successor(const struct oracle *o, const struct item *m);
size_t successors_of(const struct oracle *o, uint16_t site, bool exercise, uint16_t out[LIMIT_ASSIGNMENTS]);
bool had_elsewhere(const struct oracle *o, uint32_t i, uint16_t site);
bool ended_too(const struct oracle *o, uint32_t item, uint16_t site); /* handled there after another site had */
void judge_elsewhere(struct oracle *o, uint32_t i, uint16_t site, bool perhaps_seen);
void remember_report(struct oracle *o, struct item *m, uint16_t site);
void item_served_by(struct oracle *o, uint32_t i, uint16_t site);
void second_end(struct oracle *o, uint32_t i, uint16_t site);    /* ended at site too, after ended_by */
void judge_seconds(struct oracle *o);
/* ---- oracle_flash.c ---- */
void flash_begin(struct oracle *o, uint32_t i);
void flash_arrived(struct oracle *o, uint32_t i);
void flash_elsewhere(struct oracle *o, uint32_t i);             /* a successor's desk has it before its addressee */
void flash_look(struct oracle *o);

#endif
