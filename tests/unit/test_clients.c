/* The local socket: who may connect, what is passed on, and what a client that misbehaves costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/daemon/log.c"
#include "node/daemon/poller.c"
#include "node/daemon/inbox.c"
#include "node/daemon/clients.c"

#include <fcntl.h>

static char folder[] = "/tmp/estafette-clients-XXXXXX";
static struct config config;
static struct poller poller;
static struct inbox *inbox;
static struct clients *all;
static struct inbox_batch rows[ROW_COUNT];
static int desk[8];
static size_t n_desks;

static int open_all(void **state)
{
	struct errmsg m = {0};

	(void)state;
	memset(&config, 0, sizeof config);
	config.max_clients = 4;
	assert_true((size_t)snprintf(config.socket, sizeof config.socket, "%s/s", folder) < CONFIG_SOCKET_PATH_BYTES);
	if (poller_open(&poller) || inbox_new(4 << 20, -1, &inbox) || clients_open(&config, &poller, inbox, &all, &m))
		fail_msg("%s", m.text);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	clients_close(all);
	while (n_desks)
		close(desk[--n_desks]);
	poller_close(&poller);
	for (int i = 0; i < ROW_COUNT; i++)
		inbox_batch_release(&rows[i]);
	inbox_free(inbox);
	assert_int_equal(access(config.socket, F_OK), -1);
	return 0;
}

static int dial(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(a.sun_path, config.socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return desk[n_desks++] = fd;
}

static void turn(void)
{
	for (int i = 0; i < 20; i++) {
		poller_wait(&poller, 0);
		clients_settle(all);
	}
}

/* What came in since the last call. */
static void take(void)
{
	turn();
	for (int i = 0; i < ROW_COUNT; i++)
		inbox_batch_clear(&rows[i]);
	inbox_kick(inbox);
	assert_true(inbox_take(inbox, 0, rows));
}

static struct buf request(uint8_t type, uint32_t tag, size_t body)
{
	struct buf out = BUF_EMPTY;
	struct request_writer w;

	request_begin(&w, &out, type, tag);
	if (body) {
		uint8_t *p = calloc(1, body);

		request_field(&w, F_BODY, view_of(p, body));
		free(p);
	}
	request_end(&w);
	return out;
}

static void put(int fd, struct view v)
{
	assert_int_equal(write(fd, v.ptr, v.len), v.len);
}

static uint64_t opened(int *fd)
{
	*fd = dial();
	take();
	assert_int_equal(rows[ROW_URGENT].n, 1);
	assert_int_equal(rows[ROW_URGENT].ev[0].type, EVENT_CLIENT_OPEN);
	return rows[ROW_URGENT].ev[0].u.client.client;
}

/* The one reply on fd is an error of this code, and then the connection ends. */
static void expect_error(int fd, const char *code)
{
	struct request_item item;
	uint8_t bytes[4096];
	struct request r;
	ssize_t n;

	turn();
	n = read(fd, bytes, sizeof bytes);
	assert_true(n > 0);
	assert_int_equal(request_decode(view_of(bytes, (size_t)n), &r), ERR_OK);
	assert_int_equal(r.type, REPLY_ERROR);
	assert_int_equal(request_next(&r.fields, &item), ERR_OK);
	assert_int_equal(item.field, F_CODE);
	assert_true(view_equal(item.value, view_str(code)));
	errno = 0;
	assert_true(read(fd, bytes, sizeof bytes) <= 0 && errno != EAGAIN);
}

static void requests_are_cut_and_passed_on(void **state)
{
	struct buf one = request(REQ_ACK, 1, 0), two = request(REQ_SHOW, 2, 0);
	uint64_t id;
	int fd;

	(void)state;
	id = opened(&fd);
	assert_string_equal(rows[ROW_URGENT].ev[0].u.client.rights.name, "operator");
	assert_true(rows[ROW_URGENT].ev[0].u.client.rights.may_operate);
	for (size_t i = 0; i < one.len; i++) { /* a byte at a time */
		take();
		assert_int_equal(rows[ROW_URGENT].n, 0);
		put(fd, view_of(one.ptr + i, 1));
	}
	take();
	assert_int_equal(rows[ROW_URGENT].n, 1);
	assert_int_equal(rows[ROW_URGENT].ev[0].u.request.client, id);
	assert_true(view_equal(rows[ROW_URGENT].ev[0].u.request.bytes, buf_view(&one)));
	buf_add(&one, buf_view(&two)); /* two at once */
	put(fd, buf_view(&one));
	take();
	assert_int_equal(rows[ROW_URGENT].n, 2);
	assert_true(view_equal(rows[ROW_URGENT].ev[1].u.request.bytes, buf_view(&two)));
	close(fd);
	n_desks = 0;
	take();
	assert_int_equal(rows[ROW_SUBMIT].n, 1);
	assert_int_equal(rows[ROW_SUBMIT].ev[0].type, EVENT_CLIENT_CLOSED);
	assert_int_equal(rows[ROW_SUBMIT].ev[0].u.client.client, id);
	buf_release(&one);
	buf_release(&two);
}

static void garbage_is_answered_and_closed(void **state)
{
	static const uint8_t over[4] = {0xff, 0xff, 0xff, 0xff}, under[4] = {0, 0, 0, 1};
	int fd;

	(void)state;
	opened(&fd);
	put(fd, view_of(over, 4));
	expect_error(fd, "too_large");
	take();
	assert_int_equal(rows[ROW_SUBMIT].n, 1); /* its end is told */
	opened(&fd);
	put(fd, view_of(under, 4));
	expect_error(fd, "bad_format");
}

static void who_is_not_listed_may_not(void **state)
{
	int fd;

	(void)state;
	config.clients_given = true;
	fd = dial();
	expect_error(fd, "not_permitted");
	take();
	assert_int_equal(rows[ROW_URGENT].n + rows[ROW_SUBMIT].n, 0); /* the core never hears of it */
	config.n_clients = 1;
	config.clients[0] = (struct config_client){.by_group = true, .id = getegid(), .name = "desks", .may_take = true, .precedence = PREC_FLASH,
	                                           .flash_per_hour = 3};
	opened(&fd);
	assert_string_equal(rows[ROW_URGENT].ev[0].u.client.rights.name, "desks");
	assert_true(rows[ROW_URGENT].ev[0].u.client.rights.may_take);
	assert_false(rows[ROW_URGENT].ev[0].u.client.rights.may_send);
	assert_int_equal(rows[ROW_URGENT].ev[0].u.client.rights.flash_per_hour, 3);
	config.n_clients = 2; /* the user goes before the group, wherever it stands */
	config.clients[1] = (struct config_client){.id = geteuid(), .name = "me", .may_send = true};
	opened(&fd);
	assert_string_equal(rows[ROW_URGENT].ev[0].u.client.rights.name, "me");
}

static void groups_of_the_process_count(void **state)
{
	static const gid_t groups[] = {7, 4711, 9};
	struct ucred who = {.uid = 1000, .gid = 1000};
	struct client_rights rights;

	(void)state;
	config.clients_given = true;
	config.n_clients = 1;
	config.clients[0] = (struct config_client){.by_group = true, .id = 4711, .name = "duty", .may_operate = true};
	assert_true(find_rights(&config, &who, groups, 3, &rights));
	assert_string_equal(rights.name, "duty");
	assert_false(find_rights(&config, &who, groups, 1, &rights));
	who.gid = 4711;
	assert_true(find_rights(&config, &who, NULL, 0, &rights));
	config.clients_given = false;
	assert_false(find_rights(&config, &who, groups, 3, &rights)); /* the daemon's own user only */
}

static void there_is_a_most_of_clients(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		dial();
	take();
	assert_int_equal(rows[ROW_URGENT].n, 4);
	expect_error(dial(), "busy");
	close(desk[0]);
	desk[0] = -1;
	turn();
	dial();
	take();
	assert_int_equal(rows[ROW_URGENT].n, 1);
}

static void replies_go_out_and_then_the_end(void **state)
{
	uint8_t bytes[64];
	uint64_t id;
	int fd;

	(void)state;
	id = opened(&fd);
	clients_reply(all, id, view_str("one "));
	clients_reply(all, id, view_str("two"));
	clients_reply(all, id + 1, view_str("nobody"));
	assert_false(clients_idle(all));
	clients_end(all, id);
	turn();
	assert_true(clients_idle(all));
	assert_int_equal(read(fd, bytes, sizeof bytes), 7);
	assert_memory_equal(bytes, "one two", 7);
	assert_int_equal(read(fd, bytes, sizeof bytes), 0);
}

/* 8 MiB of replies that nobody reads: no more requests of that client; 64 MiB: it is closed. */
static void who_does_not_read_is_not_read(void **state)
{
	static uint8_t big[1024 * 1024];
	struct buf one = request(REQ_SHOW, 1, 0);
	uint64_t id;
	int fd, other;

	(void)state;
	id = opened(&fd);
	opened(&other);
	for (int i = 0; i < 10; i++)
		clients_reply(all, id, view_of(big, sizeof big));
	turn();
	put(fd, buf_view(&one));
	put(other, buf_view(&one));
	take();
	assert_int_equal(rows[ROW_URGENT].n, 1); /* of the other */
	assert_int_not_equal(rows[ROW_URGENT].ev[0].u.request.client, id);
	for (size_t got = 0; got < 10 * sizeof big;) {
		ssize_t n = read(fd, big, sizeof big);

		if (n > 0)
			got += (size_t)n;
		else
			turn();
	}
	take();
	assert_int_equal(rows[ROW_URGENT].n, 1);
	assert_int_equal(rows[ROW_URGENT].ev[0].u.request.client, id);
	for (int i = 0; i < 66; i++)
		clients_reply(all, id, view_of(big, sizeof big));
	take();
	assert_int_equal(rows[ROW_SUBMIT].n, 1);
	assert_int_equal(rows[ROW_SUBMIT].ev[0].type, EVENT_CLIENT_CLOSED);
	buf_release(&one);
}

/* A flood finds the inbox full: nothing of it is lost, and it goes on when there is room. */
static void a_flood_waits_and_is_whole(void **state)
{
	struct buf one = request(REQ_SUBMIT, 1, 60000);
	size_t sent = 0, got = 0, at = 0;
	int fd;

	(void)state;
	opened(&fd);
	for (int rounds = 0; got < 100; rounds++) {
		assert_true(rounds < 2000);
		while (sent < 100) {
			ssize_t n = write(fd, one.ptr + at, one.len - at);

			if (n < 0)
				break;
			at += (size_t)n;
			sent += at == one.len;
			at = at == one.len ? 0 : at;
		}
		turn();
		if (rounds % 3)
			continue;
		take();
		for (size_t i = 0; i < rows[ROW_SUBMIT].n; i++, got++)
			assert_true(view_equal(rows[ROW_SUBMIT].ev[i].u.request.bytes, buf_view(&one)));
		inbox_done(inbox, ROW_SUBMIT, rows[ROW_SUBMIT].n, rows[ROW_SUBMIT].n * one.len);
		clients_resume(all);
	}
	assert_int_equal(got, 100);
	buf_release(&one);
}

static void after_the_stop_nothing_is_taken(void **state)
{
	struct buf one = request(REQ_SHOW, 1, 0);
	uint8_t bytes[64];
	uint64_t id;
	int fd;

	(void)state;
	id = opened(&fd);
	clients_stop(all);
	put(fd, buf_view(&one));
	take();
	assert_int_equal(rows[ROW_URGENT].n, 0);
	clients_reply(all, id, view_str("last")); /* but what is said still goes out */
	turn();
	assert_int_equal(read(fd, bytes, sizeof bytes), 4);
	buf_release(&one);
}

static void what_lies_at_the_path(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct clients *second = NULL;
	struct errmsg m;
	int fd;

	(void)state;
	memset(&config, 0, sizeof config);
	snprintf(config.socket, sizeof config.socket, "%s/s", folder);
	assert_int_equal(poller_open(&poller), ERR_OK);
	fd = open(config.socket, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(clients_open(&config, &poller, NULL, &second, &m), ERR_EXISTS); /* a file is not ours to remove */
	close(fd);
	unlink(config.socket);
	strcpy(a.sun_path, config.socket);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	close(fd); /* its file stays, as after a crash */
	assert_int_equal(clients_open(&config, &poller, NULL, &second, &m), ERR_OK);
	struct stat st;
	assert_int_equal(stat(config.socket, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	clients_close(second);
	poller_close(&poller);
}

static int begin(void **state)
{
	(void)state;
	log_set_level(0);
	return mkdtemp(folder) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	return rmdir(folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_cut_and_passed_on), TEST(garbage_is_answered_and_closed),  TEST(who_is_not_listed_may_not),
		TEST(groups_of_the_process_count),    TEST(there_is_a_most_of_clients),      TEST(replies_go_out_and_then_the_end),
		TEST(who_does_not_read_is_not_read),  TEST(a_flood_waits_and_is_whole),      TEST(after_the_stop_nothing_is_taken),
		cmocka_unit_test(what_lies_at_the_path),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
