/* peer.c - links to other sites: hello, what is up, probes, who answers what. */
#include <stdio.h>
#include <string.h>

#include "node/core/core_int.h"

/* A hello on a connection that lives is said again after so long at the soonest, when the peer, or our own disk, shows that it is heard now. */
#define GREET_AGAIN_US (3 * US_PER_S)
/* A digest that was not answered is sent again. */
#define DIGEST_AGAIN_US (5 * US_PER_S)
/* A link where nothing else happened for so long is probed only so often, once it answers. */
#define PROBE_IDLE_TIMES 6
#define PROBE_IDLE_MOST_US (30 * US_PER_S)
/* A probe that was not answered for so long is not waited for. */
#define PROBE_LOST_US (60 * US_PER_S)
/* Co-custodians hear of our progress so often. */
#define TELL_US US_PER_S

struct peer *peer_find(struct core *c, uint16_t site)
{
	return site < c->n_peer_at ? c->peer_at[site] : NULL;
}

/* Where a peer of that site is to be known; NULL when out of memory. */
static struct peer **place_of(struct core *c, uint16_t site)
{
	if (site >= c->n_peer_at) {
		struct peer **table = realloc(c->peer_at, (site + 1u) * sizeof *table);

		if (!table)
			return NULL;
		memset(table + c->n_peer_at, 0, (site + 1u - c->n_peer_at) * sizeof *table);
		c->peer_at = table;
		c->n_peer_at = site + 1u;
	}
	return &c->peer_at[site];
}

static struct peer *peer_new(struct core *c, uint16_t site)
{
	struct peer *p = calloc(1, sizeof *p), **place = place_of(c, site), **slot;

	if (!p || !place || !(slot = array_grow(&c->peers, &c->n_peers, sizeof *slot))) {
		free(p);
		return NULL;
	}
	*place = p;
	p->site = site;
	p->last_heard = p->last_ack = p->rate_from = p->busy_at = (struct mono){INT64_MIN / 2};
	p->live_at = c->now;
	p->probe_at = (struct mono){0};
	size_t i = c->n_peers - 1;

	for (; i > 0 && c->peers[i - 1]->site > site; i--)
		c->peers[i] = c->peers[i - 1];
	c->peers[i] = p;
	return p;
}

void peer_touch(struct core *c, struct peer *p)
{
	if (p->active)
		return;
	if (c->n_active == c->cap_active) {
		size_t cap = c->n_peers > 16 ? c->n_peers : 16;
		struct peer **list = realloc(c->active, cap * sizeof *list);

		if (!list) {
			if (c->t)
				txn_fail(c->t, ERR_NOMEM);
			return;
		}
		c->active = list;
		c->cap_active = cap;
	}
	c->active[c->n_active++] = p;
	p->active = true;
}

void peers_touch_all(struct core *c)
{
	for (size_t i = 0; i < c->n_peers; i++)
		peer_touch(c, c->peers[i]);
}

void peer_tell(struct core *c, struct peer *p)
{
	if (!p->tell_due)
		p->tell_at = mono_add(c->now, TELL_US);
	p->tell_due = true;
	peer_touch(c, p);
}

/* Nothing goes there any more, and nothing is taken from there, whatever connections may live. */
static void peer_leaves(struct core *c, struct peer *p)
{
	p->left = true;
	p->back = false;
	peer_touch(c, p);
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
		replicate_rewind(c, p, lane);
		p->lane[lane].dialled = p->lane[lane].up = p->lane[lane].accepted = p->lane[lane].ack_due = false;
		bodies_give_forget(p, lane);
		bodies_unlinked(c, p, lane);
		p->parts[lane].got_due = false;
	}
	p->digest_heard = p->digest_out = p->digest_since_order = p->probe_out = p->tell_due = p->met = p->state_met = false;
	linklog_look(c, p);
}

/* Its connections may have lived on all the time: they are begun anew. */
static void peer_back(struct core *c, struct peer *p)
{
	p->back = true;
	peer_touch(c, p);
	c->peers_at = c->now;
}

void peers_build(struct core *c)
{
	for (size_t i = 0; i < c->n_peers; i++)
		c->peers[i]->gone = true;
	for (size_t i = 0; i < c->roster->n_sites; i++) {
		uint16_t site = c->roster->sites[i].number;
		struct peer *p = peer_find(c, site);

		if (site == c->self || c->roster->sites[i].removed || site_revoked(c, site))
			continue;
		if (!p)
			p = peer_new(c, site);
		else if (p->left)
			peer_back(c, p);
		if (p)
			p->gone = p->left = false;
	}
	for (size_t i = 0; i < c->n_peers; i++)
		if (c->peers[i]->gone && !c->peers[i]->left)
			peer_leaves(c, c->peers[i]);
	vectors_roster(c);
}

bool peer_reachable(const struct peer *p)
{
	return !p->gone && (p->lane[LANE_URGENT].up || p->lane[LANE_URGENT].accepted);
}

/* Up: both lanes are, and what was due was acknowledged, or one of the last three probes answered. */
bool peer_up(const struct core *c, const struct peer *p)
{
	if (p->gone || !p->lane[LANE_URGENT].up || !p->lane[LANE_BULK].up)
		return false;
	int64_t quiet = c->now.us - p->last_ack.us, every = p->probe_every_us > c->config.probe_us ? p->probe_every_us : c->config.probe_us;

	return quiet < every + 2 * c->config.probe_us;
}

void peer_busy(struct core *c, struct peer *p)
{
	p->busy_at = c->now;
	if (p->lane[LANE_URGENT].up && mono_before(mono_add(c->now, c->config.probe_us), p->probe_at)) {
		p->probe_at = mono_add(c->now, c->config.probe_us);
		c->probes_at = mono_min(c->probes_at, p->probe_at);
	}
}

void peer_bad(struct core *c, struct peer *p, const char *what)
{
	char name[LIMIT_NAME_BYTES + 1];

	p->bad_frames++;
	site_name(c, p->site, name);
	alarm_raise(c, "peer", name, "ask that site what its node runs; what it sends wrongly is refused", "%s sends what it should not: %s", name, what);
}

void effect_end_control(struct core *c, struct peer *p)
{
	/* On the connection that the peer dialled, else on ours; the transport drops it when neither lives. */
	peer_busy(c, p);
	effect_end_frame(c->out, p->site, LANE_URGENT, p->lane[LANE_URGENT].up ? SIDE_DIALLED : SIDE_ACCEPTED);
}

/* ---- hello ------------------------------------------------------------------------------------------------------------ */

static void say_hello(struct core *c, struct peer *p, uint8_t lane, enum frame_type t, const char *bearer)
{
	struct hello h = {
		.site = c->self, .protocol_min = PROTOCOL_MIN, .protocol_max = c->config.protocol_max, .lane = lane, .recovering = c->recovering,
		.incarnation = c->incarnation, .now = c->wall, .roster_serial = c->roster->serial,
		.roster = c->roster->hash, .state = c->takeover.state, .bearer = view_str(bearer),
	};

	frame_hello(effect_begin(c->out), t, &h);
	effect_end_frame(c->out, p->site, lane, t == FRAME_HELLO ? SIDE_DIALLED : SIDE_ACCEPTED);
}

void peer_link_up(struct core *c, uint16_t site, uint8_t lane, const char *bearer, int64_t round_us)
{
	struct peer *p = peer_find(c, site);

	if (!p || p->gone || lane >= LANE_COUNT)
		return;
	struct lane_state *l = &p->lane[lane];

	peer_touch(c, p);
	linklog_heard(c, p, lane);
	replicate_rewind(c, p, lane);
	l->dialled = true;
	l->up = false;
	l->timeouts = 0;
	l->hello_at = l->heard = c->now;
	l->round_us = round_us;
	if (lane == LANE_URGENT && strcmp(l->bearer, bearer) != 0)
		p->rtt_us = round_us; /* another line */
	window_dialled(c, p, lane, bearer);
	say_hello(c, p, lane, FRAME_HELLO, bearer);
	if (lane == LANE_URGENT)
		replicate_offer(c, p);
	bodies_give_forget(p, lane);
}

void peer_link_down(struct core *c, uint16_t site, uint8_t lane)
{
	struct peer *p = peer_find(c, site);

	if (!p || lane >= LANE_COUNT)
		return;
	struct lane_state *l = &p->lane[lane];
	bool was = l->up;
	char name[LIMIT_NAME_BYTES + 1];

	peer_touch(c, p);
	linklog_heard(c, p, lane);
	replicate_rewind(c, p, lane);
	l->dialled = l->up = false;
	if (lane == LANE_URGENT)
		p->probe_out = false;
	bodies_give_forget(p, lane);
	bodies_unlinked(c, p, lane);
	c->travel.due = true; /* what was asked there is asked elsewhere */
	if (was && lane == LANE_URGENT)
		takeover_peer(c, site);
	if (was)
		effect_log(c->out, 5, "link to %s (%s) is down", site_name(c, site, name), lane_name(lane));
	linklog_look(c, p);
}

/* More of the peers whose clocks are known agree with ours than not, and they are most of those that are linked: our clock
 * is right after all. With one peer, it decides. */
static void clock_settle(struct core *c)
{
	size_t live = 0, agree = 0;

	for (size_t i = 0; i < c->n_peers; i++) {
		const struct peer *p = c->peers[i];

		if (p->gone || !p->lane[LANE_URGENT].up)
			continue;
		live++;
		agree += p->skew_known && p->skew_agrees;
	}
	if (!c->clock_unsure || 2 * agree <= live)
		return;
	c->clock_unsure = false;
	alarm_clear(c, "clock", "jumped");
	alarm_clear(c, "clock", "behind");
}

/* Their clock showed `theirs` when they sent; we read it between 0 and late_us later. Where that leaves it open whether the
 * clocks differ, as on a slow link, nothing is said. */
static void heard_clock(struct core *c, struct peer *p, struct wall theirs, int64_t late_us)
{
	char name[LIMIT_NAME_BYTES + 1];
	int64_t least = theirs.us - c->wall.us, most = least + late_us, limit = c->config.clock_skew_us;

	site_name(c, p->site, name);
	p->skew_us = least + late_us / 2;
	p->skew_known = true;
	p->skew_agrees = llabs(p->skew_us) <= limit;
	if (least > limit || most < -limit)
		alarm_raise(c, "clock-skew", name, "check the clocks and time servers of both sites", "the clocks of %s and this node differ by %.1f s",
			    name, (double)p->skew_us / US_PER_S);
	else if (p->skew_agrees)
		alarm_clear(c, "clock-skew", name);
	clock_settle(c);
}

/* How long what comes from the peer may have been on its way: as long as a whole round trip of late, or as the probe that is
 * out has been already. */
static int64_t delay_most(const struct core *c, const struct peer *p)
{
	int64_t out = p->probe_out ? c->now.us - p->probe_sent.us : 0;

	return out > p->delay_most_us ? out : p->delay_most_us;
}

static void delay_heard(struct peer *p, int64_t rtt_us)
{
	int64_t fading = p->delay_most_us - p->delay_most_us / 8;

	p->delay_most_us = rtt_us > fading ? rtt_us : fading;
}

void peer_roster(struct core *c, struct peer *p, uint32_t serial, const struct hash *roster)
{
	char name[LIMIT_NAME_BYTES + 1];

	p->roster_serial = serial;
	p->roster = *roster;
	c->travel.due = true;
	site_name(c, p->site, name);
	if (serial == c->roster->serial && !hash_equal(roster, &c->roster->hash))
		alarm_raise(c, "roster-conflict", name, "compare with `estafette roster diff`; sign another with a higher serial",
			    "%s has another roster with the same serial %u", name, serial);
	else
		alarm_clear(c, "roster-conflict", name);
	/* Else it is fetched. */
	if (serial > c->roster->serial && (p->protocol < PROTOCOL_SHORT || !c->config.has_authority))
		alarm_raise(c, "roster-old", NULL, "install the newer roster and reload (systemctl reload)", "%s has roster serial %u, we have %u", name,
			    serial, c->roster->serial);
	else if (serial == c->roster->serial)
		alarm_clear(c, "roster-old", NULL);
}

/* What was said on it before may have met a disk that took nothing, and is not answered. */
static void greet_again(struct core *c, struct peer *p)
{
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
		struct lane_state *l = &p->lane[lane];

		if (!l->dialled || l->up || p->gone || c->now.us - l->hello_at.us < GREET_AGAIN_US)
			continue;
		peer_touch(c, p);
		l->hello_at = c->now;
		say_hello(c, p, lane, FRAME_HELLO, l->bearer);
		if (lane == LANE_URGENT)
			replicate_offer(c, p);
	}
}

void peer_missed(struct core *c, const struct event *ev)
{
	bool link = ev->type == EVENT_LINK_UP || ev->type == EVENT_LINK_DOWN;
	struct peer *p = link && ev->u.link.lane < LANE_COUNT ? peer_find(c, ev->u.link.peer) : NULL;

	c->deaf = c->deaf || p || ev->type == EVENT_FRAME;
	if (p)
		p->lane[ev->u.link.lane].missed = true;
}

void peers_greet_again(struct core *c)
{
	for (size_t i = 0; c->deaf && i < c->n_peers; i++) {
		struct peer *p = c->peers[i];

		for (uint8_t lane = 0; lane < LANE_COUNT; lane++)
			if (p->lane[lane].missed && !p->gone)
				effect_link_reset(c->out, p->site, lane, LINK_SILENT);
		greet_again(c, p);
	}
}

void peers_heard_again(struct core *c)
{
	for (size_t i = 0; c->deaf && i < c->n_peers; i++)
		for (uint8_t lane = 0; lane < LANE_COUNT; lane++)
			c->peers[i]->lane[lane].missed = false;
	c->deaf = false;
}

/* Their HELLO on what they dialled, or their WELCOME on what we dialled. */
static void heard_hello(struct core *c, struct peer *p, uint8_t lane, bool welcome, const struct hello *h)
{
	struct lane_state *l = &p->lane[lane];
	char name[LIMIT_NAME_BYTES + 1];

	if (h->site != p->site || h->lane != lane) {
		peer_bad(c, p, "a hello of another site or lane");
		return;
	}
	if (h->protocol_min > c->config.protocol_max || h->protocol_max < PROTOCOL_MIN) {
		site_name(c, p->site, name);
		alarm_raise(c, "protocol", name, "upgrade the older of the two nodes", "%s speaks protocol %u to %u, this node %d to %d", name, h->protocol_min,
			    h->protocol_max, PROTOCOL_MIN, c->config.protocol_max);
		return;
	}
	p->protocol = h->protocol_max < c->config.protocol_max ? h->protocol_max : c->config.protocol_max;
	copies_hello(c, p, &h->incarnation);
	if (p->met && !incarnation_equal(&p->incarnation, &h->incarnation)) {
		p->digest_heard = false;
		transit_forget(c, p);
		for (size_t i = 0; i < c->n_streams; i++) /* it may need its own older streams now */
			if (c->streams[i]->row.name.originator == p->site)
				stream_heat(c, c->streams[i]);
	}
	p->incarnation = h->incarnation;
	p->met = true;
	peer_roster(c, p, h->roster_serial, &h->roster);
	if (!welcome) {
		l->accepted = true;
		snprintf(l->over, sizeof l->over, "%.*s", (int)h->bearer.len, (const char *)h->bearer.ptr);
		say_hello(c, p, lane, FRAME_WELCOME, "");
		if (lane == LANE_URGENT)
			state_hello(c, p, &h->state);
		p->parts[lane].got_due = false;
		bodies_linked(c, p, lane);
		greet_again(c, p); /* it hears */
		return;
	}
	if (!l->up)
		effect_log(c->out, 5, "link to %s (%s) is up", site_name(c, p->site, name), lane_name(lane));
	bool was = l->up;

	l->up = true;
	if (!was)
		bodies_answered(c, p, lane);
	l->timeouts = l->unanswered = 0;
	c->probes_at = mono_min(c->probes_at, p->probe_at);
	p->last_ack = c->now;
	p->last_ack_wall = c->wall;
	if (!p->rtt_us)
		p->rtt_us = c->now.us - l->hello_at.us;
	if (!was)
		linklog_look(c, p);
	if (lane == LANE_URGENT)
		vectors_link(c, p);
	if (lane == LANE_URGENT)
		state_hello(c, p, &h->state);
	delay_heard(p, c->now.us - l->hello_at.us);
	window_round_trip(c, p, lane, c->now.us - l->hello_at.us);
	heard_clock(c, p, h->now, delay_most(c, p));
}

/* ---- probes -------------------------------------------------------------------------------------------------------------- */

/* What a probe says of our state, and what the peer's would say as it was last heard. */
static void hint_of(const struct hash *state, const struct hash *roster, uint8_t out[NUDGE_HINT_BYTES])
{
	struct hash h = crypt_hash2(HASH_STATE, view_of(state->b, HASH_BYTES), view_of(roster->b, HASH_BYTES));

	memcpy(out, h.b, NUDGE_HINT_BYTES);
}

static void say_nudge(struct core *c, struct peer *p, enum frame_type t, uint64_t token, uint8_t lane, uint8_t side)
{
	struct nudge say = {.token = token};

	hint_of(&c->takeover.state, &c->roster->hash, say.hint);
	frame_nudge(effect_begin(c->out), t, &say);
	effect_end_frame(c->out, p->site, lane, side);
}

/* An idle link costs little: where nothing but probes was heard or said of late the next one is rarer, once this one is answered.
 * One that is not is followed by others at the usual pace, so that a dead link is known soon after. */
static int64_t idle_us(const struct core *c)
{
	int64_t us = PROBE_IDLE_TIMES * c->config.probe_us;

	us = us < PROBE_IDLE_MOST_US ? us : PROBE_IDLE_MOST_US;
	return us > c->config.probe_us ? us : c->config.probe_us;
}

static int64_t probe_patience(const struct core *c, const struct peer *p)
{
	bool idle = c->now.us - p->busy_at.us >= idle_us(c);

	return idle && 4 * p->rtt_us > c->config.probe_us ? 4 * p->rtt_us : c->config.probe_us;
}

static void probe_answered(struct core *c, struct peer *p)
{
	bool idle = c->now.us - p->busy_at.us >= idle_us(c);

	p->probe_every_us = idle ? idle_us(c) : c->config.probe_us;
	if (idle)
		p->probe_at = mono_add(c->now, idle_us(c));
}

static void probe(struct core *c, struct peer *p)
{
	/* The token is our wall clock, so that the other side learns it too. */
	struct probe say = {.token = (uint64_t)c->wall.us, .state = c->takeover.state};

	if (p->protocol >= PROTOCOL_SHORT) {
		say_nudge(c, p, FRAME_NUDGE, say.token, LANE_URGENT, SIDE_DIALLED);
	} else {
		frame_probe(effect_begin(c->out), FRAME_PROBE, &say);
		effect_end_frame(c->out, p->site, LANE_URGENT, SIDE_DIALLED);
	}
	/* On a slow link the next ones go before the answer comes: the first is the one that is timed. */
	if (p->probe_out && c->now.us - p->probe_sent.us < PROBE_LOST_US)
		return;
	p->probe_out = true;
	p->probe_sent = c->now;
	p->probe_token = (uint64_t)c->wall.us;
}

static bool lane_has_more(const struct lane_state *l)
{
	for (unsigned prec = 0; prec < PREC_COUNT; prec++)
		if (l->behind[prec])
			return true;
	return false;
}

static void heard_probe_reply(struct core *c, struct peer *p, uint64_t token)
{
	if (p->probe_out && token == p->probe_token) {
		p->probe_out = false;
		p->rtt_us = c->now.us - p->probe_sent.us;
		delay_heard(p, p->rtt_us);
		window_round_trip(c, p, LANE_URGENT, p->rtt_us);
	}
	/* While something is due only its acknowledgement says that the link is good. */
	if (p->lane[LANE_URGENT].ring_n || p->lane[LANE_BULK].ring_n)
		return;
	/* What was given up is not due any more (transit.c gives only to who lives): nothing else would say that it lives again. */
	if (p->lane[LANE_URGENT].timeouts && !lane_has_more(&p->lane[LANE_URGENT])) {
		p->lane[LANE_URGENT].timeouts = 0;
		peer_touch(c, p);
	}
	probe_answered(c, p);
	p->last_ack = c->now;
	p->last_ack_wall = c->wall;
	for (uint8_t i = 0; i < LANE_COUNT; i++)
		if (!lane_has_more(&p->lane[i]))
			window_answers(c, p, i);
}

/* The clock of who probes. False when it is none. */
static bool heard_prober(struct core *c, struct peer *p, uint64_t token)
{
	if (token > LIMIT_WALL_US) {
		peer_bad(c, p, "a time that is none");
		return false;
	}
	if (p->delay_most_us || p->probe_out)
		heard_clock(c, p, (struct wall){(int64_t)token}, delay_most(c, p));
	return true;
}

static void heard_probe(struct core *c, struct peer *p, uint8_t lane, const struct probe *said, bool reply)
{
	if (reply) {
		state_heard(c, p, &said->state);
		heard_probe_reply(c, p, said->token);
	} else if (heard_prober(c, p, said->token)) {
		struct probe say = {.token = said->token, .state = c->takeover.state};

		frame_probe(effect_begin(c->out), FRAME_PROBE_REPLY, &say);
		effect_end_frame(c->out, p->site, lane, SIDE_ACCEPTED);
		state_heard(c, p, &said->state);
	}
}

/* Like ours, or like what it last showed: then that is what it has. Anything else is asked for, by showing ours. */
static void heard_hint(struct core *c, struct peer *p, const uint8_t hint[NUDGE_HINT_BYTES])
{
	uint8_t ours[NUDGE_HINT_BYTES], theirs[NUDGE_HINT_BYTES];

	hint_of(&c->takeover.state, &c->roster->hash, ours);
	hint_of(&p->state, &p->roster, theirs);
	if (memcmp(hint, ours, sizeof ours) == 0) {
		if (p->roster_serial != c->roster->serial || !hash_equal(&p->roster, &c->roster->hash))
			peer_roster(c, p, c->roster->serial, &c->roster->hash);
		state_heard(c, p, &c->takeover.state);
	} else if (p->state_met && memcmp(hint, theirs, sizeof theirs) == 0) {
		state_heard(c, p, &p->state);
	} else {
		state_show(c, p);
	}
}

static void heard_nudge(struct core *c, struct peer *p, uint8_t lane, const struct nudge *said, bool reply)
{
	if (!reply && !heard_prober(c, p, said->token))
		return;
	if (!reply)
		say_nudge(c, p, FRAME_NUDGE_REPLY, said->token, lane, SIDE_ACCEPTED);
	heard_hint(c, p, said->hint);
	if (reply)
		heard_probe_reply(c, p, said->token);
}

/* ---- frames ---------------------------------------------------------------------------------------------------------------- */

static bool is_probe(enum frame_type t)
{
	return t == FRAME_PROBE || t == FRAME_PROBE_REPLY || t == FRAME_NUDGE || t == FRAME_NUDGE_REPLY;
}

/* A site that the roster removed may still ask for that roster. */
static void frame_of_gone(struct core *c, struct peer *p, uint8_t side, struct view bytes)
{
	const struct site *s = roster_site(c->roster, p->site);
	struct frame *f = s && s->removed && !site_revoked(c, p->site) && side == SIDE_ACCEPTED ? malloc(sizeof *f) : NULL;

	if (f && frame_decode(bytes, f) == ERR_OK && f->type == FRAME_STATE && f->u.state.what == STATE_WANT && f->u.state.name.kind == STATE_KIND_ROSTER)
		travel_want(c, p, &f->u.state);
	free(f);
}

void peer_frame(struct core *c, uint16_t site, uint8_t lane, uint8_t side, struct view bytes)
{
	struct peer *p = peer_find(c, site);
	struct frame *f = NULL;
	enum err e = ERR_NOMEM;

	if (p && p->gone && lane == LANE_URGENT)
		frame_of_gone(c, p, side, bytes);
	if (!p || p->gone || lane >= LANE_COUNT || side >= SIDE_COUNT)
		return;
	p->last_heard = c->now;
	if (side == SIDE_DIALLED)
		p->lane[lane].heard = c->now;
	f = malloc(sizeof *f); /* large: too much for a stack */
	if (f)
		e = frame_decode(bytes, f);
	if (!e && frame_protocol(f->type) > c->config.protocol_max)
		e = ERR_UNSUPPORTED;
	if (e == ERR_UNSUPPORTED || e == ERR_VERSION) {
		p->dropped++;
	} else if (e) {
		peer_bad(c, p, "a malformed frame");
	} else {
		if (!is_probe(f->type)) {
			peer_touch(c, p);
			peer_busy(c, p);
			c->restless = true;
		}
		switch (f->type) {
		case FRAME_HELLO:
			if (side == SIDE_ACCEPTED)
				heard_hello(c, p, lane, false, &f->u.hello);
			break;
		case FRAME_WELCOME:
			if (side == SIDE_DIALLED)
				heard_hello(c, p, lane, true, &f->u.hello);
			break;
		case FRAME_DIGEST: replicate_digest(c, p, side, f->u.digest.n, f->u.digest.lines); break;
		case FRAME_FRONTIERS: replicate_frontiers(c, p, f->u.frontiers.complete, f->u.frontiers.rest); break;
		case FRAME_SEGMENT:
			if (side == SIDE_ACCEPTED)
				replicate_segment(c, p, lane, &f->u.segment, NULL, view_of(bytes.ptr + 2, bytes.len - 2));
			else
				peer_bad(c, p, "data on the wrong connection");
			break;
		case FRAME_SEGMENT_AFTER:
			if (side == SIDE_ACCEPTED)
				replicate_segment(c, p, lane, &f->u.after.segment, &f->u.after.before, view_of(bytes.ptr + 2 + HASH_BYTES, bytes.len - 2 - HASH_BYTES));
			else
				peer_bad(c, p, "data on the wrong connection");
			break;
		case FRAME_AGAIN: again_frame(c, p, &f->u.again); break;
		case FRAME_SEGMENT_AGAIN: again_segment(c, p, &f->u.segment); break;
		case FRAME_VECTOR: vectors_frame(c, p, f->u.raw); break;
		case FRAME_WANT: bodies_want(c, p, &f->u.part); break;
		case FRAME_WANT_ENTRY: bodies_want_entry(c, p, &f->u.want_entry); break;
		case FRAME_PART: bodies_part(c, p, lane, &f->u.part); break;
		case FRAME_GOT: bodies_got(c, p, lane, f->u.got); break;
		case FRAME_NOT_HERE: bodies_not_here(c, p, &f->u.not_here); break;
		case FRAME_PROBE: heard_probe(c, p, lane, &f->u.probe, false); break;
		case FRAME_PROBE_REPLY: heard_probe(c, p, lane, &f->u.probe, true); break;
		case FRAME_NUDGE: heard_nudge(c, p, lane, &f->u.nudge, false); break;
		case FRAME_NUDGE_REPLY: heard_nudge(c, p, lane, &f->u.nudge, true); break;
		case FRAME_ACKS: replicate_acks(c, p, f->u.acks.rest); break;
		case FRAME_STATE: state_frame(c, p, &f->u.state); break;
		case FRAME_KEYS: grants_frame(c, p, &f->u.keys); break;
		case FRAME_BUSY: room_heard(c, p, &f->u.busy); break;
		case FRAME_FLOOR: floor_frame(c, p, &f->u.floor); break;
		default: p->dropped++;
		}
	}
	free(f);
}

/* ---- timers ------------------------------------------------------------------------------------------------------------------- */

static struct mono digest_due(const struct peer *p)
{
	return p->lane[LANE_URGENT].up && p->digest_out ? mono_add(p->digest_at, DIGEST_AGAIN_US) : MONO_NEVER;
}

static struct mono tell_due(const struct peer *p)
{
	return p->tell_due && peer_reachable(p) ? p->tell_at : MONO_NEVER;
}

static struct mono peer_due(const struct core *c, const struct peer *p)
{
	struct mono at = mono_min(digest_due(p), tell_due(p));

	if (p->vectors_wait && p->live)
		at = mono_min(at, p->vectors_at);

	if (p->gone)
		return MONO_NEVER;
	if (p->back)
		return (struct mono){0};
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++)
		at = mono_min(at, mono_min(mono_min(lane_due(p, lane), lane_doubt(p, lane)), replicate_paced(c, p, lane)));
	return at;
}

static bool is_due(const struct core *c, struct mono at)
{
	return !mono_before(c->now, at);
}

static void peer_look(struct core *c, struct peer *p)
{
	if (p->gone)
		return;
	for (uint8_t lane = 0; p->back && lane < LANE_COUNT; lane++)
		effect_link_reset(c->out, p->site, lane, LINK_ANEW);
	p->back = false;
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++)
		if (is_due(c, lane_due(p, lane)))
			lane_late(c, p, lane);
	if (is_due(c, digest_due(p)))
		replicate_offer(c, p);
	if (is_due(c, tell_due(p)))
		replicate_tell(c, p);
}

/* Those that are due soon are probed with those that are due, so that an idle node wakes once for all its links. */
static void probes_look(struct core *c)
{
	struct mono soon = mono_add(c->now, c->config.probe_us / 4);

	c->probes_at = MONO_NEVER;
	for (size_t i = 0; i < c->n_peers; i++) {
		struct peer *p = c->peers[i];

		if (p->gone || !p->lane[LANE_URGENT].up)
			continue;
		if (!mono_before(soon, p->probe_at)) {
			probe(c, p);
			p->probe_at = mono_add(c->now, probe_patience(c, p));
		}
		c->probes_at = mono_min(c->probes_at, p->probe_at);
	}
}

void peers_look(struct core *c)
{
	for (size_t i = 0; is_due(c, c->peers_at) && i < c->n_active; i++)
		peer_look(c, c->active[i]);
	if (is_due(c, c->probes_at))
		probes_look(c);
}

void peers_settle(struct core *c)
{
	size_t n = 0;

	c->peers_at = MONO_NEVER;
	for (size_t i = 0; i < c->n_active; i++) {
		struct peer *p = c->active[i];
		struct mono at = peer_due(c, p);

		c->peers_at = mono_min(c->peers_at, at);
		p->active = at.us != MONO_NEVER.us;
		if (p->active)
			c->active[n++] = p;
	}
	c->n_active = n;
}
