/* Promises of the core that a hostile reading of it found broken: each test is named after one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/stream.h"
#include "storage/memkv.h"
#include "storage/record.h"
#include "tests/lib/asks.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-brussel"};
enum { LUIK, NAMEN, LEUVEN, BRUSSEL };

static struct event frame_event(struct world *w, size_t from, uint8_t lane, uint8_t side, const struct buf *b)
{
	struct event ev = {.type = EVENT_FRAME};

	ev.u.frame.peer = w->number[from];
	ev.u.frame.lane = lane;
	ev.u.frame.side = side;
	ev.u.frame.bytes = buf_view(b);
	return ev;
}

static struct event request_event(const struct buf *b)
{
	struct event ev = {.type = EVENT_REQUEST};

	ev.u.request.client = WORLD_CLIENT;
	ev.u.request.bytes = buf_view(b);
	return ev;
}

/* ---- commits that fail ---------------------------------------------------------------------------------------------- */

/* A take whose batch failed and is applied again still asks for as many as it asked for. */
static void a_take_takes_no_more_than_asked(void **state)
{
	struct world w;
	struct effects out = EFFECTS_EMPTY;
	struct buf b = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, 3, 1);
	ask_take_bytes(&b, "cic-luik/dispatch", 77, 1, NULL);
	struct event ev[2] = {request_event(&b), {.type = EVENT_TICK}};

	ask_fail_next(&w, LUIK, ERR_FULL);
	assert_int_equal(ask_apply(&w, LUIK, ev, 2, &out), ERR_OK);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "one", NULL);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "two", NULL);
	world_run(&w, US_PER_S);
	assert_int_equal(ask_replies_of(&w, LUIK, REPLY_TAKEN), 1);
	effects_release(&out);
	buf_release(&b);
	world_release(&w);
}

/* What a client asked for and was refused is not done later. */
static void a_refused_take_takes_nothing(void **state)
{
	struct world w;
	struct effects out = EFFECTS_EMPTY;
	struct buf b = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, 3, 2);
	ask_take_bytes(&b, "cic-luik/dispatch", 77, 1, NULL);
	struct event ev = request_event(&b);

	ask_fail_next(&w, LUIK, ERR_FULL);
	assert_int_equal(ask_apply(&w, LUIK, &ev, 1, &out), ERR_OK);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "one", NULL);
	world_run(&w, US_PER_S);
	assert_int_equal(ask_replies_of(&w, LUIK, REPLY_TAKEN), 0);
	effects_release(&out);
	buf_release(&b);
	world_release(&w);
}

/* A client that is gone gets nothing, although the commit failed in which it went. */
static void nothing_is_handed_to_who_is_gone(void **state)
{
	struct world w;
	struct effects out = EFFECTS_EMPTY;
	struct event gone = {.type = EVENT_CLIENT_CLOSED}, open = {.type = EVENT_CLIENT_OPEN};

	(void)state;
	world_init(&w, SITES, 3, 3);
	world_take(&w, LUIK, "cic-luik/dispatch", 10, 0);
	world_run(&w, US_PER_S);
	gone.u.client.client = WORLD_CLIENT;
	open.u.client.client = WORLD_CLIENT;
	open.u.client.rights = (struct client_rights){.name = "desk", .may_send = true, .may_take = true, .may_operate = true};
	ask_fail_next(&w, LUIK, ERR_FULL);
	assert_int_equal(ask_apply(&w, LUIK, &gone, 1, &out), ERR_OK);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "one", NULL);
	world_run(&w, US_PER_S);
	assert_int_equal(ask_apply(&w, LUIK, &open, 1, &out), ERR_OK);
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "one", NULL);
	effects_release(&out);
	world_release(&w);
}

/* A lease ends in its time, however often the journal refuses something meanwhile. */
static void a_lease_ends_while_commits_fail(void **state)
{
	struct world w;
	struct event tick = {.type = EVENT_TICK};
	struct effects out = EFFECTS_EMPTY;

	(void)state;
	world_init(&w, SITES, 3, 4);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "one", NULL);
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "one", NULL);
	for (int i = 0; i < 32; i++) {
		ask_fail_next(&w, LUIK, ERR_FULL);
		assert_int_equal(ask_apply(&w, LUIK, &tick, 1, &out), ERR_OK);
		world_run(&w, 10 * US_PER_S);
	}
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "one", NULL);
	effects_release(&out);
	world_release(&w);
}

/* While there is no room what a node does by itself is tried again after a second: not at once, not never. */
static void a_full_disk_is_asked_once_a_second(void **state)
{
	struct world w;
	struct event tick = {.type = EVENT_TICK};
	struct effects out = EFFECTS_EMPTY;

	(void)state;
	world_init(&w, SITES, 3, 4);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "one", NULL);
	world_take(&w, LUIK, "cic-luik/dispatch", 1, 20 * US_PER_S);
	world_run(&w, 19 * US_PER_S);
	assert_int_equal(ask_replies_of(&w, LUIK, REPLY_TAKEN), 1);
	w.now.us += 2 * US_PER_S;
	for (int i = 0; i < 2; i++) {
		uint64_t commits = w.node[LUIK].commits;

		ask_fail_next(&w, LUIK, ERR_FULL);
		assert_int_equal(ask_apply(&w, LUIK, &tick, 1, &out), ERR_OK);
		ask_fail_next(&w, LUIK, ERR_FULL);
		assert_int_equal(ask_apply(&w, LUIK, &tick, 1, &out), ERR_OK);
		assert_true(w.node[LUIK].commits <= commits + 4);
		assert_true(core_deadline(w.node[LUIK].core).us > w.now.us);
		assert_true(core_deadline(w.node[LUIK].core).us <= w.now.us + US_PER_S);
	}
	world_run(&w, 2 * US_PER_S);
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "one", NULL);
	effects_release(&out);
	world_release(&w);
}

/* A roster that is not taken does no harm when its batch is applied again. */
static void a_roster_applied_twice(void **state)
{
	struct world w;
	struct effects out = EFFECTS_EMPTY;
	struct roster *r = NULL;
	struct errmsg m;

	(void)state;
	world_init(&w, SITES, 3, 5);
	assert_int_equal(roster_parse("roster", buf_view(&w.roster_text), &w.authority_public, false, &r, &m), ERR_OK);
	struct event ev[3] = {{.type = EVENT_TICK}, {.type = EVENT_ROSTER}, {.type = EVENT_TICK}};

	ev[1].u.roster.roster = r;
	ask_fail_next(&w, LUIK, ERR_FULL);
	assert_int_equal(ask_apply(&w, LUIK, ev, 3, &out), ERR_OK);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "one", NULL);
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "one", NULL);
	effects_release(&out);
	world_release(&w);
}

/* ---- damage ------------------------------------------------------------------------------------------------------------ */

static size_t flip(struct world *w, size_t i, struct view needle)
{
	return memkv_flip(w->node[i].store->kv, needle, 3);
}

/* A flipped bit in a body that is about to be sent: shown, and the node goes on. */
static void damage_found_while_sending(void **state)
{
	struct world w;
	struct txn *t;
	struct entry_row e;
	struct buf body = BUF_EMPTY;

	(void)state;
	world_init(&w, SITES, 3, 6);
	world_link(&w, NAMEN, LUIK, false);
	world_link(&w, NAMEN, LEUVEN, false);
	world_run(&w, US_PER_S);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "damaged", NULL);
	assert_int_equal(txn_begin(w.node[NAMEN].store, false, &t), ERR_OK);
	assert_int_equal(store_entry_get(t, store_last_arrival(t), &e), ERR_OK);
	assert_int_equal(store_body_get_part(t, e.body_class, e.body_no, 0, 0, &body), ERR_OK);
	txn_abort(t);
	assert_true(flip(&w, NAMEN, buf_view(&body)) > 0);
	world_link(&w, NAMEN, LUIK, true);
	world_run(&w, 2 * US_PER_S);
	assert_true(world_alarm(&w, NAMEN, "damage"));
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "whole", NULL);
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "whole", NULL);
	buf_release(&body);
	world_release(&w);
}

/* A flipped bit in the place of one message does not close its queue. */
static void a_damaged_place_closes_no_queue(void **state)
{
	struct world w;
	struct msgid id;

	(void)state;
	world_init(&w, SITES, 3, 7);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "damaged place", &id);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "behind it", NULL);
	world_run(&w, US_PER_S);
	/* Only places and keys have an id as their value. */
	assert_true(flip(&w, LUIK, view_of(id.b, MSGID_BYTES)) > 0);
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "behind it", NULL);
	world_release(&w);
}

/* ---- a lost journal ---------------------------------------------------------------------------------------------------- */

/* What was read before is not handed out, whatever commit fails while the journal comes back. */
static void recovery_with_failed_commits(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= 12; n++) {
		struct world w;
		struct msgid id;
		struct taken t = {.body = BUF_EMPTY};

		world_init(&w, SITES, 3, 20 + n);
		ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "read before", NULL);
		ask_take_is(&w, LUIK, "cic-luik/dispatch", "read before", &id);
		assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
		world_run(&w, 5 * US_PER_S);
		world_crash(&w, LUIK);
		world_lose_journal(&w, LUIK);
		w.node[LUIK].fail_at = w.node[LUIK].commits + 1 + n;
		w.node[LUIK].fail_with = ERR_FULL;
		/* Its peers' segments come late, so that there is something to wait for. */
		world_start(&w, LUIK);
		if (world_take_one(&w, LUIK, "cic-luik/dispatch", 20 * US_PER_S, &t))
			fail_msg("commit %llu failed: handed out what was read", (unsigned long long)n);
		buf_release(&t.body);
		world_release(&w);
	}
}

/* Nor when frames are lost on the way. */
static void recovery_with_lost_frames(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 25; seed++) {
		struct world w;
		struct msgid id;
		struct taken t = {.body = BUF_EMPTY};

		world_init(&w, SITES, 3, 50 + seed);
		ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "read before", NULL);
		ask_take_is(&w, LUIK, "cic-luik/dispatch", "read before", &id);
		assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
		world_run(&w, 5 * US_PER_S);
		world_crash(&w, LUIK);
		world_lose_journal(&w, LUIK);
		w.loss_percent = 40;
		world_start(&w, LUIK);
		bool got = world_take_one(&w, LUIK, "cic-luik/dispatch", 60 * US_PER_S, &t);

		if (got)
			fail_msg("seed %llu: handed out what was read", (unsigned long long)seed);
		w.loss_percent = 0;
		/* frames that were lost without an end of the connection: waits doubled meanwhile, and begin anew with the next one */
		world_run(&w, 60 * US_PER_S);
		assert_false(world_alarm(&w, LUIK, "recovering"));
		buf_release(&t.body);
		world_release(&w);
	}
}

/* Its standbys were cut off when it was read: the originator knows it, and so does our own stream that it gives back. */
static void what_the_originator_knows_was_read(void **state)
{
	struct world w;
	struct msgid id;
	struct taken t = {.body = BUF_EMPTY};

	(void)state;
	world_init(&w, SITES, 4, 90);
	ask_send(&w, BRUSSEL, "cic-luik/dispatch", PREC_FLASH, "read before", NULL);
	world_run(&w, 3 * US_PER_S);
	world_link(&w, LUIK, NAMEN, false);
	world_link(&w, LUIK, LEUVEN, false);
	world_run(&w, US_PER_S);
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "read before", &id);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
	world_run(&w, 2 * US_PER_S);
	assert_int_equal(world_state(&w, BRUSSEL, &id), STATE_READ);
	world_crash(&w, LUIK);
	world_lose_journal(&w, LUIK);
	w.node[LUIK].cut[NAMEN] = w.node[LUIK].cut[LEUVEN] = w.node[NAMEN].cut[LUIK] = w.node[LEUVEN].cut[LUIK] = false;
	world_start(&w, LUIK);
	assert_false(world_take_one(&w, LUIK, "cic-luik/dispatch", 30 * US_PER_S, &t));
	assert_false(world_alarm(&w, LUIK, "recovering"));
	buf_release(&t.body);
	world_release(&w);
}

/* Acknowledgements of bulk overtake the answer to a digest: that is no loss. */
static void nothing_is_lost_by_being_overtaken(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct world w;

		world_init(&w, SITES, 3, 300 + seed);
		w.jitter_us = 300000;
		for (int round = 0; round < 6; round++) {
			world_link(&w, NAMEN, LUIK, false);
			world_run(&w, US_PER_S); /* nothing of the old connection arrives on the new one */
			world_link(&w, NAMEN, LUIK, true);
			for (int k = 0; k < 12; k++) {
				ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_ROUTINE, "bulk", NULL);
				world_run(&w, 60000);
			}
			if (world_alarm(&w, NAMEN, "loss"))
				fail_msg("seed %llu: an alarm of a loss, and nothing was lost", (unsigned long long)seed);
		}
		world_release(&w);
	}
}

/* ---- hostile peers ------------------------------------------------------------------------------------------------------ */

static enum err count_stream(void *arg, const struct stream_row *row)
{
	(void)row;
	++*(unsigned *)arg;
	return ERR_OK;
}

static unsigned streams_at(struct world *w, size_t i)
{
	struct txn *t;
	unsigned n = 0;

	assert_int_equal(txn_begin(w->node[i].store, false, &t), ERR_OK);
	assert_int_equal(store_stream_each(t, count_stream, &n), ERR_OK);
	txn_abort(t);
	return n;
}

/* The stream from one site to another that this site holds, with its first entry and a head at or above it. */
struct found { uint16_t from, to; uint8_t precedence; struct stream_row row; bool any; };
static enum err find_stream(void *arg, const struct stream_row *row)
{
	struct found *f = arg;

	if (row->name.originator == f->from && row->name.addressee == f->to && row->name.precedence == f->precedence) {
		f->row = *row;
		f->any = true;
	}
	return ERR_OK;
}

/* A peer may not fill this node with streams in another site's name: nothing is made of what nobody signed. */
static void a_stream_begins_with_its_signature(void **state)
{
	struct world w;
	struct buf b = BUF_EMPTY;
	struct effects out = EFFECTS_EMPTY;
	uint8_t header[HEADER_BYTES];

	(void)state;
	world_init(&w, SITES, 3, 91);
	unsigned before = streams_at(&w, LUIK);

	for (int i = 0; i < 5; i++) {
		struct stream_name name = {.originator = w.number[NAMEN], .addressee = w.number[LUIK], .precedence = PREC_FLASH, .incarnation = {.born_us = 1000 + i}};
		struct header h = {.kind = KIND_MESSAGE, .originator = name.originator, .sent = world_wall(&w, LUIK)};
		struct entry e = {.header = view_of(header, sizeof header), .envelope = view_str("not sealed")};
		struct head head = {.number = 1};
		struct segment_writer sw;

		header_encode(&h, header);
		entry_hash(&e);
		buf_clear(&b);
		frame_begin(&b, FRAME_SEGMENT);
		segment_begin(&sw, &b, &name, 1);
		segment_add(&sw, &e);
		segment_end(&sw, NULL, 0, &head);
		struct event ev = frame_event(&w, LEUVEN, LANE_URGENT, SIDE_ACCEPTED, &b);

		assert_int_equal(ask_apply(&w, LUIK, &ev, 1, &out), ERR_OK);
	}
	assert_int_equal(streams_at(&w, LUIK), before);
	effects_release(&out);
	buf_release(&b);
	world_release(&w);
}

/* A standby gives stubs, or entries without their bodies, instead of entries: they do not take the entries' place. */
static void a_relay_leaves_nothing_out(void **state)
{
	(void)state;
	for (int stub = 0; stub < 2; stub++) {
		struct world w;
		struct buf b = BUF_EMPTY;
		struct effects out = EFFECTS_EMPTY;
		struct segment_writer sw;
		struct entry_row e;
		struct head head;
		struct txn *t;

		world_init(&w, SITES, 3, 92);
		struct found f = {.from = w.number[NAMEN], .to = w.number[LUIK], .precedence = PREC_FLASH};

		world_link(&w, NAMEN, LUIK, false);
		world_link(&w, NAMEN, LEUVEN, false);
		world_run(&w, US_PER_S);
		ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "all of it", NULL);
		assert_int_equal(txn_begin(w.node[NAMEN].store, false, &t), ERR_OK);
		assert_int_equal(store_stream_each(t, find_stream, &f), ERR_OK);
		assert_true(f.any);
		frame_begin(&b, FRAME_SEGMENT);
		segment_begin(&sw, &b, &f.row.name, 1);
		for (uint64_t n = 1; n <= f.row.held; n++) {
			struct buf body = BUF_EMPTY;

			assert_int_equal(store_entry_find(t, f.row.local, n, &e), ERR_OK);
			if (n == 1) /* the grant */
				assert_int_equal(store_body_get_part(t, e.body_class, e.body_no, 0, 0, &body), ERR_OK);
			e.e.body = buf_view(&body);
			e.e.flags = n > 1 ? (stub ? ENTRY_STUB : ENTRY_BODY_APART) : 0;
			segment_add(&sw, &e.e);
			buf_release(&body);
		}
		assert_int_equal(store_head_from(t, f.row.local, f.row.held, &head), ERR_OK);
		segment_end(&sw, NULL, 0, &head);
		txn_abort(t);
		struct event ev = frame_event(&w, LEUVEN, LANE_URGENT, SIDE_ACCEPTED, &b);

		assert_int_equal(ask_apply(&w, LUIK, &ev, 1, &out), ERR_OK);
		world_link(&w, NAMEN, LUIK, true);
		world_link(&w, NAMEN, LEUVEN, true);
		ask_take_is(&w, LUIK, "cic-luik/dispatch", "all of it", NULL);
		effects_release(&out);
		buf_release(&b);
		world_release(&w);
	}
}

/* A site cannot put a message of its own in the place of another's by using its id. */
static void an_id_names_one_message(void **state)
{
	struct world w;
	struct buf b = BUF_EMPTY;
	struct effects out = EFFECTS_EMPTY;
	uint8_t header[HEADER_BYTES];
	struct msgid id;

	(void)state;
	world_init(&w, SITES, 3, 104);
	ask_send(&w, NAMEN, "cic-luik/dispatch", PREC_FLASH, "the first", NULL);
	ask_take_is(&w, LUIK, "cic-luik/dispatch", "the first", &id);
	assert_int_equal(world_handle(&w, LUIK, REQ_ACK, &id), ERR_OK);
	struct stream_name name = {.originator = w.number[LEUVEN], .addressee = w.number[LUIK], .precedence = PREC_FLASH, .incarnation = {.born_us = 1}};
	struct header h = {.kind = KIND_MESSAGE, .originator = name.originator, .id = id, .sent = world_wall(&w, LUIK)};
	struct entry e = {.header = view_of(header, sizeof header), .envelope = view_str("not sealed")};
	struct head head = {.number = 1};
	struct segment_writer sw;
	struct hash network = store_birth(w.node[LUIK].store)->network, stream = stream_hash(&network, &name), leaf;

	header_encode(&h, header);
	entry_hash(&e);
	leaf = entry_leaf(&e);
	head.chain = chain_next(&stream, 1, &leaf);
	head_sign(w.suite, &w.keys[LEUVEN].identity, &stream, &head);
	frame_begin(&b, FRAME_SEGMENT);
	segment_begin(&sw, &b, &name, 1);
	segment_add(&sw, &e);
	segment_end(&sw, NULL, 0, &head);
	struct event ev = frame_event(&w, LEUVEN, LANE_URGENT, SIDE_ACCEPTED, &b);

	unsigned before = streams_at(&w, LUIK);

	assert_int_equal(ask_apply(&w, LUIK, &ev, 1, &out), ERR_OK);
	assert_int_equal(streams_at(&w, LUIK), before + 1); /* it was well signed */
	assert_true(world_alarm(&w, LUIK, "id"));
	assert_false(world_alarm(&w, LUIK, "sealed"));
	effects_release(&out);
	buf_release(&b);
	world_release(&w);
}

/* Many small questions for large bodies in one batch: what is answered stays within bounds. */
static void a_flood_of_wants(void **state)
{
	struct world w;
	struct buf b = BUF_EMPTY;
	struct effects out = EFFECTS_EMPTY;
	struct event ev[200];
	size_t len = 20 * LIMIT_CHUNK_BYTES;
	uint8_t *body = calloc(len, 1);
	struct txn *t;
	struct entry_row e;

	(void)state;
	assert_non_null(body);
	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t)(i * 2654435761u >> 13);
	world_init(&w, SITES, 3, 93);
	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t)world_random(&w, 256);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, view_of(body, len), NULL, NULL, NULL), ERR_OK);
	struct part want = {.kind = PART_CHUNK, .count = 20};

	assert_int_equal(txn_begin(w.node[NAMEN].store, false, &t), ERR_OK);
	for (uint64_t a = store_last_arrival(t); a; a--)
		if (store_entry_get(t, a, &e) == ERR_OK && e.e.body_len > LIMIT_CHUNK_BYTES)
			want.body = e.e.body_hash;
	txn_abort(t);
	frame_want(&b, &want);
	for (size_t i = 0; i < 200; i++)
		ev[i] = frame_event(&w, LUIK, LANE_BULK, SIDE_DIALLED, &b);
	assert_int_equal(ask_apply(&w, NAMEN, ev, 200, &out), ERR_OK);
	assert_true(out.bytes.len > 0);
	assert_true(out.bytes.len < 256 * 1024);
	effects_release(&out);
	buf_release(&b);
	free(body);
	world_release(&w);
}

/* A probe may carry any number. */
static void a_probe_of_any_time(void **state)
{
	struct world w;
	struct effects out = EFFECTS_EMPTY;
	static const uint64_t tokens[] = {UINT64_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1, (uint64_t)INT64_MAX + 2};

	(void)state;
	world_init(&w, SITES, 3, 94);
	for (size_t i = 0; i < 4; i++) {
		struct buf b = BUF_EMPTY;

		frame_probe(&b, FRAME_PROBE, &(struct probe){.token = tokens[i]});
		struct event ev = frame_event(&w, NAMEN, LANE_URGENT, SIDE_ACCEPTED, &b);

		assert_int_equal(ask_apply(&w, LUIK, &ev, 1, &out), ERR_OK);
		buf_release(&b);
	}
	effects_release(&out);
	world_release(&w);
}

/* ---- custody -------------------------------------------------------------------------------------------------------------- */

/* A standby that holds the first part of a burst, and whose originator is gone for good, can give what it holds. */
static bool part_of_a_burst(uint64_t seed)
{
	struct world w;
	struct buf b = BUF_EMPTY;
	uint8_t body[1000];
	struct found f;
	struct txn *t;

	world_init(&w, SITES, 3, seed);
	world_link(&w, NAMEN, LUIK, false);
	world_run(&w, US_PER_S);
	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (uint8_t)world_random(&w, 256);
	w.jitter_us = 400000;
	for (int i = 0; i < 20; i++) {
		struct request_writer rw;

		buf_clear(&b);
		body[0] = (uint8_t)i;
		request_begin(&rw, &b, REQ_SUBMIT, 5000 + (uint32_t)i);
		request_str(&rw, F_TO, "cic-luik/dispatch");
		request_field(&rw, F_BODY, view_of(body, sizeof body));
		request_end(&rw);
		world_request(&w, NAMEN, &b);
	}
	f = (struct found){.from = w.number[NAMEN], .to = w.number[LUIK], .precedence = PREC_ROUTINE};
	for (int i = 0; i < 1000 && f.row.held < 2; i++) {
		world_run(&w, 1000);
		assert_int_equal(txn_begin(w.node[LEUVEN].store, false, &t), ERR_OK);
		assert_int_equal(store_stream_each(t, find_stream, &f), ERR_OK);
		txn_abort(t);
	}
	bool part = f.row.held >= 2 && f.row.held < 21; /* of the grant and 20 messages */

	world_crash(&w, NAMEN);
	world_crash(&w, LEUVEN); /* what was still on its way is gone */
	w.jitter_us = 0;
	world_start(&w, LEUVEN);
	world_run(&w, 30 * US_PER_S);
	for (uint64_t n = 2; n <= f.row.held; n++)
		if (!world_take_one(&w, LUIK, "cic-luik/dispatch", 2 * US_PER_S, NULL))
			fail_msg("Leuven holds %llu entries, entry %llu did not come", (unsigned long long)f.row.held, (unsigned long long)n);
	buf_release(&b);
	world_release(&w);
	return part;
}

static void a_part_of_a_burst_can_be_handed_on(void **state)
{
	int parts = 0;

	(void)state;
	for (uint64_t seed = 200; seed < 212; seed++)
		parts += part_of_a_burst(seed);
	assert_true(parts > 0);
}

/* A failed commit does not make a body whole that is still coming. */
static void held_is_whole(void **state)
{
	struct world w;
	struct msgid id;
	struct event tick = {.type = EVENT_TICK};
	struct effects out = EFFECTS_EMPTY;
	size_t len = 3 * LIMIT_CHUNK_BYTES;
	uint8_t *body = calloc(len, 1);

	(void)state;
	assert_non_null(body);
	world_init(&w, SITES, 3, 96);
	assert_int_equal(world_send(&w, NAMEN, "cic-luik/messages", PREC_ROUTINE, view_of(body, len), NULL, &id, NULL), ERR_OK);
	/* The entry is there and acknowledged, its body is not. */
	world_run(&w, 7000);
	for (int i = 0; i < 8; i++) {
		enum wait_state before = world_state(&w, NAMEN, &id);

		ask_fail_next(&w, NAMEN, ERR_FULL);
		assert_int_equal(ask_apply(&w, NAMEN, &tick, 1, &out), ERR_OK);
		if (before < STATE_HELD)
			assert_true(world_state(&w, NAMEN, &id) < STATE_HELD || world_status(&w, LUIK, "delivered") == 1);
		world_run(&w, 2000);
	}
	effects_release(&out);
	free(body);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_take_takes_no_more_than_asked),
		cmocka_unit_test(a_refused_take_takes_nothing),
		cmocka_unit_test(nothing_is_handed_to_who_is_gone),
		cmocka_unit_test(a_lease_ends_while_commits_fail),
		cmocka_unit_test(a_full_disk_is_asked_once_a_second),
		cmocka_unit_test(a_roster_applied_twice),
		cmocka_unit_test(damage_found_while_sending),
		cmocka_unit_test(a_damaged_place_closes_no_queue),
		cmocka_unit_test(recovery_with_failed_commits),
		cmocka_unit_test(recovery_with_lost_frames),
		cmocka_unit_test(what_the_originator_knows_was_read),
		cmocka_unit_test(nothing_is_lost_by_being_overtaken),
		cmocka_unit_test(a_stream_begins_with_its_signature),
		cmocka_unit_test(a_relay_leaves_nothing_out),
		cmocka_unit_test(an_id_names_one_message),
		cmocka_unit_test(a_flood_of_wants),
		cmocka_unit_test(a_probe_of_any_time),
		cmocka_unit_test(a_part_of_a_burst_can_be_handed_on),
		cmocka_unit_test(held_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
