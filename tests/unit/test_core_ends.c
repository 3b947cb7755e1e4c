/* How messages end: several at once, twice at two places, and the lease that goes on before the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant"};
enum { LUIK, NAMEN };
static const char queue[] = "cic-luik/dispatch";

static struct msgid send_one(struct world *w, const char *body)
{
	struct msgid id;

	assert_int_equal(world_send(w, NAMEN, queue, PREC_PRIORITY, view_str(body), NULL, &id, NULL), ERR_OK);
	world_run(w, US_PER_S);
	return id;
}

/* Read at its addressee and cancelled by its sender while they cannot hear each other: it was read, and both come to know. */
static void read_goes_before_cancelled(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, 3, 81);
	id = send_one(&w, "read or not");
	assert_true(world_take_one(&w, LUIK, queue, US_PER_S, NULL));
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, NAMEN, 2, false);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
	assert_int_equal(world_handle(&w, NAMEN, REQ_CANCEL, &id), ERR_OK);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_CANCELLED);
	world_link(&w, NAMEN, LUIK, true);
	world_link(&w, NAMEN, 2, true);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_READ);
	assert_int_equal(world_status(&w, LUIK, "queued"), 0);
	world_release(&w);
}

static void several_at_once(void **state)
{
	struct world w;
	struct msgid id[3];
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, 3, 82);
	for (size_t i = 0; i < 3; i++) {
		id[i] = send_one(&w, "one of three");
		assert_true(world_take_one(&w, LUIK, queue, US_PER_S, NULL));
	}
	request_begin(&rw, &b, REQ_ACK, 4711);
	for (size_t i = 0; i < 3; i++)
		request_id(&rw, &id[i]);
	request_end(&rw);
	world_request(&w, LUIK, &b);
	buf_release(&b);
	world_run(&w, 5 * US_PER_S);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(world_state(&w, NAMEN, &id[i]), STATE_READ);
	world_release(&w);
}

/* Five minutes, of which 200 s have passed; extended they end 300 s from then. */
static void an_extended_lease_goes_on(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, 3, 83);
	id = send_one(&w, "in hand");
	assert_true(world_take_one(&w, LUIK, queue, US_PER_S, NULL));
	world_run(&w, 200 * US_PER_S);
	assert_int_equal(world_handle(&w, LUIK, REQ_EXTEND, &id), ERR_OK);
	world_run(&w, 200 * US_PER_S);
	assert_false(world_take_one(&w, LUIK, queue, US_PER_S, NULL));
	world_run(&w, 105 * US_PER_S);
	assert_true(world_take_one(&w, LUIK, queue, US_PER_S, NULL));
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_goes_before_cancelled),
		cmocka_unit_test(several_at_once),
		cmocka_unit_test(an_extended_lease_goes_on),
	};

	return crypt_start() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
