/* world_roster.c - the template becomes a network: keys of the seed, and a copy of the roster for each node that reads it. */
#include <stdio.h>

#include "sim/world_int.h"

static void *copy_of(const void *p, size_t bytes)
{
	void *to = must(malloc(bytes ? bytes : 1));

	if (bytes)
		memcpy(to, p, bytes);
	return to;
}

struct roster *roster_clone(const struct roster *r)
{
	struct roster *c = copy_of(r, sizeof *r);

	c->sites = copy_of(r->sites, r->n_sites * sizeof *r->sites);
	for (size_t i = 0; i < r->n_sites; i++)
		c->sites[i].queues = copy_of(r->sites[i].queues, r->sites[i].n_queues * sizeof *r->sites[i].queues);
	c->areas = copy_of(r->areas, r->n_areas * sizeof *r->areas);
	c->groups = copy_of(r->groups, r->n_groups * sizeof *r->groups);
	for (size_t i = 0; i < r->n_groups; i++)
		c->groups[i].members = copy_of(r->groups[i].members, r->groups[i].n_members * sizeof *r->groups[i].members);
	c->relocators = copy_of(r->relocators, r->n_relocators * sizeof *r->relocators);
	c->blob.ptr = r->blob.len ? copy_of(r->blob.ptr, r->blob.len) : NULL;
	return c;
}

static void give_keys(struct world *w, struct site *s, struct node *n, uint8_t seed[32], size_t i)
{
	site_keys_make(seed, s->id, w->roster->network, &n->keys);
	n->number = s->number;
	s->identity = n->keys.identity_public;
	s->link = n->keys.link_public;
	s->sealing = n->keys.sealing[0].pub;
	sealing_key_sign(&n->keys.identity, s->number, &s->sealing, &s->sealing_signature);
	s->n_bearers = 1;
	s->bearers[0] = (struct bearer){.name = "simulated", .cost = 10, .bulk = true};
	snprintf(s->bearers[0].endpoint, sizeof s->bearers[0].endpoint, "tcp://127.0.0.1:%zu", 10000 + i);
}

/* Its text, signed by the authority as in the field, so that it can travel. */
static enum err sign_roster(struct world *w, struct roster *r)
{
	struct minisign_secret secret = {.key = w->authority_secret};
	struct buf text = BUF_EMPTY, blob = BUF_EMPTY;
	char minisig[LIMIT_MINISIG_BYTES];
	enum err e = roster_format(r, &text);

	if (!e)
		e = minisign_sign(&secret, buf_view(&text), "simulated", minisig, sizeof minisig);
	if (!e)
		roster_blob_add(&blob, buf_view(&text), view_str(minisig));
	if (!e) {
		r->hash = crypt_hash(HASH_STATE, buf_view(&text));
		free(r->blob.ptr);
		r->blob.ptr = must(blob.ptr); /* transferred */
		r->blob.len = blob.len;
	}
	buf_release(&text);
	return e;
}

enum err world_make_roster(struct world *w, const struct roster *from, struct errmsg *m)
{
	struct prng p;
	uint8_t seed[32];

	w->roster = roster_clone(from);
	for (size_t i = 0; w->config.body && i < w->n; i++) {
		w->node[i].number = from->sites[i].number;
		memcpy(w->node[i].keys.site, from->sites[i].id, sizeof w->node[i].keys.site);
	}
	if (w->config.body)
		return ERR_OK;
	prng_init(&p, w->config.seed, "keys", 0);
	prng_bytes(&p, seed, sizeof seed);
	sign_keypair(seed, &w->authority.key, &w->authority_secret);
	w->roster->network_hash = roster_network_hash(w->roster->network, &w->authority);
	for (size_t i = 0; i < w->n; i++) {
		prng_bytes(&p, seed, sizeof seed);
		give_keys(w, &w->roster->sites[i], &w->node[i], seed, i);
	}
	w->roster->has_keys = true;
	if (!w->roster->serial)
		w->roster->serial = 1;
	enum err e = sign_roster(w, w->roster);

	if (e)
		err_set(m, e, "roster: it cannot be written: %s", err_text(e));
	return e;
}

/* ---- newer rosters -------------------------------------------------------------------------------------------- */

static void give_roster(struct world *w, struct node *n)
{
	struct event ev = {.type = EVENT_ROSTER};

	if (n->state == SITE_DOWN || n->roster_held || n->serial >= w->roster->serial)
		return;
	n->serial = n->file_serial = w->roster->serial;
	ev.u.roster.roster = roster_clone(w->roster);
	node_take(w, n, ROW_URGENT, &ev, NULL);
	news(w, NEWS_ROSTER, n->index, WORLD_NO_SITE, n->serial, "");
}

static bool next_roster(struct world *w, void (*edit)(void *arg, struct roster *r), void *arg)
{
	struct roster *r = roster_clone(w->roster);

	r->serial++;
	if (edit)
		edit(arg, r);
	if (sign_roster(w, r)) {
		roster_free(r);
		return false;
	}
	if (!w->installed)
		w->installed = w->roster; /* transferred */
	else
		roster_free(w->roster);
	w->roster = r;
	w->counts.rosters++;
	if (w->config.body) {
		w->config.body->roster(w->config.body->arg, r);
		return false;
	}
	return true;
}

void world_new_roster(struct world *w, void (*edit)(void *arg, struct roster *r), void *arg)
{
	if (!next_roster(w, edit, arg))
		return;
	roster_free(w->installed);
	w->installed = NULL;
	for (size_t i = 0; i < w->n; i++)
		give_roster(w, &w->node[i]);
}

void world_new_roster_at(struct world *w, size_t site, void (*edit)(void *arg, struct roster *r), void *arg)
{
	if (!next_roster(w, edit, arg))
		return;
	give_roster(w, &w->node[site]);
	w->node[site].file_serial = w->roster->serial;
}

/* What a node reads at its start: its file, or what its journal has from a peer. */
struct roster *roster_at_start(struct world *w, struct node *n)
{
	const struct roster *file = w->installed && n->file_serial < w->roster->serial ? w->installed : w->roster;
	struct roster *kept = NULL;

	if (core_kept_roster(n->store, &w->authority, &kept) == ERR_OK && kept && kept->serial > file->serial)
		return kept;
	roster_free(kept);
	return roster_clone(file);
}

uint32_t world_roster_serial(const struct world *w, size_t site)
{
	return w->node[site].core ? core_roster(w->node[site].core)->serial : 0;
}

void roster_now(struct world *w, struct node *n)
{
	uint32_t serial = core_roster(n->core)->serial;

	if (n->serial == serial)
		return;
	n->serial = serial;
	news(w, NEWS_ROSTER, n->index, WORLD_NO_SITE, serial, "from a peer");
}

void world_roster_hold(struct world *w, size_t site, bool held)
{
	w->node[site].roster_held = held;
	if (!held)
		give_roster(w, &w->node[site]);
}
