/* The roster: what conf/belgium.conf says, addresses, text and back, cutting and comparing. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/rosters.h"

/* ---- the Belgian roster --------------------------------------------------------------------------------- */

static void test_belgium(void **state)
{
	(void)state;
	static const char *const ids[] = {
		"spoc-brussel", "ccpd-doornik", "ccpd-luxembourg", "ccpd-kerkrade", "cic-west-vlaanderen", "cic-oost-vlaanderen",
		"cic-antwerpen", "cic-limburg", "cic-vlaams-brabant", "cic-brussel", "cic-waals-brabant", "cic-henegouwen", "cic-namen",
		"cic-luik", "cic-luxemburg"};
	static const int64_t deadlines_s[PREC_COUNT] = {600, 1800, 10800, 21600};
	struct roster *r = rosters_belgium();
	assert_string_equal(r->network, "be-police");
	assert_int_equal(r->n_sites, 15);
	assert_int_equal(r->quorum, 3);
	assert_false(r->has_keys);
	assert_int_equal(r->n_relocators, 1);
	assert_int_equal(r->relocators[0], rosters_number(r, "spoc-brussel"));
	for (size_t i = 0; i < 15; i++) {
		const struct site *s = &r->sites[i];
		assert_int_equal(s->number, i + 1);
		assert_string_equal(s->id, ids[i]);
		assert_int_equal(s->n_standbys, 2);
		assert_non_null(site_queue(s, view_str("dispatch")));
		assert_non_null(site_queue(s, view_str("messages")));
		assert_int_equal(s->n_queues, i == 0 ? 3 : 2);
		for (unsigned p = 0; p < PREC_COUNT; p++)
			assert_int_equal(site_queue(s, view_str("messages"))->deadline_us[p], deadlines_s[p] * US_PER_S);
	}
	const struct queue_def *translation = site_queue(&r->sites[0], view_str("translation"));
	assert_int_equal(translation->deadline_us[PREC_FLASH], 3600 * US_PER_S);
	assert_int_equal(translation->deadline_us[PREC_ROUTINE], 21600 * US_PER_S);
	const struct site *luik = roster_site_by_id(r, view_str("cic-luik"));
	assert_int_equal(luik->standbys[0], rosters_number(r, "cic-vlaams-brabant"));
	assert_int_equal(luik->standbys[1], rosters_number(r, "cic-namen"));
	assert_int_equal(r->n_groups, 6);
	assert_int_equal(roster_group_by_id(r, view_str("all"))->n_members, 15);
	assert_int_equal(roster_group_by_id(r, view_str("all-cic"))->n_members, 11);
	assert_int_equal(roster_group_by_id(r, view_str("all-ccpd"))->n_members, 3);
	roster_free(r);
}

static void test_lookups(void **state)
{
	(void)state;
	struct roster *r = rosters_enrolled();
	char name[LIMIT_NAME_BYTES + 1];
	uint16_t custodians[LIMIT_CUSTODIANS];
	static const char no_link[41];
	const struct site *luik = roster_site_by_id(r, view_str("cic-luik"));
	assert_ptr_equal(roster_site(r, luik->number), luik);
	assert_ptr_equal(roster_site_by_link(r, luik->link.z85), luik);
	assert_null(roster_site(r, 0));
	assert_null(roster_site(r, 16));
	assert_null(roster_site_by_link(r, "0000000000000000000000000000000000000000"));
	assert_string_equal(roster_site_name(r, luik->number, name), "cic-luik");
	assert_string_equal(roster_site_name(r, 17, name), "site-17");
	assert_int_equal(roster_custodians(r, luik->number, custodians), 3);
	assert_int_equal(custodians[0], luik->number);
	assert_int_equal(custodians[1], rosters_number(r, "cic-vlaams-brabant"));
	assert_int_equal(roster_custodians(r, 99, custodians), 0);
	assert_true(site_is_standby_of(roster_site_by_id(r, view_str("cic-namen")), luik));
	assert_false(site_is_standby_of(luik, luik));
	assert_int_equal(roster_area_by_id(r, view_str("eupen"))->site, luik->number);
	assert_ptr_equal(roster_area(r, 2), roster_area_by_id(r, view_str("eupen")));
	assert_null(roster_area(r, 3));
	assert_ptr_equal(roster_group(r, 1), roster_group_by_id(r, view_str("all")));
	assert_null(roster_group(r, 7));
	r->has_keys = false; /* a template's empty links are nobody's */
	assert_null(roster_site_by_link(r, no_link));
	roster_free(r);
}

/* ---- addresses ------------------------------------------------------------------------------------------ */

static void test_resolve(void **state)
{
	(void)state;
	struct roster *r = rosters_belgium();
	struct address a;
	struct errmsg m;
	assert_int_equal(roster_resolve(r, view_str("cic-namen/messages"), &a, &m), ERR_OK);
	assert_int_equal(a.area, 0);
	assert_int_equal(a.group, 0);
	assert_int_equal(a.n_sites, 1);
	assert_int_equal(a.sites[0], rosters_number(r, "cic-namen"));
	assert_string_equal(a.queue, "messages");
	assert_int_equal(roster_resolve(r, view_str("eupen/dispatch"), &a, &m), ERR_OK);
	assert_int_equal(a.area, 2);
	assert_int_equal(a.n_sites, 1);
	assert_int_equal(a.sites[0], rosters_number(r, "cic-luik"));
	assert_int_equal(roster_resolve(r, view_str("all-cic/messages"), &a, &m), ERR_OK);
	assert_int_equal(a.group, 2);
	assert_int_equal(a.n_sites, 11);
	for (size_t i = 0; i < 11; i++)
		assert_int_equal(a.sites[i], 5 + i);
	roster_free(r);
}

static void test_resolve_refuses(void **state)
{
	(void)state;
	static const struct { const char *text; enum err e; const char *says; } cases[] = {
		{"", ERR_FORMAT, "no queue is named"},
		{"cic-luik", ERR_FORMAT, "no queue is named"},
		{"cic-luik/", ERR_FORMAT, "not a name"},
		{"/dispatch", ERR_FORMAT, "not a name"},
		{"cic-luik/dispatch/", ERR_FORMAT, "not a name"},
		{"CIC-Luik/dispatch", ERR_FORMAT, "not a name"},
		{"cic-luik/dis\npatch", ERR_FORMAT, "\"cic-luik/dis?patch\""},
		{"cic-eupen/dispatch", ERR_UNKNOWN_SITE, "cic-eupen: no such site"},
		{"cic-luik/translation", ERR_UNKNOWN_QUEUE, "cic-luik has no such queue"},
		{"all/translation", ERR_UNKNOWN_QUEUE, "ccpd-doornik has no such queue"},
		{"eupen/nope", ERR_UNKNOWN_QUEUE, "cic-luik has no such queue"},
	};
	struct roster *r = rosters_belgium();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct address a;
		struct errmsg m = {0};
		assert_int_equal(roster_resolve(r, view_str(cases[i].text), &a, &m), cases[i].e);
		assert_int_equal(m.code, cases[i].e);
		if (strstr(m.text, cases[i].says) == NULL)
			fail_msg("\"%s\" lacks \"%s\"", m.text, cases[i].says);
	}
	char long_text[5000];
	memset(long_text, 'a', sizeof long_text);
	struct address a;
	struct errmsg m;
	assert_int_equal(roster_resolve(r, view_of(long_text, sizeof long_text), &a, &m), ERR_FORMAT);
	long_text[100] = '/';
	assert_int_equal(roster_resolve(r, view_of(long_text, sizeof long_text), &a, &m), ERR_FORMAT);
	assert_int_equal(roster_resolve(r, view_of(NULL, 0), &a, NULL), ERR_FORMAT);
	roster_free(r);
}

/* ---- text and back -------------------------------------------------------------------------------------- */

static void test_round_trip(void **state)
{
	(void)state;
	for (int keys = 0; keys < 2; keys++) {
		struct roster *r = keys ? rosters_enrolled() : rosters_belgium();
		struct buf text = rosters_text(r);
		struct roster *again = rosters_parse(buf_view(&text), NULL, !keys);
		rosters_same(r, again);
		assert_int_equal(again->has_keys, keys);
		struct buf second = rosters_text(again);
		assert_true(view_equal(buf_view(&text), buf_view(&second))); /* the text is canonical */
		buf_release(&text);
		buf_release(&second);
		roster_free(r);
		roster_free(again);
	}
}

/* Whatever the order in the text, sites, areas, groups and members come by rising number. */
static void test_order(void **state)
{
	(void)state;
	static const char text[] =
		"groups = ( { number = 9; id = \"g\"; members = ( \"b\", \"a\" ); }, { number = 2; id = \"h\"; members = [ \"b\" ]; } );\n"
		"areas = ( { number = 5; id = \"y\"; site = \"a\"; }, { number = 4; id = \"z\"; site = \"b\"; } );\n"
		"relocators = ( \"b\", \"a\" ); quorum = 2; network = \"n\"; serial = 2147483647;\n"
		"sites = ( { number = 65535; id = \"b\"; lang = \"de\"; standbys = ( \"a\" ); queues = ( { name = \"q\"; } ); },\n"
		"          { number = 7; id = \"a\"; lang = \"nl\"; queues = ( { name = \"q\"; } ); } );\n";
	struct roster *r = rosters_parse(view_str(text), NULL, true);
	assert_int_equal(r->serial, 2147483647);
	assert_string_equal(r->sites[0].id, "a");
	assert_string_equal(r->sites[1].id, "b");
	assert_int_equal(r->sites[1].standbys[0], 7);
	assert_string_equal(r->areas[0].id, "z");
	assert_string_equal(r->groups[0].id, "h");
	assert_int_equal(r->groups[1].members[0], 7);
	assert_int_equal(r->groups[1].members[1], 65535);
	assert_int_equal(r->relocators[0], 7);
	assert_int_equal(r->sites[0].queues[0].deadline_us[PREC_IMMEDIATE], 1800 * US_PER_S); /* the defaults of ACP 121 */
	roster_free(r);
}

static void test_network_hash(void **state)
{
	(void)state;
	struct buf text = rosters_file("conf/belgium.conf");
	struct minisign_public one = {{1}, {{1}}}, two = {{1}, {{2}}};
	struct roster *a = rosters_parse(buf_view(&text), &one, true), *b = rosters_parse(buf_view(&text), &two, true);
	assert_true(hash_equal(&a->hash, &b->hash));
	assert_false(hash_equal(&a->network_hash, &b->network_hash));
	struct hash expected = crypt_hash2(HASH_NETWORK, view_str("be-police"), view_of(one.key.b, sizeof one.key.b));
	assert_true(hash_equal(&a->network_hash, &expected));
	roster_free(a);
	roster_free(b);
	buf_release(&text);
}

/* ---- cutting and comparing ------------------------------------------------------------------------------ */

static void test_cut(void **state)
{
	(void)state;
	struct roster *r = rosters_belgium();
	uint16_t keep[] = {rosters_number(r, "cic-luik"), rosters_number(r, "cic-namen")};
	assert_int_equal(roster_cut(r, keep, 2), ERR_OK);
	assert_int_equal(r->n_sites, 2);
	assert_string_equal(r->sites[0].id, "cic-namen");
	assert_string_equal(r->sites[1].id, "cic-luik");
	assert_int_equal(r->sites[1].n_standbys, 1);
	assert_int_equal(r->sites[1].standbys[0], keep[1]);
	assert_int_equal(r->quorum, 2);
	assert_int_equal(r->n_relocators, 0);
	assert_int_equal(r->n_areas, 1);
	assert_string_equal(r->areas[0].id, "eupen");
	assert_null(roster_group_by_id(r, view_str("all-ccpd")));
	assert_null(roster_group_by_id(r, view_str("lang-nl")));
	assert_int_equal(roster_group_by_id(r, view_str("all"))->n_members, 2);
	assert_int_equal(roster_group_by_id(r, view_str("lang-de"))->n_members, 1);
	struct buf text = rosters_text(r);
	struct roster *again = rosters_parse(buf_view(&text), NULL, true);
	rosters_same(r, again);
	roster_free(again);
	buf_release(&text);
	assert_int_equal(roster_cut(r, keep, 1), ERR_OK);
	assert_int_equal(r->quorum, 1);
	roster_free(r);
}

static void test_cut_refuses(void **state)
{
	(void)state;
	struct roster *r = rosters_belgium(), *whole = rosters_belgium();
	uint16_t keep[] = {1, 99};
	assert_int_equal(roster_cut(r, keep, 2), ERR_UNKNOWN_SITE);
	assert_int_equal(roster_cut(r, keep, 0), ERR_UNKNOWN_SITE);
	rosters_same(whole, r); /* a refused cut cuts nothing */
	roster_free(r);
	roster_free(whole);
}

static void test_diff(void **state)
{
	(void)state;
	struct roster *a = rosters_enrolled(), *b = rosters_enrolled();
	struct site *luik = rosters_site(b, "cic-luik");
	struct site_keys other = rosters_keys(rosters_site(b, "cic-namen"));
	b->serial = 2;
	b->quorum = 4;
	b->deadline_us[PREC_FLASH] = 300 * US_PER_S;
	for (size_t i = 0; i < b->n_sites; i++)
		for (size_t j = 0; j < b->sites[i].n_queues; j++)
			if (b->sites[i].queues[j].deadline_us[PREC_FLASH] == 600 * US_PER_S)
				b->sites[i].queues[j].deadline_us[PREC_FLASH] = 300 * US_PER_S;
	luik->link = other.link_public;
	luik->n_standbys = 1;
	luik->queues[0].deadline_us[PREC_ROUTINE] = US_PER_DAY;
	strcpy(luik->queues[1].name, "post");
	luik->bearers[0].cost = 5;
	strcpy(luik->bearers[1].name, "mobile");
	b->areas[1].site = rosters_number(b, "cic-namen");
	b->groups[2].n_members--;
	rosters_diff(a, b,
		    "~ serial: 1 -> 2\n"
		    "~ quorum: 3 -> 4\n"
		    "~ deadline of flash: 10min -> 5min\n"
		    "~ cic-luik: standbys: cic-vlaams-brabant, cic-namen -> cic-vlaams-brabant\n"
		    "~ cic-luik: link key changed\n"
		    "- queue cic-luik/messages\n"
		    "~ cic-luik/dispatch: deadline of routine: 6h -> 1d\n"
		    "+ queue cic-luik/post\n"
		    "~ cic-luik: - bearer satellite\n"
		    "~ cic-luik: ~ bearer loopback: tcp://127.0.0.1:20014, cost 10, rate unknown -> tcp://127.0.0.1:20014, cost 5, rate unknown\n"
		    "~ cic-luik: + bearer mobile: tcp://[fd00::1]:20014, cost 50, rate 9600bit/s, no bulk\n"
		    "~ area eupen: site cic-luik -> cic-namen\n"
		    "~ group all-ccpd: members: ccpd-doornik, ccpd-luxembourg, ccpd-kerkrade -> ccpd-doornik, ccpd-luxembourg\n");
	rosters_diff(a, a, "");
	roster_free(a);
	roster_free(b);
}

static void test_diff_of_sites(void **state)
{
	(void)state;
	struct roster *a = rosters_belgium(), *b = rosters_belgium();
	uint16_t first[] = {5, 6, 7}, second[] = {6, 7, 8};
	assert_int_equal(roster_cut(a, first, 3), ERR_OK);
	assert_int_equal(roster_cut(b, second, 3), ERR_OK);
	rosters_diff(a, b,
		    "- site cic-west-vlaanderen\n"
		    "~ cic-oost-vlaanderen: standbys: cic-west-vlaanderen, cic-antwerpen -> cic-antwerpen\n"
		    "~ cic-antwerpen: standbys: cic-oost-vlaanderen -> cic-oost-vlaanderen, cic-limburg\n"
		    "+ site cic-limburg\n"
		    "~ group all: members: cic-west-vlaanderen, cic-oost-vlaanderen, cic-antwerpen -> cic-oost-vlaanderen, cic-antwerpen, cic-limburg\n"
		    "~ group all-cic: members: cic-west-vlaanderen, cic-oost-vlaanderen, cic-antwerpen -> cic-oost-vlaanderen, cic-antwerpen, cic-limburg\n"
		    "~ group lang-nl: members: cic-west-vlaanderen, cic-oost-vlaanderen, cic-antwerpen -> cic-oost-vlaanderen, cic-antwerpen, cic-limburg\n");
	roster_free(a);
	roster_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_belgium),
		cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_resolve_refuses),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_network_hash),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_cut_refuses),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_diff_of_sites),
	};
	if (crypt_start() != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
