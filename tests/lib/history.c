#include "tests/lib/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

int history_begin(void **state)
{
	static const char *const names[SITES] = {"cic-namen", "cic-luik", "cic-vlaams-brabant"};
	static char text[LIMIT_ROSTER_BYTES];
	struct history *h = calloc(1, sizeof *h);
	struct errmsg m;
	FILE *f = fopen("conf/belgium.conf", "r");

	if (!h || !f || crypt_start())
		return -1;
	size_t len = fread(text, 1, sizeof text, f);

	fclose(f);
	if (roster_parse("conf/belgium.conf", view_of(text, len), NULL, true, &h->roster, &m))
		return -1;
	h->story.verbose = true;
	h->o = oracle_new(h->roster, &h->story);
	for (int i = 0; i < SITES; i++) {
		h->site[i] = roster_site_by_id(h->roster, view_str(names[i]))->number;
		oracle_site_up(h->o, h->site[i], NULL);
	}
	h->stream = (struct stream_name){.originator = h->site[A], .incarnation = {1000, {1}}, .addressee = h->site[B], .precedence = PREC_ROUTINE};
	*state = h;
	return 0;
}

int history_end(void **state)
{
	struct history *h = *state;

	oracle_free(h->o);
	story_release(&h->story);
	roster_free(h->roster);
	free(h);
	return 0;
}

void history_pass(struct history *h, int64_t us)
{
	h->at += us;
	oracle_now(h->o, h->at);
}

struct msgid history_id(uint32_t n)
{
	struct msgid id = {{0}};

	memcpy(id.b, &n, sizeof n);
	id.b[15] = 7;
	return id;
}

struct hash history_hash(uint64_t n)
{
	return crypt_hash(HASH_BODY, view_of(&n, sizeof n));
}

uint32_t history_submit(struct history *h, uint8_t precedence)
{
	uint32_t n = ++h->n;

	h->last = (struct submission){.site = h->site[A], .precedence = precedence, .body_bytes = 100, .body = history_hash(n), .words = 5, .n_sites = 1, .sites = &h->site[B]};
	snprintf(h->last.queue, sizeof h->last.queue, "dispatch");
	return oracle_submitted(h->o, &h->last);
}

void history_entry(struct history *h, int site, uint64_t number, uint8_t kind)
{
	struct header header = {.kind = kind, .precedence = h->stream.precedence, .id = history_id((uint32_t)number), .originator = h->stream.originator,
				.sent = {1000}, .handle_by = {(int64_t)number * 10}};
	struct hash chain = history_hash(number + 1000);
	struct seen_entry e = {.site = h->site[site], .stream = &h->stream, .number = number, .chain = &chain, .header = &header, .body_len = 100,
			       .from = h->stream.originator, .whole = true};

	oracle_entry(h->o, &e);
	h->number[site] = number;
}

void history_accept(struct history *h, uint32_t submission)
{
	struct msgid id = history_id(h->n);

	oracle_accepted(h->o, submission, &id, false);
}

uint32_t history_send(struct history *h, uint8_t precedence)
{
	uint32_t s = history_submit(h, precedence);

	history_entry(h, A, h->n, KIND_MESSAGE);
	history_accept(h, s);
	history_pass(h, US_PER_S);
	return s;
}

void history_arrive(struct history *h)
{
	history_entry(h, B, h->number[B] + 1, KIND_MESSAGE);
	history_pass(h, US_PER_S);
}

struct handing history_handing(struct history *h, uint32_t n)
{
	return (struct handing){.site = h->site[B], .id = history_id(n), .from = h->site[A], .precedence = h->stream.precedence, .queue = "dispatch", .body = history_hash(n), .words = 5};
}

void history_take(struct history *h, uint32_t n)
{
	struct handing g = history_handing(h, n);

	oracle_served(h->o, g.site, g.queue, false, &g.id);
	oracle_handed_out(h->o, &g);
	history_pass(h, US_PER_S);
}

void history_ended(struct history *h, uint32_t n, uint8_t event)
{
	struct msgid id = history_id(n);

	oracle_ended(h->o, h->site[B], &id, event);
}

void history_done(struct history *h, uint32_t n, uint8_t event)
{
	struct msgid id = history_id(n);

	if (event != EVENT_RETURNED)
		history_ended(h, n, event);
	oracle_done(h->o, h->site[B], &id, event);
	history_pass(h, US_PER_S);
}

uint64_t history_broken(const struct history *h, enum promise p)
{
	struct verdict v;

	oracle_verdict(h->o, &v);
	return v.broken[p];
}

void assert_good(const struct history *h)
{
	struct verdict v;

	oracle_verdict(h->o, &v);
	assert_string_equal(v.first_broken, "");
	assert_true(v.ok);
}

void assert_only(const struct history *h, enum promise p, uint64_t times)
{
	for (unsigned i = 0; i < PROMISES; i++)
		if (history_broken(h, i) != (i == p ? times : 0))
			fail_msg("%s is broken %llu times, where %s was to be, %llu times", promise_name(i), (unsigned long long)history_broken(h, i), promise_name(p),
				 (unsigned long long)times);
	assert_true(oracle_failed(h->o));
	assert_true(h->story.count[STORY_BROKEN] >= times);
}

void history_standing(struct history *h, uint32_t n, bool in_queue, uint8_t ended)
{
	struct msgid id = history_id(n);

	oracle_standing(h->o, h->site[B], &id, in_queue, ended);
}
