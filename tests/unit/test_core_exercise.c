/* What an exercise promises: a live drill on the running network changes nothing operational, and nobody takes one for the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "storage/verify.h"
#include "tests/lib/asks.h"
#include "tests/lib/tables.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };

#define ALPHA "alpha-2026"
#define BETA "beta-2026"

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static enum err order(struct world *w, size_t i, const char *what, const char *assign, const char *exercise, char *text, size_t size)
{
	struct ask a = {.site = "cic-luik", .assign = {assign}, .exercise = exercise};

	return ask_order(w, i, what, &a, text, size);
}

static void order_ok(struct world *w, size_t i, const char *what, const char *assign, const char *exercise)
{
	ask_order_ok(w, i, what, &(struct ask){.site = "cic-luik", .assign = {assign}, .exercise = exercise});
}

static struct msgid send(struct world *w, size_t from, const char *to, enum precedence p, const char *body, const char *exercise)
{
	struct send_options o = {.subject = body, .exercise = exercise};
	struct msgid id;

	assert_int_equal(world_send(w, from, to, p, view_str(body), &o, &id, NULL), ERR_OK);
	return id;
}

/* Takes one message, of an exercise or (NULL) of none: its body, "" when none comes, "refused" when nothing may come. */
static const char *take(struct world *w, size_t i, const char *queue, const char *exercise, struct msgid *id)
{
	static char body[64];
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;
	uint32_t tag = ++w->tag;

	body[0] = '\0';
	request_begin(&rw, &b, REQ_TAKE, tag);
	request_str(&rw, F_QUEUE, queue);
	request_u32(&rw, F_COUNT, 1);
	request_str(&rw, F_EXERCISE, exercise);
	request_end(&rw);
	world_request(w, i, &b);
	for (int tries = 0; tries < 200 && !body[0]; tries++) {
		world_run(w, 10000);
		while (!body[0] && world_reply(w, i, &r)) {
			if (r.tag != tag)
				continue;
			if (r.type == REPLY_ERROR)
				snprintf(body, sizeof body, "refused");
			if (r.type != REPLY_TAKEN)
				continue;
			view_to_str(reply_field(&r, F_BODY), body, sizeof body);
			if (id)
				memcpy(id->b, reply_field(&r, F_ID).ptr, MSGID_BYTES);
			assert_true(view_equal(reply_field(&r, F_EXERCISE), view_str(exercise ? exercise : "")));
		}
	}
	buf_clear(&b);
	request_begin(&rw, &b, REQ_TAKE_STOP, tag);
	request_end(&rw);
	world_request(w, i, &b);
	world_run(w, 10000);
	buf_release(&b);
	return body;
}

/* ---- everything that is shown ------------------------------------------------------------------------------------------ */

/* Everything operational that a site shows, but for what times and chance make differ. */
static void operational(struct world *w, struct buf *out)
{
	static const char status[] = " site accepted delivered read refused expired queued alarms dead_letters receipts_read receipts_refused "
				     "receipts_expired handled_elsewhere conflicts recovering clock_unsure ";
	static const char queues[] = " queue precedence waiting leased held oldest_s next_deadline_s served_by ";
	static const char streams[] = " originator addressee precedence head floor not_whole ";

	for (size_t i = 0; i < N; i++) {
		buf_add(out, view_str(SITES[i]));
		buf_add_u8(out, '\n');
		table_add(w, i, "status", NULL, status, false, out);
		table_add(w, i, "queues", NULL, queues, false, out);
		table_add(w, i, "streams", NULL, streams, false, out);
		table_add(w, i, "alarms", NULL, " id kind acknowledged ", false, out);
		table_add(w, i, "conflicts", NULL, NULL, false, out);
		table_add(w, i, "check", NULL, " check state ", false, out);
	}
}

/* ---- nothing operational changes --------------------------------------------------------------------------------------- */

static void run_to(struct world *w, int64_t us)
{
	assert_true(w->now.us <= us);
	world_run(w, us - w->now.us);
}

/* The same hour at five sites, with or without an exercise in it. */
static void hour(struct buf *out, bool exercise)
{
	struct world w;
	struct msgid id;

	world_init(&w, SITES, N, 21);
	assist_policy(w.node[LUIK].core, 3, 0, 0);
	run_to(&w, 5 * US_PER_S);
	send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, "routine", NULL);
	send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_PRIORITY, "read", NULL);
	run_to(&w, 10 * US_PER_S);
	if (exercise) {
		for (int i = 0; i < 6; i++)
			send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "drill", ALPHA);
		order_ok(&w, SPOC, "relocate", "cic-antwerpen", ALPHA);
		run_to(&w, 30 * US_PER_S);
		assert_string_equal(take(&w, ANTWERPEN, "cic-luik/dispatch", ALPHA, &id), "drill");
		assert_int_equal(world_handle(&w, ANTWERPEN, REQ_ACK, &id), ERR_OK);
		assert_string_equal(take(&w, ANTWERPEN, "cic-luik/dispatch", ALPHA, &id), "drill"); /* stays out at a desk */
	}
	run_to(&w, 60 * US_PER_S);
	assert_string_equal(take(&w, LUIK, "dispatch", NULL, &id), "read");
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
	send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "flash", NULL); /* nobody takes it: an alarm, with or without */
	run_to(&w, 300 * US_PER_S);
	if (exercise)
		order_ok(&w, SPOC, "handback", NULL, ALPHA);
	run_to(&w, 400 * US_PER_S);
	operational(&w, out);
	assert_true(world_alarm(&w, LUIK, "unattended"));
	if (exercise) {
		assert_int_equal(world_status(&w, ANTWERPEN, "exercise_accepted"), 6);
		assert_int_equal(world_status(&w, ANTWERPEN, "exercise_read"), 1);
		assert_int_equal(world_status(&w, LUIK, "exercise_handled_elsewhere"), 1);
		assert_true(world_status(&w, LUIK, "exercise_queued") >= 4);
	}
	world_release(&w);
}

static void a_drill_changes_nothing_operational(void **state)
{
	struct buf with = BUF_EMPTY, without = BUF_EMPTY;

	(void)state;
	hour(&without, false);
	hour(&with, true);
	if (!view_equal(buf_view(&with), buf_view(&without)))
		fail_msg("without:\n%.*s\nwith:\n%.*s", (int)without.len, (char *)without.ptr, (int)with.len, (char *)with.ptr);
	buf_release(&with);
	buf_release(&without);
}

/* ---- handed only to who asks ---------------------------------------------------------------------------------------------- */

static void two_exercises_and_the_rest_are_three(void **state)
{
	struct world w;
	struct msgid a, b, o, got;

	(void)state;
	world_init(&w, SITES, N, 22);
	a = send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "a", ALPHA);
	b = send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "b", BETA);
	o = send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, "o", NULL);
	world_run(&w, US_PER_S);
	assert_string_equal(take(&w, LUIK, "dispatch", "gamma", &got), "");
	assert_string_equal(take(&w, LUIK, "dispatch", BETA, &got), "b");
	assert_string_equal(take(&w, LUIK, "dispatch", BETA, &got), "");
	assert_string_equal(take(&w, LUIK, "dispatch", NULL, &got), "o");
	assert_string_equal(take(&w, LUIK, "dispatch", NULL, &got), "");
	assert_string_equal(take(&w, LUIK, "dispatch", ALPHA, &got), "a");
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &a), ERR_OK);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &b), ERR_OK);
	assert_int_equal(world_status(&w, LUIK, "read"), 0);
	assert_int_equal(world_status(&w, LUIK, "exercise_read"), 2);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &o), ERR_OK);
	assert_int_equal(world_status(&w, LUIK, "read"), 1);
	world_run(&w, US_PER_S);
	assert_int_equal(world_state(&w, ANTWERPEN, &a), STATE_READ);
	assert_int_equal(world_status(&w, ANTWERPEN, "receipts_read"), 1);
	world_release(&w);
}

/* Leuven is a standby and holds everything; Antwerpen is none, and gets what the exercise needs. */
static void a_successor_serves_the_exercise_only(void **state)
{
	struct world w;
	struct msgid op, got;

	(void)state;
	world_init(&w, SITES, N, 23);
	op = send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "op", NULL);
	send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "ex", ALPHA);
	send(&w, SPOC, "cic-luik/messages", PREC_FLASH, "ex too", ALPHA);
	world_run(&w, US_PER_S);
	order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant:dispatch", ALPHA);
	world_run(&w, US_PER_S);
	assert_string_equal(take(&w, LEUVEN, "cic-luik/dispatch", NULL, &got), "");
	assert_int_equal(world_handle(&w, LEUVEN, REQ_ACK, &op), ERR_NOT_FOUND);
	assert_int_equal(world_status(&w, LEUVEN, "queued"), 0);
	assert_string_equal(take(&w, LUIK, "dispatch", ALPHA, &got), "");
	assert_string_equal(take(&w, LEUVEN, "cic-luik/dispatch", ALPHA, &got), "ex");
	assert_string_equal(take(&w, LUIK, "dispatch", NULL, &got), "op");
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &got), ERR_OK);
	order_ok(&w, SPOC, "handback", NULL, ALPHA);
	order_ok(&w, SPOC, "relocate", "cic-antwerpen:messages", ALPHA);
	world_run(&w, 20 * US_PER_S);
	assert_string_equal(take(&w, ANTWERPEN, "cic-luik/messages", NULL, &got), "refused");
	assert_string_equal(take(&w, ANTWERPEN, "cic-luik/messages", ALPHA, &got), "ex too");
	world_release(&w);
}

static void an_operational_order_leaves_exercises_alone(void **state)
{
	struct world w;
	struct msgid got;

	(void)state;
	world_init(&w, SITES, N, 24);
	send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "op", NULL);
	send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "ex", ALPHA);
	world_run(&w, US_PER_S);
	order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant", NULL);
	world_run(&w, US_PER_S);
	assert_string_equal(take(&w, LEUVEN, "cic-luik/dispatch", ALPHA, &got), "");
	assert_string_equal(take(&w, LUIK, "dispatch", NULL, &got), "");
	assert_string_equal(take(&w, LUIK, "dispatch", ALPHA, &got), "ex");
	assert_string_equal(take(&w, LEUVEN, "cic-luik/dispatch", NULL, &got), "op");
	world_release(&w);
}

/* ---- marked everywhere ---------------------------------------------------------------------------------------------------- */

/* A message of an exercise that two sites handled while they could not hear each other, and know it now. */
static struct msgid handled_twice(struct world *w)
{
	struct msgid ex = send(w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "ex", ALPHA), got;

	world_run(w, US_PER_S);
	for (size_t i = 1; i < N; i++)
		world_link(w, LUIK, i, false);
	world_run(w, 30 * US_PER_S);
	order_ok(w, SPOC, "relocate", "cic-vlaams-brabant", ALPHA);
	world_run(w, US_PER_S);
	assert_string_equal(take(w, LUIK, "dispatch", ALPHA, &got), "ex");
	assert_string_equal(take(w, LEUVEN, "cic-luik/dispatch", ALPHA, &got), "ex");
	assert_int_equal(world_handle(w, LUIK, REQ_ACK, &ex), ERR_OK);
	assert_int_equal(world_handle(w, LEUVEN, REQ_ACK, &ex), ERR_OK);
	for (size_t i = 1; i < N; i++)
		world_link(w, LUIK, i, true);
	world_run(w, 30 * US_PER_S);
	return ex;
}

static void exercises_are_marked_in_every_table(void **state)
{
	struct world w;
	struct msgid ex;

	(void)state;
	world_init(&w, SITES, N, 25);
	ex = handled_twice(&w);
	assert_true(table_says(&w, LUIK, "conflicts", NULL, " exercise=yes"));
	assert_true(world_alarm(&w, LUIK, "exercise-conflict"));
	assert_false(world_alarm(&w, LUIK, "conflict"));
	assert_int_equal(world_status(&w, LUIK, "alarms"), 0);
	assert_int_equal(world_status(&w, LUIK, "exercise_alarms"), 1);
	assert_int_equal(world_status(&w, LUIK, "conflicts"), 0);
	assert_int_equal(world_status(&w, LUIK, "exercise_conflicts"), 1);
	assert_true(table_says(&w, LUIK, "orders", NULL, " exercise=" ALPHA));
	assert_true(table_says(&w, LUIK, "trace", &ex, " exercise=yes"));
	assert_true(table_says(&w, LUIK, "status", NULL, "relocated=cic-luik/dispatch by cic-vlaams-brabant, exercise " ALPHA));
	assert_true(table_says(&w, LEUVEN, "status", NULL, "serves=cic-luik/dispatch by cic-vlaams-brabant, exercise " ALPHA));
	send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "waits", ALPHA);
	world_run(&w, US_PER_S);
	assert_true(table_says(&w, LUIK, "queues", NULL, " waiting=1 leased=0 held=0 oldest_s=1 next_deadline_s=599 served_by=cic-vlaams-brabant exercise=yes") ||
		    table_says(&w, LUIK, "queues", NULL, " served_by=cic-vlaams-brabant exercise=yes"));
	assert_true(table_says(&w, LUIK, "queues", NULL, " served_by=cic-luik exercise=no"));
	/* The person who signs it off ends its alarm. */
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &ex), ERR_OK);
	assert_int_equal(world_status(&w, LUIK, "exercise_conflicts"), 0);
	assert_false(world_alarm(&w, LUIK, "exercise-conflict"));
	world_release(&w);
}

/* What is served here for others stands right behind this site's own queues, also while it is empty. */
static void queues_served_for_others_come_first(void **state)
{
	struct world w;
	struct buf b = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, N, 26);
	send(&w, ANTWERPEN, "cic-namen/dispatch", PREC_FLASH, "held for Namen", NULL);
	world_run(&w, US_PER_S);
	order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant:dispatch", NULL);
	world_run(&w, US_PER_S);
	table_add(&w, LEUVEN, "queues", NULL, " queue ", false, &b);
	buf_add_u8(&b, 0);
	const char *rows = (const char *)b.ptr, *own = strstr(rows, "=cic-vlaams-brabant/messages"), *served = strstr(rows, "=cic-luik/dispatch"),
		   *held = strstr(rows, "=cic-namen/dispatch");

	assert_non_null(own);
	assert_non_null(served);
	assert_true(own < served);
	assert_true(!held || served < held);
	assert_null(strstr(rows, "cic-luik/messages"));
	assert_true(table_says(&w, LUIK, "status", NULL, "relocated=cic-luik/dispatch by cic-vlaams-brabant serves="));
	buf_release(&b);
	world_release(&w);
}

/* ---- reports of the wrong kind ---------------------------------------------------------------------------------------------- */

/* A report of Luik about a message, as it came in a stream of exercises or in another. */
static void report(struct world *w, const struct msgid *id, bool exercise, uint8_t event)
{
	struct core *c = w->node[ANTWERPEN].core;
	struct effects out = EFFECTS_EMPTY;
	struct stream s = {.row.name = {.originator = w->number[LUIK], .addressee = w->number[ANTWERPEN], .exercise = exercise}};
	struct report_record r = {.event = event, .addressee = w->number[LUIK], .when = {1}, .by = view_str("x"), .ids = 1, .id_bytes = view_of(id->b, MSGID_BYTES)};
	struct buf records = BUF_EMPTY;
	struct envelope env = {.type = view_str("")};

	report_add(&records, &r);
	env.records = buf_view(&records);
	assert_int_equal(txn_begin(w->node[ANTWERPEN].store, true, &c->t), ERR_OK);
	c->out = &out;
	report_apply(c, &s, &env);
	assert_int_equal(txn_commit(c->t), ERR_OK);
	c->t = NULL;
	c->out = NULL;
	core_committed(c);
	effects_clear(&out);
	effects_release(&out);
	buf_release(&records);
}

static void a_report_of_the_wrong_kind_is_refused(void **state)
{
	struct world w;
	struct msgid id[2];

	(void)state;
	for (int exercise = 0; exercise < 2; exercise++) {
		world_init(&w, SITES, N, 27);
		id[0] = send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "m", exercise ? ALPHA : NULL);
		world_run(&w, US_PER_S);
		report(&w, &id[0], !exercise, EVENT_READ);
		assert_int_equal(world_state(&w, ANTWERPEN, &id[0]), STATE_DELIVERED);
		assert_true(world_alarm(&w, ANTWERPEN, "report"));
		report(&w, &id[0], exercise, EVENT_READ);
		assert_int_equal(world_state(&w, ANTWERPEN, &id[0]), STATE_READ);
		world_release(&w);
	}
}

/* Of a message that is still to come: what is said of it as of an exercise never counts for one that is none. */
static void a_claim_of_the_wrong_kind_falls(void **state)
{
	static const struct { bool first, second, flags; size_t left; } cases[] = {{true, false, false, 1}, {false, true, false, 1}, {true, true, true, 1}};
	struct msgid id = {{7}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct world w;
		struct txn *t;
		struct msg_row row;
		struct msg_event e;
		size_t n = 0;

		world_init(&w, SITES, N, 28);
		report(&w, &id, cases[i].first, EVENT_READ);
		report(&w, &id, cases[i].second, EVENT_READ);
		assert_int_equal(txn_begin(w.node[ANTWERPEN].store, false, &t), ERR_OK);
		assert_int_equal(store_msg_get(t, &id, w.number[LUIK], &row), ERR_OK);
		assert_int_equal(row.flags & HEADER_EXERCISE, cases[i].flags ? HEADER_EXERCISE : 0);
		for (struct view rest = row.events; events_next(&rest, &e);)
			n++;
		assert_int_equal(n, cases[i].left);
		txn_abort(t);
		world_release(&w);
	}
}

/* ---- two exercises at one site ------------------------------------------------------------------------------------------------ */

static void a_second_exercise_follows_the_first(void **state)
{
	struct world w;
	char text[512];

	(void)state;
	world_init(&w, SITES, N, 29);
	world_run(&w, US_PER_S);
	order_ok(&w, SPOC, "relocate", "cic-namen", ALPHA);
	assert_int_equal(order(&w, SPOC, "relocate", "cic-vlaams-brabant", BETA, text, sizeof text), ERR_REFUSED);
	assert_non_null(strstr(text, "in the exercise \"" ALPHA "\""));
	assert_non_null(strstr(text, "handback cic-luik --exercise " ALPHA));
	assert_int_equal(order(&w, SPOC, "handback", NULL, BETA, text, sizeof text), ERR_REFUSED);
	order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant", NULL); /* what is no exercise goes on beside it */
	order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant", ALPHA);
	order_ok(&w, SPOC, "handback", NULL, ALPHA);
	order_ok(&w, SPOC, "relocate", "cic-vlaams-brabant", BETA);
	world_release(&w);
}

/* ---- purged ------------------------------------------------------------------------------------------------------------------ */

struct purged { uint64_t purged, waiting, sealed, next; };

/* One step of a purge at a site. */
static struct purged purge_step(struct world *w, size_t i, const char *exercise, uint64_t from, bool dry)
{
	struct purged p = {.purged = UINT64_MAX};
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;
	uint32_t tag = ++w->tag;
	bool done = false;

	request_begin(&rw, &b, REQ_PURGE, tag);
	request_str(&rw, F_EXERCISE, exercise);
	request_u64(&rw, F_NUMBER, from);
	if (dry)
		request_u8(&rw, F_DRY, 1);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	for (int tries = 0; !done && tries < 100; tries++) {
		world_run(w, 10000);
		while (!done && world_reply(w, i, &r)) {
			if (r.tag != tag)
				continue;
			assert_int_not_equal(r.type, REPLY_ERROR);
			done = r.type == REPLY_DONE;
			uint64_t *members[] = {&p.purged, &p.waiting, &p.sealed, NULL, &p.next};
			struct request_item f;
			size_t n = 0;

			for (struct view rest = r.fields; r.type == REPLY_ROW && request_next(&rest, &f) == ERR_OK;)
				if (f.field == F_NUMBER && n++ < 5 && members[n - 1])
					*members[n - 1] = item_u64(&f);
		}
	}
	assert_true(done);
	return p;
}

static struct purged purge(struct world *w, size_t i, const char *exercise, bool dry)
{
	struct purged sum = {0}, p = {.next = 1};

	while (p.next) {
		p = purge_step(w, i, exercise, p.next, dry);
		sum.purged += p.purged;
		sum.waiting += p.waiting;
		sum.sealed += p.sealed;
	}
	return sum;
}

static void journal_is_whole(struct world *w, size_t i)
{
	struct verify_result r;

	assert_int_equal(verify_run(w->node[i].store, NULL, &r), ERR_OK);
	if (r.wrong)
		fail_msg("%s: %s", SITES[i], r.finding[0]);
}

static void mixed_traffic(struct world *w)
{
	static uint8_t large[200000];

	for (size_t i = 0; i < sizeof large; i++)
		large[i] = (uint8_t)(i * 2654435761u >> 13);
	struct send_options alpha = {.subject = "large", .exercise = ALPHA}, none = {.subject = "large"};

	send(w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "op", NULL);
	send(w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "a1", ALPHA);
	send(w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "a2", ALPHA);
	send(w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "", ALPHA);
	send(w, ANTWERPEN, "all-cic/dispatch", PREC_FLASH, "group", ALPHA);
	send(w, ANTWERPEN, "cic-luik/dispatch", PREC_FLASH, "b", BETA);
	assert_int_equal(world_send(w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, view_of(large, sizeof large), &alpha, NULL, NULL), ERR_OK);
	assert_int_equal(world_send(w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, view_of(large, sizeof large), &none, NULL, NULL), ERR_OK);
	world_run(w, 5 * US_PER_S);
}

static void a_purge_takes_one_exercise(void **state)
{
	struct world w;
	struct msgid got;
	struct purged p;
	struct buf before = BUF_EMPTY, after = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, N, 30);
	mixed_traffic(&w);
	assert_string_equal(take(&w, LUIK, "dispatch", ALPHA, &got), "a1");
	operational(&w, &before);
	p = purge(&w, LUIK, ALPHA, true);
	assert_int_equal(p.purged, 4 + 2); /* that to the group lies here twice: Luik is a standby of Namen */
	for (size_t i = 0; i < N; i++)
		assert_int_equal(purge(&w, i, ALPHA, false).sealed, 0);
	assert_int_equal(purge(&w, LUIK, ALPHA, false).purged, 0);
	operational(&w, &after);
	assert_true(view_equal(buf_view(&before), buf_view(&after)));
	assert_string_equal(take(&w, LUIK, "dispatch", ALPHA, NULL), "");
	assert_true(table_says(&w, LUIK, "trace", &got, " event=purged"));
	assert_int_equal(world_status(&w, LUIK, "exercise_queued"), 1);
	world_run(&w, 400 * US_PER_S); /* the lease that was out brings nothing back */
	assert_string_equal(take(&w, LUIK, "dispatch", ALPHA, NULL), "");
	assert_string_equal(take(&w, LUIK, "dispatch", BETA, NULL), "b");
	assert_string_equal(take(&w, LUIK, "dispatch", NULL, NULL), "op");
	for (size_t i = 0; i < N; i++)
		journal_is_whole(&w, i);
	/* Who lost its journal gets what is left, and waits for nothing. */
	world_crash(&w, NAMEN);
	world_lose_journal(&w, NAMEN);
	world_link(&w, NAMEN, ANTWERPEN, false); /* not from who wrote it */
	world_start(&w, NAMEN);
	world_run(&w, 120 * US_PER_S);
	assert_true(table_says(&w, NAMEN, "streams", NULL, " addressee=cic-luik precedence=flash exercise=yes head=6 "));
	assert_false(table_says(&w, NAMEN, "streams", NULL, " exercise=yes head=0"));
	assert_true(table_says(&w, NAMEN, "streams", NULL, " exercise=yes"));
	struct buf streams = BUF_EMPTY;

	table_add(&w, NAMEN, "streams", NULL, " not_whole ", true, &streams);
	assert_true(table_has(&streams, "not_whole=0"));
	for (char n = '1'; n <= '9'; n++)
		assert_false(table_has(&streams, (char[]){'w', 'h', 'o', 'l', 'e', '=', n, '\0'}));
	journal_is_whole(&w, NAMEN);
	buf_release(&streams);
	buf_release(&before);
	buf_release(&after);
	world_release(&w);
}

static void a_purge_goes_on_after_a_crash(void **state)
{
	struct world w;
	struct purged p;

	(void)state;
	world_init(&w, SITES, N, 31);
	for (int i = 0; i < 150; i++)
		send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, "a", ALPHA);
	world_run(&w, 2 * US_PER_S);
	p = purge_step(&w, LUIK, ALPHA, 1, false);
	assert_int_equal(p.purged, 128);
	assert_true(p.next > 1);
	world_crash(&w, LUIK);
	world_start(&w, LUIK);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(world_status(&w, LUIK, "exercise_queued"), 22);
	p = purge(&w, LUIK, ALPHA, false);
	assert_int_equal(p.purged, 22);
	assert_int_equal(p.waiting, 22);
	assert_int_equal(world_status(&w, LUIK, "exercise_queued"), 0);
	journal_is_whole(&w, LUIK);
	world_release(&w);
}

static void a_purge_takes_its_conflicts_along(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, N, 32);
	handled_twice(&w);
	assert_int_equal(world_status(&w, LUIK, "exercise_conflicts"), 1);
	assert_int_equal(purge(&w, LUIK, ALPHA, false).purged, 1);
	assert_int_equal(world_status(&w, LUIK, "exercise_conflicts"), 0);
	assert_false(world_alarm(&w, LUIK, "exercise-conflict"));
	assert_int_equal(world_status(&w, LEUVEN, "exercise_conflicts"), 1);
	journal_is_whole(&w, LUIK);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drill_changes_nothing_operational),
		cmocka_unit_test(two_exercises_and_the_rest_are_three),
		cmocka_unit_test(a_successor_serves_the_exercise_only),
		cmocka_unit_test(an_operational_order_leaves_exercises_alone),
		cmocka_unit_test(exercises_are_marked_in_every_table),
		cmocka_unit_test(queues_served_for_others_come_first),
		cmocka_unit_test(a_report_of_the_wrong_kind_is_refused),
		cmocka_unit_test(a_claim_of_the_wrong_kind_falls),
		cmocka_unit_test(a_second_exercise_follows_the_first),
		cmocka_unit_test(a_purge_takes_one_exercise),
		cmocka_unit_test(a_purge_goes_on_after_a_crash),
		cmocka_unit_test(a_purge_takes_its_conflicts_along),
	};

	return cmocka_run_group_tests_name("exercise", tests, NULL, NULL);
}
