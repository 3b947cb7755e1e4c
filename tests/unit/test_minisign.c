#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/crypt.h"
#include "tests/lib/codec.h"

/* What the real tool (version 0.11) wrote: a public key, and its signature of "hello\n". */
static const char tool_public[] = "untrusted comment: minisign public key 3E8A86F49762D8B7\n"
				  "RWS32GKX9IaKPrGk7xwnS/EFMx7kE0zNg4+IzJXTnY7O+8xqwhA1nG/6\n";
static const char tool_signature[] =
	"untrusted comment: signature from minisign secret key\n"
	"RUS32GKX9IaKPjm3lu/8DLF7cYSvxR95jSZX9EQiAsuIVFbQGWPKFlME2c+qyfTvreswav7tsO5/iHrkM4v+ukfftRVlVtiXFQI=\n"
	"trusted comment: timestamp:1795304386\tfile:f\thashed\n"
	"Orqxp3i2Xzg0xQwr9P6MEzNdAuud6eyQ0RX7kT59SF6G8EjIqbpigYdQbZfcgAlJrisL7/mlp/Izgvo5f20gAw==\n";

static char directory[] = "/tmp/test-minisign-XXXXXX";

static int start(void **state)
{
	(void)state;
	return crypt_start() || !mkdtemp(directory) ? -1 : 0;
}

static int stop(void **state)
{
	static const char *const files[] = {"pub", "sec", "text", "text.minisig"};
	char path[100];

	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", directory, files[i]);
		unlink(path);
	}
	return rmdir(directory);
}

static void our_keys(struct minisign_public *pub, struct minisign_secret *sec)
{
	uint8_t seed[32] = {1, 2, 3};

	sign_keypair(seed, &pub->key, &sec->key);
	memcpy(pub->key_id, "12345678", 8);
	memcpy(sec->key_id, "12345678", 8);
}

static enum err verify_hello(void *arg, struct view v)
{
	return minisign_verify(arg, view_str("hello\n"), v, NULL, 0);
}

static enum err parse_public(void *arg, struct view v)
{
	(void)arg;
	return minisign_public_parse(v, &(struct minisign_public){{0}});
}

static enum err parse_secret(void *arg, struct view v)
{
	(void)arg;
	return minisign_secret_parse(v, &(struct minisign_secret){{0}});
}

/* The last newline may be missing; nothing else may. */
static void cuts_refused(const char *text, codec_fn decode, void *arg)
{
	size_t n = strlen(text) - 1;

	assert_cuts_refused(view_of(text, n), decode, arg);
	for (size_t i = 0; i < 3; i++) {
		char longer[1200];

		snprintf(longer, sizeof longer, "%s%s", text, ((const char *const[]){"\n", "x", "untrusted comment: \n"})[i]);
		assert_int_equal(decode(arg, view_str(longer)), ERR_FORMAT);
	}
}

static void verifies_what_the_tool_made(void **state)
{
	struct minisign_public pub;
	char comment[60], again[200];

	(void)state;
	assert_int_equal(minisign_public_parse(view_str(tool_public), &pub), ERR_OK);
	minisign_public_format(&pub, again, sizeof again);
	assert_string_equal(again, tool_public);
	assert_int_equal(minisign_verify(&pub, view_str("hello\n"), view_str(tool_signature), comment, sizeof comment), ERR_OK);
	assert_string_equal(comment, "timestamp:1795304386 file:f hashed");
	assert_int_equal(minisign_verify(&pub, view_str("hello"), view_str(tool_signature), comment, sizeof comment), ERR_AUTH);
	cuts_refused(tool_signature, verify_hello, &pub);
	cuts_refused(tool_public, parse_public, NULL);
	pub.key_id[0] ^= 1;
	assert_int_equal(verify_hello(&pub, view_str(tool_signature)), ERR_KEY);
	pub.key_id[0] ^= 1;
	pub.key.b[0] ^= 1;
	assert_int_equal(verify_hello(&pub, view_str(tool_signature)), ERR_AUTH);
}

/* No character of a signature can change, but those of the untrusted comment. */
static void altered_signatures_are_refused(void **state)
{
	struct minisign_public pub;
	char text[sizeof tool_signature];

	(void)state;
	assert_int_equal(minisign_public_parse(view_str(tool_public), &pub), ERR_OK);
	memcpy(text, tool_signature, sizeof text);
	for (size_t i = (size_t)(strchr(text, '\n') - text); text[i + 1]; i++) {
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		assert_int_not_equal(verify_hello(&pub, view_str(text)), ERR_OK);
		text[i] = was;
	}
	assert_int_equal(verify_hello(&pub, view_str(text)), ERR_OK);
}

static void lines_may_end_in_cr_lf(void **state)
{
	struct minisign_public pub;
	char text[2 * sizeof tool_signature], *to = text;

	(void)state;
	for (const char *p = tool_signature; *p; *to++ = *p++)
		if (*p == '\n')
			*to++ = '\r';
	assert_int_equal(minisign_public_parse(view_str(tool_public), &pub), ERR_OK);
	assert_int_equal(verify_hello(&pub, view_of(text, (size_t)(to - text))), ERR_OK);
}

/* "Ed" signs the file itself; roster signatures are always "ED". */
static void older_signatures_are_refused(void **state)
{
	struct minisign_public pub;
	char text[sizeof tool_signature], *p;

	(void)state;
	assert_int_equal(minisign_public_parse(view_str(tool_public), &pub), ERR_OK);
	memcpy(text, tool_signature, sizeof text);
	p = strstr(text, "\nRUS");
	assert_non_null(p);
	p[2] = 'W';
	assert_int_equal(verify_hello(&pub, view_str(text)), ERR_FORMAT);
}

static void what_we_sign_we_verify(void **state)
{
	struct minisign_public pub;
	struct minisign_secret sec;
	char sig[600], comment[8];

	(void)state;
	our_keys(&pub, &sec);
	assert_int_equal(minisign_sign(&sec, view_str("hello\n"), "roster 7 of be-police", sig, sizeof sig), ERR_OK);
	assert_int_equal(minisign_verify(&pub, view_str("hello\n"), view_str(sig), comment, sizeof comment), ERR_OK);
	assert_string_equal(comment, "roster ");
	cuts_refused(sig, verify_hello, &pub);
	assert_int_equal(minisign_sign(&sec, view_str("hello\n"), "two\nlines", sig, sizeof sig), ERR_FORMAT);
	assert_int_equal(minisign_sign(&sec, view_str("hello\n"), "", sig, 200), ERR_TOO_LARGE);
	assert_int_equal(minisign_sign(&sec, view_of(NULL, 0), NULL, sig, sizeof sig), ERR_OK);
	assert_int_equal(minisign_verify(&pub, view_of(NULL, 0), view_str(sig), NULL, 0), ERR_OK);
}

static void secret_keys(void **state)
{
	struct minisign_public pub;
	struct minisign_secret sec, got;
	char text[400], *p;

	(void)state;
	our_keys(&pub, &sec);
	minisign_secret_format(&sec, text, sizeof text);
	assert_int_equal(minisign_secret_parse(view_str(text), &got), ERR_OK);
	assert_memory_equal(&sec, &got, sizeof sec);
	cuts_refused(text, parse_secret, NULL);
	sec.key.b[63] ^= 1; /* the public half of another key */
	minisign_secret_format(&sec, text, sizeof text);
	assert_int_equal(minisign_secret_parse(view_str(text), &got), ERR_FORMAT);
	p = strstr(text, "\nRWQAAEIy");
	assert_non_null(p);
	memcpy(p, "\nRWRTY0Iy", 9); /* "Sc": protected by a password */
	assert_int_equal(minisign_secret_parse(view_str(text), &got), ERR_UNSUPPORTED);
}

/* ---- against the tool ------------------------------------------------------------------------------------------- */

static void put(const char *name, const char *text)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static struct view get(const char *name, char *out, size_t size)
{
	char path[100];
	size_t n;
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(out, 1, size, f);
	fclose(f);
	return view_of(out, n);
}

/* Exit code of a shell line run inside the directory. */
static int run(const char *line)
{
	char command[300];
	int status;

	snprintf(command, sizeof command, "cd %s && { %s; } >/dev/null 2>&1", directory, line);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void need_tool(void)
{
	if (run("command -v minisign")) {
		print_message("minisign is not installed (make setup): not compared with it\n");
		skip();
	}
}

static void the_tool_verifies_what_we_sign(void **state)
{
	struct minisign_public pub;
	struct minisign_secret sec;
	char text[600];

	(void)state;
	need_tool();
	our_keys(&pub, &sec);
	minisign_public_format(&pub, text, sizeof text);
	put("pub", text);
	put("text", "sites = ( );\n");
	assert_int_equal(minisign_sign(&sec, view_str("sites = ( );\n"), "roster 7", text, sizeof text), ERR_OK);
	put("text.minisig", text);
	assert_int_equal(run("test \"$(minisign -V -Q -p pub -m text)\" = 'roster 7'"), 0);
	put("text", "sites = () ;\n");
	assert_int_not_equal(run("minisign -V -p pub -m text"), 0);
}

static void we_verify_what_the_tool_signs_with_our_key(void **state)
{
	struct minisign_public pub;
	struct minisign_secret sec;
	char text[1000], comment[100];

	(void)state;
	need_tool();
	our_keys(&pub, &sec);
	minisign_secret_format(&sec, text, sizeof text);
	put("sec", text);
	put("text", "sites = ( );\n");
	assert_int_equal(run("minisign -S -W -s sec -m text -t 'roster 8' </dev/null"), 0);
	assert_int_equal(minisign_verify(&pub, view_str("sites = ( );\n"), get("text.minisig", text, sizeof text), comment, sizeof comment),
	                 ERR_OK);
	assert_string_equal(comment, "roster 8");
}

static void we_sign_with_a_key_of_the_tool(void **state)
{
	struct minisign_public pub;
	struct minisign_secret sec;
	char text[1000];

	(void)state;
	need_tool();
	assert_int_equal(run("minisign -G -W -f -p pub -s sec </dev/null"), 0);
	assert_int_equal(minisign_secret_parse(get("sec", text, sizeof text), &sec), ERR_OK);
	assert_int_equal(minisign_public_parse(get("pub", text, sizeof text), &pub), ERR_OK);
	assert_memory_equal(pub.key_id, sec.key_id, sizeof pub.key_id);
	assert_int_equal(minisign_sign(&sec, view_str("hello\n"), "", text, sizeof text), ERR_OK);
	assert_int_equal(verify_hello(&pub, view_str(text)), ERR_OK);
	put("text", "hello\n");
	put("text.minisig", text);
	assert_int_equal(run("minisign -V -p pub -m text"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifies_what_the_tool_made),
		cmocka_unit_test(altered_signatures_are_refused),
		cmocka_unit_test(lines_may_end_in_cr_lf),
		cmocka_unit_test(older_signatures_are_refused),
		cmocka_unit_test(what_we_sign_we_verify),
		cmocka_unit_test(secret_keys),
		cmocka_unit_test(the_tool_verifies_what_we_sign),
		cmocka_unit_test(we_verify_what_the_tool_signs_with_our_key),
		cmocka_unit_test(we_sign_with_a_key_of_the_tool),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
