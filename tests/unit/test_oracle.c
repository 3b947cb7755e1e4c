/* The oracle notices each kind of broken promise: it is told histories by hand, a good one and its broken twins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/oracle.h"

enum { A, B, C, SITES }; /* cic-namen sends to cic-luik; cic-vlaams-brabant is another one */

struct history {
	struct roster *roster;
	struct story story;
	struct oracle *o;
	uint16_t site[SITES];
	struct stream_name stream;
	uint64_t number[SITES];    /* entries of the stream told of each site */
	int64_t at;
	uint32_t n;
	struct submission last;
};

static int begin(void **state)
{
	static const char *const names[SITES] = {"cic-namen", "cic-luik", "cic-vlaams-brabant"};
	static char text[LIMIT_ROSTER_BYTES];
	struct history *h = calloc(1, sizeof *h);
	struct errmsg m;
	FILE *f = fopen("conf/belgium.conf", "r");

	if (!h || !f || crypt_start())
		return -1;
	size_t len = fread(text, 1, sizeof text, f);

	fclose(f);
	if (roster_parse("conf/belgium.conf", view_of(text, len), NULL, true, &h->roster, &m))
		return -1;
	h->story.verbose = true;
	h->o = oracle_new(h->roster, &h->story);
	for (int i = 0; i < SITES; i++) {
		h->site[i] = roster_site_by_id(h->roster, view_str(names[i]))->number;
		oracle_site_up(h->o, h->site[i], NULL);
	}
	h->stream = (struct stream_name){.originator = h->site[A], .incarnation = {1000, {1}}, .addressee = h->site[B], .precedence = PREC_ROUTINE};
	*state = h;
	return 0;
}

static int end(void **state)
{
	struct history *h = *state;

	oracle_free(h->o);
	story_release(&h->story);
	roster_free(h->roster);
	free(h);
	return 0;
}

/* ---- pieces of histories --------------------------------------------------------------------------------------------- */

static void pass(struct history *h, int64_t us)
{
	h->at += us;
	oracle_now(h->o, h->at);
}

static struct msgid id_of(uint32_t n)
{
	struct msgid id = {{0}};

	memcpy(id.b, &n, sizeof n);
	id.b[15] = 7;
	return id;
}

static struct hash hash_of(uint64_t n)
{
	return crypt_hash(HASH_BODY, view_of(&n, sizeof n));
}

static uint32_t submit(struct history *h, uint8_t precedence)
{
	uint32_t n = ++h->n;

	h->last = (struct submission){.site = h->site[A], .precedence = precedence, .body_bytes = 100, .body = hash_of(n), .words = 5, .n_sites = 1, .sites = &h->site[B]};
	snprintf(h->last.queue, sizeof h->last.queue, "dispatch");
	return oracle_submitted(h->o, &h->last);
}

/* An entry of the stream in a site's journal: number n carries message n. */
static void entry(struct history *h, int site, uint64_t number, uint8_t kind)
{
	struct header header = {.kind = kind, .precedence = h->stream.precedence, .id = id_of((uint32_t)number), .originator = h->stream.originator,
				.sent = {1000}, .handle_by = {(int64_t)number * 10}};
	struct hash chain = hash_of(number + 1000);
	struct seen_entry e = {.site = h->site[site], .stream = &h->stream, .number = number, .chain = &chain, .header = &header, .body_len = 100,
			       .from = h->stream.originator, .whole = true};

	oracle_entry(h->o, &e);
	h->number[site] = number;
}

static void accept(struct history *h, uint32_t submission)
{
	struct msgid id = id_of(h->n);

	oracle_accepted(h->o, submission, &id, false);
}

/* Submitted at A, stored there, accepted. */
static uint32_t send(struct history *h, uint8_t precedence)
{
	uint32_t s = submit(h, precedence);

	entry(h, A, h->n, KIND_MESSAGE);
	accept(h, s);
	pass(h, US_PER_S);
	return s;
}

static void arrive(struct history *h)
{
	entry(h, B, h->number[B] + 1, KIND_MESSAGE);
	pass(h, US_PER_S);
}

static struct handing handing(struct history *h, uint32_t n)
{
	return (struct handing){.site = h->site[B], .id = id_of(n), .from = h->site[A], .precedence = h->stream.precedence, .queue = "dispatch", .body = hash_of(n), .words = 5};
}

static void take(struct history *h, uint32_t n)
{
	struct handing g = handing(h, n);

	oracle_served(h->o, g.site, g.queue, false, &g.id);
	oracle_handed_out(h->o, &g);
	pass(h, US_PER_S);
}

static void done(struct history *h, uint32_t n, uint8_t event)
{
	struct msgid id = id_of(n);

	oracle_done(h->o, h->site[B], &id, event);
	pass(h, US_PER_S);
}

static uint64_t broken(const struct history *h, enum promise p)
{
	struct verdict v;

	oracle_verdict(h->o, &v);
	return v.broken[p];
}

static void assert_good(const struct history *h)
{
	struct verdict v;

	oracle_verdict(h->o, &v);
	assert_string_equal(v.first_broken, "");
	assert_true(v.ok);
}

static void assert_only(const struct history *h, enum promise p, uint64_t times)
{
	for (unsigned i = 0; i < PROMISES; i++)
		if (broken(h, i) != (i == p ? times : 0))
			fail_msg("%s is broken %llu times, where %s was to be, %llu times", promise_name(i), (unsigned long long)broken(h, i), promise_name(p),
				 (unsigned long long)times);
	assert_true(oracle_failed(h->o));
	assert_true(h->story.count[STORY_BROKEN] >= times);
}

/* All that journals tell at the end, when message n of B stands so. */
static void standing(struct history *h, uint32_t n, bool in_queue, uint8_t ended)
{
	struct msgid id = id_of(n);

	oracle_standing(h->o, h->site[B], &id, in_queue, ended);
}

/* ---- a good history, in which nothing is broken --------------------------------------------------------------------------- */

static void good_history(void **state)
{
	struct history *h = *state;
	struct verdict v;
	struct msgid id = id_of(1);

	send(h, PREC_ROUTINE);
	send(h, PREC_ROUTINE);
	assert_int_equal(oracle_state_of(h->o, &id), STATE_ACCEPTED);
	entry(h, C, 1, KIND_MESSAGE);
	assert_int_equal(oracle_state_of(h->o, &id), STATE_HELD_BY_STANDBY);
	arrive(h);
	arrive(h);
	assert_int_equal(oracle_depth(h->o, h->site[B]), 2);
	take(h, 1);
	oracle_state(h->o, h->site[A], &id, STATE_READ);
	done(h, 1, EVENT_READ);
	assert_int_equal(oracle_depth(h->o, h->site[B]), 1);
	take(h, 2);
	done(h, 2, EVENT_RETURNED);
	take(h, 2); /* given back: handed out again without a mark */
	entry(h, C, 2, KIND_MESSAGE);
	for (int i = 0; i < 3; i++) {
		const struct site *s = roster_site(h->roster, h->site[B]);

		for (size_t k = 0; k < s->n_standbys; k++) /* those of B that are not A, B or C are down */
			if (s->standbys[k] != h->site[A] && s->standbys[k] != h->site[C])
				oracle_site_down(h->o, s->standbys[k]);
	}
	oracle_repaired(h->o);
	pass(h, 5 * US_PER_S);
	assert_true(oracle_converged(h->o, NULL, 0));
	standing(h, 1, false, EVENT_READ);
	standing(h, 2, true, 0);
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
	struct hash chain = hash_of(1001), at_two = hash_of(1002);

	send(h, PREC_ROUTINE);
	send(h, PREC_ROUTINE);
	oracle_stream_at_start(h->o, h->site[A], &h->stream, 2, &at_two);
	assert_good(h);
	oracle_stream_at_start(h->o, h->site[A], &h->stream, 1, &chain);
	assert_only(h, PROMISE_LOST, 1);
}

static void journal_differs_after_a_restart(void **state)
{
	struct history *h = *state;
	struct hash other = hash_of(999);

	send(h, PREC_ROUTINE);
	oracle_stream_at_start(h->o, h->site[A], &h->stream, 1, &other);
	assert_only(h, PROMISE_ALTERED, 1);
}

static void message_in_no_queue(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	arrive(h);
	standing(h, 1, false, 0);
	assert_only(h, PROMISE_LOST, 1);
}

static void message_unknown_to_its_site(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	arrive(h);
	entry(h, C, 1, KIND_MESSAGE);
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

	send(h, PREC_ROUTINE);
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

	send(h, PREC_ROUTINE);
	entry(h, C, 1, KIND_MESSAGE);
	oracle_journal_replaced(h->o, h->site[A], false);
	oracle_repaired(h->o);
	pass(h, 100 * US_PER_S);
	oracle_finish(h->o, 60 * US_PER_S);
	assert_int_equal(broken(h, PROMISE_LOST), 1);
	assert_int_equal(broken(h, PROMISE_CONVERGE), 1);
	oracle_verdict(h->o, &v);
	assert_int_equal(v.excused, 0);
	assert_int_equal(v.lost, 1);
}

/* ---- altered, misdelivered ------------------------------------------------------------------------------------------------------ */

static void body_altered(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	arrive(h);
	struct handing g = handing(h, 1);

	g.body = hash_of(77);
	oracle_handed_out(h->o, &g);
	assert_only(h, PROMISE_ALTERED, 1);
}

static void words_altered(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	arrive(h);
	struct handing g = handing(h, 1);

	g.words++;
	oracle_handed_out(h->o, &g);
	assert_only(h, PROMISE_ALTERED, 1);
}

static void parts_altered(void **state)
{
	struct history *h = *state;
	struct msgid id = id_of(1);
	struct hash right = hash_of(1), wrong = hash_of(2);

	send(h, PREC_ROUTINE);
	arrive(h);
	oracle_read_body(h->o, h->site[B], &id, &right);
	assert_good(h);
	oracle_read_body(h->o, h->site[B], &id, &wrong);
	assert_only(h, PROMISE_ALTERED, 1);
}

static void journals_differ(void **state)
{
	struct history *h = *state;
	struct header header = {.kind = KIND_MESSAGE, .precedence = PREC_ROUTINE, .id = id_of(1)};
	struct hash other = hash_of(4);
	struct seen_entry e = {.site = h->site[B], .stream = &h->stream, .number = 1, .chain = &other, .header = &header, .whole = true};

	send(h, PREC_ROUTINE);
	oracle_entry(h->o, &e);
	assert_only(h, PROMISE_ALTERED, 1);
}

static void wrong_queue(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	arrive(h);
	struct handing g = handing(h, 1);

	g.queue = "messages";
	oracle_handed_out(h->o, &g);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

static void wrong_site(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	entry(h, C, 1, KIND_MESSAGE);
	struct handing g = handing(h, 1);

	g.site = h->site[C];
	oracle_handed_out(h->o, &g);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

static void nobody_sent_it(void **state)
{
	struct history *h = *state;

	entry(h, A, 1, KIND_MESSAGE);
	arrive(h);
	take(h, 1);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

static void wrong_originator(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	arrive(h);
	struct handing g = handing(h, 1);

	g.from = h->site[C];
	oracle_handed_out(h->o, &g);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

/* The node died between the commit and the answer: the message is there, and is the one that was submitted. */
static void unanswered_but_kept(void **state)
{
	struct history *h = *state;
	struct verdict v;

	submit(h, PREC_ROUTINE);
	entry(h, A, 1, KIND_MESSAGE);
	arrive(h);
	take(h, 1);
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

	send(h, PREC_ROUTINE);
	arrive(h);
	take(h, 1);
	done(h, 1, EVENT_READ);
	take(h, 1);
	assert_only(h, PROMISE_TWICE, 1);
	oracle_verdict(h->o, &v);
	assert_int_equal(v.twice_silent, 1);
}

static void again_without_a_mark(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	arrive(h);
	take(h, 1);
	struct handing g = handing(h, 1);

	g.perhaps_seen = true;
	oracle_handed_out(h->o, &g);
	assert_good(h);
	take(h, 1);
	assert_only(h, PROMISE_TWICE, 1);
}

/* B reads message 1 and its journal is lost; the report of it was copied to C, or not. */
static void read_and_lose(struct history *h, bool copied)
{
	struct stream_name own = {.originator = h->site[B], .incarnation = {1000, {2}}, .addressee = h->site[B], .precedence = PREC_ROUTINE};
	struct hash chain = hash_of(5);
	struct header header = {.kind = KIND_REPORT, .precedence = PREC_ROUTINE, .id = id_of(900)};
	struct seen_entry report = {.site = h->site[B], .stream = &own, .number = 1, .chain = &chain, .header = &header, .whole = true};

	send(h, PREC_ROUTINE);
	arrive(h);
	take(h, 1);
	oracle_entry(h->o, &report);
	done(h, 1, EVENT_READ);
	report.site = h->site[C];
	if (copied)
		oracle_entry(h->o, &report);
	oracle_journal_replaced(h->o, h->site[B], false);
	h->number[B] = 0;
	arrive(h);
	take(h, 1);
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
	struct msgid other = id_of(2);

	submit(h, PREC_ROUTINE);
	h->last.key = 99;
	uint32_t s = oracle_submitted(h->o, &h->last);

	entry(h, A, 1, KIND_MESSAGE);
	accept(h, s);
	assert_int_equal(oracle_submitted(h->o, &h->last), s); /* the same key: another try */
	entry(h, A, 2, KIND_MESSAGE);
	oracle_accepted(h->o, s, &other, false);
	assert_only(h, PROMISE_TWICE, 1);
}

static void read_and_still_queued(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	arrive(h);
	take(h, 1);
	done(h, 1, EVENT_READ);
	standing(h, 1, true, 0);
	assert_only(h, PROMISE_TWICE, 1);
}

/* ---- order ------------------------------------------------------------------------------------------------------------------------------- */

static void entries_out_of_order(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	send(h, PREC_ROUTINE);
	entry(h, B, 2, KIND_MESSAGE);
	assert_only(h, PROMISE_ORDER, 1);
}

static void entry_stored_twice(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	entry(h, B, 1, KIND_MESSAGE);
	entry(h, B, 1, KIND_MESSAGE);
	assert_only(h, PROMISE_ORDER, 1);
}

static void handed_out_of_order(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	send(h, PREC_ROUTINE);
	arrive(h);
	arrive(h);
	take(h, 2);
	assert_good(h);
	take(h, 1);
	assert_only(h, PROMISE_ORDER, 1);
}

static void bulk_before_flash(void **state)
{
	struct history *h = *state;
	struct stream_name routine = h->stream;

	send(h, PREC_ROUTINE);
	arrive(h);
	uint64_t a = h->number[A], b = h->number[B];

	h->stream.precedence = PREC_FLASH;
	h->stream.incarnation.born_us++;
	h->number[A] = h->number[B] = 0;
	/* Message 2 is the first of the FLASH stream. */
	uint32_t s = submit(h, PREC_FLASH);
	struct header header = {.kind = KIND_MESSAGE, .precedence = PREC_FLASH, .id = id_of(2)};
	struct hash chain = hash_of(1);
	struct seen_entry e = {.site = h->site[A], .stream = &h->stream, .number = 1, .chain = &chain, .header = &header, .whole = true, .from = h->site[A]};

	oracle_entry(h->o, &e);
	accept(h, s);
	e.site = h->site[B];
	oracle_entry(h->o, &e);
	pass(h, US_PER_S);
	assert_int_equal(oracle_oldest_flash(h->o, h->site[B]), US_PER_S); /* since it was accepted */
	h->stream = routine;
	h->number[A] = a;
	h->number[B] = b;
	take(h, 1);
	assert_only(h, PROMISE_ORDER, 1);
}

/* ---- flash -------------------------------------------------------------------------------------------------------------------------------- */

static void flash_case(struct history *h)
{
	h->stream.precedence = PREC_FLASH;
	oracle_link(h->o, h->site[A], h->site[B], true, 5000, 64000);
	send(h, PREC_FLASH);
}

static void flash_in_time(void **state)
{
	struct history *h = *state;
	struct verdict v;

	flash_case(h);
	pass(h, 10 * US_PER_S);
	oracle_tick(h->o);
	arrive(h);
	pass(h, 3600 * US_PER_S);
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
	pass(h, 120 * US_PER_S);
	oracle_tick(h->o);
	assert_only(h, PROMISE_FLASH, 1);
	oracle_tick(h->o);
	assert_only(h, PROMISE_FLASH, 1); /* told once */
}

static void flash_late_at_arrival(void **state)
{
	struct history *h = *state;

	flash_case(h);
	pass(h, 120 * US_PER_S);
	arrive(h);
	assert_only(h, PROMISE_FLASH, 1);
}

static void flash_excused(void **state)
{
	struct history *h = *state;

	flash_case(h);
	oracle_link(h->o, h->site[A], h->site[B], false, 0, 0);
	pass(h, 3600 * US_PER_S);
	oracle_tick(h->o);
	oracle_link(h->o, h->site[A], h->site[B], true, 5000, 64000); /* the time counts from here */
	pass(h, 10 * US_PER_S);
	oracle_tick(h->o);
	oracle_site_troubled(h->o, h->site[B], true); /* its disk is slow */
	pass(h, 3600 * US_PER_S);
	oracle_tick(h->o);
	oracle_site_troubled(h->o, h->site[B], false);
	pass(h, 10 * US_PER_S);
	oracle_tick(h->o);
	assert_good(h);
	pass(h, 120 * US_PER_S);
	oracle_tick(h->o);
	assert_only(h, PROMISE_FLASH, 1);
}

/* ---- frontier --------------------------------------------------------------------------------------------------------------------------------- */

static void frontier(struct history *h, int site, uint64_t number)
{
	struct hash chain = hash_of(number + 1000);

	oracle_frontier(h->o, h->site[site], &h->stream, number, &chain);
}

static void frontier_beyond_the_journal(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	send(h, PREC_ROUTINE);
	arrive(h);
	frontier(h, B, 1);
	assert_good(h);
	frontier(h, B, 2);
	assert_only(h, PROMISE_FRONTIER, 1);
}

static void frontier_goes_back(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	send(h, PREC_ROUTINE);
	arrive(h);
	arrive(h);
	frontier(h, B, 2);
	assert_good(h);
	frontier(h, B, 1);
	assert_only(h, PROMISE_FRONTIER, 1);
}

static void frontier_goes_back_with_the_journal(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	send(h, PREC_ROUTINE);
	arrive(h);
	arrive(h);
	frontier(h, B, 2);
	oracle_journal_replaced(h->o, h->site[B], true);
	h->number[B] = 0;
	arrive(h);
	frontier(h, B, 1);
	assert_good(h);
}

static void frontier_of_another_chain(void **state)
{
	struct history *h = *state;
	struct hash chain = hash_of(1);

	send(h, PREC_ROUTINE);
	arrive(h);
	oracle_frontier(h->o, h->site[B], &h->stream, 1, &chain);
	assert_only(h, PROMISE_FRONTIER, 1);
}

/* Somebody holds what its originator never had on its disk: it was sent before the commit. */
static void spoke_before_the_commit(void **state)
{
	struct history *h = *state;

	entry(h, B, 1, KIND_MESSAGE);
	assert_only(h, PROMISE_FRONTIER, 1);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------------------------- */

static void accepted_before_the_commit(void **state)
{
	struct history *h = *state;

	accept(h, submit(h, PREC_ROUTINE));
	assert_only(h, PROMISE_ANSWER, 1);
}

static void states_that_are_not_so(void **state)
{
	struct history *h = *state;
	struct msgid id = id_of(1);

	send(h, PREC_ROUTINE);
	oracle_state(h->o, h->site[A], &id, STATE_ACCEPTED);
	assert_good(h);
	oracle_state(h->o, h->site[A], &id, STATE_HELD_BY_STANDBY);
	assert_only(h, PROMISE_ANSWER, 1);
	entry(h, C, 1, KIND_MESSAGE);
	oracle_state(h->o, h->site[A], &id, STATE_HELD_BY_STANDBY);
	assert_only(h, PROMISE_ANSWER, 1);
	oracle_state(h->o, h->site[A], &id, STATE_HELD);
	assert_only(h, PROMISE_ANSWER, 2);
	arrive(h);
	oracle_state(h->o, h->site[A], &id, STATE_HELD);
	oracle_state(h->o, h->site[A], &id, STATE_DELIVERED);
	assert_only(h, PROMISE_ANSWER, 2);
	oracle_state(h->o, h->site[A], &id, STATE_READ);
	assert_only(h, PROMISE_ANSWER, 3);
}

static void read_and_never_handed_out(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	arrive(h);
	standing(h, 1, false, EVENT_READ);
	assert_only(h, PROMISE_ANSWER, 1);
}

static void refused_is_not_read(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	arrive(h);
	take(h, 1);
	done(h, 1, EVENT_REFUSED);
	standing(h, 1, false, EVENT_REFUSED);
	assert_good(h);
	standing(h, 1, false, EVENT_READ);
	assert_only(h, PROMISE_ANSWER, 1);
}

static void expired_without_an_expiry(void **state)
{
	struct history *h = *state;

	send(h, PREC_ROUTINE);
	arrive(h);
	standing(h, 1, false, EVENT_EXPIRED);
	assert_only(h, PROMISE_ANSWER, 1);
}

static void expired_before_its_time(void **state)
{
	struct history *h = *state;
	struct msgid id = id_of(1);

	send(h, PREC_ROUTINE);
	arrive(h);
	oracle_expiry(h->o, h->site[B], &id, false, 0);
	assert_good(h);
	oracle_expiry(h->o, h->site[B], &id, false, -US_PER_S);
	assert_only(h, PROMISE_ANSWER, 1);
}

static void waits_after_its_time(void **state)
{
	struct history *h = *state;
	struct msgid id = id_of(1);

	send(h, PREC_ROUTINE);
	arrive(h);
	oracle_expiry(h->o, h->site[B], &id, true, 7200 * US_PER_S); /* it is up since a moment */
	pass(h, 3600 * US_PER_S);
	oracle_site_troubled(h->o, h->site[B], true);
	oracle_expiry(h->o, h->site[B], &id, true, 7200 * US_PER_S); /* its clock is off */
	oracle_site_troubled(h->o, h->site[B], false);
	oracle_expiry(h->o, h->site[B], &id, true, 7200 * US_PER_S);
	pass(h, 3600 * US_PER_S);
	oracle_expiry(h->o, h->site[B], &id, true, 60 * US_PER_S);
	assert_good(h);
	oracle_expiry(h->o, h->site[B], &id, true, 7200 * US_PER_S);
	assert_only(h, PROMISE_CONVERGE, 1);
}

static void false_receipt(void **state)
{
	struct history *h = *state;
	struct msgid id = id_of(1);

	send(h, PREC_ROUTINE);
	arrive(h);
	oracle_receipt(h->o, h->site[A], h->site[B], &id, EVENT_READ);
	assert_only(h, PROMISE_ANSWER, 1);
}

static void refused_but_stored(void **state)
{
	struct history *h = *state;

	oracle_turned_down(h->o, submit(h, PREC_ROUTINE));
	entry(h, A, 1, KIND_MESSAGE);
	arrive(h);
	take(h, 1);
	assert_only(h, PROMISE_MISDELIVERED, 1);
}

static void refused_then_tried_again(void **state)
{
	struct history *h = *state;

	submit(h, PREC_ROUTINE);
	h->last.key = 5;
	oracle_turned_down(h->o, oracle_submitted(h->o, &h->last));
	oracle_submitted(h->o, &h->last);
	entry(h, A, 1, KIND_MESSAGE);
	arrive(h);
	take(h, 1);
	assert_good(h);
}

/* ---- convergence ------------------------------------------------------------------------------------------------------------------------------------ */

static void convergence_in_time(void **state)
{
	struct history *h = *state;
	char why[200];

	send(h, PREC_ROUTINE);
	for (size_t i = 0; i < h->roster->n_sites; i++)
		if (h->roster->sites[i].number != h->site[A] && h->roster->sites[i].number != h->site[B])
			oracle_site_down(h->o, h->roster->sites[i].number);
	oracle_repaired(h->o);
	assert_false(oracle_converged(h->o, why, sizeof why));
	assert_non_null(strstr(why, "cic-luik"));
	pass(h, 100 * US_PER_S);
	arrive(h);
	assert_true(oracle_converged(h->o, NULL, 0));
	standing(h, 1, true, 0);
	oracle_finish(h->o, 60 * US_PER_S);
	assert_only(h, PROMISE_CONVERGE, 1);
}

static void receipt_never_came(void **state)
{
	struct history *h = *state;
	struct msgid id = id_of(1);

	convergence_in_time(state);
	uint64_t before = broken(h, PROMISE_CONVERGE);

	take(h, 1);
	done(h, 1, EVENT_READ);
	standing(h, 1, false, EVENT_READ);
	oracle_receipt(h->o, h->site[A], h->site[B], &id, 0);
	assert_int_equal(broken(h, PROMISE_CONVERGE), before + 1);
}

static void cancelled_and_still_queued(void **state)
{
	struct history *h = *state;
	struct msgid id = id_of(1);

	convergence_in_time(state);
	oracle_done(h->o, h->site[A], &id, EVENT_CANCELLED);
	standing(h, 1, false, EVENT_CANCELLED);
	assert_int_equal(broken(h, PROMISE_ANSWER), 0);
	standing(h, 1, true, 0);
	assert_int_equal(broken(h, PROMISE_ANSWER), 1);
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
		send(h, PREC_ROUTINE);
	arrive(h);
	arrive(h);
	take(h, 1);
	done(h, 1, EVENT_READ);
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

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(good_history), T(journal_holds_less_after_a_restart), T(journal_differs_after_a_restart), T(message_in_no_queue), T(message_unknown_to_its_site),
		T(destroyed_is_not_lost), T(never_reaches_its_addressee), T(body_altered), T(words_altered), T(parts_altered), T(journals_differ), T(wrong_queue),
		T(wrong_site), T(nobody_sent_it), T(wrong_originator), T(unanswered_but_kept), T(again_after_the_acknowledgement), T(again_without_a_mark),
		T(acknowledgement_lost_with_the_journal), T(acknowledgement_known_to_a_standby), T(one_submission_two_messages), T(read_and_still_queued), T(entries_out_of_order), T(entry_stored_twice),
		T(handed_out_of_order), T(bulk_before_flash), T(flash_in_time), T(flash_late), T(flash_late_at_arrival), T(flash_excused),
		T(frontier_beyond_the_journal), T(frontier_goes_back), T(frontier_goes_back_with_the_journal), T(frontier_of_another_chain),
		T(spoke_before_the_commit), T(accepted_before_the_commit), T(states_that_are_not_so), T(read_and_never_handed_out), T(refused_is_not_read), T(expired_without_an_expiry),
		T(false_receipt), T(refused_but_stored), T(refused_then_tried_again), T(convergence_in_time), T(receipt_never_came), T(cancelled_and_still_queued),
		T(expired_before_its_time), T(waits_after_its_time), T(expectations_count), T(tallies),
		cmocka_unit_test(every_name_is_there), cmocka_unit_test(times_of_the_story),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
