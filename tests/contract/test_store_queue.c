/* Queues, places, leases, messages, indexes and alarms: each test runs on both stores. */
#include "tests/lib/store_fixture.h"

#include <stdio.h>
#include <string.h>

#include "proto/frame.h"

struct counter {
	struct txn *t;
	size_t n;
	enum err stop_with;
	uint64_t seen[64];
};

/* ---- queues, places, leases -------------------------------------------------------------------------------------- */

static enum err see_queue(void *arg, const struct queue_row *row)
{
	struct counter *c = arg;
	assert_int_equal(row->local, c->n + 1);
	assert_int_equal(row->site, c->n);
	assert_string_equal(row->name, c->n ? "dispatch" : "");
	assert_int_equal(row->waiting[1][3], c->n * 7);
	assert_int_equal(row->leased[0][2], c->n * 9);
	assert_int_equal(row->leased[1][3], 0);
	c->n++;
	return ERR_OK;
}

static void queues_keep_their_counts(void **state)
{
	struct fixture *f = *state;
	struct counter c = {0};
	struct txn *t = begin_write(f);
	for (uint16_t i = 0; i < 4; i++) {
		struct queue_row row = {.site = i};
		store_queue_add(t, &row);
		assert_int_equal(row.local, i + 1);
		row.waiting[1][3] = i * 7;
		row.leased[0][2] = i * 9;
		if (i)
			strcpy(row.name, "dispatch");
		store_queue_put(t, &row);
	}
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	assert_int_equal(store_queue_each(t, see_queue, &c), ERR_OK);
	assert_int_equal(c.n, 4);
	txn_abort(t);
}

static int place_cmp(const void *pa, const void *pb)
{
	const struct place *a = pa, *b = pb;
#define ORDER(field)            \
	if (a->field != b->field) \
	return a->field < b->field ? -1 : 1
	ORDER(queue);
	ORDER(exercise);
	ORDER(precedence);
	ORDER(fresh);
	ORDER(handle_by_us);
	ORDER(arrival);
#undef ORDER
	return 0;
}

static size_t make_places(struct place *out)
{
	static const int64_t times[] = {INT64_MIN, -5, 0, 5, INT64_MAX};
	static const uint64_t arrivals[] = {1, 255, 256, UINT64_MAX};
	size_t n = 0;
	for (uint32_t q = 1; q <= 2; q++)
		for (unsigned x = 0; x < 2; x++)
			for (unsigned p = 0; p < PREC_COUNT; p++)
				for (unsigned fresh = 0; fresh < 2; fresh++)
					for (size_t h = 0; h < 5; h++)
						for (size_t a = 0; a < 4; a++)
							out[n++] = (struct place){.queue = q * 300, .exercise = (uint8_t)x, .precedence = (uint8_t)p,
							                          .fresh = (uint8_t)fresh, .handle_by_us = times[h],
							                          .arrival = arrivals[a]};
	return n;
}

static void places_come_in_the_order_of_their_members(void **state)
{
	struct fixture *f = *state;
	struct place places[640];
	size_t n = make_places(places);
	struct txn *t = begin_write(f);
	for (size_t i = 0; i < n; i++) { /* put in another order than they come */
		struct msgid id = id_of(i * 7 % n);
		store_place_put(t, &places[i * 7 % n], &id);
	}
	commit(t);
	fixture_reopen(f);
	qsort(places, n, sizeof *places, place_cmp);
	t = begin_read(f);
	struct place at = {.queue = places[0].queue, .handle_by_us = INT64_MIN}, out;
	struct msgid id;
	for (size_t i = 0; i < n; i++) {
		enum err e = store_place_from(t, &at, &out, &id);
		if (e == ERR_NOT_FOUND) { /* the end of this queue's operational or exercise places */
			assert_true(i % 160 == 0);
			at = (struct place){.queue = places[i].queue, .exercise = places[i].exercise, .handle_by_us = INT64_MIN};
			e = store_place_from(t, &at, &out, &id);
		}
		assert_int_equal(e, ERR_OK);
		assert_int_equal(place_cmp(&out, &places[i]), 0);
		at = out;
		if (at.arrival < UINT64_MAX) {
			at.arrival++;
		} else {
			at.arrival = 0;
			if (at.handle_by_us < INT64_MAX)
				at.handle_by_us++;
			else
				at.handle_by_us = INT64_MIN, at.fresh == 0 ? (void)(at.fresh = 1) : (void)(at.fresh = 0, at.precedence++);
		}
	}
	assert_int_equal(store_place_from(t, &at, &out, &id), ERR_NOT_FOUND);
	txn_abort(t);
}

static void a_place_goes(void **state)
{
	struct fixture *f = *state;
	struct place out, p = {.queue = 1, .precedence = PREC_ROUTINE, .fresh = 1, .handle_by_us = 10, .arrival = 4};
	struct place from = {.queue = 1};
	struct msgid got, id = id_of(4);
	struct txn *t = begin_write(f);
	store_place_put(t, &p, &id);
	assert_int_equal(store_place_from(t, &from, &out, &got), ERR_OK);
	assert_true(msgid_equal(&id, &got));
	store_place_del(t, &p);
	assert_int_equal(store_place_from(t, &from, &out, &got), ERR_NOT_FOUND);
	commit(t);
}

static enum err see_lease(void *arg, const struct lease_row *l)
{
	struct counter *c = arg;
	c->seen[c->n++] = l->place.arrival;
	if (c->t)
		store_lease_del(c->t, l->place.arrival);
	return ERR_OK;
}

static void leases(void **state)
{
	struct fixture *f = *state;
	struct counter c = {0};
	struct lease_row out, l = {.place = {.queue = 3, .exercise = 1, .precedence = 2, .handle_by_us = -7, .arrival = 900}};
	l.id = id_of(900);
	l.lease_us = 30 * US_PER_S;
	l.since.us = 12345;
	memset(l.by, 'u', LIMIT_USER_BYTES);
	struct txn *t = begin_write(f);
	store_lease_put(t, &l);
	l.place.arrival = 20;
	store_lease_put(t, &l);
	commit(t);
	fixture_reopen(f);
	t = begin_write(f);
	assert_int_equal(store_lease_get(t, 900, &out), ERR_OK);
	l.place.arrival = 900;
	assert_int_equal(place_cmp(&out.place, &l.place), 0);
	assert_true(msgid_equal(&out.id, &l.id));
	assert_int_equal(out.lease_us, l.lease_us);
	assert_int_equal(out.since.us, 12345);
	assert_string_equal(out.by, l.by);
	assert_int_equal(store_lease_get(t, 21, &out), ERR_NOT_FOUND);
	c.t = t;
	assert_int_equal(store_lease_each(t, see_lease, &c), ERR_OK);
	assert_true(c.n == 2 && c.seen[0] == 20 && c.seen[1] == 900);
	assert_int_equal(store_lease_get(t, 900, &out), ERR_NOT_FOUND);
	commit(t);
}

/* ---- messages and indexes ------------------------------------------------------------------------------------------ */

static void messages_by_id_and_addressee(void **state)
{
	struct fixture *f = *state;
	struct msg_row out;
	struct txn *t = begin_write(f);
	for (uint64_t i = 1; i <= 50; i++) {
		for (uint16_t to = 1; to <= 3; to++) {
			struct msg_row row = {.id = id_of(i), .addressee = to * 200, .arrival = i, .place_arrival = i * 2, .state = (uint8_t)i};
			row.place = (struct place){.queue = to, .fresh = 1, .handle_by_us = -3, .arrival = i * 2};
			row.events = bytes_of(i, i * 61);
			store_msg_put(t, &row);
		}
	}
	commit(t);
	fixture_reopen(f);
	t = begin_write(f);
	struct msgid id = {{0}};
	uint16_t to = 0;
	for (uint64_t i = 0; i < 150; i++) {
		struct msgid want = id_of(i / 3 + 1);
		assert_int_equal(store_msg_from(t, &id, to, &out), ERR_OK);
		assert_true(msgid_equal(&out.id, &want));
		assert_int_equal(out.addressee, (i % 3 + 1) * 200);
		assert_int_equal(out.place.arrival, (i / 3 + 1) * 2);
		assert_int_equal(out.place.handle_by_us, -3);
		assert_true(view_equal(out.events, bytes_of(i / 3 + 1, (i / 3 + 1) * 61)));
		id = out.id;
		to = (uint16_t)(out.addressee + 1);
	}
	assert_int_equal(store_msg_from(t, &id, to, &out), ERR_NOT_FOUND);
	id = id_of(50);
	assert_int_equal(store_msg_get(t, &id, 200, &out), ERR_OK);
	out.state = 99;
	store_msg_put(t, &out); /* events still a view of the record that is replaced */
	assert_int_equal(store_msg_get(t, &id, 200, &out), ERR_OK);
	assert_int_equal(out.state, 99);
	assert_true(view_equal(out.events, bytes_of(50, 50 * 61)));
	assert_int_equal(store_msg_get(t, &id, 201, &out), ERR_NOT_FOUND);
	out.events = bytes_of(1, 3073);
	store_msg_put(t, &out);
	assert_int_equal(txn_commit(t), ERR_TOO_LARGE);
}

static void keys_are_found_on_any_day(void **state)
{
	struct fixture *f = *state;
	static const uint32_t days[] = {0, 18822, 18823, 18900, UINT32_MAX};
	struct key_row out;
	struct hash key = hash_of(0);
	struct txn *t = begin_write(f);
	assert_int_equal(store_key_find(t, &key, &out), ERR_NOT_FOUND);
	for (uint64_t i = 0; i < 50; i++) {
		struct key_row row = {.id = id_of(i), .content = hash_of(i + 1000)};
		key = hash_of(i);
		store_key_put(t, days[i % 5], &key, &row);
	}
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	for (uint64_t i = 0; i < 60; i++) {
		struct msgid id = id_of(i);
		struct hash content = hash_of(i + 1000);
		key = hash_of(i);
		assert_int_equal(store_key_find(t, &key, &out), i < 50 ? ERR_OK : ERR_NOT_FOUND);
		assert_true(i >= 50 || (msgid_equal(&out.id, &id) && hash_equal(&out.content, &content)));
	}
	txn_abort(t);
}

static void the_grant_in_force(void **state)
{
	struct fixture *f = *state;
	uint64_t number, arrival;
	struct txn *t = begin_write(f);
	store_grant_put(t, 1, 1, 11);
	store_grant_put(t, 1, 100, 1100);
	store_grant_put(t, 2, 50, 2050);
	store_grant_put(t, 2, UINT64_MAX, 7);
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	assert_int_equal(store_grant_find(t, 1, 99, &number, &arrival), ERR_OK);
	assert_true(number == 1 && arrival == 11);
	assert_int_equal(store_grant_find(t, 1, 100, &number, &arrival), ERR_OK);
	assert_true(number == 100 && arrival == 1100);
	assert_int_equal(store_grant_find(t, 1, UINT64_MAX, &number, &arrival), ERR_OK);
	assert_true(number == 100 && arrival == 1100);
	assert_int_equal(store_grant_find(t, 2, 49, &number, &arrival), ERR_NOT_FOUND); /* not stream 1's last */
	assert_int_equal(store_grant_find(t, 2, UINT64_MAX, &number, &arrival), ERR_OK);
	assert_true(number == UINT64_MAX && arrival == 7);
	assert_int_equal(store_grant_find(t, 3, 1, &number, &arrival), ERR_NOT_FOUND);
	assert_int_equal(store_grant_find(t, 0, 1, &number, &arrival), ERR_NOT_FOUND);
	txn_abort(t);
}

static void expiry_comes_by_time(void **state)
{
	static const int64_t times[] = {50, -1, 7, 7, INT64_MAX};
	static const uint64_t order[] = {1, 2, 3, 0, 4};
	struct fixture *f = *state;
	struct wall when;
	uint64_t arrival;
	struct txn *t = begin_write(f);
	assert_int_equal(store_expiry_first(t, &when, &arrival), ERR_NOT_FOUND);
	for (uint64_t i = 0; i < 5; i++)
		store_expiry_put(t, (struct wall){times[i]}, i);
	commit(t);
	fixture_reopen(f);
	t = begin_write(f);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(store_expiry_first(t, &when, &arrival), ERR_OK);
		assert_int_equal(arrival, order[i]);
		assert_int_equal(when.us, times[arrival]);
		store_expiry_del(t, when, arrival);
	}
	assert_int_equal(store_expiry_first(t, &when, &arrival), ERR_NOT_FOUND);
	commit(t);
}

/* ---- alarms, state, damage --------------------------------------------------------------------------------------------- */

static enum err see_alarm(void *arg, const struct alarm_row *a)
{
	struct counter *c = arg;
	assert_string_equal(a->id, c->n ? "link:namen" : "disk");
	c->n++;
	return ERR_OK;
}

static void alarms(void **state)
{
	struct fixture *f = *state;
	struct counter c = {0};
	struct alarm_row out, a = {.id = "link:namen", .kind = "link", .since = {77}, .acknowledged = "an", .active = true};
	memset(a.what, 'w', sizeof a.what - 1);
	memset(a.todo, 't', sizeof a.todo - 1);
	struct txn *t = begin_write(f);
	store_alarm_put(t, &a);
	a = (struct alarm_row){.id = "disk"};
	store_alarm_put(t, &a);
	commit(t);
	fixture_reopen(f);
	t = begin_write(f);
	assert_int_equal(store_alarm_get(t, "link:namen", &out), ERR_OK);
	assert_string_equal(out.id, "link:namen");
	assert_string_equal(out.kind, "link");
	assert_string_equal(out.acknowledged, "an");
	assert_int_equal(out.since.us, 77);
	assert_true(out.active && strlen(out.what) == 255 && out.what[254] == 'w' && strlen(out.todo) == 255);
	assert_int_equal(store_alarm_get(t, "link", &out), ERR_NOT_FOUND);
	assert_int_equal(store_alarm_each(t, see_alarm, &c), ERR_OK);
	assert_int_equal(c.n, 2);
	store_alarm_del(t, "disk");
	assert_int_equal(store_alarm_get(t, "disk", &out), ERR_NOT_FOUND);
	commit(t);
}

static enum err see_state(void *arg, const struct hash *hash, struct view blob)
{
	struct counter *c = arg;
	assert_true(blob.len % 1000 == 0);
	c->seen[c->n++] = hash->b[0];
	return ERR_OK;
}

static void signed_state_by_kind_and_hash(void **state)
{
	struct fixture *f = *state;
	struct counter c = {0};
	struct view v;
	struct txn *t = begin_write(f);
	for (uint8_t i = 0; i < 6; i++) {
		struct hash h = {{i}};
		store_state_put(t, i % 2 ? 255 : 1, &h, bytes_of(i, i * 50000));
	}
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	for (uint8_t i = 0; i < 6; i++) {
		struct hash h = {{i}};
		assert_int_equal(store_state_get(t, i % 2 ? 255 : 1, &h, &v), ERR_OK);
		assert_true(view_equal(v, bytes_of(i, i * 50000)));
		assert_int_equal(store_state_get(t, i % 2 ? 1 : 255, &h, &v), ERR_NOT_FOUND);
	}
	assert_int_equal(store_state_each(t, 255, see_state, &c), ERR_OK);
	assert_true(c.n == 3 && c.seen[0] == 1 && c.seen[1] == 3 && c.seen[2] == 5);
	c = (struct counter){0};
	assert_int_equal(store_state_each(t, 2, see_state, &c), ERR_OK);
	assert_int_equal(c.n, 0);
	txn_abort(t);
}

static enum err see_damage(void *arg, uint64_t arrival, struct wall found, const char *what)
{
	struct counter *c = arg;
	assert_int_equal(found.us, 5);
	assert_string_equal(what, "body");
	c->seen[c->n++] = arrival;
	return ERR_OK;
}

static void damage_is_listed(void **state)
{
	struct fixture *f = *state;
	struct counter c = {0};
	struct txn *t = begin_write(f);
	store_damage_put(t, 300, (struct wall){5}, "body");
	store_damage_put(t, 2, (struct wall){5}, "body");
	commit(t);
	fixture_reopen(f);
	t = begin_read(f);
	assert_int_equal(store_damage_each(t, see_damage, &c), ERR_OK);
	assert_true(c.n == 2 && c.seen[0] == 2 && c.seen[1] == 300);
	txn_abort(t);
}

static void space_rises_with_what_is_stored(void **state)
{
	struct fixture *f = *state;
	struct store_space before, after;
	store_space(f->s, &before);
	assert_true(before.used_bytes > 0 && before.quota_bytes == 16LL << 30 && before.disk_free_bytes > 0);
	for (uint64_t i = 0; i < 20; i++) {
		struct txn *t = begin_write(f);
		struct entry_row row = entry_of(1, i + 1, 100, 250000);
		store_entry_append(t, &row);
		commit(t);
	}
	store_space(f->s, &after);
	int64_t more = after.used_bytes - before.used_bytes;
	assert_true(more > 20 * 250000 && more < 21 * 260000);
	assert_true(after.file_bytes >= after.used_bytes);
	for (uint64_t i = 0; i < 20; i++) {
		struct txn *t = begin_write(f);
		assert_true(store_body_del(t, 0, i + 1, 1000));
		commit(t);
	}
	store_space(f->s, &after);
	assert_true(after.used_bytes - before.used_bytes < 1500000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(queues_keep_their_counts),
		ON_BOTH(places_come_in_the_order_of_their_members),
		ON_BOTH(a_place_goes),
		ON_BOTH(leases),
		ON_BOTH(messages_by_id_and_addressee),
		ON_BOTH(keys_are_found_on_any_day),
		ON_BOTH(the_grant_in_force),
		ON_BOTH(expiry_comes_by_time),
		ON_BOTH(alarms),
		ON_BOTH(signed_state_by_kind_and_hash),
		ON_BOTH(damage_is_listed),
		ON_BOTH(space_rises_with_what_is_stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
