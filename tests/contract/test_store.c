/* The store's contract, table by table; every test runs on both stores. */
#include "tests/lib/store_fixture.h"

#include <stdio.h>
#include <string.h>

#include "proto/frame.h"

/* ---- transactions ---------------------------------------------------------------------------------------- */

static void birth_is_kept(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	const struct store_birth *b = store_birth(f->s);
	assert_int_equal(b->site, fixture_birth.site);
	assert_string_equal(b->site_id, fixture_birth.site_id);
	assert_true(hash_equal(&b->network, &fixture_birth.network));
	assert_int_equal(b->how, BIRTH_FRESH);
	assert_int_equal(b->born.us, fixture_birth.born.us);
}

static void commit_shows_and_abort_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct view v;
	struct txn *t = begin_write(f);
	store_meta_put(t, META_OTHER, view_str("one"));
	assert_int_equal(store_meta_get(t, META_OTHER, &v), ERR_OK); /* its own writes it sees */
	assert_true(view_equal(v, view_str("one")));
	txn_abort(t);

	t = begin_read(f);
	assert_int_equal(store_meta_get(t, META_OTHER, &v), ERR_NOT_FOUND);
	txn_abort(t);

	t = begin_write(f);
	store_meta_put(t, META_OTHER, view_str("two"));
	commit(t);
	t = begin_write(f);
	store_meta_put(t, META_OTHER, view_str("three"));
	txn_abort(t);
	fixture_reopen(f);
	t = begin_read(f);
	assert_int_equal(store_meta_get(t, META_OTHER, &v), ERR_OK);
	assert_true(view_equal(v, view_str("two")));
	assert_int_equal(txn_commit(t), ERR_OK); /* a reader may end either way */
	txn_abort(NULL);
}

static void errors_stick_until_the_commit(void **state)
{
	struct fixture *f = *state;
	struct view v;
	struct txn *t = begin_write(f);
	store_meta_put(t, META_OTHER, view_str("before"));
	store_meta_put(t, META_OTHER + 1, bytes_of(1, 1025));
	assert_int_equal(txn_error(t), ERR_TOO_LARGE);
	store_meta_put(t, META_OTHER + 2, view_str("after"));
	assert_int_equal(store_meta_get(t, META_OTHER, &v), ERR_TOO_LARGE);
	assert_int_equal(txn_commit(t), ERR_TOO_LARGE);
	t = begin_read(f);
	for (uint8_t k = 0; k < 3; k++)
		assert_int_equal(store_meta_get(t, META_OTHER + k, &v), ERR_NOT_FOUND);
	txn_abort(t);
}

static void one_writer_and_nobody_beside_it(void **state)
{
	struct fixture *f = *state;
	struct txn *other, *w = begin_write(f);
	assert_int_equal(txn_begin(f->s, true, &other), ERR_BUSY);
	assert_int_equal(txn_begin(f->s, false, &other), ERR_BUSY);
	txn_abort(w);
	struct txn *a = begin_read(f), *b = begin_read(f);
	assert_int_equal(txn_begin(f->s, true, &other), ERR_BUSY);
	txn_abort(a);
	txn_abort(b);
	commit(begin_write(f));
}

static void meta_takes_up_to_1_kib(void **state)
{
	struct fixture *f = *state;
	struct view v;
	struct txn *t = begin_write(f);
	store_meta_put(t, META_COUNTERS, bytes_of(1, 1024));
	store_meta_put(t, META_LAST_ID, view_of(NULL, 0));
	commit(t);
	fixture_reopen(f);
	t = begin_write(f);
	assert_int_equal(store_meta_get(t, META_COUNTERS, &v), ERR_OK);
	assert_true(view_equal(v, bytes_of(1, 1024)));
	store_meta_put(t, META_COUNTERS, view_of(v.ptr, 500)); /* a view of the record that it replaces */
	assert_int_equal(store_meta_get(t, META_COUNTERS, &v), ERR_OK);
	assert_true(view_equal(v, bytes_of(1, 500)));
	assert_int_equal(store_meta_get(t, META_LAST_ID, &v), ERR_OK);
	assert_int_equal(v.len, 0);
	commit(t);
}

/* ---- streams and heads -------------------------------------------------------------------------------------- */

struct counter {
	struct txn *t;
	size_t n;
	enum err stop_with;
	uint64_t seen[64];
};

static enum err see_stream(void *arg, const struct stream_row *row)
{
	struct counter *c = arg;
	struct stream_name want = name_of((uint16_t)c->n);
	assert_true(stream_name_equal(&row->name, &want));
	assert_int_equal(row->held, row->local * 10);
	c->seen[c->n++] = row->local;
	return c->n == 2 ? c->stop_with : ERR_OK;
}

static void streams_get_numbers_and_come_in_their_order(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);
	for (uint16_t i = 0; i < 300; i++) {
		struct stream_row row = {.name = name_of(i), .chain = hash_of(i), .floor = i, .floor_chain = hash_of(i + 1)};
		store_stream_add(t, &row);
		assert_int_equal(row.local, i + 1);
		if (i >= 5)
			continue;
		row.held = row.local * 10;
		store_stream_put(t, &row);
	}
	txn_abort(t);
	t = begin_write(f);
	for (uint16_t i = 0; i < 5; i++) {
		struct stream_row row = {.name = name_of(i), .held = (i + 1) * 10ULL};
		store_stream_add(t, &row);
		assert_int_equal(row.local, i + 1); /* what was aborted took no number */
	}
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	struct counter c = {0};
	assert_int_equal(store_stream_each(t, see_stream, &c), ERR_OK);
	assert_int_equal(c.n, 5);
	c = (struct counter){.stop_with = ERR_NOT_FOUND};
	assert_int_equal(store_stream_each(t, see_stream, &c), ERR_NOT_FOUND); /* the callback's own, told apart from the end */
	assert_int_equal(c.n, 2);
	txn_abort(t);
}

static void put_head(struct txn *t, struct stream_row *row, uint64_t number)
{
	struct head h = {.number = number, .chain = hash_of(number)};
	memset(h.signature.b, (int)number, sizeof h.signature.b);
	store_head_put(t, row, &h);
}

static size_t count_heads(struct txn *t, uint32_t stream, uint64_t *largest_gap)
{
	struct head h = {.number = 0};
	uint64_t before = 0;
	size_t n = 0;
	*largest_gap = 0;
	while (store_head_from(t, stream, h.number + 1, &h) == ERR_OK) {
		struct hash want = hash_of(h.number);
		assert_true(hash_equal(&h.chain, &want));
		assert_int_equal(h.signature.b[63], (uint8_t)h.number);
		if (h.number - before > *largest_gap)
			*largest_gap = h.number - before;
		before = h.number;
		n++;
	}
	return n;
}

static void heads_are_pruned_to_their_spacing(void **state)
{
	struct fixture *f = *state;
	uint64_t gap;
	struct txn *t = begin_write(f);
	struct stream_row a = {.name = name_of(0)}, b = {.name = name_of(1)};
	store_stream_add(t, &a);
	store_stream_add(t, &b);
	for (uint64_t n = 1; n <= 1000; n++)
		put_head(t, &a, n); /* a commit an entry */
	assert_int_equal(a.head, 1000);
	assert_int_equal(a.head_before, 992);
	assert_int_equal(count_heads(t, a.local, &gap), 32);
	assert_int_equal(gap, LIMIT_HEAD_SPACING);
	put_head(t, &b, 20);
	put_head(t, &b, 40); /* 20 is needed: 40 is further than the spacing from the start */
	assert_int_equal(b.head_before, 20);
	put_head(t, &b, 100); /* came in such steps: nothing can be dropped */
	put_head(t, &b, 110);
	assert_int_equal(b.head, 110);
	assert_int_equal(b.head_before, 100);
	put_head(t, &b, 105); /* a lower one that comes late */
	assert_int_equal(b.head_before, 105);
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	assert_int_equal(count_heads(t, b.local, &gap), 5);
	struct head h;
	assert_int_equal(store_head_from(t, a.local, 993, &h), ERR_OK);
	assert_int_equal(h.number, 1000);
	assert_int_equal(store_head_from(t, a.local, 1001, &h), ERR_NOT_FOUND); /* not the next stream's */
	txn_abort(t);
}

/* ---- entries ------------------------------------------------------------------------------------------------- */

static void entries_are_appended_got_and_found(void **state)
{
	struct fixture *f = *state;
	struct entry_row out;
	struct txn *t = begin_write(f);
	assert_int_equal(store_last_arrival(t), 0);
	for (uint64_t n = 1; n <= 200; n++) {
		struct entry_row row = entry_of(1 + n % 3, n, n * 15, n % 2 ? n : 0);
		store_entry_append(t, &row);
		assert_int_equal(row.arrival, n);
		assert_int_equal(row.body_no, n % 2 ? n : 0);
		assert_int_equal(store_last_arrival(t), n);
	}
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	assert_int_equal(store_last_arrival(t), 200);
	for (uint64_t n = 1; n <= 200; n++) {
		struct entry_row want = entry_of(1 + n % 3, n, n * 15, n % 2 ? n : 0);
		want.arrival = n;
		want.body_no = n % 2 ? n : 0;
		assert_int_equal(store_entry_get(t, n, &out), ERR_OK);
		assert_same_entry(&out, &want);
		assert_int_equal(out.e.body.len, 0);
		assert_int_equal(store_entry_find(t, 1 + n % 3, n, &out), ERR_OK);
		assert_same_entry(&out, &want);
	}
	assert_int_equal(store_entry_get(t, 201, &out), ERR_NOT_FOUND);
	assert_int_equal(store_entry_get(t, 0, &out), ERR_NOT_FOUND);
	assert_int_equal(store_entry_find(t, 1, 1, &out), ERR_NOT_FOUND);
	txn_abort(t);
}

static void a_number_is_taken_once(void **state)
{
	struct fixture *f = *state;
	struct entry_row row = entry_of(1, 1, 10, 0);
	struct txn *t = begin_write(f);
	store_entry_append(t, &row);
	commit(t);
	t = begin_write(f);
	row = entry_of(1, 1, 20, 0);
	store_entry_append(t, &row);
	assert_int_equal(txn_commit(t), ERR_EXISTS);
	t = begin_read(f);
	assert_int_equal(store_last_arrival(t), 1);
	txn_abort(t);
}

static void entry_limits(void **state)
{
	struct fixture *f = *state;
	struct entry_row out, row = entry_of(1, 1, LIMIT_ENVELOPE_BYTES, 0);
	struct txn *t = begin_write(f);
	store_entry_append(t, &row);
	assert_int_equal(store_entry_get(t, 1, &out), ERR_OK);
	assert_same_entry(&row, &out);
	row = entry_of(1, 2, LIMIT_ENVELOPE_BYTES + 1, 0);
	store_entry_append(t, &row);
	assert_int_equal(txn_commit(t), ERR_TOO_LARGE);
	t = begin_write(f);
	row = entry_of(1, 2, 10, 0);
	row.e.header.len--;
	store_entry_append(t, &row);
	assert_int_equal(txn_commit(t), ERR_FORMAT);
}

static void a_body_that_comes_later_is_marked(void **state)
{
	struct fixture *f = *state;
	struct entry_row out, row = entry_of(3, 9, 100, 0);
	row.e.body_len = 5000;
	row.e.flags = ENTRY_BODY_APART;
	struct txn *t = begin_write(f);
	store_entry_append(t, &row);
	commit(t);
	t = begin_write(f);
	store_entry_set_body(t, row.arrival, 77, BODY_EXERCISE);
	commit(t);
	fixture_reopen(f);
	t = begin_write(f);
	assert_int_equal(store_entry_find(t, 3, 9, &out), ERR_OK);
	row.body_no = 77;
	row.body_class = BODY_EXERCISE;
	assert_same_entry(&row, &out);
	store_entry_set_body(t, 12345, 77, BODY_EXERCISE);
	assert_int_equal(txn_commit(t), ERR_NOT_FOUND);
}

/* ---- bodies ----------------------------------------------------------------------------------------------------- */

static void assert_part(struct txn *t, uint8_t class, uint64_t no, uint8_t kind, uint32_t index, struct view want)
{
	struct buf b = BUF_EMPTY;
	buf_add(&b, view_str("x"));
	assert_int_equal(store_body_get_part(t, class, no, kind, index, &b), ERR_OK);
	assert_int_equal(b.len, want.len + 1);
	assert_int_equal(b.ptr[0], 'x'); /* appended to what was there */
	assert_true(view_equal(view_of(b.ptr + 1, b.len - 1), want));
	buf_release(&b);
}

static void assert_no_part(struct txn *t, uint8_t class, uint64_t no, uint8_t kind, uint32_t index)
{
	struct buf b = BUF_EMPTY;
	assert_int_equal(store_body_get_part(t, class, no, kind, index, &b), ERR_NOT_FOUND);
	assert_int_equal(b.len, 0);
	buf_release(&b);
}

static void inline_bodies_of_every_length(void **state)
{
	static const size_t lengths[] = {1, 100, 4079, 4080, 4081, 8159, 8160, 8161, 65536, 70000};
	struct fixture *f = *state;
	size_t n = sizeof lengths / sizeof *lengths;
	struct txn *t = begin_write(f);
	for (size_t i = 0; i < n; i++) {
		struct entry_row row = entry_of(1, i + 1, 50, lengths[i]);
		row.body_class = i % 2;
		store_entry_append(t, &row);
	}
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	for (size_t i = 0; i < n; i++) {
		struct entry_row row = entry_of(1, i + 1, 50, lengths[i]);
		assert_part(t, i % 2, i + 1, PART_WHOLE, 0, row.e.body);
		assert_no_part(t, !(i % 2), i + 1, PART_WHOLE, 0);
		assert_no_part(t, i % 2, i + 1, PART_CHUNK, 0);
	}
	txn_abort(t);
}

static void a_shorter_part_leaves_nothing_of_a_longer(void **state)
{
	struct fixture *f = *state;
	struct body_row row = {.class = BODY_OPERATIONAL};
	static const size_t lengths[] = {40800, 8160, 4081, 0, 12000};
	struct txn *t = begin_write(f);
	store_body_add(t, &row);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		store_body_put_part(t, 0, row.body_no, PART_CHUNK, 3, bytes_of(i, lengths[i]));
		assert_part(t, 0, row.body_no, PART_CHUNK, 3, bytes_of(i, lengths[i]));
		assert_no_part(t, 0, row.body_no, PART_CHUNK, 2);
		assert_no_part(t, 0, row.body_no, PART_CHUNK, 4);
	}
	commit(t);
}

static void bodies_apart_are_found_by_hash(void **state)
{
	struct fixture *f = *state;
	struct body_row out, a = {.class = BODY_EXERCISE, .sealed_len = 9, .chunks = 3, .refs = 2, .hash = hash_of(1)};
	struct body_row b = {.class = BODY_EXERCISE}; /* a submission that still comes in: no hash yet */
	struct hash h = hash_of(1), zero = {{0}};
	struct entry_row e = entry_of(1, 1, 10, 10);
	struct txn *t = begin_write(f);
	store_entry_append(t, &e);
	store_body_add(t, &a);
	store_body_add(t, &b);
	assert_true(a.body_no != b.body_no && a.body_no > 1ULL << 62 && b.body_no > 1ULL << 62);
	commit(t);
	fixture_reopen(f);
	t = begin_write(f);
	assert_int_equal(store_body_find(t, BODY_EXERCISE, &h, &out), ERR_OK);
	assert_int_equal(out.body_no, a.body_no);
	assert_int_equal(out.chunks, 3);
	assert_int_equal(out.refs, 2);
	assert_int_equal(out.sealed_len, 9);
	assert_false(out.whole);
	assert_int_equal(store_body_find(t, BODY_OPERATIONAL, &h, &out), ERR_NOT_FOUND);
	assert_int_equal(store_body_find(t, BODY_EXERCISE, &zero, &out), ERR_NOT_FOUND);
	b.hash = hash_of(2);
	b.whole = true;
	b.have = 7;
	store_body_put_row(t, &b);
	h = hash_of(2);
	assert_int_equal(store_body_find(t, BODY_EXERCISE, &h, &out), ERR_OK);
	assert_true(out.whole && out.have == 7);
	b.hash = hash_of(3);
	store_body_put_row(t, &b);
	assert_int_equal(store_body_find(t, BODY_EXERCISE, &h, &out), ERR_NOT_FOUND);
	commit(t);
}

static enum err see_body(void *arg, const struct body_row *row)
{
	struct counter *c = arg;
	c->seen[c->n++] = row->body_no;
	if (c->t)
		assert_true(store_body_del(c->t, row->class, row->body_no, 1000)); /* the row under the walk may go */
	return ERR_OK;
}

static void orphans_are_those_without_reference(void **state)
{
	struct fixture *f = *state;
	struct body_row rows[4] = {{.refs = 1}, {.refs = 0}, {.class = 1, .refs = 0}, {.refs = 3}};
	struct counter c = {0};
	struct txn *t = begin_write(f);
	for (size_t i = 0; i < 4; i++)
		store_body_add(t, &rows[i]);
	rows[0].refs = 0;
	store_body_put_row(t, &rows[0]);
	rows[1].refs = 1;
	store_body_put_row(t, &rows[1]);
	commit(t);
	fixture_reopen(f);
	t = begin_write(f);
	assert_int_equal(store_body_each_orphan(t, see_body, &c), ERR_OK);
	assert_int_equal(c.n, 2);
	assert_int_equal(c.seen[0], rows[0].body_no);
	assert_int_equal(c.seen[1], rows[2].body_no);
	c = (struct counter){.t = t};
	assert_int_equal(store_body_each_orphan(t, see_body, &c), ERR_OK);
	assert_int_equal(c.n, 2);
	c = (struct counter){0};
	assert_int_equal(store_body_each_orphan(t, see_body, &c), ERR_OK);
	assert_int_equal(c.n, 0);
	struct body_row again = {.refs = 1};
	store_body_add(t, &again);
	assert_true(again.body_no > rows[3].body_no); /* a number is never given twice */
	commit(t);
}

static void a_body_goes_in_steps(void **state)
{
	struct fixture *f = *state;
	struct hash h = hash_of(5);
	struct body_row out, row = {.hash = h, .chunks = 10, .refs = 1}, twin = {.hash = h, .refs = 1};
	struct txn *t = begin_write(f);
	store_body_add(t, &row);
	store_body_put_part(t, 0, row.body_no, PART_MANIFEST, 0, bytes_of(1, 100));
	for (uint32_t i = 0; i < 10; i++)
		store_body_put_part(t, 0, row.body_no, PART_CHUNK, i, bytes_of(i, 9000)); /* three records each */
	store_body_add(t, &twin);
	store_body_put_part(t, 0, twin.body_no, PART_WHOLE, 0, bytes_of(1, 100));
	commit(t);
	size_t steps = 1;
	for (t = begin_write(f); !store_body_del(t, 0, row.body_no, 7); t = begin_write(f), steps++) {
		assert_int_equal(store_body_row(t, 0, row.body_no, &out), ERR_OK); /* the row is the last to go */
		commit(t);
	}
	commit(t);
	assert_int_equal(steps, 5);
	fixture_reopen(f);
	t = begin_write(f);
	assert_int_equal(store_body_row(t, 0, row.body_no, &out), ERR_NOT_FOUND);
	for (uint32_t i = 0; i < 10; i++)
		assert_no_part(t, 0, row.body_no, PART_CHUNK, i);
	assert_int_equal(store_body_find(t, 0, &h, &out), ERR_OK);
	assert_int_equal(out.body_no, twin.body_no);
	assert_part(t, 0, twin.body_no, PART_WHOLE, 0, bytes_of(1, 100));
	assert_true(store_body_del(t, 0, twin.body_no, 7));
	assert_true(store_body_del(t, 0, twin.body_no, 7)); /* of nothing, nothing is left */
	assert_int_equal(store_body_find(t, 0, &h, &out), ERR_NOT_FOUND);
	commit(t);
}

static enum err see_missing(void *arg, uint32_t stream, uint64_t number, const struct hash *body)
{
	struct counter *c = arg;
	struct hash want = hash_of(stream * 100 + number);
	assert_true(hash_equal(body, &want));
	c->seen[c->n++] = stream * 100 + number;
	if (c->t)
		store_missing_del(c->t, stream, number);
	return ERR_OK;
}

static void missing_come_by_stream_and_number(void **state)
{
	static const struct {
		uint32_t stream;
		uint64_t number;
	} puts[] = {{2, 5}, {1, 30}, {1, 4}};
	struct fixture *f = *state;
	struct counter c = {0};
	struct txn *t = begin_write(f);
	for (size_t i = 0; i < 3; i++) {
		struct hash h = hash_of(puts[i].stream * 100 + puts[i].number);
		store_missing_put(t, puts[i].stream, puts[i].number, &h);
	}
	commit(t);
	fixture_reopen(f);
	t = begin_write(f);
	store_missing_del(t, 9, 9); /* what is not there may be deleted */
	c.t = t;
	assert_int_equal(store_missing_each(t, see_missing, &c), ERR_OK);
	assert_int_equal(c.n, 3);
	assert_true(c.seen[0] == 104 && c.seen[1] == 130 && c.seen[2] == 205);
	c = (struct counter){0};
	assert_int_equal(store_missing_each(t, see_missing, &c), ERR_OK);
	assert_int_equal(c.n, 0);
	commit(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(birth_is_kept),
		ON_BOTH(commit_shows_and_abort_leaves_nothing),
		ON_BOTH(errors_stick_until_the_commit),
		ON_BOTH(one_writer_and_nobody_beside_it),
		ON_BOTH(meta_takes_up_to_1_kib),
		ON_BOTH(streams_get_numbers_and_come_in_their_order),
		ON_BOTH(heads_are_pruned_to_their_spacing),
		ON_BOTH(entries_are_appended_got_and_found),
		ON_BOTH(a_number_is_taken_once),
		ON_BOTH(entry_limits),
		ON_BOTH(a_body_that_comes_later_is_marked),
		ON_BOTH(inline_bodies_of_every_length),
		ON_BOTH(a_shorter_part_leaves_nothing_of_a_longer),
		ON_BOTH(bodies_apart_are_found_by_hash),
		ON_BOTH(orphans_are_those_without_reference),
		ON_BOTH(a_body_goes_in_steps),
		ON_BOTH(missing_come_by_stream_and_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
