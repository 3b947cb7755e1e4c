/* core.h - the logic of a node: events in, effects out, time passed in. No socket, clock, file or global.
 *
 * One message through the core. A desk's REQUEST arrives as an event: submit.c checks rights and addresses, makes id and
 * header, seals, and appends an entry to the stream of each addressee site. At the end of the batch core_finish signs the
 * heads of the streams that grew and replicate.c cuts segments for every custodian with an open window. The transaction is
 * committed and synced; then the effects leave: "accepted" to the desk, segments to the peers. At the addressee the frame
 * is an event: replicate_in.c verifies chain and head, appends the entries, deliver.c opens the envelopes, puts the messages
 * into their queues and hands them to desks that wait; core_finish writes the reports (delivered, handed out, read) as
 * entries of its own streams, and the new frontiers go back as the acknowledgement. The daemon and the simulator run this
 * same object code through apply.h.
 *
 *   core.c      life, dispatch, deadlines       mirror.c    what is remembered of the journal (undo.c: a batch failed)
 *   submit.c    send, cancel, idempotency       reply.c     replies to clients
 *   own.c       entries of our own, signatures  keys.c      epoch keys and grants
 *   peer.c      links, hello, probes            frontiers.c digests, frontiers, after a loss
 *   help.c      where an originator does not reach window.c    how much may be in the air
 *   replicate.c segments out, and in            bodies.c    bodies that travel apart (bodies_take.c:
 *               (replicate_in.c), resume                    what comes, bodies_give.c: given)
 *   deliver.c   arrivals opened and queued      desk.c      take, leases, acknowledgements
 *   reports.c   what happened: made and merged  waits.c     what became of a message, and who waits
 *   alarms.c    alarms, handling deadlines      show.c      rows for status, queues, links, ...
 *   room.c      what a filling journal admits   retain.c    what it keeps, and how long (floor.c: told to others)
 *   scrub.c     all of it read through slowly   again.c     what is damaged, fetched from who holds it
 *   past.c      what was known and held at a time that is over
 *   linklog.c   when each bearer of each peer was up and down
 */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include "node/core/effect.h"
#include "node/core/event.h"
#include "node/core/retain.h"
#include "proto/keyfile.h"
#include "proto/roster.h"
#include "storage/store.h"

struct core;

struct core_config {
	const struct crypt_suite *suite;
	uint8_t seed[32];             /* of the generator; from the system, or from the drill */
	struct site_keys keys;        /* copied */
	int64_t lease_us;             /* default lease; 0: 5 min */
	uint32_t leases_most;         /* of one queue and precedence at one time; 0: LIMIT_QUEUE_LEASES, as the daemon has it */
	int64_t window_urgent_bytes;  /* in flight to one peer on one lane; 0: 256 KiB and 4 MiB */
	int64_t window_bulk_bytes;
	int64_t probe_us;             /* an idle link is probed so often; 0: 5 s */
	int64_t unattended_us;        /* FLASH waiting with nobody taking for so long is an alarm; 0: 30 s */
	int64_t clock_skew_us;        /* a peer's clock off by more is an alarm; 0: 5 s */
	int max_clients;              /* 0: 256 */
	bool has_authority;           /* authority is the public key that signs rosters */
	struct sign_public authority;
	uint8_t authority_id[MINISIGN_KEY_ID_BYTES]; /* of that key in signatures of rosters */
	bool rival_roster;            /* the roster's file holds another one with the serial of that in force: an alarm */
	int assist_waiting;           /* policy: lend when more wait than this; 0: no */
	int64_t assist_oldest_us;     /* or when the oldest waits longer; 0: no */
	int assist_stop;              /* until no more than this wait */
	struct retention keep;        /* what stays in the journal, and for how long */
	uint8_t protocol_max;         /* spoken at most, as an older program does; 0: PROTOCOL_MAX */
	int64_t scrub_us;             /* all of the journal is read through in so long (scrub.h); 0: a day */
	bool past;                    /* it answers about a time that is over, and does nothing else: past.h */
};

/* Reads what it needs from the store; no event was applied yet. The roster is owned by the core from here on (also when
 * this fails). ERR_CONFLICT (journal of another site or network), ERR_NOMEM, ERR_DAMAGED; m filled. */
MUST_USE enum err core_new(const struct core_config *config, struct roster *roster, struct store *store,
                           struct core **out, struct errmsg *m);
void core_free(struct core *c);

/* Applies one event inside t. Errors of the input are effects (replies, counts, alarms), not results. */
void core_step(struct core *c, const struct event *ev, struct txn *t, struct effects *out);
/* Once before each commit: reports, heads, segments, frontiers. */
void core_finish(struct core *c, struct mono now, struct wall wall, struct txn *t, struct effects *out);
/* After a failed commit: what the batch changed of what the core remembers of the journal is read anew, so that refusing on
 * a full disk costs what was refused and not the journal; peers and clients stay. */
MUST_USE enum err core_reload(struct core *c);
/* The newest roster that the journal keeps, verified with the authority's key; *out NULL when it keeps none. Before core_new. */
MUST_USE enum err core_kept_roster(struct store *store, const struct minisign_public *authority, struct roster **out);
/* When the next EVENT_TICK is due; MONO_NEVER when nothing waits. Does not change by itself between steps. */
struct mono core_deadline(const struct core *c);

const struct roster *core_roster(const struct core *c);
uint16_t core_site(const struct core *c);
const struct incarnation *core_incarnation(const struct core *c);

#endif
