/* The oracle notices each kind of broken promise: it is told histories by hand, a good one and its broken twins. Here what becomes of
 * messages; what passes between journals is in test_oracle_journal.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/oracle.h"
#include "tests/lib/history.h"

/* ---- a good history, in which nothing is broken --------------------------------------------------------------------------- */

static void good_history(void **state)
{
	struct history *h = *state;
	struct verdict v;
	struct msgid id = history_id(1);

	history_send(h, PREC_ROUTINE);
	history_send(h, PREC_ROUTINE);
	assert_int_equal(oracle_state_of(h->o, &id), STATE_ACCEPTED);
	history_entry(h, C, 1, KIND_MESSAGE);
	assert_int_equal(oracle_state_of(h->o, &id), STATE_HELD_BY_STANDBY);
	history_arrive(h);
	history_arrive(h);
	assert_int_equal(oracle_depth(h->o, h->site[B]), 2);
	history_take(h, 1);
	oracle_state(h->o, h->site[A], &id, STATE_READ);
	history_done(h, 1, EVENT_READ);
	assert_int_equal(oracle_depth(h->o, h->site[B]), 1);
	history_take(h, 2);
	history_done(h, 2, EVENT_RETURNED);
	history_take(h, 2); /* given back: handed out again without a mark */
	history_entry(h, C, 2, KIND_MESSAGE);
	for (int i = 0; i < 3; i++) {
		const struct site *s = roster_site(h->roster, h->site[B]);

		for (size_t k = 0; k < s->n_standbys; k++) /* those of B that are not A, B or C are down */
			if (s->standbys[k] != h->site[A] && s->standbys[k] != h->site[C])
				oracle_site_down(h->o, s->standbys[k]);
	}
	oracle_repaired(h->o);
	history_pass(h, 5 * US_PER_S);
	assert_true(oracle_converged(h->o, NULL, 0));
	history_standing(h, 1, false, EVENT_READ);
	history_standing(h, 2, true, 0);
	oracle_site_final(h->o, h->site[B]);
	oracle_receipt(h->o, h->site[A], h->site[B], &id, EVENT_READ);
	oracle_finish(h->o, 60 * US_PER_S);
	assert_good(h);
	oracle_verdict(h->o, &v);
	assert_int_equal(v.accepted, 2);
	assert_int_equal(v.handed_out, 2);
	assert_int_equal(v.read, 1);
	assert_int_equal(v.waiting, 1);
	assert_int_equal(v.converged_us, 5 * US_PER_S);
}

/* ---- lost ------------------------------------------------------------------------------------------------------------------- */

static void journal_holds_less_after_a_restart(void **state)
{
	struct history *h = *state;
	struct hash chain = history_hash(1001), at_two = history_hash(1002);

	history_send(h, PREC_ROUTINE);
	history_send(h, PREC_ROUTINE);
	oracle_stream_at_start(h->o, h->site[A], &h->stream, 2, &at_two);
	assert_good(h);
	oracle_stream_at_start(h->o, h->site[A], &h->stream, 1, &chain);
	assert_only(h, PROMISE_LOST, 1);
}

static void journal_differs_after_a_restart(void **state)
{
	struct history *h = *state;
	struct hash other = history_hash(999);

	history_send(h, PREC_ROUTINE);
	oracle_stream_at_start(h->o, h->site[A], &h->stream, 1, &other);
	assert_only(h, PROMISE_ALTERED, 1);
}

static void message_in_no_queue(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_standing(h, 1, false, 0);
	assert_only(h, PROMISE_LOST, 1);
}

static void message_unknown_to_its_site(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_entry(h, C, 1, KIND_MESSAGE);
	for (size_t i = 0; i < h->roster->n_sites; i++)
		if (h->roster->sites[i].number != h->site[A] && h->roster->sites[i].number != h->site[B])
			oracle_site_down(h->o, h->roster->sites[i].number);
	oracle_repaired(h->o);
	oracle_site_final(h->o, h->site[B]);
	oracle_finish(h->o, US_PER_S);
	assert_only(h, PROMISE_LOST, 1);
}

/* Accepted, then its only journal is destroyed: no promise covers that. One more journal, and it must come through. */
static void destroyed_is_not_lost(void **state)
{
	struct history *h = *state;
	struct verdict v;

	history_send(h, PREC_ROUTINE);
	oracle_journal_replaced(h->o, h->site[A], false);
	oracle_repaired(h->o);
	oracle_finish(h->o, US_PER_S);
	assert_good(h);
	oracle_verdict(h->o, &v);
	assert_int_equal(v.excused, 1);
}

static void never_reaches_its_addressee(void **state)
{
	struct history *h = *state;
	struct verdict v;

	history_send(h, PREC_ROUTINE);
	history_entry(h, C, 1, KIND_MESSAGE);
	oracle_journal_replaced(h->o, h->site[A], false);
	oracle_repaired(h->o);
	history_pass(h, 100 * US_PER_S);
	oracle_finish(h->o, 60 * US_PER_S);
	assert_int_equal(history_broken(h, PROMISE_LOST), 1);
	assert_int_equal(history_broken(h, PROMISE_CONVERGE), 1);
	oracle_verdict(h->o, &v);
	assert_int_equal(v.excused, 0);
	assert_int_equal(v.lost, 1);
}

/* ---- altered, misdelivered ------------------------------------------------------------------------------------------------------ */

static void body_altered(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	struct handing g = history_handing(h, 1);

	g.body = history_hash(77);
	oracle_handed_out(h->o, &g);
	assert_only(h, PROMISE_ALTERED, 1);
}

static void words_altered(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	struct handing g = history_handing(h, 1);

	g.words++;
	oracle_handed_out(h->o, &g);
	assert_only(h, PROMISE_ALTERED, 1);
}

static void parts_altered(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);
	struct hash right = history_hash(1), wrong = history_hash(2);

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	oracle_read_body(h->o, h->site[B], &id, &right);
	assert_good(h);
	oracle_read_body(h->o, h->site[B], &id, &wrong);
	assert_only(h, PROMISE_ALTERED, 1);
}

static void journals_differ(void **state)
{
	struct history *h = *state;
	struct header header = {.kind = KIND_MESSAGE, .precedence = PREC_ROUTINE, .id = history_id(1)};
	struct hash other = history_hash(4);
	struct seen_entry e = {.site = h->site[B], .stream = &h->stream, .number = 1, .chain = &other, .header = &header, .whole = true};

	history_send(h, PREC_ROUTINE);
	oracle_entry(h->o, &e);
	assert_only(h, PROMISE_ALTERED, 1);
}

static void wrong_queue(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	struct handing g = history_handing(h, 1);

	g.queue = "messages";
	oracle_handed_out(h->o, &g);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

static void wrong_site(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_entry(h, C, 1, KIND_MESSAGE);
	struct handing g = history_handing(h, 1);

	g.site = h->site[C];
	oracle_handed_out(h->o, &g);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

static void nobody_sent_it(void **state)
{
	struct history *h = *state;

	history_entry(h, A, 1, KIND_MESSAGE);
	history_arrive(h);
	history_take(h, 1);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

static void wrong_originator(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	struct handing g = history_handing(h, 1);

	g.from = h->site[C];
	oracle_handed_out(h->o, &g);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

/* The node died between the commit and the answer: the message is there, and is the one that was submitted. */
static void unanswered_but_kept(void **state)
{
	struct history *h = *state;
	struct verdict v;

	history_submit(h, PREC_ROUTINE);
	history_entry(h, A, 1, KIND_MESSAGE);
	history_arrive(h);
	history_take(h, 1);
	assert_good(h);
	oracle_verdict(h->o, &v);
	assert_int_equal(v.rares[RARE_UNANSWERED_KEPT], 1);
	assert_int_equal(v.accepted, 0);
}

/* ---- twice --------------------------------------------------------------------------------------------------------------------------- */

static void again_after_the_acknowledgement(void **state)
{
	struct history *h = *state;
	struct verdict v;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_take(h, 1);
	history_done(h, 1, EVENT_READ);
	history_take(h, 1);
	assert_only(h, PROMISE_TWICE, 1);
	oracle_verdict(h->o, &v);
	assert_int_equal(v.twice_silent, 1);
}

static void again_without_a_mark(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_take(h, 1);
	struct handing g = history_handing(h, 1);

	g.perhaps_seen = true;
	oracle_handed_out(h->o, &g);
	assert_good(h);
	history_take(h, 1);
	assert_only(h, PROMISE_TWICE, 1);
}

/* B reads message 1 and its journal is lost; the report of it was copied to C, or not. */
static void read_and_lose(struct history *h, bool copied)
{
	struct stream_name own = {.originator = h->site[B], .incarnation = {1000, {2}}, .addressee = h->site[B], .precedence = PREC_ROUTINE};
	struct hash chain = history_hash(5);
	struct header header = {.kind = KIND_REPORT, .precedence = PREC_ROUTINE, .id = history_id(900)};
	struct seen_entry report = {.site = h->site[B], .stream = &own, .number = 1, .chain = &chain, .header = &header, .whole = true};

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_take(h, 1);
	oracle_entry(h->o, &report);
	history_done(h, 1, EVENT_READ);
	report.site = h->site[C];
	if (copied)
		oracle_entry(h->o, &report);
	oracle_journal_replaced(h->o, h->site[B], false);
	h->number[B] = 0;
	history_arrive(h);
	history_take(h, 1);
}

/* Nobody is left who knows of the acknowledgement. */
static void acknowledgement_lost_with_the_journal(void **state)
{
	read_and_lose(*state, false);
	assert_good(*state);
}

static void acknowledgement_known_to_a_standby(void **state)
{
	read_and_lose(*state, true);
	assert_only(*state, PROMISE_TWICE, 1);
}

static void one_submission_two_messages(void **state)
{
	struct history *h = *state;
	struct msgid other = history_id(2);

	history_submit(h, PREC_ROUTINE);
	h->last.key = 99;
	uint32_t s = oracle_submitted(h->o, &h->last);

	history_entry(h, A, 1, KIND_MESSAGE);
	history_accept(h, s);
	assert_int_equal(oracle_submitted(h->o, &h->last), s); /* the same key: another try */
	history_entry(h, A, 2, KIND_MESSAGE);
	oracle_accepted(h->o, s, &other, false);
	assert_only(h, PROMISE_TWICE, 1);
}

static void read_and_still_queued(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_take(h, 1);
	history_done(h, 1, EVENT_READ);
	history_standing(h, 1, true, 0);
	assert_only(h, PROMISE_TWICE, 1);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------------------------- */

static void accepted_before_the_commit(void **state)
{
	struct history *h = *state;

	history_accept(h, history_submit(h, PREC_ROUTINE));
	assert_only(h, PROMISE_ANSWER, 1);
}

static void states_that_are_not_so(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	history_send(h, PREC_ROUTINE);
	oracle_state(h->o, h->site[A], &id, STATE_ACCEPTED);
	assert_good(h);
	oracle_state(h->o, h->site[A], &id, STATE_HELD_BY_STANDBY);
	assert_only(h, PROMISE_ANSWER, 1);
	history_entry(h, C, 1, KIND_MESSAGE);
	oracle_state(h->o, h->site[A], &id, STATE_HELD_BY_STANDBY);
	assert_only(h, PROMISE_ANSWER, 1);
	oracle_state(h->o, h->site[A], &id, STATE_HELD);
	assert_only(h, PROMISE_ANSWER, 2);
	history_arrive(h);
	oracle_state(h->o, h->site[A], &id, STATE_HELD);
	oracle_state(h->o, h->site[A], &id, STATE_DELIVERED);
	assert_only(h, PROMISE_ANSWER, 2);
	oracle_state(h->o, h->site[A], &id, STATE_READ);
	assert_only(h, PROMISE_ANSWER, 3);
}

static void read_and_never_handed_out(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_standing(h, 1, false, EVENT_READ);
	assert_only(h, PROMISE_ANSWER, 1);
}

static void refused_is_not_read(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_take(h, 1);
	history_done(h, 1, EVENT_REFUSED);
	history_standing(h, 1, false, EVENT_REFUSED);
	assert_good(h);
	history_standing(h, 1, false, EVENT_READ);
	assert_only(h, PROMISE_ANSWER, 1);
}

static void expired_without_an_expiry(void **state)
{
	struct history *h = *state;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_standing(h, 1, false, EVENT_EXPIRED);
	assert_only(h, PROMISE_ANSWER, 1);
}

static void expired_before_its_time(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	oracle_expiry(h->o, h->site[B], &id, false, 0);
	assert_good(h);
	oracle_expiry(h->o, h->site[B], &id, false, -US_PER_S);
	assert_only(h, PROMISE_ANSWER, 1);
}

static void waits_after_its_time(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	oracle_expiry(h->o, h->site[B], &id, true, 7200 * US_PER_S); /* it is up since a moment */
	history_pass(h, 3600 * US_PER_S);
	oracle_site_troubled(h->o, h->site[B], true);
	oracle_expiry(h->o, h->site[B], &id, true, 7200 * US_PER_S); /* its clock is off */
	oracle_site_troubled(h->o, h->site[B], false);
	oracle_expiry(h->o, h->site[B], &id, true, 7200 * US_PER_S);
	history_pass(h, 3600 * US_PER_S);
	oracle_expiry(h->o, h->site[B], &id, true, 60 * US_PER_S);
	assert_good(h);
	oracle_expiry(h->o, h->site[B], &id, true, 7200 * US_PER_S);
	assert_only(h, PROMISE_CONVERGE, 1);
}

static void false_receipt(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	oracle_receipt(h->o, h->site[A], h->site[B], &id, EVENT_READ);
	assert_only(h, PROMISE_ANSWER, 1);
}

static void refused_but_stored(void **state)
{
	struct history *h = *state;

	oracle_turned_down(h->o, history_submit(h, PREC_ROUTINE));
	history_entry(h, A, 1, KIND_MESSAGE);
	history_arrive(h);
	history_take(h, 1);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

static void refused_then_tried_again(void **state)
{
	struct history *h = *state;

	history_submit(h, PREC_ROUTINE);
	h->last.key = 5;
	oracle_turned_down(h->o, oracle_submitted(h->o, &h->last));
	oracle_submitted(h->o, &h->last);
	history_entry(h, A, 1, KIND_MESSAGE);
	history_arrive(h);
	history_take(h, 1);
	assert_good(h);
}

/* ---- ends -------------------------------------------------------------------------------------------------------------- */

/* The node died between the commit and the answer: it is read all the same, and must not be handed out again. */
static void read_and_nobody_told(void **state)
{
	struct history *h = *state;
	struct tally_of of = {.precedence = -1, .percentile = 100};
	struct tally t;

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_take(h, 1);
	oracle_tally(h->o, &of, &t);
	assert_int_equal(t.waiting, 1);
	history_ended(h, 1, EVENT_READ);
	oracle_tally(h->o, &of, &t);
	assert_int_equal(t.waiting, 0);
	assert_int_equal(t.read, 1);
	assert_int_equal(oracle_depth(h->o, h->site[B]), 0);
	assert_good(h);
	history_take(h, 1);
	assert_only(h, PROMISE_TWICE, 1);
}

static void told_before_the_commit(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_take(h, 1);
	oracle_done(h->o, h->site[B], &id, EVENT_READ);
	assert_only(h, PROMISE_ANSWER, 1);
	oracle_done(h->o, h->site[B], &id, EVENT_REFUSED);
	assert_only(h, PROMISE_ANSWER, 2);
}

static void cancelled_before_the_commit(void **state)
{
	struct history *h = *state;
	struct verdict v;
	struct msgid id = history_id(1);

	history_send(h, PREC_ROUTINE);
	history_ended(h, 1, EVENT_CANCELLED);
	oracle_done(h->o, h->site[A], &id, EVENT_CANCELLED);
	assert_good(h);
	assert_int_equal(oracle_state_of(h->o, &id), STATE_CANCELLED);
	oracle_verdict(h->o, &v);
	assert_int_equal(v.cancelled, 1);
	history_send(h, PREC_ROUTINE);
	id = history_id(2);
	oracle_done(h->o, h->site[A], &id, EVENT_CANCELLED);
	assert_only(h, PROMISE_ANSWER, 1);
}

/* What is set aside as damaged waits in no queue; handed out after all, it does. */
static void set_aside_is_not_waiting(void **state)
{
	struct history *h = *state;
	struct tally_of of = {.precedence = -1, .percentile = 100};
	struct tally t;
	struct msgid id = history_id(1);

	history_send(h, PREC_ROUTINE);
	history_arrive(h);
	oracle_site_damaged(h->o, h->site[B]);
	oracle_set_aside(h->o, h->site[B], &id);
	oracle_tally(h->o, &of, &t);
	assert_int_equal(t.waiting, 0);
	assert_int_equal(t.delivered, 1);
	history_take(h, 1);
	oracle_tally(h->o, &of, &t);
	assert_int_equal(t.waiting, 1);
	assert_good(h);
}

/* ---- the rest ------------------------------------------------------------------------------------------------------------------------------------------- */

static void expectations_count(void **state)
{
	struct history *h = *state;
	size_t n;

	oracle_expect(h->o, true, false, "the first");
	oracle_expect(h->o, false, true, "the second");
	assert_good(h);
	oracle_expect(h->o, false, false, "the third");
	assert_true(oracle_failed(h->o));
	assert_string_equal(oracle_expectations(h->o, &n)[2].text, "the third");
	assert_int_equal(n, 3);
}

static void tallies(void **state)
{
	struct history *h = *state;
	bool from[65536] = {false};
	struct tally_of of = {.precedence = -1, .percentile = 100};
	struct tally t;

	for (int i = 0; i < 3; i++)
		history_send(h, PREC_ROUTINE);
	history_arrive(h);
	history_arrive(h);
	history_take(h, 1);
	history_done(h, 1, EVENT_READ);
	oracle_tally(h->o, &of, &t);
	assert_int_equal(t.accepted, 3);
	assert_int_equal(t.delivered, 2);
	assert_int_equal(t.read, 1);
	assert_int_equal(t.waiting, 1);
	assert_int_equal(t.delay_us, 3 * US_PER_S);
	of.from = from;
	oracle_tally(h->o, &of, &t);
	assert_int_equal(t.accepted, 0);
	from[h->site[A]] = true;
	of.precedence = PREC_FLASH;
	oracle_tally(h->o, &of, &t);
	assert_int_equal(t.accepted, 0);
	of.precedence = PREC_ROUTINE;
	oracle_tally(h->o, &of, &t);
	assert_int_equal(t.accepted, 3);
}

static void every_name_is_there(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PROMISES; i++)
		assert_true(promise_name(i)[0] != '?' && strlen(promise_text(i)) > 10);
	for (unsigned i = 0; i < FAULT_KINDS; i++)
		assert_true(fault_kind_name(i)[0] != '?');
	for (unsigned i = 0; i < RARES; i++)
		assert_true(rare_name(i)[0] != '?');
	assert_true(oracle_words(view_str("ab"), view_str("c"), view_str(""), view_str("")) != oracle_words(view_str("a"), view_str("bc"), view_str(""), view_str("")));
}

static void times_of_the_story(void **state)
{
	char text[40];

	(void)state;
	story_time(3723 * US_PER_S, text, sizeof text);
	assert_string_equal(text, "01:02:03");
	story_time(2 * US_PER_DAY + 250 * US_PER_MS, text, sizeof text);
	assert_string_equal(text, "2d 00:00:00.250");
}

#define T(f) cmocka_unit_test_setup_teardown(f, history_begin, history_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(good_history), T(journal_holds_less_after_a_restart), T(journal_differs_after_a_restart), T(message_in_no_queue),
		T(message_unknown_to_its_site), T(destroyed_is_not_lost), T(never_reaches_its_addressee), T(body_altered),
		T(words_altered), T(parts_altered), T(journals_differ), T(wrong_queue), T(wrong_site), T(nobody_sent_it),
		T(wrong_originator), T(unanswered_but_kept), T(again_after_the_acknowledgement), T(again_without_a_mark),
		T(acknowledgement_lost_with_the_journal), T(acknowledgement_known_to_a_standby), T(one_submission_two_messages),
		T(read_and_still_queued), T(accepted_before_the_commit), T(states_that_are_not_so), T(read_and_never_handed_out),
		T(refused_is_not_read), T(expired_without_an_expiry), T(expired_before_its_time), T(waits_after_its_time), T(false_receipt), T(refused_but_stored),
		T(refused_then_tried_again), T(read_and_nobody_told),
		T(told_before_the_commit), T(cancelled_before_the_commit), T(set_aside_is_not_waiting), T(expectations_count), T(tallies), cmocka_unit_test(every_name_is_there),
		cmocka_unit_test(times_of_the_story),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
