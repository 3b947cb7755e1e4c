/* cmd.h - the commands that need no daemon: enrolment and practice networks. See cli.h for how one is called. */
#ifndef NODE_CLI_CMD_H
#define NODE_CLI_CMD_H

struct cli;
int cmd_keygen(struct cli *cli, int argc, char **argv);
int cmd_roster(struct cli *cli, int argc, char **argv);
int cmd_dictionary_train(struct cli *cli, int argc, char **argv);
int cmd_network_init(struct cli *cli, int argc, char **argv);

#endif
