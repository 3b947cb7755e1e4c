/* age files: the real tool opens what is written, at every size around a chunk; recipients are read strictly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <unistd.h>

#include "proto/age.h"

/* From the tool, for this test only. */
static const char identity[] = "AGE-SECRET-KEY-1QQPQYZQVQSPG9CRSFPFWVFKQ8S6";
static const char recipient[] = "age1dvstwjlw539jr9e6z0chexurwfxf8qk6le377w2l8nmj7gun4cvqfnkf69";

struct place { char home[64], key[96], recipient[128]; };

/* A fresh pair of the real tool. */
static int begin(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	char command[512], line[256];
	FILE *f;
	assert_int_equal(crypt_start(), ERR_OK);
	strcpy(p->home, "/tmp/estafette-age-XXXXXX");
	assert_non_null(mkdtemp(p->home));
	snprintf(p->key, sizeof p->key, "%s/key", p->home);
	snprintf(command, sizeof command, "age-keygen -o %s 2>/dev/null && age-keygen -y %s", p->key, p->key);
	f = popen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof line, f));
	assert_int_equal(pclose(f), 0);
	line[strcspn(line, "\n")] = 0;
	snprintf(p->recipient, sizeof p->recipient, "%.100s", line);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;
	char command[256];
	snprintf(command, sizeof command, "rm -r %s", p->home);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static struct buf file_of(const char *to, struct view plain, size_t step)
{
	struct age_recipient r;
	struct age_writer w;
	struct buf out = BUF_EMPTY;
	uint8_t seed[32];
	crypt_system_seed(seed);
	assert_int_equal(age_recipient_parse(to, &r), ERR_OK);
	assert_int_equal(age_begin(&w, &r, seed, &out), ERR_OK);
	for (size_t at = 0; at < plain.len; at += step)
		age_add(&w, view_of(plain.ptr + at, plain.len - at < step ? plain.len - at : step), &out);
	age_end(&w, &out);
	assert_true(buf_ok(&out));
	return out;
}

/* What the tool makes of it. False: it refuses it. */
static bool opens_to(const struct place *p, struct view file, struct view plain)
{
	char path[96], command[512];
	struct buf got = BUF_EMPTY;
	uint8_t piece[4096];
	size_t n;
	snprintf(path, sizeof path, "%s/file", p->home);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(file.ptr, 1, file.len, f), file.len);
	assert_int_equal(fclose(f), 0);
	snprintf(command, sizeof command, "age -d -i %s %s 2>/dev/null", p->key, path);
	f = popen(command, "r");
	assert_non_null(f);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0)
		buf_add(&got, view_of(piece, n));
	bool ok = pclose(f) == 0 && got.len == plain.len && (!plain.len || memcmp(got.ptr, plain.ptr, plain.len) == 0);
	buf_release(&got);
	return ok;
}

static void the_tool_opens_it(void **state)
{
	static const size_t sizes[] = {0, 1, 900, AGE_CHUNK_BYTES - 1, AGE_CHUNK_BYTES, AGE_CHUNK_BYTES + 1, 3 * AGE_CHUNK_BYTES, 3 * AGE_CHUNK_BYTES + 77};
	static uint8_t plain[3 * AGE_CHUNK_BYTES + 77];
	for (size_t i = 0; i < sizeof plain; i++)
		plain[i] = (uint8_t)(i * 131 + i / 251);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct buf f = file_of(((struct place *)*state)->recipient, view_of(plain, sizes[i]), 5000);
		assert_true(opens_to(*state, buf_view(&f), view_of(plain, sizes[i])));
		buf_release(&f);
	}
}

static void not_for_another_key_nor_altered(void **state)
{
	struct view plain = view_str("Graag ploeg ter plaatse sturen");
	struct buf f = file_of(recipient, plain, 100);
	assert_false(opens_to(*state, buf_view(&f), plain));
	buf_release(&f);
	f = file_of(((struct place *)*state)->recipient, plain, 100);
	f.ptr[f.len - 1] ^= 1;
	assert_false(opens_to(*state, buf_view(&f), plain));
	f.ptr[f.len - 1] ^= 1;
	assert_true(opens_to(*state, buf_view(&f), plain));
	buf_release(&f);
}

static void recipients(void **state)
{
	struct age_recipient r;
	char text[80];
	(void)state;
	assert_int_equal(age_recipient_parse(recipient, &r), ERR_OK);
	assert_int_equal(age_recipient_parse("", &r), ERR_FORMAT);
	assert_int_equal(age_recipient_parse(identity, &r), ERR_FORMAT);
	assert_int_equal(age_recipient_parse("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", &r), ERR_FORMAT);
	for (size_t i = 0; i < strlen(recipient); i++) {
		strcpy(text, recipient);
		text[i] = text[i] == 'q' ? 'p' : 'q';
		assert_int_equal(age_recipient_parse(text, &r), ERR_FORMAT);
	}
}

/* A recipient of zeros is no point: the file would open for everybody. */
static void no_usable_point(void **state)
{
	struct age_recipient r = {{0}};
	struct age_writer w;
	struct buf out = BUF_EMPTY;
	static const uint8_t seed[32] = {1};
	(void)state;
	assert_int_equal(age_begin(&w, &r, seed, &out), ERR_KEY);
	age_release(&w);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tool_opens_it),
		cmocka_unit_test(not_for_another_key_nor_altered),
		cmocka_unit_test(recipients),
		cmocka_unit_test(no_usable_point),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
