/* What a node notes of its links: when they went up and down, bounded, with a commit that is due anyway, and over its restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/core/linklog.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen"};
enum { LUIK, NAMEN };
#define MOST 4000
#define MINUTE (60 * US_PER_S)

/* All rows at Luik, in the order of their numbers; how many. */
static size_t rows(struct world *w, struct link_row *out)
{
	struct txn *t;
	size_t n = 0;

	assert_int_equal(txn_begin(w->node[LUIK].store, false, &t), ERR_OK);
	for (uint64_t next = 1; n < MOST && store_link_from(t, next, &out[n]) == ERR_OK; n++)
		next = out[n].number + 1;
	txn_abort(t);
	return n;
}

static void assert_row(const struct world *w, const struct link_row *r, size_t peer, enum link_is is, struct wall at, int64_t off_us)
{
	assert_int_equal(r->peer, peer == LUIK ? 0 : w->number[peer]);
	assert_string_equal(r->bearer, peer == LUIK ? "" : "test");
	assert_int_equal(r->is, is);
	assert_in_range(r->at.us, at.us - off_us, at.us + off_us);
	assert_int_equal(r->more, 0);
	assert_int_equal(r->now_is, is);
}

static void begin(struct world *w, uint64_t seed)
{
	world_init(w, SITES, 2, seed);
	world_run(w, 5 * MINUTE);
}

static void send(struct world *w, enum err want)
{
	assert_int_equal(world_send(w, LUIK, "cic-namen/dispatch", PREC_FLASH, view_str("x"), NULL, NULL, NULL), want);
}

static void up_and_down_are_noted(void **state)
{
	struct world w;
	struct link_row r[MOST];
	struct wall began, heard, back;

	(void)state;
	world_init(&w, SITES, 2, 1);
	began = world_wall(&w, LUIK);
	world_run(&w, 5 * MINUTE);
	send(&w, ERR_OK);
	world_run(&w, 2 * US_PER_S);
	heard = world_wall(&w, LUIK);
	w.loss_percent = 100; /* nobody notices for a while */
	world_run(&w, 4 * US_PER_S);
	world_link(&w, LUIK, NAMEN, false);
	w.loss_percent = 0;
	world_run(&w, 10 * MINUTE);
	back = world_wall(&w, LUIK);
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 2 * MINUTE);
	assert_int_equal(rows(&w, r), 4);
	assert_row(&w, &r[0], LUIK, LINK_IS_UP, began, US_PER_S);
	assert_row(&w, &r[1], NAMEN, LINK_IS_UP, began, US_PER_S);
	assert_true(r[1].rtt_us > 0);
	assert_row(&w, &r[2], NAMEN, LINK_IS_DOWN, heard, 3 * US_PER_S); /* when it was last heard of, and not when that was seen */
	assert_true(r[2].at.us <= heard.us && r[2].noted.us >= heard.us + 3 * US_PER_S);
	assert_row(&w, &r[3], NAMEN, LINK_IS_UP, back, US_PER_S);
	world_verify(&w, LUIK);
	world_release(&w);
}

/* Several bearers: the one that is left is down when it does not answer; a dearer one that does not either went down with it, and is not
 * known to be down any more when the better one is back. */
static void each_bearer_by_itself(void **state)
{
	static const struct { uint8_t index; enum dial_why why; } news[] = {{0, WHY_SILENT}, {1, WHY_NO_ANSWER}, {0, WHY_NO_ANSWER}, {0, WHY_UP}};
	struct world w;
	struct link_row r[MOST];
	struct wall heard;

	(void)state;
	begin(&w, 2);
	world_bearers(&w, LUIK, NAMEN, 2);
	world_run(&w, MINUTE);
	heard = world_wall(&w, LUIK);
	world_link(&w, LUIK, NAMEN, false);
	world_run(&w, US_PER_S);
	for (size_t i = 0; i < sizeof news / sizeof *news; i++) {
		world_bearer_is(&w, LUIK, NAMEN, news[i].index, 2, news[i].why);
		world_run(&w, 4 * US_PER_S);
	}
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 2 * MINUTE);
	assert_int_equal(rows(&w, r), 6);
	assert_row(&w, &r[2], NAMEN, LINK_IS_DOWN, heard, 31 * US_PER_S);
	assert_string_equal(r[3].bearer, "test-1");
	assert_int_equal(r[3].is, LINK_IS_DOWN);
	assert_int_equal(r[3].at.us, r[2].at.us);
	for (size_t i = 4; i < 6; i++)
		assert_int_equal(r[i].is, strcmp(r[i].bearer, "test") == 0 ? LINK_IS_UP : LINK_IS_UNKNOWN);
	assert_string_not_equal(r[4].bearer, r[5].bearer);
	world_release(&w);
}

/* A line that flaps for three days: twelve rows an hour, and the last of them says how often more, and how it ended. */
static void flaps_are_counted(void **state)
{
	struct world w;
	struct link_row *r = calloc(MOST, sizeof *r);
	uint64_t changes = 0;
	size_t n;

	(void)state;
	assert_non_null(r);
	begin(&w, 3);
	for (int i = 0; i < 4000; i++, changes++) {
		world_link(&w, LUIK, NAMEN, i % 2);
		world_run(&w, 30 * US_PER_S);
	}
	world_run(&w, 2 * MINUTE);
	n = rows(&w, r);
	assert_true(n <= 2 + 34 * LINKLOG_ROWS_HOUR && n > 30 * LINKLOG_ROWS_HOUR);
	for (size_t i = 2; i < n; i++) {
		assert_true(r[i].last.us >= r[i].at.us && r[i].at.us >= r[i - 1].at.us);
		assert_int_equal(r[i].now_is == r[i].is, r[i].more % 2 == 0);
		assert_int_not_equal(r[i].is, i > 2 ? r[i - 1].now_is : LINK_IS_UNKNOWN);
		changes -= 1 + r[i].more;
	}
	assert_int_equal(changes, 0); /* none was forgotten */
	assert_int_equal(r[n - 1].now_is, LINK_IS_UP);
	world_verify(&w, LUIK);
	world_release(&w);
	free(r);
}

/* How often something was stored of links. */
static uint64_t noted(struct world *w, struct link_row *r)
{
	uint64_t sum = 0;

	for (size_t n = rows(w, r); n-- > 0;)
		sum += 1 + r[n].more;
	return sum;
}

/* What changed of a link that nothing else is to be said of is stored once a minute, and together with what is stored anyway. */
static void once_a_minute(void **state)
{
	struct world w;
	struct link_row *r = calloc(MOST, sizeof *r);
	uint64_t before, now;
	int stored = 0;

	(void)state;
	assert_non_null(r);
	begin(&w, 4);
	world_bearers(&w, LUIK, NAMEN, 3);
	world_link(&w, LUIK, NAMEN, false);
	world_run(&w, 10 * MINUTE);
	before = noted(&w, r);
	for (int i = 0; i < 50; i++) {
		world_bearer_is(&w, LUIK, NAMEN, 1, 3, WHY_LOST);
		world_run(&w, US_PER_S);
		world_bearers(&w, LUIK, NAMEN, i % 2 ? 3 : 1); /* a roster that has it, and one that has it not */
		world_run(&w, 3 * US_PER_S);
		now = noted(&w, r);
		stored += now != before;
		before = now;
	}
	assert_in_range(stored, 2, 4); /* in 200 s */
	assert_true(before > 20);
	world_bearer_is(&w, LUIK, NAMEN, 0, 3, WHY_NO_ANSWER);
	world_run(&w, 2 * MINUTE);
	before = noted(&w, r);
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 500 * US_PER_MS);
	assert_int_equal(noted(&w, r), before);
	send(&w, ERR_OK);
	assert_true(noted(&w, r) > before); /* with the message */
	world_release(&w);
	free(r);
}

/* While the node is not there its links are down: from its stop, or from the last sign of life, to its next start. */
static void over_a_crash(void **state)
{
	struct world w;
	struct link_row r[MOST];
	struct wall sent, back;
	size_t n;

	(void)state;
	begin(&w, 5);
	send(&w, ERR_OK);
	sent = world_wall(&w, LUIK);
	world_run(&w, 3 * MINUTE);
	n = rows(&w, r);
	world_crash(&w, LUIK);
	world_run(&w, 20 * MINUTE);
	back = world_wall(&w, LUIK);
	world_start(&w, LUIK);
	world_run(&w, 2 * MINUTE);
	assert_int_equal(rows(&w, r), n + 3);
	assert_row(&w, &r[n], LUIK, LINK_IS_DOWN, sent, MINUTE);
	assert_true(r[n].at.us >= sent.us - 2 * US_PER_S);
	assert_row(&w, &r[n + 1], LUIK, LINK_IS_UP, back, 2 * US_PER_S);
	assert_row(&w, &r[n + 2], NAMEN, LINK_IS_UP, back, 2 * US_PER_S);
	n += 3;
	world_stop(&w, LUIK);
	sent = world_wall(&w, LUIK);
	world_run(&w, 20 * MINUTE);
	assert_int_equal(rows(&w, r), n + 1);
	assert_row(&w, &r[n], LUIK, LINK_IS_DOWN, sent, US_PER_S);
	back = world_wall(&w, LUIK);
	world_start(&w, LUIK);
	world_run(&w, 2 * MINUTE);
	assert_int_equal(rows(&w, r), n + 3);
	assert_row(&w, &r[n + 1], LUIK, LINK_IS_UP, back, 2 * US_PER_S);
	world_release(&w);
}

/* A full disk: nothing can be noted, nothing is forgotten, and nothing else has to wait for it. */
static void with_a_full_disk(void **state)
{
	struct world w;
	struct link_row r[MOST];
	struct wall down;
	size_t n;

	(void)state;
	begin(&w, 6);
	n = rows(&w, r);
	w.node[LUIK].full = true;
	world_run(&w, 10 * US_PER_S);
	down = world_wall(&w, LUIK);
	world_link(&w, LUIK, NAMEN, false);
	world_run(&w, 10 * MINUTE);
	assert_int_equal(rows(&w, r), n);
	w.node[LUIK].full = false;
	world_run(&w, 10 * US_PER_S);
	send(&w, ERR_OK);
	world_run(&w, 3 * MINUTE);
	assert_int_equal(rows(&w, r), n + 1);
	assert_row(&w, &r[n], NAMEN, LINK_IS_DOWN, down, 40 * US_PER_S);
	world_release(&w);
}

static void old_ones_go(void **state)
{
	struct world w;
	struct link_row r[MOST];

	(void)state;
	begin(&w, 7);
	world_crash(&w, LUIK);
	w.node[LUIK].keep = (struct retention){.body_us = {US_PER_DAY, US_PER_DAY}, .header_us = {2 * US_PER_DAY, US_PER_DAY}, .unread_us = US_PER_DAY};
	world_start(&w, LUIK);
	world_run(&w, US_PER_DAY);
	world_link(&w, LUIK, NAMEN, false);
	world_run(&w, US_PER_DAY / 2);
	assert_int_equal(rows(&w, r), 6);
	world_run(&w, US_PER_DAY);
	assert_int_equal(rows(&w, r), 1);
	assert_int_equal(r[0].number, 6);
	assert_int_equal(r[0].is, LINK_IS_DOWN);
	world_run(&w, 2 * US_PER_DAY);
	assert_int_equal(rows(&w, r), 1); /* the last one stays: numbers rise */
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(up_and_down_are_noted), cmocka_unit_test(each_bearer_by_itself), cmocka_unit_test(flaps_are_counted),
		cmocka_unit_test(once_a_minute),     cmocka_unit_test(over_a_crash),          cmocka_unit_test(with_a_full_disk),
		cmocka_unit_test(old_ones_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
