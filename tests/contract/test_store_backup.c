/* Backups: what comes back is the journal, record by record; every damaged byte is found; a chain of incrementals is the journal too. */
#include "tests/lib/store_fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/frame.h"
#include "proto/seal.h"
#include "storage/backup.h"
#include "storage/record.h"

#define ENTRIES 200
#define CHUNKED_AT 7
#define LARGE_BYTES 200000 /* of state: longer than a chunk of a backup */

/* ---- files in memory ------------------------------------------------------------------------------------------------------- */

struct file {
	struct buf bytes;
	size_t room; /* a disk that is full behind so many bytes; 0: never */
};

static enum err to_file(void *arg, struct view bytes)
{
	struct file *f = arg;
	buf_add(&f->bytes, bytes);
	return f->room && f->bytes.len > f->room ? ERR_FULL : ERR_OK;
}

static enum err from_file(void *arg, uint64_t at, uint8_t *out, size_t n)
{
	struct file *f = arg;
	if (at + n > f->bytes.len)
		return ERR_IO;
	memcpy(out, f->bytes.ptr + at, n);
	return ERR_OK;
}

static enum err open_file(struct file *f, const char *name, struct backup **out)
{
	struct errmsg m;
	struct backup_in in = {from_file, f, f->bytes.len};
	return backup_open(&in, name, out, &m);
}

static struct backup *opened(struct file *f, const char *name)
{
	struct backup *b = NULL;
	assert_int_equal(open_file(f, name, &b), ERR_OK);
	return b;
}

static void written(struct fixture *f, const struct backup *since, struct file *out, struct backup_result *r)
{
	struct backup_out to = {to_file, out};
	struct errmsg m;
	buf_clear(&out->bytes);
	assert_int_equal(backup_write(f->s, (struct wall){5000}, since, &to, NULL, r, &m), ERR_OK);
}

/* ---- a journal ---------------------------------------------------------------------------------------------------------------- */

static void put_chunked(struct txn *t, struct entry_row *row)
{
	static uint8_t leaves[2 * HASH_BYTES];
	struct manifest mf = {.sealed_len = 18000, .chunks = 2, .pages = 1};
	uint8_t bytes[MANIFEST_MAX_BYTES];
	for (uint32_t i = 0; i < 2; i++) {
		struct hash h = chunk_hash(i, bytes_of(50 + i, 9000));
		memcpy(leaves + i * HASH_BYTES, h.b, HASH_BYTES);
	}
	mf.page[0] = page_hash(0, view_of(leaves, sizeof leaves));
	struct body_row b = {.class = 1, .hash = manifest_hash(&mf), .sealed_len = 18000, .chunks = 2, .have = 2, .refs = 1, .whole = true};
	store_body_add(t, &b);
	store_body_put_part(t, 1, b.body_no, PART_MANIFEST, 0, view_of(bytes, manifest_encode(&mf, bytes)));
	store_body_put_part(t, 1, b.body_no, PART_PAGE, 0, view_of(leaves, sizeof leaves));
	for (uint32_t i = 0; i < 2; i++)
		store_body_put_part(t, 1, b.body_no, PART_CHUNK, i, bytes_of(50 + i, 9000));
	row->e.body = view_of(NULL, 0);
	row->e.body_len = b.sealed_len;
	row->e.body_hash = b.hash;
	row->e.flags = ENTRY_BODY_APART;
	row->body_class = b.class;
	row->body_no = b.body_no;
}

static void add_entries(struct txn *t, struct stream_row *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct entry_row row = entry_of(s->local, s->held + 1, 100, s->held % 3 ? 700 : 0);
		entry_hash(&row.e);
		if (s->held + 1 == CHUNKED_AT)
			put_chunked(t, &row);
		struct hash leaf = entry_leaf(&row.e);
		row.chain = chain_next(&s->chain, row.number, &leaf);
		store_entry_append(t, &row);
		s->held = row.number;
		s->chain = row.chain;
	}
	store_stream_put(t, s);
}

static void put_alarm(struct txn *t, unsigned n, const char *what)
{
	struct alarm_row a = {.kind = "test", .active = true};
	snprintf(a.id, sizeof a.id, "test:%u", n);
	snprintf(a.what, sizeof a.what, "%s", what);
	store_alarm_put(t, &a);
}

static struct stream_row filled(struct fixture *f)
{
	struct stream_row s = {.name = name_of(1)};
	struct txn *t = begin_write(f);
	struct hash h = hash_of(3);
	store_stream_add(t, &s);
	s.chain = stream_hash(&store_birth(f->s)->network, &s.name);
	add_entries(t, &s, ENTRIES);
	for (unsigned i = 0; i < 400; i++)
		put_alarm(t, i, "as it was");
	store_state_put(t, 1, &h, bytes_of(9, LARGE_BYTES));
	commit(t);
	return s;
}

/* ---- comparing ---------------------------------------------------------------------------------------------------------------- */

/* All records but the mark that a restore leaves. */
static void dump(struct store *s, struct buf *out)
{
	struct key mark = key_meta(META_CORE, META_RECOVERING);
	struct txn *t;
	assert_int_equal(txn_begin(s, false, &t), ERR_OK);
	for (enum kv_db db = 0; db < DB_COUNT; db++) {
		uint8_t from[KEY_BYTES_MAX + 1] = {0};
		struct view key, value, at = view_of(from, 1);
		while (kv_seek(t->k, db, at, &key, &value) == ERR_OK) {
			if (db != mark.db || !view_equal(key, key_view(&mark))) {
				buf_add_u8(out, (uint8_t)db);
				buf_add_u16(out, (uint16_t)key.len);
				buf_add(out, key);
				buf_add_u32(out, (uint32_t)value.len);
				buf_add(out, value);
			}
			memcpy(from, key.ptr, key.len);
			from[key.len] = 0;
			at = view_of(from, key.len + 1);
		}
	}
	txn_abort(t);
	assert_true(buf_ok(out));
}

static void assert_restores_to(struct backup **chain, size_t n, struct store *want)
{
	char home[200], dir[240];
	struct store *s = NULL;
	struct backup_result r;
	struct store_options o = {0};
	struct errmsg m;
	struct buf a = BUF_EMPTY, b = BUF_EMPTY;
	struct txn *t;
	struct view v;
	fixture_home(home, sizeof home);
	snprintf(dir, sizeof dir, "%s/journal", home);
	assert_int_equal(backup_check(chain, n, NULL, &r, &m), ERR_OK);
	assert_int_equal(backup_restore(chain, n, dir, &o, NULL, &r, &m), ERR_OK);
	assert_int_equal(backup_restore(chain, n, dir, &o, NULL, &r, &m), ERR_EXISTS);
	assert_int_equal(store_open(dir, &o, &s, &m), ERR_OK);
	dump(want, &a);
	dump(s, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.ptr, b.ptr, a.len);
	assert_int_equal(txn_begin(s, false, &t), ERR_OK);
	assert_int_equal(store_meta_get(t, META_RECOVERING, &v), ERR_OK);
	assert_true(v.len == 1 && v.ptr[0] == 1);
	txn_abort(t);
	store_close(s);
	buf_release(&a);
	buf_release(&b);
	fixture_remove(home);
}

/* ---- tests -------------------------------------------------------------------------------------------------------------------- */

static void comes_back_whole(void **state)
{
	struct fixture *f = *state;
	struct file file = {0};
	struct backup_result r;
	filled(f);
	written(f, NULL, &file, &r);
	assert_int_equal(r.wrong, 0);
	assert_int_equal(r.entries, ENTRIES);
	assert_int_equal(r.written_bytes, file.bytes.len);
	struct backup *b = opened(&file, "/some/where/one.bak");
	assert_int_equal(backup_about(b)->entries, ENTRIES);
	assert_int_equal(backup_about(b)->n_earlier, 0);
	assert_restores_to(&b, 1, f->s);
	backup_close(b);
	buf_release(&file.bytes);
}

/* Whatever happened between two backups, in whatever table, is in the second. */
static void a_chain_is_the_journal(void **state)
{
	struct fixture *f = *state;
	struct file file[4] = {0};
	struct backup *chain[4] = {0};
	struct backup_result r[4];
	struct hash h = hash_of(3);
	struct stream_row s = filled(f);
	written(f, NULL, &file[0], &r[0]);
	chain[0] = opened(&file[0], "full");

	struct txn *t = begin_write(f);
	add_entries(t, &s, 5);
	store_entry_set_body(t, 1, 0, 0); /* an old entry is written again */
	commit(t);
	written(f, chain[0], &file[1], &r[1]);
	chain[1] = opened(&file[1], "dir/second");
	assert_string_equal(backup_about(chain[1])->earlier[0].name, "full");
	assert_true(r[1].plain_bytes > r[0].plain_bytes);
	assert_true(backup_about(chain[1])->own_bytes < r[0].plain_bytes / 2); /* what did not change is not in it */
	assert_restores_to(chain, 2, f->s);

	t = begin_write(f);
	for (unsigned i = 50; i < 350; i++) {
		char id[16];
		snprintf(id, sizeof id, "test:%u", i);
		store_alarm_del(t, id);
	}
	store_state_put(t, 1, &h, bytes_of(11, LARGE_BYTES / 2));
	put_alarm(t, 400, "new");
	commit(t);
	written(f, chain[1], &file[2], &r[2]);
	chain[2] = opened(&file[2], "third");
	assert_restores_to(chain, 3, f->s);

	written(f, chain[2], &file[3], &r[3]);
	chain[3] = opened(&file[3], "fourth");
	assert_int_equal(backup_about(chain[3])->own_bytes, 0); /* nothing happened */
	assert_restores_to(chain, 4, f->s);
	for (size_t i = 0; i < 4; i++) {
		backup_close(chain[i]);
		buf_release(&file[i].bytes);
	}
}

static void only_its_own_chain(void **state)
{
	struct fixture *f = *state;
	struct file file[3] = {0};
	struct backup_result r;
	struct errmsg m;
	struct stream_row s = filled(f);
	struct txn *t;
	written(f, NULL, &file[0], &r);
	t = begin_write(f);
	add_entries(t, &s, 1);
	commit(t);
	written(f, NULL, &file[1], &r);
	struct backup *a = opened(&file[0], "a"), *other = opened(&file[1], "b");
	written(f, a, &file[2], &r);
	struct backup *c = opened(&file[2], "c");
	struct backup *good[] = {a, c}, *wrong[] = {other, c}, *turned[] = {c, a};
	assert_int_equal(backup_chain(good, 2, &m), ERR_OK);
	assert_int_equal(backup_chain(wrong, 2, &m), ERR_CONFLICT);
	assert_int_equal(backup_chain(turned, 2, &m), ERR_CONFLICT);
	assert_int_equal(backup_chain(&c, 1, &m), ERR_CONFLICT);
	assert_int_equal(backup_check(wrong, 2, NULL, &r, &m), ERR_CONFLICT);
	backup_close(a);
	backup_close(other);
	backup_close(c);
	for (size_t i = 0; i < 3; i++)
		buf_release(&file[i].bytes);
}

/* Another site's backup is nothing to build on. */
static void not_upon_another_sites(void **state)
{
	struct fixture *f = *state;
	struct file file = {0}, next = {0};
	struct backup_out to = {to_file, &next};
	struct backup_result r;
	struct errmsg m;
	written(f, NULL, &file, &r);
	struct backup *b = opened(&file, "a");
	struct store_birth birth = *store_birth(f->s);
	birth.network = hash_of(77);
	struct store *s;
	assert_int_equal(store_open_memory(&birth, NULL, NULL, NULL, &s), ERR_OK);
	assert_int_equal(backup_write(s, (struct wall){1}, b, &to, NULL, &r, &m), ERR_CONFLICT);
	assert_int_equal(next.bytes.len, 0);
	store_close(s);
	backup_close(b);
	buf_release(&file.bytes);
	buf_release(&next.bytes);
}

static enum err read_all(struct file *file)
{
	struct backup *b = NULL;
	struct backup_result r;
	struct errmsg m;
	enum err e = open_file(file, "x", &b);
	if (!e)
		e = backup_check(&b, 1, NULL, &r, &m);
	backup_close(b);
	return e;
}

/* Each byte of header, chunks, index and end. */
static void every_byte_counts(void **state)
{
	struct fixture *f = *state;
	struct file file = {0};
	struct backup_result r;
	struct txn *t = begin_write(f);
	struct stream_row s = {.name = name_of(1)};
	store_stream_add(t, &s);
	s.chain = stream_hash(&store_birth(f->s)->network, &s.name);
	add_entries(t, &s, 9);
	commit(t);
	written(f, NULL, &file, &r);
	assert_int_equal(read_all(&file), ERR_OK);
	for (size_t i = 0; i < file.bytes.len; i++) {
		file.bytes.ptr[i] ^= (uint8_t)(1u << i % 8);
		assert_int_not_equal(read_all(&file), ERR_OK);
		file.bytes.ptr[i] ^= (uint8_t)(1u << i % 8);
	}
	for (size_t n = file.bytes.len; n-- > 0;) {
		file.bytes.len = n;
		assert_int_not_equal(read_all(&file), ERR_OK);
	}
	buf_release(&file.bytes);
}

/* A restore does not read every byte, but it never puts back what is not as it was; and nothing is left when it stops. */
static void restore_of_a_damaged_one(void **state)
{
	struct fixture *f = *state;
	struct file file = {0};
	struct backup_result r;
	struct errmsg m;
	struct store_options o = {0};
	char home[200], dir[240], aside[250];
	filled(f);
	written(f, NULL, &file, &r);
	fixture_home(home, sizeof home);
	snprintf(dir, sizeof dir, "%s/journal", home);
	snprintf(aside, sizeof aside, "%s.new", dir);
	struct backup *b = opened(&file, "x");
	/* Also where no record's own check would tell: bodies, positions. */
	for (size_t at = 200; at < file.bytes.len * 9 / 10; at += file.bytes.len / 80) {
		file.bytes.ptr[at] ^= 1;
		assert_int_equal(backup_restore(&b, 1, dir, &o, NULL, &r, &m), ERR_DAMAGED);
		assert_int_not_equal(access(dir, F_OK), 0);
		assert_int_not_equal(access(aside, F_OK), 0);
		file.bytes.ptr[at] ^= 1;
	}
	backup_close(b);
	fixture_remove(home);
	buf_release(&file.bytes);
}

static void no_backup_or_a_newer_one(void **state)
{
	struct fixture *f = *state;
	struct file file = {0};
	struct backup_result r;
	struct backup *b = NULL;
	written(f, NULL, &file, &r);
	file.bytes.ptr[8] = 2;
	assert_int_equal(open_file(&file, "x", &b), ERR_VERSION);
	file.bytes.ptr[0] = 'E';
	assert_int_equal(open_file(&file, "x", &b), ERR_FORMAT);
	file.bytes.len = 0;
	assert_int_equal(open_file(&file, "x", &b), ERR_FORMAT);
	buf_release(&file.bytes);
}

/* A disk that fills up, wherever that is. */
static void a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct file file = {0};
	struct backup_out to = {to_file, &file};
	struct backup_result r;
	struct errmsg m;
	filled(f);
	written(f, NULL, &file, &r);
	for (size_t room = 1, all = file.bytes.len; room < all; room += all / 13) {
		buf_clear(&file.bytes);
		file.room = room;
		assert_int_equal(backup_write(f->s, (struct wall){1}, NULL, &to, NULL, &r, &m), ERR_FULL);
	}
	buf_release(&file.bytes);
}

static void finds(struct fixture *f, struct view needle, const char *words)
{
	struct file file = {0};
	struct backup_result r;
	assert_true(fixture_flip(f, needle, 3) > 0);
	written(f, NULL, &file, &r);
	assert_true(r.wrong > 0);
	assert_non_null(strstr(r.finding, words));
	struct backup *b = opened(&file, "x");
	assert_int_equal(backup_about(b)->wrong, r.wrong); /* the file says so, too */
	assert_restores_to(&b, 1, f->s);                  /* and holds what there is as it is */
	backup_close(b);
	buf_release(&file.bytes);
	uint8_t flipped[64];
	memcpy(flipped, needle.ptr, needle.len);
	flipped[0] ^= 1u << 3;
	assert_true(fixture_flip(f, view_of(flipped, needle.len), 3) > 0);
}

static void damage_in_the_journal(void **state)
{
	struct fixture *f = *state;
	filled(f);
	struct entry_row row = entry_of(1, 2, 100, 700);
	uint8_t body[16], envelope[16];
	memcpy(body, row.e.body.ptr, sizeof body);
	memcpy(envelope, row.e.envelope.ptr, sizeof envelope);
	finds(f, view_of(body, sizeof body), "its body is not what its hash says");
	finds(f, view_of(envelope, sizeof envelope), "check does not fit");
	finds(f, view_str("as it was"), "check does not fit");
	finds(f, view_of(bytes_of(51, 9000).ptr, 64), "its body is not what its hash says"); /* a chunk */
}

/* Records whose checks fit, and which together are wrong. */
static void a_broken_chain(void **state)
{
	struct fixture *f = *state;
	struct file file = {0};
	struct backup_result r;
	struct stream_row s = filled(f);
	struct txn *t = begin_write(f);
	s.chain = hash_of(1);
	add_entries(t, &s, 1);
	commit(t);
	written(f, NULL, &file, &r);
	assert_non_null(strstr(r.finding, "does not follow"));
	t = begin_write(f);
	s.held++;
	store_stream_put(t, &s);
	commit(t);
	written(f, NULL, &file, &r);
	assert_int_equal(r.wrong, 2);
	buf_release(&file.bytes);
}

static bool stop_at_once(void *arg, uint64_t bytes, uint64_t of)
{
	(void)bytes, (void)of;
	++*(unsigned *)arg;
	return false;
}

static void interrupted(void **state)
{
	struct fixture *f = *state;
	struct file file = {0};
	struct backup_out to = {to_file, &file};
	struct backup_result r;
	struct errmsg m;
	unsigned called = 0;
	struct backup_watch w = {stop_at_once, &called};
	struct txn *t;
	for (unsigned i = 0; i < 30; i++) {
		struct hash h = hash_of(i);
		t = begin_write(f);
		store_state_put(t, 1, &h, bytes_of(i, 300000));
		commit(t);
	}
	assert_int_equal(backup_write(f->s, (struct wall){1}, NULL, &to, &w, &r, &m), ERR_CLOSED);
	assert_int_equal(called, 1);
	written(f, NULL, &file, &r);
	struct backup *b = opened(&file, "x");
	char home[200], dir[240], aside[250];
	struct store_options o = {0};
	fixture_home(home, sizeof home);
	snprintf(dir, sizeof dir, "%s/journal", home);
	snprintf(aside, sizeof aside, "%s.new", dir);
	assert_int_equal(backup_restore(&b, 1, dir, &o, &w, &r, &m), ERR_CLOSED);
	assert_int_not_equal(access(dir, F_OK), 0);
	assert_int_not_equal(access(aside, F_OK), 0);
	fixture_remove(home);
	backup_close(b);
	buf_release(&file.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(comes_back_whole),
		ON_BOTH(a_chain_is_the_journal),
		ON_BOTH(only_its_own_chain),
		ON_BOTH(not_upon_another_sites),
		ON_BOTH(every_byte_counts),
		ON_BOTH(restore_of_a_damaged_one),
		ON_BOTH(no_backup_or_a_newer_one),
		ON_BOTH(a_full_disk),
		ON_BOTH(damage_in_the_journal),
		ON_BOTH(a_broken_chain),
		ON_BOTH(interrupted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
