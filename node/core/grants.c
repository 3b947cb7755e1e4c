/* grants.c - keys of others' streams, for custodians whom no grant in the stream names: asked for, given, and taken.
 *
 * Namen becomes a successor of Luik. It gets the streams to Luik, and cannot open them: their grants were made before. It asks Luik,
 * its standbys and the originator in turn; whoever can open the entry, and whose own roster or orders make Namen a custodian, seals
 * the stream's epoch key for Namen alone. A key counts only when it opens an entry. It is kept in the journal as it came, sealed.
 *
 * What is wanted is remembered in memory alone. After a restart all grants are looked at again, a few a batch: they are few, one a
 * stream and day, whatever the number of entries. */
#include <stdio.h>

#include "node/core/core_int.h"

/* The next site is asked when one has not answered for so long, and after a while less and less often. */
#define ASK_AGAIN_US (3 * US_PER_S)
#define ASKS_AT_FIRST 8
#define ASK_AGAIN_MAX_US (60 * US_PER_S)
/* Keys asked for in one batch, and how soon the rest follows. */
#define ASKS_A_BATCH 128
#define REST_AFTER_US (100 * 1000)
/* Grants looked at in one batch. */
#define LOOKS_A_BATCH 256
/* Entries that a key is tried on. */
#define TRIES 16
#define SITES_ASKED 32

struct key_wanted {
	uint32_t stream;             /* local number */
	uint64_t from;               /* number of the grant */
	uint64_t number;             /* an entry under it */
	uint64_t given_in;           /* the batch in which it came, 0 when it has not */
	struct mono at;              /* asked for again */
	unsigned asks, turn;         /* turn: of the sites that may be asked */
};

/* ---- what is known ------------------------------------------------------------------------------------------------ */

enum err grants_key(struct core *c, struct stream *s, uint64_t from, struct sym_key *out)
{
	struct view grant;
	enum err e = store_handed_get(c->t, s->row.local, from, &grant);

	if (e)
		return e == ERR_NOT_FOUND ? ERR_KEY : e;
	return grant_open(c->config.suite, grant, c->self, c->config.keys.sealing, c->config.keys.n_sealing, &s->hash, out);
}

/* The first wanted key at or after (stream, grant). */
static size_t wanted_at(const struct exchange *x, uint32_t stream, uint64_t from)
{
	size_t lo = 0, hi = x->n_wanted;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct key_wanted *w = &x->wanted[mid];

		if (w->stream < stream || (w->stream == stream && w->from < from))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool grants_wanted(const struct core *c, const struct stream *s)
{
	size_t i = wanted_at(&c->exchange, s->row.local, 0);

	return i < c->exchange.n_wanted && c->exchange.wanted[i].stream == s->row.local;
}

static struct key_wanted *wanted_find(const struct exchange *x, uint32_t stream, uint64_t from)
{
	size_t i = wanted_at(x, stream, from);

	return i < x->n_wanted && x->wanted[i].stream == stream && x->wanted[i].from == from ? &x->wanted[i] : NULL;
}

static struct key_wanted *wanted_add(struct core *c, uint32_t stream, uint64_t from)
{
	struct exchange *x = &c->exchange;
	size_t i = wanted_at(x, stream, from);

	if (x->n_wanted == x->cap_wanted) {
		size_t cap = x->cap_wanted ? 2 * x->cap_wanted : 16;
		struct key_wanted *p = realloc(x->wanted, cap * sizeof *p);

		if (!p) {
			txn_fail(c->t, ERR_NOMEM);
			return NULL;
		}
		x->wanted = p;
		x->cap_wanted = cap;
	}
	memmove(&x->wanted[i + 1], &x->wanted[i], (x->n_wanted - i) * sizeof *x->wanted);
	x->n_wanted++;
	x->wanted[i] = (struct key_wanted){.stream = stream, .from = from, .at = c->now};
	return &x->wanted[i];
}

/* ---- from whom a key can come ------------------------------------------------------------------------------------------- */

static void site_add(const struct core *c, uint16_t sites[SITES_ASKED], size_t *n, uint16_t site)
{
	for (size_t i = 0; i < *n; i++)
		if (sites[i] == site)
			return;
	if (*n < SITES_ASKED && site != c->self && roster_site(c->roster, site) && !site_revoked(c, site))
		sites[(*n)++] = site;
}

/* The addressee, its standbys and successors, the originator, and who served it before. */
static size_t sites_for(const struct core *c, const struct stream_name *s, uint16_t sites[SITES_ASKED])
{
	uint16_t list[LIMIT_CUSTODIANS];
	size_t n = 0, n_list = roster_custodians(c->roster, s->addressee, list);

	for (size_t i = 0; i < n_list; i++)
		site_add(c, sites, &n, list[i]);
	site_add(c, sites, &n, s->originator);
	n_list = custodians(c, s->addressee, s->exercise, list);
	for (size_t i = 0; i < n_list; i++)
		site_add(c, sites, &n, list[i]);
	for (size_t i = 0; i < c->roster->n_sites; i++)
		if (may_serve(c, c->roster->sites[i].number, s->addressee, s->exercise))
			site_add(c, sites, &n, c->roster->sites[i].number);
	return n;
}

/* "cic-luik, cic-namen" */
static void sites_text(const struct core *c, const uint16_t *sites, size_t n, char *out, size_t size)
{
	char name[LIMIT_NAME_BYTES + 1];
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n && at + LIMIT_NAME_BYTES + 3 < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%s", i ? ", " : "", site_name(c, sites[i], name));
}

static bool any_reached(struct core *c, const uint16_t *sites, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct peer *p = peer_find(c, sites[i]);

		if (p && peer_reachable(p))
			return true;
	}
	return false;
}

static void sealed_alarm(struct core *c, const struct stream *s)
{
	uint16_t sites[SITES_ASKED];
	size_t n = sites_for(c, &s->row.name, sites);
	char from[LIMIT_NAME_BYTES + 1], whom[160];

	sites_text(c, sites, n, whom, sizeof whom);
	alarm_raise(c, alarm_kind(s->row.name.exercise, "sealed"), site_name(c, s->row.name.originator, from), "reach one of these sites; messages that are sealed are held, and open by themselves when the key comes",
		    "%sentries from %s are held and cannot be opened here: the key must come from %s%s", s->row.name.exercise ? "exercise " : "", from, n ? whom : "nobody that the roster names",
		    any_reached(c, sites, n) || !n ? "" : "; none of them is reached");
}

/* ---- wanted ------------------------------------------------------------------------------------------------------------- */

void grants_want(struct core *c, struct stream *s, uint64_t number)
{
	uint64_t from, arrival;
	struct key_wanted *w;

	/* Without a grant in the stream nobody can open it. */
	if (s->own || store_grant_find(c->t, s->row.local, number, &from, &arrival) || number == from) {
		sealed_alarm(c, s);
		return;
	}
	w = wanted_find(&c->exchange, s->row.local, from);
	if (w)
		return;
	w = wanted_add(c, s->row.local, from);
	if (!w)
		return;
	w->number = number;
	sealed_alarm(c, s);
	c->look_at = c->now; /* asked for with this commit */
}

/* The grant after `from`, or what comes next. */
static uint64_t next_grant(struct core *c, const struct stream *s, uint64_t from)
{
	uint64_t next = s->row.held + 1, at, arrival;

	while (next > from + 1 && store_grant_find(c->t, s->row.local, next - 1, &at, &arrival) == ERR_OK && at > from)
		next = at;
	return next;
}

/* Still to be asked for? The batch that made it wanted, or that brought it, may have failed. */
static bool still_wanted(struct core *c, const struct stream *s, const struct key_wanted *w)
{
	uint64_t from, arrival;
	struct view grant;

	if (!s || w->number > s->row.held || store_grant_find(c->t, w->stream, w->number, &from, &arrival) || from != w->from)
		return false;
	return store_handed_get(c->t, w->stream, w->from, &grant) != ERR_OK && concerns(c, c->self, &s->row.name);
}

static bool anything_sealed(struct core *c, uint16_t originator, bool exercise)
{
	for (size_t i = 0; i < c->exchange.n_wanted; i++) {
		const struct stream *s = stream_by_local(c, c->exchange.wanted[i].stream);

		if (s && s->row.name.originator == originator && s->row.name.exercise == exercise)
			return true;
	}
	return false;
}

/* Alarms whose keys have all come are over. They live in the journal, and the batch that ends one may fail: true when it has to be
 * looked at once more. */
static bool alarms_over(struct core *c)
{
	char name[LIMIT_NAME_BYTES + 1], id[LIMIT_NAME_BYTES + 32];
	bool any = false;

	for (size_t i = 0; i < 2 * c->roster->n_sites; i++) {
		uint16_t site = c->roster->sites[i / 2].number;
		const char *kind = alarm_kind(i % 2, "sealed");

		snprintf(id, sizeof id, "%s:%s", kind, site_name(c, site, name));
		if (!alarm_known(c, id) || anything_sealed(c, site, i % 2))
			continue;
		alarm_clear(c, kind, name);
		any = true;
	}
	return any;
}

/* ---- asked for ------------------------------------------------------------------------------------------------------------ */

struct asking { uint16_t site; struct key_name name; };

/* The next site in turn that is reached; 0 when none is. dialled: only where our own connection lives, which is known for sure. */
static uint16_t next_reached(struct core *c, const uint16_t *sites, size_t n, bool dialled, unsigned *turn)
{
	for (size_t i = 0; i < n; i++) {
		size_t k = (*turn + i) % n;
		const struct peer *p = peer_find(c, sites[k]);

		if (!p || !(dialled ? !p->gone && p->lane[LANE_URGENT].up : peer_reachable(p)))
			continue;
		*turn = (unsigned)(k + 1);
		return sites[k];
	}
	return 0;
}

static uint16_t next_site(struct core *c, const struct stream *s, struct key_wanted *w)
{
	uint16_t sites[SITES_ASKED], site = 0;
	size_t n = sites_for(c, &s->row.name, sites);

	if (w->asks % 4 != 3)
		site = next_reached(c, sites, n, true, &w->turn);
	return site ? site : next_reached(c, sites, n, false, &w->turn);
}

static int64_t ask_again_us(unsigned asks)
{
	int64_t us = ASK_AGAIN_US;

	for (unsigned i = ASKS_AT_FIRST; i < asks && us < ASK_AGAIN_MAX_US; i++)
		us *= 2;
	return us < ASK_AGAIN_MAX_US ? us : ASK_AGAIN_MAX_US;
}

static int by_site(const void *a, const void *b)
{
	const struct asking *x = a, *y = b;

	return (x->site > y->site) - (x->site < y->site);
}

static void ask(struct core *c, struct asking *list, size_t n)
{
	struct key_name names[LIMIT_KEYS_WANTED];

	qsort(list, n, sizeof *list, by_site);
	for (size_t i = 0; i < n;) {
		uint16_t site = list[i].site;
		size_t k = 0;

		for (; i < n && list[i].site == site && k < LIMIT_KEYS_WANTED; i++)
			names[k++] = list[i].name;
		frame_keys_want(effect_begin(c->out), names, k);
		effect_end_control(c, peer_find(c, site));
	}
}

/* Drops what is wanted no more; what came in this batch waits for its commit. */
static void wanted_look(struct core *c)
{
	struct exchange *x = &c->exchange;
	size_t n = 0;

	for (size_t i = 0; i < x->n_wanted; i++) {
		struct key_wanted *w = &x->wanted[i];
		bool due = w->given_in ? w->given_in != c->batch : !mono_before(c->now, w->at);

		if (due && !still_wanted(c, stream_by_local(c, w->stream), w)) {
			x->clear = true;
			c->takeover.at = c->takeover.n_chains ? c->now : c->takeover.at; /* a gate may have waited for it */
			continue;
		}
		if (due)
			w->given_in = 0;
		x->wanted[n++] = *w;
	}
	x->n_wanted = n;
}

static struct mono ask_due(struct core *c)
{
	struct asking list[ASKS_A_BATCH];
	struct mono next = MONO_NEVER;
	size_t n = 0;

	for (size_t i = 0; i < c->exchange.n_wanted; i++) {
		struct key_wanted *w = &c->exchange.wanted[i];
		struct stream *s = stream_by_local(c, w->stream);

		if (w->given_in || !s) {
			next = mono_min(next, mono_add(c->now, REST_AFTER_US));
			continue;
		}
		if (!mono_before(c->now, w->at) && n < ASKS_A_BATCH) {
			uint16_t site = next_site(c, s, w);

			sealed_alarm(c, s);
			if (site)
				list[n++] = (struct asking){site, {s->row.name, w->number}};
			w->at = mono_add(c->now, site ? ask_again_us(w->asks++) : ASK_AGAIN_US);
		}
		next = mono_min(next, mono_before(c->now, w->at) ? w->at : mono_add(c->now, REST_AFTER_US));
	}
	ask(c, list, n);
	return next;
}

/* ---- all grants, looked at after a start ------------------------------------------------------------------------------------ */

void grants_again(struct core *c)
{
	c->exchange.look_all = true;
	c->exchange.look_stream = 0;
	c->exchange.look_number = 0;
	c->restless = true;
}

/* One grant of the stream, from the end on. False when there is none left. */
static bool look_at_grant(struct core *c, struct stream *s, uint64_t *number)
{
	uint64_t from, arrival;
	struct sym_key key;

	if (!*number || store_grant_find(c->t, s->row.local, *number, &from, &arrival) || !from)
		return false;
	if (from < *number && stream_key(c, s, *number, &key) == ERR_KEY)
		grants_want(c, s, from < s->row.floor ? s->row.floor + 1 : from + 1);
	crypt_wipe(&key, sizeof key);
	*number = from - 1;
	return true;
}

static void look_at_grants(struct core *c)
{
	struct exchange *x = &c->exchange;

	for (int i = 0; x->look_stream < c->n_streams && i < LOOKS_A_BATCH;) {
		struct stream *s = c->streams[x->look_stream];
		bool mine = !s->own && concerns(c, c->self, &s->row.name);

		if (!x->look_number)
			x->look_number = s->row.held;
		if (mine && look_at_grant(c, s, &x->look_number) && x->look_number) {
			i++;
			continue;
		}
		i += mine;
		x->look_stream++;
		x->look_number = 0;
	}
	if (x->look_stream >= c->n_streams)
		x->look_all = false;
	x->clear = true;
}

struct mono grants_ask(struct core *c)
{
	struct exchange *x = &c->exchange;
	struct mono next = MONO_NEVER;

	if (x->look_all)
		look_at_grants(c);
	wanted_look(c);
	next = ask_due(c);
	if (x->look_all)
		return mono_add(c->now, REST_AFTER_US);
	if (x->clear)
		x->clear = alarms_over(c);
	return next;
}

/* ---- given ---------------------------------------------------------------------------------------------------------------- */

/* Who may open a stream: its custodians, by the roster and the orders known here, and who wrote it. */
static bool may_have_key(const struct core *c, uint16_t site, const struct stream_name *s)
{
	return !site_revoked(c, site) && concerns(c, site, s);
}

static void give_key(struct core *c, struct peer *p, struct stream *s, uint64_t number)
{
	const struct site *to = roster_site(c->roster, p->site);
	struct grant_to box = {.site = p->site};
	struct key_name name = {.stream = s->row.name};
	struct buf grant = BUF_EMPTY;
	struct sym_key key;
	uint64_t arrival;

	if (!to || number > s->row.held || store_grant_find(c->t, s->row.local, number, &name.number, &arrival) || stream_key(c, s, number, &key))
		return;
	box.key = to->sealing;
	if (grant_make(c->config.suite, &c->rng, &s->hash, &key, &box, 1, &grant) == ERR_OK && buf_ok(&grant)) {
		frame_keys_give(effect_begin(c->out), &name, buf_view(&grant));
		effect_end_control(c, p);
	}
	crypt_wipe(&key, sizeof key);
	buf_release(&grant);
}

static void keys_wanted(struct core *c, struct peer *p, struct view names)
{
	struct key_name n;

	while (names.len && key_name_next(&names, &n) == ERR_OK) {
		struct stream *s = stream_by_name(c, &n.stream);

		/* It may know of an order that has not come here yet: it asks again. */
		if (!may_have_key(c, p->site, &n.stream))
			p->refused++;
		else if (s)
			give_key(c, p, s, n.number);
	}
}

/* ---- taken ------------------------------------------------------------------------------------------------------------------ */

static bool opens(struct core *c, const struct stream *s, const struct entry_row *row, const struct sym_key *key)
{
	struct view plain;

	buf_clear(&c->plain);
	uint8_t *room = buf_extend(&c->plain, row->e.envelope.len - SYM_OVERHEAD_BYTES);

	return room && envelope_open(key, row->e.header, &s->hash, row->e.envelope, room, &plain) == ERR_OK;
}

/* A key is the right one when it opens what it is for. */
static bool key_fits(struct core *c, const struct stream *s, const struct key_wanted *w, uint64_t end, const struct sym_key *key)
{
	unsigned tried = 0;

	for (uint64_t n = w->number; n < end && tried < TRIES; n++) {
		struct entry_row row;

		if (store_entry_find(c->t, s->row.local, n, &row) || row.e.envelope.len < SYM_OVERHEAD_BYTES)
			continue;
		if (opens(c, s, &row, key))
			return true;
		tried++;
	}
	return false;
}

static void key_given(struct core *c, struct peer *p, const struct keys_frame *f)
{
	struct stream *s = stream_by_name(c, &f->name.stream);
	struct key_wanted *w = s ? wanted_find(&c->exchange, s->row.local, f->name.number) : NULL;
	struct sym_key key;

	if (!w || w->given_in == c->batch)
		return; /* it came from another site meanwhile */
	uint64_t end = next_grant(c, s, w->from);
	enum err e = grant_open(c->config.suite, f->grant, c->self, c->config.keys.sealing, c->config.keys.n_sealing, &s->hash, &key);

	if (e || !key_fits(c, s, w, end, &key)) {
		peer_bad(c, p, e == ERR_KEY ? "a key sealed for another sealing key than ours" : "a key that opens nothing");
		w->at = c->now; /* the next site is asked */
	} else {
		store_handed_put(c->t, s->row.local, w->from, f->grant);
		w->given_in = c->batch;
		redo_add(c, s, w->from + 1, end - 1);
	}
	c->look_at = c->now;
	crypt_wipe(&key, sizeof key);
}

void grants_frame(struct core *c, struct peer *p, const struct keys_frame *f)
{
	if (f->what == KEYS_WANT)
		keys_wanted(c, p, f->names);
	else
		key_given(c, p, f);
}
