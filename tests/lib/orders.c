#include "tests/lib/orders.h"

#include <stdio.h>

static struct queue_def queues[] = {{.name = "dispatch"}, {.name = "messages"}};
static struct area areas[] = {{EUPEN, "eupen", LUIK}, {DINANT, "dinant", NAMEN}};
static uint16_t relocators[] = {BRUSSEL};
static struct site sites[6 + MANY_SITES];

static void fill_site(struct site *s, uint16_t number, const char *id)
{
	struct sign_secret key = orders_key(number);

	s->number = number;
	snprintf(s->id, sizeof s->id, "%s", id);
	sign_public_of(&key, &s->identity);
	s->queues = queues;
	s->n_queues = sizeof queues / sizeof queues[0];
}

const struct roster *orders_roster(void)
{
	static const char *const ids[] = {"spoc-brussel", "cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "cic-hainaut"};
	static struct roster r;
	char id[LIMIT_NAME_BYTES + 1];

	if (r.n_sites)
		return &r;
	r = (struct roster){.network = "test", .network_hash = {{9}}, .serial = 5, .n_areas = 2, .n_relocators = 1, .areas = areas,
	                    .relocators = relocators, .sites = sites, .quorum = 3, .has_keys = true};
	for (uint16_t i = 0; i < 6; i++)
		fill_site(&sites[r.n_sites++], (uint16_t)(i + 1), ids[i]);
	for (uint16_t i = 0; i < MANY_SITES; i++) {
		snprintf(id, sizeof id, "zone-%u", i);
		fill_site(&sites[r.n_sites++], (uint16_t)(MANY + i), id);
	}
	return &r;
}

struct sign_secret orders_key(uint16_t site)
{
	uint8_t seed[32] = {0x6f, (uint8_t)site, (uint8_t)(site >> 8)};
	struct sign_public pub;
	struct sign_secret sec;

	sign_keypair(seed, &pub, &sec);
	return sec;
}

struct order orders_relocation(uint16_t site, uint16_t issuer, uint32_t epoch, const struct hash *before)
{
	struct order o = {.kind = ORDER_RELOCATE, .site = site, .issuer = issuer, .epoch = epoch, .roster = 5,
	                  .issued = {1626300000000000}, .reason = "flood"};

	if (before)
		o.before = *before;
	return o;
}

static struct assignment *assign(struct order *o, uint16_t to, enum assign_what what)
{
	struct assignment *a = &o->assign[o->n_assign++];

	memset(a, 0, sizeof *a);
	a->to = to;
	a->what = (uint8_t)what;
	return a;
}

void orders_assign_all(struct order *o, uint16_t to)
{
	assign(o, to, ASSIGN_ALL);
}

void orders_assign_queue(struct order *o, uint16_t to, const char *queue)
{
	struct assignment *a = assign(o, to, ASSIGN_QUEUE);

	snprintf(a->queue, sizeof a->queue, "%s", queue);
}

void orders_assign_area(struct order *o, uint16_t to, uint16_t area)
{
	assign(o, to, ASSIGN_AREA)->area = area;
}

void orders_assign_share(struct order *o, uint16_t to, uint16_t from, uint16_t until)
{
	struct assignment *a = assign(o, to, ASSIGN_SHARE);

	a->from = from;
	a->until = until;
}
