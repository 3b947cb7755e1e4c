/* What a courier carries: everything arrives exactly once, however often and in whatever order bundles come, and nothing of a bad one does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "proto/bundle.h"
#include "tests/lib/asks.h"
#include "tests/lib/carry.h"
#include "tests/lib/world.h"

static const char *const ISLANDS[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant"};
enum { LUIK, NAMEN, LEUVEN };
#define LUIK_DISPATCH "cic-luik/dispatch"
#define NAMEN_DISPATCH "cic-namen/dispatch"

/* Three sites that nothing joins but a courier. */
static void islands(struct world *w, uint64_t seed)
{
	world_init(w, ISLANDS, 3, seed);
	for (size_t a = 0; a < 3; a++)
		for (size_t b = a + 1; b < 3; b++)
			world_link(w, a, b, false);
	world_run(w, US_PER_S);
}

static void pack_for(struct world *w, size_t i, const char *to, enum precedence p, uint64_t max, struct buf *out, struct packed *in)
{
	struct carry how = {.to = {to}, .precedence = p, .max = max};
	char text[400] = "";

	buf_clear(out);
	if (carry_pack(w, i, &how, out, in, text, sizeof text))
		fail_msg("pack: %s", text);
	assert_int_equal(in->bytes, out->len);
}

/* ---- there and back --------------------------------------------------------------------------------------------------- */

static void a_message_goes_there_and_its_receipts_come_back(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY;

	(void)state;
	islands(&w, 1);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_FLASH, "water rises", &id);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	assert_int_equal(in.messages, 1);
	assert_int_equal(in.left_entries, 0);
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&b), 0, &u), ERR_OK);
	assert_int_equal(u.new_messages, 1);
	assert_int_equal(u.refused, 0);
	ask_take_is(&w, LUIK, "dispatch", "water rises", &id);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_ACCEPTED);
	carry_all(&w, LUIK, NAMEN, &u);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	ask_read(&w, LUIK, &id);
	carry_all(&w, LUIK, NAMEN, &u);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_READ);
	buf_release(&b);
	world_release(&w);
}

static void a_bundle_that_comes_again_changes_nothing(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf first = BUF_EMPTY, second = BUF_EMPTY;

	(void)state;
	islands(&w, 2);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_PRIORITY, "one", &id);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &first, &in);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_PRIORITY, "two", &id);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &second, &in);
	/* The later one has everything since; the earlier one comes last, and twice. */
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&second), 0, &u), ERR_OK);
	assert_int_equal(u.new_messages, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(carry_unpack(&w, LUIK, buf_view(&first), 0, &u), ERR_OK);
		assert_int_equal(u.new_entries, 0);
		assert_int_equal(u.refused, 0);
	}
	ask_take_is(&w, LUIK, "dispatch", "one", &id);
	ask_take_is(&w, LUIK, "dispatch", "two", &id);
	ask_take_none(&w, LUIK, "dispatch");
	world_verify(&w, LUIK);
	buf_release(&first);
	buf_release(&second);
	world_release(&w);
}

static void unpacking_goes_on_after_a_crash(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY;
	char body[32];

	(void)state;
	islands(&w, 3);
	for (int i = 0; i < 12; i++) {
		snprintf(body, sizeof body, "number %d", i);
		ask_send(&w, NAMEN, LUIK_DISPATCH, (enum precedence)(i % PREC_COUNT), body, &id);
	}
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	for (uint64_t pieces = 1; pieces < 4; pieces++) {
		assert_int_equal(carry_unpack(&w, LUIK, buf_view(&b), pieces, &u), ERR_OK);
		world_crash(&w, LUIK);
		world_start(&w, LUIK);
		world_run(&w, US_PER_S);
	}
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&b), 0, &u), ERR_OK);
	assert_true(u.new_messages > 0 && u.new_messages < 12);
	for (int i = 0; i < 12; i++) {
		struct taken t = {.body = BUF_EMPTY};

		assert_true(world_take_one(&w, LUIK, "dispatch", 3 * US_PER_S, &t));
		buf_release(&t.body);
	}
	ask_take_none(&w, LUIK, "dispatch");
	world_verify(&w, LUIK);
	buf_release(&b);
	world_release(&w);
}

static void packing_goes_on_after_a_failed_commit(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY;
	char body[32];

	(void)state;
	for (uint64_t fail = 1; fail < 8; fail++) {
		islands(&w, 40 + fail);
		for (int i = 0; i < 8; i++) {
			snprintf(body, sizeof body, "number %d", i);
			ask_send(&w, NAMEN, LUIK_DISPATCH, (enum precedence)(i % PREC_COUNT), body, &id);
		}
		w.node[NAMEN].fail_at = w.node[NAMEN].commits + fail;
		w.node[NAMEN].fail_with = ERR_BUSY;
		struct carry how = {.to = {"cic-luik"}, .precedence = PREC_ROUTINE};

		/* A step that was refused is asked for again by a person: the command ends. */
		buf_clear(&b);
		while (carry_pack(&w, NAMEN, &how, &b, &in, NULL, 0))
			buf_clear(&b);
		assert_int_equal(carry_unpack(&w, LUIK, buf_view(&b), 0, &u), ERR_OK);
		assert_int_equal(u.new_messages, 8);
		world_release(&w);
	}
	buf_release(&b);
}

/* ---- what goes in ----------------------------------------------------------------------------------------------------------- */

static void only_what_the_site_is_not_known_to_hold_goes_in(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct buf b = BUF_EMPTY;

	(void)state;
	world_init(&w, ISLANDS, 3, 5);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_FLASH, "before", &id);
	world_run(&w, 5 * US_PER_S);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	assert_int_equal(in.entries, 0);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, LEUVEN, LUIK, false);
	world_run(&w, US_PER_S);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_FLASH, "after", &id);
	ask_send(&w, NAMEN, "cic-vlaams-brabant/dispatch", PREC_FLASH, "not for Luik", &id);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	assert_int_equal(in.messages, 1);
	buf_release(&b);
	world_release(&w);
}

/* The report, which is as urgent as its message, stays behind; but the vector of Luik says how far it is. */
static void a_vector_alone_says_held(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY;

	(void)state;
	islands(&w, 16);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_ROUTINE, "on its way", &id);
	carry_all(&w, NAMEN, LUIK, &u);
	pack_for(&w, LUIK, "cic-namen", PREC_FLASH, 0, &b, &in);
	assert_int_equal(in.entries, 0);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_ACCEPTED);
	assert_int_equal(carry_unpack(&w, NAMEN, buf_view(&b), 0, &u), ERR_OK);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_HELD);
	/* What it is known to hold goes to it no more. */
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	assert_int_equal(in.messages, 0);
	buf_release(&b);
	world_release(&w);
}

/* Luik has it all and said so; Leuven, which stands by for Luik, was never heard. */
static void for_several_it_begins_where_the_last_of_them_stands(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY;

	(void)state;
	islands(&w, 14);
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 3 * US_PER_S);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_FLASH, "for both", &id);
	world_run(&w, 3 * US_PER_S);
	assert_int_equal(world_state(&w, NAMEN, &id), STATE_DELIVERED);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	assert_int_equal(in.messages, 0);
	pack_for(&w, NAMEN, "all", PREC_ROUTINE, 0, &b, &in);
	assert_int_equal(in.messages, 1);
	assert_int_equal(carry_unpack(&w, LEUVEN, buf_view(&b), 0, &u), ERR_OK);
	assert_int_equal(u.new_messages, 1);
	assert_int_equal(u.refused, 0);
	buf_release(&b);
	world_release(&w);
}

static void the_most_urgent_goes_first_until_the_size_is_reached(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in, all;
	struct unpacked u;
	struct buf b = BUF_EMPTY;
	static char bulk[3000];
	struct rng rng;
	uint8_t seed[32] = {7};

	(void)state;
	rng_seed(&rng, seed);
	for (size_t i = 0; i < sizeof bulk; i++)
		bulk[i] = (char)('a' + rng_u64(&rng) % 26);
	islands(&w, 6);
	for (int i = 0; i < 30; i++)
		assert_int_equal(world_send(&w, NAMEN, LUIK_DISPATCH, PREC_ROUTINE, view_of((const uint8_t *)bulk, sizeof bulk), NULL, &id, NULL), ERR_OK);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_FLASH, "urgent", &id);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &all);
	assert_int_equal(all.messages, 31);
	pack_for(&w, NAMEN, "cic-luik", PREC_FLASH, 0, &b, &in);
	assert_int_equal(in.messages, 1);
	assert_int_equal(in.left_entries, 0);
	for (uint64_t max = 4000; max < all.bytes + 2000; max += 9000) {
		pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, max, &b, &in);
		assert_true(b.len <= max);
		assert_true(in.messages >= 1);
		assert_int_equal(in.entries + in.left_entries, all.entries);
	}
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 30000, &b, &in);
	assert_true(in.left_entries > 0 && in.messages > 2);
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&b), 0, &u), ERR_OK);
	ask_take_is(&w, LUIK, "dispatch", "urgent", &id);
	struct carry small = {.to = {"cic-luik"}, .precedence = PREC_ROUTINE, .max = 100};
	char text[400];

	assert_int_equal(carry_pack(&w, NAMEN, &small, &b, NULL, text, sizeof text), ERR_REFUSED);
	assert_non_null(strstr(text, "--max-size"));
	buf_release(&b);
	world_release(&w);
}

static void orders_come_before_what_they_concern(void **state)
{
	struct world w;
	struct msgid id;
	struct unpacked u;

	(void)state;
	islands(&w, 7);
	ask_send(&w, LUIK, LUIK_DISPATCH, PREC_FLASH, "at home", &id);
	carry_all(&w, LUIK, NAMEN, &u);
	ask_take_none(&w, NAMEN, LUIK_DISPATCH);
	ask_order_ok(&w, LUIK, "relocate", &(struct ask){.site = "cic-luik", .assign = {"cic-namen"}});
	carry_all(&w, LUIK, NAMEN, &u);
	assert_int_equal(u.refused, 0);
	world_run(&w, 5 * US_PER_S);
	ask_take_is(&w, NAMEN, LUIK_DISPATCH, "at home", &id);
	world_release(&w);
}

static void a_large_body_goes_along(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY, plain = BUF_EMPTY;
	struct taken t = {.body = BUF_EMPTY};
	struct rng rng;
	uint8_t seed[32] = {9}, *at = buf_extend(&plain, 300000);

	(void)state;
	rng_seed(&rng, seed);
	rng_bytes(&rng, at, 300000);
	islands(&w, 8);
	assert_int_equal(world_send(&w, NAMEN, LUIK_DISPATCH, PREC_PRIORITY, buf_view(&plain), NULL, &id, NULL), ERR_OK);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 20000, &b, &in);
	assert_int_equal(in.bodies, 0);
	assert_int_equal(in.left_bodies, 1);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	assert_int_equal(in.bodies, 1);
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&b), 5, &u), ERR_OK);
	world_crash(&w, LUIK);
	world_start(&w, LUIK);
	world_run(&w, US_PER_S);
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&b), 0, &u), ERR_OK);
	assert_int_equal(u.refused, 0);
	assert_true(world_take_one(&w, LUIK, "dispatch", 3 * US_PER_S, &t));
	assert_true(t.chunked);
	world_verify(&w, LUIK);
	buf_release(&t.body);
	buf_release(&plain);
	buf_release(&b);
	world_release(&w);
}

/* An entry went over a narrow line ahead of its body, and the line is gone: the bundle has it again, whole, and it is taken. */
static void a_short_body_that_did_not_follow_goes_along(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY, plain = BUF_EMPTY;
	struct taken t = {.body = BUF_EMPTY};
	struct rng rng;
	uint8_t seed[32] = {10}, *at = buf_extend(&plain, 50000);

	(void)state;
	rng_seed(&rng, seed);
	rng_bytes(&rng, at, 50000);
	islands(&w, 9);
	w.rate_bps = 9600;
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(world_send(&w, NAMEN, LUIK_DISPATCH, PREC_ROUTINE, buf_view(&plain), NULL, &id, NULL), ERR_OK);
	world_run(&w, 20 * US_PER_S);
	world_link(&w, NAMEN, LUIK, false);
	world_run(&w, US_PER_S);
	assert_int_equal(w.node[LUIK].core->n_fetches, 1);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	assert_int_equal(in.messages, 1);
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&b), 0, &u), ERR_OK);
	assert_int_equal(u.refused, 0);
	assert_int_equal(w.node[LUIK].core->n_fetches, 0);
	assert_true(world_take_one(&w, LUIK, "dispatch", 3 * US_PER_S, &t));
	assert_true(view_equal(buf_view(&t.body), buf_view(&plain)));
	world_verify(&w, LUIK);
	buf_release(&t.body);
	buf_release(&plain);
	buf_release(&b);
	world_release(&w);
}

/* ---- what is refused -------------------------------------------------------------------------------------------------------- */

static void nothing_of_a_bad_bundle_is_taken(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY;

	(void)state;
	islands(&w, 10);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_FLASH, "one", &id);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_ROUTINE, "two", &id);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	for (size_t cut = 0; cut < b.len; cut += 7)
		assert_int_equal(carry_unpack(&w, LUIK, view_of(b.ptr, cut), 0, &u), ERR_TRUNCATED);
	for (size_t at = 0; at < b.len; at += 11) {
		b.ptr[at] ^= 0x10;
		assert_int_not_equal(carry_unpack(&w, LUIK, buf_view(&b), 0, &u), ERR_OK);
		assert_int_equal(u.pieces, 0);
		b.ptr[at] ^= 0x10;
	}
	ask_take_none(&w, LUIK, "dispatch");
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&b), 0, &u), ERR_OK);
	assert_int_equal(u.new_messages, 2);
	buf_release(&b);
	world_release(&w);
}

/* The same pieces under a signature that is not the packing site's. */
static void resign(const struct world *w, size_t key, struct view bundle, const struct bundle_head *as, struct buf *out)
{
	struct bundle_reader r = BUNDLE_READER_NEW;
	struct bundle_chain c;
	struct bundle_piece p;
	size_t used;

	while (!r.ended && bundle_next(&r, bundle, &p, &used) == ERR_OK) {
		bundle = view_of(bundle.ptr + used, bundle.len - used);
		if (p.kind == BUNDLE_HEAD)
			bundle_write_head(&c, out, as ? as : &p.u.head);
		else if (p.kind == BUNDLE_FRAME)
			bundle_write_frame(&c, out, p.bytes);
	}
	bundle_write_end(&c, out, w->suite, &w->keys[key].identity, &as->network);
}

static void a_bundle_of_somebody_else_is_refused(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY, other = BUF_EMPTY;
	struct bundle_head h = {.made = {1}, .site = 0, .precedence = PREC_ROUTINE, .all = true};

	(void)state;
	islands(&w, 11);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_FLASH, "one", &id);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	h.network = roster_network_hash(w.keys[0].network, &w.authority_public);
	h.site = w.number[NAMEN];
	resign(&w, LEUVEN, buf_view(&b), &h, &other);
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&other), 0, &u), ERR_REFUSED);
	assert_non_null(strstr(u.why, "not signed by cic-namen"));
	h.site = 999;
	buf_clear(&other);
	resign(&w, LEUVEN, buf_view(&b), &h, &other);
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&other), 0, &u), ERR_REFUSED);
	assert_non_null(strstr(u.why, "does not name it"));
	h.site = w.number[NAMEN];
	h.network.b[0] ^= 1;
	buf_clear(&other);
	resign(&w, NAMEN, buf_view(&b), &h, &other);
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&other), 0, &u), ERR_REFUSED);
	assert_non_null(strstr(u.why, "another network"));
	ask_take_none(&w, LUIK, "dispatch");
	buf_release(&b);
	buf_release(&other);
	world_release(&w);
}

static void endorse(struct world *w, size_t i, const char *order)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	char text[400];

	request_begin(&rw, &b, REQ_ENDORSE, ++w->tag);
	request_str(&rw, F_WHAT, order);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	if (ask_answered(w, i, text, sizeof text))
		fail_msg("%s", text);
	world_run(w, US_PER_S);
}

/* Luik is cut off. Leuven, its standby, holds a message of Antwerpen for it, and is revoked; both come by courier. */
static void what_a_revoked_site_packed_counts_as_far_as_others_signed_it(void **state)
{
	static const char *const sites[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "spoc-brussel", "cic-antwerpen"};
	enum { SPOC = 3, ANTWERPEN };
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY;
	char order[17];

	(void)state;
	world_init(&w, sites, 5, 12);
	for (size_t i = 1; i < 5; i++)
		world_link(&w, LUIK, i, false);
	world_run(&w, US_PER_S);
	ask_send(&w, ANTWERPEN, LUIK_DISPATCH, PREC_FLASH, "of Antwerpen", &id);
	world_run(&w, 10 * US_PER_S);
	pack_for(&w, LEUVEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	ask_order_ok(&w, SPOC, "revoke", &(struct ask){.site = "cic-vlaams-brabant", .assign = {"cic-namen"}});
	world_run(&w, US_PER_S);
	hex_format(w.node[SPOC].core->takeover.orders[0]->id.b, 8, order);
	endorse(&w, NAMEN, order);
	endorse(&w, ANTWERPEN, order);
	carry_all(&w, SPOC, LUIK, &u);
	assert_true(site_revoked(w.node[LUIK].core, w.number[LEUVEN]));
	/* Spoc had a copy on its way, and its stick brought it; the other stick brings nothing new. */
	ask_take_is(&w, LUIK, "dispatch", "of Antwerpen", &id);
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&b), 0, &u), ERR_OK);
	assert_non_null(strstr(u.note, "is revoked"));
	ask_take_none(&w, LUIK, "dispatch");
	buf_release(&b);
	world_release(&w);
}

static void a_gap_is_named(void **state)
{
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY;

	(void)state;
	world_init(&w, ISLANDS, 3, 13);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_FLASH, "one", &id);
	world_run(&w, 5 * US_PER_S);
	for (size_t a = 0; a < 3; a++)
		for (size_t k = a + 1; k < 3; k++)
			world_link(&w, a, k, false);
	world_run(&w, US_PER_S);
	/* Luik had it, and has it no more: what is packed now begins behind it. */
	world_crash(&w, LUIK);
	world_lose_journal(&w, LUIK);
	world_start(&w, LUIK);
	world_run(&w, US_PER_S);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_FLASH, "two", &id);
	pack_for(&w, NAMEN, "cic-luik", PREC_ROUTINE, 0, &b, &in);
	assert_int_equal(carry_unpack(&w, LUIK, buf_view(&b), 0, &u), ERR_OK);
	assert_int_equal(u.new_entries, 0);
	assert_true(u.refused > 0);
	assert_non_null(strstr(u.why, "from cic-namen to cic-luik are in an earlier bundle"));
	buf_release(&b);
	world_release(&w);
}

/* What was read long ago is retired at Namen and Luik: Leuven, that never had it, begins behind it. */
static void what_is_retired_is_not_waited_for(void **state)
{
	static const struct retention keep = {{60 * US_PER_S, 60 * US_PER_S}, {120 * US_PER_S, 120 * US_PER_S}, 900 * US_PER_S};
	struct world w;
	struct msgid id;
	struct packed in;
	struct unpacked u;
	struct buf b = BUF_EMPTY;

	(void)state;
	islands(&w, 15);
	for (size_t i = 0; i < 3; i++) {
		w.node[i].keep = keep;
		world_crash(&w, i);
		world_start(&w, i);
	}
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 5 * US_PER_S);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_PRIORITY, "long ago", &id);
	ask_take_is(&w, LUIK, "dispatch", "long ago", &id);
	ask_read(&w, LUIK, &id);
	world_run(&w, 400 * US_PER_S);
	ask_send(&w, NAMEN, LUIK_DISPATCH, PREC_PRIORITY, "today", &id);
	world_run(&w, US_PER_S);
	pack_for(&w, NAMEN, "cic-vlaams-brabant", PREC_ROUTINE, 0, &b, &in);
	assert_int_equal(in.messages, 1);
	assert_int_equal(carry_unpack(&w, LEUVEN, buf_view(&b), 0, &u), ERR_OK);
	assert_int_equal(u.new_messages, 0);
	assert_true(u.refused > 0);
	world_run(&w, 8 * US_PER_S);
	assert_int_equal(carry_unpack(&w, LEUVEN, buf_view(&b), 0, &u), ERR_OK);
	assert_int_equal(u.new_messages, 1);
	assert_int_equal(u.refused, 0);
	for (size_t i = 0; i < 3; i++)
		world_verify(&w, i);
	buf_release(&b);
	world_release(&w);
}

/* ---- anything at all ---------------------------------------------------------------------------------------------------------- */

#define STICKS 24

/* Messages, bundles in any order, lost, repeated, crashes: in the end each message was there once. */
static void run_random(uint64_t seed)
{
	struct world w;
	struct buf stick[STICKS] = {{0}};
	size_t to[STICKS], n = 0;
	struct msgid id;
	char body[32];
	int sent = 0;

	islands(&w, seed);
	for (int step = 0; step < 60; step++) {
		size_t a = (size_t)world_random(&w, 3), b = (a + 1 + (size_t)world_random(&w, 2)) % 3;
		struct carry how = {.precedence = (enum precedence)world_random(&w, PREC_COUNT), .max = world_random(&w, 2) ? 0 : 3000 + world_random(&w, 9000)};

		switch (world_random(&w, 5)) {
		case 0:
		case 1:
			snprintf(body, sizeof body, "message %d", sent++);
			ask_send(&w, a, LUIK_DISPATCH, (enum precedence)world_random(&w, PREC_COUNT), body, &id);
			break;
		case 2:
			if (n < STICKS && carry_pack(&w, a, &how, &stick[n], NULL, NULL, 0) == ERR_OK)
				to[n++] = b;
			break;
		case 3:
			if (n) {
				size_t k = (size_t)world_random(&w, n);

				assert_int_equal(carry_unpack(&w, to[k], buf_view(&stick[k]), world_random(&w, 12), NULL), ERR_OK);
			}
			break;
		case 4:
			world_crash(&w, a);
			world_start(&w, a);
			world_run(&w, 100000);
			break;
		}
	}
	for (size_t a = 0; a < 3; a++)
		for (size_t b = 0; b < 3; b++)
			if (a != b)
				carry_all(&w, a, b, NULL);
	int got = 0;
	struct taken t = {.body = BUF_EMPTY};

	while (world_take_one(&w, LUIK, "dispatch", 5 * US_PER_S, &t)) {
		got++;
		assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &t.id), ERR_OK);
		buf_clear(&t.body);
	}
	assert_int_equal(got, sent);
	for (size_t i = 0; i < 3; i++)
		world_verify(&w, i);
	buf_release(&t.body);
	for (size_t i = 0; i < n; i++)
		buf_release(&stick[i]);
	world_release(&w);
}

static void bundles_in_any_order_bring_everything_once(void **state)
{
	const char *runs = getenv("COURIER_RUNS");
	long n = runs ? strtol(runs, NULL, 10) : 12;

	(void)state;
	for (long seed = 1; seed <= n; seed++)
		run_random(100 + (uint64_t)seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_goes_there_and_its_receipts_come_back),
		cmocka_unit_test(a_bundle_that_comes_again_changes_nothing),
		cmocka_unit_test(unpacking_goes_on_after_a_crash),
		cmocka_unit_test(packing_goes_on_after_a_failed_commit),
		cmocka_unit_test(only_what_the_site_is_not_known_to_hold_goes_in),
		cmocka_unit_test(a_vector_alone_says_held),
		cmocka_unit_test(for_several_it_begins_where_the_last_of_them_stands),
		cmocka_unit_test(the_most_urgent_goes_first_until_the_size_is_reached),
		cmocka_unit_test(orders_come_before_what_they_concern),
		cmocka_unit_test(a_large_body_goes_along),
		cmocka_unit_test(a_short_body_that_did_not_follow_goes_along),
		cmocka_unit_test(nothing_of_a_bad_bundle_is_taken),
		cmocka_unit_test(a_bundle_of_somebody_else_is_refused),
		cmocka_unit_test(what_a_revoked_site_packed_counts_as_far_as_others_signed_it),
		cmocka_unit_test(a_gap_is_named),
		cmocka_unit_test(what_is_retired_is_not_waited_for),
		cmocka_unit_test(bundles_in_any_order_bring_everything_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
