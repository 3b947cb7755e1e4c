/* Relocations and handbacks among crashes, cuts, lost journals and competing orders, drawn from a seed: after the last repair every site
 * says the same, every message was read once or is a listed conflict, and nothing waits for ever.
 * ORDERS_SEED=n runs one scenario, ORDERS_RUNS=n so many; WORLD_LOG=1 tells what the nodes say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/core/core_int.h"
#include "tests/lib/world.h"

static const char *const SITES[] = {"cic-luik", "cic-namen", "cic-vlaams-brabant", "cic-antwerpen", "spoc-brussel"};
enum { LUIK, NAMEN, LEUVEN, ANTWERPEN, SPOC, N };
#define MESSAGES_MAX 16
#ifdef __SANITIZE_ADDRESS__
#define RUNS 300 /* a scenario takes three times as long; the plain program runs them all */
#else
#define RUNS 1000
#endif

struct sent { struct msgid id; size_t from; bool unsure; bool read[N]; };
struct play {
	struct world w;
	struct sent msg[MESSAGES_MAX];
	size_t n;
	struct { size_t at; struct msgid id; } held[32]; /* taken, and not handled yet */
	size_t n_held;
	bool tell;
};

#define SAY(p, ...) do { if ((p)->tell) { fprintf(stderr, "%10.3f -- ", (double)(p)->w.now.us / US_PER_S); fprintf(stderr, __VA_ARGS__); fputc('\n', stderr); } } while (0)

static size_t draw(struct play *p, size_t below) { return (size_t)world_random(&p->w, below); }

/* ---- what happens ---------------------------------------------------------------------------------------------------- */

static void ask_order(struct play *p, size_t i, const char *what, const char *const *assign, const char *without)
{
	struct request_writer rw;
	struct buf b = BUF_EMPTY;

	request_begin(&rw, &b, REQ_ORDER, ++p->w.tag);
	request_str(&rw, F_WHAT, what);
	request_str(&rw, F_TO, "cic-luik");
	for (size_t k = 0; assign && assign[k]; k++)
		request_str(&rw, F_ASSIGN, assign[k]);
	request_str(&rw, F_WITHOUT, without);
	request_str(&rw, F_REASON, "drill");
	request_end(&rw);
	world_request(&p->w, i, &b);
	buf_release(&b);
	SAY(p, "%s asked at %s%s%s", what, SITES[i], assign ? ": " : "", assign ? assign[0] : "");
}

static void order(struct play *p)
{
	static const char *const how[][4] = {
		{"cic-vlaams-brabant:dispatch", "cic-namen:messages"}, {"cic-vlaams-brabant"}, {"cic-namen"}, {"cic-antwerpen"},
		{"cic-vlaams-brabant:share=50%", "cic-namen:share=50%"}, {"cic-namen:dispatch"}, {"cic-vlaams-brabant:dispatch", "cic-antwerpen:messages"},
	};
	size_t i = draw(p, 3) ? SPOC : LUIK;

	if (!p->w.node[i].up)
		return;
	if (draw(p, 5) < 2)
		ask_order(p, i, "handback", NULL, draw(p, 6) ? NULL : "cic-vlaams-brabant");
	else
		ask_order(p, i, "relocate", how[draw(p, sizeof how / sizeof how[0])], NULL);
}

static void send_one(struct play *p)
{
	size_t i = draw(p, 2) ? ANTWERPEN : SPOC;

	if (p->n == MESSAGES_MAX || !p->w.node[i].up)
		return;
	struct sent *m = &p->msg[p->n];
	char key[32];
	struct send_options o = {.subject = "m", .key = key};

	snprintf(key, sizeof key, "key %zu", p->n);
	*m = (struct sent){.from = i};
	if (world_send(&p->w, i, draw(p, 2) ? "cic-luik/dispatch" : "cic-luik/messages", (enum precedence)draw(p, 4), view_str("m"), &o, &m->id, NULL))
		return;
	p->n++;
	SAY(p, "%s sent message %zu", SITES[i], p->n - 1);
}

static struct sent *sent_of(struct play *p, const struct msgid *id)
{
	for (size_t k = 0; k < p->n; k++)
		if (msgid_equal(&p->msg[k].id, id))
			return &p->msg[k];
	return NULL;
}

static bool take(struct play *p, size_t i, const char *queue, int64_t us, struct msgid *id)
{
	struct taken t = {.body = BUF_EMPTY};
	char name[64];

	snprintf(name, sizeof name, "%s%s", i == LUIK ? "" : "cic-luik/", queue);
	bool got = p->w.node[i].up && world_take_one(&p->w, i, name, us, &t);

	*id = t.id;
	buf_release(&t.body);
	if (got)
		SAY(p, "%s took message %zd", SITES[i], sent_of(p, id) ? sent_of(p, id) - p->msg : -1);
	if (got && sent_of(p, id) && sent_of(p, id)->read[i])
		fail_msg("message %zu was handed out at %s, where it was read", (size_t)(sent_of(p, id) - p->msg), SITES[i]);
	return got;
}

static void handle(struct play *p, size_t i, const struct msgid *id, bool back)
{
	struct sent *m = sent_of(p, id);
	enum err e = p->w.node[i].up ? world_handle(&p->w, i, back ? REQ_RETURN : REQ_ACK, id) : ERR_BUSY;

	SAY(p, "%s %s message %zd: %s", SITES[i], back ? "returned" : "read", m ? m - p->msg : -1, err_code(e));
	if (m && e == ERR_TIMEOUT && !back)
		m->unsure = true; /* it was stored, or not: only the journal knows */
	if (e || back)
		return;
	if (!m)
		return; /* the send timed out while the message was kept: its sender will ask again */
	m->read[i] = true;
}

static void desk(struct play *p)
{
	size_t i = draw(p, 4);
	struct msgid id;

	if (!take(p, i, draw(p, 2) ? "dispatch" : "messages", US_PER_S / 10, &id))
		return;
	size_t then = draw(p, 4);

	if (then < 2)
		handle(p, i, &id, then == 1 && draw(p, 3) == 0);
	else if (p->n_held < 32)
		p->held[p->n_held].at = i, p->held[p->n_held++].id = id;
}

static void finish_held(struct play *p)
{
	if (!p->n_held)
		return;
	size_t k = draw(p, p->n_held);

	handle(p, p->held[k].at, &p->held[k].id, draw(p, 5) == 0);
	p->held[k] = p->held[--p->n_held];
}

static void crash(struct play *p, size_t i)
{
	struct world_node *n = &p->w.node[i];

	if (!n->up) {
		SAY(p, "%s starts", SITES[i]);
		n->fail_at = 0;
		world_start(&p->w, i);
	} else if (draw(p, 3) == 0) {
		n->fail_at = n->commits + 1 + draw(p, 4);
		n->fail_with = draw(p, 2) ? ERR_SYNC : ERR_IO;
		SAY(p, "%s: a commit will fail", SITES[i]);
	} else {
		SAY(p, "%s crashes", SITES[i]);
		world_crash(&p->w, i);
	}
}

static void heal(struct play *p)
{
	p->w.loss_percent = 0;
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < i; k++)
			world_link(&p->w, i, k, true);
	for (size_t i = 0; i < N; i++) {
		p->w.node[i].fail_at = 0;
		if (!p->w.node[i].up)
			world_start(&p->w, i);
	}
}

/* Only what others hold too is lost. */
static void lose(struct play *p)
{
	size_t i = draw(p, 3);

	heal(p);
	world_run(&p->w, 15 * US_PER_S);
	SAY(p, "%s loses its journal", SITES[i]);
	if (p->w.node[i].up)
		world_crash(&p->w, i);
	world_lose_journal(&p->w, i);
	if (draw(p, 2))
		world_start(&p->w, i);
}

static void step(struct play *p)
{
	size_t a = draw(p, N), b = draw(p, N);

	switch (draw(p, 16)) {
	case 0: case 1: send_one(p); break;
	case 2: case 3: case 4: order(p); break;
	case 5: case 6: case 7: desk(p); break;
	case 8: finish_held(p); break;
	case 9: case 10: crash(p, a); break;
	case 11: case 12:
		if (a != b) {
			SAY(p, "%s - %s %s", SITES[a], SITES[b], p->w.node[a].cut[b] ? "linked" : "cut");
			world_link(&p->w, a, b, p->w.node[a].cut[b]);
		}
		break;
	case 13:
		SAY(p, "%s alone", SITES[a]);
		for (size_t k = 0; k < N; k++)
			if (k != a)
				world_link(&p->w, a, k, false);
		break;
	case 14: p->w.loss_percent = p->w.loss_percent ? 0 : 10; break;
	case 15:
		if (draw(p, 3) == 0)
			lose(p);
		break;
	}
	static const int64_t pause[] = {0, 1000, 20000, US_PER_S, 12 * US_PER_S};

	world_run(&p->w, pause[draw(p, 5)]);
}

/* ---- what must be true at the end ------------------------------------------------------------------------------------------ */

static void drain(struct play *p)
{
	static const char *const queues[] = {"dispatch", "messages"};
	struct msgid id;

	for (size_t i = 0; i < 4; i++)
		for (size_t q = 0; q < 2; q++)
			while (take(p, i, queues[q], US_PER_S / 2, &id))
				handle(p, i, &id, false);
}

static bool listed(struct play *p, size_t i, const struct msgid *id)
{
	struct conflict_row row;
	struct txn *t;

	assert_int_equal(txn_begin(p->w.node[i].store, false, &t), ERR_OK);
	bool found = store_conflict_get(t, id, p->w.number[LUIK], &row) == ERR_OK;

	txn_abort(t);
	return found;
}

static void agreed(struct play *p)
{
	const struct chain *first = NULL;

	for (size_t i = 0; i < N; i++) {
		struct core *c = p->w.node[i].core;
		const struct chain *ch = chain_find(c, p->w.number[LUIK], false);

		if (i == 0)
			first = ch;
		if ((ch && ch->now) != (first && first->now) || (ch && ch->now && !hash_equal(&ch->now->id, &first->now->id)))
			fail_msg("%s obeys another order", SITES[i]);
		if (ch && ((i == LUIK && !ch->open) || (i != LUIK && ch->now && order_names(&ch->now->order, c->self) && !ch->ready)))
			fail_msg("%s does not hand out what is its", SITES[i]);
		if (c->recovering)
			fail_msg("%s is not whole again", SITES[i]);
	}
}

static void judged(struct play *p)
{
	for (size_t k = 0; k < p->n; k++) {
		const struct sent *m = &p->msg[k];
		size_t n = 0;

		for (size_t i = 0; i < N; i++)
			n += m->read[i];
		if (!n && !m->unsure)
			fail_msg("message %zu was not handed out", k);
		for (size_t i = 0; n > 1 && i < N; i++)
			if (m->read[i] && !listed(p, i, &m->id))
				fail_msg("message %zu was read at %zu sites, and %s does not know", k, n, SITES[i]);
		if (world_state(&p->w, m->from, &m->id) != STATE_READ)
			fail_msg("%s was not told that message %zu was read", SITES[m->from], k);
	}
}

static void scenario(uint64_t seed, bool tell)
{
	struct play *p = calloc(1, sizeof *p);

	assert_non_null(p);
	p->tell = tell;
	world_init(&p->w, SITES, N, seed);
	p->w.lease_us = 30 * US_PER_S;
	p->w.jitter_us = (int64_t)draw(p, 2) * 40000;
	world_run(&p->w, 2 * US_PER_S);
	for (size_t i = 4 + draw(p, 4); i > 0; i--)
		send_one(p);
	for (size_t i = 10 + draw(p, 25); i > 0; i--)
		step(p);
	SAY(p, "repaired");
	heal(p);
	world_run(&p->w, 70 * US_PER_S);
	agreed(p);
	while (p->n_held)
		finish_held(p);
	drain(p);
	world_run(&p->w, 40 * US_PER_S);
	drain(p);
	world_run(&p->w, 15 * US_PER_S);
	judged(p);
	agreed(p);
	for (size_t i = 0; i < N; i++)
		world_verify(&p->w, i);
	world_release(&p->w);
	free(p);
}

static void orders_in_every_weather(void **state)
{
	const char *one = getenv("ORDERS_SEED"), *runs = getenv("ORDERS_RUNS");
	uint64_t n = runs ? strtoull(runs, NULL, 10) : RUNS;

	(void)state;
	if (one) {
		scenario(strtoull(one, NULL, 10), true);
		return;
	}
	for (uint64_t i = 1; i <= n; i++) {
		scenario(i, false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(orders_in_every_weather)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
