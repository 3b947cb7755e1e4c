/* oracle_client.c - what clients were promised, and what desks were given. */
#include "sim/oracle_int.h"

/* ---- submissions ------------------------------------------------------------------------------------------------- */

static uint32_t *key_slot(struct oracle *o, uint64_t key, uint16_t site)
{
	if (2 * o->n_keys >= o->cap_key_hash) {
		uint32_t *old = o->key_hash;
		size_t n = o->cap_key_hash;

		o->cap_key_hash = 0;
		o->key_hash = oracle_room(NULL, n ? 2 * n : 256, &o->cap_key_hash, sizeof *o->key_hash);
		memset(o->key_hash, 0xff, o->cap_key_hash * sizeof *o->key_hash);
		o->n_keys = 0;
		for (size_t i = 0; i < n; i++)
			if (old[i] != NONE) {
				*key_slot(o, o->subs[old[i]].key, o->subs[old[i]].site) = old[i];
				o->n_keys++;
			}
		free(old);
	}
	size_t at = (size_t)((key ^ site * 0x9e3779b97f4a7c15u) & (o->cap_key_hash - 1));

	while (o->key_hash[at] != NONE && (o->subs[o->key_hash[at]].key != key || o->subs[o->key_hash[at]].site != site))
		at = (at + 1) & (o->cap_key_hash - 1);
	return &o->key_hash[at];
}

static void unanswered_add(struct oracle *o, uint32_t n)
{
	struct osite *s = osite_get(o, o->subs[n].site);

	s->unanswered = oracle_room(s->unanswered, s->n_unanswered + 1, &s->cap_unanswered, sizeof *s->unanswered);
	s->unanswered[s->n_unanswered++] = n;
}

static void unanswered_del(struct oracle *o, uint32_t n)
{
	struct osite *s = osite_get(o, o->subs[n].site);

	for (size_t i = 0; i < s->n_unanswered; i++)
		if (s->unanswered[i] == n) {
			s->unanswered[i] = s->unanswered[--s->n_unanswered];
			return;
		}
}

uint32_t oracle_submitted(struct oracle *o, const struct submission *in)
{
	uint32_t *slot = in->key ? key_slot(o, in->key, in->site) : NULL;

	if (slot && *slot != NONE) {
		struct sub *again = &o->subs[*slot];

		if (again->refused)
			unanswered_add(o, *slot);
		again->answered = again->answered && !again->refused;
		again->refused = false;
		return *slot;
	}
	uint32_t n = (uint32_t)o->n_subs++;

	if (slot) {
		*slot = n;
		o->n_keys++;
	}
	o->subs = oracle_room(o->subs, o->n_subs, &o->cap_subs, sizeof *o->subs);
	struct sub *s = &o->subs[n];

	*s = (struct sub){.site = in->site, .precedence = in->precedence, .exercise = in->exercise, .group = in->group, .n_sites = (uint32_t)in->n_sites,
			  .first_site = (uint32_t)o->n_sub_sites, .queue = name_of(o, in->queue), .next = NONE, .body_bytes = in->body_bytes,
			  .words = in->words, .key = in->key, .body = in->body, .expires_us = in->expires.us, .accepted_at = -1};
	o->sub_sites = oracle_room(o->sub_sites, o->n_sub_sites + in->n_sites, &o->cap_sub_sites, sizeof *o->sub_sites);
	memcpy(o->sub_sites + o->n_sub_sites, in->sites, in->n_sites * sizeof *in->sites);
	o->n_sub_sites += in->n_sites;
	unanswered_add(o, n);
	return n;
}

static void bind(struct oracle *o, uint32_t n, const struct msgid *id)
{
	struct sub *s = &o->subs[n];

	if (s->bound)
		return;
	s->bound = true;
	s->id = *id;
	unanswered_del(o, n);
	for (uint32_t i = item_first(o, id); i != NONE; i = item_next(o, i)) {
		o->items[i].flags |= ITEM_BOUND;
		o->items[i].submission = n;
		item_queue(o, i);
	}
	if (s->group)
		oracle_rare(o, RARE_GROUP);
}

static void accept_items(struct oracle *o, uint32_t n)
{
	const struct sub *s = &o->subs[n];
	char text[MSGID_TEXT_BYTES], name[ITEM_NAME];
	bool first_time = false;

	for (uint32_t k = 0; k < s->n_sites; k++) {
		uint16_t site = o->sub_sites[s->first_site + k];
		uint32_t i = item_find(o, &s->id, site);

		o->v.checks[PROMISE_ANSWER]++;
		if (i == NONE) {
			msgid_format(&s->id, text);
			oracle_broken(o, PROMISE_ANSWER, "%s said \"accepted\" of %s for %s, which is not in its journal", osite_name(o, s->site), text,
				      osite_name(o, site));
			continue;
		}
		first_time = first_time || !(o->items[i].flags & ITEM_ACCEPTED);
		o->v.accepted += !(o->items[i].flags & ITEM_ACCEPTED);
		o->items[i].flags |= ITEM_ACCEPTED;
	}
	uint32_t first = item_first(o, &s->id);

	if (first != NONE && first_time)
		story_tell(o->story, o->now, STORY_MESSAGE, "%s accepted at %s: %s for %s/%s%s", item_name(o, first, name),
			   osite_name(o, s->site), precedence_name(s->precedence), s->n_sites == 1 ? osite_name(o, o->sub_sites[s->first_site]) : "a group",
			   o->names[s->queue], s->exercise ? " (exercise)" : "");
}

void oracle_accepted(struct oracle *o, uint32_t n, const struct msgid *id, bool duplicate)
{
	struct sub *s = &o->subs[n];
	char a[MSGID_TEXT_BYTES], b[MSGID_TEXT_BYTES];

	if (duplicate)
		oracle_rare(o, RARE_DUPLICATE_KEY);
	if (s->bound && !msgid_equal(&s->id, id)) {
		msgid_format(&s->id, a);
		msgid_format(id, b);
		/* A journal that was lost had the key of the first one: its addressee marks the second one as a possible duplicate. */
		if (osite_get(o, s->site)->replaced)
			o->v.twice_reported++;
		else
			oracle_broken(o, PROMISE_TWICE, "%s took one submission twice: %s and %s", osite_name(o, s->site), a, b);
		return;
	}
	if (duplicate && !s->bound && !s->key)
		oracle_broken(o, PROMISE_ANSWER, "%s calls a first submission a duplicate", osite_name(o, s->site));
	s->answered = true;
	if (s->accepted_at < 0)
		s->accepted_at = o->now;
	bind(o, n, id);
	accept_items(o, n);
}

void oracle_turned_down(struct oracle *o, uint32_t n)
{
	if (o->subs[n].answered)
		return;
	o->subs[n].answered = o->subs[n].refused = true;
	unanswered_del(o, n);
}

/* ---- handed out ------------------------------------------------------------------------------------------------------ */

/* A message without an answer to its submission: whose is it? */
static bool bind_unanswered(struct oracle *o, const struct handing *h)
{
	struct osite *from = osite_get(o, h->from);

	for (size_t k = 0; k < from->n_unanswered; k++) {
		const struct sub *s = &o->subs[from->unanswered[k]];

		if (hash_equal(&s->body, &h->body) && s->words == h->words && strcmp(o->names[s->queue], h->queue) == 0) {
			bind(o, from->unanswered[k], &h->id);
			oracle_rare(o, RARE_UNANSWERED_KEPT);
			return true;
		}
	}
	return false;
}

static bool addressed(const struct oracle *o, const struct sub *s, uint16_t site)
{
	for (uint32_t k = 0; k < s->n_sites; k++)
		if (o->sub_sites[s->first_site + k] == site)
			return true;
	return false;
}

static void check_delivery(struct oracle *o, const struct handing *h, const struct item *m)
{
	const struct sub *s = &o->subs[m->submission];
	char text[MSGID_TEXT_BYTES];
	const char *at = osite_name(o, h->site);

	item_text(m, text);
	if (!addressed(o, s, m->addressee) || strcmp(o->names[s->queue], h->queue) != 0) {
		o->v.misdelivered++;
		oracle_broken(o, PROMISE_MISDELIVERED, "%s came to %s/%s, but is for queue %s of another", text, at, h->queue, o->names[s->queue]);
	}
	if (s->site != h->from) {
		o->v.misdelivered++;
		oracle_broken(o, PROMISE_MISDELIVERED, "%s is said to be from %s, but %s sent it", text, osite_name(o, h->from), osite_name(o, s->site));
	}
	if (s->precedence != h->precedence || s->exercise != h->exercise || s->words != h->words) {
		o->v.altered++;
		oracle_broken(o, PROMISE_ALTERED, "%s at %s: precedence, exercise mark, subject, type, language or channel are not those submitted", text, at);
	}
	if (!hash_equal(&s->body, &h->body)) {
		o->v.altered++;
		oracle_broken(o, PROMISE_ALTERED, "%s at %s: its body is not the one submitted", text, at);
	}
}

static void check_again(struct oracle *o, const struct handing *h, struct item *m)
{
	char text[MSGID_TEXT_BYTES];
	const char *at = osite_name(o, h->site);

	item_text(m, text);
	o->v.checks[PROMISE_TWICE]++;
	if (m->flags & (ITEM_READ | ITEM_REFUSED)) {
		if (h->perhaps_seen || h->replayed) {
			o->v.twice_reported++;
		} else if (!(m->flags & ITEM_FORGIVEN)) {
			o->v.twice_silent++;
			oracle_broken(o, PROMISE_TWICE, "%s was handed out at %s after its acknowledgement was committed", text, at);
		}
		return;
	}
	if (m->flags & ITEM_HANDED && h->perhaps_seen)
		oracle_rare(o, RARE_PERHAPS_SEEN);
	if (m->flags & ITEM_HANDED && !(m->flags & (ITEM_RETURNED | ITEM_FORGIVEN)) && !h->perhaps_seen) {
		o->v.twice_silent++;
		oracle_broken(o, PROMISE_TWICE, "%s was handed out at %s again, without the mark that it was seen before", text, at);
	}
}

static bool held_at(const struct oracle *o, const struct item *m, uint16_t site)
{
	return m->stream != NONE && ostream_held(&o->streams[m->stream], site) >= m->number;
}

void oracle_handed_out(struct oracle *o, const struct handing *h)
{
	uint16_t of = h->addressee ? h->addressee : h->site;
	uint32_t i = item_find(o, &h->id, of);
	char text[MSGID_TEXT_BYTES];

	msgid_format(&h->id, text);
	o->v.checks[PROMISE_MISDELIVERED]++;
	o->v.checks[PROMISE_ALTERED]++;
	if (i == NONE || !(of == h->site ? o->items[i].flags & ITEM_HELD : held_at(o, &o->items[i], h->site))) {
		o->v.misdelivered++;
		oracle_broken(o, PROMISE_MISDELIVERED, "%s was handed out at %s/%s, whose journal holds no such message", text, osite_name(o, h->site), h->queue);
		return;
	}
	struct item *m = &o->items[i];

	if (!(m->flags & ITEM_BOUND) && !bind_unanswered(o, h)) {
		o->v.misdelivered++;
		oracle_broken(o, PROMISE_MISDELIVERED, "%s was handed out at %s/%s, and nobody sent it so", text, osite_name(o, h->site), h->queue);
		return;
	}
	m = &o->items[i];
	check_delivery(o, h, m);
	if (!(m->flags & ITEM_JUDGED))
		check_again(o, h, m);
	if (!(m->flags & ITEM_HANDED)) {
		m->handed_at = o->now;
		o->v.handed_out++;
		times_add(&o->read_times[m->precedence], o->now - m->entered_at);
		if (m->held_at < 0)
			flash_elsewhere(o, i);
	}
	m->flags |= ITEM_HANDED | ITEM_SERVED;
	m->flags &= ~(uint32_t)(ITEM_RETURNED | ITEM_ASIDE | ITEM_JUDGED);
	if (m->handed_by != h->site || (m->handed_order == NULL && !(m->flags & (ITEM_READ | ITEM_REFUSED))))
		item_served_by(o, i, h->site);
	story_tell(o->story, o->now, STORY_MESSAGE, "%s handed out at %s%s%s/%s%s", item_name(o, i, text), osite_name(o, h->site), of != h->site ? " from " : "",
		   of != h->site ? osite_name(o, of) : "", h->queue, h->perhaps_seen ? ", marked as perhaps seen" : "");
}

/* Of a group a site may have several: its own, and those that it has for others. */
static uint32_t item_here(const struct oracle *o, const struct msgid *id, uint16_t site)
{
	for (uint32_t i = item_first(o, id); i != NONE; i = item_next(o, i))
		if (o->items[i].handed_by == site)
			return i;
	return item_find(o, id, site);
}

void oracle_read_body(struct oracle *o, uint16_t site, const struct msgid *id, const struct hash *body)
{
	uint32_t i = item_here(o, id, site);
	char text[MSGID_TEXT_BYTES];

	o->v.checks[PROMISE_ALTERED]++;
	if (i == NONE || !(o->items[i].flags & ITEM_BOUND))
		return;
	if (!hash_equal(&o->subs[o->items[i].submission].body, body)) {
		o->v.altered++;
		oracle_broken(o, PROMISE_ALTERED, "%s at %s: its body, read in parts, is not the one submitted", item_text(&o->items[i], text), osite_name(o, site));
	}
}

/* ---- ends and answers ----------------------------------------------------------------------------------------------- */

void oracle_ended(struct oracle *o, uint16_t addressee, const struct msgid *id, uint8_t event)
{
	oracle_ended_at(o, addressee, addressee, id, event);
}

void oracle_ended_at(struct oracle *o, uint16_t site, uint16_t addressee, const struct msgid *id, uint8_t event)
{
	uint32_t i = item_find(o, id, addressee);
	struct item *m = i == NONE ? NULL : &o->items[i];

	if (!m)
		return;
	if (event == EVENT_CANCELLED) {
		if (!(m->flags & ITEM_ENDED))
			o->v.cancelled++;
		item_ended(o, i, ITEM_CANCELLED);
		return;
	}
	uint32_t flag = event == EVENT_READ ? ITEM_READ : ITEM_REFUSED;

	if (m->flags & (ITEM_READ | ITEM_REFUSED) && m->ended_by && m->ended_by != site && !(m->flags & ITEM_FORGIVEN)) {
		second_end(o, i, site);
		return;
	}
	if (!(m->flags & flag))
		*(flag == ITEM_READ ? &o->v.read : &o->v.refused) += 1;
	m->flags &= ~(uint32_t)ITEM_FORGIVEN;
	item_ended(o, i, flag);
	if (m->ended_by != site) {
		m->ended_by = site;
		m->ended_at = o->now;
		m->ended_order = m->handed_by == site ? m->handed_order : NULL;
	}
	remember_report(o, m, site);
}

void oracle_set_aside(struct oracle *o, uint16_t site, const struct msgid *id)
{
	uint32_t i = item_find(o, id, site);

	if (i == NONE)
		return;
	o->items[i].flags |= ITEM_ASIDE;
	item_uncounts(o, i);
}

/* Commit, then speak: what a desk is told has ended, its journal says too. */
static void check_done(struct oracle *o, uint16_t site, const struct msgid *id, bool so, const char *what)
{
	char text[MSGID_TEXT_BYTES];

	o->v.checks[PROMISE_ANSWER]++;
	if (so || osite_get(o, site)->flipped)
		return;
	msgid_format(id, text);
	oracle_broken(o, PROMISE_ANSWER, "%s told a client that %s is %s, which its journal does not say", osite_name(o, site), text, what);
}

static bool any_cancelled(const struct oracle *o, const struct msgid *id)
{
	for (uint32_t k = item_first(o, id); k != NONE; k = item_next(o, k))
		if (o->items[k].flags & ITEM_CANCELLED)
			return true;
	return false;
}

bool ended_too(const struct oracle *o, uint32_t item, uint16_t site)
{
	for (size_t k = 0; k < o->n_seconds; k++)
		if (o->seconds[k].item == item && o->seconds[k].b == site)
			return true;
	return false;
}

void oracle_done(struct oracle *o, uint16_t site, const struct msgid *id, uint8_t event)
{
	char text[ITEM_NAME];

	if (event == EVENT_CANCELLED) {
		check_done(o, site, id, any_cancelled(o, id), "cancelled");
		oracle_rare(o, RARE_CANCELLED);
		return;
	}
	uint32_t i = item_here(o, id, site);

	if (i == NONE)
		return;
	struct item *m = &o->items[i];

	if (event == EVENT_RETURNED) {
		for (uint32_t k = item_first(o, id); k != NONE; k = item_next(o, k)) /* the client named the id only */
			if (k == i || o->items[k].handed_by == site)
				o->items[k].flags |= ITEM_RETURNED;
		oracle_rare(o, RARE_LEASE_RETURNED);
		return;
	}
	bool read = event == EVENT_READ, so = false;

	for (uint32_t k = item_first(o, id); k != NONE; k = item_next(o, k))
		so = so || ended_too(o, k, site) || ((o->items[k].addressee == site || o->items[k].handed_by == site || o->items[k].ended_by == site) && o->items[k].flags & (read ? ITEM_READ : ITEM_REFUSED));
	check_done(o, site, id, so, read ? "read" : "refused");
	if (!(m->flags & ITEM_TOLD))
		story_tell(o->story, o->now, STORY_MESSAGE, "%s %s at %s", item_name(o, i, text), read ? "read" : "refused", osite_name(o, site));
	m->flags |= ITEM_TOLD;
	if (!read)
		oracle_rare(o, RARE_REFUSED);
}

/* The addressee is none: while it waits for a large body it has the entry and does not hold it. */
static bool held_by_another(const struct oracle *o, const struct item *m)
{
	const struct ostream *s = &o->streams[m->stream];

	for (size_t k = 0; k < s->n_holders; k++)
		if (s->holders[k].site != s->name.originator && s->holders[k].site != m->addressee && s->holders[k].held >= m->number)
			return true;
	return false;
}

/* A journal that was replaced since makes the answer history: it was true when it was said. */
static bool state_true(struct oracle *o, const struct item *m, uint8_t state)
{
	if (m->flags & ITEM_FORGIVEN || osite_get(o, m->addressee)->replaced)
		return true;
	switch (state) {
	/* Of a group it is the least that is so of all: this addressee may hold it itself. */
	case STATE_HELD_BY_STANDBY: return m->held_at >= 0 || held_by_successor(o, m) || (m->stream != NONE && held_by_another(o, m));
	case STATE_HELD:
	case STATE_DELIVERED: return m->held_at >= 0 || held_by_successor(o, m);
	case STATE_READ: return m->flags & ITEM_SERVED;
	case STATE_EXPIRED: return m->expires_us != 0;
	default: return true;
	}
}

void oracle_state(struct oracle *o, uint16_t site, const struct msgid *id, uint8_t state)
{
	char text[MSGID_TEXT_BYTES];

	for (uint32_t i = item_first(o, id); i != NONE; i = item_next(o, i)) {
		const struct item *m = &o->items[i];

		o->v.checks[PROMISE_ANSWER]++;
		if (!state_true(o, m, state))
			oracle_broken(o, PROMISE_ANSWER, "%s said of %s for %s: \"%s\", which is not so", osite_name(o, site), item_text(m, text),
				      osite_name(o, m->addressee), wait_state_name(state));
		if (state == STATE_HELD_BY_STANDBY)
			oracle_rare(o, RARE_HELD_BY_STANDBY_ONLY);
	}
}

static enum wait_state item_state(const struct oracle *o, const struct item *m)
{
	if (m->flags & ITEM_READ)
		return STATE_READ;
	if (m->flags & ITEM_REFUSED)
		return STATE_REFUSED;
	if (m->flags & ITEM_CANCELLED)
		return STATE_CANCELLED;
	if (m->flags & ITEM_EXPIRED)
		return STATE_EXPIRED;
	if (m->flags & ITEM_HELD || held_by_successor(o, m))
		return STATE_DELIVERED;
	return held_by_another(o, m) ? STATE_HELD_BY_STANDBY : STATE_ACCEPTED;
}

enum wait_state oracle_state_of(const struct oracle *o, const struct msgid *id)
{
	enum wait_state least = STATE_CANCELLED;
	uint32_t i = item_first(o, id);

	if (i == NONE)
		return STATE_ACCEPTED;
	for (; i != NONE; i = item_next(o, i)) {
		enum wait_state s = item_state(o, &o->items[i]);

		least = s < least ? s : least;
	}
	return least;
}
