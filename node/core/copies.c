/* copies.c - a journal that lacks what it once held, and sites of which two copies live.
 *
 * Nobody but a site writes its streams. Where a peer shows more of them than the site itself holds, the site's journal was rolled
 * back (a copied folder, an old backup): it hands out nothing until what others hold is here again. Where a peer shows a later
 * run of the site than the present one, another copy lives, or lived: the site begins a run that is later still, once; when it
 * happens again both live, and a person has to stop one. */
#include <stdio.h>

#include "node/core/core_int.h"

/* An older run that still writes so long after the birth of a later one is alive. */
#define ALIVE_US (5 * US_PER_S)
/* Hellos of two runs in turn within this time. */
#define FLIP_US (600 * US_PER_S)

static void copies_alarm(struct core *c, uint16_t site)
{
	char name[LIMIT_NAME_BYTES + 1];

	struct peer *p = peer_find(c, site);

	site_name(c, site, name);
	alarm_raise(c, "copies", name, "find both machines and stop the one that is not meant to run; keep its journal folder",
		    "two nodes run as %s at the same time", name);
	if (!p || p->copies)
		return;
	p->copies = true;
	/* Each of the two hears so of the other. */
	for (size_t i = 0; i < c->n_streams; i++) {
		struct flow *f = c->streams[i]->row.name.originator == site ? flow_of(c->streams[i], p) : NULL;

		if (!f)
			continue;
		stream_heat(c, c->streams[i]);
		f->tell = true;
		peer_tell(c, p);
	}
}

/* ---- recovering ------------------------------------------------------------------------------------------------ */

void recovery_put(struct core *c, enum recovery r)
{
	uint8_t byte = (uint8_t)r;

	c->recovering = r == RECOVERING;
	c->recovery_waived = r == RECOVERY_WAIVED;
	store_meta_put(c->t, META_RECOVERING, view_of(&byte, 1));
	c->takeover.touched = true; /* read anew when the batch fails */
	if (r == RECOVERING)
		return;
	c->takeover.closings = true;
	alarm_clear(c, "recovering", NULL);
	for (size_t i = 0; i < c->n_queues; i++)
		c->queues[i].changed = true;
}

static bool later(const struct incarnation *a, const struct incarnation *b)
{
	return a->born_us != b->born_us ? a->born_us > b->born_us : memcmp(a->random, b->random, sizeof a->random) > 0;
}

void copies_own(struct core *c, const struct peer *p, const struct stream_name *n)
{
	char name[LIMIT_NAME_BYTES + 1];

	site_name(c, p->site, name);
	if (later(&n->incarnation, &c->incarnation) || incarnation_equal(&n->incarnation, &c->incarnation)) {
		c->born_after = n->incarnation.born_us > c->born_after ? n->incarnation.born_us : c->born_after;
		if (c->reborn)
			copies_alarm(c, c->self);
		c->rebirth = c->rebirth || !c->reborn;
		c->reborn = true;
		return;
	}
	/* It began while this one ran. */
	if (c->reborn && n->incarnation.born_us > c->first_born_us)
		copies_alarm(c, c->self);
	if (c->recovering || c->recovery_waived)
		return;
	recovery_put(c, RECOVERING);
	/* What everybody holds of our streams counts from here on, not from before. */
	for (size_t i = 0; i < c->n_peers; i++) {
		c->peers[i]->digest_heard = false;
		if (c->peers[i]->lane[LANE_URGENT].up)
			replicate_offer(c, c->peers[i]);
	}
	alarm_raise(c, "recovering", NULL, "wait until the standbys are reached, or waive one that is gone with `estafette release`",
		    "this node's journal is older than what %s holds of it: it hands out nothing until that is here again", name);
}

/* ---- others ------------------------------------------------------------------------------------------------------ */

void copies_hello(struct core *c, struct peer *p, const struct incarnation *now)
{
	bool back = p->met && !incarnation_equal(&p->incarnation, now) && incarnation_equal(&p->incarnation_before, now);

	if (back && c->now.us - p->flipped_at.us < FLIP_US && ++p->flips >= 2)
		copies_alarm(c, p->site);
	if (back)
		p->flipped_at = c->now;
	if (p->met && !incarnation_equal(&p->incarnation, now))
		p->incarnation_before = p->incarnation;
	if (now->born_us > p->latest_born)
		p->latest_born = now->born_us;
}

void copies_entry(struct core *c, const struct stream_name *n, struct wall sent)
{
	struct peer *p = peer_find(c, n->originator);

	if (!p)
		return;
	if (n->incarnation.born_us > p->latest_born)
		p->latest_born = n->incarnation.born_us;
	else if (n->incarnation.born_us < p->latest_born && sent.us > p->latest_born + ALIVE_US)
		copies_alarm(c, n->originator);
}

void copies_twice(struct core *c, uint16_t site, const struct msgid *id)
{
	char name[LIMIT_NAME_BYTES + 1], text[MSGID_TEXT_BYTES];

	copies_alarm(c, site);
	msgid_format(id, text);
	alarm_raise(c, "twice", text, "ask that site what was done with it, each time",
		    "%s said twice, at different times, that message %s was handled there: two copies of it ran, or its journal was put back",
		    site_name(c, site, name), text);
}

/* ---- two histories of one stream ----------------------------------------------------------------------------------- */

static void fork_alarm(struct core *c, const struct stream *s, const char *what)
{
	char name[LIMIT_NAME_BYTES + 1], to[LIMIT_NAME_BYTES + 1];

	site_name(c, s->row.name.originator, name);
	alarm_raise(c, "fork", name, "two copies of that site ran, or its key is in other hands; keep the journals of both for examination",
		    "%s signed two different entries under one number of its stream to %s; the second ones are %s", name,
		    site_name(c, s->row.name.addressee, to), what);
}

void copies_fork(struct core *c, struct stream *s)
{
	s->forked = true;
	fork_alarm(c, s, "kept apart, and not handed out");
	c->rebirth = c->rebirth || s->own;
}

void branch_keep(struct core *c, struct stream *s, uint64_t first, const struct hash *end, struct view segment)
{
	copies_fork(c, s);
	if (!store_branch_put(c->t, s->row.local, first, end, segment, BRANCHES_MAX))
		fork_alarm(c, s, "too many to be kept");
}

struct branch_ends { uint32_t stream; uint64_t first; struct hash *out; size_t n; };

static enum err branch_end(void *arg, uint32_t stream, uint64_t first, const struct hash *end)
{
	struct branch_ends *b = arg;

	if (stream == b->stream && first < b->first && b->first - first <= LIMIT_SEGMENT_ENTRIES && b->n < BRANCHES_MAX)
		b->out[b->n++] = *end;
	return ERR_OK;
}

size_t branches_before(struct core *c, const struct stream *s, uint64_t first, struct hash out[BRANCHES_MAX])
{
	struct branch_ends b = {.stream = s->row.local, .first = first, .out = out};
	enum err e = store_branch_each(c->t, branch_end, &b);

	(void)e; /* one that is damaged is asked for by nobody; what follows it is not kept */
	return b.n;
}
