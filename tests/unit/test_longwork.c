/* Files that appear whole or not at all, also on file systems that know less than ours: what the kernel is asked there is refused
 * by a seccomp filter in a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "node/cli/longwork.c"

enum err cli_err_of_errno(void) { return errno == EEXIST ? ERR_EXISTS : ERR_IO; }
enum err cli_sync_folder(const char *folder, struct errmsg *m) { (void)folder, (void)m; return ERR_OK; }

static char folder[] = "/tmp/test-longwork-XXXXXX", path[64];

/* What a file system does not know. */
enum { NO_TMPFILE = 1, NO_NOREPLACE = 2, NO_LINK = 4, NO_RENAME = 8 };

#define REFUSE(nr, code) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (code))
#define NEVER 0xffffu

static void refuse(int what)
{
	unsigned no_replace = what & NO_NOREPLACE ? __NR_renameat2 : NEVER, no_link = what & NO_LINK ? __NR_linkat : NEVER;
	unsigned no_rename = what & NO_RENAME ? __NR_renameat : NEVER, open = what & NO_TMPFILE ? __NR_openat : NEVER;
#ifdef __NR_rename
	unsigned old_rename = what & NO_RENAME ? __NR_rename : NEVER, old_link = what & NO_LINK ? __NR_link : NEVER;
#else
	unsigned old_rename = NEVER, old_link = NEVER;
#endif
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(no_replace, EINVAL), REFUSE(no_link, EPERM), REFUSE(old_link, EPERM), REFUSE(no_rename, EIO), REFUSE(old_rename, EIO),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, open, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = sizeof code / sizeof code[0], .filter = code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		_exit(99);
}

/* Writes the file where that much is not known; the result of the first step that fails. */
static enum err write_where(int what)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		struct tofile f;
		struct errmsg m = {0};
		refuse(what);
		enum err e = tofile_begin(&f, path, &m);
		if (!e)
			e = tofile_write(&f, view_str("whole"));
		if (!e)
			e = tofile_finish(&f, &m);
		tofile_release(&f);
		_exit((int)e);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 99);
	return (enum err)WEXITSTATUS(status);
}

static size_t files_there(void)
{
	char command[96];
	unsigned n = 0;
	snprintf(command, sizeof command, "ls -A %s | wc -l", folder);
	FILE *p = popen(command, "r");
	assert_non_null(p);
	assert_int_equal(fscanf(p, "%u", &n), 1);
	assert_int_equal(pclose(p), 0);
	return n;
}

static void a_file_appears_whole_on_every_file_system(void **state)
{
	static const int kinds[] = {0, NO_TMPFILE, NO_TMPFILE | NO_NOREPLACE, NO_TMPFILE | NO_NOREPLACE | NO_LINK};
	(void)state;
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		char text[16] = "";
		assert_int_equal(write_where(kinds[i]), ERR_OK);
		FILE *f = fopen(path, "r");
		assert_non_null(f);
		assert_int_equal(fread(text, 1, sizeof text - 1, f), 5);
		fclose(f);
		assert_string_equal(text, "whole");
		assert_int_equal(files_there(), 1);
		assert_int_equal(write_where(kinds[i]), ERR_EXISTS); /* never over another */
		assert_int_equal(files_there(), 1);
		assert_int_equal(unlink(path), 0);
	}
}

static void what_cannot_be_put_in_place_is_said_and_leaves_nothing(void **state)
{
	(void)state;
	assert_int_equal(write_where(NO_TMPFILE | NO_NOREPLACE | NO_LINK | NO_RENAME), ERR_IO);
	assert_int_equal(files_there(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_appears_whole_on_every_file_system),
		cmocka_unit_test(what_cannot_be_put_in_place_is_said_and_leaves_nothing),
	};
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof path, "%s/file", folder);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	rmdir(folder);
	return failed;
}
