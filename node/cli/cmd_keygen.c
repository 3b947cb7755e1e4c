/* keygen: the keys of one site, or of an authority. Secrets go to files of mode 0600 and nowhere else. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/cli/keys.h"
#include "node/cli/cli.h"
#include "node/cli/cmd.h"
#include "proto/keyfile.h"
#include "proto/roster.h"

struct keygen {
	const char *site, *network, *out, *number, *roster;
	bool authority, rotate;
};

static int usage(const struct cli *cli, const char *why)
{
	return cli_fail(cli, ERR_USAGE, "keygen: %s (keygen --site NAME [--network NAME] [--number N | --roster FILE] --out FILE, keygen --rotate --site NAME --out FILE, or keygen --authority --out PREFIX)",
			why);
}

/* ---- an authority --------------------------------------------------------------------------------------- */

static int print_authority(const struct cli *cli, const char *pub_path, const char *key_path, const struct minisign_public *pub)
{
	char text[200];
	minisign_public_format(pub, text, sizeof text);
	if (cli->json)
		return cli_print_object(cli, json_pack("{s:o, s:o, s:o}", "pub", cli_json_string(pub_path), "key", cli_json_string(key_path),
						       "public", cli_json_string(text)));
	printf("wrote %s (give it to every node) and %s (keep it offline: whoever has it can sign rosters)\n%s", pub_path, key_path, text);
	return EXIT_OK;
}

static int keygen_authority(const struct cli *cli, const char *prefix)
{
	struct minisign_public pub;
	struct minisign_secret sec = {0};
	struct errmsg m = {0};
	char *pub_path = NULL, *key_path = NULL;
	int status;
	if (asprintf(&pub_path, "%s.pub", prefix) < 0 || asprintf(&key_path, "%s.key", prefix) < 0) {
		status = cli_fail(cli, ERR_NOMEM, "keygen: out of memory (free some and try again)");
		goto out;
	}
	authority_make(&pub, &sec);
	/* The secret first: a public key without it would be of no use to anybody. */
	enum err e = access(pub_path, F_OK) == 0 ? err_set(&m, ERR_EXISTS, "%.300s: it is there already and is not overwritten (name another file)", pub_path)
						 : authority_write_secret(key_path, &sec, &m);
	if (e == ERR_OK)
		e = authority_write_public(pub_path, &pub, &m);
	status = e == ERR_OK ? print_authority(cli, pub_path, key_path, &pub) : cli_fail(cli, e, "%s", m.text);
out:
	crypt_wipe(&sec, sizeof sec);
	free(pub_path);
	free(key_path);
	return status;
}

/* ---- a site --------------------------------------------------------------------------------------------- */

/* The number is part of what the sealing signature covers: it is given, or is that of the site in the roster. */
static enum err find_number(const struct keygen *k, const struct roster *r, uint16_t *out, struct errmsg *m)
{
	if (k->number) {
		char *end;
		long n = strtol(k->number, &end, 10);
		if (*k->number < '0' || *k->number > '9' || *end || n < 1 || n > UINT16_MAX)
			return err_set(m, ERR_USAGE, "--number %.40s: not a site's number (1 to 65535)", k->number);
		*out = (uint16_t)n;
		return ERR_OK;
	}
	const struct site *s = roster_site_by_id(r, view_str(k->site));
	if (s == NULL)
		return err_set(m, ERR_UNKNOWN_SITE, "%s: not in %.200s (give --number N, the number it will have, or --roster FILE)", k->site,
			       k->roster ? k->roster : "the Belgian roster");
	*out = s->number;
	return ERR_OK;
}

/* A template or full roster; its signature does not matter here, for only names and numbers are taken from it. */
static enum err read_roster(const char *path, struct roster **out, struct errmsg *m)
{
	struct buf text = BUF_EMPTY;
	enum err e = ERR_OK;
	*out = NULL;
	if (path)
		e = cli_read_file(path, LIMIT_ROSTER_BYTES, &text, m);
	if (e == ERR_OK)
		e = roster_parse(path ? path : "belgium.conf", path ? buf_view(&text) : belgium_conf(), NULL, true, out, m);
	buf_release(&text);
	return e;
}

static int print_site(const struct cli *cli, const struct keygen *k, const struct site_keys *keys, uint16_t number)
{
	char identity[48], sealing[48], signature_text[96];
	struct signature sig;
	sealing_key_sign(&keys->identity, number, &keys->sealing[0].pub, &sig);
	base64_format(keys->identity_public.b, sizeof keys->identity_public.b, identity, sizeof identity);
	base64_format(keys->sealing[0].pub.b, sizeof keys->sealing[0].pub.b, sealing, sizeof sealing);
	base64_format(sig.b, sizeof sig.b, signature_text, sizeof signature_text);
	if (cli->json)
		return cli_print_object(cli, json_pack("{s:s, s:s, s:i, s:o, s:s, s:s, s:s, s:s}", "site", keys->site, "network", keys->network,
						       "number", (int)number, "file", cli_json_string(k->out), "identity", identity, "sealing",
						       sealing, "sealing-signature", signature_text, "link", keys->link_public.z85));
	printf("# wrote %s; these lines go into the roster, to site %s of network %s, number %u\n", k->out, keys->site, keys->network, number);
	if (k->rotate) {
		printf("# %zu sealing keys are in the file: the old ones open what was sealed to them. Restart the node before the roster is in force.\n",
		       keys->n_sealing);
		printf("sealing = \"%s\";\nsealing-signature = \"%s\";\n", sealing, signature_text);
		return EXIT_OK;
	}
	printf("identity = \"%s\";\nsealing = \"%s\";\nsealing-signature = \"%s\";\nlink = \"%s\";\n", identity, sealing, signature_text,
	       keys->link_public.z85);
	return EXIT_OK;
}

/* One more sealing key, in front of those that the file has. */
static enum err rotate(const struct keygen *k, struct site_keys *keys, struct errmsg *m)
{
	uint8_t seed[32];
	enum err e = site_keys_read(k->out, keys, m);
	if (e != ERR_OK)
		return e;
	if (strcmp(keys->site, k->site) != 0)
		return err_set(m, ERR_CONFLICT, "%.200s: it is the key file of %s, not of %s (nothing was changed)", k->out, keys->site, k->site);
	crypt_system_seed(seed);
	e = site_keys_rotate(seed, keys);
	crypt_wipe(seed, sizeof seed);
	if (e != ERR_OK)
		return err_set(m, e, "%.200s: it has %d sealing keys already (take out the last line, whose key is the oldest, once all that it opens is past retention)",
			       k->out, KEYFILE_SEALING_MAX);
	return site_keys_write(k->out, keys, true, m);
}

static int keygen_site(const struct cli *cli, const struct keygen *k)
{
	struct errmsg m = {0};
	struct roster *r = NULL;
	struct site_keys keys = {0};
	uint16_t number = 0;
	enum err e = read_roster(k->roster, &r, &m);
	if (e == ERR_OK)
		e = find_number(k, r, &number, &m);
	if (e == ERR_OK && k->rotate) {
		e = rotate(k, &keys, &m);
	} else if (e == ERR_OK) {
		uint8_t seed[32];
		crypt_system_seed(seed);
		site_keys_make(seed, k->site, k->network ? k->network : r->network, &keys);
		crypt_wipe(seed, sizeof seed);
		e = site_keys_write(k->out, &keys, false, &m);
	}
	int status = e == ERR_OK ? print_site(cli, k, &keys, number) : cli_fail(cli, e, "%s", m.text);
	site_keys_wipe(&keys);
	roster_free(r);
	return status;
}

int cmd_keygen(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"site", 1, NULL, 's'}, {"network", 1, NULL, 'n'}, {"out", 1, NULL, 'o'}, {"number", 1, NULL, 'N'},
						{"roster", 1, NULL, 'r'}, {"authority", 0, NULL, 'a'}, {"rotate", 0, NULL, 'R'}, {0}};
	struct keygen k = {0};
	cli_options_begin();
	for (int c; (c = cli_option(cli, argc, argv, options)) != -1;) {
		switch (c) {
		case 's': k.site = optarg; break;
		case 'n': k.network = optarg; break;
		case 'o': k.out = optarg; break;
		case 'N': k.number = optarg; break;
		case 'r': k.roster = optarg; break;
		case 'a': k.authority = true; break;
		case 'R': k.rotate = true; break;
		default: return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return usage(cli, "it takes no arguments");
	if (k.out == NULL)
		return usage(cli, "--out is missing");
	if (k.authority == (k.site != NULL))
		return usage(cli, "it makes the keys of one site or of an authority");
	if (k.rotate && (k.authority || k.network))
		return usage(cli, "--rotate adds a sealing key to the key file of a site, whose network it names already");
	if (k.authority)
		return k.network || k.number || k.roster ? usage(cli, "--authority takes --out only") : keygen_authority(cli, k.out);
	if (!view_is_name(view_str(k.site)) || (k.network && !view_is_name(view_str(k.network))))
		return usage(cli, "a name is lower case letters, digits and '-', a letter first");
	return keygen_site(cli, &k);
}
