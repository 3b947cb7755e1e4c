/* What a new roster promises while traffic is under way: sites that go and come, other standbys, other keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/asks.h"

/* Luik's standbys are Leuven and Namen. */
static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };

static struct site *site_in(struct world *w, struct roster *r, size_t i)
{
	return (struct site *)roster_site(r, w->number[i]);
}

static void send_ok(struct world *w, size_t i, const char *to, const char *body, struct msgid *id)
{
	assert_int_equal(world_send(w, i, to, PREC_PRIORITY, view_str(body), NULL, id, NULL), ERR_OK);
}

static void take_is(struct world *w, size_t i, const char *queue, const char *body, struct msgid *id)
{
	ask_take_in(w, i, queue, 20 * US_PER_S, body, id);
}

static void read_is(struct world *w, size_t i, const char *queue, const char *body)
{
	struct msgid id;

	take_is(w, i, queue, body, &id);
	assert_int_equal(world_handle(w, i, REQ_ACK, &id), ERR_OK);
}

static enum err relocate(struct world *w, size_t at, const char *site, const char *to)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;
	uint32_t tag = ++w->tag;

	request_begin(&rw, &b, REQ_ORDER, tag);
	request_str(&rw, F_WHAT, "relocate");
	request_str(&rw, F_TO, site);
	request_str(&rw, F_ASSIGN, to);
	request_str(&rw, F_REASON, "it closes");
	request_end(&rw);
	world_request(w, at, &b);
	buf_release(&b);
	for (int i = 0; i < 200; i++, world_run(w, 10000))
		while (world_reply(w, at, &r))
			if (r.tag == tag && r.type != REPLY_ROW)
				return r.type == REPLY_DONE ? ERR_OK : ERR_REFUSED;
	return ERR_TIMEOUT;
}

/* The text of the error that a message to that address is refused with; empty when it is accepted. */
static void refusal(struct world *w, size_t i, const char *to, char text[400])
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;
	uint32_t tag = ++w->tag;

	request_begin(&rw, &b, REQ_SUBMIT, tag);
	request_str(&rw, F_TO, to);
	request_u8(&rw, F_PRECEDENCE, PREC_ROUTINE);
	request_field(&rw, F_BODY, view_str("x"));
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	text[0] = '\0';
	for (int k = 0; k < 200; k++, world_run(w, 10000))
		while (world_reply(w, i, &r))
			if (r.tag == tag) {
				if (r.type == REPLY_ERROR)
					view_to_str(reply_field(&r, F_TEXT), text, 400);
				return;
			}
	fail_msg("no answer");
}

static uint64_t waiting(struct world *w, size_t i, size_t site, const char *queue)
{
	struct core *c = w->node[i].core;
	uint64_t n = 0;

	for (size_t k = 0; k < c->n_queues; k++)
		if (c->queues[k].row.site == w->number[site] && strcmp(c->queues[k].row.name, queue) == 0)
			for (unsigned p = 0; p < PREC_COUNT; p++)
				n += c->queues[k].row.waiting[0][p];
	return n;
}

/* Luik leaves; who may stay its standby. */
static void remove_luik(struct world *w, bool standbys)
{
	struct roster *r = world_roster_copy(w);
	struct site *luik = site_in(w, r, LUIK);

	roster_without(r, w->number[LUIK], w->number[NAMEN]);
	if (!standbys)
		luik->n_standbys = 0;
	world_roster(w, r);
	roster_free(r);
	world_run(w, 3 * US_PER_S);
}

/* ---- a site that goes -------------------------------------------------------------------------------------- */

static void removed_without_successor(void **state)
{
	struct world w;
	struct msgid id;
	char text[400];

	(void)state;
	world_init(&w, SITES, N, 1);
	world_crash(&w, LUIK);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "under way", &id);
	world_run(&w, 2 * US_PER_S);
	remove_luik(&w, false);
	assert_int_equal(waiting(&w, ANTWERPEN, LUIK, "dead-letters"), 1);
	assert_true(world_alarm(&w, ANTWERPEN, "dead-letter"));
	assert_int_equal(world_state(&w, ANTWERPEN, &id), STATE_ACCEPTED);
	refusal(&w, ANTWERPEN, "cic-luik/dispatch", text);
	assert_non_null(strstr(text, "was removed from the network, and no order says who serves it"));
	assert_null(peer_find(w.node[SPOC].core, w.number[LUIK])->gone ? NULL : "a peer");
	/* Everybody knows, and an order brings it to somebody. */
	world_crash(&w, ANTWERPEN);
	world_start(&w, ANTWERPEN);
	world_run(&w, 3 * US_PER_S);
	assert_int_equal(waiting(&w, ANTWERPEN, LUIK, "dead-letters"), 1);
	assert_int_equal(relocate(&w, SPOC, "cic-luik", "cic-namen"), ERR_OK);
	world_run(&w, 5 * US_PER_S);
	read_is(&w, NAMEN, "cic-luik/dispatch", "under way");
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, ANTWERPEN, &id), STATE_READ);
	assert_int_equal(waiting(&w, ANTWERPEN, LUIK, "dead-letters"), 0);
	assert_false(world_alarm(&w, ANTWERPEN, "dead-letter"));
	refusal(&w, ANTWERPEN, "cic-luik/dispatch", text);
	assert_non_null(strstr(text, "its queue is served by cic-namen"));
	world_release(&w);
}

static void removed_with_standbys(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, N, 2);
	world_crash(&w, LUIK);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "held by standbys", &id);
	world_run(&w, 2 * US_PER_S);
	remove_luik(&w, true);
	assert_int_equal(waiting(&w, NAMEN, LUIK, "dispatch"), 0);
	assert_int_equal(waiting(&w, NAMEN, LUIK, "dead-letters"), 1);
	assert_true(world_alarm(&w, NAMEN, "dead-letter"));
	world_crash(&w, ANTWERPEN); /* what was accepted survives its originator */
	assert_int_equal(relocate(&w, SPOC, "cic-luik", "cic-vlaams-brabant"), ERR_OK);
	world_run(&w, 3 * US_PER_S);
	assert_int_equal(waiting(&w, NAMEN, LUIK, "dead-letters"), 0);
	assert_int_equal(waiting(&w, NAMEN, LUIK, "dispatch"), 1);
	assert_false(world_alarm(&w, NAMEN, "dead-letter"));
	read_is(&w, LEUVEN, "cic-luik/dispatch", "held by standbys");
	world_release(&w);
}

static void removed_after_its_order(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, N, 3);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "served on", &id);
	send_ok(&w, LUIK, "cic-namen/dispatch", "its own words", &id);
	world_run(&w, US_PER_S);
	assert_int_equal(relocate(&w, LUIK, "cic-luik", "cic-namen"), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	remove_luik(&w, true);
	/* Luik's node does not take over a roster without itself, and is linked to nobody. */
	assert_int_equal(core_roster(w.node[LUIK].core)->serial, 1);
	assert_true(world_alarm(&w, LUIK, "removed"));
	assert_int_equal(waiting(&w, ANTWERPEN, LUIK, "dead-letters"), 0);
	read_is(&w, NAMEN, "cic-luik/dispatch", "served on");
	read_is(&w, NAMEN, "dispatch", "its own words");
	/* A newcomer learns the order that a removed site signed. */
	world_crash(&w, ANTWERPEN);
	world_lose_journal(&w, ANTWERPEN);
	world_start(&w, ANTWERPEN);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(w.node[ANTWERPEN].core->takeover.n_orders, 1);
	world_release(&w);
}

/* ---- a site that comes ----------------------------------------------------------------------------------------- */

static void added(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, N, 4);
	struct roster *all = world_roster_copy(&w), *less = world_roster_copy(&w);
	uint16_t keep[] = {w.number[SPOC], w.number[ANTWERPEN], w.number[LEUVEN], w.number[LUIK]};

	world_crash(&w, NAMEN);
	assert_int_equal(roster_cut(less, keep, 4), ERR_OK);
	world_roster(&w, less);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "before it came", &id);
	world_run(&w, 2 * US_PER_S);
	all->serial = 3;
	world_roster(&w, all);
	world_lose_journal(&w, NAMEN);
	world_start(&w, NAMEN);
	world_run(&w, 10 * US_PER_S);
	/* Namen stands by for Luik: it was given the stream, and its key. */
	assert_int_equal(waiting(&w, NAMEN, LUIK, "dispatch"), 1);
	send_ok(&w, SPOC, "cic-namen/dispatch", "welcome", &id);
	read_is(&w, NAMEN, "dispatch", "welcome");
	roster_free(all);
	roster_free(less);
	world_release(&w);
}

/* ---- other standbys ---------------------------------------------------------------------------------------------- */

/* How many grants the stream of a site to Luik has, and whether the last one names a site. */
static size_t grants_of(struct world *w, size_t at, size_t named, bool *names)
{
	struct core *c = w->node[at].core;
	size_t n = 0;

	assert_int_equal(txn_begin(w->node[at].store, false, &c->t), ERR_OK);
	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];
		struct entry_row row;
		struct header h;

		if (s->row.name.originator != w->number[at] || s->row.name.addressee != w->number[LUIK] || s->row.name.precedence != PREC_PRIORITY)
			continue;
		for (uint64_t k = 1; k <= s->row.held; k++) {
			struct buf grant = BUF_EMPTY;
			struct sym_key key;

			assert_int_equal(store_entry_find(c->t, s->row.local, k, &row), ERR_OK);
			assert_int_equal(header_decode(row.e.header, &h), ERR_OK);
			if (h.kind != KIND_GRANT)
				continue;
			n++;
			assert_int_equal(store_body_get_part(c->t, row.body_class, row.body_no, PART_WHOLE, 0, &grant), ERR_OK);
			*names = grant_open(w->suite, buf_view(&grant), w->number[named], w->keys[named].sealing, w->keys[named].n_sealing, &s->hash, &key) == ERR_OK;
			buf_release(&grant);
		}
	}
	txn_abort(c->t);
	c->t = NULL;
	return n;
}

static void another_standby(void **state)
{
	struct world w;
	struct msgid id;
	bool names = false;

	(void)state;
	world_init(&w, SITES, N, 5);
	world_crash(&w, LUIK);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "before", &id);
	world_run(&w, US_PER_S);
	assert_int_equal(grants_of(&w, ANTWERPEN, SPOC, &names), 1);
	assert_false(names);

	struct roster *r = world_roster_copy(&w);
	struct site *luik = site_in(&w, r, LUIK);

	luik->n_standbys = 1;
	luik->standbys[0] = w.number[SPOC];
	world_roster(&w, r);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "after", &id);
	/* What is sent from now on names it in a grant of the stream itself. */
	assert_int_equal(grants_of(&w, ANTWERPEN, SPOC, &names), 2);
	assert_true(names);
	(void)grants_of(&w, ANTWERPEN, NAMEN, &names);
	assert_false(names);
	world_run(&w, 10 * US_PER_S);
	assert_int_equal(waiting(&w, SPOC, LUIK, "dispatch"), 2);
	assert_int_equal(relocate(&w, SPOC, "cic-luik", "spoc-brussel"), ERR_OK);
	world_crash(&w, ANTWERPEN);
	world_run(&w, US_PER_S);
	read_is(&w, SPOC, "cic-luik/dispatch", "before");
	read_is(&w, SPOC, "cic-luik/dispatch", "after");
	roster_free(r);
	world_release(&w);
}

/* ---- other keys -------------------------------------------------------------------------------------------------------- */

static void rotated_sealing_key(void **state)
{
	struct world w;
	struct msgid id;
	uint8_t seed[32] = {9};
	bool names = false;

	(void)state;
	world_init(&w, SITES, N, 6);
	world_crash(&w, LUIK);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "to the old key", &id);
	world_run(&w, US_PER_S);

	struct roster *r = world_roster_copy(&w);
	struct site *luik = site_in(&w, r, LUIK);
	struct site_keys old = w.keys[LUIK];

	assert_int_equal(site_keys_rotate(seed, &w.keys[LUIK]), ERR_OK);
	luik->sealing = w.keys[LUIK].sealing[0].pub;
	sealing_key_sign(&w.keys[LUIK].identity, luik->number, &luik->sealing, &luik->sealing_signature);
	world_roster(&w, r);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "to the new key", &id);
	assert_int_equal(grants_of(&w, ANTWERPEN, LUIK, &names), 2);
	assert_true(names);
	struct site_keys both = w.keys[LUIK];

	w.keys[LUIK] = old;
	(void)grants_of(&w, ANTWERPEN, LUIK, &names);
	assert_false(names); /* nothing is sealed to the old one any more */
	w.keys[LUIK] = both;
	world_start(&w, LUIK);
	world_run(&w, 5 * US_PER_S);
	read_is(&w, LUIK, "dispatch", "to the old key");
	read_is(&w, LUIK, "dispatch", "to the new key");
	roster_free(r);
	world_release(&w);
}

/* Luik lost its keys with its disk: enrolled anew it gets its past by grants, and what it signed before is believed. */
static void enrolled_anew(void **state)
{
	struct world w;
	struct msgid id, sent;

	(void)state;
	world_init(&w, SITES, N, 7);
	world_link(&w, LUIK, ANTWERPEN, false);
	send_ok(&w, LUIK, "cic-antwerpen/dispatch", "signed before", &sent);
	send_ok(&w, SPOC, "cic-luik/dispatch", "sent before", &id);
	world_run(&w, 100 * US_PER_MS); /* it reaches Antwerpen's standbys, not Antwerpen */
	for (size_t i = 0; i < N; i++)
		if (i != ANTWERPEN)
			world_link(&w, ANTWERPEN, i, false);
	world_run(&w, 3 * US_PER_S);
	world_crash(&w, LUIK);
	struct roster *r = world_roster_copy(&w);

	site_in(&w, r, ANTWERPEN)->n_standbys = 1;
	site_in(&w, r, ANTWERPEN)->standbys[0] = w.number[SPOC];
	world_enrol(&w, LUIK, r);
	world_roster(&w, r);
	world_lose_journal(&w, LUIK);
	world_start(&w, LUIK);
	for (size_t i = 0; i < N; i++)
		world_link(&w, ANTWERPEN, i, true);
	world_run(&w, 15 * US_PER_S);
	read_is(&w, LUIK, "dispatch", "sent before");
	send_ok(&w, LUIK, "cic-namen/dispatch", "signed anew", &id);
	read_is(&w, NAMEN, "dispatch", "signed anew");
	roster_free(r);
	world_release(&w);
}

/* Its orders stand, and reach who did not have them. */
static void order_of_before(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, SITES, N, 8);
	world_crash(&w, ANTWERPEN);
	assert_int_equal(relocate(&w, LUIK, "cic-luik", "cic-namen"), ERR_OK);
	world_run(&w, US_PER_S);
	world_crash(&w, LUIK);
	struct roster *r = world_roster_copy(&w);

	world_enrol(&w, LUIK, r);
	world_roster(&w, r);
	world_start(&w, ANTWERPEN);
	world_run(&w, 5 * US_PER_S);
	const struct chain *ch = chain_find(w.node[ANTWERPEN].core, w.number[LUIK], false);

	assert_true(ch && ch->now);
	roster_free(r);
	world_release(&w);
}

/* Brussels passed on what Antwerpen wrote to Luik, and has the last of it alone when Antwerpen burns. Then a roster makes it a standby of
 * Luik: what it holds stays, though the copy lacks its beginning, and reaches Luik. */
static void relay_that_becomes_a_standby_keeps_what_only_it_has(void **state)
{
	struct world w;
	struct msgid id;
	(void)state;

	world_init(&w, SITES, N, 31);
	for (size_t i = 0; i < N; i++)
		if (i != SPOC && i != ANTWERPEN)
			world_link(&w, ANTWERPEN, i, false);
	world_run(&w, 10 * US_PER_S);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "one", &id);
	world_run(&w, 120 * US_PER_S); /* it is there, and Brussels' copy is done with */
	read_is(&w, LUIK, "cic-luik/dispatch", "one");
	world_run(&w, 120 * US_PER_S);
	for (size_t i = 0; i < N; i++)
		if (i != SPOC && i != ANTWERPEN)
			world_link(&w, SPOC, i, false);
	world_run(&w, 10 * US_PER_S);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "two", &id);
	world_run(&w, 30 * US_PER_S);
	world_crash(&w, ANTWERPEN);
	world_lose_journal(&w, ANTWERPEN);
	world_run(&w, 10 * US_PER_S);

	struct roster *r = world_roster_copy(&w);
	struct site *luik = site_in(&w, r, LUIK);

	luik->standbys[luik->n_standbys - 1] = w.number[SPOC];
	world_roster(&w, r);
	roster_free(r);
	world_run(&w, 10 * US_PER_S);
	for (size_t i = 0; i < N; i++)
		if (i != SPOC)
			world_link(&w, SPOC, i, true);
	world_run(&w, 60 * US_PER_S);
	read_is(&w, LUIK, "cic-luik/dispatch", "two");
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(relay_that_becomes_a_standby_keeps_what_only_it_has),
		cmocka_unit_test(removed_without_successor),
		cmocka_unit_test(removed_with_standbys),
		cmocka_unit_test(removed_after_its_order),
		cmocka_unit_test(added),
		cmocka_unit_test(another_standby),
		cmocka_unit_test(rotated_sealing_key),
		cmocka_unit_test(enrolled_anew),
		cmocka_unit_test(order_of_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
