/* Which order of a chain is in force: a pure function of the orders and endorsements that are known. */
#include <stdarg.h>
#include <stdio.h>

#include "proto/order.h"

/* Orders are found by their ids, which are hashes, so that their first bits spread them. */
#define BUCKETS 1024

enum rank { RANK_QUORUM = 0, RANK_RELOCATOR = 1, RANK_SITE = 2, RANK_NOBODY = 3 };

struct settling {
	const struct roster *r;
	const bool *revoked;
	struct order_case *cases;
	size_t n;
	struct order_case *first, **last;  /* predecessors before those that follow them */
	struct order_case *table[BUCKETS];
};

#define ID_TEXT_BYTES 4
struct id_text { char hex[2 * ID_TEXT_BYTES + 1]; };
static struct id_text id_text(const struct hash *id)
{
	struct id_text t;

	hex_format(id->b, ID_TEXT_BYTES, t.hex);
	return t;
}

static void say(struct order_case *c, enum order_state state, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void say(struct order_case *c, enum order_state state, const char *fmt, ...)
{
	va_list ap;

	c->state = state;
	va_start(ap, fmt);
	vsnprintf(c->why, sizeof c->why, fmt, ap);
	va_end(ap);
}

const char *order_state_name(unsigned s)
{
	static const char *const names[] = {[ORDER_IN_FORCE] = "in_force", [ORDER_SUPERSEDED] = "superseded", [ORDER_PENDING] = "pending",
	                                    [ORDER_REFUSED] = "refused"};

	return s > 0 && s < sizeof names / sizeof names[0] ? names[s] : "unknown";
}

/* ---- who stands for an order ---------------------------------------------------------------------------- */

/* Sites that stand for an order together, by their place in the roster. */
struct votes { unsigned n; bool site[LIMIT_SITES]; };

/* A site's word counts when the roster knows it and nobody revoked it. */
static bool counts(const struct settling *s, uint16_t site)
{
	return roster_site(s->r, site) && !(s->revoked && s->revoked[site]);
}

static void vote(const struct settling *s, struct votes *v, uint16_t site)
{
	size_t i = (size_t)(roster_site(s->r, site) - s->r->sites);

	v->n += !v->site[i];
	v->site[i] = true;
}

static bool stands_for(const struct settling *s, const struct order_case *c, const struct endorsement *e)
{
	return hash_equal(&e->order, &c->id) && e->site != 0 && e->site != c->order->site && counts(s, e->site);
}

static bool issuer_votes(const struct settling *s, const struct order_case *c)
{
	return c->order->issuer != c->order->site && !c->captured && counts(s, c->order->issuer);
}

/* The sites that stand for c together when the last of them signed at that time. */
static struct votes votes_at(const struct settling *s, const struct order_case *c, struct wall time)
{
	struct votes v = {0};

	if (issuer_votes(s, c) && c->order->issued.us <= time.us)
		vote(s, &v, c->order->issuer);
	for (size_t i = 0; i < c->n_endorsements; i++) {
		const struct endorsement *e = c->endorsements[i];

		if (e->signed_at.us <= time.us && time.us <= e->last.us && stands_for(s, c, e))
			vote(s, &v, e->site);
	}
	return v;
}

/* The largest set of sites that stand for c together; of equal ones the latest. */
static struct votes count_votes(const struct settling *s, const struct order_case *c)
{
	struct wall best_time = c->order->issued;
	struct votes best = votes_at(s, c, best_time);

	for (size_t i = 0; i < c->n_endorsements; i++) {
		const struct endorsement *e = c->endorsements[i];
		struct votes v;

		if (!stands_for(s, c, e))
			continue;
		v = votes_at(s, c, e->signed_at);
		if (v.n > best.n || (v.n == best.n && e->signed_at.us > best_time.us)) {
			best = v;
			best_time = e->signed_at;
		}
	}
	return best;
}

static bool has_authority(const struct order_case *c)
{
	for (size_t i = 0; i < c->n_endorsements; i++)
		if (c->endorsements[i]->site == 0 && hash_equal(&c->endorsements[i]->order, &c->id))
			return true;
	return false;
}

static bool is_relocator(const struct roster *r, uint16_t site)
{
	for (size_t i = 0; i < r->n_relocators; i++)
		if (r->relocators[i] == site)
			return true;
	return false;
}

/* May its issuer give it alone? A site whose own chain revokes it spoke for itself until then. */
static bool issuer_counts(const struct settling *s, const struct order_case *c)
{
	const struct order *o = c->order;

	if (o->issuer != o->site)
		return !c->captured && counts(s, o->issuer);
	if ((c->before && c->before->revoked) || (c->by_former && c->after_revocation))
		return false;
	return o->exercise[0] ? counts(s, o->site) : roster_site(s->r, o->site) != NULL;
}

static enum rank rank_of(const struct settling *s, const struct order_case *c, unsigned votes)
{
	if (votes >= s->r->quorum || has_authority(c))
		return RANK_QUORUM;
	if (c->order->kind == ORDER_REVOKE || !issuer_counts(s, c))
		return RANK_NOBODY;
	if (is_relocator(s->r, c->order->issuer))
		return RANK_RELOCATOR;
	return c->order->issuer == c->order->site ? RANK_SITE : RANK_NOBODY;
}

static void say_waits_for_votes(const struct settling *s, struct order_case *c, const struct votes *v)
{
	unsigned missing = s->r->quorum - v->n, named = 0;
	size_t len;

	say(c, ORDER_PENDING, "waits for %u more endorsement%s", missing, missing == 1 ? "" : "s");
	for (size_t i = 0; i < s->r->n_sites && named < v->n; i++) {
		if (!v->site[i])
			continue;
		len = strlen(c->why);
		if (len + LIMIT_NAME_BYTES + 24 > sizeof c->why)
			break;
		snprintf(c->why + len, sizeof c->why - len, "%s%s", named ? ", " : " (", s->r->sites[i].id);
		named++;
	}
	len = strlen(c->why);
	if (named)
		snprintf(c->why + len, sizeof c->why - len, "%s", v->n > named ? ", ... stand for it)" : named == 1 ? " stands for it)" : " stand for it)");
}

/* ---- predecessors --------------------------------------------------------------------------------------- */

static struct order_case **bucket(struct settling *s, const struct hash *id)
{
	return &s->table[(id->b[0] << 8 | id->b[1]) % BUCKETS];
}

static struct order_case *find(struct settling *s, const struct hash *id)
{
	struct order_case *c = *bucket(s, id);

	while (c && !hash_equal(&c->id, id))
		c = c->bucket;
	return c;
}

static void append(struct settling *s, struct order_case *c)
{
	*s->last = c;
	s->last = &c->next;
}

/* What does not fit its predecessor is refused and has none: an epoch is its predecessor's plus one, so that there are no rings. */
static struct order_case *predecessor(struct settling *s, struct order_case *c)
{
	struct order_case *before = c->order->epoch > 1 ? find(s, &c->order->before) : NULL;

	if (!before || before->order->epoch + 1 == c->order->epoch)
		return before;
	say(c, ORDER_REFUSED, "its epoch is %u, but that of its predecessor %s is %u", c->order->epoch, id_text(&before->id).hex,
	    before->order->epoch);
	return NULL;
}

/* Every order behind its predecessor, in one list. */
static void link_cases(struct settling *s)
{
	s->last = &s->first;
	for (size_t i = 0; i < s->n; i++) {
		struct order_case *c = &s->cases[i], **b = bucket(s, &c->id);

		c->before = c->child = c->sibling = c->next = c->winner = NULL;
		c->on_chain = c->revoked = false;
		c->state = ORDER_PENDING;
		c->why[0] = '\0';
		c->bucket = *b;
		*b = c;
	}
	for (size_t i = 0; i < s->n; i++) {
		struct order_case *c = &s->cases[i];

		c->before = predecessor(s, c);
		if (!c->before) {
			append(s, c);
			continue;
		}
		c->sibling = c->before->child;
		c->before->child = c;
	}
	for (struct order_case *c = s->first; c; c = c->next)
		for (struct order_case *child = c->child; child; child = child->sibling)
			append(s, child);
}

/* ---- each order by itself ------------------------------------------------------------------------------- */

/* What can never be obeyed, whatever comes. */
static bool refused(const struct settling *s, struct order_case *c)
{
	const struct order_case *before = c->before;

	if (c->state == ORDER_REFUSED)
		return true;
	if (c->check == ERR_REFUSED || (c->check && c->check != ERR_NOT_FOUND && c->order->roster == s->r->serial))
		say(c, ORDER_REFUSED, "it cannot be obeyed under roster %u: %s", s->r->serial, c->check_why[0] ? c->check_why : err_text(c->check));
	else if (before && before->state == ORDER_REFUSED)
		say(c, ORDER_REFUSED, "its predecessor %s is refused", id_text(&before->id).hex);
	else if (before && before->order->n_assign && strcmp(before->order->exercise, c->order->exercise) != 0)
		say(c, ORDER_REFUSED, "its site is still moved in the exercise \"%s\" by %s", before->order->exercise, id_text(&before->id).hex);
	else if (before && before->revoked && c->order->kind == ORDER_RELOCATE && order_leaves_home(c->order))
		say(c, ORDER_REFUSED, "its site is revoked and serves nothing before a handback");
	else
		return false;
	return true;
}

/* What something must come for first. */
static bool waits(const struct settling *s, struct order_case *c)
{
	if (c->newer_roster)
		say(c, ORDER_PENDING, "waits for roster %u (here is %u)", c->order->roster, s->r->serial);
	else if (c->order->epoch > 1 && !c->before)
		say(c, ORDER_PENDING, "its predecessor %s is not known here", id_text(&c->order->before).hex);
	else if (c->check == ERR_NOT_FOUND)
		say(c, ORDER_PENDING, "it waits for order %s of a successor, which is not known here", id_text(&c->at).hex);
	else if (c->before && c->before->state == ORDER_PENDING)
		say(c, ORDER_PENDING, "its predecessor %s is pending", id_text(&c->before->id).hex);
	else
		return false;
	return true;
}

/* A valid one is superseded until the walk reaches it. Its predecessor has been judged. */
static void judge(const struct settling *s, struct order_case *c)
{
	struct votes v = count_votes(s, c);

	c->votes = v.n;
	c->after_revocation = c->before && (c->before->after_revocation || c->before->order->kind == ORDER_REVOKE);
	c->rank = (uint8_t)rank_of(s, c, v.n);
	c->revoked = c->order->kind == ORDER_REVOKE || (c->order->kind == ORDER_RELOCATE && c->before && c->before->revoked);
	if (refused(s, c) || waits(s, c))
		return;
	if (c->rank == RANK_NOBODY)
		say_waits_for_votes(s, c, &v);
	else
		c->state = ORDER_SUPERSEDED;
}

/* ---- the walk ------------------------------------------------------------------------------------------- */

static bool goes_first(const struct order_case *a, const struct order_case *b)
{
	if (a->rank != b->rank)
		return a->rank < b->rank;
	return memcmp(a->id.b, b->id.b, HASH_BYTES) < 0;
}

static struct order_case *better(struct order_case *best, struct order_case *c)
{
	if (c->state != ORDER_SUPERSEDED)
		return best;
	return !best || goes_first(c, best) ? c : best;
}

static struct order_case *best_first(const struct settling *s)
{
	struct order_case *best = NULL;

	for (struct order_case *c = s->first; c; c = c->next)
		if (c->order->epoch == 1)
			best = better(best, c);
	return best;
}

static struct order_case *best_child(const struct order_case *of)
{
	struct order_case *best = NULL;

	for (struct order_case *c = of->child; c; c = c->sibling)
		best = better(best, c);
	return best;
}

/* On the chain the next one's predecessor was marked on the way; beside it, what beat an order beat all that follow it. */
static void say_superseded(const struct settling *s, struct order_case *root)
{
	char name[LIMIT_NAME_BYTES + 1];

	for (struct order_case *c = s->first; c; c = c->next) {
		if (c->state != ORDER_SUPERSEDED)
			continue;
		if (!c->on_chain)
			c->winner = c->before ? c->before->winner : root;
		say(c, ORDER_SUPERSEDED, "superseded by %s of %s (epoch %u)", id_text(&c->winner->id).hex,
		    roster_site_name(s->r, c->winner->order->issuer, name), c->winner->order->epoch);
	}
}

struct order_case *order_settle(const struct roster *r, const bool *revoked, struct order_case *cases, size_t n)
{
	struct settling s = {.r = r, .revoked = revoked, .cases = cases, .n = n};
	struct order_case *now = NULL, *root;

	link_cases(&s);
	for (struct order_case *c = s.first; c; c = c->next)
		judge(&s, c);
	root = best_first(&s);
	for (struct order_case *c = root; c; c = c->winner) {
		c->on_chain = true;
		c->winner = best_child(c);
		now = c;
	}
	if (now)
		now->state = ORDER_IN_FORCE;
	say_superseded(&s, root);
	return now;
}
