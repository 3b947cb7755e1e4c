/* mirror.c - what the core remembers of its journal: streams, queues, counters; read at the start, and anew where a failed
 * commit had changed it (undo.c). */
#include "node/core/core_int.h"

/* ---- streams ------------------------------------------------------------------------------------------------- */

static size_t first_slot(const struct core *c, const uint8_t first[ACK_HASH_BYTES])
{
	uint64_t x;

	static_assert(sizeof x == ACK_HASH_BYTES, "a stream is found by what an acknowledgement says of its hash");
	memcpy(&x, first, sizeof x);
	return (size_t)x & (c->cap_hash - 1);
}

static size_t hash_slot(const struct core *c, const struct hash *h)
{
	return first_slot(c, h->b);
}

struct stream *stream_by_handle(struct core *c, const uint8_t first[ACK_HASH_BYTES])
{
	for (size_t i = c->cap_hash ? first_slot(c, first) : 0; c->cap_hash && c->by_hash[i]; i = (i + 1) & (c->cap_hash - 1))
		if (memcmp(c->by_hash[i]->hash.b, first, ACK_HASH_BYTES) == 0)
			return c->by_hash[i];
	return NULL;
}

struct stream *stream_by_hash(struct core *c, const struct hash *h)
{
	if (!c->cap_hash)
		return NULL;
	for (size_t i = hash_slot(c, h); c->by_hash[i]; i = (i + 1) & (c->cap_hash - 1))
		if (hash_equal(&c->by_hash[i]->hash, h))
			return c->by_hash[i];
	return NULL;
}

struct stream *stream_by_name(struct core *c, const struct stream_name *name)
{
	struct hash h = stream_hash(&c->roster->network_hash, name);

	return stream_by_hash(c, &h);
}

struct stream *stream_by_local(struct core *c, uint32_t local)
{
	return local < c->cap_local ? c->by_local[local] : NULL;
}

static void hash_insert(struct core *c, struct stream *s)
{
	size_t i = hash_slot(c, &s->hash);

	while (c->by_hash[i])
		i = (i + 1) & (c->cap_hash - 1);
	c->by_hash[i] = s;
}

static bool hash_room(struct core *c)
{
	if (2 * (c->n_streams + 1) <= c->cap_hash)
		return true;
	size_t cap = c->cap_hash ? 2 * c->cap_hash : 64;
	struct stream **table = calloc(cap, sizeof *table);

	if (!table)
		return false;
	free(c->by_hash);
	c->by_hash = table;
	c->cap_hash = cap;
	for (size_t i = 0; i < c->n_streams; i++)
		hash_insert(c, c->streams[i]);
	return true;
}

static bool local_room(struct core *c, uint32_t local)
{
	if (local < c->cap_local)
		return true;
	size_t cap = c->cap_local ? c->cap_local : 64;

	while (cap <= local)
		cap *= 2;
	struct stream **p = realloc(c->by_local, cap * sizeof *p);

	if (!p)
		return false;
	memset(p + c->cap_local, 0, (cap - c->cap_local) * sizeof *p);
	c->by_local = p;
	c->cap_local = cap;
	return true;
}

static bool stream_index(struct core *c, struct stream *s)
{
	struct stream **slot;

	if (!hash_room(c) || !local_room(c, s->row.local))
		return false;
	slot = array_grow(&c->streams, &c->n_streams, sizeof *slot);
	if (!slot)
		return false;
	*slot = s;
	hash_insert(c, s);
	c->by_local[s->row.local] = s;
	return true;
}

static void flows_drop(struct stream *s)
{
	for (size_t i = 0; i < s->n_flows; i++) {
		struct flow *f = &s->flows[i];

		free(f->missing);
		if (!f->behind)
			continue;
		if (f->next)
			f->next->prev = f->prev;
		if (f->prev)
			f->prev->next = f->next;
		else
			for (unsigned l = 0; l < LANE_COUNT; l++)
				for (unsigned p = 0; p < PREC_COUNT; p++)
					if (f->peer->lane[l].behind[p] == f)
						f->peer->lane[l].behind[p] = f->next;
	}
	free(s->flows);
	s->flows = NULL;
	s->n_flows = 0;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	free(s->offer);
	flows_drop(s);
	crypt_wipe(&s->epoch, sizeof s->epoch);
	free(s);
}

void streams_cut(struct core *c, uint32_t last)
{
	size_t n = 0, n_hot = 0;

	for (size_t i = 0; i < c->n_hot; i++)
		if (c->hot[i]->row.local <= last)
			c->hot[n_hot++] = c->hot[i];
	c->n_hot = n_hot;
	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];

		if (s->row.local <= last) {
			c->streams[n++] = s;
			continue;
		}
		c->by_local[s->row.local] = NULL;
		stream_free(s);
	}
	if (n == c->n_streams)
		return;
	c->n_streams = n;
	memset(c->by_hash, 0, c->cap_hash * sizeof(struct stream *));
	for (size_t i = 0; i < n; i++)
		hash_insert(c, c->streams[i]);
}

void stream_heat(struct core *c, struct stream *s)
{
	if (s->hot)
		return;
	if (c->n_hot == c->cap_hot) {
		size_t cap = c->cap_hot ? 2 * c->cap_hot : 16;
		struct stream **list = realloc(c->hot, cap * sizeof *list);

		if (!list) {
			if (c->t)
				txn_fail(c->t, ERR_NOMEM);
			return;
		}
		c->hot = list;
		c->cap_hot = cap;
	}
	c->hot[c->n_hot++] = s;
	s->hot = true;
}

static bool has_work(const struct stream *s)
{
	for (size_t i = 0; i < s->n_flows; i++)
		if (s->flows[i].ack_due || s->flows[i].tell || flow_stalls(s, &s->flows[i]))
			return true;
	return s->dirty;
}

void stream_touch(struct core *c, struct stream *s)
{
	if (s->touched)
		return;
	struct stream **slot = array_grow(&c->touched, &c->n_touched, sizeof *slot);

	if (!slot) {
		if (c->t)
			txn_fail(c->t, ERR_NOMEM);
		return;
	}
	*slot = s;
	s->touched = true;
}

void streams_cool(struct core *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_hot; i++) {
		struct stream *s = c->hot[i];

		s->hot = has_work(s);
		if (s->hot)
			c->hot[n++] = s;
	}
	c->n_hot = n;
}

/* Its flows lie elsewhere now: what points to them in lists and rings follows. */
static void flows_moved(struct stream *s, const struct flow *old, size_t n_old)
{
	for (size_t i = 0; i < s->n_flows; i++) {
		struct flow *f = &s->flows[i];

		for (unsigned l = 0; l < LANE_COUNT; l++) {
			struct lane_state *ls = &f->peer->lane[l];

			for (size_t k = 0; i < n_old && k < ls->ring_n; k++)
				if (ls->ring[(ls->ring_at + k) % LANE_RING].flow == &old[i])
					ls->ring[(ls->ring_at + k) % LANE_RING].flow = f;
			for (unsigned p = 0; i < n_old && f->behind && p < PREC_COUNT; p++)
				if (ls->behind[p] == &old[i])
					ls->behind[p] = f;
		}
		if (f->behind && f->next)
			f->next->prev = f;
		if (f->behind && f->prev)
			f->prev->next = f;
	}
}

static struct flow flow_to(const struct core *c, struct stream *s, struct peer *p)
{
	bool passer = !concerns(c, p->site, &s->row.name);

	return (struct flow){.stream = s, .peer = p, .guest = s->transit || passer, .passer = passer, .next_due_us = INT64_MIN, .stalled_since = MONO_NEVER};
}

struct flow *flow_add(struct core *c, struct stream *s, struct peer *p)
{
	struct flow *old = s->flows, *flows = calloc(s->n_flows + 1, sizeof *flows);

	if (!flows) {
		txn_fail(c->t, ERR_NOMEM);
		return NULL;
	}
	if (s->n_flows)
		memcpy(flows, old, s->n_flows * sizeof *flows);
	flows[s->n_flows] = flow_to(c, s, p);
	s->flows = flows;
	s->said_due = true;
	flows_moved(s, old, s->n_flows);
	free(old);
	return &s->flows[s->n_flows++];
}

void flow_missing(struct core *c, struct flow *f, const uint64_t *numbers, uint16_t n)
{
	uint64_t *missing = n ? malloc(n * sizeof *missing) : NULL;

	if (n && !missing) {
		txn_fail(c->t, ERR_NOMEM);
		return;
	}
	if (n)
		memcpy(missing, numbers, n * sizeof *missing);
	free(f->missing);
	f->missing = missing;
	f->n_missing = n;
}

static struct flow *flow_before(struct flow *old, size_t n, const struct peer *p)
{
	for (size_t i = 0; i < n; i++)
		if (old[i].peer == p)
			return &old[i];
	return NULL;
}

/* What was heard before is kept. Of one who only passed it on only what it said itself. */
static void flow_keep(struct flow *f, struct flow *old)
{
	if (old->guest != f->guest || (old->passer && !f->passer))
		return;
	f->acked = f->sent = old->acked;
	f->known = old->known;
	f->vouched = old->vouched;
	f->offered = old->offered;
	f->asked = old->asked;
	f->named = old->named;
	f->ahead = old->ahead;
	f->agreed = old->agreed;
	f->forked = old->forked;
	f->base = old->base;
	f->no_base = old->no_base;
	f->n_missing = old->n_missing;
	f->missing = old->missing;
	old->missing = NULL; /* transferred */
}

static void flow_build(struct core *c, struct stream *s, struct flow *f, struct peer *p, struct flow *old)
{
	*f = flow_to(c, s, p);
	f->known = s->own && !f->guest;
	if (old)
		flow_keep(f, old);
}

/* One flow for each other site that the stream concerns, and for those that it is passed on to or comes from. */
void stream_flows_build(struct core *c, struct stream *s)
{
	struct flow *old = s->flows;
	size_t n_old = s->n_flows, n = 0;
	uint16_t sites[LIMIT_CUSTODIANS + 1];
	size_t n_sites = custodians(c, s->row.name.addressee, s->row.name.exercise, sites);
	struct flow *flows = calloc(n_sites + 1 + n_old, sizeof *flows);

	bool was = s->transit;

	s->transit = !concerns(c, c->self, &s->row.name);
	s->settled = 0;
	s->said_due = true;
	if (was && !s->transit && s->row.held)
		kept_concerned(c, s);
	sites[n_sites++] = s->row.name.originator;
	for (size_t i = 0; flows && i < n_sites && !s->transit; i++) {
		struct peer *p = sites[i] == c->self ? NULL : peer_find(c, sites[i]);

		if (p && !p->gone && !flow_before(flows, n, p))
			flow_build(c, s, &flows[n++], p, flow_before(old, n_old, p));
	}
	for (size_t k = 0; flows && k < n_old; k++)
		if (old[k].guest && !old[k].peer->gone && !flow_before(flows, n, old[k].peer))
			flow_build(c, s, &flows[n++], old[k].peer, &old[k]);
	flows_drop(s);
	transit_due(c, s);
	s->flows = flows;
	s->n_flows = n;
	for (size_t i = 0; i < n; i++)
		flow_update(c, &s->flows[i]);
}

struct stream *stream_load(struct core *c, const struct stream_row *row)
{
	struct stream *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->row = *row;
	s->hash = stream_hash(&c->roster->network_hash, &row->name);
	s->own = row->name.originator == c->self && incarnation_equal(&row->name.incarnation, &c->incarnation);
	s->signed_to = row->held;
	s->limit = s->limit_next = UINT64_MAX;
	s->needed_since = s->look_at = MONO_NEVER;
	s->said_due = true;
	if (!stream_index(c, s)) {
		free(s);
		return NULL;
	}
	return s;
}

/* An authenticated site can invent incarnations of its own; it may not fill this node with them. */
static bool too_many_streams(const struct core *c, uint16_t originator)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_streams; i++)
		n += c->streams[i]->row.name.originator == originator;
	return n >= LIMIT_STREAMS_PER_ORIGINATOR;
}

struct stream *stream_new(struct core *c, const struct stream_name *name)
{
	struct stream_row row = {.name = *name};
	struct hash h = stream_hash(&c->roster->network_hash, name);

	if (name->originator != c->self && too_many_streams(c, name->originator))
		return NULL;

	row.chain = row.floor_chain = h;
	store_stream_add(c->t, &row);
	struct stream *s = stream_load(c, &row);

	if (!s)
		return NULL;
	stream_touch(c, s);
	stream_flows_build(c, s);
	/* New here: a custodian that has it already says so when it is offered. Its originator has it, unless its digest says
	 * that it lost it. */
	for (size_t i = 0; i < s->n_flows; i++)
		s->flows[i].known = s->own || s->flows[i].peer->site != name->originator;
	vectors_stream(c, s);
	return s;
}

/* ---- queues --------------------------------------------------------------------------------------------------- */

struct queue *queue_by_local(struct core *c, uint32_t local)
{
	for (size_t i = 0; i < c->n_queues; i++)
		if (c->queues[i].row.local == local)
			return &c->queues[i];
	return NULL;
}

uint16_t queue_site(struct core *c, uint32_t local)
{
	const struct queue *q = queue_by_local(c, local);

	return q ? q->row.site : c->self;
}

struct queue *queue_find(struct core *c, uint16_t site, struct view name)
{
	for (size_t i = 0; i < c->n_queues; i++)
		if (c->queues[i].row.site == site && view_equal(view_str(c->queues[i].row.name), name))
			return &c->queues[i];
	return NULL;
}

struct queue *queue_get(struct core *c, uint16_t site, struct view name)
{
	struct queue *q = queue_find(c, site, name);

	if (q)
		return q;
	q = array_grow(&c->queues, &c->n_queues, sizeof *q);
	if (!q)
		return NULL;
	q->row.site = site;
	view_to_str(name, q->row.name, sizeof q->row.name);
	q->served[0] = site == c->self || queue_serving(c, q, false);
	q->served[1] = site == c->self || queue_serving(c, q, true);
	q->touched = true;
	q->unattended_since = MONO_NEVER;
	store_queue_add(c->t, &q->row);
	return q;
}

/* ---- the mirror: read from the journal --------------------------------------------------------------------------- */

static enum err load_stream(void *arg, const struct stream_row *row)
{
	return stream_load(arg, row) ? ERR_OK : ERR_NOMEM;
}

struct queue *queue_load(struct core *c, const struct queue_row *row)
{
	struct queue *q = array_grow(&c->queues, &c->n_queues, sizeof *q);

	if (!q)
		return NULL;
	q->row = q->committed = *row;
	q->served[0] = q->served[1] = row->site == c->self;
	q->changed = true;
	q->unattended_since = MONO_NEVER;
	return q;
}

static enum err load_queue(void *arg, const struct queue_row *row)
{
	return queue_load(arg, row) ? ERR_OK : ERR_NOMEM;
}

void stream_missing(struct stream *s, uint64_t number)
{
	for (uint16_t i = 0; i < s->n_missing; i++)
		if (s->missing[i] == number)
			return;
	if (s->n_missing < LIMIT_NOT_WHOLE)
		s->missing[s->n_missing++] = number;
}

void stream_not_missing(struct stream *s, uint64_t number)
{
	for (uint16_t i = 0; i < s->n_missing; i++)
		if (s->missing[i] == number) {
			memmove(&s->missing[i], &s->missing[i + 1], (s->n_missing - i - 1u) * sizeof s->missing[0]);
			s->n_missing--;
			return;
		}
}

static enum err load_missing(void *arg, uint32_t stream, uint64_t number, const struct hash *body)
{
	struct stream *s = stream_by_local(arg, stream);

	(void)body;
	if (s)
		stream_missing(s, number);
	return ERR_OK;
}

/* Damaged rows are stepped over here, and mended once something may be written. */
static enum err but_damage(struct core *c, enum err e)
{
	c->mend = c->mend || e == ERR_DAMAGED;
	return e == ERR_DAMAGED ? ERR_OK : e;
}

void meta_load(struct core *c, struct txn *t)
{
	struct view v;

	c->counters = (struct counters){0};
	if (store_meta_get(t, META_COUNTERS, &v) == ERR_OK) {
		struct rd r = rd_init(v);
		uint64_t *slot = (uint64_t *)&c->counters;

		for (size_t i = 0; i < sizeof c->counters / sizeof *slot && rd_left(&r) >= 8; i++)
			slot[i] = rd_u64(&r);
	}
	if (store_meta_get(t, META_LAST_ID, &v) == ERR_OK && v.len == MSGID_BYTES)
		memcpy(c->last_id.b, v.ptr, MSGID_BYTES);
	if (store_meta_get(t, META_LAST_WALL, &v) == ERR_OK && v.len == 8) {
		struct rd r = rd_init(v);

		c->last_wall.us = rd_i64(&r);
	}
	if (store_meta_get(t, META_RECOVERING, &v) == ERR_OK)
		c->recovering = v.len == 1 && v.ptr[0] == RECOVERING;
	else
		c->recovering = store_birth(c->store)->how == BIRTH_LOST;
	c->rebuilding = store_meta_get(t, META_REBUILDING, &v) == ERR_OK && v.len == 1 ? v.ptr[0] : REBUILT;
	c->recovery_waived = !c->recovering && store_meta_get(t, META_RECOVERING, &v) == ERR_OK && v.len == 1 && v.ptr[0] == RECOVERY_WAIVED;
}

void mirror_drop(struct core *c)
{
	for (size_t i = 0; i < c->n_streams; i++)
		stream_free(c->streams[i]);
	free(c->streams);
	free(c->by_hash);
	free(c->by_local);
	c->streams = c->by_hash = c->by_local = NULL;
	c->n_streams = c->cap_hash = c->cap_local = 0;
	c->expires_known = false;
	free(c->touched);
	c->touched = NULL;
	c->n_touched = 0;
	free(c->hot);
	c->hot = NULL;
	c->n_hot = c->cap_hot = 0;
	free(c->queues);
	c->queues = NULL;
	c->n_queues = 0;
	free(c->leases);
	c->leases = NULL;
	c->n_leases = c->cap_leases = 0;
	free(c->popped);
	c->popped = NULL;
	c->n_popped = 0;
	bodies_drop(c);
	reports_drop(c);
	orders_drop(c);
}

enum err mirror_load(struct core *c)
{
	struct txn *t = NULL;
	enum err e = txn_begin(c->store, false, &t);

	if (e)
		return e;
	c->t = t;
	meta_load(c, t);
	e = orders_load(c);
	if (!e)
		e = travel_load(c);
	if (!e)
		e = but_damage(c, store_stream_each(t, load_stream, c));
	if (!e)
		e = but_damage(c, store_queue_each(t, load_queue, c));
	if (!e)
		e = but_damage(c, store_missing_each(t, load_missing, c));
	for (size_t i = 0; !e && i < c->n_streams; i++)
		stream_flows_build(c, c->streams[i]);
	for (size_t i = 0; !e && i < c->n_streams; i++)
		kept_load(c, c->streams[i]);
	if (!e) {
		leases_load(c);
		bodies_load(c);
		alarms_load(c);
		redo_load(c);
		limits_load(c);
		scrub_load(c);
		vectors_load(c);
	}
	txn_abort(t);
	c->t = NULL;
	return e;
}
