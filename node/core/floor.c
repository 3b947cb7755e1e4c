/* floor.c - floors signed, given in place of entries that are retired, and taken by who lacks those. */
#include <stdio.h>

#include "node/core/core_int.h"

/* Who began at once would miss what another custodian still has. */
#define WAIT_US (5 * US_PER_S)
/* Somebody shows that he has more, and gives neither entries nor a floor. */
#define WAIT_MOST_US (60 * US_PER_S)
/* One may be lost on the way. */
#define GIVE_AGAIN_US (3 * US_PER_S)

/* ---- ours ------------------------------------------------------------------------------------------------------------ */

void floor_sign_own(struct core *c, struct stream *s)
{
	struct floor f = {.number = s->row.floor, .chain = s->row.floor_chain, .site = c->self};
	struct floor_note note = {0};
	uint8_t proof[FLOOR_BYTES];

	floor_sign(c->config.suite, &c->config.keys.identity, &s->hash, &f);
	floor_encode(&f, proof);
	if (store_floor_get(c->t, s->row.local, &note))
		note.grant = 0;
	store_floor_put(c->t, &s->row, note.grant, view_of(proof, sizeof proof));
}

/* The grant that opens what lies behind the floor; 0 when that begins with one, or there is none. */
static uint64_t grant_behind(struct core *c, const struct stream *s)
{
	uint64_t from, arrival;

	if (store_grant_find(c->t, s->row.local, s->row.floor + 1, &from, &arrival) || from > s->row.floor)
		return 0;
	return from;
}

bool floor_say(struct core *c, struct stream *s, struct floor_frame *say)
{
	struct floor_note note;

	*say = (struct floor_frame){.stream = s->row.name};
	/* That of a copy that was on its way only says where others were: what is below it may not have ended. */
	if (store_floor_get(c->t, s->row.local, &note) == ERR_OK && note.number == s->row.floor && !note.proof.len)
		return false;
	if (store_floor_get(c->t, s->row.local, &note) || floor_decode(note.proof, &say->floor) || say->floor.number != s->row.floor) {
		floor_sign_own(c, s); /* a restored or remade journal may have lost it */
		if (store_floor_get(c->t, s->row.local, &note) || floor_decode(note.proof, &say->floor))
			return false;
	}
	say->grant = grant_behind(c, s);
	return true;
}

void floor_give(struct core *c, struct peer *p, uint8_t lane, struct flow *f)
{
	struct floor_frame say;

	room_hold(c, f, GIVE_AGAIN_US);
	if (!floor_say(c, f->stream, &say))
		return;
	frame_floor(effect_begin(c->out), &say);
	effect_end_frame(c->out, p->site, lane, SIDE_DIALLED);
}

/* ---- others' ------------------------------------------------------------------------------------------------------------ */

static bool is_signed(struct core *c, const struct hash *stream, const struct floor *f)
{
	const struct site *site = roster_site(c->roster, f->site);
	const struct sign_public *key;

	for (size_t i = 0; site && (key = site_identity(site, i)); i++)
		if (floor_verify(c->config.suite, key, stream, f))
			return true;
	return false;
}

static enum err bad(struct core *c, struct peer *p, enum err e, const char *what)
{
	if (p)
		peer_bad(c, p, what);
	return e;
}

/* A floor at or below what is here only claims that nobody needs what is below it. */
static void claimed(struct stream *s, const struct floor *f)
{
	if (f->number <= s->claim)
		return;
	s->claim = f->number;
	s->claim_by = f->site;
}

static void offered(struct core *c, struct peer *p, struct stream *s, const struct floor_frame *f)
{
	struct flow *flow = p ? flow_of(s, p) : NULL;

	if (!s->offer)
		s->offer = calloc(1, sizeof *s->offer);
	if (!s->offer) {
		txn_fail(c->t, ERR_NOMEM);
		return;
	}
	if (!s->offer->low.floor.number)
		s->offer->at = c->now;
	if (!s->offer->low.floor.number || f->floor.number < s->offer->low.floor.number)
		s->offer->low = *f;
	if (flow)
		flow->floor = f->floor.number;
	c->floors_at = mono_min(c->floors_at, mono_add(s->offer->at, WAIT_US));
	c->look_at = mono_min(c->look_at, c->floors_at);
}

enum err floor_heard(struct core *c, struct peer *p, const struct floor_frame *f)
{
	struct stream *s = stream_by_name(c, &f->stream);
	struct hash hash = stream_hash(&c->roster->network_hash, &f->stream), chain;

	if (!roster_site(c->roster, f->stream.originator))
		return ERR_UNKNOWN_SITE;
	if (!concerns(c, c->self, &f->stream))
		return ERR_NOT_PERMITTED;
	if (!concerns(c, f->floor.site, &f->stream) || site_revoked(c, f->floor.site) || !is_signed(c, &hash, &f->floor))
		return bad(c, p, ERR_AUTH, "a floor that no custodian of its stream signed");
	if (s && s->own)
		return bad(c, p, ERR_AUTH, "a floor of this node's own stream, which it did not retire");
	if (!s && !(s = stream_new(c, &f->stream)))
		return bad(c, p, ERR_TOO_LARGE, "more streams than a site may have");
	if (p)
		stream_ack(c, s);
	if (f->floor.number <= s->row.held) {
		if (f->floor.number >= s->row.floor && chain_at(c, s, f->floor.number, &chain) == ERR_OK && !hash_equal(&chain, &f->floor.chain))
			return bad(c, p, ERR_AUTH, "a floor of another history than is held here");
		claimed(s, &f->floor);
		return ERR_OK;
	}
	offered(c, p, s, f);
	return ERR_OK;
}

void floor_frame(struct core *c, struct peer *p, const struct floor_frame *f)
{
	if (floor_heard(c, p, f))
		p->refused++;
}

/* ---- taken ---------------------------------------------------------------------------------------------------------------- */

/* Bodies that are still coming for what lies below now. */
static void missing_below(struct core *c, struct stream *s)
{
	uint16_t n = 0;

	for (uint16_t i = 0; i < s->n_missing; i++)
		if (s->missing[i] > s->row.floor)
			s->missing[n++] = s->missing[i];
		else
			store_missing_del(c->t, s->row.local, s->missing[i]);
	if (n == s->n_missing)
		return;
	s->n_missing = n;
	bodies_gone(c);
}

static void begin_at(struct core *c, struct stream *s, const struct floor_frame *f)
{
	uint8_t proof[FLOOR_BYTES];
	uint64_t from, arrival;
	char a[LIMIT_NAME_BYTES + 1], b[LIMIT_NAME_BYTES + 1], by[LIMIT_NAME_BYTES + 1];

	stream_touch(c, s);
	effect_log(c->out, 5, "a stream from %s to %s goes on here behind entry %llu: %s retired what is before it", site_name(c, s->row.name.originator, a),
		   site_name(c, s->row.name.addressee, b), (unsigned long long)f->floor.number, site_name(c, f->floor.site, by));
	s->row.held = s->row.floor = s->signed_to = f->floor.number;
	s->row.chain = s->row.floor_chain = f->floor.chain;
	s->epoch_known = false;
	crypt_wipe(&s->epoch, sizeof s->epoch);
	missing_below(c, s);
	floor_encode(&f->floor, proof);
	store_floor_put(c->t, &s->row, f->grant, view_of(proof, sizeof proof));
	if (f->grant && (store_grant_find(c->t, s->row.local, f->grant, &from, &arrival) || from != f->grant))
		store_grant_put(c->t, s->row.local, f->grant, 0);
	stream_advanced(c, s);
	stream_ack(c, s);
}

void floor_forget(struct stream *s)
{
	free(s->offer);
	s->offer = NULL;
	for (size_t i = 0; i < s->n_flows; i++)
		s->flows[i].floor = 0;
}

/* Somebody who is reached has entries from here on, or a floor that he did not tell yet. */
static bool may_come(const struct stream *s)
{
	for (size_t i = 0; i < s->n_flows; i++) {
		const struct flow *f = &s->flows[i];

		if (f->ahead > s->row.held && !f->floor && peer_reachable(f->peer))
			return true;
	}
	return false;
}

struct mono floor_look(struct core *c)
{
	struct mono next = MONO_NEVER;

	if (mono_before(c->now, c->floors_at))
		return c->floors_at;
	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];

		if (!s->offer)
			continue;
		struct mono at = mono_add(s->offer->at, s->row.held < s->offer->low.floor.number && may_come(s) ? WAIT_MOST_US : WAIT_US);

		if (s->offer->low.floor.number <= s->row.held) {
			claimed(s, &s->offer->low.floor);
			floor_forget(s); /* somebody gave what is before it */
		} else if (mono_before(c->now, at)) {
			next = mono_min(next, mono_min(at, mono_add(c->now, WAIT_US)));
		} else {
			begin_at(c, s, &s->offer->low);
			floor_forget(s);
		}
	}
	return c->floors_at = next;
}

void floor_doubted(struct core *c, const struct stream *s, uint64_t number, const struct header *h)
{
	char name[LIMIT_NAME_BYTES + 1], id[MSGID_TEXT_BYTES];

	if (number > s->claim)
		return;
	msgid_format(&h->id, id);
	alarm_raise(c, "floor", site_name(c, s->claim_by, name), "ask that site what it removed and why; the message is held here",
		    "%s says that nobody needs message %s any more, which has not ended as far as is known here", name, id);
}
