/* aside.h - a folder that is made beside its place and then renamed into it, so that there is all of it or nothing. */
#ifndef NODE_CLI_ASIDE_H
#define NODE_CLI_ASIDE_H

#include "proto/err.h"

struct aside {
	char *place;    /* where it will be: absolute, so that files in it can name it before it is there */
	char *building; /* where it is made until then; NULL once it is in place */
};

/* dir may be missing (the folder it lies in may not) or an empty folder. ERR_EXISTS when there is anything else;
 * ERR_IO, ERR_NOMEM; m filled. Always followed by aside_release. */
MUST_USE enum err aside_begin(const char *dir, struct aside *a, struct errmsg *m);
/* Into its place. ERR_EXISTS when that was filled meanwhile; ERR_IO; m filled. */
MUST_USE enum err aside_finish(struct aside *a, struct errmsg *m);
/* Frees, and removes what was not finished. */
void aside_release(struct aside *a);

#endif
