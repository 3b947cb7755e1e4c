/* resolver.h - addresses of hosts that the roster names: looked up on threads of their own, so that a name server that is slow or
 * dead holds up nobody.
 *
 * What was found last stays in use until something else is found; a name that fails is no reason to forget its address. A name
 * is looked up when it is first asked for, again every few minutes, and sooner when its address does not answer. Some lookups may
 * run at once; one that hangs keeps its thread, and when all hang the other names wait for them. All calls are the network
 * thread's. */
#ifndef NODE_DAEMON_RESOLVER_H
#define NODE_DAEMON_RESOLVER_H

#include "node/daemon/poller.h"
#include "proto/err.h"
#include "proto/instant.h"
#include "proto/limits.h"

struct resolver;

/* changed is called from poller_wait when a host has an address for the first time, or another. */
MUST_USE enum err resolver_open(struct poller *poller, void (*changed)(void *arg, const char *host), void *arg, struct resolver **out,
                                struct errmsg *m);
/* Does not wait for lookups that hang. NULL is fine. */
void resolver_close(struct resolver *r);
/* For zmq_connect: the endpoint as it is when its host is an address, else with the address that is known of the name; false when none
 * is known (yet: it is being looked up). */
bool resolver_endpoint(struct resolver *r, const char *endpoint, char out[LIMIT_ENDPOINT_BYTES + 1]);
/* Nobody answered at the address of the endpoint's host: the next one of the name is used, and the name looked up again soon. */
void resolver_failed(struct resolver *r, const char *endpoint);
/* Begins what is due. At least every few seconds. */
void resolver_tick(struct resolver *r, struct mono now);

/* The host of tcp://HOST:PORT when it is a name; false for an address, or an asterisk. */
bool endpoint_name(const char *endpoint, char host[LIMIT_ENDPOINT_BYTES + 1]);

#endif
