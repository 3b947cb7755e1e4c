/* Each fault of the world does what sim/README.md says of it, and no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/request.h"
#include "sim/world.h"
#include "tests/lib/sim_desk.h"

enum { A, B, SITES };
#define SECOND US_PER_S

struct desk {
	struct world *w;
	uint64_t client;
	uint32_t tag;
	unsigned accepted, refused, gone, down, up, conn_down;
	int64_t answered_at, down_at, up_at, conn_down_at;
};

static void on_news(void *arg, struct world *w, const struct world_news *n)
{
	struct desk *d = arg;
	int64_t now = world_now(w).us;

	if (n->type == NEWS_SITE_DOWN && n->site == A)
		d->down++, d->down_at = now;
	if (n->type == NEWS_SITE_UP && n->site == A)
		d->up++, d->up_at = now;
	if (n->type == NEWS_CONN_DOWN && n->site == B)
		d->conn_down++, d->conn_down_at = now;
}

static int begin(void **state)
{
	static const char *const names[SITES] = {"cic-luik", "cic-namen"};
	struct link_config link = {.a = A, .b = B, .n_bearers = 1, .bearers = {{.name = "fibre", .cost = 10, .delay_us = 5000}}};
	struct roster *r = sim_roster(names, SITES);
	struct world_config c = {.seed = 3, .start = {1626220800LL * SECOND}, .links = &link, .n_links = 1, .roster = r};
	struct desk *d = calloc(1, sizeof *d);
	struct errmsg m;

	if (!d || world_new(&c, &d->w, &m))
		return -1;
	roster_free(r);
	world_subscribe(d->w, &(struct world_hooks){.arg = d, .news = on_news});
	world_run(d->w, (struct mono){20 * SECOND});
	assert_true(world_connected(d->w, A, B) && world_connected(d->w, B, A));
	*state = d;
	return 0;
}

static int end(void **state)
{
	struct desk *d = *state;

	world_free(d->w);
	free(d);
	return 0;
}

static void on_reply(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct desk *d = arg;
	struct request r;

	(void)site, (void)client;
	if (!bytes.len) {
		d->gone++;
		d->client = 0;
	} else if (request_decode(bytes, &r) == ERR_OK) {
		d->accepted += r.type == REPLY_ACCEPTED;
		d->refused += r.type == REPLY_ERROR;
		d->answered_at = world_now(w).us;
	}
}

static void run(struct desk *d, int64_t us)
{
	world_run(d->w, mono_add(world_now(d->w), us));
}

/* One message from A to B, handed to A's node now. */
static void send_at(struct desk *d, uint8_t precedence)
{
	static const struct client_rights rights = {.name = "desk", .may_send = true, .precedence = PREC_FLASH};
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	if (!d->client)
		d->client = world_client_open(d->w, A, &rights, on_reply, d);
	assert_true(d->client);
	request_begin(&rw, &b, REQ_SUBMIT, ++d->tag);
	request_str(&rw, F_TO, "cic-namen/dispatch");
	request_u8(&rw, F_PRECEDENCE, precedence);
	request_str(&rw, F_BODY, "water stijgt");
	request_end(&rw);
	world_request(d->w, A, d->client, buf_view(&b));
	buf_release(&b);
}

static void send(struct desk *d) { send_at(d, PREC_ROUTINE); }

static uint64_t entries(struct desk *d, size_t site)
{
	struct txn *t = NULL;

	assert_int_equal(txn_begin(world_store(d->w, site), false, &t), ERR_OK);
	uint64_t n = store_last_arrival(t);

	txn_abort(t);
	return n;
}

/* ---- disks ----------------------------------------------------------------------------------------------------------- */

static void the_second_commit_fails(void **state)
{
	struct desk *d = *state;

	run(d, 60 * SECOND); /* batches that write nothing are no commits */
	world_commit_fails(d->w, A, 2, ERR_SYNC);
	run(d, 60 * SECOND);
	assert_int_equal(d->down, 0);
	send(d);
	run(d, SECOND / 100);
	assert_int_equal(d->accepted, 1);
	assert_int_equal(d->down, 0);
	send(d);
	run(d, SECOND);
	assert_int_equal(d->accepted, 1);
	assert_int_equal(d->down, 1);
	assert_int_equal(d->gone, 1);
	run(d, 10 * SECOND);
	assert_int_equal(d->up, 2); /* once at the beginning */
	assert_true(d->up_at - d->down_at == 5 * SECOND);
	assert_int_equal(world_counts(d->w)->failed_commits, 1);
}

static void a_full_disk_refuses_and_goes_on(void **state)
{
	struct desk *d = *state;
	uint64_t before = entries(d, A);

	world_disk_full(d->w, A, true);
	send(d);
	run(d, SECOND);
	assert_int_equal(d->refused, 1);
	assert_int_equal(d->accepted, 0);
	assert_int_equal(entries(d, A), before);
	assert_int_equal(world_site_state(d->w, A), SITE_UP);
	world_disk_full(d->w, A, false);
	send(d);
	run(d, SECOND);
	assert_int_equal(d->accepted, 1);
	assert_true(entries(d, A) > before);
}

/* A journal that may grow no more than so far: what is least urgent is refused first, FLASH last. */
static void short_room_is_for_the_urgent(void **state)
{
	struct desk *d = *state;

	world_disk_quota(d->w, A, 400000);
	for (int i = 0; i < 5000 && !d->refused; i++) {
		send(d);
		run(d, SECOND / 10);
	}
	assert_int_equal(d->refused, 1);
	unsigned before = d->accepted;

	assert_true(before > 10);
	for (int p = PREC_PRIORITY; p >= PREC_FLASH; p--) {
		send_at(d, (uint8_t)p);
		run(d, SECOND);
	}
	assert_int_equal(d->accepted, before + 3);
	world_disk_quota(d->w, A, 0);
	send(d);
	run(d, SECOND);
	assert_int_equal(d->accepted, before + 4);
}

static void a_slow_disk_answers_late(void **state)
{
	struct desk *d = *state;
	int64_t from = world_now(d->w).us;

	send(d);
	run(d, SECOND);
	assert_true(d->answered_at - from < SECOND / 100);
	world_disk_slow(d->w, A, 2 * SECOND);
	from = world_now(d->w).us;
	send(d);
	run(d, 10 * SECOND);
	assert_int_equal(d->accepted, 2);
	assert_true(d->answered_at - from >= 2 * SECOND);
	world_disk_slow(d->w, A, 0);
	run(d, 10 * SECOND);
	from = world_now(d->w).us;
	send(d);
	run(d, SECOND);
	assert_true(d->answered_at - from < SECOND / 100);
}

/* ---- processes --------------------------------------------------------------------------------------------------------- */

static void crash_in_a_commit(struct desk *d, enum crash_how how, bool kept)
{
	uint64_t before = entries(d, A), there = entries(d, B);

	world_crash(d->w, A, how);
	send(d);
	run(d, SECOND);
	assert_int_equal(d->down, 1);
	assert_int_equal(d->accepted + d->refused, 0); /* nobody heard of it */
	assert_int_equal(d->gone, 1);
	assert_int_equal(entries(d, A) > before, kept);
	assert_int_equal(entries(d, B), there);
	assert_int_equal(world_counts(d->w)->crashes_in_commit, 1);
	world_start_site(d->w, A);
	run(d, 60 * SECOND);
	assert_int_equal(entries(d, B) > there, kept);
}

static void a_crash_before_the_commit(void **state) { crash_in_a_commit(*state, CRASH_BEFORE_COMMIT, false); }
static void a_crash_after_the_commit(void **state) { crash_in_a_commit(*state, CRASH_AFTER_COMMIT, true); }

static void a_paused_process_goes_on(void **state)
{
	struct desk *d = *state;

	world_pause(d->w, A, true);
	send(d);
	run(d, 30 * SECOND);
	assert_int_equal(d->accepted, 0);
	assert_int_equal(d->conn_down, 0);
	world_pause(d->w, A, false);
	run(d, SECOND);
	assert_int_equal(d->accepted, 1);
	assert_int_equal(d->gone + d->down, 0);
}

/* It does not hear that it should end; the service manager ends it all the same, and no resume wakes it. */
static void a_paused_process_is_stopped(void **state)
{
	struct desk *d = *state;

	world_pause(d->w, A, true);
	world_stop_site(d->w, A);
	world_pause(d->w, A, false);
	assert_int_equal(world_site_state(d->w, A), SITE_DOWN);
	world_start_site(d->w, A);
	send(d);
	run(d, 30 * SECOND);
	assert_int_equal(world_site_state(d->w, A), SITE_UP);
}

/* A dead process resets its connections; a machine without power only falls silent. */
static void what_peers_see(void **state)
{
	struct desk *d = *state;
	int64_t from = world_now(d->w).us;

	world_crash(d->w, A, CRASH_NOW);
	run(d, SECOND);
	assert_int_equal(d->conn_down, LANE_COUNT);
	assert_true(d->conn_down_at == from);
	world_start_site(d->w, A);
	run(d, 30 * SECOND);
	assert_true(world_connected(d->w, B, A));
	from = world_now(d->w).us;
	world_power(d->w, A, false);
	run(d, 59 * SECOND);
	assert_int_equal(d->conn_down, LANE_COUNT);
	assert_false(world_site_powered(d->w, A));
	world_start_site(d->w, A);
	assert_int_equal(world_site_state(d->w, A), SITE_DOWN); /* without power nothing starts */
	run(d, 2 * SECOND);
	assert_int_equal(d->conn_down, 2 * LANE_COUNT);
	assert_true(d->conn_down_at - from == 60 * SECOND);
	world_power(d->w, A, true);
	assert_int_equal(world_site_state(d->w, A), SITE_UP);
}

/* ---- links ---------------------------------------------------------------------------------------------------------------- */

/* From B to A nothing passes: what A sends arrives, and its acknowledgement does not. */
static void a_cut_of_one_way(void **state)
{
	struct desk *d = *state;
	uint64_t there = entries(d, B);

	world_cut(d->w, B, A, NULL, WAY_AB);
	send(d);
	run(d, 30 * SECOND);
	assert_true(entries(d, B) > there);
	there = entries(d, B);
	world_mend(d->w, B, A, NULL, WAY_AB);
	world_cut(d->w, A, B, NULL, WAY_AB);
	run(d, SECOND);
	send(d);
	run(d, 30 * SECOND);
	assert_int_equal(entries(d, B), there);
	assert_int_equal(d->conn_down, 0);
	assert_int_equal(world_counts(d->w)->asymmetric_cuts, 2);
	run(d, 60 * SECOND); /* the heartbeat's time is over */
	assert_int_equal(d->conn_down, LANE_COUNT);
	assert_false(world_link_open(d->w, A, B));
	world_mend(d->w, A, B, NULL, WAY_AB);
	run(d, 30 * SECOND);
	assert_true(entries(d, B) > there);
}

/* ---- clocks ------------------------------------------------------------------------------------------------------------------ */

static int64_t off(struct desk *d)
{
	return world_site_wall(d->w, A).us - world_wall(d->w).us;
}

static void clocks(void **state)
{
	struct desk *d = *state;

	assert_int_equal(off(d), 0);
	world_clock_step(d->w, A, -300 * SECOND);
	assert_int_equal(off(d), -300 * SECOND);
	world_clock_drift(d->w, A, 500);
	run(d, 1000 * SECOND);
	assert_int_equal(off(d), -300 * SECOND + SECOND / 2);
	world_clock_drift(d->w, A, -500);
	run(d, 2000 * SECOND);
	assert_int_equal(off(d), -300 * SECOND - SECOND / 2);
	world_heal(d->w);
	assert_int_equal(off(d), 0);
	run(d, 1000 * SECOND);
	assert_int_equal(off(d), 0);
}

/* ---- order ------------------------------------------------------------------------------------------------------------------- */

static char order[8];

static void write_down(void *arg, struct world *w, uint64_t cookie)
{
	struct desk *d = arg;
	size_t n = strlen(order);

	order[n] = (char)cookie;
	order[n + 1] = '\0';
	if (cookie == 'b')
		world_at(w, world_now(w), write_down, d, 'e'); /* made last, for the same instant */
}

static void equal_times_in_the_order_of_making(void **state)
{
	struct desk *d = *state;
	struct mono at = mono_add(world_now(d->w), SECOND);

	order[0] = '\0';
	world_at(d->w, mono_add(at, 1), write_down, d, 'f');
	for (int c = 'a'; c <= 'd'; c++)
		world_at(d->w, at, write_down, d, (uint64_t)c);
	run(d, 2 * SECOND);
	assert_string_equal(order, "abcdef");
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_second_commit_fails), T(a_full_disk_refuses_and_goes_on), T(short_room_is_for_the_urgent), T(a_slow_disk_answers_late), T(a_crash_before_the_commit),
		T(a_crash_after_the_commit), T(a_paused_process_goes_on), T(a_paused_process_is_stopped), T(what_peers_see), T(a_cut_of_one_way), T(clocks), T(equal_times_in_the_order_of_making),
	};

	return crypt_start() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
