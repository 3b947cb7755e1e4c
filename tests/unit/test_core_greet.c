/* A disk that takes nothing refuses hellos too: when it has room again nobody waits out the patience of a hello that nobody answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant"};
enum { LUIK, NAMEN, LEUVEN, N };

/* Namen starts anew, or Luik, while Luik's disk is full for so long; what Namen sends when there is room again is there in five seconds. */
static void full_for(struct world *w, uint64_t seed, size_t restarts, int64_t us)
{
	struct msgid id;

	world_init(w, SITES, N, seed);
	world_run(w, 2 * US_PER_S);
	if (restarts == NAMEN)
		world_crash(w, NAMEN);
	else
		for (size_t i = NAMEN; i < N; i++)
			world_link(w, LUIK, i, false);
	w->node[LUIK].full = true;
	world_run(w, US_PER_S);
	if (restarts == NAMEN)
		world_start(w, NAMEN);
	else
		for (size_t i = NAMEN; i < N; i++)
			world_link(w, LUIK, i, true);
	world_run(w, us);
	w->node[LUIK].full = false;
	assert_int_equal(world_send(w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("help"), NULL, &id, NULL), ERR_OK);
	world_run(w, 5 * US_PER_S);
	assert_in_range(world_state(w, NAMEN, &id), STATE_HELD, STATE_READ);
	world_release(w);
}

static void a_hello_that_was_refused_is_said_again(void **state)
{
	struct world w;

	(void)state;
	for (int64_t s = 100; s < 130; s += 3) {
		full_for(&w, (uint64_t)s, NAMEN, s * US_PER_S);
		full_for(&w, (uint64_t)s, LUIK, s * US_PER_S);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hello_that_was_refused_is_said_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
