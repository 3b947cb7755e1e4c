/* witness_talk.c - what is said: requests and replies between desks and their node, frames between nodes. */
#include "sim/witness_int.h"

/* ---- requests without an answer so far ---------------------------------------------------------------------------- */

static struct asked **slot_of(struct witness *w, uint16_t site, uint64_t client, uint32_t tag)
{
	uint64_t h = (client * 0x9e3779b97f4a7c15u) ^ ((uint64_t)tag * 0xbf58476d1ce4e5b9u) ^ site;

	return &w->asked[(h >> 20) & (ASKED_SLOTS - 1)];
}

static struct asked **asked_at(struct witness *w, uint16_t site, uint64_t client, uint32_t tag)
{
	struct asked **a = slot_of(w, site, client, tag);

	while (*a && ((*a)->site != site || (*a)->client != client || (*a)->tag != tag))
		a = &(*a)->next;
	return a;
}

static void asked_end(struct asked **at)
{
	struct asked *a = *at;

	if (!a)
		return;
	*at = a->next;
	hasher_free(a->hasher);
	free(a->sites);
	free(a->ids);
	free(a);
}

static struct asked *asked_new(struct witness *w, uint16_t site, uint64_t client, const struct request *rq)
{
	struct asked **at = asked_at(w, site, client, rq->tag);

	asked_end(at);
	struct asked *a = calloc(1, sizeof *a);

	if (!a)
		return NULL;
	*a = (struct asked){.site = site, .client = client, .tag = rq->tag, .type = rq->type, .next = *at};
	*at = a;
	return a;
}

static void read_end(struct part_read **at)
{
	struct part_read *r = *at;

	*at = r->next;
	hasher_free(r->hasher);
	free(r);
}

/* What a client asked before it hung up its daemon may read and do yet: seen in its journal, or at its end. */
static bool stays(const struct witness *w, struct asked *a, uint64_t client)
{
	if (!w->beside || !client || !asked_ends(a->type))
		return false;
	a->hung_up = true;
	return true;
}

/* client 0: of all clients. */
static void forget(struct witness *w, uint16_t site, uint64_t client)
{
	for (size_t i = 0; i < ASKED_SLOTS; i++)
		for (struct asked **a = &w->asked[i]; *a;) {
			if ((*a)->site == site && (!client || (*a)->client == client) && !stays(w, *a, client))
				asked_end(a);
			else
				a = &(*a)->next;
		}
	for (struct part_read **r = &w->reads; *r;) {
		if ((*r)->site == site && (!client || (*r)->client == client))
			read_end(r);
		else
			r = &(*r)->next;
	}
}

void talk_forget_site(struct witness *w, uint16_t site)
{
	forget(w, site, 0);
}

void talk_each_ending(struct witness *w, uint16_t site, bool (*fn)(void *arg, const struct asked *a), void *arg)
{
	for (size_t i = 0; i < ASKED_SLOTS; i++)
		for (struct asked **a = &w->asked[i]; *a;) {
			if ((*a)->site == site && asked_ends((*a)->type) && fn(arg, *a) && (*a)->hung_up)
				asked_end(a);
			else
				a = &(*a)->next;
		}
}

void talk_free(struct witness *w)
{
	for (size_t i = 0; i < ASKED_SLOTS; i++)
		while (w->asked[i])
			asked_end(&w->asked[i]);
	while (w->reads)
		read_end(&w->reads);
}

/* ---- what desks ask -------------------------------------------------------------------------------------------------- */

static uint64_t words(struct view subject, struct view type, struct view lang, struct view channel)
{
	return oracle_words(subject, type.len ? type : view_str("application/octet-stream"), lang, channel);
}

/* The addressees, as the node expands them: a group is all its members but the sender's own site. */
static bool add_sites(struct witness *w, struct asked *a, struct view to)
{
	struct errmsg m;

	if (roster_resolve(w->roster, to, &w->address, &m))
		return false;
	uint16_t *more = realloc(a->sites, (a->sub.n_sites + w->address.n_sites) * sizeof *more);

	if (!more)
		return false;
	a->sites = more;
	for (size_t i = 0; i < w->address.n_sites; i++)
		if (!w->address.group || w->address.sites[i] != a->site)
			a->sites[a->sub.n_sites++] = w->address.sites[i];
	a->sub.group = w->address.group != 0;
	snprintf(a->sub.queue, sizeof a->sub.queue, "%s", w->address.queue);
	return true;
}

static void submit_complete(struct witness *w, struct asked *a)
{
	a->sub.sites = a->sites;
	a->submission = oracle_submitted(w->oracle, &a->sub);
	a->submitted = true;
}

static uint64_t key_number(struct view key)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < key.len; i++)
		h = (h ^ key.ptr[i]) * 0x100000001b3u;
	return key.len ? h | 1 : 0;
}

static void submit_asked(struct witness *w, uint16_t site, uint64_t client, const struct request *rq)
{
	struct asked *a = asked_new(w, site, client, rq);
	struct view fields = rq->fields, subject = {NULL, 0}, type = {NULL, 0}, lang = {NULL, 0}, channel = {NULL, 0}, body = {NULL, 0};
	struct request_item f;
	bool good = a != NULL;

	if (!a)
		return;
	a->sub = (struct submission){.site = site, .precedence = PREC_ROUTINE};
	while (good && request_next(&fields, &f) == ERR_OK)
		switch (f.field) {
		case F_TO: good = add_sites(w, a, f.value); break;
		case F_PRECEDENCE: a->sub.precedence = item_u8(&f); break;
		case F_EXERCISE: a->sub.exercise = f.value.len > 0; break;
		case F_EXPIRES: a->sub.expires.us = (int64_t)item_u64(&f); break;
		case F_KEY: a->sub.key = key_number(f.value); break;
		case F_SUBJECT: subject = f.value; break;
		case F_TYPE: type = f.value; break;
		case F_LANG: lang = f.value; break;
		case F_CHANNEL: channel = f.value; break;
		case F_BODY: body = f.value; a->sub.body_bytes = body.len; break;
		case F_BODY_BYTES: a->sub.body_bytes = item_u64(&f); a->hasher = hasher_new(HASH_BODY); break;
		default: break;
		}
	if (!good || !a->sub.n_sites)
		return; /* the node refuses it too */
	a->sub.words = words(subject, type, lang, channel);
	if (!a->hasher) {
		a->sub.body = crypt_hash(HASH_BODY, body);
		submit_complete(w, a);
	}
}

static void chunk_asked(struct witness *w, uint16_t site, uint64_t client, const struct request *rq)
{
	struct asked *a = *asked_at(w, site, client, rq->tag);
	struct view fields = rq->fields;
	struct request_item f;

	while (a && a->hasher && request_next(&fields, &f) == ERR_OK)
		if (f.field == F_BODY) {
			hasher_add(a->hasher, f.value);
			a->got += f.value.len;
		}
	if (a && a->hasher && a->got >= a->sub.body_bytes && a->sub.n_sites) {
		a->sub.body = hasher_end(a->hasher);
		a->hasher = NULL;
		submit_complete(w, a);
	}
}

static void ids_asked(struct witness *w, uint16_t site, uint64_t client, const struct request *rq)
{
	struct asked *a = asked_new(w, site, client, rq);
	struct view fields = rq->fields;
	struct request_item f;

	while (a && request_next(&fields, &f) == ERR_OK) {
		if (f.field == F_INDEX)
			a->index = item_u32(&f);
		if (f.field != F_ID || !item_ok(&f))
			continue;
		struct msgid *more = realloc(a->ids, (a->n_ids + 1) * sizeof *more);

		if (!more)
			return;
		a->ids = more;
		memcpy(a->ids[a->n_ids++].b, f.value.ptr, MSGID_BYTES);
	}
}

void talk_event(struct witness *w, uint16_t site, const struct event *ev)
{
	struct request rq;

	if (ev->type == EVENT_CLIENT_CLOSED)
		forget(w, site, ev->u.client.client);
	if (ev->type != EVENT_REQUEST || request_decode(ev->u.request.bytes, &rq))
		return;
	switch (rq.type) {
	case REQ_SUBMIT: submit_asked(w, site, ev->u.request.client, &rq); break;
	case REQ_CHUNK: chunk_asked(w, site, ev->u.request.client, &rq); break;
	case REQ_ACK:
	case REQ_REFUSE:
	case REQ_RETURN:
	case REQ_CANCEL:
	case REQ_READ: ids_asked(w, site, ev->u.request.client, &rq); break;
	default: break;
	}
}

/* ---- what the node answers --------------------------------------------------------------------------------------------- */

struct taken {
	struct handing h;
	char queue[LIMIT_ADDRESS_BYTES + 1];
	bool chunked;
};

/* A queue as a reply names it: "cic-luik/dispatch"; its own part is wanted. */
static void queue_part(struct view full, char *out, size_t size)
{
	const uint8_t *slash = full.len ? memchr(full.ptr, '/', full.len) : NULL;
	struct view name = slash ? view_of(slash + 1, full.len - (size_t)(slash + 1 - full.ptr)) : full;

	snprintf(out, size, "%.*s", (int)name.len, name.len ? (const char *)name.ptr : "");
}

/* Whose queue it is: "cic-luik/dispatch" at Namen is Luik's. */
static uint16_t queue_of_site(const struct witness *w, uint16_t site, struct view full)
{
	const uint8_t *slash = full.len ? memchr(full.ptr, '/', full.len) : NULL;
	const struct site *s = slash ? roster_site_by_id(w->roster, view_of(full.ptr, (size_t)(slash - full.ptr))) : NULL;

	return s ? s->number : site;
}

static bool read_taken(const struct witness *w, uint16_t site, struct view fields, struct taken *t)
{
	struct view subject = {NULL, 0}, type = {NULL, 0}, lang = {NULL, 0}, channel = {NULL, 0};
	struct hash announced = {{0}};
	struct request_item f;
	bool has_body = false;

	*t = (struct taken){.h = {.site = site, .queue = t->queue}};
	while (request_next(&fields, &f) == ERR_OK)
		switch (f.field) {
		case F_ID:
			if (f.value.len == MSGID_BYTES)
				memcpy(t->h.id.b, f.value.ptr, MSGID_BYTES);
			break;
		case F_FROM: {
			const struct site *s = roster_site_by_id(w->roster, f.value);

			t->h.from = s ? s->number : 0;
			break;
		}
		case F_QUEUE:
			queue_part(f.value, t->queue, sizeof t->queue);
			t->h.addressee = queue_of_site(w, site, f.value);
			break;
		case F_PRECEDENCE: t->h.precedence = item_u8(&f); break;
		case F_EXERCISE: t->h.exercise = f.value.len > 0; break;
		case F_PERHAPS_SEEN: t->h.perhaps_seen = true; break;
		case F_REPLAYED: t->h.replayed = item_u8(&f) != 0; break;
		case F_SUBJECT: subject = f.value; break;
		case F_TYPE: type = f.value; break;
		case F_LANG: lang = f.value; break;
		case F_CHANNEL: channel = f.value; break;
		case F_BODY: has_body = true; t->h.body = crypt_hash(HASH_BODY, f.value); break;
		case F_BODY_BYTES: t->chunked = true; break;
		case F_PLAIN_HASH:
			if (f.value.len == HASH_BYTES)
				memcpy(announced.b, f.value.ptr, HASH_BYTES);
			break;
		default: break;
		}
	t->h.words = words(subject, type, lang, channel);
	if (t->chunked)
		t->h.body = announced;
	return has_body || t->chunked;
}

static struct part_read *reading(struct witness *w, uint16_t site, uint64_t client, const struct msgid *id, bool start)
{
	for (struct part_read **r = &w->reads; *r; r = &(*r)->next)
		if ((*r)->site == site && (*r)->client == client && msgid_equal(&(*r)->id, id)) {
			if (!start)
				return *r;
			read_end(r);
			break;
		}
	struct part_read *r = start ? calloc(1, sizeof *r) : NULL;

	if (r) {
		*r = (struct part_read){.next = w->reads, .site = site, .client = client, .id = *id, .hasher = hasher_new(HASH_BODY)};
		w->reads = r;
	}
	return r;
}

/* Parts count when they are read one after another from the first; a desk that jumps about is not followed. */
static void body_part(struct witness *w, const struct asked *a, struct view fields)
{
	struct request_item f;
	struct view body = {NULL, 0};
	bool last = false;
	struct part_read *r = a->n_ids ? reading(w, a->site, a->client, &a->ids[0], a->index == 0) : NULL;

	if (!r || r->index != a->index)
		return;
	while (request_next(&fields, &f) == ERR_OK) {
		if (f.field == F_BODY)
			body = f.value;
		if (f.field == F_LAST)
			last = item_u8(&f) != 0;
	}
	if (r->hasher)
		hasher_add(r->hasher, body);
	r->index++;
	if (!last)
		return;
	if (r->hasher) {
		struct hash whole = hasher_end(r->hasher);

		r->hasher = NULL;
		oracle_read_body(w->oracle, a->site, &a->ids[0], &whole);
	}
	for (struct part_read **at = &w->reads; *at; at = &(*at)->next)
		if (*at == r) {
			read_end(at);
			return;
		}
}

static void done(struct witness *w, const struct asked *a)
{
	uint8_t event = a->type == REQ_ACK ? EVENT_READ : a->type == REQ_REFUSE ? EVENT_REFUSED : a->type == REQ_CANCEL ? EVENT_CANCELLED : EVENT_RETURNED;

	for (size_t i = 0; i < a->n_ids; i++)
		oracle_done(w->oracle, a->site, &a->ids[i], event);
}

static struct view field(struct view fields, uint8_t which)
{
	struct request_item f;

	while (request_next(&fields, &f) == ERR_OK)
		if (f.field == which)
			return f.value;
	return view_of(NULL, 0);
}

static bool is_code(struct view v, enum err e)
{
	return view_equal(v, view_str(err_code(e)));
}

static void refused(struct witness *w, const struct asked *a, struct view code)
{
	if (is_code(code, ERR_FULL) || is_code(code, ERR_BUSY))
		oracle_rare(w->oracle, RARE_NO_ROOM);
	/* Full or busy is said of a batch that was undone, and holds; a key in use names a message that is there. */
	if (a->type == REQ_SUBMIT && a->submitted && !a->sub.key)
		oracle_turned_down(w->oracle, a->submission);
}

static void id_of(struct view v, struct msgid *id)
{
	memset(id, 0, sizeof *id);
	if (v.len == MSGID_BYTES)
		memcpy(id->b, v.ptr, MSGID_BYTES);
}

/* Only id, queue and exercise are wanted here; the body is looked at when it reaches the desk. */
static void served(struct witness *w, uint16_t site, const struct request *r, bool any_order)
{
	char queue[LIMIT_ADDRESS_BYTES + 1];
	struct serving s = {.site = site, .addressee = queue_of_site(w, site, field(r->fields, F_QUEUE)), .queue = queue, .any_order = any_order,
			    .exercise = field(r->fields, F_EXERCISE).len > 0, .perhaps_seen = field(r->fields, F_PERHAPS_SEEN).len > 0};

	id_of(field(r->fields, F_ID), &s.id);
	queue_part(field(r->fields, F_QUEUE), queue, sizeof queue);
	oracle_served_at(w->oracle, &s);
}

/* What one desk gave back another may have before the first is told that it was taken back. */
static void served_beside(struct witness *w, uint16_t site, const struct request *r)
{
	struct msgid id;

	id_of(field(r->fields, F_ID), &id);
	for (size_t i = 0; i < ASKED_SLOTS; i++)
		for (const struct asked *a = w->asked[i]; a; a = a->next)
			for (size_t k = 0; a->type == REQ_RETURN && a->site == site && k < a->n_ids; k++)
				if (msgid_equal(&a->ids[k], &id))
					oracle_done(w->oracle, site, &id, EVENT_RETURNED);
	served(w, site, r, true);
}

static void answer(struct witness *w, uint16_t site, uint64_t client, const struct request *r)
{
	struct asked **at = asked_at(w, site, client, r->tag), *a = *at;
	struct taken t;
	struct msgid id;

	switch (r->type) {
	case REPLY_TAKEN:
		if (w->beside)
			served_beside(w, site, r);
		if (read_taken(w, site, r->fields, &t))
			oracle_handed_out(w->oracle, &t.h);
		return;
	case REPLY_STATE:
		id_of(field(r->fields, F_ID), &id);
		if (field(r->fields, F_STATE).len == 1)
			oracle_state(w->oracle, site, &id, field(r->fields, F_STATE).ptr[0]);
		return;
	case REPLY_NEXT: return;
	case REPLY_ACCEPTED:
		id_of(field(r->fields, F_ID), &id);
		if (a && a->submitted && field(r->fields, F_DUPLICATE).len == 1)
			oracle_accepted(w->oracle, a->submission, &id, field(r->fields, F_DUPLICATE).ptr[0] != 0);
		break;
	case REPLY_ERROR:
		if (a)
			refused(w, a, field(r->fields, F_CODE));
		break;
	case REPLY_BODY:
		if (a)
			body_part(w, a, r->fields);
		break;
	case REPLY_DONE:
		if (a && a->type != REQ_READ && a->type != REQ_SUBMIT)
			done(w, a);
		break;
	default: return;
	}
	asked_end(asked_at(w, site, client, r->tag));
}

void witness_reply(struct witness *w, uint16_t site, uint64_t client, struct view bytes)
{
	struct request r;
	size_t len = 0;

	while (bytes.len && request_length(bytes, &len) == ERR_OK && len && len <= bytes.len) {
		if (request_decode(view_of(bytes.ptr, len), &r) == ERR_OK)
			answer(w, site, client, &r);
		bytes = view_of(bytes.ptr + len, bytes.len - len);
	}
}

/* ---- effects at their commit ---------------------------------------------------------------------------------------------- */

/* What a site sends on that its journal says it should not. */
static void sent_on(struct witness *w, uint16_t site, uint16_t peer, struct view bytes)
{
	struct segment seg;
	struct entry e;
	struct header h;

	if (segment_decode(view_of(bytes.ptr + 2, bytes.len - 2), &seg))
		return;
	for (struct view rest = seg.entry_bytes; segment_next(&rest, &e) == ERR_OK;)
		if (!(e.flags & ENTRY_STUB) && header_decode(e.header, &h) == ERR_OK && h.kind == KIND_MESSAGE)
			oracle_sent_on(w->oracle, site, peer, &h.id);
}

static void acks_seen(struct witness *w, uint16_t site, struct view rest)
{
	static const struct stream_name none = {0};
	struct ack a;

	while (rest.len && ack_next(&rest, &a) == ERR_OK) {
		const struct stream_name *name = named_find(w, a.stream);
		struct hash chain = {{0}};

		memcpy(chain.b, a.chain, sizeof a.chain);
		oracle_frontier(w->oracle, site, name ? name : &none, a.number, &chain);
	}
}

static void frame_seen(struct witness *w, uint16_t site, uint16_t peer, struct wall wall, struct view bytes)
{
	struct frontier f;
	struct frame frame;
	struct stream_name name;

	if (bytes.len < 2)
		return;
	if (bytes.ptr[1] == FRAME_SEGMENT && bytes.len >= 2 + STREAM_NAME_BYTES + 8 && stream_name_decode(view_of(bytes.ptr + 2, STREAM_NAME_BYTES), &name) == ERR_OK) {
		struct rd r = rd_init(view_of(bytes.ptr + 2 + STREAM_NAME_BYTES, 8));

		oracle_sent(w->oracle, peer, &name, rd_u64(&r));
		if (oracle_minimized(w->oracle, site, wall, name.precedence))
			sent_on(w, site, peer, bytes);
	}
	if (bytes.ptr[1] == FRAME_ACKS && frame_decode(bytes, &frame) == ERR_OK && frame.type == FRAME_ACKS)
		acks_seen(w, site, frame.u.acks.rest);
	if (bytes.ptr[1] != FRAME_FRONTIERS || frame_decode(bytes, &frame) || frame.type != FRAME_FRONTIERS)
		return;
	while (frame.u.frontiers.rest.len && frontier_next(&frame.u.frontiers.rest, &f) == ERR_OK)
		oracle_frontier(w->oracle, site, &f.stream, f.number, &f.chain);
}

void talk_effect(struct witness *w, uint16_t site, struct wall wall, const struct effects *all, const struct effect *f)
{
	struct view bytes = effect_bytes(all, f);
	struct request r;

	if (f->type == EFFECT_FRAME)
		frame_seen(w, site, f->peer, wall, bytes);
	if (f->type != EFFECT_REPLY || bytes.len < REQUEST_HEAD_BYTES || bytes.ptr[5] != REPLY_TAKEN || request_decode(bytes, &r))
		return;
	served(w, site, &r, false);
}
