/* core.c - the life of a core and the dispatch of events; each kind of work lives in a file of its own. */
#include <stdio.h>

#include "node/core/core_int.h"

#define DEFAULT_LEASE_US (300 * US_PER_S)
#define DEFAULT_WINDOW_URGENT (1024 * 1024)
#define DEFAULT_WINDOW_BULK (4 * 1024 * 1024)
#define DEFAULT_PROBE_US (5 * US_PER_S)
/* After a start: so long at most a queue waits for word of orders that were given meanwhile. */
#define START_GRACE_US (3 * US_PER_S)
#define DEFAULT_UNATTENDED_US (30 * US_PER_S)
#define DEFAULT_SKEW_US (5 * US_PER_S)
#define HOLD_US US_PER_S
#define LOOK_AT_MOST_US (60 * US_PER_S)
#define LOOK_AT_LEAST_US US_PER_S
/* The wall clock may drift from the monotonic one by so much between two events before it counts as a jump. */
#define CLOCK_JUMP_US (60 * US_PER_S)

/* ---- small helpers ----------------------------------------------------------------------------------------- */

void *array_grow(void *array_ptr, size_t *n, size_t size)
{
	void **array = array_ptr;
	/* Room grows by powers of two; the count alone tells when. */
	if ((*n & (*n - 1)) == 0) {
		size_t cap = *n ? *n * 2 : 1;
		void *p = realloc(*array, cap * size);

		if (!p)
			return NULL;
		*array = p;
	}
	void *slot = (uint8_t *)*array + *n * size;

	memset(slot, 0, size);
	(*n)++;
	return slot;
}

const char *site_name(const struct core *c, uint16_t number, char out[LIMIT_NAME_BYTES + 1])
{
	const char *name = roster_site_name(c->roster, number, out);

	if (name != out)
		memcpy(out, name, strlen(name) + 1); /* a roster's names fit */
	return out;
}

bool is_custodian(const struct core *c, uint16_t site, uint16_t addressee, bool exercise)
{
	uint16_t list[LIMIT_CUSTODIANS];
	size_t n = custodians(c, addressee, exercise, list);

	for (size_t i = 0; i < n; i++)
		if (list[i] == site)
			return true;
	return false;
}

bool concerns(const struct core *c, uint16_t site, const struct stream_name *n)
{
	return site == n->originator || is_custodian(c, site, n->addressee, n->exercise);
}

struct client *client_find(struct core *c, uint64_t id)
{
	for (size_t i = 0; i < c->n_clients; i++)
		if (c->clients[i].id == id)
			return &c->clients[i];
	return NULL;
}

struct msgid core_next_id(struct core *c)
{
	uint8_t random[8];

	rng_bytes(&c->rng, random, sizeof random);
	c->last_id_dirty = true;
	return msgid_next(&c->last_id, c->wall, random);
}

struct tally *tally_of(struct core *c, uint8_t header_flags)
{
	c->counters_dirty = true;
	return &c->counters.of[(header_flags & HEADER_EXERCISE) != 0];
}

void deadline_at(struct core *c, struct mono at)
{
	c->deadline = mono_min(c->deadline, at);
}

/* ---- life -------------------------------------------------------------------------------------------------------------- */

static void config_defaults(struct core_config *k)
{
	if (!k->suite)
		k->suite = &crypt_suite_real;
	if (!k->lease_us)
		k->lease_us = DEFAULT_LEASE_US;
	if (k->protocol_max == 0 || k->protocol_max > PROTOCOL_MAX)
		k->protocol_max = PROTOCOL_MAX;
	if (!k->window_urgent_bytes)
		k->window_urgent_bytes = DEFAULT_WINDOW_URGENT;
	if (!k->window_bulk_bytes)
		k->window_bulk_bytes = DEFAULT_WINDOW_BULK;
	if (!k->probe_us)
		k->probe_us = DEFAULT_PROBE_US;
	if (!k->unattended_us)
		k->unattended_us = DEFAULT_UNATTENDED_US;
	if (!k->clock_skew_us)
		k->clock_skew_us = DEFAULT_SKEW_US;
	if (!k->leases_most)
		k->leases_most = LIMIT_QUEUE_LEASES;
	if (!k->max_clients)
		k->max_clients = 256;
	if (!k->scrub_us)
		k->scrub_us = US_PER_DAY;
	retention_defaults(&k->keep);
}

static enum err check_journal(struct core *c, struct errmsg *m)
{
	const struct store_birth *b = store_birth(c->store);

	c->me = roster_site_by_id(c->roster, view_str(c->config.keys.site));
	if (!c->me)
		return err_set(m, ERR_UNKNOWN_SITE, "roster: it does not name the site %s of our key file (check site and roster)", c->config.keys.site);
	c->self = c->me->number;
	if (b->site != c->self || strcmp(b->site_id, c->me->id) != 0)
		return err_set(m, ERR_CONFLICT, "journal: it belongs to the site %s, the keys to %s (name the right journal)", b->site_id, c->me->id);
	if (!hash_equal(&b->network, &c->roster->network_hash))
		return err_set(m, ERR_CONFLICT, "journal: it belongs to another network than the roster (name the right journal or roster)");
	return ERR_OK;
}

void core_retire(struct core *c)
{
	for (size_t i = 0; i < c->n_retired; i++)
		roster_free(c->retired[i]);
	c->n_retired = 0;
}

enum err core_new(const struct core_config *config, struct roster *roster, struct store *store, struct core **out, struct errmsg *m)
{
	struct core *c = calloc(1, sizeof *c);
	enum err e = ERR_NOMEM;

	*out = NULL;
	if (!c) {
		roster_free(roster);
		return err_set(m, ERR_NOMEM, "core: out of memory");
	}
	c->config = *config;
	config_defaults(&c->config);
	c->roster = roster;
	c->store = store;
	c->deadline = c->peers_at = c->probes_at = c->look_at = c->travel.at = MONO_NEVER;
	c->store_full_since = c->room.full_since = c->room.holds_at = c->floors_at = MONO_NEVER;
	c->minimize.from = PREC_COUNT;
	c->held_until.us = INT64_MIN;
	c->vectors.links_at = c->vectors.vouch_at = c->passing.at = c->replay.at = MONO_NEVER;
	c->batch = 1; /* 0 is none: no lane has sent in it */
	rng_seed(&c->rng, config->seed);
	crypt_wipe(c->config.seed, sizeof c->config.seed);
	e = check_journal(c, m);
	if (e)
		goto out;
	e = packer_new(&c->packer);
	if (e)
		goto out;
	peers_build(c);
	e = mirror_load(c);
	if (e)
		err_set(m, e, "journal: cannot be read: %s (run `estafette journal verify`)", err_text(e));
	else {
		*out = c;
		c = NULL; /* transferred */
	}
out:
	core_free(c);
	return e;
}

struct kept { const struct minisign_public *authority; struct roster *best; };

static enum err kept_roster(void *arg, const struct hash *id, struct view blob)
{
	struct kept *k = arg;
	struct roster *r;
	struct errmsg m;

	if ((k->best && roster_state_serial(id) <= k->best->serial) || roster_blob_open(blob, k->authority, &r, &m))
		return ERR_OK; /* a damaged one: another is as good, or comes from a peer */
	roster_free(k->best);
	k->best = r;
	return ERR_OK;
}

enum err core_kept_roster(struct store *store, const struct minisign_public *authority, struct roster **out)
{
	struct kept k = {authority, NULL};
	struct txn *t;
	enum err e = txn_begin(store, false, &t);

	*out = NULL;
	if (e)
		return e;
	e = store_state_each(t, STATE_KIND_ROSTER, kept_roster, &k);
	txn_abort(t);
	*out = k.best; /* transferred */
	return e == ERR_DAMAGED ? ERR_OK : e;
}

void core_free(struct core *c)
{
	if (!c)
		return;
	mirror_drop(c);
	vectors_drop(c);
	transit_drop(c);
	exchange_free(c);
	courier_free(c);
	room_free(c);
	travel_free(c);
	for (size_t i = 0; i < c->n_peers; i++) {
		free(c->peers[i]->digest);
		for (int lane = 0; lane < LANE_COUNT; lane++)
			free(c->peers[i]->lane[lane].ring);
		free(c->peers[i]->giving);
		bearers_free(c->peers[i]);
		linklog_drop(c->peers[i]);
		free(c->peers[i]->listed);
		hasher_free(c->peers[i]->list_hasher);
		free(c->peers[i]);
	}
	free(c->peers);
	free(c->peer_at);
	free(c->active);
	free(c->clients);
	free(c->takes);
	free(c->waits);
	for (size_t i = 0; i < c->n_uploads; i++) {
		buf_release(&c->uploads[i].request);
		buf_release(&c->uploads[i].leaves);
		hasher_free(c->uploads[i].hasher);
	}
	free(c->uploads);
	free(c->flash);
	free(c->trash);
	free(c->replay.due);
	free(c->linklog.list);
	free(c->pending);
	buf_release(&c->scratch);
	buf_release(&c->scratch2);
	buf_release(&c->plain);
	buf_release(&c->late);
	packer_free(c->packer);
	roster_free(c->roster);
	core_retire(c);
	free(c->retired);
	site_keys_wipe(&c->config.keys);
	free(c);
}

/* ---- events ------------------------------------------------------------------------------------------------------------- */

static void clock_look(struct core *c)
{
	int64_t diff = c->wall.us - c->now.us;

	if (c->clock_seen && llabs(diff - c->wall_minus_mono) > CLOCK_JUMP_US) {
		c->clock_unsure = true;
		for (size_t i = 0; i < c->n_peers; i++)
			c->peers[i]->skew_known = false; /* it was told by the clock that jumped */
		alarm_raise(c, "clock", "jumped", "check the clock of this machine and its time servers",
			    "this node's clock jumped by %lld s", (long long)((diff - c->wall_minus_mono) / US_PER_S));
	}
	c->wall_minus_mono = diff;
	c->clock_seen = true;
}

static void start(struct core *c)
{
	char text[17];

	for (size_t i = 0; i < c->n_streams; i++)
		if (c->streams[i]->row.name.originator == c->self && c->streams[i]->row.name.incarnation.born_us > c->born_after)
			c->born_after = c->streams[i]->row.name.incarnation.born_us;
	c->incarnation.born_us = c->wall.us > c->born_after ? c->wall.us : c->born_after + 1;
	c->first_born_us = c->incarnation.born_us;
	rng_bytes(&c->rng, c->incarnation.random, sizeof c->incarnation.random);
	if (c->wall.us < c->last_wall.us) {
		c->clock_unsure = true;
		alarm_raise(c, "clock", "behind", "check the clock of this machine and its time servers",
			    "this node's clock is %lld s before its last commit", (long long)((c->last_wall.us - c->wall.us) / US_PER_S));
	} else {
		alarm_clear(c, "clock", "behind");
	}
	alarm_clear(c, "clock", "jumped");
	if (c->config.rival_roster)
		alarm_raise(c, "roster-conflict", "file", "compare with `estafette roster diff`; sign another with a higher serial",
			    "the roster's file holds another roster with the serial %u, which is in force", c->roster->serial);
	else
		alarm_clear(c, "roster-conflict", "file");
	if (c->recovering)
		alarm_raise(c, "recovering", NULL, "wait until the standbys are reached, or waive one that is gone with `estafette release`",
			    "this node's journal was lost: it hands out nothing until its standbys have shown what was read");
	if (c->rebuilding)
		alarm_raise(c, "rebuilding", NULL, "wait: it says when it is done",
			    "the indexes of this node's journal are being made anew from its entries: nothing is handed out before that is done");
	c->grace_until = mono_add(c->now, START_GRACE_US);
	for (size_t i = 0; i < c->n_peers; i++)
		c->peers[i]->live_at = c->now; /* since then nothing was heard of it, not since the machine was switched on */
	for (size_t i = 0; i < c->takeover.n_chains; i++)
		c->takeover.chains[i].since = c->now;
	c->takeover.at = c->now;
	submit_start(c);
	c->n_leases = 0;
	leases_load(c);
	replay_load(c);
	grants_again(c);
	past_run(c);
	linklog_start(c);
	c->started = c->last_id_dirty = c->restless = true;
	c->look_at = c->now;
	hex_format(c->incarnation.random, 8, text);
	effect_log(c->out, 6, "site %s begins incarnation %s with %zu streams", c->me->id, text, c->n_streams);
}

/* The event that brought a roster may be applied again when its batch fails: until all are applied nothing may be freed. */
static void roster_retire(struct core *c, struct roster *r)
{
	for (size_t i = 0; i < c->n_retired; i++)
		if (c->retired[i] == r)
			return;
	struct roster **slot = array_grow(&c->retired, &c->n_retired, sizeof *slot);

	if (slot)
		*slot = r;
	else
		txn_fail(c->t, ERR_NOMEM);
}

bool roster_take(struct core *c, struct roster *r)
{
	if (r == c->roster)
		return true; /* applied again after a failed commit */
	const struct site *me = roster_site_by_id(r, view_str(c->config.keys.site));

	if (me && me->removed)
		alarm_raise(c, "removed", NULL, "stop this node when its links have nothing left to send; others serve its queues",
			    "roster %u removed this site: it is not taken over here", r->serial);
	if (!me || me->removed || me->number != c->self || !hash_equal(&r->network_hash, &c->roster->network_hash) || r->serial <= c->roster->serial) {
		effect_log(c->out, 3, "roster: serial %u is not newer than %u, or of another network or without us: not taken", r->serial, c->roster->serial);
		roster_retire(c, r);
		return false;
	}
	const struct roster *old = c->roster;

	travel_removed(c, r);

	roster_retire(c, c->roster);
	c->roster = r;
	c->me = me;
	peers_build(c);
	orders_settle_all(c);
	for (size_t i = 0; i < old->n_sites; i++)
		if (roster_has(old, old->sites[i].number) != roster_has(r, old->sites[i].number))
			deliver_orphans(c, old->sites[i].number);
	for (size_t i = 0; i < c->n_peers; i++)
		for (uint8_t lane = 0; lane < LANE_COUNT; lane++)
			replicate_rewind(c, c->peers[i], lane);
	peers_touch_all(c);
	for (size_t i = 0; i < c->n_streams; i++)
		stream_flows_build(c, c->streams[i]);
	/* Who is a custodian now may lack what was written long ago: only a digest tells. */
	for (size_t i = 0; i < c->n_peers; i++)
		if (!c->peers[i]->gone && c->peers[i]->lane[LANE_URGENT].up)
			replicate_offer(c, c->peers[i]);
	grants_again(c);
	alarm_clear(c, "roster-old", NULL);
	effect_log(c->out, 5, "roster: serial %u is in force", r->serial);
	travel_roster(c);
	return true;
}

static void client_open(struct core *c, uint64_t id, const struct client_rights *rights)
{
	struct client *cl = client_find(c, id);

	if (!cl && c->n_clients >= (size_t)c->config.max_clients) {
		reply_error(c, id, 0, ERR_BUSY, "client: %d clients are connected already (close one, or raise max_clients)", c->config.max_clients);
		effect_client_close(c->out, id);
		return;
	}
	if (!cl)
		cl = array_grow(&c->clients, &c->n_clients, sizeof *cl);
	if (!cl)
		return;
	*cl = (struct client){.id = id, .rights = *rights};
}

static void client_closed(struct core *c, uint64_t id)
{
	submit_forget_client(c, id);
	deliver_forget_client(c, id);
	courier_forget_client(c, id);
	waits_forget_client(c, id);
	for (size_t i = 0; i < c->n_clients; i++)
		if (c->clients[i].id == id) {
			/* The count shrinks, so array_grow may reallocate sooner than needed; it never overruns. */
			memmove(&c->clients[i], &c->clients[i + 1], (c->n_clients - i - 1) * sizeof *c->clients);
			c->n_clients--;
			return;
		}
}

/* A successor that is gone, and whose closing or reports are not waited for any more. */
static bool waived_site(struct core *c, const struct client *cl, const struct request *rq)
{
	struct view fields = rq->fields;
	struct request_item f;
	bool any = false;

	while (request_next(&fields, &f) == ERR_OK) {
		const struct site *s = f.field == F_WHAT ? roster_site_by_id(c->roster, f.value) : NULL;

		any = (s && takeover_waive(c, s->number, cl->rights.name)) || any;
	}
	return any;
}

/* What stood in quarantine, by id. */
static bool released_ids(struct core *c, const struct client *cl, const struct request *rq, uint32_t *n)
{
	struct view fields = rq->fields;
	struct request_item f;
	struct msgid id;

	while (request_next(&fields, &f) == ERR_OK)
		if (f.field == F_WHAT && msgid_parse(f.value, &id) == ERR_OK && quarantine_release(c, &id, cl->rights.name) == ERR_OK)
			++*n;
	return *n > 0;
}

static void release_request(struct core *c, struct client *cl, const struct request *rq)
{
	if (!cl->rights.may_operate) {
		reply_error(c, cl->id, rq->tag, ERR_NOT_PERMITTED, "release: this user may not operate the node (see `clients` in node.conf)");
		return;
	}
	uint32_t released = 0;

	if (waived_site(c, cl, rq) || released_ids(c, cl, rq, &released)) {
		reply_done(c, cl->id, rq->tag, released ? released : 1);
		return;
	}
	if (!c->recovering) {
		reply_error(c, cl->id, rq->tag, ERR_NOT_FOUND, "release: nothing waits for a release");
		return;
	}
	recovery_put(c, RECOVERY_WAIVED);
	effect_log(c->out, 4, "recovery: waived by %s", cl->rights.name);
	reply_done(c, cl->id, rq->tag, 1);
}

static void request(struct core *c, uint64_t client, struct view bytes)
{
	struct client *cl = client_find(c, client);
	struct request rq;
	enum err e = request_decode(bytes, &rq);

	if (!cl)
		return;
	if (e) {
		reply_error(c, client, 0, e, "request: %s (see \"Client requests\" in proto/README.md)", err_text(e));
		effect_client_close(c->out, client);
		return;
	}
	if (c->stopping) {
		reply_error(c, client, rq.tag, ERR_CLOSED, "node: it is stopping (try again when it runs)");
		return;
	}
	switch (rq.type) {
	case REQ_SUBMIT: submit_request(c, cl, &rq, bytes); break;
	case REQ_CHUNK: submit_chunk(c, cl, &rq); break;
	case REQ_TAKE: take_request(c, cl, &rq); break;
	case REQ_TAKE_STOP: take_stop(c, cl, &rq); break;
	case REQ_READ: read_request(c, cl, &rq); break;
	case REQ_ACK:
	case REQ_REFUSE:
	case REQ_RETURN:
	case REQ_EXTEND: ack_request(c, cl, &rq); break;
	case REQ_CANCEL: submit_cancel(c, cl, &rq); break;
	case REQ_WAIT: wait_request(c, cl, &rq); break;
	case REQ_SHOW: show_request(c, cl, &rq); break;
	case REQ_RELEASE: release_request(c, cl, &rq); break;
	case REQ_ORDER: order_request(c, cl, &rq); break;
	case REQ_ENDORSE: endorse_request(c, cl, &rq); break;
	case REQ_ASSIST: assist_request(c, cl, &rq); break;
	case REQ_PURGE: purge_request(c, cl, &rq); break;
	case REQ_PACK: pack_request(c, cl, &rq); break;
	case REQ_UNPACK: unpack_request(c, cl, &rq); break;
	case REQ_RETRY: link_retry(c, cl, &rq); break;
	case REQ_REPLAY: replay_request(c, cl, &rq); break;
	default: reply_error(c, client, rq.tag, ERR_UNSUPPORTED, "request: type %u is not known to this node (it may be older than the client)", rq.type);
	}
}

static void stop(struct core *c)
{
	linklog_stop(c);
	c->stopping = true;
	for (size_t i = 0; i < c->n_takes; i++)
		if (!c->takes[i].done)
			reply_error(c, c->takes[i].client, c->takes[i].tag, ERR_CLOSED, "node: it is stopping (take again when it runs)");
	for (size_t i = 0; i < c->n_waits; i++)
		if (!c->waits[i].done)
			reply_error(c, c->waits[i].client, c->waits[i].tag, ERR_CLOSED, "node: it is stopping; the message stays accepted");
	c->n_takes = c->n_waits = 0;
}

/* An entry of our own present streams cannot be read any more. What follows it could not be verified by anybody, so new
 * messages go into the streams of another incarnation; the standbys give what they hold of the old ones. */
static void rebirth(struct core *c)
{
	if (c->incarnation.born_us > c->born_after)
		c->born_after = c->incarnation.born_us;
	c->incarnation.born_us = c->wall.us > c->born_after ? c->wall.us : c->born_after + 1;
	rng_bytes(&c->rng, c->incarnation.random, sizeof c->incarnation.random);
	for (size_t i = 0; i < c->n_streams; i++)
		c->streams[i]->own = false;
	c->rebirth = false;
	past_run(c);
	effect_log(c->out, 4, "this node's own streams are damaged, or another copy of this site ran: another incarnation begins");
}

struct mono mono_of_wall(const struct core *c, int64_t wall_us)
{
	return wall_us > c->wall.us ? mono_add(c->now, wall_us - c->wall.us) : c->now;
}

/* Streams, queues, room and bodies are looked at when something is due there, and once within a second after anything
 * happened; now and then in any case, since clock and disk may change by themselves. */
static void look(struct core *c)
{
	if (mono_before(c->now, c->look_at))
		return;
	c->restless = false;
	struct mono next = mono_min(mono_min(mono_min(peers_help(c), mono_min(room_look(c), floor_look(c))), assist_look(c)), mono_min(mono_min(alarms_look(c), mono_min(scrub_look(c), again_look(c))), mono_min(bodies_ask(c), grants_ask(c))));

	c->look_at = mono_min(mono_add(c->now, LOOK_AT_MOST_US), next);
	if (!mono_before(mono_add(c->now, LOOK_AT_LEAST_US), c->look_at))
		c->look_at = mono_add(c->now, LOOK_AT_LEAST_US);
}

static void state_file(struct core *c, uint8_t kind, struct view bytes)
{
	struct errmsg m = {0};
	struct hash id;
	bool is_new;

	if (travel_take(c, kind, bytes, 0, &id, &is_new, &m))
		effect_log(c->out, 4, "%s", m.text);
}

/* An order and its handback may come in a row: what is only in force in between moves nothing. */
static bool brings_state(const struct event *ev)
{
	return ev->type == EVENT_FRAME && ev->u.frame.bytes.len > 1 && ev->u.frame.bytes.ptr[1] == FRAME_STATE;
}

void core_step(struct core *c, const struct event *ev, struct txn *t, struct effects *out)
{
	c->t = t;
	c->out = out;
	c->now = ev->now;
	c->wall = ev->wall;
	clock_look(c);
	if (c->mend && mirror_mend(c))
		rebirth(c);
	if (ev->type != EVENT_TICK && ev->type != EVENT_FRAME)
		c->restless = true; /* peer_frame says it of frames */
	kept_anew(c);
	if (!brings_state(ev) && !c->config.past)
		takeover_moved(c);
	switch (ev->type) {
	case EVENT_START: start(c); break;
	case EVENT_TICK: break;
	case EVENT_ROSTER: (void)roster_take(c, ev->u.roster.roster); break;
	case EVENT_LINK_UP: peer_link_up(c, ev->u.link.peer, ev->u.link.lane, ev->u.link.bearer, ev->u.link.round_us); break;
	case EVENT_LINK_DOWN: peer_link_down(c, ev->u.link.peer, ev->u.link.lane); break;
	case EVENT_FRAME: peer_frame(c, ev->u.frame.peer, ev->u.frame.lane, ev->u.frame.side, ev->u.frame.bytes); break;
	case EVENT_CLIENT_OPEN: client_open(c, ev->u.client.client, &ev->u.client.rights); break;
	case EVENT_CLIENT_CLOSED: client_closed(c, ev->u.client.client); break;
	case EVENT_REQUEST: request(c, ev->u.request.client, ev->u.request.bytes); break;
	case EVENT_BEARER: bearer_news(c, &ev->u.bearer); break;
	case EVENT_STOP: stop(c); break;
	case EVENT_STATE: state_file(c, ev->u.state.kind, ev->u.state.bytes); break;
	case EVENT_ASSIST: assist_policy(c, ev->u.assist.waiting, ev->u.assist.oldest_us, ev->u.assist.stop); break;
	}
	c->out = NULL;
	c->t = NULL;
}

static void meta_finish(struct core *c)
{
	uint8_t bytes[sizeof(struct counters)];
	struct wr w = wr_init(bytes, sizeof bytes);
	const uint64_t *slot = (const uint64_t *)&c->counters;

	if (c->counters_dirty) {
		for (size_t i = 0; i < sizeof c->counters / sizeof *slot; i++)
			wr_u64(&w, slot[i]);
		store_meta_put(c->t, META_COUNTERS, view_of(bytes, wr_len(&w)));
		c->counters_dirty = false;
	}
	if (c->last_id_dirty) {
		store_meta_put(c->t, META_LAST_ID, view_of(c->last_id.b, MSGID_BYTES));
		c->last_id_dirty = false;
		if (!c->clock_unsure) {
			w = wr_init(bytes, sizeof bytes);
			wr_i64(&w, c->wall.us);
			store_meta_put(c->t, META_LAST_WALL, view_of(bytes, 8));
		}
	}
	for (size_t i = 0; i < c->n_queues; i++)
		if (c->queues[i].dirty) {
			store_queue_put(c->t, &c->queues[i].row);
			c->queues[i].dirty = false;
			c->queues[i].touched = true;
		}
}

/* When something of its own work is due. */
static struct mono own_due(struct core *c)
{
	struct mono at = MONO_NEVER;

	if (c->started) {
		if (c->restless)
			c->look_at = mono_min(c->look_at, mono_add(c->now, LOOK_AT_LEAST_US));
		at = mono_min(mono_min(c->look_at, c->takeover.at), retain_due(c));
		if (mono_before(c->now, c->grace_until))
			at = mono_min(at, c->grace_until);
		if (!c->clock_unsure && deliver_next_expiry(c) != INT64_MAX)
			at = mono_min(at, mono_of_wall(c, c->expires_us));
	}
	if (c->n_leases)
		at = mono_min(at, c->leases[0].at);
	at = mono_min(mono_min(at, minimize_due(c)), c->replay.at);
	return c->serve_more ? c->now : at;
}

static void deadlines_collect(struct core *c)
{
	struct mono own = own_due(c);

	c->deadline = mono_before(own, c->held_until) ? c->held_until : own;
	if (c->started)
		c->deadline = mono_min(mono_min(c->deadline, mono_min(transit_next(c), vectors_due(c))), mono_min(mono_min(c->travel.at, linklog_due(c)), mono_min(c->peers_at, c->probes_at)));
	if (!core_held(c, c->now))
		c->serve_more = false;
}

bool core_held(const struct core *c, struct mono now)
{
	return mono_before(now, c->held_until);
}

void core_hold(struct core *c, struct mono now)
{
	c->held_until = mono_add(now, HOLD_US);
	deadline_at(c, c->held_until);
}

static void own_look(struct core *c)
{
	if (core_held(c, c->now))
		return;
	c->restless = c->restless || (c->n_leases && !mono_before(c->now, c->leases[0].at));
	look(c);
	minimize_look(c);
	takeover_look(c);
	redo_step(c);
	deliver_leases(c);
	replay_leases(c);
	deliver_expire(c);
	deliver_serve(c);
	told_step(c);
	retain_step(c);
	submit_finish(c);
}

void core_finish(struct core *c, struct mono now, struct wall wall, struct txn *t, struct effects *out)
{
	c->t = t;
	c->out = out;
	c->now = now;
	c->wall = wall;
	if (c->started && c->config.past) {
		past_finish(c);
	} else if (c->started) {
		takeover_moved(c);
		peers_greet_again(c);
		peers_look(c);
		travel_look(c);
		own_look(c);
		reports_finish(c);
		takeover_finish(c);
		vectors_look(c);
		transit_look(c);
		own_finish(c);
		travel_finish(c);
		replicate_pump(c);
		streams_cool(c);
		peers_settle(c);
		if (c->rebirth)
			rebirth(c);
	}
	meta_finish(c);
	linklog_finish(c);
	deadlines_collect(c);
	c->out = NULL;
	c->t = NULL;
}

void core_committed(struct core *c)
{
	size_t n = 0;

	c->fresh_from = 0;
	peers_heard_again(c);
	undo_forget(c);
	travel_committed(c);
	for (size_t i = 0; i < c->n_takes; i++)
		if (!c->takes[i].done) {
			c->takes[n] = c->takes[i];
			c->takes[n].left_committed = c->takes[n].left;
			c->takes[n].committed = true;
			n++;
		}
	c->n_takes = n;
	n = 0;
	for (size_t i = 0; i < c->n_waits; i++)
		if (!c->waits[i].done) {
			c->waits[n] = c->waits[i];
			c->waits[n++].committed = true;
		}
	c->n_waits = n;
	bodies_give_committed(c);
	submit_committed(c);
	courier_committed(c);
	scrub_committed(c);
	replay_committed(c);
	linklog_committed(c);
}

struct mono core_deadline(const struct core *c) { return c->deadline; }
const struct roster *core_roster(const struct core *c) { return c->roster; }
uint16_t core_site(const struct core *c) { return c->self; }
const struct incarnation *core_incarnation(const struct core *c) { return &c->incarnation; }
