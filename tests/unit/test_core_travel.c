/* Rosters and dictionaries go from site to site; what does not fit its name is refused and asked for elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, SPOC, N };

static void begin(struct world *w, size_t n, uint64_t seed)
{
	world_init(w, SITES, n, seed);
	/* As the daemon: the authority's key is known, and the roster was read with its signature. */
	w->travels = true;
	for (size_t i = 0; i < n; i++) {
		world_crash(w, i);
		world_start(w, i);
	}
	world_run(w, US_PER_S);
}

static uint32_t serial(const struct world *w, size_t i)
{
	return core_roster(w->node[i].core)->serial;
}

/* The roster in force, a serial on, with a queue's deadline changed, so that texts differ. */
static struct roster *next(struct world *w, uint32_t on, int64_t deadline_us)
{
	struct roster *r = world_roster_copy(w);

	r->serial += on - 1;
	r->deadline_us[PREC_ROUTINE] = deadline_us;
	return r;
}

static void one_site_is_enough(void **state)
{
	(void)state;
	struct world w;

	begin(&w, N, 1);
	/* Leuven hears of it only from the SPOC. */
	world_link(&w, LUIK, LEUVEN, false);
	world_link(&w, NAMEN, LEUVEN, false);
	world_run(&w, US_PER_S);
	struct roster *r = next(&w, 1, 7 * 3600 * US_PER_S);
	world_roster_at(&w, LUIK, r);
	world_run(&w, 3 * US_PER_S);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(serial(&w, i), 2);
		assert_false(world_alarm(&w, i, "roster-old"));
	}
	/* It is in the journal: who starts with its old file has it all the same. */
	struct roster *kept;

	assert_int_equal(core_kept_roster(w.node[LEUVEN].store, &w.authority_public, &kept), ERR_OK);
	assert_non_null(kept);
	assert_int_equal(kept->serial, 2);
	roster_free(kept);
	roster_free(r);
	world_release(&w);
}

static void who_was_away_gets_it(void **state)
{
	(void)state;
	struct world w;

	begin(&w, 2, 2);
	world_link(&w, LUIK, NAMEN, false);
	struct roster *r = next(&w, 1, 7 * 3600 * US_PER_S);
	world_roster_at(&w, LUIK, r);
	world_run(&w, 10 * US_PER_S);
	assert_int_equal(serial(&w, NAMEN), 1);
	w.loss_percent = 50;
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 600 * US_PER_S);
	assert_int_equal(serial(&w, NAMEN), 2);
	roster_free(r);
	world_release(&w);
}

/* What is not for it to take over is not asked for again and again. */
static void a_removed_site_is_told(void **state)
{
	(void)state;
	struct world w;

	begin(&w, 3, 3);
	struct roster *r = next(&w, 1, 7 * 3600 * US_PER_S);
	struct site *s = (struct site *)roster_site(r, w.number[LEUVEN]);

	s->removed = true;
	for (size_t i = 0; i < r->n_sites; i++) {
		struct site *of = &r->sites[i];
		size_t n = 0;

		for (size_t k = 0; k < of->n_standbys; k++)
			if (of->standbys[k] != s->number)
				of->standbys[n++] = of->standbys[k];
		of->n_standbys = n;
	}
	for (size_t i = 0; i < r->n_areas; i++)
		if (r->areas[i].site == s->number)
			r->areas[i].site = w.number[LUIK];
	for (size_t i = 0; i < r->n_groups; i++) {
		struct group *g = &r->groups[i];
		size_t n = 0;

		for (size_t k = 0; k < g->n_members; k++)
			if (g->members[k] != s->number)
				g->members[n++] = g->members[k];
		g->n_members = n;
		if (n == 0) {
			free(g->members);
			*g = r->groups[--r->n_groups];
			i--;
		}
	}
	r->quorum = 1;
	world_roster_at(&w, LUIK, r);
	world_run(&w, 60 * US_PER_S);
	assert_int_equal(serial(&w, NAMEN), 2);
	assert_int_equal(serial(&w, LEUVEN), 1);
	assert_true(world_alarm(&w, LEUVEN, "removed"));
	uint64_t frames = w.frames;

	world_run(&w, 600 * US_PER_S);
	assert_true(w.frames - frames < 400);
	roster_free(r);
	world_release(&w);
}

/* Two with one serial: who hears of both takes neither, who has one keeps it, and the next serial ends it. */
static void two_with_one_serial(void **state)
{
	(void)state;
	struct world w;

	begin(&w, 3, 4);
	world_link(&w, LUIK, NAMEN, false);
	world_link(&w, LUIK, LEUVEN, false);
	world_link(&w, NAMEN, LEUVEN, false);
	world_run(&w, US_PER_S);
	struct roster *a = next(&w, 1, 7 * 3600 * US_PER_S), *b = next(&w, 1, 8 * 3600 * US_PER_S), *c = next(&w, 2, 9 * 3600 * US_PER_S);

	world_roster_at(&w, LUIK, a);
	world_roster_at(&w, NAMEN, b);
	world_link(&w, LUIK, LEUVEN, true);
	world_link(&w, NAMEN, LEUVEN, true);
	world_run(&w, 10 * US_PER_S);
	assert_int_equal(serial(&w, LEUVEN), 1);
	assert_true(world_alarm(&w, LEUVEN, "roster-conflict"));
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 10 * US_PER_S);
	assert_true(core_roster(w.node[LUIK].core)->deadline_us[PREC_ROUTINE] == 7 * 3600 * US_PER_S);
	assert_true(core_roster(w.node[NAMEN].core)->deadline_us[PREC_ROUTINE] == 8 * 3600 * US_PER_S);
	assert_true(world_alarm(&w, LUIK, "roster-conflict") && world_alarm(&w, NAMEN, "roster-conflict"));
	world_roster_at(&w, LUIK, c);
	world_run(&w, 40 * US_PER_S);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(serial(&w, i), 3);
		assert_false(world_alarm(&w, i, "roster-conflict"));
	}
	roster_free(a);
	roster_free(b);
	roster_free(c);
	world_release(&w);
}

/* ---- by hand ------------------------------------------------------------------------------------------------------------ */

static struct effects out;

static void hear(struct world *w, size_t at, size_t from, const struct buf *frame)
{
	struct event ev = {.type = EVENT_FRAME, .now = w->now, .wall = world_wall(w, at)};

	ev.u.frame.peer = w->number[from];
	ev.u.frame.lane = LANE_URGENT;
	ev.u.frame.side = SIDE_ACCEPTED;
	ev.u.frame.bytes = buf_view(frame);
	effects_clear(&out);
	assert_int_equal(core_apply(w->node[at].core, w->node[at].store, &ev, 1, &out), ERR_OK);
}

/* What it asks that peer for; false: nothing. */
static bool asked(const struct world *w, size_t to, struct state_frame *f)
{
	static struct frame frame;

	for (size_t i = 0; i < out.n; i++)
		if (out.list[i].type == EFFECT_FRAME && out.list[i].peer == w->number[to] && frame_decode(effect_bytes(&out, &out.list[i]), &frame) == ERR_OK &&
		    frame.type == FRAME_STATE && frame.u.state.what == STATE_WANT) {
			*f = frame.u.state;
			return true;
		}
	return false;
}

static void show(struct world *w, size_t at, size_t from, uint32_t roster_serial, const struct hash *hash)
{
	struct buf b = BUF_EMPTY;

	frame_state_show(&b, &w->node[at].core->takeover.state, roster_serial, hash);
	hear(w, at, from, &b);
	buf_release(&b);
}

static void answer(struct world *w, size_t at, size_t from, const struct state_frame *asked_for, struct view blob)
{
	struct state_frame part = {.name = asked_for->name, .offset = asked_for->offset, .total = (uint32_t)blob.len};
	struct buf b = BUF_EMPTY;

	part.bytes = part.total - part.offset < asked_for->bytes ? part.total - part.offset : asked_for->bytes;
	part.blob = view_of(blob.ptr + part.offset, part.bytes);
	frame_state_part(&b, &(struct hash){{0}}, &part);
	hear(w, at, from, &b);
	buf_release(&b);
}

static struct view signed_blob(struct world *w, const struct roster *r, const struct minisign_secret *key, struct buf *blob)
{
	struct buf text = BUF_EMPTY;
	char minisig[LIMIT_MINISIG_BYTES];

	assert_int_equal(roster_format(r, &text), ERR_OK);
	assert_int_equal(minisign_sign(key ? key : &w->authority, buf_view(&text), "test", minisig, sizeof minisig), ERR_OK);
	roster_blob_add(blob, buf_view(&text), view_str(minisig));
	buf_release(&text);
	return buf_view(blob);
}

static struct hash text_hash(struct view blob)
{
	struct view text, minisig;

	assert_int_equal(roster_blob_read(blob, &text, &minisig), ERR_OK);
	return crypt_hash(HASH_STATE, text);
}

/* Gives what is asked of one peer until it is not asked any more. */
static void give_all(struct world *w, size_t at, size_t from, struct view blob)
{
	struct state_frame f;

	for (int i = 0; i < 1000 && asked(w, from, &f); i++)
		answer(w, at, from, &f, blob);
}

static void bytes_that_do_not_fit_are_asked_for_elsewhere(void **state)
{
	(void)state;
	struct world w;
	struct buf good = BUF_EMPTY, forged = BUF_EMPTY;
	struct minisign_secret thief = {0};
	struct state_frame f;
	struct sign_public pub;
	uint8_t seed[32] = {66};

	begin(&w, 3, 5);
	struct roster *r = next(&w, 1, 7 * 3600 * US_PER_S);

	thief = w.authority;
	sign_keypair(seed, &pub, &thief.key);
	struct view blob = signed_blob(&w, r, NULL, &good), bad = signed_blob(&w, r, &thief, &forged);
	struct hash hash = text_hash(blob);

	/* A signature that is not the authority's; then bytes that were altered on the way; Leuven has it right. */
	show(&w, LUIK, NAMEN, 2, &hash);
	assert_true(asked(&w, NAMEN, &f));
	assert_int_equal(f.name.kind, STATE_KIND_ROSTER);
	assert_int_equal(roster_state_serial(&f.name.id), 2);
	give_all(&w, LUIK, NAMEN, bad);
	assert_int_equal(serial(&w, LUIK), 1);
	assert_true(world_alarm(&w, LUIK, "state"));
	show(&w, LUIK, NAMEN, 2, &hash);
	assert_false(asked(&w, NAMEN, &f)); /* not again */
	show(&w, LUIK, LEUVEN, 2, &hash);
	assert_true(asked(&w, LEUVEN, &f));
	give_all(&w, LUIK, LEUVEN, blob);
	assert_int_equal(serial(&w, LUIK), 2);
	roster_free(r);
	buf_release(&good);
	buf_release(&forged);
	effects_release(&out);
	world_release(&w);
}

/* A liar that claims the highest serial there is and never gives it, or gives too much, holds nothing up. */
static void a_liar_holds_nothing_up(void **state)
{
	(void)state;
	struct world w;
	struct buf good = BUF_EMPTY;
	struct state_frame f, lie;

	begin(&w, 3, 6);
	struct roster *r = next(&w, 1, 7 * 3600 * US_PER_S);
	struct view blob = signed_blob(&w, r, NULL, &good);
	struct hash hash = text_hash(blob);

	show(&w, LUIK, NAMEN, UINT32_MAX, &hash);
	assert_true(asked(&w, NAMEN, &lie));
	show(&w, LUIK, LEUVEN, 2, &hash);
	assert_true(asked(&w, LEUVEN, &f));
	give_all(&w, LUIK, LEUVEN, blob);
	assert_int_equal(serial(&w, LUIK), 2);
	/* The right bytes under a wrong name. */
	show(&w, LUIK, NAMEN, UINT32_MAX, &hash);
	lie.offset = 0;
	answer(&w, LUIK, NAMEN, &lie, blob);
	give_all(&w, LUIK, NAMEN, blob);
	assert_int_equal(serial(&w, LUIK), 2);
	roster_free(r);
	buf_release(&good);
	effects_release(&out);
	world_release(&w);
}

/* A courier's bundle holds it in parts, which come in order and perhaps more than once. */
static void a_bundle_brings_it(void **state)
{
	(void)state;
	struct world w;
	struct state_item names[4];
	struct errmsg m;
	bool is_new = false;

	begin(&w, 2, 9);
	world_link(&w, LUIK, NAMEN, false);
	struct roster *r = next(&w, 1, 7 * 3600 * US_PER_S);

	world_roster_at(&w, LUIK, r);
	assert_int_equal(travel_names(w.node[LUIK].core, names), 1);
	struct view blob = travel_blob(w.node[LUIK].core, &names[0].name);
	struct state_frame part = {.name = names[0].name, .total = (uint32_t)blob.len};

	assert_true(blob.len > 1500);
	part.offset = part.bytes = 500;
	part.blob = view_of(blob.ptr + 500, 500);
	assert_int_equal(travel_bundle(w.node[NAMEN].core, &part, &is_new, &m), ERR_GAP);
	for (uint32_t at = 0; at < blob.len; at += 500)
		for (int twice = 0; twice < 2 && !is_new; twice++) {
			part.offset = at;
			part.bytes = blob.len - at < 500 ? (uint32_t)blob.len - at : 500;
			part.blob = view_of(blob.ptr + at, part.bytes);
			assert_int_equal(travel_bundle(w.node[NAMEN].core, &part, &is_new, &m), ERR_OK);
		}
	assert_true(is_new);
	world_run(&w, 90 * US_PER_S);
	assert_int_equal(serial(&w, NAMEN), 2);
	roster_free(r);
	world_release(&w);
}

/* ---- dictionaries ------------------------------------------------------------------------------------------------------------- */

static void train(struct buf *bytes, const char *word)
{
	struct buf samples = BUF_EMPTY;
	size_t sizes[400];
	char line[160];

	for (int i = 0; i < 400; i++) {
		int n = snprintf(line, sizeof line, "Melding %d: %s op de E%d ter hoogte van kilometerpaal %d, ploeg %d rijdt aan, graag bevestiging van de dienst.",
				 i * 7919 % 1000, word, 19 + i % 40, i * 31 % 120, i * 17 % 90);

		sizes[i] = (size_t)n;
		buf_add(&samples, view_of(line, (size_t)n));
	}
	assert_int_equal(pack_train(buf_view(&samples), sizes, 400, 2048, bytes), ERR_OK);
	buf_release(&samples);
}

static void dictionaries_come_with_the_roster(void **state)
{
	(void)state;
	struct world w;
	struct buf dictionary = BUF_EMPTY;
	struct msgid id;
	struct taken t = {0};
	static const char text[] = "Melding 12: wateroverlast op de E42 ter hoogte van kilometerpaal 7, ploeg 3 rijdt aan, graag bevestiging van de dienst.";

	begin(&w, 3, 7);
	train(&dictionary, "wateroverlast");
	struct roster *r = next(&w, 1, 7 * 3600 * US_PER_S);

	r->n_dictionaries = 1;
	r->dictionaries[0] = pack_dictionary_hash(buf_view(&dictionary));
	r->dictionary = 0;
	/* Namen is cut off, and hears of roster, dictionary and message in one; Luik has the dictionary from a file. */
	world_link(&w, LUIK, NAMEN, false);
	world_link(&w, LEUVEN, NAMEN, false);
	world_run(&w, US_PER_S);
	world_roster_at(&w, LUIK, r);

	struct event ev = {.type = EVENT_STATE, .now = w.now, .wall = world_wall(&w, LUIK), .u.state = {STATE_KIND_DICTIONARY, buf_view(&dictionary)}};

	effects_clear(&out);
	assert_int_equal(core_apply(w.node[LUIK].core, w.node[LUIK].store, &ev, 1, &out), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_send(&w, LUIK, "cic-namen/dispatch", PREC_ROUTINE, view_str(text), NULL, &id, NULL), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	uint32_t dict = pack_dictionary_id(&r->dictionaries[0]);

	assert_true(packer_has(w.node[LEUVEN].core->packer, dict)); /* it came with the roster */
	assert_false(packer_has(w.node[NAMEN].core->packer, dict));
	world_link(&w, LUIK, NAMEN, true);
	world_run(&w, 5 * US_PER_S);
	assert_true(world_take_one(&w, NAMEN, "dispatch", 2 * US_PER_S, &t));
	assert_true(view_equal(buf_view(&t.body), view_str(text)));
	buf_release(&t.body);
	assert_false(world_alarm(&w, NAMEN, "dictionary"));
	/* The journal keeps it: after a restart the message opens again. */
	world_crash(&w, NAMEN);
	world_start(&w, NAMEN);
	world_run(&w, US_PER_S);
	assert_true(packer_has(w.node[NAMEN].core->packer, dict));
	roster_free(r);
	buf_release(&dictionary);
	effects_release(&out);
	world_release(&w);
}

/* Its roster is old and nobody gives it another: the message stays, with an alarm, and is opened when the dictionary comes. */
static void a_message_waits_for_its_dictionary(void **state)
{
	(void)state;
	struct world w;
	struct buf dictionary = BUF_EMPTY;
	struct msgid id;
	struct taken t = {0};
	static const char text[] = "Melding 12: wateroverlast op de E42 ter hoogte van kilometerpaal 7, ploeg 3 rijdt aan, graag bevestiging van de dienst.";

	begin(&w, 2, 8);
	train(&dictionary, "wateroverlast");
	assert_int_equal(packer_add(w.node[LUIK].core->packer, buf_view(&dictionary)), ERR_OK);
	struct roster *r = next(&w, 1, 7 * 3600 * US_PER_S);

	r->n_dictionaries = 1;
	r->dictionaries[0] = pack_dictionary_hash(buf_view(&dictionary));
	r->dictionary = 0;
	struct event ev = {.type = EVENT_STATE, .now = w.now, .wall = world_wall(&w, LUIK), .u.state = {STATE_KIND_DICTIONARY, buf_view(&dictionary)}};

	/* Both have the roster, only Luik the dictionary, which it does not give: its peers do not know that it could. */
	world_roster(&w, r);
	effects_clear(&out);
	assert_int_equal(core_apply(w.node[LUIK].core, w.node[LUIK].store, &ev, 1, &out), ERR_OK);
	peer_find(w.node[NAMEN].core, w.number[LUIK])->protocol = 1;
	assert_int_equal(world_send(&w, LUIK, "cic-namen/dispatch", PREC_ROUTINE, view_str(text), NULL, &id, NULL), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	assert_false(world_take_one(&w, NAMEN, "dispatch", 2 * US_PER_S, &t));
	assert_true(world_alarm(&w, NAMEN, "dictionary"));
	assert_int_equal(world_status(&w, NAMEN, "dead_letters"), 0);
	ev.now = w.now;
	ev.wall = world_wall(&w, NAMEN);
	effects_clear(&out);
	assert_int_equal(core_apply(w.node[NAMEN].core, w.node[NAMEN].store, &ev, 1, &out), ERR_OK);
	assert_true(world_take_one(&w, NAMEN, "dispatch", 2 * US_PER_S, &t));
	assert_true(view_equal(buf_view(&t.body), view_str(text)));
	buf_release(&t.body);
	assert_false(world_alarm(&w, NAMEN, "dictionary"));
	roster_free(r);
	buf_release(&dictionary);
	effects_release(&out);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_site_is_enough),
		cmocka_unit_test(who_was_away_gets_it),
		cmocka_unit_test(a_removed_site_is_told),
		cmocka_unit_test(two_with_one_serial),
		cmocka_unit_test(bytes_that_do_not_fit_are_asked_for_elsewhere),
		cmocka_unit_test(a_liar_holds_nothing_up),
		cmocka_unit_test(a_bundle_brings_it),
		cmocka_unit_test(dictionaries_come_with_the_roster),
		cmocka_unit_test(a_message_waits_for_its_dictionary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
