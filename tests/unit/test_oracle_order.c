/* The oracle knows whose a message is: histories with orders, a good one and its broken twins. The queues of cic-luik (B) are moved to
 * cic-vlaams-brabant (C), by order of spoc-brussel; cic-namen (A) sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/order.h"
#include "sim/oracle.h"
#include "tests/lib/history.h"

/* ---- steps --------------------------------------------------------------------------------------------------------- */

/* Order number epoch of B's chain; after the first without assignments it is a handback. */
static struct hash order_by(struct history *h, const char *issuer, enum order_kind kind, uint32_t epoch, const struct hash *before, struct buf *blob)
{
	struct order o = {.kind = kind, .site = h->site[B], .issuer = roster_site_by_id(h->roster, view_str(issuer))->number, .epoch = epoch,
			  .roster = h->roster->serial, .issued = {1626300000000000}, .reason = "flood"};
	uint8_t seed[32] = {1};
	struct sign_public pub;
	struct sign_secret sec;
	struct order again;
	struct hash id;

	if (before)
		o.before = *before;
	if (kind == ORDER_RELOCATE)
		o.assign[o.n_assign++] = (struct assignment){.to = h->site[C], .what = ASSIGN_ALL};
	sign_keypair(seed, &pub, &sec);
	assert_int_equal(order_make(&crypt_suite_real, &sec, &h->roster->network_hash, &o, blob), ERR_OK);
	assert_int_equal(order_decode(buf_view(blob), &again, &id), ERR_OK);
	return id;
}

static struct hash order_to(struct history *h, enum order_kind kind, uint32_t epoch, const struct hash *before, struct buf *blob)
{
	return order_by(h, "spoc-brussel", kind, epoch, before, blob);
}

/* The journal of a site holds that endorsement. */
static void endorsed(struct history *h, const struct hash *order, const char *by, int site)
{
	struct endorsement e = {.order = *order, .site = roster_site_by_id(h->roster, view_str(by))->number, .signed_at = {1626300000000000}, .last = {1626900000000000}};
	struct buf b = BUF_EMPTY;
	uint8_t seed[32] = {1};
	struct sign_public pub;
	struct sign_secret sec;

	sign_keypair(seed, &pub, &sec);
	assert_int_equal(endorsement_make(&crypt_suite_real, &sec, &h->roster->network_hash, &e, &b), ERR_OK);
	oracle_order(h->o, h->site[site], STATE_KIND_ENDORSEMENT, buf_view(&b));
	buf_release(&b);
}

/* The journals of these sites hold a relocation of B to C. */
static struct hash moved(struct history *h, int first, int second)
{
	struct buf b = BUF_EMPTY;
	struct hash id = order_to(h, ORDER_RELOCATE, 1, NULL, &b);

	oracle_order(h->o, h->site[first], STATE_KIND_ORDER, buf_view(&b));
	if (second != first)
		oracle_order(h->o, h->site[second], STATE_KIND_ORDER, buf_view(&b));
	buf_release(&b);
	return id;
}

static void handed_back(struct history *h, const struct hash *before, int site)
{
	struct buf b = BUF_EMPTY;

	order_to(h, ORDER_HANDBACK, 2, before, &b);
	oracle_order(h->o, h->site[site], STATE_KIND_ORDER, buf_view(&b));
	buf_release(&b);
}

/* Message 1 is everywhere, and in B's queue. */
static void message(struct history *h)
{
	history_send(h, PREC_ROUTINE);
	history_entry(h, C, 1, KIND_MESSAGE);
	history_arrive(h);
}

static void serve(struct history *h, int site, bool marked)
{
	struct handing g = history_handing(h, 1);
	struct serving s = {.site = h->site[site], .addressee = h->site[B], .queue = "dispatch", .id = g.id, .perhaps_seen = marked};

	g.site = h->site[site];
	g.addressee = h->site[B];
	g.perhaps_seen = marked;
	oracle_served_at(h->o, &s);
	oracle_handed_out(h->o, &g);
	history_pass(h, US_PER_S);
}

/* Entry 1 of a site's own reports to B, in the journal of that site or another. */
static void report(struct history *h, int of, int at)
{
	struct stream_name name = {.originator = h->site[of], .incarnation = {1000, {2}}, .addressee = h->site[B], .precedence = PREC_ROUTINE};
	struct header header = {.kind = KIND_REPORT, .precedence = PREC_ROUTINE, .id = history_id(500 + (uint32_t)of), .originator = h->site[of], .sent = {1000}};
	struct hash chain = history_hash(2000 + (uint64_t)of);
	struct seen_entry e = {.site = h->site[at], .stream = &name, .number = 1, .chain = &chain, .header = &header, .from = h->site[of], .whole = true};

	oracle_entry(h->o, &e);
}

static void ended(struct history *h, int site)
{
	struct msgid id = history_id(1);

	report(h, site, site);
	oracle_ended_at(h->o, h->site[site], h->site[B], &id, EVENT_READ);
	oracle_done(h->o, h->site[site], &id, EVENT_READ);
	history_pass(h, US_PER_S);
}

/* C serves by an order that B knows too, and reads. */
static struct hash read_at_c(struct history *h)
{
	message(h);
	struct hash order = moved(h, B, C);

	serve(h, C, false);
	ended(h, C);
	assert_good(h);
	return order;
}

/* ---- to whom ------------------------------------------------------------------------------------------------------- */

static void a_successor_serves(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	read_at_c(h);
	assert_int_equal(oracle_state_of(h->o, &id), STATE_READ);
}

static void nobody_serves_without_an_order(void **state)
{
	struct history *h = *state;

	message(h);
	serve(h, C, false);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

/* The order is in another journal only. */
static void an_order_counts_where_it_is_known(void **state)
{
	struct history *h = *state;

	message(h);
	moved(h, A, B);
	serve(h, C, false);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

static void what_is_lent_may_be_served(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	message(h);
	oracle_lent(h->o, h->site[B], &id, h->site[C]);
	serve(h, C, false);
	assert_good(h);
}

static void home_keeps_nothing_of_what_was_moved(void **state)
{
	struct history *h = *state;

	message(h);
	moved(h, B, B);
	serve(h, B, false);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

/* ---- once ----------------------------------------------------------------------------------------------------------- */

static void an_end_that_the_journal_shows(void **state)
{
	struct history *h = *state;
	struct hash order = read_at_c(h);

	report(h, C, B);
	handed_back(h, &order, B);
	serve(h, B, false);
	assert_only(h, PROMISE_TWICE, 1);
}

/* Home again it waits for who served, whether it has the report or not. */
static void a_closing_that_was_to_be_waited_for(void **state)
{
	struct history *h = *state;
	struct hash order = read_at_c(h);

	handed_back(h, &order, B);
	serve(h, B, true);
	assert_only(h, PROMISE_TWICE, 1);
}

/* Its lease was over, and a desk said later that it was read: two handled it, which is told later. */
static void a_lease_that_was_over_is_not_waited_for(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	message(h);
	struct hash order = moved(h, B, C);

	serve(h, C, false);
	oracle_came_back(h->o, h->site[C], h->site[B], &id);
	ended(h, C);
	handed_back(h, &order, B);
	serve(h, B, true);
	assert_good(h);
}

/* What it could not know it may hand out, also again when a desk gave it back; once it knows, no more. */
static void what_cannot_be_known(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	message(h);
	moved(h, C, C);
	serve(h, C, false);
	ended(h, C);
	serve(h, B, false);
	oracle_done(h->o, h->site[B], &id, EVENT_RETURNED);
	serve(h, B, false);
	assert_good(h);
	report(h, C, B);
	moved(h, B, B); /* the report counts now; and nothing is left at home */
	serve(h, B, false);
	assert_int_equal(history_broken(h, PROMISE_TWICE), 1);
	assert_int_equal(history_broken(h, PROMISE_MISDELIVERED), 1);
}

/* A quorum's order counts with its last endorsement, and a report under it not before. */
static void an_endorsement_that_is_not_there(void **state)
{
	static const int both[] = {B, C};
	struct history *h = *state;
	struct buf b = BUF_EMPTY;

	message(h);
	struct hash order = order_by(h, "cic-limburg", ORDER_RELOCATE, 1, NULL, &b);

	for (size_t i = 0; i < 2; i++) {
		oracle_order(h->o, h->site[both[i]], STATE_KIND_ORDER, buf_view(&b));
		endorsed(h, &order, "cic-antwerpen", both[i]);
	}
	buf_release(&b);
	endorsed(h, &order, "cic-namen", C);
	serve(h, C, false);
	ended(h, C);
	report(h, C, B);
	serve(h, B, false);
	assert_good(h);
	endorsed(h, &order, "cic-namen", B);
	serve(h, B, false);
	assert_int_equal(history_broken(h, PROMISE_TWICE), 1);
	assert_int_equal(history_broken(h, PROMISE_MISDELIVERED), 1);
}

/* All were connected, so that every standby knows within seconds. */
static void an_end_long_ago_on_a_whole_network(void **state)
{
	struct history *h = *state;
	const struct roster *r = h->roster;

	message(h);
	for (size_t i = 0; i < r->n_sites; i++) {
		oracle_site_up(h->o, r->sites[i].number, NULL);
		for (size_t k = 0; k < i; k++)
			oracle_link(h->o, r->sites[i].number, r->sites[k].number, true, 1000, 0, 0);
	}
	moved(h, C, C);
	serve(h, C, false);
	ended(h, C);
	history_pass(h, 30 * US_PER_S);
	serve(h, B, true);
	assert_only(h, PROMISE_TWICE, 1);
}

static void in_hand_and_not_marked(void **state)
{
	struct history *h = *state;

	message(h);
	report(h, C, C);
	struct hash order = moved(h, B, C);

	serve(h, C, false);
	report(h, C, B);
	handed_back(h, &order, B);
	serve(h, B, false);
	assert_only(h, PROMISE_TWICE, 1);
}

static void in_hand_and_marked(void **state)
{
	struct history *h = *state;

	message(h);
	report(h, C, C);
	struct hash order = moved(h, B, C);

	serve(h, C, false);
	report(h, C, B);
	handed_back(h, &order, B);
	serve(h, B, true);
	assert_good(h);
}

/* ---- twice, and told --------------------------------------------------------------------------------------------------- */

/* Handled at C and at B, which did not know; then all journals agree. listed: sites that list the conflict. */
static void handled_twice(struct history *h, const int *listed, size_t n)
{
	struct msgid id = history_id(1);

	message(h);
	moved(h, C, C);
	serve(h, C, false);
	ended(h, C);
	serve(h, B, false);
	ended(h, B);
	assert_good(h);
	for (int of = B; of <= C; of++)
		for (int at = A; at < SITES; at++)
			if (at != of)
				report(h, of, at);
	oracle_repaired(h->o);
	history_pass(h, US_PER_S);
	assert_true(oracle_converged(h->o, NULL, 0));
	history_standing(h, 1, false, EVENT_READ);
	for (size_t i = 0; i < n; i++)
		oracle_conflict(h->o, h->site[listed[i]], &id, h->site[B]);
	for (int i = 0; i < SITES; i++)
		oracle_site_final(h->o, h->site[i]);
	oracle_receipt(h->o, h->site[A], h->site[B], &id, EVENT_READ);
	oracle_finish(h->o, 60 * US_PER_S);
}

static void a_conflict_that_all_list(void **state)
{
	static const int all[] = {A, B, C};
	struct history *h = *state;
	struct verdict v;

	handled_twice(h, all, 3);
	assert_good(h);
	oracle_verdict(h->o, &v);
	assert_int_equal(v.twice_reported, 1);
}

static void a_handler_that_does_not_list_it(void **state)
{
	static const int but_c[] = {A, B};
	struct history *h = *state;

	handled_twice(h, but_c, 2);
	assert_only(h, PROMISE_TWICE, 1);
}

static void a_sender_that_does_not_list_it(void **state)
{
	static const int handlers[] = {B, C};
	struct history *h = *state;

	handled_twice(h, handlers, 2);
	assert_only(h, PROMISE_TWICE, 1);
}

static void a_conflict_that_is_none(void **state)
{
	struct history *h = *state;
	struct msgid id = history_id(1);

	read_at_c(h);
	oracle_conflict(h->o, h->site[B], &id, h->site[B]);
	assert_only(h, PROMISE_ANSWER, 1);
}

/* What MINIMIZE holds back is not sent on by who knows of it, until its time is over; by others it is. */
static void minimize_is_heeded_where_it_is_known(void **state)
{
	struct history *h = *state;
	struct order o = {.kind = ORDER_MINIMIZE, .issuer = roster_site_by_id(h->roster, view_str("spoc-brussel"))->number, .epoch = 1, .roster = h->roster->serial,
			  .issued = {1626300000000000}, .precedence = PREC_ROUTINE, .until = {1626300000000000 + 3600 * US_PER_S}};
	struct wall in_time = {o.until.us - 1}, late = o.until;
	struct buf b = BUF_EMPTY;
	uint8_t seed[32] = {1};
	struct sign_public pub;
	struct sign_secret sec;

	sign_keypair(seed, &pub, &sec);
	assert_int_equal(order_make(&crypt_suite_real, &sec, &h->roster->network_hash, &o, &b), ERR_OK);
	oracle_order(h->o, h->site[A], STATE_KIND_ORDER, buf_view(&b));
	buf_release(&b);
	assert_true(oracle_minimized(h->o, h->site[A], in_time, PREC_ROUTINE));
	assert_false(oracle_minimized(h->o, h->site[A], in_time, PREC_PRIORITY));
	assert_false(oracle_minimized(h->o, h->site[A], late, PREC_ROUTINE));
	assert_false(oracle_minimized(h->o, h->site[B], in_time, PREC_ROUTINE));
	struct verdict v;

	oracle_verdict(h->o, &v);
	assert_int_equal(v.checks[PROMISE_MINIMIZE], 2); /* the report says that it was looked at */
	assert_good(h);
	struct msgid id = history_id(1);

	oracle_sent_on(h->o, h->site[A], h->site[B], &id);
	assert_only(h, PROMISE_MINIMIZE, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, history_begin, history_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_successor_serves), TEST(nobody_serves_without_an_order), TEST(an_order_counts_where_it_is_known), TEST(what_is_lent_may_be_served),
		TEST(home_keeps_nothing_of_what_was_moved), TEST(an_end_that_the_journal_shows), TEST(a_closing_that_was_to_be_waited_for),
		TEST(a_lease_that_was_over_is_not_waited_for), TEST(what_cannot_be_known), TEST(an_endorsement_that_is_not_there),
		TEST(an_end_long_ago_on_a_whole_network),
		TEST(in_hand_and_not_marked), TEST(in_hand_and_marked), TEST(a_conflict_that_all_list), TEST(a_handler_that_does_not_list_it),
		TEST(a_sender_that_does_not_list_it), TEST(a_conflict_that_is_none), TEST(minimize_is_heeded_where_it_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
