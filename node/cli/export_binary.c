/* The binary form of an export, and an evidence package, which is one with what it takes to verify it anywhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/cli/evidence.h"
#include "node/cli/export.h"
#include "proto/frame.h"
#include "proto/order.h"

struct form {
	struct source *s;
	const struct evidence *ev;  /* NULL: an export */
	struct tofile f;
	struct counts *n;
	struct hasher *all;         /* of what was written */
	struct buf segment;         /* the run under way */
	struct buf arrived;         /* evidence: when its entries came */
	struct segment_writer w;
	struct errmsg *m;
};

static struct wall now_wall(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (struct wall){t.tv_sec * 1000000LL + t.tv_nsec / 1000};
}

static enum err put_bytes(struct form *f, struct view v)
{
	hasher_add(f->all, v);
	return tofile_write(&f->f, v);
}

/* Releases head. */
static enum err put_block(struct form *f, struct buf *head, struct view rest)
{
	enum err e = buf_ok(head) ? put_bytes(f, buf_view(head)) : ERR_NOMEM;
	buf_release(head);
	return e == ERR_OK ? put_bytes(f, rest) : e;
}

/* ---- entries ------------------------------------------------------------------------------------------------------------ */

static enum err put_entry(void *arg, struct txn *t, const struct picked *p)
{
	struct form *f = arg;
	(void)t;
	if (!f->segment.len)
		segment_begin(&f->w, &f->segment, &p->stream->name, p->row->number);
	segment_add(&f->w, &p->row->e);
	buf_add_u64(&f->arrived, p->row->arrival);
	buf_add_u64(&f->arrived, (uint64_t)p->row->stored.us);
	buf_add_u16(&f->arrived, p->row->from);
	f->n->entries++;
	f->n->bodies += p->row->e.body.len > 0;
	return buf_ok(&f->segment) && buf_ok(&f->arrived) ? ERR_OK : ERR_NOMEM;
}

static enum err put_chain(struct form *f, const struct export_run *r)
{
	uint8_t name[STREAM_NAME_BYTES];
	struct buf b = BUF_EMPTY;
	stream_name_encode(&r->stream->name, name);
	buf_add_u8(&b, EXPORT_CHAIN);
	buf_add(&b, view_of(name, sizeof name));
	buf_add_u64(&b, r->first - 1);
	return put_block(f, &b, view_of(r->before.b, HASH_BYTES));
}

static enum err put_arrived(struct form *f, uint16_t entries)
{
	struct buf b = BUF_EMPTY;
	buf_add_u8(&b, EXPORT_ARRIVED);
	buf_add_u16(&b, entries);
	return put_block(f, &b, buf_view(&f->arrived));
}

static enum err put_segment(struct form *f)
{
	struct buf b = BUF_EMPTY;
	buf_add_u8(&b, EXPORT_SEGMENT);
	buf_add_u32(&b, (uint32_t)f->segment.len);
	return put_block(f, &b, buf_view(&f->segment));
}

static enum err put_head(void *arg, const struct export_run *r)
{
	struct form *f = arg;
	segment_end(&f->w, r->tail, r->n_tail, &r->head);
	enum err e = buf_ok(&f->segment) ? put_chain(f, r) : ERR_NOMEM;
	if (e == ERR_OK && f->ev)
		e = put_arrived(f, r->entries);
	if (e == ERR_OK)
		e = put_segment(f);
	buf_clear(&f->segment);
	buf_clear(&f->arrived);
	return e;
}

static enum err put_part(void *arg, uint8_t class, const struct hash *body, uint8_t kind, uint32_t index, struct view bytes)
{
	struct form *f = arg;
	struct buf b = BUF_EMPTY;
	f->n->bodies += kind == PART_MANIFEST;
	buf_add_u8(&b, EXPORT_PART);
	buf_add_u8(&b, class);
	buf_add(&b, view_of(body->b, HASH_BYTES));
	buf_add_u8(&b, kind);
	buf_add_u32(&b, index);
	buf_add_u32(&b, (uint32_t)bytes.len);
	return put_block(f, &b, bytes);
}

/* ---- what it takes to verify them --------------------------------------------------------------------------------------- */

static enum err put_about(struct form *f)
{
	struct buf b = BUF_EMPTY;
	buf_add_u8(&b, EXPORT_PERIOD);
	buf_add_u64(&b, (uint64_t)f->ev->from.us);
	buf_add_u64(&b, (uint64_t)f->ev->to.us);
	buf_add_u8(&b, EXPORT_AUTHORITY);
	buf_add(&b, view_of(f->ev->authority.key_id, MINISIGN_KEY_ID_BYTES));
	return put_block(f, &b, view_of(f->ev->authority.key.b, sizeof f->ev->authority.key.b));
}

static enum err put_state(struct form *f, uint8_t kind, const struct moment *since, struct view blob)
{
	struct buf b = BUF_EMPTY;
	buf_add_u8(&b, EXPORT_STATE);
	buf_add_u8(&b, kind);
	buf_add_u64(&b, since ? (uint64_t)since->when.us : 0);
	buf_add_u32(&b, (uint32_t)blob.len);
	return put_block(f, &b, blob);
}

struct state_of { struct form *f; struct txn *t; uint8_t kind; unsigned n; };

static enum err one_state(void *arg, const struct hash *id, struct view blob)
{
	struct state_of *o = arg;
	struct moment since;
	o->n++;
	return put_state(o->f, o->kind, store_state_since_get(o->t, o->kind, id, &since) == ERR_OK ? &since : NULL, blob);
}

/* Rosters come first: the rest is verified under them. */
static enum err put_states(struct form *f, struct txn *t)
{
	static const uint8_t kinds[] = {STATE_KIND_ROSTER, STATE_KIND_ORDER, STATE_KIND_ENDORSEMENT, STATE_KIND_DICTIONARY};
	const struct roster *r = f->s->roster;
	enum err e = ERR_OK;
	for (size_t i = 0; e == ERR_OK && i < sizeof kinds; i++) {
		struct state_of o = {f, t, kinds[i], 0};
		e = store_state_each(t, kinds[i], one_state, &o);
		if (e == ERR_DAMAGED)
			e = ERR_OK; /* what others of it say still stands */
		if (e == ERR_OK && kinds[i] == STATE_KIND_ROSTER && o.n == 0)
			e = put_state(f, STATE_KIND_ROSTER, NULL, view_of(r->blob.ptr, r->blob.len));
	}
	return e;
}

static const struct stream_row *stream_of(const struct source *s, uint32_t local)
{
	for (size_t i = 0; i < s->n_streams; i++)
		if (s->streams[i].local == local)
			return &s->streams[i];
	return NULL;
}

static enum err put_key(struct form *f, const struct stream_row *s, uint64_t number, struct view grant)
{
	uint8_t name[STREAM_NAME_BYTES];
	struct buf b = BUF_EMPTY;
	stream_name_encode(&s->name, name);
	buf_add_u8(&b, EXPORT_HANDED);
	buf_add(&b, view_of(name, sizeof name));
	buf_add_u64(&b, number);
	buf_add_u32(&b, (uint32_t)grant.len);
	return put_block(f, &b, grant);
}

/* A grant is kept below its stream's floor, where no chain leads to it. */
static enum err put_grant_below(struct form *f, struct txn *t, const struct stream_row *s, uint64_t number)
{
	struct buf grant = BUF_EMPTY;
	struct entry_row row;
	uint64_t from, arrival;
	enum err e = ERR_OK;
	if (number <= s->floor && store_grant_find(t, s->local, number, &from, &arrival) == ERR_OK && from == number && store_entry_get(t, arrival, &row) == ERR_OK &&
	    store_body_get_part(t, row.body_class, row.body_no, PART_WHOLE, 0, &grant) == ERR_OK)
		e = put_key(f, s, number, buf_view(&grant));
	buf_release(&grant);
	return e;
}

/* Grants that are no entries of the package. */
static enum err put_handed(struct form *f, struct txn *t)
{
	enum err e = ERR_OK;
	for (size_t i = 0; e == ERR_OK && i < f->ev->n_grants; i++) {
		const struct stream_row *s = stream_of(f->s, f->ev->grants[i].stream);
		struct view grant;
		if (s == NULL)
			continue;
		e = put_grant_below(f, t, s, f->ev->grants[i].number);
		if (e == ERR_OK && store_handed_get(t, s->local, f->ev->grants[i].number, &grant) == ERR_OK)
			e = put_key(f, s, f->ev->grants[i].number, grant);
	}
	return e;
}

static enum err put_proof(struct form *f)
{
	struct txn *t = NULL;
	enum err e = txn_begin(f->s->store, false, &t);
	if (e == ERR_OK)
		e = put_about(f);
	if (e == ERR_OK)
		e = put_states(f, t);
	if (e == ERR_OK)
		e = put_handed(f, t);
	txn_abort(t);
	return e;
}

/* ---- begin and end ------------------------------------------------------------------------------------------------------- */

static enum err put_first(struct form *f)
{
	const struct store_birth *b = store_birth(f->s->store);
	struct buf h = BUF_EMPTY;
	buf_add(&h, view_of((const uint8_t *)EXPORT_MAGIC, EXPORT_MAGIC_BYTES));
	buf_add_u8(&h, EXPORT_BINARY_VERSION);
	buf_add_u16(&h, b->site);
	buf_add(&h, view_of(b->network.b, HASH_BYTES));
	buf_add_u64(&h, (uint64_t)now_wall().us);
	buf_add_u8(&h, (uint8_t)strlen(b->site_id));
	return put_block(f, &h, view_str(b->site_id));
}

static enum err put_signature(struct form *f, const struct hash *all)
{
	const struct store_birth *b = store_birth(f->s->store);
	uint8_t message[EVIDENCE_SIGNED_BYTES];
	struct signature signature;
	struct buf out = BUF_EMPTY;
	crypt_suite_real.sign(&f->s->keys->identity, evidence_signed(message, &b->network, all), &signature);
	buf_add_u16(&out, b->site);
	buf_add(&out, view_of(signature.b, SIGNATURE_BYTES));
	enum err e = buf_ok(&out) ? tofile_write(&f->f, buf_view(&out)) : ERR_NOMEM;
	buf_release(&out);
	return e;
}

static enum err put_end(struct form *f)
{
	struct buf b = BUF_EMPTY;
	buf_add_u8(&b, f->ev ? EXPORT_SIGNED : EXPORT_END);
	buf_add_u64(&b, f->n->entries);
	enum err e = put_block(f, &b, view_of(NULL, 0));
	struct hash h = hasher_end(f->all);
	f->all = NULL;
	if (e == ERR_OK)
		e = tofile_write(&f->f, view_of(h.b, HASH_BYTES));
	return e == ERR_OK && f->ev ? put_signature(f, &h) : e;
}

static enum err finish(struct form *f, enum err e)
{
	e = tofile_end(&f->f, e, f->m);
	hasher_free(f->all);
	buf_release(&f->segment);
	buf_release(&f->arrived);
	return e;
}

enum err export_binary(struct source *s, const struct pick *pick, const struct evidence *ev, const char *file, struct counts *n, struct errmsg *m)
{
	struct form f = {.s = s, .ev = ev, .n = n, .m = m, .all = hasher_new(HASH_BACKUP)};
	struct sink sink = {.arg = &f, .entry = put_entry, .head = put_head, .parts = true, .part = put_part};
	struct progress p;
	enum err e = tofile_begin(&f.f, file, m);
	progress_begin(&p, ev ? "evidence" : "export");
	if (e == ERR_OK)
		e = f.all ? put_first(&f) : ERR_NOMEM;
	if (e == ERR_OK && ev)
		e = put_proof(&f);
	if (e == ERR_OK)
		e = export_walk(s, pick, &sink, &p, m);
	if (e == ERR_OK)
		e = put_end(&f);
	return finish(&f, e);
}
