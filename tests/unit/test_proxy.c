/* The proxy of live drills between two places: what passes, how late, which way, and how it ends. Skipped, and said so, where the
 * kernel lets us make no network namespaces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sim/netns.h"
#include "sim/proxy.h"

#define A_NUMBER 3
#define B_NUMBER 300 /* 127.1.1.44 */

static struct {
	bool allowed;
	int home, places[2], listener;
	struct link link;
	struct proxy *proxy;
} t;
static const uint16_t numbers[2] = {A_NUMBER, B_NUMBER};

static struct mono now(void)
{
	struct timespec c;

	clock_gettime(CLOCK_MONOTONIC, &c);
	return (struct mono){(int64_t)c.tv_sec * US_PER_S + c.tv_nsec / 1000};
}

static const struct link *link_at(void *arg, size_t i)
{
	(void)arg, (void)i;
	return &t.link;
}

static int bearer_number(void *arg, size_t link, size_t bearer)
{
	(void)arg, (void)link;
	return (int)bearer;
}

static struct sockaddr_in address(uint16_t number)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PROXY_PORT)};
	char text[PROXY_ADDRESS_BYTES];

	proxy_address(0, number, text);
	assert_int_equal(inet_pton(AF_INET, text, &at.sin_addr), 1);
	return at;
}

/* Lets the proxy work for so long, or until the descriptor has something to read. */
static bool work(int64_t us, int fd)
{
	struct mono end = mono_add(now(), us);

	while (mono_before(now(), end)) {
		struct pollfd ready = {fd, POLLIN, 0};

		proxy_work(t.proxy, now());
		if (fd >= 0 && poll(&ready, 1, 0) > 0)
			return true;
		usleep(500);
	}
	return false;
}

static int make(void **state)
{
	struct errmsg m;
	struct link_config c = {.a = 0, .b = 1, .n_bearers = 1, .bearers = {{.name = "fibre", .cost = 10, .delay_us = 20 * US_PER_MS}}};
	struct sockaddr_in at;
	int one = 1;

	(void)state;
	if (!t.allowed)
		return 0;
	link_init(&t.link, &c, 1, 0);
	struct proxy_config p = {.n_sites = 2, .n_links = 1, .home = t.home, .places = t.places, .numbers = numbers, .link = link_at,
				 .bearer_number = bearer_number, .seed = 1};

	if (netns_new(t.home, &t.places[0], &m) || netns_new(t.home, &t.places[1], &m) || proxy_new(&p, &t.proxy, &m))
		return -1;
	t.listener = netns_socket(t.home, t.places[1]);
	at = address(B_NUMBER);
	setsockopt(t.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	return bind(t.listener, (struct sockaddr *)&at, sizeof at) || listen(t.listener, 8);
}

static int unmake(void **state)
{
	(void)state;
	if (!t.allowed)
		return 0;
	proxy_free(t.proxy);
	close(t.listener);
	close(t.places[0]);
	close(t.places[1]);
	return 0;
}

/* A dials B's address; [0] is A's end, [1] B's. */
static void connected(int fd[2])
{
	struct sockaddr_in at = address(B_NUMBER);

	fd[0] = netns_socket(t.home, t.places[0]);
	assert_true(connect(fd[0], (struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS);
	assert_true(work(5 * US_PER_S, t.listener));
	fd[1] = accept4(t.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd[1] >= 0);
}

static bool arrives(int from, int to, const char *text, int64_t within_us)
{
	char got[64] = "";

	assert_int_equal(send(from, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	return work(within_us, to) && recv(to, got, sizeof got - 1, 0) == (ssize_t)strlen(text) && strcmp(got, text) == 0;
}

static void hang_up(int fd[2])
{
	close(fd[0]);
	close(fd[1]);
}

#define NEEDS_NAMESPACES() do { if (!t.allowed) skip(); } while (0)

static void test_passes_and_takes_its_time(void **state)
{
	int fd[2];

	(void)state;
	NEEDS_NAMESPACES();
	connected(fd);
	struct mono from = now();

	assert_true(arrives(fd[0], fd[1], "there", 5 * US_PER_S));
	assert_true(now().us - from.us >= 20 * US_PER_MS);
	assert_true(arrives(fd[1], fd[0], "and back", 5 * US_PER_S));
	assert_true(now().us - from.us >= 40 * US_PER_MS);
	assert_int_equal(proxy_counts(t.proxy)->connections, 1);
	hang_up(fd);
}

static void test_cut_one_way(void **state)
{
	int fd[2];

	(void)state;
	NEEDS_NAMESPACES();
	connected(fd);
	t.link.bearer[0].cut = WAY_AB;
	proxy_link_changed(t.proxy, 0);
	assert_false(arrives(fd[0], fd[1], "there", 300 * US_PER_MS));
	assert_true(arrives(fd[1], fd[0], "back", 5 * US_PER_S)); /* the other way passes */
	t.link.bearer[0].cut = 0;
	proxy_link_changed(t.proxy, 0);
	assert_true(work(5 * US_PER_S, fd[1])); /* nothing is missing */
	hang_up(fd);
}

static void test_cut_both_ways(void **state)
{
	int fd[2];

	(void)state;
	NEEDS_NAMESPACES();
	connected(fd);
	t.link.bearer[0].cut = WAY_BOTH;
	proxy_link_changed(t.proxy, 0);
	assert_false(arrives(fd[0], fd[1], "there", 200 * US_PER_MS));
	assert_false(arrives(fd[1], fd[0], "back", 200 * US_PER_MS));
	/* What is dialled meanwhile is taken and stays silent; it gets through when the line is back. */
	int late = netns_socket(t.home, t.places[0]);
	struct sockaddr_in at = address(B_NUMBER);

	connect(late, (struct sockaddr *)&at, sizeof at);
	assert_false(work(200 * US_PER_MS, t.listener));
	t.link.bearer[0].cut = 0;
	proxy_link_changed(t.proxy, 0);
	assert_true(work(5 * US_PER_S, fd[0]) && work(5 * US_PER_S, fd[1]) && work(5 * US_PER_S, t.listener));
	close(late);
	hang_up(fd);
}

static void test_reset_and_refusal(void **state)
{
	int fd[2];
	char byte;

	(void)state;
	NEEDS_NAMESPACES();
	connected(fd);
	proxy_link_reset(t.proxy, 0);
	assert_true(work(5 * US_PER_S, fd[0]) && work(5 * US_PER_S, fd[1]));
	assert_true(recv(fd[0], &byte, 1, 0) < 0 && errno == ECONNRESET);
	assert_true(recv(fd[1], &byte, 1, 0) < 0 && errno == ECONNRESET);
	hang_up(fd);
	/* Nobody listens: who dials is refused. */
	shutdown(t.listener, SHUT_RDWR);
	fd[0] = netns_socket(t.home, t.places[0]);
	struct sockaddr_in at = address(B_NUMBER);

	connect(fd[0], (struct sockaddr *)&at, sizeof at);
	assert_true(work(5 * US_PER_S, fd[0]));
	assert_true(recv(fd[0], &byte, 1, 0) <= 0 && errno != EAGAIN);
	close(fd[0]);
}

static void test_ends_pass_and_no_power_is_silence(void **state)
{
	int fd[2];
	char got[16];

	(void)state;
	NEEDS_NAMESPACES();
	connected(fd);
	assert_int_equal(send(fd[0], "last words", 10, MSG_NOSIGNAL), 10);
	close(fd[0]);
	assert_true(work(5 * US_PER_S, fd[1]));
	assert_int_equal(recv(fd[1], got, sizeof got, 0), 10);
	assert_true(work(5 * US_PER_S, fd[1]));
	assert_int_equal(recv(fd[1], got, sizeof got, 0), 0);
	close(fd[1]);

	connected(fd);
	proxy_site_dark(t.proxy, 0, true);
	close(fd[0]); /* its process died with the power */
	assert_false(work(300 * US_PER_MS, fd[1]));
	proxy_site_dark(t.proxy, 0, false);
	assert_true(work(5 * US_PER_S, fd[1]));
	assert_true(recv(fd[1], got, sizeof got, 0) <= 0);
	close(fd[1]);
}

static void test_rate(void **state)
{
	static char bulk[16000];
	const struct bearer_change slow = {.delay_us = 0, .jitter_us = 0, .rate_bps = 256000, .queue_bytes = -1, .loss_ppm = 0};
	size_t got = 0;
	int fd[2];

	(void)state;
	NEEDS_NAMESPACES();
	connected(fd);
	link_change(&t.link, 0, &slow);
	struct mono from = now();

	assert_int_equal(send(fd[0], bulk, sizeof bulk, MSG_NOSIGNAL), sizeof bulk);
	while (got < sizeof bulk && work(5 * US_PER_S, fd[1])) {
		ssize_t n = recv(fd[1], bulk, sizeof bulk, 0);

		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_int_equal(got, sizeof bulk);
	assert_true(now().us - from.us >= 480 * US_PER_MS); /* 128 000 bits: half a second */
	hang_up(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_passes_and_takes_its_time, make, unmake), cmocka_unit_test_setup_teardown(test_cut_one_way, make, unmake),
		cmocka_unit_test_setup_teardown(test_cut_both_ways, make, unmake), cmocka_unit_test_setup_teardown(test_reset_and_refusal, make, unmake),
		cmocka_unit_test_setup_teardown(test_ends_pass_and_no_power_is_silence, make, unmake), cmocka_unit_test_setup_teardown(test_rate, make, unmake),
	};
	struct errmsg m;

	t.allowed = netns_begin(&t.home, &m) == ERR_OK;
	if (!t.allowed)
		printf("# %s\n", m.text);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
