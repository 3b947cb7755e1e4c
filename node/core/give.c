/* give.c - orders given here: what is refused, what is signed, what is answered; and endorsements. */
#include <stdio.h>

#include "node/core/give.h"

#define SHOWN_DIGITS 16
#define SHORT_DIGITS 8 /* of an id in a sentence or a command */
#define ENDORSEMENT_US (7 * US_PER_DAY)
#define POINT_BYTES 63 /* a frontier without missing entries */
#define POINTS_MAX ((LIMIT_STATE_BYTES - 8 * 1024) / POINT_BYTES)

/* ---- what an order says ------------------------------------------------------------------------------------------ */

bool order_moves(const struct order *o)
{
	for (size_t i = 0; i < o->n_assign; i++)
		if (o->assign[i].to != o->site)
			return true;
	return false;
}

unsigned order_needs(const struct core *c, const struct order *o)
{
	const struct roster *r = c->roster;

	if (o->kind != ORDER_REVOKE && o->issuer == o->site)
		return 0;
	for (size_t i = 0; o->kind != ORDER_REVOKE && i < r->n_relocators; i++)
		if (r->relocators[i] == o->issuer)
			return 0;
	return r->quorum;
}

size_t successors(const struct order *o, uint16_t out[LIMIT_ASSIGNMENTS])
{
	size_t n = 0;

	for (size_t i = 0; i < o->n_assign; i++) {
		size_t k = 0;

		while (k < n && out[k] != o->assign[i].to)
			k++;
		if (k == n && o->assign[i].to != o->site)
			out[n++] = o->assign[i].to;
	}
	return n;
}

void successors_text(const struct core *c, const struct order *o, char *out, size_t size)
{
	uint16_t sites[LIMIT_ASSIGNMENTS];
	size_t n = successors(o, sites), used = 0;
	char name[LIMIT_NAME_BYTES + 1];

	out[0] = '\0';
	for (size_t i = 0; i < n && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", site_name(c, sites[i], name));
}

static bool same_assignment(const struct assignment *a, const struct assignment *b)
{
	return a->to == b->to && a->what == b->what && strcmp(a->queue, b->queue) == 0 && a->area == b->area && a->from == b->from && a->until == b->until;
}

static bool same_assignments(const struct order *a, const struct order *b)
{
	for (size_t i = 0; i < a->n_assign; i++) {
		size_t k = 0;

		while (k < b->n_assign && !same_assignment(&a->assign[i], &b->assign[k]))
			k++;
		if (k == b->n_assign)
			return false;
	}
	return a->n_assign == b->n_assign;
}

/* ---- what is refused ------------------------------------------------------------------------------------------------- */

static bool is_waived(const struct order *o, uint16_t site)
{
	for (size_t i = 0; i < o->n_without; i++)
		if (o->without[i] == site)
			return true;
	return false;
}

/* Does what that peer shows have to be here first? Of one that cannot be reached only if it served these queues. */
static bool counts(const struct core *c, const struct order *o, const struct peer *p)
{
	const struct chain *ch = chain_find(c, o->site, o->exercise[0] != '\0');

	if (p->gone || is_waived(o, p->site))
		return false;
	return peer_reachable(p) || (ch && ch->now && order_names(&ch->now->order, p->site));
}

uint64_t entries_to_come(const struct core *c, const struct order *o)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->n_streams; i++) {
		const struct stream *s = c->streams[i];
		uint64_t ahead = s->row.held;

		if (s->row.name.addressee != o->site)
			continue;
		for (size_t k = 0; k < s->n_flows; k++)
			if (s->flows[k].ahead > ahead && counts(c, o, s->flows[k].peer))
				ahead = s->flows[k].ahead;
		sum += ahead - s->row.held;
	}
	return sum;
}

/* A successor in force that is waited for and has not shown, since this node runs, what it holds: 0 for none. */
static uint16_t not_heard(struct core *c, const struct order *o)
{
	const struct chain *ch = chain_find(c, o->site, o->exercise[0] != '\0');
	uint16_t sites[LIMIT_ASSIGNMENTS];
	size_t n = ch && ch->now ? successors(&ch->now->order, sites) : 0;

	for (size_t i = 0; i < n; i++) {
		const struct peer *p = peer_find(c, sites[i]);

		if (p && !p->gone && !p->digest_heard && !is_waived(o, sites[i]))
			return sites[i];
	}
	return 0;
}

bool give_behind(struct core *c, const struct order *o, char *note, size_t size)
{
	uint64_t n = entries_to_come(c, o);
	char name[LIMIT_NAME_BYTES + 1];
	uint16_t waits_for;

	if (o->kind != ORDER_HANDBACK || o->site != c->self)
		return false;
	waits_for = not_heard(c, o);
	if (!waits_for && c->recovering && recovery_done(c, &waits_for))
		waits_for = 0;
	if (!n && !waits_for && !c->recovering)
		return false;
	int used = snprintf(note, size, "it has not caught up yet: %llu entries to come", (unsigned long long)n);

	if (waits_for && used > 0 && (size_t)used < size)
		snprintf(note + used, size - (size_t)used, ", and %s has not shown what it holds", site_name(c, waits_for, name));
	return true;
}

static enum err check_successors(const struct core *c, const struct order *o, struct errmsg *m)
{
	uint16_t sites[LIMIT_ASSIGNMENTS];
	size_t n = successors(o, sites);
	char name[LIMIT_NAME_BYTES + 1], by[128], id[SHORT_DIGITS + 1];

	for (size_t i = 0; i < n; i++) {
		const struct chain *ch = chain_find(c, sites[i], o->exercise[0] != '\0');

		if (site_revoked(c, sites[i]))
			return err_set(m, ERR_REFUSED, "%s: its keys were revoked, so it cannot serve another site (name another)", site_name(c, sites[i], name));
		if (!ch || !ch->now || !order_moves(&ch->now->order))
			continue;
		successors_text(c, &ch->now->order, by, sizeof by);
		hex_format(ch->now->id.b, SHORT_DIGITS / 2, id);
		return err_set(m, ERR_REFUSED, "%s: it is itself relocated by order %s, and served by %s (name another site, or hand it back first)", site_name(c, sites[i], name), id, by);
	}
	return ERR_OK;
}

/* One that says the same and waits: it wants endorsements, not a double. */
static enum err check_double(const struct core *c, const struct order *o, struct errmsg *m)
{
	for (size_t i = 0; i < c->takeover.n_orders; i++) {
		const struct order_known *k = c->takeover.orders[i];
		char id[SHORT_DIGITS + 1], name[LIMIT_NAME_BYTES + 1];

		if (k->state != ORDER_PENDING || k->order.kind != o->kind || k->order.site != o->site || strcmp(k->order.exercise, o->exercise) != 0 ||
		    !hash_equal(&k->order.before, &o->before) || !same_assignments(&k->order, o) || k->order.precedence != o->precedence ||
		    k->order.until.us != o->until.us)
			continue;
		hex_format(k->id.b, SHORT_DIGITS / 2, id);
		return err_set(m, ERR_EXISTS, "%s: order %s of %s says the same and waits (estafette endorse %s at other sites)", site_name(c, o->site, (char[LIMIT_NAME_BYTES + 1]){0}), id,
			       site_name(c, k->order.issuer, name), id);
	}
	return ERR_OK;
}

static enum err check_network(const struct core *c, const struct order *o, const struct order_known *now, struct errmsg *m)
{
	bool on = now && now->order.kind == ORDER_MINIMIZE && !minimize_over(c, now);
	char id[SHORT_DIGITS + 1] = "";

	if (now)
		hex_format(now->id.b, SHORT_DIGITS / 2, id);
	if (o->kind == ORDER_LIFT && !on)
		return err_set(m, ERR_REFUSED, "minimize: none is in force, there is nothing to lift (estafette orders shows what is)");
	if (o->kind == ORDER_MINIMIZE && on && now->order.precedence == o->precedence && now->order.until.us == o->until.us)
		return err_set(m, ERR_REFUSED, "minimize: order %s, which is in force, says the same already (nothing was changed)", id);
	return ERR_OK;
}

static enum err check_change(const struct core *c, const struct order *o, struct errmsg *m)
{
	const struct chain *ch = chain_find(c, o->site, o->exercise[0] != '\0');
	const struct order *now = ch && ch->now ? &ch->now->order : NULL;
	char name[LIMIT_NAME_BYTES + 1], id[SHORT_DIGITS + 1] = "";

	if (order_of_network(o->kind))
		return check_network(c, o, ch ? ch->now : NULL, m);
	if (now)
		hex_format(ch->now->id.b, SHORT_DIGITS / 2, id);
	if (now && order_moves(now) && strcmp(now->exercise, o->exercise) != 0)
		return err_set(m, ERR_REFUSED, "%s: it is relocated in the exercise \"%s\" (order %s), and a site moves in one exercise at a time: that of \"%s\" can only follow (estafette handback %s --exercise %s first)",
			       site_name(c, o->site, name), now->exercise, id, o->exercise, name, now->exercise);
	if (o->kind == ORDER_HANDBACK && (!now || !order_moves(now)))
		return err_set(m, ERR_REFUSED, "%s: it serves its own queues, there is nothing to hand back (estafette orders shows what is in force)", site_name(c, o->site, name));
	if (o->kind == ORDER_HANDBACK && o->site == o->issuer && site_revoked(c, o->site))
		return err_set(m, ERR_REFUSED, "%s: its keys were revoked, so its own word does not count (enrol it anew, and give the order at another site)",
			       site_name(c, o->site, name));
	const struct site *s = roster_site(c->roster, o->site);

	if (o->kind == ORDER_HANDBACK && site_revoked(c, o->site) && s && (s->removed || !s->n_former))
		return err_set(m, ERR_REFUSED, "%s: its keys were revoked and the roster still has them (enrol it anew, with the old identity in `former`)",
			       site_name(c, o->site, name));
	if (now && o->kind != ORDER_HANDBACK && (now->kind == o->kind || o->kind == ORDER_RELOCATE) && strcmp(now->exercise, o->exercise) == 0 &&
	    same_assignments(now, o))
		return err_set(m, ERR_REFUSED, "%s: order %s, which is in force, says the same already (nothing was changed)", site_name(c, o->site, name), id);
	return ERR_OK;
}

static enum err check_roster(const struct core *c, const struct order *o, struct errmsg *m)
{
	struct errmsg why = {0};
	enum err e = order_check(c->roster, o, &why);

	return e ? err_set(m, e, "%s: %.350s", order_kind_name(o->kind), why.text) : ERR_OK;
}

static enum err judge(struct core *c, const struct asked *a, struct errmsg *m)
{
	const struct order *o = &a->order;
	char note[200], name[LIMIT_NAME_BYTES + 1];
	enum err e = check_change(c, o, m);

	if (!e)
		e = check_successors(c, o, m);
	if (!e)
		e = check_roster(c, o, m);
	if (!e)
		e = check_double(c, o, m);
	if (!e && !a->dry && give_behind(c, o, note, sizeof note))
		e = err_set(m, ERR_BUSY, "%s: %s (wait, or name who is gone with --without)", site_name(c, o->site, name), note);
	return e;
}

/* ---- signing ---------------------------------------------------------------------------------------------------------------- */

static int newest_first(const void *a, const void *b)
{
	const struct stream *const *x = a, *const *y = b;
	int64_t p = (*x)->row.name.incarnation.born_us, q = (*y)->row.name.incarnation.born_us;

	return p > q ? -1 : p < q;
}

/* How far this site has what the revoked one sent. Of more streams than fit the oldest are left out: what of them comes
 * later is kept back until a person has seen it. */
static enum err add_points(struct core *c, uint16_t site, struct buf *out, uint16_t *n)
{
	struct stream **list = calloc(c->n_streams + 1, sizeof *list);
	size_t found = 0;

	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->n_streams; i++)
		if (c->streams[i]->row.name.originator == site)
			list[found++] = c->streams[i];
	qsort(list, found, sizeof *list, newest_first);
	if (found > POINTS_MAX)
		effect_log(c->out, 4, "revocation: %zu streams of the site, the newest %d are in it", found, POINTS_MAX);
	for (size_t i = 0; i < found && i < POINTS_MAX; i++) {
		struct frontier f = {.stream = list[i]->row.name, .number = list[i]->row.held, .chain = list[i]->row.chain};
		uint64_t limit = stream_limit(c, list[i]);

		/* What an earlier revocation keeps back this one does not let through. */
		if (f.number > limit && (limit == 0 || chain_at(c, list[i], f.number = limit, &f.chain)))
			continue;
		frontier_add(out, &f);
		++*n;
	}
	free(list);
	return buf_ok(out) ? ERR_OK : ERR_NOMEM;
}

static enum err sign_and_take(struct core *c, struct order *o, struct hash *id, struct errmsg *m)
{
	struct buf points = BUF_EMPTY, blob = BUF_EMPTY;
	bool is_new = false;
	enum err e = o->kind == ORDER_REVOKE ? add_points(c, o->site, &points, &o->n_points) : ERR_OK;

	o->points = buf_view(&points);
	if (!e)
		e = order_make(c->config.suite, &c->config.keys.identity, &c->roster->network_hash, o, &blob);
	if (e)
		err_set(m, e, "order: it cannot be signed: %s", err_text(e));
	else
		e = orders_take(c, STATE_KIND_ORDER, buf_view(&blob), 0, id, &is_new, m);
	o->points = view_of(NULL, 0);
	buf_release(&points);
	buf_release(&blob);
	return e;
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

static void order_row(struct rows *r, const struct order_known *k)
{
	struct core *c = r->c;
	char id[2 * HASH_BYTES + 1], name[LIMIT_NAME_BYTES + 1];

	hex_format(k->id.b, HASH_BYTES, id);
	row_begin(r);
	row_view(r, "id", view_of(id, SHOWN_DIGITS));
	row_text(r, "state", order_state_name(k->state));
	row_text(r, "kind", order_kind_name(k->order.kind));
	row_text(r, "site", site_name(c, k->order.site, name));
	row_number(r, "epoch", k->order.epoch);
	row_number(r, "votes", k->votes);
	row_number(r, "needs", order_needs(c, &k->order));
	row_text(r, "why", k->why);
	row_text(r, "hash", id);
	row_end(r);
}

static bool may_operate(struct core *c, const struct client *cl, uint32_t tag, const char *what)
{
	if (!cl->rights.may_operate)
		reply_error(c, cl->id, tag, ERR_NOT_PERMITTED, "%s: %s may not operate the node (see `clients` in node.conf)", what, cl->rights.name);
	return cl->rights.may_operate;
}

static enum err answer_known(struct core *c, struct client *cl, uint32_t tag, const struct hash *id, struct errmsg *m)
{
	struct rows r = {.c = c, .client = cl->id, .tag = tag};
	const struct order_known *k = order_find(c, id);

	if (!k)
		return err_set(m, ERR_NOMEM, "order: out of memory");
	order_row(&r, k);
	reply_done(c, cl->id, tag, r.n);
	return ERR_OK;
}

void order_request(struct core *c, struct client *cl, const struct request *rq)
{
	struct rows r = {.c = c, .client = cl->id, .tag = rq->tag};
	struct asked *a = malloc(sizeof *a);
	struct errmsg m = {0};
	struct hash id;
	enum err e = a ? ERR_OK : err_set(&m, ERR_NOMEM, "order: out of memory");

	if (!may_operate(c, cl, rq->tag, "order"))
		goto out;
	if (!e)
		e = give_read(c, rq->fields, a, &m);
	if (!e)
		e = judge(c, a, &m);
	if (!e && a->dry) {
		give_dry(&r, &a->order);
		reply_done(c, cl->id, rq->tag, r.n);
		goto out;
	}
	if (!e)
		e = sign_and_take(c, &a->order, &id, &m);
	if (!e) {
		char text[SHORT_DIGITS + 1];

		hex_format(id.b, SHORT_DIGITS / 2, text);
		effect_log(c->out, 5, "order %s about %s: given by %s", text, site_name(c, a->order.site, (char[LIMIT_NAME_BYTES + 1]){0}), cl->rights.name);
		e = answer_known(c, cl, rq->tag, &id, &m);
	}
	if (e)
		reply_error(c, cl->id, rq->tag, e, "%s", m.text);
out:
	free(a);
}

/* ---- endorsements ---------------------------------------------------------------------------------------------------------------- */

static enum err check_endorse(const struct core *c, const struct order_known *k, struct errmsg *m)
{
	char id[SHORT_DIGITS + 1];

	hex_format(k->id.b, SHORT_DIGITS / 2, id);
	if (k->state == ORDER_REFUSED)
		return err_set(m, ERR_REFUSED, "order %s: it can never be obeyed: %s", id, k->why);
	if (minimize_over(c, k))
		return err_set(m, ERR_EXPIRED, "order %s: its time is over (order it anew with estafette minimize)", id);
	if (k->order.site == c->self)
		return err_set(m, ERR_REFUSED, "order %s: it is about this site, whose own endorsement does not count (give an order here, or endorse at another site)", id);
	if (k->order.issuer == c->self)
		return err_set(m, ERR_EXISTS, "order %s: endorsed already, this site gave it", id);
	for (size_t i = 0; i < c->takeover.n_endorsements; i++) {
		const struct endorsement *e = &c->takeover.endorsements[i]->e;

		if (e->site == c->self && hash_equal(&e->order, &k->id) && e->last.us >= c->wall.us)
			return err_set(m, ERR_EXISTS, "order %s: endorsed already by this site", id);
	}
	return ERR_OK;
}

static enum err endorse(struct core *c, const struct order_known *k, struct errmsg *m)
{
	struct endorsement en = {.order = k->id, .site = c->self, .signed_at = c->wall, .last = {c->wall.us + ENDORSEMENT_US}};
	struct buf points = BUF_EMPTY, blob = BUF_EMPTY;
	bool is_new = false;
	struct hash id;
	enum err e = k->order.kind == ORDER_REVOKE ? add_points(c, k->order.site, &points, &en.n_points) : ERR_OK;

	en.points = buf_view(&points);
	if (!e)
		e = endorsement_make(c->config.suite, &c->config.keys.identity, &c->roster->network_hash, &en, &blob);
	if (e)
		err_set(m, e, "endorsement: it cannot be signed: %s", err_text(e));
	else
		e = orders_take(c, STATE_KIND_ENDORSEMENT, buf_view(&blob), 0, &id, &is_new, m);
	buf_release(&points);
	buf_release(&blob);
	return e;
}

/* An endorsement that was signed elsewhere: only the authority's comes that way. */
static enum err endorse_signed(struct core *c, struct view blob, struct hash *order, struct errmsg *m)
{
	struct endorsement en;
	struct hash id;
	bool is_new = false;
	enum err e = endorsement_decode(blob, &en, &id);

	if (e)
		return err_set(m, e, "endorsement: %s", err_text(e));
	if (en.site != 0)
		return err_set(m, ERR_REFUSED, "endorsement: it is not by the authority (a site endorses at its own node)");
	if (!order_find(c, &en.order))
		return err_set(m, ERR_NOT_FOUND, "endorsement: the order that it is about is not known here");
	*order = en.order;
	return orders_take(c, STATE_KIND_ENDORSEMENT, blob, 0, &id, &is_new, m);
}

/* The signed order itself in base 64, so that whoever endorses with a key of their own can read what they sign. */
static void blob_rows(struct rows *r, const struct order_known *k)
{
	enum { PIECE = 30 * 1024 };
	char *text = malloc((PIECE + 2) / 3 * 4 + 1);

	for (size_t at = 0; text && at < k->blob.len; at += PIECE) {
		size_t n = k->blob.len - at < PIECE ? k->blob.len - at : PIECE;

		base64_format(k->blob.ptr + at, n, text, (PIECE + 2) / 3 * 4 + 1);
		row_begin(r);
		row_text(r, "blob", text);
		row_end(r);
	}
	free(text);
}

struct endorse_asked { struct view what, blob; bool dry; };

static enum err read_endorse(struct view fields, struct endorse_asked *a, struct errmsg *m)
{
	struct request_item f;
	enum err e;

	while (!(e = request_next(&fields, &f))) {
		if (!item_ok(&f) || (f.field != F_WHAT && f.field != F_BLOB && f.field != F_DRY))
			return err_set(m, ERR_FORMAT, "endorse: field %u does not belong here, or is too long", f.field);
		if (f.field == F_WHAT)
			a->what = f.value;
		else if (f.field == F_BLOB)
			a->blob = f.value;
		else
			a->dry = item_u8(&f) != 0;
	}
	return e == ERR_NOT_FOUND ? ERR_OK : err_set(m, e, "endorse: %s", err_text(e));
}

static enum err endorse_named(struct core *c, struct client *cl, uint32_t tag, const struct endorse_asked *a, struct errmsg *m)
{
	struct rows r = {.c = c, .client = cl->id, .tag = tag};
	const struct order_known *k = order_find_text(c, a->what);
	int n = a->what.len < SHOWN_DIGITS ? (int)a->what.len : SHOWN_DIGITS;
	struct hash id;
	enum err e;

	if (!k)
		return err_set(m, ERR_NOT_FOUND, "endorse %.*s: no order here begins so, or several do (4 digits at least; estafette orders lists them)", n, (const char *)a->what.ptr);
	if (a->dry) {
		order_row(&r, k);
		blob_rows(&r, k);
		reply_done(c, cl->id, tag, r.n);
		return ERR_OK;
	}
	id = k->id;
	e = check_endorse(c, k, m);
	if (!e)
		e = endorse(c, k, m);
	return e ? e : answer_known(c, cl, tag, &id, m);
}

void endorse_request(struct core *c, struct client *cl, const struct request *rq)
{
	struct endorse_asked a = {.dry = false};
	struct errmsg m = {0};
	struct hash order;
	enum err e;

	if (!may_operate(c, cl, rq->tag, "endorse"))
		return;
	e = read_endorse(rq->fields, &a, &m);
	if (!e && !a.blob.len)
		e = endorse_named(c, cl, rq->tag, &a, &m);
	else if (!e) {
		e = endorse_signed(c, a.blob, &order, &m);
		if (!e)
			e = answer_known(c, cl, rq->tag, &order, &m);
	}
	if (e)
		reply_error(c, cl->id, rq->tag, e, "%s", m.text);
}
