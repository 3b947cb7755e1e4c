/* What a takeover promises when orders follow one another, and when keys come late: what was handled elsewhere is waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };

/* ---- asking ------------------------------------------------------------------------------------------------------- */

/* The answer to a request that ends with DONE or an error: ERR_OK, or what the error's code says. text gets what was said. */
static enum err answered(struct world *w, size_t i, char *text, size_t size)
{
	struct request r;

	if (size)
		text[0] = '\0';
	for (int tries = 0; tries < 200; tries++) {
		while (world_reply(w, i, &r)) {
			if (r.type == REPLY_DONE)
				return ERR_OK;
			if (r.type == REPLY_ERROR) {
				view_to_str(reply_field(&r, F_TEXT), text, size);
				return ERR_REFUSED;
			}
		}
		world_run(w, 10000);
	}
	fail_msg("no answer");
	return ERR_INTERNAL;
}

struct ask { const char *site, *assign[4], *without, *exercise; };

static enum err order(struct world *w, size_t i, const char *what, const struct ask *a, char *text, size_t size)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_ORDER, ++w->tag);
	request_str(&rw, F_WHAT, what);
	request_str(&rw, F_TO, a->site);
	for (size_t k = 0; k < 4 && a->assign[k]; k++)
		request_str(&rw, F_ASSIGN, a->assign[k]);
	request_str(&rw, F_WITHOUT, a->without);
	request_str(&rw, F_EXERCISE, a->exercise);
	request_str(&rw, F_REASON, "flood");
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	return answered(w, i, text, size);
}

static void order_ok(struct world *w, size_t i, const char *what, const struct ask *a)
{
	char text[512];

	if (order(w, i, what, a, text, sizeof text))
		fail_msg("%s of %s: %s", what, a->site, text);
}

static void send_ok(struct world *w, size_t i, const char *to, enum precedence p, const char *body, struct msgid *id)
{
	struct send_options o = {.subject = body};

	assert_int_equal(world_send(w, i, to, p, view_str(body), &o, id, NULL), ERR_OK);
}

static bool take(struct world *w, size_t i, const char *queue, int64_t us, char body[64], struct msgid *id, char *seen)
{
	struct taken t = {.body = BUF_EMPTY};
	bool got = world_take_one(w, i, queue, us, &t);

	if (got) {
		view_to_str(buf_view(&t.body), body, 64);
		*id = t.id;
		if (seen)
			memcpy(seen, t.perhaps_seen, sizeof t.perhaps_seen);
	}
	buf_release(&t.body);
	return got;
}

static void take_is(struct world *w, size_t i, const char *queue, const char *body, struct msgid *id)
{
	char got[64] = "";

	if (!take(w, i, queue, 3 * US_PER_S, got, id, NULL))
		fail_msg("nothing in %s, expected \"%s\"", queue, body);
	assert_string_equal(got, body);
}

static void take_none(struct world *w, size_t i, const char *queue)
{
	char got[64] = "";
	struct msgid id;

	if (take(w, i, queue, 3 * US_PER_S, got, &id, NULL))
		fail_msg("%s: \"%s\" was handed out", queue, got);
}

static void read_ok(struct world *w, size_t i, const struct msgid *id)
{
	assert_int_equal(world_handle(w, i, REQ_ACK, id), ERR_OK);
}

static const struct ask AWAY = {.site = "cic-luik", .assign = {"cic-vlaams-brabant:dispatch"}};
static const struct ask BACK = {.site = "cic-luik"};
static const struct ask PART = {.site = "cic-luik", .assign = {"cic-namen:messages"}};
static const struct ask OTHER = {.site = "cic-luik", .assign = {"cic-antwerpen:messages"}};

static void cut(struct world *w, size_t site, bool up)
{
	for (size_t i = 0; i < N; i++)
		if (i != site)
			world_link(w, site, i, up);
}

/* ---- what is promised -------------------------------------------------------------------------------------------------- */

/* Leuven handled a part and is cut off. Luik takes its queues back, waits for Leuven, and gives one of them away again: that is no
 * reason to wait no longer. Once all was whole at home, what stays there is handed out whatever moves beside it. */
static void a_further_order_does_not_end_the_wait(void **state)
{
	struct world w;
	struct msgid id, got;

	(void)state;
	world_init(&w, SITES, N, 1);
	world_run(&w, 2 * US_PER_S);
	for (int i = 0; i < 3; i++) {
		char text[16];

		snprintf(text, sizeof text, "m%d", i);
		send_ok(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, text, &id);
	}
	world_run(&w, US_PER_S);
	order_ok(&w, SPOC, "relocate", &AWAY);
	world_run(&w, 5 * US_PER_S);
	cut(&w, LEUVEN, false);
	take_is(&w, LEUVEN, "cic-luik/dispatch", "m0", &got);
	read_ok(&w, LEUVEN, &got);
	world_run(&w, 90 * US_PER_S);
	order_ok(&w, LUIK, "handback", &BACK);
	take_none(&w, LUIK, "dispatch");
	order_ok(&w, LUIK, "relocate", &PART);
	take_none(&w, LUIK, "dispatch");
	cut(&w, LEUVEN, true);
	world_run(&w, 30 * US_PER_S);
	take_is(&w, LUIK, "dispatch", "m1", &got);
	read_ok(&w, LUIK, &got);

	cut(&w, NAMEN, false);
	world_run(&w, 90 * US_PER_S);
	order_ok(&w, LUIK, "relocate", &OTHER);
	take_is(&w, LUIK, "dispatch", "m2", &got); /* Namen's closing is about another queue */
	read_ok(&w, LUIK, &got);
	take_none(&w, LUIK, "dispatch");
	cut(&w, NAMEN, true);
	world_run(&w, 30 * US_PER_S);
	assert_false(world_alarm(&w, LUIK, "conflict"));
	world_release(&w);
}

/* Antwerpen, no standby of Luik, gets streams, reports and keys, each when it comes. Whatever comes first, what was read at Luik is
 * not handed out again. */
static void a_newcomer_waits_for_the_keys_of_reports(void **state)
{
	static const struct ask all = {.site = "cic-luik", .assign = {"cic-antwerpen"}};

	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct world w;
		struct msgid id, got;

		world_init(&w, SITES, N, seed);
		w.jitter_us = 400000;
		world_run(&w, 2 * US_PER_S);
		for (int i = 0; i < 6; i++)
			send_ok(&w, i % 2 ? SPOC : NAMEN, "cic-luik/dispatch", i % 3 ? PREC_ROUTINE : PREC_FLASH, "was read", &id);
		world_run(&w, 2 * US_PER_S);
		for (int i = 0; i < 6; i++) {
			take_is(&w, LUIK, "dispatch", "was read", &got);
			read_ok(&w, LUIK, &got);
		}
		send_ok(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "new", &id);
		world_run(&w, 5 * US_PER_S);
		order_ok(&w, SPOC, "relocate", &all);
		char text[64] = "";
		/* Refused until the order has come. */
		for (int tries = 0; !text[0] && tries < 3000 && !take(&w, ANTWERPEN, "cic-luik/dispatch", 90 * US_PER_S, text, &got, NULL); tries++)
			world_run(&w, 1000);
		assert_string_equal(text, "new");
		read_ok(&w, ANTWERPEN, &got);
		take_none(&w, ANTWERPEN, "cic-luik/dispatch");
		world_release(&w);
	}
}

/* Antwerpen served Luik's queues for a while, and handles what Luik had handled. It is a custodian no more when it can hear so. */
static void who_served_for_a_while_hears_of_its_conflict(void **state)
{
	static const struct ask first = {.site = "cic-luik", .assign = {"cic-antwerpen"}}, second = {.site = "cic-luik", .assign = {"cic-vlaams-brabant"}};
	struct world w;
	struct msgid id, here, there;

	(void)state;
	world_init(&w, SITES, N, 3);
	world_run(&w, 2 * US_PER_S);
	send_ok(&w, SPOC, "cic-luik/dispatch", PREC_ROUTINE, "twice", &id);
	world_run(&w, US_PER_S);
	cut(&w, LUIK, false);
	world_run(&w, 30 * US_PER_S);
	order_ok(&w, SPOC, "relocate", &first);
	take_is(&w, LUIK, "dispatch", "twice", &here);
	read_ok(&w, LUIK, &here);
	world_run(&w, 5 * US_PER_S);
	take_is(&w, ANTWERPEN, "cic-luik/dispatch", "twice", &there);
	read_ok(&w, ANTWERPEN, &there);
	world_run(&w, 2 * US_PER_S);
	cut(&w, ANTWERPEN, false);
	for (size_t i = 0; i < N; i++)
		if (i != LUIK && i != ANTWERPEN)
			world_link(&w, LUIK, i, true);
	world_run(&w, 30 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "conflict"));
	assert_false(world_alarm(&w, ANTWERPEN, "conflict"));
	order_ok(&w, SPOC, "relocate", &second);
	world_run(&w, 5 * US_PER_S);
	cut(&w, ANTWERPEN, true);
	world_run(&w, 60 * US_PER_S);
	assert_true(world_alarm(&w, ANTWERPEN, "conflict"));
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_further_order_does_not_end_the_wait),
		cmocka_unit_test(a_newcomer_waits_for_the_keys_of_reports),
		cmocka_unit_test(who_served_for_a_while_hears_of_its_conflict),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
