/* The kernel's shaper of live drills: each way of each bearer is as fast as it says, and only that way, for whoever dialled. Skipped, and said
 * so, where the kernel lets us make no network namespaces or has no such shaper. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sim/netns.h"
#include "sim/shaper.h"

#define CHUNK 65536
#define HEADERS 66
#define MSS 1448

static const uint16_t numbers[2] = {3, 300};

static struct {
	bool allowed;
	int home, places[2], listener[2][LIMIT_BEARERS];
	struct link link;
	struct link_config config;
	struct proxy *proxy;
	struct shaper *shaper;
} t;

/* What one end sends and the other gets, on one bearer, way 0: from site 0. */
struct flow { int fd[2]; int64_t got, repeated; struct mono first, last; };

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

static struct sockaddr_in address(int bearer, int site)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PROXY_PORT), .sin_addr = proxy_in_addr(bearer, numbers[site])};
}

static void listen_at(int site, int bearer)
{
	struct sockaddr_in at = address(bearer, site);
	int one = 1;

	t.listener[site][bearer] = netns_socket(t.home, t.places[site]);
	setsockopt(t.listener[site][bearer], SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	assert_int_equal(bind(t.listener[site][bearer], (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(t.listener[site][bearer], 8), 0);
}

/* Two sites with a bearer for each rate. */
static void make(const int64_t *rates, size_t n, int64_t queue_bytes)
{
	struct errmsg m;

	t.config = (struct link_config){.a = 0, .b = 1, .n_bearers = n};
	for (size_t i = 0; i < n; i++)
		t.config.bearers[i] = (struct bearer_config){.cost = 10, .delay_us = 20 * US_PER_MS, .rate_bps = rates[i], .queue_bytes = queue_bytes};
	link_init(&t.link, &t.config, 1, 0);
	struct proxy_config p = {.n_sites = 2, .n_links = 1, .home = t.home, .places = t.places, .numbers = numbers, .link = link_at,
				 .bearer_number = bearer_number, .seed = 1, .shaped = true};

	assert_false(netns_new(t.home, &t.places[0], &m) || netns_new(t.home, &t.places[1], &m));
	if (proxy_new(&p, &t.proxy, &m) || shaper_new(&p, &t.shaper, &m))
		fail_msg("%s", m.text);
	for (size_t i = 0; i < n; i++) {
		listen_at(0, (int)i);
		listen_at(1, (int)i);
	}
}

static int unmake(void **state)
{
	(void)state;
	if (!t.allowed)
		return 0;
	proxy_free(t.proxy);
	shaper_free(t.shaper);
	for (size_t i = 0; i < t.config.n_bearers; i++) {
		close(t.listener[0][i]);
		close(t.listener[1][i]);
	}
	close(t.places[0]);
	close(t.places[1]);
	t.proxy = NULL;
	t.shaper = NULL;
	return 0;
}

static void flow_send(struct flow *f)
{
	static const char zeros[CHUNK];

	while (f->fd[0] >= 0 && send(f->fd[0], zeros, sizeof zeros, MSG_NOSIGNAL) > 0)
		continue;
}

static void flow_take(struct flow *f)
{
	static char into[CHUNK];

	for (ssize_t n; f->fd[1] >= 0 && (n = recv(f->fd[1], into, sizeof into, 0)) > 0;) {
		f->last = now();
		if (f->first.us == MONO_NEVER.us)
			f->first = f->last; /* what comes first begins the clock */
		else
			f->got += n;
	}
}

/* What TCP sent twice until now: where a packet takes longer than its first time-out it does so for nothing, and the line carries it. */
static int64_t repeated(const struct flow *f)
{
	struct tcp_info x = {0};
	socklen_t size = sizeof x;

	getsockopt(f->fd[0], IPPROTO_TCP, TCP_INFO, &x, &size);
	return (int64_t)x.tcpi_total_retrans * MSS;
}

/* Lets all of them send as much as they can for so long. */
static void run(struct flow *flows, size_t n, int64_t us)
{
	struct mono end = mono_add(now(), us);

	for (size_t i = 0; i < n; i++)
		flows[i].got = 0, flows[i].first = MONO_NEVER, flows[i].repeated = repeated(&flows[i]);
	while (mono_before(now(), end)) {
		struct pollfd ready[2 * LIMIT_BEARERS * 2 + 1] = {{proxy_fd(t.proxy), POLLIN, 0}};
		struct mono next = mono_min(proxy_next(t.proxy), end);
		int64_t wait = (next.us - now().us) / US_PER_MS;

		for (size_t i = 0; i < n; i++) {
			ready[1 + 2 * i] = (struct pollfd){flows[i].fd[0], POLLOUT, 0};
			ready[2 + 2 * i] = (struct pollfd){flows[i].fd[1], POLLIN, 0};
		}
		poll(ready, 2 * n + 1, wait > 0 ? (int)wait : 0);
		for (size_t i = 0; i < n; i++) {
			flow_send(&flows[i]);
			flow_take(&flows[i]);
		}
		proxy_work(t.proxy, now());
	}
	for (size_t i = 0; i < n; i++)
		flows[i].repeated = repeated(&flows[i]) - flows[i].repeated;
}

/* The dialler dials the other over the bearer; who sends is fd[0]. */
static struct flow connected(int bearer, int dialler, int sender)
{
	struct sockaddr_in at = address(bearer, !dialler);
	struct flow f = {.fd = {-1, -1}};
	int dialled = netns_socket(t.home, t.places[dialler]), accepted = -1;
	struct mono end = mono_add(now(), 20 * US_PER_S);

	assert_true(connect(dialled, (struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS);
	while (accepted < 0 && mono_before(now(), end)) {
		struct pollfd ready[2] = {{proxy_fd(t.proxy), POLLIN, 0}, {t.listener[!dialler][bearer], POLLIN, 0}};

		poll(ready, 2, 10);
		proxy_work(t.proxy, now());
		accepted = accept4(t.listener[!dialler][bearer], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	}
	assert_true(accepted >= 0);
	f.fd[0] = sender == dialler ? dialled : accepted;
	f.fd[1] = sender == dialler ? accepted : dialled;
	return f;
}

static void hang_up(struct flow *flows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		close(flows[i].fd[0]);
		close(flows[i].fd[1]);
	}
}

/* As a class counts it, packets full. */
static double bps(const struct flow *f)
{
	int64_t us = f->last.us - f->first.us;

	return us <= 0 ? 0 : (double)(f->got + f->repeated) * 8 * (MSS + HEADERS) / MSS * 1e6 / (double)us;
}

static bool is_rate(double x, int64_t rate)
{
	return x >= 0.9 * (double)rate && x <= 1.1 * (double)rate;
}

/* A machine that others use too may stand still for a while, and TCP needs time after a change: the rate must show in one of these. */
#define TRIES 12

/* Of what several carry together. */
static void assert_rate(struct flow *flows, size_t n, int64_t us, int64_t rate, const char *what)
{
	double x = 0;

	for (int i = 0; i < TRIES && !is_rate(x, rate); i++) {
		run(flows, n, us);
		struct flow all = flows[0];

		for (size_t k = 1; k < n; k++) {
			all.got += flows[k].got;
			all.repeated += flows[k].repeated;
		}
		x = bps(&all);
	}
	printf("# %s: %lld bit/s, measured %.0f with headers\n", what, (long long)rate, x);
	if (!is_rate(x, rate))
		fail_msg("%s: %.0f bit/s in place of %lld", what, x, (long long)rate);
}

static void assert_between(struct flow *f, int64_t us, double low, double high, const char *what)
{
	double x = 0;

	for (int i = 0; i < TRIES && !(x > low && x < high); i++) {
		run(f, 1, us);
		x = bps(f);
	}
	printf("# %s: measured %.0f with headers\n", what, x);
	assert_true(x > low && x < high);
}

#define NEEDS_SHAPER() do { if (!t.allowed) skip(); } while (0)

/* Each bearer has its own rate, whoever dialled and whoever sends. The slow ones need some packets, and so some seconds. Each has one flow: of
 * two that meet, each holds up the other's acknowledgements by a queue, and TCP then sends some bytes twice. */
static void test_rates(void **state)
{
	static const int64_t rates[] = {9600, 64000, 512000, 5000000, 9600, 64000, 512000, 5000000};
	double measured[8] = {0};
	struct flow flows[8];

	(void)state;
	NEEDS_SHAPER();
	make(rates, 8, 0);
	for (int i = 0; i < 8; i++)
		flows[i] = connected(i, i & 1, i / 4);
	run(flows, 8, 4 * US_PER_S); /* what lies in buffers is at its place */
	for (int i = 0, left = 8; i < TRIES && left > 0; i++) {
		run(flows, 8, 7 * US_PER_S);
		for (int k = left = 0; k < 8; k++) {
			measured[k] = is_rate(measured[k], rates[k]) ? measured[k] : bps(&flows[k]);
			left += !is_rate(measured[k], rates[k]);
		}
	}
	for (int i = 0; i < 8; i++) {
		printf("# %s: %lld bit/s, measured %.0f with headers\n", i < 4 ? "there" : "back", (long long)rates[i], measured[i]);
		assert_true(is_rate(measured[i], rates[i]));
	}
	hang_up(flows, 8);
}

/* The rate, or less where this machine does not carry twice as much without one: others work on it too. */
static void fast(int64_t rate)
{
	int64_t rates[2] = {rate, 0};
	double x = 0, least = 1e12, most = 0;

	make(rates, 2, 0);
	struct flow flows[2] = {connected(0, 0, 0), connected(1, 0, 0)};

	for (int i = 0; i < TRIES && !is_rate(x, rate) && !(most > 0 && most < 2 * (double)rate && least <= 1.1 * (double)rate); i++) {
		run(&flows[1], 1, 250 * US_PER_MS);
		most = bps(&flows[1]);
		run(&flows[0], 1, 100 * US_PER_MS);
		run(&flows[0], 1, 750 * US_PER_MS);
		x = bps(&flows[0]);
		least = x < least ? x : least;
	}
	printf("# %lld bit/s, measured %.0f with headers; without a rate %.0f\n", (long long)rate, x, most);
	assert_true(x > 0 && least <= 1.1 * (double)rate);
	assert_true(is_rate(x, rate) || most < 2 * (double)rate);
	hang_up(flows, 2);
}

static void test_hundred_megabit(void **state)
{
	(void)state;
	NEEDS_SHAPER();
	fast(100000000);
}

static void test_gigabit(void **state)
{
	(void)state;
	NEEDS_SHAPER();
	fast(1000000000);
}

/* Two connections of one bearer share it, whoever dialled them. */
static void test_sharing(void **state)
{
	static const int64_t rate = 1000000;
	struct flow flows[2];

	(void)state;
	NEEDS_SHAPER();
	make(&rate, 1, 0);
	flows[0] = connected(0, 0, 0);
	flows[1] = connected(0, 1, 0);
	run(flows, 2, 500 * US_PER_MS);
	assert_rate(flows, 2, 2 * US_PER_S, rate, "together");
	assert_true(flows[0].got > 0 && flows[1].got > 0);
	hang_up(flows, 2);
}

static void change(int64_t rate)
{
	struct bearer_change c = {-1, -1, rate, -1, -1};
	struct errmsg m;

	link_change(&t.link, 0, &c);
	if (shaper_link(t.shaper, 0, &m))
		fail_msg("%s", m.text);
	proxy_link_changed(t.proxy, 0);
}

/* A rate that begins, changes and ends while a connection is in use. */
static void test_change(void **state)
{
	static const int64_t none = 0;

	(void)state;
	NEEDS_SHAPER();
	make(&none, 1, 0);
	struct flow f = connected(0, 0, 0);

	assert_between(&f, 200 * US_PER_MS, 20e6, 1e12, "without a rate");
	change(2000000);
	assert_rate(&f, 1, 2 * US_PER_S, 2000000, "made slow");
	change(8000000);
	run(&f, 1, 300 * US_PER_MS);
	assert_rate(&f, 1, US_PER_S, 8000000, "made faster");
	change(0);
	assert_between(&f, 500 * US_PER_MS, 20e6, 1e12, "without a rate again");
	hang_up(&f, 1);
}

/* A queue of a few packets drops, and TCP goes on; what is cut is not read on and on. */
static void test_queue_and_cut(void **state)
{
	static const int64_t rate = 1000000;

	(void)state;
	NEEDS_SHAPER();
	make(&rate, 1, 3000);
	struct flow f = connected(0, 0, 0);

	run(&f, 1, 500 * US_PER_MS);
	assert_between(&f, 2 * US_PER_S, 0.4 * (double)rate, 1.1 * (double)rate, "a queue of two packets");
	t.link.bearer[0].cut = WAY_AB;
	proxy_link_changed(t.proxy, 0);
	uint64_t before = proxy_counts(t.proxy)->bytes;

	run(&f, 1, 500 * US_PER_MS);
	assert_int_equal(f.got, 0);
	assert_int_equal(proxy_counts(t.proxy)->bytes, before);
	t.link.bearer[0].cut = 0;
	proxy_link_changed(t.proxy, 0);
	for (int i = 0; i < TRIES && f.got == 0; i++)
		run(&f, 1, 2 * US_PER_S);
	assert_true(f.got > 0);
	hang_up(&f, 1);
}

/* Where it cannot be had one line says so. */
static void test_refused(void **state)
{
	struct errmsg m;

	(void)state;
	assert_int_equal(shaper_probe(-1, &m), ERR_UNSUPPORTED);
	assert_non_null(strstr(m.text, "--shaper proxy"));
	assert_null(strchr(m.text, '\n'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_rates, unmake), cmocka_unit_test_teardown(test_hundred_megabit, unmake), cmocka_unit_test_teardown(test_gigabit, unmake),
		cmocka_unit_test_teardown(test_sharing, unmake), cmocka_unit_test_teardown(test_change, unmake), cmocka_unit_test_teardown(test_queue_and_cut, unmake),
		cmocka_unit_test(test_refused),
	};
	struct errmsg m;

	t.allowed = netns_begin(&t.home, &m) == ERR_OK && shaper_probe(t.home, &m) == ERR_OK;
	if (!t.allowed)
		printf("# %s\n", m.text);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
