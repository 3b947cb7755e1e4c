/* When the core says that a lane is silent, and what else the transport hears of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen"};
enum { LUIK, NAMEN };

static void send_flash(struct world *w, struct msgid *id)
{
	assert_int_equal(world_send(w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("x"), NULL, id, NULL), ERR_OK);
}

static unsigned need(const struct world *w, uint8_t lane)
{
	return w->node[NAMEN].need[LUIK][lane];
}

static void begin(struct world *w, uint64_t seed, uint8_t bearers)
{
	struct msgid id;

	world_init(w, SITES, 2, seed);
	world_bearers(w, NAMEN, LUIK, bearers);
	world_run(w, 5 * US_PER_S);
	for (int i = 0; i < 5; i++) { /* its pace is known */
		send_flash(w, &id);
		world_run(w, US_PER_S);
	}
	assert_int_equal(world_state(w, NAMEN, &id), STATE_DELIVERED);
	assert_int_equal(need(w, LANE_URGENT), NEED_NOTHING);
	w->resets = 0;
}

/* With another bearer to go to: doubted after a second, left after three, and told that something is due all the while. */
static void a_silent_bearer_is_left(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 1, 2);
	w.loss_percent = 100;
	send_flash(&w, &id);
	world_run(&w, 700 * US_PER_MS);
	assert_int_equal(need(&w, LANE_URGENT), NEED_DUE);
	assert_int_equal(need(&w, LANE_BULK), NEED_NOTHING);
	world_run(&w, 600 * US_PER_MS);
	assert_int_equal(need(&w, LANE_URGENT), NEED_DOUBT);
	world_run(&w, 1500 * US_PER_MS);
	assert_int_equal(w.resets, 0);
	world_run(&w, 700 * US_PER_MS);
	assert_int_equal(w.resets, 1);
	w.loss_percent = 0;
	world_run(&w, 15 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	assert_int_equal(need(&w, LANE_URGENT), NEED_NOTHING);
	world_release(&w);
}

/* Without another one its frames go again first; then it is dialled anew. */
static void the_only_one_is_dialled_anew(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 2, 1);
	w.loss_percent = 100;
	send_flash(&w, &id);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(need(&w, LANE_URGENT), NEED_DUE); /* a doubt is of use only where there is a choice */
	assert_int_equal(w.resets, 0);
	world_run(&w, 7 * US_PER_S);
	assert_int_equal(w.resets, 1);
	w.loss_percent = 0;
	world_run(&w, 30 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	world_release(&w);
}

/* Somebody who answers hellos and never acknowledges is not to be had by another bearer: lanes do not run in circles. */
static void no_circles(void **state)
{
	(void)state;
	for (uint8_t n = 1; n <= 3; n++) {
		struct world w;
		struct msgid id;

		begin(&w, 3, n);
		w.node[LUIK].fail_at = 1; /* its disk takes nothing any more */
		w.node[LUIK].fail_with = ERR_FULL;
		for (int k = 0; k < 60; k++) {
			if (k == 0)
				send_flash(&w, &id);
			w.node[LUIK].fail_at = w.node[LUIK].commits + 1;
			world_run(&w, 10 * US_PER_S);
		}
		assert_true(w.resets <= 60);
		world_release(&w);
	}
}

static enum err retry(struct world *w, const char *peer)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;
	bool done;

	while (world_reply(w, NAMEN, &r))
		;
	request_begin(&rw, &b, REQ_RETRY, ++w->tag);
	request_str(&rw, F_WHAT, peer);
	request_end(&rw);
	world_request(w, NAMEN, &b);
	world_run(w, US_PER_S);
	assert_true(world_reply(w, NAMEN, &r));
	done = r.type == REPLY_DONE;
	buf_release(&b);
	return done ? ERR_OK : ERR_UNKNOWN_SITE;
}

static void by_hand(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 4, 2);
	assert_int_equal(retry(&w, "cic-luik"), ERR_OK);
	assert_int_equal(w.node[NAMEN].retries, 1);
	assert_int_equal(retry(&w, "cic-nowhere"), ERR_UNKNOWN_SITE);
	assert_int_equal(retry(&w, "cic-namen"), ERR_UNKNOWN_SITE);
	assert_int_equal(w.node[NAMEN].retries, 1);
	world_release(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_silent_bearer_is_left),
		cmocka_unit_test(the_only_one_is_dialled_anew),
		cmocka_unit_test(no_circles),
		cmocka_unit_test(by_hand),
	};

	return cmocka_run_group_tests_name("core_bearers", tests, NULL, NULL);
}
