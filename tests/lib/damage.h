/* damage.h - a disk that loses bits: in the store in memory of a site of the small world. */
#ifndef TESTS_DAMAGE_H
#define TESTS_DAMAGE_H

#include "storage/schema.h"
#include "tests/lib/world.h"

/* Flips a bit in this record; no other may have the same bytes. */
void damage_record(struct world *w, size_t i, struct key k);

#endif
