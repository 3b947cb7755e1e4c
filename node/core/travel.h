/* travel.h - rosters and dictionaries go from site to site.
 *
 * Hello, and what a peer shows of its state, say which roster is in force there. Where it is newer than ours its bytes are fetched
 * in parts from one peer at a time, verified with the authority's key, and taken over like one that a person installed. It is kept
 * in the journal, and shown to all peers, so that it goes on from there. Of two with one serial neither is taken: an alarm says so.
 * Dictionaries that the roster in force names are fetched in the same way, each checked against its hash, and are kept for ever:
 * bodies in the journal need them. What a peer gives that does not fit its name is refused, counted and alarmed, and another peer
 * is asked. One message that needs a dictionary that is not here stays in its queue, with an alarm, until it comes.
 *
 * A roster that removes a site is shown to that site before the link to it ends, and given for a while (TRAVEL_LEAVE_US). */
#ifndef CORE_TRAVEL_H
#define CORE_TRAVEL_H

#include "proto/frame.h"
#include "proto/roster.h"

struct core;
struct peer;
struct fetched;

#define TRAVEL_HELD 4      /* rosters that are verified and wait, for another of the same serial */
#define TRAVEL_FETCHES 4   /* objects that are fetched at a time */
#define TRAVEL_MISSING 16  /* dictionaries that bodies asked for */
/* The rest of the node (who is dialled, who may connect) hears so much later of a roster that removes a site. */
#define TRAVEL_LEAVE_US (20 * US_PER_S)

struct shelf_item { struct hash hash; uint32_t id; bool stored, storing; struct buf bytes; };
struct travel {
	bool store_roster, storing_roster;  /* the roster in force is to be kept in the journal; it is in this batch */
	bool tell_roster, telling_roster;   /* and to be told to the rest of the node (EFFECT_ROSTER), not before tell_at */
	struct mono tell_at;
	struct roster *held[TRAVEL_HELD]; size_t n_held;
	struct hash declined[TRAVEL_HELD]; size_t n_declined; /* names of rosters that are not for us */
	struct fetched *fetches[TRAVEL_FETCHES];
	struct shelf_item *shelf; size_t n_shelf;      /* dictionaries */
	uint32_t missing[TRAVEL_MISSING]; size_t n_missing;
	struct state_name bundle; struct buf bundled; /* an object out of a bundle, as far as it came */
	bool due;
	struct mono at;                     /* next look */
};

/* Reads dictionaries, and whether the roster in force is kept. Part of mirror_load. */
MUST_USE enum err travel_load(struct core *c);
void travel_free(struct core *c);
/* Once a batch: what is fetched, taken over, kept and told. */
void travel_look(struct core *c);
void travel_finish(struct core *c);
void travel_committed(struct core *c);
/* Another roster is in force (before: NULL when the core has just begun). */
void travel_roster(struct core *c);
void travel_removed(struct core *c, const struct roster *r); /* r is about to be in force: who leaves is shown it */
/* An object from a file or a bundle. *is_new: it was not here. ERR_AUTH, ERR_FORMAT, ERR_NOT_FOUND (the roster does not name that
 * dictionary), ...; m filled. */
MUST_USE enum err travel_take(struct core *c, uint8_t kind, struct view blob, uint16_t from, struct hash *id, bool *is_new, struct errmsg *m);
/* Of a peer: what it shows, wants and gives. */
void travel_want(struct core *c, struct peer *p, const struct state_frame *f);
void travel_part(struct core *c, struct peer *p, const struct state_frame *f);
/* An object by its name, whole: until the next change. Empty when it is not here. */
struct view travel_blob(const struct core *c, const struct state_name *name);
/* The names of all that is here, TRAVEL_NAMES at most: the roster in force, then dictionaries. */
#define TRAVEL_NAMES(c) ((c)->travel.n_shelf + 1)
size_t travel_names(const struct core *c, struct state_item *out);
/* Parts out of a bundle, in order; with the last one the object is taken as by travel_take. ERR_GAP: the one before did not come. */
MUST_USE enum err travel_bundle(struct core *c, const struct state_frame *part, bool *is_new, struct errmsg *m);
/* A body needs the dictionary that the packer did not find. */
void travel_missing(struct core *c, uint32_t id);
/* For a message to these sites: the dictionary that all of them should have, or is the built-in one better? */
uint32_t travel_dictionary(const struct core *c, uint8_t precedence, const uint16_t *sites, size_t n);

#endif
