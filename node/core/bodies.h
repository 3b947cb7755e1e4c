/* bodies.h - bodies between sites that follow their entries by themselves: large ones in parts, in the bulk lane, and on narrow lines
 * others in slices.
 *
 * An entry whose body lies apart is *not whole* until the body is here. Who lacks it *fetches* it (bodies.c; bodies_take.c is what comes):
 * the parts stand in one order (manifest, page 0, the chunks that it lists, page 1, ...), and the fetch asks one holder at a time for those from its
 * *position* on, FETCH_AHEAD of them, and for more when half of those have come. Each part is checked against the hash that the
 * parts before it gave, and stored; slices of a part are put together in memory first, and stay there when a link is cut, so that
 * the next holder, or the same one on the next connection, goes on in the middle of a chunk. A fetch changes its holder
 * when that one is cut off, silent, has no more of it, or gave something that does not fit: then the originator, who else has it
 * whole, whom the entry came from, and who has the entry and perhaps a part of the body are tried in turn.
 *
 * A holder *gives* (bodies_give.c) what peers want: the most urgent first, and between the segments of the bulk lane as their
 * precedence says, taking turns with those of the same one. What it may send, and in slices of what length, window.h says; a part
 * in the air stands in the ring of its lane like a segment, and the receiver's GOT takes it out. Who has only the first chunks
 * gives these, says that it has no more for now, and goes on when more has come: so a body streams through a relay.
 *
 * Several entries that wait for the same body share one fetch and one stored body.
 *
 * On a narrow line bodies of one chunk come so too, of every precedence: an entry that is long with its body (window_whole) goes without it
 * (replicate.c), and who takes it asks for its one part, of kind WHOLE, in the name of the entry, since that is where such a body lies.
 * It is asked for and given in the lane of its entry, so that what is urgent comes where the urgent lane alone is left, and in the order of
 * precedence among the entries there. Who has the entry and not its body yet says so, and gives it as soon as it is there.
 * Who gets the entry whole in another way, as out of a courier's bundle, has it (bodies_came). */
#ifndef CORE_BODIES_H
#define CORE_BODIES_H

#include <stdbool.h>

#include "proto/buf.h"
#include "proto/crypt.h"
#include "proto/frame.h"
#include "proto/instant.h"
#include "proto/seal.h"
#include "storage/store.h"

struct core;
struct flow;
struct peer;
struct stream;

/* Where a part stands in the order of its body: the manifest at 0. */
#define PARTS_PER_PAGE (LIMIT_LEAVES_PER_PAGE + 1)
static inline uint32_t position_of(uint8_t kind, uint32_t index)
{
	if (kind == PART_MANIFEST || kind == PART_WHOLE)
		return 0;
	if (kind == PART_PAGE)
		return 1 + index * PARTS_PER_PAGE;
	return 2 + index / LIMIT_LEAVES_PER_PAGE * PARTS_PER_PAGE + index % LIMIT_LEAVES_PER_PAGE;
}

static inline uint8_t position_kind(uint32_t position)
{
	return position == 0 ? PART_MANIFEST : (position - 1) % PARTS_PER_PAGE == 0 ? PART_PAGE : PART_CHUNK;
}

static inline uint32_t position_index(uint32_t position)
{
	uint32_t page = position ? (position - 1) / PARTS_PER_PAGE : 0, at = position ? (position - 1) % PARTS_PER_PAGE : 0;

	return at ? page * LIMIT_LEAVES_PER_PAGE + at - 1 : page;
}

/* ---- fetching ---------------------------------------------------------------------------------------------------------- */

#define FETCH_WAITERS 4
#define PART_FROM_SEVERAL UINT16_MAX /* no site has this number */
/* A body that is being fetched. */
struct fetch {
	struct hash body;
	/* Entries that wait for it; there may be more, which the journal knows. */
	struct waiter { uint32_t stream; uint64_t number; } waiter[FETCH_WAITERS];
	size_t n_waiters;
	uint8_t rank;                /* of the most urgent of them */
	bool single;                 /* of one chunk, and of so many bytes */
	uint64_t single_bytes;
	bool have_manifest;
	struct manifest manifest;
	uint64_t body_no; uint8_t class;
	struct buf page;             /* leaves of the page that the next chunk lies in */
	uint32_t page_no; bool have_page;
	uint32_t have;               /* chunks stored */
	uint32_t position;           /* of the part that comes next */
	struct buf part;             /* the beginning of it, when it came in slices */
	uint32_t part_total;
	uint16_t part_from;          /* who gave that, or PART_FROM_SEVERAL */
	uint16_t from;               /* the peer that is asked now; 0: nobody */
	bool again;                  /* choose anew whom to ask */
	uint32_t asked;              /* up to this position, exclusive */
	struct mono asked_at;        /* or when something of it came last */
	struct mono lost_at;         /* when we said that something was lost */
	uint32_t tries;              /* holders left since something came */
	uint32_t denied;             /* of these said that they have no more of it */
	uint16_t bad; struct mono bad_at; /* who gave what did not fit, most recently */
	bool mend;                   /* all of it is here, but the part at position is damaged: that one only */
};

/* An entry's body lies apart and is not here. */
void bodies_fetch(struct core *c, struct stream *s, uint64_t number, const struct hash *body);
/* A part of a body that is here is damaged: it is fetched, and takes its place. row is the body's. */
void bodies_mend(struct core *c, struct stream *s, uint64_t number, const struct body_row *row, uint32_t position);
void bodies_part(struct core *c, struct peer *p, uint8_t lane, const struct part *part);
/* A part out of a courier's bundle. ERR_OK: taken; ERR_EXISTS: not asked for, or here already; ERR_GAP: one before it is missing; ERR_AUTH:
 * it does not fit its hash. */
MUST_USE enum err bodies_apply(struct core *c, const struct part *part);
void bodies_not_here(struct core *c, struct peer *p, const struct hash *body);
/* An entry that is held without its body came once more, with it. */
void bodies_came(struct core *c, struct stream *s, uint64_t number, const struct entry *e);
struct mono bodies_ask(struct core *c); /* asks for what is due; when to look again */
void bodies_gone(struct core *c); /* entries that waited for bodies are gone: what none waits for any more is not fetched */
void bodies_load(struct core *c);
void bodies_drop(struct core *c);
void bodies_linked(struct core *c, struct peer *p, uint8_t lane);   /* it may give now: a connection of that lane begins */
void bodies_answered(struct core *c, struct peer *p, uint8_t lane); /* and it is there: short ones go on from who now stands first */
void bodies_unlinked(struct core *c, struct peer *p, uint8_t lane); /* or it cannot any more */
/* How much of it is here: chunks of all chunks (0: not known yet) and sealed bytes; from whom it comes (0: nobody now). */
struct body_progress { uint32_t chunks, of; uint64_t bytes, of_bytes; uint16_t from; };
void fetch_progress(const struct fetch *f, struct body_progress *out);
/* False: it is not being fetched. */
bool bodies_progress(struct core *c, const struct hash *body, struct body_progress *out);

/* ---- giving ------------------------------------------------------------------------------------------------------------ */

/* What a peer wants of one body. */
struct giving {
	struct hash body;
	uint64_t body_no; uint8_t class;
	bool single; uint64_t arrival; /* of one chunk, of the entry that arrived so; body_no 0: it was not here yet */
	uint8_t lane, rank;
	bool dry;                    /* nothing more is here for now */
	bool whole;                  /* all of it is here */
	uint32_t parts;              /* of the body here, in its order: those before this position can be given */
	uint32_t position, end;      /* given up to, and wanted up to, exclusive; kept when equal: what is wanted next goes on there */
	uint32_t offset;             /* in the next part */
	uint32_t position_safe, offset_safe; /* as of the last commit */
};

/* How many of its chunks have gone to the peer on the present connection's account. False: it wants none now. */
bool bodies_given(struct peer *p, const struct hash *body, uint32_t *chunks);
bool bodies_given_slices(struct peer *p, const struct hash *body, uint32_t *bytes); /* of one chunk: how many of its bytes */
void bodies_want(struct core *c, struct peer *p, const struct part *want);
void bodies_want_entry(struct core *c, struct peer *p, const struct want_entry *want);
void bodies_got(struct core *c, struct peer *p, uint8_t lane, uint64_t mark);
/* Does a body's slice go before the segment of f (NULL: none is due)? */
bool bodies_turn(const struct peer *p, uint8_t lane, const struct flow *f);
/* Sends one. False when there is nothing to send now after all, or no room. */
bool bodies_give(struct core *c, struct peer *p, uint8_t lane);
void bodies_more(struct core *c, const struct hash *body); /* more of it has come here */
void bodies_give_forget(struct peer *p, uint8_t lane);     /* the connection ended: who wants something asks again */
void bodies_give_committed(struct core *c);
void bodies_give_undo(struct core *c);                     /* the batch failed: what it gave did not leave */

#endif
