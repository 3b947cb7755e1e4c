/* A store's life: how it appears, who may open it, what is left when a disk is full or a process is killed. */
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/crypt.h"
#include "proto/frame.h"
#include "storage/record.h"

/* ---- making one -------------------------------------------------------------------------------------------- */

struct place_on_disk {
	char home[200], dir[240], stage[260];
};

static int home_setup(void **state)
{
	struct place_on_disk *p = calloc(1, sizeof *p);
	assert_int_equal(crypt_start(), ERR_OK);
	fixture_home(p->home, sizeof p->home);
	snprintf(p->dir, sizeof p->dir, "%s/journal", p->home);
	snprintf(p->stage, sizeof p->stage, "%s.new", p->dir);
	*state = p;
	return 0;
}

static int home_end(void **state)
{
	fixture_remove(((struct place_on_disk *)*state)->home);
	free(*state);
	return 0;
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[400];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static enum err try_open(const char *dir, bool read_only, struct errmsg *m)
{
	struct store_options o = {.read_only = read_only};
	struct store *s = NULL;
	enum err e = store_open(dir, &o, &s, m);
	store_close(s);
	return e;
}

static void one_is_never_made_over_another(void **state)
{
	struct place_on_disk *p = *state;
	struct errmsg m = {0};
	assert_int_equal(store_create(p->dir, &fixture_birth, NULL, &m), ERR_OK);
	assert_int_equal(store_create(p->dir, &fixture_birth, NULL, &m), ERR_EXISTS);
	assert_non_null(strstr(m.text, p->dir));
	assert_int_equal(try_open(p->dir, false, &m), ERR_OK);
	assert_int_not_equal(access(p->stage, F_OK), 0);
}

static void an_empty_folder_is_taken_and_a_full_one_left(void **state)
{
	struct place_on_disk *p = *state;
	struct errmsg m = {0};
	assert_int_equal(mkdir(p->dir, 0700), 0);
	assert_int_equal(try_open(p->dir, false, &m), ERR_NOT_FOUND);
	write_file(p->dir, "letters", "keep me");
	assert_int_equal(store_create(p->dir, &fixture_birth, NULL, &m), ERR_EXISTS);
	assert_int_not_equal(access(p->stage, F_OK), 0);
	char path[300];
	snprintf(path, sizeof path, "%s/letters", p->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(store_create(p->dir, &fixture_birth, NULL, &m), ERR_OK);
	assert_int_equal(try_open(p->dir, false, &m), ERR_OK);
}

static void what_an_interrupted_creation_left_is_cleared(void **state)
{
	struct place_on_disk *p = *state;
	struct errmsg m = {0};
	assert_int_equal(try_open(p->dir, false, &m), ERR_NOT_FOUND);
	assert_int_equal(mkdir(p->stage, 0700), 0);
	write_file(p->stage, "data.mdb", "half a page");
	write_file(p->stage, "lock.mdb", "");
	assert_int_equal(try_open(p->dir, false, &m), ERR_NOT_FOUND);
	assert_int_equal(store_create(p->dir, &fixture_birth, NULL, &m), ERR_OK);
	assert_int_equal(try_open(p->dir, false, &m), ERR_OK);
	assert_int_not_equal(access(p->stage, F_OK), 0);
}

static void nap_us(long us)
{
	nanosleep(&(struct timespec){0, us * 1000}, NULL);
}

static void a_creation_killed_anywhere_leaves_all_or_nothing(void **state)
{
	struct place_on_disk *p = *state;
	struct errmsg m = {0};
	unsigned whole = 0;
	for (long i = 0; i < 40; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(store_create(p->dir, &fixture_birth, NULL, &m));
		nap_us(i * 150);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		enum err e = try_open(p->dir, false, &m);
		assert_true(e == ERR_OK || e == ERR_NOT_FOUND);
		if (e)
			continue;
		whole++;
		char command[300];
		snprintf(command, sizeof command, "rm -r '%s'", p->dir);
		assert_int_equal(system(command), 0);
	}
	assert_true(store_create(p->dir, &fixture_birth, NULL, &m) == ERR_OK);
	assert_true(whole < 41);
}

static void creation_fails_with_a_reason(void **state)
{
	struct place_on_disk *p = *state;
	struct errmsg m = {0};
	char dir[400];
	snprintf(dir, sizeof dir, "%s/no/such/folder", p->home);
	assert_int_equal(store_create(dir, &fixture_birth, NULL, &m), ERR_IO);
	assert_non_null(strstr(m.text, "No such file"));
	struct store_options o = {.reserve_bytes = 1LL << 55};
	enum err e = store_create(p->dir, &fixture_birth, &o, &m);
	assert_true(e == ERR_FULL || e == ERR_IO);
	assert_non_null(strstr(m.text, "36028797018963968"));
	assert_int_not_equal(access(p->stage, F_OK), 0);
	o.reserve_bytes = 8 << 20;
	assert_int_equal(store_create(p->dir, &fixture_birth, &o, &m), ERR_OK);
	struct store *s;
	struct store_space space;
	assert_int_equal(store_open(p->dir, &o, &s, &m), ERR_OK);
	store_space(s, &space);
	assert_true(space.file_bytes >= 8 << 20 && space.used_bytes < 1 << 20);
	store_close(s);
}

static void files_are_the_owners_and_stay_out_of_children(void **state)
{
	struct place_on_disk *p = *state;
	struct errmsg m = {0};
	struct stat st;
	struct store *s;
	char path[300];
	assert_int_equal(store_create(p->dir, &fixture_birth, NULL, &m), ERR_OK);
	assert_int_equal(store_open(p->dir, NULL, &s, &m), ERR_OK);
	assert_true(stat(p->dir, &st) == 0 && (st.st_mode & 077) == 0);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%s", p->dir, ((const char *[]){"data.mdb", "lock.mdb", "lock"})[i]);
		assert_true(stat(path, &st) == 0 && (st.st_mode & 077) == 0);
		for (int fd = 0; fd < 64; fd++) {
			struct stat open_st;
			if (fstat(fd, &open_st) == 0 && open_st.st_ino == st.st_ino && open_st.st_dev == st.st_dev)
				assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		}
	}
	store_close(s);
}

static void a_long_path_is_no_obstacle(void **state)
{
	struct place_on_disk *p = *state;
	struct errmsg m = {0};
	char dir[2000];
	int n = snprintf(dir, sizeof dir, "%s", p->home);
	for (size_t i = 0; i < 12; i++) {
		n += snprintf(dir + n, sizeof dir - (size_t)n, "/a-folder-with-a-name-that-is-as-long-as-a-folder-should-never-be-given-by-anybody");
		assert_int_equal(mkdir(dir, 0700), 0);
	}
	snprintf(dir + n, sizeof dir - (size_t)n, "/journal/");
	assert_int_equal(store_create(dir, &fixture_birth, NULL, &m), ERR_OK);
	assert_int_equal(try_open(dir, false, &m), ERR_OK);
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static void a_damaged_file_is_refused(void **state)
{
	struct place_on_disk *p = *state;
	struct errmsg m = {0};
	struct fixture f = {.options = {0}};
	char path[300];
	snprintf(path, sizeof path, "%s/data.mdb", p->dir);
	snprintf(f.dir, sizeof f.dir, "%s", p->dir);
	assert_int_equal(store_create(p->dir, &fixture_birth, NULL, &m), ERR_OK);
	fixture_reopen(&f);
	for (uint64_t i = 1; i <= 10; i++) {
		struct txn *t = begin_write(&f);
		struct entry_row row = entry_of(1, i, 100, 250000);
		store_entry_append(t, &row);
		commit(t);
	}
	store_close(f.s);
	assert_int_equal(truncate(path, 500000), 0);
	assert_int_equal(try_open(p->dir, false, &m), ERR_DAMAGED);
	assert_non_null(strstr(m.text, "cut short"));
	assert_int_equal(try_open(p->dir, true, &m), ERR_DAMAGED);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, 500000), 0);
	assert_int_equal(try_open(p->dir, false, &m), ERR_DAMAGED);
	write_file(p->dir, "data.mdb", "");
	assert_int_not_equal(try_open(p->dir, false, &m), ERR_OK);
	assert_int_not_equal(try_open(p->dir, true, &m), ERR_OK);
}

static void a_newer_schema_is_refused(void **state)
{
	struct fixture *f = *state;
	struct errmsg m = {0};
	struct key k = key_meta(META_STORE, META_STORE_SCHEMA);
	static const uint8_t next[] = {0, 0, 0, STORE_SCHEMA + 1};
	struct txn *t = begin_write(f);
	record_put(t, &k, view_of(next, sizeof next), KV_PUT);
	commit(t);
	store_close(f->s);
	f->s = NULL;
	assert_int_equal(try_open(f->dir, false, &m), ERR_VERSION);
	assert_non_null(strstr(m.text, "schema 3"));
	assert_non_null(strstr(m.text, f->dir));
	assert_int_equal(try_open(f->dir, true, &m), ERR_VERSION);
}

static void put_schema(struct fixture *f, uint8_t schema)
{
	struct key k = key_meta(META_STORE, META_STORE_SCHEMA);
	const uint8_t row[] = {0, 0, 0, schema};
	struct txn *t = begin_write(f);
	record_put(t, &k, view_of(row, sizeof row), KV_PUT);
	commit(t);
}

/* Opens it as said; what it was upgraded from. */
static uint32_t upgraded_from(struct fixture *f, bool read_only)
{
	struct store_options o = {.read_only = read_only};
	struct errmsg m = {0};
	store_close(f->s);
	f->s = NULL;
	assert_int_equal(store_open(f->dir, &o, &f->s, &m), ERR_OK);
	return store_upgraded_from(f->s);
}

static void an_older_schema_is_read_as_it_is_and_taken_up_by_a_writer(void **state)
{
	struct fixture *f = *state;
	put_schema(f, 1);
	assert_int_equal(upgraded_from(f, true), 0);
	assert_int_equal(upgraded_from(f, true), 0); /* reading left it alone: the writer still finds it */
	assert_int_equal(upgraded_from(f, false), 1);
	assert_int_equal(upgraded_from(f, false), 0);
	struct errmsg m = {0};
	put_schema(f, 0);
	store_close(f->s);
	f->s = NULL;
	assert_int_equal(try_open(f->dir, false, &m), ERR_DAMAGED);
}

/* In another process, since a store must not be opened twice in one. */
static enum err open_elsewhere(const char *dir, bool read_only)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		struct errmsg m;
		for (int fd = 3; fd < 64; fd++)
			close(fd); /* what was inherited would count as open here */
		_exit(try_open(dir, read_only, &m));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_second_writer_is_kept_out(void **state)
{
	struct fixture *f = *state;
	struct errmsg m = {0};
	assert_true(store_is_locked(f->dir));
	assert_int_equal(try_open(f->dir, false, &m), ERR_LOCKED);
	assert_int_equal(try_open(f->dir, true, &m), ERR_LOCKED); /* in one process never twice, not even to read */
	assert_int_equal(open_elsewhere(f->dir, false), ERR_LOCKED);
	assert_int_equal(open_elsewhere(f->dir, true), ERR_OK);
	assert_true(store_is_locked(f->dir)); /* asking, and others' closing, took nothing away */
	commit(begin_write(f));
	store_close(f->s);
	f->s = NULL;
	assert_false(store_is_locked(f->dir));
	assert_int_equal(open_elsewhere(f->dir, false), ERR_OK);
	assert_false(store_is_locked("/nonexistent"));
	struct store_options o = {.read_only = true};
	assert_int_equal(store_open(f->dir, &o, &f->s, &m), ERR_OK);
	assert_false(store_is_locked(f->dir)); /* a reader is no node */
	struct txn *t;
	assert_int_equal(txn_begin(f->s, true, &t), ERR_NOT_PERMITTED);
}

/* Reads the two values of each commit until told to stop; they never differ. */
static void read_pairs(const char *dir, int stop)
{
	struct store_options o = {.read_only = true};
	struct errmsg m;
	struct store *s;
	uint64_t last = 0;
	if (store_open(dir, &o, &s, &m))
		_exit(20);
	for (char c; read(stop, &c, 1) < 0 && errno == EAGAIN;) {
		struct txn *t;
		struct view a, b;
		uint64_t n;
		if (txn_begin(s, false, &t) || store_meta_get(t, 100, &a) || store_meta_get(t, 101, &b))
			_exit(21);
		memcpy(&n, a.ptr, sizeof n);
		if (!view_equal(a, b) || n < last)
			_exit(22);
		last = n;
		txn_abort(t);
	}
	store_close(s);
	_exit(last > 1 ? 0 : 23);
}

static void put_pair(struct fixture *f, uint64_t n)
{
	struct txn *t = begin_write(f);
	store_meta_put(t, 100, view_of(&n, sizeof n));
	struct entry_row row = entry_of(1, n, 100, 60000);
	store_entry_append(t, &row);
	store_meta_put(t, 101, view_of(&n, sizeof n));
	commit(t);
}

static void a_reader_elsewhere_sees_whole_commits(void **state)
{
	struct fixture *f = *state;
	int stop[2], status;
	assert_int_equal(pipe2(stop, O_NONBLOCK), 0);
	put_pair(f, 1);
	store_close(f->s); /* the child is forked before the store is opened */
	f->s = NULL;
	pid_t pid = fork();
	if (pid == 0) {
		close(stop[1]);
		read_pairs(f->dir, stop[0]);
	}
	fixture_reopen(f);
	for (uint64_t n = 2; n < 200; n++)
		put_pair(f, n);
	nap_us(20000);
	close(stop[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(stop[0]);
}

/* ---- full -------------------------------------------------------------------------------------------------------- */

static enum err append_big(struct fixture *f, uint64_t number)
{
	struct txn *t = begin_write(f);
	struct entry_row row = entry_of(1, number, 100, 290000);
	store_entry_append(t, &row);
	return txn_commit(t);
}

static void assert_body(struct fixture *f, uint64_t number)
{
	struct txn *t = begin_read(f);
	struct entry_row out, row = entry_of(1, number, 100, 290000);
	struct buf b = BUF_EMPTY;
	assert_int_equal(store_entry_find(t, 1, number, &out), ERR_OK);
	assert_int_equal(store_body_get_part(t, 0, out.body_no, PART_WHOLE, 0, &b), ERR_OK);
	assert_true(view_equal(buf_view(&b), row.e.body));
	buf_release(&b);
	txn_abort(t);
}

static void full_refuses_and_what_is_there_can_be_read_and_deleted(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 0;
	enum err e;
	f->options.quota_bytes = 1 << 20;
	if (f->memory) {
		store_close(f->s);
		assert_int_equal(store_open_memory(&fixture_birth, &f->options, NULL, NULL, &f->s), ERR_OK);
	}
	fixture_reopen(f);
	while ((e = append_big(f, n + 1)) == ERR_OK)
		assert_true(++n < 1000);
	assert_int_equal(e, ERR_FULL);
	assert_int_equal(append_big(f, n + 1), ERR_FULL);
	assert_true(n > 100);
	struct store_space space;
	store_space(f->s, &space);
	assert_true(space.used_bytes > 32 << 20 && space.used_bytes < 65 << 20);
	assert_body(f, n);
	struct txn *t = begin_read(f);
	assert_int_equal(store_last_arrival(t), n); /* nothing of what was refused */
	txn_abort(t);
	for (uint64_t i = 1; i <= n / 2; i++) {
		t = begin_write(f);
		assert_true(store_body_del(t, 0, i, SIZE_MAX));
		store_meta_put(t, 100, view_of(&i, sizeof i)); /* a little goes in beside what goes out */
		commit(t);
	}
	assert_int_equal(append_big(f, n + 1), ERR_OK);
	fixture_reopen(f);
	for (uint64_t i = n / 2 + 1; i <= n + 1; i++)
		assert_body(f, i);
}

static void fill_in_one_transaction_is_refused_too(void **state)
{
	struct fixture *f = *state;
	f->options.quota_bytes = 1 << 20;
	fixture_reopen(f);
	struct txn *t = begin_write(f);
	for (uint64_t i = 1; i < 400; i++) {
		struct entry_row row = entry_of(1, i, 100, 290000);
		store_entry_append(t, &row);
	}
	assert_int_equal(txn_commit(t), ERR_FULL);
	t = begin_read(f);
	assert_int_equal(store_last_arrival(t), 0);
	txn_abort(t);
	assert_int_equal(append_big(f, 1), ERR_OK);
	assert_body(f, 1);
}

/* The largest file allowed stands for a full disk: writes come up short. */
static int write_until_refused(struct fixture *f, int report)
{
	struct stat st;
	char path[300];
	snprintf(path, sizeof path, "%s/data.mdb", f->dir);
	if (store_open(f->dir, NULL, &f->s, NULL) || stat(path, &st))
		return 10;
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit limit = {(rlim_t)st.st_size + 3000000, RLIM_INFINITY};
	if (setrlimit(RLIMIT_FSIZE, &limit))
		return 11;
	uint64_t n = 0;
	enum err e;
	while ((e = append_big(f, n + 1)) == ERR_OK)
		n++;
	if (write(report, &n, sizeof n) != sizeof n || e != ERR_FULL)
		return 12;
	struct txn *t; /* and the store goes on */
	if (txn_begin(f->s, true, &t) || !store_body_del(t, 0, 1, SIZE_MAX) || txn_commit(t))
		return 13;
	return n > 3 ? 0 : 14;
}

static void a_disk_that_takes_no_more_is_a_refusal(void **state)
{
	struct fixture *f = *state;
	int report[2], status;
	uint64_t n;
	assert_int_equal(pipe(report), 0);
	store_close(f->s);
	f->s = NULL;
	pid_t pid = fork();
	if (pid == 0)
		_exit(write_until_refused(f, report[1]));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(read(report[0], &n, sizeof n), sizeof n);
	fixture_reopen(f);
	for (uint64_t i = 2; i <= n; i++)
		assert_body(f, i);
	struct txn *t = begin_read(f);
	assert_int_equal(store_last_arrival(t), n);
	txn_abort(t);
	assert_int_equal(append_big(f, n + 1), ERR_OK);
	close(report[0]);
	close(report[1]);
}

/* ---- failed commits ------------------------------------------------------------------------------------------------- */

/* One of each: puts over puts, deletes, appends. */
static enum err step(struct fixture *f, uint64_t n)
{
	struct txn *t;
	struct place p = {.queue = 1, .arrival = n};
	struct msgid id = id_of(n);
	enum err e = txn_begin(f->s, true, &t);
	if (e)
		return e;
	struct entry_row row = entry_of(1, n, 50, 5000);
	store_entry_append(t, &row);
	store_place_put(t, &p, &id);
	p.arrival = n - 1;
	store_place_del(t, &p);
	store_meta_put(t, 100, view_of(&n, sizeof n));
	store_meta_put(t, 100, view_of(&n, sizeof n));
	return txn_commit(t);
}

/* What must be there after step n, and no more. */
static void assert_steps(struct fixture *f, uint64_t n)
{
	struct txn *t = begin_read(f);
	struct place out, from = {.queue = 1, .handle_by_us = INT64_MIN};
	struct entry_row row;
	struct msgid id;
	struct view v;
	assert_int_equal(store_last_arrival(t), n);
	assert_int_equal(store_place_from(t, &from, &out, &id), n ? ERR_OK : ERR_NOT_FOUND);
	assert_true(!n || out.arrival == n);
	assert_int_equal(store_meta_get(t, 100, &v), n ? ERR_OK : ERR_NOT_FOUND);
	assert_true(!n || memcmp(v.ptr, &n, sizeof n) == 0);
	for (uint64_t i = 1; i <= n; i++)
		assert_int_equal(store_entry_find(t, 1, i, &row), ERR_OK);
	assert_int_equal(store_entry_find(t, 1, n + 1, &row), ERR_NOT_FOUND);
	txn_abort(t);
}

static void a_failed_commit_leaves_nothing_whichever_it_is(void **state)
{
	static const enum err kinds[] = {ERR_FULL, ERR_IO, ERR_SYNC};
	for (uint64_t at = 1; at <= 12; at++) {
		for (size_t k = 0; k < 3; k++) {
			fixture_end(state);
			fixture_memory(state);
			struct fixture *f = *state;
			f->fail_at = at;
			f->fail_with = kinds[k];
			for (uint64_t n = 1; n < at; n++)
				assert_int_equal(step(f, n), ERR_OK);
			assert_int_equal(step(f, at), kinds[k]);
			if (kinds[k] == ERR_SYNC) { /* this process must end: it learns nothing more from the store */
				struct txn *t;
				assert_int_equal(txn_begin(f->s, true, &t), ERR_SYNC);
				assert_int_equal(txn_begin(f->s, false, &t), ERR_SYNC);
				continue;
			}
			assert_steps(f, at - 1);
			assert_int_equal(step(f, at), ERR_OK);
			assert_steps(f, at);
		}
	}
}

/* ---- crashes ------------------------------------------------------------------------------------------------------- */

/* Commits without end and says each number once it is on the disk. */
static void commit_for_ever(struct fixture *f, int report)
{
	struct errmsg m;
	if (store_open(f->dir, NULL, &f->s, &m))
		_exit(1);
	struct txn *t;
	if (txn_begin(f->s, false, &t))
		_exit(2);
	uint64_t n = store_last_arrival(t);
	txn_abort(t);
	for (;;) {
		if (step(f, ++n) || write(report, &n, sizeof n) != sizeof n)
			_exit(3);
	}
}

static void a_killed_writer_loses_nothing_it_had_committed(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;
	srand(4711);
	store_close(f->s);
	f->s = NULL;
	/* A busy disk commits little in such times: on and on, until it was enough. */
	for (size_t round = 0; round < 50 || (last <= 50 && round < 2000); round++) {
		int report[2], status;
		uint64_t n;
		assert_int_equal(pipe2(report, O_CLOEXEC), 0);
		pid_t pid = fork();
		if (pid == 0)
			commit_for_ever(f, report[1]);
		close(report[1]);
		nap_us(500 + rand() % 12000);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(report[0], &n, sizeof n) == sizeof n)
			last = n;
		close(report[0]);
		fixture_reopen(f);
		struct txn *t = begin_read(f);
		uint64_t there = store_last_arrival(t);
		txn_abort(t);
		assert_true(there == last || there == last + 1); /* the one more was committed, and not yet said */
		assert_steps(f, there);
		last = there;
		store_close(f->s);
		f->s = NULL;
	}
	assert_true(last > 50);
}

#define AT_HOME(fn) cmocka_unit_test_setup_teardown(fn, home_setup, home_end)
#define IN_FOLDER(fn) cmocka_unit_test_setup_teardown(fn, fixture_folder, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AT_HOME(one_is_never_made_over_another),
		AT_HOME(an_empty_folder_is_taken_and_a_full_one_left),
		AT_HOME(what_an_interrupted_creation_left_is_cleared),
		AT_HOME(a_creation_killed_anywhere_leaves_all_or_nothing),
		AT_HOME(creation_fails_with_a_reason),
		AT_HOME(files_are_the_owners_and_stay_out_of_children),
		AT_HOME(a_long_path_is_no_obstacle),
		AT_HOME(a_damaged_file_is_refused),
		IN_FOLDER(a_newer_schema_is_refused),
		IN_FOLDER(an_older_schema_is_read_as_it_is_and_taken_up_by_a_writer),
		IN_FOLDER(a_second_writer_is_kept_out),
		IN_FOLDER(a_reader_elsewhere_sees_whole_commits),
		ON_BOTH(full_refuses_and_what_is_there_can_be_read_and_deleted),
		IN_FOLDER(fill_in_one_transaction_is_refused_too),
		IN_FOLDER(a_disk_that_takes_no_more_is_a_refusal),
		cmocka_unit_test_setup_teardown(a_failed_commit_leaves_nothing_whichever_it_is, fixture_memory, fixture_end),
		IN_FOLDER(a_killed_writer_loses_nothing_it_had_committed),
	};
	return cmocka_run_group_tests_name("store's life", tests, NULL, NULL);
}
