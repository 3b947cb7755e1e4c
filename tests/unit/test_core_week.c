/* A week of steady traffic over journals in LMDB, in virtual time: what retention frees is used again, and the files do not grow.
 *
 * Three sites send each other messages all day long, of many sizes, to one and to groups; desks read them. Bodies stay for a quarter of a
 * day, headers for half of one, so that everything turns over fourteen times. The file of each journal is as large after the last day
 * as after the second, within a few percent. WEEK_DAYS and WEEK_MESSAGES (a day) make it longer (make sweep: 7 days of 2000). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <unistd.h>

#include "node/core/core_int.h"
#include "storage/verify.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant"};
enum { N = 3 };
#define DAY US_PER_DAY
#define LARGEST 30000

static const struct retention KEEP = {{DAY / 4, DAY / 4}, {DAY / 2, DAY / 2}, 30 * DAY};

static int64_t setting(const char *name, int64_t otherwise)
{
	const char *text = getenv(name);

	return text ? atoll(text) : otherwise;
}

static void open_folder(struct world *w, size_t i, const char *home)
{
	struct store_birth b = *store_birth(w->node[i].store);
	struct store_options o = {.quota_bytes = 256 * 1024 * 1024};
	struct errmsg m = {0};
	char dir[300];

	snprintf(dir, sizeof dir, "%s/%zu", home, i);
	world_crash(w, i);
	store_close(w->node[i].store);
	assert_int_equal(store_create(dir, &b, &o, &m), ERR_OK);
	assert_int_equal(store_open(dir, &o, &w->node[i].store, &m), ERR_OK);
	w->node[i].keep = KEEP;
}

/* Mostly short notes, now and then something with a body apart. */
static size_t size_drawn(struct world *w)
{
	uint64_t x = world_random(w, 100);

	return x < 70 ? 200 + world_random(w, 1500) : x < 95 ? 1500 + world_random(w, 6000) : world_random(w, LARGEST);
}

static void one_message(struct world *w, uint64_t n)
{
	static uint8_t body[LARGEST];
	static const char *const to[] = {"cic-luik/dispatch", "cic-namen/dispatch", "cic-vlaams-brabant/dispatch"};
	size_t from = world_random(w, N), at = (from + 1 + world_random(w, N - 1)) % N, len = size_drawn(w);
	struct taken t = {.body = BUF_EMPTY};
	struct send_options o = {0};
	struct msgid id;
	char key[24];

	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t)world_random(w, 256);
	snprintf(key, sizeof key, "k%llu", (unsigned long long)n);
	o.key = n % 4 ? NULL : key;
	const char *whom = n % 9 ? to[at] : "all-cic/dispatch";

	assert_int_equal(world_send(w, from, whom, (enum precedence)world_random(w, PREC_COUNT), view_of(body, len), &o, &id, NULL), ERR_OK);
	world_run(w, 100000);
	for (size_t i = 0; i < N; i++)
		while (i != from && (n % 9 == 0 || i == at) && world_take_one(w, i, "dispatch", 100000, &t)) {
			assert_int_equal(world_handle(w, i, REQ_ACK, &t.id), ERR_OK);
			if (msgid_equal(&t.id, &id))
				break;
		}
	buf_release(&t.body);
}

static void the_files_do_not_grow_under_steady_load(void **state)
{
	int64_t days = setting("WEEK_DAYS", 5), a_day = setting("WEEK_MESSAGES", 300), second[N] = {0}, grown = 0;
	const char *top = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char home[200], remove[300];
	struct store_space s;
	struct world w;
	uint64_t n = 0;

	(void)state;
	snprintf(home, sizeof home, "%s/estafette-week-XXXXXX", top);
	assert_non_null(mkdtemp(home));
	world_init(&w, SITES, N, 401);
	for (size_t i = 0; i < N; i++)
		open_folder(&w, i, home);
	for (size_t i = 0; i < N; i++) {
		world_start(&w, i);
		w.node[i].core->config.probe_us = 600 * US_PER_S;
	}
	world_run(&w, 3 * US_PER_S);
	for (int64_t day = 1; day <= days; day++) {
		struct mono begin = w.now;

		for (int64_t k = 0; k < a_day; k++) {
			struct mono next = mono_add(begin, DAY / a_day * (k + 1));

			one_message(&w, ++n);
			if (mono_before(w.now, next))
				world_run(&w, next.us - w.now.us);
		}
		for (size_t i = 0; i < N; i++) {
			store_space(w.node[i].store, &s);
			print_message("# day %lld: %-20s file %6.2f MiB, %6.2f MiB used, %llu bodies and %llu entries gone\n", (long long)day, SITES[i], (double)s.file_bytes / 1048576,
				      (double)s.used_bytes / 1048576, (unsigned long long)w.node[i].core->retain.bodies, (unsigned long long)w.node[i].core->retain.entries);
			if (day == 2)
				second[i] = s.file_bytes;
			if (day == days)
				grown = s.file_bytes * 100 / second[i] > grown ? s.file_bytes * 100 / second[i] : grown;
			assert_true(day < 2 || w.node[i].core->retain.entries > 0);
		}
	}
	print_message("# after day %lld the files are at most %lld %% of what they were after day 2\n", (long long)days, (long long)grown);
	assert_true(grown <= 110);
	for (size_t i = 0; i < N; i++)
		world_verify(&w, i);
	world_release(&w);
	snprintf(remove, sizeof remove, "rm -rf '%s'", home);
	assert_int_equal(system(remove), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_files_do_not_grow_under_steady_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
