/* A copy that was on its way, and is to be held by who has it now: kept while it may be the last one, begun anew when it is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/world.h"

/* Luik's standbys are Leuven and Namen. */
static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };

static struct stream *stream_at(struct world *w, size_t i)
{
	struct core *c = w->node[i].core;

	for (size_t k = 0; k < c->n_streams; k++) {
		const struct stream_name *n = &c->streams[k]->row.name;

		if (n->originator == w->number[SPOC] && n->addressee == w->number[LUIK] && n->precedence == PREC_PRIORITY)
			return c->streams[k];
	}
	return NULL;
}

static void send_ok(struct world *w, const char *body)
{
	struct send_options o = {.subject = body};
	struct msgid id;

	assert_int_equal(world_send(w, SPOC, "cic-luik/dispatch", PREC_PRIORITY, view_str(body), &o, &id, NULL), ERR_OK);
}

static void order(struct world *w, size_t i)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_ORDER, ++w->tag);
	request_str(&rw, F_WHAT, "relocate");
	request_str(&rw, F_TO, "cic-luik");
	request_str(&rw, F_ASSIGN, "cic-antwerpen");
	request_str(&rw, F_REASON, "flood");
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
}

static void links(struct world *w, size_t i, bool up)
{
	for (size_t k = 0; k < N; k++)
		if (k != i)
			world_link(w, i, k, up);
}

static void take_is(struct world *w, const char *body)
{
	struct taken t = {.body = BUF_EMPTY};

	assert_true(world_take_one(w, ANTWERPEN, "cic-luik/dispatch", 5 * US_PER_S, &t));
	assert_int_equal(t.body.len, strlen(body));
	assert_memory_equal(t.body.ptr, body, t.body.len);
	assert_int_equal(world_handle(w, ANTWERPEN, REQ_ACK, &t.id), ERR_OK);
	buf_release(&t.body);
}

/* Antwerpen alone has the second message for Luik, behind the first, which it gave on and let go of; and hears that it serves Luik. */
static void alone_with_the_second(struct world *w, uint64_t seed)
{
	world_init(w, SITES, N, seed);
	world_run(w, 2 * US_PER_S);
	links(w, SPOC, false);
	world_link(w, SPOC, ANTWERPEN, true);
	send_ok(w, "the first");
	world_run(w, 60 * US_PER_S);
	assert_int_equal(stream_at(w, ANTWERPEN)->row.floor, stream_at(w, LUIK)->row.held);
	links(w, LUIK, false);
	world_crash(w, NAMEN);
	world_crash(w, LEUVEN);
	send_ok(w, "the second");
	world_run(w, 60 * US_PER_S);
	world_crash(w, SPOC);
	order(w, LUIK);
	world_run(w, US_PER_S);
	world_link(w, LUIK, ANTWERPEN, true);
	for (int i = 0; i < 10000 && stream_at(w, ANTWERPEN)->transit; i++)
		world_run(w, 1000);
	world_crash(w, LUIK);
	assert_false(stream_at(w, ANTWERPEN)->transit);
	assert_true(stream_at(w, ANTWERPEN)->row.floor && stream_at(w, ANTWERPEN)->row.held > stream_at(w, ANTWERPEN)->row.floor);
}

static void all_back(struct world *w)
{
	for (size_t i = 0; i < N; i++)
		if (i != ANTWERPEN)
			world_start(w, i);
	for (size_t i = 0; i < N; i++)
		links(w, i, true);
	world_run(w, 120 * US_PER_S);
	assert_int_equal(stream_at(w, ANTWERPEN)->row.floor, 0);
	assert_int_equal(stream_at(w, ANTWERPEN)->row.held, stream_at(w, SPOC)->row.held);
	take_is(w, "the first");
	take_is(w, "the second");
	for (size_t i = 0; i < N; i++) {
		assert_false(world_alarm(w, i, "loss"));
		world_verify(w, i);
	}
}

static void it_is_kept_while_it_may_be_the_last(void **state)
{
	struct world w;

	(void)state;
	alone_with_the_second(&w, 1);
	world_run(&w, 60 * US_PER_S);
	assert_true(stream_at(&w, ANTWERPEN)->row.held > stream_at(&w, ANTWERPEN)->row.floor);
	all_back(&w);
	world_release(&w);
}

/* The journal says that its floor is nobody's. */
static void a_restart_knows_that_it_is_kept(void **state)
{
	struct world w;

	(void)state;
	alone_with_the_second(&w, 2);
	world_crash(&w, ANTWERPEN);
	world_start(&w, ANTWERPEN);
	world_run(&w, 10 * US_PER_S);
	all_back(&w);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_kept_while_it_may_be_the_last),
		cmocka_unit_test(a_restart_knows_that_it_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
