#include "node/cli/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/crypt.h"

/* ---- ports ---------------------------------------------------------------------------------------------- */

#define PORT_LOW 10240
#define PORT_END 32768

/* A socket bound to the port, or -1 when somebody has it. */
static int bind_port(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* From a random place on, so that two networks made one after the other, before either runs, seldom meet. */
static enum err free_ports(size_t n, uint16_t *out, struct errmsg *m)
{
	uint8_t random[32];
	size_t found = 0;
	crypt_system_seed(random);
	uint32_t start = (uint32_t)(random[0] << 8 | random[1]) % (PORT_END - PORT_LOW);
	for (uint32_t i = 0; found < n && i < PORT_END - PORT_LOW; i++) {
		uint16_t port = (uint16_t)(PORT_LOW + (start + i) % (PORT_END - PORT_LOW));
		int fd = bind_port(port);
		if (fd < 0)
			continue;
		close(fd);
		out[found++] = port;
	}
	if (found < n)
		return err_set(m, ERR_FULL, "network init: only %zu of the %zu ports that it needs are free on 127.0.0.1 (name some with --base-port)",
			       found, n);
	return ERR_OK;
}

enum err loopback_ports(uint16_t base, size_t n, uint16_t *out, struct errmsg *m)
{
	if (base == 0)
		return free_ports(n, out, m);
	if (base + n > 65536)
		return err_set(m, ERR_RANGE, "--base-port %u: %zu sites need the ports up to %zu, over 65535 (take a lower one)", base, n, base + n - 1);
	for (size_t i = 0; i < n; i++)
		out[i] = (uint16_t)(base + i);
	return ERR_OK;
}

/* ---- sockets -------------------------------------------------------------------------------------------- */

#define SHORT_NAME_BYTES 16

/* Whoever could put a socket there could pretend to be the node. */
static bool is_ours_alone(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
}

static char *short_folder(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *path = NULL;
	bool usable = runtime && *runtime == '/' && is_ours_alone(runtime) &&
		      strlen(runtime) + strlen("/estafette/") + 2 * SHORT_NAME_BYTES <= SOCKET_PATH_BYTES;
	int n = usable ? asprintf(&path, "%s/estafette", runtime) : asprintf(&path, "/tmp/estafette-%u", (unsigned)geteuid());
	return n < 0 ? NULL : path;
}

enum err loopback_socket(const char *wanted, char **out, struct errmsg *m)
{
	enum err e = ERR_OK;
	char name[2 * SHORT_NAME_BYTES + 1], *folder = NULL;
	*out = NULL;
	if (strlen(wanted) <= SOCKET_PATH_BYTES) {
		*out = strdup(wanted);
		return *out ? ERR_OK : err_set(m, ERR_NOMEM, "network init: out of memory (free some and try again)");
	}
	folder = short_folder();
	struct hash hash = crypt_hash(HASH_RECORD, view_str(wanted));
	hex_format(hash.b, SHORT_NAME_BYTES, name);
	if (folder == NULL)
		e = err_set(m, ERR_NOMEM, "network init: out of memory (free some and try again)");
	else if (mkdir(folder, 0700) != 0 && errno != EEXIST)
		e = err_set(m, ERR_IO, "%s: it cannot be made: %s (choose a shorter DIR)", folder, strerror(errno));
	else if (!is_ours_alone(folder))
		e = err_set(m, ERR_NOT_PERMITTED, "%s: not a folder that only this user can use (remove it, or choose a shorter DIR)", folder);
	else if (asprintf(out, "%s/%s", folder, name) < 0)
		e = err_set(m, ERR_NOMEM, "network init: out of memory (free some and try again)");
	if (e != ERR_OK)
		*out = NULL;
	free(folder);
	return e;
}
