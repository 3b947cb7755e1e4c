/* What a takeover needs kept: each test runs on both stores. */
#include "tests/lib/store_fixture.h"

#include <stdio.h>
#include <string.h>

#include "proto/order.h"
#include "storage/record.h"
#include "storage/verify.h"

static void assert_view(struct view got, struct view want)
{
	assert_int_equal(got.len, want.len);
	if (want.len)
		assert_memory_equal(got.ptr, want.ptr, want.len);
}

/* ---- closings, state, keys handed on ----------------------------------------------------------------------------- */

static void closings_lie_apart(void **state)
{
	struct fixture *f = *state;
	struct hash one = hash_of(1), two = hash_of(2);
	struct txn *t = begin_write(f);
	struct view v;
	store_closing_put(t, &one, 15, 0, bytes_of(1, 3072));
	store_closing_put(t, &one, 15, 1, bytes_of(2, 0));
	store_closing_put(t, &one, 16, 0, bytes_of(3, 30));
	store_closing_put(t, &two, 15, 0, bytes_of(4, 40));
	store_closing_put(t, &two, 15, 0, bytes_of(5, 50)); /* replaces */
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	assert_int_equal(store_closing_get(t, &one, 15, 0, &v), ERR_OK);
	assert_view(v, bytes_of(1, 3072));
	assert_int_equal(store_closing_get(t, &one, 15, 1, &v), ERR_OK);
	assert_int_equal(v.len, 0);
	assert_int_equal(store_closing_get(t, &one, 16, 0, &v), ERR_OK);
	assert_view(v, bytes_of(3, 30));
	assert_int_equal(store_closing_get(t, &two, 15, 0, &v), ERR_OK);
	assert_view(v, bytes_of(5, 50));
	assert_int_equal(store_closing_get(t, &two, 15, 1, &v), ERR_NOT_FOUND);
	txn_abort(t);
	t = begin_write(f);
	store_closing_put(t, &one, 15, 2, bytes_of(1, 3073));
	assert_int_equal(txn_commit(t), ERR_TOO_LARGE);
}

static enum err see_state(void *arg, const struct hash *hash, struct view blob)
{
	size_t *n = arg;
	assert_view(blob, bytes_of(hash->b[0], LIMIT_STATE_BYTES - *n));
	++*n;
	return ERR_OK;
}

/* The largest order there can be, next to others. */
static void state_holds_the_largest_order(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);
	struct hash h = {{0}};
	struct view v;
	size_t n = 0;
	for (uint8_t i = 0; i < 5; i++) {
		h.b[0] = i;
		store_state_put(t, STATE_KIND_ORDER, &h, bytes_of(i, LIMIT_STATE_BYTES - i));
	}
	store_state_put(t, STATE_KIND_ENDORSEMENT, &h, view_str("another kind"));
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	assert_int_equal(store_state_each(t, STATE_KIND_ORDER, see_state, &n), ERR_OK);
	assert_int_equal(n, 5);
	assert_int_equal(store_state_get(t, STATE_KIND_ORDER, &h, &v), ERR_OK);
	assert_view(v, bytes_of(4, LIMIT_STATE_BYTES - 4));
	txn_abort(t);
}

static void keys_handed_on_are_found_by_their_grant(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);
	struct view v;
	store_handed_put(t, 3, 1, bytes_of(1, 200));
	store_handed_put(t, 3, 9, bytes_of(2, LIMIT_ENVELOPE_BYTES));
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	assert_int_equal(store_handed_get(t, 3, 1, &v), ERR_OK);
	assert_view(v, bytes_of(1, 200));
	assert_int_equal(store_handed_get(t, 3, 9, &v), ERR_OK);
	assert_view(v, bytes_of(2, LIMIT_ENVELOPE_BYTES));
	assert_int_equal(store_handed_get(t, 3, 2, &v), ERR_NOT_FOUND);
	assert_int_equal(store_handed_get(t, 4, 1, &v), ERR_NOT_FOUND);
	txn_abort(t);
	t = begin_write(f);
	store_handed_put(t, 3, 1, bytes_of(1, LIMIT_ENVELOPE_BYTES + 1));
	assert_int_equal(txn_commit(t), ERR_TOO_LARGE);
}

/* ---- conflicts --------------------------------------------------------------------------------------------------------- */

static struct conflict_row conflict_of(uint64_t n, uint16_t addressee)
{
	struct conflict_row row = {.id = id_of(n), .addressee = addressee, .exercise = n % 2, .queue = "dispatch", .n = (uint8_t)(2 + n % 3)};
	for (uint8_t i = 0; i < row.n; i++) {
		row.handler[i].site = (uint16_t)(10 + i);
		row.handler[i].event = (uint8_t)(1 + i);
		row.handler[i].when.us = -5 + i;
		snprintf(row.handler[i].by, sizeof row.handler[i].by, "user %u", i);
	}
	if (n % 2) {
		snprintf(row.signed_off, sizeof row.signed_off, "%0*u", LIMIT_USER_BYTES, 7);
		row.signed_at.us = 77;
	}
	return row;
}

static void assert_conflict(const struct conflict_row *a, const struct conflict_row *b)
{
	assert_true(msgid_equal(&a->id, &b->id) && a->addressee == b->addressee && a->exercise == b->exercise && a->n == b->n);
	assert_string_equal(a->queue, b->queue);
	for (size_t i = 0; i < a->n; i++) {
		assert_true(a->handler[i].site == b->handler[i].site && a->handler[i].event == b->handler[i].event);
		assert_int_equal(a->handler[i].when.us, b->handler[i].when.us);
		assert_string_equal(a->handler[i].by, b->handler[i].by);
	}
	assert_string_equal(a->signed_off, b->signed_off);
	assert_int_equal(a->signed_at.us, b->signed_at.us);
}

static void conflicts_are_walked_in_order(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);
	for (uint16_t to = 1; to <= 2; to++)
		for (uint64_t n = 0; n < 3; n++) {
			struct conflict_row row = conflict_of(n, to);
			store_conflict_put(t, &row);
		}
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	struct conflict_row at = {.addressee = 0}, before = at, want;
	unsigned seen = 0;
	while (store_conflict_from(t, &at.id, at.addressee, &at) == ERR_OK) {
		int order = memcmp(before.id.b, at.id.b, MSGID_BYTES);
		assert_true(order < 0 || (order == 0 && before.addressee < at.addressee));
		for (uint64_t n = 0; n < 3; n++) {
			want = conflict_of(n, at.addressee);
			if (msgid_equal(&want.id, &at.id))
				assert_conflict(&at, &want);
		}
		assert_int_equal(store_conflict_get(t, &at.id, at.addressee, &want), ERR_OK);
		assert_conflict(&at, &want);
		before = at;
		at.addressee++;
		seen++;
	}
	assert_int_equal(seen, 6);
	struct msgid none = id_of(99);
	assert_int_equal(store_conflict_get(t, &none, 1, &want), ERR_NOT_FOUND);
	txn_abort(t);
	t = begin_write(f);
	want = conflict_of(1, 1);
	want.n = CONFLICT_HANDLERS + 1;
	store_conflict_put(t, &want);
	assert_int_equal(txn_commit(t), ERR_TOO_LARGE);
}

/* ---- reports that wait for their order ----------------------------------------------------------------------------------- */

static void what_waits_for_an_order_is_found_by_it(void **state)
{
	struct fixture *f = *state;
	struct hash one = hash_of(1), two = hash_of(2), none = hash_of(3);
	struct msgid id[3] = {id_of(1), id_of(2), id_of(3)}, at = {{0}};
	struct txn *t = begin_write(f);
	for (size_t i = 0; i < 3; i++) {
		store_order_wait_put(t, &one, &id[i], 15);
		store_order_wait_put(t, &two, &id[i], 16);
	}
	store_order_wait_put(t, &one, &id[0], 15);
	store_order_wait_put(t, &one, &id[0], 14);
	store_order_wait_del(t, &one, &id[1], 15);
	store_order_wait_del(t, &one, &id[2], 16); /* was not there */
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	uint16_t to = 0;
	unsigned n = 0;
	for (; store_order_wait_from(t, &one, &at, &to) == ERR_OK; n++, to++)
		assert_true((msgid_equal(&at, &id[0]) && (to == 14 || to == 15)) || (msgid_equal(&at, &id[2]) && to == 15));
	assert_int_equal(n, 3);
	memset(&at, 0, sizeof at);
	to = 0;
	assert_int_equal(store_order_wait_from(t, &none, &at, &to), ERR_NOT_FOUND);
	txn_abort(t);
}

/* It only says where to look: nothing is lost, and nothing wrong is said, when its check does not fit. */
static void what_waits_is_found_though_damaged(void **state)
{
	struct fixture *f = *state;
	struct hash order = hash_of(1);
	struct msgid id = id_of(1), at = {{0}};
	uint16_t to = 0;
	struct key k = key_order_wait(&order, &id, 15);
	struct txn *t = begin_write(f);
	uint8_t *check = kv_reserve(t->k, k.db, key_view(&k), 16, KV_PUT);
	assert_non_null(check);
	memset(check, 7, 16);
	commit(t);
	t = begin_write(f);
	assert_int_equal(store_order_wait_from(t, &order, &at, &to), ERR_OK);
	assert_true(msgid_equal(&at, &id) && to == 15);
	store_order_wait_del(t, &order, &at, to);
	assert_int_equal(store_order_wait_from(t, &order, &at, &to), ERR_NOT_FOUND);
	commit(t);
}

/* ---- branches, quarantine, long work -------------------------------------------------------------------------------------- */

static enum err count_branch(void *arg, uint32_t stream, uint64_t first, const struct hash *hash)
{
	struct hash h = hash_of(first);
	assert_true(stream == 1 || stream == 2);
	assert_true(hash_equal(hash, &h));
	++*(unsigned *)arg;
	return ERR_OK;
}

static void only_so_many_branches_are_kept(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);
	for (uint64_t n = 1; n <= 5; n++) {
		struct hash h = hash_of(n);
		assert_int_equal(store_branch_put(t, 1, n, &h, bytes_of(n, LIMIT_SEGMENT_BYTES), 3), n <= 3);
	}
	struct hash second = hash_of(2), other = hash_of(1);
	assert_true(store_branch_put(t, 1, 2, &second, bytes_of(2, 100), 3));  /* it is there already */
	assert_true(store_branch_put(t, 2, 1, &other, bytes_of(1, 100), 3));   /* each stream for itself */
	assert_false(store_branch_put(t, 3, 1, &other, bytes_of(1, 100), 0));
	commit(t);
	fixture_reopen(f);
	unsigned n = 0;
	t = begin_read(f);
	assert_int_equal(store_branch_each(t, count_branch, &n), ERR_OK);
	assert_int_equal(n, 4);
	txn_abort(t);
}

static enum err count_quarantine(void *arg, uint64_t arrival, const char *why)
{
	char want[40];
	snprintf(want, sizeof want, "because of %llu", (unsigned long long)arrival);
	assert_string_equal(why, want);
	++*(unsigned *)arg;
	return ERR_OK;
}

static void quarantine_lasts_until_it_is_ended(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);
	char why[160];
	for (uint64_t n = 7; n < 10; n++) {
		snprintf(why, sizeof why, "because of %llu", (unsigned long long)n);
		store_quarantine_put(t, n, why);
	}
	store_quarantine_del(t, 8);
	commit(t);
	fixture_reopen(f);
	unsigned n = 0;
	t = begin_write(f);
	assert_int_equal(store_quarantine_each(t, count_quarantine, &n), ERR_OK);
	assert_int_equal(n, 2);
	assert_int_equal(store_quarantine_get(t, 7, why), ERR_OK);
	assert_string_equal(why, "because of 7");
	assert_int_equal(store_quarantine_get(t, 8, why), ERR_NOT_FOUND);
	memset(why, 'x', sizeof why - 1);
	why[sizeof why - 1] = '\0';
	store_quarantine_put(t, 8, why); /* the longest */
	char again[160];
	assert_int_equal(store_quarantine_get(t, 8, again), ERR_OK);
	assert_string_equal(again, why);
	txn_abort(t);
}

static void long_work_is_one_a_stream(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);
	for (uint32_t s = 1; s <= 3; s++)
		store_redo_put(t, &(struct redo_row){.stream = s, .next = s, .upto = 10 * s});
	store_redo_put(t, &(struct redo_row){.stream = 2, .next = 5, .upto = UINT64_MAX});
	store_redo_del(t, 1);
	commit(t);
	fixture_reopen(f);
	struct redo_row row;
	t = begin_read(f);
	assert_int_equal(store_redo_from(t, 0, &row), ERR_OK);
	assert_true(row.stream == 2 && row.next == 5 && row.upto == UINT64_MAX);
	assert_int_equal(store_redo_from(t, 3, &row), ERR_OK);
	assert_true(row.stream == 3 && row.next == 3 && row.upto == 30);
	assert_int_equal(store_redo_from(t, 4, &row), ERR_NOT_FOUND);
	txn_abort(t);
}

/* ---- a flipped bit ------------------------------------------------------------------------------------------------------------ */

#define ROWS 3
static const char needle[ROWS][8][40] = {
	{"the closing of one", "conflict-one", "the key of one", "the branch of one", "quarantine for one"},
	{"the closing of two", "conflict-two", "the key of two", "the branch of two", "quarantine for two"},
	{"the closing of three", "conflict-three", "the key of three", "the branch of three", "quarantine for three"},
};
enum { CLOSING, CONFLICT, HANDED, BRANCH, QUARANTINE, KINDS };
#define REDO_UPTO(n) (0x1122334455660000ULL + (n))

static void fill(struct fixture *f)
{
	struct txn *t = begin_write(f);
	struct hash order = hash_of(1);
	for (uint16_t n = 0; n < ROWS; n++) {
		struct hash h = hash_of(n);
		struct conflict_row c = conflict_of(n, 15);
		snprintf(c.queue, sizeof c.queue, "%s", needle[n][CONFLICT]);
		store_closing_put(t, &order, n, 0, view_str(needle[n][CLOSING]));
		store_conflict_put(t, &c);
		store_handed_put(t, n, 1, view_str(needle[n][HANDED]));
		assert_true(store_branch_put(t, 1, n, &h, view_str(needle[n][BRANCH]), 9));
		store_quarantine_put(t, n, needle[n][QUARANTINE]);
		store_redo_put(t, &(struct redo_row){.stream = n + 1u, .next = 1, .upto = REDO_UPTO(n)});
	}
	commit(t);
}

static enum err any_branch(void *arg, uint32_t stream, uint64_t first, const struct hash *hash)
{
	(void)stream, (void)first, (void)hash;
	++*(unsigned *)arg;
	return ERR_OK;
}
static enum err any_quarantine(void *arg, uint64_t arrival, const char *why)
{
	(void)arrival, (void)why;
	++*(unsigned *)arg;
	return ERR_OK;
}

/* What reading the second row of a kind gives; walks show how many rows they gave out. */
static enum err read_second(struct txn *t, int kind, unsigned *shown)
{
	struct hash order = hash_of(1);
	struct msgid id = id_of(1);
	struct conflict_row c, d;
	char why[160];
	struct view v;
	enum err e;
	*shown = ROWS;
	switch (kind) {
	case CLOSING:
		return store_closing_get(t, &order, 1, 0, &v);
	case CONFLICT:
		e = store_conflict_get(t, &id, 15, &c);
		assert_int_equal(store_conflict_from(t, &id, 3, &d), e);
		assert_true(msgid_equal(&d.id, &id) && d.addressee == 15); /* one can go on behind it */
		return e;
	case HANDED:
		return store_handed_get(t, 1, 1, &v);
	case BRANCH:
		*shown = 0;
		return store_branch_each(t, any_branch, shown);
	default:
		*shown = 0;
		e = store_quarantine_each(t, any_quarantine, shown);
		assert_int_equal(store_quarantine_get(t, 1, why), e);
		return e;
	}
}

static void a_flipped_bit_is_never_served(void **state)
{
	struct fixture *f = *state;
	fill(f);
	for (int kind = 0; kind < KINDS; kind++) {
		char flipped[40];
		unsigned shown;
		snprintf(flipped, sizeof flipped, "%s", needle[1][kind]);
		assert_int_equal(fixture_flip(f, view_str(flipped), 0), 1);
		struct txn *t = begin_read(f);
		for (int other = 0; other < KINDS; other++) {
			enum err e = read_second(t, other, &shown);
			bool walk = other == BRANCH || other == QUARANTINE;
			if (e != (other == kind ? ERR_DAMAGED : ERR_OK) || shown != (walk && other == kind ? ROWS - 1 : ROWS))
				fail_msg("kind %d flipped, kind %d: %s, %u shown", kind, other, err_code(e), shown);
		}
		txn_abort(t);
		struct verify_result r;
		assert_int_equal(verify_run(f->s, NULL, &r), ERR_OK);
		bool found = false;
		for (size_t i = 0; i < r.n_findings; i++)
			found |= strstr(r.finding[i], "check does not fit") != NULL;
		assert_true(found);
		flipped[0] ^= 1;
		assert_int_equal(fixture_flip(f, view_str(flipped), 0), 1);
	}
}

static void long_work_that_cannot_be_read_says_its_stream(void **state)
{
	struct fixture *f = *state;
	struct redo_row row;
	fill(f);
	const uint8_t upto[8] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0, 1};
	assert_int_equal(fixture_flip(f, view_of(upto, sizeof upto), 0), 1);
	struct txn *t = begin_read(f);
	assert_int_equal(store_redo_from(t, 1, &row), ERR_OK);
	assert_int_equal(store_redo_from(t, 2, &row), ERR_DAMAGED);
	assert_true(row.stream == 2 && row.next == 0 && row.upto == 0);
	assert_int_equal(store_redo_from(t, 3, &row), ERR_OK);
	assert_int_equal(row.upto, REDO_UPTO(2));
	txn_abort(t);
}

/* A damaged branch takes room too: it makes none for another, and the same one again takes its place. */
static void a_damaged_branch_counts(void **state)
{
	struct fixture *f = *state;
	struct hash second = hash_of(1), fourth = hash_of(9);
	unsigned n = 0;
	fill(f);
	assert_int_equal(fixture_flip(f, view_str(needle[1][BRANCH]), 0), 1);
	struct txn *t = begin_write(f);
	assert_false(store_branch_put(t, 1, 9, &fourth, view_str("one more"), ROWS));
	assert_true(store_branch_put(t, 1, 1, &second, view_str("again"), ROWS));
	assert_int_equal(store_branch_each(t, any_branch, &n), ERR_OK);
	assert_int_equal(n, ROWS);
	txn_abort(t);
}

/* ---- verification --------------------------------------------------------------------------------------------------------------- */

static void assert_finds(struct fixture *f, const char *what)
{
	struct verify_result r;
	bool found = false;
	assert_int_equal(verify_run(f->s, NULL, &r), ERR_OK);
	for (size_t i = 0; i < r.n_findings; i++)
		found |= what && strstr(r.finding[i], what);
	if (what ? !found : r.wrong != 0)
		fail_msg("\"%s\" was not found, or too much: %s", what ? what : "nothing", r.wrong ? r.finding[0] : "");
}

#define PLANT(fault, what, repair)              \
	do {                                    \
		struct txn *t = begin_write(f); \
		fault;                          \
		commit(t);                      \
		assert_finds(f, what);          \
		t = begin_write(f);             \
		repair;                         \
		commit(t);                      \
		assert_finds(f, NULL);          \
	} while (0)

static void verification_knows_what_leads_nowhere(void **state)
{
	struct fixture *f = *state;
	struct hash h = hash_of(1);
	struct msgid id = id_of(1);
	struct conflict_row good = conflict_of(1, 15), bad = good;
	struct stream_row stream = {.name = name_of(1)};
	struct txn *whole = begin_write(f);
	stream.chain = stream_hash(&fixture_birth.network, &stream.name);
	store_stream_add(whole, &stream);
	store_closing_put(whole, &h, 15, 0, view_str("a closing"));
	store_conflict_put(whole, &good);
	store_handed_put(whole, 1, 1, view_str("a key"));
	store_order_wait_put(whole, &h, &id, 15);
	assert_true(store_branch_put(whole, 1, 1, &h, view_str("a branch"), 9));
	store_redo_put(whole, &(struct redo_row){.stream = 1, .next = 1, .upto = 9});
	commit(whole);
	assert_finds(f, NULL);
	bad.n = 1;
	PLANT(store_conflict_put(t, &bad), "fewer than two", store_conflict_put(t, &good));
	PLANT(store_quarantine_put(t, 7, "why"), "entry 7 is in quarantine and is not there", store_quarantine_del(t, 7));
	struct redo_row back = {.stream = 1, .next = 1, .upto = 9}, none = {.stream = 1, .next = 9, .upto = 8}, stray = {.stream = 4, .next = 1, .upto = 2};
	PLANT(store_redo_put(t, &none), "is no range", store_redo_put(t, &back));
	PLANT(store_redo_put(t, &stray), "stream 4 is to be opened again from 1 to 2, and is not there", store_redo_del(t, 4));
	whole = begin_write(f);
	store_handed_put(whole, 8, 1, view_str("a key"));
	assert_true(store_branch_put(whole, 9, 1, &h, view_str("a branch"), 9));
	commit(whole);
	assert_finds(f, "number 1 of stream 8, which is not there");
	assert_finds(f, "number 1 of stream 9, which is not there");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(closings_lie_apart),
		ON_BOTH(state_holds_the_largest_order),
		ON_BOTH(keys_handed_on_are_found_by_their_grant),
		ON_BOTH(conflicts_are_walked_in_order),
		ON_BOTH(what_waits_for_an_order_is_found_by_it),
		ON_BOTH(what_waits_is_found_though_damaged),
		ON_BOTH(only_so_many_branches_are_kept),
		ON_BOTH(quarantine_lasts_until_it_is_ended),
		ON_BOTH(long_work_is_one_a_stream),
		ON_BOTH(a_flipped_bit_is_never_served),
		ON_BOTH(long_work_that_cannot_be_read_says_its_stream),
		ON_BOTH(a_damaged_branch_counts),
		ON_BOTH(verification_knows_what_leads_nowhere),
	};
	return cmocka_run_group_tests_name("store takeover", tests, NULL, NULL);
}
