/* commands.h - the functions behind the words of the command line; main.c has the one table of them. */
#ifndef NODE_CLI_COMMANDS_H
#define NODE_CLI_COMMANDS_H

#include "node/cli/cli.h"
#include "node/cli/cmd.h"

int cmd_send(struct cli *cli, int argc, char **argv);
int cmd_take(struct cli *cli, int argc, char **argv);
int cmd_ack(struct cli *cli, int argc, char **argv);
int cmd_refuse(struct cli *cli, int argc, char **argv);
int cmd_extend(struct cli *cli, int argc, char **argv);
int cmd_cancel(struct cli *cli, int argc, char **argv);
int cmd_release(struct cli *cli, int argc, char **argv);
int cmd_relocate(struct cli *cli, int argc, char **argv);
int cmd_handback(struct cli *cli, int argc, char **argv);
int cmd_revoke(struct cli *cli, int argc, char **argv);
int cmd_endorse(struct cli *cli, int argc, char **argv);
int cmd_minimize(struct cli *cli, int argc, char **argv);
int cmd_assist(struct cli *cli, int argc, char **argv);
int cmd_purge(struct cli *cli, int argc, char **argv);
int cmd_replay(struct cli *cli, int argc, char **argv);
int cmd_links_retry(struct cli *cli, int argc, char **argv);
int cmd_links_history(struct cli *cli, int argc, char **argv);
int cmd_show(struct cli *cli, int argc, char **argv);  /* argv[0] says what */
int cmd_trace(struct cli *cli, int argc, char **argv);
int cmd_check(struct cli *cli, int argc, char **argv);
int cmd_courier_pack(struct cli *cli, int argc, char **argv);
int cmd_courier_unpack(struct cli *cli, int argc, char **argv);
int cmd_network_up(struct cli *cli, int argc, char **argv);
int cmd_network_down(struct cli *cli, int argc, char **argv);
int cmd_network_status(struct cli *cli, int argc, char **argv);
int cmd_backup(struct cli *cli, int argc, char **argv);
int cmd_restore(struct cli *cli, int argc, char **argv);
int cmd_journal_export(struct cli *cli, int argc, char **argv);
int cmd_journal_import(struct cli *cli, int argc, char **argv);
int cmd_journal_compact(struct cli *cli, int argc, char **argv);
int cmd_journal_rescue(struct cli *cli, int argc, char **argv);
int cmd_forecast(struct cli *cli, int argc, char **argv);
int cmd_evidence(struct cli *cli, int argc, char **argv);
int cmd_report(struct cli *cli, int argc, char **argv);
int cmd_rebuild(struct cli *cli, int argc, char **argv);
int cmd_journal(struct cli *cli, int argc, char **argv); /* argv[0] is "journal", argv[1] what */

#endif
