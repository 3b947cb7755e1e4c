/* forecast_world.c - one world: sites and links as they are known, everything handed over at one moment, and how long it takes. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "proto/request.h"
#include "proto/seal.h"
#include "sim/forecast_int.h"

#define PROBE_US (10 * 60 * US_PER_S)
/* Links are up, and everybody has said so, before anything is handed over. */
#define WARM_SLICE_US (100 * US_PER_MS)
#define WARM_MOST_US (600 * US_PER_S)
#define WARM_MORE_US (5 * US_PER_S)
#define SLICE_US (60 * US_PER_S)
/* A line that is silent is no line: below this nothing is reckoned. */
#define SLOWEST_BPS 300
/* What of an entry is not body: envelope, and what the node counts for the rest. */
#define AROUND_BYTES 400
#define LARGE_LEAST (LIMIT_CHUNK_BYTES + 1)
#define UPLOADS 8
/* Everything is handed over at one moment, and yet goes by the time until which it is to be handled: each site has queues that differ in
 * nothing else, for the first part of it, the second, ... */
#define PARTS 60
/* Rosters are not longer than LIMIT_ROSTER_BYTES: with very many sites there are fewer parts. */
#define PART_BYTES 140

struct upload { uint32_t item; struct buf body; size_t sent; };
struct session {
	struct lab *lab;
	size_t site;
	uint64_t client;
	size_t next;                 /* of the items: up to here they were handed over */
	struct upload upload[UPLOADS]; size_t n_uploads;
};
/* One world of a forecast. */
struct lab {
	struct forecast *f;
	bool alone;
	unsigned parts; uint8_t *part; /* of the items */
	struct roster *roster;
	struct link_config *links; size_t n_links;
	struct world *w;
	struct arrivals *arrivals;
	struct prng prng;
	struct session *sessions;    /* one a place */
	struct msgid *ids; bool *given, *known; /* of the items: handed over, and accepted */
	struct mono from;
	int64_t after_us;            /* what is held back for no longer goes now */
};

/* ---- making it ------------------------------------------------------------------------------------------------------------- */

static void put(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(struct buf *b, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	buf_add(b, view_str(text));
}

static void add_queues(struct buf *b, unsigned parts)
{
	for (unsigned i = 0; i < parts; i++)
		put(b, "%s{ name = \"part-%u\"; deadlines = { flash = \"%us\"; immediate = \"%us\"; priority = \"%us\"; routine = \"%us\"; }; }", i ? ", " : "", i, 600 + i, 1800 + i,
		    10800 + i, 21600 + i);
}

static bool gets_something(const struct forecast *f, size_t site)
{
	for (size_t i = 0; i < f->n_items; i++)
		if (f->items[i].to == site)
			return true;
	return false;
}

static unsigned parts_of(const struct forecast *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_sites; i++)
		n += f->sites[i].kept && gets_something(f, i);
	size_t most = LIMIT_ROSTER_BYTES / 2 / PART_BYTES / (n ? n : 1);

	return most < 1 ? 1 : most < PARTS ? (unsigned)most : PARTS;
}

/* Without standbys: who is to have what is said by what is sent. */
static enum err make_roster(struct lab *x, struct errmsg *m)
{
	const struct forecast *f = x->f;
	struct buf b = BUF_EMPTY;
	const char *comma = "";

	x->parts = parts_of(f);
	put(&b, "network = \"forecast\"; serial = 1; relocators = ( \"%s\" ); quorum = 1;\nsites = (\n", f->sites[f->self].name);
	for (size_t i = 0; i < f->n_sites; i++) {
		if (!f->sites[i].kept)
			continue;
		put(&b, "%s{ number = %zu; id = \"%s\"; lang = \"nl\"; standbys = ( ); queues = ( ", comma, f->sites[i].place + 1, f->sites[i].name);
		add_queues(&b, gets_something(f, i) ? x->parts : 1);
		put(&b, " ); }\n");
		comma = ",";
	}
	put(&b, ");\n");
	enum err e = buf_ok(&b) ? roster_parse("forecast", buf_view(&b), NULL, true, &x->roster, m) : ERR_NOMEM;

	buf_release(&b);
	return e;
}

static struct bearer_config bearer_of(const struct lab *x, const struct fc_line *line, bool no_bulk, int cost)
{
	int64_t rate = line->rate_bps / (int64_t)x->f->scale;
	struct bearer_config b = {.cost = cost, .delay_us = line->round_us / 2, .rate_bps = rate > SLOWEST_BPS ? rate : SLOWEST_BPS, .no_bulk = no_bulk};

	snprintf(b.name, sizeof b.name, "%s", line->bearer);
	return b;
}

static void add_link(struct lab *x, size_t a, size_t b)
{
	const struct forecast *f = x->f;
	struct fc_line urgent = fc_line(f, a, b, false, x->alone), bulk = fc_line(f, a, b, true, x->alone);
	struct link_config *l = &x->links[x->n_links++];
	bool two = strcmp(urgent.bearer, bulk.bearer) != 0;

	l->a = (uint16_t)f->sites[a].place;
	l->b = (uint16_t)f->sites[b].place;
	l->bearers[l->n_bearers++] = bearer_of(x, &urgent, two, 10);
	if (two)
		l->bearers[l->n_bearers++] = bearer_of(x, &bulk, false, 20);
}

static enum err make_links(struct lab *x)
{
	const struct forecast *f = x->f;
	size_t n = x->roster->n_sites;

	x->links = calloc(n * (n - 1) / 2 + 1, sizeof *x->links);
	for (size_t a = 0; x->links && a < f->n_sites; a++)
		for (size_t b = a + 1; b < f->n_sites; b++)
			if (f->sites[a].kept && f->sites[b].kept && fc_linked(f, a, b) && (!f->paths_only || f->sites[a].parent == b || f->sites[b].parent == a))
				add_link(x, a, b);
	return x->links ? ERR_OK : ERR_NOMEM;
}

/* Items are in the order in which they are due, precedence by precedence. */
static void make_parts(struct lab *x)
{
	const struct forecast *f = x->f;
	size_t n[PREC_COUNT] = {0}, at[PREC_COUNT] = {0};

	for (size_t i = 0; i < f->n_items; i++)
		n[f->items[i].precedence]++;
	for (size_t i = 0; i < f->n_items; i++) {
		uint8_t p = f->items[i].precedence;

		x->part[i] = (uint8_t)(x->parts * at[p]++ / n[p]);
	}
}

static enum err make_world(struct lab *x, struct errmsg *m)
{
	struct world_config c = {.seed = 1, .start = x->f->now, .suite = &crypt_suite_fast, .store = WORLD_MEMORY, .core = {.probe_us = PROBE_US}};
	enum err e = make_roster(x, m);

	if (!e)
		e = make_links(x);
	if (e)
		return e;
	c.roster = x->roster;
	c.links = x->links;
	c.n_links = x->n_links;
	e = world_new(&c, &x->w, m);
	if (e)
		return e;
	x->arrivals = arrivals_new(x->w);
	x->sessions = calloc(x->roster->n_sites, sizeof *x->sessions);
	x->ids = calloc(x->f->n_items + 1, sizeof *x->ids);
	x->part = calloc(x->f->n_items + 1, 1);
	x->given = calloc(x->f->n_items + 1, sizeof *x->given);
	x->known = calloc(x->f->n_items + 1, sizeof *x->known);
	prng_init(&x->prng, 1, "forecast", 0);
	if (!x->sessions || !x->ids || !x->part || !x->given || !x->known)
		return ERR_NOMEM;
	make_parts(x);
	return ERR_OK;
}

static void release(struct lab *x)
{
	for (size_t i = 0; x->sessions && i < x->roster->n_sites; i++)
		for (size_t k = 0; k < x->sessions[i].n_uploads; k++)
			buf_release(&x->sessions[i].upload[k].body);
	world_free(x->w);
	arrivals_free(x->arrivals);
	roster_free(x->roster);
	free(x->links);
	free(x->sessions);
	free(x->ids);
	free(x->part);
	free(x->given);
	free(x->known);
}

static bool stopped(const volatile sig_atomic_t *interrupted) { return interrupted && *interrupted; }

static bool all_up(const struct lab *x)
{
	for (size_t i = 0; i < x->n_links; i++)
		if (!world_connected(x->w, x->links[i].a, x->links[i].b) || !world_connected(x->w, x->links[i].b, x->links[i].a))
			return false;
	return true;
}

static void warm_up(struct lab *x, const volatile sig_atomic_t *interrupted)
{
	while (!all_up(x) && world_now(x->w).us < WARM_MOST_US && !stopped(interrupted))
		world_run(x->w, mono_add(world_now(x->w), WARM_SLICE_US));
	world_run(x->w, mono_add(world_now(x->w), WARM_MORE_US));
}

/* ---- handing over ------------------------------------------------------------------------------------------------------------ */

/* A body that is about as long as that in a journal: bodies are padded to buckets, four an octave. */
static size_t body_bytes(const struct lab *x, const struct fc_item *i)
{
	uint64_t bytes = i->bytes / x->f->scale;

	if (i->large)
		return bytes > LARGE_LEAST ? bytes : LARGE_LEAST;
	bytes = bytes > AROUND_BYTES + 64 ? bytes - AROUND_BYTES : 64;
	if (bytes > LIMIT_CHUNK_BYTES - 64)
		return LIMIT_CHUNK_BYTES - 64;
	/* Between the two nearest buckets the nearer one. */
	uint8_t up = bucket_of(bytes);
	uint64_t high = bucket_bytes(up), low = up > 1 ? bucket_bytes((uint8_t)(up - 1)) : 64;

	return (size_t)(high - bytes <= bytes - low ? high : low) - 32;
}

static void random_body(struct lab *x, size_t n, struct buf *out)
{
	uint8_t *p = buf_extend(out, n);

	if (p)
		prng_bytes(&x->prng, p, n);
}

static void hand_over(struct session *s, uint32_t item)
{
	struct lab *x = s->lab;
	const struct fc_item *i = &x->f->items[item];
	struct buf b = BUF_EMPTY, body = BUF_EMPTY;
	char address[LIMIT_ADDRESS_BYTES + 1];
	struct request_writer rw;

	x->given[item] = true;
	random_body(x, body_bytes(x, i), &body);
	snprintf(address, sizeof address, "%s/part-%u", x->f->sites[i->to].name, x->part[item]);
	request_begin(&rw, &b, REQ_SUBMIT, item + 1);
	request_str(&rw, F_TO, address);
	request_u8(&rw, F_PRECEDENCE, i->precedence);
	if (i->large)
		request_u64(&rw, F_BODY_BYTES, body.len);
	else
		request_field(&rw, F_BODY, buf_view(&body));
	request_end(&rw);
	world_request(x->w, s->site, s->client, buf_view(&b));
	if (i->large)
		s->upload[s->n_uploads++] = (struct upload){.item = item, .body = body}; /* transferred */
	else
		buf_release(&body);
	buf_release(&b);
}

/* All that goes now, most urgent first; of large ones some at a time. */
static void pump(struct session *s)
{
	struct lab *x = s->lab;

	for (; s->client && s->next < x->f->n_items; s->next++) {
		const struct fc_item *i = &x->f->items[s->next];

		if (x->f->sites[i->at].place != s->site || i->after_us > x->after_us || x->given[s->next] || (x->alone && !i->asked))
			continue;
		if (i->large && s->n_uploads == UPLOADS)
			return;
		hand_over(s, (uint32_t)s->next);
	}
}

static void send_chunks(struct session *s, struct upload *u, uint32_t credit)
{
	for (; credit && u->sent < u->body.len; credit--) {
		size_t n = u->body.len - u->sent < LIMIT_CHUNK_BYTES ? u->body.len - u->sent : LIMIT_CHUNK_BYTES;
		struct buf b = BUF_EMPTY;
		struct request_writer rw;

		request_begin(&rw, &b, REQ_CHUNK, u->item + 1);
		request_field(&rw, F_BODY, view_of(u->body.ptr + u->sent, n));
		request_end(&rw);
		world_request(s->lab->w, s->site, s->client, buf_view(&b));
		buf_release(&b);
		u->sent += n;
	}
}

static struct upload *upload_of(struct session *s, uint32_t item)
{
	for (size_t i = 0; i < s->n_uploads; i++)
		if (s->upload[i].item == item)
			return &s->upload[i];
	return NULL;
}

static void accepted(struct session *s, uint32_t item, struct view id)
{
	struct lab *x = s->lab;
	const struct fc_item *i = &x->f->items[item];
	struct upload *u = upload_of(s, item);

	if (u) {
		buf_release(&u->body);
		*u = s->upload[--s->n_uploads];
	}
	memcpy(x->ids[item].b, id.ptr, MSGID_BYTES);
	x->known[item] = true;
	if (i->asked)
		arrivals_watch(x->arrivals, &x->ids[item], x->f->sites[i->to].place);
}

static void answered(struct session *s, const struct request *r)
{
	struct request_item f;
	uint32_t credit = 0;
	struct view id = view_of(NULL, 0);

	for (struct view rest = r->fields; request_next(&rest, &f) == ERR_OK;) {
		if (f.field == F_COUNT)
			credit = item_u32(&f);
		if (f.field == F_ID && f.value.len == MSGID_BYTES)
			id = f.value;
	}
	if (!r->tag || r->tag > s->lab->f->n_items)
		return;
	if (r->type == REPLY_ACCEPTED && id.len)
		accepted(s, r->tag - 1, id);
	struct upload *u = r->type == REPLY_NEXT ? upload_of(s, r->tag - 1) : NULL;

	if (u)
		send_chunks(s, u, credit);
}

static void hears(void *arg, struct world *w, size_t site, uint64_t client, struct view bytes)
{
	struct session *s = arg;
	struct request r;
	size_t len;

	(void)w, (void)site, (void)client;
	while (bytes.len && !request_length(bytes, &len) && len && len <= bytes.len) {
		if (!request_decode(view_of(bytes.ptr, len), &r))
			answered(s, &r);
		bytes = view_of(bytes.ptr + len, bytes.len - len);
	}
	pump(s);
}

static void begin(struct lab *x)
{
	static const struct client_rights rights = {.name = "forecast", .may_send = true, .precedence = PREC_FLASH};

	x->from = world_now(x->w);
	for (size_t i = 0; i < x->roster->n_sites; i++) {
		struct session *s = &x->sessions[i];

		*s = (struct session){.lab = x, .site = i};
		s->client = world_client_open(x->w, i, &rights, hears, s);
		pump(s);
	}
}

/* What was held back goes: everything that is not known yet is looked at again. */
static void let_go(struct lab *x)
{
	x->after_us = INT64_MAX;
	for (size_t i = 0; i < x->roster->n_sites; i++) {
		x->sessions[i].next = 0;
		pump(&x->sessions[i]);
	}
}

/* ---- waiting ------------------------------------------------------------------------------------------------------------------- */

/* What is asked about and not handed over yet, or not there. */
static bool all_there(const struct lab *x)
{
	for (size_t i = 0; i < x->f->n_items; i++)
		if (x->f->items[i].asked && !x->known[i])
			return false;
	return arrivals_open(x->arrivals) == 0;
}

static int64_t next_let_go(const struct lab *x)
{
	int64_t us = 0;

	for (size_t i = 0; x->after_us == 0 && i < x->f->n_items; i++)
		us = x->f->items[i].after_us > us ? x->f->items[i].after_us : us;
	return us;
}

static void wait_for_all(struct lab *x, const volatile sig_atomic_t *interrupted)
{
	int64_t let_us = next_let_go(x);

	arrivals_stop_when_done(x->arrivals, true);
	while (!all_there(x) && !stopped(interrupted)) {
		int64_t us = world_now(x->w).us - x->from.us, slice = SLICE_US;

		if (us >= FORECAST_MOST_US)
			return;
		if (let_us && us >= let_us) {
			let_us = 0;
			let_go(x);
		}
		if (let_us && let_us - us < slice)
			slice = let_us - us;
		world_run(x->w, mono_add(world_now(x->w), slice));
	}
}

/* ---- what came out ----------------------------------------------------------------------------------------------------------------- */

static void keep_way(const struct lab *x, size_t item, struct fc_outcome *o)
{
	const struct forecast *f = x->f;

	arrivals_way(x->arrivals, &x->ids[item], f->sites[f->items[item].to].place, &o->way);
	/* Places become sites. */
	for (size_t k = 0; k < o->way.n; k++)
		for (size_t i = 0; i < f->n_sites; i++)
			if (f->sites[i].kept && f->sites[i].place == o->way.site[k]) {
				o->way.site[k] = i;
				break;
			}
}

static void keep_outcomes(struct lab *x)
{
	struct forecast *f = x->f;

	for (size_t i = 0; i < f->n_items; i++) {
		const struct fc_item *it = &f->items[i];
		struct mono at = it->asked && x->known[i] ? arrivals_at(x->arrivals, &x->ids[i], f->sites[it->to].place) : MONO_NEVER;
		struct fc_outcome *o = !it->asked ? NULL : it->message ? (x->alone ? &it->message->earliest : &it->message->likely) :
				       x->alone ? &it->load->earliest : &it->load->likely;

		/* Of a load the last one counts; one that does not come is worth more than all others. */
		if (!o || (it->load && o->us == FORECAST_MOST_US))
			continue;
		int64_t us = at.us == MONO_NEVER.us ? it->load ? FORECAST_MOST_US : -1 : at.us - x->from.us;

		if (us > o->us) {
			o->us = us;
			keep_way(x, i, o);
		}
	}
	for (size_t i = 0; i < f->n_loads; i++) {
		struct fc_outcome *o = x->alone ? &f->loads[i].earliest : &f->loads[i].likely;

		o->us = o->us == FORECAST_MOST_US ? -1 : o->us;
	}
}

enum err fc_world(struct forecast *f, bool alone, const volatile sig_atomic_t *interrupted, struct errmsg *m)
{
	struct lab x = {.f = f, .alone = alone};
	enum err e = make_world(&x, m);

	if (!e) {
		warm_up(&x, interrupted);
		begin(&x);
		wait_for_all(&x, interrupted);
		keep_outcomes(&x);
	}
	if (!e && stopped(interrupted))
		e = err_set(m, ERR_CLOSED, "forecast: interrupted");
	release(&x);
	return e;
}
