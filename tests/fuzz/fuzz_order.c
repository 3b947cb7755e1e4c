/* Orders, endorsements and closings: the first byte says which. What is taken is, written again, the same bytes. */
#include "proto/report.h"
#include "tests/lib/fuzz_driver.h"
#include "tests/lib/orders.h"

enum { ORDER, ENDORSEMENT, CLOSING, KINDS };

static void add_head(struct buf *out)
{
	struct frontier f = {.stream = {.originator = LUIK, .incarnation = {1626300000000000, {1}}, .addressee = NAMEN}, .number = 9};

	frontier_add(out, &f);
}

/* Without the signature: what is signed gets tried, and the signature is no concern of the decoder's. */
static void put_order(const struct order *o, struct buf *out)
{
	struct sign_secret key = orders_key(BRUSSEL);

	fuzz_assert(order_make(&crypt_suite_fast, &key, &orders_roster()->network_hash, o, out) == ERR_OK);
	out->len -= SIGNATURE_BYTES;
}

static void put_endorsement(const struct endorsement *e, struct buf *out)
{
	struct sign_secret key = orders_key(NAMEN);

	fuzz_assert(endorsement_make(&crypt_suite_fast, &key, &orders_roster()->network_hash, e, out) == ERR_OK);
	out->len -= SIGNATURE_BYTES;
}

static void seed_order(bool revoke, struct view points, struct buf *out)
{
	struct order o = orders_relocation(LUIK, BRUSSEL, 2, &(struct hash){{1}});

	orders_assign_queue(&o, NAMEN, "dispatch");
	orders_assign_area(&o, LEUVEN, EUPEN);
	orders_assign_share(&o, LEUVEN, 0, 5000);
	orders_assign_share(&o, revoke ? NAMEN : LUIK, 5000, SHARES);
	if (revoke) {
		o.kind = ORDER_REVOKE;
		o.n_points = 1;
		o.points = points;
	}
	put_order(&o, out);
}

bool fuzz_seed(unsigned n, struct buf *out)
{
	static const uint8_t ids[2 * MSGID_BYTES] = {0x05, 0xc7};
	struct order handback = orders_relocation(LUIK, BRUSSEL, 1, NULL);
	struct endorsement e = {.order = {{1}}, .site = NAMEN, .last = {1}};
	struct closing c = {.order = {{1}}, .parts = 1, .leases = 2, .lease_ids = view_of(ids, sizeof ids), .heads = 1};
	struct buf head = BUF_EMPTY;

	add_head(&head);
	e.n_points = 1;
	e.points = c.head_bytes = buf_view(&head);
	buf_add_u8(out, n < 3 ? ORDER : n == 3 ? ENDORSEMENT : CLOSING);
	if (n < 2)
		seed_order(n == 1, buf_view(&head), out);
	handback.kind = ORDER_HANDBACK;
	handback.n_without = 1;
	handback.without[0] = LEUVEN;
	if (n == 2)
		put_order(&handback, out);
	if (n == 3)
		put_endorsement(&e, out);
	if (n == 4)
		closing_add(out, &c);
	buf_release(&head);
	return n < 5;
}

/* Whatever was taken can be looked at in every way. */
static void use(const struct order *o)
{
	struct endorsement e = {.order = {{1}}, .site = NAMEN};
	const struct endorsement *const endorsements[] = {&e};
	struct order_case c = {.order = o, .id = {{1}}, .n_endorsements = 1, .endorsements = endorsements,
	                       .check = order_check(orders_roster(), o, NULL)};
	uint16_t owner = order_owner(o, o->site, view_str("dispatch"), EUPEN, &(struct msgid){{1}});
	struct order_case *now;
	struct buf text = BUF_EMPTY;

	fuzz_assert(order_may_own(o, o->site, view_str("dispatch"), owner));
	order_text(orders_roster(), o, &text);
	buf_release(&text);
	now = order_settle(orders_roster(), NULL, &c, 1);
	fuzz_assert(!now || (now == &c && c.state == ORDER_IN_FORCE && o->epoch == 1 && c.check != ERR_REFUSED));
}

static enum err take_order(struct view blob, struct buf *again)
{
	struct order o;
	struct hash id;
	enum err e = order_decode(blob, &o, &id);

	if (e)
		return e;
	use(&o);
	put_order(&o, again);
	return ERR_OK;
}

static enum err take_endorsement(struct view blob, struct buf *again)
{
	struct endorsement en;
	struct hash id;
	enum err e = endorsement_decode(blob, &en, &id);

	if (!e)
		put_endorsement(&en, again);
	return e;
}

static enum err take_closing(struct view v, struct buf *again)
{
	struct closing c;
	enum err e = closing_decode(v, &c);

	if (!e)
		closing_add(again, &c);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t signature[SIGNATURE_BYTES];
	struct view v = len ? view_of(data + 1, len - 1) : view_of(data, 0);
	struct buf blob = BUF_EMPTY, again = BUF_EMPTY;
	enum err e;

	buf_add(&blob, v);
	buf_add(&blob, view_of(signature, sizeof signature));
	switch (len ? data[0] % KINDS : KINDS) {
	case ORDER:
		e = take_order(buf_view(&blob), &again);
		break;
	case ENDORSEMENT:
		e = take_endorsement(buf_view(&blob), &again);
		break;
	case CLOSING:
		e = take_closing(v, &again);
		break;
	default:
		e = ERR_TRUNCATED;
	}
	fuzz_assert(e || (buf_ok(&again) && view_equal(buf_view(&again), v)));
	buf_release(&blob);
	buf_release(&again);
	return e ? -1 : 0;
}
