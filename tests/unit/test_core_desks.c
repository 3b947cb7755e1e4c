/* What desks and senders are promised, beyond test_core.c: each test breaks one promise that a hostile reading found broken. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/asks.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-brussel"};
enum { LUIK, NAMEN, LEUVEN, BRUSSEL };

/* ---- desks and senders ----------------------------------------------------------------------------------------------------- */

static void too_long(int sig)
{
	static const char say[] = "a test does not end\n";

	(void)sig;
	(void)!write(2, say, sizeof say - 1);
	_exit(1);
}

/* Somebody waits for one exercise while another one fills the queue: the real messages go on. */
static void an_exercise_holds_up_nothing(void **state)
{
	struct world w;
	struct buf b = BUF_EMPTY;
	struct send_options drill = {.exercise = "storm-26"};

	(void)state;
	alarm(40);
	signal(SIGALRM, too_long);
	world_init(&w, SITES, 3, 97);
	for (int i = 0; i < 600; i++)
		assert_int_equal(world_send(&w, LUIK, "cic-luik/dispatch", PREC_ROUTINE, view_str("drill"), &drill, NULL, NULL), ERR_OK);
	ask_take_bytes(&b, "cic-luik/dispatch", 6000, 1, "fire-26");
	world_request(&w, LUIK, &b);
	world_run(&w, US_PER_S);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "real", NULL);
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "real", NULL);
	/* And what that exercise waits for comes, from behind all the others. */
	drill.exercise = "fire-26";
	assert_int_equal(world_send(&w, LUIK, "cic-luik/dispatch", PREC_ROUTINE, view_str("fire"), &drill, NULL, NULL), ERR_OK);
	world_run(&w, US_PER_S);
	assert_int_equal(ask_replies_of(&w, LUIK, REPLY_TAKEN), 1);
	alarm(0);
	buf_release(&b);
	world_release(&w);
}

static enum err count_orphan(void *arg, const struct body_row *row)
{
	(void)row;
	++*(unsigned *)arg;
	return ERR_OK;
}

static unsigned orphans_at(struct world *w, size_t i)
{
	struct txn *t;
	unsigned n = 0;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	assert_int_equal(store_body_each_orphan(t, count_orphan, &n), ERR_OK);
	txn_abort(t);
	return n;
}

/* A large body sent again under its key, and one that breaks off, leave nothing behind. */
static void an_upload_that_is_not_kept_leaves_nothing(void **state)
{
	struct world w;
	struct send_options key = {.key = "k"};
	struct event gone = {.type = EVENT_CLIENT_CLOSED};
	struct effects out = EFFECTS_EMPTY;
	struct buf b = BUF_EMPTY;
	struct request_writer rw;
	size_t len = 3 * LIMIT_CHUNK_BYTES;
	uint8_t *body = calloc(len, 1);
	bool dup = false;

	(void)state;
	assert_non_null(body);
	world_init(&w, SITES, 3, 98);
	for (int i = 0; i < 3; i++)
		assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, view_of(body, len), &key, NULL, &dup), ERR_OK);
	assert_true(dup);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(orphans_at(&w, NAMEN), 0);
	request_begin(&rw, &b, REQ_SUBMIT, 7000);
	request_str(&rw, F_TO, "cic-luik/dispatch");
	request_u64(&rw, F_BODY_BYTES, len);
	request_end(&rw);
	world_request(&w, NAMEN, &b);
	buf_clear(&b);
	request_begin(&rw, &b, REQ_CHUNK, 7000);
	request_field(&rw, F_BODY, view_of(body, LIMIT_CHUNK_BYTES));
	request_end(&rw);
	world_request(&w, NAMEN, &b);
	world_run(&w, US_PER_S);
	assert_int_equal(orphans_at(&w, NAMEN), 1);
	gone.u.client.client = WORLD_CLIENT;
	assert_int_equal(ask_apply(&w, NAMEN, &gone, 1, &out), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(orphans_at(&w, NAMEN), 0);
	effects_release(&out);
	buf_release(&b);
	free(body);
	world_release(&w);
}

/* One id of several is wrong: none is cancelled. */
static void a_cancel_is_not_half_done(void **state)
{
	struct world w;
	struct msgid id, none = {{1}};
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	(void)state;
	world_init(&w, SITES, 3, 99);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "one", &id);
	world_run(&w, US_PER_S);
	request_begin(&rw, &b, REQ_CANCEL, 8000);
	request_id(&rw, &id);
	request_id(&rw, &none);
	request_end(&rw);
	world_request(&w, NAMEN, &b);
	world_run(&w, US_PER_S);
	assert_int_equal(ask_replies_of(&w, NAMEN, REPLY_ERROR), 1);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	buf_release(&b);
	world_release(&w);
}

/* The quota on FLASH is a user's, not a connection's, and a refused batch does not use it up. */
static void the_quota_on_flash_is_a_users(void **state)
{
	struct world w;
	struct event open[2] = {{.type = EVENT_CLIENT_CLOSED}, {.type = EVENT_CLIENT_OPEN}};
	struct effects out = EFFECTS_EMPTY;

	(void)state;
	world_init(&w, SITES, 3, 100);
	open[0].u.client.client = open[1].u.client.client = WORLD_CLIENT;
	open[1].u.client.rights = (struct client_rights){.name = "gateway", .may_send = true, .flash_per_hour = 2};
	assert_int_equal(ask_apply(&w, NAMEN, open, 2, &out), ERR_OK);
	ask_fail_next(&w, NAMEN, ERR_FULL);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("refused"), NULL, NULL, NULL), ERR_FULL);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("one"), NULL, NULL, NULL), ERR_OK);
	assert_int_equal(ask_apply(&w, NAMEN, open, 2, &out), ERR_OK);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("two"), NULL, NULL, NULL), ERR_OK);
	assert_int_equal(ask_apply(&w, NAMEN, open, 2, &out), ERR_OK);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("three"), NULL, NULL, NULL), ERR_BUSY);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_IMMEDIATE, view_str("four"), NULL, NULL, NULL), ERR_OK);
	world_run(&w, 3601 * US_PER_S);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("five"), NULL, NULL, NULL), ERR_OK);
	effects_release(&out);
	world_release(&w);
}

/* A length without a body is no body of no bytes. */
static void a_body_is_as_long_as_said(void **state)
{
	struct world w;
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	(void)state;
	world_init(&w, SITES, 3, 101);
	for (int with = 0; with < 2; with++) {
		buf_clear(&b);
		request_begin(&rw, &b, REQ_SUBMIT, 8000);
		request_str(&rw, F_TO, "cic-luik/dispatch");
		request_u64(&rw, F_BODY_BYTES, 100);
		if (with)
			request_field(&rw, F_BODY, view_str("short"));
		request_end(&rw);
		world_request(&w, NAMEN, &b);
		world_run(&w, US_PER_S);
		assert_int_equal(ask_replies_of(&w, NAMEN, REPLY_ACCEPTED), 0);
	}
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, view_of(NULL, 0), NULL, NULL, NULL), ERR_OK);
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "", NULL);
	buf_release(&b);
	world_release(&w);
}

/* The acknowledgement was lost; the digest of the next connection says it too. */
static void who_waits_hears_it_from_a_digest(void **state)
{
	struct world w;
	struct msgid id;
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	(void)state;
	world_init(&w, SITES, 3, 102);
	world_crash(&w, LUIK);
	world_run(&w, US_PER_S);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "before", &id);
	world_run(&w, US_PER_S);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "one", &id);
	world_link(&w, NAMEN, LEUVEN, false); /* the segment is on its way, no answer comes back */
	request_begin(&rw, &b, REQ_WAIT, 8100);
	request_id(&rw, &id);
	request_u8(&rw, F_STATE, STATE_HELD_BY_STANDBY);
	request_end(&rw);
	world_request(&w, NAMEN, &b);
	world_run(&w, US_PER_S);
	assert_int_equal(ask_replies_of(&w, NAMEN, REPLY_STATE), 0);
	world_link(&w, NAMEN, LEUVEN, true);
	world_run(&w, 10 * US_PER_S);
	assert_int_equal(ask_replies_of(&w, NAMEN, REPLY_STATE), 1);
	buf_release(&b);
	world_release(&w);
}

/* A FLASH whose body travels apart does not wait for the bodies of bulk. */
static void a_flash_body_goes_first(void **state)
{
	struct world w;
	size_t len = 20 * LIMIT_CHUNK_BYTES;
	uint8_t *body = malloc(len);
	struct msgid flash;
	uint32_t x = 1;

	(void)state;
	assert_non_null(body);
	for (size_t i = 0; i < len; i++, x = x * 1664525u + 1013904223u)
		body[i] = (uint8_t)(x >> 24); /* nothing that packs */
	world_init(&w, SITES, 2, 103);
	w.rate_bps = 20000000;
	world_link(&w, NAMEN, LUIK, false);
	world_run(&w, US_PER_S);
	for (int i = 0; i < 8; i++)
		assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, view_of(body, len), NULL, NULL, NULL), ERR_OK);
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 200000);
	assert_int_equal(world_status(&w, LUIK, "delivered"), 0);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_FLASH, view_of(body, 3 * LIMIT_CHUNK_BYTES), NULL, &flash, NULL), ERR_OK);
	while (world_status(&w, LUIK, "delivered") < 1)
		world_run(&w, 1000);
	world_run(&w, 100000);
	assert_int_equal(world_state(&w, NAMEN, &flash), STATE_DELIVERED);
	free(body);
	world_release(&w);
}

/* One client cannot fill the node with requests that wait. */
static void a_client_has_so_much_open(void **state)
{
	struct world w;
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	(void)state;
	world_init(&w, SITES, 3, 106);
	for (uint32_t i = 0; i < LIMIT_CLIENT_TAKES + LIMIT_CLIENT_UPLOADS + 2; i++) {
		bool take = i <= LIMIT_CLIENT_TAKES;

		buf_clear(&b);
		if (take) {
			ask_take_bytes(&b, "cic-luik/dispatch", 9000 + i, 1, NULL);
		} else {
			request_begin(&rw, &b, REQ_SUBMIT, 9000 + i);
			request_str(&rw, F_TO, "cic-namen/dispatch");
			request_u64(&rw, F_BODY_BYTES, LIMIT_BODY_BYTES);
			request_end(&rw);
		}
		world_request(&w, LUIK, &b);
		world_run(&w, 10);
	}
	assert_int_equal(ask_replies_of(&w, LUIK, REPLY_ERROR), 2);
	buf_release(&b);
	world_release(&w);
}

/* Takes whatever came meanwhile: how many; the ids are added to those at `had`. */
static size_t taken_now(struct world *w, size_t i, struct msgid *id, size_t had)
{
	struct request r;
	size_t n = had;

	world_run(w, US_PER_S);
	while (world_reply(w, i, &r))
		if (r.type == REPLY_TAKEN)
			memcpy(id[n++].b, reply_field(&r, F_ID).ptr, MSGID_BYTES);
	return n - had;
}

static void say_read(struct world *w, size_t i, const struct msgid *id)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_ACK, 1);
	request_id(&rw, id);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
}

/* A desk that asks for all and acknowledges nothing has so much of a precedence out at a time; what is more urgent comes past that, and what is
 * less urgent does not. Each one that it is done with lets another one come, and so do those that come back when their leases end. */
static void desks_have_so_much_at_a_time(void **state)
{
	struct world w;
	struct msgid id[64];
	struct buf b = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, 2, 107);
	world_crash(&w, LUIK);
	w.node[LUIK].leases_most = 4;
	world_start(&w, LUIK);
	world_run(&w, 5 * US_PER_S);
	for (int i = 0; i < 10; i++)
		ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_PRIORITY, "bulk", NULL);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "last", NULL);
	world_run(&w, 5 * US_PER_S);
	ask_take_bytes(&b, "cic-luik/dispatch", 6000, 1000, NULL);
	world_request(&w, LUIK, &b);
	assert_int_equal(taken_now(&w, LUIK, id, 0), 4);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "fire", NULL);
	assert_int_equal(taken_now(&w, LUIK, id, 4), 1);
	say_read(&w, LUIK, &id[4]);
	assert_int_equal(taken_now(&w, LUIK, id, 4), 0);
	say_read(&w, LUIK, &id[0]);
	say_read(&w, LUIK, &id[1]);
	assert_int_equal(taken_now(&w, LUIK, id, 4), 2);
	/* Three desks are as one. */
	buf_clear(&b);
	ask_take_bytes(&b, "cic-luik/dispatch", 6001, 1000, NULL);
	world_request(&w, LUIK, &b);
	assert_int_equal(taken_now(&w, LUIK, id, 6), 0);
	world_run(&w, 301 * US_PER_S);
	assert_int_equal(taken_now(&w, LUIK, id, 6), 4); /* the same ones again */
	for (size_t at = 6, n = 4; at < 15; at += n, n = taken_now(&w, LUIK, id, at))
		for (size_t i = at; i < at + n; i++)
			say_read(&w, LUIK, &id[i]);
	assert_int_equal(world_status(&w, LUIK, "queued"), 0);
	buf_release(&b);
	world_release(&w);
}

/* Where bulk is refused for want of room, receipts of bulk still come. */
static void receipts_come_when_room_is_short(void **state)
{
	struct world w;
	struct msgid id, last = {{0}};
	struct store_options small = {.quota_bytes = 600 * 1024};
	uint8_t body[20000];
	enum err e = ERR_OK;

	(void)state;
	world_init(&w, SITES, 3, 105);
	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (uint8_t)world_random(&w, 256);
	struct store_birth birth = *store_birth(w.node[NAMEN].store);

	world_crash(&w, NAMEN);
	store_close(w.node[NAMEN].store);
	assert_int_equal(store_open_memory(&birth, &small, NULL, NULL, &w.node[NAMEN].store), ERR_OK);
	world_start(&w, NAMEN);
	world_run(&w, US_PER_S);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "receipt please", &id);
	for (int i = 0; i < 60 && !e; i++)
		e = world_send(&w, NAMEN, "cic-luik/messages", PREC_FLASH, view_of(body, sizeof body), NULL, &last, NULL);
	assert_int_equal(e, ERR_BUSY); /* 97 % */
	world_run(&w, 3 * US_PER_S);
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "receipt please", NULL);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
	world_run(&w, 3 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_READ);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exercise_holds_up_nothing),
		cmocka_unit_test(an_upload_that_is_not_kept_leaves_nothing),
		cmocka_unit_test(a_cancel_is_not_half_done),
		cmocka_unit_test(the_quota_on_flash_is_a_users),
		cmocka_unit_test(a_body_is_as_long_as_said),
		cmocka_unit_test(who_waits_hears_it_from_a_digest),
		cmocka_unit_test(a_flash_body_goes_first),
		cmocka_unit_test(a_client_has_so_much_open),
		cmocka_unit_test(desks_have_so_much_at_a_time),
		cmocka_unit_test(receipts_come_when_room_is_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
