/* sim_desk.h - what tests of the simulated world share: its roster, what desks ask, and what they are answered.
 *
 * For tests that include "sim/world.h" and not tests/lib/world.h, whose functions have some of the same names. */
#ifndef TESTS_SIM_DESK_H
#define TESTS_SIM_DESK_H

#include "proto/request.h"
#include "sim/world.h"

/* The Belgian template cut to these sites; the caller frees it. A test fails when it cannot be read. */
struct roster *sim_roster(const char *const *names, size_t n);

extern const struct client_rights SIM_DESK; /* may do everything */

/* to: of a submission the address, of a take the queue. Empty members are left out. */
struct sim_ask { uint8_t type; const char *to; uint8_t precedence; struct view body; uint32_t count; const struct msgid *id; };
void sim_ask(struct world *w, size_t site, uint64_t client, uint32_t tag, const struct sim_ask *a);
/* The first field of that kind; empty when there is none. */
struct view sim_field(const struct request *r, uint8_t field);
struct msgid sim_id(const struct request *r);
/* The next whole reply at the beginning of *bytes, which moves behind it. False at the end. */
bool sim_reply(struct view *bytes, struct request *out);

#endif
