/* Entries opened and placed again in small steps: nothing is placed twice, nothing that ended comes back, and the work goes on after
 * a crash or a failed commit where it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "storage/memkv.h"
#include "storage/record.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant"};
enum { LUIK, NAMEN, LEUVEN };
#define QUEUE "cic-luik/dispatch"
#define MESSAGES 300 /* more than one step takes */

/* ---- batches by hand --------------------------------------------------------------------------------------------- */

static struct effects out;

static struct core *begin(struct world *w, size_t i)
{
	struct core *c = w->node[i].core;

	assert_int_equal(txn_begin(w->node[i].store, true, &c->t), ERR_OK);
	c->out = &out;
	return c;
}

static void end(struct core *c)
{
	for (size_t i = 0; i < c->n_queues; i++)
		if (c->queues[i].dirty) {
			store_queue_put(c->t, &c->queues[i].row);
			c->queues[i].dirty = false;
			c->queues[i].touched = true;
		}
	reports_drop(c); /* what the others hear is not looked at here */
	assert_int_equal(txn_commit(c->t), ERR_OK);
	c->t = NULL;
	c->out = NULL;
	effects_clear(&out);
	core_committed(c);
}

static void fail_end(struct core *c)
{
	txn_abort(c->t);
	c->t = NULL;
	c->out = NULL;
	effects_clear(&out);
	assert_int_equal(core_reload(c), ERR_OK);
}

static void step(struct world *w, size_t i)
{
	struct core *c = begin(w, i);

	redo_step(c);
	end(c);
}

static uint64_t waiting(struct world *w, size_t i)
{
	const struct core *c = w->node[i].core;
	uint64_t n = 0;

	for (size_t q = 0; q < c->n_queues; q++)
		for (size_t p = 0; p < PREC_COUNT; p++)
			n += c->queues[q].row.waiting[0][p];
	return n;
}

/* ---- what is there to be placed again ------------------------------------------------------------------------------- */

static void send(struct world *w, enum precedence p, const char *body, struct msgid *id)
{
	struct send_options o = {.subject = body};

	assert_int_equal(world_send(w, NAMEN, QUEUE, p, view_str(body), &o, id, NULL), ERR_OK);
}

/* The stream from Namen to Luik at a precedence. */
static struct stream *stream_of(struct world *w, size_t at, enum precedence p)
{
	struct core *c = w->node[at].core;

	for (size_t i = 0; i < c->n_streams; i++) {
		const struct stream_name *n = &c->streams[i]->row.name;

		if (n->originator == w->number[NAMEN] && n->addressee == w->number[LUIK] && n->precedence == p && !n->exercise)
			return c->streams[i];
	}
	fail_msg("no such stream");
	return NULL;
}

/* As if none of what waits had been opened: out of its queue, not ended. */
static void unplace(struct world *w, size_t i)
{
	struct core *c = begin(w, i);
	struct buf events = BUF_EMPTY;
	struct msgid id = {{0}};
	struct msg_row row;

	for (uint16_t to = 0; store_msg_from(c->t, &id, to, &row) == ERR_OK; to = (uint16_t)(row.addressee + 1)) {
		id = row.id;
		uint16_t addressee = row.addressee;

		assert_int_equal(msg_load(c, &id, addressee, &row, &events), ERR_OK);
		deliver_remove(c, &row);
		row.events = buf_view(&events);
		store_msg_put(c->t, &row);
	}
	buf_release(&events);
	end(c);
	assert_int_equal(waiting(w, i), 0);
}

static void ask_again(struct world *w, size_t i, enum precedence p, uint64_t first, uint64_t upto)
{
	struct core *c = begin(w, i);

	redo_add(c, stream_of(w, i, p), first, upto);
	end(c);
}

/* MESSAGES of PRIORITY, 3 of FLASH and one that was read; all but that one are to be placed again. */
static void prepare(struct world *w)
{
	struct msgid read;
	struct taken t = {.body = BUF_EMPTY};

	world_init(w, SITES, 3, 1);
	send(w, PREC_FLASH, "read", &read);
	world_run(w, US_PER_S);
	assert_true(world_take_one(w, LUIK, QUEUE, US_PER_S, &t));
	assert_int_equal(world_handle(w, LUIK, REQ_ACK, &t.id), ERR_OK);
	buf_release(&t.body);
	for (int i = 0; i < MESSAGES; i++)
		send(w, PREC_PRIORITY, "m", NULL);
	for (int i = 0; i < 3; i++)
		send(w, PREC_FLASH, "f", NULL);
	world_run(w, 5 * US_PER_S);
	assert_int_equal(waiting(w, LUIK), MESSAGES + 3);
	unplace(w, LUIK);
}

static void finish(struct world *w, size_t i)
{
	for (int k = 0; k < 10 && w->node[i].core->takeover.n_redo; k++)
		step(w, i);
	assert_int_equal(w->node[i].core->takeover.n_redo, 0);
	struct redo_row row;
	struct txn *t;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	assert_int_equal(store_redo_from(t, 0, &row), ERR_NOT_FOUND);
	txn_abort(t);
}

/* ---- tests -------------------------------------------------------------------------------------------------------------- */

static void what_was_not_open_is_placed_once(void **state)
{
	struct world w;

	(void)state;
	prepare(&w);
	ask_again(&w, LUIK, PREC_FLASH, 1, UINT64_MAX);
	ask_again(&w, LUIK, PREC_PRIORITY, 1, UINT64_MAX);
	step(&w, LUIK);
	const struct core *c = w.node[LUIK].core;
	uint64_t first = waiting(&w, LUIK);

	/* A step is bounded, and what is most urgent is in the first one. */
	assert_true(first > 3 && first < MESSAGES);
	assert_int_equal(c->takeover.n_redo, 1);
	assert_true(c->serve_more);
	uint64_t flash = 0;

	for (size_t q = 0; q < c->n_queues; q++)
		flash += c->queues[q].row.waiting[0][PREC_FLASH];
	assert_int_equal(flash, 3);
	finish(&w, LUIK);
	assert_int_equal(waiting(&w, LUIK), MESSAGES + 3);
	/* Once more: everything stands already. */
	ask_again(&w, LUIK, PREC_PRIORITY, 1, UINT64_MAX);
	ask_again(&w, LUIK, PREC_FLASH, 1, UINT64_MAX);
	finish(&w, LUIK);
	assert_int_equal(waiting(&w, LUIK), MESSAGES + 3);
	world_release(&w);
}

static void jobs_of_one_stream_become_one(void **state)
{
	struct world w;

	(void)state;
	prepare(&w);
	const struct takeover *t = &w.node[LUIK].core->takeover;

	ask_again(&w, LUIK, PREC_PRIORITY, 20, 30);
	ask_again(&w, LUIK, PREC_PRIORITY, 10, 12);
	ask_again(&w, LUIK, PREC_PRIORITY, 25, 50);
	ask_again(&w, LUIK, PREC_PRIORITY, 30, 40);
	ask_again(&w, LUIK, PREC_PRIORITY, 9, 8); /* nothing */
	assert_int_equal(t->n_redo, 1);
	assert_true(t->redo[0].next == 10 && t->redo[0].upto == 50);
	finish(&w, LUIK);
	uint64_t some = waiting(&w, LUIK);

	assert_true(some >= 40 && some <= 41); /* one of the entries may be a grant */
	ask_again(&w, LUIK, PREC_PRIORITY, 0, UINT64_MAX);
	assert_int_equal(t->redo[0].next, 1);
	assert_int_equal(t->redo[0].upto, stream_of(&w, LUIK, PREC_PRIORITY)->row.held);
	world_release(&w);
}

static void a_crash_does_not_end_the_work(void **state)
{
	struct world w;

	(void)state;
	prepare(&w);
	ask_again(&w, LUIK, PREC_PRIORITY, 1, UINT64_MAX);
	ask_again(&w, LUIK, PREC_FLASH, 1, UINT64_MAX);
	step(&w, LUIK);
	struct redo_row row;
	struct txn *t;

	assert_int_equal(txn_begin(w.node[LUIK].store, false, &t), ERR_OK);
	assert_int_equal(store_redo_from(t, 0, &row), ERR_OK);
	assert_true(row.next > MESSAGES / 2 && row.next < MESSAGES); /* it goes on there */
	txn_abort(t);
	world_crash(&w, LUIK);
	world_start(&w, LUIK);
	world_run(&w, 5 * US_PER_S); /* nobody has to ask */
	assert_int_equal(w.node[LUIK].core->takeover.n_redo, 0);
	finish(&w, LUIK);
	assert_int_equal(waiting(&w, LUIK), MESSAGES + 3);
	world_release(&w);
}

static void a_failed_commit_takes_its_steps_back(void **state)
{
	struct world w;
	struct core *c;

	(void)state;
	prepare(&w);
	c = begin(&w, LUIK);
	redo_add(c, stream_of(&w, LUIK, PREC_FLASH), 1, UINT64_MAX);
	fail_end(c);
	assert_int_equal(c->takeover.n_redo, 0);
	ask_again(&w, LUIK, PREC_PRIORITY, 1, UINT64_MAX);
	for (int i = 0; i < 2; i++) {
		c = begin(&w, LUIK);
		redo_step(c);
		redo_step(c); /* it would be done */
		assert_int_equal(c->takeover.n_redo, 0);
		fail_end(c);
		assert_int_equal(c->takeover.n_redo, 1);
		assert_int_equal(c->takeover.redo[0].next, 1);
		assert_int_equal(waiting(&w, LUIK), 0);
	}
	finish(&w, LUIK);
	assert_int_equal(waiting(&w, LUIK), MESSAGES);
	world_release(&w);
}

static void damage_makes_it_all_be_looked_at(void **state)
{
	struct world w;

	(void)state;
	prepare(&w);
	ask_again(&w, LUIK, PREC_PRIORITY, MESSAGES, UINT64_MAX); /* the last few */
	struct key k = key_redo(stream_of(&w, LUIK, PREC_PRIORITY)->row.local);
	uint8_t bytes[64];
	struct view value;
	struct txn *t;

	assert_int_equal(txn_begin(w.node[LUIK].store, false, &t), ERR_OK);
	assert_int_equal(kv_get(t->k, k.db, key_view(&k), &value), ERR_OK);
	size_t len = value.len;

	memcpy(bytes, value.ptr, len);
	txn_abort(t);
	world_crash(&w, LUIK);
	assert_int_equal(memkv_flip(w.node[LUIK].store->kv, view_of(bytes, len), 3), 1);
	world_start(&w, LUIK);
	world_run(&w, 5 * US_PER_S);
	finish(&w, LUIK);
	assert_int_equal(waiting(&w, LUIK), MESSAGES);
	assert_true(world_alarm(&w, LUIK, "damage"));
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_open_is_placed_once),
		cmocka_unit_test(jobs_of_one_stream_become_one),
		cmocka_unit_test(a_crash_does_not_end_the_work),
		cmocka_unit_test(a_failed_commit_takes_its_steps_back),
		cmocka_unit_test(damage_makes_it_all_be_looked_at),
	};

	return cmocka_run_group_tests_name("redo", tests, NULL, NULL);
}
