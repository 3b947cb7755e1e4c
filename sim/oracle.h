/* oracle.h - the judge of a run: it is told facts, in the order in which they happened, and says which promise they break.
 *
 * It knows nothing of cores, stores or the network; it believes only what clients were told and what journals are seen to
 * hold. sim/witness.h watches a world and tells it the facts; tests/unit/test_oracle.c tells it histories by hand, one for
 * each kind of broken promise. The promises are the invariants of DESIGN section 3:
 *
 *   lost        an accepted message is in no journal, though no journal that held it was destroyed; a journal holds less
 *               after a restart than before it; after the last repair it does not reach its addressee
 *   altered     body or words of a message that was handed out are not those that were submitted; two journals differ
 *   misdelivered  a message at a site or in a queue that it was not addressed to, or that nobody sent
 *   twice       a message is handed out after its acknowledgement was committed, and nothing marks it
 *   order       entries of a stream out of order, or handed out against precedence, handle-by time and number
 *   flash       a FLASH message took longer than the wire explains
 *   frontier    a holder's frontier went back, or says more than its journal holds
 *   answer      an answer to a client says more than is true (a state, a duplicate, an end)
 *   converge    after the last repair something is still apart when the time for it has passed
 *   minimize    a site that knows of a MINIMIZE in force sends on a message that it holds back
 *   orders      after the last repair two sites do not show the same order in force
 *
 * Who may have a message at a desk is its addressee, a site to which an order in that site's own journal gives it, and one that it
 * was lent to. Two sites may both handle it, where the second could not know of the first; in the end all concerned say so.
 *
 * Sites are named by their roster numbers, times are virtual microseconds since the start of the run. Memory: about 100
 * bytes for each message and addressee. */
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include "proto/entry.h"
#include "proto/report.h"
#include "proto/request.h"
#include "proto/order.h"
#include "proto/roster.h"
#include "sim/story.h"

struct oracle;

enum promise { PROMISE_LOST, PROMISE_ALTERED, PROMISE_MISDELIVERED, PROMISE_TWICE, PROMISE_ORDER, PROMISE_FLASH,
               PROMISE_FRONTIER, PROMISE_ANSWER, PROMISE_CONVERGE, PROMISE_ORDERS, PROMISE_MINIMIZE, PROMISES };
const char *promise_name(unsigned p);  /* "lost", ... */
const char *promise_text(unsigned p);  /* "An accepted message is not lost", for the page */

/* Faults that struck; the names are those of the drill language. A sweep in which one never struck has tested less than it
 * says. Add new kinds before FAULT_KINDS, with a name in oracle_cover.c. */
enum fault_kind {
	FAULT_CRASH, FAULT_POWER_CUT, FAULT_PAUSE, FAULT_RESTART, FAULT_LINK_DOWN, FAULT_LINK_ONE_WAY, FAULT_LINK_RESET, FAULT_LINK_STALL,
	FAULT_LINK_SLOW, FAULT_BEARER_CHANGE, FAULT_PARTITION, FAULT_CLOCK_STEP, FAULT_CLOCK_DRIFT, FAULT_CLOCK_OFFSET, FAULT_DISK_FULL, FAULT_DISK_SLOW,
	FAULT_COMMIT_FAILED, FAULT_SYNC_FAILED, FAULT_BIT_FLIP, FAULT_JOURNAL_LOST, FAULT_JOURNAL_RESTORED, FAULT_ROSTER, FAULT_DESK_CRASH,
	FAULT_DESK_REFUSES, FAULT_CLIENT_RETRY, FAULT_RELOCATE, FAULT_HANDBACK, FAULT_KINDS
};
const char *fault_kind_name(unsigned k);

/* Rare branches that a sweep must reach; counted by oracle and witness. */
enum rare { RARE_GROUP, RARE_CHUNKED, RARE_DUPLICATE_KEY, RARE_PERHAPS_SEEN, RARE_LEASE_RETURNED, RARE_REFUSED, RARE_EXPIRED, RARE_CANCELLED,
            RARE_RESENT_ENTRY, RARE_VIA_STANDBY, RARE_RECOVERED, RARE_UNANSWERED_KEPT, RARE_NO_ROOM, RARE_REBIRTH, RARE_FLASH_OVERTOOK,
            RARE_DAMAGE_FOUND, RARE_HELD_BY_STANDBY_ONLY, RARE_SERVED_ELSEWHERE, RARE_HANDLED_ELSEWHERE, RARE_LENT, RARES };
const char *rare_name(unsigned r);

/* ---- life ------------------------------------------------------------------------------------------------ */

/* The roster is borrowed until oracle_free; oracle_roster replaces it. story may not be NULL. */
struct oracle *oracle_new(const struct roster *roster, struct story *story);
void oracle_free(struct oracle *o);
void oracle_roster(struct oracle *o, const struct roster *roster); /* the newest that any site uses */
/* Time of all facts that follow; never goes back. */
void oracle_now(struct oracle *o, int64_t at_us);

/* ---- facts from clients --------------------------------------------------------------------------------------- */

/* What a client asks its node to send. body and words are hashes of what it handed over (words: of queue, subject, type,
 * lang, channel: oracle_words). */
struct submission {
	uint16_t site;
	uint8_t precedence;
	bool exercise, group;
	uint64_t body_bytes;
	struct hash body;
	uint64_t words;
	struct wall expires;              /* 0: never */
	uint64_t key;                     /* of its idempotency key, 0 for none: the same key is the same submission */
	char queue[LIMIT_NAME_BYTES + 1];
	size_t n_sites;
	const uint16_t *sites;            /* addressees */
};
uint64_t oracle_words(struct view subject, struct view type, struct view lang, struct view channel);
/* Handed to the node. Returns its number: unanswered so far, it may or may not come to be. A key that was used before at
 * that site gives the earlier number back. */
uint32_t oracle_submitted(struct oracle *o, const struct submission *s);
/* The client was told "accepted". The journal's entries are seen before (oracle_entry), else it is a broken promise. */
void oracle_accepted(struct oracle *o, uint32_t submission, const struct msgid *id, bool duplicate);
/* The client was told no: the submission must never show up. */
void oracle_turned_down(struct oracle *o, uint32_t submission);

/* A desk was given a message. */
struct handing {
	uint16_t site;
	struct msgid id;
	uint16_t from;
	uint8_t precedence;
	bool exercise;
	uint16_t addressee;               /* whose queue it is; 0: the site's own */
	const char *queue;                /* name within the site */
	struct hash body;                 /* of the bytes that the desk got; with chunked: as announced, checked again by oracle_read_body */
	uint64_t words;
	bool perhaps_seen, replayed;
};
void oracle_handed_out(struct oracle *o, const struct handing *h);
/* The node committed that it hands out this message next; the desk may yet never see it. Told in the order of handing out,
 * after the entries of the same commit: for the order of queues. */
void oracle_served(struct oracle *o, uint16_t site, const char *queue, bool exercise, const struct msgid *id);
/* The same, from the queue of any site. */
struct serving { uint16_t site, addressee; const char *queue; bool exercise, perhaps_seen; struct msgid id; bool any_order; /* in which order nobody saw */ };
void oracle_served_at(struct oracle *o, const struct serving *s);
/* All chunks of a large body were read by the desk. */
void oracle_read_body(struct oracle *o, uint16_t site, const struct msgid *id, const struct hash *body);
/* A desk was told that its acknowledgement (EVENT_READ), refusal (EVENT_REFUSED), or, at the originator, cancelling
 * (EVENT_CANCELLED) was done, of which oracle_ended told before; EVENT_RETURNED for a lease given back. */
void oracle_done(struct oracle *o, uint16_t site, const struct msgid *id, uint8_t report_event);
/* A client was told that a message of its site has reached a state (enum wait_state of proto/request.h). */
void oracle_state(struct oracle *o, uint16_t site, const struct msgid *id, uint8_t wait_state);

/* ---- facts from journals ------------------------------------------------------------------------------------------ */

/* The journal of a site holds an entry, committed. Told once for each entry in order of arrival; again from the first one after
 * oracle_journal_replaced. whole: its body is there (or it has none); a body that comes later: oracle_whole. */
struct seen_entry {
	uint16_t site;
	const struct stream_name *stream;
	uint64_t number;
	uint64_t floor;                   /* of the stream in that journal, with this entry in it; may be 0 unless it is a grant */
	const struct hash *chain;         /* after it */
	const struct header *header;
	uint64_t body_len;                /* sealed bytes */
	uint16_t from;                    /* who gave it */
	bool whole;
};
void oracle_entry(struct oracle *o, const struct seen_entry *e);
/* What a site has of a stream begins behind that number now: it retired what was before, or never got it. */
void oracle_floor(struct oracle *o, uint16_t site, const struct stream_name *stream, uint64_t number, const struct hash *chain);
/* How far a site's journal has a stream after a commit that brought an order, before its new entries are told: only what was on its way
 * there begins anew. */
void oracle_stream_now(struct oracle *o, uint16_t site, const struct stream_name *stream, uint64_t floor, uint64_t held);
void oracle_whole(struct oracle *o, uint16_t site, const struct stream_name *stream, uint64_t number);
/* A message has ended, committed: read or refused in its addressee's journal, cancelled in its originator's. Its desk may
 * yet never be told. */
void oracle_ended(struct oracle *o, uint16_t addressee, const struct msgid *id, uint8_t report_event);
/* The same, read or refused by a desk of any site. */
void oracle_ended_at(struct oracle *o, uint16_t site, uint16_t addressee, const struct msgid *id, uint8_t report_event);
/* A journal holds an order or an endorsement (enum state_kind). Lent: the addressee's journal says so. */
void oracle_order(struct oracle *o, uint16_t site, uint8_t kind, struct view blob);
/* Its lease at site was over when a desk there ended it all the same: told before that end. */
void oracle_came_back(struct oracle *o, uint16_t site, uint16_t addressee, const struct msgid *id);
void oracle_lent(struct oracle *o, uint16_t site, const struct msgid *id, uint16_t to);
/* At the end: a journal lists the message as handled at two sites. */
void oracle_conflict(struct oracle *o, uint16_t site, const struct msgid *id, uint16_t addressee);
/* Its addressee found its copy damaged and set it aside, with an alarm: it waits in no queue. */
void oracle_set_aside(struct oracle *o, uint16_t site, const struct msgid *id);
/* What a stream row of a journal says when the site starts: held may not be less than what was seen there before. */
/* Did copies on their way pass through a site, which are gone when they have arrived? */
bool oracle_passed(struct oracle *o, uint16_t site);
void oracle_stream_at_start(struct oracle *o, uint16_t site, const struct stream_name *stream, uint64_t held, const struct hash *chain);
/* How a message (id, addressee: site) stands in its addressee's journal at the end: waiting or leased in queue, or ended with
 * the report event `ended` (0: not ended). */
void oracle_standing(struct oracle *o, uint16_t site, const struct msgid *id, bool in_queue, uint8_t ended);
/* Beside it, of a message that expires. Where it stands in its queue: by how much its time has passed, by the true clock; where it
 * was ended as expired: by the clock of the site that said so. Less than 0: it has not. */
void oracle_expiry(struct oracle *o, uint16_t site, const struct msgid *id, bool in_queue, int64_t over_us);
/* Its journal was read to the end: what was not told stands nowhere. */
void oracle_site_final(struct oracle *o, uint16_t site);
/* An originator's journal says at the end that a message for addressee has ended so (0: not that it knows). */
void oracle_receipt(struct oracle *o, uint16_t originator, uint16_t addressee, const struct msgid *id, uint8_t ended);

/* ---- facts from the wire --------------------------------------------------------------------------------------------- */

/* A holder said to a peer how far it has a stream, less `missing` numbers that are not whole. */
void oracle_frontier(struct oracle *o, uint16_t holder, const struct stream_name *stream, uint64_t number, const struct hash *chain);
/* A segment from this entry on left for a peer (RARE_RESENT_ENTRY when the peer's journal has it). */
void oracle_sent(struct oracle *o, uint16_t to, const struct stream_name *stream, uint64_t first);

/* Does MINIMIZE hold back a precedence at a site that sends, by its own journal and its own clock? And a message that it sends on all the same. */
bool oracle_minimized(struct oracle *o, uint16_t site, struct wall wall, uint8_t precedence);
void oracle_sent_on(struct oracle *o, uint16_t site, uint16_t to, const struct msgid *id);

/* ---- facts from the world ------------------------------------------------------------------------------------------------ */

/* incarnation NULL: not known yet. */
void oracle_site_up(struct oracle *o, uint16_t site, const struct incarnation *incarnation);
void oracle_site_down(struct oracle *o, uint16_t site);
/* Its journal is another one now: empty (lost), or that of an old backup. What it alone held is excused. Entries are told anew. */
void oracle_journal_replaced(struct oracle *o, uint16_t site, bool restored);
/* Its disk is slow or full, it stands still, its clock is off, ...: the site may be late. All else is judged as ever. */
void oracle_site_troubled(struct oracle *o, uint16_t site, bool troubled);
/* A bit of its journal was flipped: what is damaged is passed over, so the order of its queues is not judged any more. */
void oracle_site_damaged(struct oracle *o, uint16_t site);
/* The best way between a and b, both directions working: latency one way, rate, and how long a loss may keep a frame,
 * of its slower direction. up false: none.
 * Told at the start and at each change (also a change of bearer). */
void oracle_link(struct oracle *o, uint16_t a, uint16_t b, bool up, int64_t delay_us, int64_t rate_bps, int64_t stall_us);
/* Only these may be another one now; nothing when they are not. */
void oracle_link_changed(struct oracle *o, uint16_t a, uint16_t b, int64_t delay_us, int64_t rate_bps, int64_t stall_us);
void oracle_fault(struct oracle *o, enum fault_kind k);
/* So many at once, of what only the world counts. */
void oracle_struck(struct oracle *o, enum fault_kind k, uint64_t times);
void oracle_rare(struct oracle *o, enum rare r);
/* An expectation of the drill, judged by who knows it: the table of promises shows it. skipped: for want of a capability. */
void oracle_expect(struct oracle *o, bool met, bool skipped, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Something that only the world can see is wrong (it cannot go on, a core asserted, ...). */
void oracle_broken(struct oracle *o, enum promise p, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Somebody else looked whether a promise is kept. */
void oracle_looked(struct oracle *o, enum promise p);

/* ---- the two phases ---------------------------------------------------------------------------------------------------------- */

/* All faults are repaired, nothing more is submitted, desks go on: from here the clock of convergence runs. */
void oracle_repaired(struct oracle *o);
/* Whether every custodian that is up holds all that any journal holds, and every message is in its addressee's journal.
 * why (may be NULL) names the first that is not. */
bool oracle_converged(struct oracle *o, char *why, size_t size);
/* Cheap, at least once a virtual minute: FLASH messages that are overdue, depths for the picture. witness_step does it. */
void oracle_tick(struct oracle *o);
/* The run ends before the settling is over: what needs its end is not judged. */
void oracle_cut_short(struct oracle *o);
/* Judges what is left. in_time_us: how long convergence may take after oracle_repaired. The journals were told before with
 * oracle_standing and oracle_receipt. */
void oracle_finish(struct oracle *o, int64_t in_time_us);

/* ---- what it found --------------------------------------------------------------------------------------------------------------- */

struct verdict {
	uint64_t accepted, handed_out, read, refused, expired, cancelled, waiting;    /* messages, one for each addressee */
	uint64_t excused;                     /* held only by journals that were destroyed */
	uint64_t unanswered_kept;             /* came to be though the client got no answer */
	uint64_t lost, altered, misdelivered, twice_silent, twice_reported;
	uint64_t broken[PROMISES], checks[PROMISES]; /* how often each was broken, and looked at */
	uint64_t flash_count;
	uint64_t flash_timed, read_timed[PREC_COUNT]; /* how many messages these tell of */
	int64_t flash_p50_us, flash_p99_us, flash_max_us; /* accepted to held by the addressee, or to a desk of its successor; -1 for none */
	int64_t read_p50_us[PREC_COUNT], read_p99_us[PREC_COUNT]; /* accepted to first handed out; -1 for none */
	int64_t converged_us;                 /* after the last repair; -1: not, or never repaired */
	uint64_t expectations_met, expectations_missed, expectations_skipped;
	uint64_t faults[FAULT_KINDS], rares[RARES];
	bool ok;                              /* no promise broken, no expectation missed */
	char first_broken[400];               /* empty when ok */
};
void oracle_verdict(const struct oracle *o, struct verdict *out);
/* True as soon as something broke: a sweep may stop here. */
bool oracle_failed(const struct oracle *o);
struct expectation { int64_t at_us; bool met, skipped; char text[200]; };
const struct expectation *oracle_expectations(const struct oracle *o, size_t *n);

/* Counts for expectations of a drill. from and to: flags by roster number (65536 of them), NULL for every site. */
struct tally_of { const bool *from, *to; const char *queue; int precedence; unsigned percentile; }; /* precedence -1, queue "": all */
struct tally { uint64_t accepted, delivered, read, waiting; int64_t oldest_waiting_us, delay_us; /* accepted to held: percentile; -1 for none */ };
void oracle_tally(const struct oracle *o, const struct tally_of *of, struct tally *out);
/* What has become of a message, by all that was seen: the least over its addressees. */
enum wait_state oracle_state_of(const struct oracle *o, const struct msgid *id);
/* Does a site serve a queue ("" for any) of another, or its own, by what its own journal says? */
bool oracle_serves(const struct oracle *o, uint16_t viewer, uint16_t site, const char *queue, bool exercise);
/* Rises when another order comes into force anywhere. Who then serves a site's queues, the site itself left
 * out, for the picture: how many others (0: it is at home). */
uint64_t oracle_orders_changed(const struct oracle *o);
size_t oracle_served_by(const struct oracle *o, uint16_t site, uint16_t out[LIMIT_SUCCESSORS]);
bool oracle_up(const struct oracle *o, uint16_t site);
/* Messages for a site that its desks have not ended, wherever they are held, and the age of the oldest FLASH among them (0 for
 * none). */
uint64_t oracle_depth(const struct oracle *o, uint16_t site);
int64_t oracle_oldest_flash(struct oracle *o, uint16_t site);

#endif
