/* net.h - the network thread: one loop over links, clients, signals and the effects that the journal thread hands out.
 * It never waits for the journal's disk. */
#ifndef NODE_DAEMON_NET_H
#define NODE_DAEMON_NET_H

#include "node/daemon/config.h"
#include "proto/keyfile.h"
#include "proto/roster.h"
#include "storage/store.h"

struct core;

struct net_config {
	const struct config *config;  /* copied */
	const struct site_keys *keys; /* borrowed */
	struct roster *roster;        /* taken over, also when this fails; not the core's own copy */
	const struct minisign_public *authority; /* copied */
	struct core *core;            /* borrowed; the journal thread's alone from here on */
	struct store *store;
};

/* Blocks the signals that the loop reads, in this thread and all that it starts. First thing of main. */
void net_block_signals(void);

/* Opens everything, runs until SIGTERM or SIGINT, and ends in good order: 0. Otherwise 1, and why is in the log. */
int net_run(const struct net_config *c);

#endif
