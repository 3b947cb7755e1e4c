/* Rosters, as a template and enrolled: a text that is taken is, formatted and parsed again, the same roster.
 * The input is also tried as an address. */
#include <stdio.h>

#include "proto/keyfile.h"
#include "proto/roster.h"
#include "tests/lib/fuzz_driver.h"

static const char template_text[] =
	"network = \"be-police\"; serial = 3; quorum = 1; relocators = ( \"spoc-brussel\" );\n"
	"deadlines = { flash = \"10min\"; immediate = \"30min\"; priority = \"3h\"; routine = \"6h\"; };\n"
	"sites = (\n"
	" { number = 1; id = \"spoc-brussel\"; lang = \"fr\"; standbys = ( \"cic-luik\" );\n"
	"   queues = ( { name = \"dispatch\"; }, { name = \"translation\"; deadlines = { flash = \"1h\"; }; } ); },\n"
	" { number = 14; id = \"cic-luik\"; lang = \"fr\"; standbys = ( \"spoc-brussel\" ); queues = ( { name = \"dispatch\"; } ); }\n"
	");\n"
	"areas = ( { number = 2; id = \"eupen\"; site = \"cic-luik\"; } );\n"
	"groups = ( { number = 1; id = \"all\"; members = ( \"spoc-brussel\", \"cic-luik\" ); } );\n";

/* libconfig 1.5 forgets what its scanner had read when a syntax error comes. What we allocate has no such frame. */
const char *__lsan_default_suppressions(void) __attribute__((visibility("default")));
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\nleak:libconfig_yylex\n";
}

const char *__lsan_default_options(void) __attribute__((visibility("default")));
const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}

static struct roster *parse(struct view text, bool allow_template)
{
	struct roster *r = NULL;
	struct errmsg m = {0};

	if (roster_parse("fuzz", text, NULL, allow_template, &r, &m) == ERR_OK)
		return r;
	fuzz_assert(m.code != ERR_OK && m.text[0] != 0 && strlen(m.text) < sizeof m.text);
	return NULL;
}

/* ---- seeds ---------------------------------------------------------------------------------------------------- */

static void enrol(struct roster *r)
{
	for (size_t i = 0; i < r->n_sites; i++) {
		struct site *s = &r->sites[i];
		uint8_t seed[32] = {(uint8_t)s->number};
		struct site_keys k;

		site_keys_make(seed, s->id, r->network, &k);
		s->identity = k.identity_public;
		s->link = k.link_public;
		s->sealing = k.sealing[0].pub;
		sealing_key_sign(&k.identity, s->number, &s->sealing, &s->sealing_signature);
		seed[1] = 1;
		site_keys_make(seed, s->id, r->network, &k);
		s->former[s->n_former++] = k.identity_public;
		s->n_bearers = 1;
		s->bearers[0] = (struct bearer){.name = "fibre", .cost = 10, .rate_bps = 64000, .bulk = true};
		snprintf(s->bearers[0].endpoint, sizeof s->bearers[0].endpoint, "tcp://127.0.0.1:%u", 7000u + s->number);
	}
	r->has_keys = true;
}

bool fuzz_seed(unsigned n, struct buf *out)
{
	struct roster *r;

	if (n == 0)
		buf_add(out, view_str(template_text));
	if (n != 1)
		return n == 0;
	r = parse(view_str(template_text), true);
	fuzz_assert(r != NULL);
	enrol(r);
	fuzz_assert(roster_format(r, out) == ERR_OK);
	roster_free(r);
	return true;
}

/* ---- target ---------------------------------------------------------------------------------------------------- */

static void check_same_again(const struct roster *r)
{
	struct buf text = BUF_EMPTY, second = BUF_EMPTY, difference = BUF_EMPTY;
	struct roster *again;

	fuzz_assert(roster_format(r, &text) == ERR_OK);
	again = parse(buf_view(&text), !r->has_keys);
	fuzz_assert(again != NULL && again->has_keys == r->has_keys);
	roster_diff(r, again, &difference);
	fuzz_assert(difference.len == 0);
	fuzz_assert(roster_format(again, &second) == ERR_OK && view_equal(buf_view(&text), buf_view(&second)));
	roster_free(again);
	buf_release(&text);
	buf_release(&second);
	buf_release(&difference);
}

static void try_address(struct view text)
{
	static struct roster *r;
	static struct address a;
	struct errmsg m = {0};

	if (!r)
		r = parse(view_str(template_text), true);
	fuzz_assert(r != NULL);
	if (roster_resolve(r, text, &a, &m) != ERR_OK)
		fuzz_assert(m.code != ERR_OK && m.text[0] != 0);
	else
		fuzz_assert(a.n_sites > 0 && a.n_sites <= r->n_sites);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct view v = view_of(data, len);
	struct roster *r = parse(v, true), *enrolled = parse(v, false);
	bool taken = r != NULL;

	fuzz_assert(!enrolled || (r && r->has_keys));
	try_address(v);
	if (r)
		check_same_again(r);
	roster_free(r);
	roster_free(enrolled);
	return taken ? 0 : -1;
}
