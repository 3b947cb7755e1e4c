/* Verification: a whole journal has nothing wrong; each kind of planted fault is found and named. */
#include "tests/lib/store_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/seal.h"
#include "storage/record.h"
#include "storage/verify.h"

#define ENTRIES 100
#define GROUP_AT 40   /* this entry and the next share a body apart */
#define CHUNKED_AT 50
#define COMING_AT 60  /* its body is still coming */
#define LEASED_AT 70
#define STUB_AT 80

static uint8_t chunk_bytes[3][9000];

struct made {
	struct stream_row stream[2];
	struct queue_row queue;
	struct body_row group, chunked, coming;
};

static struct header header_of(uint64_t n)
{
	return (struct header){.kind = n % 10 == 1 ? KIND_GRANT : KIND_MESSAGE, .precedence = PREC_PRIORITY, .id = id_of(n),
	                       .originator = 3, .expires = {1000 + (int64_t)n}};
}

static struct place place_of(uint64_t n)
{
	return (struct place){.queue = 1, .precedence = PREC_PRIORITY, .fresh = n != LEASED_AT, .handle_by_us = 7, .arrival = n};
}

static void put_bodies_apart(struct txn *t, struct made *m)
{
	static uint8_t leaves[3 * HASH_BYTES];
	struct manifest mf = {.sealed_len = sizeof chunk_bytes, .chunks = 3, .pages = 1};
	uint8_t bytes[MANIFEST_MAX_BYTES];
	m->group = (struct body_row){.hash = body_hash(bytes_of(1, 10000)), .sealed_len = 10000, .refs = 2, .whole = true};
	store_body_add(t, &m->group);
	store_body_put_part(t, 0, m->group.body_no, PART_WHOLE, 0, bytes_of(1, 10000));
	for (uint32_t i = 0; i < 3; i++) {
		memcpy(chunk_bytes[i], bytes_of(50 + i, 9000).ptr, 9000);
		struct hash h = chunk_hash(i, view_of(chunk_bytes[i], 9000));
		memcpy(leaves + i * HASH_BYTES, h.b, HASH_BYTES);
	}
	mf.page[0] = page_hash(0, view_of(leaves, sizeof leaves));
	m->chunked = (struct body_row){.class = 1, .hash = manifest_hash(&mf), .sealed_len = sizeof chunk_bytes, .chunks = 3, .have = 3,
	                               .refs = 1, .whole = true};
	store_body_add(t, &m->chunked);
	store_body_put_part(t, 1, m->chunked.body_no, PART_MANIFEST, 0, view_of(bytes, manifest_encode(&mf, bytes)));
	store_body_put_part(t, 1, m->chunked.body_no, PART_PAGE, 0, view_of(leaves, sizeof leaves));
	for (uint32_t i = 0; i < 3; i++)
		store_body_put_part(t, 1, m->chunked.body_no, PART_CHUNK, i, view_of(chunk_bytes[i], 9000));
	m->coming = (struct body_row){.hash = hash_of(99), .refs = 1, .chunks = 7, .have = 1};
	store_body_add(t, &m->coming);
	struct body_row left = {.refs = 0}; /* of a submission that broke off */
	store_body_add(t, &left);
}

static void use_body(struct entry_row *row, const struct body_row *b)
{
	row->e.body = view_of(NULL, 0);
	row->e.body_len = b->sealed_len;
	row->e.body_hash = b->hash;
	row->e.flags = ENTRY_BODY_APART;
	row->body_class = b->class;
	row->body_no = b->body_no;
}

static void put_entry(struct txn *t, struct made *m, uint64_t n)
{
	static uint8_t header[HEADER_BYTES];
	struct stream_row *s = &m->stream[n % 2];
	struct entry_row row = entry_of(s->local, s->held + 1, 100, n % 3 ? 300 : 0);
	struct header h = header_of(n);
	header_encode(&h, header);
	row.e.header = view_of(header, sizeof header);
	entry_hash(&row.e);
	if (n == GROUP_AT || n == GROUP_AT + 1)
		use_body(&row, &m->group);
	if (n == CHUNKED_AT)
		use_body(&row, &m->chunked);
	if (n == COMING_AT) {
		use_body(&row, &m->coming);
		row.body_no = 0;
	}
	if (n == STUB_AT) {
		row.e.envelope = row.e.body = view_of(NULL, 0);
		row.e.flags = ENTRY_STUB;
	}
	struct hash leaf = entry_leaf(&row.e);
	row.chain = chain_next(&s->chain, row.number, &leaf);
	store_entry_append(t, &row);
	assert_int_equal(row.arrival, n);
	s->held = row.number;
	s->chain = row.chain;
	struct head head = {.number = row.number, .chain = row.chain};
	store_head_put(t, s, &head);
	if (n == COMING_AT)
		store_missing_put(t, s->local, s->held, &m->coming.hash);
}

static void put_message(struct txn *t, struct made *m, uint64_t n)
{
	struct place place = place_of(n);
	struct msg_row msg = {.id = id_of(n), .addressee = 15, .arrival = n, .place_arrival = n, .place = place};
	struct lease_row lease = {.place = place, .id = id_of(n), .by = "desk"};
	if (n == LEASED_AT) {
		store_lease_put(t, &lease);
		m->queue.leased[0][PREC_PRIORITY]++;
	} else {
		store_place_put(t, &place, &msg.id);
		m->queue.waiting[0][PREC_PRIORITY]++;
	}
	store_msg_put(t, &msg);
}

/* A journal with something of everything. */
static struct made make(struct fixture *f)
{
	struct made m = {.queue = {.site = 15, .name = "dispatch"}};
	struct hash h = hash_of(1);
	struct key_row key = {.id = id_of(1)};
	struct alarm_row alarm = {.id = "disk"};
	struct txn *t = begin_write(f);
	store_queue_add(t, &m.queue);
	for (uint16_t i = 0; i < 2; i++) {
		m.stream[i].name = name_of(i);
		m.stream[i].chain = stream_hash(&fixture_birth.network, &m.stream[i].name);
		store_stream_add(t, &m.stream[i]);
	}
	put_bodies_apart(t, &m);
	for (uint64_t n = 1; n <= ENTRIES; n++) {
		put_entry(t, &m, n);
		if (n > 30)
			put_message(t, &m, n);
		if (n % 10 == 1)
			store_grant_put(t, m.stream[n % 2].local, m.stream[n % 2].held, n);
		store_expiry_put(t, (struct wall){1000 + (int64_t)n}, n);
	}
	for (size_t i = 0; i < 2; i++)
		store_stream_put(t, &m.stream[i]);
	store_queue_put(t, &m.queue);
	struct msg_row only_reports = {.id = id_of(5000), .addressee = 2};
	store_msg_put(t, &only_reports);
	store_key_put(t, 1, &h, &key);
	store_alarm_put(t, &alarm);
	store_state_put(t, 1, &h, view_str("a roster"));
	commit(t);
	return m;
}

struct half { void (*work)(void *); void *arg; };

static void *run_half(void *arg)
{
	struct half *h = arg;
	h->work(h->arg);
	return NULL;
}

static bool both(void *arg, void (*work)(void *), void *a, void *b)
{
	struct half other = {work, b};
	pthread_t thread;
	(void)arg;
	assert_int_equal(pthread_create(&thread, NULL, run_half, &other), 0);
	work(a);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return true;
}

/* All of it done by the second worker: whatever order tasks are taken in, the result is one. */
static bool second_alone(void *arg, void (*work)(void *), void *a, void *b)
{
	(void)arg;
	work(b);
	work(a);
	return true;
}

static struct verify_result verify(struct fixture *f)
{
	static struct verify_result r[3];
	assert_int_equal(verify_run(f->s, NULL, &r[0]), ERR_OK);
	assert_int_equal(verify_run(f->s, &(struct verify_options){.both = both}, &r[1]), ERR_OK);
	assert_int_equal(verify_run(f->s, &(struct verify_options){.both = second_alone}, &r[2]), ERR_OK);
	assert_memory_equal(&r[0], &r[1], sizeof r[0]);
	assert_memory_equal(&r[0], &r[2], sizeof r[0]);
	return r[0];
}

static void assert_whole(struct fixture *f)
{
	struct verify_result r = verify(f);
	if (r.wrong)
		fail_msg("%s", r.finding[0]);
	assert_int_equal(r.n_findings, 0);
}

/* Some finding has both words. */
static void assert_finds(struct fixture *f, const char *a, const char *b)
{
	struct verify_result r = verify(f);
	bool found = false;
	assert_true(r.n_findings <= VERIFY_FINDINGS && r.wrong >= r.n_findings);
	for (size_t i = 0; i < r.n_findings; i++)
		found |= strstr(r.finding[i], a) && strstr(r.finding[i], b);
	if (!found)
		fail_msg("no finding of \"%s ... %s\", but %llu others, the first: %s", a, b, (unsigned long long)r.wrong, r.finding[0]);
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

static void a_whole_journal_has_nothing_wrong(void **state)
{
	struct fixture *f = *state;
	assert_whole(f); /* an empty one, too */
	make(f);
	fixture_reopen(f);
	struct verify_result r = verify(f);
	if (r.wrong)
		fail_msg("%s", r.finding[0]);
	assert_int_equal(r.entries, ENTRIES);
	assert_int_equal(r.streams, 2);
	assert_true(r.heads >= 4 && r.heads_unchecked == r.heads);
	assert_true(r.bodies > 60 && r.body_bytes > 50 * 300 + 27000 + 10000);
	assert_int_equal(r.places, ENTRIES - 30 - 1);
	assert_int_equal(r.messages, ENTRIES - 30 + 1);
	assert_false(r.interrupted);
}

static bool signature_ok(void *arg, const struct stream_name *name, const struct head *h)
{
	unsigned *calls = arg;
	assert_true(name->originator == 1 || name->originator == 2);
	++*calls;
	return h->number != 32;
}

static void signatures_are_checked_by_the_caller(void **state)
{
	struct fixture *f = *state;
	unsigned calls = 0;
	struct verify_options o = {.verify_head = signature_ok, .arg = &calls};
	struct verify_result r;
	make(f);
	assert_int_equal(verify_run(f->s, &o, &r), ERR_OK);
	assert_int_equal(r.heads_unchecked, 0);
	assert_int_equal(calls, r.heads);
	assert_int_equal(r.wrong, 2); /* the head at 32, of each stream */
	assert_non_null(strstr(r.finding[0], "signature of the head at 32"));
	assert_non_null(strstr(r.finding[0], "and 1 more"));
}

static void a_floor_begins_the_chain(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct entry_row row;
	struct txn *t = begin_write(f);
	assert_int_equal(store_entry_find(t, m.stream[0].local, 15, &row), ERR_OK);
	m.stream[0].floor = 15;
	m.stream[0].floor_chain = row.chain;
	store_stream_put(t, &m.stream[0]);
	store_floor_put(t, &m.stream[0], 0, view_of(NULL, 0));
	for (uint64_t n = 1; n < 15; n++) { /* what is below may be gone */
		struct key k = key_position(m.stream[0].local, n);
		assert_int_equal(store_entry_find(t, m.stream[0].local, n, &row), ERR_OK);
		assert_true(store_body_del(t, row.body_class, row.body_no, 100));
		kv_del(t->k, k.db, key_view(&k));
		k = key_entry(row.arrival);
		kv_del(t->k, k.db, key_view(&k));
		store_expiry_del(t, (struct wall){1000 + (int64_t)row.arrival}, row.arrival);
	}
	commit(t);
	assert_whole(f);
	t = begin_write(f);
	m.stream[0].floor = 14; /* another than was noted */
	store_stream_put(t, &m.stream[0]);
	commit(t);
	assert_finds(f, "floor is noted at 15", "its row says otherwise");
	t = begin_write(f);
	m.stream[0].floor = 15;
	m.stream[0].floor_chain = hash_of(1);
	store_stream_put(t, &m.stream[0]);
	store_floor_put(t, &m.stream[0], 0, view_of(NULL, 0));
	commit(t);
	assert_finds(f, "number 16", "does not follow");
}

/* Puts one fault in by the store's own functions, sees it found, and puts things right again. */
#define PLANT(fault, a, b, repair)            \
	do {                                  \
		struct txn *t = begin_write(f); \
		fault;                        \
		commit(t);                    \
		assert_finds(f, a, b);        \
		t = begin_write(f);           \
		repair;                       \
		commit(t);                    \
		assert_whole(f);              \
	} while (0)

static void raw_put(struct txn *t, struct key k, const void *bytes, size_t n)
{
	uint8_t *to = kv_reserve(t->k, k.db, key_view(&k), n, KV_PUT);
	assert_non_null(to);
	memcpy(to, bytes, n);
}

static void raw_del(struct txn *t, struct key k)
{
	assert_true(kv_del(t->k, k.db, key_view(&k)));
}

static void rewrite_entry(struct txn *t, uint64_t arrival, void (*change)(struct entry_row *row))
{
	static uint8_t bytes[ROW_BYTES_MAX], header[HEADER_BYTES], envelope[LIMIT_ENVELOPE_BYTES];
	struct entry_row row;
	struct key k = key_entry(arrival);
	struct wr w = wr_init(bytes, sizeof bytes);
	assert_int_equal(store_entry_get(t, arrival, &row), ERR_OK);
	memcpy(header, row.e.header.ptr, sizeof header);
	if (row.e.envelope.len)
		memcpy(envelope, row.e.envelope.ptr, row.e.envelope.len);
	row.e.header.ptr = header;
	row.e.envelope.ptr = envelope;
	change(&row);
	codec_entry_write(&w, &row);
	record_put_wr(t, &k, &w, KV_PUT);
}

static void change_header(struct entry_row *row)
{
	((uint8_t *)row->e.header.ptr)[63] ^= 1;
}
static void change_envelope(struct entry_row *row)
{
	((uint8_t *)row->e.envelope.ptr)[9] ^= 1;
}
static void change_chain(struct entry_row *row)
{
	row->chain.b[3] ^= 1;
}
static void change_body_hash(struct entry_row *row)
{
	row->e.body_hash.b[3] ^= 1;
}
static void change_stream(struct entry_row *row)
{
	row->stream ^= 64;
}

static void faults_of_entries_are_found(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	PLANT(rewrite_entry(t, 33, change_header), "entry 33", "header", rewrite_entry(t, 33, change_header));
	PLANT(rewrite_entry(t, 33, change_envelope), "entry 33", "envelope", rewrite_entry(t, 33, change_envelope));
	PLANT(rewrite_entry(t, 33, change_chain), "entry 33", "does not follow", rewrite_entry(t, 33, change_chain));
	PLANT(rewrite_entry(t, 34, change_body_hash), "entry 34", "body is not what", rewrite_entry(t, 34, change_body_hash));
	PLANT(rewrite_entry(t, GROUP_AT, change_body_hash), "entry 40", "another", rewrite_entry(t, GROUP_AT, change_body_hash));
	PLANT(rewrite_entry(t, 33, change_stream), "entry 33", "no stream 66", rewrite_entry(t, 33, change_stream));

	const uint64_t one = __builtin_bswap64(1), right = __builtin_bswap64(34), far = __builtin_bswap64(4711);
	struct key at = key_position(m.stream[0].local, 17), beyond = key_position(9, 9);
	PLANT(raw_put(t, at, &one, 8), "entry 34", "position index", raw_put(t, at, &right, 8));
	PLANT(raw_del(t, at), "entry 34", "position index", raw_put(t, at, &right, 8));
	PLANT(raw_put(t, beyond, &far, 8), "stream 9", "4711, which is not there", raw_del(t, beyond));
	PLANT(raw_put(t, beyond, &one, 8), "stream 9", "another's", raw_del(t, beyond));
}

static void faults_of_streams_are_found(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct stream_row *s = &m.stream[0];
	struct head head = {.number = 49, .chain = hash_of(1)}, far = {.number = 51, .chain = hash_of(1)};
	struct stream_row other = {.local = 17};
	PLANT(s->held++; store_stream_put(t, s), "stream 1", "its last is 50", s->held--; store_stream_put(t, s));
	PLANT(s->chain.b[0] ^= 1; store_stream_put(t, s), "stream 1", "chain hash", s->chain.b[0] ^= 1; store_stream_put(t, s));
	PLANT(s->head++; store_stream_put(t, s), "stream 1", "says head 51", s->head--; store_stream_put(t, s));
	struct key k = key_head(1, 49);
	PLANT(store_head_put(t, &other, &(struct head){.number = 1}), "head", "of a stream that is not there", raw_del(t, key_head(17, 1)));
	struct stream_row scratch = *s;
	PLANT(store_head_put(t, &scratch, &head), "stream 1", "head at 49", raw_del(t, k));
	PLANT(scratch = *s; scratch.head_before = 0; store_head_put(t, &scratch, &far), "stream 1", "the highest is 51", raw_del(t, key_head(1, 51)));
}

static void faults_of_bodies_are_found(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct entry_row e = entry_of(m.stream[0].local, 17, 100, 300);
	uint8_t sealed[300];
	memcpy(sealed, e.e.body.ptr, 300);
	struct view body = view_of(sealed, 300), shorter = view_of(sealed, 299);
	PLANT(store_body_put_part(t, 0, 34, PART_WHOLE, 0, shorter), "entry 34", "not what its hash says",
	      store_body_put_part(t, 0, 34, PART_WHOLE, 0, body));
	PLANT(store_body_del(t, 0, 34, 9), "entry 34", "not there", store_body_put_part(t, 0, 34, PART_WHOLE, 0, body));
	PLANT(store_body_put_part(t, 0, 5000, PART_WHOLE, 0, body), "1 bodies", "no entry", store_body_del(t, 0, 5000, 9));

	uint64_t no = m.chunked.body_no;
	struct view chunk = view_of(chunk_bytes[1], 9000);
	PLANT(store_body_put_part(t, 1, no, PART_CHUNK, 1, view_of(chunk_bytes[0], 9000)), "body 2", "not what its hash says",
	      store_body_put_part(t, 1, no, PART_CHUNK, 1, chunk));
	PLANT(store_body_put_part(t, 1, BODY_NO_APART | 70, PART_CHUNK, 1, chunk), "body 70", "without its row",
	      store_body_del(t, 1, BODY_NO_APART | 70, 9));

	struct body_row *g = &m.group;
	PLANT(g->refs = 3; store_body_put_row(t, g), "body 1", "not as many", g->refs = 2; store_body_put_row(t, g));
	struct key orphan = key_orphan(0, g->body_no), hash = key_body_hash(0, &g->hash);
	const uint64_t number = __builtin_bswap64(g->body_no), other = __builtin_bswap64(m.coming.body_no);
	PLANT(record_put(t, &orphan, view_of(NULL, 0), KV_PUT), "body 1", "wrongly marked", raw_del(t, orphan));
	PLANT(raw_del(t, hash), "body 1", "not found by its hash", raw_put(t, hash, &number, 8));
	PLANT(raw_put(t, hash, &other, 8), "body 1", "not found by its hash", raw_put(t, hash, &number, 8));
	orphan = key_orphan(0, BODY_NO_APART | 900);
	PLANT(record_put(t, &orphan, view_of(NULL, 0), KV_PUT), "body 900", "not there", raw_del(t, orphan));
}

static void faults_of_queues_are_found(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct queue_row *q = &m.queue;
	PLANT(q->waiting[0][2]++; store_queue_put(t, q), "queue dispatch", "counts", q->waiting[0][2]--; store_queue_put(t, q));
	PLANT(q->leased[1][0]++; store_queue_put(t, q), "queue dispatch", "counts", q->leased[1][0]--; store_queue_put(t, q));

	struct place p = place_of(33), stray = place_of(20), nowhere = {.queue = 1, .arrival = 7777}, lost = {.queue = 9, .arrival = 1};
	struct msgid id = id_of(33), early = id_of(20), wrong_id = id_of(34);
	PLANT(store_place_del(t, &p), "queue dispatch", "counts", store_place_put(t, &p, &id));
	PLANT(store_place_del(t, &p), "message ", "place in the queue is not there", store_place_put(t, &p, &id));
	PLANT(store_place_put(t, &stray, &early), "place", "unknown to its message", store_place_del(t, &stray));
	PLANT(store_place_put(t, &nowhere, &id), "place", "no entry", store_place_del(t, &nowhere));
	PLANT(store_place_put(t, &p, &wrong_id), "place", "no entry of that message", store_place_put(t, &p, &id));
	PLANT(store_place_put(t, &lost, &id), "place", "queue that is not there", store_place_del(t, &lost));

	struct lease_row l = {.place = place_of(LEASED_AT), .id = id_of(LEASED_AT), .by = "desk"}, other = l;
	other.place.arrival = 20;
	PLANT(store_lease_del(t, LEASED_AT), "message ", "place in the queue is not there", store_lease_put(t, &l));
	PLANT(store_lease_put(t, &other), "lease", "no entry of that message", store_lease_del(t, 20));
}

static void faults_of_indexes_are_found(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct msg_row row = {.id = id_of(6000), .addressee = 15, .arrival = 33};
	PLANT(store_msg_put(t, &row), "message ", "its entry is not there", raw_del(t, key_msg(&row.id, 15)));
	struct hash h = hash_of(1);
	PLANT(store_missing_put(t, 1, 17, &h), "number 17", "names another", store_missing_del(t, 1, 17));
	PLANT(store_missing_put(t, 1, 1000, &h), "number 1000", "is not there", store_missing_del(t, 1, 1000));
	PLANT(store_grant_put(t, 1, 17, 33), "grant at 17", "entry 33 is not", raw_del(t, key_grant(1, 17)));
	PLANT(store_grant_put(t, 1, 17, 3300), "grant at 17", "entry 3300 is not", raw_del(t, key_grant(1, 17)));
	PLANT(store_expiry_put(t, (struct wall){1}, 500), "entry 500", "expire", store_expiry_del(t, (struct wall){1}, 500));
	struct key k = {.db = DB_PLACES, .len = 2, .b = {200, 1}}, in_wrong_db = key_alarm("x");
	PLANT(raw_put(t, k, "x", 1), "table 200", "does not lie", raw_del(t, k));
	in_wrong_db.db = DB_KEYS;
	PLANT(raw_put(t, in_wrong_db, "x", 1), "table 4", "does not lie", raw_del(t, in_wrong_db));
	(void)m;
}

/* A record of each table with a check, one bit of its value changed. */
static void damaged_records_are_found_in_every_table(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f);
	struct hash h = hash_of(1);
	struct msgid id = id_of(33);
	struct place place = place_of(33);
	struct txn *t = begin_write(f);
	store_damage_put(t, 1, (struct wall){1}, "x");
	commit(t);
	struct {
		struct key key;
		const char *name;
	} all[] = {
		{key_meta(META_STORE, META_STORE_BODY_NO), "meta"}, {key_stream(1), "stream"}, {key_queue(1), "queue"},
		{key_alarm("disk"), "alarm"}, {key_damage(1), "damage"}, {key_missing(m.stream[0].local, COMING_AT / 2), "missing"},
		{key_lease(LEASED_AT), "lease"}, {key_state(1, &h), "state"}, {key_entry(33), "entry"}, {key_head(1, 32), "head"},
		{key_grant(2, 1), "grant"}, {key_expiry((struct wall){1033}, 33), "expiry"}, {key_body_row(0, m.group.body_no), "body row"},
		{key_orphan(0, BODY_NO_APART | 4), "orphan"}, {key_place(&place), "place"}, {key_msg(&id, 15), "message"},
		{key_idempotency(1, &h), "idempotency key"},
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		uint8_t bytes[4096];
		struct view v;
		char what[64];
		t = begin_write(f);
		assert_int_equal(kv_get(t->k, all[i].key.db, key_view(&all[i].key), &v), ERR_OK);
		size_t n = v.len;
		memcpy(bytes, v.ptr, n);
		bytes[n / 2] ^= 16;
		raw_put(t, all[i].key, bytes, n);
		commit(t);
		snprintf(what, sizeof what, "%s record ", all[i].name);
		assert_finds(f, what, "check does not fit");
		bytes[n / 2] ^= 16;
		t = begin_write(f);
		raw_put(t, all[i].key, bytes, n);
		commit(t);
		assert_whole(f);
	}
}

static void many_faults_are_counted(void **state)
{
	struct fixture *f = *state;
	make(f);
	struct txn *t = begin_write(f);
	for (uint64_t n = 1; n <= 25; n++)
		rewrite_entry(t, n, change_header);
	commit(t);
	struct verify_result r = verify(f);
	assert_int_equal(r.wrong, 25 + 3); /* three of them are grants */
	assert_int_equal(r.n_findings, 2);
	assert_non_null(strstr(r.finding[0], "and 24 more"));
}

static bool stop(void *arg, uint64_t records, uint64_t of)
{
	uint64_t *seen = arg;
	seen[0] = records;
	seen[1] = of;
	return false;
}

static void it_can_be_interrupted(void **state)
{
	struct fixture *f = *state;
	uint64_t seen[2];
	struct verify_options o = {.progress = stop, .arg = seen};
	struct verify_result r;
	struct txn *t = begin_write(f);
	struct entry_row row = entry_of(1, 1, 20, 0);
	for (row.number = 1; row.number <= 110000; row.number++)
		store_entry_append(t, &row);
	commit(t);
	assert_int_equal(verify_run(f->s, &o, &r), ERR_OK);
	/* Of entries and their positions. */
	assert_true(r.interrupted && r.entries > 0 && r.entries < 110000 && seen[0] >= 100000 && seen[1] >= 220000);
	assert_int_equal(r.streams, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(a_whole_journal_has_nothing_wrong),
		ON_BOTH(signatures_are_checked_by_the_caller),
		ON_BOTH(a_floor_begins_the_chain),
		ON_BOTH(faults_of_entries_are_found),
		ON_BOTH(faults_of_streams_are_found),
		ON_BOTH(faults_of_bodies_are_found),
		ON_BOTH(faults_of_queues_are_found),
		ON_BOTH(faults_of_indexes_are_found),
		ON_BOTH(damaged_records_are_found_in_every_table),
		ON_BOTH(many_faults_are_counted),
		cmocka_unit_test_setup_teardown(it_can_be_interrupted, fixture_memory, fixture_end),
	};
	return cmocka_run_group_tests_name("verification", tests, NULL, NULL);
}
