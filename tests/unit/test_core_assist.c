/* What lending promises: a part of a queue is handed out at a standby, at one place at a time, and comes back when it was not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };
#define MINUTE (60 * US_PER_S)

static enum err answered(struct world *w, size_t i, uint64_t *n)
{
	struct request r;

	for (int k = 0; k < 300; k++, world_run(w, 10000))
		while (world_reply(w, i, &r))
			if (r.tag == w->tag && r.type != REPLY_ROW) {
				struct view v = reply_field(&r, F_COUNT);

				*n = 0;
				for (size_t b = 0; b < v.len; b++)
					*n = *n << 8 | v.ptr[b];
				return r.type == REPLY_DONE ? ERR_OK : ERR_REFUSED;
			}
	fail_msg("no answer");
	return ERR_INTERNAL;
}

/* How many were lent; UINT64_MAX when it was refused. */
static uint64_t assist(struct world *w, size_t i, const char *queue, const char *to, uint32_t count)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	uint64_t n;

	request_begin(&rw, &b, REQ_ASSIST, ++w->tag);
	request_str(&rw, F_QUEUE, queue);
	request_str(&rw, F_TO, to);
	request_u32(&rw, F_COUNT, count);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	uint64_t got = answered(w, i, &n) ? UINT64_MAX : n;

	world_run(w, 2 * US_PER_S);
	return got;
}

static void order(struct world *w, const char *what, const char *to)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	uint64_t n;

	request_begin(&rw, &b, REQ_ORDER, ++w->tag);
	request_str(&rw, F_WHAT, what);
	request_str(&rw, F_TO, "cic-luik");
	if (to)
		request_str(&rw, F_ASSIGN, to);
	request_str(&rw, F_REASON, "flood");
	request_end(&rw);
	world_request(w, SPOC, &b);
	buf_release(&b);
	assert_int_equal(answered(w, SPOC, &n), ERR_OK);
	world_run(w, 2 * US_PER_S);
}

static void send_some(struct world *w, int n, struct msgid *id)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(world_send(w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, view_str("m"), NULL, id, NULL), ERR_OK);
	world_run(w, US_PER_S);
}

static bool take(struct world *w, size_t i, int64_t lease_us, struct taken *t)
{
	w->lease_us = lease_us;
	*t = (struct taken){.body = BUF_EMPTY};
	bool got = world_take_one(w, i, i == LUIK ? "dispatch" : "cic-luik/dispatch", 3 * US_PER_S, t);

	buf_release(&t->body);
	return got;
}

static void takes(struct world *w, size_t i, const struct msgid *id)
{
	struct taken t;

	if (!take(w, i, 5 * MINUTE, &t))
		fail_msg("nothing was handed out at %s", SITES[i]);
	assert_true(msgid_equal(&t.id, id));
}

static void takes_none(struct world *w, size_t i)
{
	struct taken t;

	if (take(w, i, 5 * MINUTE, &t))
		fail_msg("%s handed something out", SITES[i]);
}

static void read_ok(struct world *w, size_t i, const struct msgid *id) { assert_int_equal(world_handle(w, i, REQ_ACK, id), ERR_OK); }

static void begin(struct world *w, uint64_t seed, int n, struct msgid *id)
{
	world_init(w, SITES, N, seed);
	world_run(w, 2 * US_PER_S);
	send_some(w, n, id);
}

/* One message, lent to Namen. */
static void lent(struct world *w, uint64_t seed, struct msgid *id)
{
	begin(w, seed, 1, id);
	assert_int_equal(assist(w, LUIK, "dispatch", "cic-namen", 8), 1);
}

static void is_read_once(struct world *w, const struct msgid *id)
{
	world_run(w, 5 * US_PER_S);
	assert_int_equal(world_state(w, ANTWERPEN, id), STATE_READ);
	for (size_t i = 0; i < N; i++) {
		assert_false(world_alarm(w, i, "conflict"));
		assert_false(world_alarm(w, i, "report"));
		if (i != ANTWERPEN && i != SPOC)
			takes_none(w, i);
	}
}

static void read_and_returned(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	lent(&w, 1, &id);
	takes_none(&w, LUIK);
	takes(&w, NAMEN, &id);
	assert_int_equal(world_handle(&w, NAMEN, REQ_RETURN, &id), ERR_OK);
	world_run(&w, US_PER_S);
	takes_none(&w, LUIK);
	takes(&w, NAMEN, &id);
	read_ok(&w, NAMEN, &id);
	is_read_once(&w, &id);
	assert_int_equal(world_status(&w, LUIK, "handled_elsewhere"), 1);
	world_release(&w);
}

/* The time is over and no desk there has it: it is at home again, and there no more. */
static void comes_back_when_the_time_is_over(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	lent(&w, 2, &id);
	world_run(&w, 31 * MINUTE);
	takes_none(&w, NAMEN);
	takes(&w, LUIK, &id);
	read_ok(&w, LUIK, &id);
	is_read_once(&w, &id);
	world_release(&w);
}

/* A desk there has it when the time is over: it stays lent as long as that lasts. */
static void stays_while_a_desk_has_it(void **state)
{
	struct world w;
	struct msgid id;
	struct taken t;

	(void)state;
	lent(&w, 3, &id);
	world_run(&w, 20 * MINUTE);
	assert_true(take(&w, NAMEN, 30 * MINUTE, &t));
	world_run(&w, 20 * MINUTE);
	takes_none(&w, LUIK);
	read_ok(&w, NAMEN, &id);
	is_read_once(&w, &id);
	/* Gone from that desk, and not read. */
	send_some(&w, 1, &id);
	assert_int_equal(assist(&w, LUIK, "dispatch", "cic-namen", 8), 1);
	world_run(&w, 20 * MINUTE);
	assert_true(take(&w, NAMEN, 15 * MINUTE, &t));
	world_run(&w, 25 * MINUTE);
	takes(&w, LUIK, &id);
	read_ok(&w, LUIK, &id);
	is_read_once(&w, &id);
	world_release(&w);
}

/* The borrower dies with it in hand: marked, at home, when the time is over. */
static void the_borrower_dies(void **state)
{
	struct world w;
	struct msgid id;
	struct taken t;

	(void)state;
	lent(&w, 4, &id);
	takes(&w, NAMEN, &id);
	world_run(&w, 2 * US_PER_S);
	world_crash(&w, NAMEN);
	takes_none(&w, LUIK);
	world_run(&w, 31 * MINUTE);
	assert_true(take(&w, LUIK, 5 * MINUTE, &t));
	assert_true(msgid_equal(&t.id, &id));
	assert_non_null(strstr(t.perhaps_seen, "cic-namen"));
	read_ok(&w, LUIK, &id);
	world_start(&w, NAMEN);
	world_run(&w, 20 * US_PER_S);
	is_read_once(&w, &id);
	world_release(&w);
}

/* The lender dies: what it lent is read there, and it learns so. Or an order gives all of it to another: then that one has it. */
static void the_lender_dies(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	for (int ordered = 0; ordered < 3; ordered++) {
		lent(&w, 5, &id);
		world_crash(&w, LUIK);
		world_run(&w, US_PER_S);
		if (ordered) {
			order(&w, "relocate", ordered == 1 ? "cic-vlaams-brabant" : "cic-namen");
			takes_none(&w, ordered == 1 ? NAMEN : LEUVEN);
		}
		takes(&w, ordered == 1 ? LEUVEN : NAMEN, &id);
		read_ok(&w, ordered == 1 ? LEUVEN : NAMEN, &id);
		world_start(&w, LUIK);
		world_run(&w, 40 * MINUTE);
		is_read_once(&w, &id);
		world_release(&w);
	}
}

/* A desk of the borrower has it when the order comes: the successor waits while they are linked. */
static void relocated_while_lent(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	lent(&w, 6, &id);
	takes(&w, NAMEN, &id);
	world_run(&w, 2 * US_PER_S);
	order(&w, "relocate", "cic-vlaams-brabant");
	takes_none(&w, LEUVEN);
	takes_none(&w, LUIK);
	assert_int_equal(world_handle(&w, NAMEN, REQ_RETURN, &id), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	takes_none(&w, NAMEN);
	takes(&w, LEUVEN, &id);
	world_run(&w, 2 * US_PER_S);
	order(&w, "handback", NULL);
	takes_none(&w, LUIK);
	takes_none(&w, NAMEN);
	read_ok(&w, LEUVEN, &id);
	is_read_once(&w, &id);
	world_release(&w);
}

/* ---- by policy ------------------------------------------------------------------------------------------------------------ */

static size_t handed_out(struct world *w, size_t i)
{
	struct taken t;
	size_t n = 0;

	while (take(w, i, MINUTE, &t)) {
		read_ok(w, i, &t.id);
		n++;
	}
	return n;
}

static void more_wait_than_should(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 7, 12, &id);
	assist_policy(w.node[LUIK].core, 10, 0, 4);
	world_run(&w, 10 * US_PER_S);
	/* To Namen, which speaks French as Luik does; down to what the policy says, and not again. */
	assert_int_equal(handed_out(&w, LEUVEN), 0);
	assert_int_equal(handed_out(&w, NAMEN), 8);
	send_some(&w, 3, &id);
	world_run(&w, 10 * US_PER_S);
	assert_int_equal(handed_out(&w, NAMEN), 0);
	assert_int_equal(handed_out(&w, LUIK), 7);
	world_release(&w);
}

static void the_oldest_is_too_old(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 8, 3, &id);
	assist_policy(w.node[LUIK].core, 0, 2 * MINUTE, 0);
	world_run(&w, MINUTE);
	takes_none(&w, NAMEN);
	world_run(&w, 2 * MINUTE);
	assert_int_equal(handed_out(&w, NAMEN), 3);
	/* Nobody is reached that could have it. */
	send_some(&w, 2, &id);
	world_crash(&w, NAMEN);
	world_run(&w, 5 * MINUTE);
	assert_int_equal(handed_out(&w, LUIK), 2);
	world_release(&w);
}

/* ---- what is not lent -------------------------------------------------------------------------------------------------------- */

static void what_is_not_lent(void **state)
{
	struct world w;
	struct msgid id, drill;
	struct send_options o = {.exercise = "storm", .subject = "drill"};

	(void)state;
	begin(&w, 9, 2, &id);
	assert_int_equal(world_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, view_str("m"), &o, &drill, NULL), ERR_OK);
	world_run(&w, US_PER_S);
	assert_int_equal(assist(&w, LUIK, "dispatch", "cic-antwerpen", 8), UINT64_MAX);
	assert_int_equal(assist(&w, LUIK, "dispatch", "cic-nowhere", 8), UINT64_MAX);
	assert_int_equal(assist(&w, LUIK, "cic-namen/dispatch", "cic-namen", 8), UINT64_MAX);
	/* Leuven does not speak French. */
	assert_int_equal(assist(&w, LUIK, "dispatch", "cic-vlaams-brabant", 8), 0);
	/* Exercises stay. */
	assert_int_equal(assist(&w, LUIK, "dispatch", "cic-namen", 8), 2);
	assist_policy(w.node[LUIK].core, 0, US_PER_S, 0);
	world_run(&w, MINUTE);
	struct chain *none = chain_find(w.node[LUIK].core, w.number[LUIK], true);

	assert_null(none);
	for (size_t i = 0; i < w.node[LUIK].core->n_queues; i++) {
		struct queue *q = &w.node[LUIK].core->queues[i];

		if (q->row.site == w.number[LUIK] && strcmp(q->row.name, "dispatch") == 0) {
			assert_int_equal(q->row.waiting[1][PREC_ROUTINE], 1);
			assert_int_equal(q->row.leased[0][PREC_ROUTINE], 2);
			assert_int_equal(q->row.leased[1][PREC_ROUTINE], 0);
		}
	}
	world_release(&w);
}

/* Half of what may be out is lent, so that the site's own desks go on. */
static void half_of_it_is_lent(void **state)
{
	struct taken t = {0};
	struct world w;

	(void)state;
	world_init(&w, SITES, N, 31);
	world_crash(&w, LUIK);
	w.node[LUIK].leases_most = 8;
	world_start(&w, LUIK);
	world_run(&w, 5 * US_PER_S);
	send_some(&w, 20, NULL);
	assert_int_equal(assist(&w, LUIK, "dispatch", "cic-namen", 100), 4);
	assert_int_equal(assist(&w, LUIK, "dispatch", "cic-namen", 100), 0);
	for (int i = 0; i < 4; i++)
		assert_true(world_take_one(&w, LUIK, "cic-luik/dispatch", US_PER_S, &t));
	assert_false(world_take_one(&w, LUIK, "cic-luik/dispatch", US_PER_S, &t));
	buf_release(&t.body);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_and_returned),
		cmocka_unit_test(comes_back_when_the_time_is_over),
		cmocka_unit_test(stays_while_a_desk_has_it),
		cmocka_unit_test(the_borrower_dies),
		cmocka_unit_test(the_lender_dies),
		cmocka_unit_test(relocated_while_lent),
		cmocka_unit_test(more_wait_than_should),
		cmocka_unit_test(the_oldest_is_too_old),
		cmocka_unit_test(what_is_not_lent),
		cmocka_unit_test(half_of_it_is_lent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
