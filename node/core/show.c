/* show.c - what this node knows, as rows: the same rows become tables for people and JSON for scripts. */
#include <stdio.h>

#include "node/core/show_int.h"

#define BROWSE_MAX 2000

void row_begin(struct rows *r) { reply_begin(r->c, &r->w, REPLY_ROW, r->tag); }
void row_end(struct rows *r)
{
	reply_end(r->c, &r->w, r->client);
	r->n++;
}
void row_view(struct rows *r, const char *name, struct view v)
{
	request_str(&r->w, F_NAME, name);
	request_field(&r->w, F_TEXT, v);
}
void row_text(struct rows *r, const char *name, const char *text) { row_view(r, name, view_str(text)); }
void row_number(struct rows *r, const char *name, int64_t x)
{
	request_str(&r->w, F_NAME, name);
	request_u64(&r->w, F_NUMBER, (uint64_t)x);
}
void row_flag(struct rows *r, const char *name, bool x)
{
	request_str(&r->w, F_NAME, name);
	request_u8(&r->w, F_FLAG, x);
}
void row_time(struct rows *r, const char *name, struct wall t)
{
	request_str(&r->w, F_NAME, name);
	if (t.us)
		request_u64(&r->w, F_TIME, (uint64_t)t.us);
	else
		request_field(&r->w, F_NULL, view_of(NULL, 0));
}
void row_null(struct rows *r, const char *name)
{
	request_str(&r->w, F_NAME, name);
	request_field(&r->w, F_NULL, view_of(NULL, 0));
}
void row_present(struct rows *r, const char *name, int64_t x)
{
	if (r->c->config.past)
		row_null(r, name);
	else
		row_number(r, name, x);
}
void row_list(struct rows *r, const char *name, const struct buf *items)
{
	request_str(&r->w, F_NAME, name);
	request_field(&r->w, F_LIST, buf_view(items));
}

static void incarnation_text(const struct incarnation *i, char out[64])
{
	char time[WALL_TEXT_BYTES];

	wall_format((struct wall){i->born_us}, 0, time);
	hex_format(i->random, 4, out);
	snprintf(out + 8, 64 - 8, "@%s", time);
}

static const char DEAD_LETTERS[] = "dead-letters";

/* What is served here is shown, full or empty. */
static void queues_make(struct core *c)
{
	for (size_t i = 0; i < c->me->n_queues; i++)
		queue_get(c, c->self, view_str(c->me->queues[i].name));
	for (size_t i = 0; i < c->takeover.n_chains; i++) {
		const struct chain *ch = &c->takeover.chains[i];
		const struct site *s = roster_site(c->roster, ch->site);

		for (size_t k = 0; s && ch->now && k < s->n_queues; k++)
			if (order_may_own(&ch->now->order, ch->site, view_str(s->queues[k].name), c->self))
				queue_get(c, ch->site, view_str(s->queues[k].name));
	}
}

/* ---- status, queues ------------------------------------------------------------------------------------------------------ */

/* One queue under one order: to whom it went, or from whom it came, and for which exercise. */
static void moved_line(struct core *c, struct buf *list, const struct queue *q, const struct order *o)
{
	bool exercise = o->exercise[0] != '\0';
	char site[LIMIT_NAME_BYTES + 1], owners[LIMIT_SUCCESSORS * (LIMIT_NAME_BYTES + 2)];

	owners_text(c, q, exercise, owners, sizeof owners);
	buf_add(list, view_str(list->len ? "\n" : ""));
	buf_add(list, view_str(site_name(c, q->row.site, site)));
	buf_add(list, view_str("/"));
	buf_add(list, view_str(q->row.name));
	buf_add(list, view_str(" by "));
	buf_add(list, view_str(owners));
	buf_add(list, view_str(exercise ? ", exercise " : ""));
	buf_add(list, view_str(o->exercise));
}

/* This site's queues that others serve, all or in part, and others' that are served here: a line each. */
static void moved_lists(struct core *c, struct buf *away, struct buf *here)
{
	for (size_t i = 0; i < c->takeover.n_chains; i++) {
		const struct chain *ch = &c->takeover.chains[i];
		const struct site *s = roster_site(c->roster, ch->site);
		bool own = ch->site == c->self;

		for (size_t k = 0; s && ch->now && k < s->n_queues; k++) {
			struct queue q = {.row.site = ch->site};

			memcpy(q.row.name, s->queues[k].name, sizeof q.row.name);
			if (queue_serving(c, &q, ch->exercise) != (own ? SERVES_ALL : SERVES_NONE))
				moved_line(c, own ? away : here, &q, &ch->now->order);
		}
	}
}

static void status_moved(struct rows *r)
{
	struct core *c = r->c;
	struct buf away = BUF_EMPTY, here = BUF_EMPTY;
	uint64_t open[2];

	conflicts_open(c, open);
	moved_lists(c, &away, &here);
	row_list(r, "relocated", &away);
	row_list(r, "serves", &here);
	row_number(r, "conflicts", (int64_t)open[0]);
	row_number(r, "exercise_conflicts", (int64_t)open[1]);
	buf_release(&away);
	buf_release(&here);
}

static uint64_t queued(const struct core *c, bool exercise)
{
	uint64_t n = 0;

	for (size_t i = 0; i < c->n_queues; i++)
		for (unsigned p = 0; p < PREC_COUNT && c->queues[i].served[exercise]; p++)
			n += c->queues[i].row.waiting[exercise][p] + c->queues[i].row.leased[exercise][p];
	return n;
}

static void status_scrub(struct rows *r)
{
	const struct scrub *s = &r->c->scrub;

	row_time(r, "scrub_ended", s->ended);
	row_present(r, "scrub_entries", (int64_t)s->ended_entries);
	row_present(r, "scrub_bytes", (int64_t)s->ended_bytes);
	row_present(r, "scrub_percent", scrub_percent(r->c));
	row_present(r, "scrub_found", (int64_t)s->found);
	row_present(r, "scrub_mended", (int64_t)s->mended);
}

static void show_status(struct rows *r)
{
	struct core *c = r->c;
	const struct tally *t = &c->counters.of[0], *x = &c->counters.of[1];
	struct store_space space;
	struct incarnation of;
	char text[64] = "";
	unsigned up = 0, links = 0;
	for (size_t i = 0; i < c->n_peers; i++) {
		links += !c->peers[i]->gone;
		up += peer_up(c, c->peers[i]);
	}
	bool known = c->config.past ? past_incarnation(c, &of) : (of = c->incarnation, true);
	if (known)
		incarnation_text(&of, text);
	store_space(c->store, &space);
	row_begin(r);
	row_text(r, "site", c->me->id);
	if (known)
		row_text(r, "incarnation", text);
	else
		row_null(r, "incarnation");
	row_number(r, "serial", c->roster->serial);
	row_number(r, "accepted", (int64_t)t->accepted);
	row_number(r, "delivered", (int64_t)t->delivered);
	row_number(r, "read", (int64_t)t->read);
	row_number(r, "refused", (int64_t)t->refused);
	row_number(r, "expired", (int64_t)t->expired);
	row_number(r, "queued", (int64_t)queued(c, false));
	row_present(r, "links_up", up);
	row_present(r, "links", links);
	row_present(r, "alarms", alarms_active(c, false));
	row_number(r, "dead_letters", (int64_t)t->dead);
	row_number(r, "receipts_read", (int64_t)t->receipts_read);
	row_number(r, "receipts_refused", (int64_t)t->receipts_refused);
	row_number(r, "receipts_expired", (int64_t)t->receipts_expired);
	row_number(r, "exercise_accepted", (int64_t)x->accepted);
	row_number(r, "exercise_delivered", (int64_t)x->delivered);
	row_number(r, "exercise_read", (int64_t)x->read);
	row_number(r, "exercise_refused", (int64_t)x->refused);
	row_number(r, "exercise_expired", (int64_t)x->expired);
	row_number(r, "exercise_queued", (int64_t)queued(c, true));
	row_present(r, "exercise_alarms", alarms_active(c, true));
	row_present(r, "journal_bytes", space.used_bytes);
	row_present(r, "journal_quota", space.quota_bytes);
	row_present(r, "journal_percent", space_percent(c));
	if (c->config.past)
		row_null(r, "journal_refuses");
	else
		row_text(r, "journal_refuses", room_refuses(c));
	row_present(r, "journal_held_back", (int64_t)c->room.held_back);
	status_bodies(r);
	row_present(r, "bodies_removed", (int64_t)c->retain.bodies);
	row_present(r, "entries_retired", (int64_t)c->retain.entries);
	row_number(r, "handled_elsewhere", (int64_t)c->counters.elsewhere[0]);
	row_number(r, "exercise_handled_elsewhere", (int64_t)c->counters.elsewhere[1]);
	status_moved(r);
	status_scrub(r);
	minimize_members(r);
	if (c->config.past) {
		row_null(r, "recovering");
		row_null(r, "clock_unsure");
	} else {
		row_flag(r, "recovering", c->recovering);
		row_flag(r, "clock_unsure", c->clock_unsure);
	}
	row_end(r);
}

static void queue_line(struct rows *r, const struct queue *q, uint8_t exercise, uint8_t precedence)
{
	struct core *c = r->c;
	char text[LIMIT_ADDRESS_BYTES + 2], site[LIMIT_NAME_BYTES + 1], owners[LIMIT_SUCCESSORS * (LIMIT_NAME_BYTES + 2)];
	int64_t oldest = INT64_MAX, due = INT64_MAX;

	for (uint8_t fresh = 0; fresh < 2; fresh++) {
		struct place from = {.queue = q->row.local, .exercise = exercise, .precedence = precedence, .fresh = fresh, .handle_by_us = INT64_MIN}, p;
		struct msgid id;

		if (store_place_from(c->t, &from, &p, &id) || p.precedence != precedence || p.fresh != fresh)
			continue;
		int64_t sent = msgid_time(&id).us;

		oldest = sent < oldest ? sent : oldest;
		due = p.handle_by_us < due ? p.handle_by_us : due;
	}
	snprintf(text, sizeof text, "%s/%s", site_name(c, q->row.site, site), q->row.name);
	row_begin(r);
	row_text(r, "queue", text);
	row_text(r, "precedence", precedence_name(precedence));
	row_number(r, "waiting", (int64_t)q->row.waiting[exercise][precedence]);
	row_number(r, "leased", (int64_t)q->row.leased[exercise][precedence]);
	row_number(r, "held", 0);
	if (oldest == INT64_MAX)
		row_null(r, "oldest_s");
	else
		row_number(r, "oldest_s", (c->wall.us - oldest) / US_PER_S);
	if (due == INT64_MAX)
		row_null(r, "next_deadline_s");
	else
		row_number(r, "next_deadline_s", (due - c->wall.us) / US_PER_S);
	owners_text(c, q, exercise, owners, sizeof owners);
	row_text(r, "served_by", owners);
	row_flag(r, "exercise", exercise);
	row_end(r);
}

enum shown { SHOW_OWN, SHOW_SERVED, SHOW_HELD };

/* Among whose rows a queue's operational or exercise rows stand. */
static enum shown shown_as(const struct core *c, const struct queue *q, uint8_t exercise)
{
	if (q->row.site == c->self)
		return SHOW_OWN;
	return queue_serving(c, q, exercise) == SERVES_NONE ? SHOW_HELD : SHOW_SERVED;
}

static bool shown_when_empty(enum shown as, uint8_t exercise)
{
	return as == SHOW_SERVED || (as == SHOW_OWN && !exercise);
}

/* This site's queues, full or empty; those served here for other sites, the same; of the sites it stands by for, those that hold something. */
static void show_queues(struct rows *r, struct view only)
{
	struct core *c = r->c;

	queues_make(c);
	for (enum shown as = SHOW_OWN; as <= SHOW_HELD; as++)
		for (size_t i = 0; i < c->n_queues; i++) {
			const struct queue *q = &c->queues[i];
			bool own = q->row.site == c->self;
			char text[LIMIT_ADDRESS_BYTES + 2], site[LIMIT_NAME_BYTES + 1];

			snprintf(text, sizeof text, "%s/%s", site_name(c, q->row.site, site), q->row.name);
			if (!own && !is_custodian(c, c->self, q->row.site, false) && !is_custodian(c, c->self, q->row.site, true))
				continue; /* held once, by an order that is over */
			if (only.len && !view_equal(only, view_str(text)) && !(own && view_equal(only, view_str(q->row.name))))
				continue;
			for (uint8_t x = 0; x < 2; x++)
				for (uint8_t p = 0; p < PREC_COUNT && shown_as(c, q, x) == as; p++)
					if (q->row.waiting[x][p] || q->row.leased[x][p] || (shown_when_empty(as, x) && strcmp(q->row.name, DEAD_LETTERS) != 0))
						queue_line(r, q, x, p);
		}
}

static void browse_line(struct rows *r, uint64_t arrival, const struct msgid *id, const char *state, const char *by)
{
	struct core *c = r->c;
	struct entry_row entry;
	struct envelope env;
	struct header h;
	char text[MSGID_TEXT_BYTES], name[LIMIT_NAME_BYTES + 1];
	enum err e = store_entry_get(c->t, arrival, &entry);
	struct stream *s = e ? NULL : stream_by_local(c, entry.stream);

	if (!s || open_envelope(c, s, &entry, &h, &env))
		return;
	msgid_format(id, text);
	row_begin(r);
	row_text(r, "id", text);
	row_text(r, "precedence", precedence_name(h.precedence));
	row_text(r, "from", site_name(c, h.originator, name));
	row_time(r, "sent", h.sent);
	row_time(r, "handle_by", h.handle_by);
	row_text(r, "state", state);
	row_view(r, "subject", env.subject);
	row_view(r, "type", env.type);
	row_view(r, "lang", env.lang);
	row_view(r, "channel", env.channel);
	row_number(r, "size", (int64_t)env.body_bytes);
	row_text(r, "by", by);
	row_flag(r, "exercise", (h.flags & HEADER_EXERCISE) != 0);
	row_number(r, "body_percent", body_percent(c, &entry));
	row_end(r);
}

/* Messages to that queue that stand in none yet, since their bodies are still coming. */
static void browse_coming(struct rows *r, const struct queue *q)
{
	struct core *c = r->c;

	for (size_t i = 0; i < c->n_fetches; i++)
		for (size_t k = 0; k < c->fetches[i].n_waiters && r->n < BROWSE_MAX; k++) {
			const struct waiter *w = &c->fetches[i].waiter[k];
			struct stream *s = stream_by_local(c, w->stream);
			struct entry_row entry;
			struct envelope env;
			struct header h;

			if (!s || s->row.name.addressee != q->row.site || store_entry_find(c->t, w->stream, w->number, &entry) ||
			    open_envelope(c, s, &entry, &h, &env) || !view_equal(env.queue, view_str(q->row.name)))
				continue;
			browse_line(r, entry.arrival, &h.id, "coming", "");
		}
}

struct browse { struct rows *r; uint32_t queue; };

static enum err browse_lease(void *arg, const struct lease_row *l)
{
	struct browse *b = arg;

	if (l->place.queue == b->queue && b->r->n < BROWSE_MAX)
		browse_line(b->r, l->place.arrival, &l->id, "leased", l->by);
	return ERR_OK;
}

static void show_browse(struct rows *r, struct view name)
{
	struct core *c = r->c;
	struct queue *q = NULL;
	char text[LIMIT_ADDRESS_BYTES + 2], site[LIMIT_NAME_BYTES + 1];

	/* No queue, and no roster names it so: nobody takes from it. */
	if (view_equal(name, view_str("quarantine"))) {
		show_quarantine(r);
		return;
	}
	queues_make(c);
	for (size_t i = 0; i < c->n_queues && !q; i++) {
		snprintf(text, sizeof text, "%s/%s", site_name(c, c->queues[i].row.site, site), c->queues[i].row.name);
		if (view_equal(name, view_str(text)) || (c->queues[i].row.site == c->self && view_equal(name, view_str(c->queues[i].row.name))))
			q = &c->queues[i];
	}
	if (!q)
		return;
	struct browse b = {.r = r, .queue = q->row.local};
	enum err e = store_lease_each(c->t, browse_lease, &b);

	for (uint8_t x = 0; x < 2; x++) {
		struct place from = {.queue = q->row.local, .exercise = x, .handle_by_us = INT64_MIN}, p;
		struct msgid id;

		while (r->n < BROWSE_MAX && !(e = store_place_from(c->t, &from, &p, &id))) {
			browse_line(r, p.arrival, &id, "waiting", "");
			from = p;
			from.arrival++;
		}
	}
	browse_coming(r, q);
}

/* ---- links, streams, alarms --------------------------------------------------------------------------------------------------- */

static void show_links(struct rows *r)
{
	struct core *c = r->c;

	for (size_t i = 0; i < c->n_peers; i++) {
		const struct peer *p = c->peers[i];
		char name[LIMIT_NAME_BYTES + 1];
		uint64_t backlog = 0;

		if (p->gone)
			continue;
		for (size_t k = 0; k < c->n_streams; k++) {
			const struct flow *f = flow_of(c->streams[k], p);

			if (f && c->streams[k]->row.name.originator == c->self && f->known)
				backlog += c->streams[k]->row.held - f->acked;
		}
		row_begin(r);
		row_text(r, "peer", site_name(c, p->site, name));
		row_text(r, "bearer", p->lane[LANE_URGENT].bearer);
		row_flag(r, "up", peer_up(c, p));
		if (p->rtt_us)
			row_number(r, "rtt_ms", (p->rtt_us + 999) / 1000);
		else
			row_null(r, "rtt_ms");
		row_number(r, "rate_bps", p->rate_bps);
		if (p->last_ack_wall.us)
			row_number(r, "last_durable_ack_s", (c->now.us - p->last_ack.us) / US_PER_S);
		else
			row_null(r, "last_durable_ack_s");
		row_number(r, "in_flight", p->lane[LANE_URGENT].flying + p->lane[LANE_BULK].flying);
		row_number(r, "backlog", (int64_t)backlog);
		row_number(r, "clock_ms", p->skew_us / 1000);
		row_number(r, "window", window_bytes(p));
		row_number(r, "given_up", (int64_t)p->given_up);
		row_number(r, "refused_frames", (int64_t)(p->bad_frames + p->refused + p->dropped));
		row_number(r, "refused_parts", (int64_t)p->bad_parts);
		show_bearers(r, p);
		row_end(r);
	}
}

static void show_streams(struct rows *r)
{
	struct core *c = r->c;
	struct buf list = BUF_EMPTY;

	for (size_t i = 0; i < c->n_streams; i++) {
		const struct stream *s = c->streams[i];
		char a[LIMIT_NAME_BYTES + 1], b[LIMIT_NAME_BYTES + 1], text[LIMIT_NAME_BYTES + 64];

		buf_clear(&list);
		for (size_t k = 0; k < s->n_flows; k++) {
			if (!s->flows[k].known)
				continue;
			snprintf(text, sizeof text, "%s%s=%llu", list.len ? "\n" : "", site_name(c, s->flows[k].peer->site, a), (unsigned long long)s->flows[k].acked);
			buf_add(&list, view_str(text));
		}
		incarnation_text(&s->row.name.incarnation, text);
		row_begin(r);
		row_text(r, "originator", site_name(c, s->row.name.originator, a));
		row_text(r, "incarnation", text);
		row_text(r, "addressee", site_name(c, s->row.name.addressee, b));
		row_text(r, "precedence", precedence_name(s->row.name.precedence));
		row_flag(r, "exercise", s->row.name.exercise);
		row_number(r, "head", (int64_t)s->row.held);
		row_number(r, "floor", (int64_t)s->row.floor);
		row_number(r, "not_whole", s->n_missing);
		row_list(r, "frontiers", &list);
		row_end(r);
	}
	buf_release(&list);
}

static enum err alarm_line(void *arg, const struct alarm_row *a)
{
	struct rows *r = arg;

	row_begin(r);
	row_text(r, "id", a->id);
	row_text(r, "kind", a->kind);
	row_time(r, "since", a->since);
	row_text(r, "what", a->what);
	row_text(r, "do", a->todo);
	row_flag(r, "acknowledged", a->acknowledged[0] != '\0');
	row_text(r, "by", a->acknowledged);
	row_end(r);
	return ERR_OK;
}

/* ---- check -------------------------------------------------------------------------------------------------------------------------- */

static void check_line(struct rows *r, const char *check, int level, const char *text)
{
	static const char *const levels[] = {"ok", "warning", "critical"};

	row_begin(r);
	row_text(r, "check", check);
	row_text(r, "state", levels[level]);
	row_text(r, "text", text);
	row_end(r);
}

struct check_alarms { const char *kind; unsigned n; char what[256]; };

static enum err check_alarm(void *arg, const struct alarm_row *a)
{
	struct check_alarms *x = arg;

	if (strcmp(a->kind, x->kind) != 0 || !a->active)
		return ERR_OK;
	if (!x->n++)
		snprintf(x->what, sizeof x->what, "%s", a->what);
	return ERR_OK;
}

/* The state of a check by whether alarms of a kind are out. */
static void check_by_alarm(struct rows *r, const char *check, const char *const *kinds, int level, const char *fine)
{
	for (; *kinds; kinds++) {
		struct check_alarms x = {.kind = *kinds};
		enum err e = store_alarm_each(r->c->t, check_alarm, &x);

		if (e || x.n) {
			check_line(r, check, level, e ? err_text(e) : x.what);
			return;
		}
	}
	check_line(r, check, 0, fine);
}

static void show_check(struct rows *r)
{
	static const char *const clock[] = {"clock", "clock-skew", NULL}, *const keys[] = {"sealed", "roster-conflict", "roster-old", NULL};
	static const char *const deadlines[] = {"deadline", "unattended", NULL}, *const journal[] = {"damage", "fork", "recovering", "dead-letter", NULL};
	struct core *c = r->c;
	struct store_space s;
	char text[160];
	unsigned up = 0, links = 0;

	check_line(r, "alive", c->recovering ? 1 : 0, c->recovering ? "it runs, but hands out nothing until its lost journal is back" : "it runs");
	store_space(c->store, &s);
	int percent = space_percent(c);
	snprintf(text, sizeof text, "journal uses %d %% of its room, %lld MiB free on its disk", percent, (long long)(s.disk_free_bytes / 1048576));
	if (room_refuses(c)[0])
		snprintf(text + strlen(text), sizeof text - strlen(text), "; %s is refused", room_refuses(c));
	check_line(r, "disk", percent >= 95 ? 2 : percent >= 80 ? 1 : 0, text);
	check_by_alarm(r, "clock", clock, 1, "within the limit of every peer");
	check_by_alarm(r, "keys", keys, 2, "every message can be opened");
	for (size_t i = 0; i < c->n_peers; i++) {
		links += !c->peers[i]->gone;
		up += peer_up(c, c->peers[i]);
	}
	snprintf(text, sizeof text, "%u of %u are up", up, links);
	check_line(r, "links", links && !up ? 2 : up < links ? 1 : 0, text);
	check_by_alarm(r, "deadlines", deadlines, 2, "nothing is near its handling time");
	check_by_alarm(r, "journal", journal, 2, "no damage is known");
}

/* A queue by the address that a desk uses: eupen/dispatch is a queue of cic-luik. What is no address stays as it was. */
static struct view queue_by_address(struct core *c, struct view typed, char out[LIMIT_ADDRESS_BYTES + 2])
{
	struct address *a = malloc(sizeof *a);
	char site[LIMIT_NAME_BYTES + 1];
	struct view v = typed;

	if (a && roster_resolve(c->roster, typed, a, NULL) == ERR_OK && a->n_sites == 1 && !a->group) {
		snprintf(out, LIMIT_ADDRESS_BYTES + 2, "%s/%s", site_name(c, a->sites[0], site), a->queue);
		v = view_str(out);
	}
	free(a);
	return v;
}

/* ---- the request ---------------------------------------------------------------------------------------------------------------------- */

void show_request(struct core *c, struct client *cl, const struct request *rq)
{
	struct rows r = {.c = c, .client = cl->id, .tag = rq->tag};
	struct view fields = rq->fields, what = view_of(NULL, 0), queue = view_of(NULL, 0);
	struct request_item f;
	struct msgid id = {{0}};

	while (request_next(&fields, &f) == ERR_OK) {
		if (f.field == F_WHAT)
			what = f.value;
		if (f.field == F_QUEUE)
			queue = f.value;
		if (f.field == F_ID && item_ok(&f))
			memcpy(id.b, f.value.ptr, MSGID_BYTES);
	}
	char address[LIMIT_ADDRESS_BYTES + 2];
	const struct site *peer = roster_site_by_id(c->roster, queue);

	queue = queue_by_address(c, queue, address);
	if (view_equal(what, view_str("status")))
		show_status(&r);
	else if (view_equal(what, view_str("queues")))
		show_queues(&r, queue);
	else if (view_equal(what, view_str("browse")))
		show_browse(&r, queue);
	else if (view_equal(what, view_str("links")))
		show_links(&r);
	else if (view_equal(what, view_str("link-history")) && peer)
		show_link_history(&r, peer->number);
	else if (view_equal(what, view_str("link-history"))) {
		reply_error(c, cl->id, rq->tag, ERR_UNKNOWN_SITE, "links: %.*s is no peer of this node (`estafette links` lists them)",
			    queue.len > LIMIT_NAME_BYTES ? LIMIT_NAME_BYTES : (int)queue.len, (const char *)queue.ptr);
		return;
	} else if (view_equal(what, view_str("streams")))
		show_streams(&r);
	else if (view_equal(what, view_str("alarms"))) {
		enum err e = store_alarm_each(c->t, alarm_line, &r);

		if (e)
			effect_log(c->out, 3, "alarms: %s", err_text(e));
	} else if (view_equal(what, view_str("trace")))
		show_trace(&r, &id);
	else if (view_equal(what, view_str("check")))
		show_check(&r);
	else if (view_equal(what, view_str("orders")))
		show_orders(&r);
	else if (view_equal(what, view_str("conflicts")))
		show_conflicts(&r);
	else if (view_equal(what, view_str("forecast")))
		show_forecast(&r, queue, rq->fields);
	else {
		reply_error(c, cl->id, rq->tag, ERR_UNSUPPORTED, "show: this node does not know \"%.*s\"", (int)what.len, (const char *)what.ptr);
		return;
	}
	reply_done(c, cl->id, rq->tag, r.n);
}
