/* core_int.h - what the files of the core share; nobody outside node/core includes it.
 *
 * Two kinds of memory live here. The mirror (streams, queues, counters, leases, body fetches) repeats what the journal
 * says; what a failed batch changed of it is read anew. The rest (peers, clients, takes, waits) is what was heard or asked; it is
 * never stored, and what a failed batch did to it is undone by core_reload. */
#ifndef CORE_INT_H
#define CORE_INT_H

#include <assert.h>
#include <stdlib.h>

#include "node/core/bodies.h"
#include "node/core/core.h"
#include "node/core/minimize.h"
#include "node/core/past.h"
#include "node/core/replay.h"
#include "node/core/replicate.h"
#include "node/core/courier.h"
#include "node/core/room.h"
#include "node/core/scrub.h"
#include "node/core/takeover.h"
#include "node/core/travel.h"
#include "node/core/vectors.h"
#include "node/core/transit.h"
#include "node/core/kept.h"
#include "node/core/linklog.h"
#include "node/core/window.h"
#include "proto/cursor.h"
#include "proto/pack.h"
#include "proto/report.h"
#include "proto/request.h"
#include "proto/seal.h"
#include "proto/stream.h"
#include "proto/vector.h"

struct peer;
struct stream;

/* ---- how far a peer has a stream ------------------------------------------------------------------------- */

struct flow {
	struct stream *stream;
	struct peer *peer;
	uint64_t acked;              /* the peer's frontier as last heard, checked against our chain */
	uint64_t sent;               /* highest number sent on the present connection; >= acked */
	uint64_t offered;            /* what our last digest to this peer said we hold */
	uint16_t n_missing;          /* numbers <= acked that are not whole at the peer: flow_missing */
	uint64_t *missing;           /* apart, since there are hardly ever any and there are many flows */
	uint64_t asked;              /* acked when our last digest asked: a later acknowledgement may overtake the answer */
	bool known;                  /* acked was heard from the peer, or the stream is new in this run */
	bool ack_due;                /* our frontier goes back with the next commit */
	uint64_t ahead;              /* what the peer showed to hold beyond us */
	bool behind;                 /* in the peer's list of streams to send */
	bool named;                  /* in the peer's complete lists, until the digest that ends them */
	bool tell;                   /* our progress is to be told to this peer (co-custodians, lazily) */
	bool forked;                 /* the peer holds other entries under these numbers: ours go there once, to be kept apart */
	uint64_t agreed;             /* up to here the peer was seen to hold the same */
	bool helping;                /* we are not the originator, and the peer waited long enough */
	struct mono stalled_since;   /* acked < held without progress since then */
	bool vouched;                /* acked as a vector said, not the peer itself */
	/* transit.c */
	bool guest;                  /* one of us two only passes the stream on: the peer is asked what it has before it is given anything */
	bool passer;                 /* it is the peer: what it has may lack its beginning, and is begun anew when the stream comes to concern it */
	bool giving, wanted;         /* it is to have what we hold */
	bool no_base;                /* it did not begin at base: it is given what follows what it has */
	uint64_t base;               /* what is at or below it every custodian has who has to; a peer that has nothing begins there */
	unsigned asks; struct mono ask_at; /* asked so often without an answer; asked next */
	int64_t next_due_us;         /* handle-by of entry sent+1; INT64_MIN when not looked up */
	uint64_t floor;              /* the peer's, as it offered it; 0: it did not */
	int64_t retry_us;            /* the peer does not take it now: tried again so late, 0 when nothing is known of that */
	struct mono retry_at;
	bool tried;                  /* something was sent since, and not answered yet */
	struct flow *next, *prev;    /* in the list of streams to send of (peer, lane) */
};

/* ---- streams: mirror of the store's rows -------------------------------------------------------------------- */

struct stream {
	struct stream_row row;
	struct hash hash;
	bool own;                    /* originated by this incarnation of ours */
	bool dirty;                  /* row to be stored at the end of the batch */
	bool hot;                    /* in core.hot */
	bool touched;                /* in core.touched */
	bool forked;                 /* somebody holds, or gave, other entries under its numbers */
	uint64_t signed_to;          /* own: highest number under a signed head */
	bool epoch_known;
	uint64_t epoch_from;         /* number of the grant */
	struct sym_key epoch;        /* own: the key in use; else the key last opened */
	uint32_t epoch_day;
	struct hash epoch_for;       /* own: hash of the custodians and their keys that the grant names */
	uint16_t n_missing;
	uint64_t missing[LIMIT_NOT_WHOLE];
	uint64_t limit;              /* entries beyond it are kept in quarantine; UINT64_MAX: none; see quarantine.c */
	uint64_t limit_next;         /* a point beyond what is held: looked at again when it is */
	unsigned limit_of;           /* of takeover.limits; 0: never looked at */
	/* transit.c and vectors.c */
	bool transit;                /* it does not concern this site: held for others */
	struct mono guests_until;    /* others hold it so, or seem to, until then: transit_has_guests; 0: nobody ever did */
	bool asked_for; uint64_t asked_held; struct mono asked_at; /* somebody asked whether it is where it has to be; when that was passed on */
	bool due; struct mono look_at; /* in core.passing.due; when it is at the latest */
	bool vouch; uint64_t vouched;/* our next vector names it; up to where one did */
	uint16_t giver;              /* who gave the latest entry, in this run */
	bool kept;                   /* it was on its way here and is to be held now, and its beginning is not here: kept.h */
	bool said_due, said_ahead;   /* what vectors say of it is to be looked at: flows are new; some said more than was held at said_held */
	uint64_t said_held;
	uint64_t settled;            /* up to here it is where it has to be, as far as is known here */
	struct mono needed_since;    /* it is not, and that did not get better since; MONO_NEVER */
	struct mono lazily_at; unsigned lazily; /* custodians are asked how far they are */
	enum signer signer;          /* by which identity of its originator */
	uint32_t signer_under;       /* under the roster of that serial */
	uint64_t stubs;              /* up to here there is nothing to make a stub of; 0: not looked at yet */
	uint64_t claim;              /* the highest floor that another site told of, and who */
	uint16_t claim_by;
	struct floor_offer *offer;   /* beyond what is held; NULL: none */
	size_t n_flows;
	struct flow *flows;
};

/* ---- peers ------------------------------------------------------------------------------------------------------ */

#define LANE_RING 256
/* flow NULL: a part of a body, upto its mark. */
struct in_flight { struct flow *flow; uint64_t upto; struct in_air sent; };
struct bearers; /* bearers.c */
struct lane_state {
	bool dialled;                /* handshake done */
	bool up;                     /* WELCOME received on what we dialled */
	bool accepted;               /* HELLO received on what the peer dialled */
	bool missed;                 /* it came up or went down in a batch that was refused */
	bool ack_due;                /* frontiers to send on the accepted side */
	char bearer[LIMIT_NAME_BYTES + 1];
	char over[LIMIT_NAME_BYTES + 1]; /* what the peer dialled us over, as it said; entries come over it */
	int64_t flying;              /* bytes sent and not acknowledged */
	uint32_t rewound;            /* how often what was in the air was given up: window.h */
	size_t ring_at, ring_n;
	uint64_t sent_in;            /* the batch that sent something last, by core.batch */
	struct in_flight *ring;      /* LANE_RING of them, once something was sent */
	struct flow *behind[PREC_COUNT]; /* streams with something to send */
	struct mono hello_at;
	int silent;                  /* connections in a row that were given up with something due and nothing acknowledged */
	int timeouts;                /* in a row without an acknowledgement */
	unsigned silences;           /* connections left in a row without one */
	unsigned unanswered;         /* hellos in a row */
	int64_t round_us;            /* as the handshake showed; 0: not known */
	struct mono heard;           /* the last frame on what we dialled */
	struct bearers *bearers;     /* those that may carry it; NULL: nobody said */
	uint8_t need_said;           /* enum dial_need, as the transport knows it */
	uint64_t need_in;            /* the batch that said it */
	struct mono moved;           /* when the oldest in the air was sent, or something before it acknowledged; not moved by sending again */
};
/* Parts of bodies between us and a peer, on one of its lanes. */
struct parts_lane {
	uint64_t mark, got;          /* of the last part sent to it, and of the last one that it acknowledged */
	bool gave_last;              /* what went last was a part: equals take turns */
	uint64_t got_mark; bool got_due; /* of the last part that came from it, to be told */
	struct mono heard;           /* when entries or parts came last */
};
struct peer {
	uint16_t site;
	bool gone;                   /* not in the roster any more, removed, or revoked */
	bool left;                   /* gone, and its connections are forgotten */
	bool back;                   /* not gone any more: its connections are to be begun anew */
	bool active;                 /* in core.active: it has timers, or something to be sent */
	struct lane_state lane[LANE_COUNT];
	struct pace pace[LANE_COUNT]; /* the first of both lanes while they lie on one bearer */
	struct incarnation incarnation, incarnation_before;
	bool met;                    /* incarnation is valid */
	unsigned flips; struct mono flipped_at; /* hellos of two runs in turn */
	int64_t latest_born;         /* of its runs that are known here */
	bool copies;                 /* two of it live: both are told what is here of its streams */
	bool digest_heard;           /* since our start */
	bool digest_out;             /* our digest was sent and not answered */
	struct mono digest_at;
	struct digest_line *digest;  /* what we sent at connect */
	size_t n_digest;
	struct digest_line *listed;  /* complete lists heard, one an originator, until the digest that ends them */
	size_t n_listed;
	struct hasher *list_hasher;  /* over the frontiers of the last of them, whose hash follows when it ends */
	int64_t rtt_us, rate_bps;
	int64_t skew_us;
	bool skew_known, skew_agrees; /* since our clock last jumped */
	int64_t delay_most_us;       /* round trips of late: the slowest, fading */
	uint64_t probe_token;
	uint8_t protocol;            /* the highest that both speak, as its last hello said; 0: not met */
	struct mono busy_at;         /* something else than probes came or went */
	int64_t probe_every_us;      /* how long it was left alone before the last probe that was answered */
	uint32_t roster_serial; struct hash roster; /* in force there, as last heard */
	struct hash state; bool state_met; /* of its state objects, as last heard */
	struct { struct hash ours, theirs; struct mono made, at; int64_t wait_us; } offer;  /* our last one: state.c */
	struct { struct hash ours, theirs; struct state_name upto; bool clean, all; } offered; /* its last one */
	bool digest_since_order;     /* digest_heard, and since the last change of custodians */
	struct mono last_ack, last_heard, probe_at, probe_sent, tell_at;
	bool probe_out, tell_due;
	bool live; struct mono live_at; /* peer_live, and since when it is so */
	bool bulk; struct mono bulk_at; /* its bulk lane is up, and since when it is so */
	struct vector_known *vector; /* its newest */
	bool vectors_wait; struct mono vectors_at; /* some are to be given to it, not before */
	int64_t lent;                /* messages lent to it by policy, in this run */
	struct wall last_ack_wall;
	uint64_t bad_frames, dropped, refused, bad_parts;
	uint64_t given_up;       /* connections that nothing was heard on when something was due */
	uint64_t orders_refused; /* given by it in this run: orders and endorsements */
	size_t refused_at;       /* of what state.c remembers of them the one that goes next */
	struct giving *giving;       /* bodies that it wants, the most urgent first */
	size_t n_giving;
	struct parts_lane parts[LANE_COUNT];
	uint32_t asking;             /* fetches that ask it; counted when one is needed */
	struct link_track *tracks;   /* linklog.c: what was noted of its bearers */
	int64_t acked_bytes;         /* since rate_from */
	struct mono rate_from;
};

/* ---- queues, takes, leases ------------------------------------------------------------------------------------------ */

struct queue {
	struct queue_row row, committed; /* committed.local is 0 until it is */
	bool dirty, touched, changed; /* touched: stored in this batch; changed: something may be handed out */
	uint64_t arrivals;           /* how often something came that may be handed out of it, in this run */
	bool served[2];              /* [exercise] handed out here, some of it at least */
	/* Nothing of a part before `from` is this site's to hand out, when it is known. A part: what has one precedence, and came
	 * back from a desk or did not. */
	struct passed { struct place from; bool known; } passed[2][PREC_COUNT][2]; /* [exercise][precedence][fresh] */
	int takers;
	struct mono unattended_since;/* MONO_NEVER when attended or nothing FLASH waits */
};
struct take {
	uint64_t client; uint32_t tag;
	uint32_t queue;              /* local number */
	uint32_t left, left_committed;
	int64_t lease_us;
	bool exercise;
	char exercise_name[LIMIT_NAME_BYTES + 1];
	char by[LIMIT_USER_BYTES + 1];
	bool done;
	bool going;                  /* it passed over other exercises, up to `from`, and goes on in the next batch */
	struct place from;
	uint64_t arrivals;           /* of the queue when this pass began */
	int part;                    /* of the queue, where `from` is: its precedence and freshness; -1: at none yet */
	bool front;                  /* everything of the part before `from` is another site's to hand out */
	bool committed;              /* the request was: else it goes with its batch when that fails */
};
struct lease_due { struct mono at; uint64_t arrival; struct wall since; };

struct wait {
	uint64_t client; uint32_t tag;
	struct msgid id;
	enum wait_state want;
	bool done, committed;
};

/* A submission whose body still comes in. */
struct upload {
	uint64_t client; uint32_t tag;
	struct buf request;          /* the SUBMIT as it came */
	uint64_t bytes, got;
	uint8_t precedence;
	struct body_row row;
	struct sym_key content;
	struct buf leaves;
	struct hasher *hasher;       /* of the plain body */
	bool failed, committed;
};

struct client {
	uint64_t id;
	struct client_rights rights;
};

/* FLASH sent by a user within the hour; `now` in the present batch. */
struct flash_use {
	char name[LIMIT_USER_BYTES + 1];
	uint32_t sent, now;
	struct mono from;
};

/* Reports of this batch, by target stream and content. */
struct pending_report {
	uint16_t target; uint8_t precedence, exercise;
	uint8_t event; uint16_t addressee;
	struct hash order;           /* under which it is served here; zeros at home */
	struct wall when;
	char by[LIMIT_USER_BYTES + 1];
	char why[LIMIT_REASON_BYTES + 1];
	struct buf ids;
};

enum msg_location { LOC_NONE = 0, LOC_WAITING = 1, LOC_LEASED = 2 };

#define ALARM_KINDS 64
/* Stored as an array of u64: new ones go to the end. */
struct tally {
	uint64_t accepted, delivered, read, refused, expired, cancelled, handed_out, returned, dead, sealed;
	uint64_t receipts_read, receipts_refused, receipts_expired;
};
struct counters {
	struct tally of[2];          /* operational, exercise: never mixed */
	uint64_t unknown_kinds, duplicates;
	uint64_t elsewhere[2];       /* of this site's messages: read or refused by other sites, operational and exercise */
};

struct core {
	struct core_config config;
	struct roster *roster;
	struct roster **retired; size_t n_retired;      /* freed once no batch can name them again */
	const struct site *me;
	uint16_t self;
	struct store *store;
	struct packer *packer;
	struct rng rng;
	struct incarnation incarnation;
	bool started, stopping;

	/* of the event being applied */
	struct mono now;
	struct wall wall;
	struct txn *t;
	struct effects *out;

	/* mirror */
	struct stream **streams; size_t n_streams, cap_streams;
	struct stream **by_hash; size_t cap_hash;       /* open addressing, power of two */
	struct stream **by_local; size_t cap_local;
	struct stream **hot; size_t n_hot, cap_hot;     /* those with anything to store, acknowledge, tell, or to help with */
	struct queue *queues; size_t n_queues;
	struct counters counters; bool counters_dirty;
	struct msgid last_id; bool last_id_dirty;
	struct wall last_wall;
	struct mono grace_until;                        /* after a start: who serves what may have changed meanwhile */
	bool recovering;
	uint8_t rebuilding;                             /* enum rebuilding */
	bool recovery_waived;                           /* somebody still shows more, and a person said go on */
	struct lease_due *leases; size_t n_leases, cap_leases; /* heap by time */
	struct fetch *fetches; size_t n_fetches;

	/* heard and asked */
	struct peer **peers; size_t n_peers;            /* rising by site */
	struct peer **peer_at; size_t n_peer_at;        /* the same by site: NULL where there is none */
	struct peer **active; size_t n_active, cap_active; /* the others are idle and cost nothing */
	struct client *clients; size_t n_clients;
	struct take *takes; size_t n_takes;
	struct wait *waits; size_t n_waits;
	struct upload *uploads; size_t n_uploads;
	struct flash_use *flash; size_t n_flash;        /* by user name */
	struct trash { uint8_t class; uint64_t body_no; } *trash; size_t n_trash; /* bodies of submissions that broke off */

	/* of the batch */
	struct pending_report *pending; size_t n_pending;
	struct buf scratch, scratch2, plain;            /* reused */
	struct buf late;                                /* arrival numbers found damaged while a frame is being written */
	uint16_t frames_in;                             /* segments in this batch */
	uint64_t batch;                                 /* its number in this run; a failed one counts too */

	/* what is undone when the batch fails: see undo.c */
	struct stream **touched; size_t n_touched;      /* their rows or what is missing of them changed, or they are new */
	struct lease_due *popped; size_t n_popped;      /* taken out of the heap */
	bool fetches_touched, mended;
	size_t given;                                   /* bytes of bodies in this batch, to all peers */
	uint16_t alarms_committed[ALARM_KINDS];

	/* clock */
	bool clock_unsure;
	int64_t wall_minus_mono;                        /* at the last event */
	bool clock_seen;

	bool serve_more;                                /* more can be handed out than one commit takes */
	bool restless;                                  /* something happened since the last look */
	uint16_t alarms[ALARM_KINDS];                   /* at least so many alarms are out, by a hash of their kind */
	int64_t expires_us; bool expires_known;         /* when the next message expires, as the store says; INT64_MAX: none */
	struct mono look_at;                            /* next look at streams, queues, room and bodies */
	struct mono peers_at, probes_at;                /* next look at active peers; next probe of any */
	struct mono deadline;
	struct mono held_until;                         /* its own work waits: it found no room */
	struct mono store_full_since;
	bool deaf;                                      /* what peers sent was refused since the last commit: peers_greet_again */
	uint64_t refused_full, damaged;
	uint64_t fresh_from;                            /* the first entry of this batch; 0 for none */
	bool mend;                                      /* damaged rows were met: mended at the next step */
	uint32_t set_aside;                             /* streams whose row could not be mended */
	bool reborn;                                    /* because of another copy of this site, in this run */
	int64_t first_born_us;                          /* when the first run of this process began */
	int64_t born_after;                             /* the latest birth of a run of this site that is known */
	bool rebirth;                                   /* our own streams are damaged: begin others after this batch */
	struct takeover takeover;                       /* part of the mirror */
	struct room room;
	struct retain retain;
	struct linklog linklog;
	struct replay replay;
	struct mono floors_at;                          /* offers of floors are looked at; MONO_NEVER: there are none */
	struct exchange exchange;
	struct travel travel;
	struct minimize minimize;                       /* as the orders say; looked at in each batch */
	struct courier courier;
	struct vectors vectors;                         /* heard and asked */
	struct scrub scrub;
	struct transit passing;
	bool past_settled;                              /* past.c: all of then is in its place */
};

/* ---- core.c ----------------------------------------------------------------------------------------------------------- */
/* ---- mirror.c ---- */
void mirror_drop(struct core *c);
MUST_USE enum err mirror_load(struct core *c);
/* Into the mirror as the row says; not stored. NULL when out of memory. */
struct stream *stream_load(struct core *c, const struct stream_row *row);
struct queue *queue_load(struct core *c, const struct queue_row *row);
void stream_missing(struct stream *s, uint64_t number); /* in its list of what is not whole, once */
void stream_not_missing(struct stream *s, uint64_t number);
struct stream *stream_by_name(struct core *c, const struct stream_name *name);
struct stream *stream_by_hash(struct core *c, const struct hash *h);
struct stream *stream_by_handle(struct core *c, const uint8_t first[ACK_HASH_BYTES]); /* by the first bytes of its hash */
struct stream *stream_by_local(struct core *c, uint32_t local);
/* Adds a row to store and mirror, with its flows. NULL when out of memory. */
struct stream *stream_new(struct core *c, const struct stream_name *name);
void stream_flows_build(struct core *c, struct stream *s);
/* One more, to a peer that it does not concern, or that we pass it on to. Pointers to the stream's other flows are good no more, but in
 * lists and rings. NULL when out of memory. */
struct flow *flow_add(struct core *c, struct stream *s, struct peer *p);
/* So many numbers are not whole at the peer. */
void flow_missing(struct core *c, struct flow *f, const uint64_t *numbers, uint16_t n);
void stream_free(struct stream *s);
void streams_cut(struct core *c, uint32_t last);    /* those with a higher local number go */
void stream_touch(struct core *c, struct stream *s); /* read anew when the batch fails; before or after it changes */
void meta_load(struct core *c, struct txn *t);
void stream_heat(struct core *c, struct stream *s); /* something about it is to be done */
void streams_cool(struct core *c);                  /* at the end of a batch: those with nothing left to do */
struct queue *queue_find(struct core *c, uint16_t site, struct view name);
struct queue *queue_get(struct core *c, uint16_t site, struct view name); /* made when new */
struct queue *queue_by_local(struct core *c, uint32_t local);
uint16_t queue_site(struct core *c, uint32_t local); /* whose queue it is; self when it is not known */
const char *site_name(const struct core *c, uint16_t number, char out[LIMIT_NAME_BYTES + 1]);
/* Is site a custodian of streams to addressee? */
bool is_custodian(const struct core *c, uint16_t site, uint16_t addressee, bool exercise);
/* Does a stream concern a site: custodian or originator? */
bool concerns(const struct core *c, uint16_t site, const struct stream_name *n);
enum signer stream_signer(struct core *c, struct stream *s);
struct client *client_find(struct core *c, uint64_t id);
struct msgid core_next_id(struct core *c);
/* The counters that a message with these header flags goes into; they are stored with the commit. */
struct tally *tally_of(struct core *c, uint8_t header_flags);
void deadline_at(struct core *c, struct mono at); /* the next tick is no later than this */
/* Grows *array by one element of size; NULL when out of memory. */
void *array_grow(void *array_ptr, size_t *n, size_t size);

/* ---- mend.c: damaged rows that a node cannot do without, made anew from the others or set aside, and shown ---------- */
/* True when an own stream may have been set aside: another incarnation has to begin. */
bool mirror_mend(struct core *c);
void missing_mend(struct core *c);
/* A damaged lease: begun anew with the usual time, or the message goes back to its queue. */
void lease_mend(struct core *c, uint64_t arrival);
/* A message row that cannot be read, of what stands at p (or is leased from there): a new one without events. */
MUST_USE enum err msg_mend(struct core *c, const struct place *p, enum msg_location state, struct msg_row *row);

/* ---- undo.c: core_reload, and --------------------------------------------------------------------------------------- */
void undo_forget(struct core *c); /* the batch is committed */

/* ---- own.c: appending to our own streams --------------------------------------------------------------------------------- */
/* The stream of this incarnation to addressee; made when new. */
struct stream *own_stream(struct core *c, uint16_t addressee, uint8_t precedence, bool exercise);
/* A header of ours, all members but kind-specific ones filled. */
struct header own_header(struct core *c, uint8_t kind, uint8_t precedence, bool exercise);
/* Makes sure the stream has a fresh epoch key (appends a grant when due). */
MUST_USE enum err own_epoch(struct core *c, struct stream *s);
/* Appends an entry; envelope_plain is sealed when not empty. body: sealed, inline, or empty with row (shared or chunked).
 * *arrival (may be NULL) gets its arrival number. */
MUST_USE enum err own_append(struct core *c, struct stream *s, const struct header *h, struct view envelope_plain,
                             struct view body, const struct body_row *body_row, uint64_t *arrival);
void own_sign(struct core *c, struct stream *s);
void own_finish(struct core *c); /* signs what grew, stores dirty rows */

/* ---- keys.c ----------------------------------------------------------------------------------------------------------------- */
/* The epoch key that opens entry number of s. ERR_KEY when no grant names us. */
MUST_USE enum err stream_key(struct core *c, struct stream *s, uint64_t number, struct sym_key *out);
/* A grant arrived as entry row. */
void keys_grant(struct core *c, struct stream *s, const struct entry_row *row);
/* Opens an entry's envelope into c->plain; views in *env point there until the next call. */
MUST_USE enum err open_envelope(struct core *c, struct stream *s, const struct entry_row *row, struct header *h, struct envelope *env);

/* ---- submit.c ------------------------------------------------------------------------------------------------------------------ */
void submit_request(struct core *c, struct client *cl, const struct request *rq, struct view message);
void submit_chunk(struct core *c, struct client *cl, const struct request *rq);
void submit_forget_client(struct core *c, uint64_t client);
void submit_cancel(struct core *c, struct client *cl, const struct request *rq);
/* A message of an earlier incarnation of ours came back: its idempotency key is known again. */
void submit_known_again(struct core *c, const struct header *h, const struct envelope *env);
void submit_start(struct core *c); /* finds what broken-off submissions left */
void submit_finish(struct core *c); /* removes it in small steps */
void submit_trash(struct core *c, uint8_t class, uint64_t body_no); /* a body that no entry uses any more: it goes the same way */
/* ---- purge.c ---- */
void purge_request(struct core *c, struct client *cl, const struct request *rq);
/* A stub takes the place of a message's entry, and all else that is about its body goes. The row's views may have ended. */
void purge_message(struct core *c, struct stream *s, const struct entry_row *row, const struct header *h);
void submit_committed(struct core *c);
void submit_reload(struct core *c); /* after a failed commit */

/* ---- peer.c --------------------------------------------------------------------------------------------------------------------- */
struct peer *peer_find(struct core *c, uint16_t site);
void peers_build(struct core *c); /* from the roster */
void peer_link_up(struct core *c, uint16_t site, uint8_t lane, const char *bearer, int64_t round_us);
void peer_link_down(struct core *c, uint16_t site, uint8_t lane);
void peer_frame(struct core *c, uint16_t site, uint8_t lane, uint8_t side, struct view bytes);
/* It has something to do: looked at in this batch, and until it is idle again. */
void peer_touch(struct core *c, struct peer *p);
void peers_touch_all(struct core *c);
void peer_tell(struct core *c, struct peer *p); /* our progress goes to it within a second */
void peers_look(struct core *c);        /* timeouts, telling, probes: what is due */
/* An event that the journal had no room for. What was heard so is lost, and of a lane that came up or went down nobody knows how it is. */
void peer_missed(struct core *c, const struct event *ev);
/* With the first commit after that: those lanes are dialled anew, and hellos that wait for an answer are said again, since that may have been
 * refused. */
void peers_greet_again(struct core *c);
void peers_heard_again(struct core *c); /* it is committed */
void peers_settle(struct core *c);      /* who is idle now, and when the next timer of the others is due */
struct mono peers_help(struct core *c); /* streams whose originator seems not to reach a peer; when to look again */
bool peer_up(const struct core *c, const struct peer *p);
bool peer_reachable(const struct peer *p);
/* The peer has less of a stream of another than we, and nobody helps it yet. */
bool flow_stalls(const struct stream *s, const struct flow *f);
void peer_bad(struct core *c, struct peer *p, const char *what);
void peer_roster(struct core *c, struct peer *p, uint32_t serial, const struct hash *roster); /* in force there, as it said */
void peer_busy(struct core *c, struct peer *p); /* a frame that is no probe came or goes: it is probed often for a while */
/* Control to a peer, on whichever urgent connection there is; drops the frame when there is none. */
void effect_end_control(struct core *c, struct peer *p);

/* ---- bearers.c: leaving a bearer, and what is known of each ---- */
void bearer_news(struct core *c, const struct bearer_news *news);
/* When a lane has waited too long: for the answer to a hello, or for an acknowledgement; MONO_NEVER. */
struct mono lane_due(const struct peer *p, uint8_t lane);
struct mono lane_doubt(const struct peer *p, uint8_t lane); /* when it is to be doubted; MONO_NEVER */
/* Its time is over: what is in the air goes again, over another connection when this one is not worth more waiting. */
void lane_late(struct core *c, struct peer *p, uint8_t lane);
void lanes_need(struct core *c, struct peer *p);        /* at the end of a batch: the transport hears what is due */
void lane_need_unsaid(struct core *c, struct peer *p, uint8_t lane); /* the batch that said it failed */
void bearers_free(struct peer *p);
/* Is a bearer of the peer up? `was`: what it was, where nothing says otherwise. */
enum link_is bearer_is(const struct peer *p, const char *name, enum link_is was);
/* The i-th of those that the transport told of; name: empty unless it said that it is down. False: there are no more. */
bool bearer_known_down(const struct peer *p, size_t i, char name[LIMIT_NAME_BYTES + 1]);
void link_retry(struct core *c, struct client *cl, const struct request *rq);

/* ---- redo.c: a journal whose indexes were left behind ---- */
/* All entries are opened again before anything is handed out, in four passes: messages become known, then what was reported of them,
 * then those that have not ended are placed, then desks that had one in hand are seen to have it no more. Stored as META_REBUILDING. */
enum rebuilding { REBUILT = 0, REBUILDING_KNOWN = 1, REBUILDING_REPORTS = 2, REBUILDING_PLACES = 3, REBUILDING_LEASES = 4 };
/* ---- copies.c ---- */
enum recovery { RECOVERED = 0, RECOVERING = 1, RECOVERY_WAIVED = 2 }; /* as stored */
void recovery_put(struct core *c, enum recovery r);
/* A peer shows more of a stream of ours than is here. */
void copies_own(struct core *c, const struct peer *p, const struct stream_name *n);
void copies_hello(struct core *c, struct peer *p, const struct incarnation *now); /* before it is taken as the peer's */
void copies_entry(struct core *c, const struct stream_name *n, struct wall sent);  /* a new entry came */
/* A signed segment that says something else than what is held under its numbers. */
/* end: the chain behind its last entry. */
void branch_keep(struct core *c, struct stream *s, uint64_t first, const struct hash *end, struct view segment);
/* The chain hashes before number `first` on branches kept of s; how many. */
#define BRANCHES_MAX 64
size_t branches_before(struct core *c, const struct stream *s, uint64_t first, struct hash out[BRANCHES_MAX]);
/* Two histories of a stream: when we write it, another copy of this site does too, and a run of our own begins. */
void copies_fork(struct core *c, struct stream *s);
/* One site said twice, at different times, that a message ended there. */
void copies_twice(struct core *c, uint16_t site, const struct msgid *id);
/* ---- frontiers.c ---- */
struct frontier frontier_of(const struct stream *s);    /* ours */
/* What a vector, or the peer itself, says of what it holds, checked against our chain. */
void flow_vouched(struct core *c, struct flow *f, const struct frontier *fr);
void flow_learnt(struct core *c, struct flow *f, uint64_t number);
void frontier_heard(struct core *c, struct peer *p, const struct frontier *fr); /* one from the peer itself, not of a complete list */
/* Frames of frontiers. Complete lists may take several frames; the digest that follows them ends them. */
void send_frontiers(struct core *c, struct peer *p, uint8_t lane, uint8_t side, uint16_t complete, struct stream *const *list, size_t n);
/* Our chain hash at a number, for comparison with what a peer says. ERR_NOT_FOUND below the floor or beyond what we hold. */
MUST_USE enum err chain_at(struct core *c, const struct stream *s, uint64_t number, struct hash *out);
void replicate_frontiers(struct core *c, struct peer *p, uint16_t complete, struct view rest);
void replicate_acks(struct core *c, struct peer *p, struct view rest);
/* Frontiers of streams, in short where the peer is known to have the stream. */
void send_acks(struct core *c, struct peer *p, uint8_t lane, uint8_t side, struct stream *const *list, size_t n);
void replicate_digest(struct core *c, struct peer *p, uint8_t side, uint16_t n, struct view lines);
void replicate_offer(struct core *c, struct peer *p);   /* our digest, after HELLO */
void replicate_tell(struct core *c, struct peer *p);    /* lazily told frontiers */
void ring_acked(struct core *c, struct peer *p);        /* takes what is acknowledged out of the rings */
bool recovery_done(struct core *c, uint16_t *waits_for);
void lists_drop(struct core *c, struct peer *p);

/* ---- deliver.c ---------------------------------------------------------------------------------------------------------------------- */
/* An entry arrived, whole or not yet. The views of row must outlive writes to the store. */
void deliver_entry(struct core *c, struct stream *s, struct entry_row *row);
void deliver_whole(struct core *c, struct stream *s, uint64_t number);       /* its body is here now */
void deliver_serve(struct core *c);                                          /* hand out what can be */
void deliver_leases(struct core *c);                                         /* end the leases that are due */
void deliver_expire(struct core *c);
int64_t deliver_next_expiry(struct core *c);                                 /* by the wall clock; INT64_MAX: none */
void deliver_remove(struct core *c, struct msg_row *row);                    /* out of its queue, wherever it stands */
/* So many more wait, or are leased, where p is. */
void deliver_count(struct core *c, const struct place *p, int waiting, int leased);
/* As much as may be is out of that precedence of the queue: at desks, or lent; of one who may have a half of it, share is 2. */
bool enough_out(const struct core *c, const struct queue *q, const struct place *p, uint32_t share);
void deliver_before(struct core *c, const struct place *p);                  /* something stands there now, before what was passed over */
void deliver_orphans(struct core *c, uint16_t site);                         /* it left the roster, came back, or its orders changed: who serves what was sent to it? */
void deliver_anew(struct core *c, struct queue *q);                          /* what may be handed out changed: all of it is looked at */
bool place_before(const struct place *a, const struct place *b);             /* in the order of a queue */
struct passed *passed_of(struct queue *q, const struct place *p);            /* NULL for a place that no queue can have */
void deliver_again(struct core *c, const struct msg_row *row);               /* it waits here, and may be handed out again */
void take_request(struct core *c, struct client *cl, const struct request *rq);
struct queue *queue_of_request(struct core *c, struct view text, struct errmsg *m); /* one that this site's desks may take from */
void take_stop(struct core *c, struct client *cl, const struct request *rq);
void ack_request(struct core *c, struct client *cl, const struct request *rq);  /* ACK, REFUSE, RETURN, EXTEND */
void read_request(struct core *c, struct client *cl, const struct request *rq);
void deliver_forget_client(struct core *c, uint64_t client);
void leases_load(struct core *c);
/* Back into its queue. seen: a desk may have seen it, so it goes first in its precedence and is marked. */
void lease_give_back(struct core *c, const struct lease_row *l, bool seen);
void lease_due_add(struct core *c, const struct lease_row *l, struct mono at); /* its end is looked after */
void lease_due_put(struct core *c, const struct lease_due *d);
/* After leases_load: leases that were known before keep the time at which they end. old is sorted on the way. */
void leases_keep(struct core *c, struct lease_due *old, size_t n);
/* Set aside, shown, and asked for from others when it is the entry that is damaged. */
void damage_found(struct core *c, uint64_t arrival, const char *what);
void damage_show(struct core *c, uint64_t arrival, const char *what); /* shown only */
/* Appends the plain body of a message of one chunk to out. */
MUST_USE enum err open_body(struct core *c, const struct entry_row *row, const struct envelope *env, struct buf *out);
/* The message row of an id that this site's desks may handle: what is out at a desk here, else what is or was served here. */
MUST_USE enum err msg_served(struct core *c, const struct msgid *id, struct msg_row *out);

/* ---- reports.c ------------------------------------------------------------------------------------------------------------------------ */
struct msg_event { uint8_t event; uint16_t source; struct wall when; struct view by, why; };
bool events_next(struct view *rest, struct msg_event *out);
/* The last event of that kind; false when none. */
bool events_find(struct view events, uint8_t event, struct msg_event *out);
/* True when events contain an end that counts for a message of that originator and addressee; *which gets it. */
bool events_ended(const struct core *c, struct view events, uint16_t originator, uint16_t addressee, bool exercise, uint8_t *which);
/* Loads (id, addressee) into *row (a blank one when there is none) with its events copied into events. */
MUST_USE enum err msg_load(struct core *c, const struct msgid *id, uint16_t addressee, struct msg_row *row, struct buf *events);
void events_add(struct buf *events, const struct msg_event *e); /* unless it is there; of an end one a site, the earliest */
/* The originator is known now: what others claimed before the message came is dropped where it was not theirs to say. */
void events_believed(const struct core *c, struct buf *events, uint16_t originator, uint16_t addressee, bool exercise);
/* Something happened here: recorded in the row (events already loaded), and reported to whom it concerns. */
void report_here(struct core *c, struct msg_row *row, struct buf *events, uint8_t event, const char *by, const char *why);
void report_apply(struct core *c, struct stream *s, const struct envelope *env);
/* One report entry to the target at a precedence: records, or a closing. */
void report_entry(struct core *c, uint16_t target, uint8_t precedence, bool exercise, struct view records, struct view closing);
void reports_order(struct core *c, const struct hash *order); /* an order is known now */
void reports_finish(struct core *c);
void reports_drop(struct core *c);

/* ---- waits.c: who waits for which state -------------------------------------------------------------------------------------------------- */
enum wait_state message_state(struct core *c, const struct msgid *id, uint16_t addressee);
/* Least state over all addressees; ERR_NOT_FOUND for an id this site did not send. */
MUST_USE enum err message_state_all(struct core *c, const struct msgid *id, enum wait_state *out);
void wait_request(struct core *c, struct client *cl, const struct request *rq);
void waits_check(struct core *c, const struct msgid *id);       /* something happened to it */
void waits_stream(struct core *c, const struct stream *s);      /* a custodian's frontier of an own stream moved */
void waits_held(struct core *c); /* who holds for whom has changed */
void waits_forget_client(struct core *c, uint64_t client);

/* ---- alarms.c ------------------------------------------------------------------------------------------------------------------------------ */
void alarm_raise(struct core *c, const char *kind, const char *subject, const char *todo, const char *fmt, ...) PRINTF_LIKE(5, 6);
void alarm_clear(struct core *c, const char *kind, const char *subject);
/* What is about exercise traffic has alarms of kinds of its own ("exercise-conflict"), which count apart and change no check. */
const char *alarm_kind(bool exercise, const char *kind);
void alarms_load(struct core *c);
bool alarm_known(struct core *c, const char *id);
MUST_USE enum err alarm_acknowledge(struct core *c, const char *id, const char *by);
unsigned alarms_active(struct core *c, bool exercise);
void alarms_unserved(struct core *c, struct queue *q); /* those of a queue that is not handed out here any more */
struct mono alarms_look(struct core *c); /* deadlines, unattended queues, space, recovery; when to look again */
/* When the wall clock will show that time, as things stand. */
struct mono mono_of_wall(const struct core *c, int64_t wall_us);

/* ---- show.c ----------------------------------------------------------------------------------------------------------------------------------- */
void show_request(struct core *c, struct client *cl, const struct request *rq);

/* ---- reply.c: replies to clients ---------------------------------------------------------------------------------------------------------------- */
void reply_error(struct core *c, uint64_t client, uint32_t tag, enum err e, const char *fmt, ...) PRINTF_LIKE(5, 6);
/* Nothing was done, for want of room; the client is told when to try again. */
void reply_busy(struct core *c, uint64_t client, uint32_t tag, const char *what);
void reply_done(struct core *c, uint64_t client, uint32_t tag, uint32_t count);
void reply_begin(struct core *c, struct request_writer *w, uint8_t type, uint32_t tag);
void reply_end(struct core *c, struct request_writer *w, uint64_t client);

/* A refusal of an event that did not fit into the journal (apply.c). */
void core_refuse(struct core *c, const struct event *ev, enum err why, struct effects *out);
void core_committed(struct core *c);
/* A verified roster is put in force; owned by the core from here on. False when it is not newer, or not for this site. */
bool roster_take(struct core *c, struct roster *r);
void core_retire(struct core *c); /* no event is applied again: rosters that are no longer in force go */
/* On a full disk what the core does by itself (leases, expiry, handing out, alarms) is tried once a second. */
void core_hold(struct core *c, struct mono now);
bool core_held(const struct core *c, struct mono now);

#endif
