#include "node/daemon/config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The system and the roster both have a struct group. */
#define group system_group
#include <grp.h>
#undef group

#define CONFIG_FILE_BYTES (256 * 1024)
#define SMALL_FILE_BYTES (16 * 1024) /* keys, signatures */
#define CREDENTIAL "credential:"

/* ---- the table -------------------------------------------------------------------------------------- */

enum kind { KIND_NAME, KIND_PATH, KIND_SIZE, KIND_DURATION, KIND_COUNT, KIND_BOOL, KIND_LEVEL, KIND_BIND, KIND_CLIENTS, KIND_ASSIST };

struct setting {
	const char *name;
	enum kind kind;
	size_t offset;       /* in struct config */
	const char *fallback; /* NULL: required (lists: empty; assist: its members have theirs) */
	int64_t min, max;
};

#define S(name, kind, member, fallback, min, max) {name, kind, offsetof(struct config, member), fallback, min, max}
#define KIB 1024LL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SEC US_PER_S

/* The one place for names, defaults and ranges. conf/node.conf shows the same defaults; a test compares. */
static const struct setting settings[] = {
	S("site", KIND_NAME, site, NULL, 0, 0),
	S("roster", KIND_PATH, roster, NULL, 0, 0),
	S("authority", KIND_PATH, authority, NULL, 0, 0),
	S("keys", KIND_PATH, keys, NULL, 0, 0),
	S("journal", KIND_PATH, journal, NULL, 0, 0),
	S("socket", KIND_PATH, socket, NULL, 0, 0),
	S("bind", KIND_BIND, bind, NULL, 0, 0),
	S("clients", KIND_CLIENTS, clients, NULL, 0, 0),
	S("log_level", KIND_LEVEL, log_level, "info", 0, 0),
	S("quota", KIND_SIZE, quota_bytes, "16GiB", 16 * MIB, 1024 * 1024 * GIB),
	S("reserve", KIND_SIZE, reserve_bytes, "0", 0, 1024 * 1024 * GIB),
	S("keep_bodies", KIND_DURATION, keep_bodies_us, "90d", SEC, 36500 * US_PER_DAY),
	S("keep_headers", KIND_DURATION, keep_headers_us, "400d", SEC, 36500 * US_PER_DAY),
	S("keep_exercise_bodies", KIND_DURATION, keep_exercise_bodies_us, "7d", SEC, 36500 * US_PER_DAY),
	S("keep_exercise_headers", KIND_DURATION, keep_exercise_headers_us, "30d", SEC, 36500 * US_PER_DAY),
	S("scrub", KIND_DURATION, scrub_us, "1d", SEC, 36500 * US_PER_DAY),
	S("keep_unread", KIND_DURATION, keep_unread_us, "400d", SEC, 36500 * US_PER_DAY),
	S("lease", KIND_DURATION, lease_us, "5min", SEC, LIMIT_LEASE_US),
	S("probe", KIND_DURATION, probe_us, "5s", 100 * US_PER_MS, 600 * SEC),
	S("unattended", KIND_DURATION, unattended_us, "30s", SEC, US_PER_DAY),
	S("assist", KIND_ASSIST, assist_waiting, NULL, 0, 0),
	S("clock_skew", KIND_DURATION, clock_skew_us, "5s", 100 * US_PER_MS, US_PER_DAY),
	S("window_urgent", KIND_SIZE, window_urgent_bytes, "256KiB", 1 * KIB, 1 * GIB),
	S("window_bulk", KIND_SIZE, window_bulk_bytes, "4MiB", 1 * KIB, 1 * GIB),
	S("max_clients", KIND_COUNT, max_clients, "256", 1, 4096),
	S("commit_batch", KIND_COUNT, commit_batch, "1024", 16, 65536),
	S("queue_bytes", KIND_SIZE, queue_bytes, "16MiB", 1 * MIB, 1 * GIB),
	S("heartbeat", KIND_DURATION, heartbeat_us, "60s", 100 * US_PER_MS, 600 * SEC),
	S("heartbeat_timeout", KIND_DURATION, heartbeat_timeout_us, "60s", 100 * US_PER_MS, 3600 * SEC),
	S("handshake", KIND_DURATION, handshake_us, "30s", 100 * US_PER_MS, 600 * SEC),
	S("connect_timeout", KIND_DURATION, connect_timeout_us, "5s", 100 * US_PER_MS, 600 * SEC),
	S("reconnect", KIND_DURATION, reconnect_us, "250ms", 10 * US_PER_MS, 60 * SEC),
	S("reconnect_max", KIND_DURATION, reconnect_max_us, "10s", 10 * US_PER_MS, 3600 * SEC),
	S("bearer_patience", KIND_DURATION, bearer_patience_us, "3s", 1 * SEC, 3600 * SEC),
	S("socket_buffer", KIND_SIZE, socket_buffer_bytes, "256KiB", 0, 64 * MIB),
	S("link_self_test", KIND_BOOL, link_self_test, "true", 0, 0),
};
#define N_SETTINGS (sizeof settings / sizeof settings[0])

/* Members of the group assist. */
static const struct setting assist_settings[] = {
	S("waiting", KIND_COUNT, assist_waiting, "0", 0, 1000000),
	S("oldest", KIND_DURATION, assist_oldest_us, "0", 0, US_PER_DAY),
	S("stop", KIND_COUNT, assist_stop, "0", 0, 1000000),
};
#define N_ASSIST_SETTINGS (sizeof assist_settings / sizeof assist_settings[0])

/* What the readers below share: where we are and where the complaint goes. */
struct reading {
	struct config *config;
	const char *folder; /* of the file: relative paths begin there */
	struct errmsg *m;
};

static enum err complain(const struct reading *r, const config_setting_t *s, enum err e, const char *why)
{
	const char *file = config_setting_source_file(s);
	const char *name = config_setting_name(s);

	return err_set(r->m, e, "%s:%u: %s: %s", file ? file : r->config->file, config_setting_source_line(s), name ? name : "item",
	               why);
}

/* ---- values ----------------------------------------------------------------------------------------- */

static const char *const level_names[] = {
	[2] = "critical", [3] = "error", [4] = "warning", [5] = "notice", [6] = "info", [7] = "debug",
};

static enum err parse_level(const char *text, int *out)
{
	for (int i = 2; i < (int)(sizeof level_names / sizeof level_names[0]); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*out = i;
			return ERR_OK;
		}
	}
	return ERR_FORMAT;
}

/* A path as the file says it: absolute, beside the file, or a credential that systemd hands over. Outside of the service a
 * credential stays as it is written: who needs no keys, as desks, may read the file all the same. */
static enum err parse_path(const struct reading *r, const char *text, char *out)
{
	size_t prefix = strlen(CREDENTIAL);
	const char *folder = r->folder;
	int n;

	if (!*text)
		return ERR_FORMAT;
	if (strncmp(text, CREDENTIAL, prefix) == 0) {
		folder = getenv("CREDENTIALS_DIRECTORY");
		text += prefix;
		if (!*text || strchr(text, '/'))
			return ERR_NOT_FOUND;
	}
	if (!folder)
		n = snprintf(out, CONFIG_PATH_BYTES, CREDENTIAL "%s", text);
	else
		n = *text == '/' ? snprintf(out, CONFIG_PATH_BYTES, "%s", text)
		                 : snprintf(out, CONFIG_PATH_BYTES, "%s/%s", folder, text);
	return n < CONFIG_PATH_BYTES ? ERR_OK : ERR_TOO_LARGE;
}

static enum err parse_quantity(const struct setting *d, const char *text, int64_t *out)
{
	enum err e = d->kind == KIND_SIZE ? size_parse(text, out) : duration_parse(text, out);

	if (e)
		return e;
	return *out < d->min || *out > d->max ? ERR_RANGE : ERR_OK;
}

static bool port_ok(const char *text)
{
	char *end;
	long port;

	if (!isdigit((unsigned char)*text))
		return false;
	port = strtol(text, &end, 10);
	return *end == 0 && port >= 1 && port <= 65535;
}

/* tcp://192.0.2.1:4711, tcp://[2001:db8::1]:4711, or an asterisk for all addresses. Names are not resolved: a dead name server would stall
 * every link. */
static bool endpoint_ok(const char *text)
{
	char host[LIMIT_ENDPOINT_BYTES + 1];
	struct in6_addr address;
	const char *colon;
	size_t n;

	if (strlen(text) > LIMIT_ENDPOINT_BYTES || strncmp(text, "tcp://", 6) != 0)
		return false;
	text += 6;
	colon = strrchr(text, ':');
	if (!colon || !port_ok(colon + 1))
		return false;
	n = (size_t)(colon - text);
	memcpy(host, text, n);
	host[n] = 0;
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = 0;
		return inet_pton(AF_INET6, host + 1, &address) == 1;
	}
	return strcmp(host, "*") == 0 || inet_pton(AF_INET, host, &address) == 1;
}

static enum err read_bind(const struct reading *r, const config_setting_t *s)
{
	struct config *c = r->config;

	if (!config_setting_is_aggregate(s) || config_setting_is_group(s))
		return complain(r, s, ERR_FORMAT, "not a list (write ( \"tcp://ADDRESS:PORT\", ... ))");
	if (config_setting_length(s) > LIMIT_BEARERS)
		return complain(r, s, ERR_TOO_LARGE, "more endpoints than a site may have bearers");
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);
		const char *text = config_setting_get_string(item);

		if (!text || !endpoint_ok(text))
			return complain(r, s, ERR_FORMAT, "not an endpoint (write tcp://ADDRESS:PORT with a numeric address)");
		strcpy(c->bind[c->n_bind++], text);
	}
	return ERR_OK;
}

/* ---- clients ---------------------------------------------------------------------------------------- */

static bool parse_id(const char *text, uint32_t *out)
{
	char *end;
	unsigned long long x;

	if (!isdigit((unsigned char)*text) || strlen(text) > 10)
		return false;
	x = strtoull(text, &end, 10);
	*out = (uint32_t)x;
	return *end == 0 && x < UINT32_MAX;
}

static enum err read_who(const struct reading *r, const config_setting_t *s, bool group, struct config_client *out)
{
	const char *text = config_setting_get_string(s);
	struct passwd *user;
	struct system_group *grp;

	if (config_setting_type(s) == CONFIG_TYPE_INT && config_setting_get_int(s) >= 0) {
		out->id = (uint32_t)config_setting_get_int(s);
	} else if (text && parse_id(text, &out->id)) {
		/* a number in quotes */
	} else if (text && !group && (user = getpwnam(text)) != NULL) {
		out->id = user->pw_uid;
	} else if (text && group && (grp = getgrnam(text)) != NULL) {
		out->id = grp->gr_gid;
	} else {
		return complain(r, s, ERR_NOT_FOUND, group ? "no such group on this machine (name it as the machine does, or by number)"
		                                           : "no such user on this machine (name it as the machine does, or by number)");
	}
	out->by_group = group;
	if (!out->name[0] && text && strlen(text) <= LIMIT_USER_BYTES)
		strcpy(out->name, text);
	else if (!out->name[0])
		snprintf(out->name, sizeof out->name, "%s-%u", group ? "gid" : "uid", out->id);
	return ERR_OK;
}

static enum err read_may(const struct reading *r, const config_setting_t *s, struct config_client *out)
{
	if (!config_setting_is_aggregate(s) || config_setting_is_group(s))
		return complain(r, s, ERR_FORMAT, "not a list (write ( \"send\", \"take\", \"operate\" ))");
	for (int i = 0; i < config_setting_length(s); i++) {
		const char *text = config_setting_get_string(config_setting_get_elem(s, (unsigned)i));

		if (text && strcmp(text, "send") == 0)
			out->may_send = true;
		else if (text && strcmp(text, "take") == 0)
			out->may_take = true;
		else if (text && strcmp(text, "operate") == 0)
			out->may_operate = true;
		else
			return complain(r, s, ERR_FORMAT, "not a right (there are \"send\", \"take\" and \"operate\")");
	}
	return ERR_OK;
}

static enum err read_client_member(const struct reading *r, const config_setting_t *s, struct config_client *out)
{
	const char *name = config_setting_name(s), *text = config_setting_get_string(s);
	enum precedence p;

	if (strcmp(name, "uid") == 0 || strcmp(name, "gid") == 0 || strcmp(name, "name") == 0)
		return ERR_OK; /* read before */
	if (strcmp(name, "may") == 0)
		return read_may(r, s, out);
	if (strcmp(name, "precedence") == 0) {
		if (!text || precedence_parse(text, &p))
			return complain(r, s, ERR_FORMAT, "not a precedence (there are flash, immediate, priority and routine)");
		out->precedence = (uint8_t)p;
		return ERR_OK;
	}
	if (strcmp(name, "flash_per_hour") == 0) {
		if (config_setting_type(s) != CONFIG_TYPE_INT || config_setting_get_int(s) < 0)
			return complain(r, s, ERR_RANGE, "not a number from 0 on (0 is no quota)");
		out->flash_per_hour = (uint32_t)config_setting_get_int(s);
		return ERR_OK;
	}
	return complain(r, s, ERR_FORMAT, "unknown setting of a client (there are uid, gid, name, precedence, may, flash_per_hour)");
}

static enum err read_client(const struct reading *r, const config_setting_t *s, struct config_client *out)
{
	const config_setting_t *uid, *gid, *name;
	const char *text;
	enum err e;

	if (!config_setting_is_group(s))
		return complain(r, s, ERR_FORMAT, "a client is a group (write { uid = \"...\"; may = ( \"send\" ); })");
	uid = config_setting_get_member(s, "uid");
	gid = config_setting_get_member(s, "gid");
	name = config_setting_get_member(s, "name");
	if (!uid == !gid)
		return complain(r, s, ERR_FORMAT, "a client needs either uid or gid");
	out->precedence = PREC_IMMEDIATE; /* FLASH is given by name only */
	if (name) {
		text = config_setting_get_string(name);
		if (!text || !*text || strlen(text) > LIMIT_USER_BYTES || !view_is_text(view_str(text)))
			return complain(r, name, ERR_FORMAT, "not a name (1 to 64 bytes of text in quotes)");
		strcpy(out->name, text);
	}
	e = uid ? read_who(r, uid, false, out) : read_who(r, gid, true, out);
	for (int i = 0; !e && i < config_setting_length(s); i++)
		e = read_client_member(r, config_setting_get_elem(s, (unsigned)i), out);
	if (!e && !out->may_send && !out->may_take && !out->may_operate)
		return complain(r, s, ERR_FORMAT, "this client may do nothing (add may = ( \"send\", ... ) or remove it)");
	return e;
}

static enum err read_clients(const struct reading *r, const config_setting_t *s)
{
	struct config *c = r->config;
	enum err e = ERR_OK;

	if (!config_setting_is_list(s))
		return complain(r, s, ERR_FORMAT, "not a list of clients (write ( { uid = ...; }, ... ))");
	if (config_setting_length(s) > CONFIG_CLIENTS)
		return complain(r, s, ERR_TOO_LARGE, "over 64 clients (use groups: gid = ...)");
	c->clients_given = true;
	for (int i = 0; !e && i < config_setting_length(s); i++)
		e = read_client(r, config_setting_get_elem(s, (unsigned)i), &c->clients[c->n_clients++]);
	return e;
}

/* ---- one setting ------------------------------------------------------------------------------------ */

static enum err set_text(const struct reading *r, const struct setting *d, const char *text)
{
	void *member = (char *)r->config + d->offset;

	switch (d->kind) {
	case KIND_NAME:
		if (!view_is_name(view_str(text)))
			return ERR_FORMAT;
		strcpy(member, text);
		return ERR_OK;
	case KIND_PATH:
		return parse_path(r, text, member);
	case KIND_SIZE:
	case KIND_DURATION:
		return parse_quantity(d, text, member);
	case KIND_LEVEL:
		return parse_level(text, member);
	default:
		return ERR_FORMAT;
	}
}

static void set_fallback(const struct reading *r, const struct setting *d)
{
	void *member = (char *)r->config + d->offset;
	enum err e = ERR_OK;

	if (!d->fallback)
		return;
	if (d->kind == KIND_COUNT)
		*(int64_t *)member = strtoll(d->fallback, NULL, 10);
	else if (d->kind == KIND_BOOL)
		*(bool *)member = strcmp(d->fallback, "true") == 0;
	else
		e = set_text(r, d, d->fallback);
	assert(!e); /* the table is ours */
}

static const char *wanted(enum kind k)
{
	switch (k) {
	case KIND_NAME:
		return "not a name (1 to 48 of a-z, 0-9 and '-' in quotes, beginning with a letter)";
	case KIND_PATH:
		return "not a path (in quotes, at most 4095 bytes; or \"credential:NAME\", where NAME has no '/')";
	case KIND_SIZE:
		return "not a size (a number with B, KiB, MiB or GiB, in quotes: \"16MiB\")";
	case KIND_DURATION:
		return "not a duration (a number with ms, s, min, h or d, in quotes: \"5s\")";
	case KIND_LEVEL:
		return "not a level (there are critical, error, warning, notice, info and debug)";
	case KIND_BOOL:
		return "neither true nor false (without quotes)";
	default:
		return "not a whole number (without quotes)";
	}
}

/* With the largest unit that leaves a whole number, as people write it. */
static void format_amount(int kind, int64_t n, char *out, size_t size)
{
	static const struct unit { int kind; int64_t in; const char *name; } units[] = {
		{KIND_SIZE, 1LL << 30, "GiB"}, {KIND_SIZE, 1LL << 20, "MiB"}, {KIND_SIZE, 1LL << 10, "KiB"}, {KIND_SIZE, 1, "B"},
		{KIND_DURATION, 86400 * US_PER_S, "d"}, {KIND_DURATION, 3600 * US_PER_S, "h"}, {KIND_DURATION, 60 * US_PER_S, "min"},
		{KIND_DURATION, US_PER_S, "s"}, {KIND_DURATION, US_PER_MS, "ms"}};

	snprintf(out, size, "%lld", (long long)n);
	for (size_t i = 0; n != 0 && i < sizeof units / sizeof units[0]; i++)
		if (units[i].kind == kind && n % units[i].in == 0) {
			snprintf(out, size, "%lld%s", (long long)(n / units[i].in), units[i].name);
			return;
		}
}

static enum err complain_range(const struct reading *r, const config_setting_t *s, const struct setting *d)
{
	char min[32], max[32], why[120];

	format_amount(d->kind, d->min, min, sizeof min);
	format_amount(d->kind, d->max, max, sizeof max);
	snprintf(why, sizeof why, "outside %s to %s", min, max);
	return complain(r, s, ERR_RANGE, why);
}

static enum err read_assist(const struct reading *r, const config_setting_t *s);

static enum err read_setting(const struct reading *r, const config_setting_t *s, const struct setting *d)
{
	const char *text = config_setting_get_string(s);
	void *member = (char *)r->config + d->offset;
	int64_t x;
	enum err e;

	switch (d->kind) {
	case KIND_BIND:
		return read_bind(r, s);
	case KIND_CLIENTS:
		return read_clients(r, s);
	case KIND_ASSIST:
		return read_assist(r, s);
	case KIND_BOOL:
		if (config_setting_type(s) != CONFIG_TYPE_BOOL)
			return complain(r, s, ERR_FORMAT, wanted(d->kind));
		*(bool *)member = config_setting_get_bool(s);
		return ERR_OK;
	case KIND_COUNT:
		if (config_setting_type(s) != CONFIG_TYPE_INT)
			return complain(r, s, ERR_FORMAT, wanted(d->kind));
		x = config_setting_get_int(s);
		if (x < d->min || x > d->max)
			return complain_range(r, s, d);
		*(int64_t *)member = x;
		return ERR_OK;
	default:
		e = text ? set_text(r, d, text) : ERR_FORMAT;
		if (e == ERR_RANGE)
			return complain_range(r, s, d);
		return e ? complain(r, s, e, wanted(d->kind)) : ERR_OK;
	}
}

static const struct setting *setting_find(const struct setting *of, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(of[i].name, name) == 0)
			return &of[i];
	return NULL;
}

/* When this site lends a part of an overrun queue to its standbys by itself. */
static enum err read_assist(const struct reading *r, const config_setting_t *s)
{
	const struct config *c = r->config;

	if (!config_setting_is_group(s))
		return complain(r, s, ERR_FORMAT, "not a group (write { waiting = 40; oldest = \"10min\"; stop = 20; })");
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *item = config_setting_get_elem(s, (unsigned)i);
		const struct setting *d = setting_find(assist_settings, N_ASSIST_SETTINGS, config_setting_name(item));
		enum err e = d ? read_setting(r, item, d) : complain(r, item, ERR_FORMAT, "unknown setting of assist (there are waiting, oldest, stop)");

		if (e)
			return e;
	}
	if (c->assist_waiting && c->assist_stop >= c->assist_waiting)
		return complain(r, s, ERR_RANGE, "stop is not below waiting, so that nothing would ever be lent (lower stop)");
	return ERR_OK;
}

/* ---- the file --------------------------------------------------------------------------------------- */

/* Past a string or a comment that begins at p; p itself when none does. */
static const char *skip_quiet(const char *p)
{
	const char *end;

	if (*p == '"') {
		for (p++; *p && *p != '"'; p++)
			p += *p == '\\' && p[1];
		return *p ? p + 1 : p;
	}
	if (*p == '#' || (*p == '/' && p[1] == '/'))
		return p + strcspn(p, "\n");
	if (*p == '/' && p[1] == '*') {
		end = strstr(p + 2, "*/");
		return end ? end + 2 : p + strlen(p);
	}
	return p;
}

/* libconfig lets integers wrap without a word: 4294967297 reads as 1. No number of ours needs ten digits. */
static unsigned line_of_long_number(const char *text)
{
	const char *p = text;
	unsigned line = 1;

	while (*p) {
		const char *after = skip_quiet(p);
		size_t digits;

		if (after != p) {
			p = after;
			continue;
		}
		digits = isdigit((unsigned char)*p) ? strspn(p, "0123456789abcdefABCDEFxX") : 0;
		if (digits >= 10) {
			for (; text < p; text++)
				line += *text == '\n';
			return line;
		}
		p += digits ? digits : 1;
	}
	return 0;
}

static enum err check_whole(const struct reading *r, const config_t *cfg)
{
	const struct config *c = r->config;
	const config_setting_t *root = config_root_setting(cfg);

	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *d = &settings[i];
		bool optional = d->fallback || d->kind == KIND_BIND || d->kind == KIND_CLIENTS || d->kind == KIND_ASSIST;

		if (!optional && !config_setting_get_member(root, d->name))
			return err_set(r->m, ERR_FORMAT, "%s: %s: it is required and missing (add %s = \"...\";)", c->file, d->name, d->name);
	}
	if (c->keep_headers_us < c->keep_bodies_us || c->keep_exercise_headers_us < c->keep_exercise_bodies_us)
		return err_set(r->m, ERR_RANGE, "%s: keep_headers: shorter than keep_bodies (a header stays at least as long as its body)", c->file);
	if (c->reserve_bytes > c->quota_bytes)
		return err_set(r->m, ERR_RANGE, "%s: reserve: larger than quota (lower it, or raise quota)", c->file);
	if (c->heartbeat_timeout_us < c->heartbeat_us)
		return err_set(r->m, ERR_RANGE, "%s: heartbeat_timeout: shorter than heartbeat (raise it)", c->file);
	if (c->reconnect_max_us < c->reconnect_us)
		return err_set(r->m, ERR_RANGE, "%s: reconnect_max: shorter than reconnect (raise it)", c->file);
	if (strlen(c->socket) > CONFIG_SOCKET_PATH_BYTES)
		return err_set(r->m, ERR_TOO_LARGE, "%s: socket: %s: a socket's path holds %d bytes and this has %zu (choose a shorter one)",
		               c->file, c->socket, CONFIG_SOCKET_PATH_BYTES, strlen(c->socket));
	return ERR_OK;
}

static enum err read_settings(struct reading *r, const config_t *cfg)
{
	const config_setting_t *root = config_root_setting(cfg);

	for (size_t i = 0; i < N_SETTINGS; i++)
		set_fallback(r, &settings[i]);
	for (size_t i = 0; i < N_ASSIST_SETTINGS; i++)
		set_fallback(r, &assist_settings[i]);
	for (int i = 0; i < config_setting_length(root); i++) {
		const config_setting_t *s = config_setting_get_elem(root, (unsigned)i);
		const struct setting *d = setting_find(settings, N_SETTINGS, config_setting_name(s));
		enum err e = d ? read_setting(r, s, d)
		               : complain(r, s, ERR_FORMAT, "unknown setting (see conf/node.conf for all there are)");

		if (e)
			return e;
	}
	return check_whole(r, cfg);
}

/* The folder of a path, as it was written: "." for a bare name. */
static void folder_of(const char *path, char *out)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 1;

	memcpy(out, slash ? path : ".", n);
	if (n == 0)
		out[n++] = '/';
	out[n] = 0;
}

static enum err parse_text(struct reading *r, const char *text)
{
	unsigned line = line_of_long_number(text);
	const char *file;
	config_t cfg;
	enum err e;

	if (line)
		return err_set(r->m, ERR_RANGE, "%s:%u: a number of ten digits or more (write sizes and times with a unit, in quotes)",
		               r->config->file, line);
	config_init(&cfg);
	config_set_include_dir(&cfg, r->folder);
	if (!config_read_string(&cfg, text)) {
		file = config_error_file(&cfg);
		e = err_set(r->m, ERR_FORMAT, "%s:%d: %s", file ? file : r->config->file, config_error_line(&cfg),
		            config_error_text(&cfg));
	} else {
		e = read_settings(r, &cfg);
	}
	config_destroy(&cfg);
	return e;
}

enum err config_load(const char *path, struct config *out, struct errmsg *m)
{
	struct buf text = BUF_EMPTY;
	char folder[CONFIG_PATH_BYTES];
	struct reading r = {out, folder, m};
	enum err e;

	memset(out, 0, sizeof *out);
	if (strlen(path) >= sizeof out->file)
		return err_set(m, ERR_TOO_LARGE, "the configuration's path is over %zu bytes (choose a shorter one)", sizeof out->file - 1);
	strcpy(out->file, path);
	folder_of(path, folder);
	e = config_read_whole(path, CONFIG_FILE_BYTES, &text, m);
	if (e)
		goto out;
	if (memchr(text.ptr ? text.ptr : (const uint8_t *)"", 0, text.len)) {
		e = err_set(m, ERR_FORMAT, "%s: a NUL byte (it is not a text file)", path);
		goto out;
	}
	buf_add_u8(&text, 0);
	e = buf_ok(&text) ? parse_text(&r, (const char *)text.ptr) : err_set(m, ERR_NOMEM, "%s: out of memory", path);
out:
	buf_release(&text);
	return e;
}

/* ---- the files it names ----------------------------------------------------------------------------- */

static enum err read_fd(int fd, const char *path, size_t max, struct buf *out, struct errmsg *m)
{
	size_t start = out->len;
	ssize_t n;

	do {
		uint8_t *room = buf_extend(out, 4096);

		if (!room)
			return err_set(m, ERR_NOMEM, "%s: out of memory", path);
		n = read(fd, room, 4096);
		out->len -= 4096 - (n > 0 ? (size_t)n : 0);
		if (n < 0 && errno != EINTR)
			return err_set(m, ERR_IO, "%s: %s", path, strerror(errno));
		if (out->len - start > max)
			return err_set(m, ERR_TOO_LARGE, "%s: over %zu bytes (it is not what it should be)", path, max);
	} while (n);
	return ERR_OK;
}

/* O_NONBLOCK: a fifo in the place of a file must not hold us up. */
static enum err open_file(const char *path, int *fd, struct stat *st, struct errmsg *m)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0 && errno == ENOENT)
		return err_set(m, ERR_NOT_FOUND, "%s: %s (make it, or correct its name)", path, strerror(errno));
	if (*fd < 0 && errno == EACCES)
		return err_set(m, ERR_NOT_PERMITTED, "%s: %s (another user may, or the file belongs to the wrong one)", path, strerror(errno));
	if (*fd < 0)
		return err_set(m, ERR_IO, "%s: %s", path, strerror(errno));
	if (fstat(*fd, st) == 0 && S_ISREG(st->st_mode))
		return ERR_OK;
	close(*fd);
	return err_set(m, ERR_IO, "%s: it is not a regular file", path);
}

enum err config_read_whole(const char *path, size_t max, struct buf *out, struct errmsg *m)
{
	struct stat st;
	int fd;
	enum err e = open_file(path, &fd, &st, m);

	if (e)
		return e;
	e = read_fd(fd, path, max, out, m);
	close(fd);
	return e;
}

enum err config_load_authority(const struct config *c, struct minisign_public *out, struct errmsg *m)
{
	struct buf text = BUF_EMPTY;
	enum err e = config_read_whole(c->authority, SMALL_FILE_BYTES, &text, m);

	if (!e && minisign_public_parse(buf_view(&text), out))
		e = err_set(m, ERR_FORMAT, "%s: it is not a minisign public key (it is the .pub file of the network's authority)", c->authority);
	buf_release(&text);
	return e;
}

void config_dictionary_path(const struct config *c, const struct hash *h, char *out, size_t size)
{
	const char *slash = strrchr(c->roster, '/');
	char hex[9];

	hex_format(h->b, 4, hex);
	snprintf(out, size, "%.*sdictionary-%s.zdict", slash ? (int)(slash + 1 - c->roster) : 0, c->roster, hex);
}

enum err config_load_roster(const struct config *c, struct roster **out, struct errmsg *m)
{
	struct buf text = BUF_EMPTY, signature = BUF_EMPTY;
	char path[CONFIG_PATH_BYTES + 16];
	struct minisign_public authority;
	enum err e;

	*out = NULL;
	snprintf(path, sizeof path, "%s.minisig", c->roster);
	e = config_load_authority(c, &authority, m);
	if (!e)
		e = config_read_whole(c->roster, LIMIT_ROSTER_BYTES, &text, m);
	if (!e)
		e = config_read_whole(path, SMALL_FILE_BYTES, &signature, m);
	if (!e)
		e = roster_open(c->roster, buf_view(&text), buf_view(&signature), &authority, out, m);
	buf_release(&text);
	buf_release(&signature);
	return e;
}

/* systemd shows the access list of a credential as its group's bits; its folder is closed to others. */
static bool is_credential(const char *path)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	size_t n = folder ? strlen(folder) : 0;

	return n && strncmp(path, folder, n) == 0 && path[n] == '/';
}

static enum err check_private(const char *path, const struct stat *st, struct errmsg *m)
{
	mode_t forbidden = is_credential(path) ? S_IRWXO | S_IWGRP : S_IRWXG | S_IRWXO;

	if (st->st_uid != geteuid() && st->st_uid != 0)
		return err_set(m, ERR_NOT_PERMITTED, "%s: it belongs to user %u, neither to us nor to root (chown it, and make new keys if others could read it)",
		               path, (unsigned)st->st_uid);
	if (st->st_mode & forbidden)
		return err_set(m, ERR_NOT_PERMITTED, "%s: others can read or write it, mode %03o (chmod 600, and make new keys if anybody did)", path,
		               (unsigned)st->st_mode & 0777);
	return ERR_OK;
}

static void wipe_buf(struct buf *b)
{
	if (b->ptr)
		crypt_wipe(b->ptr, b->cap);
	buf_release(b);
}

enum err config_load_keys(const struct config *c, struct site_keys *out, struct errmsg *m)
{
	struct buf text = BUF_EMPTY;
	struct stat st;
	int fd;
	enum err e;

	if (strncmp(c->keys, CREDENTIAL, strlen(CREDENTIAL)) == 0)
		return err_set(m, ERR_NOT_FOUND, "%s: keys: \"%s\" only works in a systemd service that loads it (LoadCredential=)", c->file, c->keys);
	e = open_file(c->keys, &fd, &st, m);

	if (e)
		return e;
	/* room for all of it at once: a growing buffer would leave copies behind */
	if (buf_extend(&text, SMALL_FILE_BYTES + 8192))
		text.len = 0;
	e = check_private(c->keys, &st, m);
	if (!e)
		e = read_fd(fd, c->keys, SMALL_FILE_BYTES, &text, m);
	close(fd);
	if (!e)
		e = site_keys_parse(c->keys, buf_view(&text), out, m);
	wipe_buf(&text);
	if (!e && strcmp(out->site, c->site) != 0) {
		e = err_set(m, ERR_CONFLICT, "%s: these are the keys of %s, and the configuration is of %s (correct keys or site)", c->keys,
		            out->site, c->site);
		site_keys_wipe(out);
	}
	return e;
}
