#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/drill.h"

/* A small drill with a place for one more line in each part. */
static const char *const small_drill =
	"drill = \"small\"; start = \"2021-07-14T00:00:00Z\"; length = \"12h\"; settle = \"1h\";\n"
	"network = { sites = ( \"cic-luik\", \"cic-namen\", \"cic-vlaams-brabant\" );\n"
	"bearers = ( { name = \"fibre\"; delay = \"5ms\"; rate = \"10Mbit/s\"; loss = \"0.5%%\"; }, { name = \"mobile\"; delay = \"50ms\"; } );\n"
	"links = ( { from = \"all\"; to = \"all\"; bearers = ( \"fibre\", \"mobile\" ); } ); };\n"
	"traffic = ( { name = \"calls\"; from = \"all\"; per-day = 10; to = \"own/dispatch\"; } );\n"
	"events = (\n%s\n);\n"
	"expect = (\n%s\n);\n"
	"%s\n";

static char text[65536];

static enum err parse(const char *events, const char *expects, const char *more, struct drill **out, struct errmsg *m)
{
	snprintf(text, sizeof text, small_drill, events, expects, more);
	*out = NULL;
	m->text[0] = '\0';
	return drill_parse("conf/drills/small.conf", view_str(text), out, m);
}

static struct drill *good(const char *events, const char *expects, const char *more)
{
	struct drill *d;
	struct errmsg m;

	if (parse(events, expects, more, &d, &m) != ERR_OK)
		fail_msg("%s", m.text);
	return d;
}

static void bad(const char *events, const char *expects, const char *more, enum err e, const char *line, const char *says)
{
	struct drill *d;
	struct errmsg m;
	char where[64];

	assert_int_equal(parse(events, expects, more, &d, &m), e);
	assert_null(d);
	snprintf(where, sizeof where, "conf/drills/small.conf:%s: ", line);
	if (strncmp(m.text, where, strlen(where)) != 0 || strstr(m.text, says) == NULL)
		fail_msg("\"%s\" does not begin with \"%s\" or lacks \"%s\"", m.text, where, says);
}

static void test_small(void **state)
{
	struct drill *d = good("{ at = \"1h\"; do = \"crash\"; sites = \"cic-luik\"; for = \"20s\"; }", "", "");

	(void)state;
	assert_int_equal(drill_site_count(d), 3);
	assert_int_equal(d->n_links, 3);
	assert_int_equal(d->n_bearers, 2);
	assert_int_equal(d->bearers[0].loss_ppm, 5000);
	assert_int_equal(d->bearers[0].rate_bps, 10000000);
	assert_int_equal(d->length_us, 12 * 3600 * US_PER_S);
	assert_int_equal(d->n_flows, 1);
	assert_int_equal(d->flows[0].n_rates, 3);
	assert_int_equal(d->flows[0].rates[0].per_year, 3650);
	assert_int_equal(d->n_events, 1);
	assert_int_equal(d->events[0].what, DO_CRASH);
	assert_int_equal(d->events[0].line, 7);
	assert_int_equal(d->events[0].for_us, 20 * US_PER_S);
	assert_string_equal(drill_site_name(d, d->events[0].sites.v[0]), "cic-luik");
	assert_int_equal(d->unsupported, 0);
	assert_non_null(drill_link_of(d, 2, 0));
	drill_free(d);
}

static void test_times(void **state)
{
	struct drill *d = good("{ at = \"2021-07-14T06:30:00+02:00\"; do = \"note\"; text = \"b\"; },"
			       "{ at = \"1h 30min 250ms\"; do = \"note\"; text = \"a\"; },"
			       "{ at = \"4h 30min\"; do = \"note\"; text = \"c\"; }", "", "");

	(void)state;
	assert_string_equal(d->events[0].text, "a");
	assert_int_equal(d->events[0].at_us, 5400 * US_PER_S + 250 * US_PER_MS);
	assert_string_equal(d->events[1].text, "b"); /* equal times in the order of the file */
	assert_int_equal(d->events[1].at_us, d->events[2].at_us);
	assert_string_equal(d->events[2].text, "c");
	drill_free(d);
}

static void test_repeated(void **state)
{
	struct drill *d = good("{ at = \"1h\"; do = \"crash\"; sites = \"all\"; for = \"10s\"; every = \"30min\"; until = \"3h\"; },"
			       "{ at = \"2h\"; do = \"heal\"; }", "", "");

	(void)state;
	assert_int_equal(d->n_events, 6);
	assert_int_equal(d->events[4].at_us, 9000 * US_PER_S);
	assert_int_equal(d->events[3].what, DO_HEAL);
	assert_int_equal(d->events[5].at_us, 10800 * US_PER_S);
	assert_int_equal(d->events[5].sites.n, 3);
	drill_free(d);
}

static void test_sites(void **state)
{
	struct drill *d = good("{ at = \"0s\"; do = \"crash\"; sites = ( \"all\", \"!cic-namen\" ); },"
			       "{ at = \"1s\"; do = \"crash\"; sites = ( \"lang-fr\" ); },"
			       "{ at = \"2s\"; do = \"crash\"; sites = \"eupen\"; },"
			       "{ at = \"3s\"; do = \"partition\"; from = \"cic-luik\"; },"
			       "{ at = \"4s\"; do = \"cut\"; from = ( \"cic-luik\", \"cic-namen\" ); to = \"others\"; }", "", "");

	(void)state;
	assert_int_equal(d->events[0].sites.n, 2);
	assert_int_equal(d->events[1].sites.n, 2); /* of lang-fr, luik and namen are in this network */
	assert_string_equal(drill_site_name(d, d->events[2].sites.v[0]), "cic-luik");
	assert_int_equal(d->events[3].to.n, 2);
	assert_int_equal(d->events[4].to.n, 1);
	assert_string_equal(drill_site_name(d, d->events[4].to.v[0]), "cic-vlaams-brabant");
	drill_free(d);
}

static void test_unsupported(void **state)
{
	const char *names[8];
	struct drill *d = good("{ at = \"1h\"; do = \"relocate\"; site = \"cic-luik\"; to = ( \"cic-namen:dispatch\", \"cic-vlaams-brabant\" ); by = \"cic-namen\"; },"
			       "{ at = \"2h\"; do = \"handback\"; site = \"cic-luik\"; },"
			       "{ at = \"2h\"; do = \"courier\"; from = \"cic-luik\"; to = \"cic-namen\"; takes = \"1h\"; },"
			       "{ at = \"2h\"; do = \"assist\"; from = \"cic-luik\"; queue = \"dispatch\"; to = \"cic-namen\"; count = 5; },"
			       "{ at = \"2h\"; do = \"minimize\"; by = \"cic-luik\"; for = \"1h\"; },"
			       "{ at = \"2h\"; do = \"revoke\"; site = \"cic-luik\"; by = \"cic-namen\"; }",
			       "{ what = \"served-by\"; sites = \"cic-luik\"; to = \"cic-namen\"; }", "");

	(void)state;
	assert_int_equal(drill_unsupported(d, names, 8), 1);
	assert_string_equal(names[0], "revoke");
	assert_string_equal(d->events[0].text, "cic-namen:dispatch cic-vlaams-brabant");
	assert_true(d->expects[0].needs >> DO_RELOCATE & 1);
	assert_int_equal(d->events[3].value, 5);
	drill_free(d);
}

static void test_bad_input(void **state)
{
	(void)state;
	bad("{ at = \"1h\"; do = \"crash\"; sites = \"cic-lujk\"; }", "", "", ERR_UNKNOWN_SITE, "7", "did you mean \"cic-luik\"?");
	bad("{ at = \"1h\"; do = \"crash\"; sites = \"cic-antwerpen\"; }", "", "", ERR_UNKNOWN_SITE, "7", "not a site of this drill");
	bad("\n{ at = \"13h\"; do = \"heal\"; }", "", "", ERR_RANGE, "8", "\"13h\" is an impossible time here (0s to 12h are allowed)");
	bad("{ at = \"2021-07-13T23:59:59Z\"; do = \"heal\"; }", "", "", ERR_RANGE, "7", "impossible time");
	bad("{ at = \"tomorrow\"; do = \"heal\"; }", "", "", ERR_FORMAT, "7", "\"tomorrow\" is not a time");
	bad("{ at = \"1h\"; do = \"explode\"; sites = \"all\"; }", "", "", ERR_FORMAT, "7", "\"explode\" is not an event");
	bad("{ at = \"1h\"; do = \"power-cat\"; sites = \"all\"; }", "", "", ERR_FORMAT, "7", "did you mean \"power-cut\"?");
	bad("{ at = \"1h\"; sites = \"all\"; }", "", "", ERR_FORMAT, "7", "without its kind");
	bad("{ at = \"1h\"; do = \"crash\"; }", "", "", ERR_FORMAT, "7", "sites: missing");
	bad("{ do = \"crash\"; sites = \"all\"; }", "", "", ERR_FORMAT, "7", "at: missing");
	bad("{ at = \"1h\"; do = \"crash\"; sites = \"all\"; factor = 2; }", "", "", ERR_FORMAT, "7", "factor: unknown setting (known here: do, at, every, until, for, sites)");
	bad("{ at = \"1h\"; do = \"crash\"; sites = \"all\"; every = \"1min\"; for = \"2min\"; }", "", "", ERR_RANGE, "7", "longer than every");
	bad("{ at = \"1h\"; do = \"crash\"; sites = \"all\"; until = \"2h\"; }", "", "", ERR_FORMAT, "7", "not repeated");
	bad("{ at = \"1h\"; do = \"send\"; from = \"cic-luik\"; to = \"cic-namen/dispach\"; precedence = \"flash\"; }", "", "", ERR_UNKNOWN_QUEUE, "7", "dispach");
	bad("{ at = \"1h\"; do = \"send\"; from = \"cic-luik\"; to = \"cic-nomen/dispatch\"; precedence = \"flash\"; }", "", "", ERR_UNKNOWN_SITE, "7", "cic-namen");
	bad("{ at = \"1h\"; do = \"send\"; from = \"cic-luik\"; to = \"cic-namen/dispatch\"; precedence = \"urgent\"; }", "", "", ERR_FORMAT, "7", "flash, immediate, priority, routine");
	bad("{ at = \"1h\"; do = \"link-down\"; from = \"cic-luik\"; to = \"all\"; bearer = \"fiber\"; }", "", "", ERR_NOT_FOUND, "7", "not a bearer");
	bad("{ at = \"1h\"; do = \"cancel\"; message = \"x\"; }", "", "", ERR_NOT_FOUND, "7", "label \"x\"");
	bad("{ at = \"1h\"; do = \"handback\"; site = \"cic-luik\"; by = ( \"cic-namen\", \"cic-namen\" ); }", "", "", ERR_EXISTS, "7", "twice");
	bad("{ at = \"1h\"; do = \"relocate\"; site = \"cic-luik\"; to = ( \"cic-gent:dispatch\" ); }", "", "", ERR_UNKNOWN_SITE, "7", "cic-gent");
	bad("{ at = \"1h\"; do = \"degrade\"; from = \"all\"; to = \"all\"; }", "", "", ERR_FORMAT, "7", "nothing gets worse");
	bad("{ at = \"1h\"; do = \"rate\"; sites = \"all\"; factor = 2; flow = \"call\"; }", "", "", ERR_NOT_FOUND, "7", "not a flow");
	bad("", "{ what = \"read\"; }", "", ERR_FORMAT, "10", "at-most: missing");
	bad("", "{ what = \"reed\"; at-least = 1; }", "", ERR_FORMAT, "10", "did you mean \"read\"?");
	bad("", "{ what = \"state\"; message = \"m\"; state = \"held\"; }", "", ERR_NOT_FOUND, "10", "no send event has the label");
	bad("", "{ what = \"converged\"; within = \"5\"; }", "", ERR_FORMAT, "10", "not a duration");
	bad("", "{ what = \"waiting\"; at = \"20h\"; at-most = 0; }", "", ERR_RANGE, "10", "impossible time");
	bad("", "", "swarm = { kinds = ( \"minimize\" ); };", ERR_FORMAT, "12", "not a fault");
	bad("", "", "desks = ( { sites = \"all\"; queue = \"translation\"; } );", ERR_UNKNOWN_QUEUE, "12", "no queue \"translation\"");
	bad("", "", "sample = \"110%\";", ERR_FORMAT, "12", "not a share");
	bad("", "", "colour = 1;", ERR_FORMAT, "12", "unknown setting");
	bad("", "", "bodies = \"facts/none.tsv\";", ERR_IO, "12", "conf/drills/facts/none.tsv");
}

static void check_head(const char *head, enum err e, const char *says)
{
	struct drill *d = NULL;
	struct errmsg m;

	assert_int_equal(drill_parse("x.conf", view_str(head), &d, &m), e);
	assert_null(d);
	if (strncmp(m.text, "x.conf:", 7) != 0 || strstr(m.text, says) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", m.text, says);
}

static void test_bad_heads(void **state)
{
	(void)state;
	check_head("", ERR_FORMAT, "drill: missing");
	check_head("drill = \"x\"; start = \"yesterday\"; length = \"1h\";", ERR_FORMAT, "start: \"yesterday\" is not a time");
	check_head("drill = \"x\"; start = \"2021-01-01T00:00:00Z\"; length = \"0s\";", ERR_RANGE, "impossible time");
	check_head("drill = \"x\"; start = \"2021-01-01T00:00:00Z\"; length = \"1h\";", ERR_FORMAT, "network: missing");
	check_head("drill = \"x\"; start = \"2021-01-01T00:00:00Z\"; length = \"1h\"; network = { };", ERR_FORMAT, "bearers: missing");
	check_head("drill = \"x\"; start = \"2021-01-01T00:00:00Z\"; length = \"1h\"; network = { sites = ( \"cic-gent\", \"cic-luik\" ); "
		   "bearers = ( { name = \"f\"; delay = \"1ms\"; } ); links = (); };", ERR_UNKNOWN_SITE, "cic-gent");
	check_head("drill = \"x\"; start = \"2021-01-01T00:00:00Z\"; length = \"1h\"; network = { bearers = ( { name = \"f\"; delay = \"1ms\"; } ); "
		   "links = ( { from = \"all\"; to = \"all\"; bearers = ( \"f\" ); up = \"1s\"; } ); };", ERR_FORMAT, "without its period");
	check_head("drill = \"x\"; start = \"2021-01-01T00:00:00Z\"; length = \"1h\"; network = { generated = { sites = 10; links = 3; }; "
		   "bearers = ( { name = \"f\"; delay = \"1ms\"; } ); links = (); };", ERR_RANGE, "even number");
	check_head("drill = \"x\";\n@include \"y\"\n", ERR_FORMAT, "@include");
	check_head("drill = \"x\"\nlength = ", ERR_FORMAT, "the text");
}

#define SEND_M "{ at = \"2h\"; do = \"send\"; from = \"cic-luik\"; to = \"cic-namen/dispatch\"; precedence = \"flash\"; label = \"m\"; "

/* Events that would do nothing, or not what is written, are refused. */
static void test_without_effect(void **state)
{
	(void)state;
	bad("{ at = \"1h\"; do = \"crash\"; sites = \"others\"; }", "", "", ERR_UNKNOWN_SITE, "7", "\"others\" is not a site");
	bad("{ at = \"1h\"; do = \"restore\"; sites = \"cic-luik\"; }", "", "", ERR_NOT_FOUND, "7", "cic-luik has no backup yet");
	bad("{ at = \"1h\"; do = \"restore\"; sites = \"all\"; }, { at = \"2h\"; do = \"backup\"; sites = \"all\"; }", "", "", ERR_NOT_FOUND, "7", "no backup yet");
	bad("{ at = \"1h\"; do = \"cancel\"; message = \"m\"; }, " SEND_M "}", "", "", ERR_RANGE, "7", "\"m\" is sent only later");
	bad(SEND_M "}, " SEND_M "}", "", "", ERR_EXISTS, "7", "\"m\" is there twice");
	bad(SEND_M "every = \"1h\"; }", "", "", ERR_EXISTS, "7", "it would name several messages");
	bad(SEND_M "count = 5; over = \"11h\"; }", "", "", ERR_RANGE, "7", "over: an impossible time");
	bad("{ at = \"1h\"; do = \"clock-step\"; sites = \"all\"; by = \"0s\"; }", "", "", ERR_RANGE, "7", "does not move");
	bad("{ at = \"1h\"; do = \"disk-slow\"; sites = \"all\"; delay = \"0s\"; }", "", "", ERR_RANGE, "7", "impossible time");
	bad("{ at = \"1h\"; do = \"courier\"; from = \"cic-luik\"; to = \"cic-luik\"; takes = \"1h\"; }", "", "", ERR_FORMAT, "7", "name another");
	bad("{ at = \"1h\"; do = \"assist\"; from = \"cic-luik\"; to = \"cic-namen\"; queue = \"dispach\"; count = 5; }", "", "", ERR_UNKNOWN_QUEUE, "7", "dispach");
	bad("{ at = \"1h\"; do = \"relocate\"; site = \"cic-luik\"; to = ( \"cic-namen:dispatch,dispach\" ); }", "", "", ERR_UNKNOWN_QUEUE, "7", "\"dispach\"");
	bad("{ at = \"1h\"; do = \"relocate\"; site = \"cic-luik\"; to = ( \"cic-namen:share=500%\" ); }", "", "", ERR_RANGE, "7", "not a share");
	bad("{ at = \"1h\"; do = \"relocate\"; site = \"cic-luik\"; to = ( \"cic-namen:area=gent\" ); }", "", "", ERR_NOT_FOUND, "7", "not an area");
	bad("{ at = \"1h\"; do = \"link-down\"; from = \"cic-luik\"; to = \"cic-namen\"; bearer = \"satellite\"; }", "",
	    "", ERR_NOT_FOUND, "7", "not a bearer");
}

/* An expectation that could not fail, or says more than is looked at, is refused. */
static void test_vain_expectations(void **state)
{
	(void)state;
	bad("", "{ what = \"accepted\"; at-least = 1; sites = \"cic-luik\"; }", "", ERR_FORMAT, "10", "sites: \"accepted\" knows no such setting");
	bad("", "{ what = \"waiting\"; at-most = 1; queue = \"dispatch\"; }", "", ERR_FORMAT, "10", "queue: \"waiting\" knows no such setting");
	bad("", "{ what = \"flash-delay\"; within = \"1min\"; precedence = \"routine\"; }", "", ERR_FORMAT, "10", "precedence: \"flash-delay\" knows no");
	bad("", "{ what = \"flash-delay\"; within = \"1min\"; percentile = 75; }", "", ERR_RANGE, "10", "50, 99 or 100");
	bad("", "{ what = \"read-delay\"; within = \"1min\"; precedence = \"flash\"; percentile = 100; }", "", ERR_RANGE, "10", "50 or 99");
	bad("", "{ what = \"read\"; at-most = 101; }", "", ERR_RANGE, "10", "at-most: of \"read\" it is a percentage");
	bad("", "{ what = \"converged\"; within = \"1min\"; at = \"1h\"; }", "", ERR_RANGE, "10", "known at the end only");
	bad(SEND_M "}", "{ what = \"state\"; message = \"m\"; state = \"up\"; }", "", ERR_FORMAT, "10", "not a state of a message");
	bad(SEND_M "}", "{ what = \"state\"; at = \"1h\"; message = \"m\"; state = \"read\"; }", "", ERR_RANGE, "10", "\"m\" is sent only later");
	bad("", "{ what = \"link\"; from = \"cic-luik\"; to = \"cic-namen\"; state = \"read\"; }", "", ERR_FORMAT, "10", "not a state of a link");
	bad("", "{ what = \"link\"; from = \"cic-luik\"; to = \"cic-luik\"; state = \"up\"; }", "", ERR_NOT_FOUND, "10", "no link joins");
	bad("", "{ what = \"alarm\"; kind = \"clock\"; }", "", ERR_FORMAT, "10", "sites: missing");
	bad("", "{ what = \"served-by\"; sites = \"cic-luik\"; queue = \"dispach\"; to = \"cic-namen\"; }", "", ERR_UNKNOWN_QUEUE, "10", "dispach");
}

static void check_round_trip(const struct drill *d);

/* A figure of a table bounds what is expected, whatever share of the traffic is sent. */
static void test_figure(void **state)
{
	struct drill *d = good("", "{ what = \"accepted\"; from = \"cic-luik\"; figure = 10000; }", "sample = \"1%\";");
	struct errmsg m;

	(void)state;
	assert_int_equal(d->expects[0].at_least, 45); /* 100, and five times 11 to each side */
	assert_int_equal(d->expects[0].at_most, 155);
	assert_int_equal(drill_set(d, "sample", "100%", &m), ERR_OK);
	assert_int_equal(d->expects[0].at_least, 9495);
	assert_int_equal(d->expects[0].at_most, 10505);
	check_round_trip(d);
	drill_free(d);
	bad("", "{ what = \"accepted\"; figure = 10; at-most = 5; }", "", ERR_FORMAT, "10", "take at-least and at-most away");
	bad("", "{ what = \"read\"; figure = 10; }", "", ERR_FORMAT, "10", "figure: \"read\" knows no such setting");
}

static void check_traffic(const char *traffic, enum err e, const char *says)
{
	char head[1024];

	snprintf(head, sizeof head, "drill = \"x\"; start = \"2021-01-01T00:00:00Z\"; length = \"1h\"; network = { bearers = ( { name = \"f\"; delay = \"1ms\"; } ); "
		 "links = ( { from = \"all\"; to = \"all\"; bearers = ( \"f\" ); } ); }; traffic = ( %s );", traffic);
	check_head(head, e, says);
}

static void check_network(const char *network, enum err e, const char *says)
{
	char head[1024];

	snprintf(head, sizeof head, "drill = \"x\"; start = \"2021-01-01T00:00:00Z\"; length = \"1h\"; network = { %s };", network);
	check_head(head, e, says);
}

#define F_BEARER "bearers = ( { name = \"f\"; delay = \"1ms\"; } ); "

static void test_bad_networks(void **state)
{
	(void)state;
	check_network(F_BEARER "links = ( );", ERR_FORMAT, "no two sites are joined");
	check_network(F_BEARER "links = ( { from = \"cic-luik\"; to = \"cic-luik\"; bearers = ( \"f\" ); } );", ERR_FORMAT, "joined with itself");
	check_network(F_BEARER "links = ( { from = \"all\"; to = \"all\"; bearers = ( \"f\", \"f\" ); } );", ERR_EXISTS, "\"f\" is there twice");
	check_network("sites = ( \"cic-luik\", \"cic-luik\" ); " F_BEARER "links = ( );", ERR_EXISTS, "\"cic-luik\" is there twice");
	check_network("roster = \"belgium\"; generated = { sites = 10; links = 2; }; " F_BEARER "links = ( );", ERR_FORMAT, "take either away");
	check_traffic("{ name = \"f\"; from = \"all\"; per-day = 1; per-year = 1; to = \"any/messages\"; }", ERR_FORMAT, "take one away");
	check_traffic("{ name = \"f\"; rates = ( { site = \"cic-luik\"; per-year = 1; } ); per-day = 1; to = \"any/messages\"; }", ERR_FORMAT, "per-day without from");
	check_traffic("{ name = \"f\"; from = \"all\"; per-day = 1; column = \"urgent\"; to = \"any/messages\"; }", ERR_FORMAT, "without its table");
	check_traffic("{ name = \"f\"; rates = ( { site = \"cic-luik\"; per-year = 1; }, { site = \"cic-luik\"; per-year = 1; } ); to = \"any/messages\"; }", ERR_EXISTS, "twice");
	check_traffic("{ name = \"f\"; from = \"all\"; per-day = 1; to = \"any/messages\"; }, { name = \"f\"; from = \"all\"; per-day = 1; to = \"any/messages\"; }", ERR_EXISTS, "twice");
}

/* What is left of a drill reads as a drill: no restore without its backup, no message after the end. */
static void test_left_over(void **state)
{
	struct drill *d = good("{ at = \"1h\"; do = \"backup\"; sites = \"all\"; }, { at = \"2h\"; do = \"restore\"; sites = \"cic-luik\"; }, "
			       "{ at = \"3h\"; do = \"send\"; from = \"cic-luik\"; to = \"cic-namen/dispatch\"; precedence = \"flash\"; count = 9; over = \"9h\"; }", "", "");
	struct drill *c = NULL, *again = NULL;
	struct buf b = BUF_EMPTY;
	struct errmsg m;

	(void)state;
	assert_int_equal(drill_copy(d, (const bool[]){false, true, true}, &c), ERR_OK);
	assert_int_equal(c->n_events, 1);
	c->length_us = 5 * 3600 * US_PER_S;
	assert_int_equal(drill_format(c, &b), ERR_OK);
	if (drill_parse("again.conf", buf_view(&b), &again, &m) != ERR_OK)
		fail_msg("%s", m.text);
	assert_int_equal(again->events[0].send->count, 3);
	assert_int_equal(again->events[0].send->over_us, 2 * 3600 * US_PER_S);
	buf_release(&b);
	drill_free(again);
	drill_free(c);
	drill_free(d);
}

static void check_round_trip(const struct drill *d)
{
	struct buf a = BUF_EMPTY, b = BUF_EMPTY;
	struct drill *again = NULL, *copy = NULL;
	struct errmsg m;

	assert_int_equal(drill_format(d, &a), ERR_OK);
	if (drill_parse("again.conf", buf_view(&a), &again, &m) != ERR_OK)
		fail_msg("%s in\n%.*s", m.text, (int)a.len, (const char *)a.ptr);
	assert_int_equal(drill_format(again, &b), ERR_OK);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.ptr, b.ptr, a.len);
	assert_int_equal(again->n_events, d->n_events);
	assert_int_equal(again->n_expects, d->n_expects);
	assert_int_equal(again->unsupported, d->unsupported);
	assert_int_equal(drill_copy(d, NULL, &copy), ERR_OK);
	buf_clear(&b);
	assert_int_equal(drill_format(copy, &b), ERR_OK);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.ptr, b.ptr, a.len);
	drill_free(copy);
	drill_free(again);
	buf_release(&a);
	buf_release(&b);
}

/* Every drill that is shipped is read, and reads back from its text as the same one. */
static void test_shipped(void **state)
{
	static const char *const names[] = {"luik-2021", "brussel-dark", "split-in-two", "satellite-only", "national-blackout", "flapping", "year-2021", "scale-250", "sweep",
					   "intervention-2021", "xynthia-2010", "belnet-2010", "contacts-day"};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct drill *d = NULL;
		struct errmsg m;
		char path[64];

		snprintf(path, sizeof path, "conf/drills/%s.conf", names[i]);
		if (drill_load(path, &d, &m) != ERR_OK)
			fail_msg("%s", m.text);
		assert_string_equal(d->name, names[i]);
		check_round_trip(d);
		drill_free(d);
	}
}

static void test_every_event(void **state)
{
	struct drill *d = good(
		"{ at = \"1h\"; do = \"crash\"; sites = \"all\"; }, { at = \"1h\"; do = \"power-cut\"; sites = \"all\"; for = \"1min\"; },"
		"{ at = \"1h\"; do = \"stop\"; sites = \"all\"; }, { at = \"1h\"; do = \"start\"; sites = \"all\"; },"
		"{ at = \"1h\"; do = \"pause\"; sites = \"all\"; }, { at = \"1h\"; do = \"resume\"; sites = \"all\"; },"
		"{ at = \"1h\"; do = \"lose-disk\"; sites = \"cic-luik\"; }, { at = \"1h\"; do = \"backup\"; sites = \"all\"; },"
		"{ at = \"1h\"; do = \"restore\"; sites = \"cic-luik\"; for = \"2s\"; }, { at = \"1h\"; do = \"disk-full\"; sites = \"cic-luik\"; },"
		"{ at = \"1h\"; do = \"disk-slow\"; sites = \"cic-luik\"; delay = \"250ms\"; }, { at = \"1h\"; do = \"commit-fail\"; sites = \"cic-luik\"; count = 7; },"
		"{ at = \"1h\"; do = \"flip-bit\"; sites = \"cic-luik\"; }, { at = \"1h\"; do = \"clock-step\"; sites = \"cic-luik\"; by = \"-5min 3s\"; },"
		"{ at = \"1h\"; do = \"clock-drift\"; sites = \"cic-luik\"; ppm = -40; }, { at = \"1h\"; do = \"link-up\"; from = \"all\"; to = \"all\"; },"
		"{ at = \"1h\"; do = \"link-down\"; from = \"cic-luik\"; to = \"others\"; bearer = \"mobile\"; for = \"3s\"; },"
		"{ at = \"1h\"; do = \"link-reset\"; from = \"all\"; to = \"all\"; }, { at = \"1h\"; do = \"cut\"; from = \"cic-luik\"; to = \"cic-namen\"; },"
		"{ at = \"1h\"; do = \"partition\"; from = \"cic-luik\"; }, { at = \"1h\"; do = \"heal\"; }, { at = \"1h\"; do = \"repair\"; },"
		"{ at = \"1h\"; do = \"degrade\"; from = \"all\"; to = \"all\"; loss = \"0%\"; delay = \"1s\"; jitter = \"0s\"; rate = \"9600bit/s\"; queue = \"8KiB\"; },"
		"{ at = \"1h\"; do = \"rate\"; sites = \"all\"; factor = 0.125; flow = \"calls\"; }, { at = \"1h\"; do = \"cancel\"; message = \"m\"; },"
		"{ at = \"1h\"; do = \"send\"; from = \"cic-luik\"; to = \"all/messages\"; precedence = \"immediate\"; label = \"m\"; count = 3; over = \"10min\"; size = \"12KiB\";"
		"  type = \"text/plain\"; lang = \"nl\"; subject = \"a \\\"quoted\\\" one\"; channel = \"siena\"; key = \"k\"; exercise = \"x\"; expires = \"2h\"; },"
		"{ at = \"1h\"; do = \"desks-away\"; sites = \"all\"; queue = \"dispatch\"; for = \"1h\"; }, { at = \"1h\"; do = \"desks-back\"; sites = \"all\"; },"
		"{ at = \"1h\"; do = \"desk-crash\"; sites = \"all\"; }, { at = \"1h\"; do = \"roster\"; }, { at = \"1h\"; do = \"note\"; text = \"n\"; },"
		"{ at = \"1h\"; do = \"roster\"; site = \"cic-luik\"; standbys = ( \"cic-vlaams-brabant\" ); },"
		"{ at = \"2h\"; do = \"relocate\"; site = \"cic-luik\"; to = ( \"cic-namen:share=20%\" ); exercise = \"e\"; }, { at = \"2h\"; do = \"handback\"; site = \"cic-luik\"; by = ( \"cic-namen\", \"cic-luik\" ); exercise = \"e\"; },"
		"{ at = \"2h\"; do = \"courier\"; from = \"cic-luik\"; to = \"cic-namen\"; takes = \"1h\"; precedence = \"flash\"; sites = ( \"cic-namen\" ); },"
		"{ at = \"2h\"; do = \"program\"; sites = \"cic-luik\"; protocol = 2; },"
		"{ at = \"2h\"; do = \"assist\"; from = \"cic-luik\"; queue = \"dispatch\"; to = \"cic-namen\"; count = 5; },"
		"{ at = \"2h\"; do = \"minimize\"; by = \"cic-luik\"; for = \"1h\"; precedence = \"priority\"; }, { at = \"2h\"; do = \"revoke\"; site = \"cic-luik\"; }",
		"{ what = \"accepted\"; at = \"3h\"; from = \"cic-luik\"; precedence = \"flash\"; at-least = 1; at-most = 4; }, { what = \"read\"; at-least = 99; },"
		"{ what = \"waiting\"; sites = \"all\"; at-most = 0; }, { what = \"flash-delay\"; within = \"3s\"; percentile = 50; },"
		"{ what = \"read-delay\"; precedence = \"routine\"; within = \"3h\"; }, { what = \"converged\"; within = \"10min\"; },"
		"{ what = \"state\"; at = \"2h\"; message = \"m\"; state = \"held\"; needs = ( \"courier\" ); }, { what = \"alarm\"; sites = \"all\"; kind = \"unattended\"; },"
		"{ what = \"no-alarm\"; sites = \"all\"; kind = \"clock\"; }, { what = \"link\"; from = \"cic-luik\"; to = \"others\"; state = \"up\"; },"
		"{ what = \"conflicts\"; at-most = 0; }, { what = \"lost\"; at-most = 0; }, { what = \"served-by\"; sites = \"cic-luik\"; queue = \"dispatch\"; to = \"cic-namen\"; }",
		"desks = ( { sites = \"all\"; queue = \"messages\"; staff = 2; batch = 4; handling = \"90s\"; lease = \"10min\"; refuse = \"1%\"; return = \"0.5%\"; crash = \"0.0001%\"; } );\n"
		"bodies = ( { type = \"text/plain\"; size = \"400B\"; weight = 3; }, { type = \"image/png\"; size = \"70000B\"; } ); sample = \"12.5%\"; utc-offset = \"-1h\"; probe = \"1min\";\n"
		"swarm = { on = true; faults = 3; kinds = ( \"crash\", \"cut\" ); };");
	uint64_t seen = 0;

	(void)state;
	for (size_t i = 0; i < d->n_events; i++)
		seen |= UINT64_C(1) << d->events[i].what;
	assert_true(seen == (UINT64_C(1) << DO_COUNT) - 1);
	assert_int_equal(d->n_expects, WHAT_COUNT);
	check_round_trip(d);
	drill_free(d);
}

static void test_set(void **state)
{
	struct drill *d = good("", "", "");
	struct errmsg m;

	(void)state;
	assert_int_equal(drill_set(d, "store", "lmdb", &m), ERR_OK);
	assert_true(d->lmdb);
	assert_int_equal(drill_set(d, "suite", "real", &m), ERR_OK);
	assert_true(d->real_crypto);
	assert_int_equal(drill_set(d, "length", "2d", &m), ERR_OK);
	assert_int_equal(d->length_us, 2 * US_PER_DAY);
	assert_int_equal(drill_set(d, "sample", "10%", &m), ERR_OK);
	assert_int_equal(d->sample_ppm, 100000);
	assert_int_equal(drill_set(d, "swarm", "on", &m), ERR_OK);
	assert_true(d->swarm.on);
	assert_int_equal(drill_set(d, "store", "disk", &m), ERR_FORMAT);
	assert_non_null(strstr(m.text, "\"memory\" or \"lmdb\""));
	assert_int_equal(drill_set(d, "colour", "red", &m), ERR_USAGE);
	assert_non_null(strstr(m.text, "settle"));
	drill_free(d);
}

static void test_copy_and_add(void **state)
{
	struct drill *d = good("{ at = \"1h\"; do = \"note\"; text = \"a\"; }, { at = \"2h\"; do = \"revoke\"; site = \"cic-luik\"; by = \"cic-namen\"; },"
			       "{ at = \"3h\"; do = \"note\"; text = \"c\"; }", "", "");
	struct drill *c = NULL;
	struct drill_event e = {.what = DO_NOTE, .at_us = 3600 * US_PER_S, .bearer = -1, .text = "b"};

	(void)state;
	assert_int_equal(drill_copy(d, (const bool[]){true, false, true}, &c), ERR_OK);
	assert_int_equal(c->n_events, 2);
	assert_int_equal(c->unsupported, 0);
	for (int i = 0; i < 9; i++)
		assert_int_equal(drill_add_event(c, &e), ERR_OK);
	assert_int_equal(c->n_events, 11);
	assert_string_equal(c->events[0].text, "a");
	assert_string_equal(c->events[9].text, "b");
	assert_string_equal(c->events[10].text, "c");
	drill_free(c);
	drill_free(d);
}

/* Each site of a made network has exactly the links asked for, and one to each of its standbys. */
static void test_generated(void **state)
{
	struct drill *d = NULL;
	struct errmsg m;

	(void)state;
	if (drill_load("conf/drills/scale-250.conf", &d, &m) != ERR_OK)
		fail_msg("%s", m.text);
	assert_int_equal(drill_site_count(d), 250);
	assert_int_equal(d->n_links, 250 * 16 / 2);
	for (uint16_t i = 0; i < 250; i++) {
		size_t links = 0;
		const struct site *s = &d->roster->sites[i];
		for (uint16_t k = 0; k < 250; k++)
			links += drill_link_of(d, i, k) != NULL;
		assert_int_equal(links, 16);
		for (size_t k = 0; k < s->n_standbys; k++)
			assert_non_null(drill_link_of(d, i, (uint16_t)(roster_site(d->roster, s->standbys[k]) - d->roster->sites)));
	}
	drill_free(d);
}

/* Whatever bytes: an error with a line, or a drill; never more. */
static void test_cut_anywhere(void **state)
{
	(void)state;
	snprintf(text, sizeof text, small_drill, "{ at = \"1h\"; do = \"send\"; from = \"cic-luik\"; to = \"all/messages\"; precedence = \"flash\"; label = \"m\"; }",
		 "{ what = \"state\"; message = \"m\"; state = \"held\"; }", "swarm = { on = true; };");
	for (size_t n = 0; n < strlen(text); n++) {
		struct drill *d = NULL;
		struct errmsg m;
		enum err e = drill_parse("cut.conf", view_of(text, n), &d, &m);
		if (e != ERR_OK)
			assert_memory_equal(m.text, "cut.conf:", 9);
		drill_free(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small), cmocka_unit_test(test_times), cmocka_unit_test(test_repeated), cmocka_unit_test(test_sites),
		cmocka_unit_test(test_unsupported), cmocka_unit_test(test_bad_input), cmocka_unit_test(test_bad_heads), cmocka_unit_test(test_without_effect),
		cmocka_unit_test(test_vain_expectations), cmocka_unit_test(test_bad_networks), cmocka_unit_test(test_left_over), cmocka_unit_test(test_figure), cmocka_unit_test(test_every_event),
		cmocka_unit_test(test_shipped), cmocka_unit_test(test_set), cmocka_unit_test(test_copy_and_add), cmocka_unit_test(test_generated),
		cmocka_unit_test(test_cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
