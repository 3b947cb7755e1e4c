/* mend.h - journals made anew (cmd_mend.c). */
#ifndef NODE_CLI_MEND_H
#define NODE_CLI_MEND_H

struct cli;
/* `journal verify --repair`: path is a folder or node.conf. Returns the exit status. */
int mend_repair(struct cli *cli, const char *path);

#endif
