/* Damage below the records: bits of LMDB's own pages, which LMDB itself believes. Who asks for the pages to be looked at gets an error or the
 * journal as it was: never a crash, a walk without end, other records, or a verification that says all is well. */
#include "tests/lib/store_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/crypt.h"
#include "storage/record.h"
#include "storage/verify.h"

#define ENTRIES 200

static uint64_t wrong_before; /* the rows of this journal are not all true */

static void fill(struct fixture *f)
{
	struct stream_row s = {.name = name_of(1)};
	for (uint64_t n = 1; n <= ENTRIES; n++) {
		struct txn *t = n % 50 == 1 ? begin_write(f) : NULL;
		static struct txn *open;
		open = t ? t : open;
		if (n == 1)
			store_stream_add(open, &s);
		struct entry_row e = entry_of(s.local, n, 200, n % 7 ? 900 : 9000);
		store_entry_append(open, &e);
		if (n % 50 == 0)
			commit(open);
	}
	struct txn *t = begin_write(f); /* pages become free */
	for (uint64_t n = 50; n < 100; n++)
		store_entry_stub(t, n);
	commit(t);
}

/* All records, in their order. */
static struct hash all_of(struct fixture *f)
{
	struct txn *t = begin_read(f);
	struct hasher *h = hasher_new(HASH_BACKUP);
	struct hash out;
	for (int db = 0; db < DB_COUNT; db++) {
		uint8_t from[600] = {0};
		size_t len = 0;
		struct view key, value;
		while (kv_seek(t->k, (enum kv_db)db, view_of(from, len), &key, &value) == ERR_OK) {
			hasher_add(h, key);
			hasher_add(h, value);
			memcpy(from, key.ptr, key.len);
			from[key.len] = 0;
			len = key.len + 1;
		}
	}
	out = hasher_end(h);
	txn_abort(t);
	return out;
}

static void flip(const char *path, off_t at, uint8_t bit)
{
	uint8_t b;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && pread(fd, &b, 1, at) == 1);
	b ^= bit;
	assert_int_equal(pwrite(fd, &b, 1, at), 1);
	close(fd);
}

/* The whole journal may be read when it opens at all; then either a verification finds it, or nothing is other than it was. */
static bool noticed(struct fixture *f, const struct hash *sound)
{
	struct errmsg m;
	struct verify_result *r = calloc(1, sizeof *r);
	f->s = NULL;
	enum err e = store_open(f->dir, &(struct store_options){.read_only = true, .check_pages = true}, &f->s, &m);
	bool seen = e != ERR_OK;
	assert_non_null(r);
	if (seen) {
		assert_true(strstr(m.text, f->dir) == m.text && !strchr(m.text, '\n'));
	} else {
		assert_int_equal(verify_run(f->s, NULL, r), ERR_OK);
		struct hash now = all_of(f);
		seen = r->wrong != wrong_before;
		if (!seen)
			assert_memory_equal(now.b, sound->b, HASH_BYTES);
	}
	store_close(f->s);
	f->s = NULL;
	free(r);
	return seen;
}

/* Heads of pages, the offsets behind them, nodes, and meta pages; a bit in each of some thousand places. */
static void damaged_page_is_an_error(void **state)
{
	struct fixture *f = *state;
	char path[300];
	struct stat st;
	unsigned seen = 0, tried = 0;
	fill(f);
	struct hash sound = all_of(f);
	struct verify_result r;
	assert_int_equal(verify_run(f->s, NULL, &r), ERR_OK);
	wrong_before = r.wrong;
	store_close(f->s);
	snprintf(path, sizeof path, "%s/data.mdb", f->dir);
	assert_int_equal(stat(path, &st), 0);
	for (off_t page = 0; page < st.st_size; page += 4096)
		for (off_t at = (page / 4096) % 3; at < (page < 8192 ? 160 : 32); at += 4) {
			off_t place = page + (tried % 5 ? at : (off_t)(4095 - 13 * at));
			uint8_t bit = (uint8_t)(1u << tried % 8);
			tried++;
			flip(path, place, bit);
			seen += noticed(f, &sound);
			flip(path, place, bit);
		}
	assert_true(seen > tried / 3);
	assert_false(noticed(f, &sound)); /* as it was */
	assert_int_equal(store_open(f->dir, &f->options, &f->s, NULL), ERR_OK);
}

/* Cut by less than what LMDB may not have written yet, and only read, so not filled up again: some pages lie behind the end. */
static void cut_file_is_an_error(void **state)
{
	struct fixture *f = *state;
	char path[300];
	struct stat st;
	fill(f);
	struct hash sound = all_of(f);
	store_close(f->s);
	snprintf(path, sizeof path, "%s/data.mdb", f->dir);
	assert_int_equal(stat(path, &st), 0);
	for (off_t pages = 1; pages <= 40; pages += 13) {
		assert_int_equal(truncate(path, st.st_size - pages * 4096), 0);
		assert_true(noticed(f, &sound));
	}
	assert_int_equal(truncate(path, st.st_size), 0); /* zeros, which is another journal */
	assert_true(noticed(f, &sound));
	f->s = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"damaged_page_is_an_error (folder)", damaged_page_is_an_error, fixture_folder, fixture_end, NULL},
		{"cut_file_is_an_error (folder)", cut_file_is_an_error, fixture_folder, fixture_end, NULL},
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
