/* Choosing the entries of an evidence package: two readings of the journal, in order of arrival. */
#include "node/cli/evidence.h"

#include <stdlib.h>
#include <string.h>

#include "proto/cursor.h"
#include "proto/report.h"

#define LOOK_ENTRIES 4096 /* in one transaction: one that is kept open makes the journal grow */

struct choosing {
	struct source *s;
	struct evidence *ev;
	struct progress *progress;
	struct buf plain;
	size_t cap_ids, cap_grants;
	bool reports;              /* which reading */
	struct errmsg *m;
};

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct msgid));
}

/* ---- picking ------------------------------------------------------------------------------------------------------------ */

static enum err mark(struct evidence *ev, uint64_t arrival)
{
	if (arrival >= ev->n_picked) {
		uint64_t n = (arrival + arrival / 2 + 4096) & ~7ULL;
		uint8_t *more = realloc(ev->picked, n / 8);
		if (more == NULL)
			return ERR_NOMEM;
		memset(more + ev->n_picked / 8, 0, (n - ev->n_picked) / 8);
		ev->picked = more;
		ev->n_picked = n;
	}
	ev->picked[arrival / 8] |= (uint8_t)(1u << arrival % 8);
	return ERR_OK;
}

bool evidence_wants(void *arg, const struct entry_row *row)
{
	const struct evidence *ev = arg;
	return row->arrival < ev->n_picked && (ev->picked[row->arrival / 8] >> row->arrival % 8 & 1);
}

/* And the grant that opens it. */
static enum err pick(struct choosing *c, struct txn *t, const struct entry_row *row)
{
	struct evidence *ev = c->ev;
	uint64_t number, arrival;
	enum err e = mark(ev, row->arrival);
	if (e != ERR_OK || store_grant_find(t, row->stream, row->number, &number, &arrival) != ERR_OK)
		return e;
	if (ev->n_grants && ev->grants[ev->n_grants - 1].stream == row->stream && ev->grants[ev->n_grants - 1].number == number)
		return ERR_OK;
	e = export_room((void **)&ev->grants, ev->n_grants, &c->cap_grants, sizeof *ev->grants);
	if (e != ERR_OK)
		return e;
	ev->grants[ev->n_grants].stream = row->stream;
	ev->grants[ev->n_grants++].number = number;
	return arrival ? mark(ev, arrival) : ERR_OK;
}

static enum err pick_message(struct choosing *c, struct txn *t, const struct entry_row *row, const struct header *h)
{
	struct evidence *ev = c->ev;
	enum err e = export_room((void **)&ev->ids, ev->n_ids, &c->cap_ids, sizeof *ev->ids);
	if (e != ERR_OK)
		return e;
	ev->ids[ev->n_ids++] = h->id;
	ev->messages++;
	return pick(c, t, row);
}

/* ---- reports ------------------------------------------------------------------------------------------------------------- */

static bool names_one(const struct evidence *ev, struct view records)
{
	struct report_record r;
	while (records.len && report_next(&records, &r) == ERR_OK)
		for (size_t i = 0; i < r.ids; i++)
			if (bsearch(r.id_bytes.ptr + i * MSGID_BYTES, ev->ids, ev->n_ids, sizeof *ev->ids, by_id))
				return true;
	return false;
}

static const struct stream_row *stream_of(const struct source *s, uint32_t local)
{
	for (size_t i = local && local <= s->n_streams ? local - 1 : 0; i < s->n_streams; i++)
		if (s->streams[i].local == local)
			return &s->streams[i];
	return NULL;
}

static bool in_time(const struct evidence *ev, const struct header *h)
{
	return h->sent.us >= ev->from.us && h->sent.us < ev->to.us;
}

static enum err look_at_report(struct choosing *c, struct txn *t, const struct entry_row *row, const struct header *h)
{
	const struct stream_row *stream = stream_of(c->s, row->stream);
	struct envelope env;
	bool wanted;
	if (h->sent.us < c->ev->from.us || stream == NULL || (row->e.flags & ENTRY_STUB))
		return ERR_OK;
	if (source_envelope(c->s, t, stream, row, &c->plain, &env)) {
		wanted = names_one(c->ev, env.records);
	} else {
		wanted = in_time(c->ev, h);
		c->ev->unopened += wanted;
	}
	c->ev->reports += wanted;
	return wanted ? pick(c, t, row) : ERR_OK;
}

/* ---- the readings ---------------------------------------------------------------------------------------------------------- */

static enum err look(struct choosing *c, struct txn *t, const struct entry_row *row)
{
	struct header h;
	if (header_decode(row->e.header, &h) != ERR_OK)
		return ERR_OK; /* damaged: verify tells */
	if (!c->reports)
		return h.kind == KIND_MESSAGE && in_time(c->ev, &h) ? pick_message(c, t, row, &h) : ERR_OK;
	return h.kind == KIND_REPORT ? look_at_report(c, t, row, &h) : ERR_OK;
}

static enum err some(struct choosing *c, struct txn *t, uint64_t *next)
{
	for (unsigned n = 0; n < LOOK_ENTRIES; n++) {
		struct entry_row row;
		enum err e = store_entry_from(t, *next, &row);
		if (e != ERR_OK && e != ERR_DAMAGED)
			return e;
		*next = row.arrival + 1;
		if (e == ERR_OK)
			e = look(c, t, &row);
		else
			e = ERR_OK;
		if (e != ERR_OK)
			return e;
	}
	return ERR_OK;
}

static enum err read_all(struct choosing *c)
{
	enum err e = ERR_OK;
	for (uint64_t next = 1; e == ERR_OK;) {
		struct txn *t = NULL;
		e = txn_begin(c->s->store, false, &t);
		if (e == ERR_OK)
			e = some(c, t, &next);
		txn_abort(t);
		if (e == ERR_OK && !progress_show(c->progress, 0, 0))
			e = ERR_CLOSED;
	}
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static int by_stream(const void *a, const void *b)
{
	const struct evidence_grant *x = a, *y = b;
	if (x->stream != y->stream)
		return x->stream < y->stream ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Entries of several streams came in turn, so most were noted often. */
static void each_once(struct evidence *ev)
{
	size_t n = 0;
	if (ev->n_grants)
		qsort(ev->grants, ev->n_grants, sizeof *ev->grants, by_stream);
	for (size_t i = 0; i < ev->n_grants; i++)
		if (!n || by_stream(&ev->grants[n - 1], &ev->grants[i]) != 0)
			ev->grants[n++] = ev->grants[i];
	ev->n_grants = n;
}

enum err evidence_choose(struct source *s, struct evidence *ev, struct progress *p, struct errmsg *m)
{
	struct choosing c = {.s = s, .ev = ev, .progress = p, .m = m};
	enum err e = read_all(&c);
	if (e == ERR_OK && ev->n_ids)
		qsort(ev->ids, ev->n_ids, sizeof *ev->ids, by_id);
	c.reports = true;
	if (e == ERR_OK)
		e = read_all(&c);
	each_once(ev);
	if (c.plain.ptr)
		crypt_wipe(c.plain.ptr, c.plain.cap);
	buf_release(&c.plain);
	return e == ERR_OK ? e : err_set(m, e, e == ERR_CLOSED ? "interrupted, nothing was left" : "%.200s: %s (journal verify says more)", s->dir, err_text(e));
}

void evidence_release(struct evidence *ev)
{
	free(ev->picked);
	free(ev->grants);
	free(ev->ids);
}

struct view evidence_signed(uint8_t out[EVIDENCE_SIGNED_BYTES], const struct hash *network, const struct hash *all)
{
	struct wr w = wr_init(out, EVIDENCE_SIGNED_BYTES);
	wr_bytes(&w, view_str("estafette evidence 1"));
	wr_bytes(&w, view_of(network->b, HASH_BYTES));
	wr_bytes(&w, view_of(all->b, HASH_BYTES));
	return view_of(out, wr_len(&w));
}
