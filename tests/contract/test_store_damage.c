/* A flipped bit, in every kind of record: ERR_DAMAGED (or, where the caller holds the hash, other bytes), never data. */
#include "tests/lib/store_fixture.h"

#include <stdio.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/seal.h"

/* One record of each kind; each holds some bytes that occur in no other. */
static struct view mark(uint64_t n)
{
	static uint8_t bytes[8][16];
	memcpy(bytes[n % 8], bytes_of(0xabc0000 + n, 16).ptr, 16);
	return view_of(bytes[n % 8], 16);
}

static struct hash marked_hash(uint64_t n)
{
	struct hash h;
	memcpy(h.b, mark(n).ptr, 16);
	memset(h.b + 16, 0x77, 16);
	return h;
}

static struct msgid marked_id(uint64_t n)
{
	struct msgid id;
	memcpy(id.b, mark(n).ptr, 16);
	return id;
}

static const struct place place = {.queue = 1, .precedence = 2, .fresh = 1, .handle_by_us = 5, .arrival = 1};

enum kind { STREAM, HEAD, ENTRY_HEADER, ENTRY_ENVELOPE, ENTRY_CHAIN, BODY, BODY_ROW, MISSING, QUEUE, PLACE, LEASE, MSG, KEY, GRANT,
            ALARM, STATE, DAMAGE, META, KINDS };

static void fill(struct fixture *f)
{
	struct txn *t = begin_write(f);
	struct stream_row stream = {.name = name_of(1), .chain = marked_hash(STREAM)};
	store_stream_add(t, &stream);
	struct head head = {.number = 1, .chain = marked_hash(HEAD)};
	store_head_put(t, &stream, &head);
	struct entry_row e = entry_of(1, 1, 100, 3000);
	e.chain = marked_hash(ENTRY_CHAIN);
	store_entry_append(t, &e);
	struct body_row body = {.hash = marked_hash(BODY_ROW)};
	store_body_add(t, &body);
	struct hash h = marked_hash(MISSING);
	store_missing_put(t, 1, 1, &h);
	struct queue_row queue = {0};
	memcpy(queue.name, "queue-with-a-name", 17);
	store_queue_add(t, &queue);
	struct msgid id = marked_id(PLACE);
	store_place_put(t, &place, &id);
	struct lease_row lease = {.place = {.arrival = 1}, .id = marked_id(LEASE)};
	store_lease_put(t, &lease);
	struct msg_row msg = {.id = id_of(1), .addressee = 1, .events = mark(MSG)};
	store_msg_put(t, &msg);
	struct key_row key = {.id = marked_id(KEY)};
	h = hash_of(1);
	store_key_put(t, 1, &h, &key);
	store_grant_put(t, 1, 1, 0x1122334455667788);
	struct alarm_row alarm = {.id = "a", .what = "the text of an alarm"};
	store_alarm_put(t, &alarm);
	store_state_put(t, 1, &h, mark(STATE));
	store_damage_put(t, 1, (struct wall){1}, "the text of a damage");
	store_meta_put(t, META_OTHER, mark(META));
	commit(t);
}

static struct view needle_of(enum kind k)
{
	static const uint8_t arrival[] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
	struct entry_row e = entry_of(1, 1, 100, 3000);
	switch (k) {
	case ENTRY_HEADER:
		return view_of(e.e.header.ptr + 20, 16);
	case ENTRY_ENVELOPE:
		return view_of(e.e.envelope.ptr + 50, 16);
	case BODY:
		return view_of(e.e.body.ptr + 2990, 10);
	case QUEUE:
		return view_str("queue-with-a-name");
	case GRANT:
		return view_of(arrival, sizeof arrival);
	case ALARM:
		return view_str("the text of an alarm");
	case DAMAGE:
		return view_str("the text of a damage");
	default:
		return mark(k);
	}
}

static enum err on_stream(void *arg, const struct stream_row *row)
{
	(void)row;
	++*(unsigned *)arg;
	return ERR_OK;
}
static enum err on_queue(void *arg, const struct queue_row *row)
{
	(void)row;
	++*(unsigned *)arg;
	return ERR_OK;
}
static enum err on_missing(void *arg, uint32_t stream, uint64_t number, const struct hash *body)
{
	(void)stream, (void)number, (void)body;
	++*(unsigned *)arg;
	return ERR_OK;
}
static enum err on_damage(void *arg, uint64_t arrival, struct wall found, const char *what)
{
	(void)arrival, (void)found, (void)what;
	++*(unsigned *)arg;
	return ERR_OK;
}
static enum err on_alarm(void *arg, const struct alarm_row *a)
{
	(void)a;
	++*(unsigned *)arg;
	return ERR_OK;
}
static enum err on_lease(void *arg, const struct lease_row *l)
{
	(void)l;
	++*(unsigned *)arg;
	return ERR_OK;
}
static enum err on_state(void *arg, const struct hash *hash, struct view blob)
{
	(void)hash, (void)blob;
	++*(unsigned *)arg;
	return ERR_OK;
}

/* An inline body, checked as every caller of store_body_get_part must. */
static enum err read_body(struct txn *t)
{
	struct entry_row e;
	struct buf b = BUF_EMPTY;
	enum err err = store_entry_get(t, 1, &e);
	if (!err)
		err = store_body_get_part(t, e.body_class, e.body_no, PART_WHOLE, 0, &b);
	struct hash h = body_hash(buf_view(&b));
	if (!err && !hash_equal(&h, &e.e.body_hash))
		err = ERR_DAMAGED;
	buf_release(&b);
	return err;
}

static enum err read_msg(struct txn *t)
{
	struct msg_row m;
	struct msgid id = id_of(1), zero = {{0}};
	enum err e = store_msg_get(t, &id, 1, &m);
	assert_int_equal(store_msg_from(t, &zero, 0, &m), e);
	assert_true(msgid_equal(&m.id, &id) && m.addressee == 1); /* also when damaged: one can go on behind it */
	return e;
}

static enum err read_place(struct txn *t)
{
	struct place out, from = {.queue = 1};
	struct msgid id;
	enum err e = store_place_from(t, &from, &out, &id);
	assert_true(out.arrival == place.arrival && out.handle_by_us == 5 && out.precedence == 2);
	return e;
}

/* How the store answers a read of the record; *shown: how many rows a walk gave out. */
static enum err read_one(struct txn *t, enum kind k, unsigned *shown)
{
	struct entry_row e;
	struct body_row b;
	struct lease_row l;
	struct alarm_row a;
	struct key_row key;
	struct head head;
	struct view v;
	struct hash h = hash_of(1);
	uint64_t x, y;
	switch (k) {
	case STREAM:
		return store_stream_each(t, on_stream, shown);
	case HEAD:
		return store_head_from(t, 1, 0, &head);
	case ENTRY_HEADER:
	case ENTRY_ENVELOPE:
		return store_entry_find(t, 1, 1, &e);
	case ENTRY_CHAIN:
		return store_entry_get(t, 1, &e);
	case BODY:
		return read_body(t);
	case BODY_ROW:
		return store_body_row(t, 0, 1ULL << 63 | 1, &b);
	case MISSING:
		return store_missing_each(t, on_missing, shown);
	case QUEUE:
		return store_queue_each(t, on_queue, shown);
	case PLACE:
		return read_place(t);
	case LEASE: {
		enum err each = store_lease_each(t, on_lease, shown);
		assert_int_equal(store_lease_get(t, 1, &l), each);
		return each;
	}
	case MSG:
		return read_msg(t);
	case KEY:
		return store_key_find(t, &h, &key);
	case GRANT:
		return store_grant_find(t, 1, 7, &x, &y);
	case ALARM: {
		enum err each = store_alarm_each(t, on_alarm, shown);
		assert_int_equal(store_alarm_get(t, "a", &a), each);
		return each;
	}
	case STATE: {
		enum err each = store_state_each(t, 1, on_state, shown);
		assert_int_equal(store_state_get(t, 1, &h, &v), each);
		return each;
	}
	case DAMAGE:
		return store_damage_each(t, on_damage, shown);
	case META:
		return store_meta_get(t, META_OTHER, &v);
	default:
		return ERR_INTERNAL;
	}
}

static bool is_walk(enum kind k)
{
	return k == STREAM || k == MISSING || k == QUEUE || k == LEASE || k == ALARM || k == STATE || k == DAMAGE;
}

static void assert_read(struct fixture *f, enum kind k, enum err want)
{
	unsigned shown = 0;
	struct txn *t = begin_read(f);
	enum err e = read_one(t, k, &shown);
	if (e != want || (is_walk(k) && shown != (want ? 0 : 1)))
		fail_msg("kind %d: %s, %u shown", k, err_code(e), shown);
	txn_abort(t);
}

static void a_flipped_bit_is_never_served(void **state)
{
	struct fixture *f = *state;
	fill(f);
	for (enum kind k = 0; k < KINDS; k++) {
		struct view needle = needle_of(k);
		uint8_t flipped[64];
		assert_true(needle.len <= sizeof flipped);
		assert_read(f, k, ERR_OK);
		for (unsigned bit = 0; bit < 8; bit += 7) {
			memcpy(flipped, needle.ptr, needle.len);
			flipped[0] ^= (uint8_t)(1u << bit);
			if (fixture_flip(f, view_of(flipped, needle.len), bit) != 0)
				fail_msg("kind %d is not unique", k);
			memcpy(flipped, needle.ptr, needle.len);
			if (fixture_flip(f, view_of(flipped, needle.len), bit) == 0)
				fail_msg("kind %d was not found", k);
			assert_read(f, k, ERR_DAMAGED);
			for (enum kind other = 0; other < KINDS; other++) {
				bool shared = k == ENTRY_HEADER || k == ENTRY_ENVELOPE || k == ENTRY_CHAIN; /* one record, and the body's hash */
				if (other != k && !(shared && other >= ENTRY_HEADER && other <= BODY))
					assert_read(f, other, ERR_OK);
			}
			flipped[0] ^= (uint8_t)(1u << bit);
			assert_true(fixture_flip(f, view_of(flipped, needle.len), bit) > 0); /* back */
			assert_read(f, k, ERR_OK);
		}
	}
}

/* A damaged row hides none of its neighbours: every walk steps over it, and says so. */
static void a_walk_goes_on_behind_damage(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);
	for (uint64_t n = 0; n < 3; n++) {
		struct stream_row stream = {.name = name_of((uint16_t)(n + 1)), .chain = marked_hash(n)};
		store_stream_add(t, &stream);
		struct queue_row queue = {.site = (uint16_t)(0x7101 + n), .waiting = {{0x1122334455660000 + n}}};
		store_queue_add(t, &queue);
		struct lease_row lease = {.place = {.arrival = n + 1}, .id = marked_id(n + 3)};
		store_lease_put(t, &lease);
		struct hash h = hash_of(1000 + n);
		store_missing_put(t, 1, n + 1, &h);
	}
	commit(t);
	uint8_t count[8] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0, 1};
	struct hash missing = hash_of(1001);
	assert_int_equal(fixture_flip(f, mark(1), 0), 1);
	assert_int_equal(fixture_flip(f, view_of(count, 8), 0), 1);
	assert_int_equal(fixture_flip(f, mark(4), 0), 1);
	assert_int_equal(fixture_flip(f, view_of(missing.b, sizeof missing.b), 0), 1);
	t = begin_read(f);
	enum kind walks[] = {STREAM, QUEUE, LEASE, MISSING};
	for (size_t i = 0; i < 4; i++) {
		unsigned shown = 0;
		enum err e = walks[i] == LEASE ? store_lease_each(t, on_lease, &shown) : read_one(t, walks[i], &shown);
		assert_int_equal(e, ERR_DAMAGED);
		assert_int_equal(shown, 2);
	}
	struct stream_row row;
	assert_int_equal(store_stream_last(t), 3);
	assert_int_equal(store_stream_rebuild(t, 2, &row), ERR_OK);
	assert_true(row.local == 2 && row.held == 0 && row.name.originator == name_of(2).originator);
	struct queue_row queue;
	assert_int_equal(store_queue_last(t), 3);
	assert_int_equal(store_queue_rebuild(t, 2, &queue), ERR_OK);
	assert_true(queue.local == 2 && queue.site == 0x7102 && queue.waiting[0][0] == 0 && queue.leased[0][0] == 0);
	struct lease_row lease;
	assert_int_equal(store_lease_from(t, 2, &lease), ERR_DAMAGED);
	assert_int_equal(lease.place.arrival, 2);
	assert_int_equal(store_lease_from(t, 3, &lease), ERR_OK);
	assert_int_equal(store_lease_from(t, 4, &lease), ERR_NOT_FOUND);
	uint32_t stream = 1;
	uint64_t number = 2;
	assert_int_equal(store_missing_from(t, &stream, &number, &missing), ERR_DAMAGED);
	assert_true(stream == 1 && number == 2);
	number = 3;
	assert_int_equal(store_missing_from(t, &stream, &number, &missing), ERR_OK);
	number = 4;
	assert_int_equal(store_missing_from(t, &stream, &number, &missing), ERR_NOT_FOUND);
	txn_abort(t);
}

/* A position has no check of its own; the entry it leads to says what it is. */
static void a_position_that_leads_astray_is_damage(void **state)
{
	struct fixture *f = *state;
	struct txn *t = begin_write(f);
	for (uint64_t n = 1; n <= 700; n++) {
		struct entry_row e = entry_of(1, n + 1000, 20, 0); /* so that only the position holds its arrival as a value */
		store_entry_append(t, &e);
	}
	commit(t);
	uint8_t to[8] = {0, 0, 0, 0, 0, 0, 2, 0x8a}; /* arrival 650 becomes another that is there, or one that is not */
	struct entry_row e;
	for (unsigned bit = 0; bit < 8; bit += 7) {
		uint8_t now[8];
		memcpy(now, to, sizeof now);
		assert_true(fixture_flip(f, view_of(now, 8), bit) > 0);
		t = begin_read(f);
		assert_int_equal(store_entry_find(t, 1, 1650, &e), ERR_DAMAGED);
		txn_abort(t);
		now[0] ^= (uint8_t)(1u << bit);
		assert_true(fixture_flip(f, view_of(now, 8), bit) > 0);
	}
}

/* Of the birth, nothing can be believed: the store does not open. */
static void a_damaged_birth_does_not_open(void **state)
{
	struct fixture *f = *state;
	struct errmsg m = {0};
	store_close(f->s);
	f->s = NULL;
	char command[400];
	snprintf(command, sizeof command, "sed -i 's/cic-luik/cic-luit/' '%s/data.mdb'", f->dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(store_open(f->dir, NULL, &f->s, &m), ERR_DAMAGED);
	assert_non_null(strstr(m.text, "birth"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(a_flipped_bit_is_never_served),
		ON_BOTH(a_walk_goes_on_behind_damage),
		ON_BOTH(a_position_that_leads_astray_is_damage),
		cmocka_unit_test_setup_teardown(a_damaged_birth_does_not_open, fixture_folder, fixture_end),
	};
	return cmocka_run_group_tests_name("store damage", tests, NULL, NULL);
}
