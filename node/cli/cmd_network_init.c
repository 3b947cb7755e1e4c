/* network init: a practice network on one machine: keys, a signed roster, and a folder for each node. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node/cli/aside.h"
#include "node/cli/cli.h"
#include "node/cli/cmd.h"
#include "node/cli/keys.h"
#include "node/cli/loopback.h"
#include "node/cli/output.h"
#include "proto/roster.h"
#include "storage/store.h"

struct init {
	const char *dir, *roster_path, *sites; /* as given; NULL when not */
	size_t n_bearers;
	uint16_t base_port;                    /* 0: any that are free */
	struct aside folder;
	struct roster *roster;
	struct minisign_public pub;
	struct minisign_secret sec;
	struct errmsg m;
};

static enum err fail_nomem(struct init *in)
{
	return err_set(&in->m, ERR_NOMEM, "network init: out of memory (free some and try again)");
}

/* ---- the roster ----------------------------------------------------------------------------------------- */

static enum err read_roster(struct init *in)
{
	struct buf text = BUF_EMPTY;
	enum err e;
	if (in->roster_path == NULL)
		return roster_parse("belgium.conf", belgium_conf(), NULL, true, &in->roster, &in->m);
	e = cli_read_file(in->roster_path, LIMIT_ROSTER_BYTES, &text, &in->m);
	if (e == ERR_OK)
		e = roster_parse(in->roster_path, buf_view(&text), NULL, true, &in->roster, &in->m);
	buf_release(&text);
	return e;
}

static enum err add_site(struct init *in, struct view name, uint16_t *keep, size_t *n)
{
	const struct site *s = roster_site_by_id(in->roster, name);
	if (s == NULL)
		return err_set(&in->m, ERR_UNKNOWN_SITE, "--sites: %.*s: no such site in the roster (compare its spelling)",
			       (int)(name.len < 100 ? name.len : 100), (const char *)name.ptr);
	for (size_t i = 0; i < *n; i++)
		if (keep[i] == s->number)
			return err_set(&in->m, ERR_USAGE, "--sites: %s is named twice (once is enough)", s->id);
	keep[(*n)++] = s->number;
	return ERR_OK;
}

/* --sites A,B,..: the roster is cut to those. */
static enum err cut_sites(struct init *in)
{
	uint16_t keep[LIMIT_SITES];
	size_t n = 0;
	if (in->sites == NULL)
		return ERR_OK;
	for (const char *p = in->sites;; p++) {
		size_t len = strcspn(p, ",");
		enum err e = add_site(in, view_of(p, len), keep, &n);
		if (e != ERR_OK)
			return e;
		p += len;
		if (*p == '\0')
			break;
	}
	return roster_cut(in->roster, keep, n);
}

/* Bearers of this machine, each dearer than the one before, so that they can be cut one by one; keys and bearers that a full roster brought are replaced. */
static enum err set_bearers(struct init *in)
{
	static const char *const names[LIMIT_BEARERS] = {"loopback", "loopback-2", "loopback-3", "loopback-4", "loopback-5", "loopback-6", "loopback-7", "loopback-8"};
	uint16_t *ports = calloc(LIMIT_SITES * LIMIT_BEARERS, sizeof *ports);
	struct roster *r = in->roster;
	enum err e = ports ? loopback_ports(in->base_port, r->n_sites * in->n_bearers, ports, &in->m) : fail_nomem(in);
	for (size_t i = 0; e == ERR_OK && i < r->n_sites; i++) {
		for (size_t k = 0; k < in->n_bearers; k++) {
			struct bearer *b = &r->sites[i].bearers[k];
			*b = (struct bearer){.cost = 10 * (int)(k + 1), .bulk = true};
			strcpy(b->name, names[k]);
			snprintf(b->endpoint, sizeof b->endpoint, "tcp://127.0.0.1:%u", ports[k * r->n_sites + i]);
		}
		r->sites[i].n_bearers = in->n_bearers;
	}
	r->has_keys = true;
	free(ports);
	return e;
}

/* ---- files ---------------------------------------------------------------------------------------------- */

static char *path_of(const char *folder, const char *fmt, ...) PRINTF_LIKE(2, 3);
static char *path_of(const char *folder, const char *fmt, ...)
{
	char *rest = NULL, *path = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&rest, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	if (asprintf(&path, "%s/%s", folder, rest) < 0)
		path = NULL;
	free(rest);
	return path;
}

/* A string for libconfig: a path may hold any byte. */
static void add_quoted(struct buf *out, const char *text)
{
	buf_add_u8(out, '"');
	for (; *text; text++) {
		char escape[8];
		if (*text == '"' || *text == '\\')
			snprintf(escape, sizeof escape, "\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			snprintf(escape, sizeof escape, "\\x%02x", (unsigned)*text);
		else
			snprintf(escape, sizeof escape, "%c", *text);
		buf_add(out, view_str(escape));
	}
	buf_add_u8(out, '"');
}

static void add_setting(struct buf *out, const char *name, const char *value, const char *comment)
{
	buf_add(out, view_str(name));
	buf_add(out, view_str(" = "));
	add_quoted(out, value);
	buf_add(out, view_str(";"));
	buf_add(out, view_str(comment));
	buf_add(out, view_str("\n"));
}

/* What node.conf names lies in the finished place, not where it is being made. */
static enum err node_conf_text(struct init *in, const struct site *s, struct buf *out)
{
	const char *place = in->folder.place;
	char *roster = path_of(place, "roster.conf"), *authority = path_of(place, "authority.pub"), *keys = path_of(place, "%s/keys", s->id);
	char *journal = path_of(place, "%s/journal", s->id), *wanted = path_of(place, "%s/socket", s->id), *actual = NULL;
	enum err e = roster && authority && keys && journal && wanted ? loopback_socket(wanted, &actual, &in->m) : fail_nomem(in);
	if (e == ERR_OK) {
		char clients[200];
		add_setting(out, "site", s->id, "");
		add_setting(out, "roster", roster, "   # its .minisig lies beside it");
		add_setting(out, "authority", authority, "");
		add_setting(out, "keys", keys, "");
		add_setting(out, "journal", journal, "");
		add_setting(out, "socket", actual, strcmp(actual, wanted) ? "   # a short one: a socket's path holds 107 bytes" : "");
		snprintf(clients, sizeof clients,
			 "clients = ( { uid = \"%u\"; name = \"operator\"; precedence = \"flash\"; may = ( \"send\", \"take\", \"operate\" ); } );\n",
			 (unsigned)getuid());
		buf_add(out, view_str(clients));
		e = buf_ok(out) ? ERR_OK : fail_nomem(in);
	}
	free(roster);
	free(authority);
	free(keys);
	free(journal);
	free(wanted);
	free(actual);
	return e;
}

static enum err make_folder(struct init *in, const char *path)
{
	if (path == NULL)
		return fail_nomem(in);
	if (mkdir(path, 0700) == 0)
		return ERR_OK;
	return err_set(&in->m, ERR_IO, "%.300s: it cannot be made: %s", path, strerror(errno));
}

/* The journal that the node of a site begins with. */
static enum err make_journal(struct init *in, const struct site *s)
{
	char *path = path_of(in->folder.building, "%s/journal", s->id);
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	struct store_birth birth = {.site = s->number, .how = BIRTH_FRESH, .network = roster_network_hash(in->roster->network, &in->pub),
	                            .born = {(int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000}};
	struct store_options options = {0};
	memcpy(birth.site_id, s->id, sizeof birth.site_id);
	enum err e = path ? store_create(path, &birth, &options, &in->m) : fail_nomem(in);
	free(path);
	return e;
}

/* Fresh keys: the secret half to its file, the public half into the roster. */
static enum err make_keys(struct init *in, struct site *s)
{
	uint8_t seed[32];
	struct site_keys k;
	char *path = path_of(in->folder.building, "%s/keys", s->id);
	crypt_system_seed(seed);
	site_keys_make(seed, s->id, in->roster->network, &k);
	s->identity = k.identity_public;
	s->link = k.link_public;
	s->sealing = k.sealing[0].pub;
	sealing_key_sign(&k.identity, s->number, &s->sealing, &s->sealing_signature);
	enum err e = path ? site_keys_write(path, &k, false, &in->m) : fail_nomem(in);
	site_keys_wipe(&k);
	crypt_wipe(seed, sizeof seed);
	free(path);
	return e;
}

static enum err write_node_conf(struct init *in, const struct site *s)
{
	struct buf text = BUF_EMPTY;
	char *path = path_of(in->folder.building, "%s/node.conf", s->id);
	enum err e = path ? node_conf_text(in, s, &text) : fail_nomem(in);
	if (e == ERR_OK)
		e = cli_write_file(path, 0600, buf_view(&text), false, &in->m);
	buf_release(&text);
	free(path);
	return e;
}

static enum err make_site(struct init *in, struct site *s)
{
	char *path = path_of(in->folder.building, "%s", s->id);
	enum err e = make_folder(in, path);
	if (e == ERR_OK)
		e = make_keys(in, s);
	if (e == ERR_OK)
		e = make_journal(in, s);
	if (e == ERR_OK)
		e = write_node_conf(in, s);
	free(path);
	return e;
}

static enum err write_roster(struct init *in)
{
	struct buf text = BUF_EMPTY;
	char *path = path_of(in->folder.building, "roster.conf");
	enum err e = path && roster_format(in->roster, &text) == ERR_OK ? ERR_OK : fail_nomem(in);
	if (e == ERR_OK)
		e = cli_write_file(path, 0644, buf_view(&text), false, &in->m);
	if (e == ERR_OK)
		e = roster_write_signature(path, buf_view(&text), in->roster, &in->sec, &in->m);
	buf_release(&text);
	free(path);
	return e;
}

static enum err write_authority(struct init *in)
{
	char *pub = path_of(in->folder.building, "authority.pub"), *key = path_of(in->folder.building, "authority.key");
	enum err e = pub && key ? ERR_OK : fail_nomem(in);
	authority_make(&in->pub, &in->sec);
	if (e == ERR_OK)
		e = authority_write_secret(key, &in->sec, &in->m);
	if (e == ERR_OK)
		e = authority_write_public(pub, &in->pub, &in->m);
	free(pub);
	free(key);
	return e;
}

static enum err make_all(struct init *in)
{
	enum err e = write_authority(in);
	for (size_t i = 0; e == ERR_OK && i < in->roster->n_sites; i++)
		e = make_site(in, &in->roster->sites[i]);
	return e == ERR_OK ? write_roster(in) : e;
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static int print_sites(const struct cli *cli, const struct init *in)
{
	struct output o;
	output_begin(&o, cli);
	for (size_t i = 0; i < in->roster->n_sites; i++) {
		const struct site *s = &in->roster->sites[i];
		char *conf = path_of(cli->json ? in->folder.place : in->dir, "%s/node.conf", s->id);
		struct estafette_member row[] = {
			MEMBER_TEXT("site", s->id),
			MEMBER_TEXT("endpoint", s->bearers[0].endpoint),
			MEMBER_TEXT("conf", conf),
		};
		output_row(&o, row, sizeof row / sizeof *row);
		free(conf);
	}
	return output_end(&o, NULL);
}

static int print_made(const struct cli *cli, const struct init *in)
{
	if (!cli->json)
		printf("made %s: network %s, roster %u of %zu sites, signed by authority.key (of a practice network only)\n\n", in->folder.place,
		       in->roster->network, in->roster->serial, in->roster->n_sites);
	int status = print_sites(cli, in);
	if (!cli->json && status == EXIT_OK)
		printf("\nnext: estafette network up %s\n", in->dir);
	return status;
}

static int init(const struct cli *cli, struct init *in)
{
	enum err e = read_roster(in);
	if (e == ERR_OK)
		e = cut_sites(in);
	if (e == ERR_OK)
		e = set_bearers(in);
	if (e == ERR_OK)
		e = aside_begin(in->dir, &in->folder, &in->m);
	if (e == ERR_OK)
		e = make_all(in);
	if (e == ERR_OK)
		e = aside_finish(&in->folder, &in->m);
	int status = e == ERR_OK ? print_made(cli, in) : cli_fail(cli, e, "%s", in->m.text);
	crypt_wipe(&in->sec, sizeof in->sec);
	aside_release(&in->folder);
	roster_free(in->roster);
	return status;
}

static int read_port(const struct cli *cli, const char *text, uint16_t *out)
{
	char *end;
	long n = strtol(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || n < 1 || n > 65535)
		return cli_fail(cli, ERR_USAGE, "--base-port %s: not a port (1 to 65535)", text);
	*out = (uint16_t)n;
	return EXIT_OK;
}

int cmd_network_init(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"roster", 1, NULL, 'r'}, {"sites", 1, NULL, 's'}, {"base-port", 1, NULL, 'b'}, {"bearers", 1, NULL, 'n'}, {0}};
	struct init in = {.n_bearers = 1};
	const char *port = NULL, *bearers = NULL;
	cli_options_begin();
	for (int c; (c = cli_option(cli, argc, argv, options)) != -1;) {
		switch (c) {
		case 'r': in.roster_path = optarg; break;
		case 's': in.sites = optarg; break;
		case 'b': port = optarg; break;
		case 'n': bearers = optarg; break;
		default: return EXIT_USAGE;
		}
	}
	if (port && read_port(cli, port, &in.base_port) != EXIT_OK)
		return EXIT_USAGE;
	if (bearers && (strlen(bearers) != 1 || *bearers < '1' || *bearers > '0' + LIMIT_BEARERS))
		return cli_fail(cli, ERR_USAGE, "--bearers %s: 1 to %d", bearers, LIMIT_BEARERS);
	if (bearers)
		in.n_bearers = (size_t)(*bearers - '0');
	if (argc - optind != 1 || argv[optind][0] == '\0')
		return cli_fail(cli, ERR_USAGE, "network init: it takes one folder (network init DIR [--roster FILE] [--sites A,B,..] [--base-port N] [--bearers N])");
	in.dir = argv[optind];
	return init(cli, &in);
}
