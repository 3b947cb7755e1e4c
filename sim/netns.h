/* netns.h - network namespaces without names: each is held by a descriptor alone, and gone with the processes that have it.
 *
 * A place is a network of one site: only `lo` is in it, so that 127.0.0.0/8 is that site's own. The calling process, of one
 * thread, leaves the machine's network for a place of its own (home) and makes the others from there; without privileges it
 * first enters a user namespace of its own. */
#ifndef SIM_NETNS_H
#define SIM_NETNS_H

#include <stdbool.h>

#include "proto/err.h"

/* ERR_NOT_PERMITTED: this machine does not let us; m says what would help. Once a process. */
MUST_USE enum err netns_begin(int *home, struct errmsg *m);
/* Makes one and goes back home. *out is closed by the caller. */
MUST_USE enum err netns_new(int home, int *out, struct errmsg *m);
/* Does work in that place and comes home; what it returned, with its errno. -1: the place cannot be entered. */
int netns_visit(int home, int place, int (*work)(void *arg), void *arg);
/* A TCP socket over IPv4 in that place, for which it stays; does not block. -1: errno. */
int netns_socket(int home, int place);
/* For a child before its exec. False: errno. */
bool netns_enter(int place);

#endif
