/* What an order assigns: whether it can be obeyed, and who has which message under it. */
#include <stdarg.h>
#include <stdio.h>

#include "proto/cursor.h"
#include "proto/order.h"

/* ---- can it be obeyed? ---------------------------------------------------------------------------------- */

struct check {
	const struct roster *r;
	const struct order *o;
	const struct site *site;
	struct errmsg *m;
};

static enum err check_thing(const struct check *c, const struct assignment *a)
{
	char name[LIMIT_NAME_BYTES + 1];
	const struct area *area;

	if (a->what == ASSIGN_QUEUE && !site_queue(c->site, view_str(a->queue)))
		return err_set(c->m, ERR_UNKNOWN_QUEUE, "%s has no queue \"%s\" (the roster lists its queues)", c->site->id, a->queue);
	if (a->what != ASSIGN_AREA)
		return ERR_OK;
	area = roster_area(c->r, a->area);
	if (!area)
		return err_set(c->m, ERR_UNKNOWN_SITE, "the roster has no service area %u", a->area);
	if (area->site != c->o->site)
		return err_set(c->m, ERR_UNKNOWN_SITE, "service area %s belongs to %s, not to %s", area->id,
		               roster_site_name(c->r, area->site, name), c->site->id);
	return ERR_OK;
}

static enum err check_successor(const struct check *c, const struct assignment *a)
{
	bool home = a->to == c->o->site;

	if (!roster_has(c->r, a->to) && !home)
		return err_set(c->m, ERR_UNKNOWN_SITE, "the roster has no site %u to serve %s, or it is removed", a->to, c->site->id);
	if (home && a->what != ASSIGN_SHARE)
		return err_set(c->m, ERR_REFUSED, "%s cannot be its own successor (what an order does not name stays home)", c->site->id);
	if (home && c->o->kind == ORDER_REVOKE)
		return err_set(c->m, ERR_REFUSED, "%s is revoked by this order and keeps no share", c->site->id);
	return ERR_OK;
}

/* Both beside each other: "" for yes, else what is wrong. */
static const char *collision(const struct assignment *a, const struct assignment *b)
{
	if (a->what == ASSIGN_QUEUE && b->what == ASSIGN_QUEUE && strcmp(a->queue, b->queue) == 0)
		return "a queue is assigned twice";
	if (a->what == ASSIGN_AREA && b->what == ASSIGN_AREA && a->area == b->area)
		return "a service area is assigned twice";
	if (a->what == ASSIGN_ALL && b->what == ASSIGN_ALL)
		return "everything is assigned twice";
	if ((a->what == ASSIGN_ALL && b->what == ASSIGN_SHARE) || (a->what == ASSIGN_SHARE && b->what == ASSIGN_ALL))
		return "everything is assigned beside shares";
	if (a->what == ASSIGN_SHARE && b->what == ASSIGN_SHARE && a->from < b->until && b->from < a->until)
		return "two shares overlap";
	return "";
}

static enum err check_collisions(const struct check *c)
{
	for (size_t i = 0; i < c->o->n_assign; i++)
		for (size_t j = 0; j < i; j++) {
			const char *what = collision(&c->o->assign[i], &c->o->assign[j]);

			if (*what)
				return err_set(c->m, ERR_REFUSED, "%s (each belongs to one successor)", what);
		}
	return ERR_OK;
}

static enum err check_shares(const struct check *c)
{
	unsigned shares = 0, of = 0;

	for (size_t i = 0; i < c->o->n_assign; i++)
		if (c->o->assign[i].what == ASSIGN_SHARE) {
			of++;
			shares += c->o->assign[i].until - c->o->assign[i].from;
		}
	if (of && shares != SHARES)
		return err_set(c->m, ERR_REFUSED, "the shares make %u of %u (name the site itself for a share that stays)", shares, SHARES);
	return ERR_OK;
}

static enum err check_number(const struct check *c)
{
	unsigned n = 0;

	for (size_t i = 0; i < c->o->n_assign; i++) {
		bool is_new = c->o->assign[i].to != c->o->site;

		for (size_t j = 0; j < i; j++)
			is_new = is_new && c->o->assign[j].to != c->o->assign[i].to;
		n += is_new;
	}
	if (n > LIMIT_SUCCESSORS)
		return err_set(c->m, ERR_REFUSED, "%u successors, at most %d (each holds all that is sent to the site)", n, LIMIT_SUCCESSORS);
	return ERR_OK;
}

bool order_leaves_home(const struct order *o)
{
	for (size_t i = 0; i < o->n_assign; i++)
		if (o->assign[i].what == ASSIGN_SHARE && o->assign[i].to == o->site)
			return true;
	for (size_t i = 0; i < o->n_assign; i++)
		if (o->assign[i].what == ASSIGN_ALL || o->assign[i].what == ASSIGN_SHARE)
			return false;
	return true;
}

enum err order_check(const struct roster *r, const struct order *o, struct errmsg *m)
{
	struct check c = {r, o, roster_site(r, o->site), m};
	enum err rc = ERR_OK;

	if (!c.site && o->site != ORDER_NETWORK)
		return err_set(m, ERR_UNKNOWN_SITE, "the roster has no site %u to give orders about", o->site);
	if (!roster_has(r, o->issuer))
		return err_set(m, ERR_UNKNOWN_SITE, "the roster has no site %u, which issued the order, or it is removed", o->issuer);
	for (size_t i = 0; i < o->n_assign && !rc; i++) {
		rc = check_successor(&c, &o->assign[i]);
		if (!rc)
			rc = check_thing(&c, &o->assign[i]);
	}
	if (!rc)
		rc = check_collisions(&c);
	if (!rc)
		rc = check_shares(&c);
	if (!rc)
		rc = check_number(&c);
	if (!rc && o->kind == ORDER_REVOKE && order_leaves_home(o))
		return err_set(m, ERR_REFUSED, "%s is revoked by this order and serves nothing (say who serves the rest of its queues)", c.site->id);
	return rc;
}

static bool moves(const struct order *o)
{
	for (size_t i = 0; i < o->n_assign; i++)
		if (o->assign[i].to != o->site)
			return true;
	return false;
}

enum err order_check_at(const struct roster *r, const struct order *o, const struct order *(*find)(const void *arg, const struct hash *id),
                        const void *arg, struct hash *at, struct errmsg *m)
{
	static const struct hash none;
	char name[LIMIT_NAME_BYTES + 1], hex[9];
	bool missing = false;

	for (size_t i = 0; i < o->n_assign; i++) {
		const struct assignment *a = &o->assign[i];
		const struct order *of = a->to == o->site || hash_equal(&a->at, &none) ? NULL : find(arg, &a->at);

		if (a->to == o->site || hash_equal(&a->at, &none))
			continue;
		hex_format(a->at.b, 4, hex);
		if (of && (of->site != a->to || !of->exercise[0] != !o->exercise[0]))
			return err_set(m, ERR_REFUSED, "order %s, named for %s, is about something else", hex, roster_site_name(r, a->to, name));
		if (of && moves(of))
			return err_set(m, ERR_REFUSED, "%s is itself relocated by order %s", roster_site_name(r, a->to, name), hex);
		if (!of && !missing)
			*at = a->at;
		missing = missing || !of;
	}
	if (!missing)
		return ERR_OK;
	hex_format(at->b, 4, hex);
	return err_set(m, ERR_NOT_FOUND, "it waits for order %s of a successor, which is not known here", hex);
}

/* ---- who has a message ---------------------------------------------------------------------------------- */

uint16_t order_share(uint16_t site, const struct msgid *id)
{
	uint8_t number[2] = {(uint8_t)(site >> 8), (uint8_t)site};
	struct hash h = crypt_hash2(HASH_SHARE, view_of(number, sizeof number), view_of(id->b, MSGID_BYTES));
	struct rd r = rd_init(view_of(h.b, HASH_BYTES));

	return (uint16_t)(rd_u64(&r) % SHARES);
}

/* The first assignment of a kind that names this queue or area. */
static const struct assignment *find(const struct order *o, enum assign_what what, struct view queue, uint16_t area)
{
	for (size_t i = 0; i < o->n_assign; i++) {
		const struct assignment *a = &o->assign[i];

		if (a->what != what || (what == ASSIGN_AREA && a->area != area))
			continue;
		if (what != ASSIGN_QUEUE || view_equal(view_str(a->queue), queue))
			return a;
	}
	return NULL;
}

static const struct assignment *find_share(const struct order *o, uint16_t share)
{
	for (size_t i = 0; i < o->n_assign; i++)
		if (o->assign[i].what == ASSIGN_SHARE && o->assign[i].from <= share && share < o->assign[i].until)
			return &o->assign[i];
	return NULL;
}

/* What a queue is assigned by when area and share do not matter: by its name, or with everything. */
static const struct assignment *find_queue(const struct order *o, struct view queue)
{
	const struct assignment *a = find(o, ASSIGN_QUEUE, queue, 0);

	return a ? a : find(o, ASSIGN_ALL, queue, 0);
}

uint16_t order_owner(const struct order *o, uint16_t site, struct view queue, uint16_t area, const struct msgid *id)
{
	const struct assignment *a = NULL;

	if (!o)
		return site;
	if (area)
		a = find(o, ASSIGN_AREA, queue, area);
	if (!a)
		a = find_queue(o, queue);
	if (!a && find(o, ASSIGN_SHARE, queue, 0))
		a = find_share(o, order_share(site, id));
	return a ? a->to : site;
}

bool order_names(const struct order *o, uint16_t to)
{
	if (o && to == o->site)
		return order_leaves_home(o);
	for (size_t i = 0; o && i < o->n_assign; i++)
		if (o->assign[i].to == to)
			return true;
	return false;
}

/* How many assignments of a kind there are, and how many of them to `to`. */
static void count(const struct order *o, enum assign_what what, uint16_t to, size_t *all, size_t *its)
{
	*all = *its = 0;
	for (size_t i = 0; i < o->n_assign; i++) {
		*all += o->assign[i].what == what;
		*its += o->assign[i].what == what && o->assign[i].to == to;
	}
}

bool order_may_own(const struct order *o, uint16_t site, struct view queue, uint16_t to)
{
	const struct assignment *a;
	size_t all, its;

	if (!o)
		return to == site;
	count(o, ASSIGN_AREA, to, &all, &its);
	if (its)
		return true;
	a = find_queue(o, queue);
	if (a)
		return a->to == to;
	count(o, ASSIGN_SHARE, to, &all, &its);
	return all ? its > 0 : to == site;
}

bool order_owns_all(const struct order *o, uint16_t site, struct view queue, uint16_t to)
{
	const struct assignment *a;
	size_t all, its;

	if (!o)
		return to == site;
	count(o, ASSIGN_AREA, to, &all, &its);
	if (its != all)
		return false;
	a = find_queue(o, queue);
	if (a)
		return a->to == to;
	count(o, ASSIGN_SHARE, to, &all, &its);
	return all ? its == all : to == site;
}

/* ---- for people ----------------------------------------------------------------------------------------- */

static void put(struct buf *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(struct buf *out, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	buf_add(out, view_str(line));
}

/* "30 %", or "33.34 %" where whole percents do not do. */
static void put_share(struct buf *out, unsigned share)
{
	if (share % 100)
		put(out, "%u.%02u %%", share / 100, share % 100);
	else
		put(out, "%u %%", share / 100);
}

static void put_thing(const struct roster *r, const struct assignment *a, struct buf *out)
{
	const struct area *area = roster_area(r, a->area);

	if (a->what == ASSIGN_QUEUE)
		put(out, "%s", a->queue);
	else if (a->what == ASSIGN_AREA && area)
		put(out, "area %s", area->id);
	else if (a->what == ASSIGN_AREA)
		put(out, "area %u", a->area);
	else if (a->what == ASSIGN_SHARE)
		put_share(out, (unsigned)(a->until - a->from));
	else
		put(out, "everything");
}

static void put_minimize(const struct order *o, struct buf *out)
{
	char until[WALL_TEXT_BYTES];

	wall_format(o->until, 0, until);
	put(out, "%s%s held back until %s\n", precedence_name(o->precedence), o->precedence < PREC_ROUTINE ? " and below" : "", until);
}

void order_text(const struct roster *r, const struct order *o, struct buf *out)
{
	char name[LIMIT_NAME_BYTES + 1];

	if (o->kind == ORDER_MINIMIZE) {
		put_minimize(o, out);
		return;
	}
	if (o->kind == ORDER_LIFT) {
		put(out, "nothing held back\n");
		return;
	}

	for (size_t i = 0; i < o->n_assign; i++) {
		put_thing(r, &o->assign[i], out);
		put(out, " -> %s\n", roster_site_name(r, o->assign[i].to, name));
	}
	if (o->n_assign == 0)
		put(out, "everything -> %s\n", roster_site_name(r, o->site, name));
	for (size_t i = 0; i < o->n_without; i++)
		put(out, "without %s\n", roster_site_name(r, o->without[i], name));
}
