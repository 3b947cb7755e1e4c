/* A site that signs what it likes: reports about messages that are not its to report on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/report.h"
#include "proto/seal.h"
#include "proto/stream.h"
#include "tests/lib/asks.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-henegouwen"};
enum { LUIK, NAMEN, LEUVEN, HENEGOUWEN };

/* An entry of the liar's, whose bytes live in it. */
struct made { uint8_t header[HEADER_BYTES]; struct buf envelope, body; struct entry e; };

static void make(struct made *m, const struct stream_name *name, uint8_t kind, uint8_t id)
{
	struct header h = {.kind = kind, .precedence = name->precedence, .originator = name->originator, .id = {{id}}, .sent = {name->incarnation.born_us}};

	header_encode(&h, m->header);
	m->e.header = view_of(m->header, sizeof m->header);
}

/* A stream of `from` to `to` that begins with a grant and has one report: it was read. Signed with the key of `signer`. */
static void lie_signed(struct world *w, size_t from, size_t signer, size_t to, const struct msgid *id, uint16_t addressee, uint8_t event, struct buf *out)
{
	struct stream_name name = {.originator = w->number[from], .addressee = w->number[to], .precedence = PREC_FLASH,
				   .incarnation = {world_wall(w, from).us + 1, {9}}};
	struct hash network = roster_network_hash(w->keys[from].network, &w->authority_public), stream = stream_hash(&network, &name), chain = stream, leaf;
	struct made grant = {.body = BUF_EMPTY}, report = {.envelope = BUF_EMPTY};
	struct grant_to box = {w->number[to], w->keys[to].sealing[0].pub};
	struct report_record r = {.event = event, .addressee = addressee, .when = world_wall(w, from), .by = view_str("desk"), .ids = 1, .id_bytes = view_of(id->b, MSGID_BYTES)};
	struct buf records = BUF_EMPTY;
	struct sym_key epoch = {{7}};
	struct head head = {.number = 2};
	struct segment_writer sw;
	struct rng rng;
	uint8_t plain[LIMIT_ENVELOPE_BYTES], seed[32] = {3}, nonce[SYM_NONCE_BYTES] = {5};
	size_t len;

	rng_seed(&rng, seed);
	make(&grant, &name, KIND_GRANT, 1);
	assert_int_equal(grant_make(w->suite, &rng, &stream, &epoch, &box, 1, &grant.body), ERR_OK);
	grant.e.body = buf_view(&grant.body);
	entry_hash(&grant.e);
	report_add(&records, &r);
	struct envelope env = {.records = buf_view(&records)};

	assert_int_equal(envelope_encode(&env, plain, sizeof plain, &len), ERR_OK);
	make(&report, &name, KIND_REPORT, 2);
	envelope_seal(&epoch, nonce, report.e.header, &stream, view_of(plain, len), &report.envelope);
	report.e.envelope = buf_view(&report.envelope);
	entry_hash(&report.e);
	leaf = entry_leaf(&grant.e);
	chain = chain_next(&chain, 1, &leaf);
	leaf = entry_leaf(&report.e);
	head.chain = chain_next(&chain, 2, &leaf);
	head_sign(w->suite, &w->keys[signer].identity, &stream, &head);
	frame_begin(out, FRAME_SEGMENT);
	segment_begin(&sw, out, &name, 1);
	segment_add(&sw, &grant.e);
	segment_add(&sw, &report.e);
	segment_end(&sw, NULL, 0, &head);
	buf_release(&grant.body);
	buf_release(&report.envelope);
	buf_release(&records);
}

static void lie(struct world *w, size_t from, size_t to, const struct msgid *id, uint16_t addressee, uint8_t event, struct buf *out)
{
	lie_signed(w, from, from, to, id, addressee, event, out);
}

/* `from` says it to Namen, which sent the message. */
static enum wait_state told(size_t from, uint8_t event, bool *alarm)
{
	struct world w;
	struct msgid id;
	struct buf b = BUF_EMPTY;

	world_init(&w, SITES, 3, 17);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("ploeg ter plaatse"), NULL, &id, NULL), ERR_OK);
	world_run(&w, US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	lie(&w, from, NAMEN, &id, w.number[LUIK], event, &b);
	ask_frame(&w, NAMEN, from, &b);
	enum wait_state state = world_state(&w, NAMEN, &id);

	*alarm = world_alarm(&w, NAMEN, "report");
	buf_release(&b);
	world_release(&w);
	return state;
}

/* That the lie is well made shows when its own site tells it. */
static void the_queues_site_is_believed(void **state)
{
	bool alarm;

	(void)state;
	assert_int_equal(told(LUIK, EVENT_READ, &alarm), STATE_READ);
	assert_false(alarm);
}

static void another_site_is_not(void **state)
{
	static const uint8_t ends[] = {EVENT_READ, EVENT_REFUSED, EVENT_EXPIRED, EVENT_CANCELLED};
	bool alarm;

	(void)state;
	for (size_t i = 0; i < sizeof ends; i++) {
		assert_int_equal(told(LEUVEN, ends[i], &alarm), STATE_DELIVERED);
		assert_true(alarm);
	}
}

/* Only its sender cancels a message. */
static void the_addressee_does_not_cancel(void **state)
{
	bool alarm;

	(void)state;
	assert_int_equal(told(LUIK, EVENT_CANCELLED, &alarm), STATE_DELIVERED);
	assert_true(alarm);
}

/* Leuven passes on, as a copy on its way from Luik to Henegouwen, what Luik never signed: refused, and Leuven is named. What Luik signed
 * is taken from the same hands afterwards. */
static void a_copy_that_nobody_signed(void **state)
{
	struct world w;
	struct msgid id = {{1}};
	struct buf forged = BUF_EMPTY, true_one = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, 4, 18);
	world_run(&w, 2 * US_PER_S);
	lie_signed(&w, LUIK, LEUVEN, HENEGOUWEN, &id, w.number[HENEGOUWEN], EVENT_READ, &forged);
	ask_frame(&w, NAMEN, LEUVEN, &forged);
	assert_true(world_alarm(&w, NAMEN, "peer"));
	assert_false(world_alarm(&w, NAMEN, "fork"));
	world_verify(&w, NAMEN);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("rest"), NULL, &id, NULL), ERR_OK);
	world_run(&w, US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	lie(&w, LUIK, NAMEN, &id, w.number[LUIK], EVENT_READ, &true_one);
	ask_frame(&w, NAMEN, LEUVEN, &true_one);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_READ);
	buf_release(&forged);
	buf_release(&true_one);
	world_release(&w);
}

/* The same frame again and again counts once, and is no alarm: lines repeat, too. */
static void repeated_frames_count_once(void **state)
{
	struct world w;
	struct msgid id;
	struct buf b = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, 4, 19);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("eenmaal"), NULL, &id, NULL), ERR_OK);
	world_run(&w, US_PER_S);
	lie(&w, LUIK, NAMEN, &id, w.number[LUIK], EVENT_READ, &b);
	for (unsigned i = 0; i < 20; i++)
		ask_frame(&w, NAMEN, i % 2 ? LEUVEN : LUIK, &b);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_READ);
	assert_int_equal(world_status(&w, NAMEN, "receipts_read"), 1);
	assert_false(world_alarm(&w, NAMEN, "peer"));
	world_verify(&w, NAMEN);
	buf_release(&b);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_queues_site_is_believed),
		cmocka_unit_test(another_site_is_not),
		cmocka_unit_test(the_addressee_does_not_cancel),
		cmocka_unit_test(a_copy_that_nobody_signed),
		cmocka_unit_test(repeated_frames_count_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
