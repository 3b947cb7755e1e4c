/* The same random operations on both stores: every answer is the same, through aborts and reopenings. */
#include "tests/lib/store_fixture.h"

#include <stdio.h>
#include <string.h>

#include "proto/crypt.h"
#include "proto/frame.h"

#define STEPS 6000

struct pair {
	struct fixture *f[2]; /* memory, folder */
	struct txn *t[2];
	struct rng rng;
	struct stream_row streams[2][8];
	struct queue_row queues[2][4];
	struct body_row bodies[40];
	uint32_t n_streams, n_queues, n_bodies;
	uint64_t numbers[9];
	unsigned step;
	uint64_t seed;
};

static uint64_t below(struct pair *p, uint64_t n)
{
	return rng_u64(&p->rng) % n;
}

/* What a walk or a read said, boiled down to one hash. */
struct saw {
	struct hash h;
};

static void saw(struct saw *s, const void *bytes, size_t n)
{
	s->h = crypt_hash2(HASH_RECORD, view_of(s->h.b, sizeof s->h.b), view_of(bytes, n));
}

static void saw_err(struct saw *s, enum err e)
{
	saw(s, &e, sizeof e);
}

static void saw_place(struct saw *s, const struct place *p)
{
	uint64_t x[] = {p->queue, p->exercise, p->precedence, p->fresh, (uint64_t)p->handle_by_us, p->arrival};
	saw(s, x, sizeof x);
}

static enum err see_stream(void *arg, const struct stream_row *r)
{
	uint64_t x[] = {r->local, r->held, r->head, r->head_before, r->floor, r->name.originator};
	saw(arg, x, sizeof x);
	saw(arg, r->chain.b, sizeof r->chain.b);
	return ERR_OK;
}
static enum err see_queue(void *arg, const struct queue_row *r)
{
	saw(arg, r->waiting, sizeof r->waiting);
	saw(arg, r->leased, sizeof r->leased);
	saw(arg, r->name, strlen(r->name));
	return ERR_OK;
}
static enum err see_body(void *arg, const struct body_row *r)
{
	uint64_t x[] = {r->body_no, r->class, r->whole, r->sealed_len, r->chunks, r->have, r->refs};
	saw(arg, x, sizeof x);
	return ERR_OK;
}
static enum err see_missing(void *arg, uint32_t stream, uint64_t number, const struct hash *body)
{
	saw(arg, &stream, sizeof stream);
	saw(arg, &number, sizeof number);
	saw(arg, body->b, sizeof body->b);
	return ERR_OK;
}
static enum err see_lease(void *arg, const struct lease_row *l)
{
	saw_place(arg, &l->place);
	saw(arg, l->id.b, sizeof l->id.b);
	saw(arg, l->by, strlen(l->by));
	return ERR_OK;
}
static enum err see_alarm(void *arg, const struct alarm_row *a)
{
	saw(arg, a->id, strlen(a->id));
	saw(arg, a->what, strlen(a->what));
	return ERR_OK;
}
static enum err see_state(void *arg, const struct hash *hash, struct view blob)
{
	saw(arg, hash->b, sizeof hash->b);
	saw(arg, blob.ptr, blob.len);
	return ERR_OK;
}
static enum err see_damage(void *arg, uint64_t arrival, struct wall found, const char *what)
{
	saw(arg, &arrival, sizeof arrival);
	saw(arg, &found, sizeof found);
	saw(arg, what, strlen(what));
	return ERR_OK;
}

static void see_entry(struct saw *s, enum err e, const struct entry_row *r)
{
	saw_err(s, e);
	if (e)
		return;
	uint64_t x[] = {r->arrival, r->stream, r->number, (uint64_t)r->stored.us, r->from, r->body_no, r->body_class, r->e.flags};
	saw(s, x, sizeof x);
	saw(s, r->e.header.ptr, r->e.header.len);
	saw(s, r->e.envelope.ptr, r->e.envelope.len);
	saw(s, r->e.body_hash.b, sizeof r->e.body_hash.b);
}

/* Everything there is, as one hash. */
static struct hash see_all(struct txn *t)
{
	struct saw s = {0};
	saw_err(&s, store_stream_each(t, see_stream, &s));
	saw_err(&s, store_queue_each(t, see_queue, &s));
	saw_err(&s, store_body_each_orphan(t, see_body, &s));
	saw_err(&s, store_missing_each(t, see_missing, &s));
	saw_err(&s, store_lease_each(t, see_lease, &s));
	saw_err(&s, store_alarm_each(t, see_alarm, &s));
	saw_err(&s, store_state_each(t, 1, see_state, &s));
	saw_err(&s, store_damage_each(t, see_damage, &s));
	uint64_t last = store_last_arrival(t);
	saw(&s, &last, sizeof last);
	for (uint64_t a = 1; a <= last + 1; a++) {
		struct entry_row r;
		enum err e = store_entry_get(t, a, &r);
		see_entry(&s, e, &r);
	}
	struct msg_row m = {.id = {{0}}};
	enum err e;
	while ((e = store_msg_from(t, &m.id, m.addressee, &m)) == ERR_OK) {
		saw(&s, m.id.b, sizeof m.id.b);
		saw_place(&s, &m.place);
		saw(&s, m.events.ptr, m.events.len);
		m.addressee++;
	}
	saw_err(&s, e);
	return s.h;
}

/* ---- one operation on one store: all choices are made before, so that both do the same ------------------------------ */

struct choice {
	uint64_t what, a, b, c, d;
	size_t len;
};

static void write_entry(struct pair *p, int i, const struct choice *c, struct saw *s)
{
	uint32_t stream = (uint32_t)(c->a % p->n_streams + 1);
	uint64_t number = p->numbers[stream] + (c->d % 40 != 0); /* now and then one that is there already */
	struct entry_row r = entry_of(stream, number, c->len % 700, c->b % 3 ? c->len : 0);
	r.body_class = c->c % 2;
	store_entry_append(p->t[i], &r);
	saw(s, &r.arrival, sizeof r.arrival);
	saw(s, &r.body_no, sizeof r.body_no);
}

static struct place place_from(const struct choice *c)
{
	return (struct place){.queue = (uint32_t)(c->a % 3), .exercise = c->b % 2, .precedence = c->c % 4, .fresh = c->d % 2,
	                      .handle_by_us = (int64_t)(c->a % 7) - 3, .arrival = c->b % 50};
}

static void do_write(struct pair *p, int i, const struct choice *c, struct saw *s)
{
	struct txn *t = p->t[i];
	struct place place = place_from(c);
	struct msgid id = id_of(c->a % 100);
	struct hash h = hash_of(c->b % 60);
	struct msg_row msg = {.id = id, .addressee = c->c % 4, .arrival = c->d, .place = place, .events = bytes_of(c->b, c->len % 3200)};
	struct lease_row lease = {.place = place, .id = id, .by = "desk"};
	struct key_row key = {.id = id, .content = h};
	struct alarm_row alarm = {.kind = "k", .active = c->b % 2};
	struct body_row body = {.class = c->b % 2, .hash = c->c % 3 ? hash_of(c->a % 20) : (struct hash){{0}}, .refs = c->d % 2};
	struct head head = {.chain = h};
	snprintf(alarm.id, sizeof alarm.id, "k:%u", (unsigned)(c->a % 10));
	snprintf(alarm.what, sizeof alarm.what, "%.*s", (int)(c->len % 256), "what what what what what what what what what what what what");
	bool done;
	switch (c->what) {
	case 0: case 1: case 2:
		write_entry(p, i, c, s);
		break;
	case 3:
		store_stream_put(t, &p->streams[i][c->a % p->n_streams]);
		break;
	case 4:
		head.number = c->d % 300 + 1;
		store_head_put(t, &p->streams[i][c->a % p->n_streams], &head);
		break;
	case 5:
		store_queue_put(t, &p->queues[i][c->a % p->n_queues]);
		break;
	case 6: case 7:
		store_place_put(t, &place, &id);
		break;
	case 8:
		store_place_del(t, &place);
		break;
	case 9:
		store_lease_put(t, &lease);
		break;
	case 10:
		store_lease_del(t, c->b % 50);
		break;
	case 11: case 12:
		store_msg_put(t, &msg);
		break;
	case 13:
		store_key_put(t, c->d % 5, &h, &key);
		break;
	case 14:
		store_grant_put(t, (uint32_t)(c->a % 3), c->b % 100, c->c);
		break;
	case 15:
		store_expiry_put(t, (struct wall){(int64_t)(c->a % 20) - 5}, c->b % 9);
		break;
	case 16:
		store_expiry_del(t, (struct wall){(int64_t)(c->a % 20) - 5}, c->b % 9);
		break;
	case 17:
		store_alarm_put(t, &alarm);
		break;
	case 18:
		store_alarm_del(t, alarm.id);
		break;
	case 19:
		store_state_put(t, 1 + c->c % 2, &h, bytes_of(c->a, c->len));
		break;
	case 20:
		store_damage_put(t, c->a % 30, (struct wall){(int64_t)c->b}, "what");
		break;
	case 21:
		store_missing_put(t, (uint32_t)(c->a % 4), c->b % 20, &h);
		break;
	case 22:
		store_missing_del(t, (uint32_t)(c->a % 4), c->b % 20);
		break;
	case 23:
		store_meta_put(t, (uint8_t)(META_OTHER + c->a % 5), bytes_of(c->b, c->len % 1100));
		break;
	case 24:
		store_body_add(t, &body);
		saw(s, &body.body_no, sizeof body.body_no);
		if (i == 1 && p->n_bodies < 40)
			p->bodies[p->n_bodies++] = body;
		break;
	case 25: case 26:
		if (p->n_bodies)
			store_body_put_part(t, p->bodies[c->a % p->n_bodies].class, p->bodies[c->a % p->n_bodies].body_no, PART_CHUNK,
			                    (uint32_t)(c->b % 5), bytes_of(c->c, c->len));
		break;
	case 27:
		if (p->n_bodies) {
			done = store_body_del(t, p->bodies[c->a % p->n_bodies].class, p->bodies[c->a % p->n_bodies].body_no, c->len % 20);
			saw(s, &done, sizeof done);
		}
		break;
	case 28:
		done = store_body_del(t, c->a % 2, c->b % 200, 1 + c->len % 3);
		saw(s, &done, sizeof done);
		break;
	case 29: {
		struct entry_row r; /* only of what is there: a refusal would end the transaction */
		uint64_t last = store_last_arrival(t), arrival = last ? c->a % last + 1 : 0;
		if (store_entry_get(t, arrival, &r) == ERR_OK)
			store_entry_set_body(t, arrival, c->b, c->c % 2);
		break;
	}
	default:
		break;
	}
	saw_err(s, txn_error(t));
}

static void do_read(struct pair *p, int i, const struct choice *c, struct saw *s)
{
	struct txn *t = p->t[i];
	struct place out = {0}, from = place_from(c);
	struct entry_row r;
	struct msgid id;
	struct key_row key;
	struct lease_row lease;
	struct msg_row msg;
	struct body_row body;
	struct head head;
	struct buf buf = BUF_EMPTY;
	struct hash h = hash_of(c->b % 70), bh = hash_of(c->a % 20);
	struct view v;
	struct wall when;
	uint64_t x = 0, y = 0;
	enum err e = store_entry_find(t, (uint32_t)(c->a % (p->n_streams + 1)), c->b % 200, &r);
	see_entry(s, e, &r);
	saw_err(s, e = store_place_from(t, &from, &out, &id));
	if (!e)
		saw_place(s, &out), saw(s, id.b, sizeof id.b);
	saw_err(s, e = store_lease_get(t, c->b % 50, &lease));
	if (!e)
		see_lease(s, &lease);
	id = id_of(c->a % 110);
	saw_err(s, e = store_msg_get(t, &id, c->c % 4, &msg));
	if (!e)
		saw(s, msg.events.ptr, msg.events.len);
	saw_err(s, e = store_key_find(t, &h, &key));
	if (!e)
		saw(s, &key, sizeof key);
	saw_err(s, e = store_grant_find(t, (uint32_t)(c->a % 4), c->b % 120, &x, &y));
	if (!e)
		saw(s, &x, sizeof x), saw(s, &y, sizeof y);
	saw_err(s, e = store_expiry_first(t, &when, &x));
	if (!e)
		saw(s, &when, sizeof when), saw(s, &x, sizeof x);
	saw_err(s, e = store_meta_get(t, (uint8_t)(META_OTHER + c->a % 6), &v));
	if (!e)
		saw(s, v.ptr, v.len);
	saw_err(s, e = store_head_from(t, (uint32_t)(c->a % 5), c->d % 300, &head));
	if (!e)
		saw(s, &head.number, sizeof head.number);
	saw_err(s, e = store_body_find(t, c->b % 2, &bh, &body));
	if (!e)
		see_body(s, &body);
	saw_err(s, store_body_get_part(t, c->b % 2, c->c % 200, PART_WHOLE, 0, &buf));
	if (p->n_bodies)
		saw_err(s, store_body_get_part(t, p->bodies[c->a % p->n_bodies].class, p->bodies[c->a % p->n_bodies].body_no, PART_CHUNK,
		                               (uint32_t)(c->b % 5), &buf));
	saw(s, buf.ptr, buf.len);
	buf_release(&buf);
}

/* ---- the run ------------------------------------------------------------------------------------------------------- */

static void assert_alike(struct pair *p, const struct hash *a, const struct hash *b, const char *what, uint64_t n)
{
	if (!hash_equal(a, b))
		fail_msg("seed %llu, step %u: %s %llu differs", (unsigned long long)p->seed, p->step, what, (unsigned long long)n);
}

static void begin(struct pair *p)
{
	for (int i = 0; i < 2; i++)
		p->t[i] = begin_write(p->f[i]);
}

static void operation(struct pair *p)
{
	struct choice c = {.what = below(p, 30), .a = rng_u64(&p->rng) >> 1, .b = rng_u64(&p->rng) >> 1, .c = rng_u64(&p->rng) >> 1,
	                   .d = rng_u64(&p->rng) >> 1};
	bool read = below(p, 3) == 0;
	struct saw s[2] = {0};
	c.len = below(p, 4) ? below(p, 1500) : below(p, 20000);
	for (int i = 0; i < 2; i++) {
		if (read)
			do_read(p, i, &c, &s[i]);
		else
			do_write(p, i, &c, &s[i]);
	}
	if (!read && c.what < 3)
		p->numbers[c.a % p->n_streams + 1] += c.d % 40 != 0;
	assert_alike(p, &s[0].h, &s[1].h, read ? "read" : "write", c.what);
}

/* Numbers move on when a transaction is lost, too: a gap is no matter here. */
static void end(struct pair *p)
{
	enum err e[2];
	bool abort = below(p, 5) == 0;
	for (int i = 0; i < 2; i++) {
		e[i] = ERR_OK;
		if (abort)
			txn_abort(p->t[i]);
		else
			e[i] = txn_commit(p->t[i]);
	}
	assert_int_equal(e[0], e[1]);
	if (below(p, 10) == 0)
		fixture_reopen(p->f[1]);
	if (below(p, 25))
		return;
	struct hash h[2];
	for (int i = 0; i < 2; i++) {
		struct txn *t = begin_read(p->f[i]);
		h[i] = see_all(t);
		txn_abort(t);
	}
	assert_alike(p, &h[0], &h[1], "everything", 0);
}

static void start_rows(struct pair *p)
{
	begin(p);
	for (int i = 0; i < 2; i++) {
		for (uint16_t n = 0; n < 8; n++) {
			p->streams[i][n] = (struct stream_row){.name = name_of(n), .chain = hash_of(n)};
			store_stream_add(p->t[i], &p->streams[i][n]);
		}
		for (uint16_t n = 0; n < 4; n++) {
			p->queues[i][n] = (struct queue_row){.site = n, .name = "dispatch"};
			store_queue_add(p->t[i], &p->queues[i][n]);
		}
		commit(p->t[i]);
	}
	p->n_streams = 8;
	p->n_queues = 4;
}

static void both_stores_answer_alike(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct pair p = {.seed = seed};
		void *f[2];
		struct hash h = hash_of(seed);
		fixture_memory(&f[0]);
		fixture_folder(&f[1]);
		p.f[0] = f[0];
		p.f[1] = f[1];
		rng_seed(&p.rng, h.b);
		start_rows(&p);
		for (p.step = 0; p.step < STEPS;) {
			begin(&p);
			for (uint64_t n = below(&p, 30); n-- > 0; p.step++)
				operation(&p);
			end(&p);
		}
		fixture_end(&f[0]);
		fixture_end(&f[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(both_stores_answer_alike)};
	return cmocka_run_group_tests_name("both stores", tests, NULL, NULL);
}
