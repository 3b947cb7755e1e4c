/* keys.c - which key opens which entry: grants found, opened, remembered. */
#include "node/core/core_int.h"

static enum err grant_key(struct core *c, struct stream *s, const struct entry_row *row, struct sym_key *out)
{
	struct buf grant = BUF_EMPTY;
	enum err e = store_body_get_part(c->t, row->body_class, row->body_no, PART_WHOLE, 0, &grant);

	if (!e) {
		struct hash h = body_hash(buf_view(&grant));

		e = hash_equal(&h, &row->e.body_hash) ? ERR_OK : ERR_DAMAGED;
	}
	if (!e)
		e = grant_open(c->config.suite, buf_view(&grant), c->self, c->config.keys.sealing, c->config.keys.n_sealing, &s->hash, out);
	buf_release(&grant);
	return e;
}

enum err stream_key(struct core *c, struct stream *s, uint64_t number, struct sym_key *out)
{
	uint64_t from, arrival;
	struct entry_row row;

	if (s->own && s->epoch_known && number > s->epoch_from) {
		*out = s->epoch;
		return ERR_OK;
	}
	enum err e = store_grant_find(c->t, s->row.local, number, &from, &arrival);
	if (e)
		return e == ERR_NOT_FOUND ? ERR_KEY : e;
	if (s->epoch_known && from == s->epoch_from) {
		*out = s->epoch;
		return ERR_OK;
	}
	e = store_entry_get(c->t, arrival, &row);
	if (!e)
		e = grant_key(c, s, &row, out);
	else if (e == ERR_NOT_FOUND)
		e = ERR_KEY; /* the stream began at a floor behind its grant */
	/* One that does not name us, or cannot be read: another site may have handed us its key. */
	if (e == ERR_KEY || e == ERR_DAMAGED)
		e = grants_key(c, s, from, out) ? e : ERR_OK;
	/* An own stream keeps the key it seals with. */
	if (!e && !s->own) {
		s->epoch = *out;
		s->epoch_known = true;
		s->epoch_from = from;
	}
	return e;
}

void keys_grant(struct core *c, struct stream *s, const struct entry_row *row)
{
	store_grant_put(c->t, s->row.local, row->number, row->arrival);
}

enum err open_envelope(struct core *c, struct stream *s, const struct entry_row *row, struct header *h, struct envelope *env)
{
	struct sym_key key;
	struct view plain;
	enum err e = header_decode(row->e.header, h);

	if (e)
		return e;
	if (row->e.envelope.len < SYM_OVERHEAD_BYTES)
		return ERR_FORMAT;
	e = stream_key(c, s, row->number, &key);
	if (e)
		return e;
	buf_clear(&c->plain);
	uint8_t *room = buf_extend(&c->plain, row->e.envelope.len - SYM_OVERHEAD_BYTES);
	e = room ? envelope_open(&key, row->e.header, &s->hash, row->e.envelope, room, &plain) : ERR_NOMEM;
	if (!e)
		e = envelope_decode(plain, env);
	crypt_wipe(&key, sizeof key);
	return e;
}
