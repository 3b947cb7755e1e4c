/* Forecasts against what then happens: a world is asked what it knows, the forecast is made of that alone, and the world goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/request.h"
#include "sim/arrivals.h"
#include "sim/belgium.h"
#include "sim/forecast.h"

#define MOST 600
#define NAMEN 0
#define LUIK 1
#define ANTWERPEN 2
#define BRUSSEL 3
#define LIMBURG 4
#define SITES 5
static const char *const names[SITES] = {"cic-namen", "cic-luik", "cic-antwerpen", "cic-brussel", "cic-limburg"};

/* What is true: a world with somebody who sends at one of its sites. */
struct field {
	struct world *w;
	struct arrivals *arrivals;
	size_t index[SITES];
	uint64_t client;
	struct msgid id[MOST]; size_t to[MOST]; size_t n, asked;
	struct buf body;
	size_t sent_of_body;
	uint32_t tag;
	struct forecast *forecast;
	json_t *rows;
};

/* ---- the world ---------------------------------------------------------------------------------------------------- */

static struct bearer_config bearer(const char *name, int64_t delay_us, int64_t rate_bps)
{
	struct bearer_config b = {.cost = 10, .delay_us = delay_us, .rate_bps = rate_bps, .jitter_us = delay_us / 10};

	snprintf(b.name, sizeof b.name, "%s", name);
	return b;
}

struct line { size_t a, b; const char *name; int64_t delay_us, rate_bps; };

static void make(struct field *x, const struct line *lines, size_t n)
{
	struct link_config links[SITES * SITES];
	struct roster *r = NULL;
	struct errmsg m;
	uint16_t keep[SITES];

	*x = (struct field){.body = BUF_EMPTY};
	assert_int_equal(roster_parse("conf/belgium.conf", sim_belgium(), NULL, true, &r, &m), ERR_OK);
	for (size_t i = 0; i < SITES; i++)
		keep[i] = roster_site_by_id(r, view_str(names[i]))->number;
	assert_int_equal(roster_cut(r, keep, SITES), ERR_OK);
	for (size_t i = 0; i < SITES; i++)
		x->index[i] = (size_t)(roster_site_by_id(r, view_str(names[i])) - r->sites);
	for (size_t i = 0; i < n; i++) {
		size_t a = x->index[lines[i].a], b = x->index[lines[i].b];

		links[i] = (struct link_config){.a = (uint16_t)(a < b ? a : b), .b = (uint16_t)(a < b ? b : a), .n_bearers = 1,
						.bearers = {bearer(lines[i].name, lines[i].delay_us, lines[i].rate_bps)}};
	}
	struct world_config c = {.seed = 5, .start = {1626220800LL * US_PER_S}, .suite = &crypt_suite_fast, .roster = r, .links = links, .n_links = n};

	assert_int_equal(world_new(&c, &x->w, &m), ERR_OK);
	x->arrivals = arrivals_new(x->w);
	roster_free(r);
}

static void end(struct field *x)
{
	world_free(x->w);
	arrivals_free(x->arrivals);
	forecast_free(x->forecast);
	json_decref(x->rows);
	buf_release(&x->body);
}

static struct view value(const struct request *r, uint8_t which)
{
	struct view rest = r->fields;
	struct request_item f;

	while (request_next(&rest, &f) == ERR_OK)
		if (f.field == which)
			return f.value;
	return view_of(NULL, 0);
}

static json_t *list_of(struct view v)
{
	json_t *list = json_array();

	while (v.len) {
		const uint8_t *nl = memchr(v.ptr, '\n', v.len);
		size_t n = nl ? (size_t)(nl - v.ptr) : v.len;

		json_array_append_new(list, json_stringn((const char *)v.ptr, n));
		v = view_of(v.ptr + n + (nl ? 1 : 0), v.len - n - (nl ? 1 : 0));
	}
	return list;
}

/* A row as the command hands it on. */
static json_t *row_json(const struct request *r)
{
	json_t *row = json_object();
	struct view rest = r->fields;
	struct request_item f;
	char name[64] = "", text[WALL_TEXT_BYTES];

	while (request_next(&rest, &f) == ERR_OK) {
		json_t *x = NULL;

		switch (f.field) {
		case F_NAME: view_to_str(f.value, name, sizeof name); continue;
		case F_TEXT: x = json_stringn((const char *)f.value.ptr, f.value.len); break;
		case F_NUMBER: x = json_integer((json_int_t)item_u64(&f)); break;
		case F_FLAG: x = json_boolean(item_u8(&f)); break;
		case F_LIST: x = list_of(f.value); break;
		case F_NULL: x = json_null(); break;
		case F_TIME:
			wall_format((struct wall){(int64_t)item_u64(&f)}, 6, text);
			x = json_string(text);
			break;
		default: fail();
		}
		assert_int_equal(json_object_set_new(row, name, x), 0);
	}
	return row;
}

static void take_row(struct field *x, const struct request *r)
{
	struct errmsg m;
	json_t *row = row_json(r);

	assert_int_equal(forecast_row(x->forecast, row, &m), ERR_OK);
	json_array_append_new(x->rows, row);
}

static void chunks(struct field *x, uint32_t tag)
{
	while (x->sent_of_body < x->body.len) {
		size_t n = x->body.len - x->sent_of_body < LIMIT_CHUNK_BYTES ? x->body.len - x->sent_of_body : LIMIT_CHUNK_BYTES;
		struct buf b = BUF_EMPTY;
		struct request_writer rw;

		request_begin(&rw, &b, REQ_CHUNK, tag);
		request_field(&rw, F_BODY, view_of(x->body.ptr + x->sent_of_body, n));
		request_end(&rw);
		world_request(x->w, x->index[NAMEN], x->client, buf_view(&b));
		buf_release(&b);
		x->sent_of_body += n;
	}
}

static void hears(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct field *x = arg;
	struct request r;
	size_t len;

	(void)w, (void)site, (void)client;
	for (; bytes.len && request_length(bytes, &len) == ERR_OK && len; bytes = view_of(bytes.ptr + len, bytes.len - len)) {
		assert_int_equal(request_decode(view_of(bytes.ptr, len), &r), ERR_OK);
		assert_int_not_equal(r.type, REPLY_ERROR);
		if (r.type == REPLY_NEXT)
			chunks(x, r.tag);
		if (r.type == REPLY_ROW)
			take_row(x, &r);
		if (r.type != REPLY_ACCEPTED)
			continue;
		size_t i = r.tag - 1;

		memcpy(x->id[i].b, value(&r, F_ID).ptr, MSGID_BYTES);
		arrivals_watch(x->arrivals, &x->id[i], x->to[i]);
		x->n++;
	}
}

static void on(struct field *x, int64_t us) { world_run(x->w, mono_add(world_now(x->w), us)); }

static void sender(struct field *x)
{
	static const struct client_rights rights = {.name = "desk", .may_send = true, .may_operate = true, .precedence = PREC_FLASH};

	x->client = world_client_open(x->w, x->index[NAMEN], &rights, hears, x);
	assert_true(x->client);
}

static size_t submit(struct field *x, size_t to, uint8_t precedence, size_t bytes)
{
	struct prng p;
	struct buf b = BUF_EMPTY;
	struct request_writer rw;
	char address[LIMIT_ADDRESS_BYTES + 1];
	size_t i = x->asked++;

	assert_true(i < MOST);
	prng_init(&p, i, "body", bytes);
	x->to[i] = x->index[to];
	buf_clear(&x->body);
	prng_bytes(&p, buf_extend(&x->body, bytes), bytes);
	x->sent_of_body = 0;
	snprintf(address, sizeof address, "%s/dispatch", names[to]);
	request_begin(&rw, &b, REQ_SUBMIT, (uint32_t)i + 1);
	request_str(&rw, F_TO, address);
	request_u8(&rw, F_PRECEDENCE, precedence);
	if (bytes > LIMIT_CHUNK_BYTES)
		request_u64(&rw, F_BODY_BYTES, bytes);
	else
		request_field(&rw, F_BODY, buf_view(&x->body));
	request_end(&rw);
	world_request(x->w, x->index[NAMEN], x->client, buf_view(&b));
	buf_release(&b);
	return i;
}

/* Asks the node at Namen, and reckons. queue NULL: about a message. How many rows there were. */
static size_t ask_to(struct field *x, const char *queue, size_t message, const char *to)
{
	struct buf b = BUF_EMPTY;
	struct request_writer rw;
	struct errmsg m = {.text = ""};

	forecast_free(x->forecast);
	assert_int_equal(forecast_new(&x->forecast), ERR_OK);
	json_decref(x->rows);
	x->rows = json_array();
	request_begin(&rw, &b, REQ_SHOW, 10000);
	request_str(&rw, F_WHAT, "forecast");
	request_str(&rw, F_QUEUE, queue);
	request_str(&rw, F_TO, to);
	if (!queue)
		request_id(&rw, &x->id[message]);
	request_end(&rw);
	world_request(x->w, x->index[NAMEN], x->client, buf_view(&b));
	buf_release(&b);
	on(x, 10 * US_PER_MS);
	if (json_array_size(x->rows) && forecast_run(x->forecast, NULL, &m))
		fail_msg("%s", m.text);
	return json_array_size(x->rows);
}

static size_t ask(struct field *x, const char *queue, size_t message) { return ask_to(x, queue, message, NULL); }

static int64_t likely(const struct field *x, size_t i)
{
	char id[MSGID_TEXT_BYTES];

	msgid_format(&x->id[i], id);
	return forecast_likely_us(x->forecast, id);
}

static int64_t earliest(const struct field *x, size_t i)
{
	char id[MSGID_TEXT_BYTES];

	msgid_format(&x->id[i], id);
	return forecast_earliest_us(x->forecast, id);
}

static int64_t happened(const struct field *x, size_t i, int64_t from_us)
{
	struct mono at = arrivals_at(x->arrivals, &x->id[i], x->to[i]);

	return at.us == MONO_NEVER.us ? -1 : at.us - from_us;
}

/* Within a tenth and three quarters of a second of what happened. */
static void assert_near(const char *what, int64_t forecast_us, int64_t happened_us)
{
	int64_t off = llabs(forecast_us - happened_us);

	if (getenv("FORECAST_PRINT"))
		print_message("%s: forecast %.2f s, happened %.2f s\n", what, (double)forecast_us / 1e6, (double)happened_us / 1e6);
	if (forecast_us < 0 || happened_us < 0 || off > happened_us / 10 + 3 * US_PER_S / 4)
		fail_msg("%s: forecast %.2f s, happened %.2f s", what, (double)forecast_us / 1e6, (double)happened_us / 1e6);
}

static char *printed(const struct field *x, bool by_precedence)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	forecast_print(x->forecast, by_precedence, f);
	fclose(f);
	return text;
}

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

/* A backlog on a slow line of one's own, at every precedence; each message is asked about. */
static void test_a_backlog(void **state)
{
	static const struct line lines[] = {{NAMEN, LUIK, "mobile", 40000, 128000}, {NAMEN, BRUSSEL, "fibre", 5000, 10000000}, {LUIK, BRUSSEL, "fibre", 5000, 10000000}};
	struct field x;

	(void)state;
	make(&x, lines, 3);
	on(&x, 20 * US_PER_S);
	sender(&x);
	for (size_t i = 0; i < 400; i++)
		submit(&x, i % 5 ? LUIK : BRUSSEL, (uint8_t)(i % PREC_COUNT), 1500 + 37 * (i % 41));
	on(&x, 8 * US_PER_S);
	int64_t now = world_now(x.w).us;

	assert_true(ask(&x, "cic-luik/dispatch", 0) > 3);
	char *text = printed(&x, true);

	assert_non_null(strstr(text, "\"path\":[\"cic-namen\",\"cic-luik\"],\"bearers\":[\"mobile\"]"));
	assert_non_null(strstr(text, "\"part\":\"assumed\""));
	free(text);
	on(&x, 300 * US_PER_S);
	unsigned asked = 0;

	for (size_t i = 0; i < 400; i++) {
		int64_t truth = happened(&x, i, now);

		if (truth < 0 || x.to[i] != x.index[LUIK])
			continue; /* it was there when it was asked, or goes elsewhere */
		assert_true(earliest(&x, i) >= 0 && earliest(&x, i) <= likely(&x, i) + US_PER_S / 2);
		if (i % 30 == 1 || i > 390)
			assert_near(precedence_name((unsigned)(i % PREC_COUNT)), likely(&x, i), truth);
		asked++;
	}
	assert_true(asked > 100);
	end(&x);
}

/* Over a third site, past a backlog; the line beyond is as good as is assumed. And where no path leads. */
static void test_over_another_site(void **state)
{
	static const struct line lines[] = {{NAMEN, ANTWERPEN, "mobile", 30000, 256000}, {ANTWERPEN, LUIK, "fibre", 8000, 10000000}, {BRUSSEL, LIMBURG, "fibre", 5000, 0}};
	struct field x;

	(void)state;
	make(&x, lines, 3);
	on(&x, 20 * US_PER_S);
	sender(&x);
	for (size_t i = 0; i < 60; i++) {
		submit(&x, ANTWERPEN, PREC_PRIORITY, 9000);
		submit(&x, LUIK, PREC_PRIORITY, 2000);
		on(&x, 50 * US_PER_MS);
	}
	size_t far = submit(&x, LUIK, PREC_PRIORITY, 3000), cut = submit(&x, LIMBURG, PREC_FLASH, 100);

	on(&x, 3 * US_PER_S);
	int64_t now = world_now(x.w).us;

	ask(&x, NULL, cut);
	assert_int_equal(likely(&x, cut), -1);
	char *text = printed(&x, false);

	assert_non_null(strstr(text, "no known path: waits for contact with cic-limburg\""));
	free(text);
	ask(&x, NULL, far);
	text = printed(&x, false);
	assert_non_null(strstr(text, "\"path\":[\"cic-namen\",\"cic-antwerpen\",\"cic-luik\"],\"bearers\":[\"mobile\",\"simulated\"]"));
	assert_non_null(strstr(text, " before it ("));
	free(text);
	int64_t said = likely(&x, far);

	on(&x, 120 * US_PER_S);
	assert_near("over Antwerpen", said, happened(&x, far, now));
	end(&x);
}

/* A large body, half of it gone when it is asked; FLASH beside it is not behind it. */
static void test_a_large_body(void **state)
{
	static const struct line lines[] = {{NAMEN, LUIK, "mobile", 30000, 512000}};
	struct field x;

	(void)state;
	make(&x, lines, 1);
	on(&x, 20 * US_PER_S);
	sender(&x);
	size_t big = submit(&x, LUIK, PREC_ROUTINE, 3000000);

	on(&x, 20 * US_PER_S);
	size_t flash = submit(&x, LUIK, PREC_FLASH, 2000);

	on(&x, 20 * US_PER_MS);
	int64_t now = world_now(x.w).us;

	ask(&x, "cic-luik/dispatch", 0);
	int64_t body = likely(&x, big), urgent = likely(&x, flash);

	on(&x, 100 * US_PER_S);
	assert_near("3 MB", body, happened(&x, big, now));
	assert_true(happened(&x, big, now) > 15 * US_PER_S);
	assert_near("FLASH beside it", urgent, happened(&x, flash, now));
	assert_true(urgent < 2 * US_PER_S);
	end(&x);
}

/* What a site would have to get that is to take a queue over, and by when it has it. */
static void test_a_successor(void **state)
{
	static const struct line lines[] = {{NAMEN, LUIK, "fibre", 5000, 10000000}, {NAMEN, LIMBURG, "mobile", 30000, 64000}};
	struct field x;

	(void)state;
	make(&x, lines, 2);
	on(&x, 20 * US_PER_S);
	sender(&x);
	for (size_t i = 0; i < 50; i++)
		submit(&x, LUIK, (uint8_t)(i % PREC_COUNT), 1900);
	submit(&x, LIMBURG, PREC_ROUTINE, 30000); /* so that the rate is known */
	on(&x, 30 * US_PER_S);
	assert_true(ask_to(&x, "cic-luik", 0, names[LIMBURG]) > 0);
	char *text = printed(&x, false);
	json_t *row = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);

	assert_string_equal(json_string_value(json_object_get(row, "part")), "forecast");
	assert_string_equal(json_string_value(json_object_get(row, "site")), "cic-limburg");
	assert_true(json_integer_value(json_object_get(row, "entries")) >= 50);
	/* Some 130 KB over 64 kbit/s. */
	assert_in_range(json_integer_value(json_object_get(row, "likely_s")), 13, 26);
	json_decref(row);
	free(text);
	end(&x);
}

static void test_the_same_twice(void **state)
{
	static const struct line lines[] = {{NAMEN, LUIK, "mobile", 40000, 64000}};
	struct field x;

	(void)state;
	make(&x, lines, 1);
	on(&x, 20 * US_PER_S);
	sender(&x);
	for (size_t i = 0; i < 40; i++)
		submit(&x, LUIK, (uint8_t)(i % PREC_COUNT), 3000);
	on(&x, 3 * US_PER_S);
	ask(&x, "cic-luik/dispatch", 0);
	char *one = printed(&x, false);
	struct errmsg m;

	forecast_free(x.forecast);
	assert_int_equal(forecast_new(&x.forecast), ERR_OK);
	for (size_t i = 0; i < json_array_size(x.rows); i++)
		assert_int_equal(forecast_row(x.forecast, json_array_get(x.rows, i), &m), ERR_OK);
	assert_int_equal(forecast_run(x.forecast, NULL, &m), ERR_OK);
	char *two = printed(&x, false);

	assert_non_null(strstr(one, "\"likely_s\""));
	assert_string_equal(one, two);
	free(one);
	free(two);
	end(&x);
}

static void give(struct forecast *f, json_t *row)
{
	struct errmsg m = {.text = ""};

	if (!row || forecast_row(f, row, &m))
		fail_msg("%s", m.text);
	json_decref(row);
}

static const char ID[] = "000q3gm2jddmzz7mzba4fe2wyt";

/* Two sites, so much to give, and a message at its end. minimize: NULL, or from which precedence on for an hour. */
static struct forecast *two_sites(json_int_t rate_bps, json_int_t entries, json_int_t each, const char *minimize)
{
	struct forecast *f = NULL;
	json_t *none = json_null();

	assert_int_equal(forecast_new(&f), ERR_OK);
	for (int i = 0; i < 2; i++)
		give(f, json_pack("{s:s, s:s, s:b, s:b, s:s, s:i, s:[s]}", "part", "site", "site", i ? "there" : "here", "reached", 1, "said", 1, "bearer", "fibre", "hint_bps", 0,
				  "reaches", i ? "here" : "there"));
	give(f, json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:b}", "part", "link", "peer", "there", "lane", "urgent", "bearer", "fibre", "round_us", 20000, "rate_bps", rate_bps,
			  "measured", 1));
	give(f, json_pack("{s:s, s:i, s:s, s:s, s:b, s:i, s:I, s:I, s:i, s:i, s:O, s:O, s:i}", "part", "load", "stream", 7, "to", "there", "precedence", "routine", "asked", 0,
			  "has", 0, "entries", entries, "bytes", entries * each, "large", 0, "large_bytes", 0, "first_due", none, "last_due", none, "retry_s", 0));
	give(f, json_pack("{s:s, s:s, s:i, s:I, s:s, s:s, s:s, s:s, s:s, s:O, s:b, s:I, s:i, s:b, s:s}", "part", "message", "id", ID, "stream", 7, "number", entries, "at", "here", "to",
			  "there", "addressee", "there", "queue", "dispatch", "precedence", "routine", "due", none, "large", 0, "bytes", each, "retry_s", 0, "has", 0, "state", "accepted"));
	give(f, json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "part", "here", "site", "here", "time", "2021-07-15T04:00:00Z", "minimize", minimize ? minimize : "", "minimize_until",
			  "2021-07-15T05:00:00Z", "untold", 0));
	return f;
}

/* More than is worth sending: 400 MB, thinned out, take as long as they are. */
static void test_very_much(void **state)
{
	struct forecast *f = two_sites(10000000, 200000, 2000, NULL);
	struct errmsg m;

	(void)state;
	assert_int_equal(forecast_run(f, NULL, &m), ERR_OK);
	assert_near("400 MB at 10 Mbit/s", forecast_likely_us(f, ID), 320 * US_PER_S);
	assert_true(forecast_earliest_us(f, ID) < US_PER_S);
	forecast_free(f);
}

static json_t *ring_names(int n, int i)
{
	json_t *list = json_array();
	char name[16];

	for (int far = -8; far <= 8; far++) {
		snprintf(name, sizeof name, "site-%03d", (i + far + n) % n);
		if (far)
			json_array_append_new(list, json_string(name));
	}
	return list;
}

/* 250 sites, a load for each: what goes another way is left out, and the path is as long as it is. */
static void test_a_large_network(void **state)
{
	enum { N = 250, FAR = 60 };
	struct forecast *f = NULL;
	json_t *none = json_null(), *near = ring_names(N, 0);
	struct errmsg m = {.text = ""};
	char name[16], *text = NULL;
	size_t n;

	(void)state;
	assert_int_equal(forecast_new(&f), ERR_OK);
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof name, "site-%03d", i);
		give(f, json_pack("{s:s, s:s, s:b, s:b, s:s, s:i, s:o}", "part", "site", "site", name, "reached", 1, "said", 1, "bearer", "fibre", "hint_bps", 2000000, "reaches",
				  ring_names(N, i)));
	}
	for (size_t i = 0; i < json_array_size(near); i++)
		give(f, json_pack("{s:s, s:O, s:s, s:s, s:i, s:i, s:b}", "part", "link", "peer", json_array_get(near, i), "lane", "urgent", "bearer", "fibre", "round_us", 20000, "rate_bps",
				  2000000, "measured", 1));
	for (int i = 1; i < N; i++) {
		snprintf(name, sizeof name, "site-%03d", i);
		give(f, json_pack("{s:s, s:i, s:s, s:s, s:b, s:i, s:i, s:i, s:i, s:i, s:O, s:O, s:i}", "part", "load", "stream", i, "to", name, "precedence", "routine", "asked", 0, "has", 0,
				  "entries", 40, "bytes", 80000, "large", 0, "large_bytes", 0, "first_due", none, "last_due", none, "retry_s", 0));
	}
	snprintf(name, sizeof name, "site-%03d", FAR);
	give(f, json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:O, s:b, s:i, s:i, s:b, s:s}", "part", "message", "id", ID, "stream", FAR, "number", 40, "at", "site-000", "to", name,
			  "addressee", name, "queue", "dispatch", "precedence", "routine", "due", none, "large", 0, "bytes", 2000, "retry_s", 0, "has", 0, "state", "accepted"));
	give(f, json_pack("{s:s, s:s, s:s, s:s, s:O, s:i}", "part", "here", "site", "site-000", "time", "2021-07-15T04:00:00Z", "minimize", "", "minimize_until", none, "untold", 0));
	if (forecast_run(f, NULL, &m))
		fail_msg("%s", m.text);
	assert_true(forecast_likely_us(f, ID) > forecast_earliest_us(f, ID) && forecast_likely_us(f, ID) < 60 * US_PER_S);
	FILE *out = open_memstream(&text, &n);

	forecast_print(f, false, out);
	fclose(out);
	/* Eight sites at a time: sixty are eight links away. */
	json_t *row = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);

	assert_int_equal(json_array_size(json_object_get(row, "path")), 9);
	assert_non_null(strstr(text, "the network is large"));
	json_decref(row);
	json_decref(near);
	free(text);
	forecast_free(f);
}

/* MINIMIZE holds it back until its end, and what goes then takes its time. */
static void test_minimize(void **state)
{
	struct forecast *f = two_sites(64000, 40, 2000, "priority");
	struct errmsg m;
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_int_equal(forecast_run(f, NULL, &m), ERR_OK);
	forecast_print(f, false, out);
	fclose(out);
	int64_t us = forecast_likely_us(f, ID) - 3600 * US_PER_S;

	assert_true(us > 8 * US_PER_S && us < 15 * US_PER_S);
	assert_non_null(strstr(text, "MINIMIZE until 2021-07-15T05:00:00Z"));
	free(text);
	forecast_free(f);
}

static void test_nothing_to_forecast(void **state)
{
	static const struct line lines[] = {{NAMEN, LUIK, "fibre", 4000, 0}};
	struct field x;
	struct errmsg m;
	struct forecast *f = NULL;

	(void)state;
	make(&x, lines, 1);
	on(&x, 20 * US_PER_S);
	sender(&x);
	assert_int_equal(ask(&x, "cic-luik/nowhere", 0), 0);
	assert_int_equal(ask(&x, "nowhere/dispatch", 0), 0);
	assert_int_equal(ask(&x, NULL, 0), 0);
	assert_true(ask(&x, "cic-luik/dispatch", 0) > 0);
	/* Rows that are none. */
	assert_int_equal(forecast_new(&f), ERR_OK);
	assert_int_equal(forecast_run(f, NULL, &m), ERR_FORMAT);
	json_t *row = json_pack("{s:s, s:i}", "part", "load", "stream", -1);

	assert_int_equal(forecast_row(f, row, &m), ERR_FORMAT);
	json_decref(row);
	row = json_pack("{s:s}", "site", "x");
	assert_int_equal(forecast_row(f, row, &m), ERR_FORMAT);
	json_decref(row);
	forecast_free(f);
	end(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_backlog), cmocka_unit_test(test_over_another_site), cmocka_unit_test(test_a_large_body),
		cmocka_unit_test(test_a_successor), cmocka_unit_test(test_the_same_twice), cmocka_unit_test(test_very_much), cmocka_unit_test(test_a_large_network),
		cmocka_unit_test(test_minimize), cmocka_unit_test(test_nothing_to_forecast),
	};

	if (crypt_start())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
