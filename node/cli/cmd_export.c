/* cmd_export.c - `journal export`: entries of a journal as JSON lines, as segments, or opened for a person, or as a drill. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/cli/commands.h"
#include "node/cli/export.h"
#include "node/cli/output.h"

struct wanted {
	struct cli *cli;
	struct pick pick;
	const char *stream, *queue, *age, *names;
	bool open, binary, as_drill;
	struct age_recipient to;
	const char *path, *file;
};

static int parse_time(const struct cli *cli, const char *option, const char *text, struct wall *out)
{
	if (wall_parse(text, out) == ERR_OK)
		return EXIT_OK;
	return cli_fail(cli, ERR_USAGE, "journal export: --%s %s: no time (write 2021-07-14T22:00:00Z)", option, text);
}

static int site_of(struct source *s, struct view name, uint16_t *out)
{
	const struct site *site = s->roster ? roster_site_by_id(s->roster, name) : NULL;
	if (s->roster == NULL)
		return cli_fail(s->cli, ERR_USAGE, "journal export: names of sites need the roster (give node.conf, not the folder)");
	if (site == NULL)
		return cli_fail(s->cli, ERR_UNKNOWN_SITE, "journal export: %.*s: no such site in the roster", (int)name.len, (const char *)name.ptr);
	*out = site->number;
	return EXIT_OK;
}

/* ORIGINATOR:ADDRESSEE[:PRECEDENCE] */
static int read_stream(struct source *s, const char *text, struct pick *p)
{
	const char *second = strchr(text, ':'), *third = second ? strchr(second + 1, ':') : NULL;
	enum precedence precedence;
	if (second == NULL)
		return cli_fail(s->cli, ERR_USAGE, "journal export: --stream %s: write ORIGINATOR:ADDRESSEE or ORIGINATOR:ADDRESSEE:PRECEDENCE", text);
	p->stream = text;
	p->precedence = -1;
	int status = site_of(s, view_of((const uint8_t *)text, (size_t)(second - text)), &p->originator);
	if (status == EXIT_OK)
		status = site_of(s, view_of((const uint8_t *)second + 1, third ? (size_t)(third - second - 1) : strlen(second + 1)), &p->addressee);
	if (status != EXIT_OK || third == NULL)
		return status;
	if (precedence_parse(third + 1, &precedence) != ERR_OK)
		return cli_fail(s->cli, ERR_USAGE, "journal export: --stream %s: %s is no precedence (flash, immediate, priority or routine)", text, third + 1);
	p->precedence = (int)precedence;
	return EXIT_OK;
}

/* SITE/QUEUE, or QUEUE of any site. */
static int read_queue(struct source *s, const char *text, struct pick *p)
{
	const char *slash = strchr(text, '/');
	p->queue = slash ? slash + 1 : text;
	return slash ? site_of(s, view_of((const uint8_t *)text, (size_t)(slash - text)), &p->queue_site) : EXIT_OK;
}

static int read_arguments(struct wanted *w, int argc, char **argv)
{
	static const struct option options[] = {{"stream", required_argument, NULL, 's'}, {"queue", required_argument, NULL, 'q'}, {"from", required_argument, NULL, 'f'},
	                                        {"to", required_argument, NULL, 't'},     {"open", no_argument, NULL, 'o'},        {"age", required_argument, NULL, 'a'},
	                                        {"binary", no_argument, NULL, 'b'},       {"as-drill", no_argument, NULL, 'd'},    {"names", required_argument, NULL, 'n'},
	                                        {NULL, 0, NULL, 0}};
	int c, status = EXIT_OK;
	cli_options_begin();
	while (status == EXIT_OK && (c = cli_option(w->cli, argc, argv, options)) != -1) {
		switch (c) {
		case 's': w->stream = optarg; break;
		case 'q': w->queue = optarg; break;
		case 'f': status = parse_time(w->cli, "from", optarg, &w->pick.from); break;
		case 't': status = parse_time(w->cli, "to", optarg, &w->pick.to); break;
		case 'o': w->open = true; break;
		case 'a': w->age = optarg; break;
		case 'b': w->binary = true; break;
		case 'd': w->as_drill = true; break;
		case 'n': w->names = optarg; break;
		default: return EXIT_USAGE;
		}
	}
	if (status != EXIT_OK)
		return status;
	if (argc - optind != 2)
		return cli_fail(w->cli, ERR_USAGE, "journal export: a folder or node.conf, and a file to write");
	if (w->open + w->binary + w->as_drill + (w->age != NULL) > 1)
		return cli_fail(w->cli, ERR_USAGE, "journal export: one of --open, --age, --binary and --as-drill");
	if (w->as_drill ? w->stream || w->queue : w->names != NULL)
		return cli_fail(w->cli, ERR_USAGE, "journal export: --as-drill goes with --from, --to and --names, and --names with nothing else");
	if (w->names && strcmp(w->names, "keep") != 0 && strcmp(w->names, "replace") != 0)
		return cli_fail(w->cli, ERR_USAGE, "journal export: --names %s: write keep or replace", w->names);
	if (w->as_drill && w->pick.from.us >= w->pick.to.us)
		return cli_fail(w->cli, ERR_USAGE, "journal export: --from is not before --to: that time is empty");
	if (w->age != NULL && age_recipient_parse(w->age, &w->to) != ERR_OK)
		return cli_fail(w->cli, ERR_USAGE, "journal export: --age %s: no recipient of age (age-keygen prints one, age1...)", w->age);
	w->path = argv[optind];
	w->file = argv[optind + 1];
	return EXIT_OK;
}

static int print_result(const struct wanted *w, const struct source *s, const struct counts *n)
{
	struct output o;
	struct estafette_member m[] = {MEMBER_TEXT("file", w->file), MEMBER_TEXT("site", store_birth(s->store)->site_id), MEMBER_NUMBER("entries", (int64_t)n->entries),
	                               MEMBER_NUMBER("bodies", (int64_t)n->bodies), MEMBER_NUMBER("unopened", (int64_t)s->unopened),
	                               MEMBER_NUMBER("unsigned", (int64_t)s->unsigned_entries)};
	output_begin(&o, w->cli);
	o.upright = true;
	output_row(&o, m, sizeof m / sizeof m[0]);
	return output_end(&o, NULL);
}

static int run(struct wanted *w, struct source *s)
{
	struct errmsg m = {0};
	struct counts n = {0};
	int status = w->stream ? read_stream(s, w->stream, &w->pick) : EXIT_OK;
	if (status == EXIT_OK && w->queue)
		status = read_queue(s, w->queue, &w->pick);
	if (status != EXIT_OK)
		return status;
	const struct drill_wanted drill = {w->pick.from, w->pick.to, w->names && strcmp(w->names, "replace") == 0};
	enum err e = w->as_drill ? export_drill(s, &drill, w->file, &n, &m)
	             : w->age ? export_age(s, &w->pick, &w->to, w->file, &n, &m)
	             : w->binary ? export_binary(s, &w->pick, NULL, w->file, &n, &m)
	                         : export_json(s, &w->pick, w->open, w->file, &n, &m);
	if (e != ERR_OK)
		return cli_fail(w->cli, e, "%s", m.text);
	if (w->open)
		fprintf(stderr, "estafette: %s: the messages in it are opened and readable for whoever gets the file (keep it as they must be kept)\n", w->file);
	return print_result(w, s, &n);
}

int cmd_journal_export(struct cli *cli, int argc, char **argv)
{
	struct wanted w = {.cli = cli, .pick = {.precedence = -1, .from = {INT64_MIN}, .to = {INT64_MAX}}};
	struct source s = {0};
	int status = read_arguments(&w, argc, argv);
	if (status != EXIT_OK)
		return status;
	longwork_begin();
	status = source_open(&s, cli, w.path, w.open || w.age || w.queue || w.as_drill ? KEYS_NEEDED : KEYS_NONE);
	if (status == EXIT_OK)
		status = run(&w, &s);
	source_close(&s);
	return status;
}
