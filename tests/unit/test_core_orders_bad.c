/* Orders that are wrong: refused with the reason where they are given and wherever they come to, shown, and obeyed nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/world.h"

/* The quorum is three other sites. */
static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };
#define EUPEN 2
#define JUNK 10000

/* ---- asked --------------------------------------------------------------------------------------------------------- */

struct ask { const char *what, *site, *assign[4], *without; };

static enum err answered(struct world *w, size_t i, char text[400])
{
	struct request r;

	for (int k = 0; k < 300; k++, world_run(w, 10000))
		while (world_reply(w, i, &r))
			if (r.tag == w->tag && r.type != REPLY_ROW) {
				view_to_str(reply_field(&r, F_TEXT), text, 400);
				return r.type == REPLY_DONE ? ERR_OK : ERR_REFUSED;
			}
	fail_msg("no answer");
	return ERR_INTERNAL;
}

static enum err ask(struct world *w, size_t i, const struct ask *a, char text[400])
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_ORDER, ++w->tag);
	request_str(&rw, F_WHAT, a->what);
	request_str(&rw, F_TO, a->site);
	for (size_t k = 0; k < 4 && a->assign[k]; k++)
		request_str(&rw, F_ASSIGN, a->assign[k]);
	request_str(&rw, F_WITHOUT, a->without);
	request_str(&rw, F_REASON, "flood");
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	return answered(w, i, text);
}

static void ask_ok(struct world *w, size_t i, const char *what, const char *site, const char *to)
{
	struct ask a = {.what = what, .site = site, .assign = {to}};
	char text[400];

	if (ask(w, i, &a, text))
		fail_msg("%s %s: %s", what, site, text);
	world_run(w, US_PER_S);
}

static size_t known(const struct world *w, size_t i) { return w->node[i].core->takeover.n_orders; }

static bool serves(const struct world *w, size_t i, size_t site)
{
	const struct chain *ch = chain_find(w->node[i].core, w->number[site], false);

	return !ch || !ch->now || !ch->now->order.n_assign;
}

static void refused_where_they_are_given(void **state)
{
	static const struct { struct ask ask; const char *says; } cases[] = {
		{{"relocate", "cic-luk", {"cic-namen"}, NULL}, "did you mean cic-luik"},
		{{"relocate", "cic-luik", {"cic-nowhere"}, NULL}, "no such site"},
		{{"relocate", "cic-luik", {"cic-namen:nothing"}, NULL}, "no such queue"},
		{{"relocate", "cic-luik", {"cic-namen:area=halle-vilvoorde"}, NULL}, "not by cic-luik"},
		{{"relocate", "cic-luik", {"cic-namen:dispatch", "cic-vlaams-brabant:dispatch"}, NULL}, "given twice"},
		{{"relocate", "cic-luik", {"cic-namen", "cic-vlaams-brabant"}, NULL}, "everything is assigned twice"},
		{{"relocate", "cic-luik", {"cic-namen", "cic-vlaams-brabant:share=100%"}, NULL}, "beside shares"},
		{{"relocate", "cic-luik", {"cic-namen:share=60%", "cic-vlaams-brabant:share=60%"}, NULL}, "more than 100"},
		{{"relocate", "cic-luik", {"cic-namen:share=60%", "cic-vlaams-brabant:share=30%"}, NULL}, "are missing"},
		{{"relocate", "cic-luik", {"cic-luik"}, NULL}, "its own successor"},
		{{"relocate", "cic-luik", {NULL}, NULL}, "not to whom"},
		{{"handback", "cic-luik", {NULL}, NULL}, "nothing to hand back"},
		{{"handback", "cic-luik", {"cic-namen"}, NULL}, "assigns nothing"},
		{{"move", "cic-luik", {"cic-namen"}, NULL}, "does not know"},
	};
	struct world w;
	char text[400];

	(void)state;
	world_init(&w, SITES, N, 1);
	world_run(&w, 2 * US_PER_S);
	for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
		if (ask(&w, SPOC, &cases[k].ask, text) == ERR_OK || !strstr(text, cases[k].says))
			fail_msg("%zu: %s", k, text);
		for (size_t i = 0; i < N; i++)
			assert_int_equal(known(&w, i), 0);
	}
	/* A successor that is itself relocated. */
	ask_ok(&w, SPOC, "relocate", "cic-namen", "cic-vlaams-brabant");
	if (ask(&w, SPOC, &(struct ask){"relocate", "cic-luik", {"cic-namen"}, NULL}, text) == ERR_OK || !strstr(text, "itself relocated"))
		fail_msg("%s", text);
	/* The same once more. */
	if (ask(&w, SPOC, &(struct ask){"relocate", "cic-namen", {"cic-vlaams-brabant"}, NULL}, text) == ERR_OK || !strstr(text, "the same already"))
		fail_msg("%s", text);
	world_release(&w);
}

/* ---- given by peers ------------------------------------------------------------------------------------------------- */

static struct hash network(const struct world *w) { return roster_network_hash(w->keys[0].network, &w->authority_public); }

static struct order plain(struct world *w, size_t site, size_t issuer, size_t to)
{
	return (struct order){.kind = ORDER_RELOCATE, .site = w->number[site], .issuer = w->number[issuer], .epoch = 1, .roster = w->node[SPOC].core->roster->serial,
			      .issued = world_wall(w, SPOC), .n_assign = 1, .assign = {{.to = w->number[to], .what = ASSIGN_ALL}}};
}

static void follows(struct order *o, const struct hash *before, uint32_t epoch)
{
	o->before = *before;
	o->epoch = epoch;
}

/* from gives it to at. */
static void give(struct world *w, size_t at, size_t from, uint8_t kind, struct view blob)
{
	struct buf b = BUF_EMPTY;
	struct effects out = EFFECTS_EMPTY;
	struct hash none = {{0}};
	struct event ev = {.type = EVENT_FRAME, .now = w->now, .wall = world_wall(w, at)};

	frame_state_give(&b, &none, kind, blob);
	ev.u.frame.peer = w->number[from];
	ev.u.frame.lane = LANE_URGENT;
	ev.u.frame.side = SIDE_DIALLED;
	ev.u.frame.bytes = buf_view(&b);
	assert_int_equal(core_apply(w->node[at].core, w->node[at].store, &ev, 1, &out), ERR_OK);
	effects_release(&out);
	buf_release(&b);
}

/* Signed by signer, given by ANTWERPEN to every other site. */
static struct hash give_all(struct world *w, const struct order *o, size_t signer)
{
	struct buf blob = BUF_EMPTY;
	struct hash net = network(w), id;
	struct order again;

	assert_int_equal(order_make(w->suite, &w->keys[signer].identity, &net, o, &blob), ERR_OK);
	assert_int_equal(order_decode(buf_view(&blob), &again, &id), ERR_OK);
	for (size_t i = 0; i < N; i++)
		if (i != ANTWERPEN)
			give(w, i, ANTWERPEN, STATE_KIND_ORDER, buf_view(&blob));
	buf_release(&blob);
	world_run(w, 15 * US_PER_S);
	return id;
}

static enum order_state state_at(const struct world *w, size_t i, const struct hash *id)
{
	const struct order_known *o = order_find(w->node[i].core, id);

	return o ? o->state : 0;
}

static void not_taken(struct world *w, const struct hash *id)
{
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(state_at(w, i, id), 0);
		if (i != ANTWERPEN && !world_alarm(w, i, "order"))
			fail_msg("%s does not tell", SITES[i]);
		assert_true(serves(w, i, LUIK));
	}
}

static void is_everywhere(struct world *w, const struct hash *id, enum order_state state, const char *why, bool alarm)
{
	for (size_t i = 0; i < N; i++) {
		const struct order_known *o = order_find(w->node[i].core, id);

		if (!o || o->state != state || !strstr(o->why, why))
			fail_msg("%s: %s, %s", SITES[i], o ? order_state_name(o->state) : "unknown", o ? o->why : "");
		if (alarm && !world_alarm(w, i, "order"))
			fail_msg("%s does not tell", SITES[i]);
	}
}

/* What its own roster says is wrong is kept nowhere. */
static void what_cannot_be_obeyed_is_not_kept(void **state)
{
	(void)state;
	for (int k = 0; k < 9; k++) {
		struct world w;
		size_t signer = SPOC;

		world_init(&w, SITES, N, (uint64_t)k + 10);
		world_run(&w, 2 * US_PER_S);
		struct order o = plain(&w, LUIK, SPOC, NAMEN);

		switch (k) {
		case 0: o.site = 9999; break;
		case 1: o.assign[0].to = 9999; break;
		case 2: o.assign[0].what = ASSIGN_QUEUE; strcpy(o.assign[0].queue, "nothing"); break;
		case 3: o.assign[0].what = ASSIGN_AREA; o.assign[0].area = 77; break;
		case 4: o.assign[0].to = o.site; break;
		case 5: o.assign[1] = o.assign[0]; o.n_assign = 2; break;
		case 6: o.assign[0].what = ASSIGN_SHARE; o.assign[0].until = SHARES / 2; break;
		case 7: signer = ANTWERPEN; break; /* forged */
		case 8: o.issuer = 9999; break;
		}
		struct hash id = give_all(&w, &o, signer);

		not_taken(&w, &id);
		world_release(&w);
	}
}

/* What needs others is kept, and does nothing: one site alone, whatever it signs, is no quorum. */
static void one_site_is_no_quorum(void **state)
{
	struct world w;
	struct hash id, net;
	struct buf blob = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, N, 30);
	world_run(&w, 2 * US_PER_S);
	struct order o = plain(&w, LUIK, ANTWERPEN, ANTWERPEN), other = plain(&w, LUIK, ANTWERPEN, NAMEN);

	id = give_all(&w, &o, ANTWERPEN);
	is_everywhere(&w, &id, ORDER_PENDING, "waits for 2 more endorsements (cic-antwerpen stands for it)", false);
	struct hash elsewhere = give_all(&w, &other, ANTWERPEN);

	net = network(&w);
	struct { struct hash order; size_t site, signer; } words[] = {
		{id, ANTWERPEN, ANTWERPEN},    /* its issuer once more */
		{id, LUIK, LUIK},              /* the site that it is about */
		{elsewhere, NAMEN, NAMEN},     /* something else */
		{{{0x77}}, LEUVEN, LEUVEN},    /* what nobody knows */
		{id, NAMEN, ANTWERPEN},        /* forged */
		{id, LEUVEN, LEUVEN}, {id, LEUVEN, LEUVEN}, /* one site, twice */
	};

	for (size_t k = 0; k < sizeof words / sizeof words[0]; k++) {
		struct endorsement e = {.order = words[k].order, .site = w.number[words[k].site], .signed_at = world_wall(&w, SPOC)};

		e.last.us = e.signed_at.us + US_PER_DAY + (int64_t)k;
		buf_clear(&blob);
		assert_int_equal(endorsement_make(w.suite, &w.keys[words[k].signer].identity, &net, &e, &blob), ERR_OK);
		for (size_t i = 0; i < N; i++)
			if (i != ANTWERPEN)
				give(&w, i, ANTWERPEN, STATE_KIND_ENDORSEMENT, buf_view(&blob));
		world_run(&w, 15 * US_PER_S);
	}
	buf_release(&blob);
	is_everywhere(&w, &id, ORDER_PENDING, "waits for 1 more endorsement (", false);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(order_find(w.node[i].core, &id)->votes, 2);
	assert_true(world_alarm(&w, NAMEN, "order")); /* the forged one, and Luik's */
	world_release(&w);
}

static void predecessors(void **state)
{
	struct world w;
	struct hash first, id, unknown = {{0x55, 1}};

	(void)state;
	world_init(&w, SITES, N, 31);
	world_run(&w, 2 * US_PER_S);
	struct order o = plain(&w, LUIK, SPOC, NAMEN);

	first = give_all(&w, &o, SPOC);
	is_everywhere(&w, &first, ORDER_IN_FORCE, "", false);
	o = plain(&w, LUIK, SPOC, LEUVEN);
	follows(&o, &unknown, 2);
	id = give_all(&w, &o, SPOC);
	is_everywhere(&w, &id, ORDER_PENDING, "its predecessor 55010000 is not known here", false);
	o = plain(&w, LUIK, SPOC, LEUVEN);
	follows(&o, &first, 3);
	id = give_all(&w, &o, SPOC);
	is_everywhere(&w, &id, ORDER_REFUSED, "its epoch is 3", true);
	o = plain(&w, LUIK, LUIK, LEUVEN); /* stale: the site's own, beside the relocator's */
	id = give_all(&w, &o, LUIK);
	is_everywhere(&w, &id, ORDER_SUPERSEDED, "superseded by", true);
	is_everywhere(&w, &first, ORDER_IN_FORCE, "", false);
	world_release(&w);
}

/* ---- successors that are away ------------------------------------------------------------------------------------------ */

/* The order names that of its successor, which moves it away: refused wherever both are, in whichever order they come. */
static void a_relocated_successor(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		struct world w;
		struct hash away, id, net, home;
		struct buf blob = BUF_EMPTY;

		world_init(&w, SITES, N, 40);
		world_run(&w, 2 * US_PER_S);
		struct order of_namen = plain(&w, NAMEN, SPOC, LEUVEN), o = plain(&w, LUIK, SPOC, NAMEN), again;

		net = network(&w);
		assert_int_equal(order_make(w.suite, &w.keys[SPOC].identity, &net, &of_namen, &blob), ERR_OK);
		assert_int_equal(order_decode(buf_view(&blob), &again, &away), ERR_OK);
		buf_release(&blob);
		o.assign[0].at = away;
		if (!late)
			(void)give_all(&w, &of_namen, SPOC);
		id = give_all(&w, &o, SPOC);
		if (late) {
			is_everywhere(&w, &id, ORDER_PENDING, "it waits for order", false);
			assert_true(serves(&w, NAMEN, LUIK));
			(void)give_all(&w, &of_namen, SPOC);
		}
		is_everywhere(&w, &id, ORDER_REFUSED, "cic-namen is itself relocated by order", true);
		for (size_t i = 0; i < N; i++)
			assert_true(serves(&w, i, LUIK));
		/* An order about something else says nothing of Namen. */
		o.assign[0].at = id;
		id = give_all(&w, &o, SPOC);
		is_everywhere(&w, &id, ORDER_REFUSED, "is about something else", true);
		/* Home again, and named so. */
		o = plain(&w, NAMEN, SPOC, LEUVEN);
		o.kind = ORDER_HANDBACK;
		o.n_assign = 0;
		follows(&o, &away, 2);
		home = give_all(&w, &o, SPOC);
		o = plain(&w, LUIK, SPOC, NAMEN);
		o.assign[0].at = home;
		id = give_all(&w, &o, SPOC);
		is_everywhere(&w, &id, ORDER_IN_FORCE, "", false);
		/* What is ordered about Namen later changes nothing of Luik. */
		o = plain(&w, NAMEN, SPOC, LEUVEN);
		follows(&o, &home, 3);
		(void)give_all(&w, &o, SPOC);
		is_everywhere(&w, &id, ORDER_IN_FORCE, "", false);
		for (size_t i = 0; i < N; i++) {
			world_crash(&w, i);
			world_start(&w, i);
		}
		world_run(&w, 5 * US_PER_S);
		is_everywhere(&w, &id, ORDER_IN_FORCE, "", false);
		world_release(&w);
	}
}

/* ---- a revoked issuer ---------------------------------------------------------------------------------------------------- */

static void a_revoked_issuer(void **state)
{
	struct world w;
	struct hash id, net;
	struct buf blob = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, N, 50);
	world_run(&w, 2 * US_PER_S);
	struct order o = plain(&w, SPOC, LUIK, LEUVEN);

	o.kind = ORDER_REVOKE;
	id = give_all(&w, &o, LUIK);
	net = network(&w);
	for (size_t k = NAMEN; k <= LEUVEN; k++) {
		struct endorsement e = {.order = id, .site = w.number[k], .signed_at = world_wall(&w, LUIK)};

		e.last.us = e.signed_at.us + US_PER_DAY;
		buf_clear(&blob);
		assert_int_equal(endorsement_make(w.suite, &w.keys[k].identity, &net, &e, &blob), ERR_OK);
		give(&w, LUIK, NAMEN, STATE_KIND_ENDORSEMENT, buf_view(&blob));
		world_run(&w, 15 * US_PER_S);
	}
	buf_release(&blob);
	assert_true(site_revoked(w.node[NAMEN].core, w.number[SPOC]));
	o = plain(&w, LUIK, SPOC, NAMEN);
	id = give_all(&w, &o, SPOC);
	for (size_t i = LUIK; i <= LEUVEN; i++) {
		assert_int_equal(state_at(&w, i, &id), 0);
		assert_true(world_alarm(&w, i, "order"));
		assert_true(serves(&w, i, LUIK));
	}
	world_release(&w);
}

/* ---- floods ------------------------------------------------------------------------------------------------------------------ */

struct count { size_t n; };

static enum err count_orders(void *arg, const struct alarm_row *a)
{
	((struct count *)arg)->n += strcmp(a->kind, "order") == 0;
	return ERR_OK;
}

static size_t order_alarms(struct world *w, size_t i)
{
	struct count k = {0};
	struct txn *t;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	assert_int_equal(store_alarm_each(t, count_orders, &k), ERR_OK);
	txn_abort(t);
	return k.n;
}

/* Ten thousand of one peer: a part is kept, some are told of, and all else goes on, also between the others. */
static void flood(struct world *w, bool orders)
{
	struct hash net = network(w);
	struct buf blob = BUF_EMPTY;

	for (uint32_t k = 0; k < JUNK; k++) {
		struct order o = plain(w, LUIK, ANTWERPEN, ANTWERPEN);
		struct endorsement e = {.order = {{1, (uint8_t)(k >> 8), (uint8_t)k}}, .site = w->number[ANTWERPEN], .signed_at = {1000}, .last = {2000 + k}};

		snprintf(o.reason, sizeof o.reason, "junk %u", k);
		buf_clear(&blob);
		if (orders)
			assert_int_equal(order_make(w->suite, &w->keys[ANTWERPEN].identity, &net, &o, &blob), ERR_OK);
		else
			assert_int_equal(endorsement_make(w->suite, &w->keys[ANTWERPEN].identity, &net, &e, &blob), ERR_OK);
		give(w, k % 3, ANTWERPEN, orders ? STATE_KIND_ORDER : STATE_KIND_ENDORSEMENT, buf_view(&blob));
	}
	buf_release(&blob);
}

static void a_flood(bool orders)
{
	struct world w;
	struct msgid id;
	struct taken t = {.body = BUF_EMPTY};

	world_init(&w, SITES, N, 60 + orders);
	world_run(&w, 2 * US_PER_S);
	flood(&w, orders);
	for (size_t i = 0; i < 3; i++) {
		assert_in_range(known(&w, i), 0, 256);
		assert_in_range(w.node[i].core->takeover.n_endorsements, 0, 256);
		assert_true(world_alarm(&w, i, "order"));
		assert_in_range(order_alarms(&w, i), 1, 40);
	}
	world_run(&w, 90 * US_PER_S);
	/* A true order reaches all, is obeyed, and nobody else waits for what was refused. */
	ask_ok(&w, SPOC, "relocate", "cic-luik", "cic-namen");
	assert_int_equal(world_send(&w, SPOC, "cic-luik/dispatch", PREC_FLASH, view_str("m"), NULL, &id, NULL), ERR_OK);
	assert_true(world_take_one(&w, NAMEN, "cic-luik/dispatch", US_PER_S, &t));
	buf_release(&t.body);
	world_run(&w, 60 * US_PER_S);
	static const size_t honest[] = {LUIK, NAMEN, LEUVEN, SPOC};

	for (size_t a = 0; a < 4; a++)
		for (size_t b = 0; b < 4; b++)
			if (a != b && !state_complete(w.node[honest[a]].core, peer_find(w.node[honest[a]].core, w.number[honest[b]])))
				fail_msg("%s waits for %s", SITES[honest[a]], SITES[honest[b]]);
	for (size_t i = 0; i < N; i++)
		assert_false(serves(&w, i, LUIK));
	world_release(&w);
}

/* Who gave more than are kept still gives orders of its own site. */
static void who_floods_is_heard(void **state)
{
	struct world w;
	struct hash id;

	(void)state;
	world_init(&w, SITES, N, 70);
	world_run(&w, 2 * US_PER_S);
	flood(&w, true);
	struct order o = plain(&w, ANTWERPEN, ANTWERPEN, NAMEN);

	id = give_all(&w, &o, ANTWERPEN);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(state_at(&w, i, &id), ORDER_IN_FORCE);
	world_release(&w);
}

static void a_flood_of_orders(void **state)
{
	(void)state;
	a_flood(true);
}

static void a_flood_of_endorsements(void **state)
{
	(void)state;
	a_flood(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_where_they_are_given),
		cmocka_unit_test(what_cannot_be_obeyed_is_not_kept),
		cmocka_unit_test(one_site_is_no_quorum),
		cmocka_unit_test(predecessors),
		cmocka_unit_test(a_relocated_successor),
		cmocka_unit_test(a_revoked_issuer),
		cmocka_unit_test(who_floods_is_heard),
		cmocka_unit_test(a_flood_of_orders),
		cmocka_unit_test(a_flood_of_endorsements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
