/* tables.h - what a site of the small world shows, as lines of text: "trace id=... site=cic-luik event=held ...", a row each. */
#ifndef TESTS_TABLES_H
#define TESTS_TABLES_H

#include "tests/lib/world.h"

/* The rows of a table at a site, without those that are about exercises unless all; of the members in only (" a b "), or all of
 * them (NULL). id: of a trace. */
void table_add(struct world *w, size_t i, const char *what, const struct msgid *id, const char *only, bool all, struct buf *out);
bool table_has(const struct buf *b, const char *text);
/* All of the table: does it say that? */
bool table_says(struct world *w, size_t i, const char *what, const struct msgid *id, const char *text);
/* Does one of its rows say both? */
bool table_row_says(struct world *w, size_t i, const char *what, const struct msgid *id, const char *text, const char *and);

#endif
