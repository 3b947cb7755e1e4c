/* Verification of what a takeover keeps: it leads to streams and entries that are there. */
#include "storage/verify_pass.h"

static void verify_conflicts(struct pass *p)
{
	struct walk w = pass_table(p, TABLE_CONFLICT);
	while (pass_next(p, &w)) {
		char text[MSGID_TEXT_BYTES];
		struct conflict_row row;
		if (codec_conflict_read(w.key, &w.row, &row)) {
			wrong(p, WRONG_TAKEOVER, "a conflict's row cannot be read");
			continue;
		}
		msgid_format(&row.id, text);
		if (row.n < 2)
			wrong(p, WRONG_TAKEOVER, "conflict about message %s to site %u: it names fewer than two handlers", text, row.addressee);
	}
}

static void verify_handed(struct pass *p)
{
	struct walk w = pass_table(p, TABLE_HANDED);
	while (pass_next(p, &w)) {
		struct rd k = key_fields(w.key);
		uint32_t stream = rd_u32(&k);
		uint64_t number = rd_u64(&k);
		if (!pass_stream(p, stream))
			wrong(p, WRONG_GRANT, "a key was handed on for number %llu of stream %u, which is not there", (unsigned long long)number, stream);
	}
}

static void verify_branches(struct pass *p)
{
	struct walk w = pass_table(p, TABLE_BRANCH);
	while (pass_next(p, &w)) {
		uint32_t stream;
		uint64_t first;
		struct hash hash;
		if (codec_branch_key(w.key, &stream, &first, &hash))
			wrong(p, WRONG_TAKEOVER, "a branch's key cannot be read");
		else if (!pass_stream(p, stream))
			wrong(p, WRONG_TAKEOVER, "a branch at number %llu of stream %u, which is not there", (unsigned long long)first, stream);
	}
}

static void verify_quarantine(struct pass *p)
{
	struct walk w = pass_table(p, TABLE_QUARANTINE);
	while (pass_next(p, &w)) {
		char why[QUARANTINE_TEXT_BYTES];
		struct entry_row row;
		uint64_t arrival = 0;
		if (codec_quarantine_read(w.key, &w.row, &arrival, why))
			wrong(p, WRONG_TAKEOVER, "a row of the quarantine cannot be read");
		else if (store_entry_get(p->t, arrival, &row) == ERR_NOT_FOUND)
			wrong(p, WRONG_TAKEOVER, "entry %llu is in quarantine and is not there", (unsigned long long)arrival);
	}
}

static void verify_redo(struct pass *p)
{
	struct walk w = pass_table(p, TABLE_REDO);
	while (pass_next(p, &w)) {
		struct redo_row row;
		if (codec_redo_read(w.key, &w.row, &row))
			wrong(p, WRONG_TAKEOVER, "a row of work under way cannot be read");
		else if (!pass_stream(p, row.stream) || !row.next || row.next > row.upto)
			wrong(p, WRONG_TAKEOVER, "stream %u is to be opened again from %llu to %llu, and %s", row.stream, (unsigned long long)row.next,
			      (unsigned long long)row.upto, pass_stream(p, row.stream) ? "that is no range" : "is not there");
	}
}

void verify_takeover(struct pass *p)
{
	verify_conflicts(p);
	verify_handed(p);
	verify_branches(p);
	verify_quarantine(p);
	verify_redo(p);
}
