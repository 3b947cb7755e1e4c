/* quarantine.c - what a site signed beyond the points of its revocation: kept back until a person has seen it.
 *
 * The keys of Namen were captured. The revocation names, by each who signed it, how far its streams were held there; the highest
 * point whose chain hash is that of the chain here is the limit of a stream, and 0 where nobody names the stream. At or before it all is
 * as ever, whenever it comes. What lies beyond is stored, relayed and kept whole, but placed in no queue, and its reports are not
 * applied. A point beyond what is held here says nothing yet: what comes is kept back until the chain reaches it and fits.
 *
 * After the handback of a site that was enrolled anew its present identity signs freely. What a former one signed keeps its limits for
 * ever, since whoever captured it has it still. */
#include <stdio.h>

#include "node/core/show_int.h"

#define RELEASED "released"
#define REFUSED "refused"
#define APPLIED "applied"
#define WHY_BYTES 160

/* ---- limits ------------------------------------------------------------------------------------------------- */

enum signer stream_signer(struct core *c, struct stream *s)
{
	const struct site *o = roster_site(c->roster, s->row.name.originator);
	struct head h;

	if (s->own || !o || !o->n_former)
		return SIGNER_NOW;
	if (s->signer_under == c->roster->serial && s->signer)
		return s->signer;
	if (!s->row.head || store_head_from(c->t, s->row.local, s->row.head, &h))
		return SIGNER_UNKNOWN;
	s->signer = head_verify(c->config.suite, &o->identity, &s->hash, &h) ? SIGNER_NOW : SIGNER_FORMER;
	s->signer_under = c->roster->serial;
	return s->signer;
}

static bool same_stream(const struct stream_name *a, const struct stream_name *b)
{
	return a->originator == b->originator && a->addressee == b->addressee && a->precedence == b->precedence && a->exercise == b->exercise &&
	       incarnation_equal(&a->incarnation, &b->incarnation);
}

struct point { uint64_t best, next; bool named; };

static void points_look(struct core *c, const struct stream *s, struct view points, struct point *p)
{
	struct frontier f;
	struct hash chain;

	while (points.len && frontier_next(&points, &f) == ERR_OK) {
		if (!same_stream(&f.stream, &s->row.name))
			continue;
		p->named = true;
		if (f.number > s->row.held)
			p->next = f.number < p->next ? f.number : p->next;
		else if (f.number > p->best && chain_at(c, s, f.number, &chain) == ERR_OK && hash_equal(&chain, &f.chain))
			p->best = f.number;
	}
}

/* The highest point that one revocation's signers name. One whose keys are revoked by now names none. */
static struct point point_of(struct core *c, const struct stream *s, const struct order_known *o)
{
	struct point p = {.next = UINT64_MAX};

	if (!site_revoked(c, o->order.issuer))
		points_look(c, s, o->order.points, &p);
	for (size_t i = 0; i < c->takeover.n_endorsements; i++) {
		const struct endorsement_known *e = c->takeover.endorsements[i];

		if (hash_equal(&e->e.order, &o->id) && (!e->e.site || !site_revoked(c, e->e.site)))
			points_look(c, s, e->e.points, &p);
	}
	return p;
}

static void limit_find(struct core *c, struct stream *s)
{
	uint16_t site = s->row.name.originator;
	const struct chain *ch = site_ever_revoked(c, site) ? chain_find(c, site, false) : NULL;
	bool now = ch && !site_revoked(c, site) && stream_signer(c, s) == SIGNER_NOW;
	const struct site *o_site = roster_site(c->roster, site);
	bool any = false;

	s->limit_of = c->takeover.limits;
	s->limit = s->limit_next = UINT64_MAX;
	if (now && o_site && !o_site->n_former)
		return; /* handed back with the keys it had: they count again */
	for (const struct order_known *o = ch ? revocation_of(ch->now) : NULL; o; o = revocation_of(o->before)) {
		struct point p = point_of(c, s, o);

		/* An earlier one knew nothing of streams that a later identity signed, a later one lets nothing of a captured one through. */
		if (!p.named)
			continue;
		any = true;
		s->limit = p.best < s->limit ? p.best : s->limit;
		s->limit_next = p.next < s->limit_next ? p.next : s->limit_next;
	}
	if (ch && !now && !any)
		s->limit = 0;
}

static void limit_look(struct core *c, struct stream *s, bool redo)
{
	uint64_t old = s->limit;

	limit_find(c, s);
	if (redo && s->limit != old)
		redo_add(c, s, (old < s->limit ? old : s->limit) + 1, old < s->limit ? s->limit : old);
}

uint64_t stream_limit(struct core *c, struct stream *s)
{
	if (!site_ever_revoked(c, s->row.name.originator) && s->limit == UINT64_MAX)
		return UINT64_MAX;
	if (s->limit_of != c->takeover.limits || s->row.held >= s->limit_next)
		limit_look(c, s, s->limit_of != 0);
	return s->limit;
}

void limits_changed(struct core *c, bool quiet)
{
	c->takeover.limits++;
	for (size_t i = 0; !quiet && i < c->n_streams; i++) {
		struct stream *s = c->streams[i];

		if (site_ever_revoked(c, s->row.name.originator) || s->limit != UINT64_MAX)
			limit_look(c, s, true);
	}
}

void limit_again(struct core *c, struct stream *s)
{
	if (site_ever_revoked(c, s->row.name.originator))
		limit_look(c, s, false);
}

void limits_load(struct core *c)
{
	for (size_t i = 0; i < c->n_streams; i++)
		limit_again(c, c->streams[i]);
}

/* ---- what is kept back --------------------------------------------------------------------------------------------- */

static bool begins(const char *why, const char *word)
{
	return strncmp(why, word, strlen(word)) == 0;
}

static bool is_open(const char *why)
{
	return !begins(why, RELEASED) && !begins(why, REFUSED) && !begins(why, APPLIED);
}

struct finding {
	struct core *c;
	const struct msgid *id;      /* NULL: any of the originator */
	uint16_t originator;
	uint64_t arrival;
	char why[WHY_BYTES];
};

static enum err find_one(void *arg, uint64_t arrival, const char *why)
{
	struct finding *f = arg;
	struct entry_row row;
	struct header h;

	if (!is_open(why) || store_entry_get(f->c->t, arrival, &row) || header_decode(row.e.header, &h))
		return ERR_OK;
	if (f->id ? !msgid_equal(&h.id, f->id) : h.originator != f->originator)
		return ERR_OK;
	f->arrival = arrival;
	snprintf(f->why, sizeof f->why, "%s", why);
	return ERR_EXISTS;
}

static bool find(struct core *c, const struct msgid *id, uint16_t originator, struct finding *f)
{
	*f = (struct finding){.c = c, .id = id, .originator = originator};
	return store_quarantine_each(c->t, find_one, f) == ERR_EXISTS;
}

bool quarantine_known(struct core *c, const struct msgid *id)
{
	struct finding f;

	return find(c, id, 0, &f);
}

static void alarm_over(struct core *c, uint16_t originator)
{
	char name[LIMIT_NAME_BYTES + 1];
	struct finding f;

	if (!find(c, NULL, originator, &f))
		alarm_clear(c, "quarantine", site_name(c, originator, name));
}

bool quarantine_holds(struct core *c, struct stream *s, const struct entry_row *row)
{
	char why[WHY_BYTES];

	if (row->number <= stream_limit(c, s))
		return false;
	return store_quarantine_get(c->t, row->arrival, why) != ERR_OK || !begins(why, RELEASED);
}

void quarantine_keep(struct core *c, struct stream *s, const struct entry_row *row, bool applied)
{
	char why[WHY_BYTES], name[LIMIT_NAME_BYTES + 1];
	enum err e = store_quarantine_get(c->t, row->arrival, why);

	/* Of a damaged row only the decision is lost: a person decides again. */
	if (e == ERR_OK)
		return;
	site_name(c, s->row.name.originator, name);
	snprintf(why, sizeof why, applied ? APPLIED " before the revocation of %s came" : "signed beyond the revocation of %s", name);
	store_quarantine_put(c->t, row->arrival, why);
	alarm_raise(c, "quarantine", name, "see `estafette queues quarantine --list`; release or refuse each with its id",
		    "entries that %s signed beyond its revocation are kept back here", name);
}

void quarantine_free(struct core *c, struct stream *s, const struct entry_row *row)
{
	char why[WHY_BYTES];

	if (!site_ever_revoked(c, s->row.name.originator) || store_quarantine_get(c->t, row->arrival, why))
		return;
	if (is_open(why) || (row->number <= stream_limit(c, s) && !begins(why, RELEASED))) {
		store_quarantine_del(c->t, row->arrival);
		alarm_over(c, s->row.name.originator);
	}
}

void quarantine_ended(struct core *c, const struct msg_row *row)
{
	char why[WHY_BYTES];

	if (!site_ever_revoked(c, row->originator) || store_quarantine_get(c->t, row->arrival, why) || !is_open(why))
		return;
	store_quarantine_del(c->t, row->arrival);
	alarm_over(c, row->originator);
}

/* ---- decided --------------------------------------------------------------------------------------------------------- */

static void decide(struct core *c, uint64_t arrival, const char *word, const char *by, const char *reason)
{
	char why[WHY_BYTES], when[WALL_TEXT_BYTES];

	wall_format(c->wall, 0, when);
	snprintf(why, sizeof why, "%s by %.60s, %.32s%s%.40s", word, by, when, reason[0] ? ": " : "", reason);
	store_quarantine_put(c->t, arrival, why);
}

/* The same id may stand there more than once: a message to several of the sites that are served here. */
enum err quarantine_release(struct core *c, const struct msgid *id, const char *by)
{
	struct finding f;
	struct entry_row row;
	bool any = false;

	while (find(c, id, 0, &f)) {
		any = true;
		decide(c, f.arrival, RELEASED, by, "");
		if (store_entry_get(c->t, f.arrival, &row))
			continue;
		struct stream *s = stream_by_local(c, row.stream);
		uint64_t number = row.number;
		uint16_t originator = s ? s->row.name.originator : 0;

		if (s)
			deliver_whole(c, s, number);
		alarm_over(c, originator);
	}
	return any ? ERR_OK : ERR_NOT_FOUND;
}

static void refuse_message(struct core *c, const struct stream *s, const struct header *h, const char *by, const char *why)
{
	struct buf events = BUF_EMPTY;
	struct msg_row row;
	uint8_t which;

	if (msg_load(c, &h->id, s->row.name.addressee, &row, &events) == ERR_OK &&
	    !events_ended(c, buf_view(&events), row.originator, row.addressee, s->row.name.exercise, &which)) {
		tally_of(c, row.flags)->refused++;
		report_here(c, &row, &events, EVENT_REFUSED, by, why);
	}
	buf_release(&events);
}

enum err quarantine_refuse(struct core *c, const struct msgid *id, const char *by, const char *why)
{
	struct finding f;
	struct entry_row row;
	struct header h;
	bool any = false;

	while (find(c, id, 0, &f)) {
		any = true;
		decide(c, f.arrival, REFUSED, by, why);
		if (store_entry_get(c->t, f.arrival, &row) || header_decode(row.e.header, &h))
			continue;
		struct stream *s = stream_by_local(c, row.stream);

		/* Only who serves the message may end it for all; elsewhere it is refused for this site alone. */
		if (s && h.kind == KIND_MESSAGE && (s->row.name.addressee == c->self || order_served_by(c, s->row.name.addressee, s->row.name.exercise)))
			refuse_message(c, s, &h, by, why);
		alarm_over(c, h.originator);
	}
	return any ? ERR_OK : ERR_NOT_FOUND;
}

/* ---- shown ----------------------------------------------------------------------------------------------------------- */

/* Peers that were heard to hold the entry. */
static void holders(struct core *c, const struct stream *s, uint64_t number, struct buf *out)
{
	char name[LIMIT_NAME_BYTES + 1];

	for (size_t i = 0; i < s->n_flows; i++) {
		if (!s->flows[i].known || s->flows[i].acked < number)
			continue;
		if (out->len)
			buf_add_u8(out, '\n');
		buf_add(out, view_str(site_name(c, s->flows[i].peer->site, name)));
	}
}

static enum err line(void *arg, uint64_t arrival, const char *why)
{
	struct rows *r = arg;
	struct core *c = r->c;
	struct entry_row row;
	struct header h;
	struct buf held = BUF_EMPTY;
	char id[MSGID_TEXT_BYTES], name[LIMIT_NAME_BYTES + 1];

	if (store_entry_get(c->t, arrival, &row) || header_decode(row.e.header, &h))
		return ERR_OK;
	struct stream *s = stream_by_local(c, row.stream);

	if (!s)
		return ERR_OK;
	msgid_format(&h.id, id);
	holders(c, s, row.number, &held);
	row_begin(r);
	row_text(r, "id", id);
	row_text(r, "kind", h.kind == KIND_MESSAGE ? "message" : "report");
	row_text(r, "precedence", precedence_name(h.precedence));
	row_text(r, "from", site_name(c, h.originator, name));
	row_text(r, "to", site_name(c, s->row.name.addressee, name));
	row_time(r, "sent", h.sent);
	row_text(r, "state", is_open(why) ? "quarantined" : "decided");
	row_number(r, "number", (int64_t)row.number);
	row_number(r, "limit", (int64_t)(stream_limit(c, s) > INT64_MAX ? INT64_MAX : stream_limit(c, s)));
	row_time(r, "came", row.stored);
	row_text(r, "came_from", site_name(c, row.from, name));
	row_list(r, "held_by", &held);
	row_text(r, "why", why);
	row_flag(r, "exercise", (h.flags & HEADER_EXERCISE) != 0);
	row_end(r);
	buf_release(&held);
	return ERR_OK;
}

void show_quarantine(struct rows *r)
{
	/* A row that cannot be read is shown by `journal verify`. */
	if (store_quarantine_each(r->c->t, line, r) == ERR_DAMAGED)
		effect_log(r->c->out, 3, "quarantine: a record is damaged (run `estafette journal verify`)");
}
