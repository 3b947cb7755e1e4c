/* Narrow and wide lines between two sites: what is queued below the node, how long a FLASH takes over a backlog, and how much of
 * the line is used. Times are virtual, so they are exact. WINDOW_PRINT=1 prints the figures,
 * WINDOW_ONLY=NAME runs one of them, WINDOW_ALL=1 every rate with every delay; FLAPS: how many; OUTAGE_HOURS: a long outage too, whose
 * journals lie under TMPDIR (16 GB for 72 hours). */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "proto/request.h"
#include "sim/world.h"
#include "tests/lib/heap.h"
#include "tests/lib/sim_desk.h"

#define FLASH_MAX 512
enum { NAMEN, LUIK };

struct flash { uint32_t tag; struct msgid id; struct mono sent, taken; bool accepted; };
struct line {
	struct world *w;
	struct prng prng;
	uint64_t client[2];
	uint32_t tag;
	struct flash flash[FLASH_MAX];
	size_t n_flash, flash_taken;
	uint64_t accepted, refused, taken, bytes_taken;
};

static size_t other(const struct line *l, size_t site)
{
	(void)l;
	return !site;
}

static uint32_t ask(struct line *l, size_t site, uint8_t type, const char *queue, uint8_t precedence, size_t body, const struct msgid *id)
{
	static uint8_t random[256 * 1024];
	struct buf b = BUF_EMPTY;
	struct request_writer rw;
	char to[LIMIT_ADDRESS_BYTES + 1];

	snprintf(to, sizeof to, "%s/%s", world_site_id(l->w, other(l, site)), queue ? queue : "");
	request_begin(&rw, &b, type, ++l->tag);
	if (queue)
		request_str(&rw, type == REQ_SUBMIT ? F_TO : F_QUEUE, type == REQ_SUBMIT ? to : queue);
	if (type == REQ_SUBMIT) {
		prng_bytes(&l->prng, random, body);
		request_u8(&rw, F_PRECEDENCE, precedence);
		request_field(&rw, F_BODY, view_of(random, body));
	}
	if (type == REQ_TAKE)
		request_u32(&rw, F_COUNT, 10000000);
	if (id)
		request_id(&rw, id);
	request_end(&rw);
	world_request(l->w, site, l->client[site], buf_view(&b));
	buf_release(&b);
	return l->tag;
}

static void heard_accepted(struct line *l, const struct request *r)
{
	l->accepted++;
	for (size_t i = l->n_flash; i-- > 0;)
		if (l->flash[i].tag == r->tag && !l->flash[i].accepted) {
			memcpy(l->flash[i].id.b, sim_field(r, F_ID).ptr, MSGID_BYTES);
			l->flash[i].accepted = true;
		}
}

static void heard_taken(struct line *l, size_t site, const struct request *r)
{
	struct msgid id;

	memcpy(id.b, sim_field(r, F_ID).ptr, MSGID_BYTES);
	l->taken++;
	l->bytes_taken += sim_field(r, F_BODY).len;
	for (size_t i = 0; i < l->n_flash; i++)
		if (l->flash[i].accepted && memcmp(&l->flash[i].id, &id, sizeof id) == 0) {
			assert_int_equal(l->flash[i].taken.us, 0); /* once */
			l->flash[i].taken = world_now(l->w);
			l->flash_taken++;
		}
	ask(l, site, REQ_ACK, NULL, 0, 0, &id);
}

static void on_reply(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct line *l = arg;
	struct request r;
	size_t len;

	(void)w;
	(void)client;
	for (; bytes.len && request_length(bytes, &len) == ERR_OK && len; bytes = view_of(bytes.ptr + len, bytes.len - len)) {
		assert_int_equal(request_decode(view_of(bytes.ptr, len), &r), ERR_OK);
		if (r.type == REPLY_ACCEPTED)
			heard_accepted(l, &r);
		l->refused += r.type == REPLY_ERROR;
		if (r.type == REPLY_TAKEN)
			heard_taken(l, site, &r);
	}
}

static void run_for(struct line *l, int64_t us)
{
	world_run(l->w, mono_add(world_now(l->w), us));
}

static void line_open_on(struct line *l, uint64_t seed, const struct bearer_config *bearer, const char *dir, const struct core_config *core)
{
	struct client_rights rights = {.name = "desk", .may_send = true, .may_take = true, .may_operate = true, .precedence = PREC_FLASH};
	struct link_config link = {.a = 0, .b = 1, .n_bearers = 1, .bearers = {*bearer}};
	struct roster *r = sim_roster((const char *const[]){"cic-namen", "cic-luik"}, 2);
	struct world_config c = {.seed = seed, .start = {1626220800LL * US_PER_S}, .roster = r, .links = &link, .n_links = 1,
				 .store = dir ? WORLD_LMDB : WORLD_MEMORY, .dir = dir};
	struct errmsg m;

	if (core)
		c.core = *core;
	*l = (struct line){0};
	prng_init(&l->prng, seed, "line", 0);
	assert_int_equal(world_new(&c, &l->w, &m), ERR_OK);
	roster_free(r);
	run_for(l, 30 * US_PER_S);
	for (int i = 0; i < 3600 && !(world_connected(l->w, 0, 1) && world_connected(l->w, 1, 0)); i++)
		run_for(l, US_PER_S);
	for (size_t i = 0; i < 2; i++) {
		l->client[i] = world_client_open(l->w, i, &rights, on_reply, l);
		assert_true(l->client[i]);
		ask(l, i, REQ_TAKE, "dispatch", 0, 0, NULL);
		ask(l, i, REQ_TAKE, "messages", 0, 0, NULL);
	}
	run_for(l, US_PER_S);
}

static void line_open(struct line *l, uint64_t seed, const struct bearer_config *bearer)
{
	line_open_on(l, seed, bearer, NULL, NULL);
}

static void send_many(struct line *l, size_t from, uint8_t precedence, size_t count, size_t bytes)
{
	for (size_t i = 0; i < count; i++)
		ask(l, from, REQ_SUBMIT, "messages", precedence, bytes, NULL);
}

static void send_bulk(struct line *l, size_t from, size_t count, size_t bytes)
{
	send_many(l, from, PREC_ROUTINE, count, bytes);
}

static void send_flash(struct line *l, size_t bytes)
{
	struct flash *f = &l->flash[l->n_flash++];

	assert_true(l->n_flash <= FLASH_MAX);
	*f = (struct flash){.sent = world_now(l->w)};
	f->tag = ask(l, NAMEN, REQ_SUBMIT, "dispatch", PREC_FLASH, bytes, NULL);
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* How long FLASH took, of 100 the 99th; INT64_MAX when some never came. */
static int64_t flash_p99(const struct line *l)
{
	int64_t us[FLASH_MAX];

	for (size_t i = 0; i < l->n_flash; i++)
		us[i] = l->flash[i].taken.us ? l->flash[i].taken.us - l->flash[i].sent.us : INT64_MAX;
	qsort(us, l->n_flash, sizeof *us, by_size);
	return l->n_flash ? us[(l->n_flash * 99 - 1) / 100] : INT64_MAX;
}

static bool printing(void)
{
	return getenv("WINDOW_PRINT") != NULL;
}

/* ---- what is queued below the node ------------------------------------------------------------------------------------------ */

/* A frame of one message of 900 bytes, sealed and padded, with header, envelope and head. Where that is worth more than half a
 * second one of each lane may be below the node. */
#define ONE_FRAME_BYTES 1536

static void measure_queue(int64_t rate_bps, int64_t delay_us, uint8_t precedence, size_t bytes)
{
	struct bearer_config bearer = {.name = "line", .cost = 10, .delay_us = delay_us, .rate_bps = rate_bps, .queue_bytes = 64 << 20};
	struct line l;

	line_open(&l, 1, &bearer);
	world_queued(l.w, NAMEN, LUIK);
	size_t fit = (size_t)(rate_bps / 8 * 60 / (int64_t)bytes), count = fit < 1200 ? fit + 8 : 1200;

	send_many(&l, NAMEN, precedence, count, bytes);
	struct mono from = world_now(l.w);

	for (int i = 0; i < 40; i++) {
		send_flash(&l, 900);
		run_for(&l, US_PER_S + 6 * ONE_FRAME_BYTES * 8 * US_PER_S / rate_bps);
	}
	struct queued q = world_queued(l.w, NAMEN, LUIK);

	while (l.taken < l.accepted && world_now(l.w).us - from.us < 3600 * US_PER_S)
		run_for(&l, US_PER_S / 10);
	double s = (double)(world_now(l.w).us - from.us) / US_PER_S;

	if (printing())
		printf("# %10lld bit/s, %3lld ms, %5zu bytes, %s: %.3f s queued (%lld bytes), FLASH p99 %.3f s, %.0f %% used\n", (long long)rate_bps,
		       (long long)delay_us / 1000, bytes, precedence_name(precedence), (double)q.before_us / US_PER_S, (long long)q.before_bytes, (double)flash_p99(&l) / US_PER_S,
		       100.0 * (double)l.bytes_taken * 8 / s / (double)rate_bps);
	assert_int_equal(l.refused, 0);
	assert_int_equal(l.taken, count + 40);
	assert_true(q.before_us < US_PER_S || q.before_bytes <= 2 * ONE_FRAME_BYTES);
	world_free(l.w);
}

/* Bodies of 60 KB follow their entries in slices: no frame on a narrow line is longer than one of a small message. */
static void long_bodies_queue_no_more(void **state)
{
	(void)state;
	measure_queue(9600, 40 * US_PER_MS, PREC_ROUTINE, 60000);
	measure_queue(9600, 40 * US_PER_MS, PREC_IMMEDIATE, 60000);
	measure_queue(9600, 40 * US_PER_MS, PREC_FLASH, 20000);
	measure_queue(19200, 350 * US_PER_MS, PREC_PRIORITY, 60000);
	measure_queue(19200, 350 * US_PER_MS, PREC_IMMEDIATE, 60000);
	measure_queue(64000, 40 * US_PER_MS, PREC_ROUTINE, 60000);
	measure_queue(64000, 350 * US_PER_MS, PREC_ROUTINE, 20000);
	measure_queue(64000, 700 * US_PER_MS, PREC_ROUTINE, 60000);
	measure_queue(64000, 40 * US_PER_MS, PREC_IMMEDIATE, 60000);
	measure_queue(64000, 350 * US_PER_MS, PREC_IMMEDIATE, 20000);
}

static void less_than_a_second_is_queued(void **state)
{
	static const int64_t rates[] = {9600, 19200, 64000, 256000, 1000000, 10000000, 100000000, 1000000000};
	static const int64_t delays[] = {1000, 40000, 350000, 700000};

	(void)state;
	for (size_t r = 0; r < sizeof rates / sizeof *rates; r++)
		for (size_t d = 0; d < sizeof delays / sizeof *delays; d++)
			if ((r + d) % 2 == 0 || getenv("WINDOW_ALL"))
				measure_queue(rates[r], delays[d], PREC_ROUTINE, 900);
}

/* A line that is known and idle, over a satellite: what comes at once, urgent or not, does not leave at once. */
static void measure_burst(int64_t rate_bps, int64_t delay_us, uint8_t precedence)
{
	struct bearer_config bearer = {.name = "line", .cost = 10, .delay_us = delay_us, .rate_bps = rate_bps, .queue_bytes = 64 << 20};
	struct line l;

	line_open(&l, 8, &bearer);
	send_bulk(&l, NAMEN, 3000, 900);
	for (int i = 0; i < 180 && l.taken < 3000; i++)
		run_for(&l, US_PER_S);
	assert_int_equal(l.taken, 3000);
	run_for(&l, 30 * US_PER_S);
	world_queued(l.w, NAMEN, LUIK);
	send_many(&l, NAMEN, precedence, 700, 900);
	run_for(&l, 20 * US_PER_S);
	struct queued q = world_queued(l.w, NAMEN, LUIK);

	if (printing())
		printf("# %lld bit/s, %lld ms, idle, then %s at once: %.3f s queued\n", (long long)rate_bps, (long long)delay_us / 1000, precedence_name(precedence),
		       (double)q.before_us / US_PER_S);
	assert_int_equal(l.taken, 3700);
	assert_true(q.before_us < US_PER_S);
	world_free(l.w);
}

static void a_burst_over_a_satellite(void **state)
{
	(void)state;
	measure_burst(1000000, 700 * US_PER_MS, PREC_ROUTINE);
	measure_burst(1000000, 700 * US_PER_MS, PREC_IMMEDIATE);
}

/* Bodies that follow their entries fill a satellite too, as soon as it is known, though each takes round trips. */
static void bodies_fill_a_satellite(void **state)
{
	struct bearer_config bearer = {.name = "line", .cost = 10, .delay_us = 700 * US_PER_MS, .rate_bps = 1000000, .queue_bytes = 64 << 20};
	struct line l;

	(void)state;
	line_open(&l, 9, &bearer);
	send_bulk(&l, NAMEN, 2000, 4000);
	run_for(&l, 40 * US_PER_S);
	uint64_t before = l.bytes_taken;

	run_for(&l, 20 * US_PER_S);
	if (printing())
		printf("# 1000000 bit/s, 700 ms, messages of 4 000 bytes: %.0f %% used\n", 100.0 * (double)((l.bytes_taken - before) * 8) / 20 / 1000000);
	assert_int_equal(l.refused, 0);
	assert_true((l.bytes_taken - before) * 8 / 20 > 700000);
	world_free(l.w);
}

/* ---- FLASH over a backlog --------------------------------------------------------------------------------------------------- */

/* 10 MB before it, in messages of one size; a FLASH every 10 s for ten minutes. */
static void measure_flash(int64_t rate_bps, int64_t delay_us, uint8_t precedence, size_t bulk_bytes, int64_t limit_us)
{
	struct bearer_config bearer = {.name = "line", .cost = 10, .delay_us = delay_us, .rate_bps = rate_bps, .queue_bytes = 64 << 20};
	struct line l;

	line_open(&l, 2, &bearer);
	send_many(&l, NAMEN, precedence, 10000000 / bulk_bytes, bulk_bytes);
	run_for(&l, 20 * US_PER_S);
	for (int i = 0; i < 60; i++) {
		send_flash(&l, 1024);
		run_for(&l, 10 * US_PER_S + (int64_t)prng_below(&l.prng, US_PER_S));
	}
	if (printing())
		printf("# FLASH of 1 KiB over 10 MB of %s in messages of %zu bytes, %lld bit/s, %lld ms: p99 %.3f s\n", precedence_name(precedence), bulk_bytes, (long long)rate_bps,
		       (long long)delay_us / 1000, (double)flash_p99(&l) / US_PER_S);
	assert_int_equal(l.refused, 0);
	assert_true(flash_p99(&l) <= limit_us);
	world_free(l.w);
}

static void flash_leaves_next(void **state)
{
	(void)state;
	measure_flash(64000, 350 * US_PER_MS, PREC_ROUTINE, 1000, 2 * US_PER_S);
	measure_flash(64000, 350 * US_PER_MS, PREC_ROUTINE, 60000, 2 * US_PER_S);
	measure_flash(64000, 350 * US_PER_MS, PREC_IMMEDIATE, 60000, 2 * US_PER_S);
	measure_flash(9600, 40 * US_PER_MS, PREC_ROUTINE, 1000, 8 * US_PER_S);
	measure_flash(9600, 350 * US_PER_MS, PREC_ROUTINE, 30000, 8 * US_PER_S);
	measure_flash(9600, 350 * US_PER_MS, PREC_IMMEDIATE, 60000, 8 * US_PER_S);
}

/* ---- cuts ------------------------------------------------------------------------------------------------------------------------ */

/* A line of 9 600 bit/s that is there for a minute and gone for a minute: the backlog goes on where it stopped. */
static void a_backlog_cut_every_minute_advances(void **state)
{
	struct bearer_config bearer = {.name = "line", .cost = 10, .delay_us = 100 * US_PER_MS, .rate_bps = 9600};
	struct line l;
	uint64_t before = 0;

	(void)state;
	line_open(&l, 3, &bearer);
	send_bulk(&l, NAMEN, 200, 900);
	send_bulk(&l, NAMEN, 4, 20000);
	for (int i = 0; i < 30 && l.taken < 204; i++) {
		run_for(&l, 60 * US_PER_S);
		world_cut(l.w, NAMEN, LUIK, NULL, WAY_BOTH);
		run_for(&l, 70 * US_PER_S);
		world_mend(l.w, NAMEN, LUIK, NULL, WAY_BOTH);
		if (printing())
			printf("# after %d minutes of line: %llu of 204 are there\n", i + 1, (unsigned long long)l.taken);
		assert_true(l.taken > before);
		before = l.taken;
	}
	assert_int_equal(l.taken, 204);
	world_free(l.w);
}

/* 60 KB need 52 s of this line, and it never lives for more than a minute: they come all the same, and short FLASH beside them in time. */
static void outlive_cuts(uint8_t precedence)
{
	struct bearer_config bearer = {.name = "line", .cost = 10, .delay_us = 100 * US_PER_MS, .rate_bps = 9600};
	struct line l;
	uint64_t before = 0;
	int minutes = 0;

	line_open(&l, 7, &bearer);
	send_many(&l, NAMEN, precedence, 6, 60000);
	for (; minutes < 15 && l.taken - l.flash_taken < 6; minutes++) {
		run_for(&l, 5 * US_PER_S);
		for (int k = 0; k < 4; k++) {
			send_flash(&l, 1024);
			run_for(&l, 10 * US_PER_S);
		}
		run_for(&l, 15 * US_PER_S);
		world_cut(l.w, NAMEN, LUIK, NULL, WAY_BOTH);
		run_for(&l, 70 * US_PER_S);
		world_mend(l.w, NAMEN, LUIK, NULL, WAY_BOTH);
		if (printing())
			printf("# after %d minutes of line: %llu of 6 bodies of 60 KB, %s, are there, FLASH p99 %.1f s\n", minutes + 1,
			       (unsigned long long)(l.taken - l.flash_taken), precedence_name(precedence), (double)flash_p99(&l) / US_PER_S);
		assert_true(minutes % 3 != 2 || l.taken - l.flash_taken > before);
		before = minutes % 3 == 2 ? l.taken - l.flash_taken : before;
	}
	assert_int_equal(l.taken - l.flash_taken, 6);
	assert_true(minutes <= 11);
	assert_true(flash_p99(&l) <= 8 * US_PER_S);
	world_free(l.w);
}

static void long_bodies_outlive_cuts(void **state)
{
	(void)state;
	for (uint8_t precedence = 0; precedence < PREC_COUNT; precedence++)
		outlive_cuts(precedence);
}

/* Cut for so long with something due; from the line's return to the first message on the other side. */
static int64_t back_after(int64_t cut_us, uint64_t seed)
{
	struct bearer_config bearer = {.name = "line", .cost = 10, .delay_us = 5 * US_PER_MS, .rate_bps = 10000000};
	struct line l;

	line_open(&l, seed, &bearer);
	world_cut(l.w, NAMEN, LUIK, NULL, WAY_BOTH);
	run_for(&l, cut_us / 2);
	send_bulk(&l, NAMEN, 10, 900);
	send_flash(&l, 900);
	run_for(&l, cut_us - cut_us / 2);
	assert_int_equal(l.taken, 0);
	world_mend(l.w, NAMEN, LUIK, NULL, WAY_BOTH);
	struct mono from = world_now(l.w);

	while (!l.taken && world_now(l.w).us - from.us < 120 * US_PER_S)
		run_for(&l, 10 * US_PER_MS);
	int64_t us = world_now(l.w).us - from.us;

	world_free(l.w);
	return us;
}

static void traffic_flows_again_within_two_seconds(void **state)
{
	static const int64_t cuts[] = {3, 20, 58, 61, 90, 400, 3700};
	int64_t longest = 0;

	(void)state;
	for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
		int64_t most = 0;

		for (uint64_t seed = 1; seed <= 5; seed++) {
			int64_t us = back_after(cuts[i] * US_PER_S, seed);

			most = us > most ? us : most;
		}
		if (printing())
			printf("# cut for %lld s: traffic flows %.2f s after the line's return\n", (long long)cuts[i], (double)most / US_PER_S);
		longest = most > longest ? most : longest;
	}
	assert_true(longest <= 2 * US_PER_S);
}

/* ---- bad lines -------------------------------------------------------------------------------------------------------------------- */

static void loss_and_delay(void **state)
{
	struct bearer_config bearer = {.name = "line", .cost = 10, .delay_us = 10 * US_PER_S, .jitter_us = US_PER_S, .loss_ppm = 300000, .rate_bps = 64000};
	struct line l;

	(void)state;
	line_open(&l, 4, &bearer);
	for (int i = 0; i < 100; i++) {
		send_flash(&l, 500);
		send_bulk(&l, NAMEN, 3, 3000);
		send_bulk(&l, LUIK, 2, 700);
		run_for(&l, 20 * US_PER_S);
	}
	run_for(&l, 24 * 3600 * US_PER_S);
	if (printing())
		printf("# 30 %% loss, 10 s of delay: %llu of 600 there, FLASH p99 %.1f s\n", (unsigned long long)l.taken, (double)flash_p99(&l) / US_PER_S);
	assert_int_equal(l.accepted, 600);
	assert_int_equal(l.taken, 600); /* each once: more would be twice */
	assert_int_equal(l.flash_taken, 100);
	world_free(l.w);
}

/* The line comes and goes at random, FLAPS times (make sweep: a million). Whenever it stays for a minute what was sent arrives. */
static void flaps(void **state)
{
	struct bearer_config bearer = {.name = "line", .cost = 10, .delay_us = 20 * US_PER_MS, .rate_bps = 256000};
	uint64_t n = getenv("FLAPS") ? strtoull(getenv("FLAPS"), NULL, 10) : 3000;
	struct line l;

	(void)state;
	line_open(&l, 5, &bearer);
	for (uint64_t i = 0; i < n; i++) {
		bool one_way = prng_chance(&l.prng, 200000);

		world_cut(l.w, NAMEN, LUIK, NULL, one_way ? (prng_chance(&l.prng, 500000) ? WAY_AB : WAY_BA) : WAY_BOTH);
		run_for(&l, prng_chance(&l.prng, 20000) ? 90 * US_PER_S : prng_between(&l.prng, 1000, 4 * US_PER_S));
		world_mend(l.w, NAMEN, LUIK, NULL, WAY_BOTH);
		if (prng_chance(&l.prng, 50000))
			world_reset(l.w, NAMEN, LUIK);
		if (i % 10 == 0)
			send_bulk(&l, prng_below(&l.prng, 2), 1, (size_t)prng_between(&l.prng, 100, 5000));
		run_for(&l, prng_between(&l.prng, 1000, 4 * US_PER_S));
		if (i % 500 == 499) {
			run_for(&l, 120 * US_PER_S);
			assert_int_equal(l.taken, l.accepted);
		}
	}
	if (printing())
		printf("# %llu flaps: %llu messages, no link stuck\n", (unsigned long long)n, (unsigned long long)l.taken);
	assert_int_equal(l.refused, 0);
	world_free(l.w);
}

/* ---- a long outage ------------------------------------------------------------------------------------------------------------- */

/* Memory of this process that is no file's, in KiB: what the allocator holds, in use or not. */
static long own_memory_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char text[256];
	long kib = 0;

	while (f && fgets(text, sizeof text, f))
		if (sscanf(text, "RssAnon: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static char outage_dir[512]; /* under TMPDIR */

static int outage_dir_make(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(outage_dir, sizeof outage_dir, "%s/test-sim-window-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(outage_dir) ? 0 : -1;
}

/* Also when the test failed: 72 hours are 16 GB. */
static int outage_dir_remove(void **state)
{
	char command[sizeof outage_dir + 16];

	(void)state;
	snprintf(command, sizeof command, "rm -rf '%s'", outage_dir);
	return system(command);
}

/* Of both nodes, their desks, the links and the simulator together; the journals are files. */
struct outage {
	size_t most, most_but_pages; /* had from malloc at one time */
	long before, after;  /* own_memory_kib at the line's return, and when all was taken */
	int64_t back_us;     /* from the line's return to the first message on the other side */
	double rate;         /* messages a second, each way, after that */
	uint64_t each;       /* messages a site */
};

/* Ten messages a second at each of two sites whose line is cut; then it is back, until all were taken. Desks take whatever there is. */
static struct outage outage(int64_t seconds, const struct core_config *core)
{
	struct bearer_config bearer = {.name = "line", .cost = 10, .delay_us = 2 * US_PER_MS, .rate_bps = 1000000000};
	char dir[sizeof outage_dir + 16];
	struct outage o = {0};
	struct line l;

	snprintf(dir, sizeof dir, "%s/%lld", outage_dir, (long long)seconds);
	assert_int_equal(mkdir(dir, 0700), 0);
	malloc_trim(0); /* what tests before this one left to it */
	heap_most_anew();
	line_open_on(&l, 6, &bearer, dir, core);
	world_cut(l.w, NAMEN, LUIK, NULL, WAY_BOTH);
	for (int64_t s = 0; s < seconds; s++) {
		send_bulk(&l, NAMEN, 10, 500);
		send_bulk(&l, LUIK, 10, 500);
		run_for(&l, US_PER_S);
	}
	run_for(&l, US_PER_S);
	o.before = own_memory_kib();
	o.each = (uint64_t)seconds * 10;
	assert_int_equal(l.accepted, 2 * o.each);
	assert_int_equal(l.taken, 0);
	world_mend(l.w, NAMEN, LUIK, NULL, WAY_BOTH);
	struct mono from = world_now(l.w);

	while (!l.taken && world_now(l.w).us - from.us < 120 * US_PER_S)
		run_for(&l, 10 * US_PER_MS);
	o.back_us = world_now(l.w).us - from.us;
	while (l.taken < l.accepted && world_now(l.w).us - from.us < (seconds + 60) * US_PER_S)
		run_for(&l, 100 * US_PER_MS);
	double s = (double)(world_now(l.w).us - from.us - o.back_us) / US_PER_S;

	o.rate = (double)o.each / (s > 0 ? s : 0.1);
	o.after = own_memory_kib();
	o.most = heap_most(HEAP_ALL);
	o.most_but_pages = heap_most(HEAP_BUT_PAGES);
	assert_int_equal(l.taken, l.accepted);
	world_free(l.w);
	return o;
}

/* OUTAGE_HOURS of it, 72 in make sweep. */
static void a_long_outage(void **state)
{
	const char *hours = getenv("OUTAGE_HOURS");
	struct outage o = outage((int64_t)(atof(hours) * 3600), NULL);

	(void)state;
	if (printing())
		printf("# %s h of outage, %llu messages a site: both nodes, their desks and the simulator had %.1f MiB at most (%ld MiB at the line's return and "
		       "%ld MiB after the drain with what malloc kept); flows after %.2f s, then %.0f messages/s each way\n",
		       hours, (unsigned long long)o.each, (double)o.most / 1048576, o.before / 1024, o.after / 1024, (double)o.back_us / US_PER_S, o.rate);
	if (heap_counted())
		assert_true(o.most < 256 * 1048576 && o.before < 256 * 1024 && o.after < 256 * 1024);
	assert_true(o.back_us <= 2 * US_PER_S);
	assert_true(o.rate >= 5000 || atof(hours) < 0.5);
}

/* What 72 hours show, in seconds: three times the backlog costs no more memory, at nodes that are soon at their bounds. A message more may cost
 * so many bytes; a list of what waits, is out, or was drained needs twice as many at least. */
#define MESSAGE_BYTES 4
static void a_backlog_costs_no_memory(void **state)
{
	const struct core_config small = {.leases_most = 1000, .window_bulk_bytes = 1024 * 1024, .window_urgent_bytes = 65536};
	struct outage few = outage(480, &small);

	(void)state;
	assert_true(few.back_us <= 2 * US_PER_S && few.rate >= 5000);
	if (!heap_counted())
		return;
	struct outage many = outage(1440, &small);

	if (printing())
		printf("# a backlog of %llu messages a site: %zu bytes at most; of %llu: %zu; %.0f messages/s each way\n", (unsigned long long)few.each,
		       few.most_but_pages, (unsigned long long)many.each, many.most_but_pages, many.rate);
	assert_true(many.most_but_pages < few.most_but_pages + 2 * MESSAGE_BYTES * (many.each - few.each));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(less_than_a_second_is_queued),
		cmocka_unit_test(long_bodies_queue_no_more),
		cmocka_unit_test(a_burst_over_a_satellite),
		cmocka_unit_test(bodies_fill_a_satellite),
		cmocka_unit_test(flash_leaves_next),
		cmocka_unit_test(a_backlog_cut_every_minute_advances),
		cmocka_unit_test(long_bodies_outlive_cuts),
		cmocka_unit_test(traffic_flows_again_within_two_seconds),
		cmocka_unit_test(loss_and_delay),
		cmocka_unit_test(flaps),
		cmocka_unit_test_setup_teardown(a_backlog_costs_no_memory, outage_dir_make, outage_dir_remove),
	};
	const struct CMUnitTest long_tests[] = {
		cmocka_unit_test_setup_teardown(a_long_outage, outage_dir_make, outage_dir_remove),
	};

	cmocka_set_test_filter(getenv("WINDOW_ONLY"));
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	return getenv("OUTAGE_HOURS") ? failed + cmocka_run_group_tests(long_tests, NULL, NULL) : failed;
}
