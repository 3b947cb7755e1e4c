/* A flipped bit in the journal of a node: what is damaged is shown, and the node goes on without losing or repeating anything. */
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

static void send_ok(struct world *w, size_t i, const char *to, const char *body, struct msgid *id)
{
	struct send_options o = {.subject = body};

	assert_int_equal(world_send(w, i, to, PREC_PRIORITY, view_str(body), &o, id, NULL), ERR_OK);
}

static void take_is(struct world *w, size_t i, const char *queue, const char *body, struct msgid *id)
{
	ask_take_in(w, i, queue, 2 * US_PER_S, body, id);
}

struct streams { struct stream_row row[64]; size_t n; uint16_t originator, addressee; };

static enum err stream_add(void *arg, const struct stream_row *row)
{
	struct streams *s = arg;

	if (row->name.originator == s->originator && row->name.addressee == s->addressee && s->n < 64)
		s->row[s->n++] = *row;
	return ERR_OK;
}

static struct streams streams_of(struct world *w, size_t at, size_t from, size_t to)
{
	struct streams s = {.originator = w->number[from], .addressee = w->number[to]};
	struct txn *t;

	assert_int_equal(txn_begin(w->node[at].store, false, &t), ERR_OK);
	assert_int_equal(store_stream_each(t, stream_add, &s), ERR_OK);
	txn_abort(t);
	assert_true(s.n > 0);
	return s;
}

/* ---- streams ---------------------------------------------------------------------------------------------------------- */

static void a_damaged_stream_row_is_made_anew(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 3, 1);
	send_ok(&w, NAMEN, QUEUE, "before", NULL);
	world_run(&w, 3 * US_PER_S);
	struct streams before = streams_of(&w, LUIK, NAMEN, LUIK);

	world_crash(&w, LUIK);
	for (size_t i = 0; i < before.n; i++)
		damage_record(&w, LUIK, key_stream(before.row[i].local));
	world_start(&w, LUIK);
	world_run(&w, 3 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "damage"));
	assert_false(world_alarm(&w, NAMEN, "loss"));
	struct streams after = streams_of(&w, LUIK, NAMEN, LUIK);

	assert_int_equal(after.n, before.n);
	for (size_t i = 0; i < after.n; i++) {
		assert_int_equal(after.row[i].held, before.row[i].held);
		assert_int_equal(after.row[i].head, before.row[i].head);
		assert_int_equal(after.row[i].head_before, before.row[i].head_before);
		assert_true(hash_equal(&after.row[i].chain, &before.row[i].chain));
		assert_true(hash_equal(&after.row[i].floor_chain, &before.row[i].floor_chain));
	}
	send_ok(&w, NAMEN, QUEUE, "behind", NULL);
	take_is(&w, LUIK, QUEUE, "before", NULL);
	take_is(&w, LUIK, QUEUE, "behind", NULL);
	ask_take_none(&w, LUIK, QUEUE);
	world_release(&w);
}

/* The record that holds the key of a stream is damaged: what comes stays sealed, and opens when the key is here again. */
static void what_comes_under_a_damaged_key_waits_for_it(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 3, 3);
	send_ok(&w, NAMEN, QUEUE, "before", NULL);
	world_run(&w, 3 * US_PER_S);
	take_is(&w, LUIK, QUEUE, "before", NULL);
	struct streams s = streams_of(&w, LUIK, NAMEN, LUIK);

	world_crash(&w, LUIK);
	for (size_t i = 0; i < s.n; i++) {
		struct entry_row grant;
		struct txn *t;

		assert_int_equal(txn_begin(w.node[LUIK].store, false, &t), ERR_OK);
		bool there = store_entry_find(t, s.row[i].local, 1, &grant) == ERR_OK;
		txn_abort(t);
		if (there)
			damage_record(&w, LUIK, key_entry(grant.arrival));
	}
	world_start(&w, LUIK);
	send_ok(&w, NAMEN, QUEUE, "behind", NULL);
	world_run(&w, 60 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "dead-letter"));
	assert_false(world_alarm(&w, LUIK, "report"));
	take_is(&w, LUIK, QUEUE, "behind", NULL);
	world_release(&w);
}

/* What was accepted and has not left yet still leaves, though the row of its stream is gone. */
static void what_was_accepted_leaves_all_the_same(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 3, 2);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, NAMEN, LEUVEN, false);
	world_run(&w, US_PER_S);
	send_ok(&w, NAMEN, QUEUE, "accepted", NULL);
	struct streams s = streams_of(&w, NAMEN, NAMEN, LUIK);

	world_crash(&w, NAMEN);
	for (size_t i = 0; i < s.n; i++)
		damage_record(&w, NAMEN, key_stream(s.row[i].local));
	world_start(&w, NAMEN);
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 120 * US_PER_S);
	take_is(&w, LUIK, QUEUE, "accepted", NULL);
	ask_take_none(&w, LUIK, QUEUE);
	world_release(&w);
}

/* Nothing tells the stream's name any more: its originator brings it again, and what was read is not handed out again. */
static void a_stream_set_aside_comes_again(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, 3, 3);
	send_ok(&w, NAMEN, QUEUE, "read", NULL);
	take_is(&w, LUIK, QUEUE, "read", &id);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
	send_ok(&w, NAMEN, QUEUE, "waiting", NULL);
	world_run(&w, 3 * US_PER_S);
	struct streams s = streams_of(&w, LUIK, NAMEN, LUIK);

	world_crash(&w, LUIK);
	for (size_t i = 0; i < s.n; i++) {
		damage_record(&w, LUIK, key_stream(s.row[i].local));
		damage_record(&w, LUIK, key_stream_name(s.row[i].local));
	}
	world_start(&w, LUIK);
	world_run(&w, 20 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "damage"));
	send_ok(&w, NAMEN, QUEUE, "new", NULL);
	take_is(&w, LUIK, QUEUE, "waiting", NULL);
	take_is(&w, LUIK, QUEUE, "new", NULL);
	ask_take_none(&w, LUIK, QUEUE);
	assert_false(world_alarm(&w, LUIK, "id"));
	world_release(&w);
}

/* ---- queues -------------------------------------------------------------------------------------------------------------- */

static enum err queue_first(void *arg, const struct queue_row *row)
{
	struct queue_row *out = arg;

	if (strcmp(row->name, "dispatch") == 0 && row->waiting[0][PREC_PRIORITY] + row->leased[0][PREC_PRIORITY])
		*out = *row;
	return ERR_OK;
}

static struct queue_row queue_at(struct world *w, size_t i)
{
	struct queue_row row = {0};
	struct txn *t;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	assert_int_equal(store_queue_each(t, queue_first, &row), ERR_OK);
	txn_abort(t);
	assert_true(row.local > 0);
	return row;
}

static void a_damaged_queue_row_is_made_anew(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 3, 4);
	send_ok(&w, NAMEN, QUEUE, "leased", NULL);
	send_ok(&w, NAMEN, QUEUE, "one", NULL);
	send_ok(&w, NAMEN, QUEUE, "two", NULL);
	take_is(&w, LUIK, QUEUE, "leased", NULL);
	world_run(&w, US_PER_S);
	struct queue_row before = queue_at(&w, LUIK);

	world_crash(&w, LUIK);
	damage_record(&w, LUIK, key_queue(before.local));
	world_start(&w, LUIK);
	struct queue_row after = queue_at(&w, LUIK);

	assert_int_equal(after.local, before.local);
	assert_int_equal(after.site, before.site);
	assert_memory_equal(after.waiting, before.waiting, sizeof before.waiting);
	assert_memory_equal(after.leased, before.leased, sizeof before.leased);
	assert_true(world_alarm(&w, LUIK, "damage"));
	take_is(&w, LUIK, QUEUE, "one", NULL);
	take_is(&w, LUIK, QUEUE, "two", NULL);
	ask_take_none(&w, LUIK, QUEUE);
	world_release(&w);
}

/* ---- bodies that are still coming ----------------------------------------------------------------------------------------- */

struct missing { uint32_t stream; uint64_t number; bool any; };

static enum err missing_first(void *arg, uint32_t stream, uint64_t number, const struct hash *body)
{
	(void)body;
	*(struct missing *)arg = (struct missing){stream, number, true};
	return ERR_OK;
}

static void a_damaged_missing_row_is_made_anew(void **state)
{
	struct world w;
	struct missing m = {0};
	size_t len = 40 * LIMIT_CHUNK_BYTES;
	uint8_t *body = malloc(len);
	struct taken t = {.body = BUF_EMPTY};

	(void)state;
	assert_non_null(body);
	world_init(&w, SITES, 3, 5);
	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t)world_random(&w, 256);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, NAMEN, LEUVEN, false);
	world_run(&w, US_PER_S);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, view_of(body, len), NULL, NULL, NULL), ERR_OK);
	world_link(&w, NAMEN, LUIK, true);
	for (int i = 0; i < 20000 && !m.any; i++) {
		struct txn *txn;

		world_run(&w, 1000);
		assert_int_equal(txn_begin(w.node[LUIK].store, false, &txn), ERR_OK);
		assert_int_equal(store_missing_each(txn, missing_first, &m), ERR_OK);
		txn_abort(txn);
	}
	assert_true(m.any);
	world_crash(&w, LUIK);
	damage_record(&w, LUIK, key_missing(m.stream, m.number));
	world_start(&w, LUIK);
	assert_true(world_alarm(&w, LUIK, "damage"));
	assert_true(world_take_one(&w, LUIK, "cic-luik/messages", 60 * US_PER_S, &t));
	assert_true(t.chunked);
	buf_release(&t.body);
	free(body);
	world_release(&w);
}

/* ---- leases --------------------------------------------------------------------------------------------------------------- */

static uint64_t arrival_to(struct world *w, size_t i, size_t to, const struct msgid *id)
{
	struct msg_row row;
	struct txn *t;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	assert_int_equal(store_msg_get(t, id, w->number[to], &row), ERR_OK);
	txn_abort(t);
	return row.arrival;
}

static uint64_t arrival_of(struct world *w, size_t i, const struct msgid *id)
{
	return arrival_to(w, i, i, id);
}

/* An entry of this run's own stream cannot be read any more: what is sent from then on goes into another stream, and arrives. */
static void what_follows_damage_of_ones_own_arrives(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, 3, 31);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, NAMEN, LEUVEN, false);
	world_run(&w, US_PER_S);
	send_ok(&w, NAMEN, QUEUE, "destroyed", &id);
	damage_record(&w, NAMEN, key_entry(arrival_to(&w, NAMEN, LUIK, &id)));
	size_t before = streams_of(&w, NAMEN, NAMEN, LUIK).n;

	world_link(&w, NAMEN, LUIK, true);
	world_link(&w, NAMEN, LEUVEN, true);
	world_run(&w, 30 * US_PER_S);
	assert_true(world_alarm(&w, NAMEN, "damage"));
	send_ok(&w, NAMEN, QUEUE, "behind", NULL);
	assert_true(streams_of(&w, NAMEN, NAMEN, LUIK).n > before);
	world_run(&w, 30 * US_PER_S);
	take_is(&w, LUIK, QUEUE, "behind", NULL);
	ask_take_none(&w, LUIK, QUEUE);
	world_release(&w);
}

/* A damaged lease hides none behind it, and its own message comes back too. */
static void leases_end_behind_a_damaged_one(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	for (int restart = 0; restart < 2; restart++) {
		world_init(&w, SITES, 3, 6 + (uint64_t)restart);
		send_ok(&w, NAMEN, QUEUE, "first", NULL);
		send_ok(&w, NAMEN, QUEUE, "second", NULL);
		take_is(&w, LUIK, QUEUE, "first", &id);
		take_is(&w, LUIK, QUEUE, "second", NULL);
		if (restart)
			world_crash(&w, LUIK);
		damage_record(&w, LUIK, key_lease(arrival_of(&w, LUIK, &id)));
		if (restart)
			world_start(&w, LUIK);
		world_run(&w, 620 * US_PER_S); /* the usual lease, and once more */
		assert_true(world_alarm(&w, LUIK, "damage"));
		struct queue_row q = queue_at(&w, LUIK);

		assert_int_equal(q.waiting[0][PREC_PRIORITY], 2);
		assert_int_equal(q.leased[0][PREC_PRIORITY], 0);
		take_is(&w, LUIK, QUEUE, "first", NULL);
		take_is(&w, LUIK, QUEUE, "second", NULL);
		ask_take_none(&w, LUIK, QUEUE);
		world_release(&w);
	}
}

/* The row of the queue and that of a lease are damaged at once: what is out is counted right all the same, and what follows is handed out. */
static void a_queue_and_a_lease_are_damaged(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, 3, 14);
	send_ok(&w, NAMEN, QUEUE, "first", NULL);
	send_ok(&w, NAMEN, QUEUE, "second", NULL);
	take_is(&w, LUIK, QUEUE, "first", &id);
	world_run(&w, US_PER_S);
	struct queue_row before = queue_at(&w, LUIK);
	uint64_t arrival = arrival_of(&w, LUIK, &id);

	world_crash(&w, LUIK);
	damage_record(&w, LUIK, key_queue(before.local));
	damage_record(&w, LUIK, key_lease(arrival));
	world_start(&w, LUIK);
	world_run(&w, 3 * US_PER_S);
	assert_int_equal(queue_at(&w, LUIK).leased[0][PREC_PRIORITY], 1);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
	world_run(&w, US_PER_S);
	assert_int_equal(queue_at(&w, LUIK).leased[0][PREC_PRIORITY], 0);
	take_is(&w, LUIK, QUEUE, "second", NULL);
	world_release(&w);
}

/* What was known of a message is damaged while it is leased, or while it waits: it stays in its queue, and it is shown.
 * lease: its lease is damaged as well. */
static void damaged_message(bool leased, bool lease, uint64_t seed)
{
	struct world w;
	struct msgid id;

	world_init(&w, SITES, 3, seed);
	send_ok(&w, NAMEN, QUEUE, "one", &id);
	world_run(&w, 2 * US_PER_S);
	if (leased)
		take_is(&w, LUIK, QUEUE, "one", &id);
	uint64_t arrival = arrival_of(&w, LUIK, &id);

	damage_record(&w, LUIK, key_msg(&id, w.number[LUIK]));
	if (lease)
		damage_record(&w, LUIK, key_lease(arrival));
	world_run(&w, 310 * US_PER_S);
	take_is(&w, LUIK, QUEUE, "one", NULL);
	assert_true(world_alarm(&w, LUIK, "damage"));
	struct queue_row q = queue_at(&w, LUIK);

	assert_int_equal(q.waiting[0][PREC_PRIORITY], 0);
	assert_int_equal(q.leased[0][PREC_PRIORITY], 1);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
	world_run(&w, 3 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_READ);
	ask_take_none(&w, LUIK, QUEUE);
	world_release(&w);
}

static void a_damaged_message_stays_in_its_queue(void **state)
{
	(void)state;
	damaged_message(true, false, 10);
	damaged_message(false, false, 11);
	damaged_message(true, true, 12);
}

/* ---- claims ------------------------------------------------------------------------------------------------------------------ */

/* A site says, over and over, that a message ended which is not its own, and that has not come yet. */
static void claim(struct world *w, size_t i, const struct msgid *id, uint16_t addressee)
{
	static const char why[] = "nothing but a long text, so that it takes room where there is little of it: nothing but a long text, so that it takes "
				  "room where there is little of it: nothing but a long text, so that it takes room where there is little of it";
	struct core *c = w->node[i].core;
	struct effects out = EFFECTS_EMPTY;
	struct buf events = BUF_EMPTY;
	struct txn *t;

	assert_int_equal(txn_begin(w->node[i].store, true, &t), ERR_OK);
	c->t = t;
	c->out = &out;
	c->wall = world_wall(w, i);
	struct msg_row row = {.id = *id, .addressee = addressee, .originator = w->number[i], .precedence = PREC_PRIORITY};

	report_here(c, &row, &events, EVENT_CANCELLED, "somebody", why);
	report_here(c, &row, &events, EVENT_EXPIRED, "somebody", why);
	core_finish(c, w->now, world_wall(w, i), t, &out);
	assert_int_equal(txn_commit(t), ERR_OK);
	core_committed(c);
	buf_release(&events);
	effects_release(&out);
	world_run(w, 2 * US_PER_S);
}

static void claims_leave_room_for_the_end(void **state)
{
	struct world w;
	struct msgid id;
	struct msg_event e;
	struct msg_row row;
	struct txn *t;

	(void)state;
	world_init(&w, SITES, 3, 20);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, NAMEN, LEUVEN, false);
	world_run(&w, US_PER_S);
	send_ok(&w, NAMEN, QUEUE, "one", &id);
	for (int i = 0; i < 12; i++)
		claim(&w, LEUVEN, &id, w.number[LUIK]);
	world_run(&w, 120 * US_PER_S);
	/* They came, and take little room. */
	assert_int_equal(txn_begin(w.node[LUIK].store, false, &t), ERR_OK);
	assert_int_equal(store_msg_get(t, &id, w.number[LUIK], &row), ERR_OK);
	assert_true(row.events.len > 0 && row.events.len < 100);
	txn_abort(t);
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 10 * US_PER_S);
	take_is(&w, LUIK, QUEUE, "one", NULL);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
	assert_int_equal(txn_begin(w.node[LUIK].store, false, &t), ERR_OK);
	assert_int_equal(store_msg_get(t, &id, w.number[LUIK], &row), ERR_OK);
	assert_true(events_find(row.events, EVENT_READ, &e));
	assert_false(events_find(row.events, EVENT_CANCELLED, &e)); /* it was not theirs to say */
	txn_abort(t);
	world_release(&w);
}

/* Of an end one record a site stays, the earliest, in whatever order they come. */
static void one_end_a_site(void **state)
{
	struct buf a = BUF_EMPTY, b = BUF_EMPTY;
	struct msg_event early = {.event = EVENT_READ, .source = 1, .when = {1}, .by = view_str("a")}, late = early, other = early, e;

	(void)state;
	late.when.us = 2;
	late.by = view_str("somebody else");
	other.event = EVENT_REFUSED;
	events_add(&a, &early);
	events_add(&a, &late);
	events_add(&b, &late);
	events_add(&b, &other);
	events_add(&b, &early);
	assert_true(events_find(buf_view(&a), EVENT_READ, &e) && e.when.us == 1);
	assert_true(events_find(buf_view(&b), EVENT_READ, &e) && e.when.us == 1 && view_equal(e.by, early.by));
	assert_true(events_find(buf_view(&b), EVENT_REFUSED, &e));
	assert_int_equal(b.len, 2 * a.len);
	buf_release(&a);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_under_a_damaged_key_waits_for_it), cmocka_unit_test(a_damaged_stream_row_is_made_anew),
		cmocka_unit_test(what_was_accepted_leaves_all_the_same),
		cmocka_unit_test(what_follows_damage_of_ones_own_arrives),
		cmocka_unit_test(a_stream_set_aside_comes_again),
		cmocka_unit_test(a_damaged_queue_row_is_made_anew),
		cmocka_unit_test(a_damaged_missing_row_is_made_anew),
		cmocka_unit_test(leases_end_behind_a_damaged_one),
		cmocka_unit_test(a_queue_and_a_lease_are_damaged),
		cmocka_unit_test(a_damaged_message_stays_in_its_queue),
		cmocka_unit_test(claims_leave_room_for_the_end),
		cmocka_unit_test(one_end_a_site),
	};
	return cmocka_run_group_tests_name("core damage", tests, NULL, NULL);
}
