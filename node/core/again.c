/* again.c - damaged entries, fetched again from who holds them: scrub.h. */
#include <stdio.h>

#include "node/core/core_int.h"

/* Noted numbers that are looked after at a time, the first of them. */
#define AT_ONCE 32
static_assert(sizeof((struct scrub *)0)->asked / sizeof(struct rotten) == AT_ONCE, "one slot for each");
/* How long an answer is waited for, longer with each that did not come. */
#define WAIT_US (5 * US_PER_S)
#define WAIT_MOST_US (120 * US_PER_S)
/* What only a repair of the stopped node can mend. */
#define STUCK_US (600 * US_PER_S)
#define HOLDERS_MAX 32
/* Parts of a large body that are looked at in one step. */
#define PARTS_LOOKED 64
/* Entries between two of a stream, among which one whose position is lost is looked for. */
#define STRAYS_LOOKED 4096
/* Entries given again in one batch, to all peers: asking costs less than giving. */
#define GIVEN_MOST 16

static const struct hash again; /* zeros: stands for a body's hash where a number is noted */

/* ---- noted -------------------------------------------------------------------------------------------------------------- */

static bool noted(struct core *c, uint32_t stream, uint64_t number)
{
	uint32_t at = stream;
	uint64_t n = number;
	struct hash body;

	return store_missing_from(c->t, &at, &n, &body) == ERR_OK && at == stream && n == number && hash_equal(&body, &again);
}

static struct rotten *slot_of(struct core *c, uint32_t stream, uint64_t number)
{
	struct rotten *oldest = &c->scrub.asked[0];

	for (size_t i = 0; i < AT_ONCE; i++) {
		struct rotten *a = &c->scrub.asked[i];

		if (a->stream == stream && a->number == number)
			return a;
		if (a->at.us < oldest->at.us)
			oldest = a;
	}
	*oldest = (struct rotten){.stream = stream, .number = number, .at = c->now};
	return oldest;
}

/* Noted again, or mended: what was tried before says nothing. */
static void slot_free(struct core *c, uint32_t stream, uint64_t number)
{
	for (size_t i = 0; i < AT_ONCE; i++)
		if (c->scrub.asked[i].stream == stream && c->scrub.asked[i].number == number)
			c->scrub.asked[i] = (struct rotten){0};
}

/* Where it lies in the journal is not known. */
static void number_show(struct core *c, const struct stream *s, uint64_t number, const char *what)
{
	char subject[48], id[80];

	snprintf(subject, sizeof subject, "%u.%llu", s->row.local, (unsigned long long)number);
	snprintf(id, sizeof id, "damage:%s", subject);
	if (!alarm_known(c, id))
		alarm_raise(c, "damage", subject, "it is mended by itself where it can be; when it stays run `estafette journal verify`, and `--repair` on the stopped node",
			    "entry %llu of stream %u is damaged (%s)", (unsigned long long)number, s->row.local, what);
}

void again_note(struct core *c, struct stream *s, uint64_t number, uint64_t arrival, const char *what)
{
	if (number <= s->row.floor || number > s->row.held || noted(c, s->row.local, number))
		return;
	c->scrub.found++;
	c->scrub.again = c->restless = true;
	slot_free(c, s->row.local, number);
	if (arrival)
		damage_show(c, arrival, what);
	else
		number_show(c, s, number, what);
	stream_touch(c, s);
	store_missing_put(c->t, s->row.local, number, &again);
	stream_missing(s, number);
	stream_advanced(c, s);
	stream_ack(c, s);
}

/* The first number of s whose position leads to arrival or behind it; numbers of a stream arrive in order. */
static uint64_t number_at(struct core *c, const struct stream *s, uint64_t arrival)
{
	uint64_t low = s->row.floor + 1, high = s->row.held + 1, at;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (store_entry_arrival(c->t, s->row.local, mid, &at) || at < arrival)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void again_arrival(struct core *c, uint64_t arrival, const char *what)
{
	for (size_t i = 0; i < c->n_streams; i++) {
		struct stream *s = c->streams[i];
		uint64_t number = number_at(c, s, arrival), at, bytes = 0;
		struct entry_row row;

		if (number > s->row.held || store_entry_arrival(c->t, s->row.local, number, &at) || at != arrival)
			continue;
		if (rot_of(c, s, number, &row, &at, &bytes) != SOUND)
			again_note(c, s, number, arrival, what);
		return;
	}
}

/* ---- whole again ------------------------------------------------------------------------------------------------------------ */

/* Its damage is gone, and so are the alarms. */
static void damage_over(struct core *c, const struct stream *s, uint64_t number, uint64_t arrival)
{
	char subject[48];

	store_damage_del(c->t, arrival);
	snprintf(subject, sizeof subject, "%llu", (unsigned long long)arrival);
	alarm_clear(c, "damage", subject);
	snprintf(subject, sizeof subject, "%u.%llu", s->row.local, (unsigned long long)number);
	alarm_clear(c, "damage", subject);
	c->scrub.mended++;
	c->restless = true;
	slot_free(c, s->row.local, number);
	effect_log(c->out, 5, "damage: entry %llu of the journal is mended", (unsigned long long)arrival);
}

static void mended(struct core *c, struct stream *s, uint64_t number, uint64_t arrival)
{
	damage_over(c, s, number, arrival);
	stream_touch(c, s);
	store_missing_del(c->t, s->row.local, number);
	stream_not_missing(s, number);
	deliver_whole(c, s, number);
	stream_advanced(c, s);
	stream_ack(c, s);
}

/* ---- asking --------------------------------------------------------------------------------------------------------------------- */

static bool peer_has(const struct flow *f, uint64_t number)
{
	if (!f->known || f->acked < number)
		return false;
	for (uint16_t i = 0; i < f->n_missing; i++)
		if (f->missing[i] == number)
			return false;
	return true;
}

static size_t holders_of(struct core *c, const struct stream *s, uint64_t number, struct peer *out[HOLDERS_MAX])
{
	struct peer *o = s->row.name.originator == c->self ? NULL : peer_find(c, s->row.name.originator);
	size_t n = 0;

	if (o && !o->gone && peer_reachable(o))
		out[n++] = o;
	for (size_t i = 0; i < s->n_flows && n < HOLDERS_MAX; i++) {
		struct peer *p = s->flows[i].peer;

		if (p != o && !p->gone && peer_reachable(p) && peer_has(&s->flows[i], number))
			out[n++] = p;
	}
	return n;
}

static void ask(struct core *c, const struct stream *s, struct rotten *a)
{
	struct again_frame f = {.stream = s->hash, .number = a->number};
	struct peer *holder[HOLDERS_MAX];
	size_t n = holders_of(c, s, a->number, holder);
	int64_t wait = WAIT_US * (1 + a->tries / 4);

	a->at = mono_add(c->now, wait < WAIT_MOST_US ? wait : WAIT_MOST_US);
	if (!n)
		return;
	frame_again(effect_begin(c->out), &f);
	effect_end_control(c, holder[a->tries++ % n]);
}

/* Its entry may still lie where it was, between its neighbours. */
static bool point_again(struct core *c, const struct stream *s, uint64_t number)
{
	uint64_t from = 0, to = store_last_arrival(c->t) + 1, n = 0;
	struct entry_row row;
	enum err e;

	if (number > s->row.floor + 1 && store_entry_arrival(c->t, s->row.local, number - 1, &from))
		return false;
	if (number < s->row.held && store_entry_arrival(c->t, s->row.local, number + 1, &to))
		return false;
	while (++from < to && n++ < STRAYS_LOOKED && ((e = store_entry_from(c->t, from, &row)) == ERR_OK || e == ERR_DAMAGED)) {
		from = row.arrival;
		if (e || row.stream != s->row.local || row.number != number)
			continue;
		store_entry_point(c->t, s->row.local, number, row.arrival);
		return true;
	}
	return false;
}

/* The record of the entry is sound: is its large body? */
static void look_at_parts(struct core *c, struct stream *s, struct rotten *a, const struct entry_row *row)
{
	uint64_t arrival = row->arrival, bytes = 0;
	unsigned left = PARTS_LOOKED;
	struct body_row body;
	struct header h;
	bool parts = row->body_no && header_decode(row->e.header, &h) == ERR_OK && (h.flags & HEADER_CHUNKED) && !(row->e.flags & ENTRY_STUB);
	enum rot rot = parts ? rot_of_parts(c, row, &a->part, &left, &bytes) : SOUND;

	if (rot == SOUND && left) {
		mended(c, s, a->number, arrival);
		return;
	}
	a->at = mono_add(c->now, rot == SOUND ? US_PER_S : WAIT_US);
	if (rot != SOUND && store_body_row(c->t, row->body_class, row->body_no, &body) == ERR_OK)
		bodies_mend(c, s, a->number, &body, a->part);
}

/* A body of one piece is not there at all, since where it comes from it was damaged. */
static bool lacks_its_piece(const struct entry_row *row)
{
	struct header h;

	return row->e.body_len && !row->body_no && !(row->e.flags & ENTRY_STUB) && header_decode(row->e.header, &h) == ERR_OK && !(h.flags & HEADER_CHUNKED);
}

static void look_again(struct core *c, struct stream *s, struct rotten *a)
{
	struct entry_row row;
	struct hash before;
	uint64_t arrival, bytes = 0;
	enum rot rot = rot_of(c, s, a->number, &row, &arrival, &bytes);

	if (rot == SOUND && lacks_its_piece(&row))
		rot = ROT_BODY;
	if (rot == SOUND)
		look_at_parts(c, s, a, &row);
	else if ((rot == ROT_ENTRY || rot == ROT_BODY) && !chain_at(c, s, a->number - 1, &before))
		ask(c, s, a);
	else if (rot == ROT_ENTRY || rot == ROT_BODY)
		a->at = mono_add(c->now, US_PER_S); /* the one before it comes first */
	else if (rot == ROT_INDEX && point_again(c, s, a->number))
		a->at = c->now;
	else
		a->at = mono_add(c->now, STUCK_US);
}

struct mono again_look(struct core *c)
{
	uint32_t stream = 0;
	uint64_t number = 0;
	struct mono next = MONO_NEVER;
	struct hash body;
	size_t n = 0;
	enum err e;

	if (!c->started || c->rebuilding || !c->scrub.again)
		return MONO_NEVER;
	while (n < AT_ONCE && ((e = store_missing_from(c->t, &stream, &number, &body)) == ERR_OK || e == ERR_DAMAGED)) {
		struct stream *s = e || !hash_equal(&body, &again) ? NULL : stream_by_local(c, stream);

		if (s) {
			struct rotten *a = slot_of(c, stream, number);

			if (!mono_before(c->now, a->at))
				look_again(c, s, a);
			next = mono_min(next, a->at);
			n++;
		}
		if (++number == 0)
			break;
	}
	c->scrub.again = n > 0;
	return next;
}

void again_part(struct core *c, uint32_t stream, uint64_t number)
{
	slot_of(c, stream, number)->at = c->now;
	c->restless = true;
}

/* ---- given ------------------------------------------------------------------------------------------------------------------------ */

void again_frame(struct core *c, struct peer *p, const struct again_frame *f)
{
	struct stream *s = stream_by_hash(c, &f->stream);
	struct scrub *r = &c->scrub;
	struct buf out = BUF_EMPTY;
	uint64_t last;

	if (r->given_in != c->batch)
		r->given = 0;
	r->given_in = c->batch;
	if (!s || (!concerns(c, p->site, &s->row.name) && !flow_of(s, p)) || f->number <= s->row.floor || f->number > s->row.held || r->given == GIVEN_MOST)
		return;
	r->given++;
	if (replicate_cut(c, s, f->number - 1, false, 0, &out, &last) && last == f->number) {
		out.ptr[1] = FRAME_SEGMENT_AGAIN;
		buf_add(effect_begin(c->out), buf_view(&out));
		if (p->lane[LANE_BULK].up)
			effect_end_frame(c->out, p->site, LANE_BULK, SIDE_DIALLED);
		else
			effect_end_control(c, p);
	}
	buf_release(&out);
}

/* ---- taken ------------------------------------------------------------------------------------------------------------------------ */

/* Does the entry behind it, or our frontier, say that the chain after it is this? */
static bool leads_on(struct core *c, const struct stream *s, uint64_t number, const struct hash *chain)
{
	struct entry_row next;

	if (number == s->row.held)
		return hash_equal(chain, &s->row.chain);
	if (store_entry_find(c->t, s->row.local, number + 1, &next))
		return true; /* damaged too: it is mended after this one, and only if it follows */
	struct hash leaf = entry_leaf(&next.e), after = chain_next(chain, number + 1, &leaf);

	return hash_equal(&after, &next.chain);
}

/* Where the body is, or is to be put. False when it is neither here nor came along, though it should have. */
static bool body_place(struct core *c, struct entry_row *row)
{
	struct body_row apart;
	struct header h;

	row->body_no = 0;
	if (!row->e.body_len || (row->e.flags & ENTRY_STUB))
		return true;
	buf_clear(&c->scratch);
	bool inside = store_body_get_part(c->t, row->body_class, row->arrival, PART_WHOLE, 0, &c->scratch) == ERR_OK;

	if (!inside && store_body_find(c->t, row->body_class, &row->e.body_hash, &apart) == ERR_OK && apart.whole && apart.refs) {
		row->body_no = apart.body_no;
		return apart.chunks || row->e.body.len;
	}
	if (header_decode(row->e.header, &h) == ERR_OK && (h.flags & HEADER_CHUNKED))
		return true; /* it comes by itself */
	row->body_no = row->arrival;
	return row->e.body.len > 0;
}

static void take(struct core *c, struct peer *p, struct stream *s, enum rot rot, const struct entry_row *old, const struct entry *e, const struct hash *chain,
		 uint64_t number, uint64_t arrival)
{
	bool sound = rot == ROT_BODY;
	struct entry_row row = {
		.arrival = arrival, .stream = s->row.local, .number = number, .chain = *chain, .stored = sound ? old->stored : c->wall,
		.from = sound ? old->from : p->site, .body_class = s->row.name.exercise ? BODY_EXERCISE : BODY_OPERATIONAL, .e = *e,
	};
	uint64_t body_no = sound ? old->body_no : 0;

	if (sound && (e->flags & ENTRY_STUB) && !row.e.body.len && body_no)
		return; /* the envelope is here: better a body that cannot be read than none */
	if ((e->flags & ENTRY_STUB) && !stub_proved(c, s, e))
		return;
	if (!body_place(c, &row))
		return;
	row.body_no = body_no ? body_no : row.body_no;
	row.e.flags = (uint8_t)(row.e.flags & ~ENTRY_BODY_APART);
	store_entry_replace(c->t, &row);
	if (!sound)
		store_bearer_put_one(c->t, p->site, lane_of(s), arrival, p->lane[lane_of(s)].over);
	if (row.e.body_len && !row.body_no && !(row.e.flags & ENTRY_STUB)) {
		store_missing_put(c->t, s->row.local, number, &row.e.body_hash);
		damage_over(c, s, number, arrival);
		bodies_fetch(c, s, number, &row.e.body_hash);
		return;
	}
	mended(c, s, number, arrival);
	bodies_more(c, &row.e.body_hash);
}

void again_segment(struct core *c, struct peer *p, struct segment *seg)
{
	const struct site *o = roster_site(c->roster, seg->name.originator);
	struct stream *s = stream_by_name(c, &seg->name);
	uint64_t arrival, bytes = 0;
	struct hash before, after;
	struct entry_row row;
	struct entry e;
	enum signer signer;

	if (!s || !o || seg->entries != 1 || seg->first > s->row.held || !noted(c, s->row.local, seg->first))
		return;
	enum rot rot = rot_of(c, s, seg->first, &row, &arrival, &bytes);

	if (rot == SOUND && lacks_its_piece(&row))
		rot = ROT_BODY;
	if ((rot != ROT_ENTRY && rot != ROT_BODY) || chain_at(c, s, seg->first - 1, &before))
		return;
	if (segment_signed(c, o, s, &s->hash, &before, seg, &after, &e, &signer)) {
		peer_bad(c, p, "an entry given again that its originator did not sign, or that does not follow what is here");
		return;
	}
	/* Of the other branch of a stream with two: it is not what was here. */
	if (leads_on(c, s, seg->first, &after))
		take(c, p, s, rot, &row, &e, &after, seg->first, arrival);
}
