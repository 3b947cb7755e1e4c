/* Key files: read back what was written, and nothing that does not belong together. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/keyfile.h"
#include "proto/roster.h"

static const uint8_t seed_one[32] = {1}, seed_two[32] = {2};

static struct site_keys make(const uint8_t seed[32], const char *site)
{
	struct site_keys k;
	site_keys_make(seed, site, "be-police", &k);
	return k;
}

static void text_of(const struct site_keys *k, char out[4096])
{
	assert_int_equal(site_keys_format(k, out, 4096), ERR_OK);
}

static void assert_refused(const char *text, enum err e, const char *says)
{
	struct site_keys k, empty = {0};
	struct errmsg m = {0};
	enum err got = site_keys_parse("k.keys", view_str(text), &k, &m);
	if (got != e || strncmp(m.text, says, strlen(says)) != 0)
		fail_msg("%s \"%s\" is not %s \"%s\"", err_code(got), m.text, err_code(e), says);
	assert_memory_equal(&k, &empty, sizeof k); /* nothing of a refused file stays in memory */
}

static void test_make(void **state)
{
	(void)state;
	struct site_keys a = make(seed_one, "cic-luik"), again = make(seed_one, "cic-luik"), b = make(seed_two, "cic-luik");
	assert_memory_equal(&a, &again, sizeof a);
	assert_memory_not_equal(&a.identity, &b.identity, sizeof a.identity);
	assert_memory_not_equal(&a.link, &b.link, sizeof a.link);
	assert_memory_not_equal(&a.sealing[0].sec, &b.sealing[0].sec, sizeof a.sealing[0].sec);
	assert_memory_not_equal(a.identity.b, a.sealing[0].sec.b, 32); /* each key from a seed of its own */
	struct site_keys zero = {0};
	site_keys_wipe(&a);
	assert_memory_equal(&a, &zero, sizeof a);
}

static void test_round_trip(void **state)
{
	(void)state;
	char text[4096];
	struct site_keys k = make(seed_one, "cic-luik"), other = make(seed_two, "x"), out;
	struct errmsg m = {0};
	k.sealing[k.n_sealing++] = other.sealing[0];
	text_of(&k, text);
	assert_int_equal(strncmp(text, "estafette-keys 1\nsite cic-luik\nnetwork be-police\nidentity ", 58), 0);
	if (site_keys_parse("k.keys", view_str(text), &out, &m) != ERR_OK)
		fail_msg("%s", m.text);
	assert_memory_equal(&k, &out, sizeof k);
}

/* Fixed bytes: a second implementation, and the next version of this one, must read and write these. */
static void test_golden(void **state)
{
	(void)state;
	static const char golden[] =
		"estafette-keys 1\n"
		"site cic-luik\n"
		"network be-police\n"
		"identity Ketj0KF6W5mbUtoivkAj6wdiClT2+mrYc3tx6wRk2sBUjiH6BpqccRAw4BApq4HU/je81QGC+8V1thniivThQw==\n"
		"link fE0!2y@moDjw.?/KWa4Fyln:Wy^fwv%aA[8FRSTb .yED:r/)-^*df}wm+^xwRF(k<0{TDXxIuB3(sfe*\n"
		"sealing /g5jIFJVLNE0jofnMJ4m5Roh/gurc2ZBdUiev/tszXw= eUvJFTg8UAI4vZ3jrwwpeIj8rLX06psYAsUMUgXHfT8=\n";
	struct site_keys k = make(seed_one, "cic-luik"), out;
	char text[4096];
	struct signature sig;
	text_of(&k, text);
	assert_string_equal(text, golden);
	assert_int_equal(site_keys_parse("k.keys", view_str(golden), &out, NULL), ERR_OK);
	assert_memory_equal(&out, &k, sizeof k);
	sealing_key_sign(&k.identity, 14, &k.sealing[0].pub, &sig);
	base64_format(sig.b, sizeof sig.b, text, sizeof text);
	assert_string_equal(text, "ZLFMnw2Vvw22VOKeRBhWdXMnPrYc9/H/qvaXciwEmDdTJwQblSGvSXrgyurCTbWNLHcPcr96UMtM3V5mKPxAAg==");
}

static void test_format_too_small(void **state)
{
	(void)state;
	struct site_keys k = make(seed_one, "cic-luik");
	char text[4096], out[4096];
	text_of(&k, text);
	size_t n = strlen(text) + 1;
	assert_int_equal(site_keys_format(&k, out, n), ERR_OK);
	for (size_t size = 0; size < n; size++) {
		memset(out, 'x', sizeof out);
		assert_int_equal(site_keys_format(&k, out, size), ERR_TOO_LARGE);
		assert_int_equal(out[size], 'x');
		for (size_t i = 0; i < size; i++)
			assert_int_equal(out[i], 0);
	}
}

static void test_truncation(void **state)
{
	(void)state;
	struct site_keys k = make(seed_one, "cic-luik"), out;
	char text[4096];
	text_of(&k, text);
	for (size_t n = 0; n < strlen(text); n++) {
		char *exact = malloc(n + 1);
		assert_non_null(exact);
		memcpy(exact, text, n);
		assert_int_not_equal(site_keys_parse("k.keys", view_of(exact, n), &out, NULL), ERR_OK);
		free(exact);
	}
	strcat(text, "x");
	assert_refused(text, ERR_TRUNCATED, "k.keys:7: the key file ends too early");
	strcat(text, "\n");
	assert_refused(text, ERR_FORMAT, "k.keys:7: sealing: expected here");
}

/* The text of keys a with line `line` taken from keys b. */
static void mix(const struct site_keys *a, const struct site_keys *b, int line, char out[4096])
{
	char one[4096], two[4096], *p = one, *q = two;
	text_of(a, one);
	text_of(b, two);
	out[0] = '\0';
	for (int i = 1; *p; i++) {
		size_t n = (size_t)(strchr(p, '\n') - p) + 1, n2 = (size_t)(strchr(q, '\n') - q) + 1;
		strncat(out, i == line ? q : p, i == line ? n2 : n);
		p += n;
		q += n2;
	}
}

static void test_halves_that_do_not_fit(void **state)
{
	(void)state;
	char text[4096];
	struct site_keys a = make(seed_one, "cic-luik"), b = make(seed_two, "cic-luik"), bad = a;
	memcpy(bad.identity.b + 32, b.identity.b + 32, 32);
	text_of(&bad, text);
	assert_refused(text, ERR_FORMAT, "k.keys:4: identity: its public half does not belong");
	bad = a;
	bad.link_public = b.link_public;
	text_of(&bad, text);
	assert_refused(text, ERR_FORMAT, "k.keys:5: link: its public half does not belong");
	bad = a;
	bad.sealing[0].pub = b.sealing[0].pub;
	text_of(&bad, text);
	assert_refused(text, ERR_FORMAT, "k.keys:6: sealing: its public half does not belong");
	/* Whole lines of another site's file do belong together; the check against the roster finds those. */
	mix(&a, &b, 5, text);
	struct site_keys out;
	assert_int_equal(site_keys_parse("k.keys", view_str(text), &out, NULL), ERR_OK);
}

static void test_mistakes(void **state)
{
	(void)state;
	assert_refused("", ERR_TRUNCATED, "k.keys:1: the key file ends too early");
	assert_refused("estafette-keys 2\n", ERR_VERSION, "k.keys:1: not a key file of version 1");
	assert_refused("estafette-keys 1\nnetwork n\n", ERR_FORMAT, "k.keys:2: site: expected here");
	assert_refused("estafette-keys 1\nsite CIC\n", ERR_FORMAT, "k.keys:2: site: not a name");
	assert_refused("estafette-keys 1\nsite cic cic\n", ERR_FORMAT, "k.keys:2: site: expected here");
	assert_refused("estafette-keys 1\nsite cic\nnetwork n\nidentity AAAA\n", ERR_FORMAT, "k.keys:4: identity: not the base64 of 64");
	struct site_keys k = make(seed_one, "cic-luik");
	char text[4096];
	text_of(&k, text);
	memcpy(strstr(text, "link ") + 5, "\"\"\"\"\"", 5);
	assert_refused(text, ERR_FORMAT, "k.keys:5: link: the secret is not 40 characters");
	text_of(&k, text);
	memcpy(strstr(text, "sealing ") + 8, "!!!!!", 5);
	assert_refused(text, ERR_FORMAT, "k.keys:6: sealing: not the base64");
	/* No message repeats a secret. */
	struct errmsg m = {0};
	struct site_keys out;
	text_of(&k, text);
	char secret[16] = "";
	memcpy(secret, strstr(text, "identity ") + 9, 12);
	*strchr(strstr(text, "identity "), '\n') = ' ';
	assert_int_equal(site_keys_parse("k.keys", view_str(text), &out, &m), ERR_FORMAT);
	assert_null(strstr(m.text, secret));
	while (k.n_sealing < KEYFILE_SEALING_MAX)
		k.sealing[k.n_sealing++] = k.sealing[0];
	text_of(&k, text);
	assert_int_equal(site_keys_parse("k.keys", view_str(text), &out, &m), ERR_OK);
	char more[5000];
	snprintf(more, sizeof more, "%s%s", text, strstr(text, "sealing "));
	assert_refused(more, ERR_TOO_LARGE, "k.keys:22: sealing: more than 16 keys");
}

static void test_check(void **state)
{
	(void)state;
	struct site_keys k = make(seed_one, "cic-luik"), other = make(seed_two, "cic-luik");
	struct site s = {.number = 14, .id = "cic-luik", .identity = k.identity_public, .sealing = k.sealing[0].pub, .link = k.link_public};
	struct roster r = {.network = "be-police", .serial = 3, .n_sites = 1, .sites = &s, .has_keys = true};
	struct errmsg m = {0};
	assert_int_equal(site_keys_check(&k, &r, &m), ERR_OK);
	/* A newer sealing key in front: the one in the roster is still held. */
	struct site_keys rotated = k;
	rotated.sealing[1] = k.sealing[0];
	rotated.sealing[0] = other.sealing[0];
	assert_int_equal(site_keys_check(&rotated, &r, &m), ERR_CONFLICT);
	rotated.n_sealing = 2;
	assert_int_equal(site_keys_check(&rotated, &r, &m), ERR_OK);

	assert_int_equal(site_keys_check(&other, &r, &m), ERR_CONFLICT);
	assert_non_null(strstr(m.text, "its identity key is not the one in roster 3"));
	struct site_keys bad = k;
	bad.link_public = other.link_public;
	assert_int_equal(site_keys_check(&bad, &r, &m), ERR_CONFLICT);
	assert_non_null(strstr(m.text, "its link key"));
	bad = k;
	bad.sealing[0] = other.sealing[0];
	assert_int_equal(site_keys_check(&bad, &r, &m), ERR_CONFLICT);
	assert_non_null(strstr(m.text, "its sealing key"));
	bad = k;
	strcpy(bad.site, "cic-namen");
	assert_int_equal(site_keys_check(&bad, &r, &m), ERR_UNKNOWN_SITE);
	bad = k;
	strcpy(bad.network, "nl-police");
	assert_int_equal(site_keys_check(&bad, &r, &m), ERR_CONFLICT);
	assert_non_null(strstr(m.text, "it is for network nl-police"));
	r.has_keys = false;
	assert_int_equal(site_keys_check(&k, &r, &m), ERR_CONFLICT);
	assert_non_null(strstr(m.text, "a template without keys"));
}

static void test_sealing_signature(void **state)
{
	(void)state;
	struct site_keys k = make(seed_one, "cic-luik"), other = make(seed_two, "cic-luik");
	struct signature sig;
	sealing_key_sign(&k.identity, 0x0102, &k.sealing[0].pub, &sig);
	assert_true(sealing_key_verify(&k.identity_public, 0x0102, &k.sealing[0].pub, &sig));
	assert_false(sealing_key_verify(&k.identity_public, 0x0201, &k.sealing[0].pub, &sig));
	assert_false(sealing_key_verify(&k.identity_public, 0x0102, &other.sealing[0].pub, &sig));
	assert_false(sealing_key_verify(&other.identity_public, 0x0102, &k.sealing[0].pub, &sig));
	/* What is signed, byte by byte, as the README says. */
	uint8_t message[57] = "estafette sealing key 1\x01\x02";
	memcpy(message + 25, k.sealing[0].pub.b, 32);
	assert_true(crypt_suite_real.verify(&k.identity_public, view_of(message, sizeof message), &sig));
}

/* The newest key first; the old ones still open what was sealed to them; the roster may name any of them. */
static void test_rotate(void **state)
{
	(void)state;
	struct site_keys k = make(seed_one, "cic-luik"), before = k, back;
	uint8_t seed[32] = {0x77};
	char text[4096];
	assert_int_equal(site_keys_rotate(seed, &k), ERR_OK);
	assert_int_equal(k.n_sealing, 2);
	assert_memory_equal(&k.sealing[1], &before.sealing[0], sizeof k.sealing[1]);
	assert_memory_not_equal(&k.sealing[0], &before.sealing[0], sizeof k.sealing[0]);
	assert_memory_equal(&k.identity_public, &before.identity_public, sizeof k.identity_public);
	assert_int_equal(site_keys_format(&k, text, sizeof text), ERR_OK);
	struct errmsg m = {0};
	assert_int_equal(site_keys_parse("k", view_str(text), &back, &m), ERR_OK);
	assert_memory_equal(&back, &k, sizeof k);
	while (k.n_sealing < KEYFILE_SEALING_MAX)
		assert_int_equal(site_keys_rotate(seed, &k), ERR_OK);
	before = k;
	assert_int_equal(site_keys_rotate(seed, &k), ERR_TOO_LARGE);
	assert_memory_equal(&before, &k, sizeof k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_format_too_small),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_halves_that_do_not_fit),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_sealing_signature),
		cmocka_unit_test(test_rotate),
	};
	if (crypt_start() != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
