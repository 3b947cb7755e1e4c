/* A journal made anew from its entries: the node places again what waited, nothing that ended comes back, and nothing is handed out before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "storage/record.h"
#include "storage/remake_int.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant"};
enum { LUIK, NAMEN, LEUVEN };
#define QUEUE "cic-luik/dispatch"

static void send(struct world *w, enum precedence p, const char *body, int64_t expires_us, const char *exercise, struct msgid *id)
{
	struct send_options o = {.subject = body, .expires_us = expires_us, .exercise = exercise, .key = body};

	assert_int_equal(world_send(w, NAMEN, QUEUE, p, view_str(body), &o, id, NULL), ERR_OK);
}

static void take_and(struct world *w, enum request_type what)
{
	struct taken t = {.body = BUF_EMPTY};

	world_run(w, US_PER_S);
	assert_true(world_take_one(w, LUIK, QUEUE, US_PER_S, &t));
	if (what)
		assert_int_equal(world_handle(w, LUIK, what, &t.id), ERR_OK);
	buf_release(&t.body);
}

/* Something of everything: read, refused, back when its lease ended, cancelled, expired, a large body, an exercise, and many that wait. */
static void prepare(struct world *w)
{
	static char large[200000];
	struct msgid id;

	world_init(w, SITES, 3, 1);
	send(w, PREC_FLASH, "read", 0, NULL, NULL);
	take_and(w, REQ_ACK);
	send(w, PREC_FLASH, "refused", 0, NULL, NULL);
	take_and(w, REQ_REFUSE);
	send(w, PREC_FLASH, "lease ended", 0, NULL, NULL);
	take_and(w, 0);
	world_run(w, 600 * US_PER_S);
	send(w, PREC_ROUTINE, "cancelled", 0, NULL, &id);
	assert_int_equal(world_handle(w, NAMEN, REQ_CANCEL, &id), ERR_OK);
	send(w, PREC_ROUTINE, "expires", world_wall(w, NAMEN).us + 2 * US_PER_S, NULL, NULL);
	send(w, PREC_ROUTINE, "expires late", world_wall(w, NAMEN).us + 86400 * US_PER_S, NULL, NULL);
	send(w, PREC_PRIORITY, "drill", 0, "oefening", NULL);
	memset(large, 'x', sizeof large - 1);
	assert_int_equal(world_send(w, NAMEN, QUEUE, PREC_PRIORITY, view_of(large, sizeof large), &(struct send_options){.subject = "large"}, NULL, NULL), ERR_OK);
	for (int i = 0; i < 400; i++) {
		char body[16];

		snprintf(body, sizeof body, "m%d", i);
		send(w, i % 2 ? PREC_PRIORITY : PREC_ROUTINE, body, 0, NULL, NULL);
	}
	world_run(w, 30 * US_PER_S);
}

static void remake(struct world *w, size_t i)
{
	struct store *old = w->node[i].store;
	struct remake_options o = {.now = world_wall(w, i)};
	struct remake_result result = {0};
	struct remake r = {.o = &o, .out = &result};
	struct errmsg m = {0};

	assert_int_equal(store_open_memory(store_birth(old), NULL, NULL, NULL, &r.to), ERR_OK);
	enum err e = remake_fill(&r, "memory", old, &m);
	if (e)
		fail_msg("%s", m.text);
	assert_int_equal(result.damaged + result.lost + result.bodies_lost + result.streams_lost, 0);
	remake_release(&r);
	w->node[i].store = r.to;
	store_close(old);
}

/* Of two journals, all records of a table that are in one and not, or otherwise, in the other. */
static unsigned differences(struct store *a, struct store *b, enum table table, bool (*same)(struct view key, struct view x, struct view y))
{
	struct key all = key_table(table);
	unsigned n = 0;

	for (int turn = 0; turn < 2; turn++) {
		struct kv_txn *x, *y;
		struct key k = all;
		struct view key, value, other;

		assert_int_equal(kv_begin((turn ? b : a)->kv, false, &x), ERR_OK);
		assert_int_equal(kv_begin((turn ? a : b)->kv, false, &y), ERR_OK);
		while (kv_seek(x, k.db, key_view(&k), &key, &value) == ERR_OK && key.ptr[0] == all.b[0]) {
			n += kv_get(y, k.db, key, &other) != ERR_OK || !same(key, value, other);
			if (!key_from(&k, k.db, key) || !key_step(&k))
				break;
		}
		kv_abort(x);
		kv_abort(y);
	}
	return n;
}

static bool to_the_bit(struct view key, struct view x, struct view y)
{
	(void)key;
	return x.len == y.len && memcmp(x.ptr, y.ptr, x.len) == 0;
}

/* The order in which events were heard does not count. */
static bool same_message(struct view key, struct view x, struct view y)
{
	struct rd a = rd_init(view_of(x.ptr, x.len - CHECK_BYTES)), b = rd_init(view_of(y.ptr, y.len - CHECK_BYTES));
	struct msg_row p, q;
	struct msg_event e, f;

	assert_int_equal(codec_msg_read(key, &a, &p), ERR_OK);
	assert_int_equal(codec_msg_read(key, &b, &q), ERR_OK);
	if (p.arrival != q.arrival || p.originator != q.originator || p.precedence != q.precedence || p.flags != q.flags || p.state != q.state ||
	    p.place_arrival != q.place_arrival || (p.place_arrival && memcmp(&p.place, &q.place, sizeof p.place) != 0) || p.events.len != q.events.len)
		return false;
	for (struct view rest = p.events; events_next(&rest, &e);) {
		bool found = false;

		for (struct view others = q.events; events_next(&others, &f);)
			found |= f.event == e.event && f.source == e.source && f.when.us == e.when.us && view_equal(f.by, e.by) && view_equal(f.why, e.why);
		if (!found)
			return false;
	}
	return true;
}

static const struct { enum table table; const char *name; } tables[] = {
	{TABLE_POSITION, "position"}, {TABLE_HEAD, "head"}, {TABLE_GRANT, "grant"}, {TABLE_EXPIRY, "expiry"}, {TABLE_BODY_ROW, "body row"},
	{TABLE_BODY_HASH, "body hash"}, {TABLE_ORPHAN, "orphan"}, {TABLE_STREAM, "stream"}, {TABLE_STREAM_NAME, "stream name"},
	{TABLE_QUEUE, "queue"}, {TABLE_QUEUE_NAME, "queue name"}, {TABLE_MISSING, "missing"}, {TABLE_LEASE, "lease"}, {TABLE_ENTRY, "entry"},
	{TABLE_PART, "part"}, {TABLE_PART_APART, "part apart"}, {TABLE_PLACE, "place"}, {TABLE_KEY, "key"}, {TABLE_CONFLICT, "conflict"},
	{TABLE_REDO, "redo"},
};

/* Each site in turn: the same state, table by table, as that of a twin that only started again. */
static void rebuilt_from_entries_alone_it_is_the_same(void **state)
{
	(void)state;
	for (size_t site = LUIK; site <= LEUVEN; site++) {
		struct world w[2];

		for (int i = 0; i < 2; i++) {
			prepare(&w[i]);
			world_crash(&w[i], site);
			if (i)
				remake(&w[i], site);
			for (size_t k = 0; k < 3; k++) /* what the others send would not be the same in both */
				if (k != site)
					world_link(&w[i], site, k, false);
			world_start(&w[i], site);
			world_run(&w[i], 60 * US_PER_S);
			assert_int_equal(w[i].node[site].core->rebuilding, REBUILT);
			assert_int_equal(w[i].node[site].core->takeover.n_redo, 0);
			assert_false(world_alarm(&w[i], site, "rebuilding"));
			world_verify(&w[i], site);
		}
		unsigned all = 0;
		for (size_t k = 0; k < sizeof tables / sizeof *tables; k++) {
			unsigned n = differences(w[0].node[site].store, w[1].node[site].store, tables[k].table, to_the_bit);
			if (n)
				print_error("%s: %u records differ: %s\n", SITES[site], n, tables[k].name);
			all += n;
		}
		assert_int_equal(all, 0);
		assert_int_equal(differences(w[0].node[site].store, w[1].node[site].store, TABLE_MSG, same_message), 0);
		assert_memory_equal(&w[0].node[site].core->counters, &w[1].node[site].core->counters, sizeof w[0].node[site].core->counters);
		world_release(&w[0]);
		world_release(&w[1]);
	}
}

/* While it is under way a desk gets nothing; then what waited, and never what was read. */
static void nothing_is_handed_out_before_it_is_done(void **state)
{
	struct world w;
	struct taken t = {.body = BUF_EMPTY};

	(void)state;
	prepare(&w);
	take_and(&w, 0); /* a desk has it in hand when the node goes down */
	world_crash(&w, LUIK);
	remake(&w, LUIK);
	world_start(&w, LUIK);
	assert_int_equal(w.node[LUIK].core->rebuilding, REBUILDING_KNOWN);
	assert_true(world_alarm(&w, LUIK, "rebuilding"));
	world_run(&w, 30 * US_PER_S);
	int n = 0;

	for (; world_take_one(&w, LUIK, QUEUE, US_PER_S, &t); n++) {
		assert_string_not_equal(t.subject, "read");
		assert_string_not_equal(t.subject, "refused");
		assert_string_not_equal(t.subject, "cancelled");
		if (n == 0) {
			assert_string_equal(t.subject, "lease ended");
			assert_true(t.perhaps_seen[0]);
		}
		assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &t.id), ERR_OK);
	}
	assert_true(n > 400);
	assert_int_equal(world_status(&w, LUIK, "read"), n + 1);
	buf_release(&t.body);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rebuilt_from_entries_alone_it_is_the_same),
		cmocka_unit_test(nothing_is_handed_out_before_it_is_done),
	};
	return cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
}
