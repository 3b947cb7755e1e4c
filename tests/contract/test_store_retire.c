/* The lower end of streams: what is retired is gone with all that leads to it, and the rest is as whole as before. */
#include "tests/lib/store_fixture.h"

#include <stdio.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/seal.h"
#include "storage/backup.h"
#include "storage/record.h"
#include "storage/remake.h"
#include "storage/verify.h"

#define ENTRIES 60
#define GRANT_EACH 10 /* numbers 1, 11, 21, ... are grants */
#define GROUP_AT 23   /* this entry and the next share a body apart */
#define COMING_AT 27

struct made {
	struct stream_row stream;
	struct body_row group, coming;
};

static bool is_grant(uint64_t n)
{
	return n % GRANT_EACH == 1;
}

static struct wall expires(uint64_t n)
{
	return (struct wall){1000 + (int64_t)n};
}

static void put_entry(struct txn *t, struct made *m, uint64_t n)
{
	static uint8_t header[HEADER_BYTES];
	struct stream_row *s = &m->stream;
	struct entry_row row = entry_of(s->local, n, 100, n % 4 ? 300 : 9000);
	struct header h = {.kind = is_grant(n) ? KIND_GRANT : KIND_MESSAGE, .precedence = PREC_PRIORITY, .id = id_of(n), .originator = 3};
	if (!is_grant(n))
		h.expires = expires(n);
	header_encode(&h, header);
	row.e.header = view_of(header, sizeof header);
	entry_hash(&row.e);
	const struct body_row *apart = n == GROUP_AT || n == GROUP_AT + 1 ? &m->group : n == COMING_AT ? &m->coming : NULL;
	if (apart) {
		row.e.body = view_of(NULL, 0);
		row.e.body_len = apart->sealed_len;
		row.e.body_hash = apart->hash;
		row.e.flags = ENTRY_BODY_APART;
		row.body_no = n == COMING_AT ? 0 : apart->body_no;
	}
	struct hash leaf = entry_leaf(&row.e);
	row.chain = chain_next(&s->chain, n, &leaf);
	store_entry_append(t, &row);
	s->held = n;
	s->chain = row.chain;
	if (n == COMING_AT && m->coming.sealed_len)
		store_missing_put(t, s->local, n, &m->coming.hash);
	if (is_grant(n))
		store_grant_put(t, s->local, n, row.arrival);
	else
		store_expiry_put(t, expires(n), row.arrival);
	if (n % 8 == 0) {
		struct head head = {.number = n, .chain = row.chain};
		store_head_put(t, s, &head);
	}
}

static struct made make(struct fixture *f)
{
	struct made m = {.stream = {.name = name_of(1)}};
	struct txn *t = begin_write(f);
	m.group = (struct body_row){.hash = body_hash(bytes_of(1, 10000)), .sealed_len = 10000, .refs = 2, .whole = true};
	store_body_add(t, &m.group);
	store_body_put_part(t, 0, m.group.body_no, PART_WHOLE, 0, bytes_of(1, 10000));
	m.coming = (struct body_row){.hash = hash_of(99), .sealed_len = 500000, .chunks = 8, .have = 1};
	store_body_add(t, &m.coming);
	m.stream.chain = stream_hash(&fixture_birth.network, &m.stream.name);
	store_stream_add(t, &m.stream);
	for (uint64_t n = 1; n <= ENTRIES; n++)
		put_entry(t, &m, n);
	store_stream_put(t, &m.stream);
	commit(t);
	return m;
}

static void assert_whole(struct fixture *f)
{
	struct verify_result r;
	assert_int_equal(verify_run(f->s, NULL, &r), ERR_OK);
	if (r.wrong)
		print_error("%s\n", r.finding[0]);
	assert_int_equal(r.wrong, 0);
}

struct unused { size_t n; uint64_t body_no[4]; };
static void note_unused(void *arg, const struct body_row *body)
{
	struct unused *u = arg;
	assert_true(u->n < 4);
	u->body_no[u->n++] = body->body_no;
}

static void retire(struct fixture *f, struct made *m, uint64_t upto, size_t max, struct unused *u)
{
	struct txn *t = begin_write(f);
	assert_int_equal(store_stream_retire(t, &m->stream, upto, max, note_unused, u), ERR_OK);
	store_stream_put(t, &m->stream);
	commit(t);
}

static bool is_there(struct txn *t, uint64_t n)
{
	struct entry_row row;
	enum err e = store_entry_find(t, 1, n, &row);
	assert_true(e == ERR_OK || e == ERR_NOT_FOUND);
	assert_int_equal(store_entry_get(t, n, &row), e); /* arrival and number are the same here */
	return e == ERR_OK;
}

static void it_goes_from_the_lower_end_in_steps(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct unused u = {0};
	struct entry_row row;
	struct floor_note note;
	uint64_t number;
	struct head head;
	struct txn *t = begin_read(f);
	assert_int_equal(store_entry_find(t, 1, 25, &row), ERR_OK);
	txn_abort(t);
	for (uint64_t at = 0; at < 25;) {
		retire(f, &m, 25, 7, &u);
		assert_int_equal(m.stream.floor, at + 7 < 25 ? at + 7 : 25);
		at = m.stream.floor;
		fixture_reopen(f);
		assert_whole(f);
	}
	assert_true(hash_equal(&m.stream.floor_chain, &row.chain));
	assert_int_equal(u.n, 1);
	assert_int_equal(u.body_no[0], m.group.body_no);
	t = begin_read(f);
	for (uint64_t n = 1; n <= ENTRIES; n++) /* the grant at 21 opens up to 30 */
		assert_int_equal(is_there(t, n), n > 25 || n == 21);
	uint64_t arrival;
	assert_int_equal(store_grant_find(t, 1, 26, &number, &arrival), ERR_OK);
	assert_int_equal(number, 21);
	assert_int_equal(store_grant_find(t, 1, 20, &number, &arrival), ERR_NOT_FOUND);
	assert_int_equal(store_head_from(t, 1, 0, &head), ERR_OK);
	assert_true(head.number > 25);
	assert_int_equal(store_floor_get(t, 1, &note), ERR_OK);
	assert_int_equal(note.number, 25);
	assert_true(hash_equal(&note.chain, &row.chain) && note.proof.len == 0 && note.grant == 0);
	txn_abort(t);
}

static void bytes_of_bodies_go_with_their_entries(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct unused u = {0};
	struct body_row body;
	struct buf out = BUF_EMPTY;
	uint32_t stream = 1;
	uint64_t number = 1;
	struct hash h;
	retire(f, &m, GROUP_AT, 100, &u);
	assert_int_equal(u.n, 0); /* the other one still has it */
	struct txn *t = begin_read(f);
	assert_int_equal(store_body_row(t, 0, m.group.body_no, &body), ERR_OK);
	assert_int_equal(body.refs, 1);
	assert_int_equal(store_body_get_part(t, 0, 2, PART_WHOLE, 0, &out), ERR_NOT_FOUND);
	assert_int_equal(store_missing_from(t, &stream, &number, &h), ERR_OK);
	txn_abort(t);
	retire(f, &m, 30, 100, &u);
	assert_int_equal(u.n, 2); /* the shared one, and what was still coming */
	assert_int_equal(u.body_no[1], m.coming.body_no);
	t = begin_write(f);
	assert_int_equal(store_missing_from(t, &stream, &number, &h), ERR_NOT_FOUND);
	for (size_t i = 0; i < u.n; i++)
		assert_true(store_body_del(t, 0, u.body_no[i], 100));
	commit(t);
	assert_whole(f);
	buf_release(&out);
}

static void a_whole_stream_can_go_and_numbers_are_not_given_again(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct unused u = {0};
	retire(f, &m, UINT64_MAX, 1000, &u);
	assert_int_equal(m.stream.floor, ENTRIES);
	assert_true(hash_equal(&m.stream.floor_chain, &m.stream.chain));
	assert_whole(f);
	fixture_reopen(f);
	struct txn *t = begin_write(f);
	assert_int_equal(store_last_arrival(t), ENTRIES);
	put_entry(t, &m, ENTRIES + 1);
	struct entry_row row;
	assert_int_equal(store_entry_find(t, 1, ENTRIES + 1, &row), ERR_OK);
	assert_int_equal(row.arrival, ENTRIES + 1);
	store_stream_put(t, &m.stream);
	commit(t);
	assert_whole(f);
	retire(f, &m, UINT64_MAX, 1000, &u); /* a grant: its row stays until the next */
	t = begin_read(f);
	assert_true(is_there(t, ENTRIES + 1));
	txn_abort(t);
	assert_whole(f);
}

static void nothing_is_changed_by_an_aborted_one(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct stream_row row = m.stream;
	struct txn *t = begin_write(f);
	assert_int_equal(store_stream_retire(t, &row, 40, 100, NULL, NULL), ERR_OK);
	txn_abort(t);
	assert_whole(f);
	t = begin_write(f);
	row = m.stream;
	assert_int_equal(store_stream_retire(t, &row, 0, 100, NULL, NULL), ERR_OK);
	assert_int_equal(store_stream_retire(t, &row, 10, 0, NULL, NULL), ERR_OK);
	assert_int_equal(row.floor, 0);
	txn_abort(t);
}

/* The row and the entry both gone wrong: the floor is known from its note, and nothing below it is asked for. */
static void a_damaged_row_is_made_anew_with_its_floor(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct unused u = {0};
	struct stream_row row;
	retire(f, &m, 33, 100, &u);
	struct txn *t = begin_read(f);
	assert_int_equal(store_stream_rebuild(t, 1, &row), ERR_OK);
	txn_abort(t);
	assert_int_equal(row.floor, 33);
	assert_int_equal(row.held, ENTRIES);
	assert_true(hash_equal(&row.floor_chain, &m.stream.floor_chain) && hash_equal(&row.chain, &m.stream.chain));
	retire(f, &m, ENTRIES, 100, &u);
	t = begin_read(f);
	assert_int_equal(store_stream_rebuild(t, 1, &row), ERR_OK);
	txn_abort(t);
	assert_int_equal(row.floor, ENTRIES);
	assert_int_equal(row.held, ENTRIES);
	assert_true(hash_equal(&row.chain, &m.stream.chain));
}

static void it_stops_at_a_damaged_entry(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct key k = key_entry(9);
	struct txn *t = begin_write(f);
	uint8_t *to = kv_reserve(t->k, k.db, key_view(&k), 40, KV_PUT);
	assert_non_null(to);
	memset(to, 7, 40);
	commit(t);
	t = begin_write(f);
	assert_int_equal(store_stream_retire(t, &m.stream, 20, 100, NULL, NULL), ERR_DAMAGED);
	assert_int_equal(m.stream.floor, 8);
	store_stream_put(t, &m.stream);
	commit(t);
}

/* A stream of which only what lies behind a floor came; the key is known by its grant's number. */
static void a_stream_begins_at_a_floor(void **state)
{
	struct fixture *f = *state;
	struct made m = {.stream = {.name = name_of(1)}};
	struct unused u = {0};
	struct txn *t = begin_write(f);
	uint64_t number, arrival;
	struct stream_row again;
	m.stream.held = m.stream.floor = 25;
	m.stream.chain = m.stream.floor_chain = hash_of(25);
	store_stream_add(t, &m.stream);
	store_floor_put(t, &m.stream, 21, view_str("proof"));
	store_grant_put(t, 1, 21, 0);
	for (uint64_t n = 26; n <= 50; n++)
		put_entry(t, &m, n);
	store_stream_put(t, &m.stream);
	commit(t);
	t = begin_read(f);
	assert_int_equal(store_stream_rebuild(t, 1, &again), ERR_OK);
	assert_true(again.floor == 25 && again.held == 50);
	txn_abort(t);
	assert_whole(f);
	retire(f, &m, 28, 100, &u);
	t = begin_read(f);
	assert_int_equal(store_grant_find(t, 1, 29, &number, &arrival), ERR_OK);
	assert_true(number == 21 && arrival == 0);
	txn_abort(t);
	retire(f, &m, 35, 100, &u);
	t = begin_read(f);
	assert_int_equal(store_grant_find(t, 1, 30, &number, &arrival), ERR_NOT_FOUND);
	txn_abort(t);
	assert_whole(f);
}

static enum err add_bytes(void *arg, struct view bytes)
{
	buf_add(arg, bytes);
	return ERR_OK;
}

static void backups_take_a_stream_with_a_floor(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct unused u = {0};
	struct buf file = BUF_EMPTY;
	struct backup_out out = {.write = add_bytes, .arg = &file};
	struct backup_result r;
	struct errmsg em = {0};
	retire(f, &m, 33, 100, &u);
	assert_int_equal(backup_write(f->s, (struct wall){5}, NULL, &out, NULL, &r, &em), ERR_OK);
	if (r.wrong)
		print_error("%s\n", r.finding);
	assert_int_equal(r.wrong, 0);
	assert_int_equal(r.entries, ENTRIES - 33 + 1); /* and the grant at 31 */
	buf_release(&file);
}

static void a_journal_is_made_anew_with_its_floors(void **state)
{
	struct fixture *f = *state;
	struct remake_options o = {.now = {7}};
	struct remake_result r;
	struct errmsg em = {0};
	struct made m = make(f);
	struct unused u = {0};
	retire(f, &m, 33, 100, &u);
	for (int scan = 0; scan < 2; scan++) {
		o.scan = scan;
		store_close(f->s);
		assert_int_equal(store_remake(f->dir, &o, &r, &em), ERR_OK);
		assert_int_equal(r.lost, 0);
		assert_int_equal(store_open(f->dir, &f->options, &f->s, &em), ERR_OK);
		struct txn *t = begin_read(f);
		for (uint64_t n = 1; n <= ENTRIES; n++)
			assert_int_equal(is_there(t, n), n > 33 || n == 31);
		txn_abort(t);
		fixture_remove(r.kept); /* in the way of the next one */
		assert_whole(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(it_goes_from_the_lower_end_in_steps),
		ON_BOTH(bytes_of_bodies_go_with_their_entries),
		ON_BOTH(a_whole_stream_can_go_and_numbers_are_not_given_again),
		ON_BOTH(nothing_is_changed_by_an_aborted_one),
		ON_BOTH(a_damaged_row_is_made_anew_with_its_floor),
		ON_BOTH(it_stops_at_a_damaged_entry),
		ON_BOTH(a_stream_begins_at_a_floor),
		ON_BOTH(backups_take_a_stream_with_a_floor),
		cmocka_unit_test_setup_teardown(a_journal_is_made_anew_with_its_floors, fixture_folder, fixture_end),
	};
	return cmocka_run_group_tests_name("retiring", tests, NULL, NULL);
}
