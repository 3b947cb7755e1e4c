/* A journal that fills up: who is refused, what peers make of it, and how it goes on when room returns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "storage/record.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, SPOC, N };

static int64_t used(struct world *w, size_t i)
{
	struct store_space s;

	store_space(w->node[i].store, &s);
	return s.used_bytes;
}

/* So that site i has used that share of its room. */
static void fill_to(struct world *w, size_t i, int percent)
{
	w->node[i].store->quota_bytes = used(w, i) * 100 / percent;
	w->node[i].store->hard_bytes = INT64_MAX;
}

static struct view body(struct world *w, uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)world_random(w, 256);
	return view_of(bytes, n);
}

static enum err send(struct world *w, size_t from, const char *to, enum precedence p, struct view v, struct msgid *id)
{
	return world_send(w, from, to, p, v, NULL, id, NULL);
}

/* Something of every size, so that a percent of the room is more than one message. */
static void begin(struct world *w, uint64_t seed)
{
	uint8_t bytes[40000];
	struct msgid id;

	world_init(w, SITES, N, seed);
	for (int i = 0; i < 25; i++)
		assert_int_equal(send(w, i % 2 ? SPOC : NAMEN, "cic-luik/messages", PREC_ROUTINE, body(w, bytes, sizeof bytes), &id), ERR_OK);
	world_run(w, 5 * US_PER_S);
}

static void each_precedence_has_its_limit(void **state)
{
	static const int at[] = {96, 93, 89, 84}, beyond[] = {98, 95, 91, 86};
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 301);
	for (uint8_t p = 0; p < PREC_COUNT; p++) {
		fill_to(&w, NAMEN, at[p]);
		assert_int_equal(send(&w, NAMEN, "cic-luik/dispatch", (enum precedence)p, view_str("a"), &id), ERR_OK);
		fill_to(&w, NAMEN, beyond[p]);
		assert_int_equal(send(&w, NAMEN, "cic-luik/dispatch", (enum precedence)p, view_str("b"), &id), ERR_BUSY);
		if (p > 0)
			assert_int_equal(send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("c"), &id), ERR_OK);
	}
	world_run(&w, 2 * US_PER_S);
	assert_true(world_alarm(&w, NAMEN, "space"));
	world_release(&w);
}

static void a_desk_is_told_when_to_try_again(void **state)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;
	struct world w;
	int64_t first = 0;

	(void)state;
	begin(&w, 302);
	fill_to(&w, NAMEN, 88);
	for (int round = 0; round < 2; round++) {
		int64_t until = 0;

		while (world_reply(&w, NAMEN, &r))
			;
		buf_clear(&b);
		request_begin(&rw, &b, REQ_SUBMIT, 77);
		request_str(&rw, F_TO, "cic-luik/dispatch");
		request_u8(&rw, F_PRECEDENCE, PREC_ROUTINE);
		request_field(&rw, F_BODY, view_str("not now"));
		request_end(&rw);
		world_request(&w, NAMEN, &b);
		world_run(&w, US_PER_S / 2);
		while (world_reply(&w, NAMEN, &r))
			if (r.type == REPLY_ERROR) {
				assert_true(view_equal(reply_field(&r, F_CODE), view_str("busy")));
				assert_int_equal(reply_field(&r, F_TIME).len, 8);
				for (size_t i = 0; i < 8; i++)
					until = until << 8 | reply_field(&r, F_TIME).ptr[i];
			}
		int64_t wait = until - world_wall(&w, NAMEN).us;

		assert_true(wait > 0 && wait < 400 * US_PER_S);
		if (round)
			assert_true(wait > 2 * first); /* it lasts: less often */
		first = wait;
		world_run(&w, 120 * US_PER_S);
	}
	buf_release(&b);
	world_release(&w);
}

/* Luik has no room for bulk: its peers hold on to it, do not hammer, and all of it arrives when room returns. */
static void peers_hold_on_to_what_a_full_site_cannot_take(void **state)
{
	struct world w;
	struct msgid id[12], flash, read;
	uint8_t bytes[30000];

	(void)state;
	begin(&w, 303);
	assert_int_equal(send(&w, LUIK, "cic-namen/dispatch", PREC_ROUTINE, view_str("to be read"), &read), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	fill_to(&w, LUIK, 95);
	for (int i = 0; i < 12; i++)
		assert_int_equal(send(&w, i % 2 ? SPOC : NAMEN, "cic-luik/messages", PREC_ROUTINE, body(&w, bytes, sizeof bytes), &id[i]), ERR_OK);
	world_run(&w, 20 * US_PER_S);
	uint64_t sent = w.frame_bytes;

	world_run(&w, 600 * US_PER_S);
	for (int i = 0; i < 12; i++)
		assert_true(world_state(&w, i % 2 ? SPOC : NAMEN, &id[i]) < STATE_HELD);
	/* Ten minutes: a try of each of two streams every minute, and what an idle link costs. */
	assert_true(w.frame_bytes - sent < 5 * 1024 * 1024);
	assert_int_equal(w.resets, 0);
	/* What is urgent goes through, and receipts do, of bulk too. */
	assert_int_equal(send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("FLASH"), &flash), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &flash), STATE_DELIVERED);
	struct taken t = {.body = BUF_EMPTY};

	assert_true(world_take_one(&w, NAMEN, "cic-namen/dispatch", 2 * US_PER_S, &t));
	assert_int_equal(world_handle(&w, NAMEN, REQ_ACK, &read), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, LUIK, &read), STATE_READ);
	for (size_t i = 0; i < N; i++)
		assert_false(world_alarm(&w, i, "peer"));
	fill_to(&w, LUIK, 40);
	world_run(&w, 70 * US_PER_S);
	for (int i = 0; i < 12; i++)
		assert_int_equal(world_state(&w, i % 2 ? SPOC : NAMEN, &id[i]), STATE_DELIVERED);
	assert_false(world_alarm(&w, LUIK, "space"));
	for (size_t i = 0; i < N; i++)
		world_verify(&w, i);
	buf_release(&t.body);
	world_release(&w);
}

/* Of the last part before a limit one originator gets a quarter: who floods does not take it from the others. */
static void one_originator_does_not_take_all(void **state)
{
	struct world w;
	struct msgid id, other;
	uint8_t bytes[6000];
	int n = 0;

	(void)state;
	begin(&w, 304);
	fill_to(&w, LUIK, 87); /* what peers give as ROUTINE has the limit of PRIORITY, 90 */
	while (n < 60 && send(&w, SPOC, "cic-luik/messages", PREC_ROUTINE, body(&w, bytes, sizeof bytes), &id) == ERR_OK) {
		world_run(&w, 3 * US_PER_S);
		n++;
		if (world_state(&w, SPOC, &id) < STATE_HELD)
			break;
	}
	assert_true(n > 1 && n < 60);
	assert_true(space_percent(w.node[LUIK].core) < 90);
	assert_int_equal(send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, view_str("of another"), &other), ERR_OK);
	world_run(&w, 3 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &other), STATE_DELIVERED);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_precedence_has_its_limit),
		cmocka_unit_test(a_desk_is_told_when_to_try_again),
		cmocka_unit_test(peers_hold_on_to_what_a_full_site_cannot_take),
		cmocka_unit_test(one_originator_does_not_take_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
