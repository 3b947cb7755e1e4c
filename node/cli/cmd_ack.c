/* cmd_ack.c - verdicts on messages: ack, refuse, extend, cancel; and release. */
#include <stdio.h>
#include <stdlib.h>

#include "node/cli/commands.h"
#include "node/cli/session.h"
#include "proto/id.h"

#define ANSWER_MS 30000

struct verdict {
	const char *word;      /* what was done to them, for people */
	int verdict;
	const char *text;      /* --by, --reason */
	int64_t lease_us;
};

enum { BY = 256, REASON, LEASE };

static bool is_id(const char *text)
{
	struct msgid id;
	return msgid_parse(view_str(text), &id) == ERR_OK;
}

static int apply(struct cli *cli, estafette *h, const struct verdict *v, int n, char **ids)
{
	uint32_t done = 0;
	if (estafette_apply(h, v->verdict, (const char *const *)ids, (size_t)n, v->text, v->lease_us, &done, ANSWER_MS) != ESTAFETTE_OK)
		return session_fail(cli, h, "");
	if (v->verdict != ESTAFETTE_DO_ACK_ALARM && done < (uint32_t)n)
		return cli_fail(cli, ERR_REFUSED, "%u of %d %s (the others were not taken here, or it was over with them; see estafette trace ID)", done, n, v->word);
	return EXIT_OK;
}

/* An id names a message; anything else, where that is allowed, an alarm. */
static int apply_each_kind(struct cli *cli, const struct verdict *v, int n, char **ids)
{
	int status = EXIT_OK;
	estafette *h = session_open(cli, &status);
	for (int i = 0, run; h != NULL && i < n && status == EXIT_OK; i += run) {
		struct verdict w = *v;
		for (run = 1; i + run < n && is_id(ids[i + run]) == is_id(ids[i]);)
			run++;
		if (!is_id(ids[i]))
			w.verdict = ESTAFETTE_DO_ACK_ALARM;
		status = apply(cli, h, &w, run, ids + i);
	}
	estafette_free(h);
	return status;
}

static int run(struct cli *cli, struct verdict *v, const char *name, int argc, char **argv)
{
	int n = argc - optind;
	if (n < 1)
		return cli_fail(cli, ERR_USAGE, "%s: no id (estafette %s ID...)", name, name);
	for (int i = optind; i < argc && v->verdict != ESTAFETTE_DO_ACK; i++)
		if (!is_id(argv[i]))
			return cli_fail(cli, ERR_USAGE, "%s %s: not the id of a message (26 letters and digits)", name, argv[i]);
	return apply_each_kind(cli, v, n, argv + optind);
}

int cmd_ack(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"by", required_argument, NULL, BY}, {NULL, 0, NULL, 0}};
	struct verdict v = {"acknowledged", ESTAFETTE_DO_ACK, NULL, 0};
	int option;
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, options)) != -1) {
		if (option == '?')
			return EXIT_USAGE;
		v.text = optarg;
	}
	return run(cli, &v, "ack", argc, argv);
}

/* --reason TEXT, which must be given and not be empty. */
static const char *read_reason(struct cli *cli, const char *name, int argc, char **argv)
{
	static const struct option options[] = {{"reason", required_argument, NULL, REASON}, {NULL, 0, NULL, 0}};
	const char *reason = "";
	int option;
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, options)) != -1) {
		if (option == '?')
			return NULL;
		reason = optarg;
	}
	if (reason[0] != '\0')
		return reason;
	cli_fail(cli, ERR_USAGE, "%s: no reason (say --reason TEXT; it is kept and shown)", name);
	return NULL;
}

int cmd_refuse(struct cli *cli, int argc, char **argv)
{
	struct verdict v = {"refused", ESTAFETTE_DO_REFUSE, NULL, 0};
	v.text = read_reason(cli, "refuse", argc, argv);
	return v.text == NULL ? EXIT_USAGE : run(cli, &v, "refuse", argc, argv);
}

int cmd_extend(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"lease", required_argument, NULL, LEASE}, {NULL, 0, NULL, 0}};
	struct verdict v = {"extended", ESTAFETTE_DO_EXTEND, NULL, 0};
	int option;
	cli_options_begin();
	while ((option = cli_option(cli, argc, argv, options)) != -1)
		if (option == '?' || !session_duration_us(cli, "--lease", optarg, &v.lease_us))
			return EXIT_USAGE;
	if (v.lease_us <= 0 || v.lease_us > LIMIT_LEASE_US)
		return cli_fail(cli, ERR_USAGE, "extend: say --lease D, longer than nothing and at most 1d");
	return run(cli, &v, "extend", argc, argv);
}

int cmd_cancel(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	struct verdict v = {"cancelled", ESTAFETTE_DO_CANCEL, NULL, 0};
	cli_options_begin();
	if (cli_option(cli, argc, argv, options) != -1)
		return EXIT_USAGE;
	return run(cli, &v, "cancel", argc, argv);
}

int cmd_release(struct cli *cli, int argc, char **argv)
{
	int status = EXIT_OK;
	const char *reason = read_reason(cli, "release", argc, argv);
	if (reason == NULL)
		return EXIT_USAGE;
	if (argc - optind != 1)
		return cli_fail(cli, ERR_USAGE, "release: one queue, peer or id, not %d", argc - optind);
	estafette *h = session_open(cli, &status);
	if (h != NULL && estafette_release(h, argv[optind], reason, ANSWER_MS) != ESTAFETTE_OK)
		status = session_fail(cli, h, argv[optind]);
	estafette_free(h);
	return status;
}
