/* zap.h - who may connect: exactly the link keys of the current roster, our own excepted.
 *
 * Answers ZeroMQ's authentication requests (RFC 27) inside the network loop. A known key gets status 200 and itself as
 * User-Id; an unknown one gets 300, after which the other side tries again later, for it may be in the next roster. */
#ifndef NODE_DAEMON_ZAP_H
#define NODE_DAEMON_ZAP_H

#include "proto/roster.h"

struct zap {
	void *socket;
	const struct roster *roster; /* borrowed; exchanged with each new one */
	uint16_t self;
	uint64_t refused;            /* so many were */
	bool quiet;                  /* the self-test's stranger is no news */
};

/* Before any CURVE socket of the context. */
MUST_USE enum err zap_open(struct zap *z, void *ctx, const struct roster *roster, uint16_t self, struct errmsg *m);
void zap_close(struct zap *z);
/* Answers all that wait. */
void zap_serve(struct zap *z);

#endif
