/* main.c - `estafette`: the desk's and operator's command. One table says what there is. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/cli/commands.h"
#include "proto/crypt.h"

#ifndef BUILD_VERSION
#define BUILD_VERSION "0"
#endif

struct command {
	const char *name, *sub; /* sub: a second word that belongs to the name, or NULL */
	const char *synopsis;
	int (*run)(struct cli *cli, int argc, char **argv);
};

static const struct command commands[] = {
	{"send", NULL, "--to QUEUE... [--precedence P] [--type MEDIA] [--lang nl|fr|de|en] [--channel C] [--subject S] [--re ID]\n"
	               "       [--expires D] [--id KEY] [--exercise NAME] [--wait accepted|held|delivered|read] [--timeout D] [FILE...|-]", cmd_send},
	{"take", NULL, "QUEUE [--count N] [--timeout D] [--follow] [--ack none|read] [--lease D] [--out DIR] [--exec CMD] [--exercise NAME]", cmd_take},
	{"ack", NULL, "ID... [--by NAME]", cmd_ack},
	{"refuse", NULL, "ID... --reason TEXT", cmd_refuse},
	{"extend", NULL, "ID... --lease D", cmd_extend},
	{"cancel", NULL, "ID...", cmd_cancel},
	{"release", NULL, "QUEUE|PEER|ID --reason TEXT", cmd_release},
	{"relocate", NULL, "SITE --to SITE[:QUEUE,..|:area=A|:share=N%]... [--reason TEXT] [--exercise NAME] [--dry-run] [--yes]", cmd_relocate},
	{"handback", NULL, "SITE [--without SITE]... [--reason TEXT] [--exercise NAME] [--dry-run] [--yes] [--timeout D]", cmd_handback},
	{"endorse", NULL, "ORDER [--authority KEYFILE]", cmd_endorse},
	{"revoke", NULL, "SITE --reason TEXT [--to SITE[:...]]... [--authority KEYFILE] [--dry-run] [--yes]", cmd_revoke},
	{"minimize", NULL, "[--precedence routine|priority] [--until T] [--reason TEXT] [--dry-run] [--yes]  |  --lift [--reason TEXT] [--dry-run] [--yes]", cmd_minimize},
	{"assist", NULL, "QUEUE --to SITE [--count N]", cmd_assist},
	{"purge", NULL, "--exercise NAME [--yes]", cmd_purge},
	{"replay", NULL, "QUEUE [--from T] [--to T] [--precedence P] [--channel C] [--originator SITE] [--into QUEUE] [--rate N] [--reason TEXT] [--dry-run]", cmd_replay},
	{"status", NULL, "[--watch] [--at TIME [--journal DIR|FILE]]", cmd_show},
	{"queues", NULL, "[QUEUE [--list]] [--watch] [--at TIME [--journal DIR|FILE]]", cmd_show},
	{"links", "retry", "PEER...", cmd_links_retry},
	{"links", "history", "PEER", cmd_links_history},
	{"links", NULL, "[--watch]", cmd_show},
	{"orders", NULL, "[--watch] [--at TIME [--journal DIR|FILE]]", cmd_show},
	{"alarms", NULL, "[--watch]", cmd_show},
	{"conflicts", NULL, "[--watch] [--at TIME [--journal DIR|FILE]]", cmd_show},
	{"streams", NULL, "[--watch]", cmd_show},
	{"trace", NULL, "ID [--at TIME [--journal DIR|FILE]]", cmd_trace},
	{"forecast", NULL, "ID|QUEUE", cmd_forecast},
	{"check", NULL, "[alive|disk|clock|keys|links|deadlines|journal]", cmd_check},
	/* Before "journal" alone, which takes all its other words. */
	{"journal", "export", "DIR|node.conf [--stream FROM:TO[:PRECEDENCE]] [--queue Q] [--from T] [--to T] [--binary | --open | --age RECIPIENT | --as-drill [--names keep|replace]] FILE", cmd_journal_export},
	{"journal", "import", "node.conf FILE [--dry-run]", cmd_journal_import},
	{"journal", "compact", "DIR|node.conf", cmd_journal_compact},
	{"journal", "rescue", "DIR|node.conf", cmd_journal_rescue},
	{"journal", "evidence", "FILE --from T --to T  |  --open KEYFILE FILE FOLDER", cmd_evidence},
	{"journal", NULL, "verify [--repair]|ls|stat DIR|node.conf  |  verify FILE [--authority PUB]  |  show DIR|node.conf ID", cmd_journal},
	{"evidence", NULL, "FILE --from T --to T  |  --open KEYFILE FILE FOLDER", cmd_evidence},
	{"report", NULL, "[DIR|node.conf] [--year Y] [--from T] [--to T] [--by year|month|direction|site|originator|addressee|queue|channel|precedence|none,..]\n"
	                 "       [--local] [--copies] [--json|--csv]", cmd_report},
	{"rebuild", NULL, "node.conf", cmd_rebuild},
	{"backup", NULL, "node.conf FILE [--since FILE] [--damaged]  |  --check FILE [--since FILE]...", cmd_backup},
	{"restore", NULL, "FILE node.conf [--since FILE]... [--dry-run]", cmd_restore},
	{"courier", "pack", "--for SITE[,..]|all [--precedence P] [--max-size N] FILE", cmd_courier_pack},
	{"courier", "unpack", "FILE", cmd_courier_unpack},
	{"network", "init", "DIR [--roster FILE] [--sites A,B,..] [--base-port N] [--bearers N]", cmd_network_init},
	{"network", "up", "DIR [--sites A,B,..]", cmd_network_up},
	{"network", "down", "DIR [--sites A,B,..]", cmd_network_down},
	{"network", "status", "DIR [--sites A,B,..]", cmd_network_status},
	{"keygen", NULL, "--site NAME [--network NAME] [--number N|--roster FILE] --out FILE  |  --authority --out PREFIX", cmd_keygen},
	{"dictionary", "train", "[--out FILE] [--size BYTES] FILE...", cmd_dictionary_train},
	{"roster", NULL, "sign FILE --key KEY | verify FILE --pub PUB | show FILE | diff OLD NEW", cmd_roster},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static int help(FILE *to)
{
	fputs("usage: estafette [-c FILE] [--json] COMMAND ...        (without a command: status)\n\n", to);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %s%s%s %s\n", commands[i].name, commands[i].sub ? " " : "", commands[i].sub ? commands[i].sub : "", commands[i].synopsis);
	fputs("\n--json prints one object a line. FILE is node.conf; without -c $ESTAFETTE_CONF, then /etc/estafette/*.node.conf.\n", to);
	return to == stdout ? EXIT_OK : EXIT_USAGE;
}

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
			return true;
	return false;
}

static int run(struct cli *cli, const struct command *c, int argc, char **argv)
{
	if (!asks_for_help(argc, argv))
		return c->run(cli, argc, argv);
	printf("usage: estafette [-c FILE] [--json] %s%s%s %s\n", c->name, c->sub ? " " : "", c->sub ? c->sub : "", c->synopsis);
	return EXIT_OK;
}

/* argv[0] is the command. */
static int find_and_run(struct cli *cli, int argc, char **argv)
{
	bool half = false;
	for (size_t i = 0; i < COMMANDS; i++) {
		const struct command *c = &commands[i];
		if (strcmp(c->name, argv[0]) != 0)
			continue;
		if (c->sub == NULL)
			return run(cli, c, argc, argv);
		half = true;
		if (argc > 1 && strcmp(c->sub, argv[1]) == 0)
			return run(cli, c, argc - 1, argv + 1);
	}
	if (half && asks_for_help(argc, argv))
		return help(stdout);
	if (half)
		return cli_fail(cli, ERR_USAGE, "%s: say what of it (estafette --help lists them)", argv[0]);
	return cli_fail(cli, ERR_USAGE, "%s: no such command (estafette --help lists them)", argv[0]);
}

/* What stands before the command: the index of the command, or -1 with *status when it is over. */
static int before_command(struct cli *cli, int argc, char **argv, int *status)
{
	int i = 1;
	for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			cli->json = true;
		} else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
			cli->conf_path = argv[++i];
		} else if (strncmp(argv[i], "-c", 2) == 0 && argv[i][2] != '\0') {
			cli->conf_path = argv[i] + 2;
		} else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
			*status = help(stdout);
			return -1;
		} else if (strcmp(argv[i], "--version") == 0) {
			puts("estafette " BUILD_VERSION);
			*status = EXIT_OK;
			return -1;
		} else {
			*status = cli_fail(cli, ERR_USAGE, "%s: unknown option, or it lacks its value (estafette --help)", argv[i]);
			return -1;
		}
	}
	return i;
}

/* An error said before --json was read shall be an object, too. */
static bool json_asked(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

/* A standard descriptor that the caller closed would become our socket, and what is printed would go to the node. In its
 * place comes one that refuses to be read (0) or written (1, 2). */
static void fill_closed_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			abort();
}

int main(int argc, char **argv)
{
	static char *status_only[] = {(char *)"status", NULL};
	struct cli cli = {.json = json_asked(argc, argv)};
	int status = EXIT_OK;
	fill_closed_descriptors();
	if (crypt_start() != ERR_OK)
		return cli_fail(&cli, ERR_INTERNAL, "libsodium: it cannot start");
	int at = before_command(&cli, argc, argv, &status);
	if (at >= 0)
		status = at == argc ? find_and_run(&cli, 1, status_only) : find_and_run(&cli, argc - at, argv + at);
	/* ferror: an earlier flush may have failed already. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_OK)
		status = cli_fail(&cli, ERR_IO, "standard output: the result could not be written (is the disk full?)");
	return status;
}
