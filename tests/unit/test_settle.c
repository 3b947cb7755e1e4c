/* Which order of a chain is in force: from the set of orders and endorsements alone, so that all sites that know the same say the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/orders.h"

#define MOST 24
#define DAY 86400000000LL

/* The orders about cic-luik that are known, in the order in which they came. */
struct known {
	size_t n, n_e;
	struct order o[MOST];
	struct order_case c[MOST];
	struct endorsement e[4 * MOST];
	const struct endorsement *ptrs[4 * MOST];
	bool revoked[MANY + MANY_SITES];
};

static struct hash id_of(unsigned n)
{
	return (struct hash){{(uint8_t)n, 0xaa, (uint8_t)(n >> 8)}};
}

/* Adds order `id` of an issuer behind `before` (0: the first). */
static struct order *add(struct known *k, unsigned id, uint16_t issuer, unsigned before, uint32_t epoch)
{
	struct hash predecessor = id_of(before);
	size_t i = k->n++;

	assert_true(k->n <= MOST);
	k->o[i] = orders_relocation(LUIK, issuer, epoch, before ? &predecessor : NULL);
	orders_assign_all(&k->o[i], NAMEN);
	k->c[i] = (struct order_case){.id = id_of(id)};
	return &k->o[i];
}

/* signed_day and last_day: days after the orders were issued. */
static void endorse(struct known *k, unsigned id, uint16_t site, int signed_day, int last_day)
{
	int64_t start = 1626300000000000;

	assert_true(k->n_e < 4 * MOST);
	k->e[k->n_e++] = (struct endorsement){.order = id_of(id), .site = site, .signed_at = {start + signed_day * DAY},
	                                      .last = {start + last_day * DAY}};
}

static struct order_case *case_of(struct known *k, unsigned id)
{
	struct hash want = id_of(id);

	for (size_t i = 0; i < k->n; i++)
		if (hash_equal(&k->c[i].id, &want))
			return &k->c[i];
	fail_msg("no order %u", id);
	return NULL;
}

/* The id of the order in force, 0 for none. */
static unsigned settle(struct known *k)
{
	struct order_case *now;

	for (size_t i = 0; i < k->n_e; i++)
		k->ptrs[i] = &k->e[i];
	for (size_t i = 0; i < k->n; i++) {
		k->c[i].order = &k->o[i];
		k->c[i].endorsements = k->ptrs;
		k->c[i].n_endorsements = k->n_e;
	}
	now = order_settle(orders_roster(), k->revoked, k->c, k->n);
	for (size_t i = 0; i < k->n; i++)
		assert_int_equal(k->c[i].state == ORDER_IN_FORCE, &k->c[i] == now);
	return now ? now->id.b[0] | (unsigned)now->id.b[2] << 8 : 0;
}

static void assert_state(struct known *k, unsigned id, enum order_state state, const char *why)
{
	struct order_case *c = case_of(k, id);

	if (c->state != state || (why && strcmp(c->why, why) != 0))
		fail_msg("order %u is %s, \"%s\"", id, order_state_name(c->state), c->why);
}

/* ---- keys of before ------------------------------------------------------------------------------------- */

/* Luik is revoked and comes back with a new identity: whoever has the old one gives no orders about it with it. */
static void captured_key_after_handback(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, LUIK, 0, 1);
	k.c[0].by_former = true;
	add(&k, 2, BRUSSEL, 1, 2)->kind = ORDER_REVOKE;
	endorse(&k, 2, 0, 0, 1);
	add(&k, 3, BRUSSEL, 2, 3)->kind = ORDER_HANDBACK;
	k.o[2].n_assign = 0;
	add(&k, 4, LUIK, 3, 4);
	k.c[3].by_former = true;
	assert_int_equal(settle(&k), 3);
	assert_int_equal(case_of(&k, 4)->state, ORDER_PENDING);
	assert_true(case_of(&k, 1)->on_chain); /* what it said before stands */
	k.c[3].by_former = false;
	assert_int_equal(settle(&k), 4);
}

/* Nor about others, once its issuer was revoked. */
static void captured_key_of_a_relocator(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, BRUSSEL, 0, 1);
	k.c[0].by_former = true;
	assert_int_equal(settle(&k), 1); /* it only lost its keys */
	k.c[0].captured = true;
	assert_int_equal(settle(&k), 0);
	assert_int_equal(case_of(&k, 1)->votes, 0);
}

/* ---- chains and forks ----------------------------------------------------------------------------------- */

static void nothing_known(void **state)
{
	(void)state;
	assert_null(order_settle(orders_roster(), NULL, NULL, 0));
}

static void a_chain(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, BRUSSEL, 0, 1);
	add(&k, 2, LUIK, 1, 2);
	add(&k, 3, BRUSSEL, 2, 3)->kind = ORDER_HANDBACK;
	assert_int_equal(settle(&k), 3);
	assert_state(&k, 1, ORDER_SUPERSEDED, "superseded by 02aa0000 of cic-luik (epoch 2)");
	assert_state(&k, 2, ORDER_SUPERSEDED, "superseded by 03aa0000 of spoc-brussel (epoch 3)");
	assert_state(&k, 3, ORDER_IN_FORCE, "");
	assert_true(case_of(&k, 1)->on_chain && case_of(&k, 2)->on_chain && case_of(&k, 3)->on_chain);
	assert_int_equal(case_of(&k, 1)->rank, 1);
	assert_int_equal(case_of(&k, 2)->rank, 2);
	assert_ptr_equal(case_of(&k, 3)->before, case_of(&k, 2));
}

static void late_predecessor(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 3, BRUSSEL, 2, 3);
	add(&k, 1, BRUSSEL, 0, 1);
	assert_int_equal(settle(&k), 1);
	assert_state(&k, 3, ORDER_PENDING, "its predecessor 02aa0000 is not known here");
	assert_false(case_of(&k, 3)->on_chain);
	add(&k, 4, BRUSSEL, 3, 4);
	assert_int_equal(settle(&k), 1);
	assert_state(&k, 4, ORDER_PENDING, "its predecessor 03aa0000 is pending");
	add(&k, 2, BRUSSEL, 1, 2);
	assert_int_equal(settle(&k), 4);
	assert_state(&k, 3, ORDER_SUPERSEDED, NULL);
}

static void fork_by_rank(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, LUIK, 0, 1);     /* the lower id, but the site itself */
	add(&k, 2, BRUSSEL, 0, 1);
	assert_int_equal(settle(&k), 2);
	assert_state(&k, 1, ORDER_SUPERSEDED, "superseded by 02aa0000 of spoc-brussel (epoch 1)");
	assert_false(case_of(&k, 1)->on_chain);
	add(&k, 9, ANTWERPEN, 0, 1); /* a quorum goes before a relocator */
	endorse(&k, 9, NAMEN, 1, 9);
	endorse(&k, 9, LEUVEN, 1, 9);
	assert_int_equal(settle(&k), 9);
	assert_int_equal(case_of(&k, 9)->rank, 0);
	assert_state(&k, 2, ORDER_SUPERSEDED, "superseded by 09aa0000 of cic-antwerpen (epoch 1)");
}

static void fork_by_id(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 7, BRUSSEL, 0, 1);
	add(&k, 5, BRUSSEL, 0, 1);
	add(&k, 6, BRUSSEL, 0, 1);
	assert_int_equal(settle(&k), 5);
	assert_state(&k, 7, ORDER_SUPERSEDED, "superseded by 05aa0000 of spoc-brussel (epoch 1)");
}

/* A longer branch does not win: the first order where two chains differ decides. What follows a loser lost with it. */
static void a_longer_branch_loses(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, BRUSSEL, 0, 1);
	add(&k, 3, BRUSSEL, 1, 2);
	add(&k, 4, BRUSSEL, 3, 3);
	add(&k, 5, BRUSSEL, 4, 4);
	assert_int_equal(settle(&k), 5);
	add(&k, 2, BRUSSEL, 1, 2);
	assert_int_equal(settle(&k), 2);
	assert_state(&k, 3, ORDER_SUPERSEDED, "superseded by 02aa0000 of spoc-brussel (epoch 2)");
	assert_state(&k, 5, ORDER_SUPERSEDED, "superseded by 02aa0000 of spoc-brussel (epoch 2)");
	assert_false(case_of(&k, 5)->on_chain);
	assert_true(case_of(&k, 1)->on_chain);
}

static void an_order_that_is_not_valid_blocks_none(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, ANTWERPEN, 0, 1); /* the lower id, but nobody yet */
	add(&k, 2, LUIK, 0, 1);
	add(&k, 3, BRUSSEL, 0, 1);
	case_of(&k, 3)->check = ERR_REFUSED;
	assert_int_equal(settle(&k), 2);
	assert_state(&k, 1, ORDER_PENDING, "waits for 2 more endorsements (cic-antwerpen stands for it)");
	assert_state(&k, 3, ORDER_REFUSED, "it cannot be obeyed under roster 5: refused");
}

static void refused(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, BRUSSEL, 0, 1);
	add(&k, 2, BRUSSEL, 1, 3);
	add(&k, 3, BRUSSEL, 2, 4);
	assert_int_equal(settle(&k), 1);
	assert_state(&k, 2, ORDER_REFUSED, "its epoch is 3, but that of its predecessor 01aa0000 is 1");
	assert_state(&k, 3, ORDER_REFUSED, "its predecessor 02aa0000 is refused");
}

static void rosters(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, BRUSSEL, 0, 1)->roster = 4;
	case_of(&k, 1)->check = ERR_UNKNOWN_SITE; /* its successor left the roster since */
	assert_int_equal(settle(&k), 1);
	k.o[0].roster = 5;
	assert_int_equal(settle(&k), 0);
	assert_state(&k, 1, ORDER_REFUSED, "it cannot be obeyed under roster 5: no such site, area or group in the roster");
	k.o[0].roster = 6;
	k.c[0].newer_roster = true;
	assert_int_equal(settle(&k), 0);
	assert_state(&k, 1, ORDER_PENDING, "waits for roster 6 (here is 5)");
	k.c[0].check = ERR_REFUSED; /* no roster makes that right */
	assert_int_equal(settle(&k), 0);
	assert_state(&k, 1, ORDER_REFUSED, NULL);
	k.c[0].check = ERR_OK;
	assert_int_equal(settle(&k), 0);
	assert_state(&k, 1, ORDER_PENDING, NULL);
}

/* ---- quorum --------------------------------------------------------------------------------------------- */

static void quorum_reached(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, ANTWERPEN, 0, 1);
	endorse(&k, 1, NAMEN, 1, 9);
	assert_int_equal(settle(&k), 0);
	assert_state(&k, 1, ORDER_PENDING, "waits for 1 more endorsement (cic-namen, cic-antwerpen stand for it)");
	assert_int_equal(case_of(&k, 1)->votes, 2);
	assert_int_equal(case_of(&k, 1)->rank, 3);
	endorse(&k, 1, HAINAUT, 2, 9);
	assert_int_equal(settle(&k), 1);
	assert_int_equal(case_of(&k, 1)->votes, 3);
}

static void one_site_counts_once(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, ANTWERPEN, 0, 1);
	endorse(&k, 1, NAMEN, 1, 9);
	endorse(&k, 1, NAMEN, 2, 9);
	endorse(&k, 1, ANTWERPEN, 1, 9); /* its issuer again */
	assert_int_equal(settle(&k), 0);
	assert_int_equal(case_of(&k, 1)->votes, 2);
}

static void who_does_not_count(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, ANTWERPEN, 0, 1);
	endorse(&k, 1, NAMEN, 1, 9);
	endorse(&k, 1, LUIK, 1, 9);   /* its own site */
	endorse(&k, 2, LEUVEN, 1, 9); /* something else */
	endorse(&k, 1, 999, 1, 9);    /* not in the roster */
	endorse(&k, 1, HAINAUT, 1, 9);
	k.revoked[HAINAUT] = true;
	assert_int_equal(settle(&k), 0);
	assert_int_equal(case_of(&k, 1)->votes, 2);
	k.revoked[HAINAUT] = false;
	assert_int_equal(settle(&k), 1);
	k.revoked[ANTWERPEN] = true; /* its issuer */
	assert_int_equal(settle(&k), 0);
	assert_state(&k, 1, ORDER_PENDING, "waits for 1 more endorsement (cic-namen, cic-hainaut stand for it)");
}

static void the_site_itself_makes_no_quorum(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, LUIK, 0, 1);
	endorse(&k, 1, NAMEN, 1, 9);
	endorse(&k, 1, LEUVEN, 1, 9);
	assert_int_equal(settle(&k), 1);
	assert_int_equal(case_of(&k, 1)->rank, 2);
	assert_int_equal(case_of(&k, 1)->votes, 2);
}

static void an_endorsement_has_a_last_day(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, ANTWERPEN, 0, 1);
	endorse(&k, 1, NAMEN, 1, 3);
	endorse(&k, 1, LEUVEN, 4, 9);  /* the day after the last of Namen */
	assert_int_equal(settle(&k), 0);
	assert_int_equal(case_of(&k, 1)->votes, 2);
	assert_state(&k, 1, ORDER_PENDING, "waits for 1 more endorsement (cic-vlaams-brabant, cic-antwerpen stand for it)");
	endorse(&k, 1, HAINAUT, 3, 3); /* on it */
	assert_int_equal(settle(&k), 1);
	assert_int_equal(case_of(&k, 1)->votes, 3);
}

static void a_renewed_endorsement_counts(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, ANTWERPEN, 0, 1);
	endorse(&k, 1, NAMEN, 1, 2);
	endorse(&k, 1, LEUVEN, 5, 9);
	assert_int_equal(settle(&k), 0);
	endorse(&k, 1, NAMEN, 4, 6);
	assert_int_equal(settle(&k), 1);
}

static void the_authority_alone(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, ANTWERPEN, 0, 1);
	endorse(&k, 1, 0, 1, 1);
	add(&k, 2, BRUSSEL, 0, 1);
	assert_int_equal(settle(&k), 1);
	assert_int_equal(case_of(&k, 1)->rank, 0);
	endorse(&k, 2, 0, 1, 1); /* both: the lower id, still */
	assert_int_equal(settle(&k), 1);
}

/* ---- revocations ---------------------------------------------------------------------------------------- */

static void a_revoked_relocator(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, BRUSSEL, 0, 1);
	k.revoked[BRUSSEL] = true;
	assert_int_equal(settle(&k), 0);
	assert_state(&k, 1, ORDER_PENDING, "waits for 3 more endorsements");
}

static void a_revocation_needs_more_than_one(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, BRUSSEL, 0, 1)->kind = ORDER_REVOKE;
	assert_int_equal(settle(&k), 0);
	assert_state(&k, 1, ORDER_PENDING, "waits for 2 more endorsements (spoc-brussel stands for it)");
	endorse(&k, 1, 0, 1, 9);
	assert_int_equal(settle(&k), 1);
	assert_true(case_of(&k, 1)->revoked);
}

/* What the site said before it was revoked stays the beginning of its chain; afterwards it has no say until a handback. */
static void a_revoked_site(void **state)
{
	(void)state;
	struct known k = {0};

	add(&k, 1, LUIK, 0, 1);
	add(&k, 2, ANTWERPEN, 1, 2)->kind = ORDER_REVOKE;
	endorse(&k, 2, 0, 1, 9);
	k.revoked[LUIK] = true;
	assert_int_equal(settle(&k), 2);
	assert_false(case_of(&k, 1)->revoked);
	add(&k, 3, LUIK, 2, 3);
	assert_int_equal(settle(&k), 2);
	assert_state(&k, 3, ORDER_PENDING, "waits for 3 more endorsements");
	add(&k, 4, BRUSSEL, 2, 3)->n_assign = 0;
	orders_assign_queue(&k.o[3], NAMEN, "dispatch");
	assert_int_equal(settle(&k), 2);
	assert_state(&k, 4, ORDER_REFUSED, "its site is revoked and serves nothing before a handback");
	add(&k, 5, BRUSSEL, 2, 3);
	assert_int_equal(settle(&k), 5);
	assert_true(case_of(&k, 5)->revoked);
	add(&k, 6, BRUSSEL, 5, 4)->kind = ORDER_HANDBACK;
	add(&k, 7, LUIK, 6, 5);
	assert_int_equal(settle(&k), 7);
	assert_false(case_of(&k, 7)->revoked);
}

/* The revocation is in the operational chain; the exercise's has to be told. */
static void a_revoked_site_in_exercises(void **state)
{
	(void)state;
	struct known k = {0};

	strcpy(add(&k, 1, LUIK, 0, 1)->exercise, "oefening");
	assert_int_equal(settle(&k), 1);
	k.revoked[LUIK] = true;
	assert_int_equal(settle(&k), 0);
}

/* ---- the order in which they came ----------------------------------------------------------------------- */

static unsigned pick(struct rng *r, unsigned n)
{
	return (unsigned)(rng_u64(r) % n);
}

/* A site moves in one exercise at a time: an order of another one behind it is refused, until it was handed back. */
static void one_exercise_at_a_time(void **state)
{
	(void)state;
	struct known k = {0};
	struct order *back;

	strcpy(add(&k, 1, BRUSSEL, 0, 1)->exercise, "alpha");
	strcpy(add(&k, 2, BRUSSEL, 1, 2)->exercise, "beta");
	assert_int_equal(settle(&k), 1);
	assert_state(&k, 2, ORDER_REFUSED, "its site is still moved in the exercise \"alpha\" by 01aa0000");
	back = add(&k, 3, BRUSSEL, 1, 2);
	back->kind = ORDER_HANDBACK;
	back->n_assign = 0;
	strcpy(back->exercise, "alpha");
	strcpy(add(&k, 4, BRUSSEL, 3, 3)->exercise, "beta");
	assert_int_equal(settle(&k), 4);
}

static void random_order(struct rng *r, struct known *k, unsigned id)
{
	static const uint16_t issuers[] = {BRUSSEL, BRUSSEL, LUIK, LUIK, NAMEN, ANTWERPEN};
	unsigned before = id > 1 ? pick(r, id) : 0;
	uint32_t epoch = before ? case_of(k, before)->order->epoch + 1 : 1;
	struct order *o = add(k, id, issuers[pick(r, 6)], before, epoch + (pick(r, 20) == 0 ? 1 : 0));

	if (!before)
		o->epoch = 1;
	o->kind = (uint8_t)(pick(r, 3) == 0 ? ORDER_HANDBACK : pick(r, 8) == 0 ? ORDER_REVOKE : ORDER_RELOCATE);
	o->issued.us += (int64_t)pick(r, 5) * DAY;
	case_of(k, id)->order = o;
	if (pick(r, 15) == 0)
		case_of(k, id)->check = ERR_REFUSED;
	while (pick(r, 3))
		endorse(k, id, (uint16_t)pick(r, 7), (int)pick(r, 6), (int)(2 + pick(r, 8)));
	if (k->n_e > 3 * MOST)
		k->n_e = 3 * MOST;
}

/* The same knowledge as it might have come to another site. */
static struct known shuffled(struct rng *r, const struct known *k)
{
	struct known to = *k;

	for (size_t i = to.n; i > 1; i--) {
		size_t j = pick(r, (unsigned)i);
		struct order o = to.o[j];
		struct order_case c = to.c[j];

		to.o[j] = to.o[i - 1];
		to.c[j] = to.c[i - 1];
		to.o[i - 1] = o;
		to.c[i - 1] = c;
	}
	for (size_t i = to.n_e; i > 1; i--) {
		size_t j = pick(r, (unsigned)i);
		struct endorsement e = to.e[j];

		to.e[j] = to.e[i - 1];
		to.e[i - 1] = e;
	}
	return to;
}

static void assert_same(struct known *a, struct known *b)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct order_case *x = &a->c[i], *y = case_of(b, x->id.b[0]);

		assert_int_equal(x->state, y->state);
		assert_int_equal(x->rank, y->rank);
		assert_int_equal(x->votes, y->votes);
		assert_int_equal(x->on_chain, y->on_chain);
		assert_int_equal(x->revoked, y->revoked);
		assert_string_equal(x->why, y->why);
	}
}

static void whatever_came_first(void **state)
{
	(void)state;
	struct rng r;
	unsigned in_force = 0;

	rng_seed(&r, (const uint8_t[32]){20, 21, 7, 14});
	for (int round = 0; round < 200; round++) {
		struct known k = {0};
		unsigned now;

		for (unsigned id = 1; id <= 14; id++)
			random_order(&r, &k, id);
		k.revoked[ANTWERPEN] = pick(&r, 4) == 0;
		now = settle(&k);
		in_force += now != 0;
		for (int again = 0; again < 8; again++) {
			struct known other = shuffled(&r, &k);

			assert_int_equal(settle(&other), now);
			assert_same(&k, &other);
		}
	}
	assert_true(in_force > 100);
}

static void the_longest_chain(void **state)
{
	(void)state;
	struct order *o = calloc(LIMIT_CHAIN, sizeof *o);
	struct order_case *c = calloc(LIMIT_CHAIN, sizeof *c);

	for (unsigned i = 0; i < LIMIT_CHAIN; i++) {
		struct hash before = id_of(i);
		unsigned at = i * 2741 % LIMIT_CHAIN; /* mixed up */

		o[at] = orders_relocation(LUIK, BRUSSEL, i + 1, i ? &before : NULL);
		orders_assign_all(&o[at], NAMEN);
		c[at] = (struct order_case){.order = &o[at], .id = id_of(i + 1)};
	}
	assert_int_equal(order_settle(orders_roster(), NULL, c, LIMIT_CHAIN)->order->epoch, LIMIT_CHAIN);
	free(o);
	free(c);
}

static void state_names(void **state)
{
	(void)state;
	assert_string_equal(order_state_name(ORDER_IN_FORCE), "in_force");
	assert_string_equal(order_state_name(ORDER_REFUSED), "refused");
	assert_string_equal(order_state_name(0), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(captured_key_after_handback),
		cmocka_unit_test(captured_key_of_a_relocator),
		cmocka_unit_test(nothing_known), cmocka_unit_test(a_chain), cmocka_unit_test(late_predecessor), cmocka_unit_test(fork_by_rank),
		cmocka_unit_test(fork_by_id), cmocka_unit_test(a_longer_branch_loses), cmocka_unit_test(an_order_that_is_not_valid_blocks_none),
		cmocka_unit_test(refused), cmocka_unit_test(rosters), cmocka_unit_test(quorum_reached), cmocka_unit_test(one_site_counts_once),
		cmocka_unit_test(who_does_not_count), cmocka_unit_test(the_site_itself_makes_no_quorum),
		cmocka_unit_test(an_endorsement_has_a_last_day), cmocka_unit_test(a_renewed_endorsement_counts),
		cmocka_unit_test(the_authority_alone), cmocka_unit_test(a_revoked_relocator), cmocka_unit_test(a_revocation_needs_more_than_one),
		cmocka_unit_test(a_revoked_site), cmocka_unit_test(a_revoked_site_in_exercises), cmocka_unit_test(one_exercise_at_a_time),
		cmocka_unit_test(whatever_came_first),
		cmocka_unit_test(the_longest_chain), cmocka_unit_test(state_names),
	};

	return crypt_start() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
