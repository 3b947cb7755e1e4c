#include "tests/lib/fuzz_driver.h"

#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define INPUT_MAX_BYTES (96 * 1024)
#define SEEDS_MAX 64
#define POOL 192 /* the seeds, then mutated inputs that were taken, the oldest of them replaced first */

struct options {
	uint64_t runs, seconds, seed;
};

static struct {
	const char *name;
	uint64_t seed, run;
	struct view input;
	struct buf pool[POOL];
	unsigned n_seeds, n_pool, oldest;
} fuzz;

/* ---- randomness: xorshift64*, the same everywhere ---------------------------------------------------------- */

static uint64_t random_state;

static uint64_t random_u64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dULL;
}

static size_t random_below(size_t n)
{
	return n ? (size_t)((random_u64() >> 16) % n) : 0;
}

/* ---- what a person needs when it dies ------------------------------------------------------------------------ */

static void show_input(void)
{
	if (!fuzz.input.ptr) /* a leak found at the end */
		return;
	fprintf(stderr, "# %s --seed %" PRIu64 ", run %" PRIu64 ", %zu bytes:\n# ", fuzz.name, fuzz.seed, fuzz.run, fuzz.input.len);
	for (size_t i = 0; i < fuzz.input.len; i++)
		fprintf(stderr, "%02x", fuzz.input.ptr[i]);
	fputc('\n', stderr);
}

static void on_signal(int sig)
{
	show_input();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* There when the program is built with a sanitizer, whose reports end the process without a signal. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch_for_death(void)
{
	signal(SIGABRT, on_signal);
	if (__sanitizer_set_death_callback) {
		__sanitizer_set_death_callback(show_input);
		return;
	}
	signal(SIGSEGV, on_signal);
	signal(SIGBUS, on_signal);
	signal(SIGFPE, on_signal);
}

/* ---- mutation -------------------------------------------------------------------------------------------------- */

static const uint64_t interesting[] = {0, 1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 1023, 1024, 4095, 4096, 32767,
				       32768, 65408, 65535, 65536, 73728, INT32_MAX, UINT32_MAX, INT64_MAX, INT64_MAX - 1, UINT64_MAX,
				       UINT64_MAX - 1};

static void flip_bit(struct buf *b)
{
	if (b->len)
		b->ptr[random_below(b->len)] ^= (uint8_t)(1u << random_below(8));
}

static void set_byte(struct buf *b)
{
	if (b->len)
		b->ptr[random_below(b->len)] = (uint8_t)random_u64();
}

static void add_little(struct buf *b)
{
	if (b->len)
		b->ptr[random_below(b->len)] += (uint8_t)(random_below(17) - 8);
}

static void set_number(struct buf *b)
{
	size_t width = (size_t)1 << random_below(4);
	uint64_t x = interesting[random_below(sizeof interesting / sizeof interesting[0])];
	uint8_t *at;

	if (b->len < width)
		return;
	at = b->ptr + random_below(b->len - width + 1);
	for (size_t i = width; i-- > 0; x >>= 8)
		at[i] = (uint8_t)x;
}

static void cut_end(struct buf *b)
{
	b->len = random_below(b->len + 1);
}

static void remove_piece(struct buf *b)
{
	size_t at = random_below(b->len), n = 1 + random_below(random_below(2) ? 4 : 128);

	if (n > b->len - at)
		n = b->len - at;
	memmove(b->ptr + at, b->ptr + at + n, b->len - at - n);
	b->len -= n;
}

/* Puts n bytes of from at a random place; from is not in b. */
static void insert(struct buf *b, struct view from)
{
	size_t at = random_below(b->len + 1), old = b->len;

	if (from.len == 0 || old + from.len > INPUT_MAX_BYTES || !buf_extend(b, from.len))
		return;
	memmove(b->ptr + at + from.len, b->ptr + at, old - at);
	memcpy(b->ptr + at, from.ptr, from.len);
}

static struct view random_piece(struct view v)
{
	size_t at = random_below(v.len), n = 1 + random_below(random_below(4) ? 96 : 4096);

	return view_of(v.ptr + at, n > v.len - at ? v.len - at : n);
}

static void insert_random(struct buf *b)
{
	uint8_t bytes[16];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)random_u64();
	insert(b, view_of(bytes, 1 + random_below(sizeof bytes)));
}

static void splice(struct buf *b)
{
	const struct buf *other = &fuzz.pool[random_below(fuzz.n_pool)];

	if (other->len)
		insert(b, random_piece(buf_view(other)));
}

static void copy_over(struct buf *b)
{
	struct view piece;
	size_t at;

	if (b->len == 0)
		return;
	piece = random_piece(buf_view(b));
	at = random_below(b->len);
	memmove(b->ptr + at, piece.ptr, piece.len > b->len - at ? b->len - at : piece.len);
}

static void mutate(struct buf *b)
{
	static void (*const ways[])(struct buf *) = {flip_bit, flip_bit, set_byte, add_little, set_number, set_number,
						     cut_end,  remove_piece, insert_random, splice, copy_over};

	for (size_t n = (size_t)1 << random_below(4); n > 0; n--)
		ways[random_below(sizeof ways / sizeof ways[0])](b);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* In memory of exactly its length, so that a sanitizer sees one byte read too far. */
static bool run_one(struct view v)
{
	uint8_t *copy = malloc(v.len ? v.len : 1);
	bool taken;

	fuzz_assert(copy != NULL);
	if (v.len)
		memcpy(copy, v.ptr, v.len);
	fuzz.input = view_of(copy, v.len);
	taken = LLVMFuzzerTestOneInput(copy, v.len) == 0;
	fuzz.input = view_of(NULL, 0);
	free(copy);
	return taken;
}

static void keep(struct view v)
{
	struct buf *slot;

	if (fuzz.n_pool < POOL)
		slot = &fuzz.pool[fuzz.n_pool++];
	else
		slot = &fuzz.pool[fuzz.n_seeds + fuzz.oldest++ % (POOL - fuzz.n_seeds)];
	buf_clear(slot);
	buf_add(slot, v);
}

/* Number of the first seed that is refused, or -1. */
static int load_seeds(void)
{
	while (fuzz.n_seeds < SEEDS_MAX && fuzz_seed(fuzz.n_seeds, &fuzz.pool[fuzz.n_seeds])) {
		fuzz_assert(buf_ok(&fuzz.pool[fuzz.n_seeds]));
		if (!run_one(buf_view(&fuzz.pool[fuzz.n_seeds])))
			return (int)fuzz.n_seeds;
		fuzz.n_seeds++;
	}
	fuzz_assert(fuzz.n_seeds > 0);
	fuzz.n_pool = fuzz.n_seeds;
	return -1;
}

static bool time_is_up(const struct options *o, time_t start)
{
	struct timespec now;

	if (o->seconds == 0)
		return fuzz.run >= o->runs;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)(now.tv_sec - start) >= o->seconds;
}

/* Returns how many inputs were taken. */
static uint64_t run_mutated(const struct options *o)
{
	struct buf b = BUF_EMPTY;
	struct timespec start;
	uint64_t taken = 0;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while (!time_is_up(o, start.tv_sec)) {
		fuzz.run++;
		buf_clear(&b);
		/* half of them from the seeds themselves, so that the pool cannot drift away */
		buf_add(&b, buf_view(&fuzz.pool[random_below(random_below(2) ? fuzz.n_seeds : fuzz.n_pool)]));
		mutate(&b);
		fuzz_assert(buf_ok(&b));
		if (run_one(buf_view(&b))) {
			taken++;
			keep(buf_view(&b));
		}
	}
	buf_release(&b);
	return taken;
}

static int run_file(const char *path)
{
	struct buf b = BUF_EMPTY;
	uint8_t part[4096];
	FILE *f = fopen(path, "rb");

	if (!f) {
		fprintf(stderr, "%s: %s: cannot be read (give a file with one input)\n", fuzz.name, path);
		return 2;
	}
	for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
		buf_add(&b, view_of(part, n));
	fclose(f);
	printf("# %s: %s\n", path, run_one(buf_view(&b)) ? "taken" : "refused");
	buf_release(&b);
	return 0;
}

static bool number_option(char **argv, int *i, const char *name, uint64_t *out)
{
	char *end;

	if (strcmp(argv[*i], name) != 0 || !argv[*i + 1])
		return false;
	*out = strtoull(argv[++*i], &end, 10);
	return *end == 0;
}

/* Index of the first argument that is no option, or -1. */
static int parse_options(int argc, char **argv, struct options *o)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++)
		if (!number_option(argv, &i, "--runs", &o->runs) && !number_option(argv, &i, "--seconds", &o->seconds) &&
		    !number_option(argv, &i, "--seed", &o->seed)) {
			fprintf(stderr, "usage: %s [--runs N] [--seconds N] [--seed S] [FILE...]\n", fuzz.name);
			return -1;
		}
	return i;
}

static int run_seeds_and_mutants(const struct options *o)
{
	int refused;
	uint64_t taken;

	printf("1..1\n");
	refused = load_seeds();
	if (refused >= 0) {
		printf("not ok 1 - %s: its own seed %d is refused\n", fuzz.name, refused);
		return 1;
	}
	taken = run_mutated(o);
	printf("ok 1 - %s %" PRIu64 " runs, %" PRIu64 " taken, seed %" PRIu64 "\n", fuzz.name, fuzz.run, taken, o->seed);
	for (unsigned n = 0; n < POOL; n++)
		buf_release(&fuzz.pool[n]);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {.runs = 20000, .seed = 1};
	int first, rc = 0;

	fuzz.name = basename(argv[0]);
	first = parse_options(argc, argv, &o);
	if (first < 0)
		return 2;
	fuzz.seed = o.seed;
	random_state = o.seed * 0x9e3779b97f4a7c15ULL | 1; /* never zero, where it would stay */
	watch_for_death();
	if (first == argc)
		return run_seeds_and_mutants(&o);
	for (int i = first; i < argc; i++)
		rc |= run_file(argv[i]);
	return rc;
}
