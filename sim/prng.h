/* prng.h - the simulator's chance: one seeded generator for each purpose, so that a new question asked of one does not
 * change the answers of another. xoshiro256** seeded by splitmix64 (Blackman, Vigna). Integers only: a run is the same on
 * every machine and at every level of optimisation. Not for keys. */
#ifndef SIM_PRNG_H
#define SIM_PRNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prng { uint64_t s[4]; };

/* The generator of a purpose ("link", "workload", ...) and an index (a site, a link; 0 when there is one) in the run of seed. */
void prng_init(struct prng *p, uint64_t seed, const char *purpose, uint64_t index);
uint64_t prng_u64(struct prng *p);
/* 0 .. below - 1; 0 when below is 0. */
uint64_t prng_below(struct prng *p, uint64_t below);
/* lo .. hi, both included; lo when hi is less. */
int64_t prng_between(struct prng *p, int64_t lo, int64_t hi);
bool prng_chance(struct prng *p, uint32_t per_million);
/* Time to the next of events that come at random with this mean; 1 .. about 44 * mean. INT64_MAX when mean is not positive. */
int64_t prng_exponential(struct prng *p, int64_t mean);
/* An index with probability in proportion to its weight; n when all are 0. */
size_t prng_weighted(struct prng *p, const uint32_t *weights, size_t n);
void prng_bytes(struct prng *p, void *out, size_t n);

#endif
