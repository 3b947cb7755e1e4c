/* evidence.h - for an inquiry: what one site's journal proves about a time, as one file that anybody can verify.
 *
 * An evidence package is a binary export (export.h) of the messages that were sent in that time, of all reports about them whenever they came,
 * and of the grants that open them, with what it takes to verify these without the site: the rosters, signed by the network's authority,
 * orders, endorsements and dictionaries, the chain before each run, and when each entry came to this site. At its end the site signs the hash of
 * all of it. Bodies stay sealed as they were; the key file of a site that could read them then opens them.
 *
 * What can be verified: that each entry is what its originator signed, in its place in the chain; that each roster is what the authority signed, and each
 * order its issuer; that nobody altered or cut the file since the site made it. When entries came is that site's word. */
#ifndef NODE_CLI_EVIDENCE_H
#define NODE_CLI_EVIDENCE_H

#include "node/cli/export.h"

struct evidence {
	struct wall from, to;              /* sent; to: before it */
	struct minisign_public authority;
	uint8_t *picked;                   /* entries by arrival number, a bit each */
	uint64_t n_picked;                 /* numbers it has bits for */
	struct evidence_grant { uint32_t stream; uint64_t number; } *grants; /* that open what is picked, each once */
	size_t n_grants;
	struct msgid *ids;                 /* of the messages, in order */
	size_t n_ids;
	uint64_t messages, reports, unopened; /* reports that no key opens: those sent in the time are taken */
};
/* Which entries belong to that time. ERR_CLOSED (interrupted), ERR_NOMEM and those of reading; m filled. */
MUST_USE enum err evidence_choose(struct source *s, struct evidence *ev, struct progress *p, struct errmsg *m);
void evidence_release(struct evidence *ev);
bool evidence_wants(void *arg, const struct entry_row *row); /* arg: struct evidence */

/* What is signed at the end: the domain, the network, the hash of all before. */
#define EVIDENCE_SIGNED_BYTES 128
struct view evidence_signed(uint8_t out[EVIDENCE_SIGNED_BYTES], const struct hash *network, const struct hash *all);

/* roster: one of the package. The messages of a package that this key file opens, as a folder: a file for each body, named by its id, and index.jsonl, which lists them.
 * The package has been verified. ERR_UNKNOWN_SITE (whose keys they are), ERR_CONFLICT (of another network), ERR_EXISTS (the folder), ERR_FULL, ERR_IO, ERR_CLOSED, ERR_NOMEM; m filled. */
struct opened { uint64_t messages, bodies, unopened; };
MUST_USE enum err evidence_open(const char *file, const struct roster *roster, const struct site_keys *keys, const char *folder, struct opened *out, struct errmsg *m);

#endif
