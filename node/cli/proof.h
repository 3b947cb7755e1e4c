/* proof.h - what a file of entries proves by itself: an evidence package, or an export.
 *
 * Each entry's hashes, its link to the chain before it, the signed head behind it, bodies against their hashes, and in an evidence package the
 * rosters, orders and endorsements under the authority's key, and the signature of the site that made it. Nothing else is needed than the
 * file; that the authority's key is the right one a person sees by its fingerprint, or it is given to compare. An export brings no roster:
 * its signatures are checked when one is given, else counted as unchecked. */
#ifndef NODE_CLI_PROOF_H
#define NODE_CLI_PROOF_H

#include "node/cli/cli.h"
#include "proto/crypt.h"
#include "proto/id.h"
#include "proto/instant.h"
#include "proto/roster.h"

#define PROOF_FINDINGS 8

struct proof_stream { struct stream_name name; uint64_t number; struct hash chain; };
struct proof {
	const char *file;
	const struct minisign_public *expected; /* the authority that it should be; NULL: any */
	/* what was found */
	bool evidence, is_signed, has_authority;
	uint16_t site;                 /* whose journal it was */
	struct hash network;
	struct wall from, to;          /* evidence: the time it is about */
	struct minisign_public authority;
	uint64_t entries, messages, reports, grants, streams, heads, heads_unchecked, bodies, bodies_missing, orders, endorsements, dictionaries;
	struct wall first_arrived, last_arrived;
	uint64_t wrong;
	char finding[PROOF_FINDINGS][400];
	size_t n_findings;
	/* of the work */
	struct roster **rosters; size_t n_rosters;
	struct proof_stream *stream; size_t n_streams, at;
	struct { bool known; struct stream_name name; uint64_t number; struct hash chain; } before; /* of the segment that follows */
	bool head_known; struct hash head; /* JSON: the chain at the head of the segment that follows */
	bool arrived_known; uint16_t arrived;
	struct { struct hash hash; bool whole; uint32_t chunks, have, pages; struct buf leaves; struct manifest *manifest; } body;
	struct hash *whole; size_t n_whole; /* bodies in parts that are all there */
};
/* roster: NULL, or what verifies the signatures of an export; p->rosters owns it then. Reads the whole file. Whatever is wrong is counted, and the first of it
 * told in p->finding; other results than ERR_OK: it could not be read to its end for another reason (ERR_NOT_FOUND, ERR_IO, ERR_CLOSED, ERR_NOMEM), m filled. */
MUST_USE enum err proof_read(struct proof *p, struct roster *roster, bool (*progress)(void *arg, uint64_t bytes, uint64_t of), void *arg, struct errmsg *m);
void proof_release(struct proof *p);
/* The roster of its site: the newest; NULL when there is none. */
const struct roster *proof_roster(const struct proof *p);
/* The command `journal verify FILE`; authority: the file of the public key that it should be, or NULL. */
int proof_verify(struct cli *cli, const char *file, const char *authority);
const char *proof_site(const struct proof *p, uint16_t number, char out[LIMIT_NAME_BYTES + 1]);

#endif
