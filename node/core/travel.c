/* travel.c - rosters and dictionaries: fetched, verified, kept, taken over, given. */
#include <stdio.h>

#include "node/core/core_int.h"

/* A part is so long at most; it grows while answers come at once, and shrinks where they take long: urgent messages wait behind it. */
#define PIECE_MIN 1024
#define PIECE_FIRST 2048
#define PIECE_MAX (16 * 1024)
#define PIECE_QUICK_US (500 * US_PER_MS)
#define PIECE_SLOW_US US_PER_S
/* Who does not answer for so long is not waited for; when all were asked, they are asked again later. */
#define ANSWER_US (15 * US_PER_S)
#define AGAIN_US (30 * US_PER_S)

struct fetched {
	struct state_name name;
	uint16_t from;               /* asked; 0: nobody */
	uint16_t last;               /* asked last */
	bool mixed;                  /* parts of several sites */
	bool wanted;                 /* still */
	uint8_t tried[65536 / 8];    /* sites asked in vain since the last progress */
	struct buf got;
	uint32_t total;              /* 0: not known yet */
	uint32_t piece;
	struct mono asked_at, again_at;
};

static void fetched_free(struct fetched *f)
{
	if (!f)
		return;
	buf_release(&f->got);
	free(f);
}

void travel_free(struct core *c)
{
	struct travel *t = &c->travel;

	for (size_t i = 0; i < t->n_held; i++)
		roster_free(t->held[i]);
	for (size_t i = 0; i < TRAVEL_FETCHES; i++)
		fetched_free(t->fetches[i]);
	for (size_t i = 0; i < t->n_shelf; i++)
		buf_release(&t->shelf[i].bytes);
	free(t->shelf);
	buf_release(&t->bundled);
	*t = (struct travel){.at = MONO_NEVER};
}

static void look_at(struct core *c, struct mono at)
{
	c->travel.at = mono_min(c->travel.at, at);
}

/* ---- dictionaries -------------------------------------------------------------------------------------------------- */

static const struct shelf_item *shelf_find(const struct core *c, const struct hash *h)
{
	for (size_t i = 0; i < c->travel.n_shelf; i++)
		if (hash_equal(&c->travel.shelf[i].hash, h))
			return &c->travel.shelf[i];
	return NULL;
}

static bool names(const struct roster *r, const struct hash *h)
{
	for (size_t i = 0; i < r->n_dictionaries; i++)
		if (hash_equal(&r->dictionaries[i], h))
			return true;
	return false;
}

/* The one in force, or one that is about to be. */
static bool roster_names(const struct core *c, const struct hash *h)
{
	bool any = names(c->roster, h);

	for (size_t i = 0; i < c->travel.n_held; i++)
		any = any || names(c->travel.held[i], h);
	return any;
}

static enum err shelf_add(struct core *c, struct view bytes, bool stored)
{
	struct shelf_item d = {.hash = pack_dictionary_hash(bytes), .stored = stored}, *slot;
	enum err e = packer_add(c->packer, bytes);

	if (e)
		return e;
	d.id = pack_dictionary_id(&d.hash);
	buf_add(&d.bytes, bytes);
	slot = buf_ok(&d.bytes) ? array_grow(&c->travel.shelf, &c->travel.n_shelf, sizeof *slot) : NULL;
	if (!slot) {
		buf_release(&d.bytes);
		return ERR_NOMEM;
	}
	*slot = d;
	return ERR_OK;
}

/* As the roster and the name of its file call it: what it was packed with knows it by another number (pack_dictionary_id). */
static void hash_text(const struct hash *h, char out[9])
{
	hex_format(h->b, 4, out);
}

static void id_text(const struct core *c, uint32_t id, char out[9])
{
	for (size_t i = 0; i < c->roster->n_dictionaries; i++)
		if (pack_dictionary_id(&c->roster->dictionaries[i]) == id) {
			hash_text(&c->roster->dictionaries[i], out);
			return;
		}
	snprintf(out, 9, "%08x", id);
}

/* Messages may have waited for it, also before the roster named it. */
static void shelf_new(struct core *c, const struct hash *h)
{
	struct travel *t = &c->travel;
	uint32_t id = pack_dictionary_id(h);
	char text[9], number[9];

	hash_text(h, text);
	snprintf(number, sizeof number, "%08x", id);
	effect_log(c->out, 5, "dictionary %s is here", text);
	for (size_t i = 0; i < t->n_missing; i++)
		if (t->missing[i] == id) {
			t->missing[i--] = t->missing[--t->n_missing];
			alarm_clear(c, "dictionary", text);
			alarm_clear(c, "dictionary", number);
		}
	for (size_t i = 0; i < c->n_queues; i++)
		deliver_anew(c, &c->queues[i]);
	c->restless = true;
}

void travel_missing(struct core *c, uint32_t id)
{
	struct travel *t = &c->travel;
	char text[9];

	for (size_t i = 0; i < t->n_missing; i++)
		if (t->missing[i] == id)
			return;
	if (t->n_missing < TRAVEL_MISSING)
		t->missing[t->n_missing++] = id;
	id_text(c, id, text);
	alarm_raise(c, "dictionary", text, "wait until a peer gives it, or put its file, dictionary-XXXXXXXX.zdict, beside the roster and reload",
		    "messages wait for dictionary %s, which is not here: they are held, and handed out when it comes", text);
	t->due = true;
}

static bool shows_roster(const struct core *c, uint16_t site)
{
	for (size_t i = 0; i < c->n_peers; i++)
		if (c->peers[i]->site == site)
			return c->peers[i]->protocol >= PROTOCOL_SHORT && c->peers[i]->roster_serial >= c->roster->serial;
	return site == c->self;
}

uint32_t travel_dictionary(const struct core *c, uint8_t precedence, const uint16_t *sites, size_t n)
{
	const struct roster *r = c->roster;
	const struct shelf_item *d = r->dictionary >= 0 && (size_t)r->dictionary < r->n_dictionaries ? shelf_find(c, &r->dictionaries[r->dictionary]) : NULL;

	if (!d)
		return 0;
	/* What is urgent shall not wait for a dictionary: those that have shown this roster have asked for it. */
	for (size_t i = 0; i < n && precedence <= PREC_IMMEDIATE; i++)
		if (!shows_roster(c, sites[i]))
			return 0;
	return d->id;
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

static struct state_name roster_name(const struct roster *r)
{
	return (struct state_name){STATE_KIND_ROSTER, roster_state_id(r->serial, &r->hash)};
}

struct view travel_blob(const struct core *c, const struct state_name *name)
{
	struct state_name ours = roster_name(c->roster);
	const struct shelf_item *d = name->kind == STATE_KIND_DICTIONARY ? shelf_find(c, &name->id) : NULL;

	if (c->roster->blob.len && state_name_compare(name, &ours) == 0)
		return view_of(c->roster->blob.ptr, c->roster->blob.len);
	return d ? buf_view(&d->bytes) : view_of(NULL, 0);
}

/* ---- given ---------------------------------------------------------------------------------------------------------- */

void travel_want(struct core *c, struct peer *p, const struct state_frame *f)
{
	struct view blob = travel_blob(c, &f->name);
	struct state_frame part = {.name = f->name};

	if (f->offset < blob.len) {
		part.total = (uint32_t)blob.len;
		part.offset = f->offset;
		part.bytes = f->bytes < part.total - f->offset ? f->bytes : part.total - f->offset;
		if (packer_use(c->packer, 0) || pack(c->packer, view_of(blob.ptr + f->offset, part.bytes), &part.method, &part.dictionary, &part.blob))
			return; /* it asks again */
	}
	frame_state_part(effect_begin(c->out), &c->takeover.state, &part);
	effect_end_control(c, p);
}

/* ---- asked for --------------------------------------------------------------------------------------------------------- */

static bool claims(const struct core *c, const struct peer *p, const struct state_name *name)
{
	struct hash id;

	if (p->gone || p->protocol < PROTOCOL_SHORT || !peer_reachable(p) || state_refused(c, p->site, name))
		return false;
	if (name->kind == STATE_KIND_DICTIONARY)
		return true; /* it may have it */
	id = roster_state_id(p->roster_serial, &p->roster);
	return hash_equal(&id, &name->id);
}

/* Who is likely to have it, and reached on what we dialled, comes first; of those alike the first after the one asked last. */
static int likely(const struct core *c, const struct peer *p, const struct state_name *name)
{
	return 2 * p->lane[LANE_URGENT].up + (name->kind == STATE_KIND_ROSTER || p->roster_serial >= c->roster->serial);
}

static struct peer *next_peer(struct core *c, const struct fetched *f)
{
	struct peer *best = NULL;

	for (size_t i = 0; i < 2 * c->n_peers; i++) {
		struct peer *p = c->peers[i % c->n_peers];

		if ((i < c->n_peers) != (p->site > f->last) || (f->tried[p->site / 8] >> p->site % 8 & 1) || !claims(c, p, &f->name))
			continue;
		if (!best || likely(c, p, &f->name) > likely(c, best, &f->name))
			best = p;
	}
	return best;
}

static size_t claimants(const struct core *c, const struct state_name *name)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_peers; i++)
		n += claims(c, c->peers[i], name);
	return n;
}

static void ask(struct core *c, struct fetched *f, struct peer *p)
{
	f->mixed = f->mixed || (f->got.len && f->last && f->last != p->site);
	f->from = f->last = p->site;
	f->asked_at = c->now;
	frame_state_want(effect_begin(c->out), &c->takeover.state, &f->name, (uint32_t)f->got.len, f->piece);
	effect_end_control(c, p);
	look_at(c, mono_add(c->now, ANSWER_US));
}

static void ask_next(struct core *c, struct fetched *f)
{
	struct peer *p;

	if (f->from)
		f->tried[f->from / 8] |= (uint8_t)(1u << f->from % 8);
	f->from = 0;
	p = next_peer(c, f);
	if (p) {
		ask(c, f, p);
		return;
	}
	memset(f->tried, 0, sizeof f->tried);
	f->again_at = mono_add(c->now, AGAIN_US);
	if (claimants(c, &f->name))
		look_at(c, f->again_at);
}

static void fetch_step(struct core *c, struct fetched *f)
{
	struct peer *p = f->from ? peer_find(c, f->from) : NULL;
	bool silent = f->from && (!p || !claims(c, p, &f->name) || !mono_before(c->now, mono_add(f->asked_at, ANSWER_US + 4 * p->rtt_us)));

	if (silent || (!f->from && !mono_before(c->now, f->again_at)))
		ask_next(c, f);
	else if (f->from || claimants(c, &f->name))
		look_at(c, f->from ? mono_add(f->asked_at, ANSWER_US + 4 * p->rtt_us) : f->again_at);
}

static void want(struct core *c, const struct state_name *name)
{
	struct travel *t = &c->travel;
	struct fetched **slot = NULL;

	for (size_t i = 0; i < TRAVEL_FETCHES; i++) {
		if (t->fetches[i] && state_name_compare(&t->fetches[i]->name, name) == 0) {
			t->fetches[i]->wanted = true;
			return;
		}
		slot = slot || t->fetches[i] ? slot : &t->fetches[i];
	}
	if (slot && claimants(c, name) && (*slot = calloc(1, sizeof **slot))) {
		(*slot)->name = *name;
		(*slot)->wanted = true;
		(*slot)->piece = PIECE_FIRST;
		(*slot)->again_at = c->now;
	}
}

/* ---- rosters --------------------------------------------------------------------------------------------------------- */

static bool declined(const struct core *c, const struct hash *id)
{
	for (size_t i = 0; i < c->travel.n_declined; i++)
		if (hash_equal(&c->travel.declined[i], id))
			return true;
	return false;
}

static void decline(struct core *c, const struct hash *id)
{
	struct travel *t = &c->travel;

	if (declined(c, id))
		return;
	if (t->n_declined == TRAVEL_HELD)
		memmove(t->declined, t->declined + 1, --t->n_declined * sizeof t->declined[0]);
	t->declined[t->n_declined++] = *id;
}

static bool is_held(const struct core *c, const struct hash *id)
{
	for (size_t i = 0; i < c->travel.n_held; i++) {
		struct state_name n = roster_name(c->travel.held[i]);

		if (hash_equal(&n.id, id))
			return true;
	}
	return false;
}

static bool newer(const struct core *c, const struct hash *id)
{
	return roster_state_serial(id) > c->roster->serial && !declined(c, id) && !is_held(c, id);
}

static void want_rosters(struct core *c)
{
	for (size_t i = 0; c->config.has_authority && i < c->n_peers; i++) {
		struct peer *p = c->peers[i];
		struct state_name name = {STATE_KIND_ROSTER, roster_state_id(p->roster_serial, &p->roster)};

		if (newer(c, &name.id) && claims(c, p, &name))
			want(c, &name);
	}
}

static void want_dictionaries(struct core *c)
{
	for (size_t i = 0; i < c->roster->n_dictionaries; i++)
		if (!shelf_find(c, &c->roster->dictionaries[i]))
			want(c, &(struct state_name){STATE_KIND_DICTIONARY, c->roster->dictionaries[i]});
}

static void held_drop(struct core *c, size_t i)
{
	c->travel.held[i] = c->travel.held[--c->travel.n_held];
}

/* Is another of that serial on its way? It is not waited for when nobody gives it. */
static bool rival_comes(const struct core *c, const struct roster *r)
{
	for (size_t i = 0; i < TRAVEL_FETCHES; i++) {
		const struct fetched *f = c->travel.fetches[i];

		if (f && f->wanted && f->from && f->name.kind == STATE_KIND_ROSTER && roster_state_serial(&f->name.id) == r->serial)
			return true;
	}
	return false;
}

static void rosters_look(struct core *c)
{
	struct travel *t = &c->travel;
	struct roster *best = NULL;
	size_t at = 0, same = 0;

	for (size_t i = 0; i < t->n_held; i++)
		if (t->held[i]->serial <= c->roster->serial) {
			roster_free(t->held[i]);
			held_drop(c, i--);
		}
	for (size_t i = 0; i < t->n_held; i++)
		if (!best || t->held[i]->serial > best->serial) {
			best = t->held[i];
			at = i;
		}
	for (size_t i = 0; best && i < t->n_held; i++)
		same += t->held[i]->serial == best->serial;
	if (!best || rival_comes(c, best))
		return;
	if (same > 1) {
		alarm_raise(c, "roster-conflict", NULL, "find out who signed two rosters with one serial; sign another with a higher one",
			    "two rosters with the serial %u go about: neither is taken over here", best->serial);
		return;
	}
	struct state_name name = roster_name(best);

	held_drop(c, at);
	effect_log(c->out, 5, "roster: serial %u came from a peer", best->serial);
	if (roster_take(c, best)) /* it owns it from here on */
		alarm_clear(c, "roster-conflict", NULL);
	else
		decline(c, &name.id);
	t->due = true;
}

/* ERR_EXISTS: it is not newer than ours, or here already. */
static enum err roster_came(struct core *c, struct view blob, const struct state_name *name, struct hash *id, struct errmsg *m)
{
	struct minisign_public authority = {.key = c->config.authority};
	struct roster *r;
	enum err e;

	if (!c->config.has_authority)
		return err_set(m, ERR_KEY, "roster: this node has no key of the authority");
	memcpy(authority.key_id, c->config.authority_id, sizeof authority.key_id);
	e = roster_blob_open(blob, &authority, &r, m);
	if (e)
		return e;
	struct state_name is = roster_name(r);

	*id = is.id;
	if (name && state_name_compare(&is, name) != 0)
		e = err_set(m, ERR_CONFLICT, "roster: it is another one than it was said to be");
	else if (!hash_equal(&r->network_hash, &c->roster->network_hash))
		e = err_set(m, ERR_CONFLICT, "roster: it is of another network");
	else if (!newer(c, &is.id))
		e = err_set(m, ERR_EXISTS, "roster: serial %u is not newer than %u, or was refused", r->serial, c->roster->serial);
	else if (c->travel.n_held == TRAVEL_HELD)
		e = err_set(m, ERR_BUSY, "roster: others wait already");
	if (e) {
		roster_free(r);
		return e;
	}
	c->travel.held[c->travel.n_held++] = r;
	return ERR_OK;
}

static enum err dictionary_came(struct core *c, struct view bytes, const struct state_name *name, struct hash *id, struct errmsg *m)
{
	struct hash h = pack_dictionary_hash(bytes);
	enum err e = pack_dictionary_check(bytes);

	*id = h;
	if (name && !hash_equal(&h, &name->id))
		return err_set(m, ERR_CONFLICT, "dictionary: its bytes do not fit its hash");
	if (!e && shelf_find(c, &h))
		return err_set(m, ERR_EXISTS, "dictionary: it is here already");
	if (!e && !roster_names(c, &h))
		return err_set(m, ERR_NOT_FOUND, "dictionary: the roster does not name it");
	if (!e)
		e = shelf_add(c, bytes, false);
	if (e)
		return err_set(m, e, "dictionary: it cannot be used: %s", err_text(e));
	shelf_new(c, &h);
	return ERR_OK;
}

enum err travel_take(struct core *c, uint8_t kind, struct view blob, uint16_t from, struct hash *id, bool *is_new, struct errmsg *m)
{
	enum err e;

	(void)from;
	*id = (struct hash){{0}};
	e = kind == STATE_KIND_ROSTER ? roster_came(c, blob, NULL, id, m) : dictionary_came(c, blob, NULL, id, m);
	*is_new = !e;
	c->travel.due = c->travel.due || !e;
	return e == ERR_EXISTS ? ERR_OK : e;
}

size_t travel_names(const struct core *c, struct state_item *out)
{
	size_t n = 0;

	if (c->roster->blob.len)
		out[n++] = (struct state_item){.name = roster_name(c->roster)};
	for (size_t i = 0; i < c->travel.n_shelf; i++)
		out[n++] = (struct state_item){.name = {STATE_KIND_DICTIONARY, c->travel.shelf[i].hash}};
	return n;
}

enum err travel_bundle(struct core *c, const struct state_frame *part, bool *is_new, struct errmsg *m)
{
	struct travel *t = &c->travel;
	struct hash id;
	uint8_t *to;

	*is_new = false;
	if (part->total > LIMIT_ROSTER_BLOB_BYTES)
		return err_set(m, ERR_TOO_LARGE, "state: %u bytes are more than a roster may have", part->total);
	if (part->offset == 0) {
		buf_clear(&t->bundled);
		t->bundle = part->name;
	}
	if (state_name_compare(&t->bundle, &part->name) != 0 || part->offset > t->bundled.len)
		return err_set(m, ERR_GAP, "state: the part before it did not come");
	t->bundled.len = part->offset; /* applied again after a failed commit */
	to = buf_extend(&t->bundled, part->bytes);
	if (!to)
		return err_set(m, ERR_NOMEM, "state: out of memory");
	if (unpack(c->packer, part->method, part->dictionary, part->blob, to, part->bytes))
		return err_set(m, ERR_FORMAT, "state: a part cannot be unpacked");
	return t->bundled.len < part->total ? ERR_OK : travel_take(c, part->name.kind, buf_view(&t->bundled), 0, &id, is_new, m);
}

/* ---- parts come in ------------------------------------------------------------------------------------------------------- */

static void fetch_bad(struct core *c, struct fetched *f, struct peer *p, const char *why)
{
	char name[LIMIT_NAME_BYTES + 1];

	buf_clear(&f->got);
	f->total = 0;
	if (f->mixed) { /* nobody knows whose part it was: once more, from one */
		f->mixed = false;
		ask(c, f, p);
		return;
	}
	p->refused++;
	state_refuse(c, p, &f->name);
	alarm_raise(c, "state", site_name(c, p->site, name), "ask that site what its node runs; another site is asked for it",
		    "a %s from %s was refused: %s", f->name.kind == STATE_KIND_ROSTER ? "roster" : "dictionary", name, why);
	ask_next(c, f);
}

static void fetch_whole(struct core *c, struct fetched *f, struct peer *p)
{
	struct errmsg m = {0};
	struct hash id;
	enum err e = f->name.kind == STATE_KIND_ROSTER ? roster_came(c, buf_view(&f->got), &f->name, &id, &m)
						       : dictionary_came(c, buf_view(&f->got), &f->name, &id, &m);

	if (e && e != ERR_EXISTS && e != ERR_NOMEM && e != ERR_BUSY) {
		fetch_bad(c, f, p, m.text);
		return;
	}
	f->wanted = false; /* freed at the next look */
	f->from = 0;
	if (!e && f->name.kind == STATE_KIND_DICTIONARY)
		for (size_t i = 0; i < c->n_peers; i++)
			if (peer_reachable(c->peers[i]) && c->peers[i]->site != p->site)
				state_show(c, c->peers[i]);
}

static bool part_fits(const struct fetched *f, const struct state_frame *part)
{
	size_t most = f->name.kind == STATE_KIND_ROSTER ? LIMIT_ROSTER_BLOB_BYTES : LIMIT_DICTIONARY_BYTES;

	return part->total <= most && (!f->total || part->total == f->total);
}

/* How long the next one is: as the last one took. */
static void piece_adapt(const struct core *c, struct fetched *f)
{
	int64_t took = c->now.us - f->asked_at.us;

	if (took < PIECE_QUICK_US && f->piece < PIECE_MAX)
		f->piece *= 2;
	else if (took > PIECE_SLOW_US && f->piece > PIECE_MIN)
		f->piece /= 2;
}

void travel_part(struct core *c, struct peer *p, const struct state_frame *part)
{
	struct travel *t = &c->travel;
	struct fetched *f = NULL;

	for (size_t i = 0; i < TRAVEL_FETCHES; i++)
		if (t->fetches[i] && t->fetches[i]->from == p->site && state_name_compare(&t->fetches[i]->name, &part->name) == 0)
			f = t->fetches[i];
	t->due = true;
	if (!f || !f->wanted)
		return;
	if (!part->total) {
		if (f->name.kind == STATE_KIND_ROSTER)
			p->roster_serial = 0; /* it has another now, and will show it */
		ask_next(c, f);
		return;
	}
	if (part->offset != f->got.len)
		return; /* an answer that came twice */
	if (!part_fits(f, part)) {
		fetch_bad(c, f, p, "its length is not what it was said to be, or beyond what is allowed");
		return;
	}
	uint8_t *to = buf_extend(&f->got, part->bytes);

	if (!to || unpack(c->packer, part->method, part->dictionary, part->blob, to, part->bytes)) {
		fetch_bad(c, f, p, "a part of it cannot be unpacked");
		return;
	}
	f->total = part->total;
	memset(f->tried, 0, sizeof f->tried);
	piece_adapt(c, f);
	if (f->got.len == f->total)
		fetch_whole(c, f, p);
	else
		ask(c, f, p);
}

/* ---- once a batch ----------------------------------------------------------------------------------------------------------- */

void travel_look(struct core *c)
{
	struct travel *t = &c->travel;

	if (!t->due && mono_before(c->now, t->at))
		return;
	t->due = false;
	t->at = MONO_NEVER;
	for (size_t i = 0; i < TRAVEL_FETCHES; i++)
		if (t->fetches[i])
			t->fetches[i]->wanted = false;
	want_rosters(c);
	want_dictionaries(c);
	for (size_t i = 0; i < TRAVEL_FETCHES; i++) {
		if (t->fetches[i] && t->fetches[i]->wanted)
			fetch_step(c, t->fetches[i]);
		else if (t->fetches[i]) {
			fetched_free(t->fetches[i]);
			t->fetches[i] = NULL;
			t->due = true; /* there is room for another */
		}
	}
	rosters_look(c);
	if (t->due)
		t->at = c->now;
}

/* Nothing waits for the one in use, and so nobody would see that it is nowhere. */
static void tell_missing(struct core *c)
{
	const struct roster *r = c->roster;
	const struct hash *h = r->dictionary >= 0 && (size_t)r->dictionary < r->n_dictionaries ? &r->dictionaries[r->dictionary] : NULL;
	char text[9];

	if (!h || shelf_find(c, h))
		return;
	hash_text(h, text);
	effect_log(c->out, 5, "roster: dictionary %s is not here yet, messages go without it until a peer gives it, or its file lies beside the roster as dictionary-%s.zdict (reload then)",
		   text, text);
}

void travel_roster(struct core *c)
{
	struct travel *t = &c->travel;
	bool leaves = t->tell_at.us > c->now.us;

	tell_missing(c);
	t->store_roster = c->roster->blob.len > 0;
	t->tell_roster = c->roster->blob.len > 0;
	if (!leaves)
		t->tell_at = c->now;
	look_at(c, t->tell_at);
	t->due = true;
	for (size_t i = 0; i < c->n_peers; i++)
		if (peer_reachable(c->peers[i]) && c->peers[i]->roster_serial < c->roster->serial)
			state_show(c, c->peers[i]);
}

void travel_removed(struct core *c, const struct roster *r)
{
	for (size_t i = 0; i < c->n_peers; i++) {
		struct peer *p = c->peers[i];

		if (p->gone || roster_has(r, p->site) || !peer_reachable(p) || p->protocol < PROTOCOL_SHORT)
			continue;
		frame_state_show(effect_begin(c->out), &c->takeover.state, r->serial, &r->hash);
		effect_end_control(c, p);
		c->travel.tell_at = mono_add(c->now, TRAVEL_LEAVE_US);
	}
}

void travel_finish(struct core *c)
{
	struct travel *t = &c->travel;

	if (t->store_roster) {
		struct state_name name = roster_name(c->roster);

		store_state_put(c->t, STATE_KIND_ROSTER, &name.id, view_of(c->roster->blob.ptr, c->roster->blob.len));
		store_state_since_put(c->t, STATE_KIND_ROSTER, &name.id, c->wall);
		t->storing_roster = true;
	}
	for (size_t i = 0; i < t->n_shelf; i++)
		if (!t->shelf[i].stored) {
			store_state_put(c->t, STATE_KIND_DICTIONARY, &t->shelf[i].hash, buf_view(&t->shelf[i].bytes));
			store_state_since_put(c->t, STATE_KIND_DICTIONARY, &t->shelf[i].hash, c->wall);
			t->shelf[i].storing = true;
		}
	if (t->tell_roster && !mono_before(c->now, t->tell_at)) {
		effect_roster(c->out, view_of(c->roster->blob.ptr, c->roster->blob.len));
		t->telling_roster = true;
	} else if (t->tell_roster) {
		look_at(c, t->tell_at);
	}
}

void travel_committed(struct core *c)
{
	struct travel *t = &c->travel;

	t->store_roster = t->store_roster && !t->storing_roster;
	t->tell_roster = t->tell_roster && !t->telling_roster;
	t->storing_roster = t->telling_roster = false;
	for (size_t i = 0; i < t->n_shelf; i++) {
		t->shelf[i].stored = t->shelf[i].stored || t->shelf[i].storing;
		t->shelf[i].storing = false;
	}
}

/* ---- read from the journal ------------------------------------------------------------------------------------------------ */

static enum err load_dictionary(void *arg, const struct hash *id, struct view blob)
{
	struct core *c = arg;
	struct hash h = pack_dictionary_hash(blob);

	if (shelf_find(c, &h))
		return ERR_OK; /* the mirror is read again */
	return hash_equal(id, &h) && shelf_add(c, blob, true) == ERR_OK ? ERR_OK : ERR_DAMAGED;
}

enum err travel_load(struct core *c)
{
	struct state_name name = roster_name(c->roster);
	struct view blob;
	enum err e = store_state_each(c->t, STATE_KIND_DICTIONARY, load_dictionary, c);

	/* A damaged one comes back from any peer. */
	if (e == ERR_DAMAGED)
		e = ERR_OK;
	c->travel.store_roster = c->roster->blob.len && store_state_get(c->t, STATE_KIND_ROSTER, &name.id, &blob) != ERR_OK;
	c->travel.due = true;
	return e;
}
