/* submit.c - requests that send: rights, addresses, idempotency, sealing, entries; bodies in one piece or in many. */
#include <stdio.h>

#include "node/core/core_int.h"

/* Chunks that a client may send before it hears that the first ones are stored. */
#define UPLOAD_CREDIT 8

/* A SUBMIT, read and checked. Views point into the request. */
struct submission {
	struct view type, lang, channel, subject, key, exercise, body;
	bool has_body, has_re, has_precedence;
	uint8_t precedence;
	struct msgid re;
	struct wall expires;
	uint64_t body_bytes;
	unsigned addresses;           /* as given; a group is one */
	uint16_t area, group;
	size_t n_to;
	struct { uint16_t site; char queue[LIMIT_NAME_BYTES + 1]; struct view to; } to[LIMIT_SITES];
};

/* ---- reading and checking ------------------------------------------------------------------------------------ */

/* Nobody is there to send to; who serves its queues is told, so that a person can send it there. */
static enum err removed_addressee(const struct core *c, uint16_t site, const char *queue, struct errmsg *m)
{
	const struct chain *ch = chain_find(c, site, false);
	const struct order *o = ch && ch->now ? &ch->now->order : NULL;
	char name[LIMIT_NAME_BYTES + 1], to[LIMIT_NAME_BYTES + 1], who[200] = "";
	size_t at = 0;

	for (size_t i = 0; o && i < c->roster->n_sites && at < sizeof who; i++)
		if (roster_has(c->roster, c->roster->sites[i].number) && order_may_own(o, site, view_str(queue), c->roster->sites[i].number))
			at += (size_t)snprintf(who + at, sizeof who - at, "%s%s", at ? ", " : "", site_name(c, c->roster->sites[i].number, to));
	if (!at)
		return err_set(m, ERR_UNKNOWN_SITE, "%s/%s: the site was removed from the network, and no order says who serves it (see roster %u)",
			       site_name(c, site, name), queue, c->roster->serial);
	return err_set(m, ERR_UNKNOWN_SITE, "%s/%s: the site was removed from the network; its queue is served by %s (send it there)", site_name(c, site, name), queue, who);
}

static enum err add_address(struct core *c, struct submission *s, struct view text, struct errmsg *m)
{
	static const char again[] = "named twice (send to each queue of a site by itself)";
	struct address *a = malloc(sizeof *a);

	if (!a)
		return err_set(m, ERR_NOMEM, "address: out of memory");
	enum err e = roster_resolve(c->roster, text, a, m);

	s->addresses++;
	if (!e && s->addresses > 1) {
		s->area = s->group = 0;
	} else if (!e) {
		s->area = a->area;
		s->group = a->group;
	}
	for (size_t i = 0; !e && i < a->n_sites; i++) {
		if (a->group && a->sites[i] == c->self)
			continue; /* a group does not include its sender's own site */
		for (size_t k = 0; k < s->n_to; k++)
			if (s->to[k].site == a->sites[i])
				e = err_set(m, ERR_REFUSED, "address %.*s: a site is %s", (int)text.len, (const char *)text.ptr, again);
		if (!e && s->n_to == LIMIT_SITES)
			e = err_set(m, ERR_TOO_LARGE, "address: more than %d sites", LIMIT_SITES);
		if (e)
			break;
		if (!roster_has(c->roster, a->sites[i]) && (e = removed_addressee(c, a->sites[i], a->queue, m)))
			break;
		s->to[s->n_to].site = a->sites[i];
		s->to[s->n_to].to = text;
		memcpy(s->to[s->n_to++].queue, a->queue, sizeof a->queue);
	}
	free(a);
	return e;
}

static enum err text_field(struct view v, size_t max, const char *what, struct view *out, struct errmsg *m)
{
	if (v.len > max)
		return err_set(m, ERR_TOO_LARGE, "%s: %zu bytes (at most %zu)", what, v.len, max);
	if (!view_is_text(v))
		return err_set(m, ERR_FORMAT, "%s: not plain UTF-8 text (remove control characters)", what);
	*out = v;
	return ERR_OK;
}

static enum err read_field(struct core *c, const struct request_item *f, struct submission *s, struct errmsg *m)
{
	switch (f->field) {
	case F_TO: return add_address(c, s, f->value, m);
	case F_TYPE: return text_field(f->value, LIMIT_MEDIA_TYPE_BYTES, "type", &s->type, m);
	case F_LANG: return text_field(f->value, LIMIT_LANG_BYTES, "lang", &s->lang, m);
	case F_CHANNEL: return text_field(f->value, LIMIT_NAME_BYTES, "channel", &s->channel, m);
	case F_SUBJECT: return text_field(f->value, LIMIT_SUBJECT_BYTES, "subject", &s->subject, m);
	case F_KEY: return text_field(f->value, LIMIT_KEY_BYTES, "id", &s->key, m);
	case F_EXERCISE: return text_field(f->value, LIMIT_NAME_BYTES, "exercise", &s->exercise, m);
	case F_PRECEDENCE:
		s->precedence = item_u8(f);
		return item_ok(f) && s->precedence < PREC_COUNT ? ERR_OK : err_set(m, ERR_RANGE, "precedence: %u (0 FLASH to 3 ROUTINE)", s->precedence);
	case F_EXPIRES: s->expires.us = (int64_t)item_u64(f); break;
	case F_BODY_BYTES: s->body_bytes = item_u64(f); break;
	case F_RE:
		if (item_ok(f))
			memcpy(s->re.b, f->value.ptr, MSGID_BYTES);
		s->has_re = true;
		break;
	case F_BODY:
		s->body = f->value;
		s->has_body = true;
		break;
	default: return err_set(m, ERR_FORMAT, "submit: field %u does not belong here", f->field);
	}
	return item_ok(f) ? ERR_OK : err_set(m, ERR_FORMAT, "submit: field %u has a wrong length", f->field);
}

static enum err check_fields(struct core *c, struct submission *s, struct errmsg *m)
{
	if (s->n_to == 0)
		return err_set(m, ERR_UNKNOWN_SITE, "address: none given that is not this site alone (name a queue such as cic-luik/dispatch)");
	if (s->key.len && s->addresses > 1)
		return err_set(m, ERR_REFUSED, "id: it names one message to one address (send to each address by itself, or to a group)");
	if (s->has_body && s->body.len > LIMIT_CHUNK_BYTES)
		return err_set(m, ERR_TOO_LARGE, "body: %zu bytes in one request (send more than %d in chunks)", s->body.len, LIMIT_CHUNK_BYTES);
	if (s->has_body ? s->body_bytes && s->body_bytes != s->body.len : s->body_bytes && s->body_bytes <= LIMIT_CHUNK_BYTES)
		return err_set(m, ERR_FORMAT, "body: %llu bytes were announced, %zu are here (up to %d go with the submit itself)",
			       (unsigned long long)s->body_bytes, s->body.len, LIMIT_CHUNK_BYTES);
	if (s->body_bytes > LIMIT_BODY_BYTES)
		return err_set(m, ERR_TOO_LARGE, "body: %llu bytes (at most 1 GiB; send it in parts)", (unsigned long long)s->body_bytes);
	if (s->expires.us && s->expires.us <= c->wall.us)
		return err_set(m, ERR_EXPIRED, "expires: it lies in the past (give a later time)");
	return ERR_OK;
}

static enum err read_submission(struct core *c, struct view fields, struct submission *s, struct errmsg *m)
{
	struct request_item f;
	enum err e = ERR_OK;

	memset(s, 0, offsetof(struct submission, to)); /* `to` is large, and n_to says what of it is valid */
	s->precedence = PREC_ROUTINE;
	while (!e) {
		e = request_next(&fields, &f);
		if (e == ERR_NOT_FOUND)
			return check_fields(c, s, m);
		if (e)
			return err_set(m, e, "submit: %s (see \"Client requests\" in proto/README.md)", err_text(e));
		e = read_field(c, &f, s, m);
	}
	return e;
}

/* A user's quota outlives its connections: a command makes one for each message. */
static struct flash_use *flash_use(struct core *c, const char *name)
{
	for (size_t i = 0; i < c->n_flash; i++) {
		struct flash_use *u = &c->flash[i];

		if (strcmp(u->name, name) != 0)
			continue;
		if (c->now.us - u->from.us > 3600 * US_PER_S) {
			u->from = c->now;
			u->sent = 0;
		}
		return u;
	}
	struct flash_use *u = array_grow(&c->flash, &c->n_flash, sizeof *u);

	if (u) {
		u->from = c->now;
		snprintf(u->name, sizeof u->name, "%s", name);
	}
	return u;
}

static enum err check_rights(struct core *c, struct client *cl, const struct submission *s, struct errmsg *m)
{
	const struct client_rights *r = &cl->rights;

	if (!r->may_send)
		return err_set(m, ERR_NOT_PERMITTED, "send: %s may not send (see `clients` in node.conf)", r->name);
	if (s->precedence < r->precedence)
		return err_set(m, ERR_NOT_PERMITTED, "send: %s may not send %s (at most %s)", r->name, precedence_name(s->precedence), precedence_name(r->precedence));
	if (s->precedence == PREC_FLASH && r->flash_per_hour) {
		struct flash_use *u = flash_use(c, r->name);

		if (!u || u->sent + u->now >= r->flash_per_hour)
			return err_set(m, ERR_BUSY, "send: %s has sent its %u FLASH messages of this hour (use IMMEDIATE, or ask for a larger quota)", r->name, r->flash_per_hour);
	}
	return ERR_OK;
}

/* True when there is no room for it: the request is then answered. */
static bool refused_full(struct core *c, struct client *cl, uint32_t tag, uint8_t precedence)
{
	if (room_admits(c, precedence, c->self, false))
		return false;
	c->room.refused[precedence]++;
	reply_busy(c, cl->id, tag, precedence_name(precedence));
	return true;
}

/* ---- idempotency ------------------------------------------------------------------------------------------------ */

static struct hash key_hash(struct view key)
{
	return crypt_hash2(HASH_IDEMPOTENCY, view_str("key"), key);
}

/* What a key names: the plain body, the address as it was written, and whether it was an exercise. */
static struct hash content_hash(const struct hash *plain, struct view to, bool exercise)
{
	struct hash h = crypt_hash2(HASH_IDEMPOTENCY, view_str(exercise ? "exercise" : "message"), to);

	return crypt_hash2(HASH_IDEMPOTENCY, view_of(plain->b, HASH_BYTES), view_of(h.b, HASH_BYTES));
}

static void key_put(struct core *c, const struct msgid *id, struct view key, const struct hash *plain, struct view to, bool exercise)
{
	struct hash name = key_hash(key);
	struct key_row row = {.id = *id, .content = content_hash(plain, to, exercise)}, known;

	if (store_key_find(c->t, &name, &known) == ERR_NOT_FOUND)
		store_key_put(c->t, (uint32_t)(msgid_time(id).us / US_PER_DAY), &name, &row);
}

void submit_known_again(struct core *c, const struct header *h, const struct envelope *env)
{
	if (env->idempotency.len)
		key_put(c, &h->id, env->idempotency, &env->body_plain_hash, env->to, env->exercise.len > 0);
}

static void reply_accepted(struct core *c, uint64_t client, uint32_t tag, const struct msgid *id, bool duplicate)
{
	enum wait_state state = STATE_ACCEPTED;
	struct request_writer w;

	if (duplicate && message_state_all(c, id, &state) != ERR_OK)
		state = STATE_ACCEPTED;
	reply_begin(c, &w, REPLY_ACCEPTED, tag);
	request_id(&w, id);
	request_u8(&w, F_DUPLICATE, duplicate);
	request_u8(&w, F_STATE, (uint8_t)state);
	reply_end(c, &w, client);
}

/* True when the key was known: the request is then answered. */
static bool answer_known_key(struct core *c, struct client *cl, uint32_t tag, const struct submission *s, const struct hash *plain)
{
	struct hash key = key_hash(s->key), content = content_hash(plain, s->to[0].to, s->exercise.len > 0);
	struct key_row row;
	enum err e = store_key_find(c->t, &key, &row);

	if (e == ERR_NOT_FOUND)
		return false;
	if (e) {
		reply_error(c, cl->id, tag, e, "id %.*s: %s (nothing was sent; run `estafette journal verify`)", (int)s->key.len, (const char *)s->key.ptr, err_text(e));
		return true;
	}
	if (!hash_equal(&row.content, &content)) {
		char id[MSGID_TEXT_BYTES];

		msgid_format(&row.id, id);
		reply_error(c, cl->id, tag, ERR_REFUSED, "id %.*s: it named another message, %s, before (use a new one)", (int)s->key.len, (const char *)s->key.ptr, id);
		return true;
	}
	c->counters.duplicates++;
	c->counters_dirty = true;
	reply_accepted(c, cl->id, tag, &row.id, true);
	return true;
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

/* What all entries of one message share. */
struct sealed {
	struct sym_key content;
	struct hash plain_hash;
	uint64_t body_bytes;
	bool has_body;
	struct view body;             /* sealed, inline */
	const struct body_row *row;   /* or apart */
};

static struct header message_header(struct core *c, const struct submission *s)
{
	struct header h = own_header(c, KIND_MESSAGE, s->precedence, s->exercise.len > 0);
	const struct site *first = roster_site(c->roster, s->to[0].site);
	const struct queue_def *q = first ? site_queue(first, view_str(s->to[0].queue)) : NULL;

	h.area = s->area;
	h.group = s->group;
	if (s->n_to > 1 || s->group)
		h.flags |= HEADER_GROUP;
	h.expires = s->expires;
	h.handle_by.us = c->wall.us + (q ? q->deadline_us : c->roster->deadline_us)[s->precedence];
	return h;
}

static enum err append_one(struct core *c, struct client *cl, const struct submission *s, size_t i, const struct header *h, const struct sealed *b)
{
	uint8_t plain[LIMIT_ENVELOPE_BYTES];
	size_t len;
	struct stream *st = own_stream(c, s->to[i].site, s->precedence, s->exercise.len > 0);
	struct envelope env = {
		.queue = view_str(s->to[i].queue), .to = s->to[i].to, .subject = s->subject, .channel = s->channel,
		.type = s->type, .lang = s->lang, .client = view_str(cl->rights.name), .exercise = s->exercise,
		.idempotency = s->key, .has_re = s->has_re, .re = s->re, .has_body = b->has_body, .body_bytes = b->body_bytes,
		.body_plain_hash = b->plain_hash, .content_key = b->content,
	};
	enum err e = st ? own_epoch(c, st) : ERR_NOMEM;

	if (!e)
		e = envelope_encode(&env, plain, sizeof plain, &len);
	if (!e)
		e = own_append(c, st, h, view_of(plain, len), b->body, b->row, NULL);
	crypt_wipe(plain, sizeof plain);
	return e;
}

static void accept(struct core *c, struct client *cl, uint32_t tag, const struct submission *s, const struct header *h, const struct sealed *b)
{
	enum err e = ERR_OK;

	for (size_t i = 0; !e && i < s->n_to; i++)
		e = append_one(c, cl, s, i, h, b);
	if (e) {
		/* Part of it may lie in the transaction: it must not be committed, and apply.c answers the client. */
		txn_fail(c->t, e);
		return;
	}
	if (s->key.len)
		key_put(c, &h->id, s->key, &b->plain_hash, s->to[0].to, s->exercise.len > 0);
	if (s->precedence == PREC_FLASH && cl->rights.flash_per_hour) {
		struct flash_use *u = flash_use(c, cl->rights.name);

		if (u)
			u->now++;
	}
	room_took(c, s->precedence, c->self, b->body_bytes);
	tally_of(c, h->flags)->accepted++;
	reply_accepted(c, cl->id, tag, &h->id, false);
}

static uint32_t dictionary_for(const struct core *c, const struct submission *s)
{
	uint16_t sites[LIMIT_REQUEST_ADDRESSES];
	size_t n = 0;

	for (size_t i = 0; i < s->n_to && n < LIMIT_REQUEST_ADDRESSES; i++)
		sites[n++] = s->to[i].site;
	return s->n_to > n && s->precedence <= PREC_IMMEDIATE ? 0 : travel_dictionary(c, s->precedence, sites, n);
}

/* A body of one chunk: packed, sealed, and kept in the entry's own record, or once for a group. */
static void accept_whole(struct core *c, struct client *cl, uint32_t tag, const struct submission *s, struct view body)
{
	struct sealed b = {.has_body = true, .body_bytes = body.len, .plain_hash = crypt_hash(HASH_BODY, body)};
	uint8_t header[HEADER_BYTES], nonce[SYM_NONCE_BYTES];
	struct body_row row;
	enum err e;

	if (s->key.len && answer_known_key(c, cl, tag, s, &b.plain_hash))
		return;
	struct header h = message_header(c, s);

	buf_clear(&c->scratch);
	buf_clear(&c->scratch2);
	rng_bytes(&c->rng, b.content.b, sizeof b.content.b);
	rng_bytes(&c->rng, nonce, sizeof nonce);
	(void)!packer_use(c->packer, dictionary_for(c, s));
	e = body_pack(c->packer, body, &c->scratch, &h.bucket);
	(void)!packer_use(c->packer, 0);
	header_encode(&h, header);
	if (!e)
		e = body_seal(&b.content, nonce, view_of(header, sizeof header), buf_view(&c->scratch), &c->scratch2);
	if (e) {
		reply_error(c, cl->id, tag, e, "send: %s (nothing was sent)", err_text(e));
		return;
	}
	/* own_epoch uses scratch2: the sealed body moves out of its way. */
	struct buf sealed = c->scratch2;

	c->scratch2 = BUF_EMPTY;
	b.body = buf_view(&sealed);
	if (s->n_to > 1) {
		row = (struct body_row){.class = s->exercise.len ? BODY_EXERCISE : BODY_OPERATIONAL, .whole = true,
					.hash = body_hash(b.body), .sealed_len = b.body.len, .refs = (uint32_t)s->n_to};
		store_body_add(c->t, &row);
		store_body_put_part(c->t, row.class, row.body_no, PART_WHOLE, 0, b.body);
		b.row = &row;
		b.body = view_of(NULL, 0);
	}
	accept(c, cl, tag, s, &h, &b);
	crypt_wipe(&b.content, sizeof b.content);
	buf_release(&sealed);
}

/* ---- bodies in many chunks ----------------------------------------------------------------------------------------- */

static struct upload *upload_find(struct core *c, uint64_t client, uint32_t tag)
{
	for (size_t i = 0; i < c->n_uploads; i++)
		if (c->uploads[i].client == client && c->uploads[i].tag == tag)
			return &c->uploads[i];
	return NULL;
}

void submit_trash(struct core *c, uint8_t class, uint64_t body_no)
{
	struct trash *t = array_grow(&c->trash, &c->n_trash, sizeof *t);

	if (t)
		*t = (struct trash){class, body_no};
	/* Without memory for it, it is found again at the next start. */
}

/* What it stored goes, unless a message has it now, or it went with its batch. */
static void upload_drop(struct core *c, struct upload *u)
{
	if (!u->failed && !u->row.refs)
		submit_trash(c, u->row.class, u->row.body_no);
	buf_release(&u->request);
	buf_release(&u->leaves);
	hasher_free(u->hasher);
	crypt_wipe(&u->content, sizeof u->content);
	memmove(u, u + 1, (size_t)(&c->uploads[c->n_uploads] - (u + 1)) * sizeof *u);
	c->n_uploads--;
}

static size_t uploads_of(const struct core *c, uint64_t client)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_uploads; i++)
		n += c->uploads[i].client == client;
	return n;
}

static void upload_begin(struct core *c, struct client *cl, uint32_t tag, const struct submission *s, struct view message)
{
	bool free_slot = !upload_find(c, cl->id, tag) && uploads_of(c, cl->id) < LIMIT_CLIENT_UPLOADS;
	struct upload *u = free_slot ? array_grow(&c->uploads, &c->n_uploads, sizeof *u) : NULL;
	struct request_writer w;

	if (!u) {
		reply_error(c, cl->id, tag, ERR_BUSY, "send: this tag is in use, or %d bodies are on their way in already", LIMIT_CLIENT_UPLOADS);
		return;
	}
	*u = (struct upload){.client = cl->id, .tag = tag, .bytes = s->body_bytes, .hasher = hasher_new(HASH_BODY)};
	u->precedence = s->precedence;
	u->row.class = s->exercise.len ? BODY_EXERCISE : BODY_OPERATIONAL;
	rng_bytes(&c->rng, u->content.b, sizeof u->content.b);
	buf_add(&u->request, message);
	store_body_add(c->t, &u->row);
	reply_begin(c, &w, REPLY_NEXT, tag);
	request_u32(&w, F_COUNT, UPLOAD_CREDIT);
	reply_end(c, &w, cl->id);
}

void submit_request(struct core *c, struct client *cl, const struct request *rq, struct view message)
{
	struct submission *s = malloc(sizeof *s);
	struct errmsg m = {0};
	enum err e = s ? read_submission(c, rq->fields, s, &m) : err_set(&m, ERR_NOMEM, "send: out of memory");

	if (!e)
		e = check_rights(c, cl, s, &m);
	if (e)
		reply_error(c, cl->id, rq->tag, e, "%s", m.text);
	else if (refused_full(c, cl, rq->tag, s->precedence))
		; /* told */
	else if (s->body_bytes > LIMIT_CHUNK_BYTES && !s->has_body)
		upload_begin(c, cl, rq->tag, s, message);
	else
		accept_whole(c, cl, rq->tag, s, s->body);
	free(s);
}

/* Seals one chunk and stores it with its leaf. */
static enum err upload_chunk(struct core *c, struct upload *u, struct view plain, bool last)
{
	uint32_t index = u->row.have;

	buf_clear(&c->scratch);
	enum err e = chunk_seal(c->packer, &u->content, index, last, plain, &c->scratch);
	if (e)
		return e;
	struct hash leaf = chunk_hash(index, buf_view(&c->scratch));

	store_body_put_part(c->t, u->row.class, u->row.body_no, PART_CHUNK, index, buf_view(&c->scratch));
	buf_add(&u->leaves, view_of(leaf.b, HASH_BYTES));
	hasher_add(u->hasher, plain);
	u->row.sealed_len += c->scratch.len;
	u->row.have++;
	u->got += plain.len;
	return buf_ok(&u->leaves) ? ERR_OK : ERR_NOMEM;
}

/* Writes the pages of leaves and the manifest, and completes the row. */
static void upload_seal(struct core *c, struct upload *u, uint32_t refs)
{
	struct manifest m = {.sealed_len = u->row.sealed_len, .chunks = u->row.have};
	uint8_t bytes[MANIFEST_MAX_BYTES];
	const size_t page = LIMIT_LEAVES_PER_PAGE * HASH_BYTES;

	for (size_t at = 0; at < u->leaves.len; at += page) {
		size_t left = u->leaves.len - at;
		struct view v = view_of(u->leaves.ptr + at, left < page ? left : page);

		store_body_put_part(c->t, u->row.class, u->row.body_no, PART_PAGE, m.pages, v);
		m.page[m.pages] = page_hash(m.pages, v);
		m.pages++;
	}
	store_body_put_part(c->t, u->row.class, u->row.body_no, PART_MANIFEST, 0, view_of(bytes, manifest_encode(&m, bytes)));
	u->row.hash = manifest_hash(&m);
	u->row.chunks = m.chunks;
	u->row.whole = true;
	u->row.refs = refs;
	store_body_put_row(c->t, &u->row);
}

static void upload_end(struct core *c, struct client *cl, struct upload *u)
{
	struct submission *s = malloc(sizeof *s);
	struct sealed b = {.has_body = true, .body_bytes = u->bytes, .content = u->content, .plain_hash = hasher_end(u->hasher)};
	struct request rq;
	struct errmsg m = {0};
	uint32_t tag = u->tag;
	enum err e = s ? request_decode(buf_view(&u->request), &rq) : ERR_NOMEM;

	u->hasher = NULL;
	if (!e)
		e = read_submission(c, rq.fields, s, &m);
	if (!e)
		e = check_rights(c, cl, s, &m);
	if (e) {
		reply_error(c, cl->id, tag, e, "%s", m.text[0] ? m.text : err_text(e));
	} else if (!s->key.len || !answer_known_key(c, cl, tag, s, &b.plain_hash)) {
		struct header h = message_header(c, s);

		h.flags |= HEADER_CHUNKED;
		h.bucket = bucket_of(u->bytes);
		upload_seal(c, u, (uint32_t)s->n_to);
		b.row = &u->row;
		accept(c, cl, tag, s, &h, &b);
	}
	crypt_wipe(&b.content, sizeof b.content);
	free(s);
	upload_drop(c, u);
}

void submit_chunk(struct core *c, struct client *cl, const struct request *rq)
{
	struct upload *u = upload_find(c, cl->id, rq->tag);
	struct view fields = rq->fields;
	struct request_item f;
	struct request_writer w;

	if (!u || u->failed) {
		reply_error(c, cl->id, rq->tag, u ? ERR_BUSY : ERR_NOT_FOUND, "chunk: %s", u ? "the journal refused an earlier part (send again)" : "no submission with this tag is open");
		if (u)
			upload_drop(c, u);
		return;
	}
	uint64_t left = u->bytes - u->got;
	size_t want = left < LIMIT_CHUNK_BYTES ? (size_t)left : LIMIT_CHUNK_BYTES;
	enum err e = request_next(&fields, &f);

	if (!e && (f.field != F_BODY || f.value.len != want))
		e = ERR_FORMAT;
	if (!e && refused_full(c, cl, rq->tag, u->precedence)) {
		upload_drop(c, u);
		return;
	}
	if (!e)
		e = upload_chunk(c, u, f.value, left == want);
	if (e) {
		reply_error(c, cl->id, rq->tag, e, "chunk %u: %s (each but the last holds %d bytes)",
			    u->row.have, err_text(e), LIMIT_CHUNK_BYTES);
		upload_drop(c, u);
		return;
	}
	if (u->got == u->bytes) {
		upload_end(c, cl, u);
		return;
	}
	reply_begin(c, &w, REPLY_NEXT, rq->tag);
	request_u32(&w, F_COUNT, 1);
	reply_end(c, &w, cl->id);
}

void submit_forget_client(struct core *c, uint64_t client)
{
	for (size_t i = c->n_uploads; i-- > 0;)
		if (c->uploads[i].client == client)
			upload_drop(c, &c->uploads[i]);
}

static enum err orphan(void *arg, const struct body_row *row)
{
	submit_trash(arg, row->class, row->body_no);
	return ERR_OK;
}

/* What submissions that broke off have left of their bodies. */
static void trash_find(struct core *c, struct txn *t)
{
	c->n_trash = 0;
	enum err e = store_body_each_orphan(t, orphan, c);

	(void)e; /* what cannot be listed is shown by verify */
}

void submit_start(struct core *c)
{
	trash_find(c, c->t);
}

/* So many records a batch: a large body must not hold up what is urgent. */
#define TRASH_RECORDS 2048

void submit_finish(struct core *c)
{
	if (!c->n_trash)
		return;
	struct trash *t = &c->trash[c->n_trash - 1];

	if (store_body_del(c->t, t->class, t->body_no, TRASH_RECORDS))
		c->n_trash--;
	c->serve_more = c->serve_more || c->n_trash;
}

void submit_committed(struct core *c)
{
	for (size_t i = 0; i < c->n_uploads; i++)
		c->uploads[i].committed = true;
	for (size_t i = 0; i < c->n_flash; i++) {
		c->flash[i].sent += c->flash[i].now;
		c->flash[i].now = 0;
	}
}

void submit_reload(struct core *c)
{
	struct txn *t = NULL;

	for (size_t i = c->n_uploads; i-- > 0;) {
		struct upload *u = &c->uploads[i];

		u->failed = true; /* what it had stored may have gone with the batch */
		if (!u->committed || !client_find(c, u->client))
			upload_drop(c, u);
	}
	for (size_t i = 0; i < c->n_flash; i++)
		c->flash[i].now = 0;
	/* All uploads have failed, so that every body without a reference is one to remove. */
	if (txn_begin(c->store, false, &t) == ERR_OK)
		trash_find(c, t);
	txn_abort(t);
}

/* ---- cancel ------------------------------------------------------------------------------------------------------------ */

/* Withdraws what is open of a message, or, without a client, counts it. */
static uint32_t cancel_one(struct core *c, const struct client *cl, const struct msgid *id)
{
	struct msg_row row;
	uint32_t n = 0;

	for (uint32_t addressee = 0;; addressee = row.addressee + 1u) {
		if (addressee > UINT16_MAX || store_msg_from(c->t, id, (uint16_t)addressee, &row) || !msgid_equal(&row.id, id))
			return n;
		uint16_t at = row.addressee;
		if (!row.arrival || row.originator != c->self)
			continue;
		uint8_t which;
		struct buf events = BUF_EMPTY;
		bool open = !msg_load(c, id, at, &row, &events) && !events_ended(c, buf_view(&events), c->self, at, (row.flags & HEADER_EXERCISE) != 0, &which);

		if (open && cl)
			report_here(c, &row, &events, EVENT_CANCELLED, cl->rights.name, "");
		buf_release(&events);
		row.addressee = at;
		if (!open)
			continue;
		n++;
		if (!cl)
			continue;
		tally_of(c, row.flags)->cancelled++;
	}
}

void submit_cancel(struct core *c, struct client *cl, const struct request *rq)
{
	struct view fields = rq->fields;
	struct request_item f;
	uint32_t n = 0;

	if (!cl->rights.may_send) {
		reply_error(c, cl->id, rq->tag, ERR_NOT_PERMITTED, "cancel: %s may not send, so not cancel either", cl->rights.name);
		return;
	}
	/* First all are looked at, then all are withdrawn: a wrong one changes nothing. */
	for (int round = 0; round < 2; round++)
		for (fields = rq->fields; request_next(&fields, &f) == ERR_OK;) {
			struct msgid id;
			char text[MSGID_TEXT_BYTES];

			if (f.field != F_ID || !item_ok(&f))
				continue;
			memcpy(id.b, f.value.ptr, MSGID_BYTES);
			n += round;
			if (cancel_one(c, round ? cl : NULL, &id) || round)
				continue;
			msgid_format(&id, text);
			reply_error(c, cl->id, rq->tag, ERR_NOT_FOUND, "cancel %s: not sent from here, or it has ended already (see `estafette trace %s`)", text, text);
			return;
		}
	reply_done(c, cl->id, rq->tag, n);
}
