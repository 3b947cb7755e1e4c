/* e2e.c - producer and consumer on libestafette, for bench.sh.
 *
 *   e2e pub -s SOCKET -q QUEUE -n COUNT [-w IN_FLIGHT] [-r PER_SECOND] [-b FIRST] [-t SECONDS] [-f RECORD]
 *   e2e sub -s SOCKET -q QUEUE -n COUNT [-w WINDOW] [-b FIRST] [-t SECONDS] [-i IDLE_SECONDS] [-f RECORD]
 *
 * A message is 1 KiB of text, about a quarter of it random, with its number and the time it was sent. Both print lines of
 * "key value". RECORD is a mapped file that outlives a killed process: eight words, then a byte a message, how often it
 * was accepted (pub) or came (sub). */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "node/client/estafette.h"

#define BODY_BYTES 1024
#define MARK "estafette-bench "
#define ACK_BATCH 256
#define TEMPLATES 256
#define TAGS 65536 /* far more than are in flight */

struct record { uint64_t distinct, total, first_ns, last_ns, n, highest_plus_1, out_of_order, spare; uint8_t seen[]; };

struct run {
	const char *socket, *queue, *file;
	uint64_t n, window, base;
	double rate, most_s, idle_s;
	estafette *h;
	struct record *rec;
	uint64_t *sample, samples; /* nanoseconds each */
	uint64_t *sent_ns;         /* pub */
	uint64_t number_of[TAGS];  /* pub: by tag modulo TAGS */
	char *template;
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "e2e: %s: %s\n", what, why);
	exit(1);
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

static uint64_t random_u64(void)
{
	static uint64_t x = 0x2545f4914f6cdd1dull; /* xorshift, as a benchmark repeats */
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void make_template(char out[BODY_BYTES])
{
	static const char *const places[] = {"Rue de la Station", "Kerkstraat", "Bahnhofstrasse", "Quai de Rome", "Grote Markt", "Place du Marche"};
	static const char *const kinds[] = {"accident with injured", "missing person", "theft of a vehicle", "suspicious transport", "flooding"};
	static const char letters[] = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
	char text[4096];
	uint64_t r = random_u64();
	int n = snprintf(text, sizeof text,
	                 MARK "%016x %016x\nincident: %s\nplace: %s %u, post code %u\nreported: %02u:%02u by telephone on 101\n"
	                 "vehicle: plate %u-ABC-%03u, colour unknown, last seen towards the motorway\nremarks: the caller is still on the line; "
	                 "two patrols were sent and the ambulance service was told. The road is closed in both directions, and the "
	                 "neighbouring centre was asked to keep a patrol at the border. Please confirm that this was read.\n"
	                 "persons: unknown, possibly two; descriptions follow in a later message of the same series.\nreference: ",
	                 0u, 0u, kinds[r % 5], places[(r >> 8) % 6], (unsigned)(r >> 16) % 200, 1000 + (unsigned)(r >> 24) % 9000, (unsigned)(r >> 32) % 24,
	                 (unsigned)(r >> 40) % 60, (unsigned)(r >> 44) % 9 + 1, (unsigned)(r >> 50) % 1000);
	while (n < BODY_BYTES) {
		if (n < BODY_BYTES - 256)
			text[n++] = '.';
		else
			text[n++] = letters[random_u64() >> 59];
	}
	memcpy(out, text, BODY_BYTES);
}

static void fill(struct run *x, char out[BODY_BYTES], uint64_t number, uint64_t at)
{
	char mark[64];
	memcpy(out, x->template + number % TEMPLATES * BODY_BYTES, BODY_BYTES);
	int n = snprintf(mark, sizeof mark, MARK "%016" PRIx64 " %016" PRIx64, number, at);
	memcpy(out, mark, (size_t)n);
}

static bool parse(const void *body, uint64_t bytes, uint64_t *number, uint64_t *at)
{
	char mark[64] = "";
	if (bytes < sizeof mark)
		return false;
	memcpy(mark, body, sizeof mark - 1);
	return sscanf(mark, MARK "%16" SCNx64 " %16" SCNx64, number, at) == 2;
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

static void record_open(struct run *x)
{
	size_t len = sizeof(struct record) + x->n;
	int fd = x->file ? open(x->file, O_RDWR | O_CREAT, 0644) : -1;
	if (x->file && (fd < 0 || ftruncate(fd, (off_t)len) != 0))
		die(x->file, "cannot be made");
	x->rec = mmap(NULL, len, PROT_READ | PROT_WRITE, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
	if (x->rec == MAP_FAILED)
		die("record", "out of memory");
	x->rec->n = x->n;
	x->sample = calloc(x->n, sizeof *x->sample);
	if (x->sample == NULL)
		die("samples", "out of memory");
}

static bool record(struct run *x, uint64_t i, uint64_t now)
{
	struct record *r = x->rec;
	bool fresh = i < x->n && r->seen[i] == 0;
	if (i < x->n && r->seen[i] < 255)
		r->seen[i]++;
	if (r->first_ns == 0)
		r->first_ns = now;
	r->distinct += fresh;
	r->total++;
	r->last_ns = now;
	if (i + 1 < r->highest_plus_1)
		r->out_of_order++;
	else
		r->highest_plus_1 = i + 1;
	return fresh;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void print_samples(struct run *x, const char *name)
{
	static const double at[] = {0.5, 0.99};
	qsort(x->sample, x->samples, sizeof *x->sample, by_size);
	for (int i = 0; i < 2; i++) {
		uint64_t v = x->samples ? x->sample[(uint64_t)(at[i] * (double)(x->samples - 1))] : 0;
		printf("%s_p%.0f_us %.1f\n", name, at[i] * 100, (double)v / 1e3);
	}
}

static void print_cpu(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	printf("cpu_s %.3f\n", (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6);
}

/* ---- producer ------------------------------------------------------------------------------------------------------ */

static bool take_result(struct run *x, int timeout_ms)
{
	struct estafette_result r = ESTAFETTE_RESULT_INIT;
	int st = estafette_result(x->h, &r, timeout_ms);
	if (st == ESTAFETTE_TIMEOUT || st == ESTAFETTE_END)
		return false;
	if (st != ESTAFETTE_OK)
		die("pub", estafette_error_text(x->h));
	if (r.status != ESTAFETTE_OK) {
		fprintf(stderr, "e2e: refused: %s\n", r.text);
		return true;
	}
	uint64_t now = now_ns(), i = x->number_of[r.tag % TAGS];
	if (record(x, i, now) && i < x->n)
		x->sample[x->samples++] = now - x->sent_ns[i];
	return true;
}

static void pub(struct run *x)
{
	struct estafette_submission s = ESTAFETTE_SUBMISSION_INIT;
	char body[BODY_BYTES];
	uint32_t tag;
	uint64_t start = now_ns(), end = start + (uint64_t)(x->most_s * 1e9);
	s.to = &x->queue;
	s.n_to = 1;
	s.type = "text/plain";
	s.body = body;
	s.body_bytes = sizeof body;
	x->sent_ns = calloc(x->n, sizeof *x->sent_ns);
	for (uint64_t i = 0; i < x->n && now_ns() < end; i++) {
		uint64_t due = x->rate > 0 ? start + (uint64_t)((double)i * 1e9 / x->rate) : 0;
		while (now_ns() < due) { /* answers are read meanwhile, as they come */
			int wait_ms = (int)((due - now_ns()) / 1000000);
			if (estafette_in_flight(x->h) == 0 || !take_result(x, wait_ms > 0 ? wait_ms : 0))
				usleep(wait_ms > 0 ? 200 : 50);
		}
		while (estafette_in_flight(x->h) >= x->window && take_result(x, 10000))
			continue;
		x->sent_ns[i] = now_ns();
		fill(x, body, x->base + i, x->sent_ns[i]);
		if (estafette_submit_begin(x->h, &s, &tag) != ESTAFETTE_OK)
			die("pub", estafette_error_text(x->h));
		x->number_of[tag % TAGS] = i;
		if (x->rate > 0)
			estafette_drive(x->h, 0);
	}
	while (estafette_in_flight(x->h) > 0 && now_ns() < end && take_result(x, 10000))
		continue;
	double took = (double)(x->rec->last_ns - start) / 1e9;
	printf("start_ns %" PRIu64 "\nlast_ns %" PRIu64 "\nacked %" PRIu64 "\nack_rate %.1f\n", start, x->rec->last_ns, x->rec->distinct,
	       took > 0 ? (double)x->rec->distinct / took : 0.0);
	print_samples(x, "ack");
	print_cpu();
}

/* ---- consumer ------------------------------------------------------------------------------------------------------ */

static char ack_ids[ACK_BATCH][ESTAFETTE_ID_SIZE];
static size_t n_acks;

static void flush_acks(struct run *x, bool wait)
{
	const char *ids[ACK_BATCH];
	struct estafette_result r = ESTAFETTE_RESULT_INIT;
	uint32_t tag;
	for (size_t i = 0; i < n_acks; i++)
		ids[i] = ack_ids[i];
	if (n_acks > 0 && estafette_apply_begin(x->h, ESTAFETTE_DO_ACK, ids, n_acks, NULL, 0, &tag) != ESTAFETTE_OK)
		die("ack", estafette_error_text(x->h));
	n_acks = 0;
	while (estafette_in_flight(x->h) > 0 && estafette_result(x->h, &r, wait ? 10000 : 0) == ESTAFETTE_OK)
		if (r.status != ESTAFETTE_OK)
			fprintf(stderr, "e2e: ack refused: %s\n", r.text);
}

static void sub(struct run *x)
{
	struct estafette_take t = ESTAFETTE_TAKE_INIT;
	uint64_t end = now_ns() + (uint64_t)(x->most_s * 1e9), last = 0;
	const struct estafette_message *m;
	t.queue = x->queue;
	t.count = 0;
	t.window = (uint32_t)x->window;
	if (estafette_take(x->h, &t) != ESTAFETTE_OK)
		die("take", estafette_error_text(x->h));
	while (x->rec->distinct < x->n && now_ns() < end && !(x->idle_s > 0 && last > 0 && now_ns() - last > (uint64_t)(x->idle_s * 1e9))) {
		uint64_t number, at;
		int st = estafette_next(x->h, &m, 0);
		if (st == ESTAFETTE_TIMEOUT) {
			flush_acks(x, false);
			st = estafette_next(x->h, &m, 100);
		}
		if (st == ESTAFETTE_TIMEOUT)
			continue;
		if (st != ESTAFETTE_OK)
			die("take", estafette_error_text(x->h));
		last = now_ns();
		strcpy(ack_ids[n_acks++], m->id);
		if (parse(m->body, m->body_bytes, &number, &at) && number >= x->base && number < x->base + x->n &&
		    record(x, number - x->base, last))
			x->sample[x->samples++] = last - at;
		if (n_acks == ACK_BATCH)
			flush_acks(x, false);
	}
	estafette_take_stop(x->h);
	while (estafette_next(x->h, &m, 1000) == ESTAFETTE_OK)
		continue; /* not ours: their leases end */
	flush_acks(x, true);
	printf("first_ns %" PRIu64 "\nlast_ns %" PRIu64 "\nreceived %" PRIu64 "\ntotal %" PRIu64 "\nout_of_order %" PRIu64 "\n", x->rec->first_ns,
	       x->rec->last_ns, x->rec->distinct, x->rec->total, x->rec->out_of_order);
	print_samples(x, "e2e");
	print_cpu();
}

/* ---- main ------------------------------------------------------------------------------------------------------------ */

static void read_options(struct run *x, int argc, char **argv)
{
	int c;
	optind = 2;
	while ((c = getopt(argc, argv, "s:q:n:w:b:r:t:i:f:")) != -1) {
		switch (c) {
		case 's': x->socket = optarg; break;
		case 'q': x->queue = optarg; break;
		case 'n': x->n = strtoull(optarg, NULL, 10); break;
		case 'w': x->window = strtoull(optarg, NULL, 10); break;
		case 'b': x->base = strtoull(optarg, NULL, 10); break;
		case 'r': x->rate = atof(optarg); break;
		case 't': x->most_s = atof(optarg); break;
		case 'i': x->idle_s = atof(optarg); break;
		case 'f': x->file = optarg; break;
		default: exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	static struct run x = {.n = 1000, .window = 256, .most_s = 60};
	if (argc < 2 || (strcmp(argv[1], "pub") != 0 && strcmp(argv[1], "sub") != 0)) {
		fputs("usage: e2e pub|sub -s SOCKET -q QUEUE -n COUNT [-w N] [-r PER_SECOND] [-b FIRST] [-t SECONDS] [-i SECONDS] [-f FILE]\n", stderr);
		return 2;
	}
	read_options(&x, argc, argv);
	if (x.socket == NULL || x.queue == NULL || x.n == 0 || x.window == 0)
		die("options", "-s, -q, -n and -w are needed");
	record_open(&x);
	x.template = malloc((size_t)TEMPLATES * BODY_BYTES);
	for (int i = 0; i < TEMPLATES; i++)
		make_template(x.template + (size_t)i * BODY_BYTES);
	x.h = estafette_new();
	if (x.h == NULL || estafette_connect(x.h, x.socket) != ESTAFETTE_OK)
		die("connect", x.h ? estafette_error_text(x.h) : "out of memory");
	(strcmp(argv[1], "pub") == 0 ? pub : sub)(&x);
	estafette_free(x.h);
	return 0;
}
