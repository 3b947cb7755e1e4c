/* help.c - a custodian helps where an originator seems not to reach another. */
#include "node/core/core_int.h"

/* It is waited so long before that. */
#define HELP_AFTER_US (6 * US_PER_S)

bool flow_stalls(const struct stream *s, const struct flow *f)
{
	if (s->own || f->guest || f->helping || !f->known || f->acked >= s->row.held)
		return false;
	/* What it wrote in this run it has, whatever we heard of it so far: others may have given it to us. */
	return f->peer->site != s->row.name.originator || !f->peer->met || !incarnation_equal(&f->peer->incarnation, &s->row.name.incarnation);
}

/* Do both say that they do not reach each other, and had time to say otherwise? Then nobody is waited for: what they told us is
 * not from before links to us came up. */
static bool apart(struct core *c, uint16_t originator, const struct peer *p)
{
	const struct peer *o = peer_find(c, originator);

	return vectors_apart(c, originator, p->site) && p->live && c->now.us - p->live_at.us >= HELP_AFTER_US &&
	       (!o || c->now.us - o->live_at.us >= HELP_AFTER_US);
}

static struct mono help_flow(struct core *c, struct stream *s, struct flow *f)
{
	if (!flow_stalls(s, f) || !peer_reachable(f->peer))
		return MONO_NEVER;
	if (f->stalled_since.us == MONO_NEVER.us)
		f->stalled_since = c->now;
	/* Our own older streams, and a site's own that it lost, are ours to give at once. */
	bool at_once = s->row.name.originator == c->self || f->peer->site == s->row.name.originator || apart(c, s->row.name.originator, f->peer);
	struct mono at = mono_add(f->stalled_since, HELP_AFTER_US);

	if (!at_once && mono_before(c->now, at))
		return at;
	f->helping = true;
	f->sent = f->acked;
	flow_update(c, f);
	return MONO_NEVER;
}

struct mono peers_help(struct core *c)
{
	struct mono next = MONO_NEVER;

	for (size_t i = 0; i < c->n_hot; i++)
		for (size_t k = 0; k < c->hot[i]->n_flows; k++)
			next = mono_min(next, help_flow(c, c->hot[i], &c->hot[i]->flows[k]));
	return next;
}
