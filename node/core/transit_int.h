/* transit_int.h - what the parts of transit share: whom a stream is given to (transit.c), who is asked (transit_ask.c). */
#ifndef CORE_TRANSIT_INT_H
#define CORE_TRANSIT_INT_H

#include "proto/instant.h"

struct core;
struct flow;
struct peer;
struct stream;
struct stream_name;

/* The same question goes on no sooner. */
#define TRANSIT_LAZILY_MOST_US (1800 * US_PER_S)

/* ---- transit.c ---- */
void transit_later(struct core *c, struct stream *s, struct mono at); /* it is looked at again by then */
/* ---- transit_ask.c ---- */
/* Asks a peer what it has of the stream, with the next frame to it, or notes when it may be asked again. */
void transit_ask(struct core *c, struct stream *s, struct flow *f);
/* Its originator, when that gives us what it wrote in this run by itself; else NULL. */
struct peer *transit_writer(struct core *c, const struct stream_name *n);
/* What was asked and is to be answered in this batch. */
void transit_asks_send(struct core *c);
void transit_answers_send(struct core *c);

#endif
