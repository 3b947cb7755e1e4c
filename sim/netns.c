#include "sim/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool write_line(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* In a user namespace of our own, as whom we are, with every right over the places made in it. */
static bool become_owner(void)
{
	char uids[64], gids[64];

	snprintf(uids, sizeof uids, "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
	snprintf(gids, sizeof gids, "%u %u 1", (unsigned)getegid(), (unsigned)getegid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		return false;
	/* A kernel without this file needs no word about it. */
	write_line("/proc/self/setgroups", "deny");
	return write_line("/proc/self/uid_map", uids) && write_line("/proc/self/gid_map", gids);
}

static bool lo_up(void)
{
	struct ifreq r = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &r) == 0;

	r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
	ok = ok && ioctl(fd, SIOCSIFFLAGS, &r) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

static int here(void)
{
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

enum err netns_begin(int *home, struct errmsg *m)
{
	if (unshare(CLONE_NEWNET) != 0 && !become_owner())
		return err_set(m, ERR_NOT_PERMITTED, "live: this machine lets us make no network namespaces: %s (run it as root, or allow user namespaces: sysctl "
			       "kernel.unprivileged_userns_clone=1, user.max_net_namespaces above 0)", strerror(errno));
	*home = here();
	if (*home < 0 || !lo_up())
		return err_set(m, ERR_IO, "live: a network namespace cannot be used: %s (is /proc there?)", strerror(errno));
	return ERR_OK;
}

enum err netns_new(int home, int *out, struct errmsg *m)
{
	int error = 0;

	*out = -1;
	if (unshare(CLONE_NEWNET) == 0)
		*out = here();
	if (*out < 0 || !lo_up())
		error = errno;
	if (setns(home, CLONE_NEWNET) != 0 && !error)
		error = errno;
	return error ? err_set(m, ERR_IO, "live: a network namespace cannot be made: %s (user.max_net_namespaces may be reached)", strerror(error)) : ERR_OK;
}

int netns_visit(int home, int place, int (*work)(void *arg), void *arg)
{
	int result, error;

	if (setns(place, CLONE_NEWNET) != 0)
		return -1;
	result = work(arg);
	error = errno;
	if (setns(home, CLONE_NEWNET) != 0) {
		fprintf(stderr, "estafette-sim: live: the way home is lost: %s\n", strerror(errno));
		_exit(1);
	}
	errno = error;
	return result;
}

static int socket_make(void *arg)
{
	(void)arg;
	return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int netns_socket(int home, int place)
{
	return netns_visit(home, place, socket_make, NULL);
}

bool netns_enter(int place)
{
	return setns(place, CLONE_NEWNET) == 0;
}
