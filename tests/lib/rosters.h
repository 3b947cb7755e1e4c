/* rosters.h - the Belgian roster for tests, whole, with keys, and as text. A test fails where something is wrong. */
#ifndef TESTS_ROSTERS_H
#define TESTS_ROSTERS_H

#include "proto/buf.h"
#include "proto/keyfile.h"
#include "proto/roster.h"

struct buf rosters_file(const char *path); /* from the root of the repository */
struct roster *rosters_belgium(void);      /* the template */
/* With keys and two bearers for each site, loopback and satellite. */
struct roster *rosters_enrolled(void);
uint16_t rosters_number(const struct roster *r, const char *id);
struct site *rosters_site(struct roster *r, const char *id);
struct site_keys rosters_keys(const struct site *s); /* those that rosters_enrolled gave it */
struct buf rosters_text(const struct roster *r);
struct roster *rosters_parse(struct view text, const struct minisign_public *authority, bool template);
/* Same sites, numbers, keys, bearers, groups; and what roster_diff says of two. */
void rosters_same(const struct roster *a, const struct roster *b);
void rosters_diff(const struct roster *a, const struct roster *b, const char *expected);

#endif
