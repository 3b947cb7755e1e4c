/* Sites that meet only at times: what a chain of contacts can carry arrives, once and in time, and nothing else does.
 *
 * Each seed draws a small network, when which two of its sites can hear each other, and messages. A plain search over the contacts,
 * which knows nothing of vectors, copies and paths, says of each message when it can be there at the earliest (it is never sooner),
 * and when it has to be (it is never later). At the end all that ever met meets once more, for long enough that all else comes, and that
 * every copy on its way is done with. CONTACTS_SEEDS=A..B runs others, CONTACTS_PRINT=1 says how long they took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/world.h"
#include "tests/lib/sim_desk.h"

#define SITES_MAX 8
#define CONTACTS_MAX 160
#define LETTERS_MAX 48
#define EVENTS_MAX (2 * CONTACTS_MAX + LETTERS_MAX + 3 * SITES_MAX)
#define MINUTE (60 * US_PER_S)
#define NEVER INT64_MAX

#define DRAWN_US (120 * MINUTE)  /* contacts and messages are drawn within it */
#define REUNION_US (90 * MINUTE) /* the last meeting: every half hour it is asked whether a copy is done with */

/* What a hop may need, beyond the contact itself, before a message has to be on the other side: a path that was heard of and does not
 * deliver is relied on for two minutes (node/core/transit.c), a link that died in silence is believed for half a minute until it is
 * probed, and who did not answer is asked again after at most one; a dial, some round trips and commits. Most need some seconds: that
 * is what most_are_quick looks at. */
#define HOP_MOST_US (240 * US_PER_S)
#define HOP_QUICK_US (20 * US_PER_S)

struct contact { size_t a, b; int64_t from, to; bool abrupt; /* its end is noticed at once */ };
struct letter {
	size_t from, to;
	uint8_t precedence;
	int64_t sent;
	int64_t earliest, latest; /* by the search; NEVER */
	bool accepted;
	struct msgid id;
	uint32_t tag;
	unsigned taken;
	int64_t at;
};
struct plan {
	uint64_t seed;
	size_t n, n_contacts, n_letters;
	const char *name[SITES_MAX];
	struct contact contact[CONTACTS_MAX];
	struct letter letter[LETTERS_MAX];
	int64_t off[SITES_MAX]; /* when its node is ended and started anew; 0: never */
	int64_t delay_us, rate_bps;
	const char *shape;
};
struct run {
	struct plan *p;
	struct world *w;
	size_t site[SITES_MAX]; /* in the world */
	uint64_t client[SITES_MAX];
	uint32_t tag;
};

/* ---- the search --------------------------------------------------------------------------------------------------------- */

/* When what is at `from` since `at` can be where, when a contact has to last for hop_us from then on. */
static void reach(const struct plan *p, size_t from, int64_t at, int64_t hop_us, int64_t when[SITES_MAX])
{
	bool more = true;

	for (size_t i = 0; i < p->n; i++)
		when[i] = i == from ? at : NEVER;
	while (more) {
		more = false;
		for (size_t k = 0; k < 2 * p->n_contacts; k++) {
			const struct contact *c = &p->contact[k / 2];
			size_t x = k % 2 ? c->b : c->a, y = k % 2 ? c->a : c->b;
			int64_t there = when[x] == NEVER ? NEVER : (when[x] > c->from ? when[x] : c->from) + hop_us;

			if (there != NEVER && there <= c->to && there < when[y]) {
				when[y] = there;
				more = true;
			}
		}
	}
}

static void search(struct plan *p)
{
	int64_t when[SITES_MAX];

	for (size_t i = 0; i < p->n_letters; i++) {
		struct letter *l = &p->letter[i];

		reach(p, l->from, l->sent, 0, when);
		l->earliest = when[l->to];
		reach(p, l->from, l->sent, HOP_MOST_US, when);
		l->latest = when[l->to];
	}
}

/* ---- plans ------------------------------------------------------------------------------------------------------------------ */

/* Not while the two are in contact already. */
static void meet(struct plan *p, struct prng *r, size_t a, size_t b, int64_t from, int64_t us)
{
	struct contact c = {.a = a, .b = b, .from = from, .to = from + us, .abrupt = prng_chance(r, 500000)};

	if (a == b || from < MINUTE || p->n_contacts + p->n * p->n >= CONTACTS_MAX)
		return;
	for (size_t i = 0; i < p->n_contacts; i++) {
		const struct contact *k = &p->contact[i];

		if (((k->a == a && k->b == b) || (k->a == b && k->b == a)) && k->from <= c.to + US_PER_S && c.from <= k->to + US_PER_S)
			return;
	}
	p->contact[p->n_contacts++] = c;
}

static void at_random(struct plan *p, struct prng *r)
{
	size_t n = p->n * (size_t)prng_between(r, 1, 6);

	p->shape = "at random";
	for (size_t i = 0; i < n; i++)
		meet(p, r, prng_below(r, p->n), prng_below(r, p->n), prng_between(r, MINUTE, DRAWN_US), prng_between(r, 20 * US_PER_S, 20 * MINUTE));
}

/* One site meets the others one after the other, and begins again. */
static void ferry(struct plan *p, struct prng *r)
{
	int64_t at = MINUTE + prng_between(r, 0, 5 * MINUTE);

	p->shape = "a ferry";
	for (size_t i = 0; at < DRAWN_US; i++) {
		int64_t us = prng_between(r, 2 * MINUTE, 10 * MINUTE);

		meet(p, r, 0, 1 + i % (p->n - 1), at, us);
		at += us + prng_between(r, 2 * US_PER_S, 5 * MINUTE);
	}
}

/* The first meets the second, later the second the third: there is a way to the last, and none back. */
static void chain_in_time(struct plan *p, struct prng *r)
{
	int64_t at = 10 * MINUTE;

	p->shape = "a chain in time";
	for (size_t i = 0; i + 1 < p->n; i++) {
		int64_t us = prng_between(r, 5 * MINUTE, 12 * MINUTE);

		meet(p, r, i, i + 1, at, us);
		at += us + prng_between(r, -2 * MINUTE, 3 * MINUTE);
	}
}

/* Lines that come and go, often several at a time: there are live paths, and ones that break. */
static void lines_that_flap(struct plan *p, struct prng *r)
{
	p->shape = "lines that flap";
	for (size_t i = 0; i < p->n; i++)
		for (int64_t at = MINUTE; at < DRAWN_US;) {
			int64_t us = prng_between(r, MINUTE, 30 * MINUTE);

			meet(p, r, i, (i + 1) % p->n, at, us);
			at += us + prng_between(r, 10 * US_PER_S, 30 * MINUTE);
		}
}

/* All that ever met. */
static void reunion(struct plan *p)
{
	size_t n = p->n_contacts;

	for (size_t i = 0; i < n; i++) {
		struct contact c = {.a = p->contact[i].a, .b = p->contact[i].b, .from = DRAWN_US + 30 * MINUTE, .to = DRAWN_US + 30 * MINUTE + REUNION_US};
		bool there = false;

		for (size_t k = n; k < p->n_contacts; k++)
			there = there || (p->contact[k].a == c.a && p->contact[k].b == c.b) || (p->contact[k].a == c.b && p->contact[k].b == c.a);
		if (!there)
			p->contact[p->n_contacts++] = c;
	}
}

/* Its node may end at a moment when the site is alone for a minute at least, so that a contact is as long as it seems. */
static void restart(struct plan *p, struct prng *r, size_t site)
{
	int64_t at = prng_between(r, 2 * MINUTE, DRAWN_US);

	for (size_t i = 0; i < p->n_contacts; i++)
		if ((p->contact[i].a == site || p->contact[i].b == site) && p->contact[i].from < at + MINUTE && p->contact[i].to > at - MINUTE)
			return;
	p->off[site] = at;
}

static void write_letters(struct plan *p, struct prng *r)
{
	size_t n = (size_t)prng_between(r, 4, LETTERS_MAX);

	while (p->n_letters < n) {
		struct letter l = {.from = prng_below(r, p->n), .to = prng_below(r, p->n), .precedence = (uint8_t)prng_below(r, PREC_COUNT),
		                   .sent = prng_between(r, MINUTE, DRAWN_US)};
		int64_t off = p->off[l.from];

		if (l.from != l.to && (!off || l.sent < off - US_PER_S || l.sent > off + 30 * US_PER_S))
			p->letter[p->n_letters++] = l;
	}
}

static void plan_init(struct plan *p, uint64_t seed)
{
	static const char *const names[] = {"spoc-brussel", "ccpd-doornik", "cic-west-vlaanderen", "cic-oost-vlaanderen", "cic-antwerpen", "cic-limburg",
	                                    "cic-vlaams-brabant", "cic-brussel", "cic-henegouwen", "cic-namen", "cic-luik", "cic-luxemburg"};
	static void (*const shapes[])(struct plan *p, struct prng *r) = {at_random, ferry, chain_in_time, lines_that_flap, at_random};
	static const int64_t rates[] = {0, 0, 10000000, 256000, 64000};
	bool used[sizeof names / sizeof *names] = {false};
	struct prng r;

	*p = (struct plan){.seed = seed};
	prng_init(&r, seed, "contacts", 0);
	p->n = (size_t)prng_between(&r, 3, SITES_MAX);
	for (size_t i = 0; i < p->n;) {
		size_t k = prng_below(&r, sizeof names / sizeof *names);

		if (!used[k])
			p->name[i++] = names[k];
		used[k] = true;
	}
	p->delay_us = prng_between(&r, US_PER_MS, 400 * US_PER_MS);
	p->rate_bps = rates[prng_below(&r, 5)];
	shapes[seed % 5](p, &r);
	reunion(p);
	for (size_t i = 0; i < p->n; i++)
		if (prng_chance(&r, 300000))
			restart(p, &r, i);
	write_letters(p, &r);
	search(p);
}

/* ---- a run ---------------------------------------------------------------------------------------------------------------------- */

static void told(struct run *x, size_t i, const struct request *r)
{
	struct letter *l = x->p->letter;

	if (r->type == REPLY_ERROR)
		fail_msg("seed %llu: %s refuses: %.*s", (unsigned long long)x->p->seed, x->p->name[i], (int)sim_field(r, F_TEXT).len, (const char *)sim_field(r, F_TEXT).ptr);
	if (r->type != REPLY_ACCEPTED && r->type != REPLY_TAKEN)
		return;
	struct msgid id = sim_id(r);

	for (size_t k = 0; k < x->p->n_letters; k++)
		if (r->type == REPLY_ACCEPTED && l[k].from == i && l[k].tag == r->tag) {
			l[k].accepted = true;
			l[k].id = id;
		} else if (r->type == REPLY_TAKEN && l[k].accepted && l[k].to == i && msgid_equal(&l[k].id, &id)) {
			l[k].taken++;
			l[k].at = world_now(x->w).us;
		}
	if (r->type == REPLY_TAKEN)
		sim_ask(x->w, x->site[i], x->client[i], ++x->tag, &(struct sim_ask){.type = REQ_ACK, .id = &id});
}

static void on_reply(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct run *x = arg;
	struct request r;

	(void)w;
	for (size_t i = 0; i < x->p->n; i++)
		if (x->site[i] == site && x->client[i] == client)
			while (sim_reply(&bytes, &r))
				told(x, i, &r);
}

static void desk_comes(struct run *x, size_t i)
{
	x->client[i] = world_client_open(x->w, x->site[i], &SIM_DESK, on_reply, x);
	assert_true(x->client[i]);
	sim_ask(x->w, x->site[i], x->client[i], ++x->tag, &(struct sim_ask){.type = REQ_TAKE, .to = "dispatch", .count = 1000});
}

enum what { BEGINS, ENDS, WRITES, OFF, ON, DESK };
struct event_at { int64_t at; enum what what; size_t k; };

static int by_time(const void *a, const void *b)
{
	const struct event_at *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->what != y->what ? (int)x->what - (int)y->what : (x->k > y->k) - (x->k < y->k);
}

static size_t timetable(const struct plan *p, struct event_at *e)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_contacts; i++) {
		e[n++] = (struct event_at){p->contact[i].from, BEGINS, i};
		e[n++] = (struct event_at){p->contact[i].to, ENDS, i};
	}
	for (size_t i = 0; i < p->n_letters; i++)
		e[n++] = (struct event_at){p->letter[i].sent, WRITES, i};
	for (size_t i = 0; i < p->n; i++)
		if (p->off[i]) {
			e[n++] = (struct event_at){p->off[i], OFF, i};
			e[n++] = (struct event_at){p->off[i] + 5 * US_PER_S, ON, i};
			e[n++] = (struct event_at){p->off[i] + 10 * US_PER_S, DESK, i};
		}
	qsort(e, n, sizeof *e, by_time);
	return n;
}

static void happens(struct run *x, const struct event_at *e)
{
	struct plan *p = x->p;
	const struct contact *c = &p->contact[e->k];
	struct letter *l = &p->letter[e->k];
	char to[LIMIT_ADDRESS_BYTES + 1];

	switch (e->what) {
	case BEGINS: world_mend(x->w, x->site[c->a], x->site[c->b], NULL, WAY_BOTH); break;
	case ENDS:
		world_cut(x->w, x->site[c->a], x->site[c->b], NULL, WAY_BOTH);
		if (c->abrupt)
			world_reset(x->w, x->site[c->a], x->site[c->b]);
		break;
	case WRITES:
		snprintf(to, sizeof to, "%s/dispatch", p->name[l->to]);
		l->tag = ++x->tag;
		sim_ask(x->w, x->site[l->from], x->client[l->from], l->tag,
		        &(struct sim_ask){.type = REQ_SUBMIT, .to = to, .precedence = l->precedence, .body = view_str("het water stijgt")});
		break;
	case OFF: world_crash(x->w, x->site[e->k], CRASH_DRAWN); break;
	case ON: world_start_site(x->w, x->site[e->k]); break;
	case DESK: desk_comes(x, e->k); break;
	}
}

static void run_init(struct run *x, struct plan *p)
{
	struct link_config links[SITES_MAX * SITES_MAX];
	struct roster *r = sim_roster(p->name, p->n);
	struct world_config c = {.seed = p->seed, .start = {1626220800LL * US_PER_S}, .roster = r, .links = links};
	struct errmsg m;

	*x = (struct run){.p = p};
	/* The world numbers sites as the roster does. */
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->n; k++)
			x->site[i] += roster_site_by_id(r, view_str(p->name[k]))->number < roster_site_by_id(r, view_str(p->name[i]))->number;
	for (uint16_t a = 0; a < p->n; a++)
		for (uint16_t b = (uint16_t)(a + 1); b < p->n; b++)
			links[c.n_links++] = (struct link_config){
				.a = a, .b = b, .n_bearers = 1, .bearers = {{.name = "radio", .cost = 10, .delay_us = p->delay_us, .rate_bps = p->rate_bps}}};
	assert_int_equal(world_new(&c, &x->w, &m), ERR_OK);
	roster_free(r);
	for (size_t i = 0; i < c.n_links; i++)
		world_cut(x->w, links[i].a, links[i].b, NULL, WAY_BOTH);
	world_run(x->w, (struct mono){20 * US_PER_S});
	for (size_t i = 0; i < p->n; i++)
		desk_comes(x, i);
}

/* ---- what is promised ------------------------------------------------------------------------------------------------------------ */

static void show(const struct plan *p)
{
	printf("# CONTACTS_SEEDS=%llu..%llu: %s, %zu sites, %lld ms, %lld bit/s\n", (unsigned long long)p->seed, (unsigned long long)p->seed, p->shape, p->n,
	       (long long)p->delay_us / 1000, (long long)p->rate_bps);
	for (size_t i = 0; i < p->n_contacts; i++)
		printf("#   %8.1f .. %8.1f %s and %s%s\n", (double)p->contact[i].from / US_PER_S, (double)p->contact[i].to / US_PER_S, p->name[p->contact[i].a],
		       p->name[p->contact[i].b], p->contact[i].abrupt ? ", abrupt" : "");
	for (size_t i = 0; i < p->n; i++)
		if (p->off[i])
			printf("#   %8.1f %s ends and begins anew\n", (double)p->off[i] / US_PER_S, p->name[i]);
}

static double seconds(int64_t us)
{
	return us == NEVER ? -1 : (double)us / US_PER_S;
}

static void judge(const struct plan *p, const struct letter *l)
{
	bool comes = l->latest != NEVER, may = l->earliest != NEVER;

	if (l->accepted && (l->taken == 1 || (l->taken == 0 && !comes)) && (!l->taken || (may && l->at >= l->earliest)) && (!comes || l->at <= l->latest))
		return;
	show(p);
	fail_msg("seed %llu: %s to %s, sent at %.1f s: %saccepted, handed out %u times, at %.1f s; not before %.1f s, not after %.1f s (-1: never)",
	         (unsigned long long)p->seed, p->name[l->from], p->name[l->to], seconds(l->sent), l->accepted ? "" : "not ", l->taken, seconds(l->at),
	         seconds(l->earliest), seconds(l->latest));
}

struct copies { const struct roster *r; const struct run *x; size_t at; const int64_t *when; uint64_t held; };

/* Entries of a stream that does not concern the site, though it reaches all whom it concerns. */
static enum err copy_of(void *arg, const struct stream_row *row)
{
	struct copies *c = arg;
	uint16_t custodian[LIMIT_CUSTODIANS], self = world_site_number(c->x->w, c->x->site[c->at]);
	size_t n = roster_custodians(c->r, row->name.addressee, custodian);
	bool concerned = row->name.originator == self, reached = true;

	for (size_t i = 0; i < n; i++) {
		concerned = concerned || custodian[i] == self;
		for (size_t k = 0; k < c->x->p->n; k++)
			if (world_site_number(c->x->w, c->x->site[k]) == custodian[i])
				reached = reached && c->when[k] != NEVER;
	}
	if (!concerned && reached)
		c->held += row->held - row->floor;
	return ERR_OK;
}

static void no_copy_is_left(struct run *x)
{
	int64_t when[SITES_MAX];

	for (size_t i = 0; i < x->p->n; i++) {
		struct copies c = {.r = world_roster(x->w), .x = x, .at = i, .when = when};
		struct txn *t;

		reach(x->p, i, DRAWN_US + 30 * MINUTE, HOP_MOST_US, when);
		assert_int_equal(txn_begin(world_store(x->w, x->site[i]), false, &t), ERR_OK);
		assert_int_equal(store_stream_each(t, copy_of, &c), ERR_OK);
		txn_abort(t);
		if (c.held) {
			show(x->p);
			fail_msg("seed %llu: %s still keeps %llu entries that are where they have to be", (unsigned long long)x->p->seed, x->p->name[i],
			         (unsigned long long)c.held);
		}
	}
}

struct sums { uint64_t letters, certain, possible, by_luck, quick; int64_t slowest; };

static void play(uint64_t seed, struct sums *sums)
{
	static struct plan p;
	static struct event_at e[EVENTS_MAX];
	struct run x;

	plan_init(&p, seed);
	size_t n = timetable(&p, e);

	assert_true(n <= EVENTS_MAX);
	run_init(&x, &p);
	for (size_t i = 0; i < n; i++) {
		world_run(x.w, (struct mono){e[i].at});
		happens(&x, &e[i]);
	}
	for (size_t i = 0; i < p.n_letters; i++) {
		const struct letter *l = &p.letter[i];

		judge(&p, l);
		sums->letters++;
		sums->certain += l->latest != NEVER;
		sums->possible += l->earliest != NEVER;
		if (!l->taken)
			continue;
		sums->by_luck += l->latest == NEVER;
		sums->quick += l->at - l->earliest <= HOP_QUICK_US;
		sums->slowest = l->at - l->earliest > sums->slowest ? l->at - l->earliest : sums->slowest;
	}
	no_copy_is_left(&x);
	world_free(x.w);
}

static void what_a_chain_can_carry_arrives(void **state)
{
	unsigned long long from = 1, to = 30;
	struct sums s = {0};
	const char *seeds = getenv("CONTACTS_SEEDS");

	(void)state;
	if (seeds)
		assert_int_equal(sscanf(seeds, "%llu..%llu", &from, &to), 2);
	for (unsigned long long seed = from; seed <= to; seed++)
		play(seed, &s);
	if (getenv("CONTACTS_PRINT"))
		printf("# %llu messages: %llu have to come, %llu can, %llu came that need not; %llu within %lld s of the earliest, the slowest %.0f s after\n",
		       (unsigned long long)s.letters, (unsigned long long)s.certain, (unsigned long long)s.possible, (unsigned long long)s.by_luck,
		       (unsigned long long)s.quick, (long long)(HOP_QUICK_US / US_PER_S), (double)s.slowest / US_PER_S);
	assert_true(s.certain > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_a_chain_can_carry_arrives)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
