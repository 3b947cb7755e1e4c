/* What a site that lost its journal may say, and when: closings, what ends a recovery, and waivers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-henegouwen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, HENEGOUWEN, SPOC, N };

static void order(struct world *w, size_t i, const char *what, const char *to)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;
	bool done = false;

	request_begin(&rw, &b, REQ_ORDER, ++w->tag);
	request_str(&rw, F_WHAT, what);
	request_str(&rw, F_TO, "cic-luik");
	if (to)
		request_str(&rw, F_ASSIGN, to);
	request_str(&rw, F_REASON, "flood");
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	for (int tries = 0; !done && tries < 200; tries++) {
		while (!done && world_reply(w, i, &r)) {
			if (r.type == REPLY_ERROR)
				fail_msg("%s: %.*s", what, (int)reply_field(&r, F_TEXT).len, (const char *)reply_field(&r, F_TEXT).ptr);
			done = r.type == REPLY_DONE;
		}
		if (!done)
			world_run(w, 10000);
	}
	assert_true(done);
}

static enum err release(struct world *w, size_t i, const char *what)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;

	request_begin(&rw, &b, REQ_RELEASE, ++w->tag);
	request_str(&rw, F_WHAT, what);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	for (int tries = 0; tries < 200; tries++) {
		while (world_reply(w, i, &r))
			if (r.tag == w->tag && (r.type == REPLY_DONE || r.type == REPLY_ERROR))
				return r.type == REPLY_DONE ? ERR_OK : ERR_NOT_FOUND;
		world_run(w, 10000);
	}
	fail_msg("no answer");
	return ERR_INTERNAL;
}

static void send_ok(struct world *w, size_t i, const char *to, struct msgid *id)
{
	assert_int_equal(world_send(w, i, to, PREC_ROUTINE, view_str("m"), NULL, id, NULL), ERR_OK);
}

static bool take(struct world *w, size_t i, const char *queue, struct msgid *id)
{
	struct taken t = {.body = BUF_EMPTY};
	bool got = world_take_one(w, i, queue, 3 * US_PER_S, &t);

	*id = t.id;
	buf_release(&t.body);
	return got;
}

static bool closed(struct world *w, size_t at, size_t giver)
{
	const struct chain *ch = chain_find(w->node[at].core, w->number[LUIK], false);
	struct txn *t;
	struct view v;

	assert_non_null(ch);
	assert_non_null(ch->now);
	assert_int_equal(txn_begin(w->node[at].store, false, &t), ERR_OK);
	bool found = store_closing_get(t, &ch->now->id, w->number[giver], 0, &v) == ERR_OK;

	txn_abort(t);
	return found;
}

/* Luik moved to Namen, which read a message and lost its journal. Only Leuven, which is away, holds that it was read. */
static void moved_read_and_lost(struct world *w, uint64_t seed, struct msgid *id)
{
	struct msgid got;

	world_init(w, SITES, N, seed);
	world_run(w, 2 * US_PER_S);
	send_ok(w, SPOC, "cic-luik/dispatch", id);
	world_run(w, US_PER_S);
	world_crash(w, LUIK);
	world_run(w, US_PER_S);
	order(w, SPOC, "relocate", "cic-namen");
	assert_true(take(w, NAMEN, "cic-luik/dispatch", &got));
	assert_int_equal(world_handle(w, NAMEN, REQ_ACK, &got), ERR_OK);
	world_run(w, 2 * US_PER_S);
	for (size_t i = NAMEN; i <= HENEGOUWEN; i++)
		world_crash(w, i);
	world_lose_journal(w, NAMEN);
	world_start(w, NAMEN);
	world_run(w, 15 * US_PER_S);
	assert_true(w->node[NAMEN].core->recovering);
	order(w, SPOC, "handback", NULL);
	world_run(w, 5 * US_PER_S);
	world_start(w, LUIK);
	world_run(w, 30 * US_PER_S);
}

static void a_closing_waits_for_what_was_lost(void **state)
{
	struct world w;
	struct msgid id, got;

	(void)state;
	moved_read_and_lost(&w, 1, &id);
	assert_true(w.node[NAMEN].core->recovering);
	assert_false(closed(&w, NAMEN, NAMEN));
	assert_false(take(&w, LUIK, "dispatch", &got));
	world_start(&w, LEUVEN);
	world_start(&w, HENEGOUWEN);
	world_run(&w, 60 * US_PER_S);
	assert_false(w.node[NAMEN].core->recovering);
	assert_true(closed(&w, NAMEN, NAMEN));
	assert_true(closed(&w, LUIK, NAMEN));
	assert_false(take(&w, LUIK, "dispatch", &got)); /* it was read */
	send_ok(&w, SPOC, "cic-luik/dispatch", &id);
	assert_true(take(&w, LUIK, "dispatch", &got));
	world_release(&w);
}

/* Whichever commit fails, or after whichever it is killed: the closing is written, once. */
static void a_closing_is_due_until_it_is_written(void **state)
{
	(void)state;
	for (uint64_t k = 1; k < 24; k++) {
		struct world w;
		struct msgid id, got;

		moved_read_and_lost(&w, 2, &id);
		w.node[NAMEN].fail_at = w.node[NAMEN].commits + k;
		w.node[NAMEN].fail_with = k % 2 ? ERR_SYNC : ERR_IO;
		world_start(&w, LEUVEN);
		world_start(&w, HENEGOUWEN);
		world_run(&w, 30 * US_PER_S);
		if (!w.node[NAMEN].up) {
			w.node[NAMEN].fail_at = 0;
			world_start(&w, NAMEN);
			world_run(&w, 30 * US_PER_S);
		}
		assert_true(closed(&w, LUIK, NAMEN));
		assert_false(take(&w, LUIK, "dispatch", &got));
		world_release(&w);
	}
}

/* What is waived is closed with what is there. */
static void a_waived_recovery_closes(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	moved_read_and_lost(&w, 3, &id);
	assert_int_equal(release(&w, NAMEN, "cic-henegouwen"), ERR_OK);
	world_run(&w, 5 * US_PER_S);
	assert_true(closed(&w, NAMEN, NAMEN));
	assert_true(closed(&w, LUIK, NAMEN));
	assert_int_equal(release(&w, NAMEN, "cic-henegouwen"), ERR_NOT_FOUND);
	world_release(&w);
}

/* A closing that came back with the own streams is not written again. */
static void what_was_closed_before_is_not_closed_again(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, N, 4);
	world_run(&w, 2 * US_PER_S);
	send_ok(&w, SPOC, "cic-luik/dispatch", &id);
	world_run(&w, US_PER_S);
	order(&w, SPOC, "relocate", "cic-namen");
	world_run(&w, US_PER_S);
	order(&w, SPOC, "handback", NULL);
	world_run(&w, 5 * US_PER_S);
	assert_true(closed(&w, LUIK, NAMEN));
	for (int again = 0; again < 2; again++) {
		world_crash(&w, NAMEN);
		if (again)
			world_lose_journal(&w, NAMEN);
		world_start(&w, NAMEN);
		world_run(&w, 30 * US_PER_S);
		assert_false(w.node[NAMEN].core->recovering);
		assert_true(closed(&w, NAMEN, NAMEN));
		for (size_t i = 0; i < w.node[NAMEN].core->n_streams; i++) {
			const struct stream_name *n = &w.node[NAMEN].core->streams[i]->row.name;

			assert_false(n->originator == w.number[NAMEN] && incarnation_equal(&n->incarnation, &w.node[NAMEN].core->incarnation));
		}
	}
	world_release(&w);
}

/* ---- who is heard ------------------------------------------------------------------------------------------------------- */

/* A site without standbys waits for somebody; and goes on without when a person says so. */
static void without_standbys_somebody_is_heard(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	for (int waived = 0; waived < 2; waived++) {
		world_init(&w, SITES, N, 5);
		struct roster *r = world_roster_copy(&w);

		for (size_t i = 0; i < r->n_sites; i++)
			if (r->sites[i].number == w.number[LUIK])
				r->sites[i].n_standbys = 0;
		world_roster(&w, r);
		roster_free(r);
		world_run(&w, 5 * US_PER_S);
		send_ok(&w, SPOC, "cic-luik/dispatch", &id);
		world_run(&w, US_PER_S);
		world_crash(&w, LUIK);
		for (size_t i = 0; i < N; i++)
			if (i != LUIK)
				world_link(&w, LUIK, i, false);
		world_lose_journal(&w, LUIK);
		world_start(&w, LUIK);
		world_run(&w, 30 * US_PER_S);
		assert_true(w.node[LUIK].core->recovering);
		assert_true(world_alarm(&w, LUIK, "recovering"));
		if (waived) {
			assert_int_equal(release(&w, LUIK, "spoc-brussel"), ERR_OK);
		} else {
			world_link(&w, LUIK, SPOC, true);
			world_run(&w, 30 * US_PER_S);
		}
		assert_false(w.node[LUIK].core->recovering);
		assert_false(world_alarm(&w, LUIK, "recovering"));
		world_release(&w);
	}
}

/* A frame of frontiers of `from`, said to be all of what originator wrote: number entries in a stream that there is not. */
static void lie(struct world *w, size_t at, size_t from, size_t originator, int64_t born_us)
{
	struct buf b = BUF_EMPTY;
	struct effects out = EFFECTS_EMPTY;
	struct frontier f = {.stream = {.originator = w->number[originator], .addressee = w->number[LUIK], .precedence = PREC_ROUTINE,
					.incarnation = {born_us, {7}}}, .number = 1000, .chain = {{9}}};
	struct event ev = {.type = EVENT_FRAME, .now = w->now, .wall = world_wall(w, at)};

	frame_frontiers_begin(&b, w->number[originator]);
	frontier_add(&b, &f);
	ev.u.frame.peer = w->number[from];
	ev.u.frame.lane = LANE_URGENT;
	ev.u.frame.side = SIDE_DIALLED;
	ev.u.frame.bytes = buf_view(&b);
	assert_int_equal(core_apply(w->node[at].core, w->node[at].store, &ev, 1, &out), ERR_OK);
	effects_release(&out);
	buf_release(&b);
}

/* A peer that shows what there never was holds up a recovery until a person waives it, and not again after that. */
static void a_liar_holds_it_up_until_it_is_waived(void **state)
{
	struct world w;
	struct msgid id, got;

	(void)state;
	world_init(&w, SITES, N, 6);
	world_run(&w, 5 * US_PER_S);
	send_ok(&w, SPOC, "cic-luik/dispatch", &id);
	world_run(&w, US_PER_S);
	world_crash(&w, LUIK);
	world_link(&w, LUIK, NAMEN, false);
	world_lose_journal(&w, LUIK);
	world_start(&w, LUIK);
	world_run(&w, US_PER_S);
	lie(&w, LUIK, LEUVEN, LUIK, world_wall(&w, LUIK).us - 60 * US_PER_S);
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 30 * US_PER_S);
	assert_true(w.node[LUIK].core->recovering);
	assert_false(take(&w, LUIK, "dispatch", &got));
	assert_int_equal(release(&w, LUIK, "cic-vlaams-brabant"), ERR_OK);
	assert_int_equal(release(&w, LUIK, "cic-vlaams-brabant"), ERR_NOT_FOUND);
	assert_true(take(&w, LUIK, "dispatch", &got));
	lie(&w, LUIK, LEUVEN, LUIK, world_wall(&w, LUIK).us - 50 * US_PER_S);
	assert_false(w.node[LUIK].core->recovering);
	world_crash(&w, LUIK);
	world_start(&w, LUIK);
	lie(&w, LUIK, HENEGOUWEN, LUIK, world_wall(&w, LUIK).us - 50 * US_PER_S);
	world_run(&w, 5 * US_PER_S);
	send_ok(&w, SPOC, "cic-luik/dispatch", &id);
	assert_true(take(&w, LUIK, "dispatch", &got));
	world_release(&w);
}

/* A handback that waits for two, at a node that recovers: each waiver is of one thing, and says when there is nothing of it. */
static void waivers_one_after_another(void **state)
{
	struct world w;
	struct msgid id, got;

	(void)state;
	world_init(&w, SITES, N, 7);
	world_run(&w, 2 * US_PER_S);
	send_ok(&w, SPOC, "cic-luik/dispatch", &id);
	world_run(&w, US_PER_S);
	world_crash(&w, LUIK);
	world_run(&w, US_PER_S);
	order(&w, SPOC, "relocate", "cic-namen:dispatch");
	order(&w, SPOC, "relocate", "cic-vlaams-brabant");
	world_run(&w, US_PER_S);
	world_crash(&w, NAMEN);
	world_crash(&w, LEUVEN);
	order(&w, SPOC, "handback", NULL);
	world_lose_journal(&w, LUIK);
	world_start(&w, LUIK);
	world_run(&w, 30 * US_PER_S);
	assert_true(w.node[LUIK].core->recovering);
	assert_int_equal(release(&w, LUIK, "cic-vlaams-brabant"), ERR_OK);
	assert_true(w.node[LUIK].core->recovering);
	assert_false(take(&w, LUIK, "dispatch", &got));
	/* Of it no closing is waited for any more: this is about what was lost. Namen closed when Leuven was named. */
	assert_int_equal(release(&w, LUIK, "cic-vlaams-brabant"), ERR_OK);
	assert_false(w.node[LUIK].core->recovering);
	assert_false(take(&w, LUIK, "dispatch", &got));
	assert_int_equal(release(&w, LUIK, "cic-henegouwen"), ERR_NOT_FOUND);
	assert_int_equal(release(&w, LUIK, "cic-namen"), ERR_OK);
	assert_true(chain_find(w.node[LUIK].core, w.number[LUIK], false)->open);
	assert_int_equal(release(&w, LUIK, "cic-namen"), ERR_NOT_FOUND);
	send_ok(&w, SPOC, "cic-luik/dispatch", &id);
	assert_true(take(&w, LUIK, "dispatch", &got));
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_closing_waits_for_what_was_lost),
		cmocka_unit_test(a_closing_is_due_until_it_is_written),
		cmocka_unit_test(a_waived_recovery_closes),
		cmocka_unit_test(what_was_closed_before_is_not_closed_again),
		cmocka_unit_test(without_standbys_somebody_is_heard),
		cmocka_unit_test(a_liar_holds_it_up_until_it_is_waived),
		cmocka_unit_test(waivers_one_after_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
