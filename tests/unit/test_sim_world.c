/* The world: determinism, what faults do, and that a disk and a memory make the same run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/request.h"
#include "sim/world.h"
#include "tests/lib/sim_desk.h"

#define SITES 5
#define HOUR (3600 * US_PER_S)

struct desk {
	struct world *w;
	uint64_t client[SITES];
	uint32_t tag;
	uint64_t accepted, taken, refused, gone;
	uint64_t sent, damaged_news, downs, logs;
	struct msgid last;
};

static struct world *make_world(uint64_t seed, enum world_store store, const char *dir)
{
	struct link_config links[SITES * SITES];
	struct roster *r = sim_roster((const char *const[]){"spoc-brussel", "cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-brussel"}, 5);
	struct world_config c = {.seed = seed, .start = {1626220800LL * US_PER_S}, .store = store, .dir = dir, .roster = r, .links = links};
	struct world *w = NULL;
	struct errmsg m;

	for (uint16_t a = 0; a < SITES; a++)
		for (uint16_t b = (uint16_t)(a + 1); b < SITES; b++)
			links[c.n_links++] = (struct link_config){.a = a, .b = b, .n_bearers = 2, .bearers = {
				{.name = "fibre", .cost = 10, .delay_us = 5000, .jitter_us = 2000},
				{.name = "satellite", .cost = 50, .delay_us = 300000, .jitter_us = 50000, .rate_bps = 64000}}};
	assert_int_equal(world_new(&c, &w, &m), ERR_OK);
	roster_free(r);
	return w;
}

static void ask(struct desk *d, size_t site, uint8_t type, const char *queue, const struct msgid *id, size_t body)
{
	static const uint8_t text[60000] = "water stijgt";
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	request_begin(&rw, &b, type, ++d->tag);
	request_str(&rw, type == REQ_SUBMIT ? F_TO : F_QUEUE, queue);
	if (type == REQ_SUBMIT) {
		request_u8(&rw, F_PRECEDENCE, (uint8_t)(d->tag % PREC_COUNT));
		request_field(&rw, F_BODY, view_of(text, body));
	}
	if (type == REQ_TAKE)
		request_u32(&rw, F_COUNT, 100000);
	if (id)
		request_id(&rw, id);
	request_end(&rw);
	world_request(d->w, site, d->client[site], buf_view(&b));
	buf_release(&b);
}

static void on_reply(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct desk *d = arg;
	struct request r;
	size_t len;

	if (!bytes.len) {
		d->gone++;
		d->client[site] = 0;
		return;
	}
	for (; bytes.len && request_length(bytes, &len) == ERR_OK && len; bytes = view_of(bytes.ptr + len, bytes.len - len)) {
		assert_int_equal(request_decode(view_of(bytes.ptr, len), &r), ERR_OK);
		d->accepted += r.type == REPLY_ACCEPTED;
		d->refused += r.type == REPLY_ERROR;
		if (r.type == REPLY_ERROR && d->client[site]) {
			/* No room, it may be: the desk comes again in a minute. */
			world_client_close(w, site, client);
			d->client[site] = 0;
		}
		if (r.type == REPLY_TAKEN && d->client[site]) {
			struct msgid id;

			d->taken++;
			memcpy(id.b, sim_field(&r, F_ID).ptr, MSGID_BYTES);
			ask(d, site, REQ_ACK, NULL, &id, 0);
		}
	}
}

static void open_desks(struct desk *d)
{
	struct client_rights rights = {.name = "desk", .may_send = true, .may_take = true, .may_operate = true, .precedence = PREC_FLASH};

	for (size_t i = 0; i < world_sites(d->w); i++)
		if (!d->client[i] && (d->client[i] = world_client_open(d->w, i, &rights, on_reply, d)))
			ask(d, i, REQ_TAKE, "dispatch", NULL, 0);
}

static void each_minute(void *arg, struct world *w, uint64_t n)
{
	struct desk *d = arg;
	size_t from = n % SITES, to = (n / SITES + n) % SITES;
	char address[LIMIT_ADDRESS_BYTES + 1];

	open_desks(d);
	snprintf(address, sizeof address, "%s/dispatch", world_site_id(w, to));
	if (d->client[from]) {
		ask(d, from, REQ_SUBMIT, address, NULL, 100 + n * 997 % 50000);
		d->sent++;
	}
	if (n > 0)
		world_at(w, mono_add(world_now(w), 60 * US_PER_S), each_minute, d, n - 1);
}

static void on_news(void *arg, struct world *w, const struct world_news *n)
{
	struct desk *d = arg;

	(void)w;
	d->downs += n->type == NEWS_SITE_DOWN;
	d->logs += n->type == NEWS_LOG;
	if (getenv("WORLD_LOG"))
		fprintf(stderr, "%10.3f %-20s %d %lld %.*s\n", (double)world_now(w).us / US_PER_S, world_site_id(w, n->site), n->type, (long long)n->number, (int)n->text.len, (const char *)n->text.ptr);
}

static void begin(struct desk *d, struct world *w, uint64_t messages)
{
	struct world_hooks hooks = {.arg = d, .news = on_news};

	*d = (struct desk){.w = w};
	world_subscribe(w, &hooks);
	world_at(w, (struct mono){5 * US_PER_S}, each_minute, d, messages);
}

static struct mono at(int64_t us) { return (struct mono){us}; }

static void hostile(struct world *w, uint64_t seed)
{
	struct prng p;

	prng_init(&p, seed, "test", 0);
	for (int k = 0; k < 40; k++) {
		size_t a = prng_below(&p, SITES), b = prng_below(&p, SITES);

		world_run(w, mono_add(world_now(w), prng_between(&p, US_PER_S, 120 * US_PER_S)));
		switch (prng_below(&p, 12)) {
		case 0: world_crash(w, a, CRASH_DRAWN); break;
		case 1: world_start_site(w, a); break;
		case 2: world_power(w, a, false); break;
		case 3: world_power(w, a, true); break;
		case 4: world_pause(w, a, true); break;
		case 5: world_pause(w, a, false); break;
		case 6: world_cut(w, a, b, NULL, WAY_AB); break;
		case 7: world_mend(w, a, b, NULL, WAY_BOTH); break;
		case 8: world_disk_slow(w, a, 300 * US_PER_MS); break;
		case 9: world_commit_fails(w, a, 2, ERR_SYNC); break;
		case 10: world_disk_full(w, a, prng_chance(&p, 500000)); break;
		case 11: world_clock_step(w, a, prng_between(&p, -3, 3) * 10 * US_PER_S); break;
		}
	}
	world_heal(w);
	world_run(w, mono_add(world_now(w), 2 * HOUR));
}

static void run_hostile(uint64_t seed, enum world_store store, const char *dir, char trace[65], struct desk *d)
{
	struct world *w = make_world(seed, store, dir);

	begin(d, w, 60);
	hostile(w, seed);
	world_trace(w, trace);
	world_free(w);
}

static void test_quiet_day(void **state)
{
	struct world *w = make_world(1, WORLD_MEMORY, NULL);
	struct desk d;

	(void)state;
	begin(&d, w, 120);
	assert_true(world_run(w, at(3 * HOUR)));
	assert_true(world_connected(w, 0, 1) && world_connected(w, 1, 0));
	assert_int_equal(d.sent, 121);
	assert_int_equal(d.accepted, 121);
	assert_int_equal(d.taken, 121);
	assert_int_equal(d.refused, 0);
	assert_int_equal(d.downs, 0);
	world_free(w);
}

static void test_same_seed_same_trace(void **state)
{
	char one[65], two[65], other[65];
	struct desk a, b;

	(void)state;
	for (uint64_t seed = 1; seed < 5; seed++) {
		run_hostile(seed, WORLD_MEMORY, NULL, one, &a);
		run_hostile(seed, WORLD_MEMORY, NULL, two, &b);
		assert_string_equal(one, two);
		assert_int_equal(a.accepted, b.accepted);
		assert_true(a.taken >= a.accepted && a.accepted);
	}
	run_hostile(77, WORLD_MEMORY, NULL, other, &b);
	assert_string_not_equal(one, other);
}

static void test_disk_as_memory(void **state)
{
	char dir[] = "/tmp/test-sim-world-XXXXXX", one[65], two[65];
	struct desk a, b;

	(void)state;
	assert_non_null(mkdtemp(dir));
	run_hostile(3, WORLD_MEMORY, NULL, one, &a);
	run_hostile(3, WORLD_LMDB, dir, two, &b);
	assert_string_equal(one, two);
	char command[64];

	snprintf(command, sizeof command, "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void test_lost_and_restored(void **state)
{
	struct world *w = make_world(9, WORLD_MEMORY, NULL);
	struct desk d;

	(void)state;
	begin(&d, w, 60);
	world_run(w, at(HOUR / 4));
	world_backup(w, 1);
	world_run(w, at(HOUR / 2));
	world_lose_disk(w, 2);
	assert_null(world_store(w, 2));
	world_start_site(w, 2);
	assert_non_null(world_store(w, 2));
	assert_int_equal(world_site_journal(w, 2), 2);
	assert_true(world_restore(w, 1));
	assert_int_equal(world_site_state(w, 1), SITE_DOWN);
	world_start_site(w, 1);
	world_run(w, at(3 * HOUR));
	assert_int_equal(world_site_state(w, 1), SITE_UP);
	assert_true(d.taken >= d.accepted);
	world_free(w);
}

static void test_flipped_bits_are_met(void **state)
{
	struct world *w = make_world(11, WORLD_MEMORY, NULL);
	struct desk d;
	unsigned flipped = 0;

	(void)state;
	begin(&d, w, 60);
	world_run(w, at(HOUR / 4));
	for (int k = 0; k < 50; k++)
		flipped += world_flip_bit(w, 0); /* false when it drew a record that is damaged already */
	assert_true(flipped > 10);
	world_crash(w, 1, CRASH_NOW);
	world_lose_disk(w, 1);
	world_start_site(w, 1);
	world_run(w, at(2 * HOUR));
	assert_int_equal(world_counts(w)->flips, flipped);
	assert_true(world_counts(w)->records_damaged_read > 0);
	assert_int_equal(world_site_state(w, 0), SITE_UP);
	world_free(w);
}

/* A cut shorter than the heartbeat's time-out only delays; a longer one resets, and the other bearer takes over. */
static void test_bearers(void **state)
{
	struct world *w = make_world(5, WORLD_MEMORY, NULL);
	struct desk d;

	(void)state;
	begin(&d, w, 30);
	world_run(w, at(60 * US_PER_S));
	world_cut(w, 0, 1, "fibre", WAY_AB);
	world_run(w, at(63 * US_PER_S));
	assert_true(world_connected(w, 0, 1));
	world_mend(w, 0, 1, "fibre", WAY_AB);
	world_run(w, at(70 * US_PER_S));
	assert_true(world_connected(w, 0, 1));
	world_cut(w, 0, 1, NULL, WAY_BOTH);
	world_run(w, at(200 * US_PER_S));
	assert_false(world_connected(w, 0, 1));
	assert_false(world_link_open(w, 0, 1));
	world_mend(w, 0, 1, "satellite", WAY_BOTH);
	world_run(w, at(220 * US_PER_S));
	assert_true(world_connected(w, 0, 1));
	world_run(w, at(3 * HOUR));
	assert_int_equal(d.taken, d.accepted);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quiet_day),
		cmocka_unit_test(test_same_seed_same_trace),
		cmocka_unit_test(test_disk_as_memory),
		cmocka_unit_test(test_lost_and_restored),
		cmocka_unit_test(test_flipped_bits_are_met),
		cmocka_unit_test(test_bearers),
	};

	if (crypt_start())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
