/* main.c - estafetted: the node of one site, in the foreground. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "node/core/core.h"
#include "node/daemon/config.h"
#include "node/daemon/driver.h"
#include "node/daemon/log.h"
#include "node/daemon/net.h"

#define OPEN_FILES 8192

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };

/* What is read before there is a node. */
struct start {
	struct config config;
	struct site_keys keys;
	struct roster *roster;
	struct minisign_public authority;
	bool rival; /* the roster's file holds another one with the same serial */
};

static int usage(const char *why)
{
	fprintf(stderr, "estafetted: %s (estafetted -c FILE runs the node, -n checks its configuration, -V says the version)\n", why);
	return EXIT_USAGE;
}

/* A standard descriptor that whoever started us closed would become the journal's file, and the log would write over it. */
static void fill_closed_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			abort();
}

static void limit_process(void)
{
	struct rlimit none = {0, 0}, files;

	umask(0077);
	setrlimit(RLIMIT_CORE, &none); /* keys and bodies are in memory */
	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= OPEN_FILES)
		return;
	files.rlim_cur = files.rlim_max < OPEN_FILES ? files.rlim_max : OPEN_FILES;
	setrlimit(RLIMIT_NOFILE, &files);
}

static enum err load(const char *path, struct start *s, struct errmsg *m)
{
	enum err e = config_load(path, &s->config, m);

	if (!e)
		e = config_load_authority(&s->config, &s->authority, m);
	if (!e)
		e = config_load_roster(&s->config, &s->roster, m);
	if (!e)
		e = config_load_keys(&s->config, &s->keys, m);
	return e ? e : site_keys_check(&s->keys, s->roster, m);
}

/* The core and the network thread have a roster each. */
static enum err second_roster(const struct start *s, struct roster **out, struct errmsg *m)
{
	return roster_blob_open(view_of(s->roster->blob.ptr, s->roster->blob.len), &s->authority, out, m);
}

/* A roster that came from a peer is in the journal and may be newer than the file. A serial never goes down. */
static enum err newer_of_journal(struct start *s, struct store *store, struct errmsg *m)
{
	struct roster *kept;
	enum err e = core_kept_roster(store, &s->authority, &kept);

	if (e)
		return err_set(m, e, "%s: the rosters in the journal cannot be read: %s", s->config.journal, err_text(e));
	if (!kept || kept->serial < s->roster->serial || hash_equal(&kept->hash, &s->roster->hash)) {
		roster_free(kept);
		return ERR_OK;
	}
	s->rival = kept->serial == s->roster->serial;
	if (s->rival)
		log_line(LEVEL_CRITICAL, "%s: it holds another roster with the serial %u, which was in force: that stays so (sign one with a higher serial)",
		         s->config.roster, kept->serial);
	else
		log_line(LEVEL_NOTICE, "%s: it has serial %u; serial %u came from a peer before and is in force", s->config.roster, s->roster->serial,
		         kept->serial);
	roster_free(s->roster);
	s->roster = kept; /* transferred */
	return site_keys_check(&s->keys, s->roster, m);
}

/* ---- the journal ---------------------------------------------------------------------------------------- */

static enum err create_journal(const struct start *s, const struct store_options *o, struct errmsg *m)
{
	const struct site *self = roster_site_by_id(s->roster, view_str(s->config.site));
	struct store_birth birth = {.site = self->number, .network = s->roster->network_hash, .how = BIRTH_LOST, .born = driver_wall()};
	enum err e;

	strcpy(birth.site_id, self->id);
	e = store_create(s->config.journal, &birth, o, m);
	if (!e)
		log_line(LEVEL_CRITICAL, "%s: there was no journal, an empty one was made; whatever this site had is lost here until its peers give it back",
		         s->config.journal);
	return e;
}

static enum err open_journal(const struct start *s, struct store **out, struct errmsg *m)
{
	struct store_options o = {.quota_bytes = s->config.quota_bytes, .reserve_bytes = s->config.reserve_bytes};
	enum err e;

	sd_notify(0, "EXTEND_TIMEOUT_USEC=120000000\nSTATUS=opening the journal");
	e = store_open(s->config.journal, &o, out, m);
	if (e == ERR_NOT_FOUND) {
		e = create_journal(s, &o, m);
		if (!e)
			e = store_open(s->config.journal, &o, out, m);
	}
	if (e == ERR_LOCKED)
		return err_set(m, e, "%s: another estafetted has this journal open (stop it first)", s->config.journal);
	if (!e && store_upgraded_from(*out))
		log_line(LEVEL_NOTICE, "%s: the journal had schema %u and has %u now; an earlier version of this program will not open it any more",
		         s->config.journal, store_upgraded_from(*out), STORE_SCHEMA);
	return e;
}

/* ---- the node ------------------------------------------------------------------------------------------- */

static enum err open_core(const struct start *s, struct store *store, struct core **out, struct errmsg *m)
{
	const struct config *c = &s->config;
	struct core_config k = {
		.suite = &crypt_suite_real,
		.keys = s->keys,
		.lease_us = c->lease_us,
		.window_urgent_bytes = c->window_urgent_bytes,
		.window_bulk_bytes = c->window_bulk_bytes,
		.probe_us = c->probe_us,
		.unattended_us = c->unattended_us,
		.clock_skew_us = c->clock_skew_us,
		.max_clients = (int)c->max_clients,
		.keep = {{c->keep_bodies_us, c->keep_exercise_bodies_us}, {c->keep_headers_us, c->keep_exercise_headers_us}, c->keep_unread_us},
		.scrub_us = c->scrub_us,
		.assist_waiting = (int)c->assist_waiting,
		.assist_oldest_us = c->assist_oldest_us,
		.assist_stop = (int)c->assist_stop,
	};
	struct roster *roster;
	enum err e = second_roster(s, &roster, m);

	if (!e) {
		k.has_authority = true;
		k.authority = s->authority.key;
		memcpy(k.authority_id, s->authority.key_id, sizeof k.authority_id);
		k.rival_roster = s->rival;
		crypt_system_seed(k.seed);
		e = core_new(&k, roster, store, out, m);
	}
	crypt_wipe(&k, sizeof k);
	return e;
}

static int run(struct start *s)
{
	struct store *store = NULL;
	struct core *core = NULL;
	struct errmsg m;
	int status = EXIT_REFUSED;
	enum err e;

	net_block_signals(); /* before any thread exists */
	log_start();
	log_set_level(s->config.log_level);
	e = open_journal(s, &store, &m);
	if (!e)
		e = newer_of_journal(s, store, &m);
	if (!e)
		e = open_core(s, store, &core, &m);
	if (e) {
		log_line(LEVEL_ERROR, "%s", m.text);
	} else {
		struct net_config n = {&s->config, &s->keys, s->roster, &s->authority, core, store};

		s->roster = NULL; /* transferred */
		status = net_run(&n) == 0 ? EXIT_SUCCESS : EXIT_REFUSED;
	}
	core_free(core);
	store_close(store);
	return status;
}

static int check(const struct start *s)
{
	printf("%s: ok: site %s, network %s, roster serial %u, %zu sites\n", s->config.file, s->config.site, s->roster->network,
	       s->roster->serial, s->roster->n_sites);
	return EXIT_SUCCESS;
}

static int start(const char *path, bool only_check)
{
	struct start *s = calloc(1, sizeof *s);
	int status = EXIT_REFUSED;
	struct errmsg m;

	if (!s || crypt_start()) {
		fprintf(stderr, "estafetted: %s\n", s ? "libsodium cannot start" : "out of memory");
		free(s);
		return EXIT_REFUSED;
	}
	if (load(path, s, &m))
		fprintf(stderr, "estafetted: %s\n", m.text);
	else
		status = only_check ? check(s) : run(s);
	roster_free(s->roster);
	site_keys_wipe(&s->keys);
	free(s);
	return status;
}

int main(int argc, char **argv)
{
	const char *path = NULL;
	bool only_check = false;
	int c;

	fill_closed_descriptors();
	opterr = 0;
	while ((c = getopt(argc, argv, "c:nV")) != -1) {
		switch (c) {
		case 'c':
			path = optarg;
			break;
		case 'n':
			only_check = true;
			break;
		case 'V':
			printf("estafetted %s\n", BUILD_VERSION);
			return EXIT_SUCCESS;
		default:
			return usage("unknown option, or one without its value");
		}
	}
	if (!path || optind < argc)
		return usage(path ? "too many arguments" : "no configuration file");
	limit_process();
	return start(path, only_check);
}
