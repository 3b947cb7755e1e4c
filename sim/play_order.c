/* Orders as an operator gives them: at the sites that the drill names, again and again until a node takes them. */
#include "proto/request.h"
#include "sim/play_int.h"

#include <stdio.h>
#include <stdlib.h>

/* As the command `handback` does, which waits for a site that has not caught up. */
#define ORDER_AGAIN_US (30 * US_PER_S)

/* One request of one event: what a site is asked to do, until it said yes or never. */
struct giving {
	struct giving *next;
	struct play *p;
	const struct drill_event *e;
	bool chosen;          /* the drill does not say who: looked for at each try */
	bool endorses;        /* an order that was given elsewhere: id */
	bool over;
	size_t site;          /* who is asked */
	uint64_t client;
	char id[LIMIT_NAME_BYTES + 1], state[LIMIT_NAME_BYTES + 1];
	char said[300];       /* what was told last of it */
};

static void giving_try(void *arg, struct world *w, uint64_t cookie);
static void give(struct play *p, const struct drill_event *e, size_t site, bool chosen, const char *id);

/* ---- words ---------------------------------------------------------------------------------------------------------- */

static void tell(struct giving *g, const char *what)
{
	const char *about = g->e->what == DO_MINIMIZE ? "all" : drill_site_name(g->p->d, g->e->what == DO_ASSIST ? g->e->from.v[0] : g->e->sites.v[0]);
	char text[300];

	snprintf(text, sizeof text, "%s of %s at %s: %.200s", g->endorses ? "endorsement" : drill_do_name(g->e->what), about, world_site_id(g->p->w, g->site), what);
	if (g->p->watch && strcmp(text, g->said) != 0)
		watch_said(g->p->watch, text);
	memcpy(g->said, text, sizeof text);
}

static void again(struct giving *g, const char *why)
{
	char text[300];

	snprintf(text, sizeof text, "not yet, %.220s; tried again every %d s", why, (int)(ORDER_AGAIN_US / US_PER_S));
	tell(g, text);
	world_at(g->p->w, mono_add(world_now(g->p->w), ORDER_AGAIN_US), giving_try, g, 0);
}

/* ---- requests --------------------------------------------------------------------------------------------------------- */

static void order_fields(const struct giving *g, struct request_writer *rw)
{
	const struct drill_event *e = g->e;
	char one[LIMIT_REASON_BYTES + 1];

	request_str(rw, F_WHAT, drill_do_name(e->what));
	request_str(rw, F_REASON, g->p->d->name);
	if (e->what == DO_MINIMIZE) {
		request_u8(rw, F_PRECEDENCE, (uint8_t)e->value);
		request_u64(rw, F_EXPIRES, (uint64_t)(world_site_wall(g->p->w, g->site).us + e->for_us));
		return;
	}
	request_str(rw, F_TO, drill_site_name(g->p->d, e->sites.v[0]));
	for (const char *at = e->what == DO_RELOCATE ? e->text : ""; *at;) {
		size_t n = strcspn(at, " ");

		snprintf(one, sizeof one, "%.*s", (int)n, at);
		request_str(rw, F_ASSIGN, one);
		at += n + (at[n] == ' ');
	}
	request_str(rw, F_EXERCISE, e->flow);
}

static void giving_ask(struct giving *g)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	if (g->endorses) {
		request_begin(&rw, &b, REQ_ENDORSE, 1);
		request_str(&rw, F_WHAT, g->id);
	} else if (g->e->what == DO_ASSIST) {
		request_begin(&rw, &b, REQ_ASSIST, 1);
		request_str(&rw, F_QUEUE, g->e->queue);
		request_str(&rw, F_TO, drill_site_name(g->p->d, g->e->to.v[0]));
		request_u32(&rw, F_COUNT, (uint32_t)g->e->value);
	} else {
		request_begin(&rw, &b, REQ_ORDER, 1);
		order_fields(g, &rw);
	}
	request_end(&rw);
	world_request(g->p->w, g->site, g->client, buf_view(&b));
	buf_release(&b);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------ */

static void over(struct giving *g)
{
	g->over = true;
	if (g->client)
		world_client_close(g->p->w, g->site, g->client);
	g->client = 0;
}

/* A row is name, value, name, value, ... */
static void read_row(struct giving *g, const struct request *r)
{
	struct request_item f;
	struct view name = {NULL, 0};

	for (struct view rest = r->fields; request_next(&rest, &f) == ERR_OK;) {
		if (f.field == F_NAME)
			name = f.value;
		else if (f.field == F_TEXT && view_equal(name, view_str("id")))
			view_to_str(f.value, g->id, sizeof g->id);
		else if (f.field == F_TEXT && view_equal(name, view_str("state")))
			view_to_str(f.value, g->state, sizeof g->state);
	}
}

static void taken(struct giving *g, const struct request *r)
{
	struct request_item n = {F_COUNT, reply_value(r, F_COUNT, NULL)};
	char text[80];

	if (g->e->what == DO_ASSIST)
		snprintf(text, sizeof text, "done, %u lent", item_u32(&n));
	else
		snprintf(text, sizeof text, "done, the order is %s", strcmp(g->state, "in_force") == 0 ? "in force" : g->state);
	tell(g, text);
	over(g);
	for (size_t i = 1; !g->endorses && g->e->what != DO_ASSIST && i < g->e->from.n; i++)
		give(g->p, g->e, g->e->from.v[i], false, g->id);
}

static void turned_down(struct giving *g, const struct request *r)
{
	char code[32], why[200];

	view_to_str(reply_value(r, F_CODE, NULL), code, sizeof code);
	view_to_str(reply_value(r, F_TEXT, NULL), why, sizeof why);
	enum err e = err_from_code(code);

	world_client_close(g->p->w, g->site, g->client);
	g->client = 0;
	/* An order that is to be endorsed may still be on its way; a site that hands back may have to catch up. */
	if (e == ERR_BUSY || e == ERR_FULL || e == ERR_NOT_FOUND) {
		again(g, why);
		return;
	}
	tell(g, why);
	g->over = true;
}

static void giver_hears(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct giving *g = arg;
	struct request r;

	(void)w, (void)site;
	if (g->client != client || g->over)
		return;
	if (bytes.len == 0) {
		g->client = 0;
		again(g, "its node went down before it answered");
	}
	while (g->client == client && !g->over && next_reply(&bytes, &r)) {
		if (r.type == REPLY_ROW)
			read_row(g, &r);
		else if (r.type == REPLY_DONE)
			taken(g, &r);
		else if (r.type == REPLY_ERROR)
			turned_down(g, &r);
	}
}

/* ---- tries -------------------------------------------------------------------------------------------------------------------- */

/* The site itself, when it can; else a relocator that can. */
static void choose(struct giving *g)
{
	const struct roster *r = world_roster(g->p->w);

	g->site = g->e->sites.v[0];
	for (size_t i = 0; world_site_state(g->p->w, g->site) != SITE_UP && i < r->n_relocators; i++) {
		size_t s = world_site_by_number(g->p->w, r->relocators[i]);

		if (s != WORLD_NO_SITE && world_site_state(g->p->w, s) == SITE_UP)
			g->site = s;
	}
}

static void giving_try(void *arg, struct world *w, uint64_t cookie)
{
	static const struct client_rights rights = {.name = "duty-officer", .may_operate = true, .precedence = PREC_ROUTINE};
	struct giving *g = arg;

	(void)cookie;
	if (g->over || g->client)
		return;
	if (g->chosen)
		choose(g);
	g->client = world_client_open(w, g->site, &rights, giver_hears, g);
	if (g->client)
		giving_ask(g);
	else
		again(g, "its node is down");
}

static void give(struct play *p, const struct drill_event *e, size_t site, bool chosen, const char *id)
{
	struct giving *g = calloc(1, sizeof *g);

	if (g == NULL) {
		p->nomem = true;
		return;
	}
	*g = (struct giving){.next = p->givings, .p = p, .e = e, .site = site, .chosen = chosen, .endorses = id != NULL};
	snprintf(g->id, sizeof g->id, "%s", id ? id : "");
	p->givings = g;
	giving_try(g, p->w, 0);
}

void order_give(struct play *p, const struct drill_event *e)
{
	if (e->what != DO_MINIMIZE)
		desks_follow(p, e);
	give(p, e, e->from.n ? e->from.v[0] : e->sites.v[0], e->from.n == 0, NULL);
}

void order_release(struct play *p)
{
	while (p->givings) {
		struct giving *g = p->givings;

		p->givings = g->next;
		free(g);
	}
}
