#include "sim/prng.h"

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void prng_init(struct prng *p, uint64_t seed, const char *purpose, uint64_t index)
{
	uint64_t x = seed;

	/* Each part goes through the mixer, so that neighbouring seeds and indexes have nothing in common. */
	x = splitmix(&x) ^ index;
	for (; *purpose; purpose++)
		x = splitmix(&x) ^ (uint8_t)*purpose;
	for (int i = 0; i < 4; i++)
		p->s[i] = splitmix(&x);
}

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

uint64_t prng_u64(struct prng *p)
{
	uint64_t result = rotl(p->s[1] * 5, 7) * 9, t = p->s[1] << 17;

	p->s[2] ^= p->s[0];
	p->s[3] ^= p->s[1];
	p->s[1] ^= p->s[2];
	p->s[0] ^= p->s[3];
	p->s[2] ^= t;
	p->s[3] = rotl(p->s[3], 45);
	return result;
}

uint64_t prng_below(struct prng *p, uint64_t below)
{
	/* The high half of a product; its bias is below 2^-64 * below. */
	return (uint64_t)(((unsigned __int128)prng_u64(p) * below) >> 64);
}

int64_t prng_between(struct prng *p, int64_t lo, int64_t hi)
{
	if (hi <= lo)
		return lo;
	return (int64_t)((uint64_t)lo + prng_below(p, (uint64_t)hi - (uint64_t)lo + 1));
}

bool prng_chance(struct prng *p, uint32_t per_million)
{
	return per_million && prng_below(p, 1000000) < per_million;
}

/* -ln(x / 2^64) in units of 2^-32, by squaring for the bits of the logarithm to base 2. */
static uint64_t minus_ln(uint64_t x)
{
	int shift = __builtin_clzll(x | 1);
	uint64_t m = (x | 1) << shift, log2 = 0; /* m in [2^63, 2^64): a mantissa of 1 to 2 */

	for (int bit = 31; bit >= 0; bit--) {
		unsigned __int128 sq = (unsigned __int128)m * m; /* in [2^126, 2^128) */

		if (sq >> 127) {
			log2 |= 1ull << bit;
			m = (uint64_t)(sq >> 64);
		} else {
			m = (uint64_t)(sq >> 63);
		}
	}
	uint64_t minus_log2 = ((uint64_t)(shift + 1) << 32) - log2; /* x = m * 2^-(shift + 1), as a share of 1 */

	return (uint64_t)(((unsigned __int128)minus_log2 * 2977044472u) >> 32); /* ln 2 * 2^32 */
}

int64_t prng_exponential(struct prng *p, int64_t mean)
{
	if (mean <= 0)
		return INT64_MAX;
	unsigned __int128 t = ((unsigned __int128)minus_ln(prng_u64(p)) * (uint64_t)mean) >> 32;

	return t >= INT64_MAX ? INT64_MAX : (int64_t)t + 1;
}

size_t prng_weighted(struct prng *p, const uint32_t *weights, size_t n)
{
	uint64_t sum = 0, at;

	for (size_t i = 0; i < n; i++)
		sum += weights[i];
	if (!sum)
		return n;
	at = prng_below(p, sum);
	for (size_t i = 0; i < n; i++) {
		if (at < weights[i])
			return i;
		at -= weights[i];
	}
	return n;
}

void prng_bytes(struct prng *p, void *out, size_t n)
{
	uint8_t *b = out;

	for (size_t i = 0; i < n; i++) {
		b[i] = (uint8_t)(prng_u64(p) >> 32);
	}
}
