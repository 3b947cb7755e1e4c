/* cmd_dictionary.c - `dictionary`: dictionaries for short messages, trained on files, each one message. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/cli/cli.h"
#include "node/cli/cmd.h"
#include "proto/id.h"
#include "proto/limits.h"
#include "proto/pack.h"

/* What the dictionary is used for at all (pack.h). */
#define SAMPLE_MAX_BYTES (16 * 1024)
#define SAMPLES_MIN 16
#define DEFAULT_BYTES 8192
/* Every so many files is not trained on, but measured. */
#define HELD_OUT 5

struct texts { struct buf bytes; size_t *sizes; size_t n; };
struct train {
	const char *out;
	int64_t bytes;
	struct texts trained, held;
};
/* Sizes of what was held out, as it is sealed: as it is, with the built-in dictionary, with the new one. */
struct gain { size_t files, plain, built_in, with; };

static int text_add(const struct cli *cli, struct texts *t, const char *path)
{
	struct buf one = BUF_EMPTY;
	struct errmsg m;
	enum err e = cli_read_file(path, SAMPLE_MAX_BYTES, &one, &m);
	size_t *sizes = e == ERR_OK ? realloc(t->sizes, (t->n + 1) * sizeof *sizes) : NULL;

	if (e == ERR_OK && sizes) {
		t->sizes = sizes;
		t->sizes[t->n++] = one.len;
		buf_add(&t->bytes, buf_view(&one));
	}
	buf_release(&one);
	if (e != ERR_OK)
		return cli_fail(cli, e, "%s", m.text);
	return sizes && buf_ok(&t->bytes) ? EXIT_OK : cli_fail(cli, ERR_NOMEM, "%s: out of memory", path);
}

static enum err packed_size(struct packer *p, uint32_t use, struct view text, size_t *sum)
{
	uint8_t method, dictionary;
	struct view out;
	enum err e = packer_use(p, use);

	if (e == ERR_OK)
		e = pack(p, text, &method, &dictionary, &out);
	if (e == ERR_OK)
		*sum += out.len;
	return e;
}

static enum err measure(const struct texts *t, struct view dictionary, struct gain *g)
{
	struct hash h = pack_dictionary_hash(dictionary);
	struct packer *p = NULL;
	size_t at = 0;
	enum err e = packer_new(&p);

	if (e == ERR_OK)
		e = packer_add(p, dictionary);
	for (size_t i = 0; e == ERR_OK && i < t->n; at += t->sizes[i++]) {
		struct view text = view_of(t->bytes.ptr + at, t->sizes[i]);

		g->files++;
		g->plain += text.len;
		e = packed_size(p, 0, text, &g->built_in);
		if (e == ERR_OK)
			e = packed_size(p, pack_dictionary_id(&h), text, &g->with);
	}
	packer_free(p);
	return e;
}

static int tell(const struct cli *cli, const char *path, const char *hex, size_t bytes, size_t trained_on, const struct gain *g)
{
	if (cli->json)
		return cli_print_object(cli, json_pack("{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "file", cli_json_string(path), "hash", hex, "bytes",
						       (json_int_t)bytes, "trained_on", (json_int_t)trained_on, "measured_on", (json_int_t)g->files, "plain_bytes",
						       (json_int_t)g->plain, "built_in_bytes", (json_int_t)g->built_in, "with_bytes", (json_int_t)g->with));
	printf("%s: dictionary %.8s of %zu bytes, trained on %zu files\n", path, hex, bytes, trained_on);
	printf("%zu files that it was not trained on: %zu bytes plain, %zu with the built-in dictionary, %zu with this one (%+.0f %%)\n", g->files, g->plain,
	       g->built_in, g->with, g->built_in ? 100.0 * ((double)g->with - (double)g->built_in) / (double)g->built_in : 0);
	printf("In the roster: dictionaries = ( \"%s\" ); dictionary = \"%.8s\";\n", hex, hex);
	printf("Keep the file as dictionary-%.8s.zdict beside the roster of one site at least: the others get it from there.\n", hex);
	return EXIT_OK;
}

static int finish(const struct cli *cli, struct train *t, struct buf *dictionary)
{
	char hex[2 * HASH_BYTES + 1], path[64];
	struct gain g = {0};
	enum err e = pack_train(buf_view(&t->trained.bytes), t->trained.sizes, t->trained.n, (size_t)t->bytes, dictionary);

	if (e == ERR_RANGE)
		return cli_fail(cli, e, "the %zu files are too few, too short or too much alike to learn from (give some hundred, as they are sent)", t->trained.n);
	if (e == ERR_OK)
		e = measure(&t->held, buf_view(dictionary), &g);
	if (e != ERR_OK)
		return cli_fail(cli, e, "the dictionary cannot be made: %s", err_text(e));
	struct hash h = pack_dictionary_hash(buf_view(dictionary));

	hex_format(h.b, HASH_BYTES, hex);
	snprintf(path, sizeof path, "dictionary-%.8s.zdict", hex);
	struct errmsg m;

	e = cli_write_file(t->out ? t->out : path, 0644, buf_view(dictionary), false, &m);
	return e != ERR_OK ? cli_fail(cli, e, "%s", m.text) : tell(cli, t->out ? t->out : path, hex, dictionary->len, t->trained.n, &g);
}

static int usage(const struct cli *cli, const char *why)
{
	return cli_fail(cli, ERR_USAGE, "dictionary train: %s (dictionary train [--out FILE] [--size BYTES] FILE..., each file one message)", why);
}

static int train(struct cli *cli, struct train *t, char **files, int n)
{
	struct buf dictionary = BUF_EMPTY;
	int status = EXIT_OK;

	for (int i = 0; !status && i < n; i++)
		status = text_add(cli, i % HELD_OUT == HELD_OUT - 1 ? &t->held : &t->trained, files[i]);
	if (!status)
		status = finish(cli, t, &dictionary);
	buf_release(&t->trained.bytes);
	buf_release(&t->held.bytes);
	free(t->trained.sizes);
	free(t->held.sizes);
	buf_release(&dictionary);
	return status;
}

int cmd_dictionary_train(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"out", required_argument, NULL, 'o'}, {"size", required_argument, NULL, 's'}, {0}};
	struct train t = {.bytes = DEFAULT_BYTES};
	int c;

	cli_options_begin();
	while ((c = cli_option(cli, argc, argv, options)) != -1) {
		if (c == '?')
			return EXIT_USAGE;
		if (c == 'o')
			t.out = optarg;
		if (c == 's')
			t.bytes = atol(optarg);
	}
	if (argc - optind < SAMPLES_MIN)
		return usage(cli, "at least 16 files are needed");
	if (t.bytes < 1024 || t.bytes > LIMIT_DICTIONARY_BYTES)
		return usage(cli, "--size: 1024 to 32768 bytes");
	return train(cli, &t, argv + optind, argc - optind);
}
