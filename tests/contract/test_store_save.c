/* A store saved as a journal in a folder says there what it said where it came from, whichever kind it was. */
#include "tests/lib/store_fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "storage/save.h"

#define ENTRIES 700

static void fill(struct fixture *f)
{
	struct txn *t = begin_write(f);
	struct stream_row s = {.name = name_of(3)};

	store_stream_add(t, &s);
	for (uint64_t n = 1; n <= ENTRIES; n++) {
		struct entry_row e = entry_of(s.local, n, 200, n % 3 ? 900 : 9000);

		store_entry_append(t, &e);
	}
	store_meta_put(t, META_COUNTERS, view_str("counted"));
	commit(t);
}

static void same_entries(struct store *a, struct store *b)
{
	struct txn *x, *y;
	struct entry_row p, q;
	uint64_t arrival = 1, n = 0;

	assert_int_equal(txn_begin(a, false, &x), ERR_OK);
	assert_int_equal(txn_begin(b, false, &y), ERR_OK);
	for (; !store_entry_from(x, arrival, &p); arrival = p.arrival + 1, n++) {
		assert_int_equal(store_entry_from(y, arrival, &q), ERR_OK);
		assert_int_equal(p.arrival, q.arrival);
		assert_same_entry(&p, &q);
	}
	assert_int_equal(store_entry_from(y, arrival, &q), ERR_NOT_FOUND);
	assert_int_equal(n, ENTRIES);
	txn_abort(x);
	txn_abort(y);
}

static void test_saved(void **state)
{
	struct fixture *f = *state;
	struct store_options read = {.read_only = true};
	struct store *to = NULL;
	struct view v;
	struct txn *t;
	struct errmsg m = {.text = ""};
	char home[200], dir[240];

	fill(f);
	fixture_home(home, sizeof home);
	snprintf(dir, sizeof dir, "%s/saved", home);
	if (store_save(f->s, dir, &m))
		fail_msg("%s", m.text);
	assert_int_equal(store_save(f->s, dir, &m), ERR_EXISTS);
	assert_int_equal(store_open(dir, &read, &to, &m), ERR_OK);
	assert_memory_equal(store_birth(to)->network.b, store_birth(f->s)->network.b, HASH_BYTES);
	assert_int_equal(store_birth(to)->site, store_birth(f->s)->site);
	same_entries(f->s, to);
	assert_int_equal(txn_begin(to, false, &t), ERR_OK);
	assert_int_equal(store_meta_get(t, META_COUNTERS, &v), ERR_OK);
	assert_true(view_equal(v, view_str("counted")));
	txn_abort(t);
	store_close(to);
	/* Nowhere to write to. */
	snprintf(dir, sizeof dir, "%s/nowhere/saved", home);
	assert_int_not_equal(store_save(f->s, dir, &m), ERR_OK);
	assert_true(m.text[0]);
	fixture_remove(home);
}

int main(void)
{
	const struct CMUnitTest tests[] = {ON_BOTH(test_saved)};

	if (crypt_start())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
