/* cmd_courier.c - `courier pack` and `courier unpack`: what no line takes goes on a stick. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "node/cli/courier.h"
#include "node/cli/output.h"
#include "node/cli/session.h"
#include "proto/instant.h"

#define STEP_MS 60000
/* A bundle is gone over again while that brings something: what waited for a body, or for what comes behind it. */
#define ROUNDS_MAX 64
/* Where entries were retired the node waits some seconds for somebody who still has them, before it goes on behind them. */
#define FLOOR_WAIT_S 4
#define FLOOR_WAITS 3

enum { FOR = 256, PRECEDENCE, MAX_SIZE };

static const struct estafette_member *member(const struct estafette_member *m, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(m[i].name, name) == 0)
			return &m[i];
	return NULL;
}

static int64_t number(const struct estafette_member *m, size_t n, const char *name)
{
	const struct estafette_member *x = member(m, n, name);
	return x && (x->kind == ESTAFETTE_NUMBER || x->kind == ESTAFETTE_FLAG || x->kind == ESTAFETTE_TIME) ? x->number : 0;
}

static const char *text(const struct estafette_member *m, size_t n, const char *name)
{
	const struct estafette_member *x = member(m, n, name);
	return x && x->text ? x->text : "";
}

/* ---- pack -------------------------------------------------------------------------------------------------------- */

struct pack_job {
	struct cli *cli;
	struct tofile file;
	struct progress progress;
	uint64_t bytes, max;
	FILE *said;     /* what is said of the bundle once it is in its place: its rows come before its last piece */
	bool nomem;
};

static int pack_write(void *arg, const void *bytes, size_t n)
{
	struct pack_job *j = arg;
	j->bytes += n;
	return tofile_write(&j->file, view_of(bytes, n)) != ERR_OK || !progress_show(&j->progress, j->bytes, j->max);
}

static void say_packed(const struct pack_job *j, const struct estafette_member *m, size_t n)
{
	fprintf(j->said, "%s: %" PRId64 " messages, %" PRId64 " entries in all, %" PRId64 " large bodies, %" PRId64 " orders, %" PRId64 " vectors: %" PRId64 " bytes\n",
	        j->file.path, number(m, n, "messages"), number(m, n, "entries"), number(m, n, "bodies"), number(m, n, "orders"), number(m, n, "vectors"),
	        number(m, n, "bytes"));
}

static void say_left(const struct pack_job *j, const struct estafette_member *m, size_t n)
{
	fprintf(j->said, "left out for want of room: %s: %" PRId64 " entries, %" PRId64 " large bodies of %" PRId64 " bytes\n", text(m, n, "precedence"),
	        number(m, n, "left_entries"), number(m, n, "left_bodies"), number(m, n, "left_body_bytes"));
}

static void say_json(struct pack_job *j, const struct estafette_member *m, size_t n)
{
	json_t *row = json_object();
	for (size_t i = 0; i < n; i++)
		j->nomem |= json_object_set_new(row, m[i].name, output_json(&m[i])) != 0;
	if (j->nomem || json_dumpf(row, j->said, JSON_COMPACT) != 0 || fputc('\n', j->said) == EOF)
		j->nomem = true;
	json_decref(row);
}

static int pack_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct pack_job *j = arg;
	bool whole = strcmp(text(m, n, "part"), "bundle") == 0;
	progress_end(&j->progress);
	if (j->cli->json)
		say_json(j, m, n);
	else if (whole)
		say_packed(j, m, n);
	else if (number(m, n, "left_entries") || number(m, n, "left_bodies"))
		say_left(j, m, n);
	return j->nomem;
}

static int pack_failed(const struct pack_job *j, estafette *h, const char *path)
{
	if (j->file.err)
		return cli_fail(j->cli, j->file.err, "%.300s: it cannot be written: %s, nothing was left", path, err_text(j->file.err));
	if (longwork_stopped())
		return cli_fail(j->cli, ERR_CLOSED, "%.300s: interrupted, nothing was left", path);
	if (j->nomem)
		return cli_fail(j->cli, ERR_NOMEM, "%.300s: out of memory, nothing was left", path);
	return session_fail(j->cli, h, "");
}

static int pack_file(struct cli *cli, struct estafette_pack *p, const char *path)
{
	struct pack_job j = {.cli = cli, .max = p->max_bytes, .file = {.fd = -1}};
	struct errmsg m = {0};
	int status = EXIT_OK;
	char *said = NULL;
	size_t n_said = 0;
	estafette *h = session_open(cli, &status);
	if (h == NULL)
		return status;
	j.said = open_memstream(&said, &n_said);
	enum err e = j.said ? tofile_begin(&j.file, path, &m) : err_set(&m, ERR_NOMEM, "%.300s: out of memory", path);
	progress_begin(&j.progress, "pack");
	if (e == ERR_OK && estafette_pack(h, p, pack_write, pack_row, &j, STEP_MS) != ESTAFETTE_OK) {
		progress_end(&j.progress);
		status = pack_failed(&j, h, path);
	} else if (e == ERR_OK) {
		e = tofile_finish(&j.file, &m);
	}
	progress_end(&j.progress);
	if (status == EXIT_OK && e != ERR_OK)
		status = cli_fail(cli, e, "%s", m.text);
	if (j.said != NULL && fclose(j.said) == 0 && status == EXIT_OK)
		fwrite(said, 1, n_said, stdout);
	free(said);
	tofile_release(&j.file);
	estafette_free(h);
	return status;
}

/* "A,B" into names; the caller's. */
static size_t split(char *list, const char **out, size_t max)
{
	size_t n = 0;
	for (char *save = NULL, *one = strtok_r(list, ",", &save); one != NULL && n < max; one = strtok_r(NULL, ",", &save))
		out[n++] = one;
	return n;
}

static int read_pack(struct cli *cli, int argc, char **argv, struct estafette_pack *p, char **sites)
{
	static const struct option options[] = {{"for", required_argument, NULL, FOR}, {"precedence", required_argument, NULL, PRECEDENCE},
	                                        {"max-size", required_argument, NULL, MAX_SIZE}, {NULL, 0, NULL, 0}};
	enum precedence precedence = PREC_ROUTINE;
	int64_t size = 0;
	int option;
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, options)) != -1) {
		if (option == '?')
			return EXIT_USAGE;
		if (option == FOR)
			*sites = optarg;
		if (option == PRECEDENCE && precedence_parse(optarg, &precedence) != ERR_OK)
			return cli_fail(cli, ERR_USAGE, "--precedence %s: not flash, immediate, priority or routine", optarg);
		if (option == MAX_SIZE && (size_parse(optarg, &size) != ERR_OK || size == 0))
			return cli_fail(cli, ERR_USAGE, "--max-size %s: not a size (a number with B, KiB, MiB or GiB)", optarg);
	}
	if (*sites == NULL || argc - optind != 1)
		return cli_fail(cli, ERR_USAGE, "courier pack: for whom, and the file to write (estafette courier pack --for SITE,.. FILE, or --for all)");
	p->precedence = (int)precedence;
	p->max_bytes = (uint64_t)size;
	return EXIT_OK;
}

int cmd_courier_pack(struct cli *cli, int argc, char **argv)
{
	struct estafette_pack p = ESTAFETTE_PACK_INIT;
	const char *names[LIMIT_SITES];
	char *sites = NULL;
	int status = read_pack(cli, argc, argv, &p, &sites);
	if (status != EXIT_OK)
		return status;
	p.sites = names;
	p.n_sites = split(sites, names, LIMIT_SITES);
	if (p.n_sites == 0)
		return cli_fail(cli, ERR_USAGE, "--for: it names no site (--for SITE,.. or --for all)");
	longwork_begin();
	return pack_file(cli, &p, argv[optind]);
}

/* ---- unpack --------------------------------------------------------------------------------------------------------- */

/* What came for whom. */
struct came { char to[LIMIT_NAME_BYTES + 1], precedence[16]; bool exercise; int64_t messages, added; };
/* What was not taken, by why; of each the first. */
struct refusal { char code[32], why[256]; int64_t pieces; };
struct unpack_job {
	struct cli *cli;
	struct came *came; size_t n_came;
	struct refusal refusals[16]; size_t n_refusals;
	char site[LIMIT_NAME_BYTES + 1], note[256], precedence[16];
	char *for_whom;
	int64_t made_us;
	int64_t entries, added, messages, new_messages, orders, new_orders, vectors, parts, new_parts, waiting;
	int64_t round_added, floors; /* floors: streams that begin anew here in some seconds */
	bool first;     /* over the bundle: what it holds is counted */
	bool nomem;
};

static struct came *came_of(struct unpack_job *j, const struct estafette_member *m, size_t n)
{
	const char *to = text(m, n, "to"), *precedence = text(m, n, "precedence");
	bool exercise = number(m, n, "exercise") != 0;
	for (size_t i = 0; i < j->n_came; i++)
		if (strcmp(j->came[i].to, to) == 0 && strcmp(j->came[i].precedence, precedence) == 0 && j->came[i].exercise == exercise)
			return &j->came[i];
	struct came *list = realloc(j->came, (j->n_came + 1) * sizeof *list);
	if (list == NULL) {
		j->nomem = true;
		return NULL;
	}
	j->came = list;
	struct came *c = &list[j->n_came++];
	*c = (struct came){.exercise = exercise};
	snprintf(c->to, sizeof c->to, "%s", to);
	snprintf(c->precedence, sizeof c->precedence, "%s", precedence);
	return c;
}

/* Of a bundle for everybody much is of no concern here: that is no refusal. */
static bool no_concern(const char *code)
{
	return strcmp(code, err_code(ERR_NOT_PERMITTED)) == 0;
}

static void refusal_add(struct unpack_job *j, const char *code, const char *why)
{
	size_t i = 0;
	while (i < j->n_refusals && strcmp(j->refusals[i].code, code) != 0)
		i++;
	if (i == sizeof j->refusals / sizeof j->refusals[0])
		return;
	if (i == j->n_refusals) {
		j->refusals[j->n_refusals++] = (struct refusal){.pieces = 0};
		snprintf(j->refusals[i].code, sizeof j->refusals[i].code, "%s", code);
		snprintf(j->refusals[i].why, sizeof j->refusals[i].why, "%s", why);
	}
	j->refusals[i].pieces++;
}

static void segment_row(struct unpack_job *j, const struct estafette_member *m, size_t n)
{
	struct came *c = number(m, n, "messages") ? came_of(j, m, n) : NULL;
	if (j->first) {
		j->entries += number(m, n, "entries");
		j->messages += number(m, n, "messages");
	}
	j->added += number(m, n, "new");
	j->new_messages += number(m, n, "new_messages");
	if (c != NULL) {
		c->messages += j->first ? number(m, n, "messages") : 0;
		c->added += number(m, n, "new_messages");
	}
}

static int piece_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct unpack_job *j = arg;
	const char *part = text(m, n, "part"), *code = text(m, n, "code");
	j->round_added += number(m, n, "new");
	if (strcmp(part, "segment") == 0)
		segment_row(j, m, n);
	else if (strcmp(part, "order") == 0) {
		j->orders += j->first;
		j->new_orders += number(m, n, "new");
	} else if (strcmp(part, "floor") == 0) {
		j->round_added -= number(m, n, "new");
		j->floors += number(m, n, "new");
	} else if (strcmp(part, "roster") == 0 || strcmp(part, "dictionary") == 0) {
		j->round_added -= number(m, n, "new"); /* nothing waits for it that another round would bring */
	} else if (strcmp(part, "part") == 0) {
		j->parts += j->first;
		j->new_parts += number(m, n, "new");
	} else {
		j->vectors += j->first && strcmp(part, "vector") == 0;
	}
	if (code[0] == '\0' || no_concern(code))
		return 0;
	j->waiting++;
	refusal_add(j, code, text(m, n, "why"));
	return 0;
}

static int head_row(void *arg, const struct estafette_member *m, size_t n)
{
	struct unpack_job *j = arg;
	snprintf(j->site, sizeof j->site, "%s", text(m, n, "site"));
	snprintf(j->note, sizeof j->note, "%s", text(m, n, "note"));
	snprintf(j->precedence, sizeof j->precedence, "%s", text(m, n, "precedence"));
	free(j->for_whom);
	j->for_whom = strdup(text(m, n, "for"));
	j->made_us = number(m, n, "made");
	return 0;
}

/* One time over the whole of it. False: said in m, or by the handle. */
static bool round_over(struct unpack_job *j, estafette *h, struct stick *s, struct progress *p, enum err *e, struct errmsg *m)
{
	struct buf group = BUF_EMPTY;
	int st = ESTAFETTE_OK;
	*e = stick_again(s, m);
	while (*e == ERR_OK && st == ESTAFETTE_OK && (*e = stick_group(s, &group, m)) == ERR_OK && group.len) {
		for (size_t at = 0; st == ESTAFETTE_OK && at < group.len;) {
			size_t n = (size_t)group.ptr[at] << 24 | (size_t)group.ptr[at + 1] << 16 | (size_t)group.ptr[at + 2] << 8 | group.ptr[at + 3];
			st = estafette_unpack_piece(h, group.ptr + at + 4, n, piece_row, j, STEP_MS);
			at += 4 + n;
		}
		if (st == ESTAFETTE_OK && !progress_show(p, s->r.at, s->size))
			*e = err_set(m, ERR_CLOSED, "%.200s: interrupted; what was taken stays (unpack it again for the rest)", s->path);
	}
	buf_release(&group);
	if (*e == ERR_OK && st == ESTAFETTE_OK)
		st = estafette_unpack_wait(h, 0, STEP_MS);
	return *e == ERR_OK && st == ESTAFETTE_OK;
}

static bool rounds(struct unpack_job *j, estafette *h, struct stick *s, enum err *e, struct errmsg *m)
{
	struct progress p;
	bool good = true;
	int waits = 0;
	for (int i = 0; good && i < ROUNDS_MAX; i++) {
		progress_begin(&p, "unpack");
		j->first = i == 0;
		j->round_added = j->waiting = j->floors = 0;
		j->n_refusals = 0;
		good = round_over(j, h, s, &p, e, m);
		progress_end(&p);
		if (!j->waiting || !(j->round_added || (j->floors && ++waits <= FLOOR_WAITS)))
			break;
		if (good && !j->round_added)
			sleep(FLOOR_WAIT_S);
	}
	return good;
}

/* ---- what is printed ---------------------------------------------------------------------------------------------------- */

static int print_json(struct unpack_job *j, const char *path)
{
	struct output o;
	struct estafette_member whole[] = {
		MEMBER_TEXT("part", "bundle"), MEMBER_TEXT("file", path), MEMBER_TEXT("site", j->site), MEMBER_TIME("made", j->made_us),
		{"for", ESTAFETTE_LIST, j->for_whom, 0}, MEMBER_TEXT("precedence", j->precedence), MEMBER_TEXT("note", j->note[0] ? j->note : NULL),
		MEMBER_NUMBER("messages", j->messages), MEMBER_NUMBER("new_messages", j->new_messages), MEMBER_NUMBER("entries", j->entries), MEMBER_NUMBER("new_entries", j->added),
		MEMBER_NUMBER("orders", j->orders), MEMBER_NUMBER("new_orders", j->new_orders), MEMBER_NUMBER("vectors", j->vectors),
		MEMBER_NUMBER("body_parts", j->parts), MEMBER_NUMBER("new_body_parts", j->new_parts), MEMBER_NUMBER("waiting", j->waiting)};
	output_begin(&o, j->cli);
	output_row(&o, whole, sizeof whole / sizeof whole[0]);
	for (size_t i = 0; i < j->n_came; i++) {
		const struct came *c = &j->came[i];
		struct estafette_member m[] = {MEMBER_TEXT("part", "to"), MEMBER_TEXT("to", c->to), MEMBER_TEXT("precedence", c->precedence), MEMBER_FLAG("exercise", c->exercise),
		                               MEMBER_NUMBER("messages", c->messages), MEMBER_NUMBER("new_messages", c->added)};
		output_row(&o, m, sizeof m / sizeof m[0]);
	}
	for (size_t i = 0; i < j->n_refusals; i++) {
		struct estafette_member m[] = {MEMBER_TEXT("part", "not_taken"), MEMBER_TEXT("code", j->refusals[i].code), MEMBER_NUMBER("pieces", j->refusals[i].pieces),
		                               MEMBER_TEXT("why", j->refusals[i].why)};
		output_row(&o, m, sizeof m / sizeof m[0]);
	}
	return output_end(&o, NULL);
}

static int print_text(struct unpack_job *j, const char *path)
{
	struct output o;
	char made[WALL_TEXT_BYTES];
	wall_format((struct wall){j->made_us}, 0, made);
	printf("%s: packed by %s, %s\n", path, j->site, made);
	if (j->note[0])
		printf("%s\n", j->note);
	printf("%" PRId64 " messages, %" PRId64 " of them new; %" PRId64 " entries in all, %" PRId64 " new; %" PRId64 " orders, %" PRId64 " new; %" PRId64 " vectors; %" PRId64 " parts of large bodies, %" PRId64 " new\n",
	       j->messages, j->new_messages, j->entries, j->added, j->orders, j->new_orders, j->vectors, j->parts, j->new_parts);
	output_begin(&o, j->cli);
	for (size_t i = 0; i < j->n_came; i++) {
		const struct came *c = &j->came[i];
		struct estafette_member m[] = {MEMBER_TEXT("to", c->to), MEMBER_TEXT("precedence", c->precedence), MEMBER_FLAG("exercise", c->exercise),
		                               MEMBER_NUMBER("messages", c->messages), MEMBER_NUMBER("new", c->added)};
		output_row(&o, m, sizeof m / sizeof m[0]);
	}
	int status = output_end(&o, NULL);
	for (size_t i = 0; i < j->n_refusals; i++)
		printf("not taken: %" PRId64 " pieces: %s\n", j->refusals[i].pieces, j->refusals[i].why);
	return status;
}

/* ---- the command -------------------------------------------------------------------------------------------------------------- */

static int unpack_file(struct unpack_job *j, estafette *h, struct stick *s, const char *path)
{
	struct errmsg m = {0};
	struct progress p;
	progress_begin(&p, "check");
	enum err e = stick_open(s, path, &m);
	if (e == ERR_OK)
		e = stick_check(s, &p, &m);
	progress_end(&p);
	if (e != ERR_OK)
		return cli_fail(j->cli, e, "%s", m.text);
	if (estafette_unpack(h, s->head.ptr, s->head.len, s->end.ptr, s->end.len, head_row, j, STEP_MS) != ESTAFETTE_OK)
		return session_fail(j->cli, h, path);
	if (!rounds(j, h, s, &e, &m))
		return e != ERR_OK ? cli_fail(j->cli, e, "%s", m.text)
		                   : cli_fail(j->cli, err_from_code(estafette_error_code(h)), "%.200s: %s; what was taken stays (unpack it again for the rest)", path, estafette_error_text(h));
	if (j->nomem)
		return cli_fail(j->cli, ERR_NOMEM, "%.200s: out of memory", path);
	int status = j->cli->json ? print_json(j, path) : print_text(j, path);
	if (status == EXIT_OK && j->waiting)
		return cli_fail(j->cli, err_from_code(j->refusals[0].code), "%.100s: %" PRId64 " pieces were not taken: %.200s (the rest was)", path, j->waiting, j->refusals[0].why);
	return status;
}

int cmd_courier_unpack(struct cli *cli, int argc, char **argv)
{
	static const struct option none[] = {{NULL, 0, NULL, 0}};
	struct unpack_job j = {.cli = cli};
	struct stick s = {.fd = -1};
	int status = EXIT_OK;
	cli_options_begin();
	while (cli_option(cli, argc, argv, none) != -1)
		return EXIT_USAGE;
	if (argc - optind != 1)
		return cli_fail(cli, ERR_USAGE, "courier unpack: the file of a bundle (estafette courier unpack FILE)");
	estafette *h = session_open(cli, &status);
	if (h == NULL)
		return status;
	longwork_begin();
	status = unpack_file(&j, h, &s, argv[optind]);
	stick_close(&s);
	free(j.came);
	free(j.for_whom);
	estafette_free(h);
	return status;
}
