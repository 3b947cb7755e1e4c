/* redo.c - entries opened and placed again when a key or an order has come: what is long work goes in small steps.
 *
 * A job is a range of one stream, in the journal and in the mirror. A step takes a few hundred entries, most urgent streams first,
 * and stores how far it came in the same commit, so a restart goes on where it was; an entry that is done twice stays as it is. */
#include <stdio.h>

#include "node/core/core_int.h"

/* What one commit takes: a small part of what a segment of a peer brings. */
#define REDO_ENTRIES 256
/* Where nobody waits for anything else. */
#define REDO_ENTRIES_PAST 20000

static struct redo *job_of(struct core *c, uint32_t stream)
{
	for (size_t i = 0; i < c->takeover.n_redo; i++)
		if (c->takeover.redo[i].stream == stream)
			return &c->takeover.redo[i];
	return NULL;
}

static struct redo *job_new(struct core *c, uint32_t stream)
{
	struct redo *j = array_grow(&c->takeover.redo, &c->takeover.n_redo, sizeof *j);

	if (j)
		*j = (struct redo){.stream = stream};
	return j;
}

static void job_end(struct core *c, struct redo *j)
{
	uint32_t stream = j->stream;

	*j = c->takeover.redo[--c->takeover.n_redo];
	c->takeover.at = c->takeover.n_chains ? c->now : c->takeover.at;
	store_redo_del(c->t, stream);
}

static void job_store(struct core *c, const struct redo *j)
{
	struct redo_row row = {.stream = j->stream, .next = j->next, .upto = j->upto};

	store_redo_put(c->t, &row);
}

void redo_add(struct core *c, struct stream *s, uint64_t first, uint64_t upto)
{
	struct redo *j = job_of(c, s->row.local);

	if (first <= s->row.floor)
		first = s->row.floor + 1;
	if (upto > s->row.held)
		upto = s->row.held;
	if (first > upto || (j && !j->next))
		return; /* nothing, or all of it is looked at anyhow */
	if (j) {
		/* Both, and what lies between them. */
		first = j->next < first ? j->next : first;
		upto = j->upto > upto ? j->upto : upto;
	} else {
		j = job_new(c, s->row.local);
	}
	if (!j) {
		txn_fail(c->t, ERR_NOMEM);
		return;
	}
	j->next = first;
	j->upto = upto;
	job_store(c, j);
	c->serve_more = true;
}

/* ---- steps ------------------------------------------------------------------------------------------------------------- */

/* How early a stream's turn is: operational before exercises, and the most urgent first. */
static unsigned turn_of(const struct stream *s)
{
	return s->row.name.exercise * PREC_COUNT + s->row.name.precedence;
}

static struct redo *job_next(struct core *c, struct stream **s)
{
	struct redo *best = NULL;

	for (size_t i = c->takeover.n_redo; i-- > 0;) {
		struct redo *j = &c->takeover.redo[i];
		struct stream *of = stream_by_local(c, j->stream);

		if (!of) {
			job_end(c, j); /* set aside: who holds it brings it again, and then it is opened anyhow */
			return job_next(c, s);
		}
		if (best && turn_of(of) >= turn_of(*s))
			continue;
		best = j;
		*s = of;
	}
	return best;
}

/* Its row could not be read: only which stream it was about is known, so that is done from its beginning. */
static void job_mend(struct core *c, struct redo *j, const struct stream *s)
{
	char subject[24];

	if (j->next)
		return;
	j->next = s->row.floor + 1;
	j->upto = s->row.held;
	snprintf(subject, sizeof subject, "redo.%u", j->stream);
	c->damaged++;
	alarm_raise(c, "damage", subject, "run `estafette journal verify`, and look after this machine's disk and memory",
		    "the journal's record of what is still to be opened of stream %u was damaged; all of that stream is looked at again", j->stream);
}

/* ---- after a remake ---------------------------------------------------------------------------------------------------- */

/* Whether an entry's turn comes in the other pass. */
static bool later(struct core *c, const struct stream *s, uint64_t number)
{
	struct entry_row row;
	struct header h;

	if (!c->rebuilding || store_entry_find(c->t, s->row.local, number, &row) || header_decode(row.e.header, &h))
		return false;
	return (h.kind == KIND_MESSAGE) != (c->rebuilding == REBUILDING_KNOWN || c->rebuilding == REBUILDING_PLACES);
}

static void rebuilding_put(struct core *c, enum rebuilding r)
{
	uint8_t byte = (uint8_t)r;

	c->rebuilding = byte;
	store_meta_put(c->t, META_REBUILDING, view_of(&byte, 1));
}

/* All jobs of a pass are done. */
static void rebuild_next(struct core *c)
{
	/* What desks had in hand at a time that is over they have in hand there: past.c. */
	if (c->rebuilding >= REBUILDING_LEASES || (c->config.past && c->rebuilding >= REBUILDING_PLACES)) {
		rebuilding_put(c, REBUILT);
		alarm_clear(c, "rebuilding", NULL);
		for (size_t i = 0; i < c->n_queues; i++)
			c->queues[i].changed = true;
	} else {
		rebuilding_put(c, c->rebuilding + 1);
		for (size_t i = 0; i < c->n_streams; i++)
			if (!c->streams[i]->own)
				redo_add(c, c->streams[i], 1, UINT64_MAX);
	}
	c->serve_more = true;
}

/* ---- the steps themselves ------------------------------------------------------------------------------------------------ */

/* At most `most` entries of a job. How many. */
static size_t job_step(struct core *c, struct redo *j, struct stream *s, size_t most)
{
	uint32_t stream = j->stream;
	size_t n = 0;

	job_mend(c, j, s);
	for (; n < most && j->next <= j->upto && !txn_error(c->t); n++) {
		/* What is opened may ask for more, of this stream or another: jobs move in memory then, and what is asked for
		 * from here on is under way already. */
		uint64_t number = j->next++;

		if (!later(c, s, number) && !c->config.past)
			deliver_whole(c, s, number);
		else if (!later(c, s, number))
			past_entry(c, s, number);
		j = job_of(c, stream);
	}
	if (j->next > j->upto)
		job_end(c, j);
	else
		job_store(c, j);
	return n;
}

void redo_step(struct core *c)
{
	struct stream *s = NULL;
	struct redo *j;

	/* What was counted when it happened is not counted again. */
	struct counters counted = c->counters;

	for (size_t left = c->config.past ? REDO_ENTRIES_PAST : REDO_ENTRIES; left && !txn_error(c->t) && (j = job_next(c, &s)); ) {
		/* Placing takes room, and the journal is looked at again later. */
		if (!space_admits(c, s->row.name.precedence))
			return;
		left -= job_step(c, j, s, left);
		c->restless = true;
		if (c->rebuilding)
			c->counters = counted;
	}
	if (c->rebuilding && !c->takeover.n_redo && !txn_error(c->t))
		rebuild_next(c);
	if (c->takeover.n_redo)
		c->serve_more = true;
}

bool redo_waits(const struct core *c, const struct stream *s)
{
	for (size_t i = 0; i < c->takeover.n_redo; i++)
		if (c->takeover.redo[i].stream == s->row.local)
			return true;
	return false;
}

void redo_load(struct core *c)
{
	struct redo_row row;
	uint32_t stream = 0;
	enum err e;

	c->takeover.n_redo = 0;
	while ((e = store_redo_from(c->t, stream, &row)) == ERR_OK || e == ERR_DAMAGED) {
		struct redo *j = job_new(c, row.stream);

		if (!j)
			return;
		/* next is 0 in no row that is whole. */
		j->next = e ? 0 : row.next;
		j->upto = e ? 0 : row.upto;
		stream = row.stream + 1;
		if (stream == 0)
			break;
	}
	c->serve_more = c->serve_more || c->takeover.n_redo || c->rebuilding;
}
