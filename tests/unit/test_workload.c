#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/workload.h"

#define HEAD "drill = \"w\"; start = \"2021-07-13T22:00:00Z\"; utc-offset = \"2h\"; network = { sites = ( \"cic-luik\", \"cic-namen\", \"cic-brussel\" ); " \
	"bearers = ( { name = \"f\"; delay = \"1ms\"; } ); links = ( { from = \"cic-luik\"; to = \"others\"; bearers = ( \"f\" ); } ); };\n"

static struct drill *drill_of(const char *text)
{
	struct drill *d = NULL;
	struct errmsg m;

	if (drill_parse("w.conf", view_str(text), &d, &m) != ERR_OK)
		fail_msg("%s", m.text);
	return d;
}

static struct workload *load_of(const struct drill *d, uint64_t seed)
{
	struct workload *w = NULL;

	assert_int_equal(workload_new(d, seed, &w), ERR_OK);
	return w;
}

/* Everything in order of time, as the world asks for it. */
static size_t drain(struct workload *w, void (*see)(void *arg, const struct load_message *m), void *arg)
{
	size_t n = 0;
	int64_t last = 0;
	struct load_message m;

	for (struct mono next = workload_next(w); next.us < MONO_NEVER.us; next = workload_next(w)) {
		assert_true(next.us >= last);
		last = next.us;
		assert_false(workload_pop(w, (struct mono){next.us - 1}, &m));
		while (workload_pop(w, next, &m)) {
			assert_int_equal(m.at_us, next.us);
			if (see)
				see(arg, &m);
			n++;
		}
	}
	return n;
}

struct seen { uint64_t sum; size_t day, night, by_site[3], prec[PREC_COUNT], to_luik, crisis; const struct drill *d; };

static void look(void *arg, const struct load_message *m)
{
	struct seen *s = arg;
	int64_t hour = m->at_us / (3600 * US_PER_S) % 24;

	s->sum = s->sum * 31 + (uint64_t)m->at_us + m->number + m->precedence + (uint64_t)m->body->bytes + (uint8_t)m->address[4];
	if (hour >= 22 || hour < 7)
		s->night++;
	else
		s->day++;
	s->by_site[m->from]++;
	s->prec[m->precedence]++;
	s->to_luik += strcmp(m->address, "cic-luik/messages") == 0;
	s->crisis += m->at_us >= 5 * US_PER_DAY && m->at_us < 6 * US_PER_DAY;
}

static const char *const ten_days = HEAD
	"length = \"10d\"; traffic = ( { name = \"a\"; from = \"all\"; per-day = 240; to = \"any/messages\"; night = 40; mix = { flash = 1; immediate = 9; priority = 40; routine = 50; }; } );\n"
	"bodies = ( { type = \"text/plain\"; size = \"100B\"; weight = 3; }, { type = \"text/plain\"; size = \"900B\"; } );\n";

static void test_rates(void **state)
{
	struct drill *d = drill_of(ten_days);
	struct workload *w = load_of(d, 7);
	struct seen s = {.d = d};
	size_t n = drain(w, look, &s);

	(void)state;
	assert_in_range(n, 7200 - 340, 7200 + 340); /* 3 sites, 10 days: four standard deviations */
	for (int i = 0; i < 3; i++)
		assert_in_range(s.by_site[i], 2400 - 200, 2400 + 200);
	/* 9 hours at 40 against 15 at 100: 360 of 1860 */
	assert_in_range(s.night, 1394 - 160, 1394 + 160);
	assert_in_range(s.prec[PREC_FLASH], 30, 120);
	assert_in_range(s.prec[PREC_ROUTINE], 3600 - 260, 3600 + 260);
	assert_in_range(s.to_luik, 2400 - 200, 2400 + 200);
	workload_free(w);
	drill_free(d);
}

static void test_same_seed(void **state)
{
	struct drill *d = drill_of(ten_days);
	uint64_t sums[3], seeds[3] = {1, 1, 2};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct workload *w = load_of(d, seeds[i]);
		struct seen s = {.d = d};
		drain(w, look, &s);
		sums[i] = s.sum;
		workload_free(w);
	}
	assert_true(sums[0] == sums[1]);
	assert_true(sums[0] != sums[2]);
	drill_free(d);
}

static size_t count_with(const char *events, const char *more, struct seen *s)
{
	char text[4096];

	snprintf(text, sizeof text, HEAD "length = \"10d\"; traffic = ( { name = \"a\"; from = \"cic-luik\"; per-day = 500; to = \"own/dispatch\"; } ); events = ( %s ); %s", events, more);
	struct drill *d = drill_of(text);
	struct workload *w = load_of(d, 3);
	size_t n = drain(w, s ? look : NULL, s);
	workload_free(w);
	drill_free(d);
	return n;
}

static void test_crisis(void **state)
{
	struct seen s = {0}, none = {0};

	(void)state;
	assert_in_range(count_with("", "", NULL), 4700, 5300);
	assert_in_range(count_with("{ at = \"5d\"; do = \"rate\"; sites = \"all\"; factor = 6.0; for = \"1d\"; }", "", &s), 7500 - 350, 7500 + 350);
	assert_in_range(s.crisis, 3000 - 230, 3000 + 230);
	/* Factors multiply; 0 is silence; another site's is not this one's. */
	count_with("{ at = \"5d\"; do = \"rate\"; sites = \"all\"; factor = 6.0; for = \"1d\"; }, { at = \"4d\"; do = \"rate\"; sites = \"cic-luik\"; factor = 0; for = \"3d\"; }", "", &none);
	assert_int_equal(none.crisis, 0);
	assert_in_range(count_with("{ at = \"0s\"; do = \"rate\"; sites = \"cic-namen\"; factor = 6.0; }", "", NULL), 4700, 5300);
	assert_in_range(count_with("{ at = \"0s\"; do = \"rate\"; sites = \"all\"; flow = \"a\"; factor = 0.5; }", "", NULL), 2300, 2700);
	assert_in_range(count_with("", "sample = \"10%\";", NULL), 410, 590);
}

/* The year's table is met: each site's count is the table's, within what chance allows. */
static void test_year(void **state)
{
	struct drill *d = NULL;
	struct errmsg m;
	double sum = 0;

	(void)state;
	if (drill_load("conf/drills/year-2021.conf", &d, &m) != ERR_OK)
		fail_msg("%s", m.text);
	for (size_t i = 0; i < d->n_flows; i++)
		for (size_t k = 0; k < d->flows[i].n_rates; k++)
			sum += (double)d->flows[i].rates[k].per_year;
	assert_int_equal((int64_t)sum, 2714484 + 247511);
	struct workload *w = load_of(d, 1);
	assert_in_range(drain(w, NULL, NULL), 29620 - 860, 29620 + 860);
	workload_free(w);
	drill_free(d);
}

/* ---- exact flows ----------------------------------------------------------------------------------------------- */

#define EXACT(settings, from_luik, from_namen) "traffic = ( { name = \"calls\"; exact = true; to = \"own/dispatch\"; mix = { routine = 1; }; " settings \
	" rates = ( { site = \"cic-luik\"; per-year = " from_luik "; }, { site = \"cic-namen\"; per-year = " from_namen "; } ); } );" \
	"bodies = ( { type = \"text/plain\"; size = \"600B\"; } );\n"

/* Drains it for some seeds; each must give these numbers. The last one is left in s. */
static void exactly(const char *text, size_t luik, size_t namen, struct seen *s)
{
	struct drill *given = drill_of(text), *d;
	struct buf again = BUF_EMPTY;
	uint64_t sums[4];

	assert_int_equal(drill_format(given, &again), ERR_OK); /* and the drill says so when it is written out */
	buf_add_u8(&again, 0);
	d = drill_of((const char *)again.ptr);
	buf_release(&again);
	drill_free(given);
	for (uint64_t seed = 0; seed < 4; seed++) {
		struct workload *w = load_of(d, seed);
		*s = (struct seen){.d = d};
		assert_int_equal(drain(w, look, s), luik + namen);
		for (uint16_t i = 0; i < 3; i++) {
			const char *name = drill_site_name(d, i);
			assert_int_equal(s->by_site[i], strcmp(name, "cic-luik") == 0 ? luik : strcmp(name, "cic-namen") == 0 ? namen : 0);
		}
		sums[seed] = s->sum;
		workload_free(w);
	}
	assert_true(sums[0] != sums[1] && sums[1] != sums[2]); /* the times are the seed's */
	drill_free(d);
}

static void test_exact(void **state)
{
	struct seen s;

	(void)state;
	exactly(HEAD "length = \"365d\";" EXACT("night = 45;", "42915", "7"), 42915, 7, &s);
	exactly(HEAD "length = \"365d\"; sample = \"1%\";" EXACT("night = 300;", "42949", "1051"), 429, 11, &s);
	exactly(HEAD "length = \"73d\";" EXACT("", "1000", "5002"), 200, 1000, &s);
	exactly(HEAD "length = \"73d\"; events = ( { at = \"1d\"; do = \"rate\"; sites = \"all\"; factor = 9; } );" EXACT("", "1000", "500"), 200, 100, &s);
	/* Nine hours of night at a fifth of fifteen of day: 180 of 1680. */
	exactly(HEAD "length = \"365d\";" EXACT("night = 20;", "16800", "1680"), 16800, 1680, &s);
	assert_in_range(s.night, 1980 - 2, 1980 + 2);
	exactly(HEAD "length = \"365d\";" EXACT("night = 0;", "5000", "5000"), 5000, 5000, &s);
	assert_int_equal(s.night, 0);

	struct drill *d = NULL;
	struct errmsg m;
	assert_int_equal(drill_parse("w.conf", view_str(HEAD "length = \"1d\"; events = ( { at = \"1h\"; do = \"rate\"; sites = \"all\"; factor = 9; flow = \"calls\"; } );"
							EXACT("", "1000", "500")), &d, &m), ERR_FORMAT);
	assert_non_null(strstr(m.text, "is exact"));
}

static void collect(void *arg, const struct load_message *m)
{
	struct buf *b = arg;
	char line[256];

	snprintf(line, sizeof line, "%lld %s %s %s %s;", (long long)(m->at_us / US_PER_S), m->address, precedence_name(m->precedence), m->label, m->key);
	buf_add(b, view_str(line));
}

static void test_sends(void **state)
{
	struct drill *d = drill_of(HEAD "length = \"1h\"; events = ("
		"{ at = \"10s\"; do = \"send\"; from = \"cic-luik\"; to = \"all/messages\"; precedence = \"flash\"; label = \"m\"; key = \"k\"; count = 3; over = \"30s\"; },"
		"{ at = \"20s\"; do = \"send\"; from = \"cic-namen\"; to = \"eupen/dispatch\"; precedence = \"routine\"; key = \"one\"; } );");
	struct workload *w = load_of(d, 1);
	struct buf b = BUF_EMPTY;

	(void)state;
	drain(w, collect, &b);
	buf_add_u8(&b, 0);
	assert_string_equal((const char *)b.ptr, "10 all/messages flash m k-1;20 all/messages flash  k-2;20 eupen/dispatch routine  one;30 all/messages flash  k-3;");
	buf_release(&b);
	workload_free(w);
	drill_free(d);
}

static void reach(void *arg, const struct load_message *m)
{
	const struct drill *d = arg;

	/* Namen and Brussel have a link to Luik alone. */
	if (strcmp(drill_site_name(d, m->from), "cic-luik") != 0)
		assert_string_equal(m->address, "cic-luik/messages");
	else
		assert_string_not_equal(m->address, "cic-luik/messages");
}

static void test_neighbours(void **state)
{
	struct drill *d = drill_of(HEAD "length = \"1d\"; traffic = ( { name = \"n\"; from = \"all\"; per-day = 50; to = \"neighbour/messages\"; begin = \"2h\"; until = \"22h\"; expires = \"1h\"; } );");
	struct workload *w = load_of(d, 1);

	(void)state;
	assert_true(workload_next(w).us >= 7200 * US_PER_S);
	assert_true(drain(w, reach, d) > 60);
	workload_free(w);
	drill_free(d);
}

static void test_bodies(void **state)
{
	struct drill_body text = {.type = "text/plain", .bytes = 5000}, picture = {.type = "image/png", .bytes = 5000}, least = {.type = "text/plain", .bytes = 8};
	struct buf a = BUF_EMPTY, b = BUF_EMPTY;

	(void)state;
	workload_body(77, &text, &a);
	workload_body(77, &text, &b);
	assert_int_equal(a.len, 5000);
	assert_memory_equal(a.ptr, b.ptr, 5000);
	assert_int_equal(a.ptr[7], 77);
	buf_clear(&b);
	workload_body(78, &text, &b);
	assert_memory_not_equal(a.ptr + 8, b.ptr + 8, 4992);
	buf_clear(&b);
	workload_body(77, &picture, &b);
	assert_int_equal(b.len, 5000);
	buf_clear(&b);
	workload_body(UINT64_MAX, &least, &b);
	assert_int_equal(b.len, 8);
	buf_release(&a);
	buf_release(&b);
}

static void test_desks(void **state)
{
	struct drill *d = drill_of(HEAD "length = \"1d\"; desks = ( { sites = \"cic-luik\"; queue = \"messages\"; handling = \"30s\"; refuse = \"10%\"; return = \"5%\"; crash = \"2%\"; } );");
	struct workload *w = load_of(d, 1);
	size_t n[4] = {0};
	int64_t sum = 0;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		struct desk_choice c = workload_desk(w, 0);
		n[c.act]++;
		if (c.act != DESK_CRASH) {
			assert_in_range(c.after_us, 0, 600 * US_PER_S);
			sum += c.after_us;
		}
	}
	assert_in_range(n[DESK_CRASH], 140, 260);
	assert_in_range(n[DESK_REFUSE], 860, 1100);
	assert_in_range(n[DESK_RETURN], 360, 540);
	assert_in_range(sum / 9800, 28 * US_PER_S, 32 * US_PER_S);
	workload_free(w);
	drill_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates), cmocka_unit_test(test_same_seed), cmocka_unit_test(test_crisis), cmocka_unit_test(test_year), cmocka_unit_test(test_exact),
		cmocka_unit_test(test_sends), cmocka_unit_test(test_neighbours), cmocka_unit_test(test_bodies), cmocka_unit_test(test_desks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
