/* kept.c - a copy that was on its way, of a stream that this site is to hold itself now. */
#include "node/core/core_int.h"

/* How often it is asked whether the beginning of a kept copy can come. */
#define KEPT_LOOK_US (5 * US_PER_S)

static bool held_it_from_the_beginning(const struct core *c, const struct stream *s, uint16_t site)
{
	uint16_t sites[LIMIT_CUSTODIANS];
	size_t n = roster_custodians(c->roster, s->row.name.addressee, sites);

	for (size_t i = 0; i < n; i++)
		if (sites[i] == site)
			return true;
	return site == s->row.name.originator;
}

/* Its originator is reached, and in the run that wrote it: what it wrote then it has. */
static bool writer_has_it(struct core *c, const struct stream *s)
{
	const struct peer *p = peer_find(c, s->row.name.originator);

	return p && p->live && !p->gone && p->met && incarnation_equal(&p->incarnation, &s->row.name.incarnation);
}

/* Somebody who is reached has said, in this run, that he has all that is here. */
static bool is_elsewhere(struct core *c, const struct stream *s)
{
	if (writer_has_it(c, s) && !s->forked)
		return true;
	for (size_t i = 0; i < s->n_flows; i++) {
		const struct flow *f = &s->flows[i];

		if (f->peer->live && !f->peer->gone && f->known && !f->vouched && !f->forked && f->acked >= s->row.held && !f->n_missing &&
		    held_it_from_the_beginning(c, s, f->peer->site))
			return true;
	}
	return false;
}

void kept_forget(struct core *c, struct stream *s, uint64_t number)
{
	struct buf events = BUF_EMPTY;
	struct entry_row entry;
	struct msg_row row;
	struct header h;

	if (store_entry_find(c->t, s->row.local, number, &entry) || header_decode(entry.e.header, &h) || h.kind != KIND_MESSAGE)
		return;
	uint64_t arrival = entry.arrival;

	if (msg_load(c, &h.id, s->row.name.addressee, &row, &events) == ERR_OK && row.arrival == arrival) {
		deliver_remove(c, &row);
		row.arrival = 0;
		row.events = buf_view(&events);
		store_msg_put(c->t, &row);
	}
	buf_release(&events);
}

static void begin_anew(struct core *c, struct stream *s)
{
	s->kept = false;
	stream_touch(c, s);
	stream_heat(c, s);
	for (uint64_t n = s->row.floor + 1; n <= s->row.held; n++)
		kept_forget(c, s, n);
	if (store_stream_empty(c->t, &s->row, &s->hash, transit_unused, c))
		return;
	s->signed_to = 0;
	s->n_missing = 0;
	s->epoch_known = false;
	crypt_wipe(&s->epoch, sizeof s->epoch);
	s->dirty = true;
	bodies_gone(c);
}

void kept_concerned(struct core *c, struct stream *s)
{
	s->kept = s->row.floor && s->row.held > s->row.floor && !is_elsewhere(c, s);
	if (s->row.floor && !s->kept)
		begin_anew(c, s);
	else
		redo_add(c, s, s->row.floor + 1, s->row.held);
}

void kept_load(struct core *c, struct stream *s)
{
	struct floor_note note;

	s->kept = !s->transit && s->row.floor && store_floor_get(c->t, s->row.local, &note) == ERR_OK && note.number == s->row.floor && !note.proof.len;
}

static bool may_begin_anew(struct core *c, const struct stream *s)
{
	return s->kept && !s->transit && (s->row.held == s->row.floor || is_elsewhere(c, s));
}

void kept_look(struct core *c, struct stream *s)
{
	if (may_begin_anew(c, s)) {
		c->passing.anew = true;
		c->passing.at = c->now;
	} else {
		c->passing.at = mono_min(c->passing.at, mono_add(c->now, KEPT_LOOK_US));
	}
}

void kept_anew(struct core *c)
{
	if (!c->passing.anew)
		return;
	c->passing.anew = false;
	for (size_t i = 0; i < c->n_streams; i++)
		if (may_begin_anew(c, c->streams[i])) {
			begin_anew(c, c->streams[i]);
			transit_due(c, c->streams[i]);
		}
}
