#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/world.h"

#include "proto/frame.h"

#define EPOCH_US (1626271200LL * US_PER_S) /* 14 July 2021, 14:00 UTC */
#define BATCH 64

uint64_t world_random(struct world *w, uint64_t below)
{
	w->prng += 0x9e3779b97f4a7c15u; /* splitmix64, Steele, Lea, Flood 2014 */
	uint64_t z = w->prng;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % below;
}

struct wall world_wall(const struct world *w, size_t i)
{
	return (struct wall){EPOCH_US + w->now.us + w->node[i].clock_offset_us};
}

size_t world_index(const struct world *w, const char *site)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->keys[i].site, site) == 0)
			return i;
	fail_msg("no site %s in this world", site);
	return 0;
}

static size_t index_of(const struct world *w, uint16_t number)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->number[i] == number)
			return i;
	return WORLD_NODES;
}

/* ---- events on their way ------------------------------------------------------------------------------------------- */

static struct world_msg *post(struct world *w, size_t to, int64_t after_us, struct view bytes)
{
	if (w->n_queue == w->cap_queue) {
		w->cap_queue = w->cap_queue ? 2 * w->cap_queue : 256;
		w->queue = realloc(w->queue, w->cap_queue * sizeof *w->queue);
		assert_non_null(w->queue);
	}
	struct world_msg *m = &w->queue[w->n_queue++];

	*m = (struct world_msg){.used = true, .at = mono_add(w->now, after_us), .order = w->order++, .to = (uint16_t)to};
	m->bytes = malloc(bytes.len + 1);
	assert_non_null(m->bytes);
	if (bytes.len)
		memcpy(m->bytes, bytes.ptr, bytes.len);
	return m;
}

static void drop_queue(struct world *w, size_t to)
{
	for (size_t k = 0; k < w->n_queue; k++)
		if (w->queue[k].used && w->queue[k].to == to) {
			free(w->queue[k].bytes);
			w->queue[k].used = false;
		}
}

static void post_lane(struct world *w, size_t a, size_t b, uint8_t lane, bool up)
{
	struct world_msg *m = post(w, a, w->delay_us, view_of(NULL, 0));

	m->ev.type = up ? EVENT_LINK_UP : EVENT_LINK_DOWN;
	m->ev.u.link.peer = w->number[b];
	m->ev.u.link.lane = lane;
	snprintf(m->ev.u.link.bearer, sizeof m->ev.u.link.bearer, "%s", w->node[a].over[b] ? w->node[a].over[b] : "test");
}

static void post_link(struct world *w, size_t a, size_t b, bool up)
{
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++)
		post_lane(w, a, b, lane, up);
}

void world_bulk(struct world *w, size_t a, size_t b, bool up)
{
	post_lane(w, a, b, LANE_BULK, up);
	post_lane(w, b, a, LANE_BULK, up);
}

void world_bearer_is(struct world *w, size_t a, size_t b, uint8_t index, uint8_t count, enum dial_why why)
{
	for (uint8_t lane = 0; lane < LANE_COUNT; lane++) {
		struct world_msg *m = post(w, a, 0, view_of(NULL, 0));

		m->ev.type = EVENT_BEARER;
		m->ev.u.bearer = (struct bearer_news){.peer = w->number[b], .lane = lane, .index = index, .count = count, .cost = 10 * (index + 1), .why = why};
		snprintf(m->ev.u.bearer.name, sizeof m->ev.u.bearer.name, index ? "test-%d" : "test", index);
	}
}

void world_bearers(struct world *w, size_t a, size_t b, uint8_t count)
{
	for (uint8_t i = 0; i < count; i++)
		world_bearer_is(w, a, b, i, count, i ? WHY_UNTRIED : WHY_UP);
}

static bool linked(const struct world *w, size_t a, size_t b)
{
	return w->node[a].up && w->node[b].up && !w->node[a].cut[b];
}

/* Which copy of a site gets a frame: who dialled, or the first that can be dialled. */
static size_t receiver(const struct world *w, size_t from, const struct effect *f)
{
	size_t to = index_of(w, f->peer), asked = to < w->n ? w->node[from].speaks[to] : to;

	if (f->side == SIDE_ACCEPTED && asked < w->n && linked(w, from, asked))
		return asked;
	for (size_t i = to; i < w->n; i++)
		if (w->number[i] == f->peer && linked(w, from, i))
			return i;
	return to;
}

static void send_frame(struct world *w, size_t from, const struct effect *f, struct view bytes)
{
	size_t to = receiver(w, from, f);

	w->frames++;
	w->frame_bytes += bytes.len;
	if (to >= w->n || !linked(w, from, to) || (w->loss_percent && world_random(w, 100) < w->loss_percent)) {
		w->lost++;
		return;
	}
	if (w->node[to].deaf && bytes.len > 1 && bytes.ptr[1] == FRAME_SEGMENT) {
		w->node[to].unread_bytes += bytes.len;
		return;
	}
	int64_t jitter = w->jitter_us ? (int64_t)world_random(w, (uint64_t)w->jitter_us) : 0;
	struct mono *last = &w->node[from].last_at[to][f->lane][f->side], at = mono_add(w->now, w->delay_us + jitter);

	if (mono_before(at, *last))
		at = *last; /* a connection keeps its order */
	if (w->rate_bps)
		at = mono_add(at, (int64_t)bytes.len * 8 * US_PER_S / w->rate_bps);
	*last = at;
	if (f->side == SIDE_DIALLED)
		w->node[to].speaks[index_of(w, w->number[from])] = from;
	struct world_msg *m = post(w, to, at.us - w->now.us, bytes);

	m->ev.type = EVENT_FRAME;
	m->ev.u.frame.peer = w->number[from];
	m->ev.u.frame.lane = f->lane;
	m->ev.u.frame.side = f->side == SIDE_DIALLED ? SIDE_ACCEPTED : SIDE_DIALLED;
	m->ev.u.frame.bytes = view_of(m->bytes, bytes.len);
}

static void perform(struct world *w, size_t i, struct effects *out)
{
	for (size_t k = 0; k < out->n; k++) {
		const struct effect *f = &out->list[k];
		struct view bytes = effect_bytes(out, f);

		switch (f->type) {
		case EFFECT_FRAME: send_frame(w, i, f, bytes); break;
		case EFFECT_REPLY: buf_add(&w->node[i].replies, bytes); break;
		case EFFECT_LINK_RESET:
			w->resets++;
			if (index_of(w, f->peer) < w->n && linked(w, i, index_of(w, f->peer))) {
				post_link(w, i, index_of(w, f->peer), false);
				post_link(w, i, index_of(w, f->peer), true);
			}
			break;
		case EFFECT_LINK_NEED:
			if (index_of(w, f->peer) < w->n)
				w->node[i].need[index_of(w, f->peer)][f->lane] = f->side;
			break;
		case EFFECT_LINK_RETRY: w->node[i].retries++; break;
		case EFFECT_LOG:
			if (getenv("WORLD_LOG"))
				fprintf(stderr, "%10.3f %s: %.*s\n", (double)w->now.us / US_PER_S, w->keys[i].site, (int)bytes.len, (const char *)bytes.ptr);
			break;
		default: break;
		}
	}
}

static enum err fail_commit(void *arg, uint64_t commit)
{
	struct world_node *n = arg;

	(void)commit;
	n->commits++;
	if (n->full)
		return ERR_FULL;
	return n->fail_at && n->commits == n->fail_at ? n->fail_with : ERR_OK;
}

static void apply(struct world *w, size_t i, struct event *ev, size_t n)
{
	struct effects out = EFFECTS_EMPTY;

	for (size_t k = 0; k < n; k++) {
		ev[k].now = w->now;
		ev[k].wall = world_wall(w, i);
	}
	enum err e = core_apply(w->node[i].core, w->node[i].store, ev, n, &out);

	if (e) {
		/* The disk did not confirm: the process ends, as the daemon does. */
		world_crash(w, i);
	} else {
		perform(w, i, &out);
	}
	effects_release(&out);
}

/* All that is due at one node at this instant goes into one batch. */
static void step_node(struct world *w, size_t i)
{
	struct event ev[BATCH];
	uint8_t *bytes[BATCH];
	size_t n = 0;

	while (n < BATCH) {
		struct world_msg *best = NULL;

		for (size_t k = 0; k < w->n_queue; k++) {
			struct world_msg *m = &w->queue[k];

			if (m->used && m->to == i && m->at.us <= w->now.us && (!best || m->at.us < best->at.us || (m->at.us == best->at.us && m->order < best->order)))
				best = m;
		}
		if (!best)
			break;
		best->used = false;
		bytes[n] = best->bytes;
		ev[n++] = best->ev;
	}
	if (w->node[i].core && w->node[i].up) {
		if (n == 0)
			ev[n] = (struct event){.type = EVENT_TICK}, bytes[n++] = NULL;
		apply(w, i, ev, n);
	}
	for (size_t k = 0; k < n; k++)
		free(bytes[k]);
}

static void compact(struct world *w)
{
	size_t n = 0;

	for (size_t k = 0; k < w->n_queue; k++)
		if (w->queue[k].used)
			w->queue[n++] = w->queue[k];
	w->n_queue = n;
}

static struct mono next_time(const struct world *w, size_t *who)
{
	struct mono at = MONO_NEVER;

	for (size_t k = 0; k < w->n_queue; k++)
		if (w->queue[k].used && w->queue[k].at.us < at.us) {
			at = w->queue[k].at;
			*who = w->queue[k].to;
		}
	for (size_t i = 0; i < w->n; i++)
		if (w->node[i].up && core_deadline(w->node[i].core).us < at.us) {
			at = core_deadline(w->node[i].core);
			*who = i;
		}
	return at;
}

void world_run(struct world *w, int64_t us)
{
	struct mono end = mono_add(w->now, us);
	size_t who = 0;

	for (;;) {
		struct mono at = next_time(w, &who);

		if (at.us > end.us)
			break;
		if (at.us > w->now.us)
			w->now = at;
		step_node(w, who);
		compact(w);
	}
	w->now = end;
}

/* ---- life ------------------------------------------------------------------------------------------------------------- */

struct roster *world_open_roster(struct world *w)
{
	struct roster *r = NULL;
	struct errmsg m;
	char minisig[LIMIT_MINISIG_BYTES];
	enum err e;

	if (w->travels) {
		assert_int_equal(minisign_sign(&w->authority, buf_view(&w->roster_text), "test", minisig, sizeof minisig), ERR_OK);
		e = roster_open("roster", buf_view(&w->roster_text), view_str(minisig), &w->authority_public, &r, &m);
	} else {
		e = roster_parse("roster", buf_view(&w->roster_text), &w->authority_public, false, &r, &m);
	}

	if (e)
		fail_msg("roster: %s", m.text);
	return r;
}

void world_open_store(struct world *w, size_t i, enum store_birth_how how)
{
	struct store_birth b = {.site = w->number[i], .how = how, .born = {EPOCH_US}};
	struct store_options o = {0};

	memcpy(b.site_id, w->keys[i].site, sizeof b.site_id);
	b.network = roster_network_hash(w->keys[i].network, &w->authority_public);
	assert_int_equal(store_open_memory(&b, &o, fail_commit, &w->node[i], &w->node[i].store), ERR_OK);
}

void world_start(struct world *w, size_t i)
{
	struct core_config k = {.suite = w->suite, .keys = w->keys[i], .keep = w->node[i].keep, .scrub_us = w->node[i].scrub_us, .leases_most = w->node[i].leases_most, .has_authority = w->travels,
				 .authority = w->authority_public.key};
	struct event ev[2] = {{.type = EVENT_START}, {.type = EVENT_CLIENT_OPEN}};
	struct errmsg m;

	for (size_t b = 0; b < sizeof k.seed && !w->node[i].fixed_seed; b++)
		w->node[i].seed[b] = (uint8_t)world_random(w, 256);
	static_assert(sizeof k.seed == sizeof w->node[i].seed, "seeds are alike");
	memcpy(k.seed, w->node[i].seed, sizeof k.seed);
	enum err e = core_new(&k, world_open_roster(w), w->node[i].store, &w->node[i].core, &m);

	if (e)
		fail_msg("core_new: %s", m.text);
	w->node[i].up = true;
	ev[1].u.client.client = WORLD_CLIENT;
	ev[1].u.client.rights = (struct client_rights){.name = "desk", .may_send = true, .may_take = true, .may_operate = true, .precedence = PREC_FLASH};
	apply(w, i, ev, 2);
	for (size_t k2 = 0; k2 < w->n; k2++)
		if (k2 != i && w->number[k2] != w->number[i] && linked(w, i, k2)) {
			post_link(w, i, k2, true);
			post_link(w, k2, i, true);
		}
}

void world_crash(struct world *w, size_t i)
{
	core_free(w->node[i].core);
	w->node[i].core = NULL;
	w->node[i].up = false;
	store_restart_memory(w->node[i].store);
	drop_queue(w, i);
	for (size_t k = 0; k < w->n; k++)
		if (k != i && w->number[k] != w->number[i] && w->node[k].up && !w->node[k].cut[i])
			post_link(w, k, i, false);
	buf_clear(&w->node[i].replies);
	w->node[i].read = 0;
}

void world_stop(struct world *w, size_t i)
{
	struct event ev = {.type = EVENT_STOP};

	apply(w, i, &ev, 1);
	world_crash(w, i);
}

void world_lose_journal(struct world *w, size_t i)
{
	assert_false(w->node[i].up);
	store_close(w->node[i].store);
	world_open_store(w, i, BIRTH_LOST);
}

void world_link(struct world *w, size_t a, size_t b, bool up)
{
	if (w->node[a].cut[b] == !up)
		return;
	w->node[a].cut[b] = w->node[b].cut[a] = !up;
	if (w->node[a].up && w->node[b].up) {
		post_link(w, a, b, up);
		post_link(w, b, a, up);
	}
}

struct roster *world_roster_copy(struct world *w)
{
	struct roster *r = world_open_roster(w);

	r->serial++;
	return r;
}

void world_reload(struct world *w, size_t i)
{
	struct event ev = {.type = EVENT_ROSTER};

	ev.u.roster.roster = world_open_roster(w);
	apply(w, i, &ev, 1);
}

void world_roster_at(struct world *w, size_t i, const struct roster *r)
{
	buf_clear(&w->roster_text);
	assert_int_equal(roster_format(r, &w->roster_text), ERR_OK);
	world_reload(w, i);
}

void world_roster(struct world *w, const struct roster *r)
{
	buf_clear(&w->roster_text);
	assert_int_equal(roster_format(r, &w->roster_text), ERR_OK);
	for (size_t i = 0; i < w->n; i++)
		if (w->node[i].up)
			world_reload(w, i);
}

void world_enrol(struct world *w, size_t i, struct roster *r)
{
	struct site *s = (struct site *)roster_site(r, w->number[i]);
	uint8_t seed[32];

	for (size_t b = 0; b < sizeof seed; b++)
		seed[b] = (uint8_t)world_random(w, 256);
	memmove(&s->former[1], &s->former[0], s->n_former * sizeof s->former[0]);
	s->former[0] = s->identity;
	s->n_former++;
	site_keys_make(seed, s->id, r->network, &w->keys[i]);
	s->identity = w->keys[i].identity_public;
	s->link = w->keys[i].link_public;
	s->sealing = w->keys[i].sealing[0].pub;
	sealing_key_sign(&w->keys[i].identity, s->number, &s->sealing, &s->sealing_signature);
}

static void make_roster(struct world *w, const char *const *sites, size_t n)
{
	static char text[LIMIT_ROSTER_BYTES];
	struct roster *r = NULL;
	struct errmsg m;
	uint16_t keep[WORLD_SITES];
	uint8_t seed[32];
	FILE *f = fopen("conf/belgium.conf", "r");

	assert_non_null(f);
	size_t len = fread(text, 1, sizeof text, f);
	fclose(f);
	if (roster_parse("conf/belgium.conf", view_of(text, len), NULL, true, &r, &m))
		fail_msg("%s", m.text);
	for (size_t i = 0; i < n; i++)
		keep[i] = roster_site_by_id(r, view_str(sites[i]))->number;
	assert_int_equal(roster_cut(r, keep, n), ERR_OK);
	for (size_t b = 0; b < sizeof seed; b++)
		seed[b] = (uint8_t)world_random(w, 256);
	sign_keypair(seed, &w->authority_public.key, &w->authority.key);
	for (size_t i = 0; i < n; i++) {
		struct site *s = (struct site *)roster_site_by_id(r, view_str(sites[i]));

		seed[0]++;
		site_keys_make(seed, sites[i], r->network, &w->keys[i]);
		w->number[i] = s->number;
		s->identity = w->keys[i].identity_public;
		s->link = w->keys[i].link_public;
		s->sealing = w->keys[i].sealing[0].pub;
		sealing_key_sign(&w->keys[i].identity, s->number, &s->sealing, &s->sealing_signature);
		s->n_bearers = 1;
		s->bearers[0] = (struct bearer){.cost = 10, .bulk = true};
		snprintf(s->bearers[0].name, sizeof s->bearers[0].name, "test");
		snprintf(s->bearers[0].endpoint, sizeof s->bearers[0].endpoint, "tcp://127.0.0.1:%zu", 20000 + i);
	}
	r->has_keys = true;
	r->serial = 1;
	assert_int_equal(roster_format(r, &w->roster_text), ERR_OK);
	roster_free(r);
}

void world_init(struct world *w, const char *const *sites, size_t n, uint64_t seed)
{
	assert_true(n <= WORLD_SITES);
	assert_int_equal(crypt_start(), ERR_OK);
	*w = (struct world){.n = n, .n_sites = n, .prng = seed, .delay_us = 5000, .suite = &crypt_suite_fast};
	make_roster(w, sites, n);
	/* The fast suite signs otherwise; the roster's own signatures are real ones. */
	for (size_t i = 0; i < n; i++)
		world_open_store(w, i, BIRTH_FRESH);
	for (size_t i = 0; i < n; i++)
		world_start(w, i);
	world_run(w, US_PER_S);
}

void world_release(struct world *w)
{
	for (size_t i = 0; i < w->n; i++) {
		core_free(w->node[i].core);
		store_close(w->node[i].store);
		buf_release(&w->node[i].replies);
		drop_queue(w, i);
	}
	free(w->queue);
	buf_release(&w->roster_text);
}

/* ---- clients -------------------------------------------------------------------------------------------------------------- */

bool world_reply(struct world *w, size_t i, struct request *out)
{
	struct world_node *n = &w->node[i];
	struct view left = view_of(n->replies.ptr + n->read, n->replies.len - n->read);
	size_t len = 0;

	if (left.len < 4 || request_length(left, &len) || !len || len > left.len)
		return false;
	n->read += len;
	return request_decode(view_of(left.ptr, len), out) == ERR_OK;
}

struct view reply_field(const struct request *r, uint8_t field)
{
	struct view rest = r->fields;
	struct request_item f;

	while (request_next(&rest, &f) == ERR_OK)
		if (f.field == field)
			return f.value;
	return view_of(NULL, 0);
}

void world_request(struct world *w, size_t i, const struct buf *bytes)
{
	struct world_msg *m = post(w, i, 0, buf_view(bytes));

	m->ev.type = EVENT_REQUEST;
	m->ev.u.request.client = WORLD_CLIENT;
	m->ev.u.request.bytes = view_of(m->bytes, bytes->len);
}

/* Runs until a reply with that tag comes; replies with other tags are passed over. */
static bool await(struct world *w, size_t i, uint32_t tag, int64_t us, struct request *out)
{
	struct mono end = mono_add(w->now, us);

	for (;;) {
		while (world_reply(w, i, out))
			if (out->tag == tag)
				return true;
		if (w->now.us >= end.us || !w->node[i].up)
			return false;
		world_run(w, 1000);
	}
}

static enum err reply_err(const struct request *r)
{
	char code[64];

	view_to_str(reply_field(r, F_CODE), code, sizeof code);
	return err_from_code(code);
}

enum err world_send(struct world *w, size_t i, const char *to, enum precedence p, struct view body, const struct send_options *o, struct msgid *id,
		    bool *duplicate)
{
	struct buf b = BUF_EMPTY;
	struct request_writer rw;
	struct request r;
	uint32_t tag = ++w->tag;
	bool chunked = body.len > LIMIT_CHUNK_BYTES;
	enum err e = ERR_TIMEOUT;

	request_begin(&rw, &b, REQ_SUBMIT, tag);
	request_str(&rw, F_TO, to);
	request_u8(&rw, F_PRECEDENCE, (uint8_t)p);
	request_str(&rw, F_SUBJECT, o ? o->subject : NULL);
	request_str(&rw, F_KEY, o ? o->key : NULL);
	request_str(&rw, F_EXERCISE, o ? o->exercise : NULL);
	if (o && o->expires_us)
		request_u64(&rw, F_EXPIRES, (uint64_t)o->expires_us);
	if (chunked)
		request_u64(&rw, F_BODY_BYTES, body.len);
	else
		request_field(&rw, F_BODY, body);
	request_end(&rw);
	world_request(w, i, &b);
	for (size_t at = 0; chunked && at < body.len;) {
		size_t n = body.len - at < LIMIT_CHUNK_BYTES ? body.len - at : LIMIT_CHUNK_BYTES;

		buf_clear(&b);
		request_begin(&rw, &b, REQ_CHUNK, tag);
		request_field(&rw, F_BODY, view_of(body.ptr + at, n));
		request_end(&rw);
		world_request(w, i, &b);
		at += n;
	}
	while (await(w, i, tag, 2 * US_PER_S, &r)) {
		if (r.type == REPLY_NEXT)
			continue;
		e = r.type == REPLY_ACCEPTED ? ERR_OK : reply_err(&r);
		if (!e && id)
			memcpy(id->b, reply_field(&r, F_ID).ptr, MSGID_BYTES);
		if (!e && duplicate)
			*duplicate = reply_field(&r, F_DUPLICATE).ptr[0];
		break;
	}
	buf_release(&b);
	return e;
}

uint32_t world_take(struct world *w, size_t i, const char *queue, uint32_t count, int64_t lease_us)
{
	struct buf b = BUF_EMPTY;
	struct request_writer rw;
	uint32_t tag = ++w->tag;

	request_begin(&rw, &b, REQ_TAKE, tag);
	request_str(&rw, F_QUEUE, queue);
	request_u32(&rw, F_COUNT, count);
	if (lease_us)
		request_u64(&rw, F_LEASE_US, (uint64_t)lease_us);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	return tag;
}

static void stop_take(struct world *w, size_t i, uint32_t tag)
{
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	request_begin(&rw, &b, REQ_TAKE_STOP, tag);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	world_run(w, 1000);
}

bool world_take_one(struct world *w, size_t i, const char *queue, int64_t run_us, struct taken *out)
{
	struct request r;
	uint32_t tag = world_take(w, i, queue, 1, w->lease_us);

	if (!await(w, i, tag, run_us, &r)) {
		if (w->node[i].up)
			stop_take(w, i, tag);
		return false;
	}
	if (r.type != REPLY_TAKEN)
		return false;
	if (!out)
		return true;
	memcpy(out->id.b, reply_field(&r, F_ID).ptr, MSGID_BYTES);
	view_to_str(reply_field(&r, F_SUBJECT), out->subject, sizeof out->subject);
	view_to_str(reply_field(&r, F_PERHAPS_SEEN), out->perhaps_seen, sizeof out->perhaps_seen);
	view_to_str(reply_field(&r, F_FROM), out->from, sizeof out->from);
	out->precedence = reply_field(&r, F_PRECEDENCE).ptr[0];
	out->chunked = reply_field(&r, F_BODY_BYTES).len > 0;
	buf_clear(&out->body);
	buf_add(&out->body, reply_field(&r, F_BODY));
	return true;
}

enum err world_handle(struct world *w, size_t i, enum request_type type, const struct msgid *id)
{
	struct buf b = BUF_EMPTY;
	struct request_writer rw;
	struct request r;
	uint32_t tag = ++w->tag;

	request_begin(&rw, &b, type, tag);
	request_id(&rw, id);
	if (type == REQ_REFUSE)
		request_str(&rw, F_REASON, "test");
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	if (!await(w, i, tag, 2 * US_PER_S, &r))
		return ERR_TIMEOUT;
	return r.type == REPLY_DONE ? ERR_OK : reply_err(&r);
}

enum wait_state world_state(struct world *w, size_t i, const struct msgid *id)
{
	struct buf b = BUF_EMPTY;
	struct request_writer rw;
	struct request r;
	uint32_t tag = ++w->tag;

	request_begin(&rw, &b, REQ_WAIT, tag);
	request_id(&rw, id);
	request_u8(&rw, F_STATE, STATE_ACCEPTED);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
	if (!await(w, i, tag, 2 * US_PER_S, &r) || r.type != REPLY_STATE)
		return 0;
	return reply_field(&r, F_STATE).ptr[0];
}

static void show(struct world *w, size_t i, const char *what, uint32_t tag)
{
	struct buf b = BUF_EMPTY;
	struct request_writer rw;

	request_begin(&rw, &b, REQ_SHOW, tag);
	request_str(&rw, F_WHAT, what);
	request_end(&rw);
	world_request(w, i, &b);
	buf_release(&b);
}

int64_t world_status(struct world *w, size_t i, const char *member)
{
	struct request r;
	struct request_item f;
	uint32_t tag = ++w->tag;
	bool here = false;

	show(w, i, "status", tag);
	if (!await(w, i, tag, 2 * US_PER_S, &r))
		return -1;
	for (struct view rest = r.fields; request_next(&rest, &f) == ERR_OK;) {
		if (f.field == F_NAME)
			here = view_equal(f.value, view_str(member));
		else if (here)
			return f.field == F_FLAG ? item_u8(&f) : (int64_t)item_u64(&f);
	}
	return -1;
}

bool world_alarm(struct world *w, size_t i, const char *kind)
{
	struct request r;
	uint32_t tag = ++w->tag;
	bool found = false;

	show(w, i, "alarms", tag);
	while (await(w, i, tag, 2 * US_PER_S, &r) && r.type == REPLY_ROW) {
		struct request_item f;
		bool is_kind = false;

		for (struct view rest = r.fields; request_next(&rest, &f) == ERR_OK;) {
			if (f.field == F_NAME)
				is_kind = view_equal(f.value, view_str("kind"));
			else if (is_kind && view_equal(f.value, view_str(kind)))
				found = true;
		}
	}
	return found;
}
