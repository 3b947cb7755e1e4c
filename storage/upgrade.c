#include "storage/upgrade.h"

enum err upgrade_schema_of(struct txn *t, const char *dir, uint32_t *schema, struct errmsg *m)
{
	struct key k = key_meta(META_STORE, META_STORE_SCHEMA);
	struct rd r;
	enum err e = record_get(t, &k, &r);
	*schema = e ? 0 : rd_u32(&r);
	if (e || rd_done(&r) || *schema == 0)
		return err_set(m, ERR_DAMAGED, "%s: the journal's first record is damaged: restore it from a backup", dir);
	if (*schema > STORE_SCHEMA)
		return err_set(m, ERR_VERSION,
		               "%s: the journal has schema %u and this program knows schemas up to %u: use the version of the "
		               "program that wrote it, or a later one",
		               dir, *schema, STORE_SCHEMA);
	return ERR_OK;
}

void upgrade_note(struct txn *t, uint32_t schema)
{
	struct key k = key_meta(META_STORE, META_STORE_SCHEMA);
	uint8_t row[4];
	struct wr w = wr_init(row, sizeof row);
	wr_u32(&w, schema);
	record_put_wr(t, &k, &w, KV_PUT);
}

/* Schema 2 has tables 9 to 15 and 41 to 45, and heads with leaves behind them. A journal of schema 1 has none of that, and every
 * row it has means the same in both: only the number changes, so that a program of schema 1 does not open it any more. It would
 * hand out what a closing gave away, and begin streams anew below their floors. */
static enum err to_2(struct txn *t)
{
	return txn_error(t);
}

static enum err (*const step_from[STORE_SCHEMA])(struct txn *t) = {[1] = to_2};

enum err upgrade_run(struct store *s, const char *dir, struct errmsg *m)
{
	for (; s->schema < STORE_SCHEMA; s->schema++) {
		struct txn *t;
		enum err e = txn_begin(s, true, &t);
		if (!e && (e = step_from[s->schema](t)))
			txn_abort(t);
		else if (!e) {
			upgrade_note(t, s->schema + 1);
			e = txn_commit(t);
		}
		if (e)
			return err_set(m, e, "%s: the journal cannot be taken from schema %u to %u: %s (it is as it was)", dir, s->schema, s->schema + 1, err_text(e));
	}
	return ERR_OK;
}
