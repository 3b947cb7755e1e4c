/* Orders: their bytes, what can be obeyed, and who has a message under one. test_settle.c has which of several is in force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/codec.h"
#include "tests/lib/orders.h"

/* ---- bytes ---------------------------------------------------------------------------------------------- */

static struct buf made(const struct crypt_suite *suite, const struct order *o)
{
	struct sign_secret key = orders_key(o->issuer);
	struct buf b = BUF_EMPTY;

	assert_int_equal(order_make(suite, &key, &orders_roster()->network_hash, o, &b), ERR_OK);
	return b;
}

static enum err decode_order(void *arg, struct view v)
{
	(void)arg;
	struct order o;
	struct hash id;

	return order_decode(v, &o, &id);
}

static enum err open_order(void *arg, struct view v)
{
	const struct crypt_suite *suite = arg;
	struct order o;
	struct hash id;
	enum err e = order_decode(v, &o, &id);

	return e ? e : order_verify(suite, orders_roster(), v, &o);
}

/* Everything that an order can say, but what only a handback and only a revocation can. */
static struct order full_order(void)
{
	struct order o = orders_relocation(LUIK, BRUSSEL, 2, &(struct hash){{0xbe}});

	strcpy(o.exercise, "vaste-oefening");
	orders_assign_queue(&o, NAMEN, "dispatch");
	orders_assign_area(&o, LEUVEN, EUPEN);
	orders_assign_share(&o, LUIK, 0, 2500);
	orders_assign_share(&o, LEUVEN, 2500, SHARES);
	memset(o.assign[0].at.b, 0x77, HASH_BYTES);
	return o;
}

static void order_round_trip(void **state)
{
	(void)state;
	struct order o = full_order(), back;
	struct buf b = made(&crypt_suite_real, &o), again;
	struct hash id, expected = crypt_hash(HASH_STATE, view_of(b.ptr, b.len - SIGNATURE_BYTES));

	assert_int_equal(order_decode(buf_view(&b), &back, &id), ERR_OK);
	assert_true(hash_equal(&id, &expected));
	assert_int_equal(back.kind, ORDER_RELOCATE);
	assert_int_equal(back.site, LUIK);
	assert_int_equal(back.issuer, BRUSSEL);
	assert_int_equal(back.epoch, 2);
	assert_int_equal(back.before.b[0], 0xbe);
	assert_int_equal(back.roster, 5);
	assert_int_equal(back.issued.us, o.issued.us);
	assert_string_equal(back.exercise, "vaste-oefening");
	assert_string_equal(back.reason, "flood");
	assert_int_equal(back.n_assign, 4);
	assert_memory_equal(back.assign, o.assign, sizeof o.assign);
	again = made(&crypt_suite_real, &back);
	assert_true(view_equal(buf_view(&b), buf_view(&again)));
	assert_cuts_refused(buf_view(&b), open_order, (void *)(uintptr_t)&crypt_suite_real);
	assert_trailing_refused(buf_view(&b), open_order, (void *)(uintptr_t)&crypt_suite_real);
	assert_flips_refused(buf_view(&b), open_order, (void *)(uintptr_t)&crypt_suite_real);
	buf_release(&b);
	buf_release(&again);
}

static void order_golden(void **state)
{
	(void)state;
	struct order o = full_order();
	struct buf b = made(&crypt_suite_real, &o);

	assert_hex(view_of(b.ptr, b.len - SIGNATURE_BYTES),
	           "01 01 0002 0001 00000002 be00000000000000000000000000000000000000000000000000000000000000 00000005 0005c71c79cc5800"
	           " 0e 76617374652d6f6566656e696e67 0005 666c6f6f64 04"
	           " 0003 01 7777777777777777777777777777777777777777777777777777777777777777 08 6469737061746368"
	           " 0004 02 0000000000000000000000000000000000000000000000000000000000000000 0001"
	           " 0002 03 0000000000000000000000000000000000000000000000000000000000000000 0000 09c4"
	           " 0004 03 0000000000000000000000000000000000000000000000000000000000000000 09c4 2710"
	           " 00 0000");
	assert_int_equal(open_order((void *)(uintptr_t)&crypt_suite_real, buf_view(&b)), ERR_OK);
	buf_release(&b);
}

static void order_signature(void **state)
{
	(void)state;
	struct order o = full_order();
	struct sign_secret namen = orders_key(NAMEN);
	struct hash elsewhere = {{1}};
	struct roster other = *orders_roster();
	struct buf b = BUF_EMPTY;
	struct sign_secret brussel = orders_key(BRUSSEL);

	assert_int_equal(order_make(&crypt_suite_real, &namen, &other.network_hash, &o, &b), ERR_OK);
	assert_int_equal(order_verify(&crypt_suite_real, &other, buf_view(&b), &o), ERR_AUTH);
	buf_clear(&b);
	assert_int_equal(order_make(&crypt_suite_real, &brussel, &elsewhere, &o, &b), ERR_OK);
	assert_int_equal(order_verify(&crypt_suite_real, &other, buf_view(&b), &o), ERR_AUTH);
	other.network_hash = elsewhere;
	assert_int_equal(order_verify(&crypt_suite_real, &other, buf_view(&b), &o), ERR_OK);
	o.issuer = 999;
	assert_int_equal(order_verify(&crypt_suite_real, &other, buf_view(&b), &o), ERR_UNKNOWN_SITE);
	buf_release(&b);
}

static enum err make_error(const struct order *o)
{
	struct sign_secret key = orders_key(BRUSSEL);
	struct buf b = BUF_EMPTY;
	enum err e = order_make(&crypt_suite_fast, &key, &orders_roster()->network_hash, o, &b);

	assert_true(e == ERR_OK || b.len == 0);
	buf_release(&b);
	return e;
}

#define REFUSES(kind_, error, change) \
	do { \
		struct order o = orders_relocation(LUIK, BRUSSEL, 1, NULL); \
		orders_assign_all(&o, NAMEN); \
		if ((kind_) == ORDER_HANDBACK) \
			o.n_assign = 0; \
		o.kind = (kind_); \
		assert_int_equal(make_error(&o), ERR_OK); \
		change; \
		assert_int_equal(make_error(&o), error); \
	} while (0)

static void order_refuses_shapes(void **state)
{
	(void)state;
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, o.kind = 0);
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, o.kind = 4);
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, o.site = 0);
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, o.issuer = 0);
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, o.issued.us = -1);
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, o.issued.us = LIMIT_WALL_US + 1);
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, strcpy(o.reason, "two\nlines"));
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, strcpy(o.exercise, "\x80"));
	REFUSES(ORDER_RELOCATE, ERR_RANGE, o.epoch = 0);
	REFUSES(ORDER_RELOCATE, ERR_RANGE, o.epoch = LIMIT_CHAIN + 1);
	REFUSES(ORDER_RELOCATE, ERR_RANGE, o.epoch = 2);         /* the second has a predecessor */
	REFUSES(ORDER_RELOCATE, ERR_RANGE, o.before.b[31] = 1);  /* the first has none */
	REFUSES(ORDER_RELOCATE, ERR_RANGE, o.n_assign = 0);      /* that would be a handback */
	REFUSES(ORDER_REVOKE, ERR_RANGE, o.n_assign = 0);
	REFUSES(ORDER_HANDBACK, ERR_RANGE, o.n_assign = 1);
	REFUSES(ORDER_RELOCATE, ERR_RANGE, o.without[o.n_without++] = 3);
	REFUSES(ORDER_HANDBACK, ERR_FORMAT, o.n_without = 1);    /* site 0 */
	REFUSES(ORDER_HANDBACK, ERR_TOO_LARGE, o.n_without = LIMIT_WITHOUT + 1);
	REFUSES(ORDER_RELOCATE, ERR_TOO_LARGE, o.n_assign = LIMIT_ASSIGNMENTS + 1);
	REFUSES(ORDER_RELOCATE, ERR_RANGE, o.n_points = 1);
	REFUSES(ORDER_REVOKE, ERR_TRUNCATED, o.n_points = 1);    /* one said, none there */
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, o.assign[0].to = 0);
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, o.assign[0].what = 4);
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, o.assign[0].what = ASSIGN_QUEUE);
	REFUSES(ORDER_RELOCATE, ERR_FORMAT, o.assign[0].what = ASSIGN_AREA);
	REFUSES(ORDER_RELOCATE, ERR_RANGE, orders_assign_share(&o, NAMEN, 10, 10));
	REFUSES(ORDER_RELOCATE, ERR_RANGE, orders_assign_share(&o, NAMEN, 10, SHARES + 1));
}

/* The same rules for what others wrote: the byte is changed under a signature that does not matter to the decoder. */
static enum err decode_with(size_t at, uint8_t value)
{
	struct order o = orders_relocation(LUIK, BRUSSEL, 1, NULL);
	struct buf b;
	enum err e;

	orders_assign_all(&o, NAMEN);
	b = made(&crypt_suite_fast, &o);
	b.ptr[at] = value;
	e = decode_order(NULL, buf_view(&b));
	buf_release(&b);
	return e;
}

static void order_decoder_refuses(void **state)
{
	(void)state;
	struct view huge = view_of(NULL, LIMIT_STATE_BYTES + 1);

	assert_int_equal(decode_with(0, 0), ERR_FORMAT);
	assert_int_equal(decode_with(0, 2), ERR_FORMAT); /* the version of MINIMIZE, the kind of another */
	assert_int_equal(decode_with(0, 3), ERR_VERSION);
	assert_int_equal(decode_with(1, 9), ERR_FORMAT);
	assert_int_equal(decode_with(1, ORDER_HANDBACK), ERR_RANGE);
	assert_int_equal(decode_with(9, 2), ERR_RANGE);   /* epoch 2, no predecessor */
	assert_int_equal(decode_with(54, 49), ERR_TOO_LARGE); /* length of the exercise's name */
	assert_int_equal(decode_with(62, LIMIT_ASSIGNMENTS + 1), ERR_TOO_LARGE);
	assert_int_equal(decode_order(NULL, huge), ERR_TOO_LARGE);
	assert_int_equal(decode_order(NULL, view_of(NULL, 0)), ERR_TRUNCATED);
}

static void revocation_points(void **state)
{
	(void)state;
	struct order o = orders_relocation(LUIK, BRUSSEL, 1, NULL), back;
	struct frontier f = {.stream = {.originator = LUIK, .addressee = NAMEN}, .number = 9}, g;
	struct buf points = BUF_EMPTY, b;
	struct view rest;
	struct hash id;

	orders_assign_all(&o, NAMEN);
	o.kind = ORDER_REVOKE;
	frontier_add(&points, &f);
	o.n_points = 1;
	o.points = buf_view(&points);
	b = made(&crypt_suite_fast, &o);
	assert_int_equal(order_decode(buf_view(&b), &back, &id), ERR_OK);
	rest = back.points;
	assert_int_equal(frontier_next(&rest, &g), ERR_OK);
	assert_int_equal(g.number, 9);
	buf_clear(&points);
	f.not_whole = 1;
	f.missing[0] = 3;
	frontier_add(&points, &f);
	o.points = buf_view(&points);
	assert_int_equal(make_error(&o), ERR_FORMAT); /* a point has no holes */
	buf_clear(&points);
	f.not_whole = 0;
	o.n_points = 1000;
	for (unsigned i = 0; i < o.n_points; i++)
		frontier_add(&points, &f);
	o.points = buf_view(&points);
	assert_int_equal(make_error(&o), ERR_TOO_LARGE);
	buf_release(&points);
	buf_release(&b);
}

/* ---- endorsements --------------------------------------------------------------------------------------- */

static enum err open_endorsement(void *arg, struct view v)
{
	struct sign_secret authority = orders_key(0);
	struct endorsement e;
	struct sign_public pub;
	struct hash id;
	enum err rc = endorsement_decode(v, &e, &id);

	sign_public_of(&authority, &pub);
	return rc ? rc : endorsement_verify(arg, orders_roster(), &pub, v, &e);
}

static struct endorsement sample_endorsement(uint16_t site)
{
	struct endorsement e = {.site = site, .signed_at = {1626300000000000}, .last = {1626400000000000}};

	memset(e.order.b, 0x33, HASH_BYTES);
	return e;
}

static struct buf endorsed(const struct endorsement *e, uint16_t by)
{
	struct sign_secret key = orders_key(by);
	struct buf b = BUF_EMPTY;

	assert_int_equal(endorsement_make(&crypt_suite_real, &key, &orders_roster()->network_hash, e, &b), ERR_OK);
	return b;
}

static void endorsement_round_trip(void **state)
{
	(void)state;
	struct endorsement e = sample_endorsement(NAMEN), back;
	struct buf b = endorsed(&e, NAMEN);
	void *suite = (void *)(uintptr_t)&crypt_suite_real;
	struct hash id;

	assert_hex(view_of(b.ptr, b.len - SIGNATURE_BYTES), "01 3333333333333333333333333333333333333333333333333333333333333333 0003"
	           " 0005c71c79cc5800 0005c733c2434000 0000");
	assert_int_equal(endorsement_decode(buf_view(&b), &back, &id), ERR_OK);
	assert_true(hash_equal(&back.order, &e.order));
	assert_int_equal(back.site, NAMEN);
	assert_int_equal(back.signed_at.us, e.signed_at.us);
	assert_int_equal(back.last.us, e.last.us);
	assert_cuts_refused(buf_view(&b), open_endorsement, suite);
	assert_trailing_refused(buf_view(&b), open_endorsement, suite);
	assert_flips_refused(buf_view(&b), open_endorsement, suite);
	buf_release(&b);
}

static void endorsement_refuses(void **state)
{
	(void)state;
	struct endorsement e = sample_endorsement(0), back;
	struct sign_secret key = orders_key(0);
	struct hash id, network = orders_roster()->network_hash;
	struct buf b = endorsed(&e, 0), out = BUF_EMPTY;
	struct sign_public namen;

	sign_public_of(&(struct sign_secret){{0}}, &namen);
	assert_int_equal(open_endorsement((void *)(uintptr_t)&crypt_suite_real, buf_view(&b)), ERR_OK); /* the authority's */
	assert_int_equal(endorsement_decode(buf_view(&b), &back, &id), ERR_OK);
	assert_int_equal(endorsement_verify(&crypt_suite_real, orders_roster(), NULL, buf_view(&b), &back), ERR_KEY);
	assert_int_equal(endorsement_verify(&crypt_suite_real, orders_roster(), &namen, buf_view(&b), &back), ERR_AUTH);
	back.site = 999;
	assert_int_equal(endorsement_verify(&crypt_suite_real, orders_roster(), NULL, buf_view(&b), &back), ERR_UNKNOWN_SITE);
	back.site = NAMEN; /* signed by another */
	assert_int_equal(endorsement_verify(&crypt_suite_real, orders_roster(), NULL, buf_view(&b), &back), ERR_AUTH);
	e.last.us = e.signed_at.us - 1;
	assert_int_equal(endorsement_make(&crypt_suite_real, &key, &network, &e, &out), ERR_RANGE);
	e = sample_endorsement(0);
	e.last.us = LIMIT_WALL_US + 1;
	assert_int_equal(endorsement_make(&crypt_suite_real, &key, &network, &e, &out), ERR_FORMAT);
	e = (struct endorsement){.site = NAMEN};
	assert_int_equal(endorsement_make(&crypt_suite_real, &key, &network, &e, &out), ERR_FORMAT); /* of no order */
	b.ptr[0] = 2;
	assert_int_equal(endorsement_decode(buf_view(&b), &back, &id), ERR_VERSION);
	buf_release(&b);
	buf_release(&out);
}

/* ---- can it be obeyed? ---------------------------------------------------------------------------------- */

static void assert_check(const struct order *o, enum err expected, const char *says)
{
	struct errmsg m = {0};

	assert_int_equal(order_check(orders_roster(), o, &m), expected);
	if (expected && !strstr(m.text, says))
		fail_msg("\"%s\" does not say \"%s\"", m.text, says);
	assert_int_equal(order_check(orders_roster(), o, NULL), expected);
}

static struct order blank(void)
{
	return orders_relocation(LUIK, BRUSSEL, 1, NULL);
}

static void check_takes(void **state)
{
	(void)state;
	struct order o = full_order();

	assert_check(&o, ERR_OK, "");
	o = blank();
	orders_assign_all(&o, LEUVEN);
	orders_assign_queue(&o, NAMEN, "dispatch");
	orders_assign_area(&o, NAMEN, EUPEN);
	assert_check(&o, ERR_OK, "");
	o.kind = ORDER_REVOKE;
	assert_check(&o, ERR_OK, "");
	o.kind = ORDER_HANDBACK;
	o.n_assign = 0;
	assert_check(&o, ERR_OK, "");
	o = blank();
	for (uint16_t i = 0; i < LIMIT_SUCCESSORS; i++)
		orders_assign_share(&o, (uint16_t)(MANY + i), (uint16_t)(i * 1000), (uint16_t)(i * 1000 + 1000));
	orders_assign_share(&o, LUIK, LIMIT_SUCCESSORS * 1000, SHARES); /* home is no successor */
	assert_check(&o, ERR_OK, "");
}

static void check_unknown(void **state)
{
	(void)state;
	struct order o = blank();

	orders_assign_all(&o, 999);
	assert_check(&o, ERR_UNKNOWN_SITE, "no site 999 to serve cic-luik");
	o = blank();
	orders_assign_all(&o, NAMEN);
	o.site = 999;
	assert_check(&o, ERR_UNKNOWN_SITE, "no site 999 to give orders about");
	o = blank();
	orders_assign_all(&o, NAMEN);
	o.issuer = 999;
	assert_check(&o, ERR_UNKNOWN_SITE, "no site 999, which issued");
	o = blank();
	orders_assign_queue(&o, NAMEN, "post");
	assert_check(&o, ERR_UNKNOWN_QUEUE, "cic-luik has no queue \"post\"");
	o = blank();
	orders_assign_area(&o, NAMEN, 99);
	assert_check(&o, ERR_UNKNOWN_SITE, "no service area 99");
	o = blank();
	orders_assign_area(&o, LEUVEN, DINANT);
	assert_check(&o, ERR_UNKNOWN_SITE, "dinant belongs to cic-namen, not to cic-luik");
}

static void check_twice(void **state)
{
	(void)state;
	struct order o = blank();

	orders_assign_queue(&o, NAMEN, "dispatch");
	orders_assign_queue(&o, LEUVEN, "dispatch");
	assert_check(&o, ERR_REFUSED, "a queue is assigned twice");
	o = blank();
	orders_assign_area(&o, NAMEN, EUPEN);
	orders_assign_area(&o, LEUVEN, EUPEN);
	assert_check(&o, ERR_REFUSED, "a service area is assigned twice");
	o = blank();
	orders_assign_all(&o, NAMEN);
	orders_assign_all(&o, NAMEN);
	assert_check(&o, ERR_REFUSED, "everything is assigned twice");
	o = blank();
	orders_assign_share(&o, NAMEN, 0, SHARES);
	orders_assign_all(&o, NAMEN);
	assert_check(&o, ERR_REFUSED, "everything is assigned beside shares");
	o = blank();
	orders_assign_share(&o, NAMEN, 0, 5001);
	orders_assign_share(&o, LEUVEN, 5000, SHARES);
	assert_check(&o, ERR_REFUSED, "two shares overlap");
	o = blank();
	orders_assign_share(&o, NAMEN, 0, 5000);
	orders_assign_share(&o, LEUVEN, 5001, SHARES);
	assert_check(&o, ERR_REFUSED, "the shares make 9999 of 10000");
}

static void check_successors(void **state)
{
	(void)state;
	struct order o = blank();

	orders_assign_all(&o, LUIK);
	assert_check(&o, ERR_REFUSED, "cic-luik cannot be its own successor");
	o = blank();
	orders_assign_queue(&o, LUIK, "dispatch");
	assert_check(&o, ERR_REFUSED, "cic-luik cannot be its own successor");
	o = blank();
	for (uint16_t i = 0; i <= LIMIT_SUCCESSORS; i++)
		orders_assign_share(&o, (uint16_t)(MANY + i), (uint16_t)(i * 1000), i == LIMIT_SUCCESSORS ? SHARES : (uint16_t)(i * 1000 + 1000));
	assert_check(&o, ERR_REFUSED, "9 successors, at most 8");
	o = blank();
	o.kind = ORDER_REVOKE;
	orders_assign_share(&o, NAMEN, 0, 5000);
	orders_assign_share(&o, LUIK, 5000, SHARES);
	assert_check(&o, ERR_REFUSED, "cic-luik is revoked by this order and keeps no share");
	o = blank();
	o.kind = ORDER_REVOKE;
	orders_assign_queue(&o, NAMEN, "dispatch");
	assert_check(&o, ERR_REFUSED, "say who serves the rest");
}

/* ---- who has a message ---------------------------------------------------------------------------------- */

static struct msgid id_number(uint32_t n)
{
	struct msgid id = {{0}};

	id.b[12] = (uint8_t)(n >> 24);
	id.b[13] = (uint8_t)(n >> 16);
	id.b[14] = (uint8_t)(n >> 8);
	id.b[15] = (uint8_t)n;
	return id;
}

static void owner(void **state)
{
	(void)state;
	struct view dispatch = view_str("dispatch"), messages = view_str("messages");
	struct msgid id = id_number(7);
	struct order o = blank();

	assert_int_equal(order_owner(NULL, LUIK, dispatch, EUPEN, &id), LUIK);
	orders_assign_queue(&o, NAMEN, "dispatch");
	orders_assign_area(&o, LEUVEN, EUPEN);
	assert_int_equal(order_owner(&o, LUIK, dispatch, 0, &id), NAMEN);
	assert_int_equal(order_owner(&o, LUIK, dispatch, EUPEN, &id), LEUVEN); /* area before queue */
	assert_int_equal(order_owner(&o, LUIK, messages, EUPEN, &id), LEUVEN);
	assert_int_equal(order_owner(&o, LUIK, messages, 0, &id), LUIK);       /* what it does not name stays home */
	orders_assign_all(&o, BRUSSEL);
	assert_int_equal(order_owner(&o, LUIK, messages, 0, &id), BRUSSEL);
	assert_int_equal(order_owner(&o, LUIK, dispatch, 0, &id), NAMEN);      /* queue before all */
	o = blank();
	orders_assign_share(&o, NAMEN, 0, SHARES);
	orders_assign_queue(&o, LEUVEN, "dispatch");
	assert_int_equal(order_owner(&o, LUIK, dispatch, 0, &id), LEUVEN);     /* queue before share */
	assert_int_equal(order_owner(&o, LUIK, messages, 0, &id), NAMEN);
}

/* Each id has one owner, the one whose range holds its share, and the ranges get what is theirs. */
static void shares_split_evenly(void **state)
{
	(void)state;
	struct order o = blank();
	unsigned n[16] = {0}, total = 40000;

	orders_assign_share(&o, NAMEN, 0, 3000);
	orders_assign_share(&o, LEUVEN, 3000, 8000);
	orders_assign_share(&o, LUIK, 8000, SHARES);
	for (uint32_t i = 0; i < total; i++) {
		struct msgid id = id_number(i);
		uint16_t share = order_share(LUIK, &id), to = order_owner(&o, LUIK, view_str("dispatch"), 0, &id);

		assert_true(share < SHARES);
		assert_int_equal(to, share < 3000 ? NAMEN : share < 8000 ? LEUVEN : LUIK);
		assert_int_equal(to, order_owner(&o, LUIK, view_str("messages"), 0, &id));
		n[to]++;
	}
	assert_in_range(n[NAMEN], total * 29 / 100, total * 31 / 100);
	assert_in_range(n[LEUVEN], total * 49 / 100, total * 51 / 100);
	assert_in_range(n[LUIK], total * 19 / 100, total * 21 / 100);
	assert_int_equal(order_share(LUIK, &(struct msgid){{1}}), 5092); /* golden: every site must say the same */
	assert_int_not_equal(order_share(LUIK, &(struct msgid){{1}}), order_share(NAMEN, &(struct msgid){{1}}));
}

/* may_own and owns_all say of a queue what order_owner says of its messages, over orders of all kinds. */
static void assert_agrees(const struct order *o)
{
	static const char *const queues[] = {"dispatch", "messages"};
	static const uint16_t sites[] = {BRUSSEL, LUIK, NAMEN, LEUVEN};

	for (size_t q = 0; q < 2; q++)
		for (size_t s = 0; s < 4; s++) {
			struct view queue = view_str(queues[q]);
			unsigned own = 0, all = 0;

			for (uint32_t i = 0; i < 400; i++) {
				struct msgid id = id_number(i);

				all++;
				own += order_owner(o, LUIK, queue, i % 2 ? EUPEN : 0, &id) == sites[s];
			}
			assert_int_equal(order_may_own(o, LUIK, queue, sites[s]), own > 0);
			assert_int_equal(order_owns_all(o, LUIK, queue, sites[s]), own == all);
		}
}

static void owner_of_queues(void **state)
{
	(void)state;
	struct order o = blank();

	assert_agrees(NULL);
	orders_assign_queue(&o, NAMEN, "dispatch");
	assert_agrees(&o);
	orders_assign_area(&o, NAMEN, EUPEN);
	assert_agrees(&o);
	o = blank();
	orders_assign_area(&o, LEUVEN, EUPEN);
	assert_agrees(&o);
	orders_assign_all(&o, NAMEN);
	assert_agrees(&o);
	o = blank();
	orders_assign_share(&o, NAMEN, 0, 5000);
	orders_assign_share(&o, LEUVEN, 5000, SHARES);
	assert_agrees(&o);
	orders_assign_queue(&o, LEUVEN, "messages");
	assert_agrees(&o);
	o = blank();
	orders_assign_share(&o, NAMEN, 0, 5000);
	orders_assign_share(&o, NAMEN, 5000, SHARES);
	assert_agrees(&o);
}

static void names(void **state)
{
	(void)state;
	struct order o = blank();

	assert_false(order_names(NULL, NAMEN));
	orders_assign_queue(&o, NAMEN, "dispatch");
	assert_true(order_names(&o, NAMEN) && !order_names(&o, LEUVEN) && order_names(&o, LUIK));
	orders_assign_all(&o, LEUVEN);
	assert_true(order_names(&o, NAMEN) && order_names(&o, LEUVEN) && !order_names(&o, LUIK));
	o = blank();
	orders_assign_share(&o, NAMEN, 0, 5000);
	orders_assign_share(&o, LUIK, 5000, SHARES);
	assert_true(order_names(&o, NAMEN) && order_names(&o, LUIK));
	assert_string_equal(order_kind_name(ORDER_HANDBACK), "handback");
	assert_string_equal(order_kind_name(77), "unknown");
}

static void text(void **state)
{
	(void)state;
	struct order o = full_order();
	struct buf b = BUF_EMPTY;

	o.assign[3].until = SHARES - 1;
	order_text(orders_roster(), &o, &b);
	assert_true(view_equal(buf_view(&b), view_str("dispatch -> cic-namen\narea eupen -> cic-vlaams-brabant\n25 % -> cic-luik\n"
	                                              "74.99 % -> cic-vlaams-brabant\n")));
	buf_clear(&b);
	o = blank();
	o.kind = ORDER_HANDBACK;
	o.n_without = 1;
	o.without[0] = 999;
	order_text(orders_roster(), &o, &b);
	assert_true(view_equal(buf_view(&b), view_str("everything -> cic-luik\nwithout site-999\n")));
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_round_trip), cmocka_unit_test(order_golden), cmocka_unit_test(order_signature),
		cmocka_unit_test(order_refuses_shapes), cmocka_unit_test(order_decoder_refuses), cmocka_unit_test(revocation_points),
		cmocka_unit_test(endorsement_round_trip), cmocka_unit_test(endorsement_refuses), cmocka_unit_test(check_takes),
		cmocka_unit_test(check_unknown), cmocka_unit_test(check_twice), cmocka_unit_test(check_successors), cmocka_unit_test(owner),
		cmocka_unit_test(shares_split_evenly), cmocka_unit_test(owner_of_queues), cmocka_unit_test(names), cmocka_unit_test(text),
	};

	return crypt_start() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
