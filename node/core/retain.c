/* retain.c - what nobody needs any more goes: bodies first, then headers, in small steps. */
#include "node/core/retain.h"

#include <stdio.h>

#include "node/core/core_int.h"

/* Looked at in one commit; what of them goes writes a few pages each. */
#define STEP_ENTRIES 256
#define STEP_US (50 * US_PER_MS)
/* Between passes: an hour, or less when things are kept for less than a day or two. */
#define PASS_US (3600 * US_PER_S)
#define PASS_LEAST_US US_PER_S
/* What the header alone says has expired counts as ended a day later: clocks differ, and a receipt may be on its way. */
#define EXPIRED_GRACE_US US_PER_DAY
/* A time that lies so far ahead is a broken clock's. */
#define AHEAD_US US_PER_DAY

#define DAYS(n) ((n) * US_PER_DAY)

/* Operational bodies for a quarter of a year, as long as somebody may be asked what a message said; headers for a year and some weeks, so
 * that a year's messages can be counted after its end; exercises until they are evaluated. */
static const struct retention DEFAULTS = {{DAYS(90), DAYS(7)}, {DAYS(400), DAYS(30)}, DAYS(400)};

void retention_defaults(struct retention *r)
{
	for (int x = 0; x < 2; x++) {
		if (!r->body_us[x])
			r->body_us[x] = DEFAULTS.body_us[x];
		if (!r->header_us[x])
			r->header_us[x] = DEFAULTS.header_us[x] > r->body_us[x] ? DEFAULTS.header_us[x] : r->body_us[x];
	}
	if (!r->unread_us)
		r->unread_us = DEFAULTS.unread_us;
}

/* ---- has it ended, and when ------------------------------------------------------------------------------------------- */

struct msg {
	struct msg_row row;
	struct buf events;
	bool known;
};

/* The latest end that somebody tells of, but no earlier than the entry came and no later than now. */
static int64_t end_of(const struct core *c, const struct entry_row *entry, struct view events)
{
	int64_t at = entry->stored.us;
	struct msg_event e;

	while (events_next(&events, &e))
		if (report_event_ends(e.event) && e.when.us > at && e.when.us <= c->wall.us + AHEAD_US)
			at = e.when.us;
	return at;
}

/* When a message ended; 0 when it has not. */
static int64_t ended_at(struct core *c, const struct stream *s, const struct entry_row *entry, const struct header *h, struct msg *m)
{
	uint8_t which;
	int64_t expired = h->expires.us && !(h->flags & HEADER_CLOCK_UNSURE) ? h->expires.us : 0;

	m->known = msg_load(c, &h->id, s->row.name.addressee, &m->row, &m->events) == ERR_OK;
	if (!m->known)
		return 0; /* what is known of it cannot be read */
	if (events_ended(c, buf_view(&m->events), h->originator, s->row.name.addressee, s->row.name.exercise, &which))
		return end_of(c, entry, buf_view(&m->events));
	if (entry->e.flags & ENTRY_STUB)
		return entry->stored.us;
	if (expired && expired + EXPIRED_GRACE_US <= c->wall.us && m->row.state != LOC_LEASED)
		return expired > entry->stored.us ? expired : entry->stored.us;
	return 0;
}

static bool is_waited_for(const struct core *c, const struct msgid *id)
{
	for (size_t i = 0; i < c->n_waits; i++)
		if (!c->waits[i].done && msgid_equal(&c->waits[i].id, id))
			return true;
	return false;
}

/* A person, or somebody here, still needs it. */
static bool is_needed(struct core *c, const struct entry_row *entry, const struct header *h, const struct msg *m)
{
	struct conflict_row conflict;
	char why[160];

	if (m->row.state == LOC_LEASED || is_waited_for(c, &h->id) || store_quarantine_get(c->t, entry->arrival, why) != ERR_NOT_FOUND)
		return true;
	enum err e = store_conflict_get(c->t, &h->id, m->row.addressee, &conflict);

	return e != ERR_NOT_FOUND && (e || !conflict.signed_off[0]);
}

/* Nobody read it, and it is too old: its end is written first, as any end is. */
static void end_unread(struct core *c, const struct stream *s, const struct header *h, struct msg *m)
{
	char why[80], id[MSGID_TEXT_BYTES], to[LIMIT_NAME_BYTES + 1];

	if (!m->row.arrival || (s->row.name.addressee != c->self && h->originator != c->self))
		return; /* it is theirs to say */
	int64_t kept = c->config.keep.unread_us, days = kept / US_PER_DAY;

	snprintf(why, sizeof why, "not read within %lld %s", (long long)(days ? days : kept / US_PER_S), days ? "days" : "seconds");
	msgid_format(&h->id, id);
	tally_of(c, h->flags)->expired++;
	c->retain.unread++;
	report_here(c, &m->row, &m->events, EVENT_EXPIRED, "", why);
	if (!s->row.name.exercise)
		alarm_raise(c, "unread", site_name(c, s->row.name.addressee, to), "find out why nobody read it; its sender was told, and its body goes in time (see `keep_unread` in node.conf)",
			    "message %s to %s was %s, and was ended", id, to, why);
}

/* ---- what becomes of an entry -------------------------------------------------------------------------------------------- */

enum fate { FATE_YOUNG, FATE_STAYS, FATE_STUB, FATE_GOES };

static enum fate message_fate(struct core *c, struct stream *s, const struct entry_row *entry, const struct header *h)
{
	const struct retention *k = &c->config.keep;
	bool x = s->row.name.exercise, stub = (entry->e.flags & ENTRY_STUB) != 0;
	struct msg m = {.events = BUF_EMPTY};
	enum fate fate = FATE_STAYS;

	if (entry->stored.us + k->body_us[x] > c->wall.us)
		return FATE_YOUNG;
	int64_t ended = ended_at(c, s, entry, h, &m);

	if (!ended && m.known)
		floor_doubted(c, s, entry->number, h);
	if (!ended && m.known && entry->stored.us + k->unread_us <= c->wall.us && !is_needed(c, entry, h, &m))
		end_unread(c, s, h, &m);
	else if (ended && !is_needed(c, entry, h, &m))
		fate = ended + k->header_us[x] <= c->wall.us ? FATE_GOES : !stub && ended + k->body_us[x] <= c->wall.us ? FATE_STUB : FATE_STAYS;
	buf_release(&m.events);
	return fate;
}

/* Of a message that never came here what was said stays twice as long: it may be on its way, or concern this site only as its
 * sender's standby. */
static bool report_names_nothing(struct core *c, const struct entry_row *entry, const struct envelope *env, bool x)
{
	bool old = entry->stored.us + 2 * c->config.keep.header_us[x] <= c->wall.us;
	struct view rest = env->records;
	struct report_record r;
	struct msg_row row;

	if (env->closing.len && !old)
		return false;
	while (rest.len) {
		if (report_next(&rest, &r))
			return old;
		for (size_t i = 0; i < r.ids; i++) {
			struct msgid id;

			memcpy(id.b, r.id_bytes.ptr + i * MSGID_BYTES, MSGID_BYTES);
			enum err e = store_msg_get(c->t, &id, r.addressee, &row);

			if (e != ERR_NOT_FOUND && (e || row.arrival || !old))
				return false;
		}
	}
	return true;
}

static enum fate report_fate(struct core *c, struct stream *s, const struct entry_row *entry)
{
	bool x = s->row.name.exercise;
	struct envelope env;
	struct header h;

	if (entry->stored.us + c->config.keep.header_us[x] > c->wall.us)
		return FATE_STAYS;
	if ((entry->e.flags & ENTRY_STUB) || open_envelope(c, s, entry, &h, &env))
		return FATE_STAYS; /* what it names is not known */
	return report_names_nothing(c, entry, &env, x) ? FATE_GOES : FATE_STAYS;
}

static enum fate fate_of(struct core *c, struct stream *s, const struct entry_row *entry, struct header *h)
{
	if (header_decode(entry->e.header, h))
		return FATE_STAYS;
	switch (h->kind) {
	case KIND_MESSAGE: return message_fate(c, s, entry, h);
	case KIND_REPORT: return report_fate(c, s, entry);
	case KIND_GRANT: return entry->stored.us + c->config.keep.header_us[s->row.name.exercise] > c->wall.us ? FATE_STAYS : FATE_GOES;
	default: return FATE_STAYS; /* who can read it decides */
	}
}

/* ---- going ------------------------------------------------------------------------------------------------------------------ */

static void stub(struct core *c, struct stream *s, struct entry_row *entry, const struct header *h)
{
	entry->e.header = entry->e.envelope = view_of(NULL, 0); /* they end with the first write */
	purge_message(c, s, entry, h);
	c->retain.bodies++;
}

/* What was said of messages that never came here goes with the last report that says it. */
static void forget_named(struct core *c, struct stream *s, const struct entry_row *entry)
{
	struct buf records = BUF_EMPTY;
	struct envelope env;
	struct report_record r;
	struct msg_row row;
	struct header h;

	if (open_envelope(c, s, entry, &h, &env) == ERR_OK)
		buf_add(&records, env.records);
	struct view rest = buf_view(&records);

	while (rest.len && report_next(&rest, &r) == ERR_OK)
		for (size_t i = 0; i < r.ids; i++) {
			struct msgid id;

			memcpy(id.b, r.id_bytes.ptr + i * MSGID_BYTES, MSGID_BYTES);
			if (store_msg_get(c->t, &id, r.addressee, &row) == ERR_OK && !row.arrival)
				store_msg_del(c->t, &id, r.addressee);
		}
	buf_release(&records);
}

static void let_go(struct core *c, struct stream *s, struct entry_row *entry, const struct header *h)
{
	struct msg_row row;

	if (h->kind == KIND_REPORT)
		forget_named(c, s, entry);
	if (h->kind != KIND_MESSAGE)
		return;
	if (!(entry->e.flags & ENTRY_STUB))
		stub(c, s, entry, h);
	if (store_msg_get(c->t, &h->id, s->row.name.addressee, &row) == ERR_OK && (!row.arrival || row.arrival == entry->arrival))
		store_msg_del(c->t, &h->id, s->row.name.addressee);
}

static void unused(void *arg, const struct body_row *body)
{
	submit_trash(arg, body->class, body->body_no);
}

/* Up to the number that was seen to be needed no more, in the same commit that made it so. */
static void raise_floor(struct core *c, struct stream *s, uint64_t upto)
{
	uint64_t from = s->row.floor;

	if (upto <= from)
		return;
	stream_touch(c, s);
	stream_heat(c, s);
	s->dirty = true;
	enum err e = store_stream_retire(c->t, &s->row, upto, STEP_ENTRIES, unused, c);

	(void)e; /* a damaged entry ends it; it is told when it is read */
	c->retain.entries += s->row.floor - from;
	if (s->row.floor > from)
		floor_sign_own(c, s);
}

/* ---- a pass ---------------------------------------------------------------------------------------------------------------- */

/* Entries from the floor on, as long as they go. True when the first that stays is met. */
static bool floor_pass(struct core *c, struct stream *s, size_t *left)
{
	uint64_t n = s->row.floor;
	bool met = false;

	while (*left && n < s->row.held && !met) {
		struct entry_row entry;
		struct header h;

		--*left;
		met = store_entry_find(c->t, s->row.local, n + 1, &entry) != ERR_OK || fate_of(c, s, &entry, &h) != FATE_GOES;
		if (met)
			break;
		let_go(c, s, &entry, &h);
		n++;
	}
	met = met || n == s->row.held;
	raise_floor(c, s, n);
	return met;
}

/* Bodies above the floor. What is a stub already is passed over in the next pass. True when the first young one is met. */
static bool stub_pass(struct core *c, struct stream *s, size_t *left)
{
	struct retain *r = &c->retain;
	bool through = r->next <= s->stubs + 1;

	for (; *left && r->next <= s->row.held; r->next++) {
		struct entry_row entry;
		struct header h;

		--*left;
		if (store_entry_find(c->t, s->row.local, r->next, &entry)) {
			through = false;
			continue;
		}
		enum fate fate = header_decode(entry.e.header, &h) ? FATE_STAYS : h.kind != KIND_MESSAGE ? FATE_GOES : message_fate(c, s, &entry, &h);

		if (s->row.name.originator == c->self && h.kind == KIND_MESSAGE && h.sent.us < r->oldest_own_us)
			r->oldest_own_us = h.sent.us;
		if (fate == FATE_YOUNG)
			return true;
		through = through && (fate != FATE_STAYS || (entry.e.flags & ENTRY_STUB));
		if (fate != FATE_STAYS && h.kind == KIND_MESSAGE && !(entry.e.flags & ENTRY_STUB))
			stub(c, s, &entry, &h);
		if (through)
			s->stubs = r->next;
	}
	return r->next > s->row.held;
}

static bool may_retire(struct core *c, const struct stream *s)
{
	return !s->forked && !s->kept && concerns(c, c->self, &s->row.name);
}

/* True when nothing more is to be done of it in this pass. */
static bool stream_pass(struct core *c, struct stream *s, size_t *left)
{
	struct retain *r = &c->retain;

	if (!may_retire(c, s))
		return true;
	if (!r->stubbing) {
		if (!floor_pass(c, s, left))
			return false;
		r->stubbing = true;
		r->next = (s->stubs > s->row.floor ? s->stubs : s->row.floor) + 1;
	}
	return stub_pass(c, s, left);
}

/* A key is remembered as long as any message of this site that is as old: then nobody sends under it again. */
static bool keys_pass(struct core *c, size_t *left)
{
	const struct retention *k = &c->config.keep;
	int64_t keep = k->header_us[0] > k->header_us[1] ? k->header_us[0] : k->header_us[1], upto = c->wall.us - keep - US_PER_DAY;

	if (c->retain.oldest_own_us < upto)
		upto = c->retain.oldest_own_us;
	return upto <= 0 || store_key_retire(c->t, (uint32_t)(upto / US_PER_DAY), left);
}

static struct mono next_pass(const struct core *c)
{
	const struct retention *k = &c->config.keep;
	int64_t us = k->body_us[0] < k->body_us[1] ? k->body_us[0] : k->body_us[1];

	us /= 24;
	return mono_add(c->now, us < PASS_LEAST_US ? PASS_LEAST_US : us > PASS_US ? PASS_US : us);
}

void retain_step(struct core *c)
{
	struct retain *r = &c->retain;
	size_t left = STEP_ENTRIES;

	if (mono_before(c->now, r->at))
		return;
	r->at = next_pass(c);
	/* What happened meanwhile is not known, or not when. */
	if (c->clock_unsure || c->recovering || c->rebuilding || c->takeover.n_redo)
		return;
	r->in = c->batch;
	if (!r->going)
		*r = (struct retain){.in = c->batch, .at = r->at, .going = true, .oldest_own_us = INT64_MAX, .bodies = r->bodies, .entries = r->entries, .unread = r->unread};
	while (left && r->stream < c->n_streams && !txn_error(c->t)) {
		if (!stream_pass(c, c->streams[r->stream], &left))
			break;
		r->stream++;
		r->stubbing = false;
		left -= left > 0;
	}
	if (left && r->stream >= c->n_streams && keys_pass(c, &left) && linklog_retire(c, &left))
		r->going = false;
	if (r->going)
		r->at = mono_add(c->now, STEP_US);
}

void retain_reload(struct core *c)
{
	if (c->retain.in != c->batch)
		return;
	c->retain.going = false;
	for (size_t i = 0; i < c->n_streams; i++)
		c->streams[i]->stubs = 0;
}

struct mono retain_due(const struct core *c)
{
	return c->retain.at;
}
