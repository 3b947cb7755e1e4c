/* The oracle notices what goes wrong between journals: order, FLASH that is late, frontiers, and what never comes together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/oracle.h"
#include "tests/lib/history.h"

/* ---- order ------------------------------------------------------------------------------------------------------------------------------- */

static void entries_out_of_order(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_send(h, PREC_ROUTINE);
	history_entry(h, B, 2, KIND_MESSAGE);
	assert_only(h, PROMISE_ORDER, 1);
}

static void entry_stored_twice(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_entry(h, B, 1, KIND_MESSAGE);
	history_entry(h, B, 1, KIND_MESSAGE);
	assert_only(h, PROMISE_ORDER, 1);
}

static void handed_out_of_order(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_arrive(h);
	history_take(h, 2);
	assert_good(h);
	history_take(h, 1);
	assert_only(h, PROMISE_ORDER, 1);
}

static void bulk_before_flash(void **state)
{
	struct history *h = *state;
	struct stream_name routine = h->stream;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	uint64_t a = h->number[A], b = h->number[B];

	h->stream.precedence = PREC_FLASH;
	h->stream.incarnation.born_us++;
	h->number[A] = h->number[B] = 0;
	/* Message 2 is the first of the FLASH stream. */
	uint32_t s = history_submit(h, PREC_FLASH);
	struct header header = {.kind = KIND_MESSAGE, .precedence = PREC_FLASH, .id = history_id(2)};
	struct hash chain = history_hash(1);
	struct seen_entry e = {.site = h->site[A], .stream = &h->stream, .number = 1, .chain = &chain, .header = &header, .whole = true, .from = h->site[A]};

	oracle_entry(h->o, &e);
	history_accept(h, s);
	e.site = h->site[B];
	oracle_entry(h->o, &e);
	history_pass(h, US_PER_S);
	assert_int_equal(oracle_oldest_flash(h->o, h->site[B]), US_PER_S); /* since it was accepted */
	h->stream = routine;
	h->number[A] = a;
	h->number[B] = b;
	history_take(h, 1);
	assert_only(h, PROMISE_ORDER, 1);
}

/* ---- flash -------------------------------------------------------------------------------------------------------------------------------- */

static void flash_case(struct history *h)
{
	h->stream.precedence = PREC_FLASH;
	oracle_link(h->o, h->site[A], h->site[B], true, 5000, 64000, 0);
	history_send(h, PREC_FLASH);
}

static void flash_in_time(void **state)
{
	struct history *h = *state;
	struct verdict v;

	flash_case(h);
	history_pass(h, 10 * US_PER_S);
	oracle_tick(h->o);
	history_arrive(h);
	history_pass(h, 3600 * US_PER_S);
	oracle_tick(h->o);
	assert_good(h);
	oracle_verdict(h->o, &v);
	assert_int_equal(v.flash_count, 1);
	assert_int_equal(v.flash_p99_us, 11 * US_PER_S);
}

static void flash_late(void **state)
{
	struct history *h = *state;

	flash_case(h);
	history_pass(h, 120 * US_PER_S);
	oracle_tick(h->o);
	assert_only(h, PROMISE_FLASH, 1);
	oracle_tick(h->o);
	assert_only(h, PROMISE_FLASH, 1); /* told once */
}

static void flash_late_at_arrival(void **state)
{
	struct history *h = *state;

	flash_case(h);
	history_pass(h, 120 * US_PER_S);
	history_arrive(h);
	assert_only(h, PROMISE_FLASH, 1);
}

/* On a line that loses frames one may come later, and no later than that. */
static void flash_on_a_bad_line(void **state)
{
	struct history *h = *state;

	flash_case(h);
	oracle_link(h->o, h->site[A], h->site[B], true, 5000, 64000, 90 * US_PER_S);
	history_pass(h, 90 * US_PER_S);
	oracle_tick(h->o);
	assert_good(h);
	history_pass(h, 60 * US_PER_S);
	oracle_tick(h->o);
	assert_only(h, PROMISE_FLASH, 1);
}

static void flash_excused(void **state)
{
	struct history *h = *state;

	flash_case(h);
	oracle_link(h->o, h->site[A], h->site[B], false, 0, 0, 0);
	history_pass(h, 3600 * US_PER_S);
	oracle_tick(h->o);
	oracle_link(h->o, h->site[A], h->site[B], true, 5000, 64000, 0); /* the time counts from here */
	history_pass(h, 10 * US_PER_S);
	oracle_tick(h->o);
	oracle_site_troubled(h->o, h->site[B], true); /* its disk is slow */
	history_pass(h, 3600 * US_PER_S);
	oracle_tick(h->o);
	oracle_site_troubled(h->o, h->site[B], false);
	history_pass(h, 10 * US_PER_S);
	oracle_tick(h->o);
	assert_good(h);
	history_pass(h, 120 * US_PER_S);
	oracle_tick(h->o);
	assert_only(h, PROMISE_FLASH, 1);
}

/* ---- frontier --------------------------------------------------------------------------------------------------------------------------------- */

static void frontier(struct history *h, int site, uint64_t number)
{
	struct hash chain = history_hash(number + 1000);

	oracle_frontier(h->o, h->site[site], &h->stream, number, &chain);
}

static void frontier_beyond_the_journal(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	frontier(h, B, 1);
	assert_good(h);
	frontier(h, B, 2);
	assert_only(h, PROMISE_FRONTIER, 1);
}

static void frontier_goes_back(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_arrive(h);
	frontier(h, B, 2);
	assert_good(h);
	frontier(h, B, 1);
	assert_only(h, PROMISE_FRONTIER, 1);
}

static void frontier_goes_back_with_the_journal(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_arrive(h);
	frontier(h, B, 2);
	oracle_journal_replaced(h->o, h->site[B], true);
	h->number[B] = 0;
	history_arrive(h);
	frontier(h, B, 1);
	assert_good(h);
}

static void frontier_of_another_chain(void **state)
{
	struct history *h = *state;
	struct hash chain = history_hash(1);

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	oracle_frontier(h->o, h->site[B], &h->stream, 1, &chain);
	assert_only(h, PROMISE_FRONTIER, 1);
}

/* Somebody holds what its originator never had on its disk: it was sent before the commit. */
static void spoke_before_the_commit(void **state)
{
	struct history *h = *state;

	history_entry(h, B, 1, KIND_MESSAGE);
	assert_only(h, PROMISE_FRONTIER, 1);
}

/* ---- convergence ------------------------------------------------------------------------------------------------------------------------------------ */

/* An entry may be there before its body, which comes in slices over a narrow line: until then nothing has come together. */
static void convergence_waits_for_bodies(void **state)
{
	struct history *h = *state;
	struct header header = {.kind = KIND_MESSAGE, .precedence = PREC_ROUTINE, .id = history_id(1)};
	struct hash chain = history_hash(1);
	struct seen_entry e = {.site = h->site[A], .stream = &h->stream, .number = 1, .chain = &chain, .header = &header, .from = h->site[A], .whole = true, .body_len = 6000};
	char why[200];

	for (size_t i = 0; i < h->roster->n_sites; i++)
		if (h->roster->sites[i].number != h->site[A] && h->roster->sites[i].number != h->site[B])
			oracle_site_down(h->o, h->roster->sites[i].number);
	oracle_entry(h->o, &e);
	oracle_repaired(h->o);
	e.site = h->site[B];
	e.whole = false;
	oracle_entry(h->o, &e);
	assert_false(oracle_converged(h->o, why, sizeof why));
	assert_non_null(strstr(why, "body"));
	oracle_whole(h->o, h->site[B], &h->stream, 1);
	assert_true(oracle_converged(h->o, NULL, 0));
}

static void convergence_in_time(void **state)
{
	struct history *h = *state;
	char why[200];

	history_send(h, PREC_ROUTINE);
	for (size_t i = 0; i < h->roster->n_sites; i++)
		if (h->roster->sites[i].number != h->site[A] && h->roster->sites[i].number != h->site[B])
			oracle_site_down(h->o, h->roster->sites[i].number);
	oracle_repaired(h->o);
	assert_false(oracle_converged(h->o, why, sizeof why));
	assert_non_null(strstr(why, "cic-luik"));
	history_pass(h, 100 * US_PER_S);
	history_arrive(h);
	assert_true(oracle_converged(h->o, NULL, 0));
	history_standing(h, 1, true, 0);
	oracle_finish(h->o, 60 * US_PER_S);
	assert_only(h, PROMISE_CONVERGE, 1);
}

static void receipt_never_came(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	convergence_in_time(state);
	uint64_t before = history_broken(h, PROMISE_CONVERGE);

	history_take(h, 1);
	history_done(h, 1, EVENT_READ);
	history_standing(h, 1, false, EVENT_READ);
	oracle_receipt(h->o, h->site[A], h->site[B], &id, 0);
	assert_int_equal(history_broken(h, PROMISE_CONVERGE), before + 1);
}

static void cancelled_and_still_queued(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	convergence_in_time(state);
	history_ended(h, 1, EVENT_CANCELLED);
	oracle_done(h->o, h->site[A], &id, EVENT_CANCELLED);
	history_standing(h, 1, false, EVENT_CANCELLED);
	assert_int_equal(history_broken(h, PROMISE_ANSWER), 0);
	history_standing(h, 1, true, 0);
	assert_int_equal(history_broken(h, PROMISE_ANSWER), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, history_begin, history_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(entries_out_of_order), T(entry_stored_twice), T(handed_out_of_order), T(bulk_before_flash), T(flash_in_time),
		T(flash_late), T(flash_late_at_arrival), T(flash_on_a_bad_line), T(flash_excused), T(frontier_beyond_the_journal), T(frontier_goes_back),
		T(frontier_goes_back_with_the_journal), T(frontier_of_another_chain), T(spoke_before_the_commit),
		T(convergence_waits_for_bodies), T(convergence_in_time), T(receipt_never_came), T(cancelled_and_still_queued),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
