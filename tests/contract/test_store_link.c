/* When bearers of peers were up, and when not: each test runs on both stores. */
#include "tests/lib/store_fixture.h"

#include <stdio.h>
#include <string.h>

#include "storage/record.h"
#include "storage/remake.h"
#include "storage/usage.h"
#include "storage/verify.h"

static struct link_row row_of(uint64_t n)
{
	struct link_row row = {.peer = (uint16_t)n, .is = n % 2 ? LINK_IS_UP : LINK_IS_DOWN, .at = {-5 + (int64_t)n}, .noted = {1000 + (int64_t)n},
	                       .more = (uint32_t)n, .now_is = LINK_IS_UNKNOWN, .last = {2000}, .rtt_us = 30000, .rate_bps = 1 << 30};
	snprintf(row.bearer, sizeof row.bearer, "fibre-%llu", (unsigned long long)n);
	return row;
}

static void assert_same(const struct link_row *a, const struct link_row *b)
{
	assert_int_equal(a->number, b->number);
	assert_int_equal(a->peer, b->peer);
	assert_string_equal(a->bearer, b->bearer);
	assert_int_equal(a->is, b->is);
	assert_int_equal(a->at.us, b->at.us);
	assert_int_equal(a->noted.us, b->noted.us);
	assert_int_equal(a->more, b->more);
	assert_int_equal(a->now_is, b->now_is);
	assert_int_equal(a->last.us, b->last.us);
	assert_int_equal(a->rtt_us, b->rtt_us);
	assert_int_equal(a->rate_bps, b->rate_bps);
}

static void put_some(struct fixture *f, uint64_t n)
{
	struct txn *t = begin_write(f);
	for (uint64_t i = 1; i <= n; i++) {
		struct link_row row = row_of(i);
		store_link_put(t, &row);
		assert_int_equal(row.number, i);
	}
	commit(t);
}

static void all_that_was_put_comes_back(void **state)
{
	struct fixture *f = *state;
	struct link_row got, want, none = {.is = LINK_IS_UP, .now_is = LINK_IS_UP};
	struct txn *t = begin_read(f);
	assert_int_equal(store_link_last(t), 0);
	assert_int_equal(store_link_from(t, 0, &got), ERR_NOT_FOUND);
	txn_abort(t);
	put_some(f, 300);
	t = begin_write(f);
	store_link_put(t, &none); /* the node itself, of which no bearer is told */
	want = row_of(7);
	want.number = 7;
	want.more = 99;
	store_link_put(t, &want); /* in the place of the old one */
	store_link_del(t, 1);
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	assert_int_equal(store_link_last(t), 301);
	assert_int_equal(store_link_from(t, 0, &got), ERR_OK);
	assert_int_equal(got.number, 2);
	assert_int_equal(store_link_from(t, 7, &got), ERR_OK);
	assert_same(&got, &want);
	want = row_of(300);
	want.number = 300;
	assert_int_equal(store_link_from(t, 300, &got), ERR_OK);
	assert_same(&got, &want);
	assert_int_equal(store_link_from(t, 301, &got), ERR_OK);
	assert_same(&got, &none);
	assert_int_equal(store_link_from(t, 302, &got), ERR_NOT_FOUND);
	txn_abort(t);
}

/* Only what changes something makes a sync worth while. */
static void a_transaction_says_whether_it_changed(void **state)
{
	struct fixture *f = *state;
	struct link_row row = row_of(1);
	struct txn *t = begin_write(f);
	assert_false(txn_changed(t));
	assert_int_equal(store_link_from(t, 0, &row), ERR_NOT_FOUND);
	assert_false(txn_changed(t));
	store_link_put(t, &row);
	assert_true(txn_changed(t));
	commit(t);
	t = begin_write(f);
	store_link_del(t, row.number);
	assert_true(txn_changed(t));
	txn_abort(t);
}

/* what: is wrong, NULL: nothing is */
static void assert_verified(struct store *s, const char *what)
{
	struct verify_result *r = calloc(1, sizeof *r);
	assert_non_null(r);
	assert_int_equal(verify_run(s, &(struct verify_options){.progress = NULL}, r), ERR_OK);
	assert_int_equal(r->wrong, what != NULL);
	assert_true(!what || strstr(r->finding[0], what));
	free(r);
}

static void damage_is_told_and_stepped_over(void **state)
{
	struct fixture *f = *state;
	struct link_row got;
	put_some(f, 5);
	assert_int_equal(fixture_flip(f, view_str("fibre-3"), 1), 1);
	struct txn *t = begin_read(f);
	assert_int_equal(store_link_from(t, 3, &got), ERR_DAMAGED);
	assert_int_equal(got.number, 3);
	assert_int_equal(store_link_from(t, 4, &got), ERR_OK);
	assert_string_equal(got.bearer, "fibre-4");
	txn_abort(t);
	assert_verified(f->s, "state of a link");
}

/* Tools that know all tables know this one. */
static void verified_and_counted(void **state)
{
	struct fixture *f = *state;
	put_some(f, 40);
	assert_verified(f->s, NULL);
	assert_string_equal(usage_table_name(TABLE_LINK), "link");
	assert_string_equal(usage_database_of(TABLE_LINK), "index");
}

/* A journal that is made anew keeps them, whether its trees are trusted or its pages are read one by one. */
static void kept_when_the_journal_is_made_anew(void **state)
{
	struct fixture *f = *state;
	struct remake_options o = {.now = {7}, .of = &fixture_birth};
	struct remake_result r;
	struct link_row got, want = row_of(40);
	struct errmsg m;
	if (f->memory)
		return;
	put_some(f, 40);
	for (int scan = 0; scan < 2; scan++) {
		char cmd[600];
		store_close(f->s);
		o.scan = scan;
		if (store_remake(f->dir, &o, &r, &m) != ERR_OK)
			fail_msg("%s", m.text);
		snprintf(cmd, sizeof cmd, "rm -r '%s.old'", f->dir);
		assert_int_equal(system(cmd), 0);
		assert_int_equal(store_open(f->dir, &f->options, &f->s, &m), ERR_OK);
		struct txn *t = begin_read(f);
		assert_int_equal(store_link_last(t), 40);
		assert_int_equal(store_link_from(t, 40, &got), ERR_OK);
		want.number = 40;
		assert_same(&got, &want);
		txn_abort(t);
		assert_verified(f->s, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(all_that_was_put_comes_back),
		ON_BOTH(a_transaction_says_whether_it_changed),
		ON_BOTH(damage_is_told_and_stepped_over),
		ON_BOTH(verified_and_counted),
		ON_BOTH(kept_when_the_journal_is_made_anew),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
