/* The core of several sites in one process, in virtual time: what is promised, whatever is lost on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-brussel"};
enum { LUIK, NAMEN, LEUVEN, BRUSSEL, N_SITES };

static struct view text(const char *s) { return view_str(s); }

static void send_ok(struct world *w, size_t i, const char *to, enum precedence p, const char *body, struct msgid *id)
{
	struct send_options o = {.subject = body};

	assert_int_equal(world_send(w, i, to, p, text(body), &o, id, NULL), ERR_OK);
}

static void take_is(struct world *w, size_t i, const char *queue, const char *body, struct taken *t)
{
	struct taken own = {.body = BUF_EMPTY};
	struct taken *x = t ? t : &own;

	if (!world_take_one(w, i, queue, 2 * US_PER_S, x))
		fail_msg("nothing in %s, expected \"%s\"", queue, body);
	if (!view_equal(buf_view(&x->body), text(body)))
		fail_msg("%s: got \"%.*s\", expected \"%s\"", queue, (int)x->body.len, (char *)x->body.ptr, body);
	buf_release(&own.body);
}

static void one_message(void **state)
{
	struct world w;
	struct msgid id;
	struct taken t = {.body = BUF_EMPTY};

	(void)state;
	world_init(&w, SITES, 3, 1);
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "water in the cellar", &id);
	world_run(&w, US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	take_is(&w, LUIK, "cic-luik/dispatch", "water in the cellar", &t);
	assert_true(msgid_equal(&t.id, &id));
	assert_string_equal(t.from, "cic-namen");
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &t.id), ERR_OK);
	world_run(&w, US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_READ);
	assert_false(world_take_one(&w, LUIK, "cic-luik/dispatch", US_PER_S, NULL));
	buf_release(&t.body);
	world_release(&w);
}

static void the_real_suite(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, 3, 2);
	for (size_t i = 0; i < w.n; i++)
		world_crash(&w, i);
	w.suite = &crypt_suite_real;
	for (size_t i = 0; i < w.n; i++)
		world_start(&w, i);
	world_run(&w, US_PER_S);
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "signed and sealed", &id);
	take_is(&w, LUIK, "cic-luik/dispatch", "signed and sealed", NULL);
	world_release(&w);
}

static void precedence_then_age(void **state)
{
	struct world w;
	static const enum precedence order[] = {PREC_ROUTINE, PREC_FLASH, PREC_PRIORITY, PREC_IMMEDIATE, PREC_FLASH};
	static const char *const bodies[] = {"routine", "flash one", "priority", "immediate", "flash two"};

	(void)state;
	world_init(&w, SITES, 3, 3);
	for (size_t i = 0; i < 5; i++)
		send_ok(&w, NAMEN, "cic-luik/messages", order[i], bodies[i], NULL);
	world_run(&w, US_PER_S);
	take_is(&w, LUIK, "cic-luik/messages", "flash one", NULL);
	take_is(&w, LUIK, "cic-luik/messages", "flash two", NULL);
	take_is(&w, LUIK, "cic-luik/messages", "immediate", NULL);
	take_is(&w, LUIK, "cic-luik/messages", "priority", NULL);
	take_is(&w, LUIK, "cic-luik/messages", "routine", NULL);
	world_release(&w);
}

static void idempotency(void **state)
{
	struct world w;
	struct send_options key = {.key = "gateway-77"};
	struct msgid first, again;
	bool dup = true;

	(void)state;
	world_init(&w, SITES, 3, 4);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, text("one"), &key, &first, &dup), ERR_OK);
	assert_false(dup);
	world_run(&w, 3 * US_PER_DAY);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, text("one"), &key, &again, &dup), ERR_OK);
	assert_true(dup);
	assert_true(msgid_equal(&first, &again));
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, text("another"), &key, &again, &dup), ERR_REFUSED);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, text("one"), &key, &again, &dup), ERR_REFUSED);
	world_crash(&w, NAMEN);
	world_start(&w, NAMEN);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, text("one"), &key, &again, &dup), ERR_OK);
	assert_true(dup);
	take_is(&w, LUIK, "cic-luik/dispatch", "one", NULL);
	assert_false(world_take_one(&w, LUIK, "cic-luik/dispatch", US_PER_S, NULL));
	world_release(&w);
}

static void a_lease_ends(void **state)
{
	struct world w;
	struct taken t = {.body = BUF_EMPTY};

	(void)state;
	world_init(&w, SITES, 3, 5);
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "older", NULL);
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "newer", NULL);
	world_run(&w, US_PER_S);
	take_is(&w, LUIK, "cic-luik/dispatch", "older", &t);
	assert_string_equal(t.perhaps_seen, "");
	world_run(&w, 299 * US_PER_S);
	take_is(&w, LUIK, "cic-luik/dispatch", "newer", NULL);
	world_run(&w, 2 * US_PER_S);
	take_is(&w, LUIK, "cic-luik/dispatch", "older", &t);
	assert_string_equal(t.perhaps_seen, "cic-luik by desk");
	/* Given back, not timed out: it comes again, and an extension keeps it away longer than its lease. */
	assert_int_equal(world_handle(&w, LUIK, REQ_RETURN, &t.id), ERR_OK);
	take_is(&w, LUIK, "cic-luik/dispatch", "older", &t);
	world_run(&w, 200 * US_PER_S);
	assert_int_equal(world_handle(&w, LUIK, REQ_EXTEND, &t.id), ERR_OK);
	world_run(&w, 200 * US_PER_S);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &t.id), ERR_OK);
	world_run(&w, 400 * US_PER_S);
	take_is(&w, LUIK, "cic-luik/dispatch", "newer", &t);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &t.id), ERR_OK);
	assert_int_equal(world_status(&w, LUIK, "queued"), 0);
	buf_release(&t.body);
	world_release(&w);
}

static void refuse_cancel_expire(void **state)
{
	struct world w;
	struct msgid refused, cancelled, expired;
	struct send_options soon;
	struct taken t = {.body = BUF_EMPTY};

	(void)state;
	world_init(&w, SITES, 3, 6);
	soon = (struct send_options){.expires_us = world_wall(&w, 0).us + 60 * US_PER_S};
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "refuse me", &refused);
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "cancel me", &cancelled);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, text("too late"), &soon, &expired, NULL), ERR_OK);
	world_run(&w, US_PER_S);
	take_is(&w, LUIK, "cic-luik/dispatch", "refuse me", &t);
	assert_int_equal(world_handle(&w, LUIK, REQ_REFUSE, &t.id), ERR_OK);
	assert_int_equal(world_handle(&w, NAMEN, REQ_CANCEL, &cancelled), ERR_OK);
	world_run(&w, 70 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &refused), STATE_REFUSED);
	assert_int_equal(world_state(&w, NAMEN, &cancelled), STATE_CANCELLED);
	assert_int_equal(world_state(&w, NAMEN, &expired), STATE_EXPIRED);
	assert_false(world_take_one(&w, LUIK, "cic-luik/dispatch", US_PER_S, NULL));
	soon.expires_us = world_wall(&w, 0).us - 1;
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, text("past"), &soon, NULL, NULL), ERR_EXPIRED);
	assert_int_equal(world_handle(&w, NAMEN, REQ_CANCEL, &cancelled), ERR_NOT_FOUND);
	buf_release(&t.body);
	world_release(&w);
}

static void groups_and_areas(void **state)
{
	struct world w;
	struct msgid id;
	struct taken t = {.body = BUF_EMPTY};

	(void)state;
	world_init(&w, SITES, 4, 7);
	send_ok(&w, NAMEN, "all-cic/messages", PREC_PRIORITY, "to all", &id);
	send_ok(&w, NAMEN, "eupen/dispatch", PREC_PRIORITY, "to eupen", NULL);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	static const size_t others[] = {LUIK, LEUVEN, BRUSSEL};
	for (size_t i = 0; i < 3; i++) {
		char queue[80];

		snprintf(queue, sizeof queue, "%s/messages", SITES[others[i]]);
		take_is(&w, others[i], queue, "to all", &t);
		assert_true(msgid_equal(&t.id, &id));
		assert_int_equal(world_handle(&w, others[i], REQ_ACK, &t.id), ERR_OK);
		world_run(&w, US_PER_S);
		assert_int_equal(world_state(&w, NAMEN, &id), i < 2 ? STATE_DELIVERED : STATE_READ);
	}
	take_is(&w, LUIK, "eupen/dispatch", "to eupen", NULL);
	assert_int_equal(world_send(&w, NAMEN, "cic-nergens/dispatch", PREC_FLASH, text("x"), NULL, NULL, NULL), ERR_UNKNOWN_SITE);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/nergens", PREC_FLASH, text("x"), NULL, NULL, NULL), ERR_UNKNOWN_QUEUE);
	buf_release(&t.body);
	world_release(&w);
}

static bool next_of(struct world *w, size_t i, uint8_t type, struct request *r)
{
	while (world_reply(w, i, r))
		if (r->type == type)
			return true;
	return false;
}

/* What a sender says beside the text is the same for every member. */
static void all_of_a_group_get_the_same(void **state)
{
	static const struct { uint8_t field; const char *value; } said[] = {{F_TYPE, "text/html"}, {F_LANG, "fr"}, {F_CHANNEL, "sms"}, {F_SUBJECT, "pont"}};
	struct buf b = BUF_EMPTY;
	struct request_writer rw;
	struct request r;
	struct world w;

	(void)state;
	world_init(&w, SITES, 4, 7);
	request_begin(&rw, &b, REQ_SUBMIT, 1000);
	request_str(&rw, F_TO, "all-cic/messages");
	request_u8(&rw, F_PRECEDENCE, PREC_PRIORITY);
	for (size_t i = 0; i < sizeof said / sizeof *said; i++)
		request_str(&rw, said[i].field, said[i].value);
	request_str(&rw, F_BODY, "ferme");
	request_end(&rw);
	world_request(&w, NAMEN, &b);
	buf_release(&b);
	world_run(&w, 2 * US_PER_S);
	assert_true(next_of(&w, NAMEN, REPLY_ACCEPTED, &r));
	for (size_t i = 0; i < N_SITES; i++) {
		char queue[80];

		if (i == NAMEN)
			continue;
		snprintf(queue, sizeof queue, "%s/messages", SITES[i]);
		world_take(&w, i, queue, 1, w.lease_us);
		world_run(&w, US_PER_S);
		assert_true(next_of(&w, i, REPLY_TAKEN, &r));
		for (size_t k = 0; k < sizeof said / sizeof *said; k++)
			assert_true(view_equal(reply_field(&r, said[k].field), text(said[k].value)));
	}
	world_release(&w);
}

/* A standby holds the stream and says so apart from the addressee. */
static void held_by_standby_only(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, 3, 8);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, LEUVEN, LUIK, false);
	world_run(&w, US_PER_S);
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "is anybody there", &id);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_HELD_BY_STANDBY);
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	world_release(&w);
}

/* The originator cannot reach the addressee, a standby can: whoever holds it gives it. */
static void a_standby_helps(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 3, 9);
	world_link(&w, NAMEN, LUIK, false);
	world_run(&w, US_PER_S);
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "by way of Leuven", NULL);
	world_run(&w, 30 * US_PER_S);
	take_is(&w, LUIK, "cic-luik/dispatch", "by way of Leuven", NULL);
	world_release(&w);
}

/* Many entries of one commit, handed on by a standby: every run is under a signature near by, and none goes back to the
 * site that wrote it. */
static void a_burst_by_a_standby(void **state)
{
	struct world w;
	struct taken t = {.body = BUF_EMPTY};
	struct buf b = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, 3, 10);
	world_link(&w, NAMEN, LUIK, false);
	world_run(&w, US_PER_S);
	for (int i = 0; i < 300; i++) {
		struct request_writer rw;

		buf_clear(&b);
		request_begin(&rw, &b, REQ_SUBMIT, 5000 + (uint32_t)i);
		request_str(&rw, F_TO, "cic-luik/dispatch");
		request_field(&rw, F_BODY, view_of(&i, sizeof i));
		request_end(&rw);
		world_request(&w, NAMEN, &b);
	}
	world_run(&w, 20 * US_PER_S);
	uint64_t bytes = w.frame_bytes;

	assert_true(bytes < 3 * 300 * 700);
	for (int i = 0; i < 300; i++) {
		assert_true(world_take_one(&w, LUIK, "cic-luik/dispatch", US_PER_S, &t));
		assert_memory_equal(t.body.ptr, &i, sizeof i);
		assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &t.id), ERR_OK);
	}
	buf_release(&b);
	buf_release(&t.body);
	world_release(&w);
}

/* Lost frames, reordered frames, restarts of either side: everything arrives, each once. */
static void a_bad_network(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct world w;
		bool seen[120] = {false};
		struct taken t = {.body = BUF_EMPTY};
		int sent = 0, got = 0;

		world_init(&w, SITES, 3, 100 + seed);
		w.loss_percent = 30;
		w.jitter_us = 40000;
		for (int round = 0; round < 40; round++) {
			for (int k = 0; k < 3; k++) {
				char body[16];

				snprintf(body, sizeof body, "%d", sent);
				send_ok(&w, NAMEN, "cic-luik/dispatch", (enum precedence)world_random(&w, 4), body, NULL);
				sent++;
			}
			world_run(&w, (int64_t)world_random(&w, 400000));
			if (world_random(&w, 6) == 0) {
				size_t i = world_random(&w, 3);

				world_crash(&w, i);
				world_run(&w, (int64_t)world_random(&w, US_PER_S));
				world_start(&w, i);
				world_run(&w, 1000);
			}
		}
		w.loss_percent = 0;
		world_run(&w, 60 * US_PER_S);
		while (world_take_one(&w, LUIK, "cic-luik/dispatch", US_PER_S, &t)) {
			char body[16] = "";
			int x;

			view_to_str(buf_view(&t.body), body, sizeof body);
			x = atoi(body);
			assert_true(x >= 0 && x < sent);
			if (seen[x])
				fail_msg("seed %llu: message %d twice", (unsigned long long)seed, x);
			seen[x] = true;
			got++;
			assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &t.id), ERR_OK);
		}
		if (got != sent)
			fail_msg("seed %llu: %d of %d arrived", (unsigned long long)seed, got, sent);
		world_run(&w, 5 * US_PER_S);
		assert_int_equal(world_status(&w, NAMEN, "receipts_read"), sent);
		buf_release(&t.body);
		world_release(&w);
	}
}

/* One whole exchange, with the Nth commit of one node failing, for every N: nothing promised is lost, nothing comes twice. */
static void failed_commit(size_t who, enum err with)
{
	for (uint64_t n = 1;; n++) {
		struct world w;
		struct msgid id = {{0}};
		struct taken t = {.body = BUF_EMPTY};
		struct send_options key = {.key = "k"};
		int got = 0;

		world_init(&w, SITES, 3, 40);
		w.node[who].commits = 0;
		w.node[who].fail_at = n;
		w.node[who].fail_with = with;
		/* A client that keeps trying, as one does that was told nothing. */
		for (int tries = 0; tries < 5; tries++) {
			if (!w.node[NAMEN].up)
				world_start(&w, NAMEN);
			if (world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, text("once"), &key, &id, NULL) == ERR_OK)
				break;
		}
		for (int tries = 0; tries < 8; tries++) {
			if (!w.node[LUIK].up)
				world_start(&w, LUIK);
			if (!w.node[NAMEN].up)
				world_start(&w, NAMEN);
			if (!world_take_one(&w, LUIK, "cic-luik/dispatch", 4 * US_PER_S, &t))
				continue;
			assert_true(msgid_equal(&t.id, &id));
			if (w.node[LUIK].up && world_handle(&w, LUIK, REQ_ACK, &t.id) == ERR_OK)
				got++;
		}
		world_run(&w, 310 * US_PER_S);
		for (size_t i = 0; i < 2; i++)
			if (!w.node[i].up)
				world_start(&w, i);
		world_run(&w, 10 * US_PER_S);
		while (world_take_one(&w, LUIK, "cic-luik/dispatch", 2 * US_PER_S, &t))
			if (world_handle(&w, LUIK, REQ_ACK, &t.id) == ERR_OK)
				got++;
		world_run(&w, 5 * US_PER_S);
		bool reached = w.node[who].commits >= n;
		/* An acknowledgement whose answer was lost with a dead process may have counted. */
		enum wait_state s = world_state(&w, NAMEN, &id);

		if (s != STATE_READ || got > 1)
			fail_msg("commit %llu of site %zu failed: state %s, handed out and acknowledged %d times", (unsigned long long)n, who, wait_state_name(s), got);
		buf_release(&t.body);
		world_release(&w);
		if (!reached || n > 60)
			return;
	}
}

static void failed_commits(void **state)
{
	(void)state;
	failed_commit(NAMEN, ERR_FULL);
	failed_commit(LUIK, ERR_FULL);
	failed_commit(NAMEN, ERR_SYNC);
	failed_commit(LUIK, ERR_SYNC);
}

static void a_large_body(void **state)
{
	struct world w;
	struct msgid id;
	size_t len = 700000;
	uint8_t *body = malloc(len);
	struct taken t = {.body = BUF_EMPTY};

	(void)state;
	assert_non_null(body);
	world_init(&w, SITES, 3, 11);
	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t)world_random(&w, 256);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_PRIORITY, view_of(body, len), NULL, &id, NULL), ERR_OK);
	w.loss_percent = 20;
	world_run(&w, 10 * US_PER_S);
	world_crash(&w, LUIK);
	world_run(&w, US_PER_S);
	world_start(&w, LUIK);
	world_run(&w, 60 * US_PER_S);
	w.loss_percent = 0;
	world_run(&w, 30 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	assert_true(world_take_one(&w, LUIK, "cic-luik/messages", US_PER_S, &t));
	assert_true(t.chunked);
	size_t at = 0;
	for (uint32_t index = 0; at < len; index++) {
		struct buf b = BUF_EMPTY;
		struct request_writer rw;
		struct request r;

		request_begin(&rw, &b, REQ_READ, 9000 + index);
		request_id(&rw, &id);
		request_u32(&rw, F_INDEX, index);
		request_end(&rw);
		world_request(&w, LUIK, &b);
		buf_release(&b);
		world_run(&w, 10000);
		do
			assert_true(world_reply(&w, LUIK, &r));
		while (r.tag != 9000 + index);
		assert_int_equal(r.type, REPLY_BODY);
		struct view piece = reply_field(&r, F_BODY);

		assert_true(piece.len && at + piece.len <= len);
		assert_memory_equal(piece.ptr, body + at, piece.len);
		at += piece.len;
		assert_int_equal(reply_field(&r, F_LAST).ptr[0], at == len);
	}
	buf_release(&t.body);
	free(body);
	world_release(&w);
}

/* The journal of Luik is gone, its keys are not: it gets everything again, and hands out only what was not read. */
static void an_emptied_journal(void **state)
{
	struct world w;
	struct taken t = {.body = BUF_EMPTY};
	struct msgid sent;

	(void)state;
	world_init(&w, SITES, 3, 12);
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "read before", NULL);
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "not read", NULL);
	send_ok(&w, LEUVEN, "all-cic/messages", PREC_ROUTINE, "for the group", NULL);
	struct send_options key = {.key = "gateway-1"};
	struct msgid again;
	bool dup = false;

	assert_int_equal(world_send(&w, LUIK, "cic-namen/messages", PREC_ROUTINE, text("from Luik"), &key, &sent, NULL), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	take_is(&w, LUIK, "cic-luik/dispatch", "read before", &t);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &t.id), ERR_OK);
	world_run(&w, 5 * US_PER_S);
	world_crash(&w, LUIK);
	world_lose_journal(&w, LUIK);
	/* With its standbys out of reach it hands out nothing, whatever came. */
	world_link(&w, LUIK, LEUVEN, false);
	world_start(&w, LUIK);
	world_run(&w, 20 * US_PER_S);
	assert_false(world_take_one(&w, LUIK, "cic-luik/dispatch", US_PER_S, NULL));
	assert_true(world_alarm(&w, LUIK, "recovering"));
	assert_true(world_alarm(&w, NAMEN, "loss"));
	world_link(&w, LUIK, LEUVEN, true);
	world_run(&w, 20 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "recovering"));
	take_is(&w, LUIK, "cic-luik/dispatch", "not read", &t);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &t.id), ERR_OK);
	assert_false(world_take_one(&w, LUIK, "cic-luik/dispatch", US_PER_S, NULL));
	take_is(&w, LUIK, "cic-luik/messages", "for the group", NULL);
	/* Its own past is back too: what it sent, under which key, and what became of it. */
	assert_int_equal(world_send(&w, LUIK, "cic-namen/messages", PREC_ROUTINE, text("from Luik"), &key, &again, &dup), ERR_OK);
	assert_true(dup && msgid_equal(&again, &sent));
	take_is(&w, NAMEN, "cic-namen/messages", "for the group", NULL);
	take_is(&w, NAMEN, "cic-namen/messages", "from Luik", &t);
	assert_int_equal(world_handle(&w, NAMEN, REQ_ACK, &t.id), ERR_OK);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(world_state(&w, LUIK, &sent), STATE_READ);
	buf_release(&t.body);
	world_release(&w);
}

static void alarms_before_the_breach(void **state)
{
	struct world w;
	struct taken t = {.body = BUF_EMPTY};

	(void)state;
	world_init(&w, SITES, 3, 13);
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "ten minutes", NULL);
	world_run(&w, 20 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "unattended"));
	world_run(&w, 20 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "unattended"));
	take_is(&w, LUIK, "cic-luik/dispatch", "ten minutes", &t);
	world_run(&w, 2 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "unattended"));
	world_run(&w, 400 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "deadline"));
	world_run(&w, 50 * US_PER_S); /* 480 s of 600: before the breach */
	assert_true(world_alarm(&w, LUIK, "deadline"));
	take_is(&w, LUIK, "cic-luik/dispatch", "ten minutes", &t);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &t.id), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "deadline"));
	buf_release(&t.body);
	world_release(&w);
}

static void clocks(void **state)
{
	struct world w;
	struct msgid id;
	struct send_options soon;

	(void)state;
	world_init(&w, SITES, 3, 14);
	world_crash(&w, LUIK);
	w.node[LUIK].clock_offset_us = 40 * US_PER_S;
	world_start(&w, LUIK);
	world_run(&w, 10 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "clock-skew"));
	assert_true(world_alarm(&w, NAMEN, "clock-skew"));
	/* A clock behind the last commit expires nothing. */
	soon = (struct send_options){.expires_us = world_wall(&w, NAMEN).us + 300 * US_PER_S};
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, text("x"), &soon, &id, NULL), ERR_OK);
	world_run(&w, US_PER_S);
	world_crash(&w, LUIK);
	w.node[LUIK].clock_offset_us = -3600 * US_PER_S;
	world_start(&w, LUIK);
	assert_int_equal(world_status(&w, LUIK, "clock_unsure"), 1);
	assert_true(world_alarm(&w, LUIK, "clock"));
	w.node[LUIK].clock_offset_us = 0;
	world_run(&w, 10 * US_PER_S);
	assert_int_equal(world_status(&w, LUIK, "clock_unsure"), 0);
	world_release(&w);
}

static void exercise_apart(void **state)
{
	struct world w;
	struct send_options drill = {.exercise = "storm-26"};

	(void)state;
	world_init(&w, SITES, 3, 15);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, text("drill"), &drill, NULL, NULL), ERR_OK);
	world_run(&w, US_PER_S);
	assert_false(world_take_one(&w, LUIK, "cic-luik/dispatch", US_PER_S, NULL));
	assert_int_equal(world_status(&w, LUIK, "queued"), 0);
	assert_int_equal(world_status(&w, NAMEN, "accepted"), 0);
	assert_int_equal(world_status(&w, NAMEN, "exercise_accepted"), 1);
	assert_int_equal(world_status(&w, LUIK, "delivered"), 0);
	assert_int_equal(world_status(&w, LUIK, "exercise_delivered"), 1);
	world_release(&w);
}

/* Links are quiet when nothing is due, and frontiers are not sent again and again. */
static void quiet_when_idle(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, 3, 16);
	send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "one", NULL);
	world_run(&w, 30 * US_PER_S);
	uint64_t before = w.frames;

	world_run(&w, 60 * US_PER_S);
	/* 6 directed links, a probe and its answer each 5 s. */
	assert_in_range(w.frames - before, 0, 6 * 2 * 13);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_message),
		cmocka_unit_test(the_real_suite),
		cmocka_unit_test(precedence_then_age),
		cmocka_unit_test(idempotency),
		cmocka_unit_test(a_lease_ends),
		cmocka_unit_test(refuse_cancel_expire),
		cmocka_unit_test(groups_and_areas),
		cmocka_unit_test(all_of_a_group_get_the_same),
		cmocka_unit_test(held_by_standby_only),
		cmocka_unit_test(a_standby_helps),
		cmocka_unit_test(a_burst_by_a_standby),
		cmocka_unit_test(a_bad_network),
		cmocka_unit_test(failed_commits),
		cmocka_unit_test(a_large_body),
		cmocka_unit_test(an_emptied_journal),
		cmocka_unit_test(alarms_before_the_breach),
		cmocka_unit_test(clocks),
		cmocka_unit_test(exercise_apart),
		cmocka_unit_test(quiet_when_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
