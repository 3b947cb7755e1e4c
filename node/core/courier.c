/* courier.c - bundles taken in: who packed them is judged, then each piece is taken as if a peer had sent it. */
#include <stdio.h>

#include "node/core/show_int.h"

/* Bundles that are taken in at one time. */
#define UNPACKINGS_MAX 16

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static struct unpacking *unpacking_of(struct core *c, uint64_t client)
{
	for (size_t i = 0; i < c->courier.n_unpackings; i++)
		if (c->courier.unpackings[i].client == client)
			return &c->courier.unpackings[i];
	return NULL;
}

static void unpack_forget(struct core *c, uint64_t client)
{
	struct unpacking *u = unpacking_of(c, client);

	if (u)
		*u = c->courier.unpackings[--c->courier.n_unpackings];
}

void courier_forget_client(struct core *c, uint64_t client)
{
	pack_forget_client(c, client);
	unpack_forget(c, client);
}

void courier_committed(struct core *c)
{
	pack_committed(c);
	for (size_t i = 0; i < c->courier.n_unpackings; i++)
		c->courier.unpackings[i].committed = true;
}

void courier_reload(struct core *c)
{
	pack_reload(c);
	for (size_t i = c->courier.n_unpackings; i-- > 0;)
		if (!c->courier.unpackings[i].committed)
			c->courier.unpackings[i] = c->courier.unpackings[--c->courier.n_unpackings];
}

void courier_free(struct core *c)
{
	while (c->courier.n_packings)
		pack_drop_last(c);
	free(c->courier.packings);
	free(c->courier.unpackings);
	buf_release(&c->courier.frame);
	buf_release(&c->courier.step);
}

/* ---- who packed it --------------------------------------------------------------------------------------------------- */

/* With its identity, or one that it had before and was not captured with. */
static bool signed_by(const struct core *c, const struct site *s, const struct bundle_end *end)
{
	const struct sign_public *key;

	for (size_t i = 0; (key = site_identity(s, i)) && (i == 0 || !site_ever_revoked(c, s->number)); i++)
		if (bundle_verify(c->config.suite, key, &c->roster->network_hash, end))
			return true;
	return false;
}

static enum err judge(struct core *c, const struct bundle_head *h, const struct bundle_end *end, struct errmsg *m)
{
	const struct site *s = roster_site(c->roster, h->site);

	if (!hash_equal(&h->network, &c->roster->network_hash))
		return err_set(m, ERR_CONFLICT, "unpack: the bundle was made for another network (nothing of it was taken)");
	if (!s)
		return err_set(m, ERR_UNKNOWN_SITE, "unpack: the bundle was packed by site %u under roster %u, and roster %u here does not name it (bring the newer roster first; nothing of it was taken)",
			       h->site, h->roster, c->roster->serial);
	if (!signed_by(c, s, end))
		return err_set(m, ERR_AUTH, "unpack: the bundle is not signed by %s, which it names as its packer (it was altered, or made by somebody else; nothing of it was taken)", s->id);
	return ERR_OK;
}

static void for_text(const struct core *c, const struct bundle_head *h, struct buf *out)
{
	char name[LIMIT_NAME_BYTES + 1];

	if (h->all)
		buf_add(out, view_str("all"));
	for (size_t i = 0; i < h->n_sites; i++) {
		if (i)
			buf_add_u8(out, '\n');
		buf_add(out, view_str(site_name(c, bundle_site(h, i), name)));
	}
}

static bool is_for(const struct core *c, const struct bundle_head *h)
{
	for (size_t i = 0; i < h->n_sites; i++)
		if (bundle_site(h, i) == c->self)
			return true;
	return h->all;
}

static void row_head(struct core *c, struct client *cl, uint32_t tag, const struct bundle_head *h)
{
	struct rows r = {.c = c, .client = cl->id, .tag = tag};
	bool revoked = site_revoked(c, h->site);
	struct buf list = BUF_EMPTY;
	char name[LIMIT_NAME_BYTES + 1], note[200] = "";

	for_text(c, h, &list);
	if (revoked)
		snprintf(note, sizeof note, "%s, which packed it, is revoked: what others signed counts, what it says of itself does not", site_name(c, h->site, name));
	else if (!is_for(c, h))
		snprintf(note, sizeof note, "it was packed for others; what concerns this site is taken");
	row_begin(&r);
	row_text(&r, "part", "bundle");
	row_text(&r, "site", site_name(c, h->site, name));
	row_time(&r, "made", h->made);
	row_list(&r, "for", &list);
	row_text(&r, "precedence", precedence_name(h->precedence));
	row_text(&r, "note", note);
	row_end(&r);
	reply_done(c, cl->id, tag, 1);
	buf_release(&list);
}

struct given { struct view piece, blob; bool has_index; };

static enum err given_fields(struct view fields, struct given *out, struct errmsg *m)
{
	struct request_item f;

	*out = (struct given){0};
	while (request_next(&fields, &f) == ERR_OK) {
		if (item_check(&f, "unpack", m))
			return m->code;
		if (f.field == F_PIECE)
			out->piece = f.value;
		if (f.field == F_BLOB)
			out->blob = f.value;
		out->has_index = out->has_index || f.field == F_INDEX;
	}
	return out->piece.len ? ERR_OK : err_set(m, ERR_FORMAT, "unpack: a piece of a bundle is needed");
}

static void begin(struct core *c, struct client *cl, const struct request *rq, const struct given *g)
{
	struct bundle_head h;
	struct bundle_end end;
	struct errmsg m = {0};
	struct unpacking *u;
	enum err e = bundle_head_decode(g->piece, &h) || bundle_end_decode(g->blob, &end)
			     ? err_set(&m, ERR_FORMAT, "unpack: the bundle's head or end is malformed")
			     : judge(c, &h, &end, &m);

	unpack_forget(c, cl->id);
	if (!e && c->courier.n_unpackings >= UNPACKINGS_MAX)
		e = err_set(&m, ERR_BUSY, "unpack: %d bundles are being taken in already (wait for one of them)", UNPACKINGS_MAX);
	if (!e && !(u = array_grow(&c->courier.unpackings, &c->courier.n_unpackings, sizeof *u)))
		e = err_set(&m, ERR_NOMEM, "unpack: out of memory");
	if (e) {
		reply_error(c, cl->id, rq->tag, e, "%s", m.text);
		return;
	}
	*u = (struct unpacking){.client = cl->id, .from = h.site};
	effect_log(c->out, 5, "courier: a bundle of site %u is taken in by %s", h.site, cl->rights.name);
	row_head(c, cl, rq->tag, &h);
}

/* ---- pieces -------------------------------------------------------------------------------------------------------------- */

/* What became of one piece. */
struct outcome {
	const char *kind;
	struct stream_name stream; bool has_stream;
	uint64_t first, entries, messages, added, added_messages;
	enum err err;
	char why[200];
};

static const char *why_not(enum err e)
{
	switch (e) {
	case ERR_GAP: return "entries before it are in another bundle, which has to come first";
	case ERR_BUSY: return "there is no room for all of it now";
	case ERR_NOT_PERMITTED: return "it is not for this site to hold";
	case ERR_AUTH: return "it is not signed by its originator, or does not fit its hash";
	case ERR_CONFLICT: return "it says something else than what is here under the same numbers";
	case ERR_UNKNOWN_SITE: return "its originator is not in this node's roster";
	case ERR_UNSUPPORTED: return "this node does not know what that is";
	default: return err_text(e);
	}
}

static void apply_state(struct core *c, struct unpacking *u, const struct state_frame *f, struct outcome *o)
{
	struct errmsg m = {0};
	struct hash id;
	bool is_new = false;

	o->kind = "order";
	o->entries = 1;
	o->err = orders_take(c, (enum state_kind)f->kind, f->blob, u->from, &id, &is_new, &m);
	o->added = is_new;
	if (o->err == ERR_EXISTS)
		o->err = ERR_OK;
	if (o->err)
		snprintf(o->why, sizeof o->why, "%.199s", m.text);
}

static void apply_state_part(struct core *c, const struct state_frame *f, struct outcome *o)
{
	struct errmsg m = {0};
	bool is_new = false;

	o->kind = f->name.kind == STATE_KIND_ROSTER ? "roster" : "dictionary";
	o->entries = 1;
	o->err = travel_bundle(c, f, &is_new, &m);
	o->added = is_new;
	if (o->err)
		snprintf(o->why, sizeof o->why, "%.199s", m.text);
}

/* Messages among the entries of a segment from number first on. */
static uint64_t messages_from(const struct segment *seg, uint64_t first)
{
	uint64_t number = seg->first, n = 0;
	struct entry e;
	struct header h;

	for (struct view rest = seg->entry_bytes; rest.len && segment_next(&rest, &e) == ERR_OK; number++)
		n += number >= first && header_decode(e.header, &h) == ERR_OK && h.kind == KIND_MESSAGE;
	return n;
}

/* Of a stream that another lost its place in, the gap is said with its numbers. */
static void say_gap(struct core *c, const struct stream *s, const struct segment *seg, struct outcome *o)
{
	char from[LIMIT_NAME_BYTES + 1], to[LIMIT_NAME_BYTES + 1];

	snprintf(o->why, sizeof o->why, "entries %llu to %llu from %s to %s are in an earlier bundle, which has to come first", (unsigned long long)(s ? s->row.held + 1 : 1),
		 (unsigned long long)(seg->first - 1), site_name(c, seg->name.originator, from), site_name(c, seg->name.addressee, to));
}

static void apply_segment(struct core *c, struct unpacking *u, struct segment *seg, const struct hash *after, struct view raw, struct outcome *o)
{
	struct segment whole = *seg;
	struct stream *s = stream_by_name(c, &seg->name);
	uint64_t before = s ? s->row.held : 0;

	o->kind = "segment";
	o->stream = seg->name;
	o->has_stream = true;
	o->first = seg->first;
	o->entries = seg->entries;
	o->messages = messages_from(&whole, whole.first);
	o->err = replicate_apply(c, u->from, seg, after, raw);
	s = stream_by_name(c, &whole.name);
	if (s && s->row.held > before) {
		o->added = s->row.held - before;
		o->added_messages = messages_from(&whole, before + 1) - messages_from(&whole, s->row.held + 1);
	}
	if (o->err == ERR_GAP)
		say_gap(c, s, &whole, o);
}

/* It is taken some seconds later, unless somebody gives what is before it. */
static void apply_floor(struct core *c, const struct floor_frame *f, struct outcome *o)
{
	struct stream *s;

	o->kind = "floor";
	o->stream = f->stream;
	o->has_stream = true;
	o->entries = 1;
	o->err = floor_heard(c, NULL, f);
	s = stream_by_name(c, &f->stream);
	o->added = !o->err && s && s->row.held < f->floor.number;
}

static void apply(struct core *c, struct unpacking *u, struct frame *f, struct view piece, struct outcome *o)
{
	switch (f->type) {
	case FRAME_STATE:
		if (f->u.state.what == STATE_GIVE)
			apply_state(c, u, &f->u.state, o);
		if (f->u.state.what == STATE_PART)
			apply_state_part(c, &f->u.state, o);
		break;
	case FRAME_SEGMENT:
		apply_segment(c, u, &f->u.segment, NULL, view_of(piece.ptr + 2, piece.len - 2), o);
		break;
	case FRAME_SEGMENT_AFTER:
		apply_segment(c, u, &f->u.after.segment, &f->u.after.before, view_of(piece.ptr + 2 + HASH_BYTES, piece.len - 2 - HASH_BYTES), o);
		break;
	case FRAME_VECTOR:
		o->kind = "vector";
		o->entries = 1;
		if (!vectors_given(c, f->u.raw))
			o->err = ERR_FORMAT;
		break;
	case FRAME_FLOOR:
		apply_floor(c, &f->u.floor, o);
		break;
	case FRAME_PART:
		o->kind = "part";
		o->entries = 1;
		o->err = bodies_apply(c, &f->u.part);
		o->added = o->err == ERR_OK;
		if (o->err == ERR_EXISTS)
			o->err = ERR_OK;
		break;
	default: break;
	}
}

static void row_outcome(struct core *c, struct client *cl, uint32_t tag, const struct outcome *o)
{
	struct rows r = {.c = c, .client = cl->id, .tag = tag};
	char from[LIMIT_NAME_BYTES + 1], to[LIMIT_NAME_BYTES + 1];

	row_begin(&r);
	row_text(&r, "part", o->kind);
	if (o->has_stream) {
		row_text(&r, "from", site_name(c, o->stream.originator, from));
		row_text(&r, "to", site_name(c, o->stream.addressee, to));
		row_text(&r, "precedence", precedence_name(o->stream.precedence));
		row_flag(&r, "exercise", o->stream.exercise);
		row_number(&r, "messages", (int64_t)o->messages);
		row_number(&r, "new_messages", (int64_t)o->added_messages);
	}
	row_number(&r, "entries", (int64_t)o->entries);
	row_number(&r, "new", (int64_t)o->added);
	if (o->err) {
		row_text(&r, "code", err_code(o->err));
		row_text(&r, "why", o->why[0] ? o->why : why_not(o->err));
	}
	row_end(&r);
	reply_done(c, cl->id, tag, (uint32_t)o->added);
}

static void take_piece(struct core *c, struct client *cl, const struct request *rq, const struct given *g)
{
	struct unpacking *u = unpacking_of(c, cl->id);
	struct outcome o = {0};
	struct frame *f = calloc(1, sizeof *f);
	enum err e = f ? frame_decode(g->piece, f) : ERR_NOMEM;

	if (!u)
		reply_error(c, cl->id, rq->tag, ERR_NOT_FOUND, "unpack: no bundle is being taken in (its head and end come first)");
	else if (e)
		reply_error(c, cl->id, rq->tag, e, "unpack: a piece of the bundle: %s", err_text(e));
	else
		apply(c, u, f, g->piece, &o);
	if (u && !e && o.kind)
		row_outcome(c, cl, rq->tag, &o);
	else if (u && !e)
		reply_error(c, cl->id, rq->tag, ERR_FORMAT, "unpack: that does not belong into a bundle");
	free(f);
}

void unpack_request(struct core *c, struct client *cl, const struct request *rq)
{
	struct errmsg m = {0};
	struct given g = {0};
	enum err e = cl->rights.may_operate ? given_fields(rq->fields, &g, &m)
					    : err_set(&m, ERR_NOT_PERMITTED, "unpack: %s may not operate the node (see `clients` in node.conf)", cl->rights.name);

	if (!e && c->rebuilding)
		e = err_set(&m, ERR_BUSY, "unpack: this node's journal is being rebuilt (see `estafette alarms`)");
	if (e)
		reply_error(c, cl->id, rq->tag, e, "%s", m.text);
	else if (g.has_index)
		take_piece(c, cl, rq, &g);
	else
		begin(c, cl, rq, &g);
}
