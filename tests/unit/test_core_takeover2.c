/* What a takeover promises of long queues: the most urgent first whenever the order comes, and nothing forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };

#define MANY 700      /* more than a desk's walk through a queue passes over in one batch */
#define A_BATCH 64    /* events that the world puts into one batch */

static void ask_order(struct world *w, size_t i, const char *what, const char *const assign[2])
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_ORDER, ++w->tag);
	request_str(&rw, F_WHAT, what);
	request_str(&rw, F_TO, "cic-luik");
	for (size_t k = 0; assign && k < 2 && assign[k]; k++)
		request_str(&rw, F_ASSIGN, assign[k]);
	request_str(&rw, F_REASON, "flood");
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
}

static void endorse(struct world *w, size_t i, const char *order)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_ENDORSE, ++w->tag);
	request_str(&rw, F_WHAT, order);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
}

/* Requests that do nothing, so that what is asked next comes in the batch after this one. */
static void end_batch(struct world *w, size_t i, size_t asked)
{
	for (; asked < A_BATCH; asked++) {
		struct request_writer rw;
		struct buf b = BUF_EMPTY;

		request_begin(&rw, &b, REQ_TAKE_STOP, 1000000);
		request_end(&rw);
		world_request(w, i, &b);
		buf_release(&b);
	}
}

static void send_one(struct world *w, const char *to, enum precedence p, const char *body)
{
	struct send_options o = {.subject = body};
	struct msgid id;

	assert_int_equal(world_send(w, ANTWERPEN, to, p, view_str(body), &o, &id, NULL), ERR_OK);
}

/* Body of the next message that came for that take; false when none did. */
static bool taken(struct world *w, size_t i, uint32_t tag, char body[64])
{
	struct request r;

	while (world_reply(w, i, &r))
		if (r.type == REPLY_TAKEN && r.tag == tag)
			return view_to_str(reply_field(&r, F_BODY), body, 64);
	return false;
}

static void order_id(struct world *w, size_t i, char out[17])
{
	struct request r;

	out[0] = '\0';
	while (world_reply(w, i, &r))
		if (r.type == REPLY_ROW)
			view_to_str(reply_field(&r, F_TEXT), out, 17);
	assert_int_equal(strlen(out), 16);
}

static void begin(struct world *w, uint64_t seed)
{
	world_init(w, SITES, N, seed);
	world_run(w, 2 * US_PER_S);
	world_crash(w, LUIK);
	send_one(w, "cic-luik/dispatch", PREC_FLASH, "flash");
	for (int i = 0; i < MANY; i++)
		send_one(w, "cic-luik/dispatch", PREC_ROUTINE, "routine");
	world_run(w, 2 * US_PER_S);
}

/* A desk at Leuven waits and the node is in the midst of Luik's queue when the order comes: it begins again at the front. */
static void an_order_in_the_midst_of_a_queue(void **state)
{
	static const char *const to[2] = {"cic-vlaams-brabant"};
	struct world w;
	char id[17], body[64] = "";

	(void)state;
	begin(&w, 1);
	ask_order(&w, ANTWERPEN, "relocate", to);
	world_run(&w, US_PER_S);
	order_id(&w, ANTWERPEN, id);
	endorse(&w, NAMEN, id);
	world_run(&w, US_PER_S);
	uint32_t tag = world_take(&w, LEUVEN, "cic-luik/dispatch", 2, US_PER_S * 60);
	end_batch(&w, LEUVEN, 1);
	endorse(&w, LEUVEN, id);
	world_run(&w, US_PER_S);
	assert_true(taken(&w, LEUVEN, tag, body));
	assert_string_equal(body, "flash");
	assert_true(taken(&w, LEUVEN, tag, body));
	assert_string_equal(body, "routine");
	world_release(&w);
}

/* Two sites have shares of a long queue: each hands out all of its own, whatever comes and comes back meanwhile. */
static void shares_of_a_long_queue(void **state)
{
	static const char *const to[2] = {"cic-vlaams-brabant:share=50%", "cic-namen:share=50%"};
	struct world w;
	char body[64];
	size_t all = 0;

	(void)state;
	begin(&w, 2);
	ask_order(&w, SPOC, "relocate", to);
	world_run(&w, US_PER_S);
	static const size_t sites[] = {LEUVEN, NAMEN};

	uint32_t tag[2];

	for (size_t i = 0; i < 2; i++)
		tag[i] = world_take(&w, sites[i], "cic-luik/dispatch", 10000, US_PER_S * 3600);
	for (int round = 0; round < 4; round++) {
		world_run(&w, US_PER_S);
		for (size_t i = 0; i < 2; i++)
			while (taken(&w, sites[i], tag[i], body))
				all++;
		if (round == 3)
			break;
		/* Of a queue of which all that is left is the other's. */
		send_one(&w, "cic-luik/dispatch", PREC_FLASH, "later");
		send_one(&w, "cic-luik/dispatch", PREC_ROUTINE, "later");
	}
	assert_int_equal(all, 1 + MANY + 2 * 3);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_order_in_the_midst_of_a_queue),
		cmocka_unit_test(shares_of_a_long_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
