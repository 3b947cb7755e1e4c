/* roster.h - the signed list of sites, keys, bearers, standbys, queues, areas, groups.
 *
 * Text in libconfig syntax (this is, with node/daemon/config, one of the two users of libconfig), so that people can
 * read what they sign; beside it a detached minisign signature by the network's authority. A roster is immutable once
 * parsed; serials only rise. Includes are refused, so that the signature covers everything. */
#ifndef PROTO_ROSTER_H
#define PROTO_ROSTER_H

#include "proto/buf.h"
#include "proto/crypt.h"
#include "proto/err.h"
#include "proto/id.h"
#include "proto/limits.h"

struct bearer {
	char name[LIMIT_NAME_BYTES + 1];          /* "fibre", "mobile", "satellite" */
	char endpoint[LIMIT_ENDPOINT_BYTES + 1];  /* tcp://ADDRESS:PORT; an address in numbers, or a host's name */
	int cost;                                 /* lower first; default 10 */
	int64_t rate_bps;                         /* hint, 0 unknown */
	bool bulk;                                /* may carry bulk; default true */
};

struct queue_def {
	char name[LIMIT_NAME_BYTES + 1];
	int64_t deadline_us[PREC_COUNT];          /* time within which a message should be read; network's default when unset */
};

struct site {
	uint16_t number;                          /* 1..65535, never given to another site of this network */
	char id[LIMIT_NAME_BYTES + 1];
	char lang[LIMIT_LANG_BYTES + 1];          /* main language area: nl, fr, de */
	bool removed;                             /* it left the network: what it signed stands, its streams are held by those who still serve
	                                             it; it is linked to and addressed no more. Of its keys only identity is sure to be there */
	struct sign_public identity;
	size_t n_former;
	struct sign_public former[LIMIT_FORMER_KEYS]; /* identities it had before it was enrolled anew: they verify what they signed */
	struct seal_public sealing;
	struct signature sealing_signature;       /* by identity over "estafette sealing key 1" | site number | key */
	struct link_public link;
	size_t n_bearers, n_standbys, n_queues;
	struct bearer bearers[LIMIT_BEARERS];
	uint16_t standbys[LIMIT_STANDBYS];        /* site numbers, in order */
	struct queue_def *queues;                 /* n_queues */
};

struct area { uint16_t number; char id[LIMIT_NAME_BYTES + 1]; uint16_t site; };
struct group { uint16_t number; char id[LIMIT_NAME_BYTES + 1]; size_t n_members; uint16_t *members; };

struct roster {
	char network[LIMIT_NAME_BYTES + 1];
	struct hash network_hash;                 /* HASH_NETWORK of name and the authority's public key: binds streams, vectors, bundles */
	uint32_t serial;
	struct hash hash;                         /* HASH_STATE of the text */
	int64_t deadline_us[PREC_COUNT];
	size_t n_sites, n_areas, n_groups, n_relocators;
	struct site *sites;                       /* by rising number */
	struct area *areas;
	struct group *groups;
	uint16_t *relocators;
	unsigned quorum;
	size_t n_dictionaries;
	struct hash dictionaries[LIMIT_DICTIONARIES]; /* of their bytes; pack.h */
	int dictionary;                           /* which of them is in use for new messages; -1: the built-in one */
	struct { uint8_t *ptr; size_t len; } blob; /* as it travels and is kept (roster_blob_open); empty when it was not opened with its signature */
	bool has_keys;                            /* false for a template (conf/belgium.conf): no site has keys or bearers */
};

/* Parses text. `file` is only named in messages ("file:line: what: why (what to do)").
 * authority: NULL for an unsigned template. allow_template: sites may lack keys and bearers (then all must).
 * Checks: every name, number unique; standbys, areas, groups, relocators name known sites that are not removed; no site its own
 * standby; quorum 1..sites not removed; keys well-formed; sealing signatures fit; unknown settings are errors.
 * ERR_FORMAT, ERR_RANGE, ERR_TOO_LARGE, ERR_AUTH, ERR_NOMEM, with m filled. *out is freed with roster_free. */
MUST_USE enum err roster_parse(const char *file, struct view text, const struct minisign_public *authority, bool allow_template,
                               struct roster **out, struct errmsg *m);
/* Verifies the signature first, then parses. ERR_AUTH, ERR_KEY and those of roster_parse. */
MUST_USE enum err roster_open(const char *file, struct view text, struct view minisig, const struct minisign_public *authority,
                              struct roster **out, struct errmsg *m);
/* A signed roster as one object, as it travels between sites and is kept in journals: u8 version 1, vec16 minisig, then the text.
 * LIMIT_ROSTER_BLOB_BYTES at most. The blob of what roster_open gives is this. */
#define LIMIT_MINISIG_BYTES 2048
#define LIMIT_ROSTER_BLOB_BYTES (3 + LIMIT_MINISIG_BYTES + LIMIT_ROSTER_BYTES)
void roster_blob_add(struct buf *out, struct view text, struct view minisig);
MUST_USE enum err roster_blob_read(struct view blob, struct view *text, struct view *minisig); /* ERR_FORMAT, ERR_TOO_LARGE, ERR_TRUNCATED, ERR_VERSION */
MUST_USE enum err roster_blob_open(struct view blob, const struct minisign_public *authority, struct roster **out, struct errmsg *m);
/* The name of its state: u32 serial, then the first 28 bytes of the hash of its text. So names say which is newer. */
struct hash roster_state_id(uint32_t serial, const struct hash *text);
uint32_t roster_state_serial(const struct hash *id);
void roster_free(struct roster *r);
/* What binds streams, vectors and journals to a network: its name and its authority's key (NULL: a template's). */
struct hash roster_network_hash(const char *name, const struct minisign_public *authority);

/* Lookups: NULL when there is none. Pointers live as long as the roster. */
const struct site *roster_site(const struct roster *r, uint16_t number);
const struct site *roster_site_by_id(const struct roster *r, struct view id);
const struct site *roster_site_by_link(const struct roster *r, const char z85[41]); /* not one that is removed */
const struct area *roster_area_by_id(const struct roster *r, struct view id);
const struct area *roster_area(const struct roster *r, uint16_t number);
const struct group *roster_group_by_id(const struct roster *r, struct view id);
const struct group *roster_group(const struct roster *r, uint16_t number);
const struct queue_def *site_queue(const struct site *s, struct view name);
/* "cic-luik", or "site-17" for a number the roster lacks (written to out); "all" for 0, which is no site. Never NULL. */
const char *roster_site_name(const struct roster *r, uint16_t number, char out[LIMIT_NAME_BYTES + 1]);
bool site_is_standby_of(const struct site *standby, const struct site *of);
/* Is it in the roster and not removed? */
bool roster_has(const struct roster *r, uint16_t number);
size_t roster_live(const struct roster *r); /* how many of the sites are not removed */
/* The site's identity keys, the present one first, then its former ones: the i-th, NULL beyond the last. */
const struct sign_public *site_identity(const struct site *s, size_t i);

/* The custodians of streams to addressee: the addressee, unless it is removed, then its standbys. At most LIMIT_CUSTODIANS. Returns how many. */
size_t roster_custodians(const struct roster *r, uint16_t addressee, uint16_t out[LIMIT_CUSTODIANS]);

/* An address "name/queue" where name is a site, a service area or a group.
 * ERR_FORMAT (no slash, bad names), ERR_UNKNOWN_SITE, ERR_UNKNOWN_QUEUE (for a group: a member lacks the queue), m filled. */
struct address {
	uint16_t area, group;          /* 0 when it is a site */
	size_t n_sites;
	uint16_t sites[LIMIT_SITES];   /* one for a site or an area; the members of a group, rising */
	char queue[LIMIT_NAME_BYTES + 1];
};
MUST_USE enum err roster_resolve(const struct roster *r, struct view text, struct address *out, struct errmsg *m);

/* What differs from a to b, as lines for people ("+ site cic-namen", "~ cic-luik: link key changed", ...), appended to out. */
void roster_diff(const struct roster *a, const struct roster *b, struct buf *out);

/* The text of a roster from its parts, canonical order; roster_parse(roster_format(r)) is r. Used by `network init`. */
MUST_USE enum err roster_format(const struct roster *r, struct buf *out);

/* Cuts to the named sites (numbers): standbys, groups, areas, relocators and quorum are cut with them
 * (quorum: at most what is left, at least one). In place. ERR_UNKNOWN_SITE, also when none is left that is not removed. */
MUST_USE enum err roster_cut(struct roster *r, const uint16_t *keep, size_t n);

#endif
