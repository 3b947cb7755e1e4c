/* give_read.c - from the words of a person to an order: sites, queues, areas and shares by name, and what it follows on. */
#include <stdio.h>

#include "node/core/give.h"

#define SHOWN_BYTES 60 /* of what was typed, in a message */

static int shown(struct view v) { return v.len < SHOWN_BYTES ? (int)v.len : SHOWN_BYTES; }

static bool put_text(struct view v, char *out, size_t size) { return view_is_text(v) && view_to_str(v, out, size); }

/* ---- names ----------------------------------------------------------------------------------------------------- */

/* How many letters are to be changed, added or left out to make b of a. */
static unsigned distance(struct view a, const char *b)
{
	unsigned row[LIMIT_NAME_BYTES + 1];
	size_t n = strlen(b);

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; i < a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 1; j <= n; j++) {
			unsigned best = diagonal + (a.ptr[i] != (uint8_t)b[j - 1]);

			diagonal = row[j];
			best = row[j] + 1 < best ? row[j] + 1 : best;
			row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
		}
	}
	return row[n];
}

static const char *nearest_site(const struct roster *r, struct view name)
{
	unsigned least = (unsigned)name.len / 3 + 1;
	const char *best = NULL;

	for (size_t i = 0; name.len <= LIMIT_NAME_BYTES && i < r->n_sites; i++) {
		unsigned far = distance(name, r->sites[i].id);

		if (far < least) {
			least = far;
			best = r->sites[i].id;
		}
	}
	return best;
}

static enum err site_named(const struct core *c, struct view name, uint16_t *out, struct errmsg *m)
{
	const struct site *s = roster_site_by_id(c->roster, name);
	const struct area *area = s ? NULL : roster_area_by_id(c->roster, name);
	char site[LIMIT_NAME_BYTES + 1];

	if (s) {
		*out = s->number;
		return ERR_OK;
	}
	if (area)
		return err_set(m, ERR_UNKNOWN_SITE, "%s: a service area of %s and no site (name the site; one area is --to SITE:area=%s)", area->id,
			       site_name(c, area->site, site), area->id);
	if (roster_group_by_id(c->roster, name))
		return err_set(m, ERR_UNKNOWN_SITE, "%.*s: a group and no site (orders are about one site)", shown(name), (const char *)name.ptr);
	const char *near = nearest_site(c->roster, name);

	if (near)
		return err_set(m, ERR_UNKNOWN_SITE, "%.*s: no such site in roster %u (did you mean %s?)", shown(name), (const char *)name.ptr, c->roster->serial, near);
	return err_set(m, ERR_UNKNOWN_SITE, "%.*s: no such site in roster %u (its sites are those of `estafette links`, and this one)", shown(name),
		       (const char *)name.ptr, c->roster->serial);
}

static enum err fail_queue(const struct site *s, struct view name, struct errmsg *m)
{
	char known[200] = "";
	size_t used = 0;

	for (size_t i = 0; i < s->n_queues && used < sizeof known; i++)
		used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", s->queues[i].name);
	return err_set(m, ERR_UNKNOWN_QUEUE, "%s/%.*s: %s has no such queue (it has %s)", s->id, shown(name), (const char *)name.ptr, s->id, known[0] ? known : "none");
}

static enum err area_named(const struct core *c, uint16_t site, struct view name, uint16_t *out, struct errmsg *m)
{
	const struct area *a = roster_area_by_id(c->roster, name);
	char known[200] = "", text[LIMIT_NAME_BYTES + 1], of[LIMIT_NAME_BYTES + 1];
	size_t used = 0;

	if (a && a->site == site) {
		*out = a->number;
		return ERR_OK;
	}
	if (a)
		return err_set(m, ERR_REFUSED, "area %s: it is served by %s, not by %s (relocate it there)", a->id, site_name(c, a->site, text), site_name(c, site, of));
	for (size_t i = 0; i < c->roster->n_areas && used < sizeof known; i++)
		if (c->roster->areas[i].site == site)
			used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", c->roster->areas[i].id);
	return err_set(m, ERR_UNKNOWN_SITE, "area %.*s: no such service area in roster %u (%s serves %s)", shown(name), (const char *)name.ptr, c->roster->serial,
		       site_name(c, site, of), known[0] ? known : "none beside its own");
}

/* ---- assignments --------------------------------------------------------------------------------------------------- */

/* "30%", "12.5%" in hundredths of a per cent, which is what SHARES counts; 0 when it is none or nothing. */
static uint32_t percent(struct view v)
{
	uint32_t whole = 0, part = 0, digits = 0;
	size_t i = 0;
	bool point = false;

	static_assert(SHARES == 10000, "a share is a hundredth of a per cent");
	for (; i < v.len && v.ptr[i] != '%'; i++) {
		if (v.ptr[i] == '.' && i && !point) {
			point = true;
			continue;
		}
		if (v.ptr[i] < '0' || v.ptr[i] > '9' || whole > 100 || digits == 2)
			return 0;
		if (point) {
			part = part * 10 + (v.ptr[i] - '0');
			digits++;
		} else {
			whole = whole * 10 + (v.ptr[i] - '0');
		}
	}
	if (i + 1 != v.len || (point && !digits))
		return 0;
	uint32_t x = whole * 100 + (digits == 1 ? part * 10 : part);

	return x <= SHARES ? x : 0;
}

/* Said here, where there is a name for it; order_check looks at the whole. */
static enum err check_once(const struct order *o, uint8_t what, const char *queue, uint16_t area, struct view name, struct errmsg *m)
{
	for (size_t i = 0; i < o->n_assign; i++)
		if (o->assign[i].what == what && (what == ASSIGN_QUEUE ? strcmp(o->assign[i].queue, queue) == 0 : o->assign[i].area == area))
			return err_set(m, ERR_REFUSED, "%s %.*s: it is given twice (each goes to one site)", what == ASSIGN_QUEUE ? "queue" : "area", shown(name),
				       (const char *)name.ptr);
	return ERR_OK;
}

static struct assignment *assignment_add(struct order *o, uint16_t to, uint8_t what, struct errmsg *m)
{
	if (o->n_assign == LIMIT_ASSIGNMENTS) {
		(void)err_set(m, ERR_TOO_LARGE, "--to: over %d assignments (give whole sites, areas or shares)", LIMIT_ASSIGNMENTS);
		return NULL;
	}
	struct assignment *a = &o->assign[o->n_assign++];

	*a = (struct assignment){.to = to, .what = what};
	return a;
}

static enum err add_share(struct order *o, uint16_t to, struct view text, uint32_t *shares, struct errmsg *m)
{
	uint32_t x = percent(text);
	struct assignment *a;

	if (!x)
		return err_set(m, ERR_RANGE, "share=%.*s: not a share (write more than 0 and at most 100 per cent, as in share=30%%)", shown(text), (const char *)text.ptr);
	if (*shares + x > SHARES)
		return err_set(m, ERR_REFUSED, "share=%.*s: the shares make more than 100 %% together (make one smaller)", shown(text), (const char *)text.ptr);
	a = assignment_add(o, to, ASSIGN_SHARE, m);
	if (!a)
		return ERR_TOO_LARGE;
	a->from = (uint16_t)*shares;
	*shares += x;
	a->until = (uint16_t)*shares;
	return ERR_OK;
}

static enum err add_queues(struct core *c, struct order *o, uint16_t to, struct view list, struct errmsg *m)
{
	const struct site *s = roster_site(c->roster, o->site);

	for (;;) {
		const uint8_t *comma = list.len ? memchr(list.ptr, ',', list.len) : NULL;
		struct view name = view_of(list.ptr, comma ? (size_t)(comma - list.ptr) : list.len);
		const struct queue_def *q = s ? site_queue(s, name) : NULL;

		if (!q)
			return fail_queue(s, name, m);
		enum err e = check_once(o, ASSIGN_QUEUE, q->name, 0, name, m);

		if (e)
			return e;
		struct assignment *a = assignment_add(o, to, ASSIGN_QUEUE, m);

		if (!a)
			return ERR_TOO_LARGE;
		snprintf(a->queue, sizeof a->queue, "%s", q->name);
		if (!comma)
			return ERR_OK;
		list = view_of(comma + 1, list.len - name.len - 1);
	}
}

static bool cut(struct view text, const char *prefix, struct view *rest)
{
	size_t n = strlen(prefix);

	if (text.len < n || memcmp(text.ptr, prefix, n) != 0)
		return false;
	*rest = view_of(text.ptr + n, text.len - n);
	return true;
}

/* SITE, SITE:QUEUE,..., SITE:area=A, SITE:share=N% */
static enum err add_assignment(struct core *c, struct order *o, struct view text, uint32_t *shares, struct errmsg *m)
{
	const uint8_t *colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;
	struct view name = view_of(text.ptr, colon ? (size_t)(colon - text.ptr) : text.len), what = {NULL, 0}, rest;
	struct assignment *a;
	uint16_t to = 0;
	enum err e = site_named(c, name, &to, m);

	if (e)
		return e;
	if (!colon)
		return assignment_add(o, to, ASSIGN_ALL, m) ? ERR_OK : ERR_TOO_LARGE;
	what = view_of(colon + 1, text.len - name.len - 1);
	if (cut(what, "share=", &rest))
		return add_share(o, to, rest, shares, m);
	if (!cut(what, "area=", &rest))
		return add_queues(c, o, to, what, m);
	uint16_t area = 0;

	e = area_named(c, o->site, rest, &area, m);
	if (!e)
		e = check_once(o, ASSIGN_AREA, "", area, rest, m);
	if (e)
		return e;
	a = assignment_add(o, to, ASSIGN_AREA, m);
	if (!a)
		return ERR_TOO_LARGE;
	a->area = area;
	return ERR_OK;
}

static enum err check_shares(const struct core *c, const struct order *o, uint32_t shares, struct errmsg *m)
{
	char site[LIMIT_NAME_BYTES + 1];
	const char *id = site_name(c, o->site, site);
	uint32_t x = SHARES - shares;

	if (!shares || shares == SHARES)
		return ERR_OK;
	return err_set(m, ERR_REFUSED, "shares: they make %u.%02u %% together, %u.%02u %% are missing (say whose they are; --to %s:share=%u.%02u%% leaves them at %s)", shares / 100,
		       shares % 100, x / 100, x % 100, id, x / 100, x % 100, id);
}

/* ---- the request -------------------------------------------------------------------------------------------------------- */

static enum err read_kind(struct view what, struct order *o, struct errmsg *m)
{
	for (uint8_t k = ORDER_RELOCATE; k <= ORDER_LIFT; k++)
		if (view_equal(what, view_str(order_kind_name(k)))) {
			o->kind = k;
			return ERR_OK;
		}
	return err_set(m, ERR_UNSUPPORTED, "order: this node does not know \"%.*s\" (relocate, handback, revoke, minimize or lift)", shown(what), (const char *)what.ptr);
}

/* What does not depend on which site it is about. */
static enum err read_plain(struct core *c, struct view fields, struct asked *a, struct errmsg *m)
{
	struct request_item f;
	enum err e = ERR_OK, end;

	while (!e && !(end = request_next(&fields, &f))) {
		if (!item_ok(&f))
			return err_set(m, ERR_FORMAT, "order: field %u is too long or no plain text (see \"Client requests\" in proto/README.md)", f.field);
		switch (f.field) {
		case F_WHAT: e = read_kind(f.value, &a->order, m); break;
		case F_TO: e = site_named(c, f.value, &a->order.site, m); break;
		case F_DRY: a->dry = item_u8(&f) != 0; break;
		case F_PRECEDENCE: a->order.precedence = item_u8(&f); break;
		case F_EXPIRES: a->order.until.us = (int64_t)item_u64(&f); break;
		case F_REASON:
			if (!put_text(f.value, a->order.reason, sizeof a->order.reason))
				e = err_set(m, ERR_TOO_LARGE, "reason: over %d bytes, or no plain text", LIMIT_REASON_BYTES);
			break;
		case F_EXERCISE:
			if (!put_text(f.value, a->order.exercise, sizeof a->order.exercise))
				e = err_set(m, ERR_TOO_LARGE, "exercise: over %d bytes, or no plain text", LIMIT_NAME_BYTES);
			break;
		case F_ASSIGN:
		case F_WITHOUT: break;
		default: e = err_set(m, ERR_FORMAT, "order: field %u does not belong here", f.field);
		}
	}
	if (!e && end != ERR_NOT_FOUND)
		e = err_set(m, end, "order: %s (see \"Client requests\" in proto/README.md)", err_text(end));
	if (!e && (!a->order.kind || (a->order.site == ORDER_NETWORK) != order_of_network(a->order.kind)))
		e = err_set(m, ERR_FORMAT, "order: it says not what it is, or not of which site");
	if (!e && a->order.kind != ORDER_MINIMIZE && (a->order.precedence || a->order.until.us))
		e = err_set(m, ERR_FORMAT, "order: precedence and time belong to minimize");
	if (!e && order_of_network(a->order.kind) && a->order.exercise[0])
		e = err_set(m, ERR_REFUSED, "%s: it is about all traffic, not about an exercise", order_kind_name(a->order.kind));
	return e;
}

static enum err add_without(struct core *c, struct order *o, struct view name, struct errmsg *m)
{
	const struct chain *ch = chain_find(c, o->site, o->exercise[0] != '\0');
	uint16_t site = 0;
	enum err e = site_named(c, name, &site, m);

	if (e)
		return e;
	if (o->kind != ORDER_HANDBACK)
		return err_set(m, ERR_REFUSED, "without: it belongs to a handback");
	if (!ch || !ch->now || !order_names(&ch->now->order, site))
		return err_set(m, ERR_REFUSED, "without %.*s: it serves nothing of that site (estafette orders shows who does)", shown(name), (const char *)name.ptr);
	if (o->n_without == LIMIT_WITHOUT)
		return err_set(m, ERR_TOO_LARGE, "without: over %d sites", LIMIT_WITHOUT);
	o->without[o->n_without++] = site;
	return ERR_OK;
}

static enum err read_lists(struct core *c, struct view fields, struct order *o, struct errmsg *m)
{
	struct request_item f;
	uint32_t shares = 0;
	enum err e = ERR_OK;

	while (!e && request_next(&fields, &f) == ERR_OK) {
		if (f.field == F_ASSIGN)
			e = add_assignment(c, o, f.value, &shares, m);
		if (f.field == F_WITHOUT)
			e = add_without(c, o, f.value, m);
	}
	return e ? e : check_shares(c, o, shares, m);
}

/* A revocation that names nobody: who serves the site goes on, else the first standby that can takes all of it. */
static enum err revoke_successors(struct core *c, struct order *o, const struct chain *ch, struct errmsg *m)
{
	const struct site *s = roster_site(c->roster, o->site);

	if (ch && ch->now && order_moves(&ch->now->order)) {
		o->n_assign = ch->now->order.n_assign;
		memcpy(o->assign, ch->now->order.assign, sizeof o->assign);
		return ERR_OK;
	}
	for (size_t i = 0; s && i < s->n_standbys; i++) {
		const struct chain *of = chain_find(c, s->standbys[i], o->exercise[0] != '\0');

		if (site_revoked(c, s->standbys[i]) || (of && of->now && order_moves(&of->now->order)))
			continue;
		o->assign[o->n_assign++] = (struct assignment){.to = s->standbys[i], .what = ASSIGN_ALL};
		return ERR_OK;
	}
	return err_set(m, ERR_REFUSED, "revoke: no standby of the site can serve it (say who does with --to)");
}

/* Where it stands in its chain, and who gives it. */
static void follow(struct core *c, struct order *o, const struct chain *ch)
{
	o->issuer = c->self;
	o->roster = c->roster->serial;
	o->issued = c->wall;
	o->epoch = 1;
	if (ch && ch->now) {
		o->epoch = ch->now->order.epoch + 1;
		o->before = ch->now->id;
	}
	for (size_t i = 0; i < o->n_assign; i++) {
		const struct chain *of = o->assign[i].to == o->site ? NULL : chain_find(c, o->assign[i].to, o->exercise[0] != '\0');

		o->assign[i].at = of && of->now ? of->now->id : (struct hash){{0}};
	}
}

/* Who may not name a precedence or a time gets neither wrong. */
static enum err check_minimize(const struct core *c, const struct order *o, struct errmsg *m)
{
	if (o->precedence != PREC_ROUTINE && o->precedence != PREC_PRIORITY)
		return err_set(m, ERR_RANGE, "minimize: it holds back routine, or priority and below (--precedence routine or priority)");
	if (o->until.us <= c->wall.us)
		return err_set(m, ERR_RANGE, "minimize: its end lies in the past (--until TIME)");
	if (o->until.us - c->wall.us > LIMIT_MINIMIZE_US)
		return err_set(m, ERR_RANGE, "minimize: over 24 hours (it is renewed by another one)");
	return ERR_OK;
}

enum err give_read(struct core *c, struct view fields, struct asked *out, struct errmsg *m)
{
	struct order *o = &out->order;
	enum err e;

	memset(out, 0, sizeof *out);
	e = read_plain(c, fields, out, m);
	if (!e)
		e = read_lists(c, fields, o, m);
	if (e)
		return e;
	const struct chain *ch = chain_find(c, o->site, o->exercise[0] != '\0');

	if (o->kind == ORDER_HANDBACK && o->n_assign)
		return err_set(m, ERR_REFUSED, "handback: it gives everything back and assigns nothing (use relocate to leave a part away)");
	if (o->kind == ORDER_RELOCATE && !o->n_assign)
		return err_set(m, ERR_REFUSED, "relocate: it says not to whom (--to SITE)");
	if (o->kind == ORDER_REVOKE && !o->n_assign)
		e = revoke_successors(c, o, ch, m);
	if (!e && o->kind == ORDER_MINIMIZE)
		e = check_minimize(c, o, m);
	if (!e)
		follow(c, o, ch);
	return e;
}
