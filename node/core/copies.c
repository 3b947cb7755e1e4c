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
#define BRANCHES_MAX 64

static void copies_alarm(struct core *c, uint16_t site)
{
	char name[LIMIT_NAME_BYTES + 1];

	site_name(c, site, name);
	alarm_raise(c, "copies", name, "find both machines and stop the one that is not meant to run; keep its journal folder",
		    "two nodes run as %s at the same time", name);
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
	alarm_clear(c, "recovering", NULL);
	for (size_t i = 0; i < c->n_queues; i++)
		c->queues[i].changed = true;
}

static bool later(const struct incarnation *a, const struct incarnation *b)
{
	return a->born_us > b->born_us;
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

/* ---- two histories of one stream ----------------------------------------------------------------------------------- */

void branch_keep(struct core *c, struct stream *s, uint64_t first, struct view segment)
{
	char name[LIMIT_NAME_BYTES + 1], to[LIMIT_NAME_BYTES + 1];
	struct hash h = crypt_hash(HASH_STATE, segment);
	bool kept = store_branch_put(c->t, s->row.local, first, &h, segment, BRANCHES_MAX);

	site_name(c, s->row.name.originator, name);
	alarm_raise(c, "fork", name, "two copies of that site ran, or its key is in other hands; keep the journals of both for examination",
		    "%s signed two different entries under one number of its stream to %s; the second ones are %s", name, site_name(c, s->row.name.addressee, to),
		    kept ? "kept apart, and not handed out" : "too many to be kept");
}
