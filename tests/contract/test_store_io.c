/* The store in a folder when the system calls under it fail: each one of a commit, in turn, in every way. The functions of
 * the C library that LMDB writes with are replaced here. */
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

static struct {
	bool armed;
	unsigned calls, fail_at; /* fail_at 0: none */
	int error;               /* 0: half is written */
	bool was_sync;
	char order[64]; /* w: a write, m: one to a file opened with O_DSYNC, s: a sync */
} io;

static bool fails(int fd, bool sync)
{
	if (!io.armed)
		return false;
	if (io.calls + 1 < sizeof io.order)
		io.order[io.calls] = sync ? 's' : fcntl(fd, F_GETFL) & O_DSYNC ? 'm' : 'w';
	if (++io.calls != io.fail_at)
		return false;
	io.was_sync = sync;
	errno = io.error;
	return true;
}

PUBLIC ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
	if (!fails(fd, false))
		return syscall(SYS_pwrite64, fd, bytes, n, at);
	return io.error ? -1 : syscall(SYS_pwrite64, fd, bytes, n / 2, at);
}

PUBLIC ssize_t writev(int fd, const struct iovec *v, int n)
{
	if (!fails(fd, false))
		return syscall(SYS_writev, fd, v, n);
	return io.error ? -1 : syscall(SYS_write, fd, v[0].iov_base, v[0].iov_len / 2);
}

PUBLIC int fdatasync(int fd)
{
	return fails(fd, true) ? (errno = EIO, -1) : (int)syscall(SYS_fdatasync, fd);
}

PUBLIC int fsync(int fd)
{
	return fails(fd, true) ? (errno = EIO, -1) : (int)syscall(SYS_fsync, fd);
}

static enum err step(struct fixture *f, uint64_t n)
{
	struct txn *t;
	enum err e = txn_begin(f->s, true, &t);
	if (e)
		return e;
	struct entry_row row = entry_of(1, n, 500, 20000);
	struct place p = {.queue = 1, .arrival = n};
	struct msgid id = id_of(n);
	store_entry_append(t, &row);
	store_place_put(t, &p, &id);
	store_meta_put(t, 100, view_of(&n, sizeof n));
	return txn_commit(t);
}

/* Steps up to n are there, whole, and nothing of another. */
static void assert_steps(struct fixture *f, uint64_t n)
{
	struct txn *t = begin_read(f);
	struct place out, at = {.queue = 1};
	struct entry_row row;
	struct msgid id;
	struct view v;
	assert_int_equal(store_last_arrival(t), n);
	for (uint64_t i = 1; i <= n; i++) {
		at.arrival = i;
		assert_int_equal(store_entry_find(t, 1, i, &row), ERR_OK);
		assert_int_equal(store_place_from(t, &at, &out, &id), ERR_OK);
		assert_int_equal(out.arrival, i);
	}
	at.arrival = n + 1;
	assert_int_equal(store_place_from(t, &at, &out, &id), ERR_NOT_FOUND);
	assert_int_equal(store_meta_get(t, 100, &v), ERR_OK);
	assert_memory_equal(v.ptr, &n, sizeof n);
	txn_abort(t);
}

/* A commit whose call number `at` fails. False when it made fewer calls. */
static bool one(struct fixture *f, unsigned at, int error)
{
	for (uint64_t n = 1; n <= 5; n++)
		assert_int_equal(step(f, n), ERR_OK);
	memset(&io, 0, sizeof io);
	io.armed = true;
	io.fail_at = at;
	io.error = error;
	enum err e = step(f, 6);
	io.armed = false;
	if (io.calls < at) {
		assert_int_equal(e, ERR_OK);
		return false;
	}
	if (e == ERR_SYNC) { /* no more from this process; the next finds the one state or the other */
		struct txn *t;
		assert_int_equal(txn_begin(f->s, true, &t), ERR_SYNC);
		assert_int_equal(txn_begin(f->s, false, &t), ERR_SYNC);
		fixture_reopen(f);
		t = begin_read(f);
		uint64_t last = store_last_arrival(t);
		txn_abort(t);
		assert_true(last == 5 || last == 6);
		assert_steps(f, last);
		return true;
	}
	assert_int_equal(e, ERR_FULL);
	assert_true(error == ENOSPC && !io.was_sync);
	assert_steps(f, 5); /* a refusal: the store goes on */
	assert_int_equal(step(f, 6), ERR_OK);
	assert_steps(f, 6);
	fixture_reopen(f);
	assert_steps(f, 6);
	return true;
}

static void a_failed_call_is_a_refusal_or_the_end(void **state)
{
	static const int errors[] = {ENOSPC, EIO, 0};
	(void)state;
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
		unsigned at = 1;
		for (bool more = true; more; at++) {
			void *f;
			fixture_folder(&f);
			more = one(f, at, errors[i]);
			fixture_end(&f);
		}
		assert_true(at > 4); /* pages, sync, meta page at the least */
	}
}

/* Pages, then the sync, and only then the meta page that makes them count, itself written through to the disk. */
static void every_commit_is_synced_in_order(void **state)
{
	struct fixture *f = *state;
	for (uint64_t n = 1; n <= 10; n++) {
		memset(&io, 0, sizeof io);
		io.armed = true;
		assert_int_equal(step(f, n), ERR_OK);
		io.armed = false;
		size_t len = strlen(io.order);
		assert_true(len >= 3);
		assert_string_equal(io.order + len - 2, "sm");
		assert_int_equal(strspn(io.order, "w"), len - 2);
	}
}

/* A creation that fails leaves neither a store nor what it was made from. */
static void a_creation_that_fails_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	char dir[300], stage[310];
	snprintf(dir, sizeof dir, "%s/other", f->home);
	snprintf(stage, sizeof stage, "%s.new", dir);
	for (unsigned at = 1;; at++) {
		struct errmsg m = {0};
		memset(&io, 0, sizeof io);
		io.armed = true;
		io.fail_at = at;
		io.error = ENOSPC;
		enum err e = store_create(dir, &fixture_birth, NULL, &m);
		io.armed = false;
		assert_int_not_equal(access(stage, F_OK), 0);
		if (io.calls < at) {
			assert_int_equal(e, ERR_OK);
			assert_true(at > 6);
			return;
		}
		assert_int_not_equal(e, ERR_OK);
		assert_true(m.text[0]);
		struct store *s;
		if (access(dir, F_OK) == 0) { /* it was whole; only the sync of the folder around it failed */
			assert_int_equal(store_open(dir, NULL, &s, &m), ERR_OK);
			store_close(s);
			return;
		}
		assert_int_equal(store_open(dir, NULL, &s, &m), ERR_NOT_FOUND);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_call_is_a_refusal_or_the_end),
		cmocka_unit_test_setup_teardown(every_commit_is_synced_in_order, fixture_folder, fixture_end),
		cmocka_unit_test_setup_teardown(a_creation_that_fails_leaves_nothing, fixture_folder, fixture_end),
	};
	return cmocka_run_group_tests_name("store under failing calls", tests, NULL, NULL);
}
