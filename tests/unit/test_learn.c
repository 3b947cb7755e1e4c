/* A simulated period becomes a drill: links that were down are down in it at the same times, and what was late because of that is as late
 * again; without the states of links it is not. And what a journal says of links becomes spans that a drill can hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/cli/export_links.h"
#include "sim/arrivals.h"
#include "sim/conduct.h"
#include "sim/drill.h"
#include "sim/world_int.h"
#include "tests/lib/sim_desk.h"

#define START_US (1626220800LL * US_PER_S)
#define MINUTE (60 * US_PER_S)
#define MOST 16

/* ---- of the command, which is not here ------------------------------------------------------------------------------------ */

int cli_fail(const struct cli *cli, enum err e, const char *fmt, ...) { (void)cli, (void)e, (void)fmt; fail(); return 1; }
enum err cli_err_of_errno(void) { return ERR_IO; }
enum err cli_sync_folder(const char *path, struct errmsg *m) { (void)path, (void)m; return ERR_OK; }
enum err config_load(const char *path, struct config *out, struct errmsg *m) { (void)path, (void)out, (void)m; return ERR_IO; }
enum err config_load_roster(const struct config *c, struct roster **out, struct errmsg *m) { (void)c, (void)out, (void)m; return ERR_IO; }
enum err config_load_keys(const struct config *c, struct site_keys *out, struct errmsg *m) { (void)c, (void)out, (void)m; return ERR_IO; }

/* ---- a period ----------------------------------------------------------------------------------------------------------------- */

static const char *const SITES[] = {"cic-luik", "cic-namen", "spoc-brussel"};
enum { LUIK, NAMEN, SPOC, N };

struct field {
	struct world *w;
	struct arrivals *arrivals;
	size_t n_sites, site[N];
	uint64_t client;
	struct msgid id[MOST];
	struct mono accepted[MOST];
	uint32_t n;
};

static void hears(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct field *x = arg;
	struct request r;

	(void)site, (void)client;
	while (sim_reply(&bytes, &r)) {
		assert_int_equal(r.type, REPLY_ACCEPTED);
		x->id[r.tag] = sim_id(&r);
		x->accepted[r.tag] = world_now(w);
		arrivals_watch(x->arrivals, &x->id[r.tag], x->site[NAMEN]);
	}
}

static void on(struct field *x, int64_t us) { world_run(x->w, mono_add(world_now(x->w), us)); }

/* Each with each, over a fibre and a satellite. */
static void begin(struct field *x, size_t n)
{
	struct roster *r = sim_roster(SITES, n);
	struct link_config links[N * N];
	struct errmsg m;
	size_t k = 0;

	*x = (struct field){.n_sites = n};
	for (size_t i = 0; i < n; i++)
		x->site[i] = (size_t)(roster_site_by_id(r, view_str(SITES[i])) - r->sites);
	for (uint16_t a = 0; a < n; a++)
		for (uint16_t b = (uint16_t)(a + 1); b < n; b++)
			links[k++] = (struct link_config){.a = a, .b = b, .n_bearers = 2, .bearers = {
				{.name = "fibre", .cost = 10, .delay_us = 4 * US_PER_MS},
				{.name = "satellite", .cost = 50, .delay_us = 300 * US_PER_MS, .rate_bps = 64000, .no_bulk = true}}};
	struct world_config c = {.seed = 11, .start = {START_US}, .suite = &crypt_suite_real, .roster = r, .links = links, .n_links = k};

	assert_int_equal(world_new(&c, &x->w, &m), ERR_OK);
	x->arrivals = arrivals_new(x->w);
	roster_free(r);
	on(x, 5 * MINUTE);
	x->client = world_client_open(x->w, x->site[LUIK], &SIM_DESK, hears, x);
	assert_true(x->client);
}

static void end(struct field *x)
{
	world_free(x->w);
	arrivals_free(x->arrivals);
}

/* From Luik; then a second passes. */
static void sends(struct field *x, const char *to, uint8_t precedence)
{
	sim_ask(x->w, x->site[LUIK], x->client, x->n++, &(struct sim_ask){.type = REQ_SUBMIT, .to = to, .precedence = precedence, .body = view_str("x")});
	on(x, US_PER_S);
}

static void flash(struct field *x)
{
	sends(x, "cic-namen/dispatch", PREC_FLASH);
}

static int64_t took(const struct field *x, uint32_t i)
{
	struct mono at = arrivals_at(x->arrivals, &x->id[i], x->site[NAMEN]);

	assert_int_not_equal(at.us, MONO_NEVER.us);
	return at.us - x->accepted[i].us;
}

static enum err keep_stream(void *arg, const struct stream_row *row)
{
	struct source *s = arg;

	s->streams[s->n_streams++] = *row;
	return ERR_OK;
}

/* What Luik's journal says of it, as a drill. */
static struct drill *learn(struct field *x, bool replace)
{
	struct source s = {.path = "luik", .dir = "journal", .roster = (struct roster *)world_roster(x->w), .store = world_store(x->w, x->site[LUIK]),
	                   .keys = &x->w->node[x->site[LUIK]].keys, .streams = calloc(200, sizeof *s.streams)};
	for (size_t i = 0; i < s.roster->n_sites; i++) { /* that of a world knows no bearers */
		s.roster->sites[i].n_bearers = 2;
		s.roster->sites[i].bearers[0] = (struct bearer){.name = "fibre", .cost = 10, .bulk = true};
		s.roster->sites[i].bearers[1] = (struct bearer){.name = "satellite", .cost = 50, .rate_bps = 64000};
	}
	struct drill_wanted want = {{START_US}, {START_US + world_now(x->w).us}, replace};
	char folder[] = "/tmp/estafette-learn.XXXXXX", file[64];
	struct drill *d = NULL;
	struct counts n = {0};
	struct errmsg m;
	struct txn *t;

	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof file, "%s/drill.conf", folder);
	assert_int_equal(txn_begin(s.store, false, &t), ERR_OK);
	assert_int_equal(store_stream_each(t, keep_stream, &s), ERR_OK);
	txn_abort(t);
	if (export_drill(&s, &want, file, &n, &m) != ERR_OK)
		fail_msg("%s", m.text);
	assert_int_equal(n.entries, x->n);
	assert_int_equal(s.unopened, 0);
	if (getenv("LEARN_PRINT")) {
		char cmd[100];
		snprintf(cmd, sizeof cmd, "cat %s >&2", file);
		assert_int_equal(system(cmd), 0);
	}
	if (drill_load(file, &d, &m) != ERR_OK)
		fail_msg("%s", m.text);
	unlink(file);
	rmdir(folder);
	free(s.streams);
	return d;
}

static void ended(void *arg, const struct run *r)
{
	struct verdict *v = arg;

	oracle_verdict(r->oracle, v);
	assert_true(run_ok(r));
}

/* How long the slowest FLASH took when the drill is played. links: with what it says of them. */
static int64_t slowest(const struct drill *d, bool links)
{
	struct verdict v = {0};
	struct errmsg m;
	struct conduct c = {.seed = 1, .repeat = "again", .suite = &crypt_suite_fast, .outcome = ended, .arg = &v};
	struct drill other = *d;

	other.events = calloc(d->n_events, sizeof *other.events);
	other.n_events = 0;
	for (size_t i = 0; i < d->n_events; i++)
		if (links || d->events[i].what != DO_LINK_DOWN)
			other.events[other.n_events++] = d->events[i];
	if (conduct(&other, &c, &m) != ERR_OK)
		fail_msg("%s", m.text);
	free(other.events);
	return v.flash_max_us;
}

static bool names(const struct drill *d, const struct drill_sites *s, const char *site)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(d->roster->sites[s->v[i]].id, site) == 0)
			return true;
	return false;
}

/* The n-th time that this bearer was down between the two, from `at` (an idle link is probed every 30 s: it may be told from up to
 * as long before on) to `until` (what is tried again in vain finds out some seconds later). */
static void assert_down(const struct drill *d, const char *a, const char *b, const char *bearer, size_t n, int64_t at_us, int64_t until_us)
{
	for (size_t i = 0; i < d->n_events; i++) {
		const struct drill_event *e = &d->events[i];

		if (e->what != DO_LINK_DOWN || !names(d, &e->from, a) || !names(d, &e->to, b))
			continue;
		if ((e->bearer >= 0 && strcmp(d->bearers[e->bearer].name, bearer) != 0) || n--)
			continue;
		assert_in_range(e->at_us, at_us - 35 * US_PER_S, at_us + US_PER_S);
		assert_in_range(e->at_us + e->for_us, until_us - 2 * US_PER_S, until_us + 20 * US_PER_S);
		return;
	}
	fail_msg("%s and %s over %s: not down so often", a, b, bearer);
}

static size_t downs(const struct drill *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_events; i++)
		n += d->events[i].what == DO_LINK_DOWN;
	return n;
}

/* The fibre is cut, and the satellite carries; then both are. */
static void two_bearers_are_cut(void **state)
{
	struct field x;

	(void)state;
	for (int replace = 0; replace < 2; replace++) {
		begin(&x, 2);
		flash(&x);
		world_cut(x.w, x.site[LUIK], x.site[NAMEN], "fibre", WAY_BOTH); /* 5 min 1 s */
		on(&x, 10 * MINUTE);
		flash(&x);
		on(&x, 5 * MINUTE);
		world_cut(x.w, x.site[LUIK], x.site[NAMEN], "satellite", WAY_BOTH); /* 20 min 2 s */
		on(&x, 10 * MINUTE);
		flash(&x);
		on(&x, 10 * MINUTE);
		world_mend(x.w, x.site[LUIK], x.site[NAMEN], NULL, WAY_BOTH); /* 40 min 3 s */
		on(&x, 10 * MINUTE);
		assert_true(took(&x, 0) < 100 * US_PER_MS && took(&x, 1) < 10 * US_PER_S && took(&x, 2) >= 10 * MINUTE);
		struct drill *d = learn(&x, replace);
		const char *a = replace ? "site-002" : "cic-luik", *b = replace ? "site-001" : "cic-namen";

		if (replace && !roster_site_by_id(d->roster, view_str("site-002")))
			fail();
		if (!replace)
			assert_int_equal(downs(d), 2);
		assert_down(d, a, b, replace ? "bearer-1" : "fibre", 0, 5 * MINUTE + US_PER_S, 40 * MINUTE + 3 * US_PER_S);
		assert_down(d, a, b, replace ? "bearer-2" : "satellite", 0, 20 * MINUTE + 2 * US_PER_S, 40 * MINUTE + 3 * US_PER_S);
		assert_int_equal(d->n_bearers, 2);
		assert_in_range(d->bearers[0].delay_us, 4 * US_PER_MS, 8 * US_PER_MS);
		assert_in_range(d->bearers[1].delay_us, 300 * US_PER_MS, 400 * US_PER_MS);
		assert_int_equal(d->bearers[1].rate_bps, 64000);
		assert_true(d->bearers[1].no_bulk && !d->bearers[0].no_bulk);
		if (!replace) { /* a made network has a third site, over which messages go around */
			int64_t late = slowest(d, true), soon = slowest(d, false);

			assert_in_range(late, took(&x, 2) - 10 * US_PER_S, took(&x, 2) + 15 * US_PER_S);
			assert_true(soon < US_PER_S);
		}
		drill_free(d);
		end(&x);
	}
}

/* A site is dead: nobody reaches it, also in the drill, where what is for it could go around otherwise. */
static void a_dead_site(void **state)
{
	struct field x;

	(void)state;
	begin(&x, 3);
	sends(&x, "spoc-brussel/translation", PREC_ROUTINE);
	flash(&x);
	world_power(x.w, x.site[NAMEN], false);
	on(&x, 10 * MINUTE);
	flash(&x);
	on(&x, 20 * MINUTE);
	world_power(x.w, x.site[NAMEN], true);
	on(&x, 10 * MINUTE);
	assert_true(took(&x, 2) >= 20 * MINUTE);
	struct drill *d = learn(&x, false);

	assert_down(d, "cic-luik", "cic-namen", "fibre", 0, 5 * MINUTE + 2 * US_PER_S, 35 * MINUTE + 3 * US_PER_S);
	assert_down(d, "cic-namen", "spoc-brussel", "", 0, 5 * MINUTE + 2 * US_PER_S, 35 * MINUTE + 3 * US_PER_S);
	assert_in_range(slowest(d, true), took(&x, 2) - 10 * US_PER_S, took(&x, 2) + 15 * US_PER_S);
	assert_true(slowest(d, false) < US_PER_S);
	drill_free(d);
	end(&x);
}

/* Only our own line is cut: what went around goes around in the drill too. */
static void around_a_cut(void **state)
{
	struct field x;

	(void)state;
	begin(&x, 3);
	sends(&x, "spoc-brussel/translation", PREC_ROUTINE);
	flash(&x);
	world_cut(x.w, x.site[LUIK], x.site[NAMEN], NULL, WAY_BOTH);
	on(&x, 10 * MINUTE);
	flash(&x);
	on(&x, 20 * MINUTE);
	world_mend(x.w, x.site[LUIK], x.site[NAMEN], NULL, WAY_BOTH);
	on(&x, 10 * MINUTE);
	assert_true(took(&x, 2) < 30 * US_PER_S);
	struct drill *d = learn(&x, false);

	assert_down(d, "cic-luik", "cic-namen", "fibre", 0, 5 * MINUTE + 2 * US_PER_S, 35 * MINUTE + 3 * US_PER_S);
	assert_int_equal(downs(d), 2); /* fibre and satellite */
	assert_true(slowest(d, true) < 30 * US_PER_S);
	drill_free(d);
	end(&x);
}

/* ---- rows and spans ------------------------------------------------------------------------------------------------------------- */

static void put_row(struct txn *t, uint16_t peer, const char *bearer, enum link_is is, double at_s, uint32_t more, enum link_is now_is, double last_s)
{
	struct link_row row = {.peer = peer, .is = (uint8_t)is, .at = {(int64_t)(at_s * US_PER_S)}, .more = more, .now_is = (uint8_t)now_is,
	                       .last = {(int64_t)(last_s * US_PER_S)}};

	row.noted = row.last;
	snprintf(row.bearer, sizeof row.bearer, "%s", bearer);
	store_link_put(t, &row);
}

static void assert_span(const struct links *l, size_t i, uint16_t peer, double from_s, double to_s)
{
	assert_in_range(i, 0, l->n - 1);
	assert_int_equal(l->spans[i].peer, peer);
	assert_int_equal(l->spans[i].from_us, (int64_t)(from_s * US_PER_S));
	assert_int_equal(l->spans[i].to_us, to_s < 0 ? INT64_MAX : (int64_t)(to_s * US_PER_S));
}

static void spans_of_rows(void **state)
{
	struct roster *r = sim_roster(SITES, N);
	uint16_t luik = roster_site_by_id(r, view_str("cic-luik"))->number, namen = roster_site_by_id(r, view_str("cic-namen"))->number;
	uint16_t spoc = roster_site_by_id(r, view_str("spoc-brussel"))->number;
	struct store_birth b = {.site = luik, .site_id = "cic-luik"};
	struct source s = {.dir = "journal", .roster = r};
	bool *wanted = calloc(65536, sizeof *wanted);
	struct link_alone *alone;
	struct errmsg m;
	struct links l;
	struct txn *t;
	size_t n;

	(void)state;
	assert_int_equal(store_open_memory(&b, &(struct store_options){.read_only = false}, NULL, NULL, &s.store), ERR_OK);
	assert_int_equal(txn_begin(s.store, true, &t), ERR_OK);
	put_row(t, 0, "", LINK_IS_UP, 10, 0, LINK_IS_UP, 10);
	put_row(t, namen, "fibre", LINK_IS_DOWN, 100, 3, LINK_IS_UP, 400);        /* down again from 300 on */
	put_row(t, namen, "fibre", LINK_IS_DOWN, 410, 0, LINK_IS_DOWN, 410);
	put_row(t, namen, "fibre", LINK_IS_UP, 410.5, 0, LINK_IS_UP, 410.5);      /* too brief for a drill */
	put_row(t, spoc, "fibre", LINK_IS_DOWN, 420, 0, LINK_IS_DOWN, 420);       /* not wanted */
	put_row(t, namen, "fibre", LINK_IS_DOWN, 450, 0, LINK_IS_DOWN, 450);
	put_row(t, 0, "", LINK_IS_DOWN, 500, 0, LINK_IS_DOWN, 500);
	put_row(t, 0, "", LINK_IS_UP, 600, 0, LINK_IS_UP, 600);
	put_row(t, namen, "fibre", LINK_IS_DOWN, 700, 0, LINK_IS_DOWN, 700);
	put_row(t, namen, "fibre", LINK_IS_UNKNOWN, 710, 0, LINK_IS_UNKNOWN, 710); /* no longer known to be down */
	put_row(t, namen, "satellite", LINK_IS_DOWN, 720, 0, LINK_IS_DOWN, 720);
	for (int i = 0; i < 10; i++) {
		char name[16];
		snprintf(name, sizeof name, "line-%d", i);
		put_row(t, namen, name, LINK_IS_UP, 800, 0, LINK_IS_UP, 800);
	}
	put_row(t, namen, "satellite", LINK_IS_UP, 2000, 0, LINK_IS_UP, 2000);    /* beyond the end */
	assert_int_equal(txn_commit(t), ERR_OK);
	wanted[namen] = wanted[luik] = true;
	assert_int_equal(links_read(&s, wanted, (struct wall){150 * US_PER_S}, (struct wall){1000 * US_PER_S}, 100, &l, &m), ERR_OK);
	assert_int_equal(l.n, 6);
	assert_span(&l, 0, namen, 150, 200);
	assert_span(&l, 1, namen, 300, 400);
	assert_span(&l, 2, namen, 450, 500); /* over with the node */
	assert_span(&l, 3, 0, 500, 600);
	assert_span(&l, 4, namen, 700, 710);
	assert_span(&l, 5, namen, 720, -1);
	assert_int_equal(l.brief, 1);
	assert_int_equal(l.others, 1);
	assert_int_equal(l.no_room, 10 + 2 - LIMIT_BEARERS);
	assert_int_equal(l.since.us, 10 * US_PER_S);
	assert_int_equal(links_alone(&l, wanted, luik, NULL, 0, &alone, &n), ERR_OK);
	assert_int_equal(n, 0); /* nobody else was reached meanwhile: it is this site that was alone */
	links_release(&l);
	assert_int_equal(links_read(&s, wanted, (struct wall){150 * US_PER_S}, (struct wall){1000 * US_PER_S}, 5, &l, &m), ERR_TOO_LARGE);
	assert_non_null(strstr(m.text, "journal: over 5 changes of links"));
	links_release(&l);
	store_close(s.store);
	roster_free(r);
	free(wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans_of_rows),
		cmocka_unit_test(two_bearers_are_cut),
		cmocka_unit_test(a_dead_site),
		cmocka_unit_test(around_a_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
