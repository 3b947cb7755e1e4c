/* dial.h - which bearer carries a lane to a peer: the whole choice, as a machine that knows no socket and no clock.
 *
 * One of them stands at each end for each peer and lane. Who has the connections (node/daemon/dialled.c, sim/world_net.c) tells it
 * what happened, and after each call does what the two slots say: the *main* one carries the lane, the *spare* one tries another
 * bearer beside it. A slot is a try over one bearer, with a serial of its own; another serial than before is another connection.
 * A spare that becomes the main one keeps its serial: the connection goes on, and the core hears LINK_DOWN and LINK_UP.
 *
 *   main   NONE --its time--> OPENING --handshake--> OPEN --lost, or silent--> NONE or OPENING
 *                             OPENING --no answer within its patience, refused--> OPENING (the next bearer), NONE after the last
 *   spare  NONE --> OPENING --> OPEN --> NONE, or it becomes the main one
 *
 * A round tries each bearer once: those not known to be down first, then by cost. After a round there is a pause, which doubles, drawn
 * between its half and its whole so that reconnects are spread out; with something due it is half a second at most. A try has as
 * much patience as the bearer's last handshake explains, so that one that comes back is found soon, however long it was
 * gone; for what has become slow the spare slot tries beside it, with a patience that doubles to two minutes.
 *
 * What is silent (something due, nothing durably acknowledged: the core says so) is left at once. When the core only doubts, the next
 * bearer is already dialled in the spare slot, and kept for a while.
 *
 * While a dearer bearer carries, the better ones are probed: a whole handshake in the spare slot, since who accepts a connection
 * and then passes nothing has proved nothing. One that answers for its *hold* is taken again. The hold is two seconds at first and four times
 * as long each time the bearer is left soon after it was taken, so that a flapping one does not thrash; it is two seconds again
 * once the bearer stayed. */
#ifndef CORE_DIAL_H
#define CORE_DIAL_H

#include <stddef.h>

#include "proto/instant.h"
#include "proto/limits.h"

enum dial_slot { DIAL_MAIN, DIAL_SPARE, DIAL_SLOTS };
enum dial_state { DIAL_NONE, DIAL_OPENING, DIAL_OPEN };
/* What the core has for the lane: nothing; something that waits or is in the air; and the main one has shown nothing of it for too long to
 * be sure of it. */
enum dial_need { NEED_NOTHING, NEED_DUE, NEED_DOUBT };
/* Why a bearer is down. Numbers travel in events and are shown by name. */
enum dial_why { WHY_UP, WHY_UNTRIED, WHY_NO_ANSWER, WHY_REFUSED, WHY_LOST, WHY_SILENT, WHY_NO_ADDRESS, WHY_COUNT };

struct dial_try {
	enum dial_state state;
	uint8_t bearer;
	uint32_t serial;             /* never 0 while the state is not NONE; differs for each try */
	struct mono since;           /* of the state; of NONE in the main slot: when the next try is due */
	struct mono reached;         /* OPENING: the other end was heard of; MONO_NEVER */
	int64_t patience_us;         /* OPENING: given up after so long */
};

struct dial_bearer {
	int cost;                    /* lower first; equal: in the order given */
	enum dial_why why;
	struct mono since;           /* of why */
	bool told;                   /* why was asked for with dial_news */
	int64_t shaken_us;           /* what its last handshake took; 0: not known */
	int64_t slow_us;             /* patience of the next try in the spare slot */
	int64_t hold_us;             /* it has to answer for so long before it is taken again */
	int64_t pause_us;            /* after the next try in vain in the spare slot; doubles */
	struct mono next_at;         /* not tried in the spare slot before */
	int64_t refused_us;          /* pause after the next refusal */
	struct mono refused_until;   /* not tried at all before */
	struct mono answered;        /* first of the probes in a row that were answered; MONO_NEVER: none */
};

struct dial {
	size_t n;                    /* 0: no bearer may carry this lane; nothing ever happens */
	struct dial_bearer bearer[LIMIT_BEARERS];
	struct dial_try slot[DIAL_SLOTS];
	enum dial_need need;
	uint32_t serial;
	uint32_t tried;              /* bits of bearers, in this round */
	unsigned rounds;             /* in vain, in a row */
	size_t slow_next;            /* what the spare slot tries next beside rounds in vain */
	int64_t pause_us;            /* after the next round in vain */
	int64_t first_us, most_us;   /* between which it doubles */
	int64_t patience_us;         /* of a bearer of which nothing is known */
	uint64_t random;
};

/* n bearers by cost, as the roster lists them. The first try is due at `now`. seed: of the pauses. patience_us: for a bearer
 * of which nothing is known yet; 0: 3 s. */
void dial_init(struct dial *d, const int *costs, size_t n, int64_t patience_us, uint64_t seed, struct mono now);
/* The pauses after rounds in vain, when nothing is due; without this 250 ms doubling to 10 s. */
void dial_pauses(struct dial *d, int64_t first_us, int64_t most_us);
/* Other bearers: was[i] is the old index of the new i-th, or -1 for a new one or one whose address changed. What is known of the others
 * stays, and so do connections over them. */
void dial_change(struct dial *d, const int *costs, const int *was, size_t n, struct mono now);

/* ---- what happened; after each of them comes dial_tick ---- */
void dial_reached(struct dial *d, enum dial_slot slot, struct mono now);  /* TCP's handshake is done, the other one begins */
void dial_opened(struct dial *d, enum dial_slot slot, struct mono now);   /* its handshake is done */
/* A try came to nothing, or what was open ended: WHY_REFUSED by who is there, WHY_NO_ADDRESS, WHY_NO_ANSWER, WHY_LOST. */
void dial_failed(struct dial *d, enum dial_slot slot, enum dial_why why, struct mono now);
void dial_silent(struct dial *d, struct mono now);                        /* nothing comes over the main one: it is left */
void dial_need(struct dial *d, enum dial_need need, struct mono now);
/* The bearer has an address now, or another: it is tried as if nothing were known of it. */
void dial_address(struct dial *d, size_t bearer, struct mono now);
void dial_retry(struct dial *d, struct mono now);                         /* somebody says that all is worth another try, at once */
void dial_tick(struct dial *d, struct mono now);

/* ---- what to do ---- */
struct mono dial_due(const struct dial *d); /* when to call dial_tick; MONO_NEVER */
/* The next bearer whose state changed since it was last asked for; false when there is none. */
bool dial_news(struct dial *d, size_t *bearer);
const char *dial_why_name(unsigned why); /* "up", "not tried yet", "no answer", ... */

#endif
