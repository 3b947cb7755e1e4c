/* shape.h - one way of one bearer as the proxy of live drills keeps it: when bytes read now come out at the other end.
 *
 * The same line as link.h's, for bytes in place of frames. A way (struct shape) serves the connections that lie on it one
 * piece after another, so that they share its rate; each connection (struct shape_flow) has one piece on the wire and
 * one behind it at most, and what it has more stays with the daemon, whose own window and kernel buffers then fill as
 * they do on a bad line. A piece is what takes 20 ms at the rate, 256 B to 16 KiB. Loss is a piece that comes late, with
 * all behind it on its connection; the rate of loss is one of packets: a piece is lost as
 * often as a packet, one of a fraction of a packet's bytes that fraction as often. Pure: time and chance are given. */
#ifndef SIM_SHAPE_H
#define SIM_SHAPE_H

#include "sim/link.h"

#define SHAPE_PIECE_MOST (16 * 1024)
#define SHAPE_PACKET 1400

struct shape { struct mono free_at; };               /* when its last byte has left; 0 at the start */
struct shape_flow { struct mono left_at, last_at; }; /* when its own last byte has left; when its last piece comes out */

/* How much to read at once at this rate (0: no limit). */
size_t shape_piece(int64_t rate_bps);
/* From when on the connection may read its next piece. */
struct mono shape_reads_at(const struct shape_flow *f);
/* The same where the kernel kept the rate before the bytes came here (shaper.h): it lets a packet go when those before it have left, so a
 * piece's own time on the wire is added, and nobody waits for another. */
struct mono shape_follow(struct shape_flow *f, const struct bearer_state *b, struct prng *p, struct mono now, size_t len, bool *stalled);
/* A piece of len bytes was read now: when it comes out. Keeps the order of its connection. */
struct mono shape_send(struct shape *s, struct shape_flow *f, const struct bearer_state *b, struct prng *p, struct mono now, size_t len, bool *stalled);

#endif
