/* clients.h - the local socket: desks and operators on this machine.
 *
 * Who connects is known by the kernel's word (SO_PEERCRED, SO_PEERGROUPS) and gets the rights that node.conf gives its
 * user, or else the first of its groups; others are told so and closed. Requests are passed on as they come, replies are
 * kept for a client that reads slowly: over 8 MiB it is not read from, over 64 MiB it is closed. */
#ifndef NODE_DAEMON_CLIENTS_H
#define NODE_DAEMON_CLIENTS_H

#include "node/daemon/config.h"
#include "node/daemon/inbox.h"
#include "node/daemon/poller.h"

struct clients;

/* Call only with the journal's lock held: a socket file left by a node that died is then ours to remove. config is
 * borrowed until clients_config. ERR_IO, m filled. */
MUST_USE enum err clients_open(const struct config *config, struct poller *poller, struct inbox *inbox, struct clients **out,
                               struct errmsg *m);
void clients_close(struct clients *c); /* removes the socket file; NULL is fine */
/* New rights, for those who connect from now on. */
void clients_config(struct clients *c, const struct config *config);

/* Keeps a reply for the client; what is kept goes out with clients_flush. */
void clients_reply(struct clients *c, uint64_t client, struct view bytes);
/* Closes it when all that was said to it has gone out. */
void clients_end(struct clients *c, uint64_t client);
/* Writes what can be written. Once a round: one write(2) a client, however many replies. */
void clients_flush(struct clients *c);
/* Reads on from those that were not read for lack of room in the inbox. */
void clients_resume(struct clients *c);
/* No more connections and no more requests: the node is ending. */
void clients_stop(struct clients *c);
/* True when nothing that was said is left to be written. */
bool clients_idle(const struct clients *c);
/* Frees what was closed in this round; after each poller_wait. */
void clients_settle(struct clients *c);
/* Once a second. */
void clients_tick(struct clients *c);

#endif
