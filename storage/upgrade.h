/* upgrade.h - a journal of an earlier schema becomes one of this.
 *
 * A step takes a journal from one schema to the next, in one write transaction that also writes the new number: the journal is
 * of the old schema or of the new one, never between. Steps follow each other until the program's own schema is reached. They
 * run when a journal is opened for writing; who only reads reads older schemas as they are, since a step only ever adds what
 * readers do without. There is no way back: a program that knows only the older schema refuses the journal afterwards, as it
 * must, because it would overlook what the newer one keeps there.
 */
#ifndef STORAGE_UPGRADE_H
#define STORAGE_UPGRADE_H

#include "proto/err.h"
#include "storage/record.h"

/* The journal's schema. ERR_DAMAGED (m says so), ERR_VERSION (newer than this program). dir: for m only. */
MUST_USE enum err upgrade_schema_of(struct txn *t, const char *dir, uint32_t *schema, struct errmsg *m);
/* Puts that number into the journal's first record. */
void upgrade_note(struct txn *t, uint32_t schema);
/* All steps from s->schema to STORE_SCHEMA; s->schema says how far it came. ERR_FULL, ERR_SYNC, ERR_IO, ERR_NOMEM, m filled. */
MUST_USE enum err upgrade_run(struct store *s, const char *dir, struct errmsg *m);

#endif
