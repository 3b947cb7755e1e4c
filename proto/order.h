/* order.h - orders: who serves a site's queues when the site cannot, and who says so.
 *
 * In July 2021 the CIC of Luik moved to Leuven and Namen. As an order: site cic-luik, dispatch to cic-vlaams-brabant,
 * messages to cic-namen, reason "flood", issued by spoc-brussel, epoch 1, before it nothing. The handback is epoch 2 of the
 * same chain: the same site, no assignments, before it the first order's id.
 *
 * Orders and endorsements are state: signed, kept for ever, given to whoever lacks them. An order states the whole
 * assignment of its site; what it does not name stays home. It is valid when the site itself or one of the roster's
 * relocators issued it, or the authority or a quorum of other sites endorsed it. Which of several valid orders is in force
 * follows from the set of orders and endorsements alone (order_settle), so that all sites that know the same say the same. */
#ifndef PROTO_ORDER_H
#define PROTO_ORDER_H

#include "proto/buf.h"
#include "proto/crypt.h"
#include "proto/roster.h"
#include "proto/vector.h"

/* Kinds of state (FRAME_STATE, the table of state). */
/* Orders and endorsements are given whole, and the state hash is over them. Rosters (roster_blob_open) and dictionaries (pack.h) are
 * fetched in parts, by name: travel.h of the core. */
enum state_kind { STATE_KIND_ORDER = 1, STATE_KIND_ENDORSEMENT = 2, STATE_KIND_ROSTER = 3, STATE_KIND_DICTIONARY = 4 };

enum order_kind {
	ORDER_RELOCATE = 1,
	ORDER_HANDBACK = 2,  /* no assignments */
	ORDER_REVOKE = 3,    /* the site's keys count no more beyond the points that its signers name; assignments as of a relocation */
	ORDER_MINIMIZE = 4,  /* MINIMIZE (ACP 121): messages of `precedence` and below stay where they are until `until`; site 0, the whole network */
	ORDER_LIFT = 5,      /* ends a MINIMIZE before its time; site 0 */
};
const char *order_kind_name(unsigned k); /* "relocate", "handback", "revoke", "minimize", "lift" */
/* MINIMIZE and what lifts it are one chain, about no site: ORDER_NETWORK stands where the others name theirs. */
#define ORDER_NETWORK 0
bool order_of_network(unsigned kind);
#define LIMIT_MINIMIZE_US (24LL * 3600 * 1000000)

#define LIMIT_ASSIGNMENTS 64
#define LIMIT_WITHOUT 16
/* Different successors of one order: with the site and its standbys they are its custodians (LIMIT_CUSTODIANS). */
#define LIMIT_SUCCESSORS 8
#define SHARES 10000
/* A site's chain of orders, operational and exercise apart, is at most so long. */
#define LIMIT_CHAIN 4096

enum assign_what {
	ASSIGN_ALL = 0,   /* every queue of the site */
	ASSIGN_QUEUE = 1, /* one queue */
	ASSIGN_AREA = 2,  /* what was addressed to one service area of the site, in every queue */
	ASSIGN_SHARE = 3, /* messages whose share lies in [from, until), in every queue */
};
struct assignment {
	uint16_t to;                     /* the successor's site number; the site itself for a share that stays */
	uint8_t what;
	char queue[LIMIT_NAME_BYTES + 1];
	uint16_t area;
	uint16_t from, until;
	struct hash at;                  /* the order in force of the successor's own chain as the issuer saw it; zeros: none */
};

struct order {
	uint8_t kind;
	uint16_t site, issuer;
	uint32_t epoch;                  /* its predecessor's plus one; the first is 1 */
	struct hash before;              /* id of its predecessor; zeros for the first */
	uint32_t roster;                 /* serial of the roster under which it was given */
	struct wall issued;              /* a label */
	char exercise[LIMIT_NAME_BYTES + 1]; /* name of the exercise; empty: operational */
	char reason[LIMIT_REASON_BYTES + 1];
	size_t n_assign;
	struct assignment assign[LIMIT_ASSIGNMENTS];
	size_t n_without;                /* of a handback: successors that are gone, whose closings are not waited for */
	uint16_t without[LIMIT_WITHOUT];
	uint8_t precedence;              /* of MINIMIZE: PREC_PRIORITY or PREC_ROUTINE, the first that is held back */
	struct wall until;               /* of MINIMIZE: LIMIT_MINIMIZE_US after `issued` at the latest */
	uint16_t n_points;               /* of a revocation: how far its issuer had the site's streams; frontiers without missing */
	struct view points;              /* frontier_next reads them; borrowed from what was decoded */
};

/* An order: u8 version 1, u8 kind, u16 site, u16 issuer, u32 epoch, 32 before, u32 roster, i64 issued, vec8 exercise,
 * vec16 reason, u8 assignments, each (u16 to, u8 what, 32 at, then by what: nothing | vec8 queue | u16 area | u16 from, u16 until),
 * u8 without, u16 each, u16 points, a frontier each; version 2, of MINIMIZE and LIFT alone: u8 precedence, i64 until before the points;
 * then 64 signature of the issuer over
 * "estafette order 1" | network hash | all before. Its id is the HASH_STATE of all before the signature.
 * Appends the blob to out. ERR_TOO_LARGE over LIMIT_STATE_BYTES. */
#define LIMIT_STATE_BYTES (60 * 1024)
MUST_USE enum err order_make(const struct crypt_suite *suite, const struct sign_secret *key, const struct hash *network,
                             const struct order *o, struct buf *out);
/* Shape only, nothing is checked against a roster. Views borrowed from blob. ERR_VERSION, ERR_FORMAT, ERR_TRUNCATED,
 * ERR_TOO_LARGE, ERR_RANGE (a handback with assignments, points of anything but a revocation, shares out of range, a MINIMIZE of over a day, ...). */
MUST_USE enum err order_decode(struct view blob, struct order *out, struct hash *id);
/* The issuer's signature, by its identity or one that it had before. ERR_UNKNOWN_SITE, ERR_AUTH. */
MUST_USE enum err order_verify(const struct crypt_suite *suite, const struct roster *r, struct view blob, const struct order *o);
/* Of one that was verified: by an identity that its issuer had before, and not by the present one? */
bool order_by_former(const struct crypt_suite *suite, const struct roster *r, struct view blob, const struct order *o);
/* Can it be obeyed under this roster? With m filled: ERR_UNKNOWN_SITE, ERR_UNKNOWN_QUEUE: site, issuer, successors, queues and areas
 * are known, areas are the site's. ERR_REFUSED, under any roster: nothing is assigned twice (a queue, an area, all, overlapping
 * shares, all beside shares); at most LIMIT_SUCCESSORS successors; shares make 10 000 together; no successor is the site itself
 * except of a share; a revocation leaves nothing at home. */
MUST_USE enum err order_check(const struct roster *r, const struct order *o, struct errmsg *m);

/* Was every successor at home, as the issuer saw it: does the order that assignment.at names move nothing of it away? find gives the
 * order of an id, NULL when it is not known here. With m filled: ERR_REFUSED, it does, or it is not about that site and that kind
 * of traffic; ERR_NOT_FOUND, *at: the order has to wait for that one. What was ordered about a successor later changes nothing. */
MUST_USE enum err order_check_at(const struct roster *r, const struct order *o, const struct order *(*find)(const void *arg, const struct hash *id),
                                 const void *arg, struct hash *at, struct errmsg *m);

/* Which site has a message under an order: by area before queue before all or share; the site itself for what is not named.
 * o may be NULL: the site. area 0 for none. */
uint16_t order_owner(const struct order *o, uint16_t site, struct view queue, uint16_t area, const struct msgid *id);
/* HASH_SHARE of (site, id) mod SHARES. */
uint16_t order_share(uint16_t site, const struct msgid *id);
/* Does to serve anything / anything in that queue under o; is that all of the queue whatever area and share? */
bool order_names(const struct order *o, uint16_t to);
bool order_may_own(const struct order *o, uint16_t site, struct view queue, uint16_t to);
bool order_owns_all(const struct order *o, uint16_t site, struct view queue, uint16_t to);
/* May anything stay at home under o: a share of its own, or what neither everything nor shares assign? */
bool order_leaves_home(const struct order *o);
/* "dispatch -> cic-namen, area eupen -> cic-luik, 30 % -> ...", appended as lines; of MINIMIZE "routine held back until TIME". */
void order_text(const struct roster *r, const struct order *o, struct buf *out);

/* ---- endorsements ------------------------------------------------------------------------------------------ */

/* u8 version 1, 32 order id, u16 site (0: the authority), i64 signed, i64 last, u16 points, a frontier each; then 64 signature over
 * "estafette endorsement 1" | network hash | all before. Its id is the HASH_STATE of all before the signature. */
struct endorsement {
	struct hash order;
	uint16_t site;                   /* 0: the network's authority, with the key that signs rosters */
	struct wall signed_at, last;     /* last: it counts only beside endorsements that were signed by then; labels, compared with each other */
	uint16_t n_points;
	struct view points;
};
MUST_USE enum err endorsement_make(const struct crypt_suite *suite, const struct sign_secret *key, const struct hash *network,
                                   const struct endorsement *e, struct buf *out);
MUST_USE enum err endorsement_decode(struct view blob, struct endorsement *out, struct hash *id);
/* authority: NULL when none is known (then one of the authority does not count). ERR_UNKNOWN_SITE, ERR_AUTH, ERR_KEY. */
MUST_USE enum err endorsement_verify(const struct crypt_suite *suite, const struct roster *r, const struct sign_public *authority,
                                     struct view blob, const struct endorsement *e);
bool endorsement_by_former(const struct crypt_suite *suite, const struct roster *r, struct view blob, const struct endorsement *e);

/* ---- which one is in force ------------------------------------------------------------------------------------ */

enum order_state {
	ORDER_IN_FORCE = 1,
	ORDER_SUPERSEDED = 2,  /* an earlier one of the chain in force, or the loser beside it */
	ORDER_PENDING = 3,     /* its predecessor, its roster, or endorsements are not here yet */
	ORDER_REFUSED = 4,     /* it can never be obeyed */
};
const char *order_state_name(unsigned s); /* "in_force", "superseded", "pending", "refused" */

/* One order with what speaks for it. The caller fills the first part, order_settle the second. */
struct order_case {
	const struct order *order;
	struct hash id;
	size_t n_endorsements;
	const struct endorsement *const *endorsements; /* verified; of any order, those of others are passed over */
	enum err check;            /* what order_check, or else order_check_at, said under the roster here */
	char check_why[120];       /* in words */
	struct hash at;            /* of ERR_NOT_FOUND of order_check_at */
	bool newer_roster;         /* it was given under a later roster than ours: it waits */
	bool by_former;            /* signed with an identity that its issuer had before */
	bool captured;             /* and that issuer was revoked at some time: of others' orders its word does not count */

	enum order_state state;
	uint8_t rank;              /* 0 quorum or authority, 1 relocator, 2 the site itself, 3 nobody yet */
	unsigned votes;            /* different sites other than its own that stand for it, the issuer included */
	bool on_chain;             /* in force, or an ancestor of the one in force */
	bool revoked;              /* under it its site counts as revoked: it or one before it is a revocation, and no handback came since */
	char why[160];             /* of pending and refused; of superseded by whom */

	bool after_revocation;     /* its site was revoked at some time before it */

	/* order_settle's own while it works; `before` stays: the predecessor, when it is here and fits. */
	struct order_case *before, *child, *sibling, *bucket, *next, *winner;
};
/* Settles the orders of one site and one kind of traffic. revoked (may be NULL): sites that do not count, as signers. From the first
 * order (before: zeros) on, at each fork: the lower rank, then the lower id; the last one reached is in force. NULL: none, the site serves itself.
 * An endorsement counts when its last day is not before the day of any other that counts with it (the largest such set is taken).
 * A revocation needs the authority or a quorum. After one, until a handback, the site's own orders do not count and orders may leave
 * nothing at home; after it also those do not count that the site signed with a key of before; those before it stand (of its own operational chain a site's entry in revoked is therefore not looked at).
 * An order of an older roster that names what the roster here no longer has stays what it was: a lost successor needs a new order.
 * The result does not depend on the order of cases. */
struct order_case *order_settle(const struct roster *r, const bool *revoked /* by site number, roster's largest + 1 */, struct order_case *cases, size_t n);

#endif
