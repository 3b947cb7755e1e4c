/* What a revocation promises: a captured site is trusted up to what its signers had seen of it, and no further. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "proto/frame.h"
#include "tests/lib/asks.h"

/* Luik's standbys are Leuven and Namen. The quorum is three other sites. */
static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };

static enum err answered(struct world *w, size_t i, uint32_t tag, char *text, size_t size)
{
	struct request r;

	for (int k = 0; k < 300; k++, world_run(w, 10000))
		while (world_reply(w, i, &r))
			if (r.tag == tag && r.type != REPLY_ROW) {
				view_to_str(reply_field(&r, F_TEXT), text, size);
				return r.type == REPLY_DONE ? ERR_OK : ERR_REFUSED;
			}
	fail_msg("no answer");
	return ERR_INTERNAL;
}

static enum err ask(struct world *w, size_t i, uint8_t type, const char *what, const char *to, const char *assign, char *text, size_t size)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	uint32_t tag = ++w->tag;

	request_begin(&rw, &b, type, tag);
	request_str(&rw, F_WHAT, what);
	request_str(&rw, F_TO, to);
	request_str(&rw, F_ASSIGN, assign);
	if (type == REQ_ORDER || type == REQ_RELEASE)
		request_str(&rw, F_REASON, "captured");
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	return answered(w, i, tag, text, size);
}

static void ask_ok(struct world *w, size_t i, uint8_t type, const char *what, const char *to, const char *assign)
{
	char text[400];

	if (ask(w, i, type, what, to, assign, text, sizeof text))
		fail_msg("%s: %s", what, text);
}

/* Given at the SPOC, endorsed at two more. */
static void revoke(struct world *w, size_t site, const char *to, size_t second, size_t third)
{
	char hex[17];
	size_t who[] = {second, third};

	ask_ok(w, SPOC, REQ_ORDER, "revoke", SITES[site], to);
	world_run(w, US_PER_S);
	struct core *c = w->node[SPOC].core;

	hex_format(c->takeover.orders[c->takeover.n_orders - 1]->id.b, 8, hex);
	assert_false(site_revoked(c, w->number[site])); /* one relocator is not enough */
	for (size_t i = 0; i < 2; i++) {
		ask_ok(w, who[i], REQ_ENDORSE, hex, NULL, NULL);
		world_run(w, US_PER_S);
	}
	assert_true(site_revoked(c, w->number[site]));
}

static void send_ok(struct world *w, size_t i, const char *to, const char *body, struct msgid *id)
{
	struct send_options o = {.subject = body};

	assert_int_equal(world_send(w, i, to, PREC_PRIORITY, view_str(body), &o, id, NULL), ERR_OK);
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

static void take_none(struct world *w, size_t i, const char *queue)
{
	struct taken t = {.body = BUF_EMPTY};

	if (world_take_one(w, i, queue, 5 * US_PER_S, &t))
		fail_msg("%s: \"%.*s\" was handed out", queue, (int)t.body.len, (const char *)t.body.ptr);
	buf_release(&t.body);
}

struct rows_seen { size_t open, decided, applied; };

static enum err seen_one(void *arg, uint64_t arrival, const char *why)
{
	struct rows_seen *n = arg;

	(void)arrival;
	if (strncmp(why, "applied", 7) == 0)
		n->applied++;
	else if (strncmp(why, "released", 8) == 0 || strncmp(why, "refused", 7) == 0)
		n->decided++;
	else
		n->open++;
	return ERR_OK;
}

static struct rows_seen quarantine(struct world *w, size_t i)
{
	struct core *c = w->node[i].core;
	struct rows_seen n = {0};
	struct txn *t;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	assert_int_equal(store_quarantine_each(t, seen_one, &n), ERR_OK);
	txn_abort(t);
	(void)c;
	return n;
}

/* Streams of a site of which nothing counts. */
static size_t closed_streams(struct world *w, size_t at, size_t of)
{
	struct core *c = w->node[at].core;
	size_t n = 0;

	for (size_t i = 0; i < c->n_streams; i++)
		n += c->streams[i]->row.name.originator == w->number[of] && c->streams[i]->limit == 0;
	return n;
}

/* What `queues quarantine --list` says of an id. */
static void shown(struct world *w, size_t i, const struct msgid *id, const char *member, char out[200])
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;
	uint32_t tag = ++w->tag;
	char want[MSGID_TEXT_BYTES];
	bool done = false;

	msgid_format(id, want);
	out[0] = '\0';
	request_begin(&rw, &b, REQ_SHOW, tag);
	request_str(&rw, F_WHAT, "browse");
	request_str(&rw, F_QUEUE, "quarantine");
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	for (int k = 0; !done && k < 100; k++, world_run(w, 10000))
		while (!done && world_reply(w, i, &r)) {
			struct request_item f;
			bool is_id = false, here = false, it = false;

			done = r.tag == tag && r.type != REPLY_ROW;
			for (struct view rest = r.fields; r.tag == tag && request_next(&rest, &f) == ERR_OK;) {
				if (f.field == F_NAME) {
					is_id = view_equal(f.value, view_str("id"));
					here = view_equal(f.value, view_str(member));
					continue;
				}
				it = it || (is_id && view_equal(f.value, view_str(want)));
				if (here && it)
					view_to_str(f.value, out, 200);
			}
		}
}

static void part(struct world *w, const size_t *island, size_t n)
{
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < i; k++) {
			bool a = false, b = false;

			for (size_t x = 0; x < n; x++) {
				a = a || island[x] == i;
				b = b || island[x] == k;
			}
			world_link(w, i, k, a == b);
		}
	world_run(w, US_PER_S);
}

static void join(struct world *w, size_t but)
{
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < i; k++)
			world_link(w, i, k, i != but && k != but);
	world_run(w, 10 * US_PER_S);
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

/* Antwerpen is captured. What it sends then reaches Luik alone; everybody else revokes it, without Luik. */
static void begin(struct world *w, uint64_t seed, struct msgid beyond[3])
{
	static const size_t pair[] = {ANTWERPEN, LUIK};
	struct msgid id;

	world_init(w, SITES, N, seed);
	send_ok(w, ANTWERPEN, "cic-luik/dispatch", "before", &id);
	world_run(w, 2 * US_PER_S);
	part(w, pair, 2);
	send_ok(w, ANTWERPEN, "cic-luik/dispatch", "beyond 1", &beyond[0]);
	send_ok(w, ANTWERPEN, "cic-luik/dispatch", "beyond 2", &beyond[1]);
	send_ok(w, ANTWERPEN, "cic-luik/dispatch", "beyond 3", &beyond[2]);
	world_run(w, US_PER_S);
	revoke(w, ANTWERPEN, "cic-vlaams-brabant", NAMEN, LEUVEN);
}

static void waiting_is_moved(void **state)
{
	struct world w;
	struct msgid beyond[3], got;
	char text[400], id[MSGID_TEXT_BYTES];

	(void)state;
	begin(&w, 1, beyond);
	take_is(&w, LUIK, "dispatch", "before", &got);
	assert_int_equal(world_handle(&w, LUIK, REQ_RETURN, &got), ERR_OK);
	world_run(&w, US_PER_S);
	join(&w, ANTWERPEN);
	assert_int_equal(quarantine(&w, LUIK).open, 3);
	assert_int_equal(quarantine(&w, NAMEN).open, 3); /* relayed and held, as ever */
	assert_true(world_alarm(&w, LUIK, "quarantine"));
	read_is(&w, LUIK, "dispatch", "before");
	take_none(&w, LUIK, "dispatch");
	shown(&w, LUIK, &beyond[0], "came_from", text);
	assert_string_equal(text, "cic-antwerpen");
	shown(&w, LUIK, &beyond[0], "held_by", text);
	assert_non_null(strstr(text, "cic-namen"));
	/* It stays so over a restart. */
	world_crash(&w, LUIK);
	world_start(&w, LUIK);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(quarantine(&w, LUIK).open, 3);
	take_none(&w, LUIK, "dispatch");
	/* A person releases one and refuses one. */
	msgid_format(&beyond[0], id);
	ask_ok(&w, LUIK, REQ_RELEASE, id, NULL, NULL);
	read_is(&w, LUIK, "dispatch", "beyond 1");
	assert_int_equal(world_handle(&w, LUIK, REQ_REFUSE, &beyond[1]), ERR_OK);
	take_none(&w, LUIK, "dispatch");
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(quarantine(&w, LUIK).open, 1);
	assert_int_equal(quarantine(&w, LUIK).decided, 2);
	assert_int_equal(quarantine(&w, NAMEN).open, 1); /* what Luik did ends it everywhere */
	assert_true(world_alarm(&w, LUIK, "quarantine"));
	msgid_format(&beyond[2], id);
	ask_ok(&w, LUIK, REQ_RELEASE, id, NULL, NULL);
	assert_false(world_alarm(&w, LUIK, "quarantine"));
	assert_int_equal(ask(&w, LUIK, REQ_RELEASE, id, NULL, NULL, text, sizeof text), ERR_REFUSED);
	read_is(&w, LUIK, "dispatch", "beyond 3");
	world_release(&w);
}

/* Whichever commit finds no room, or ends the process, while the revocation comes in. */
static void failed_commits(void **state)
{
	(void)state;
	for (unsigned k = 1; k <= 24; k++) {
		struct world w;
		struct msgid beyond[3];

		begin(&w, 100 + k, beyond);
		w.node[LUIK].fail_at = w.node[LUIK].commits + (k + 1) / 2;
		w.node[LUIK].fail_with = k % 2 ? ERR_FULL : ERR_IO;
		join(&w, ANTWERPEN);
		if (!w.node[LUIK].up)
			world_start(&w, LUIK);
		world_run(&w, 10 * US_PER_S);
		assert_int_equal(quarantine(&w, LUIK).open, 3);
		read_is(&w, LUIK, "dispatch", "before");
		take_none(&w, LUIK, "dispatch");
		world_release(&w);
	}
}

static void in_hand_when_it_comes(void **state)
{
	struct world w;
	struct msgid beyond[3], got[4];

	(void)state;
	begin(&w, 2, beyond);
	take_is(&w, LUIK, "dispatch", "before", &got[0]);
	take_is(&w, LUIK, "dispatch", "beyond 1", &got[1]);
	take_is(&w, LUIK, "dispatch", "beyond 2", &got[2]);
	join(&w, ANTWERPEN);
	/* The desk has them; one it ends, one it gives back, and that one is kept back now. */
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &got[1]), ERR_OK);
	assert_int_equal(world_handle(&w, LUIK, REQ_RETURN, &got[2]), ERR_OK);
	take_none(&w, LUIK, "dispatch");
	assert_int_equal(quarantine(&w, LUIK).open, 2);
	world_release(&w);
}

/* What lies before the point is accepted whenever it comes, and the highest point that a signer names counts. */
static void late_but_before(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, N, 3);
	world_crash(&w, LUIK);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "one", &id);
	world_run(&w, 2 * US_PER_S);
	world_link(&w, ANTWERPEN, LEUVEN, false);
	world_link(&w, NAMEN, LEUVEN, false);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "two", &id);
	world_run(&w, US_PER_S);
	for (size_t i = 0; i < N; i++)
		world_link(&w, ANTWERPEN, i, false);
	/* Leuven has one of them, Namen two, the SPOC none. */
	revoke(&w, ANTWERPEN, "cic-vlaams-brabant", LEUVEN, NAMEN);
	world_link(&w, NAMEN, LEUVEN, true);
	world_run(&w, 5 * US_PER_S);
	world_start(&w, LUIK);
	world_run(&w, 10 * US_PER_S);
	assert_int_equal(quarantine(&w, LUIK).open, 0);
	assert_int_equal(quarantine(&w, LEUVEN).open, 0);
	read_is(&w, LUIK, "dispatch", "one");
	read_is(&w, LUIK, "dispatch", "two");
	world_release(&w);
}

/* ---- custody, frames, queues ------------------------------------------------------------------------------------------ */

static void shut_out(void **state)
{
	struct world w;
	struct msgid beyond[3], id;
	uint16_t list[LIMIT_CUSTODIANS];

	(void)state;
	begin(&w, 4, beyond);
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < i; k++)
			world_link(&w, i, k, true); /* the lines are there again */
	world_run(&w, 10 * US_PER_S);
	struct core *c = w.node[LUIK].core;
	struct peer *p = peer_find(c, w.number[ANTWERPEN]);

	assert_true(p->gone);
	assert_false(peer_reachable(p));
	assert_false(site_revoked(w.node[ANTWERPEN].core, w.number[ANTWERPEN])); /* nothing was sent there since */
	for (size_t i = 0; i < custodians(c, w.number[ANTWERPEN], false, list); i++)
		assert_int_not_equal(list[i], w.number[ANTWERPEN]);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "knocks", &id);
	world_run(&w, 10 * US_PER_S);
	assert_int_equal(quarantine(&w, LUIK).open, 3);
	/* Its queues are served where the revocation says. */
	send_ok(&w, SPOC, "cic-antwerpen/dispatch", "for Antwerpen", &id);
	read_is(&w, LEUVEN, "cic-antwerpen/dispatch", "for Antwerpen");
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, SPOC, &id), STATE_READ);
	world_release(&w);
}

/* ---- reports ------------------------------------------------------------------------------------------------------------ */

static void reports_do_not_count(void **state)
{
	static const size_t pair[] = {LUIK, LEUVEN};
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, N, 5);
	send_ok(&w, SPOC, "cic-luik/dispatch", "said to be read", &id);
	world_run(&w, 2 * US_PER_S);
	part(&w, pair, 2);
	read_is(&w, LUIK, "dispatch", "said to be read");
	world_run(&w, US_PER_S);
	revoke(&w, LUIK, "cic-namen", NAMEN, ANTWERPEN);
	world_crash(&w, LUIK);
	join(&w, LUIK);
	world_run(&w, 10 * US_PER_S);
	assert_true(quarantine(&w, LEUVEN).applied > 0); /* it came before: shown */
	assert_true(quarantine(&w, NAMEN).open > 0);
	assert_int_not_equal(world_state(&w, SPOC, &id), STATE_READ);
	read_is(&w, NAMEN, "cic-luik/dispatch", "said to be read");
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, SPOC, &id), STATE_READ);
	world_release(&w);
}

/* A signer may lie about how far it had a stream: what fits no chain is no point. */
static void a_point_that_fits_nothing(void **state)
{
	static const size_t pair[] = {ANTWERPEN, LUIK};
	struct world w;
	struct msgid id;
	char hex[17];

	(void)state;
	world_init(&w, SITES, N, 7);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "before", &id);
	world_run(&w, 2 * US_PER_S);
	part(&w, pair, 2);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "beyond", &id);
	world_run(&w, US_PER_S);
	ask_ok(&w, SPOC, REQ_ORDER, "revoke", "cic-antwerpen", "cic-vlaams-brabant");
	world_run(&w, US_PER_S);
	struct core *c = w.node[LUIK].core;
	struct frontier f = {.number = 0};

	for (size_t i = 0; i < c->n_streams; i++)
		if (c->streams[i]->row.name.originator == w.number[ANTWERPEN] && c->streams[i]->row.name.addressee == w.number[LUIK])
			f = (struct frontier){.stream = c->streams[i]->row.name, .number = c->streams[i]->row.held, .chain = {{1}}};
	assert_true(f.number > 1);
	const struct order_known *o = w.node[SPOC].core->takeover.orders[0];
	struct endorsement e = {.order = o->id, .site = w.number[LEUVEN], .signed_at = world_wall(&w, SPOC), .last = {world_wall(&w, SPOC).us + US_PER_DAY}};
	struct hash net = roster_network_hash(w.keys[0].network, &w.authority_public);
	struct buf points = BUF_EMPTY, blob = BUF_EMPTY, frame = BUF_EMPTY;
	struct effects out = EFFECTS_EMPTY;
	struct event ev = {.type = EVENT_FRAME, .now = w.now, .wall = world_wall(&w, SPOC)};

	frontier_add(&points, &f);
	e.n_points = 1;
	e.points = buf_view(&points);
	assert_int_equal(endorsement_make(w.suite, &w.keys[LEUVEN].identity, &net, &e, &blob), ERR_OK);
	frame_state_give(&frame, &(struct hash){{9}}, STATE_KIND_ENDORSEMENT, buf_view(&blob));
	ev.u.frame.peer = w.number[LEUVEN];
	ev.u.frame.lane = LANE_URGENT;
	ev.u.frame.side = SIDE_ACCEPTED;
	ev.u.frame.bytes = buf_view(&frame);
	assert_int_equal(core_apply(w.node[SPOC].core, w.node[SPOC].store, &ev, 1, &out), ERR_OK);
	hex_format(o->id.b, 8, hex);
	ask_ok(&w, NAMEN, REQ_ENDORSE, hex, NULL, NULL);
	world_run(&w, US_PER_S);
	join(&w, ANTWERPEN);
	assert_true(site_revoked(w.node[LUIK].core, w.number[ANTWERPEN]));
	read_is(&w, LUIK, "dispatch", "before");
	take_none(&w, LUIK, "dispatch");
	assert_int_equal(quarantine(&w, LUIK).open, 1);
	effects_release(&out);
	buf_release(&points);
	buf_release(&blob);
	buf_release(&frame);
	world_release(&w);
}

/* ---- back ------------------------------------------------------------------------------------------------------------------ */

static void enrolled_anew(void **state)
{
	static const size_t pair[] = {ANTWERPEN, NAMEN};
	struct world w;
	struct msgid id, sent;
	char text[400];

	(void)state;
	world_init(&w, SITES, N, 6);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "before", &id);
	world_run(&w, 2 * US_PER_S);
	part(&w, pair, 2);
	/* The captured node runs anew, and Namen, which does not know, takes what it says. */
	world_crash(&w, ANTWERPEN);
	world_start(&w, ANTWERPEN);
	world_run(&w, 2 * US_PER_S);
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "by the captured key", &id);
	world_run(&w, US_PER_S);
	revoke(&w, ANTWERPEN, "cic-vlaams-brabant", LUIK, LEUVEN);
	world_crash(&w, ANTWERPEN);
	send_ok(&w, SPOC, "cic-antwerpen/dispatch", "waits for it", &sent);
	world_run(&w, US_PER_S);
	assert_int_equal(ask(&w, SPOC, REQ_ORDER, "handback", "cic-antwerpen", NULL, text, sizeof text), ERR_REFUSED);
	assert_non_null(strstr(text, "the roster still has them"));

	struct roster *r = world_roster_copy(&w);

	world_enrol(&w, ANTWERPEN, r);
	world_roster(&w, r);
	world_lose_journal(&w, ANTWERPEN);
	world_start(&w, ANTWERPEN);
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < i; k++)
			world_link(&w, i, k, true);
	world_run(&w, 5 * US_PER_S);
	assert_true(peer_find(w.node[LUIK].core, w.number[ANTWERPEN])->gone); /* until the handback */
	ask_ok(&w, SPOC, REQ_ORDER, "handback", "cic-antwerpen", NULL);
	world_run(&w, 30 * US_PER_S);
	assert_false(site_revoked(w.node[ANTWERPEN].core, w.number[ANTWERPEN]));
	read_is(&w, ANTWERPEN, "dispatch", "waits for it");
	send_ok(&w, ANTWERPEN, "cic-luik/dispatch", "by the new key", &id);
	read_is(&w, LUIK, "dispatch", "before");
	read_is(&w, LUIK, "dispatch", "by the new key");
	take_none(&w, LUIK, "dispatch");
	assert_int_equal(quarantine(&w, LUIK).open, 1); /* whoever has the old key has it for ever */
	world_crash(&w, LUIK);
	world_start(&w, LUIK);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(closed_streams(&w, LUIK, ANTWERPEN), 1);
	roster_free(r);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiting_is_moved),
		cmocka_unit_test(failed_commits),
		cmocka_unit_test(in_hand_when_it_comes),
		cmocka_unit_test(late_but_before),
		cmocka_unit_test(shut_out),
		cmocka_unit_test(reports_do_not_count),
		cmocka_unit_test(a_point_that_fits_nothing),
		cmocka_unit_test(enrolled_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
