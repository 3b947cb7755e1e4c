/* The roster: what conf/belgium.conf says, and that every mistake in a roster is refused at its line. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/buf.h"
#include "proto/keyfile.h"
#include "proto/roster.h"

static struct buf read_file(const char *path)
{
	struct buf b = BUF_EMPTY;
	FILE *f = fopen(path, "rb");
	assert_non_null(f); /* the tests run from the root of the repository */
	char part[4096];
	for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
		buf_add(&b, view_of(part, n));
	fclose(f);
	assert_true(buf_ok(&b));
	return b;
}

static struct roster *belgium(void)
{
	struct buf text = read_file("conf/belgium.conf");
	struct roster *r;
	struct errmsg m = {0};
	enum err e = roster_parse("conf/belgium.conf", buf_view(&text), NULL, true, &r, &m);
	buf_release(&text);
	if (e != ERR_OK)
		fail_msg("%s", m.text);
	return r;
}

static uint16_t number_of(const struct roster *r, const char *id)
{
	const struct site *s = roster_site_by_id(r, view_str(id));
	assert_non_null(s);
	return s->number;
}

static struct site *site_of(struct roster *r, const char *id)
{
	return &r->sites[roster_site_by_id(r, view_str(id)) - r->sites];
}

static struct site_keys keys_of(const struct site *s)
{
	uint8_t seed[32] = {7, (uint8_t)s->number};
	struct site_keys k;
	site_keys_make(seed, s->id, "be-police", &k);
	return k;
}

/* The Belgian roster with keys and a loopback bearer for each site. */
static struct roster *enrolled(void)
{
	struct roster *r = belgium();
	for (size_t i = 0; i < r->n_sites; i++) {
		struct site *s = &r->sites[i];
		struct site_keys k = keys_of(s);
		s->identity = k.identity_public;
		s->link = k.link_public;
		s->sealing = k.sealing[0].pub;
		sealing_key_sign(&k.identity, s->number, &s->sealing, &s->sealing_signature);
		s->n_bearers = 2;
		s->bearers[0] = (struct bearer){.name = "loopback", .cost = 10, .bulk = true};
		snprintf(s->bearers[0].endpoint, sizeof s->bearers[0].endpoint, "tcp://127.0.0.1:%u", 20000 + s->number);
		s->bearers[1] = (struct bearer){.name = "satellite", .cost = 50, .rate_bps = 9600};
		snprintf(s->bearers[1].endpoint, sizeof s->bearers[1].endpoint, "tcp://[fd00::1]:%u", 20000 + s->number);
	}
	r->has_keys = true;
	return r;
}

static struct buf text_of(const struct roster *r)
{
	struct buf b = BUF_EMPTY;
	assert_int_equal(roster_format(r, &b), ERR_OK);
	return b;
}

static struct roster *parse_ok(struct view text, const struct minisign_public *authority, bool template)
{
	struct roster *r;
	struct errmsg m = {0};
	if (roster_parse("t.conf", text, authority, template, &r, &m) != ERR_OK)
		fail_msg("%s", m.text);
	return r;
}

/* ---- the Belgian roster --------------------------------------------------------------------------------- */

static void test_belgium(void **state)
{
	(void)state;
	static const char *const ids[] = {
		"spoc-brussel", "ccpd-doornik", "ccpd-luxembourg", "ccpd-kerkrade", "cic-west-vlaanderen", "cic-oost-vlaanderen",
		"cic-antwerpen", "cic-limburg", "cic-vlaams-brabant", "cic-brussel", "cic-waals-brabant", "cic-henegouwen", "cic-namen",
		"cic-luik", "cic-luxemburg"};
	static const int64_t deadlines_s[PREC_COUNT] = {600, 1800, 10800, 21600};
	struct roster *r = belgium();
	assert_string_equal(r->network, "be-police");
	assert_int_equal(r->n_sites, 15);
	assert_int_equal(r->quorum, 3);
	assert_false(r->has_keys);
	assert_int_equal(r->n_relocators, 1);
	assert_int_equal(r->relocators[0], number_of(r, "spoc-brussel"));
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
	assert_int_equal(luik->standbys[0], number_of(r, "cic-vlaams-brabant"));
	assert_int_equal(luik->standbys[1], number_of(r, "cic-namen"));
	assert_int_equal(r->n_groups, 6);
	assert_int_equal(roster_group_by_id(r, view_str("all"))->n_members, 15);
	assert_int_equal(roster_group_by_id(r, view_str("all-cic"))->n_members, 11);
	assert_int_equal(roster_group_by_id(r, view_str("all-ccpd"))->n_members, 3);
	roster_free(r);
}

static void test_lookups(void **state)
{
	(void)state;
	struct roster *r = enrolled();
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
	assert_int_equal(custodians[1], number_of(r, "cic-vlaams-brabant"));
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
	struct roster *r = belgium();
	struct address a;
	struct errmsg m;
	assert_int_equal(roster_resolve(r, view_str("cic-namen/messages"), &a, &m), ERR_OK);
	assert_int_equal(a.area, 0);
	assert_int_equal(a.group, 0);
	assert_int_equal(a.n_sites, 1);
	assert_int_equal(a.sites[0], number_of(r, "cic-namen"));
	assert_string_equal(a.queue, "messages");
	assert_int_equal(roster_resolve(r, view_str("eupen/dispatch"), &a, &m), ERR_OK);
	assert_int_equal(a.area, 2);
	assert_int_equal(a.n_sites, 1);
	assert_int_equal(a.sites[0], number_of(r, "cic-luik"));
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
	struct roster *r = belgium();
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

static void assert_same(const struct roster *a, const struct roster *b)
{
	struct buf diff = BUF_EMPTY;
	roster_diff(a, b, &diff);
	if (diff.len > 0)
		fail_msg("they differ: %.*s", (int)diff.len, (const char *)diff.ptr);
	buf_release(&diff);
	assert_int_equal(a->n_sites, b->n_sites);
	for (size_t i = 0; i < a->n_sites; i++) {
		const struct site *x = &a->sites[i], *y = &b->sites[i];
		assert_memory_equal(x->queues, y->queues, x->n_queues * sizeof *x->queues);
		assert_memory_equal(&x->sealing_signature, &y->sealing_signature, sizeof x->sealing_signature);
		assert_int_equal(x->n_bearers, y->n_bearers);
		for (size_t j = 0; j < x->n_bearers; j++)
			assert_int_equal(x->bearers[j].rate_bps, y->bearers[j].rate_bps);
	}
}

static void test_round_trip(void **state)
{
	(void)state;
	for (int keys = 0; keys < 2; keys++) {
		struct roster *r = keys ? enrolled() : belgium();
		struct buf text = text_of(r);
		struct roster *again = parse_ok(buf_view(&text), NULL, !keys);
		assert_same(r, again);
		assert_int_equal(again->has_keys, keys);
		struct buf second = text_of(again);
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
	struct roster *r = parse_ok(view_str(text), NULL, true);
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
	struct buf text = read_file("conf/belgium.conf");
	struct minisign_public one = {{1}, {{1}}}, two = {{1}, {{2}}};
	struct roster *a = parse_ok(buf_view(&text), &one, true), *b = parse_ok(buf_view(&text), &two, true);
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
	struct roster *r = belgium();
	uint16_t keep[] = {number_of(r, "cic-luik"), number_of(r, "cic-namen")};
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
	struct buf text = text_of(r);
	struct roster *again = parse_ok(buf_view(&text), NULL, true);
	assert_same(r, again);
	roster_free(again);
	buf_release(&text);
	assert_int_equal(roster_cut(r, keep, 1), ERR_OK);
	assert_int_equal(r->quorum, 1);
	roster_free(r);
}

static void test_cut_refuses(void **state)
{
	(void)state;
	struct roster *r = belgium(), *whole = belgium();
	uint16_t keep[] = {1, 99};
	assert_int_equal(roster_cut(r, keep, 2), ERR_UNKNOWN_SITE);
	assert_int_equal(roster_cut(r, keep, 0), ERR_UNKNOWN_SITE);
	assert_same(whole, r); /* a refused cut cuts nothing */
	roster_free(r);
	roster_free(whole);
}

static void assert_diff(const struct roster *a, const struct roster *b, const char *expected)
{
	struct buf diff = BUF_EMPTY;
	roster_diff(a, b, &diff);
	buf_add_u8(&diff, 0);
	assert_string_equal((const char *)diff.ptr, expected);
	buf_release(&diff);
}

static void test_diff(void **state)
{
	(void)state;
	struct roster *a = enrolled(), *b = enrolled();
	struct site *luik = site_of(b, "cic-luik");
	struct site_keys other = keys_of(site_of(b, "cic-namen"));
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
	b->areas[1].site = number_of(b, "cic-namen");
	b->groups[2].n_members--;
	assert_diff(a, b,
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
	assert_diff(a, a, "");
	roster_free(a);
	roster_free(b);
}

static void test_diff_of_sites(void **state)
{
	(void)state;
	struct roster *a = belgium(), *b = belgium();
	uint16_t first[] = {5, 6, 7}, second[] = {6, 7, 8};
	assert_int_equal(roster_cut(a, first, 3), ERR_OK);
	assert_int_equal(roster_cut(b, second, 3), ERR_OK);
	assert_diff(a, b,
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

/* ---- mistakes ------------------------------------------------------------------------------------------- */

/* A small template; a case replaces one text in it by another. Lines matter: messages name them. */
static const char small[] =
	/* 1 */ "network = \"n\";\n"
	/* 2 */ "serial = 4;\n"
	/* 3 */ "quorum = 2;\n"
	/* 4 */ "relocators = ( \"aa\" );\n"
	/* 5 */ "deadlines = { flash = \"10min\"; };\n"
	/* 6 */ "sites = (\n"
	/* 7 */ "  { number = 1; id = \"aa\"; lang = \"nl\";\n"
	/* 8 */ "    standbys = ( \"bb\" );\n"
	/* 9 */ "    queues = ( { name = \"q\"; },\n"
	/* 10 */ "               { name = \"p\"; deadlines = { flash = \"1h\"; }; } ); },\n"
	/* 11 */ "  { number = 2; id = \"bb\"; lang = \"fr\";\n"
	/* 12 */ "    queues = ( { name = \"q\"; } );\n"
	/* 13 */ "  } );\n"
	/* 14 */ "areas = ( { number = 1; id = \"cc\"; site = \"aa\"; },\n"
	/* 15 */ "          { number = 2; id = \"dd\"; site = \"bb\"; } );\n"
	/* 16 */ "groups = ( { number = 1; id = \"ee\"; members = ( \"aa\", \"bb\" ); },\n"
	/* 17 */ "           { number = 2; id = \"ff\"; members = ( \"aa\" ); } );\n";

/* text with the first `from` replaced; *line is where it stood. */
static struct buf replaced(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	assert_non_null(at);
	struct buf b = BUF_EMPTY;
	buf_add(&b, view_of(text, (size_t)(at - text)));
	buf_add(&b, view_str(to));
	buf_add(&b, view_str(at + strlen(from)));
	return b;
}

static void assert_refused(struct view text, bool template, enum err e, const char *says)
{
	struct roster *r;
	struct errmsg m = {0};
	enum err got = roster_parse("t.conf", text, NULL, template, &r, &m);
	if (got == ERR_OK)
		fail_msg("it was taken, though: %s", says);
	assert_null(r);
	if (got != e || m.code != e || strncmp(m.text, says, strlen(says)) != 0)
		fail_msg("%s \"%s\" is not %s \"%s...\"", err_code(got), m.text, err_code(e), says);
}

struct mistake {
	const char *from, *to;
	enum err e;
	const char *says;
};

static void run_mistakes(const char *text, bool template, const struct mistake *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf b = replaced(text, c[i].from, c[i].to);
		assert_refused(buf_view(&b), template, c[i].e, c[i].says);
		/* A caller that wants no message gets none, and no crash. */
		struct roster *r;
		assert_int_equal(roster_parse("t.conf", buf_view(&b), NULL, template, &r, NULL), c[i].e);
		buf_release(&b);
	}
}

static void test_mistakes_of_syntax(void **state)
{
	(void)state;
	static const struct mistake cases[] = {
		{"serial = 4;", "serial = 4;\n@include \"other.conf\"\n", ERR_FORMAT, "t.conf:3: @include: not allowed"},
		{"serial = 4;", "/*\n  @include \"other.conf\"\n*/", ERR_FORMAT, "t.conf:3: @include: not allowed"},
		{"serial = 4;", "serial = 4; @include \"x\"", ERR_FORMAT, "t.conf:2: the text: '@' outside quotes"},
		{"serial = 4", "serial = 4294967297", ERR_RANGE, "t.conf:2: a number: it is larger than 2147483647"},
		{"serial = 4", "serial = 99999999999999999999999999", ERR_RANGE, "t.conf:2: a number: it is larger"},
		{"serial = 4", "serial = 0x100000001", ERR_FORMAT, "t.conf:2: a number: it is hexadecimal"},
		{"serial = 4", "serial = 4L", ERR_FORMAT, "t.conf:2: serial: not a whole number"},
		{"serial = 4;", "serial = 4; serial = 5;", ERR_FORMAT, "t.conf:2: the text: duplicate setting name"},
		{"serial = 4;", "serial = ;", ERR_FORMAT, "t.conf:2: the text: syntax error"},
		{"serial = 4;", "serial \"4\";", ERR_FORMAT, "t.conf:2: the text: a string where none can be"},
		{"serial = 4;", "\"serial\" = 4;", ERR_FORMAT, "t.conf:2: the text: a string where none can be"},
		{"\"bb\" );\n", "\"bb\", );\n", ERR_FORMAT, "t.conf:8: the text: syntax error"},
		{"serial = 4;", "serial = (((((((((4)))))))));", ERR_FORMAT, "t.conf:2: the text: brackets are nested"},
		{"\"aa\" ); } )", "\"aa ); } )", ERR_FORMAT, "t.conf:17: the text: a string begins here and never ends"},
	};
	run_mistakes(small, true, cases, sizeof cases / sizeof *cases);
	struct buf b = replaced(small, "serial", "seri@l");
	*(uint8_t *)memchr(b.ptr, '@', b.len) = 0;
	assert_refused(buf_view(&b), true, ERR_FORMAT, "t.conf:2: the text: it holds a NUL byte");
	buf_release(&b);
	b = replaced(small, "serial = 4;", "serial = 4; # an @ here, \"quotes, (((((((((( and 99999999999 are only words\n");
	roster_free(parse_ok(buf_view(&b), NULL, true));
	buf_release(&b);
	assert_refused(view_of(NULL, 0), true, ERR_FORMAT, "t.conf:1: network: missing");
	buf_extend(&b, LIMIT_ROSTER_BYTES + 1);
	memset(b.ptr, ' ', b.len);
	assert_refused(buf_view(&b), true, ERR_TOO_LARGE, "t.conf:1: the text: it has 1048577 bytes");
	buf_release(&b);
}

static void test_mistakes_of_settings(void **state)
{
	(void)state;
	static const struct mistake cases[] = {
		{"quorum", "qorum", ERR_FORMAT, "t.conf:3: qorum: unknown setting (known here: network, serial, "},
		{"lang = \"nl\"", "lang = \"nl\"; key = 1", ERR_FORMAT, "t.conf:7: key: unknown setting"},
		{"{ name = \"q\"; }", "{ name = \"q\"; max = 1; }", ERR_FORMAT, "t.conf:9: max: unknown setting"},
		{"flash = \"10min\"", "urgent = \"10min\"", ERR_FORMAT, "t.conf:5: urgent: unknown setting"},
		{"network = \"n\";", "", ERR_FORMAT, "t.conf:1: network: missing"},
		{"number = 1;", "", ERR_FORMAT, "t.conf:7: number: missing"},
		{"queues = ( { name = \"q\"; } );", "", ERR_FORMAT, "t.conf:11: queues: missing"},
		{"network = \"n\"", "network = 5", ERR_FORMAT, "t.conf:1: network: not a text"},
		{"network = \"n\"", "network = \"N\"", ERR_FORMAT, "t.conf:1: network: \"N\" is not a name"},
		{"network = \"n\"", "network = \"\"", ERR_RANGE, "t.conf:1: network: it has 0 characters"},
		{"\"aa\"; lang", "\"a123456789012345678901234567890123456789012345678\"; lang", ERR_RANGE, "t.conf:7: id: it has 49"},
		{"serial = 4", "serial = 0", ERR_RANGE, "t.conf:2: serial: 0 is out of range"},
		{"serial = 4", "serial = -1", ERR_RANGE, "t.conf:2: serial: -1 is out of range"},
		{"serial = 4", "serial = \"4\"", ERR_FORMAT, "t.conf:2: serial: not a whole number"},
		{"serial = 4", "serial = 4.5", ERR_FORMAT, "t.conf:2: serial: not a whole number"},
		{"quorum = 2", "quorum = 0", ERR_RANGE, "t.conf:3: quorum: 0 is out of range"},
		{"quorum = 2", "quorum = 3", ERR_RANGE, "t.conf:3: quorum: 3 is more than the 2 sites"},
		{"number = 1", "number = 65536", ERR_RANGE, "t.conf:7: number: 65536 is out of range"},
		{"\"10min\"", "\"10\"", ERR_FORMAT, "t.conf:5: flash: \"10\" is not a duration"},
		{"\"10min\"", "\"999ms\"", ERR_RANGE, "t.conf:5: flash: \"999ms\" is out of range"},
		{"\"1h\"", "\"31d\"", ERR_RANGE, "t.conf:10: flash: \"31d\" is out of range"},
		{"{ flash = \"1h\"; }", "\"1h\"", ERR_FORMAT, "t.conf:10: deadlines: not a group"},
		{"lang = \"nl\"", "lang = \"N\"", ERR_RANGE, "t.conf:7: lang: it has 1 characters"},
		{"lang = \"nl\"", "lang = \"NL\"", ERR_FORMAT, "t.conf:7: lang: \"NL\" is not a language"},
		{"( \"bb\" )", "\"bb\"", ERR_FORMAT, "t.conf:8: standbys: not a list"},
		{"( { name = \"q\"; } )", "( )", ERR_RANGE, "t.conf:12: queues: the list has 0 elements"},
		{"( { name = \"q\"; } )", "( \"q\" )", ERR_FORMAT, "t.conf:12: queues: not a group"},
		{"{ name = \"q\"; }", "{ name = \"q\\n\"; }", ERR_FORMAT, "t.conf:9: name: it holds control characters"},
	};
	run_mistakes(small, true, cases, sizeof cases / sizeof *cases);
}

static void test_mistakes_of_names(void **state)
{
	(void)state;
	static const struct mistake cases[] = {
		{"number = 2; id = \"bb\"", "number = 1; id = \"bb\"", ERR_FORMAT, "t.conf:11: number: 1 is site aa's"},
		{"id = \"bb\"", "id = \"aa\"", ERR_FORMAT, "t.conf:11: id: aa is the name of site 1 already"},
		{"id = \"cc\"", "id = \"bb\"", ERR_FORMAT, "t.conf:14: id: bb is the name of a site already"},
		{"id = \"dd\"", "id = \"cc\"", ERR_FORMAT, "t.conf:15: id: cc is the name of an area already"},
		{"id = \"ee\"", "id = \"dd\"", ERR_FORMAT, "t.conf:16: id: dd is the name of an area already"},
		{"id = \"ff\"", "id = \"ee\"", ERR_FORMAT, "t.conf:17: id: ee is the name of a group already"},
		{"number = 2; id = \"dd\"", "number = 1; id = \"dd\"", ERR_FORMAT, "t.conf:15: number: 1 is area cc's"},
		{"number = 2; id = \"ff\"", "number = 1; id = \"ff\"", ERR_FORMAT, "t.conf:17: number: 1 is group ee's"},
		{"name = \"p\"", "name = \"q\"", ERR_FORMAT, "t.conf:10: queue q: this site has one of that name already"},
		{"( \"bb\" )", "( \"zz\" )", ERR_FORMAT, "t.conf:8: standbys: there is no site zz"},
		{"( \"bb\" )", "( \"aa\" )", ERR_FORMAT, "t.conf:8: standbys: aa cannot stand by for itself"},
		{"( \"bb\" )", "( \"bb\", \"bb\" )", ERR_FORMAT, "t.conf:8: standbys: bb is named twice"},
		{"( \"bb\" )", "( \"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\" )", ERR_TOO_LARGE, "t.conf:8: standbys: the list has 7"},
		{"( \"bb\" )", "( 2 )", ERR_FORMAT, "t.conf:8: standbys: not a text"},
		{"relocators = ( \"aa\" )", "relocators = ( \"cc\" )", ERR_FORMAT, "t.conf:4: relocators: there is no site cc"},
		{"site = \"bb\"", "site = \"zz\"", ERR_FORMAT, "t.conf:15: site: there is no site zz"},
		{"( \"aa\", \"bb\" )", "( \"aa\", \"cc\" )", ERR_FORMAT, "t.conf:16: members: there is no site cc"},
		{"( \"aa\", \"bb\" )", "( )", ERR_RANGE, "t.conf:16: members: the list has 0 elements"},
	};
	run_mistakes(small, true, cases, sizeof cases / sizeof *cases);
	assert_refused(view_str(small), false, ERR_FORMAT, "t.conf:7: bearers: missing for site aa");
}

/* ---- keys, bearers, signatures -------------------------------------------------------------------------- */

/* A full roster of two sites as text. */
static struct buf two_sites(void)
{
	struct roster *r = enrolled();
	uint16_t keep[] = {13, 14};
	assert_int_equal(roster_cut(r, keep, 2), ERR_OK);
	struct buf b = text_of(r);
	buf_add_u8(&b, 0); /* for strstr; not part of the text */
	roster_free(r);
	return b;
}

/* The setting as text_of wrote it for a site: from its name up to its semicolon. */
static const char *setting_text(const char *text, const char *site, const char *name, char *out, size_t size)
{
	char id[64];
	snprintf(id, sizeof id, "id = \"%s\"", site);
	const char *at = strstr(strstr(text, id), name);
	size_t n = (size_t)(strchr(at, ';') - at) + 1;
	assert_true(n < size);
	memcpy(out, at, n);
	out[n] = '\0';
	return out;
}

static void assert_keys_refused(const char *from, const char *to, bool template, enum err e, const char *says)
{
	struct buf text = two_sites();
	struct buf b = replaced((const char *)text.ptr, from, to);
	struct roster *r;
	struct errmsg m = {0};
	enum err got = roster_parse("t.conf", buf_view(&b), NULL, template, &r, &m);
	if (got != e || strstr(m.text, says) == NULL || strncmp(m.text, "t.conf:", 7) != 0)
		fail_msg("%s \"%s\" is not %s \"%s\"", err_code(got), m.text, err_code(e), says);
	buf_release(&text);
	buf_release(&b);
}

static void test_mistakes_of_keys(void **state)
{
	(void)state;
	struct buf text = two_sites();
	const char *t = (const char *)text.ptr;
	char namen[200], luik[200];
	static const char *const keys[] = {"identity", "sealing =", "sealing-signature", "link"};
	static const char *const names[] = {"identity", "sealing", "sealing-signature", "link"};
	for (size_t i = 0; i < 4; i++) {
		char says[64];
		setting_text(t, "cic-namen", keys[i], namen, sizeof namen);
		setting_text(t, "cic-luik", keys[i], luik, sizeof luik);
		snprintf(says, sizeof says, "%s: missing for site cic-namen", names[i]);
		assert_keys_refused(namen, "", false, ERR_FORMAT, says);
		assert_keys_refused(namen, "", true, ERR_FORMAT, says); /* all or none, also in a template */
		char broken[200];
		snprintf(broken, sizeof broken, "%s = \"short\";", names[i]);
		snprintf(says, sizeof says, "%s: not %s", names[i], i == 3 ? "a link key" : "the base64 of");
		assert_keys_refused(namen, broken, false, ERR_FORMAT, says);
		if (i == 2) /* a good signature, but of the other site */
			assert_keys_refused(luik, namen, false, ERR_AUTH, "sealing-signature: it is not site cic-luik's");
		else if (i == 1)
			assert_keys_refused(luik, namen, false, ERR_FORMAT, "sealing: site cic-namen has the same key");
		else
			assert_keys_refused(luik, namen, false, ERR_FORMAT, "site cic-namen has the same key");
	}
	/* The same keys under another number: the signature is over the number too. */
	assert_keys_refused("number = 14", "number = 15", false, ERR_AUTH, "sealing-signature: it is not site cic-luik's");
	assert_keys_refused("link = \"", "link = \"#####", false, ERR_FORMAT, "link: not a link key");
	buf_release(&text);
}

static void test_mistakes_of_bearers(void **state)
{
	(void)state;
	static const char one[] = "\"tcp://127.0.0.1:20013\"";
	static const char *const bad[] = {
		"\"tcp://local_host:20013\"", "\"tcp://10.1.2:20013\"", "\"tcp://a..b:20013\"", "\"tcp://-a.be:20013\"", "\"tcp://a-.be:20013\"", "\"tcp://node.be.:20013\"", "\"tcp://1.2.3.4.5:20013\"",
		"\"tcp://127.0.0.1\"", "\"tcp://127.0.0.1:0\"", "\"tcp://127.0.0.1:65536\"", "\"tcp://127.0.0.1:+5\"",
		"\"udp://127.0.0.1:20013\"", "\"tcp://*:20013\"", "\"tcp://0.0.0.0:20013\"", "\"tcp://[::]:20013\"", "\"tcp://fd00::1:20013\"",
		"\"tcp://[127.0.0.1]:20013\"", "\"tcp://127.0.0.1:020\"", "\"tcp://:20\"", "\"tcp://[]:20\"", "\"20013\""};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_keys_refused(one, bad[i], false, ERR_FORMAT, "is not tcp://ADDRESS:PORT");
	assert_keys_refused(one, "\"tcp://127.0.0.1:20014\"", false, ERR_FORMAT, "endpoint: tcp://127.0.0.1:20014 is site cic-namen's");
	assert_keys_refused("\"satellite\"", "\"loopback\"", false, ERR_FORMAT, "bearer loopback: this site has one of that name");
	assert_keys_refused("cost = 10", "cost = -1", false, ERR_RANGE, "cost: -1 is out of range");
	assert_keys_refused("cost = 10", "cost = 10; speed = 1", false, ERR_FORMAT, "speed: unknown setting");
	assert_keys_refused("\"9600bit/s\"", "\"9600\"", false, ERR_FORMAT, "is not a rate");
	assert_keys_refused("\"9600bit/s\"", "\"0bit/s\"", false, ERR_FORMAT, "is not a rate");
	assert_keys_refused("\"9600bit/s\"", "\"10000Gbit/s\"", false, ERR_FORMAT, "is not a rate");
	assert_keys_refused("\"9600bit/s\"", "9600", false, ERR_FORMAT, "rate: not a text");
	assert_keys_refused("bulk = false", "bulk = 0", false, ERR_FORMAT, "bulk: neither true nor false");
}

/* ---- sites that were removed, or enrolled anew ------------------------------------------------------------- */

static struct sign_public former_of(const struct site *s, uint8_t n)
{
	uint8_t seed[32] = {8, (uint8_t)s->number, n};
	struct site_keys k;
	site_keys_make(seed, s->id, "be-police", &k);
	return k.identity_public;
}

/* Nobody names it any more: not as standby, in a group, as who serves an area. */
static void forget(struct roster *r, uint16_t number)
{
	for (size_t i = 0; i < r->n_sites; i++)
		for (size_t j = r->sites[i].n_standbys; j-- > 0;)
			if (r->sites[i].standbys[j] == number)
				memmove(&r->sites[i].standbys[j], &r->sites[i].standbys[j + 1],
					(--r->sites[i].n_standbys - j) * sizeof r->sites[i].standbys[0]);
	for (size_t i = 0; i < r->n_groups; i++)
		for (size_t j = r->groups[i].n_members; j-- > 0;)
			if (r->groups[i].members[j] == number)
				memmove(&r->groups[i].members[j], &r->groups[i].members[j + 1],
					(--r->groups[i].n_members - j) * sizeof r->groups[i].members[0]);
	for (size_t i = 0; i < r->n_areas; i++)
		if (r->areas[i].site == number)
			r->areas[i].site = number == 1 ? 2 : 1;
}

/* Luik is removed, with nothing left but what verifies what it signed; Namen was enrolled anew, twice. */
static struct roster *changed(void)
{
	struct roster *r = enrolled();
	struct site *luik = site_of(r, "cic-luik"), *namen = site_of(r, "cic-namen");
	forget(r, luik->number);
	luik->removed = true;
	luik->n_standbys = luik->n_bearers = 0;
	luik->link = (struct link_public){{0}};
	luik->sealing = (struct seal_public){{0}};
	luik->sealing_signature = (struct signature){{0}};
	namen->n_former = 2;
	namen->former[0] = former_of(namen, 0);
	namen->former[1] = former_of(namen, 1);
	return r;
}

static void test_removed(void **state)
{
	(void)state;
	struct roster *r = changed();
	struct buf a = text_of(r);
	struct roster *back = parse_ok(buf_view(&a), NULL, false);
	struct buf b = text_of(back);
	const struct site *luik = site_of(back, "cic-luik"), *namen = site_of(back, "cic-namen");
	uint16_t out[LIMIT_CUSTODIANS];
	assert_true(view_equal(buf_view(&a), buf_view(&b)));
	assert_true(luik->removed);
	assert_memory_equal(&luik->identity, &site_of(r, "cic-luik")->identity, sizeof luik->identity);
	assert_int_equal(namen->n_former, 2);
	assert_ptr_equal(site_identity(namen, 0), &namen->identity);
	assert_memory_equal(site_identity(namen, 2), &r->sites[namen - back->sites].former[1], sizeof namen->identity);
	assert_null(site_identity(namen, 3));
	assert_int_equal(roster_live(back), 14);
	assert_false(roster_has(back, luik->number));
	assert_true(roster_has(back, namen->number));
	assert_false(roster_has(back, 99));
	assert_null(roster_site_by_link(back, (char[41]){0}));
	assert_int_equal(roster_custodians(back, luik->number, out), 0);
	/* Who stands by for it holds what was sent to it, until a roster says otherwise. */
	site_of(back, "cic-luik")->standbys[0] = namen->number;
	site_of(back, "cic-luik")->n_standbys = 1;
	assert_int_equal(roster_custodians(back, luik->number, out), 1);
	assert_int_equal(out[0], namen->number);
	/* Its link key admits nobody, should it still stand there. */
	site_of(back, "cic-luik")->link = keys_of(luik).link_public;
	assert_null(roster_site_by_link(back, luik->link.z85));
	struct site_keys k = keys_of(luik);
	struct errmsg m = {0};
	assert_int_equal(site_keys_check(&k, back, &m), ERR_CONFLICT);
	assert_non_null(strstr(m.text, "removed this site"));
	/* A network needs somebody. */
	uint16_t only[] = {luik->number};
	assert_int_equal(roster_cut(back, only, 1), ERR_UNKNOWN_SITE);
	buf_release(&a);
	buf_release(&b);
	roster_free(r);
	roster_free(back);
}

static void test_removed_differs(void **state)
{
	(void)state;
	struct roster *a = enrolled(), *b = enrolled();
	struct site *luik = site_of(b, "cic-luik"), *namen = site_of(b, "cic-namen");
	luik->removed = true;
	namen->n_former = 1;
	namen->former[0] = namen->identity;
	namen->identity = former_of(namen, 0);
	assert_diff(a, b, "~ cic-namen: identity key changed\n~ cic-namen: + former identity key, its own until now\n~ site cic-luik: removed\n");
	assert_diff(b, a, "~ cic-namen: identity key changed\n~ cic-namen: - former identity key\n~ site cic-luik: back in the network\n");
	roster_free(a);
	roster_free(b);
}

/* What is wrong with a roster that change made of changed(). */
static void assert_change_refused(void (*change)(struct roster *r), enum err e, const char *says)
{
	struct roster *r = changed(), *back;
	struct errmsg m = {0};
	change(r);
	struct buf text = text_of(r);
	enum err got = roster_parse("t.conf", buf_view(&text), NULL, false, &back, &m);
	if (got != e || strstr(m.text, says) == NULL)
		fail_msg("%s \"%s\" is not %s \"%s\"", err_code(got), m.text, err_code(e), says);
	buf_release(&text);
	roster_free(r);
}

static void as_standby(struct roster *r) { site_of(r, "cic-namen")->standbys[0] = number_of(r, "cic-luik"); }
static void as_member(struct roster *r) { r->groups[0].members[0] = number_of(r, "cic-luik"); }
static void as_relocator(struct roster *r) { r->relocators[0] = number_of(r, "cic-luik"); }
static void as_server(struct roster *r) { r->areas[0].site = number_of(r, "cic-luik"); }
static void as_quorum(struct roster *r) { r->quorum = 15; }
static void everybody(struct roster *r)
{
	for (size_t i = 0; i < r->n_sites; i++)
		r->sites[i].removed = true;
}
static void same_former(struct roster *r) { site_of(r, "cic-namen")->former[1] = site_of(r, "cic-namen")->former[0]; }
static void own_former(struct roster *r) { site_of(r, "cic-namen")->former[1] = site_of(r, "cic-namen")->identity; }
static void others_identity(struct roster *r) { site_of(r, "cic-namen")->former[1] = site_of(r, "cic-luik")->identity; }
static void half_sealing(struct roster *r) { site_of(r, "cic-luik")->sealing = site_of(r, "cic-namen")->sealing; }

static void test_mistakes_of_removed(void **state)
{
	(void)state;
	assert_change_refused(as_standby, ERR_FORMAT, "standbys: site cic-luik is removed");
	assert_change_refused(as_member, ERR_FORMAT, "members: site cic-luik is removed");
	assert_change_refused(as_relocator, ERR_FORMAT, "relocators: site cic-luik is removed");
	assert_change_refused(as_server, ERR_FORMAT, "site: site cic-luik is removed");
	assert_change_refused(as_quorum, ERR_RANGE, "quorum: 15 is more than the 14 sites");
	assert_change_refused(everybody, ERR_FORMAT, "sites: every one is removed");
	assert_change_refused(same_former, ERR_FORMAT, "former: this key is named twice");
	assert_change_refused(own_former, ERR_FORMAT, "former: it names site cic-namen's present identity");
	assert_change_refused(others_identity, ERR_FORMAT, "identity: site cic-namen has the same key");
	assert_change_refused(half_sealing, ERR_FORMAT, "sealing: site cic-namen has the same key");
}

static void test_half_a_template(void **state)
{
	(void)state;
	struct roster *r = enrolled();
	struct buf with = two_sites(), text = BUF_EMPTY;
	r->has_keys = false;
	uint16_t keep[] = {13, 14};
	assert_int_equal(roster_cut(r, keep, 2), ERR_OK);
	struct buf without = text_of(r);
	/* The head and first site of the template, then the second site with its keys. */
	buf_add_u8(&without, 0);
	const char *cut = strstr((const char *)without.ptr, "\t{\n\t\tnumber = 14"), *rest = strstr((const char *)with.ptr, "\t{\n\t\tnumber = 14");
	buf_add(&text, view_of(without.ptr, (size_t)(cut - (const char *)without.ptr)));
	buf_add(&text, view_str(rest));
	struct roster *none;
	struct errmsg m;
	assert_int_equal(roster_parse("t.conf", buf_view(&text), NULL, true, &none, &m), ERR_FORMAT);
	assert_non_null(strstr(m.text, "site cic-luik: it has keys or bearers, but the sites before it have none"));
	buf_release(&with);
	buf_release(&without);
	buf_release(&text);
	roster_free(r);
}

static void make_authority(uint8_t seed_byte, struct minisign_public *pub, struct minisign_secret *sec)
{
	uint8_t seed[32] = {seed_byte};
	sign_keypair(seed, &pub->key, &sec->key);
	memset(pub->key_id, seed_byte, sizeof pub->key_id);
	memcpy(sec->key_id, pub->key_id, sizeof pub->key_id);
}

static void test_open(void **state)
{
	(void)state;
	struct minisign_public pub, other;
	struct minisign_secret sec, other_sec;
	make_authority(1, &pub, &sec);
	make_authority(2, &other, &other_sec);
	struct roster *full = enrolled(), *r;
	struct buf text = text_of(full);
	char minisig[600];
	struct errmsg m = {0};
	assert_int_equal(minisign_sign(&sec, buf_view(&text), "roster", minisig, sizeof minisig), ERR_OK);
	assert_int_equal(roster_open("t.conf", buf_view(&text), view_str(minisig), &pub, &r, &m), ERR_OK);
	assert_same(full, r);
	assert_true(r->has_keys);
	roster_free(r);

	assert_int_equal(roster_open("t.conf", buf_view(&text), view_str(minisig), &other, &r, &m), ERR_KEY);
	assert_null(r);
	assert_non_null(strstr(m.text, "t.conf: signed by another key"));
	memcpy(other.key_id, pub.key_id, sizeof pub.key_id); /* the right id on the wrong key */
	assert_int_equal(roster_open("t.conf", buf_view(&text), view_str(minisig), &other, &r, &m), ERR_AUTH);
	assert_int_equal(roster_open("t.conf", buf_view(&text), view_str("nonsense"), &pub, &r, &m), ERR_FORMAT);
	text.ptr[text.len / 2] ^= 1;
	assert_int_equal(roster_open("t.conf", buf_view(&text), view_str(minisig), &pub, &r, &m), ERR_AUTH);
	assert_non_null(strstr(m.text, "t.conf: the signature does not fit the text"));
	assert_null(r);

	/* A signed template is no roster to run on. */
	struct roster *template = belgium();
	buf_clear(&text);
	assert_int_equal(roster_format(template, &text), ERR_OK);
	assert_int_equal(minisign_sign(&sec, buf_view(&text), "roster", minisig, sizeof minisig), ERR_OK);
	assert_int_equal(roster_open("t.conf", buf_view(&text), view_str(minisig), &pub, &r, &m), ERR_FORMAT);
	assert_non_null(strstr(m.text, "missing for site spoc-brussel"));
	roster_free(template);
	roster_free(full);
	buf_release(&text);
}

/* A text cut short at any byte is refused or, where only the optional end is gone, another valid roster; never a crash. */
static void test_truncation(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof small - 1; n++) {
		struct roster *r;
		struct errmsg m = {0};
		uint8_t *exact = malloc(n + 1);
		assert_non_null(exact);
		memcpy(exact, small, n);
		enum err e = roster_parse("t.conf", view_of(exact, n), NULL, true, &r, &m);
		assert_true((e == ERR_OK) == (r != NULL));
		if (e == ERR_OK)
			assert_int_equal(r->n_sites, 2);
		else
			assert_int_equal(strncmp(m.text, "t.conf:", 7), 0);
		roster_free(r);
		free(exact);
	}
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
		cmocka_unit_test(test_mistakes_of_syntax),
		cmocka_unit_test(test_mistakes_of_settings),
		cmocka_unit_test(test_mistakes_of_names),
		cmocka_unit_test(test_mistakes_of_keys),
		cmocka_unit_test(test_mistakes_of_bearers),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_removed_differs),
		cmocka_unit_test(test_mistakes_of_removed),
		cmocka_unit_test(test_half_a_template),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_truncation),
	};
	if (crypt_start() != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
