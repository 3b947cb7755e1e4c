/* Over which bearer entries came: each test runs on both stores. */
#include "tests/lib/store_fixture.h"

#include <string.h>

#include "proto/limits.h"

static void over(struct txn *t, uint16_t site, uint8_t lane, uint64_t arrival, const char *bearer)
{
	char got[LIMIT_NAME_BYTES + 1] = "?";
	enum err e = store_bearer_get(t, site, lane, arrival, got);

	assert_int_equal(e, bearer ? ERR_OK : ERR_NOT_FOUND);
	assert_string_equal(got, bearer ? bearer : "");
}

/* A note holds up to the next one of its site and lane. */
static void notes_hold_up_to_the_next(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);

	store_bearer_put(t, 3, 0, 10, "fibre");
	store_bearer_put(t, 3, 0, 11, "fibre");
	store_bearer_put(t, 3, 0, 20, "satellite");
	store_bearer_put(t, 3, 1, 15, "courier");
	store_bearer_put(t, 4, 0, 5, "");
	store_bearer_put(t, 2, 0, 30, "");
	store_bearer_put(t, 2, 0, 31, "fibre");
	store_bearer_put(t, 2, 0, 32, "");
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	over(t, 3, 0, 9, NULL);
	over(t, 3, 0, 10, "fibre");
	over(t, 3, 0, 19, "fibre");
	over(t, 3, 0, 20, "satellite");
	over(t, 3, 0, UINT64_MAX - 1, "satellite");
	over(t, 3, 1, 14, NULL);
	over(t, 3, 1, 15, "courier");
	over(t, 4, 0, 9, NULL); /* what is not known needs no note */
	over(t, 2, 0, 30, NULL);
	over(t, 2, 0, 31, "fibre");
	over(t, 2, 0, 32, "");
	txn_abort(t);
}

/* One entry in the middle came anew: those before and after it keep theirs. */
static void one_in_the_middle(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);

	store_bearer_put(t, 3, 0, 10, "fibre");
	store_bearer_put(t, 3, 0, 20, "satellite");
	store_bearer_put_one(t, 3, 0, 15, "courier");
	store_bearer_put_one(t, 3, 0, 16, "fibre");
	store_bearer_put_one(t, 3, 0, 19, "courier");
	store_bearer_put_one(t, 3, 0, 5, "courier");
	over(t, 3, 0, 4, NULL);
	over(t, 3, 0, 5, "courier");
	over(t, 3, 0, 6, "");
	over(t, 3, 0, 14, "fibre");
	over(t, 3, 0, 15, "courier");
	over(t, 3, 0, 16, "fibre");
	over(t, 3, 0, 18, "fibre");
	over(t, 3, 0, 19, "courier");
	over(t, 3, 0, 20, "satellite");
	txn_abort(t);
}

/* A line that changes its bearer all the time does not fill the journal: notes go with the entries that they told of. */
static void notes_go_with_their_entries(void **state)
{
	struct fixture *f = *state;
	struct stream_row row = {.name = name_of(1)};
	struct txn *t = begin_write(f);
	uint64_t known = 0;

	store_stream_add(t, &row);
	for (uint64_t n = 1; n <= 40; n++) {
		struct entry_row e = entry_of(row.local, n, 30, 10);

		store_entry_append(t, &e);
		store_bearer_put(t, 3, 0, e.arrival, n % 2 ? "fibre" : "satellite");
		row.held = n;
	}
	store_stream_put(t, &row);
	over(t, 3, 0, 1, "fibre");
	assert_int_equal(store_stream_retire(t, &row, 30, 64, NULL, NULL), ERR_OK);
	for (uint64_t n = 41; n <= 60; n++)
		store_bearer_put(t, 3, 0, n, n % 2 ? "fibre" : "satellite");
	for (uint64_t n = 31; n <= 60; n++)
		over(t, 3, 0, n, n % 2 ? "fibre" : "satellite");
	for (uint64_t n = 1; n <= 30; n++) {
		char got[LIMIT_NAME_BYTES + 1];

		known += store_bearer_get(t, 3, 0, n, got) == ERR_OK;
	}
	assert_int_equal(known, 0);
	txn_abort(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {ON_BOTH(notes_hold_up_to_the_next), ON_BOTH(one_in_the_middle), ON_BOTH(notes_go_with_their_entries)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
