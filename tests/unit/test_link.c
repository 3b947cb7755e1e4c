/* Who may connect and speak: the authentication and the accepted side, against peers that obey and peers that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/daemon/log.c"
#include "node/daemon/poller.c"
#include "node/daemon/inbox.c"
#include "node/daemon/wire.c"
#include "node/daemon/zap.c"
#include "node/daemon/accepted.c"
#undef DRAIN_MESSAGES
#include "node/daemon/resolver.c"

#include <sys/eventfd.h>

#define SELF 1

/* The driver's clock, without the driver. */
struct mono driver_mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (struct mono){ts.tv_sec * US_PER_S + ts.tv_nsec / 1000};
}

static struct site sites[3];
static struct roster roster = {.sites = sites, .has_keys = true};
static struct site_keys keys[4]; /* of site 1 to 3, and a stranger's */
static struct config config;
static struct wire wire;
static struct zap zap;
static struct poller poller;
static struct inbox *inbox;
static struct accepted accepted;
static struct inbox_batch rows[ROW_COUNT];
static void *dialled[4]; /* closed at the end, also when a test fails */
static size_t n_dialled;

static void serve(void *arg)
{
	zap_serve(arg);
}

/* One round of what the loop does. */
static void turn(int timeout_ms)
{
	poller_wait(&poller, timeout_ms);
	zap_serve(&zap);
	accepted_drain(&accepted);
}

static void make_sites(void)
{
	for (uint8_t i = 0; i < 4; i++) {
		uint8_t seed[32] = {i};

		link_keypair(seed, &keys[i].link_public, &keys[i].link);
	}
	roster.n_sites = 3;
	for (uint16_t i = 0; i < 3; i++) {
		sites[i] = (struct site){.number = (uint16_t)(i + 1), .link = keys[i].link_public, .n_bearers = 1};
		snprintf(sites[i].id, sizeof sites[i].id, "site-%u", i + 1u);
	}
}

static int begin(void **state)
{
	struct errmsg m = {0};

	(void)state;
	make_sites();
	config = (struct config){.handshake_us = 10 * US_PER_S, .heartbeat_us = 10 * US_PER_S, .heartbeat_timeout_us = 60 * US_PER_S,
	                         .connect_timeout_us = 5 * US_PER_S, .reconnect_us = 100000, .reconnect_max_us = 2000000, .n_bind = 1};
	strcpy(config.bind[0], "tcp://127.0.0.1:*");
	wire = (struct wire){zmq_ctx_new(), &config, &keys[0]};
	zmq_ctx_set(wire.ctx, ZMQ_BLOCKY, 0);
	if (zap_open(&zap, wire.ctx, &roster, SELF, &m) || poller_open(&poller) || inbox_new(1 << 20, -1, &inbox) ||
	    accepted_open(&accepted, &wire, &poller, inbox, &roster, SELF, &m))
		fail_msg("%s", m.text);
	return 0;
}

static int end(void **state)
{
	(void)state;
	while (n_dialled)
		wire_close(dialled[--n_dialled]);
	accepted_close(&accepted, &poller);
	zap_close(&zap);
	zmq_ctx_term(wire.ctx);
	poller_close(&poller);
	for (int i = 0; i < ROW_COUNT; i++)
		inbox_batch_release(&rows[i]);
	inbox_free(inbox);
	return 0;
}

/* A peer that is one of keys[], dialling us. */
static void *dial(int who)
{
	char endpoint[100];
	size_t size = sizeof endpoint;
	struct errmsg m;
	void *s = wire_dealer(&wire, &keys[0].link_public, &keys[who], 0, 5 * US_PER_S, false, &m);

	assert_non_null(s);
	assert_int_equal(zmq_getsockopt(accepted.socket, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
	assert_int_equal(zmq_connect(s, endpoint), 0);
	return dialled[n_dialled++] = s;
}

/* Tries until the connection takes it. */
static void send_bytes(void *s, struct view bytes, int flags)
{
	for (int i = 0; i < 500; i++) {
		if (wire_send(s, bytes, flags) == 0)
			return;
		turn(10);
	}
	fail_msg("the connection took nothing in five seconds");
}

static void say_hello(void *s, uint16_t site, uint8_t lane)
{
	struct hello h = {.site = site, .protocol_min = 1, .protocol_max = 1, .lane = lane, .incarnation = {.born_us = 1}, .bearer = view_str("test")};
	struct buf b = BUF_EMPTY;

	frame_hello(&b, FRAME_HELLO, &h);
	send_bytes(s, buf_view(&b), 0);
	buf_release(&b);
}

static void say_probe(void *s, uint64_t token)
{
	struct buf b = BUF_EMPTY;

	frame_probe(&b, FRAME_PROBE, &(struct probe){.token = token});
	send_bytes(s, buf_view(&b), 0);
	buf_release(&b);
}

/* Runs until n events are in the row or a second has passed. Returns how many there are. */
static size_t events(enum inbox_row row, size_t n)
{
	struct mono stop = mono_add(driver_mono(), n ? 3 * US_PER_S : 200000);

	do
		turn(10);
	while (inbox->row[row].n < n && mono_before(driver_mono(), stop));
	for (int i = 0; i < ROW_COUNT; i++)
		inbox_batch_clear(&rows[i]);
	inbox_kick(inbox);
	if (!inbox_take(inbox, 0, rows))
		fail();
	return rows[row].n;
}

/* What is not heard is counted: that it came is known by that. */
static void dropped(const uint64_t *count, uint64_t n)
{
	struct mono stop = mono_add(driver_mono(), 5 * US_PER_S);

	while (*count < n && mono_before(driver_mono(), stop))
		turn(10);
	assert_int_equal(*count, n);
}

static void a_stranger_is_refused(void **state)
{
	struct errmsg m = {0};

	(void)state;
	zap.quiet = true;
	if (wire_self_test(&wire, zap.socket, serve, &zap, &m))
		fail_msg("%s", m.text);
	assert_int_equal(zap.refused, 1);
}

/* Lets in whoever asks. */
static void admit_anyone(void *arg)
{
	static const struct site anyone = {.number = 2};
	zmq_msg_t parts[PARTS];

	(void)arg;
	for (size_t i = 0; i < PARTS; i++)
		zmq_msg_init(&parts[i]);
	if (read_request(zap.socket, parts))
		answer(&zap, &parts[PART_REQUEST], &anyone);
	for (size_t i = 0; i < PARTS; i++)
		zmq_msg_close(&parts[i]);
}

static void the_self_test_sees_an_open_door(void **state)
{
	struct errmsg m = {0};

	(void)state;
	assert_int_equal(wire_self_test(&wire, zap.socket, admit_anyone, NULL, &m), ERR_AUTH);
}

static void a_known_key_without_hello_is_not_heard(void **state)
{
	void *s = dial(1);

	(void)state;
	say_probe(s, 1);
	dropped(&accepted.dropped_no_hello, 1);
	assert_int_equal(events(ROW_URGENT, 0), 0);
	say_hello(s, 2, LANE_URGENT);
	say_probe(s, 2);
	assert_int_equal(events(ROW_URGENT, 2), 2);
	assert_int_equal(rows[ROW_URGENT].ev[1].u.frame.peer, 2);
	assert_int_equal(rows[ROW_URGENT].ev[1].u.frame.lane, LANE_URGENT);
	assert_int_equal(rows[ROW_URGENT].ev[1].u.frame.side, SIDE_ACCEPTED);
}

static void a_hello_in_anothers_name_is_not_heard(void **state)
{
	void *s = dial(1);

	(void)state;
	say_hello(s, 3, LANE_URGENT);
	say_probe(s, 1);
	dropped(&accepted.dropped_no_hello, 2);
	assert_int_equal(events(ROW_URGENT, 0), 0);
	assert_int_equal(accepted.n_routes, 0);
}

static void nobody_speaks_as_ourselves(void **state)
{
	void *s = dial(0); /* with our own key */

	(void)state;
	for (int i = 0; i < 20; i++)
		turn(20);
	assert_int_equal(wire_send(s, view_str("xx"), 0), EAGAIN);
	assert_true(zap.refused > 0);
}

static void the_last_hello_wins(void **state)
{
	void *first = dial(1), *second = dial(1);
	zmq_msg_t msg;

	(void)state;
	say_hello(first, 2, LANE_BULK);
	assert_int_equal(events(ROW_BULK, 1), 1);
	say_hello(second, 2, LANE_BULK);
	assert_int_equal(events(ROW_BULK, 1), 1);
	assert_int_equal(accepted.n_routes, 1);
	say_probe(first, 1);
	assert_int_equal(events(ROW_BULK, 0), 0);
	accepted_send(&accepted, 2, LANE_BULK, view_str("to you"));
	zmq_msg_init(&msg);
	for (int i = 0; i < 100 && !wire_recv(second, &msg); i++)
		turn(10);
	assert_int_equal(zmq_msg_size(&msg), 6);
	zmq_msg_close(&msg);
	zmq_msg_init(&msg);
	assert_false(wire_recv(first, &msg));
	zmq_msg_close(&msg);
}

static void a_connection_keeps_its_lane(void **state)
{
	void *s = dial(1);

	(void)state;
	say_hello(s, 2, LANE_BULK);
	assert_int_equal(events(ROW_BULK, 1), 1);
	say_hello(s, 2, LANE_URGENT);
	assert_int_equal(events(ROW_URGENT, 0), 0);
}

static void messages_of_several_parts_are_dropped_whole(void **state)
{
	void *s = dial(1);

	(void)state;
	say_hello(s, 2, LANE_URGENT);
	for (int i = 0; i < 5; i++)
		send_bytes(s, view_str("part"), ZMQ_SNDMORE);
	send_bytes(s, view_str("end"), 0);
	say_probe(s, 1);
	assert_int_equal(events(ROW_URGENT, 2), 2);
	assert_int_equal(accepted.dropped_malformed, 1);
}

static void a_frame_over_the_limit_is_dropped(void **state)
{
	static uint8_t big[LIMIT_FRAME_BYTES + 1];
	void *s = dial(1);

	(void)state;
	say_hello(s, 2, LANE_URGENT);
	big[0] = FRAME_VERSION;
	send_bytes(s, view_of(big, LIMIT_FRAME_BYTES), 0);
	send_bytes(s, view_of(big, sizeof big), 0);
	assert_int_equal(events(ROW_URGENT, 2), 2);
	dropped(&accepted.dropped_malformed, 1);
}

static void a_new_roster_ends_who_is_not_in_it(void **state)
{
	void *s = dial(2);

	(void)state;
	say_hello(s, 3, LANE_URGENT);
	assert_int_equal(events(ROW_URGENT, 1), 1);
	roster.n_sites = 2;
	accepted_roster(&accepted, &config, &roster);
	say_probe(s, 1);
	say_hello(s, 3, LANE_URGENT); /* the connection lives on, and is not heard */
	assert_int_equal(events(ROW_URGENT, 0), 0);
	assert_int_equal(accepted.n_routes, 0);
}

static void sending_to_who_is_gone_is_counted(void **state)
{
	void *s = dial(1);

	(void)state;
	accepted_send(&accepted, 3, LANE_URGENT, view_str("x"));
	assert_int_equal(accepted.dropped_no_link, 1);
	say_hello(s, 2, LANE_URGENT);
	assert_int_equal(events(ROW_URGENT, 1), 1);
	n_dialled = 0;
	wire_close(s);
	for (int i = 0; i < 300 && accepted.n_routes; i++) {
		turn(10);
		accepted_send(&accepted, 2, LANE_URGENT, view_str("x"));
	}
	assert_int_equal(accepted.n_routes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_stranger_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(the_self_test_sees_an_open_door, begin, end),
		cmocka_unit_test_setup_teardown(a_known_key_without_hello_is_not_heard, begin, end),
		cmocka_unit_test_setup_teardown(a_hello_in_anothers_name_is_not_heard, begin, end),
		cmocka_unit_test_setup_teardown(nobody_speaks_as_ourselves, begin, end),
		cmocka_unit_test_setup_teardown(the_last_hello_wins, begin, end),
		cmocka_unit_test_setup_teardown(a_connection_keeps_its_lane, begin, end),
		cmocka_unit_test_setup_teardown(messages_of_several_parts_are_dropped_whole, begin, end),
		cmocka_unit_test_setup_teardown(a_frame_over_the_limit_is_dropped, begin, end),
		cmocka_unit_test_setup_teardown(a_new_roster_ends_who_is_not_in_it, begin, end),
		cmocka_unit_test_setup_teardown(sending_to_who_is_gone_is_counted, begin, end),
	};

	log_set_level(0);
	return crypt_start() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
