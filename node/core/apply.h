/* apply.h - the rule "commit, then speak", in one place for the daemon and the simulator. */
#ifndef CORE_APPLY_H
#define CORE_APPLY_H

#include "node/core/core.h"

/* Applies n events in one transaction and commits it. Effects are appended to out only when the commit succeeded.
 * When it fails without harm (full, busy), nothing of it happened: the events are applied again one by one, and the one
 * that does not fit is answered with a refusal (a request) or dropped (a frame: the peer sends it again).
 * ERR_OK, or ERR_SYNC / ERR_IO / ERR_DAMAGED: the process must end at once and say nothing more. */
MUST_USE enum err core_apply(struct core *c, struct store *s, const struct event *events, size_t n, struct effects *out);

#endif
