/* Messages that two sites handled: recorded, told, listed, signed off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "storage/memkv.h"
#include "storage/record.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN };

/* ---- what happened, by hand ------------------------------------------------------------------------------------------- */

static struct effects out;

static struct core *begin(struct world *w, size_t i)
{
	struct core *c = w->node[i].core;

	assert_int_equal(txn_begin(w->node[i].store, true, &c->t), ERR_OK);
	c->out = &out;
	return c;
}

static void end(struct core *c)
{
	assert_int_equal(txn_commit(c->t), ERR_OK);
	c->t = NULL;
	c->out = NULL;
	effects_clear(&out);
	core_committed(c);
}

static void happens(struct world *w, struct buf *events, uint8_t event, size_t site, int64_t when, const char *by)
{
	struct msg_event e = {.event = event, .source = w->number[site], .when = {when}, .by = view_str(by)};

	events_add(events, &e);
}

/* Luik's node looks at these events of a message to it, and keeps them with the message. */
static void look(struct world *w, const struct msgid *id, const struct buf *events)
{
	struct core *c = begin(w, LUIK);
	struct buf old = BUF_EMPTY;
	struct msg_row row;

	assert_int_equal(msg_load(c, id, w->number[LUIK], &row, &old), ERR_OK);
	row.events = buf_view(events);
	store_msg_put(c->t, &row);
	conflict_look(c, id, w->number[LUIK], false, buf_view(events));
	buf_release(&old);
	end(c);
}

static bool recorded(struct world *w, const struct msgid *id, struct conflict_row *row)
{
	struct txn *t;

	assert_int_equal(txn_begin(w->node[LUIK].store, false, &t), ERR_OK);
	enum err e = store_conflict_get(t, id, w->number[LUIK], row);

	txn_abort(t);
	assert_true(e == ERR_OK || e == ERR_NOT_FOUND);
	return !e;
}

static enum err sign_off(struct world *w, const struct msgid *id, const char *by)
{
	struct core *c = begin(w, LUIK);
	enum err e = conflict_sign_off(c, id, by);

	end(c);
	return e;
}

/* The text of a member of the first row that `show what` answers; "" when there is none. */
static void shown(struct world *w, const char *what, const char *member, char *text, size_t size)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;
	struct request r;
	bool done = false;

	text[0] = '\0';
	while (world_reply(w, LUIK, &r))
		;
	request_begin(&rw, &b, REQ_SHOW, ++w->tag);
	request_str(&rw, F_WHAT, what);
	request_end(&rw);
	world_request(w, LUIK, &b);
	buf_release(&b);
	for (int tries = 0; !done && tries < 100; tries++) {
		world_run(w, 10000);
		while (world_reply(w, LUIK, &r)) {
			struct view fields = r.fields;
			struct request_item f;
			bool named = false;

			while (r.type == REPLY_ROW && !text[0] && request_next(&fields, &f) == ERR_OK) {
				if (named && f.field == F_FLAG)
					snprintf(text, size, "%s", f.value.ptr[0] ? "true" : "false");
				else if (named)
					view_to_str(f.value, text, size);
				named = f.field == F_NAME && view_equal(f.value, view_str(member));
			}
			done = done || r.type == REPLY_DONE;
		}
	}
	assert_true(done);
}

static void prepare(struct world *w, struct msgid *id)
{
	struct send_options o = {.subject = "s"};
	struct taken t = {.body = BUF_EMPTY};

	world_init(w, SITES, 4, 1);
	assert_int_equal(world_send(w, NAMEN, "cic-luik/dispatch", PREC_FLASH, view_str("body"), &o, id, NULL), ERR_OK);
	world_run(w, US_PER_S);
	assert_true(world_take_one(w, LUIK, "cic-luik/dispatch", US_PER_S, &t));
	assert_int_equal(world_handle(w, LUIK, REQ_ACK, id), ERR_OK); /* it stands in no queue any more */
	buf_release(&t.body);
}

/* ---- tests ------------------------------------------------------------------------------------------------------------------ */

static void two_sites_are_a_conflict(void **state)
{
	struct world w;
	struct msgid id;
	struct conflict_row row;
	struct buf events = BUF_EMPTY;
	char text[300], id_text[MSGID_TEXT_BYTES];

	(void)state;
	prepare(&w, &id);
	happens(&w, &events, EVENT_READ, LUIK, 2000000, "anna");
	happens(&w, &events, EVENT_REFUSED, LUIK, 3000000, "piet"); /* twice, but there */
	happens(&w, &events, EVENT_HANDED_OUT, NAMEN, 500000, "jean");
	happens(&w, &events, EVENT_READ, ANTWERPEN, 600000, "liar"); /* neither a standby of Luik nor named by an order */
	look(&w, &id, &events);
	assert_false(recorded(&w, &id, &row));
	assert_false(world_alarm(&w, LUIK, "conflict"));

	happens(&w, &events, EVENT_READ, NAMEN, 2500000, "jean");
	happens(&w, &events, EVENT_REFUSED, NAMEN, 1000000, "jean"); /* its first handling, though heard later */
	look(&w, &id, &events);
	assert_true(recorded(&w, &id, &row));
	assert_int_equal(row.n, 2);
	assert_true(row.handler[0].site == w.number[NAMEN] && row.handler[0].event == EVENT_REFUSED && row.handler[0].when.us == 1000000);
	assert_true(row.handler[1].site == w.number[LUIK] && row.handler[1].event == EVENT_READ && row.handler[1].when.us == 2000000);
	assert_string_equal(row.handler[1].by, "anna");
	assert_string_equal(row.queue, "dispatch");
	assert_string_equal(row.signed_off, "");

	msgid_format(&id, id_text);
	shown(&w, "alarms", "what", text, sizeof text);
	assert_non_null(strstr(text, id_text));
	assert_non_null(strstr(text, "cic-luik/dispatch was handled by cic-namen (refused by jean, 1970-01-01T00:00:01Z) and by cic-luik (read by anna, "));
	shown(&w, "conflicts", "id", text, sizeof text);
	assert_string_equal(text, id_text);
	shown(&w, "conflicts", "queue", text, sizeof text);
	assert_string_equal(text, "cic-luik/dispatch");
	shown(&w, "conflicts", "handlers", text, sizeof text);
	assert_string_equal(text, "cic-namen\ncic-luik");
	shown(&w, "conflicts", "times", text, sizeof text);
	assert_string_equal(text, "1970-01-01T00:00:01Z\n1970-01-01T00:00:02Z");
	shown(&w, "conflicts", "signed_off", text, sizeof text);
	assert_string_equal(text, "false");
	buf_release(&events);
	world_release(&w);
}

static void a_person_signs_it_off_until_another_handled_it_too(void **state)
{
	struct world w;
	struct msgid id, other = {{1}};
	struct conflict_row row;
	struct buf events = BUF_EMPTY;
	char text[300];

	(void)state;
	prepare(&w, &id);
	happens(&w, &events, EVENT_READ, LUIK, 2000000, "anna");
	happens(&w, &events, EVENT_READ, NAMEN, 1000000, "jean");
	look(&w, &id, &events);
	assert_true(world_alarm(&w, LUIK, "conflict"));
	assert_int_equal(sign_off(&w, &other, "officer"), ERR_NOT_FOUND);
	assert_int_equal(sign_off(&w, &id, "officer"), ERR_OK);
	assert_false(world_alarm(&w, LUIK, "conflict"));
	shown(&w, "conflicts", "signed_off", text, sizeof text);
	assert_string_equal(text, "true");
	assert_int_equal(sign_off(&w, &id, "somebody else"), ERR_OK);
	assert_true(recorded(&w, &id, &row));
	assert_string_equal(row.signed_off, "officer");

	/* An earlier reading by the same site is nothing new. */
	happens(&w, &events, EVENT_READ, NAMEN, 900000, "jean");
	look(&w, &id, &events);
	assert_true(recorded(&w, &id, &row));
	assert_int_equal(row.handler[0].when.us, 900000);
	assert_string_equal(row.signed_off, "officer");
	assert_false(world_alarm(&w, LUIK, "conflict"));

	happens(&w, &events, EVENT_READ, LEUVEN, 3000000, "marie");
	look(&w, &id, &events);
	assert_true(recorded(&w, &id, &row));
	assert_int_equal(row.n, 3);
	assert_string_equal(row.signed_off, "");
	assert_true(world_alarm(&w, LUIK, "conflict"));
	buf_release(&events);
	world_release(&w);
}

/* A record of a conflict that cannot be read is made anew from the message's reports. */
static void a_damaged_record_is_made_anew(void **state)
{
	struct world w;
	struct msgid id;
	struct conflict_row row;
	struct buf events = BUF_EMPTY;
	uint8_t bytes[512];
	char text[300];
	struct view value;
	struct txn *t;

	(void)state;
	prepare(&w, &id);
	happens(&w, &events, EVENT_READ, LUIK, 2000000, "anna");
	happens(&w, &events, EVENT_READ, NAMEN, 1000000, "jean");
	look(&w, &id, &events);
	struct key k = key_conflict(&id, w.number[LUIK]);

	assert_int_equal(txn_begin(w.node[LUIK].store, false, &t), ERR_OK);
	assert_int_equal(kv_get(t->k, k.db, key_view(&k), &value), ERR_OK);
	assert_true(value.len <= sizeof bytes);
	size_t len = value.len;

	memcpy(bytes, value.ptr, len);
	txn_abort(t);
	assert_int_equal(memkv_flip(w.node[LUIK].store->kv, view_of(bytes, len), 3), 1);
	shown(&w, "conflicts", "handlers", text, sizeof text);
	assert_string_equal(text, "cic-namen\ncic-luik");
	assert_true(recorded(&w, &id, &row));
	assert_int_equal(sign_off(&w, &id, ""), ERR_OK);
	buf_release(&events);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_sites_are_a_conflict),
		cmocka_unit_test(a_person_signs_it_off_until_another_handled_it_too),
		cmocka_unit_test(a_damaged_record_is_made_anew),
	};

	return cmocka_run_group_tests_name("conflict", tests, NULL, NULL);
}
