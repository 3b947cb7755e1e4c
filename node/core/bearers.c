/* bearers.c - when a lane leaves its bearer, what the transport hears of it, and what is known of each bearer.
 *
 * The choice itself is the transport's machine (dial.h). What only the core knows goes to it: that something is due on a lane, that
 * the lane is doubted, that it was silent. A lane is silent when the oldest of what is in the air had no durable acknowledgement for
 * three seconds, or for as long as its round trip and pace explain. With other bearers to go to it is left then. When there is no
 * other its frames go again first, and it is dialled anew when nothing whatever came over it for twice that time either. Where lanes
 * are left again and again without one acknowledgement it is the peer and not the line: each time all bearers were tried, frames go
 * again once more before one is left. */
#include <stdio.h>
#include <string.h>

#include "node/core/show_int.h"

/* Data that nobody acknowledged for so long is sent again. */
#define ACK_TIMEOUT_MIN_US (3 * US_PER_S)
#define ACK_TIMEOUTS_BEFORE_RESET 3
#define ACK_TIMEOUTS_MOST 6
#define HANDSHAKE_BYTES 1024
/* Of the time until a lane is silent: then it is doubted. */
#define DOUBT_PART 3
/* An answer to a hello, on a lane of which no round trip is known. */
#define HELLO_TIMEOUT_US (10 * US_PER_S)
/* Each that is not answered gets twice the time, so that a way of any length comes up. */
#define HELLO_DOUBLINGS 6
#define HELLO_DOUBLINGS_KNOWN 3

struct bearer_seen { struct bearer_news news; struct mono since; struct wall since_wall; };
struct bearers { size_t n; struct bearer_seen list[LIMIT_BEARERS]; };

/* ---- waiting ---------------------------------------------------------------------------------------------------------- */

/* How many bearers the lane may lie on. */
static size_t ways(const struct lane_state *l)
{
	return l->bearers && l->bearers->n ? l->bearers->n : 1;
}

/* After how many of its times in a row the lane is left. */
static int timeouts_most(const struct lane_state *l)
{
	size_t n = ways(l) > 1 ? 1 + l->silences / ways(l) : ACK_TIMEOUTS_BEFORE_RESET;

	return n < ACK_TIMEOUTS_MOST ? (int)n : ACK_TIMEOUTS_MOST;
}

static int64_t ack_timeout(const struct peer *p)
{
	int64_t t = 4 * p->rtt_us;

	return t > ACK_TIMEOUT_MIN_US ? t : ACK_TIMEOUT_MIN_US;
}

static int64_t hello_timeout(const struct lane_state *l)
{
	int64_t t = l->round_us ? 4 * l->round_us : HELLO_TIMEOUT_US;
	size_t times = l->unanswered / ways(l), doublings = l->round_us ? HELLO_DOUBLINGS_KNOWN : HELLO_DOUBLINGS;

	return (t > ACK_TIMEOUT_MIN_US ? t : ACK_TIMEOUT_MIN_US) << (times < doublings ? times : doublings);
}

/* How long what is in the air needs. On a line of whose rate nothing else is known, the handshake was carried: it takes a kilobyte, in
 * three round trips. */
static int64_t pace_time(const struct peer *p, uint8_t lane)
{
	const struct lane_state *l = &p->lane[lane];
	int64_t us = window_time_us(p, lane), by_handshake = l->flying * 2 * 3 * l->round_us / HANDSHAKE_BYTES;

	return l->round_us && !p->pace[LANE_URGENT].rate_bps && !p->pace[lane].rate_bps && by_handshake < us ? by_handshake : us;
}

/* Since when the lane waits, and how long it may. While what was sent before is still being acknowledged, what follows is on its
 * way. False when it waits for nothing. */
static bool lane_wait(const struct peer *p, uint8_t lane, struct mono *from, int64_t *us)
{
	const struct lane_state *l = &p->lane[lane];

	if (l->dialled && !l->up) {
		*from = l->hello_at;
		*us = hello_timeout(l);
		return true;
	}
	if (!l->up || !l->ring_n)
		return false;
	*from = mono_before(l->ring[l->ring_at].sent.at, l->moved) ? l->moved : l->ring[l->ring_at].sent.at;
	*us = ack_timeout(p) * (l->timeouts < ACK_TIMEOUTS_BEFORE_RESET ? l->timeouts + 1 : ACK_TIMEOUTS_BEFORE_RESET) + pace_time(p, lane);
	return true;
}

struct mono lane_due(const struct peer *p, uint8_t lane)
{
	struct mono from;
	int64_t us;

	return lane_wait(p, lane, &from, &us) ? mono_add(from, us) : MONO_NEVER;
}

static bool something_due(const struct peer *p, const struct lane_state *l)
{
	bool due = l->ring_n > 0 || l->flying > 0;

	for (unsigned prec = 0; !due && prec < PREC_COUNT; prec++)
		due = l->behind[prec] != NULL;
	return due && !p->gone;
}

struct mono lane_doubt(const struct peer *p, uint8_t lane)
{
	const struct lane_state *l = &p->lane[lane];
	struct mono from;
	int64_t us;

	if (ways(l) < 2 || l->need_said == NEED_DOUBT || !something_due(p, l) || !lane_wait(p, lane, &from, &us))
		return MONO_NEVER;
	return mono_add(from, us / DOUBT_PART);
}

/* Nothing came over it since the oldest of what is in the air was sent. */
static bool all_silent(const struct lane_state *l)
{
	return l->ring_n && !mono_before(l->ring[l->ring_at].sent.at, l->heard);
}

void lane_late(struct core *c, struct peer *p, uint8_t lane)
{
	struct lane_state *l = &p->lane[lane];
	bool leave = !l->up || l->timeouts + 1 >= timeouts_most(l) || (!l->silences && l->timeouts && all_silent(l));

	if (!l->up) {
		l->hello_at = c->now;
		l->unanswered++;
	} else {
		/* Sent and not acknowledged: it counts as lost and goes again, from the peer's frontier. */
		window_lost(c, p, lane);
		replicate_rewind(c, p, lane);
		bodies_give_forget(p, lane); /* who still wants it asks again */
		l->timeouts = leave ? 0 : l->timeouts + 1;
		l->silences += leave;
	}
	if (leave)
		window_given_up(c, p, lane);
	if (leave)
		effect_link_reset(c->out, p->site, lane, LINK_SILENT);
}

/* ---- what the transport hears --------------------------------------------------------------------------------------------- */

static enum dial_need need_now(const struct core *c, const struct peer *p, uint8_t lane)
{
	const struct lane_state *l = &p->lane[lane];
	struct mono from;
	int64_t us;

	if (!something_due(p, l))
		return NEED_NOTHING;
	if (ways(l) > 1 && lane_wait(p, lane, &from, &us) && !mono_before(c->now, mono_add(from, us / DOUBT_PART)))
		return NEED_DOUBT;
	return NEED_DUE;
}

void lanes_need(struct core *c, struct peer *p)
{
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
		struct lane_state *l = &p->lane[lane];
		enum dial_need need = need_now(c, p, lane);

		if (l->need_said == need)
			continue;
		l->need_said = (uint8_t)need;
		l->need_in = c->batch;
		effect_link_need(c->out, p->site, lane, need);
	}
}

void lane_need_unsaid(struct core *c, struct peer *p, uint8_t lane)
{
	if (p->lane[lane].need_in == c->batch)
		p->lane[lane].need_said = UINT8_MAX;
}

void link_retry(struct core *c, struct client *cl, const struct request *rq)
{
	struct view fields = rq->fields;
	struct request_item f;
	uint32_t n = 0;

	if (!cl->rights.may_operate) {
		reply_error(c, cl->id, rq->tag, ERR_NOT_PERMITTED, "links: this user may not operate the node (see `clients` in node.conf)");
		return;
	}
	while (request_next(&fields, &f) == ERR_OK) {
		const struct site *s = f.field == F_WHAT ? roster_site_by_id(c->roster, f.value) : NULL;
		struct peer *p = s ? peer_find(c, s->number) : NULL;

		if (!p || p->gone) {
			reply_error(c, cl->id, rq->tag, ERR_UNKNOWN_SITE, "links: %.*s is no peer of this node (`estafette links` lists them)",
				    f.value.len > LIMIT_NAME_BYTES ? LIMIT_NAME_BYTES : (int)f.value.len, (const char *)f.value.ptr);
			return;
		}
		for (uint8_t lane = 0; lane < LANE_COUNT; lane++)
			p->lane[lane].silences = p->lane[lane].unanswered = 0;
		effect_link_retry(c->out, p->site);
		n++;
	}
	reply_done(c, cl->id, rq->tag, n);
}

/* ---- what is known of them -------------------------------------------------------------------------------------------------- */

void bearer_news(struct core *c, const struct bearer_news *news)
{
	struct peer *p = peer_find(c, news->peer);
	struct bearer_seen *b;

	if (!p || p->gone || news->lane >= LANE_COUNT || news->index >= LIMIT_BEARERS || news->count > LIMIT_BEARERS)
		return;
	struct lane_state *l = &p->lane[news->lane];

	if (!l->bearers && !(l->bearers = calloc(1, sizeof *l->bearers)))
		return;
	peer_touch(c, p);
	l->bearers->n = news->count;
	b = &l->bearers->list[news->index];
	/* down for another reason is down all the same */
	if (strcmp(b->news.name, news->name) != 0 || (b->news.why <= WHY_UNTRIED) != (news->why <= WHY_UNTRIED)) {
		b->since = c->now;
		b->since_wall = c->wall;
	}
	b->news = *news;
	linklog_look(c, p);
}

void bearers_free(struct peer *p)
{
	for (int lane = 0; lane < LANE_COUNT; lane++)
		free(p->lane[lane].bearers);
}

static const struct bearer_seen *seen(const struct lane_state *l, const char *name)
{
	for (size_t i = 0; l->bearers && i < l->bearers->n; i++)
		if (strcmp(l->bearers->list[i].news.name, name) == 0)
			return &l->bearers->list[i];
	return NULL;
}

/* ---- up and down, for linklog.h ---- */

bool bearer_known_down(const struct peer *p, size_t i, char name[LIMIT_NAME_BYTES + 1])
{
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
		const struct bearers *list = p->lane[lane].bearers;

		if (list && i < list->n) {
			strcpy(name, list->list[i].news.why > WHY_UNTRIED ? list->list[i].news.name : "");
			return true;
		}
		i -= list ? list->n : 0;
	}
	return false;
}

/* As the transport says, of a lane that does not lie on it. */
static enum link_is bearer_told(const struct peer *p, const char *name, enum link_is was)
{
	const struct lane_state *urgent = &p->lane[LANE_URGENT];
	const struct lane_state *l = urgent->bearers ? urgent : &p->lane[LANE_BULK];
	const struct bearer_seen *b = seen(l, name), *used = l->up ? seen(l, l->bearer) : NULL;

	if (!b)
		return LINK_IS_UNKNOWN; /* the roster took it away */
	if (b->news.why <= WHY_UNTRIED)
		return was; /* free, or dialled once more before it counts as down */
	if (used && used->news.cost <= b->news.cost)
		return was == LINK_IS_DOWN ? LINK_IS_UNKNOWN : was;
	return LINK_IS_DOWN;
}

enum link_is bearer_is(const struct peer *p, const char *name, enum link_is was)
{
	bool listed = false, dialled = false;

	if (p->gone)
		return LINK_IS_UNKNOWN;
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
		const struct lane_state *l = &p->lane[lane];

		if (l->up && strcmp(l->bearer, name) == 0)
			return LINK_IS_UP;
		dialled = dialled || (l->dialled && strcmp(l->bearer, name) == 0);
		listed = listed || l->bearers;
	}
	if (listed)
		return bearer_told(p, name, was);
	return was == LINK_IS_UP && !dialled ? LINK_IS_DOWN : was;
}

/* used: what carries the lane, NULL when nothing does. What is dearer is not tried beside it: what is known of that is old. */
static void add_bearer(struct buf *list, const struct bearer_seen *b, const struct bearer_seen *used)
{
	char text[LIMIT_NAME_BYTES + 128], since[WALL_TEXT_BYTES], rate[32] = "";

	wall_format(b->since_wall, 0, since);
	if (b->news.rate_bps)
		snprintf(rate, sizeof rate, ", %lld bit/s by the roster", (long long)b->news.rate_bps);
	bool down = b != used && b->news.why > WHY_UNTRIED, left = used && down && b->news.cost >= used->news.cost;

	snprintf(text, sizeof text, "%s%s: %s since %s%s, cost %d%s", list->len ? "\n" : "", b->news.name,
		 b == used ? "in use" : b->news.why == WHY_UP ? "free" : dial_why_name(b->news.why), since, left ? " (not tried beside a better one)" : "",
		 b->news.cost, rate);
	buf_add(list, view_str(text));
}

/* All that may carry the lane, by cost: so that it is seen which better ones are down, since when, and why. */
static void show_lane(struct rows *r, const char *name, const struct lane_state *l)
{
	const struct bearer_seen *used = l->dialled ? seen(l, l->bearer) : NULL;
	struct buf list = BUF_EMPTY;

	for (size_t i = 0; l->bearers && i < l->bearers->n; i++) {
		const struct bearer_seen *b = &l->bearers->list[i];

		if (b->news.name[0])
			add_bearer(&list, b, used);
	}
	row_list(r, name, &list);
	buf_release(&list);
}

void show_bearers(struct rows *r, const struct peer *p)
{
	const struct lane_state *urgent = &p->lane[LANE_URGENT], *bulk = &p->lane[LANE_BULK];
	const struct bearer_seen *b = seen(urgent, urgent->bearer);

	row_text(r, "bulk_bearer", bulk->dialled ? bulk->bearer : "");
	if (b)
		row_number(r, "hint_bps", b->news.rate_bps);
	else
		row_null(r, "hint_bps");
	show_lane(r, "urgent_bearers", urgent);
	show_lane(r, "bulk_bearers", bulk);
}
