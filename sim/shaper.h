/* shaper.h - the rates of a live drill's lines, kept by the kernel where it can.
 *
 * The proxy (proxy.h) can only read slowly. The kernel makes the line itself narrow: the daemon's own TCP, with its congestion control, its
 * retransmissions and its acknowledgements, meets a queue that empties at the bearer's rate, and what the node's sending window
 * is for is seen. Latency, jitter, loss, resets and cuts stay with the proxy.
 *
 * In the place of each site `lo` has an HTB, and in it a class for each peer and bearer that has a rate. What a daemon sends to a peer goes to
 * 127.BEARER.PEER, whoever dialled (the proxy dials on from there), so one u32 filter a class tells it. What comes from the proxy goes
 * elsewhere, and is not held up: each way is shaped once, where it begins, acknowledgements with it. A packet counts as on `lo`, with 66 bytes
 * of headers; MTU is 1500, and where one of a site's lines is below 200 Mbit/s TCP is told to hand over single packets, so that an urgent one is not
 * behind 64 KiB.
 *
 *   rate      of packets. Bytes of TCP are 4 % less when packets are full
 *   queue     the class's own, bfifo of `queue` bytes: what is more is dropped. sch_fifo is in every kernel that has sch_htb. Without `queue`
 *             4 MiB; TCP itself leaves some packets there at most, and the rest in the socket's buffer
 *   a change  of rate or queue changes the class; what is queued stays. A rate that is taken away becomes the widest there is
 *
 * sch_htb and cls_u32 are needed, and rights over the place, which who made it has. All of it is gone with the place. */
#ifndef SIM_SHAPER_H
#define SIM_SHAPER_H

#include "sim/proxy.h"

struct shaper;

/* Tries all that is needed at home, and takes it away again. ERR_UNSUPPORTED: this kernel or these rights do not do; m says what. */
MUST_USE enum err shaper_probe(int home, struct errmsg *m);
/* For the proxy's lines (its config; places and numbers stay borrowed). Before anything is connected: a connection keeps its packets. */
MUST_USE enum err shaper_new(const struct proxy_config *c, struct shaper **out, struct errmsg *m);
/* Makes it as the link is now. ERR_IO, m filled: the kernel refused; the rate is as it was. */
MUST_USE enum err shaper_link(struct shaper *s, size_t link, struct errmsg *m);
void shaper_free(struct shaper *s);

#endif
