/* Vectors. The input is what is signed; the signature is made here, so that what is inside gets tried too. */
#include "proto/vector.h"
#include "tests/lib/fuzz_driver.h"

static const struct hash network = {{7}};

static void keys(struct sign_public *pub, struct sign_secret *sec)
{
	uint8_t seed[32] = {1};

	sign_keypair(seed, pub, sec);
}

static void make(const struct vector *v, struct buf *out)
{
	struct sign_public pub;
	struct sign_secret sec;

	keys(&pub, &sec);
	fuzz_assert(vector_make(&crypt_suite_fast, &sec, &network, v, out) == ERR_OK);
	out->len -= SIGNATURE_BYTES;
}

bool fuzz_seed(unsigned n, struct buf *out)
{
	static const uint8_t peers[] = {0, 2, 0, 5}, orders[2 + HASH_BYTES] = {0, 9, 1};
	struct frontier f = {.stream = {.originator = 13, .incarnation = {1626300000000000, {1}}, .addressee = 15}, .number = 90,
			     .not_whole = 2, .missing = {3, 90}};
	struct vector v = {.holder = 13, .incarnation = {1626300000000000, {1}}, .version = 3};
	struct buf frontiers = BUF_EMPTY;

	if (n == 1) {
		frontier_add(&frontiers, &f);
		frontier_add(&frontiers, &f);
		v.peers = 2;
		v.peer_bytes = view_of(peers, sizeof peers);
		v.orders = 1;
		v.order_bytes = view_of(orders, sizeof orders);
		v.frontiers = 2;
		v.frontier_bytes = buf_view(&frontiers);
	}
	make(&v, out);
	buf_release(&frontiers);
	return n < 2;
}

static void sign(struct buf *b)
{
	struct buf message = BUF_EMPTY;
	struct sign_public pub;
	struct sign_secret sec;
	struct signature sig;

	keys(&pub, &sec);
	buf_add(&message, view_str("estafette vector 1"));
	buf_add(&message, view_of(network.b, HASH_BYTES));
	buf_add(&message, buf_view(b));
	crypt_suite_fast.sign(&sec, buf_view(&message), &sig);
	buf_add(b, view_of(sig.b, SIGNATURE_BYTES));
	buf_release(&message);
}

static void walk(const struct vector *v)
{
	struct view rest = v->frontier_bytes;
	struct frontier f;

	for (uint32_t i = 0; i < v->frontiers; i++)
		fuzz_assert(frontier_next(&rest, &f) == ERR_OK);
	fuzz_assert(rest.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf in = BUF_EMPTY, again = BUF_EMPTY;
	struct sign_public pub;
	struct sign_secret sec;
	struct vector v;
	uint16_t holder;
	enum err e;

	keys(&pub, &sec);
	fuzz_assert(vector_open(&crypt_suite_fast, &pub, &network, view_of(data, len), &v) != ERR_OK);
	buf_add(&in, view_of(data, len));
	sign(&in);
	e = vector_open(&crypt_suite_fast, &pub, &network, buf_view(&in), &v);
	fuzz_assert(e != ERR_AUTH);
	if (!e) {
		walk(&v);
		fuzz_assert(vector_holder(buf_view(&in), &holder) == ERR_OK && holder == v.holder);
		make(&v, &again);
		fuzz_assert(view_equal(buf_view(&again), view_of(data, len)));
	}
	buf_release(&in);
	buf_release(&again);
	return e ? -1 : 0;
}
