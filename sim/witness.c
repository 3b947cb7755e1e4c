/* witness.c - journals: each entry is read once, when it came; rows of streams and messages at a start and at the end. */
#include "proto/order.h"
#include "sim/witness_int.h"

static void *more(void *array, size_t want, size_t *cap, size_t size)
{
	if (want <= *cap)
		return array;
	size_t n = *cap ? 2 * *cap : 16;

	while (n < want)
		n *= 2;
	void *p = realloc(array, n * size);

	if (!p) {
		fprintf(stderr, "estafette-sim: out of memory (run a smaller drill)\n");
		exit(1);
	}
	memset((char *)p + *cap * size, 0, (n - *cap) * size);
	*cap = n;
	return p;
}

struct witness *witness_new(struct oracle *o, const struct roster *roster)
{
	size_t cap = 0;
	struct witness *w = more(NULL, 1, &cap, sizeof *w);

	w->oracle = o;
	w->roster = roster;
	return w;
}

void witness_free(struct witness *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n_journals; i++) {
		free(w->journals[i].streams);
		free(w->journals[i].coming);
	}
	talk_free(w);
	free(w->journals);
	free(w->named);
	free(w);
}

void witness_roster(struct witness *w, const struct roster *roster)
{
	w->roster = roster;
	for (size_t i = 0; i < w->n_journals; i++)
		w->journals[i].floors_due = true;
	oracle_roster(w->oracle, roster);
}

static struct journal *journal_get(struct witness *w, uint16_t site)
{
	if (w->at[site])
		return &w->journals[w->at[site] - 1];
	w->journals = more(w->journals, w->n_journals + 1, &w->cap_journals, sizeof *w->journals);
	w->journals[w->n_journals] = (struct journal){.site = site};
	w->at[site] = (uint32_t)++w->n_journals;
	return &w->journals[w->n_journals - 1];
}

/* ---- streams ---------------------------------------------------------------------------------------------------- */

struct reading { struct witness *w; struct journal *j; bool start; };

static enum err read_stream(void *arg, const struct stream_row *row)
{
	struct reading *r = arg;

	r->j->streams = more(r->j->streams, row->local + 1u, &r->j->cap_streams, sizeof *r->j->streams);
	r->j->streams[row->local] = row->name;
	named_add(r->w, &row->name);
	if (row->local >= r->j->n_streams)
		r->j->n_streams = row->local + 1u;
	r->j->retired = r->j->retired || row->floor;
	if (r->start)
		oracle_stream_at_start(r->w->oracle, r->j->site, &row->name, row->held, &row->chain);
	return ERR_OK;
}

static const struct stream_name *stream_of(struct witness *w, struct journal *j, struct txn *t, uint32_t local)
{
	struct reading r = {w, j, false};

	if (local >= j->n_streams && store_stream_each_from(t, j->n_streams, read_stream, &r))
		return NULL;
	return local < j->n_streams ? &j->streams[local] : NULL;
}

static enum err tell_stream(void *arg, const struct stream_row *row)
{
	const struct reading *r = arg;

	oracle_stream_now(r->w->oracle, r->j->site, &row->name, row->floor, row->held);
	return ERR_OK;
}

/* ---- entries ------------------------------------------------------------------------------------------------------ */

static bool is_whole(const struct entry_row *row)
{
	return row->e.body_len == 0 || row->body_no != 0;
}

static enum err read_floor(void *arg, const struct stream_row *row)
{
	*(uint64_t *)arg = row->floor;
	return ERR_EXISTS; /* no more of them */
}

static void tell_entry(struct witness *w, struct journal *j, struct txn *t, const struct entry_row *row)
{
	const struct stream_name *name = stream_of(w, j, t, row->stream);
	struct header h;

	if (!name || header_decode(row->e.header, &h))
		return;
	struct seen_entry e = {.site = j->site, .stream = name, .number = row->number, .chain = &row->chain, .header = &h, .body_len = row->e.body_len,
			       .from = row->from, .whole = is_whole(row)};

	if (h.kind == KIND_GRANT)
		(void)!store_stream_each_from(t, row->stream, read_floor, &e.floor);
	oracle_entry(w->oracle, &e);
	if (!e.whole && j->site == name->addressee && h.kind == KIND_MESSAGE) {
		j->coming = more(j->coming, j->n_coming + 1, &j->cap_coming, sizeof *j->coming);
		j->coming[j->n_coming++] = row->arrival;
	}
}

/* Bodies that were still coming. */
static void look_coming(struct witness *w, struct journal *j, struct txn *t)
{
	size_t n = 0;

	for (size_t i = 0; i < j->n_coming; i++) {
		struct entry_row row;

		if (store_entry_get(t, j->coming[i], &row) || !is_whole(&row)) {
			j->coming[n++] = j->coming[i];
			continue;
		}
		const struct stream_name *name = stream_of(w, j, t, row.stream);

		if (name)
			oracle_whole(w->oracle, j->site, name, row.number);
	}
	j->n_coming = n;
}

struct floors { struct witness *w; struct journal *j; struct txn *t; };

static enum err look_floor(void *arg, uint32_t stream, const struct floor_note *note)
{
	struct floors *f = arg;
	const struct stream_name *name = stream_of(f->w, f->j, f->t, stream);

	f->j->retires = true;
	if (name)
		oracle_floor(f->w->oracle, f->j->site, name, note->number, &note->chain);
	return ERR_OK;
}

static void look_floors(struct witness *w, struct journal *j, struct txn *t)
{
	struct floors f = {w, j, t};
	enum err damage = store_floor_each(t, look_floor, &f);

	(void)damage; /* a note that a flipped bit struck says nothing */
}

/* A record that a flipped bit struck is not told; whoever reads it is told so by the store. */
static void look_entries(struct witness *w, struct journal *j, struct txn *t)
{
	uint64_t last = store_last_arrival(t);
	struct entry_row row;

	if (last < j->seen) {
		oracle_broken(w->oracle, PROMISE_LOST, "%s: its journal held %llu entries, and now %llu", witness_name(w, j->site), (unsigned long long)j->seen,
			      (unsigned long long)last);
		j->seen = last;
	}
	while (j->seen < last) {
		enum err e = store_entry_get(t, ++j->seen, &row);

		if (!e)
			tell_entry(w, j, t, &row);
		else if (e == ERR_DAMAGED)
			oracle_rare(w->oracle, RARE_DAMAGE_FOUND);
	}
}

/* What came since the last look. */
static void look(struct witness *w, struct journal *j, const struct store *store, struct txn *t)
{
	struct store_changes now = store_changes(store);

	if (j->floors_due || j->looked.floors != now.floors)
		look_floors(w, j, t);
	if (j->entries_due || j->looked.entries != now.entries)
		look_entries(w, j, t);
	if (j->n_coming)
		look_coming(w, j, t);
	j->looked = now;
	j->floors_due = j->entries_due = false;
}

/* ---- messages ------------------------------------------------------------------------------------------------------- */

/* Events of a message row: u8 event, u16 source, i64 when, vec8 by, vec16 why (the core's own encoding). */
static bool row_event(struct rd *r, uint8_t *event, uint16_t *source, int64_t *when_us)
{
	*event = rd_u8(r);
	*source = rd_u16(r);
	*when_us = rd_i64(r);
	rd_vec8(r, LIMIT_USER_BYTES);
	rd_vec16(r, LIMIT_REASON_BYTES);
	return !r->err;
}

static uint8_t ended(const struct msg_row *row)
{
	static const uint8_t order[] = {EVENT_READ, EVENT_REFUSED, EVENT_CANCELLED, EVENT_EXPIRED};
	struct rd r = rd_init(row->events);
	size_t best = sizeof order;
	uint8_t event;
	uint16_t source;
	int64_t when;

	while (rd_left(&r) && row_event(&r, &event, &source, &when))
		for (size_t i = 0; i < best; i++)
			if (order[i] == event) /* whether its source had it at a desk the oracle knows */
				best = i;
	return best < sizeof order ? order[best] : 0;
}

/* All rows that can be read, of one id or, id NULL, of all. */
static void msgs_each(struct txn *t, const struct msgid *only, void (*fn)(void *arg, const struct msg_row *row), void *arg)
{
	struct msgid id = only ? *only : (struct msgid){{0}};
	uint32_t addressee = 0;
	struct msg_row row;

	while (addressee <= UINT16_MAX) {
		enum err e = store_msg_from(t, &id, (uint16_t)addressee, &row);

		if ((e && e != ERR_DAMAGED) || (only && !msgid_equal(&row.id, only)))
			return;
		id = row.id;
		addressee = row.addressee + 1u;
		if (!e && row.arrival)
			fn(arg, &row);
	}
}

/* Read or refused by a desk of that site; 0: neither. */
static uint8_t ended_at(const struct msg_row *row, uint16_t site)
{
	struct rd r = rd_init(row->events);
	uint8_t event;
	uint16_t source;
	int64_t when;

	while (rd_left(&r) && row_event(&r, &event, &source, &when))
		if (source == site && (event == EVENT_READ || event == EVENT_REFUSED))
			return event;
	return 0;
}

/* Had its desk's lease there run out, or been given back, before it was read? */
static bool came_back(const struct msg_row *row, uint16_t site)
{
	struct rd r = rd_init(row->events);
	uint8_t event;
	uint16_t source;
	int64_t when, out = INT64_MIN, back = INT64_MIN;

	while (rd_left(&r) && row_event(&r, &event, &source, &when)) {
		if (source == site && event == EVENT_HANDED_OUT && when > out)
			out = when;
		if (source == site && event == EVENT_RETURNED && when > back)
			back = when;
	}
	return back != INT64_MIN && back >= out;
}

struct ending { struct witness *w; uint16_t site; bool cancel; };

static void tell_ended(void *arg, const struct msg_row *row)
{
	const struct ending *k = arg;
	uint8_t how = k->cancel ? ended(row) : ended_at(row, k->site);

	if (!k->cancel && how && came_back(row, k->site))
		oracle_came_back(k->w->oracle, k->site, row->addressee, &row->id);
	if (k->cancel ? how == EVENT_CANCELLED : how != 0)
		oracle_ended_at(k->w->oracle, k->site, row->addressee, &row->id, how);
}

/* What a request ended, as the journal says after its commit: its desk is told later, or never. */
static void look_ended(struct witness *w, uint16_t site, struct txn *t, const struct event *ev)
{
	struct request rq;
	struct request_item f;
	struct msgid id;

	if (ev->type != EVENT_REQUEST || request_decode(ev->u.request.bytes, &rq) || (rq.type != REQ_ACK && rq.type != REQ_REFUSE && rq.type != REQ_CANCEL))
		return;
	struct ending k = {w, site, rq.type == REQ_CANCEL};

	while (request_next(&rq.fields, &f) == ERR_OK) {
		if (f.field != F_ID || !item_ok(&f))
			continue;
		memcpy(id.b, f.value.ptr, MSGID_BYTES);
		msgs_each(t, &id, tell_ended, &k);
	}
}

/* ---- orders, and what is lent ------------------------------------------------------------------------------------------ */

struct look_orders { struct witness *w; uint16_t site; uint8_t kind; };

static enum err tell_order(void *arg, const struct hash *id, struct view blob)
{
	const struct look_orders *k = arg;

	(void)id;
	oracle_order(k->w->oracle, k->site, k->kind, blob);
	return ERR_OK;
}

/* Endorsements first, so that an order never seems to wait for one that is there. A damaged one is none. */
static void look_orders(struct witness *w, uint16_t site, struct txn *t)
{
	struct look_orders k = {w, site, STATE_KIND_ENDORSEMENT};
	enum err e = store_state_each(t, k.kind, tell_order, &k);

	k.kind = STATE_KIND_ORDER;
	e = store_state_each(t, k.kind, tell_order, &k);
	(void)e;
}

static enum err tell_lent(void *arg, const struct lease_row *l)
{
	const struct look_orders *k = arg;
	const struct site *to = strncmp(l->by, "lent to ", 8) == 0 ? roster_site_by_id(k->w->roster, view_str(l->by + 8)) : NULL;

	if (to)
		oracle_lent(k->w->oracle, k->site, &l->id, to->number);
	return ERR_OK;
}

/* Does this event bring orders (1), or lend (2)? */
static int brings(const struct event *ev)
{
	if (ev->type == EVENT_FRAME)
		return ev->u.frame.bytes.len > 1 && ev->u.frame.bytes.ptr[1] == FRAME_STATE ? 1 : 0;
	if (ev->type != EVENT_REQUEST || ev->u.request.bytes.len < REQUEST_HEAD_BYTES)
		return 0;
	uint8_t type = ev->u.request.bytes.ptr[5];

	return type == REQ_ORDER || type == REQ_ENDORSE || type == REQ_UNPACK ? 1 : type == REQ_ASSIST ? 2 : 0;
}

static bool any_brings(const struct event *events, size_t n, int what)
{
	for (size_t i = 0; i < n; i++)
		if (brings(&events[i]) == what)
			return true;
	return false;
}

/* What was let go of with a commit went by the orders that came with it. */
static void look_ordered(struct witness *w, struct journal *j, struct txn *t)
{
	struct reading r = {w, j, false};

	look_orders(w, j->site, t);
	j->floors_due = true; /* of a stream that it holds for itself now they mean something else */
	enum err e = store_stream_each(t, tell_stream, &r);

	(void)e; /* a damaged row says nothing */
}

static void look_lent(struct witness *w, uint16_t site, struct txn *t, bool lent)
{
	struct look_orders k = {w, site, 0};
	enum err e = lent ? store_lease_each(t, tell_lent, &k) : ERR_OK;

	(void)e; /* a damaged lease is none */
}

#define DAMAGED_MOST 64
struct damaged { struct witness *w; uint16_t site; size_t n; uint64_t arrival[DAMAGED_MOST]; };

static enum err read_damaged(void *arg, uint64_t arrival, struct wall found, const char *what)
{
	struct damaged *d = arg;

	(void)found, (void)what;
	if (d->n < DAMAGED_MOST)
		d->arrival[d->n++] = arrival;
	return ERR_OK;
}

static void tell_aside(void *arg, const struct msg_row *row)
{
	const struct damaged *d = arg;

	for (size_t i = 0; i < d->n && row->addressee == d->site && !row->place_arrival; i++)
		if (d->arrival[i] == row->arrival && !ended(row))
			oracle_set_aside(d->w->oracle, d->site, &row->id);
}

/* Records that the node found damaged since the last look. The rows of messages say whose they were. */
static void look_damaged(struct witness *w, struct journal *j, struct txn *t)
{
	struct damaged d = {.w = w, .site = j->site};

	if (!j->damaged || (store_damage_each(t, read_damaged, &d) && !d.n) || d.n == j->n_damaged)
		return;
	j->n_damaged = d.n;
	msgs_each(t, NULL, tell_aside, &d);
}

const char *witness_name(const struct witness *w, uint16_t site)
{
	const struct site *s = roster_site(w->roster, site);

	return s ? s->id : "an unknown site";
}

/* ---- a run begins and ends --------------------------------------------------------------------------------------------- */

/* At a start so many entries are read again, spread evenly: what was written once must still be there. */
#define READ_AGAIN 512

static void read_again(struct witness *w, struct journal *j, struct txn *t)
{
	uint64_t step = j->seen / READ_AGAIN + 1;
	struct entry_row row;

	for (uint64_t a = 1; a <= j->seen; a += step) {
		enum err e = store_entry_get(t, a, &row);

		/* What is done with may be gone: a copy on its way that has arrived. */
		if (e && !j->damaged && !(e == ERR_NOT_FOUND && (j->retires || j->retired || oracle_passed(w->oracle, j->site))))
			oracle_broken(w->oracle, PROMISE_LOST, "%s: entry %llu of its journal cannot be read after a restart: %s", witness_name(w, j->site),
				      (unsigned long long)a, err_text(e));
	}
}

void witness_start(struct witness *w, uint16_t site, struct store *store, const struct incarnation *incarnation)
{
	struct journal *j = journal_get(w, site);
	struct reading r = {w, j, true};
	struct txn *t = NULL;

	oracle_site_up(w->oracle, site, incarnation);
	j->floors_due = j->entries_due = true;
	if (txn_begin(store, false, &t))
		return;
	j->n_streams = 0;
	if (store_stream_each(t, read_stream, &r))
		oracle_broken(w->oracle, PROMISE_LOST, "%s: the streams of its journal cannot be read", witness_name(w, site));
	if (!j->fresh)
		read_again(w, j, t);
	look_orders(w, site, t);
	if (!w->beside)
		look(w, j, store, t);
	j->fresh = false;
	txn_abort(t);
}

void witness_stop(struct witness *w, uint16_t site)
{
	oracle_site_down(w->oracle, site);
	talk_forget_site(w, site);
}

void witness_journal_replaced(struct witness *w, uint16_t site, bool restored)
{
	struct journal *j = journal_get(w, site);

	j->seen = j->seen_own = 0;
	j->n_streams = 0;
	j->n_coming = 0;
	j->fresh = true;
	j->floors_due = j->entries_due = true;
	j->damaged = false;
	j->n_damaged = 0;
	oracle_journal_replaced(w->oracle, site, restored);
}

void witness_damaged(struct witness *w, uint16_t site)
{
	journal_get(w, site)->damaged = true;
	oracle_site_damaged(w->oracle, site);
}

void witness_step(struct witness *w, uint16_t site, struct store *store, const struct event *events, size_t n, const struct effects *out)
{
	struct txn *t = NULL;

	for (size_t i = 0; i < n; i++)
		talk_event(w, site, &events[i]);
	if (txn_begin(store, false, &t) == ERR_OK) {
		if (any_brings(events, n, 1))
			look_ordered(w, journal_get(w, site), t);
		look(w, journal_get(w, site), store, t);
		look_lent(w, site, t, any_brings(events, n, 2));
		for (size_t i = 0; i < n; i++)
			look_ended(w, site, t, &events[i]);
		look_damaged(w, journal_get(w, site), t);
		txn_abort(t);
	}
	for (size_t i = 0; i < out->n; i++)
		talk_effect(w, site, n ? events[n - 1].wall : (struct wall){0}, out, &out->list[i]);
}

/* ---- beside a daemon ---------------------------------------------------------------------------------------------------- */

void witness_beside(struct witness *w)
{
	w->beside = true;
}

void witness_asked(struct witness *w, uint16_t site, uint64_t client, struct view bytes)
{
	struct event ev = {.type = bytes.len ? EVENT_REQUEST : EVENT_CLIENT_CLOSED};

	if (bytes.len) {
		ev.u.request.client = client;
		ev.u.request.bytes = bytes;
	} else {
		ev.u.client.client = client;
	}
	talk_event(w, site, &ev);
}

/* From one arrival number to another: those of the site's own streams, or the others. */
static void tell_entries(struct witness *w, struct journal *j, struct txn *t, uint64_t *from, uint64_t until, bool own)
{
	struct entry_row row;

	while (*from < until) {
		enum err e = store_entry_get(t, ++*from, &row);
		const struct stream_name *name = e ? NULL : stream_of(w, j, t, row.stream);

		if (name && (name->originator == j->site) == own)
			tell_entry(w, j, t, &row);
		else if (e == ERR_DAMAGED && own)
			oracle_broken(w->oracle, PROMISE_LOST, "%s: entry %llu of its journal is damaged", witness_name(w, j->site), (unsigned long long)*from);
	}
}

struct ended_in { struct witness *w; struct txn *t; bool any; };

static void note_ended(void *arg, const struct msg_row *row)
{
	struct ended_in *k = arg;

	k->any = k->any || ended(row) != 0;
}

static bool look_asked(void *arg, const struct asked *a)
{
	struct ended_in *k = arg;
	struct ending end = {k->w, a->site, a->type == REQ_CANCEL};

	k->any = false;
	for (size_t i = 0; i < a->n_ids; i++) {
		msgs_each(k->t, &a->ids[i], tell_ended, &end);
		msgs_each(k->t, &a->ids[i], note_ended, k);
	}
	return k->any;
}

/* One of three rounds over a journal. */
enum round { ROUND_LIMIT, ROUND_OWN, ROUND_OTHERS };

static void look_beside(struct witness *w, const struct beside *b, enum round round)
{
	struct journal *j = journal_get(w, b->site);
	struct txn *t = NULL;

	if (!b->store || txn_begin(b->store, false, &t))
		return;
	uint64_t last = store_last_arrival(t);

	if (round == ROUND_LIMIT && last < j->seen)
		oracle_broken(w->oracle, PROMISE_LOST, "%s: its journal held %llu entries, and now %llu", witness_name(w, j->site),
			      (unsigned long long)j->seen, (unsigned long long)last);
	if (round == ROUND_LIMIT)
		j->until = last;
	if (round == ROUND_OWN)
		tell_entries(w, j, t, &j->seen_own, last, true);
	if (round == ROUND_OTHERS) {
		struct ended_in k = {.w = w, .t = t};
		struct look_orders lent = {w, b->site, 0};

		tell_entries(w, j, t, &j->seen, j->until, false);
		if (j->n_coming)
			look_coming(w, j, t);
		look_orders(w, b->site, t);
		enum err e = store_lease_each(t, tell_lent, &lent);

		(void)e; /* a damaged lease is none */
		talk_each_ending(w, b->site, look_asked, &k);
		j->fresh = false;
	}
	txn_abort(t);
}

/* What a journal holds of another site's was in that site's journal before: so all own entries are told first, those
 * of later moments too, then what the others held when the look began. */
void witness_look(struct witness *w, const struct beside *all, size_t n)
{
	for (int round = ROUND_LIMIT; round <= ROUND_OTHERS; round++)
		for (size_t i = 0; i < n; i++)
			look_beside(w, &all[i], (enum round)round);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------- */

struct final { struct witness *w; uint16_t site; struct txn *t; struct wall now; };

/* Not before its time, and not long after it. */
static void tell_expiry(const struct final *k, const struct msg_row *row)
{
	struct rd r = rd_init(row->events);
	struct entry_row entry;
	struct header h;
	uint8_t event;
	uint16_t source;
	int64_t when;

	if (store_entry_get(k->t, row->arrival, &entry) || header_decode(entry.e.header, &h) || !h.expires.us)
		return;
	while (rd_left(&r) && row_event(&r, &event, &source, &when))
		if (event == EVENT_EXPIRED)
			oracle_expiry(k->w->oracle, k->site, &row->id, false, when - h.expires.us);
	if (row->place_arrival && !(h.flags & HEADER_CLOCK_UNSURE))
		oracle_expiry(k->w->oracle, k->site, &row->id, true, k->now.us - h.expires.us);
}

static void tell_standing(void *arg, const struct msg_row *row)
{
	const struct final *k = arg;

	if (row->addressee != k->site)
		return;
	oracle_standing(k->w->oracle, k->site, &row->id, row->place_arrival != 0, ended(row));
	tell_expiry(k, row);
}

static void tell_receipt(void *arg, const struct msg_row *row)
{
	const struct final *k = arg;

	if (row->originator == k->site)
		oracle_receipt(k->w->oracle, k->site, row->addressee, &row->id, ended(row));
}

static void tell_conflicts(struct witness *w, uint16_t site, struct txn *t)
{
	struct conflict_row row = {.addressee = 0};
	enum err e;

	while ((e = store_conflict_from(t, &row.id, row.addressee, &row)) == ERR_OK || e == ERR_DAMAGED) {
		if (!e)
			oracle_conflict(w->oracle, site, &row.id, row.addressee);
		if (++row.addressee)
			continue;
		size_t i = MSGID_BYTES;

		while (i && ++row.id.b[i - 1] == 0)
			i--;
		if (!i)
			return;
	}
}

void witness_final(struct witness *w, uint16_t site, struct store *store, struct wall now)
{
	struct txn *t = NULL;

	if (txn_begin(store, false, &t))
		return;
	struct final k = {w, site, t, now};

	if (!w->beside)
		look(w, journal_get(w, site), store, t);
	msgs_each(t, NULL, tell_standing, &k);
	tell_conflicts(w, site, t);
	oracle_site_final(w->oracle, site);
	txn_abort(t);
}

void witness_receipts(struct witness *w, uint16_t site, struct store *store)
{
	struct txn *t = NULL;

	if (txn_begin(store, false, &t))
		return;
	struct final k = {.w = w, .site = site, .t = t};

	msgs_each(t, NULL, tell_receipt, &k);
	txn_abort(t);
}
