/* Since when something is here that does not say so itself: each test runs on both stores. */
#include "tests/lib/store_fixture.h"

#include <string.h>

#include "proto/order.h"
#include "storage/record.h"
#include "storage/verify.h"

/* A stream with one entry of one body; its arrival. */
static uint64_t entry_add(struct txn *t, struct stream_row *row)
{
	*row = (struct stream_row){.name = name_of(1)};
	store_stream_add(t, row);
	struct entry_row e = entry_of(row->local, 1, 40, 100);
	store_entry_append(t, &e);
	row->held = 1;
	row->chain = e.chain;
	store_stream_put(t, row);
	return e.arrival;
}

static void the_first_note_stays(void **state)
{
	struct fixture *f = *state;
	struct hash h = hash_of(1);
	struct stream_row row;
	struct moment m;
	struct txn *t = begin_write(f);
	store_state_since_put(t, STATE_KIND_ORDER, &h, (struct wall){100});
	uint64_t arrival = entry_add(t, &row);
	store_state_since_put(t, STATE_KIND_ORDER, &h, (struct wall){200});
	store_state_since_put(t, STATE_KIND_ROSTER, &h, (struct wall){300});
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	assert_int_equal(store_state_since_get(t, STATE_KIND_ORDER, &h, &m), ERR_OK);
	assert_int_equal(m.when.us, 100);
	assert_int_equal(m.arrival, arrival - 1);
	assert_int_equal(store_state_since_get(t, STATE_KIND_ROSTER, &h, &m), ERR_OK);
	assert_int_equal(m.when.us, 300);
	assert_int_equal(m.arrival, arrival);
	assert_int_equal(store_state_since_get(t, STATE_KIND_ENDORSEMENT, &h, &m), ERR_NOT_FOUND);
	txn_abort(t);
}

static enum err see(void *arg, const struct hash *hash, const struct moment *since)
{
	uint64_t *sum = arg;
	(void)hash;
	*sum += (uint64_t)since->when.us;
	return ERR_OK;
}

static void runs_are_walked_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);
	uint64_t sum = 0;
	for (uint64_t i = 1; i <= 3; i++) {
		struct hash h = hash_of(i);
		store_state_since_put(t, SINCE_RUN, &h, (struct wall){(int64_t)i});
		store_state_since_put(t, STATE_KIND_ORDER, &h, (struct wall){1000});
	}
	commit(t);
	t = begin_read(f);
	assert_int_equal(store_state_since_each(t, SINCE_RUN, see, &sum), ERR_OK);
	assert_int_equal(sum, 6);
	txn_abort(t);
}

/* With its entry goes since when it was whole. */
static void it_goes_with_its_entry(void **state)
{
	struct fixture *f = *state;
	struct stream_row row;
	struct moment m;
	struct txn *t = begin_write(f);
	uint64_t arrival = entry_add(t, &row);
	store_whole_since_put(t, arrival, (struct wall){7});
	commit(t);
	t = begin_write(f);
	assert_int_equal(store_whole_since_get(t, arrival, &m), ERR_OK);
	assert_int_equal(m.when.us, 7);
	assert_int_equal(store_stream_retire(t, &row, 1, 10, NULL, NULL), ERR_OK);
	store_stream_put(t, &row);
	commit(t);
	t = begin_read(f);
	assert_int_equal(store_whole_since_get(t, arrival, &m), ERR_NOT_FOUND);
	txn_abort(t);
}

static void a_flipped_bit_is_never_served(void **state)
{
	struct fixture *f = *state;
	struct verify_result *r = calloc(1, sizeof *r);
	struct hash h = hash_of(1);
	struct moment m;
	static const uint8_t when[] = {0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77};
	struct txn *t = begin_write(f);
	store_state_since_put(t, STATE_KIND_ORDER, &h, (struct wall){0x0011223344556677});
	commit(t);
	assert_int_equal(fixture_flip(f, view_of(when, sizeof when), 3), 1);
	t = begin_read(f);
	assert_int_equal(store_state_since_get(t, STATE_KIND_ORDER, &h, &m), ERR_DAMAGED);
	txn_abort(t);
	assert_int_equal(verify_run(f->s, &(struct verify_options){.progress = NULL}, r), ERR_OK);
	assert_int_equal(r->wrong, 1);
	assert_non_null(strstr(r->finding[0], "time that state came"));
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(the_first_note_stays),
		ON_BOTH(runs_are_walked_and_nothing_else),
		ON_BOTH(it_goes_with_its_entry),
		ON_BOTH(a_flipped_bit_is_never_served),
	};
	return cmocka_run_group_tests_name("store since", tests, NULL, NULL);
}
