/* roster sign | verify | show | diff: what an authority does on its offline machine, and anybody to see what was signed. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/cli/cli.h"
#include "node/cli/cmd.h"
#include "node/cli/keys.h"
#include "node/cli/output.h"
#include "proto/roster.h"

#define MINISIG_MAX 4096

struct call {
	const char *key, *pub;
	char **files;
	int n_files;
};

/* One roster file: its text, and what it says. */
struct loaded {
	struct buf text;
	struct roster *roster;
};

static void loaded_release(struct loaded *l)
{
	buf_release(&l->text);
	roster_free(l->roster);
}

static enum err load(const char *path, const struct minisign_public *authority, bool allow_template, struct loaded *out, struct errmsg *m)
{
	*out = (struct loaded){.text = BUF_EMPTY};
	enum err e = cli_read_file(path, LIMIT_ROSTER_BYTES, &out->text, m);
	return e == ERR_OK ? roster_parse(path, buf_view(&out->text), authority, allow_template, &out->roster, m) : e;
}

/* ---- sign ----------------------------------------------------------------------------------------------- */

static int print_signed(const struct cli *cli, const char *path, const struct roster *r)
{
	if (cli->json)
		return cli_print_object(cli, json_pack("{s:o, s:s, s:I, s:I}", "file", cli_json_string(path), "network", r->network, "serial",
						       (json_int_t)r->serial, "sites", (json_int_t)r->n_sites));
	printf("signed %s: network %s, serial %u, %zu sites; the signature is %s.minisig\n", path, r->network, r->serial, r->n_sites, path);
	return EXIT_OK;
}

static int roster_sign(const struct cli *cli, const struct call *c)
{
	struct minisign_secret sec = {0};
	struct minisign_public pub;
	struct loaded l = {.text = BUF_EMPTY};
	struct errmsg m = {0};
	enum err e = authority_read_secret(c->key, &sec, &pub, &m);
	if (e == ERR_OK) /* what nodes would refuse is not signed */
		e = load(c->files[0], &pub, false, &l, &m);
	if (e == ERR_OK)
		e = roster_write_signature(c->files[0], buf_view(&l.text), l.roster, &sec, &m);
	int status = e == ERR_OK ? print_signed(cli, c->files[0], l.roster) : cli_fail(cli, e, "%s", m.text);
	crypt_wipe(&sec, sizeof sec);
	loaded_release(&l);
	return status;
}

/* ---- verify --------------------------------------------------------------------------------------------- */

static int print_verified(const struct cli *cli, const char *path, const struct roster *r, const char *comment)
{
	if (cli->json)
		return cli_print_object(cli, json_pack("{s:o, s:s, s:I, s:I, s:o}", "file", cli_json_string(path), "network", r->network, "serial",
						       (json_int_t)r->serial, "sites", (json_int_t)r->n_sites, "comment", cli_json_string(comment)));
	printf("%s: the signature fits; network %s, serial %u, %zu sites (%s)\n", path, r->network, r->serial, r->n_sites, comment);
	return EXIT_OK;
}

static enum err read_signature(const char *path, struct buf *out, struct errmsg *m)
{
	char *name = NULL;
	if (asprintf(&name, "%s.minisig", path) < 0)
		return err_set(m, ERR_NOMEM, "roster: out of memory (free some and try again)");
	enum err e = cli_read_file(name, MINISIG_MAX, out, m);
	free(name);
	return e;
}

static int roster_verify(const struct cli *cli, const struct call *c)
{
	struct minisign_public pub;
	struct buf text = BUF_EMPTY, signature = BUF_EMPTY;
	struct roster *r = NULL;
	struct errmsg m = {0};
	char comment[512] = "";
	enum err e = authority_read_public(c->pub, &pub, &m);
	if (e == ERR_OK)
		e = cli_read_file(c->files[0], LIMIT_ROSTER_BYTES, &text, &m);
	if (e == ERR_OK)
		e = read_signature(c->files[0], &signature, &m);
	if (e == ERR_OK)
		e = roster_open(c->files[0], buf_view(&text), buf_view(&signature), &pub, &r, &m);
	if (e == ERR_OK && (e = minisign_verify(&pub, buf_view(&text), buf_view(&signature), comment, sizeof comment)) != ERR_OK)
		err_set(&m, e, "%.300s: the comment of its signature cannot be shown: %s", c->files[0], err_text(e));
	int status = e == ERR_OK ? print_verified(cli, c->files[0], r, comment) : cli_fail(cli, e, "%s", m.text);
	roster_free(r);
	buf_release(&text);
	buf_release(&signature);
	return status;
}

/* ---- show ----------------------------------------------------------------------------------------------- */

static void add_item(struct buf *list, const char *item)
{
	if (list->len > 0)
		buf_add_u8(list, '\n');
	buf_add(list, view_str(item));
}

/* The list as a string, as a member takes it; valid until the buffer changes. */
static const char *list_text(struct buf *list)
{
	buf_add_u8(list, 0);
	return buf_ok(list) ? (const char *)list->ptr : "";
}

static void add_sites(struct buf *list, const struct roster *r, const uint16_t *numbers, size_t n)
{
	char name[LIMIT_NAME_BYTES + 1];
	for (size_t i = 0; i < n; i++)
		add_item(list, roster_site_name(r, numbers[i], name));
}

static void show_site(struct output *o, const struct roster *r, const struct site *s)
{
	struct buf standbys = BUF_EMPTY, queues = BUF_EMPTY, bearers = BUF_EMPTY;
	add_sites(&standbys, r, s->standbys, s->n_standbys);
	for (size_t i = 0; i < s->n_queues; i++)
		add_item(&queues, s->queues[i].name);
	for (size_t i = 0; i < s->n_bearers; i++) {
		char text[LIMIT_NAME_BYTES + LIMIT_ENDPOINT_BYTES + 2];
		snprintf(text, sizeof text, "%s %s", s->bearers[i].name, s->bearers[i].endpoint);
		add_item(&bearers, text);
	}
	struct estafette_member row[] = {
		{"site", ESTAFETTE_TEXT, s->id, 0},
		{"number", ESTAFETTE_NUMBER, NULL, s->number},
		{"lang", ESTAFETTE_TEXT, s->lang, 0},
		{"standbys", ESTAFETTE_LIST, list_text(&standbys), 0},
		{"queues", ESTAFETTE_LIST, list_text(&queues), 0},
		{"bearers", ESTAFETTE_LIST, list_text(&bearers), 0},
		{"removed", ESTAFETTE_FLAG, NULL, s->removed},
		{"former_keys", ESTAFETTE_NUMBER, NULL, (int64_t)s->n_former},
	};
	output_row(o, row, sizeof row / sizeof *row);
	buf_release(&standbys);
	buf_release(&queues);
	buf_release(&bearers);
}

static int show_areas(const struct cli *cli, const struct roster *r)
{
	struct output o;
	char name[LIMIT_NAME_BYTES + 1];
	output_begin(&o, cli);
	for (size_t i = 0; i < r->n_areas; i++) {
		struct estafette_member row[] = {
			{"area", ESTAFETTE_TEXT, r->areas[i].id, 0},
			{"number", ESTAFETTE_NUMBER, NULL, r->areas[i].number},
			{"site", ESTAFETTE_TEXT, roster_site_name(r, r->areas[i].site, name), 0},
		};
		output_row(&o, row, sizeof row / sizeof *row);
	}
	return output_end(&o, NULL);
}

static int show_groups(const struct cli *cli, const struct roster *r)
{
	struct output o;
	output_begin(&o, cli);
	for (size_t i = 0; i < r->n_groups; i++) {
		struct buf members = BUF_EMPTY;
		add_sites(&members, r, r->groups[i].members, r->groups[i].n_members);
		struct estafette_member row[] = {
			{"group", ESTAFETTE_TEXT, r->groups[i].id, 0},
			{"number", ESTAFETTE_NUMBER, NULL, r->groups[i].number},
			{"members", ESTAFETTE_LIST, list_text(&members), 0},
		};
		output_row(&o, row, sizeof row / sizeof *row);
		buf_release(&members);
	}
	return output_end(&o, NULL);
}

static int show_sites(const struct cli *cli, const struct roster *r)
{
	struct output o;
	output_begin(&o, cli);
	for (size_t i = 0; i < r->n_sites; i++)
		show_site(&o, r, &r->sites[i]);
	return output_end(&o, NULL);
}

static int show_head(const struct cli *cli, const struct roster *r)
{
	struct buf relocators = BUF_EMPTY;
	struct output o;
	add_sites(&relocators, r, r->relocators, r->n_relocators);
	struct estafette_member row[] = {
		{"network", ESTAFETTE_TEXT, r->network, 0},
		{"serial", ESTAFETTE_NUMBER, NULL, r->serial},
		{"sites", ESTAFETTE_NUMBER, NULL, (int64_t)r->n_sites},
		{"quorum", ESTAFETTE_NUMBER, NULL, r->quorum},
		{"relocators", ESTAFETTE_LIST, list_text(&relocators), 0},
		{"template", ESTAFETTE_FLAG, NULL, !r->has_keys},
	};
	output_begin(&o, cli);
	output_row(&o, row, sizeof row / sizeof *row);
	int status = output_end(&o, NULL);
	buf_release(&relocators);
	return status;
}

static int roster_show(const struct cli *cli, const struct call *c)
{
	static int (*const parts[])(const struct cli *, const struct roster *) = {show_head, show_sites, show_areas, show_groups};
	struct loaded l;
	struct errmsg m = {0};
	enum err e = load(c->files[0], NULL, true, &l, &m);
	int status = e == ERR_OK ? EXIT_OK : cli_fail(cli, e, "%s", m.text);
	for (size_t i = 0; e == ERR_OK && status == EXIT_OK && i < sizeof parts / sizeof *parts; i++) {
		if (i > 0 && !cli->json)
			putchar('\n');
		status = parts[i](cli, l.roster);
	}
	loaded_release(&l);
	return status;
}

/* ---- diff ----------------------------------------------------------------------------------------------- */

static int print_diff(const struct cli *cli, const struct buf *diff)
{
	if (!buf_ok(diff))
		return cli_fail(cli, ERR_NOMEM, "roster diff: out of memory (free some and try again)");
	if (!cli->json) {
		if (diff->len) /* nothing differs: there is no buffer */
			if (diff->len > 0)
			fwrite(diff->ptr, 1, diff->len, stdout);
		return EXIT_OK;
	}
	int status = EXIT_OK;
	for (size_t at = 0; at < diff->len && status == EXIT_OK;) {
		const char *line = (const char *)diff->ptr + at;
		size_t n = (size_t)((const char *)memchr(line, '\n', diff->len - at) - line);
		status = cli_print_object(cli, json_pack("{s:s%}", "change", line, n));
		at += n + 1;
	}
	return status;
}

static int roster_compare(const struct cli *cli, const struct call *c)
{
	struct loaded a, b = {.text = BUF_EMPTY};
	struct buf diff = BUF_EMPTY;
	struct errmsg m = {0};
	enum err e = load(c->files[0], NULL, true, &a, &m);
	if (e == ERR_OK)
		e = load(c->files[1], NULL, true, &b, &m);
	if (e == ERR_OK)
		roster_diff(a.roster, b.roster, &diff);
	int status = e == ERR_OK ? print_diff(cli, &diff) : cli_fail(cli, e, "%s", m.text);
	buf_release(&diff);
	loaded_release(&a);
	loaded_release(&b);
	return status;
}

/* ---- the command ---------------------------------------------------------------------------------------- */

static const struct verb {
	const char *name;
	int n_files;
	bool takes_key, takes_pub;
	const char *usage;
	int (*run)(const struct cli *cli, const struct call *c);
} verbs[] = {
	{"sign", 1, true, false, "roster sign FILE --key KEY", roster_sign},
	{"verify", 1, false, true, "roster verify FILE --pub PUB", roster_verify},
	{"show", 1, false, false, "roster show FILE", roster_show},
	{"diff", 2, false, false, "roster diff OLD NEW", roster_compare},
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; name && i < sizeof verbs / sizeof *verbs; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

int cmd_roster(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"key", 1, NULL, 'k'}, {"pub", 1, NULL, 'p'}, {0}};
	struct call c = {0};
	cli_options_begin();
	for (int o; (o = cli_option(cli, argc, argv, options)) != -1;) {
		switch (o) {
		case 'k': c.key = optarg; break;
		case 'p': c.pub = optarg; break;
		default: return EXIT_USAGE;
		}
	}
	const struct verb *v = find_verb(optind < argc ? argv[optind] : NULL);
	if (v == NULL)
		return cli_fail(cli, ERR_USAGE, "roster: what to do is missing or unknown (roster sign, verify, show or diff)");
	c.files = argv + optind + 1;
	c.n_files = argc - optind - 1;
	if (c.n_files != v->n_files || (c.key != NULL) != v->takes_key || (c.pub != NULL) != v->takes_pub)
		return cli_fail(cli, ERR_USAGE, "roster %s: wrong arguments (%s)", v->name, v->usage);
	return v->run(cli, &c);
}
