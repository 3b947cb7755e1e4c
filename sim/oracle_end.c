/* oracle_end.c - the liveness phase: does everything come together, and how does each message stand in the end. */
#include "sim/oracle_int.h"

/* What was together so lately is taken to be under way. */
#define LATELY_US (120 * US_PER_S)
/* An unsure clock is settled by a peer's next probe, of which sweeps have one in ten minutes. */
#define OVERDUE_US (900 * US_PER_S)

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

bool oracle_up(const struct oracle *o, uint16_t site)
{
	return o->index[site] && o->sites[o->index[site] - 1].up;
}

void oracle_repaired(struct oracle *o)
{
	o->was_repaired = true;
	o->repaired_at = o->now;
	o->converged_at = -1;
}

/* ---- convergence ------------------------------------------------------------------------------------------------- */

static bool stream_together(const struct oracle *o, const struct ostream *s, char *why, size_t size)
{
	uint16_t list[LIMIT_CUSTODIANS + 1 + LIMIT_ASSIGNMENTS];
	uint64_t most = ostream_most(s);
	size_t n = roster_custodians(o->roster, s->name.addressee, list);

	list[n++] = s->name.originator;
	n += successors_of(o, s->name.addressee, s->name.exercise, list + n);
	for (size_t i = 0; i < n; i++) {
		uint64_t held = ostream_held(s, list[i]);

		if (held >= most || !oracle_up(o, list[i]))
			continue;
		if (why)
			snprintf(why, size, "%s holds the stream %s to %s, %s, up to %llu of %llu", osite_name(o, list[i]), osite_name(o, s->name.originator),
				 osite_name(o, s->name.addressee), precedence_name(s->name.precedence), (unsigned long long)held, (unsigned long long)most);
		return false;
	}
	return true;
}

/* Large bodies, and what came in slices: the only items that may be in a journal and not whole there. */
static bool bodies_together(const struct oracle *o, char *why, size_t size)
{
	char text[MSGID_TEXT_BYTES];

	for (size_t k = 0; k < o->apart.n; k++) {
		const struct item *m = &o->items[o->apart.items[k]];
		uint16_t from = o->streams[m->stream].name.originator;

		if (m->flags & (ITEM_HELD | ITEM_ENDED | ITEM_ASIDE) || !oracle_up(o, m->addressee) || ostream_most(&o->streams[m->stream]) < m->number)
			continue;
		if (o->sites[o->index[from] - 1].replaced)
			continue; /* its body may be gone with the journal */
		if (why)
			snprintf(why, size, "the body of %s is not at %s", item_text(m, text), osite_name(o, m->addressee));
		return false;
	}
	return true;
}

bool oracle_converged(struct oracle *o, char *why, size_t size)
{
	bool all = true;

	for (size_t i = 0; i < o->n_streams && all; i++)
		all = stream_together(o, &o->streams[i], why, size);
	all = all && bodies_together(o, why, size);
	/* Desks go on, so that a moment later something may be under way again: the first time counts, the last time is
	 * looked at in the end. */
	if (all && o->was_repaired) {
		o->together_at = o->now;
		if (o->converged_at < 0)
			o->converged_at = o->now;
	}
	return all;
}

void oracle_tick(struct oracle *o)
{
	expiring_pass(o);
	flash_look(o);
}

/* ---- how each message stands ----------------------------------------------------------------------------------------- */

void oracle_standing(struct oracle *o, uint16_t site, const struct msgid *id, bool in_queue, uint8_t ended)
{
	uint32_t i = item_find(o, id, site);
	char text[MSGID_TEXT_BYTES];

	if (i == NONE || !(o->items[i].flags & ITEM_HELD))
		return;
	struct item *m = &o->items[i];

	m->flags |= ITEM_STOOD;
	m->stands = ended;
	item_text(m, text);
	o->v.checks[PROMISE_LOST]++;
	if (!in_queue && !ended) {
		o->v.lost++;
		m->flags |= ITEM_LOST;
		if (!osite_get(o, site)->flipped)
			oracle_broken(o, PROMISE_LOST, "%s has not ended and stands in no queue of %s", text, osite_name(o, site));
	}
	uint32_t how = m->flags & (ITEM_READ | ITEM_REFUSED);

	if (m->flags & ITEM_TWICE)
		how = 0;
	if ((ended == EVENT_READ && how == ITEM_REFUSED) || (ended == EVENT_REFUSED && how == ITEM_READ))
		oracle_broken(o, PROMISE_ANSWER, "%s was %s by its desk, and %s says that it was %s", text, how == ITEM_READ ? "read" : "refused",
			      osite_name(o, site), how == ITEM_READ ? "refused" : "read");
	if (ended == EVENT_READ && !(m->flags & ITEM_SERVED))
		oracle_broken(o, PROMISE_ANSWER, "%s says that %s was read, and never handed it out", osite_name(o, site), text);
	if (ended == EVENT_EXPIRED && !m->expires_us)
		oracle_broken(o, PROMISE_ANSWER, "%s says that %s has expired, which never does", osite_name(o, site), text);
	if (ended == EVENT_EXPIRED)
		oracle_rare(o, RARE_EXPIRED);
	if (in_queue && m->flags & ITEM_CANCELLED && o->converged_at >= 0 && !osite_get(o, site)->flipped &&
	    !osite_get(o, o->streams[m->stream].name.originator)->replaced)
		oracle_broken(o, PROMISE_ANSWER, "%s was cancelled by its sender, and still waits at %s", text, osite_name(o, site));
	if (in_queue && (m->flags & (ITEM_READ | ITEM_REFUSED)) && !(m->flags & ITEM_FORGIVEN) &&
	    (m->ended_by == site || !m->ended_by || o->converged_at >= 0))
		oracle_broken(o, PROMISE_TWICE, "%s was acknowledged at %s, whose queue still has it", text, osite_name(o, site));
}

void oracle_expiry(struct oracle *o, uint16_t site, const struct msgid *id, bool in_queue, int64_t over_us)
{
	const struct osite *at = osite_get(o, site);
	uint32_t i = item_find(o, id, site);
	char text[MSGID_TEXT_BYTES];

	if (i == NONE)
		return;
	o->v.checks[PROMISE_ANSWER]++;
	if (!in_queue && over_us < 0)
		oracle_broken(o, PROMISE_ANSWER, "%s has it that %s expired %.0f s before its time", osite_name(o, site), item_text(&o->items[i], text),
			      (double)-over_us / US_PER_S);
	/* A node that is down or unsure of its clock expires nothing. */
	int64_t well = later(at->up_since, at->clear_since);

	if (in_queue && over_us > OVERDUE_US && at->up && !at->troubled && !at->flipped && o->now - well > OVERDUE_US)
		oracle_broken(o, PROMISE_CONVERGE, "%s still waits at %s, %.0f s after its time", item_text(&o->items[i], text), osite_name(o, site),
			      (double)over_us / US_PER_S);
}

void oracle_receipt(struct oracle *o, uint16_t originator, uint16_t addressee, const struct msgid *id, uint8_t ended)
{
	uint32_t i = item_find(o, id, addressee);
	char text[MSGID_TEXT_BYTES];

	if (i == NONE || originator == addressee)
		return;
	struct item *m = &o->items[i];

	o->v.checks[PROMISE_ANSWER]++;
	item_text(m, text);
	if (ended == EVENT_READ && !(m->flags & ITEM_SERVED))
		oracle_broken(o, PROMISE_ANSWER, "%s has a receipt that %s was read at %s, which never handed it out", osite_name(o, originator), text, osite_name(o, addressee));
	if (!ended && o->converged_at >= 0 && (m->flags & ITEM_STOOD) && (m->stands == EVENT_READ || m->stands == EVENT_REFUSED) &&
	    !osite_get(o, addressee)->replaced && !osite_get(o, originator)->replaced && !(m->ended_by && osite_get(o, m->ended_by)->replaced))
		oracle_broken(o, PROMISE_CONVERGE, "%s does not know that %s has ended at %s", osite_name(o, originator), text, osite_name(o, addressee));
}

/* ---- the end ------------------------------------------------------------------------------------------------------------ */

static void finish_item(struct oracle *o, struct item *m)
{
	char text[MSGID_TEXT_BYTES];

	if (!(m->flags & ITEM_BOUND))
		return;
	if (!(m->flags & (ITEM_ACCEPTED | ITEM_ENDED)))
		o->v.unanswered_kept++;
	if (ostream_most(&o->streams[m->stream]) < m->number) {
		if (!(m->flags & ITEM_ENDED))
			o->v.excused++;
		return;
	}
	/* Its node may see it expire a little earlier than the true clock. */
	if (!(m->flags & (ITEM_ENDED | ITEM_ASIDE)) && !m->stands)
		o->v.waiting++;
	/* Where it is held at all it reaches its addressee, once all is repaired; convergence says why not. */
	if (!o->was_repaired || m->flags & (ITEM_LOST | ITEM_ENDED) || !oracle_up(o, m->addressee))
		return;
	o->v.checks[PROMISE_LOST]++;
	if (ostream_held(&o->streams[m->stream], m->addressee) < m->number) {
		o->v.lost++;
		oracle_broken(o, PROMISE_LOST, "%s is in a journal, and never reached %s", item_text(m, text), osite_name(o, m->addressee));
	} else if (!(m->flags & ITEM_STOOD) && osite_get(o, m->addressee)->finalled && !(m->flags & ITEM_CHUNKED) && !osite_get(o, m->addressee)->flipped) {
		o->v.lost++;
		oracle_broken(o, PROMISE_LOST, "%s holds the entry of %s, and knows no such message", osite_name(o, m->addressee), item_text(m, text));
	}
}

void oracle_cut_short(struct oracle *o)
{
	o->was_repaired = false;
}

void oracle_finish(struct oracle *o, int64_t in_time_us)
{
	char why[256] = "";

	oracle_tick(o);
	if (o->was_repaired) {
		bool now = oracle_converged(o, why, sizeof why);

		o->v.checks[PROMISE_CONVERGE]++;
		if (!now && (o->converged_at < 0 || o->now - o->together_at > LATELY_US))
			oracle_broken(o, PROMISE_CONVERGE, "%.0f s after the last repair %s", (double)(o->now - o->repaired_at) / US_PER_S, why);
		else if (o->converged_at - o->repaired_at > in_time_us)
			oracle_broken(o, PROMISE_CONVERGE, "it took %.0f s after the last repair, and at most %.0f s is allowed",
				      (double)(o->converged_at - o->repaired_at) / US_PER_S, (double)in_time_us / US_PER_S);
	}
	for (size_t i = 0; i < o->n_items; i++)
		finish_item(o, &o->items[i]);
	judge_seconds(o);
}

void oracle_site_final(struct oracle *o, uint16_t site)
{
	osite_get(o, site)->finalled = true;
}

void oracle_verdict(const struct oracle *o, struct verdict *out)
{
	*out = o->v;
	out->flash_p50_us = times_percentile(&o->flash_times, 50);
	out->flash_p99_us = times_percentile(&o->flash_times, 99);
	out->flash_max_us = times_percentile(&o->flash_times, 100);
	out->flash_timed = o->flash_times.n;
	for (size_t p = 0; p < PREC_COUNT; p++) {
		out->read_timed[p] = o->read_times[p].n;
		out->read_p50_us[p] = times_percentile(&o->read_times[p], 50);
		out->read_p99_us[p] = times_percentile(&o->read_times[p], 99);
	}
	out->converged_us = o->was_repaired && o->converged_at >= 0 ? o->converged_at - o->repaired_at : -1;
	out->ok = !oracle_failed(o);
}

/* ---- counts for expectations ----------------------------------------------------------------------------------------------- */

static void tally_add(const struct oracle *o, const struct item *m, struct tally *t)
{
	if (m->flags & ITEM_ACCEPTED)
		t->accepted++;
	if (m->held_at >= 0)
		t->delivered++;
	if (m->flags & ITEM_READ)
		t->read++;
	if (m->flags & ITEM_HELD && !(m->flags & (ITEM_ENDED | ITEM_ASIDE))) {
		t->waiting++;
		if (o->now - m->held_at > t->oldest_waiting_us)
			t->oldest_waiting_us = o->now - m->held_at;
	}
}

void oracle_tally(const struct oracle *o, const struct tally_of *of, struct tally *out)
{
	struct times delays = {0};

	*out = (struct tally){.delay_us = -1};
	for (size_t i = 0; i < o->n_items; i++) {
		const struct item *m = &o->items[i];
		uint16_t from = o->streams[m->stream].name.originator;

		if ((of->from && !of->from[from]) || (of->to && !of->to[m->addressee]) || (of->precedence >= 0 && m->precedence != of->precedence))
			continue;
		if (of->queue && of->queue[0] && (!(m->flags & ITEM_BOUND) || strcmp(o->names[o->subs[m->submission].queue], of->queue) != 0))
			continue;
		tally_add(o, m, out);
		if (m->held_at >= 0 && from != m->addressee)
			times_add(&delays, m->held_at - m->entered_at);
	}
	out->delay_us = times_percentile(&delays, of->percentile);
	free(delays.v);
}

uint64_t oracle_depth(const struct oracle *o, uint16_t site)
{
	return o->index[site] ? o->sites[o->index[site] - 1].depth : 0;
}

int64_t oracle_oldest_flash(struct oracle *o, uint16_t site)
{
	if (!o->index[site])
		return 0;
	uint32_t i = line_first(o, &o->sites[o->index[site] - 1].flash, ITEM_ENDED);

	return i == NONE ? 0 : o->now - o->items[i].entered_at;
}
