/* Over which bearer an entry came: noted when it does, shown by `trace` for as long as the entry is here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/lib/asks.h"
#include "tests/lib/carry.h"
#include "tests/lib/tables.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-antwerpen"};
enum { LUIK, NAMEN, ANTWERPEN, N };

static struct msgid send(struct world *w, size_t from, enum precedence p, const char *body)
{
	struct msgid id;

	ask_send(w, from, "cic-luik/dispatch", p, body, &id);
	world_run(w, 10 * US_PER_S);
	return id;
}

/* The line of its arrival at a site names that peer and bearer; NULL: no bearer. */
static void came_over(struct world *w, size_t i, const struct msgid *id, const char *event, const char *peer, const char *bearer)
{
	char hop[160], what[60];

	snprintf(what, sizeof what, " site=%s event=%s ", SITES[i], event);
	snprintf(hop, sizeof hop, " peer=%s bearer=%s note=", peer, bearer ? bearer : "");
	if (!table_row_says(w, i, "trace", id, what, hop))
		fail_msg("trace at %s does not say%s with%s", SITES[i], what, hop);
}

static void dials_over(struct world *w, size_t a, size_t b, const char *bearer)
{
	world_link(w, a, b, false);
	w->node[a].over[b] = w->node[b].over[a] = bearer;
	world_run(w, US_PER_S);
	world_link(w, a, b, true);
	world_run(w, 5 * US_PER_S);
}

/* Each entry keeps the bearer of its own moment, in either lane and over a restart, whatever the line lies on now. */
static void of_its_own_moment(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, N, 51);
	world_run(&w, 2 * US_PER_S);
	struct msgid first = send(&w, NAMEN, PREC_FLASH, "over the first"), bulk = send(&w, NAMEN, PREC_ROUTINE, "bulk over the first");

	dials_over(&w, LUIK, NAMEN, "satellite");
	struct msgid second = send(&w, NAMEN, PREC_FLASH, "over the second");

	dials_over(&w, LUIK, NAMEN, "fibre");
	struct msgid third = send(&w, NAMEN, PREC_FLASH, "over the third"), other = send(&w, ANTWERPEN, PREC_FLASH, "from elsewhere");

	for (int again = 0; again < 2; again++) {
		came_over(&w, LUIK, &first, "held", "cic-namen", "test");
		came_over(&w, LUIK, &bulk, "held", "cic-namen", "test");
		came_over(&w, LUIK, &second, "held", "cic-namen", "satellite");
		came_over(&w, LUIK, &third, "held", "cic-namen", "fibre");
		came_over(&w, LUIK, &other, "held", "cic-antwerpen", "test");
		world_crash(&w, LUIK);
		world_start(&w, LUIK);
		world_run(&w, 5 * US_PER_S);
	}
	assert_false(table_says(&w, NAMEN, "trace", &first, "bearer=test")); /* it wrote it */
	world_verify(&w, LUIK);
	world_release(&w);
}

/* A batch whose commit failed leaves no note that the entry, which then comes over another bearer, would be told by. */
static void not_of_a_batch_that_failed(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	for (uint64_t nth = 1; nth < 4; nth++) {
		world_init(&w, SITES, 2, 52);
		world_run(&w, 2 * US_PER_S);
		send(&w, NAMEN, PREC_FLASH, "before");
		dials_over(&w, LUIK, NAMEN, "satellite");
		w.node[LUIK].fail_at = w.node[LUIK].commits + nth;
		w.node[LUIK].fail_with = ERR_FULL;
		ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "after", &id);
		world_run(&w, 100 * US_PER_MS);
		dials_over(&w, LUIK, NAMEN, "satellite");
		world_run(&w, 20 * US_PER_S);
		came_over(&w, LUIK, &id, "held", "cic-namen", "satellite");
		world_verify(&w, LUIK);
		world_release(&w);
	}
}

/* Nobody reaches Luik: Antwerpen has a copy, and says by what it came; later Luik says by what it came from there. */
static void each_hop_of_its_way(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, N, 53);
	world_run(&w, 2 * US_PER_S);
	dials_over(&w, NAMEN, ANTWERPEN, "fibre");
	world_link(&w, LUIK, NAMEN, false);
	world_link(&w, LUIK, ANTWERPEN, false);
	world_run(&w, 5 * US_PER_S);
	struct msgid id = send(&w, NAMEN, PREC_FLASH, "around");

	came_over(&w, ANTWERPEN, &id, "in-transit", "cic-namen", "fibre");
	assert_true(table_row_says(&w, ANTWERPEN, "trace", &id, " event=waits ", "note=a copy for it waits here; no link since then"));
	dials_over(&w, LUIK, ANTWERPEN, "satellite");
	world_run(&w, 20 * US_PER_S);
	came_over(&w, LUIK, &id, "held", "cic-antwerpen", "satellite");
	world_release(&w);
}

static void by_courier(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 2, 54);
	world_run(&w, 2 * US_PER_S);
	struct msgid line = send(&w, NAMEN, PREC_FLASH, "by line");

	world_link(&w, LUIK, NAMEN, false);
	world_run(&w, 5 * US_PER_S);
	struct msgid stick = send(&w, NAMEN, PREC_FLASH, "by stick");

	carry_all(&w, NAMEN, LUIK, NULL);
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 5 * US_PER_S);
	struct msgid again = send(&w, NAMEN, PREC_FLASH, "by line again");

	came_over(&w, LUIK, &line, "held", "cic-namen", "test");
	came_over(&w, LUIK, &stick, "held", "cic-namen", "courier");
	came_over(&w, LUIK, &again, "held", "cic-namen", "test");
	world_release(&w);
}

/* Of what waits for a site that is linked the bearer is said that will carry it; of one that is not, none. */
static void of_what_waits(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 2, 55);
	world_run(&w, 2 * US_PER_S);
	world_link(&w, LUIK, NAMEN, false);
	world_run(&w, 5 * US_PER_S);
	struct msgid id = send(&w, NAMEN, PREC_FLASH, "waits");

	assert_true(table_row_says(&w, NAMEN, "trace", &id, " event=waits ", " peer=cic-luik bearer= note="));
	assert_false(table_row_says(&w, NAMEN, "trace", &id, " event=waits ", "it has ended"));
	/* What has ended goes all the same, but nobody waits for it. */
	assert_int_equal(world_handle(&w, NAMEN, REQ_CANCEL, &id), ERR_OK);
	assert_true(table_row_says(&w, NAMEN, "trace", &id, " event=waits ", "note=it has ended, and only that has yet to get there"));
	w.node[NAMEN].over[LUIK] = "fibre";
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, US_PER_S);
	w.node[LUIK].deaf = true;
	struct msgid next = send(&w, NAMEN, PREC_FLASH, "is being sent");

	assert_true(table_row_says(&w, NAMEN, "trace", &next, " event=waits ", " peer=cic-luik bearer=fibre note="));
	world_release(&w);
}

/* A link that takes only what is urgent is not called no link, and what waits for one that takes all says so. */
static void of_what_only_the_urgent_lane_reaches(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 2, 56);
	w.node[NAMEN].over[LUIK] = "satellite";
	world_run(&w, 2 * US_PER_S);
	world_link(&w, LUIK, NAMEN, false);
	world_run(&w, US_PER_S);
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 5 * US_PER_S);
	world_bulk(&w, NAMEN, LUIK, false);
	world_run(&w, 5 * US_PER_S);
	struct msgid routine = send(&w, NAMEN, PREC_ROUTINE, "waits");

	world_run(&w, 30 * US_PER_S);
	assert_true(table_row_says(&w, NAMEN, "trace", &routine, " event=waits ", "since then satellite takes only what is urgent"));
	w.node[LUIK].deaf = true;
	struct msgid flash = send(&w, NAMEN, PREC_FLASH, "goes");

	assert_true(table_row_says(&w, NAMEN, "trace", &flash, " event=waits ", " peer=cic-luik bearer=satellite note=not acknowledged yet; 1 before it; being sent"));
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_its_own_moment), cmocka_unit_test(not_of_a_batch_that_failed), cmocka_unit_test(each_hop_of_its_way),
		cmocka_unit_test(by_courier),        cmocka_unit_test(of_what_waits),              cmocka_unit_test(of_what_only_the_urgent_lane_reaches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
