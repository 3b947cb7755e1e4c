/* show_trace.c - what this site has heard of one message: every hop, over which bearer and when, and for what waits: why, since when, and
 * what is tried next. */
#include <stdio.h>

#include "node/core/show_int.h"

/* Of a hop: between which sites, and over which bearer; "" or NULL when that is not known. */
struct hop { uint16_t peer; const char *bearer; };

static void trace_hop(struct rows *r, const struct msgid *id, uint16_t site, const char *event, struct wall when, struct hop hop, const char *note)
{
	char text[MSGID_TEXT_BYTES], name[LIMIT_NAME_BYTES + 1];

	msgid_format(id, text);
	row_begin(r);
	row_text(r, "id", text);
	row_text(r, "site", site_name(r->c, site, name));
	row_text(r, "event", event);
	row_time(r, "time", when);
	if (hop.peer)
		row_text(r, "peer", site_name(r->c, hop.peer, name));
	else
		row_null(r, "peer");
	if (hop.bearer && hop.bearer[0])
		row_text(r, "bearer", hop.bearer);
	else
		row_null(r, "bearer");
	row_text(r, "note", note);
	row_flag(r, "exercise", r->exercise);
	row_end(r);
}

static void trace_line(struct rows *r, const struct msgid *id, uint16_t site, const char *event, struct wall when, uint16_t peer, const char *note)
{
	trace_hop(r, id, site, event, when, (struct hop){peer, NULL}, note);
}

/* By an order in force that site holds what is for the addressee, and no longer only beside it. */
static bool holds_for(const struct core *c, uint16_t site, uint16_t addressee, bool exercise)
{
	const struct chain *ch = site == addressee ? NULL : chain_find(c, addressee, exercise);

	return site == addressee || (ch && ch->now && order_names(&ch->now->order, site));
}

static const char *held_back(const struct core *c, char *out, size_t size)
{
	char until[WALL_TEXT_BYTES];

	wall_format(c->minimize.until, 0, until);
	snprintf(out, size, "MINIMIZE holds it back until %s, or until it is lifted", until);
	return out;
}

/* A link is there: why it is not with the peer yet. */
static const char *why_not_yet(const struct core *c, const struct flow *f, char *out, size_t size)
{
	if (minimize_holds(c, f->stream->row.name.precedence))
		return held_back(c, out, size);
	if (!f->retry_us)
		return "being sent";
	int64_t s = flow_is_held(c, f) ? (f->retry_at.us - c->now.us) / US_PER_S : 0;

	snprintf(out, size, "it has no room for that in its journal, and is tried again in %lld s", (long long)s);
	return out;
}

/* What is tried next for a site that is not reached: since when is the row's time. */
static const char *way_on(struct core *c, const struct peer *p, char *out, size_t size)
{
	char name[LIMIT_NAME_BYTES + 1];
	unsigned hops = 0;
	const struct peer *via = p->live ? NULL : vectors_via(c, p->site, &hops);
	bool any = false;

	if (p->live) {
		snprintf(out, size, "since then %s takes only what is urgent; it goes over neighbours, or as soon as a bearer for all traffic is back",
			 p->lane[LANE_URGENT].bearer);
		return out;
	}
	for (size_t i = 0; i < c->n_peers; i++)
		any = any || c->peers[i]->live;
	if (via)
		snprintf(out, size, "no link since then; it goes over %s, %u links", site_name(c, via->site, name), hops);
	else if (any)
		snprintf(out, size, "no link since then and no path known; neighbours take copies, and it goes as soon as there is a link or a path");
	else
		snprintf(out, size, "no link since then, and no site is reached at all; it goes as soon as one is (`estafette links`), or by courier");
	return out;
}

/* Since when a site lacks it: since it was sent, or, where that is later, since its link went, or what of that takes bulk. */
static struct wall waits_since(const struct core *c, const struct peer *p, struct wall sent, bool up)
{
	int64_t gone = c->wall.us - (c->now.us - (p->live ? p->bulk_at.us : p->live_at.us));

	return !up && gone > sent.us ? (struct wall){gone} : sent;
}

static void trace_custodians(struct rows *r, const struct msgid *id, const struct stream *s, uint64_t number, struct wall sent, bool ended)
{
	char note[360], next[200];

	for (size_t i = 0; i < s->n_flows; i++) {
		const struct flow *f = &s->flows[i];
		uint16_t site = f->peer->site;

		if (!f->known || site == s->row.name.originator)
			continue;
		if (f->guest) {
			if (f->acked >= number)
				trace_line(r, id, site, "in-transit", (struct wall){0}, r->c->self, "a copy on its way");
			continue;
		}
		bool holder = holds_for(r->c, site, s->row.name.addressee, s->row.name.exercise);
		bool up = !transit_cramped(s, f->peer) && !f->peer->gone && f->peer->lane[lane_of(s)].up;
		bool whole = f->acked >= number;

		for (uint16_t k = 0; whole && k < f->n_missing; k++)
			whole = f->missing[k] != number;
		if (whole) {
			trace_line(r, id, site, holder ? "held" : "held-by-standby", (struct wall){0}, r->c->self, "");
			continue;
		}
		snprintf(note, sizeof note, "%s%s; %llu before it; %s", ended ? "it has ended, and only that has yet to get there: " : "", f->acked >= number ? "its body is on the way" : "not acknowledged yet",
			 (unsigned long long)(number > f->acked + 1 ? number - f->acked - 1 : 0),
			 up ? why_not_yet(r->c, f, next, sizeof next) : way_on(r->c, f->peer, next, sizeof next));
		/* What is up carries it, or will; of what is down nothing is said. */
		trace_hop(r, id, site, "waits", waits_since(r->c, f->peer, sent, up), (struct hop){site, up ? f->peer->lane[lane_of(s)].bearer : NULL}, note);
	}
}

/* It passes through here: which custodian is not known to have it, since when that is so, and what is tried next. */
static void trace_passing(struct rows *r, const struct msg_row *row, struct stream *s, const struct entry_row *entry)
{
	struct core *c = r->c;
	uint16_t site[LIMIT_CUSTODIANS];
	size_t n = custodians(c, row->addressee, r->exercise, site);
	char note[280], next[220];

	for (size_t i = 0; i < n; i++) {
		const struct peer *p = site[i] == c->self || site[i] == s->row.name.originator ? NULL : peer_find(c, site[i]);
		const struct flow *f = p ? flow_of(s, p) : NULL;

		if (!p || p->gone || (f && f->known && f->acked >= entry->number))
			continue;
		bool up = p->live && !transit_cramped(s, p);
		const char *why = !up ? way_on(c, p, next, sizeof next)
		                      : minimize_holds(c, s->row.name.precedence) ? held_back(c, next, sizeof next) : "it is asked what it has, and given the rest";

		snprintf(note, sizeof note, "a copy for it waits here; %s", why);
		trace_hop(r, &row->id, site[i], "waits", waits_since(c, p, entry->stored, up), (struct hop){site[i], up ? p->lane[lane_of(s)].bearer : NULL}, note);
	}
}

/* It stands in this journal's copy of the queue: who hands it out, and whether it is at a desk there already. */
static void trace_waiting(struct rows *r, const struct msg_row *row, uint16_t area)
{
	struct core *c = r->c;
	const struct queue *q = queue_by_local(c, row->place.queue);
	uint16_t owner = owner_of(c, row->addressee, r->exercise, view_str(q ? q->row.name : ""), area, &row->id), at = leased_at(c, row->events);
	char name[LIMIT_NAME_BYTES + 1], note[LIMIT_NAME_BYTES + 60];

	if (at && owner != c->self) {
		trace_line(r, &row->id, at, "leased", (struct wall){0}, 0, "a desk there has it, as far as is known here");
		return;
	}
	if (at)
		snprintf(note, sizeof note, "in its queue; a desk at %s has or had it", site_name(c, at, name));
	else if (owner == c->self)
		snprintf(note, sizeof note, "in its queue; nobody has taken it");
	else if (row->addressee == c->self)
		snprintf(note, sizeof note, "served by %s", site_name(c, owner, name));
	else
		snprintf(note, sizeof note, "as this %s knows it", holds_for(c, c->self, row->addressee, r->exercise) ? "successor" : "standby");
	trace_line(r, &row->id, owner, "waiting", (struct wall){0}, 0, note);
}

/* It came here from another site: over which bearer was noted when it did. */
static void trace_arrival(struct rows *r, const struct msg_row *row, const struct stream *s, const struct entry_row *entry)
{
	char bearer[LIMIT_NAME_BYTES + 1];
	const char *event = s->transit ? "in-transit" : holds_for(r->c, r->c->self, row->addressee, r->exercise) ? "held" : "held-by-standby";
	enum err e = store_bearer_get(r->c->t, entry->from, lane_of(s), entry->arrival, bearer);

	trace_hop(r, &row->id, r->c->self, event, entry->stored, (struct hop){entry->from, e ? NULL : bearer}, "");
}

/* Its body comes in the bulk lane, whatever its precedence. */
static void trace_coming(struct rows *r, const struct msgid *id, const struct entry_row *entry)
{
	char note[100];
	uint16_t from = coming_note(r->c, entry, note, sizeof note);
	const struct peer *p = from ? peer_find(r->c, from) : NULL;

	trace_hop(r, id, r->c->self, "not-whole", (struct wall){0}, (struct hop){from, p ? p->lane[LANE_BULK].over : NULL}, note);
}

/* Its body goes to others now. */
static void trace_giving(struct rows *r, const struct msgid *id, const struct entry_row *entry)
{
	char note[100];

	for (size_t i = 0; i < r->c->n_peers; i++)
		if (giving_note(r->c, r->c->peers[i], entry, note, sizeof note))
			trace_line(r, id, r->c->peers[i]->site, "not-whole", (struct wall){0}, r->c->self, note);
}

static void trace_row(struct rows *r, const struct msg_row *row)
{
	struct core *c = r->c;
	struct entry_row entry;
	struct header h;
	struct msg_event e;
	struct view events = row->events;
	char note[LIMIT_USER_BYTES + LIMIT_REASON_BYTES + 16], name[LIMIT_NAME_BYTES + 1];
	struct stream *s = NULL;
	uint8_t which;

	r->exercise = (row->flags & HEADER_EXERCISE) != 0;
	if (row->arrival && store_entry_get(c->t, row->arrival, &entry) == ERR_OK && header_decode(entry.e.header, &h) == ERR_OK)
		s = stream_by_local(c, entry.stream);
	if (s) {
		bool own = h.originator == c->self;

		snprintf(note, sizeof note, "%s to %s", precedence_name(h.precedence), site_name(c, row->addressee, name));
		trace_line(r, &row->id, h.originator, "accepted", h.sent, 0, note);
		if (!own)
			trace_arrival(r, row, s, &entry);
		if (!own && s->transit)
			trace_passing(r, row, s, &entry);
		else if (own)
			trace_custodians(r, &row->id, s, entry.number, h.sent,
					 events_ended(c, row->events, row->originator, row->addressee, r->exercise, &which));
	}
	while (events_next(&events, &e)) {
		snprintf(note, sizeof note, "%s%.*s%s%.*s", e.by.len ? "by " : "", (int)e.by.len, (const char *)e.by.ptr, e.by.len && e.why.len ? ": " : "", (int)e.why.len,
			 (const char *)e.why.ptr);
		trace_line(r, &row->id, e.source, report_event_name(e.event), e.when, 0, note);
	}
	if (row->state == LOC_WAITING)
		trace_waiting(r, row, s ? h.area : 0);
	if (row->state == LOC_LEASED)
		trace_line(r, &row->id, c->self, "leased", (struct wall){0}, 0, "");
	if (s && (entry.e.flags & ENTRY_STUB))
		trace_line(r, &row->id, c->self, "purged", (struct wall){0}, 0, "header and hashes are all that is left of it here");
	else if (s && !entry.body_no && entry.e.body_len)
		trace_coming(r, &row->id, &entry);
	else if (s && entry.body_no)
		trace_giving(r, &row->id, &entry);
}

void show_trace(struct rows *r, const struct msgid *id)
{
	struct msg_row row;

	for (uint32_t from = 0; from <= UINT16_MAX; from = row.addressee + 1u) {
		if (store_msg_from(r->c->t, id, (uint16_t)from, &row) || !msgid_equal(&row.id, id))
			return;
		trace_row(r, &row);
	}
}
