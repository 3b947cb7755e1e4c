/* The queue between the threads: order, rows, the bound, and who is told of room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/daemon/inbox.c"

#include <sys/eventfd.h>

#define BOUND 65536

static struct inbox *b;
static struct inbox_batch rows[ROW_COUNT];
static int room_fd;

static int begin(void **state)
{
	(void)state;
	room_fd = eventfd(0, EFD_NONBLOCK);
	return inbox_new(BOUND, room_fd, &b) ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	for (int i = 0; i < ROW_COUNT; i++)
		inbox_batch_release(&rows[i]);
	inbox_free(b);
	return close(room_fd);
}

static bool add_frame(uint8_t lane, uint8_t fill, size_t n)
{
	uint8_t bytes[4096];
	struct event ev = {.type = EVENT_FRAME};
	bool ok;

	memset(bytes, fill, n);
	ev.u.frame.lane = lane;
	ev.u.frame.peer = fill;
	ev.u.frame.bytes = view_of(bytes, n);
	ok = inbox_add(b, &ev);
	memset(bytes, 0xee, sizeof bytes); /* what was added must be a copy */
	return ok;
}

static bool add_event(enum event_type type)
{
	struct event ev = {.type = type};

	return inbox_add(b, &ev);
}

static int64_t soon(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * US_PER_S + ts.tv_nsec / 1000 + 2000;
}

static bool told_of_room(void)
{
	uint64_t n;

	return read(room_fd, &n, sizeof n) == sizeof n;
}

static void rows_keep_their_order(void **state)
{
	(void)state;
	for (uint8_t i = 1; i <= 150; i++) {
		assert_true(add_frame(LANE_BULK, i, 100));
		assert_true(add_frame(LANE_URGENT, i, 17));
	}
	inbox_kick(b);
	assert_true(inbox_take(b, soon(), rows));
	assert_int_equal(rows[ROW_URGENT].n, 150);
	assert_int_equal(rows[ROW_BULK].n, 150);
	for (uint8_t i = 1; i <= 150; i++) {
		const struct event *u = &rows[ROW_URGENT].ev[i - 1], *k = &rows[ROW_BULK].ev[i - 1];

		assert_int_equal(u->u.frame.peer, i);
		assert_int_equal(u->u.frame.bytes.len, 17);
		assert_int_equal(u->u.frame.bytes.ptr[16], i);
		assert_int_equal(k->u.frame.bytes.len, 100);
		assert_int_equal(k->u.frame.bytes.ptr[0], i);
		assert_int_equal(k->u.frame.bytes.ptr[99], i);
	}
}

static void links_go_with_their_lane(void **state)
{
	struct event ev = {.type = EVENT_LINK_UP};

	(void)state;
	ev.u.link.lane = LANE_BULK;
	assert_true(inbox_add(b, &ev));
	assert_true(add_frame(LANE_BULK, 1, 1));
	ev.type = EVENT_LINK_DOWN;
	assert_true(inbox_add(b, &ev));
	assert_true(add_event(EVENT_ROSTER));
	inbox_kick(b);
	assert_true(inbox_take(b, soon(), rows));
	assert_int_equal(rows[ROW_BULK].n, 3);
	assert_int_equal(rows[ROW_BULK].ev[0].type, EVENT_LINK_UP);
	assert_int_equal(rows[ROW_BULK].ev[2].type, EVENT_LINK_DOWN);
	assert_int_equal(rows[ROW_URGENT].n, 1);
}

static void a_full_inbox_refuses_frames_only(void **state)
{
	size_t n = 0;

	(void)state;
	while (add_frame(LANE_URGENT, 1, 1000))
		n++;
	assert_in_range(n, BOUND / (1000 + sizeof(struct event)) - 1, BOUND / 1000);
	assert_false(add_frame(LANE_BULK, 1, 1000));
	assert_true(add_event(EVENT_CLIENT_OPEN)); /* what cannot be sent again is never lost */
	inbox_kick(b);
	assert_true(inbox_take(b, soon(), rows));
	assert_int_equal(rows[ROW_URGENT].n, n + 1);
	assert_false(add_frame(LANE_BULK, 1, 1000)); /* taken is not yet dealt with */
	inbox_done(b, ROW_URGENT, n + 1, n * 1000);
	assert_true(add_frame(LANE_BULK, 1, 1000));
}

/* A request as a client writes it; precedence 9: the field is absent. */
static struct buf request_of(uint8_t type, uint8_t precedence, uint8_t field, size_t n)
{
	static const uint8_t body[4096];
	struct buf out = BUF_EMPTY;
	struct request_writer w;

	request_begin(&w, &out, type, 7);
	if (precedence < 9)
		request_u8(&w, F_PRECEDENCE, precedence);
	if (field == F_BODY_BYTES)
		request_u64(&w, F_BODY_BYTES, 1000000);
	else if (field)
		request_field(&w, field, view_of(body, n));
	request_end(&w);
	return out;
}

static bool add_request(uint8_t type, uint8_t precedence, uint8_t field, size_t n)
{
	struct buf r = request_of(type, precedence, field, n);
	struct event ev = {.type = EVENT_REQUEST};
	bool ok;

	ev.u.request.bytes = buf_view(&r);
	ok = inbox_add(b, &ev);
	buf_release(&r);
	return ok;
}

static void submissions_go_by_their_precedence(void **state)
{
	static const struct {
		uint8_t type, precedence, field;
		enum inbox_row row;
	} cases[] = {
		{REQ_SUBMIT, PREC_FLASH, F_BODY, ROW_URGENT},
		{REQ_SUBMIT, PREC_IMMEDIATE, F_BODY, ROW_URGENT},
		{REQ_SUBMIT, PREC_PRIORITY, F_BODY, ROW_SUBMIT},
		{REQ_SUBMIT, PREC_ROUTINE, F_BODY, ROW_SUBMIT},
		{REQ_SUBMIT, 9, F_BODY, ROW_SUBMIT},
		{REQ_SUBMIT, PREC_FLASH, F_BODY_BYTES, ROW_SUBMIT}, /* its chunks must not come before it */
		{REQ_CHUNK, 9, F_BODY, ROW_SUBMIT},
		{REQ_TAKE, 9, 0, ROW_URGENT},
		{REQ_ACK, 9, 0, ROW_URGENT},
		{200, 9, 0, ROW_URGENT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf r = request_of(cases[i].type, cases[i].precedence, cases[i].field, 10);

		assert_int_equal(row_of_request(buf_view(&r)), cases[i].row);
		for (size_t n = 0; n < r.len; n++)
			assert_int_equal(row_of_request(view_of(r.ptr, n)), ROW_URGENT); /* broken: answered at once */
		buf_release(&r);
	}
	assert_true(add_event(EVENT_CLIENT_OPEN));
	assert_true(add_request(REQ_SUBMIT, PREC_ROUTINE, F_BODY, 10));
	assert_true(add_event(EVENT_CLIENT_CLOSED));
	inbox_kick(b);
	assert_true(inbox_take(b, soon(), rows));
	assert_int_equal(rows[ROW_URGENT].ev[0].type, EVENT_CLIENT_OPEN);
	assert_int_equal(rows[ROW_SUBMIT].ev[0].type, EVENT_REQUEST);
	assert_int_equal(rows[ROW_SUBMIT].ev[1].type, EVENT_CLIENT_CLOSED); /* not before what it submitted */
}

static void a_flood_of_submissions_leaves_room_for_flash(void **state)
{
	size_t n = 0, bytes = 0;

	(void)state;
	while (add_request(REQ_SUBMIT, PREC_ROUTINE, F_BODY, 1000))
		n++;
	assert_in_range(n, 8, BOUND / 4 / 1000);
	assert_true(add_request(REQ_SUBMIT, PREC_FLASH, F_BODY, 1000));
	assert_true(add_frame(LANE_URGENT, 1, 1000));
	assert_false(told_of_room());
	inbox_kick(b);
	assert_true(inbox_take(b, soon(), rows));
	assert_int_equal(rows[ROW_SUBMIT].n, n);
	for (size_t i = 0; i < n; i++)
		bytes += rows[ROW_SUBMIT].ev[i].u.request.bytes.len;
	inbox_done(b, ROW_SUBMIT, 1, bytes / n);
	assert_false(told_of_room());
	inbox_done(b, ROW_SUBMIT, n - 1, bytes - bytes / n);
	assert_true(told_of_room());
	inbox_done(b, ROW_URGENT, 0, 0);
	assert_false(told_of_room()); /* once */
}

static void urgent_requests_have_half(void **state)
{
	size_t n = 0;

	(void)state;
	while (add_request(REQ_ACK, 9, F_BY, 1000))
		n++;
	assert_in_range(n, 16, BOUND / 2 / 1000);
	assert_true(add_frame(LANE_URGENT, 2, 1000)); /* peers have more */
}

static void what_is_left_in_a_row_stays_first(void **state)
{
	(void)state;
	assert_true(add_frame(LANE_BULK, 1, 10));
	inbox_kick(b);
	assert_true(inbox_take(b, soon(), rows));
	assert_true(add_frame(LANE_BULK, 2, 10));
	assert_true(add_frame(LANE_URGENT, 3, 10));
	assert_true(inbox_take(b, soon(), rows)); /* without waiting: there is something */
	assert_int_equal(rows[ROW_BULK].n, 1);
	assert_int_equal(rows[ROW_BULK].ev[0].u.frame.peer, 1);
	assert_int_equal(rows[ROW_URGENT].ev[0].u.frame.peer, 3);
	inbox_batch_clear(&rows[ROW_BULK]);
	assert_true(inbox_take(b, soon(), rows));
	assert_int_equal(rows[ROW_BULK].ev[0].u.frame.peer, 2);
}

static void a_stop_comes_after_what_was_added(void **state)
{
	(void)state;
	assert_true(inbox_take(b, soon(), rows)); /* the time came: nothing, and no stop */
	assert_int_equal(rows[ROW_URGENT].n + rows[ROW_BULK].n, 0);
	assert_true(add_frame(LANE_BULK, 1, 10));
	inbox_stop(b);
	assert_true(inbox_take(b, soon(), rows));
	assert_int_equal(rows[ROW_BULK].n, 1);
	inbox_batch_clear(&rows[ROW_BULK]);
	assert_false(inbox_take(b, soon(), rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_keep_their_order, begin, end),
		cmocka_unit_test_setup_teardown(links_go_with_their_lane, begin, end),
		cmocka_unit_test_setup_teardown(a_full_inbox_refuses_frames_only, begin, end),
		cmocka_unit_test_setup_teardown(submissions_go_by_their_precedence, begin, end),
		cmocka_unit_test_setup_teardown(a_flood_of_submissions_leaves_room_for_flash, begin, end),
		cmocka_unit_test_setup_teardown(urgent_requests_have_half, begin, end),
		cmocka_unit_test_setup_teardown(what_is_left_in_a_row_stays_first, begin, end),
		cmocka_unit_test_setup_teardown(a_stop_comes_after_what_was_added, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
