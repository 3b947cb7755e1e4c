/* minimize.h - MINIMIZE for people: while it is in force every table begins with it. */
#ifndef NODE_CLI_MINIMIZE_H
#define NODE_CLI_MINIMIZE_H

#include <stdio.h>

#include "node/client/estafette.h"

/* Says in one line what is held back until when, when something is. Silent when the node cannot be asked: what follows says why. */
void minimize_say(estafette *h, FILE *to);
/* The same, when messages of that precedence are: who sent one knows why it waits. */
void minimize_say_of(estafette *h, int precedence, FILE *to);

#endif
