/* session.h - from a command's options to a connection with this site's node. */
#ifndef NODE_CLI_SESSION_H
#define NODE_CLI_SESSION_H

#include "node/cli/cli.h"
#include "node/client/estafette.h"
#include "node/daemon/config.h"

/* The path of node.conf: -c, else $ESTAFETTE_CONF, else the one file /etc/estafette/NAME.node.conf. False when there is none,
 * or several: said already, *status is the exit status. path holds CONFIG_PATH_BYTES. */
bool session_conf(const struct cli *cli, char *path, int *status);

/* Reads the configuration and connects to its socket. NULL when that fails: said already, *status is the exit status.
 * Freed with estafette_free. */
estafette *session_open(const struct cli *cli, int *status);

/* Says why the last call of h failed, in the words of the handle, after "what: ". Returns the exit status. */
int session_fail(const struct cli *cli, const estafette *h, const char *what);

/* A duration option, in milliseconds (at least 1 unless it is 0) or microseconds; false when it is none: said already. */
bool session_duration_ms(const struct cli *cli, const char *option, const char *text, int *out_ms);
bool session_duration_us(const struct cli *cli, const char *option, const char *text, int64_t *out_us);

/* The flag that SIGINT and SIGTERM set, once session_catch_signals was called. */
const volatile int *session_catch_signals(void);

#endif
