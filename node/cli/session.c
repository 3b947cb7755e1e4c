#include "node/cli/session.h"

#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/instant.h"

#define CONF_PATTERN "/etc/estafette/*.node.conf"

bool session_conf(const struct cli *cli, char *path, int *status)
{
	glob_t g = {0};
	bool ok = false;
	const char *from = cli->conf_path ? cli->conf_path : getenv("ESTAFETTE_CONF");
	if (from != NULL && from[0] != '\0') {
		snprintf(path, CONFIG_PATH_BYTES, "%s", from);
		return true;
	}
	if (glob(CONF_PATTERN, 0, NULL, &g) == 0 && g.gl_pathc == 1) {
		snprintf(path, CONFIG_PATH_BYTES, "%s", g.gl_pathv[0]);
		ok = true;
	} else if (g.gl_pathc > 1) {
		*status = cli_fail(cli, ERR_USAGE, "node.conf: %zu files fit %s (say which with -c FILE)", g.gl_pathc, CONF_PATTERN);
	} else {
		*status = cli_fail(cli, ERR_USAGE, "node.conf: none given and no %s (give it with -c FILE or in ESTAFETTE_CONF)", CONF_PATTERN);
	}
	globfree(&g);
	return ok;
}

estafette *session_open(const struct cli *cli, int *status)
{
	char path[CONFIG_PATH_BYTES];
	struct errmsg m;
	estafette *h = NULL;
	struct config *config = calloc(1, sizeof *config);
	if (config == NULL) {
		*status = cli_fail(cli, ERR_NOMEM, "node.conf: out of memory");
		goto out;
	}
	if (!session_conf(cli, path, status))
		goto out;
	enum err e = config_load(path, config, &m);
	if (e != ERR_OK) {
		*status = cli_fail(cli, e, "%s", m.text);
		goto out;
	}
	h = estafette_new();
	if (h == NULL) {
		*status = cli_fail(cli, ERR_NOMEM, "connect: out of memory");
		goto out;
	}
	if (estafette_connect(h, config->socket) != ESTAFETTE_OK) {
		*status = session_fail(cli, h, config->site);
		estafette_free(h);
		h = NULL;
	}
out:
	free(config);
	return h;
}

int session_fail(const struct cli *cli, const estafette *h, const char *what)
{
	enum err e = err_from_code(estafette_error_code(h));
	if (e == ERR_OK)
		e = ERR_INTERNAL;
	return cli_fail(cli, e, "%s%s%s", what, what[0] ? ": " : "", estafette_error_text(h));
}

bool session_duration_us(const struct cli *cli, const char *option, const char *text, int64_t *out_us)
{
	if (duration_parse(text, out_us) == ERR_OK)
		return true;
	cli_fail(cli, ERR_USAGE, "%s %s: not a duration (a number with ms, s, min, h or d)", option, text);
	return false;
}

bool session_duration_ms(const struct cli *cli, const char *option, const char *text, int *out_ms)
{
	int64_t us;
	if (!session_duration_us(cli, option, text, &us))
		return false;
	int64_t ms = (us + US_PER_MS - 1) / US_PER_MS;
	*out_ms = ms > INT32_MAX ? INT32_MAX : (int)ms;
	return true;
}

/* ---- signals: the one thing that a handler must be able to reach ------------------------------------------ */

static volatile int stop_asked;

static void on_signal(int signal)
{
	(void)signal;
	stop_asked = 1;
}

const volatile int *session_catch_signals(void)
{
	struct sigaction a = {.sa_handler = on_signal}; /* no SA_RESTART: poll shall return */
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	signal(SIGPIPE, SIG_IGN);
	return &stop_asked;
}
