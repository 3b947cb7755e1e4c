/* order_authority.c - the authority's endorsement of an order, signed here with its secret key.
 *
 * The node gives the order itself, and what is signed is the name of that: the command reads kind and site from the signed
 * bytes, so that no node can have another order endorsed than the one that was meant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/cli/keys.h"
#include "node/cli/order.h"
#include "node/cli/session.h"
#include "proto/order.h"

#define ENDORSEMENT_US (7 * US_PER_DAY)

struct fetched {
	struct order_answer answer;
	struct buf blob;
	bool bad;
};

static int fetched_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct fetched *f = arg;
	if (n != 1 || strcmp(m[0].name, "blob") != 0 || m[0].kind != ESTAFETTE_TEXT)
		return order_answer_row(&f->answer, m, n);
	size_t text = strlen(m[0].text), bytes = text / 4 * 3;
	for (size_t i = 1; i <= 2 && i <= text; i++)
		bytes -= m[0].text[text - i] == '=';
	uint8_t *to = buf_extend(&f->blob, bytes);
	f->bad |= to == NULL || base64_parse(view_str(m[0].text), to, bytes) != ERR_OK;
	return 0;
}

/* Is the key that of the network whose roster this node uses? */
static enum err check_network(const struct roster *r, const struct minisign_public *pub, const char *path, struct errmsg *m)
{
	struct hash h = roster_network_hash(r->network, pub);
	if (hash_equal(&h, &r->network_hash))
		return ERR_OK;
	return err_set(m, ERR_KEY, "%.300s: it is not the key of the authority of the network %s", path, r->network);
}

static enum err check_order(const struct roster *r, const struct order *o, const struct hash *id, const char *named, const struct estafette_order *want,
                            struct errmsg *m)
{
	const struct site *s = roster_site(r, o->site);
	char hex[2 * HASH_BYTES + 1];
	hex_format(id->b, HASH_BYTES, hex);
	if (strncmp(hex, named, strlen(named)) != 0 || (want != NULL && (strcmp(order_kind_name(o->kind), want->kind) != 0 || s == NULL || strcmp(s->id, want->site) != 0)))
		return err_set(m, ERR_CONFLICT, "order %.16s: the node shows another order than the one that was meant: nothing is signed", named);
	return ERR_OK;
}

/* On a terminal people see what the key is used for. */
static void say_order(const struct roster *r, const struct order *o)
{
	struct buf lines = BUF_EMPTY;
	char name[LIMIT_NAME_BYTES + 1];
	if (!isatty(STDERR_FILENO))
		return;
	order_text(r, o, &lines);
	fprintf(stderr, "the authority endorses: %s of %s\n%.*s", order_kind_name(o->kind), roster_site_name(r, o->site, name), (int)lines.len, (const char *)lines.ptr);
	buf_release(&lines);
}

static enum err load(struct cli *cli, struct roster **roster, struct errmsg *m)
{
	char path[CONFIG_PATH_BYTES];
	int status;
	struct config *config = calloc(1, sizeof *config);
	enum err e = ERR_NOMEM;
	if (config == NULL || !session_conf(cli, path, &status))
		err_set(m, e, "node.conf: it cannot be read");
	else if ((e = config_load(path, config, m)) == ERR_OK)
		e = config_load_roster(config, roster, m);
	free(config);
	return e;
}

int order_authority_check(struct cli *cli, const char *key_path)
{
	struct minisign_secret sec = {0};
	struct minisign_public pub;
	struct roster *r = NULL;
	struct errmsg m = {0};
	enum err e = authority_read_secret(key_path, &sec, &pub, &m);
	if (e == ERR_OK)
		e = load(cli, &r, &m);
	if (e == ERR_OK)
		e = check_network(r, &pub, key_path, &m);
	crypt_wipe(&sec, sizeof sec);
	roster_free(r);
	return e == ERR_OK ? EXIT_OK : cli_fail(cli, e, "%s", m.text);
}

static enum err sign(const struct minisign_secret *sec, const struct hash *network, const struct hash *order, struct buf *out, struct errmsg *m)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	struct endorsement en = {.order = *order, .signed_at = {t.tv_sec * US_PER_S + t.tv_nsec / 1000}};
	en.last.us = en.signed_at.us + ENDORSEMENT_US;
	enum err e = endorsement_make(&crypt_suite_real, &sec->key, network, &en, out);
	return e == ERR_OK ? e : err_set(m, e, "endorsement: %s", err_text(e));
}

static enum err prepare(struct cli *cli, const char *key_path, const char *named, const struct estafette_order *want, struct fetched *f, struct buf *out,
                        struct errmsg *m)
{
	struct minisign_secret sec = {0};
	struct minisign_public pub;
	struct roster *r = NULL;
	struct order *o = malloc(sizeof *o);
	struct hash id;
	enum err e = o == NULL ? err_set(m, ERR_NOMEM, "order: out of memory") : authority_read_secret(key_path, &sec, &pub, m);
	if (e == ERR_OK)
		e = load(cli, &r, m);
	if (e == ERR_OK)
		e = check_network(r, &pub, key_path, m);
	if (e == ERR_OK && (f->bad || (e = order_decode(buf_view(&f->blob), o, &id)) != ERR_OK))
		e = err_set(m, e ? e : ERR_FORMAT, "order %.16s: what the node shows of it cannot be read", named);
	if (e == ERR_OK)
		e = check_order(r, o, &id, named, want, m);
	if (e == ERR_OK) {
		say_order(r, o);
		e = sign(&sec, &r->network_hash, &id, out, m);
	}
	crypt_wipe(&sec, sizeof sec);
	roster_free(r);
	free(o);
	return e;
}

int order_authority(struct cli *cli, estafette *h, const char *key_path, const char *order, const struct estafette_order *want, struct order_answer *answer)
{
	struct fetched f = {.bad = false};
	struct buf blob = BUF_EMPTY;
	struct errmsg m = {0};
	int status = EXIT_OK;
	if (estafette_endorse(h, order, 1, fetched_row, &f, ORDER_ANSWER_MS) != ESTAFETTE_OK) {
		status = session_fail(cli, h, "");
		goto out;
	}
	enum err e = prepare(cli, key_path, order, want, &f, &blob, &m);
	if (e != ERR_OK)
		status = cli_fail(cli, e, "%s", m.text);
	else if (estafette_endorse_signed(h, blob.ptr, blob.len, order_answer_row, answer, ORDER_ANSWER_MS) != ESTAFETTE_OK)
		status = session_fail(cli, h, "");
out:
	buf_release(&f.blob);
	buf_release(&blob);
	return status;
}
