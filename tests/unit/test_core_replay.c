/* What a replay promises: what was read is handed out again, marked and behind all that is operational, once; and nothing that was read,
 * reported or counted is otherwise than before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant"};
enum { LUIK, NAMEN, LEUVEN, N };

/* ---- asking ------------------------------------------------------------------------------------------------------- */

struct ask { const char *queue, *into, *originator, *channel, *why; int precedence; uint32_t count; bool dry, last; uint64_t next; int64_t since, until; };
struct row { enum err e; int64_t replayed, now, waiting, ended, damaged, gone, next; char text[200]; };

static void row_read(const struct request *rq, struct row *out)
{
	struct view rest = rq->fields, name = {0};
	struct request_item f;

	while (request_next(&rest, &f) == ERR_OK) {
		if (f.field == F_NAME)
			name = f.value;
		if (f.field != F_NUMBER)
			continue;
		int64_t x = (int64_t)item_u64(&f);
#define TAKE(member) if (view_equal(name, view_str(#member))) out->member = x
		TAKE(replayed); TAKE(now); TAKE(waiting); TAKE(ended); TAKE(damaged); TAKE(gone); TAKE(next);
#undef TAKE
	}
}

static struct row replay(struct world *w, size_t i, const struct ask *a)
{
	struct request_writer rw;
	struct row out = {.e = ERR_INTERNAL};
	struct buf b = BUF_EMPTY;
	struct request r;

	request_begin(&rw, &b, REQ_REPLAY, ++w->tag);
	request_str(&rw, F_QUEUE, a->queue ? a->queue : "dispatch");
	request_str(&rw, F_TO, a->into);
	request_str(&rw, F_FROM, a->originator);
	request_str(&rw, F_CHANNEL, a->channel);
	request_str(&rw, F_REASON, a->why);
	if (a->precedence)
		request_u8(&rw, F_PRECEDENCE, (uint8_t)(a->precedence - 1));
	if (a->count)
		request_u32(&rw, F_COUNT, a->count);
	if (a->next)
		request_u64(&rw, F_NUMBER, a->next);
	if (a->since)
		request_u64(&rw, F_SINCE, (uint64_t)a->since);
	if (a->until)
		request_u64(&rw, F_UNTIL, (uint64_t)a->until);
	if (a->dry)
		request_u8(&rw, F_DRY, 1);
	if (a->last)
		request_u8(&rw, F_LAST, 1);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	for (int tries = 0; out.e == ERR_INTERNAL && tries < 200; tries++) {
		while (out.e == ERR_INTERNAL && world_reply(w, i, &r)) {
			if (r.tag != w->tag)
				continue;
			if (r.type == REPLY_ROW)
				row_read(&r, &out);
			if (r.type == REPLY_ERROR) {
				out.e = ERR_REFUSED;
				view_to_str(reply_field(&r, F_TEXT), out.text, sizeof out.text);
			}
			if (r.type == REPLY_DONE)
				out.e = ERR_OK;
		}
		if (out.e == ERR_INTERNAL)
			world_run(w, 10000);
	}
	return out;
}

/* To its end. */
static struct row replay_all(struct world *w, size_t i, struct ask a)
{
	struct row r;
	int steps = 0;

	do {
		r = replay(w, i, &a);
		assert_int_equal(r.e, ERR_OK);
		assert_true(++steps < 20);
	} while (r.next);
	a.last = true;
	assert_int_equal(replay(w, i, &a).e, ERR_OK);
	return r;
}

struct got { struct msgid id; bool replayed, perhaps_seen; uint8_t precedence; char by[65], why[257]; };

/* Takes all there is within a second; how many. */
static size_t take_all(struct world *w, size_t i, const char *queue, int64_t lease_us, struct got *out, size_t max)
{
	uint32_t tag = world_take(w, i, queue, (uint32_t)max, lease_us);
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;
	size_t n = 0;

	world_run(w, US_PER_S);
	while (world_reply(w, i, &r)) {
		if (r.type != REPLY_TAKEN || r.tag != tag)
			continue;
		assert_true(n < max);
		struct got *g = &out[n++];
		memset(g, 0, sizeof *g);
		memcpy(g->id.b, reply_field(&r, F_ID).ptr, MSGID_BYTES);
		g->replayed = reply_field(&r, F_REPLAYED).ptr[0];
		g->precedence = reply_field(&r, F_PRECEDENCE).ptr[0];
		g->perhaps_seen = reply_field(&r, F_PERHAPS_SEEN).len > 0;
		view_to_str(reply_field(&r, F_BY), g->by, sizeof g->by);
		view_to_str(reply_field(&r, F_REASON), g->why, sizeof g->why);
	}
	request_begin(&rw, &b, REQ_TAKE_STOP, tag);
	request_end(&rw);
	world_request(w, i, &b);
	world_run(w, 10000);
	buf_release(&b);
	return n;
}

static struct msgid send(struct world *w, const char *to, enum precedence p, const char *text)
{
	struct send_options o = {.subject = text};
	struct msgid id;

	assert_int_equal(world_send(w, NAMEN, to, p, view_str(text), &o, &id, NULL), ERR_OK);
	world_run(w, 300000);
	return id;
}

/* n messages, read. */
static void read_some(struct world *w, size_t n, struct msgid *ids)
{
	struct got g[64];

	for (size_t i = 0; i < n; i++)
		ids[i] = send(w, "cic-luik/dispatch", i % PREC_COUNT, "read");
	assert_int_equal(take_all(w, LUIK, "dispatch", 0, g, 64), n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(world_handle(w, LUIK, REQ_ACK, &ids[i]), ERR_OK);
	world_run(w, US_PER_S);
}

static size_t times(const struct got *g, size_t n, const struct msgid *id)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += g[i].replayed && msgid_equal(&g[i].id, id);
	return found;
}

static struct buf events_at(struct world *w, size_t i, const struct msgid *id, bool with_replayed)
{
	struct buf out = BUF_EMPTY;
	struct msg_event e;
	struct msg_row row;
	struct txn *t;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	assert_int_equal(store_msg_get(t, id, w->number[LUIK], &row), ERR_OK);
	while (events_next(&row.events, &e))
		if ((e.event == EVENT_REPLAYED) == with_replayed) {
			buf_add_u8(&out, e.event);
			buf_add_u64(&out, (uint64_t)e.when.us);
			buf_add(&out, e.by);
		}
	txn_abort(t);
	return out;
}

/* ---- the promises --------------------------------------------------------------------------------------------------- */

static void again_and_nothing_else(void **state)
{
	(void)state;
	struct world w;
	struct msgid ids[4], fresh;
	struct got g[16];
	struct buf before[4];

	world_init(&w, SITES, N, 61);
	read_some(&w, 4, ids);
	for (int i = 0; i < 4; i++)
		before[i] = events_at(&w, LUIK, &ids[i], false);
	int64_t read = world_status(&w, LUIK, "read"), receipts = world_status(&w, NAMEN, "read"), out = world_status(&w, LUIK, "delivered");

	assert_int_equal(replay(&w, LUIK, &(struct ask){.dry = true}).replayed, 4);
	assert_int_equal(take_all(&w, LUIK, "dispatch", 0, g, 16), 0);
	assert_int_equal(replay_all(&w, LUIK, (struct ask){.why = "training of a new desk"}).replayed, 4);
	/* Nobody has to hurry for them, and they count nowhere. */
	world_run(&w, 20 * 60 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "deadline") || world_alarm(&w, LUIK, "unattended"));
	assert_int_equal(world_status(&w, LUIK, "queued"), 0);
	/* What is operational goes first, however little it hurries. */
	fresh = send(&w, "cic-luik/dispatch", PREC_ROUTINE, "fresh");
	assert_int_equal(take_all(&w, LUIK, "dispatch", 0, g, 16), 5);
	assert_true(msgid_equal(&g[0].id, &fresh) && !g[0].replayed && !g[0].why[0]);
	for (int i = 1; i < 5; i++) {
		assert_true(g[i].replayed && !g[i].perhaps_seen && g[i].by[0]);
		assert_string_equal(g[i].why, "training of a new desk");
		assert_int_equal(g[i].precedence, i - 1);
		assert_int_equal(times(g, 5, &ids[i - 1]), 1);
	}
	/* Acknowledged, refused: it is no second reading, for anybody. */
	for (int i = 0; i < 4; i++)
		assert_int_equal(world_handle(&w, LUIK, i % 2 ? REQ_ACK : REQ_REFUSE, &ids[i]), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_status(&w, LUIK, "read"), read);
	assert_int_equal(world_status(&w, LUIK, "refused"), 0);
	assert_int_equal(world_status(&w, LUIK, "delivered"), out + 1);
	assert_int_equal(world_status(&w, NAMEN, "read"), receipts);
	assert_false(world_alarm(&w, LUIK, "conflict"));
	for (int i = 0; i < 4; i++) {
		struct buf now = events_at(&w, LUIK, &ids[i], false), replayed[2] = {events_at(&w, LUIK, &ids[i], true), events_at(&w, NAMEN, &ids[i], true)};

		assert_true(view_equal(buf_view(&before[i]), buf_view(&now)));
		assert_true(replayed[0].len > 0 && view_equal(buf_view(&replayed[0]), buf_view(&replayed[1])));
		assert_int_equal(world_state(&w, NAMEN, &ids[i]), STATE_READ);
		buf_release(&now);
		buf_release(&before[i]);
		buf_release(&replayed[0]);
		buf_release(&replayed[1]);
	}
	assert_int_equal(take_all(&w, LUIK, "dispatch", 0, g, 16), 0);
	world_verify(&w, LUIK);
	/* The next one is another replay. */
	assert_int_equal(replay_all(&w, LUIK, (struct ask){0}).now, 4);
	world_release(&w);
}

static void goes_on_where_it_stopped(void **state)
{
	(void)state;
	struct world w;
	struct msgid ids[12];
	struct got g[64];
	size_t n;

	world_init(&w, SITES, N, 62);
	read_some(&w, 12, ids);
	assert_int_equal(replay(&w, LUIK, &(struct ask){.count = 5}).now, 5);
	n = take_all(&w, LUIK, "dispatch", 60 * US_PER_S, g, 64);
	assert_int_equal(n, 5);
	/* Two are done with, the node dies, the others come back when their leases are over. */
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &g[0].id), ERR_OK);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &g[1].id), ERR_OK);
	world_crash(&w, LUIK);
	world_start(&w, LUIK);
	world_run(&w, 10 * US_PER_S);
	struct row r = replay_all(&w, LUIK, (struct ask){.count = 4});
	assert_int_equal(r.replayed, 12);
	n = take_all(&w, LUIK, "dispatch", 600 * US_PER_S, g, 64);
	assert_int_equal(n, 7);
	world_verify(&w, LUIK);
	world_run(&w, 60 * US_PER_S);
	n += take_all(&w, LUIK, "dispatch", 600 * US_PER_S, g + n, 64 - n);
	assert_int_equal(n, 10);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(times(g, n, &g[i].id), 1);
		assert_int_equal(world_handle(&w, LUIK, i == 0 ? REQ_RETURN : REQ_ACK, &g[i].id), ERR_OK);
	}
	assert_int_equal(take_all(&w, LUIK, "dispatch", 0, g, 64), 1);
	world_verify(&w, LUIK);
	world_release(&w);
}

/* Every commit of a replay fails once. */
static void failed_commits(void **state)
{
	(void)state;
	for (uint64_t fail = 1; fail <= 8; fail++) {
		struct world w;
		struct msgid ids[8];
		struct got g[32];
		struct row r;
		int failed = 0, steps = 0;

		world_init(&w, SITES, N, 63);
		read_some(&w, 8, ids);
		w.node[LUIK].fail_at = w.node[LUIK].commits + fail;
		w.node[LUIK].fail_with = ERR_FULL;
		do {
			r = replay(&w, LUIK, &(struct ask){.count = 3});
			failed += r.e != ERR_OK;
			assert_true(failed < 3 && ++steps < 20);
		} while (r.e || r.next);
		size_t n = 0;
		for (int tries = 0; tries < 3; tries++) /* a take that did not fit either is refused */
			n += take_all(&w, LUIK, "dispatch", 3600 * US_PER_S, g + n, 32 - n);
		assert_int_equal(n, 8);
		for (size_t i = 0; i < 8; i++)
			assert_int_equal(times(g, n, &ids[i]), 1);
		world_verify(&w, LUIK);
		world_release(&w);
	}
}

static void only_what_is_asked_for(void **state)
{
	(void)state;
	struct world w;
	struct msgid ids[8], waits, gone;
	struct got g[32];

	world_init(&w, SITES, N, 64);
	read_some(&w, 8, ids);
	waits = send(&w, "cic-luik/dispatch", PREC_FLASH, "waits");
	gone = send(&w, "cic-luik/dispatch", PREC_FLASH, "withdrawn");
	assert_int_equal(world_handle(&w, NAMEN, REQ_CANCEL, &gone), ERR_OK);
	world_run(&w, US_PER_S);
	struct row r = replay(&w, LUIK, &(struct ask){.dry = true});
	assert_int_equal(r.replayed, 8);
	assert_int_equal(r.waiting, 1);
	assert_int_equal(r.ended, 1);
	assert_int_equal(replay(&w, LUIK, &(struct ask){.dry = true, .precedence = 1 + PREC_FLASH}).replayed, 2);
	assert_int_equal(replay(&w, LUIK, &(struct ask){.dry = true, .originator = "cic-vlaams-brabant"}).replayed, 0);
	assert_int_equal(replay(&w, LUIK, &(struct ask){.dry = true, .originator = "cic-namen"}).replayed, 8);
	assert_int_equal(replay(&w, LUIK, &(struct ask){.dry = true, .channel = "siena"}).replayed, 0);
	assert_int_equal(replay(&w, LUIK, &(struct ask){.dry = true, .queue = "messages"}).replayed, 0);
	int64_t now = world_wall(&w, LUIK).us;
	assert_int_equal(replay(&w, LUIK, &(struct ask){.dry = true, .since = now}).replayed, 0);
	assert_int_equal(replay(&w, LUIK, &(struct ask){.dry = true, .until = now}).replayed, 8);
	assert_int_equal(replay(&w, LUIK, &(struct ask){.since = now, .until = now - 1}).e, ERR_REFUSED);
	/* Not here, and not a site. */
	assert_int_equal(replay(&w, LEUVEN, &(struct ask){.queue = "cic-luik/dispatch"}).e, ERR_REFUSED);
	assert_int_equal(replay(&w, LUIK, &(struct ask){.into = "cic-namen/dispatch"}).e, ERR_REFUSED);
	assert_int_equal(replay(&w, LUIK, &(struct ask){.originator = "cic-atlantis"}).e, ERR_REFUSED);
	/* Into another queue; what waits in the first is as it was. */
	assert_int_equal(replay_all(&w, LUIK, (struct ask){.into = "messages", .precedence = 1 + PREC_ROUTINE}).replayed, 2);
	assert_int_equal(take_all(&w, LUIK, "messages", 0, g, 32), 2);
	assert_true(g[0].replayed && g[0].precedence == PREC_ROUTINE);
	assert_int_equal(take_all(&w, LUIK, "dispatch", 0, g, 32), 1);
	assert_true(!g[0].replayed && msgid_equal(&g[0].id, &waits));
	/* Out at a desk it is not replayed either, and is acknowledged for itself. */
	assert_int_equal(replay(&w, LUIK, &(struct ask){.dry = true}).waiting, 1);
	int64_t read = world_status(&w, LUIK, "read");
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &waits), ERR_OK);
	assert_int_equal(world_status(&w, LUIK, "read"), read + 1);
	world_release(&w);
}

/* A desk has so many copies at a time; for each that it ends the next comes, and none is remembered that is ended. */
static void so_many_at_a_time(void **state)
{
	(void)state;
	struct world w;
	struct msgid ids[12];
	struct got g[16];

	world_init(&w, SITES, N, 65);
	world_crash(&w, LUIK);
	w.node[LUIK].leases_most = 4;
	world_start(&w, LUIK);
	world_run(&w, 5 * US_PER_S);
	for (size_t i = 0; i < 12; i += 4)
		read_some(&w, 4, &ids[i]);
	assert_int_equal(replay_all(&w, LUIK, (struct ask){.why = "inquiry"}).replayed, 12);

	const struct replay *r = &w.node[LUIK].core->replay;
	size_t seen[12] = {0};

	for (int round = 0; round < 3; round++) {
		size_t n = take_all(&w, LUIK, "dispatch", 0, g, 16);

		assert_int_equal(n, 4);
		assert_int_equal(r->n_due - r->n_done, 4);
		assert_int_equal(take_all(&w, LUIK, "dispatch", 0, g + n, 12), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &g[i].id), ERR_OK);
		for (size_t i = 0; i < 12; i++)
			seen[i] += times(g, n, &ids[i]);
		world_run(&w, US_PER_S);
		assert_int_equal(r->n_due, 0);
	}
	for (size_t i = 0; i < 12; i++)
		assert_int_equal(seen[i], 1);
	world_release(&w);
}

/* One that waits gets the next as soon as one is ended. */
static void the_next_comes_by_itself(void **state)
{
	(void)state;
	struct world w;
	struct msgid ids[4], first;
	struct request r;
	size_t n = 0;

	world_init(&w, SITES, N, 66);
	world_crash(&w, LUIK);
	w.node[LUIK].leases_most = 1;
	world_start(&w, LUIK);
	world_run(&w, 5 * US_PER_S);
	for (size_t i = 0; i < 4; i++)
		read_some(&w, 1, &ids[i]);
	assert_int_equal(replay_all(&w, LUIK, (struct ask){.why = "inquiry"}).replayed, 4);
	uint32_t tag = world_take(&w, LUIK, "dispatch", 16, 0);

	for (int step = 0; step < 6; step++) {
		world_run(&w, US_PER_S);
		bool any = false;

		while (world_reply(&w, LUIK, &r))
			if (r.type == REPLY_TAKEN && r.tag == tag) {
				assert_false(any);
				any = true;
				memcpy(first.b, reply_field(&r, F_ID).ptr, MSGID_BYTES);
				n++;
			}
		if (any)
			assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &first), ERR_OK);
	}
	assert_int_equal(n, 4);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(again_and_nothing_else), cmocka_unit_test(goes_on_where_it_stopped), cmocka_unit_test(failed_commits),
		cmocka_unit_test(only_what_is_asked_for), cmocka_unit_test(so_many_at_a_time), cmocka_unit_test(the_next_comes_by_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
