/* loopback.h - where the nodes of a practice network listen, on one machine. */
#ifndef NODE_CLI_LOOPBACK_H
#define NODE_CLI_LOOPBACK_H

#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

/* What a Unix socket's path holds beside its NUL. */
#define SOCKET_PATH_BYTES 107

/* n ports: base, base + 1, ... or, when base is 0, ports that nobody listens on, below the 32768 from which the system gives
 * ports to outgoing connections. ERR_RANGE (over 65535), ERR_FULL (not so many are free), ERR_IO; m filled. */
MUST_USE enum err loopback_ports(uint16_t base, size_t n, uint16_t *out, struct errmsg *m);

/* The path of a site's client socket: wanted, or when that is too long a short one of its own in a folder of this user,
 * which is made: under $XDG_RUNTIME_DIR, else /tmp. Freed by the caller. ERR_NOT_PERMITTED (the folder is another's), ERR_IO, m filled. */
MUST_USE enum err loopback_socket(const char *wanted, char **out, struct errmsg *m);

#endif
