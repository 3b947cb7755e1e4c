/* The shortest path, from what sites say whom they reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/core/routes.h"

#define PEERS(...) view_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void a_line_is_walked(void **state)
{
	/* 1 (we) - 2 - 3 - 4 */
	struct route_site s[] = {{.site = 2, .near = true, .peers = PEERS(0, 1, 0, 3)}, {.site = 3, .peers = PEERS(0, 2, 0, 4)}, {.site = 4, .peers = PEERS(0, 3)}};

	(void)state;
	assert_true(routes_find(s, 3));
	assert_int_equal(s[2].via, 2);
	assert_int_equal(s[2].hops, 3);
}

static void a_link_that_one_end_lists_does_not_count(void **state)
{
	struct route_site s[] = {{.site = 2, .near = true, .peers = PEERS(0, 1, 0, 3)}, {.site = 3, .peers = PEERS(0, 4)}};

	(void)state;
	assert_true(routes_find(s, 2));
	assert_int_equal(s[1].via, 0);
	assert_int_equal(s[1].hops, 0);
}

static void of_two_the_cheaper_first_link(void **state)
{
	struct route_site s[] = {{.site = 2, .near = true, .cost = 30, .peers = PEERS(0, 4)}, {.site = 3, .near = true, .cost = 10, .peers = PEERS(0, 4)},
				 {.site = 4, .peers = PEERS(0, 2, 0, 3)}};

	(void)state;
	assert_true(routes_find(s, 3));
	assert_int_equal(s[2].via, 3);
	s[1].cost = 30;
	assert_true(routes_find(s, 3));
	assert_int_equal(s[2].via, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_walked),
		cmocka_unit_test(a_link_that_one_end_lists_does_not_count),
		cmocka_unit_test(of_two_the_cheaper_first_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
