/* What was taken partway, between two heads, can be handed on: its originator and who gave it may both be gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/world.h"

/* Luik's standbys are Leuven and Namen. */
static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, N };
#define MANY 12
#define TAKEN 5

static struct stream *stream_of(struct world *w, size_t i)
{
	struct core *c = w->node[i].core;

	for (size_t k = 0; k < c->n_streams; k++) {
		const struct stream_name *n = &c->streams[k]->row.name;

		if (n->originator == w->number[ANTWERPEN] && n->addressee == w->number[LUIK] && n->precedence == PREC_ROUTINE)
			return c->streams[k];
	}
	return NULL;
}

/* One segment of what Antwerpen holds: the first entries, and the leaves up to the head. */
static void cut_segment(struct world *w, uint64_t entries, struct buf *out)
{
	struct core *c = w->node[ANTWERPEN].core;
	struct stream *s = stream_of(w, ANTWERPEN);
	struct hash tail[LIMIT_HEAD_SPACING];
	struct segment_writer sw;
	struct head head;
	struct txn *t;
	uint16_t n = 0;

	assert_int_equal(txn_begin(w->node[ANTWERPEN].store, false, &t), ERR_OK);
	assert_int_equal(store_head_from(t, s->row.local, s->row.held, &head), ERR_OK);
	frame_begin(out, FRAME_SEGMENT);
	segment_begin(&sw, out, &s->row.name, 1);
	for (uint64_t k = 1; k <= s->row.held; k++) {
		struct entry_row row;
		struct buf body = BUF_EMPTY;

		assert_int_equal(store_entry_find(t, s->row.local, k, &row), ERR_OK);
		if (k > entries) {
			tail[n++] = entry_leaf(&row.e);
			continue;
		}
		if (row.body_no)
			assert_int_equal(store_body_get_part(t, row.body_class, row.body_no, PART_WHOLE, 0, &body), ERR_OK);
		row.e.body = buf_view(&body);
		row.e.flags = (uint8_t)(row.e.flags & ~ENTRY_BODY_APART);
		segment_add(&sw, &row.e);
		buf_release(&body);
	}
	segment_end(&sw, tail, n, &head);
	txn_abort(t);
	(void)c;
}

static void what_ends_between_heads_is_handed_on(void **state)
{
	struct world w;
	struct msgid id;
	struct buf b = BUF_EMPTY;
	struct effects out = EFFECTS_EMPTY;

	(void)state;
	world_init(&w, SITES, N, 1);
	world_run(&w, 2 * US_PER_S);
	for (size_t i = 0; i < ANTWERPEN; i++)
		world_link(&w, ANTWERPEN, i, false);
	world_run(&w, 30 * US_PER_S);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(world_send(&w, ANTWERPEN, "cic-luik/dispatch", PREC_ROUTINE, view_str("m"), NULL, &id, NULL), ERR_OK);
	assert_true(stream_of(&w, ANTWERPEN)->row.held > TAKEN);
	cut_segment(&w, TAKEN, &b);
	struct event ev = {.type = EVENT_FRAME, .now = w.now, .wall = world_wall(&w, NAMEN)};

	ev.u.frame.peer = w.number[LEUVEN];
	ev.u.frame.lane = LANE_BULK;
	ev.u.frame.side = SIDE_ACCEPTED;
	ev.u.frame.bytes = buf_view(&b);
	assert_int_equal(core_apply(w.node[NAMEN].core, w.node[NAMEN].store, &ev, 1, &out), ERR_OK);
	effects_release(&out);
	buf_release(&b);
	assert_int_equal(stream_of(&w, NAMEN)->row.held, TAKEN);
	world_crash(&w, ANTWERPEN);
	world_crash(&w, NAMEN);
	world_start(&w, NAMEN);
	world_run(&w, 60 * US_PER_S);
	for (size_t i = LUIK; i <= LEUVEN; i++) {
		assert_non_null(stream_of(&w, i));
		assert_int_equal(stream_of(&w, i)->row.held, TAKEN);
		world_verify(&w, i);
	}
	/* From Luik, which got it so, on to who lost it. */
	world_crash(&w, NAMEN);
	world_crash(&w, LEUVEN);
	world_lose_journal(&w, LEUVEN);
	world_start(&w, LEUVEN);
	world_run(&w, 60 * US_PER_S);
	assert_non_null(stream_of(&w, LEUVEN));
	assert_int_equal(stream_of(&w, LEUVEN)->row.held, TAKEN);
	/* And the rest, when it comes. */
	world_start(&w, NAMEN);
	world_start(&w, ANTWERPEN);
	for (size_t i = 0; i < ANTWERPEN; i++)
		world_link(&w, ANTWERPEN, i, true);
	world_run(&w, 60 * US_PER_S);
	for (size_t i = LUIK; i <= LEUVEN; i++) {
		assert_int_equal(stream_of(&w, i)->row.held, stream_of(&w, ANTWERPEN)->row.held);
		world_verify(&w, i);
	}
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_ends_between_heads_is_handed_on)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
