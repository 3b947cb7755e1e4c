/* The scrub finds what rots in a journal unread, and who holds it gives it again: each kind of record, also when only a standby has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "storage/record.h"
#include "tests/lib/asks.h"
#include "tests/lib/damage.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant"};
enum { LUIK, NAMEN, LEUVEN };
#define QUEUE "cic-luik/dispatch"
/* Long enough for a pass, and for an answer. */
#define A_PASS (150 * US_PER_S)

/* Its sites read their journals through within seconds. */
static void begin(struct world *w, uint64_t seed)
{
	world_init(w, SITES, 3, seed);
	for (size_t i = 0; i < 3; i++) {
		world_crash(w, i);
		w->node[i].scrub_us = 20 * US_PER_S;
	}
	for (size_t i = 0; i < 3; i++)
		world_start(w, i);
	world_run(w, 10 * US_PER_S);
}

static void send_ok(struct world *w, size_t i, const char *to, const char *body, struct msgid *id)
{
	struct send_options o = {.subject = body};

	assert_int_equal(world_send(w, i, to, PREC_PRIORITY, view_str(body), &o, id, NULL), ERR_OK);
	world_run(w, 2 * US_PER_S);
}

static void take_is(struct world *w, size_t i, const char *queue, const char *body)
{
	ask_take_in(w, i, queue, 2 * US_PER_S, body, NULL);
}

static struct entry_row entry_of(struct world *w, size_t at, const struct msgid *id, size_t to)
{
	struct msg_row m;
	struct entry_row row;
	struct txn *t;

	assert_int_equal(txn_begin(w->node[at].store, false, &t), ERR_OK);
	assert_int_equal(store_msg_get(t, id, w->number[to], &m), ERR_OK);
	assert_int_equal(store_entry_get(t, m.arrival, &row), ERR_OK);
	txn_abort(t);
	row.e.header = row.e.envelope = view_of(NULL, 0);
	return row;
}

static struct key body_of(const struct entry_row *row)
{
	return key_part(row->body_class, row->body_no, PART_WHOLE, 0, 0);
}

static void alone(struct world *w, size_t i, bool up)
{
	for (size_t k = 0; k < 3; k++)
		if (k != i)
			world_link(w, i, k, up);
	world_run(w, 2 * US_PER_S);
}

static void is_mended(struct world *w, size_t i, int64_t found)
{
	assert_false(world_alarm(w, i, "damage"));
	assert_int_equal(world_status(w, i, "scrub_found"), found);
	assert_int_equal(world_status(w, i, "scrub_mended"), found);
	assert_false(world_alarm(w, i, "peer"));
	world_verify(w, i);
}

/* What waits in a queue: found by nobody but the scrub, shown, not whole; then fetched, and handed out once. */
static void an_entry_comes_again(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 1);
	send_ok(&w, NAMEN, QUEUE, "before", NULL);
	send_ok(&w, NAMEN, QUEUE, "one", &id);
	send_ok(&w, NAMEN, QUEUE, "behind", NULL);
	struct entry_row row = entry_of(&w, LUIK, &id, LUIK);

	alone(&w, LUIK, false);
	damage_record(&w, LUIK, key_entry(row.arrival));
	world_run(&w, A_PASS);
	assert_true(world_alarm(&w, LUIK, "damage"));
	assert_int_equal(world_status(&w, LUIK, "scrub_found"), 1);
	assert_int_equal(world_status(&w, LUIK, "scrub_mended"), 0);
	alone(&w, LUIK, true);
	world_run(&w, A_PASS);
	is_mended(&w, LUIK, 1);
	take_is(&w, LUIK, QUEUE, "before");
	take_is(&w, LUIK, QUEUE, "one");
	take_is(&w, LUIK, QUEUE, "behind");
	ask_take_none(&w, LUIK, QUEUE);
	world_release(&w);
}

/* A desk meets it before the scrub does: it is set aside, and comes to its queue again. */
static void what_was_set_aside_comes_to_its_queue_again(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	for (int body = 0; body < 2; body++) {
		begin(&w, 2);
		alone(&w, LUIK, true);
		send_ok(&w, NAMEN, QUEUE, "one", &id);
		struct entry_row row = entry_of(&w, LUIK, &id, LUIK);

		alone(&w, LUIK, false);
		damage_record(&w, LUIK, body ? body_of(&row) : key_entry(row.arrival));
		ask_take_none(&w, LUIK, QUEUE);
		assert_true(world_alarm(&w, LUIK, "damage"));
		alone(&w, LUIK, true);
		world_run(&w, A_PASS);
		is_mended(&w, LUIK, 1);
		take_is(&w, LUIK, QUEUE, "one");
		ask_take_none(&w, LUIK, QUEUE);
		world_release(&w);
	}
}

/* What was read stays read. */
static void what_was_read_is_not_handed_out_again(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 3);
	send_ok(&w, NAMEN, QUEUE, "one", &id);
	take_is(&w, LUIK, QUEUE, "one");
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	struct entry_row row = entry_of(&w, LUIK, &id, LUIK);

	damage_record(&w, LUIK, key_entry(row.arrival));
	damage_record(&w, LUIK, body_of(&row));
	world_run(&w, A_PASS);
	is_mended(&w, LUIK, 1);
	ask_take_none(&w, LUIK, QUEUE);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_READ);
	world_release(&w);
}

/* Its originator is gone: a standby gives it. And the originator's own: entry and body, from the standby alone. */
static void a_standby_gives_it(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 4);
	send_ok(&w, NAMEN, QUEUE, "one", &id);
	struct entry_row row = entry_of(&w, LUIK, &id, LUIK);

	world_crash(&w, NAMEN);
	damage_record(&w, LUIK, key_entry(row.arrival));
	world_run(&w, A_PASS);
	is_mended(&w, LUIK, 1);
	take_is(&w, LUIK, QUEUE, "one");
	world_start(&w, NAMEN);
	world_run(&w, 5 * US_PER_S);
	world_release(&w);

	for (int body = 0; body < 2; body++) {
		begin(&w, 5);
		world_link(&w, NAMEN, LUIK, false);
		world_link(&w, LEUVEN, LUIK, false);
		send_ok(&w, NAMEN, QUEUE, "own", &id);
		row = entry_of(&w, NAMEN, &id, LUIK);
		damage_record(&w, NAMEN, body ? body_of(&row) : key_entry(row.arrival));
		world_run(&w, A_PASS);
		is_mended(&w, NAMEN, 1);
		world_link(&w, NAMEN, LUIK, true);
		world_run(&w, A_PASS);
		take_is(&w, LUIK, QUEUE, "own");
		ask_take_none(&w, LUIK, QUEUE);
		world_release(&w);
	}
}

/* The body is damaged where it was written, before it left: the addressee gets the entry without it, and the body from the standby. */
static void a_body_lost_at_its_originator_comes_from_a_standby(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 6);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, LEUVEN, LUIK, false);
	send_ok(&w, NAMEN, QUEUE, "one", &id);
	struct entry_row row = entry_of(&w, NAMEN, &id, LUIK);

	world_link(&w, NAMEN, LEUVEN, false);
	damage_record(&w, NAMEN, body_of(&row));
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, A_PASS);
	assert_true(world_alarm(&w, NAMEN, "damage"));
	ask_take_none(&w, LUIK, QUEUE);
	world_link(&w, LEUVEN, LUIK, true);
	world_run(&w, A_PASS);
	take_is(&w, LUIK, QUEUE, "one");
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
	/* Now the addressee holds it too, and gives it back. */
	world_run(&w, 2 * A_PASS);
	is_mended(&w, NAMEN, 1);
	ask_take_none(&w, LUIK, QUEUE);
	world_release(&w);
}

/* Nobody else has it: the alarm stays, and nothing is said that is not so. It is noted over a restart. */
static void what_nobody_has_stays_alarmed(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 7);
	alone(&w, NAMEN, false);
	send_ok(&w, NAMEN, QUEUE, "lost", &id);
	struct entry_row row = entry_of(&w, NAMEN, &id, LUIK);

	damage_record(&w, NAMEN, key_entry(row.arrival));
	alone(&w, NAMEN, true);
	world_run(&w, 2 * A_PASS);
	assert_true(world_alarm(&w, NAMEN, "damage"));
	assert_int_equal(world_status(&w, NAMEN, "scrub_mended"), 0);
	world_crash(&w, NAMEN);
	world_start(&w, NAMEN);
	world_run(&w, 2 * A_PASS);
	assert_true(world_alarm(&w, NAMEN, "damage"));
	assert_int_equal(world_status(&w, NAMEN, "scrub_mended"), 0);
	ask_take_none(&w, LUIK, QUEUE);
	world_release(&w);
}

/* Noted, then the node ends: its next run fetches it. */
static void what_was_noted_is_fetched_after_a_restart(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 8);
	send_ok(&w, NAMEN, QUEUE, "one", &id);
	struct entry_row row = entry_of(&w, LUIK, &id, LUIK);

	alone(&w, LUIK, false);
	damage_record(&w, LUIK, key_entry(row.arrival));
	world_run(&w, A_PASS);
	world_crash(&w, LUIK);
	w.node[LUIK].scrub_us = 365 * US_PER_DAY; /* it does not find it again by itself */
	world_start(&w, LUIK);
	world_run(&w, 2 * US_PER_S);
	alone(&w, LUIK, true);
	world_run(&w, A_PASS);
	assert_false(world_alarm(&w, LUIK, "damage"));
	take_is(&w, LUIK, QUEUE, "one");
	world_verify(&w, LUIK);
	world_release(&w);
}

/* Every record of a whole stream, grants and reports too, one after another and all together. */
static void all_entries_of_a_stream_come_again(void **state)
{
	struct world w;
	struct msgid id;
	char body[] = "message 0";

	(void)state;
	begin(&w, 9);
	for (int i = 0; i < 8; i++) {
		body[8] = (char)('0' + i);
		send_ok(&w, NAMEN, QUEUE, body, &id);
	}
	struct entry_row row = entry_of(&w, LUIK, &id, LUIK);
	uint64_t last = row.arrival;
	int64_t n = 0;

	for (uint64_t arrival = 1; arrival <= last; arrival++) {
		struct entry_row e;
		struct txn *t;

		assert_int_equal(txn_begin(w.node[LUIK].store, false, &t), ERR_OK);
		enum err there = store_entry_get(t, arrival, &e);

		txn_abort(t);
		if (there || e.stream != row.stream)
			continue;
		damage_record(&w, LUIK, key_entry(arrival));
		n++;
	}
	assert_true(n >= 9);
	world_run(&w, 4 * A_PASS);
	is_mended(&w, LUIK, n);
	for (int i = 0; i < 8; i++) {
		body[8] = (char)('0' + i);
		take_is(&w, LUIK, QUEUE, body);
	}
	ask_take_none(&w, LUIK, QUEUE);
	world_release(&w);
}

/* A position that leads elsewhere is made anew from what lies between its neighbours, and nothing good is overwritten. */
static void a_position_is_found_again(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 10);
	send_ok(&w, NAMEN, QUEUE, "before", NULL);
	send_ok(&w, NAMEN, QUEUE, "one", &id);
	send_ok(&w, NAMEN, QUEUE, "behind", NULL);
	struct entry_row row = entry_of(&w, LUIK, &id, LUIK);

	struct txn *t;

	assert_int_equal(txn_begin(w.node[LUIK].store, true, &t), ERR_OK);
	store_entry_point(t, row.stream, row.number, row.arrival + 1);
	assert_int_equal(txn_commit(t), ERR_OK);
	world_run(&w, A_PASS);
	is_mended(&w, LUIK, 1);
	take_is(&w, LUIK, QUEUE, "before");
	take_is(&w, LUIK, QUEUE, "one");
	take_is(&w, LUIK, QUEUE, "behind");
	ask_take_none(&w, LUIK, QUEUE);
	world_release(&w);
}

/* One part of a large body, each kind: it alone travels again. */
static void a_part_of_a_large_body_comes_again(void **state)
{
	static const struct { uint8_t kind; uint32_t index; } parts[] = {{PART_MANIFEST, 0}, {PART_PAGE, 0}, {PART_CHUNK, 0}, {PART_CHUNK, 17}, {PART_CHUNK, 39}};
	size_t len = 40 * LIMIT_CHUNK_BYTES - 100;
	uint8_t *body = malloc(len);
	struct world w;
	struct msgid id;

	(void)state;
	assert_non_null(body);
	begin(&w, 11);
	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t)world_random(&w, 256);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, view_of(body, len), NULL, &id, NULL), ERR_OK);
	world_run(&w, 60 * US_PER_S);
	struct entry_row row = entry_of(&w, LUIK, &id, LUIK);

	assert_true(row.body_no != 0);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		uint64_t bytes = w.frame_bytes;

		damage_record(&w, LUIK, key_part(row.body_class, row.body_no, parts[i].kind, parts[i].index, 0));
		world_run(&w, 2 * A_PASS);
		is_mended(&w, LUIK, (int64_t)i + 1);
		assert_true(w.frame_bytes - bytes < 10 * LIMIT_CHUNK_BYTES);
	}
	free(body);
	world_release(&w);
}

/* What is damaged counts as not whole, and its sender is not told that it is held, until it is mended. */
static void what_is_damaged_is_not_held(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	begin(&w, 12);
	world_link(&w, NAMEN, LEUVEN, false);
	world_link(&w, LUIK, LEUVEN, false);
	send_ok(&w, NAMEN, QUEUE, "one", &id);
	struct entry_row row = entry_of(&w, LUIK, &id, LUIK);
	struct stream *s = stream_by_local(w.node[LUIK].core, row.stream);

	world_crash(&w, NAMEN);
	damage_record(&w, LUIK, body_of(&row));
	world_run(&w, A_PASS);
	assert_int_equal(s->n_missing, 1);
	assert_int_equal(s->missing[0], row.number);
	world_start(&w, NAMEN);
	world_run(&w, A_PASS);
	assert_int_equal(s->n_missing, 0);
	is_mended(&w, LUIK, 1);
	world_release(&w);
}

/* A pass takes its time, ends, and says so. */
static void a_pass_ends_in_its_time(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 13);
	for (int i = 0; i < 20; i++)
		send_ok(&w, NAMEN, QUEUE, "one", NULL);
	int64_t ended = w.node[LUIK].core->scrub.ended.us;

	world_run(&w, 6 * A_PASS);
	assert_true(w.node[LUIK].core->scrub.ended.us > ended);
	assert_true(world_status(&w, LUIK, "scrub_entries") >= 20);
	assert_int_equal(world_status(&w, LUIK, "scrub_found"), 0);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_comes_again),
		cmocka_unit_test(what_was_set_aside_comes_to_its_queue_again),
		cmocka_unit_test(what_was_read_is_not_handed_out_again),
		cmocka_unit_test(a_standby_gives_it),
		cmocka_unit_test(a_body_lost_at_its_originator_comes_from_a_standby),
		cmocka_unit_test(what_nobody_has_stays_alarmed),
		cmocka_unit_test(what_was_noted_is_fetched_after_a_restart),
		cmocka_unit_test(all_entries_of_a_stream_come_again),
		cmocka_unit_test(a_position_is_found_again),
		cmocka_unit_test(a_part_of_a_large_body_comes_again),
		cmocka_unit_test(what_is_damaged_is_not_held),
		cmocka_unit_test(a_pass_ends_in_its_time),
	};
	return cmocka_run_group_tests_name("core scrub", tests, NULL, NULL);
}
