/* take_exec.c - `take --exec`: a command a message, the body on its standard input. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/cli/take.h"

#define IN_MEMORY_BYTES (1024 * 1024) /* larger bodies go through a file without a name */
#define LOOK_MS 1000

/* The body as a file without a name, so that a command that does not read it blocks nobody. */
static int body_file(struct taking *t, const struct estafette_message *m)
{
	const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp";
	int fd = m->body_bytes <= IN_MEMORY_BYTES ? memfd_create("body", MFD_CLOEXEC) : open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		t->status = cli_fail(t->cli, ERR_IO, "%s: %s (a large body waits there; choose another folder with TMPDIR)", dir, strerror(errno));
		return -1;
	}
	if (take_body(t, m, take_write_fd, &fd) != 0 || lseek(fd, 0, SEEK_SET) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void tell(const char *name, const char *value)
{
	if (value != NULL)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

static void run_command(const struct taking *t, const struct estafette_message *m, int body)
{
	tell("ESTAFETTE_ID", m->id);
	tell("ESTAFETTE_FROM", m->from);
	tell("ESTAFETTE_QUEUE", m->queue);
	tell("ESTAFETTE_PRECEDENCE", precedence_name((unsigned)m->precedence));
	tell("ESTAFETTE_TYPE", m->type);
	tell("ESTAFETTE_LANG", m->lang);
	tell("ESTAFETTE_CHANNEL", m->channel);
	tell("ESTAFETTE_SUBJECT", m->subject);
	tell("ESTAFETTE_RE", m->re);
	tell("ESTAFETTE_EXERCISE", m->exercise);
	tell("ESTAFETTE_PERHAPS_SEEN", m->perhaps_seen);
	tell("ESTAFETTE_REPLAYED_BY", m->replayed_by);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(body, STDIN_FILENO) == STDIN_FILENO)
		execl("/bin/sh", "sh", "-c", t->exec, (char *)NULL);
	_exit(127);
}

/* Waits for the command and keeps the lease while it runs. Its wait status. */
static int await(struct taking *t, const struct estafette_message *m, pid_t pid)
{
	int status = -1, fd = pidfd_open(pid, 0);
	int64_t every_ms = t->lease_us / 2000, waited = 0;
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		pid_t done = waitpid(pid, &status, WNOHANG);
		if (done == pid || (done < 0 && errno != EINTR))
			break;
		int64_t slice = every_ms < LOOK_MS ? every_ms : LOOK_MS;
		poll(&p, fd >= 0, slice > 0 ? (int)slice : 1);
		waited += slice > 0 ? slice : 1;
		if (waited >= every_ms) {
			waited = 0;
			(void)taking_verdict(t, ESTAFETTE_DO_EXTEND, &m->id, 1);
		}
	}
	if (fd >= 0)
		close(fd);
	return status;
}

int take_exec(struct taking *t, const struct estafette_message *m)
{
	int body = body_file(t, m);
	if (body < 0)
		return -1;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		run_command(t, m, body);
	close(body);
	if (pid < 0) {
		t->status = cli_fail(t->cli, ERR_IO, "fork: %s", strerror(errno));
		return -1;
	}
	int status = await(t, m, pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return taking_verdict(t, ESTAFETTE_DO_ACK, &m->id, 1);
	if (WIFEXITED(status))
		t->status = cli_fail(t->cli, ERR_REFUSED, "%s: the command ended with %d (the message goes back into its queue)", m->id, WEXITSTATUS(status));
	else
		t->status = cli_fail(t->cli, ERR_REFUSED, "%s: the command was ended by signal %d (the message goes back into its queue)", m->id, WTERMSIG(status));
	return TAKE_COMMAND_FAILED;
}
