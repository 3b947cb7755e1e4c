/* The time machine: what `show` answered at a moment is what the journal says of that moment, long after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "storage/past.h"
#include "tests/lib/asks.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, SPOC, N };
#define QUEUE "cic-luik/dispatch"
#define MOMENTS 24
#define IDS 64

/* ---- rows as text ------------------------------------------------------------------------------------------------------- */

/* What no journal keeps, and answers as null. */
static bool kept(const char *name)
{
	static const char *const not[] = {"links_up", "links", "alarms", "exercise_alarms", "journal_bytes", "journal_quota", "journal_percent", "journal_refuses",
	                                  "journal_held_back", "bodies_removed", "entries_retired", "scrub_ended", "scrub_entries", "scrub_bytes", "scrub_percent", "scrub_found",
	                                  "scrub_mended", "bodies_coming_bytes", "bodies_coming_here", "recovering", "clock_unsure", "acknowledged_by", "waits", "body_percent"};
	for (size_t i = 0; i < sizeof not / sizeof *not; i++)
		if (strcmp(name, not[i]) == 0)
			return false;
	return true;
}

/* What a site knows of others' journals now, in a trace: it is heard, and not kept. */
static bool of_now(const char *line)
{
	static const char *const what[] = {"event=held;time=;peer=", "event=held-by-standby;time=;", "event=waits;", "event=in-transit;time=;", "its body goes there"};
	for (size_t i = 0; i < sizeof what / sizeof *what; i++)
		if (strstr(line, what[i]))
			return true;
	return false;
}

static void row_text_add(char *line, size_t size, struct view fields, bool trace)
{
	struct request_item f;
	char name[64] = "";
	size_t at = 0;

	line[0] = '\0';
	while (request_next(&fields, &f) == ERR_OK) {
		if (f.field == F_NAME) {
			view_to_str(f.value, name, sizeof name);
			continue;
		}
		if (!kept(name))
			continue;
		at += (size_t)snprintf(line + at, size - at, "%s=", name);
		if (f.field == F_NUMBER || f.field == F_TIME)
			at += (size_t)snprintf(line + at, size - at, "%lld", (long long)item_u64(&f));
		else if (f.field == F_FLAG)
			at += (size_t)snprintf(line + at, size - at, "%d", item_u8(&f));
		else
			at += (size_t)snprintf(line + at, size - at, "%.*s", (int)f.value.len, (const char *)f.value.ptr);
		at += (size_t)snprintf(line + at, size - at, ";");
		assert_true(at < size);
	}
	if (trace && of_now(line))
		line[0] = '\0';
	char *coming = strstr(line, "event=not-whole;"); /* how much of it is not kept */
	if (coming)
		coming[strlen("event=not-whole;")] = '\0';
}

struct answer { char *line[400]; size_t n; };

static void answer_add(struct answer *a, struct view fields, bool trace)
{
	char line[4000];

	row_text_add(line, sizeof line, fields, trace);
	if (!line[0])
		return;
	assert_true(a->n < 400);
	a->line[a->n++] = strdup(line);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void answer_free(struct answer *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->line[i]);
	a->n = 0;
}

/* ---- questions -------------------------------------------------------------------------------------------------------------- */

struct question { const char *what, *queue; struct msgid id; bool by_id; };

static void ask_write(struct buf *b, const struct question *q, uint32_t tag)
{
	struct request_writer w;

	request_begin(&w, b, REQ_SHOW, tag);
	request_str(&w, F_WHAT, q->what);
	request_str(&w, F_QUEUE, q->queue);
	if (q->by_id)
		request_id(&w, &q->id);
	request_end(&w);
}

static void ask_live(struct world *w, size_t i, const struct question *q, struct answer *out)
{
	struct buf b = BUF_EMPTY;
	struct request r;
	uint32_t tag = ++w->tag;
	bool done = false;

	ask_write(&b, q, tag);
	world_request(w, i, &b);
	buf_release(&b);
	for (int tries = 0; !done && tries < 100; tries++) {
		while (!done && world_reply(w, i, &r)) {
			if (r.tag != tag)
				continue;
			assert_true(r.type == REPLY_ROW || r.type == REPLY_DONE);
			if (r.type == REPLY_ROW)
				answer_add(out, r.fields, q->by_id);
			done = r.type == REPLY_DONE;
		}
		if (!done)
			world_run(w, 1000);
	}
	assert_true(done);
	qsort(out->line, out->n, sizeof *out->line, by_text);
}

/* ---- a time that is over ------------------------------------------------------------------------------------------------------ */

struct past { struct core *core; struct store *store; struct past_result result; struct wall at; struct effects out; };

static void past_apply(struct past *p, struct event ev)
{
	ev.now = (struct mono){10 * US_PER_S};
	ev.wall = p->at;
	assert_int_equal(core_apply(p->core, p->store, &ev, 1, &p->out), ERR_OK);
}

static enum err past_begin(struct past *p, struct world *w, size_t i, struct wall at)
{
	struct core_config k = {.suite = w->suite, .keys = w->keys[i], .has_authority = w->travels, .authority = w->authority_public.key, .past = true};
	struct errmsg m = {0};

	*p = (struct past){.at = at, .out = EFFECTS_EMPTY};
	assert_int_equal(store_open_memory(store_birth(w->node[i].store), NULL, NULL, NULL, &p->store), ERR_OK);
	enum err e = store_past(w->node[i].store, at, p->store, NULL, NULL, &p->result, &m);
	if (e) {
		store_close(p->store);
		return e;
	}
	if (core_new(&k, world_open_roster(w), p->store, &p->core, &m))
		fail_msg("%s", m.text);
	past_apply(p, (struct event){.type = EVENT_START});
	for (int i2 = 0; !core_past_ready(p->core); i2++) {
		assert_true(i2 < 1000);
		past_apply(p, (struct event){.type = EVENT_TICK});
	}
	struct event open = {.type = EVENT_CLIENT_OPEN};

	open.u.client.client = 1;
	past_apply(p, open);
	return ERR_OK;
}

static void ask_past(struct past *p, const struct question *q, struct answer *out)
{
	struct buf b = BUF_EMPTY;
	struct event ev = {.type = EVENT_REQUEST};

	ask_write(&b, q, 1);
	ev.u.request.client = 1;
	ev.u.request.bytes = buf_view(&b);
	effects_clear(&p->out);
	past_apply(p, ev);
	for (size_t i = 0; i < p->out.n; i++) {
		struct request r;

		if (p->out.list[i].type != EFFECT_REPLY)
			continue;
		assert_int_equal(request_decode(effect_bytes(&p->out, &p->out.list[i]), &r), ERR_OK);
		assert_true(r.type == REPLY_ROW || r.type == REPLY_DONE);
		if (r.type == REPLY_ROW)
			answer_add(out, r.fields, q->by_id);
	}
	qsort(out->line, out->n, sizeof *out->line, by_text);
	buf_release(&b);
}

static void past_end(struct past *p)
{
	core_free(p->core);
	store_close(p->store);
	effects_release(&p->out);
}

/* ---- moments ---------------------------------------------------------------------------------------------------------------- */

enum { QUESTIONS = 6 };
struct moment_of { const char *name; size_t site; struct wall at; struct answer of[QUESTIONS + IDS]; size_t n_ids; };
struct story { struct world w; struct msgid id[IDS]; size_t n_ids; struct moment_of *moment; size_t n; };

static struct question question(const struct story *s, size_t i)
{
	static const struct question of[QUESTIONS] = {{.what = "status"}, {.what = "orders"}, {.what = "conflicts"}, {.what = "browse", .queue = QUEUE},
	                                              {.what = "browse", .queue = "cic-namen/messages"}, {.what = "queues"}};
	if (i < QUESTIONS)
		return of[i];
	return (struct question){.what = "trace", .id = s->id[i - QUESTIONS], .by_id = true};
}

/* Every site is asked everything. Nothing happens meanwhile, so that all of it is of one moment. */
static void moment(struct story *s, const char *name)
{
	for (size_t site = 0; site < N; site++) {
		if (!s->w.node[site].up)
			continue;
		assert_true(s->n < MOMENTS * N);
		struct moment_of *m = &s->moment[s->n++];

		*m = (struct moment_of){.name = name, .site = site, .n_ids = s->n_ids};
		for (size_t i = QUESTIONS + s->n_ids; i-- > 0;) {
			struct question q = question(s, i);

			m->at = world_wall(&s->w, site);
			ask_live(&s->w, site, &q, &m->of[i]);
		}
	}
}

/* Of what was reported under an order that was not known yet no names were kept; now they are told. */
static bool same_line(const char *now, const char *then)
{
	const char *note = strstr(then, "note=;");

	return strcmp(now, then) == 0 || (note && strstr(now, "note=by ") && strncmp(now, then, (size_t)(note - then)) == 0);
}

static unsigned compare(const struct story *s, const struct moment_of *m, struct past *p)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < QUESTIONS + m->n_ids; i++) {
		struct question q = question(s, i);
		struct answer now = {.n = 0};
		const struct answer *then = &m->of[i];

		ask_past(p, &q, &now);
		bool same = now.n == then->n, passed = false;
		for (size_t k = 0; k < then->n; k++)
			passed = passed || strstr(then->line[k], "event=in-transit");
		if (passed) { /* it was passed on, and has gone */
			answer_free(&now);
			continue;
		}
		for (size_t k = 0; same && k < now.n; k++)
			same = same_line(now.line[k], then->line[k]);
		if (!same) {
			wrong++;
			print_error("%s, %s, %s %s:\n", m->name, SITES[m->site], q.what, q.queue ? q.queue : "");
			for (size_t k = 0; k < then->n; k++)
				print_error("  then %s\n", then->line[k]);
			for (size_t k = 0; k < now.n; k++)
				print_error("  now  %s\n", now.line[k]);
		}
		answer_free(&now);
	}
	return wrong;
}

static void judge(struct story *s)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct past p;

		assert_int_equal(past_begin(&p, &s->w, s->moment[i].site, s->moment[i].at), ERR_OK);
		wrong += compare(s, &s->moment[i], &p);
		past_end(&p);
	}
	assert_int_equal(wrong, 0);
}

static void story_begin(struct story *s)
{
	*s = (struct story){.n = 0};
	s->moment = calloc(MOMENTS * N, sizeof *s->moment);
	world_init(&s->w, SITES, N, 7);
}

static void story_end(struct story *s)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < QUESTIONS + IDS; k++)
			answer_free(&s->moment[i].of[k]);
	free(s->moment);
	world_release(&s->w);
}

static struct msgid *send(struct story *s, size_t from, const char *to, enum precedence p, const char *body, const struct send_options *o)
{
	struct send_options with = o ? *o : (struct send_options){.subject = body};

	assert_true(s->n_ids < IDS);
	assert_int_equal(world_send(&s->w, from, to, p, view_str(body), &with, &s->id[s->n_ids], NULL), ERR_OK);
	return &s->id[s->n_ids++];
}

/* ---- stories ------------------------------------------------------------------------------------------------------------------- */

static void what_was_answered_then_is_answered_of_then(void **state)
{
	struct story s;
	struct msgid in_hand;
	char body[64];

	(void)state;
	story_begin(&s);
	struct world *w = &s.w;

	world_run(w, 5 * US_PER_S);
	moment(&s, "nothing yet");
	send(&s, NAMEN, QUEUE, PREC_FLASH, "read at home", NULL);
	struct msgid *refused = send(&s, LEUVEN, QUEUE, PREC_ROUTINE, "refused", NULL);
	struct msgid *cancelled = send(&s, NAMEN, QUEUE, PREC_PRIORITY, "cancelled", NULL);
	send(&s, LUIK, QUEUE, PREC_PRIORITY, "from home to home", NULL);
	send(&s, LUIK, "cic-namen/messages", PREC_ROUTINE, "away", NULL);
	send(&s, SPOC, QUEUE, PREC_ROUTINE, "expires", &(struct send_options){.subject = "e", .expires_us = world_wall(w, SPOC).us + 60 * US_PER_S});
	send(&s, NAMEN, QUEUE, PREC_ROUTINE, "drill", &(struct send_options){.subject = "d", .exercise = "oefening"});
	world_run(w, 5 * US_PER_S);
	moment(&s, "all wait");
	assert_true(ask_take(w, LUIK, QUEUE, US_PER_S, body, &in_hand, NULL));
	world_run(w, 5 * US_PER_S);
	moment(&s, "one in hand");
	ask_read(w, LUIK, &in_hand);
	assert_int_equal(world_handle(w, NAMEN, REQ_CANCEL, cancelled), ERR_OK);
	world_run(w, 5 * US_PER_S);
	moment(&s, "read and cancelled");
	assert_true(ask_take(w, LUIK, QUEUE, US_PER_S, body, &in_hand, NULL)); /* its lease ends */
	world_run(w, 5 * US_PER_S);
	moment(&s, "again one in hand");
	world_run(w, 600 * US_PER_S);
	moment(&s, "it came back, and one expired");
	world_crash(w, LUIK);
	world_run(w, 5 * US_PER_S);
	send(&s, NAMEN, QUEUE, PREC_IMMEDIATE, "while it was down", NULL);
	world_run(w, 5 * US_PER_S);
	moment(&s, "Luik is down");
	world_start(w, LUIK);
	world_run(w, 20 * US_PER_S);
	moment(&s, "Luik is back");
	assert_int_equal(world_handle(w, LUIK, REQ_REFUSE, refused), ERR_OK);
	world_run(w, 20 * US_PER_S);
	moment(&s, "one refused");
	judge(&s);
	story_end(&s);
}

/* A relocation of a site that was only cut off: both handled one message. */
static void orders_and_conflicts_are_those_of_then(void **state)
{
	struct story s;
	struct msgid id;
	char body[64];

	(void)state;
	story_begin(&s);
	struct world *w = &s.w;
	struct ask order = {.site = "cic-luik", .assign = {"cic-namen:dispatch", "cic-vlaams-brabant:messages"}};

	send(&s, SPOC, QUEUE, PREC_FLASH, "both", NULL);
	send(&s, SPOC, QUEUE, PREC_ROUTINE, "later", NULL);
	world_run(w, 5 * US_PER_S);
	moment(&s, "before");
	for (size_t i = NAMEN; i < N; i++)
		world_link(w, LUIK, i, false);
	world_run(w, 60 * US_PER_S);
	ask_order_ok(w, SPOC, "relocate", &order);
	world_run(w, 30 * US_PER_S);
	moment(&s, "relocated");
	assert_true(ask_take(w, LUIK, QUEUE, US_PER_S, body, &id, NULL));
	ask_read(w, LUIK, &id);
	assert_true(ask_take(w, NAMEN, QUEUE, US_PER_S, body, &id, NULL));
	world_run(w, 5 * US_PER_S);
	moment(&s, "in hand at the successor");
	ask_read(w, NAMEN, &id);
	world_run(w, 5 * US_PER_S);
	moment(&s, "both handled it");
	for (size_t i = NAMEN; i < N; i++)
		world_link(w, LUIK, i, true);
	world_run(w, 60 * US_PER_S);
	moment(&s, "they met");
	assert_int_equal(world_handle(w, LUIK, REQ_ACK, &id), ERR_OK); /* signs it off */
	world_run(w, 5 * US_PER_S);
	moment(&s, "signed off");
	ask_order_ok(w, SPOC, "handback", &(struct ask){.site = "cic-luik"});
	world_run(w, 60 * US_PER_S);
	moment(&s, "home");
	judge(&s);
	story_end(&s);
}

/* A large body was on its way: the message stood in no queue yet. */
static void a_body_that_was_still_coming_had_not_come(void **state)
{
	static char large[400000];
	struct story s;
	struct world *w = &s.w;

	(void)state;
	story_begin(&s);
	for (size_t i = 0; i < sizeof large; i++)
		large[i] = (char)world_random(w, 256); /* it does not pack */
	world_run(w, 5 * US_PER_S);
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < N; k++)
			if (i != k && (i == LUIK || k == LUIK) && i != NAMEN && k != NAMEN)
				world_link(w, i, k, false);
	send(&s, NAMEN, QUEUE, PREC_ROUTINE, "the first", NULL);
	world_run(w, 5 * US_PER_S);
	w->rate_bps = 64000;
	s.n_ids = 2;
	assert_int_equal(world_send(w, NAMEN, QUEUE, PREC_ROUTINE, view_of((const uint8_t *)large, sizeof large), &(struct send_options){.subject = "l"}, &s.id[1], NULL), ERR_OK);
	world_run(w, 3 * US_PER_S);
	assert_int_equal(world_status(w, LUIK, "bodies_coming"), 1);
	moment(&s, "coming");
	world_run(w, 600 * US_PER_S);
	assert_int_equal(world_status(w, LUIK, "bodies_coming"), 0);
	moment(&s, "here");
	judge(&s);
	story_end(&s);
}

static void a_time_before_the_journal_is_no_time(void **state)
{
	struct world w;
	struct past p;

	(void)state;
	world_init(&w, SITES, N, 7);
	world_run(&w, 5 * US_PER_S);
	assert_int_equal(past_begin(&p, &w, LUIK, (struct wall){store_birth(w.node[LUIK].store)->born.us - 1}), ERR_NOT_FOUND);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_answered_then_is_answered_of_then),
		cmocka_unit_test(orders_and_conflicts_are_those_of_then),
		cmocka_unit_test(a_body_that_was_still_coming_had_not_come),
		cmocka_unit_test(a_time_before_the_journal_is_no_time),
	};
	return cmocka_run_group_tests_name("past", tests, NULL, NULL);
}
