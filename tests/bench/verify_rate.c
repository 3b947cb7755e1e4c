/* verify_rate DIR COUNT - how fast a journal is verified: makes one in DIR with COUNT entries, written and signed as 64 a commit
 * are, with their message rows, and one in ten still in its queue; then verifies it, with every signature, on two threads and on one.
 * A journal that is there is only verified. Before that, this machine's own limit: how long one signature takes to check. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/crypt.h"
#include "storage/store.h"
#include "storage/verify.h"

#define SIGNED_TOGETHER 64
#define A_COMMIT (64 * SIGNED_TOGETHER)
#define STREAMS 2

struct maker {
	struct store *s;
	struct sign_secret secret;
	struct sign_public public;
	struct stream_row stream[STREAMS];
	struct hash hash[STREAMS];
	struct queue_row queue;
	uint64_t made;
};

static const struct store_birth birth = {.site = 15, .site_id = "cic-luik", .how = BIRTH_FRESH, .born = {1}};

static void add_message(struct txn *t, struct maker *m, const struct header *h, uint64_t arrival)
{
	static const uint8_t events[24];
	struct msg_row row = {.id = h->id, .addressee = 15, .arrival = arrival, .originator = 1, .precedence = h->precedence,
			      .events = view_of(events, sizeof events)};
	struct place p = {.queue = m->queue.local, .precedence = h->precedence, .fresh = 1, .handle_by_us = h->handle_by.us, .arrival = arrival};

	if (m->made % 10 == 0) {
		row.place_arrival = arrival;
		row.place = p;
		row.state = 1;
		store_place_put(t, &p, &row.id);
		m->queue.waiting[0][p.precedence]++;
	}
	store_msg_put(t, &row);
}

static void add_entry(struct txn *t, struct maker *m, unsigned of)
{
	static uint8_t envelope[150], body[300], header[HEADER_BYTES];
	struct stream_row *s = &m->stream[of];
	int64_t now = (int64_t)m->made * 1000;
	struct header h = {.kind = KIND_MESSAGE, .precedence = s->name.precedence, .originator = 1, .sent = {now}, .handle_by = {now + 1}};
	struct entry_row row = {.stream = s->local, .number = s->held + 1, .stored = {now}, .from = 1};

	for (int i = 0; i < 8; i++)
		h.id.b[i] = (uint8_t)(m->made >> (56 - 8 * i));
	memcpy(body, &m->made, sizeof m->made);
	memcpy(envelope, &m->made, sizeof m->made);
	header_encode(&h, header);
	row.e.header = view_of(header, sizeof header);
	row.e.envelope = view_of(envelope, sizeof envelope);
	row.e.body = view_of(body, sizeof body);
	entry_hash(&row.e);
	struct hash leaf = entry_leaf(&row.e);

	s->chain = row.chain = chain_next(&s->chain, row.number, &leaf);
	s->held = row.number;
	store_entry_append(t, &row);
	m->made++;
	add_message(t, m, &h, row.arrival);
	if (s->held % LIMIT_HEAD_SPACING == 0) {
		struct head head = {.number = s->held, .chain = s->chain};

		head_sign(&crypt_suite_real, &m->secret, &m->hash[of], &head);
		store_head_put(t, s, &head);
	}
}

static enum err fill(struct maker *m, uint64_t count)
{
	while (m->made < count) {
		struct txn *t;
		enum err e = txn_begin(m->s, true, &t);

		if (e)
			return e;
		for (unsigned i = 0; i < STREAMS && !m->stream[i].local; i++)
			store_stream_add(t, &m->stream[i]);
		if (!m->queue.local)
			store_queue_add(t, &m->queue);
		for (unsigned i = 0; i < A_COMMIT; i++)
			add_entry(t, m, i / SIGNED_TOGETHER % STREAMS);
		for (unsigned i = 0; i < STREAMS; i++)
			store_stream_put(t, &m->stream[i]);
		store_queue_put(t, &m->queue);
		e = txn_commit(t);
		if (e)
			return e;
	}
	return ERR_OK;
}

static bool check(void *arg, const struct stream_name *name, const struct head *h)
{
	struct maker *m = arg;
	struct hash stream = stream_hash(&birth.network, name);

	return head_verify(&crypt_suite_real, &m->public, &stream, h);
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
	if (pthread_create(&thread, NULL, run_half, &other))
		return false;
	work(a);
	pthread_join(thread, NULL);
	return true;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#define LIMIT_CHECKS 3000

/* One signature, again and again, in microseconds of processor. */
static double limit_us(const struct maker *m)
{
	struct head head = {.number = 1, .chain = m->hash[0]};
	clock_t from = clock();
	unsigned good = 0;

	head_sign(&crypt_suite_real, &m->secret, &m->hash[0], &head);
	for (int i = 0; i < LIMIT_CHECKS; i++)
		good += head_verify(&crypt_suite_real, &m->public, &m->hash[0], &head);
	double us = (double)(clock() - from) / CLOCKS_PER_SEC * 1e6 / LIMIT_CHECKS;

	printf("verify_rate: this machine checks a signature in %.1f us%s\n", us, good == LIMIT_CHECKS ? "" : ", WRONG");
	return us;
}

static enum err measure(struct maker *m, struct verify_options *o, const char *what, double signature_us)
{
	static struct verify_result r;
	double from = now();
	clock_t cpu = clock();
	enum err e = verify_run(m->s, o, &r);
	double took = now() - from;

	double used = (double)(clock() - cpu) / CLOCKS_PER_SEC;

	printf("verify_rate: %s: %llu entries, %llu heads in %.2f s: %.0f entries a second, %.2f s of processor, %.2f of it signatures%s%s\n", what,
	       (unsigned long long)r.entries, (unsigned long long)r.heads, took, (double)r.entries / took, used, (double)r.heads * signature_us / 1e6 / used,
	       r.wrong ? ", WRONG: " : "", r.wrong ? r.finding[0] : "");
	return e;
}

/* Opens it anew as `journal verify` does, which looks at LMDB's own pages first. */
static enum err open_checked(struct maker *m, const char *dir, struct store_options *o, struct errmsg *msg)
{
	store_close(m->s);
	m->s = NULL;
	o->check_pages = true;
	double from = now();
	enum err e = store_open(dir, o, &m->s, msg);

	printf("verify_rate: LMDB's own pages were looked at in %.2f s\n", now() - from);
	return e;
}

int main(int argc, char **argv)
{
	static struct maker m = {.queue = {.site = 15, .name = "dispatch"}};
	static const uint8_t seed[32] = {1};
	struct store_options o = {.quota_bytes = 64LL << 30};
	struct verify_options how = {.verify_head = check, .arg = &m};
	struct errmsg msg = {0};
	enum err e = argc == 3 ? crypt_start() : ERR_USAGE;

	sign_keypair(seed, &m.public, &m.secret);
	for (unsigned i = 0; i < STREAMS; i++) {
		m.stream[i].name = (struct stream_name){.originator = 1, .addressee = 15, .precedence = (uint8_t)(PREC_PRIORITY + i)};
		m.stream[i].name.incarnation.born_us = 5;
		m.hash[i] = m.stream[i].chain = stream_hash(&birth.network, &m.stream[i].name);
	}
	bool fresh = !e && store_create(argv[1], &birth, &o, &msg) == ERR_OK;
	if (!e)
		e = store_open(argv[1], &o, &m.s, &msg);
	if (!e && fresh)
		e = fill(&m, strtoull(argv[2], NULL, 10));
	if (!e)
		e = open_checked(&m, argv[1], &o, &msg);
	double signature_us = e ? 0 : limit_us(&m);

	if (!e)
		e = measure(&m, &how, "one thread", signature_us);
	how.both = both;
	if (!e)
		e = measure(&m, &how, "two threads", signature_us);
	if (e)
		fprintf(stderr, "verify_rate: %s %s\n", err_text(e), msg.text);
	store_close(m.s);
	return e ? 1 : 0;
}
