/* own.c - appending to the streams of this incarnation: numbers, chain, grants, signatures. */
#include "node/core/core_int.h"

struct stream *own_stream(struct core *c, uint16_t addressee, uint8_t precedence, bool exercise)
{
	struct stream_name name = {.originator = c->self, .incarnation = c->incarnation, .addressee = addressee,
				   .precedence = precedence, .exercise = exercise};
	struct stream *s = stream_by_name(c, &name);

	return s ? s : stream_new(c, &name);
}

struct header own_header(struct core *c, uint8_t kind, uint8_t precedence, bool exercise)
{
	return (struct header){
		.kind = kind,
		.flags = (uint8_t)((exercise ? HEADER_EXERCISE : 0) | (c->clock_unsure ? HEADER_CLOCK_UNSURE : 0)),
		.precedence = precedence,
		.id = core_next_id(c),
		.originator = c->self,
		.roster = c->roster->serial,
		.sent = c->wall,
	};
}

void own_sign(struct core *c, struct stream *s)
{
	struct head h = {.number = s->row.held, .chain = s->row.chain};

	if (s->signed_to == s->row.held)
		return;
	head_sign(c->config.suite, &c->config.keys.identity, &s->hash, &h);
	store_head_put(c->t, &s->row, &h);
	s->signed_to = s->row.held;
	s->dirty = true;
	stream_touch(c, s);
	stream_heat(c, s);
}

static void own_add(struct core *c, struct stream *s, struct entry_row *row)
{
	struct hash leaf = entry_leaf(&row->e);

	row->stream = s->row.local;
	row->number = s->row.held + 1;
	row->chain = chain_next(&s->row.chain, row->number, &leaf);
	row->stored = c->wall;
	row->from = c->self;
	store_entry_append(c->t, row);
	if (!c->fresh_from)
		c->fresh_from = row->arrival;
	s->row.held = row->number;
	s->row.chain = row->chain;
	s->dirty = true;
	stream_touch(c, s);
	stream_heat(c, s);
	if (s->row.held - s->signed_to >= LIMIT_HEAD_SPACING)
		own_sign(c, s);
}

/* ---- grants ----------------------------------------------------------------------------------------------------- */

static size_t grant_recipients(struct core *c, const struct stream *s, struct grant_to to[LIMIT_CUSTODIANS + 1])
{
	uint16_t sites[LIMIT_CUSTODIANS];
	size_t n_sites = custodians(c, s->row.name.addressee, s->row.name.exercise, sites), n = 0;
	bool self = false;

	for (size_t i = 0; i < n_sites; i++) {
		const struct site *site = roster_site(c->roster, sites[i]);

		if (!site)
			continue;
		self = self || sites[i] == c->self;
		to[n++] = (struct grant_to){.site = sites[i], .key = site->sealing};
	}
	if (!self)
		to[n++] = (struct grant_to){.site = c->self, .key = c->me->sealing};
	return n;
}

/* What the grant in force was made for: the recipients and their keys. */
static struct hash recipients_hash(struct core *c, const struct grant_to *to, size_t n)
{
	buf_clear(&c->scratch2);
	for (size_t i = 0; i < n; i++) {
		buf_add_u16(&c->scratch2, to[i].site);
		buf_add(&c->scratch2, view_of(to[i].key.b, sizeof to[i].key.b));
	}
	return crypt_hash(HASH_STATE, buf_view(&c->scratch2));
}

enum err own_epoch(struct core *c, struct stream *s)
{
	struct grant_to to[LIMIT_CUSTODIANS + 1];
	size_t n = grant_recipients(c, s, to);
	struct hash set = recipients_hash(c, to, n);
	uint32_t day = (uint32_t)(c->wall.us / US_PER_DAY);
	struct buf grant = BUF_EMPTY;
	struct sym_key key;

	if (s->epoch_known && s->epoch_day == day && hash_equal(&set, &s->epoch_for))
		return ERR_OK;
	rng_bytes(&c->rng, key.b, sizeof key.b);
	enum err e = grant_make(c->config.suite, &c->rng, &s->hash, &key, to, n, &grant);
	if (e)
		goto out;
	struct header h = own_header(c, KIND_GRANT, s->row.name.precedence, s->row.name.exercise);
	uint64_t arrival;
	e = own_append(c, s, &h, view_of(NULL, 0), buf_view(&grant), NULL, &arrival);
	if (e)
		goto out;
	store_grant_put(c->t, s->row.local, s->row.held, arrival);
	s->epoch = key;
	s->epoch_known = true;
	s->epoch_from = s->row.held;
	s->epoch_day = day;
	s->epoch_for = set;
out:
	crypt_wipe(&key, sizeof key);
	buf_release(&grant);
	return e;
}

/* ---- appending ---------------------------------------------------------------------------------------------------- */

enum err own_append(struct core *c, struct stream *s, const struct header *h, struct view envelope_plain, struct view body,
		    const struct body_row *body_row, uint64_t *arrival)
{
	uint8_t header[HEADER_BYTES], nonce[SYM_NONCE_BYTES];
	struct buf sealed = BUF_EMPTY;
	struct entry_row row = {.body_class = s->row.name.exercise ? BODY_EXERCISE : BODY_OPERATIONAL};

	header_encode(h, header);
	row.e.header = view_of(header, sizeof header);
	if (envelope_plain.len) {
		assert(s->epoch_known);
		rng_bytes(&c->rng, nonce, sizeof nonce);
		envelope_seal(&s->epoch, nonce, row.e.header, &s->hash, envelope_plain, &sealed);
		if (!buf_ok(&sealed))
			return ERR_NOMEM;
		row.e.envelope = buf_view(&sealed);
	}
	row.e.body = body;
	row.e.body_len = body.len;
	if (body_row) {
		row.body_no = body_row->body_no;
		row.e.body_len = body_row->sealed_len;
		row.e.body_hash = body_row->hash;
		row.e.flags = ENTRY_BODY_APART;
	}
	entry_hash(&row.e);
	own_add(c, s, &row);
	if (arrival)
		*arrival = row.arrival;
	stream_advanced(c, s);
	if (h->kind == KIND_MESSAGE)
		deliver_entry(c, s, &row);
	buf_release(&sealed);
	return ERR_OK;
}

void own_finish(struct core *c)
{
	for (size_t i = 0; i < c->n_hot; i++) {
		struct stream *s = c->hot[i];

		if (!s->dirty)
			continue;
		if (s->own)
			own_sign(c, s);
		store_stream_put(c->t, &s->row);
		s->dirty = false;
	}
}
