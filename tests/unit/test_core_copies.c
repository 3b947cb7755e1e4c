/* A journal that lacks what it once held, and sites of which two copies live. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, N };

static void begin(struct world *w, uint64_t seed)
{
	world_init(w, SITES, N, seed);
	world_run(w, 2 * US_PER_S);
}

static struct msgid send(struct world *w, size_t i, const char *to, const char *subject, const char *key)
{
	struct send_options o = {.subject = subject, .key = key};
	struct msgid id;

	assert_int_equal(world_send(w, i, to, PREC_IMMEDIATE, view_str(subject), &o, &id, NULL), ERR_OK);
	return id;
}

static bool take(struct world *w, size_t i, const char *queue, struct taken *t)
{
	*t = (struct taken){.body = BUF_EMPTY};
	bool got = world_take_one(w, i, queue, 3 * US_PER_S, t);

	buf_release(&t->body);
	return got;
}

static void read_next(struct world *w, size_t i, const char *queue, const char *subject)
{
	struct taken t;

	if (!take(w, i, queue, &t))
		fail_msg("nothing in %s at %s, expected %s", queue, w->keys[i].site, subject);
	assert_string_equal(t.subject, subject);
	assert_int_equal(world_handle(w, i, REQ_ACK, &t.id), ERR_OK);
}

static void take_none(struct world *w, size_t i, const char *queue)
{
	struct taken t;

	if (take(w, i, queue, &t))
		fail_msg("%s at %s: \"%s\" was handed out", queue, w->keys[i].site, t.subject);
}

/* How often each of the messages "0" to "n-1" is handed out at a site. */
static void drain(struct world *w, size_t i, const char *queue, unsigned *times, unsigned n)
{
	struct taken t;

	while (take(w, i, queue, &t)) {
		unsigned at = (unsigned)atoi(t.subject);

		assert_true(at < n);
		times[at]++;
		assert_int_equal(world_handle(w, i, REQ_ACK, &t.id), ERR_OK);
	}
}

static void unlink_all(struct world *w, size_t i, bool up)
{
	for (size_t k = 0; k < w->n; k++)
		if (k != i && w->number[k] != w->number[i])
			world_link(w, i, k, up);
}

static void verify_all(struct world *w)
{
	for (size_t i = 0; i < w->n; i++)
		world_verify(w, i);
}

/* ---- a journal rolled back --------------------------------------------------------------------------------------- */

static void a_rolled_back_journal_is_noticed(void **state)
{
	struct world w;
	struct msgid keyed, again;
	bool duplicate = false;

	(void)state;
	begin(&w, 1);
	send(&w, ANTWERPEN, "cic-luik/dispatch", "before", NULL);
	world_run(&w, US_PER_S);
	world_crash(&w, LUIK);
	struct world_image *old = world_copy(&w, LUIK);

	world_start(&w, LUIK);
	world_run(&w, 2 * US_PER_S);
	read_next(&w, LUIK, "dispatch", "before");
	keyed = send(&w, LUIK, "cic-antwerpen/dispatch", "from Luik", "key-1");
	send(&w, ANTWERPEN, "cic-luik/dispatch", "after", NULL);
	send(&w, ANTWERPEN, "cic-luik/dispatch", "waits", NULL);
	world_run(&w, US_PER_S);
	read_next(&w, LUIK, "dispatch", "after");
	world_run(&w, 2 * US_PER_S);

	world_crash(&w, LUIK);
	unlink_all(&w, LUIK, false);
	world_put_back(&w, LUIK, old);
	world_start(&w, LUIK);
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 2 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "recovering"));
	take_none(&w, LUIK, "dispatch"); /* Leuven, another standby, was not reached yet */
	world_link(&w, LUIK, LEUVEN, true);
	world_link(&w, LUIK, ANTWERPEN, true);
	world_run(&w, 10 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "recovering"));
	struct send_options o = {.subject = "from Luik", .key = "key-1"};

	assert_int_equal(world_send(&w, LUIK, "cic-antwerpen/dispatch", PREC_IMMEDIATE, view_str("from Luik"), &o, &again, &duplicate), ERR_OK);
	assert_true(duplicate);
	assert_memory_equal(&again, &keyed, sizeof again);
	read_next(&w, LUIK, "dispatch", "waits");
	take_none(&w, LUIK, "dispatch");
	world_run(&w, 2 * US_PER_S);
	read_next(&w, ANTWERPEN, "dispatch", "from Luik");
	take_none(&w, ANTWERPEN, "dispatch");
	assert_false(world_alarm(&w, ANTWERPEN, "fork"));
	assert_false(world_alarm(&w, NAMEN, "copies"));
	verify_all(&w);
	world_image_free(old);
	world_release(&w);
}

/* Rolled back in the same instant, so that by its clock the old run could begin again: no number and no incarnation comes twice. */
static void no_number_comes_twice(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 2);
	world_crash(&w, LUIK);
	struct world_image *old = world_copy(&w, LUIK);
	unsigned times[8] = {0};

	for (unsigned round = 0; round < 4; round++) {
		char s[2][2] = {{(char)('0' + 2 * round)}, {(char)('1' + 2 * round)}};

		w.node[LUIK].clock_offset_us = -w.now.us; /* its clock shows the same each time */
		world_start(&w, LUIK);
		world_run(&w, 2 * US_PER_S);
		send(&w, LUIK, "cic-antwerpen/dispatch", s[0], NULL);
		send(&w, LUIK, "cic-antwerpen/dispatch", s[1], NULL);
		world_run(&w, 20 * US_PER_S);
		world_crash(&w, LUIK);
		world_put_back(&w, LUIK, old);
	}
	world_start(&w, LUIK);
	world_run(&w, 30 * US_PER_S);
	drain(&w, ANTWERPEN, "dispatch", times, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(times[i], 1);
	assert_false(world_alarm(&w, ANTWERPEN, "fork"));
	verify_all(&w);
	world_image_free(old);
	world_release(&w);
}

/* ---- two live copies ------------------------------------------------------------------------------------------------ */

static void two_live_copies_are_told_everywhere(void **state)
{
	struct world w;
	unsigned times[8] = {0};

	(void)state;
	begin(&w, 3);
	world_crash(&w, LUIK);
	struct world_image *im = world_copy(&w, LUIK);
	size_t twin = world_twin(&w, LUIK, im);

	world_link(&w, twin, NAMEN, false); /* they stand at different places: each reaches some */
	world_link(&w, LUIK, LEUVEN, false);
	world_start(&w, LUIK);
	world_run(&w, 3 * US_PER_S);
	world_start(&w, twin);
	world_run(&w, 10 * US_PER_S);
	for (unsigned i = 0; i < 8; i++) {
		char s[2] = {(char)('0' + i)};

		send(&w, i % 2 ? twin : LUIK, "cic-antwerpen/dispatch", s, NULL);
		world_run(&w, 3 * US_PER_S);
	}
	unlink_all(&w, twin, true); /* now each site is in touch with both */
	unlink_all(&w, LUIK, true);
	for (size_t i = 0; i < 4; i++) {
		send(&w, i % 2 ? twin : LUIK, "cic-namen/dispatch", "more", NULL);
		send(&w, i % 2 ? twin : LUIK, "cic-vlaams-brabant/dispatch", "more", NULL);
		world_run(&w, 3 * US_PER_S);
	}
	world_run(&w, 60 * US_PER_S);
	for (size_t i = 0; i < w.n; i++)
		if (!world_alarm(&w, i, "copies"))
			fail_msg("no alarm at %s", i == twin ? "the twin" : w.keys[i].site);
	drain(&w, ANTWERPEN, "dispatch", times, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(times[i], 1);
	assert_false(world_alarm(&w, ANTWERPEN, "fork"));
	verify_all(&w);
	world_image_free(im);
	world_release(&w);
}

/* What both copies hand out is read twice, and told. */
static void what_both_copies_read_is_no_secret(void **state)
{
	struct world w;
	struct taken a, b;

	(void)state;
	begin(&w, 4);
	send(&w, ANTWERPEN, "cic-luik/dispatch", "0", NULL);
	world_run(&w, 2 * US_PER_S);
	world_crash(&w, LUIK);
	struct world_image *im = world_copy(&w, LUIK);
	size_t twin = world_twin(&w, LUIK, im);

	unlink_all(&w, twin, false);
	world_start(&w, LUIK);
	world_start(&w, twin);
	world_run(&w, 3 * US_PER_S);
	assert_true(take(&w, LUIK, "dispatch", &a));
	assert_true(take(&w, twin, "dispatch", &b));
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &a.id), ERR_OK);
	world_run(&w, 3 * US_PER_S);
	assert_int_equal(world_handle(&w, twin, REQ_ACK, &b.id), ERR_OK);
	unlink_all(&w, twin, true);
	world_run(&w, 60 * US_PER_S);
	assert_true(world_alarm(&w, NAMEN, "copies"));
	assert_true(world_alarm(&w, LEUVEN, "copies"));
	verify_all(&w);
	world_image_free(im);
	world_release(&w);
}

/* ---- one machine image resumed in mid-run --------------------------------------------------------------------------- */

static enum err count_branch(void *arg, uint32_t stream, uint64_t first, const struct hash *hash)
{
	(void)stream;
	(void)first;
	(void)hash;
	++*(unsigned *)arg;
	return ERR_OK;
}

static unsigned branches(struct world *w, size_t i)
{
	struct txn *t;
	unsigned n = 0;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	assert_int_equal(store_branch_each(t, count_branch, &n), ERR_OK);
	txn_abort(t);
	return n;
}

/* Two machines in the same run: same incarnation, and from here on two histories of each stream. */
static size_t resumed_twice(struct world *w)
{
	world_crash(w, LUIK);
	struct world_image *im = world_copy(w, LUIK);
	size_t twin = world_twin(w, LUIK, im);

	world_image_free(im);
	world_run(w, 3 * US_PER_S);
	unlink_all(w, LUIK, false);
	unlink_all(w, twin, false);
	w->node[LUIK].fixed_seed = w->node[twin].fixed_seed = true;
	memcpy(w->node[twin].seed, w->node[LUIK].seed, sizeof w->node[LUIK].seed);
	world_start(w, LUIK);
	world_start(w, twin);
	world_run(w, US_PER_S);
	assert_memory_equal(core_incarnation(w->node[LUIK].core), core_incarnation(w->node[twin].core), sizeof(struct incarnation));
	w->node[LUIK].fixed_seed = w->node[twin].fixed_seed = false;
	return twin;
}

/* Two histories are told once a connection: no end of link resets, and neither is sent again and again. */
static void calm(struct world *w)
{
	uint64_t resets = w->resets, frames = w->frames;

	world_run(w, 120 * US_PER_S);
	if (w->resets > resets + 2)
		fail_msg("%llu link resets in two minutes", (unsigned long long)(w->resets - resets));
	if (w->frames > frames + 4000)
		fail_msg("%llu frames in two quiet minutes", (unsigned long long)(w->frames - frames));
}

static void two_histories_of_one_stream(void **state)
{
	struct world w;
	unsigned times[100] = {0};
	char s[4];

	(void)state;
	begin(&w, 5);
	size_t twin = resumed_twice(&w);

	for (unsigned i = 0; i < 40; i++) {
		snprintf(s, sizeof s, "%u", i);
		send(&w, LUIK, "cic-antwerpen/dispatch", s, NULL);
		snprintf(s, sizeof s, "%u", 40 + i);
		send(&w, twin, "cic-antwerpen/dispatch", s, NULL);
	}
	for (size_t k = 1; k < N; k++)
		world_link(&w, LUIK, k, true);
	world_run(&w, 10 * US_PER_S);
	drain(&w, ANTWERPEN, "dispatch", times, 100);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(times[i], 1);
	for (size_t k = 1; k < N; k++)
		world_link(&w, LUIK, k, false);
	world_run(&w, 5 * US_PER_S);
	for (size_t k = 1; k < N; k++)
		world_link(&w, twin, k, true);
	world_run(&w, 30 * US_PER_S);
	assert_true(world_alarm(&w, ANTWERPEN, "fork"));
	assert_true(branches(&w, ANTWERPEN) > 0);
	snprintf(s, sizeof s, "80");
	send(&w, twin, "cic-antwerpen/dispatch", s, NULL);
	world_run(&w, 60 * US_PER_S);
	drain(&w, ANTWERPEN, "dispatch", times, 100);
	assert_int_equal(times[80], 1); /* what the second one writes from now on is a run of its own */
	/* Nothing read before is handed out again. */
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(times[i], 1);
	for (unsigned i = 40; i < 80; i++)
		assert_int_equal(times[i], 0);
	calm(&w);
	assert_false(world_alarm(&w, ANTWERPEN, "peer"));
	verify_all(&w);
	world_release(&w);
}

/* Both are connected at once, the second one writes on after the first. */
static void two_histories_at_once(void **state)
{
	struct world w;
	unsigned times[40] = {0};
	char s[4];

	(void)state;
	begin(&w, 6);
	size_t twin = resumed_twice(&w);

	for (size_t k = 1; k < N; k++)
		world_link(&w, k % 2 ? LUIK : twin, k, true);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(s, sizeof s, "%u", i);
		send(&w, i % 2 ? twin : LUIK, "cic-antwerpen/dispatch", s, NULL);
		world_run(&w, US_PER_S / 2);
	}
	for (size_t k = 1; k < N; k++)
		world_link(&w, k % 2 ? twin : LUIK, k, true);
	world_run(&w, 60 * US_PER_S);
	for (unsigned i = 20; i < 40; i++) {
		snprintf(s, sizeof s, "%u", i);
		send(&w, i % 2 ? twin : LUIK, "cic-antwerpen/dispatch", s, NULL);
		send(&w, i % 2 ? twin : LUIK, "cic-namen/dispatch", s, NULL);
		send(&w, i % 2 ? twin : LUIK, "cic-vlaams-brabant/dispatch", s, NULL);
		world_run(&w, US_PER_S / 2);
	}
	world_run(&w, 60 * US_PER_S);
	drain(&w, ANTWERPEN, "dispatch", times, 40);
	for (unsigned i = 0; i < 40; i++)
		assert_true(times[i] <= 1);
	for (unsigned i = 20; i < 40; i++)
		assert_int_equal(times[i], 1);
	for (size_t k = 1; k < N; k++)
		if (!world_alarm(&w, k, "copies") && !world_alarm(&w, k, "fork"))
			fail_msg("nothing was told at %s", w.keys[k].site);
	calm(&w);
	verify_all(&w);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rolled_back_journal_is_noticed),
		cmocka_unit_test(no_number_comes_twice),
		cmocka_unit_test(two_live_copies_are_told_everywhere),
		cmocka_unit_test(what_both_copies_read_is_no_secret),
		cmocka_unit_test(two_histories_of_one_stream),
		cmocka_unit_test(two_histories_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
