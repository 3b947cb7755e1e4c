/* Every mistake in a roster is refused at its line; keys, signatures, and sites that were removed. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/rosters.h"

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
	roster_free(rosters_parse(buf_view(&b), NULL, true));
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
	struct roster *r = rosters_enrolled();
	uint16_t keep[] = {13, 14};
	assert_int_equal(roster_cut(r, keep, 2), ERR_OK);
	struct buf b = rosters_text(r);
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
	struct roster *r = rosters_enrolled();
	struct site *luik = rosters_site(r, "cic-luik"), *namen = rosters_site(r, "cic-namen");
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
	struct buf a = rosters_text(r);
	struct roster *back = rosters_parse(buf_view(&a), NULL, false);
	struct buf b = rosters_text(back);
	const struct site *luik = rosters_site(back, "cic-luik"), *namen = rosters_site(back, "cic-namen");
	uint16_t out[LIMIT_CUSTODIANS];
	assert_true(view_equal(buf_view(&a), buf_view(&b)));
	assert_true(luik->removed);
	assert_memory_equal(&luik->identity, &rosters_site(r, "cic-luik")->identity, sizeof luik->identity);
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
	rosters_site(back, "cic-luik")->standbys[0] = namen->number;
	rosters_site(back, "cic-luik")->n_standbys = 1;
	assert_int_equal(roster_custodians(back, luik->number, out), 1);
	assert_int_equal(out[0], namen->number);
	/* Its link key admits nobody, should it still stand there. */
	rosters_site(back, "cic-luik")->link = rosters_keys(luik).link_public;
	assert_null(roster_site_by_link(back, luik->link.z85));
	struct site_keys k = rosters_keys(luik);
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
	struct roster *a = rosters_enrolled(), *b = rosters_enrolled();
	struct site *luik = rosters_site(b, "cic-luik"), *namen = rosters_site(b, "cic-namen");
	luik->removed = true;
	namen->n_former = 1;
	namen->former[0] = namen->identity;
	namen->identity = former_of(namen, 0);
	rosters_diff(a, b, "~ cic-namen: identity key changed\n~ cic-namen: + former identity key, its own until now\n~ site cic-luik: removed\n");
	rosters_diff(b, a, "~ cic-namen: identity key changed\n~ cic-namen: - former identity key\n~ site cic-luik: back in the network\n");
	roster_free(a);
	roster_free(b);
}

/* What is wrong with a roster that change made of changed(). */
static void assert_change_refused(void (*change)(struct roster *r), enum err e, const char *says)
{
	struct roster *r = changed(), *back;
	struct errmsg m = {0};
	change(r);
	struct buf text = rosters_text(r);
	enum err got = roster_parse("t.conf", buf_view(&text), NULL, false, &back, &m);
	if (got != e || strstr(m.text, says) == NULL)
		fail_msg("%s \"%s\" is not %s \"%s\"", err_code(got), m.text, err_code(e), says);
	buf_release(&text);
	roster_free(r);
}

static void as_standby(struct roster *r) { rosters_site(r, "cic-namen")->standbys[0] = rosters_number(r, "cic-luik"); }
static void as_member(struct roster *r) { r->groups[0].members[0] = rosters_number(r, "cic-luik"); }
static void as_relocator(struct roster *r) { r->relocators[0] = rosters_number(r, "cic-luik"); }
static void as_server(struct roster *r) { r->areas[0].site = rosters_number(r, "cic-luik"); }
static void as_quorum(struct roster *r) { r->quorum = 15; }
static void everybody(struct roster *r)
{
	for (size_t i = 0; i < r->n_sites; i++)
		r->sites[i].removed = true;
}
static void same_former(struct roster *r) { rosters_site(r, "cic-namen")->former[1] = rosters_site(r, "cic-namen")->former[0]; }
static void own_former(struct roster *r) { rosters_site(r, "cic-namen")->former[1] = rosters_site(r, "cic-namen")->identity; }
static void others_identity(struct roster *r) { rosters_site(r, "cic-namen")->former[1] = rosters_site(r, "cic-luik")->identity; }
static void half_sealing(struct roster *r) { rosters_site(r, "cic-luik")->sealing = rosters_site(r, "cic-namen")->sealing; }

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
	struct roster *r = rosters_enrolled();
	struct buf with = two_sites(), text = BUF_EMPTY;
	r->has_keys = false;
	uint16_t keep[] = {13, 14};
	assert_int_equal(roster_cut(r, keep, 2), ERR_OK);
	struct buf without = rosters_text(r);
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
	struct roster *full = rosters_enrolled(), *r;
	struct buf text = rosters_text(full);
	char minisig[600];
	struct errmsg m = {0};
	assert_int_equal(minisign_sign(&sec, buf_view(&text), "roster", minisig, sizeof minisig), ERR_OK);
	assert_int_equal(roster_open("t.conf", buf_view(&text), view_str(minisig), &pub, &r, &m), ERR_OK);
	rosters_same(full, r);
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
	struct roster *template = rosters_belgium();
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
